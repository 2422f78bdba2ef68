/* Measures by hand-computed cases, and what the bootstrap promises. */
#include "tap.h"
#include "eval/metrics.h"

#include <math.h>

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-12;
}

static void test_eval_metrics__by_hand(void)
{
	/* relevant: 1 (grade 3), 2 (grade 1), 9 (never found); 5 was judged irrelevant */
	const struct eval_judged judged[] = {{1, 3}, {2, 1}, {5, 0}, {9, 2}};
	const uint64_t ranked[] = {5, 1, 7, 2};
	struct eval_scores s = eval_measure(ranked, 4, judged, 4);
	double ideal = 3 + 2 / log2(3) + 1 / log2(4);
	CHECK(near(s.v[EVAL_NDCG10], (3 / log2(3) + 1 / log2(5)) / ideal));
	CHECK(near(s.v[EVAL_RECALL10], 2.0 / 3));
	CHECK(near(s.v[EVAL_RECALL100], 2.0 / 3));
	CHECK(near(s.v[EVAL_MRR10], 0.5));
	CHECK(near(s.v[EVAL_MAP], (1.0 / 2 + 2.0 / 4) / 3));
	CHECK(near(s.v[EVAL_P10], 0.2));
}

static void test_eval_metrics__depths(void)
{
	uint64_t ranked[120];
	const struct eval_judged judged[] = {{10, 1}, {11, 1}, {110, 1}};
	for (uint64_t i = 0; i < 120; i++)
		ranked[i] = i;
	struct eval_scores s = eval_measure(ranked, 120, judged, 3);
	CHECK(near(s.v[EVAL_NDCG10], 0));
	CHECK(near(s.v[EVAL_MRR10], 0));
	CHECK(near(s.v[EVAL_RECALL10], 0));
	CHECK(near(s.v[EVAL_RECALL100], 2.0 / 3));
	CHECK(near(s.v[EVAL_MAP], (1.0 / 11 + 2.0 / 12 + 3.0 / 111) / 3));
	s = eval_measure(ranked, 120, &(struct eval_judged){3, 0}, 1);
	CHECK(near(s.v[EVAL_NDCG10], 0) && near(s.v[EVAL_MAP], 0));
	CHECK(!eval_any_relevant(&(struct eval_judged){3, 0}, 1));
}

static void test_eval_metrics__bootstrap(void)
{
	struct errtext et = {0};
	double a[200], b[200];
	uint64_t seed = 7;
	for (int i = 0; i < 200; i++) {
		a[i] = (double)eval_random(&seed, 1000) / 1000;
		b[i] = a[i] + 0.05 + (double)eval_random(&seed, 100) / 10000;
	}
	struct eval_interval x, y, z;
	CHECK_OK(eval_bootstrap(a, 200, 1, 1000, &x, &et), &et);
	CHECK_OK(eval_bootstrap(a, 200, 1, 1000, &y, &et), &et);
	CHECK_OK(eval_bootstrap(a, 200, 2, 1000, &z, &et), &et);
	CHECK(!memcmp(&x, &y, sizeof x));
	CHECK(near(x.mean, z.mean) && !near(x.low, z.low));
	CHECK(x.low < x.mean && x.mean < x.high);
	/* uniform on 0..1: a standard error of 0.0204, so the interval is about 0.08 wide */
	CHECK(x.high - x.low > 0.06 && x.high - x.low < 0.1);
	struct eval_difference d;
	CHECK_OK(eval_compare(a, b, 200, 1, 1000, &d, &et), &et);
	CHECK(d.better == 200 && d.worse == 0 && d.of.low > 0.05 && near(d.p, 1.0 / 1001));
	CHECK_OK(eval_compare(a, a, 200, 1, 1000, &d, &et), &et);
	CHECK(near(d.p, 1) && near(d.of.low, 0) && near(d.of.high, 0));
}

TESTS(T(test_eval_metrics__by_hand), T(test_eval_metrics__depths), T(test_eval_metrics__bootstrap))
