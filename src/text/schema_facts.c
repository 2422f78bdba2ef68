/* What is known of a value, and how two such things meet; lists; reading keywords. */
#include <math.h>
#include "text/schema_expand_int.h"

enum err schema_no_memory(struct compiler *c)
{
	return err_set(c->et, ERR_NOMEM, "the schema needs too much memory");
}

void *schema_keep(struct compiler *c, const void *p, size_t n)
{
	void *x = arena_alloc(c->a, n);
	if (x)
		memcpy(x, p, n);
	return x;
}

const struct alt facts_any = {
	.types = T_ALL, .str_max = UNBOUNDED, .arr_max = UNBOUNDED, .obj_max = UNBOUNDED};

/* ---- facts meet ---- */

enum err fact_meet_dfa(struct compiler *c, const struct dfa **known, const struct dfa *fact,
	unsigned *types, unsigned type)
{
	if (!(*types & type) || !fact)
		return OK;
	if (!*known) {
		*known = fact;
		return OK;
	}
	const struct dfa *both;
	TRY(schema_in_time(c));
	TRY(dfa_and(c->a, *known, fact, &both, c->et));
	if (both)
		*known = both;
	else
		*types &= ~type;
	return OK;
}

/* Prepends `more`'s cells to `list` (both immutable). */
#define PREPEND(c, type, list, more)                                 \
	do {                                                         \
		for (const type *p_ = (more); p_; p_ = p_->next) {   \
			type *x_ = schema_keep((c), p_, sizeof *x_); \
			if (!x_)                                     \
				return schema_no_memory(c);          \
			x_->next = (list);                           \
			(list) = x_;                                 \
		}                                                    \
	} while (0)

enum err fact_meet(struct compiler *c, struct alt *a, const struct alt *b)
{
	a->types &= b->types;
	TRY(fact_meet_dfa(c, &a->num, b->num, &a->types, T_NUM));
	TRY(fact_meet_dfa(c, &a->str, b->str, &a->types, T_STR));
	a->str_min = b->str_min > a->str_min ? b->str_min : a->str_min;
	a->str_max = b->str_max < a->str_max ? b->str_max : a->str_max;
	a->arr_min = b->arr_min > a->arr_min ? b->arr_min : a->arr_min;
	a->arr_max = b->arr_max < a->arr_max ? b->arr_max : a->arr_max;
	a->obj_min = b->obj_min > a->obj_min ? b->obj_min : a->obj_min;
	a->obj_max = b->obj_max < a->obj_max ? b->obj_max : a->obj_max;
	a->unique |= b->unique;
	PREPEND(c, struct arr_part, a->arr, b->arr);
	PREPEND(c, struct contains_part, a->contains, b->contains);
	PREPEND(c, struct uneval, a->arr_uneval, b->arr_uneval);
	PREPEND(c, struct obj_part, a->obj, b->obj);
	PREPEND(c, struct key_list, a->required, b->required);
	PREPEND(c, struct lits, a->names, b->names);
	PREPEND(c, struct uneval, a->obj_uneval, b->obj_uneval);
	if (a->str_min > a->str_max)
		a->types &= ~(unsigned)T_STR;
	if (a->arr_min > a->arr_max)
		a->types &= ~(unsigned)T_ARR;
	if (a->obj_min > a->obj_max)
		a->types &= ~(unsigned)T_OBJ;
	return OK;
}

/* ---- small builders ---- */

struct lit lit_not(struct lit l)
{
	l.denied = !l.denied;
	return l;
}

const struct lit lit_nothing = {.denied = true};

enum err todo_add(
	struct compiler *c, const struct todo **list, struct lit lit, const struct scope *scope)
{
	struct todo *t = KEEP(c, struct todo, {*list, lit, scope});
	*list = t ? t : *list;
	return t ? OK : schema_no_memory(c);
}

enum err option_add(struct compiler *c, const struct option **list, const struct todo *lits,
	const struct alt *facts)
{
	struct option *o = KEEP(c, struct option,
		{.next = *list,
			.lits = lits,
			.facts = facts ? *facts : facts_any,
			.has_facts = facts != NULL});
	*list = o ? o : *list;
	return o ? OK : schema_no_memory(c);
}

