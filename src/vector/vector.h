/* Vector and keyword indexes, in memory, over items with a 64-bit key. They know nothing of
 * documents or stores: whoever owns the items rebuilds an index from them or loads a snapshot.
 *
 * Any thread may call anything. Writers take turns; a search works on the state that was current
 * when it began, without waiting for a writer, and a published change is seen by every search that
 * begins later. A failed change (ERR_NOMEM, ERR_INVALID) leaves the index as it was.
 * `keep` filters inside the search (NULL: all), so that k hits are found whenever they exist.
 *
 * Results do not depend on the order in which items came, nor on how they are laid out inside. */
#ifndef VECTOR_VECTOR_H
#define VECTOR_VECTOR_H
#include "base/str.h"
#include "base/thread.h"

struct hit {
	uint64_t key;
	float score; /* higher is better; ties by the lower key */
};

typedef bool (*vector_keep_fn)(void *ctx, uint64_t key);

/* ---- exact dense search: cosine of vectors, SIMD scan ---- */

struct dense;

enum err dense_new(uint32_t dim, struct dense **out);
void dense_free(struct dense *d); /* accepts NULL */
/* Inserts or replaces; dim floats each, finite (ERR_INVALID), made of length 1 on the way in. A key
 * that is there twice: the last one counts. */
enum err dense_put(struct dense *d, const uint64_t *keys, const float *vectors, size_t n,
	struct errtext *et) MUST_CHECK;
enum err dense_delete(
	struct dense *d, const uint64_t *keys, size_t n, struct errtext *et) MUST_CHECK;
size_t dense_count(struct dense *d);
uint32_t dense_dim(const struct dense *d);
/* Up to k hits into out, best first; returns how many in *n. */
enum err dense_search(struct dense *d, const float *query, size_t k, vector_keep_fn keep, void *ctx,
	struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* The cosine of each key with the query; NaN for a key that is not there. */
void dense_scores(struct dense *d, const float *query, const uint64_t *keys, size_t n, float *out);

/* ---- keyword search: BM25 over terms that the caller has segmented and stemmed ----
 *
 * An item's score is the sum over the query's terms (a repeated one counts as often) of
 *	idf * tf / (tf + k1 * (1 - b + b * length / average length)),
 *	idf = ln(1 + (N - df + 0.5) / (df + 0.5)). */

struct bm25;

struct bm25_options {
	float k1, b; /* 0, 0: 0.9 and 0.4 */
};

struct bm25_term_score {
	struct str term;
	float score; /* this term's part of the item's score */
	uint32_t tf, df;
};

enum err bm25_new(const struct bm25_options *o, struct bm25 **out);
void bm25_free(struct bm25 *x); /* accepts NULL */
/* Inserts or replaces one item at the next publish. Duplicated terms count. */
enum err bm25_put(struct bm25 *x, uint64_t key, const struct str *terms, size_t n,
	struct errtext *et) MUST_CHECK;
enum err bm25_delete(struct bm25 *x, const uint64_t *keys, size_t n, struct errtext *et) MUST_CHECK;
/* What was put or deleted becomes visible, all at once. On failure it stays pending. */
enum err bm25_publish(struct bm25 *x, struct errtext *et) MUST_CHECK;
size_t bm25_count(struct bm25 *x); /* published items */
enum err bm25_search(struct bm25 *x, const struct str *terms, size_t n_terms, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* The score of each key (0: has none of the terms, or is not there). */
void bm25_scores(struct bm25 *x, const struct str *terms, size_t n_terms, const uint64_t *keys,
	size_t n, float *out);
/* Why an item scores as it does for these terms: one row per different term that it contains. */
size_t bm25_explain(struct bm25 *x, const struct str *terms, size_t n_terms, uint64_t key,
	struct bm25_term_score *out, size_t max);
/* The weight of each term over all published items: idf above. A term that no item contains has
 * the highest; df (may be NULL) tells. */
void bm25_idf(struct bm25 *x, const struct str *terms, size_t n_terms, float *idf, uint32_t *df);

#endif
