/* What type, enum, const and the keywords for numbers and strings say, and how they may fail. */
#include "text/schema_expand_int.h"

/* ---- type ---- */

struct type_name {
	const char *name;
	unsigned types;
	bool integer;
};
static const struct type_name types[] = {{"null", T_NULL, false},
	{"boolean", T_FALSE | T_TRUE, false}, {"number", T_NUM, false}, {"integer", T_NUM, true},
	{"string", T_STR, false}, {"array", T_ARR, false}, {"object", T_OBJ, false}};
/* as function schemas in the wild say it, in any case of letters */
static const struct type_name loose_types[] = {{"dict", T_OBJ, false}, {"map", T_OBJ, false},
	{"hashmap", T_OBJ, false}, {"float", T_NUM, false}, {"double", T_NUM, false},
	{"int", T_NUM, true}, {"long", T_NUM, true}, {"short", T_NUM, true}, {"byte", T_NUM, true},
	{"bigint", T_NUM, true}, {"bool", T_FALSE | T_TRUE, false}, {"str", T_STR, false},
	{"char", T_STR, false}, {"list", T_ARR, false}, {"tuple", T_ARR, false},
	{"arraylist", T_ARR, false}, {"set", T_ARR, false}, {"none", T_NULL, false},
	{"any", T_ALL, false}};

static enum err read_type(struct compiler *c, yyjson_val *v, unsigned *mask, bool *integer)
{
	struct str s = json_val_str(v);
	for (size_t i = 0; s.p && i < sizeof types / sizeof *types; i++)
		if (str_eq_c(s, types[i].name) ||
			(c->o->loose_types && str_eq_nocase(s, str_c(types[i].name)))) {
			*mask |= types[i].types;
			*integer = types[i].integer;
			return OK;
		}
	for (size_t i = 0; s.p && c->o->loose_types && i < sizeof loose_types / sizeof *loose_types;
		i++)
		if (str_eq_nocase(s, str_c(loose_types[i].name))) {
			*mask |= loose_types[i].types;
			*integer = loose_types[i].integer;
			return OK;
		}
	return schema_complain(c, ERR_INVALID, v,
		"the type must be null, boolean, number, integer, string, array or object");
}

/* The types, and whether all numbers among them must be whole. */
static enum err read_types(struct compiler *c, yyjson_val *v, unsigned *mask, bool *integer)
{
	bool any_number = false, whole = false, is_integer = false;
	*mask = 0;
	if (yyjson_is_arr(v)) {
		size_t i, n;
		yyjson_val *t;
		yyjson_arr_foreach(v, i, n, t)
		{
			unsigned one = 0;
			TRY(read_type(c, t, &one, &is_integer));
			*mask |= one;
			any_number |= (one & T_NUM) && !is_integer;
			whole |= (one & T_NUM) && is_integer;
		}
	} else {
		TRY(read_type(c, v, mask, &whole));
	}
	*integer = whole && !any_number;
	return OK;
}

static enum err type_holds(struct compiler *c, yyjson_val *s, struct branch *b)
{
	unsigned mask;
	bool integer;
	yyjson_val *v = kw_get(s, "type");
	if (!v)
		return OK;
	TRY(read_types(c, v, &mask, &integer));
	struct alt f = facts_of(mask);
	f.num = integer ? c->integer : NULL;
	return fact_meet(c, &b->alt, &f);
}

static enum err type_fails(struct compiler *c, yyjson_val *s, const struct option **out)
{
	unsigned mask;
	bool integer;
	yyjson_val *v = kw_get(s, "type");
	if (!v)
		return OK;
	TRY(read_types(c, v, &mask, &integer));
	struct alt f = facts_of(T_ALL & ~mask);
	TRY(option_add(c, out, NULL, &f));
	f = facts_of(T_NUM);
	f.num = c->fraction;
	return integer ? option_add(c, out, NULL, &f) : OK;
}

/* ---- enum and const ---- */

/* Scalars of a list in one fact; arrays and objects apart. */
struct constants {
	struct alt scalars;
	yyjson_val **deep;
	size_t n_deep;
};

static enum err texts_dfa(
	struct compiler *c, const struct str *texts, size_t n, const struct dfa **out)
{
	const struct dfa *d;
	TRY(dfa_texts(c->a, texts, n, &d, c->et));
	*out = d;
	return OK;
}

