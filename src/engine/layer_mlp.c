#include "engine/layers.h"

void rows_silu_mul(void *mlp, size_t from, size_t to)
{
	const struct mlp *a = mlp;
	size_t at = from * a->width;
	kern->silu_mul(a->x + at, a->x + at, a->up + at, (to - from) * a->width);
}

void rows_gelu(void *mlp, size_t from, size_t to)
{
	const struct mlp *a = mlp;
	size_t at = from * a->width, n = (to - from) * a->width;
	if (a->tanh_form)
		kern->gelu_tanh(a->x + at, a->x + at, n);
	else
		kern->gelu_erf(a->x + at, a->x + at, n);
}
