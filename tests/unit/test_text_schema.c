/* JSON Schema as a language. The judge is the test suite of the JSON Schema organisation (from
 * shared data): a text that it calls invalid must never be accepted; how much of what it calls
 * valid is accepted, and which schemas are refused, is counted and must not get less. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/json.h"
#include "base/os.h"
#include "tap.h"
#include "text/schema.h"

static bool accepts(const struct schema *s, struct str text)
{
	struct matcher *m;
	struct errtext et;
	CHECK_OK(matcher_new(schema_language(s), &m, &et), &et);
	bool yes = matcher_take(m, text.p, text.n) && matcher_may_end(m);
	CHECK_OK(matcher_status(m, &et), &et);
	matcher_free(m);
	return yes;
}

/* ---- small cases: schema, texts that are accepted, texts that are not ---- */

struct small {
	const char *schema;
	const char *yes[8], *no[8];
};

static const struct small small[] = {
	{"true", {"1", "[]", "{\"a\":[null]}", " true"}, {"", "nul", "{,}", "[1,]"}},
	{"{\"type\":\"integer\",\"minimum\":-5,\"exclusiveMaximum\":12}", {"-5", "0", "11", "7"},
		{"-6", "12", "1.5", "-0", "007", "1e1", "111"}},
	{"{\"minimum\":0.5,\"maximum\":10.25}",
		{"0.5", "0.50", "0.51", "9", "10", "10.25", "10.250", "3.999"},
		{"0.4", "0.49999", "0", "10.26", "11", "100", "-1", "10.2500001"}},
	{"{\"maximum\":-2.5}", {"-2.5", "-3", "-2.50", "-10.1", "\"x\""},
		{"-2.4", "-2", "0", "1", "-0.0", "-2.49"}},
	{"{\"multipleOf\":0.25}", {"0", "0.25", "1.5", "7", "-0.75", "2.500"},
		{"0.1", "0.26", "1.255", "-1.7"}},
	{"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
		{"\"ab\"", "\"\\u00e9\xc3\xa9\xf0\x9f\x92\xa9\"", "\"\\ud83d\\udca9x\"",
			"\"\\n\\n\""},
		{"\"a\"", "\"abcd\"", "\"\\ud83d\\udca9\"", "\"\\ud83dx\"", "\"\\udca9a\"",
			"\"a\nb\""}},
	{"{\"pattern\":\"^h\xc3\xa9+$\"}", {"\"h\xc3\xa9\"", "\"h\\u00e9\\u00E9\"", "5"},
		{"\"he\"", "\"h\\u00e8\"", "\"h\""}},
	{"{\"enum\":[\"a\",1,null,[1,{\"k\":\"v\"}]]}",
		{"\"a\"", "\"\\u0061\"", "1", "null", "[1,{\"k\":\"v\"}]",
			"[ 1 , {\"k\" : \"v\"} ]"},
		{"\"b\"", "2", "[1]", "[1,{\"k\":\"w\"}]", "[1,{\"k\":\"v\",\"l\":1}]", "\"ab\"",
			"11"}},
	{"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":["
	 "\"b\"],"
	 "\"additionalProperties\":false}",
		{"{\"b\":\"x\"}", "{\"b\":\"x\",\"a\":1}", "{\"a\":1,\"b\":\"\"}",
			"{\"\\u0062\":\"\"}", "[]"},
		{"{}", "{\"a\":1}", "{\"b\":1}", "{\"b\":\"\",\"c\":1}", "{\"b\":\"\",\"b\":\"\"}",
			"{\"a\":\"\"", "{\"b\":\"\",}"}},
	{"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"y$\":{\"minimum\":5}},"
	 "\"additionalProperties\":{"
	 "\"type\":\"boolean\"}}",
		{"{\"x\":1}", "{\"ay\":7.5}", "{\"xy\":5}", "{\"k\":true}", "{}"},
		{"{\"x\":1.5}", "{\"ay\":4}", "{\"xy\":4}", "{\"xy\":5.5}", "{\"k\":1}"}},
	{"{\"minProperties\":2,\"maxProperties\":2}", {"{\"a\":1,\"b\":2}", "3"},
		{"{}", "{\"a\":1}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"b\":2,\"c\":3}"}},
	{"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":"
	 "\"string\"},\"maxItems\":3}",
		{"[]", "[1]", "[1,\"a\",\"b\"]"}, {"[\"a\"]", "[1,2]", "[1,\"a\",\"b\",\"c\"]"}},
	{"{\"contains\":{\"minimum\":5},\"minContains\":2,\"maxContains\":3,\"items\":{\"type\":"
	 "\"integer\"}}",
		{"[5,6]", "[1,5,2,6]", "[5,6,7,1]"},
		{"[]", "[5]", "[5,6,7,8]", "[1,2,3]", "[5,6.5]"}},
	{"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[1,11,\"a\",true]}}",
		{"[]", "[11,1,\"a\",true]", "[true,1]"},
		{"[1,1]", "[1,11,\"a\",true,1]", "[11,11]", "[1,11,\"a\",true,"}},
	{"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"string\"}}",
		{"[\"a\",\"b\"]", "[\"a\",\"ab\"]"},
		{"[\"a\",\"a\"]", "[\"a\",\"b\",\"\\u0061\"]"}},
	{"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", {"1", "2.5", "\"x\""},
		{"3", "1.5"}},
	{"{\"not\":{\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}}",
		{"{}", "{\"a\":1}", "{\"b\":\"\"}"},
		{"1", "{\"a\":\"\"}", "{\"b\":1,\"a\":\"x\"}"}},
	{"{\"if\":{\"properties\":{\"k\":{\"const\":\"x\"}},\"required\":[\"k\"]},\"then\":{"
	 "\"required\":[\"v\"]},\"else\":{"
	 "\"maxProperties\":1}}",
		{"{\"k\":\"x\",\"v\":1}", "{\"v\":1,\"k\":\"x\"}", "{\"a\":1}", "{}"},
		{"{\"k\":\"x\"}", "{\"a\":1,\"b\":2}"}},
	{"{\"$defs\":{\"n\":{\"properties\":{\"next\":{\"$ref\":\"#/$defs/"
	 "n\"},\"v\":{\"type\":\"integer\"}},"
	 "\"required\":[\"v\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/"
	 "n\",\"type\":\"object\"}",
		{"{\"v\":1}", "{\"v\":1,\"next\":{\"next\":{\"v\":2},\"v\":3}}"},
		{"{\"next\":{\"v\":1}}", "{\"v\":1,\"next\":{}}", "[]"}},
	{"{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":1}}},{\"properties\":{\"a\":{\"maximum\":"
	 "2}}}],"
	 "\"unevaluatedProperties\":false}",
		{"{}", "{\"a\":1}", "{\"a\":1.5}"}, {"{\"a\":3}", "{\"b\":1}", "{\"a\":0}"}},
	{"{\"propertyNames\":{\"maxLength\":2},\"required\":[\"ab\"]}",
		{"{\"ab\":1}", "{\"ab\":1,\"c\":2}"}, {"{}", "{\"ab\":1,\"abc\":2}"}},
	{"{\"dependentRequired\":{\"a\":[\"b\"]}}",
		{"{}", "{\"b\":1}", "{\"a\":1,\"b\":1}", "{\"b\":1,\"a\":1}"},
		{"{\"a\":1}", "{\"a\":1,\"c\":1}"}},
};

