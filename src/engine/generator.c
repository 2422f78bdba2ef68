/* A generator: its memory, and a request on its caller's thread. The scheduler is schedule.c's. */
#include "engine/generator_int.h"

#include <stdlib.h>
#include "base/clock.h"
#include "engine/adapter_int.h"
#include "engine/stopper.h"

enum {
	CONTEXT_DEFAULT = 8192,
	SEQUENCES_DEFAULT = 8,
	SEQUENCES_MAX = 256,
	QUEUE_DEFAULT = 64,
	CONTEXTS_DEFAULT = 4, /* whose keys and values are held */
	TOP_MAX = 20,
	MASKS_BYTES = 32 << 20, /* cached, of all languages */
	POLL_MS = 20,           /* how soon a caller sees its cancel flag while it waits */
};

/* ---- making and freeing ---------------------------------------------------------------------- */

/* What options mean for a model. */
struct shape {
	uint32_t context, sequences;
	uint64_t tokens; /* whose keys and values are held, when there is room */
};

static enum err shape_of(const struct model *m, const struct generator_options *o,
	struct shape *out, struct errtext *et)
{
	static const struct generator_options none;
	if (!o)
		o = &none;
	if (m->arch->task != MODEL_DECODER)
		return err_set(et, ERR_INVALID,
			"the architecture %s is an encoder; it writes no text", m->arch->name);
	uint32_t want = o->context_tokens ? o->context_tokens
					  : MIN(m->hp.context, (uint32_t)CONTEXT_DEFAULT);
	if (o->context_at_most)
		want = MIN(want, m->hp.context);
	if (want > m->hp.context || want < 2)
		return err_set(et, ERR_INVALID,
			"a context of %u tokens was asked for; the model's is 2 to %u", want,
			m->hp.context);
	uint32_t seqs = o->sequences_max ? o->sequences_max : SEQUENCES_DEFAULT;
	if (seqs > SEQUENCES_MAX)
		return err_set(
			et, ERR_INVALID, "%u sequences at once; at most %d", seqs, SEQUENCES_MAX);
	uint64_t tokens = o->kv_tokens;
	if (tokens && o->context_at_most)
		tokens = MAX(tokens, want);
	if (tokens && tokens < want)
		return err_set(et, ERR_INVALID,
			"keys and values of %llu tokens were asked for; one context has %u",
			(unsigned long long)tokens, want);
	if (!tokens)
		tokens = (uint64_t)want * MIN(seqs, (uint32_t)CONTEXTS_DEFAULT);
	*out = (struct shape){want, seqs, tokens};
	return OK;
}

static uint64_t logits_of(const struct model *m, uint32_t sequences)
{
	return (sequences + (uint64_t)DRAFT_ROWS) * m->hp.vocab * sizeof(float);
}

static size_t logits_bytes(const struct generator *g)
{
	return logits_of(g->m, g->sequences);
}

static uint64_t blocks_of(uint64_t tokens)
{
	return (tokens + KV_BLOCK - 1) / KV_BLOCK;
}

/* As allocate_pass and allocate_blocks do it. */
enum err generator_needs(const struct model *m, const struct generator_options *o,
	struct memory_plan *p, struct errtext *et)
{
	struct shape s;
	enum err e = shape_of(m, o, &s, et);
	if (e)
		return e;
	const struct memory_plan *d = o->drafting_plan;
	uint64_t least = blocks_of(s.context), n = MAX(blocks_of(s.tokens), least);
	uint64_t each = kv_block_bytes(m, o->kv_q8),
		 each_draft = d ? d->kv_token_bytes * KV_BLOCK : 0;
	if (!each || n > UINT32_MAX)
		return err_set(et, ERR_TOO_LARGE, "keys and values of %llu tokens are too many",
			(unsigned long long)n * KV_BLOCK);
	p->context_tokens = s.context;
	p->sequences = s.sequences;
	p->pass_bytes = decoder_needs(m, PROMPT_BATCH + s.sequences + DRAFT_ROWS,
				s.sequences + DRAFT_ROWS, s.context, &p->thread_bytes) +
			logits_of(m, s.sequences);
	uint64_t rest = p->weight_bytes + p->pass_bytes, rest_draft = 0;
	if (d)
		rest_draft = d->weight_bytes + p->pass_bytes;
	p->least_bytes = rest + rest_draft + least * (each + each_draft);
	if (m->memory_max && p->least_bytes <= m->memory_max)
		n = MIN(n, (m->memory_max - rest - rest_draft) / (each + each_draft));
	p->kv_token_bytes = each / KV_BLOCK;
	p->kv_tokens = n * KV_BLOCK;
	p->kv_bytes = n * each;
	p->drafting_bytes = rest_draft + n * each_draft;
	return OK;
}

