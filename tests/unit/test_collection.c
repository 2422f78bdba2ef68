/* What collections keep and read: ids, vectors as bytes, patches of payloads, files of vectors. */
#include "tap.h"
#include "collection/collection_import.h"
#include "collection/collection_int.h"
#include "collection/item_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;

/* ---- ids ---- */

static struct item_id id_of(const char *text)
{
	struct item_id id;
	CHECK_OK(item_id_parse(str_c(text), &id, &et), &et);
	return id;
}

static void test_collection_id__kinds_sort_and_come_back(void)
{
	static const char *const in_order[] = {"0", "1", "9", "10", "255", "256",
		"18446744073709551615", "00000000-0000-0000-0000-000000000001",
		"5c56c793-69f3-4fbf-87e6-c4bf54c28c26", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"-1", "007", "18446744073709551616", "a", "a b", "b", "\xc3\xa9"};
	for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
		struct item_id id = id_of(in_order[i]);
		struct buf back = {0};
		item_id_text(item_id_bytes(&id), &back);
		CHECK_STR(buf_str(&back), in_order[i]);
		buf_free(&back);
		for (size_t j = 0; j < i; j++) {
			struct item_id low = id_of(in_order[j]);
			CHECK(str_cmp(item_id_bytes(&low), item_id_bytes(&id)) < 0);
		}
	}
	struct item_id dashed = id_of("5c56c793-69f3-4fbf-87e6-c4bf54c28c26"),
		       plain = id_of("5C56C79369F34FBF87E6C4BF54C28C26");
	CHECK(str_eq(item_id_bytes(&dashed), item_id_bytes(&plain)));
}

static void test_collection_id__bad_ones(void)
{
	struct item_id id;
	char longest[COLLECTION_ID_MAX + 1];
	memset(longest, 'x', sizeof longest);
	CHECK_OK(item_id_parse(str_mk(longest, COLLECTION_ID_MAX - 1), &id, &et), &et);
	CHECK_ERR(item_id_parse(str_mk(longest, COLLECTION_ID_MAX), &id, &et), ERR_INVALID);
	CHECK_ERR(item_id_parse(S(""), &id, &et), ERR_INVALID);
	CHECK_ERR(item_id_parse(S("a\0b"), &id, &et), ERR_INVALID);
	CHECK_ERR(item_id_parse(S("\xff"), &id, &et), ERR_INVALID);
}

/* ---- vectors as bytes ---- */

static const struct space spaces[] = {
	{S("a"), 3, DISTANCE_COSINE, S(""), S("")}, {S("b"), 2, DISTANCE_L2, S(""), S("")}};

static void test_collection_code__any_damage_is_told_or_harmless(void)
{
	static const float x[] = {1, -2, 3.5f}, y[] = {0, 1e-30f};
	struct item_vector v[] = {{S("b"), y, 2, 1}, {S("a"), x, 3, 0}}, *got = NULL;
	struct buf b = {0};
	struct arena *a = arena_new(0);
	size_t n;
	item_code(v, 2, &b);
	CHECK_OK(item_decode(buf_str(&b), spaces, 2, a, &got, &n, &et), &et);
	CHECK_INT(n, 2);
	CHECK(str_eq_c(got[0].space, "b") && !memcmp(got[0].v, y, sizeof y));
	CHECK(str_eq_c(got[1].space, "a") && !memcmp(got[1].v, x, sizeof x));
	for (size_t i = 1; i < b.n; i++)
		CHECK_ERR(item_decode(str_mk(b.p, i), spaces, 2, a, &got, &n, &et), ERR_CORRUPT);
	for (size_t i = 0; i < 14; i++) /* the heads; a number may be any */
		for (int bit = 0; bit < 8; bit++) {
			b.p[i] ^= (char)(1 << bit);
			enum err e = item_decode(buf_str(&b), spaces, 2, a, &got, &n, &et);
			/* the place of another space: one that was dropped, passed over */
			CHECK(e == ERR_CORRUPT || (!e && (i >= 8 || (i == 2 && n == 1))));
			b.p[i] ^= (char)(1 << bit);
		}
	CHECK_OK(item_decode(S(""), spaces, 2, a, &got, &n, &et), &et);
	CHECK_INT(n, 0);
	buf_free(&b);
	arena_free(a);
}

/* ---- payloads ---- */

