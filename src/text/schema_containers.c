/* What the keywords for arrays and objects say, and how they may fail. */
#include "text/schema_expand_int.h"

/* ---- arrays ---- */

static enum err lits_of(struct compiler *c, yyjson_val *list, struct lit **out, size_t *n)
{
	size_t i, max;
	yyjson_val *v;
	*n = 0;
	*out = arena_array_of(c->a, yyjson_arr_size(list) + 1, struct lit);
	if (!*out)
		return schema_no_memory(c);
	yyjson_arr_foreach(list, i, max, v)(*out)[(*n)++] = schema_lit(v, false);
	return OK;
}

/* "items" was a list, with "additionalItems" for the rest, before draft 2020-12. */
static enum err read_items(struct compiler *c, yyjson_val *s, struct arr_part *out)
{
	yyjson_val *prefix = kw_get(s, "prefixItems"), *rest = kw_get(s, "items");
	*out = (struct arr_part){0};
	if (prefix && !yyjson_is_arr(prefix))
		return schema_complain(c, ERR_INVALID, prefix, "prefixItems must be a list");
	if (yyjson_is_arr(rest)) {
		prefix = rest;
		rest = kw_get(s, "additionalItems");
	}
	struct lit *lits = NULL;
	if (prefix)
		TRY(lits_of(c, prefix, &lits, &out->n_prefix));
	out->prefix = lits;
	out->has_rest = rest != NULL;
	out->rest = schema_lit(rest, false);
	return OK;
}

static enum err read_contains(
	struct compiler *c, yyjson_val *s, struct contains_part *out, bool *has)
{
	yyjson_val *v = kw_get(s, "contains");
	bool given;
	*has = v != NULL;
	*out = (struct contains_part){.lit = schema_lit(v, false), .min = 1, .max = UNBOUNDED};
	if (!v)
		return OK;
	TRY(kw_count(c, s, "minContains", &out->min, &given));
	return kw_count(c, s, "maxContains", &out->max, &given);
}

enum err arrays_hold(struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope)
{
	bool has;
	uint32_t n = 0;
	struct alt f = facts_any;
	struct arr_part part;
	struct contains_part contains;
	yyjson_val *v;
	TRY(kw_count(c, s, "minItems", &n, &has));
	f.arr_min = has ? n : 0;
	TRY(kw_count(c, s, "maxItems", &n, &has));
	f.arr_max = has ? n : UNBOUNDED;
	TRY(read_items(c, s, &part));
	part.scope = scope;
	if (part.n_prefix || part.has_rest) {
		f.arr = schema_keep(c, &part, sizeof part);
		if (!f.arr)
			return schema_no_memory(c);
	}
	TRY(read_contains(c, s, &contains, &has));
	if (has) {
		f.contains = schema_keep(c, &contains, sizeof contains);
		if (!f.contains)
			return schema_no_memory(c);
	}
	v = kw_get(s, "uniqueItems");
	if (v && !yyjson_is_bool(v))
		return schema_complain(c, ERR_INVALID, v, "uniqueItems must be true or false");
	f.unique = yyjson_is_true(v);
	v = kw_get(s, "unevaluatedItems");
	if (v && has && !c->loose)
		return kw_cannot(
			c, v, "unevaluatedItems", "beside contains it depends on every item");
	if (v) {
		f.arr_uneval = KEEP(c, struct uneval, {NULL, scope, schema_lit(v, false)});
		if (!f.arr_uneval)
			return schema_no_memory(c);
	}
	return fact_meet(c, &b->alt, &f);
}

static enum err contains_option(
	struct compiler *c, struct lit lit, uint32_t min, uint32_t max, const struct option **out)
{
	struct alt f = facts_of(T_ARR);
	f.contains = KEEP(c, struct contains_part, {NULL, lit, min, max});
	return f.contains ? option_add(c, out, NULL, &f) : schema_no_memory(c);
}

