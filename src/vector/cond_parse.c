/* Conditions from JSON: Qdrant's filters and OpenAI's. */
#include "text/unicode.h"
#include "vector/cond.h"

#include <stdio.h>
#include <stdlib.h>

struct parser {
	struct arena *a;
	cond_id_fn ids;
	void *ctx;
	struct errtext *et;
	size_t nodes, values;
	bool nested; /* within an element, which has no id */
	struct buf where;
};

/* ---- errors and places ---- */

static enum err bad(struct parser *p, enum err e, const char *what)
{
	return err_set(p->et, e, "%.*s: %s", STR_FMT(str_sub(buf_str(&p->where), 0, 200)), what);
}

static enum err no_memory(struct parser *p)
{
	return err_set(p->et, ERR_NOMEM, "no memory for a filter");
}

/* Goes into a member or an element; returns where it was. */
static size_t into(struct parser *p, const char *member, size_t i)
{
	size_t was = p->where.n;
	if (member)
		buf_addf(&p->where, "%s%s", was ? "." : "", member);
	else
		buf_addf(&p->where, "[%zu]", i);
	return was;
}

static void back(struct parser *p, size_t was)
{
	p->where.n = was;
	if (p->where.p)
		p->where.p[was] = 0;
}

static struct cond *node(struct parser *p, enum cond_kind kind, enum err *e)
{
	struct cond *c = ++p->nodes > COND_NODES_MAX ? NULL : arena_new_of(p->a, struct cond);
	if (c)
		c->kind = kind;
	else
		*e = p->nodes > COND_NODES_MAX
			     ? err_set(p->et, ERR_TOO_LARGE, "a filter of more than %d conditions",
				       COND_NODES_MAX)
			     : no_memory(p);
	return c;
}

static enum err only(struct parser *p, yyjson_val *v, const char *const *names)
{
	size_t i, n;
	yyjson_val *name, *value;
	if (!yyjson_is_obj(v))
		return bad(p, ERR_INVALID, "must be an object");
	yyjson_obj_foreach(v, i, n, name, value)
	{
		size_t k = 0;
		while (names[k] && !str_eq_c(json_val_str(name), names[k]))
			k++;
		if (names[k])
			continue;
		return err_set(p->et, ERR_INVALID, "%.*s: '%.*s' is not known here",
			STR_FMT(str_sub(buf_str(&p->where), 0, 200)),
			STR_FMT(str_sub(json_val_str(name), 0, 60)));
	}
	return OK;
}

/* A member that is there and not null. */
static yyjson_val *given(yyjson_val *o, const char *name)
{
	yyjson_val *v = yyjson_obj_get(o, name);
	return yyjson_is_null(v) ? NULL : v;
}

/* ---- paths and values ---- */

/* "[]" and "[7]" from i on; false: neither. */
static bool path_brackets(struct str text, size_t *i, char *to, size_t *n)
{
	uint64_t place;
	while (*i < text.n && text.p[*i] == '[') {
		struct str rest = str_sub(text, *i + 1, text.n);
		size_t end = str_chr(rest, ']');
		struct str in = str_sub(rest, 0, end == STR_NONE ? 0 : end);
		if (end == STR_NONE || (in.n && !str_u64(in, &place)) || in.n > 9)
			return false;
		to[(*n)++] = in.n ? 'i' : 'w';
		memcpy(to + *n, in.p, in.n);
		*n += in.n;
		to[(*n)++] = 0;
		*i += end + 2;
	}
	return true;
}

