#!/bin/sh
# /v1/rerank, /v2/rerank and /rerank with a cross-encoder: plain requests in each face's shape, and
# Cohere's official client when it can be fetched.
cd "$(dirname "$0")/../.." || exit 1
tools/setup-clients.sh cohere >/dev/null 2>&1
python=build/venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" tests/e2e/rerank.py
