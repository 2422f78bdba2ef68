/* What the trace files of this folder share.
 *
 *	otel.c          OpenTelemetry's messages, read in place
 *	trace_facts.c   what a span says about itself, in one form for all conventions
 *	trace_log.c     log records: reading requests, storing, listing
 *	trace_log_routes.c  their wire JSON and `croft logs`
 *	trace_import.c  a request to a batch of spans, sorted by trace; admission
 *	trace.c         the module
 *	trace_live.c    spans as they come, to those who watch
 *	trace_filter.c  what traces are searched by
 *	trace_find.c    lists
 *	trace_query.c   one trace; tags, links, deletion
 *	trace_export.c  Croft's own runs, sent to another collector
 *	trace_routes.c  wire JSON
 *	trace_cmd.c     `croft traces`
 *	feedback.c      assessments
 *	trace_view.c    messages, documents, tools of one span, in one form
 *	trace_json.c    values and spans as JSON
 *	trace_keeper.c  retention
 *	trace_store.c   SQL: spans and the run that is made of them
 */
#ifndef RUN_TRACE_INT_H
#define RUN_TRACE_INT_H
#include "base/json.h"
#include "run/otel.h"
#include "run/run_int.h"
#include "run/trace.h"

/* ---- facts ---- */

enum { TRACE_PREVIEW_MAX = 1000 }; /* bytes of a run's input and output */

struct trace_facts {
	const char *type; /* "llm", "tool", ...; "span" when nothing says what it is */
	struct str model, session, user, trace_name;
	struct otel_value input, output; /* as they were sent */
	int64_t tokens_in, tokens_out;
	double cost;      /* US dollars, as reported */
	bool calls_model; /* its tokens and cost count for the trace: no one else reports them */
};

/* Our word for one of any convention's, or NULL. */
const char *trace_type_of(struct str word);
/* The at-th word for one of ours; NULL: there are no more. */
const char *trace_type_word(struct str type, size_t at);
void trace_facts_read(const struct otel_span *s, struct trace_facts *out);
/* The same of a span of Croft's own runs. `doc` is its attributes, and outlives the facts. */
void trace_facts_own(struct str kind, yyjson_val *attributes, struct trace_facts *out);

/* ---- a request's spans ---- */

struct trace_item {
	struct otel_span span;
	struct trace_facts facts;
	uint32_t holder; /* index of its resource and scope */
};

/* Resource and scope of spans; the same ones are stored once for a project. */
struct trace_holder {
	struct str resource, scope, resource_url, scope_url, service;
	uint8_t key[16];
};

struct trace_batch {
	struct str project;
	int64_t experiment; /* -1: none */
	struct trace_item *items;
	size_t n;
	struct trace_item **order; /* by trace, then span; what came twice is there once */
	size_t n_order;
	struct trace_holder *holders;
	size_t n_holders;
	struct trace_accepted accepted;
	size_t refused; /* by the store: the trace is another project's */
};

/* A resource is kept with each scope that it has, so that a small request can make much of one
 * resource: ERR_TOO_LARGE when all of them together are this much larger than the request. *left
 * begins with both. */
enum { TRACE_REPEATED_MAX = 16 << 20 };
enum err trace_holder_begin(
	const struct trace_holder *h, size_t *left, struct errtext *et) MUST_CHECK;
/* Checks resource and scope, and fills in key and service. ERR_INVALID. */
enum err trace_holder_finish(struct trace_holder *h, struct errtext *et) MUST_CHECK;

/* Points into the request. ERR_INVALID, ERR_TOO_LARGE, ERR_NOMEM; clear it in any case. */
enum err trace_batch_read(struct trace_batch *b, struct str request, struct errtext *et) MUST_CHECK;
void trace_batch_clear(struct trace_batch *b);

/* ---- log records ---- */

struct trace_log_item {
	struct otel_log log;
	uint32_t holder;
	int64_t at_ns, id; /* id: its place and content: sent again, it is the same */
};

