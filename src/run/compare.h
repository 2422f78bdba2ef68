/* Whether a run's results came again: the same, within a tolerance, or diverged, and where first.
 *
 * Two numbers agree within a tolerance when |a - b| <= absolute + relative * max(|a|, |b|); two
 * NaNs are the same, infinities only their own. */
#ifndef RUN_COMPARE_H
#define RUN_COMPARE_H
#include "base/str.h"

enum verdict { REPRODUCED, WITHIN_TOLERANCE, DIVERGED };
const char *verdict_word(enum verdict v); /* "reproduced", "within_tolerance", "diverged" */

struct tolerance {
	double relative, absolute;
};

/* What differs, in words: the first place outside the tolerance, else the largest difference
 * within.
 * "" when nothing differs. */
struct difference {
	char where[200];
};

enum verdict compare_number(double a, double b, const struct tolerance *t);

struct sample {
	int64_t step;
	double value;
};

/* Series in the order of their steps. A point that only one side has is a divergence. */
enum verdict compare_series(const struct sample *a, size_t n_a, const struct sample *b, size_t n_b,
	const struct tolerance *t, struct difference *d);

/* Two files. Equal bytes are the same. .npy files and safetensors of floats are compared element by
 * element; texts token by token, numbers in them as numbers (so that a line of a log or of a JSON
 * file may differ in its last digits); anything else that is not equal has diverged. */
enum verdict compare_bytes(
	struct str a, struct str b, const struct tolerance *t, struct difference *d);

#endif
