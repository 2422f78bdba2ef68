/* Which traces are asked for: clauses joined by AND, in MLflow's grammar.
 *
 *	status = 'error' AND duration_ms > 500 AND span.type = 'tool' AND tag.release LIKE 'v2%'
 *
 * clause  := field op value | field IS [NOT] NULL
 * field   := name | group "." key; a key with other signs stands in `backticks` or "quotes"
 * op      := = != < <= > >= LIKE ILIKE IN "NOT IN"
 * groups  := trace, attributes (the names below), tag(s), metadata, span, span.attributes,
 *            feedback, expectation
 * names   := status name kind id request_id run_id timestamp_ms (timestamp, start_time)
 *            duration_ms (execution_time_ms, execution_time, latency) tokens tokens_in tokens_out
 *            cost spans errors model service session user input output text
 *            end_time_ms client_request_id prompt ('name/version')
 * span    := span.name span.type span.status span.model span.content span.duration_ms
 *
 * What is not there matches nothing, whatever the operator, but IS NULL. All clauses about spans
 * hold for one and the same span. */
#ifndef RUN_TRACE_FILTER_H
#define RUN_TRACE_FILTER_H
#include "base/arena.h"

enum trace_field {
	TF_STATUS,
	TF_NAME,
	TF_KIND,
	TF_ID,
	TF_RUN,
	TF_TIME,
	TF_END,
	TF_DURATION,
	TF_TOKENS,
	TF_TOKENS_IN,
	TF_TOKENS_OUT,
	TF_COST,
	TF_SPANS,
	TF_ERRORS,
	TF_WORD, /* a word of the run's attributes: model, service, session, user, input, output */
	TF_TEXT,
	TF_CLIENT_REQUEST, /* from here on: notes are needed */
	TF_PROMPT,
	TF_TAG,
	TF_METADATA,
	TF_FEEDBACK,
	TF_EXPECTATION,
	TF_SPAN_NAME, /* from here on: of one span */
	TF_SPAN_TYPE,
	TF_SPAN_STATUS,
	TF_SPAN_MODEL,
	TF_SPAN_CONTENT,
	TF_SPAN_DURATION,
	TF_SPAN_ATTRIBUTE
};

enum trace_op {
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_LIKE,
	OP_ILIKE,
	OP_IN,
	OP_NOT_IN,
	OP_NULL,
	OP_NOT_NULL,
	OP_CONTAINS /* not in the grammar: a search box */
};

struct trace_clause {
	enum trace_field field;
	struct str key; /* of TF_WORD, TF_TAG, ..., TF_SPAN_ATTRIBUTE */
	enum trace_op op;
	bool is_number;
	double number;
	struct str *texts; /* one, or the list of IN */
	size_t n_texts;
};

struct trace_filter {
	struct trace_clause *clauses;
	size_t n;
	bool needs_notes, needs_spans; /* tags, metadata, assessments; spans */
};

/* Strings are in the arena. ERR_INVALID says what is not understood and where. */
enum err trace_filter_parse(
	struct str text, struct arena *a, struct trace_filter *out, struct errtext *et) MUST_CHECK;

/* A value against a clause; .p NULL: it is not there. */
bool trace_match_text(const struct trace_clause *c, struct str value);
bool trace_match_number(const struct trace_clause *c, double value);
/* A text that may be a number: feedback, attributes. */
bool trace_match_any(const struct trace_clause *c, struct str value);
bool trace_like(struct str pattern, struct str value, bool any_case);

#endif
