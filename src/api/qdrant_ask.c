/* Qdrant: queries. One may stand on others (prefetch): fused with each other, or as what is looked
 * for among. A query is read once (prepare) and then carried out, by groups several times. */
#include "api/qdrant.h"
#include "collection/formula.h"
#include "collection/sample.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>

enum { DEPTH_MAX = 8, PREFETCH_MAX = 32, EXAMPLES_MAX = 1000 };

/* A query being answered. */
struct asking {
	struct qd *q;
	struct collection *k;
	yyjson_val *o;
	unsigned depth;
	bool many; /* the prefetches give as many as they can: groups are made of them */
	struct item_query query;
	size_t offset, limit;
	struct item_id *left_out; /* points that the query itself names */
	size_t n_left_out;
	struct hit_list *sources; /* of the prefetches */
	size_t n_sources;
	enum {
		ASK_NEAREST,
		ASK_DIVERSE,
		ASK_RRF,
		ASK_DBSF,
		ASK_FORMULA,
		ASK_IDS,
		ASK_ORDER,
		ASK_SAMPLE,
		ASK_EXAMPLES
	} kind;
	const struct formula *formula;
	struct collection *lookup; /* where points that the query names are; NULL: here */
	struct str lookup_space;
	struct example_query examples;
	double diversity;
	size_t candidates;
	float rrf_k;
	struct item_order order;
	struct hit_list out;
	struct cond_number *order_values; /* of the hits; NULL: there are none */
};

static enum err no_memory(struct asking *x)
{
	return err_set(&x->q->et, ERR_NOMEM, "no memory for a query");
}

static struct arena *arena_of(struct asking *x)
{
	return x->q->rq->arena;
}

/* ---- how many, how well ---- */

static enum err parse_limits(struct asking *x)
{
	struct errtext *et = &x->q->et;
	yyjson_val *params = item_json_get(x->o, "params");
	int64_t limit = 10, offset = 0, ef = 0;
	double worst = NAN;
	enum err e = json_want_i64(x->o, "limit", 1, COLLECTION_K_MAX, &limit, et);
	e = e ? e : json_want_i64(x->o, "offset", 0, COLLECTION_K_MAX, &offset, et);
	e = e ? e : json_want_f64(x->o, "score_threshold", -1e30, 1e30, &worst, et);
	e = e ? e : json_want_i64(params, "hnsw_ef", 0, COLLECTION_K_MAX, &ef, et);
	e = e ? e : json_want_bool(params, "exact", &x->query.exact, et);
	if (!e && limit + offset > COLLECTION_K_MAX)
		e = err_set(et, ERR_INVALID, "limit and offset together can be at most %d",
			COLLECTION_K_MAX);
	x->offset = (size_t)offset;
	x->limit = (size_t)limit;
	x->query.worst = (float)worst;
	x->query.ef = (uint32_t)ef;
	x->query.cancel = x->q->rq->cancel;
	return e;
}

/* ---- what is looked for ---- */

static enum err leave_out(struct asking *x, const struct item_id *id)
{
	if (!x->left_out)
		x->left_out = arena_array_of(arena_of(x), 2 * EXAMPLES_MAX + 1, struct item_id);
	if (!x->left_out)
		return no_memory(x);
	x->left_out[x->n_left_out++] = *id;
	return OK;
}

/* The vector of a point, which will not be among the hits. */
static enum err vector_of_point(struct asking *x, yyjson_val *v, struct item_vector *out)
{
	struct item_id id;
	enum err e = item_json_id(v, &id, &x->q->et);
	e = e ? e
	      : collection_vector(x->lookup ? x->lookup : x->k, &id,
			x->lookup ? x->lookup_space : x->query.space, arena_of(x), out, &x->q->et);
	if (!e && x->lookup && x->lookup != x->k) {
		out->space = x->query.space;
		return OK;
	}
	return e ? e : leave_out(x, &id);
}

