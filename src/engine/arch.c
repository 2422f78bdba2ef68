/* Families of architectures, as data: names of tensors and hyperparameters in GGUF and in Hugging
 * Face's layout.
 *
 * Query and key rows of a Llama-family GGUF are reordered so that rotary embedding turns adjacent
 * values (2i, 2i+1); Hugging Face's layout, and the other families in GGUF, turn (i, i + half). The
 * rows stay as they are in the file and the rotation follows the file: ARCH_GGUF_PAIRS. */
#include "engine/model_int.h"

#include <math.h>
#include <stdio.h>
#include "base/json.h"
#include "base/os.h"
#include "engine/gguf.h"

#define IN_MODEL(f) offsetof(struct model, f)
#define IN_LAYER(f) offsetof(struct layer, f)
#define MAT(g, h, r, c, f)                                                                     \
	{                                                                                      \
		"blk.%u." g ".weight", h ".weight", TENSOR_MAT, true, false, r, c, IN_LAYER(f) \
	}
#define MAT_OPT(g, h, r, c, f)                                                                \
	{                                                                                     \
		"blk.%u." g ".weight", h ".weight", TENSOR_MAT, true, true, r, c, IN_LAYER(f) \
	}
#define VEC(g, h, c, f)                                                        \
	{                                                                      \
		"blk.%u." g, h, TENSOR_VEC, true, false, DIM_1, c, IN_LAYER(f) \
	}
#define VEC_OPT(g, h, c, f)                                                   \
	{                                                                     \
		"blk.%u." g, h, TENSOR_VEC, true, true, DIM_1, c, IN_LAYER(f) \
	}

static const struct tensor_row decoder_rows[] = {
	{"token_embd.weight", "embed_tokens.weight", TENSOR_TABLE, false, false, DIM_VOCAB,
		DIM_WIDTH, IN_MODEL(tokens)},
	{"output_norm.weight", "norm.weight", TENSOR_VEC, false, false, DIM_1, DIM_WIDTH,
		IN_MODEL(out_norm)},
	{"output.weight", "lm_head.weight", TENSOR_MAT, false, true, DIM_VOCAB, DIM_WIDTH,
		IN_MODEL(output)},
	{"rope_freqs.weight", NULL, TENSOR_VEC, false, true, DIM_1, DIM_ROPE, IN_MODEL(rope_freqs)},
	VEC("attn_norm.weight", "layers.%u.input_layernorm.weight", DIM_WIDTH, attn_norm),
	MAT("attn_q", "layers.%u.self_attn.q_proj", DIM_Q, DIM_WIDTH, q),
	MAT("attn_k", "layers.%u.self_attn.k_proj", DIM_KV, DIM_WIDTH, k),
	MAT("attn_v", "layers.%u.self_attn.v_proj", DIM_KV, DIM_WIDTH, v),
	MAT("attn_output", "layers.%u.self_attn.o_proj", DIM_WIDTH, DIM_Q, o),
	VEC_OPT("attn_q.bias", "layers.%u.self_attn.q_proj.bias", DIM_Q, q_b),
	VEC_OPT("attn_k.bias", "layers.%u.self_attn.k_proj.bias", DIM_KV, k_b),
	VEC_OPT("attn_v.bias", "layers.%u.self_attn.v_proj.bias", DIM_KV, v_b),
	VEC_OPT("attn_output.bias", "layers.%u.self_attn.o_proj.bias", DIM_WIDTH, o_b),
	VEC_OPT("attn_q_norm.weight", "layers.%u.self_attn.q_norm.weight", DIM_HEAD, q_norm),
	VEC_OPT("attn_k_norm.weight", "layers.%u.self_attn.k_norm.weight", DIM_HEAD, k_norm),
	VEC("ffn_norm.weight", "layers.%u.post_attention_layernorm.weight", DIM_WIDTH, mlp_norm),
	MAT("ffn_gate", "layers.%u.mlp.gate_proj", DIM_FFN, DIM_WIDTH, gate),
	MAT("ffn_up", "layers.%u.mlp.up_proj", DIM_FFN, DIM_WIDTH, up),
	MAT("ffn_down", "layers.%u.mlp.down_proj", DIM_WIDTH, DIM_FFN, down),
	VEC_OPT("ffn_gate.bias", "layers.%u.mlp.gate_proj.bias", DIM_FFN, gate_b),
	VEC_OPT("ffn_up.bias", "layers.%u.mlp.up_proj.bias", DIM_FFN, up_b),
	VEC_OPT("ffn_down.bias", "layers.%u.mlp.down_proj.bias", DIM_WIDTH, down_b),
};

