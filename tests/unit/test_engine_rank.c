/* Cross-encoders: scores of pairs beside transformers' (make oracle records them), and what is no
 * cross-encoder. The model is MiniLM with a head of values from a formula, as
 * tests/e2e/cross_encoder.py makes it. */
#include "tap.h"
#include "base/json.h"
#include "base/os.h"
#include "engine/engine.h"
#include "engine/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;

static float head(size_t i)
{
	uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	return (float)(((double)(z >> 40) * 0x1p-24 - 0.5) * 4);
}

static void put(const char *dir, const char *name, struct str data)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	CHECK_OK(os_write_atomic(path, data, &et), &et);
}

static void copy(const char *dir, const char *name)
{
	char from[128];
	struct buf b = {0};
	snprintf(from, sizeof from, "minilm/%s", name);
	CHECK_OK(os_read_file(tap_model(from), 0, &b, &et), &et);
	put(dir, name, buf_str(&b));
	buf_free(&b);
}

/* MiniLM's file with two more tensors at the end, the pooler's under another name if asked. */
static void write_weights(const char *dir, bool pooler)
{
	enum { WIDTH = 384 };
	struct buf in = {0}, out = {0};
	uint64_t n;
	CHECK_OK(os_read_file(tap_model("minilm/model.safetensors"), 0, &in, &et), &et);
	memcpy(&n, in.p, sizeof n);
	struct str header = str_trim(str_sub(buf_str(&in), 8, 8 + n)),
		   data = str_sub(buf_str(&in), 8 + n, in.n);
	size_t at = data.n;
	if (!pooler) {
		size_t from = str_find(header, S("pooler.dense.weight"));
		CHECK(from != STR_NONE);
		memcpy((char *)header.p + from, "pooler.other", 12);
	}
	buf_adds(&out, S("12345678"));
	buf_adds(&out, str_sub(header, 0, header.n - 1));
	buf_addf(&out,
		",\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[1,%d],\"data_offsets\":[%zu,%"
		"zu]}"
		",\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}"
		"}",
		WIDTH, at, at + WIDTH * 4, at + WIDTH * 4, at + WIDTH * 4 + 4);
	n = out.n - 8;
	memcpy(out.p, &n, sizeof n);
	buf_adds(&out, data);
	for (size_t i = 0; i <= WIDTH; i++) {
		float v = head(i);
		buf_add(&out, &v, sizeof v);
	}
	put(dir, "model.safetensors", buf_str(&out));
	buf_free(&in);
	buf_free(&out);
}

#define CONFIG(labels)                                                                      \
	"{\"architectures\":[\"BertForSequenceClassification\"],\"model_type\":\"bert\","   \
	"\"hidden_size\":384,\"num_hidden_layers\":6,\"num_attention_heads\":12,"           \
	"\"intermediate_size\":1536,\"max_position_embeddings\":512,\"type_vocab_size\":2," \
	"\"vocab_size\":30522,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12" labels "}"

static const char *make(const char *config, bool pooler)
{
	const char *dir = tap_tmpdir();
	copy(dir, "tokenizer.json");
	copy(dir, "tokenizer_config.json");
	put(dir, "config.json", str_c(config));
	write_weights(dir, pooler);
	return dir;
}

static struct model *open_ranker(unsigned threads)
{
	struct model *m;
	const char *dir = make(CONFIG(",\"id2label\":{\"0\":\"LABEL_0\"}"), true);
	CHECK_OK(model_open(dir, &(struct model_options){.threads = threads}, &m, &et), &et);
	return m;
}

static size_t texts(yyjson_val *list, struct str **out)
{
	size_t i, n = yyjson_arr_size(list);
	yyjson_val *v;
	*out = malloc(n * sizeof **out);
	CHECK(*out != NULL);
	yyjson_arr_foreach(list, i, n, v)(*out)[i] = json_val_str(v);
	return n;
}

