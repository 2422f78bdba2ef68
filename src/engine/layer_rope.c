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

void row_rope(float *x, size_t heads, size_t head_dim, const float *cs, size_t half, bool pairs)
{
	if (pairs)
		kern->rope_norm(x, cs, half, heads, head_dim);
	else
		kern->rope_neox(x, cs, half, heads, head_dim);
}
