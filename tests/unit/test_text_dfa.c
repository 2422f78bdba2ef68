#include "tap.h"
#include "text/dfa_int.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t tag_of(const struct dfa *d, struct str s)
{
	uint32_t state = dfa_start(d);
	for (size_t i = 0; i < s.n; i++)
		state = dfa_step(d, state, (uint8_t)s.p[i]);
	return dfa_accept(d, state);
}

static const struct dfa *regex(struct arena *a, const char *pattern, unsigned flags)
{
	struct errtext et = {0};
	const struct dfa *d = NULL;
	enum err e = dfa_regex(a, str_c(pattern), flags, &d, &et);
	if (e)
		FAIL("/%s/: %s: %s", pattern, err_word(e), err_text(e, &et));
	return d;
}

static void test_text_dfa__regex(void)
{
	static const struct {
		const char *pattern, *text;
		bool whole, search;
	} rows[] = {
		{"a+b?", "aab", 1, 1},
		{"a+b?", "xaab", 0, 1},
		{"^a", "ba", 0, 0},
		{"^a|b$", "ab", 0, 1},
		{"(?:a|b)*c", "ababc", 1, 1},
		{"a{2,3}", "aaaa", 0, 1},
		{"a{2,3}", "aaa", 1, 1},
		{".", "\n", 0, 0},
		{".", "\xC3\xA9", 1, 1},
		{"[^a-z]", "\xF0\x9F\x98\x80", 1, 1},
		{"\\bfoo\\b", "a foo b", 0, 1},
		{"\\bfoo\\b", "afoo b", 0, 0},
		{"\\bfoo\\b", "foo", 1, 1},
		{"a\\Bb", "ab", 1, 1},
		{"a\\bb", "ab", 0, 0},
		{"\\p{Lu}+",
			"\xC3\x84"
			"B",
			1, 1},
		{"^(?!foo)[a-z]+$", "foobar", 0, 0},
		{"^(?!foo)[a-z]+$", "fobar", 1, 1},
		{"(?=.*\\d)(?=.*[a-z]).{4,}", "abc1", 1, 1},
		{"(?=.*\\d)(?=.*[a-z]).{4,}", "abcd", 0, 0},
		{"(?<=a)b", "ab", 0, 1},
		{"(?<=a)b", "cb", 0, 0},
		{"(?<!a)b", "ab", 0, 0},
		{"(?:(?!--).)*", "a-b-c", 1, 1},
		{"(?:(?!--).)*", "a--c", 0, 1},
		{"", "", 1, 1},
		{"", "x", 0, 1},
		{"$^", "", 1, 1},
		{"a$b", "ab", 0, 0},
		{"[]", "", 0, 0},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool whole = tag_of(regex(a, rows[i].pattern, DFA_WHOLE), str_c(rows[i].text));
		bool search = tag_of(regex(a, rows[i].pattern, DFA_SEARCH), str_c(rows[i].text));
		if (whole != rows[i].whole || search != rows[i].search)
			FAIL("/%s/ on \"%s\": %d %d", rows[i].pattern, rows[i].text, whole, search);
	}
	arena_free(a);
}

static void test_text_dfa__texts(void)
{
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	const struct dfa *d, *no, *both, *none = NULL;
	struct str texts[] = {S("tea"), S("ten"), S(""), S("tea"), S("\xC3\xA9t")}, *list;
	size_t n;
	CHECK_OK(dfa_texts(a, texts, ARRAY_LEN(texts), &d, &et), &et);
	CHECK_INT(tag_of(d, S("tea")), 1);
	CHECK_INT(tag_of(d, S("ten")), 2);
	CHECK_INT(tag_of(d, S("")), 3);
	CHECK_INT(tag_of(d, S("\xC3\xA9t")), 5);
	CHECK_INT(tag_of(d, S("te")), 0);
	CHECK_INT(dfa_count(d, 100), 4);
	CHECK_OK(dfa_list(a, d, 4, &list, &n, &et), &et);
	CHECK_INT(n, 4);
	CHECK_STR(list[0], "");
	CHECK_STR(list[1], "tea");
	CHECK_STR(list[2], "ten");
	CHECK_OK(dfa_list(a, d, 3, &list, &n, &et), &et);
	CHECK(n == SIZE_MAX);
	CHECK_OK(dfa_not(a, d, &no, &et), &et);
	CHECK_INT(tag_of(no, S("tea")), 0);
	CHECK_INT(tag_of(no, S("teas")), 1);
	CHECK_OK(dfa_and(a, d, no, &both, &et), &et);
	CHECK(!both);
	CHECK_OK(dfa_or(a, d, no, &both, &et), &et);
	CHECK_INT(tag_of(both, S("ten")), 2);
	CHECK_OK(dfa_length(a, d, 1, 2, &none, &et), &et);
	CHECK_INT(dfa_count(none, 9), 1);
	arena_free(a);
}

TESTS(T(test_text_dfa__regex), T(test_text_dfa__texts))
