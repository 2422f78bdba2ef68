/* The layers of a transformer, each a function of explicit inputs and outputs: nothing is kept
 * between calls, and every intermediate has a buffer of the caller's, so that a backward pass can
 * stand beside each and read what it needs.
 *
 * Matrices of activations are row-major f32, a token per row, n tokens. All work is split over the
 * team (NULL: this thread). A row's result is the same bits whatever n and the team. */
#ifndef ENGINE_LAYERS_H
#define ENGINE_LAYERS_H
#include "kernels/kernels.h"

/* Calls fn for ranges of [0, n) that together are everything; few rows stay on this thread. */
typedef void (*rows_fn)(void *arg, size_t from, size_t to);
void rows_run(struct kern_team *team, size_t n, rows_fn fn, void *arg);
/* Such a function as a step before a product; no fn: nothing. */
struct rows_step {
	rows_fn fn;
	void *arg;
};

/* ---- linear: y[n][w.n] = x[n][w.k] * w^T + bias, for several w of one input ---- */

struct linear {
	const struct kern_mat *w;
	const float *bias; /* or NULL */
	float *y;          /* [n][w->n] */
};
/* act: kern_act_bytes(n, k) bytes of workspace, aligned to 64. `before` makes the rows of x; each
 * is rounded as soon as it is made, while it is in the first cache, and the team is called once. */
void layer_linear(struct kern_team *team, struct rows_step before, const float *x, size_t n,
	size_t k, void *act, const struct linear *out, size_t n_out);

/* ---- adapters: y += scale * b (a x) of n rows ---- */

enum { LORA_RANK_MAX = 1024 };

struct lora {
	struct kern_mat a, b; /* [rank][k], [width][rank], F32 or F16; b.n 0: there is none */
	float scale;
};
struct lora_job {
	const struct lora *l;
	const float *x; /* [n][a.k] */
	float *y;       /* [n][b.n] */
	size_t n;
	size_t first; /* filled by layer_lora */
};
size_t lora_scratch(void); /* floats for each thread */
/* act: any workspace of kern_act; it is not written */
void layer_lora(struct kern_team *team, struct lora_job *jobs, size_t n, void *act, float *scratch,
	size_t scratch_each);

/* ---- norms ---- */

struct norm {
	float *x, *y;
	const float *r, *w, *b; /* r and b may be NULL */
	size_t width;
	float eps;
};
/* Steps, arg is a struct norm: x += r, then y = rmsnorm(x) * w, or x = layernorm(x) * w + b. y may
 * be x. */
void rows_add_rmsnorm(void *norm, size_t from, size_t to);
void rows_add_layernorm(void *norm, size_t from, size_t to);
/* Each of `heads` heads of head_dim values of a row by itself: the q and k norms of Qwen 3. In
 * place.
 */
void row_head_rmsnorm(float *x, size_t heads, size_t head_dim, const float *w, float eps);

/* ---- rope ---- */

/* cs[n][2 * half]: cosines, then sines, of pos[i] * inv_freq[j]. */
void rope_angles(struct kern_team *team, const uint32_t *pos, size_t n, const double *inv_freq,
	size_t half, float *cs);
/* Turns the first 2 * half values of every head of a row by the angles cs[2 * half], in place.
 * pairs: (2i, 2i + 1), else (i, i + half) */
void row_rope(float *x, size_t heads, size_t head_dim, const float *cs, size_t half, bool pairs);

/* ---- attention ---- */

struct attn_shape {
	size_t heads, kv_heads, head_dim;
	bool causal;
	size_t window; /* 0: none */
	enum kern_type kv_type;
	size_t kv_head; /* stride of the heads' keys and values, in bytes */
	size_t kv_pos;  /* of their positions, in elements */
	bool k_panels;  /* keys in panels of 16 positions, see kernels.h */
	size_t block;   /* of attn_seq.blocks, in bytes */
	size_t factors; /* where a head's factors stand after it, in bytes; KERN_Q8_0 */
	float *scratch; /* attn_scratch(n_pos_max, head_dim) floats for each thread */
	size_t scratch_each;
};

/* One sequence's n_tok tokens, the first at position pos0, over n_pos positions of keys and values.
 * q and out are [n_tok][heads * head_dim]. */
struct attn_seq {
	const float *q;
	float *out;
	const void *k, *v;      /* position 0 of head 0, of block 0 */
	const uint32_t *blocks; /* kern_attn.blocks; NULL: in one piece */
	size_t n_tok, pos0, n_pos;
	size_t first; /* filled by layer_attention */
};
size_t attn_scratch(size_t n_pos_max, size_t head_dim);
void layer_attention(
	struct kern_team *team, const struct attn_shape *s, struct attn_seq *seqs, size_t n_seqs);

/* ---- mlp ---- */

struct mlp {
	float *x;
	const float *up;
	size_t width;
	bool tanh_form;
};
/* Steps, arg is a struct mlp: x = silu(x) * up, or x = gelu(x). */
void rows_silu_mul(void *mlp, size_t from, size_t to);
void rows_gelu(void *mlp, size_t from, size_t to);

#endif
