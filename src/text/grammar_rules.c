/* What holds of the rules of a grammar: which can be empty, which can be completed, which recurse,
 * and which of them at their left end. */
#include <stdlib.h>
#include "text/grammar_int.h"

enum { WORK_MAX = 100 * 1000 * 1000 };

/* ---- of an expression, given what is known of the rules ---- */

bool expr_nullable(const struct rules *r, const struct expr *x)
{
	switch (x->kind) {
	case EXPR_TEXT:
		return !x->text.n;
	case EXPR_CHARS:
		return false;
	case EXPR_CALL:
		return !x->filled && r->v[x->rule].nullable;
	case EXPR_SEQ:
		for (uint32_t i = 0; i < x->n; i++)
			if (!expr_nullable(r, x->kids[i]))
				return false;
		return true;
	case EXPR_ALT:
		for (uint32_t i = 0; i < x->n; i++)
			if (expr_nullable(r, x->kids[i]))
				return true;
		return false;
	case EXPR_REPEAT:
		return !x->min || expr_nullable(r, x->kids[0]);
	}
	return false;
}

bool expr_productive(const struct rules *r, const struct expr *x)
{
	switch (x->kind) {
	case EXPR_TEXT:
		return true;
	case EXPR_CHARS:
		return x->n > 0;
	case EXPR_CALL:
		return r->v[x->rule].productive;
	case EXPR_SEQ:
		for (uint32_t i = 0; i < x->n; i++)
			if (!expr_productive(r, x->kids[i]))
				return false;
		return true;
	case EXPR_ALT:
		for (uint32_t i = 0; i < x->n; i++)
			if (expr_productive(r, x->kids[i]))
				return true;
		return false;
	case EXPR_REPEAT:
		return !x->min || expr_productive(r, x->kids[0]);
	}
	return false;
}

/* ---- who calls whom ---- */

struct calls {
	uint32_t *first; /* [n + 1], into to */
	struct buf to;   /* uint32_t each */
};

static void collect(const struct rules *r, const struct expr *x, bool left, struct buf *to)
{
	if (x->kind == EXPR_CALL)
		buf_add(to, &x->rule, sizeof x->rule);
	if (x->kind == EXPR_TEXT || x->kind == EXPR_CHARS || x->kind == EXPR_CALL)
		return;
	for (uint32_t i = 0; i < x->n; i++) {
		collect(r, x->kids[i], left, to);
		if (left && x->kind == EXPR_SEQ && !expr_nullable(r, x->kids[i]))
			return;
	}
}

/* All calls, or those that can stand at the left end. */
static bool calls_of(const struct rules *r, bool left, struct calls *c)
{
	*c = (struct calls){.first = calloc(r->n + 1, sizeof *c->first)};
	for (uint32_t i = 0; i < r->n && c->first; i++) {
		collect(r, r->v[i].body, left, &c->to);
		c->first[i + 1] = (uint32_t)(c->to.n / sizeof(uint32_t));
	}
	return c->first && !c->to.err;
}

static void calls_free(struct calls *c)
{
	free(c->first);
	buf_free(&c->to);
}

/* ---- rules that call each other: Tarjan's components, without recursion ---- */

struct components {
	uint32_t *order; /* rules, callees first (but for those in a circle) */
	uint32_t *of;    /* each rule's component, from 1 */
	bool *circle;    /* by component: it calls itself */
	uint32_t n_order, n;
};

struct visit {
	uint32_t rule, next; /* call to look at next */
};

static void close_component(struct components *k, uint32_t *stack, uint32_t *n_stack, uint32_t rule)
{
	uint32_t size = 0, i;
	k->n++;
	do {
		i = stack[--*n_stack];
		k->of[i] = k->n;
		k->order[k->n_order++] = i;
		size++;
	} while (i != rule);
	k->circle[k->n] = size > 1;
}

