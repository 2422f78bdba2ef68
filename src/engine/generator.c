/* The scheduler of a decoder: one thread that owns the keys and values and advances all requests
 * together.
 *
 *	generator_run (caller)                   scheduler thread
 *	  submit: queue += job, wake --------->  admit: a free slot, longest shared prefix
 *	  wait for tokens  <------------------   plan: one token of every job that decodes, its
 *	  detokenise, stop strings, on_token       draft, then a share of every prompt
 *	  a stop string or false: job->quit      one pass; sample; publish until job->done
 *	  all tokens delivered                   quit or cancelled: free the slot, job->done
 *
 * Invariants
 *  1. A job lives on its caller's stack. The scheduler touches it only between submit and the
 *     moment it sets job->done under the lock; then never again.
 *  2. tokens[0..n_tokens) and what belongs to them are written by the scheduler before n_tokens is
 *     raised under the lock, and not changed after. The caller reads them without the lock.
 *  3. slot.ids[0..n) are exactly the tokens whose keys and values the slot holds, so a later
 *     request that begins with the same tokens continues from there. As every value depends on
 *     the tokens before it only, and not on the batch, the answer is the same as without.
 *  4. A pass may read, after the newest token of an answer, a draft of those that could follow:
 *     what came after the same three tokens earlier in the prompt or answer. Its rows are sampled
 *     in order, each as if it stood alone, until one differs; the rest is forgotten. As a row's
 *     logits and draw depend on neither, the answer is the same as without, sooner.
 *  5. Strings are the callers' business: a slow on_token delays only its own caller. The room for
 *     its tokens was allocated when it came. */
#include "engine/model_int.h"

#include <stdlib.h>
#include "base/clock.h"
#include "engine/mask.h"
#include "engine/sampler.h"
#include "engine/stopper.h"

enum {
	CONTEXT_DEFAULT = 8192,
	SEQUENCES_DEFAULT = 8,
	SEQUENCES_MAX = 256,
	QUEUE_DEFAULT = 64,
	PROMPT_BATCH = 512, /* prompt tokens of a pass when nobody decodes */
	PROMPT_SHARE = 128, /* and when somebody does, so that no answer stalls for long */
	TOP_MAX = 20,
	MASKS_BYTES = 32 << 20, /* cached, of all languages */
	DRAFT_MAX = 8,          /* tokens of a draft */
	DRAFT_ROWS = 16,        /* of all drafts of a pass */
	DRAFT_LIKE = 3,         /* tokens that must have occurred before */
	DRAFT_PAUSE = 64,       /* tokens without one, at most, after some that were wrong */
	POLL_MS = 20,           /* how soon a caller sees its cancel flag while it waits */
};

struct job {
	const struct gen_request *r;
	struct job *next; /* in the queue */
	struct sampler *sampler;
	struct mask *mask; /* NULL: any text */
	uint32_t max_tokens;
	uint64_t submitted_ns, admitted_ns, first_ns, last_ns;

	/* scheduler's */
	uint32_t slot, done_prompt, cached;
	bool active;
	bool over; /* the language allows nothing but the end */
	/* how long the next draft may be, how long to wait until then, and the last such wait */
	uint32_t reach, wait, pause, drafted, accepted;
	enum err e;
	struct errtext et; /* why it could not go on */

	/* shared, see 2. */
	int32_t *tokens;
	float *logprob;
	struct token_logprob *top; /* [max_tokens][n_top] */
	uint32_t n_top;
	uint32_t n_tokens;
	enum gen_finish finish;
	bool done;
	atomic_bool quit; /* the caller wants no more */
	pthread_cond_t changed;
};

struct slot {
	int32_t *ids; /* [context] */
	uint32_t n;
	struct job *job; /* NULL: free */
	uint64_t used;   /* step of last use */
};

/* An answer's part of a pass: its rows of logits, and how many gave a token. */
struct turn {
	struct job *job;
	uint32_t first, n, picked;
};

struct generator {
	struct model *m;
	uint32_t context, sequences, queue_max;
	bool drafts;
	struct kv kv;
	struct decoder *d;
	struct slot *slots;
	pthread_t thread;

