#include "tap.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "base/os.h"
#include "base/room.h"
#include "base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_base_err__rows_and_text(void)
{
	struct errtext et = {0};
	CHECK_INT(err_set(&et, ERR_TOO_LARGE, "%s: %d", "a.txt", 7), ERR_TOO_LARGE);
	CHECK_STR(str_c(et.msg), "a.txt: 7");
	err_wrap(&et, ERR_TOO_LARGE, "page %d", 3);
	CHECK_STR(str_c(et.msg), "page 3: a.txt: 7");
	CHECK_INT(err_http(ERR_NOT_FOUND), 404);
	CHECK_INT(err_http((enum err)9999), 500);
	char longish[600];
	memset(longish, 'x', sizeof longish);
	memcpy(longish + 510, "\xE2\x82\xAC", 3); /* a euro sign across the cut */
	longish[599] = 0;
	err_set(&et, ERR_IO, "%s", longish);
	CHECK(utf8_valid(str_c(et.msg)));
	CHECK_INT(strlen(et.msg), 510);
	err_set(&et, ERR_IO, "'%.4s' and '%s'", "abc\xC3\xA9", "\xFFx\xE2\x82");
	CHECK_STR(str_c(et.msg), "'abc?' and '?x\?\?'");
	err_wrap(&et, ERR_IO, "%.1s", "\xC3\xA9");
	CHECK_STR(str_c(et.msg), "?: 'abc?' and '?x\?\?'");
	err_set(&et, ERR_IO, "caf\xC3\xA9 \xEF\xBF\xBD");
	CHECK_STR(str_c(et.msg), "caf\xC3\xA9 \xEF\xBF\xBD");
}

static void test_base_str__views(void)
{
	CHECK_STR(str_trim(S(" \t a b\n")), "a b");
	CHECK(str_ends_nocase(S("A.PDF"), S(".pdf")));
	CHECK_INT(str_find(S("abcabd"), S("abd")), 3);
	CHECK_INT(str_find(S("abc"), S("abcd")), STR_NONE);
	struct str rest = S("a,,b"), part;
	CHECK(str_next(&rest, ',', &part) && str_eq(part, S("a")));
	CHECK(str_next(&rest, ',', &part) && part.n == 0);
	CHECK(str_next(&rest, ',', &part) && str_eq(part, S("b")));
	CHECK(!str_next(&rest, ',', &part));
}

static void test_base_str__numbers_are_whole_and_in_range(void)
{
	int64_t i;
	uint64_t u;
	double d;
	CHECK(str_i64(S("-42"), &i) && i == -42);
	CHECK(!str_i64(S("42x"), &i) && !str_i64(S(""), &i) && !str_i64(S(" 4"), &i));
	CHECK(!str_i64(S("9223372036854775808"), &i));
	CHECK(str_u64(S("18446744073709551615"), &u) && u == UINT64_MAX);
	CHECK(!str_u64(S("-1"), &u));
	CHECK(str_f64(S("1.5e3"), &d) && d == 1500);
	CHECK(!str_f64(S("nan"), &d) && !str_f64(S("0x10"), &d) && !str_f64(S("1e999"), &d));
	CHECK(str_bytes(S("10 MB"), &u) && u == 10u << 20);
	CHECK(str_bytes(S("1GiB"), &u) && u == 1u << 30);
	CHECK(!str_bytes(S("10 parsecs"), &u) && !str_bytes(S("-1k"), &u));
	CHECK(str_duration_ms(S("2h"), &u) && u == 7200000);
	CHECK(!str_duration_ms(S("2"), &u));
}

