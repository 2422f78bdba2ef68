#include "tap.h"
#include "base/hash.h"
#include "base/os.h"
#include "vector/bm25.h"
#include "vector/fields.h"
#include "vector/sparse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One index of each kind over the same made-up items, what it answers as text, and its file: an
 * index from the file answers the same, also after more changes; a file that differs by a bit, or
 * ends too soon, is refused. */

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

struct all {
	struct bm25 *words, *two; /* two: with fields and positions */
	struct fields *fields;
	struct sparse *sparse;
};

static void all_new(struct all *x)
{
	static const struct bm25_field weigh[] = {{2, 0.5f}, {1, 0.75f}};
	struct bm25_options two = {.k1 = 1.2f, .fields = weigh, .n_fields = 2, .positions = true};
	struct errtext et = {0};
	CHECK(!bm25_new(NULL, &x->words));
	CHECK(!bm25_new(&two, &x->two));
	CHECK_OK(fields_new(NULL, &x->fields, &et), &et);
	CHECK_OK(sparse_new(&x->sparse, &et), &et);
}

static void all_free(struct all *x)
{
	bm25_free(x->words);
	bm25_free(x->two);
	fields_free(x->fields);
	sparse_free(x->sparse);
}

enum { WORDS = 300 };
static char names[WORDS][16];

static size_t some_words(struct str *out, uint64_t *seed, size_t most)
{
	size_t n = rnd(seed) % most;
	for (size_t i = 0; i < n; i++) {
		size_t w = rnd(seed) % WORDS * (rnd(seed) % WORDS) / WORDS;
		snprintf(names[w], sizeof names[w], "w%zu%s", w, w % 3 ? "x" : "");
		out[i] = str_c(names[w]);
	}
	return n;
}

static void put(struct all *x, uint64_t key, uint64_t *seed)
{
	struct errtext et = {0};
	struct str a[60], b[60];
	size_t n = some_words(a, seed, 60), m = some_words(b, seed, 20);
	struct bm25_text texts[2] = {{a, NULL, n}, {b, NULL, m}};
	CHECK_OK(bm25_put(x->words, key, a, n, &et), &et);
	CHECK_OK(bm25_put_fields(x->two, key, texts, &et), &et);
	uint32_t at[40], next = 0;
	float v[40];
	for (size_t i = 0; i < m; i++) {
		at[i] = next += 1 + (uint32_t)(rnd(seed) % 30);
		v[i] = (float)(rnd(seed) % 100) / 10 - 2;
	}
	CHECK_OK(sparse_put(x->sparse, key, &(struct sparse_vector){at, v, m}, &et), &et);
	struct buf p = {0};
	buf_addf(&p,
		"{\"n\":%d,\"f\":%d.5,\"when\":\"2024-01-%02d\",\"t\":\"%s some %s\",\"yes\":%s,"
		"\"tags\":[\"t%d\",\"u%d and more\"],\"of\":[{\"a\":%d},{\"a\":null}]}",
		(int)(rnd(seed) % 50), (int)(rnd(seed) % 9), 1 + (int)(rnd(seed) % 28),
		n ? a[0].p : "", m ? b[0].p : "", rnd(seed) % 2 ? "true" : "false",
		(int)(rnd(seed) % 7), (int)(rnd(seed) % 900), (int)(rnd(seed) % 5));
	CHECK_OK(fields_put(x->fields, key, buf_str(&p), &et), &et);
	buf_free(&p);
}

static void drop(struct all *x, uint64_t key)
{
	struct errtext et = {0};
	CHECK_OK(bm25_delete(x->words, &key, 1, &et), &et);
	CHECK_OK(bm25_delete(x->two, &key, 1, &et), &et);
	CHECK_OK(fields_delete(x->fields, &key, 1, &et), &et);
	CHECK_OK(sparse_delete(x->sparse, &key, 1, &et), &et);
}

static void publish(struct all *x)
{
	struct errtext et = {0};
	CHECK_OK(bm25_publish(x->words, &et), &et);
	CHECK_OK(bm25_publish(x->two, &et), &et);
	CHECK_OK(fields_publish(x->fields, &et), &et);
	CHECK_OK(sparse_publish(x->sparse, &et), &et);
}

static void change(struct all *x, uint64_t *seed, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t key = rnd(seed) % 3000;
		if (rnd(seed) % 4)
			put(x, key, seed);
		else
			drop(x, key);
		if (rnd(seed) % 200 == 0)
			publish(x);
	}
	publish(x);
}

static void hits_to(struct buf *out, const struct hit *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(out, " %llu:%.9g", (unsigned long long)h[i].key, (double)h[i].score);
	buf_putc(out, '\n');
}

