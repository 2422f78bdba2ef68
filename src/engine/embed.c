/* The front of an encoder: texts to tokens, tokens to batches without padding, batches to vectors
 * or scores. Also the scoring of a decoder's positions. */
#include "engine/model_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- embeddings ------------------------------------------------------------------------------ */

static enum err must_encode(const struct model *m, struct errtext *et)
{
	if (m->arch->task == MODEL_ENCODER && m->hp.pooling != POOL_RANK)
		return OK;
	if (m->arch->task == MODEL_ENCODER)
		return err_set(et, ERR_INVALID,
			"'%s' (%s) is a cross-encoder: it scores pairs of texts and makes no "
			"embeddings",
			m->info.name, m->info.architecture);
	return err_set(et, ERR_INVALID, "'%s' (%s) writes text; it makes no embeddings",
		m->info.name, m->info.architecture);
}

static enum err check_ids(const struct model *m, const int32_t *ids, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] < 0 || (uint32_t)ids[i] >= m->hp.vocab)
			return err_set(et, ERR_INVALID,
				"token %d does not exist; the vocabulary has %u", ids[i],
				m->hp.vocab);
	return OK;
}

/* Sequences are taken in order while they fit into a pass, to out[n][dim]. firsts: NULL, or as
 * encoder_pass has them. */
static enum err run_batches(struct model *m, const struct tokens *seqs, const uint32_t *firsts,
	size_t n, size_t dim, float *out, const struct cancel *cancel, struct errtext *et)
{
	uint32_t most = encoder_batch(m->encoder);
	int32_t *ids = malloc(most * sizeof *ids);
	uint32_t *lengths = malloc(most * sizeof *lengths);
	enum err e = ids && lengths ? OK : err_set(et, ERR_NOMEM, "no memory to embed");
	for (size_t i = 0; i < n && !e;) {
		size_t tokens = 0, first = i;
		for (; i < n && tokens + seqs[i].n <= most; i++) {
			memcpy(ids + tokens, seqs[i].id, seqs[i].n * sizeof *ids);
			lengths[i - first] = (uint32_t)seqs[i].n;
			tokens += seqs[i].n;
		}
		if (cancelled(cancel)) {
			e = err_set(
				et, ERR_CANCELLED, "cancelled after %zu of %zu texts", first, n);
			break;
		}
		pthread_mutex_lock(&m->compute);
		encoder_pass(m->encoder, m, ids, lengths, firsts ? firsts + first : NULL, i - first,
			out + first * dim);
		pthread_mutex_unlock(&m->compute);
	}
	free(ids);
	free(lengths);
	return e;
}

enum err embed_tokens(struct model *m, const struct tokens *seqs, size_t n, float *out,
	const struct cancel *cancel, struct errtext *et)
{
	enum err e = must_encode(m, et);
	for (size_t i = 0; i < n && !e; i++) {
		if (!seqs[i].n)
			e = err_set(et, ERR_INVALID, "sequence %zu is empty", i);
		else if (seqs[i].n > m->hp.read_max)
			e = err_set(et, ERR_TOO_LARGE,
				"sequence %zu has %zu tokens; the model reads at most %u", i,
				seqs[i].n, m->hp.read_max);
		else
			e = check_ids(m, seqs[i].id, seqs[i].n, et);
	}
	return e ? e : run_batches(m, seqs, NULL, n, m->info.embedding_dim, out, cancel, et);
}

/* Cuts to the model's length; a closing special token ([SEP]) stays the last. */
static void shorten(const struct model *m, struct tokens *t)
{
	size_t most = m->hp.read_max;
	int32_t last = t->id[t->n - 1];
	if (tokenizer_is_control(m->tokenizer, last))
		t->id[most - 1] = last;
	t->n = most;
}