#define BERT(x) "encoder.layer.%u." x
static const struct tensor_row bert_rows[] = {
	{"token_embd.weight", "embeddings.word_embeddings.weight", TENSOR_TABLE, false, false,
		DIM_VOCAB, DIM_WIDTH, IN_MODEL(tokens)},
	{"position_embd.weight", "embeddings.position_embeddings.weight", TENSOR_TABLE, false,
		false, DIM_POSITIONS, DIM_WIDTH, IN_MODEL(positions)},
	{"token_types.weight", "embeddings.token_type_embeddings.weight", TENSOR_TABLE, false,
		false, DIM_TYPES, DIM_WIDTH, IN_MODEL(types)},
	{"token_embd_norm.weight", "embeddings.LayerNorm.weight", TENSOR_VEC, false, false, DIM_1,
		DIM_WIDTH, IN_MODEL(embd_norm)},
	{"token_embd_norm.bias", "embeddings.LayerNorm.bias", TENSOR_VEC, false, false, DIM_1,
		DIM_WIDTH, IN_MODEL(embd_norm_b)},
	MAT("attn_q", BERT("attention.self.query"), DIM_Q, DIM_WIDTH, q),
	MAT("attn_k", BERT("attention.self.key"), DIM_KV, DIM_WIDTH, k),
	MAT("attn_v", BERT("attention.self.value"), DIM_KV, DIM_WIDTH, v),
	MAT("attn_output", BERT("attention.output.dense"), DIM_WIDTH, DIM_Q, o),
	VEC("attn_q.bias", BERT("attention.self.query.bias"), DIM_Q, q_b),
	VEC("attn_k.bias", BERT("attention.self.key.bias"), DIM_KV, k_b),
	VEC("attn_v.bias", BERT("attention.self.value.bias"), DIM_KV, v_b),
	VEC("attn_output.bias", BERT("attention.output.dense.bias"), DIM_WIDTH, o_b),
	VEC("attn_output_norm.weight", BERT("attention.output.LayerNorm.weight"), DIM_WIDTH,
		attn_norm),
	VEC("attn_output_norm.bias", BERT("attention.output.LayerNorm.bias"), DIM_WIDTH,
		attn_norm_b),
	MAT("ffn_up", BERT("intermediate.dense"), DIM_FFN, DIM_WIDTH, up),
	MAT("ffn_down", BERT("output.dense"), DIM_WIDTH, DIM_FFN, down),
	VEC("ffn_up.bias", BERT("intermediate.dense.bias"), DIM_FFN, up_b),
	VEC("ffn_down.bias", BERT("output.dense.bias"), DIM_WIDTH, down_b),
	VEC("layer_output_norm.weight", BERT("output.LayerNorm.weight"), DIM_WIDTH, mlp_norm),
	VEC("layer_output_norm.bias", BERT("output.LayerNorm.bias"), DIM_WIDTH, mlp_norm_b),
};

/* GGUF: cls and cls.output as llama.cpp names them; the first may be left out there. RoBERTa's head
 * has other names for the same. */
#define RANK_ROWS(dense, out)                                                                   \
	{                                                                                       \
		{"cls.weight", dense ".weight", TENSOR_MAT, false, true, DIM_WIDTH, DIM_WIDTH,  \
			IN_MODEL(pooler)},                                                      \
			{"cls.bias", dense ".bias", TENSOR_VEC, false, true, DIM_1, DIM_WIDTH,  \
				IN_MODEL(pooler_b)},                                            \
			{"cls.output.weight", out ".weight", TENSOR_VEC, false, false, DIM_1,   \
				DIM_WIDTH, IN_MODEL(score)},                                    \
			{"cls.output.bias", out ".bias", TENSOR_VEC, false, true, DIM_1, DIM_1, \
				IN_MODEL(score_b)},                                             \
	}
