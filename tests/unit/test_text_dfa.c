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

/* ---- laws, on random automata ---- */

static uint32_t seed = 7;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(seed >> 8) * n >> 24);
}

enum { LETTERS = 5, DEPTH = 5, TABLE_MAX = 7 };
/* The fourth shares its first byte with the third; the last is beyond 0xFFFF. */
static const char *const letters[LETTERS] = {"a", "b", "\xC3\xA9", "\xC3\xAA", "\xF0\x9F\x98\x80"};

struct table {
	uint32_t n, next[TABLE_MAX * 256], tags[TABLE_MAX];
};

static struct table random_table(void)
{
	static const uint8_t used[] = {
		'a', 'b', 0xC3, 0xA9, 0xAA, 0xF0, 0x9F, 0x98, 0x80, 0x81, 0xFF, 0xC0};
	struct table t = {.n = 1 + rnd(TABLE_MAX)};
	memset(t.next, 0xFF, sizeof t.next);
	for (uint32_t s = 0; s < t.n; s++) {
		t.tags[s] = rnd(2);
		for (size_t i = 0; i < ARRAY_LEN(used); i++)
			if (rnd(5))
				t.next[s * 256 + used[i]] = rnd(t.n);
		for (uint32_t b = 0x80, to = rnd(t.n); b < 0xC0 && !rnd(4); b++)
			t.next[s * 256 + b] = to; /* runs of continuation bytes */
	}
	return t;
}

static uint32_t table_tag(const struct table *t, struct str s)
{
	uint32_t state = 0;
	for (size_t i = 0; i < s.n && state != DFA_DEAD; i++)
		state = t->next[state * 256 + (uint8_t)s.p[i]];
	return state == DFA_DEAD ? 0 : t->tags[state];
}

/* Calls fn for every text of at most DEPTH letters. */
static void each_text(void (*fn)(void *ctx, struct str s, uint32_t n_letters), void *ctx)
{
	char text[DEPTH * 4 + 1];
	for (uint32_t n = 0, all = 1; n <= DEPTH; n++, all *= LETTERS)
		for (uint32_t k = 0; k < all; k++) {
			size_t len = 0;
			for (uint32_t i = 0, rest = k; i < n; i++, rest /= LETTERS) {
				size_t l = strlen(letters[rest % LETTERS]);
				memcpy(text + len, letters[rest % LETTERS], l);
				len += l;
			}
			fn(ctx, str_mk(text, len), n);
		}
}

/* Equal sets have equal automata. */
static bool same(const struct dfa *x, const struct dfa *y)
{
	if (dfa_states(x) != dfa_states(y))
		return false;
	for (uint32_t s = 0; s < dfa_states(x); s++) {
		if (dfa_accept(x, s) != dfa_accept(y, s))
			return false;
		for (uint32_t b = 0; b < 256; b++)
			if (dfa_step(x, s, (uint8_t)b) != dfa_step(y, s, (uint8_t)b))
				return false;
	}
	return true;
}

struct sets {
	struct table tx, ty;
	const struct dfa *any, *x, *y, *and, * or, *not_x, *not_y, *length, *tagged;
	uint32_t min, max;
};

static void check_text(void *ctx, struct str s, uint32_t n)
{
	const struct sets *t = ctx;
	bool x = table_tag(&t->tx, s), y = table_tag(&t->ty, s);
	CHECK(tag_of(t->any, s));
	CHECK_INT(tag_of(t->x, s), x);
	CHECK_INT(tag_of(t->y, s), y);
	CHECK_INT(tag_of(t->and, s), x && y);
	CHECK_INT(tag_of(t->or, s), x || y);
	CHECK_INT(tag_of(t->not_x, s), !x);
	CHECK_INT(tag_of(t->tagged, s), x ? 1 : y ? 3 : 0);
	CHECK_INT(tag_of(t->length, s), x && n >= t->min && n <= t->max);
}

static void make_sets(struct arena *a, struct sets *t, struct errtext *et)
{
	t->tx = random_table();
	t->ty = random_table();
	t->min = rnd(3);
	t->max = rnd(3) ? t->min + rnd(3) : UINT32_MAX;
	CHECK_OK(dfa_any(a, &t->any, et), et);
	CHECK_OK(dfa_table(a, t->tx.next, t->tx.tags, t->tx.n, &t->x, et), et);
	CHECK_OK(dfa_table(a, t->ty.next, t->ty.tags, t->ty.n, &t->y, et), et);
	CHECK_OK(dfa_and(a, t->x, t->y, &t->and, et), et);
	CHECK_OK(dfa_or(a, t->x, t->y, &t->or, et), et);
	CHECK_OK(dfa_not(a, t->x, &t->not_x, et), et);
	CHECK_OK(dfa_not(a, t->y, &t->not_y, et), et);
	CHECK_OK(dfa_length(a, t->x, t->min, t->max, &t->length, et), et);
	CHECK_OK(dfa_tagged(a, (const struct dfa *[]){t->x, NULL, t->y, t->x}, 4, &t->tagged, et),
		et);
}

