#!/bin/sh
# bench/filter.sh BUILD: `make bench-filter`. Filters on payloads by index beside deciding item by item, and
# random ones beside the local mode of Qdrant's client (do they agree? it is Python and no match for speed).
set -eu
cd "$(dirname "$0")/.."
"$1/bench/bench_fields"
tools/setup-clients.sh qdrant >/dev/null || { echo "# Qdrant's client cannot be fetched" >&2; exit 0; }
exec build/venv/bin/python bench/filter_peer.py "$1/bench/bench_fields" 3000