static const struct tensor_row bert_rank_rows[N_ARCH_RANK_ROWS] =
	RANK_ROWS("pooler.dense", "classifier");
static const struct tensor_row roberta_rank_rows[N_ARCH_RANK_ROWS] =
	RANK_ROWS("classifier.dense", "classifier.out_proj");

const struct tensor_row *arch_rank_rows(const struct arch *a)
{
	return a->flags & ARCH_ROBERTA ? roberta_rank_rows : bert_rank_rows;
}

/* The families. A row: name, model types of config.json, task, flags, tensors. */
static const struct arch archs[] = {
	{"llama", {"llama", "mistral"}, MODEL_DECODER, ARCH_GGUF_PAIRS, decoder_rows,
		ARRAY_LEN(decoder_rows)},
	{"qwen2", {"qwen2"}, MODEL_DECODER, ARCH_QKV_BIAS, decoder_rows, ARRAY_LEN(decoder_rows)},
	{"qwen3", {"qwen3"}, MODEL_DECODER, ARCH_QK_NORM, decoder_rows, ARRAY_LEN(decoder_rows)},
	{"bert", {"bert"}, MODEL_ENCODER, 0, bert_rows, ARRAY_LEN(bert_rows)},
	/* in GGUF it is a bert, whose positions begin with the first row */
	{"xlm-roberta", {"xlm-roberta", "roberta"}, MODEL_ENCODER, ARCH_ROBERTA, bert_rows,
		ARRAY_LEN(bert_rows)},
};

#define ARCH_LIST "llama (SmolLM2, Llama 3, Mistral), qwen2, qwen3, bert, xlm-roberta"

static bool speaks(const struct arch *a, struct str type, bool gguf)
{
	if (gguf)
		return str_eq_c(type, a->name);
	for (size_t i = 0; i < ARRAY_LEN(a->hf) && a->hf[i]; i++)
		if (str_eq_c(type, a->hf[i]))
			return true;
	return false;
}

static enum err config_doc(const struct weights *w, yyjson_doc **doc, struct errtext *et)
{
	enum err e = json_parse(weights_config(w), doc, et);
	return e ? err_wrap(et, ERR_CORRUPT, "%s/config.json", weights_folder(w)) : OK;
}

enum err arch_of(const struct weights *w, const struct arch **out, struct errtext *et)
{
	const struct gguf *g = weights_gguf(w);
	yyjson_doc *doc = NULL;
	struct str type;
	if (g) {
		type = gguf_str(g, "general.architecture");
	} else {
		enum err e = config_doc(w, &doc, et);
		if (e)
			return e;
		type = json_str(yyjson_doc_get_root(doc), "model_type");
	}
	*out = NULL;
	for (size_t i = 0; i < ARRAY_LEN(archs); i++)
		if (speaks(&archs[i], type, g))
			*out = &archs[i];
	enum err e = OK;
	if (!type.n)
		e = err_set(et, ERR_CORRUPT, "the model's metadata name no architecture");
	else if (!*out)
		e = err_set(et, ERR_UNSUPPORTED,
			"the architecture '%.*s' is not supported; supported are " ARCH_LIST,
			STR_FMT(str_sub(type, 0, utf8_valid(type) ? 64 : 0)));
	yyjson_doc_free(doc);
	return e;
}

uint64_t arch_dim(const struct hparams *hp, enum dim d)
{
	switch (d) {
	case DIM_1:
		return 1;
	case DIM_WIDTH:
		return hp->width;
	case DIM_Q:
		return (uint64_t)hp->heads * hp->head_dim;
	case DIM_KV:
		return (uint64_t)hp->kv_heads * hp->head_dim;
	case DIM_FFN:
		return hp->ffn;
	case DIM_VOCAB:
		return hp->vocab;
	case DIM_HEAD:
		return hp->head_dim;
	case DIM_POSITIONS:
		return (uint64_t)hp->context + hp->pos_first;
	case DIM_TYPES:
		return hp->token_types;
	case DIM_ROPE:
		return hp->rope_dim / 2;
	}
	return 0;
}

