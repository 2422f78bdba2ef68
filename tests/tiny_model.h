/* Small models of every decoder family, with weights from a formula, written as GGUF and as a
 * Hugging Face folder. What is included here belongs to the one test that includes it. */
#ifndef TESTS_TINY_MODEL_H
#define TESTS_TINY_MODEL_H
#include "base/json.h"
#include "base/os.h"
#include "engine/engine.h"
#include "engine/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { VOCAB = 272, WIDTH = 64, FFN = 96, LAYERS = 2, HEADS = 4, KV_HEADS = 2, N_IDS = 48 };

struct family {
	const char *name;
	uint32_t head_dim;
	double rope_base;
	bool bias, qk_norm, pairs, llama3;
};
static const struct family families[] = {
	{"llama", 16, 500000, false, false, true, true},
	{"qwen2", 16, 1000000, true, false, false, false},
	{"qwen3", 32, 1000000, false, true, false, false},
};

static struct errtext et;

/* ---- the weights ---- */

static float value(const char *name, size_t i)
{
	uint64_t z = 0xcbf29ce484222325u;
	for (const char *p = name; *p; p++)
		z = (z ^ (unsigned char)*p) * 0x100000001b3u;
	z += (i + 1) * 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	float v = (float)((double)(z >> 40) * 0x1p-24 - 0.5);
	if (strstr(name, "norm"))
		return 1 + 0.4f * v;
	return strstr(name, "token_embd") || strstr(name, "bias") ? v : 0.5f * v;
}

/* Llama 3's factors of the frequencies, as rope_freqs.weight holds them. */
static float rope_factor(const struct family *f, size_t i)
{
	double wave = 2 * M_PI * pow(f->rope_base, 2.0 * (double)i / f->head_dim);
	double low = 8192 / 1.0, high = 8192 / 4.0;
	if (wave < high)
		return 1;
	if (wave > low)
		return 8;
	double smooth = (8192 / wave - 1) / (4 - 1);
	return (float)(1 / ((1 - smooth) / 8 + smooth));
}

struct tensor {
	char gguf[64], hf[96];
	size_t rows, cols; /* rows 0: a vector */
	bool turned;       /* q or k of a family whose GGUF has turned pairs together */
};

static void add(struct tensor *t, size_t *n, const char *gguf, const char *hf, int layer,
	size_t rows, size_t cols, bool turned)
{
	struct tensor *x = &t[(*n)++];
	*x = (struct tensor){.rows = rows, .cols = cols, .turned = turned};
	if (layer >= 0) {
		snprintf(x->gguf, sizeof x->gguf, "blk.%d.%s", layer, gguf);
		snprintf(x->hf, sizeof x->hf, "model.layers.%d.%s", layer, hf);
	} else {
		snprintf(x->gguf, sizeof x->gguf, "%s", gguf);
		snprintf(x->hf, sizeof x->hf, "model.%s", hf);
	}
}

