/* A regular expression from outside: the first byte is the flags, the rest the expression. What is
 * accepted is trimmed, and says the same in other words: anchored and searched for, ahead of
 * anything, behind everything, negated twice. */
#include "text/dfa.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATTERN_MAX = 150, STATES_MAX = 3000 };

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

/* Every state is reached from those before it (they are numbered so, between code points), and
 * leads on or accepts. */
static void check_steps(const struct dfa *d)
{
	for (uint32_t s = 0; s < dfa_states(d); s++) {
		bool leads = dfa_accept(d, s);
		for (uint32_t b = 0; b < 256; b++) {
			uint32_t to = dfa_step(d, s, (uint8_t)b);
			if (to != DFA_DEAD && to >= dfa_states(d))
				__builtin_trap();
			leads = leads || to != DFA_DEAD;
		}
		if (!leads)
			__builtin_trap();
	}
}

/* The same set, written as prefix, expression, suffix. */
static void check_words(struct arena *a, const struct dfa *d, struct str p, const char *prefix,
	const char *suffix, unsigned flags)
{
	struct buf b = {0};
	const struct dfa *other;
	buf_addf(&b, "%s%.*s%s", prefix, STR_FMT(p), suffix);
	if (!b.err && dfa_regex(a, buf_str(&b), flags, &other, NULL) == OK && !same(d, other))
		__builtin_trap();
	buf_free(&b);
}

static void check_not(struct arena *a, const struct dfa *d)
{
	const struct dfa *no, *yes, *both;
	if (dfa_not(a, d, &no, NULL) || dfa_not(a, no, &yes, NULL) ||
		dfa_and(a, d, no, &both, NULL))
		return;
	if (!same(d, yes) || both)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > PATTERN_MAX)
		return 0;
	unsigned flags = data[0] & (DFA_SEARCH | DFA_CASELESS);
	struct str p = str_mk(data + 1, size - 1);
	struct arena *a = arena_new(64 << 20);
	struct errtext et = {0};
	const struct dfa *d = NULL;
	if (!a)
		return 0;
	enum err e = dfa_regex(a, p, flags, &d, &et);
	if (e && (!et.msg[0] || !utf8_valid(str_c(et.msg))))
		__builtin_trap();
	if (!e && dfa_states(d) <= STATES_MAX && !memchr(p.p, 0, p.n)) {
		check_steps(d);
		check_not(a, d);
		if (flags & DFA_SEARCH) {
			check_words(a, d, p, "[^]*(?:", ")[^]*", flags & ~DFA_SEARCH);
			check_words(a, d, p, "(?=[^]*(?:", "))", flags);
			check_words(a, d, p, "^(?!(?![^]*(?:", ")))", flags);
		} else {
			check_words(a, d, p, "^(?:", ")$", flags | DFA_SEARCH);
			check_words(a, d, p, "(?=(?:", ")$)[^]*", flags);
			check_words(a, d, p, "[^]*(?<=^(?:", "))", flags);
			check_words(a, d, p, "(?!(?!(?:", ")$))[^]*(?:)", flags);
		}
	}
	arena_free(a);
	return 0;
}
