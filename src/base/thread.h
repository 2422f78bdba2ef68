/* Threads: a cancel flag, a bounded pool of workers.
 *
 * A long call takes a `const struct cancel *` (NULL: cannot be cancelled) and looks at it per
 * token, step or batch; it then returns ERR_CANCELLED. pool_submit never blocks: a full queue is
 * ERR_BUSY, which the caller passes on to its client. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H
#include <pthread.h>
#include <stdatomic.h>
#include "base/err.h"

struct cancel {
	atomic_bool set;
	const struct cancel *parent; /* cancelled when this one is; outlives it */
};

static inline void cancel_set(struct cancel *c)
{
	atomic_store(&c->set, true);
}

static inline bool cancelled(const struct cancel *c)
{
	for (; c; c = c->parent)
		if (atomic_load_explicit(&c->set, memory_order_relaxed))
			return true;
	return false;
}

struct pool;

enum err pool_new(unsigned threads, unsigned queue_max, const char *name, struct pool **out,
	struct errtext *et);
enum err pool_submit(struct pool *p, void (*fn)(void *), void *arg);
/* The same without waking anybody: pool_call must follow, once for any number of them. */
enum err pool_submit_later(struct pool *p, void (*fn)(void *), void *arg);
void pool_call(struct pool *p);
unsigned pool_queued(struct pool *p);
/* A job that will only wait for long says so: another thread takes its place, as long as there are
 * not more than `more` beside the pool's own. They nest, and end with the job. On a thread that is
 * no pool's they do nothing. */
void pool_may_wait(struct pool *p, unsigned more);
void pool_wait_begin(void);
void pool_wait_end(void);
void pool_free(struct pool *p); /* runs what is queued, then joins; accepts NULL */

enum err thread_start(
	pthread_t *t, void *(*fn)(void *), void *arg, const char *name, struct errtext *et);
/* What the calling thread does can wait a little: others go first when processors are short. */
void thread_stand_back(void);
/* Waits until the deadline of the monotonic clock; false when it has passed. The condition must
 * come from cond_init. */
bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, unsigned long long deadline_mono_ns);
void cond_init(pthread_cond_t *c);
unsigned cpu_count(void); /* that this process may use */

#endif
