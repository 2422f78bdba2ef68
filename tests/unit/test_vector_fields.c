#include "tap.h"
#include "base/thread.h"
#include "vector/fields.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* ---- random payloads and filters, as JSON ---- */

static const char *const names[] = {"a", "b", "c", "d.e", "x", "y"};
static const char *const scalars[] = {"\"red\"", "\"green owl\"", "\"The Red Fox\"", "\"\"", "0",
	"1", "2", "3", "2.5", "-7", "5.0", "1e300", "9223372036854775807", "18446744073709551615",
	"-0.0", "true", "false", "\"2026-11-27T18:10:00Z\"", "\"2026-11-27\"",
	"\"2025-01-01 10:00\"", "\"1\"",
	"\"a long string, a long string, a long string, a long string, a long string, a long "
	"string, a long "
	"string, a long string, a long one\""};

static const char *scalar(uint64_t *s)
{
	return scalars[rnd(s) % ARRAY_LEN(scalars)];
}

/* What can be matched: no fractions. */
static const char *operand(uint64_t *s)
{
	for (;;) {
		const char *o = scalar(s);
		if (*o == '"' || (!strpbrk(o, ".") && !strchr(o, 'e')) || *o == 't' || *o == 'f')
			if (strcmp(o, "18446744073709551615"))
				return o;
	}
}

static void object(struct buf *b, uint64_t *s, int depth);

static void value(struct buf *b, uint64_t *s, int depth)
{
	uint64_t kind = rnd(s) % (depth > 2 ? 6 : 12);
	if (kind == 0) {
		buf_addc(b, "null");
	} else if (kind < 6) {
		buf_addc(b, scalar(s));
	} else if (kind < 8) {
		object(b, s, depth + 1);
	} else {
		size_t n = rnd(s) % 4;
		buf_putc(b, '[');
		for (size_t i = 0; i < n; i++) {
			if (i)
				buf_putc(b, ',');
			if (kind == 11)
				object(b, s, depth + 1);
			else
				value(b, s, depth + 1);
		}
		buf_putc(b, ']');
	}
}

static void object(struct buf *b, uint64_t *s, int depth)
{
	size_t n = rnd(s) % 5;
	buf_putc(b, '{');
	for (size_t i = 0; i < n; i++) {
		buf_addf(b, "%s\"%s\":", i ? "," : "", names[rnd(s) % ARRAY_LEN(names)]);
		value(b, s, depth);
	}
	buf_putc(b, '}');
}

static void path(struct buf *b, uint64_t *s)
{
	size_t n = 1 + (rnd(s) % 3 == 0) + (rnd(s) % 9 == 0);
	for (size_t i = 0; i < n; i++) {
		const char *name = names[rnd(s) % ARRAY_LEN(names)];
		buf_addf(b, strchr(name, '.') ? "%s\\\"%s\\\"" : "%s%s", i ? "." : "", name);
		while (rnd(s) % 6 == 0)
			buf_addc(b, rnd(s) % 12 ? "[]" : "[0]");
	}
}

static void list(struct buf *b, uint64_t *s)
{
	size_t n = rnd(s) % 4;
	buf_putc(b, '[');
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s%s", i ? "," : "", operand(s));
	buf_putc(b, ']');
}

static void range(struct buf *b, uint64_t *s, const char *const *ends, size_t n_ends)
{
	static const char *const ops[] = {"gt", "gte", "lt", "lte"};
	size_t n = rnd(s) % 3;
	buf_putc(b, '{');
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s\"%s\":%s", i ? "," : "", ops[(rnd(s) % 2) + i * 2],
			ends[rnd(s) % n_ends]);
	buf_putc(b, '}');
}

static void filter(struct buf *b, uint64_t *s, int depth);