static enum err encode_one(const struct model *m, const char *prefix, const struct str *texts,
	size_t i, bool truncate, struct tokens *t, size_t *cut, struct errtext *et)
{
	struct buf whole = {0};
	if (*prefix)
		buf_addf(&whole, "%s%.*s", prefix, STR_FMT(texts[i]));
	enum err e = whole.err
			     ? err_set(et, ERR_NOMEM, "no memory for text %zu", i)
			     : tokenizer_encode(m->tokenizer, *prefix ? buf_str(&whole) : texts[i],
				       TOKENIZE_ADD_SPECIAL, t, et);
	buf_free(&whole);
	if (e)
		return err_wrap(et, e, "text %zu", i);
	if (t->n > m->hp.read_max) {
		if (!truncate)
			return err_set(et, ERR_TOO_LARGE,
				"text %zu has %zu tokens; the model reads at most %u", i, t->n,
				m->hp.read_max);
		shorten(m, t);
		++*cut;
	}
	return t->n ? OK : err_set(et, ERR_INVALID, "text %zu is empty", i);
}

static const char *prefix_of(const struct model *m, enum embed_as as)
{
	return as == EMBED_QUERY      ? m->info.query_prefix
	       : as == EMBED_DOCUMENT ? m->info.document_prefix
				      : "";
}

enum err embed_texts(struct model *m, const struct str *texts, size_t n, bool truncate, float *out,
	size_t *n_truncated, size_t *n_tokens, const struct cancel *cancel, struct errtext *et)
{
	return embed_texts_as(
		m, EMBED_PLAIN, texts, n, truncate, out, n_truncated, n_tokens, cancel, et);
}

enum err embed_texts_as(struct model *m, enum embed_as as, const struct str *texts, size_t n,
	bool truncate, float *out, size_t *n_truncated, size_t *n_tokens,
	const struct cancel *cancel, struct errtext *et)
{
	enum err e = must_encode(m, et);
	if (e || !n)
		return e;
	struct tokens *seqs = calloc(n, sizeof *seqs);
	if (!seqs)
		return err_set(et, ERR_NOMEM, "no memory for %zu texts", n);
	size_t cut = 0, total = 0;
	for (size_t i = 0; i < n && !e; i++) {
		if (cancelled(cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
		else
			e = encode_one(m, prefix_of(m, as), texts, i, truncate, &seqs[i], &cut, et);
		total += seqs[i].n;
	}
	if (!e)
		e = embed_tokens(m, seqs, n, out, cancel, et);
	for (size_t i = 0; i < n; i++)
		tokens_free(&seqs[i]);
	free(seqs);
	if (e)
		return e;
	if (n_truncated)
		*n_truncated = cut;
	if (n_tokens)
		*n_tokens = total;
	return OK;
}

/* ---- scores of pairs ------------------------------------------------------------------------- */

struct pairs {
	struct model *m;
	struct tokens query; /* [CLS] query [SEP], or what else parts two texts */
	int32_t end;         /* behind the document */
	uint32_t doc_max;    /* tokens of a document */
	struct tokens *seqs;
	uint32_t *firsts;
	size_t total;
};

static enum err read_query(
	struct pairs *p, struct str query, uint32_t doc_tokens_max, struct errtext *et)
{
	const struct tokenizer *tk = p->m->tokenizer;
	int32_t between[TOKENIZER_BETWEEN_MAX];
	unsigned n_between = tokenizer_between(tk, between);
	enum err e = tokenizer_encode(tk, query, TOKENIZE_ADD_SPECIAL, &p->query, et);
	if (e)
		return err_wrap(et, e, "the query");
	size_t n = p->query.n, most = p->m->hp.read_max;
	if (n < 2 || !n_between || !tokenizer_is_control(tk, p->query.id[n - 1]))
		return err_set(et, ERR_UNSUPPORTED,
			"the tokenizer of '%s' does not say how texts are parted", p->m->info.name);
	p->end = p->query.id[n - 1];
	int32_t *ids = realloc(p->query.id, (n + n_between) * sizeof *ids);
	if (!ids)
		return err_set(et, ERR_NOMEM, "no memory for the query");
	memcpy(ids + n - 1, between, n_between * sizeof *between);
	p->query.id = ids;
	p->query.n = p->query.cap = n = n - 1 + n_between;
	if (n + 2 > most)
		return err_set(et, ERR_TOO_LARGE,
			"the query has %zu tokens; the model reads at most %zu of query and "
			"document together",
			n, most);
	p->doc_max = (uint32_t)(most - n - 1);
	if (doc_tokens_max)
		p->doc_max = MIN(p->doc_max, doc_tokens_max);
	return OK;
}

/* Appended to the query's tokens, and closed as these are. */
static enum err read_pair(struct pairs *p, struct str doc, size_t i, bool *cut, struct errtext *et)
{
	struct tokens t = {0};
	size_t q = p->query.n;
	enum err e = tokenizer_encode(p->m->tokenizer, doc, 0, &t, et);
	if (e) {
		tokens_free(&t);
		return err_wrap(et, e, "document %zu", i);
	}
	size_t d = MIN(t.n, (size_t)p->doc_max);
	int32_t *ids = malloc((q + d + 1) * sizeof *ids);
	if (ids) {
		memcpy(ids, p->query.id, q * sizeof *ids);
		memcpy(ids + q, t.n ? t.id : ids, d * sizeof *ids);
		ids[q + d] = p->end;
		*cut = d < t.n;
		p->seqs[i] = (struct tokens){.id = ids, .n = q + d + 1, .cap = q + d + 1};
		p->firsts[i] = (uint32_t)q;
		p->total += q + d + 1;
		e = check_ids(p->m, ids, q + d + 1, et);
	}
	tokens_free(&t);
	return ids ? e : err_set(et, ERR_NOMEM, "no memory for document %zu", i);
}

static enum err rank_all(struct pairs *p, const struct str *docs, size_t n, float *score, bool *cut,
	const struct cancel *cancel, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		enum err e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "cancelled")
					       : read_pair(p, docs[i], i, &cut[i], et);
		if (e)
			return e;
	}
	return run_batches(p->m, p->seqs, p->firsts, n, 1, score, cancel, et);
}

