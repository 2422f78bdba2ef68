/* How much two ranked lists agree, and how sure means of such numbers are. No state, no I/O.
 *
 *	overlap@k  items that are in both lists, over the length of the longer one
 *	RBO        rank-biased overlap with persistence 0.9, extrapolated from what was seen
 *(Webber, Moffat and Zobel 2010, equation 32): the first ranks count most intervals  95 %: of a
 *mean by the percentile bootstrap (Efron 1979), of a share by Wilson (1927) */
#ifndef COLLECTION_AGREE_H
#define COLLECTION_AGREE_H
#include "base/err.h"

#include <stdint.h>

struct interval {
	double mean, low, high;
};

enum { AGREE_DEPTH_MAX = 100 };

/* Keys, each once in a list; depths up to AGREE_DEPTH_MAX count. Two empty lists agree: 1. */
double agree_overlap(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b);
/* As deep as the shorter list. */
double agree_rbo(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b);

/* n > 0; the same numbers for the same values. */
struct interval agree_bootstrap(const double *v, size_t n);
/* Of n trials with this mean. Values between 0 and 1 vary less than coins do: for them it is wide
 * enough, and it is not of width 0 when all are 1. n > 0. */
struct interval agree_wilson(double mean, double n);

#endif
