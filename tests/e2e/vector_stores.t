#!/bin/sh
# OpenAI's official Python client: vector stores, their files and batches, searches, file_search.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh python >/dev/null 2>&1; then
	echo "1..0 # SKIP the openai package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/vector_stores.py
