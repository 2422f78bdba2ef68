/* The threads of a queue.
 *
 * The first thread looks for jobs every look_ms, the others seldom: who takes a job wakes them when
 * more are waiting, and workers_wake is called for what this process adds. So many threads do not
 * mean many looks. What the threads share is under mu; a job's text is its thread's arena's, and is
 * read by others only while the thread is `active`. */
#include "store/worker.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { LEASE_MS = 15000, LOOK_MS = 1000, SELDOM = 10, HOUR_MS = 3600 * 1000, STEP_MS = 100 };

struct worker {
	struct workers *of;
	pthread_t thread;
	bool first;
	struct job job; /* with mu, while active */
	bool active;
	struct cancel lost;
};

struct workers {
	struct worker_options o;
	struct db *db;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool stop;
	unsigned n; /* that were started */
	unsigned calls;
	struct worker worker[WORKERS_MAX];
	pthread_t keeper;
	bool keeping;
	bool heirless; /* the first thread's: nothing of an earlier life is left */
};

/* ---- waiting ---- */

bool workers_nap(struct workers *s, uint64_t ms)
{
	uint64_t until = clock_mono_ns() + ms * 1000000ull;
	pthread_mutex_lock(&s->mu);
	while (!s->stop && cond_wait_until(&s->wake, &s->mu, until))
		;
	bool go_on = !s->stop;
	pthread_mutex_unlock(&s->mu);
	return go_on;
}

bool work_nap(struct work *w, uint64_t ms)
{
	uint64_t until = clock_mono_ns() + ms * 1000000ull, now;
	while (!cancelled(w->cancel) && (now = clock_mono_ns()) < until)
		if (!workers_nap(w->of, MIN((until - now) / 1000000 + 1, (uint64_t)STEP_MS)))
			return false;
	return !cancelled(w->cancel);
}

void workers_wake(struct workers *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	s->calls++;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->mu);
}

/* ---- a job ---- */

static void activate(struct worker *k, const struct job *job)
{
	pthread_mutex_lock(&k->of->mu);
	k->active = job != NULL;
	if (job) {
		k->job = *job;
		atomic_store(&k->lost.set, k->of->stop);
	}
	pthread_mutex_unlock(&k->of->mu);
}

static void failed(struct workers *s, const struct job *job, enum err e, struct errtext *et)
{
	bool given_back = e == ERR_CANCELLED;
	if (!given_back && job->attempt >= job->attempts_max)
		log_error("a job of the queue %s failed %d times, the last: %s", s->o.queue,
			job->attempt, err_text(e, et));
	else if (!given_back)
		log_warn("a job of the queue %s is done again later: %s", s->o.queue,
			err_text(e, et));
	struct errtext why = {0};
	e = queue_fail(s->db, job, given_back ? 1 : s->o.retry_ms, str_c(err_text(e, et)), &why);
	if (e && e != ERR_CONFLICT)
		log_warn("the queue %s: %s", s->o.queue, err_text(e, &why));
}

static void do_job(struct worker *k, const struct job *job, struct arena *a)
{
	struct workers *s = k->of;
	struct errtext et = {0};
	struct queue_counts n = {0};
	struct work w = {*job, s->db, s->o.ctx, a, &k->lost, s};
	activate(k, job);
	if (s->o.threads > 1 && !queue_count(s->db, s->o.queue, &n, NULL) && n.waiting)
		workers_wake(s);
	enum err e = s->o.run(&w, &et);
	activate(k, NULL);
	if (e && e != ERR_CONFLICT)
		failed(s, job, e, &et);
}

/* Of this server's earlier life; what it may still hold is looked at again. */
static void take_back(struct workers *s)
{
	struct errtext et = {0};
	size_t left = 0;
	enum err e = queue_take_back(s->db, s->o.queue, &left, &et);
	if (e)
		log_warn("the queue %s: %s", s->o.queue, err_text(e, &et));
	s->heirless = !e && !left;
}

/* false: there is none now. */
static bool one_job(struct worker *k)
{
	struct workers *s = k->of;
	struct errtext et = {0};
	struct job job;
	if (k->first && !s->heirless)
		take_back(s);
	struct arena *a = arena_new(s->o.arena_max);
	enum err e = a ? queue_lease(s->db, s->o.queue, s->o.lease_ms, a, &job, &et) : ERR_NOMEM;
	if (!e)
		do_job(k, &job, a);
	else if (e != ERR_NOT_FOUND)
		log_warn("the queue %s: %s", s->o.queue, err_text(e, &et));
	arena_free(a);
	return !e;
}

