/* AVX2 with FMA and F16C: 8 lanes of f32 and, without a four-way integer dot product, vpmaddubsw in
 * 16 bits, then vpmaddwd. Its own unpacked form: lines hold q itself (not shifted up), so that
 * several lines fit into 16-bit sums, factors are not divided; 8-bit lines hold signed q. Products
 * with powers of two are exact, so the results are the bits of the other tables.
 *
 * How many lines may be added in 16 bits (activations are at most 127 in size, two products each):
 * 4 bits: 8 x 2 x 15 x 127 = 30480; 5 bits: 4 x 2 x 31 x 127 = 31496; 6 bits: 2 x 2 x 63 x 127 =
 * 32004; 8 bits: 1 x 2 x 128 x 127 = 32512, with |q| as the unsigned and q's sign moved to the
 * activation. */
#include "kernels/kern_int.h"

#include <immintrin.h>
#include <math.h>

enum { ROW_PANELS = 2, AHEAD = 2048, TOK = 3, TOK_F = 6, FEW_TOK = 4 };

#define INLINE static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLL_FOR(i, from, to) \
	_Pragma("clang loop unroll(full)") for (unsigned i = (from); i < (to); i++)
#elif defined __SANITIZE_ADDRESS__ /* with checks in a loop's bound gcc cannot, and says so */
#define UNROLL_FOR(i, from, to) for (unsigned i = (from); i < (to); i++)
#else
#define UNROLL_FOR(i, from, to) _Pragma("GCC unroll 16") for (unsigned i = (from); i < (to); i++)
#endif

/* All ones in the first min(n, 8) lanes. */
INLINE __m256i lanes(size_t n)
{
	static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
	return _mm256_loadu_si256((const __m256i *)(ones + 8 - (n < 8 ? n : 8)));
}

INLINE __m256 load_part(const float *p, size_t n)
{
	return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, lanes(n));
}

INLINE void store_part(float *p, __m256 v, size_t n)
{
	if (n >= 8)
		_mm256_storeu_ps(p, v);
	else
		_mm256_maskstore_ps(p, lanes(n), v);
}

INLINE __m256 load_f16(const kern_f16 *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

INLINE __m256 load_f16_part(const kern_f16 *p, size_t n)
{
	kern_f16 h[8] = {0};
	if (n >= 8)
		return load_f16(p);
	memcpy(h, p, n * sizeof *p);
	return load_f16(h);
}

INLINE float add_lanes(__m256 v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE float max_lanes(__m256 v)
{
	__m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	s = _mm_max_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

INLINE int32_t add_lanes_i(__m256i v)
{
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* ---- functions of lanes: the formulas of kern_avx512.c --------------------------------------- */

/* 2^n for |n| <= 127 or so, in two steps, so that both ends of the range work. */
INLINE __m256 times_power(__m256 p, __m256 n)
{
	__m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
	__m256i rest = _mm256_sub_epi32(i, half), bias = _mm256_set1_epi32(127);
	__m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
	__m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
	return _mm256_mul_ps(_mm256_mul_ps(p, a), b);
}

INLINE __m256 exp_ps(__m256 x)
{
	__m256 alive = _mm256_cmp_ps(x, _mm256_set1_ps(-87.3f), _CMP_NLT_UQ);
	x = _mm256_min_ps(_mm256_set1_ps(89.0f), x); /* a NaN stays */
	x = _mm256_and_ps(x, alive);                 /* the others give 0 in the end */
	__m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), 8);
	__m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), x);
	r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
	__m256 p = _mm256_set1_ps(0.0013814539415761828f);
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.00836878176778555f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.04166839271783829f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.1666651964187622f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.4999999403953552f));
	p = _mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r);
	p = _mm256_add_ps(p, _mm256_set1_ps(1));
	return _mm256_and_ps(times_power(p, n), alive);
}

INLINE __m256 times_sigmoid(__m256 x, __m256 u)
{
	__m256 e = exp_ps(_mm256_sub_ps(_mm256_setzero_ps(), u));
	return _mm256_div_ps(x, _mm256_add_ps(e, _mm256_set1_ps(1)));
}

INLINE __m256 silu_ps(__m256 x)
{
	return times_sigmoid(x, x);
}

INLINE __m256 gelu_tanh_ps(__m256 x)
{
	__m256 c = _mm256_mul_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(0.044715f));
	__m256 u = _mm256_fmadd_ps(c, x, x);
	return times_sigmoid(x, _mm256_mul_ps(u, _mm256_set1_ps(1.5957691216f)));
}

INLINE __m256 abs_ps(__m256 x)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

INLINE __m256 gelu_erf_ps(__m256 x)
{
	__m256 z = _mm256_mul_ps(abs_ps(x), _mm256_set1_ps(0.70710678119f));
	__m256 p = _mm256_set1_ps(-3.1434432457899675e-05f);
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(0.0003087650693487376f));
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-0.0010323134483769536f));
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-0.0005370285362005234f));
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(0.01958400569856167f));
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-0.10291961580514908f));
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-0.636597752571106f));
	p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-1.128380298614502f));
	__m256 e = _mm256_mul_ps(exp_ps(_mm256_mul_ps(p, z)), _mm256_set1_ps(0.5f));
	__m256 xe = _mm256_mul_ps(x, e);
	return _mm256_blendv_ps(_mm256_fnmadd_ps(x, e, x), xe, x); /* by x's sign */
}

INLINE __m256 tanh_ps(__m256 x)
{
	__m256 a = abs_ps(x), one = _mm256_set1_ps(1);
	__m256 t = exp_ps(_mm256_mul_ps(a, _mm256_set1_ps(-2)));
	__m256 big = _mm256_div_ps(_mm256_sub_ps(one, t), _mm256_add_ps(one, t));
	__m256 s = _mm256_mul_ps(x, x), p = _mm256_set1_ps(-17.0f / 315);
	p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(2.0f / 15));
	p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-1.0f / 3));
	__m256 small = _mm256_fmadd_ps(_mm256_mul_ps(p, s), a, a);
	__m256 is_small = _mm256_cmp_ps(a, _mm256_set1_ps(0.15f), _CMP_LT_OQ);
	__m256 sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0f));
	return _mm256_or_ps(_mm256_blendv_ps(big, small, is_small), sign);
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* y[i] = expr of v = x[i]. */
#define MAP1(name, expr)                                     \
	static void name(float *y, const float *x, size_t n) \
	{                                                    \
		for (size_t i = 0; i < n; i += 8) {          \
			__m256 v = load_part(x + i, n - i);  \
			store_part(y + i, (expr), n - i);    \
		}                                            \
	}