/* ---- hyperparameters ------------------------------------------------------------------------- */

/* Metadata of either kind behind one question. */
struct meta {
	const struct gguf *g;
	const char *arch;
	yyjson_val *config;
	struct errtext *et;
	enum err err; /* the first */
};

static const char *full_key(const struct meta *m, const char *gguf, char buf[96])
{
	snprintf(buf, 96, "%s.%s", m->arch, gguf);
	return buf;
}

/* An integer in [1, max]; otherwise 0: it must be there, < 0: may be 0. */
static uint32_t get_u32(
	struct meta *m, const char *gguf, const char *hf, int64_t max, int64_t otherwise)
{
	char key[96];
	int64_t v = m->g ? gguf_i64(m->g, full_key(m, gguf, key), otherwise)
			 : json_i64(m->config, hf, otherwise);
	if (m->err)
		return 1;
	if (v < 0 && otherwise < 0)
		return 0;
	if (v < (otherwise < 0 ? 0 : 1) || v > max) {
		m->err = err_set(m->et, v ? ERR_CORRUPT : ERR_UNSUPPORTED,
			"%s is %s; it must be a number from 1 to %lld",
			m->g ? full_key(m, gguf, key) : hf,
			v ? "out of range" : "missing (or no plain number)", (long long)max);
		return 1;
	}
	return (uint32_t)v;
}

static double get_f64(struct meta *m, const char *gguf, const char *hf, double otherwise)
{
	char key[96];
	return m->g ? gguf_f64(m->g, full_key(m, gguf, key), otherwise)
		    : json_f64(m->config, hf, otherwise);
}

static void bad(struct meta *m, const char *what)
{
	if (!m->err)
		m->err = err_set(m->et, ERR_UNSUPPORTED, "%s", what);
}

static void shape(struct meta *m, struct hparams *hp)
{
	hp->layers = get_u32(m, "block_count", "num_hidden_layers", 1024, 0);
	hp->width = get_u32(m, "embedding_length", "hidden_size", 1 << 17, 0);
	hp->heads = get_u32(m, "attention.head_count", "num_attention_heads", 4096, 0);
	hp->kv_heads =
		get_u32(m, "attention.head_count_kv", "num_key_value_heads", 4096, hp->heads);
	hp->head_dim = get_u32(m, "attention.key_length", "head_dim", 4096,
		MAX(hp->width / hp->heads, (uint32_t)1));
	hp->ffn = get_u32(m, "feed_forward_length", "intermediate_size", 1 << 20, 0);
	hp->context = get_u32(m, "context_length", "max_position_embeddings", 1 << 28, 0);
	if (get_u32(m, "expert_count", "num_local_experts", 1 << 20, -1) > 0)
		bad(m, "mixtures of experts are not supported");
	if (m->err)
		return;
	if (hp->heads % hp->kv_heads)
		bad(m, "the number of heads is no multiple of the key/value heads");
	if (m->g && get_u32(m, "attention.value_length", "", 4096, hp->head_dim) != hp->head_dim)
		bad(m, "values of another width than keys are not supported");
}

/* ---- rope ---- */