/* {collection, vector}: vectors of points are taken from there. Closed after the parsing. */
static enum err open_lookup(struct asking *x)
{
	yyjson_val *from = item_json_get(x->o, "lookup_from");
	struct str name = json_str(from, "collection"), space = json_str(from, "vector");
	if (!from)
		return OK;
	x->lookup_space = space.n ? space : x->query.space;
	return name.n ? collection_open(x->q->c, project_of(x->q->rq), name, &x->lookup,
				x->q->rq->cancel, &x->q->et)
		      : err_set(&x->q->et, ERR_INVALID,
				"lookup_from.collection (a text) is missing");
}

/* {"text", "model"}: embedded by the space's own model. */
static enum err vector_of_text(struct asking *x, yyjson_val *v, struct item_vector *out)
{
	const struct space *s = collection_space(x->k, x->query.space);
	struct str text = json_str(v, "text"), model = json_str(v, "model");
	float *f = s ? arena_array_of(arena_of(x), s->dim, float) : NULL;
	if (!s)
		return err_set(&x->q->et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(x->query.space, 0, 100)));
	if (!f)
		return no_memory(x);
	if (model.n && s->model.n && !str_eq(model, s->model))
		return err_set(&x->q->et, ERR_INVALID,
			"the vectors were made by %.*s: a text embedded by %.*s cannot be compared "
			"with them",
			STR_FMT(s->model), STR_FMT(str_sub(model, 0, 100)));
	*out = (struct item_vector){.space = s->name, .v = f, .dim = s->dim};
	x->query.text = text;
	return collection_embed(x->k, s, &text, 1, f, x->query.cancel, &x->q->et);
}

static enum err vector_of(struct asking *x, yyjson_val *v, struct item_vector *out)
{
	*out = (struct item_vector){.space = x->query.space};
	if (yyjson_is_uint(v) || yyjson_is_str(v))
		return vector_of_point(x, v, out);
	if (yyjson_is_str(yyjson_obj_get(v, "text")))
		return vector_of_text(x, v, out);
	return item_json_vector(v, arena_of(x), out, &x->q->et);
}

static void look_for(struct asking *x, const struct item_vector *v)
{
	x->query.vector = v->v;
	x->query.dim = v->dim;
	x->query.at = v->at;
	x->query.rows = v->rows;
}

/* ---- examples ---- */

static enum err examples_of(struct asking *x, yyjson_val *list, struct item_vector **out, size_t *n)
{
	yyjson_val *v;
	size_t i, count = yyjson_is_arr(list) ? yyjson_arr_size(list) : list ? 1 : 0, max;
	enum err e = OK;
	if (count > EXAMPLES_MAX)
		return err_set(
			&x->q->et, ERR_TOO_LARGE, "at most %d examples of a kind", EXAMPLES_MAX);
	*out = arena_array_of(arena_of(x), count + 1, struct item_vector);
	*n = count;
	if (!*out)
		return no_memory(x);
	if (!yyjson_is_arr(list))
		return list ? vector_of(x, list, *out) : OK;
	yyjson_arr_foreach(list, i, max, v)
	{
		e = e ? e : vector_of(x, v, &(*out)[i]);
	}
	return e;
}

/* Each of the examples for itself. */
static enum err by_examples(struct asking *x, const struct qd_examples *ex, enum examples_by by,
	const struct item_vector *target)
{
	x->kind = ASK_EXAMPLES;
	x->examples = (struct example_query){.by = by,
		.positive = ex->positive,
		.negative = ex->negative,
		.n_positive = ex->n_positive,
		.n_negative = ex->n_negative,
		.target = target};
	if (!ex->n_positive && !ex->n_negative && !target)
		return err_set(&x->q->et, ERR_INVALID, "examples are missing");
	enum err e = qd_examples_check(x->q, x->k, ex);
	return e || !target ? e : collection_vector_fits(x->k, ex->space, target, &x->q->et);
}

