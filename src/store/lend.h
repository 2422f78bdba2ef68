/* Things lent to one thread at a time (connections): who waits is served in the order in which it
 * came, for at most wait_ms. What is lent first is what was given back last, so that few of many
 * are in use when few are needed. */
#ifndef STORE_LEND_H
#define STORE_LEND_H
#include "base/thread.h"

enum { LEND_MAX = 16, LEND_WAIT_MS = 30000 };

struct lend_waiter;

struct lender {
	pthread_mutex_t mu;
	unsigned wait_ms;
	void *idle[LEND_MAX];
	unsigned n;
	struct lend_waiter *first, **last;
};

void lender_init(struct lender *l);
void lender_release(struct lender *l); /* nothing is lent; the things are the caller's */
void lender_set_wait(struct lender *l, unsigned wait_ms);
enum err lender_take(struct lender *l, void **thing, struct errtext *et) MUST_CHECK;
void lender_give(struct lender *l, void *thing); /* also how a new one comes in; at most LEND_MAX */

#endif
