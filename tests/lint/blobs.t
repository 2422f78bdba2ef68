#!/bin/sh
# A folder that stores blobs says which of them its rows need (module.blobs): a collection would take
# them away otherwise. Trees that a version of an artifact names are counted by the artifacts.
cd "${CROFT_SOURCE_ROOT:-$(dirname "$0")/../..}" || exit 1
n=0 failed=0
for dir in src/*/; do
	case $dir in src/store/ | src/artifact/) continue ;; esac
	grep -qE '\b(blob_put|blob_writer_finish|blob_batch_put)\(' "$dir"*.c 2>/dev/null || continue
	n=$((n + 1))
	if grep -qE '\.blobs = ' "$dir"*.c; then
		echo "ok $n - $dir says which blobs it needs"
	else
		echo "not ok $n - $dir puts blobs but its module has no .blobs"
		failed=1
	fi
done
echo "1..$n"
exit $failed