static enum err allocate_pass(struct generator *g, struct errtext *et)
{
	size_t n = g->sequences;
	g->running = calloc(n, sizeof(struct job *));
	g->spans = calloc(n, sizeof *g->spans);
	g->span_job = calloc(n, sizeof(struct job *));
	g->rows = calloc(n + DRAFT_ROWS, sizeof *g->rows);
	g->turns = calloc(n, sizeof *g->turns);
	g->ids = calloc(PROMPT_BATCH + n + DRAFT_ROWS, sizeof *g->ids);
	g->logits = mem_get(logits_bytes(g), true);
	if (!g->running || !g->spans || !g->span_job || !g->rows || !g->turns || !g->ids ||
		!g->logits)
		return err_set(et, ERR_NOMEM, "no memory for %zu sequences", n);
	enum err e = decoder_new(g->m, PROMPT_BATCH + g->sequences + DRAFT_ROWS,
		g->sequences + DRAFT_ROWS, g->context, &g->d, et);
	if (e)
		return e;
	pthread_mutex_lock(&g->m->compute);
	decoder_touch(g->d, g->m);
	pthread_mutex_unlock(&g->m->compute);
	return OK;
}

/* As many blocks as were asked for, or fewer when the model's limit of memory leaves fewer, but one
 * context at least. */
static enum err allocate_blocks(
	struct generator *g, uint64_t tokens, bool q8, struct model *drafting, struct errtext *et)
{
	struct model *m = g->m;
	uint64_t least = blocks_of(g->context), n = MAX(blocks_of(tokens), least),
		 each = kv_block_bytes(m, q8),
		 rest = m->mem_bytes + decoder_bytes(g->d) + logits_bytes(g);
	if (drafting) { /* a pass of it takes less than one of the other */
		each += kv_block_bytes(drafting, false);
		rest += drafting->mem_bytes + decoder_bytes(g->d) + logits_bytes(g);
	}
	if (!each || n > UINT32_MAX)
		return err_set(et, ERR_TOO_LARGE, "keys and values of %llu tokens are too many",
			(unsigned long long)n * KV_BLOCK);
	if (m->memory_max && rest + least * each > m->memory_max)
		return err_set(et, ERR_LIMIT,
			"weights (%llu bytes), a pass (%llu) and keys and values of one context of "
			"%u tokens (%llu) need %llu bytes; the limit is %llu",
			(unsigned long long)m->mem_bytes, (unsigned long long)(rest - m->mem_bytes),
			g->context, (unsigned long long)(least * each),
			(unsigned long long)(rest + least * each),
			(unsigned long long)m->memory_max);
	if (m->memory_max)
		n = MIN(n, (m->memory_max - rest) / each);
	enum err e = kv_new(m, (uint32_t)n, q8, &g->kv, et);
	e = e ? e : kvcache_new((uint32_t)n, &g->cache, et);
	if (!e && drafting)
		e = drafter_new(drafting, m, g->sequences, (uint32_t)n, &g->drafter, et);
	return e;
}

static void release(struct generator *g)
{
	free(g->running);
	free(g->spans);
	free(g->span_job);
	free(g->rows);
	free(g->turns);
	free(g->ids);
	mem_put(g->logits, logits_bytes(g));
	kv_free(&g->kv);
	kvcache_free(g->cache);
	drafter_free(g->drafter);
	fair_free(&g->queue);
	decoder_free(g->d);
	masker_free(g->masker);
	pthread_mutex_destroy(&g->masker_mu);
	pthread_mutex_destroy(&g->mu);
	pthread_cond_destroy(&g->work);
	pthread_cond_destroy(&g->left);
	model_unref(g->m);
	free(g);
}

