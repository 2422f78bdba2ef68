/* Files of the indexes of words, payloads and sparse vectors: any bytes, with the checksums made
 * right, are opened and work, or are refused. The head's tag says which index it is taken for. */
#include "base/hash.h"
#include "base/thread.h"
#include "vector/bm25.h"
#include "vector/fields.h"
#include "vector/sparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As segments_file.c lays out the head and the table. */
enum { ALIGN = 64, TAG_AT = 12, N_AT = 32, TABLE_CRC_AT = 40, CRC_AT = 44, HEAD = 48, PLACE = 24 };

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	return crc32c(0, p, n);
}

static void make_right(uint8_t *file, size_t size)
{
	uint64_t n;
	uint32_t crc;
	memcpy(&n, file + N_AT, 8);
	if (n > (size - ALIGN) / PLACE)
		n = (size - ALIGN) / PLACE;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at, bytes;
		uint8_t *place = file + ALIGN + i * PLACE;
		memcpy(&at, place, 8);
		memcpy(&bytes, place + 8, 8);
		if (at <= size && bytes <= size - at && bytes) {
			crc = crc_of(file + at, bytes);
			memcpy(place + 20, &crc, 4);
		}
	}
	crc = crc_of(file + ALIGN, n * PLACE);
	memcpy(file + TABLE_CRC_AT, &crc, 4);
	memset(file + CRC_AT, 0, 4);
	crc = crc_of(file, HEAD);
	memcpy(file + CRC_AT, &crc, 4);
}

enum { MAX_KEY = 1 << 20 };

/* A call may find no memory for what a file says; that is all. */
static void may(enum err e)
{
	if (e == ERR_INTERNAL)
		abort();
}

static void use_words(const char *path, bool fields)
{
	static const struct bm25_field weigh[] = {{2, 0.5f}, {1, 0.75f}};
	struct bm25_options two = {.k1 = 1, .fields = weigh, .n_fields = 2, .positions = true};
	struct str terms[] = {S("w1"), S("w2x"), S("w30")};
	struct bm25_text texts[2] = {{terms, NULL, 3}, {terms, NULL, 1}};
	struct bm25_clause c[] = {{.match = BM25_PREFIX, .terms = terms, .n_terms = 1},
		{.match = BM25_FUZZY, .terms = terms + 1, .n_terms = 1, .edits = 2},
		{.match = BM25_PHRASE, .terms = terms, .n_terms = 2, .slop = 3}};
	struct errtext et;
	struct hit h[8];
	struct bm25 *x;
	size_t n = 0;
	if (bm25_new(fields ? &two : NULL, &x))
		abort();
	if (!bm25_open(x, path, S(""), MAX_KEY, NULL, &et)) {
		may(bm25_search(x, terms, 3, 8, NULL, NULL, h, &n, NULL, &et));
		may(bm25_query(x, c, fields ? 3 : 2, 8, NULL, NULL, h, &n, NULL, NULL, &et));
		for (size_t i = 0; i < n; i++)
			may(bm25_delete(x, &h[i].key, 1, &et));
		may(bm25_put_fields(x, 5, texts, &et));
		may(bm25_publish(x, &et));
		may(bm25_search(x, terms, 3, 8, NULL, NULL, h, &n, NULL, &et));
	}
	bm25_free(x);
}

static void use_fields(const char *path)
{
	struct str filter =
		S("{\"should\":[{\"key\":\"n\",\"range\":{\"lt\":9}},{\"key\":\"tags\",\"match\":{"
		  "\"text\":\"and more\"}},{\"nested\":{\"key\":\"of\",\"filter\":{\"must\":[{"
		  "\"key\":\"a\",\"match\":{\"value\":3}}]}}}],\"must_not\":[{\"key\":\"yes\","
		  "\"match\":{\"value\":true}}]}");
	struct arena *a = arena_new(0);
	struct fields *x;
	struct errtext et;
	struct bitmap b = {0};
	const struct cond *c;
	struct str path_of;
	struct fields_facet *f;
	struct fields_ordered rows[8];
	struct fields_estimate about;
	yyjson_doc *doc;
	size_t n;
	bool exact;
	if (fields_new(NULL, &x, &et) || json_parse(filter, &doc, &et) ||
		cond_parse_qdrant(yyjson_doc_get_root(doc), NULL, NULL, a, &c, &et) ||
		cond_path(S("n"), a, &path_of, &et))
		abort();
	if (!fields_open(x, path, S(""), MAX_KEY, NULL, &et)) {
		uint64_t keys[8];
		fields_estimate(x, c, &about);
		may(fields_select(x, c, &b, &exact, &et));
		may(fields_facets(x, path_of, NULL, 8, a, &f, &n, &et));
		may(fields_order(x, path_of, true, NULL, NULL, 8, rows, &n, &et));
		n = bitmap_keys(&b, 0, keys, 8);
		may(fields_delete(x, keys, n, &et));
		may(fields_put(x, 7, S("{\"n\":4}"), &et));
		may(fields_publish(x, &et));
	}
	bitmap_free(&b);
	yyjson_doc_free(doc);
	arena_free(a);
	fields_free(x);
}

static void use_sparse(const char *path)
{
	static const uint32_t at[] = {3, 20, 33};
	static const float v[] = {1, 2, 0.5f};
	struct sparse_query q = {.v = {at, v, 3}, .idf = true, .k = 8};
	struct errtext et;
	struct hit h[8];
	struct sparse *x;
	size_t n = 0;
	if (sparse_new(&x, &et))
		abort();
	if (!sparse_open(x, path, S(""), MAX_KEY, NULL, &et)) {
		may(sparse_search(x, &q, h, &n, &et));
		for (size_t i = 0; i < n; i++)
			may(sparse_delete(x, &h[i].key, 1, &et));
		may(sparse_put(x, 5, &q.v, &et));
		may(sparse_publish(x, &et));
		may(sparse_search(x, &q, h, &n, &et));
	}
	sparse_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	if (size < ALIGN || size > 1 << 20)
		return 0;
	uint8_t *file = malloc(size);
	memcpy(file, data, size);
	make_right(file, size);
	int fd = memfd_create("index", MFD_CLOEXEC);
	if (fd < 0 || write(fd, file, size) != (ssize_t)size)
		abort();
	uint8_t tag = file[TAG_AT];
	free(file);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (tag == 'p') {
		use_fields(path);
	} else if (tag == 's') {
		use_sparse(path);
	} else {
		use_words(path, false);
		use_words(path, true);
	}
	close(fd);
	return 0;
}