enum err arrays_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	bool has;
	uint32_t n = 0;
	struct alt f = facts_of(T_ARR);
	struct arr_part part;
	struct contains_part contains;
	TRY(kw_count(c, s, "minItems", &n, &has));
	if (has && n) {
		f.arr_max = n - 1;
		TRY(option_add(c, out, NULL, &f));
	}
	TRY(kw_count(c, s, "maxItems", &n, &has));
	f = facts_of(T_ARR);
	if (has) {
		f.arr_min = n + 1;
		TRY(option_add(c, out, NULL, &f));
	}
	TRY(read_items(c, s, &part));
	for (size_t i = 0; i < part.n_prefix; i++) {
		f = facts_of(T_ARR);
		f.arr_min = (uint32_t)i + 1;
		TRY(fact_item(c, &f, i, lit_not(part.prefix[i])));
		TRY(option_add(c, out, NULL, &f));
	}
	if (part.has_rest && !lit_always(part.rest)) {
		if (part.n_prefix && yyjson_is_false(part.rest.value)) {
			f = facts_of(T_ARR);
			f.arr_min = (uint32_t)part.n_prefix + 1;
			TRY(option_add(c, out, NULL, &f));
		} else if (part.n_prefix) {
			return kw_cannot(c, kw_get(s, "items"), "the negation of items",
				"after prefixItems it says \"some later item\"");
		} else {
			TRY(contains_option(c, lit_not(part.rest), 1, UNBOUNDED, out));
		}
	}
	TRY(read_contains(c, s, &contains, &has));
	if (has && contains.min)
		TRY(contains_option(c, contains.lit, 0, contains.min - 1, out));
	if (has && contains.max != UNBOUNDED)
		TRY(contains_option(c, contains.lit, contains.max + 1, UNBOUNDED, out));
	if (yyjson_is_true(kw_get(s, "uniqueItems")))
		return kw_cannot(c, kw_get(s, "uniqueItems"), "the negation of uniqueItems",
			"it asks for two equal items");
	if (kw_get(s, "unevaluatedItems"))
		return kw_cannot(c, kw_get(s, "unevaluatedItems"),
			"the negation of unevaluatedItems", "it says \"some item\"");
	return OK;
}

/* ---- objects ---- */

static enum err absent_option(struct compiler *c, struct str key, const struct option **out)
{
	struct alt f = facts_any;
	TRY(fact_property(c, &f, key, lit_nothing));
	return option_add(c, out, NULL, &f);
}

/* dependentRequired, dependentSchemas, and "dependencies", which was both before 2019. */
static enum err dependents_hold(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope)
{
	static const char *const keys[] = {"dependentRequired", "dependentSchemas", "dependencies"};
	for (int k = 0; k < 3; k++) {
		yyjson_val *deps, *key, *v, *name;
		size_t i, n, j, m;
		TRY(kw_obj(c, s, keys[k], &deps));
		yyjson_obj_foreach(deps, i, n, key, v)
		{
			const struct option *options = NULL;
			const struct todo *lits = NULL;
			struct alt f = facts_any;
			yyjson_val *names = yyjson_is_arr(v) && k != 1 ? v : NULL;
			if (names)
				TRY(kw_strings(c, names, keys[k]));
			else
				TRY(todo_add(c, &lits, schema_lit(v, false), scope));
			TRY(fact_required(c, &f, json_val_str(key)));
			yyjson_arr_foreach(names, j, m, name)
				TRY(fact_required(c, &f, json_val_str(name)));
			TRY(option_add(c, &options, lits, &f));
			TRY(absent_option(c, json_val_str(key), &options));
			TRY(choice_add(c, b, options));
		}
	}
	return OK;
}

static enum err dependents_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	static const char *const keys[] = {"dependentRequired", "dependentSchemas", "dependencies"};
	for (int k = 0; k < 3; k++) {
		yyjson_val *deps, *key, *v, *name;
		size_t i, n, j, m;
		TRY(kw_obj(c, s, keys[k], &deps));
		yyjson_obj_foreach(deps, i, n, key, v)
		{
			struct alt f = facts_of(T_OBJ);
			TRY(fact_required(c, &f, json_val_str(key)));
			if (!yyjson_is_arr(v)) {
				const struct todo *lits = NULL;
				TRY(todo_add(c, &lits, schema_lit(v, true), NULL));
				TRY(option_add(c, out, lits, &f));
				continue;
			}
			yyjson_arr_foreach(v, j, m, name)
			{
				struct alt g = f;
				TRY(fact_property(c, &g, json_val_str(name), lit_nothing));
				TRY(option_add(c, out, NULL, &g));
			}
		}
	}
	return OK;
}

