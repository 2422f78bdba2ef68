#!/bin/sh
# tools/run.sh CROFT DOCS QUESTION: what `make run` does after the build. The data directory is
# CROFT_HOME (~/.local/share/croft when unset).
set -eu
croft=$1 docs=$2 ask=$3
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

[ -e "$docs" ] || { echo "make run: there is no folder $docs (DOCS=/any/folder)" >&2; exit 1; }
for model in smollm2-135m-instruct all-minilm-l6-v2; do
	"$croft" models --json | grep -q "\"name\":\"$model\"[^}]*\"installed\":true" || {
		say "Fetching $model"
		"$croft" pull "$model"
	}
done

say "Indexing $docs"
"$croft" ingest --only "$docs" || echo "(some files could not be read; the reasons stand above)"

say "Starting the server"
"$croft" up &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; exit 0' INT TERM
trap 'kill $server 2>/dev/null || true' EXIT
until "$croft" status --json 2>/dev/null | grep -q '"ready":true'; do
	kill -0 $server 2>/dev/null || { wait $server; exit 1; }
	sleep 0.2
done

if [ -z "$ask" ]; then
	ask='What is Croft?'
	[ "$docs" = docs ] || ask="What is $("$croft" docs --titles 2>/dev/null | head -1) about?"
fi
say "Asking: $ask"
"$croft" ask "$ask" || true
say "Ask more on http://${CROFT_LISTEN:-127.0.0.1:7117} (Ctrl-C ends the server)"
wait $server