	/* the scheduler's own, one pass */
	struct span *spans;    /* [sequences] */
	struct job **span_job; /* [sequences] */
	uint32_t *rows;        /* [sequences + DRAFT_ROWS] */
	struct turn *turns;    /* [sequences] */
	int32_t *ids;          /* [batch] */
	float *logits;         /* [sequences + DRAFT_ROWS][vocab] */
	uint32_t n_spans, n_rows, n_ids, n_turns;
	uint64_t step;

	pthread_mutex_t masker_mu;
	struct masker *masker; /* made for the first request with a language */

	pthread_mutex_t mu;
	pthread_cond_t work, left;
	struct job *first, **last; /* the queue */
	uint32_t queued, inside;
	bool stop;
	/* for generator_stats */
	uint64_t prompt_tokens, cached_tokens, generated_tokens, requests;
};

/* ---- the scheduler's steps ------------------------------------------------------------------- */

static bool unwanted(const struct job *j)
{
	return atomic_load_explicit(&j->quit, memory_order_relaxed) || cancelled(j->r->cancel);
}

/* With the lock. The job is the caller's again afterwards. */
static void finish(struct generator *g, struct job *j, enum gen_finish how)
{
	if (j->active) {
		g->slots[j->slot].job = NULL;
		g->slots[j->slot].used = g->step;
	}
	j->active = false;
	g->requests++;
	j->last_ns = clock_mono_ns();
	j->finish = how;
	j->done = true;
	pthread_cond_signal(&j->changed);
}

static uint32_t shared(const struct slot *s, const struct gen_request *r)
{
	uint32_t n = 0, most = (uint32_t)MIN((size_t)s->n, r->n_prompt - 1);
	while (n < most && s->ids[n] == r->prompt[n])
		n++;
	return n;
}

/* The free slot that holds most of the prompt; among equals the one unused for longest. */
static struct slot *choose(struct generator *g, const struct gen_request *r, uint32_t *n_shared)
{
	struct slot *best = NULL;
	for (uint32_t i = 0; i < g->sequences; i++) {
		struct slot *s = &g->slots[i];
		if (s->job)
			continue;
		uint32_t n = shared(s, r);
		if (!best || n > *n_shared || (n == *n_shared && s->used < best->used)) {
			best = s;
			*n_shared = n;
		}
	}
	return best;
}

/* With the lock: takes *at, a link of the queue, out of it. */
static struct job *unlink_job(struct generator *g, struct job **at)
{
	struct job *j = *at;
	*at = j->next;
	if (!*at)
		g->last = at;
	g->queued--;
	return j;
}

/* With the lock: from the queue into free slots, in order. */
static void admit(struct generator *g)
{
	for (struct job **at = &g->first; *at;)
		if (unwanted(*at))
			finish(g, unlink_job(g, at), GEN_CANCELLED);
		else
			at = &(*at)->next;
	while (g->first) {
		uint32_t n = 0;
		struct slot *s = choose(g, g->first->r, &n);
		if (!s)
			return;
		struct job *j = unlink_job(g, &g->first);
		j->slot = (uint32_t)(s - g->slots);
		j->active = true;
		j->admitted_ns = clock_mono_ns();
		j->cached = j->done_prompt = s->n = n;
		g->cached_tokens += n;
		s->job = j;
	}
}

/* n tokens of a sequence, of which the last n_rows want logits. */
static void add_span(
	struct generator *g, struct job *j, const int32_t *ids, uint32_t n, uint32_t n_rows)
{
	struct slot *s = &g->slots[j->slot];
	g->spans[g->n_spans] = (struct span){.seq = j->slot, .pos = s->n, .n = n};
	g->span_job[g->n_spans++] = j;
	memcpy(g->ids + g->n_ids, ids, n * sizeof *ids);
	memcpy(s->ids + s->n, ids, n * sizeof *ids);
	s->n += n;
	g->n_ids += n;
	if (n_rows)
		g->turns[g->n_turns++] = (struct turn){.job = j, .first = g->n_rows, .n = n_rows};
	for (uint32_t i = n_rows; i > 0; i--)
		g->rows[g->n_rows++] = g->n_ids - i;
}