static void test_engine_rank__scores_are_the_references(void)
{
	struct buf text = {0};
	yyjson_doc *doc;
	struct model *m = open_ranker(2);
	CHECK_OK(os_read_file(tap_source("tests/golden/engine/ranking.json"), 0, &text, &et), &et);
	CHECK_OK(json_parse(buf_str(&text), &doc, &et), &et);
	yyjson_val *o = yyjson_doc_get_root(doc), *want = yyjson_obj_get(o, "scores");
	struct str *queries, *docs;
	size_t nq = texts(yyjson_obj_get(o, "queries"), &queries),
	       n = texts(yyjson_obj_get(o, "docs"), &docs), tokens = 0;
	float *score = malloc(n * sizeof *score), alone;
	bool *cut = malloc(n * sizeof *cut), c;
	double worst = 0;
	CHECK(nq >= 3 && n >= 40 && score && cut);
	for (size_t q = 0; q < nq; q++) {
		CHECK_OK(
			rank_texts(m, queries[q], docs, n, 0, score, cut, &tokens, NULL, &et), &et);
		for (size_t i = 0; i < n; i++) {
			double w = yyjson_get_num(yyjson_arr_get(yyjson_arr_get(want, q), i));
			worst = fmax(worst, fabs(w - (double)score[i]));
			CHECK(cut[i] == (docs[i].n > 4000));
		}
		CHECK_OK(rank_texts(m, queries[q], &docs[7], 1, 0, &alone, &c, NULL, NULL, &et),
			&et);
		CHECK(memcmp(&alone, &score[7], sizeof alone) == 0); /* whatever else is asked */
	}
	tap_note("%zu pairs: largest difference %.2g", nq * n, worst);
	CHECK(worst < 1e-4 && tokens > n * 20);
	free(queries);
	free(docs);
	free(score);
	free(cut);
	yyjson_doc_free(doc);
	buf_free(&text);
	model_unref(m);
}

static void test_engine_rank__documents_are_cut_and_queries_are_not(void)
{
	struct model *m = open_ranker(1);
	struct str docs[3] = {S("hens eat grain and grass"), S("hens eat grain"), S("")};
	float score[3];
	bool cut[3];
	size_t tokens;
	CHECK_OK(rank_texts(m, S("food of hens"), docs, 3, 3, score, cut, &tokens, NULL, &et), &et);
	/* [CLS] food of hen ##s [SEP] ... [SEP] */
	CHECK_INT(tokens, 3 * 7 + 3 + 3 + 0);
	CHECK(cut[0] && cut[1] && !cut[2]); /* hens is two tokens */
	CHECK(score[0] == score[1] && score[0] != score[2]);
	struct buf query = {0};
	for (unsigned i = 0; i < 508; i++)
		buf_addc(&query, "hen ");
	CHECK_OK(rank_texts(m, buf_str(&query), docs, 1, 0, score, cut, &tokens, NULL, &et), &et);
	CHECK(tokens == 512 && cut[0]);
	buf_addc(&query, "hen ");
	CHECK_ERR(rank_texts(m, buf_str(&query), docs, 1, 0, score, cut, &tokens, NULL, &et),
		ERR_TOO_LARGE);
	CHECK(strstr(et.msg, "511") && strstr(et.msg, "512"));
	struct cancel gone = {0};
	cancel_set(&gone);
	CHECK_ERR(rank_texts(m, S("q"), docs, 3, 0, score, cut, NULL, &gone, &et), ERR_CANCELLED);
	buf_free(&query);
	model_unref(m);
}

static void test_engine_rank__each_kind_does_its_own(void)
{
	struct model *m = open_ranker(1);
	struct str text = S("a");
	float v[384];
	bool cut;
	CHECK(model_info(m)->pooling == POOL_RANK && !model_info(m)->embedding_dim);
	CHECK_ERR(embed_texts(m, &text, 1, false, v, NULL, NULL, NULL, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "cross-encoder") != NULL);
	model_unref(m);
	CHECK_OK(model_open(tap_model("minilm"), NULL, &m, &et), &et);
	CHECK_ERR(rank_texts(m, text, &text, 1, 0, v, &cut, NULL, NULL, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "no cross-encoder") != NULL);
	model_unref(m);
}