static void *worker_main(void *arg)
{
	struct worker *k = arg;
	struct workers *s = k->of;
	uint64_t rest = (uint64_t)s->o.look_ms * (k->first ? 1 : SELDOM) * 1000000;
	pthread_mutex_lock(&s->mu);
	while (!s->stop) {
		unsigned calls = s->calls;
		pthread_mutex_unlock(&s->mu);
		bool more = one_job(k);
		uint64_t until = clock_mono_ns() + rest;
		pthread_mutex_lock(&s->mu);
		while (!more && !s->stop && s->calls == calls &&
			cond_wait_until(&s->wake, &s->mu, until))
			;
	}
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

/* ---- leases ---- */

/* The thread's job, as a copy that lasts; false: it has none. */
static bool job_of(struct worker *k, struct arena *a, struct job *out)
{
	pthread_mutex_lock(&k->of->mu);
	bool active = k->active && !cancelled(&k->lost);
	if (active) {
		*out = k->job;
		out->body = arena_str(a, k->job.body);
	}
	pthread_mutex_unlock(&k->of->mu);
	return active && out->body.p;
}

static void keep(struct worker *k, struct arena *a)
{
	struct workers *s = k->of;
	struct job job;
	struct errtext et = {0};
	if (!job_of(k, a, &job))
		return;
	enum err e = queue_keep(s->db, &job, s->o.lease_ms, &et);
	if (e != ERR_CONFLICT && (e || !s->o.wanted || s->o.wanted(s->o.ctx, &job)))
		return;
	pthread_mutex_lock(&s->mu);
	if (k->active && k->job.lease == job.lease && !memcmp(&k->job.id, &job.id, sizeof job.id))
		cancel_set(&k->lost);
	pthread_mutex_unlock(&s->mu);
}

static void *keeper_main(void *arg)
{
	struct workers *s = arg;
	uint64_t tidied = 0;
	do {
		struct errtext et = {0};
		uint64_t now = clock_mono_ns();
		for (unsigned i = 0; i < s->n; i++) {
			struct arena *a = arena_new(s->o.arena_max);
			if (a)
				keep(&s->worker[i], a);
			arena_free(a);
		}
		if (!s->o.hourly || (tidied && now - tidied < HOUR_MS * 1000000ull))
			continue;
		tidied = now;
		enum err e = s->o.hourly(s->o.ctx, &et);
		if (e)
			log_warn("tidying what belongs to the queue %s: %s", s->o.queue,
				err_text(e, &et));
	} while (workers_nap(s, (uint64_t)s->o.lease_ms / 4));
	return NULL;
}

void workers_interrupt(struct workers *s, struct str body)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	for (unsigned i = 0; i < s->n; i++)
		if (s->worker[i].active && str_eq(s->worker[i].job.body, body))
			cancel_set(&s->worker[i].lost);
	pthread_mutex_unlock(&s->mu);
}

/* ---- start and stop ---- */

enum err workers_start(
	struct db *db, const struct worker_options *o, struct workers **out, struct errtext *et)
{
	struct workers *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(
			et, ERR_NOMEM, "no memory for the threads of the queue %s", o->queue);
	s->o = *o;
	s->o.lease_ms = o->lease_ms ? o->lease_ms : LEASE_MS;
	s->o.look_ms = o->look_ms ? o->look_ms : LOOK_MS;
	s->db = db;
	pthread_mutex_init(&s->mu, NULL);
	cond_init(&s->wake);
	enum err e = OK;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		s->worker[i] = (struct worker){.of = s, .first = !i};
	unsigned n = 0;
	for (; n < MIN(o->threads, (unsigned)WORKERS_MAX) && !e; n += !e)
		e = thread_start(&s->worker[n].thread, worker_main, &s->worker[n], o->name, et);
	pthread_mutex_lock(&s->mu);
	s->n = n;
	pthread_mutex_unlock(&s->mu);
	if (!e)
		e = thread_start(&s->keeper, keeper_main, s, o->name, et);
	s->keeping = !e;
	if (e) {
		workers_stop(s);
		return e;
	}
	*out = s;
	return OK;
}

void workers_stop(struct workers *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	s->stop = true;
	for (unsigned i = 0; i < s->n; i++)
		cancel_set(&s->worker[i].lost);
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->mu);
	for (unsigned i = 0; i < s->n; i++)
		pthread_join(s->worker[i].thread, NULL);
	if (s->keeping)
		pthread_join(s->keeper, NULL);
	pthread_mutex_destroy(&s->mu);
	pthread_cond_destroy(&s->wake);
	free(s);
}
