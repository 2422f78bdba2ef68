/* The generic table: plain C that says what each operation is. It is the oracle of the others and
 * runs anywhere. Sums of f32 are taken in f32 in index order unless said otherwise. */
#include "kernels/kern_int.h"

#include <float.h>
#include <math.h>

/* ---- vectors --------------------------------------------------------------------------------- */

static float dot(const float *a, const float *b, size_t n)
{
	float s = 0;
	for (size_t i = 0; i < n; i++)
		s = fmaf(a[i], b[i], s);
	return s;
}

static float dot_f16(const float *a, const kern_f16 *b, size_t n)
{
	float s = 0;
	for (size_t i = 0; i < n; i++)
		s = fmaf(a[i], f16_to_f32(b[i]), s);
	return s;
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32_t s = 0;
	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	return s;
}

static float sum(const float *x, size_t n)
{
	float s = 0;
	for (size_t i = 0; i < n; i++)
		s += x[i];
	return s;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = fmaf(a, x[i], y[i]);
}

static void add(float *y, const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] + b[i];
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] * b[i];
}

static void scale(float *y, const float *x, float a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * a;
}

static size_t argmax(const float *x, size_t n)
{
	size_t best = 0;
	float most = -INFINITY;
	for (size_t i = 0; i < n; i++)
		if (x[i] > most) {
			most = x[i];
			best = i;
		}
	return best;
}

static void to_f16(kern_f16 *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = kern_f32_to_f16(x[i]);
}

static void from_f16(float *y, const kern_f16 *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = f16_to_f32(x[i]);
}

/* ---- functions of one value ------------------------------------------------------------------ */

static float exp_one(float x)
{
	return x < -87.3f ? 0 : expf(x);
}

static float silu_one(float x)
{
	return x / (1 + exp_one(-x));
}

/* x/2 (1 + tanh(u)) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks & Gimpel).
 */
static float gelu_tanh_one(float x)
{
	return x / (1 + exp_one(-1.5957691216f * (x + 0.044715f * x * x * x)));
}

static void exp_all(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = exp_one(x[i]);
}

static void silu(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = silu_one(x[i]);
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = silu_one(gate[i]) * up[i];
}

static void gelu_tanh(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = gelu_tanh_one(x[i]);
}

static void gelu_tanh_mul(float *y, const float *gate, const float *up, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = gelu_tanh_one(gate[i]) * up[i];
}

static void gelu_erf(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678119f));
}