static void rope_scaling_json(struct meta *m, struct hparams *hp)
{
	yyjson_val *s = yyjson_obj_get(m->config, "rope_scaling");
	yyjson_val *p = yyjson_obj_get(m->config, "rope_parameters"); /* the newer name */
	if (!yyjson_is_obj(s))
		s = p;
	if (yyjson_is_obj(p))
		hp->rope_base = json_f64(p, "rope_theta", hp->rope_base);
	if (!yyjson_is_obj(s))
		return;
	struct str type = json_str(s, "rope_type");
	if (!type.p)
		type = json_str(s, "type");
	double factor = json_f64(s, "factor", 1);
	if (!type.p || str_eq_c(type, "default")) {
		return;
	} else if (str_eq_c(type, "linear")) {
		hp->rope_linear = factor;
	} else if (str_eq_c(type, "llama3")) {
		hp->rope_factor = factor;
		hp->rope_low = json_f64(s, "low_freq_factor", 1);
		hp->rope_high = json_f64(s, "high_freq_factor", 4);
		hp->rope_old_context = json_f64(s, "original_max_position_embeddings", 8192);
	} else {
		bad(m, "the rope scaling of config.json is not supported (only linear and llama3 "
		       "are)");
	}
}

static void rope(struct meta *m, struct hparams *hp)
{
	char key[96];
	hp->rope_base = get_f64(m, "rope.freq_base", "rope_theta", 10000);
	hp->rope_linear = 1;
	hp->rope_dim = hp->head_dim;
	if (m->g) {
		hp->rope_dim = get_u32(m, "rope.dimension_count", "", hp->head_dim, hp->head_dim);
		struct str type = gguf_str(m->g, full_key(m, "rope.scaling.type", key));
		double factor = get_f64(m, "rope.scaling.factor", "", 0);
		if (str_eq_c(type, "linear"))
			hp->rope_linear = factor;
		else if (type.n && !str_eq_c(type, "none"))
			bad(m, "the file's rope.scaling.type is not supported (only linear is)");
		else if (!type.n)
			hp->rope_linear = get_f64(m, "rope.scale_linear", "", 1);
	} else {
		rope_scaling_json(m, hp);
	}
	if (!(hp->rope_base > 0) || !(hp->rope_linear > 0) || !(hp->rope_factor >= 0) ||
		(hp->rope_factor > 0 && !(hp->rope_high > hp->rope_low && hp->rope_low > 0 &&
						hp->rope_old_context > 0)) ||
		hp->rope_dim % 2)
		bad(m, "the rope settings make no sense");
}

static void decoder_hparams(struct meta *m, struct hparams *hp)
{
	hp->causal = true;
	hp->act = ACT_SILU;
	hp->norm_eps = (float)get_f64(m, "attention.layer_norm_rms_epsilon", "rms_norm_eps", 1e-6);
	hp->window = get_u32(m, "attention.sliding_window", "sliding_window", 1 << 28, -1);
	if (m->config) {
		struct str act = json_str(m->config, "hidden_act");
		if (act.p && !str_eq_c(act, "silu"))
			bad(m, "a hidden_act other than silu is not supported here");
		if (!json_bool(m->config, "use_sliding_window", true))
			hp->window = 0;
	}
	rope(m, hp);
}

/* A Bert that sorts texts into classes scores pairs when there is one class. */
static void scoring(struct meta *m, struct hparams *hp)
{
	yyjson_val *list = yyjson_obj_get(m->config, "architectures"), *name;
	size_t i, n;
	bool scores = false;
	yyjson_arr_foreach(list, i, n, name) scores |=
		str_ends(json_val_str(name), S("ForSequenceClassification"));
	if (!scores)
		return;
	yyjson_val *labels = yyjson_obj_get(m->config, "id2label");
	/* two labels are the default where neither is told */
	int64_t classes = json_i64(m->config, "num_labels",
		yyjson_is_obj(labels) ? (int64_t)yyjson_obj_size(labels) : 2);
	if (classes != 1)
		bad(m, "a classifier of several classes is not supported; a cross-encoder has one");
	hp->pooling = POOL_RANK;
	hp->normalised = false;
}

