/* Conditions on items: a tree, read from Qdrant's or OpenAI's JSON, decided for one payload by
 * cond_matches and for a whole collection by fields.h, with the same result.
 *
 * A payload is a JSON object. Paths and conditions mean what they mean in Qdrant: "a.b" is a member
 * of a member (a name with dots in quotes), "a[].b" goes into all elements of an array, "a[0].b"
 *into one; an array at the end stands for its elements. A condition holds if it holds for one of
 *the values. Types are not converted: "5" is not 5, and 5.0 is in the range of 5 but does not
 *match 5.
 *
 *	const struct cond *c;
 *	e = cond_parse_qdrant(filter, ids, NULL, arena, &c, et);     // filter: a yyjson_val
 *	bool yes = cond_matches(c, key, payload);
 *
 * A tree lives in its arena and points into the JSON that it was read from. */
#ifndef VECTOR_COND_H
#define VECTOR_COND_H
#include "base/arena.h"
#include "base/json.h"

enum { COND_DEPTH_MAX = 16, COND_NODES_MAX = 1024, COND_VALUES_MAX = 65536, COND_TERMS_MAX = 256 };

/* A JSON number: an integer of 64 bits, if it is one, else the nearest double. */
struct cond_number {
	bool integral;
	int64_t i;
	double d;
};

struct cond_value {
	enum cond_type { COND_STRING, COND_NUMBER, COND_BOOL } type;
	struct str s;
	struct cond_number n;
	bool b;
};

struct cond_range {
	bool above, below;           /* is there a lower, an upper end? */
	bool open_above, open_below; /* that end itself is out */
	struct cond_number from, to;
};

struct cond {
	enum cond_kind {
		COND_ALL,      /* of `of`; none: true */
		COND_AT_LEAST, /* so many of `of` */
		COND_NOT,      /* of[0] */
		COND_IN,       /* one of the values: strings, integers, booleans */
		COND_EXCEPT,   /* a value, not null, that is none of them */
		COND_RANGE,    /* a number in the range */
		COND_TIMES,    /* a string that is a time, in microseconds */
		COND_COUNT,    /* of elements of an array; null and nothing: 0; another value: 1 */
		COND_TEXT,     /* a string with all terms */
		COND_TEXT_ANY, /* one of them */
		COND_EMPTY,    /* nothing but null and [] */
		COND_NULL,     /* null, or an array with null */
		COND_ID,       /* the item's key is one of the ids */
		COND_NESTED, /* of[0] holds for one element of an array of objects, as a payload */
	} kind;
	struct str path; /* steps, each ended by NUL: k and a name, w, i and a number */
	const struct cond *const *of;
	size_t n_of, at_least;
	const struct cond_value *values; /* ascending */
	size_t n_values;
	struct cond_range range;
	const struct str *terms;
	size_t n_terms;
	const uint64_t *ids; /* ascending */
	size_t n_ids;
};

/* An id as the JSON has it (a number, a string) to an item's key; false: there is no such item. */
typedef bool (*cond_id_fn)(void *ctx, yyjson_val *id, uint64_t *key);

/* ERR_INVALID and ERR_UNSUPPORTED name the place ("must[2].range.gte"); ERR_TOO_LARGE: a limit
 * above. ids NULL: has_id is refused. NULL or an empty filter: true for every item. */
enum err cond_parse_qdrant(yyjson_val *filter, cond_id_fn ids, void *ctx, struct arena *a,
	const struct cond **out, struct errtext *et) MUST_CHECK;
/* {type: eq ne gt gte lt lte in nin, key, value} and {type: and or, filters}. ne and nin hold for
 * items without the key. */
enum err cond_parse_openai(yyjson_val *filter, struct arena *a, const struct cond **out,
	struct errtext *et) MUST_CHECK;

bool cond_matches(const struct cond *c, uint64_t key, yyjson_val *payload);

/* ---- for whoever decides conditions ---- */

/* A path as a person writes it to steps. ERR_INVALID. */
enum err cond_path(struct str text, struct arena *a, struct str *out, struct errtext *et);
struct cond_number cond_number_of(yyjson_val *v); /* of a number */
int cond_number_cmp(struct cond_number a, struct cond_number b);
bool cond_in_range(const struct cond_range *r, struct cond_number n);
/* The value of a string, a boolean, an integer of 64 bits. */
bool cond_value_of(yyjson_val *v, struct cond_value *out);
int cond_value_cmp(const struct cond_value *a, const struct cond_value *b);
bool cond_has_value(const struct cond *c, const struct cond_value *v); /* among its values */
bool cond_time_of(struct str s, int64_t *us);
/* The next step of a path: its kind, its name. Needs one. */
char cond_step(struct str *path, struct str *name);

#endif