static void test_base_utf8__decode_rejects_what_it_must(void)
{
	uint32_t cp;
	CHECK_INT(utf8_decode(S("\xF0\x9F\x98\x80"), &cp), 4);
	CHECK_INT(cp, 0x1F600);
	CHECK(!utf8_valid(S("\xC0\x80")));         /* overlong */
	CHECK(!utf8_valid(S("\xED\xA0\x80")));     /* surrogate */
	CHECK(!utf8_valid(S("\xF4\x90\x80\x80"))); /* above U+10FFFF */
	CHECK(!utf8_valid(S("a\xE2\x82")));        /* cut */
	CHECK(utf8_valid(S("\xEF\xBF\xBD")));      /* U+FFFD itself is fine */
	for (uint32_t c = 0; c <= 0x10FFFF; c += 7) {
		if (c >= 0xD800 && c <= 0xDFFF)
			continue;
		char t[4];
		size_t n = utf8_encode(c, t);
		CHECK(utf8_decode(str_mk(t, n), &cp) == n && cp == c);
	}
	CHECK_INT(utf8_complete_prefix(S("ab\xE2\x82")), 2);
	CHECK_INT(utf8_complete_prefix(S("ab\xE2\x82\xAC")), 5);
	CHECK_INT(utf8_complete_prefix(S("\xF0\x9F\x98")), 0);
}

static void test_base_buf__limit_is_sticky(void)
{
	struct buf b = {.max = 10};
	buf_addc(&b, "0123456789");
	CHECK_INT(b.err, OK);
	buf_putc(&b, 'x');
	CHECK_INT(b.err, ERR_TOO_LARGE);
	CHECK_INT(b.n, 10);
	buf_clear(&b);
	buf_addf(&b, "%d", 7);
	CHECK_STR(buf_str(&b), "7");
	buf_free(&b);
}

static unsigned order;
static void note_order(void *p)
{
	order = order * 10 + *(unsigned *)p;
}

static void test_base_arena__cap_and_hooks(void)
{
	struct arena *a = arena_new(10000);
	unsigned one = 1, two = 2;
	arena_on_free(a, note_order, &one);
	arena_on_free(a, note_order, &two);
	char *p = arena_alloc(a, 5000);
	CHECK(p && p[4999] == 0 && (uintptr_t)p % 16 == 0);
	CHECK(!arena_alloc(a, 6000));
	CHECK(!arena_array(a, SIZE_MAX / 2, 4));
	CHECK(arena_alloc(a, 100));
	CHECK_STR(arena_fmt(a, "%s-%d", "x", 5), "x-5");
	arena_free(a);
	CHECK_INT(order, 21);
}

static void test_base_json__writer_round_trip(void)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "s", S("a\"\\\n\x01\xFF\xE2\x82\xAC"));
	jw_key(&w, "list");
	jw_arr(&w);
	jw_i64(&w, INT64_MIN);
	jw_f64(&w, 0.1);
	jw_f64(&w, NAN);
	jw_f32(&w, 0.1f);
	jw_end(&w);
	jw_end(&w);
	CHECK(jw_done(&w));
	CHECK_STR(buf_str(&b), "{\"s\":\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\xE2\x82\xAC\",\"list\":"
			       "[-9223372036854775808,0.1,null,0.1]}");
	yyjson_doc *doc;
	struct errtext et;
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	yyjson_doc_free(doc);
	struct jw bad = {.out = &b};
	jw_obj(&bad);
	jw_i64(&bad, 1); /* no key */
	jw_end(&bad);
	CHECK(!jw_done(&bad));
	buf_free(&b);
}

static void test_base_json__errors_say_where(void)
{
	struct errtext et = {0};
	yyjson_doc *doc;
	CHECK_ERR(json_parse(S("{\n \"a\": nul}"), &doc, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "line 2"));
	struct buf deep = {0};
	for (int i = 0; i < 100000; i++)
		buf_putc(&deep, '[');
	CHECK_ERR(json_parse(buf_str(&deep), &doc, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "deeper"));
	buf_free(&deep);
	CHECK_OK(json_parse(S("{\"k\": 70000, \"t\": \"x\"}"), &doc, &et), &et);
	int64_t k = 5;
	yyjson_val *o = yyjson_doc_get_root(doc);
	CHECK_ERR(json_want_i64(o, "k", 1, 100, &k, &et), ERR_INVALID);
	CHECK_INT(k, 5);
	CHECK_ERR(json_want_i64(o, "t", 1, 100, &k, &et), ERR_INVALID);
	CHECK_ERR(json_want_i64(o, "absent", 1, 100, &k, &et), OK);
	yyjson_doc_free(doc);
}