/* After the newest token of j in out[0], what may follow: *n of them in all. */
static void add_draft(struct generator *g, struct job *j, int32_t out[1 + DRAFT_MAX], uint32_t *n)
{
	struct slot *s = &g->slots[j->slot];
	if (j->wait) {
		j->wait--;
		return;
	}
	/* room in the answer, the context and the pass, which keeps a row for every sequence */
	uint32_t most = MIN(MIN(j->reach, j->max_tokens - j->n_tokens - 1), g->context - s->n - 1),
		 len = s->n + 1;
	most = MIN(most, DRAFT_ROWS - (g->n_rows - g->n_turns));
	if (!most || len <= DRAFT_LIKE)
		return;
	s->ids[s->n] = out[0];
	const int32_t *like = s->ids + len - DRAFT_LIKE;
	for (uint32_t at = len - DRAFT_LIKE; at-- > 0;)
		if (!memcmp(s->ids + at, like, DRAFT_LIKE * sizeof *like)) {
			for (at += DRAFT_LIKE; at < len && *n <= most; at++)
				out[(*n)++] = s->ids[at];
			return;
		}
}

/* A draft was right so far: the next one may be longer; all wrong: not so soon again. */
static void judge_draft(struct job *j, uint32_t drafted, uint32_t right)
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

static bool in_prompt(const struct job *j)
{
	return j && j->done_prompt < j->r->n_prompt;
}

/* The tokens that answers wait for; what is no longer wanted ends here. */
static void plan_answers(struct generator *g)
{
	for (uint32_t i = 0; i < g->sequences; i++) {
		struct job *j = g->slots[i].job;
		if (j && unwanted(j))
			finish(g, j, GEN_CANCELLED);
		else if (j && j->n_tokens) {
			int32_t ids[1 + DRAFT_MAX] = {j->tokens[j->n_tokens - 1]};
			uint32_t n = 1;
			if (g->drafts)
				add_draft(g, j, ids, &n);
			add_span(g, j, ids, n, n);
		}
	}
}

/* Prompts share what room there is, so that a short one is not kept by a long one before it. */
static void plan_prompts(struct generator *g)
{
	enum { LEAST = 32 };
	uint32_t room = g->n_spans ? PROMPT_SHARE : PROMPT_BATCH, waiting = 0;
	for (uint32_t i = 0; i < g->sequences; i++)
		waiting += in_prompt(g->slots[i].job);
	for (uint32_t k = 0; k < g->sequences && waiting && room; k++) {
		struct job *j = g->slots[(g->step + k) % g->sequences].job;
		if (!in_prompt(j))
			continue;
		uint32_t todo = (uint32_t)j->r->n_prompt - j->done_prompt,
			 share = MAX(room / waiting, (uint32_t)LEAST),
			 n = MIN(todo, MIN(share, room));
		add_span(g, j, j->r->prompt + j->done_prompt, n, n == todo ? 1 : 0);
		j->done_prompt += n;
		g->prompt_tokens += n;
		room -= n;
		waiting--;
	}
}

/* With the lock: what the next pass reads. False: nothing to do. */
static bool plan(struct generator *g)
{
	g->n_spans = g->n_rows = g->n_ids = g->n_turns = 0;
	plan_answers(g);
	plan_prompts(g);
	return g->n_spans > 0;
}

/* Token `at` of the answer. */
static int32_t pick(struct job *j, const float *logits, uint32_t at)
{
	return sampler_pick(j->sampler, logits, j->n_top ? j->top + (size_t)at * j->n_top : NULL,
		j->n_top, j->r->top_logprobs >= 0 ? &j->logprob[at] : NULL);
}

/* The next token from one row; false when the answer cannot go on. */
static bool sample_row(struct generator *g, struct job *j, uint32_t row, uint32_t at)
{
	const uint64_t *allowed = NULL;
	if (j->mask)
		j->e = mask_next(j->mask, &allowed, &j->et);
	if (j->e)
		return false;
	sampler_allow(j->sampler, allowed);
	int32_t id = pick(j, g->logits + (size_t)row * g->m->hp.vocab, at);
	if (j->mask && !tokenizer_is_end(g->m->tokenizer, id))
		j->e = mask_take(j->mask, id, &j->over, &j->et);
	sampler_accept(j->sampler, id);
	j->tokens[at] = id;
	return !j->e;
}