struct trace_log_batch {
	struct str project;
	struct trace_log_item *items;
	size_t n;
	struct trace_holder *holders;
	size_t n_holders;
	struct trace_accepted accepted;
};

/* Points into the request. ERR_INVALID, ERR_TOO_LARGE, ERR_NOMEM; clear it in any case. */
enum err trace_log_batch_read(
	struct trace_log_batch *b, struct str request, struct errtext *et) MUST_CHECK;
void trace_log_batch_clear(struct trace_log_batch *b);

enum { TRACE_LOGS_MAX = 1000, TRACE_LOGS_OF_SPAN = 200 };

struct trace_log_row {
	struct otel_log log; /* of bytes in the arena */
	int64_t at_ns, id;
	struct id run; /* zero: none */
	struct str holder;
};

struct trace_log_query {
	struct str project, search;
	struct id run;                        /* zero: of all */
	int64_t span;                         /* 0: of all */
	int64_t severity, since_ns, until_ns; /* at least, from, before; 0: any */
	int64_t after_ns, after_id;           /* the last one of the page before; 0: none */
	bool ascending;
	size_t limit;
};

struct trace_log_page {
	struct trace_log_row *list;
	size_t n;
	bool more;
	int64_t next_ns, next_id;
};

enum err trace_log_find(struct db *db, const struct trace_log_query *q, struct arena *a,
	struct trace_log_page *out, struct errtext *et) MUST_CHECK;
/* How many a run has, up to `max`. */
enum err trace_log_count(struct db *db, struct str project, struct id run, int64_t max, int64_t *n,
	struct errtext *et) MUST_CHECK;

struct trace_log_place {
	char project[256]; /* "": before the first */
	bool told;         /* its record in the audit log is there */
};
/* The next project that has records from before. ERR_NOT_FOUND, without a message: none. */
enum err trace_log_place(struct db *db, int64_t before_ns, struct trace_log_place *at,
	struct errtext *et) MUST_CHECK;
/* Removes at most `limit` of them there, *n of them; the first leave a record in the audit log. */
enum err trace_log_expire(struct db *db, struct trace_log_place *at, int64_t before_ns,
	int64_t limit, const char *policy, int64_t *n, struct errtext *et) MUST_CHECK;
/* A list of them as JSON. */
enum err trace_logs_write(struct jw *w, struct db *db, struct str project,
	const struct trace_log_row *rows, size_t n, struct arena *a, struct errtext *et) MUST_CHECK;

/* ---- JSON ---- */

void trace_value_json(struct jw *w, const struct otel_value *v);
/* One object of all attributes with this field number. */
void trace_attributes_json(struct jw *w, struct str message, uint32_t number);

struct trace_log_row;
/* Messages, documents, the call of a tool, input and output, in one form: trace_view.c says which.
 * A JSON object, to be freed; NULL: no memory. */
char *trace_view_otel(const struct otel_span *s, const struct trace_facts *f,
	const struct trace_log_row *logs, size_t n_logs);
char *trace_view_own(struct str attributes, const struct trace_facts *f);

/* ---- SQL ---- */

enum err trace_put_holders(struct tx *tx, struct str project, const struct trace_holder *h,
	size_t n, struct errtext *et) MUST_CHECK;
/* One transaction's work; may be run again when the transaction failed. */
enum err trace_store_batch(struct tx *tx, struct trace_batch *b, struct errtext *et) MUST_CHECK;
struct trace_report;
enum err trace_store_report(struct tx *tx, struct str project, const struct trace_report *r,
	struct errtext *et) MUST_CHECK;
/* Traces whose root never came, quiet since `before_ms`: they are taken for ended. */
enum err trace_store_settle(
	struct db *db, int64_t before_ms, int64_t limit, int64_t *n, struct errtext *et) MUST_CHECK;
/* Traces that began before; oldest first. */
enum err trace_store_old(struct db *db, int64_t before_ns, struct id *ids, size_t limit, size_t *n,
	struct errtext *et) MUST_CHECK;
