/* The two models that look pieces up in a trie: WordPiece (longest first) and unigram (the best
 * sum of scores). */
#include "engine/tokenizer_int.h"

static int32_t longest(const struct trie *t, const char *p, size_t n, size_t *len)
{
	int32_t best = -1;
	uint32_t at = 0;
	for (size_t i = 0; i < n; i++) {
		at = t->node ? trie_step(t, at, (unsigned char)p[i]) : 0;
		if (!at)
			break;
		if (t->node[at].value >= 0) {
			best = t->node[at].value;
			*len = i + 1;
		}
	}
	return best;
}

static size_t count_cps(const char *p, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += ((unsigned char)p[i] & 0xC0) != 0x80;
	return k;
}

void enc_wordpiece(struct enc *e, const struct view *v)
{
	const struct tokenizer *tk = e->tk;
	size_t n0 = e->out->n, len = 0;
	bool whole =
		tk->word_max == 0 || v->n <= tk->word_max || count_cps(v->p, v->n) <= tk->word_max;
	for (size_t i = 0; i < v->n && whole; i += len) {
		int32_t id = longest(i ? &tk->rest : &tk->words, v->p + i, v->n - i, &len);
		if (id < 0)
			whole = false;
		else
			enc_token(e, id, v, i, i + len);
	}
	if (!whole) {
		e->out->n = n0;
		if (tk->unk >= 0)
			enc_token(e, tk->unk, v, 0, v->n);
	}
}

struct best {
	double score;
	uint32_t from; /* where the piece that ends here begins */
	int32_t id;    /* -1: unknown */
};

void enc_unigram(struct enc *e, const struct view *v)
{
	const struct tokenizer *tk = e->tk;
	struct best *b = enc_syms(e, (v->n + 1) * (sizeof *b + sizeof(uint32_t)));
	if (!b)
		return;
	for (size_t i = 0; i <= v->n; i++)
		b[i] = (struct best){-1e300, 0, -1};
	b[0].score = 0;
	for (size_t i = 0, len; i < v->n; i += len) {
		cp_at(v->p, i, v->n, &len);
		bool single = false;
		uint32_t at = 0;
		for (size_t k = i; k < v->n && tk->words.node; k++) {
			at = trie_step(&tk->words, at, (unsigned char)v->p[k]);
			if (!at)
				break;
			int32_t id = tk->words.node[at].value;
			if (id < 0)
				continue;
			double s = b[i].score + tk->piece[id].score;
			single = single || k + 1 == i + len;
			if (s > b[k + 1].score)
				b[k + 1] = (struct best){s, (uint32_t)i, id};
		}
		double s = b[i].score + tk->unk_score;
		if (!single && s > b[i + len].score)
			b[i + len] = (struct best){s, (uint32_t)i, -1};
	}
	/* Backwards, then out; unknown characters side by side are one. */
	uint32_t *ends = (uint32_t *)(b + v->n + 1);
	size_t n = 0;
	for (size_t i = v->n; i; i = b[i].from)
		ends[n++] = (uint32_t)i;
	while (n) {
		struct best *at = &b[ends[--n]];
		if (at->id >= 0) {
			enc_token(e, at->id, v, at->from, ends[n]);
			continue;
		}
		uint32_t from = at->from;
		while (n && tk->fuse_unk && !tk->byte_fallback && b[ends[n - 1]].id < 0)
			n--;
		enc_unknown(e, v, from, ends[n]);
	}
}