/* The published suite: y_ must be accepted, n_ refused; i_ may go either way. */
static void test_base_json__published_suite(void)
{
	const char *tar = tap_shared("conformance/jsontestsuite.tar.xz");
	struct buf cmd = {0};
	buf_addf(&cmd, "tar -C '%s' -xf '%s'", tap_tmpdir(), tar);
	CHECK_INT(system(buf_c(&cmd)), 0);
	buf_clear(&cmd);
	buf_addf(&cmd, "find '%s' -name '[yn]_*.json'", tap_tmpdir());
	FILE *list = popen(buf_c(&cmd), "r");
	char path[1024];
	unsigned seen = 0;
	while (fgets(path, sizeof path, list)) {
		path[strcspn(path, "\n")] = 0;
		struct buf b = {0};
		CHECK_OK(os_read_file(path, 0, &b, NULL), NULL);
		yyjson_doc *doc = NULL;
		bool ok = json_parse(buf_str(&b), &doc, NULL) == OK;
		yyjson_doc_free(doc);
		buf_free(&b);
		bool want = strrchr(path, '/')[1] == 'y';
		if (ok != want)
			FAIL("%s was %s", path, ok ? "accepted" : "refused");
		seen++;
	}
	pclose(list);
	buf_free(&cmd);
	CHECK(seen > 250);
}

static void test_base_clock__rfc3339(void)
{
	char t[CLOCK_TEXT];
	int64_t ms;
	clock_rfc3339(951782400123, t);
	CHECK_STR(str_c(t), "2000-02-29T00:00:00.123Z");
	CHECK(clock_parse_rfc3339(S("2000-02-29T01:00:00.123+01:00"), &ms) && ms == 951782400123);
	CHECK(clock_parse_rfc3339(S("2000-02-29"), &ms) && ms == 951782400000);
	CHECK(!clock_parse_rfc3339(S("2001-02-29"), &ms));
	CHECK(!clock_parse_rfc3339(S("2000-02-29T25:00:00Z"), &ms));
}

static void test_base_id__sorted_and_parsed(void)
{
	char last[ID_HEX + 1] = "", hex[ID_HEX + 1];
	for (int i = 0; i < 20000; i++) {
		struct id id = id_new(), back;
		id_hex(id, hex);
		CHECK(strcmp(last, hex) < 0);
		CHECK(id_parse(str_c(hex), &back) && memcmp(&id, &back, sizeof id) == 0);
		CHECK(hex[12] == '7' && strchr("89ab", hex[16]));
		memcpy(last, hex, sizeof last);
	}
	struct id id;
	CHECK(id_parse(S("0192f0c1-2345-7abc-8def-0123456789ab"), &id));
	CHECK(!id_parse(S("0192f0c1-2345-7abc-8def-0123456789a"), &id));
	CHECK(!id_parse(S("../../etc/passwd/../../etc/passw"), &id));
}