static void patched(const char *payload, struct payload_patch p, const char *want)
{
	struct buf b = {0};
	CHECK_OK(payload_apply(str_c(payload), &p, &b, &et), &et);
	CHECK_STR(buf_str(&b), want);
	buf_free(&b);
}

#define PATCH(...) ((struct payload_patch){__VA_ARGS__})

static void test_collection_payload__patches(void)
{
	const char *old = "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":null}}";
	static const struct str keys[] = {S("a"), S("b.c"), S("none"), S("b.none.x")};
	static const struct str dotted[] = {S("\"x.y\".z")};
	patched(old, PATCH(PAYLOAD_SET, .object = S("{\"a\":2,\"e\":\"x\"}")),
		"{\"b\":{\"c\":[1,2],\"d\":null},\"a\":2,\"e\":\"x\"}");
	patched(old, PATCH(PAYLOAD_SET, .object = S("{\"a\":null}")),
		"{\"b\":{\"c\":[1,2],\"d\":null}}");
	patched(old, PATCH(PAYLOAD_SET, .object = S("{\"n\":1}"), .path = S("b.new")),
		"{\"a\":1,\"b\":{\"c\":[1,2],\"d\":null,\"new\":{\"n\":1}}}");
	patched(old, PATCH(PAYLOAD_SET, .object = S("{\"n\":1}"), .path = S("a")),
		"{\"b\":{\"c\":[1,2],\"d\":null},\"a\":{\"n\":1}}");
	patched(old, PATCH(PAYLOAD_OVERWRITE, .object = S("{\"z\":[]}")), "{\"z\":[]}");
	patched(old, PATCH(PAYLOAD_CLEAR), "{}");
	patched(old, PATCH(PAYLOAD_UNSET, .keys = keys, .n_keys = 4), "{\"b\":{\"d\":null}}");
	patched("{\"x.y\":{\"z\":1,\"w\":2}}", PATCH(PAYLOAD_UNSET, .keys = dotted, .n_keys = 1),
		"{\"x.y\":{\"w\":2}}");
}

static void test_collection_payload__bad_patches(void)
{
	static const struct str bad[] = {S("a[0].b"), S("\"open"), S("a..b")};
	struct buf b = {0};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct payload_patch set = {PAYLOAD_SET, .object = S("{\"n\":1}"), .path = bad[i]},
				     unset = {PAYLOAD_UNSET, .keys = &bad[i], .n_keys = 1};
		CHECK_ERR(payload_apply(S("{\"a\":{\"b\":1}}"), &set, &b, &et), ERR_INVALID);
		CHECK_ERR(payload_apply(S("{\"a\":{\"b\":1}}"), &unset, &b, &et), ERR_INVALID);
	}
	struct payload_patch list = PATCH(PAYLOAD_SET, .object = S("[1]"));
	CHECK_ERR(payload_apply(S("{}"), &list, &b, &et), ERR_INVALID);
	struct buf small = {.max = 10};
	struct payload_patch much = PATCH(PAYLOAD_SET, .object = S("{\"n\":\"0123456789\"}"));
	CHECK_ERR(payload_apply(S("{}"), &much, &small, &et), ERR_TOO_LARGE);
	buf_free(&small);
	buf_free(&b);
}

/* ---- files of vectors ---- */

static const char *file_of(const char *name, const void *bytes, size_t n)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/%s", tap_tmpdir(), name);
	FILE *f = fopen(path, "wb");
	CHECK(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
	return path;
}

static void reads(const char *path, const char *want)
{
	struct vector_file *x = NULL;
	struct buf b = {0};
	size_t n = 1, all = 0;
	CHECK_OK(vector_file_open(str_c(path), NULL, &x, &et), &et);
	while (n) {
		struct buf part = {0};
		CHECK_OK(vector_file_items(x, 7, 1, 1 << 20, &part, &n, &et), &et);
		all += n;
		buf_adds(&b, buf_str(&part));
		buf_free(&part);
	}
	CHECK_STR(buf_str(&b), want);
	CHECK_INT(all, vector_file_at(x));
	vector_file_close(x);
	buf_free(&b);
}

static size_t npy(char *to, const char *dict, const void *data, size_t n)
{
	memcpy(to, "\x93NUMPY\x01\x00", 8);
	uint16_t len = (uint16_t)strlen(dict);
	memcpy(to + 8, &len, 2);
	memcpy(to + 10, dict, len);
	memcpy(to + 10 + len, data, n);
	return 10u + len + n;
}

