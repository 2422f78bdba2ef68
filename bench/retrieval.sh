#!/bin/sh
# bench/retrieval.sh BUILD [DATA]: retrieval quality of the default embedding model on a folder of
# sets in the BEIR layout. Without DATA: the shared test data, where it is present.
set -eu
build=$1 data=${2:-}
root=$(cd "$(dirname "$0")/.." && pwd)
[ -n "$data" ] || data=${CROFT_SHARED_DATA:-$root/../shared/data}/rag
[ -d "$data" ] || { echo "no folder $data: give one with DATA=folder (one sub-folder a set: corpus.jsonl, queries.jsonl, qrels.tsv)" >&2; exit 2; }
exec "$build/bench/bench_retrieval" "${CROFT_TEST_MODELS:-$root/build/models}/minilm" "$data"
