#!/bin/sh
# tests/e2e/collection_words.t again, with every collection in pgvector.
cd "$(dirname "$0")/../.." || exit 1
exec tests/e2e/on_pgvector.sh tests/e2e/collection_words.t
