/* Attention over ragged sequences: a task is one key/value head and a block of tokens of one
 * sequence, so that long prompts and many short ones both fill the team. */
#include "engine/layers.h"

#include <math.h>

enum { BLOCK = 64 };

struct attention {
	const struct attn_shape *s;
	const struct attn_seq *seqs;
	size_t n_seqs;
};

size_t attn_scratch(size_t n_pos_max, size_t head_dim)
{
	return (kern_attn_scratch(n_pos_max, head_dim) + 15) / 16 * 16;
}

static size_t tasks(const struct attn_shape *s, const struct attn_seq *q)
{
	return (q->n_tok + BLOCK - 1) / BLOCK * s->kv_heads;
}

/* The last sequence whose first task is not after t. */
static const struct attn_seq *owner(const struct attention *a, size_t t)
{
	size_t lo = 0, hi = a->n_seqs;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (a->seqs[mid].first <= t)
			lo = mid;
		else
			hi = mid;
	}
	return &a->seqs[lo];
}

static void task(void *arg, size_t t, unsigned thread)
{
	const struct attention *a = arg;
	const struct attn_shape *s = a->s;
	const struct attn_seq *q = owner(a, t);
	size_t head = (t - q->first) % s->kv_heads, from = (t - q->first) / s->kv_heads * BLOCK;
	size_t n_tok = MIN(q->n_tok - from, (size_t)BLOCK), group = s->heads / s->kv_heads;
	size_t row = s->heads * s->head_dim, at = from * row + head * group * s->head_dim;
	const char *k = (const char *)q->k + head * s->kv_head,
		   *v = (const char *)q->v + head * s->kv_head;
	kern_attention(&(struct kern_attn){
		.kv_type = s->kv_type,
		.causal = s->causal,
		.n_tok = n_tok,
		.n_group = group,
		.head_dim = s->head_dim,
		.n_pos = s->causal ? q->pos0 + from + n_tok : q->n_pos,
		.pos0 = q->pos0 + from,
		.window = s->window,
		.q = q->q + at,
		.q_tok = row,
		.q_head = s->head_dim,
		.k = k,
		.v = v,
		.k_pos = s->kv_pos,
		.v_pos = s->kv_pos,
		.k_panels = s->k_panels,
		.blocks = q->blocks,
		.block = s->block,
		.k_factor = (const float *)(k + s->factors),
		.v_factor = (const float *)(v + s->factors),
		.scale = 1 / sqrtf((float)s->head_dim),
		.out = q->out + at,
		.out_tok = row,
		.out_head = s->head_dim,
		.scratch = s->scratch + thread * s->scratch_each,
	});
}

void layer_attention(
	struct kern_team *team, const struct attn_shape *s, struct attn_seq *seqs, size_t n_seqs)
{
	enum { WORTH = 1 << 15 }; /* products that pay for waking the team */
	size_t n = 0, work = 0;
	for (size_t i = 0; i < n_seqs; i++) {
		seqs[i].first = n;
		n += tasks(s, &seqs[i]);
		work += seqs[i].n_tok * seqs[i].n_pos * s->heads * s->head_dim;
	}
	struct attention a = {s, seqs, n_seqs};
	kern_team_run(work < WORTH ? NULL : team, task, &a, n);
}
