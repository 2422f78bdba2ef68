/* Expressions to automata over bytes. A call of a rule that does not recurse and is small is
 * replaced by the rule itself; every other is an edge.
 *
 * Left recursion. Let C be rules that call each other at their left end. Each text of a rule A in C
 * that is not empty begins with something that does not begin with a rule of C, and goes on by what
 * stands behind such a rule in an alternative: A derives B x, B derives C y, C derives z, so it
 * reads z y x. Therefore A's automaton has a node for "a text of B ends here" per rule B of C. An
 * alternative of B that begins otherwise leads from the start to B's node; an alternative `D x` of
 * B, D in C, leads by x from D's node to B's. A ends at its own node. For this, each alternative is
 * split by what it begins with, empty beginnings taken away (`items`). */
#include <stdlib.h>
#include "text/grammar_int.h"

enum {
	INLINE_MAX = 200,        /* nodes of a rule that replaces its call */
	PART_INLINE_MAX = 20000, /* nodes of a part that still lets calls be replaced */
	NODES_MAX = 1000 * 1000,
	SIZE_CAP = 1 << 30,
};

struct builder {
	struct nfa *f;
	const struct rules *r;
	bool inlining;
	enum err e;
};

static void fail(struct builder *b, enum err e)
{
	if (!b->e)
		b->e = e;
}

/* ---- nodes and edges ---- */

static bool grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	void *old, *p;
	uint32_t more = *cap ? *cap * 2 : 256;
	memcpy(&old, array, sizeof old);
	p = realloc(old, more * size);
	if (!p)
		return false;
	memcpy(array, &p, sizeof p);
	*cap = more;
	return true;
}

static uint32_t node(struct builder *b)
{
	struct nfa *f = b->f;
	if (f->n_nodes == NODES_MAX)
		fail(b, ERR_TOO_LARGE);
	else if (!grow(&f->first, f->n_nodes, &f->cap_nodes, sizeof *f->first))
		fail(b, ERR_NOMEM);
	if (b->e)
		return 0;
	f->first[f->n_nodes] = NO_EDGE;
	return f->n_nodes++;
}

static void edge(struct builder *b, uint32_t from, struct edge like)
{
	struct nfa *f = b->f;
	if (b->e || !grow(&f->edges, f->n_edges, &f->cap_edges, sizeof *f->edges)) {
		fail(b, ERR_NOMEM);
		return;
	}
	like.next = f->first[from];
	f->first[from] = f->n_edges;
	f->edges[f->n_edges++] = like;
}

static void empty(struct builder *b, uint32_t from, uint32_t to)
{
	edge(b, from, (struct edge){.kind = EDGE_EMPTY, .target = to});
}

static void bytes(struct builder *b, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi)
{
	edge(b, from, (struct edge){.kind = EDGE_BYTES, .from = lo, .to = hi, .target = to});
}

static uint32_t part(struct builder *b, uint32_t rule, bool filled)
{
	struct nfa *f = b->f;
	filled &= b->r->v[rule].nullable;
	uint32_t *known = &f->part_of[rule * 2 + filled];
	if (!*known) {
		if (!grow(&f->parts, f->n_parts, &f->cap_parts, sizeof *f->parts)) {
			fail(b, ERR_NOMEM);
			return 0;
		}
		struct part p = {rule, filled, node(b), node(b)};
		f->parts[f->n_parts++] = p;
		*known = f->n_parts;
	}
	return *known - 1;
}

/* ---- characters ---- */