enum err cond_path(struct str text, struct arena *a, struct str *out, struct errtext *et)
{
	char *to = arena_alloc(a, text.n * 2 + 4);
	size_t n = 0, i = 0;
	if (!to)
		return err_set(et, ERR_NOMEM, "no memory for a filter");
	bool ok = text.n > 0 && str_chr(text, 0) == STR_NONE;
	while (ok) { /* one name each time; i is at its first byte */
		size_t from = ++n;
		to[from - 1] = 'k';
		bool quoted = i < text.n && text.p[i] == '"';
		if (quoted) {
			for (i++; i < text.n && text.p[i] != '"'; i++)
				to[n++] = text.p[i];
			ok = i++ < text.n;
		}
		for (; !quoted && i < text.n && !strchr(".[]\"", text.p[i]); i++)
			to[n++] = text.p[i];
		ok = ok && (n > from || quoted);
		to[n++] = 0;
		ok = ok && path_brackets(text, &i, to, &n) && (i >= text.n || text.p[i] == '.');
		if (i >= text.n)
			break;
		i++;
	}
	if (!ok)
		return err_set(et, ERR_INVALID,
			"'%.*s' is no path: names with dots between, in quotes when they have "
			"some; "
			"'[]' after an array for all its elements, '[0]' for one",
			STR_FMT(str_sub(text, 0, 100)));
	*out = str_mk(to, n);
	return OK;
}

static enum err path_of(struct parser *p, yyjson_val *v, struct str *out)
{
	struct errtext et = {0};
	if (!yyjson_is_str(v))
		return bad(p, ERR_INVALID, "must be a path, a string");
	enum err e = cond_path(json_val_str(v), p->a, out, &et);
	return e ? bad(p, e, et.msg) : OK;
}

static int by_value(const void *a, const void *b)
{
	return cond_value_cmp(a, b);
}

/* One value, or an array of them. */
static enum err values_of(struct parser *p, yyjson_val *v, bool many, struct cond *c)
{
	size_t n = many ? yyjson_arr_size(v) : 1;
	if (many && !yyjson_is_arr(v))
		return bad(p, ERR_INVALID, "must be an array of values");
	if ((p->values += n) > COND_VALUES_MAX)
		return err_set(
			p->et, ERR_TOO_LARGE, "a filter of more than %d values", COND_VALUES_MAX);
	struct cond_value *values = arena_array_of(p->a, n + 1, struct cond_value);
	if (!values)
		return no_memory(p);
	yyjson_val *e = many ? yyjson_arr_get_first(v) : v;
	for (size_t i = 0; i < n; i++, e = many ? unsafe_yyjson_get_next(e) : e) {
		size_t was = p->where.n;
		if (many)
			into(p, NULL, i);
		if (!cond_value_of(e, &values[i]))
			return bad(p, ERR_INVALID,
				"must be a string, an integer of 64 bits or a boolean");
		back(p, was);
	}
	qsort(values, n, sizeof *values, by_value);
	c->values = values;
	c->n_values = n;
	return OK;
}

struct term_list {
	struct parser *p;
	struct str *terms;
	size_t n;
	bool failed;
};

static bool add_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct term_list *l = ctx;
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->terms[i], term))
			return true;
	if (l->n == COND_TERMS_MAX)
		return false;
	l->terms[l->n] = arena_str(l->p->a, term);
	l->failed = !l->terms[l->n].p;
	l->n++;
	return !l->failed;
}

static enum err text_of(struct parser *p, yyjson_val *v, struct cond *c)
{
	if (!yyjson_is_str(v))
		return bad(p, ERR_INVALID, "must be a string");
	struct term_list l = {p, arena_array_of(p->a, COND_TERMS_MAX, struct str), 0, false};
	if (!l.terms || unicode_tokens(json_val_str(v), add_term, &l) || l.failed)
		return no_memory(p);
	if (l.n == COND_TERMS_MAX)
		return bad(p, ERR_TOO_LARGE, "a text of too many different words");
	c->terms = l.terms;
	c->n_terms = l.n;
	return OK;
}

/* ---- ranges ---- */

static void tighten_above(struct cond_range *r, struct cond_number n, bool open)
{
	int order = r->above ? cond_number_cmp(n, r->from) : 1;
	if (order > 0)
		r->open_above = open;
	else if (!order)
		r->open_above |= open;
	if (order > 0)
		r->from = n;
	r->above = true;
}