static void test_base_hash__published_vectors(void)
{
	char hex[SHA256_HEX + 1];
	sha256_hex_of(S("abc"), hex); /* FIPS 180-2, B.1 */
	CHECK_STR(str_c(hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	CHECK_INT(crc32c(0, "123456789", 9), 0xE3069283u); /* RFC 3720, B.4 family */
	CHECK_INT(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xE3069283u);
	struct buf b = {0}, back = {0};
	base64_encode(&b, S("foobar+"));
	CHECK_STR(buf_str(&b), "Zm9vYmFyKw==");
	CHECK(base64_decode(&back, buf_str(&b)));
	CHECK_STR(buf_str(&back), "foobar+");
	CHECK(!base64_decode(&back, S("a=b=")));
	buf_free(&b);
	buf_free(&back);
}

static void test_base_map__against_a_plain_array(void)
{
	struct map m = {0};
	static char present[500];
	char key[16];
	unsigned seed = 1, n = 0;
	for (int step = 0; step < 50000; step++) {
		seed = seed * 1103515245 + 12345;
		unsigned k = seed >> 8 & 255, act = seed >> 20 & 1;
		snprintf(key, sizeof key, "key%u", k);
		if (act) {
			CHECK(map_put(&m, str_c(key), &present[k]));
			n += !present[k];
			present[k] = 1;
		} else {
			void *was = map_del(&m, str_c(key));
			CHECK((was != NULL) == present[k]);
			n -= (unsigned)present[k];
			present[k] = 0;
		}
		CHECK_INT(m.n, n);
		CHECK((map_get(&m, str_c(key)) != NULL) == present[k]);
	}
	map_free(&m);
}

static atomic_int done_jobs;
static void count_job(void *p)
{
	(void)p;
	clock_sleep_ms(1);
	atomic_fetch_add(&done_jobs, 1);
}

static void test_base_pool__full_is_busy_and_free_drains(void)
{
	struct pool *p;
	CHECK_OK(pool_new(2, 8, "test", &p, NULL), NULL);
	int accepted = 0, busy = 0;
	for (int i = 0; i < 100; i++)
		pool_submit(p, count_job, NULL) == OK ? accepted++ : busy++;
	CHECK(busy > 0 && accepted >= 8);
	pool_free(p);
	CHECK_INT(atomic_load(&done_jobs), accepted);
}

static struct {
	pthread_mutex_t mu;
	pthread_cond_t open;
	bool is_open;
	int inside, passed;
} gate = {.mu = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER};

static void wait_at_gate(void *p)
{
	(void)p;
	pool_wait_begin();
	pool_wait_begin(); /* they nest */
	pool_wait_end();
	pthread_mutex_lock(&gate.mu);
	gate.inside++;
	while (!gate.is_open)
		pthread_cond_wait(&gate.open, &gate.mu);
	gate.passed++;
	pthread_mutex_unlock(&gate.mu);
}

static int inside_gate(void)
{
	pthread_mutex_lock(&gate.mu);
	int n = gate.inside;
	pthread_mutex_unlock(&gate.mu);
	return n;
}

static void wait_until(int (*what)(void), int want)
{
	for (int i = 0; i < 5000 && what() != want; i++)
		clock_sleep_ms(1);
	CHECK_INT(what(), want);
}

static int jobs_done(void)
{
	return atomic_load(&done_jobs);
}

static void test_base_pool__who_waits_makes_room_for_others(void)
{
	enum { THREADS = 2, MORE = 5 };
	struct pool *p;
	atomic_store(&done_jobs, 0);
	CHECK_OK(pool_new(THREADS, 64, "test", &p, NULL), NULL);
	pool_may_wait(p, MORE);
	for (int i = 0; i < MORE; i++)
		CHECK_OK(pool_submit(p, wait_at_gate, NULL), NULL);
	wait_until(inside_gate, MORE);
	for (int i = 0; i < 20; i++)
		CHECK_OK(pool_submit(p, count_job, NULL), NULL);
	wait_until(jobs_done, 20);
	/* more than may wait: they take the pool's own threads, and the rest queues */
	for (int i = 0; i < THREADS; i++)
		CHECK_OK(pool_submit(p, wait_at_gate, NULL), NULL);
	wait_until(inside_gate, MORE + THREADS);
	CHECK_OK(pool_submit(p, count_job, NULL), NULL);
	clock_sleep_ms(20);
	CHECK_INT(jobs_done(), 20);
	CHECK_INT(pool_queued(p), 1);
	pthread_mutex_lock(&gate.mu);
	gate.is_open = true;
	pthread_cond_broadcast(&gate.open);
	pthread_mutex_unlock(&gate.mu);
	wait_until(jobs_done, 21);
	pool_wait_begin(); /* no thread of a pool: nothing */
	pool_wait_end();
	pool_free(p);
	CHECK_INT(gate.passed, MORE + THREADS);
}

static void test_base_os__atomic_write_and_beneath(void)
{
	char path[512], root[512];
	struct errtext et;
	snprintf(root, sizeof root, "%s/a/b", tap_tmpdir());
	CHECK_OK(os_mkdirs(root, &et), &et);
	snprintf(path, sizeof path, "%s/f", root);
	CHECK_OK(os_write_atomic(path, S("one"), &et), &et);
	CHECK_OK(os_write_atomic(path, S("two"), &et), &et);
	struct buf b = {0};
	CHECK_OK(os_read_file(path, 0, &b, &et), &et);
	CHECK_STR(buf_str(&b), "two");
	CHECK_ERR(os_read_file(path, 2, &b, &et), ERR_TOO_LARGE);
	buf_free(&b);
	int fd = -1;
	CHECK_OK(os_open_beneath(root, S("f"), &fd, &et), &et);
	close(fd);
	CHECK_ERR(os_open_beneath(root, S("../../../etc/passwd"), &fd, &et), ERR_FORBIDDEN);
	CHECK_ERR(os_open_beneath(root, S("/etc/passwd"), &fd, &et), ERR_FORBIDDEN);
	char link[512];
	snprintf(link, sizeof link, "%s/l", root);
	CHECK_INT(symlink("/etc/passwd", link), 0);
	CHECK_ERR(os_open_beneath(root, S("l"), &fd, &et), ERR_FORBIDDEN);
}

static void test_base_os__lock_is_exclusive(void)
{
	char path[512];
	snprintf(path, sizeof path, "%s/lock", tap_tmpdir());
	int a = -1, b = -1;
	CHECK_OK(os_lock(path, &a, NULL), NULL);
	CHECK_ERR(os_lock(path, &b, NULL), ERR_BUSY);
	os_unlock(a);
	CHECK_OK(os_lock(path, &b, NULL), NULL);
	os_unlock(b);
}

static void test_base_room__lists_grow(void)
{
	struct arena *a = arena_new(0), *small = arena_new(32);
	struct {
		unsigned *v, *w;
		size_t n, cap_v, cap_w;
	} l = {0};
	for (; l.n < 1000; l.n++) {
		CHECK(arena_room(a, l.v, l.n, l.cap_v) && heap_room(l.w, l.n, l.cap_w));
		l.v[l.n] = l.w[l.n] = (unsigned)l.n;
	}
	for (unsigned i = 0; i < l.n; i++)
		CHECK(l.v[i] == i && l.w[i] == i);
	unsigned *none = NULL;
	size_t cap = 0;
	CHECK(!arena_room(small, none, 0, cap) && !none && !cap);
	cap = SIZE_MAX / 4;
	CHECK(!room_in_heap(&none, &cap, sizeof *none) && !none && cap == SIZE_MAX / 4);
	free(l.w);
	arena_free(a);
	arena_free(small);
}

static void test_base_str__long_needles(void)
{
	char hay[400], needle[60];
	uint64_t seed = 3;
	unsigned found = 0;
	for (unsigned round = 0; round < 20000; round++) {
		size_t n = 17 + round % 40, at = STR_NONE;
		for (size_t i = 0; i < sizeof hay; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			hay[i] = seed >> 60 ? 'a' : (char)(seed >> 40);
		}
		memcpy(needle, hay + (seed >> 33) % (sizeof hay - n), n);
		needle[(seed >> 20) % n] ^= round % 2 ? 32 : 0;
		for (size_t i = 0; i + n <= sizeof hay && at == STR_NONE; i++)
			at = str_eq_nocase(str_mk(hay + i, n), str_mk(needle, n)) ? i : STR_NONE;
		CHECK(str_find_nocase(str_mk(hay, sizeof hay), str_mk(needle, n)) == at);
		found += at != STR_NONE;
	}
	CHECK(found > 10000 && found < 20000);
	CHECK(str_find_nocase(S("THE END IS BEHIND THIS"), S("the end is behind this")) == 0);
	CHECK(str_find_nocase(S("xTHE END IS BEHIND THIS"), S("the end is behind this")) == 1);
	CHECK(str_find_nocase(S("the end is behind"), S("the end is behind this")) == STR_NONE);
}

TESTS(T(test_base_room__lists_grow), T(test_base_err__rows_and_text), T(test_base_str__views),
	T(test_base_str__long_needles), T(test_base_str__numbers_are_whole_and_in_range),
	T(test_base_utf8__decode_rejects_what_it_must), T(test_base_buf__limit_is_sticky),
	T(test_base_arena__cap_and_hooks), T(test_base_json__writer_round_trip),
	T(test_base_json__errors_say_where), T(test_base_json__published_suite),
	T(test_base_clock__rfc3339), T(test_base_id__sorted_and_parsed),
	T(test_base_hash__published_vectors), T(test_base_map__against_a_plain_array),
	T(test_base_pool__full_is_busy_and_free_drains),
	T(test_base_pool__who_waits_makes_room_for_others),
	T(test_base_os__atomic_write_and_beneath), T(test_base_os__lock_is_exclusive))
