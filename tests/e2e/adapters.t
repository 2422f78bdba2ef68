#!/bin/sh
# LoRA adapters over the official Python client and a real model, named as models are.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh python >/dev/null 2>&1; then
	echo "1..0 # SKIP the openai package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/adapters.py
