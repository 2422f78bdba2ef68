/* AVX-512 (F, BW, DQ, VL, VNNI): 16 lanes of f32, vpdpbusd for the integers. Tails are masked loads
 * and stores. A tile holds its sums in registers: 2 panels x 6 tokens of integers and of floats
 * (24 of 32 registers), or 2 panels x 12 tokens of floats. */
#include "kernels/kern_int.h"

#include <immintrin.h>
#include <math.h>

/* How far ahead memory is asked for, in bytes or blocks: where it counts, with one token at four
 * panels and with few at one or two, each was the best of 2, 4 and 8 kB. */
enum { ROW_PANELS = 4, AHEAD = 2048, AHEAD_TILE = 4096 };

#define INLINE static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLL_FOR(i, from, to) \
	_Pragma("clang loop unroll(full)") for (unsigned i = (from); i < (to); i++)
#else
#define UNROLL_FOR(i, from, to) _Pragma("GCC unroll 16") for (unsigned i = (from); i < (to); i++)
#endif

INLINE __mmask16 tail(size_t n)
{
	return (__mmask16)((1u << n) - 1);
}

/* min(n, 16) lanes of a row. */
INLINE __mmask16 lanes(size_t n)
{
	return n >= 16 ? 0xffff : tail(n);
}

INLINE __m512 load_f16(const kern_f16 *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE __m512 load_f16_part(const kern_f16 *p, __mmask16 m)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p));
}

/* ---- functions of lanes ---------------------------------------------------------------------- */

/* exp: x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 p(r), p of degree 4 by minimax (relative
 * error 3e-9, so rounding decides: below 2 ulp, tested). */
INLINE __m512 exp_ps(__m512 x)
{
	__mmask16 zero = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.3f), _CMP_LT_OQ);
	x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);
	__m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
	__m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
	r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
	__m512 p = _mm512_set1_ps(0.0013814539415761828f);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.00836878176778555f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.04166839271783829f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.1666651964187622f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.4999999403953552f));
	p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, r);
	p = _mm512_add_ps(p, _mm512_set1_ps(1));
	return _mm512_mask_mov_ps(_mm512_scalef_ps(p, n), zero, _mm512_setzero_ps());
}

/* x / (1 + exp(-u)) */
INLINE __m512 times_sigmoid(__m512 x, __m512 u)
{
	__m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), u));
	return _mm512_div_ps(x, _mm512_add_ps(e, _mm512_set1_ps(1)));
}

INLINE __m512 silu_ps(__m512 x)
{
	return times_sigmoid(x, x);
}

INLINE __m512 gelu_tanh_ps(__m512 x)
{
	__m512 c = _mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(0.044715f));
	__m512 u = _mm512_fmadd_ps(c, x, x);
	return times_sigmoid(x, _mm512_mul_ps(u, _mm512_set1_ps(1.5957691216f)));
}

/* x/2 erfc(-x / sqrt 2), with erfc(z) = exp(z p(z)) for z >= 0, p of degree 7 by minimax over
 * [0, 4.5]; beyond, the exponent keeps falling. Error 8e-8 max(1, |x|). */
INLINE __m512 gelu_erf_ps(__m512 x)
{
	__m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678119f));
	__m512 p = _mm512_set1_ps(-3.1434432457899675e-05f);
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(0.0003087650693487376f));
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-0.0010323134483769536f));
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-0.0005370285362005234f));
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(0.01958400569856167f));
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-0.10291961580514908f));
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-0.636597752571106f));
	p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-1.128380298614502f));
	__m512 e = _mm512_mul_ps(exp_ps(_mm512_mul_ps(p, z)), _mm512_set1_ps(0.5f));
	__mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
	return _mm512_mask_mul_ps(_mm512_fnmadd_ps(x, e, x), negative, x, e);
}

/* sign(x) (1 - t) / (1 + t), t = exp(-2 |x|); below 0.15 the odd series, where that would cancel.
 */
INLINE __m512 tanh_ps(__m512 x)
{
	__m512 a = _mm512_abs_ps(x), one = _mm512_set1_ps(1);
	__m512 t = exp_ps(_mm512_mul_ps(a, _mm512_set1_ps(-2)));
	__m512 big = _mm512_div_ps(_mm512_sub_ps(one, t), _mm512_add_ps(one, t));
	__m512 s = _mm512_mul_ps(x, x), p = _mm512_set1_ps(-17.0f / 315);
	p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(2.0f / 15));
	p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-1.0f / 3));
	__m512 small = _mm512_fmadd_ps(_mm512_mul_ps(p, s), a, a);
	__m512 y = _mm512_mask_mov_ps(
		big, _mm512_cmp_ps_mask(a, _mm512_set1_ps(0.15f), _CMP_LT_OQ), small);
	__m512 sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f));
	return _mm512_or_ps(y, sign);
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* y[i] = expr of v = x[i]. */
#define MAP1(name, expr)                                            \
	static void name(float *y, const float *x, size_t n)        \
	{                                                           \
		for (size_t i = 0; i < n; i += 16) {                \
			__mmask16 m = lanes(n - i);                 \
			__m512 v = _mm512_maskz_loadu_ps(m, x + i); \
			_mm512_mask_storeu_ps(y + i, m, expr);      \
		}                                                   \
	}
/* y[i] = expr of v = a[i], u = b[i]. */
#define MAP2(name, expr)                                                     \
	static void name(float *y, const float *a, const float *b, size_t n) \
	{                                                                    \
		for (size_t i = 0; i < n; i += 16) {                         \
			__mmask16 m = lanes(n - i);                          \
			__m512 v = _mm512_maskz_loadu_ps(m, a + i),          \
			       u = _mm512_maskz_loadu_ps(m, b + i);          \
			_mm512_mask_storeu_ps(y + i, m, expr);               \
		}                                                            \
	}

MAP1(exp_all, exp_ps(v))
MAP1(silu, silu_ps(v))
MAP1(gelu_tanh, gelu_tanh_ps(v))
MAP1(gelu_erf, gelu_erf_ps(v))
MAP1(tanh_all, tanh_ps(v))
MAP2(silu_mul, _mm512_mul_ps(silu_ps(v), u))
MAP2(gelu_tanh_mul, _mm512_mul_ps(gelu_tanh_ps(v), u))
MAP2(add, _mm512_add_ps(v, u))
MAP2(mul, _mm512_mul_ps(v, u))

static void scale(float *y, const float *x, float a, size_t n)
{
	__m512 va = _mm512_set1_ps(a);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		_mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), va));
	}
}

static void axpy(float *y, float a, const float *x, size_t n)
{
	__m512 va = _mm512_set1_ps(a);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		__m512 s = _mm512_maskz_loadu_ps(m, y + i);
		_mm512_mask_storeu_ps(
			y + i, m, _mm512_fmadd_ps(va, _mm512_maskz_loadu_ps(m, x + i), s));
	}
}

INLINE float sum4(const __m512 s[4])
{
	return _mm512_reduce_add_ps(
		_mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3])));
}

/* Calls step(c, at, m) over n values in four chains c, the last ones under a mask. */
#define CHAINS(n, step)                                                             \
	do {                                                                        \
		size_t at0 = 0;                                                     \
		for (; at0 + 64 <= (n); at0 += 64)                                  \
			UNROLL_FOR (c, 0, 4)                                        \
				step(c, at0 + 16 * c, (__mmask16)0xffff);           \
		UNROLL_FOR (c, 0, 4)                                                \
			if (at0 + 16 * c < (n))                                     \
				step(c, at0 + 16 * c, lanes((n) - (at0 + 16 * c))); \
	} while (0)

#define ZERO4                                                                                      \
	{                                                                                          \
		_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps() \
	}

static float dot(const float *a, const float *b, size_t n)
{
	__m512 s[4] = ZERO4;
#define STEP(c, at, m)          \
	s[c] = _mm512_fmadd_ps( \
		_mm512_maskz_loadu_ps(m, a + (at)), _mm512_maskz_loadu_ps(m, b + (at)), s[c])
	CHAINS(n, STEP);
#undef STEP
	return sum4(s);
}

static float dot_f16(const float *a, const kern_f16 *b, size_t n)
{
	__m512 s[4] = ZERO4;
#define STEP(c, at, m) \
	s[c] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a + (at)), load_f16_part(b + (at), m), s[c])
	CHAINS(n, STEP);