/* One answer's rows in order, on any thread of the team, as far as its draft was right. */
static void sample(void *arg, size_t i, unsigned thread)
{
	struct generator *g = arg;
	struct turn *t = &g->turns[i];
	struct job *j = t->job;
	while (t->picked < t->n) {
		uint32_t row = t->first + t->picked, at = j->n_tokens + t->picked;
		if (!sample_row(g, j, row, at))
			return;
		t->picked++;
		if (j->over || tokenizer_is_end(g->m->tokenizer, j->tokens[at]))
			return;
		if (t->picked < t->n && g->ids[g->rows[row] + 1] != j->tokens[at])
			return;
	}
}

/* With the lock: the tokens of an answer's turn become its caller's. */
static void publish_turn(struct generator *g, struct turn *t, uint64_t now)
{
	struct job *j = t->job;
	uint32_t right = t->picked ? t->picked - 1 : 0;
	if (!j->n_tokens)
		j->first_ns = now;
	g->slots[j->slot].n -= t->n - 1 - right; /* what was read of a wrong draft */
	if (t->n > 1)
		judge_draft(j, t->n - 1, right);
	for (uint32_t i = 0; i < t->picked; i++) {
		if (tokenizer_is_end(g->m->tokenizer, j->tokens[j->n_tokens])) {
			finish(g, j, GEN_STOP);
			return;
		}
		j->n_tokens++;
		g->generated_tokens++;
	}
	if (j->e)
		finish(g, j, GEN_CANCELLED);
	else if (j->over)
		finish(g, j, GEN_STOP);
	else if (j->n_tokens == j->max_tokens)
		finish(g, j, GEN_LENGTH);
	else
		pthread_cond_signal(&j->changed);
}

static void publish(struct generator *g)
{
	uint64_t now = clock_mono_ns();
	for (uint32_t i = 0; i < g->n_turns; i++)
		publish_turn(g, &g->turns[i], now);
}

static void pass(struct generator *g)
{
	pthread_mutex_lock(&g->m->compute);
	decoder_pass(
		g->d, g->m, &g->kv, g->ids, g->spans, g->n_spans, g->rows, g->n_rows, g->logits);
	kern_team_run(g->m->team, sample, g, g->n_turns);
	pthread_mutex_unlock(&g->m->compute);
	g->step++;
}

