/* Lists of hits put in another order: two or more made one, and one made less alike. */
#ifndef COLLECTION_RANK_H
#define COLLECTION_RANK_H
#include "collection/collection.h"

struct hit_list {
	struct item_hit *hits; /* best first */
	size_t n;
	float weight; /* of reciprocal ranks; 1 is usual */
};

/* Reciprocal rank fusion: an item's score is the sum over the lists of 1 / (rank / weight + k - 1),
 * with the rank from 1; k 2 is Qdrant's, 61 the one of Cormack, Clarke and Buettcher (SIGIR 2009).
 * A list with weight 0 adds nothing. Equal scores stand in the order in which they came. */
enum err rank_reciprocal(const struct hit_list *lists, size_t n_lists, float k, struct arena *a,
	struct hit_list *out, struct errtext *et) MUST_CHECK;
/* Distribution-based score fusion: scores of a list become (score - mean + 3 sd) / (6 sd), with the
 * standard deviation of a sample (n - 1); one score alone, or all equal ones, 0.5. Summed. */
enum err rank_scores(const struct hit_list *lists, size_t n_lists, struct arena *a,
	struct hit_list *out, struct errtext *et) MUST_CHECK;

/* Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): the nearest first, then again
 * and again the hit with the highest lambda * (likeness to the query) - (1 - lambda) * (likeness to
 * the most alike of those chosen), as the space measures it. Hits keep their scores; at most `max`
 * are chosen. They need their vectors. */
enum err rank_diverse(const struct space *s, const float *query, float lambda, size_t max,
	struct hit_list *list, struct errtext *et) MUST_CHECK;

#endif
