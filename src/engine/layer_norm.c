#include "engine/layers.h"

struct norm {
	float *x, *y;
	const float *r, *w, *b;
	size_t width;
	float eps;
};

static void add_rmsnorm(void *arg, size_t from, size_t to)
{
	const struct norm *a = arg;
	for (size_t i = from * a->width; i < to * a->width; i += a->width) {
		if (a->r)
			kern->add(a->x + i, a->x + i, a->r + i, a->width);
		kern->rmsnorm(a->y + i, a->x + i, a->w, a->width, a->eps);
	}
}

void layer_add_rmsnorm(struct kern_team *team, float *x, const float *r, size_t n, size_t width,
	const float *w, float eps, float *y)
{
	struct norm a = {.x = x, .y = y, .r = r, .w = w, .width = width, .eps = eps};
	rows_run(team, n, add_rmsnorm, &a);
}

static void add_layernorm(void *arg, size_t from, size_t to)
{
	const struct norm *a = arg;
	for (size_t i = from * a->width; i < to * a->width; i += a->width) {
		if (a->r)
			kern->add(a->x + i, a->x + i, a->r + i, a->width);
		kern->layernorm(a->x + i, a->x + i, a->w, a->b, a->width, a->eps);
	}
}

void layer_add_layernorm(struct kern_team *team, float *x, const float *r, size_t n, size_t width,
	const float *w, const float *b, float eps)
{
	struct norm a = {.x = x, .r = r, .w = w, .b = b, .width = width, .eps = eps};
	rows_run(team, n, add_layernorm, &a);
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

struct head_norm {
	float *x;
	const float *w;
	size_t heads, dim;
	float eps;
};

static void head_rmsnorm(void *arg, size_t from, size_t to)
{
	const struct head_norm *a = arg;
	for (size_t i = from * a->heads; i < to * a->heads; i++)
		kern->rmsnorm(a->x + i * a->dim, a->x + i * a->dim, a->w, a->dim, a->eps);
}

void layer_head_rmsnorm(struct kern_team *team, float *x, size_t n, size_t heads, size_t head_dim,
	const float *w, float eps)
{
	struct head_norm a = {x, w, heads, head_dim, eps};
	rows_run(team, n, head_rmsnorm, &a);
}