static void tanh_all(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = tanhf(x[i]);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static float softmax(float *y, const float *x, size_t n)
{
	float most = -INFINITY, s = 0;
	for (size_t i = 0; i < n; i++)
		most = x[i] > most ? x[i] : most;
	if (most == -INFINITY) {
		memset(y, 0, n * sizeof *y);
		return most;
	}
	for (size_t i = 0; i < n; i++)
		s += y[i] = exp_one(x[i] - most);
	scale(y, y, 1 / s, n);
	return most + logf(s);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
	float r = 1 / sqrtf(dot(x, x, n) / (float)n + eps);
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * r * (w ? w[i] : 1);
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
	float mean = sum(x, n) / (float)n, var = 0;
	for (size_t i = 0; i < n; i++)
		var += (x[i] - mean) * (x[i] - mean);
	float r = 1 / sqrtf(var / (float)n + eps);
	for (size_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) * r * (w ? w[i] : 1) + (b ? b[i] : 0);
}

static void rotate(float *a, float *b, float c, float s)
{
	float x = *a, y = *b;
	*a = x * c - y * s;
	*b = x * s + y * c;
}

static void rope_norm(float *x, const float *cs, size_t half, size_t n_heads, size_t stride)
{
	for (size_t h = 0; h < n_heads; h++, x += stride)
		for (size_t i = 0; i < half; i++)
			rotate(&x[2 * i], &x[2 * i + 1], cs[i], cs[half + i]);
}

static void rope_neox(float *x, const float *cs, size_t half, size_t n_heads, size_t stride)
{
	for (size_t h = 0; h < n_heads; h++, x += stride)
		for (size_t i = 0; i < half; i++)
			rotate(&x[i], &x[i + half], cs[i], cs[half + i]);
}

/* ---- distances ------------------------------------------------------------------------------- */

static void dots(
	const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	for (size_t i = 0; i < n_rows; i++)
		out[i] = dot(q, rows + i * stride, dim);
}

static void dots_f16(
	const float *q, const kern_f16 *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	for (size_t i = 0; i < n_rows; i++)
		out[i] = dot_f16(q, rows + i * stride, dim);
}

static void dots_i8(
	const int8_t *q, const int8_t *rows, size_t stride, size_t n_rows, size_t dim, int32_t *out)
{
	for (size_t i = 0; i < n_rows; i++)
		out[i] = dot_i8(q, rows + i * stride, dim);
}

static void l2s(
	const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	for (size_t i = 0; i < n_rows; i++) {
		float s = 0;
		for (size_t j = 0; j < dim; j++) {
			float d = q[j] - rows[i * stride + j];
			s = fmaf(d, d, s);
		}
		out[i] = s;
	}
}

static void l2s_f16(
	const float *q, const kern_f16 *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	for (size_t i = 0; i < n_rows; i++) {
		float s = 0;
		for (size_t j = 0; j < dim; j++) {
			float d = q[j] - f16_to_f32(rows[i * stride + j]);
			s = fmaf(d, d, s);
		}
		out[i] = s;
	}
}

static void l1s(
	const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	for (size_t i = 0; i < n_rows; i++) {
		float s = 0;
		for (size_t j = 0; j < dim; j++)
			s += fabsf(q[j] - rows[i * stride + j]);
		out[i] = s;
	}
}

static void dots_many(const float *q, size_t q_stride, size_t n_q, const float *rows, size_t stride,
	size_t n_rows, size_t dim, float *out, size_t ldo)
{
	for (size_t j = 0; j < n_q; j++)
		dots(q + j * q_stride, rows, stride, n_rows, dim, out + j * ldo);
}

static float normalize(float *y, const float *x, size_t n)
{
	float len = sqrtf(dot(x, x, n));
	scale(y, x, len > 0 ? 1 / len : 0, n);
	return len;
}

static void mix(
	float *out, const float *p, const float *rows, size_t stride, size_t n_rows, size_t dim)
{
	memset(out, 0, dim * sizeof *out);
	for (size_t i = 0; i < n_rows; i++)
		axpy(out, p[i], rows + i * stride, dim);
}

static void mix_f16(
	float *out, const float *p, const kern_f16 *rows, size_t stride, size_t n_rows, size_t dim)
{
	memset(out, 0, dim * sizeof *out);
	for (size_t i = 0; i < n_rows; i++)
		for (size_t j = 0; j < dim; j++)
			out[j] = fmaf(p[i], f16_to_f32(rows[i * stride + j]), out[j]);
}

/* ---- codes ----------------------------------------------------------------------------------- */

static void codes(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
	size_t n, size_t dim, int32_t *out)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *row = rows + (ids ? ids[i] : i) * stride;
		out[i] = 0;
		for (size_t j = 0; j < dim; j++)
			out[i] += q[j] * row[j];
	}
}

static void bits(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids, size_t n,
	size_t dim, int32_t *out)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *row = rows + (ids ? ids[i] : i) * stride;
		out[i] = 0;
		for (size_t j = 0; j < dim; j++)
			out[i] += row[j / 8] >> j % 8 & 1 ? q[j] : 0;
	}
}

static void codes_many(const int8_t *q, size_t ldq, size_t n_q, const uint8_t *rows, size_t stride,
	size_t n, size_t dim, int32_t *out, size_t ldo)
{
	for (size_t j = 0; j < n_q; j++)
		codes(q + j * ldq, rows, stride, NULL, n, dim, out + j * ldo);
}

static float fixed(const float *q, const uint8_t *hi, const uint8_t *mid, const uint16_t *lo,
	size_t dim, float s, enum kern_sum of)
{
	float sum = 0;
	for (size_t j = 0; j < dim; j++) {
		uint32_t low = mid ? (uint32_t)mid[j] << 16 | (lo ? lo[j] : 0x8000u) : 0x800000u;
		float x = (float)(int32_t)(((uint32_t)hi[j] << 24 | low) ^ 0x80000000u) * s;
		float d = q[j] - x;
		sum = of == KERN_SQUARES ? fmaf(d, d, sum)
		      : of == KERN_ABS   ? sum + fabsf(d)
					 : fmaf(q[j], x, sum);
	}
	return sum;
}

