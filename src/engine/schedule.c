/* The scheduler of a decoder: one thread that owns the keys and values and advances all requests
 * together.
 *
 *	generator_run (caller)                   scheduler thread
 *	  submit: queue += job, wake --------->  admit: what goes next, with what is known of it
 *	  wait for tokens  <------------------   reserve: blocks, at need those of the last in order
 *	  detokenise, stop strings, on_token     draft: what may follow each answer
 *	  a stop string or false: job->quit      plan: a token of every answer and its draft, then
 *	  all tokens delivered                     a share of every prompt
 *						 one pass; sample; publish until job->done
 *
 * A job that gives way goes back to the queue with its answer so far; what it read stays known as
 * long as its blocks are not needed, and is read again otherwise. */
#include "engine/generator_int.h"

#include "base/clock.h"

enum {
	WRITTEN = 4, /* what a written token costs, in tokens that are read */
	HOG = 2,     /* a client with so many more running gives way to another */
};

/* ---- the states of a job --------------------------------------------------------------------- */

static bool unwanted(const struct job *j)
{
	return atomic_load_explicit(&j->quit, memory_order_relaxed) || cancelled(j->r->cancel);
}

/* Tokens of it whose keys and values are to be computed. */
static uint32_t unread(const struct job *j)
{
	return job_length(j) - j->seq.n;
}

/* More than that is to be read; neither when it is planned already. */
static bool reads(const struct job *j)
{
	return j->seq.n < job_length(j) && !job_writes(j);
}

/* With the lock: out of the running ones; what it computed stays known. */
static void leave(struct generator *g, struct job *j)
{
	uint32_t i = 0;
	while (g->running[i] != j)
		i++;
	g->n_running--;
	memmove(g->running + i, g->running + i + 1, (g->n_running - i) * sizeof(struct job *));
	kvcache_end(g->cache, &j->seq, j->ids);
	draft_leave(g, j);
	j->client->running--;
	j->active = false;
}

/* With the lock. The job is the caller's again afterwards. */
static void finish(struct generator *g, struct job *j, enum gen_finish how)
{
	if (j->active)
		leave(g, j);
	client_leave(&g->queue, j->client);
	g->requests++;
	j->last_ns = clock_mono_ns();
	j->finish = how;
	j->done = true;
	pthread_cond_signal(&j->changed);
}

static void preempt(struct generator *g, struct job *j)
{
	leave(g, j);
	j->preempted++;
	g->preemptions++;
	fair_add(&g->queue, j);
}

/* ---- admit ----------------------------------------------------------------------------------- */

/* Room for what it has, for a token more, and a block for each of those that run already. */
static bool fits(const struct generator *g, const struct job *j)
{
	if (g->n_running == g->sequences)
		return false;
	if (!g->n_running)
		return true;
	uint32_t idle, n = job_length(j),
		       known = kvcache_known(g->cache, j->seq.kind, j->ids, n - 1, &idle);
	uint32_t need = n / KV_BLOCK + 1 - known / KV_BLOCK + g->n_running;
	return need + idle <= kvcache_room(g->cache);
}

/* Who gives way to j, that is to run next: one that is less urgent, or the newest of a client that
 * runs HOG more than j's. NULL: nobody. */
static struct job *gives_way(const struct generator *g, const struct job *j)
{
	struct job *last = g->n_running ? g->running[g->n_running - 1] : NULL, *hog = NULL;
	if (last && last->r->priority > j->r->priority)
		return last;
	for (uint32_t i = 0; i < g->n_running; i++) {
		struct job *x = g->running[i];
		if (x->r->priority == j->r->priority &&
			x->client->running >= j->client->running + HOG &&
			(!hog || x->client->running >= hog->client->running))
			hog = x;
	}
	return hog;
}