static void test_text_schema__small_ones(void)
{
	for (size_t i = 0; i < ARRAY_LEN(small); i++) {
		struct schema *s;
		struct errtext et;
		enum err e = schema_compile(
			str_c(small[i].schema), &(struct schema_options){.lenient = true}, &s, &et);
		if (e)
			tap_fail(__FILE__, __LINE__, "%s: %s", small[i].schema, et.msg);
		for (size_t k = 0; k < 8 && small[i].yes[k]; k++)
			if (!accepts(s, str_c(small[i].yes[k])))
				tap_fail(__FILE__, __LINE__, "%s refuses %s", small[i].schema,
					small[i].yes[k]);
		for (size_t k = 0; k < 8 && small[i].no[k]; k++)
			if (accepts(s, str_c(small[i].no[k])))
				tap_fail(__FILE__, __LINE__, "%s accepts %s", small[i].schema,
					small[i].no[k]);
		schema_free(s);
	}
}

/* A prefix that leads nowhere is refused at its first wrong byte, not later. */
static void test_text_schema__no_dead_ends(void)
{
	static const struct {
		const char *schema, *good, *bad;
	} cases[] = {
		{"{\"enum\":[\"abc\",\"abd\"]}", "\"ab", "\"ac"},
		{"{\"properties\":{\"abc\":{},\"xyz\":false},\"additionalProperties\":false}",
			"{\"ab", "{\"x"},
		{"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1",
			"{\"a\":1,"},
		{"{\"type\":\"array\",\"maxItems\":1}", "[1", "[1,"},
		{"{\"type\":\"array\",\"items\":{\"enum\":[true,false]},\"uniqueItems\":true}",
			"[true,f", "[true,t"},
		{"{\"type\":\"string\",\"pattern\":\"^\\\\u00e9$\"}", "\"\\u00", "\"\\u01"},
		{"{\"const\":\"\xf0\x9f\x92\xa9\"}", "\"\\ud8", "\"\\ud9"},
		{"true", "\"\\ud83d\\udca", "\"\\udca"},
		{"{\"enum\":[\"else\"]}", "\"els\\u0065", "\"else\\"},
		{"{\"enum\":[{\"$ref\":1}]}", "{\"\\u0024", "{\"$ref\\"},
		{"{\"maximum\":9,\"type\":\"integer\"}", "9", "10"},
		{"{\"minimum\":100,\"maximum\":120,\"type\":\"integer\"}", "12", "13"},
		{"{\"required\":[\"a\"],\"maxProperties\":1}", "{\"a", "{\"b"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct schema *s;
		struct matcher *m;
		struct errtext et;
		CHECK_OK(schema_compile(str_c(cases[i].schema),
				 &(struct schema_options){.lenient = true}, &s, &et),
			&et);
		CHECK_OK(matcher_new(schema_language(s), &m, &et), &et);
		if (!matcher_take(m, cases[i].good, strlen(cases[i].good)))
			tap_fail(__FILE__, __LINE__, "%s refuses %s", cases[i].schema,
				cases[i].good);
		matcher_free(m);
		CHECK_OK(matcher_new(schema_language(s), &m, &et), &et);
		if (matcher_take(m, cases[i].bad, strlen(cases[i].bad)))
			tap_fail(__FILE__, __LINE__, "%s takes %s", cases[i].schema, cases[i].bad);
		matcher_free(m);
		schema_free(s);
	}
}

static void test_text_schema__order(void)
{
	struct schema *s;
	struct errtext et;
	CHECK_OK(schema_compile(
			 S("{\"properties\":{\"b\":{},\"a\":{},\"c\":{}},\"required\":[\"a\"]}"),
			 &(struct schema_options){0}, &s, &et),
		&et);
	CHECK(accepts(s, S("{\"b\":1,\"a\":1,\"c\":1,\"z\":0,\"y\":0}")));
	CHECK(accepts(s, S("{\"a\":1,\"z\":1}")));
	CHECK(!accepts(s, S("{\"a\":1,\"b\":1}")));
	CHECK(!accepts(s, S("{\"z\":1,\"a\":1}")));
	CHECK(!accepts(s, S("{\"c\":1,\"a\":1}")));
	CHECK(!accepts(s, S("{\"a\":1,\"z\":1,\"c\":1}")));
	/* as printers write, compact or on lines */
	CHECK(accepts(s, S("{\"b\": 1, \"a\": [1, 2], \"z\": {}}")));
	CHECK(accepts(s, S("{\n  \"a\": [\n    1,\n    2\n  ],\n  \"c\": \"\\u00e9\\n\"\n}")));
	CHECK(!accepts(s, S("{\"a\" :1}")));
	CHECK(!accepts(s, S("{\"a\":1 ,\"c\":1}")));
	CHECK(!accepts(s, S("{\"a\":\n1}")));
	CHECK(!accepts(s, S("{\n\n\"a\":1}")));
	CHECK(!accepts(s, S("{\"\\u0061\":1}")));
	CHECK(!accepts(s, S("{\"a\":\"\\u0061\"}")));
	schema_free(s);
}

static void test_text_schema__refusals(void)
{
	static const struct {
		const char *schema;
		enum err e;
		const char *says;
	} cases[] = {
		{"{\"type\":\"strin\"}", ERR_INVALID, "#/type"},
		{"{\"properties\":{\"a/b\":{\"minLength\":-1}}}", ERR_INVALID,
			"#/properties/a~1b/minLength"},
		{"{\"$ref\":\"#/$defs/x\"}", ERR_INVALID, "points at nothing"},
		{"{\"$ref\":\"https://example.com/x\"}", ERR_UNSUPPORTED, "not fetched"},
		{"{\"format\":\"colour\"}", ERR_UNSUPPORTED, "colour"},
		{"{\"pattern\":\"(a\"}", ERR_INVALID, "#/pattern"},
		{"{\"pattern\":\"(a)\\\\1\"}", ERR_UNSUPPORTED, "#/pattern"},
		{"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]}", ERR_CONFLICT,
			"no value"},
		{"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", ERR_CONFLICT, "no value"},
		{"{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#\"}}"
		 "}",
			ERR_CONFLICT, "no value"},
		{"{\"not\":{\"additionalProperties\":{\"type\":\"string\"}}}", ERR_UNSUPPORTED,
			"additionalProperties"},
		{"{\"$dynamicRef\":\"#x\"}", ERR_UNSUPPORTED, "dynamicRef"},
		{"[]", ERR_INVALID, "object, true or false"},
		{"{", ERR_INVALID, "line"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct schema *s;
		struct errtext et = {0};
		enum err e = schema_compile(
			str_c(cases[i].schema), &(struct schema_options){0}, &s, &et);
		if (e != cases[i].e || !strstr(et.msg, cases[i].says))
			tap_fail(__FILE__, __LINE__, "%s: %s: %s", cases[i].schema, err_word(e),
				et.msg);
	}
}

/* ---- the suite ---- */

struct counts {
	unsigned schemas, refused, yes, yes_refused, no, no_accepted;
};

/* The suite's older drafts do not name themselves. */
static char *schema_text(yyjson_val *schema, const char *draft, size_t *len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *v = yyjson_val_mut_copy(doc, schema);
	yyjson_mut_doc_set_root(doc, v);
	if (yyjson_mut_is_obj(v) && !yyjson_mut_obj_get(v, "$schema"))
		yyjson_mut_obj_add_str(doc, v, "$schema", draft);
	char *text = yyjson_mut_write(doc, 0, len);
	yyjson_mut_doc_free(doc);
	return text;
}

static void run_group(
	const char *file, const char *draft, yyjson_val *group, struct counts *n, bool show)
{
	struct schema *s;
	struct errtext et = {0};
	size_t i, max, len;
	yyjson_val *test;
	char *text = schema_text(yyjson_obj_get(group, "schema"), draft, &len);
	enum err e = schema_compile(
		str_mk(text, len), &(struct schema_options){.lenient = true}, &s, &et);
	n->schemas++;
	if (e == ERR_CONFLICT) { /* then every test must be invalid */
		yyjson_arr_foreach(yyjson_obj_get(group, "tests"), i, max, test)
		{
			bool valid = json_bool(test, "valid", false);
			n->yes += valid;
			n->yes_refused += valid;
			n->no += !valid;
			if (valid)
				tap_note("%s: no value: %s", file, text);
		}
	} else if (e) {
		n->refused++;
		if (show)
			tap_note("%s: %s", file, et.msg);
	} else {
		yyjson_arr_foreach(yyjson_obj_get(group, "tests"), i, max, test)
		{
			char *instance = yyjson_val_write(yyjson_obj_get(test, "data"), 0, &len);
			bool valid = json_bool(test, "valid", false),
			     yes = accepts(s, str_mk(instance, len));
			n->yes += valid;
			n->no += !valid;
			n->yes_refused += valid && !yes;
			n->no_accepted += !valid && yes;
			if (!valid && yes)
				tap_note("UNSOUND %s: %s accepts %s", file, text, instance);
			else if (show && valid && !yes)
				tap_note("%s: %s refuses %s", file, text, instance);
			free(instance);
		}
		schema_free(s);
	}
	free(text);
}

/* Files of a tar archive whose path has `part` and no further folder. */
static void run_archive(
	struct str tar, const char *part, const char *draft, struct counts *n, bool show)
{
	for (size_t at = 0; at + 512 <= tar.n && tar.p[at];) {
		const char *head = tar.p + at;
		size_t size = strtoul(head + 124, NULL, 8);
		const char *in = strstr(head, part), *name = in ? in + strlen(part) : NULL;
		if (name && head[156] != '5' && !strchr(name, '/') && strstr(name, ".json")) {
			yyjson_doc *doc;
			struct errtext et;
			size_t i, max;
			yyjson_val *group;
			CHECK_OK(json_parse(str_mk(head + 512, size), &doc, &et), &et);
			yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, group)
				run_group(name, draft, group, n, show);
			yyjson_doc_free(doc);
		}
		at += 512 + (size + 511) / 512 * 512;
	}
}

static void test_text_schema__the_suite(void)
{
	static const struct {
		const char *folder, *draft;
		unsigned accepted, compiled; /* percent, at least */
	} drafts[] = {
		{"tests/draft2020-12/", "https://json-schema.org/draft/2020-12/schema", 93, 85},
		{"tests/draft2019-09/", "https://json-schema.org/draft/2019-09/schema", 95, 88},
		{"tests/draft7/", "http://json-schema.org/draft-07/schema#", 95, 91},
		{"tests/draft6/", "http://json-schema.org/draft-06/schema#", 95, 92},
		{"tests/draft4/", "http://json-schema.org/draft-04/schema#", 95, 91}};
	const char *path = tap_shared("conformance/json-schema-test-suite.tar.xz");
	struct str tar = tap_unxz(path);
	bool show = getenv("CROFT_TEST_SHOW") != NULL;
	unsigned unsound = 0;
	for (size_t i = 0; i < ARRAY_LEN(drafts); i++) {
		struct counts n = {0};
		run_archive(tar, drafts[i].folder, drafts[i].draft, &n, show);
		CHECK(n.schemas > 100);
		tap_note("%s schemas %u, refused %u; valid texts %u, refused %u; invalid texts %u, "
			 "accepted %u",
			drafts[i].folder, n.schemas, n.refused, n.yes, n.yes_refused, n.no,
			n.no_accepted);
		unsound += n.no_accepted;
		CHECK((n.yes - n.yes_refused) * 100 >= n.yes * drafts[i].accepted);
		CHECK((n.schemas - n.refused) * 100 >= n.schemas * drafts[i].compiled);
	}
	CHECK(unsound == 0);
	free((char *)tar.p);
}

/* ---- parameters of functions, as people write them (the Berkeley Function Calling Leaderboard)
 * ---- */

static void compile_functions(struct str lines, unsigned *n, unsigned *refused)
{
	struct str line;
	while (str_next_line(&lines, &line)) {
		yyjson_doc *doc;
		struct errtext et;
		size_t i, max, len;
		yyjson_val *f;
		if (!line.n)
			continue;
		CHECK_OK(json_parse(line, &doc, &et), &et);
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "function"), i, max, f)
		{
			struct schema *s = NULL;
			char *text = yyjson_val_write(yyjson_obj_get(f, "parameters"), 0, &len);
			enum err e = schema_compile(str_mk(text, len),
				&(struct schema_options){.loose_types = true}, &s, &et);
			++*n;
			*refused += e != OK;
			if (e)
				tap_note("%s: %.300s", et.msg, text);
			schema_free(s);
			free(text);
		}
		yyjson_doc_free(doc);
	}
}

