/* What the neighbours of vectors say about them: near-duplicates, outliers, samples that cover the
 * others, labels for those that have none, labels that are likely to be wrong.
 *
 *	e = curate_twins(&rows, 0.3f, LAYOUT_AUTO, &work, group, &found, et);
 *	e = curate_keepers(&rows, group, found.n_groups, 0.3f, NULL, &work, keeper, distance, et);
 *
 * Rows, work and neighbours are those of vector/layout.h: distances are Euclidean, so that rows of
 * a cosine space are made of length 1 by the caller (a cosine c is a distance of sqrt(2 - 2c)). The
 * same input and seed give the same bits, whatever the team. On failure what a call was to write
 * holds anything. */
#ifndef VECTOR_CURATE_H
#define VECTOR_CURATE_H
#include "vector/layout.h"

#define CURATE_NONE UINT32_MAX

/* ---- near-duplicates ---- */

struct curate_twins {
	size_t n_groups, n_rows; /* of at least two rows; rows in them */
	bool exact;              /* every pair was looked at; else the nearest of each row */
	uint64_t measured;       /* pairs whose distance was computed in all directions */
};

/* group[n]: the number of the row's group, the largest first, or CURATE_NONE. Two rows are in one
 * group if they are at most `within` apart, or a chain of such pairs joins them. Each pair that
 * joins has been measured. LAYOUT_AUTO looks at all pairs as long as that takes minutes. */
enum err curate_twins(const struct layout_rows *x, float within, enum layout_search how,
	const struct layout_work *w, uint32_t *group, struct curate_twins *out,
	struct errtext *et) MUST_CHECK;

/* Who stays: in each group the most worthy row (worth NULL: the one nearest to the group's middle;
 * ties: the first) stands for all rows that are within reach of it; of those that are left the most
 * worthy is the next. keeper[n]: the row that stands for it, at distance[n]; itself if it stays. */
enum err curate_keepers(const struct layout_rows *x, const uint32_t *group, size_t n_groups,
	float within, const double *worth, const struct layout_work *w, uint32_t *keeper,
	float *distance, struct errtext *et) MUST_CHECK;

#endif
