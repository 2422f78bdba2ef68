/* Formulas: read, and computed for an item. */
#include "collection/formula.h"
#include "collection/collection_int.h"
#include "collection/item_json.h"

#include <math.h>
#include <stdlib.h>

enum op {
	OP_NUMBER,
	OP_SCORE,
	OP_PATH,
	OP_COND,
	OP_SUM,
	OP_MULT,
	OP_MAX,
	OP_MIN,
	OP_NEG,
	OP_ABS,
	OP_SQRT,
	OP_EXP,
	OP_LN,
	OP_LOG10,
	OP_ACOSH,
	OP_DIV,
	OP_POW,
	OP_TIME_AT,
	OP_GEO,
	OP_LIN,
	OP_EXPD,
	OP_GAUSS
};

struct node {
	enum op op;
	double number; /* or what is divided by 0, NaN: an error */
	size_t score;
	struct str path, key; /* steps, and as it was written */
	yyjson_val *fallback; /* of a path or a score; NULL: none */
	const struct cond *cond;
	const struct node *of[2];
	const struct node *const *list;
	size_t n;
	double midpoint, scale, lat, lon;
};

struct formula {
	const struct node *root;
};

/* ---- reading ---- */

struct reading {
	struct collection *k;
	struct arena *a;
	yyjson_val *defaults;
	struct errtext *et;
	size_t nodes;
	struct buf at; /* where it is, for errors */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a formula");
}

static enum err bad(struct reading *r, const char *what)
{
	return err_set(r->et, ERR_INVALID, "%s %s", buf_c(&r->at), what);
}

static enum err read_node(
	struct reading *r, yyjson_val *v, unsigned depth, const struct node **out);

/* A part of what stands at r->at: ".left", "[3]". */
static enum err read_at(struct reading *r, const char *member, size_t i, yyjson_val *v,
	unsigned depth, const struct node **out)
{
	size_t n = r->at.n;
	if (member)
		buf_addf(&r->at, ".%s", member);
	else
		buf_addf(&r->at, "[%zu]", i);
	enum err e = v ? read_node(r, v, depth, out) : bad(r, "is missing");
	r->at.n = n;
	if (r->at.p)
		r->at.p[n] = 0;
	return e;
}

