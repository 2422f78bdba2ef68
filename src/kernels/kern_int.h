/* Inside kernels: the packed layout and what an instruction set supplies to the shared drivers.
 *
 * A packed matrix is a sequence of panels of 16 rows (the last padded with zero rows). Quantised,
 * k is cut into blocks of 32 and a panel is [quants of all blocks][scales of all blocks], padded to
 * 64 bytes:
 *
 *	quants of a block   one "line" is 64 bytes: byte 4 r + c belongs to row r; line j of the
 *eight holds the values 4 j + c, which is what vpdpbusd wants Q8_0              8 lines of q + 128
 *	  4 bits            4 lines: low nibbles are line j, high nibbles line j + 4
 *	  5 bits            those 4, then one line whose bit j is the fifth bit of line j
 *	  6 bits            those 4, then two lines: bits 2 (j % 4).. of line j / 4 are the upper
 *bits of j scales of a block   Q8_0, Q4_0, Q5_0: f16 d[16]; Q4_1, Q5_1: f16 d[16], m[16] of 8
 *blocks       Q4_K, Q5_K: f16 d[16], dmin[16], then u8 sc[16], m[16] per block; Q6_K: f16 d[16],
 *then i8 sc[16] per 16 values
 *
 * F32, F16: [k][16] values. BF16: [k / 2][16][2], pairs of columns, as vdpbf16ps wants them; an odd
 * last column has a zero beside it.
 *
 * Unpacked, every quantised type looks the same: u8 lines u = q << (8 - bits), a factor s (divided
 *by 2^(8 - bits), exactly), and either an addend b per block (the types with a minimum) or the
 *centre 128, which the products take off through kern_act_meta.off = -128 * sum of the activations.
 */
#ifndef KERNELS_KERN_INT_H
#define KERNELS_KERN_INT_H
#include <string.h>
#include "kernels/kernels.h"

enum {
	BLK = 32,          /* values per block of int8 activations */
	LINE = 64,         /* bytes */
	BLK_U8 = 8 * LINE, /* an unpacked block of a panel */
	KC = 576,          /* k per pass over an unpacked pair of panels, quantised */
	KC_F = 256,        /* the same in f32; also where f32 sums are cut */
	FEW = 8,           /* tokens that a quantised panel is multiplied with in registers */
	KC_B = 128,        /* pairs of BF16 per pass; where their sums are cut */
	KC_BLKS = KC / BLK,
	AHEAD_BLKS = 16, /* that many blocks before they are used, few asks for them */
	MANY_PANELS = 8, /* that many tokens are multiplied with between two passes over k */
	ATTN_ROWS = 48,  /* query rows that attention takes at once */
	ATTN_CUT = KERN_ATTN_BLOCK, /* where sums over positions are cut */
};

/* A block of activations whose largest value is below this counts as zero: 127 / it must be finite
 * and products with scales must stay normal numbers. */
#define ACT_TINY 1e-24f

struct layout {
	unsigned bits;        /* 0: no quantised type */
	unsigned lines;       /* of quants per block */
	unsigned scale_group; /* blocks that share a group of scales */
	unsigned scale_bytes; /* of a group, 16 rows */
	bool minimum;         /* has addends b */
	bool halves;          /* a factor per 16 values, not per 32 */
};
/* In the header, so that a constant type makes constants of its layout. */
__attribute__((unused)) static const struct layout layouts[KERN_BF16 + 1] = {
	[KERN_Q8_0] = {8, 8, 1, 32, false, false},
	[KERN_Q4_0] = {4, 4, 1, 32, false, false},
	[KERN_Q4_1] = {4, 4, 1, 64, true, false},
	[KERN_Q5_0] = {5, 5, 1, 32, false, false},
	[KERN_Q5_1] = {5, 5, 1, 64, true, false},
	[KERN_Q4_K] = {4, 4, 8, 64 + 8 * 32, true, false},
	[KERN_Q5_K] = {5, 5, 8, 64 + 8 * 32, true, false},
	[KERN_Q6_K] = {6, 6, 8, 32 + 16 * 16, false, true},
};

