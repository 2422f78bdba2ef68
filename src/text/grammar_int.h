/* What the files of a grammar share, in the order of their work:
 *
 *	grammar_gbnf.c   text to rules, each with an expression
 *	grammar_rules.c  which rules can be empty, can be completed, recurse, and recurse to the
 *left grammar_nfa.c    expressions to nondeterministic automata over bytes, with calls of rules
 *	grammar_net.c    those to deterministic ones: the network that the language walks
 *	grammar_level.c  which of its states no token can tell apart
 *	grammar.c        the language */
#ifndef TEXT_GRAMMAR_INT_H
#define TEXT_GRAMMAR_INT_H
#include "base/map.h"
#include "text/grammar.h"

enum { NO_RULE = UINT32_MAX, NO_MAX = UINT32_MAX };

struct char_range {
	uint32_t from, to; /* code points, inclusive */
};

enum expr_kind { EXPR_TEXT, EXPR_CHARS, EXPR_CALL, EXPR_SEQ, EXPR_ALT, EXPR_REPEAT };

/* Immutable once made; parts may be shared. EXPR_SEQ of nothing is the empty text, EXPR_ALT of
 * nothing has no text. */
struct expr {
	enum expr_kind kind;
	uint32_t n;                      /* of kids or ranges */
	uint32_t rule;                   /* CALL */
	uint32_t min, max;               /* REPEAT kids[0]; NO_MAX: without end */
	bool filled;                     /* CALL: only the texts that are not empty */
	struct str text;                 /* TEXT, UTF-8 */
	const struct char_range *ranges; /* CHARS: sorted, disjoint */
	const struct expr *const *kids;
};

struct rule {
	struct str name;
	const struct expr *body; /* NULL: used, but not defined */
	uint32_t line;           /* where it is defined, or first used */
	bool nullable, productive;
	bool recursive; /* calls itself, at last */
	uint32_t loop;  /* rules that call each other at their left end; 0: none */
	uint32_t place; /* v[i].place is the i-th rule when callees come first */
};

struct rules {
	struct arena *a;
	struct rule *v; /* v[0] is root */
	uint32_t n, cap;
	struct map names; /* to index + 1 */
};

/* A rule's index, added when new; NO_RULE: out of memory or too many. */
uint32_t rules_find(struct rules *r, struct str name, uint32_t line);
const struct expr *expr_new(struct arena *a, struct expr like); /* NULL: out of memory */
const struct expr *expr_seq(struct arena *a, const struct expr *x, const struct expr *y);

enum err rules_parse_gbnf(struct rules *r, struct str text, struct errtext *et);
/* Fills in the flags; refuses what is undefined or has no text at all. */
enum err rules_check(struct rules *r, struct errtext *et);
bool expr_nullable(const struct rules *r, const struct expr *x);
bool expr_productive(const struct rules *r, const struct expr *x);

/* ---- automata ---- */

enum edge_kind { EDGE_EMPTY, EDGE_BYTES, EDGE_CALL };

struct edge {
	enum edge_kind kind;
	uint8_t from, to; /* BYTES, inclusive */
	uint32_t part;    /* CALL */
	uint32_t target;
	uint32_t next; /* the node's next edge, or NO_EDGE */
};

enum { NO_EDGE = UINT32_MAX };

/* What a call can go to: a rule, or a rule without its empty text. Made when first called. */
struct part {
	uint32_t rule;
	bool filled;
	uint32_t start, end; /* nodes */
};

struct nfa {
	const struct rules *rules;
	struct arena *a;
	uint32_t *first; /* each node's first edge */
	uint32_t n_nodes, cap_nodes;
	struct edge *edges;
	uint32_t n_edges, cap_edges;
	struct part *parts; /* parts[0] is root */
	uint32_t n_parts, cap_parts;
	uint32_t *part_of; /* [rule * 2 + filled], part + 1 */
	uint64_t *size;    /* [rule]: nodes when all that can be is inlined, capped */
};

enum err nfa_build(struct nfa *f, const struct rules *r, struct errtext *et);
void nfa_free(struct nfa *f);

/* ---- the network ---- */

enum state_flags {
	STATE_READS = 1, /* some byte */
	STATE_ENDS = 2,  /* its part may end here */
	STATE_LAST = 4,  /* its part ends here, and nothing else is possible */
};

struct call {
	uint32_t start;  /* state of the part that is called */
	uint32_t target; /* state after it */
};

enum { NO_STATE = UINT32_MAX };

struct net {
	uint32_t n_states, n_classes;
	uint8_t class_of[256];
	uint32_t *next; /* [state * n_classes + class] */
	uint8_t *flags;
	uint32_t *first_call; /* [state + 1] */
	struct call *calls;
	uint32_t n_calls;
	uint32_t start; /* of root */
};

/* [n_states]: the state to be asked in place of each. NULL: too large, or no memory; all for
 * themselves. */
uint32_t *net_level(const struct net *net, struct arena *a);
enum err net_build(struct net *net, const struct nfa *f, struct arena *a, struct errtext *et);

#endif
