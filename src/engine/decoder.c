/* A decoder's pass: the tokens of several sequences at once, each after what its sequence's keys
 * and values hold already. */
#include "engine/model_int.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "engine/adapter_int.h"
#include "engine/layers.h"

/* ---- keys and values ------------------------------------------------------------------------- */

/* The strides of n blocks, at least one; false when they overflow. */
static bool kv_shape(const struct model *m, uint32_t n, bool q8, struct kv *out)
{
	const struct hparams *hp = &m->hp;
	size_t each = q8 ? sizeof(int8_t) : sizeof(kern_f16);
	struct kv kv = {.q8 = q8, .n_blocks = n};
	if (__builtin_mul_overflow(KV_BLOCK * each, hp->head_dim, &kv.block) ||
		__builtin_add_overflow(kv.block, q8 ? KV_BLOCK * sizeof(float) : 0, &kv.block) ||
		__builtin_mul_overflow(kv.block, n, &kv.head) ||
		__builtin_mul_overflow(kv.head, 2 * (size_t)hp->kv_heads, &kv.layer) ||
		__builtin_mul_overflow(kv.layer, hp->layers, &kv.bytes))
		return false;
	*out = kv;
	return true;
}

size_t kv_block_bytes(const struct model *m, bool q8)
{
	struct kv kv;
	return kv_shape(m, 1, q8, &kv) ? kv.bytes : 0;
}

enum err kv_new(
	const struct model *m, uint32_t n_blocks, bool q8, struct kv *out, struct errtext *et)
{
	struct kv kv;
	if (!kv_shape(m, n_blocks, q8, &kv))
		return err_set(et, ERR_TOO_LARGE, "keys and values of %llu tokens are too many",
			(unsigned long long)n_blocks * KV_BLOCK);
	kv.mem = mem_get(kv.bytes, false);
	if (!kv.mem)
		return err_set(
			et, ERR_NOMEM, "no memory for %zu bytes of keys and values", kv.bytes);
	*out = kv;
	return OK;
}

void kv_free(struct kv *kv)
{
	mem_put(kv->mem, kv->bytes);
	*kv = (struct kv){0};
}

/* Head 0's part of a block of a layer's keys (which 0) or values (1). */
static char *kv_at(const struct kv *kv, uint32_t block, uint32_t layer, unsigned which)
{
	return kv->mem + layer * kv->layer + which * kv->layer / 2 + block * kv->block;
}

/* Where the factors stand in a head's part of a block. */
static size_t factors_at(const struct kv *kv)
{
	return kv->block - KV_BLOCK * sizeof(float);
}

void kv_copy(struct kv *kv, struct kvcopy c)
{
	/* Whole: the panels of keys hold more positions than c.n, and nobody reads those. */
	for (char *at = kv->mem; at < kv->mem + kv->bytes; at += kv->head)
		memcpy(at + c.to * kv->block, at + c.from * kv->block, kv->block);
}

/* ---- workspace ------------------------------------------------------------------------------- */

struct decoder {
	uint32_t batch, rows;
	uint64_t bytes;
	void *mem;
	float *x, *norm, *q, *k, *v, *att, *gate, *up, *out; /* [batch][...]; out: [rows][width] */
	float *cs;                                           /* [batch][rope_dim] */
	kern_f16 *half;                                      /* [batch][keys] */
	uint32_t *pos, *span_of;                             /* [batch] */
	struct attn_seq *seqs;                               /* [batch] */
	void *act;
	float *scratch;
	size_t scratch_each;
	struct lora_job *lora; /* [LINEAR_OUTS * batch] */
};

enum { LINEAR_OUTS = 3 };

/* Cuts the workspace: called once to measure (mem NULL), once to point. */
static void *cut(char *mem, size_t *at, size_t bytes)
{
	void *p = mem ? mem + *at : NULL;
	*at += (bytes + 63) / 64 * 64;
	return p;
}

