#!/bin/sh
# bench/keyword.sh BUILD: `make bench-keyword`. The keyword index beside rank_bm25, bm25s (numba) and
# tantivy: the same terms, the same k1 and b, ten best, one thread, queries a second. SETS="made" for some.
set -eu
cd "$(dirname "$0")/.."
build=$1 dir=$1/bench-keyword
data=${CROFT_SHARED_DATA:-../shared/data}
[ -d "$data/rag" ] || { echo "no folder $data/rag: set CROFT_SHARED_DATA" >&2; exit 2; }
mkdir -p "$dir"
[ -e "$dir/made-all-words/queries" ] || python3 bench/keyword_peers.py make "$data" "$dir"
python=
if [ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"; then
	"$dir/venv/bin/pip" install -q --disable-pip-version-check rank_bm25==0.2.2 bm25s==0.3.16 numba==0.68.1 \
		numpy==2.4.6 tantivy==0.27.0 >&2 && python=$dir/venv/bin/python
fi
[ -n "$python" ] || echo "# the peers cannot be fetched: ours alone" >&2
export NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1
echo "top 10, one thread, k1 1.2, b 0.75; same: of our ten, how many are the peer's (rank_bm25 has another"
echo "idf, tantivy rounds lengths to a byte; bm25s has our formula); MB: the peer's index"
printf '%-16s %-10s %10s %10s %8s %6s %7s %9s\n' set peer "ours q/s" "peer q/s" ratio goal same size
for set in ${SETS:-cranfield boolq-retrieval made made-all-words}; do
	ours=$("$build/bench/bench_keyword" "$dir/$set/docs" "$dir/$set/queries" "$dir/$set/ours" 1.2 0.75)
	echo "$ours" | awk -v set="$set" '{printf "# %s: ours built in %.1f s, %.1f MB\n", set, $2, $3 / 1048576}'
	[ -n "$python" ] || { echo "$set $ours"; continue; }
	for peer in ${PEERS:-rank_bm25:10 bm25s:1 tantivy:1}; do
		# it keeps a dictionary for each document and takes a second for each query of the made sets
		case $set:$peer in made*:rank_bm25*) continue ;; esac
		theirs=$("$python" bench/keyword_peers.py peer "${peer%:*}" "$dir/$set")
		"$python" bench/keyword_peers.py row "$dir/$set" "${peer%:*}" "$ours" "$theirs" "${peer#*:}"
	done
done