static void *schedule(void *arg)
{
	struct generator *g = arg;
	pthread_mutex_lock(&g->mu);
	while (!g->stop) {
		admit(g);
		if (!plan(g)) {
			if (!g->first)
				pthread_cond_wait(&g->work, &g->mu);
			continue;
		}
		pthread_mutex_unlock(&g->mu);
		pass(g);
		pthread_mutex_lock(&g->mu);
		publish(g);
	}
	for (uint32_t i = 0; i < g->sequences; i++)
		if (g->slots[i].job)
			finish(g, g->slots[i].job, GEN_CANCELLED);
	for (struct job *j = g->first; j;) {
		struct job *next = j->next; /* read before the job is its caller's again */
		finish(g, j, GEN_CANCELLED);
		j = next;
	}
	g->first = NULL;
	g->last = &g->first;
	pthread_mutex_unlock(&g->mu);
	return NULL;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static enum err allocate(struct generator *g, struct errtext *et)
{
	size_t n = g->sequences;
	struct model *m = g->m;
	g->slots = calloc(n, sizeof *g->slots);
	g->spans = calloc(n, sizeof *g->spans);
	g->span_job = calloc(n, sizeof(struct job *));
	g->rows = calloc(n + DRAFT_ROWS, sizeof *g->rows);
	g->turns = calloc(n, sizeof *g->turns);
	g->ids = calloc(PROMPT_BATCH + n + DRAFT_ROWS, sizeof *g->ids);
	g->logits = mem_get((n + DRAFT_ROWS) * m->hp.vocab * sizeof *g->logits, true);
	bool all =
		g->slots && g->spans && g->span_job && g->rows && g->turns && g->ids && g->logits;
	for (size_t i = 0; i < n && all; i++)
		all = (g->slots[i].ids = calloc(g->context, sizeof *g->slots[i].ids));
	if (!all)
		return err_set(et, ERR_NOMEM, "no memory for %zu sequences", n);
	enum err e = kv_new(m, g->sequences, g->context, &g->kv, et);
	if (!e)
		e = decoder_new(m, PROMPT_BATCH + g->sequences + DRAFT_ROWS,
			g->sequences + DRAFT_ROWS, g->context, &g->d, et);
	if (!e && m->memory_max) {
		uint64_t need = m->mem_bytes + g->kv.bytes + decoder_bytes(g->d);
		if (need > m->memory_max)
			e = err_set(et, ERR_LIMIT,
				"weights, keys and values of %u sequences of %u tokens need %llu "
				"bytes; the limit is %llu",
				g->sequences, g->context, (unsigned long long)need,
				(unsigned long long)m->memory_max);
	}
	return e;
}

static void release(struct generator *g)
{
	for (uint32_t i = 0; g->slots && i < g->sequences; i++)
		free(g->slots[i].ids);
	free(g->slots);
	free(g->spans);
	free(g->span_job);
	free(g->rows);
	free(g->turns);
	free(g->ids);
	mem_put(g->logits,
		(g->sequences + (size_t)DRAFT_ROWS) * g->m->hp.vocab * sizeof *g->logits);
	kv_free(&g->kv);
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
	if (m->arch->task != MODEL_DECODER)
		return err_set(et, ERR_INVALID, "'%s' (%s) is an encoder; it writes no text",
			m->info.name, m->info.architecture);
	uint32_t want = o && o->context_tokens ? o->context_tokens
					       : MIN(m->hp.context, (uint32_t)CONTEXT_DEFAULT);
	if (want > m->hp.context || want < 2)
		return err_set(et, ERR_INVALID,
			"a context of %u tokens was asked for; the model's is 2 to %u", want,
			m->hp.context);
	uint32_t seqs = o && o->sequences_max ? o->sequences_max : SEQUENCES_DEFAULT;
	if (seqs > SEQUENCES_MAX)
		return err_set(
			et, ERR_INVALID, "%u sequences at once; at most %d", seqs, SEQUENCES_MAX);
	struct generator *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory");
	g->m = model_ref(m);
	g->context = want;
	g->sequences = seqs;
	g->drafts = !o || !o->no_drafts;
	g->queue_max = o && o->queue_max ? o->queue_max : QUEUE_DEFAULT;
	g->last = &g->first;
	pthread_mutex_init(&g->mu, NULL);
	pthread_mutex_init(&g->masker_mu, NULL);
	cond_init(&g->work);
	cond_init(&g->left);
	enum err e = allocate(g, et);
	if (!e)
		e = thread_start(&g->thread, schedule, g, "generator", et);
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
	*out = (struct generator_stats){.queued = g->queued,
		.sequences_max = g->sequences,
		.prompt_tokens = g->prompt_tokens,
		.cached_tokens = g->cached_tokens,
		.generated_tokens = g->generated_tokens,
		.requests = g->requests,
		.kv_room = (uint64_t)g->sequences * g->context,
		.kv_bytes = g->kv.bytes,
		.work_bytes = decoder_bytes(g->d) +
			      (uint64_t)g->sequences * g->m->hp.vocab * sizeof *g->logits};
	for (uint32_t i = 0; i < g->sequences; i++) {
		out->running += g->slots[i].job != NULL;
		out->kv_tokens += g->slots[i].n;
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
	j->tokens = malloc((j->max_tokens + 1) * sizeof *j->tokens);
	j->logprob = malloc((j->max_tokens + 1) * sizeof *j->logprob);
	j->top = malloc(((size_t)j->max_tokens + 1) * MAX(j->n_top, 1u) * sizeof *j->top);
	if (!j->tokens || !j->logprob || !j->top)
		return err_set(
			et, ERR_NOMEM, "no memory for an answer of %u tokens", j->max_tokens);
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
	free(j->tokens);
	free(j->logprob);
	free(j->top);
	pthread_cond_destroy(&j->changed);
}

static enum err submit(struct generator *g, struct job *j, struct errtext *et)
{
	enum err e = OK;
	pthread_mutex_lock(&g->mu);
	if (g->stop) {
		e = err_set(et, ERR_NOT_READY, "the model is being unloaded");
	} else if (g->queued >= g->queue_max) {
		e = err_set(et, ERR_BUSY, "%u requests wait for this model already", g->queued);
	} else {
		j->submitted_ns = clock_mono_ns();
		*g->last = j;
		g->last = &j->next;
		g->queued++;
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
}

static void account(const struct answer *a, struct gen_result *out)
{
	const struct job *j = a->j;
	out->prompt_tokens = (uint32_t)a->r->n_prompt;
	out->completion_tokens = a->n;
	out->cached_tokens = j->cached;
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