static void encoder_hparams(struct meta *m, struct hparams *hp)
{
	char key[96];
	hp->norm_eps = (float)get_f64(m, "attention.layer_norm_epsilon", "layer_norm_eps", 1e-12);
	const struct gguf_tensor *types = m->g ? gguf_find(m->g, "token_types.weight") : NULL;
	hp->token_types = m->g ? types && types->dim[1] == 1 ? 1 : 2
			       : get_u32(m, "", "type_vocab_size", 64, 2);
	hp->act = ACT_GELU_ERF;
	hp->pooling = POOL_MEAN;
	hp->normalised = true;
	if (m->g) {
		int64_t p = gguf_i64(m->g, full_key(m, "pooling_type", key), 1);
		hp->pooling = p == 4 ? POOL_RANK : p == 2 ? POOL_CLS : POOL_MEAN;
		hp->normalised = hp->pooling != POOL_RANK;
		if (p != 1 && p != 2 && p != 4)
			bad(m, "the file's pooling_type is not supported (mean, CLS and rank are)");
		if (gguf_bool(m->g, full_key(m, "attention.causal", key), false))
			bad(m, "an encoder with causal attention is not supported");
		return;
	}
	struct str act = json_str(m->config, "hidden_act"),
		   pos = json_str(m->config, "position_embedding_type");
	if (str_eq_c(act, "gelu_new") || str_eq_c(act, "gelu_pytorch_tanh"))
		hp->act = ACT_GELU_TANH;
	else if (act.p && !str_eq_c(act, "gelu"))
		bad(m, "a hidden_act other than gelu is not supported here");
	if (pos.p && !str_eq_c(pos, "absolute"))
		bad(m, "a position_embedding_type other than absolute is not supported");
	scoring(m, hp);
}

/* The first position is the row behind that of padding, which has the padding token's number. */
static void first_position(struct meta *m, struct hparams *hp)
{
	int64_t pad = json_i64(m->config, "pad_token_id", 1);
	if (pad < 0 || pad + 2 >= hp->context) {
		bad(m, "pad_token_id leaves no positions");
		return;
	}
	hp->pos_first = (uint32_t)pad + 1;
	hp->context -= hp->pos_first;
}

/* ---- the folder's files of sentence-transformers ---- */

/* A small JSON file of the folder; *doc stays NULL when it is absent. */
static enum err folder_json(
	const struct weights *w, const char *rel, yyjson_doc **doc, struct errtext *et)
{
	struct buf path = {0}, text = {0};
	buf_addf(&path, "%s/%s", weights_folder(w), rel);
	enum err e = OK;
	*doc = NULL;
	if (os_exists(buf_c(&path))) {
		e = file_read(buf_c(&path), 1 << 20, weights_check(w), &text, et);
		if (!e && json_parse(buf_str(&text), doc, et))
			e = err_wrap(et, ERR_CORRUPT, "%s", buf_c(&path));
	}
	buf_free(&path);
	buf_free(&text);
	return e;
}

static enum err read_pooling(const struct weights *w, struct hparams *hp, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = folder_json(w, "1_Pooling/config.json", &doc, et);
	if (e || !doc)
		return e;
	yyjson_val *c = yyjson_doc_get_root(doc);
	bool mean = json_bool(c, "pooling_mode_mean_tokens", false),
	     cls = json_bool(c, "pooling_mode_cls_token", false);
	struct str mode = json_str(c, "pooling_mode"); /* the newer form */
	mean |= str_eq_c(mode, "mean");
	cls |= str_eq_c(mode, "cls");
	if (mean == cls || json_bool(c, "pooling_mode_max_tokens", false) ||
		json_bool(c, "pooling_mode_mean_sqrt_len_tokens", false) ||
		json_bool(c, "pooling_mode_lasttoken", false) ||
		json_bool(c, "pooling_mode_weightedmean_tokens", false))
		e = err_set(et, ERR_UNSUPPORTED,
			"%s/1_Pooling: only mean and CLS pooling are supported", weights_folder(w));
	hp->pooling = cls ? POOL_CLS : POOL_MEAN;
	yyjson_doc_free(doc);
	return e;
}

/* modules.json lists what sentence-transformers runs; without it (a plain BERT) the vectors are
 * mean-pooled and of length 1. */
