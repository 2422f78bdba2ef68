#include "tap.h"
#include "artifact/tree_int.h"
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct errtext et;

static const char *in_tmp(const char *rel)
{
	static char path[8][600];
	static unsigned i;
	char *p = path[i++ % 8];
	snprintf(p, sizeof path[0], "%s/%s", tap_tmpdir(), rel);
	return p;
}

static struct blobs *open_blobs(void)
{
	struct blobs *b;
	char url[700];
	snprintf(url, sizeof url, "file:%s", in_tmp("blobs"));
	CHECK_OK(blobs_open(url, &b, &et), &et);
	return b;
}

/* Bytes that repeat nowhere, the same on each machine. */
static void noise(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(seed >> 56);
	}
}

static void write_file(const char *rel, struct str bytes, mode_t mode)
{
	const char *path = in_tmp(rel);
	char parent[700];
	snprintf(parent, sizeof parent, "%s", path);
	*strrchr(parent, '/') = 0;
	CHECK_OK(os_mkdirs(parent, &et), &et);
	CHECK_OK(os_write_atomic(path, bytes, &et), &et);
	CHECK(chmod(path, mode) == 0);
}

static unsigned same_folders(const char *a, const char *b)
{
	char cmd[1500];
	snprintf(cmd, sizeof cmd, "diff -r '%s' '%s'", a, b);
	return system(cmd) == 0;
}

static size_t count_blobs(void)
{
	char cmd[700];
	unsigned n = 0;
	snprintf(cmd, sizeof cmd, "find '%s' -type f | wc -l", in_tmp("blobs"));
	FILE *f = popen(cmd, "r");
	CHECK(f && fscanf(f, "%u", &n) == 1);
	pclose(f);
	return n;
}

/* A folder with everything that can go wrong in a size, and names that are not ASCII. */
static void make_folder(const char *rel, uint8_t *big, size_t n)
{
	static const size_t sizes[] = {0, 1, TREE_CUT_MIN - 1, TREE_CUT_MIN, TREE_CUT_MIN + 1,
		TREE_CHUNK_MAX - 1, TREE_CHUNK_MAX, TREE_CHUNK_MAX + 1};
	char name[300];
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(name, sizeof name, "%s/sizes/%zu.bin", rel, sizes[i]);
		write_file(name, str_mk(big + i, sizes[i]), 0644);
	}
	snprintf(name, sizeof name, "%s/model/weights.safetensors", rel);
	write_file(name, str_mk(big, n), 0644);
	snprintf(name, sizeof name, "%s/model/run.sh", rel);
	write_file(name, S("#!/bin/sh\n"), 0755);
	snprintf(name, sizeof name, "%s/Grüße 你好.txt", rel);
	write_file(name, S("hello"), 0600);
	snprintf(name, sizeof name, "%s/.hidden/zeros", rel);
	uint8_t *zeros = calloc(1, 9 << 20);
	write_file(name, str_mk(zeros, 9 << 20), 0644);
	free(zeros);
}