static size_t lay_out(struct decoder *d, const struct model *m, char *mem)
{
	const struct hparams *hp = &m->hp;
	size_t at = 0, b = d->batch, f = sizeof(float);
	size_t q = (size_t)hp->heads * hp->head_dim, kv = (size_t)hp->kv_heads * hp->head_dim;
	size_t widest = MAX(MAX(hp->width, hp->ffn), q);
	d->x = cut(mem, &at, b * hp->width * f);
	d->norm = cut(mem, &at, b * hp->width * f);
	size_t shared = at; /* attention is over when the MLP begins */
	d->q = cut(mem, &at, b * q * f);
	d->k = cut(mem, &at, b * kv * f);
	d->v = cut(mem, &at, b * kv * f);
	d->att = cut(mem, &at, b * q * f);
	size_t end = at;
	at = shared;
	d->gate = cut(mem, &at, b * hp->ffn * f);
	d->up = cut(mem, &at, b * hp->ffn * f);
	at = MAX(at, end);
	d->out = cut(mem, &at, d->rows * (size_t)hp->width * f);
	d->cs = cut(mem, &at, b * hp->rope_dim * f);
	d->half = cut(mem, &at, b * kv * sizeof *d->half);
	d->pos = cut(mem, &at, b * sizeof *d->pos);
	d->span_of = cut(mem, &at, b * sizeof *d->span_of);
	d->seqs = cut(mem, &at, b * sizeof *d->seqs);
	d->act = cut(mem, &at, kern_act_bytes(MAX(b, d->rows), widest));
	d->scratch = cut(mem, &at, m->threads * d->scratch_each * f);
	d->lora = cut(mem, &at, LINEAR_OUTS * MAX(b, d->rows) * sizeof *d->lora);
	return at;
}

static size_t measure(
	struct decoder *d, const struct model *m, uint32_t batch, uint32_t rows, uint32_t context)
{
	d->batch = batch;
	d->rows = rows;
	d->scratch_each = MAX(attn_scratch(context, m->hp.head_dim), lora_scratch());
	return lay_out(d, m, NULL);
}

uint64_t decoder_needs(
	const struct model *m, uint32_t batch, uint32_t rows, uint32_t context, uint64_t *each)
{
	struct decoder d = {0};
	size_t bytes = measure(&d, m, batch, rows, context);
	*each = d.scratch_each * sizeof *d.scratch;
	return bytes;
}

enum err decoder_new(const struct model *m, uint32_t batch, uint32_t rows, uint32_t context,
	struct decoder **out, struct errtext *et)
{
	struct decoder *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(et, ERR_NOMEM, "no memory");
	d->bytes = measure(d, m, batch, rows, context);
	d->mem = mem_get(d->bytes, true);
	if (!d->mem) {
		free(d);
		return err_set(et, ERR_NOMEM, "no memory for a batch of %u tokens", batch);
	}
	lay_out(d, m, d->mem);
	*out = d;
	return OK;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	mem_put(d->mem, d->bytes);
	free(d);
}

struct touching {
	char *mem;
	size_t bytes;
};

enum { TOUCH_CHUNK = 1 << 20, PAGE = 4096 };

static void touch_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct touching *t = arg;
	size_t end = MIN((chunk + 1) * TOUCH_CHUNK, t->bytes);
	for (size_t i = chunk * TOUCH_CHUNK; i < end; i += PAGE)
		((volatile char *)t->mem)[i] = 0;
}

void decoder_touch(struct decoder *d, const struct model *m)
{
	struct touching t = {d->mem, d->bytes};
	kern_team_run(m->team, touch_chunk, &t, (d->bytes + TOUCH_CHUNK - 1) / TOUCH_CHUNK);
}

uint64_t decoder_bytes(const struct decoder *d)
{
	return d->bytes;
}

/* ---- the pass -------------------------------------------------------------------------------- */