enum err option_add_lit(
	struct compiler *c, const struct option **list, struct lit lit, const struct scope *scope)
{
	const struct todo *t = NULL;
	TRY(todo_add(c, &t, lit, scope));
	return option_add(c, list, t, NULL);
}

/* Facts about one type only; other types are not touched (affirmed), or excluded (denied). */
struct alt facts_of(unsigned only)
{
	struct alt a = facts_any;
	a.types = only;
	return a;
}

enum err fact_required(struct compiler *c, struct alt *a, struct str key)
{
	a->required = KEEP(c, struct key_list, {a->required, key});
	return a->required ? OK : schema_no_memory(c);
}

enum err fact_property(struct compiler *c, struct alt *a, struct str key, struct lit value)
{
	a->obj = KEEP(c, struct obj_part, {.next = a->obj, .key = key, .value = value});
	return a->obj ? OK : schema_no_memory(c);
}

enum err fact_item(struct compiler *c, struct alt *a, size_t at, struct lit value)
{
	struct lit *prefix = arena_array_of(c->a, at + 1, struct lit);
	if (!prefix)
		return schema_no_memory(c);
	prefix[at] = value;
	a->arr = KEEP(c, struct arr_part, {.next = a->arr, .prefix = prefix, .n_prefix = at + 1});
	return a->arr ? OK : schema_no_memory(c);
}

/* ---- reading keywords ---- */

yyjson_val *kw_get(yyjson_val *schema, const char *key)
{
	return yyjson_obj_get(schema, key);
}

enum err kw_count(struct compiler *c, yyjson_val *schema, const char *key, uint32_t *out, bool *has)
{
	yyjson_val *v = kw_get(schema, key);
	*has = v != NULL;
	if (!v)
		return OK;
	double x = yyjson_is_num(v) ? yyjson_get_num(v) : -1;
	if (x < 0 || x != floor(x))
		return schema_complain(c, ERR_INVALID, v, "%s must be a whole number from 0", key);
	*out = x >= UNBOUNDED ? UNBOUNDED - 1 : (uint32_t)x;
	return OK;
}

enum err kw_obj(struct compiler *c, yyjson_val *schema, const char *key, yyjson_val **out)
{
	*out = kw_get(schema, key);
	return !*out || yyjson_is_obj(*out)
		       ? OK
		       : schema_complain(c, ERR_INVALID, *out, "%s must be an object", key);
}

enum err kw_list(struct compiler *c, yyjson_val *schema, const char *key, yyjson_val **out)
{
	*out = kw_get(schema, key);
	if (!*out || (yyjson_is_arr(*out) && yyjson_arr_size(*out)))
		return OK;
	return schema_complain(
		c, ERR_INVALID, *out, "%s must be a list with at least one schema", key);
}

enum err kw_strings(struct compiler *c, yyjson_val *list, const char *key)
{
	size_t i, n;
	yyjson_val *v;
	bool ok = yyjson_is_arr(list);
	if (ok) {
		yyjson_arr_foreach(list, i, n, v) ok &= yyjson_is_str(v);
	}
	return ok ? OK : schema_complain(c, ERR_INVALID, list, "%s must be a list of names", key);
}

enum err kw_cannot(struct compiler *c, yyjson_val *at, const char *what, const char *why)
{
	return schema_complain(c, ERR_UNSUPPORTED, at, "%s cannot be enforced: %s", what, why);
}

bool lit_always(struct lit l)
{
	return !l.denied && !l.constant &&
	       (!l.value || yyjson_is_true(l.value) ||
		       (yyjson_is_obj(l.value) && yyjson_obj_size(l.value) == 0));
}

enum err choice_add(struct compiler *c, struct branch *b, const struct option *options)
{
	b->choices = KEEP(c, struct choice, {b->choices, options});
	return b->choices ? OK : schema_no_memory(c);
}
