/* The language in which runs and experiments are searched: MLflow's, and beyond it.
 *
 *	filter := or          or := and ("OR" and)*       and := term ("AND" term)*
 *	term   := "NOT" term | "(" filter ")" | test
 *	test   := name op value | name ["NOT"] "IN" "(" value ("," value)* ")"
 *	        | name "IS" ["NOT"] "NULL"
 *	name   := [type "."] key      type: metric(s), param(s), parameter(s), tag(s), attribute(s),
 *	                              attr, run, dataset(s); without one: an attribute
 *	key    := letters, digits, _ . / : -  or anything in `...`, "..." or '...'
 *	op     := = != < <= > >= LIKE ILIKE CONTAINS
 *	value  := number | '...' | "..."
 *
 * `strict` is MLflow's own language: tests joined by AND, and no more than its operators. Beyond
 * it: OR, NOT, parentheses, IN and IS NULL for everything, CONTAINS (any case), the attribute
 * `text` (every parameter, tag and the name), and times as '2026-11-01' or RFC 3339. What a
 * subject does not have matches nothing but IS NULL, also not !=. Parsing allocates in the arena
 * and is bounded in depth and number of tests. */
#ifndef RUN_FILTER_H
#define RUN_FILTER_H
#include "base/arena.h"

enum filter_kind { FILTER_ATTRIBUTE, FILTER_METRIC, FILTER_PARAM, FILTER_TAG, FILTER_DATASET };

enum filter_op {
	FILTER_EQ,
	FILTER_NE,
	FILTER_LT,
	FILTER_LE,
	FILTER_GT,
	FILTER_GE,
	FILTER_LIKE,
	FILTER_ILIKE,
	FILTER_CONTAINS,
	FILTER_IN,
	FILTER_NOT_IN,
	FILTER_NULL,
	FILTER_NOT_NULL,
};

struct filter_name {
	enum filter_kind kind;
	struct str key;     /* of an attribute: its first name */
	unsigned attribute; /* index in the table of attributes */
	bool number;
};

struct filter_attribute {
	const char *names[4];    /* the first is the name; others are read as it */
	bool number, time, list; /* list: MLflow lets it be tested with IN */
	bool extended;           /* not one of MLflow's */
};

struct filter_words {
	const struct filter_attribute *attributes;
	size_t n_attributes;
	unsigned kinds; /* 1 << enum filter_kind: what may be tested */
	bool strict;
};

struct filter; /* NULL: everything matches */

enum err run_filter_parse(struct str text, const struct filter_words *words, struct arena *a,
	const struct filter **out, struct errtext *et) MUST_CHECK;
/* "metrics.loss DESC" */
enum err run_filter_parse_order(struct str text, const struct filter_words *words, struct arena *a,
	struct filter_name *name, bool *descending, struct errtext *et) MUST_CHECK;

/* What a subject has under a name. One name may have several texts (a run's datasets): `at` counts
 * from 0; false at the end. */
struct filter_subject {
	bool (*text)(
		const void *subject, const struct filter_name *name, size_t at, struct str *out);
	bool (*number)(const void *subject, const struct filter_name *name, double *out);
};
bool run_filter_match(const struct filter *f, const struct filter_subject *s, const void *subject);

#endif
