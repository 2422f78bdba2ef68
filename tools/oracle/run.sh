#!/bin/sh
# tools/oracle/run.sh BUILD: `make oracle`. Sets the engine beside its references and records what
# they say as golden data under tests/golden, with their versions; `make test` compares with that.
set -eu
cd "$(dirname "$0")/../.."
build=$1 models=${CROFT_TEST_MODELS:-$PWD/build/models}
dump=$PWD/$build/bench/engine_dump made=$PWD/build/oracle/models
llama=$(tools/oracle/venv.sh llama)
st=$(tools/oracle/venv.sh st)
gguf=$(ls "$models"/smollm2/*.gguf | head -1)
"$llama" tools/oracle/models.py "$gguf" "$models/minilm" "$made"
echo "== number formats, beside the gguf package"
"$llama" tools/oracle/quants.py
echo "== logits, beside llama.cpp"
"$llama" tools/oracle/logits.py "$dump" tests/golden/engine/logits.json "$gguf" "$made"/smollm2-*.gguf
echo "== embeddings, beside sentence-transformers"
"$st" tools/oracle/embeddings.py "$dump" "$models/minilm" tests/golden/engine/embeddings.json "${CROFT_SHARED_DATA:-$PWD/../shared/data}/finetune/state_union.zip"
echo "== embeddings of models that came as ONNX files, beside ONNX Runtime"
for model in bge-small:bge-small-en-v15 e5-small:e5-small-v2; do
	package=langchain4j-embeddings-${model#*:}
	[ -e "$models/${model%:*}/model.safetensors" ] || { echo "no ${model%:*} in $models"; continue; }
	"$st" tools/oracle/onnx.py "$dump" "$models/${model%:*}" "$(find "${MAVEN_REPO:-$HOME/.m2/repository}/dev/langchain4j/$package" -name "$package-*.jar" | head -1)" \
		tests/golden/engine/embeddings.json "tests/golden/engine/embeddings-${model%:*}.json"
done
echo "== embeddings in many scripts, beside a pass in numpy"
"$st" tools/oracle/multilingual.py "$dump" "$models/multilingual-e5" tests/golden/engine/embeddings.json \
	tests/golden/engine/embeddings-multilingual-e5.json
echo "== scores of pairs, beside transformers"
"$st" tools/oracle/ranking.py "$dump" "$models/minilm" tests/golden/engine/ranking.json tests/golden/engine/embeddings.json
"$st" tools/oracle/xlmr.py "$dump" tests/golden/engine/xlmr.json
echo "== small models of every family, beside llama.cpp"
"$llama" tools/oracle/families.py "$build/tests/test_engine_families" build/oracle/families tests/golden/engine/families.json
echo "== LoRA adapters, beside llama.cpp and merged weights"
"$llama" tools/oracle/adapters.py "$dump" "$build/tests/test_engine_adapter" build/oracle/adapters tests/golden/engine/adapters.json "$made"/smollm2-f16.gguf "$made"/smollm2-q8_0.gguf "$made"/smollm2-q4_0.gguf
echo "== an adapter that PEFT trains"
PYTHONPATH=$(tools/oracle/venv.sh peft) "$st" tools/oracle/peft_adapter.py "$build/tests/test_engine_adapter" build/oracle/peft-model tests/golden/engine/peft
echo "== regular expressions, beside node"
mkdir -p build/oracle/json-schema
tar xJf "${CROFT_SHARED_DATA:-$PWD/../shared/data}/conformance/json-schema-test-suite.tar.xz" -C build/oracle/json-schema
node tools/oracle/regex.js build/oracle/json-schema/tests
echo "== outliers, spread labels and wrong labels, beside scikit-learn and cleanlab"
data=$(tools/oracle/venv.sh data)
"$data" tools/oracle/curate.py tests/golden/vector/curate.json
echo "== Parquet files, of pyarrow's and for it"
"$data" tools/oracle/parquet.py tests/golden/parquet
CROFT_BUILD=$PWD/$build CROFT_PYARROW=$data python3 tests/e2e/parquet.t
