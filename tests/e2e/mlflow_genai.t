#!/bin/sh
# MLflow's own client, unmodified: evaluation datasets, scorers, links and states of traces.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh mlflow >/dev/null 2>&1; then
	echo "1..0 # SKIP the mlflow-skinny package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/mlflow_genai.py 2>/dev/null