/* Draft 3 and 4 wrote "required": true beside a property; that is no list of names. */
static enum err read_required(struct compiler *c, yyjson_val *s, yyjson_val **out)
{
	*out = kw_get(s, "required");
	return *out ? kw_strings(c, *out, "required") : OK;
}

enum err objects_hold(
	struct compiler *c, yyjson_val *s, struct branch *b, const struct scope *scope)
{
	bool has;
	uint32_t count = 0;
	size_t i, n;
	struct alt f = facts_any;
	struct obj_part part = {.scope = scope};
	yyjson_val *required, *v;
	TRY(kw_count(c, s, "minProperties", &count, &has));
	f.obj_min = has ? count : 0;
	TRY(kw_count(c, s, "maxProperties", &count, &has));
	f.obj_max = has ? count : UNBOUNDED;
	TRY(kw_obj(c, s, "properties", &part.properties));
	TRY(kw_obj(c, s, "patternProperties", &part.patterns));
	v = kw_get(s, "additionalProperties");
	part.has_rest = v != NULL;
	part.rest = schema_lit(v, false);
	if (part.properties || part.patterns || part.has_rest) {
		f.obj = schema_keep(c, &part, sizeof part);
		if (!f.obj)
			return schema_no_memory(c);
	}
	TRY(read_required(c, s, &required));
	yyjson_arr_foreach(required, i, n, v) TRY(fact_required(c, &f, json_val_str(v)));
	v = kw_get(s, "propertyNames");
	if (v && !(f.names = KEEP(c, struct lits, {schema_lit(v, false), NULL})))
		return schema_no_memory(c);
	v = kw_get(s, "unevaluatedProperties");
	if (v && !(f.obj_uneval = KEEP(c, struct uneval, {NULL, scope, schema_lit(v, false)})))
		return schema_no_memory(c);
	TRY(fact_meet(c, &b->alt, &f));
	return dependents_hold(c, s, b, scope);
}

enum err objects_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	bool has;
	uint32_t count = 0;
	size_t i, n;
	struct alt f = facts_of(T_OBJ);
	yyjson_val *props, *required, *v, *key;
	TRY(kw_count(c, s, "minProperties", &count, &has));
	if (has && count) {
		f.obj_max = count - 1;
		TRY(option_add(c, out, NULL, &f));
	}
	f = facts_of(T_OBJ);
	TRY(kw_count(c, s, "maxProperties", &count, &has));
	if (has) {
		f.obj_min = count + 1;
		TRY(option_add(c, out, NULL, &f));
	}
	TRY(kw_obj(c, s, "properties", &props));
	yyjson_obj_foreach(props, i, n, key, v)
	{
		if (lit_always(schema_lit(v, false)))
			continue;
		f = facts_of(T_OBJ);
		TRY(fact_required(c, &f, json_val_str(key)));
		TRY(fact_property(c, &f, json_val_str(key), schema_lit(v, true)));
		TRY(option_add(c, out, NULL, &f));
	}
	TRY(read_required(c, s, &required));
	yyjson_arr_foreach(required, i, n, v)
	{
		f = facts_of(T_OBJ);
		TRY(fact_property(c, &f, json_val_str(v), lit_nothing));
		TRY(option_add(c, out, NULL, &f));
	}
	static const char *const some[] = {"patternProperties", "additionalProperties",
		"propertyNames", "unevaluatedProperties"};
	for (size_t k = 0; k < 4; k++) {
		v = kw_get(s, some[k]);
		bool empty = k == 0 ? yyjson_obj_size(v) == 0 : lit_always(schema_lit(v, false));
		if (v && !empty)
			return schema_complain(c, ERR_UNSUPPORTED, v,
				"the negation of %s cannot be enforced: it says \"some property\"",
				some[k]);
	}
	return dependents_fail(c, s, out);
}
