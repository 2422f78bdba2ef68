#!/bin/sh
# bench/engine.sh BUILD: `make bench-engine`. Builds the peer (llama-cpp-python with native flags) the
# first time; REPEATS=3 by default.
set -eu
cd "$(dirname "$0")/.."
models=${CROFT_TEST_MODELS:-$PWD/build/models} made=${CROFT_ORACLE_MODELS:-$PWD/build/oracle/models}
llama=$(tools/oracle/venv.sh llama)
gguf=$(ls "$models"/smollm2/*.gguf | head -1)
"$llama" tools/oracle/models.py "$gguf" "$models/minilm" "$made"
exec "$llama" bench/engine.py "$1/bench/bench_engine" "$gguf" "$models/minilm" "$made" "${REPEATS:-3}"
