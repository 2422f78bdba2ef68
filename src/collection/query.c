/* Reading and searching. */
#include "collection/asof.h"
#include "collection/held.h"
#include "collection/migrate_int.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for items");
}

/* ---- rows to items ---- */

static enum err to_item(const struct collection *k, const struct item_row *r, struct item_want want,
	struct arena *a, struct collection_item *out, struct errtext *et)
{
	struct collection_item it = {.key = (uint64_t)r->num, .payload = S("")};
	if (r->id.n > sizeof it.id.b)
		return err_set(et, ERR_CORRUPT, "the stored id of an item is damaged");
	it.id.n = (uint8_t)r->id.n;
	memcpy(it.id.b, r->id.p, r->id.n);
	if (want.payload && !(it.payload = arena_str(a, r->payload)).p)
		return no_memory(et);
	const struct layout *l = layout_of(k);
	enum err e = want.vectors ? item_decode(r->vectors, l->spaces, l->n, a, &it.vectors,
					    &it.n_vectors, et)
				  : OK;
	if (!e)
		it.n_vectors = space_shown(l->spaces, it.vectors, it.n_vectors);
	if (!e)
		*out = it;
	return e;
}

/* ---- by id ---- */

enum err collection_get(struct collection *k, const struct item_id *ids, size_t n,
	struct item_want want, struct arena *a, struct collection_item **out, size_t *n_out,
	struct errtext *et)
{
	struct tx *tx;
	struct collection_item *list = arena_array_of(a, n + 1, struct collection_item);
	size_t found = 0;
	if (!list)
		return no_memory(et);
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	for (size_t i = 0; i < n && !e; i++) {
		struct item_row r;
		e = row_by_id(k, tx, item_id_bytes(&ids[i]), want, a, &r, et);
		if (e == ERR_NOT_FOUND) {
			e = OK;
			continue;
		}
		e = e ? e : to_item(k, &r, want, a, &list[found], et);
		found += !e;
	}
	db_rollback(tx);
	if (!e) {
		*out = list;
		*n_out = found;
	}
	return e;
}

enum err collection_vector(struct collection *k, const struct item_id *id, struct str space,
	struct arena *a, struct item_vector *out, struct errtext *et)
{
	const struct layout *l = layout_of(k);
	struct item_row r;
	struct item_vector *v;
	struct tx *tx;
	size_t n = 0;
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = row_by_id(k, tx, item_id_bytes(id), (struct item_want){.vectors = true}, a, &r, et);
	db_rollback(tx);
	if (!e)
		e = item_decode(r.vectors, l->spaces, l->n, a, &v, &n, et);
	for (size_t i = 0; !e && i < n; i++)
		if (str_eq(v[i].space, space)) {
			*out = v[i];
			return OK;
		}
	return e && e != ERR_NOT_FOUND ? e
				       : err_set(et, ERR_NOT_FOUND,
						 "the item that the query names is not there, or "
						 "has no such vector");
}

struct gathering {
	const struct collection *k;
	struct item_want want;
	struct arena *a;
	struct collection_item *list;
	size_t n;
};

static enum err gather(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct gathering *g = ctx;
	enum err e = to_item(g->k, r, g->want, g->a, &g->list[g->n], et);
	g->n += !e;
	return e;
}

/* The first of those that match, by id. */
static enum err scroll_matching(struct collection *k, const struct cond *filter, struct str from,
	size_t max, struct item_want want, struct arena *a, struct collection_item **out, size_t *n,
	struct errtext *et)
{
	struct matched *all;
	struct item_hit *hits = arena_array_of(a, max + 1, struct item_hit);
	size_t n_all, i = 0, got = 0;
	enum err e = !hits ? no_memory(et)
		     : k->backend->list
			     ? k->backend->list(k, filter, from, max, a, &all, &n_all, et)
			     : filter_list(k, filter, a, &all, &n_all, et);
	if (e)
		return e;
	while (i < n_all && str_cmp(all[i].id, from) < 0)
		i++;
	for (; i < n_all && got < max; i++)
		hits[got++].key = all[i].num;
	e = collection_fill(k, hits, &got, want, a, et);
	struct collection_item *items =
		e ? NULL : arena_array_of(a, got + 1, struct collection_item);
	if (!e && !items)
		e = no_memory(et);
	for (size_t j = 0; !e && j < got; j++)
		items[j] = hits[j].item;
	*out = items;
	*n = got;
	return e;
}

enum err collection_scroll(struct collection *k, const struct cond *filter,
	const struct item_id *from, size_t max, struct item_want want, struct arena *a,
	struct collection_item **out, size_t *n, struct errtext *et)
{
	if (filter)
		return scroll_matching(
			k, filter, from ? item_id_bytes(from) : S(""), max, want, a, out, n, et);
	if (k->asof)
		return version_scroll(asof_version(k), NULL, from, max, want, a, out, n,
			croft_request() ? croft_request()->cancel : NULL, et);
	struct gathering g = {k, want, a, arena_array_of(a, max + 1, struct collection_item), 0};
	struct tx *tx;
	if (!g.list)
		return no_memory(et);
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_items_from(
		tx, k->number, from ? item_id_bytes(from) : S(""), max, want, gather, &g, et);
	db_rollback(tx);
	if (!e) {
		*out = g.list;
		*n = g.n;
	}
	return e;
}

