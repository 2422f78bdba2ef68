/* GBNF: what it accepts, what it refuses, and random grammars against a recogniser that works
 * another way (tables of spans, filled until nothing changes). */
#include <stdio.h>
#include <stdlib.h>
#include "tap.h"
#include "text/grammar.h"

/* ---- by hand ---- */

static struct grammar *compiled(const char *text)
{
	struct errtext et = {0};
	struct grammar *g;
	CHECK_OK(grammar_gbnf(str_c(text), &g, &et), &et);
	return g;
}

static bool accepts_str(const struct grammar *g, struct str text)
{
	struct errtext et = {0};
	struct matcher *m;
	CHECK_OK(matcher_new(grammar_language(g), &m, &et), &et);
	bool yes = matcher_take(m, text.p, text.n) && matcher_may_end(m);
	CHECK_ERR(matcher_status(m, &et), OK);
	matcher_free(m);
	return yes;
}

/* `grammar` has the texts of `yes` and not those of `no`, both separated by "|" ("~" is empty). */
static void check(const char *grammar, const char *yes, const char *no)
{
	struct grammar *g = compiled(grammar);
	for (int want = 1; want >= 0; want--) {
		struct str rest = str_c(want ? yes : no), text;
		while (rest.n && str_next(&rest, '|', &text)) {
			if (str_eq_c(text, "~"))
				text = S("");
			if (accepts_str(g, text) != want)
				FAIL("%s: \"%.*s\" is %s", grammar, STR_FMT(text),
					want ? "refused" : "accepted");
		}
	}
	grammar_free(g);
}

static void refuses(const char *grammar, const char *why)
{
	struct errtext et = {0};
	struct grammar *g;
	enum err e = grammar_gbnf(str_c(grammar), &g, &et);
	CHECK(e);
	CHECK_STR(str_c(et.msg), why);
}

static void test_text_grammar__literals_classes_repetitions(void)
{
	check("root ::= \"ab\" | \"c\"", "ab|c", "a|b|abc|~");
	check("root ::= [a-c] [^a-c\\n]", "ax|c-|bé|a漢|a\xF0\x9F\x98\x80",
		"aa|x|a\n|a\xC3|a\xED\xA0\x80");
	check("root ::= [a-]+ [\\]x]", "a-]|--x", "]|a");
	check("root ::= [\\x41-\\x43\\u00e9] \"\\U0001F600\\t\\\"\\\\\"",
		"A\xF0\x9F\x98\x80\t\"\\|é\xF0\x9F\x98\x80\t\"\\", "D\xF0\x9F\x98\x80\t\"\\");
	check("root ::= .", "x|é|漢|\n", "~|xx|\x80|\xC0\x80");
	check("root ::= \"ab\"* \"c\"?", "~|ab|abab|c|ababc", "a|ba|cc");
	check("root ::= (\"a\" | \"b\")+ ", "a|b|abba", "~|c");
	check("root ::= \"a\"{2} \"b\"{1,} \"c\"{0,2}", "aab|aabbb|aabcc", "ab|aa|aabccc");
	check("root ::= \"a\"{0} \"b\"", "b", "ab");
}

static void test_text_grammar__lines_and_comments(void)
{
	check("# a comment\nroot ::= a | # one\n  b # two\na ::= \"x\" (\n \"y\"\n |\n \"z\" "
	      ")\r\nb "
	      "::=\n  \"w\"\n",
		"xy|xz|w", "x|y|xyw");
	check("root::=ws\"a\"ws\nws::= |\" \"ws", "a| a|a |   a   ", "~| |aa");
}

static void test_text_grammar__recursion(void)
{
	check("root ::= \"a\" root \"b\" | \"\"", "~|ab|aabb|aaabbb", "a|ba|aab|abb");
	check("root ::= root \"+\" t | t\nt ::= [0-9] | \"(\" root \")\"", "1|1+2|1+(2+3)+4|((1))",
		"+1|1+|(1|1+2)");
	/* in a circle, and behind what may be empty */
	check("root ::= a \"x\" | \"r\"\na ::= b \"y\" | \"s\"\nb ::= root \"z\"",
		"r|sx|rzyx|sxzyx|rzyxzyx", "s|rz|rzy|x|zyx");
	check("root ::= ws root \",\" | ws \"a\"\nws ::= \" \"*", "a| a|a,|  a,,| a,", ",|a ,");
	check("root ::= root root | \"a\" | \"\"", "~|a|aa|aaa", "b");
	check("root ::= (root | \"x\")* \"y\" | \"z\"", "z|y|xy|zy|yyy|xxy|xzy", "x|zx");
}