/* y[i] = expr of v = a[i], u = b[i]. */
#define MAP2(name, expr)                                                                 \
	static void name(float *y, const float *a, const float *b, size_t n)             \
	{                                                                                \
		for (size_t i = 0; i < n; i += 8) {                                      \
			__m256 v = load_part(a + i, n - i), u = load_part(b + i, n - i); \
			store_part(y + i, (expr), n - i);                                \
		}                                                                        \
	}

MAP1(exp_all, exp_ps(v))
MAP1(silu, silu_ps(v))
MAP1(gelu_tanh, gelu_tanh_ps(v))
MAP1(gelu_erf, gelu_erf_ps(v))
MAP1(tanh_all, tanh_ps(v))
MAP2(silu_mul, _mm256_mul_ps(silu_ps(v), u))
MAP2(gelu_tanh_mul, _mm256_mul_ps(gelu_tanh_ps(v), u))
MAP2(add, _mm256_add_ps(v, u))
MAP2(mul, _mm256_mul_ps(v, u))

static void scale(float *y, const float *x, float a, size_t n)
{
	for (size_t i = 0; i < n; i += 8)
		store_part(y + i, _mm256_mul_ps(load_part(x + i, n - i), _mm256_set1_ps(a)), n - i);
}

static void axpy(float *y, float a, const float *x, size_t n)
{
	__m256 va = _mm256_set1_ps(a);
	for (size_t i = 0; i < n; i += 8) {
		__m256 s = _mm256_fmadd_ps(va, load_part(x + i, n - i), load_part(y + i, n - i));
		store_part(y + i, s, n - i);
	}
}

/* Calls step(c, at, n) over n values in four chains c. */
#define CHAINS(n, step)                                                    \
	do {                                                               \
		size_t at0 = 0;                                            \
		for (; at0 + 32 <= (n); at0 += 32)                         \
			UNROLL_FOR (c, 0, 4)                               \
				step(c, at0 + 8 * c, (size_t)8);           \
		UNROLL_FOR (c, 0, 4)                                       \
			if (at0 + 8 * c < (n))                             \
				step(c, at0 + 8 * c, (n) - (at0 + 8 * c)); \
	} while (0)

#define ZERO4                                                                                      \
	{                                                                                          \
		_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() \
	}

INLINE float sum4(const __m256 s[4])
{
	return add_lanes(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])));
}

static float dot(const float *a, const float *b, size_t n)
{
	__m256 s[4] = ZERO4;
#define STEP(c, at, m) s[c] = _mm256_fmadd_ps(load_part(a + (at), m), load_part(b + (at), m), s[c])
	CHAINS(n, STEP);
#undef STEP
	return sum4(s);
}

static float dot_f16(const float *a, const kern_f16 *b, size_t n)
{
	__m256 s[4] = ZERO4;
#define STEP(c, at, m) \
	s[c] = _mm256_fmadd_ps(load_part(a + (at), m), load_f16_part(b + (at), m), s[c])
	CHAINS(n, STEP);
#undef STEP
	return sum4(s);
}

static float sum(const float *x, size_t n)
{
	__m256 s[4] = ZERO4;
#define STEP(c, at, m) s[c] = _mm256_add_ps(load_part(x + (at), m), s[c])
	CHAINS(n, STEP);
#undef STEP
	return sum4(s);
}

INLINE __m256i dot16_i8(const int8_t *a, const int8_t *b, __m256i s)
{
	__m256i va = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)a));
	__m256i vb = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
	return _mm256_add_epi32(s, _mm256_madd_epi16(va, vb));
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	__m256i s = _mm256_setzero_si256();
	size_t i = 0;
	for (; i + 16 <= n; i += 16)
		s = dot16_i8(a + i, b + i, s);
	if (i < n) {
		int8_t pa[16] = {0}, pb[16] = {0};
		memcpy(pa, a + i, n - i);
		memcpy(pb, b + i, n - i);
		s = dot16_i8(pa, pb, s);
	}
	return add_lanes_i(s);
}

static float max_all(const float *x, size_t n)
{
	const __m256 least = _mm256_set1_ps(-INFINITY);
	__m256 s = least;
	for (size_t i = 0; i < n; i += 8) { /* max(x, s) is s when x is NaN */
		__m256 v = load_part(x + i, n - i);
		v = _mm256_blendv_ps(least, v, _mm256_castsi256_ps(lanes(n - i)));
		s = _mm256_max_ps(v, s);
	}
	return max_lanes(s);
}

static size_t argmax(const float *x, size_t n)
{
	float most = max_all(x, n);
	if (most == -INFINITY)
		return 0;
	for (size_t i = 0; i < n; i += 8) {
		__m256 eq =
			_mm256_cmp_ps(load_part(x + i, n - i), _mm256_set1_ps(most), _CMP_EQ_OQ);
		int m = _mm256_movemask_ps(_mm256_and_ps(eq, _mm256_castsi256_ps(lanes(n - i))));
		if (m)
			return i + (size_t)__builtin_ctz((unsigned)m);
	}
	return 0;
}

static void to_f16(kern_f16 *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		__m128i h = _mm256_cvtps_ph(load_part(x + i, n - i), 0);
		memcpy(y + i, &h, n - i >= 8 ? 16 : (n - i) * 2);
	}
}

