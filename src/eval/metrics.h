/* Measures of ranked lists, and how sure they are. No state, no I/O; `croft eval` and the
 * benchmark use these very functions. tests/golden/eval holds what
 * trec_eval says of generated lists.
 *
 *	nDCG@10     sum of grade / log2(rank + 1) over the first ten, over that of the ideal list:
 *	            linear gains, as trec_eval and BEIR have it (Järvelin and Kekäläinen 2002)
 *	recall@n    judged relevant documents among the first n, over all of them
 *	MRR@10      1 / rank of the first relevant one among the first ten, else 0
 *	MAP         mean of the precision at each relevant document; those not found count 0
 *	P@10        relevant among the first ten, over ten, also when fewer were found
 *
 * A document is relevant when its grade is above 0; one that nobody judged is not. */
#ifndef EVAL_METRICS_H
#define EVAL_METRICS_H
#include "base/str.h"

enum eval_metric {
	EVAL_NDCG10,
	EVAL_RECALL10,
	EVAL_RECALL100,
	EVAL_MRR10,
	EVAL_MAP,
	EVAL_P10,
	EVAL_METRICS
};
extern const char *const eval_metric_names[EVAL_METRICS]; /* "nDCG@10" */
extern const char *const eval_metric_keys[EVAL_METRICS];  /* "ndcg_at_10", of a run's metric */

struct eval_judged {
	uint64_t document;
	double grade;
};

struct eval_scores {
	double v[EVAL_METRICS];
};

/* ranked: best first, each document once; judged: in any order, each document once. A query
 * without a relevant document has 0 of everything: callers leave it out, as trec_eval does. */
struct eval_scores eval_measure(
	const uint64_t *ranked, size_t n, const struct eval_judged *judged, size_t n_judged);
bool eval_any_relevant(const struct eval_judged *judged, size_t n);

/* ---- over queries ---- */

/* 95 % by the percentile bootstrap: queries are drawn with replacement (Efron 1979). */
struct eval_interval {
	double mean, low, high;
};
/* a[i], b[i]: of one query under two settings. p: of a permutation test that swaps the two at
 * random (Fisher; Smucker, Allan and Carterette 2007), two-sided, never 0. */
struct eval_difference {
	struct eval_interval of; /* mean of b - a, from the same draws for both */
	double p;
	size_t better, worse;
};

/* The same numbers for the same seed, on every machine. ERR_NOMEM. n > 0. */
enum err eval_bootstrap(const double *v, size_t n, uint64_t seed, unsigned resamples,
	struct eval_interval *out, struct errtext *et) MUST_CHECK;
enum err eval_compare(const double *a, const double *b, size_t n, uint64_t seed, unsigned resamples,
	struct eval_difference *out, struct errtext *et) MUST_CHECK;

/* A stream of numbers below `below`, for splits and trials too. */
uint64_t eval_random(uint64_t *state, uint64_t below);

#endif
