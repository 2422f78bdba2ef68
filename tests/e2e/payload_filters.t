#!/bin/sh
# Filters on payloads mean what Qdrant's own client takes them for: random ones, decided by both.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh qdrant >/dev/null 2>&1; then
	echo "1..0 # SKIP the qdrant-client package cannot be fetched"
	exit 0
fi
echo 1..1
if out=$(build/venv/bin/python bench/filter_peer.py "${CROFT_BUILD:-build}/bench/bench_fields" 2000); then
	echo "ok 1 - $out"
else
	echo "$out" | sed 's/^/# /'
	echo "not ok 1 - filters"
fi