static void condition(struct buf *b, uint64_t *s, int depth)
{
	static const char *const numbers[] = {"0", "1", "2", "2.5", "-8", "1e18", "3.0"};
	static const char *const times[] = {
		"\"2026-11-27\"", "\"2026-11-27T18:10:00Z\"", "\"2025-06-01\""};
	static const char *const texts[] = {"red", "fox RED", "owl", "long one", "", "!"};
	uint64_t kind = rnd(s) % (depth > 2 ? 9 : 12);
	if (kind >= 10) {
		filter(b, s, depth + 1);
		return;
	}
	if (kind == 9) {
		buf_addc(b, "{\"nested\":{\"key\":\"");
		path(b, s);
		buf_addc(b, "\",\"filter\":");
		filter(b, s, depth + 1);
		buf_addc(b, "}}");
		return;
	}
	if (kind == 8) {
		buf_addf(b, "{\"%s\":{\"key\":\"", rnd(s) % 2 ? "is_empty" : "is_null");
		path(b, s);
		buf_addc(b, "\"}}");
		return;
	}
	buf_addc(b, "{\"key\":\"");
	path(b, s);
	buf_addc(b, "\",");
	switch (kind) {
	case 0:
	case 1:
		buf_addf(b, "\"match\":{\"value\":%s}}", operand(s));
		return;
	case 2:
	case 3:
		buf_addf(b, "\"match\":{\"%s\":", kind == 2 ? "any" : "except");
		list(b, s);
		buf_addc(b, "}}");
		return;
	case 4:
		buf_addf(b, "\"match\":{\"%s\":\"%s\"}}", rnd(s) % 2 ? "text" : "text_any",
			texts[rnd(s) % ARRAY_LEN(texts)]);
		return;
	case 5:
	case 6:
		buf_addf(b, "\"%s\":", kind == 5 ? "range" : "values_count");
		range(b, s, numbers, ARRAY_LEN(numbers));
		break;
	default:
		buf_addc(b, "\"range\":");
		range(b, s, times, ARRAY_LEN(times));
	}
	buf_putc(b, '}');
}

static void conditions(struct buf *b, uint64_t *s, int depth)
{
	size_t n = rnd(s) % 4;
	buf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_putc(b, ',');
		condition(b, s, depth);
	}
	buf_putc(b, ']');
}

static void filter(struct buf *b, uint64_t *s, int depth)
{
	static const char *const clauses[] = {"must", "should", "must_not"};
	bool first = true;
	buf_putc(b, '{');
	for (size_t i = 0; i < ARRAY_LEN(clauses); i++) {
		if (rnd(s) % 2)
			continue;
		buf_addf(b, "%s\"%s\":", first ? "" : ",", clauses[i]);
		conditions(b, s, depth);
		first = false;
	}
	if (rnd(s) % 5 == 0) {
		buf_addf(b, "%s\"min_should\":{\"min_count\":%d,\"conditions\":", first ? "" : ",",
			(int)(1 + rnd(s) % 3));
		conditions(b, s, depth);
		buf_putc(b, '}');
	}
	buf_putc(b, '}');
}

/* ---- the index says of every item what the condition says ---- */

enum { ITEMS = 500 };

static yyjson_doc *payloads[ITEMS]; /* NULL: not there */

static size_t asked, telling; /* filters; those that some items match and some do not */

static uint64_t key_of(size_t i)
{
	return i % 3 ? i : i * 70001 + ((uint64_t)i << 33);
}

static bool id_key(void *ctx, yyjson_val *id, uint64_t *key)
{
	*key = yyjson_get_uint(id);
	return yyjson_is_uint(id);
}

static void put_random(struct fields *x, size_t i, uint64_t *seed, struct buf *b)
{
	struct errtext et = {0};
	buf_clear(b);
	object(b, seed, 0);
	CHECK_OK(fields_put(x, key_of(i), buf_str(b), &et), &et);
	yyjson_doc_free(payloads[i]);
	CHECK_OK(json_parse(buf_str(b), &payloads[i], &et), &et);
}

