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

static void write_ordered(struct jw *w, const struct collection_item *it, const struct wanted *want,
	const struct cond_number *value)
{
	jw_obj(w);
	item_json_write(w, it, want->payload, want->vectors);
	jw_key(w, "order_value");
	cond_value_write(w, &(struct cond_value){COND_NUMBER, .n = *value});
	jw_end(w);
}

static enum err retrieve(struct qd *q, struct collection *k, struct jw *w)
{
	struct arena *a = q->rq->arena;
	struct item_id *ids = NULL;
	struct collection_item *items = NULL;
	struct wanted want = {0};
	size_t n = 0;
	enum err e = item_json_ids(yyjson_obj_get(q->body, "ids"), a, &ids, &n, &q->et);
	e = e ? e : wanted_of(q, q->body, &want);
	e = e ? e : collection_get(k, ids, n, want.want, a, &items, &n, &q->et);
	jw_arr(w);
	for (size_t i = 0; i < n && !e; i++)
		write_record(w, &items[i], &want);
	jw_end(w);
	return e;
}

static enum err one_point(struct qd *q, struct collection *k, struct jw *w)
{
	yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	struct wanted want = {&yes, &yes, {true, true}};
	struct item_id id;
	struct collection_item *items = NULL;
	size_t n = 0;
	enum err e = item_id_parse(http_param(q->rq, "id"), &id, &q->et);
	e = e ? e : collection_get(k, &id, 1, want.want, q->rq->arena, &items, &n, &q->et);
	if (e)
		return e;
	if (!n)
		return err_set(&q->et, ERR_NOT_FOUND, "there is no point %.*s",
			STR_FMT(str_sub(http_param(q->rq, "id"), 0, 100)));
	write_record(w, &items[0], &want);
	return OK;
}

/* ---- in order ---- */

static enum err filter_of(struct qd *q, struct collection *k, const struct cond **out)
{
	return collection_filter(k, item_json_get(q->body, "filter"), q->rq->arena, out, &q->et);
}

/* There is no next page: who wants one starts from the last value. */
static enum err scroll_ordered(
	struct qd *q, struct collection *k, const struct cond *filter, size_t limit, struct jw *w)
{
	struct item_order order;
	struct collection_item *items = NULL;
	struct cond_number *values = NULL;
	struct wanted want = {0};
	size_t n = 0;
	enum err e = qd_order_by(q, item_json_get(q->body, "order_by"), &order);
	if (!e && item_json_get(q->body, "offset"))
		e = err_set(&q->et, ERR_INVALID,
			"offset does not go together with order_by: take its start_from");
	e = e ? e : wanted_of(q, q->body, &want);
	e = e ? e
	      : collection_ordered(k, &order, filter, limit, want.want, q->rq->arena, &items,
			&values, &n, &q->et);
	jw_obj(w);
	jw_key(w, "points");
	jw_arr(w);
	for (size_t i = 0; i < n && !e; i++)
		write_ordered(w, &items[i], &want, &values[i]);
	jw_end(w);
	jw_key(w, "next_page_offset");
	jw_null(w);
	jw_end(w);
	return e;
}

static enum err scroll(struct qd *q, struct collection *k, struct jw *w)
{
	static const char *const no[] = {"shard_key", NULL};
	struct item_id from;
	struct collection_item *items = NULL;
	struct wanted want = {0};
	const struct cond *filter = NULL;
	yyjson_val *offset = item_json_get(q->body, "offset");
	int64_t limit = 10;
	size_t n = 0;
	enum err e = item_json_refuse(q->body, no, "", &q->et);
	e = e ? e : json_want_i64(q->body, "limit", 1, COLLECTION_K_MAX, &limit, &q->et);
	e = e || !offset ? e : item_json_id(offset, &from, &q->et);
	e = e ? e : wanted_of(q, q->body, &want);
	e = e ? e : filter_of(q, k, &filter);
	if (!e && item_json_get(q->body, "order_by"))
		return scroll_ordered(q, k, filter, (size_t)limit, w);
	e = e ? e
	      : collection_scroll(k, filter, offset ? &from : NULL, (size_t)limit + 1, want.want,
			q->rq->arena, &items, &n, &q->et);
	if (e)
		return e;
	jw_obj(w);
	jw_key(w, "points");
	jw_arr(w);
	for (size_t i = 0; i < MIN(n, (size_t)limit); i++)
		write_record(w, &items[i], &want);
	jw_end(w);
	jw_key(w, "next_page_offset");
	if (n > (size_t)limit)
		item_json_write_id(w, &items[limit].id);
	else
		jw_null(w);
	jw_end(w);
	return OK;
}

