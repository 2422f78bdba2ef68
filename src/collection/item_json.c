/* JSON of items to ids, vectors and items, and back. */
#include "collection/item_json.h"
#include "collection/collection_int.h"

#include <math.h>
#include <stdlib.h>

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
			"a vector must be a list of numbers, %d at most; or {indices, values}, or "
			"a list of such lists",
			COLLECTION_DIM_MAX);
	float *f = arena_array_of(a, count, float);
	if (!f)
		return no_memory(et);
	yyjson_arr_foreach(v, i, max, x)
	{
		if (!yyjson_is_num(x))
			return err_set(et, ERR_INVALID, "number %zu of a vector is none", i);
		f[i] = (float)yyjson_get_num(x);
	}
	*out = f;
	*n = count;
	return OK;
}

/* ---- sparse vectors and lists of vectors ---- */

struct entry {
	uint32_t at;
	float v;
};

static int by_index(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

/* In the order of their indices. */
static enum err sort_entries(
	struct entry *list, size_t n, struct arena *a, struct item_vector *out, struct errtext *et)
{
	uint32_t *at = arena_array_of(a, n + 1, uint32_t);
	float *v = arena_array_of(a, n + 1, float);
	if (!at || !v)
		return no_memory(et);
	qsort(list, n, sizeof *list, by_index);
	for (size_t i = 0; i < n; i++) {
		if (i && list[i].at == list[i - 1].at)
			return err_set(et, ERR_INVALID,
				"the index %u stands twice in a sparse vector", list[i].at);
		at[i] = list[i].at;
		v[i] = list[i].v;
	}
	out->at = at;
	out->v = v;
	out->dim = n;
	return OK;
}

static enum err read_sparse(
	yyjson_val *v, struct arena *a, struct item_vector *out, struct errtext *et)
{
	yyjson_val *indices = yyjson_obj_get(v, "indices"), *values = yyjson_obj_get(v, "values"),
		   *x;
	size_t i, n = yyjson_arr_size(indices), max;
	if (!yyjson_is_arr(indices) || !yyjson_is_arr(values) || yyjson_arr_size(values) != n)
		return err_set(et, ERR_INVALID,
			"a sparse vector is {\"indices\": [...], \"values\": [...]}, as many of "
			"one "
			"as of the other");
	if (n > COLLECTION_SPARSE_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"a sparse vector of %zu numbers; at most %d are possible", n,
			COLLECTION_SPARSE_MAX);
	struct entry *list = arena_array_of(a, n + 1, struct entry);
	if (!list)
		return no_memory(et);
	yyjson_arr_foreach(indices, i, max, x)
	{
		if (!yyjson_is_uint(x) || yyjson_get_uint(x) > UINT32_MAX)
			return err_set(et, ERR_INVALID,
				"index %zu of a sparse vector is no number from 0 to %u", i,
				UINT32_MAX);
		list[i].at = (uint32_t)yyjson_get_uint(x);
	}
	yyjson_arr_foreach(values, i, max, x)
	{
		if (!yyjson_is_num(x))
			return err_set(
				et, ERR_INVALID, "value %zu of a sparse vector is no number", i);
		list[i].v = (float)yyjson_get_num(x);
	}
	return sort_entries(list, n, a, out, et);
}

static enum err read_rows(
	yyjson_val *v, struct arena *a, struct item_vector *out, struct errtext *et)
{
	yyjson_val *row, *x;
	size_t i, j, n = yyjson_arr_size(v), dim = yyjson_arr_size(yyjson_arr_get_first(v)), max, m;
	if (n > COLLECTION_ROWS_MAX || !dim || dim > COLLECTION_DIM_MAX)
		return err_set(et, ERR_INVALID,
			"a list of vectors has 1 to %d of them, of 1 to %d numbers",
			COLLECTION_ROWS_MAX, COLLECTION_DIM_MAX);
	float *f = arena_array_of(a, n * dim, float);
	if (!f)
		return no_memory(et);
	yyjson_arr_foreach(v, i, max, row)
	{
		if (yyjson_arr_size(row) != dim)
			return err_set(et, ERR_INVALID,
				"vector %zu of a list has %zu numbers, the first one %zu", i,
				yyjson_arr_size(row), dim);
		yyjson_arr_foreach(row, j, m, x)
		{
			if (!yyjson_is_num(x))
				return err_set(et, ERR_INVALID,
					"number %zu of vector %zu of a list is none", j, i);
			f[i * dim + j] = (float)yyjson_get_num(x);
		}
	}
	out->v = f;
	out->dim = dim;
	out->rows = n;
	return OK;
}

enum err item_json_vector(
	yyjson_val *v, struct arena *a, struct item_vector *out, struct errtext *et)
{
	if (yyjson_is_obj(v))
		return read_sparse(v, a, out, et);
	if (yyjson_is_arr(yyjson_arr_get_first(v)))
		return read_rows(v, a, out, et);
	return item_json_numbers(v, a, &out->v, &out->dim, et);
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
		return item_json_vector(v, a, &item->vectors[0], et);
	yyjson_obj_foreach(v, i, n, key, value)
	{
		struct item_vector *to = &item->vectors[at++];
		to->space = json_val_str(key);
		enum err e = item_json_vector(value, a, to, et);
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
	static const char *const no[] = {"quantization_config", NULL};
	yyjson_val *multi = item_json_get(v, "multivector_config");
	struct str comparator = json_str(multi, "comparator");
	int64_t size = 0;
	struct str distance = json_str(v, "distance");
	enum err e = item_json_refuse(v, no, "vectors.", et);
	e = e ? e : json_want_i64(v, "size", 1, COLLECTION_DIM_MAX, &size, et);
	if (e)
		return e;
	*out = (struct space){.name = name,
		.dim = (uint32_t)size,
		.model = json_str(v, "model"),
		.identity = S(""),
		.kind = multi ? SPACE_MULTI : SPACE_DENSE};
	if (multi && !str_eq_c(comparator, "max_sim"))
		return err_set(et, ERR_INVALID,
			"multivector_config.comparator must be max_sim: there is no other");
	if (multi && out->model.n)
		return err_set(et, ERR_INVALID,
			"lists of vectors are brought along: no model here makes them");
	if (!out->model.p)
		out->model = S("");
	if (!size && !out->model.n)
		return err_set(et, ERR_INVALID,
			"vectors need a size (how many numbers each of them has) or a model");
	if (out->model.n && !distance.p)
		distance = S("Cosine");
	if (!distance_parse(distance, &out->distance))
		return err_set(et, ERR_INVALID,
			"the distance \"%.*s\" is not supported: Cosine, Dot, Euclid and "
			"Manhattan are",
			STR_FMT(str_sub(distance, 0, 40)));
	return OK;
}

static enum err parse_sparse(struct str name, yyjson_val *v, struct space *out, struct errtext *et)
{
	struct str modifier = json_str(v, "modifier");
	if (!name.n)
		return err_set(et, ERR_INVALID, "sparse vectors need a name");
	if (modifier.n && !str_eq_c(modifier, "idf") && !str_eq_c(modifier, "none"))
		return err_set(et, ERR_INVALID,
			"the modifier \"%.*s\" of sparse vectors is not supported: idf and none "
			"are",
			STR_FMT(str_sub(modifier, 0, 40)));
	*out = (struct space){.name = name,
		.dim = 1,
		.distance = DISTANCE_DOT,
		.model = S(""),
		.identity = S(""),
		.kind = SPACE_SPARSE,
		.idf = str_eq_c(modifier, "idf")};
	return OK;
}

struct spaces {
	struct space *list;
	size_t n;
};

typedef enum err (*space_fn)(struct str name, yyjson_val *v, struct space *out, struct errtext *et);

static enum err parse_named(yyjson_val *v, space_fn fn, struct spaces *s, struct errtext *et)
{
	yyjson_val *key, *value;
	size_t i, max;
	enum err e = OK;
	yyjson_obj_foreach(v, i, max, key, value)
	{
		if (s->n == COLLECTION_SPACES_MAX)
			return err_set(et, ERR_INVALID, "at most %d kinds of vectors",
				COLLECTION_SPACES_MAX);
		e = e ? e : fn(json_val_str(key), value, &s->list[s->n++], et);
	}
	return e;
}

enum err item_json_spaces(yyjson_val *v, yyjson_val *sparse, struct arena *a, struct space **out,
	size_t *n, struct errtext *et)
{
	struct spaces s = {arena_array_of(a, COLLECTION_SPACES_MAX, struct space), 0};
	enum err e = OK;
	if (!s.list)
		return no_memory(et);
	if ((!yyjson_is_obj(v) && !(sparse && !v)) || (sparse && !yyjson_is_obj(sparse)))
		return err_set(et, ERR_INVALID,
			"vectors is missing: {\"size\": 384, \"distance\": \"Cosine\"}, or an "
			"object of such under names; or sparse_vectors: {\"name\": {}}");
	if (yyjson_is_int(yyjson_obj_get(v, "size")) || yyjson_is_str(yyjson_obj_get(v, "model")))
		e = parse_space(S(""), v, &s.list[s.n++], et);
	else
		e = parse_named(v, parse_space, &s, et);
	e = e ? e : parse_named(sparse, parse_sparse, &s, et);
	*out = s.list;
	*n = s.n;
	return e;
}

void item_json_write_space(struct jw *w, const struct space *s)
{
	jw_obj(w);
	jw_ki64(w, "size", s->dim);
	jw_kc(w, "distance", distance_word(s->distance));
	if (s->kind == SPACE_MULTI) {
		jw_key(w, "multivector_config");
		jw_raw(w, S("{\"comparator\":\"max_sim\"}"));
	}
	if (s->model.n)
		jw_kstr(w, "model", s->model);
	jw_end(w);
}

void item_json_write_spaces(struct jw *w, const struct space *s, size_t n)
{
	if (n && !s[0].name.n) {
		item_json_write_space(w, &s[0]);
		return;
	}
	jw_obj(w);
	for (size_t i = 0; i < n; i++)
		if (s[i].kind != SPACE_SPARSE) {
			jw_key_str(w, s[i].name);
			item_json_write_space(w, &s[i]);
		}
	jw_end(w);
}

bool item_json_write_sparse(struct jw *w, const struct space *s, size_t n)
{
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		if (s[i].kind != SPACE_SPARSE)
			continue;
		if (!any) {
			jw_key(w, "sparse_vectors");
			jw_obj(w);
		}
		any = true;
		jw_key_str(w, s[i].name);
		jw_obj(w);
		if (s[i].idf)
			jw_kc(w, "modifier", "idf");
		jw_end(w);
	}
	if (any)
		jw_end(w);
	return any;
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

static void write_list(struct jw *w, const float *v, size_t n)
{
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		item_json_write_number(w, v[i]);
	jw_end(w);
}

static void write_sparse(struct jw *w, const struct item_vector *v)
{
	jw_obj(w);
	jw_key(w, "indices");
	jw_arr(w);
	for (size_t i = 0; i < v->dim; i++)
		jw_u64(w, v->at[i]);
	jw_end(w);
	jw_key(w, "values");
	write_list(w, v->v, v->dim);
	jw_end(w);
}

static void write_numbers(struct jw *w, const struct item_vector *v)
{
	if (v->at) {
		write_sparse(w, v);
		return;
	}
	if (!v->rows) {
		write_list(w, v->v, v->dim);
		return;
	}
	jw_arr(w);
	for (size_t i = 0; i < v->rows; i++)
		write_list(w, v->v + i * v->dim, v->dim);
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
