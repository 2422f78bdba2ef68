/* An encoder's pass: whole sequences laid one after the other, without padding; every token sees
 * all of its own sequence. */
#include "engine/model_int.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "engine/layers.h"

struct encoder {
	uint32_t batch;
	uint64_t bytes;
	void *mem;
	float *x, *q, *k, *v, *att, *up; /* [batch][...] */
	uint32_t *pos, *type;            /* [batch] */
	struct attn_seq *seqs;           /* [batch] */
	void *act;
	float *scratch;
	size_t scratch_each;
};

static void *cut(char *mem, size_t *at, size_t bytes)
{
	void *p = mem ? mem + *at : NULL;
	*at += (bytes + 63) / 64 * 64;
	return p;
}

static size_t lay_out(struct encoder *e, const struct model *m, char *mem)
{
	const struct hparams *hp = &m->hp;
	size_t at = 0, b = e->batch, f = sizeof(float);
	size_t q = (size_t)hp->heads * hp->head_dim;
	e->x = cut(mem, &at, b * hp->width * f);
	e->q = cut(mem, &at, b * MAX(q, hp->width) * f);
	e->k = cut(mem, &at, b * q * f);
	e->v = cut(mem, &at, b * q * f);
	e->att = cut(mem, &at, b * MAX(q, hp->width) * f);
	e->up = cut(mem, &at, b * hp->ffn * f);
	e->pos = cut(mem, &at, b * sizeof *e->pos);
	e->type = cut(mem, &at, b * sizeof *e->type);
	e->seqs = cut(mem, &at, b * sizeof *e->seqs);
	e->act = cut(mem, &at, kern_act_bytes(b, MAX(MAX(hp->width, hp->ffn), q)));
	e->scratch = cut(mem, &at, m->threads * e->scratch_each * f);
	return at;
}

static size_t measure(struct encoder *e, const struct model *m)
{
	e->batch = MAX(m->hp.read_max, (uint32_t)ENCODER_BATCH);
	e->scratch_each = attn_scratch(m->hp.read_max, m->hp.head_dim);
	return lay_out(e, m, NULL);
}

uint64_t encoder_needs(const struct model *m, uint64_t *each)
{
	struct encoder e = {0};
	size_t bytes = measure(&e, m);
	*each = e.scratch_each * sizeof *e.scratch;
	return bytes;
}

enum err encoder_new(const struct model *m, struct encoder **out, struct errtext *et)
{
	struct encoder *e = calloc(1, sizeof *e);
	if (!e)
		return err_set(et, ERR_NOMEM, "no memory");
	e->bytes = measure(e, m);
	e->mem = mem_get(e->bytes, true);
	if (!e->mem) {
		free(e);
		return err_set(et, ERR_NOMEM, "no memory for a batch of texts");
	}
	lay_out(e, m, e->mem);
	*out = e;
	return OK;
}

void encoder_free(struct encoder *e)
{
	if (!e)
		return;
	mem_put(e->mem, e->bytes);
	free(e);
}

uint64_t encoder_bytes(const struct encoder *e)
{
	return e->bytes;
}

uint32_t encoder_batch(const struct encoder *e)
{
	return e->batch;
}

/* ---- the pass -------------------------------------------------------------------------------- */

struct pass {
	struct encoder *e;
	const struct model *m;
	const int32_t *ids;
	const uint32_t *lengths;
	size_t n_seqs, n;
	float *out;
};

static void add_row(const struct table *t, size_t row, float *x, float *tmp)
{
	kern_dequant(
		t->type, (const char *)t->rows + row * kern_row_bytes(t->type, t->k), tmp, t->k);
	kern->add(x, x, tmp, t->k);
}

/* x = word + position + type; the attention buffer serves as scratch. */
static void look_up(void *arg, size_t from, size_t to)
{
	const struct pass *p = arg;
	const struct table *t = &p->m->tokens;
	size_t row = kern_row_bytes(t->type, t->k);
	for (size_t i = from; i < to; i++) {
		float *x = p->e->x + i * t->k, *tmp = p->e->att + i * t->k;
		kern_dequant(t->type, (const char *)t->rows + (size_t)p->ids[i] * row, x, t->k);
		add_row(&p->m->types, p->e->type[i], x, tmp);
		add_row(&p->m->positions, p->e->pos[i], x, tmp);
	}
}

static void attend(struct pass *p)
{
	const struct hparams *hp = &p->m->hp;
	struct encoder *e = p->e;
	size_t row = (size_t)hp->heads * hp->head_dim, at = 0;
	struct attn_shape s = {
		.heads = hp->heads,
		.kv_heads = hp->heads,
		.head_dim = hp->head_dim,
		.kv_type = KERN_F32,
		.kv_head = hp->head_dim * sizeof(float),
		.kv_pos = row,
		.scratch = e->scratch,
		.scratch_each = e->scratch_each,
	};
	for (size_t i = 0; i < p->n_seqs; i++) {
		e->seqs[i] = (struct attn_seq){
			.q = e->q + at * row,
			.out = e->att + at * row,
			.k = e->k + at * row,
			.v = e->v + at * row,
			.n_tok = p->lengths[i],
			.n_pos = p->lengths[i],
		};
		at += p->lengths[i];
	}
	layer_attention(p->m->team, &s, e->seqs, p->n_seqs);
}

