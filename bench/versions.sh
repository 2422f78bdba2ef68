#!/bin/sh
# bench/versions.sh BUILD: `make bench-versions`. Versions of a collection of ITEMS (100,000) vectors of
# DIM (384) numbers: what the first one, one after a change of 1 % spread over all items, a diff, a copy, a
# merge and restores take, in seconds as the command line sees them, searches of a version beside live ones
# in milliseconds of one client, and how many bytes the versions add to the store of blobs.
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
"$build/croft" collections branch bench bench-topic --from 1 >/dev/null 2>&1
for side in seen topic; do
	sed "s/\"vector\"/\"payload\": {\"$side\": true}, \"vector\"/" "$work/change.jsonl" >"$work/$side.jsonl"
done
"$build/croft" collections import bench-topic "$work/topic.jsonl" >/dev/null 2>&1
"$build/croft" collections import bench "$work/seen.jsonl" >/dev/null 2>&1
before=$(blobs)
timed "commit of 1 % changed, spread over all" collections commit bench
added "  blobs that it adds"
timed "commit of nothing" collections commit bench
timed "diff of the two, with distances" collections diff bench 1 2
timed "diff once more" collections diff bench 1 2
python3 bench/versions.py "$(sed -n 's/.* on \(http[^ ]*\).*/\1/p' "$work/log" | tail -1)" bench "$items" "$dim"
timed "merge of a branch with 1 % changed, by field" collections merge bench bench-topic --theirs
before=$(blobs)
timed "copy" collections copy bench bench-2 --from 1
added "  blobs that it adds"
timed "first live use of the copy: its own rows and index" collections import bench-2 "$work/change.jsonl"
timed "restore of version 1, in one transaction" collections restore bench 1
added "  blobs that copy and restore add"
python3 - "$work/items.fbin" "$work/others.fbin" <<'PY'
import sys
with open(sys.argv[1], "rb") as f:
    head, rows = f.read(8), f.read()
n, dim = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
half = n // 2 * dim * 4
with open(sys.argv[2], "wb") as f:
    f.write(head + rows[half:] + rows[:half])
PY
"$build/croft" collections import bench "$work/others.fbin" --batch 5000 >/dev/null 2>&1
"$build/croft" collections commit bench >/dev/null 2>&1
timed "restore of $items other items, until it is read" collections restore bench 1
t=$(now)
until "$build/croft" collections words bench --fields text >"$work/out" 2>&1; do sleep 0.2; done
row "  until it can be changed again" "$(echo "$(now) $t" | awk '{printf "%.2f s", $1 - $2}')"