static void test_text_grammar__json(void)
{
	static const char json[] =
		"root ::= object\n"
		"value ::= object | array | string | number | (\"true\" | \"false\" | \"null\") "
		"ws\n"
		"object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? "
		"\"}\" ws\n"
		"array ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n"
		"string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "
		"[0-9a-fA-F]{4}) )* \"\\\"\" ws\n"
		"number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] "
		"[1-9]{0,15})? ws\n"
		"ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
	check(json,
		"{}|{ \"a\":1}|{\"a\": [1.5e3, \"x\\n\\u00e9é\", {}, [], null], \"b\":\n\t\ttrue}",
		"~|[]|{\"a\"}|{\"a\":01}|{\"a\":1,}|{\"a\":\"\\x\"}|{\"a\":1}}|{'a':1}");
}

static void test_text_grammar__regular_expressions(void)
{
	struct errtext et = {0};
	struct grammar *g;
	CHECK_OK(grammar_regex(S("\\d{3}-[a-zé]+(漢|x)?"), &g, &et), &et);
	CHECK(accepts_str(g, S("123-aé漢")) && accepts_str(g, S("000-zx")));
	CHECK(!accepts_str(g, S("12-a")) && !accepts_str(g, S("123-")) &&
		!accepts_str(g, S("123-a漢x")) && !accepts_str(g, S(" 123-a")));
	grammar_free(g);
	CHECK_ERR(grammar_regex(S("(a"), &g, &et), ERR_INVALID);
	CHECK_ERR(grammar_regex(S("(a)\\1"), &g, &et), ERR_UNSUPPORTED);
	CHECK_ERR(grammar_regex(S("[^\\s\\S]"), &g, &et), ERR_INVALID);
	CHECK_STR(str_c(et.msg), "no text matches the expression");
}

static void test_text_grammar__lists_of_texts(void)
{
	struct errtext et = {0};
	struct grammar *g;
	const struct str texts[] = {S("yes"), S("yes, but"), S("né")};
	CHECK_OK(grammar_texts(texts, 3, &g, &et), &et);
	CHECK(accepts_str(g, texts[0]) && accepts_str(g, texts[1]) && accepts_str(g, texts[2]));
	CHECK(!accepts_str(g, S("ye")) && !accepts_str(g, S("yes,")) && !accepts_str(g, S("")));
	grammar_free(g);
	CHECK_ERR(grammar_texts(texts, 0, &g, &et), ERR_INVALID);
}

static void test_text_grammar__what_cannot_end_is_left_out(void)
{
	struct errtext et = {0};
	struct grammar *g =
		compiled("root ::= \"a\" (loop | \"b\") | \"c\" loop\nloop ::= \"x\" loop");
	struct matcher *m;
	CHECK_OK(matcher_new(grammar_language(g), &m, &et), &et);
	char forced[8];
	CHECK_INT(matcher_forced(m, forced, sizeof forced), 2);
	CHECK(!memcmp(forced, "ab", 2));
	CHECK(!matcher_take(m, "c", 1));
	CHECK(!matcher_take(m, "ax", 2));
	CHECK(matcher_take(m, "ab", 2) && matcher_must_end(m));
	matcher_free(m);
	grammar_free(g);
}

