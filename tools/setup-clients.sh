#!/bin/sh
# tools/setup-clients.sh all|GROUP: the official clients that tests/e2e uses, at pinned versions, in
# build/venv and build/node. Does nothing when they are there. Their tests are skipped when they
# cannot be fetched, and say so. To add one: its line in `case`, its name in the loop.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
exec 9>build/.clients.lock
flock 9 2>/dev/null || true

# pip NAME==VERSION...
pip() {
	stamp=build/venv/$(echo "$*" | tr ' /' '_~')
	[ -e "$stamp" ] && return
	[ -e build/venv/bin/pip ] || python3 -m venv build/venv || return
	build/venv/bin/pip install --quiet --disable-pip-version-check "$@" >&2 && touch "$stamp"
}

# npm NAME@VERSION...
npm_install() {
	stamp=build/node/$(echo "$*" | tr ' /' '_~')
	[ -e "$stamp" ] && return
	mkdir -p build/node
	(
		cd build/node || exit
		[ -e package.json ] || npm init -y >/dev/null || exit
		npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps "$@" >&2
	) && touch "$stamp"
}

clients() {
	case $1 in
	python) pip openai==3.54.0 ;;
	agents) pip openai==3.54.0 openai-agents==0.24.0 ;;
	anthropic) pip anthropic==2.14.0 ;;
	cohere) pip cohere==7.3.1 ;;
	otel-python) pip opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 ;;
	otel-openai) pip opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 openai==3.54.0 httpx==0.28.1 \
		opentelemetry-instrumentation-openai-v2==2.4b0 opentelemetry-util-genai==0.4b0 ;;
	mlflow) pip mlflow-skinny==3.17.2 ;;
	sklearn) pip mlflow-skinny==3.17.2 scikit-learn==1.9.1 skops==0.16.0 pandas==3.1.1 ;;
	formats) pip prov==3.2.3 openlineage-python==1.54.0 model-signing==1.1.1 pyOpenSSL==26.4.0 \
		'cyclonedx-python-lib[json-validation]==11.12.0' mlcroissant==1.1.1 PyYAML==6.0.4 ;;
	qdrant) pip qdrant-client==1.20.0 langchain-qdrant==1.1.0 ;;
	llama) pip qdrant-client==1.20.0 llama-index-core==0.14.25 llama-index-vector-stores-qdrant==0.10.4 ;;
	qdrant-node) npm_install @qdrant/js-client-rest@1.18.0 ;;
	node) npm_install openai@6.49.0 zod@4.6.7 ;;
	prometheus) pip prometheus-client==0.26.0 ;;
	oidc) npm_install oidc-provider@9.13.3 jose@6.2.18 ;;
	otel-node)
		# the newest ones that run on node 20
		npm_install @opentelemetry/api@1.10.0 @opentelemetry/sdk-trace-base@2.12.1 \
			@opentelemetry/exporter-trace-otlp-http@0.223.1 \
			@opentelemetry/exporter-trace-otlp-proto@0.223.1 &&
			npm_install @opentelemetry/api-logs@0.223.1 @opentelemetry/sdk-logs@0.223.1 \
				@opentelemetry/exporter-logs-otlp-http@0.223.1 \
				@opentelemetry/exporter-logs-otlp-proto@0.223.1
		;;
	*) return 2 ;;
	esac
}

case ${1:-} in
all)
	# before the tests start: an install must not change packages under a running one
	for group in python agents anthropic cohere otel-python mlflow sklearn formats prometheus node oidc otel-node otel-openai qdrant llama qdrant-node; do
		(clients $group) || echo "setup-clients: $group cannot be fetched; its tests are skipped" >&2
	done
	;;
*)
	clients "${1:-}" || {
		[ $? != 2 ] || echo "usage: tools/setup-clients.sh all|python|agents|anthropic|cohere|mlflow|sklearn|formats|prometheus|node|oidc|otel-python|otel-node|otel-openai|qdrant|llama|qdrant-node" >&2
		exit 1
	}
	;;
esac
