/* Kernels: the arithmetic that inference, training and the vector index stand on.
 *
 * One table of function pointers (`kern`), filled for the CPU when the program starts: generic C
 *(the oracle), AVX2+FMA+F16C, AVX-512 (F/BW/DQ/VL/VNNI), the same with products of BF16.
 * CROFT_KERNELS=generic|avx2|avx512|avx512bf16 forces one.
 * Everything here is re-entrant, allocates nothing (but for the team) and never fails: shapes are
 * the caller's invariants. Sizes are in elements, strides ("ld", "stride") too, unless a name says
 * bytes. No alignment is demanded of float rows; packed matrices and act memory want 64 bytes.
 *
 * A product Y[m][n] = X[m][k] * W[n][k]^T (+ bias) goes through three things:
 *
 *	struct kern_mat w;                            weights, packed once at load
 *	kern_mat_init(&w, KERN_Q4_1, n, k, aligned_alloc(64, kern_mat_bytes(KERN_Q4_1, n, k)));
 *	kern_mat_pack(&w, rows_of_the_file, 0, n);    any range of rows; split it between threads
 *
 *	struct kern_act a;                            m rows of activations, used by several
 *products kern_act_init(&a, mem, x, ldx, m, k);         mem: kern_act_bytes(m, k); x stays the
 *caller's kern_act_quant(&a, 0, m);                     only when a weight is quantised
 *(kern_type_int8)
 *
 *	kern_matmul_team(team, &(struct kern_mul){.w = &w, .a = &a, .y = y, .ldy = n}, 1);
 *
 * Quantised weights are multiplied as integers: activations are rounded to int8 per 32 values
 * (scale = max|x| / 127), the integer dot products are exact, and per block of 32 one f32 fused
 * multiply-add adds scale_w * scale_x * dot. F16 and F32 weights are multiplied in f32; BF16 too,
 *but on a CPU that multiplies BF16 itself (kern_type_bf16), where activations are rounded to it.
 *
 * Batch invariance: an output element is the same bits whatever m, the tiling, the row range and
 * the number of threads; for quantised weights also whatever the table. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* ---- number formats; the values are those of GGUF files -------------------------------------- */

enum kern_type {
	KERN_F32 = 0,
	KERN_F16 = 1,
	KERN_Q4_0 = 2,
	KERN_Q4_1 = 3,
	KERN_Q5_0 = 6,
	KERN_Q5_1 = 7,
	KERN_Q8_0 = 8,
	KERN_Q4_K = 12,
	KERN_Q5_K = 13,
	KERN_Q6_K = 14,
	KERN_BF16 = 30,
};

struct kern_type_info {
	enum kern_type type;
	const char *name;      /* "Q4_K" */
	unsigned block, bytes; /* values in a block, bytes of a block */
};

const struct kern_type_info *kern_type_info(unsigned gguf_type); /* NULL: not one of ours */
const struct kern_type_info *kern_type_by_name(const char *name);
bool kern_type_int8(enum kern_type type); /* products with it use int8 activations */
bool kern_type_bf16(enum kern_type type); /* products with it use bf16 activations, on this CPU */
/* Bytes of a row of k values; 0 when k is no multiple of the block or the product overflows. */
size_t kern_row_bytes(enum kern_type type, size_t k);

/* n values (a multiple of the block) of a row as stored in a file, to f32. An embedding lookup is
 * kern_dequant(type, rows + i * kern_row_bytes(type, k), out, k). */
void kern_dequant(enum kern_type type, const void *src, float *dst, size_t n);
/* f32 to F32, F16, BF16 (nearest even) or Q8_0; false for the other types. */
bool kern_quant(enum kern_type type, const float *src, void *dst, size_t n);
float kern_f16_to_f32(uint16_t h);
uint16_t kern_f32_to_f16(float f); /* nearest even; overflow to infinity */
uint16_t kern_f32_to_bf16(float f);

/* ---- products -------------------------------------------------------------------------------- */

enum { KERN_PANEL = 16, KERN_ALIGN = 64 };

struct kern_mat {
	enum kern_type type;
	size_t n, k;         /* rows (outputs), columns (inputs) */
	size_t panel_bytes;  /* of 16 packed rows */
	unsigned char *data; /* packed; the caller's, aligned to 64 */
};

/* 0 when k is no multiple of the type's block, or on overflow. A little more than the file's bytes.
 */
