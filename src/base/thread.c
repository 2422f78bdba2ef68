#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct job {
	void (*fn)(void *);
	void *arg;
};

/* Waking a thread costs more than many jobs do. So at most one is on its way at a time (`waking`);
 * when it has come and there is still more to do than it takes, it wakes the next before it begins.
 * Jobs that are short are done by the few that are awake, jobs that block bring up as many as they
 * need. The one that began to wait last is called first: what it uses is still in the caches, and
 * of many threads only as many are touched as there is work for at a time. */
struct member {
	struct pool *pool;
	pthread_t thread;
	pthread_cond_t called_cond;
	bool called;
	struct member *next; /* in pool->idle */
};

struct pool {
	pthread_mutex_t mu;
	struct job *ring;
	unsigned head, n, cap;
	struct member *idle; /* those that wait for work, the newest first */
	bool waking;         /* one of them has been called and has not come yet */
	bool stop;
	unsigned n_threads;
	struct member members[];
};

/* Under the lock: is another thread to be woken, and which? Its signal is sent after the lock is
 * given back, or it would wake only to wait for it. */
static struct member *call_one(struct pool *p)
{
	struct member *m = p->idle;
	if (!p->n || !m || p->waking)
		return NULL;
	p->idle = m->next;
	p->waking = m->called = true;
	return m;
}

static void send_call(struct member *m)
{
	if (m)
		pthread_cond_signal(&m->called_cond);
}

/* Under the lock. */
static void wait_for_call(struct pool *p, struct member *m)
{
	m->called = false;
	m->next = p->idle;
	p->idle = m;
	while (!m->called && !p->stop)
		pthread_cond_wait(&m->called_cond, &p->mu);
	if (m->called)
		p->waking = false;
}

static void *worker(void *arg)
{
	struct member *m = arg;
	struct pool *p = m->pool;
	pthread_mutex_lock(&p->mu);
	for (;;) {
		while (!p->n && !p->stop)
			wait_for_call(p, m);
		if (!p->n)
			break;
		struct job j = p->ring[p->head];
		p->head = (p->head + 1) % p->cap;
		p->n--;
		struct member *next = call_one(p);
		pthread_mutex_unlock(&p->mu);
		send_call(next);
		j.fn(j.arg);
		pthread_mutex_lock(&p->mu);
	}
	pthread_mutex_unlock(&p->mu);
	return NULL;
}

enum err pool_new(unsigned threads, unsigned queue_max, const char *name, struct pool **out,
	struct errtext *et)
{
	struct pool *p = calloc(1, sizeof *p + threads * sizeof p->members[0]);
	if (p)
		p->ring = calloc(queue_max, sizeof *p->ring);
	if (!p || !p->ring) {
		free(p);
		return err_set(et, ERR_NOMEM, "no memory for %u worker threads", threads);
	}
	p->cap = queue_max;
	pthread_mutex_init(&p->mu, NULL);
	for (; p->n_threads < threads; p->n_threads++) {
		struct member *m = &p->members[p->n_threads];
		m->pool = p;
		cond_init(&m->called_cond);
		enum err e = thread_start(&m->thread, worker, m, name, et);
		if (e) {
			pthread_cond_destroy(&m->called_cond);
			pool_free(p);
			return e;
		}
	}
	*out = p;
	return OK;
}

enum err pool_submit_later(struct pool *p, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&p->mu);
	bool full = p->stop || p->n == p->cap;
	if (!full)
		p->ring[(p->head + p->n++) % p->cap] = (struct job){fn, arg};
	pthread_mutex_unlock(&p->mu);
	return full ? ERR_BUSY : OK;
}

void pool_call(struct pool *p)
{
	pthread_mutex_lock(&p->mu);
	struct member *m = call_one(p);
	pthread_mutex_unlock(&p->mu);
	send_call(m);
}

enum err pool_submit(struct pool *p, void (*fn)(void *), void *arg)
{
	enum err e = pool_submit_later(p, fn, arg);
	if (!e)
		pool_call(p);
	return e;
}

unsigned pool_queued(struct pool *p)
{
	pthread_mutex_lock(&p->mu);
	unsigned n = p->n;
	pthread_mutex_unlock(&p->mu);
	return n;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->mu);
	p->stop = true;
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_cond_signal(&p->members[i].called_cond);
	pthread_mutex_unlock(&p->mu);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->members[i].thread, NULL);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_cond_destroy(&p->members[i].called_cond);
	pthread_mutex_destroy(&p->mu);
	free(p->ring);
	free(p);
}

/* Signals go to the main thread: block them in every other. */
enum err thread_start(
	pthread_t *t, void *(*fn)(void *), void *arg, const char *name, struct errtext *et)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(t, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return err_set(et, ERR_BUSY, "cannot start thread %s: %s", name, strerror(rc));
	char shown[16] = {0};
	strncpy(shown, name, sizeof shown - 1);
	pthread_setname_np(*t, shown);
	return OK;
}

void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, unsigned long long deadline_mono_ns)
{
	struct timespec t = {.tv_sec = (time_t)(deadline_mono_ns / 1000000000u),
		.tv_nsec = (long)(deadline_mono_ns % 1000000000u)};
	return pthread_cond_timedwait(c, m, &t) != ETIMEDOUT;
}

unsigned cpu_count(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}