static void test_engine_rank__what_is_no_cross_encoder_is_said(void)
{
	struct model *m;
	CHECK_ERR(model_open(make(CONFIG(""), true), NULL, &m, &et), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "several classes") != NULL);
	CHECK_ERR(model_open(
			  make(CONFIG(",\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}"), true),
			  NULL, &m, &et),
		ERR_UNSUPPORTED);
	CHECK_ERR(model_open(make(CONFIG(",\"num_labels\":1"), false), NULL, &m, &et), ERR_CORRUPT);
	CHECK(strstr(et.msg, "pooler.dense.weight") != NULL);
}

/* ---- XLM-RoBERTa: positions begin behind padding's, texts are parted by two tokens ---- */

static float formula(struct str name, size_t i)
{
	uint64_t z = 0xcbf29ce484222325u;
	for (size_t k = 0; k < name.n; k++)
		z = (z ^ (unsigned char)name.p[k]) * 0x100000001b3u;
	z += (i + 1) * 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	float v = (float)((double)(z >> 40) * 0x1p-24 - 0.5);
	return str_ends(name, S("LayerNorm.weight")) ? 1 + 0.4f * v : v;
}

static size_t values_of(yyjson_val *shape)
{
	size_t i, n, all = 1;
	yyjson_val *v;
	yyjson_arr_foreach(shape, i, n, v) all *= (size_t)yyjson_get_uint(v);
	return all;
}

static void put_json(const char *dir, const char *file, yyjson_val *v)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_val(&w, v);
	put(dir, file, buf_str(&b));
	buf_free(&b);
}

/* The folder that tools/oracle/xlmr.py recorded the scores of. */
static const char *make_xlmr(yyjson_val *golden, const char *sub)
{
	static char dir[600];
	yyjson_val *names = yyjson_obj_get(golden, "names"), *k, *shape, *v;
	struct buf head = {0}, out = {0};
	struct jw w = {.out = &head};
	size_t i, n, j, m, at = 0;
	snprintf(dir, sizeof dir, "%s/%s", tap_tmpdir(), sub);
	CHECK_OK(os_mkdirs(dir, &et), &et);
	jw_obj(&w);
	yyjson_obj_foreach(names, i, n, k, shape)
	{
		jw_key_str(&w, json_val_str(k)), jw_obj(&w);
		jw_kc(&w, "dtype", "F32");
		jw_key(&w, "shape"), jw_val(&w, shape);
		jw_key(&w, "data_offsets"), jw_arr(&w);
		jw_u64(&w, at), jw_u64(&w, at + 4 * values_of(shape));
		jw_end(&w), jw_end(&w);
		at += 4 * values_of(shape);
	}
	jw_end(&w);
	buf_add(&out, &(uint64_t){head.n}, 8);
	buf_adds(&out, buf_str(&head));
	yyjson_obj_foreach(names, i, n, k, shape)
	{
		for (j = 0, m = values_of(shape); j < m; j++) {
			float x = formula(json_val_str(k), j);
			buf_add(&out, &x, sizeof x);
		}
	}
	put(dir, "model.safetensors", buf_str(&out));
	put_json(dir, "tokenizer.json", yyjson_obj_get(golden, "tokenizer"));
	v = yyjson_obj_get(golden, "config");
	put_json(dir, "config.json", v);
	buf_free(&head);
	buf_free(&out);
	return dir;
}

static yyjson_doc *xlmr_golden(void)
{
	struct buf text = {0};
	yyjson_doc *doc;
	CHECK_OK(os_read_file(tap_source("tests/golden/engine/xlmr.json"), 0, &text, &et), &et);
	CHECK_OK(json_parse(buf_str(&text), &doc, &et), &et);
	buf_free(&text);
	return doc;
}