/* {positive, negative}, or a list of them. */
static enum err pairs_of(struct asking *x, yyjson_val *list, struct qd_examples *ex)
{
	yyjson_val *v;
	size_t i, n = yyjson_is_arr(list) ? yyjson_arr_size(list) : list ? 1 : 0, max;
	enum err e = OK;
	if (n > EXAMPLES_MAX)
		return err_set(&x->q->et, ERR_TOO_LARGE, "at most %d pairs", EXAMPLES_MAX);
	ex->positive = arena_array_of(arena_of(x), n + 1, struct item_vector);
	ex->negative = arena_array_of(arena_of(x), n + 1, struct item_vector);
	if (!ex->positive || !ex->negative)
		return no_memory(x);
	ex->n_positive = ex->n_negative = n;
	if (n && !yyjson_is_arr(list)) {
		e = vector_of(x, yyjson_obj_get(list, "positive"), ex->positive);
		return e ? e : vector_of(x, yyjson_obj_get(list, "negative"), ex->negative);
	}
	yyjson_arr_foreach(list, i, max, v)
	{
		e = e ? e : vector_of(x, yyjson_obj_get(v, "positive"), &ex->positive[i]);
		e = e ? e : vector_of(x, yyjson_obj_get(v, "negative"), &ex->negative[i]);
	}
	return e;
}

/* {target, context}, or a context alone. */
static enum err discover(struct asking *x, yyjson_val *target, yyjson_val *context)
{
	struct qd_examples ex = {.space = collection_space(x->k, x->query.space)};
	struct item_vector *v = arena_array_of(arena_of(x), 1, struct item_vector);
	if (!ex.space)
		return err_set(&x->q->et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(x->query.space, 0, 100)));
	if (!v)
		return no_memory(x);
	enum err e = pairs_of(x, context, &ex);
	e = e || !target ? e : vector_of(x, target, v);
	return e ? e
		 : by_examples(x, &ex, target ? EXAMPLES_DISCOVER : EXAMPLES_CONTEXT,
			   target ? v : NULL);
}

static enum err recommend(struct asking *x, yyjson_val *r)
{
	struct qd_examples ex = {.space = collection_space(x->k, x->query.space)};
	struct item_vector mean;
	struct str strategy = json_str(r, "strategy");
	enum err e = examples_of(x, item_json_get(r, "positive"), &ex.positive, &ex.n_positive);
	e = e ? e : examples_of(x, item_json_get(r, "negative"), &ex.negative, &ex.n_negative);
	if (!e && !ex.space)
		e = err_set(&x->q->et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(x->query.space, 0, 100)));
	bool best = str_eq_c(strategy, "best_score"), sum = str_eq_c(strategy, "sum_scores");
	if (!e && strategy.n && !best && !sum && !str_eq_c(strategy, "average_vector"))
		e = err_set(&x->q->et, ERR_INVALID,
			"the strategy %.*s is not supported: average_vector, best_score and "
			"sum_scores are",
			STR_FMT(str_sub(strategy, 0, 40)));
	if (!e && (best || sum))
		return by_examples(x, &ex, best ? EXAMPLES_BEST : EXAMPLES_SUM, NULL);
	e = e ? e : qd_examples_mean(x->q, x->k, &ex, &mean);
	if (e)
		return e;
	look_for(x, &mean);
	x->query.text = S(""); /* a mean is of none */
	x->query.like = NULL;
	return OK;
}

/* ---- feedback ---- */

/* Each pair of examples of which one was judged better adds c * (difference of the judgements)^b
 * times the difference of an item's scores: a sum of scores with weights. */
static void weigh(const double *judged, size_t n, double b, double c, float *weights)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			if (!(judged[i] > judged[j]))
				continue;
			double w = c * pow(judged[i] - judged[j], b);
			weights[i] += (float)w;
			weights[j] -= (float)w;
		}
}

static enum err read_judged(
	struct asking *x, yyjson_val *list, struct item_vector *v, double *judged)
{
	yyjson_val *o;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, o)
	{
		enum err e =
			yyjson_is_num(yyjson_obj_get(o, "score"))
				? vector_of(x, yyjson_obj_get(o, "example"), &v[i])
				: err_set(&x->q->et, ERR_INVALID, "score (a number) is missing");
		if (e)
			return err_wrap(&x->q->et, e, "relevance_feedback.feedback[%zu]", i);
		judged[i] = yyjson_get_num(yyjson_obj_get(o, "score"));
	}
	return OK;
}