/* From every state something accepted can be reached; no two states accept the same; free states
 * are those from which nothing is refused. */
static void check_shape(const struct dfa *d)
{
	uint32_t n = dfa_states(d), n_classes = 0, before = UINT32_MAX;
	uint32_t *class = calloc(n + 1, sizeof *class), *sig = malloc((n + 1) * 257 * sizeof *sig);
	bool *live = calloc(n + 1, 1), *bound = calloc(n + 1, 1);
	for (uint32_t s = 0; s < n; s++)
		class[s] = dfa_accept(d, s);
	while (n_classes != before) { /* Moore: split by what bytes lead to */
		before = n_classes;
		n_classes = 0;
		for (uint32_t s = 0; s < n; s++) {
			uint32_t *mine = sig + (size_t)s * 257;
			for (uint32_t b = 0; b < 256; b++) {
				uint32_t to = dfa_step(d, s, (uint8_t)b);
				mine[b] = to == DFA_DEAD ? DFA_DEAD : class[to];
			}
			mine[256] = class[s];
		}
		for (uint32_t s = 0; s < n; s++) {
			uint32_t t = 0;
			while (memcmp(
				sig + (size_t)t * 257, sig + (size_t)s * 257, 257 * sizeof *sig))
				t++;
			class[s] = t == s ? n_classes++ : class[t];
		}
	}
	CHECK_INT(n_classes, n);
	for (bool more = true; more;) {
		more = false;
		for (uint32_t s = 0; s < n; s++) {
			bool was_live = live[s], was_bound = bound[s];
			bool between = dfa_step(d, s, 0x80) == DFA_DEAD;
			for (uint32_t b = 0x81; b < 0xC0; b++)
				between = between && dfa_step(d, s, (uint8_t)b) == DFA_DEAD;
			live[s] = live[s] || dfa_accept(d, s);
			bound[s] = bound[s] || (between && !dfa_accept(d, s));
			for (uint32_t b = 0; b < 256; b++) {
				uint32_t to = dfa_step(d, s, (uint8_t)b);
				live[s] = live[s] || (to != DFA_DEAD && live[to]);
				bound[s] = bound[s] || (to != DFA_DEAD && bound[to]);
				if (between && to == DFA_DEAD &&
					(b < 0x80 || (b > 0xC1 && b < 0xF5)))
					bound[s] = true;
			}
			more = more || live[s] != was_live || bound[s] != was_bound;
		}
	}
	for (uint32_t s = 0; s < n; s++) {
		CHECK(live[s]);
		if (dfa_is_free(d, s))
			CHECK(!bound[s]);
	}
	free(class);
	free(sig);
	free(live);
	free(bound);
}

static void test_text_dfa__laws(void)
{
	struct errtext et = {0};
	for (int round = 0; round < 150; round++) {
		struct arena *a = arena_new(0);
		struct sets t;
		const struct dfa *p, *q;
		make_sets(a, &t, &et);
		each_text(check_text, &t);
		CHECK_OK(dfa_not(a, t.and, &p, &et), &et); /* De Morgan */
		CHECK_OK(dfa_or(a, t.not_x, t.not_y, &q, &et), &et);
		CHECK(same(p, q));
		CHECK_OK(dfa_not(a, t.not_x, &p, &et), &et);
		CHECK(same(p, t.x));
		CHECK_OK(dfa_and(a, t.x, t.not_x, &p, &et), &et);
		CHECK(!p);
		CHECK_OK(dfa_or(a, t.x, t.not_x, &p, &et), &et);
		CHECK(same(p, t.any));
		CHECK_OK(dfa_and(a, t.any, t.x, &p, &et), &et);
		CHECK(same(p, t.x));
		CHECK_OK(dfa_or(a, t.y, t.x, &p, &et), &et);
		CHECK(same(p, t.or));
		check_shape(t.x);
		check_shape(t.and);
		check_shape(t.not_x);
		check_shape(t.tagged);
		arena_free(a);
	}
}