static void from_f16(float *y, const kern_f16 *x, size_t n)
{
	for (size_t i = 0; i < n; i += 8)
		store_part(y + i, load_f16_part(x + i, n - i), n - i);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static float softmax(float *y, const float *x, size_t n)
{
	float most = max_all(x, n);
	if (most == -INFINITY) {
		memset(y, 0, n * sizeof *y);
		return most;
	}
	__m256 s = _mm256_setzero_ps(), top = _mm256_set1_ps(most);
	for (size_t i = 0; i < n; i += 8) {
		__m256 e = exp_ps(_mm256_sub_ps(load_part(x + i, n - i), top));
		store_part(y + i, e, n - i);
		s = _mm256_add_ps(s, _mm256_and_ps(e, _mm256_castsi256_ps(lanes(n - i))));
	}
	float all = add_lanes(s);
	scale(y, y, 1 / all, n);
	return most + logf(all);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
	__m256 r = _mm256_set1_ps(1 / sqrtf(dot(x, x, n) / (float)n + eps));
	for (size_t i = 0; i < n; i += 8) {
		__m256 v = _mm256_mul_ps(load_part(x + i, n - i), r);
		store_part(y + i, w ? _mm256_mul_ps(v, load_part(w + i, n - i)) : v, n - i);
	}
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
	__m256 mean = _mm256_set1_ps(sum(x, n) / (float)n), s = _mm256_setzero_ps();
	for (size_t i = 0; i < n; i += 8) {
		__m256 d = _mm256_sub_ps(load_part(x + i, n - i), mean);
		d = _mm256_and_ps(d, _mm256_castsi256_ps(lanes(n - i)));
		s = _mm256_fmadd_ps(d, d, s);
	}
	__m256 r = _mm256_set1_ps(1 / sqrtf(add_lanes(s) / (float)n + eps));
	for (size_t i = 0; i < n; i += 8) {
		__m256 v = _mm256_mul_ps(_mm256_sub_ps(load_part(x + i, n - i), mean), r);
		v = w ? _mm256_mul_ps(v, load_part(w + i, n - i)) : v;
		store_part(y + i, b ? _mm256_add_ps(v, load_part(b + i, n - i)) : v, n - i);
	}
}

static void rope_norm(float *x, const float *cs, size_t half, size_t n_heads, size_t stride)
{
	const __m256i twice = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
	for (size_t i = 0; i < half; i += 4) {
		size_t n = half - i < 4 ? half - i : 4;
		__m256 c = _mm256_permutevar8x32_ps(load_part(cs + i, n), twice);
		__m256 s = _mm256_permutevar8x32_ps(load_part(cs + half + i, n), twice);
		for (size_t h = 0; h < n_heads; h++) {
			float *p = x + h * stride + 2 * i;
			__m256 v = load_part(p, 2 * n);
			__m256 other = _mm256_mul_ps(_mm256_permute_ps(v, 0xB1), s);
			store_part(p, _mm256_fmaddsub_ps(v, c, other), 2 * n);
		}
	}
}

static void rope_neox(float *x, const float *cs, size_t half, size_t n_heads, size_t stride)
{
	for (size_t i = 0; i < half; i += 8) {
		size_t n = half - i;
		__m256 c = load_part(cs + i, n), s = load_part(cs + half + i, n);
		for (size_t h = 0; h < n_heads; h++) {
			float *p = x + h * stride + i;
			__m256 a = load_part(p, n), b = load_part(p + half, n);
			store_part(p, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)), n);
			store_part(p + half, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)), n);
		}
	}
}

/* ---- distances ------------------------------------------------------------------------------- */

enum row_kind { ROW_F32, ROW_F16 };

INLINE __m256 row_part(enum row_kind kind, const void *row, size_t i, size_t n)
{
	return kind == ROW_F32 ? load_part((const float *)row + i, n)
			       : load_f16_part((const kern_f16 *)row + i, n);
}

INLINE __m256 sum_part(enum kern_sum of, __m256 q, __m256 v, __m256 d, __m256 sum)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	return of == KERN_SQUARES ? _mm256_fmadd_ps(d, d, sum)
	       : of == KERN_ABS   ? _mm256_add_ps(sum, _mm256_andnot_ps(sign, d))
				  : _mm256_fmadd_ps(q, v, sum);
}

/* R rows at once, two chains of lanes each, whatever R: a row's result is its own. */
INLINE void some_rows(enum row_kind kind, enum kern_sum of, unsigned R, const float *q,
	const char *rows, size_t bytes, size_t dim, float *out)
{
	__m256 s[2][4];
	UNROLL_FOR (r, 0, R)
		s[0][r] = s[1][r] = _mm256_setzero_ps();
	for (size_t i = 0; i < dim; i += 16)
		UNROLL_FOR (c, 0, 2) {
			if (i + 8 * c >= dim)
				break;
			size_t n = dim - i - 8 * c;
			__m256 vq = load_part(q + i + 8 * c, n);
			UNROLL_FOR (r, 0, R) {
				__m256 v = row_part(kind, rows + r * bytes, i + 8 * c, n);
				__m256 d = _mm256_sub_ps(vq, v);
				s[c][r] = sum_part(of, vq, v, d, s[c][r]);
			}
		}
	UNROLL_FOR (r, 0, R)
		out[r] = add_lanes(_mm256_add_ps(s[0][r], s[1][r]));
}

INLINE void all_rows(enum row_kind kind, enum kern_sum of, const float *q, const void *rows,
	size_t stride, size_t n_rows, size_t dim, float *out)
{
	size_t i = 0, bytes = stride * (kind == ROW_F32 ? 4 : 2);
	const char *p = rows;
	for (; i + 4 <= n_rows; i += 4)
		some_rows(kind, of, 4, q, p + i * bytes, bytes, dim, out + i);
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

static void dots_i8(
	const int8_t *q, const int8_t *rows, size_t stride, size_t n_rows, size_t dim, int32_t *out)
{
	for (size_t i = 0; i < n_rows; i++)
		out[i] = dot_i8(q, rows + i * stride, dim);
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

/* 32 columns at a time stay in registers while the rows go by. */
INLINE void mix_any(enum row_kind kind, float *out, const float *p, const void *rows, size_t stride,
	size_t n_rows, size_t dim)
{
	size_t size = kind == ROW_F32 ? 4 : 2;
	for (size_t j = 0; j < dim; j += 32) {
		__m256 s[4] = ZERO4;
		const char *row = (const char *)rows + j * size;
		for (size_t i = 0; i < n_rows; i++, row += stride * size)
			UNROLL_FOR (c, 0, 4)
				if (j + 8 * c < dim)
					s[c] = _mm256_fmadd_ps(_mm256_set1_ps(p[i]),
						row_part(kind, row, 8 * c, dim - j - 8 * c), s[c]);
		UNROLL_FOR (c, 0, 4)
			if (j + 8 * c < dim)
				store_part(out + j + 8 * c, s[c], dim - j - 8 * c);
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

INLINE int32_t sum_i32(__m256i v)
{
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static int32_t code_row(const int8_t *q, const uint8_t *row, size_t dim)
{
	__m256i s = _mm256_setzero_si256(), t = s;
	size_t j = 0;
	for (; j + 32 <= dim; j += 32) {
		__m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(q + j))),
			b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(row + j))),
			c = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(q + j + 16))),
			d = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(row + j + 16)));
		s = _mm256_add_epi32(s, _mm256_madd_epi16(a, b));
		t = _mm256_add_epi32(t, _mm256_madd_epi16(c, d));
	}
	int32_t sum = sum_i32(_mm256_add_epi32(s, t));
	for (; j < dim; j++)
		sum += q[j] * row[j];
	return sum;
}

enum { CODES_AHEAD = 4 }; /* rows */

