#!/bin/sh
# The commands of access, and MLflow's and OpenAI's own clients with a key in a project.
cd "$(dirname "$0")/../.." || exit 1
if ! tools/setup-clients.sh mlflow >/dev/null 2>&1; then
	echo "1..0 # SKIP the mlflow-skinny package cannot be fetched"
	exit 0
fi
exec build/venv/bin/python tests/e2e/access_clients.py 2>/dev/null
