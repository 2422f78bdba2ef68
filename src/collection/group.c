/* Hits in groups, by the values of a field.
 *
 * 1. Ever more hits are asked for until there are as many groups as are wanted, or no more hits.
 *    Where the most hits of one search do not have enough groups, the next search leaves out the
 *    items of the groups that are known.
 * 2. A group that is not full yet is searched for among the items with its value. */
#include "base/room.h"
#include "collection/collection_int.h"
#include "collection/values.h"

#include <stdlib.h>

enum { GROUPS_MAX = 1000, FIRST_HITS = 64 };

struct grouped {
	struct collection *k;
	const struct grouping *g;
	hits_fn ask;
	void *ctx;
	struct arena *a;
	struct str path;
	struct map by_value; /* the number of a group, + 1 */
	struct hit_group *groups;
	size_t n;
	struct errtext *et;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for groups of hits");
}

/* ---- values of an item ---- */

struct values {
	struct arena *a;
	struct cond_value *v;
	size_t n, cap;
	bool bad; /* one of them is no group's */
};

static bool add_value(void *ctx, yyjson_val *v)
{
	struct values *x = ctx;
	struct cond_value value;
	if (!cond_value_of(v, &value) || value.type == COND_BOOL) {
		x->bad = true;
		return true;
	}
	for (size_t i = 0; i < x->n; i++)
		if (!cond_value_cmp(&x->v[i], &value))
			return true;
	if (!arena_room(x->a, x->v, x->n, x->cap))
		return false;
	x->v[x->n++] = value;
	return true;
}

/* ---- putting a hit into its groups ---- */

static void key_of(const struct cond_value *v, struct buf *out)
{
	if (v->type == COND_STRING)
		buf_addf(out, "s%.*s", STR_FMT(v->s));
	else
		buf_addf(out, "n%lld", (long long)v->n.i);
}

/* The group of a value, made when it is new and there is room; NULL: there is none. */
static enum err group_of(struct grouped *x, const struct cond_value *v, struct hit_group **out)
{
	struct buf key = {0};
	key_of(v, &key);
	uintptr_t at = key.err ? 0 : (uintptr_t)map_get(&x->by_value, buf_str(&key));
	enum err e = key.err ? no_memory(x->et) : OK;
	if (!e && !at && x->n < x->g->groups) {
		struct hit_group *g = &x->groups[x->n];
		*g = (struct hit_group){
			.value = *v, .hits = arena_array_of(x->a, x->g->size, struct item_hit)};
		if (v->type == COND_STRING)
			g->value.s = arena_str(x->a, v->s);
		at = ++x->n;
		if (!g->hits || (v->type == COND_STRING && !g->value.s.p) ||
			!map_put(&x->by_value, buf_str(&key), (void *)at))
			e = no_memory(x->et);
	}
	buf_free(&key);
	*out = at ? &x->groups[at - 1] : NULL;
	return e;
}

static void put_into(struct grouped *x, struct hit_group *g, const struct item_hit *h)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->hits[i].key == h->key)
			return;
	if (g->n < x->g->size)
		g->hits[g->n++] = *h;
}

/* only NULL: into all its groups, else into that one. */
static enum err place_hit(struct grouped *x, const struct item_hit *h, struct hit_group *only)
{
	struct values values = {.a = x->a};
	yyjson_doc *doc;
	struct str payload = h->item.payload.n ? h->item.payload : S("{}");
	enum err e = json_parse(payload, &doc, x->et);
	if (e)
		return e;
	if (!payload_values(yyjson_doc_get_root(doc), x->path, add_value, &values))
		e = no_memory(x->et);
	for (size_t i = 0; i < values.n && !values.bad && !e; i++) {
		struct hit_group *g = only;
		e = only ? OK : group_of(x, &values.v[i], &g);
		if (!e && g)
			put_into(x, g, h);
	}
	yyjson_doc_free(doc);
	return e;
}

static enum err place_all(
	struct grouped *x, struct item_hit *hits, size_t n, struct hit_group *only)
{
	enum err e = collection_fill(x->k, hits, &n, (struct item_want){true, false}, x->a, x->et);
	for (size_t i = 0; i < n && !e; i++)
		e = place_hit(x, &hits[i], only);
	return e;
}

/* ---- looking for groups ---- */

static int by_value(const void *a, const void *b)
{
	return cond_value_cmp(a, b);
}

/* Items with one of the groups' values. */
static enum err with_values(
	struct grouped *x, const struct hit_group *g, size_t n, struct cond **out)
{
	struct cond *c = arena_array_of(x->a, 1, struct cond);
	struct cond_value *v = arena_array_of(x->a, n, struct cond_value);
	if (!c || !v)
		return no_memory(x->et);
	for (size_t i = 0; i < n; i++)
		v[i] = g[i].value;
	qsort(v, n, sizeof *v, by_value);
	*c = (struct cond){.kind = COND_IN, .path = x->path, .values = v, .n_values = n};
	*out = c;
	return OK;
}

