/* Nondeterministic automata with calls to deterministic ones, part by part: the construction by
 * subsets, where a call is a letter like a byte. Nodes from which their part's end cannot be
 * reached are left out, so that every state can be completed. Bytes that no edge tells apart share
 * a column. */
#include <stdlib.h>
#include "base/hash.h"
#include "text/grammar_int.h"

enum {
	STATES_MAX = 100 * 1000,
	TABLE_MAX = 16 << 20, /* entries of `next` */
	WORK_MAX = 100 * 1000 * 1000,
};

/* A state while it is made: the nodes that matter, sorted. */
struct subset {
	uint32_t *nodes;
	uint32_t n, part, next; /* next: in its chain of the table */
};

struct subsets {
	const struct nfa *f;
	struct net *net;
	bool *live;           /* by node */
	uint32_t *part_start; /* by part: its state */
	struct subset *v;     /* by state */
	uint32_t n, cap;
	uint32_t *table, n_table; /* state + 1, by hash */
	struct buf next, calls, first_call, flags;
	uint32_t *mark, epoch; /* by node */
	uint32_t *stack, *found, n_found;
	uint64_t work;
	enum err e;
};

/* ---- which nodes lead to an end ---- */

struct reverse {
	uint32_t *first, *from;
};

static bool reverse(const struct nfa *f, struct reverse *r)
{
	r->first = calloc((size_t)f->n_nodes + 2, sizeof *r->first);
	r->from = malloc(((size_t)f->n_edges + 1) * sizeof *r->from);
	if (!r->first || !r->from)
		return false;
	for (uint32_t i = 0; i < f->n_edges; i++)
		r->first[f->edges[i].target + 2]++;
	for (uint32_t i = 0; i < f->n_nodes; i++)
		r->first[i + 1] += r->first[i];
	for (uint32_t i = 0; i < f->n_nodes; i++)
		for (uint32_t e = f->first[i]; e != NO_EDGE; e = f->edges[e].next)
			r->from[r->first[f->edges[e].target + 1]++] = i;
	return true;
}

static bool find_live(struct subsets *s)
{
	const struct nfa *f = s->f;
	struct reverse r = {0};
	bool ok = reverse(f, &r);
	uint32_t n = 0;
	for (uint32_t i = 0; i < f->n_parts && ok; i++) {
		s->live[f->parts[i].end] = true;
		s->stack[n++] = f->parts[i].end;
	}
	while (n && ok) {
		uint32_t at = s->stack[--n];
		for (uint32_t i = r.first[at]; i < r.first[at + 1]; i++)
			if (!s->live[r.from[i]]) {
				s->live[r.from[i]] = true;
				s->stack[n++] = r.from[i];
			}
	}
	free(r.first);
	free(r.from);
	return ok;
}

/* ---- classes of bytes ---- */

static void find_classes(struct subsets *s)
{
	bool begins[257] = {[0] = true};
	for (uint32_t i = 0; i < s->f->n_edges; i++)
		if (s->f->edges[i].kind == EDGE_BYTES) {
			begins[s->f->edges[i].from] = true;
			begins[s->f->edges[i].to + 1] = true;
		}
	uint32_t class = 0;
	for (unsigned b = 0; b < 256; b++) {
		class += b && begins[b];
		s->net->class_of[b] = (uint8_t) class;
	}
	s->net->n_classes = class + 1;
}

/* ---- subsets ---- */

static void begin_set(struct subsets *s)
{
	s->epoch++;
	s->n_found = 0;
}

