/* Matchers over a small language, against a parser that was written another way: lists of lists and
 * of the letters a and b, each letter at most once in a list. */
#include <stdlib.h>
#include "tap.h"
#include "text/machine.h"

/* ---- the language ---- */

enum { FIRST, AFTER, COMMA, DONE };

static void lists_start(struct machine *m, const void *self)
{
	(void)self;
	machine_emit(m, &(struct cell){.kind = FIRST, .c = 1}); /* c: the text has not begun */
}

static bool used(const struct cell *c, uint8_t letter)
{
	return c->more && memchr(c->more, letter, machine_data_size(c->more));
}

/* The list that c is in, with one more letter. */
static const void *with(struct machine *m, const struct cell *c, uint8_t letter)
{
	uint8_t all[2] = {letter};
	if (!c->more)
		return machine_data(m, all, 1);
	all[0] = 'a';
	all[1] = 'b';
	return machine_data(m, all, 2);
}

static void lists_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	struct cell self = *c;
	if (c->c) {
		self.c = 0;
		self.kind = DONE;
		const struct cell *up = byte == '[' ? machine_cell(m, &self) : NULL;
		if (up)
			machine_emit(m, &(struct cell){.up = up, .kind = FIRST});
		return;
	}
	bool item = c->kind == FIRST || c->kind == COMMA;
	if (byte == ']' && (c->kind == FIRST || c->kind == AFTER)) {
		machine_pop(m, c, (struct result){0});
	} else if (byte == ',' && c->kind == AFTER) {
		self.kind = COMMA;
		machine_emit(m, &self);
	} else if (byte == '[' && item) {
		self.kind = AFTER;
		const struct cell *up = machine_cell(m, &self);
		if (up)
			machine_emit(m, &(struct cell){.up = up, .kind = FIRST});
	} else if ((byte == 'a' || byte == 'b') && item && !used(c, byte)) {
		self.kind = AFTER;
		self.more = with(m, c, byte);
		machine_emit(m, &self);
	}
}

static void lists_resume(struct machine *m, const struct cell *c, struct result r)
{
	(void)r;
	machine_emit(m, c);
}

static bool lists_ends(struct machine *m, const struct cell *c)
{
	(void)m;
	return c->kind == DONE;
}

static const struct language_ops lists_ops = {
	lists_start, lists_step, lists_resume, lists_ends, NULL};
static const struct language lists = {.ops = &lists_ops, .id = 1};

/* ---- the oracle: where a list that begins at p ends, or NULL ---- */

static const char *parse_list(const char *p)
{
	bool a = false, b = false;
	if (*p++ != '[')
		return NULL;
	if (*p == ']')
		return p + 1;
	for (;; p++) {
		bool *seen = *p == 'a' ? &a : &b;
		if (*p == '[') {
			p = parse_list(p);
			if (!p)
				return NULL;
		} else if ((*p == 'a' || *p == 'b') && !*seen) {
			*seen = true;
			p++;
		} else {
			return NULL;
		}
		if (*p == ']')
			return p + 1;
		if (*p != ',')
			return NULL;
	}
}

/* ---- tests ---- */

static const char letters[] = "[],ab";

struct walk {
	struct matcher *m;
	char text[16];
	size_t max, members;
};

/* All texts of at most w->max letters. Returns whether one of them, continuing this one, is a
 * member. `live`: the matcher has this text on its top level. */
static bool walk(struct walk *w, size_t n, bool live)
{
	w->text[n] = 0;
	const char *end = parse_list(w->text);
	bool member = end == w->text + n, any = member;
	if (member != (live && matcher_may_end(w->m)))
		FAIL("\"%s\" is %s", w->text, member ? "refused" : "accepted");
	w->members += member;
	for (size_t i = 0; i < 5 && n < w->max; i++) {
		w->text[n] = letters[i];
		bool next = live && matcher_push(w->m, (uint8_t)letters[i]);
		any |= walk(w, n + 1, next);
		if (next)
			matcher_drop(w->m, 1);
	}
	w->text[n] = 0;
	if (any && !live)
		FAIL("\"%s\" is refused, though it can be completed", w->text);
	if (live && !any && n <= w->max / 2)
		FAIL("\"%s\" is accepted, but has no completion", w->text);
	return any;
}

static void test_text_machine__agrees_with_a_parser(void)
{
	struct errtext et = {0};
	struct walk w = {.max = 10};
	CHECK_OK(matcher_new(&lists, &w.m, &et), &et);
	walk(&w, 0, true);
	CHECK(w.members > 50);
	CHECK_INT(matcher_levels(w.m), 0);
	matcher_free(w.m);
}

static void test_text_machine__a_refusal_changes_nothing(void)
{
	struct errtext et = {0};
	struct matcher *m;
	size_t n;
	CHECK_OK(matcher_new(&lists, &m, &et), &et);
	CHECK(!matcher_take(m, "a", 1));
	CHECK(matcher_take(m, "[[a,", 4));
	const struct cell *before = matcher_stacks(m, &n)[0];
	CHECK(!matcher_take(m, "b,[],a", 6));
	CHECK(!matcher_take(m, "a", 1));
	CHECK(matcher_stacks(m, &n)[0] == before && n == 1);
	CHECK(!matcher_may_end(m));
	CHECK(matcher_take(m, "b]", 2));
	CHECK(!matcher_must_end(m));
	CHECK(matcher_take(m, "]", 1));
	CHECK(matcher_may_end(m) && matcher_must_end(m));
	CHECK_ERR(matcher_status(m, &et), OK);
	matcher_free(m);
}

