#!/bin/sh
# tools/oracle/venv.sh NAME: prints the Python of a virtual environment with a reference library,
# made under build/oracle the first time.
#   llama  llama-cpp-python, built from its source package with native flags (about 10 minutes)
#   st     sentence-transformers on Debian's CPU build of PyTorch, ONNX Runtime
#   peft   a folder for PYTHONPATH beside st: PEFT
#   data   scikit-learn, cleanlab, pyarrow
# CROFT_ORACLE_LLAMA and CROFT_ORACLE_ST name a ready Python instead.
set -eu
cd "$(dirname "$0")/../.."
dir=$PWD/build/oracle/$1
case $1 in
llama)
	[ -z "${CROFT_ORACLE_LLAMA:-}" ] || { echo "$CROFT_ORACLE_LLAMA"; exit; }
	if [ ! -x "$dir/ok" ]; then
		command -v cmake >/dev/null || apt-get install -y --no-install-recommends cmake g++ >&2
		python3 -m venv "$dir" >&2
		CMAKE_ARGS=-DGGML_NATIVE=ON "$dir/bin/pip" install -q llama-cpp-python==0.3.36 gguf==0.17.1 safetensors >&2
		ln -s bin/python "$dir/ok"
	fi ;;
st)
	[ -z "${CROFT_ORACLE_ST:-}" ] || { echo "$CROFT_ORACLE_ST"; exit; }
	if [ ! -x "$dir/ok" ]; then
		dpkg -s python3-torch libopenblas0-pthread >/dev/null 2>&1 ||
			apt-get install -y --no-install-recommends python3-torch libopenblas0-pthread python3-venv >&2
		/usr/bin/python3 -m venv --system-site-packages "$dir" >&2
		"$dir/bin/pip" install -q --no-deps sentence-transformers==2.7.0 transformers==4.41.2 huggingface-hub==0.23.4 \
			tokenizers==0.19.1 safetensors==0.4.5 tqdm regex requests pyyaml filelock packaging scikit-learn==1.4.2 \
			scipy==1.11.4 Pillow joblib threadpoolctl fsspec numpy==1.24.4 typing-extensions urllib3 idna certifi \
			charset-normalizer cloudpickle >&2
		"$dir/bin/pip" install -q --no-deps onnxruntime==1.17.3 coloredlogs humanfriendly flatbuffers protobuf sympy mpmath >&2
		ln -s bin/python "$dir/ok"
	fi ;;
peft)
	if [ ! -e "$dir/ok" ]; then
		"$(tools/oracle/venv.sh st)" -m pip install -q --no-deps --target "$dir" peft==0.11.1 accelerate==0.30.1 psutil==5.9.8 >&2
		touch "$dir/ok"
	fi
	echo "$dir"
	exit ;;
data)
	if [ ! -x "$dir/ok" ]; then
		python3 -m venv "$dir" >&2
		"$dir/bin/pip" install -q scikit-learn==1.9.1 cleanlab==2.9.0 pyarrow==26.0.1 numpy==2.4.6 >&2
		ln -s bin/python "$dir/ok"
	fi ;;
*) echo "venv.sh: llama, st, peft or data" >&2; exit 2 ;;
esac
echo "$dir/bin/python"
