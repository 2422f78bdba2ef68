#!/bin/sh
# Collections searched by words, and by words and vectors together.
cd "$(dirname "$0")/../.." || exit 1
exec python3 tests/e2e/collection_words.py