static void ask_words(struct all *x, struct buf *out, uint64_t *seed)
{
	struct errtext et = {0};
	struct hit h[20];
	struct str q[8];
	size_t n, n_q = some_words(q, seed, 8);
	CHECK_OK(bm25_search(x->words, q, n_q, 20, NULL, NULL, h, &n, NULL, &et), &et);
	hits_to(out, h, n);
	CHECK_OK(bm25_search(x->two, q, n_q, 20, NULL, NULL, h, &n, NULL, &et), &et);
	hits_to(out, h, n);
	struct str begin = S("w1");
	struct bm25_clause c[] = {{.match = BM25_PREFIX, .terms = &begin, .n_terms = 1},
		{.match = BM25_FUZZY, .terms = q, .n_terms = 1, .edits = 1},
		{.match = BM25_PHRASE, .terms = q, .n_terms = 2, .slop = 5}};
	CHECK_OK(bm25_query(x->two, c, n_q > 1 ? 3 : 1, 20, NULL, NULL, h, &n, NULL, NULL, &et),
		&et);
	hits_to(out, h, n);
}

static void ask_fields(struct all *x, struct buf *out)
{
	static const char nested[] =
		"{\"must\":[{\"nested\":{\"key\":\"of\",\"filter\":{\"must\":[{\"key\":\"a\","
		"\"match\":{\"value\":3}}]}}}]}";
	static const char *const filters[] = {"{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":9}}]}",
		"{\"must\":[{\"key\":\"tags\",\"match\":{\"value\":\"t3\"}}]}",
		"{\"must\":[{\"key\":\"tags\",\"match\":{\"text\":\"and more\"}}]}",
		"{\"must_not\":[{\"key\":\"when\",\"range\":{\"gte\":\"2024-01-09\"}}]}", nested};
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		yyjson_doc *doc;
		const struct cond *c;
		struct bitmap b = {0};
		bool exact;
		uint64_t keys[4000];
		CHECK_OK(json_parse(str_c(filters[i]), &doc, &et), &et);
		CHECK_OK(cond_parse_qdrant(yyjson_doc_get_root(doc), NULL, NULL, a, &c, &et), &et);
		CHECK_OK(fields_select(x->fields, c, &b, &exact, &et), &et);
		size_t n = bitmap_keys(&b, 0, keys, 4000);
		CHECK(n > 0);
		for (size_t k = 0; k < n; k++)
			buf_addf(out, " %llu", (unsigned long long)keys[k]);
		buf_putc(out, '\n');
		bitmap_free(&b);
		yyjson_doc_free(doc);
	}
	struct str path;
	struct fields_facet *f;
	size_t n;
	CHECK_OK(cond_path(S("tags"), a, &path, &et), &et);
	CHECK_OK(fields_facets(x->fields, path, NULL, 50, a, &f, &n, &et), &et);
	for (size_t i = 0; i < n; i++)
		buf_addf(out, " %.*s:%llu", STR_FMT(f[i].value.s), (unsigned long long)f[i].n);
	arena_free(a);
}

static void ask_sparse(struct all *x, struct buf *out, uint64_t *seed)
{
	struct errtext et = {0};
	struct hit h[20];
	size_t n;
	uint32_t at[6], next = 0;
	float v[6];
	for (size_t i = 0; i < 6; i++) {
		at[i] = next += 1 + (uint32_t)(rnd(seed) % 40);
		v[i] = (float)(rnd(seed) % 50) / 10;
	}
	struct sparse_query q = {.v = {at, v, 6}, .idf = true, .k = 20};
	CHECK_OK(sparse_search(x->sparse, &q, h, &n, &et), &et);
	hits_to(out, h, n);
}

/* Everything that a few questions bring. */
static struct buf answers(struct all *x)
{
	struct buf out = {0};
	uint64_t seed = 77;
	for (int i = 0; i < 30; i++) {
		ask_words(x, &out, &seed);
		ask_sparse(x, &out, &seed);
	}
	ask_fields(x, &out);
	buf_addf(&out, " %zu %zu %zu", bm25_count(x->words), fields_count(x->fields),
		sparse_count(x->sparse));
	CHECK(!out.err);
	return out;
}

static const char *const files[] = {"words", "two", "fields", "sparse"};

static const char *file(size_t i)
{
	static char path[4][512];
	snprintf(path[i], sizeof path[i], "%s/%s", tap_tmpdir(), files[i]);
	return path[i];
}

static void save(struct all *x, uint64_t mark)
{
	struct errtext et = {0};
	CHECK_OK(bm25_save(x->words, file(0), mark, S("label"), &et), &et);
	CHECK_OK(bm25_save(x->two, file(1), mark, S("label"), &et), &et);
	CHECK_OK(fields_save(x->fields, file(2), mark, S("label"), &et), &et);
	CHECK_OK(sparse_save(x->sparse, file(3), mark, S("label"), &et), &et);
}

static enum err open_one(struct all *x, size_t i, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et)
{
	return i == 0   ? bm25_open(x->words, file(0), label, max_key, mark, et)
	       : i == 1 ? bm25_open(x->two, file(1), label, max_key, mark, et)
	       : i == 2 ? fields_open(x->fields, file(2), label, max_key, mark, et)
			: sparse_open(x->sparse, file(3), label, max_key, mark, et);
}

static void same_answers(struct all *a, struct all *b)
{
	struct buf x = answers(a), y = answers(b);
	CHECK(str_eq(buf_str(&x), buf_str(&y)));
	buf_free(&x);
	buf_free(&y);
}

