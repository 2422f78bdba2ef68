#!/bin/sh
# MLflow's autologging with scikit-learn, unmodified, and a plain training loop.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh sklearn >/dev/null 2>&1; then
	echo "1..0 # SKIP the packages mlflow-skinny and scikit-learn cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/mlflow_autolog.py 2>/dev/null