struct pass {
	struct decoder *d;
	const struct model *m;
	struct kv *kv;
	const int32_t *ids;
	const struct span *spans;
	size_t n_spans, n;    /* n: tokens */
	const uint32_t *rows; /* [n_rows] */
	size_t n_rows;
	uint32_t layer;
	bool adapted; /* a span has an adapter */
	bool chosen;  /* only the rows of the logits are left */
};

static void look_up(void *arg, size_t from, size_t to)
{
	const struct pass *p = arg;
	const struct table *t = &p->m->tokens;
	size_t row = kern_row_bytes(t->type, t->k);
	for (size_t i = from; i < to; i++)
		kern_dequant(t->type, (const char *)t->rows + (size_t)p->ids[i] * row,
			p->d->x + i * t->k, t->k);
}

/* x[dim] as bytes `step` apart, times the factor that is returned. */
static float to_bytes(int8_t *y, size_t step, const float *x, size_t dim)
{
	float most = 0;
	for (size_t i = 0; i < dim; i++)
		most = fmaxf(most, fabsf(x[i]));
	float inverse = most > 0 ? 127 / most : 0;
	if (!isfinite(inverse)) /* too small to matter */
		inverse = most = 0;
	for (size_t i = 0; i < dim; i++) /* to the nearest, halves away from 0 */
		y[i * step] = (int8_t)(x[i] * inverse + copysignf(0.5f, x[i]));
	return most / 127;
}

/* Keys, in panels of 16 positions, and values into the sequences' blocks. */
static void store(const struct pass *p, size_t from, size_t to)
{
	const struct hparams *hp = &p->m->hp;
	const struct kv *kv = p->kv;
	size_t dim = hp->head_dim, row = hp->kv_heads * dim;
	for (size_t i = from; i < to; i++) {
		uint32_t pos = p->d->pos[i], in = pos % KV_BLOCK,
			 block = p->spans[p->d->span_of[i]].blocks[pos / KV_BLOCK];
		char *k = kv_at(kv, block, p->layer, 0), *v = kv_at(kv, block, p->layer, 1);
		size_t panel = in / 16 * 16 * dim + in % 16;
		const float *x = p->d->k + i * row, *y = p->d->v + i * row;
		kern_f16 *half = p->d->half + i * row;
		if (!kv->q8)
			kern->to_f16(half, x, row);
		for (size_t h = 0; h < hp->kv_heads; h++, k += kv->head, v += kv->head) {
			if (kv->q8) {
				((float *)(k + factors_at(kv)))[in] =
					to_bytes((int8_t *)k + panel, 16, x + h * dim, dim);
				((float *)(v + factors_at(kv)))[in] =
					to_bytes((int8_t *)v + in * dim, 1, y + h * dim, dim);
				continue;
			}
			for (size_t c = 0; c < dim; c++)
				((kern_f16 *)k)[panel + 16 * c] = half[h * dim + c];
			kern->to_f16((kern_f16 *)v + in * dim, y + h * dim, dim);
		}
	}
}

/* A row's queries and keys to where they are read: normed, turned, kept. */
static void place(void *arg, size_t from, size_t to)
{
	const struct pass *p = arg;
	const struct hparams *hp = &p->m->hp;
	const struct layer *l = &p->m->layers[p->layer];
	size_t dim = hp->head_dim, half = hp->rope_dim / 2;
	for (size_t i = from; i < to; i++) {
		float *q = p->d->q + i * hp->heads * dim, *k = p->d->k + i * hp->kv_heads * dim,
		      *cs = p->d->cs + i * 2 * half;
		if (l->q_norm) {
			row_head_rmsnorm(q, hp->heads, dim, l->q_norm, hp->norm_eps);
			row_head_rmsnorm(k, hp->kv_heads, dim, l->k_norm, hp->norm_eps);
		}
		row_rope(q, hp->heads, dim, cs, half, p->m->rope_pairs);
		row_rope(k, hp->kv_heads, dim, cs, half, p->m->rope_pairs);
		store(p, i, i + 1);
	}
}