static void test_text_grammar__refusals_name_line_and_rule(void)
{
	refuses("", "the grammar has no rule 'root'");
	refuses("a ::= \"x\"", "the grammar has no rule 'root'");
	refuses("root ::= \"x\"\n  | y", "line 2, column 3: expected the name of a rule");
	refuses("root ::= \"x\" |\n  item", "line 2: rule 'item' is used, but nowhere defined");
	refuses("root ::= \"x\"\n\nroot ::= \"y\"",
		"line 3: rule 'root' is defined twice, first on line 1");
	refuses("root ::= loop\nloop ::= \"a\" loop",
		"line 1: rule 'root' has no text that could ever be completed");
	refuses("root ::= root", "line 1: rule 'root' has no text that could ever be completed");
	refuses("root ::= [z-a]", "line 1, column 14: a range of a class ends before it begins");
	refuses("root ::= \"\\q\"", "line 1, column 12: an escape that GBNF does not know");
	refuses("root ::= \"\\xg0\"", "line 1, column 13: a hexadecimal digit is missing");
	refuses("root ::= \"\\ud800\"", "line 1, column 17: this is no Unicode character");
	refuses("root ::= \"abc",
		"line 1, column 14: the grammar ends inside a literal or a class");
	refuses("root ::= \"abc\n\"",
		"line 1, column 14: a literal or a class is not closed on its line");
	refuses("root ::= (\"a\"", "line 1, column 14: expected )");
	refuses("root ::= \"a\"{3,2}",
		"line 1, column 17: a repetition whose upper bound is below the lower");
	refuses("root ::= \"a\"{x}", "line 1, column 14: a number is missing");
	refuses("root ::= \"a\"{9999999}", "line 1, column 20: more than 1,000,000 repetitions");
	refuses("root ::= x\nx ::= [a-z]{1000000}",
		"line 2: rule 'x', with its repetitions written out, is too large");
	refuses("root ::= <[1000]>",
		"line 1, column 10: tokens in a grammar are not supported: write the text they "
		"stand for");
	refuses("root : \"a\"", "line 1, column 6: expected ::=");
	refuses("root ::= \"a\xFF\"", "the grammar is not valid UTF-8");
}

static void test_text_grammar__hostile(void)
{
	struct errtext et = {0};
	struct grammar *g;
	struct buf b = {0};
	buf_addc(&b, "root ::= ");
	for (unsigned i = 0; i < 200; i++)
		buf_putc(&b, '(');
	CHECK_ERR(grammar_gbnf(buf_str(&b), &g, &et), ERR_INVALID);
	CHECK_STR(str_c(et.msg), "line 1, column 110: parentheses nest too deeply");

	buf_clear(&b); /* the subsets of this one double with each letter */
	buf_addc(&b, "root ::= [ab]* \"a\" [ab]{60}");
	CHECK_ERR(grammar_gbnf(buf_str(&b), &g, &et), ERR_TOO_LARGE);
	CHECK(strstr(et.msg, "100000 states"));

	buf_clear(&b); /* each rule calls the next twice, at its beginning */
	buf_addc(&b, "root ::= r0\n");
	for (unsigned i = 0; i < 2000; i++)
		buf_addf(&b, "r%u ::= r%u \"x\" | r%u \"y\" | r%u | \"(\" root \")\"\n", i, i + 1,
			i + 1, i + 1);
	buf_addc(&b, "r2000 ::= \"z\"\n");
	enum err e = grammar_gbnf(buf_str(&b), &g, &et);
	CHECK_OK(e, &et);
	struct matcher *m;
	e = matcher_new(grammar_language(g), &m, &et);
	CHECK(e == OK || e == ERR_TOO_LARGE);
	if (!e) {
		matcher_take(m, "zxyxyxxxy", 9);
		matcher_free(m);
	}
	grammar_free(g);
	buf_free(&b);
}

static void test_text_grammar__long_texts_take_no_memory(void)
{
	struct errtext et = {0};
	struct grammar *g = compiled("root ::= [a-z] root | [a-z] | \"(\" root \")\" root");
	struct matcher *m;
	CHECK_OK(matcher_new(grammar_language(g), &m, &et), &et);
	for (unsigned i = 0; i < 100000; i++)
		CHECK(matcher_take(m, "abc(de(f)g)x", 12));
	CHECK(matcher_may_end(m));
	CHECK(matcher_bytes(m) < 1 << 20);
	matcher_free(m);
	grammar_free(g);
}

/* ---- random grammars ---- */

enum { RULES = 4, NODES = 64, LONGEST = 6 };
enum what { NOTHING, LETTER, SET, CALL, SEQ, ALT, REPEAT };

struct piece {
	enum what what;
	unsigned x, y; /* kids; the letter, set or rule; min and max stand in lo, hi */
	unsigned lo, hi;
};