size_t kern_mat_bytes(enum kern_type type, size_t n, size_t k);
void kern_mat_init(struct kern_mat *w, enum kern_type type, size_t n, size_t k, void *mem);
/* Packs rows [from, to); from is a multiple of KERN_PANEL, to too unless it is n. `rows` points to
 * row 0 in the file's format (no alignment needed). Ranges may be packed by different threads. */
void kern_mat_pack(struct kern_mat *w, const void *rows, size_t from, size_t to);
/* One row back as f32: exactly what kern_dequant gives for the source row. */
void kern_mat_row(const struct kern_mat *w, size_t row, float *out);

struct kern_act_meta { /* of 32 activations x = scale * q */
	float scale;
	float sum;        /* scale * sum of q */
	int32_t off;      /* -128 * sum of q */
	int32_t off_half; /* -128 * sum of the first 16 q */
};

struct kern_act {
	size_t m, k, ldx;
	const float *x;             /* borrowed while the act is in use */
	int8_t *q;                  /* [m][k] */
	struct kern_act_meta *meta; /* [m][k / 32] */
	uint16_t *h;                /* [m][k rounded up to even] bf16 */
};

size_t kern_act_bytes(size_t m, size_t k);
void kern_act_init(struct kern_act *a, void *mem, const float *x, size_t ldx, size_t m, size_t k);
/* Rounds rows [from, to) to int8. k is a multiple of 32. A block with a NaN or an infinity makes
 * NaN of every output that uses it; a block whose largest value is below 1e-24 counts as zero. */
void kern_act_quant(struct kern_act *a, size_t from, size_t to);
/* Rounds rows [from, to) to bf16, to the nearest, even on a tie. Denormals become zero, NaN stays.
 */
void kern_act_half(struct kern_act *a, size_t from, size_t to);
/* A view of rows [from, from + m) of a, e.g. only the last token for the logits. */
struct kern_act kern_act_rows(const struct kern_act *a, size_t from, size_t m);

/* y[t * ldy + r] = bias[r] + sum_i x[t][i] * w[r][i] for the rows r in [row_from, row_to) and all
 * tokens t of a. row_from is a multiple of KERN_PANEL; row_to too unless it is n. bias may be NULL.
 */
void kern_matmul(const struct kern_mat *w, const struct kern_act *a, float *y, size_t ldy,
	const float *bias, size_t row_from, size_t row_to);

struct kern_team;

struct kern_mul {
	const struct kern_mat *w;
	const struct kern_act *a;
	float *y;
	size_t ldy;
	const float *bias;
};
/* Several products at once (q, k and v; gate and up), split between the team's threads. */
void kern_matmul_team(struct kern_team *team, const struct kern_mul *jobs, size_t n_jobs);
/* kern_act_quant and kern_mat_pack (rows [from, to)) over the team. */
void kern_act_quant_team(struct kern_team *team, struct kern_act *a);
void kern_mat_pack_team(
	struct kern_team *team, struct kern_mat *w, const void *rows, size_t from, size_t to);

/* C[m][n] = alpha * op(A) * op(B) + beta * C in f32. op(A) is m x k: A[m][lda], or with ta its
 * transpose, A[k][lda]. op(B) is k x n: B[k][ldb], or with tb its transpose, B[n][ldb]. beta 0
 * does not read C. The team may be NULL. */
struct kern_gemm {
	bool ta, tb;
	size_t m, n, k;
	const float *a, *b;
	float *c;
	size_t lda, ldb, ldc;
	float alpha, beta;
};
void kern_gemm(struct kern_team *team, const struct kern_gemm *g);

/* ---- attention ------------------------------------------------------------------------------- */

/* One key/value head with the n_group query heads that share it, for n_tok query tokens. Token t
 * sees the positions [lo, hi): hi = n_pos, or when causal pos0 + t + 1; lo = 0, or with a window
 * max(0, hi - window). out = softmax(scale * q.k [capped]) . v; a token that sees nothing gets 0.
 * Strides are in elements. Query head g of token t starts at q + t * q_tok + g * q_head; position
 * p of the keys at k + p * k_pos. out must not overlap. Same bits for any n_tok and n_group. */
