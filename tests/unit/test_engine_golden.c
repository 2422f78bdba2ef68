/* The engine beside what its references computed (make oracle records it). */
#include "tap.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/os.h"
#include "engine/engine.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>

static yyjson_doc *golden(const char *name)
{
	struct buf b = {0};
	yyjson_doc *doc;
	struct errtext et = {0};
	CHECK_OK(os_read_file(tap_source(name), 0, &b, &et), &et);
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	buf_free(&b);
	return doc;
}

static struct model *open_model(const char *path)
{
	struct model *m;
	struct errtext et = {0};
	CHECK_OK(model_open(path, &(struct model_options){.threads = 2}, &m, &et), &et);
	return m;
}

/* The reference's own error for this file, against the same weights in f16, is a mean KL of 0.010
 * nats: both round activations to 8 bits, each in its way. */
static void test_engine_golden__logits(void)
{
	yyjson_doc *doc = golden("tests/golden/engine/logits.json");
	yyjson_val *o = yyjson_doc_get_root(doc), *ids_json = yyjson_obj_get(o, "ids"),
		   *rows = yyjson_obj_get(o, "top_logprobs"), *row, *v;
	struct model *m = open_model(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"));
	size_t n = yyjson_arr_size(ids_json), vocab = model_info(m)->vocab, i, k, max, same = 0;
	int32_t ids[512];
	CHECK(n > 300 && n <= ARRAY_LEN(ids));
	yyjson_arr_foreach(ids_json, i, max, v) ids[i] = (int32_t)yyjson_get_int(v);
	struct tokens t = {0};
	struct errtext et = {0};
	CHECK_OK(tokenizer_encode(model_tokenizer(m), json_str(o, "text"), 0, &t, &et), &et);
	CHECK(t.n == n && memcmp(t.id, ids, n * sizeof *ids) == 0);
	tokens_free(&t);
	float *logits = malloc(n * vocab * sizeof *logits);
	CHECK(logits);
	CHECK_OK(model_logits(m, NULL, ids, n, logits, NULL, &et), &et);
	double kl = 0, worst = 0;
	yyjson_arr_foreach(rows, i, max, row)
	{
		const float *l = logits + i * vocab;
		double top = -INFINITY, sum = 0, part = 0;
		size_t best = 0;
		for (size_t j = 0; j < vocab; j++)
			if ((double)l[j] > top)
				top = (double)l[j], best = j;
		for (size_t j = 0; j < vocab; j++)
			sum += exp((double)l[j] - top);
		size_t n_top;
		yyjson_arr_foreach(row, k, n_top, v)
		{
			size_t id = (size_t)yyjson_get_int(yyjson_arr_get(v, 0));
			double want = yyjson_get_num(yyjson_arr_get(v, 1));
			double got = (double)l[id] - top - log(sum);
			part += exp(want) * (want - got); /* over the most likely tokens */
			if (k == 0)
				same += id == best;
		}
		kl += part;
		worst = fmax(worst, part);
	}
	tap_note("%zu tokens: mean KL %.4f, largest %.3f, same top %.1f %%", n, kl / (double)n,
		worst, 100.0 * (double)same / (double)n);
	CHECK(kl / (double)n < 0.03);
	CHECK(same >= n * 9 / 10);
	free(logits);
	model_unref(m);
	yyjson_doc_free(doc);
}

/* The smallest cosine of vectors to the reference's. */
static double least_cosine(const float *out, struct str f16_base64, size_t n, size_t dim)
{
	struct buf raw = {0};
	double least = 1;
	CHECK(base64_decode(&raw, f16_base64));
	CHECK_INT(raw.n, n * dim * 2);
	for (size_t i = 0; i < n; i++) {
		double dot = 0, a = 0, b = 0;
		for (size_t j = 0; j < dim; j++) {
			uint16_t h;
			memcpy(&h, raw.p + (i * dim + j) * 2, 2);
			double w = (double)kern_f16_to_f32(h), g = (double)out[i * dim + j];
			dot += w * g;
			a += w * w;
			b += g * g;
		}
		CHECK_NEAR(b, 1, 1e-4);
		least = fmin(least, dot / sqrt(a * b));
	}
	buf_free(&raw);
	return least;
}

/* Of all texts of a golden file, with a model, as queries or documents. */
static double embeddings(const char *file, const char *model, bool bf16, enum embed_as as,
	const char *key, char identity[65])
{
	yyjson_doc *doc = golden(file);
	yyjson_val *o = yyjson_doc_get_root(doc), *list = yyjson_obj_get(o, "texts"), *v;
	struct model *m;
	struct errtext et = {0};
	CHECK_OK(model_open(tap_model(model), &(struct model_options){.threads = 2, .bf16 = bf16},
			 &m, &et),
		&et);
	strcpy(identity, model_identity(m));
	size_t n = yyjson_arr_size(list), dim = model_info(m)->embedding_dim, i, max;
	struct str texts[256];
	CHECK(n >= 30 && n <= ARRAY_LEN(texts));
	yyjson_arr_foreach(list, i, max, v) texts[i] = json_val_str(v);
	float *out = malloc(n * dim * sizeof *out);
	CHECK(out);
	CHECK_OK(embed_texts_as(m, as, texts, n, false, out, NULL, NULL, NULL, &et), &et);
	double least = least_cosine(out, json_str(o, key), n, dim);
	tap_note("%s, %zu sentences%s: smallest cosine %.7f", model, n, bf16 ? " in bf16" : "",
		least);
	free(out);
	model_unref(m);
	yyjson_doc_free(doc);
	return least;
}

static double minilm(bool bf16, char identity[65])
{
	return embeddings("tests/golden/engine/embeddings.json", "minilm", bf16, EMBED_PLAIN,
		"vectors_f16_base64", identity);
}

static void test_engine_golden__embeddings(void)
{
	char f32[65], bf16[65];
	CHECK(minilm(false, f32) >= 0.9999);
	CHECK(minilm(true, bf16) >= 0.999);
	/* another space, unless the CPU lacks the instruction and nothing was rounded */
	CHECK((strcmp(f32, bf16) != 0) == kern_type_bf16(KERN_BF16));
}

/* Models that pull made out of ONNX files: CLS pooling and mean, with what stands before a query
 * and a document; beside ONNX Runtime on the file itself. */
static void with_prompts(const char *file, const char *model)
{
	char identity[65];
	CHECK(embeddings(file, model, false, EMBED_QUERY, "query_f16_base64", identity) >= 0.9999);
	CHECK(embeddings(file, model, false, EMBED_DOCUMENT, "document_f16_base64", identity) >=
		0.9999);
}

static void test_engine_golden__embeddings_of_bge(void)
{
	with_prompts("tests/golden/engine/embeddings-bge-small.json", "bge-small");
}

static void test_engine_golden__embeddings_of_e5(void)
{
	with_prompts("tests/golden/engine/embeddings-e5-small.json", "e5-small");
}

/* A quarter of a million pieces in many scripts; weights that were four bits. */
static void test_engine_golden__embeddings_of_multilingual_e5(void)
{
	with_prompts("tests/golden/engine/embeddings-multilingual-e5.json", "multilingual-e5");
}

TESTS(T_LONG(test_engine_golden__logits, 180), T_LONG(test_engine_golden__embeddings, 120),
	T_LONG(test_engine_golden__embeddings_of_bge, 120),
	T_LONG(test_engine_golden__embeddings_of_e5, 120),
	T_LONG(test_engine_golden__embeddings_of_multilingual_e5, 120))
