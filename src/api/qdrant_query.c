/* Qdrant: reading and searching points. */
#include "api/api_int.h"
#include "api/qdrant.h"

#include <math.h>

static enum err no_memory(struct qd *q)
{
	return err_set(&q->et, ERR_NOMEM, "no memory for a request");
}

/* with_payload and with_vector, of a request. */
struct wanted {
	yyjson_val *payload, *vectors;
	struct item_want want;
};

static enum err wanted_of(struct qd *q, yyjson_val *o, struct wanted *out)
{
	out->payload = item_json_get(o, "with_payload");
	out->vectors = item_json_get(o, "with_vector");
	return item_json_want(out->payload, out->vectors, &out->want, &q->et);
}

/* ---- by id ---- */

static void write_record(struct jw *w, const struct collection_item *it, const struct wanted *want)
{
	jw_obj(w);
	item_json_write(w, it, want->payload, want->vectors);
	jw_end(w);
}

void qd_retrieve(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct collection *k = NULL;
	struct item_id *ids = NULL;
	struct collection_item *items = NULL;
	struct wanted want = {0};
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_json_ids(yyjson_obj_get(q.body, "ids"), rq->arena, &ids, &n, &q.et);
	e = e ? e : wanted_of(&q, q.body, &want);
	e = e ? e : qd_open(&q, &k);
	e = e ? e : collection_get(k, ids, n, want.want, rq->arena, &items, &n, &q.et);
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_record(&w, &items[i], &want);
	jw_end(&w);
	qd_end(&q, &w);
}

void qd_point(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct collection *k = NULL;
	struct item_id id;
	struct collection_item *items = NULL;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_id_parse(http_param(rq, "id"), &id, &q.et);
	e = e ? e : qd_open(&q, &k);
	e = e ? e
	      : collection_get(
			k, &id, 1, (struct item_want){true, true}, rq->arena, &items, &n, &q.et);
	collection_close(k);
	if (!e && !n)
		e = err_set(&q.et, ERR_NOT_FOUND, "there is no point %.*s",
			STR_FMT(str_sub(http_param(rq, "id"), 0, 100)));
	if (e) {
		qd_fail(&q, e);
		return;
	}
	yyjson_doc *yes = yyjson_read("true", 4, 0);
	struct wanted want = {yyjson_doc_get_root(yes), yyjson_doc_get_root(yes), {true, true}};
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	write_record(&w, &items[0], &want);
	qd_end(&q, &w);
	yyjson_doc_free(yes);
}

/* ---- in order ---- */

void qd_scroll(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const char *const no[] = {"filter", "order_by", "shard_key", NULL};
	struct qd q;
	struct collection *k = NULL;
	struct item_id from;
	struct collection_item *items = NULL;
	struct wanted want = {0};
	int64_t limit = 10;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	yyjson_val *offset = e ? NULL : item_json_get(q.body, "offset");
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e : json_want_i64(q.body, "limit", 1, COLLECTION_K_MAX, &limit, &q.et);
	e = e || !offset ? e : item_json_id(offset, &from, &q.et);
	e = e ? e : wanted_of(&q, q.body, &want);
	e = e ? e : qd_open(&q, &k);
	e = e ? e
	      : collection_scroll(k, offset ? &from : NULL, (size_t)limit + 1, want.want, rq->arena,
			&items, &n, &q.et);
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_key(&w, "points");
	jw_arr(&w);
	for (size_t i = 0; i < MIN(n, (size_t)limit); i++)
		write_record(&w, &items[i], &want);
	jw_end(&w);
	jw_key(&w, "next_page_offset");
	if (n > (size_t)limit)
		item_json_write_id(&w, &items[limit].id);
	else
		jw_null(&w);
	jw_end(&w);
	qd_end(&q, &w);
}

