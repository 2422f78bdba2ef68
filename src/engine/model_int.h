/* Inside the engine: a model in memory, and the tables that describe families of architectures.
 *
 *	arch.c      the families: a row each, the tensors of a decoder and of an encoder by name in
 *	            GGUF and in Hugging Face's layout, and how hyperparameters are read from either
 *	weights.c   tensors by name, from a GGUF file or from one or more safetensors files
 *	model.c     opening: find, check, plan, pack
 *	adapter.c   what a LoRA adapter adds to a model's matrices: find, check, pack
 *	layers.h    linear, norm, rope, attention, mlp: each takes its inputs and outputs explicitly
 *	decoder.c   a pass of a decoder over spans of tokens of several sequences
 *	encoder.c   a pass of an encoder over whole sequences, one after the other
 *	generator.c a decoder's requests (generator_int.h);  embed.c the front of an encoder
 *
 * To add a family whose blocks are those of an existing one: one row in arch.c. */
#ifndef ENGINE_MODEL_INT_H
#define ENGINE_MODEL_INT_H
#include "base/thread.h"
#include "engine/engine.h"
#include "engine/kvcache.h"
#include "kernels/kernels.h"

/* ---- tensors of the files ---- */

struct weights;

struct tensor {
	enum kern_type type;
	uint64_t rows, cols; /* a vector has one row */
	const void *data;
	size_t bytes;
};

/* Opens a .gguf file, a .safetensors file with its folder, or a folder. */
enum err weights_open(const char *path, const struct file_check *check, struct weights **out,
	struct errtext *et) MUST_CHECK;
/* An adapter's: a .gguf file, or a folder with adapter_config.json and adapter_model.safetensors.
 */
enum err weights_open_adapter(const char *path, const struct file_check *check,
	struct weights **out, struct errtext *et) MUST_CHECK;
/* The same of bytes that outlive it: GGUF, or safetensors with that adapter_config.json. */
enum err weights_parse_adapter(
	struct str config, struct str bytes, struct weights **out, struct errtext *et) MUST_CHECK;
/* As given; only until the model is open. */
const struct file_check *weights_check(const struct weights *w);
void weights_opened(struct weights *w);
void weights_free(struct weights *w);
const struct gguf *weights_gguf(const struct weights *w); /* NULL: safetensors */
const char *weights_folder(const struct weights *w);      /* safetensors, else NULL */
struct str weights_config(const struct weights *w);       /* config.json's text; safetensors */
/* False when it is absent. ERR_UNSUPPORTED for a type that is no weight type. Marks it as used. */
enum err weights_find(struct weights *w, const char *name, bool *found, struct tensor *out,
	struct errtext *et) MUST_CHECK;
/* The name of a tensor that nobody asked for, or NULL; `skip` says which do not matter. */
const char *weights_unused(struct weights *w, bool (*skip)(struct str name), char buf[128]);
void weights_forget_pages(struct weights *w);        /* lets the kernel drop what was read */
void weights_forget(const void *data, size_t bytes); /* the same of one tensor */
uint64_t weights_bytes(const struct weights *w);
const char *weights_main_type(const struct weights *w); /* of the most values */
uint64_t weights_values(const struct weights *w);
enum err weights_hash(const struct weights *w, struct errtext *et,
	void (*add)(void *ctx, const void *p, size_t n), void *ctx);

/* ---- architectures ---- */

enum act_fn { ACT_SILU, ACT_GELU_ERF, ACT_GELU_TANH };

struct hparams {
	uint32_t layers, width, heads, kv_heads, head_dim, ffn, vocab, context, token_types;
	uint32_t read_max;  /* tokens that an encoder reads of a text; at most context */
	uint32_t pos_first; /* the row of an encoder's first position */
	uint32_t rope_dim, window;
	float norm_eps;
	double rope_base, rope_linear; /* rope_linear: positions are divided by it */
	/* Llama 3: frequencies are scaled by wavelength; factor 0: not so */
	double rope_factor, rope_low, rope_high, rope_old_context;
	enum act_fn act;
	enum pooling pooling;
	bool normalised, tied, causal;
};

