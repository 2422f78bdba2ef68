#!/bin/sh
# on_pgvector.sh COMMAND...: a test with its instances on PostgreSQL and its collections in pgvector.
cd "$(dirname "$0")/../.." || exit 1
if ! why=$(tools/setup-pgvector.sh 2>&1); then
	echo "1..0 # SKIP pgvector cannot be installed: $(echo "$why" | tail -1)"
	exit 0
fi
export CROFT_TEST_DB=postgres CROFT_TEST_BACKEND=pgvector
if [ -n "${CROFT_TEST_PG_URL:-}" ]; then # beside other tests (tools/test.sh)
	CROFT_TEST_DB_URL=$CROFT_TEST_PG_URL
	export CROFT_TEST_DB_URL
	exec "$@"
fi
exec tests/pg.py "$@"
