/* Group commit: many threads' small writes share one transaction and one fsync.
 *
 *	idle --db_write--> first caller leads --lead--> runs what is queued --db_commit--> wakes all
 *	                   others wait in `first`..`last`          the next in the queue leads
 *
 *  1. At most one thread leads. It is always the one whose job stands first in the queue, so a
 *     leader serves itself and hands over when its batch is done: nobody leads for ever.
 *  2. Jobs run in the order in which they came, and one that fails is undone alone: it is the
 *     batch's first, or has a savepoint. A job's memory is its caller's stack: it is not touched
 *after `done` is set.
 *  3. Nobody is told of success before the commit that holds the job has succeeded. */
#include "store/db_int.h"
#include "base/clock.h"
#include "base/thread.h"

#include <stdlib.h>

enum { QUEUE_MAX = 1024, BATCH_MAX = 256, BATCH_MS = 20 };

struct job {
	enum err (*fn)(struct tx *tx, void *ctx, struct errtext *et);
	void *ctx;
	enum err result;
	struct errtext why;
	bool done, leads;
	pthread_cond_t wake;
	struct job *next;
};

struct group {
	pthread_mutex_t mu;
	struct job *first, **last; /* waiting; the leader's own is taken out by the leader */
	unsigned queued;
	bool led;
};

struct group *group_new(void)
{
	struct group *g = calloc(1, sizeof *g);
	if (!g)
		return NULL;
	pthread_mutex_init(&g->mu, NULL);
	g->last = &g->first;
	return g;
}

void group_free(struct group *g)
{
	if (!g)
		return;
	pthread_mutex_destroy(&g->mu);
	free(g);
}

/* With mu held. */
static struct job *take_one(struct group *g)
{
	struct job *j = g->first;
	if (!j)
		return NULL;
	g->first = j->next;
	if (!g->first)
		g->last = &g->first;
	g->queued--;
	j->next = NULL;
	return j;
}

static struct job *next_job(struct group *g)
{
	pthread_mutex_lock(&g->mu);
	struct job *j = take_one(g);
	pthread_mutex_unlock(&g->mu);
	return j;
}

static void fail_all(struct job *jobs, enum err e, const struct errtext *why)
{
	for (struct job *j = jobs; j; j = j->next)
		if (!j->result) {
			j->result = e;
			j->why = *why;
		}
}

static void run_fn(struct tx *tx, struct job *j)
{
	tx_guard(tx, true);
	j->result = j->fn(tx, j->ctx, &j->why);
	tx_guard(tx, false);
	if (!j->result)
		j->result = tx_failure(tx, &j->why);
}

/* One job in its savepoint. An error is the transaction's, the job's own stands in j->result. */
static enum err run_job(struct tx *tx, struct job *j, struct errtext *et)
{
	enum err e = tx_savepoint(tx, et);
	if (e)
		return e;
	run_fn(tx, j);
	return j->result ? tx_undo(tx, et) : tx_release(tx, et);
}

/* Runs what is queued, also what arrives meanwhile, as one transaction. The first needs no
 * savepoint: when it fails there is nothing else in the transaction yet, and the batch ends. */
static struct job *run_batch(struct group *g, struct tx *tx, enum err *broken, struct errtext *et)
{
	struct job *batch = next_job(g), **end = &batch->next;
	uint64_t stop = clock_mono_ns() + BATCH_MS * 1000000ull;
	run_fn(tx, batch);
	for (unsigned n = 1; !batch->result && !*broken && n < BATCH_MAX; n++) {
		struct job *j = clock_mono_ns() > stop ? NULL : next_job(g);
		if (!j)
			break;
		*end = j;
		end = &j->next;
		*broken = run_job(tx, j, et);
	}
	return batch;
}

static unsigned good_ones(const struct job *batch)
{
	unsigned n = 0;
	for (; batch; batch = batch->next)
		n += !batch->result;
	return n;
}

/* A constraint that is looked at only by the commit: each job again, by itself. */
static void run_apart(struct db *db, struct job *batch)
{
	for (struct job *j = batch; j; j = j->next) {
		struct tx *tx;
		if (j->result)
			continue;
		j->result = db_begin(db, TX_WRITE, &tx, &j->why);
		if (j->result)
			continue;
		j->result = j->fn(tx, j->ctx, &j->why);
		if (j->result)
			db_rollback(tx);
		else
			j->result = db_commit(tx, &j->why);
	}
}

static struct job *take_all(struct group *g)
{
	struct job *all = NULL, **end = &all;
	for (struct job *j; (j = next_job(g)); end = &j->next)
		*end = j;
	return all;
}

static struct job *lead(struct db *db, struct group *g)
{
	struct tx *tx;
	struct errtext why = {0};
	enum err e = db_begin(db, TX_WRITE, &tx, &why);
	if (e) { /* the others have waited as well: they are not made to wait for it in turn */
		struct job *all = take_all(g);
		fail_all(all, e, &why);
		return all;
	}
	struct job *batch = run_batch(g, tx, &e, &why);
	if (e || !good_ones(batch))
		db_rollback(tx);
	else
		e = db_commit(tx, &why);
	if (e == ERR_CONFLICT && good_ones(batch) > 1)
		run_apart(db, batch);
	else if (e)
		fail_all(batch, e, &why);
	return batch;
}

/* With mu held: after this the jobs belong to their callers again. */
static void wake_all(struct job *batch)
{
	for (struct job *j = batch, *next; j; j = next) {
		next = j->next;
		j->done = true;
		pthread_cond_signal(&j->wake);
	}
}

enum err group_write(struct db *db, struct group *g,
	enum err (*fn)(struct tx *tx, void *ctx, struct errtext *et), void *ctx, struct errtext *et)
{
	struct job me = {.fn = fn, .ctx = ctx};
	pthread_mutex_lock(&g->mu);
	if (g->queued >= QUEUE_MAX) {
		pthread_mutex_unlock(&g->mu);
		return err_set(et, ERR_BUSY, "%d writes are waiting for the database", QUEUE_MAX);
	}
	cond_init(&me.wake);
	*g->last = &me;
	g->last = &me.next;
	g->queued++;
	me.leads = !g->led;
	g->led = true;
	while (!me.done && !me.leads)
		pthread_cond_wait(&me.wake, &g->mu);
	if (!me.done) {
		pthread_mutex_unlock(&g->mu);
		struct job *batch = lead(db, g);
		pthread_mutex_lock(&g->mu);
		wake_all(batch);
		g->led = g->first != NULL;
		if (g->first) {
			g->first->leads = true;
			pthread_cond_signal(&g->first->wake);
		}
	}
	pthread_mutex_unlock(&g->mu);
	pthread_cond_destroy(&me.wake);
	if (me.result && et)
		*et = me.why;
	return me.result;
}