/* Adds a node and what it reaches by nothing. */
static void reach(struct subsets *s, uint32_t node)
{
	uint32_t n = 0;
	if (s->mark[node] == s->epoch || !s->live[node])
		return;
	s->mark[node] = s->epoch;
	s->stack[n++] = node;
	while (n) {
		uint32_t at = s->stack[--n];
		bool matters = false;
		for (uint32_t e = s->f->first[at]; e != NO_EDGE; e = s->f->edges[e].next) {
			uint32_t t = s->f->edges[e].target;
			s->work++;
			if (s->f->edges[e].kind != EDGE_EMPTY) {
				matters = true;
			} else if (s->mark[t] != s->epoch && s->live[t]) {
				s->mark[t] = s->epoch;
				s->stack[n++] = t;
			}
		}
		if (matters || s->f->first[at] == NO_EDGE) /* the latter: an end */
			s->found[s->n_found++] = at;
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static bool grow_table(struct subsets *s)
{
	uint32_t n = s->n_table ? s->n_table * 2 : 1024;
	uint32_t *t = calloc(n, sizeof *t);
	if (!t)
		return false;
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t h = hash64(str_mk(s->v[i].nodes, s->v[i].n * sizeof(uint32_t)));
		s->v[i].next = t[h & (n - 1)];
		t[h & (n - 1)] = i + 1;
	}
	free(s->table);
	s->table = t;
	s->n_table = n;
	return true;
}

static uint32_t fail(struct subsets *s, enum err e)
{
	if (!s->e)
		s->e = e;
	return NO_STATE;
}

static uint32_t new_state(struct subsets *s, uint32_t part, uint64_t hash)
{
	if (s->n == STATES_MAX || (uint64_t)s->n * s->net->n_classes > TABLE_MAX)
		return fail(s, ERR_TOO_LARGE);
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 256;
		struct subset *v = realloc(s->v, cap * sizeof *v);
		if (!v)
			return fail(s, ERR_NOMEM);
		s->v = v;
		s->cap = cap;
	}
	uint32_t *nodes = malloc(MAX(s->n_found, 1u) * sizeof *nodes);
	if (!nodes)
		return fail(s, ERR_NOMEM);
	memcpy(nodes, s->found, s->n_found * sizeof *nodes);
	s->v[s->n] = (struct subset){nodes, s->n_found, part, s->table[hash & (s->n_table - 1)]};
	s->table[hash & (s->n_table - 1)] = s->n + 1;
	return s->n++;
}

/* The state of the set that was begun; NO_STATE: it is empty. */
static uint32_t end_set(struct subsets *s, uint32_t part)
{
	if (!s->n_found || s->e)
		return NO_STATE;
	if (s->work > WORK_MAX)
		return fail(s, ERR_TOO_LARGE);
	qsort(s->found, s->n_found, sizeof *s->found, by_number);
	struct str key = str_mk(s->found, s->n_found * sizeof *s->found);
	uint64_t hash = hash64(key);
	if (s->n >= s->n_table / 2 && !grow_table(s))
		return fail(s, ERR_NOMEM);
	for (uint32_t i = s->table[hash & (s->n_table - 1)]; i; i = s->v[i - 1].next)
		if (str_eq(key, str_mk(s->v[i - 1].nodes, s->v[i - 1].n * sizeof(uint32_t))))
			return i - 1;
	return new_state(s, part, hash);
}

/* ---- one state's row ---- */

struct letter {
	uint32_t class_or_part, target;
};

static int by_letter(const void *a, const void *b)
{
	const struct letter *x = a, *y = b;
	if (x->class_or_part != y->class_or_part)
		return x->class_or_part > y->class_or_part ? 1 : -1;
	return (x->target > y->target) - (x->target < y->target);
}

/* The edges of a state's nodes by letter: bytes by class, or calls by part. */
static void letters(struct subsets *s, uint32_t state, enum edge_kind kind, struct buf *out)
{
	const struct subset *v = &s->v[state];
	buf_clear(out);
	for (uint32_t i = 0; i < v->n; i++)
		for (uint32_t k = s->f->first[v->nodes[i]]; k != NO_EDGE; k = s->f->edges[k].next) {
			const struct edge *e = &s->f->edges[k];
			if (e->kind != kind || !s->live[e->target])
				continue;
			uint32_t from = kind == EDGE_CALL ? e->part : s->net->class_of[e->from];
			uint32_t to = kind == EDGE_CALL ? e->part : s->net->class_of[e->to];
			for (uint32_t c = from; c <= to; c++)
				buf_add(out, &(struct letter){c, e->target}, sizeof(struct letter));
			s->work += to - from + 1;
		}
	if (out->err)
		fail(s, ERR_NOMEM);
	else if (out->n)
		qsort(out->p, out->n / sizeof(struct letter), sizeof(struct letter), by_letter);
}

/* Goes over equal letters from i on; their target's state to *to. Returns where the next begin. */
static size_t one_letter(
	struct subsets *s, const struct buf *b, size_t i, uint32_t part, uint32_t *to)
{
	const struct letter *l = (const struct letter *)(const void *)b->p;
	size_t n = b->n / sizeof *l, k = i;
	begin_set(s);
	for (; k < n && l[k].class_or_part == l[i].class_or_part; k++)
		reach(s, l[k].target);
	*to = end_set(s, part);
	return k;
}