void qd_count(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const char *const no[] = {"filter", "shard_key", NULL};
	struct qd q;
	struct collection *k = NULL;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e : qd_open(&q, &k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	n = collection_count(k);
	collection_close(k);
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_ki64(&w, "count", (int64_t)n);
	jw_end(&w);
	qd_end(&q, &w);
}

/* ---- nearest ---- */

struct asked {
	struct item_query query;
	struct wanted want;
	size_t offset;
	struct item_hit *hits;
	size_t n;
};

static enum err parse_limits(struct qd *q, yyjson_val *o, struct asked *x)
{
	int64_t limit = 10, offset = 0;
	double worst = NAN;
	enum err e = json_want_i64(o, "limit", 1, COLLECTION_K_MAX, &limit, &q->et);
	e = e ? e : json_want_i64(o, "offset", 0, COLLECTION_K_MAX, &offset, &q->et);
	e = e ? e : json_want_f64(o, "score_threshold", -1e30, 1e30, &worst, &q->et);
	e = e ? e : wanted_of(q, o, &x->want);
	if (!e && limit + offset > COLLECTION_K_MAX)
		e = err_set(&q->et, ERR_INVALID, "limit and offset together can be at most %d",
			COLLECTION_K_MAX);
	x->offset = (size_t)offset;
	x->query.k = (size_t)(limit + offset);
	x->query.worst = (float)worst;
	x->query.want = x->want.want;
	x->query.cancel = q->rq->cancel;
	return e;
}

static enum err take_vector(struct qd *q, yyjson_val *v, struct item_query *out)
{
	return item_json_numbers(v, q->rq->arena, &out->vector, &out->dim, &q->et);
}

/* Looks for what is near a point: its own vector, without the point itself. */
static enum err of_point(
	struct qd *q, struct collection *k, yyjson_val *v, struct asked *x, struct item_id *self)
{
	struct collection_item *items;
	size_t n;
	enum err e = item_json_id(v, self, &q->et);
	e = e ? e
	      : collection_get(k, self, 1, (struct item_want){.vectors = true}, q->rq->arena,
			&items, &n, &q->et);
	if (e)
		return e;
	for (size_t i = 0; n && i < items[0].n_vectors; i++)
		if (str_eq(items[0].vectors[i].space, x->query.space)) {
			x->query.vector = items[0].vectors[i].v;
			x->query.dim = items[0].vectors[i].dim;
			return OK;
		}
	return err_set(&q->et, ERR_NOT_FOUND,
		"the point that the query names is not there, or has no such vector");
}

/* Hits from the offset on, without `self`. */
static enum err run(struct qd *q, struct collection *k, struct asked *x, const struct item_id *self)
{
	struct item_hit *hits;
	size_t n, kept = 0;
	size_t k_wanted = x->query.k;
	x->query.k += self && k_wanted < COLLECTION_K_MAX;
	enum err e = collection_query(k, &x->query, q->rq->arena, &hits, &n, NULL, &q->et);
	if (e)
		return e;
	for (size_t i = 0; i < n && kept < k_wanted; i++)
		if (!self || !str_eq(item_id_bytes(&hits[i].item.id), item_id_bytes(self)))
			hits[kept++] = hits[i];
	size_t skip = MIN(x->offset, kept);
	x->hits = hits + skip;
	x->n = kept - skip;
	return OK;
}

static void write_hits(struct jw *w, const struct asked *x)
{
	jw_arr(w);
	for (size_t i = 0; i < x->n; i++) {
		jw_obj(w);
		item_json_write(w, &x->hits[i].item, x->want.payload, x->want.vectors);
		jw_ki64(w, "version", 0);
		jw_key(w, "score");
		item_json_write_number(w, x->hits[i].score);
		jw_end(w);
	}
	jw_end(w);
}

void qd_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const char *const no[] = {"filter", "shard_key", NULL};
	struct qd q;
	struct asked x = {0};
	struct collection *k = NULL;
	enum err e = qd_begin(&q, c, rq, rs);
	yyjson_val *v = e ? NULL : item_json_get(q.body, "vector");
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e : parse_limits(&q, q.body, &x);
	if (yyjson_is_obj(v)) {
		x.query.space = json_str(v, "name");
		v = yyjson_obj_get(v, "vector");
	}
	e = e ? e : take_vector(&q, v, &x.query);
	e = e ? e : qd_open(&q, &k);
	e = e ? e : run(&q, k, &x, NULL);
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	write_hits(&w, &x);
	qd_end(&q, &w);
}

static enum err query(struct qd *q, struct collection *k, yyjson_val *o, struct asked *x)
{
	static const char *const no[] = {"filter", "prefetch", "lookup_from", "shard_key", NULL};
	struct item_id self;
	yyjson_val *v = item_json_get(o, "query");
	bool by_id = false;
	enum err e = item_json_refuse(o, no, "", &q->et);
	e = e ? e : parse_limits(q, o, x);
	if (e)
		return e;
	x->query.space = json_str(o, "using");
	if (yyjson_is_obj(v) && item_json_get(v, "nearest"))
		v = item_json_get(v, "nearest");
	by_id = yyjson_is_uint(v) || yyjson_is_str(v);
	if (by_id)
		e = of_point(q, k, v, x, &self);
	else if (yyjson_is_arr(v))
		e = take_vector(q, v, &x->query);
	else
		e = err_set(&q->et, ERR_INVALID,
			"query must be a vector, the id of a point, or {\"nearest\": ...}: other "
			"kinds are not supported here");
	return e ? e : run(q, k, x, by_id ? &self : NULL);
}

static void write_points(struct jw *w, const struct asked *x)
{
	jw_obj(w);
	jw_key(w, "points");
	write_hits(w, x);
	jw_end(w);
}

void qd_query(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct asked x = {0};
	struct collection *k = NULL;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : qd_open(&q, &k);
	e = e ? e : query(&q, k, q.body, &x);
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	write_points(&w, &x);
	qd_end(&q, &w);
}

void qd_query_batch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	enum { SEARCHES_MAX = 1000 };
	struct qd q;
	struct collection *k = NULL;
	yyjson_val *o;
	size_t i, max;
	enum err e = qd_begin(&q, c, rq, rs);
	yyjson_val *list = e ? NULL : yyjson_obj_get(q.body, "searches");
	size_t n = yyjson_arr_size(list);
	struct asked *x = arena_array_of(rq->arena, n + 1, struct asked);
	if (!e && !yyjson_is_arr(list))
		e = err_set(&q.et, ERR_INVALID, "searches must be a list");
	if (!e && n > SEARCHES_MAX)
		e = err_set(&q.et, ERR_TOO_LARGE, "%zu searches; at most %d go into one call", n,
			SEARCHES_MAX);
	e = e || x ? e : no_memory(&q);
	e = e ? e : qd_open(&q, &k);
	yyjson_arr_foreach(list, i, max, o)
	{
		e = e ? e : query(&q, k, o, &x[i]);
	}
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	jw_arr(&w);
	for (i = 0; i < n; i++)
		write_points(&w, &x[i]);
	jw_end(&w);
	qd_end(&q, &w);
}
