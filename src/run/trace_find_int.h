/* What the files that read traces share.
 *
 *	trace_filter.c  what traces can be asked and ordered by
 *	trace_find.c    lists
 *	trace_query.c   one trace; tags, links, deletion */
#ifndef RUN_TRACE_FIND_INT_H
#define RUN_TRACE_FIND_INT_H
#include "run/trace_query.h"

/* ---- rows ---- */

#define TRACE_RUN_COLUMNS RUN_COLUMNS ", experiment"

/* Copied to the arena. */
enum err trace_read_run(struct row *r, struct arena *a, struct trace_found *out) MUST_CHECK;
/* Tags, metadata, links and assessments. */
enum err trace_read_notes(struct tx *tx, struct id run, struct arena *a, struct trace_found *f,
	struct errtext *et) MUST_CHECK;
enum err trace_load_tx(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct errtext *et) MUST_CHECK;

/* What spans hold, as it stands. */
static inline struct str trace_content(const struct span_row *s)
{
	return s->raw.p ? s->raw : s->attributes;
}

/* ---- values ---- */

/* Room for what is made while one trace or one span is looked at; trace_values_clear behind each.
 */
struct trace_values {
	yyjson_doc *words; /* the trace's attributes; NULL: not read, or none */
	struct trace_facts facts;
	bool has_facts;
	char text[80];
};

bool trace_value(void *values, const void *found, const struct filter_name *n, size_t at,
	struct filter_value *out);
bool trace_span_value(void *values, const void *span, const struct filter_name *n, size_t at,
	struct filter_value *out);
void trace_values_clear(struct trace_values *v);

/* Whether a filter or an order asks for what trace_read_notes reads. */
bool trace_filter_needs_notes(const struct filter *f);
bool trace_order_needs_notes(const struct filter_order *o, size_t n);
/* Bounds of the beginning that a filter gives, in ns; 0 and INT64_MAX: none. */
void trace_filter_times(const struct filter *f, int64_t *since, int64_t *until);
/* The i-th of three columns that can be compared with what a filter demands, and with what; NULL:
 * it demands nothing of it. */
const char *trace_filter_column(const struct filter *f, unsigned i, struct str *value);
bool trace_name_is_time(const struct filter_name *n);

#endif
