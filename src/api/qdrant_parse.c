/* JSON of points to ids, vectors and items, and back. */
#include "api/qdrant.h"

#include <math.h>

static enum err no_memory(struct qd *q)
{
	return err_set(&q->et, ERR_NOMEM, "no memory for a request");
}

yyjson_val *qd_get(yyjson_val *o, const char *key)
{
	yyjson_val *v = yyjson_obj_get(o, key);
	return yyjson_is_null(v) ? NULL : v;
}

/* The first of the keys (ended by NULL) that is there is refused. */
enum err qd_refuse(struct qd *q, yyjson_val *o, const char *const *keys, const char *where)
{
	for (; *keys; keys++)
		if (qd_get(o, *keys))
			return err_set(
				&q->et, ERR_INVALID, "%s%s is not supported here", where, *keys);
	return OK;
}

/* ---- ids ---- */

enum err qd_id(struct qd *q, yyjson_val *v, struct item_id *out)
{
	if (yyjson_is_uint(v)) {
		item_id_number(yyjson_get_uint(v), out);
		return OK;
	}
	if (!yyjson_is_str(v))
		return err_set(&q->et, ERR_INVALID,
			"a point's id must be an unsigned integer or a text (a UUID)");
	return item_id_parse(json_val_str(v), out, &q->et);
}

enum err qd_ids(struct qd *q, yyjson_val *list, struct item_id **out, size_t *n)
{
	yyjson_val *v;
	size_t i, count = yyjson_arr_size(list), max;
	struct item_id *ids = arena_array_of(q->rq->arena, count + 1, struct item_id);
	enum err e = OK;
	if (!yyjson_is_arr(list))
		return err_set(&q->et, ERR_INVALID, "a list of points' ids is missing");
	if (count > COLLECTION_BATCH_MAX)
		return err_set(&q->et, ERR_TOO_LARGE, "%zu ids; at most %d go into one call", count,
			COLLECTION_BATCH_MAX);
	if (!ids)
		return no_memory(q);
	yyjson_arr_foreach(list, i, max, v)
	{
		e = e ? e : qd_id(q, v, &ids[i]);
	}
	*out = ids;
	*n = count;
	return e;
}

void qd_write_id(struct jw *w, const struct item_id *id)
{
	uint64_t number;
	struct buf b = {0};
	if (item_id_is_number(item_id_bytes(id), &number)) {
		jw_u64(w, number);
		return;
	}
	item_id_text(item_id_bytes(id), &b);
	jw_str(w, buf_str(&b));
	buf_free(&b);
}

/* ---- vectors ---- */

enum err qd_numbers(struct qd *q, yyjson_val *v, float **out, size_t *n)
{
	yyjson_val *x;
	size_t i, count = yyjson_arr_size(v), max;
	if (!yyjson_is_arr(v) || !count || count > COLLECTION_DIM_MAX)
		return err_set(&q->et, ERR_INVALID,
			"a vector must be a list of 1 to %d numbers; sparse vectors, lists of "
			"vectors and texts to embed are not supported here",
			COLLECTION_DIM_MAX);
	float *f = arena_array_of(q->rq->arena, count, float);
	if (!f)
		return no_memory(q);
	yyjson_arr_foreach(v, i, max, x)
	{
		if (!yyjson_is_num(x))
			return err_set(&q->et, ERR_INVALID,
				"number %zu of a vector is none: lists of vectors are not "
				"supported "
				"here",
				i);
		f[i] = (float)yyjson_get_num(x);
	}
	*out = f;
	*n = count;
	return OK;
}