INLINE void fetch_row(const uint8_t *row, size_t bytes)
{
	for (size_t b = 0; b < bytes; b += 64)
		_mm_prefetch((const char *)row + b, _MM_HINT_T0);
}

static void codes(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
	size_t n, size_t dim, int32_t *out)
{
	for (size_t i = 0; i < n; i++) {
		if (ids && i + CODES_AHEAD < n)
			fetch_row(rows + ids[i + CODES_AHEAD] * stride, dim);
		out[i] = code_row(q, rows + (ids ? ids[i] : i) * stride, dim);
	}
}

/* 32 bits as bytes 0 or 1. */
INLINE __m256i spread_bits(uint32_t v)
{
	const __m256i at = _mm256_setr_epi64x(
			      0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303),
		      bit = _mm256_set1_epi64x((long long)0x8040201008040201);
	__m256i b = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)v), at), bit);
	return _mm256_and_si256(_mm256_cmpeq_epi8(b, bit), _mm256_set1_epi8(1));
}

static void bits(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids, size_t n,
	size_t dim, int32_t *out)
{
	const __m256i ones = _mm256_set1_epi16(1);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *row = rows + (ids ? ids[i] : i) * stride;
		__m256i s = _mm256_setzero_si256();
		size_t j = 0;
		for (; j + 32 <= dim; j += 32) {
			uint32_t v;
			memcpy(&v, row + j / 8, 4);
			__m256i w = _mm256_maddubs_epi16(
				spread_bits(v), _mm256_loadu_si256((const __m256i *)(q + j)));
			s = _mm256_add_epi32(s, _mm256_madd_epi16(w, ones));
		}
		out[i] = sum_i32(s);
		for (; j < dim; j++)
			out[i] += row[j / 8] >> j % 8 & 1 ? q[j] : 0;
	}
}

static void codes_many(const int8_t *q, size_t ldq, size_t n_q, const uint8_t *rows, size_t stride,
	size_t n, size_t dim, int32_t *out, size_t ldo)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n_q; j++)
			out[j * ldo + i] = code_row(q + j * ldq, rows + i * stride, dim);
}

static float fixed(const float *q, const uint8_t *hi, const uint8_t *mid, const uint16_t *lo,
	size_t dim, float s, enum kern_sum of)
{
	const __m256 vs = _mm256_set1_ps(s);
	__m256 sum = _mm256_setzero_ps();
	float tail = 0;
	size_t j = 0;
	for (; j + 8 <= dim; j += 8) {
		__m256i h = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(hi + j)));
		__m256i low = _mm256_set1_epi32(mid ? 0x8000 : 0x800000);
		if (lo)
			low = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(lo + j)));
		if (mid)
			low = _mm256_or_si256(
				low, _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(
							       (const __m128i *)(mid + j))),
					     16));
		h = _mm256_xor_si256(_mm256_or_si256(_mm256_slli_epi32(h, 24), low),
			_mm256_set1_epi32((int)0x80000000));
		__m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(h), vs), v = _mm256_loadu_ps(q + j),
		       d = _mm256_sub_ps(v, x);
		sum = sum_part(of, v, x, d, sum);
	}
	for (; j < dim; j++) {
		uint32_t low = mid ? (uint32_t)mid[j] << 16 | (lo ? lo[j] : 0x8000u) : 0x800000u;
		float x = (float)(int32_t)(((uint32_t)hi[j] << 24 | low) ^ 0x80000000u) * s;
		float d = q[j] - x;
		tail = of == KERN_SQUARES ? fmaf(d, d, tail)
		       : of == KERN_ABS   ? tail + fabsf(d)
					  : fmaf(q[j], x, tail);
	}
	__m128 t = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
	t = _mm_add_ps(t, _mm_movehl_ps(t, t));
	t = _mm_add_ss(t, _mm_shuffle_ps(t, t, 1));
	return _mm_cvtss_f32(t) + tail;
}

/* One row; two chains of lanes. */
INLINE float codes_l1_row(const float *q, const uint8_t *row, size_t dim, float scale)
{
	const __m256 s = _mm256_set1_ps(scale), middle = _mm256_set1_ps(127.5f),
		     sign = _mm256_set1_ps(-0.0f);
	__m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
	float tail = 0;
	size_t j = 0;
	for (; j + 16 <= dim; j += 16)
		UNROLL_FOR (c, 0, 2) {
			__m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
				_mm_loadl_epi64((const __m128i *)(row + j + 8 * c))));
			__m256 d = _mm256_fnmadd_ps(
				s, _mm256_sub_ps(x, middle), _mm256_loadu_ps(q + j + 8 * c));
			sum[c] = _mm256_add_ps(sum[c], _mm256_andnot_ps(sign, d));
		}
	for (; j < dim; j++)
		tail += fabsf(fmaf(-scale, (float)row[j] - 127.5f, q[j]));
	return add_lanes(_mm256_add_ps(sum[0], sum[1])) + tail;
}

static void codes_l1(const float *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
	size_t n, size_t dim, const float *scale, float *out)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = ids ? ids[i] : i;
		out[i] = codes_l1_row(q, rows + at * stride, dim, scale[at]);
	}
}