/* {target, feedback: [{example, score}], strategy: {naive: {a, b, c}}} */
static enum err feedback(struct asking *x, yyjson_val *r)
{
	yyjson_val *list = item_json_get(r, "feedback");
	yyjson_val *naive = item_json_get(item_json_get(r, "strategy"), "naive");
	size_t n = yyjson_arr_size(list);
	struct errtext *et = &x->q->et;
	struct qd_examples ex = {.space = collection_space(x->k, x->query.space)};
	double a = 0, b = 0, c = 0;
	if (!ex.space)
		return err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(x->query.space, 0, 100)));
	if (!yyjson_is_arr(list) || n > EXAMPLES_MAX)
		return err_set(et, ERR_INVALID,
			"relevance_feedback.feedback must be a list of at most %d", EXAMPLES_MAX);
	if (!naive || !item_json_get(naive, "a") || !item_json_get(naive, "b") ||
		!item_json_get(naive, "c"))
		return err_set(et, ERR_INVALID,
			"relevance_feedback.strategy must be {naive: {a, b, c}}: no other is "
			"supported");
	enum err e = json_want_f64(naive, "a", -1e30, 1e30, &a, et);
	e = e ? e : json_want_f64(naive, "b", -1e30, 1e30, &b, et);
	e = e ? e : json_want_f64(naive, "c", -1e30, 1e30, &c, et);
	ex.positive = arena_array_of(arena_of(x), n + 1, struct item_vector);
	double *judged = arena_array_of(arena_of(x), n + 1, double);
	float *weights = arena_array_of(arena_of(x), n + 1, float);
	if (!ex.positive || !judged || !weights)
		return no_memory(x);
	memset(weights, 0, (n + 1) * sizeof *weights);
	e = e ? e : vector_of(x, item_json_get(r, "target"), &ex.positive[n]);
	e = e ? e : read_judged(x, list, ex.positive, judged);
	if (e)
		return e;
	weigh(judged, n, b, c, weights);
	weights[n] = (float)a;
	ex.n_positive = n + 1;
	e = by_examples(x, &ex, EXAMPLES_WEIGHTED, NULL);
	x->examples.weights = weights;
	return e;
}

/* ---- hits ---- */

/* Of the query's own filter, one of the caller's, and what the prefetches found. */
static enum err whole_filter(struct asking *x, const struct cond *also, const struct cond **out)
{
	return collection_both(x->query.filter, also, arena_of(x), out, &x->q->et);
}

