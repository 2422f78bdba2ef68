/* Reading traces: lists by filter, one with its spans, tags. */
#ifndef RUN_TRACE_QUERY_H
#define RUN_TRACE_QUERY_H
#include "run/feedback.h"
#include "run/trace_filter.h"
#include "run/trace_int.h"

/* A tag may change; metadata is said once, when a trace is reported; a link's key is the id of a
 * run (32 hex digits) that the trace belongs to. Keys that begin with "croft." are not shown. */
enum trace_note_kind { NOTE_TAG, NOTE_METADATA, NOTE_RUN };

struct trace_note {
	enum trace_note_kind kind;
	struct str key, value;
};

#define NOTE_CLIENT_REQUEST "croft.client_request_id"

/* A trace as a client tells it by other means than spans. */
struct trace_report {
	struct id id;
	struct str name; /* "": as the spans say */
	int64_t experiment, start_ns, end_ns;
	unsigned status;          /* STATUS_RUNNING, ... */
	struct str input, output; /* previews; .n 0: as the spans say */
	const struct trace_note *notes;
	size_t n_notes;
};

enum err trace_report(struct croft *c, struct str project, const struct trace_report *r,
	struct errtext *et) MUST_CHECK;
/* A trace that is not here yet is expected: it is made, running, in that experiment. */
enum err trace_link(struct croft *c, struct str project, struct id id, struct id run,
	int64_t experiment, struct errtext *et) MUST_CHECK;

struct trace_found {
	struct run_row run;
	int64_t experiment;       /* -1: none */
	struct trace_note *notes; /* when asked for */
	size_t n_notes;
	struct assessment *assessments;
	size_t n_assessments;
};

/* Where a page ends: by time behind a trace; in another order behind so many. */
struct trace_place {
	int64_t ns; /* 0: the start */
	struct id id;
	size_t skip;
};

/* As the client sends it back; "": the start. false: it is none. */
bool trace_place_read(struct str s, struct trace_place *out);
void trace_place_json(struct jw *w, const struct trace_place *p);

struct trace_query {
	struct str project;
	const struct filter *filter; /* trace_language */
	const struct filter_order *orders;
	size_t n_orders;            /* 0: newest first, or oldest when `ascending` */
	const int64_t *experiments; /* n 0: any */
	size_t n_experiments;
	int64_t since_ns, until_ns; /* 0: open */
	bool ascending, notes;
	struct trace_place after;
	size_t limit;
};

struct trace_page {
	struct trace_found *list;
	size_t n;
	/* More may follow the place up to which it was looked: not only when the page is full, also
	 * when so much was looked through that it had to stop. */
	bool more;
	struct trace_place next;
};

enum { TRACE_PAGE_MAX = 1000, TRACE_EXPERIMENTS_MAX = 20 };

/* ERR_LIMIT: too many match to be sorted. */
enum err trace_find(struct db *db, const struct trace_query *q, struct arena *a,
	struct trace_page *out, struct errtext *et) MUST_CHECK;
enum err trace_load_info(struct db *db, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct errtext *et) MUST_CHECK;
/* One run of any kind with all its spans; ERR_NOT_FOUND also when it is another project's. */
enum err trace_load(struct db *db, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct span_row **spans, size_t *n, struct errtext *et) MUST_CHECK;
enum err trace_load_span(struct db *db, struct str project, struct id id, int64_t span,
	struct arena *a, struct trace_found *out, struct span_row *row,
	struct errtext *et) MUST_CHECK;
/* Resource and scope of a span; .p NULL where there are none. */
struct trace_source {
	struct str resource, resource_url, scope, scope_url;
};
enum err trace_load_source(struct db *db, struct str project, struct str holder, struct arena *a,
	struct trace_source *out, struct errtext *et) MUST_CHECK;

/* Sets tags (value.p NULL removes one; ERR_NOT_FOUND when there was none). */
enum err trace_put_notes(struct tx *tx, struct id run, const struct trace_note *notes, size_t n,
	struct errtext *et) MUST_CHECK;
enum err trace_tag(struct croft *c, struct str project, struct id id, struct str key,
	struct str value, struct errtext *et) MUST_CHECK;
/* Removes a run with its spans, leaving a line in the audit log; ERR_NOT_FOUND. */
struct str trace_note_of(const struct trace_found *f, enum trace_note_kind kind, struct str key);
enum err trace_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et) MUST_CHECK;

#endif
