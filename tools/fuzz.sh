#!/bin/sh
# tools/fuzz.sh FILTER SECONDS: builds every fuzz target with libFuzzer, ASan and UBSan, and runs
# each for SECONDS on its corpus. A finding is kept in build-fuzz/findings and fails the run.
set -eu
cd "$(dirname "$0")/.."
filter=${1:-} seconds=${2:-60}
[ -f build-fuzz/build.ninja ] || CC=clang meson setup -Dfuzz=true -Dweb=false -Db_sanitize=address,undefined -Db_lundef=false build-fuzz >/dev/null
targets=$(ls fuzz/fuzz_*.c | sed 's#fuzz/\(.*\)\.c#\1#' | grep -- "$filter")
# shellcheck disable=SC2046,SC2086
ninja -C build-fuzz $(printf 'fuzz/%s ' $targets) >build-fuzz/build.log || { tail -30 build-fuzz/build.log; exit 1; }
mkdir -p build-fuzz/findings build-fuzz/corpus
passed=0 failed=0
for t in $targets; do
	mkdir -p "build-fuzz/corpus/$t" "fuzz/corpus/$t"
	if build-fuzz/fuzz/"$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="build-fuzz/findings/$t-" "build-fuzz/corpus/$t" "fuzz/corpus/$t" >"build-fuzz/$t.log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok      %-28s %s runs\n' "$t" "$(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$t.log")"
	else
		failed=$((failed + 1))
		printf 'FINDING %-28s see build-fuzz/%s.log\n' "$t" "$t"
		tail -40 "build-fuzz/$t.log"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
