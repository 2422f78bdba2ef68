/* Vector and keyword indexes, in memory, over items with a 64-bit key. They know nothing of
 * documents or stores: whoever owns the items rebuilds an index from them or loads a snapshot.
 *
 * One writer at a time, any number of readers beside it: a search works on the state that was
 * current when it began, and a published change is seen by every search that begins later.
 * `keep` filters inside the search (NULL: all), so that k hits are found whenever they exist. */
#ifndef VECTOR_VECTOR_H
#define VECTOR_VECTOR_H
#include "base/thread.h"
#include "base/str.h"

struct hit {
	uint64_t key;
	float score; /* higher is better; ties by the lower key */
};

typedef bool (*vector_keep_fn)(void *ctx, uint64_t key);

/* ---- exact dense search: cosine of normalised vectors (dot), SIMD scan ---- */

struct dense;

enum err dense_new(uint32_t dim, struct dense **out);
void dense_free(struct dense *d);
/* Inserts or replaces; dim floats each. Nothing changes on failure. */
enum err dense_put(struct dense *d, const uint64_t *keys, const float *vectors, size_t n,
	struct errtext *et) MUST_CHECK;
void dense_delete(struct dense *d, const uint64_t *keys, size_t n);
size_t dense_count(const struct dense *d);
/* Up to k hits into out; returns how many in *n. */
enum err dense_search(const struct dense *d, const float *query, size_t k, vector_keep_fn keep,
	void *ctx, struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et);

/* ---- keyword search: BM25 over terms that the caller has segmented and stemmed ---- */

struct bm25;

struct bm25_options {
	float k1, b; /* 0, 0: 0.9 and 0.4 */
};

struct bm25_term_score {
	struct str term;
	float score;      /* this term's part of the hit's score */
	uint32_t tf, df;
};

enum err bm25_new(const struct bm25_options *o, struct bm25 **out);
void bm25_free(struct bm25 *x);
/* Inserts or replaces one item. Duplicated terms count. */
enum err bm25_put(struct bm25 *x, uint64_t key, const struct str *terms, size_t n,
	struct errtext *et) MUST_CHECK;
void bm25_delete(struct bm25 *x, const uint64_t *keys, size_t n);
void bm25_publish(struct bm25 *x); /* what was put or deleted becomes visible, all at once */
size_t bm25_count(const struct bm25 *x);
enum err bm25_search(const struct bm25 *x, const struct str *terms, size_t n_terms, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, struct errtext *et);
/* Why an item scores as it does for these terms: one row per term that it contains. */
size_t bm25_explain(const struct bm25 *x, const struct str *terms, size_t n_terms, uint64_t key,
	struct bm25_term_score *out, size_t max);

#endif
