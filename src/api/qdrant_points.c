/* Qdrant: changes of points. */
#include "api/api_int.h"
#include "api/qdrant.h"
#include "base/map.h"

/* Which points a change is about. */
struct chosen {
	struct item_id *ids;
	size_t n;
};

static enum err no_memory(struct qd *q)
{
	return err_set(&q->et, ERR_NOMEM, "no memory for a request");
}

static enum err choose(struct qd *q, struct collection *k, yyjson_val *o, struct chosen *out)
{
	static const char *const no[] = {"shard_key", NULL};
	const struct cond *filter = NULL;
	enum err e = item_json_refuse(o, no, "", &q->et);
	e = e ? e : collection_filter(k, item_json_get(o, "filter"), q->rq->arena, &filter, &q->et);
	if (!e && filter)
		return collection_matching(k, filter, q->rq->arena, &out->ids, &out->n, &q->et);
	return e ? e
		 : item_json_ids(
			   yyjson_obj_get(o, "points"), q->rq->arena, &out->ids, &out->n, &q->et);
}

/* ---- upsert ---- */

/* The i-th vector of a batch: of a list, or of each name's list. */
static enum err batch_vector(
	struct qd *q, yyjson_val *vectors, size_t at, struct collection_item *out)
{
	yyjson_val *key, *list;
	size_t i, n;
	if (yyjson_is_arr(vectors))
		return item_json_vectors(yyjson_arr_get(vectors, at), q->rq->arena, out, &q->et);
	out->vectors = arena_array_of(q->rq->arena, COLLECTION_SPACES_MAX, struct item_vector);
	if (!out->vectors)
		return no_memory(q);
	yyjson_obj_foreach(vectors, i, n, key, list)
	{
		if (out->n_vectors == COLLECTION_SPACES_MAX)
			return err_set(&q->et, ERR_INVALID, "at most %d kinds of vectors",
				COLLECTION_SPACES_MAX);
		struct item_vector *to = &out->vectors[out->n_vectors++];
		to->space = json_val_str(key);
		enum err e = item_json_vector(yyjson_arr_get(list, at), q->rq->arena, to, &q->et);
		if (e)
			return e;
	}
	return OK;
}

static enum err parse_columns(
	struct qd *q, yyjson_val *batch, struct collection_item **out, size_t *n)
{
	yyjson_val *ids = yyjson_obj_get(batch, "ids"), *vectors = item_json_get(batch, "vectors");
	yyjson_val *payloads = item_json_get(batch, "payloads");
	size_t count = yyjson_arr_size(ids);
	struct collection_item *items =
		arena_array_of(q->rq->arena, count + 1, struct collection_item);
	if (!items)
		return no_memory(q);
	for (size_t i = 0; i < count; i++) {
		yyjson_val *payload = yyjson_arr_get(payloads, i);
		enum err e = item_json_item(yyjson_arr_get(ids, i), NULL,
			yyjson_is_null(payload) ? NULL : payload, q->rq->arena, &items[i], &q->et);
		e = e ? e : batch_vector(q, vectors, i, &items[i]);
		if (e)
			return err_wrap(&q->et, e, "point %zu", i);
	}
	*out = items;
	*n = count;
	return OK;
}