static void compare(struct fields *x, const struct cond *c, bool want_exact, const char *text)
{
	struct errtext et = {0};
	struct bitmap b = {0};
	struct fields_estimate about;
	bool exact = false;
	size_t n = 0, wrong = 0;
	CHECK_OK(fields_select(x, c, &b, &exact, &et), &et);
	fields_estimate(x, c, &about);
	for (size_t i = 0; i < ITEMS; i++) {
		bool yes =
			payloads[i] && cond_matches(c, key_of(i), yyjson_doc_get_root(payloads[i]));
		bool found = bitmap_has(&b, key_of(i));
		n += yes;
		wrong += exact || !payloads[i] ? yes != found : yes && !found;
	}
	asked++;
	telling += n > 0 && n < fields_count(x);
	if (wrong)
		printf("# %s\n", text);
	CHECK_INT(wrong, 0);
	CHECK(!want_exact || exact);
	if (exact)
		CHECK_INT(b.count, n);
	CHECK(about.least <= n && n <= about.most && about.least <= about.likely &&
		about.likely <= about.most && about.most <= about.items);
	bitmap_free(&b);
}

static void some_filters(struct fields *x, uint64_t *seed, struct buf *b, int n, bool want_exact)
{
	for (int i = 0; i < n; i++) {
		struct errtext et = {0};
		struct arena *a = arena_new(16 << 20);
		yyjson_doc *doc;
		const struct cond *c;
		buf_clear(b);
		filter(b, seed, 0);
		CHECK_OK(json_parse(buf_str(b), &doc, &et), &et);
		CHECK_OK(
			cond_parse_qdrant(yyjson_doc_get_root(doc), id_key, NULL, a, &c, &et), &et);
		compare(x, c, want_exact && !strstr(buf_c(b), "[0]"), buf_c(b));
		yyjson_doc_free(doc);
		arena_free(a);
	}
}

/* ---- values: counted and in order, as the condition "is this value" says ---- */

static size_t count_matching(struct cond *c, const struct bitmap *among)
{
	size_t n = 0;
	for (size_t i = 0; i < ITEMS; i++)
		n += payloads[i] && (!among || bitmap_has(among, key_of(i))) &&
		     cond_matches(c, key_of(i), yyjson_doc_get_root(payloads[i]));
	return n;
}

static void check_facets(struct fields *x, struct str path, const struct bitmap *among)
{
	struct errtext et = {0};
	struct arena *a = arena_new(16 << 20);
	struct fields_facet *list;
	size_t n, wanted = 0;
	CHECK_OK(fields_facets(x, path, among, 1000, a, &list, &n, &et), &et);
	for (size_t i = 0; i < n; i++) {
		CHECK(!i || list[i].n <= list[i - 1].n);
		CHECK(list[i].n > 0 && !(list[i].digest && list[i].value.s.n != 32));
	}
	for (size_t s = 0; s < ARRAY_LEN(scalars); s++) {
		struct cond_value v;
		yyjson_doc *doc;
		CHECK_OK(json_parse(str_c(scalars[s]), &doc, &et), &et);
		if (cond_value_of(yyjson_doc_get_root(doc), &v)) {
			struct cond c = {
				.kind = COND_IN, .path = path, .values = &v, .n_values = 1};
			size_t want = count_matching(&c, among), got = 0;
			for (size_t i = 0; i < n; i++)
				if (v.type == COND_STRING && v.s.n > 128
						? list[i].digest
						: !list[i].digest &&
							  !cond_value_cmp(&list[i].value, &v))
					got = (size_t)list[i].n;
			CHECK_INT(got, want);
			wanted += want > 0;
		}
		yyjson_doc_free(doc);
	}
	CHECK_INT(n, wanted);
	arena_free(a);
}

static void check_order(struct fields *x, struct str path, const struct bitmap *among, bool down)
{
	struct errtext et = {0};
	static struct fields_ordered all[8 * ITEMS], some[8 * ITEMS];
	size_t n, m;
	CHECK_OK(fields_order(x, path, down, NULL, among, 8 * ITEMS, all, &n, &et), &et);
	for (size_t i = 1; i < n; i++) {
		int order = cond_number_cmp(all[i - 1].value, all[i].value);
		CHECK(order ? (order > 0) == down : all[i - 1].key < all[i].key);
	}
	for (size_t i = 0; i < n; i += 7) {
		struct cond c = {.kind = COND_RANGE,
			.path = path,
			.range = {true, true, false, false, all[i].value, all[i].value}};
		size_t got = 0;
		for (size_t j = 0; j < n; j++)
			got += !cond_number_cmp(all[j].value, all[i].value);
		if (!all[i].value.integral || all[i].value.i < INT64_C(1) << 40) /* no time */
			CHECK_INT(got, count_matching(&c, among));
		CHECK_OK(fields_order(x, path, down, &all[i].value, among, 5, some, &m, &et), &et);
		size_t first = i;
		while (first && !cond_number_cmp(all[first - 1].value, all[i].value))
			first--;
		CHECK_INT(m, MIN(5, n - first));
		for (size_t j = 0; j < m; j++)
			CHECK(some[j].key == all[first + j].key);
	}
}

