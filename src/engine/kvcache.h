/* Which blocks of keys and values hold which tokens: a pool of blocks and a radix tree over them.
 *
 * A block is KV_BLOCK consecutive positions of one sequence. A sequence (struct kvseq) holds a
 *table of blocks; when a block is full its tokens are known, so it becomes a node of the tree,
 *below the node of the block before it, and every later sequence that begins with the same tokens
 *takes it into its own table instead of computing it. Two that compute the same block at the same
 *time end with one: the values of a position depend on the tokens up to it and on nothing else, bit
 *by bit.
 *
 *	(root) -- "You are a helpful ..." -- "... assistant." -- question 1 ...
 *	                                                  \----- question 2 ...
 *
 * Nodes that no sequence uses stay until their room is needed: the one unused for longest goes
 * first, leaves before what they stand on. Only whole blocks are shared. Of a block that is shared
 *in part the positions are copied into a block of the new sequence (struct kvcopy), which costs
 *less than computing one of them.
 *
 * Bookkeeping alone: the values are decoder.c's. One thread at a time. */
#ifndef ENGINE_KVCACHE_H
#define ENGINE_KVCACHE_H
#include <stdint.h>
#include "base/err.h"

enum { KV_BLOCK = 64 };

struct kvcache;

/* Sequences of different kinds share nothing: what one kind computes is wrong for another (an
 * adapter), or nobody else's to know of by its speed (a realm). */
struct kvkind {
	uint64_t adapter, realm;
};

struct kvseq {
	uint32_t *blocks;  /* [n_blocks], room for the context's; the caller's memory */
	uint32_t n_blocks; /* it holds */
	uint32_t n_shared; /* the first of them are nodes of the tree */
	uint32_t n;        /* positions whose values are there */
	struct kvkind kind;
};

struct kvcopy { /* the first n positions of a block */
	uint32_t from, to, n;
};

enum err kvcache_new(uint32_t n_blocks, struct kvcache **out, struct errtext *et) MUST_CHECK;
void kvcache_free(struct kvcache *c); /* accepts NULL */

/* Positions of ids[0..n) that are known; *idle (may be NULL): blocks of them that nobody uses now.
 */
uint32_t kvcache_known(const struct kvcache *c, struct kvkind kind, const int32_t *ids, uint32_t n,
	uint32_t *idle);
/* Gives an empty sequence what is known of ids[0..n); s->n says how much. True: *copy must be done
 * before the next pass. */
bool kvcache_begin(
	struct kvcache *c, struct kvseq *s, const int32_t *ids, uint32_t n, struct kvcopy *copy);
/* Blocks for positions [0, n); false when there are not enough, and then it holds what it held. */
bool kvcache_grow(struct kvcache *c, struct kvseq *s, uint32_t n);
/* s->n positions of ids are there now: full blocks become nodes. */
void kvcache_commit(struct kvcache *c, struct kvseq *s, const int32_t *ids);
/* At the end of its last full block, and with more to read: takes what others have computed of
 * ids[0..n) meanwhile. Returns the positions gained. */
uint32_t kvcache_catch_up(struct kvcache *c, struct kvseq *s, const int32_t *ids, uint32_t n);
/* Whether their next blocks would be the same node, given the same tokens. */
bool kvcache_same_place(const struct kvseq *a, const struct kvseq *b);
/* The sequence is over: everything it computed stays known while there is room. */
void kvcache_end(struct kvcache *c, struct kvseq *s, const int32_t *ids);

uint32_t kvcache_room(const struct kvcache *c);         /* blocks that are free or nobody's */
uint32_t kvcache_blocks(const struct kvcache *c);       /* in all */
uint64_t kvcache_known_tokens(const struct kvcache *c); /* positions of all nodes */
/* Checks the whole structure; for tests. NULL, or what is wrong. */
const char *kvcache_check(const struct kvcache *c, const struct kvseq *const *seqs, size_t n);

#endif