static void tighten_below(struct cond_range *r, struct cond_number n, bool open)
{
	int order = r->below ? cond_number_cmp(n, r->to) : -1;
	if (order < 0)
		r->open_below = open;
	else if (!order)
		r->open_below |= open;
	if (order < 0)
		r->to = n;
	r->below = true;
}

/* A number, or a time as a string; *time: the first was one. */
static enum err bound_of(
	struct parser *p, yyjson_val *v, bool first, bool *time, struct cond_number *out)
{
	bool is_time = yyjson_is_str(v);
	if (is_time) {
		*out = (struct cond_number){true, 0, 0};
		if (!cond_time_of(json_val_str(v), &out->i))
			return bad(p, ERR_INVALID,
				"must be a number, or a time as in 2026-11-27T18:10:00Z");
	} else if (yyjson_is_num(v)) {
		*out = cond_number_of(v);
	} else {
		return bad(p, ERR_INVALID, "must be a number or a time");
	}
	if (!first && is_time != *time)
		return bad(p, ERR_INVALID, "both ends must be numbers, or both times");
	*time = is_time;
	return OK;
}

static void set_end(struct cond_range *r, const char *op, struct cond_number n)
{
	if (op[0] == 'g')
		tighten_above(r, n, !op[2]);
	else
		tighten_below(r, n, !op[2]);
}

static enum err range_of(struct parser *p, yyjson_val *v, struct cond *c)
{
	static const char *const ends[] = {"gt", "gte", "lt", "lte", NULL};
	bool time = false, first = true;
	enum err e = only(p, v, ends);
	for (size_t i = 0; ends[i] && !e; i++) {
		yyjson_val *end = given(v, ends[i]);
		struct cond_number n;
		if (!end)
			continue;
		size_t was = into(p, ends[i], 0);
		e = bound_of(p, end, first, &time, &n);
		if (!e && c->kind == COND_COUNT && time)
			e = bad(p, ERR_INVALID, "must be a number");
		if (e)
			break;
		back(p, was);
		set_end(&c->range, ends[i], n);
		first = false;
	}
	if (!e && time)
		c->kind = COND_TIMES;
	return e;
}

/* ---- Qdrant ---- */

static enum err q_filter(struct parser *p, yyjson_val *v, unsigned depth, const struct cond **out);

static enum err q_match(struct parser *p, yyjson_val *v, struct cond *c)
{
	static const struct {
		const char *name;
		enum cond_kind kind;
		bool many, text;
	} kinds[] = {{"value", COND_IN, false, false}, {"any", COND_IN, true, false},
		{"except", COND_EXCEPT, true, false}, {"text", COND_TEXT, false, true},
		{"text_any", COND_TEXT_ANY, false, true}};
	static const char *const not_yet[] = {"phrase", "prefix", "substring"};
	static const char *const names[] = {"value", "any", "except", "text", "text_any", "phrase",
		"prefix", "substring", NULL};
	enum err e = only(p, v, names);
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(not_yet) && !e; i++)
		if (given(v, not_yet[i])) {
			into(p, not_yet[i], 0);
			e = bad(p, ERR_UNSUPPORTED,
				"is not supported; value, any, except, text, text_any are");
		}
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !e; i++) {
		yyjson_val *value = given(v, kinds[i].name);
		if (!value)
			continue;
		size_t was = into(p, kinds[i].name, 0);
		c->kind = kinds[i].kind;
		e = kinds[i].text ? text_of(p, value, c) : values_of(p, value, kinds[i].many, c);
		if (!e)
			back(p, was);
		n++;
	}
	return e || n == 1
		       ? e
		       : bad(p, ERR_INVALID, "must have one of value, any, except, text, text_any");
}