#undef STEP
	return sum4(s);
}

static float sum(const float *x, size_t n)
{
	__m512 s[4] = ZERO4;
#define STEP(c, at, m) s[c] = _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + (at)), s[c])
	CHAINS(n, STEP);
#undef STEP
	return sum4(s);
}

/* vpdpbusd multiplies unsigned by signed: b is shifted by 128, which 128 * sum of a takes back. */
static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	const __m512i flip = _mm512_set1_epi8((char)0x80);
	__m512i s = _mm512_setzero_si512(), extra = s;
	for (size_t i = 0; i < n; i += 64) {
		__mmask64 m = n - i >= 64 ? ~0ull : (1ull << (n - i)) - 1;
		__m512i va = _mm512_maskz_loadu_epi8(m, a + i),
			vb = _mm512_maskz_loadu_epi8(m, b + i);
		s = _mm512_dpbusd_epi32(s, _mm512_xor_si512(vb, flip), va);
		extra = _mm512_dpbusd_epi32(extra, flip, va);
	}
	return _mm512_reduce_add_epi32(_mm512_sub_epi32(s, extra));
}

static float max_all(const float *x, size_t n)
{
	const __m512 least = _mm512_set1_ps(-INFINITY);
	__m512 s = least;
	for (size_t i = 0; i < n; i += 16) /* max(x, s) is s when x is NaN */
		s = _mm512_max_ps(_mm512_mask_loadu_ps(least, lanes(n - i), x + i), s);
	return _mm512_reduce_max_ps(s);
}

static size_t argmax(const float *x, size_t n)
{
	float most = max_all(x, n);
	if (most == -INFINITY)
		return 0;
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		m = _mm512_mask_cmp_ps_mask(
			m, _mm512_maskz_loadu_ps(m, x + i), _mm512_set1_ps(most), _CMP_EQ_OQ);
		if (m)
			return i + (size_t)__builtin_ctz(m);
	}
	return 0;
}

static void to_f16(kern_f16 *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		_mm256_mask_storeu_epi16(
			y + i, m, _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, x + i), 8));
	}
}

static void from_f16(float *y, const kern_f16 *x, size_t n)
{
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		_mm512_mask_storeu_ps(y + i, m, load_f16_part(x + i, m));
	}
}

/* ---- rows ------------------------------------------------------------------------------------ */

static float softmax(float *y, const float *x, size_t n)
{
	float most = max_all(x, n);
	if (most == -INFINITY) {
		memset(y, 0, n * sizeof *y);
		return most;
	}
	__m512 s = _mm512_setzero_ps(), top = _mm512_set1_ps(most);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		__m512 e = exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), top));
		_mm512_mask_storeu_ps(y + i, m, e);
		s = _mm512_mask_add_ps(s, m, s, e);
	}
	float all = _mm512_reduce_add_ps(s);
	scale(y, y, 1 / all, n);
	return most + logf(all);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
	__m512 r = _mm512_set1_ps(1 / sqrtf(dot(x, x, n) / (float)n + eps));
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		__m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), r);
		_mm512_mask_storeu_ps(
			y + i, m, w ? _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i)) : v);
	}
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
	__m512 mean = _mm512_set1_ps(sum(x, n) / (float)n), s = _mm512_setzero_ps();
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		__m512 d = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, x + i), mean);
		s = _mm512_fmadd_ps(d, d, s);
	}
	__m512 r = _mm512_set1_ps(1 / sqrtf(_mm512_reduce_add_ps(s) / (float)n + eps));
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		__m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), mean), r);
		v = w ? _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i)) : v;
		_mm512_mask_storeu_ps(
			y + i, m, b ? _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, b + i)) : v);
	}
}

static void rope_norm(float *x, const float *cs, size_t half, size_t n_heads, size_t stride)
{
	const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
	for (size_t i = 0; i < half; i += 8) {
		__mmask16 m = lanes(2 * (half - i)), mh = half - i >= 8 ? 0xff : tail(half - i);
		__m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(mh, cs + i));
		__m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(mh, cs + half + i));
		for (size_t h = 0; h < n_heads; h++) {
			float *p = x + h * stride + 2 * i;
			__m512 v = _mm512_maskz_loadu_ps(m, p);
			__m512 other = _mm512_mul_ps(_mm512_permute_ps(v, 0xB1), s);
			_mm512_mask_storeu_ps(p, m, _mm512_fmaddsub_ps(v, c, other));
		}
	}
}

