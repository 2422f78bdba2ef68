/* Drafts: what may follow the newest token of an answer, so that one pass reads several tokens.
 * From what followed the same three tokens earlier in the text, at no cost; where nothing did, from
 * a small model with the same vocabulary, if there is one. Its keys and values have blocks of their
 * own; it reads what it has not read yet (the prompt, at first) and then writes, for all answers
 * together, the likeliest token one after the other. Whatever is guessed, the answer is the same:
 * see generator_int.h, 4. */
#include "engine/generator_int.h"

#include <stdlib.h>

enum {
	DRAFT_LIKE = 3,   /* tokens that must have occurred before */
	DRAFT_PAUSE = 64, /* tokens without one, at most, after some that were wrong */
};

/* What a small model writes for the answers of a generator. */
struct drafter {
	struct model *m;
	struct kv kv;
	struct kvcache *cache;
	struct decoder *d;
	struct span *spans; /* [sequences] */
	struct job **jobs;  /* [sequences]: of the spans that want a row */
	uint32_t *rows;     /* [sequences] */
	int32_t *ids;       /* [PROMPT_BATCH + sequences] */
	float *logits;      /* [sequences][vocab] */
	uint32_t sequences, vocab, n_spans, n_rows, n_ids;
};

/* ---- from the text itself -------------------------------------------------------------------- */

/* Tokens of a draft that there is room for: in the answer, the context, the blocks, and the pass,
 * which has `rows` left for drafts. */
static uint32_t room_for(struct generator *g, struct job *j, uint32_t rows)
{
	struct kvseq *s = &j->seq;
	uint32_t most = MIN(MIN(j->reach, j->max_tokens - j->n_tokens - 1), g->context - s->n - 1);
	most = MIN(most, rows);
	if (kvcache_room(g->cache) > g->n_running && !kvcache_grow(g->cache, s, s->n + 1 + most))
		return 0;
	return MIN(most, s->n_blocks * KV_BLOCK - s->n - 1);
}

/* Behind the text in j->ids what followed the same tokens before; how many. */
static uint32_t repeat(struct job *j, uint32_t len, uint32_t most)
{
	uint32_t n = 0;
	if (len <= DRAFT_LIKE)
		return 0;
	int32_t *out = j->ids + len;
	const int32_t *like = out - DRAFT_LIKE;
	for (uint32_t at = len - DRAFT_LIKE; at-- > 0;)
		if (!memcmp(j->ids + at, like, DRAFT_LIKE * sizeof *like)) {
			for (at += DRAFT_LIKE; at < len && n < most; at++)
				out[n++] = j->ids[at];
			break;
		}
	return n;
}

void draft_begin(struct generator *g)
{
	uint32_t rows = DRAFT_ROWS;
	for (uint32_t i = 0; i < g->n_running; i++) {
		struct job *j = g->running[i];
		j->n_draft = j->draft_room = 0;
		if (!g->drafts || !job_writes(j))
			continue;
		if (j->wait) {
			j->wait--;
			continue;
		}
		uint32_t most = room_for(g, j, rows);
		j->n_draft = most ? repeat(j, job_length(j), most) : 0;
		j->draft_room = j->n_draft ? 0 : most;
		rows -= j->n_draft ? j->n_draft : g->drafter ? most : 0;
	}
}

void draft_judge(struct job *j, uint32_t drafted, uint32_t right)
{
	j->drafted += drafted;
	j->accepted += right;
	if (right == drafted)
		j->reach = MIN(2 * j->reach, (uint32_t)DRAFT_MAX);
	else if (!right)
		j->reach = MAX(j->reach / 2, 2u);
	j->pause = right ? 0 : MIN(MAX(2 * j->pause, 2u), (uint32_t)DRAFT_PAUSE);
	j->wait = j->pause;
}

/* ---- from a small model ---------------------------------------------------------------------- */

/* Of the tokens that both have; some files are filled up with a few that are never written. */
static bool same_vocabulary(const struct tokenizer *a, const struct tokenizer *b)
{
	enum { FILLING = 256 };
	size_t n = tokenizer_vocab_size(a), m = tokenizer_vocab_size(b);
	struct buf x = {0}, y = {0};
	bool same = MAX(n, m) - MIN(n, m) <= FILLING;
	for (size_t i = 0; i < MIN(n, m) && same; i++) {
		buf_clear(&x);
		buf_clear(&y);
		tokenizer_piece(a, (int32_t)i, true, &x);
		tokenizer_piece(b, (int32_t)i, true, &y);
		same = !x.err && !y.err && str_eq(buf_str(&x), buf_str(&y));
	}
	buf_free(&x);
	buf_free(&y);
	return same;
}

