#!/bin/sh
# bench/retrieval.sh BUILD [DATA]: retrieval quality of the default embedding model on a folder of
# sets in the BEIR layout. Without DATA: the shared test data, where it is present.
#   MODEL=folder   another embedding model
#   RERANK=folder  a cross-encoder: rows of the hybrid whose best DEPTH (20) documents it orders
#   WEIGHT=N       of the dense side in the hybrid, as rag.dense_weight: percent
#   QUERIES=N      only the first N judged queries of each set, in every row
set -eu
build=$1 data=${2:-}
root=$(cd "$(dirname "$0")/.." && pwd)
[ -n "$data" ] || data=${CROFT_SHARED_DATA:-$root/../shared/data}/rag
[ -d "$data" ] || { echo "no folder $data: give one with DATA=folder (one sub-folder a set: corpus.jsonl, queries.jsonl, qrels.tsv)" >&2; exit 2; }
export CROFT_BENCH_RERANK=${RERANK:-} CROFT_BENCH_DEPTH=${DEPTH:-} CROFT_BENCH_QUERIES=${QUERIES:-} CROFT_BENCH_WEIGHT=${WEIGHT:-}
exec "$build/bench/bench_retrieval" "${MODEL:-${CROFT_TEST_MODELS:-$root/build/models}/minilm}" "$data"