static void test_engine_rank__xlm_roberta(void)
{
	yyjson_doc *doc = xlmr_golden();
	yyjson_val *o = yyjson_doc_get_root(doc), *want = yyjson_obj_get(o, "scores"), *v;
	struct model *m;
	struct str *queries, *docs;
	size_t nq = texts(yyjson_obj_get(o, "queries"), &queries),
	       n = texts(yyjson_obj_get(o, "docs"), &docs), tokens, ids = 0, all = 0, i, k;
	float score[32];
	bool cut[32];
	double worst = 0;
	CHECK_OK(model_open(make_xlmr(o, "xlmr"), NULL, &m, &et), &et);
	CHECK(nq == 3 && n > 8 && n <= 32);
	CHECK_INT(model_info(m)->context_max, 64); /* 66 rows, of which two are not for texts */
	for (size_t q = 0; q < nq; q++) {
		CHECK_OK(
			rank_texts(m, queries[q], docs, n, 0, score, cut, &tokens, NULL, &et), &et);
		for (i = 0; i < n; i++)
			worst = fmax(worst,
				fabs(yyjson_get_num(yyjson_arr_get(yyjson_arr_get(want, q), i)) -
					(double)score[i]));
		CHECK(cut[n - 1] && !cut[0]);
		all += tokens;
	}
	yyjson_arr_foreach(yyjson_obj_get(o, "ids"), i, k, v) ids += yyjson_arr_size(v);
	CHECK_INT(all, ids); /* with both tokens between */
	tap_note("%zu pairs: largest difference %.2g", nq * n, worst);
	CHECK(worst < 1e-4);
	free(queries);
	free(docs);
	model_unref(m);
	yyjson_doc_free(doc);
}

/* ---- the same as GGUF, where it is a bert whose positions have lost their first rows ---- */

static unsigned n_keys;

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

static void key(struct buf *b, const char *name, enum gguf_type type)
{
	n_keys++;
	pstr(b, str_c(name));
	p32(b, type);
}

static void number(struct buf *b, const char *name, uint32_t v)
{
	key(b, name, GGUF_U32);
	p32(b, v);
}

static void vocabulary(struct buf *b, yyjson_val *vocab)
{
	yyjson_val *v;
	size_t i, n;
	key(b, "tokenizer.ggml.tokens", GGUF_ARRAY), p32(b, GGUF_STRING);
	p64(b, yyjson_arr_size(vocab));
	yyjson_arr_foreach(vocab, i, n, v) pstr(b, json_val_str(yyjson_arr_get(v, 0)));
	key(b, "tokenizer.ggml.scores", GGUF_ARRAY), p32(b, GGUF_F32), p64(b, n);
	yyjson_arr_foreach(vocab, i, n, v)
	{
		float score = (float)yyjson_get_num(yyjson_arr_get(v, 1));
		buf_add(b, &score, 4);
	}
	key(b, "tokenizer.ggml.token_type", GGUF_ARRAY), p32(b, GGUF_I32), p64(b, n);
	for (i = 0; i < n; i++)
		p32(b, i == 3 ? 2 : i < 5 ? 3 : 1); /* <unk>; <s>, <pad>, </s>, <mask> */
}

static void gguf_name(struct str hf, char out[96])
{
	static const char *const names[][2] = {{"embeddings.word_embeddings", "token_embd"},
		{"embeddings.position_embeddings", "position_embd"},
		{"embeddings.token_type_embeddings", "token_types"},
		{"embeddings.LayerNorm", "token_embd_norm"}, {"attention.self.query", "attn_q"},
		{"attention.self.key", "attn_k"}, {"attention.self.value", "attn_v"},
		{"attention.output.dense", "attn_output"},
		{"attention.output.LayerNorm", "attn_output_norm"},
		{"intermediate.dense", "ffn_up"}, {"output.dense", "ffn_down"},
		{"output.LayerNorm", "layer_output_norm"}, {"classifier.dense", "cls"},
		{"classifier.out_proj", "cls.output"}};
	size_t dot = str_rchr(hf, '.'), layer = str_find(hf, S("layer."));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_find(hf, str_c(names[i][0])) != STR_NONE) {
			if (layer == STR_NONE)
				snprintf(out, 96, "%s.%.*s", names[i][1],
					STR_FMT(str_sub(hf, dot + 1, hf.n)));
			else
				snprintf(out, 96, "blk.%c.%s.%.*s", hf.p[layer + 6], names[i][1],
					STR_FMT(str_sub(hf, dot + 1, hf.n)));
			return;
		}
	CHECK(!"a name");
}

