#include "engine/layers.h"

void rows_add_rmsnorm(void *norm, size_t from, size_t to)
{
	const struct norm *a = norm;
	for (size_t i = from * a->width; i < to * a->width; i += a->width) {
		if (a->r)
			kern->add(a->x + i, a->x + i, a->r + i, a->width);
		kern->rmsnorm(a->y + i, a->x + i, a->w, a->width, a->eps);
	}
}

void rows_add_layernorm(void *norm, size_t from, size_t to)
{
	const struct norm *a = norm;
	for (size_t i = from * a->width; i < to * a->width; i += a->width) {
		if (a->r)
			kern->add(a->x + i, a->x + i, a->r + i, a->width);
		kern->layernorm(a->x + i, a->x + i, a->w, a->b, a->width, a->eps);
	}
}

void row_head_rmsnorm(float *x, size_t heads, size_t head_dim, const float *w, float eps)
{
	for (size_t h = 0; h < heads; h++)
		kern->rmsnorm(x + h * head_dim, x + h * head_dim, w, head_dim, eps);
}
