/* Work on the items of a collection that reads them itself, one by one (maps, curation, datasets):
 * which of them are meant, and what numbers an item has as one row.
 *
 *	e = part_read(c, collection, S("{\"must\": [...]}"), arena, &filter, et);
 *	e = part_has(filter, num, payload, &yes, et);
 *	e = part_takes(space, "a map", et);
 *	if (yes)
 *		part_row(space, &vector, row);                 // space->dim numbers
 */
#ifndef COLLECTION_PART_H
#define COLLECTION_PART_H
#include "collection/collection_int.h"

enum { PART_FILTER_MAX = 64 << 10 };

/* A filter in the words of searches, read in `a` (which keeps its text); .n 0: *out NULL, which is
 * every item. The collection need not be open. ERR_INVALID names the place in the filter. */
enum err part_read(struct croft *c, int64_t collection, struct str json, struct arena *a,
	const struct cond **out, struct errtext *et) MUST_CHECK;
/* The member "filter" of a body as text in `a`; .n 0: there is none. */
enum err part_of_body(
	yyjson_val *body, struct arena *a, struct str *out, struct errtext *et) MUST_CHECK;
enum err part_has(const struct cond *filter, int64_t num, struct str payload, bool *out,
	struct errtext *et) MUST_CHECK;

/* Vectors and lists of vectors have rows; sparse ones have none: ERR_UNSUPPORTED names the space.
 */
enum err part_takes(const struct space *s, const char *doing, struct errtext *et) MUST_CHECK;
/* A list becomes the mean of its vectors, which are made of length 1 first unless the distance is
 * Euclid's. out[s->dim], not made of length 1. */
void part_row(const struct space *s, const struct item_vector *v, float *out);

#endif
