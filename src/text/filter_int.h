/* Inside the filter language:
 *	filter_token.c  tokens, and how what is wrong is said
 *	filter_test.c   names, operators and values: one test
 *	filter_mlflow.c MLflow's own language: what it refuses, and how it says so
 *	filter.c        the tree, the conditions on parts, orders
 *	filter_match.c  values against the tree, sorting */
#ifndef TEXT_FILTER_INT_H
#define TEXT_FILTER_INT_H
#include "text/dfa.h"
#include "text/filter.h"

enum { NO_KEY = UINT32_MAX, GROUPS_MAX = 16 };

/* PART: one part for which all below is so; below are no parts again. */
enum node_kind { NODE_TEST, NODE_AND, NODE_OR, NODE_NOT, NODE_PART };

struct node {
	enum node_kind kind;
	struct node *first, *next; /* children; the next child of the same node */
	unsigned part;             /* of PART, and of TEST whose key is FILTER_IN_PARTS */
	struct filter_test test;
};

struct filter {
	struct node *root;
	struct node *parts[FILTER_PARTS_MAX];
	unsigned n_parts;
	uint32_t groups;           /* asked about */
	uint64_t keys[GROUPS_MAX]; /* fixed keys of each, asked about */
	bool rules;
};

enum token_kind {
	T_END,
	T_WORD,
	T_QUOTED,
	T_BACKTICK,
	T_NUMBER,
	T_OP,
	T_OPEN,
	T_CLOSE,
	T_COMMA,
	T_OTHER
};

struct token {
	enum token_kind kind;
	struct str text; /* without quotes */
	struct str raw;
};

struct parser {
	struct str all, rest;
	struct token now;
	const struct filter_language *l;
	struct arena *a;
	struct errtext *et;
	struct filter *f;
	unsigned depth, tests, patterns;
	size_t wrong; /* where it is wrong */
};

/* Reads the next token; key: one follows, in which more characters are allowed than in a word. */
enum err filter_next(struct parser *p, bool key);
bool filter_keyword(const struct parser *p, const char *word);
struct str filter_shown(struct str s); /* its beginning, for a message */
enum err filter_no_memory(struct parser *p);
/* `what` is expected where the current token stands. */
enum err filter_expected(struct parser *p, const char *what);
/* A name as it is written. */
struct written {
	struct str type, key; /* type .n 0: none */
	struct token first;
};

/* p->now is the first token; the one behind is there afterwards. `without`: flags of keys that are
 * not known here. */
bool filter_begins_name(const struct parser *p);
enum err filter_read_words(struct parser *p, struct written *w);
enum err filter_resolve(
	struct parser *p, const struct written *w, unsigned without, struct filter_name *out);
enum err filter_read_name(struct parser *p, unsigned without, struct filter_name *out);
bool filter_hidden(const struct parser *p, unsigned flags); /* by `strict` */

extern const char *const filter_op_words[]; /* by enum filter_op */
bool filter_ordering(enum filter_op op);
/* known: it is an operator; t->op and t->negated are set. */
enum err filter_read_operator(struct parser *p, struct filter_test *t, bool *known);
enum err filter_read_value(
	struct parser *p, struct filter_test *t, double *number, struct str *text);
enum err filter_read_list(struct parser *p, struct filter_test *t);
enum err filter_read_pattern(struct parser *p, struct filter_test *t);
enum err filter_read_test(struct parser *p, struct filter_test *t);

enum err filter_invalid_clause(struct parser *p); /* what p->now begins */
/* word: of the key that g does not have; g NULL: of the group */
enum err filter_mlflow_unknown(
	struct parser *p, const struct filter_group *g, struct str word, unsigned without);
unsigned filter_mlflow_ops(const struct parser *p, const struct filter_name *n);
enum err filter_mlflow_value(struct parser *p, const struct filter_test *t);
enum err filter_mlflow_list(struct parser *p, const struct token *open);
enum err filter_mlflow_test(struct parser *p, struct filter_test *t);

#endif