static void start(struct generator *g, struct job *j)
{
	struct kvcopy copy;
	fair_remove(&g->queue, j);
	if (kvcache_begin(g->cache, &j->seq, j->ids, job_length(j) - 1, &copy))
		kv_copy(&g->kv, copy);
	if (!j->admitted_ns) {
		j->admitted_ns = clock_mono_ns();
		j->cached = j->seq.n;
		g->cached_tokens += j->seq.n;
	}
	uint32_t i = g->n_running++;
	for (; i > 0 && job_before(j, g->running[i - 1]); i--)
		g->running[i] = g->running[i - 1];
	g->running[i] = j;
	j->client->running++;
	j->active = true;
}

/* With the lock: from the queue to the running ones. */
static void admit(struct generator *g)
{
	for (struct job *j = g->queue.first, *next; j; j = next) {
		next = j->next;
		if (unwanted(j)) {
			fair_remove(&g->queue, j);
			finish(g, j, GEN_CANCELLED);
		}
	}
	for (struct job *j; (j = fair_best(&g->queue));) {
		while (!fits(g, j)) {
			struct job *other = gives_way(g, j);
			if (!other)
				return;
			preempt(g, other);
		}
		start(g, j);
	}
}

/* ---- reserve and plan ------------------------------------------------------------------------ */

/* With the lock: blocks for what the next pass may read of each, in order; the last give way. */
static void reserve(struct generator *g)
{
	for (uint32_t i = g->n_running; i-- > 0;)
		if (unwanted(g->running[i]))
			finish(g, g->running[i], GEN_CANCELLED);
	for (uint32_t i = 0; i < g->n_running; i++) {
		struct job *j = g->running[i];
		if (reads(j)) {
			uint32_t n = kvcache_catch_up(g->cache, &j->seq, j->ids, job_length(j) - 1);
			if (!j->preempted) {
				j->cached += n;
				g->cached_tokens += n;
			}
		}
		uint32_t n = j->seq.n + MIN(unread(j), (uint32_t)PROMPT_BATCH);
		while (i < g->n_running && !kvcache_grow(g->cache, &j->seq, n))
			preempt(g, g->running[g->n_running - 1]);
	}
}

/* n tokens of a sequence, of which the last n_rows want logits. */
static void add_span(
	struct generator *g, struct job *j, const int32_t *ids, uint32_t n, uint32_t n_rows)
{
	struct kvseq *s = &j->seq;
	g->spans[g->n_spans] =
		(struct span){.blocks = s->blocks, .adapter = j->r->adapter, .pos = s->n, .n = n};
	g->span_job[g->n_spans++] = j;
	memcpy(g->ids + g->n_ids, ids, n * sizeof *ids);
	s->n += n;
	g->n_ids += n;
	if (n_rows)
		g->turns[g->n_turns++] = (struct turn){.job = j, .first = g->n_rows, .n = n_rows};
	for (uint32_t i = n_rows; i > 0; i--)
		g->rows[g->n_rows++] = g->n_ids - i;
}

/* Those of one adapter stand together, so that its matrices are read once for all their rows. */
static void plan_answers(struct generator *g)
{
	for (uint32_t i = 0; i < g->n_running; i++) {
		bool writes = job_writes(g->running[i]); /* not planned yet */
		for (uint32_t k = i; writes && k < g->n_running; k++) {
			struct job *j = g->running[k];
			if (job_writes(j) && j->r->adapter == g->running[i]->r->adapter)
				add_span(g, j, j->ids + j->seq.n, 1 + j->n_draft, 1 + j->n_draft);
		}
	}
}

/* Whether running[i] does better to wait: another reads the very block that it is to read next. */
static bool is_read_by_another(const struct generator *g, uint32_t i)
{
	const struct job *j = g->running[i];
	uint32_t from = j->seq.n;
	if (from != j->seq.n_shared * KV_BLOCK || unread(j) <= KV_BLOCK)
		return false;
	for (uint32_t k = 0; k < g->n_running; k++) {
		const struct job *x = g->running[k];
		if (k == i || !kvcache_same_place(&x->seq, &j->seq) ||
			(x->seq.n == from && k > i) || job_length(x) < from + KV_BLOCK)
			continue;
		if (!memcmp(x->ids + from, j->ids + from, KV_BLOCK * sizeof *x->ids))
			return true;
	}
	return false;
}

