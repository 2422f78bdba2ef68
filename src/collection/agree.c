/* Ranked lists compared; intervals of means. */
#include "collection/agree.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>

static size_t common(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
	size_t n = 0;
	for (size_t i = 0; i < n_a; i++)
		for (size_t j = 0; j < n_b; j++)
			n += a[i] == b[j];
	return n;
}

double agree_overlap(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
	n_a = MIN(n_a, (size_t)AGREE_DEPTH_MAX);
	n_b = MIN(n_b, (size_t)AGREE_DEPTH_MAX);
	size_t longer = MAX(n_a, n_b);
	return longer ? (double)common(a, n_a, b, n_b) / (double)longer : 1;
}

double agree_rbo(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
	const double p = 0.9;
	size_t depth = MIN(MIN(n_a, n_b), (size_t)AGREE_DEPTH_MAX);
	double sum = 0, weight = 1;
	if (!depth)
		return n_a || n_b ? 0 : 1;
	for (size_t d = 1; d <= depth; d++) {
		weight *= p;
		sum += (double)common(a, d, b, d) / (double)d * weight;
	}
	return (double)common(a, depth, b, depth) / (double)depth * weight + (1 - p) / p * sum;
}

/* ---- intervals ---- */

static uint64_t next(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

struct interval agree_bootstrap(const double *v, size_t n)
{
	enum { RESAMPLES = 1000, TAIL = RESAMPLES / 40 };
	double means[RESAMPLES], sum = 0;
	uint64_t state = 1;
	for (size_t i = 0; i < n; i++)
		sum += v[i];
	for (size_t r = 0; r < RESAMPLES; r++) {
		means[r] = 0;
		for (size_t i = 0; i < n; i++)
			means[r] += v[(size_t)((next(&state) >> 32) * n >> 32)];
		means[r] /= (double)n;
	}
	qsort(means, RESAMPLES, sizeof *means, by_size);
	return (struct interval){sum / (double)n, means[TAIL], means[RESAMPLES - 1 - TAIL]};
}

struct interval agree_wilson(double mean, double n)
{
	const double z = 1.959964;
	double middle = (mean + z * z / (2 * n)) / (1 + z * z / n);
	double half = z / (1 + z * z / n) * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n));
	return (struct interval){mean, MAX(middle - half, 0.0), MIN(middle + half, 1.0)};
}
