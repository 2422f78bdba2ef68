/* Walking the trie of tokens with a matcher. Most of a mask is text inside a string or a word,
 * where the stacks read a character and stay what they were, or count it. Such stacks are asked
 * once which characters these are, and how many of them may follow; then all below a node that
 * consists of them is allowed without a look. */
#include "engine/mask_int.h"

enum {
	IDLE_WORTH = 256, /* tokens below a node for which its stacks are asked */
	IDLE_LEAST = 4,   /* and for which what is known is looked up */
	INSIDE_MAX = 24,  /* different stacks inside a character */
	OTHERS_MAX = 12,  /* of them beyond ASCII, which are more */
	RUN_MAX = 32,     /* characters that are tried, one after the other */
};

static void allow(struct walk *w, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		int32_t id = w->t->tokens[i];
		w->bits[id / 64] |= 1ull << (id % 64);
	}
}

/* ---- stacks that stay as they are ---- */

/* The stacks of the top level; false: too many, or something went down to the bottom. */
static bool top(struct walk *w, struct stacks *out)
{
	size_t n, popped;
	const struct cell *const *v = matcher_stacks(w->m, &n);
	matcher_popped(w->m, &popped);
	if (n > IDLE_STACKS || popped)
		return false;
	out->n = (unsigned)n;
	memcpy(out->v, v, n * sizeof *v);
	return true;
}

static bool same(const struct stacks *x, const struct stacks *y)
{
	return x->n == y->n && !memcmp(x->v, y->v, x->n * sizeof *x->v);
}

/* x itself, or a cell that is asked by asking x: whatever can be read from x can be read from it.
 */
static bool asked_by(const struct language *l, const struct cell *x, const struct cell *c)
{
	struct cell k = *c;
	if (x == c)
		return true;
	return l->ops->key && x->up == c->up && l->ops->key(c, &k) && k.node == x->node &&
	       k.kind == x->kind && k.a == x->a && k.b == x->b && k.c == x->c && k.more == x->more;
}

/* What was read led back. */
static bool back(const struct walk *w, const struct stacks *from, const struct stacks *to)
{
	if (from->n != to->n)
		return false;
	for (unsigned i = 0; i < from->n; i++)
		if (!asked_by(matcher_language(w->m), from->v[i], to->v[i]))
			return false;
	return true;
}

/* Goes on by one byte, a level higher; false: not, or to no few stacks. */
static bool goes(struct walk *w, uint8_t b, struct stacks *out)
{
	if (!matcher_push(w->m, b))
		return false;
	if (top(w, out))
		return true;
	matcher_drop(w->m, 1);
	return false;
}

struct inside { /* a character */
	const struct stacks *want;
	struct stacks seen[INSIDE_MAX];
	enum utf8_state state[INSIDE_MAX];
	unsigned n;
};

/* Does every character that is not ASCII lead to in->want? From here, a part of one was read. */
static bool others_lead(struct walk *w, enum utf8_state u, struct inside *in)
{
	struct stacks next;
	for (unsigned b = 0x80; b < 256; b++) {
		enum utf8_state s = utf8_next(u, (uint8_t)b);
		if (s == U_BAD)
			continue;
		if (!goes(w, (uint8_t)b, &next))
			return false;
		bool good = s != U_END || same(&next, in->want);
		unsigned k = s == U_END ? in->n : 0;
		while (k < in->n && (in->state[k] != s || !same(&in->seen[k], &next)))
			k++;
		if (good && s != U_END && k == in->n) {
			good = in->n < INSIDE_MAX;
			if (good) {
				in->seen[in->n] = next;
				in->state[in->n++] = s;
				good = others_lead(w, s, in);
			}
		}
		matcher_drop(w->m, 1);
		if (!good)
			return false;
	}
	return true;
}

/* All characters are tried. */
static void look_new(struct walk *w, struct look *x)
{
	struct stacks t;
	for (unsigned i = 0; i < 128; i++) {
		unsigned b = (i + 'a') % 128; /* letters are the likeliest to be many */
		if (!goes(w, (uint8_t)b, &t))
			continue;
		matcher_drop(w->m, 1);
		if (!x->next.n)
			x->next = t;
		if (same(&t, &x->next))
			x->ascii[b / 64] |= 1ull << (b % 64);
	}
}

/* Do all characters that are not ASCII lead there, too? Asked where x was made. */
static bool others_too(struct walk *w, struct look *x)
{
	struct inside in = {.want = &x->next};
	if (x->others == OTHERS_UNKNOWN)
		x->others = x->next.n && others_lead(w, U_END, &in) ? OTHERS_LEAD : OTHERS_DO_NOT;
	return x->others == OTHERS_LEAD;
}

/* What the stacks of the top level, which are `at`, do with one more character. */
static struct look *look(struct walk *w, const struct stacks *at)
{
	struct looks *l = w->looks;
	if (l->moves != matcher_moves(w->m)) {
		l->n = 0;
		l->moves = matcher_moves(w->m);
	}
	for (unsigned i = 0; i < l->n; i++)
		if (same(&l->v[i].at, at))
			return &l->v[i];
	struct look x = {.at = *at};
	look_new(w, &x);
	l->last = l->n < ARRAY_LEN(l->v) ? l->n++ : (l->last + 1) % ARRAY_LEN(l->v);
	l->v[l->last] = x;
	return &l->v[l->last];
}