static void some_values(struct fields *x, uint64_t *seed)
{
	static const char *const paths[] = {"a", "b", "\"d.e\"", "a[].x", "c.y", "none"};
	struct errtext et = {0};
	struct bitmap half = {0};
	for (size_t i = 0; i < ITEMS; i++)
		if (rnd(seed) % 2)
			bitmap_add(&half, key_of(i));
	for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
		struct arena *a = arena_new(1 << 20);
		struct str path;
		CHECK_OK(cond_path(str_c(paths[p]), a, &path, &et), &et);
		check_facets(x, path, NULL);
		check_facets(x, path, &half);
		check_order(x, path, p % 2 ? NULL : &half, p % 3 == 0);
		arena_free(a);
	}
	bitmap_free(&half);
}

static void agree(const struct fields_options *o)
{
	struct errtext et = {0};
	struct fields *x;
	struct buf b = {0};
	uint64_t seed = 20261127;
	CHECK_OK(fields_new(o, &x, &et), &et);
	memset(payloads, 0, sizeof payloads);
	for (int round = 0; round < 12; round++) {
		for (size_t n = 30 + rnd(&seed) % 120; n; n--) {
			size_t i = rnd(&seed) % ITEMS;
			uint64_t key = key_of(i);
			if (rnd(&seed) % 4) {
				put_random(x, i, &seed, &b);
				continue;
			}
			CHECK_OK(fields_delete(x, &key, 1, &et), &et);
			yyjson_doc_free(payloads[i]);
			payloads[i] = NULL;
		}
		CHECK_OK(fields_publish(x, &et), &et);
		size_t there = 0;
		for (size_t i = 0; i < ITEMS; i++)
			there += payloads[i] != NULL;
		CHECK_INT(fields_count(x), there);
		some_filters(x, &seed, &b, 150, !o);
		some_values(x, &seed);
	}
	CHECK(fields_bytes(x) > 1000);
	for (size_t i = 0; i < ITEMS; i++)
		yyjson_doc_free(payloads[i]);
	buf_free(&b);
	fields_free(x);
}

static void test_vector_fields__agree_with_the_condition(void)
{
	agree(NULL);
	CHECK(telling > asked / 6);
}

static void test_vector_fields__without_words_the_set_is_too_large_only(void)
{
	agree(&(struct fields_options){.some_text = true, .text = &S("a"), .n_text = 1});
}

/* ---- what conditions mean ---- */

static bool decide(const char *filter_text, const char *payload)
{
	struct errtext et = {0};
	struct arena *a = arena_new(1 << 20);
	yyjson_doc *f, *p;
	const struct cond *c;
	CHECK_OK(json_parse(str_c(filter_text), &f, &et), &et);
	CHECK_OK(json_parse(str_c(payload), &p, &et), &et);
	enum err e = json_str(yyjson_doc_get_root(f), "type").n
			     ? cond_parse_openai(yyjson_doc_get_root(f), a, &c, &et)
			     : cond_parse_qdrant(yyjson_doc_get_root(f), id_key, NULL, a, &c, &et);
	CHECK_OK(e, &et);
	bool yes = !e && cond_matches(c, 7, yyjson_doc_get_root(p));
	yyjson_doc_free(f);
	yyjson_doc_free(p);
	arena_free(a);
	return yes;
}

