/* The queue of records and the thread that stores them.
 *
 *  1. Records are stored in the order in which they were added, so a run's row comes before its
 *     spans'.
 *  2. The thread waits DELAY_MS after the first record for more, unless BATCH wait already or
 *     somebody flushes; then it writes all that waits in one transaction.
 *  3. A record that still waits is completed in place by run_writer_close: what begins and ends
 *     within DELAY_MS costs one row written once.
 *  4. When the queue is full (records or bytes), the adder waits.
 *  5. When storing fails, the batch is tried again a few times; a record that can never be stored
 *     is dropped alone. Every dropped record is counted and logged: work does not stop because its
 *     trace cannot be kept. */
#include "run/run_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	QUEUE_MAX = 8192,
	QUEUE_BYTES_MAX = 64 << 20,
	BATCH = 512,
	DELAY_MS = 40,
	TRIES = 4,
	PRUNE_EVERY_MS = 3600 * 1000,
	PRUNE_BATCH = 200
};

struct run_writer {
	struct db *db;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t work, room, stored_more;
	struct record *first, **last;
	size_t n, bytes;
	uint64_t added, done; /* records ever added; records stored or lost */
	uint64_t lost;
	enum err last_error;
	struct errtext why;
	unsigned flushing;
	bool stop;
	int64_t keep_days;
	int64_t pruned_ms;
};

void record_free(struct record *rec)
{
	if (!rec)
		return;
	free(rec->project);
	free(rec->kind);
	free(rec->name);
	free(rec->error);
	free(rec->attributes);
	free(rec);
}

size_t record_bytes(const struct record *rec)
{
	return sizeof *rec + strlen(rec->name) + (rec->error ? strlen(rec->error) : 0) +
	       (rec->attributes ? strlen(rec->attributes) : 0);
}

/* ---- the writing side of the queue ---- */

static void append(struct run_writer *w, struct record *rec, struct record **owner)
{
	while ((w->n >= QUEUE_MAX || w->bytes >= QUEUE_BYTES_MAX) && !w->stop)
		pthread_cond_wait(&w->room, &w->mu);
	rec->next = NULL;
	rec->owner = owner;
	if (owner)
		*owner = rec;
	*w->last = rec;
	w->last = &rec->next;
	w->n++;
	w->bytes += record_bytes(rec);
	w->added++;
	pthread_cond_signal(&w->work);
}

void run_writer_add(struct run_writer *w, struct record *rec, struct record **owner)
{
	pthread_mutex_lock(&w->mu);
	append(w, rec, owner);
	pthread_mutex_unlock(&w->mu);
}

static void swap_content(struct record *a, struct record *b)
{
	struct record *a_next = a->next, *b_next = b->next, t = *a;
	*a = *b;
	*b = t;
	a->next = a_next;
	b->next = b_next;
	a->owner = b->owner = NULL;
}

void run_writer_close(struct run_writer *w, struct record *rec, struct record **owner)
{
	pthread_mutex_lock(&w->mu);
	struct record *waiting = *owner;
	if (waiting) {
		w->bytes -= record_bytes(waiting);
		swap_content(waiting, rec);
		w->bytes += record_bytes(waiting);
		*owner = NULL;
	} else {
		append(w, rec, NULL);
		rec = NULL;
	}
	pthread_mutex_unlock(&w->mu);
	record_free(rec);
}

enum err run_writer_flush(struct run_writer *w, struct errtext *et)
{
	pthread_mutex_lock(&w->mu);
	uint64_t until = w->added, lost = w->lost;
	w->flushing++;
	pthread_cond_signal(&w->work);
	while (w->done < until)
		pthread_cond_wait(&w->stored_more, &w->mu);
	w->flushing--;
	enum err e = OK;
	if (w->lost > lost)
		e = err_set(et, w->last_error, "runs could not be stored: %s",
			err_text(w->last_error, &w->why));
	pthread_mutex_unlock(&w->mu);
	return e;
}

void run_writer_stats(struct run_writer *w, struct run_writer_stats *out)
{
	pthread_mutex_lock(&w->mu);
	*out = (struct run_writer_stats){w->done - w->lost, w->lost, w->n};
	pthread_mutex_unlock(&w->mu);
}

/* ---- the thread ---- */

static enum err store_batch(
	struct run_writer *w, const struct record *rec, size_t n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(w->db, TX_WRITE, &tx, et);
	if (e)
		return e;
	for (; !e && n; rec = rec->next, n--)
		e = run_store_put(tx, rec, et);
	return db_finish(tx, e, et);
}

static size_t store_one_by_one(
	struct run_writer *w, const struct record *rec, enum err *why, struct errtext *et)
{
	size_t lost = 0;
	for (; rec; rec = rec->next) {
		struct errtext mine = {0};
		enum err e = store_batch(w, rec, 1, &mine);
		if (!e)
			continue;
		lost++;
		*why = e;
		*et = mine;
	}
	return lost;
}