static const struct idle *ask(struct walk *w, const struct stacks *at)
{
	size_t levels = matcher_levels(w->m);
	if (w->n_idle == ARRAY_LEN(w->idle))
		return NULL;
	struct idle *x = &w->idle[w->n_idle++];
	struct look *now = look(w, at);
	bool others = true;
	*x = (struct idle){.at = *at, .ascii = {now->ascii[0], now->ascii[1]}};
	uint8_t b = 'a';
	while (now->next.n && !(x->ascii[b / 64] >> (b % 64) & 1))
		b = (b + 1) % 128;
	while (now->next.n && !(x->ascii[0] & ~now->ascii[0] || x->ascii[1] & ~now->ascii[1])) {
		others = others && x->run < OTHERS_MAX && others_too(w, now);
		x->run++;
		x->others += others;
		if (back(w, &now->at, &now->next)) {
			x->others = others ? UINT32_MAX : x->others;
			x->run = UINT32_MAX;
		}
		if (x->run >= RUN_MAX || !matcher_push(w->m, b))
			break;
		struct stacks next = now->next;
		now = look(w, &next);
	}
	matcher_drop(w->m, matcher_levels(w->m) - levels);
	return x;
}

/* What is known of the stacks at node i, the top level; NULL: nothing. */
static const struct idle *idle_at(struct walk *w, uint32_t i)
{
	const struct token_trie *t = w->t;
	struct stacks at;
	if (!(t->node[i].flags & TRIE_WHOLE) ||
		t->node[t->node[i].end].own - t->node[i].own < IDLE_LEAST || !top(w, &at))
		return NULL;
	for (unsigned k = 0; k < w->n_idle; k++)
		if (w->idle[k].at.n == at.n && !memcmp(w->idle[k].at.v, at.v, at.n * sizeof *at.v))
			return &w->idle[k];
	return t->node[t->node[i].end].own - t->node[i].own >= IDLE_WORTH ? ask(w, &at) : NULL;
}

/* The byte of node i and all below are what x, the stacks some characters before its parent, read
 * idly. */
static bool fits(const struct token_trie *t, uint32_t i, const struct idle *x, uint32_t used)
{
	const struct token_node *n = &t->node[i];
	uint32_t most = n->flags & TRIE_OTHER ? x->others : x->run;
	return !(n->ascii[0] & ~x->ascii[0]) && !(n->ascii[1] & ~x->ascii[1]) &&
	       !(n->flags & TRIE_BAD) && (most == UINT32_MAX || used + n->height < most);
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
		w->n_rest += w->t->node[w->t->node[node].end].own - w->t->node[node].own;
	}
	w->too_many = w->n_rest > REST_MAX;
}

/* Another stack allowed all of this already. */
static bool known(const struct walk *w, uint32_t i)
{
	const struct token_trie *t = w->t;
	for (uint32_t k = t->node[i].own; k < t->node[t->node[i].end].own; k++)
		if (!mask_has(w->bits, t->tokens[k]))
			return false;
	return true;
}

/* What is known of the stacks at node i of this depth, on the top level, coming from its parent's.
 */
static void learn(struct walk *w, uint32_t i, uint32_t depth)
{
	const struct token_trie *t = w->t;
	uint8_t b = t->node[i].byte;
	if (depth >= ARRAY_LEN(w->at))
		return;
	w->at[depth].idle = NULL;
	if (t->node[i].end == i + 1)
		return;
	const struct idle *x = depth ? w->at[depth - 1].idle : NULL;
	uint32_t used = depth ? w->at[depth - 1].used + 1 : 0;
	if (x && b < 0x80 && x->ascii[b / 64] >> (b % 64) & 1 && used < x->run) {
		w->at[depth].idle = x;
		w->at[depth].used = used;
		return;
	}
	w->at[depth].idle = idle_at(w, i);
	w->at[depth].used = 0;
}

void walk_below(struct walk *w, uint32_t root)
{
	const struct token_trie *t = w->t;
	size_t base = matcher_levels(w->m);
	uint32_t end = t->node[root].end, depth;
	learn(w, root, 0);
	for (uint32_t i = root + 1; i < end && !w->too_many;) {
		depth = t->node[i].depth - t->node[root].depth;
		const struct idle *x = depth <= ARRAY_LEN(w->at) ? w->at[depth - 1].idle : NULL;
		if (matcher_work(w->m) > w->work_max) {
			matcher_give_up(w->m, "the grammar can be read in too many ways at once");
			break;
		}
		if (x && fits(t, i, x, w->at[depth - 1].used)) {
			allow(w, t->node[i].own, t->node[t->node[i].end].own);
			i = t->node[i].end;
			continue;
		}
		if (!w->collect && known(w, i)) {
			i = t->node[i].end;
			continue;
		}
		matcher_drop(w->m, matcher_levels(w->m) - base - (depth - 1));
		bool goes_on = matcher_push(w->m, t->node[i].byte);
		if (w->collect)
			collect(w, i);
		if (!goes_on) {
			i = t->node[i].end;
			continue;
		}
		allow(w, t->node[i].own, t->node[i + 1].own);
		learn(w, i, depth);
		i++;
	}
	matcher_drop(w->m, matcher_levels(w->m) - base);
}

void walk_free(struct walk *w)
{
	buf_free(&w->results);
	buf_free(&w->pops);
}