/* The number of "$score[12]"; false: it is no such text. */
static bool score_index(struct str s, size_t *out)
{
	int64_t i;
	*out = 0;
	s = str_sub(s, strlen("$score"), s.n);
	if (!s.n)
		return true;
	if (s.n < 3 || s.n > 8 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	for (size_t j = 1; j + 1 < s.n; j++)
		if (s.p[j] < '0' || s.p[j] > '9')
			return false;
	if (!str_i64(str_sub(s, 1, s.n - 1), &i))
		return false;
	*out = (size_t)i;
	return true;
}

static yyjson_val *default_of_score(struct reading *r, size_t at)
{
	yyjson_val *key, *v;
	size_t i, n, which;
	yyjson_obj_foreach(r->defaults, i, n, key, v)
	{
		struct str name = json_val_str(key);
		if (str_starts(name, S("$score")) && score_index(name, &which) && which == at)
			return v;
	}
	return NULL;
}

static enum err read_path(struct reading *r, struct str text, struct node *x)
{
	enum err e = cond_path(text, r->a, &x->path, r->et);
	if (e)
		return err_wrap(r->et, e, "%s", buf_c(&r->at));
	if (fields_has_place(x->path))
		return err_set(r->et, ERR_UNSUPPORTED,
			"%s: %.*s names a place in an array: that is not supported here",
			buf_c(&r->at), STR_FMT(str_sub(text, 0, 100)));
	x->key = text;
	x->fallback = yyjson_obj_getn(r->defaults, text.p, text.n);
	return OK;
}

static enum err read_variable(struct reading *r, struct str text, struct node *x)
{
	if (!str_starts(text, S("$score"))) {
		x->op = OP_PATH;
		return read_path(r, text, x);
	}
	x->op = OP_SCORE;
	x->key = text;
	if (!score_index(text, &x->score))
		return bad(r, "must be $score, $score[0], $score[1], ...");
	x->fallback = default_of_score(r, x->score);
	return OK;
}

static enum err read_list(
	struct reading *r, const char *name, yyjson_val *v, unsigned depth, struct node *x)
{
	yyjson_val *e;
	size_t i, n;
	size_t was = r->at.n;
	buf_addf(&r->at, ".%s", name);
	if (!yyjson_is_arr(v) || (!yyjson_arr_size(v) && (x->op == OP_MAX || x->op == OP_MIN)))
		return bad(r, yyjson_is_arr(v) ? "needs at least one operand"
					       : "must be a list of expressions");
	const struct node **list =
		arena_array_of(r->a, yyjson_arr_size(v) + 1, const struct node *);
	if (!list)
		return no_memory(r->et);
	yyjson_arr_foreach(v, i, n, e)
	{
		enum err bad_one = read_at(r, NULL, i, e, depth, &list[i]);
		if (bad_one)
			return bad_one;
	}
	x->list = list;
	x->n = yyjson_arr_size(v);
	r->at.n = was;
	r->at.p[was] = 0;
	return OK;
}

static enum err read_decay(struct reading *r, yyjson_val *o, unsigned depth, struct node *x)
{
	x->midpoint = 0.5;
	x->scale = 1;
	enum err e = read_at(r, "x", 0, item_json_get(o, "x"), depth, &x->of[0]);
	if (!e && item_json_get(o, "target"))
		e = read_at(r, "target", 0, item_json_get(o, "target"), depth, &x->of[1]);
	e = e ? e : json_want_f64(o, "midpoint", 0, 1, &x->midpoint, r->et);
	e = e ? e : json_want_f64(o, "scale", -INFINITY, INFINITY, &x->scale, r->et);
	if (e)
		return e;
	if (!(x->scale > 0) || isinf(x->scale))
		return bad(r, "has a scale that is not above 0");
	if (x->op != OP_LIN && !(x->midpoint > 0 && x->midpoint < 1))
		return bad(r, "needs a midpoint between 0 and 1, not these themselves");
	return OK;
}

static enum err read_geo(struct reading *r, yyjson_val *o, struct node *x)
{
	yyjson_val *from = item_json_get(o, "origin");
	struct str to = json_str(o, "to");
	if (!yyjson_is_num(yyjson_obj_get(from, "lat")) ||
		!yyjson_is_num(yyjson_obj_get(from, "lon")))
		return bad(r, "needs origin: {lat, lon}");
	x->lat = json_f64(from, "lat", 0);
	x->lon = json_f64(from, "lon", 0);
	return to.n ? read_path(r, to, x) : bad(r, "needs to: a path in the payload");
}

static enum err read_time(struct reading *r, yyjson_val *v, struct node *x)
{
	int64_t us;
	if (!yyjson_is_str(v) || !cond_time_of(json_val_str(v), &us))
		return bad(r, "is no time, such as 2026-11-28T12:00:00Z");
	x->op = OP_NUMBER;
	x->number = (double)us / 1e6;
	return OK;
}

static enum err read_div(struct reading *r, yyjson_val *o, unsigned depth, struct node *x)
{
	x->number = NAN;
	enum err e = json_want_f64(o, "by_zero_default", -1e300, 1e300, &x->number, r->et);
	e = e ? e : read_at(r, "left", 0, item_json_get(o, "left"), depth, &x->of[0]);
	return e ? e : read_at(r, "right", 0, item_json_get(o, "right"), depth, &x->of[1]);
}

static enum err read_pow(struct reading *r, yyjson_val *o, unsigned depth, struct node *x)
{
	enum err e = read_at(r, "base", 0, item_json_get(o, "base"), depth, &x->of[0]);
	return e ? e : read_at(r, "exponent", 0, item_json_get(o, "exponent"), depth, &x->of[1]);
}

/* A filter with the one condition. */
static enum err read_condition(struct reading *r, yyjson_val *v, struct node *x)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_doc *doc = NULL;
	jw_obj(&w);
	jw_key(&w, "must");
	jw_arr(&w);
	jw_val(&w, v);
	jw_end(&w);
	jw_end(&w);
	enum err e = b.err ? no_memory(r->et) : json_parse(buf_str(&b), &doc, r->et);
	buf_free(&b);
	if (!e && !arena_on_free(r->a, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		e = no_memory(r->et);
	}
	x->op = OP_COND;
	e = e ? e : collection_filter(r->k, yyjson_doc_get_root(doc), r->a, &x->cond, r->et);
	return e ? err_wrap(r->et, e, "%s", buf_c(&r->at)) : OK;
}

static const struct {
	const char *name;
	enum op op;
} operators[] = {{"sum", OP_SUM}, {"mult", OP_MULT}, {"max", OP_MAX}, {"min", OP_MIN},
	{"neg", OP_NEG}, {"abs", OP_ABS}, {"sqrt", OP_SQRT}, {"exp", OP_EXP}, {"ln", OP_LN},
	{"log10", OP_LOG10}, {"acosh", OP_ACOSH}, {"div", OP_DIV}, {"pow", OP_POW},
	{"datetime", OP_NUMBER}, {"datetime_key", OP_TIME_AT}, {"geo_distance", OP_GEO},
	{"lin_decay", OP_LIN}, {"exp_decay", OP_EXPD}, {"gauss_decay", OP_GAUSS}};

static enum err read_operator(
	struct reading *r, const char *name, yyjson_val *v, unsigned depth, struct node *x)
{
	size_t n = r->at.n;
	if (x->op >= OP_SUM && x->op <= OP_MIN)
		return read_list(r, name, v, depth, x);
	if (x->op >= OP_NEG && x->op <= OP_ACOSH)
		return read_at(r, name, 0, v, depth, &x->of[0]);
	buf_addf(&r->at, ".%s", name);
	enum err e = x->op == OP_NUMBER    ? read_time(r, v, x)
		     : x->op == OP_TIME_AT ? !yyjson_is_str(v) ? bad(r, "must be a path")
							       : read_path(r, json_val_str(v), x)
		     : !yyjson_is_obj(v) ? bad(r, "must be an object")
		     : x->op == OP_DIV     ? read_div(r, v, depth, x)
		     : x->op == OP_POW     ? read_pow(r, v, depth, x)
		     : x->op == OP_GEO     ? read_geo(r, v, x)
					   : read_decay(r, v, depth, x);
	r->at.n = n;
	if (r->at.p)
		r->at.p[n] = 0;
	return e;
}

static enum err read_object(struct reading *r, yyjson_val *v, unsigned depth, struct node *x)
{
	for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
		yyjson_val *inner = yyjson_obj_get(v, operators[i].name);
		if (!inner)
			continue;
		if (yyjson_obj_size(v) != 1)
			return bad(r, "has more than one operator");
		x->op = operators[i].op;
		return read_operator(r, operators[i].name, inner, depth, x);
	}
	return read_condition(r, v, x);
}

