/* Facets, and items in the order of a field. */
#include "base/hash.h"
#include "collection/asof.h"
#include "collection/values_int.h"

#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the values of a field");
}

/* A field that the index of payloads can tell about. */
static enum err path_of(struct str field, struct arena *a, struct str *path, struct errtext *et)
{
	enum err e = cond_path(field, a, path, et);
	if (!e && fields_has_place(*path))
		e = err_set(et, ERR_UNSUPPORTED,
			"%.*s names a place in an array: that is not supported here",
			STR_FMT(str_sub(field, 0, 100)));
	return e;
}

/* The items that match, or NULL: all. */
static enum err among_of(struct collection *k, const struct cond *filter, struct bitmap *room,
	const struct bitmap **out, struct errtext *et)
{
	enum err e = filter ? filter_select(k, filter, room, et) : OK;
	*out = filter ? room : NULL;
	return e;
}

void cond_value_write(struct jw *w, const struct cond_value *v)
{
	if (v->type == COND_STRING)
		jw_str(w, v->s);
	else if (v->type == COND_BOOL)
		jw_bool(w, v->b);
	else if (v->n.integral)
		jw_i64(w, v->n.i);
	else
		jw_f64(w, v->n.d);
}

/* ---- facets ---- */

struct digest_search {
	struct str digest, found;
};

static bool look_at(void *ctx, yyjson_val *v)
{
	struct digest_search *x = ctx;
	uint8_t sha[32];
	if (!yyjson_is_str(v))
		return true;
	sha256_of(json_val_str(v), sha);
	if (str_eq(str_mk(sha, sizeof sha), x->digest))
		x->found = json_val_str(v);
	return !x->found.p;
}

/* The string of which the index has only the SHA-256, from an item that has it. */
static enum err spell_out(struct collection *k, struct tx *tx, struct str path,
	struct fields_facet *f, struct arena *a, struct errtext *et)
{
	struct item_row r;
	struct digest_search x = {.digest = f->value.s};
	yyjson_doc *doc = NULL;
	enum err e =
		row_by_num(k, tx, (int64_t)f->key, (struct item_want){.payload = true}, a, &r, et);
	if (e == ERR_NOT_FOUND)
		return OK;
	e = e ? e : json_parse(r.payload, &doc, et);
	if (e)
		return e;
	payload_values(yyjson_doc_get_root(doc), path, look_at, &x);
	if (x.found.p) {
		f->value.s = arena_str(a, x.found);
		f->digest = false;
	}
	yyjson_doc_free(doc);
	return x.found.p && !f->value.s.p ? no_memory(et) : OK;
}

static enum err spell_out_all(struct collection *k, struct str path, struct fields_facet *list,
	size_t n, struct arena *a, struct errtext *et)
{
	struct tx *tx = NULL;
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		if (!list[i].digest)
			continue;
		e = tx ? OK : db_begin(croft_db(k->c), TX_READ, &tx, et);
		e = e ? e : spell_out(k, tx, path, &list[i], a, et);
	}
	db_rollback(tx);
	return e;
}

enum err collection_facets(struct collection *k, struct str field, const struct cond *filter,
	size_t max, struct arena *a, struct facet **out, size_t *n, struct errtext *et)
{
	struct bitmap room = {0};
	const struct bitmap *among;
	struct fields_facet *list = NULL;
	struct str path;
	size_t found = 0, kept = 0;
	enum err e = path_of(field, a, &path, et);
	if (!e && k->backend->open) {
		e = scan_facets(k, path, filter, max, a, &list, &found, et);
	} else {
		e = e ? e : among_of(k, filter, &room, &among, et);
		e = e ? e : asof_need(k, ASOF_FIELDS, et);
		e = e ? e : fields_facets(k->fields, path, among, max, a, &list, &found, et);
	}
	bitmap_free(&room);
	e = e ? e : spell_out_all(k, path, list, found, a, et);
	struct facet *facets = e ? NULL : arena_array_of(a, found + 1, struct facet);
	if (!e && !facets)
		e = no_memory(et);
	for (size_t i = 0; i < found && !e; i++) {
		if (list[i].digest) /* gone meanwhile */
			continue;
		facets[kept++] = (struct facet){list[i].value, list[i].n};
	}
	if (!e) {
		*out = facets;
		*n = kept;
	}
	return e;
}

/* ---- order ---- */

enum err collection_ordered(struct collection *k, const struct item_order *o,
	const struct cond *filter, size_t max, struct item_want want, struct arena *a,
	struct collection_item **out, struct cond_number **values, size_t *n, struct errtext *et)
{
	struct bitmap room = {0};
	const struct bitmap *among;
	struct str path;
	size_t found = 0, kept = 0;
	struct fields_ordered *rows = arena_array_of(a, max + 1, struct fields_ordered);
	struct item_hit *hits = arena_array_of(a, max + 1, struct item_hit);
	struct collection_item *items = arena_array_of(a, max + 1, struct collection_item);
	struct cond_number *at = arena_array_of(a, max + 1, struct cond_number);
	if (!rows || !hits || !items || !at)
		return no_memory(et);
	enum err e = path_of(o->field, a, &path, et);
	bool here = !k->backend->open;
	e = e ? e : asof_need(k, ASOF_FIELDS, et);
	e = e      ? e
	    : here ? among_of(k, filter, &room, &among, et)
		   : scan_order(k, path, o, filter, max, a, rows, &found, et);
	e = e || !here ? e
		       : fields_order(k->fields, path, o->descending, o->has_from ? &o->from : NULL,
				 among, max, rows, &found, et);
	bitmap_free(&room);
	for (size_t i = 0; i < found; i++)
		hits[i].key = rows[i].key;
	size_t n_hits = found;
	e = e ? e : collection_fill(k, hits, &n_hits, want, a, et);
	for (size_t i = 0; i < found && kept < n_hits && !e; i++)
		if (hits[kept].key == rows[i].key) {
			items[kept] = hits[kept].item;
			at[kept++] = rows[i].value;
		}
	if (!e) {
		*out = items;
		*values = at;
		*n = kept;
	}
	return e;
}
