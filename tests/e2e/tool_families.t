#!/bin/sh
# Calls as Qwen3-Coder, gpt-oss, Functionary and Mistral write them, end to end.
cd "$(dirname "$0")/../.." || exit 1
exec python3 tests/e2e/tool_families.py
