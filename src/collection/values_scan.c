/* Facets and order of a collection that is not in memory: all payloads are read once, a part at a
 * time, and each part has the index of payloads that a collection in memory has of all of them. So
 * both mean the same by a field and its values. */
#include "collection/values_int.h"
#include "base/map.h"

#include <stdlib.h>

enum { PART_ITEMS = 5000 };

struct scan {
	struct collection *k;
	const struct cond *filter;
	struct fields *fields; /* of the present part */
	int64_t last;
	size_t n; /* items of it */
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the values of a field");
}

static enum err take(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct scan *x = ctx;
	bool yes = true;
	x->last = r->num;
	x->n++;
	if (x->filter) {
		yyjson_doc *doc;
		enum err e = json_parse(r->payload, &doc, et);
		if (e)
			return e;
		yes = cond_matches(x->filter, (uint64_t)r->num, yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
	}
	return yes ? fields_put(x->fields, (uint64_t)r->num, r->payload, et) : OK;
}

/* fn for each part, which x->fields then is. */
static enum err each_part(struct scan *x,
	enum err (*fn)(struct scan *x, void *ctx, struct errtext *et), void *ctx,
	struct errtext *et)
{
	const struct fields_options no_words = {.some_text = true};
	struct tx *tx;
	enum err e = db_begin(croft_db(x->k->c), TX_READ, &tx, et);
	if (e)
		return e;
	do {
		x->n = 0;
		x->fields = NULL;
		e = fields_new(&no_words, &x->fields, et);
		e = e ? e
		      : store_items_part(tx, x->k->number, x->last, PART_ITEMS,
				(struct item_want){.payload = true}, take, x, et);
		e = e ? e : fields_publish(x->fields, et);
		e = e ? e : fn(x, ctx, et);
		fields_free(x->fields);
	} while (!e && x->n == PART_ITEMS);
	db_rollback(tx);
	return e;
}

/* ---- facets ---- */

struct facets {
	struct str path;
	struct arena *a;
	struct map known; /* value -> struct fields_facet */
};

static void key_of(const struct fields_facet *f, struct buf *out)
{
	struct jw w = {.out = out};
	buf_putc(out, (char)('0' + f->value.type * 2 + f->digest));
	if (f->value.type == COND_STRING)
		buf_adds(out, f->value.s);
	else
		cond_value_write(&w, &f->value);
}

static enum err add_facet(struct facets *x, const struct fields_facet *f, struct errtext *et)
{
	struct buf key = {0};
	key_of(f, &key);
	struct fields_facet *known = key.err ? NULL : map_get(&x->known, buf_str(&key));
	enum err e = key.err ? no_memory(et) : OK;
	if (known) {
		known->n += f->n;
	} else if (!e) {
		known = arena_new_of(x->a, struct fields_facet);
		if (known)
			*known = *f;
		if (!known || !map_put(&x->known, buf_str(&key), known))
			e = no_memory(et);
	}
	buf_free(&key);
	return e;
}

static enum err facets_of_part(struct scan *s, void *ctx, struct errtext *et)
{
	struct facets *x = ctx;
	struct fields_facet *list = NULL;
	size_t n = 0;
	enum err e = fields_facets(s->fields, x->path, NULL, SIZE_MAX / 256, x->a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		e = add_facet(x, &list[i], et);
	return e;
}

/* As fields_facets sorts them. */
static int by_count(const void *a, const void *b)
{
	static const int rank[] = {[COND_BOOL] = 0, [COND_NUMBER] = 1, [COND_STRING] = 2};
	const struct fields_facet *x = a, *y = b;
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	int by_type = rank[x->value.type] - rank[y->value.type];
	return by_type ? by_type : cond_value_cmp(&x->value, &y->value);
}

enum err scan_facets(struct collection *k, struct str path, const struct cond *filter, size_t max,
	struct arena *a, struct fields_facet **out, size_t *n, struct errtext *et)
{
	struct scan s = {.k = k, .filter = filter};
	struct facets x = {.path = path, .a = a};
	struct fields_facet *list = NULL;
	struct str key;
	void *value;
	size_t found = 0;
	enum err e = each_part(&s, facets_of_part, &x, et);
	if (!e && !(list = arena_array_of(a, x.known.n + 1, struct fields_facet)))
		e = no_memory(et);
	for (size_t i = 0; !e && map_next(&x.known, &i, &key, &value);)
		list[found++] = *(struct fields_facet *)value;
	map_free(&x.known);
	if (e)
		return e;
	qsort(list, found, sizeof *list, by_count);
	*out = list;
	*n = MIN(found, max);
	return OK;
}

/* ---- order ---- */

struct order {
	struct str path;
	const struct item_order *o;
	struct fields_ordered *rows, *part, *merged; /* max of each */
	size_t n, max;
};

static bool before(
	const struct order *x, const struct fields_ordered *a, const struct fields_ordered *b)
{
	int cmp = cond_number_cmp(a->value, b->value);
	if (cmp)
		return x->o->descending ? cmp > 0 : cmp < 0;
	return a->key < b->key;
}

static enum err order_of_part(struct scan *s, void *ctx, struct errtext *et)
{
	struct order *x = ctx;
	size_t n = 0, i = 0, j = 0, got = 0;
	enum err e = fields_order(s->fields, x->path, x->o->descending,
		x->o->has_from ? &x->o->from : NULL, NULL, x->max, x->part, &n, et);
	if (e)
		return e;
	while (got < x->max && (i < x->n || j < n))
		x->merged[got++] = j == n || (i < x->n && before(x, &x->rows[i], &x->part[j]))
					   ? x->rows[i++]
					   : x->part[j++];
	memcpy(x->rows, x->merged, got * sizeof *x->rows);
	x->n = got;
	return OK;
}

enum err scan_order(struct collection *k, struct str path, const struct item_order *o,
	const struct cond *filter, size_t max, struct arena *a, struct fields_ordered *rows,
	size_t *n, struct errtext *et)
{
	struct scan s = {.k = k, .filter = filter};
	struct order x = {.path = path,
		.o = o,
		.rows = rows,
		.part = arena_array_of(a, max + 1, struct fields_ordered),
		.merged = arena_array_of(a, max + 1, struct fields_ordered),
		.max = max};
	enum err e = x.part && x.merged ? each_part(&s, order_of_part, &x, et) : no_memory(et);
	*n = e ? 0 : x.n;
	return e;
}
