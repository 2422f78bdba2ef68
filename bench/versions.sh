#!/bin/sh
# bench/versions.sh BUILD: `make bench-versions`. Versions of a collection of ITEMS (100,000) vectors of
# DIM (384) numbers: what the first one, one after a change of 1 % spread over all items, a diff, a
# search of a version, a copy and a restore take, in seconds as the command line sees them, and how many
# bytes the versions add to the store of blobs.
set -eu
cd "$(dirname "$0")/.."
build=$1
items=${ITEMS:-100000} dim=${DIM:-384}
work=$(mktemp -d)
export CROFT_HOME="$work/home"
pid=
trap 'test -n "$pid" && kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
start() {
	"$build/croft" up --listen 127.0.0.1:0 >"$work/log" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		grep -q ' on http://127.0.0.1:' "$work/log" && return
		sleep 0.1
	done
	cat "$work/log" >&2
	exit 1
}
now() { date +%s.%N; }
# as they lie on the disk, and as they are
blobs() { find "$CROFT_HOME/blobs" -type f -printf '%s\n' | awk '{s += $1} END {printf "%.2f", s / 1e6}'; }
row() { printf '%-52s %10s\n' "$@"; }
timed() {
	what=$1
	shift
	t=$(now)
	"$build/croft" "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
	row "$what" "$(echo "$(now) $t" | awk '{printf "%.2f s", $1 - $2}')"
}
added() { row "$1" "$(echo "$(blobs) $before" | awk '{printf "%.2f MB", $1 - $2}')"; }
mkdir -p "$CROFT_HOME/blobs"
"$build/bench/bench_collections" data "$work/items.fbin" "$items" "$dim"
start
"$build/croft" collections import bench "$work/items.fbin" --create --batch 5000 >/dev/null 2>&1
row "versions of $items x $dim" measured
before=$(blobs)
timed "commit of all" collections commit bench
added "  blobs that it adds"
python3 - "$items" "$dim" >"$work/change.jsonl" <<'PY'
import json, random, sys
n, dim = int(sys.argv[1]), int(sys.argv[2])
random.seed(7)
for i in random.sample(range(n), n // 100):
    print(json.dumps({"id": i, "vector": [round(random.gauss(0, 1), 4) for _ in range(dim)]}))
PY
"$build/croft" collections import bench "$work/change.jsonl" >/dev/null 2>&1
before=$(blobs)
timed "commit of 1 % changed, spread over all" collections commit bench
added "  blobs that it adds"
timed "commit of nothing" collections commit bench
timed "diff of the two, with distances" collections diff bench 1 2
timed "diff once more" collections diff bench 1 2
timed "search of version 1 (exact, by scan)" collections search bench --like 1 -k 10 --as-of 1
timed "search of version 1 once more" collections search bench --like 1 -k 10 --as-of 1
before=$(blobs)
timed "copy" collections copy bench bench-2 --from 1
added "  blobs that it adds"
timed "first live use of the copy: its own rows and index" collections import bench-2 "$work/change.jsonl"
timed "restore of version 1" collections restore bench 1
added "  blobs that copy and restore add"