static inline const struct layout *layout_of(enum kern_type t)
{
	return &layouts[t];
}

static inline const unsigned char *panel_at(const struct kern_mat *w, size_t panel)
{
	return w->data + panel * w->panel_bytes;
}

/* Where the scales of block b's group lie in a panel. */
static inline const unsigned char *scales_at(
	const struct layout *l, const unsigned char *panel, size_t k, size_t b)
{
	return panel + k / BLK * l->lines * LINE + b / l->scale_group * l->scale_bytes;
}

/* A pair of panels, unpacked for blocks [b0, b0 + n), n <= KC_BLKS. With halves there are two
 * factors per block. */
struct tile_w {
	uint8_t u[2][KC_BLKS * BLK_U8] __attribute__((aligned(64)));
	float s[2][KC_BLKS * 2][KERN_PANEL] __attribute__((aligned(64)));
	float b[2][KC_BLKS][KERN_PANEL] __attribute__((aligned(64)));
};

/* The same in f32: [k][16] for k <= KC_F. */
struct tile_f {
	float w[2][KC_F][KERN_PANEL] __attribute__((aligned(64)));
};

/* Where a tile puts its sums: y[t][r] = from[t][r] + products. `from` is y itself when a pass over
 * k goes on with what the one before it left, else the bias or zeros: so nobody clears y first.
 * Leaves get its address: by value it would be read in larger pieces than it was written, which
 * waits. */
struct sums {
	float *y;
	size_t ldy;
	const float *from;
	size_t ldf; /* 0: the same for every token */
};

/* From token t and row r on. */
static inline struct sums sums_at(struct sums s, size_t t, size_t r)
{
	s.y += t * s.ldy + r;
	s.from += t * s.ldf + r;
	return s;
}

extern const float sums_zeros[MANY_PANELS * KERN_PANEL];

/* Sums that go on from what y holds, or begin at zero. */
static inline struct sums sums_of(float *y, size_t ldy, bool on)
{
	return on ? (struct sums){y, ldy, y, ldy} : (struct sums){y, ldy, sums_zeros, 0};
}

/* What an instruction set supplies. n_panels is 1 or 2 and the outputs of panel p start at y + 16
 * p; all 16 are written. row adds to its y. */
