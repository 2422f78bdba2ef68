#!/bin/sh
# /collections with Qdrant's official Python client, compared call by call with that client's own
# local mode, which answers from memory without a server.
cd "$(dirname "$0")/../.." || exit 1
tools/setup-clients.sh qdrant >/dev/null 2>&1
python=build/venv/bin/python
[ -x "$python" ] && "$python" -c 'import qdrant_client' 2>/dev/null ||
	{ echo "1..0 # SKIP the qdrant client cannot be fetched"; exit 0; }
exec "$python" tests/e2e/qdrant.py