static enum err read_node(struct reading *r, yyjson_val *v, unsigned depth, const struct node **out)
{
	struct node *x = arena_new_of(r->a, struct node);
	if (!x || r->at.err)
		return no_memory(r->et);
	if (depth > FORMULA_DEPTH_MAX || ++r->nodes > FORMULA_NODES_MAX)
		return err_set(r->et, ERR_TOO_LARGE,
			"a formula has at most %d expressions, %d within each other",
			FORMULA_NODES_MAX, FORMULA_DEPTH_MAX);
	*x = (struct node){.op = OP_NUMBER};
	*out = x;
	if (yyjson_is_num(v)) {
		x->number = yyjson_get_num(v);
		return OK;
	}
	if (yyjson_is_str(v))
		return read_variable(r, json_val_str(v), x);
	return yyjson_is_obj(v) ? read_object(r, v, depth + 1, x)
				: bad(r, "is no expression: a number, a text or an object");
}

enum err formula_parse(struct collection *k, yyjson_val *json, yyjson_val *defaults,
	struct arena *a, const struct formula **out, struct errtext *et)
{
	struct formula *f = arena_new_of(a, struct formula);
	struct reading r = {.k = k, .a = a, .defaults = defaults, .et = et};
	buf_addc(&r.at, "formula");
	enum err e = !f      ? no_memory(et)
		     : !json ? bad(&r, "is missing")
		     : defaults && !yyjson_is_obj(defaults)
			     ? err_set(et, ERR_INVALID, "defaults must be an object")
			     : read_node(&r, json, 0, &f->root);
	buf_free(&r.at);
	if (!e)
		*out = f;
	return e;
}