static enum err count(struct qd *q, struct collection *k, struct jw *w)
{
	static const char *const no[] = {"shard_key", NULL};
	const struct cond *filter = NULL;
	size_t n = 0;
	enum err e = item_json_refuse(q->body, no, "", &q->et);
	e = e ? e : filter_of(q, k, &filter);
	if (!e && filter)
		e = collection_count_matching(k, filter, &n, &q->et);
	else if (!e)
		n = collection_count(k);
	jw_obj(w);
	jw_ki64(w, "count", (int64_t)n);
	jw_end(w);
	return e;
}

/* ---- searching ---- */

void qd_write_hit(struct jw *w, const struct item_hit *h, yyjson_val *payload, yyjson_val *vectors,
	const struct cond_number *order_value)
{
	jw_obj(w);
	item_json_write(w, &h->item, payload, vectors);
	jw_ki64(w, "version", 0);
	jw_key(w, "score");
	item_json_write_number(w, h->score);
	if (order_value) {
		jw_key(w, "order_value");
		cond_value_write(w, &(struct cond_value){COND_NUMBER, .n = *order_value});
	}
	jw_end(w);
}

static void write_hits(struct jw *w, const struct qd_asked *x)
{
	jw_arr(w);
	for (size_t i = 0; i < x->n; i++)
		qd_write_hit(w, &x->hits[i], x->payload, x->vectors,
			x->order_values ? &x->order_values[i] : NULL);
	jw_end(w);
}

static void write_points(struct jw *w, const struct qd_asked *x)
{
	jw_obj(w);
	jw_key(w, "points");
	write_hits(w, x);
	jw_end(w);
}

typedef enum err (*ask_fn)(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out);
typedef void (*write_fn)(struct jw *w, const struct qd_asked *x);

static void answer(struct collection *k, struct jw *w, const struct qd_asked *x, write_fn write)
{
	if (!x->order_values)
		collection_count_hits(k, x->hits, x->n);
	write(w, x);
}

static enum err ask_one(
	struct qd *q, struct collection *k, struct jw *w, ask_fn ask, write_fn write)
{
	struct qd_asked x = {0};
	enum err e = ask(q, k, q->body, &x);
	if (!e)
		answer(k, w, &x, write);
	return e;
}

static enum err ask_many(
	struct qd *q, struct collection *k, struct jw *w, ask_fn ask, write_fn write)
{
	enum { SEARCHES_MAX = 1000 };
	yyjson_val *list = yyjson_obj_get(q->body, "searches"), *o;
	size_t i, n = yyjson_arr_size(list), max;
	enum err e = OK;
	if (!yyjson_is_arr(list))
		return err_set(&q->et, ERR_INVALID, "searches must be a list");
	if (n > SEARCHES_MAX)
		return err_set(&q->et, ERR_TOO_LARGE, "%zu searches; at most %d go into one call",
			n, SEARCHES_MAX);
	jw_arr(w);
	yyjson_arr_foreach(list, i, max, o)
	{
		struct qd_asked x = {0};
		e = e ? e : ask(q, k, o, &x);
		if (!e)
			answer(k, w, &x, write);
	}
	jw_end(w);
	return e;
}

static enum err search(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_one(q, k, w, qd_ask_search, write_hits);
}

static enum err search_batch(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_many(q, k, w, qd_ask_search, write_hits);
}

static enum err query(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_one(q, k, w, qd_ask, write_points);
}

static enum err recommend(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_one(q, k, w, qd_ask_recommend, write_hits);
}

static enum err recommend_batch(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_many(q, k, w, qd_ask_recommend, write_hits);
}

static enum err discover(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_one(q, k, w, qd_ask_discover, write_hits);
}

static enum err discover_batch(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_many(q, k, w, qd_ask_discover, write_hits);
}

static enum err query_batch(struct qd *q, struct collection *k, struct jw *w)
{
	return ask_many(q, k, w, qd_ask, write_points);
}

/* ---- rows ---- */

#define ROW(name, fn)                                                                 \
	void name(struct croft *c, struct http_request *rq, struct http_response *rs) \
	{                                                                             \
		qd_answer(c, rq, rs, fn);                                             \
	}

ROW(qd_retrieve, retrieve)
ROW(qd_point, one_point)
ROW(qd_scroll, scroll)
ROW(qd_count, count)
ROW(qd_search, search)
ROW(qd_search_batch, search_batch)
ROW(qd_recommend, recommend)
ROW(qd_recommend_batch, recommend_batch)
ROW(qd_discover, discover)
ROW(qd_discover_batch, discover_batch)
ROW(qd_query, query)
ROW(qd_query_batch, query_batch)
