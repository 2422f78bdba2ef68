#!/bin/sh
# tools/test.sh BUILD FILTER [browser]: runs TAP programs under prove. FILTER keeps the files whose
# name contains it; when no file does, the single tests whose name contains it. A PostgreSQL server
# of its own runs beside the tests that want one; CROFT_TEST_DB=postgres puts every instance that a
# test opens on it.
set -eu
cd "$(dirname "$0")/.."
build=$1 filter=${2:-} kind=${3:-}
export CROFT_SOURCE_ROOT="$PWD" CROFT_BUILD="$PWD/$build"
export CROFT_TEST_MODELS="${CROFT_TEST_MODELS:-$PWD/build/models}"
if [ -d "${CROFT_SHARED_DATA:=$PWD/../shared/data}" ]; then export CROFT_SHARED_DATA; else unset CROFT_SHARED_DATA; fi
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/tools/lsan.supp:print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
case $build in *address* | *thread*)
	export CROFT_TEST_SANITIZED=1 CROFT_TEST_TIMEOUT_SCALE=${CROFT_TEST_TIMEOUT_SCALE:-5} ;;
esac

if [ "$kind" = browser ]; then
	# once, here: several tests at once would install over each other
	(cd web && { npm ls >/dev/null 2>&1 || npm ci --silent --no-audit --no-fund; })
fi

all=$(
	# web*.t wants a browser, but for the page's pure parts
	if [ "$kind" = browser ]; then
		ls tests/e2e/web*.t | grep -v '/web_units\.t$'
	else
		find "$build/tests" "$build/fuzz" -maxdepth 1 -type f -perm -u+x \( -name 'test_*' -o -name 'fuzz_*' \) | sort
		ls tests/lint/*.t
		[ -n "${CROFT_TEST_SANITIZED:-}" ] || ls tests/e2e/*.t 2>/dev/null | grep -Ev '/web(_.*)?\.t$' || true
		[ -n "${CROFT_TEST_SANITIZED:-}" ] || ls tests/e2e/web_units.t
	fi
)
files=$all
if [ -n "$filter" ]; then
	files=$(printf '%s\n' "$all" | grep -- "$filter" || true)
	[ -n "$files" ] || { files=$all; export CROFT_TEST_FILTER="$filter"; }
fi
case $files in
*/e2e/web*) ;;
*/e2e/*/e2e/*) tools/setup-clients.sh all ;; # one test by itself installs what it uses
esac
jobs=$(nproc 2>/dev/null || echo 2)
# shellcheck disable=SC2086
exec tests/pg.py prove -j "$jobs" --timer -e '' $files
