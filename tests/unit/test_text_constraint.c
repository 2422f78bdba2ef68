/* Constraints: compiled once per content, counted, bounded, used by many threads. */
#include "text/constraint.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/json.h"
#include "base/thread.h"
#include "tap.h"

static struct errtext et;

static bool accepts(const struct constraint *c, const char *text)
{
	struct matcher *m;
	CHECK_OK(matcher_new(constraint_language(c), &m, &et), &et);
	bool yes = matcher_take(m, text, strlen(text)) && matcher_may_end(m);
	matcher_free(m);
	return yes;
}

static void test_text_constraint__same_content_same_language(void)
{
	struct constraints *k = constraints_new(4);
	struct constraint *a, *b, *c;
	CHECK_OK(constraint_get(k, CONSTRAINT_REGEX, S("a+"), &a, &et), &et);
	CHECK_OK(constraint_get(k, CONSTRAINT_REGEX, S("a+"), &b, &et), &et);
	CHECK_OK(constraint_get(k, CONSTRAINT_CHOICE, S("[\"a+\", \"b\"]"), &c, &et), &et);
	CHECK(a == b && a != c);
	CHECK(accepts(a, "aa") && !accepts(a, "a+") && accepts(c, "a+") && !accepts(c, "aa"));
	constraint_put(k, a);
	constraint_put(k, b);
	constraint_put(k, c);
	constraint_put(k, NULL);
	CHECK(!constraint_language(NULL));
	constraints_free(k);
}

static void test_text_constraint__what_is_used_outlives_the_cache(void)
{
	struct constraints *k = constraints_new(2);
	struct constraint *first, *c;
	char pattern[8];
	CHECK_OK(constraint_get(k, CONSTRAINT_REGEX, S("first"), &first, &et), &et);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(pattern, sizeof pattern, "x%u", i);
		CHECK_OK(constraint_get(k, CONSTRAINT_REGEX, str_c(pattern), &c, &et), &et);
		constraint_put(k, c);
	}
	CHECK(accepts(first, "first"));
	CHECK_OK(constraint_get(k, CONSTRAINT_REGEX, S("first"), &c, &et), &et);
	CHECK(c != first);
	constraint_put(k, c);
	constraint_put(k, first);
	constraints_free(k);
}

static void test_text_constraint__schemas(void)
{
	struct constraints *k = constraints_new(4);
	struct constraint *a, *b;
	struct str text =
		S("{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"integer\"},\"a\":{}},"
		  "\"required\":[\"b\",\"a\"]}");
	CHECK_OK(constraint_get(k, CONSTRAINT_SCHEMA, text, &a, &et), &et);
	CHECK_OK(constraint_get(k, CONSTRAINT_SCHEMA, text, &b, &et), &et);
	CHECK(a == b);
	CHECK(accepts(a, "{\"b\": 1, \"a\": [null]}"));
	CHECK(!accepts(a, "{\"a\": 1, \"b\": 1}") && !accepts(a, "{\"b\": 1}"));
	constraint_put(k, a);
	constraint_put(k, b);
	CHECK_ERR(
		constraint_get(k, CONSTRAINT_SCHEMA, S("{\"type\":\"x\"}"), &a, &et), ERR_INVALID);
	constraints_free(k);
}

static void test_text_constraint__errors(void)
{
	struct constraints *k = constraints_new(2);
	struct constraint *c;
	CHECK_ERR(constraint_get(k, CONSTRAINT_CHOICE, S("[]"), &c, &et), ERR_INVALID);
	CHECK_ERR(constraint_get(k, CONSTRAINT_CHOICE, S("{}"), &c, &et), ERR_INVALID);
	CHECK_ERR(constraint_get(k, CONSTRAINT_CHOICE, S("[\"a\", 1]"), &c, &et), ERR_INVALID);
	CHECK_STR(str_c(et.msg), "choice 1 is not a string");
	CHECK_ERR(constraint_get(k, CONSTRAINT_GRAMMAR, S("x ::= y"), &c, &et), ERR_INVALID);
	CHECK_ERR(constraint_get(k, CONSTRAINT_NONE, S(""), &c, &et), ERR_INVALID);
	constraints_free(k);
}

