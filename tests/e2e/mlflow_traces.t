#!/bin/sh
# The official MLflow client's traces and assessments, unmodified.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh mlflow >/dev/null 2>&1; then
	echo "1..0 # SKIP mlflow-skinny cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/mlflow_traces.py
