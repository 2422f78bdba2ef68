/* Overlap and rank-biased overlap of lists, intervals: published values, and worked by hand. */
#include "tap.h"
#include "collection/agree.h"
#include "base/str.h"

#include <math.h>

#define LIST(...) (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / 8

static bool near(double a, double b, double by)
{
	return fabs(a - b) <= by;
}

static void test_collection_agree__lists(void)
{
	CHECK(agree_overlap(LIST(1, 2, 3), LIST(3, 2, 1)) == 1);
	CHECK(near(agree_overlap(LIST(1, 2, 3, 4), LIST(9, 2, 8, 1)), 0.5, 1e-12));
	CHECK(near(agree_overlap(LIST(1, 2), LIST(2, 5, 6, 7)), 0.25, 1e-12));
	CHECK(agree_overlap(NULL, 0, NULL, 0) == 1 && agree_overlap(LIST(1), NULL, 0) == 0);
	CHECK(near(agree_rbo(LIST(1, 2, 3), LIST(1, 2, 3)), 1, 1e-12));
	CHECK(agree_rbo(LIST(1, 2, 3), LIST(4, 5, 6)) == 0);
	/* agreement 0, 1, 1: 0.9^3 + 0.1 / 0.9 * (0.9^2 + 0.9^3) */
	CHECK(near(agree_rbo(LIST(1, 2, 3), LIST(2, 1, 3)), 0.9, 1e-12));
	/* what differs at the top counts more than at the end */
	CHECK(agree_rbo(LIST(1, 2, 3, 4), LIST(9, 2, 3, 4)) <
		agree_rbo(LIST(1, 2, 3, 4), LIST(1, 2, 3, 9)));
	CHECK(agree_rbo(NULL, 0, NULL, 0) == 1 && agree_rbo(LIST(1), NULL, 0) == 0);
}

/* Newcombe 1998, table I, the score method without continuity correction. */
static void test_collection_agree__wilson(void)
{
	static const struct {
		double x, n, low, high;
	} published[] = {{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718}};
	for (size_t i = 0; i < ARRAY_LEN(published); i++) {
		struct interval w = agree_wilson(published[i].x / published[i].n, published[i].n);
		CHECK(near(w.low, published[i].low, 1e-4));
		CHECK(near(w.high, published[i].high, 1e-4));
	}
	CHECK(agree_wilson(1, 50).low < 0.95 && near(agree_wilson(1, 50).high, 1, 1e-12));
}

static void test_collection_agree__bootstrap(void)
{
	double v[400];
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		v[i] = (double)(i % 4) / 3; /* mean 1/2, standard deviation 0.3727 */
	struct interval b = agree_bootstrap(v, ARRAY_LEN(v)), again;
	double half = 1.96 * 0.3727 / 20;
	CHECK(near(b.mean, 0.5, 1e-12));
	CHECK(near(b.low, 0.5 - half, 0.006) && near(b.high, 0.5 + half, 0.006));
	again = agree_bootstrap(v, ARRAY_LEN(v));
	CHECK(again.low == b.low && again.high == b.high);
}

TESTS(T(test_collection_agree__lists), T(test_collection_agree__wilson),
	T(test_collection_agree__bootstrap))