enum err rank_texts(struct model *m, struct str query, const struct str *docs, size_t n,
	uint32_t doc_tokens_max, float *score, bool *cut, size_t *n_tokens,
	const struct cancel *cancel, struct errtext *et)
{
	if (m->hp.pooling != POOL_RANK || m->arch->task != MODEL_ENCODER)
		return err_set(et, ERR_INVALID, "'%s' (%s) is no cross-encoder; it scores no pairs",
			m->info.name, m->info.architecture);
	struct pairs p = {.m = m};
	p.seqs = calloc(n + 1, sizeof *p.seqs);
	p.firsts = calloc(n + 1, sizeof *p.firsts);
	enum err e = p.seqs && p.firsts ? read_query(&p, query, doc_tokens_max, et)
					: err_set(et, ERR_NOMEM, "no memory for %zu pairs", n);
	if (!e)
		e = rank_all(&p, docs, n, score, cut, cancel, et);
	if (!e && n_tokens)
		*n_tokens = p.total;
	for (size_t i = 0; i < n && p.seqs; i++)
		tokens_free(&p.seqs[i]);
	tokens_free(&p.query);
	free(p.seqs);
	free(p.firsts);
	return e;
}

/* ---- scoring --------------------------------------------------------------------------------- */

enum { SCORE_BATCH = 128 };

/* Logits of up to SCORE_BATCH positions, from the first on. */
typedef void (*score_fn)(void *ctx, size_t first, size_t n, const float *logits);

static enum err score(struct model *m, const struct adapter *a, struct decoder *d, struct kv *kv,
	const uint32_t *blocks, const int32_t *ids, size_t n, float *logits, score_fn fn, void *ctx,
	const struct cancel *cancel, struct errtext *et)
{
	uint32_t rows[SCORE_BATCH];
	for (uint32_t i = 0; i < SCORE_BATCH; i++)
		rows[i] = i;
	for (size_t i = 0; i < n; i += SCORE_BATCH) {
		if (cancelled(cancel))
			return err_set(et, ERR_CANCELLED, "cancelled");
		uint32_t k = (uint32_t)MIN(n - i, (size_t)SCORE_BATCH);
		struct span s = {.blocks = blocks, .adapter = a, .pos = (uint32_t)i, .n = k};
		float *to = fn ? logits : logits + i * m->hp.vocab;
		pthread_mutex_lock(&m->compute);
		decoder_pass(d, m, kv, ids + i, &s, 1, rows, k, to);
		pthread_mutex_unlock(&m->compute);
		if (fn)
			fn(ctx, i, k, to);
	}
	return OK;
}

