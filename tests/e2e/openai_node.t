#!/bin/sh
# The official Node client, unmodified, against a real server with the two default models.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v node >/dev/null || ! tools/setup-clients.sh node >/dev/null 2>&1; then
	echo "1..0 # SKIP node or the openai package cannot be fetched"
	exit 0
fi
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
	echo "1..0 # SKIP the openai package needs node 20"
	exit 0
fi
cp tests/e2e/openai_node.mjs build/node/openai_node.mjs # beside its node_modules
exec python3 tests/e2e/croft_server.py --models --key test-key node build/node/openai_node.mjs
