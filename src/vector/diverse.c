/* Maximal marginal relevance: n choices of n, each looking at each that is left. */
#include "vector/diverse.h"

#include <math.h>
#include <stdlib.h>

struct left {
	uint32_t at;
	float likest; /* to those chosen */
};

static size_t best_of(
	const struct left *left, size_t n, const float *relevance, float lambda, bool first)
{
	size_t best = 0;
	float score = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		float r = relevance[left[i].at];
		float x = first ? r : lambda * r - (1 - lambda) * left[i].likest;
		if (x > score) {
			score = x;
			best = i;
		}
	}
	return best;
}

enum err diverse_choose(const float *relevance, size_t n, size_t max, float lambda,
	diverse_fn alike, void *ctx, uint32_t *order, struct errtext *et)
{
	struct left *left = malloc((n + 1) * sizeof *left);
	if (!left)
		return err_set(et, ERR_NOMEM, "no memory to choose among hits");
	for (size_t i = 0; i < n; i++)
		left[i] = (struct left){(uint32_t)i, -INFINITY};
	for (size_t done = 0; done < max && n; done++) {
		size_t best = best_of(left, n, relevance, lambda, !done);
		uint32_t at = order[done] = left[best].at;
		memmove(&left[best], &left[best + 1], (--n - best) * sizeof *left);
		for (size_t i = 0; i < n; i++)
			left[i].likest = MAX(left[i].likest, alike(ctx, at, left[i].at));
	}
	free(left);
	return OK;
}