static enum err score_all(struct model *m, const struct adapter *a, const int32_t *ids, size_t n,
	float *logits, score_fn fn, void *ctx, const struct cancel *cancel, struct errtext *et)
{
	if (m->arch->task != MODEL_DECODER)
		return err_set(et, ERR_INVALID, "'%s' (%s) is an encoder; it has no logits",
			m->info.name, m->info.architecture);
	if (n > m->hp.context)
		return err_set(et, ERR_TOO_LARGE, "%zu tokens; the model's context holds %u", n,
			m->hp.context);
	if (a && adapter_model(a) != m)
		return err_set(et, ERR_INVALID, "the adapter was made for another model");
	enum err e = check_ids(m, ids, n, et);
	if (e || !n)
		return e;
	struct kv kv = {0};
	struct decoder *d = NULL;
	uint32_t n_blocks = (uint32_t)((n + KV_BLOCK - 1) / KV_BLOCK),
		 *blocks = malloc(n_blocks * sizeof *blocks);
	if (!blocks)
		return err_set(et, ERR_NOMEM, "no memory for %zu tokens", n);
	for (uint32_t i = 0; i < n_blocks; i++)
		blocks[i] = i;
	e = kv_new(m, n_blocks, false, &kv, et);
	if (!e)
		e = decoder_new(m, SCORE_BATCH, SCORE_BATCH, (uint32_t)n, &d, et);
	if (!e)
		e = score(m, a, d, &kv, blocks, ids, n, logits, fn, ctx, cancel, et);
	decoder_free(d);
	kv_free(&kv);
	free(blocks);
	return e;
}

enum err model_logits(struct model *m, const struct adapter *a, const int32_t *ids, size_t n,
	float *logits, const struct cancel *cancel, struct errtext *et)
{
	return score_all(m, a, ids, n, logits, NULL, NULL, cancel, et);
}

/* ---- log probabilities of a text that is there ---- */

struct scored {
	const int32_t *ids;
	size_t n, vocab;
	uint32_t n_top;
	float *logprob;
	struct token_logprob *top;
};

/* The likeliest first; the lower id where two are equal. */
static void likeliest(
	const float *x, size_t n, uint32_t n_top, float norm, struct token_logprob *top)
{
	uint32_t have = 0;
	for (size_t i = 0; i < n && n_top; i++) {
		uint32_t at = have;
		if (have == n_top && x[i] - norm <= top[n_top - 1].logprob)
			continue;
		while (at && top[at - 1].logprob < x[i] - norm)
			at--;
		have = MIN(have + 1, n_top);
		memmove(top + at + 1, top + at, (have - at - 1) * sizeof *top);
		top[at] = (struct token_logprob){(int32_t)i, x[i] - norm};
	}
}

static void note_scores(void *ctx, size_t first, size_t n, const float *logits)
{
	struct scored *s = ctx;
	for (size_t k = 0; k < n && first + k + 1 < s->n; k++) {
		const float *x = logits + k * s->vocab;
		size_t at = first + k + 1; /* a position tells of the next token */
		float most = x[0];
		double sum = 0;
		for (size_t i = 1; i < s->vocab; i++)
			most = MAX(most, x[i]);
		for (size_t i = 0; i < s->vocab; i++)
			sum += exp((double)(x[i] - most));
		float norm = most + (float)log(sum);
		s->logprob[at] = x[s->ids[at]] - norm;
		likeliest(x, s->vocab, s->n_top, norm, s->top + at * s->n_top);
	}
}

enum err model_score(struct model *m, const struct adapter *a, const int32_t *ids, size_t n,
	uint32_t n_top, float *logprob, struct token_logprob *top, const struct cancel *cancel,
	struct errtext *et)
{
	struct scored s = {.ids = ids,
		.n = n,
		.vocab = m->hp.vocab,
		.n_top = MIN(n_top, m->hp.vocab),
		.logprob = logprob,
		.top = top};
	size_t rows = MIN(n, (size_t)SCORE_BATCH);
	float *logits = malloc(MAX(rows, (size_t)1) * m->hp.vocab * sizeof *logits);
	if (!logits)
		return err_set(et, ERR_NOMEM, "no memory to score %zu tokens", n);
	enum err e = score_all(m, a, ids, n, logits, note_scores, &s, cancel, et);
	free(logits);
	return e;
}