#define NPY(type) "{'descr': '" type "', 'fortran_order': False, 'shape': (2, 3), }\n"
static const char two_rows[] =
	"{\"id\":7,\"vector\":[1,-2.5,0]}{\"id\":8,\"vector\":[0.25,65504,-1]}";

static void test_collection_import__formats(void)
{
	static const float f[] = {1, -2.5f, 0, 0.25f, 65504, -1};
	static const double d[] = {1, -2.5, 0, 0.25, 65504, -1};
	static const uint16_t h[] = {0x3c00, 0xc100, 0, 0x3400, 0x7bff, 0xbc00};
	char b[1024];
	reads(file_of("a.npy", b, npy(b, NPY("<f4"), f, sizeof f)), two_rows);
	reads(file_of("b.npy", b, npy(b, NPY("<f8"), d, sizeof d)), two_rows);
	reads(file_of("c.npy", b, npy(b, NPY("<f2"), h, sizeof h)), two_rows);
	uint32_t head[2] = {2, 3};
	memcpy(b, head, 8);
	memcpy(b + 8, f, sizeof f);
	reads(file_of("d.fbin", b, 8 + sizeof f), two_rows);
	for (int i = 0; i < 2; i++) {
		memcpy(b + 16 * i, &head[1], 4);
		memcpy(b + 16 * i + 4, f + 3 * i, 12);
	}
	reads(file_of("e.fvecs", b, 32), two_rows);
	static const char lines[] = "{\"id\":1}\n\n  {\"id\":2}\r\n{\"id\":3}";
	struct vector_file *x;
	struct buf out = {0};
	size_t n;
	CHECK_OK(
		vector_file_open(str_c(file_of("f.jsonl", lines, sizeof lines - 1)), NULL, &x, &et),
		&et);
	CHECK_OK(vector_file_items(x, 0, 10, 1 << 20, &out, &n, &et), &et);
	CHECK_STR(buf_str(&out), "{\"id\":1},{\"id\":2},{\"id\":3}");
	vector_file_close(x);
	buf_free(&out);
}

static enum err read_whole(const char *path)
{
	struct vector_file *x;
	struct buf out = {0};
	size_t n = 1;
	enum err e = vector_file_open(str_c(path), NULL, &x, &et);
	if (e)
		return e;
	while (!e && n)
		e = vector_file_items(x, 0, 100, 1 << 20, &out, &n, &et);
	vector_file_close(x);
	buf_free(&out);
	return e;
}

static void test_collection_import__damaged_files_are_told(void)
{
	static const float f[6];
	static const char *const dicts[] = {"{'descr': '<i4', 'shape': (2, 3)}",
		"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}",
		"{'descr': '<f4', 'shape': (6,)}", "{'descr': '<f4', 'shape': (2, 0)}",
		"{'descr': '<f4', 'shape': (2, 5000)}", "{'shape': (2, 3)}", ""};
	char b[1024];
	for (size_t i = 0; i < ARRAY_LEN(dicts); i++)
		CHECK_ERR(read_whole(file_of("x.npy", b, npy(b, dicts[i], f, sizeof f))),
			ERR_CORRUPT);
	size_t n = npy(b, NPY("<f4"), f, sizeof f);
	for (size_t i = 0; i < n; i++)
		CHECK_ERR(read_whole(file_of("y.npy", b, i)), ERR_CORRUPT);
	uint32_t head[] = {1, 2, 0, 0};
	for (size_t i = 1; i < sizeof head; i++)
		CHECK_ERR(read_whole(file_of("z.fbin", head, i)), ERR_CORRUPT);
	uint32_t row[] = {2, 0, 0, 99999};
	CHECK_ERR(read_whole(file_of("z.fvecs", row, sizeof row)), ERR_CORRUPT);
	CHECK_ERR(read_whole(file_of("z.fvecs", row, 7)), ERR_CORRUPT);
	CHECK_ERR(read_whole(file_of("z.txt", row, 4)), ERR_UNSUPPORTED);
	CHECK_ERR(read_whole("/none/at.all.npy"), ERR_NOT_FOUND);
}

TESTS(T(test_collection_id__kinds_sort_and_come_back), T(test_collection_id__bad_ones),
	T(test_collection_code__any_damage_is_told_or_harmless),
	T(test_collection_payload__patches), T(test_collection_payload__bad_patches),
	T(test_collection_import__formats), T(test_collection_import__damaged_files_are_told))
