/* Products of BF16 by vdpbf16ps: two columns of 16 rows at a time, exact products, sums in f32. */
#include "kernels/kern_int.h"

#include <immintrin.h>

enum { AHEAD = 2048, AHEAD_TILE = 4096 }; /* kern_avx512.c's */

#define INLINE static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLL_FOR(i, from, to) \
	_Pragma("clang loop unroll(full)") for (unsigned i = (from); i < (to); i++)
#else
#define UNROLL_FOR(i, from, to) _Pragma("GCC unroll 16") for (unsigned i = (from); i < (to); i++)
#endif

static void act_row(const float *x, size_t k, uint16_t *h)
{
	size_t i = 0;
	for (; i + 16 <= k; i += 16)
		_mm256_storeu_si256(
			(__m256i *)(h + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i)));
	if (i == k)
		return;
	__mmask16 in = (__mmask16)((1u << (k - i)) - 1),
		  out = (__mmask16)((1u << ((k - i + 1) & ~(size_t)1)) - 1);
	_mm256_mask_storeu_epi16(
		h + i, out, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(in, x + i)));
}

INLINE __m512 step(__m512 acc, const uint16_t *a, __m512i w)
{
	return _mm512_dpbf16_ps(acc, (__m512bh)_mm512_set1_epi32((int)load32(a)), (__m512bh)w);
}

INLINE void add(struct sums o, size_t t, size_t r, __m512 acc)
{
	_mm512_storeu_ps(
		o.y + t * o.ldy + r, _mm512_add_ps(_mm512_loadu_ps(o.from + t * o.ldf + r), acc));
}

INLINE void tile_body(unsigned P, unsigned T, const unsigned char *panel, size_t panel_bytes,
	size_t n, const uint16_t *a, size_t lda, struct sums o)
{
	__m512 acc[2][12];
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			acc[p][t] = _mm512_setzero_ps();
	UNROLL_FOR (t, 0, T) /* kern_avx512.c's tile */
		__builtin_prefetch(o.y + (t + T) * o.ldy, 1);
	if (P > 1)
		UNROLL_FOR (t, 0, T)
			__builtin_prefetch(o.y + (t + T) * o.ldy + 16, 1);
	/* rows t, t + 1, t + 2 of A from four pointers: few enough for the integer registers */
	const uint16_t *a0 = a, *a3 = a + 3 * lda, *a6 = a + 6 * lda, *a9 = a + 9 * lda;
	for (size_t i = 0; i < n; i++, panel += LINE, a0 += 2, a3 += 2, a6 += 2, a9 += 2) {
		__m512i v[2];
		UNROLL_FOR (p, 0, P) {
			_mm_prefetch(
				(const char *)panel + p * panel_bytes + AHEAD_TILE, _MM_HINT_T0);
			v[p] = _mm512_load_si512(panel + p * panel_bytes);
		}
		UNROLL_FOR (t, 0, T) {
			const uint16_t *row = t < 3 ? a0 : t < 6 ? a3 : t < 9 ? a6 : a9;
			UNROLL_FOR (p, 0, P)
				acc[p][t] = step(acc[p][t], row + t % 3 * lda, v[p]);
		}
	}
	UNROLL_FOR (t, 0, T)
		UNROLL_FOR (p, 0, P)
			add(o, t, 16 * p, acc[p][t]);
}

/* One token, bound by memory: four panels at once, lines asked for ahead (kern_avx512.c's row). */
INLINE void row_body(unsigned P, const unsigned char *panel, size_t panel_bytes, size_t n,
	const uint16_t *a, struct sums o)
{
	__m512 acc[4];
	UNROLL_FOR (p, 0, P)
		acc[p] = _mm512_setzero_ps();
	for (size_t i = 0; i < n; i++, panel += LINE)
		UNROLL_FOR (p, 0, P) {
			_mm_prefetch((const char *)panel + p * panel_bytes + AHEAD, _MM_HINT_T1);
			acc[p] =
				step(acc[p], a + 2 * i, _mm512_load_si512(panel + p * panel_bytes));
		}
	UNROLL_FOR (p, 0, P)
		add(o, 0, 16 * p, acc[p]);
}

#define ROW(P)                                            \
	case (P)*16 + 1:                                  \
		row_body(P, panel, panel_bytes, n, a, o); \
		break;
#define TILE(P, T)                                                 \
	case (P)*16 + (T):                                         \
		tile_body(P, T, panel, panel_bytes, n, a, lda, o); \
		break;
#define TILES(P)    \
	TILE(P, 2)  \
	TILE(P, 3)  \
	TILE(P, 4)  \
	TILE(P, 5)  \
	TILE(P, 6)  \
	TILE(P, 7)  \
	TILE(P, 8)  \
	TILE(P, 9)  \
	TILE(P, 10) \
	TILE(P, 11) \
	TILE(P, 12)

static void tile(const unsigned char *panel, size_t panel_bytes, unsigned n_panels, size_t n,
	const uint16_t *a, size_t lda, size_t n_tok, const struct sums *to)
{
	struct sums o = *to;
	switch (n_panels * 16 + n_tok) {
		ROW(1)
		ROW(2)
		ROW(3)
		ROW(4)
		TILES(1)
		TILES(2)
	}
}

const struct leaves_bf16 bf16_avx512 = {.tok_tile = 12, .act_row = act_row, .tile = tile};