static bool find_components(const struct calls *c, uint32_t n, struct components *k)
{
	const uint32_t *to = (const uint32_t *)(const void *)c->to.p;
	uint32_t *low = calloc(n, sizeof *low), *stack = calloc(n, sizeof *stack), n_stack = 0;
	uint32_t *index = calloc(n, sizeof *index), last = 0, depth;
	struct visit *path = calloc(n, sizeof *path);
	*k = (struct components){calloc(n, sizeof *k->order), calloc(n, sizeof *k->of),
		calloc(n + 1, sizeof *k->circle), 0, 0};
	bool ok = low && stack && index && path && k->order && k->of && k->circle;
	for (uint32_t root = 0; root < n && ok; root++) {
		if (index[root])
			continue;
		path[0] = (struct visit){root, c->first[root]};
		depth = 1;
		index[root] = low[root] = ++last;
		stack[n_stack++] = root;
		while (depth) {
			struct visit *v = &path[depth - 1];
			if (v->next < c->first[v->rule + 1]) {
				uint32_t t = to[v->next++];
				if (!index[t]) {
					index[t] = low[t] = ++last;
					stack[n_stack++] = t;
					path[depth++] = (struct visit){t, c->first[t]};
				} else if (!k->of[t]) {
					low[v->rule] = MIN(low[v->rule], index[t]);
				}
				continue;
			}
			if (low[v->rule] == index[v->rule])
				close_component(k, stack, &n_stack, v->rule);
			depth--;
			if (depth)
				low[path[depth - 1].rule] =
					MIN(low[path[depth - 1].rule], low[v->rule]);
		}
	}
	for (uint32_t i = 0; i < n && ok; i++)
		for (uint32_t e = c->first[i]; e < c->first[i + 1]; e++)
			if (to[e] == i)
				k->circle[k->of[i]] = true;
	free(low);
	free(stack);
	free(index);
	free(path);
	return ok;
}

static void components_free(struct components *k)
{
	free(k->order);
	free(k->of);
	free(k->circle);
}

/* ---- the whole ---- */

/* Callees first, until nothing changes: once, where nothing recurses. */
static enum err settle(struct rules *r, const uint32_t *order, struct errtext *et)
{
	uint64_t work = 0, pass = arena_used(r->a) / sizeof(struct expr) + r->n;
	for (bool changed = true; changed; work += pass) {
		changed = false;
		if (work > WORK_MAX)
			return err_set(et, ERR_TOO_LARGE,
				"the grammar is too intricate: its rules "
				"call each other in too long circles");
		for (uint32_t i = 0; i < r->n; i++) {
			struct rule *x = &r->v[order[i]];
			bool nullable = x->nullable || expr_nullable(r, x->body);
			bool productive = x->productive || expr_productive(r, x->body);
			changed |= nullable != x->nullable || productive != x->productive;
			x->nullable = nullable;
			x->productive = productive;
		}
	}
	return OK;
}

static enum err defined(const struct rules *r, struct errtext *et)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (!r->v[i].body)
			return err_set(et, ERR_INVALID,
				"line %u: rule '%.*s' is used, but nowhere defined", r->v[i].line,
				STR_FMT(str_sub(r->v[i].name, 0, 80)));
	return OK;
}

enum err rules_check(struct rules *r, struct errtext *et)
{
	struct calls all = {0}, left = {0};
	struct components k = {0}, loops = {0};
	enum err e = defined(r, et);
	if (e)
		return e;
	bool ok = calls_of(r, false, &all) && find_components(&all, r->n, &k);
	if (ok)
		e = settle(r, k.order, et);
	ok = ok && !e && calls_of(r, true, &left) && find_components(&left, r->n, &loops);
	for (uint32_t i = 0; i < r->n && ok; i++) {
		r->v[i].recursive = k.circle[k.of[i]];
		r->v[i].loop = loops.circle[loops.of[i]] ? loops.of[i] : 0;
	}
	if (!ok && !e)
		e = err_set(et, ERR_NOMEM, "no memory for the grammar");
	if (!e && !r->v[0].productive)
		e = err_set(et, ERR_INVALID,
			"line %u: rule '%.*s' has no text that could ever be completed",
			r->v[0].line, STR_FMT(r->v[0].name));
	/* callees first is what the sizes of the automata want */
	if (!e)
		for (uint32_t i = 0; i < r->n; i++)
			r->v[i].place = k.order[i];
	calls_free(&all);
	calls_free(&left);
	components_free(&k);
	components_free(&loops);
	return e;
}
