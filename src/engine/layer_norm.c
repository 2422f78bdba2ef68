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

static void add_rows(void *arg, size_t from, size_t to)
{
	const struct norm *a = arg;
	size_t at = from * a->width;
	kern->add(a->x + at, a->x + at, a->r + at, (to - from) * a->width);
}

void layer_add(struct kern_team *team, float *x, const float *r, size_t n, size_t width)
{
	struct norm a = {.x = x, .r = r, .width = width};
	rows_run(team, n, add_rows, &a);
}

void row_head_rmsnorm(float *x, size_t heads, size_t head_dim, const float *w, float eps)
{
	for (size_t h = 0; h < heads; h++)
		kern->rmsnorm(x + h * head_dim, x + h * head_dim, w, head_dim, eps);
}
