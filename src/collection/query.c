/* Reading and searching. */
#include "collection/collection_int.h"

#include <math.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for items");
}

/* ---- rows to items ---- */

static enum err to_item(const struct collection *k, const struct item_row *r, struct item_want want,
	struct arena *a, struct collection_item *out, struct errtext *et)
{
	struct collection_item it = {.payload = S("")};
	if (r->id.n > sizeof it.id.b)
		return err_set(et, ERR_CORRUPT, "the stored id of an item is damaged");
	it.id.n = (uint8_t)r->id.n;
	memcpy(it.id.b, r->id.p, r->id.n);
	if (want.payload && !(it.payload = arena_str(a, r->payload)).p)
		return no_memory(et);
	enum err e = want.vectors ? item_decode(r->vectors, k->spaces, k->n_spaces, a, &it.vectors,
					    &it.n_vectors, et)
				  : OK;
	if (!e)
		*out = it;
	return e;
}

static struct item_read read_of(struct item_want want)
{
	return (struct item_read){want.payload, want.vectors};
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
		e = store_item(tx, k->number, item_id_bytes(&ids[i]), read_of(want), a, &r, et);
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

enum err collection_scroll(struct collection *k, const struct item_id *from, size_t max,
	struct item_want want, struct arena *a, struct collection_item **out, size_t *n,
	struct errtext *et)
{
	struct gathering g = {k, want, a, arena_array_of(a, max + 1, struct collection_item), 0};
	struct tx *tx;
	if (!g.list)
		return no_memory(et);
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_items_from(tx, k->number, from ? item_id_bytes(from) : S(""), max, read_of(want),
		gather, &g, et);
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

/* ---- nearest ---- */

static enum err check_query(
	const struct collection *k, const struct item_query *q, struct errtext *et)
{
	const struct space *s = collection_space(k, q->space);
	if (!s)
		return err_set(et, ERR_INVALID, "the collection %.*s has no vectors named \"%.*s\"",
			STR_FMT(k->name), STR_FMT(str_sub(q->space, 0, 100)));
	if (q->dim != s->dim)
		return err_set(et, ERR_INVALID,
			"the query is a vector of %zu numbers, \"%.*s\" takes %u: it was made by "
			"another model, or for another collection",
			q->dim, STR_FMT(s->name), s->dim);
	for (size_t i = 0; i < q->dim; i++)
		if (!isfinite(q->vector[i]))
			return err_set(et, ERR_INVALID, "number %zu of the query is not finite", i);
	if (!q->k || q->k > COLLECTION_K_MAX)
		return err_set(et, ERR_INVALID, "%d hits at most can be asked for, and not none",
			COLLECTION_K_MAX);
	return OK;
}

/* Scores of an index are better when they are higher; a distance is better when it is lower. */
static void set_worst(const struct space *s, float worst, struct vindex_query *v)
{
	v->within = !isnan(worst);
	v->min_score = s->distance != DISTANCE_L2 ? worst : -(worst * worst);
}

static float score_of(const struct space *s, float score)
{
	return s->distance == DISTANCE_L2 ? sqrtf(MAX(-score, 0.0f)) : score;
}

/* A hit whose item has gone meanwhile is left out. */
static enum err fill(struct collection *k, struct tx *tx, const struct hit *h,
	struct item_want want, struct arena *a, struct item_hit *out, bool *there,
	struct errtext *et)
{
	struct item_row r = {.num = (int64_t)h->key};
	enum err e = OK;
	if (tx)
		e = store_item_by_num(tx, k->number, r.num, read_of(want), a, &r, et);
	else
		r.id = shelf_id(k, h->key, a);
	*there = !e && r.id.p;
	if (e == ERR_NOT_FOUND || (!e && !r.id.p))
		return OK;
	return e ? e : to_item(k, &r, want, a, &out->item, et);
}

enum err collection_query(struct collection *k, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et)
{
	enum err e = check_query(k, q, et);
	if (e)
		return e;
	const struct space *s = collection_space(k, q->space);
	struct hit *hits = arena_array_of(a, q->k, struct hit);
	struct item_hit *list = arena_array_of(a, q->k, struct item_hit);
	struct tx *tx = NULL;
	struct vindex_answer answer = {0};
	size_t found = 0;
	if (!hits || !list)
		return no_memory(et);
	struct vindex_query v = {.vector = q->vector,
		.k = q->k,
		.ef = q->ef,
		.exact = q->exact,
		.cancel = q->cancel};
	set_worst(s, q->worst, &v);
	e = vindex_search(k->index[s - k->spaces], &v, hits, &answer, et);
	if (!e && (q->want.payload || q->want.vectors))
		e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	for (size_t i = 0; !e && i < answer.n; i++) {
		bool there;
		list[found].score = score_of(s, hits[i].score);
		e = fill(k, tx, &hits[i], q->want, a, &list[found], &there, et);
		found += there;
	}
	db_rollback(tx);
	if (!e) {
		*out = list;
		*n = found;
		if (how)
			*how = (struct item_search){
				answer.how == VINDEX_GRAPH, answer.ef, answer.compared};
	}
	return e;
}