static enum err constants_of(
	struct compiler *c, yyjson_val *const *v, size_t n, bool denied, struct constants *out)
{
	struct str *strs = arena_array_of(c->a, n + 1, struct str),
		   *nums = arena_array_of(c->a, n + 1, struct str);
	*out = (struct constants){
		.scalars = facts_of(0), .deep = arena_array_of(c->a, n + 1, yyjson_val *)};
	size_t n_strs = 0, n_nums = 0;
	const struct dfa *other_nums = NULL;
	if (!strs || !nums || !out->deep)
		return schema_no_memory(c);
	for (size_t i = 0; i < n; i++) {
		unsigned *t = &out->scalars.types;
		if (yyjson_is_null(v[i])) {
			*t |= T_NULL;
		} else if (yyjson_is_bool(v[i])) {
			*t |= yyjson_get_bool(v[i]) ? T_TRUE : T_FALSE;
		} else if (yyjson_is_str(v[i])) {
			strs[n_strs++] = json_val_str(v[i]);
		} else if (yyjson_is_num(v[i])) {
			TRY(schema_number_text(c, v[i], &nums[n_nums++]));
			const struct dfa *d;
			if (denied) { /* also 1.0 is 1 */
				TRY(schema_number_compare(c, v[i], IS_LESS | IS_GREATER, &d));
				if (other_nums)
					TRY(dfa_and(c->a, other_nums, d, &d, c->et));
				other_nums = d;
			}
		} else {
			out->deep[out->n_deep++] = v[i];
		}
	}
	struct alt *f = &out->scalars;
	if (n_strs)
		TRY(texts_dfa(c, strs, n_strs, &f->str));
	if (denied) {
		f->types = T_ALL & ~f->types; /* strings and numbers: all others */
		if (n_strs)
			TRY(dfa_not(c->a, f->str, &f->str, c->et));
		f->num = other_nums;
		return OK;
	}
	if (n_strs)
		f->types |= T_STR;
	if (n_nums)
		f->types |= T_NUM;
	return n_nums ? texts_dfa(c, nums, n_nums, &f->num) : OK;
}

static enum err one_of_constants(
	struct compiler *c, yyjson_val *const *v, size_t n, struct branch *b)
{
	struct constants k;
	TRY(constants_of(c, v, n, false, &k));
	if (!k.n_deep)
		return fact_meet(c, &b->alt, &k.scalars);
	const struct option *options = NULL;
	for (size_t i = k.n_deep; i-- > 0;)
		TRY(option_add_lit(c, &options, (struct lit){k.deep[i], true, false}, NULL));
	if (k.scalars.types)
		TRY(option_add(c, &options, NULL, &k.scalars));
	b->choices = KEEP(c, struct choice, {b->choices, options});
	return b->choices ? OK : schema_no_memory(c);
}

static enum err none_of_constants(
	struct compiler *c, yyjson_val *const *v, size_t n, const struct option **out)
{
	struct constants k;
	const struct todo *lits = NULL;
	TRY(constants_of(c, v, n, true, &k));
	for (size_t i = 0; i < k.n_deep; i++)
		TRY(todo_add(c, &lits, (struct lit){k.deep[i], true, true}, NULL));
	return option_add(c, out, lits, &k.scalars);
}

/* The constants that "enum" or "const" allow; n 0: no such keyword. */
static enum err read_constants(
	struct compiler *c, yyjson_val *s, const char *key, yyjson_val ***out, size_t *n)
{
	yyjson_val *v = kw_get(s, key), *x;
	bool list = strcmp(key, "enum") == 0;
	*n = 0;
	if (!v)
		return OK;
	if (list && !yyjson_is_arr(v))
		return schema_complain(c, ERR_INVALID, v, "enum must be a list");
	size_t i, max = list ? yyjson_arr_size(v) : 1;
	*out = arena_array_of(c->a, max + 1, yyjson_val *);
	if (!*out)
		return schema_no_memory(c);
	if (!list) {
		(*out)[(*n)++] = v;
	} else {
		yyjson_arr_foreach(v, i, max, x)(*out)[(*n)++] = x;
	}
	if (!*n)
		return schema_complain(c, ERR_INVALID, v, "enum must not be empty");
	return OK;
}

static enum err constants_hold(struct compiler *c, yyjson_val *s, struct branch *b)
{
	yyjson_val **v;
	size_t n;
	TRY(read_constants(c, s, "enum", &v, &n));
	if (n)
		TRY(one_of_constants(c, v, n, b));
	TRY(read_constants(c, s, "const", &v, &n));
	return n ? one_of_constants(c, v, n, b) : OK;
}