/* Code points of one UTF-8 length, as few chains of byte ranges. */
static void utf8_range(struct builder *b, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi)
{
	char x[4], y[4];
	size_t n = utf8_encode(hi, y);
	for (size_t i = 1; i < n; i++) {
		uint32_t m = (1u << 6 * i) - 1;
		if ((lo & ~m) == (hi & ~m))
			continue;
		if (lo & m) {
			utf8_range(b, from, to, lo, lo | m);
			utf8_range(b, from, to, (lo | m) + 1, hi);
			return;
		}
		if ((hi & m) != m) {
			utf8_range(b, from, to, lo, (hi & ~m) - 1);
			utf8_range(b, from, to, hi & ~m, hi);
			return;
		}
	}
	utf8_encode(lo, x);
	for (size_t i = 0; i < n; i++) {
		uint32_t next = i + 1 < n ? node(b) : to;
		bytes(b, from, next, (uint8_t)x[i], (uint8_t)y[i]);
		from = next;
	}
}

static void chars(struct builder *b, const struct expr *x, uint32_t from, uint32_t to)
{
	static const uint32_t last[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
	for (uint32_t i = 0; i < x->n; i++) {
		uint32_t lo = x->ranges[i].from, hi = x->ranges[i].to;
		for (size_t k = 0; k < ARRAY_LEN(last) && lo <= hi; k++) {
			if (lo > last[k])
				continue;
			/* the surrogates between two ranges of the same length are not in them */
			utf8_range(b, from, to, lo, MIN(hi, last[k]));
			lo = last[k] + 1;
		}
	}
}

static void text(struct builder *b, struct str s, uint32_t from, uint32_t to)
{
	if (!s.n)
		empty(b, from, to);
	for (size_t i = 0; i < s.n; i++) {
		uint32_t next = i + 1 < s.n ? node(b) : to;
		bytes(b, from, next, (uint8_t)s.p[i], (uint8_t)s.p[i]);
		from = next;
	}
}

/* ---- expressions ---- */

static void build(struct builder *b, const struct expr *x, uint32_t from, uint32_t to);
static void build_filled(struct builder *b, const struct expr *x, uint32_t from, uint32_t to);

static void call(struct builder *b, const struct expr *x, uint32_t from, uint32_t to)
{
	const struct rule *r = &b->r->v[x->rule];
	if (!r->productive)
		return;
	if (b->inlining && !r->recursive && b->f->size[x->rule] <= INLINE_MAX) {
		if (x->filled && r->nullable)
			build_filled(b, r->body, from, to);
		else
			build(b, r->body, from, to);
		return;
	}
	if (r->nullable && !x->filled)
		empty(b, from, to);
	edge(b, from,
		(struct edge){
			.kind = EDGE_CALL, .part = part(b, x->rule, x->filled), .target = to});
}

static void repeat(struct builder *b, const struct expr *x, uint32_t from, uint32_t to)
{
	const struct expr *kid = x->kids[0];
	for (uint32_t i = 0; i < x->min && !b->e; i++) {
		uint32_t next = node(b);
		build(b, kid, from, next);
		from = next;
	}
	if (x->max == NO_MAX) {
		uint32_t loop = node(b);
		empty(b, from, loop);
		build(b, kid, loop, loop);
		from = loop;
	}
	for (uint32_t i = x->min; i < x->max && x->max != NO_MAX && !b->e; i++) {
		uint32_t next = node(b);
		empty(b, from, to);
		build(b, kid, from, next);
		from = next;
	}
	empty(b, from, to);
}

static void build(struct builder *b, const struct expr *x, uint32_t from, uint32_t to)
{
	if (b->e)
		return;
	switch (x->kind) {
	case EXPR_TEXT:
		text(b, x->text, from, to);
		break;
	case EXPR_CHARS:
		chars(b, x, from, to);
		break;
	case EXPR_CALL:
		call(b, x, from, to);
		break;
	case EXPR_SEQ:
		for (uint32_t i = 0; i + 1 < x->n; i++) {
			uint32_t next = node(b);
			build(b, x->kids[i], from, next);
			from = next;
		}
		if (x->n)
			build(b, x->kids[x->n - 1], from, to);
		else
			empty(b, from, to);
		break;
	case EXPR_ALT:
		for (uint32_t i = 0; i < x->n; i++)
			build(b, x->kids[i], from, to);
		break;
	case EXPR_REPEAT:
		repeat(b, x, from, to);
		break;
	}
}

/* ---- what texts begin with ---- */

struct item {
	uint32_t lead;           /* a rule of the loop, or NO_RULE */
	const struct expr *rest; /* what follows it, or the whole; then it is never empty */
};

struct items {
	struct item *v;
	uint32_t n, cap;
};

static void item(struct builder *b, struct items *l, uint32_t lead, const struct expr *rest)
{
	if (!rest || !grow(&l->v, l->n, &l->cap, sizeof *l->v))
		fail(b, ERR_NOMEM);
	else
		l->v[l->n++] = (struct item){lead, rest};
}

static void split(struct builder *b, const struct expr *x, uint32_t loop, struct items *l);

/* The items of x, each followed by rest. */
static void split_before(struct builder *b, const struct expr *x, const struct expr *rest,
	uint32_t loop, struct items *l)
{
	uint32_t from = l->n;
	split(b, x, loop, l);
	for (uint32_t i = from; i < l->n && !b->e; i++) {
		l->v[i].rest = expr_seq(b->f->a, l->v[i].rest, rest);
		if (!l->v[i].rest)
			fail(b, ERR_NOMEM);
	}
}

static void split_seq(struct builder *b, const struct expr *x, uint32_t loop, struct items *l)
{
	for (uint32_t i = 0; i < x->n && !b->e; i++) {
		const struct expr *rest = expr_new(b->f->a,
			(struct expr){
				.kind = EXPR_SEQ, .n = x->n - i - 1, .kids = x->kids + i + 1});
		if (!rest) {
			fail(b, ERR_NOMEM);
			return;
		}
		split_before(b, x->kids[i], rest, loop, l);
		if (!expr_nullable(b->r, x->kids[i]))
			return;
	}
}

static void split_repeat(struct builder *b, const struct expr *x, uint32_t loop, struct items *l)
{
	uint32_t min = expr_nullable(b->r, x->kids[0]) ? 0 : x->min;
	if (!x->max)
		return;
	const struct expr *rest =
		expr_new(b->f->a, (struct expr){.kind = EXPR_REPEAT,
					  .n = 1,
					  .kids = x->kids,
					  .min = min ? min - 1 : 0,
					  .max = x->max == NO_MAX ? NO_MAX : x->max - 1});
	if (rest)
		split_before(b, x->kids[0], rest, loop, l);
	else
		fail(b, ERR_NOMEM);
}

/* All texts of x but the empty one, by what they begin with. */
static void split(struct builder *b, const struct expr *x, uint32_t loop, struct items *l)
{
	static const struct expr nothing = {.kind = EXPR_SEQ};
	if (b->e)
		return;
	switch (x->kind) {
	case EXPR_TEXT:
		if (x->text.n)
			item(b, l, NO_RULE, x);
		break;
	case EXPR_CHARS:
		item(b, l, NO_RULE, x);
		break;
	case EXPR_CALL:
		if (loop && b->r->v[x->rule].loop == loop) {
			item(b, l, x->rule, &nothing);
			break;
		}
		item(b, l, NO_RULE,
			expr_new(b->f->a,
				(struct expr){.kind = EXPR_CALL, .rule = x->rule, .filled = true}));
		break;
	case EXPR_SEQ:
		split_seq(b, x, loop, l);
		break;
	case EXPR_ALT:
		for (uint32_t i = 0; i < x->n; i++)
			split(b, x->kids[i], loop, l);
		break;
	case EXPR_REPEAT:
		split_repeat(b, x, loop, l);
		break;
	}
}

static void build_filled(struct builder *b, const struct expr *x, uint32_t from, uint32_t to)
{
	struct items l = {0};
	split(b, x, 0, &l);
	for (uint32_t i = 0; i < l.n && !b->e; i++)
		build(b, l.v[i].rest, from, to);
	free(l.v);
}

/* ---- parts ---- */

static void build_loop(struct builder *b, struct part p)
{
	const struct rules *r = b->r;
	uint32_t loop = r->v[p.rule].loop, *nodes = calloc(r->n, sizeof *nodes);
	struct items l = {0};
	if (!nodes)
		fail(b, ERR_NOMEM);
	for (uint32_t i = 0; i < r->n && !b->e; i++)
		if (r->v[i].loop == loop)
			nodes[i] = node(b);
	for (uint32_t i = 0; i < r->n && !b->e; i++) {
		if (r->v[i].loop != loop)
			continue;
		l.n = 0;
		split(b, r->v[i].body, loop, &l);
		for (uint32_t k = 0; k < l.n && !b->e; k++)
			build(b, l.v[k].rest, l.v[k].lead == NO_RULE ? p.start : nodes[l.v[k].lead],
				nodes[i]);
	}
	if (!b->e) {
		empty(b, nodes[p.rule], p.end);
		if (r->v[p.rule].nullable && !p.filled)
			empty(b, p.start, p.end);
	}
	free(l.v);
	free(nodes);
}

static void build_part(struct builder *b, struct part p)
{
	const struct rule *r = &b->r->v[p.rule];
	b->inlining = b->f->size[p.rule] <= PART_INLINE_MAX;
	if (r->loop)
		build_loop(b, p);
	else if (p.filled)
		build_filled(b, r->body, p.start, p.end);
	else
		build(b, r->body, p.start, p.end);
}

/* About how many nodes x needs. */
static uint64_t measure(const struct nfa *f, const struct expr *x)
{
	uint64_t n = 1;
	switch (x->kind) {
	case EXPR_TEXT:
		return x->text.n + 1;
	case EXPR_CHARS:
		return 4 * (uint64_t)x->n + 1;
	case EXPR_CALL:
		return f->size[x->rule] <= INLINE_MAX ? f->size[x->rule] + 1 : 1;
	case EXPR_SEQ:
	case EXPR_ALT:
		for (uint32_t i = 0; i < x->n; i++)
			n += measure(f, x->kids[i]);
		break;
	case EXPR_REPEAT:
		n += (x->max == NO_MAX ? (uint64_t)x->min + 1 : x->max) * measure(f, x->kids[0]);
	}
	return MIN(n, (uint64_t)SIZE_CAP);
}

enum err nfa_build(struct nfa *f, const struct rules *r, struct errtext *et)
{
	struct builder b = {.f = f, .r = r};
	*f = (struct nfa){.rules = r, .a = r->a};
	f->part_of = calloc((size_t)r->n * 2, sizeof *f->part_of);
	f->size = calloc(r->n, sizeof *f->size);
	if (!f->part_of || !f->size)
		return err_set(et, ERR_NOMEM, "no memory for the grammar");
	for (uint32_t i = 0; i < r->n; i++)
		f->size[i] = SIZE_CAP; /* recursive ones are never inlined */
	for (uint32_t i = 0; i < r->n; i++)
		if (!r->v[r->v[i].place].recursive)
			f->size[r->v[i].place] = measure(f, r->v[r->v[i].place].body);
	for (uint32_t i = 0; i < r->n; i++)
		if (r->v[i].recursive)
			f->size[i] = MAX(measure(f, r->v[i].body), (uint64_t)INLINE_MAX + 1);
	part(&b, 0, false);
	uint32_t i = 0;
	for (; i < f->n_parts && !b.e; i++)
		build_part(&b, f->parts[i]);
	if (b.e == ERR_TOO_LARGE) {
		const struct rule *x = &r->v[f->parts[i - 1].rule];
		return err_set(et, ERR_TOO_LARGE,
			"line %u: rule '%.*s', with its repetitions written out, is too large",
			x->line, STR_FMT(str_sub(x->name, 0, 80)));
	}
	return b.e ? err_set(et, b.e, "no memory for the grammar") : OK;
}

void nfa_free(struct nfa *f)
{
	free(f->first);
	free(f->edges);
	free(f->parts);
	free(f->part_of);
	free(f->size);
}
