/* A durable queue of jobs, shared by all servers of a database. A job is added inside the
 * transaction of what it belongs to; it is leased, so that a worker that dies gives it back; it is
 * done at least once, and `done` inside the transaction that stores its effect makes that once.
 *
 *	e = queue_add(tx, "index", body, &(struct queue_options){0}, &id, et);
 *
 *	while (!(e = queue_lease(db, "index", 30000, a, &job, et))) {   // ERR_NOT_FOUND: nothing
 *due e = work(&job);                    // longer than the lease? queue_keep now and then e = e ?
 *queue_fail(db, &job, 0, str_c(why.msg), et) : queue_done_now(db, &job, et);
 *	}
 *
 * A failed job waits longer each time (1 s, 2 s, 4 s, ... at most an hour, by lot up to half
 * more); after attempts_max it stays as failed until somebody adds it anew or removes it. Who has
 * lost its lease (it took too long, the job runs elsewhere) is told so: ERR_CONFLICT. */
#ifndef STORE_QUEUE_H
#define STORE_QUEUE_H
#include "base/arena.h"
#include "store/db.h"

struct queue_options {
	int64_t delay_ms;    /* not before */
	int attempts_max;    /* 0: 5 */
	struct str only_one; /* a waiting job of this queue with the same word: no second one */
};

struct job {
	struct id id;
	struct str body; /* what was added: text */
	int attempt;     /* 1, 2, ... */
	int attempts_max;
	int64_t lease; /* number of this lease */
};

/* *id may be NULL. With only_one, the id of the one that waits already. */
enum err queue_add(struct tx *tx, const char *queue, struct str body, const struct queue_options *o,
	struct id *id, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND, without a write: nothing is due. */
enum err queue_lease(struct db *db, const char *queue, int64_t lease_ms, struct arena *a,
	struct job *out, struct errtext *et) MUST_CHECK;
/* Gives back what an earlier life of this server (db_set_home) had leased when it was killed, so
 * that nobody waits for those leases to end. What lives is never touched: another server has
 * another home, and where several processes can reach the database each one's life is looked up in
 * it. *left: leases of earlier lives that cannot be told from living ones yet. */
enum err queue_take_back(
	struct db *db, const char *queue, size_t *left, struct errtext *et) MUST_CHECK;
enum err queue_keep(
	struct db *db, const struct job *job, int64_t lease_ms, struct errtext *et) MUST_CHECK;
enum err queue_done(struct tx *tx, const struct job *job, struct errtext *et) MUST_CHECK;
enum err queue_done_now(struct db *db, const struct job *job, struct errtext *et) MUST_CHECK;
/* retry_ms 0: as said above. */
enum err queue_fail(struct db *db, const struct job *job, int64_t retry_ms, struct str why,
	struct errtext *et) MUST_CHECK;

struct queue_counts {
	int64_t waiting, running, failed;
};
enum err queue_count(
	struct db *db, const char *queue, struct queue_counts *out, struct errtext *et) MUST_CHECK;

#endif