/* The prompts of running[from..to), which are equally urgent, share what room there is, so that a
 * short one is not kept by a long one before it. Returns what is left. */
static uint32_t plan_equals(struct generator *g, uint32_t from, uint32_t to, uint32_t room)
{
	enum { LEAST = 32 };
	uint32_t waiting = 0;
	for (uint32_t i = from; i < to; i++)
		waiting += reads(g->running[i]);
	for (uint32_t k = from; k < to && waiting && room; k++) {
		uint32_t i = from + (uint32_t)((g->step + k) % (to - from));
		struct job *j = g->running[i];
		if (!reads(j))
			continue;
		if (is_read_by_another(g, i)) {
			waiting--;
			continue;
		}
		uint32_t todo = unread(j), share = MAX(room / waiting, (uint32_t)LEAST),
			 n = MIN(todo, MIN(share, room));
		add_span(g, j, j->ids + j->seq.n, n, n == todo ? 1 : 0);
		j->client->service += n;
		g->prompt_tokens += n;
		room -= n;
		waiting--;
	}
	return room;
}

static void plan_prompts(struct generator *g)
{
	uint32_t room = g->n_spans ? PROMPT_SHARE : PROMPT_BATCH;
	for (uint32_t from = 0, to; from < g->n_running; from = to) {
		for (to = from + 1; to < g->n_running; to++)
			if (g->running[to]->r->priority != g->running[from]->r->priority)
				break;
		room = plan_equals(g, from, to, room);
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

/* ---- the pass -------------------------------------------------------------------------------- */

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
	j->seq.n -= t->n - 1 - right; /* what was read of a wrong draft */
	kvcache_commit(g->cache, &j->seq, j->ids);
	if (t->n > 1)
		draft_judge(j, t->n - 1, right);
	for (uint32_t i = 0; i < t->picked; i++) {
		if (tokenizer_is_end(g->m->tokenizer, j->tokens[j->n_tokens])) {
			finish(g, j, GEN_STOP);
			return;
		}
		j->n_tokens++;
		j->client->service += WRITTEN;
		g->generated_tokens++;
	}
	if (j->e)
		finish(g, j, GEN_CANCELLED);
	else if (j->over)
		finish(g, j, GEN_STOP);
	else if (j->n_tokens == j->max_tokens)
		finish(g, j, GEN_LENGTH);
	else {
		draft_settle(g, j);
		pthread_cond_signal(&j->changed);
	}
}

static void publish(struct generator *g)
{
	uint64_t now = clock_mono_ns();
	for (uint32_t i = 0; i < g->n_spans; i++) {
		struct job *j = g->span_job[i];
		if (job_length(j) > j->seq.n) /* no turn: that commits what it was right about */
			kvcache_commit(g->cache, &j->seq, j->ids);
	}
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

void *generator_schedule(void *generator)
{
	struct generator *g = generator;
	pthread_mutex_lock(&g->mu);
	while (!g->stop) {
		admit(g);
		reserve(g);
		draft_begin(g);
		if (g->drafter) {
			pthread_mutex_unlock(&g->mu);
			draft_more(g);
			pthread_mutex_lock(&g->mu);
		}
		if (!plan(g)) {
			if (!g->queue.first && !g->stop) /* both may be new, after a draft */
				pthread_cond_wait(&g->work, &g->mu);
			continue;
		}
		pthread_mutex_unlock(&g->mu);
		pass(g);
		pthread_mutex_lock(&g->mu);
		publish(g);
	}
	while (g->n_running)
		finish(g, g->running[g->n_running - 1], GEN_CANCELLED);
	while (g->queue.first) {
		struct job *j = g->queue.first;
		fair_remove(&g->queue, j);
		finish(g, j, GEN_CANCELLED);
	}
	pthread_mutex_unlock(&g->mu);
	return NULL;
}