static void rope_neox(float *x, const float *cs, size_t half, size_t n_heads, size_t stride)
{
	for (size_t i = 0; i < half; i += 16) {
		__mmask16 m = lanes(half - i);
		__m512 c = _mm512_maskz_loadu_ps(m, cs + i),
		       s = _mm512_maskz_loadu_ps(m, cs + half + i);
		for (size_t h = 0; h < n_heads; h++) {
			float *p = x + h * stride + i;
			__m512 a = _mm512_maskz_loadu_ps(m, p),
			       b = _mm512_maskz_loadu_ps(m, p + half);
			_mm512_mask_storeu_ps(p, m, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
			_mm512_mask_storeu_ps(
				p + half, m, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
		}
	}
}

/* ---- distances ------------------------------------------------------------------------------- */

enum row_kind { ROW_F32, ROW_F16 };

INLINE __m512 row_part(enum row_kind kind, const void *row, size_t i, __mmask16 m)
{
	return kind == ROW_F32 ? _mm512_maskz_loadu_ps(m, (const float *)row + i)
			       : load_f16_part((const kern_f16 *)row + i, m);
}

INLINE __m512 sum_part(enum kern_sum of, __m512 q, __m512 v, __m512 d, __m512 sum)
{
	return of == KERN_SQUARES ? _mm512_fmadd_ps(d, d, sum)
	       : of == KERN_ABS   ? _mm512_add_ps(sum, _mm512_abs_ps(d))
				  : _mm512_fmadd_ps(q, v, sum);
}

/* R rows at once, one chain of lanes each, whatever R: a row's result is its own. */
INLINE void some_rows(enum row_kind kind, enum kern_sum of, unsigned R, const float *q,
	const char *rows, size_t bytes, size_t dim, float *out)
{
	__m512 s[8];
	UNROLL_FOR (r, 0, R)
		s[r] = _mm512_setzero_ps();
	for (size_t i = 0; i < dim; i += 16) {
		__mmask16 m = lanes(dim - i);
		__m512 vq = _mm512_maskz_loadu_ps(m, q + i);
		UNROLL_FOR (r, 0, R) {
			__m512 v = row_part(kind, rows + r * bytes, i, m);
			__m512 d = _mm512_sub_ps(vq, v);
			s[r] = sum_part(of, vq, v, d, s[r]);
		}
	}
	UNROLL_FOR (r, 0, R)
		out[r] = _mm512_reduce_add_ps(s[r]);
}

INLINE void all_rows(enum row_kind kind, enum kern_sum of, const float *q, const void *rows,
	size_t stride, size_t n_rows, size_t dim, float *out)
{
	size_t i = 0, bytes = stride * (kind == ROW_F32 ? 4 : 2);
	const char *p = rows;
	for (; i + 8 <= n_rows; i += 8)
		some_rows(kind, of, 8, q, p + i * bytes, bytes, dim, out + i);
	for (; i < n_rows; i++)
		some_rows(kind, of, 1, q, p + i * bytes, bytes, dim, out + i);
}

static void dots(
	const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	all_rows(ROW_F32, KERN_PRODUCT, q, rows, stride, n_rows, dim, out);
}

static void dots_f16(
	const float *q, const kern_f16 *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	all_rows(ROW_F16, KERN_PRODUCT, q, rows, stride, n_rows, dim, out);
}

static void l2s(
	const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	all_rows(ROW_F32, KERN_SQUARES, q, rows, stride, n_rows, dim, out);
}

static void l1s(
	const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	all_rows(ROW_F32, KERN_ABS, q, rows, stride, n_rows, dim, out);
}

static void l2s_f16(
	const float *q, const kern_f16 *rows, size_t stride, size_t n_rows, size_t dim, float *out)
{
	all_rows(ROW_F16, KERN_SQUARES, q, rows, stride, n_rows, dim, out);
}

INLINE void some_rows_i8(unsigned R, const int8_t *q, const int8_t *rows, size_t stride, size_t dim,
	int32_t less, int32_t *out)
{
	const __m512i flip = _mm512_set1_epi8((char)0x80);
	__m512i s[8];
	UNROLL_FOR (r, 0, R)
		s[r] = _mm512_setzero_si512();
	for (size_t i = 0; i < dim; i += 64) {
		__mmask64 m = dim - i >= 64 ? ~0ull : (1ull << (dim - i)) - 1;
		__m512i vq = _mm512_maskz_loadu_epi8(m, q + i);
		UNROLL_FOR (r, 0, R) {
			__m512i v = _mm512_maskz_loadu_epi8(m, rows + r * stride + i);
			s[r] = _mm512_dpbusd_epi32(s[r], _mm512_xor_si512(v, flip), vq);
		}
	}
	UNROLL_FOR (r, 0, R)
		out[r] = _mm512_reduce_add_epi32(s[r]) - less;
}

static void dots_i8(
	const int8_t *q, const int8_t *rows, size_t stride, size_t n_rows, size_t dim, int32_t *out)
{
	int32_t less = 0;
	for (size_t i = 0; i < dim; i++)
		less += 128 * q[i];
	size_t i = 0;
	for (; i + 8 <= n_rows; i += 8)
		some_rows_i8(8, q, rows + i * stride, stride, dim, less, out + i);
	for (; i < n_rows; i++)
		some_rows_i8(1, q, rows + i * stride, stride, dim, less, out + i);
}

static void dots_many(const float *q, size_t q_stride, size_t n_q, const float *rows, size_t stride,
	size_t n_rows, size_t dim, float *out, size_t ldo)
{
	kern_gemm(NULL, &(struct kern_gemm){false, true, n_q, n_rows, dim, q, rows, out, q_stride,
				stride, ldo, 1, 0});
}

static float normalize(float *y, const float *x, size_t n)
{
	float len = sqrtf(dot(x, x, n));
	scale(y, x, len > 0 ? 1 / len : 0, n);
	return len;
}

/* 64 columns at a time stay in registers while the rows go by. */
INLINE void mix_any(enum row_kind kind, float *out, const float *p, const void *rows, size_t stride,
	size_t n_rows, size_t dim)
{
	size_t size = kind == ROW_F32 ? 4 : 2;
	for (size_t j = 0; j < dim; j += 64) {
		__m512 s[4] = ZERO4;
		__mmask16 m[4];
		UNROLL_FOR (c, 0, 4)
			m[c] = j + 16 * c < dim ? lanes(dim - j - 16 * c) : 0;
		const char *row = (const char *)rows + j * size;
		for (size_t i = 0; i < n_rows; i++, row += stride * size)
			UNROLL_FOR (c, 0, 4)
				s[c] = _mm512_fmadd_ps(_mm512_set1_ps(p[i]),
					row_part(kind, row, 16 * c, m[c]), s[c]);
		UNROLL_FOR (c, 0, 4)
			_mm512_mask_storeu_ps(out + j + 16 * c, m[c], s[c]);
	}
}

static void mix(
	float *out, const float *p, const float *rows, size_t stride, size_t n_rows, size_t dim)
{
	mix_any(ROW_F32, out, p, rows, stride, n_rows, dim);
}

static void mix_f16(
	float *out, const float *p, const kern_f16 *rows, size_t stride, size_t n_rows, size_t dim)
{
	mix_any(ROW_F16, out, p, rows, stride, n_rows, dim);
}

/* ---- codes ----------------------------------------------------------------------------------- */

INLINE __mmask64 bytes_left(size_t n)
{
	return n >= 64 ? ~0ull : (1ull << n) - 1;
}

/* The sums of four vectors, side by side. */
INLINE __m128i sums_of_4(__m512i a, __m512i b, __m512i c, __m512i d)
{
	__m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
	__m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
	__m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
	__m256i t = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
	return _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
}

enum { CODES_AHEAD = 8 }; /* rows */

INLINE void fetch_row(const uint8_t *row, size_t bytes)
{
	for (size_t b = 0; b < bytes; b += 64)
		_mm_prefetch((const char *)row + b, _MM_HINT_T0);
}

/* Bytes, or bits as bytes 0 and 1, from element j on. */
INLINE __m512i code_part(bool one_bit, const uint8_t *row, size_t j, __mmask64 m)
{
	if (!one_bit)
		return _mm512_maskz_loadu_epi8(m, row + j);
	uint64_t v = 0;
	if (m == ~0ull)
		memcpy(&v, row + j / 8, 8);
	else
		for (size_t b = 0; b * 8 < 64 && m >> b * 8; b++)
			v |= (uint64_t)row[j / 8 + b] << b * 8;
	return _mm512_maskz_set1_epi8(v & m, 1);
}

/* Four rows; fewer are given by repeating one. */
INLINE __m128i code_rows_4(bool one_bit, const int8_t *q, const uint8_t *const rows[4], size_t dim)
{
	__m512i s[4];
	UNROLL_FOR (r, 0, 4)
		s[r] = _mm512_setzero_si512();
	size_t j = 0;
	for (; j + 64 <= dim; j += 64) {
		__m512i vq = _mm512_loadu_si512(q + j);
		UNROLL_FOR (r, 0, 4)
			s[r] = _mm512_dpbusd_epi32(s[r], code_part(one_bit, rows[r], j, ~0ull), vq);
	}
	if (j < dim) {
		__mmask64 m = bytes_left(dim - j);
		__m512i vq = _mm512_maskz_loadu_epi8(m, q + j);
		UNROLL_FOR (r, 0, 4)
			s[r] = _mm512_dpbusd_epi32(s[r], code_part(one_bit, rows[r], j, m), vq);
	}
	return sums_of_4(s[0], s[1], s[2], s[3]);
}

INLINE void code_rows(bool one_bit, const int8_t *q, const uint8_t *rows, size_t stride,
	const uint32_t *ids, size_t n, size_t dim, int32_t *out)
{
	size_t bytes = one_bit ? (dim + 7) / 8 : dim;
	for (size_t i = 0; i < n; i += 4) {
		const uint8_t *row[4];
		UNROLL_FOR (r, 0, 4) {
			size_t at = i + r < n ? i + r : n - 1;
			row[r] = rows + (ids ? ids[at] : at) * stride;
			if (ids && i + r + CODES_AHEAD < n)
				fetch_row(rows + ids[i + r + CODES_AHEAD] * stride, bytes);
		}
		__m128i s = code_rows_4(one_bit, q, row, dim);
		if (i + 4 <= n)
			_mm_storeu_si128((__m128i *)(out + i), s);
		else
			_mm_mask_storeu_epi32(out + i, (__mmask8)((1u << (n - i)) - 1), s);
	}
}

static void codes(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
	size_t n, size_t dim, int32_t *out)
{
	code_rows(false, q, rows, stride, ids, n, dim, out);
}

static void bits(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids, size_t n,
	size_t dim, int32_t *out)
{
	code_rows(true, q, rows, stride, ids, n, dim, out);
}

/* Q queries and four rows. */
INLINE void code_tile(unsigned Q, const int8_t *q, size_t ldq, const uint8_t *const row[4],
	size_t dim, size_t n, int32_t *out, size_t ldo)
{
	__m512i s[6][4];
	UNROLL_FOR (c, 0, Q)
		UNROLL_FOR (r, 0, 4)
			s[c][r] = _mm512_setzero_si512();
	for (size_t j = 0; j < dim; j += 64) {
		__mmask64 m = bytes_left(dim - j);
		__m512i v[4];
		UNROLL_FOR (r, 0, 4)
			v[r] = _mm512_maskz_loadu_epi8(m, row[r] + j);
		UNROLL_FOR (c, 0, Q) {
			__m512i vq = _mm512_loadu_si512(q + c * ldq + j);
			UNROLL_FOR (r, 0, 4)
				s[c][r] = _mm512_dpbusd_epi32(s[c][r], v[r], vq);
		}
	}
	__mmask8 keep = (__mmask8)(n >= 4 ? 15 : (1u << n) - 1);
	UNROLL_FOR (c, 0, Q)
		_mm_mask_storeu_epi32(
			out + c * ldo, keep, sums_of_4(s[c][0], s[c][1], s[c][2], s[c][3]));
}

static void codes_many(const int8_t *q, size_t ldq, size_t n_q, const uint8_t *rows, size_t stride,
	size_t n, size_t dim, int32_t *out, size_t ldo)
{
	for (size_t i = 0; i < n; i += 4) {
		const uint8_t *row[4];
		UNROLL_FOR (r, 0, 4)
			row[r] = rows + (i + r < n ? i + r : n - 1) * stride;
		size_t c = 0;
		for (; c + 6 <= n_q; c += 6)
			code_tile(6, q + c * ldq, ldq, row, dim, n - i, out + c * ldo + i, ldo);
		for (; c < n_q; c++)
			code_tile(1, q + c * ldq, ldq, row, dim, n - i, out + c * ldo + i, ldo);
	}
}

INLINE __m512 fixed_part(
	const uint8_t *hi, const uint8_t *mid, const uint16_t *lo, size_t j, __mmask16 m)
{
	__m512i v = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, hi + j)), 24);
	__m512i low = _mm512_set1_epi32(mid ? 0x8000 : 0x800000);
	if (lo)
		low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, lo + j));
	if (mid)
		low = _mm512_or_si512(
			low, _mm512_slli_epi32(
				     _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, mid + j)), 16));
	return _mm512_cvtepi32_ps(
		_mm512_xor_si512(_mm512_or_si512(v, low), _mm512_set1_epi32((int)0x80000000)));
}