static enum err matches(
	struct qd *q, const struct cond *c, const struct collection_item *it, bool *yes)
{
	yyjson_doc *doc = NULL;
	enum err e = json_parse(it->payload.n ? it->payload : S("{}"), &doc, &q->et);
	*yes = !e && cond_matches(c, it->key, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return e;
}

/* Which of the points are put: those that are there already or not (update_mode), and of the former
 * those that match (update_filter). What they are is looked at just before they are put. */
static enum err only_some(
	struct qd *q, struct collection *k, yyjson_val *o, struct collection_item *items, size_t *n)
{
	struct str mode = json_str(o, "update_mode");
	bool insert = str_eq_c(mode, "insert_only"), update = str_eq_c(mode, "update_only");
	const struct cond *filter = NULL;
	struct collection_item *there = NULL;
	struct map known = {0};
	size_t n_there = 0, kept = 0;
	if (mode.n && !insert && !update && !str_eq_c(mode, "upsert"))
		return err_set(&q->et, ERR_INVALID,
			"update_mode must be upsert, insert_only or update_only");
	enum err e = collection_filter(
		k, item_json_get(o, "update_filter"), q->rq->arena, &filter, &q->et);
	if (e || (!insert && !update && !filter))
		return e;
	struct item_id *ids = arena_array_of(q->rq->arena, *n + 1, struct item_id);
	for (size_t i = 0; ids && i < *n; i++)
		ids[i] = items[i].id;
	e = ids ? collection_get(k, ids, *n, (struct item_want){.payload = filter != NULL},
			  q->rq->arena, &there, &n_there, &q->et)
		: no_memory(q);
	for (size_t i = 0; i < n_there && !e; i++)
		e = map_put(&known, item_id_bytes(&there[i].id), &there[i]) ? OK : no_memory(q);
	for (size_t i = 0; i < *n && !e; i++) {
		const struct collection_item *was = map_get(&known, item_id_bytes(&items[i].id));
		bool good = was ? !insert : !update;
		if (good && was && filter)
			e = matches(q, filter, was, &good);
		if (good)
			items[kept++] = items[i];
	}
	map_free(&known);
	*n = e ? *n : kept;
	return e;
}

static enum err upsert(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	static const char *const no[] = {"shard_key", NULL};
	yyjson_val *points = item_json_get(o, "points"), *batch = item_json_get(o, "batch");
	struct collection_item *items = NULL;
	size_t n = 0;
	enum err e = item_json_refuse(o, no, "", &q->et);
	if (e)
		return e;
	if (!yyjson_is_arr(points) && !yyjson_is_obj(batch))
		return err_set(
			&q->et, ERR_INVALID, "points (a list) or batch (columns) is missing");
	e = points ? item_json_items(points, q->rq->arena, &items, &n, &q->et)
		   : parse_columns(q, batch, &items, &n);
	e = e ? e : only_some(q, k, o, items, &n);
	return e || !n ? e : collection_put(k, items, n, seq, q->rq->cancel, &q->et);
}

static enum err remove_points(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	struct chosen x;
	enum err e = choose(q, k, o, &x);
	return e ? e : collection_remove(k, x.ids, x.n, NULL, seq, &q->et);
}

/* ---- vectors ---- */

static enum err put_vectors(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	struct collection_item *items = NULL;
	size_t n = 0;
	enum err e = yyjson_is_arr(yyjson_obj_get(o, "points"))
			     ? item_json_items(yyjson_obj_get(o, "points"), q->rq->arena, &items,
				       &n, &q->et)
			     : err_set(&q->et, ERR_INVALID, "points (a list) is missing");
	return e ? e : collection_put_vectors(k, items, n, seq, &q->et);
}

static enum err texts(struct qd *q, yyjson_val *list, const char *what, struct str **out, size_t *n)
{
	yyjson_val *v;
	size_t i, count = yyjson_arr_size(list), max;
	struct str *s = arena_array_of(q->rq->arena, count + 1, struct str);
	if (!count)
		return err_set(&q->et, ERR_INVALID, "%s must be a list of texts", what);
	if (!s)
		return no_memory(q);
	yyjson_arr_foreach(list, i, max, v)
	{
		s[i] = json_val_str(v);
		if (!s[i].p)
			return err_set(&q->et, ERR_INVALID, "%s must be a list of texts", what);
	}
	*out = s;
	*n = count;
	return OK;
}

static enum err remove_vectors(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	struct chosen x;
	struct str *names = NULL;
	size_t n = 0;
	enum err e = choose(q, k, o, &x);
	e = e ? e : texts(q, yyjson_obj_get(o, "vector"), "vector", &names, &n);
	return e ? e : collection_remove_vectors(k, x.ids, x.n, names, n, seq, &q->et);
}

/* ---- payloads ---- */

static enum err patch(
	struct qd *q, struct collection *k, yyjson_val *o, enum payload_change change, int64_t *seq)
{
	struct payload_patch p = {.change = change, .path = json_str(o, "key")};
	struct chosen x;
	struct str *keys = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = choose(q, k, o, &x);
	if (!e && change == PAYLOAD_UNSET)
		e = texts(q, yyjson_obj_get(o, "keys"), "keys", &keys, &p.n_keys);
	p.keys = keys;
	if (!e && (change == PAYLOAD_SET || change == PAYLOAD_OVERWRITE)) {
		if (!yyjson_is_obj(yyjson_obj_get(o, "payload")))
			e = err_set(&q->et, ERR_INVALID, "payload (an object) is missing");
		else
			jw_val(&w, yyjson_obj_get(o, "payload"));
	}
	p.object = buf_str(&b);
	e = e ? e : collection_patch(k, x.ids, x.n, &p, seq, &q->et);
	buf_free(&b);
	return e;
}

static enum err set_payload(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	return patch(q, k, o, PAYLOAD_SET, seq);
}

static enum err overwrite_payload(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	return patch(q, k, o, PAYLOAD_OVERWRITE, seq);
}

static enum err remove_payload(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	return patch(q, k, o, PAYLOAD_UNSET, seq);
}

static enum err clear_payload(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	return patch(q, k, o, PAYLOAD_CLEAR, seq);
}

/* ---- rows ---- */

typedef enum err (*change_fn)(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq);

static void change(struct croft *c, struct http_request *rq, struct http_response *rs, change_fn fn)
{
	struct qd q;
	struct collection *k = NULL;
	int64_t seq = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : qd_open(&q, &k);
	e = e ? e : fn(&q, k, q.body, &seq);
	collection_close(k);
	qd_changed(&q, e, seq);
}

#define ROW(name, fn)                                                                 \
	void name(struct croft *c, struct http_request *rq, struct http_response *rs) \
	{                                                                             \
		change(c, rq, rs, fn);                                                \
	}

ROW(qd_upsert, upsert)
ROW(qd_remove, remove_points)
ROW(qd_put_vectors, put_vectors)
ROW(qd_remove_vectors, remove_vectors)
ROW(qd_set_payload, set_payload)
ROW(qd_overwrite_payload, overwrite_payload)
ROW(qd_remove_payload, remove_payload)
ROW(qd_clear_payload, clear_payload)

/* ---- several changes, one after the other; the first that fails ends it ---- */

static const struct {
	const char *name;
	change_fn fn;
} operations[] = {{"upsert", upsert}, {"delete", remove_points}, {"set_payload", set_payload},
	{"overwrite_payload", overwrite_payload}, {"delete_payload", remove_payload},
	{"clear_payload", clear_payload}, {"update_vectors", put_vectors},
	{"delete_vectors", remove_vectors}};

static enum err operate(struct qd *q, struct collection *k, yyjson_val *o, int64_t *seq)
{
	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		yyjson_val *v = item_json_get(o, operations[i].name);
		if (v)
			return operations[i].fn(q, k, v, seq);
	}
	return err_set(&q->et, ERR_INVALID,
		"an operation must be one of upsert, delete, "
		"set_payload, overwrite_payload, delete_payload, "
		"clear_payload, update_vectors, delete_vectors");
}

static enum err batch(struct qd *q, struct collection *k, struct jw *w)
{
	enum { OPERATIONS_MAX = 1000 };
	yyjson_val *list = yyjson_obj_get(q->body, "operations"), *o;
	size_t i, n = yyjson_arr_size(list), max;
	if (!yyjson_is_arr(list))
		return err_set(&q->et, ERR_INVALID, "operations must be a list");
	if (n > OPERATIONS_MAX)
		return err_set(&q->et, ERR_TOO_LARGE, "%zu operations; at most %d go into one call",
			n, OPERATIONS_MAX);
	jw_arr(w);
	yyjson_arr_foreach(list, i, max, o)
	{
		int64_t seq = 0;
		enum err e = operate(q, k, o, &seq);
		if (e)
			return err_wrap(&q->et, e, "operation %zu (those before it were done)", i);
		jw_obj(w);
		jw_ki64(w, "operation_id", seq);
		jw_kc(w, "status", "completed");
		jw_end(w);
	}
	jw_end(w);
	return OK;
}

void qd_batch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, batch);
}