static void codes_l1(const float *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
	size_t n, size_t dim, const float *scale, float *out)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = ids ? ids[i] : i;
		out[i] = 0;
		for (size_t j = 0; j < dim; j++)
			out[i] += fabsf(q[j] - scale[at] * ((float)rows[at * stride + j] - 127.5f));
	}
}

const struct kern kern_generic = {
	.name = "generic",
	.dot = dot,
	.dot_f16 = dot_f16,
	.dot_i8 = dot_i8,
	.sum = sum,
	.axpy = axpy,
	.add = add,
	.mul = mul,
	.scale = scale,
	.argmax = argmax,
	.to_f16 = to_f16,
	.from_f16 = from_f16,
	.exp = exp_all,
	.silu = silu,
	.silu_mul = silu_mul,
	.gelu_tanh = gelu_tanh,
	.gelu_tanh_mul = gelu_tanh_mul,
	.gelu_erf = gelu_erf,
	.tanh = tanh_all,
	.softmax = softmax,
	.rmsnorm = rmsnorm,
	.layernorm = layernorm,
	.rope_norm = rope_norm,
	.rope_neox = rope_neox,
	.dots = dots,
	.dots_f16 = dots_f16,
	.dots_i8 = dots_i8,
	.l2s = l2s,
	.l2s_f16 = l2s_f16,
	.l1s = l1s,
	.dots_many = dots_many,
	.normalize = normalize,
	.mix = mix,
	.mix_f16 = mix_f16,
	.codes = codes,
	.bits = bits,
	.codes_many = codes_many,
	.fixed = fixed,
	.codes_l1 = codes_l1,
};

/* ---- leaves of the products ------------------------------------------------------------------ */

/* max|x| is taken over the bits, where every NaN is larger than every number. */
static void act_row(const float *x, size_t k, int8_t *q, struct kern_act_meta *meta)
{
	for (size_t b = 0; b < k / BLK; b++, x += BLK, q += BLK) {
		uint32_t most = 0;
		for (unsigned i = 0; i < BLK; i++) {
			uint32_t u = load32(x + i) & 0x7fffffff;
			most = u > most ? u : most;
		}
		float amax;
		memcpy(&amax, &most, 4);
		if (most >= 0x7f800000 || amax < ACT_TINY) {
			float s = most >= 0x7f800000 ? NAN : 0;
			memset(q, 0, BLK);
			meta[b] = (struct kern_act_meta){s, s, 0, 0};
			continue;
		}
		float up = 127 / amax;
		int32_t half[2] = {0, 0};
		for (unsigned i = 0; i < BLK; i++) {
			q[i] = (int8_t)rintf(x[i] * up);
			half[i / 16] += q[i];
		}
		float s = amax / 127;
		meta[b].scale = s;
		meta[b].sum = s * (float)(half[0] + half[1]);
		meta[b].off = -128 * (half[0] + half[1]);
		meta[b].off_half = -128 * half[0];
	}
}

static void unpack_lines(const struct layout *l, const unsigned char *src, uint8_t *u)
{
	for (unsigned j = 0; j < 8; j++)
		for (unsigned i = 0; i < LINE; i++) {
			unsigned v;
			if (l->bits == 8) {
				v = src[j * LINE + i];
			} else {
				v = src[j % 4 * LINE + i] >> (j / 4 * 4) & 15;
				if (l->bits == 5)
					v |= (src[4 * LINE + i] >> j & 1u) << 4;
				if (l->bits == 6)
					v |= (src[(4 + j / 4) * LINE + i] >> (j % 4 * 2) & 3u) << 4;
			}
			u[j * LINE + i] = (uint8_t)(v << (8 - l->bits));
		}
}

