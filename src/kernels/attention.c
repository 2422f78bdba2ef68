/* Attention for all query rows (tokens x heads of the group) of a key/value head, in blocks of
 * ATTN_ROWS rows: scores of all their positions as a product, softmax row by row, values as a
 * product. Both products are tile_f's (tile_h's, straight from f16, where there is one). Sums over
 * positions are cut where the absolute position is a multiple of ATTN_CUT, and a position that a
 * row does not see has the weight 0, which changes no bit: a row's result is its own whatever rows
 * go with it. */
#include "kernels/kern_int.h"

struct work {       /* the scratch memory, cut up */
	float *q;   /* [ATTN_ROWS][head_dim], scaled */
	float *s;   /* [ATTN_ROWS][ld]: scores, then weights, from position `base` */
	float *kv;  /* a block of keys [panels of 16 positions][head_dim][16], or of values
		       [panels of 16 dims][ATTN_CUT][16] */
	float *out; /* [ATTN_ROWS][dims] */
	size_t ld, dims, base;
};

static size_t up16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

size_t kern_attn_scratch(size_t n_pos, size_t head_dim)
{
	size_t d = up16(head_dim);
	return ATTN_ROWS * (d + up16(n_pos) + ATTN_CUT + d) + ATTN_CUT * d;
}

static size_t value_bytes(const struct kern_attn *a)
{
	return a->kv_type == KERN_F32 ? 4 : a->kv_type == KERN_F16 ? 2 : 1;
}

/* What belongs to position p, at `each` bytes per position. A panel of keys begins where its
 * first position would. */
static const void *at(const struct kern_attn *a, const void *base, size_t p, size_t each)
{
	if (!a->blocks)
		return (const char *)base + p * each;
	return (const char *)base + a->blocks[p / ATTN_CUT] * a->block + p % ATTN_CUT * each;
}

static const void *key(const struct kern_attn *a, size_t p)
{
	return at(a, a->k, p, (a->k_panels ? a->head_dim : a->k_pos) * value_bytes(a));
}

static const void *value(const struct kern_attn *a, size_t p)
{
	return at(a, a->v, p, a->v_pos * value_bytes(a));
}

static void span(const struct kern_attn *a, size_t row, size_t *lo, size_t *hi)
{
	size_t t = row / a->n_group;
	*hi = a->causal ? MIN(a->pos0 + t + 1, a->n_pos) : a->n_pos;
	*lo = a->window && *hi > a->window ? *hi - a->window : 0;
}

static void to_f32(const struct kern_attn *a, float *to, const void *from, size_t n)
{
	if (a->kv_type == KERN_F32)
		memcpy(to, from, n * sizeof *to);
	else if (a->kv_type == KERN_F16)
		kern->from_f16(to, from, n);
	else
		leaves->from_i8(to, from, n);
}

/* Keys [p, hi) of a block as panels [head_dim][16] in w->kv. */
static void load_keys(const struct kern_attn *a, const struct work *w, size_t p, size_t hi)
{
	size_t d = a->head_dim, panels = (hi - p + 15) / 16;
	if (a->k_panels) {
		to_f32(a, w->kv, key(a, p), panels * 16 * d);
		return;
	}
	for (size_t j = 0; j < panels; j++)
		leaves->transpose(a->kv_type, key(a, p + 16 * j), a->k_pos,
			MIN(hi - p - 16 * j, (size_t)16), d,
			(float(*)[KERN_PANEL])(w->kv + j * 16 * d));
}

/* n panels, n_dims rows of 16 each, of f16 or bytes straight from where they stand. */
static void tile_direct(const struct kern_attn *a, const void *w, size_t panel, size_t row,
	size_t n_panels, size_t n, const float *x, size_t ldx, size_t rows, const struct sums *o)
{
	if (a->kv_type == KERN_F16)
		leaves->tile_h(w, panel, row, (unsigned)n_panels, n, x, ldx, rows, o);
	else
		leaves->tile_b(w, panel, row, (unsigned)n_panels, n, x, ldx, rows, o);
}

static bool has_direct(const struct kern_attn *a)
{
	return a->kv_type == KERN_F16 ? leaves->tile_h != NULL
				      : a->kv_type == KERN_Q8_0 && leaves->tile_b;
}

/* s[n][ld], from position p on to `end`, times the factors of the positions. */
static void times_factors(const struct kern_attn *a, const float *factors, float *s, size_t ld,
	size_t n, size_t p, size_t end)
{
	if (a->kv_type != KERN_Q8_0)
		return;
	const float *f = at(a, factors, p, sizeof *f);
	for (size_t r = 0; r < n; r++)
		kern->mul(s + r * ld, s + r * ld, f, end - p);
}