/* ---- computing ---- */

struct computing {
	uint64_t key;
	yyjson_val *payload;
	const float *scores;
	size_t n_scores;
	struct errtext *et;
};

static enum err compute(struct computing *c, const struct node *x, double *out);

/* Only one value counts: of several none is meant. */
struct single {
	yyjson_val *v;
	size_t n;
};

static bool note_value(void *ctx, yyjson_val *v)
{
	struct single *s = ctx;
	s->v = v;
	return ++s->n < 2;
}

static yyjson_val *only_of(yyjson_val *v)
{
	return yyjson_is_arr(v) && yyjson_arr_size(v) == 1 ? yyjson_arr_get_first(v) : v;
}

/* What the payload has at the path, or the default has. */
static enum err value_at(
	struct computing *c, const struct node *x, const char *kind, yyjson_val **out)
{
	struct single s = {0};
	payload_values(c->payload, x->path, note_value, &s);
	*out = s.n == 1 ? s.v : s.n ? NULL : only_of(x->fallback);
	if (s.n || (*out && !(yyjson_is_arr(*out) && !yyjson_arr_size(*out))))
		return OK;
	return err_set(c->et, ERR_INVALID,
		"the payload has no %s at %.*s, and the formula no default for it", kind,
		STR_FMT(str_sub(x->key, 0, 100)));
}

static enum err not_a(struct computing *c, const struct node *x, const char *kind)
{
	return err_set(c->et, ERR_INVALID, "what stands at %.*s (or its default) is no %s",
		STR_FMT(str_sub(x->key, 0, 100)), kind);
}

static enum err number_at(struct computing *c, const struct node *x, double *out)
{
	yyjson_val *v;
	enum err e = value_at(c, x, "number", &v);
	if (e || !yyjson_is_num(v))
		return e ? e : not_a(c, x, "number");
	*out = yyjson_get_num(v);
	return OK;
}

static enum err time_at(struct computing *c, const struct node *x, double *out)
{
	yyjson_val *v;
	int64_t us;
	enum err e = value_at(c, x, "time", &v);
	if (e || !yyjson_is_str(v) || !cond_time_of(json_val_str(v), &us))
		return e ? e : not_a(c, x, "time");
	*out = (double)us / 1e6;
	return OK;
}

/* By the haversine formula, on a sphere with the mean radius of the earth (IUGG). */
static double metres(double lat1, double lon1, double lat2, double lon2)
{
	static const double radius = 6371008.8, rad = M_PI / 180;
	double a = sin((lat2 - lat1) * rad / 2), b = sin((lon2 - lon1) * rad / 2);
	double h = a * a + cos(lat1 * rad) * cos(lat2 * rad) * b * b;
	return 2 * radius * asin(sqrt(MIN(h, 1.0)));
}

static enum err geo_at(struct computing *c, const struct node *x, double *out)
{
	yyjson_val *v;
	enum err e = value_at(c, x, "place", &v);
	if (e)
		return e;
	if (!yyjson_is_num(yyjson_obj_get(v, "lat")) || !yyjson_is_num(yyjson_obj_get(v, "lon")))
		return not_a(c, x, "place ({lat, lon})");
	*out = metres(x->lat, x->lon, json_f64(v, "lat", 0), json_f64(v, "lon", 0));
	return OK;
}

static enum err score_at(struct computing *c, const struct node *x, double *out)
{
	yyjson_val *v = only_of(x->fallback);
	if (x->score < c->n_scores && !isnan(c->scores[x->score]))
		*out = (double)c->scores[x->score];
	else if (v && !yyjson_is_num(v))
		return not_a(c, x, "number");
	else
		*out = v ? yyjson_get_num(v) : 0;
	return OK;
}

static enum err compute_list(struct computing *c, const struct node *x, double *out)
{
	double v, all = x->op == OP_MULT  ? 1
			: x->op == OP_MAX ? -INFINITY
			: x->op == OP_MIN ? INFINITY
					  : 0;
	for (size_t i = 0; i < x->n; i++) {
		enum err e = compute(c, x->list[i], &v);
		if (e)
			return e;
		all = x->op == OP_SUM    ? all + v
		      : x->op == OP_MULT ? all * v
		      : x->op == OP_MAX  ? MAX(all, v)
					 : MIN(all, v);
		if (x->op == OP_MULT && v == 0) {
			*out = v;
			return OK;
		}
	}
	*out = all;
	return OK;
}

