/* JSON of items to ids, vectors and items, and back. */
#include "collection/item_json.h"
#include "collection/collection_int.h"

#include <math.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a request");
}

yyjson_val *item_json_get(yyjson_val *o, const char *key)
{
	yyjson_val *v = yyjson_obj_get(o, key);
	return yyjson_is_null(v) ? NULL : v;
}

/* The first of the keys (ended by NULL) that is there is refused. */
enum err item_json_refuse(
	yyjson_val *o, const char *const *keys, const char *where, struct errtext *et)
{
	for (; *keys; keys++)
		if (item_json_get(o, *keys))
			return err_set(et, ERR_INVALID, "%s%s is not supported here", where, *keys);
	return OK;
}

/* ---- ids ---- */

enum err item_json_id(yyjson_val *v, struct item_id *out, struct errtext *et)
{
	if (yyjson_is_uint(v)) {
		item_id_number(yyjson_get_uint(v), out);
		return OK;
	}
	if (!yyjson_is_str(v))
		return err_set(et, ERR_INVALID,
			"a point's id must be an unsigned integer or a text (a UUID)");
	return item_id_parse(json_val_str(v), out, et);
}

enum err item_json_ids(
	yyjson_val *list, struct arena *a, struct item_id **out, size_t *n, struct errtext *et)
{
	yyjson_val *v;
	size_t i, count = yyjson_arr_size(list), max;
	struct item_id *ids = arena_array_of(a, count + 1, struct item_id);
	enum err e = OK;
	if (!yyjson_is_arr(list))
		return err_set(et, ERR_INVALID, "a list of points' ids is missing");
	if (count > COLLECTION_BATCH_MAX)
		return err_set(et, ERR_TOO_LARGE, "%zu ids; at most %d go into one call", count,
			COLLECTION_BATCH_MAX);
	if (!ids)
		return no_memory(et);
	yyjson_arr_foreach(list, i, max, v)
	{
		e = e ? e : item_json_id(v, &ids[i], et);
	}
	*out = ids;
	*n = count;
	return e;
}

void item_json_write_id(struct jw *w, const struct item_id *id)
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

