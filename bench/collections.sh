#!/bin/sh
# bench/collections.sh BUILD: `make bench-collections`. Queries a second through HTTP with JSON, ten hits
# of ITEMS (200,000) generated vectors of DIM (384) numbers, with Qdrant's API; the client shares the
# machine. Also how fast the items go in, how long a server that starts again takes to open them, and
# memory; then what a collection has beside plain vectors (collections_kinds.py). BACKEND=pgvector: all of it in
# memory and in pgvector, both in a PostgreSQL of its own (tests/pg.py), which flushes to disk.
set -eu
cd "$(dirname "$0")/.."
build=$1
items=${ITEMS:-200000} dim=${DIM:-384} seconds=${SECONDS_EACH:-10} backend=${BACKEND:-embedded}
if [ "$backend" = pgvector ] && [ -z "${CROFT_TEST_PG_URL:-}" ]; then
	tools/setup-pgvector.sh
	export CROFT_TEST_PG_SETTINGS="fsync=on,shared_buffers=1GB,max_wal_size=4GB,autovacuum_naptime=1min"
	exec tests/pg.py sh -c 'BACKEND=embedded bench/collections.sh "$1" && BACKEND=pgvector bench/collections.sh "$1"' - "$build"
fi
work=$(mktemp -d)
export CROFT_HOME="$work/home"
[ -z "${CROFT_TEST_PG_URL:-}" ] || export CROFT_DB_URL="$CROFT_TEST_PG_URL&options=-csearch_path%3D$backend"
pid=
trap 'test -n "$pid" && kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
start() {
	: >"$work/log" # of the one before: another port
	"$build/croft" up --listen 127.0.0.1:0 >"$work/log" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		port=$(sed -n 's/.* on http:\/\/127.0.0.1:\([0-9]*\).*/\1/p' "$work/log" | head -1)
		[ -n "$port" ] && return
		sleep 0.1
	done
	cat "$work/log" >&2
	exit 1
}
now() { date +%s.%N; }
row() { printf '%-44s %12s %10s %s\n' "$@"; }
since() { echo "$(now) $1" | awk '{printf "%.2f", $1 - $2}'; }
# CPU seconds of the server and of PostgreSQL's processes
cpu() {
	postmaster=$(head -1 "${CROFT_TEST_PG_DIR:-/nowhere}/data/postmaster.pid" 2>/dev/null || echo 0)
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) (.*) /\1 /' |
		awk -v server="$pid" -v postmaster="$postmaster" -v tick="$(getconf CLK_TCK)" \
			'$1 == server || $3 == postmaster {t += $13 + $14} $1 == postmaster {t += $15 + $16} END {printf "%.2f", t / tick}'
}
resident() { awk '/VmRSS/ {printf "%.0f", $2 / 1024}' "/proc/$pid/status"; }
"$build/bench/bench_collections" data "$work/items.fbin" "$items" "$dim"
start
empty=$(resident)
t=$(now) c=$(cpu)
"$build/croft" collections import bench "$work/items.fbin" --create --backend "$backend" --batch 5000 >/dev/null 2>&1
used=$(cpu)
row "what ($items x $dim, $backend)" measured goal ""
row "items a second, put and durable" "$(echo "$(now) $t $items" | awk '{printf "%.0f", $3 / ($1 - $2)}')" "" ""
row "  CPU of it (us an item, with PostgreSQL's)" "$(echo "$used $c $items" | awk '{printf "%.0f", 1e6 * ($1 - $2) / $3}')" "" ""
if [ "$backend" = pgvector ] && [ "$items" -ge 10000 ]; then
	for _ in $(seq 3000); do
		grep -q "has a graph over" "$work/log" && break
		sleep 0.2
	done
	row "  seconds until the graph was there, too" "$(sed -n 's/.*made in \([0-9.]*\) s.*/\1/p' "$work/log")" "" ""
fi
for connections in 1 8; do
	"$build/bench/bench_collections" load "$port" "$work/items.fbin.queries" 1 1 >/dev/null # caches
	c=$(cpu)
	"$build/bench/bench_collections" load "$port" "$work/items.fbin.queries" "$seconds" "$connections" >"$work/out"
	used=$(cpu)
	read -r qps p50 p99 recall <"$work/out"
	good=$(echo "$qps" | awk '{print ($1 >= 5000) ? "ok" : "below"}')
	row "queries a second, $connections at once" "$qps" ">= 5000" "$good"
	row "  p50 / p99 (us), recall@10" "$p50 / $p99" "" "$recall"
	row "  CPU (us a query, about: with 400 to check)" "$(echo "$used $c $qps $seconds" | awk '{printf "%.0f", 1e6 * ($1 - $2) / ($3 * $4 + 400)}')" "" ""
done
row "memory of the server (MiB), empty at first" "$(resident) - $empty" "" ""
kill "$pid" && wait "$pid" 2>/dev/null || true
start
t=$(now)
"$build/croft" collections search bench --like 1 -k 1 >/dev/null
row "seconds until a started server has answered" "$(since "$t")" "" ""
"$build/croft" collections rm bench >/dev/null
echo
python3 bench/collections_kinds.py "http://127.0.0.1:$port" "$pid" "$backend"
