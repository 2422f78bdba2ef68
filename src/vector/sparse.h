/* An index of sparse vectors: few numbers, each under a 32-bit index; the score is the sum of
 * products over the indices that the query and the item share. As vector.h: any thread may call
 * anything, writers take turns, readers never wait and see what was published when they began.
 *
 * Items that share no index with the query are no hits, whatever else; those that do are, with a
 * score of 0 or below too. Results are those of comparing every item; blocks of postings that
 * cannot give a hit are skipped. Sums are made of doubles.
 *
 *	struct sparse *x;
 *	e = sparse_new(&x, et);
 *	e = sparse_put(x, 7, &(struct sparse_vector){at, values, n}, et);
 *	e = sparse_publish(x, et);
 *	e = sparse_search(x, &(struct sparse_query){.v = q, .k = 10}, hits, &n_hits, et); */
#ifndef VECTOR_SPARSE_H
#define VECTOR_SPARSE_H
#include "vector/vector.h"

struct sparse;

enum { SPARSE_MAX = 65536 }; /* numbers of a vector */

struct sparse_vector {
	const uint32_t *at; /* ascending, each once */
	const float *v;     /* finite */
	size_t n;           /* may be 0 */
};

enum err sparse_new(struct sparse **out, struct errtext *et) MUST_CHECK;
void sparse_free(struct sparse *x); /* accepts NULL */
/* Inserts or replaces one item at the next publish. ERR_INVALID: not a vector as above. */
enum err sparse_put(struct sparse *x, uint64_t key, const struct sparse_vector *v,
	struct errtext *et) MUST_CHECK;
enum err sparse_delete(
	struct sparse *x, const uint64_t *keys, size_t n, struct errtext *et) MUST_CHECK;
/* What was put or deleted becomes visible, all at once. On failure it stays pending. */
enum err sparse_publish(struct sparse *x, struct errtext *et) MUST_CHECK;
size_t sparse_count(struct sparse *x); /* published items */
size_t sparse_bytes(struct sparse *x); /* what is published occupies in memory */
/* A file of what is published, and an index that has nothing yet from one: see segments.h. */
enum err sparse_save(struct sparse *x, const char *path, uint64_t mark, struct str label,
	struct errtext *et) MUST_CHECK;
enum err sparse_open(struct sparse *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et) MUST_CHECK;

struct sparse_query {
	struct sparse_vector v;
	bool idf; /* the query's numbers times ln(1 + (N - df + 0.5) / (df + 0.5)) first */
	size_t k;
	vector_keep_fn keep; /* NULL: all */
	void *ctx;
	bool within; /* only hits with a score of at least min_score */
	float min_score;
	const struct cancel *cancel;
};
/* The score of each key, of q's vector: 0 when they share no index, NaN for a key that is not
 * there. */
enum err sparse_scores(struct sparse *x, const struct sparse_query *q, const uint64_t *keys,
	size_t n, float *out, struct errtext *et) MUST_CHECK;
/* Best first, ties by the lower key. */
enum err sparse_search(struct sparse *x, const struct sparse_query *q, struct hit *out, size_t *n,
	struct errtext *et) MUST_CHECK;

#endif
