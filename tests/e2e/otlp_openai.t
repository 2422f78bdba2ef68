#!/bin/sh
# OpenTelemetry's instrumentation of the OpenAI client, unmodified: messages sent as log records.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh otel-openai >/dev/null 2>&1; then
	echo "1..0 # SKIP the opentelemetry packages cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/otlp_openai.py