enum err generator_new(struct model *m, const struct generator_options *o, struct generator **out,
	struct errtext *et)
{
	struct shape s;
	enum err e = shape_of(m, o, &s, et);
	if (e)
		return e;
	struct generator *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory");
	g->m = model_ref(m);
	g->context = s.context;
	g->sequences = s.sequences;
	g->drafts = !o || !o->no_drafts;
	g->queue_max = o && o->queue_max ? o->queue_max : QUEUE_DEFAULT;
	pthread_mutex_init(&g->mu, NULL);
	pthread_mutex_init(&g->masker_mu, NULL);
	cond_init(&g->work);
	cond_init(&g->left);
	e = allocate_pass(g, et);
	if (!e)
		e = allocate_blocks(g, s.tokens, o && o->kv_q8, o ? o->drafting : NULL, et);
	if (!e)
		e = thread_start(&g->thread, generator_schedule, g, "generator", et);
	if (e)
		release(g);
	else
		*out = g;
	return e;
}

void generator_free(struct generator *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->mu);
	g->stop = true;
	pthread_cond_broadcast(&g->work);
	pthread_mutex_unlock(&g->mu);
	pthread_join(g->thread, NULL);
	pthread_mutex_lock(&g->mu);
	while (g->inside)
		pthread_cond_wait(&g->left, &g->mu);
	pthread_mutex_unlock(&g->mu);
	release(g);
}

uint32_t generator_context(const struct generator *g)
{
	return g->context;
}

void generator_stats(const struct generator *from, struct generator_stats *out)
{
	struct generator *g = (struct generator *)from; /* its lock */
	pthread_mutex_lock(&g->mu);
	*out = (struct generator_stats){.running = g->n_running,
		.queued = g->queue.n,
		.sequences_max = g->sequences,
		.prompt_tokens = g->prompt_tokens,
		.cached_tokens = g->cached_tokens,
		.generated_tokens = g->generated_tokens,
		.requests = g->requests,
		.preemptions = g->preemptions,
		.kv_tokens = kvcache_known_tokens(g->cache),
		.kv_room = (uint64_t)g->kv.n_blocks * KV_BLOCK,
		.kv_bytes = g->kv.bytes,
		.work_bytes = decoder_bytes(g->d) + logits_bytes(g),
		.drafting_bytes = drafter_bytes(g->drafter)};
	for (uint32_t i = 0; i < g->n_running; i++) {
		const struct kvseq *s = &g->running[i]->seq;
		out->kv_used += s->n;
		out->kv_tokens += s->n - s->n_shared * KV_BLOCK;
	}
	pthread_mutex_unlock(&g->mu);
}

/* ---- a request, on its caller's thread ------------------------------------------------------- */

/* How the text of one answer grows. */
struct answer {
	const struct gen_request *r;
	struct job *j;
	struct detok detok;
	struct stopper stopper;
	struct buf text;
	uint32_t n; /* tokens delivered */
	int stop_index;
	bool refused; /* on_token said no */
};

static enum err check(const struct generator *g, const struct gen_request *r, struct errtext *et)
{
	if (!r->n_prompt)
		return err_set(et, ERR_INVALID, "the prompt is empty");
	if (r->n_prompt >= g->context)
		return err_set(et, ERR_TOO_LARGE,
			"the prompt has %zu tokens; the context holds %u, of which one must be "
			"left for the answer",
			r->n_prompt, g->context);
	if (r->adapter && adapter_model(r->adapter) != g->m)
		return err_set(et, ERR_INVALID, "the adapter was made for another model");
	if (r->top_logprobs > TOP_MAX)
		return err_set(et, ERR_INVALID, "top_logprobs is %d, at most %d are given",
			r->top_logprobs, TOP_MAX);
	for (size_t i = 0; i < r->n_prompt; i++)
		if (r->prompt[i] < 0 || (uint32_t)r->prompt[i] >= g->m->hp.vocab)
			return err_set(et, ERR_INVALID,
				"token %d does not exist; the vocabulary has %u", r->prompt[i],
				g->m->hp.vocab);
	return OK;
}

