#!/bin/sh
# tests/mlflow/own_tests.sh [BUILD] [FILE...]: MLflow's own tests that talk to a server, against Croft.
#
# The tests come from MLflow's repository at the tag of the pinned client, or from the checkout that
# MLFLOW_SOURCE names; they are not part of this repository. FILE: as in MLflow's tree; without: those
# listed below. With MLFLOW_OWN_SERVER=mlflow the same tests run against MLflow's own server.
# A test that fails and is not explained in tests/mlflow/known.txt makes this fail.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
build=$root/${1:-build}
[ $# -eq 0 ] || shift
version=$(sed -n 's/.*mlflow-skinny==\([0-9.]*\).*/\1/p' tools/setup-clients.sh | head -1)
source=${MLFLOW_SOURCE:-$build/mlflow-source-$version}
venv=$build/mlflow-own
files=${*:-tests/tracking/test_rest_tracking.py tests/tracking/test_model_registry.py
	tests/tracking/test_client_webhooks.py tests/store/model_registry/test_rest_store_webhooks.py
	tests/tracking/test_tracking.py tests/tracking/fluent/test_fluent.py
	tests/tracking/_model_registry/test_model_registry_fluent.py
	tests/genai/prompts/test_prompts.py tests/genai/datasets/test_fluent.py
	tests/genai/scorers/test_scorer_CRUD.py tests/tracing/test_fluent.py
	tests/tracing/test_otel_loading.py tests/tracing/test_otel_logging.py}

if ! [ -d "$source/tests" ]; then
	echo "fetching the tests of MLflow $version into $source" >&2
	git clone --quiet --depth 1 --filter=blob:none --sparse --branch "v$version" \
		https://github.com/mlflow/mlflow "$source"
	git -C "$source" sparse-checkout set tests
fi
if ! [ -e "$venv/complete" ]; then
	echo "installing mlflow $version and what its tests need into $venv" >&2
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check "mlflow==$version" pytest \
		pytest-asyncio pytest-timeout polars uv ipython plotly pillow \
		opentelemetry-exporter-otlp-proto-http opentelemetry-exporter-otlp-proto-grpc >&2
	touch "$venv/complete"
fi

out=$build/mlflow-own-results
rm -rf "$out"
mkdir -p "$out"
export CROFT_BUILD="$build" PYTHONPATH="$root/tests/mlflow:$source" PATH="$venv/bin:$PATH"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_HTTP_REQUEST_MAX_RETRIES=0
cd "$source"
for file in $files; do
	name=$(echo "$file" | tr '/ ' '__')
	# pytest says by its exit code that something failed; the lines below say what
	"$venv/bin/python" -m pytest -q -p croft_plugin -p no:cacheprovider -o addopts= --timeout 120 \
		--tb=short --croft-results "$out/$name.txt" "$file" >"$out/$name.log" 2>&1 || true
	[ -e "$out/$name.txt" ] || echo "fail $file (see $out/$name.log)" >"$out/$name.txt"
done
exec python3 "$root/tests/mlflow/summary.py" "$root/tests/mlflow/known.txt" "$out"/*.txt
