#include "rag/fusion.h"

#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>

/* Candidates of each side: so many times k, and at least so many. */
enum { CANDIDATES_PER_HIT = 10, CANDIDATES_MIN = 100, CANDIDATES_MAX = 20000 };

/* What a cosine of 1 weighs beside all the keyword evidence that a query has. */
static const float FUSION_WEIGHT = 2;

/* ---- how well a vocabulary knows a text ---- */

struct fit {
	const struct tokens *tokens;
	struct str text;
	int32_t unknown;
	size_t at;          /* the first token not yet past */
	size_t n, credited; /* tokens in words; of those, what a fitting vocabulary would need */
};

/* Ideographs and kana: the parts that such a word has anyway. */
static size_t ideographs(struct str word)
{
	size_t n = 0;
	while (word.n) {
		uint32_t cp;
		size_t len = utf8_decode(word, &cp);
		n += (cp >= 0x3040 && cp < 0x3100) || (cp >= 0x3400 && cp < 0xA000) ||
		     (cp >= 0xF900 && cp < 0xFB00) || (cp >= 0x20000 && cp < 0x33480);
		word = str_sub(word, len, word.n);
	}
	return n;
}

static bool fit_word(void *ctx, uint32_t from, uint32_t to)
{
	struct fit *f = ctx;
	const struct tokens *t = f->tokens;
	size_t here = 0, unknown = 0;
	while (f->at < t->n && t->from[f->at] < from)
		f->at++;
	for (; f->at < t->n && t->from[f->at] < to; f->at++, here++)
		unknown += t->id[f->at] == f->unknown;
	size_t parts = MAX(ideographs(str_sub(f->text, from, to)), 1);
	f->n += here;
	f->credited += MIN(parts, here) > unknown ? MIN(parts, here) - unknown : 0;
	return true;
}

float rag_fit(const struct tokenizer *tk, struct str query)
{
	struct tokens t = {0};
	struct fit f = {.tokens = &t, .text = query, .unknown = -1};
	static const struct str unknown[] = {{"[UNK]", 5}, {"<unk>", 5}};
	for (size_t i = 0; i < ARRAY_LEN(unknown) && f.unknown < 0; i++)
		f.unknown = tokenizer_find(tk, unknown[i]);
	enum err e = tokenizer_encode(tk, query, TOKENIZE_OFFSETS, &t, NULL);
	if (!e)
		e = unicode_words(query, fit_word, &f);
	tokens_free(&t);
	return e || !f.n ? 1 : (float)f.credited / (float)f.n;
}

/* ---- candidates and scores ---- */

struct lists {
	struct hit *dense, *bm25;
	size_t n_dense, n_bm25;
	struct fused *all;
	uint64_t *keys;
	float *scores;
};

static void lists_free(struct lists *l)
{
	free(l->dense);
	free(l->bm25);
	free(l->all);
	free(l->keys);
	free(l->scores);
}

static int by_key(const void *a, const void *b)
{
	const struct fused *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

static int by_key_then_score(const void *a, const void *b)
{
	const struct fused *x = a, *y = b;
	if (x->key != y->key)
		return x->key > y->key ? 1 : -1;
	return (x->score < y->score) - (x->score > y->score);
}

static int by_score(const void *a, const void *b)
{
	const struct fused *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return by_key(a, b);
}

/* Both lists in l->all, each key once. */
static size_t join(struct lists *l)
{
	size_t n = 0, m = 0;
	for (size_t i = 0; i < l->n_dense; i++)
		l->all[n++] = (struct fused){.key = l->dense[i].key, .dense_rank = (uint32_t)i + 1};
	for (size_t i = 0; i < l->n_bm25; i++)
		l->all[n++] = (struct fused){.key = l->bm25[i].key, .bm25_rank = (uint32_t)i + 1};
	qsort(l->all, n, sizeof *l->all, by_key);
	for (size_t i = 0; i < n; i++)
		if (m && l->all[m - 1].key == l->all[i].key) {
			l->all[m - 1].dense_rank += l->all[i].dense_rank;
			l->all[m - 1].bm25_rank += l->all[i].bm25_rank;
		} else {
			l->all[m++] = l->all[i];
		}
	return m;
}

void rag_word_weights(
	struct bm25 *x, const struct str *terms, const uint32_t *word_at, size_t n, float *weights)
{
	uint32_t *df = calloc(n + 1, sizeof *df);
	bm25_idf(x, terms, n, weights, df);
	for (size_t i = 0; i < n && word_at && df; i++) {
		size_t first = 0;
		while (word_at[first] != word_at[i])
			first++;
		if (first == i)
			continue;
		bool known = df[i] && (!df[first] || weights[i] > weights[first]);
		if (known) {
			weights[first] = weights[i];
			df[first] = df[i];
		}
		weights[i] = 0;
	}
	free(df);
}

static float evidence(struct bm25 *x, const struct fusion_query *q, float *scratch)
{
	float sum = 0;
	rag_word_weights(x, q->terms, q->word_at, q->n_terms, scratch);
	for (size_t i = 0; i < q->n_terms; i++)
		sum += scratch[i];
	return sum;
}

/* Each candidate gets both scores, also from the side that did not propose it. */
static enum err score(struct vindex *d, struct bm25 *x, const struct fusion_query *q,
	struct lists *l, size_t n, const struct fusion_info *info, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		l->keys[i] = l->all[i].key;
		l->all[i].dense = NAN;
	}
	if (q->vector) {
		enum err e = vindex_scores(d, q->vector, l->keys, n, l->scores, et);
		if (e)
			return e;
		for (size_t i = 0; i < n; i++)
			l->all[i].dense = l->scores[i];
	}
	bm25_scores(x, q->terms, q->n_terms, l->keys, n, l->scores);
	for (size_t i = 0; i < n; i++) {
		struct fused *f = &l->all[i];
		f->bm25 = l->scores[i];
		if (q->method == RAG_DENSE)
			f->score = f->dense;
		else if (q->method == RAG_BM25 || isnan(f->dense))
			f->score = f->bm25;
		else
			f->score = info->keyword * f->bm25 + info->weight * f->dense;
	}
	return OK;
}