static float fixed(const float *q, const uint8_t *hi, const uint8_t *mid, const uint16_t *lo,
	size_t dim, float s, enum kern_sum of)
{
	const __m512 vs = _mm512_set1_ps(s);
	__m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
	for (size_t j = 0; j < dim; j += 32)
		UNROLL_FOR (c, 0, 2) {
			__mmask16 m = j + 16 * c < dim ? lanes(dim - j - 16 * c) : 0;
			__m512 x = _mm512_mul_ps(fixed_part(hi, mid, lo, j + 16 * c, m), vs),
			       v = _mm512_maskz_loadu_ps(m, q + j + 16 * c),
			       d = _mm512_maskz_sub_ps(m, v, x);
			sum[c] = sum_part(of, v, x, d, sum[c]);
		}
	return _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
}

static void codes_l1(const float *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
	size_t n, size_t dim, const float *scale, float *out)
{
	const __m512 middle = _mm512_set1_ps(127.5f);
	for (size_t i = 0; i < n; i++) {
		size_t at = ids ? ids[i] : i;
		const uint8_t *row = rows + at * stride;
		const __m512 s = _mm512_set1_ps(scale[at]);
		__m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
		for (size_t j = 0; j < dim; j += 32)
			UNROLL_FOR (c, 0, 2) {
				size_t k = j + 16 * c;
				__mmask16 m = k < dim ? lanes(dim - k) : 0;
				__m512 x = _mm512_cvtepi32_ps(
					_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, row + k)));
				__m512 d = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, q + k),
					_mm512_mul_ps(s, _mm512_sub_ps(x, middle)));
				sum[c] = _mm512_add_ps(sum[c], _mm512_abs_ps(d));
			}
		out[i] = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
	}
}

const struct kern kern_avx512 = {
	.name = "avx512",
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

/* ---- leaves of the products: integers -------------------------------------------------------- */

static void act_row(const float *x, size_t k, int8_t *q, struct kern_act_meta *meta)
{
	const __m512i bits = _mm512_set1_epi32(0x7fffffff);
	for (size_t b = 0; b < k / BLK; b++, x += BLK, q += BLK) {
		__m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
		__m512i a0 = _mm512_and_si512(_mm512_castps_si512(v0), bits);
		__m512i a1 = _mm512_and_si512(_mm512_castps_si512(v1), bits);
		uint32_t most = _mm512_reduce_max_epu32(_mm512_max_epu32(a0, a1));
		float amax;
		memcpy(&amax, &most, 4);
		if (most >= 0x7f800000 || amax < ACT_TINY) {
			float s = most >= 0x7f800000 ? NAN : 0;
			memset(q, 0, BLK);
			meta[b] = (struct kern_act_meta){s, s, 0, 0};
			continue;
		}
		__m512 up = _mm512_set1_ps(127 / amax);
		__m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(v0, up));
		__m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(v1, up));
		_mm_storeu_si128((__m128i *)q, _mm512_cvtepi32_epi8(q0));
		_mm_storeu_si128((__m128i *)(q + 16), _mm512_cvtepi32_epi8(q1));
		int32_t h0 = _mm512_reduce_add_epi32(q0), h1 = _mm512_reduce_add_epi32(q1);
		float s = amax / 127;
		meta[b] = (struct kern_act_meta){
			s, s * (float)(h0 + h1), -128 * (h0 + h1), -128 * h0};
	}
}

/* The eight lines of a packed block as u = q << (8 - bits). Shifts go over 16-bit lanes; the masks
 * drop what crosses a byte. */
INLINE void lines_of(unsigned bits, const unsigned char *src, __m512i u[8])
{
	if (bits == 8) {
		UNROLL_FOR (j, 0, 8)
			u[j] = _mm512_load_si512(src + j * LINE);
		return;
	}
	const __m512i nib = _mm512_set1_epi8((char)(0xf << (8 - bits)));
	UNROLL_FOR (j, 0, 4) {
		__m512i v = _mm512_load_si512(src + j * LINE);
		u[j] = _mm512_and_si512(_mm512_slli_epi16(v, 8 - bits), nib);
		u[j + 4] = _mm512_and_si512(bits == 4 ? v : _mm512_srli_epi16(v, bits - 4), nib);
	}
	if (bits == 5) {
		__m512i h = _mm512_load_si512(src + 4 * LINE), top = _mm512_set1_epi8((char)0x80);
		UNROLL_FOR (j, 0, 8)
			u[j] = _mm512_or_si512(
				u[j], _mm512_and_si512(_mm512_slli_epi16(h, 7 - j), top));
	}
	if (bits == 6) {
		__m512i top = _mm512_set1_epi8((char)0xc0);
		UNROLL_FOR (j, 0, 8) {
			__m512i h = _mm512_load_si512(src + (4 + j / 4) * LINE);
			u[j] = _mm512_or_si512(
				u[j], _mm512_and_si512(_mm512_slli_epi16(h, 6 - j % 4 * 2), top));
		}
	}
}

INLINE __m512 bytes_ps(const unsigned char *p, bool is_signed)
{
	__m128i v = _mm_loadu_si128((const __m128i *)p);
	return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(v) : _mm512_cvtepu8_epi32(v));
}

/* Factors (divided by 2^(8 - bits)) and addends of block b. s[1] only with halves. */
INLINE void scales_of(enum kern_type type, const unsigned char *panel, size_t k, size_t b,
	__m512 s[2], __m512 *add_to)
{
	const struct layout *l = layout_of(type);
	const unsigned char *g = scales_at(l, panel, k, b);
	size_t sub = b % 8;
	bool minimum =
		type == KERN_Q4_1 || type == KERN_Q5_1 || type == KERN_Q4_K || type == KERN_Q5_K;
	__m512 d = load_f16((const kern_f16 *)(const void *)g);
	if (type != KERN_Q8_0)
		d = _mm512_mul_ps(d, _mm512_set1_ps(1.0f / (float)(1 << (8 - l->bits))));
	__m512 m =
		minimum ? load_f16((const kern_f16 *)(const void *)(g + 32)) : _mm512_setzero_ps();
	s[0] = d;
	*add_to = m;
	if (type == KERN_Q6_K) {
		s[0] = _mm512_mul_ps(d, bytes_ps(g + 32 + 32 * sub, true));
		s[1] = _mm512_mul_ps(d, bytes_ps(g + 48 + 32 * sub, true));
	} else if (type == KERN_Q4_K || type == KERN_Q5_K) {
		s[0] = _mm512_mul_ps(d, bytes_ps(g + 64 + 32 * sub, false));
		m = _mm512_mul_ps(m, bytes_ps(g + 80 + 32 * sub, false));
		*add_to = _mm512_xor_ps(m, _mm512_set1_ps(-0.0f));
	}
}

