#!/bin/sh
# /collections with Qdrant's official JavaScript client, unmodified, with a key.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v node >/dev/null || ! tools/setup-clients.sh qdrant-node >/dev/null 2>&1; then
	echo "1..0 # SKIP node or the qdrant client cannot be fetched"
	exit 0
fi
cp tests/e2e/qdrant_node.mjs build/node/qdrant_node.mjs # beside its node_modules
exec python3 tests/e2e/croft_server.py --key test-key node build/node/qdrant_node.mjs