/* The numbers of the states are those of the set, whatever made it. */
static void test_text_dfa__one_form(void)
{
	static const char *const pairs[][2] = {
		{"\\x03(?:\\({\")*a(?:\\b|\")*a", "\\x03(\\({\")*(aa|a\"+a)"},
		{"a|b|c", "[a-c]"},
		{"\\b-\\b", "(?<=\\w)-(?=\\w)"},
		{"(?!a)[^]", "[^a]"},
		{"(?:x|y)*", "(x*y*)*"},
		{".", "[^\\n\\r\\u2028\\u2029]"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		for (unsigned flags = 0; flags < 4; flags++)
			if (!same(regex(a, pairs[i][0], flags), regex(a, pairs[i][1], flags)))
				FAIL("/%s/ is not /%s/ (%u)", pairs[i][0], pairs[i][1], flags);
	arena_free(a);
}

struct counting {
	const struct dfa *d;
	size_t n;
};

static void count_text(void *ctx, struct str s, uint32_t n)
{
	struct counting *c = ctx;
	c->n += tag_of(c->d, s) != 0;
}

static void test_text_dfa__counts(void)
{
	struct errtext et = {0};
	struct arena *a = arena_new(0);
	const struct dfa *words = regex(a, "[ab\xC3\xA9\xC3\xAA\xF0\x9F\x98\x80]*", DFA_WHOLE), *d;
	for (int round = 0; round < 100; round++) {
		struct table t = random_table();
		struct str *list;
		size_t n;
		CHECK_OK(dfa_table(a, t.next, t.tags, t.n, &d, &et), &et);
		CHECK_OK(dfa_and(a, d, words, &d, &et), &et);
		CHECK_OK(dfa_length(a, d, 0, DEPTH, &d, &et), &et);
		struct counting c = {d, 0};
		each_text(count_text, &c);
		CHECK_INT(dfa_count(d, SIZE_MAX), c.n);
		CHECK_INT(dfa_count(d, 3), MIN(c.n, 3));
		CHECK_OK(dfa_list(a, d, c.n, &list, &n, &et), &et);
		CHECK_INT(n, c.n);
		for (size_t i = 0; i < n; i++) {
			CHECK(tag_of(d, list[i]));
			if (i)
				CHECK(list[i - 1].n < list[i].n ||
					(list[i - 1].n == list[i].n &&
						str_cmp(list[i - 1], list[i]) < 0));
		}
		const struct dfa *again;
		CHECK_OK(dfa_texts(a, list, n, &again, &et), &et);
		CHECK_OK(dfa_and(a, again, again, &again, &et), &et); /* tag 1 */
		CHECK_OK(dfa_and(a, d, d, &d, &et), &et);
		CHECK(same(again, d));
	}
	CHECK_INT(dfa_count(words, 1000), 1000);
	CHECK_INT(dfa_count(regex(a, "[^]", DFA_WHOLE), SIZE_MAX), 0x110000 - 0x800);
	CHECK_INT(dfa_count(NULL, 5), 0);
	arena_free(a);
}

/* What dfa_any accepts is what utf8_valid does: all of three bytes, and the edges of four. */
static void test_text_dfa__utf8(void)
{
	static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1,
		0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	const struct dfa *any, *none;
	char t[4];
	CHECK_OK(dfa_any(a, &any, &et), &et);
	CHECK_OK(dfa_not(a, any, &none, &et), &et);
	CHECK(!none);
	CHECK_OK(dfa_not(a, NULL, &none, &et), &et);
	CHECK(same(any, none));
	for (uint32_t i = 0; i < 1 << 24; i++) {
		memcpy(t, &i, 3);
		CHECK(!tag_of(any, str_mk(t, 3)) == !utf8_valid(str_mk(t, 3)));
	}
	size_t n = ARRAY_LEN(edges);
	for (size_t i = 0; i < n * n * n * n; i++) {
		t[0] = (char)edges[i % n];
		t[1] = (char)edges[i / n % n];
		t[2] = (char)edges[i / n / n % n];
		t[3] = (char)edges[i / n / n / n];
		CHECK(!tag_of(any, str_mk(t, 4)) == !utf8_valid(str_mk(t, 4)));
	}
	CHECK_INT(dfa_states(any), 8);
	CHECK(dfa_is_free(any, dfa_start(any)));
	CHECK(!dfa_is_free(any, dfa_step(any, dfa_start(any), 0xC3)));
	arena_free(a);
}

/* ---- limits and errors ---- */

static void test_text_dfa__errors(void)
{
	static const struct {
		const char *pattern;
		enum err e;
		const char *says;
	} rows[] = {
		{"a(b", ERR_INVALID, "offset 1"},
		{"ab)", ERR_INVALID, "offset 2"},
		{"[a-", ERR_INVALID, "offset 3"},
		{"x[z-a]", ERR_INVALID, "offset 2"},
		{"a**", ERR_INVALID, "offset 2"},
		{"a{2}{3}", ERR_INVALID, "offset 4"},
		{"a{3,2}", ERR_INVALID, "offset 1"},
		{"\\", ERR_INVALID, "offset 1"},
		{"ab\\q", ERR_INVALID, "offset 2"},
		{"\\p{Nope}", ERR_INVALID, "offset 2"},
		{"\\p{greek}", ERR_INVALID, "offset 2"},
		{"(?=a)*", ERR_INVALID, "offset 5"},
		{"(?i:a)", ERR_UNSUPPORTED, "offset 1"},
		{"(?#a)", ERR_INVALID, "offset 1"},
		{"\xFF", ERR_INVALID, "UTF-8"},
		{"(a)\\1", ERR_UNSUPPORTED, "offset 3"},
		{"\\1", ERR_INVALID, "offset 0"},
		{"(?<x>a)\\k<x>", ERR_UNSUPPORTED, "offset 7"},
		{"(?<=(?=a)a)b", ERR_UNSUPPORTED, "offset 4"},
		{"(a|b)*a(a|b){20}", ERR_TOO_LARGE, "states"},
		{"(x{1000}){1000}", ERR_TOO_LARGE, "bounds"},
		{"(((((a{99}){99}){99}){99}){99}){99}", ERR_TOO_LARGE, "bounds"},
		{".{1,50000}", ERR_TOO_LARGE, "states"},
		{"\\p{L}{1,1000}", ERR_TOO_LARGE, "states"},
		{"(?<=a.{20})b", ERR_TOO_LARGE, "states"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = {0};
		const struct dfa *d = (const struct dfa *)rows;
		enum err e = dfa_regex(a, str_c(rows[i].pattern), DFA_WHOLE, &d, &et);
		if (e != rows[i].e || !strstr(et.msg, rows[i].says))
			FAIL("/%s/: %s: %s", rows[i].pattern, err_word(e), et.msg);
		CHECK(d == (const struct dfa *)rows);
	}
	CHECK(arena_used(a) == 0);
	arena_free(a);
}

/* Expressions that are built to explode end soon, whatever comes of them. */
static void test_text_dfa__hostile(void)
{
	static const char *const parts[] = {"(", "(?:a|", "[^", "(?=.*", "(?!", "(?<!", "\\p{L}",
		"[\\p{L}\\p{N}]", "(a?", "x{0,9}", "\xE4\xB8\x80?", "[^]{2}|", "\\b.*", "(.*a)"};
	struct buf b = {0};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		for (unsigned flags = 0; flags < 4; flags += 3) {
			struct arena *a = arena_new(64 << 20);
			struct errtext et = {0};
			const struct dfa *d;
			buf_clear(&b);
			while (b.n + strlen(parts[i]) < DFA_PATTERN_MAX)
				buf_addc(&b, parts[i]);
			enum err e = dfa_regex(a, buf_str(&b), flags, &d, &et);
			CHECK(e == OK || e == ERR_TOO_LARGE || e == ERR_INVALID);
			CHECK(arena_used(a) == 0 || e == OK);
			arena_free(a);
		}
	buf_free(&b);
}

/* An arena that is too small is an error, at whatever place it runs out. */
static void test_text_dfa__small_arena(void)
{
	enum err e = ERR_NOMEM;
	size_t cap = 16, failures = 0;
	for (; e; cap += 64) {
		struct arena *a = arena_new(cap);
		struct errtext et = {0};
		const struct dfa *d = NULL;
		e = dfa_regex(a, S("^[a-z]+(\\.\xC3\xA9|x){2,3}$"), DFA_SEARCH, &d, &et);
		CHECK(e == OK || (e == ERR_NOMEM && !d));
		failures += e != OK;
		arena_free(a);
	}
	CHECK(failures > 5);
}

static void test_text_dfa__many_texts(void)
{
	enum { N = 5000 };
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct str *texts = arena_array_of(a, N, struct str), *list;
	const struct dfa *d, *rest;
	size_t n;
	for (uint32_t i = 0; i < N; i++)
		texts[i] = arena_fmt(
			a, "%x-\xE4\xB8%c", i * 2654435761u % 100003, 0x80 + (int)(i % 64));
	CHECK_OK(dfa_texts(a, texts, N, &d, &et), &et);
	for (uint32_t i = 0; i < N; i++)
		CHECK_INT(tag_of(d, texts[i]), i + 1);
	CHECK_OK(dfa_list(a, d, N, &list, &n, &et), &et);
	CHECK_INT(n, N);
	CHECK_OK(dfa_not(a, d, &rest, &et), &et);
	CHECK(tag_of(rest, S("x")) && !tag_of(rest, texts[7]));
	CHECK_ERR(dfa_texts(a, (struct str[]){S("\xED\xA0\x80")}, 1, &d, &et), ERR_INVALID);
	CHECK_OK(dfa_texts(a, NULL, 0, &d, &et), &et);
	CHECK(!d);
	arena_free(a);
}

/* ---- the n-th allocation fails ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INTERPOSED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INTERPOSED 0
#endif
#endif
#ifndef INTERPOSED
#define INTERPOSED 1
#endif

#if INTERPOSED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static size_t allocations_left = SIZE_MAX;
static long n_live;

static bool allowed(void)
{
	if (allocations_left == SIZE_MAX)
		return true;
	return allocations_left && allocations_left--;
}

void *malloc(size_t n)
{
	void *p = allowed() ? __libc_malloc(n) : NULL;
	n_live += p != NULL;
	return p;
}

void *calloc(size_t count, size_t size)
{
	void *p = allowed() ? __libc_calloc(count, size) : NULL;
	n_live += p != NULL;
	return p;
}

void *realloc(void *old, size_t n)
{
	void *p = allowed() ? __libc_realloc(old, n) : NULL;
	n_live += !old && p;
	return p;
}

void free(void *p)
{
	n_live -= p != NULL;
	__libc_free(p);
}

/* What a schema does with its expressions. */
static enum err build(struct arena *a, const char *pattern, unsigned flags, size_t *count)
{
	const struct dfa *d, *t, *u;
	struct str texts[] = {S("abc"), S("ab"), S("x\xC3\xA9")}, *list;
	enum err e = dfa_regex(a, str_c(pattern), flags, &d, NULL);
	if (!e)
		e = dfa_texts(a, texts, ARRAY_LEN(texts), &t, NULL);
	if (!e)
		e = dfa_tagged(a, (const struct dfa *[]){t, d}, 2, &u, NULL);
	if (!e)
		e = dfa_not(a, d, &u, NULL);
	if (!e)
		e = dfa_and(a, u, t, &u, NULL);
	if (!e)
		e = dfa_length(a, u, 1, 2, &u, NULL);
	return e ? e : dfa_list(a, u, 100, &list, count, NULL);
}

static void test_text_dfa__failed_allocations(void)
{
	static const char *const patterns[] = {"^[a-z]+\\p{Lu}?(\\d|\xC3\xA9){1,3}$",
		"(?!.*(?<!b)\\bc)(?=a|\\w+)", "(?<=\\bab)c?|x$", "\\S[^a-c]\\p{sc=Greek}"};
	size_t want, got, failures = 0;
	for (size_t i = 0; i < ARRAY_LEN(patterns) * 2; i++) {
		unsigned flags = i % 2 ? DFA_SEARCH | DFA_CASELESS : DFA_WHOLE;
		struct arena *a = arena_new(0);
		CHECK(build(a, patterns[i / 2], flags, &want) == OK); /* and ICU's tables */
		arena_free(a);
		enum err e = ERR_NOMEM;
		for (size_t n = 1; e; n++) {
			long before = n_live;
			a = arena_new(0);
			allocations_left = n;
			e = build(a, patterns[i / 2], flags, &got);
			allocations_left = SIZE_MAX;
			arena_free(a);
			CHECK(e == OK || e == ERR_NOMEM);
			CHECK_INT(n_live, before);
			failures += e != OK;
		}
		CHECK_INT(got, want);
	}
	tap_note("%zu failures", failures);
	CHECK(failures > 500);
}
#else
static void test_text_dfa__failed_allocations(void)
{
	SKIP("the sanitizer has malloc");
}
#endif

TESTS(T(test_text_dfa__regex), T(test_text_dfa__texts), T(test_text_dfa__laws),
	T(test_text_dfa__one_form), T(test_text_dfa__counts), T(test_text_dfa__utf8),
	T(test_text_dfa__errors), T_LONG(test_text_dfa__hostile, 300),
	T(test_text_dfa__small_arena), T(test_text_dfa__many_texts),
	T(test_text_dfa__failed_allocations))
