/* The language in which everything is searched: runs, experiments, traces, models, artifacts; and
 * the conditions of access rules. docs/search.md is its page for users.
 *
 *	filter := or          or := and ("OR" and)*       and := term ("AND" term)*
 *	term   := "NOT" term | "(" filter ")" | test
 *	test   := name op value | name ["NOT"] "IN" "(" value ("," value)* ")"
 *	        | name ["NOT"] match text | name "IS" ["NOT"] "NULL"
 *	name   := [group "."] key     without a group: one of the first group's keys
 *	key    := letters, digits, _ . / : -  or anything in `...`, "..." or '...'
 *	op     := = != < <= > >=                match := LIKE ILIKE RLIKE CONTAINS
 *	value  := number | '...' | "..."  ('' or "" is one quote character)
 *
 * What can be asked is a table: groups of names ("metrics.", "tags.", "span.attributes."), each
 *with fixed keys or any. `strict` is MLflow's own language with its own messages: tests joined by
 *AND, and of each group the operators that MLflow has. Beyond it: OR, NOT, parentheses, every
 *operator for everything that it can be said of, times as '2026-11-01', a number against the text
 *of a free key. What a subject does not have matches nothing but IS NULL, also not !=.
 *
 * A subject may have parts (a trace's spans). Tests about parts that are joined, hold for one and
 * the same part; NOT stands outside: no part is so. Because parts may be many and far away, a
 *filter is decided in two steps: filter_decide says what is known without them, filter_part is told
 *each part until that is enough.
 *
 *	static const struct filter_language runs = {groups, ARRAY_LEN(groups)};
 *	e = filter_parse(text, &runs, a, &f, et);
 *	if (filter_match(f, &(struct filter_subject){get, &scratch}, run)) ...
 *
 * Everything parsed is in the arena and is not written any more. Parsing is bounded in length,
 * depth, number of tests and of patterns (text/dfa.h); matching takes linear time, but for parts of
 *a LIKE with _ in them, which are short.
 */
#ifndef TEXT_FILTER_H
#define TEXT_FILTER_H
#include "base/arena.h"

enum { FILTER_ORDERS_MAX = 16, FILTER_PARTS_MAX = 32, FILTER_TEXT_MAX = 256 << 10 };

/* ---- what can be asked ---- */

enum filter_type { FILTER_TEXT, FILTER_NUMBER, FILTER_TIME }; /* TIME: milliseconds since 1970 */

enum filter_op {
	FILTER_EQ,
	FILTER_NE,
	FILTER_LT,
	FILTER_LE,
	FILTER_GT,
	FILTER_GE,
	FILTER_LIKE,
	FILTER_ILIKE,
	FILTER_RLIKE,
	FILTER_CONTAINS,
	FILTER_IN,
	FILTER_NULL,
};

/* Operators that MLflow's language has for a group, as a mask. */
#define FILTER_OPS_EQUAL (1u << FILTER_EQ | 1u << FILTER_NE)
#define FILTER_OPS_ORDER (1u << FILTER_LT | 1u << FILTER_LE | 1u << FILTER_GT | 1u << FILTER_GE)
#define FILTER_OPS_LIKE (1u << FILTER_LIKE | 1u << FILTER_ILIKE)
#define FILTER_OPS_NUMBER (FILTER_OPS_EQUAL | FILTER_OPS_ORDER)
#define FILTER_OPS_TEXT (FILTER_OPS_EQUAL | FILTER_OPS_LIKE)
#define FILTER_OP_RLIKE (1u << FILTER_RLIKE)
#define FILTER_OP_IN (1u << FILTER_IN)
#define FILTER_OP_NULL (1u << FILTER_NULL)

enum filter_flag {
	FILTER_EXTENDED = 1,   /* key or group: MLflow has it not */
	FILTER_ALIASES = 2,    /* key: its values are words for one thing: != holds if none is it */
	FILTER_NOCASE = 4,     /* key: ASCII letters in any case */
	FILTER_IN_PARTS = 8,   /* key: parts have values of it too */
	FILTER_PARTS = 16,     /* group: of a part of the subject */
	FILTER_UNORDERED = 32, /* key or group: not in order_by */
	FILTER_ORDER_ONLY = 64, /* key: in order_by only */
};

