#!/bin/sh
# The tokens of texts and conversations, against the reference library's ids and the counts that
# answers tell.
cd "$(dirname "$0")/../.." || exit 1
exec python3 tests/e2e/tokenize_ids.py