static void attend(struct pass *p)
{
	const struct hparams *hp = &p->m->hp;
	struct decoder *d = p->d;
	size_t row = (size_t)hp->heads * hp->head_dim, at = 0;
	struct attn_shape s = {
		.heads = hp->heads,
		.kv_heads = hp->kv_heads,
		.head_dim = hp->head_dim,
		.causal = true,
		.window = hp->window,
		.kv_type = p->kv->q8 ? KERN_Q8_0 : KERN_F16,
		.kv_head = p->kv->head,
		.kv_pos = hp->head_dim,
		.k_panels = true,
		.block = p->kv->block,
		.factors = factors_at(p->kv),
		.scratch = d->scratch,
		.scratch_each = d->scratch_each,
	};
	for (size_t i = 0; i < p->n_spans; i++) {
		const struct span *sp = &p->spans[i];
		d->seqs[i] = (struct attn_seq){
			.q = d->q + at * row,
			.out = d->att + at * row,
			.k = kv_at(p->kv, 0, p->layer, 0),
			.v = kv_at(p->kv, 0, p->layer, 1),
			.blocks = sp->blocks,
			.n_tok = sp->n,
			.pos0 = sp->pos,
			.n_pos = sp->pos + sp->n,
		};
		at += sp->n;
	}
	layer_attention(p->m->team, &s, d->seqs, p->n_spans);
}

/* What the adapter of these n rows adds to the products of x. */
static size_t add_jobs(struct pass *p, const struct adapter *a, size_t n_jobs, const float *x,
	const struct linear *out, size_t n_out, size_t from, size_t n)
{
	for (size_t i = 0; i < n_out; i++) {
		const struct kern_mat *w = out[i].w;
		const struct lora *l = adapter_of(a, p->m, p->layer, w);
		if (l)
			p->d->lora[n_jobs++] =
				(struct lora_job){l, x + from * w->k, out[i].y + from * w->n, n, 0};
	}
	return n_jobs;
}

/* Products of x, a row for each token, made by `before`, and what the spans' adapters add. */
static void linear(struct pass *p, struct rows_step before, const float *x, size_t k,
	const struct linear *out, size_t n_out)
{
	struct decoder *d = p->d;
	size_t n_jobs = 0, at = 0, n;
	layer_linear(p->m->team, before, x, p->n, k, d->act, out, n_out);
	if (!p->adapted)
		return;
	for (size_t i = 0; i < p->n_spans; i++, at += n) {
		const struct adapter *a = p->spans[i].adapter;
		for (n = p->spans[i].n; i + 1 < p->n_spans && p->spans[i + 1].adapter == a; i++)
			n += p->spans[i + 1].n;
		if (a)
			n_jobs = add_jobs(p, a, n_jobs, x, out, n_out, at, n);
	}
	layer_lora(p->m->team, d->lora, n_jobs, d->act, d->scratch, d->scratch_each);
}

/* The last product, of the chosen rows. */
static void output(struct pass *p, const uint32_t *rows, size_t n_rows, float *logits)
{
	struct decoder *d = p->d;
	struct linear out = {&p->m->output, NULL, logits};
	size_t n_jobs = 0;
	struct norm norm = {.x = d->out,
		.y = d->out,
		.w = p->m->out_norm,
		.width = p->m->hp.width,
		.eps = p->m->hp.norm_eps};
	layer_linear(p->m->team, (struct rows_step){rows_add_rmsnorm, &norm}, d->out, n_rows,
		p->m->hp.width, d->act, &out, 1);
	for (size_t i = 0; i < n_rows && p->adapted; i++) {
		const struct adapter *a = p->spans[d->span_of[rows[i]]].adapter;
		if (a)
			n_jobs = add_jobs(p, a, n_jobs, d->out, &out, 1, i, 1);
	}
	layer_lora(p->m->team, d->lora, n_jobs, d->act, d->scratch, d->scratch_each);
}

