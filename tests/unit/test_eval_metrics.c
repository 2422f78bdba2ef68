/* Measures by hand-computed cases, and what the bootstrap promises. */
#include "tap.h"
#include "base/json.h"
#include "base/os.h"
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

/* One line of tests/golden/eval/trec.jsonl (tools/oracle/trec.py). */
static void as_trec_eval_says(struct str line)
{
	enum { MOST = 400 };
	struct eval_judged judged[MOST];
	uint64_t ranked[MOST];
	struct errtext et;
	yyjson_doc *doc;
	yyjson_val *v;
	size_t i, n, n_judged = 0, n_ranked = 0;
	CHECK_OK(json_parse(line, &doc, &et), &et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	yyjson_arr_foreach(yyjson_obj_get(o, "judged"), i, n, v)
	{
		CHECK(n_judged < MOST);
		judged[n_judged++] = (struct eval_judged){yyjson_get_uint(yyjson_arr_get(v, 0)),
			yyjson_get_num(yyjson_arr_get(v, 1))};
	}
	yyjson_arr_foreach(yyjson_obj_get(o, "ranked"), i, n, v)
	{
		CHECK(n_ranked < MOST);
		ranked[n_ranked++] = yyjson_get_uint(v);
	}
	struct eval_scores s = eval_measure(ranked, n_ranked, judged, n_judged);
	yyjson_arr_foreach(yyjson_obj_get(o, "want"), i, n, v)
	{
		if (!near(s.v[i], yyjson_get_num(v)))
			FAIL("%s: %.15g, trec_eval says %.15g: %.*s", eval_metric_names[i], s.v[i],
				yyjson_get_num(v), STR_FMT(line));
	}
	CHECK_INT(n, EVAL_METRICS);
	yyjson_doc_free(doc);
}

static void test_eval_metrics__as_trec_eval(void)
{
	struct buf b = {0};
	struct errtext et;
	CHECK_OK(os_read_file(tap_source("tests/golden/eval/trec.jsonl"), 1 << 20, &b, &et), &et);
	struct str rest = buf_str(&b), line;
	size_t n = 0;
	while (str_next_line(&rest, &line))
		if (line.n) {
			as_trec_eval_says(line);
			n++;
		}
	CHECK_INT(n, 80);
	buf_free(&b);
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

TESTS(T(test_eval_metrics__by_hand), T(test_eval_metrics__as_trec_eval),
	T(test_eval_metrics__depths), T(test_eval_metrics__bootstrap))
