/* Sets of texts as finite automata: regular expressions (ECMA-262's syntax), lists of texts, and
 * their algebra.
 *
 * A dfa is immutable, minimal, and trimmed: from every state something that is accepted can be
 * reached, so a prefix that has not been refused can always be completed. All texts are well-formed
 * UTF-8; the complement is taken among these, and "any character" is any code point but a
 * surrogate. Equal sets have equal dfas, state by state.
 *
 * A dfa lives in the arena it was made in, and may be read by any thread. Building is bounded in
 * states, memory and work: ERR_TOO_LARGE, and ERR_NOMEM when the arena has no room for the result.
 * NULL stands for the empty set, in arguments and results.
 *
 *	const struct dfa *d;
 *	enum err e = dfa_regex(a, S("^[a-z]+$"), DFA_SEARCH, &d, et);
 *	uint32_t s = dfa_start(d);
 *	for (...) s = dfa_step(d, s, byte);     // DFA_DEAD: no text of the set begins so
 *	if (dfa_accept(d, s)) ...               // the tag, from 1; 0: not (yet) a member
 */
#ifndef TEXT_DFA_H
#define TEXT_DFA_H
#include "base/arena.h"

enum { DFA_STATES_MAX = 100000, DFA_PATTERN_MAX = 65536 };
#define DFA_DEAD UINT32_MAX

struct dfa;

enum dfa_flags {
	DFA_WHOLE = 0,  /* the expression must match the whole text */
	DFA_SEARCH = 1, /* somewhere in it (JSON Schema's "pattern"); ^ and $ anchor */
	DFA_CASELESS = 2,
};

/* ECMA-262 with the u flag: alternation, groups (also (?: ) and named), * + ? {n,m} (lazy ones are
 * read as the greedy: the set is the same), classes, \d \w \s \D \W \S, ^ $ \b \B anywhere,
 * \p{..} of general categories, scripts and binary properties (ICU's Unicode), \uXXXX \u{...} \xXX
 * \cX, look-ahead and look-behind. What only the u flag refuses and everybody writes is read as
 * without it: \- and other escaped punctuation, [\w-.], a brace or bracket that closes nothing.
 * Back references, look-ahead inside look-behind, (?i:..): ERR_UNSUPPORTED, naming what and where.
 * A syntax error is ERR_INVALID with its offset in bytes. */
enum err dfa_regex(struct arena *a, struct str pattern, unsigned flags, const struct dfa **out,
	struct errtext *et) MUST_CHECK;
/* Exactly these texts; the tag of texts[i] is i + 1 (the first, when texts are equal). */
enum err dfa_texts(struct arena *a, const struct str *texts, size_t n, const struct dfa **out,
	struct errtext *et) MUST_CHECK;
enum err dfa_any(struct arena *a, const struct dfa **out, struct errtext *et) MUST_CHECK;

/* The results of and, not and length have tag 1 only; or keeps x's tag, else y's. */
enum err dfa_and(struct arena *a, const struct dfa *x, const struct dfa *y, const struct dfa **out,
	struct errtext *et) MUST_CHECK;
enum err dfa_or(struct arena *a, const struct dfa *x, const struct dfa *y, const struct dfa **out,
	struct errtext *et) MUST_CHECK;
enum err dfa_not(struct arena *a, const struct dfa *x, const struct dfa **out,
	struct errtext *et) MUST_CHECK;
/* Those of from `min` to `max` code points (UINT32_MAX: no upper bound). */
enum err dfa_length(struct arena *a, const struct dfa *x, uint32_t min, uint32_t max,
	const struct dfa **out, struct errtext *et) MUST_CHECK;
/* The union of n sets where a text in sets[i] gets tag i + 1, the lowest i when in several. */
enum err dfa_tagged(struct arena *a, const struct dfa *const *sets, size_t n,
	const struct dfa **out, struct errtext *et) MUST_CHECK;

/* An automaton written by hand (numbers): states 0..n-1, 0 is the start; next[s * 256 + byte] is a
 * state or DFA_DEAD, tags[s] as above. It is restricted to well-formed UTF-8, trimmed and
 * minimised. */
enum err dfa_table(struct arena *a, const uint32_t *next, const uint32_t *tags, uint32_t n,
	const struct dfa **out, struct errtext *et) MUST_CHECK;

/* Of NULL: DFA_DEAD, DFA_DEAD, 0, 0, false. `state` comes from these functions. */
uint32_t dfa_start(const struct dfa *d);
uint32_t dfa_step(const struct dfa *d, uint32_t state, uint8_t byte); /* of DFA_DEAD: DFA_DEAD */
uint32_t dfa_accept(const struct dfa *d, uint32_t state);
uint32_t dfa_states(const struct dfa *d);
/* Is every continuation, also none, accepted from this state? (at code point boundaries) */
bool dfa_is_free(const struct dfa *d, uint32_t state);

/* How many texts, at most `max`; dfa_list writes them (shortest first, then in byte order) when
 * there are no more than `max`, else *n is SIZE_MAX. */
size_t dfa_count(const struct dfa *d, size_t max);
enum err dfa_list(struct arena *a, const struct dfa *d, size_t max, struct str **out, size_t *n,
	struct errtext *et) MUST_CHECK;

#endif