static enum err compute_decay(struct computing *c, const struct node *x, double *out)
{
	double v, target = 0;
	enum err e = compute(c, x->of[0], &v);
	e = e || !x->of[1] ? e : compute(c, x->of[1], &target);
	if (e)
		return e;
	double far = fabs(v - target);
	*out = x->op == OP_LIN    ? fmax(0, 1 - (1 - x->midpoint) / x->scale * far)
	       : x->op == OP_EXPD ? exp(log(x->midpoint) / x->scale * far)
				  : exp(log(x->midpoint) / (x->scale * x->scale) * far * far);
	return OK;
}

static enum err finite_only(
	struct computing *c, const char *what, double a, double result, double *out)
{
	*out = result;
	return isfinite(result)
		       ? OK
		       : err_set(c->et, ERR_INVALID, "%s of %g is no finite number", what, a);
}

static enum err compute_two(struct computing *c, const struct node *x, double *out)
{
	double a, b;
	enum err e = compute(c, x->of[0], &a);
	if (e || (x->op == OP_DIV && a == 0)) {
		*out = a;
		return e;
	}
	e = compute(c, x->of[1], &b);
	if (e)
		return e;
	if (x->op == OP_POW)
		return finite_only(c, "a power", a, pow(a, b), out);
	if (b == 0 && !isnan(x->number)) {
		*out = x->number;
		return OK;
	}
	return finite_only(c, "a quotient", a, a / b, out);
}

static enum err compute_one(struct computing *c, const struct node *x, double *out)
{
	double v;
	enum err e = compute(c, x->of[0], &v);
	if (e)
		return e;
	switch (x->op) {
	case OP_NEG:
		*out = -v;
		return OK;
	case OP_ABS:
		*out = fabs(v);
		return OK;
	case OP_SQRT:
		return finite_only(c, "the root", v, sqrt(v), out);
	case OP_EXP:
		return finite_only(c, "exp", v, exp(v), out);
	case OP_LN:
		return finite_only(c, "ln", v, log(v), out);
	case OP_LOG10:
		return finite_only(c, "log10", v, log10(v), out);
	default:
		return finite_only(c, "acosh", v, acosh(v), out);
	}
}

static enum err compute(struct computing *c, const struct node *x, double *out)
{
	switch (x->op) {
	case OP_NUMBER:
		*out = x->number;
		return OK;
	case OP_SCORE:
		return score_at(c, x, out);
	case OP_PATH:
		return number_at(c, x, out);
	case OP_COND:
		*out = cond_matches(x->cond, c->key, c->payload);
		return OK;
	case OP_SUM:
	case OP_MULT:
	case OP_MAX:
	case OP_MIN:
		return compute_list(c, x, out);
	case OP_DIV:
	case OP_POW:
		return compute_two(c, x, out);
	case OP_TIME_AT:
		return time_at(c, x, out);
	case OP_GEO:
		return geo_at(c, x, out);
	case OP_LIN:
	case OP_EXPD:
	case OP_GAUSS:
		return compute_decay(c, x, out);
	default:
		return compute_one(c, x, out);
	}
}

enum err formula_value(const struct formula *f, uint64_t key, yyjson_val *payload,
	const float *scores, size_t n_scores, float *out, struct errtext *et)
{
	struct computing c = {key, payload, scores, n_scores, et};
	double v;
	enum err e = compute(&c, f->root, &v);
	if (e)
		return e;
	if (!isfinite((float)v))
		return err_set(et, ERR_INVALID, "the formula gives %g, which is no score", v);
	*out = (float)v;
	return OK;
}

/* ---- for all hits ---- */

/* Each item once, in the order in which they came, with its score in each list. */
struct gathered {
	struct item_hit *hits;
	float *scores; /* [n][n_lists] */
	size_t n;
};

