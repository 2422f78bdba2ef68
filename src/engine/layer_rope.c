#include "engine/layers.h"

#include <math.h>

struct angles {
	const uint32_t *pos;
	const double *inv_freq;
	size_t half;
	float *cs;
};

static void angles(void *arg, size_t from, size_t to)
{
	const struct angles *a = arg;
	for (size_t i = from; i < to; i++) {
		float *c = a->cs + i * 2 * a->half;
		for (size_t j = 0; j < a->half; j++) {
			double s, co;
			sincos(a->pos[i] * a->inv_freq[j], &s, &co);
			c[j] = (float)co;
			c[a->half + j] = (float)s;
		}
	}
}

void rope_angles(struct kern_team *team, const uint32_t *pos, size_t n, const double *inv_freq,
	size_t half, float *cs)
{
	struct angles a = {pos, inv_freq, half, cs};
	rows_run(team, n, angles, &a);
}

struct rope {
	float *x;
	const float *cs;
	size_t heads, dim, half;
	bool pairs;
};

static void rope(void *arg, size_t from, size_t to)
{
	const struct rope *a = arg;
	for (size_t i = from; i < to; i++) {
		float *x = a->x + i * a->heads * a->dim;
		const float *cs = a->cs + i * 2 * a->half;
		if (a->pairs)
			kern->rope_norm(x, cs, a->half, a->heads, a->dim);
		else
			kern->rope_neox(x, cs, a->half, a->heads, a->dim);
	}
}

void layer_rope(struct kern_team *team, float *x, size_t n, size_t heads, size_t head_dim,
	const float *cs, size_t half, bool pairs)
{
	struct rope a = {x, cs, heads, head_dim, half, pairs};
	rows_run(team, n, rope, &a);
}
