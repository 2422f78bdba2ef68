/* GGUF and safetensors from outside: what is right loads, what is hostile is refused and says why.
 */
#include "tap.h"
#include "base/os.h"
#include "engine/gguf.h"
#include "engine/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A GGUF file in memory. */
static void put32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, 4);
}

static void put64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, 8);
}

static void put_str(struct buf *b, const char *s)
{
	put64(b, strlen(s));
	buf_addc(b, s);
}

static void put_tensor(struct buf *b, const char *name, uint64_t d0, uint32_t type, uint64_t off)
{
	put_str(b, name);
	put32(b, 1);
	put64(b, d0);
	put32(b, type);
	put64(b, off);
}

static void head(struct buf *b, uint64_t tensors, uint64_t values)
{
	buf_addc(b, "GGUF");
	put32(b, 3);
	put64(b, tensors);
	put64(b, values);
}

static void pad32(struct buf *b)
{
	while (b->n % 32)
		buf_putc(b, 0);
}

static void test_engine_files__gguf_values_and_tensors(void)
{
	struct buf b = {0};
	struct errtext et = {0};
	head(&b, 2, 5);
	put_str(&b, "general.architecture");
	put32(&b, GGUF_STRING);
	put_str(&b, "llama");
	put_str(&b, "i8");
	put32(&b, GGUF_I8);
	buf_putc(&b, -3);
	put_str(&b, "flag");
	put32(&b, GGUF_BOOL);
	buf_putc(&b, 1);
	put_str(&b, "words");
	put32(&b, GGUF_ARRAY);
	put32(&b, GGUF_STRING);
	put64(&b, 3);
	put_str(&b, "a");
	put_str(&b, "");
	put_str(&b, "ccc");
	put_str(&b, "nums");
	put32(&b, GGUF_ARRAY);
	put32(&b, GGUF_F32);
	put64(&b, 2);
	float f[2] = {1.5f, -2};
	buf_add(&b, f, 8);
	put_tensor(&b, "x", 8, KERN_F32, 0);
	put_tensor(&b, "y", 32, KERN_Q8_0, 32);
	pad32(&b);
	for (int i = 0; i < 66; i++)
		buf_putc(&b, (char)i);
	struct gguf *g = NULL;
	CHECK_OK(gguf_parse(b.p, b.n, "t.gguf", &g, &et), &et);
	CHECK_STR(gguf_str(g, "general.architecture"), "llama");
	CHECK_INT(gguf_i64(g, "i8", 0), -3);
	CHECK_INT(gguf_i64(g, "general.architecture", 7), 7);
	CHECK(gguf_bool(g, "flag", false));
	struct gguf_array a;
	CHECK(gguf_array(g, "words", &a) && a.n == 3);
	CHECK_STR(a.strs[2], "ccc");
	CHECK(gguf_array(g, "nums", &a));
	CHECK_NEAR(gguf_at_f64(&a, 1), -2, 0);
	CHECK_INT(gguf_n_tensors(g), 2);
	CHECK(gguf_find(g, "z") == NULL);
	const struct gguf_tensor *t = gguf_find(g, "y");
	CHECK_INT(t->bytes, 34);
	CHECK_INT(((const char *)t->data)[0], 32);
	gguf_free(g);
	for (size_t n = 0; n < b.n; n++) /* cut anywhere: an error, with text */
		if (!gguf_parse(b.p, n, "t.gguf", &g, &et))
			FAIL("a file cut at %zu loads", n);
	buf_free(&b);
}

static void test_engine_files__gguf_overlap_is_refused(void)
{
	struct buf b = {0};
	struct errtext et = {0};
	head(&b, 2, 0);
	put_tensor(&b, "x", 16, KERN_F32, 0);
	put_tensor(&b, "y", 8, KERN_F32, 32);
	pad32(&b);
	for (int i = 0; i < 128; i++)
		buf_putc(&b, 0);
	struct gguf *g;
	CHECK_ERR(gguf_parse(b.p, b.n, "t.gguf", &g, &et), ERR_CORRUPT);
	CHECK_STR(str_c(et.msg), "t.gguf: tensors x and y overlap");
	buf_free(&b);
}

static void test_engine_files__unsupported_types_are_named(void)
{
	struct buf b = {0};
	struct errtext et = {0};
	head(&b, 1, 0);
	put_tensor(&b, "x", 256, 10, 0);
	struct gguf *g;
	CHECK_ERR(gguf_parse(b.p, b.n, "t.gguf", &g, &et), ERR_UNSUPPORTED);
	CHECK(str_find(str_c(et.msg), S("Q2_K")) != STR_NONE);
	buf_free(&b);
}

static enum err open_any(const char *path, struct errtext *et)
{
	struct str p = str_c(path);
	if (str_ends(p, S(".gguf"))) {
		struct gguf *g;
		enum err e = gguf_open(path, NULL, &g, et);
		if (!e)
			gguf_free(g);
		return e;
	}
	struct safetensors *s;
	enum err e = safetensors_open(path, NULL, &s, et);
	if (!e)
		safetensors_free(s);
	return e;
}

struct tally {
	unsigned loads, refused;
};

static enum err one(void *ctx, const char *path, enum err err, const char *reason)
{
	struct tally *t = ctx;
	struct errtext et = {0};
	struct str base = str_sub(str_c(path), str_rchr(str_c(path), '/') + 1, SIZE_MAX);
	enum err e = open_any(path, &et);
	if (str_starts(base, S("ok"))) {
		if (e)
			FAIL("%s: %s", path, err_text(e, &et));
		t->loads++;
	} else {
		if (!e)
			FAIL("%s loads", path);
		if (!et.msg[0])
			FAIL("%s: refused without a reason", path);
		tap_note("%s",
			et.msg + (str_starts(str_c(et.msg), str_c(path)) ? strlen(path) + 2 : 0));
		t->refused++;
	}
	return OK;
}

static void test_engine_files__hostile_files_are_refused(void)
{
	const char *tar = tap_shared("badinput/badinput.tar.xz");
	const char *dir = tap_tmpdir();
	pid_t pid = fork();
	if (!pid) {
		execlp("tar", "tar", "-C", dir, "-xJf", tar, "gguf", "safetensors", "pickle",
			(char *)0);
		_exit(127);
	}
	int status;
	waitpid(pid, &status, 0);
	if (status)
		SKIP("tar cannot unpack %s", tar);
	struct tally t = {0};
	struct errtext et = {0};
	CHECK_OK(os_walk(dir, false, one, &t, &et), &et);
	CHECK_INT(t.loads, 2);
	CHECK(t.refused >= 26);
}

static void test_engine_files__pickles_are_refused_whatever_their_name(void)
{
	struct errtext et = {0};
	struct safetensors *s;
	CHECK_ERR(safetensors_parse("\x80\x02}q\x00.--------", 13, "model.safetensors", &s, &et),
		ERR_UNSUPPORTED);
	CHECK(str_find(str_c(et.msg), S("pickle")) != STR_NONE);
	CHECK_ERR(safetensors_parse("PK\3\4............", 16, "pytorch_model.bin", &s, &et),
		ERR_UNSUPPORTED);
	CHECK(str_find(str_c(et.msg), S("pickle")) != STR_NONE);
}

TESTS(T(test_engine_files__gguf_values_and_tensors), T(test_engine_files__gguf_overlap_is_refused),
	T(test_engine_files__unsupported_types_are_named),
	T(test_engine_files__hostile_files_are_refused),
	T(test_engine_files__pickles_are_refused_whatever_their_name))
