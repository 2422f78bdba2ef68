/* Batches: a file of requests, answered in the background.
 *
 *	batch.c        routes and the module
 *	batch_store.c  rows: of batches, and of each line that was answered
 *	batch_input.c  the lines of an input file
 *	batch_run.c    threads that answer lines
 *
 * A batch is a job of the durable queue. Each line's answer is stored with the counts in one
 * transaction, and whoever takes up the batch answers those lines only that have none: a crash
 * loses at most the answer that was being written. The end (files, status, the job) is one
 * transaction too. */
#ifndef API_BATCH_INT_H
#define API_BATCH_INT_H
#include "api/api.h"
#include "api/files.h"
#include "store/queue.h"

enum { BATCH_LINES_MAX = 50000, BATCH_ID = 6 + ID_HEX, BATCH_ERRORS_MAX = 20 };

struct batch {
	struct id id, input, output, errors;                      /* zero: no such file */
	struct str project, endpoint, status, metadata, problems; /* the last two: JSON, or "" */
	int64_t total, completed, failed;
	int64_t created_ms, started_ms, finalizing_ms, ended_ms, cancelling_ms, expires_ms;
};

void batch_id(struct id id, char out[BATCH_ID + 1]);
bool batch_id_parse(struct str text, struct id *out);
bool batch_over(const struct batch *b); /* nothing changes any more */

enum err batch_add(struct croft *c, const struct batch *b, struct errtext *et) MUST_CHECK;
/* project {NULL, 0}: whichever. */
enum err batch_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct batch *out, struct errtext *et) MUST_CHECK;
enum err batch_list(struct croft *c, struct str project, struct id after, int64_t limit,
	struct arena *a, struct batch **out, size_t *n, bool *more, struct errtext *et) MUST_CHECK;
enum err batch_cancel(
	struct croft *c, struct str project, struct id id, struct errtext *et) MUST_CHECK;
enum err batch_started(struct croft *c, struct id id, int64_t total, struct errtext *et) MUST_CHECK;
/* One line's answer, once: a second one changes nothing. */
enum err batch_answer(struct croft *c, struct id id, int64_t line, bool good, struct str reply,
	struct errtext *et) MUST_CHECK;
/* answered[line] for each of n lines. */
enum err batch_answered(
	struct croft *c, struct id id, bool *answered, size_t n, struct errtext *et) MUST_CHECK;
enum err batch_replies(struct croft *c, struct id id, bool good,
	enum err (*fn)(void *ctx, struct str reply), void *ctx, struct errtext *et) MUST_CHECK;
/* Status, files (their blob set, or "") and the job's end, together. */
enum err batch_end(struct croft *c, const struct batch *b, const struct job *job,
	const struct file_row *output, const struct file_row *errors,
	struct errtext *et) MUST_CHECK;

struct batch_line {
	struct str custom_id;
	size_t at, n; /* in the file */
};
/* Splits and checks. What is wrong is appended to problems as elements of a JSON array, and *n is
 * 0 then. Lines are in the arena. */
enum err batch_input(struct str text, struct str endpoint, struct arena *a, struct batch_line **out,
	size_t *n, struct buf *problems, struct errtext *et) MUST_CHECK;

enum err batch_start(struct croft *c, struct errtext *et);
void batch_stop(struct croft *c);
void batch_wake(struct croft *c);

#endif
