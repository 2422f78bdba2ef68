#!/bin/sh
# bench/engine.sh BUILD: `make bench-engine`. Builds the peers the first time (llama-cpp-python with native
# flags, sentence-transformers, ONNX Runtime) and a model of 1B random weights (6 GB of files; SMALL=1
# leaves it out). REPEATS=3 by default; ONLY=text keeps the rows whose name contains it.
set -eu
cd "$(dirname "$0")/.."
models=${CROFT_TEST_MODELS:-$PWD/build/models} made=${CROFT_ORACLE_MODELS:-$PWD/build/oracle/models}
llama=$(tools/oracle/venv.sh llama)
st=$(tools/oracle/venv.sh st)
gguf=$(ls "$models"/smollm2/*.gguf | head -1)
"$llama" tools/oracle/models.py "$gguf" "$models/minilm" "$made" ${SMALL:-1b}
"$llama" bench/engine.py "$1/bench/bench_engine" "$gguf" "$models/minilm" "$made" "$st" "${REPEATS:-3}" "${ONLY:-}"
# what each kernel reaches of what the machine allows
[ -n "${ONLY:-}" ] || exec "$1/bench/bench_kernels" 2