size_t collection_count(struct collection *k)
{
	pthread_rwlock_rdlock(&k->lock);
	size_t n = k->live;
	pthread_rwlock_unlock(&k->lock);
	return n;
}

enum err collection_count_matching(
	struct collection *k, const struct cond *c, size_t *n, struct errtext *et)
{
	struct bitmap b = {0};
	if (k->backend->count)
		return k->backend->count(k, c, n, et);
	enum err e = filter_select(k, c, &b, et);
	if (!e)
		*n = (size_t)b.count;
	bitmap_free(&b);
	return e;
}

/* ---- nearest ---- */

static enum err check_query(
	const struct collection *k, const struct item_query *q, struct errtext *et)
{
	const struct space *s = collection_space(k, q->space);
	if (!s)
		return err_set(et, ERR_INVALID, "the collection %.*s has no vectors named \"%.*s\"",
			STR_FMT(k->name), STR_FMT(str_sub(q->space, 0, 100)));
	enum err e = collection_vector_fits(k, s,
		&(struct item_vector){s->name, q->vector, q->dim, s->place, q->at, q->rows}, et);
	if (e)
		return err_wrap(et, e, "the query");
	if (!q->k || q->k > COLLECTION_K_MAX)
		return err_set(et, ERR_INVALID, "%d hits at most can be asked for, and not none",
			COLLECTION_K_MAX);
	return OK;
}

/* Scores of an index are better when they are higher; a distance is better when it is lower. */
float distance_shown(enum distance d, float score)
{
	return d == DISTANCE_L2 ? sqrtf(MAX(-score, 0.0f)) : d == DISTANCE_L1 ? -score : score;
}

float distance_score(enum distance d, float shown)
{
	return d == DISTANCE_L2 ? -(shown * shown) : d == DISTANCE_L1 ? -shown : shown;
}

static void set_worst(const struct space *s, float worst, struct vindex_query *v)
{
	v->within = !isnan(worst);
	v->min_score = distance_score(s->distance, worst);
}

/* Of a hit all but its score. *there false: the item has gone meanwhile. */
static enum err fill(struct collection *k, struct tx *tx, uint64_t key, struct item_want want,
	struct arena *a, struct item_hit *out, bool *there, struct errtext *et)
{
	struct item_row r = {.num = (int64_t)key};
	enum err e = OK;
	if (tx)
		e = row_by_num(k, tx, r.num, want, a, &r, et);
	else
		r.id = shelf_id(k, key, a);
	*there = !e && r.id.p;
	out->key = key;
	if (e == ERR_NOT_FOUND || (!e && !r.id.p))
		return OK;
	return e ? e : to_item(k, &r, want, a, &out->item, et);
}

enum err collection_fill(struct collection *k, struct item_hit *hits, size_t *n,
	struct item_want want, struct arena *a, struct errtext *et)
{
	struct tx *tx = NULL;
	size_t kept = 0;
	bool read = want.payload || want.vectors || k->backend->open; /* else ids are in memory */
	enum err e = read ? db_begin(croft_db(k->c), TX_READ, &tx, et) : OK;
	for (size_t i = 0; i < *n && !e; i++) {
		bool there;
		hits[kept].score = hits[i].score;
		e = fill(k, tx, hits[i].key, want, a, &hits[kept], &there, et);
		kept += there;
	}
	db_rollback(tx);
	*n = e ? *n : kept;
	return e;
}

static void leave_out(const struct item_query *q, struct item_hit *hits, size_t *n)
{
	size_t kept = 0;
	for (size_t i = 0; i < *n && kept < q->k; i++) {
		bool out = false;
		for (size_t j = 0; j < q->n_without; j++)
			out |= str_eq(
				item_id_bytes(&q->without[j]), item_id_bytes(&hits[i].item.id));
		if (!out)
			hits[kept++] = hits[i];
	}
	*n = kept;
}

static enum err query_elsewhere(struct collection *k, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et)
{
	struct item_hit *hits;
	struct item_query more = *q;
	size_t n_hits;
	more.k += MIN(q->n_without, (size_t)COLLECTION_K_MAX);
	enum err e = check_query(k, q, et);
	struct item_search said = {0};
	e = e ? e : k->backend->query(k, &more, a, &hits, &n_hits, &said, et);
	e = e ? e : collection_fill(k, hits, &n_hits, q->want, a, et);
	if (!e) {
		const struct space *s = collection_space(k, q->space);
		if (said.approximate && !s->kind && !q->filter && !q->ef && isnan(q->worst))
			recall_offer(k, s, q->vector, more.k, NULL);
		leave_out(q, hits, &n_hits);
		if (how)
			*how = said;
		*out = hits;
		*n = n_hits;
	}
	return e;
}