INLINE void unpack_type(enum kern_type type, unsigned bits, const unsigned char *panel, size_t k,
	size_t b0, size_t n, struct tile_w *out, unsigned p)
{
	const struct layout *l = layout_of(type);
	bool halves = type == KERN_Q6_K;
	for (size_t i = 0; i < n; i++) {
		__m512i u[8];
		__m512 s[2], m;
		lines_of(bits, panel + (b0 + i) * l->lines * LINE, u);
		UNROLL_FOR (j, 0, 8)
			_mm512_store_si512(out->u[p] + i * BLK_U8 + j * LINE, u[j]);
		scales_of(type, panel, k, b0 + i, s, &m);
		_mm512_store_ps(out->s[p][halves ? 2 * i : i], s[0]);
		if (halves)
			_mm512_store_ps(out->s[p][2 * i + 1], s[1]);
		_mm512_store_ps(out->b[p][i], m);
	}
}

/* A case per quantised type, so that each is compiled with its constants. */
#define EACH_TYPE(call)             \
	switch (type) {             \
	case KERN_Q8_0:             \
		call(KERN_Q8_0, 8); \
		break;              \
	case KERN_Q4_0:             \
		call(KERN_Q4_0, 4); \
		break;              \
	case KERN_Q4_1:             \
		call(KERN_Q4_1, 4); \
		break;              \
	case KERN_Q5_0:             \
		call(KERN_Q5_0, 5); \
		break;              \
	case KERN_Q5_1:             \
		call(KERN_Q5_1, 5); \
		break;              \
	case KERN_Q4_K:             \
		call(KERN_Q4_K, 4); \
		break;              \
	case KERN_Q5_K:             \
		call(KERN_Q5_K, 5); \
		break;              \
	case KERN_Q6_K:             \
		call(KERN_Q6_K, 6); \
		break;              \
	default:                    \
		break;              \
	}

static void unpack(enum kern_type type, const unsigned char *panel, size_t k, size_t b0, size_t n,
	struct tile_w *out, unsigned p)
{
#define CALL(t, bits) unpack_type(t, bits, panel, k, b0, n, out, p)
	EACH_TYPE(CALL)
#undef CALL
}

enum mode { CENTRED, MINIMUM, HALVES };

/* Lines [j0, j1) of P panels times T tokens, added to d. */
INLINE void multiply_lines(unsigned P, unsigned T, unsigned j0, unsigned j1, const uint8_t *u,
	const int8_t *q, size_t ldq, __m512i d[2][6])
{
	UNROLL_FOR (j, j0, j1) {
		__m512i w[2];
		UNROLL_FOR (p, 0, P)
			w[p] = _mm512_load_si512(
				u + p * sizeof((struct tile_w *)0)->u[0] + j * LINE);
		UNROLL_FOR (t, 0, T) {
			__m512i x = _mm512_set1_epi32((int)load32(q + t * ldq + 4 * j));
			UNROLL_FOR (p, 0, P)
				d[p][t] = _mm512_dpbusd_epi32(d[p][t], w[p], x);
		}
	}
}

/* A block, or with HALVES half of one, times its factors. */
INLINE void tile_part(enum mode mode, unsigned half, unsigned P, unsigned T, const struct tile_w *w,
	size_t i, const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm,
	__m512 acc[2][6])
{
	__m512i d[2][6];
	UNROLL_FOR (t, 0, T) {
		const struct kern_act_meta *m = &meta[t * ldm];
		__m512i off = _mm512_setzero_si512();
		if (mode == CENTRED)
			off = _mm512_set1_epi32(m->off);
		else if (mode == HALVES)
			off = _mm512_set1_epi32(half ? m->off - m->off_half : m->off_half);
		UNROLL_FOR (p, 0, P)
			d[p][t] = off;
	}
	multiply_lines(P, T, mode == HALVES ? 4 * half : 0, mode == HALVES ? 4 * half + 4 : 8,
		w->u[0] + i * BLK_U8, q, ldq, d);
	UNROLL_FOR (p, 0, P) {
		__m512 s = _mm512_load_ps(w->s[p][mode == HALVES ? 2 * i + half : i]);
		UNROLL_FOR (t, 0, T) {
			__m512 f = _mm512_mul_ps(s, _mm512_set1_ps(meta[t * ldm].scale));
			acc[p][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d[p][t]), f, acc[p][t]);
		}
	}
}

INLINE void tile_body(enum mode mode, unsigned P, unsigned T, const struct tile_w *w, size_t n,
	const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm, struct sums o)
{
	__m512 acc[2][6];
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			acc[p][t] = _mm512_loadu_ps(o.from + t * o.ldf + 16 * p);
	/* The outputs of the next tile: they lie far apart, and nobody else asks for them in time.
	 */
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			__builtin_prefetch(o.y + (t + T) * o.ldy + 16 * p, 1);
	for (size_t i = 0; i < n; i++, q += BLK, meta++) {
		tile_part(mode, 0, P, T, w, i, q, ldq, meta, ldm, acc);
		if (mode == HALVES)
			tile_part(mode, 1, P, T, w, i, q, ldq, meta, ldm, acc);
		if (mode == MINIMUM)
			UNROLL_FOR (p, 0, P)
				UNROLL_FOR (t, 0, T)
					acc[p][t] = _mm512_fmadd_ps(_mm512_load_ps(w->b[p][i]),
						_mm512_set1_ps(meta[t * ldm].sum), acc[p][t]);
	}
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			_mm512_storeu_ps(o.y + t * o.ldy + 16 * p, acc[p][t]);
}

#define TILE(mode, P, T)                                           \
	case (P)*8 + (T):                                          \
		tile_body(mode, P, T, w, n, q, ldq, meta, ldm, o); \
		break;
#define TILES(name, mode)                                                                         \
	static void name(unsigned P, size_t T, const struct tile_w *w, size_t n, const int8_t *q, \
		size_t ldq, const struct kern_act_meta *meta, size_t ldm, const struct sums *to)  \
	{                                                                                         \
		struct sums o = *to;                                                              \
		switch (P * 8 + T) {                                                              \
			TILE(mode, 1, 1)                                                          \
			TILE(mode, 1, 2)                                                          \
			TILE(mode, 1, 3)                                                          \
			TILE(mode, 1, 4)                                                          \
			TILE(mode, 1, 5)                                                          \
			TILE(mode, 1, 6)                                                          \
			TILE(mode, 2, 1)                                                          \
			TILE(mode, 2, 2)                                                          \
			TILE(mode, 2, 3)                                                          \
			TILE(mode, 2, 4)                                                          \
			TILE(mode, 2, 5)                                                          \
			TILE(mode, 2, 6)                                                          \
		}                                                                                 \
	}

TILES(tile_centred, CENTRED)
TILES(tile_minimum, MINIMUM)
TILES(tile_halves, HALVES)

static void tile(const struct layout *l, const struct tile_w *w, unsigned n_panels, size_t n,
	const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm, size_t n_tok,
	const struct sums *to)
{
	if (l->halves)
		tile_halves(n_panels, n_tok, w, n, q, ldq, meta, ldm, to);
	else if (l->minimum)
		tile_minimum(n_panels, n_tok, w, n, q, ldq, meta, ldm, to);
	else
		tile_centred(n_panels, n_tok, w, n, q, ldq, meta, ldm, to);
}

/* Block b of a panel times one token's. */
INLINE __m512 row_block(enum kern_type type, unsigned bits, const unsigned char *panel, size_t k,
	size_t b, const int8_t *q, const struct kern_act_meta *meta, __m512 acc)
{
	bool minimum =
		type == KERN_Q4_1 || type == KERN_Q5_1 || type == KERN_Q4_K || type == KERN_Q5_K;
	__m512i u[8];
	__m512 s[2], m;
	lines_of(bits, panel + b * bits * LINE, u);
	scales_of(type, panel, k, b, s, &m);
	__m512i d[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	if (type == KERN_Q6_K) {
		d[0] = _mm512_set1_epi32(meta[b].off_half);
		d[1] = _mm512_set1_epi32(meta[b].off - meta[b].off_half);
	} else if (!minimum) {
		d[0] = _mm512_set1_epi32(meta[b].off);
	}
	UNROLL_FOR (j, 0, 8)
		d[j / 4] = _mm512_dpbusd_epi32(
			d[j / 4], u[j], _mm512_set1_epi32((int)load32(q + b * BLK + 4 * j)));
	__m512 x = _mm512_set1_ps(meta[b].scale);
	if (type == KERN_Q6_K) {
		acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d[0]), _mm512_mul_ps(s[0], x), acc);
		acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d[1]), _mm512_mul_ps(s[1], x), acc);
	} else {
		__m512i all = _mm512_add_epi32(d[0], d[1]);
		acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(all), _mm512_mul_ps(s[0], x), acc);
	}
	return minimum ? _mm512_fmadd_ps(m, _mm512_set1_ps(meta[b].sum), acc) : acc;
}

