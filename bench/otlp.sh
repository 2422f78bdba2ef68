#!/bin/sh
# bench/otlp.sh BUILD [SECONDS] [RATE]: OTLP spans into a server of its own, at 20,000 a second for a
# minute, then as fast as it goes for ten seconds. Every one is on disk before it is acknowledged.
set -eu
build=$1 seconds=${2:-60} rate=${3:-20000}
home=$(mktemp -d "${TMPDIR:-/tmp}/croft-otlp-XXXXXX")
env -i PATH="$PATH" CROFT_HOME="$home" CROFT_CONFIG=/dev/null CROFT_LISTEN=127.0.0.1:0 \
	${DB_URL:+CROFT_DB_URL="$DB_URL"} "$build/croft" up >"$home/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$home"' EXIT
until [ -s "$home/server.json" ]; do
	kill -0 $pid || { cat "$home/log"; exit 1; }
	sleep 0.1
done
address=$(sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' "$home/server.json")
stored() {
	spans=$(curl -sf "http://$address/metrics" | sed -n 's/^croft_trace_spans_total //p')
	bytes=$(du -sb "$home" | cut -f1)
	echo "on disk          $bytes bytes, $((bytes / (spans > 0 ? spans : 1))) a span ($spans stored)"
}
echo "== $rate spans/s for $seconds s"
"$build/bench/bench_otlp" "$address" $pid "$seconds" "$rate"
stored
echo "== as fast as it goes, 10 s"
"$build/bench/bench_otlp" "$address" $pid 10 0
stored