/* {"key": "..."} of is_empty and is_null. */
static enum err q_key_alone(
	struct parser *p, yyjson_val *v, enum cond_kind kind, const struct cond **out)
{
	static const char *const names[] = {"key", NULL};
	enum err e = only(p, v, names);
	struct cond *c = e ? NULL : node(p, kind, &e);
	if (!c)
		return e;
	into(p, "key", 0);
	e = path_of(p, yyjson_obj_get(v, "key"), &c->path);
	*out = c;
	return e;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static enum err q_has_id(struct parser *p, yyjson_val *v, const struct cond **out)
{
	enum err e = OK;
	if (!p->ids || p->nested)
		return bad(p, ERR_UNSUPPORTED, "ids cannot be asked for here");
	if (!yyjson_is_arr(v))
		return bad(p, ERR_INVALID, "must be an array of ids");
	size_t n = yyjson_arr_size(v), i, max;
	if ((p->values += n) > COND_VALUES_MAX)
		return err_set(
			p->et, ERR_TOO_LARGE, "a filter of more than %d values", COND_VALUES_MAX);
	struct cond *c = node(p, COND_ID, &e);
	uint64_t *ids = arena_array_of(p->a, n + 1, uint64_t);
	yyjson_val *id;
	if (!c)
		return e;
	if (!ids)
		return no_memory(p);
	yyjson_arr_foreach(v, i, max, id)
	{
		into(p, NULL, i);
		if (!yyjson_is_str(id) && !yyjson_is_uint(id))
			return bad(p, ERR_INVALID, "must be an id, a number or a string");
		back(p, str_rchr(buf_str(&p->where), '['));
		c->n_ids += p->ids(p->ctx, id, &ids[c->n_ids]);
	}
	qsort(ids, c->n_ids, sizeof *ids, by_id);
	c->ids = ids;
	*out = c;
	return OK;
}

static enum err q_nested(struct parser *p, yyjson_val *v, unsigned depth, const struct cond **out)
{
	static const char *const names[] = {"key", "filter", NULL};
	enum err e = only(p, v, names);
	struct cond *c = e ? NULL : node(p, COND_NESTED, &e);
	const struct cond **of = c ? arena_new_of(p->a, const struct cond *) : NULL;
	if (!c)
		return e;
	if (!of)
		return no_memory(p);
	size_t was = into(p, "key", 0);
	e = path_of(p, yyjson_obj_get(v, "key"), &c->path);
	if (e)
		return e;
	back(p, was);
	/* "a" and "a[]" are the same here. */
	if (str_ends(c->path, str_mk("w", 2)))
		c->path.n -= 2;
	into(p, "filter", 0);
	bool outer = p->nested;
	p->nested = true;
	e = q_filter(p, yyjson_obj_get(v, "filter"), depth + 1, of);
	p->nested = outer;
	c->of = of;
	c->n_of = 1;
	*out = c;
	return e;
}

static enum err negate(struct parser *p, const struct cond *c, const struct cond **out)
{
	enum err e = OK;
	struct cond *not = node(p, COND_NOT, &e);
	const struct cond **of = not ? arena_new_of(p->a, const struct cond *) : NULL;
	if (!not )
		return e;
	if (!of)
		return no_memory(p);
	*of = c;
	not ->of = of;
	not ->n_of = 1;
	*out = not ;
	return OK;
}

/* {"key": ..., one of match, range, values_count, is_empty, is_null}. */
static enum err q_field(struct parser *p, yyjson_val *v, const struct cond **out)
{
	static const char *const names[] = {"key", "match", "range", "values_count", "is_empty",
		"is_null", "geo_bounding_box", "geo_radius", "geo_polygon", NULL};
	yyjson_val *what = NULL;
	const char *name = NULL;
	enum err e = only(p, v, names);
	struct cond *c = e ? NULL : node(p, COND_ALL, &e);
	if (!c)
		return e;
	size_t was = into(p, "key", 0);
	if ((e = path_of(p, yyjson_obj_get(v, "key"), &c->path)))
		return e;
	back(p, was);
	for (size_t i = 1; names[i]; i++) {
		yyjson_val *here = given(v, names[i]);
		if (!here)
			continue;
		if (what)
			return bad(p, ERR_INVALID,
				"must have one of match, range, values_count, "
				"is_empty, is_null, not several");
		what = here;
		name = names[i];
	}
	if (!what)
		return bad(p, ERR_INVALID,
			"must have one of match, range, values_count, is_empty, is_null");
	into(p, name, 0);
	*out = c;
	if (str_starts(str_c(name), S("geo_")))
		return bad(p, ERR_UNSUPPORTED, "conditions on places are not supported");
	if (!strcmp(name, "match"))
		return q_match(p, what, c);
	if (!strcmp(name, "range") || !strcmp(name, "values_count")) {
		c->kind = *name == 'r' ? COND_RANGE : COND_COUNT;
		return range_of(p, what, c);
	}
	c->kind = !strcmp(name, "is_null") ? COND_NULL : COND_EMPTY;
	if (!yyjson_is_bool(what))
		return bad(p, ERR_INVALID, "must be true or false");
	return yyjson_get_bool(what) ? OK : negate(p, c, out);
}

static enum err q_condition(
	struct parser *p, yyjson_val *v, unsigned depth, const struct cond **out)
{
	static const char *const alone[] = {
		"has_id", "is_empty", "is_null", "nested", "has_vector", "slice"};
	if (!yyjson_is_obj(v))
		return bad(p, ERR_INVALID, "must be a condition, an object");
	if (yyjson_obj_get(v, "key"))
		return q_field(p, v, out);
	for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
		yyjson_val *what = given(v, alone[i]);
		if (!what)
			continue;
		const char *const names[] = {alone[i], NULL};
		enum err e = only(p, v, names);
		if (e)
			return e;
		into(p, alone[i], 0);
		switch (i) {
		case 0:
			return q_has_id(p, what, out);
		case 1:
			return q_key_alone(p, what, COND_EMPTY, out);
		case 2:
			return q_key_alone(p, what, COND_NULL, out);
		case 3:
			return q_nested(p, what, depth, out);
		}
		return bad(p, ERR_UNSUPPORTED, "is not supported");
	}
	return q_filter(p, v, depth + 1, out);
}