static void test_vector_cond__meaning(void)
{
	static const struct {
		const char *filter, *payload;
		bool yes;
	} cases[] = {
		{"{}", "{}", true},
		{"{\"must\":[{\"key\":\"a.b\",\"match\":{\"value\":1}}]}", "{\"a\":[{\"b\":1}]}",
			false},
		{"{\"must\":[{\"key\":\"a[].b\",\"match\":{\"value\":1}}]}",
			"{\"a\":[{\"b\":2},{\"b\":[3,1]}]}", true},
		{"{\"must\":[{\"key\":\"a[1].b\",\"match\":{\"value\":1}}]}",
			"{\"a\":[{\"b\":1},{\"b\":2}]}", false},
		{"{\"must\":[{\"key\":\"a[0].b\",\"match\":{\"value\":1}}]}",
			"{\"a\":[{\"b\":1},{\"b\":2}]}", true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1}}]}", "{\"a\":[[1]]}", false},
		{"{\"must\":[{\"key\":\"a[]\",\"match\":{\"value\":1}}]}", "{\"a\":[[1]]}", true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":5}}]}", "{\"a\":5.0}", false},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":5}}]}", "{\"a\":\"5\"}", false},
		{"{\"must\":[{\"key\":\"a\",\"range\":{\"gte\":5,\"lte\":5}}]}", "{\"a\":5.0}",
			true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[1]}}]}", "{\"a\":[1,2]}", true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[1]}}]}", "{\"a\":{}}", true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[1]}}]}", "{\"a\":null}", false},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[1]}}]}", "{}", false},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"red FOX\"}}]}",
			"{\"a\":\"A fox_red.\"}", true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"red FOX\"}}]}",
			"{\"a\":[\"fox\",\"red\"]}", false},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"text_any\":\"red FOX\"}}]}",
			"{\"a\":[\"fox\",\"blue\"]}", true},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"red FOX\"}}]}",
			"{\"a\":\"reddish fox\"}", false},
		{"{\"must\":[{\"key\":\"t\",\"range\":{\"gte\":\"2026-11-27T20:00:00+02:00\"}}]}",
			"{\"t\":\"2026-11-27T18:00:00Z\"}", true},
		{"{\"must\":[{\"key\":\"t\",\"range\":{\"gt\":\"2026-11-27 18:00:00.000001\"}}]}",
			"{\"t\":\"2026-11-27T18:00:00.0000025 +0000\"}", true},
		{"{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":9223372036854775806}}]}",
			"{\"n\":9223372036854775807}", true},
		{"{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":2,\"lt\":3}}]}", "{\"n\":2.5}", true},
		{"{\"must\":[{\"is_empty\":{\"key\":\"a\"}},{\"is_null\":{\"key\":\"b\"}}]}",
			"{\"a\":[],\"b\":[1,null]}", true},
		{"{\"must_not\":{\"key\":\"a\",\"values_count\":{\"gte\":2}}}", "{\"a\":[1,2]}",
			false},
		{"{\"must\":{\"key\":\"a[].b\",\"values_count\":{\"gte\":1,\"lt\":2}}}",
			"{\"a\":[{\"b\":[1,2]},{\"b\":null}]}", false},
		{"{\"must\":[{\"has_id\":[6,7]}]}", "{}", true},
		{"{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{\"key\":\"x\","
		 "\"match\":{\"value\":1}},{\"key\":\"y\",\"match\":{\"value\":2}}]}}}]}",
			"{\"a\":[{\"x\":1,\"y\":3},{\"x\":3,\"y\":2}]}", false},
		{"{\"must\":[{\"nested\":{\"key\":\"a[]\",\"filter\":{\"must\":[{\"key\":\"x\","
		 "\"match\":{\"value\":1}},{\"key\":\"y\",\"match\":{\"value\":2}}]}}}]}",
			"{\"a\":[{\"x\":3},{\"x\":1,\"y\":2}]}", true},
		{"{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":{\"must_not\":[{\"key\":\"x\","
		 "\"match\":{\"value\":1}}]}}}]}",
			"{\"a\":[\"p\",\"q\"]}", false},
		{"{\"min_should\":{\"min_count\":2,\"conditions\":[{\"key\":\"a\",\"match\":{"
		 "\"value\":1}},{\"key\":\"b\",\"match\":{\"value\":1}},{\"has_id\":[7]}]}}",
			"{\"b\":1}", true},
		{"{\"type\":\"and\",\"filters\":[{\"type\":\"gte\",\"key\":\"n\",\"value\":3},{"
		 "\"type\":\"in\",\"key\":\"c\",\"value\":[\"x\",\"y\",4]}]}",
			"{\"n\":3,\"c\":4.0}", true},
		{"{\"type\":\"or\",\"filters\":[{\"type\":\"ne\",\"key\":\"n\",\"value\":3},{"
		 "\"type\":\"eq\",\"key\":\"a.b\",\"value\":true}]}",
			"{\"n\":3,\"a.b\":true}", true},
		{"{\"type\":\"nin\",\"key\":\"n\",\"value\":[1,2]}", "{\"n\":2}", false},
		{"{\"type\":\"ne\",\"key\":\"n\",\"value\":1}", "{}", true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_INT(decide(cases[i].filter, cases[i].payload), cases[i].yes);
}

static void refuse(const char *text, enum err want, const char *place)
{
	struct errtext et = {0};
	struct arena *a = arena_new(16 << 20);
	yyjson_doc *doc;
	const struct cond *c = NULL;
	CHECK_OK(json_parse(str_c(text), &doc, &et), &et);
	yyjson_val *v = yyjson_doc_get_root(doc);
	enum err e = json_str(v, "type").n ? cond_parse_openai(v, a, &c, &et)
					   : cond_parse_qdrant(v, NULL, NULL, a, &c, &et);
	CHECK_INT(e, want);
	CHECK(c == NULL);
	CHECK(str_find(str_c(et.msg), str_c(place)) != STR_NONE);
	if (str_find(str_c(et.msg), str_c(place)) == STR_NONE)
		printf("# %s\n", et.msg);
	yyjson_doc_free(doc);
	arena_free(a);
}

static void test_vector_cond__refusals_name_the_place(void)
{
	refuse("{\"must\":[{\"has_id\":[1]}]}", ERR_UNSUPPORTED, "filter.must[0].has_id");
	refuse("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1}},{\"key\":\"a\",\"geo_radius\":{}"
	       "}]}",
		ERR_UNSUPPORTED, "filter.must[1].geo_radius: conditions on places");
	refuse("{\"should\":{\"key\":\"a\",\"range\":{\"gte\":true}}}", ERR_INVALID,
		"filter.should.range.gte");
	refuse("{\"should\":{\"key\":\"a\",\"range\":{\"gte\":1,\"lt\":\"2026-01-01\"}}}",
		ERR_INVALID, "range.lt");
	refuse("{\"must\":[{\"key\":\"a[x]\",\"match\":{\"value\":1}}]}", ERR_INVALID,
		"filter.must[0].key");
	refuse("{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,[2]]}}]}", ERR_INVALID,
		"match.any[1]");
	refuse("{\"must\":[{\"key\":\"a\",\"match\":{\"phrase\":\"x\"}}]}", ERR_UNSUPPORTED,
		"phrase");
	refuse("{\"must\":[{\"key\":\"a\"}]}", ERR_INVALID, "filter.must[0]");
	refuse("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":2.5}}]}", ERR_INVALID,
		"match.value");
	refuse("{\"min_should\":{\"min_count\":0,\"conditions\":[]}}", ERR_INVALID,
		"filter.min_should");
	refuse("{\"musst\":[]}", ERR_INVALID, "'musst'");
	refuse("{\"type\":\"and\",\"filters\":[]}", ERR_INVALID, "filter");
	refuse("{\"type\":\"gt\",\"key\":\"a\",\"value\":\"high\"}", ERR_INVALID, "filter.value");
	struct buf deep = {0};
	for (int i = 0; i < 40; i++)
		buf_addc(&deep, "{\"must\":");
	buf_addc(&deep, "{}");
	for (int i = 0; i < 40; i++)
		buf_addc(&deep, "}");
	refuse(buf_c(&deep), ERR_TOO_LARGE, "deeper than 16");
	buf_clear(&deep);
	buf_addc(&deep, "{\"must\":[");
	for (int i = 0; i < 1000; i++)
		buf_addf(&deep, "%s{\"must\":[{\"is_null\":{\"key\":\"a\"}}]}", i ? "," : "");
	buf_addc(&deep, "]}");
	refuse(buf_c(&deep), ERR_TOO_LARGE, "more than 1024 conditions");
	buf_free(&deep);
}

