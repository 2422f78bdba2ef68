/* Blocks of keys and values: who holds them, and the tree of those whose tokens are known. A node
 * is a block, so the nodes' memory is one array. Children hang in a list; a walk compares the first
 * token before the rest, so that a thousand questions below one system prompt cost microseconds. */
#include "engine/kvcache.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = UINT32_MAX };

enum state { FREE, HELD, NODE }; /* HELD: in a sequence's table, its tokens not whole yet */

struct node {
	enum state state;
	uint32_t parent, first, next, prev; /* NONE: none; parent of a top node */
	uint32_t refs;                      /* sequences that have it in their table */
	uint32_t n;                         /* tokens; only full nodes have children */
	uint64_t used;
	struct kvkind kind; /* of a top node */
	int32_t ids[KV_BLOCK];
};

struct kvcache {
	uint32_t n_blocks, n_free, idle; /* idle: nodes without refs */
	uint32_t top;                    /* the first top node */
	uint64_t clock;
	struct node *nodes;
	uint32_t *free; /* a stack; the lowest block on top at first, and what was freed last */
};

enum err kvcache_new(uint32_t n_blocks, struct kvcache **out, struct errtext *et)
{
	struct kvcache *c = calloc(1, sizeof *c);
	if (c) {
		c->n_blocks = c->n_free = n_blocks;
		c->top = NONE;
		c->nodes = calloc(MAX(n_blocks, 1u), sizeof *c->nodes);
		c->free = calloc(MAX(n_blocks, 1u), sizeof *c->free);
	}
	if (!c || !c->nodes || !c->free) {
		kvcache_free(c);
		return err_set(et, ERR_NOMEM, "no memory for a table of %u blocks", n_blocks);
	}
	for (uint32_t i = 0; i < n_blocks; i++)
		c->free[i] = n_blocks - 1 - i;
	*out = c;
	return OK;
}

void kvcache_free(struct kvcache *c)
{
	if (!c)
		return;
	free(c->nodes);
	free(c->free);
	free(c);
}

