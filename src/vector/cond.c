/* Conditions decided for one payload: the meaning that the index has to agree with. */
#include "base/clock.h"
#include "text/unicode.h"
#include "vector/cond.h"

/* ---- values ---- */

struct cond_number cond_number_of(yyjson_val *v)
{
	if (yyjson_is_sint(v))
		return (struct cond_number){true, yyjson_get_sint(v), 0};
	if (yyjson_is_uint(v)) {
		uint64_t u = yyjson_get_uint(v);
		return u <= INT64_MAX ? (struct cond_number){true, (int64_t)u, 0}
				      : (struct cond_number){false, 0, (double)u};
	}
	double d = yyjson_get_num(v);
	if (d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d)
		return (struct cond_number){true, (int64_t)d, 0};
	return (struct cond_number){false, 0, d};
}

/* A double that is no integer is below 2^53, where every integer is a double; one beyond the
 * integers is beyond them. So comparing as doubles is right but where both are equal. */
int cond_number_cmp(struct cond_number a, struct cond_number b)
{
	if (a.integral && b.integral)
		return (a.i > b.i) - (a.i < b.i);
	double x = a.integral ? (double)a.i : a.d, y = b.integral ? (double)b.i : b.d;
	if (x == y && a.integral != b.integral)
		return a.integral == (y > 0) ? -1 : 1;
	return (x > y) - (x < y);
}

bool cond_in_range(const struct cond_range *r, struct cond_number n)
{
	if (r->above && cond_number_cmp(n, r->from) < (int)r->open_above)
		return false;
	return !r->below || cond_number_cmp(n, r->to) <= -(int)r->open_below;
}

bool cond_value_of(yyjson_val *v, struct cond_value *out)
{
	*out = (struct cond_value){0};
	if (yyjson_is_str(v)) {
		out->type = COND_STRING;
		out->s = json_val_str(v);
	} else if (yyjson_is_num(v)) {
		out->type = COND_NUMBER;
		out->n = cond_number_of(v);
	} else if (yyjson_is_bool(v)) {
		out->type = COND_BOOL;
		out->b = yyjson_get_bool(v);
	} else {
		return false;
	}
	return true;
}

int cond_value_cmp(const struct cond_value *a, const struct cond_value *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type) {
	case COND_STRING:
		return str_cmp(a->s, b->s);
	case COND_NUMBER:
		return cond_number_cmp(a->n, b->n);
	case COND_BOOL:
		return (int)a->b - (int)b->b;
	}
	return 0;
}

bool cond_has_value(const struct cond *c, const struct cond_value *v)
{
	size_t lo = 0, hi = c->n_values;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = cond_value_cmp(&c->values[mid], v);
		if (!order)
			return true;
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* RFC 3339; also a date alone, a space for the T, no seconds, no zone (then UTC). */
bool cond_time_of(struct str s, int64_t *ms)
{
	char text[48];
	if (s.n < 10 || s.n > 40 || s.p[4] != '-' || s.p[7] != '-')
		return false;
	memcpy(text, s.p, s.n);
	if (s.n > 10 && (text[10] == ' ' || text[10] == 't'))
		text[10] = 'T';
	struct str t = {text, s.n}, clock = str_sub(t, MIN(s.n, 11), s.n);
	size_t zone = 0;
	while (zone < clock.n && (clock.p[zone] == ':' || clock.p[zone] == '.' ||
					 (clock.p[zone] >= '0' && clock.p[zone] <= '9')))
		zone++;
	if (s.n > 10 && zone == clock.n) {
		if (zone == 5) {
			memcpy(text + t.n, ":00", 3);
			t.n += 3;
		}
		text[t.n++] = 'Z';
	}
	return clock_parse_rfc3339(t, ms);
}

/* ---- values at a path ---- */

/* true: enough has been seen. */
typedef bool (*value_fn)(void *ctx, yyjson_val *v);

static bool scalars(yyjson_val *v, value_fn fn, void *ctx)
{
	size_t i, n;
	yyjson_val *e;
	if (!yyjson_is_arr(v))
		return fn(ctx, v);
	yyjson_arr_foreach(v, i, n, e) if (scalars(e, fn, ctx)) return true;
	return false;
}

/* fn gets what stands at the path itself, arrays as they are. */
static bool at_path(yyjson_val *v, struct str path, value_fn fn, void *ctx)
{
	size_t i, n;
	yyjson_val *e, *name;
	struct str part, rest = path;
	if (!path.p)
		return fn(ctx, v);
	if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, n, e) if (at_path(e, path, fn, ctx)) return true;
		return false;
	}
	if (!yyjson_is_obj(v))
		return false;
	size_t end = str_chr(path, 0);
	part = str_sub(path, 0, end == STR_NONE ? path.n : end);
	rest = end == STR_NONE ? (struct str){0} : str_sub(path, end + 1, path.n);
	yyjson_obj_foreach(v, i, n, name,
		e) if (str_eq(json_val_str(name), part) && at_path(e, rest, fn, ctx)) return true;
	return false;
}