static size_t list(const struct family *f, struct tensor t[64])
{
	size_t n = 0, q = HEADS * f->head_dim, kv = KV_HEADS * f->head_dim;
	add(t, &n, "token_embd.weight", "embed_tokens.weight", -1, VOCAB, WIDTH, false);
	add(t, &n, "output_norm.weight", "norm.weight", -1, 0, WIDTH, false);
	for (int l = 0; l < LAYERS; l++) {
		add(t, &n, "attn_norm.weight", "input_layernorm.weight", l, 0, WIDTH, false);
		add(t, &n, "attn_q.weight", "self_attn.q_proj.weight", l, q, WIDTH, f->pairs);
		add(t, &n, "attn_k.weight", "self_attn.k_proj.weight", l, kv, WIDTH, f->pairs);
		add(t, &n, "attn_v.weight", "self_attn.v_proj.weight", l, kv, WIDTH, false);
		add(t, &n, "attn_output.weight", "self_attn.o_proj.weight", l, WIDTH, q, false);
		if (f->bias) {
			add(t, &n, "attn_q.bias", "self_attn.q_proj.bias", l, 0, q, false);
			add(t, &n, "attn_k.bias", "self_attn.k_proj.bias", l, 0, kv, false);
			add(t, &n, "attn_v.bias", "self_attn.v_proj.bias", l, 0, kv, false);
		}
		if (f->qk_norm) {
			add(t, &n, "attn_q_norm.weight", "self_attn.q_norm.weight", l, 0,
				f->head_dim, false);
			add(t, &n, "attn_k_norm.weight", "self_attn.k_norm.weight", l, 0,
				f->head_dim, false);
		}
		add(t, &n, "ffn_norm.weight", "post_attention_layernorm.weight", l, 0, WIDTH,
			false);
		add(t, &n, "ffn_gate.weight", "mlp.gate_proj.weight", l, FFN, WIDTH, false);
		add(t, &n, "ffn_up.weight", "mlp.up_proj.weight", l, FFN, WIDTH, false);
		add(t, &n, "ffn_down.weight", "mlp.down_proj.weight", l, WIDTH, FFN, false);
	}
	return n;
}

/* The row of the GGUF tensor that Hugging Face's row r is. */
static size_t gguf_row(const struct family *f, const struct tensor *t, size_t r)
{
	size_t half = f->head_dim / 2, in = r % f->head_dim;
	return t->turned ? r - in + in % half * 2 + in / half : r;
}

/* NULL, or what is added to the value at that row of the GGUF tensor and column. */
static float (*tiny_more)(const struct family *f, const struct tensor *t, size_t row, size_t col);

static void put_values(struct buf *b, const struct family *f, const struct tensor *t, bool hf)
{
	for (size_t r = 0; r < (t->rows ? t->rows : 1); r++) {
		size_t from = hf ? gguf_row(f, t, r) : r;
		for (size_t c = 0; c < t->cols; c++) {
			float v = value(t->gguf, from * t->cols + c);
			if (tiny_more)
				v += tiny_more(f, t, from, c);
			buf_add(b, &v, 4);
		}
	}
}

/* ---- the vocabulary: GPT-2's letters for bytes, then fillers ---- */

static void piece(unsigned id, struct buf *out)
{
	buf_clear(out);
	if (id >= 256) {
		if (id == VOCAB - 1) /* what the one merge makes */
			buf_addc(out, "<f");
		else
			buf_addf(out, "<f%u>", id);
		return;
	}
	unsigned others = 0;
	for (unsigned b = 0; b <= id; b++) {
		bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
		others += !plain;
		if (b == id)
			buf_add_utf8(out, plain ? b : 255 + others);
	}
}

/* ---- GGUF ---- */

static void p32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, 4);
}

static void p64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, 8);
}

static void pstr(struct buf *b, struct str s)
{
	p64(b, s.n);
	buf_adds(b, s);
}

static unsigned n_keys;

static void key(struct buf *b, const char *name, enum gguf_type type)
{
	n_keys++;
	pstr(b, str_c(name));
	p32(b, type);
}

static void key_u32(struct buf *b, const char *arch, const char *name, uint32_t v)
{
	char k[96];
	snprintf(k, sizeof k, "%s.%s", arch, name);
	key(b, k, GGUF_U32);
	p32(b, v);
}

static void key_f32(struct buf *b, const char *arch, const char *name, float v)
{
	char k[96];
	snprintf(k, sizeof k, "%s.%s", arch, name);
	key(b, k, GGUF_F32);
	buf_add(b, &v, 4);
}

