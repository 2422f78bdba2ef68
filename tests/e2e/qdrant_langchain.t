#!/bin/sh
# Applications that use Qdrant through LangChain.
cd "$(dirname "$0")/../.." || exit 1
tools/setup-clients.sh qdrant >/dev/null 2>&1
python=build/venv/bin/python
[ -x "$python" ] && "$python" -c 'import langchain_qdrant' 2>/dev/null ||
	{ echo "1..0 # SKIP langchain-qdrant cannot be fetched"; exit 0; }
exec "$python" tests/e2e/qdrant_langchain.py