/* Whatever the object's language ends with, a JSON parser reads. */
static void test_text_constraint__objects_are_json(void)
{
	struct constraints *k = constraints_new(2);
	struct constraint *c;
	uint64_t seed = 7;
	unsigned ended = 0;
	CHECK_OK(constraint_get(k, CONSTRAINT_OBJECT, S(""), &c, &et), &et);
	CHECK(accepts(c, "{\"a\\uD83D\\uDE00\": [1, -0.5e+3, true, {}, \"\\/é\"]}"));
	CHECK(!accepts(c, "[1]") && !accepts(c, "{\"\\uD83D\": 1}") &&
		!accepts(c, "{\"\\uDE00\": 1}"));
	for (unsigned i = 0; i < 3000; i++) {
		struct matcher *m;
		struct buf text = {0};
		CHECK_OK(matcher_new(constraint_language(c), &m, &et), &et);
		for (unsigned n = 0; n < 400; n++) {
			static const char likely[] = "{}[]\":,\\ua1D8dc0-.e+tn rflsu\n";
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			char byte = (char)(seed >> 40);
			if (seed >> 61)
				byte = likely[(seed >> 33) % (sizeof likely - 1)];
			if (matcher_take(m, &byte, 1))
				buf_putc(&text, byte);
			if (text.n > 3 && matcher_may_end(m))
				break;
		}
		if (matcher_may_end(m)) {
			yyjson_doc *doc;
			CHECK_OK(json_parse(buf_str(&text), &doc, &et), &et);
			yyjson_doc_free(doc);
			ended++;
		}
		buf_free(&text);
		matcher_free(m);
	}
	CHECK(ended > 500);
	constraint_put(k, c);
	constraints_free(k);
}

static void *work(void *arg)
{
	struct constraints *k = arg;
	for (unsigned i = 0; i < 300; i++) {
		struct constraint *c;
		char pattern[8];
		snprintf(pattern, sizeof pattern, "x%u", i % 7);
		CHECK_OK(constraint_get(k, CONSTRAINT_REGEX, str_c(pattern), &c, NULL), &et);
		CHECK(accepts(c, pattern));
		constraint_put(k, c);
	}
	return NULL;
}

static void test_text_constraint__threads(void)
{
	struct constraints *k = constraints_new(3);
	pthread_t t[4];
	for (unsigned i = 0; i < 4; i++)
		CHECK_OK(thread_start(&t[i], work, k, "work", &et), &et);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	constraints_free(k);
}

struct shared {
	struct constraints *k;
	enum err e;
};

/* Not a quick one, so that all but a few wait for their turn. */
static void *work_slowly(void *arg)
{
	struct shared *s = arg;
	struct constraint *c;
	s->e = constraint_get(s->k, CONSTRAINT_REGEX, S("(.*|.*a.{13})b"), &c, NULL);
	if (!s->e) {
		CHECK(accepts(c, "ab"));
		constraint_put(s->k, c);
	}
	return NULL;
}

static void test_text_constraint__a_few_compile_at_once(void)
{
	struct constraints *k = constraints_new(3);
	struct shared s[12];
	pthread_t t[12];
	for (unsigned i = 0; i < 12; i++) {
		s[i] = (struct shared){k, OK};
		CHECK_OK(thread_start(&t[i], work_slowly, &s[i], "work", &et), &et);
	}
	for (unsigned i = 0; i < 12; i++) {
		pthread_join(t[i], NULL);
		CHECK_OK(s[i].e, &et);
	}
	constraints_free(k);
}

TESTS(T(test_text_constraint__same_content_same_language),
	T(test_text_constraint__what_is_used_outlives_the_cache), T(test_text_constraint__schemas),
	T(test_text_constraint__errors), T(test_text_constraint__objects_are_json),
	T(test_text_constraint__threads), T(test_text_constraint__a_few_compile_at_once))