const struct kern kern_avx2 = {
	.name = "avx2",
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

INLINE uint32_t max_lanes_u(__m256i v)
{
	__m128i s = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
	return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static void act_row(const float *x, size_t k, int8_t *q, struct kern_act_meta *meta)
{
	const __m256i bits = _mm256_set1_epi32(0x7fffffff);
	const __m256i order =
		_mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0); /* undoes the packs' lanes */
	for (size_t b = 0; b < k / BLK; b++, x += BLK, q += BLK) {
		__m256 v[4];
		__m256i most4 = _mm256_setzero_si256(), i[4];
		UNROLL_FOR (c, 0, 4) {
			v[c] = _mm256_loadu_ps(x + 8 * c);
			most4 = _mm256_max_epu32(
				most4, _mm256_and_si256(_mm256_castps_si256(v[c]), bits));
		}
		uint32_t most = max_lanes_u(most4);
		float amax;
		memcpy(&amax, &most, 4);
		if (most >= 0x7f800000 || amax < ACT_TINY) {
			float s = most >= 0x7f800000 ? NAN : 0;
			memset(q, 0, BLK);
			meta[b] = (struct kern_act_meta){s, s, 0, 0};
			continue;
		}
		__m256 up = _mm256_set1_ps(127 / amax);
		UNROLL_FOR (c, 0, 4)
			i[c] = _mm256_cvtps_epi32(_mm256_mul_ps(v[c], up));
		__m256i packed = _mm256_packs_epi16(
			_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
		_mm256_storeu_si256((__m256i *)q, _mm256_permutevar8x32_epi32(packed, order));
		int32_t h0 = add_lanes_i(_mm256_add_epi32(i[0], i[1]));
		int32_t h1 = add_lanes_i(_mm256_add_epi32(i[2], i[3]));
		float s = amax / 127;
		meta[b] = (struct kern_act_meta){
			s, s * (float)(h0 + h1), -128 * (h0 + h1), -128 * h0};
	}
}

INLINE __m256i load_line(const unsigned char *src, unsigned line, unsigned half)
{
	return _mm256_load_si256((const __m256i *)(const void *)(src + line * LINE + 32 * half));
}

/* Half (8 rows) of line j of a packed block: q, or for 8 bits the signed q. */
INLINE __m256i line_of(unsigned bits, const unsigned char *src, unsigned j, unsigned half)
{
	if (bits == 8)
		return _mm256_xor_si256(load_line(src, j, half), _mm256_set1_epi8((char)0x80));
	__m256i v = load_line(src, j % 4, half);
	v = _mm256_and_si256(j < 4 ? v : _mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
	if (bits == 5) {
		__m256i h = load_line(src, 4, half);
		h = j < 4 ? _mm256_slli_epi16(h, 4 - (int)j) : _mm256_srli_epi16(h, (int)j - 4);
		v = _mm256_or_si256(v, _mm256_and_si256(h, _mm256_set1_epi8(0x10)));
	}
	if (bits == 6) {
		__m256i h = load_line(src, 4 + j / 4, half);
		unsigned at = j % 4 * 2;
		h = at < 4 ? _mm256_slli_epi16(h, 4 - (int)at) : _mm256_srli_epi16(h, (int)at - 4);
		v = _mm256_or_si256(v, _mm256_and_si256(h, _mm256_set1_epi8(0x30)));
	}
	return v;
}

INLINE __m256 bytes_ps(const unsigned char *p, bool is_signed)
{
	__m128i v = _mm_loadl_epi64((const __m128i *)p);
	return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v));
}

/* Factors and addends of half of a panel's rows in block b. s[1] only with halves of blocks. */
INLINE void scales_of(enum kern_type type, const unsigned char *panel, size_t k, size_t b,
	unsigned half, __m256 s[2], __m256 *add_to)
{
	const struct layout *l = layout_of(type);
	const unsigned char *g = scales_at(l, panel, k, b) + 16 * half;
	const unsigned char *sub = scales_at(l, panel, k, b) + 8 * half + b % 8 * 32;
	s[0] = load_f16((const kern_f16 *)(const void *)g);
	*add_to = l->minimum ? load_f16((const kern_f16 *)(const void *)(g + 32))
			     : _mm256_setzero_ps();
	if (type == KERN_Q6_K) {
		s[1] = _mm256_mul_ps(s[0], bytes_ps(sub + 48, true));
		s[0] = _mm256_mul_ps(s[0], bytes_ps(sub + 32, true));
	} else if (type == KERN_Q4_K || type == KERN_Q5_K) {
		s[0] = _mm256_mul_ps(s[0], bytes_ps(sub + 64, false));
		__m256 m = _mm256_mul_ps(*add_to, bytes_ps(sub + 80, false));
		*add_to = _mm256_xor_ps(m, _mm256_set1_ps(-0.0f));
	}
}

INLINE void unpack_type(enum kern_type type, unsigned bits, const unsigned char *panel, size_t k,
	size_t b0, size_t n, struct tile_w *out, unsigned p)
{
	bool halves = type == KERN_Q6_K;
	for (size_t i = 0; i < n; i++)
		UNROLL_FOR (h, 0, 2) {
			const unsigned char *src = panel + (b0 + i) * bits * LINE;
			uint8_t *u = out->u[p] + i * BLK_U8 + 32 * h;
			__m256 s[2], m;
			UNROLL_FOR (j, 0, 8)
				_mm256_store_si256((__m256i *)(void *)(u + j * LINE),
					line_of(bits, src, j, h));
			scales_of(type, panel, k, b0 + i, h, s, &m);
			_mm256_store_ps(out->s[p][halves ? 2 * i : i] + 8 * h, s[0]);
			if (halves)
				_mm256_store_ps(out->s[p][2 * i + 1] + 8 * h, s[1]);
			_mm256_store_ps(out->b[p][i] + 8 * h, m);
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

/* Lines that 16 bits hold (the comment at the head). */
INLINE unsigned group_of(unsigned bits)
{
	return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

/* sum over four bytes of w * x: pairs in 16 bits. For 8 bits w is signed. */
INLINE __m256i pairs(unsigned bits, __m256i w, __m256i x)
{
	if (bits == 8)
		return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
	return _mm256_maddubs_epi16(w, x);
}

INLINE __m256i load_x(const int8_t *q, unsigned j)
{
	return _mm256_set1_epi32((int)load32(q + 4 * j));
}

/* Where the sums of a token start: minus the centre times the sum of its activations. */
INLINE __m256i start_of(enum mode mode, unsigned bits, unsigned half, const struct kern_act_meta *m)
{
	int32_t off = mode == HALVES ? (half ? m->off - m->off_half : m->off_half) : m->off;
	if (bits == 8 || mode == MINIMUM)
		return _mm256_setzero_si256();
	return _mm256_set1_epi32(off / (1 << (8 - bits))); /* exact: off is a multiple of 128 */
}

/* Eight rows times T tokens, lines [j0, j1) of a block at u (lines LINE apart). */
INLINE void multiply_lines(unsigned bits, unsigned T, unsigned j0, unsigned j1, const uint8_t *u,
	const int8_t *q, size_t ldq, __m256i d[TOK])
{
	const __m256i ones = _mm256_set1_epi16(1);
	unsigned group = group_of(bits) < j1 - j0 ? group_of(bits) : j1 - j0;
	UNROLL_FOR (g, 0, (j1 - j0) / group) {
		__m256i s[TOK];
		UNROLL_FOR (i, 0, group) {
			unsigned j = j0 + g * group + i;
			__m256i w =
				_mm256_load_si256((const __m256i *)(const void *)(u + j * LINE));
			UNROLL_FOR (t, 0, T) {
				__m256i p = pairs(bits, w, load_x(q + t * ldq, j));
				s[t] = i ? _mm256_add_epi16(s[t], p) : p;
			}
		}
		UNROLL_FOR (t, 0, T)
			d[t] = _mm256_add_epi32(d[t], _mm256_madd_epi16(s[t], ones));
	}
}

INLINE void tile_part(enum mode mode, unsigned bits, unsigned half, unsigned T, const uint8_t *u,
	const float *s, const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm,
	__m256 acc[TOK])
{
	__m256i d[TOK];
	UNROLL_FOR (t, 0, T)
		d[t] = start_of(mode, bits, half, &meta[t * ldm]);
	multiply_lines(bits, T, mode == HALVES ? 4 * half : 0, mode == HALVES ? 4 * half + 4 : 8, u,
		q, ldq, d);
	UNROLL_FOR (t, 0, T) {
		__m256 f = _mm256_mul_ps(_mm256_load_ps(s), _mm256_set1_ps(meta[t * ldm].scale));
		acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[t]), f, acc[t]);
	}
}

/* Eight rows (`half` of panel p) times T tokens. */
INLINE void tile_body(enum mode mode, unsigned bits, unsigned T, const struct tile_w *w, unsigned p,
	unsigned half, size_t n, const int8_t *q, size_t ldq, const struct kern_act_meta *meta,
	size_t ldm, struct sums o)
{
	__m256 acc[TOK];
	UNROLL_FOR (t, 0, T)
		acc[t] = _mm256_loadu_ps(o.from + t * o.ldf);
	for (size_t i = 0; i < n; i++, q += BLK, meta++) {
		const uint8_t *u = w->u[p] + i * BLK_U8 + 32 * half;
		const float *s = w->s[p][mode == HALVES ? 2 * i : i] + 8 * half;
		tile_part(mode, bits, 0, T, u, s, q, ldq, meta, ldm, acc);
		if (mode == HALVES)
			tile_part(mode, bits, 1, T, u, s + KERN_PANEL, q, ldq, meta, ldm, acc);
		if (mode == MINIMUM)
			UNROLL_FOR (t, 0, T)
				acc[t] = _mm256_fmadd_ps(_mm256_load_ps(w->b[p][i] + 8 * half),
					_mm256_set1_ps(meta[t * ldm].sum), acc[t]);
	}
	UNROLL_FOR (t, 0, T)
		_mm256_storeu_ps(o.y + t * o.ldy, acc[t]);
}

#define TILES(name, mode, bits)                                                              \
	static void name(size_t T, const struct tile_w *w, unsigned p, unsigned h, size_t n, \
		const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm,   \
		const struct sums *to)                                                       \
	{                                                                                    \
		struct sums o = *to;                                                         \
		if (T == 1)                                                                  \
			tile_body(mode, bits, 1, w, p, h, n, q, ldq, meta, ldm, o);          \
		else if (T == 2)                                                             \
			tile_body(mode, bits, 2, w, p, h, n, q, ldq, meta, ldm, o);          \
		else                                                                         \
			tile_body(mode, bits, 3, w, p, h, n, q, ldq, meta, ldm, o);          \
	}

TILES(tile_8, CENTRED, 8)
TILES(tile_4, CENTRED, 4)
TILES(tile_5, CENTRED, 5)
TILES(tile_4_minimum, MINIMUM, 4)
TILES(tile_5_minimum, MINIMUM, 5)
TILES(tile_6_halves, HALVES, 6)

static void tile(const struct layout *l, const struct tile_w *w, unsigned n_panels, size_t n,
	const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm, size_t n_tok,
	const struct sums *to)
{
	struct sums o = *to;
	for (unsigned i = 0; i < 2 * n_panels; i++, o = sums_at(o, 0, 8)) {
		unsigned p = i / 2, h = i % 2;
		if (l->halves)
			tile_6_halves(n_tok, w, p, h, n, q, ldq, meta, ldm, &o);
		else if (l->minimum && l->bits == 4)
			tile_4_minimum(n_tok, w, p, h, n, q, ldq, meta, ldm, &o);
		else if (l->minimum)
			tile_5_minimum(n_tok, w, p, h, n, q, ldq, meta, ldm, &o);
		else if (l->bits == 8)
			tile_8(n_tok, w, p, h, n, q, ldq, meta, ldm, &o);
		else if (l->bits == 4)
			tile_4(n_tok, w, p, h, n, q, ldq, meta, ldm, &o);
		else
			tile_5(n_tok, w, p, h, n, q, ldq, meta, ldm, &o);
	}
}

/* Lines [j0, j0 + n) of half h of a packed block times one token's, added to d. */
INLINE __m256i row_lines(unsigned bits, unsigned j0, unsigned n, const unsigned char *src,
	unsigned h, const int8_t *q, __m256i d)
{
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i s = _mm256_setzero_si256();
	UNROLL_FOR (i, 0, n) {
		s = _mm256_add_epi16(
			s, pairs(bits, line_of(bits, src, j0 + i, h), load_x(q, j0 + i)));
		if ((i + 1) % group_of(bits) == 0) {
			d = _mm256_add_epi32(d, _mm256_madd_epi16(s, ones));
			s = _mm256_setzero_si256();
		}
	}
	return d;
}

/* Block b of eight rows of a panel times one token's. */
INLINE __m256 row_block(enum kern_type type, unsigned bits, const unsigned char *panel, size_t k,
	size_t b, unsigned h, const int8_t *q, const struct kern_act_meta *meta, __m256 acc)
{
	const struct layout *l = layout_of(type);
	enum mode mode = l->halves ? HALVES : l->minimum ? MINIMUM : CENTRED;
	const unsigned char *src = panel + b * bits * LINE;
	__m256 s[2], m, x = _mm256_set1_ps(meta[b].scale);
	scales_of(type, panel, k, b, h, s, &m);
	__m256i d = start_of(mode, bits, 0, &meta[b]);
	if (mode == HALVES) {
		d = row_lines(bits, 0, 4, src, h, q + b * BLK, d);
		acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d), _mm256_mul_ps(s[0], x), acc);
		d = row_lines(bits, 4, 4, src, h, q + b * BLK, start_of(mode, bits, 1, &meta[b]));
		return _mm256_fmadd_ps(_mm256_cvtepi32_ps(d), _mm256_mul_ps(s[1], x), acc);
	}
	d = row_lines(bits, 0, 8, src, h, q + b * BLK, d);
	acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d), _mm256_mul_ps(s[0], x), acc);
	return mode == MINIMUM ? _mm256_fmadd_ps(m, _mm256_set1_ps(meta[b].sum), acc) : acc;
}

