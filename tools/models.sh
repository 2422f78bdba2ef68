#!/bin/sh
# tools/models.sh CROFT: the default models, pulled once into build/test-home by croft itself, and
# linked under the short names that the tests use (build/models/smollm2, build/models/minilm).
set -eu
croft=$1
[ -z "${CROFT_TEST_MODELS:-}" ] || exit 0
root=$(cd "$(dirname "$0")/.." && pwd)
home=$root/build/test-home
mkdir -p "$root/build/models"
for pair in smollm2=smollm2-135m-instruct minilm=all-minilm-l6-v2; do
	link=${pair%%=*} model=${pair#*=}
	[ -e "$root/build/models/$link/" ] && continue
	CROFT_HOME=$home "$croft" pull "$model"
	ln -sfn "$home/models/$model" "$root/build/models/$link"
done
