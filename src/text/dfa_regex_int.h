/* Inside dfa_regex: sets of code points, and the program that an expression is parsed into. */
#ifndef TEXT_DFA_REGEX_INT_H
#define TEXT_DFA_REGEX_INT_H
#include "text/dfa_int.h"

struct span {
	uint32_t lo, hi;
};

/* Sorted, disjoint spans of letters that do not touch one another. Memory is malloc'ed. A failure
 * is remembered in `failed`. */
struct cset {
	struct span *v;
	size_t cap;
	uint32_t n;
	bool failed;
	bool sorted;
};

void cset_add(
	struct cset *s, uint32_t cp_lo, uint32_t cp_hi); /* code points; surrogates fall away */
void cset_add_set(struct cset *s, const struct cset *more);
void cset_add_not(struct cset *s, const struct cset *less); /* what is not in it */
void cset_sort(struct cset *s);                             /* before it is read */
bool cset_equal(const struct cset *x, const struct cset *y);
void cset_free(struct cset *s);

void cset_add_digits(struct cset *s);
void cset_add_space(struct cset *s);
void cset_add_word(struct cset *s, bool caseless);
void cset_add_line_ends(struct cset *s);
/* Adds what differs from a member in case only (simple case folding); returns a measure of work. */
size_t cset_close_case(struct cset *s);
/* \p{name} or \p{name=value}; false: ECMA-262 knows no such property. */
bool cset_add_property(struct cset *s, struct str name, struct str value);
bool cset_is_id_start(uint32_t cp);
bool cset_is_id_part(uint32_t cp);

enum {
	REGEX_DEPTH_MAX = 200,    /* of groups */
	REGEX_INSTS_MAX = 300000, /* after {n,m} is written out */
	REGEX_LOOKS_MAX = 1000,
	REGEX_WORK_MAX = 10000000, /* threads followed, sorted, kept: some 0.2 s */
};

/* A machine of many threads; one that reads a letter goes on at `next`. */
enum op {
	OP_SET,    /* reads a letter of sets[x] */
	OP_ANY,    /* reads any letter */
	OP_SPLIT,  /* goes on at x and at next */
	OP_BEGIN,  /* only before the first letter */
	OP_END,    /* only after the last */
	OP_WORD,   /* only between a word letter and another */
	OP_NOWORD, /* only elsewhere */
	OP_LOOK,   /* only where looks[x] holds */
	OP_MATCH,  /* the text may end here */
	OP_ALL,    /* and go on with anything */
};

struct inst {
	enum op op;
	uint32_t x, next;
};

struct look {
	uint32_t start; /* where its own program begins; it ends with OP_ALL (ahead), OP_MATCH
			   (behind) */
	uint32_t owner; /* the look it stands in; UINT32_MAX: none */
	uint32_t scope; /* the innermost look-behind it stands in */
	bool behind, negative;
	bool uses_context; /* has ^, \b or \B in it */
	size_t at;         /* its offset in the pattern */
};

struct program {
	struct inst *insts;
	struct cset *sets;
	struct look *looks;
	uint32_t n_insts, n_sets, n_looks;
	size_t insts_cap, sets_cap, looks_cap;
	uint32_t start;
	bool uses_words; /* \b or \B: sets[0] is that of word letters */
};

/* Letters that no set tells apart, numbered 0..n-1; the first n_words are letters of words (when
 * \b or \B is used, else none is). */
struct atoms {
	uint32_t n, n_words;
	uint32_t *
		cuts; /* where intervals of letters begin, n_cuts + 1: the last is LETTER_MAX + 1 */
	uint32_t *atom_of; /* per interval */
	uint32_t n_cuts;
	size_t *first; /* set i is list[first[i]] .. list[first[i + 1] - 1] */
	uint32_t *list;
};

enum err atoms_make(const struct program *p, struct atoms *a) MUST_CHECK;
void atoms_free(struct atoms *a); /* also after a failure */
/* From an automaton over atoms to one over letters, as small. */
void atoms_expand(const struct atoms *a, const struct fa *f, struct fa *out);

enum err regex_parse(
	struct str pattern, unsigned flags, struct program *p, struct errtext *et) MUST_CHECK;
void program_free(struct program *p);

#endif
