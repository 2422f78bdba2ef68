#!/bin/sh
# bench/mask.sh BUILD: `make bench-mask`. Masks of whole vocabularies, token by token along texts, beside
# llguidance when it can be fetched (same tokens, same texts, same languages; the threads' own time).
set -eu
cd "$(dirname "$0")/.."
build=$1 dir=$1/bench-mask
data=${CROFT_SHARED_DATA:-../shared/data} models=${CROFT_TEST_MODELS:-$PWD/build/models}
mkdir -p "$dir"
python3 bench/mask_cases.py "$data" >"$dir/cases.json"
peer=
if [ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"; then
	"$dir/venv/bin/pip" install -q --disable-pip-version-check llguidance==1.9.1 numpy >&2 && peer=$dir/venv/bin/python
fi
[ -n "$peer" ] || echo "# llguidance cannot be fetched: ours alone" >&2
set -- "$models"/smollm2/*.gguf
if [ -f "$data/tokenizers/qwen3/tokenizer.json.xz" ]; then
	xz -dc "$data/tokenizers/qwen3/tokenizer.json.xz" >"$dir/qwen3.json"
	set -- "$@" "$dir/qwen3.json"
fi
echo "us per mask (median, 99th percentile, most): new = no request had this language before"
printf '%-24s %7s %8s | %23s | %23s | %23s\n' language tokens compile "new" "known" "llguidance, new"
for t; do
	[ -e "$t" ] || continue
	"$build/bench/bench_mask" "$t" "$dir/cases.json" "$dir/work.json" >"$dir/ours"
	: >"$dir/peer"
	[ -z "$peer" ] || "$peer" bench/mask_peer.py "$dir/work.json" "$dir/cases.json" >"$dir/peer"
	grep '^#' "$dir/ours" | cut -f 2 | sed "s#^#$(basename "$t"): #"
	grep -v '^#' "$dir/ours" | paste - "$dir/peer" | awk -F '\t' '{
		printf "%-24s %7d %5.2f ms | %7.1f %7.1f %7.1f | %7.1f %7.1f %7.1f |", $1, $2, $3, $4, $5, $6, $7, $8, $9
		if ($10 != "") printf " %7.1f %7.1f %7.1f", $10, $11, $12
		printf "   %s\n", $5 < 1000 ? "ok" : "below" }'
done
