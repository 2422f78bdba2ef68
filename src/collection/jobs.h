/* Work that a request begins and does not wait for: the map of a collection, a curation. One table
 * holds the jobs of one sort; a job is named by the collection and a number of its sort's own.
 *
 *	e = jobs_new(&(struct jobs_kind){.thread = "map", .at_once = 2, .busy = "..."}, &maps, et);
 *	...
 *	e = jobs_start(maps, &(struct jobs_new_one){.collection = k, .arena = a, .ctx = job,
 *		.run = make_map, .stop = croft_stopping(c)}, et);
 *	jobs_look(maps, k, 0, &at);          // any thread, also after it has ended
 *	jobs_stop(maps, k, 0);               // it ends when it looks at its flag the next time
 *	jobs_free(maps);                     // stops all of them and waits
 *
 * The life of a job: jobs_start takes a place of the table and the arena with all that the job
 * needs, and gives it a thread. `run` looks at work->cancel, which is set by jobs_stop, by
 *jobs_free and when the server stops, and says with jobs_tell how far it is. When it returns, what
 *it said last, or why it failed, stays in the table until the place is wanted (32 of them): then
 *the thread is joined and the arena freed, not earlier.
 *
 * A job is known to the server that runs it and to no other, and dies with it: `run` keeps what it
 * found in one transaction at its end, so that kill -9 leaves what was there before. What has to go
 * on after a restart is a job of the queue (store/worker.h) instead. */
#ifndef COLLECTION_JOBS_H
#define COLLECTION_JOBS_H
#include "base/arena.h"
#include "base/thread.h"

#include <stdint.h>

struct jobs;

struct jobs_kind {
	const char *thread; /* name of the threads */
	const char *busy;   /* what is said when at_once of them run: ERR_BUSY */
	const char *what;   /* what the log says of one that failed */
	size_t at_once;
};

struct jobs_work {
	void *ctx;                   /* as it was given to jobs_start */
	const struct cancel *cancel; /* to be looked at some times a second */
	void *self;                  /* what jobs_tell wants */
};

struct jobs_new_one {
	int64_t collection;
	int number;          /* two of the same collection and number never run at once */
	struct arena *arena; /* what ctx lives in: the job's, once it has started */
	void *ctx;
	enum err (*run)(const struct jobs_work *w, struct errtext *et);
	const struct cancel *stop; /* of the server */
	const char *twice;         /* what is said of one that runs already: ERR_CONFLICT */
};

struct jobs_at {
	enum { JOB_IDLE, JOB_RUNNING, JOB_FAILED } state;
	char what[32];
	uint64_t done, total; /* total 0: nobody knows */
	enum err failed;
	struct errtext et;
};

/* The texts of `kind` are not copied. */
enum err jobs_new(const struct jobs_kind *kind, struct jobs **out, struct errtext *et) MUST_CHECK;
void jobs_free(struct jobs *m); /* accepts NULL */
/* On failure the arena is still the caller's. */
enum err jobs_start(struct jobs *m, const struct jobs_new_one *one, struct errtext *et) MUST_CHECK;
/* False when none runs. */
bool jobs_stop(struct jobs *m, int64_t collection, int number);
void jobs_look(struct jobs *m, int64_t collection, int number, struct jobs_at *out);
/* For `run`; as the `at` of a struct layout_work it takes jobs_work.self as ctx. */
void jobs_tell(void *self, const char *what, uint64_t done, uint64_t total);

#endif