/* One token times P panels, straight from the packed bytes: bound by memory. One stream of reads
 * does not keep the memory busy, and the hardware's own look-ahead ends with the page: four panels
 * at once with lines asked for 2 kB ahead read 24 GB/s where one panel reads 15 (Q4_1, Zen 4;
 * measured against 1..8 panels and 1..32 kB). Past the last panel nothing is read, only asked for.
 */
INLINE void row_quant(enum kern_type type, unsigned bits, unsigned P, const unsigned char *panel,
	size_t panel_bytes, size_t k, const int8_t *q, const struct kern_act_meta *meta, float *y)
{
	__m512 acc[ROW_PANELS];
	UNROLL_FOR (p, 0, P)
		acc[p] = _mm512_loadu_ps(y + 16 * p);
	for (size_t b = 0; b < k / BLK; b++) {
		UNROLL_FOR (p, 0, P) {
			const char *far =
				(const char *)panel + p * panel_bytes + b * bits * LINE + AHEAD;
			UNROLL_FOR (i, 0, bits)
				_mm_prefetch(far + i * LINE, _MM_HINT_T1);
		}
		UNROLL_FOR (p, 0, P)
			acc[p] = row_block(
				type, bits, panel + p * panel_bytes, k, b, q, meta, acc[p]);
	}
	UNROLL_FOR (p, 0, P)
		_mm512_storeu_ps(y + 16 * p, acc[p]);
}

INLINE void rows_quant(enum kern_type type, unsigned bits, const unsigned char *panel,
	size_t panel_bytes, size_t n, size_t k, const int8_t *q, const struct kern_act_meta *meta,
	float *y)
{
	for (; n >= ROW_PANELS;
		n -= ROW_PANELS, panel += ROW_PANELS * panel_bytes, y += ROW_PANELS * 16)
		row_quant(type, bits, ROW_PANELS, panel, panel_bytes, k, q, meta, y);
	for (; n >= 2; n -= 2, panel += 2 * panel_bytes, y += 32)
		row_quant(type, bits, 2, panel, panel_bytes, k, q, meta, y);
	if (n)
		row_quant(type, bits, 1, panel, panel_bytes, k, q, meta, y);
}

/* Lines [j0, j1) of a block times T tokens, times their factor. */
INLINE void few_lines(unsigned T, unsigned j0, unsigned j1, const __m512i u[8], __m512 s,
	const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm, __m512i d[FEW],
	__m512 acc[FEW])
{
	UNROLL_FOR (j, j0, j1)
		UNROLL_FOR (t, 0, T)
			d[t] = _mm512_dpbusd_epi32(
				d[t], u[j], _mm512_set1_epi32((int)load32(q + t * ldq + 4 * j)));
	UNROLL_FOR (t, 0, T)
		acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d[t]),
			_mm512_mul_ps(s, _mm512_set1_ps(meta[t * ldm].scale)), acc[t]);
}

/* Block b of a panel times T tokens', its lines unpacked into registers only. */
INLINE void few_block(enum kern_type type, unsigned bits, unsigned T, const unsigned char *panel,
	size_t k, size_t b, const int8_t *q, size_t ldq, const struct kern_act_meta *meta,
	size_t ldm, __m512 acc[FEW])
{
	bool minimum =
		type == KERN_Q4_1 || type == KERN_Q5_1 || type == KERN_Q4_K || type == KERN_Q5_K;
	__m512i u[8], d[FEW];
	__m512 s[2], m;
	lines_of(bits, panel + b * bits * LINE, u);
	scales_of(type, panel, k, b, s, &m);
	q += b * BLK;
	meta += b;
	UNROLL_FOR (t, 0, T)
		d[t] = minimum             ? _mm512_setzero_si512()
		       : type == KERN_Q6_K ? _mm512_set1_epi32(meta[t * ldm].off_half)
					   : _mm512_set1_epi32(meta[t * ldm].off);
	if (type == KERN_Q6_K) {
		few_lines(T, 0, 4, u, s[0], q, ldq, meta, ldm, d, acc);
		UNROLL_FOR (t, 0, T)
			d[t] = _mm512_set1_epi32(meta[t * ldm].off - meta[t * ldm].off_half);
		few_lines(T, 4, 8, u, s[1], q, ldq, meta, ldm, d, acc);
	} else {
		few_lines(T, 0, 8, u, s[0], q, ldq, meta, ldm, d, acc);
	}
	if (minimum)
		UNROLL_FOR (t, 0, T)
			acc[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(meta[t * ldm].sum), acc[t]);
}

INLINE void few_body(enum kern_type type, unsigned bits, unsigned P, unsigned T,
	const unsigned char *panel, size_t panel_bytes, size_t k, const int8_t *q, size_t ldq,
	const struct kern_act_meta *meta, size_t ldm, size_t ahead, struct sums o)
{
	__m512 acc[2][FEW];
	UNROLL_FOR (p, 0, P)
		UNROLL_FOR (t, 0, T)
			acc[p][t] = _mm512_loadu_ps(o.from + t * o.ldf + 16 * p);
	const char *far = (const char *)panel + ahead;
	for (size_t b = 0; b < k / BLK; b++, far += bits * LINE)
		UNROLL_FOR (p, 0, P) {
			UNROLL_FOR (i, 0, bits)
				_mm_prefetch(far + p * panel_bytes + i * LINE, _MM_HINT_T1);
			few_block(type, bits, T, panel + p * panel_bytes, k, b, q, ldq, meta, ldm,
				acc[p]);
		}
	UNROLL_FOR (p, 0, P)
		UNROLL_FOR (t, 0, T)
			_mm512_storeu_ps(o.y + t * o.ldy + 16 * p, acc[p][t]);
}

/* Line j of a packed block, as in lines_of. */
INLINE __m512i line_at(unsigned bits, const unsigned char *src, unsigned j)
{
	if (bits == 8)
		return _mm512_load_si512(src + j * LINE);
	__m512i v = _mm512_load_si512(src + j % 4 * LINE),
		nib = _mm512_set1_epi8((char)(0xf << (8 - bits)));
	if (j < 4)
		v = _mm512_slli_epi16(v, 8 - bits);
	else if (bits > 4)
		v = _mm512_srli_epi16(v, bits - 4);
	v = _mm512_and_si512(v, nib);
	if (bits == 5) {
		__m512i h = _mm512_slli_epi16(_mm512_load_si512(src + 4 * LINE), 7 - j);
		v = _mm512_or_si512(v, _mm512_and_si512(h, _mm512_set1_epi8((char)0x80)));
	}
	if (bits == 6) {
		__m512i h = _mm512_slli_epi16(
			_mm512_load_si512(src + (4 + j / 4) * LINE), 6 - j % 4 * 2);
		v = _mm512_or_si512(v, _mm512_and_si512(h, _mm512_set1_epi8((char)0xc0)));
	}
	return v;
}

/* Lines [j0, j1) of a block of two panels times T tokens, times their factors s. */
INLINE void pair_lines(enum kern_type type, unsigned bits, unsigned T, unsigned j0, unsigned j1,
	const unsigned char *src, size_t panel_bytes, const __m512 s[2], const int8_t *q,
	size_t ldq, const struct kern_act_meta *meta, size_t ldm, __m512 acc[2][FEW])
{
	__m512i d[2][FEW];
	UNROLL_FOR (t, 0, T) {
		const struct kern_act_meta *m = &meta[t * ldm];
		int32_t off = layout_of(type)->minimum ? 0
			      : type != KERN_Q6_K      ? m->off
			      : j0                     ? m->off - m->off_half
						       : m->off_half;
		d[0][t] = d[1][t] = _mm512_set1_epi32(off);
	}
	UNROLL_FOR (j, j0, j1) {
		__m512i u[2] = {line_at(bits, src, j), line_at(bits, src + panel_bytes, j)};
		UNROLL_FOR (t, 0, T) {
			__m512i x = _mm512_set1_epi32((int)load32(q + t * ldq + 4 * j));
			UNROLL_FOR (p, 0, 2)
				d[p][t] = _mm512_dpbusd_epi32(d[p][t], u[p], x);
		}
	}
	UNROLL_FOR (t, 0, T) {
		__m512 x = _mm512_set1_ps(meta[t * ldm].scale);
		UNROLL_FOR (p, 0, 2)
			acc[p][t] = _mm512_fmadd_ps(
				_mm512_cvtepi32_ps(d[p][t]), _mm512_mul_ps(s[p], x), acc[p][t]);
	}
}