/* After the last block's attention nobody asks for other rows than those of the logits, in
 * ascending order: they move to the front and the pass goes on with them. */
static void choose(struct pass *p)
{
	struct decoder *d = p->d;
	size_t w = p->m->hp.width, q = (size_t)p->m->hp.heads * p->m->hp.head_dim;
	for (size_t i = 0; i < p->n_rows; i++) {
		assert(p->rows[i] >= i);
		memmove(d->x + i * w, d->x + p->rows[i] * w, w * sizeof *d->x);
		memmove(d->att + i * q, d->att + p->rows[i] * q, q * sizeof *d->att);
	}
	p->n = p->n_rows;
	p->chosen = true;
}

/* One block: x in d->x, and in d->norm what is to be added to it (`first`: nothing); leaves there
 * what the block adds. */
static void block(struct pass *p, bool first, bool last)
{
	struct decoder *d = p->d;
	const struct hparams *hp = &p->m->hp;
	const struct layer *l = &p->m->layers[p->layer];
	size_t q = (size_t)hp->heads * hp->head_dim;
	struct norm norm = {.x = d->x,
		.y = d->norm,
		.r = first ? NULL : d->norm,
		.w = l->attn_norm,
		.width = hp->width,
		.eps = hp->norm_eps};
	struct mlp mlp = {.x = d->gate, .up = d->up, .width = hp->ffn};
	linear(p, (struct rows_step){rows_add_rmsnorm, &norm}, d->norm, hp->width,
		(struct linear[]){
			{&l->q, l->q_b, d->q}, {&l->k, l->k_b, d->k}, {&l->v, l->v_b, d->v}},
		3);
	rows_run(p->m->team, p->n, place, p);
	if (last && !p->n_rows)
		return;
	attend(p);
	if (last && !p->adapted)
		choose(p);
	linear(p, (struct rows_step){0}, d->att, q, &(struct linear){&l->o, l->o_b, d->norm}, 1);
	norm.r = d->norm;
	norm.w = l->mlp_norm;
	linear(p, (struct rows_step){rows_add_rmsnorm, &norm}, d->norm, hp->width,
		(struct linear[]){{&l->gate, l->gate_b, d->gate}, {&l->up, l->up_b, d->up}}, 2);
	linear(p, (struct rows_step){rows_silu_mul, &mlp}, d->gate, hp->ffn,
		&(struct linear){&l->down, l->down_b, d->norm}, 1);
}

static void number(struct pass *p)
{
	for (size_t s = 0; s < p->n_spans; s++) {
		p->adapted |= p->spans[s].adapter != NULL;
		for (uint32_t i = 0; i < p->spans[s].n; i++) {
			p->d->span_of[p->n] = (uint32_t)s;
			p->d->pos[p->n++] = p->spans[s].pos + i;
		}
	}
}

void decoder_pass(struct decoder *d, const struct model *m, struct kv *kv, const int32_t *ids,
	const struct span *spans, size_t n_spans, const uint32_t *rows, size_t n_rows,
	float *logits)
{
	const struct hparams *hp = &m->hp;
	struct pass p = {.d = d,
		.m = m,
		.kv = kv,
		.ids = ids,
		.spans = spans,
		.n_spans = n_spans,
		.rows = rows,
		.n_rows = n_rows};
	number(&p);
	assert(p.n <= d->batch && n_rows <= d->rows);
	rope_angles(m->team, d->pos, p.n, m->inv_freq, hp->rope_dim / 2, d->cs);
	rows_run(m->team, p.n, look_up, &p);
	for (; p.layer < hp->layers; p.layer++)
		block(&p, p.layer == 0, p.layer + 1 == hp->layers);
	if (!n_rows)
		return;
	for (size_t i = 0; i < n_rows; i++) {
		size_t at = (p.chosen ? i : rows[i]) * hp->width;
		kern->add(d->out + i * hp->width, d->x + at, d->norm + at, hp->width);
	}
	output(&p, rows, n_rows, logits);
}
