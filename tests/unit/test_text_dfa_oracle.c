/* What node's own RegExp says about thousands of expressions (tools/oracle/regex.js). */
#include "tap.h"
#include "base/json.h"
#include "base/os.h"
#include "text/dfa.h"

#include <stdio.h>
#include <stdlib.h>

static yyjson_doc *golden(void)
{
	struct errtext et = {0};
	struct buf b = {0};
	yyjson_doc *doc = NULL;
	CHECK_OK(os_read_file(tap_source("tests/golden/regex/node.json"), 64 << 20, &b, &et), &et);
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	buf_free(&b);
	return doc;
}

static struct str text_of(yyjson_val *v)
{
	return str_mk(yyjson_get_str(v), yyjson_get_len(v));
}

static bool accepted(const struct dfa *d, struct str s)
{
	uint32_t state = dfa_start(d);
	for (size_t i = 0; i < s.n; i++)
		state = dfa_step(d, state, (uint8_t)s.p[i]);
	return dfa_accept(d, state);
}

/* The i-th of the bits that are written as hexadecimal digits. */
static bool bit(const char *hex, size_t i)
{
	char c = hex[i / 4];
	int d = c <= '9' ? c - '0' : c - 'a' + 10;
	return d >> (3 - i % 4) & 1;
}

struct tally {
	size_t cases, answers, wrong, refused;
};

static void compare(
	struct tally *t, struct str pattern, unsigned flags, yyjson_val *texts, const char *want)
{
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	const struct dfa *d = NULL;
	enum err e = dfa_regex(a, pattern, flags, &d, &et);
	t->cases++;
	if (e) {
		t->refused++;
		tap_note("/%.*s/ %u: %s: %s", STR_FMT(pattern), flags, err_word(e),
			err_text(e, &et));
	}
	yyjson_val *text;
	size_t i, n, wrong = 0;
	yyjson_arr_foreach(texts, i, n, text)
	{
		if (e)
			break;
		t->answers++;
		if (accepted(d, text_of(text)) == bit(want, i))
			continue;
		if (!wrong++ && t->wrong < 20)
			tap_note("/%.*s/ %u on \"%.*s\" (%zu): not %d", STR_FMT(pattern), flags,
				STR_FMT(text_of(text)), i, bit(want, i));
	}
	t->wrong += wrong;
	arena_free(a);
}

static struct tally compare_group(yyjson_doc *doc, const char *name)
{
	struct tally t = {0};
	yyjson_val *group, *c;
	size_t i, j, n, m;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "groups"), i, n, group)
	{
		if (!yyjson_equals_str(yyjson_obj_get(group, "name"), name))
			continue;
		yyjson_arr_foreach(yyjson_obj_get(group, "cases"), j, m, c)
		{
			yyjson_val *texts = yyjson_obj_get(c, "t");
			if (!texts)
				texts = yyjson_obj_get(group, "texts");
			struct str p = text_of(yyjson_obj_get(c, "p"));
			unsigned f =
				yyjson_equals_str(yyjson_obj_get(c, "f"), "i") ? DFA_CASELESS : 0;
			compare(&t, p, f | DFA_SEARCH, texts,
				yyjson_get_str(yyjson_obj_get(c, "s")));
			compare(&t, p, f, texts, yyjson_get_str(yyjson_obj_get(c, "w")));
		}
	}
	tap_note("%s: %zu automata, %zu answers, %zu wrong, %zu refused", name, t.cases, t.answers,
		t.wrong, t.refused);
	return t;
}

static void check_group(const char *name, size_t cases_min, size_t refused_max)
{
	yyjson_doc *doc = golden();
	struct tally t = compare_group(doc, name);
	yyjson_doc_free(doc);
	CHECK(t.cases >= cases_min);
	CHECK_INT(t.wrong, 0);
	CHECK(t.refused <= refused_max);
}

static void test_text_dfa_oracle__random(void)
{
	check_group("random", 8000, 0);
}

static void test_text_dfa_oracle__look_around(void)
{
	check_group("looks", 6000, 0);
}

static void test_text_dfa_oracle__by_hand(void)
{
	check_group("hand", 400, 0);
}

static void test_text_dfa_oracle__characters(void)
{
	check_group("characters", 600, 0);
}

static void test_text_dfa_oracle__json_schema_suite(void)
{
	check_group("suite", 100, 0);
}

/* What node accepts is accepted, or refused as not regular; what it refuses with the u flag and
 * without is a syntax error. */
static void test_text_dfa_oracle__syntax(void)
{
	yyjson_doc *doc = golden();
	yyjson_val *c;
	size_t i, n, wrong = 0, refused = 0;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "syntax"), i, n, c)
	{
		struct str p = text_of(yyjson_obj_get(c, "p"));
		bool ok = yyjson_get_bool(yyjson_obj_get(c, "ok"));
		struct arena *a = arena_new(0);
		struct errtext et = {0};
		const struct dfa *d;
		enum err e = dfa_regex(a, p, DFA_SEARCH, &d, &et);
		refused += e == ERR_UNSUPPORTED;
		if ((ok && e && e != ERR_UNSUPPORTED) ||
			(!ok && e != ERR_INVALID && e != ERR_UNSUPPORTED)) {
			wrong++;
			tap_note("/%.*s/ ok %d: %s: %s", STR_FMT(p), ok, err_word(e),
				err_text(e, &et));
		}
		arena_free(a);
	}
	yyjson_doc_free(doc);
	tap_note("%zu expressions, %zu unsupported", n, refused);
	CHECK(n >= 3000);
	CHECK_INT(wrong, 0);
	CHECK(refused < 100);
}

TESTS(T(test_text_dfa_oracle__random), T(test_text_dfa_oracle__look_around),
	T(test_text_dfa_oracle__by_hand), T(test_text_dfa_oracle__characters),
	T(test_text_dfa_oracle__json_schema_suite), T(test_text_dfa_oracle__syntax))
