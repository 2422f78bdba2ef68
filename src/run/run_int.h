/* What the files of this folder share.
 *
 *	run.c         the module; runs and spans as their users see them
 *	run_writer.c  the queue and the thread that stores it
 *	run_store.c   SQL
 *	run_routes.c  wire JSON
 *	run_cmd.c     `croft runs`
 *	run_metrics.c counts and durations
 */
#ifndef RUN_INT_H
#define RUN_INT_H
#include "run/run.h"

enum { STATUS_RUNNING, STATUS_OK, STATUS_ERROR, STATUS_INTERRUPTED, STATUS_COUNT };
extern const char *const run_statuses[STATUS_COUNT];

enum { RUN_NAME_MAX = 1000 };

/* Any database can store it: valid UTF-8, no NUL, not too long. free() it; NULL: no memory. */
char *run_clean(struct str s);
char *run_clean_max(struct str s, size_t max);

/* ---- what is stored: one record is one row of `run` or `span`, opened or closed ---- */

struct record {
	bool is_span;
	/* Of a run that is a span of somebody's trace; guest_root: that span itself, whose trace
	 * may not be there yet. */
	bool guest, guest_root;
	struct id run;
	int64_t span, parent; /* is_span; parent 0: none */
	char *project;
	char *kind, *name, *error; /* error NULL: none */
	unsigned status;
	int64_t start_ns, end_ns; /* end_ns 0: still running */
	char *attributes;         /* a JSON object; NULL: {} */
	/* While the record waits, its owner may complete it in place: then one row is written
	 * instead of two. Guarded by the queue's mutex. */
	struct record **owner;
	struct record *next;
};

void record_free(struct record *rec); /* accepts NULL */
size_t record_bytes(const struct record *rec);

/* ---- the queue and its thread ---- */

struct run_writer;

enum err run_writer_new(struct db *db, struct run_writer **out, struct errtext *et) MUST_CHECK;
void run_writer_free(struct run_writer *w); /* stores what is queued, then ends; accepts NULL */
void run_writer_keep_days(struct run_writer *w, int64_t days); /* 0: for ever */
/* Takes rec over; waits while the queue is full. *owner (may be NULL) is rec while it waits. */
void run_writer_add(struct run_writer *w, struct record *rec, struct record **owner);
/* rec replaces the record that *owner points at when that one still waits, else it is added. */
void run_writer_close(struct run_writer *w, struct record *rec, struct record **owner);
enum err run_writer_flush(struct run_writer *w, struct errtext *et) MUST_CHECK;

struct run_writer_stats {
	uint64_t stored, lost;
	size_t queued;
};
void run_writer_stats(struct run_writer *w, struct run_writer_stats *out);

/* ---- SQL ---- */

extern const struct migration run_migrations[6];

struct run_row {
	struct id id;
	struct str kind, name, status, error, attributes; /* error.p NULL: none */
	int64_t start_ns, end_ns;                         /* end_ns 0: none */
	int64_t spans, errors, tokens_in, tokens_out;     /* of traces */
	double cost;
};

struct span_row {
	int64_t id, parent;
	struct str name, kind, status, error, attributes;
	int64_t start_ns, end_ns;
	struct str raw, holder; /* of a span that came as OpenTelemetry's, else .p NULL */
};

#define RUN_COLUMNS                                                                               \
	"id, kind, name, status, start_ns, end_ns, error, attributes, spans, errors, tokens_in, " \
	"tokens_out, cost"
#define SPAN_COLUMNS \
	"id, parent, name, kind, status, start_ns, end_ns, error, attributes, raw, holder"
/* Copied to the arena. */
enum err run_row_read(struct row *r, struct arena *a, struct run_row *out) MUST_CHECK;
enum err span_row_read(struct row *r, struct arena *a, struct span_row *out) MUST_CHECK;
/* A run's spans in the order of time, or the only one with that id. */
enum err span_rows(struct tx *tx, struct id run, int64_t only, struct arena *a,
	struct span_row **spans, size_t *n, struct errtext *et) MUST_CHECK;

enum err run_store_put(struct tx *tx, const struct record *rec, struct errtext *et) MUST_CHECK;
enum err run_store_interrupt(struct db *db, int64_t *n, struct errtext *et) MUST_CHECK;
/* Removes at most `limit` ended runs that began before; *n says how many. The audit log has how
 * many of each project, and the policy. */
enum err run_store_prune(struct db *db, int64_t before_ns, int64_t limit, const char *policy,
	int64_t *n, struct errtext *et) MUST_CHECK;

struct run_filter {
	struct str project;      /* never empty */
	struct str kind, status; /* .n 0: any */
	struct id after;         /* zero: from the newest */
	int64_t limit;
};
/* Newest first; strings are in `a`. */
enum err run_store_list(struct db *db, const struct run_filter *f, struct arena *a,
	struct run_row **rows, size_t *n, struct errtext *et) MUST_CHECK;
enum err run_store_get(struct db *db, struct str project, struct id id, struct arena *a,
	struct run_row *run, struct span_row **spans, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- routes ---- */

void run_time_member(struct jw *w, const char *key, int64_t ns); /* null for 0 */
/* A query's time, RFC 3339 or milliseconds, as ns; *ns stays when it has none. */
enum err trace_time_query(const struct http_request *rq, const char *name, int64_t *ns,
	struct errtext *et) MUST_CHECK;

/* ---- metrics ---- */

struct run_metrics;
struct run_metrics *run_metrics_new(void);
void run_metrics_free(struct run_metrics *m);
void run_metrics_begin(struct run_metrics *m);
void run_metrics_end(struct run_metrics *m, const char *kind, unsigned status, uint64_t ns);
void run_metrics_print(struct run_metrics *m, struct buf *out);

/* ---- the module's state and tables ---- */

struct runs {
	struct run_writer *writer;
	struct run_metrics *metrics;
	struct track_cache *cache;
	size_t value_max;
	/* Called when a run or span begins (end_ns 0) and when it has ended, on the thread that
	 * does it. own: the id that stands for the run where it is reported as a span. */
	void (*watch)(void *ctx, const struct record *rec, int64_t own);
	void *watch_ctx;
};

extern const struct route run_routes[2];
extern const struct shape run_shapes[2];
extern const struct command run_commands[2];

#endif
