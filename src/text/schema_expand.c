/* A set of literals as alternatives without choices: keywords become facts, applicators become
 * further literals or choices, negations move inwards (a tableau).
 *
 * What a schema says when it holds is a list of facts, literals and choices; how it may fail is a
 * list of options, for it fails when one of its keywords does. */
#include "text/schema_expand_int.h"

enum { ALTS_MAX = 512, DEPTH_MAX = 2048, STEPS_MAX = 100000 };

struct expansion {
	struct compiler *c;
	struct alt *out;
	size_t n, cap, steps;
};

/* ---- applicators ---- */

static enum err ref_of(struct compiler *c, yyjson_val *s, yyjson_val **out)
{
	static const char *const dynamic[] = {"$dynamicRef", "$recursiveRef"};
	*out = NULL;
	for (int i = 0; i < 2; i++)
		if (kw_get(s, dynamic[i]))
			return kw_cannot(c, kw_get(s, dynamic[i]), dynamic[i],
				"its target depends on the way to it; use $ref");
	yyjson_val *v = kw_get(s, "$ref");
	if (!v)
		return OK;
	if (!yyjson_is_str(v))
		return schema_complain(c, ERR_INVALID, v, "$ref must be a string");
	return schema_target(c, s, json_val_str(v), out);
}

static enum err any_of(
	struct compiler *c, yyjson_val *list, struct branch *b, const struct scope *scope)
{
	const struct option *options = NULL;
	for (size_t i = yyjson_arr_size(list); i-- > 0;)
		TRY(option_add_lit(c, &options, schema_lit(yyjson_arr_get(list, i), false), scope));
	return choice_add(c, b, options);
}

/* The i-th holds and no other does. Those that exclude each other anyway need not be denied. */
static enum err one_of(
	struct compiler *c, yyjson_val *list, struct branch *b, const struct scope *scope)
{
	size_t n = yyjson_arr_size(list);
	const struct option *options = NULL;
	if (n > 64 && !c->loose)
		return kw_cannot(
			c, list, "oneOf", "more than 64 schemas are too many to tell apart");
	if (c->loose)
		return any_of(c, list, b, scope);
	for (size_t i = n; i-- > 0;) {
		const struct todo *lits = NULL;
		struct lit pair[2] = {schema_lit(yyjson_arr_get(list, i), false)};
		for (size_t j = 0; j < n; j++) {
			bool both = false;
			pair[1] = schema_lit(yyjson_arr_get(list, j), false);
			if (j != i)
				TRY(schema_possible(c, pair, 2, &both));
			if (both)
				TRY(todo_add(c, &lits, lit_not(pair[1]), NULL));
		}
		TRY(todo_add(c, &lits, pair[0], scope));
		TRY(option_add(c, &options, lits, NULL));
	}
	return choice_add(c, b, options);
}

static enum err conditional(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope)
{
	yyjson_val *cond = kw_get(s, "if"), *then = kw_get(s, "then"), *other = kw_get(s, "else");
	const struct option *options = NULL;
	const struct todo *yes = NULL, *no = NULL;
	if (!cond || (!then && !other))
		return OK;
	TRY(todo_add(c, &no, schema_lit(cond, true), NULL));
	if (other)
		TRY(todo_add(c, &no, schema_lit(other, false), scope));
	TRY(option_add(c, &options, no, NULL));
	if (then)
		TRY(todo_add(c, &yes, schema_lit(then, false), scope));
	TRY(todo_add(c, &yes, schema_lit(cond, false), scope));
	TRY(option_add(c, &options, yes, NULL));
	return choice_add(c, b, options);
}

