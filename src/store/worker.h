/* Threads that do the jobs of one queue (queue.h), each a job at a time. A few rows of options and
 * a function for a job make one:
 *
 *	static enum err run(struct work *w, struct errtext *et)
 *	{
 *		struct croft *c = w->ctx;
 *		...                                     // look at w->cancel; work_nap to wait
 *		return queue_done_now(w->db, &w->job, et);
 *	}
 *
 *	e = workers_start(db, &(struct worker_options){.queue = "index", .name = "index",
 *		.threads = 2, .run = run, .ctx = c}, &index, et);
 *	workers_wake(index);                            // after a commit that added a job
 *	workers_stop(index);                            // joins; what was in work is given back
 *
 * One more thread keeps the leases of what is in work, and cancels what another server has by now.
 * A server that was killed finds its own jobs again when it starts (queue_take_back), not only when
 * their leases end. */
#ifndef STORE_WORKER_H
#define STORE_WORKER_H
#include "base/thread.h"
#include "store/queue.h"

enum { WORKERS_MAX = 32 };

struct workers;

struct work {
	struct job job;
	struct db *db;
	void *ctx;
	struct arena *a;             /* of this job */
	const struct cancel *cancel; /* its lease is lost, it is unwanted, or the server stops */
	struct workers *of;
};

struct worker_options {
	const char *queue;
	const char *name; /* of the threads, and what the log calls a job: "batch" */
	unsigned threads; /* 1 to WORKERS_MAX */
	int64_t lease_ms; /* 0: 15 s; renewed four times in that time */
	int64_t look_ms;  /* how often to look unasked; 0: 1 s */
	int64_t retry_ms; /* after a failure; 0: as the queue does it, longer each time */
	size_t arena_max; /* bytes; 0: the arena's own limit */
	/* OK: the job was taken off the queue (queue_done with its effect). ERR_CANCELLED gives it
	 * back at once, ERR_CONFLICT says that it is another's, any other failure is logged. */
	enum err (*run)(struct work *w, struct errtext *et);
	/* With each renewal: false cancels the job. NULL: all are wanted. */
	bool (*wanted)(void *ctx, const struct job *job);
	/* At the start and every hour; NULL: nothing. */
	enum err (*hourly)(void *ctx, struct errtext *et);
	void *ctx;
};

/* Options are copied, their texts are not. */
enum err workers_start(struct db *db, const struct worker_options *o, struct workers **out,
	struct errtext *et) MUST_CHECK;
void workers_stop(struct workers *s); /* accepts NULL, as the next two do */
void workers_wake(struct workers *s);
/* Cancels what is in work here and has this body. */
void workers_interrupt(struct workers *s, struct str body);
/* Any thread waits; false: the workers stop. */
bool workers_nap(struct workers *s, uint64_t ms);
/* The same for a job; false also when it was cancelled. */
bool work_nap(struct work *w, uint64_t ms);

#endif
