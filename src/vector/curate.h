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
	/* When not exact: of rows drawn by chance, all of whose pairs were then looked at, those
	 * that have a twin, and of these the ones that are in a group with every twin of theirs. */
	size_t sampled, whole;
};

/* group[n]: the number of the row's group, the largest first, or CURATE_NONE. Two rows are in one
 * group if they are at most `within` apart, or a chain of such pairs joins them. Each pair that
 * joins has been measured. LAYOUT_AUTO looks at all pairs as long as that takes minutes,
 * LAYOUT_EXACT always. */
enum err curate_twins(const struct layout_rows *x, float within, enum layout_search how,
	const struct layout_work *w, uint32_t *group, struct curate_twins *out,
	struct errtext *et) MUST_CHECK;

/* Who stays: in each group the most worthy row (worth NULL: the one nearest to the group's middle;
 * ties: the first) stands for all rows that are within reach of it; of those that are left the most
 * worthy is the next. keeper[n]: the row that stands for it, at distance[n]; itself if it stays. */
enum err curate_keepers(const struct layout_rows *x, const uint32_t *group, size_t n_groups,
	float within, const double *worth, const struct layout_work *w, uint32_t *keeper,
	float *distance, struct errtext *et) MUST_CHECK;

/* ---- outliers: of the neighbours of all rows ---- */

/* Local outlier factor (Breunig, Kriegel, Ng and Sander 2000): how much less densely a row lies
 * than its neighbours do. out[n]: about 1 inside, larger outside. */
enum err curate_lof(const struct layout_nearest *g, float *out, struct errtext *et) MUST_CHECK;
/* The mean distance to the neighbours: out[n]. */
void curate_far(const struct layout_nearest *g, float *out);

/* ---- samples ---- */

struct curate_cover {
	size_t n;             /* rows that were chosen */
	float farthest, mean; /* from a row to the nearest that is chosen or covered */
};
/* k-centre, greedily (Gonzalez 1985; as a sample to label: Sener and Savarese 2018): each row that
 * is chosen is the farthest from all that were, and from those that are covered (NULL: none).
 * chosen[count], reach[count]: how far it was; 0 for a first one. The first of all is the nearest
 * to the middle, or with a seed drawn. Ends early when all others are copies. */
enum err curate_centres(const struct layout_rows *x, const bool *covered, size_t count,
	uint64_t seed, const struct layout_work *w, uint32_t *chosen, float *reach,
	struct curate_cover *out, struct errtext *et) MUST_CHECK;

/* ---- labels: numbers below n_labels, -1: none ---- */

/* The share of the votes that each label has among a row's neighbours, which count
 * exp(-2 (d / s)^2), s the distance to the last of them. p[g->n][n_labels]; all 0: no neighbour has
 * one. A row is not among its neighbours: these are estimates without it. */
void curate_votes(const struct layout_nearest *g, const int32_t *label, size_t n_labels, float *p);

/* Label spreading (Zhou, Bousquet, Lal, Weston and Schoelkopf 2004): F = alpha S F + (1 - alpha) Y
 * on the graph of neighbours: an edge where one of two is among the other's, of the weight
 * exp(-2 d^2 / (s t)), s and t the distances of both to their last neighbours; S is divided by the
 * roots of both degrees. p[n][n_labels]: F, each row's sum made 1; all 0: no label
 * reaches it. *turns: until nothing moved. */
enum err curate_spread(const struct layout_nearest *g, const int32_t *label, size_t n_labels,
	float alpha, const struct layout_work *w, float *p, unsigned *turns,
	struct errtext *et) MUST_CHECK;

/* Confident learning (Northcutt, Jiang and Chuang 2021): a class is confident of a row when its p
 * reaches the mean p of the rows that have that label. A row is flagged when the likeliest class
 * that is confident of it is another than its label (the off-diagonal of the confident joint), or,
 * by noise rate, when it is among as many rows of its label with the largest p(other) - p(label) as
 * the joint says are that other one. offered[n]: that other class, or the likeliest. */
enum err curate_confident(const float *p, const int32_t *label, size_t n, size_t n_labels,
	bool noise_rate, uint8_t *flagged, int32_t *offered, struct errtext *et) MUST_CHECK;

#endif
