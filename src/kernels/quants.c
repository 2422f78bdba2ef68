/* Number formats of model files: rows to f32 and back, and the packed layout of kern_int.h. The
 * block layouts are facts of the GGUF format. Plain C; runs at load and for embedding look-ups. */
#include "kernels/kern_int.h"

#include <math.h>

/* GGUF's blocks, in bytes: what stands where.
 *
 *	Q8_0  d:f16 q:i8[32]                        d q
 *	Q4_0  d:f16 q:u4[32]                        d (q - 8)       nibbles: low 0..15, high 16..31
 *	Q4_1  d:f16 m:f16 q:u4[32]                  d q + m
 *	Q5_0  d:f16 h:u32 q:u4[32]                  d (q - 16)      bit i of h is the fifth of value
 *i Q5_1  d:f16 m:f16 h:u32 q:u4[32]            d q + m Q4_K  d:f16 m:f16 s:[12] q:u4[256] d sc q -
 *m mn   per 32; 32 bytes of q: low, next 32 Q5_K  d:f16 m:f16 s:[12] h:[32] q:u4[256]   the same;
 *bit b of h[i] belongs to value 32 b + i Q6_K  ql:[128] qh:[64] sc:i8[16] d:f16      d sc (q - 32)
 *per 16 */
static const struct kern_type_info infos[] = {
	{KERN_F32, "F32", 1, 4},
	{KERN_F16, "F16", 1, 2},
	{KERN_BF16, "BF16", 1, 2},
	{KERN_Q8_0, "Q8_0", 32, 34},
	{KERN_Q4_0, "Q4_0", 32, 18},
	{KERN_Q4_1, "Q4_1", 32, 20},
	{KERN_Q5_0, "Q5_0", 32, 22},
	{KERN_Q5_1, "Q5_1", 32, 24},
	{KERN_Q4_K, "Q4_K", 256, 144},
	{KERN_Q5_K, "Q5_K", 256, 176},
	{KERN_Q6_K, "Q6_K", 256, 210},
};

const struct kern_type_info *kern_type_info(unsigned t)
{
	for (size_t i = 0; i < ARRAY_LEN(infos); i++)
		if (infos[i].type == t)
			return &infos[i];
	return NULL;
}

const struct kern_type_info *kern_type_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(infos); i++)
		if (!strcmp(infos[i].name, name))
			return &infos[i];
	return NULL;
}

bool kern_type_int8(enum kern_type t)
{
	return (unsigned)t <= KERN_BF16 && layouts[t].bits;
}

size_t kern_row_bytes(enum kern_type t, size_t k)
{
	const struct kern_type_info *i = kern_type_info(t);
	size_t n;
	if (!i || k % i->block || __builtin_mul_overflow(k / i->block, i->bytes, &n))
		return 0;
	return n;
}

/* ---- scalar conversions ---------------------------------------------------------------------- */

float kern_f16_to_f32(uint16_t h)
{
	return f16_to_f32(h);
}

uint16_t kern_f32_to_f16(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	uint32_t sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
	if (a > 0x7f800000) /* NaN: keep the upper payload bits, quiet */
		return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
	if (a >= 0x477ff000) /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (a < 0x38800000) { /* below 2^-14: a multiple of 2^-24; adding 0.5 rounds it there */
		float t;
		memcpy(&t, &a, 4);
		t += 0.5f;
		memcpy(&a, &t, 4);
		return (uint16_t)(sign | (a - 0x3f000000));
	}
	a += 0xfff + (a >> 13 & 1); /* nearest even at bit 13 */
	return (uint16_t)(sign | (a - 0x38000000) >> 13);
}

