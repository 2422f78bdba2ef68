#!/bin/sh
# tools/setup-clients.sh python|node: the official clients that tests/e2e uses, at pinned versions,
# in build/venv and build/node. Does nothing when they are there. Their tests are skipped when they
# cannot be fetched, and say so.
set -eu
cd "$(dirname "$0")/.."
openai_python=3.54.0
openai_node=6.49.0
mkdir -p build
exec 9>build/.clients.lock
flock 9 2>/dev/null || true
case ${1:-} in
python)
	stamp=build/venv/openai-$openai_python
	[ -e "$stamp" ] && exit 0
	rm -rf build/venv
	python3 -m venv build/venv
	build/venv/bin/pip install --quiet --disable-pip-version-check "openai==$openai_python" >&2
	touch "$stamp"
	;;
node)
	stamp=build/node/openai-$openai_node
	[ -e "$stamp" ] && exit 0
	rm -rf build/node
	mkdir -p build/node
	(cd build/node && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --ignore-scripts "openai@$openai_node" >&2)
	touch "$stamp"
	;;
*)
	echo "usage: tools/setup-clients.sh python|node" >&2
	exit 2
	;;
esac