struct random_grammar {
	struct piece v[NODES];
	unsigned n, body[RULES];
	uint64_t seed;
	/* the recogniser: ends[r][i] has bit j when rule r derives text[i..j) */
	unsigned ends[RULES][LONGEST + 1];
	const char *text;
	unsigned len;
};

static unsigned dice(struct random_grammar *g, unsigned n)
{
	g->seed = g->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(g->seed >> 33) % n;
}

static unsigned grow_piece(struct random_grammar *g, unsigned depth)
{
	unsigned i = g->n++, k = dice(g, depth > 3 || g->n > NODES - 8 ? 4 : 10);
	struct piece p = {.what = k < 2 ? LETTER : k == 2 ? CALL : k == 3 ? NOTHING : SEQ};
	if (k == 2 && dice(g, 3) == 0)
		p.what = SET;
	if (k == 7 || k == 8)
		p.what = ALT;
	if (k == 9)
		p.what = REPEAT;
	p.x = dice(g, p.what == CALL ? RULES : 3);
	if (p.what == SEQ || p.what == ALT || p.what == REPEAT)
		p.x = grow_piece(g, depth + 1);
	if (p.what == SEQ || p.what == ALT)
		p.y = grow_piece(g, depth + 1);
	p.lo = dice(g, 3);
	p.hi = dice(g, 2) ? 99 : p.lo + dice(g, 3);
	g->v[i] = p;
	return i;
}

static void print_piece(const struct random_grammar *g, unsigned i, struct buf *b)
{
	static const char *const sets[] = {"[ab]", "[^b]", "[c]"};
	const struct piece *p = &g->v[i];
	switch (p->what) {
	case NOTHING:
		buf_addc(b, "\"\"");
		return;
	case LETTER:
		buf_addf(b, "\"%c\"", 'a' + (int)p->x);
		return;
	case SET:
		buf_addc(b, sets[p->x]);
		return;
	case CALL:
		buf_addf(b, p->x ? "r%u" : "root", p->x);
		return;
	case SEQ:
	case ALT:
		buf_putc(b, '(');
		print_piece(g, p->x, b);
		buf_addc(b, p->what == SEQ ? " " : " | ");
		print_piece(g, p->y, b);
		buf_putc(b, ')');
		return;
	case REPEAT:
		print_piece(g, p->x, b);
		if (p->hi == 99)
			buf_addf(b, "{%u,}", p->lo);
		else
			buf_addf(b, "{%u,%u}", p->lo, p->hi);
	}
}

/* Where texts of piece i can end that begin at one of the places in `from`. */
static unsigned reaches(const struct random_grammar *g, unsigned i, unsigned from)
{
	static const char *const sets[] = {"ab", "ac", "c"};
	const struct piece *p = &g->v[i];
	unsigned to = 0, all;
	switch (p->what) {
	case NOTHING:
		return from;
	case LETTER:
	case SET:
		for (unsigned k = 0; k < g->len; k++)
			if (from >> k & 1 && (p->what == LETTER ? g->text[k] == 'a' + (int)p->x
								: !!strchr(sets[p->x], g->text[k])))
				to |= 2u << k;
		return to;
	case CALL:
		for (unsigned k = 0; k <= g->len; k++)
			if (from >> k & 1)
				to |= g->ends[p->x][k];
		return to;
	case SEQ:
		return reaches(g, p->y, reaches(g, p->x, from));
	case ALT:
		return reaches(g, p->x, from) | reaches(g, p->y, from);
	case REPEAT:
		for (unsigned k = 0; k < p->lo; k++)
			from = reaches(g, p->x, from);
		all = from;
		for (unsigned k = p->lo; k < MIN(p->hi, p->lo + LONGEST + 1); k++)
			all |= from = reaches(g, p->x, from);
		return all;
	}
	return 0;
}

static bool derives(struct random_grammar *g, const char *text, unsigned len)
{
	memset(g->ends, 0, sizeof g->ends);
	g->text = text;
	g->len = len;
	for (bool changed = true; changed;) {
		changed = false;
		for (unsigned r = 0; r < RULES; r++)
			for (unsigned k = 0; k <= len; k++) {
				unsigned to = g->ends[r][k] | reaches(g, g->body[r], 1u << k);
				changed |= to != g->ends[r][k];
				g->ends[r][k] = to;
			}
	}
	return g->ends[0][0] >> len & 1;
}