uint16_t kern_f32_to_bf16(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- one block of 32 values out of a file's row ---------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))

/* Scale and minimum of 32-value block i of a Q4_K or Q5_K block: 6 bits each out of 12 bytes. */
INLINE void k_scale(const uint8_t *p, unsigned i, unsigned *sc, unsigned *mn)
{
	if (i < 4) {
		*sc = p[i] & 63;
		*mn = p[i + 4] & 63;
	} else {
		*sc = (p[i + 4] & 15) | (p[i - 4] >> 6) << 4;
		*mn = p[i + 4] >> 4 | (p[i] >> 6) << 4;
	}
}

/* The four bits of n, each in bit 0 of its own byte. */
INLINE uint32_t spread(uint32_t n)
{
	return (n * 0x00204081u) & 0x01010101u;
}

INLINE void legacy_nibbles(const uint8_t *p, uint32_t q[8])
{
	for (unsigned i = 0; i < 4; i++) {
		uint32_t v = load32(p + 4 * i);
		q[i] = v & 0x0f0f0f0f;
		q[i + 4] = v >> 4 & 0x0f0f0f0f;
	}
}

INLINE void legacy_fifth(const uint8_t *p, uint32_t q[8])
{
	uint32_t h = load32(p);
	for (unsigned i = 0; i < 8; i++)
		q[i] |= spread(h >> 4 * i & 15) << 4;
}

/* The 32 bytes of block b of a row: the values as unsigned integers of the type's bits. Inlined
 * with a constant type where it is called, as is what follows for packing: a load is mostly this.
 */
INLINE void file_quants(enum kern_type t, const uint8_t *row, size_t b, uint32_t q[8])
{
	unsigned sub = (unsigned)(b % 8);
	const uint8_t *p = row;
	switch (t) {
	case KERN_Q8_0:
		for (unsigned i = 0; i < 8; i++)
			q[i] = load32(p + b * 34 + 2 + 4 * i) ^ 0x80808080;
		break;
	case KERN_Q4_0:
		legacy_nibbles(p + b * 18 + 2, q);
		break;
	case KERN_Q4_1:
		legacy_nibbles(p + b * 20 + 4, q);
		break;
	case KERN_Q5_0:
		legacy_nibbles(p + b * 22 + 6, q);
		legacy_fifth(p + b * 22 + 2, q);
		break;
	case KERN_Q5_1:
		legacy_nibbles(p + b * 24 + 8, q);
		legacy_fifth(p + b * 24 + 4, q);
		break;
	case KERN_Q4_K:
		p += b / 8 * 144 + 16 + sub / 2 * 32;
		for (unsigned i = 0; i < 8; i++)
			q[i] = load32(p + 4 * i) >> (sub % 2 * 4) & 0x0f0f0f0f;
		break;
	case KERN_Q5_K:
		p += b / 8 * 176;
		for (unsigned i = 0; i < 8; i++) {
			q[i] = load32(p + 48 + sub / 2 * 32 + 4 * i) >> (sub % 2 * 4) & 0x0f0f0f0f;
			q[i] |= (load32(p + 16 + 4 * i) >> sub & 0x01010101) << 4;
		}
		break;
	case KERN_Q6_K:
		p += b / 8 * 210;
		for (unsigned i = 0; i < 8; i++) {
			uint32_t low = load32(p + sub / 4 * 64 + sub % 2 * 32 + 4 * i);
			uint32_t high = load32(p + 128 + sub / 4 * 32 + 4 * i);
			q[i] = (low >> (sub % 4 / 2 * 4) & 0x0f0f0f0f) |
			       (high >> (sub % 4 * 2) & 0x03030303) << 4;
		}
		break;
	default:
		break;
	}
}

/* Where in a row the file's block lies that holds block b of 32. */
INLINE size_t file_block_at(enum kern_type t, size_t b)
{
	static const unsigned bytes[KERN_BF16 + 1] = {[KERN_Q8_0] = 34,
		[KERN_Q4_0] = 18,
		[KERN_Q4_1] = 20,
		[KERN_Q5_0] = 22,
		[KERN_Q5_1] = 24,
		[KERN_Q4_K] = 144,
		[KERN_Q5_K] = 176,
		[KERN_Q6_K] = 210};
	return b / layout_of(t)->scale_group * bytes[t];
}

/* Factors of the block's two halves and its addend (types with a minimum; else 0). */
static void file_scales(enum kern_type t, const uint8_t *row, size_t b, float s[2], float *add)
{
	const uint8_t *p = row + file_block_at(t, b);
	unsigned sc, mn, sub = (unsigned)(b % 8);
	*add = 0;
	if (t == KERN_Q6_K) {
		float d = f16_to_f32(load16(p + 208));
		s[0] = d * (float)(int8_t)p[192 + 2 * sub];
		s[1] = d * (float)(int8_t)p[193 + 2 * sub];
		return;
	}
	s[0] = f16_to_f32(load16(p));
	if (layout_of(t)->minimum)
		*add = f16_to_f32(load16(p + 2));
	if (layout_of(t)->scale_group == 8) {
		k_scale(p + 4, sub, &sc, &mn);
		s[0] *= (float)sc;
		*add = -(*add * (float)mn);
	}
	s[1] = s[0];
}

/* A case per quantised type, so that each is compiled with its constants. */
#define EACH_TYPE(type, call)    \
	switch (type) {          \
	case KERN_Q8_0:          \
		call(KERN_Q8_0); \
		break;           \
	case KERN_Q4_0:          \
		call(KERN_Q4_0); \
		break;           \
	case KERN_Q4_1:          \
		call(KERN_Q4_1); \
		break;           \
	case KERN_Q5_0:          \
		call(KERN_Q5_0); \
		break;           \
	case KERN_Q5_1:          \
		call(KERN_Q5_1); \
		break;           \
	case KERN_Q4_K:          \
		call(KERN_Q4_K); \
		break;           \
	case KERN_Q5_K:          \
		call(KERN_Q5_K); \
		break;           \
	case KERN_Q6_K:          \
		call(KERN_Q6_K); \
		break;           \
	default:                 \
		break;           \
	}

INLINE void dequant_blocks(enum kern_type t, const uint8_t *p, float *dst, size_t n)
{
	const struct layout *l = layout_of(t);
	int centre = l->minimum ? 0 : 1 << (l->bits - 1);
	for (size_t b = 0; b < n; b++, dst += BLK) {
		uint32_t q[8];
		float s[2], add;
		file_quants(t, p, b, q);
		file_scales(t, p, b, s, &add);
		for (unsigned i = 0; i < BLK; i++) {
			int v = (int)(q[i / 4] >> (i % 4 * 8) & 255) - centre;
			dst[i] = s[i / 16] * (float)v + add;
		}
	}
}

void kern_dequant(enum kern_type t, const void *src, float *dst, size_t n)
{
	const uint8_t *p = src;
	switch (t) {
	case KERN_F32:
		memcpy(dst, src, n * 4);
		return;
	case KERN_F16:
		for (size_t i = 0; i < n; i++)
			dst[i] = f16_to_f32(load16(p + 2 * i));
		return;
	case KERN_BF16:
		for (size_t i = 0; i < n; i++)
			dst[i] = bf16_to_f32(load16(p + 2 * i));
		return;
	default:
		break;
	}
#define CALL(type) dequant_blocks(type, p, dst, n / BLK)
	EACH_TYPE(t, CALL)
#undef CALL
}

/* A row to Q8_0: d = max|x| / 127, q = x / d to nearest, halves away from zero. */
static void quant_q8_0(const float *x, uint8_t *out, size_t n)
{
	for (size_t b = 0; b < n / BLK; b++, x += BLK, out += 34) {
		float most = 0;
		for (unsigned i = 0; i < BLK; i++)
			most = fmaxf(most, fabsf(x[i]));
		float d = most / 127, id = d > 0 ? 1 / d : 0;
		uint16_t h = kern_f32_to_f16(d);
		memcpy(out, &h, 2);
		for (unsigned i = 0; i < BLK; i++) {
			float v = roundf(x[i] * id); /* a NaN makes 0 */
			out[2 + i] = (uint8_t)(int8_t)(v >= 127    ? 127
						       : v <= -127 ? -127
						       : v == v    ? v
								   : 0);
		}
	}
}

bool kern_quant(enum kern_type t, const float *src, void *dst, size_t n)
{
	uint16_t *h = dst;
	switch (t) {
	case KERN_F32:
		memcpy(dst, src, n * 4);
		return true;
	case KERN_F16:
		kern->to_f16(h, src, n);
		return true;
	case KERN_BF16:
		for (size_t i = 0; i < n; i++)
			h[i] = kern_f32_to_bf16(src[i]);
		return true;
	case KERN_Q8_0:
		quant_q8_0(src, dst, n);
		return true;
	default:
		return false;
	}
}

/* ---- packed matrices ------------------------------------------------------------------------- */

static size_t panel_bytes(enum kern_type t, size_t k)
{
	const struct kern_type_info *i = kern_type_info(t);
	if (!i || !k || k % i->block || k > SIZE_MAX / 1024)
		return 0;
	if (!layouts[t].bits)
		return (t == KERN_BF16 ? (k + 1) & ~(size_t)1 : k) * i->bytes * KERN_PANEL;
	const struct layout *l = layout_of(t);
	size_t n = k / BLK * l->lines * LINE + k / BLK / l->scale_group * l->scale_bytes;
	return (n + LINE - 1) / LINE * LINE;
}

size_t kern_mat_bytes(enum kern_type t, size_t n, size_t k)
{
	size_t one = panel_bytes(t, k), all;
	if (!n || n > SIZE_MAX - KERN_PANEL ||
		__builtin_mul_overflow((n + KERN_PANEL - 1) / KERN_PANEL, one, &all))
		return 0;
	return all;
}

void kern_mat_init(struct kern_mat *w, enum kern_type t, size_t n, size_t k, void *mem)
{
	*w = (struct kern_mat){t, n, k, panel_bytes(t, k), mem};
}

/* The quants of one row's block into the lines of a packed block. */
INLINE void put_quants(const struct layout *l, unsigned char *dst, unsigned r, const uint32_t q[8])
{
	unsigned char *at = dst + 4 * r;
	if (l->bits == 8) {
		for (unsigned j = 0; j < 8; j++)
			store32(at + j * LINE, q[j]);
		return;
	}
	for (unsigned j = 0; j < 4; j++)
		store32(at + j * LINE, (q[j] & 0x0f0f0f0f) | (q[j + 4] & 0x0f0f0f0f) << 4);
	if (l->bits == 5) {
		uint32_t h = 0;
		for (unsigned j = 0; j < 8; j++)
			h |= (q[j] >> 4 & 0x01010101) << j;
		store32(at + 4 * LINE, h);
	} else if (l->bits == 6) {
		uint32_t h[2] = {0, 0};
		for (unsigned j = 0; j < 8; j++)
			h[j / 4] |= (q[j] >> 4 & 0x03030303) << (j % 4 * 2);
		store32(at + 4 * LINE, h[0]);
		store32(at + 5 * LINE, h[1]);
	}
}

/* The scales of one row's block (its group's at the first block of it), copied bit by bit. */
INLINE void put_scales(
	enum kern_type t, unsigned char *dst, unsigned r, const uint8_t *row, size_t b)
{
	unsigned sub = (unsigned)(b % 8), sc, mn;
	const uint8_t *p = row + file_block_at(t, b);
	switch (t) {
	case KERN_Q8_0:
	case KERN_Q4_0:
	case KERN_Q5_0:
		memcpy(dst + 2 * r, p, 2);
		break;
	case KERN_Q4_1:
	case KERN_Q5_1:
		memcpy(dst + 2 * r, p, 2);
		memcpy(dst + 32 + 2 * r, p + 2, 2);
		break;
	case KERN_Q4_K:
	case KERN_Q5_K:
		memcpy(dst + 2 * r, p, 2);
		memcpy(dst + 32 + 2 * r, p + 2, 2);
		k_scale(p + 4, sub, &sc, &mn);
		dst[64 + 32 * sub + r] = (unsigned char)sc;
		dst[64 + 32 * sub + 16 + r] = (unsigned char)mn;
		break;
	case KERN_Q6_K:
		memcpy(dst + 2 * r, p + 208, 2);
		dst[32 + 32 * sub + r] = p[192 + 2 * sub];
		dst[32 + 32 * sub + 16 + r] = p[193 + 2 * sub];
		break;
	default:
		break;
	}
}

/* [16 rows][k] to [k][16], 16 columns at a time so that both sides stay in the first cache. */
INLINE void pack_columns(size_t size, unsigned char *dst, const unsigned char *rows,
	size_t row_bytes, size_t n_rows, size_t k)
{
	for (size_t c0 = 0; c0 < k; c0 += 16)
		for (unsigned r = 0; r < n_rows; r++)
			for (size_t c = c0; c < MIN(c0 + 16, k); c++)
				memcpy(dst + (c * KERN_PANEL + r) * size,
					rows + r * row_bytes + c * size, size);
}

static void pack_float_panel(const struct kern_mat *w, unsigned char *dst,
	const unsigned char *rows, size_t row_bytes, size_t n_rows)
{
	if (n_rows < KERN_PANEL || w->type == KERN_BF16)
		memset(dst, 0, w->panel_bytes);
	if (w->type == KERN_BF16)
		for (unsigned r = 0; r < n_rows; r++)
			for (size_t c = 0; c < w->k; c++)
				memcpy(dst + bf16_at(c, r), rows + r * row_bytes + 2 * c, 2);
	else if (w->type == KERN_F32)
		pack_columns(4, dst, rows, row_bytes, n_rows, w->k);
	else
		pack_columns(2, dst, rows, row_bytes, n_rows, w->k);
}

INLINE void pack_quants(enum kern_type t, const struct kern_mat *w, unsigned char *dst,
	const unsigned char *rows, size_t row_bytes, size_t n_rows)
{
	const struct layout *l = layout_of(t);
	for (size_t b = 0; b < w->k / BLK; b++) {
		unsigned char *scales = dst + (scales_at(l, dst, w->k, b) - dst);
		for (unsigned r = 0; r < n_rows; r++) {
			uint32_t q[8];
			file_quants(t, rows + r * row_bytes, b, q);
			put_quants(l, dst + b * l->lines * LINE, r, q);
			put_scales(t, scales, r, rows + r * row_bytes, b);
		}
	}
}

static void pack_quant_panel(const struct kern_mat *w, unsigned char *dst,
	const unsigned char *rows, size_t row_bytes, size_t n_rows)
{
	if (n_rows < KERN_PANEL)
		memset(dst, 0, w->panel_bytes);
#define CALL(type) pack_quants(type, w, dst, rows, row_bytes, n_rows)
	EACH_TYPE(w->type, CALL)
#undef CALL
}

void kern_mat_pack(struct kern_mat *w, const void *rows, size_t from, size_t to)
{
	size_t row_bytes = kern_row_bytes(w->type, w->k);
	for (; from < to; from += KERN_PANEL) {
		unsigned char *dst = w->data + from / KERN_PANEL * w->panel_bytes;
		const unsigned char *src = (const unsigned char *)rows + from * row_bytes;
		size_t n = MIN(to - from, (size_t)KERN_PANEL);
		if (kern_type_int8(w->type))
			pack_quant_panel(w, dst, src, row_bytes, n);
		else
			pack_float_panel(w, dst, src, row_bytes, n);
	}
}

void kern_mat_row(const struct kern_mat *w, size_t row, float *out)
{
	const unsigned char *panel = panel_at(w, row / KERN_PANEL);
	unsigned r = (unsigned)(row % KERN_PANEL);
	if (!kern_type_int8(w->type)) {
		unsigned size = w->type == KERN_F32 ? 4 : 2;
		for (size_t c = 0; c < w->k; c++)
			kern_dequant(w->type,
				panel + (w->type == KERN_BF16 ? bf16_at(c, r)
							      : (c * KERN_PANEL + r) * size),
				out + c, 1);
		return;
	}
	const struct layout *l = layout_of(w->type);
	float up = (float)(1 << (8 - l->bits));
	int centre = l->minimum ? 0 : 1 << (l->bits - 1);
	struct tile_w t;
	for (size_t b = 0; b < w->k / BLK; b++, out += BLK) {
		leaves_generic.unpack(w->type, panel, w->k, b, 1, &t, 0);
		for (unsigned i = 0; i < BLK; i++) {
			int q = t.u[0][i / 4 * LINE + 4 * r + i % 4] >> (8 - l->bits);
			float s = t.s[0][l->halves ? i / 16 : 0][r] * up;
			out[i] = s * (float)(q - centre) + (l->minimum ? t.b[0][0][r] : 0);
		}
	}
}
