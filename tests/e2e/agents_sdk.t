#!/bin/sh
# OpenAI's Agents SDK: its file_search over a vector store, whole and streamed.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh agents >/dev/null 2>&1; then
	echo "1..0 # SKIP the openai-agents package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/agents_sdk.py
