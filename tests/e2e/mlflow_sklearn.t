#!/bin/sh
# scikit-learn through MLflow's client: log, register, alias, load.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh sklearn >/dev/null 2>&1; then
	echo "1..0 # SKIP the packages mlflow-skinny and scikit-learn cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/mlflow_sklearn.py 2>/dev/null