static enum err hold(
	struct generator *g, const struct language *l, struct mask **out, struct errtext *et)
{
	enum err e = OK;
	pthread_mutex_lock(&g->masker_mu);
	if (!g->masker)
		e = masker_new(g->m->tokenizer, g->m->hp.vocab, MASKS_BYTES, &g->masker, et);
	pthread_mutex_unlock(&g->masker_mu);
	return e ? e : mask_new(g->masker, l, out, et);
}

static enum err prepare(
	struct generator *g, const struct gen_request *r, struct job *j, struct errtext *et)
{
	uint32_t room = g->context - (uint32_t)r->n_prompt;
	j->r = r;
	j->reach = DRAFT_MAX / 2;
	j->max_tokens = r->max_tokens ? MIN(r->max_tokens, room) : room;
	j->n_top = r->top_logprobs > 0 ? MIN((uint32_t)r->top_logprobs, g->m->hp.vocab) : 0;
	cond_init(&j->changed);
	/* one more than max_tokens: sample() writes there before the end is known */
	size_t n = j->max_tokens + 1;
	j->ids = malloc((r->n_prompt + n + DRAFT_MAX) * sizeof *j->ids);
	j->logprob = malloc(n * sizeof *j->logprob);
	j->top = malloc(n * MAX(j->n_top, 1u) * sizeof *j->top);
	j->seq = (struct kvseq){.kind = {adapter_id(r->adapter), r->realm}};
	j->draft_seq = j->seq;
	size_t table = (g->context / KV_BLOCK + 1) * sizeof *j->seq.blocks;
	j->seq.blocks = malloc(table);
	j->draft_seq.blocks = malloc(g->drafter ? table : 1);
	if (!j->ids || !j->logprob || !j->top || !j->seq.blocks || !j->draft_seq.blocks)
		return err_set(
			et, ERR_NOMEM, "no memory for an answer of %u tokens", j->max_tokens);
	memcpy(j->ids, r->prompt, r->n_prompt * sizeof *j->ids);
	j->tokens = j->ids + r->n_prompt;
	enum err e = sampler_new(&r->sampling, g->m->hp.vocab, &j->sampler, et);
	if (!e)
		sampler_prompt(j->sampler, r->prompt, r->n_prompt);
	if (!e && r->language)
		e = hold(g, r->language, &j->mask, et);
	return e;
}

static void drop(struct job *j)
{
	sampler_free(j->sampler);
	mask_free(j->mask);
	free(j->ids);
	free(j->logprob);
	free(j->top);
	free(j->seq.blocks);
	free(j->draft_seq.blocks);
	pthread_cond_destroy(&j->changed);
}

static enum err submit(struct generator *g, struct job *j, struct errtext *et)
{
	enum err e = OK;
	pthread_mutex_lock(&g->mu);
	if (g->stop) {
		e = err_set(et, ERR_NOT_READY, "the model is being unloaded");
	} else if (g->queue.n >= g->queue_max && !j->r->goes_on) {
		e = err_set(et, ERR_BUSY, "%u requests wait for this model already", g->queue.n);
	} else if (!(j->client = client_enter(&g->queue, j->r->client))) {
		e = err_set(et, ERR_NOMEM, "no memory for another client");
	} else {
		j->submitted_ns = clock_mono_ns();
		fair_add(&g->queue, j);
		g->inside++;
		pthread_cond_signal(&g->work);
	}
	pthread_mutex_unlock(&g->mu);
	return e;
}

static bool send(struct answer *a, struct str text, int32_t token, uint32_t index)
{
	buf_adds(&a->text, text);
	if (!a->r->on_token)
		return true;
	struct gen_event ev = {.text = text, .token = token, .index = index};
	if (token >= 0 && a->r->top_logprobs >= 0) {
		ev.logprob = a->j->logprob[index];
		ev.top = a->j->top + (size_t)index * a->j->n_top;
		ev.n_top = a->j->n_top;
	}
	return a->r->on_token(a->r->ctx, &ev);
}

