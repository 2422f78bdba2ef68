/* Lists made less alike: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998). */
#ifndef VECTOR_DIVERSE_H
#define VECTOR_DIVERSE_H
#include "base/str.h"

/* How alike two of the list are; higher is more, on the scale of the relevance. */
typedef float (*diverse_fn)(void *ctx, size_t a, size_t b);

/* The most relevant first, then again and again the one with the highest
 *	lambda * relevance - (1 - lambda) * (likeness to the most alike of those chosen).
 * Of equal ones the earlier. order[min(max, n)]: their places in the list. */
enum err diverse_choose(const float *relevance, size_t n, size_t max, float lambda,
	diverse_fn alike, void *ctx, uint32_t *order, struct errtext *et) MUST_CHECK;

#endif
