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

struct rounding {
	struct rows_step before;
	struct kern_act *act;
	bool int8, half;
};

/* Row by row, so that a row is rounded where it was made. */
static void make_and_round(void *arg, size_t from, size_t to)
{
	const struct rounding *r = arg;
	for (size_t i = from; i < to; i++) {
		if (r->before.fn)
			r->before.fn(r->before.arg, i, i + 1);
		if (r->int8)
			kern_act_quant(r->act, i, i + 1);
		if (r->half)
			kern_act_half(r->act, i, i + 1);
	}
}

void layer_linear(struct kern_team *team, struct rows_step before, const float *x, size_t n,
	size_t k, void *mem, const struct linear *out, size_t n_out)
{
	struct kern_act a;
	struct kern_mul jobs[LINEAR_MAX];
	struct rounding r = {before, &a, false, false};
	kern_act_init(&a, mem, x, k, n, k);
	for (size_t i = 0; i < n_out; i++) {
		const struct linear *l = &out[i];
		jobs[i] = (struct kern_mul){l->w, &a, l->y, l->w->n, l->bias};
		r.int8 |= kern_type_int8(l->w->type);
		r.half |= kern_type_bf16(l->w->type);
	}
	if (before.fn || r.int8 || r.half)
		rows_run(team, n, make_and_round, &r);
	kern_matmul_team(team, jobs, n_out);
}
