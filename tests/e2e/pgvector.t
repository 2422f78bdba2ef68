#!/bin/sh
# Collections in pgvector beside the same ones in memory: every answer alike.
cd "$(dirname "$0")/../.." || exit 1
tools/setup-clients.sh qdrant >/dev/null 2>&1
python=build/venv/bin/python
[ -x "$python" ] || python=python3
exec tests/e2e/on_pgvector.sh "$python" tests/e2e/pgvector.py