enum err drafter_new(struct model *m, const struct model *of, uint32_t sequences, uint32_t n_blocks,
	struct drafter **out, struct errtext *et)
{
	if (m->arch->task != MODEL_DECODER || !same_vocabulary(m->tokenizer, of->tokenizer))
		return err_set(et, ERR_INVALID,
			"'%s' cannot write drafts for '%s': their vocabularies differ",
			m->info.name, of->info.name);
	struct drafter *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(et, ERR_NOMEM, "no memory");
	d->m = model_ref(m);
	d->sequences = sequences;
	d->vocab = MIN(m->hp.vocab, of->hp.vocab);
	d->spans = calloc(sequences, sizeof *d->spans);
	d->jobs = calloc(sequences, sizeof(struct job *));
	d->rows = calloc(sequences, sizeof *d->rows);
	d->ids = calloc(PROMPT_BATCH + sequences, sizeof *d->ids);
	d->logits = mem_get((size_t)sequences * m->hp.vocab * sizeof *d->logits, true);
	enum err e = OK;
	if (!d->spans || !d->jobs || !d->rows || !d->ids || !d->logits)
		e = err_set(et, ERR_NOMEM, "no memory for drafts");
	e = e ? e : kv_new(m, n_blocks, false, &d->kv, et);
	e = e ? e : kvcache_new(n_blocks, &d->cache, et);
	e = e ? e
	      : decoder_new(m, PROMPT_BATCH + sequences, sequences,
			MIN(n_blocks * KV_BLOCK, m->hp.context), &d->d, et);
	if (e)
		drafter_free(d);
	else
		*out = d;
	return e;
}

void drafter_free(struct drafter *d)
{
	if (!d)
		return;
	free(d->spans);
	free(d->jobs);
	free(d->rows);
	free(d->ids);
	mem_put(d->logits, (size_t)d->sequences * d->m->hp.vocab * sizeof *d->logits);
	kv_free(&d->kv);
	kvcache_free(d->cache);
	decoder_free(d->d);
	model_unref(d->m);
	free(d);
}

uint64_t drafter_bytes(const struct drafter *d)
{
	return d ? d->m->info.resident_bytes + d->kv.bytes + decoder_bytes(d->d) +
			       (uint64_t)d->sequences * d->m->hp.vocab * sizeof *d->logits
		 : 0;
}

/* The next of what the model has not read of a text of `len` tokens, as far as the pass has room; a
 * row when that is all. */
static void add(struct drafter *d, struct job *j, uint32_t len)
{
	struct kvseq *s = &j->draft_seq;
	uint32_t n = MIN(len - s->n, PROMPT_BATCH - MIN(d->n_ids, (uint32_t)PROMPT_BATCH));
	if (len - s->n == 1)
		n = 1; /* for which there is always room */
	if (!n || !kvcache_grow(d->cache, s, s->n + n))
		return;
	d->spans[d->n_spans++] = (struct span){.blocks = s->blocks, .pos = s->n, .n = n};
	memcpy(d->ids + d->n_ids, j->ids + s->n, n * sizeof *d->ids);
	d->n_ids += n;
	s->n += n;
	if (s->n == len) {
		d->rows[d->n_rows] = d->n_ids - 1;
		d->jobs[d->n_rows++] = j;
	}
}

/* One token more for each answer that wants one; false when none does. */
static bool step(struct generator *g, struct drafter *d, uint32_t at)
{
	d->n_spans = d->n_rows = d->n_ids = 0;
	for (uint32_t i = 0; i < g->n_running; i++) {
		struct job *j = g->running[i];
		uint32_t len = job_length(j) + j->n_draft;
		if (j->draft_room > at && j->n_draft == at && len < d->m->hp.context)
			add(d, j, len);
	}
	if (!d->n_spans)
		return false;
	pthread_mutex_lock(&d->m->compute);
	decoder_pass(
		d->d, d->m, &d->kv, d->ids, d->spans, d->n_spans, d->rows, d->n_rows, d->logits);
	pthread_mutex_unlock(&d->m->compute);
	for (uint32_t i = 0; i < d->n_rows; i++) {
		struct job *j = d->jobs[i];
		j->ids[job_length(j) + j->n_draft++] =
			(int32_t)kern->argmax(d->logits + (size_t)i * d->m->hp.vocab, d->vocab);
	}
	return d->n_rows > 0;
}

void draft_more(struct generator *g)
{
	struct drafter *d = g->drafter;
	struct kvcopy copy;
	if (!d)
		return;
	for (uint32_t i = 0; i < g->n_running; i++) {
		struct job *j = g->running[i];
		if (j->draft_room && !j->draft_seq.n_blocks &&
			kvcache_begin(d->cache, &j->draft_seq, j->ids, job_length(j) - 1, &copy))
			kv_copy(&d->kv, copy);
	}
	for (uint32_t at = 0; at < DRAFT_MAX && step(g, d, at); at++)
		;
}

/* What was read of a draft that turned out wrong is not the text. */
void draft_settle(struct generator *g, struct job *j)
{
	struct kvseq *s = &j->draft_seq;
	if (!g->drafter || !s->n)
		return;
	s->n = MIN(s->n, job_length(j) - 1);
	kvcache_commit(g->drafter->cache, s, j->ids);
}

void draft_leave(struct generator *g, struct job *j)
{
	if (!g->drafter || !j->draft_seq.n_blocks)
		return;
	draft_settle(g, j);
	kvcache_end(g->drafter->cache, &j->draft_seq, j->ids);
}
