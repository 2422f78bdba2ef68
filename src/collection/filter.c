/* Filters: conditions on payloads, as sets of items. */
#include "collection/asof.h"

#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a filter");
}

/* ---- reading one ---- */

struct id_lookup {
	int64_t collection;
	struct tx *tx;
	struct arena *a;
	enum err e;
};

static bool key_of_id(void *ctx, yyjson_val *id, uint64_t *key)
{
	struct id_lookup *x = ctx;
	struct item_id wanted;
	struct item_row r;
	if (x->e)
		return false;
	if (yyjson_is_uint(id))
		item_id_number(yyjson_get_uint(id), &wanted);
	else if (item_id_parse(json_val_str(id), &wanted, NULL))
		return false;
	x->e = store_item(x->tx, x->collection, item_id_bytes(&wanted), (struct item_want){false},
		x->a, &r, NULL);
	if (x->e) {
		x->e = x->e == ERR_NOT_FOUND ? OK : x->e;
		return false;
	}
	*key = (uint64_t)r.num;
	return true;
}

enum err filter_read(struct croft *c, int64_t collection, yyjson_val *json, struct arena *a,
	const struct cond **out, struct errtext *et)
{
	struct id_lookup x = {.collection = collection, .a = a};
	*out = NULL;
	if (!json || yyjson_is_null(json))
		return OK;
	enum err e = db_begin(croft_db(c), TX_READ, &x.tx, et);
	if (e)
		return e;
	e = cond_parse_qdrant(json, key_of_id, &x, a, out, et);
	db_rollback(x.tx);
	if (!e && x.e)
		e = err_set(et, x.e, "the ids of a filter could not be looked up");
	return e;
}

enum err collection_filter(struct collection *k, yyjson_val *json, struct arena *a,
	const struct cond **out, struct errtext *et)
{
	return k->asof ? version_filter(asof_version(k), json, a, out, et)
		       : filter_read(k->c, k->number, json, a, out, et);
}

enum err collection_both(const struct cond *x, const struct cond *y, struct arena *a,
	const struct cond **out, struct errtext *et)
{
	const struct cond **of = arena_array_of(a, 2, const struct cond *);
	struct cond *both = arena_array_of(a, 1, struct cond);
	if (!of || !both)
		return no_memory(et);
	of[0] = x;
	of[1] = y;
	*both = (struct cond){.kind = COND_ALL, .of = of, .n_of = 2};
	*out = !x ? y : !y ? x : both;
	return OK;
}

/* ---- what matches ---- */

/* Keeps of the candidates those whose payload, as it is stored, matches. */
static enum err verify(struct collection *k, struct tx *tx, const struct cond *c,
	const struct bitmap *candidates, struct bitmap *out, struct errtext *et)
{
	enum { AT_ONCE = 256 };
	uint64_t keys[AT_ONCE], from = 0;
	size_t got;
	enum err e = OK;
	while (!e && (got = bitmap_keys(candidates, from, keys, AT_ONCE))) {
		struct arena *a = arena_new(0);
		for (size_t i = 0; i < got && !e; i++) {
			struct item_row r;
			yyjson_doc *doc = NULL;
			e = a ? row_by_num(k, tx, (int64_t)keys[i],
					(struct item_want){.payload = true}, a, &r, et)
			      : no_memory(et);
			if (e == ERR_NOT_FOUND) { /* gone meanwhile */
				e = OK;
				continue;
			}
			e = e ? e : json_parse(r.payload, &doc, et);
			if (!e && cond_matches(c, keys[i], yyjson_doc_get_root(doc)))
				bitmap_add(out, keys[i]);
			yyjson_doc_free(doc);
		}
		arena_free(a);
		from = keys[got - 1] + 1;
	}
	return e;
}

enum err filter_select(
	struct collection *k, const struct cond *c, struct bitmap *out, struct errtext *et)
{
	struct bitmap found = {0};
	struct tx *tx;
	bool exact = true;
	enum err e = asof_need(k, ASOF_FIELDS, et);
	e = e ? e : fields_select(k->fields, c, &found, &exact, et);
	if (!e && exact) {
		*out = found;
	} else if (!e) { /* an element by its place, say: the index cannot tell */
		e = db_begin(croft_db(k->c), TX_READ, &tx, et);
		if (!e) {
			e = verify(k, tx, c, &found, out, et);
			db_rollback(tx);
		}
		bitmap_free(&found);
	}
	return !e && out->err ? no_memory(et) : e;
}

enum err filter_bits(struct collection *k, const struct cond *c, const uint64_t *among,
	size_t n_among, struct vindex_filter *out, struct errtext *et)
{
	struct bitmap all = {0}, some = {0};
	const struct bitmap *b = &all;
	uint64_t max = 0;
	enum err e = c ? filter_select(k, c, &all, et) : OK;
	if (among) {
		for (size_t i = 0; i < n_among; i++)
			if (!c || bitmap_has(&all, among[i]))
				bitmap_add(&some, among[i]);
		b = &some;
	}
	pthread_rwlock_rdlock(&k->lock);
	max = k->n_nums;
	pthread_rwlock_unlock(&k->lock);
	if (!e) {
		uint64_t n_bits = 0, *bits = some.err ? NULL : bitmap_words(b, max + 64, &n_bits);
		*out = (struct vindex_filter){.bits = bits, .n_bits = n_bits, .count = b->count};
		e = bits ? OK : no_memory(et);
	}
	bitmap_free(&all);
	bitmap_free(&some);
	return e;
}

/* ---- lists ---- */

static int by_bytes(const void *a, const void *b)
{
	const struct matched *x = a, *y = b;
	return str_cmp(x->id, y->id);
}

/* Those that have gone meanwhile are not among them. */
enum err filter_list(struct collection *k, const struct cond *c, struct arena *a,
	struct matched **out, size_t *n, struct errtext *et)
{
	enum { AT_ONCE = 1024 };
	if (k->backend->list)
		return k->backend->list(k, c, S(""), SIZE_MAX, a, out, n, et);
	struct bitmap b = {0};
	uint64_t keys[AT_ONCE], from = 0;
	enum err e = filter_select(k, c, &b, et);
	struct matched *list = e ? NULL : arena_array_of(a, b.count + 1, struct matched);
	size_t found = 0, got;
	if (!e && !list)
		e = no_memory(et);
	while (!e && (got = bitmap_keys(&b, from, keys, AT_ONCE))) {
		for (size_t i = 0; i < got; i++) {
			list[found] = (struct matched){keys[i], shelf_id(k, keys[i], a)};
			found += list[found].id.p != NULL;
		}
		from = keys[got - 1] + 1;
	}
	bitmap_free(&b);
	if (e)
		return e;
	qsort(list, found, sizeof *list, by_bytes);
	*out = list;
	*n = found;
	return OK;
}

enum err collection_matching(struct collection *k, const struct cond *c, struct arena *a,
	struct item_id **out, size_t *n, struct errtext *et)
{
	struct matched *list;
	enum err e = filter_list(k, c, a, &list, n, et);
	struct item_id *ids = e ? NULL : arena_array_of(a, *n + 1, struct item_id);
	if (!e && !ids)
		e = no_memory(et);
	for (size_t i = 0; !e && i < *n; i++) {
		ids[i].n = (uint8_t)list[i].id.n;
		memcpy(ids[i].b, list[i].id.p, list[i].id.n);
	}
	*out = ids;
	return e;
}