static void test_artifact_tree__paths(void)
{
	static const char *const good[] = {
		"a", "a/b", "...", "a/..b", ".git/x", "a b", "ü", "a\\b"};
	static const char *const wrong[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a",
		"a/./b", "a/../../b", "a\nb", "a\x7f", "\xff", "a\xc0\xafz"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_OK(tree_path_check(str_c(good[i]), &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (tree_path_check(str_c(wrong[i]), &et) != ERR_INVALID)
			FAIL("\"%s\" passes", wrong[i]);
	CHECK_ERR(tree_path_check(S("a\0b"), &et), ERR_INVALID);
	char longer[2000];
	memset(longer, 'a', sizeof longer);
	CHECK_ERR(tree_path_check(str_mk(longer, 256), &et), ERR_INVALID);
	for (size_t i = 1; i < sizeof longer; i += 2)
		longer[i] = '/';
	CHECK_OK(tree_path_check(str_mk(longer, 2 * 64 - 1), &et), &et);
	CHECK_ERR(tree_path_check(str_mk(longer, 2 * 65 - 1), &et), ERR_INVALID);
}

static void test_artifact_tree__a_folder_there_and_back(void)
{
	struct blobs *b = open_blobs();
	size_t n = 37 << 20;
	uint8_t *big = malloc(n);
	noise(big, n, 1);
	make_folder("in", big, n);
	struct tree_sum one, four, again;
	struct tree_options o = {.threads = 1};
	CHECK_OK(tree_add(b, in_tmp("in"), &o, &one, &et), &et);
	size_t blobs = count_blobs();
	o.threads = 4;
	CHECK_OK(tree_add(b, in_tmp("in"), &o, &four, &et), &et);
	CHECK_STR(str_c(four.digest), one.digest);
	CHECK_INT(count_blobs(), blobs);
	CHECK_INT(one.files, 12);
	struct tree *t;
	CHECK_OK(tree_load(b, one.digest, &t, &et), &et);
	CHECK_INT(t->bytes, one.bytes);
	CHECK_OK(tree_verify(b, t, &o, &et), &et);
	CHECK_OK(tree_extract(b, t, in_tmp("out"), &o, &et), &et);
	CHECK(same_folders(in_tmp("in"), in_tmp("out")));
	struct stat st;
	CHECK(stat(in_tmp("out/model/run.sh"), &st) == 0 && st.st_mode & 0100);
	CHECK(stat(in_tmp("out/sizes/1.bin"), &st) == 0 && !(st.st_mode & 0111));
	CHECK(!os_exists(in_tmp("out/.croft-lock")));
	CHECK_OK(tree_add(b, in_tmp("out"), NULL, &again, &et), &et);
	CHECK_STR(str_c(again.digest), one.digest);
	CHECK_ERR(tree_extract(b, t, in_tmp("out"), &o, &et), ERR_CONFLICT);
	CHECK(mkdir(in_tmp("empty"), 0755) == 0);
	CHECK_OK(tree_extract(b, t, in_tmp("empty/"), &o, &et), &et);
	CHECK(same_folders(in_tmp("in"), in_tmp("empty")));
	tree_free(t);
	free(big);
	blobs_close(b);
}

static enum err read_some(void *ctx, void *to, size_t max, size_t *n, struct errtext *e)
{
	struct str *rest = ctx;
	*n = MIN(MIN(max, rest->n), (size_t)100003);
	memcpy(to, rest->p, *n);
	*rest = str_sub(*rest, *n, rest->n);
	return OK;
}

static void test_artifact_tree__a_writer_makes_what_a_folder_makes(void)
{
	struct blobs *b = open_blobs();
	size_t n = 23 << 20;
	uint8_t *big = malloc(n);
	noise(big, n, 2);
	write_file("in/big", str_mk(big, n), 0644);
	write_file("in/small", S("text"), 0644);
	write_file("in/none", S(""), 0644);
	struct tree_sum added, written, kept;
	CHECK_OK(tree_add(b, in_tmp("in"), NULL, &added, &et), &et);
	struct tree_writer *w;
	CHECK_OK(tree_writer_open(b, &w, &et), &et);
	struct str rest = str_mk(big, n);
	CHECK_OK(tree_writer_bytes(w, S("small"), S("text"), &et), &et);
	CHECK_OK(tree_writer_file(w, S("big"), false, read_some, &rest, &et), &et);
	CHECK_ERR(tree_writer_bytes(w, S("../x"), S("text"), &et), ERR_INVALID);
	CHECK_OK(tree_writer_bytes(w, S("none"), S(""), &et), &et);
	CHECK_OK(tree_writer_finish(w, &written, &et), &et);
	CHECK_STR(str_c(written.digest), added.digest);
	struct tree *t;
	CHECK_OK(tree_load(b, added.digest, &t, &et), &et);
	CHECK_OK(tree_writer_open(b, &w, &et), &et);
	for (size_t i = 0; i < t->n_files; i++)
		CHECK_OK(tree_writer_keep(w, &t->files[i], S(""), &et), &et);
	CHECK_OK(tree_writer_finish(w, &kept, &et), &et);
	CHECK_STR(str_c(kept.digest), added.digest);
	CHECK_OK(tree_writer_open(b, &w, &et), &et);
	CHECK_OK(tree_writer_bytes(w, S("a"), S("1"), &et), &et);
	CHECK_OK(tree_writer_bytes(w, S("a-"), S("1"), &et), &et);
	CHECK_OK(tree_writer_bytes(w, S("a/b"), S("1"), &et), &et);
	CHECK_ERR(tree_writer_finish(w, &kept, &et), ERR_INVALID); /* a file and a folder */
	/* every range of interest */
	const struct tree_file *f = tree_find(t, S("big"));
	CHECK(f && f->n_chunks > 5 && !tree_find(t, S("bigger")));
	uint8_t *got = malloc(n);
	size_t edge = 0;
	for (size_t i = 0; i < f->n_chunks; i++) {
		edge += f->chunks[i].size;
		size_t from = edge - 7, len = MIN((size_t)20, n - from);
		CHECK_OK(tree_read(b, f, from, got, len, &et), &et);
		CHECK(memcmp(got, big + from, len) == 0);
	}
	CHECK_OK(tree_read(b, f, 0, got, n, &et), &et);
	CHECK(memcmp(got, big, n) == 0);
	CHECK_OK(tree_read(b, f, n, got, 0, &et), &et);
	CHECK_ERR(tree_read(b, f, n, got, 1, &et), ERR_INVALID);
	CHECK_ERR(tree_read(b, f, 1, got, n, &et), ERR_INVALID);
	free(got);
	tree_free(t);
	free(big);
	blobs_close(b);
}

static void test_artifact_tree__chunks_have_the_promised_sizes(void)
{
	size_t n = 256u << 20, sum = 0, k = 0;
	uint8_t *p = malloc(n);
	noise(p, n, 3);
	for (size_t at = 0; at < n; k++) {
		size_t c = tree_cut(p + at, n - at);
		CHECK(c <= TREE_CHUNK_MAX);
		CHECK(c >= TREE_CUT_MIN || at + c == n);
		/* the place depends on what is before it only */
		if (at + c < n)
			CHECK_INT(tree_cut(p + at, c + 1), c);
		at += c;
		sum += c;
	}
	CHECK_INT(sum, n);
	tap_note("%zu chunks of %zu KiB on average", k, (n / k) >> 10);
	CHECK(n / k > 900 << 10 && n / k < 1400 << 10);
	free(p);
}

static void test_artifact_tree__an_insertion_costs_a_chunk_or_two(void)
{
	struct blobs *b = open_blobs();
	size_t n = 64 << 20;
	uint8_t *big = malloc(n + 100);
	noise(big, n, 4);
	write_file("a/data", str_mk(big, n), 0644);
	memmove(big + (n / 2) + 100, big + n / 2, n / 2);
	memset(big + n / 2, 'x', 100);
	write_file("b/data", str_mk(big, n + 100), 0644);
	write_file("b/new", S("new"), 0644);
	write_file("a/old", S("old"), 0644);
	struct tree_sum sa, sb;
	CHECK_OK(tree_add(b, in_tmp("a"), NULL, &sa, &et), &et);
	CHECK_OK(tree_add(b, in_tmp("b"), NULL, &sb, &et), &et);
	struct tree *ta, *tb;
	CHECK_OK(tree_load(b, sa.digest, &ta, &et), &et);
	CHECK_OK(tree_load(b, sb.digest, &tb, &et), &et);
	struct arena *arena = arena_new(0);
	struct tree_diff d;
	CHECK_OK(tree_diff(ta, tb, arena, &d, &et), &et);
	CHECK_INT(d.n, 3);
	CHECK_INT(d.deltas[0].change, TREE_CHANGED);
	CHECK_INT(d.deltas[1].change, TREE_ADDED);
	CHECK_INT(d.deltas[2].change, TREE_REMOVED);
	CHECK_STR(d.deltas[2].before->path, "old");
	CHECK_INT(d.shared + d.fresh, tb->bytes);
	CHECK_INT(d.deltas[0].shared, d.shared);
	tap_note("of 64 MiB with 100 bytes inserted, %llu KiB are new",
		(unsigned long long)d.fresh >> 10);
	CHECK(d.fresh < 2 * TREE_CHUNK_MAX + 100);
	CHECK_OK(tree_diff(ta, ta, arena, &d, &et), &et);
	CHECK(d.n == 0 && d.same == 2 && d.fresh == 0);
	arena_free(arena);
	tree_free(ta);
	tree_free(tb);
	free(big);
	blobs_close(b);
}

static void test_artifact_tree__only_canonical_json_is_a_tree(void)
{
	static const char one[] =
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
	char json[2000];
	struct tree *t;
	snprintf(json, sizeof json,
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5}]}",
		one);
	CHECK_OK(tree_parse(str_c(json), &t, &et), &et);
	CHECK(t->n_files == 1 && t->bytes == 5 && t->files[0].n_chunks == 1);
	tree_free(t);
	static const char *const wrong[] = {
		"{}",
		"[]",
		"null",
		"{\"croft\":\"tree/1\",\"files\":{}}",
		"{\"croft\":\"tree/2\",\"files\":[]}",
		"{\"croft\":\"tree/1\",\"files\":[]} ",
		"{\"files\":[],\"croft\":\"tree/1\"}",
		"{\"croft\":\"tree/1\",\"files\":[],\"x\":1}",
		"{\"croft\":\"tree/1\",\"files\":[1]}",
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"a\",\"sha256\":\"%s\",\"size\":-1}]}",
		"{\"croft\":\"tree/"
		"1\",\"files\":[{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5.0}]}",
		"{\"croft\":\"tree/"
		"1\",\"files\":[{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5000000}]}",
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"../"
		"a\",\"sha256\":\"%s\",\"size\":5}]}",
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"/a\",\"sha256\":\"%s\",\"size\":5}]}",
		"{\"croft\":\"tree/"
		"1\",\"files\":[{\"path\":\"a\\u0000b\",\"sha256\":\"%s\",\"size\":5}]}",
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5},"
		"{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5}]}",
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"b\",\"sha256\":\"%s\",\"size\":5},"
		"{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5}]}",
		"{\"croft\":\"tree/1\",\"files\":[{\"path\":\"a\",\"sha256\":\"%s\",\"size\":5},"
		"{\"path\":\"a/b\",\"sha256\":\"%s\",\"size\":5}]}",
		"{\"croft\":\"tree/"
		"1\",\"files\":[{\"executable\":false,\"path\":\"a\",\"sha256\":\"%s\","
		"\"size\":5}]}",
		"{\"croft\":\"tree/"
		"1\",\"files\":[{\"chunks\":[{\"id\":\"%s\",\"size\":5}],\"path\":\"a\","
		"\"sha256\":\"%s\",\"size\":5}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(json, sizeof json, wrong[i], one, one);
#pragma GCC diagnostic pop
		if (!tree_parse(str_c(json), &t, &et))
			FAIL("taken: %s", json);
	}
}

