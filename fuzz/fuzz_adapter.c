/* An adapter of any bytes is one that fits its model, or an error that says why. Input: a GGUF
 * file, or adapter_config.json, a zero byte, and a safetensors file. */
#include "engine/adapter_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The shapes of a model, without weights. */
static struct model *shapes(bool gguf)
{
	static const char config[] =
		"{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":2,"
		"\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,"
		"\"intermediate_size\":96,\"vocab_size\":272,\"max_position_embeddings\":64,"
		"\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,\"hidden_act\":\"silu\"}";
	static const char none[] = "\2\0\0\0\0\0\0\0{}";
	static struct layer layers[2];
	static struct model m;
	struct errtext et;
	struct weights *w;
	if (!m.arch) {
		if (weights_parse_adapter(str_c(config), str_mk(none, 10), &w, &et) ||
			arch_of(w, &m.arch, &et) || arch_hparams(w, m.arch, &m.hp, &et))
			abort();
		weights_free(w);
	}
	m.rope_pairs = gguf;
	m.layers = layers;
	for (size_t i = 0; i < m.arch->n_rows; i++) {
		const struct tensor_row *r = &m.arch->rows[i];
		for (uint32_t l = 0; r->kind == TENSOR_MAT && l < 2; l++) {
			char *base = r->in_layer ? (char *)&layers[l] : (char *)&m;
			struct kern_mat *mat = (void *)(base + r->at);
			mat->n = arch_dim(&m.hp, r->rows);
			mat->k = arch_dim(&m.hp, r->cols);
		}
	}
	atomic_store(&m.refs, 1);
	return &m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_mk((const char *)data, size), config = {0}, bytes = all;
	size_t zero = str_chr(all, 0);
	if (!str_starts(all, S("GGUF")) && zero != STR_NONE) {
		config = str_sub(all, 0, zero);
		bytes = str_sub(all, zero + 1, size);
	}
	struct model *m = shapes(size & 1);
	struct adapter *a;
	struct weights *w;
	struct errtext et = {0};
	enum err e = weights_parse_adapter(config, bytes, &w, &et);
	if (!e)
		e = adapter_from(w, m, NULL, &a, &et);
	if (e && !et.msg[0])
		__builtin_trap();
	if (e)
		return 0;
	const struct adapter_info *i = adapter_info(a);
	if (!i->matrices || !i->rank_max || i->rank_max > LORA_RANK_MAX)
		__builtin_trap();
	adapter_unref(a);
	return 0;
}