/* An array of conditions, or one. */
static enum err q_list(struct parser *p, yyjson_val *v, unsigned depth, struct cond *c)
{
	bool many = yyjson_is_arr(v);
	size_t n = many ? yyjson_arr_size(v) : 1;
	if (n > COND_NODES_MAX)
		return err_set(p->et, ERR_TOO_LARGE, "a filter of more than %d conditions",
			COND_NODES_MAX);
	const struct cond **of = arena_array_of(p->a, n + 1, const struct cond *);
	if (!of)
		return no_memory(p);
	yyjson_val *e = many ? yyjson_arr_get_first(v) : v;
	for (size_t i = 0; i < n; i++) {
		size_t was = p->where.n;
		if (many)
			into(p, NULL, i);
		enum err failed = q_condition(p, e, depth, &of[i]);
		if (failed)
			return failed;
		back(p, was);
		if (many)
			e = unsafe_yyjson_get_next(e);
	}
	c->of = of;
	c->n_of = n;
	return OK;
}

static enum err q_min_should(struct parser *p, yyjson_val *v, unsigned depth, struct cond *c)
{
	static const char *const names[] = {"conditions", "min_count", NULL};
	enum err e = only(p, v, names);
	yyjson_val *count = yyjson_obj_get(v, "min_count");
	if (!e && (!yyjson_is_uint(count) || !yyjson_get_uint(count)))
		e = bad(p, ERR_INVALID, "'min_count' must be 1 or more");
	if (!e && !yyjson_is_arr(yyjson_obj_get(v, "conditions")))
		e = bad(p, ERR_INVALID, "'conditions' must be an array");
	if (e)
		return e;
	c->at_least = (size_t)yyjson_get_uint(count);
	into(p, "conditions", 0);
	return q_list(p, yyjson_obj_get(v, "conditions"), depth, c);
}