enum err qd_vectors(struct qd *q, yyjson_val *v, struct collection_item *item)
{
	yyjson_val *key, *value;
	size_t i, n, at = 0;
	if (!v)
		return OK;
	bool named = yyjson_is_obj(v);
	n = named ? yyjson_obj_size(v) : 1;
	if (n > COLLECTION_SPACES_MAX)
		return err_set(&q->et, ERR_INVALID, "a point with %zu vectors; at most %d", n,
			COLLECTION_SPACES_MAX);
	item->vectors = arena_array_of(q->rq->arena, n + 1, struct item_vector);
	if (!item->vectors)
		return no_memory(q);
	item->n_vectors = n;
	if (!named)
		return qd_numbers(q, v, (float **)&item->vectors[0].v, &item->vectors[0].dim);
	yyjson_obj_foreach(v, i, n, key, value)
	{
		struct item_vector *to = &item->vectors[at++];
		to->space = json_val_str(key);
		enum err e = qd_numbers(q, value, (float **)&to->v, &to->dim);
		if (e)
			return err_wrap(&q->et, e, "\"%.*s\"", STR_FMT(str_sub(to->space, 0, 100)));
	}
	return OK;
}

/* ---- what is wanted of a point ---- */

enum err qd_want(struct qd *q, yyjson_val *payload, yyjson_val *vectors, struct item_want *out)
{
	if (payload && !yyjson_is_bool(payload) && !yyjson_is_arr(payload) &&
		!yyjson_is_obj(payload))
		return err_set(&q->et, ERR_INVALID,
			"with_payload must be a boolean, a list of keys, or {include} or "
			"{exclude}");
	if (vectors && !yyjson_is_bool(vectors) && !yyjson_is_arr(vectors))
		return err_set(
			&q->et, ERR_INVALID, "with_vector must be a boolean or a list of names");
	out->payload = payload && !yyjson_is_false(payload);
	out->vectors = vectors && !yyjson_is_false(vectors);
	return OK;
}

static bool listed(yyjson_val *list, struct str key)
{
	yyjson_val *v;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str s = json_val_str(v);
		if (str_eq(s, key) || (s.n > key.n && s.p[key.n] == '.' && str_starts(s, key)))
			return true;
	}
	return false;
}

static bool payload_wanted(yyjson_val *payload, struct str key)
{
	if (yyjson_is_arr(payload))
		return listed(payload, key);
	if (!yyjson_is_obj(payload))
		return true;
	yyjson_val *include = qd_get(payload, "include"), *exclude = qd_get(payload, "exclude");
	return include ? listed(include, key) : !listed(exclude, key);
}

static void write_payload(struct jw *w, const struct collection_item *it, yyjson_val *payload)
{
	yyjson_val *key, *value;
	size_t i, n;
	yyjson_doc *doc;
	if (yyjson_is_true(payload)) {
		jw_raw(w, it->payload.n ? it->payload : S("{}"));
		return;
	}
	jw_obj(w);
	if (!json_parse(it->payload.n ? it->payload : S("{}"), &doc, NULL)) {
		yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, value)
		{
			if (!payload_wanted(payload, json_val_str(key)))
				continue;
			jw_key_str(w, json_val_str(key));
			jw_val(w, value);
		}
		yyjson_doc_free(doc);
	}
	jw_end(w);
}

static void write_numbers(struct jw *w, const struct item_vector *v)
{
	jw_arr(w);
	for (size_t i = 0; i < v->dim; i++)
		jw_f32(w, v->v[i]);
	jw_end(w);
}

static void write_vectors(struct jw *w, const struct collection_item *it, yyjson_val *vectors)
{
	if (it->n_vectors == 1 && !it->vectors[0].space.n) {
		write_numbers(w, &it->vectors[0]);
		return;
	}
	jw_obj(w);
	for (size_t i = 0; i < it->n_vectors; i++) {
		if (yyjson_is_arr(vectors) && !listed(vectors, it->vectors[i].space))
			continue;
		jw_key_str(w, it->vectors[i].space);
		write_numbers(w, &it->vectors[i]);
	}
	jw_end(w);
}

void qd_write_item(
	struct jw *w, const struct collection_item *it, yyjson_val *payload, yyjson_val *vectors)
{
	jw_key(w, "id");
	qd_write_id(w, &it->id);
	if (payload && !yyjson_is_false(payload)) {
		jw_key(w, "payload");
		write_payload(w, it, payload);
	}
	if (vectors && !yyjson_is_false(vectors)) {
		jw_key(w, "vector");
		write_vectors(w, it, vectors);
	}
}