static enum err constants_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	yyjson_val **v;
	size_t n;
	TRY(read_constants(c, s, "enum", &v, &n));
	if (n)
		TRY(none_of_constants(c, v, n, out));
	TRY(read_constants(c, s, "const", &v, &n));
	return n ? none_of_constants(c, v, n, out) : OK;
}

/* A constant array or object holds, or does not. */
enum err constant_holds(struct compiler *c, yyjson_val *v, struct branch *b)
{
	struct alt f = facts_of(yyjson_is_arr(v) ? T_ARR : T_OBJ);
	size_t i, n;
	yyjson_val *x, *key;
	if (!yyjson_is_ctn(v))
		return one_of_constants(c, &v, 1, b);
	if (yyjson_is_arr(v)) {
		f.arr_min = f.arr_max = (uint32_t)yyjson_arr_size(v);
		yyjson_arr_foreach(v, i, n, x)
			TRY(fact_item(c, &f, i, (struct lit){x, true, false}));
	} else {
		f.obj_max = (uint32_t)yyjson_obj_size(v);
		yyjson_obj_foreach(v, i, n, key, x)
		{
			TRY(fact_required(c, &f, json_val_str(key)));
			TRY(fact_property(c, &f, json_val_str(key), (struct lit){x, true, false}));
		}
	}
	return fact_meet(c, &b->alt, &f);
}

enum err constant_fails(struct compiler *c, yyjson_val *v, const struct option **out)
{
	size_t i, n;
	yyjson_val *x, *key;
	if (!yyjson_is_ctn(v))
		return none_of_constants(c, &v, 1, out);
	unsigned type = yyjson_is_arr(v) ? T_ARR : T_OBJ;
	uint32_t size = (uint32_t)(yyjson_is_arr(v) ? yyjson_arr_size(v) : yyjson_obj_size(v));
	struct alt f = facts_of(T_ALL & ~type);
	TRY(option_add(c, out, NULL, &f));
	f = facts_of(type);
	f.arr_min = f.obj_min = size + 1;
	TRY(option_add(c, out, NULL, &f));
	if (yyjson_is_arr(v)) {
		if (size) {
			f = facts_of(T_ARR);
			f.arr_max = size - 1;
			TRY(option_add(c, out, NULL, &f));
		}
		yyjson_arr_foreach(v, i, n, x)
		{
			f = facts_of(T_ARR);
			f.arr_min = (uint32_t)i + 1;
			TRY(fact_item(c, &f, i, (struct lit){x, true, true}));
			TRY(option_add(c, out, NULL, &f));
		}
		return OK;
	}
	yyjson_obj_foreach(v, i, n, key, x)
	{
		f = facts_of(T_OBJ);
		TRY(fact_property(c, &f, json_val_str(key), lit_nothing));
		TRY(option_add(c, out, NULL, &f));
		f = facts_of(T_OBJ);
		TRY(fact_required(c, &f, json_val_str(key)));
		TRY(fact_property(c, &f, json_val_str(key), (struct lit){x, true, true}));
		TRY(option_add(c, out, NULL, &f));
	}
	return OK;
}

/* ---- numbers ---- */

/* What a bound lets through. Draft 4 has exclusiveMinimum as a flag of minimum. */
static enum err read_bound(
	struct compiler *c, yyjson_val *s, size_t k, yyjson_val **bound, unsigned *classes)
{
	static const struct {
		const char *key, *flag;
		unsigned classes, strict;
	} bounds[] = {
		{"minimum", "exclusiveMinimum", IS_EQUAL | IS_GREATER, IS_GREATER},
		{"maximum", "exclusiveMaximum", IS_LESS | IS_EQUAL, IS_LESS},
		{"exclusiveMinimum", NULL, IS_GREATER, IS_GREATER},
		{"exclusiveMaximum", NULL, IS_LESS, IS_LESS},
	};
	*bound = kw_get(s, bounds[k].key);
	if (*bound && k >= 2 && yyjson_is_bool(*bound))
		*bound = NULL;
	if (*bound && !yyjson_is_num(*bound))
		return schema_complain(
			c, ERR_INVALID, *bound, "%s must be a number", bounds[k].key);
	yyjson_val *flag = bounds[k].flag ? kw_get(s, bounds[k].flag) : NULL;
	*classes = yyjson_is_true(flag) ? bounds[k].strict : bounds[k].classes;
	return OK;
}

static enum err multiple(struct compiler *c, yyjson_val *s, bool denied, const struct dfa **out)
{
	yyjson_val *v = kw_get(s, "multipleOf");
	*out = NULL;
	if (v && !yyjson_is_num(v))
		return schema_complain(c, ERR_INVALID, v, "multipleOf must be a number");
	return v ? schema_number_multiple(c, v, denied, out) : OK;
}