struct leaves {
	unsigned tok_tile, tok_tile_f; /* tokens that a tile takes at most */
	void (*act_row)(const float *x, size_t k, int8_t *q, struct kern_act_meta *meta);
	/* Blocks [b0, b0 + n) of a panel into slot p of out. */
	void (*unpack)(enum kern_type type, const unsigned char *panel, size_t k, size_t b0,
		size_t n, struct tile_w *out, unsigned p);
	/* y[t][r] = fma chain over the n blocks, starting at from: fma(dot, s * scale, .), then
	 * fma(b, sum,
	 * .). */
	void (*tile)(const struct layout *l, const struct tile_w *w, unsigned n_panels, size_t n,
		const int8_t *q, size_t ldq, const struct kern_act_meta *meta, size_t ldm,
		size_t n_tok, const struct sums *to);
	/* n_panels * 16 rows, one token, straight from the packed form, with tile's result. NULL:
	 * unpack and tile. The float types in chunks of KC_F like tile_f. */
	void (*row)(enum kern_type type, const unsigned char *panel, size_t panel_bytes,
		size_t n_panels, size_t k, const float *x, const int8_t *q,
		const struct kern_act_meta *meta, float *y);
	/* The same for 2, 4 or FEW tokens, one panel or two, and a quantised type; memory is asked
	 * for what stands `ahead` bytes further. NULL: unpack and tile. */
	void (*few)(enum kern_type type, const unsigned char *panel, size_t panel_bytes,
		size_t n_panels, size_t k, const int8_t *q, size_t ldq,
		const struct kern_act_meta *meta, size_t ldm, size_t n_tok, size_t ahead,
		const struct sums *to);
	/* n columns of a F32/F16/BF16 panel from column k0 to f32. */
	void (*unpack_f)(enum kern_type type, const unsigned char *panel, size_t k0, size_t n,
		float (*out)[KERN_PANEL]);
	/* y[t][r] = from[t][r] + fma chain over i < n, from 0, of a[t * a_row + i * a_col] *
	 * w[p][i][r]. w: panels lie w_panel floats apart. */
	void (*tile_f)(const float *w, size_t w_panel, unsigned n_panels, size_t n, const float *a,
		size_t a_row, size_t a_col, size_t n_tok, const struct sums *to);
	/* n_rows <= 16 rows of n values (F32 or F16), `stride` elements apart, as a panel:
	 * out[i][r]; zeros for the missing rows. */
	void (*transpose)(enum kern_type type, const void *rows, size_t stride, size_t n_rows,
		size_t n, float (*out)[KERN_PANEL]);
	/* tile_f's result for f16 w: value r of row i of panel p at w[p * w_panel + i * w_row + r].
	 * n_panels is 1 to 4. NULL: unpack first. */
	void (*tile_h)(const kern_f16 *w, size_t w_panel, size_t w_row, unsigned n_panels, size_t n,
		const float *a, size_t a_row, size_t n_tok, const struct sums *to);
	/* The same for signed bytes. NULL: unpack first. */
	void (*tile_b)(const int8_t *w, size_t w_panel, size_t w_row, unsigned n_panels, size_t n,
		const float *a, size_t a_row, size_t n_tok, const struct sums *to);
	void (*from_i8)(float *y, const int8_t *x, size_t n);
	void (*attention)(const struct kern_attn *a); /* NULL: attention.c's, over tile_f */
};

/* Products of BF16 by the CPU's own instruction. */
struct leaves_bf16 {
	unsigned tok_tile;
	/* k values to h, and a zero after an odd number of them */
	void (*act_row)(const float *x, size_t k, uint16_t *h);
	/* y[t][16 p + r] = from + sum over n pairs of a[t * lda + ..] * w[p][..][r], from 0. Panels
	 * lie panel_bytes apart. n_panels is 1 or 2, or 1 to 4 for one token. */
	void (*tile)(const unsigned char *panel, size_t panel_bytes, unsigned n_panels, size_t n,
		const uint16_t *a, size_t lda, size_t n_tok, const struct sums *to);
};
extern const struct leaves_bf16 bf16_avx512;
extern const struct leaves_bf16 *bf16; /* NULL: as f32 */

/* The tables; an instruction set that is not built is absent from kern.c's list. */
extern const struct kern kern_generic, kern_avx2, kern_avx512;
extern const struct leaves leaves_generic, leaves_avx2, leaves_avx512;
extern const struct leaves *leaves;

static inline float f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff, u;
	float f;
	if (e == 31) {
		u = sign | 0x7f800000 | m << 13 | (m ? 0x400000 : 0);
	} else if (e) {
		u = sign | (e + 112) << 23 | m << 13;
	} else {
		f = (float)m * 0x1p-24f; /* exact */
		memcpy(&u, &f, 4);
		u |= sign;
	}
	memcpy(&f, &u, 4);
	return f;
}

static inline float bf16_to_f32(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;
	memcpy(&f, &u, 4);
	return f;
}

static inline uint32_t load32(const void *p)
{
	uint32_t u;
	memcpy(&u, p, 4);
	return u;
}

static inline uint16_t load16(const void *p)
{
	uint16_t u;
	memcpy(&u, p, 2);
	return u;
}

/* Where column c of row r lies in a BF16 panel. */
static inline size_t bf16_at(size_t c, size_t r)
{
	return (c / 2 * KERN_PANEL + r) * 4 + c % 2 * 2;
}

static inline void store32(void *p, uint32_t u)
{
	memcpy(p, &u, 4);
}

#endif