/* One token times P panels, straight from the packed bytes; see kern_avx512.c on memory. */
INLINE void row_quant(enum kern_type type, unsigned bits, unsigned P, const unsigned char *panel,
	size_t panel_bytes, size_t k, const int8_t *q, const struct kern_act_meta *meta, float *y)
{
	__m256 acc[2 * ROW_PANELS];
	UNROLL_FOR (p, 0, 2 * P)
		acc[p] = _mm256_loadu_ps(y + 8 * p);
	for (size_t b = 0; b < k / BLK; b++) {
		UNROLL_FOR (p, 0, P) {
			const char *far =
				(const char *)panel + p * panel_bytes + b * bits * LINE + AHEAD;
			UNROLL_FOR (i, 0, bits)
				_mm_prefetch(far + i * LINE, _MM_HINT_T1);
		}
		UNROLL_FOR (p, 0, 2 * P)
			acc[p] = row_block(type, bits, panel + p / 2 * panel_bytes, k, b, p % 2, q,
				meta, acc[p]);
	}
	UNROLL_FOR (p, 0, 2 * P)
		_mm256_storeu_ps(y + 8 * p, acc[p]);
}

INLINE void rows_quant(enum kern_type type, unsigned bits, const unsigned char *panel,
	size_t panel_bytes, size_t n, size_t k, const int8_t *q, const struct kern_act_meta *meta,
	float *y)
{
	for (; n >= ROW_PANELS;
		n -= ROW_PANELS, panel += ROW_PANELS * panel_bytes, y += ROW_PANELS * 16)
		row_quant(type, bits, ROW_PANELS, panel, panel_bytes, k, q, meta, y);
	for (; n; n--, panel += panel_bytes, y += 16)
		row_quant(type, bits, 1, panel, panel_bytes, k, q, meta, y);
}

