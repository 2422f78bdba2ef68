/* Qdrant: queries. One may stand on others (prefetch): fused with each other, or as what a vector
 * is looked for among. */
#include "api/qdrant.h"
#include "collection/rank.h"
#include "kernels/kernels.h"

#include <math.h>

enum { DEPTH_MAX = 8, PREFETCH_MAX = 32, EXAMPLES_MAX = 1000 };

/* A query being answered. */
struct asking {
	struct qd *q;
	struct collection *k;
	yyjson_val *o;
	unsigned depth;
	struct item_query query;
	size_t offset, limit;
	struct item_id *left_out; /* points that the query itself names */
	size_t n_left_out;
	struct hit_list *sources; /* of the prefetches */
	size_t n_sources;
	struct hit_list out;
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
		x->left_out = arena_array_of(arena_of(x), 2 * EXAMPLES_MAX, struct item_id);
	if (!x->left_out)
		return no_memory(x);
	x->left_out[x->n_left_out++] = *id;
	return OK;
}

/* The vector of a point, which will not be among the hits. */
static enum err vector_of_point(struct asking *x, yyjson_val *v, const float **out, size_t *dim)
{
	struct item_id id;
	enum err e = item_json_id(v, &id, &x->q->et);
	e = e ? e : collection_vector(x->k, &id, x->query.space, arena_of(x), out, dim, &x->q->et);
	return e ? e : leave_out(x, &id);
}

/* {"text", "model"}: embedded by the space's own model. */
static enum err vector_of_text(struct asking *x, yyjson_val *v, const float **out, size_t *dim)
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
	*out = f;
	*dim = s->dim;
	return collection_embed(x->k, s, &text, 1, f, x->query.cancel, &x->q->et);
}

static enum err vector_of(struct asking *x, yyjson_val *v, const float **out, size_t *dim)
{
	if (yyjson_is_uint(v) || yyjson_is_str(v))
		return vector_of_point(x, v, out, dim);
	if (yyjson_is_str(yyjson_obj_get(v, "text")))
		return vector_of_text(x, v, out, dim);
	return item_json_numbers(v, arena_of(x), out, dim, &x->q->et);
}

/* ---- examples ---- */

/* Adds the mean of the examples times `factor`; in a cosine space each counts by its direction. */
static enum err add_mean(struct asking *x, yyjson_val *list, float factor, float *sum)
{
	const struct space *s = collection_space(x->k, x->query.space);
	yyjson_val *v;
	size_t i, n = yyjson_arr_size(list), max;
	float *unit = arena_array_of(arena_of(x), s->dim, float);
	if (!unit)
		return no_memory(x);
	yyjson_arr_foreach(list, i, max, v)
	{
		const float *f;
		size_t dim;
		enum err e = vector_of(x, v, &f, &dim);
		if (e)
			return e;
		if (dim != s->dim)
			return err_set(&x->q->et, ERR_INVALID,
				"an example of %zu numbers, the vectors have %u", dim, s->dim);
		if (s->distance == DISTANCE_COSINE)
			kern->normalize(unit, f, dim);
		else
			memcpy(unit, f, dim * sizeof *f);
		kern->axpy(sum, factor / (float)n, unit, dim);
	}
	return OK;
}

static enum err recommend(struct asking *x, yyjson_val *r)
{
	yyjson_val *positive = item_json_get(r, "positive"),
		   *negative = item_json_get(r, "negative");
	struct str strategy = json_str(r, "strategy");
	const struct space *s = collection_space(x->k, x->query.space);
	float *sum = s ? arena_array_of(arena_of(x), s->dim, float) : NULL;
	size_t n_negative = yyjson_arr_size(negative);
	if (strategy.n && !str_eq_c(strategy, "average_vector"))
		return err_set(&x->q->et, ERR_INVALID,
			"the strategy %.*s is not supported: average_vector is",
			STR_FMT(str_sub(strategy, 0, 40)));
	if (!s)
		return err_set(&x->q->et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(x->query.space, 0, 100)));
	if (!yyjson_arr_size(positive) || yyjson_arr_size(positive) > EXAMPLES_MAX ||
		n_negative > EXAMPLES_MAX)
		return err_set(&x->q->et, ERR_INVALID,
			"recommend needs positive examples, at most %d of a kind", EXAMPLES_MAX);
	if (!sum)
		return no_memory(x);
	enum err e = add_mean(x, positive, n_negative ? 2 : 1, sum);
	e = e || !n_negative ? e : add_mean(x, negative, -1, sum);
	x->query.vector = sum;
	x->query.dim = s->dim;
	return e;
}

/* ---- hits ---- */

static bool is_left_out(const struct asking *x, const struct item_hit *h)
{
	for (size_t i = 0; i < x->n_left_out; i++)
		if (str_eq(item_id_bytes(&x->left_out[i]), item_id_bytes(&h->item.id)))
			return true;
	return false;
}

/* What the prefetches found, each once. */
static enum err only_sources(struct asking *x)
{
	size_t n = 0;
	for (size_t i = 0; i < x->n_sources; i++)
		n += x->sources[i].n;
	uint64_t *keys = arena_array_of(arena_of(x), n + 1, uint64_t);
	if (!keys)
		return no_memory(x);
	x->query.among = keys;
	for (size_t i = 0; i < x->n_sources; i++)
		for (size_t j = 0; j < x->sources[i].n; j++)
			keys[x->query.n_among++] = x->sources[i].hits[j].key;
	return OK;
}