struct filter_key {
	const char *names[6]; /* the first is the name, others are read as it */
	enum filter_type type;
	unsigned flags, ops; /* ops: MLflow's; 0: the group's, or those of numbers */
};

struct filter_group {
	const char *names[6]; /* the first as MLflow's messages call it; may have a "." in it */
	const struct filter_key *keys; /* NULL: any key is possible */
	size_t n_keys;
	unsigned flags, ops;
	enum filter_type type; /* of any key */
};

/* Whose filter it is, for MLflow's messages, which differ. */
enum filter_dialect {
	FILTER_OF_RUNS,
	FILTER_OF_EXPERIMENTS,
	FILTER_OF_MODELS,
	FILTER_OF_VERSIONS,
	FILTER_OF_TRACES,
	FILTER_OF_LOGGED, /* logged models: their texts may stand without quotes */
};

struct filter_language {
	const struct filter_group *groups; /* the first: keys without a group */
	size_t n_groups;
	bool strict;
	enum filter_dialect of;
	/* of access rules: a line's end, ";" and "#" end it; LIKE takes * and ?; what is not there
	 * differs from everything */
	bool rules;
};

/* ---- what was asked ---- */

struct filter_name {
	unsigned group, index; /* index: of a fixed key */
	struct str key;        /* as it is written */
	enum filter_type type;
	unsigned flags; /* the key's and the group's */
};

struct filter_test {
	struct filter_name name;
	enum filter_op op;
	bool negated; /* NOT IN, NOT LIKE, IS NOT NULL ... */
	bool numeric; /* the value was a number or a time */
	double number;
	struct str text, *list; /* list: sorted */
	double *numbers;
	size_t n_list;
	const struct dfa *pattern;
};

struct filter; /* NULL: everything matches */

enum err filter_parse(struct str text, const struct filter_language *l, struct arena *a,
	const struct filter **out, struct errtext *et) MUST_CHECK;
/* A condition within a longer text (rules): from *at; *at is behind it, or where it is wrong. */
enum err filter_parse_at(struct str text, size_t *at, const struct filter_language *l,
	struct arena *a, const struct filter **out, struct errtext *et) MUST_CHECK;
/* One test, made by hand: name as in a filter, value a text. */
enum err filter_add(const struct filter **f, const char *name, enum filter_op op, struct str value,
	const struct filter_language *l, struct arena *a, struct errtext *et) MUST_CHECK;

struct filter_order {
	struct filter_name name;
	bool descending;
};
/* "metrics.loss DESC", ...; at most FILTER_ORDERS_MAX */
enum err filter_parse_orders(const struct str *texts, size_t n, const struct filter_language *l,
	struct arena *a, struct filter_order *out, struct errtext *et) MUST_CHECK;

/* What a store can look up by itself: the tests that must hold, i from 0; NULL at the end. */
const struct filter_test *filter_required(const struct filter *f, size_t i);
/* Whether a group is asked about; one of its fixed keys (those below 64). */
bool filter_asks(const struct filter *f, unsigned group);
bool filter_asks_key(const struct filter *f, unsigned group, unsigned index);

/* ---- matching ---- */

struct filter_value {
	struct str text; /* .p NULL: it has none */
	double number;
	bool is_number;
};

/* The at-th value (from 0) that `item` has under a name; false: there are no more. A text needs to
 * last until the next call only. */
struct filter_subject {
	bool (*get)(void *ctx, const void *item, const struct filter_name *n, size_t at,
		struct filter_value *out);
	void *ctx;
};

bool filter_match(const struct filter *f, const struct filter_subject *s, const void *item);

/* With parts: `found` begins as 0 and is what filter_part returned for the parts so far. */
enum filter_truth { FILTER_FALSE, FILTER_TRUE, FILTER_UNKNOWN };
enum filter_truth filter_decide(const struct filter *f, const struct filter_subject *s,
	const void *item, uint32_t found, bool all_parts_seen);
uint32_t filter_part(const struct filter *f, const struct filter_subject *part, const void *item,
	uint32_t found);

/* Sorts by the orders, then by `otherwise`. What has no value comes last, NaN before it. Texts of
 * fixed keys are copied to the arena. */
enum err filter_sort(const struct filter_order *o, size_t n_orders, const struct filter_subject *s,
	void **items, size_t n, int (*otherwise)(const void *a, const void *b), struct arena *a,
	struct errtext *et) MUST_CHECK;

#endif