static enum err without_groups(struct grouped *x, struct cond **out)
{
	struct cond *in, *not = arena_array_of(x->a, 1, struct cond);
	const struct cond **of = arena_array_of(x->a, 1, const struct cond *);
	enum err e = not &&of ? with_values(x, x->groups, x->n, &in) : no_memory(x->et);
	if (e)
		return e;
	of[0] = in;
	*not = (struct cond){.kind = COND_NOT, .of = of, .n_of = 1};
	*out = not ;
	return OK;
}

/* *more: there may be groups that were not met. */
static enum err look_further(
	struct grouped *x, const struct cond *also, size_t k, size_t *got, bool *more)
{
	struct item_hit *hits = NULL;
	size_t n = 0;
	enum err e = x->ask(x->ctx, also, k, &hits, &n, x->et);
	*got = n;
	*more = !e && n >= k && x->n < x->g->groups;
	e = e ? e : place_all(x, hits, n, NULL);
	*more = *more && x->n < x->g->groups;
	return e;
}

static bool all_full(const struct grouped *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->groups[i].n < x->g->size)
			return false;
	return true;
}

static enum err find_groups(struct grouped *x, bool *all_seen)
{
	size_t k = MIN(
		MAX(2 * x->g->groups * x->g->size, (size_t)FIRST_HITS), (size_t)COLLECTION_K_MAX);
	size_t got;
	bool more = true;
	enum err e = OK;
	if (x->g->whole)
		k = COLLECTION_K_MAX;
	for (;; k = MIN(4 * k, (size_t)COLLECTION_K_MAX)) {
		e = look_further(x, NULL, k, &got, &more);
		*all_seen = got < k;
		if (e || !more || k == COLLECTION_K_MAX || x->g->whole)
			break;
	}
	while (!e && more && !x->g->whole) {
		struct cond *also = NULL;
		size_t before = x->n;
		e = x->n ? without_groups(x, &also) : OK;
		e = e ? e : look_further(x, also, COLLECTION_K_MAX, &got, &more);
		more = more && x->n > before;
	}
	return e;
}

/* Some of the items with the value may be in no group: then more are asked for. */
static enum err fill_group(struct grouped *x, struct hit_group *g)
{
	struct cond *also;
	size_t n = 0, k = x->g->size;
	enum err e = with_values(x, g, 1, &also);
	for (bool more = true; !e && more; k = MIN(4 * k, (size_t)COLLECTION_K_MAX)) {
		struct item_hit *hits = NULL;
		g->n = 0;
		e = x->ask(x->ctx, also, k, &hits, &n, x->et);
		e = e ? e : place_all(x, hits, n, g);
		more = n >= k && g->n < x->g->size && k < COLLECTION_K_MAX;
	}
	return e;
}

static enum err fill_groups(struct grouped *x)
{
	enum err e = OK;
	for (size_t i = 0; i < x->n && !e; i++)
		if (x->groups[i].n < x->g->size)
			e = fill_group(x, &x->groups[i]);
	return e;
}

enum err collection_groups(struct collection *k, const struct grouping *g, hits_fn ask, void *ctx,
	struct arena *a, struct hit_group **out, size_t *n, struct errtext *et)
{
	struct grouped x = {.k = k, .g = g, .ask = ask, .ctx = ctx, .a = a, .et = et};
	bool all_seen = false;
	if (!g->groups || g->groups > GROUPS_MAX || !g->size || g->size > GROUPS_MAX)
		return err_set(et, ERR_INVALID,
			"1 to %d groups, and 1 to %d hits in each, can be asked for", GROUPS_MAX,
			GROUPS_MAX);
	enum err e = cond_path(g->field, a, &x.path, et);
	if (!e && fields_has_place(x.path))
		e = err_set(et, ERR_UNSUPPORTED,
			"%.*s names a place in an array: hits cannot be grouped by it",
			STR_FMT(str_sub(g->field, 0, 100)));
	x.groups = e ? NULL : arena_array_of(a, g->groups, struct hit_group);
	if (!e && !x.groups)
		e = no_memory(et);
	e = e ? e : find_groups(&x, &all_seen);
	if (!e && !all_seen && !g->whole && !all_full(&x))
		e = fill_groups(&x);
	map_free(&x.by_value);
	for (size_t i = 0; i < x.n && !e; i++)
		e = collection_fill(k, x.groups[i].hits, &x.groups[i].n, g->want, a, et);
	if (!e) {
		*out = x.groups;
		*n = x.n;
	}
	return e;
}
