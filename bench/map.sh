#!/bin/sh
# bench/map.sh BUILD: `make bench-map`. Croft's layout beside umap-learn (its package, in a venv of the
# bench's own) on real embeddings and generated points; see bench/map.py for what is printed.
set -eu
cd "$(dirname "$0")/.."
build=$1
venv=$build/bench/map-venv
if ! [ -e "$venv/done-1" ]; then
	echo "installing umap-learn into $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check umap-learn==0.5.12 numba==0.68.1 \
		pynndescent==0.7.0 scikit-learn==1.9.1 numpy==2.4.6 >&2
	touch "$venv/done-1"
fi
exec "$venv/bin/python" bench/map.py "$build" ${SETS:-cranfield boolq glove 50000x128}