/* Two panels times T tokens: a token's values are spread over a register once for both. That load
 * would take as long as the product. */
INLINE void pair_body(enum kern_type type, unsigned bits, unsigned T, const unsigned char *panel,
	size_t panel_bytes, size_t k, const int8_t *q, size_t ldq, const struct kern_act_meta *meta,
	size_t ldm, size_t ahead, struct sums o)
{
	__m512 acc[2][FEW];
	UNROLL_FOR (p, 0, 2)
		UNROLL_FOR (t, 0, T)
			acc[p][t] = _mm512_loadu_ps(o.from + t * o.ldf + 16 * p);
	for (size_t b = 0; b < k / BLK; b++, q += BLK, meta++) {
		const unsigned char *src = panel + b * bits * LINE;
		__m512 s[2][2], m[2], s0[2], s1[2];
		UNROLL_FOR (p, 0, 2) {
			if (ahead)
				UNROLL_FOR (i, 0, bits)
					_mm_prefetch((const char *)src + ahead + p * panel_bytes +
							     i * LINE,
						_MM_HINT_T1);
			scales_of(type, panel + p * panel_bytes, k, b, s[p], &m[p]);
			s0[p] = s[p][0];
			s1[p] = s[p][type == KERN_Q6_K];
		}
		bool halves = type == KERN_Q6_K;
		pair_lines(type, bits, T, 0, halves ? 4 : 8, src, panel_bytes, s0, q, ldq, meta,
			ldm, acc);
		if (halves)
			pair_lines(
				type, bits, T, 4, 8, src, panel_bytes, s1, q, ldq, meta, ldm, acc);
		if (layout_of(type)->minimum)
			UNROLL_FOR (t, 0, T)
				UNROLL_FOR (p, 0, 2)
					acc[p][t] = _mm512_fmadd_ps(
						m[p], _mm512_set1_ps(meta[t * ldm].sum), acc[p][t]);
	}
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, 2)
			_mm512_storeu_ps(o.y + t * o.ldy + 16 * p, acc[p][t]);
}

/* Two, four or eight tokens, one panel or two; the compiler has enough with these. */
INLINE void few_quant(enum kern_type type, unsigned bits, const unsigned char *panel,
	size_t panel_bytes, size_t n, size_t k, const int8_t *q, size_t ldq,
	const struct kern_act_meta *meta, size_t ldm, size_t n_tok, size_t ahead, struct sums o)
{
	if (n == 2 && n_tok > 2)
		for (size_t t = 0; t < n_tok; t += 4)
			pair_body(type, bits, 4, panel, panel_bytes, k, q + t * ldq, ldq,
				meta + t * ldm, ldm, t ? 0 : ahead, sums_at(o, t, 0));
	else if (n_tok == 8)
		for (; n; n--, panel += panel_bytes, o = sums_at(o, 0, 16))
			few_body(type, bits, 1, 8, panel, panel_bytes, k, q, ldq, meta, ldm, ahead,
				o);
	else if (n_tok == 4)
		for (; n; n--, panel += panel_bytes, o = sums_at(o, 0, 16))
			few_body(type, bits, 1, 4, panel, panel_bytes, k, q, ldq, meta, ldm, ahead,
				o);
	else if (n == 2)
		few_body(type, bits, 2, 2, panel, panel_bytes, k, q, ldq, meta, ldm, ahead, o);
	else
		few_body(type, bits, 1, 2, panel, panel_bytes, k, q, ldq, meta, ldm, ahead, o);
}

static void few(enum kern_type type, const unsigned char *panel, size_t panel_bytes, size_t n,
	size_t k, const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm,
	size_t n_tok, size_t ahead, const struct sums *to)
{
	struct sums o = *to;

#define CALL(t, bits) \
	few_quant(t, bits, panel, panel_bytes, n, k, q, ldq, meta, ldm, n_tok, ahead, o)
	EACH_TYPE(CALL)
#undef CALL
}

/* ---- leaves of the products: floats ---------------------------------------------------------- */

INLINE __m512 weights(enum kern_type type, const unsigned char *panel, size_t i)
{
	if (type == KERN_F32)
		return _mm512_load_ps((const float *)(const void *)panel + i * 16);
	const __m256i *h = (const __m256i *)(const void *)panel + i;
	if (type == KERN_F16)
		return _mm512_cvtph_ps(_mm256_load_si256(h));
	/* pairs of columns: the even one is the lower half */
	__m512i pair = _mm512_load_si512(panel + i / 2 * LINE);
	return _mm512_castsi512_ps(i & 1 ? _mm512_and_si512(pair, _mm512_set1_epi32(-65536))
					 : _mm512_slli_epi32(pair, 16));
}

static void unpack_f(enum kern_type type, const unsigned char *panel, size_t k0, size_t n,
	float (*out)[KERN_PANEL])
{
	for (size_t i = 0; i < n; i++)
		_mm512_store_ps(out[i], weights(type, panel, k0 + i));
}

INLINE void tile_f_body(unsigned P, unsigned T, const float *w, size_t w_panel, size_t n,
	const float *a, size_t a_row, size_t a_col, struct sums o)
{
	__m512 acc[2][12];
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			acc[p][t] = _mm512_setzero_ps();
	/* rows t, t + 1, t + 2 of A from four pointers: few enough for the integer registers */
	const float *a0 = a, *a3 = a + 3 * a_row, *a6 = a + 6 * a_row, *a9 = a + 9 * a_row;
	for (size_t i = 0; i < n; i++, w += KERN_PANEL) {
		__m512 v[2];
		UNROLL_FOR (p, 0, P) {
			_mm_prefetch((const char *)(w + p * w_panel) + AHEAD_TILE, _MM_HINT_T0);
			v[p] = _mm512_load_ps(w + p * w_panel);
		}
		UNROLL_FOR (t, 0, T) {
			const float *row = t < 3 ? a0 : t < 6 ? a3 : t < 9 ? a6 : a9;
			__m512 x = _mm512_set1_ps(row[t % 3 * a_row]);
			UNROLL_FOR (p, 0, P)
				acc[p][t] = _mm512_fmadd_ps(x, v[p], acc[p][t]);
		}
		a0 += a_col;
		a3 += a_col;
		a6 += a_col;
		a9 += a_col;
	}
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P) {
			__m512 from = _mm512_loadu_ps(o.from + t * o.ldf + 16 * p);
			_mm512_storeu_ps(o.y + t * o.ldy + 16 * p, _mm512_add_ps(from, acc[p][t]));
		}
}

#define TILE_F(P, T)                                                  \
	case (P)*16 + (T):                                            \
		tile_f_body(P, T, w, w_panel, n, a, a_row, a_col, o); \
		break;
#define TILES_F(P)    \
	TILE_F(P, 1)  \
	TILE_F(P, 2)  \
	TILE_F(P, 3)  \
	TILE_F(P, 4)  \
	TILE_F(P, 5)  \
	TILE_F(P, 6)  \
	TILE_F(P, 7)  \
	TILE_F(P, 8)  \
	TILE_F(P, 9)  \
	TILE_F(P, 10) \
	TILE_F(P, 11) \
	TILE_F(P, 12)

static void tile_f(const float *w, size_t w_panel, unsigned n_panels, size_t n, const float *a,
	size_t a_row, size_t a_col, size_t n_tok, const struct sums *to)
{
	struct sums o = *to;
	switch (n_panels * 16 + n_tok) {
		TILES_F(1)
		TILES_F(2)
	}
}