struct tries {
	struct random_grammar *g;
	struct matcher *m;
	const char *source;
	char text[LONGEST + 1];
	unsigned members, steps;
};

/* Is there an end from here? Depth first, at most a few hundred steps. */
static bool completes(struct tries *t, unsigned depth)
{
	if (matcher_may_end(t->m))
		return true;
	for (unsigned i = 0; i < 3 && depth < 14 && t->steps < 300; i++)
		if (t->steps++, matcher_push(t->m, (uint8_t)('a' + (i + depth) % 3))) {
			bool yes = completes(t, depth + 1);
			matcher_drop(t->m, 1);
			if (yes)
				return true;
		}
	return depth >= 14 || t->steps >= 300;
}

static bool try_all(struct tries *t, unsigned n, bool live)
{
	bool member = derives(t->g, t->text, n), any = member;
	t->members += member;
	if (member != (live && matcher_may_end(t->m)))
		FAIL("%s: \"%.*s\" is %s", t->source, (int)n, t->text,
			member ? "refused" : "accepted");
	t->steps = 0;
	/* some of these grammars are so ambiguous that a long text has too many stacks: no verdict
	 */
	if (live && n < 3 && !completes(t, 0) && matcher_status(t->m, NULL) == OK)
		FAIL("%s: after \"%.*s\" there is no end", t->source, (int)n, t->text);
	if (live)
		matcher_restore(t->m, OK);
	for (unsigned i = 0; i < 3 && n < LONGEST; i++) {
		t->text[n] = (char)('a' + i);
		bool next = live && matcher_push(t->m, (uint8_t)('a' + i));
		any |= try_all(t, n + 1, next);
		if (next)
			matcher_drop(t->m, 1);
	}
	if (any && !live)
		FAIL("%s: \"%.*s\" is refused, though it can be completed", t->source, (int)n,
			t->text);
	return any;
}

static void one_random(uint64_t seed, unsigned *n_empty, unsigned *n_members)
{
	struct random_grammar g = {.seed = seed};
	struct errtext et = {0};
	struct buf b = {0};
	struct grammar *c;
	for (unsigned r = 0; r < RULES; r++)
		g.body[r] = grow_piece(&g, 0);
	for (unsigned r = 0; r < RULES; r++) {
		buf_addf(&b, r ? "r%u ::= " : "root ::= ", r);
		print_piece(&g, g.body[r], &b);
		buf_putc(&b, '\n');
	}
	struct tries t = {.g = &g, .source = buf_c(&b)};
	enum err e = grammar_gbnf(buf_str(&b), &c, &et);
	if (e) {
		CHECK_ERR(e, ERR_INVALID);
		CHECK(strstr(et.msg, "ever be completed"));
		++*n_empty;
		try_all(&t, 0, false);
		CHECK_INT(t.members, 0);
	} else {
		CHECK_OK(matcher_new(grammar_language(c), &t.m, &et), &et);
		try_all(&t, 0, true);
		if (matcher_status(t.m, &et))
			FAIL("%s: %s", t.source, et.msg);
		matcher_free(t.m);
		grammar_free(c);
	}
	*n_members += t.members;
	buf_free(&b);
}

static void test_text_grammar__random_ones_agree_with_a_recogniser(void)
{
	unsigned n_empty = 0, n_members = 0;
	for (uint64_t seed = 1; seed <= 600; seed++)
		one_random(seed * 7919, &n_empty, &n_members);
	tap_note("%u of 600 have no text; %u texts are members", n_empty, n_members);
	CHECK(n_empty < 300 && n_members > 5000);
}

TESTS(T(test_text_grammar__literals_classes_repetitions), T(test_text_grammar__lines_and_comments),
	T(test_text_grammar__recursion), T(test_text_grammar__json),
	T(test_text_grammar__regular_expressions), T(test_text_grammar__lists_of_texts),
	T(test_text_grammar__what_cannot_end_is_left_out),
	T(test_text_grammar__refusals_name_line_and_rule), T(test_text_grammar__hostile),
	T(test_text_grammar__long_texts_take_no_memory),
	T(test_text_grammar__random_ones_agree_with_a_recogniser))