/* Lines [j0, j0 + n) of half h of a packed block times T tokens, added to d. */
INLINE void few_lines(unsigned bits, unsigned T, unsigned j0, unsigned n, const unsigned char *src,
	unsigned h, const int8_t *q, size_t ldq, __m256i d[FEW_TOK])
{
	const __m256i ones = _mm256_set1_epi16(1);
	unsigned group = group_of(bits) < n ? group_of(bits) : n;
	__m256i s[FEW_TOK];
	UNROLL_FOR (i, 0, n) {
		__m256i w = line_of(bits, src, j0 + i, h);
		UNROLL_FOR (t, 0, T) {
			__m256i p = pairs(bits, w, load_x(q + t * ldq, j0 + i));
			s[t] = i % group ? _mm256_add_epi16(s[t], p) : p;
			if ((i + 1) % group == 0)
				d[t] = _mm256_add_epi32(d[t], _mm256_madd_epi16(s[t], ones));
		}
	}
}

/* A part of a block of eight rows, lines [j0, j0 + n), times T tokens and its factor. */
INLINE void few_part(enum mode mode, unsigned bits, unsigned T, unsigned j0, unsigned n,
	const unsigned char *src, unsigned h, __m256 s, const int8_t *q, size_t ldq,
	const struct kern_act_meta *meta, size_t ldm, __m256 acc[FEW_TOK])
{
	__m256i d[FEW_TOK];
	UNROLL_FOR (t, 0, T)
		d[t] = start_of(mode, bits, j0 != 0, &meta[t * ldm]);
	few_lines(bits, T, j0, n, src, h, q, ldq, d);
	UNROLL_FOR (t, 0, T) {
		__m256 f = _mm256_mul_ps(s, _mm256_set1_ps(meta[t * ldm].scale));
		acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[t]), f, acc[t]);
	}
}

/* Block b of eight rows of a panel times T tokens. */
INLINE void few_block(enum kern_type type, unsigned bits, unsigned T, const unsigned char *panel,
	size_t k, size_t b, unsigned h, const int8_t *q, size_t ldq,
	const struct kern_act_meta *meta, size_t ldm, __m256 acc[FEW_TOK])
{
	const struct layout *l = layout_of(type);
	enum mode mode = l->halves ? HALVES : l->minimum ? MINIMUM : CENTRED;
	const unsigned char *src = panel + b * bits * LINE;
	__m256 s[2], m;
	scales_of(type, panel, k, b, h, s, &m);
	if (mode == HALVES) {
		few_part(mode, bits, T, 0, 4, src, h, s[0], q, ldq, meta, ldm, acc);
		few_part(mode, bits, T, 4, 4, src, h, s[1], q, ldq, meta, ldm, acc);
		return;
	}
	few_part(mode, bits, T, 0, 8, src, h, s[0], q, ldq, meta, ldm, acc);
	if (mode == MINIMUM)
		UNROLL_FOR (t, 0, T)
			acc[t] = _mm256_fmadd_ps(m, _mm256_set1_ps(meta[t * ldm].sum), acc[t]);
}

/* T tokens times a panel, half by half: the second finds the panel in the cache. */
INLINE void few_body(enum kern_type type, unsigned bits, unsigned T, const unsigned char *panel,
	size_t k, const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm,
	size_t ahead, struct sums o)
{
	UNROLL_FOR (h, 0, 2) {
		__m256 acc[FEW_TOK];
		UNROLL_FOR (t, 0, T)
			acc[t] = _mm256_loadu_ps(o.from + t * o.ldf + 8 * h);
		for (size_t b = 0; b < k / BLK; b++) {
			if (h == 0)
				UNROLL_FOR (i, 0, bits)
					_mm_prefetch(
						(const char *)panel + ahead + (b * bits + i) * LINE,
						_MM_HINT_T1);
			few_block(type, bits, T, panel, k, b, h, q + b * BLK, ldq, meta + b, ldm,
				acc);
		}
		UNROLL_FOR (t, 0, T)
			_mm256_storeu_ps(o.y + t * o.ldy + 8 * h, acc[t]);
	}
}