static enum err applicators_hold(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope)
{
	yyjson_val *list, *v;
	size_t i, n;
	TRY(kw_list(c, s, "allOf", &list));
	yyjson_arr_foreach(list, i, n, v) TRY(todo_add(c, &b->todo, schema_lit(v, false), scope));
	if ((v = kw_get(s, "not")))
		TRY(todo_add(c, &b->todo, schema_lit(v, true), NULL));
	TRY(kw_list(c, s, "anyOf", &list));
	if (list)
		TRY(any_of(c, list, b, scope));
	TRY(kw_list(c, s, "oneOf", &list));
	if (list)
		TRY(one_of(c, list, b, scope));
	return conditional(c, s, b, scope);
}

static enum err applicators_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	yyjson_val *list, *v, *cond = kw_get(s, "if");
	size_t i, n;
	const struct todo *lits = NULL;
	TRY(kw_list(c, s, "allOf", &list));
	yyjson_arr_foreach(list, i, n, v) TRY(option_add_lit(c, out, schema_lit(v, true), NULL));
	if ((v = kw_get(s, "not")))
		TRY(option_add_lit(c, out, schema_lit(v, false), NULL));
	TRY(kw_list(c, s, "anyOf", &list));
	if (list) {
		yyjson_arr_foreach(list, i, n, v)
			TRY(todo_add(c, &lits, schema_lit(v, true), NULL));
		TRY(option_add(c, out, lits, NULL));
	}
	TRY(kw_list(c, s, "oneOf", &list));
	if (list) { /* none, or two of them */
		lits = NULL;
		yyjson_arr_foreach(list, i, n, v)
			TRY(todo_add(c, &lits, schema_lit(v, true), NULL));
		TRY(option_add(c, out, lits, NULL));
		for (i = 0; i < n; i++)
			for (size_t j = 0; j < i; j++) {
				lits = NULL;
				TRY(todo_add(c, &lits, schema_lit(yyjson_arr_get(list, i), false),
					NULL));
				TRY(todo_add(c, &lits, schema_lit(yyjson_arr_get(list, j), false),
					NULL));
				TRY(option_add(c, out, lits, NULL));
			}
	}
	for (int k = 0; cond && k < 2; k++) {
		v = kw_get(s, k ? "else" : "then");
		lits = NULL;
		if (!v)
			continue;
		TRY(todo_add(c, &lits, schema_lit(cond, k == 1), NULL));
		TRY(todo_add(c, &lits, schema_lit(v, true), NULL));
		TRY(option_add(c, out, lits, NULL));
	}
	return OK;
}

/* ---- one literal ---- */

static enum err schema_holds(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *up)
{
	yyjson_val *target;
	struct scope *scope = KEEP(c, struct scope, {up, s});
	if (!scope)
		return schema_no_memory(c);
	TRY(ref_of(c, s, &target));
	if (target) {
		TRY(todo_add(c, &b->todo, schema_lit(target, false), scope));
		if (c->old_refs)
			return OK;
	}
	TRY(scalars_hold(c, s, b));
	TRY(arrays_hold(c, s, b, scope));
	TRY(objects_hold(c, s, b, scope));
	return applicators_hold(c, s, b, scope);
}

static enum err schema_fails(struct compiler *c, yyjson_val *s, const struct option **out)
{
	yyjson_val *target;
	TRY(ref_of(c, s, &target));
	if (target) {
		TRY(option_add_lit(c, out, schema_lit(target, true), NULL));
		if (c->old_refs)
			return OK;
	}
	TRY(scalars_fail(c, s, out));
	TRY(arrays_fail(c, s, out));
	TRY(objects_fail(c, s, out));
	return applicators_fail(c, s, out);
}