struct asked {
	const struct cond *c;
	uint64_t key;
	int64_t count;
	bool nothing, null;                 /* so far: nothing but null and []; a null */
	uint64_t seen[COND_TERMS_MAX / 64]; /* terms, by number */
};

static bool is_one_of(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	struct cond_value value;
	return cond_value_of(v, &value) && cond_has_value(a->c, &value) == (a->c->kind == COND_IN);
}

static bool is_in_range(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	return yyjson_is_num(v) && cond_in_range(&a->c->range, cond_number_of(v));
}

static bool is_in_time(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	struct cond_number n = {true, 0, 0};
	return yyjson_is_str(v) && cond_time_of(json_val_str(v), &n.i) &&
	       cond_in_range(&a->c->range, n);
}

static bool see_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct asked *a = ctx;
	for (size_t i = 0; i < a->c->n_terms; i++)
		if (str_eq(a->c->terms[i], term))
			a->seen[i / 64] |= UINT64_C(1) << i % 64;
	return true;
}

static bool see_text(void *ctx, yyjson_val *v)
{
	/* (A text for which there is no memory has no terms.) */
	enum err e = yyjson_is_str(v) ? unicode_terms(json_val_str(v), "", see_term, ctx) : OK;
	return e != OK;
}

static bool look(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	size_t i, n;
	yyjson_val *e;
	if (!yyjson_is_arr(v)) {
		a->count += !yyjson_is_null(v);
		a->null |= yyjson_is_null(v);
		a->nothing &= yyjson_is_null(v);
		return false;
	}
	a->count += (int64_t)yyjson_arr_size(v);
	a->nothing &= !yyjson_arr_size(v);
	yyjson_arr_foreach(v, i, n, e) a->null |= yyjson_is_null(e);
	return false;
}

static bool one_element(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	size_t i, n;
	yyjson_val *e;
	if (!yyjson_is_arr(v))
		return false;
	yyjson_arr_foreach(v, i, n,
		e) if (yyjson_is_obj(e) && cond_matches(a->c->of[0], a->key, e)) return true;
	return false;
}

struct each {
	value_fn fn;
	void *ctx;
};

static bool flatten(void *ctx, yyjson_val *v)
{
	struct each *e = ctx;
	return scalars(v, e->fn, e->ctx);
}

static bool any_scalar(struct asked *a, yyjson_val *payload, value_fn fn)
{
	return at_path(payload, a->c->path, flatten, &(struct each){fn, a});
}

static bool text_matches(struct asked *a, yyjson_val *payload)
{
	size_t n = 0;
	any_scalar(a, payload, see_text);
	for (size_t i = 0; i < ARRAY_LEN(a->seen); i++)
		n += (size_t)__builtin_popcountll(a->seen[i]);
	return a->c->n_terms && (a->c->kind == COND_TEXT ? n == a->c->n_terms : n > 0);
}

static bool has_id(const struct cond *c, uint64_t key)
{
	size_t lo = 0, hi = c->n_ids;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (c->ids[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n_ids && c->ids[lo] == key;
}

static size_t how_many(const struct cond *c, uint64_t key, yyjson_val *payload, size_t enough)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n_of && n < enough; i++)
		n += cond_matches(c->of[i], key, payload);
	return n;
}

bool cond_matches(const struct cond *c, uint64_t key, yyjson_val *payload)
{
	struct asked a = {.c = c, .key = key, .nothing = true};
	switch (c->kind) {
	case COND_ALL:
		for (size_t i = 0; i < c->n_of; i++)
			if (!cond_matches(c->of[i], key, payload))
				return false;
		return true;
	case COND_AT_LEAST:
		return how_many(c, key, payload, c->at_least) >= c->at_least;
	case COND_NOT:
		return !cond_matches(c->of[0], key, payload);
	case COND_IN:
	case COND_EXCEPT:
		return any_scalar(&a, payload, is_one_of);
	case COND_RANGE:
		return any_scalar(&a, payload, is_in_range);
	case COND_TIMES:
		return any_scalar(&a, payload, is_in_time);
	case COND_TEXT:
	case COND_TEXT_ANY:
		return text_matches(&a, payload);
	case COND_COUNT:
		at_path(payload, c->path, look, &a);
		return cond_in_range(&c->range, (struct cond_number){true, a.count, 0});
	case COND_EMPTY:
		at_path(payload, c->path, look, &a);
		return a.nothing;
	case COND_NULL:
		at_path(payload, c->path, look, &a);
		return a.null;
	case COND_ID:
		return has_id(c, key);
	case COND_NESTED:
		return at_path(payload, c->path, one_element, &a);
	}
	return false;
}
