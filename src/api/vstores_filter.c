/* Filters over a file's attributes: {type, key, value} with eq, ne, gt, gte, lt, lte, in, nin, and
 * {type: "and" | "or", filters} over them, nested.
 *
 * What a file has no attribute for, or one of another type, is not equal, not greater and in no
 * list: ne and nin keep it, the others do not. */
#include "api/vstores.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 16, NODES_MAX = 1000, PLACE_MAX = 120 };

enum op { OP_EQ, OP_NE, OP_GT, OP_GTE, OP_LT, OP_LTE, OP_IN, OP_NIN, OP_AND, OP_OR };

static const char *const op_words[] = {
	"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"};

struct vfilter {
	enum op op;
	struct str key;
	yyjson_val *value;
	struct vfilter *kids;
	size_t n;
};

/* ---- parsing ---- */

struct parsing {
	struct arena *a;
	struct api_error *x;
	size_t nodes;
};

static enum err bad(struct parsing *p, const char *place, const char *more, const char *want)
{
	char where[PLACE_MAX + 16];
	snprintf(where, sizeof where, "%s%s", place, more);
	return api_fail(p->x, ERR_INVALID, "invalid_value", where, "%s must be %s", where, want);
}

static bool comparable(yyjson_val *v)
{
	return yyjson_is_str(v) || yyjson_is_num(v) || yyjson_is_bool(v);
}

static enum err parse_list(struct parsing *p, yyjson_val *v, const char *place)
{
	yyjson_val *o;
	size_t i, n;
	if (!yyjson_is_arr(v) || yyjson_arr_size(v) > NODES_MAX)
		return bad(p, place, ".value", "a list of at most 1000 texts, numbers or booleans");
	yyjson_arr_foreach(v, i, n, o)
	{
		char more[32];
		snprintf(more, sizeof more, ".value[%zu]", i);
		if (!comparable(o))
			return bad(p, place, more, "a text, a number or a boolean");
	}
	return OK;
}

static enum err parse_comparison(
	struct parsing *p, yyjson_val *v, const char *place, struct vfilter *out)
{
	yyjson_val *value = api_get(v, "value");
	out->key = json_str(v, "key");
	if (!out->key.n)
		return bad(p, place, ".key", "the name of an attribute");
	out->value = value;
	if (out->op == OP_IN || out->op == OP_NIN)
		return parse_list(p, value, place);
	bool ordered = out->op >= OP_GT && out->op <= OP_LTE;
	if (!comparable(value) || (ordered && yyjson_is_bool(value)))
		return bad(p, place, ".value",
			ordered ? "a number or a text" : "a text, a number or a boolean");
	return OK;
}

static enum err parse_node(
	struct parsing *p, yyjson_val *v, const char *place, unsigned depth, struct vfilter *out);

static enum err parse_kids(
	struct parsing *p, yyjson_val *v, const char *place, unsigned depth, struct vfilter *out)
{
	yyjson_val *list = api_get(v, "filters"), *o;
	size_t i, n = yyjson_arr_size(list);
	enum err e = OK;
	if (!yyjson_is_arr(list) || !n)
		return bad(p, place, ".filters", "a list of filters");
	if (depth == DEPTH_MAX)
		return bad(p, place, "", "at most 16 filters deep");
	if ((p->nodes += n) > NODES_MAX)
		return bad(p, place, ".filters", "fewer: 1000 filters are possible");
	out->kids = arena_array_of(p->a, n, struct vfilter);
	if (!out->kids)
		return api_no_memory(p->x);
	out->n = n;
	yyjson_arr_foreach(list, i, n, o)
	{
		char where[PLACE_MAX];
		snprintf(where, sizeof where, "%.90s.filters[%zu]", place, i);
		e = e ? e : parse_node(p, o, where, depth + 1, &out->kids[i]);
	}
	return e;
}

static enum err parse_node(
	struct parsing *p, yyjson_val *v, const char *place, unsigned depth, struct vfilter *out)
{
	struct str type = json_str(v, "type");
	size_t i = 0;
	if (!yyjson_is_obj(v))
		return bad(p, place, "", "an object with a type");
	while (i < ARRAY_LEN(op_words) && !str_eq_c(type, op_words[i]))
		i++;
	if (i == ARRAY_LEN(op_words))
		return bad(p, place, ".type", "eq, ne, gt, gte, lt, lte, in, nin, and or or");
	*out = (struct vfilter){.op = (enum op)i};
	return out->op >= OP_AND ? parse_kids(p, v, place, depth, out)
				 : parse_comparison(p, v, place, out);
}

enum err vfilter_parse(yyjson_val *v, const char *param, struct arena *a, struct vfilter **out,
	struct api_error *x)
{
	struct parsing p = {.a = a, .x = x};
	struct vfilter *f = arena_array_of(a, 1, struct vfilter);
	enum err e = f ? parse_node(&p, v, param, 0, f) : api_no_memory(x);
	if (!e)
		*out = f;
	return e;
}

/* ---- evaluation ---- */

/* Of numbers and texts; false: they cannot be compared. */
static bool compare(yyjson_val *a, yyjson_val *b, int *out)
{
	if (yyjson_is_num(a) && yyjson_is_num(b)) {
		double x = yyjson_get_num(a), y = yyjson_get_num(b);
		*out = (x > y) - (x < y);
		return true;
	}
	if (yyjson_is_str(a) && yyjson_is_str(b)) {
		*out = str_cmp(json_val_str(a), json_val_str(b));
		return true;
	}
	return false;
}

static bool equal(yyjson_val *a, yyjson_val *b)
{
	int c;
	if (yyjson_is_bool(a) && yyjson_is_bool(b))
		return yyjson_get_bool(a) == yyjson_get_bool(b);
	return compare(a, b, &c) && !c;
}

static bool in_list(yyjson_val *list, yyjson_val *v)
{
	yyjson_val *o;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, o)
	{
		if (equal(o, v))
			return true;
	}
	return false;
}

static bool holds(const struct vfilter *f, yyjson_val *o)
{
	yyjson_val *v = yyjson_obj_getn(o, f->key.p ? f->key.p : "", f->key.n);
	int c = 0;
	switch (f->op) {
	case OP_EQ:
		return equal(v, f->value);
	case OP_NE:
		return !equal(v, f->value);
	case OP_GT:
		return compare(v, f->value, &c) && c > 0;
	case OP_GTE:
		return compare(v, f->value, &c) && c >= 0;
	case OP_LT:
		return compare(v, f->value, &c) && c < 0;
	case OP_LTE:
		return compare(v, f->value, &c) && c <= 0;
	case OP_IN:
		return in_list(f->value, v);
	case OP_NIN:
		return !in_list(f->value, v);
	case OP_AND:
	case OP_OR:
		break;
	}
	bool all = f->op == OP_AND;
	for (size_t i = 0; i < f->n; i++)
		if (holds(&f->kids[i], o) != all)
			return !all;
	return all;
}

bool vfilter_keep(void *filter, struct str attributes)
{
	yyjson_doc *doc = NULL;
	if (attributes.n && json_parse(attributes, &doc, NULL))
		return false;
	bool kept = holds(filter, doc ? yyjson_doc_get_root(doc) : NULL);
	yyjson_doc_free(doc);
	return kept;
}