/* Returns how many were lost. */
static size_t store_all(struct run_writer *w, const struct record *list, size_t n, enum err *why,
	struct errtext *et)
{
	for (int i = 0; i < TRIES; i++) {
		*why = store_batch(w, list, n, et);
		if (!*why)
			return 0;
		if (!err_retryable(*why))
			break;
		clock_sleep_ms(50u << i);
	}
	if (err_retryable(*why) || *why == ERR_CORRUPT)
		return n;
	return store_one_by_one(w, list, why, et);
}

static void prune(struct run_writer *w, int64_t keep_days)
{
	int64_t before = clock_unix_ns() - keep_days * 86400 * 1000000000ll, n = PRUNE_BATCH;
	struct errtext et = {0};
	char policy[48];
	snprintf(policy, sizeof policy, "runs.keep_days=%lld", (long long)keep_days);
	while (n == PRUNE_BATCH) {
		enum err e = run_store_prune(w->db, before, PRUNE_BATCH, policy, &n, &et);
		if (e) {
			log_warn("old runs could not be removed: %s", err_text(e, &et));
			return;
		}
		pthread_mutex_lock(&w->mu);
		bool busy = w->stop || w->n;
		pthread_mutex_unlock(&w->mu);
		if (busy)
			return; /* the rest next time */
	}
}

/* Waits for work; false at the end. Called and returns with the mutex held. */
static bool wait_for_work(struct run_writer *w, bool *prune_now)
{
	*prune_now = false;
	while (!w->n && !w->stop) {
		if (w->keep_days && clock_unix_ms() - w->pruned_ms >= PRUNE_EVERY_MS) {
			w->pruned_ms = clock_unix_ms();
			*prune_now = true;
			return true;
		}
		cond_wait_until(&w->work, &w->mu, clock_mono_ns() + 60ull * 1000000000u);
	}
	uint64_t deadline = clock_mono_ns() + DELAY_MS * 1000000ull;
	while (w->n && w->n < BATCH && !w->stop && !w->flushing)
		if (!cond_wait_until(&w->work, &w->mu, deadline))
			break;
	return w->n || !w->stop;
}

static struct record *take_all(struct run_writer *w, size_t *n)
{
	struct record *list = w->first;
	*n = w->n;
	for (struct record *r = list; r; r = r->next)
		if (r->owner)
			*r->owner = NULL;
	w->first = NULL;
	w->last = &w->first;
	w->n = w->bytes = 0;
	pthread_cond_broadcast(&w->room);
	return list;
}

static void *writer_main(void *arg)
{
	struct run_writer *w = arg;
	bool prune_now;
	thread_stand_back();
	pthread_mutex_lock(&w->mu);
	while (wait_for_work(w, &prune_now)) {
		size_t n;
		int64_t keep_days = w->keep_days;
		struct record *list = take_all(w, &n);
		pthread_mutex_unlock(&w->mu);
		struct errtext et = {0};
		enum err why = OK;
		size_t lost = n ? store_all(w, list, n, &why, &et) : 0;
		if (lost)
			log_error("%zu records of runs could not be stored: %s", lost,
				err_text(why, &et));
		while (list) {
			struct record *next = list->next;
			record_free(list);
			list = next;
		}
		if (prune_now)
			prune(w, keep_days);
		pthread_mutex_lock(&w->mu);
		w->done += n;
		if (lost) {
			w->lost += lost;
			w->last_error = why;
			w->why = et;
		}
		pthread_cond_broadcast(&w->stored_more);
	}
	pthread_mutex_unlock(&w->mu);
	return NULL;
}

enum err run_writer_new(struct db *db, struct run_writer **out, struct errtext *et)
{
	struct run_writer *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(et, ERR_NOMEM, "no memory for the queue of runs");
	w->db = db;
	w->last = &w->first;
	pthread_mutex_init(&w->mu, NULL);
	cond_init(&w->work);
	cond_init(&w->room);
	cond_init(&w->stored_more);
	enum err e = thread_start(&w->thread, writer_main, w, "run-writer", et);
	if (e) {
		free(w);
		return e;
	}
	*out = w;
	return OK;
}

void run_writer_keep_days(struct run_writer *w, int64_t days)
{
	pthread_mutex_lock(&w->mu);
	w->keep_days = days;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->mu);
}

void run_writer_free(struct run_writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->mu);
	w->stop = true;
	pthread_cond_broadcast(&w->work);
	pthread_cond_broadcast(&w->room);
	pthread_mutex_unlock(&w->mu);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->mu);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->stored_more);
	free(w);
}
