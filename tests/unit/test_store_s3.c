/* The S3 backend: signatures against Amazon's published examples, addresses, answers; and what
 * every blob backend promises, run over files and over the server of $CROFT_TEST_S3_URL (tests/e2e/
 * s3.t starts one, with and without injected faults). */
#include "tap.h"
#include "base/clock.h"
#include "base/map.h"
#include "store/s3_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct errtext et;

/* ---- signing ---- */

static void check_signature(const char *method, struct str path, struct str query,
	const struct http_pair *headers, size_t n, const char *payload, const char *want)
{
	struct s3_url url = {.region = (char[]){"us-east-1"},
		.key = (char[]){"AKIAIOSFODNN7EXAMPLE"},
		.secret = (char[]){"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}};
	struct s3_signing s = {&url, method, path, query, headers, n, payload, "20130524T000000Z"};
	struct buf out = {0};
	s3_sign(&s, &out);
	if (!str_ends(buf_str(&out), str_c(want)))
		FAIL("%s %.*s: %s", method, STR_FMT(path), buf_c(&out));
	CHECK(str_find(buf_str(&out), str_c(url.secret)) == STR_NONE);
	buf_free(&out);
}

/* "Examples: signature calculations in AWS signature version 4", in the S3 API reference. */
static void test_store_s3__amazons_examples(void)
{
	static const char empty[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	static const char put[] =
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	struct http_pair get_h[] = {{S("host"), S("examplebucket.s3.amazonaws.com")},
		{S("range"), S("bytes=0-9")}, {S("x-amz-content-sha256"), str_c(empty)},
		{S("x-amz-date"), S("20130524T000000Z")}};
	check_signature("GET", S("/test.txt"), S(""), get_h, 4, empty,
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	struct http_pair put_h[] = {{S("date"), S("Fri, 24 May 2013 00:00:00 GMT")},
		{S("host"), S("examplebucket.s3.amazonaws.com")},
		{S("x-amz-content-sha256"), str_c(put)}, {S("x-amz-date"), S("20130524T000000Z")},
		{S("x-amz-storage-class"), S("REDUCED_REDUNDANCY")}};
	check_signature("PUT", S("/test%24file.text"), S(""), put_h, 5, put,
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	struct http_pair list_h[] = {{S("host"), S("examplebucket.s3.amazonaws.com")},
		{S("x-amz-content-sha256"), str_c(empty)},
		{S("x-amz-date"), S("20130524T000000Z")}};
	check_signature("GET", S("/"), S("lifecycle="), list_h, 3, empty,
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	check_signature("GET", S("/"), S("max-keys=2&prefix=J"), list_h, 3, empty,
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void test_store_s3__addresses(void)
{
	struct s3_url u;
	CHECK_OK(s3_url_parse("//AK:a%2Fb%3A%40c@localhost:7070/bucket/p/q/?region=eu&tls=false",
			 &u, &et),
		&et);
	CHECK_STR(str_c(u.key), "AK");
	CHECK_STR(str_c(u.secret), "a/b:@c");
	CHECK_STR(str_c(u.host), "localhost:7070");
	CHECK_STR(str_c(u.bucket), "bucket");
	CHECK_STR(str_c(u.prefix), "p/q/");
	CHECK_STR(str_c(u.region), "eu");
	CHECK(!u.tls && !u.token);
	s3_url_release(&u);
	CHECK_OK(s3_url_parse("//k:s@s3.example.com:443/bucket", &u, &et), &et);
	CHECK_STR(str_c(u.host), "s3.example.com");
	CHECK_STR(str_c(u.prefix), "");
	CHECK_STR(str_c(u.region), "us-east-1");
	CHECK(u.tls);
	s3_url_release(&u);
	static const char *const wrong[] = {"", "/", "//", "///", "//k:SeCrEt@/bucket",
		"//k:SeCrEt@host", "//k:SeCrEt@host/", "//k:SeCrEt@host/Bucket/x",
		"//k:SeCrEt@host/ab", "//SeCrEt@host/bucket", "//k:SeCrEt@host/bucket?tls=perhaps",
		"//k:SeCrEt@host/bucket?SeCrEt=1x", "//k:SeCrEt@ho st/bucket",
		"//k:SeCrEt@host/bucket?region=", "//k:SeC%00rEt@host/bucket",
		"//k:SeCrEt@host/bucket/a%00b"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		et.msg[0] = 0;
		if (s3_url_parse(wrong[i], &u, &et) != ERR_INVALID)
			FAIL("%s passes", wrong[i]);
		if (i != 11 && strstr(et.msg, "SeCrEt"))
			FAIL("the secret is in \"%s\"", et.msg);
	}
	unsetenv("AWS_ACCESS_KEY_ID");
	CHECK_ERR(s3_url_parse("//host/bucket", &u, &et), ERR_INVALID);
	setenv("AWS_ACCESS_KEY_ID", "from", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "environment", 1);
	setenv("AWS_SESSION_TOKEN", "t", 1);
	CHECK_OK(s3_url_parse("//host/bucket", &u, &et), &et);
	CHECK_STR(str_c(u.secret), "environment");
	CHECK_STR(str_c(u.token), "t");
	s3_url_release(&u);
}

static void test_store_s3__answers(void)
{
	struct s3_error x;
	s3_error_parse(S("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code>"
			 "<Message>a &lt;b&gt;</Message><Key>k</Key></Error>"),
		&x);
	CHECK(!strcmp(x.code, "NoSuchKey") && !strcmp(x.message, "a <b>"));
	s3_error_parse(S("<html>no"), &x);
	CHECK(!x.code[0]);
	s3_error_parse(S("<!DOCTYPE a [<!ENTITY x \"y\">]><Error><Code>&x;</Code></Error>"), &x);
	CHECK(!x.code[0]);
	struct s3 s = {.url = {.prefix = (char[]){"p/"}}};
	char hex[SHA256_HEX + 1];
	CHECK(s3_key_parse(
		&s, S("p/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), hex));
	CHECK_STR(str_c(hex), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	CHECK(!s3_key_parse(
		&s, S("2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), hex));
	CHECK(!s3_key_parse(&s, S("p/2c/f24d"), hex));
}

/* ---- what every backend promises ---- */

static const char *url_of(bool s3)
{
	static char url[700];
	const char *given = getenv("CROFT_TEST_S3_URL");
	if (s3 && (!given || !*given))
		SKIP("no S3 server: CROFT_TEST_S3_URL is not set (tests/e2e/s3.t sets it)");
	if (s3) {
		char unique[ID_HEX + 1];
		id_hex(id_new(), unique);
		const char *mark = strchr(given, '?');
		int n = (int)(mark ? mark - given : (long)strlen(given));
		snprintf(url, sizeof url, "%.*s/%s%s", n, given, unique, mark ? mark : "");
	} else {
		snprintf(url, sizeof url, "file:%s/blobs", tap_tmpdir());
	}
	return url;
}

static struct blobs *open_at(bool s3)
{
	struct blobs *b;
	CHECK_OK(blobs_open(url_of(s3), &b, &et), &et);
	return b;
}

static void fill(char *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (char)(seed >> 56);
	}
}

static void check_content(struct blobs *b, const char *hex, struct str want)
{
	struct os_map m;
	CHECK_OK(blob_get(b, hex, true, &m, &et), &et);
	CHECK(m.n == want.n && (!m.n || memcmp(m.p, want.p, m.n) == 0));
	os_unmap(&m);
}

static enum err collect(void *ctx, const char *hex, const struct blob_info *info)
{
	if (map_get(ctx, str_c(hex)))
		return ERR_CONFLICT;
	struct blob_info *copy = malloc(sizeof *copy);
	*copy = *info;
	return map_put(ctx, str_c(hex), copy) ? OK : ERR_NOMEM;
}

static void forget(struct map *all)
{
	struct str hex;
	void *v;
	for (size_t i = 0; map_next(all, &i, &hex, &v);)
		free(v);
	map_free(all);
}

static bool keep_none(void *ctx, const char *hex)
{
	return false;
}

static bool keep_named(void *ctx, const char *hex)
{
	return !strcmp(ctx, hex);
}

static void contract(bool s3)
{
	struct blobs *b = open_at(s3);
	char hex[SHA256_HEX + 1], empty[SHA256_HEX + 1], big_hex[SHA256_HEX + 1], got[64];
	struct os_map m;
	struct blob_info info;
	static const char nobody[] =
		"00000000000000000000000000000000000000000000000000000000000000ff";
	int64_t before = clock_unix_ms() - 60000;
	size_t big_n = 3 << 20;
	char *big = malloc(big_n);
	fill(big, big_n, 7);
	/* put, get, stat */
	for (int i = 0; i < 2; i++) {
		CHECK_OK(blob_put(b, S("hello"), hex, &et), &et);
		CHECK_OK(blob_put(b, S(""), empty, &et), &et);
		CHECK_OK(blob_put(b, str_mk(big, big_n), big_hex, &et), &et);
	}
	check_content(b, hex, S("hello"));
	check_content(b, empty, S(""));
	check_content(b, big_hex, str_mk(big, big_n));
	CHECK_OK(blob_stat(b, big_hex, &info, &et), &et);
	CHECK(info.size == big_n && info.modified_ms > before);
	CHECK_ERR(blob_get(b, nobody, true, &m, &et), ERR_NOT_FOUND);
	CHECK_ERR(blob_stat(b, nobody, &info, &et), ERR_NOT_FOUND);
	CHECK_ERR(blob_renew(b, nobody, &et), ERR_NOT_FOUND);
	CHECK_ERR(blob_read(b, nobody, 0, got, 1, &et), ERR_NOT_FOUND);
	CHECK_ERR(blob_delete(b, nobody, &et), ERR_NOT_FOUND);
	CHECK_OK(blob_renew(b, hex, &et), &et);
	/* ranges */
	CHECK_OK(blob_read(b, hex, 1, got, 3, &et), &et);
	CHECK(memcmp(got, "ell", 3) == 0);
	CHECK_OK(blob_read(b, big_hex, big_n - 64, got, 64, &et), &et);
	CHECK(memcmp(got, big + big_n - 64, 64) == 0);
	CHECK_ERR(blob_read(b, hex, 3, got, 3, &et), ERR_INVALID);
	CHECK_ERR(blob_read(b, hex, 5, got, 1, &et), ERR_INVALID);
	/* writers */
	struct blob_writer *w;
	uint64_t size;
	char streamed[SHA256_HEX + 1];
	CHECK_OK(blob_writer_open(b, &w, &et), &et);
	for (size_t at = 0; at < big_n; at += 70001)
		CHECK_OK(blob_writer_add(w, str_mk(big + at, MIN((size_t)70001, big_n - at)), &et),
			&et);
	CHECK_OK(blob_writer_finish(w, big_hex, streamed, &size, &et), &et);
	CHECK_STR(str_c(streamed), big_hex);
	CHECK_INT(size, big_n);
	CHECK_OK(blob_writer_open(b, &w, &et), &et);
	CHECK_OK(blob_writer_add(w, S("other"), &et), &et);
	CHECK_ERR(blob_writer_finish(w, big_hex, streamed, &size, &et), ERR_CORRUPT);
	CHECK_OK(blob_writer_open(b, &w, &et), &et);
	CHECK_OK(blob_writer_finish(w, NULL, streamed, &size, &et), &et);
	CHECK_STR(str_c(streamed), empty);
	CHECK_OK(blob_writer_open(b, &w, &et), &et);
	CHECK_OK(blob_writer_add(w, S("never finished"), &et), &et);
	blob_writer_drop(w);
	/* all, delete, sweep */
	struct map all = {0};
	CHECK_OK(blobs_each(b, collect, &all, &et), &et);
	CHECK_INT(all.n, 3);
	struct blob_info *seen = map_get(&all, str_c(big_hex));
	CHECK(seen && seen->size == big_n && seen->modified_ms > before);
	struct blob_swept swept;
	CHECK_OK(blobs_sweep_older(b, 3600000, keep_none, NULL, &swept, &et), &et);
	CHECK(swept.blobs == 0 && swept.kept == 3);
	if (s3)
		clock_sleep_ms(1200); /* its times are whole seconds */
	CHECK_OK(blobs_sweep_older(b, -5000, keep_named, big_hex, &swept, &et), &et);
	CHECK(swept.blobs == 2 && swept.kept == 1 && swept.bytes == 5);
	CHECK(!blob_exists(b, hex) && !blob_exists(b, empty) && blob_exists(b, big_hex));
	CHECK_OK(blob_delete(b, big_hex, &et), &et);
	CHECK(!blob_exists(b, big_hex));
	forget(&all);
	free(big);
	blobs_close(b);
}

static void test_store_s3__contract_of_files(void)
{
	contract(false);
}

static void test_store_s3__contract_of_s3(void)
{
	contract(true);
}

/* ---- batches from many threads ---- */

enum { BATCH_THREADS = 4, BATCH_EACH = 60 };

static struct blob_batch *batch;
static atomic_int wrong;

static void *put_some(void *arg)
{
	for (int i = 0; i < BATCH_EACH; i++) {
		char data[40000], hex[SHA256_HEX + 1];
		size_t n = (size_t)(i * 600) + 1;
		fill(data, n, (uint64_t)(i * 10 + (i % 2 ? (int)(intptr_t)arg : 0)));
		sha256_hex_of(str_mk(data, n), hex);
		if (blob_batch_put(batch, hex, str_mk(data, n), &et))
			atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

static void batches(bool s3)
{
	struct blobs *b = open_at(s3);
	pthread_t t[BATCH_THREADS];
	struct map all = {0};
	for (int round = 0; round < 2; round++) {
		CHECK_OK(blob_batch_begin(b, &batch, &et), &et);
		for (int i = 0; i < BATCH_THREADS; i++)
			CHECK_OK(thread_start(
					 &t[i], put_some, (void *)(intptr_t)(i + 1), "put", &et),
				&et);
		for (int i = 0; i < BATCH_THREADS; i++)
			pthread_join(t[i], NULL);
		CHECK_INT(atomic_load(&wrong), 0);
		CHECK_OK(blob_batch_commit(batch, &et), &et);
		blob_batch_end(batch);
	}
	CHECK_OK(blobs_each(b, collect, &all, &et), &et);
	/* even ones are the same in each thread */
	CHECK_INT(all.n, BATCH_EACH / 2 + BATCH_THREADS * BATCH_EACH / 2);
	struct str hex;
	void *v;
	for (size_t i = 0; map_next(&all, &i, &hex, &v);) {
		struct os_map m;
		CHECK_OK(blob_get(b, hex.p, true, &m, &et), &et);
		os_unmap(&m);
	}
	forget(&all);
	blobs_close(b);
}

static void test_store_s3__batches_of_files(void)
{
	batches(false);
}

static void test_store_s3__batches_of_s3(void)
{
	batches(true);
}

/* A batch that is not committed leaves nothing; one whose barrier fails neither. */
static int no_syncfs(int fd)
{
	errno = EIO;
	return -1;
}

static void test_store_s3__a_batch_of_files_is_all_or_nothing(void)
{
	struct blobs *b = open_at(false);
	struct map all = {0};
	for (int round = 0; round < 3; round++) {
		CHECK_OK(blob_batch_begin(b, &batch, &et), &et);
		put_some(NULL);
		CHECK_OK(blobs_each(b, collect, &all, &et), &et);
		CHECK_INT(all.n, 0);
		if (round == 1)
			blob_sys.syncfs = no_syncfs;
		if (round)
			CHECK_ERR(blob_batch_commit(batch, &et), round == 1 ? ERR_IO : OK);
		blob_sys.syncfs = NULL;
		blob_batch_end(batch);
	}
	CHECK_OK(blobs_each(b, collect, &all, &et), &et);
	CHECK_INT(all.n, BATCH_EACH);
	forget(&all);
	blobs_close(b);
}

/* ---- large objects, in parts ---- */

static void test_store_s3__a_large_object_in_parts(void)
{
	struct blobs *b = open_at(true);
	size_t n = (size_t)S3_SINGLE_MAX + (5 << 20) + 17;
	char *p = malloc(n), hex[SHA256_HEX + 1], at[1000];
	fill(p, n, 9);
	struct blob_info info;
	CHECK_OK(blob_put(b, str_mk(p, n), hex, &et), &et);
	CHECK_OK(blob_stat(b, hex, &info, &et), &et);
	CHECK_INT(info.size, n);
	check_content(b, hex, str_mk(p, n));
	CHECK_OK(blob_read(b, hex, n - 1000, at, 1000, &et), &et);
	CHECK(memcmp(at, p + n - 1000, 1000) == 0);
	CHECK_OK(blob_delete(b, hex, &et), &et);
	free(p);
	blobs_close(b);
}

/* More than one page of 1,000. */
static void test_store_s3__a_long_list(void)
{
	if (getenv("CROFT_TEST_S3_FAULTS"))
		SKIP("with faults the list is short");
	struct blobs *b = open_at(true);
	CHECK_OK(blob_batch_begin(b, &batch, &et), &et);
	for (int i = 0; i < 1100; i++) {
		char text[32], hex[SHA256_HEX + 1];
		snprintf(text, sizeof text, "item %d", i);
		sha256_hex_of(str_c(text), hex);
		CHECK_OK(blob_batch_put(batch, hex, str_c(text), &et), &et);
	}
	CHECK_OK(blob_batch_commit(batch, &et), &et);
	blob_batch_end(batch);
	struct map all = {0};
	CHECK_OK(blobs_each(b, collect, &all, &et), &et);
	CHECK_INT(all.n, 1100);
	forget(&all);
	blobs_close(b);
}

static void test_store_s3__what_is_wrong_is_said(void)
{
	struct blobs *b;
	char url[700];
	const char *given = getenv("CROFT_TEST_S3_URL"), *at = given ? strchr(given, '@') : NULL;
	if (!at || getenv("CROFT_TEST_S3_FAULTS"))
		SKIP("no S3 server without faults");
	const char *colon = strchr(given + 5, ':');
	snprintf(url, sizeof url, "%.*s:SeCrEt%s", (int)(colon - given), given, at);
	enum err e = blobs_open(url, &b, &et);
	if (e != ERR_FORBIDDEN || strstr(et.msg, "SeCrEt"))
		FAIL("%s: %s", err_word(e), et.msg);
	const char *slash = strchr(at, '/'), *end = strpbrk(slash + 1, "/?");
	snprintf(url, sizeof url, "%.*sno-such-bucket%s", (int)(slash + 1 - given), given,
		end ? end : "");
	CHECK_ERR(blobs_open(url, &b, &et), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "create it"));
}

TESTS(T(test_store_s3__amazons_examples), T(test_store_s3__addresses), T(test_store_s3__answers),
	T(test_store_s3__contract_of_files), T(test_store_s3__contract_of_s3),
	T(test_store_s3__batches_of_files), T(test_store_s3__batches_of_s3),
	T(test_store_s3__a_batch_of_files_is_all_or_nothing),
	T(test_store_s3__a_large_object_in_parts), T(test_store_s3__a_long_list),
	T(test_store_s3__what_is_wrong_is_said))