enum err item_json_numbers(
	yyjson_val *v, struct arena *a, const float **out, size_t *n, struct errtext *et)
{
	yyjson_val *x;
	size_t i, count = yyjson_arr_size(v), max;
	if (!yyjson_is_arr(v) || !count || count > COLLECTION_DIM_MAX)
		return err_set(et, ERR_INVALID,
			"a vector must be a list of numbers, %d at most; sparse vectors, lists of "
			"vectors and texts to embed are not supported here",
			COLLECTION_DIM_MAX);
	float *f = arena_array_of(a, count, float);
	if (!f)
		return no_memory(et);
	yyjson_arr_foreach(v, i, max, x)
	{
		if (!yyjson_is_num(x))
			return err_set(et, ERR_INVALID,
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

enum err item_json_vectors(
	yyjson_val *v, struct arena *a, struct collection_item *item, struct errtext *et)
{
	yyjson_val *key, *value;
	size_t i, n, at = 0;
	if (!v)
		return OK;
	bool named = yyjson_is_obj(v);
	n = named ? yyjson_obj_size(v) : 1;
	if (n > COLLECTION_SPACES_MAX)
		return err_set(et, ERR_INVALID, "a point with %zu vectors; at most %d", n,
			COLLECTION_SPACES_MAX);
	item->vectors = arena_array_of(a, n + 1, struct item_vector);
	if (!item->vectors)
		return no_memory(et);
	item->n_vectors = n;
	if (!named)
		return item_json_numbers(v, a, &item->vectors[0].v, &item->vectors[0].dim, et);
	yyjson_obj_foreach(v, i, n, key, value)
	{
		struct item_vector *to = &item->vectors[at++];
		to->space = json_val_str(key);
		enum err e = item_json_numbers(value, a, &to->v, &to->dim, et);
		if (e)
			return err_wrap(et, e, "\"%.*s\"", STR_FMT(str_sub(to->space, 0, 100)));
	}
	return OK;
}

/* ---- items ---- */

enum err item_json_item(yyjson_val *id, yyjson_val *vector, yyjson_val *payload, struct arena *a,
	struct collection_item *out, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = item_json_id(id, &out->id, et);
	e = e ? e : item_json_vectors(vector, a, out, et);
	if (e || !payload)
		return e;
	if (!yyjson_is_obj(payload))
		return err_set(et, ERR_INVALID, "a payload must be a JSON object");
	jw_val(&w, payload);
	out->payload = arena_str(a, buf_str(&b));
	buf_free(&b);
	return out->payload.p ? OK : no_memory(et);
}

/* A text to embed stands in the payload too, so that hits can be read. */
static enum err take_text(
	yyjson_val *v, struct arena *a, struct collection_item *it, struct errtext *et)
{
	struct buf b = {.max = COLLECTION_PAYLOAD_MAX}, patch = {0};
	struct jw w = {.out = &patch};
	if (!v)
		return OK;
	it->text = json_val_str(v);
	if (!it->text.n)
		return err_set(et, ERR_INVALID, "text must be a text, and not an empty one");
	jw_obj(&w);
	jw_kstr(&w, "text", it->text);
	jw_end(&w);
	struct payload_patch p = {.change = PAYLOAD_SET, .object = buf_str(&patch)};
	enum err e = payload_apply(it->payload.n ? it->payload : S("{}"), &p, &b, et);
	it->payload = arena_str(a, buf_str(&b));
	buf_free(&b);
	buf_free(&patch);
	return e || it->payload.p ? e : no_memory(et);
}

enum err item_json_items(yyjson_val *list, struct arena *a, struct collection_item **out, size_t *n,
	struct errtext *et)
{
	yyjson_val *v;
	size_t i, count = yyjson_arr_size(list), max;
	struct collection_item *items = arena_array_of(a, count + 1, struct collection_item);
	if (!items)
		return no_memory(et);
	yyjson_arr_foreach(list, i, max, v)
	{
		enum err e = item_json_item(yyjson_obj_get(v, "id"), item_json_get(v, "vector"),
			item_json_get(v, "payload"), a, &items[i], et);
		e = e ? e : take_text(item_json_get(v, "text"), a, &items[i], et);
		if (e)
			return err_wrap(et, e, "item %zu", i);
	}
	*out = items;
	*n = count;
	return OK;
}

/* ---- spaces ---- */

static enum err parse_space(struct str name, yyjson_val *v, struct space *out, struct errtext *et)
{
	static const char *const no[] = {"multivector_config", "quantization_config", NULL};
	int64_t size = 0;
	struct str distance = json_str(v, "distance");
	enum err e = item_json_refuse(v, no, "vectors.", et);
	e = e ? e : json_want_i64(v, "size", 1, COLLECTION_DIM_MAX, &size, et);
	if (e)
		return e;
	*out = (struct space){.name = name,
		.dim = (uint32_t)size,
		.model = json_str(v, "model"),
		.identity = S("")};
	if (!out->model.p)
		out->model = S("");
	if (!size && !out->model.n)
		return err_set(et, ERR_INVALID,
			"vectors need a size (how many numbers each of them has) or a model");
	if (out->model.n && !distance.p)
		distance = S("Cosine");
	if (!distance_parse(distance, &out->distance))
		return err_set(et, ERR_INVALID,
			"the distance \"%.*s\" is not supported: Cosine, Dot and Euclid are",
			STR_FMT(str_sub(distance, 0, 40)));
	return OK;
}

enum err item_json_spaces(
	yyjson_val *v, struct arena *a, struct space **out, size_t *n, struct errtext *et)
{
	yyjson_val *key, *value;
	size_t i, count = 0, max;
	struct space *s = arena_array_of(a, COLLECTION_SPACES_MAX, struct space);
	enum err e = OK;
	if (!s)
		return no_memory(et);
	if (!yyjson_is_obj(v))
		return err_set(et, ERR_INVALID,
			"vectors is missing: {\"size\": 384, \"distance\": \"Cosine\"}, or an "
			"object of "
			"such under names");
	if (yyjson_is_int(yyjson_obj_get(v, "size")) || yyjson_is_str(yyjson_obj_get(v, "model"))) {
		e = parse_space(S(""), v, s, et);
		count = 1;
	} else {
		yyjson_obj_foreach(v, i, max, key, value)
		{
			if (count == COLLECTION_SPACES_MAX)
				return err_set(et, ERR_INVALID, "at most %d kinds of vectors",
					COLLECTION_SPACES_MAX);
			e = e ? e : parse_space(json_val_str(key), value, &s[count++], et);
		}
	}
	*out = s;
	*n = count;
	return e;
}

static void write_space(struct jw *w, const struct space *s)
{
	jw_obj(w);
	jw_ki64(w, "size", s->dim);
	jw_kc(w, "distance", distance_word(s->distance));
	if (s->model.n)
		jw_kstr(w, "model", s->model);
	jw_end(w);
}

void item_json_write_spaces(struct jw *w, const struct space *s, size_t n)
{
	if (n == 1 && !s[0].name.n) {
		write_space(w, &s[0]);
		return;
	}
	jw_obj(w);
	for (size_t i = 0; i < n; i++) {
		jw_key_str(w, s[i].name);
		write_space(w, &s[i]);
	}
	jw_end(w);
}

/* ---- what is wanted of a point ---- */

enum err item_json_want(
	yyjson_val *payload, yyjson_val *vectors, struct item_want *out, struct errtext *et)
{
	if (payload && !yyjson_is_bool(payload) && !yyjson_is_arr(payload) &&
		!yyjson_is_obj(payload))
		return err_set(et, ERR_INVALID,
			"with_payload must be a boolean, a list of keys, or {include} or "
			"{exclude}");
	if (vectors && !yyjson_is_bool(vectors) && !yyjson_is_arr(vectors))
		return err_set(et, ERR_INVALID, "with_vector must be a boolean or a list of names");
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
	yyjson_val *include = item_json_get(payload, "include"),
		   *exclude = item_json_get(payload, "exclude");
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

/* Clients with types take 1 for an integer: whole numbers end in .0. */
void item_json_write_number(struct jw *w, float v)
{
	char text[32];
	if (v != floorf(v) || fabsf(v) >= 1e6f) {
		jw_f32(w, v);
		return;
	}
	snprintf(text, sizeof text, "%.1f", (double)v);
	jw_raw(w, str_c(text));
}

static void write_numbers(struct jw *w, const struct item_vector *v)
{
	jw_arr(w);
	for (size_t i = 0; i < v->dim; i++)
		item_json_write_number(w, v->v[i]);
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

void item_json_write(
	struct jw *w, const struct collection_item *it, yyjson_val *payload, yyjson_val *vectors)
{
	jw_key(w, "id");
	item_json_write_id(w, &it->id);
	if (payload && !yyjson_is_false(payload)) {
		jw_key(w, "payload");
		write_payload(w, it, payload);
	}
	if (vectors && !yyjson_is_false(vectors)) {
		jw_key(w, "vector");
		write_vectors(w, it, vectors);
	}
}