enum dim {
	DIM_1,
	DIM_WIDTH,
	DIM_Q,
	DIM_KV,
	DIM_FFN,
	DIM_VOCAB,
	DIM_HEAD,
	DIM_POSITIONS,
	DIM_TYPES,
	DIM_ROPE
};
enum tensor_kind {
	TENSOR_MAT,   /* packed for products: struct kern_mat */
	TENSOR_VEC,   /* f32: const float * */
	TENSOR_TABLE, /* rows looked up in the mapped file: struct table */
};

struct tensor_row {
	const char *gguf, *hf; /* with %u the layer's number; NULL: has none there */
	enum tensor_kind kind;
	bool in_layer, optional;
	enum dim rows, cols;
	size_t at; /* offset in struct layer or struct model */
};

enum { ARCH_QKV_BIAS = 1, ARCH_QK_NORM = 2, ARCH_GGUF_PAIRS = 4, ARCH_ROBERTA = 8 };

struct arch {
	const char *name;  /* GGUF's general.architecture, and ours */
	const char *hf[3]; /* config.json's model_type */
	enum model_task task;
	unsigned flags;
	const struct tensor_row *rows;
	size_t n_rows;
};

/* What stands before a text: of config_sentence_transformers.json. */
enum { PROMPT_MAX = 512 };
struct prompts {
	char query[PROMPT_MAX], document[PROMPT_MAX];
};
enum err arch_prompts(const struct weights *w, struct prompts *out, struct errtext *et) MUST_CHECK;

/* The head of a cross-encoder; its rows belong to a model of POOL_RANK. */
enum { N_ARCH_RANK_ROWS = 4 };
const struct tensor_row *arch_rank_rows(const struct arch *a);

enum err arch_of(const struct weights *w, const struct arch **out, struct errtext *et) MUST_CHECK;
enum err arch_hparams(const struct weights *w, const struct arch *a, struct hparams *hp,
	struct errtext *et) MUST_CHECK;
uint64_t arch_dim(const struct hparams *hp, enum dim d);

/* ---- the model ---- */

struct table {
	enum kern_type type;
	size_t n, k;
	const void *rows;
};

struct layer {
	struct kern_mat q, k, v, o, gate, up, down;
	const float *q_b, *k_b, *v_b, *o_b, *gate_b, *up_b, *down_b;
	const float *q_norm, *k_norm;
	/* decoders: before attention, before the mlp; encoders: after each */
	const float *attn_norm, *attn_norm_b, *mlp_norm, *mlp_norm_b;
};

struct model {
	atomic_uint refs;
	const struct arch *arch;
	struct hparams hp;
	struct model_info info;
	struct weights *weights;
	struct tokenizer *tokenizer;
	char name[128];
	struct prompts prompts;

	struct table tokens, positions, types;
	const float *embd_norm, *embd_norm_b, *out_norm, *rope_freqs;
	struct kern_mat output;
	struct kern_mat pooler; /* cross-encoders; .n 0: there is none */
	const float *pooler_b, *score, *score_b;
	struct layer *layers;
	bool bf16;        /* matrices were rounded to BF16 */
	bool rope_pairs;  /* rotate (2i, 2i+1), else (i, i + half) */
	double *inv_freq; /* [rope_dim / 2] */

	void *mem; /* all packed matrices and vectors */
	size_t mem_bytes;
	uint64_t mapped_bytes;
	uint64_t memory_max;
	unsigned threads;
	struct buf plan;

	pthread_mutex_t compute; /* the team and the encoder's workspace: one pass at a time */
	struct kern_team *team;
	struct encoder *encoder;

	pthread_mutex_t identity_mu;
	char identity[65];
};

