/* MLflow's filter language, as far as models and their versions have it: clauses joined by AND,
 * each `[type.]key OP value`, and lists of `key [ASC|DESC]`. */
#ifndef API_MLFLOW_FILTER_H
#define API_MLFLOW_FILTER_H
#include "base/arena.h"

#define filter_parse mlflow_filter_parse /* until all use text/filter.h */

enum filter_op {
	FILTER_EQ,
	FILTER_NE,
	FILTER_LT,
	FILTER_LE,
	FILTER_GT,
	FILTER_GE,
	FILTER_LIKE,
	FILTER_ILIKE,
	FILTER_IN,
	FILTER_NOT_IN
};

struct filter_clause {
	struct str type; /* "attribute", "tag", "metric", "param": one spelling each */
	struct str key;
	enum filter_op op;
	bool quoted;     /* the value was a text */
	double number;   /* when not quoted and no list */
	struct str text; /* of the value as written, without quotes */
	struct str *list;
	size_t n_list; /* IN, NOT IN */
};

enum { FILTER_CLAUSES_MAX = 100, FILTER_LIST_MAX = 1000, FILTER_TEXT_MAX = 64 << 10 };

/* Strings are in `a`. "" has no clauses. ERR_INVALID in MLflow's words. */
enum err filter_parse(struct str text, struct arena *a, struct filter_clause **out, size_t *n,
	struct errtext *et) MUST_CHECK;
/* A clause against a text; v.p NULL never matches. */
bool filter_match_text(const struct filter_clause *c, struct str v);
bool filter_match_number(const struct filter_clause *c, double v);

struct filter_order {
	struct str key; /* with its type as written: "name", "tags.x" */
	bool descending;
};
enum err filter_order_parse(
	struct str text, struct arena *a, struct filter_order *out, struct errtext *et) MUST_CHECK;

#endif
