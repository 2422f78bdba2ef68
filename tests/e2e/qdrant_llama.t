#!/bin/sh
# Applications that use Qdrant through LlamaIndex.
cd "$(dirname "$0")/../.." || exit 1
tools/setup-clients.sh llama >/dev/null 2>&1
python=build/venv/bin/python
[ -x "$python" ] && "$python" -c 'import llama_index.vector_stores.qdrant' 2>/dev/null ||
	{ echo "1..0 # SKIP llama-index-vector-stores-qdrant cannot be fetched"; exit 0; }
exec "$python" tests/e2e/qdrant_llama.py