static void row(struct subsets *s, uint32_t state, struct buf *scratch)
{
	uint32_t part = s->v[state].part, to, k = s->net->n_classes;
	const struct letter *l;
	uint8_t flags = 0;
	uint32_t *next = (uint32_t *)(void *)buf_reserve(&s->next, k * sizeof *next);
	if (!next) {
		fail(s, ERR_NOMEM);
		return;
	}
	memset(next, 0xFF, k * sizeof *next); /* NO_STATE */
	s->next.n += k * sizeof *next;
	letters(s, state, EDGE_BYTES, scratch);
	for (size_t i = 0; i < scratch->n / sizeof *l && !s->e;) {
		l = (const struct letter *)(const void *)scratch->p + i;
		i = one_letter(s, scratch, i, part, &to);
		next[l->class_or_part] = to;
		flags |= STATE_READS;
	}
	letters(s, state, EDGE_CALL, scratch);
	for (size_t i = 0; i < scratch->n / sizeof *l && !s->e;) {
		l = (const struct letter *)(const void *)scratch->p + i;
		i = one_letter(s, scratch, i, part, &to);
		buf_add(&s->calls, &(struct call){l->class_or_part, to}, sizeof(struct call));
	}
	uint32_t n_calls = (uint32_t)(s->calls.n / sizeof(struct call)), before;
	memcpy(&before, s->first_call.p + s->first_call.n - sizeof before, sizeof before);
	for (uint32_t i = 0; i < s->v[state].n; i++)
		if (s->v[state].nodes[i] == s->f->parts[part].end)
			flags |= STATE_ENDS;
	if (flags == STATE_ENDS && n_calls == before)
		flags |= STATE_LAST;
	buf_add(&s->flags, &flags, 1);
	buf_add(&s->first_call, &n_calls, sizeof n_calls);
}

static void construct(struct subsets *s)
{
	struct buf scratch = {0};
	uint32_t zero = 0;
	buf_add(&s->first_call, &zero, sizeof zero);
	for (uint32_t p = 0; p < s->f->n_parts && !s->e; p++) {
		begin_set(s);
		reach(s, s->f->parts[p].start);
		s->part_start[p] = end_set(s, p);
		if (s->part_start[p] == NO_STATE) /* productive rules have texts */
			fail(s, ERR_INTERNAL);
	}
	for (uint32_t i = 0; i < s->n && !s->e; i++)
		row(s, i, &scratch);
	if (s->next.err || s->calls.err || s->first_call.err || s->flags.err)
		fail(s, ERR_NOMEM);
	buf_free(&scratch);
}

/* ---- the whole ---- */

static void *keep(struct subsets *s, struct arena *a, const struct buf *b)
{
	void *p = arena_alloc(a, MAX(b->n, 1));
	if (!p)
		fail(s, ERR_NOMEM);
	else if (b->n)
		memcpy(p, b->p, b->n);
	return p;
}

static void finish(struct subsets *s, struct arena *a)
{
	struct net *net = s->net;
	net->n_states = s->n;
	net->n_calls = (uint32_t)(s->calls.n / sizeof(struct call));
	net->start = s->part_start[0];
	net->next = keep(s, a, &s->next);
	net->flags = keep(s, a, &s->flags);
	net->first_call = keep(s, a, &s->first_call);
	net->calls = keep(s, a, &s->calls);
	for (uint32_t i = 0; i < net->n_calls && !s->e; i++)
		net->calls[i].start = s->part_start[net->calls[i].start];
}

static void release(struct subsets *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->v[i].nodes);
	free(s->v);
	free(s->table);
	free(s->live);
	free(s->part_start);
	free(s->mark);
	free(s->stack);
	free(s->found);
	buf_free(&s->next);
	buf_free(&s->calls);
	buf_free(&s->first_call);
	buf_free(&s->flags);
}

enum err net_build(struct net *net, const struct nfa *f, struct arena *a, struct errtext *et)
{
	size_t n = f->n_nodes + 1u;
	struct subsets s = {.f = f,
		.net = net,
		.live = calloc(n, sizeof *s.live),
		.mark = calloc(n, sizeof *s.mark),
		.stack = calloc(n, sizeof *s.stack),
		.found = calloc(n, sizeof *s.found),
		.part_start = calloc(f->n_parts, sizeof *s.part_start)};
	*net = (struct net){0};
	if (!s.live || !s.mark || !s.stack || !s.found || !s.part_start || !grow_table(&s) ||
		!find_live(&s))
		s.e = ERR_NOMEM;
	if (!s.e) {
		find_classes(&s);
		construct(&s);
	}
	if (!s.e)
		finish(&s, a);
	enum err e = s.e;
	release(&s);
	if (e == ERR_TOO_LARGE)
		return err_set(et, e,
			"the grammar needs more than %d states: write it with fewer or smaller "
			"repetitions of things that begin alike",
			STATES_MAX);
	return e ? err_set(et, e, "the grammar could not be compiled: %s", err_sentence(e)) : OK;
}