static enum err read_modules(const struct weights *w, struct hparams *hp, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = folder_json(w, "modules.json", &doc, et);
	if (e || !doc)
		return e;
	size_t i, n;
	yyjson_val *v;
	hp->normalised = false;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, v)
	{
		struct str type = json_str(v, "type");
		if (str_ends(type, S(".Normalize")))
			hp->normalised = true;
		else if (!str_ends(type, S(".Transformer")) && !str_ends(type, S(".Pooling")))
			e = err_set(et, ERR_UNSUPPORTED,
				"%s/modules.json: the module '%.*s' is not supported",
				weights_folder(w), STR_FMT(str_sub(type, 0, 100)));
	}
	yyjson_doc_free(doc);
	return e;
}

static enum err sentence_settings(const struct weights *w, struct hparams *hp, struct errtext *et)
{
	bool ranks = hp->pooling == POOL_RANK;
	enum err e = ranks ? OK : read_pooling(w, hp, et);
	if (!e && !ranks)
		e = read_modules(w, hp, et);
	yyjson_doc *doc = NULL;
	if (!e)
		e = folder_json(w, "sentence_bert_config.json", &doc, et);
	if (e)
		return e;
	int64_t most = json_i64(yyjson_doc_get_root(doc), "max_seq_length", hp->context);
	if (most > 2 && most < hp->context)
		hp->read_max = (uint32_t)most;
	yyjson_doc_free(doc);
	return OK;
}

/* The names under which models keep a prompt; the first that is there counts. */
static enum err read_prompt(const struct weights *w, yyjson_val *prompts,
	const char *const names[3], char out[PROMPT_MAX], struct errtext *et)
{
	for (size_t i = 0; i < 3; i++) {
		struct str s = json_str(prompts, names[i]);
		if (!s.p)
			continue;
		if (s.n >= PROMPT_MAX || memchr(s.p, 0, s.n))
			return err_set(et, ERR_UNSUPPORTED,
				"%s/config_sentence_transformers.json: the prompt \"%s\" is longer "
				"than %d bytes, or no text",
				weights_folder(w), names[i], PROMPT_MAX - 1);
		memcpy(out, s.p, s.n);
		return OK;
	}
	return OK;
}

enum err arch_prompts(const struct weights *w, struct prompts *out, struct errtext *et)
{
	static const char *const query[3] = {"query", "search_query", "retrieval.query"},
				 *const document[3] = {"document", "passage", "search_document"};
	yyjson_doc *doc = NULL;
	*out = (struct prompts){0};
	enum err e = weights_folder(w)
			     ? folder_json(w, "config_sentence_transformers.json", &doc, et)
			     : OK;
	if (e || !doc)
		return e;
	yyjson_val *prompts = yyjson_obj_get(yyjson_doc_get_root(doc), "prompts");
	e = read_prompt(w, prompts, query, out->query, et);
	if (!e)
		e = read_prompt(w, prompts, document, out->document, et);
	yyjson_doc_free(doc);
	return e;
}

enum err arch_hparams(
	const struct weights *w, const struct arch *a, struct hparams *hp, struct errtext *et)
{
	struct meta m = {.g = weights_gguf(w), .arch = a->name, .et = et};
	yyjson_doc *doc = NULL;
	enum err e = m.g ? OK : config_doc(w, &doc, et);
	if (e)
		return e;
	m.config = yyjson_doc_get_root(doc);
	*hp = (struct hparams){0};
	shape(&m, hp);
	if (!m.err) {
		if (a->task == MODEL_DECODER)
			decoder_hparams(&m, hp);
		else
			encoder_hparams(&m, hp);
		if (a->flags & ARCH_ROBERTA && !m.err)
			first_position(&m, hp);
	}
	hp->tied = m.g || json_bool(m.config, "tie_word_embeddings", a->task == MODEL_ENCODER);
	if (!m.err && m.config)
		hp->vocab = get_u32(&m, "", "vocab_size", 1 << 24, 0);
	hp->read_max = hp->context;
	if (!m.err && !(hp->norm_eps >= 0 && hp->norm_eps < 1))
		bad(&m, "the norm's epsilon makes no sense");
	yyjson_doc_free(doc);
	if (!m.err && !m.g && a->task == MODEL_ENCODER)
		return sentence_settings(w, hp, et);
	return m.err;
}
