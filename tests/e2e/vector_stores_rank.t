#!/bin/sh
# OpenAI's official Python client: queries of vector stores that are rewritten, and results that a
# cross-encoder orders.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh python >/dev/null 2>&1; then
	echo "1..0 # SKIP the openai package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/vector_stores_rank.py
