/* Small models of every decoder family, with weights from a formula, written as GGUF and as a
 * Hugging Face folder: logits beside llama.cpp's (golden data, see tools/oracle/families.py), and
 * the two layouts beside each other.
 *
 * CROFT_TINY_OUT=folder writes the GGUF files there, for the oracle. */
#include "tap.h"
#include "tiny_model.h"

/* ---- the tests ---- */

static float *logits_of(const char *path)
{
	struct model *m;
	int32_t ids[N_IDS];
	the_ids(ids);
	CHECK_OK(model_open(path, &(struct model_options){.threads = 2}, &m, &et), &et);
	float *out = malloc(N_IDS * VOCAB * sizeof *out);
	CHECK(out != NULL);
	CHECK_OK(model_logits(m, NULL, ids, N_IDS, out, NULL, &et), &et);
	model_unref(m);
	return out;
}

static void test_engine_families__both_layouts_give_the_same(void)
{
	const char *dir = tap_tmpdir();
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const struct family *f = &families[i];
		char gguf[4096], hf[4096];
		path_of(gguf, dir, f, ".gguf");
		path_of(hf, dir, f, "");
		write_gguf(f, gguf);
		write_folder(f, hf);
		float *a = logits_of(gguf), *b = logits_of(hf);
		double most = 0, size = 0;
		for (size_t k = 0; k < N_IDS * VOCAB; k++) {
			most = fmax(most, fabs((double)a[k] - (double)b[k]));
			size = fmax(size, fabs((double)a[k]));
		}
		tap_note("%s: largest logit %.3f, largest difference %.2g", f->name, size, most);
		CHECK(size > 0.5 && most < 1e-4);
		free(a);
		free(b);
	}
}

/* golden/engine/families.json: {"reference": ..., "llama": [[position, [logits...]], ...], ...} */
static void test_engine_families__logits_are_the_references(void)
{
	const char *out = getenv("CROFT_TINY_OUT"), *dir = out ? out : tap_tmpdir();
	struct buf text = {0};
	yyjson_doc *doc = NULL;
	if (!out) {
		CHECK_OK(os_read_file(
				 tap_source("tests/golden/engine/families.json"), 0, &text, &et),
			&et);
		CHECK_OK(json_parse(buf_str(&text), &doc, &et), &et);
	}
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const struct family *f = &families[i];
		char path[4096];
		path_of(path, dir, f, ".gguf");
		write_gguf(f, path);
		if (out)
			continue;
		float *got = logits_of(path);
		yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), f->name), *row;
		CHECK(yyjson_arr_size(rows) >= 3);
		double most = 0;
		size_t k, n;
		yyjson_arr_foreach(rows, k, n, row)
		{
			size_t at = yyjson_get_uint(yyjson_arr_get(row, 0));
			yyjson_val *want = yyjson_arr_get(row, 1);
			CHECK(at < N_IDS && yyjson_arr_size(want) == VOCAB);
			for (size_t c = 0; c < VOCAB; c++)
				most = fmax(most, fabs(yyjson_get_num(yyjson_arr_get(want, c)) -
							  (double)got[at * VOCAB + c]));
		}
		tap_note("%s: largest difference %.2g", f->name, most);
		CHECK(most < 1.5e-2); /* the keys and values are halves on both sides */
		free(got);
	}
	yyjson_doc_free(doc);
	buf_free(&text);
}

static void test_engine_families__what_is_missing_or_foreign_is_named(void)
{
	const char *dir = tap_tmpdir();
	struct model *m;
	struct family f = families[2];
	char path[4096];
	f.name = "mamba";
	path_of(path, dir, &f, ".gguf");
	write_gguf(&f, path);
	CHECK_ERR(model_open(path, NULL, &m, &et), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "'mamba'") && strstr(et.msg, "qwen3"));
	f = families[1];
	f.bias = false; /* a qwen2 without its biases */
	path_of(path, dir, &f, ".gguf");
	write_gguf(&f, path);
	CHECK_ERR(model_open(path, NULL, &m, &et), ERR_CORRUPT);
	CHECK(strstr(et.msg, "biases") != NULL);
	f = families[0];
	f.head_dim = 16;
	path_of(path, dir, &f, ".gguf");
	write_gguf(&f, path);
	struct buf b = {0};
	CHECK_OK(os_read_file(path, 0, &b, &et), &et);
	size_t at = str_find(buf_str(&b), S("llama.feed_forward_length")) + 25 + 4;
	b.p[at] ^= 32; /* the settings no longer agree with the tensors */
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	CHECK_ERR(model_open(path, NULL, &m, &et), ERR_CORRUPT);
	CHECK(strstr(et.msg, "ffn_gate") != NULL);
	buf_free(&b);
}

TESTS(T(test_engine_families__both_layouts_give_the_same),
	T(test_engine_families__logits_are_the_references),
	T(test_engine_families__what_is_missing_or_foreign_is_named))
