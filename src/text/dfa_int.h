/* Inside dfa: automata over an ordered alphabet, as the algebra and the minimiser see them.
 *
 * A letter is a number. In a finished dfa letters are code points with the surrogates taken out of
 * the middle (LETTER_MAX + 1 of them, without a gap); inside a regular expression they are atoms,
 * classes of code points that the expression does not tell apart. A state's arcs are sorted,
 * disjoint, and merged where neighbours go to the same state; a letter without an arc is refused.
 */
#ifndef TEXT_DFA_INT_H
#define TEXT_DFA_INT_H
#include "text/dfa.h"

enum { LETTER_MAX = 0x10F7FF, SURROGATES = 0x800, SURROGATE_FIRST = 0xD800 };
enum {
	DFA_ARCS_MAX = 4 << 20,   /* of one automaton: 48 MiB */
	DFA_WORDS_MAX = 16 << 20, /* what one table of sets may keep: 64 MiB */
	DFA_WORK_MAX =
		40000000, /* elementary steps of one construction: a few tenths of a second */
};

static inline uint32_t letter_of(uint32_t cp)
{
	return cp < SURROGATE_FIRST ? cp : cp - SURROGATES;
}

static inline uint32_t letter_cp(uint32_t letter)
{
	return letter < SURROGATE_FIRST ? letter : letter + SURROGATES;
}

struct arc {
	uint32_t lo, hi, to;
};

/* State s has arcs[first[s]] .. arcs[first[s + 1] - 1]. The start is state 0; n == 0 is the empty
 * set. While it is built it owns its memory (fa_free) and remembers a failure in `err`. */
struct fa {
	uint32_t n, n_arcs;
	uint32_t *first, *tags;
	struct arc *arcs;
	size_t first_cap, tags_cap, arcs_cap;
	enum err err;
};

/* Builds in the order of the states: the arcs of a state, by ascending letters, then fa_end. */
void fa_arc(struct fa *f, uint32_t lo, uint32_t hi, uint32_t to);
void fa_end(struct fa *f, uint32_t tag);
void fa_free(struct fa *f);
uint32_t fa_step(const struct fa *f, uint32_t s, uint32_t letter); /* DFA_DEAD */
/* Replaces f by the smallest automaton of the same set: trimmed, numbered from the start in the
 * order of letters, breadth first. */
enum err fa_minimise(struct fa *f);
/* Numbers the states so, too, of one that is minimal. */
enum err fa_renumber(struct fa *f);
/* Who has an arc to each state: in[in_first[s]..in_first[s + 1]), both malloc'ed. */
bool fa_arcs_in(const struct fa *f, uint32_t **in_first, uint32_t **in);
/* Texts that f refuses, over the letters 0..last, with tag 1. */
void fa_complement(const struct fa *f, uint32_t last, struct fa *out);

/* The most letters of a text of f, which is trimmed; UINT32_MAX: there is no bound. false: out of
 * memory. */
bool fa_longest(const struct fa *f, uint32_t *most);

/* Sequences of words to small numbers, 0, 1, 2 ... */
struct seqs {
	uint32_t n;
	uint32_t *words;
	size_t *at; /* n + 1 offsets into words */
	uint32_t *slots;
	size_t n_words, words_cap, at_cap, n_slots;
};

/* The number of this sequence, a new one when it is new; UINT32_MAX: *err says why not. */
uint32_t seqs_put(struct seqs *t, const uint32_t *words, size_t n, enum err *err);
void seqs_free(struct seqs *t);
static inline const uint32_t *seqs_get(const struct seqs *t, uint32_t id, size_t *n)
{
	*n = t->at[id + 1] - t->at[id];
	return t->words + t->at[id];
}

/* Makes room for `need` elements of `size` bytes. */
bool dfa_grow(void *array, size_t *cap, size_t need, size_t size);
static inline uint64_t dfa_mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9E3779B97F4A7C15u;
	return h ^ h >> 29;
}

/* A byte of a text, or a run of them, and where it leads: a state, or a node of a code point that
 * is not complete. */
struct dfa {
	struct fa fa; /* over code points, minimal */
	/* Over bytes: states 0..fa.n-1 are the same (between two code points), those from fa.n on
	 * are inside of one. Their rows differ in length: a byte's class is its column. */
	uint32_t n;
	uint32_t width, inner_width;
	uint8_t class_of[256], inner_class_of[256];
	uint32_t *next, *inner; /* fa.n * width, (n - fa.n) * inner_width */
	bool *is_free;          /* fa.n */
};

/* Minimises f if need be, copies it to the arena with its table of bytes, and frees it. *out is
 * NULL for the empty set. f->err is the answer when it is set. */
enum err dfa_finish(
	struct arena *a, struct fa *f, bool is_minimal, const struct dfa **out, struct errtext *et);
enum err dfa_refuse(struct errtext *et, enum err e);

#endif
