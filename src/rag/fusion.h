/* One ranked list from two indexes. docs/internals/fusion.md tells why it is so and what was
 * measured; the benchmark runs this very code. Knows nothing of documents.
 *
 *	score = share + 2 * fit^3 * cosine
 *
 *	share   the BM25 score over the greatest that the query could have, the idf of all its
 *	        words: how much of what the query asks for the passage has, 0..1. A query of two
 *	        words and one of a hundred are on one scale.
 *	cosine  of the embeddings, as the model was trained to compare it: not stretched to the
 *	        range that the candidates happen to have, so that a side without an opinion stays
 *	        without one.
 *	fit     how well the embedding model's vocabulary knows the query: 1 when every word is
 *	        one token, near 0 when words fall to pieces or are unknown (another language, part
 *	        numbers), where the model has nothing to say. */
#ifndef RAG_FUSION_H
#define RAG_FUSION_H
#include "engine/tokenizer.h"
#include "rag/rag.h"
#include "vector/bm25.h"
#include "vector/index.h"

struct fused {
	uint64_t key;
	float score;                    /* fused for hybrid, else the method's own */
	float dense, bm25;              /* each method's own score */
	uint32_t dense_rank, bm25_rank; /* from 1; 0: not among that side's candidates */
};

struct fusion_query {
	enum rag_method method;
	const struct str *terms;
	const uint32_t *word_at; /* terms of one word have the same; NULL: each its own */
	size_t n_terms;
	const float *vector; /* NULL: the keyword side alone */
	float fit;           /* rag_fit() */
	float balance;       /* multiplies the cosine's weight; 0: 1 */
	vector_keep_fn keep;
	void *ctx;
	uint64_t n_keep; /* about how many items keep accepts; 0: unknown */
	bool exact;      /* every vector is compared, however many there are */
};

struct fusion_info {            /* why; for the run and for `croft search` */
	float weight;           /* of the cosine */
	float keyword;          /* what BM25 scores were multiplied by */
	float fit, evidence;    /* the greatest possible BM25 score */
	size_t n_dense, n_bm25; /* candidates */
	enum vindex_how how;    /* the dense ones were found */
	uint64_t compared;      /* vectors */
};

/* 0..1; the query's words are weighed by their tokens. 1 for a text without words. */
float rag_fit(const struct tokenizer *tk, struct str query);

/* What each different word of the query weighs: the greatest idf of its terms that some item
 * contains, or that of an unknown one, at its first term; 0 at its others. */
void rag_word_weights(
	struct bm25 *x, const struct str *terms, const uint32_t *word_at, size_t n, float *weights);

/* The k best into out (room for k), best first. info may be NULL. */
enum err rag_rank(struct vindex *d, struct bm25 *x, const struct fusion_query *q, size_t k,
	struct fused *out, size_t *n, struct fusion_info *info, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

/* Lists of several questions as one: a key has the best of its scores, which are on one scale (of
 * rag_rank's, the share of the greatest that there could be). List i of n[i] lies behind the ones
 * before it in `all`. Returns how many keys there are, best first, at the beginning of `all`.
 * Ranks say less here: every list has a first, also one of a question that nothing answers. */
size_t rag_merge(struct fused *all, const size_t *n, size_t n_lists);
/* Both scores of each key for this query, and no ranks. */
enum err rag_score(struct vindex *d, struct bm25 *x, const struct fusion_query *q,
	struct fused *list, size_t n, struct errtext *et) MUST_CHECK;

#endif