struct kern_attn {
	/* KERN_F32, KERN_F16, or KERN_Q8_0: one signed byte, times a factor of its position */
	enum kern_type kv_type;
	bool causal;
	size_t n_tok, n_group, head_dim, n_pos, pos0, window; /* window 0: none */
	const float *q;
	size_t q_tok, q_head;
	const void *k, *v;
	size_t k_pos, v_pos;
	/* Keys stand in panels of 16 positions, which needs no transposing: value i of position p
	 * at k[p / 16 * 16 * head_dim + 16 * i + p % 16]. F16 and Q8_0 only; the last panel is
	 * whole (its unused positions may hold anything); k_pos is not used. The results are the
	 * same bits. */
	bool k_panels;
	/* Positions stand in blocks of KERN_ATTN_BLOCK, that of position p blocks[p /
	 * KERN_ATTN_BLOCK] * block bytes after k, v and their factors, which point to a block 0;
	 * inside a block they stand as they do in one piece. NULL: in one piece. The same bits. */
	const uint32_t *blocks;
	size_t block;
	const float *k_factor, *v_factor; /* of position 0; Q8_0, which needs k_panels */
	float scale, softcap;             /* softcap 0: none; else s = cap * tanh(s / cap) */
	float *out;
	size_t out_tok, out_head;
	float *scratch; /* kern_attn_scratch floats, aligned to 64; one per running thread */
};
enum { KERN_ATTN_BLOCK = 64 };
size_t kern_attn_scratch(size_t n_pos, size_t head_dim);
void kern_attention(const struct kern_attn *a);

/* ---- the table ------------------------------------------------------------------------------- */

typedef uint16_t kern_f16;

enum kern_sum { KERN_PRODUCT, KERN_SQUARES, KERN_ABS };

struct kern {
	const char *name; /* "generic", "avx2", "avx512" */

	/* Vectors of n. y may be x (or a, b) itself, never half over it. */
	float (*dot)(const float *a, const float *b, size_t n);
	float (*dot_f16)(const float *a, const kern_f16 *b, size_t n);
	int32_t (*dot_i8)(const int8_t *a, const int8_t *b, size_t n); /* n < 2^17 */
	float (*sum)(const float *x, size_t n);
	void (*axpy)(float *y, float a, const float *x, size_t n); /* y += a * x */
	void (*add)(float *y, const float *a, const float *b, size_t n);
	void (*mul)(float *y, const float *a, const float *b, size_t n);
	void (*scale)(float *y, const float *x, float a, size_t n);
	size_t (*argmax)(
		const float *x, size_t n); /* the first of the largest; NaN never wins; n > 0 */
	void (*to_f16)(kern_f16 *y, const float *x, size_t n);
	void (*from_f16)(float *y, const kern_f16 *x, size_t n);

