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
	return (struct cond_number){false, 0, yyjson_get_real(v)};
}

static int integer_to_double(int64_t i, double d)
{
	if (d >= 0x1p63)
		return -1;
	if (d < -0x1p63)
		return 1;
	int64_t whole = (int64_t)d;
	double rest = d - (double)whole;
	if (i != whole)
		return i < whole ? -1 : 1;
	return rest > 0 ? -1 : rest < 0;
}

int cond_number_cmp(struct cond_number a, struct cond_number b)
{
	if (a.integral && b.integral)
		return (a.i > b.i) - (a.i < b.i);
	if (a.integral)
		return integer_to_double(a.i, b.d);
	if (b.integral)
		return -integer_to_double(b.i, a.d);
	return (a.d > b.d) - (a.d < b.d);
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
		return out->n.integral;
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

/* Digits of a second, down to microseconds; *at goes past them. */
static int64_t fraction(struct str s, size_t *at)
{
	int64_t us = 0, unit = 100000;
	for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at, unit /= 10)
		us += unit * (s.p[*at] - '0');
	return us;
}

/* "+0200" and "+02:00" as the latter, "", "z" and "Z" as Z. false: neither. */
static bool zone_text(struct str zone, char out[8])
{
	if (zone.n && zone.p[0] == ' ')
		zone = str_sub(zone, 1, zone.n);
	if (!zone.n || str_eq_nocase(zone, S("z")) || str_eq_c(zone, "UTC")) {
		memcpy(out, "Z", 2);
		return true;
	}
	bool colon = zone.n == 6 && zone.p[3] == ':';
	if (!colon && zone.n != 5)
		return false;
	memcpy(out, zone.p, 3);
	out[3] = ':';
	memcpy(out + 4, zone.p + zone.n - 2, 2);
	out[6] = 0;
	return true;
}

/* What Qdrant takes: a date; with T or a space a time, seconds and their fraction if one likes,
 * then a zone if one likes, else it is UTC. */
bool cond_time_of(struct str s, int64_t *us)
{
	char text[40], zone[8];
	int64_t ms, rest = 0;
	size_t at = 19;
	while (s.n && s.p[0] == ' ')
		s = str_sub(s, 1, s.n);
	if (s.n < 10 || s.n > 60 || s.p[4] != '-' || s.p[7] != '-')
		return false;
	if (s.n > 10 && (s.n < 16 || (s.p[10] != 'T' && s.p[10] != ' ')))
		return false;
	memcpy(text, s.p, MIN(s.n, 19));
	text[10] = s.n > 10 ? 'T' : 0;
	if (s.n == 16)
		memcpy(text + 16, ":00Z", 5);
	if (s.n > 16) {
		if (s.n < 19)
			return false;
		if (s.n > 20 && s.p[19] == '.') {
			at = 20;
			rest = fraction(s, &at);
			if (at == 20)
				return false;
		}
		if (!zone_text(str_sub(s, at, s.n), zone))
			return false;
		memcpy(text + 19, zone, strlen(zone) + 1);
	}
	if (!clock_parse_rfc3339(str_c(text), &ms))
		return false;
	*us = ms * 1000 + rest;
	return true;
}

/* ---- values at a path ---- */

/* true: enough has been seen. */
typedef bool (*value_fn)(void *ctx, yyjson_val *v);

char cond_step(struct str *path, struct str *name)
{
	size_t end = str_chr(*path, 0);
	char kind = path->p[0];
	*name = str_sub(*path, 1, end);
	*path = str_sub(*path, end + 1, path->n);
	return kind;
}

/* fn gets what stands at the path itself, arrays as they are. */
static bool at_path(yyjson_val *v, struct str path, value_fn fn, void *ctx)
{
	size_t i, n;
	uint64_t place;
	yyjson_val *e, *name;
	struct str step;
	if (!path.n)
		return fn(ctx, v);
	switch (cond_step(&path, &step)) {
	case 'k':
		if (!yyjson_is_obj(v))
			return false;
		yyjson_obj_foreach(v, i, n, name, e) if (str_eq(json_val_str(name), step) &&
							 at_path(e, path, fn, ctx)) return true;
		return false;
	case 'w':
		yyjson_arr_foreach(v, i, n, e) if (at_path(e, path, fn, ctx)) return true;
		return false;
	default:
		e = str_u64(step, &place) && yyjson_is_arr(v) ? yyjson_arr_get(v, place) : NULL;
		return e && at_path(e, path, fn, ctx);
	}
}

struct asked {
	const struct cond *c;
	uint64_t key;
	bool any;                           /* value so far */
	uint64_t seen[COND_TERMS_MAX / 64]; /* terms, by number */
};

static bool is_one_of(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	struct cond_value value;
	bool one = cond_value_of(v, &value) && cond_has_value(a->c, &value);
	return a->c->kind == COND_IN ? one : !one && !yyjson_is_null(v);
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

static bool has_text(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	size_t n = 0;
	memset(a->seen, 0, sizeof a->seen);
	/* (A text for which there is no memory has no terms.) */
	if (!yyjson_is_str(v) || unicode_tokens(json_val_str(v), see_term, a))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(a->seen); i++)
		n += (size_t)__builtin_popcountll(a->seen[i]);
	return a->c->n_terms && (a->c->kind == COND_TEXT ? n == a->c->n_terms : n > 0);
}

static bool has_count(void *ctx, yyjson_val *v)
{
	struct asked *a = ctx;
	struct cond_number n = {true, !yyjson_is_null(v), 0};
	if (yyjson_is_arr(v))
		n.i = (int64_t)yyjson_arr_size(v);
	a->any = true;
	return cond_in_range(&a->c->range, n);
}

static bool is_something(void *ctx, yyjson_val *v)
{
	return !yyjson_is_null(v) && (!yyjson_is_arr(v) || yyjson_arr_size(v));
}

static bool has_null(void *ctx, yyjson_val *v)
{
	size_t i, n;
	yyjson_val *e;
	if (yyjson_is_null(v))
		return true;
	yyjson_arr_foreach(v, i, n, e) if (yyjson_is_null(e)) return true;
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
	struct each *each = ctx;
	size_t i, n;
	yyjson_val *e;
	if (!yyjson_is_arr(v))
		return each->fn(each->ctx, v);
	yyjson_arr_foreach(v, i, n, e) if (each->fn(each->ctx, e)) return true;
	return false;
}

static bool any_value(struct asked *a, yyjson_val *payload, value_fn fn)
{
	return at_path(payload, a->c->path, flatten, &(struct each){fn, a});
}

static bool counts(struct asked *a, yyjson_val *payload)
{
	return at_path(payload, a->c->path, has_count, a) ||
	       (!a->any && cond_in_range(&a->c->range, (struct cond_number){true, 0, 0}));
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
	struct asked a = {.c = c, .key = key};
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
		return any_value(&a, payload, is_one_of);
	case COND_RANGE:
		return any_value(&a, payload, is_in_range);
	case COND_TIMES:
		return any_value(&a, payload, is_in_time);
	case COND_TEXT:
	case COND_TEXT_ANY:
		return any_value(&a, payload, has_text);
	case COND_COUNT:
		return counts(&a, payload);
	case COND_EMPTY:
		return !at_path(payload, c->path, is_something, &a);
	case COND_NULL:
		return at_path(payload, c->path, has_null, &a);
	case COND_ID:
		return has_id(c, key);
	case COND_NESTED:
		return at_path(payload, c->path, one_element, &a);
	}
	return false;
}
