#include "base/thread.h"

#include <sys/resource.h>
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
 * of many threads only as many are touched as there is work for at a time.
 *
 * A job that says that it only waits (pool_wait_begin) is replaced by another thread. There is one
 * too many when it goes on; who then finds nothing to do for a while ends. */
struct member {
	struct pool *pool;
	pthread_cond_t called_cond;
	bool called;
	unsigned waits;      /* nested pool_wait_begin of its job */
	struct member *next; /* in pool->idle */
	struct member *prev_of_all, *next_of_all;
};

struct pool {
	pthread_mutex_t mu;
	struct job *ring;
	unsigned head, n, cap;
	struct member *idle; /* those that wait for work, the newest first */
	struct member *all;
	bool waking; /* one of them has been called and has not come yet */
	bool stop;
	unsigned threads, threads_max; /* wanted beside those that wait; in all */
	unsigned live, waiting;
	pthread_cond_t gone;
	char name[16];
};

enum { LINGER_MS = 10000 };

static _Thread_local struct member *self;

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

static bool too_many(const struct pool *p)
{
	return p->live - p->waiting > p->threads;
}

static unsigned long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec;
}

/* Under the lock. False: nobody called for long, and it is one too many. */
static bool wait_for_call(struct pool *p, struct member *m)
{
	bool lingers = too_many(p), in_time = true;
	unsigned long long until = lingers ? now_ns() + LINGER_MS * 1000000ull : 0;
	m->called = false;
	m->next = p->idle;
	p->idle = m;
	while (!m->called && !p->stop && in_time)
		if (lingers)
			in_time = cond_wait_until(&m->called_cond, &p->mu, until);
		else
			pthread_cond_wait(&m->called_cond, &p->mu);
	if (m->called) {
		p->waking = false;
		return true;
	}
	struct member **at = &p->idle;
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	return p->stop || !too_many(p);
}

static void stop_waiting(struct member *m)
{
	m->waits = 0;
	m->pool->waiting--;
}

/* Under the lock. */
static void end_member(struct pool *p, struct member *m)
{
	if (m->prev_of_all)
		m->prev_of_all->next_of_all = m->next_of_all;
	else
		p->all = m->next_of_all;
	if (m->next_of_all)
		m->next_of_all->prev_of_all = m->prev_of_all;
	pthread_cond_destroy(&m->called_cond);
	free(m);
	if (!--p->live)
		pthread_cond_signal(&p->gone);
}

static void *worker(void *arg)
{
	struct member *m = arg;
	struct pool *p = m->pool;
	bool stays = true;
	self = m;
	pthread_mutex_lock(&p->mu);
	for (;;) {
		while (!p->n && !p->stop && stays)
			stays = wait_for_call(p, m);
		if (!p->n)
			break;
		stays = true;
		struct job j = p->ring[p->head];
		p->head = (p->head + 1) % p->cap;
		p->n--;
		struct member *next = call_one(p);
		pthread_mutex_unlock(&p->mu);
		send_call(next);
		j.fn(j.arg);
		pthread_mutex_lock(&p->mu);
		if (m->waits)
			stop_waiting(m);
	}
	end_member(p, m);
	pthread_mutex_unlock(&p->mu);
	return NULL;
}

/* One thread more, which the caller has counted in p->live. */
static enum err add_member(struct pool *p, struct errtext *et)
{
	struct member *m = calloc(1, sizeof *m);
	pthread_t t;
	enum err e = m ? OK : err_set(et, ERR_NOMEM, "no memory for a thread");
	if (m) {
		m->pool = p;
		cond_init(&m->called_cond);
		pthread_mutex_lock(&p->mu);
		m->next_of_all = p->all;
		if (p->all)
			p->all->prev_of_all = m;
		p->all = m;
		pthread_mutex_unlock(&p->mu);
		e = thread_start(&t, worker, m, p->name, et);
	}
	if (!e) {
		pthread_detach(t);
		return OK;
	}
	pthread_mutex_lock(&p->mu);
	if (m)
		end_member(p, m);
	else
		p->live--;
	pthread_mutex_unlock(&p->mu);
	return e;
}

enum err pool_new(unsigned threads, unsigned queue_max, const char *name, struct pool **out,
	struct errtext *et)
{
	struct pool *p = calloc(1, sizeof *p);
	if (p)
		p->ring = calloc(queue_max, sizeof *p->ring);
	if (!p || !p->ring) {
		free(p);
		return err_set(et, ERR_NOMEM, "no memory for %u worker threads", threads);
	}
	p->cap = queue_max;
	p->threads = p->threads_max = threads;
	strncpy(p->name, name, sizeof p->name - 1);
	pthread_mutex_init(&p->mu, NULL);
	cond_init(&p->gone);
	enum err e = OK;
	for (unsigned i = 0; i < threads && !e; i++) {
		pthread_mutex_lock(&p->mu);
		p->live++;
		pthread_mutex_unlock(&p->mu);
		e = add_member(p, et);
	}
	if (e)
		pool_free(p);
	else
		*out = p;
	return e;
}

void pool_may_wait(struct pool *p, unsigned more)
{
	pthread_mutex_lock(&p->mu);
	p->threads_max = p->threads + more;
	pthread_mutex_unlock(&p->mu);
}

void pool_wait_begin(void)
{
	struct member *m = self;
	if (!m || m->waits++)
		return;
	struct pool *p = m->pool;
	pthread_mutex_lock(&p->mu);
	p->waiting++;
	bool replace = !p->stop && p->live < p->threads_max && p->live - p->waiting < p->threads;
	p->live += replace;
	pthread_mutex_unlock(&p->mu);
	if (replace && add_member(p, NULL) == OK)
		pool_call(p); /* for what is queued already */
}

void pool_wait_end(void)
{
	struct member *m = self;
	if (!m || !m->waits || --m->waits)
		return;
	pthread_mutex_lock(&m->pool->mu);
	stop_waiting(m);
	pthread_mutex_unlock(&m->pool->mu);
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
	for (struct member *m = p->all; m; m = m->next_of_all)
		pthread_cond_signal(&m->called_cond);
	while (p->live)
		pthread_cond_wait(&p->gone, &p->mu);
	pthread_mutex_unlock(&p->mu);
	pthread_cond_destroy(&p->gone);
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

void thread_stand_back(void)
{
	enum { NICE = 10 };
	(void)!setpriority(PRIO_PROCESS, 0, NICE); /* on Linux, of this thread alone */
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
