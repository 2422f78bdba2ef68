/* Items by chance, and how near they are to each other. */
#ifndef COLLECTION_SAMPLE_H
#define COLLECTION_SAMPLE_H
#include "collection/collection.h"

enum { SAMPLE_MATRIX_MAX = 1000 };

/* Up to max items that match (filter NULL: all), each equally likely, in an order by chance; hits
 * with score 1 and no payload. */
enum err collection_sample(struct collection *k, const struct cond *filter, size_t max,
	const struct cancel *cancel, struct arena *a, struct item_hit **out, size_t *n,
	struct errtext *et) MUST_CHECK;

struct sample_matrix {
	struct item_hit *items; /* by id */
	size_t n;
	struct item_hit **near; /* of each the nearest of the others, best first */
	size_t *n_near;
};
/* Of up to `sample` items by chance that have a vector in the space, and of each its nearest `k`
 * among them. Fewer than two: none. */
enum err collection_sample_matrix(struct collection *k, struct str space, const struct cond *filter,
	size_t sample, size_t near, const struct cancel *cancel, struct arena *a,
	struct sample_matrix *out, struct errtext *et) MUST_CHECK;

#endif