static void scores(const struct kern_attn *a, const struct work *w, size_t n, size_t hi)
{
	size_t d = a->head_dim;
	bool direct = a->k_panels && has_direct(a);
	for (size_t p = w->base; p < hi; p += ATTN_CUT) {
		size_t end = MIN(hi, p + ATTN_CUT), panels = (end - p + 15) / 16;
		if (!direct)
			load_keys(a, w, p, end);
		for (size_t r = 0; r < n; r += leaves->tok_tile_f) {
			size_t rows = MIN(n - r, (size_t)leaves->tok_tile_f);
			float *s = w->s + r * w->ld + (p - w->base);
			struct sums o = sums_of(s, w->ld, false);
			if (direct)
				tile_direct(a, key(a, p), 16 * d, 16, panels, d, w->q + r * d, d,
					rows, &o);
			for (size_t j = 0; j < panels && !direct; j += 2)
				leaves->tile_f(w->kv + j * 16 * d, 16 * d,
					(unsigned)MIN(panels - j, (size_t)2), d, w->q + r * d, d, 1,
					rows, &(struct sums){s + 16 * j, w->ld, sums_zeros, 0});
		}
		times_factors(a, a->k_factor, w->s + (p - w->base), w->ld, n, p, end);
	}
}

static void weights_of(
	const struct kern_attn *a, const struct work *w, size_t row0, size_t n, size_t hi_all)
{
	for (size_t r = 0; r < n; r++) {
		size_t lo, hi;
		span(a, row0 + r, &lo, &hi);
		float *s = w->s + r * w->ld, *own = s + (lo - w->base);
		if (a->softcap > 0) {
			kern->scale(own, own, 1 / a->softcap, hi - lo);
			kern->tanh(own, own, hi - lo);
			kern->scale(own, own, a->softcap, hi - lo);
		}
		kern->softmax(own, own, hi - lo);
		memset(s, 0, (lo - w->base) * sizeof *s);
		memset(s + (hi - w->base), 0, (hi_all - hi) * sizeof *s);
	}
}

/* Rows [p, p + n) of the values as panels of 16 dims; zeros beyond head_dim. */
static void load_values(const struct kern_attn *a, const struct work *w, size_t p, size_t n)
{
	for (size_t j = 0; j < w->dims; j += 16) {
		size_t c = MIN(a->head_dim - j, (size_t)16);
		float *to = w->kv + j * ATTN_CUT;
		for (size_t i = 0; i < n; i++, to += 16) {
			const char *from = value(a, p + i);
			if (c < 16)
				memset(to, 0, 16 * sizeof *to);
			to_f32(a, to, from + j * value_bytes(a), c);
		}
	}
}

static void values(const struct kern_attn *a, const struct work *w, size_t n, size_t lo, size_t hi)
{
	bool direct = a->head_dim % 16 == 0 && has_direct(a);
	if (lo >= hi)
		memset(w->out, 0, n * w->dims * sizeof *w->out);
	for (size_t p = lo, next; p < hi; p = next) {
		next = MIN((p / ATTN_CUT + 1) * ATTN_CUT, hi);
		if (!direct)
			load_values(a, w, p, next - p);
		const char *v = value(a, p);
		times_factors(a, a->v_factor, w->s + (p - w->base), w->ld, n, p, next);
		for (size_t r = 0; r < n; r += leaves->tok_tile_f) {
			size_t rows = MIN(n - r, (size_t)leaves->tok_tile_f);
			const float *s = w->s + r * w->ld + (p - w->base);
			float *out = w->out + r * w->dims;
			for (size_t j = 0; j < w->dims && direct; j += 64) {
				struct sums o = sums_of(out + j, w->dims, p > lo);
				tile_direct(a, v + j * value_bytes(a), 16, a->v_pos,
					MIN((w->dims - j) / 16, (size_t)4), next - p, s, w->ld,
					rows, &o);
			}
			for (size_t j = 0; j < w->dims && !direct; j += 32) {
				struct sums o = sums_of(out + j, w->dims, p > lo);
				leaves->tile_f(w->kv + j * ATTN_CUT, 16 * ATTN_CUT,
					w->dims - j > 16 ? 2 : 1, next - p, s, w->ld, 1, rows, &o);
			}
		}
	}
}

static void attention_tiled(const struct kern_attn *a)
{
	size_t d = a->head_dim, all = a->n_tok * a->n_group;
	struct work w = {.dims = up16(d), .ld = up16(a->n_pos) + ATTN_CUT};
	w.kv = a->scratch;
	w.q = w.kv + ATTN_CUT * w.dims;
	w.out = w.q + ATTN_ROWS * w.dims;
	w.s = w.out + ATTN_ROWS * w.dims;
	for (size_t row = 0; row < all; row += ATTN_ROWS) {
		size_t n = MIN(all - row, (size_t)ATTN_ROWS), lo, hi, unused;
		span(a, row, &lo, &unused); /* both ends grow with the token */
		span(a, row + n - 1, &unused, &hi);
		w.base = lo / ATTN_CUT * ATTN_CUT;
		for (size_t r = 0; r < n; r++)
			kern->scale(w.q + r * d,
				a->q + (row + r) / a->n_group * a->q_tok +
					(row + r) % a->n_group * a->q_head,
				a->scale, d);
		scores(a, &w, n, hi);
		weights_of(a, &w, row, n, hi);
		values(a, &w, n, lo, hi);
		for (size_t r = 0; r < n; r++)
			memcpy(a->out + (row + r) / a->n_group * a->out_tok +
					(row + r) % a->n_group * a->out_head,
				w.out + r * w.dims, d * sizeof(float));
	}
}

void kern_attention(const struct kern_attn *a)
{
	if (leaves->attention)
		leaves->attention(a);
	else
		attention_tiled(a);
}
