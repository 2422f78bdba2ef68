#!/bin/sh
# The official OpenTelemetry exporters for JavaScript, unmodified: JSON and protobuf.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v node >/dev/null || ! tools/setup-clients.sh otel-node >/dev/null 2>&1; then
	echo "1..0 # SKIP node or the opentelemetry packages cannot be fetched"
	exit 0
fi
cp tests/e2e/otlp_node.mjs build/node/otlp_node.mjs # beside its node_modules
exec python3 tests/e2e/croft_server.py node build/node/otlp_node.mjs