static void write_xlmr_gguf(yyjson_val *golden, const char *path)
{
	yyjson_val *names = yyjson_obj_get(golden, "names"), *k, *shape;
	struct buf meta = {0}, infos = {0}, data = {0}, out = {0};
	size_t i, n;
	float eps = 1e-5f;
	n_keys = 0;
	key(&meta, "general.architecture", GGUF_STRING), pstr(&meta, S("bert"));
	number(&meta, "bert.block_count", 2);
	number(&meta, "bert.context_length", 64);
	number(&meta, "bert.embedding_length", 64);
	number(&meta, "bert.feed_forward_length", 96);
	number(&meta, "bert.attention.head_count", 4);
	number(&meta, "bert.pooling_type", 4);
	key(&meta, "bert.attention.layer_norm_epsilon", GGUF_F32), buf_add(&meta, &eps, 4);
	key(&meta, "tokenizer.ggml.model", GGUF_STRING), pstr(&meta, S("t5"));
	vocabulary(
		&meta, yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(golden, "tokenizer"), "model"),
			       "vocab"));
	number(&meta, "tokenizer.ggml.bos_token_id", 0);
	number(&meta, "tokenizer.ggml.eos_token_id", 2);
	number(&meta, "tokenizer.ggml.unknown_token_id", 3);
	key(&meta, "tokenizer.ggml.add_bos_token", GGUF_BOOL), buf_putc(&meta, 1);
	yyjson_obj_foreach(names, i, n, k, shape)
	{
		char name[96];
		struct str hf = json_val_str(k);
		size_t values = values_of(shape), first = 0;
		uint64_t cols = yyjson_get_uint(yyjson_arr_get_last(shape)), rows = values / cols;
		gguf_name(hf, name);
		if (strcmp(name, "position_embd.weight") == 0)
			first = 2 * cols, rows -= 2;
		pstr(&infos, str_c(name));
		p32(&infos, (uint32_t)yyjson_arr_size(shape));
		p64(&infos, cols);
		if (yyjson_arr_size(shape) > 1)
			p64(&infos, rows);
		p32(&infos, 0);
		p64(&infos, data.n);
		for (size_t j = first; j < values; j++) {
			float x = formula(hf, j);
			buf_add(&data, &x, 4);
		}
		while (data.n % 32)
			buf_putc(&data, 0);
	}
	buf_addc(&out, "GGUF");
	p32(&out, 3);
	p64(&out, yyjson_obj_size(names));
	p64(&out, n_keys);
	buf_adds(&out, buf_str(&meta));
	buf_adds(&out, buf_str(&infos));
	while (out.n % 32)
		buf_putc(&out, 0);
	buf_adds(&out, buf_str(&data));
	CHECK_OK(os_write_atomic(path, buf_str(&out), &et), &et);
	buf_free(&meta);
	buf_free(&infos);
	buf_free(&data);
	buf_free(&out);
}

