#!/bin/sh
# bench/curate.sh BUILD: `make bench-curate`. Near-duplicates of 100,000 vectors beside FAISS's exact search (its
# package, in a venv of the bench's own).
set -eu
cd "$(dirname "$0")/.."
build=$1
venv=$build/bench/curate-venv
if ! [ -e "$venv/done-1" ]; then
	echo "installing faiss-cpu into $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6 >&2
	touch "$venv/done-1"
fi
exec "$venv/bin/python" bench/curate.py "$build"
