/* The formulas of metrics.h, the bootstrap and the permutation test. */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

const char *const eval_metric_names[EVAL_METRICS] = {
	"nDCG@10", "recall@10", "recall@100", "MRR@10", "MAP", "P@10"};
const char *const eval_metric_keys[EVAL_METRICS] = {
	"ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10", "map", "precision_at_10"};

enum { TOP = 10, DEEP = 100 };

static double grade_of(const struct eval_judged *judged, size_t n, uint64_t document)
{
	for (size_t i = 0; i < n; i++)
		if (judged[i].document == document)
			return judged[i].grade;
	return 0;
}

/* The ten greatest grades, best first: by insertion, as judgements are few. */
static double ideal_gain(const struct eval_judged *judged, size_t n, size_t *relevant)
{
	double best[TOP] = {0}, sum = 0;
	for (size_t i = 0; i < n; i++) {
		double g = judged[i].grade;
		if (!(g > 0))
			continue;
		++*relevant;
		for (size_t k = 0; k < TOP; k++)
			if (g > best[k]) {
				double t = best[k];
				best[k] = g;
				g = t;
			}
	}
	for (size_t k = 0; k < TOP; k++)
		sum += best[k] / log2((double)k + 2);
	return sum;
}

bool eval_any_relevant(const struct eval_judged *judged, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (judged[i].grade > 0)
			return true;
	return false;
}

struct eval_scores eval_measure(
	const uint64_t *ranked, size_t n, const struct eval_judged *judged, size_t n_judged)
{
	struct eval_scores s = {0};
	size_t relevant = 0, found = 0;
	double ideal = ideal_gain(judged, n_judged, &relevant);
	if (!relevant)
		return s;
	for (size_t i = 0; i < n; i++) {
		double g = grade_of(judged, n_judged, ranked[i]);
		if (!(g > 0))
			continue;
		found++;
		s.v[EVAL_MAP] += (double)found / (double)(i + 1);
		s.v[EVAL_RECALL100] += i < DEEP;
		if (i >= TOP)
			continue;
		s.v[EVAL_NDCG10] += g / log2((double)i + 2);
		s.v[EVAL_RECALL10]++;
		if (found == 1)
			s.v[EVAL_MRR10] = 1 / (double)(i + 1);
	}
	s.v[EVAL_P10] = s.v[EVAL_RECALL10] / TOP;
	s.v[EVAL_NDCG10] /= ideal;
	s.v[EVAL_RECALL10] /= (double)relevant;
	s.v[EVAL_RECALL100] /= (double)relevant;
	s.v[EVAL_MAP] /= (double)relevant;
	return s;
}

/* ---- over queries ---- */

/* splitmix64 (Steele, Lea and Flood 2014); the top bits of the product, as Lemire has it. */
uint64_t eval_random(uint64_t *state, uint64_t below)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	return (uint64_t)(((unsigned __int128)z * below) >> 64);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double mean_of(const double *v, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return n ? sum / (double)n : 0;
}

/* Between the two nearest of the sorted values. */
static double quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;
	double rest = at - (double)i;
	return i + 1 < n ? sorted[i] + rest * (sorted[i + 1] - sorted[i]) : sorted[i];
}

enum err eval_bootstrap(const double *v, size_t n, uint64_t seed, unsigned resamples,
	struct eval_interval *out, struct errtext *et)
{
	resamples = MAX(resamples, 1u);
	double *means = malloc(resamples * sizeof *means);
	if (!means)
		return err_set(et, ERR_NOMEM, "no memory for %u resamples", resamples);
	for (unsigned r = 0; r < resamples; r++) {
		double sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += v[eval_random(&seed, n)];
		means[r] = sum / (double)n;
	}
	qsort(means, resamples, sizeof *means, by_value);
	*out = (struct eval_interval){.mean = mean_of(v, n),
		.low = quantile(means, resamples, 0.025),
		.high = quantile(means, resamples, 0.975)};
	free(means);
	return OK;
}

/* How often a mean at least as far from 0 comes about when each sign is a coin's. */
static double permutation_p(const double *d, size_t n, uint64_t seed, unsigned resamples)
{
	double seen = fabs(mean_of(d, n)) * (double)n;
	unsigned far = 0;
	for (unsigned r = 0; r < resamples; r++) {
		double sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += eval_random(&seed, 2) ? d[i] : -d[i];
		far += fabs(sum) >= seen - 1e-12;
	}
	return (far + 1.0) / (resamples + 1.0);
}

enum err eval_compare(const double *a, const double *b, size_t n, uint64_t seed, unsigned resamples,
	struct eval_difference *out, struct errtext *et)
{
	struct eval_difference got = {0};
	double *d = calloc(n + 1, sizeof *d);
	if (!d)
		return err_set(et, ERR_NOMEM, "no memory to compare %zu queries", n);
	for (size_t i = 0; i < n; i++) {
		d[i] = b[i] - a[i];
		got.better += d[i] > 0;
		got.worse += d[i] < 0;
	}
	enum err e = eval_bootstrap(d, n, seed, resamples, &got.of, et);
	if (!e) {
		got.p = permutation_p(d, n, seed ^ 0x5DEECE66D, resamples);
		*out = got;
	}
	free(d);
	return e;
}