/* ---- sets of keys ---- */

static int by_key(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void test_vector_bitmap__sets(void)
{
	uint64_t seed = 5, *keys = malloc(30000 * sizeof *keys), got[100];
	struct bitmap b = {0};
	size_t n = 0, m = 0;
	for (size_t i = 0; i < 30000; i++) {
		uint64_t r = rnd(&seed);
		/* One full chunk, thin ones, far ones. */
		keys[n++] = i % 3 == 0   ? r % 65536
			    : i % 3 == 1 ? 65536 + r % 500000
					 : r >> (r % 40);
		bitmap_add(&b, keys[n - 1]);
	}
	CHECK(!b.err);
	qsort(keys, n, sizeof *keys, by_key);
	for (size_t i = 0; i < n; i++)
		if (!m || keys[m - 1] != keys[i])
			keys[m++] = keys[i];
	CHECK_INT(b.count, m);
	size_t seen = 0, wrong = 0;
	for (uint64_t from = 0; seen < m;) {
		size_t k = bitmap_keys(&b, from, got, 1 + rnd(&seed) % 100);
		for (size_t i = 0; i < k; i++)
			wrong += got[i] != keys[seen++];
		from = got[k - 1] + 1;
	}
	CHECK_INT(wrong, 0);
	CHECK_INT(bitmap_keys(&b, keys[m - 1], got, 100), 1);
	for (uint64_t k = 0; k < 600000; k++)
		wrong += bitmap_has(&b, k) != (bsearch(&k, keys, m, sizeof k, by_key) != NULL);
	CHECK_INT(wrong, 0);
	uint64_t bits;
	CHECK(bitmap_words(&b, 1 << 20, &bits) == NULL);
	CHECK(bitmap_bytes(&b) > 8192);
	bitmap_free(&b);
	bitmap_add(&b, 70000);
	bitmap_add_word(&b, 64, 5);
	uint64_t *words = bitmap_words(&b, 1 << 20, &bits);
	CHECK(words && bits == 131072 && words[1] == 5 &&
		words[70000 / 64] == UINT64_C(1) << 70000 % 64);
	free(words);
	bitmap_free(&b);
	free(keys);
}

/* Every snapshot holds pairs of items (2i, 2i + 1): a reader never sees one without the other. */
static struct fields *shared;
static atomic_bool done;

static void *reader(void *arg)
{
	while (!atomic_load(&done)) {
		struct errtext et = {0};
		struct bitmap b = {0};
		bool exact;
		CHECK_OK(fields_select(shared, arg, &b, &exact, &et), &et);
		CHECK(b.count % 2 == 0);
		bitmap_free(&b);
	}
	return NULL;
}

static void test_vector_fields__readers_beside_a_writer(void)
{
	struct errtext et = {0};
	struct cond_value red = {.type = COND_STRING, .s = S("red")};
	struct cond c = {
		.kind = COND_IN, .path = str_mk("kcolour", 8), .values = &red, .n_values = 1};
	CHECK_OK(fields_new(NULL, &shared, &et), &et);
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		CHECK_OK(thread_start(&t[i], reader, &c, "reader", &et), &et);
	uint64_t seed = 5;
	for (int i = 0; i < 800; i++) {
		uint64_t key = rnd(&seed) % 100 * 2, both[] = {key, key + 1};
		if (i % 3)
			for (int k = 0; k < 2; k++)
				CHECK_OK(
					fields_put(shared, both[k], S("{\"colour\":\"red\"}"), &et),
					&et);
		else
			CHECK_OK(fields_delete(shared, both, 2, &et), &et);
		CHECK_OK(fields_publish(shared, &et), &et);
	}
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_INT(fields_put(shared, 1, S("[1]"), &et), ERR_INVALID);
	fields_free(shared);
}

TESTS(T(test_vector_fields__agree_with_the_condition),
	T(test_vector_fields__without_words_the_set_is_too_large_only),
	T(test_vector_cond__meaning), T(test_vector_cond__refusals_name_the_place),
	T(test_vector_bitmap__sets), T(test_vector_fields__readers_beside_a_writer))