static bool same_kind(struct kvkind a, struct kvkind b)
{
	return a.adapter == b.adapter && a.realm == b.realm;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static uint32_t *children(struct kvcache *c, uint32_t parent)
{
	return parent == NONE ? &c->top : &c->nodes[parent].first;
}

static void link_node(struct kvcache *c, uint32_t b, uint32_t parent)
{
	struct node *x = &c->nodes[b];
	uint32_t *first = children(c, parent);
	x->state = NODE;
	x->parent = parent;
	x->first = x->prev = NONE;
	x->next = *first;
	if (x->next != NONE)
		c->nodes[x->next].prev = b;
	*first = b;
	x->refs = 0;
	x->used = ++c->clock;
	c->idle++;
}

/* A leaf that nobody uses, out of the tree and free. */
static void drop(struct kvcache *c, uint32_t b)
{
	struct node *x = &c->nodes[b];
	if (x->prev == NONE)
		*children(c, x->parent) = x->next;
	else
		c->nodes[x->prev].next = x->next;
	if (x->next != NONE)
		c->nodes[x->next].prev = x->prev;
	x->state = FREE;
	c->idle--;
	c->free[c->n_free++] = b;
}

static uint32_t common(const struct node *x, const int32_t *ids, uint32_t n)
{
	uint32_t i = 0, most = MIN(x->n, n);
	while (i < most && x->ids[i] == ids[i])
		i++;
	return i;
}

/* The child of `parent` that has most of ids[0..n) in common; *shared says how much. */
static uint32_t best_child(const struct kvcache *c, uint32_t parent, struct kvkind kind,
	const int32_t *ids, uint32_t n, uint32_t *shared)
{
	uint32_t best = NONE;
	*shared = 0;
	for (uint32_t b = *children((struct kvcache *)c, parent); b != NONE; b = c->nodes[b].next) {
		const struct node *x = &c->nodes[b];
		if (parent == NONE && !same_kind(x->kind, kind))
			continue;
		uint32_t k = common(x, ids, n);
		if (k > *shared) {
			best = b;
			*shared = k;
		}
		if (k == KV_BLOCK)
			break;
	}
	return best;
}

static void use(struct kvcache *c, uint32_t b)
{
	struct node *x = &c->nodes[b];
	c->idle -= !x->refs;
	x->refs++;
	x->used = ++c->clock;
}

static void unuse(struct kvcache *c, uint32_t b)
{
	struct node *x = &c->nodes[b];
	x->refs--;
	c->idle += !x->refs;
	x->used = ++c->clock;
}

/* A free block, at need the place of what was unused for longest. */
static uint32_t take(struct kvcache *c)
{
	if (!c->n_free) {
		uint32_t oldest = NONE;
		for (uint32_t b = 0; b < c->n_blocks; b++) {
			const struct node *x = &c->nodes[b];
			if (x->state == NODE && !x->refs && x->first == NONE &&
				(oldest == NONE || x->used < c->nodes[oldest].used))
				oldest = b;
		}
		if (oldest == NONE)
			return NONE;
		drop(c, oldest);
	}
	uint32_t b = c->free[--c->n_free];
	c->nodes[b].state = HELD;
	return b;
}

static void give(struct kvcache *c, uint32_t b)
{
	c->nodes[b].state = FREE;
	c->free[c->n_free++] = b;
}

/* ---- sequences ------------------------------------------------------------------------------- */

static uint32_t tail_of(const struct kvseq *s)
{
	return s->n_shared ? s->blocks[s->n_shared - 1] : NONE;
}

bool kvcache_same_place(const struct kvseq *a, const struct kvseq *b)
{
	return a->n_shared == b->n_shared && tail_of(a) == tail_of(b) &&
	       same_kind(a->kind, b->kind);
}

uint32_t kvcache_known(
	const struct kvcache *c, struct kvkind kind, const int32_t *ids, uint32_t n, uint32_t *idle)
{
	uint32_t at = NONE, known = 0, shared, unused = 0;
	for (;;) {
		uint32_t b = best_child(c, at, kind, ids + known, n - known, &shared);
		known += shared;
		if (shared < KV_BLOCK)
			break;
		unused += !c->nodes[b].refs;
		at = b;
	}
	if (idle)
		*idle = unused;
	return known;
}

uint32_t kvcache_catch_up(struct kvcache *c, struct kvseq *s, const int32_t *ids, uint32_t n)
{
	uint32_t before = s->n, shared;
	if (s->n != s->n_shared * KV_BLOCK)
		return 0;
	while (n - s->n >= KV_BLOCK) {
		uint32_t b = best_child(c, tail_of(s), s->kind, ids + s->n, n - s->n, &shared);
		if (shared < KV_BLOCK)
			break;
		if (s->n_blocks > s->n_shared) /* one it had for these positions */
			give(c, s->blocks[s->n_shared]);
		else
			s->n_blocks++;
		use(c, b);
		s->blocks[s->n_shared++] = b;
		s->n += KV_BLOCK;
	}
	return s->n - before;
}

bool kvcache_begin(
	struct kvcache *c, struct kvseq *s, const int32_t *ids, uint32_t n, struct kvcopy *copy)
{
	uint32_t shared, from, to;
	s->n_blocks = s->n_shared = s->n = 0;
	kvcache_catch_up(c, s, ids, n);
	from = best_child(c, tail_of(s), s->kind, ids + s->n, n - s->n, &shared);
	if (!shared || shared == KV_BLOCK)
		return false;
	use(c, from); /* not to be given away for the copy of it */
	to = take(c);
	unuse(c, from);
	if (to == NONE)
		return false;
	s->blocks[s->n_blocks++] = to;
	s->n += shared;
	*copy = (struct kvcopy){from, to, shared};
	return true;
}

bool kvcache_grow(struct kvcache *c, struct kvseq *s, uint32_t n)
{
	uint32_t need = (n + KV_BLOCK - 1) / KV_BLOCK, before = s->n_blocks;
	if (need > before && need - before > kvcache_room(c))
		return false;
	while (s->n_blocks < need)
		s->blocks[s->n_blocks++] = take(c);
	return true;
}

/* Shorter leaves of `parent` that begin as ids do are no longer worth their blocks. */
static void drop_beginnings(struct kvcache *c, uint32_t parent, struct kvkind kind,
	const int32_t *ids, uint32_t n, uint32_t but)
{
	for (uint32_t b = *children(c, parent), next; b != NONE; b = next) {
		const struct node *x = &c->nodes[b];
		next = x->next;
		if (b != but && x->n < n && !x->refs &&
			(parent != NONE || same_kind(x->kind, kind)) && common(x, ids, n) == x->n)
			drop(c, b);
	}
}

/* Block `at` of the sequence, with n tokens, becomes a node, or gives way to one that is there. */
static void enter(struct kvcache *c, struct kvseq *s, uint32_t at, const int32_t *ids, uint32_t n)
{
	uint32_t parent = tail_of(s), b = s->blocks[at], shared;
	uint32_t there = best_child(c, parent, s->kind, ids, n, &shared);
	if (shared == n) {
		give(c, b);
		s->blocks[at] = there;
		return;
	}
	struct node *x = &c->nodes[b];
	memcpy(x->ids, ids, n * sizeof *ids);
	x->n = n;
	x->kind = s->kind;
	link_node(c, b, parent);
	drop_beginnings(c, parent, s->kind, ids, n, b);
}

void kvcache_commit(struct kvcache *c, struct kvseq *s, const int32_t *ids)
{
	while (s->n >= (s->n_shared + 1) * KV_BLOCK) {
		enter(c, s, s->n_shared, ids + (size_t)s->n_shared * KV_BLOCK, KV_BLOCK);
		use(c, s->blocks[s->n_shared++]);
	}
}

void kvcache_end(struct kvcache *c, struct kvseq *s, const int32_t *ids)
{
	kvcache_commit(c, s, ids);
	uint32_t left = s->n - s->n_shared * KV_BLOCK;
	for (uint32_t i = s->n_shared + (left > 0); i < s->n_blocks; i++)
		give(c, s->blocks[i]);
	if (left)
		enter(c, s, s->n_shared, ids + (size_t)s->n_shared * KV_BLOCK, left);
	for (uint32_t i = s->n_shared; i-- > 0;) /* the beginning was used last */
		unuse(c, s->blocks[i]);
	s->n_blocks = s->n_shared = s->n = 0;
}

/* ---- what there is --------------------------------------------------------------------------- */

uint32_t kvcache_room(const struct kvcache *c)
{
	return c->n_free + c->idle;
}

uint32_t kvcache_blocks(const struct kvcache *c)
{
	return c->n_blocks;
}

uint64_t kvcache_known_tokens(const struct kvcache *c)
{
	uint64_t n = 0;
	for (uint32_t b = 0; b < c->n_blocks; b++)
		if (c->nodes[b].state == NODE)
			n += c->nodes[b].n;
	return n;
}

static const char *check_node(const struct kvcache *c, uint32_t b)
{
	const struct node *x = &c->nodes[b];
	if (!x->n || x->n > KV_BLOCK)
		return "a node has no tokens, or too many";
	if (x->n < KV_BLOCK && (x->first != NONE || x->refs))
		return "a part of a block is in use";
	if (x->next != NONE && c->nodes[x->next].prev != b)
		return "siblings are not linked both ways";
	if (x->prev == NONE && *children((struct kvcache *)c, x->parent) != b)
		return "the first child is not its parent's";
	if (x->parent == NONE)
		return NULL;
	if (c->nodes[x->parent].state != NODE || c->nodes[x->parent].n != KV_BLOCK)
		return "a node stands on nothing";
	if (x->refs > c->nodes[x->parent].refs)
		return "a node is used without its parent";
	return NULL;
}

const char *kvcache_check(const struct kvcache *c, const struct kvseq *const *seqs, size_t n)
{
	uint32_t nodes = 0, idle = 0, held = 0, refs = 0;
	for (uint32_t b = 0; b < c->n_blocks; b++) {
		const struct node *x = &c->nodes[b];
		const char *wrong = x->state == NODE ? check_node(c, b) : NULL;
		if (wrong)
			return wrong;
		nodes += x->state == NODE;
		idle += x->state == NODE && !x->refs;
		held += x->state == HELD;
		refs += x->state == NODE ? x->refs : 0;
	}
	if (idle != c->idle)
		return "the idle blocks are counted wrong";
	if (nodes + held + c->n_free != c->n_blocks)
		return "blocks are lost";
	for (size_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < seqs[i]->n_blocks; j++) {
			bool shared = j < seqs[i]->n_shared;
			if (c->nodes[seqs[i]->blocks[j]].state != (shared ? NODE : HELD))
				return "a sequence holds a block that is not its own";
			refs -= shared;
			held -= !shared;
		}
	return refs ? "nodes are used by nobody" : held ? "blocks are held by nobody" : NULL;
}
