/* A pool with a queue of those who wait. */
#include "store/lend.h"
#include "base/clock.h"

#include <assert.h>

struct lend_waiter {
	pthread_cond_t wake;
	void *given;
	struct lend_waiter *next;
};

void lender_init(struct lender *l)
{
	*l = (struct lender){.wait_ms = LEND_WAIT_MS};
	pthread_mutex_init(&l->mu, NULL);
	l->last = &l->first;
}

void lender_release(struct lender *l)
{
	assert(!l->first);
	pthread_mutex_destroy(&l->mu);
}

void lender_set_wait(struct lender *l, unsigned wait_ms)
{
	pthread_mutex_lock(&l->mu);
	l->wait_ms = wait_ms;
	pthread_mutex_unlock(&l->mu);
}

static void queue_remove(struct lender *l, struct lend_waiter *w)
{
	struct lend_waiter **at = &l->first;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (!*at)
		l->last = at;
}

/* With mu held. */
static void *wait_for(struct lender *l)
{
	struct lend_waiter w = {0};
	cond_init(&w.wake);
	*l->last = &w;
	l->last = &w.next;
	uint64_t deadline = clock_mono_ns() + l->wait_ms * 1000000ull;
	while (!w.given && cond_wait_until(&w.wake, &l->mu, deadline))
		;
	if (!w.given)
		queue_remove(l, &w);
	pthread_cond_destroy(&w.wake);
	return w.given;
}

enum err lender_take(struct lender *l, void **thing, struct errtext *et)
{
	pthread_mutex_lock(&l->mu);
	void *got = l->n && !l->first ? l->idle[--l->n] : wait_for(l);
	unsigned waited_ms = l->wait_ms;
	pthread_mutex_unlock(&l->mu);
	if (!got)
		return err_set(
			et, ERR_BUSY, "the database was in use by others for %u ms", waited_ms);
	*thing = got;
	return OK;
}

void lender_give(struct lender *l, void *thing)
{
	pthread_mutex_lock(&l->mu);
	struct lend_waiter *w = l->first;
	if (w) {
		queue_remove(l, w);
		w->given = thing;
		pthread_cond_signal(&w->wake);
	} else {
		assert(l->n < LEND_MAX);
		l->idle[l->n++] = thing;
	}
	pthread_mutex_unlock(&l->mu);
}
