#!/bin/sh
# bench/tracking.sh BUILD [SECONDS]: Croft beside `mlflow server` (its package, its own SQLite
# store), the same load generator, one after the other on this machine. DB=postgres: Croft on a
# PostgreSQL of its own (MLflow stays on SQLite, as the goal has it).
set -eu
build=$(cd "$1" && pwd) seconds=${2:-5}
root=$(cd "$(dirname "$0")/.." && pwd)
version=3.17.2
tmp=$(mktemp -d)
pids=
trap 'for p in $pids; do kill "$p" 2>/dev/null || true; done; wait 2>/dev/null; rm -rf "$tmp"' EXIT INT TERM
venv=$build/bench/mlflow
if ! [ -x "$venv/bin/mlflow" ]; then
	echo "installing mlflow $version into $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check "mlflow==$version" >&2
fi
bench=$build/bench/bench_tracking
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

echo "# the generator against a process that only answers:" >&2
"$bench" null measure 1 | sed 's/^/# ceiling: /' >&2

# ---- MLflow ----
port=$(free_port)
(cd "$tmp" && MLFLOW_DISABLE_TELEMETRY=true exec "$venv/bin/mlflow" server --port "$port" \
	--backend-store-uri "sqlite:///$tmp/mlflow.db" --artifacts-destination "$tmp/artifacts" \
	>"$tmp/mlflow.log" 2>&1) &
mlflow=$!
pids="$pids $mlflow"
n=0
until curl -fs "http://127.0.0.1:$port/health" >/dev/null; do
	n=$((n + 1))
	[ $n -lt 240 ] || { cat "$tmp/mlflow.log" >&2; exit 1; }
	sleep 0.5
done
ids=$("$venv/bin/python" "$root/bench/tracking_fill.py" "$tmp/mlflow.db")
# shellcheck disable=SC2086
"$bench" "127.0.0.1:$port" measure "$seconds" $ids >"$tmp/mlflow.txt"
kill "$mlflow" && wait "$mlflow" 2>/dev/null || true

# ---- Croft ----
export CROFT_HOME="$tmp/croft" CROFT_LISTEN=127.0.0.1:0 CROFT_CONFIG="$tmp/croft.yaml"
mkdir -p "$CROFT_HOME"
: >"$CROFT_CONFIG"
store=sqlite
if [ "${DB:-}" = postgres ]; then
	store=postgres
	python3 - "$root" "$tmp" <<'PY' &
import sys, time
sys.path.insert(0, sys.argv[1] + "/tests")
import pg
if pg.missing():
    sys.exit(pg.missing())
with pg.Pg({"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB"}) as p:
    with open(sys.argv[2] + "/pg.url", "w") as f:
        f.write(p.url())
    time.sleep(3600)
PY
	pids="$pids $!"
	n=0
	until [ -s "$tmp/pg.url" ]; do
		n=$((n + 1))
		[ $n -lt 120 ] || exit 1
		sleep 0.5
	done
	CROFT_DB_URL=$(cat "$tmp/pg.url")
	export CROFT_DB_URL
fi
"$build/croft" up >"$tmp/croft.log" 2>&1 &
pids="$! $pids"
n=0
until [ -s "$CROFT_HOME/server.json" ]; do
	n=$((n + 1))
	[ $n -lt 120 ] || { cat "$tmp/croft.log" >&2; exit 1; }
	sleep 0.5
done
address=$(sed 's/.*"address":"\([^"]*\)".*/\1/' "$CROFT_HOME/server.json")
ids=$("$bench" "$address" fill)
# shellcheck disable=SC2086
"$bench" "$address" measure "$seconds" $ids >"$tmp/croft.txt"

echo "mlflow server $version (SQLite) beside Croft ($store), $(nproc) CPUs; load $(cut -d' ' -f1 /proc/loadavg)"
paste "$tmp/mlflow.txt" "$tmp/croft.txt" | awk '
	BEGIN { printf "%-16s %14s %14s %9s\n", "", "mlflow", "croft", "times" }
	{ r = $1 ~ /_ms$/ ? $2 / $4 : $4 / $2; printf "%-16s %14s %14s %8.1fx\n", $1, $2, $4, r }'