	/* exp: at most 2 ulp; below -87.3 it is 0, above 88.7 infinity. The others at most 4 ulp of
	 * max(|x|, |result|), gelu_erf 2e-7 * max(1, |x|). silu(x) = x / (1 + exp(-x)). */
	void (*exp)(float *y, const float *x, size_t n);
	void (*silu)(float *y, const float *x, size_t n);
	void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);
	void (*gelu_tanh)(float *y, const float *x, size_t n);
	void (*gelu_tanh_mul)(float *y, const float *gate, const float *up, size_t n);
	void (*gelu_erf)(float *y, const float *x, size_t n);
	void (*tanh)(float *y, const float *x, size_t n);

	/* softmax: y = exp(x - max) / sum; all -inf gives zeros. Returns log(sum exp(x)). */
	float (*softmax)(float *y, const float *x, size_t n);
	/* y = x / sqrt(mean(x^2) + eps) * w; w NULL: 1. */
	void (*rmsnorm)(float *y, const float *x, const float *w, size_t n, float eps);
	/* y = (x - mean) / sqrt(var + eps) * w + b; w, b NULL: 1, 0. */
	void (*layernorm)(
		float *y, const float *x, const float *w, const float *b, size_t n, float eps);

	/* Rotates the first 2 * half values of each of n_heads heads that lie `stride` apart, in
	 * place: pair i by the angle with cosine cs[i] and sine cs[half + i]. Pairs: (2i, 2i + 1)
	 * for norm, (i, i + half) for neox. */
	void (*rope_norm)(float *x, const float *cs, size_t half, size_t n_heads, size_t stride);
	void (*rope_neox)(float *x, const float *cs, size_t half, size_t n_heads, size_t stride);

	/* One query against n_rows rows of dim values that lie `stride` elements apart:
	 * out[i] = q . row_i, or for l2 sum (q - row_i)^2. Streaming speed. For cosine, rows and
	 * query are made of length 1 beforehand (normalize), then it is the dot product. A row's
	 * result does not depend on n_rows. dim < 2^17 for i8. */
	void (*dots)(const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim,
		float *out);
	void (*dots_f16)(const float *q, const kern_f16 *rows, size_t stride, size_t n_rows,
		size_t dim, float *out);
	void (*dots_i8)(const int8_t *q, const int8_t *rows, size_t stride, size_t n_rows,
		size_t dim, int32_t *out);
	void (*l2s)(const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim,
		float *out);
	void (*l2s_f16)(const float *q, const kern_f16 *rows, size_t stride, size_t n_rows,
		size_t dim, float *out);
	/* sum |q - row_i| */
	void (*l1s)(const float *q, const float *rows, size_t stride, size_t n_rows, size_t dim,
		float *out);
	/* out[j * ldo + i] = q_j . row_i for n_q queries: the rows are read from memory once. */
	void (*dots_many)(const float *q, size_t q_stride, size_t n_q, const float *rows,
		size_t stride, size_t n_rows, size_t dim, float *out, size_t ldo);
	/* y = x / |x|, returns |x|; a zero vector stays zero. */
	float (*normalize)(float *y, const float *x, size_t n);
	/* out = sum p_i * row_i (rows of dim values, f32 or f16): what attention does with v. */
	void (*mix)(float *out, const float *p, const float *rows, size_t stride, size_t n_rows,
		size_t dim);
	void (*mix_f16)(float *out, const float *p, const kern_f16 *rows, size_t stride,
		size_t n_rows, size_t dim);

	/* Rows of unsigned bytes, and of single bits (bit j % 8 of byte j / 8), `stride` bytes
	 * apart, of which ids names n (NULL: the first n): out[i] = sum over j of q[j] * row[j].
	 * Exact. dim <= 2^16; the rows ahead are fetched while others are computed. */
	void (*codes)(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
		size_t n, size_t dim, int32_t *out);
	void (*bits)(const int8_t *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
		size_t n, size_t dim, int32_t *out);
	/* codes for n_q queries that lie ldq apart (ldq >= dim rounded up to 64, zeros behind dim)
	 * and n rows in order: out[j * ldo + i]. */
	void (*codes_many)(const int8_t *q, size_t ldq, size_t n_q, const uint8_t *rows,
		size_t stride, size_t n, size_t dim, int32_t *out, size_t ldo);
	/* A row of fixed-point numbers, each cut into its high byte, its middle byte and its low
	 * two (mid, lo NULL: the middle of what they could be): x = s * (hi : mid : lo - 2^31).
	 * sum of q * x, of (q - x)^2, or of |q - x|. */
	float (*fixed)(const float *q, const uint8_t *hi, const uint8_t *mid, const uint16_t *lo,
		size_t dim, float s, enum kern_sum of);
	/* Rows of bytes as codes has them, each with a scale of its own, under its number (ids[i],
	 * or i): out[i] = sum over j of |q[j] - scale * (row[j] - 127.5)|. */
	void (*codes_l1)(const float *q, const uint8_t *rows, size_t stride, const uint32_t *ids,
		size_t n, size_t dim, const float *scale, float *out);
};

/* The table in use. */
extern const struct kern *kern;

/* Chooses the best table for this CPU, or the one CROFT_KERNELS names, once more, to be told:
 * ERR_UNSUPPORTED, with the missing CPU feature, when this machine or this build lacks it (the
 * table is then unchanged). */
enum err kern_init(struct errtext *et);
enum err kern_use(const char *name, struct errtext *et); /* the same by name; for tests */
/* Why a table cannot be used here ("the CPU lacks avx512_vnni"); NULL when it can. */
const char *kern_unavailable(const char *name);

/* ---- a team of threads ----------------------------------------------------------------------- */

/* n threads of which the caller of run is one; 1 starts none. Chunks are handed out one by one from
 * a counter, so that a core that is taken away delays only its own chunk. Idle threads spin some
 * tens of microseconds, then sleep. One run at a time; fn must not call run on the same team. */
enum err kern_team_new(unsigned n, struct kern_team **out, struct errtext *et);
void kern_team_free(struct kern_team *team);           /* accepts NULL */
unsigned kern_team_size(const struct kern_team *team); /* 1 for NULL */
/* Calls fn(arg, chunk, thread) for each chunk in [0, n_chunks), thread < size; returns when all are
 * done, whose writes are then visible. A NULL team runs them here. */
typedef void (*kern_chunk_fn)(void *arg, size_t chunk, unsigned thread);
void kern_team_run(struct kern_team *team, kern_chunk_fn fn, void *arg, size_t n_chunks);

#endif
