/* Qdrant: reading points, and answers of searches. */
#include "api/api_int.h"
#include "api/qdrant.h"

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
	static const char *const no[] = {"order_by", "shard_key", NULL};
	struct qd q;
	struct collection *k = NULL;
	struct item_id from;
	struct collection_item *items = NULL;
	struct wanted want = {0};
	const struct cond *filter = NULL;
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
	      : collection_filter(k, item_json_get(q.body, "filter"), rq->arena, &filter, &q.et);
	e = e ? e
	      : collection_scroll(k, filter, offset ? &from : NULL, (size_t)limit + 1, want.want,
			rq->arena, &items, &n, &q.et);
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
	static const char *const no[] = {"shard_key", NULL};
	struct qd q;
	struct collection *k = NULL;
	size_t n = 0;
	const struct cond *filter = NULL;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e : qd_open(&q, &k);
	e = e ? e
	      : collection_filter(k, item_json_get(q.body, "filter"), rq->arena, &filter, &q.et);
	if (!e && filter)
		e = collection_count_matching(k, filter, &n, &q.et);
	else if (!e)
		n = collection_count(k);
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_ki64(&w, "count", (int64_t)n);
	jw_end(&w);
	qd_end(&q, &w);
}

/* ---- searching ---- */

static void write_hits(struct jw *w, const struct qd_asked *x)
{
	jw_arr(w);
	for (size_t i = 0; i < x->n; i++) {
		jw_obj(w);
		item_json_write(w, &x->hits[i].item, x->payload, x->vectors);
		jw_ki64(w, "version", 0);
		jw_key(w, "score");
		item_json_write_number(w, x->hits[i].score);
		jw_end(w);
	}
	jw_end(w);
}

static void write_points(struct jw *w, const struct qd_asked *x)
{
	jw_obj(w);
	jw_key(w, "points");
	write_hits(w, x);
	jw_end(w);
}

typedef enum err (*asking_fn)(
	struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out);

static void answer_one(struct croft *c, struct http_request *rq, struct http_response *rs,
	asking_fn ask, void (*write)(struct jw *w, const struct qd_asked *x))
{
	struct qd q;
	struct qd_asked x = {0};
	struct collection *k = NULL;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : qd_open(&q, &k);
	e = e ? e : ask(&q, k, q.body, &x);
	collection_close(k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	struct buf b = {0};
	struct jw w;
	qd_result(&q, &w, &b);
	write(&w, &x);
	qd_end(&q, &w);
}

void qd_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	answer_one(c, rq, rs, qd_ask_search, write_hits);
}

void qd_query(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	answer_one(c, rq, rs, qd_ask, write_points);
}

static void answer_many(struct croft *c, struct http_request *rq, struct http_response *rs,
	asking_fn ask, void (*write)(struct jw *w, const struct qd_asked *x))
{
	enum { SEARCHES_MAX = 1000 };
	struct qd q;
	struct collection *k = NULL;
	yyjson_val *o;
	size_t i, max;
	enum err e = qd_begin(&q, c, rq, rs);
	yyjson_val *list = e ? NULL : yyjson_obj_get(q.body, "searches");
	size_t n = yyjson_arr_size(list);
	struct qd_asked *x = arena_array_of(rq->arena, n + 1, struct qd_asked);
	if (!e && !yyjson_is_arr(list))
		e = err_set(&q.et, ERR_INVALID, "searches must be a list");
	if (!e && n > SEARCHES_MAX)
		e = err_set(&q.et, ERR_TOO_LARGE, "%zu searches; at most %d go into one call", n,
			SEARCHES_MAX);
	e = e || x ? e : err_set(&q.et, ERR_NOMEM, "no memory for a request");
	e = e ? e : qd_open(&q, &k);
	yyjson_arr_foreach(list, i, max, o)
	{
		e = e ? e : ask(&q, k, o, &x[i]);
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
		write(&w, &x[i]);
	jw_end(&w);
	qd_end(&q, &w);
}

void qd_query_batch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	answer_many(c, rq, rs, qd_ask, write_points);
}

void qd_search_batch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	answer_many(c, rq, rs, qd_ask_search, write_hits);
}
