#!/bin/sh
# Words, sparse vectors, lists of vectors and examples in pgvector beside the same in memory.
cd "$(dirname "$0")/../.." || exit 1
exec tests/e2e/on_pgvector.sh python3 tests/e2e/pgvector_words.py