static enum err numbers_hold(struct compiler *c, yyjson_val *s, struct branch *b)
{
	for (size_t k = 0; k < 5; k++) {
		const struct dfa *d = NULL;
		yyjson_val *bound = NULL;
		unsigned classes;
		if (k < 4)
			TRY(read_bound(c, s, k, &bound, &classes));
		if (bound)
			TRY(schema_number_compare(c, bound, classes, &d));
		if (k == 4)
			TRY(multiple(c, s, false, &d));
		TRY(fact_meet_dfa(c, &b->alt.num, d, &b->alt.types, T_NUM));
	}
	return OK;
}

static enum err numbers_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	for (size_t k = 0; k < 5; k++) {
		struct alt f = facts_of(T_NUM);
		yyjson_val *bound = NULL;
		unsigned classes;
		if (k < 4)
			TRY(read_bound(c, s, k, &bound, &classes));
		if (bound)
			TRY(schema_number_compare(
				c, bound, (IS_LESS | IS_EQUAL | IS_GREATER) & ~classes, &f.num));
		if (k == 4)
			TRY(multiple(c, s, true, &f.num));
		if (f.num)
			TRY(option_add(c, out, NULL, &f));
	}
	return OK;
}

/* ---- strings ---- */

static enum err string_set(
	struct compiler *c, yyjson_val *s, const char *key, const struct dfa **out)
{
	yyjson_val *v = kw_get(s, key);
	*out = NULL;
	if (!v)
		return OK;
	if (!yyjson_is_str(v))
		return schema_complain(c, ERR_INVALID, v, "%s must be a string", key);
	if (strcmp(key, "pattern") == 0)
		return schema_regex(c, v, json_val_str(v), out);
	const char *regex = schema_format_regex(json_val_str(v));
	if (!regex)
		return c->loose ? OK
				: schema_complain(c, ERR_UNSUPPORTED, v,
					  "the format \"%.*s\" is not known: write a pattern "
					  "instead",
					  STR_FMT(json_val_str(v)));
	return dfa_regex(c->a, str_c(regex), DFA_WHOLE, out, c->et);
}

static enum err strings_hold(struct compiler *c, yyjson_val *s, struct branch *b)
{
	bool has;
	uint32_t n = 0;
	const struct dfa *d;
	struct alt f = facts_any;
	TRY(kw_count(c, s, "minLength", &n, &has));
	f.str_min = has ? n : 0;
	TRY(kw_count(c, s, "maxLength", &n, &has));
	f.str_max = has ? n : UNBOUNDED;
	TRY(fact_meet(c, &b->alt, &f));
	TRY(string_set(c, s, "pattern", &d));
	TRY(fact_meet_dfa(c, &b->alt.str, d, &b->alt.types, T_STR));
	TRY(string_set(c, s, "format", &d));
	return fact_meet_dfa(c, &b->alt.str, d, &b->alt.types, T_STR);
}

static enum err strings_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	bool has;
	uint32_t n = 0;
	struct alt f = facts_of(T_STR);
	TRY(kw_count(c, s, "minLength", &n, &has));
	if (has && n) {
		f.str_max = n - 1;
		TRY(option_add(c, out, NULL, &f));
	}
	f = facts_of(T_STR);
	TRY(kw_count(c, s, "maxLength", &n, &has));
	if (has) {
		f.str_min = n + 1;
		TRY(option_add(c, out, NULL, &f));
	}
	for (int k = 0; k < 2; k++) {
		const struct dfa *d;
		f = facts_of(T_STR);
		TRY(string_set(c, s, k ? "format" : "pattern", &d));
		if (!d)
			continue;
		TRY(dfa_not(c->a, d, &f.str, c->et));
		if (f.str)
			TRY(option_add(c, out, NULL, &f));
	}
	return OK;
}

/* ---- all of them ---- */

enum err scalars_hold(struct compiler *c, yyjson_val *s, struct branch *b)
{
	TRY(type_holds(c, s, b));
	TRY(constants_hold(c, s, b));
	TRY(numbers_hold(c, s, b));
	return strings_hold(c, s, b);
}

enum err scalars_fail(struct compiler *c, yyjson_val *s, const struct option **out)
{
	TRY(type_fails(c, s, out));
	TRY(constants_fail(c, s, out));
	TRY(numbers_fail(c, s, out));
	return strings_fail(c, s, out);
}