static void unpack(enum kern_type type, const unsigned char *panel, size_t k, size_t b0, size_t n,
	struct tile_w *out, unsigned p)
{
	const struct layout *l = layout_of(type);
	float down = 1.0f / (float)(1 << (8 - l->bits));
	for (size_t i = 0; i < n; i++) {
		const unsigned char *g = scales_at(l, panel, k, b0 + i);
		size_t sub = (b0 + i) % l->scale_group;
		unpack_lines(l, panel + (b0 + i) * l->lines * LINE, out->u[p] + i * BLK_U8);
		for (unsigned r = 0; r < KERN_PANEL; r++) {
			float d = f16_to_f32(load16(g + 2 * r)) * down;
			float m = l->minimum ? f16_to_f32(load16(g + 32 + 2 * r)) : 0;
			if (l->halves) {
				out->s[p][2 * i][r] = d * (float)(int8_t)g[32 + 32 * sub + r];
				out->s[p][2 * i + 1][r] = d * (float)(int8_t)g[48 + 32 * sub + r];
			} else if (l->scale_group == 8) {
				out->s[p][i][r] = d * (float)g[64 + 32 * sub + r];
				out->b[p][i][r] = -(m * (float)g[80 + 32 * sub + r]);
			} else {
				out->s[p][i][r] = d;
				out->b[p][i][r] = m;
			}
		}
	}
}

/* The sum of u * q over lines [j0, j1) of row r. */
static int32_t dot_lines(const uint8_t *u, unsigned r, const int8_t *q, unsigned j0, unsigned j1)
{
	int32_t s = 0;
	for (unsigned j = j0; j < j1; j++)
		for (unsigned c = 0; c < 4; c++)
			s += u[j * LINE + 4 * r + c] * q[4 * j + c];
	return s;
}

static void tile(const struct layout *l, const struct tile_w *w, unsigned n_panels, size_t n,
	const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm, size_t n_tok,
	const struct sums *to)
{
	struct sums o = *to;
	for (size_t t = 0; t < n_tok; t++)
		for (unsigned c = 0; c < n_panels * KERN_PANEL; c++) {
			unsigned p = c / KERN_PANEL, r = c % KERN_PANEL;
			float acc = o.from[t * o.ldf + c];
			for (size_t i = 0; i < n; i++) {
				const uint8_t *u = w->u[p] + i * BLK_U8;
				const int8_t *x = q + t * ldq + i * BLK;
				struct kern_act_meta m = meta[t * ldm + i];
				if (l->halves) {
					int32_t lo = dot_lines(u, r, x, 0, 4) + m.off_half;
					int32_t hi =
						dot_lines(u, r, x, 4, 8) + (m.off - m.off_half);
					acc = fmaf((float)lo, w->s[p][2 * i][r] * m.scale, acc);
					acc = fmaf((float)hi, w->s[p][2 * i + 1][r] * m.scale, acc);
				} else if (l->minimum) {
					int32_t d = dot_lines(u, r, x, 0, 8);
					acc = fmaf((float)d, w->s[p][i][r] * m.scale, acc);
					acc = fmaf(w->b[p][i][r], m.sum, acc);
				} else {
					int32_t d = dot_lines(u, r, x, 0, 8) + m.off;
					acc = fmaf((float)d, w->s[p][i][r] * m.scale, acc);
				}
			}
			o.y[t * o.ldy + c] = acc;
		}
}

static void unpack_f(enum kern_type type, const unsigned char *panel, size_t k0, size_t n,
	float (*out)[KERN_PANEL])
{
	size_t bytes = type == KERN_F32 ? 4 : 2;
	if (type == KERN_BF16) {
		for (size_t i = 0; i < n; i++)
			for (unsigned r = 0; r < KERN_PANEL; r++)
				out[i][r] = bf16_to_f32(load16(panel + bf16_at(k0 + i, r)));
		return;
	}
	kern_dequant(type, panel + k0 * KERN_PANEL * bytes, out[0], n * KERN_PANEL);
}