/* Of sparse vectors or lists of vectors. */
static enum err query_kind(struct collection *k, const struct space *s, const struct item_query *q,
	struct arena *a, struct item_hit **out, size_t *n, struct item_search *how,
	struct errtext *et)
{
	struct vindex_answer answer = {0};
	struct bitmap matching = {0}, some = {0};
	size_t most = q->k + MIN(q->n_without, (size_t)COLLECTION_K_MAX);
	struct hit *found = arena_array_of(a, most, struct hit);
	struct item_hit *hits = arena_array_of(a, most, struct item_hit);
	const struct bitmap *among = q->filter ? &matching : NULL;
	enum err e = !found || !hits ? no_memory(et)
		     : q->filter     ? filter_select(k, q->filter, &matching, et)
				     : OK;
	e = e ? e : asof_need(k, ASOF_KINDS, et);
	for (size_t i = 0; q->among && i < q->n_among; i++)
		if (!q->filter || bitmap_has(&matching, q->among[i]))
			bitmap_add(&some, q->among[i]);
	among = q->among ? &some : among;
	if (!e && some.err)
		e = no_memory(et);
	e = e ? e : kinds_query(k, s, q, among, most, found, &answer, et);
	bitmap_free(&matching);
	bitmap_free(&some);
	for (size_t i = 0; i < answer.n && !e; i++)
		hits[i] = (struct item_hit){
			.key = found[i].key, .score = distance_shown(s->distance, found[i].score)};
	e = e ? e : collection_fill(k, hits, &answer.n, q->want, a, et);
	if (e)
		return e;
	leave_out(q, hits, &answer.n);
	*out = hits;
	*n = answer.n;
	if (how)
		*how = (struct item_search){answer.how == VINDEX_GRAPH, answer.ef, answer.compared};
	return OK;
}

enum err collection_query(struct collection *k, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et)
{
	if (k->backend->query)
		return query_elsewhere(k, q, a, out, n, how, et);
	struct vindex_answer answer = {0};
	struct vindex_filter filter = {0};
	bool indexed = false, gone = false;
	enum err e = check_query(k, q, et);
	if (e)
		return e;
	const struct space *s = collection_space(k, q->space);
	size_t most = q->k + MIN(q->n_without, (size_t)COLLECTION_K_MAX);
	struct hit *found = arena_array_of(a, most, struct hit);
	struct item_hit *hits = arena_array_of(a, most, struct item_hit);
	struct vindex_query v = {.vector = q->vector,
		.k = most,
		.ef = q->ef,
		.exact = q->exact,
		.cancel = q->cancel};
	set_worst(s, q->worst, &v);
	if (!found || !hits)
		return no_memory(et);
	if (s->kind)
		return query_kind(k, s, q, a, out, n, how, et);
	if (k->asof) {
		e = asof_indexed(k, s, q->among != NULL, &indexed, et);
		if (e || !indexed)
			return e ? e : version_search(asof_version(k), q, a, out, n, how, et);
	}
	if (q->among || q->filter) {
		e = filter_bits(k, q->filter, q->among, q->n_among, &filter, et);
		v.filter = &filter;
	}
	/* the effort is ours to choose */
	bool own = !q->ef && !q->exact && !q->among && !v.within && !k->asof;
	if (!e && own && v.filter)
		v.ef = recall_effort(k, s, v.filter);
	e = e         ? e
	    : k->asof ? asof_search(k, s, &v, found, &answer, &gone, et)
		      : vindex_search(layout_of(k)->index[s->place], &v, found, &answer, et);
	if (!e && gone && !q->among) { /* the live items have become others */
		free((void *)filter.bits);
		return version_search(asof_version(k), q, a, out, n, how, et);
	}
	if (!e && gone)
		e = err_set(et, ERR_BUSY, "%.*s is written to all the time: try again",
			STR_FMT(k->name));
	for (size_t i = 0; i < answer.n && !e; i++)
		hits[i] = (struct item_hit){
			.key = found[i].key, .score = distance_shown(s->distance, found[i].score)};
	e = e ? e : collection_fill(k, hits, &answer.n, q->want, a, et);
	if (!e) {
		leave_out(q, hits, &answer.n);
	}
	if (!e && !k->asof) {
		if (answer.how == VINDEX_GRAPH && own)
			recall_offer(k, s, q->vector, most, v.filter);
		shadow_offer(k, q, &filter, v.filter != NULL, hits, answer.n);
	}
	free((void *)filter.bits);
	if (e)
		return e;
	*out = hits;
	*n = answer.n;
	if (how)
		*how = (struct item_search){answer.how == VINDEX_GRAPH, answer.ef, answer.compared};
	return OK;
}
