/* An index over the payloads of items: which of them match a condition (cond.h), as a set of keys,
 * without looking at each; and about how many do, before that. As vector.h: any thread may call
 * anything, writers take turns, readers never wait and see what was published when they began.
 *
 *	struct fields *x;
 *	e = fields_new(NULL, &x);
 *	e = fields_put(x, 7, S("{\"lang\": \"en\", \"year\": 2024}"), et);
 *	e = fields_publish(x, et);
 *	struct bitmap b = {0};
 *	e = fields_select(x, cond, &b, &exact, et);
 *	bitmap_free(&b); */
#ifndef VECTOR_FIELDS_H
#define VECTOR_FIELDS_H
#include "vector/bitmap.h"
#include "vector/cond.h"
#include "vector/vector.h"

struct fields;

/* Strings are searched by words (COND_TEXT) in all fields, or with `some_text` in those whose paths
 * are given, as a person writes them; it is what takes most memory where texts are long. */
struct fields_options {
	bool some_text;
	const struct str *text;
	size_t n_text;
};

enum err fields_new(
	const struct fields_options *o, struct fields **out, struct errtext *et) MUST_CHECK;
void fields_free(struct fields *x); /* accepts NULL */
/* Inserts or replaces at the next publish. ERR_INVALID: the payload is no JSON object. */
enum err fields_put(
	struct fields *x, uint64_t key, struct str payload, struct errtext *et) MUST_CHECK;
enum err fields_delete(
	struct fields *x, const uint64_t *keys, size_t n, struct errtext *et) MUST_CHECK;
/* What was put or deleted becomes visible, all at once. On failure it stays pending. */
enum err fields_publish(struct fields *x, struct errtext *et) MUST_CHECK;
size_t fields_count(struct fields *x); /* published items */
size_t fields_bytes(struct fields *x); /* what is published occupies in memory */
/* A file of what is published, and an index that has nothing yet from one: see segments.h. */
enum err fields_save(struct fields *x, const char *path, uint64_t mark, struct str label,
	struct errtext *et) MUST_CHECK;
enum err fields_open(struct fields *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et) MUST_CHECK;

/* Adds the keys of all items that match. *exact false: the condition asks for words in a field that
 * has none here; then the set has all that match and others, and cond_matches decides. */
enum err fields_select(struct fields *x, const struct cond *c, struct bitmap *out, bool *exact,
	struct errtext *et) MUST_CHECK;

struct fields_estimate {
	uint64_t least, most, likely, items; /* items: of all */
};
/* Cheap: from the lengths of lists. */
void fields_estimate(struct fields *x, const struct cond *c, struct fields_estimate *out);

/* ---- the values of a path ----
 *
 * Paths are steps (cond_path); one with a place in an array has no values here. among NULL: all
 * items. */

/* A value, and how many items have it. A UUID is one, however it is written. Long strings are known
 * by their SHA-256 only; `key` is then an item that has it. */
struct fields_facet {
	struct cond_value value; /* a string, an integer, a boolean; strings are in the arena */
	bool digest;
	uint64_t n, key;
};
/* The most frequent first, then booleans, integers, strings, each ascending. At most max. */
enum err fields_facets(struct fields *x, struct str path, const struct bitmap *among, size_t max,
	struct arena *a, struct fields_facet **out, size_t *n, struct errtext *et) MUST_CHECK;

/* An item by one of its numbers or times (in microseconds). */
struct fields_ordered {
	uint64_t key;
	struct cond_number value;
};
/* An item stands there once for each of its different values. from NULL: from the first on. Equal
 * ones in the order of keys. At most max, into out. */
enum err fields_order(struct fields *x, struct str path, bool descending,
	const struct cond_number *from, const struct bitmap *among, size_t max,
	struct fields_ordered *out, size_t *n, struct errtext *et) MUST_CHECK;
bool fields_has_place(struct str path); /* does a path name a place in an array? */

#endif