static enum err apply(struct compiler *c, struct branch *b, struct lit l, const struct scope *scope)
{
	const struct option *options = NULL;
	enum err e;
	if (!l.value || (!l.constant && yyjson_is_bool(l.value))) {
		if (l.denied != (l.value && yyjson_is_false(l.value)))
			b->alt.types = 0;
		return OK;
	}
	if (!l.constant && !yyjson_is_obj(l.value))
		return schema_complain(
			c, ERR_INVALID, l.value, "a schema must be an object, true or false");
	if (l.value == c->scalar) {
		struct alt f = facts_of(T_ALL & ~(unsigned)(T_ARR | T_OBJ));
		f.num = c->canonical;
		return fact_meet(c, &b->alt, &f);
	}
	if (!l.denied) {
		struct branch before = *b;
		e = l.constant ? constant_holds(c, l.value, b) : schema_holds(c, l.value, b, scope);
		if (e == ERR_UNSUPPORTED && c->loose) {
			*b = before;
			e = OK;
		}
		return e;
	}
	e = l.constant ? constant_fails(c, l.value, &options) : schema_fails(c, l.value, &options);
	if (e == ERR_UNSUPPORTED && c->loose)
		return OK;
	return e ? e : choice_add(c, b, options);
}

/* ---- branches ---- */

static bool same_lit(struct lit a, struct lit b)
{
	return a.value == b.value && a.constant == b.constant && a.denied == b.denied;
}

/* Applies all that is to be done. A literal that was applied needs no second time; one whose
 * opposite was cannot hold. */
static enum err settle(struct expansion *x, struct branch *b)
{
	struct compiler *c = x->c;
	while (b->todo && b->alt.types) {
		struct todo t = *b->todo;
		bool known = false;
		b->todo = t.next;
		if (++x->steps > STEPS_MAX)
			return err_set(
				c->et, ERR_TOO_LARGE, "the schema combines too many choices");
		for (const struct seen *s = b->seen; s && t.lit.value; s = s->next) {
			known |= same_lit(s->lit, t.lit);
			if (same_lit(s->lit, lit_not(t.lit)))
				b->alt.types = 0;
		}
		if (known || !b->alt.types)
			continue;
		b->seen = KEEP(c, struct seen, {b->seen, t.lit});
		if (!b->seen)
			return schema_no_memory(c);
		TRY(apply(c, b, t.lit, t.scope));
	}
	return OK;
}

static enum err emit(struct expansion *x, const struct alt *a)
{
	if (x->n == ALTS_MAX)
		return err_set(x->c->et, ERR_TOO_LARGE,
			"the schema allows more than %d combinations of alternatives at one place",
			ALTS_MAX);
	if (x->n == x->cap) {
		size_t cap = x->cap ? x->cap * 2 : 8;
		struct alt *p = arena_array_of(x->c->a, cap, struct alt);
		if (!p)
			return schema_no_memory(x->c);
		if (x->n)
			memcpy(p, x->out, x->n * sizeof *p);
		x->out = p;
		x->cap = cap;
	}
	x->out[x->n++] = *a;
	return OK;
}

static enum err explore(struct expansion *x, struct branch b, unsigned depth)
{
	TRY(settle(x, &b));
	if (!b.alt.types)
		return OK;
	if (!b.choices)
		return emit(x, &b.alt);
	if (depth == DEPTH_MAX)
		return err_set(x->c->et, ERR_TOO_LARGE, "the schema nests too many choices");
	const struct option *o = b.choices->options;
	b.choices = b.choices->next;
	for (; o; o = o->next) {
		struct branch next = b;
		if (o->has_facts)
			TRY(fact_meet(x->c, &next.alt, &o->facts));
		for (const struct todo *t = o->lits; t; t = t->next)
			TRY(todo_add(x->c, &next.todo, t->lit, t->scope));
		if (next.alt.types)
			TRY(explore(x, next, depth + 1));
	}
	return OK;
}

enum err schema_expand(
	struct compiler *c, const struct node *n, const struct alt **out, size_t *n_out)
{
	struct expansion x = {.c = c};
	struct branch b = {.alt = facts_any};
	for (size_t i = n->n_lits; i-- > 0;)
		TRY(todo_add(c, &b.todo, n->lits[i], NULL));
	TRY(explore(&x, b, 0));
	*out = x.out;
	*n_out = x.n;
	return OK;
}
