#!/bin/sh
# bench/gateway.sh BUILD: what a gateway adds to a provider's answer: the same requests straight to a
# provider that answers at once, through Croft, and through LiteLLM's proxy (its package, in a venv of
# the bench's own). Prints what is in bench/gateway.py's first lines.
set -eu
cd "$(dirname "$0")/.."
build=$1
version=1.80.0
venv=$build/bench/litellm
if ! [ -e "$venv/$version" ]; then
	echo "installing litellm $version into $venv" >&2
	{ python3 -m venv "$venv" &&
		"$venv/bin/pip" install --quiet --disable-pip-version-check "litellm[proxy]==$version" >&2 &&
		touch "$venv/$version"; } || echo "litellm cannot be installed: no comparison" >&2
fi
exec python3 bench/gateway.py "$build" "$venv"