/* Removes traces from ids[*i] on, about `spans` spans in one transaction, and adds each to the sums
 * of its day; *i is the first that is still there. The first of a project and day leaves a record
 * in the audit log, which names the policy. */
enum err trace_store_remove(struct db *db, const struct id *ids, size_t n, int64_t spans,
	const char *policy, size_t *i, struct errtext *et) MUST_CHECK;

/* ---- the keeper: retention ---- */

struct trace_keeper;
enum err trace_keeper_start(struct db *db, int64_t keep_days, int64_t log_days, int64_t quiet_ms,
	struct trace_keeper **out, struct errtext *et) MUST_CHECK;
void trace_keeper_stop(struct trace_keeper *k); /* accepts NULL */

/* ---- Croft's own runs, to another collector ---- */

struct trace_export;

/* url and headers ("name: value" by commas) as the settings say. ERR_INVALID names the setting. */
enum err trace_export_start(struct str url, struct str headers, struct trace_export **out,
	struct errtext *et) MUST_CHECK;
/* What waits is sent for a moment longer. Accepts NULL. */
void trace_export_stop(struct trace_export *x);
/* One that has ended; never waits: when too much is queued, it is dropped and counted. */
void trace_export_put(struct trace_export *x, const struct record *rec, int64_t own);

struct trace_export_stats {
	uint64_t sent, dropped;
	size_t queued;
};
void trace_export_stats(struct trace_export *x, struct trace_export_stats *out);

/* The Span message of a record. */
void trace_export_span(struct buf *out, const struct record *rec, int64_t own);

/* ---- the module's state and tables ---- */

struct trace_live;

struct traces {
	struct trace_keeper *keeper; /* while a server runs */
	struct trace_live *live;
	struct trace_export *export; /* NULL: no otlp.export_url */
	atomic_uint requests;        /* being stored */
	atomic_size_t pending;       /* bytes of traces between their request and their commit */
	atomic_uint_fast64_t spans, logs, busy; /* stored; requests told to come back */
};

enum { TRACE_ROUTES = 10, TRACE_SHAPES = 7, TRACE_COMMANDS = 4 };
enum { LOG_ROUTES = 2, LOG_SHAPES = 1, LOG_COMMANDS = 1 };
extern const struct route log_routes[LOG_ROUTES];
extern const struct shape log_shapes[LOG_SHAPES];
extern const struct command log_commands[LOG_COMMANDS];
extern const struct route trace_routes[TRACE_ROUTES];
extern const struct shape trace_shapes[TRACE_SHAPES];
extern const struct command trace_commands[TRACE_COMMANDS];
/* usage_routes.c */
void trace_usage_get(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err traces_usage(struct cmd *cmd, struct errtext *et) MUST_CHECK;

/* ---- live: who watches hears of spans as they open and close ---- */

/* Spans go round in a ring; a reader that is too slow loses the oldest and is told how many. */
struct trace_event {
	struct id trace;
	int64_t span, parent, start_ns, end_ns;
	char project[64], name[120], kind[24], status[16];
};

enum err trace_live_new(struct trace_live **out, struct errtext *et) MUST_CHECK;
void trace_live_free(struct trace_live *l); /* accepts NULL; nobody reads any more */
bool trace_live_watched(struct trace_live *l);
void trace_live_put(struct trace_live *l, const struct trace_event *ev);
/* ERR_BUSY: enough are reading. */
enum err trace_live_join(struct trace_live *l, uint64_t *at, struct errtext *et) MUST_CHECK;
void trace_live_leave(struct trace_live *l);
/* The next events from *at on, at most n; waits up to wait_ms for one. *lost: how many were
 * missed since the last call. */
size_t trace_live_read(struct trace_live *l, uint64_t *at, struct trace_event *out, size_t n,
	uint64_t *lost, uint32_t wait_ms);

#endif