static void test_engine_rank__xlm_roberta_as_gguf(void)
{
	yyjson_doc *doc = xlmr_golden();
	yyjson_val *o = yyjson_doc_get_root(doc), *want = yyjson_obj_get(o, "scores");
	struct model *m;
	struct str *queries, *docs;
	char path[600];
	size_t n = texts(yyjson_obj_get(o, "docs"), &docs), nq;
	float score[32];
	bool cut[32];
	double worst = 0;
	nq = texts(yyjson_obj_get(o, "queries"), &queries);
	snprintf(path, sizeof path, "%s/xlmr.gguf", tap_tmpdir());
	write_xlmr_gguf(o, path);
	CHECK_OK(model_open(path, NULL, &m, &et), &et);
	CHECK_STR(str_c(model_info(m)->architecture), "bert");
	for (size_t q = 0; q < nq; q++) {
		CHECK_OK(rank_texts(m, queries[q], docs, n, 0, score, cut, NULL, NULL, &et), &et);
		for (size_t i = 0; i < n; i++)
			worst = fmax(worst,
				fabs(yyjson_get_num(yyjson_arr_get(yyjson_arr_get(want, q), i)) -
					(double)score[i]));
	}
	tap_note("%zu pairs: largest difference %.2g", nq * n, worst);
	CHECK(worst < 1e-4);
	free(queries);
	free(docs);
	model_unref(m);
	yyjson_doc_free(doc);
}

/* The same without its head embeds. */
static void test_engine_rank__xlm_roberta_embeds(void)
{
	yyjson_doc *doc = xlmr_golden();
	yyjson_val *o = yyjson_doc_get_root(doc), *want = yyjson_obj_get(o, "vectors");
	const char *dir = make_xlmr(o, "xlmr-embeds");
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_val *k, *v;
	struct str *docs;
	size_t i, n, count = texts(yyjson_obj_get(o, "docs"), &docs) - 1;
	float *out = malloc(count * 64 * sizeof *out);
	double worst = 0;
	struct model *m;
	jw_obj(&w);
	yyjson_obj_foreach(yyjson_obj_get(o, "config"), i, n, k, v)
	{
		jw_key_str(&w, json_val_str(k));
		if (str_eq_c(json_val_str(k), "architectures"))
			jw_raw(&w, S("[\"XLMRobertaModel\"]"));
		else
			jw_val(&w, v);
	}
	jw_end(&w);
	put(dir, "config.json", buf_str(&b));
	CHECK_ERR(model_open(dir, NULL, &m, &et), ERR_UNSUPPORTED); /* a head that is not used */
	CHECK(strstr(et.msg, "classifier") != NULL);
	/* its tensors without the head, under the inner names */
	yyjson_mut_doc *mut = yyjson_doc_mut_copy(doc, NULL);
	yyjson_mut_val *names = yyjson_mut_obj_get(yyjson_mut_doc_get_root(mut), "names");
	static const char *const parts[] = {
		"dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"};
	for (i = 0; i < ARRAY_LEN(parts); i++) {
		char name[64];
		snprintf(name, sizeof name, "classifier.%s", parts[i]);
		CHECK(yyjson_mut_obj_remove_key(names, name) != NULL);
	}
	yyjson_doc *small = yyjson_mut_doc_imut_copy(mut, NULL);
	make_xlmr(yyjson_doc_get_root(small), "xlmr-embeds");
	put(dir, "config.json", buf_str(&b));
	CHECK_OK(model_open(dir, NULL, &m, &et), &et);
	CHECK_OK(embed_texts(m, docs, count, false, out, NULL, NULL, NULL, &et), &et);
	for (i = 0; i < count * 64; i++)
		worst = fmax(worst,
			fabs(yyjson_get_num(yyjson_arr_get(yyjson_arr_get(want, i / 64), i % 64)) -
				(double)out[i]));
	tap_note("%zu texts: largest difference %.2g", count, worst);
	CHECK(worst < 1e-5);
	model_unref(m);
	free(out);
	free(docs);
	buf_free(&b);
	yyjson_doc_free(small);
	yyjson_mut_doc_free(mut);
	yyjson_doc_free(doc);
}

TESTS(T_LONG(test_engine_rank__scores_are_the_references, 120), T(test_engine_rank__xlm_roberta),
	T(test_engine_rank__xlm_roberta_embeds), T(test_engine_rank__xlm_roberta_as_gguf),
	T(test_engine_rank__documents_are_cut_and_queries_are_not),
	T(test_engine_rank__each_kind_does_its_own),
	T(test_engine_rank__what_is_no_cross_encoder_is_said))