static void vocabulary(struct buf *b)
{
	struct buf p = {0};
	key(b, "tokenizer.ggml.model", GGUF_STRING);
	pstr(b, S("gpt2"));
	key(b, "tokenizer.ggml.pre", GGUF_STRING);
	pstr(b, S("gpt-2"));
	key(b, "tokenizer.ggml.tokens", GGUF_ARRAY);
	p32(b, GGUF_STRING);
	p64(b, VOCAB);
	for (unsigned i = 0; i < VOCAB; i++) {
		piece(i, &p);
		pstr(b, buf_str(&p));
	}
	key(b, "tokenizer.ggml.token_type", GGUF_ARRAY);
	p32(b, GGUF_I32);
	p64(b, VOCAB);
	for (unsigned i = 0; i < VOCAB; i++)
		p32(b, i >= 256 && i < VOCAB - 1 ? 3 : 1);
	key(b, "tokenizer.ggml.merges", GGUF_ARRAY);
	p32(b, GGUF_STRING);
	p64(b, 1);
	pstr(b, S("< f"));
	key(b, "tokenizer.ggml.bos_token_id", GGUF_U32);
	p32(b, 256);
	key(b, "tokenizer.ggml.eos_token_id", GGUF_U32);
	p32(b, 257);
	buf_free(&p);
}

static void metadata(struct buf *b, const struct family *f)
{
	key(b, "general.architecture", GGUF_STRING);
	pstr(b, str_c(f->name));
	key_u32(b, f->name, "block_count", LAYERS);
	key_u32(b, f->name, "context_length", 16384);
	key_u32(b, f->name, "embedding_length", WIDTH);
	key_u32(b, f->name, "feed_forward_length", FFN);
	key_u32(b, f->name, "attention.head_count", HEADS);
	key_u32(b, f->name, "attention.head_count_kv", KV_HEADS);
	key_u32(b, f->name, "attention.key_length", f->head_dim);
	key_u32(b, f->name, "attention.value_length", f->head_dim);
	key_u32(b, f->name, "rope.dimension_count", f->head_dim);
	key_f32(b, f->name, "attention.layer_norm_rms_epsilon", 1e-6f);
	key_f32(b, f->name, "rope.freq_base", (float)f->rope_base);
	vocabulary(b);
}

static void info(struct buf *b, const struct tensor *t, uint64_t *at)
{
	pstr(b, str_c(t->gguf));
	p32(b, t->rows ? 2 : 1);
	p64(b, t->cols);
	if (t->rows)
		p64(b, t->rows);
	p32(b, KERN_F32);
	p64(b, *at);
	*at += (t->cols * (t->rows ? t->rows : 1) * 4 + 31) / 32 * 32;
}

static void pad(struct buf *b)
{
	while (b->n % 32)
		buf_putc(b, 0);
}

static void write_gguf(const struct family *f, const char *path)
{
	struct tensor t[64];
	size_t n = list(f, t);
	struct buf meta = {0}, b = {0};
	uint64_t at = 0;
	n_keys = 0;
	metadata(&meta, f);
	struct tensor freqs = {.gguf = "rope_freqs.weight", .cols = f->head_dim / 2};
	buf_addc(&b, "GGUF");
	p32(&b, 3);
	p64(&b, n + f->llama3);
	p64(&b, n_keys);
	buf_adds(&b, buf_str(&meta));
	for (size_t i = 0; i < n; i++)
		info(&b, &t[i], &at);
	if (f->llama3)
		info(&b, &freqs, &at);
	pad(&b);
	for (size_t i = 0; i < n; i++) {
		put_values(&b, f, &t[i], false);
		pad(&b);
	}
	for (size_t i = 0; f->llama3 && i < freqs.cols; i++) {
		float v = rope_factor(f, i);
		buf_add(&b, &v, 4);
	}
	pad(&b);
	CHECK_INT(b.err, OK);
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	buf_free(&meta);
	buf_free(&b);
}

/* ---- Hugging Face's folder ---- */

static void write_file(const char *dir, const char *name, const struct buf *b)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	CHECK_INT(b->err, OK);
	CHECK_OK(os_write_atomic(path, buf_str(b), &et), &et);
}

