#!/bin/sh
# Traces on the page, in headless Chromium.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v node >/dev/null || { [ ! -e /usr/bin/chromium ] && [ ! -e /usr/bin/chromium-browser ] && [ ! -e /usr/bin/google-chrome ]; }; then
	echo "1..0 # SKIP node or chromium is not installed"
	exit 0
fi
if [ ! -d web/node_modules/playwright-core ] && ! (cd web && npm ci --silent >/dev/null 2>&1); then
	echo "1..0 # SKIP playwright-core cannot be fetched"
	exit 0
fi
CROFT_SOURCE_ROOT=$PWD exec python3 tests/e2e/croft_server.py node tests/e2e/web_traces.mjs
