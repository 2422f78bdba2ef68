#!/bin/sh
# Anthropic's official Python client against a real model.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh anthropic >/dev/null 2>&1; then
	echo "1..0 # SKIP the anthropic package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/messages.py
