/* The arithmetic of bm25.h, for who keeps postings elsewhere than in its index and is to come to
 * the same scores. */
#ifndef VECTOR_BM25_SCORE_H
#define VECTOR_BM25_SCORE_H
#include "vector/bm25.h"

#include <math.h>

static inline float bm25_idf_of(uint64_t n_docs, uint64_t df)
{
	return (float)log(1 + ((double)n_docs - (double)df + 0.5) / ((double)df + 0.5));
}

/* What the idf multiplies. n_fields 0: one field, by the formula without weights. tf and len of
 * field f stand at f * tf_stride and f * len_stride. */
static inline float bm25_share_of(float k1, const struct bm25_field *fields, size_t n_fields,
	const float *average, const uint32_t *tf, size_t tf_stride, const uint32_t *len,
	size_t len_stride)
{
	if (!n_fields) {
		float b = fields->b;
		float norm = k1 * (1 - b + b * ((float)len[0] / average[0]));
		return (float)tf[0] / ((float)tf[0] + norm);
	}
	float x = 0;
	for (size_t f = 0; f < n_fields; f++) {
		uint32_t n = tf[f * tf_stride];
		float b = fields[f].b;
		if (n)
			x += fields[f].weight * (float)n /
			     (1 - b + b * ((float)len[f * len_stride] / average[f]));
	}
	return x / (k1 + x);
}

/* Where a term of a phrase stands in a field, ascending, and in the phrase. */
struct bm25_places {
	uint32_t *at;
	size_t n, cap;
	uint32_t offset;
};
/* How many places of the first term have the others behind them, with at most `slop` others
 * between. */
uint32_t bm25_phrase_count(const struct bm25_places *w, size_t n, uint32_t slop);

#endif
