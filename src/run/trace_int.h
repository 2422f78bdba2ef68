/* What the trace files of this folder share.
 *
 *	otel.c          OpenTelemetry's messages, read in place
 *	trace_facts.c   what a span says about itself, in one form for all conventions
 *	trace_import.c  a request to a batch of spans, sorted by trace; admission
 *	trace_json.c    values and spans as JSON
 *	trace_keeper.c  retention
 *	trace_store.c   SQL: spans and the run that is made of them
 */
#ifndef RUN_TRACE_INT_H
#define RUN_TRACE_INT_H
#include "run/otel.h"
#include "run/run_int.h"
#include "run/trace.h"

/* ---- facts ---- */

enum { TRACE_PREVIEW_MAX = 500 }; /* bytes of a run's input and output */

struct trace_facts {
	const char *type; /* "llm", "tool", ...; "span" when nothing says what it is */
	struct str model, session, user, trace_name;
	struct otel_value input, output; /* as they were sent */
	int64_t tokens_in, tokens_out;
	double cost;      /* US dollars, as reported */
	bool calls_model; /* its tokens and cost count for the trace: no one else reports them */
};

void trace_facts_read(const struct otel_span *s, struct trace_facts *out);

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
	struct str project, experiment;
	struct trace_item *items;
	size_t n;
	struct trace_item **order; /* by trace, then span; what came twice is there once */
	size_t n_order;
	struct trace_holder *holders;
	size_t n_holders;
	struct trace_accepted accepted;
	size_t refused; /* by the store: the trace is another project's */
};

/* Points into the request. ERR_INVALID, ERR_TOO_LARGE, ERR_NOMEM; clear it in any case. */
enum err trace_batch_read(struct trace_batch *b, struct str request, struct errtext *et) MUST_CHECK;
void trace_batch_clear(struct trace_batch *b);

/* ---- JSON ---- */

void trace_value_json(struct jw *w, const struct otel_value *v);
/* One object of all attributes with this field number. */
void trace_attributes_json(struct jw *w, struct str message, uint32_t number);

/* ---- SQL ---- */

/* One transaction's work; may be run again when the transaction failed. */
enum err trace_store_batch(struct tx *tx, struct trace_batch *b, struct errtext *et) MUST_CHECK;
/* Traces whose root never came, quiet since `before_ms`: they are taken for ended. */
enum err trace_store_settle(
	struct db *db, int64_t before_ms, int64_t limit, int64_t *n, struct errtext *et) MUST_CHECK;
/* Traces that began before; oldest first. */
enum err trace_store_old(struct db *db, int64_t before_ns, struct id *ids, size_t limit, size_t *n,
	struct errtext *et) MUST_CHECK;
/* Removes traces from ids[*i] on, about `spans` spans in one transaction, and adds each to the sums
 * of its day; *i is the first that is still there. */
enum err trace_store_remove(struct db *db, const struct id *ids, size_t n, int64_t spans, size_t *i,
	struct errtext *et) MUST_CHECK;

/* ---- the keeper: retention ---- */

struct trace_keeper;
enum err trace_keeper_start(struct db *db, int64_t keep_days, int64_t quiet_ms,
	struct trace_keeper **out, struct errtext *et) MUST_CHECK;
void trace_keeper_stop(struct trace_keeper *k); /* accepts NULL */

#endif