static enum err nearest(struct asking *x, size_t want)
{
	struct item_hit *hits;
	size_t n, kept = 0;
	enum err e = x->n_sources ? only_sources(x) : OK;
	x->query.k = MIN(want + x->n_left_out, (size_t)COLLECTION_K_MAX);
	e = e ? e : collection_query(x->k, &x->query, arena_of(x), &hits, &n, NULL, &x->q->et);
	for (size_t i = 0; !e && i < n && kept < want; i++)
		if (!is_left_out(x, &hits[i]))
			hits[kept++] = hits[i];
	if (!e)
		x->out = (struct hit_list){hits, kept, 1};
	return e;
}

static enum err diverse(struct asking *x, yyjson_val *mmr)
{
	int64_t candidates = (int64_t)(x->limit + x->offset);
	double diversity = 0.5;
	enum err e = json_want_f64(mmr, "diversity", 0, 1, &diversity, &x->q->et);
	e = e ? e
	      : json_want_i64(mmr, "candidates_limit", 1, COLLECTION_K_MAX, &candidates, &x->q->et);
	x->query.want.vectors = true;
	e = e ? e : nearest(x, (size_t)candidates);
	return e ? e
		 : rank_diverse(collection_space(x->k, x->query.space), x->query.vector,
			   (float)(1 - diversity), x->limit + x->offset, &x->out, &x->q->et);
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

static enum err fuse(struct asking *x, struct str kind, yyjson_val *rrf)
{
	int64_t k = 2;
	size_t kept = 0;
	if (!x->n_sources)
		return err_set(
			&x->q->et, ERR_INVALID, "fusion needs prefetch: what is to be fused");
	enum err e = json_want_i64(rrf, "k", 1, 1 << 20, &k, &x->q->et);
	e = e ? e : parse_weights(x, item_json_get(rrf, "weights"));
	if (e)
		return e;
	if (rrf || str_eq_c(kind, "rrf"))
		e = rank_reciprocal(
			x->sources, x->n_sources, (float)k, arena_of(x), &x->out, &x->q->et);
	else if (str_eq_c(kind, "dbsf"))
		e = rank_scores(x->sources, x->n_sources, arena_of(x), &x->out, &x->q->et);
	else
		e = err_set(&x->q->et, ERR_INVALID, "fusion must be rrf or dbsf");
	for (size_t i = 0; !e && i < x->out.n && kept < x->limit + x->offset; i++)
		if (isnan(x->query.worst) || x->out.hits[i].score >= x->query.worst)
			x->out.hits[kept++] = x->out.hits[i];
	x->out.n = e ? 0 : kept;
	return e;
}

/* ---- one query ---- */

static enum err ask(struct asking *x);

static enum err prefetch_one(struct asking *x, yyjson_val *o, struct hit_list *out)
{
	struct asking inner = {.q = x->q, .k = x->k, .o = o, .depth = x->depth + 1};
	enum err e = ask(&inner);
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

static enum err by_kind(struct asking *x)
{
	yyjson_val *v = item_json_get(x->o, "query"), *inner = item_json_get(v, "nearest");
	yyjson_val *examples = item_json_get(v, "recommend"), *rrf = item_json_get(v, "rrf");
	yyjson_val *mmr = item_json_get(v, "mmr");
	struct str fusion = json_str(v, "fusion");
	if (fusion.n || rrf)
		return fuse(x, fusion, rrf);
	if (!v || (yyjson_is_obj(v) && !inner && !examples && !json_str(v, "text").n))
		return err_set(&x->q->et, ERR_INVALID,
			"query must be a vector, the id of a point, a text, or an object with "
			"nearest, "
			"recommend, fusion or rrf: other kinds are not supported here");
	enum err e = examples ? recommend(x, examples)
			      : vector_of(x, inner ? inner : v, &x->query.vector, &x->query.dim);
	if (e)
		return e;
	return mmr ? diverse(x, mmr) : nearest(x, x->limit + x->offset);
}

static enum err ask(struct asking *x)
{
	static const char *const no[] = {"lookup_from", "shard_key", NULL};
	enum err e = item_json_refuse(x->o, no, "", &x->q->et);
	x->query.space = json_str(x->o, "using");
	e = e ? e : parse_limits(x);
	e = e ? e
	      : collection_filter(x->k, item_json_get(x->o, "filter"), arena_of(x),
			&x->query.filter, &x->q->et);
	e = e ? e : prefetch(x);
	return e ? e : by_kind(x);
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
	enum err e = item_json_want(out->payload, out->vectors, &want, &x->q->et);
	return e ? e : collection_fill(x->k, out->hits, &out->n, want, arena_of(x), &x->q->et);
}

enum err qd_ask(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out)
{
	struct asking x = {.q = q, .k = k, .o = o};
	enum err e = ask(&x);
	return e ? e : finish(&x, out);
}

enum err qd_ask_search(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out)
{
	static const char *const no[] = {"shard_key", NULL};
	struct asking x = {.q = q, .k = k, .o = o};
	yyjson_val *v = item_json_get(o, "vector");
	enum err e = item_json_refuse(o, no, "", &q->et);
	e = e ? e : parse_limits(&x);
	if (yyjson_is_obj(v)) {
		x.query.space = json_str(v, "name");
		v = yyjson_obj_get(v, "vector");
	}
	e = e ? e : item_json_numbers(v, q->rq->arena, &x.query.vector, &x.query.dim, &q->et);
	e = e ? e
	      : collection_filter(
			k, item_json_get(o, "filter"), q->rq->arena, &x.query.filter, &q->et);
	e = e ? e : nearest(&x, x.limit + x.offset);
	return e ? e : finish(&x, out);
}