static void write_weights(const struct family *f, const char *dir)
{
	struct tensor t[64];
	size_t n = list(f, t), at = 0;
	struct buf head = {0}, b = {0};
	struct jw w = {.out = &head};
	jw_obj(&w);
	for (size_t i = 0; i < n; i++) {
		size_t bytes = t[i].cols * (t[i].rows ? t[i].rows : 1) * 4;
		jw_key(&w, t[i].hf);
		jw_obj(&w);
		jw_kc(&w, "dtype", "F32");
		jw_key(&w, "shape");
		jw_arr(&w);
		if (t[i].rows)
			jw_u64(&w, t[i].rows);
		jw_u64(&w, t[i].cols);
		jw_end(&w);
		jw_key(&w, "data_offsets");
		jw_arr(&w);
		jw_u64(&w, at);
		jw_u64(&w, at += bytes);
		jw_end(&w);
		jw_end(&w);
	}
	jw_end(&w);
	p64(&b, head.n);
	buf_adds(&b, buf_str(&head));
	for (size_t i = 0; i < n; i++)
		put_values(&b, f, &t[i], true);
	write_file(dir, "model.safetensors", &b);
	buf_free(&head);
	buf_free(&b);
}

static void write_config(const struct family *f, const char *dir)
{
	struct buf b = {0};
	buf_addf(&b,
		"{\"model_type\":\"%s\",\"hidden_size\":%d,\"num_hidden_layers\":%d,"
		"\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"head_dim\":%u,"
		"\"intermediate_size\":%d,\"vocab_size\":%d,\"max_position_embeddings\":16384,"
		"\"rms_norm_eps\":1e-6,\"rope_theta\":%.1f,\"hidden_act\":\"silu\","
		"\"tie_word_embeddings\":true,\"rope_scaling\":",
		f->name, WIDTH, LAYERS, HEADS, KV_HEADS, f->head_dim, FFN, VOCAB, f->rope_base);
	if (f->llama3)
		buf_addc(&b, "{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
			     "\"high_freq_factor\":4.0,"
			     "\"original_max_position_embeddings\":8192}}");
	else
		buf_addc(&b, "null}");
	write_file(dir, "config.json", &b);
	buf_free(&b);
}

static void write_tokenizer(const char *dir)
{
	struct buf b = {0}, p = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "added_tokens");
	jw_raw(&w, S("[]"));
	jw_key(&w, "pre_tokenizer");
	jw_raw(&w, S("{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"));
	jw_key(&w, "decoder");
	jw_raw(&w, S("{\"type\":\"ByteLevel\"}"));
	jw_key(&w, "model");
	jw_obj(&w);
	jw_kc(&w, "type", "BPE");
	jw_key(&w, "vocab");
	jw_obj(&w);
	for (unsigned i = 0; i < VOCAB; i++) {
		piece(i, &p);
		jw_key_str(&w, buf_str(&p));
		jw_u64(&w, i);
	}
	jw_end(&w);
	jw_key(&w, "merges");
	jw_raw(&w, S("[]"));
	jw_end(&w);
	jw_end(&w);
	write_file(dir, "tokenizer.json", &b);
	buf_free(&b);
	buf_free(&p);
}

static void the_ids(int32_t ids[N_IDS])
{
	for (int i = 0; i < N_IDS; i++)
		ids[i] = (i * 37 + i * i * 11) % 256;
}

/* dir/NAME.gguf and dir/NAME/ */
static void path_of(char path[4096], const char *dir, const struct family *f, const char *end)
{
	snprintf(path, 4096, "%s/%s%s", dir, f->name, end);
}

static void write_folder(const struct family *f, const char *dir)
{
	CHECK_OK(os_mkdirs(dir, &et), &et);
	write_weights(f, dir);
	write_config(f, dir);
	write_tokenizer(dir);
}

#endif
