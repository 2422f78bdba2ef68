/* A tokenizer from tiktoken's ranks: the merges are what the ranked pieces imply. */
#include "engine/tokenizer_int.h"

#include <stdio.h>
#include <stdlib.h>

enum err tk_from_ranks(const struct str *pieces, size_t n, struct str pattern,
	struct tokenizer **out, struct errtext *et)
{
	struct tokenizer *tk = tk_new();
	uint32_t *rank = calloc(n + 1, sizeof *rank);
	enum err e = tk && rank ? OK : err_set(et, ERR_NOMEM, "ranks: out of memory");
	for (uint32_t i = 0; i < n && !e; i++) {
		rank[i] = i;
		if (!pieces[i].n)
			continue;
		e = tk_piece(tk, i, pieces[i], PIECE_NORMAL, 0, et);
		if (!e)
			tk->piece[i].flags = PIECE_LOOKUP;
	}
	if (!e) {
		tk->model = TK_BPE;
		tk->byte_level = tk->whole_first = true;
		snprintf(tk->kind, sizeof tk->kind, "bpe/ranks");
		e = tk_split_regex(tk, pattern, et);
	}
	e = e ? e : tk_tab_build(tk, et);
	e = e ? e : tk_merges_from_vocab(tk, rank, et);
	for (int b = 0; b < 256 && !e; b++) {
		char c = (char)b;
		tk->byte_id[b] = tk_lookup(tk, str_mk(&c, 1));
	}
	e = e ? e : tk_finish(tk, NULL, et);
	free(rank);
	if (e) {
		tokenizer_free(tk);
		return e;
	}
	*out = tk;
	return OK;
}