/* Two tokens, or four at a time. */
INLINE void few_quant(enum kern_type type, unsigned bits, const unsigned char *panel,
	size_t panel_bytes, size_t n, size_t k, const int8_t *q, size_t ldq,
	const struct kern_act_meta *meta, size_t ldm, size_t n_tok, size_t ahead, struct sums o)
{
	for (; n; n--, panel += panel_bytes, o = sums_at(o, 0, 16)) {
		if (n_tok == 2)
			few_body(type, bits, 2, panel, k, q, ldq, meta, ldm, ahead, o);
		else
			for (size_t t = 0; t < n_tok; t += 4)
				few_body(type, bits, 4, panel, k, q + t * ldq, ldq, meta + t * ldm,
					ldm, t ? panel_bytes : ahead, sums_at(o, t, 0));
	}
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

/* Rows 8 h .. 8 h + 7 of column i. */
INLINE __m256 weights(enum kern_type type, const unsigned char *panel, size_t i, unsigned h)
{
	if (type == KERN_F32)
		return _mm256_load_ps((const float *)(const void *)panel + i * 16 + 8 * h);
	const __m128i *p = (const __m128i *)(const void *)panel + 2 * i + h;
	if (type == KERN_F16)
		return _mm256_cvtph_ps(_mm_load_si128(p));
	/* pairs of columns: the even one is the lower half */
	__m256i pair = _mm256_load_si256((const __m256i *)(const void *)panel + i / 2 * 2 + h);
	return _mm256_castsi256_ps(i & 1 ? _mm256_and_si256(pair, _mm256_set1_epi32(-65536))
					 : _mm256_slli_epi32(pair, 16));
}

static void unpack_f(enum kern_type type, const unsigned char *panel, size_t k0, size_t n,
	float (*out)[KERN_PANEL])
{
	for (size_t i = 0; i < n; i++)
		UNROLL_FOR (h, 0, 2)
			_mm256_store_ps(out[i] + 8 * h, weights(type, panel, k0 + i, h));
}

/* One panel times T tokens: 12 sums in registers. */
INLINE void tile_f_body(unsigned T, const float *w, size_t n, const float *a, size_t a_row,
	size_t a_col, struct sums o)
{
	__m256 acc[2][TOK_F];
	UNROLL_FOR (t, 0, T)
		acc[0][t] = acc[1][t] = _mm256_setzero_ps();
	const float *a0 = a, *a3 = a + 3 * a_row;
	for (size_t i = 0; i < n; i++, w += KERN_PANEL, a0 += a_col, a3 += a_col) {
		__m256 w0 = _mm256_load_ps(w), w1 = _mm256_load_ps(w + 8);
		UNROLL_FOR (t, 0, T) {
			__m256 x = _mm256_set1_ps((t < 3 ? a0 : a3)[t % 3 * a_row]);
			acc[0][t] = _mm256_fmadd_ps(x, w0, acc[0][t]);
			acc[1][t] = _mm256_fmadd_ps(x, w1, acc[1][t]);
		}
	}
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (h, 0, 2) {
			__m256 from = _mm256_loadu_ps(o.from + t * o.ldf + 8 * h);
			_mm256_storeu_ps(o.y + t * o.ldy + 8 * h, _mm256_add_ps(from, acc[h][t]));
		}
}

#define TILE_F(T)                                         \
	case T:                                           \
		tile_f_body(T, w, n, a, a_row, a_col, o); \
		break;

static void tile_f(const float *w, size_t w_panel, unsigned n_panels, size_t n, const float *a,
	size_t a_row, size_t a_col, size_t n_tok, const struct sums *to)
{
	struct sums o = *to;
	for (unsigned p = 0; p < n_panels; p++, w += w_panel, o = sums_at(o, 0, KERN_PANEL))
		switch (n_tok) {
			TILE_F(1)
			TILE_F(2)
			TILE_F(3)
			TILE_F(4)
			TILE_F(5)
			TILE_F(6)
		}
}

/* One token times P panels, sums cut every KC_F like tile_f's. */
INLINE void row_float(enum kern_type type, unsigned P, const unsigned char *panel,
	size_t panel_bytes, size_t k, const float *x, float *y)
{
	__m256 all[8];
	UNROLL_FOR (p, 0, 2 * P)
		all[p] = _mm256_loadu_ps(y + 8 * p);
	for (size_t k0 = 0; k0 < k; k0 += KC_F) {
		__m256 acc[8];
		UNROLL_FOR (p, 0, 2 * P)
			acc[p] = _mm256_setzero_ps();
		for (size_t i = k0; i < MIN(k0 + KC_F, k); i++)
			UNROLL_FOR (p, 0, 2 * P)
				acc[p] = _mm256_fmadd_ps(_mm256_set1_ps(x[i]),
					weights(type, panel + p / 2 * panel_bytes, i, p % 2),
					acc[p]);
		UNROLL_FOR (p, 0, 2 * P)
			all[p] = _mm256_add_ps(all[p], acc[p]);
	}
	UNROLL_FOR (p, 0, 2 * P)
		_mm256_storeu_ps(y + 8 * p, all[p]);
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

/* 8 x 8: three rounds that swap ever larger blocks between rows. */
INLINE void transpose8(__m256 v[8])
{
	__m256 t[8];
	UNROLL_FOR (i, 0, 4) {
		t[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
		t[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
	}
	UNROLL_FOR (j, 0, 2) {
		unsigned i = 4 * j;
		v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
		v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
		v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
		v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
	}
	UNROLL_FOR (i, 0, 4) {
		__m256 a = v[i], b = v[i + 4];
		v[i] = _mm256_permute2f128_ps(a, b, 0x20);
		v[i + 4] = _mm256_permute2f128_ps(a, b, 0x31);
	}
}

INLINE void transpose_kind(enum row_kind kind, const char *rows, size_t stride, size_t n_rows,
	size_t n, float (*out)[KERN_PANEL])
{
	size_t bytes = stride * (kind == ROW_F32 ? 4 : 2);
	for (size_t i = 0; i < n; i += 8)
		UNROLL_FOR (h, 0, 2) {
			__m256 v[8];
			UNROLL_FOR (r, 0, 8)
				v[r] = 8 * h + r < n_rows
					       ? row_part(
							 kind, rows + (8 * h + r) * bytes, i, n - i)
					       : _mm256_setzero_ps();
			transpose8(v);
			for (unsigned c = 0; c < 8 && i + c < n; c++)
				_mm256_store_ps(out[i + c] + 8 * h, v[c]);
		}
}

static void transpose(enum kern_type type, const void *rows, size_t stride, size_t n_rows, size_t n,
	float (*out)[KERN_PANEL])
{
	transpose_kind(type == KERN_F32 ? ROW_F32 : ROW_F16, rows, stride, n_rows, n, out);
}

static void from_i8(float *y, const int8_t *x, size_t n)
{
	size_t i = 0;
	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(y + i, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(
						_mm_loadl_epi64((const __m128i *)(x + i)))));
	for (; i < n; i++)
		y[i] = x[i];
}

const struct leaves leaves_avx2 = {
	.tok_tile = TOK,
	.tok_tile_f = TOK_F,
	.act_row = act_row,
	.unpack = unpack,
	.tile = tile,
	.row = row,
	.few = few,
	.unpack_f = unpack_f,
	.tile_f = tile_f,
	.transpose = transpose,
	.from_i8 = from_i8,
};
