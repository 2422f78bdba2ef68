#include "engine/layers.h"

struct mlp {
	float *x;
	const float *up;
	size_t width;
	bool tanh_form;
};

static void silu_mul(void *arg, size_t from, size_t to)
{
	const struct mlp *a = arg;
	size_t at = from * a->width;
	kern->silu_mul(a->x + at, a->x + at, a->up + at, (to - from) * a->width);
}

void layer_silu_mul(struct kern_team *team, float *gate, const float *up, size_t n, size_t width)
{
	struct mlp a = {.x = gate, .up = up, .width = width};
	rows_run(team, n, silu_mul, &a);
}

static void gelu(void *arg, size_t from, size_t to)
{
	const struct mlp *a = arg;
	size_t at = from * a->width, n = (to - from) * a->width;
	if (a->tanh_form)
		kern->gelu_tanh(a->x + at, a->x + at, n);
	else
		kern->gelu_erf(a->x + at, a->x + at, n);
}

void layer_gelu(struct kern_team *team, float *x, size_t n, size_t width, bool tanh_form)
{
	struct mlp a = {.x = x, .width = width, .tanh_form = tanh_form};
	rows_run(team, n, gelu, &a);
}
