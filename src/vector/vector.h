/* Vector and keyword indexes, in memory, over items with a 64-bit key. They know nothing of
 * documents or stores: whoever owns the items rebuilds an index from them or loads a snapshot.
 *
 * Any thread may call anything. Writers take turns; a search works on the state that was current
 * when it began, without waiting for a writer, and a published change is seen by every search that
 * begins later. A failed change (ERR_NOMEM, ERR_INVALID) leaves the index as it was.
 * `keep` filters inside the search (NULL: all), so that k hits are found whenever they exist.
 *
 * Keyword search is in bm25.h.
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

#endif
