#!/bin/sh
# bench/sparse.sh BUILD: `make bench-sparse`. The index of sparse vectors beside SciPy and NumPy, which score every
# vector, in one run. N=200000 vectors.
set -eu
cd "$(dirname "$0")/.."
build=$1 dir=$1/bench-sparse
mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 >&2
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
file=$dir/vectors-${N:=200000}
[ -e "$file" ] || "$dir/venv/bin/python" bench/sparse.py make "$file" "$N"
"$build/bench/bench_sparse" "$file" "$dir/ours"
"$dir/venv/bin/python" bench/sparse.py peer "$file" "$dir/ours"