static int by_key(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Only what the prefetches found. */
static enum err only_sources(struct asking *x)
{
	size_t n = 0;
	for (size_t i = 0; i < x->n_sources; i++)
		n += x->sources[i].n;
	uint64_t *keys = arena_array_of(arena_of(x), n + 1, uint64_t);
	struct cond *c = arena_array_of(arena_of(x), 1, struct cond);
	if (!keys || !c)
		return no_memory(x);
	*c = (struct cond){.kind = COND_ID, .ids = keys};
	for (size_t i = 0; i < x->n_sources; i++)
		for (size_t j = 0; j < x->sources[i].n; j++)
			keys[c->n_ids++] = x->sources[i].hits[j].key;
	qsort(keys, c->n_ids, sizeof *keys, by_key);
	return whole_filter(x, c, &x->query.filter);
}

static enum err nearest(struct asking *x, const struct cond *also, size_t want)
{
	struct item_query q = x->query;
	struct item_hit *hits;
	size_t n;
	q.k = want;
	q.without = x->left_out;
	q.n_without = x->n_left_out;
	if (x->n_sources)
		q.text = S("");
	enum err e = whole_filter(x, also, &q.filter);
	e = e ? e : collection_query(x->k, &q, arena_of(x), &hits, &n, NULL, &x->q->et);
	if (!e)
		x->out = (struct hit_list){hits, n, 1};
	return e;
}

static enum err nearest_to_examples(struct asking *x, const struct cond *also, size_t want)
{
	struct example_query q = x->examples;
	struct item_hit *hits;
	size_t n;
	q.base = x->query;
	q.base.k = want;
	q.base.without = x->left_out;
	q.base.n_without = x->n_left_out;
	enum err e = whole_filter(x, also, &q.base.filter);
	e = e ? e : collection_query_examples(x->k, &q, arena_of(x), &hits, &n, &x->q->et);
	if (!e)
		x->out = (struct hit_list){hits, n, 1};
	return e;
}

static enum err diverse(struct asking *x, const struct cond *also, size_t want)
{
	x->query.want.vectors = true;
	enum err e = nearest(x, also, MAX(x->candidates, want));
	return e ? e
		 : rank_diverse(collection_space(x->k, x->query.space), x->query.vector,
			   (float)(1 - x->diversity), want, &x->out, &x->q->et);
}

static enum err parse_diverse(struct asking *x, yyjson_val *mmr)
{
	const struct space *s = collection_space(x->k, x->query.space);
	if (s && s->kind)
		return err_set(&x->q->et, ERR_UNSUPPORTED,
			"mmr is there for plain vectors only, not for \"%.*s\"", STR_FMT(s->name));
	int64_t candidates = (int64_t)(x->limit + x->offset);
	x->diversity = 0.5;
	x->kind = ASK_DIVERSE;
	enum err e = json_want_f64(mmr, "diversity", 0, 1, &x->diversity, &x->q->et);
	e = e ? e
	      : json_want_i64(mmr, "candidates_limit", 1, COLLECTION_K_MAX, &candidates, &x->q->et);
	x->candidates = (size_t)candidates;
	return e;
}

/* ---- without a vector ---- */

/* Items as hits; what is wanted of them is read in the end. */
static enum err to_hits(struct asking *x, struct collection_item *items, size_t n)
{
	struct item_hit *hits = arena_array_of(arena_of(x), n + 1, struct item_hit);
	if (!hits)
		return no_memory(x);
	for (size_t i = 0; i < n; i++)
		hits[i] = (struct item_hit){.key = items[i].key, .item = items[i], .score = 1};
	x->out = (struct hit_list){hits, n, 1};
	return OK;
}

static enum err in_order_of_ids(struct asking *x, const struct cond *also, size_t want)
{
	const struct cond *filter;
	struct collection_item *items;
	size_t n;
	enum err e = whole_filter(x, also, &filter);
	e = e ? e
	      : collection_scroll(x->k, filter, NULL, want, (struct item_want){false}, arena_of(x),
			&items, &n, &x->q->et);
	return e ? e : to_hits(x, items, n);
}

static enum err in_order_of_field(struct asking *x, const struct cond *also, size_t want)
{
	const struct cond *filter;
	struct collection_item *items;
	size_t n;
	enum err e = whole_filter(x, also, &filter);
	e = e ? e
	      : collection_ordered(x->k, &x->order, filter, want, (struct item_want){false},
			arena_of(x), &items, &x->order_values, &n, &x->q->et);
	return e ? e : to_hits(x, items, n);
}

static enum err by_chance(struct asking *x, const struct cond *also, size_t want)
{
	const struct cond *filter;
	struct item_hit *hits;
	size_t n;
	enum err e = whole_filter(x, also, &filter);
	e = e ? e
	      : collection_sample(
			x->k, filter, want, x->query.cancel, arena_of(x), &hits, &n, &x->q->et);
	if (!e)
		x->out = (struct hit_list){hits, n, 1};
	return e;
}

/* ---- fusion ---- */

static enum err parse_weights(struct asking *x, yyjson_val *weights)
{
	yyjson_val *v;
	size_t i, n;
	if (!weights)
		return OK;
	if (yyjson_arr_size(weights) != x->n_sources)
		return err_set(&x->q->et, ERR_INVALID,
			"weights must be a list of %zu numbers, one for each prefetch",
			x->n_sources);
	yyjson_arr_foreach(weights, i, n, v)
	{
		if (!yyjson_is_num(v))
			return err_set(&x->q->et, ERR_INVALID, "weight %zu is no number", i);
		x->sources[i].weight = (float)yyjson_get_num(v);
	}
	return OK;
}

static enum err parse_fusion(struct asking *x, struct str kind, yyjson_val *rrf)
{
	int64_t k = 2;
	if (!x->n_sources)
		return err_set(
			&x->q->et, ERR_INVALID, "fusion needs prefetch: what is to be fused");
	if (!rrf && !str_eq_c(kind, "rrf") && !str_eq_c(kind, "dbsf"))
		return err_set(&x->q->et, ERR_INVALID, "fusion must be rrf or dbsf");
	enum err e = json_want_i64(rrf, "k", 1, 1 << 20, &k, &x->q->et);
	e = e ? e : parse_weights(x, item_json_get(rrf, "weights"));
	x->kind = rrf || str_eq_c(kind, "rrf") ? ASK_RRF : ASK_DBSF;
	x->rrf_k = (float)k;
	return e;
}

static enum err fuse(struct asking *x, size_t want)
{
	size_t kept = 0;
	enum err e = x->kind == ASK_RRF ? rank_reciprocal(x->sources, x->n_sources, x->rrf_k,
						  arena_of(x), &x->out, &x->q->et)
					: rank_scores(x->sources, x->n_sources, arena_of(x),
						  &x->out, &x->q->et);
	for (size_t i = 0; !e && i < x->out.n && kept < want; i++)
		if (isnan(x->query.worst) || x->out.hits[i].score >= x->query.worst)
			x->out.hits[kept++] = x->out.hits[i];
	x->out.n = e ? 0 : kept;
	return e;
}

/* {formula, defaults}: scores of what the prefetches found, computed anew. */
static enum err parse_formula(struct asking *x, yyjson_val *v)
{
	if (!x->n_sources)
		return err_set(
			&x->q->et, ERR_INVALID, "a formula needs prefetch: what its scores are of");
	x->kind = ASK_FORMULA;
	return formula_parse(x->k, item_json_get(v, "formula"), item_json_get(v, "defaults"),
		arena_of(x), &x->formula, &x->q->et);
}

/* ---- one query ---- */

static enum err prepare(struct asking *x);
static enum err carry_out(struct asking *x, const struct cond *also, size_t want);

/* What filters the outer query filters the inner one too, so that its limit is of what matches. */
static enum err prefetch_one(struct asking *x, yyjson_val *o, struct hit_list *out)
{
	struct asking inner = {.q = x->q,
		.k = x->k,
		.o = o,
		.depth = x->depth + 1,
		.many = x->many,
		.query = {.filter = x->query.filter}};
	enum err e = prepare(&inner);
	size_t limit = x->many ? (size_t)COLLECTION_K_MAX - inner.offset : inner.limit;
	e = e ? e : carry_out(&inner, NULL, inner.offset + limit);
	size_t skip = MIN(inner.offset, inner.out.n);
	*out = (struct hit_list){inner.out.hits + skip, inner.out.n - skip, 1};
	return e;
}

static enum err prefetch(struct asking *x)
{
	yyjson_val *list = item_json_get(x->o, "prefetch"), *o;
	size_t i, max, n = yyjson_is_arr(list) ? yyjson_arr_size(list) : list ? 1 : 0;
	enum err e = OK;
	if (n > PREFETCH_MAX || x->depth > DEPTH_MAX)
		return err_set(&x->q->et, ERR_LIMIT,
			"at most %d prefetches of one query, %d within each other", PREFETCH_MAX,
			DEPTH_MAX);
	x->sources = arena_array_of(arena_of(x), n + 1, struct hit_list);
	if (!x->sources)
		return no_memory(x);
	if (yyjson_is_arr(list)) {
		yyjson_arr_foreach(list, i, max, o)
		{
			e = e ? e : prefetch_one(x, o, &x->sources[i]);
		}
	} else if (list) {
		e = prefetch_one(x, list, &x->sources[0]);
	}
	x->n_sources = n;
	return e;
}

static enum err parse_kind(struct asking *x)
{
	yyjson_val *v = item_json_get(x->o, "query"), *inner = item_json_get(v, "nearest");
	yyjson_val *examples = item_json_get(v, "recommend"), *rrf = item_json_get(v, "rrf");
	yyjson_val *mmr = item_json_get(v, "mmr"), *order = item_json_get(v, "order_by");
	struct str fusion = json_str(v, "fusion");
	if (fusion.n || rrf)
		return parse_fusion(x, fusion, rrf);
	if (item_json_get(v, "formula"))
		return parse_formula(x, v);
	enum err e = x->n_sources ? only_sources(x) : OK;
	if (e || !v) {
		x->kind = ASK_IDS;
		return e;
	}
	if (order) {
		x->kind = ASK_ORDER;
		return qd_order_by(x->q, order, &x->order);
	}
	if (item_json_get(v, "sample")) {
		x->kind = ASK_SAMPLE;
		return str_eq_c(json_str(v, "sample"), "random")
			       ? OK
			       : err_set(&x->q->et, ERR_INVALID, "sample must be random");
	}
	if (item_json_get(v, "relevance_feedback"))
		return feedback(x, item_json_get(v, "relevance_feedback"));
	yyjson_val *found = item_json_get(v, "discover"), *context = item_json_get(v, "context");
	if (found || context)
		return discover(x, item_json_get(found, "target"),
			found ? item_json_get(found, "context") : context);
	if (yyjson_is_obj(v) && !inner && !examples && !json_str(v, "text").n &&
		!yyjson_obj_get(v, "indices"))
		return err_set(&x->q->et, ERR_INVALID,
			"query must be a vector, the id of a point, a text, or an object with "
			"nearest, recommend, discover, context, fusion, rrf, formula, sample, "
			"relevance_feedback or order_by: other kinds are not supported here");
	struct item_vector sought;
	e = examples ? recommend(x, examples) : vector_of(x, inner ? inner : v, &sought);
	if (!e && !examples)
		look_for(x, &sought);
	return e || !mmr ? e : parse_diverse(x, mmr);
}

static enum err prepare(struct asking *x)
{
	static const char *const no[] = {"shard_key", NULL};
	const struct cond *own = NULL;
	enum err e = item_json_refuse(x->o, no, "", &x->q->et);
	x->query.space = json_str(x->o, "using");
	e = e ? e : parse_limits(x);
	e = e ? e
	      : collection_filter(
			x->k, item_json_get(x->o, "filter"), arena_of(x), &own, &x->q->et);
	e = e ? e : whole_filter(x, own, &x->query.filter);
	e = e ? e : prefetch(x);
	e = e ? e : open_lookup(x);
	e = e ? e : parse_kind(x);
	collection_close(x->lookup);
	return e;
}

static enum err carry_out(struct asking *x, const struct cond *also, size_t want)
{
	switch (x->kind) {
	case ASK_DIVERSE:
		return diverse(x, also, want);
	case ASK_RRF:
	case ASK_DBSF:
		return fuse(x, want);
	case ASK_FORMULA:
		return formula_rescore(x->k, x->formula, x->sources, x->n_sources, x->query.worst,
			want, x->query.cancel, arena_of(x), &x->out, &x->q->et);
	case ASK_SAMPLE:
		return by_chance(x, also, want);
	case ASK_EXAMPLES:
		return nearest_to_examples(x, also, want);
	case ASK_IDS:
		return in_order_of_ids(x, also, want);
	case ASK_ORDER:
		return in_order_of_field(x, also, want);
	default:
		return nearest(x, also, want);
	}
}

/* The hits from the offset on, with what is wanted of them. */
static enum err finish(struct asking *x, struct qd_asked *out)
{
	struct item_want want;
	size_t skip = MIN(x->offset, x->out.n);
	out->payload = item_json_get(x->o, "with_payload");
	out->vectors = item_json_get(x->o, "with_vector");
	out->hits = x->out.hits + skip;
	out->n = MIN(x->out.n - skip, x->limit);
	out->order_values = x->order_values ? x->order_values + skip : NULL;
	enum err e = item_json_want(out->payload, out->vectors, &want, &x->q->et);
	return e ? e : collection_fill(x->k, out->hits, &out->n, want, arena_of(x), &x->q->et);
}

enum err qd_ask(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out)
{
	struct asking x = {.q = q, .k = k, .o = o};
	enum err e = prepare(&x);
	e = e ? e : carry_out(&x, NULL, x.limit + x.offset);
	return e ? e : finish(&x, out);
}

/* The members that all bodies of before queries have; the space: a name. */
static enum err prepare_former(struct asking *x)
{
	static const char *const no[] = {"shard_key", NULL};
	enum err e = item_json_refuse(x->o, no, "", &x->q->et);
	x->query.space = json_str(x->o, "using");
	e = e ? e : parse_limits(x);
	return e ? e
		 : collection_filter(x->k, item_json_get(x->o, "filter"), arena_of(x),
			   &x->query.filter, &x->q->et);
}

static enum err prepare_recommend(struct asking *x)
{
	enum err e = prepare_former(x);
	e = e ? e : open_lookup(x);
	e = e ? e : recommend(x, x->o);
	collection_close(x->lookup);
	return e;
}

static enum err prepare_discover(struct asking *x)
{
	yyjson_val *target = item_json_get(x->o, "target"),
		   *context = item_json_get(x->o, "context");
	enum err e = prepare_former(x);
	e = e ? e : open_lookup(x);
	if (!e && !target && !context)
		e = err_set(&x->q->et, ERR_INVALID, "target and context are missing");
	e = e ? e : discover(x, target, context);
	collection_close(x->lookup);
	return e;
}

static enum err ask_former(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out,
	enum err (*read)(struct asking *x))
{
	struct asking x = {.q = q, .k = k, .o = o};
	enum err e = read(&x);
	e = e ? e : carry_out(&x, NULL, x.limit + x.offset);
	return e ? e : finish(&x, out);
}

enum err qd_ask_recommend(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out)
{
	return ask_former(q, k, o, out, prepare_recommend);
}

enum err qd_ask_discover(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out)
{
	return ask_former(q, k, o, out, prepare_discover);
}

static enum err prepare_search(struct asking *x)
{
	yyjson_val *v = item_json_get(x->o, "vector");
	enum err e = prepare_former(x);
	struct item_vector sought = {0};
	x->query.space = S("");
	if (yyjson_is_obj(v) && yyjson_obj_get(v, "name")) {
		x->query.space = json_str(v, "name");
		v = yyjson_obj_get(v, "vector");
	}
	e = e ? e : item_json_vector(v, arena_of(x), &sought, &x->q->et);
	look_for(x, &sought);
	return e;
}

enum err qd_ask_search(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out)
{
	return ask_former(q, k, o, out, prepare_search);
}

/* ---- groups ---- */

static enum err hits_for_groups(void *ctx, const struct cond *also, size_t k,
	struct item_hit **hits, size_t *n, struct errtext *et)
{
	struct asking *x = ctx;
	(void)et; /* it is the request's own */
	enum err e = carry_out(x, also, k);
	*hits = x->out.hits;
	*n = x->out.n;
	return e;
}

static enum err parse_groups(struct asking *x, int64_t size, struct grouping *g)
{
	struct errtext *et = &x->q->et;
	enum err e = json_want_i64(x->o, "group_size", 1, COLLECTION_K_MAX, &size, et);
	g->field = json_str(x->o, "group_by");
	if (!e && !g->field.n)
		e = err_set(et, ERR_INVALID, "group_by (a field of the payloads) is missing");
	e = e ? e
	      : item_json_want(item_json_get(x->o, "with_payload"),
			item_json_get(x->o, "with_vector"), &g->want, et);
	g->size = (size_t)size;
	g->groups = x->limit;
	g->whole = x->kind == ASK_RRF || x->kind == ASK_DBSF || x->kind == ASK_DIVERSE ||
		   x->kind == ASK_FORMULA || x->kind == ASK_SAMPLE;
	return e;
}

enum err qd_ask_groups(
	struct qd *q, struct collection *k, enum qd_groups of, struct qd_grouped *out)
{
	struct asking x = {.q = q, .k = k, .o = q->body, .many = true};
	struct grouping g = {0};
	enum err e = of == QD_GROUPS_SEARCH      ? prepare_search(&x)
		     : of == QD_GROUPS_RECOMMEND ? prepare_recommend(&x)
						 : prepare(&x);
	e = e ? e : parse_groups(&x, of == QD_GROUPS_QUERY ? 3 : 1, &g);
	out->payload = item_json_get(q->body, "with_payload");
	out->vectors = item_json_get(q->body, "with_vector");
	return e ? e
		 : collection_groups(
			   k, &g, hits_for_groups, &x, q->rq->arena, &out->groups, &out->n, &q->et);
}
