/* Pictures of many vectors: principal components, a layout in the plane or in space that keeps
 *neighbours together (the UMAP algorithm of McInnes, Healy and Melville 2018, arXiv:1802.03426),
 *and the clusters that are seen in it (HDBSCAN: Campello, Moulavi and Sander 2013).
 *
 *	float *xy = ...;                                  two numbers for each row, all NaN
 *	e = layout_embed(&rows, &(struct layout_options){.seed = 1}, &work, xy, et);
 *	e = layout_clusters(xy, n, 0, &work, cluster, &n_clusters, et);
 *
 * Distances are Euclidean: rows of a cosine space are made of length 1 by the caller. The same
 * rows, options and seed give the same bits, whatever the team. Memory is given back before they
 * return; every call looks at the cancel flag some times a second, and on failure what it was to
 * write holds anything. */
#ifndef VECTOR_LAYOUT_H
#define VECTOR_LAYOUT_H
#include "base/thread.h"

#include <stdint.h>

struct kern_team;

enum {
	LAYOUT_PCA_MAX = 50,
	LAYOUT_NEIGHBOURS_MAX = 200,
	LAYOUT_ROWS_MAX = 1 << 24,
	LAYOUT_NOISE = -1, /* of no cluster */
};

struct layout_rows {
	const float *v; /* [n][dim], finite */
	size_t n, dim;
};

/* How it is worked: all may be NULL. `at` is told now and then what is being done, on the thread
 * of the caller. */
struct layout_work {
	struct kern_team *team;
	const struct cancel *cancel;
	void (*at)(void *ctx, const char *what, uint64_t done, uint64_t total);
	void *ctx;
};

/* The first k principal components: out[n][k], and in share[k] (may be NULL) how much of the
 * variance each has. k is at most dim and LAYOUT_PCA_MAX. Of a component's two directions that one
 * is taken whose largest weight is positive. Subspace iteration on the covariance (Halko,
 * Martinsson and Tropp 2011, algorithm 4.4), until the variances settle. */
enum err layout_pca(const struct layout_rows *x, size_t k, uint64_t seed,
	const struct layout_work *w, float *out, float *share, struct errtext *et) MUST_CHECK;

/* The k nearest other rows of each row of `of` (NULL: of all), nearest first, ties by number:
 * at[n][k] and distance[n][k]. Where there are fewer than k others the rest is LAYOUT_NOBODY.
 * Exact as long as there are not many; else by the graph of vector/index.h, built by one thread. */
#define LAYOUT_NOBODY UINT32_MAX
struct layout_nearest {
	size_t n, k;
	uint32_t *at;
	float *distance;
	bool exact;
};
enum layout_search { LAYOUT_AUTO, LAYOUT_EXACT, LAYOUT_GRAPH };
enum err layout_nearest(const struct layout_rows *x, const uint32_t *of, size_t n_of, size_t k,
	enum layout_search how, const struct layout_work *w, struct layout_nearest *out,
	struct errtext *et) MUST_CHECK;
/* The same, but only the first n_in rows are anybody's neighbours. */
enum err layout_nearest_in(const struct layout_rows *x, const uint32_t *of, size_t n_of,
	size_t n_in, size_t k, enum layout_search how, const struct layout_work *w,
	struct layout_nearest *out, struct errtext *et) MUST_CHECK;
void layout_nearest_free(struct layout_nearest *g);

struct layout_options {
	uint32_t neighbours; /* with itself; 0: 15 */
	float min_dist;      /* how near points may come; 0: 0.1 */
	float spread;        /* 0: 1 */
	uint32_t epochs;     /* 0: 500 up to 10,000 rows, else 200; a third for `placed` points */
	uint64_t seed;
	uint32_t dims; /* numbers of a place: 2 or 3; 0: 2 */
	/* Points that have a place (xy is not NaN) stay where they are; only the others move. */
	bool stay;
};

/* dims numbers for each row. Where all of xy is NaN, the layout begins with principal components.
 * Else those that have a place begin there and the others among their neighbours: without `stay`
 * all of them move a little, so that two layouts of nearly the same rows look the same.
 * ERR_INVALID: fewer than 2 rows or options out of bounds. */
enum err layout_embed(const struct layout_rows *x, const struct layout_options *o,
	const struct layout_work *w, float *xy, struct errtext *et) MUST_CHECK;

/* a and b of 1 / (1 + a d^2b), the curve that fits min_dist and spread. */
void layout_curve(double min_dist, double spread, double *a, double *b);

/* cluster[n]: a number below *n_clusters, the largest cluster first, or LAYOUT_NOISE. min_size 0:
 * half the root of n, at least 5. */
enum err layout_clusters(const float *xy, size_t n, size_t min_size, const struct layout_work *w,
	int32_t *cluster, size_t *n_clusters, struct errtext *et) MUST_CHECK;
/* The same for points of 2 or 3 numbers. */
enum err layout_clusters_in(const float *xy, size_t dims, size_t n, size_t min_size,
	const struct layout_work *w, int32_t *cluster, size_t *n_clusters,
	struct errtext *et) MUST_CHECK;

#endif
