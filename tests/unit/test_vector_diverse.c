#include "tap.h"
#include "vector/diverse.h"

#include <math.h>
#include <stdlib.h>

enum { N = 40 };

static float likeness[N][N];

static float alike(void *ctx, size_t a, size_t b)
{
	return likeness[a][b];
}

/* The definition, read aloud. */
static void by_definition(const float *relevance, size_t max, float lambda, uint32_t *order)
{
	bool taken[N] = {false};
	for (size_t done = 0; done < max; done++) {
		size_t best = N;
		float score = 0;
		for (size_t i = 0; i < N; i++) {
			float likest = -INFINITY;
			for (size_t j = 0; j < done; j++)
				likest = MAX(likest, likeness[order[j]][i]);
			float x =
				done ? lambda * relevance[i] - (1 - lambda) * likest : relevance[i];
			if (!taken[i] && (best == N || x > score)) {
				best = i;
				score = x;
			}
		}
		taken[best] = true;
		order[done] = (uint32_t)best;
	}
}

static void test_vector_diverse__as_defined(void)
{
	struct errtext et = {0};
	float relevance[N];
	srand(7);
	for (int round = 0; round < 200; round++) {
		uint32_t got[N], want[N];
		size_t max = (size_t)(rand() % N) + 1;
		float lambda = (float)(rand() % 11) / 10;
		for (size_t i = 0; i < N; i++) {
			relevance[i] = (float)(rand() % 8) / 8; /* with ties */
			for (size_t j = 0; j <= i; j++)
				likeness[i][j] = likeness[j][i] = (float)(rand() % 8) / 8;
		}
		by_definition(relevance, max, lambda, want);
		CHECK_OK(diverse_choose(relevance, N, max, lambda, alike, NULL, got, &et), &et);
		CHECK(memcmp(got, want, max * sizeof *got) == 0);
	}
}

static void test_vector_diverse__edges(void)
{
	struct errtext et = {0};
	float relevance[] = {0.1f, 0.9f};
	uint32_t order[2] = {9, 9};
	CHECK_OK(diverse_choose(relevance, 0, 3, 0.5f, alike, NULL, order, &et), &et);
	CHECK_INT(order[0], 9);
	CHECK_OK(diverse_choose(relevance, 2, 5, 0.5f, alike, NULL, order, &et), &et);
	CHECK(order[0] == 1 && order[1] == 0);
}

TESTS(T(test_vector_diverse__as_defined), T(test_vector_diverse__edges))