/* 16 values of f16, or of bytes, as f32 */
INLINE __m512 load_h(const void *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE __m512 load_b(const void *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* w_panel and w_row in bytes */
INLINE void tile_x_body(__m512 (*load)(const void *), unsigned P, unsigned T, const char *w,
	size_t w_panel, size_t w_row, size_t n, const float *a, size_t a_row, struct sums o)
{
	__m512 acc[4][12];
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			acc[p][t] = _mm512_setzero_ps();
	const float *a0 = a, *a3 = a + 3 * a_row, *a6 = a + 6 * a_row, *a9 = a + 9 * a_row;
	for (size_t i = 0; i < n; i++, w += w_row) {
		__m512 v[4];
		UNROLL_FOR (p, 0, P) {
			_mm_prefetch(w + p * w_panel + AHEAD_TILE, _MM_HINT_T0);
			v[p] = load(w + p * w_panel);
		}
		UNROLL_FOR (t, 0, T) {
			const float *row = t < 3 ? a0 : t < 6 ? a3 : t < 9 ? a6 : a9;
			__m512 x = _mm512_set1_ps(row[t % 3 * a_row + i]);
			UNROLL_FOR (p, 0, P)
				acc[p][t] = _mm512_fmadd_ps(x, v[p], acc[p][t]);
		}
	}
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P) {
			__m512 from = _mm512_loadu_ps(o.from + t * o.ldf + 16 * p);
			_mm512_storeu_ps(o.y + t * o.ldy + 16 * p, _mm512_add_ps(from, acc[p][t]));
		}
}

#define TILE_X(P, T)                                                        \
	case (P)*16 + (T):                                                  \
		tile_x_body(load, P, T, w, w_panel, w_row, n, a, a_row, o); \
		break;
#define TILES_X(P) TILE_X(P, 1) TILE_X(P, 2) TILE_X(P, 3)
#define TILES_X_MORE(P) \
	TILE_X(P, 4)    \
	TILE_X(P, 5)    \
	TILE_X(P, 6)    \
	TILE_X(P, 7) TILE_X(P, 8) TILE_X(P, 9) TILE_X(P, 10) TILE_X(P, 11) TILE_X(P, 12)

INLINE void tile_x(__m512 (*load)(const void *), const char *w, size_t w_panel, size_t w_row,
	unsigned n_panels, size_t n, const float *a, size_t a_row, size_t n_tok, struct sums o)
{
	for (;;) {
		/* more sums than registers: two panels at a time */
		unsigned k = n_tok > 3 ? MIN(n_panels, 2u) : n_panels;
		switch (k * 16 + n_tok) {
			TILES_X(1)
			TILES_X_MORE(1)
			TILES_X(2)
			TILES_X_MORE(2)
			TILES_X(3)
			TILES_X(4)
		}
		if (k == n_panels)
			return;
		n_panels -= k;
		w += k * w_panel;
		o = sums_at(o, 0, (size_t)16 * k);
	}
}

static void tile_h(const kern_f16 *w, size_t w_panel, size_t w_row, unsigned n_panels, size_t n,
	const float *a, size_t a_row, size_t n_tok, const struct sums *to)
{
	struct sums o = *to;
	tile_x(load_h, (const char *)w, 2 * w_panel, 2 * w_row, n_panels, n, a, a_row, n_tok, o);
}

static void tile_b(const int8_t *w, size_t w_panel, size_t w_row, unsigned n_panels, size_t n,
	const float *a, size_t a_row, size_t n_tok, const struct sums *to)
{
	struct sums o = *to;
	tile_x(load_b, (const char *)w, w_panel, w_row, n_panels, n, a, a_row, n_tok, o);
}

static void from_i8(float *y, const int8_t *x, size_t n)
{
	size_t i = 0;
	for (; i + 16 <= n; i += 16)
		_mm512_storeu_ps(y + i, load_b(x + i));
	for (; i < n; i++)
		y[i] = x[i];
}

/* One token times P panels, sums cut every KC_F like tile_f's. */
INLINE void row_float(enum kern_type type, unsigned P, const unsigned char *panel,
	size_t panel_bytes, size_t k, const float *x, float *y)
{
	__m512 all[4];
	UNROLL_FOR (p, 0, P)
		all[p] = _mm512_loadu_ps(y + 16 * p);
	for (size_t k0 = 0; k0 < k; k0 += KC_F) {
		__m512 acc[4];
		UNROLL_FOR (p, 0, P)
			acc[p] = _mm512_setzero_ps();
		for (size_t i = k0; i < MIN(k0 + KC_F, k); i++)
			UNROLL_FOR (p, 0, P)
				acc[p] = _mm512_fmadd_ps(_mm512_set1_ps(x[i]),
					weights(type, panel + p * panel_bytes, i), acc[p]);
		UNROLL_FOR (p, 0, P)
			all[p] = _mm512_add_ps(all[p], acc[p]);
	}
	UNROLL_FOR (p, 0, P)
		_mm512_storeu_ps(y + 16 * p, all[p]);
}

INLINE void rows_float(enum kern_type type, const unsigned char *panel, size_t panel_bytes,
	size_t n, size_t k, const float *x, float *y)
{
	for (; n >= 4; n -= 4, panel += 4 * panel_bytes, y += 64)
		row_float(type, 4, panel, panel_bytes, k, x, y);
	for (; n; n--, panel += panel_bytes, y += 16)
		row_float(type, 1, panel, panel_bytes, k, x, y);
}

static void row(enum kern_type type, const unsigned char *panel, size_t panel_bytes, size_t n,
	size_t k, const float *x, const int8_t *q, const struct kern_act_meta *meta, float *y)
{
	switch (type) {
	case KERN_F32:
		rows_float(KERN_F32, panel, panel_bytes, n, k, x, y);
		return;
	case KERN_F16:
		rows_float(KERN_F16, panel, panel_bytes, n, k, x, y);
		return;
	case KERN_BF16:
		rows_float(KERN_BF16, panel, panel_bytes, n, k, x, y);
		return;
	default:
		break;
	}
#define CALL(t, bits) rows_quant(t, bits, panel, panel_bytes, n, k, q, meta, y)
	EACH_TYPE(CALL)
#undef CALL
}

/* 16 x 16: four rounds that swap ever larger blocks between rows. */
INLINE void transpose16(__m512 v[16])
{
	__m512 t[16];
	UNROLL_FOR (i, 0, 8) {
		t[2 * i] = _mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]);
		t[2 * i + 1] = _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]);
	}
	UNROLL_FOR (j, 0, 4) {
		unsigned i = 4 * j;
		v[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
		v[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
		v[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
		v[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
	}
	UNROLL_FOR (i, 0, 4) {
		t[i] = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88);
		t[i + 4] = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xdd);
		t[i + 8] = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88);
		t[i + 12] = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xdd);
	}
	UNROLL_FOR (i, 0, 4) {
		v[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
		v[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
		v[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
		v[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
	}
}

INLINE void transpose_kind(enum row_kind kind, const char *rows, size_t stride, size_t n_rows,
	size_t n, float (*out)[KERN_PANEL])
{
	size_t bytes = stride * (kind == ROW_F32 ? 4 : 2);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = lanes(n - i);
		__m512 v[16];
		UNROLL_FOR (r, 0, 16) { /* a masked load touches nothing; the address stays inside
					   for a missing row */
			size_t at = r < n_rows ? r : 0;
			v[r] = row_part(kind, rows + at * bytes, i, r < n_rows ? m : 0);
		}
		transpose16(v);
		if (n - i >= 16)
			UNROLL_FOR (c, 0, 16)
				_mm512_store_ps(out[i + c], v[c]);
		else
			for (unsigned c = 0; c < n - i; c++)
				_mm512_store_ps(out[i + c], v[c]);
	}
}

static void transpose(enum kern_type type, const void *rows, size_t stride, size_t n_rows, size_t n,
	float (*out)[KERN_PANEL])
{
	transpose_kind(type == KERN_F32 ? ROW_F32 : ROW_F16, rows, stride, n_rows, n, out);
}

const struct leaves leaves_avx512 = {
	.tok_tile = 6,
	.tok_tile_f = 12,
	.act_row = act_row,
	.unpack = unpack,
	.tile = tile,
	.row = row,
	.few = few,
	.unpack_f = unpack_f,
	.tile_f = tile_f,
	.transpose = transpose,
	.tile_h = tile_h,
	.tile_b = tile_b,
	.from_i8 = from_i8,
};
