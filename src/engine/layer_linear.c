#include "engine/layers.h"

enum { LINEAR_MAX = 8, ROWS_ALONE = 4, ROWS_CHUNK = 8 };

struct rows_job {
	rows_fn fn;
	void *arg;
	size_t n, step;
};

static void rows_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct rows_job *j = arg;
	j->fn(j->arg, chunk * j->step, MIN((chunk + 1) * j->step, j->n));
}

void rows_run(struct kern_team *team, size_t n, rows_fn fn, void *arg)
{
	if (n <= ROWS_ALONE || kern_team_size(team) == 1) {
		fn(arg, 0, n);
		return;
	}
	struct rows_job j = {fn, arg, n, ROWS_CHUNK};
	kern_team_run(team, rows_chunk, &j, (n + ROWS_CHUNK - 1) / ROWS_CHUNK);
}

void layer_linear(struct kern_team *team, const float *x, size_t n, size_t k, void *mem,
	const struct linear *out, size_t n_out)
{
	struct kern_act a;
	struct kern_mul jobs[LINEAR_MAX];
	bool int8 = false, half = false;
	kern_act_init(&a, mem, x, k, n, k);
	for (size_t i = 0; i < n_out; i++) {
		const struct linear *l = &out[i];
		jobs[i] = (struct kern_mul){l->w, &a, l->y, l->w->n, l->bias};
		int8 |= kern_type_int8(l->w->type);
		half |= kern_type_bf16(l->w->type);
	}
	if (int8)
		kern_act_quant_team(team, &a);
	if (half)
		kern_act_half_team(team, &a);
	kern_matmul_team(team, jobs, n_out);
}