static void test_vector_segments__an_index_from_its_file_goes_on(void)
{
	struct errtext et = {0};
	struct all x, y;
	uint64_t seed = 3, mark;
	all_new(&x);
	change(&x, &seed, 6000);
	for (uint64_t round = 1; round < 4; round++) {
		save(&x, round);
		all_new(&y);
		for (size_t i = 0; i < 4; i++) {
			mark = 0;
			CHECK_OK(open_one(&y, i, S("label"), 3000, &mark, &et), &et);
			CHECK_INT(mark, round);
		}
		same_answers(&x, &y);
		CHECK_INT(bm25_bytes(x.two), bm25_bytes(y.two));
		CHECK_INT(fields_bytes(x.fields), fields_bytes(y.fields));
		CHECK_INT(sparse_bytes(x.sparse), sparse_bytes(y.sparse));
		uint64_t other = seed;
		change(&x, &seed, 1000);
		change(&y, &other, 1000);
		same_answers(&x, &y);
		all_free(&x);
		x = y;
	}
	all_free(&x);
}

static void test_vector_segments__nothing_is_a_file_too(void)
{
	struct errtext et = {0};
	struct all x, y;
	uint64_t mark = 0;
	all_new(&x);
	save(&x, 9);
	all_new(&y);
	for (size_t i = 0; i < 4; i++)
		CHECK_OK(open_one(&y, i, S("label"), 0, &mark, &et), &et);
	CHECK_INT(mark, 9);
	CHECK_INT(bm25_count(y.words), 0);
	all_free(&x);
	all_free(&y);
}

static void write_bytes(const char *path, const char *p, size_t n)
{
	FILE *f = fopen(path, "wb");
	CHECK(f && (!n || fwrite(p, n, 1, f) == 1) && !fclose(f));
}

/* What is refused leaves the index as it was: it takes the right file afterwards. */
static void test_vector_segments__damage_is_told(void)
{
	struct errtext et = {0};
	struct all x, y;
	uint64_t seed = 5, mark;
	all_new(&x);
	change(&x, &seed, 300);
	save(&x, 1);
	all_new(&y);
	for (size_t i = 0; i < 4; i++) {
		struct buf all = {0};
		CHECK_OK(os_read_file(file(i), 0, &all, &et), &et);
		CHECK_INT(open_one(&y, i, S("other"), 3000, &mark, &et), ERR_CORRUPT);
		CHECK_INT(open_one(&y, i, S("label"), 10, &mark, &et), ERR_CORRUPT);
		for (int k = 0; k < 400; k++) {
			size_t at = k < 100 ? (size_t)k : (size_t)(rnd(&seed) % all.n);
			char bit = (char)(1 << k % 8);
			all.p[at] ^= bit;
			write_bytes(file(i), all.p, all.n);
			enum err e = open_one(&y, i, S("label"), 3000, &mark, &et);
			CHECK(e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
			all.p[at] ^= bit;
		}
		for (int k = 0; k < 200; k++) {
			size_t n = k < 100 ? (size_t)(rnd(&seed) % all.n)
					   : all.n - (size_t)k % 100 - 1;
			write_bytes(file(i), all.p, n);
			CHECK_INT(open_one(&y, i, S("label"), 3000, &mark, &et), ERR_CORRUPT);
		}
		buf_putc(&all, 0);
		write_bytes(file(i), all.p, all.n);
		CHECK_INT(open_one(&y, i, S("label"), 3000, &mark, &et), ERR_CORRUPT);
		write_bytes(file(i), all.p, all.n - 1);
		CHECK_OK(open_one(&y, i, S("label"), 3000, &mark, &et), &et);
		buf_free(&all);
	}
	same_answers(&x, &y);
	/* Another index's file. */
	CHECK(!rename(file(3), file(2)));
	CHECK_INT(open_one(&y, 2, S("label"), 3000, &mark, &et), ERR_CORRUPT);
	all_free(&x);
	all_free(&y);
}

/* Saved while it is written to: the file has one of the states between. */
static struct all shared;
static atomic_bool done;

static void *writer(void *arg)
{
	uint64_t seed = 11;
	(void)arg;
	while (!atomic_load(&done))
		change(&shared, &seed, 50);
	return NULL;
}

static void test_vector_segments__saved_beside_a_writer(void)
{
	struct errtext et = {0};
	pthread_t t;
	uint64_t mark;
	all_new(&shared);
	CHECK_OK(thread_start(&t, writer, NULL, "writer", &et), &et);
	for (int i = 0; i < 15; i++) {
		struct all y;
		save(&shared, 1);
		all_new(&y);
		for (size_t k = 0; k < 4; k++)
			CHECK_OK(open_one(&y, k, S("label"), 3000, &mark, &et), &et);
		all_free(&y);
	}
	atomic_store(&done, true);
	pthread_join(t, NULL);
	all_free(&shared);
}

TESTS(T(test_vector_segments__an_index_from_its_file_goes_on),
	T(test_vector_segments__nothing_is_a_file_too), T(test_vector_segments__damage_is_told),
	T(test_vector_segments__saved_beside_a_writer))