static void test_text_schema__functions(void)
{
	static const char *const files[] = {"simple_java.json", "simple_javascript.json",
		"parallel.json", "irrelevance.json", "simple_python.json.xz", "multiple.json.xz",
		"parallel_multiple.json.xz"};
	unsigned n = 0, refused = 0;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char rel[100];
		struct buf plain = {0};
		struct errtext et;
		snprintf(rel, sizeof rel, "eval/bfcl/%s", files[i]);
		const char *path = tap_shared(rel);
		if (strstr(rel, ".xz")) {
			struct str text = tap_unxz(path);
			compile_functions(text, &n, &refused);
			free((char *)text.p);
			continue;
		}
		CHECK_OK(os_read_file(path, 64 << 20, &plain, &et), &et);
		compile_functions(buf_str(&plain), &n, &refused);
		buf_free(&plain);
	}
	tap_note("%u functions, %u refused", n, refused);
	CHECK(n > 1000);
	CHECK(refused <= 1); /* one has the type "" */
}

/* Each of its parts is within bounds; there are too many of them. */
static void test_text_schema__hostile_ones(void)
{
	struct buf times = {0}, room = {0};
	struct errtext et;
	struct schema *s = NULL;
	buf_addc(&times, "{\"properties\":{\"\":true");
	for (unsigned i = 0; i < 2000; i++) /* small, once it is known that .* is all */
		buf_addf(&times, ",\"p%u\":{\"pattern\":\"^(.*|.*a.{13}|%u)$\"}", i, i);
	buf_addc(&times, "}}");
	uint64_t before = clock_thread_ns();
	CHECK_ERR(
		schema_compile(buf_str(&times), &(struct schema_options){.time_ms = 100}, &s, &et),
		ERR_TOO_LARGE);
	CHECK(str_find(str_c(et.msg), S("too long to compile")) != STR_NONE);
	CHECK(clock_thread_ns() - before < 10000000000ull);
	buf_addc(&room, "{\"properties\":{\"\":true");
	for (unsigned i = 0; i < 600; i++) {
		buf_addf(&room, ",\"p%u\":{\"allOf\":[true", i);
		for (unsigned j = 0; j < 3; j++) {
			buf_addc(&room, ",{\"anyOf\":[false");
			for (unsigned v = 0; v < 8; v++)
				buf_addf(&room, ",{\"properties\":{\"q%u_%u\":{\"const\":%u}}}", i,
					j, v);
			buf_addc(&room, "]}");
		}
		buf_addc(&room, "]}");
	}
	buf_addc(&room, "}}");
	CHECK_ERR(schema_compile(
			  buf_str(&room), &(struct schema_options){.time_ms = 600000}, &s, &et),
		ERR_TOO_LARGE);
	CHECK(str_find(str_c(et.msg), S("MiB")) != STR_NONE);
	CHECK(!s);
	buf_free(&times);
	buf_free(&room);
}

TESTS(T(test_text_schema__small_ones), T(test_text_schema__no_dead_ends),
	T(test_text_schema__order), T(test_text_schema__refusals),
	T_LONG(test_text_schema__the_suite, 120), T(test_text_schema__functions),
	T(test_text_schema__hostile_ones))