static enum err q_clause(struct parser *p, yyjson_val *v, const char *name, unsigned depth,
	const struct cond **out, size_t *n)
{
	enum err e = OK;
	size_t was = into(p, name, 0);
	struct cond *c = node(p, strcmp(name, "must") ? COND_AT_LEAST : COND_ALL, &e);
	if (!c)
		return e;
	c->at_least = 1;
	e = strcmp(name, "min_should") ? q_list(p, v, depth, c) : q_min_should(p, v, depth, c);
	if (e)
		return e;
	back(p, was);
	/* No conditions: as if the clause were not there; but a count is asked for none the less.
	 */
	if (!c->n_of && strcmp(name, "min_should"))
		return OK;
	out[*n] = c;
	if (!strcmp(name, "must_not"))
		e = negate(p, c, &out[*n]);
	++*n;
	return e;
}

static enum err q_filter(struct parser *p, yyjson_val *v, unsigned depth, const struct cond **out)
{
	static const char *const names[] = {"must", "should", "must_not", "min_should", NULL};
	if (depth > COND_DEPTH_MAX)
		return err_set(
			p->et, ERR_TOO_LARGE, "a filter nested deeper than %d", COND_DEPTH_MAX);
	enum err e = only(p, v, names);
	struct cond *all = e ? NULL : node(p, COND_ALL, &e);
	const struct cond **of = all ? arena_array_of(p->a, 4, const struct cond *) : NULL;
	if (!all)
		return e;
	if (!of)
		return no_memory(p);
	for (size_t i = 0; names[i] && !e; i++)
		if (given(v, names[i]))
			e = q_clause(p, given(v, names[i]), names[i], depth, of, &all->n_of);
	all->of = of;
	*out = all;
	return e;
}

static enum err parse(struct parser *p, yyjson_val *v,
	enum err (*fn)(struct parser *, yyjson_val *, unsigned, const struct cond **),
	const struct cond **out)
{
	const struct cond *c = NULL;
	enum err e = OK;
	buf_addc(&p->where, "filter");
	if (v && !yyjson_is_null(v))
		e = fn(p, v, 1, &c);
	else
		c = node(p, COND_ALL, &e);
	if (!e && p->where.err)
		e = no_memory(p);
	buf_free(&p->where);
	if (!e)
		*out = c;
	return e;
}

enum err cond_parse_qdrant(yyjson_val *filter, cond_id_fn ids, void *ctx, struct arena *a,
	const struct cond **out, struct errtext *et)
{
	struct parser p = {.a = a, .ids = ids, .ctx = ctx, .et = et};
	return parse(&p, filter, q_filter, out);
}

/* ---- OpenAI ---- */

/* A number is compared as one, whatever way it is written; others match. */
static enum err o_equal(struct parser *p, yyjson_val *v, struct str path, const struct cond **out)
{
	enum err e = OK;
	bool number = yyjson_is_num(v);
	struct cond *c = node(p, number ? COND_RANGE : COND_IN, &e);
	if (!c)
		return e;
	c->path = path;
	*out = c;
	if (!number)
		return values_of(p, v, false, c);
	c->range.above = c->range.below = true;
	c->range.from = c->range.to = cond_number_of(v);
	return OK;
}

static enum err o_one_of(struct parser *p, yyjson_val *v, struct str path, const struct cond **out)
{
	size_t n = yyjson_arr_size(v), i, max;
	enum err e = OK;
	yyjson_val *value;
	if (!yyjson_is_arr(v))
		return bad(p, ERR_INVALID, "must be an array of values");
	struct cond *c = node(p, COND_AT_LEAST, &e);
	const struct cond **of =
		arena_array_of(p->a, MIN(n, COND_NODES_MAX) + 1, const struct cond *);
	if (!c)
		return e;
	if (!of)
		return no_memory(p);
	yyjson_arr_foreach(v, i, max, value)
	{
		size_t was = into(p, NULL, i);
		if ((e = o_equal(p, value, path, &of[i])))
			return e;
		back(p, was);
	}
	c->at_least = 1;
	c->of = of;
	c->n_of = n;
	*out = c;
	return OK;
}