/* What a layer left in e->att is added and normed on the way to the next one; NULL: the first's. */
static struct norm norm_after(const struct pass *p, const struct layer *l)
{
	return (struct norm){.x = p->e->x,
		.r = l ? p->e->att : NULL,
		.w = l ? l->mlp_norm : p->m->embd_norm,
		.b = l ? l->mlp_norm_b : p->m->embd_norm_b,
		.width = p->m->hp.width,
		.eps = p->m->hp.norm_eps};
}

static void block(struct pass *p, const struct layer *before, const struct layer *l)
{
	struct encoder *e = p->e;
	const struct hparams *hp = &p->m->hp;
	struct kern_team *team = p->m->team;
	size_t n = p->n, q = (size_t)hp->heads * hp->head_dim;
	struct norm norm = norm_after(p, before);
	struct mlp mlp = {.x = e->up, .width = hp->ffn, .tanh_form = hp->act == ACT_GELU_TANH};
	struct rows_step layernorm = {rows_add_layernorm, &norm}, gelu = {rows_gelu, &mlp},
			 none = {0};
	layer_linear(team, layernorm, e->x, n, hp->width, e->act,
		(struct linear[]){
			{&l->q, l->q_b, e->q}, {&l->k, l->k_b, e->k}, {&l->v, l->v_b, e->v}},
		3);
	attend(p);
	layer_linear(team, none, e->att, n, q, e->act, &(struct linear){&l->o, l->o_b, e->q}, 1);
	norm.r = e->q;
	norm.w = l->attn_norm;
	norm.b = l->attn_norm_b;
	layer_linear(team, layernorm, e->x, n, hp->width, e->act,
		&(struct linear){&l->up, l->up_b, e->up}, 1);
	layer_linear(team, gelu, e->up, n, hp->ffn, e->act,
		&(struct linear){&l->down, l->down_b, e->att}, 1);
}

/* The sequences' vectors: the mean of the tokens', or the first one's; made of length 1 if the
 * model says so. */
static void pool(struct pass *p)
{
	size_t w = p->m->hp.width;
	const float *x = p->e->x;
	for (size_t i = 0; i < p->n_seqs; i++) {
		float *y = p->out + i * w;
		size_t n = p->m->hp.pooling == POOL_CLS ? 1 : p->lengths[i];
		memcpy(y, x, w * sizeof *y);
		for (size_t t = 1; t < n; t++)
			kern->add(y, y, x + t * w, w);
		kern->scale(y, y, 1 / (float)n, w);
		if (p->m->hp.normalised)
			kern->normalize(y, y, w);
		x += p->lengths[i] * w;
	}
}

/* The sequences' scores: score . tanh(pooler x + b) + b of their first tokens. */
static void rank(struct pass *p)
{
	const struct model *m = p->m;
	struct encoder *e = p->e;
	size_t w = m->hp.width, at = 0;
	float *first = e->att, *head = e->att;
	for (size_t i = 0; i < p->n_seqs; i++) {
		memcpy(first + i * w, e->x + at * w, w * sizeof *first);
		at += p->lengths[i];
	}
	if (m->pooler.n) {
		head = e->q;
		layer_linear(m->team, (struct rows_step){0}, first, p->n_seqs, w, e->act,
			&(struct linear){&m->pooler, m->pooler_b, head}, 1);
		for (size_t i = 0; i < p->n_seqs * w; i++)
			head[i] = tanhf(head[i]);
	}
	for (size_t i = 0; i < p->n_seqs; i++)
		p->out[i] = kern->dot(head + i * w, m->score, w) + (m->score_b ? *m->score_b : 0);
}

void encoder_pass(struct encoder *e, const struct model *m, const int32_t *ids,
	const uint32_t *lengths, const uint32_t *firsts, size_t n_seqs, float *out)
{
	struct pass p = {e, m, ids, lengths, n_seqs, 0, out};
	for (size_t s = 0; s < n_seqs; s++)
		for (uint32_t i = 0; i < lengths[s]; i++) {
			assert(p.n < e->batch);
			e->type[p.n] = firsts && m->hp.token_types > 1 && i >= firsts[s];
			e->pos[p.n++] = m->hp.pos_first + i;
		}
	rows_run(m->team, p.n, look_up, &p);
	const struct layer *last = NULL;
	for (uint32_t i = 0; i < m->hp.layers; last = &m->layers[i++])
		block(&p, last, &m->layers[i]);
	struct norm norm = norm_after(&p, last);
	rows_run(m->team, p.n, rows_add_layernorm, &norm);
	m->hp.pooling == POOL_RANK ? rank(&p) : pool(&p);
}