static void tile_f(const float *w, size_t w_panel, unsigned n_panels, size_t n, const float *a,
	size_t a_row, size_t a_col, size_t n_tok, const struct sums *to)
{
	struct sums o = *to;
	for (size_t t = 0; t < n_tok; t++)
		for (unsigned c = 0; c < n_panels * KERN_PANEL; c++) {
			const float *col = w + c / KERN_PANEL * w_panel + c % KERN_PANEL;
			float acc = 0;
			for (size_t i = 0; i < n; i++)
				acc = fmaf(a[t * a_row + i * a_col], col[i * KERN_PANEL], acc);
			o.y[t * o.ldy + c] = o.from[t * o.ldf + c] + acc;
		}
}

static void transpose(enum kern_type type, const void *rows, size_t stride, size_t n_rows, size_t n,
	float (*out)[KERN_PANEL])
{
	for (size_t i = 0; i < n; i++)
		for (size_t r = 0; r < KERN_PANEL; r++)
			if (r >= n_rows)
				out[i][r] = 0;
			else if (type == KERN_F32)
				out[i][r] = ((const float *)rows)[r * stride + i];
			else
				out[i][r] = f16_to_f32(((const uint16_t *)rows)[r * stride + i]);
}

/* ---- attention ------------------------------------------------------------------------------- */

/* What belongs to position p of a block, or of the whole; i: its value. */
static float kv_at(const struct kern_attn *a, const void *base, size_t p, size_t i)
{
	base = (const char *)base + (a->blocks ? a->blocks[p / ATTN_CUT] * a->block : 0);
	if (a->kv_type == KERN_F32)
		return ((const float *)base)[i];
	if (a->kv_type == KERN_F16)
		return f16_to_f32(((const uint16_t *)base)[i]);
	return ((const int8_t *)base)[i];
}

static float factor(const struct kern_attn *a, const float *f, size_t p)
{
	if (a->kv_type != KERN_Q8_0)
		return 1;
	f = (const float *)((const char *)f + (a->blocks ? a->blocks[p / ATTN_CUT] * a->block : 0));
	return f[a->blocks ? p % ATTN_CUT : p];
}

static float key_at(const struct kern_attn *a, size_t p, size_t i)
{
	size_t in = a->blocks ? p % ATTN_CUT : p;
	if (!a->k_panels)
		return kv_at(a, a->k, p, in * a->k_pos + i);
	return kv_at(a, a->k, p,
		in / KERN_PANEL * KERN_PANEL * a->head_dim + KERN_PANEL * i + in % KERN_PANEL);
}

static float value_at(const struct kern_attn *a, size_t p, size_t i)
{
	return kv_at(a, a->v, p, (a->blocks ? p % ATTN_CUT : p) * a->v_pos + i);
}

static void attend_one(const struct kern_attn *a, const float *q, size_t lo, size_t hi, float *out)
{
	float *s = a->scratch;
	for (size_t p = lo; p < hi; p++) {
		float d = 0;
		for (size_t i = 0; i < a->head_dim; i++)
			d = fmaf(q[i], key_at(a, p, i), d);
		d *= a->scale * factor(a, a->k_factor, p);
		s[p - lo] = a->softcap > 0 ? a->softcap * tanhf(d / a->softcap) : d;
	}
	softmax(s, s, hi - lo);
	memset(out, 0, a->head_dim * sizeof *out);
	for (size_t p = lo; p < hi; p++) {
		float w = s[p - lo] * factor(a, a->v_factor, p);
		for (size_t i = 0; i < a->head_dim; i++)
			out[i] = fmaf(w, value_at(a, p, i), out[i]);
	}
}

static void attention(const struct kern_attn *a)
{
	for (size_t t = 0; t < a->n_tok; t++) {
		size_t hi = a->causal ? MIN(a->pos0 + t + 1, a->n_pos) : a->n_pos;
		size_t lo = a->window && hi > a->window ? hi - a->window : 0;
		for (size_t g = 0; g < a->n_group; g++)
			attend_one(a, a->q + t * a->q_tok + g * a->q_head, lo, hi,
				a->out + t * a->out_tok + g * a->out_head);
	}
}

const struct leaves leaves_generic = {
	.tok_tile = 8,
	.tok_tile_f = 8,
	.act_row = act_row,
	.unpack = unpack,
	.tile = tile,
	.unpack_f = unpack_f,
	.tile_f = tile_f,
	.transpose = transpose,
	.attention = attention,
};