/* One token to the caller; false when no more is wanted. */
static bool deliver(struct answer *a)
{
	int hit;
	uint32_t i = a->n++;
	struct str text = detok_add(&a->detok, a->j->tokens[i]);
	text = stopper_add(&a->stopper, text, &hit);
	a->stop_index = hit;
	if (!send(a, text, a->j->tokens[i], i))
		a->refused = true;
	return !a->refused && hit < 0;
}

/* What was held back, when the answer ended by itself. */
static void flush(struct answer *a)
{
	int hit;
	struct str text = stopper_add(&a->stopper, detok_end(&a->detok), &hit);
	a->stop_index = hit;
	if (text.n)
		send(a, text, -1, a->n);
	if (hit < 0 && (text = stopper_end(&a->stopper)).n)
		send(a, text, -1, a->n);
}

/* Waits for tokens and delivers them until the job is the caller's again. */
static void follow(struct generator *g, struct answer *a)
{
	struct job *j = a->j;
	bool wanted = true;
	pool_wait_begin();
	pthread_mutex_lock(&g->mu);
	for (;;) {
		while (a->n < j->n_tokens && wanted) {
			pthread_mutex_unlock(&g->mu);
			wanted = deliver(a);
			if (!wanted)
				atomic_store(&j->quit, true);
			pthread_mutex_lock(&g->mu);
		}
		if (j->done)
			break;
		if (!wanted || cancelled(j->r->cancel))
			pthread_cond_signal(&g->work); /* it may sleep with us in the queue */
		cond_wait_until(&j->changed, &g->mu, clock_mono_ns() + POLL_MS * 1000000ull);
	}
	g->inside--;
	if (!g->inside)
		pthread_cond_signal(&g->left);
	pthread_mutex_unlock(&g->mu);
	pool_wait_end();
}

static void account(const struct answer *a, struct gen_result *out)
{
	const struct job *j = a->j;
	out->prompt_tokens = (uint32_t)a->r->n_prompt;
	out->completion_tokens = a->n;
	out->cached_tokens = j->cached;
	out->preemptions = j->preempted;
	out->drafted_tokens = j->drafted;
	out->accepted_tokens = j->accepted;
	uint64_t admitted = j->admitted_ns ? j->admitted_ns : j->last_ns;
	out->queued_ns = admitted - j->submitted_ns;
	if (j->first_ns) {
		out->prompt_ns = j->first_ns - admitted;
		out->first_token_ns = j->first_ns - j->submitted_ns;
		out->decode_ns = j->last_ns - j->first_ns;
	}
}

enum err generator_run(struct generator *g, const struct gen_request *r, struct gen_result *out,
	struct errtext *et)
{
	struct job j = {0};
	struct answer a = {.r = r, .j = &j, .detok = {.tk = g->m->tokenizer}, .stop_index = -1};
	enum err e = check(g, r, et);
	if (e)
		return e;
	e = prepare(g, r, &j, et);
	if (!e)
		e = stopper_init(&a.stopper, r->stop, r->n_stop, et);
	if (!e)
		e = submit(g, &j, et);
	if (!e) {
		follow(g, &a);
		if (!a.refused && a.stop_index < 0)
			flush(&a);
		if (j.e && !a.refused && a.stop_index < 0)
			e = err_set(et, ERR_LIMIT,
				"the answer cannot go on as its language demands: %s", j.et.msg);
		else if (a.text.err)
			e = err_set(et, a.text.err, "no memory for the answer");
	}
	if (!e) {
		*out = (struct gen_result){.text = a.text, .finish = j.finish};
		if (a.stop_index >= 0) {
			out->finish = GEN_STOP_STRING;
			out->stop_index = (uint32_t)a.stop_index;
		} else if (a.refused) {
			out->finish = GEN_CANCELLED;
		}
		account(&a, out);
	} else {
		buf_free(&a.text);
	}
	detok_free(&a.detok);
	stopper_free(&a.stopper);
	drop(&j);
	return e;
}