static void test_text_machine__forced_bytes(void)
{
	struct errtext et = {0};
	struct matcher *m;
	char out[8];
	CHECK_OK(matcher_new(&lists, &m, &et), &et);
	CHECK_INT(matcher_forced(m, out, sizeof out), 1);
	CHECK(out[0] == '[');
	CHECK(matcher_take(m, "[[a,b", 5));
	CHECK_INT(matcher_forced(m, out, sizeof out), 0);
	CHECK_INT(matcher_levels(m), 0);
	CHECK(matcher_take(m, "]", 1));
	CHECK_INT(matcher_forced(m, out, sizeof out), 0);
	matcher_free(m);
}

static void test_text_machine__memory_follows_depth_not_length(void)
{
	struct errtext et = {0};
	struct matcher *m;
	size_t most = 0;
	CHECK_OK(matcher_new(&lists, &m, &et), &et);
	CHECK(matcher_take(m, "[", 1));
	for (unsigned i = 0; i < 300000; i++) { /* each inner list has cells of its own */
		CHECK(matcher_take(m, i % 2 ? "[b,[[],a]]," : "[[[a]],a,b],", i % 2 ? 11 : 12));
		most = MAX(most, matcher_bytes(m));
	}
	CHECK(most < 1 << 20);
	CHECK(matcher_take(m, "[]]", 3) && matcher_must_end(m));
	matcher_free(m);
}

static void test_text_machine__too_deep_is_remembered(void)
{
	struct errtext et = {0};
	struct matcher *m;
	char deep[MACHINE_DEPTH_MAX + 10];
	memset(deep, '[', sizeof deep);
	CHECK_OK(matcher_new(&lists, &m, &et), &et);
	CHECK(!matcher_take(m, deep, sizeof deep));
	CHECK_ERR(matcher_status(m, &et), ERR_TOO_LARGE);
	CHECK_STR(str_c(et.msg), "the text nests too deeply");
	CHECK(matcher_take(m, "[]", 2) && matcher_may_end(m)); /* as if it had not been tried */
	matcher_free(m);
}

/* ---- a language that is ambiguous on purpose: any number of a's, each read at one of three cells
 * that all come back to the same cell below, by two ways ---- */

static void twice_start(struct machine *m, const void *self)
{
	(void)self;
	const struct cell *up = machine_cell(m, &(struct cell){.kind = DONE});
	for (uint32_t d = 0; d < 40; d++)
		up = machine_cell(m, &(struct cell){.up = up, .kind = AFTER, .a = d});
	for (uint32_t i = 0; i < 3; i++)
		machine_emit(m, &(struct cell){.up = up, .kind = FIRST, .a = i});
}

static void twice_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	if (byte != 'a')
		return;
	if (c->kind == FIRST) {
		machine_emit(m, c);
		machine_pop(m, c, (struct result){0});
	}
}

static void twice_resume(struct machine *m, const struct cell *c, struct result r)
{
	if (c->kind == DONE) {
		machine_emit(m, c);
		return;
	}
	machine_pop(m, c, r);
	machine_pop(m, c, (struct result){.a = r.a ^ 1});
}

static void test_text_machine__ambiguity_does_not_multiply(void)
{
	static const struct language_ops ops = {
		twice_start, twice_step, twice_resume, lists_ends, NULL};
	static const struct language twice = {.ops = &ops, .id = 2};
	struct errtext et = {0};
	struct matcher *m;
	size_t n;
	CHECK_OK(matcher_new(&twice, &m, &et), &et);
	CHECK(matcher_take(m, "aaaaaaaaaa", 10));
	matcher_stacks(m, &n);
	CHECK_INT(n, 4);
	CHECK(matcher_may_end(m));
	matcher_free(m);
}

static void test_text_machine__bottom_tells_what_popped(void)
{
	struct errtext et = {0};
	struct matcher *m;
	size_t n;
	CHECK_OK(matcher_new(&lists, &m, &et), &et);
	CHECK(matcher_take(m, "[[", 2));
	const struct cell *below = matcher_stacks(m, &n)[0]->up;
	CHECK(matcher_push_like(m, &(struct cell){.up = machine_bottom(), .kind = AFTER}));
	CHECK(!matcher_push(m, ']'));
	matcher_popped(m, &n);
	CHECK_INT(n, 1);
	CHECK(matcher_push(m, ','));
	matcher_popped(m, &n);
	CHECK_INT(n, 0);
	CHECK(matcher_push_resumed(m, below, (struct result){0}));
	CHECK(matcher_push(m, ']') && matcher_may_end(m));
	matcher_drop(m, matcher_levels(m));
	CHECK(matcher_take(m, "a]]", 3) && matcher_must_end(m));
	matcher_free(m);
}

TESTS(T(test_text_machine__agrees_with_a_parser), T(test_text_machine__a_refusal_changes_nothing),
	T(test_text_machine__forced_bytes), T(test_text_machine__memory_follows_depth_not_length),
	T(test_text_machine__too_deep_is_remembered),
	T(test_text_machine__ambiguity_does_not_multiply),
	T(test_text_machine__bottom_tells_what_popped))
