/* What the files of masks share: the trie of tokens (mask_trie.c), walking it with a matcher
 * (mask_walk.c), what was found out (mask_cache.c), and masks themselves (mask.c). */
#ifndef ENGINE_MASK_INT_H
#define ENGINE_MASK_INT_H
#include "engine/mask.h"

/* ---- a trie, its nodes in the order of a depth-first walk; 0 is the root ---- */

struct token_text {
	struct str bytes;
	int32_t id;
};

/* One cache line holds two. */
struct token_node {
	uint64_t ascii[2]; /* which ASCII bytes stand here or below */
	uint32_t end;      /* the first node that is not below this one */
	/* its own tokens are tokens[own .. own of the next node), and with all below it
	 * tokens[own .. own of end) */
	uint32_t own;
	uint16_t depth;  /* bytes from the root */
	uint16_t height; /* characters that begin below, on the longest way */
	uint8_t byte, flags;
};

struct token_trie {
	uint32_t n;
	struct token_node *node; /* [n + 1], the last only for its own */
	int32_t *tokens;
	size_t bytes; /* memory */
};

enum trie_flags {
	TRIE_OTHER = 1, /* here or below stands a byte that is not ASCII */
	TRIE_WHOLE = 2, /* what leads here is well-formed UTF-8, and a character ends here */
	TRIE_BAD = 4,   /* what leads here, or somewhere below, is not even the beginning of such */
};

/* Sorts v. */
enum err token_trie_build(
	struct token_trie *t, struct token_text *v, size_t n, struct errtext *et) MUST_CHECK;
void token_trie_free(struct token_trie *t);

/* The states of reading UTF-8: what must follow. */
enum utf8_state { U_END, U_1, U_2, U_3, U_E0, U_ED, U_F0, U_F4, U_BAD };
enum utf8_state utf8_next(enum utf8_state s, uint8_t byte);

/* ---- walking it ---- */

enum { IDLE_STACKS = 6 };

struct stacks {
	const struct cell *v[IDLE_STACKS];
	unsigned n;
};

/* Stacks that read some characters and stay as they are, or count: all texts of these characters,
 * `run` of them at most, are possible from here; `others` of them when some are not ASCII. */
struct idle {
	struct stacks at;
	uint64_t ascii[2]; /* which ASCII characters */
	uint32_t run, others;
};

/* What some stacks do with one more character: these lead to `next`. */
struct look {
	struct stacks at, next;
	uint64_t ascii[2];
	enum { OTHERS_UNKNOWN, OTHERS_LEAD, OTHERS_DO_NOT } others; /* all that are not ASCII */
};

/* Of one sequence: a string that counts its characters looks far ahead, and then goes on a little.
 */
struct looks {
	struct look v[128];
	unsigned n, last; /* last: the newest, when all are taken */
	uint32_t moves;   /* of the matcher, when they were made */
};

struct pop {
	uint32_t node, result; /* index into results */
};

struct walk {
	const struct token_trie *t;
	struct matcher *m;
	uint64_t *bits; /* set for each token that is possible */
	struct looks *looks;
	struct idle idle[8]; /* stacks that were asked */
	unsigned n_idle;
	struct {
		const struct idle *idle; /* NULL: nothing is known of the stacks there */
		uint32_t used;           /* characters that were read since */
	} at[64];                        /* by depth */
	uint64_t work_max;               /* of the matcher's work: more ends the walk */
	/* pops to the bottom, when wanted; too_many ends the walk */
	bool collect, too_many;
	struct buf results, pops; /* struct result, struct pop */
	size_t n_rest;            /* tokens below the pops */
};

enum { REST_MAX = 8192 };

/* The tokens below `root`, read by the stacks on the matcher's top level. */
void walk_below(struct walk *w, uint32_t root);
void walk_free(struct walk *w);

/* ---- what was found out ---- */

struct rest { /* tokens whose beginning finishes the cell with this result */
	uint32_t a, b;
	struct buf more; /* empty: NULL */
	bool has_more;
	struct token_trie t; /* what is left of them */
};

struct entry {
	struct entry *newer, *older; /* by use */
	unsigned refs;               /* the cache's and of those who read it */
	struct str key;
	size_t bytes;
	bool deeper; /* too much goes on below: ask with one more cell */
	bool any;    /* some bit is set */
	uint64_t *bits;
	struct rest *rests;
	uint32_t n_rests;
};

struct cache;
struct cache *cache_new(size_t bytes_max);
void cache_free(struct cache *c);
struct entry *cache_get(struct cache *c, struct str key); /* NULL: unknown; else cache_put back */
void cache_put(struct cache *c, struct entry *e);
/* e, with refs 1 for the caller, becomes known. When another was faster, that is returned instead.
 */
struct entry *cache_add(struct cache *c, struct entry *e);
void entry_free(struct entry *e);
void cache_stats(struct cache *c, struct masker_stats *out);

#endif
