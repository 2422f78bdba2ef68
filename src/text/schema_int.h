/* JSON Schema inside: literals, what they come to, and what the matcher walks.
 *
 * A literal is a schema of the document, or a constant of it, affirmed or denied. A node is a set
 * of literals that hold of one value; nodes are hash-consed, so recursion ends. Expanding a node
 * gives alternatives; each is a plain conjunction of facts about one value, without choices. JSON
 * values fall into types, and facts about different types do not meet, so an alternative becomes at
 * most one set of numbers (an automaton over their texts), one of strings, one kind of array, one
 * of object. */
#ifndef TEXT_SCHEMA_INT_H
#define TEXT_SCHEMA_INT_H
#include "base/json.h"
#include "base/map.h"
#include "text/dfa.h"
#include "text/schema.h"

enum {
	T_NULL = 1,
	T_FALSE = 2,
	T_TRUE = 4,
	T_NUM = 8,
	T_STR = 16,
	T_ARR = 32,
	T_OBJ = 64,
	T_ALL = 127
};
enum { UNBOUNDED = UINT32_MAX, CONTAINS_MAX = 2, KEYS_MAX = 4000 };

/* value NULL: everything (denied: nothing) */
struct lit {
	yyjson_val *value;
	bool constant, denied;
};

struct lits { /* immutable list */
	struct lit lit;
	const struct lits *next;
};

/* Where a schema was applied from: unevaluated* sees what its own subschemas have seen. */
struct scope {
	const struct scope *up;
	yyjson_val *schema;
};

struct node;

/* ---- an alternative: facts, in immutable lists, the latest first ---- */

struct arr_part { /* prefix[i] for item i, then rest */
	const struct arr_part *next;
	const struct scope *scope; /* NULL: seen by no unevaluatedItems */
	const struct lit *prefix;
	size_t n_prefix;
	bool has_rest;
	struct lit rest;
};

struct contains_part {
	const struct contains_part *next;
	struct lit lit;
	uint32_t min, max;
};

struct obj_part { /* the subschemas of one schema for properties */
	const struct obj_part *next;
	const struct scope *scope;
	yyjson_val *properties, *patterns; /* objects or NULL */
	bool has_rest;
	struct lit rest;
	struct str key; /* or: one property */
	struct lit value;
};

struct key_list {
	const struct key_list *next;
	struct str key;
};

struct uneval {
	const struct uneval *next;
	const struct scope *scope;
	struct lit lit;
};

struct alt {
	unsigned types;
	const struct dfa *num; /* NULL: any */
	const struct dfa *str; /* NULL: any */
	uint32_t str_min, str_max;
	const struct arr_part *arr;
	const struct contains_part *contains;
	const struct uneval *arr_uneval;
	uint32_t arr_min, arr_max;
	bool unique;
	const struct obj_part *obj;
	const struct key_list *required;
	const struct lits *names; /* of property names */
	const struct uneval *obj_uneval;
	uint32_t obj_min, obj_max;
};

/* ---- what the matcher walks ---- */

struct str_atom {
	const struct dfa *dfa;
	uint32_t min, max; /* code points; both neutral unless dfa is any string */
};

struct arr_atom {
	uint32_t min, max;
	uint32_t n_prefix, n_contains;
	/* [(n_prefix + 1) << n_contains]: item i, whatever of the contains it counts for; NULL or
	 * unproductive: not so */
	struct node **items;
	uint32_t contains_min[CONTAINS_MAX], contains_max[CONTAINS_MAX];
	bool unique;
	/* unique, over finitely many scalars: their texts, by tag */
	const struct dfa *picks;
	uint32_t n_picks;
	uint64_t *pick_reach; /* [states][words] tags that can be reached */
};

struct obj_key {
	struct str name;
	struct node *value;
	bool required;
};

struct obj_class { /* names that no key has */
	const struct dfa *names;
	struct node *value;
};

struct obj_atom {
	uint32_t min, max;
	struct obj_key *keys;
	uint32_t n_keys, n_required, n_words; /* words of 64 keys */
	struct obj_class *classes;
	uint32_t n_classes;
	const struct dfa *exact; /* tag: key + 1; NULL: none */
	const struct dfa *open;  /* tag: class + 1; NULL: none */
	uint64_t *reach;         /* [states of exact][n_words] keys that can be reached */
	uint64_t *required;      /* [n_words] */
	bool hashed;             /* names of classes are told apart (min depends on it) */
	bool any_order;
};

struct node {
	struct node *next; /* all of them */
	const struct lit *lits;
	size_t n_lits;
	bool expanded, productive;
	unsigned scalars; /* T_NULL | T_FALSE | T_TRUE */
	const struct dfa *num;
	struct str_atom *strs;
	struct arr_atom *arrs;
	struct obj_atom *objs;
	uint32_t n_strs, n_arrs, n_objs;
};

struct compiler {
	struct arena *a;
	const struct schema_options *o;
	yyjson_doc *doc;
	struct map resources; /* URI -> yyjson_val */
	struct map bases;     /* &yyjson_val -> its resource's root and URI */
	struct map nodes;
	struct map regexes; /* pattern -> dfa */
	struct node *first, **last;
	size_t n_nodes;
	uint64_t until_ns;  /* of this thread's time */
	bool old_refs;      /* drafts up to 7: siblings of $ref do not count */
	bool loose;         /* an upper bound is enough: what cannot be enforced is taken as true */
	yyjson_val *scalar; /* a schema: scalars, numbers in one way of writing each */
	const struct dfa *any, *integer, *fraction, *decimal, *number, *canonical, *brief;
	struct errtext *et;
};

struct schema {
	struct arena *a;
	yyjson_doc *doc;
	struct node *root;
	bool lenient;
	struct language language;
};

/* schema.c */
struct lit schema_lit(yyjson_val *v, bool denied);
enum err schema_node(struct compiler *c, const struct lit *lits, size_t n, struct node **out);
enum err schema_complain(struct compiler *c, enum err e, yyjson_val *at, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
enum err schema_regex(
	struct compiler *c, yyjson_val *at, struct str pattern, const struct dfa **out);
enum err schema_target(struct compiler *c, yyjson_val *from, struct str ref, yyjson_val **out);
/* ERR_TOO_LARGE when compiling has taken too long. Each automaton and each node is bounded by
 * itself; this bounds how many of them a schema can ask for. */
enum err schema_in_time(struct compiler *c);
/* Can any value satisfy all of these? An upper bound: true may be wrong, false is not. */
enum err schema_possible(struct compiler *c, const struct lit *lits, size_t n, bool *out);

/* schema_expand.c: the alternatives of a node */
enum err schema_expand(
	struct compiler *c, const struct node *n, const struct alt **out, size_t *n_out);

/* schema_build.c */
enum err schema_build(struct compiler *c, struct node *n); /* expand, and make its atoms */
bool schema_improve(struct node *n);                       /* productive now, and was not before? */
enum err schema_finish(struct compiler *c, struct node *n); /* after the last improvement */

/* schema_number.c. Bounds are decimal numbers as JSON writes them. */
enum { IS_LESS = 1, IS_EQUAL = 2, IS_GREATER = 4 };
enum err schema_number_setup(struct compiler *c);
enum err schema_number_compare(
	struct compiler *c, yyjson_val *bound, unsigned classes, const struct dfa **out);
enum err schema_number_multiple(
	struct compiler *c, yyjson_val *of, bool denied, const struct dfa **out);
/* Its shortest plain decimal text. */
enum err schema_number_text(struct compiler *c, yyjson_val *v, struct str *out);

/* schema_match.c */
extern const struct language_ops schema_ops;

#endif