static enum err count_one(void *ctx, const uint8_t id[SHA256_BYTES], uint64_t size)
{
	char hex[SHA256_HEX + 1];
	hex_encode(id, SHA256_BYTES, hex);
	return map_put(ctx, str_c(hex), ctx) ? OK : ERR_NOMEM;
}

static void damage(const char *hex)
{
	char path[700];
	snprintf(path, sizeof path, "%s/%.2s/%s", in_tmp("blobs"), hex, hex + 2);
	CHECK(chmod(path, 0600) == 0);
	int fd = open(path, O_RDWR);
	char c;
	CHECK(fd >= 0 && pread(fd, &c, 1, 3) == 1);
	c ^= 8;
	CHECK(pwrite(fd, &c, 1, 3) == 1);
	close(fd);
}

static void test_artifact_tree__damage_is_found_and_a_pull_goes_on(void)
{
	struct blobs *b = open_blobs();
	size_t n = 20 << 20;
	uint8_t *big = malloc(n);
	noise(big, n, 5);
	write_file("in/big", str_mk(big, n), 0644);
	write_file("in/small", S("text of a file"), 0644);
	struct tree_sum sum;
	struct tree *t;
	CHECK_OK(tree_add(b, in_tmp("in"), NULL, &sum, &et), &et);
	CHECK_OK(tree_load(b, sum.digest, &t, &et), &et);
	struct map m = {0};
	CHECK_OK(tree_walk(b, sum.digest, count_one, &m, &et), &et);
	CHECK_INT(m.n, count_blobs());
	/* one after the other damaged: found, and nothing is under the target's name */
	struct str hex;
	void *v;
	for (size_t i = 0; map_next(&m, &i, &hex, &v);) {
		struct tree *again;
		damage(hex.p);
		if (str_eq_c(hex, sum.digest)) {
			CHECK_ERR(tree_load(b, sum.digest, &again, &et), ERR_CORRUPT);
		} else {
			CHECK_ERR(tree_verify(b, t, NULL, &et), ERR_CORRUPT);
			CHECK_ERR(tree_extract(b, t, in_tmp("out"), NULL, &et), ERR_CORRUPT);
			CHECK(!os_exists(in_tmp("out")));
			char cmd[700];
			snprintf(cmd, sizeof cmd, "rm -r %s/.out.croft-*", tap_tmpdir());
			CHECK(system(cmd) == 0);
		}
		damage(hex.p); /* and back */
	}
	/* the last chunk is damaged, so all before it get written; then those are taken from the
	 * store: the next try needs none of them again */
	const struct tree_file *f = tree_find(t, S("big"));
	struct tree_options alone = {.threads = 1};
	char last[SHA256_HEX + 1], other[SHA256_HEX + 1];
	hex_encode(f->chunks[f->n_chunks - 1].id, SHA256_BYTES, last);
	damage(last);
	CHECK_ERR(tree_extract(b, t, in_tmp("out"), &alone, &et), ERR_CORRUPT);
	damage(last);
	for (size_t i = 0; i + 1 < f->n_chunks; i++) {
		hex_encode(f->chunks[i].id, SHA256_BYTES, other);
		CHECK_OK(blob_delete(b, other, &et), &et);
	}
	CHECK_ERR(tree_verify(b, t, NULL, &et), ERR_NOT_FOUND);
	CHECK_OK(tree_extract(b, t, in_tmp("out"), &alone, &et), &et);
	CHECK(same_folders(in_tmp("in"), in_tmp("out")));
	map_free(&m);
	tree_free(t);
	free(big);
	blobs_close(b);
}

