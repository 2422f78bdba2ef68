/* Searching by several examples. Each item that has a vector is compared with all of them. */
#ifndef COLLECTION_EXAMPLES_H
#define COLLECTION_EXAMPLES_H
#include "collection/collection.h"

/* Scores of an example are those of an index: cosine, product, minus the squared distance, MaxSim.
 * sigmoid(x) = x / (1 + |x|). */
enum examples_by {
	/* sigmoid of the best positive one (scaled to 0..1), or minus that of the best negative
	 * one, whichever is better */
	EXAMPLES_BEST,
	EXAMPLES_SUM, /* of the positive ones, minus the negative ones */
	/* Pairs: how often the positive one is nearer, minus how often the negative one is, and the
	 * sigmoid of the target (scaled to 0..1). */
	EXAMPLES_DISCOVER,
	/* Pairs: the sum of the sigmoid of how much nearer the negative one is, at most 0. */
	EXAMPLES_CONTEXT,
	EXAMPLES_WEIGHTED, /* positive ones: the sum of weight * score */
};

struct example_query {
	enum examples_by by;
	const struct item_vector *positive,
		*negative; /* of pairs: as many of one as of the other */
	size_t n_positive, n_negative;
	const struct item_vector *target;
	const float *weights;   /* of the positive ones */
	struct item_query base; /* the rest: space, k, filter, without, worst, want, cancel */
};
enum err collection_query_examples(struct collection *k, const struct example_query *q,
	struct arena *a, struct item_hit **out, size_t *n, struct errtext *et) MUST_CHECK;

#endif
