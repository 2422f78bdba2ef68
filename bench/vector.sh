#!/bin/sh
# bench/vector.sh BUILD: `make bench-vector`. Croft's vector index beside hnswlib, USearch and FAISS
# (their packages, in a venv of the bench's own). SETS="glove 200000x384" chooses the data (also
# 1000000x128, or any NxDIM: generated clusters); see bench/vector.py for what is printed.
set -eu
cd "$(dirname "$0")/.."
build=$1
venv=$build/bench/vector-venv
if ! [ -e "$venv/done-1" ]; then
	echo "installing hnswlib, usearch, faiss-cpu into $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check hnswlib==0.8.0 usearch==2.26.6 \
		faiss-cpu==1.15.1 numpy==2.4.6 >&2
	touch "$venv/done-1"
fi
exec "$venv/bin/python" bench/vector.py "$build" ${SETS:-glove 200000x384}