/* Zeroed pages from the kernel, huge where it likes; NULL when there are none. */
void *mem_get(size_t bytes, bool huge);
void mem_put(void *p, size_t bytes); /* accepts NULL */
void plan_line(struct buf *plan, const char *what, uint64_t bytes);

/* ---- passes ---- */

/* Keys and values in blocks of KV_BLOCK positions: [layer][k, v][head][block][KV_BLOCK][head_dim],
 * the keys in panels of 16 positions (kern_attn.k_panels). A head's blocks stand together, as those
 * of a sequence mostly follow each other and are then read as one stream (a block's heads together,
 * instead, cost 10 % of eight streams with 500 positions). f16; or bytes, and then a head's part of
 * a block ends with the KV_BLOCK factors, f32. Which block holds what is kvcache.h's business. The
 * pages of blocks that were never written take no memory. */
struct kv {
	char *mem;
	size_t bytes, block, head, layer; /* strides in bytes: of a head's blocks, ... */
	uint32_t n_blocks;
	bool q8;
};
enum err kv_new(const struct model *m, uint32_t n_blocks, bool q8, struct kv *out,
	struct errtext *et) MUST_CHECK;
void kv_free(struct kv *kv);
/* Bytes of a block in all layers; 0 when they overflow. */
size_t kv_block_bytes(const struct model *m, bool q8);
void kv_copy(struct kv *kv, struct kvcopy c);

/* n tokens of one sequence from position pos on, whose position p stands in block
 * blocks[p / KV_BLOCK], read with an adapter or NULL. */
struct span {
	const uint32_t *blocks;
	const struct adapter *adapter;
	uint32_t pos, n;
};

struct decoder;
/* A workspace for passes of at most `batch` tokens in `spans` spans with `rows` rows of logits. */
enum err decoder_new(const struct model *m, uint32_t batch, uint32_t rows, uint32_t context,
	struct decoder **out, struct errtext *et) MUST_CHECK;
void decoder_free(struct decoder *d);
/* Has the system give all pages of the workspace now, not in the middle of the first prompt. The
 * caller holds m->compute. */
void decoder_touch(struct decoder *d, const struct model *m);
uint64_t decoder_bytes(const struct decoder *d);
/* The same before it is made; *each: what of it is for each thread. */
uint64_t decoder_needs(
	const struct model *m, uint32_t batch, uint32_t rows, uint32_t context, uint64_t *each);
/* Reads the spans' tokens (ids, one after the other) into kv, and gives the logits
 * [n_rows][vocab] of the tokens with the indices rows[]. The caller holds m->compute. */
void decoder_pass(struct decoder *d, const struct model *m, struct kv *kv, const int32_t *ids,
	const struct span *spans, size_t n_spans, const uint32_t *rows, size_t n_rows,
	float *logits);

struct encoder;
enum { ENCODER_BATCH = 1024 }; /* tokens of a pass; a longer sequence makes it larger */
enum err encoder_new(const struct model *m, struct encoder **out, struct errtext *et) MUST_CHECK;
void encoder_free(struct encoder *e);
uint64_t encoder_bytes(const struct encoder *e);
uint64_t encoder_needs(const struct model *m, uint64_t *each);
/* generator.c: what generator_new will take, into the plan, which has the weights already. */
enum err generator_needs(const struct model *m, const struct generator_options *o,
	struct memory_plan *p, struct errtext *et) MUST_CHECK;
/* n_seqs sequences, together at most encoder_batch tokens, to out[n_seqs][width], or [n_seqs] of a
 * cross-encoder. The first firsts[i] tokens of a sequence are of type 0, the rest of type 1; NULL:
 * all are of type 0. */
void encoder_pass(struct encoder *e, const struct model *m, const int32_t *ids,
	const uint32_t *lengths, const uint32_t *firsts, size_t n_seqs, float *out);
uint32_t encoder_batch(const struct encoder *e);

#endif