/* The attribute itself: attributes have no members, their names may have dots. */
static enum err o_path(struct parser *p, yyjson_val *key, struct str *out)
{
	struct str name = json_val_str(key);
	if (!name.n || str_chr(name, 0) != STR_NONE)
		return bad(p, ERR_INVALID, "'key' must name an attribute");
	char *to = arena_alloc(p->a, name.n + 2);
	if (!to)
		return no_memory(p);
	to[0] = 'k';
	memcpy(to + 1, name.p, name.n);
	*out = str_mk(to, name.n + 2);
	return OK;
}

static enum err o_range(
	struct parser *p, yyjson_val *v, struct str op, struct str path, const struct cond **out)
{
	struct cond_number n;
	bool time = false;
	enum err e = bound_of(p, v, true, &time, &n);
	struct cond *c = e ? NULL : node(p, time ? COND_TIMES : COND_RANGE, &e);
	if (!c)
		return e;
	c->path = path;
	if (op.p[0] == 'g')
		tighten_above(&c->range, n, op.n == 2);
	else
		tighten_below(&c->range, n, op.n == 2);
	*out = c;
	return OK;
}

static enum err o_compare(struct parser *p, yyjson_val *v, struct str type, const struct cond **out)
{
	static const char *const names[] = {"type", "key", "value", NULL};
	yyjson_val *value = yyjson_obj_get(v, "value");
	struct str path;
	enum err e = only(p, v, names);
	if (!e)
		e = o_path(p, yyjson_obj_get(v, "key"), &path);
	if (e)
		return e;
	size_t was = into(p, "value", 0);
	if (type.p[0] == 'g' || type.p[0] == 'l')
		e = o_range(p, value, type, path, out);
	else if (str_ends(type, S("in")))
		e = o_one_of(p, value, path, out);
	else
		e = o_equal(p, value, path, out);
	if (e)
		return e;
	back(p, was);
	return type.p[0] == 'n' ? negate(p, *out, out) : OK;
}

static enum err o_filter(struct parser *p, yyjson_val *v, unsigned depth, const struct cond **out)
{
	static const char *const compound[] = {"type", "filters", NULL};
	static const char *const types[] = {"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"};
	if (depth > COND_DEPTH_MAX)
		return err_set(
			p->et, ERR_TOO_LARGE, "a filter nested deeper than %d", COND_DEPTH_MAX);
	if (!yyjson_is_obj(v))
		return bad(p, ERR_INVALID, "must be an object");
	struct str type = json_str(v, "type");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq_c(type, types[i]))
			return o_compare(p, v, type, out);
	if (!str_eq_c(type, "and") && !str_eq_c(type, "or"))
		return bad(p, ERR_INVALID,
			"'type' must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or");
	enum err e = only(p, v, compound);
	yyjson_val *list = yyjson_obj_get(v, "filters"), *f;
	size_t n = yyjson_arr_size(list), i, max;
	if (!e && !n)
		e = bad(p, ERR_INVALID, "'filters' must be an array of at least one filter");
	struct cond *c = e ? NULL : node(p, type.p[0] == 'a' ? COND_ALL : COND_AT_LEAST, &e);
	if (!c)
		return e;
	if (n > COND_NODES_MAX)
		return err_set(p->et, ERR_TOO_LARGE, "a filter of more than %d conditions",
			COND_NODES_MAX);
	const struct cond **of = arena_array_of(p->a, n, const struct cond *);
	if (!of)
		return no_memory(p);
	size_t was = into(p, "filters", 0);
	yyjson_arr_foreach(list, i, max, f)
	{
		size_t here = into(p, NULL, i);
		if ((e = o_filter(p, f, depth + 1, &of[i])))
			return e;
		back(p, here);
	}
	back(p, was);
	c->at_least = 1;
	c->of = of;
	c->n_of = n;
	*out = c;
	return OK;
}

enum err cond_parse_openai(
	yyjson_val *filter, struct arena *a, const struct cond **out, struct errtext *et)
{
	struct parser p = {.a = a, .et = et};
	return parse(&p, filter, o_filter, out);
}