static enum err gather_hits(const struct hit_list *lists, size_t n_lists, struct arena *a,
	struct gathered *g, struct errtext *et)
{
	size_t all = 0;
	struct map seen = {0};
	for (size_t i = 0; i < n_lists; i++)
		all += lists[i].n;
	g->hits = arena_array_of(a, all + 1, struct item_hit);
	g->scores = arena_array_of(a, (all + 1) * MAX(n_lists, 1), float);
	enum err e = g->hits && g->scores ? OK : no_memory(et);
	for (size_t i = 0; i < n_lists && !e; i++)
		for (size_t j = 0; j < lists[i].n && !e; j++) {
			const struct item_hit *h = &lists[i].hits[j];
			struct str key = str_mk(&h->key, sizeof h->key);
			float *known = map_get(&seen, key);
			if (!known) {
				known = &g->scores[g->n * n_lists];
				for (size_t l = 0; l < n_lists; l++)
					known[l] = NAN;
				g->hits[g->n++] = (struct item_hit){.key = h->key};
				e = map_put(&seen, key, known) ? OK : no_memory(et);
			}
			known[i] = h->score;
		}
	map_free(&seen);
	return e;
}

static enum err score_hit(const struct formula *f, struct item_hit *h, const float *scores,
	size_t n_lists, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = json_parse(h->item.payload.n ? h->item.payload : S("{}"), &doc, et);
	if (e)
		return e;
	e = formula_value(f, h->key, yyjson_doc_get_root(doc), scores, n_lists, &h->score, et);
	yyjson_doc_free(doc);
	if (e) {
		struct buf id = {0};
		item_id_text(item_id_bytes(&h->item.id), &id);
		e = err_wrap(et, e, "the item %s", buf_c(&id));
		buf_free(&id);
	}
	return e;
}

struct ranked {
	struct item_hit hit;
	size_t came;
};

static int best_first(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->hit.score != y->hit.score)
		return x->hit.score > y->hit.score ? -1 : 1;
	return (x->came > y->came) - (x->came < y->came);
}

/* A few at a time: payloads are as large as they are. */
static enum err score_all(struct collection *k, const struct formula *f, struct gathered *g,
	size_t n_lists, struct ranked *to, size_t *n, float worst, const struct cancel *cancel,
	struct errtext *et)
{
	enum { AT_ONCE = 64 };
	enum err e = OK;
	for (size_t at = 0; at < g->n && !e; at += AT_ONCE) {
		size_t part = MIN(g->n - at, (size_t)AT_ONCE), there = part;
		struct arena *a = arena_new(0);
		struct item_hit *hits = a ? arena_array_of(a, part, struct item_hit) : NULL;
		if (!hits) {
			arena_free(a);
			return no_memory(et);
		}
		memcpy(hits, g->hits + at, part * sizeof *hits);
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "a search was cancelled")
				      : collection_fill(k, hits, &there,
						(struct item_want){.payload = true}, a, et);
		for (size_t i = 0, j = 0; i < there && !e; i++, j++) {
			while (g->hits[at + j].key != hits[i].key) /* one has gone */
				j++;
			e = score_hit(f, &hits[i], &g->scores[(at + j) * n_lists], n_lists, et);
			if (!e && (isnan(worst) || hits[i].score >= worst))
				to[(*n)++] = (struct ranked){
					{.key = hits[i].key, .score = hits[i].score}, at + j};
		}
		arena_free(a);
	}
	return e;
}

enum err formula_rescore(struct collection *k, const struct formula *f,
	const struct hit_list *lists, size_t n_lists, float worst, size_t max,
	const struct cancel *cancel, struct arena *a, struct hit_list *out, struct errtext *et)
{
	struct gathered g = {0};
	size_t n = 0;
	enum err e = gather_hits(lists, n_lists, a, &g, et);
	struct ranked *ranked = malloc((g.n + 1) * sizeof *ranked);
	if (!e && !ranked)
		e = no_memory(et);
	e = e ? e : score_all(k, f, &g, n_lists, ranked, &n, worst, cancel, et);
	if (!e && n)
		qsort(ranked, n, sizeof *ranked, best_first);
	for (size_t i = 0; i < MIN(n, max) && !e; i++)
		g.hits[i] = ranked[i].hit;
	free(ranked);
	if (!e)
		*out = (struct hit_list){g.hits, MIN(n, max), 1};
	return e;
}