static void test_artifact_tree__links_and_odd_files_are_said(void)
{
	struct blobs *b = open_blobs();
	struct tree_sum sum;
	struct tree_options follow = {.follow_links = true};
	write_file("in/a", S("a"), 0644);
	write_file("secret", S("s"), 0644);
	CHECK(symlink("a", in_tmp("in/inside")) == 0);
	CHECK_OK(tree_add(b, in_tmp("in"), NULL, &sum, &et), &et);
	CHECK_INT(sum.files, 2);
	CHECK(symlink("../secret", in_tmp("in/outside")) == 0);
	CHECK_ERR(tree_add(b, in_tmp("in"), NULL, &sum, &et), ERR_FORBIDDEN);
	CHECK_OK(tree_add(b, in_tmp("in"), &follow, &sum, &et), &et);
	CHECK_INT(sum.files, 3);
	CHECK(symlink(".", in_tmp("in/loop")) == 0);
	CHECK_ERR(tree_add(b, in_tmp("in"), &follow, &sum, &et), ERR_INVALID);
	CHECK(unlink(in_tmp("in/loop")) == 0 && symlink("gone", in_tmp("in/loop")) == 0);
	CHECK_ERR(tree_add(b, in_tmp("in"), &follow, &sum, &et), ERR_NOT_FOUND);
	CHECK(unlink(in_tmp("in/loop")) == 0 && mkfifo(in_tmp("in/loop"), 0600) == 0);
	CHECK_ERR(tree_add(b, in_tmp("in"), &follow, &sum, &et), ERR_INVALID);
	CHECK(mkdir(in_tmp("none"), 0755) == 0);
	CHECK_ERR(tree_add(b, in_tmp("none"), NULL, &sum, &et), ERR_INVALID);
	CHECK_ERR(tree_add(b, in_tmp("nowhere"), NULL, &sum, &et), ERR_NOT_FOUND);
	CHECK_OK(tree_add(b, in_tmp("secret"), NULL, &sum, &et), &et);
	CHECK_INT(sum.files, 1);
	blobs_close(b);
}

TESTS(T(test_artifact_tree__paths), T(test_artifact_tree__a_folder_there_and_back),
	T(test_artifact_tree__a_writer_makes_what_a_folder_makes),
	T(test_artifact_tree__chunks_have_the_promised_sizes),
	T(test_artifact_tree__an_insertion_costs_a_chunk_or_two),
	T(test_artifact_tree__only_canonical_json_is_a_tree),
	T(test_artifact_tree__damage_is_found_and_a_pull_goes_on),
	T(test_artifact_tree__links_and_odd_files_are_said))
