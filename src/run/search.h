/* Searching experiments and runs. A search answers from memory, brought up to date with the
 * database first: the result is that of the database at the time of the call, also when other
 * servers write to it. */
#ifndef RUN_SEARCH_H
#define RUN_SEARCH_H
#include "run/track.h"
#include "text/filter.h"

/* "metrics.loss DESC" and so on, from a JSON array of texts (or nothing). */
enum err search_order(yyjson_val *texts, struct arena *a, struct str **out, size_t *n,
	struct errtext *et) MUST_CHECK;

/* The same from a query, where order_by may be given several times. */
enum err search_query_orders(
	struct http_request *rq, struct str **out, size_t *n, struct errtext *et) MUST_CHECK;

struct run_query {
	const int64_t *experiments;
	size_t n_experiments;
	struct str filter;
	bool strict; /* MLflow's language and no more */
	enum track_view view;
	const struct str *order; /* then by start, newest first, and id */
	size_t n_order;
	int64_t max_results;
	struct str page_token; /* of the page before */
};

struct run_found {
	struct tracked **v; /* references: run_found_free */
	size_t n, total;    /* total: that match, on all pages */
	struct str next;    /* page token, or .n 0 */
};

enum err search_runs(struct croft *c, struct str project, const struct run_query *q,
	struct arena *a, struct run_found *out, struct errtext *et) MUST_CHECK;
void run_found_free(struct run_found *f);

struct experiment_query {
	struct str filter;
	bool strict;
	enum track_view view;
	struct str *order; /* then oldest change last */
	size_t n_order;
	int64_t max_results;
	struct str page_token;
};

struct experiment_found {
	struct experiment **v;
	size_t n;
	struct str next;
};

enum err search_experiments(struct croft *c, struct str project, const struct experiment_query *q,
	struct arena *a, struct experiment_found *out, struct errtext *et) MUST_CHECK;

#endif