static enum err nearest(struct vindex *d, const struct fusion_query *q, size_t k, struct lists *l,
	struct fusion_info *why, const struct cancel *cancel, struct errtext *et)
{
	struct vindex_answer got = {0};
	struct vindex_filter by = {.keep = q->keep, .ctx = q->ctx, .count = q->n_keep};
	struct vindex_query ask = {.vector = q->vector,
		.k = k,
		.exact = q->exact,
		.filter = q->keep ? &by : NULL,
		.cancel = cancel};
	enum err e = vindex_search(d, &ask, l->dense, &got, et);
	l->n_dense = got.n;
	why->how = got.how;
	why->compared = got.compared;
	return e;
}

enum err rag_rank(struct vindex *d, struct bm25 *x, const struct fusion_query *q, size_t k,
	struct fused *out, size_t *n, struct fusion_info *info, const struct cancel *cancel,
	struct errtext *et)
{
	size_t want =
		MIN(MAX(k * CANDIDATES_PER_HIT, (size_t)CANDIDATES_MIN), MAX(k, CANDIDATES_MAX));
	size_t most = MAX(2 * want, q->n_terms) + 1;
	struct lists l = {.dense = malloc(want * sizeof *l.dense),
		.bm25 = malloc(want * sizeof *l.bm25),
		.all = malloc(most * sizeof *l.all),
		.keys = malloc(most * sizeof *l.keys),
		.scores = malloc(most * sizeof *l.scores)};
	struct fusion_info why = {.keyword = 1, .fit = q->fit};
	enum err e = OK;
	if (!l.dense || !l.bm25 || !l.all || !l.keys || !l.scores)
		e = err_set(et, ERR_NOMEM, "no memory to search");
	if (!e && q->vector && q->method != RAG_BM25)
		e = nearest(d, q, want, &l, &why, cancel, et);
	if (!e && q->method != RAG_DENSE)
		e = bm25_search(x, q->terms, q->n_terms, want, q->keep, q->ctx, l.bm25, &l.n_bm25,
			cancel, et);
	if (!e) {
		why.evidence = evidence(x, q, l.scores);
		why.weight = FUSION_WEIGHT * q->fit * q->fit * q->fit *
			     (q->balance > 0 ? q->balance : 1);
		why.keyword = why.evidence > 0 ? 1 / why.evidence : 0;
		why.n_dense = l.n_dense;
		why.n_bm25 = l.n_bm25;
		size_t all = join(&l);
		e = score(d, x, q, &l, all, &why, et);
		qsort(l.all, all, sizeof *l.all, by_score);
		*n = e ? 0 : MIN(all, k);
		memcpy(out, l.all, *n * sizeof *out);
		if (info)
			*info = why;
	}
	lists_free(&l);
	return e;
}

/* ---- several questions ---- */

size_t rag_merge(struct fused *all, const size_t *n, size_t n_lists)
{
	size_t total = 0, m = 0;
	for (size_t i = 0; i < n_lists; i++)
		total += n[i];
	qsort(all, total, sizeof *all, by_key_then_score);
	for (size_t i = 0; i < total; i++)
		if (!m || all[m - 1].key != all[i].key)
			all[m++] = all[i];
	qsort(all, m, sizeof *all, by_score);
	return m;
}

enum err rag_score(struct vindex *d, struct bm25 *x, const struct fusion_query *q,
	struct fused *list, size_t n, struct errtext *et)
{
	struct lists l = {
		.keys = calloc(n + 1, sizeof *l.keys), .scores = calloc(n + 1, sizeof *l.scores)};
	enum err e = l.keys && l.scores ? OK : err_set(et, ERR_NOMEM, "no memory to search");
	for (size_t i = 0; i < n && !e; i++) {
		l.keys[i] = list[i].key;
		list[i].dense = NAN;
	}
	if (!e && q->vector && q->method != RAG_BM25)
		e = vindex_scores(d, q->vector, l.keys, n, l.scores, et);
	for (size_t i = 0; i < n && !e && q->vector && q->method != RAG_BM25; i++)
		list[i].dense = l.scores[i];
	if (!e)
		bm25_scores(x, q->terms, q->n_terms, l.keys, n, l.scores);
	for (size_t i = 0; i < n && !e; i++)
		list[i].bm25 = l.scores[i];
	lists_free(&l);
	return e;
}
