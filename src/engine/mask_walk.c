/* Walking the trie of tokens with a matcher. Most of a mask is text inside a string, where a cell
 * reads a character and stays what it was. Such a cell is asked once for each byte which characters
 * these are; then all below a node whose bytes are among them is allowed without a look. */
#include "engine/mask_int.h"

enum {
	IDLE_WORTH = 256, /* tokens below a node for which a cell is asked */
	IDLE_STATES = 24, /* cells inside a character */
};

static void allow(struct walk *w, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		int32_t id = w->t->tokens[i];
		w->bits[id / 64] |= 1ull << (id % 64);
	}
}

/* ---- cells that stay as they are ---- */

/* The one stack after c reads b; NULL: none, several, or c has ended as well. */
static const struct cell *only(struct matcher *m, const struct cell *c, uint8_t b)
{
	size_t n, popped;
	const struct cell *next = NULL;
	if (!matcher_push_like(m, c))
		return NULL;
	if (matcher_push(m, b)) {
		next = matcher_stacks(m, &n)[0];
		matcher_popped(m, &popped);
		if (n != 1 || popped)
			next = NULL;
		matcher_drop(m, 1);
	}
	matcher_drop(m, 1);
	return next;
}

/* Does c read every character that is not ASCII and stay? All pairs of a cell and what UTF-8 wants
 * next are followed. */
static bool reads_others(struct matcher *m, const struct cell *c)
{
	struct pair {
		const struct cell *cell;
		enum utf8_state state;
	} pair[IDLE_STATES] = {{c, U_END}};
	unsigned n = 1;
	for (unsigned i = 0; i < n; i++)
		for (unsigned b = 0x80; b < 256; b++) {
			enum utf8_state s = utf8_next(pair[i].state, (uint8_t)b);
			if (s == U_BAD)
				continue;
			const struct cell *next = only(m, pair[i].cell, (uint8_t)b);
			if (!next || (s == U_END && next != c))
				return false;
			unsigned k = 0;
			while (k < n && (pair[k].cell != next || pair[k].state != s))
				k++;
			if (k == IDLE_STATES)
				return false;
			if (k == n)
				pair[n++] = (struct pair){next, s};
		}
	return true;
}

static const struct idle *ask(struct walk *w, const struct cell *c)
{
	if (w->n_idle == ARRAY_LEN(w->idle))
		return NULL;
	struct idle *x = &w->idle[w->n_idle++];
	unsigned n = 0;
	*x = (struct idle){.cell = c};
	for (unsigned b = 0; b < 128; b++)
		if (only(w->m, c, (uint8_t)b) == c) {
			x->ascii[b / 64] |= 1ull << (b % 64);
			n++;
		}
	x->others = n && reads_others(w->m, c);
	return x;
}

/* What is known of the cell on top, when it is the only one and at node i; NULL: nothing. */
static const struct idle *idle_at(struct walk *w, uint32_t i)
{
	const struct token_trie *t = w->t;
	size_t n;
	const struct cell *c = matcher_stacks(w->m, &n)[0];
	if (n != 1 || !(t->flags[i] & TRIE_WHOLE))
		return NULL;
	for (unsigned k = 0; k < w->n_idle; k++)
		if (w->idle[k].cell == c)
			return &w->idle[k];
	return t->own[t->end[i]] - t->own[i] >= IDLE_WORTH ? ask(w, c) : NULL;
}

/* The byte of node i and all below are among what x, the cell at its parent, reads idly. */
static bool fits(const struct token_trie *t, uint32_t i, const struct idle *x)
{
	return !(t->ascii[i][0] & ~x->ascii[0]) && !(t->ascii[i][1] & ~x->ascii[1]) &&
	       !(t->flags[i] & TRIE_BAD) && (x->others || !(t->flags[i] & TRIE_OTHER));
}

/* ---- the walk ---- */

static uint32_t result_index(struct walk *w, const struct result *r)
{
	const struct result *v = (const struct result *)(const void *)w->results.p;
	uint32_t n = (uint32_t)(w->results.n / sizeof *v);
	for (uint32_t i = 0; i < n; i++)
		if (v[i].a == r->a && v[i].b == r->b && v[i].more == r->more)
			return i;
	buf_add(&w->results, r, sizeof *r);
	return n;
}

/* What the last push brought down to the bottom. */
static void collect(struct walk *w, uint32_t node)
{
	size_t n;
	const struct result *r = matcher_popped(w->m, &n);
	for (size_t i = 0; i < n; i++) {
		struct pop p = {node, result_index(w, &r[i])};
		buf_add(&w->pops, &p, sizeof p);
		w->n_rest += w->t->own[w->t->end[node]] - w->t->own[node];
	}
	w->too_many = w->n_rest > REST_MAX;
}

/* Another stack allowed all of this already. */
static bool known(const struct walk *w, uint32_t i)
{
	const struct token_trie *t = w->t;
	for (uint32_t k = t->own[i]; k < t->own[t->end[i]]; k++)
		if (!mask_has(w->bits, t->tokens[k]))
			return false;
	return true;
}

void walk_below(struct walk *w, uint32_t root)
{
	const struct token_trie *t = w->t;
	size_t base = matcher_levels(w->m);
	uint32_t end = t->end[root], depth;
	w->at[0] = end > root + 1 ? idle_at(w, root) : NULL;
	for (uint32_t i = root + 1; i < end && !w->too_many;) {
		depth = t->depth[i] - t->depth[root];
		const struct idle *x = depth <= ARRAY_LEN(w->at) ? w->at[depth - 1] : NULL;
		if (matcher_work(w->m) > w->work_max) {
			matcher_give_up(w->m, "the grammar can be read in too many ways at once");
			break;
		}
		if (!w->collect && known(w, i)) {
			i = t->end[i];
			continue;
		}
		if (x && fits(t, i, x)) {
			allow(w, t->own[i], t->own[t->end[i]]);
			i = t->end[i];
			continue;
		}
		matcher_drop(w->m, matcher_levels(w->m) - base - (depth - 1));
		bool goes_on = matcher_push(w->m, t->byte[i]);
		if (w->collect)
			collect(w, i);
		if (!goes_on) {
			i = t->end[i];
			continue;
		}
		allow(w, t->own[i], t->own[i + 1]);
		if (depth < ARRAY_LEN(w->at))
			w->at[depth] = t->end[i] > i + 1 ? idle_at(w, i) : NULL;
		i++;
	}
	matcher_drop(w->m, matcher_levels(w->m) - base);
}

void walk_free(struct walk *w)
{
	buf_free(&w->results);
	buf_free(&w->pops);
}
