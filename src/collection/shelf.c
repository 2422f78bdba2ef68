/* One collection in memory: the ids of its items and an index for each space. Loaded from the
 * database, then published to: what others changed is read from the rows with a higher number. */
#include "collection/collection_int.h"
#include "base/room.h"

#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the index of a collection");
}

/* ---- ids ---- */

struct str shelf_id(struct collection *k, uint64_t num, struct arena *a)
{
	struct str id = {0};
	pthread_rwlock_rdlock(&k->lock);
	if (num < k->n_nums && k->id_at[num]) {
		const char *p = k->id_bytes.p + k->id_at[num] - 1;
		id = arena_str(a, str_mk(p + 1, (uint8_t)*p));
	}
	pthread_rwlock_unlock(&k->lock);
	return id;
}

static bool alive(const struct collection *k, int64_t num)
{
	return (size_t)num < k->n_nums && k->id_at[num];
}

static enum err id_add(struct collection *k, int64_t num, struct str id, struct errtext *et)
{
	if (alive(k, num))
		return OK;
	enum err e = OK;
	pthread_rwlock_wrlock(&k->lock);
	if ((size_t)num >= k->n_nums) {
		size_t cap = MAX((size_t)num + 1, k->n_nums + k->n_nums / 2 + 64);
		size_t *more = realloc(k->id_at, cap * sizeof *more);
		if (more) {
			memset(more + k->n_nums, 0, (cap - k->n_nums) * sizeof *more);
			k->id_at = more;
			k->n_nums = cap;
		} else {
			e = ERR_NOMEM;
		}
	}
	if (!e) {
		size_t at = k->id_bytes.n;
		buf_putc(&k->id_bytes, (char)id.n);
		buf_adds(&k->id_bytes, id);
		e = k->id_bytes.err;
		if (!e) {
			k->id_at[num] = at + 1;
			k->live++;
		}
	}
	pthread_rwlock_unlock(&k->lock);
	return e ? no_memory(et) : OK;
}

static void id_remove(struct collection *k, int64_t num)
{
	pthread_rwlock_wrlock(&k->lock);
	if (alive(k, num)) {
		k->id_at[num] = 0;
		k->live--;
	}
	pthread_rwlock_unlock(&k->lock);
}

/* ---- one item ---- */

static const struct item_vector *vector_in(
	const struct item_vector *v, size_t n, const struct space *space)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(v[i].space, space->name))
			return &v[i];
	return NULL;
}

enum err shelf_put(struct collection *k, int64_t num, struct str id,
	const struct item_vector *vectors, size_t n, struct errtext *et)
{
	uint64_t key = (uint64_t)num;
	enum err e = id_add(k, num, id, et);
	for (size_t s = 0; s < k->n_spaces && !e; s++) {
		const struct item_vector *v = vector_in(vectors, n, &k->spaces[s]);
		e = v ? dense_put(k->index[s], &key, v->v, 1, et)
		      : dense_delete(k->index[s], &key, 1, et);
	}
	return e;
}

enum err shelf_remove(struct collection *k, int64_t num, struct errtext *et)
{
	uint64_t key = (uint64_t)num;
	enum err e = OK;
	for (size_t s = 0; s < k->n_spaces && !e; s++)
		e = dense_delete(k->index[s], &key, 1, et);
	if (!e)
		id_remove(k, num);
	return e;
}

/* ---- from the database ---- */

struct reading {
	struct collection *k;
	const struct cancel *cancel;
	int64_t seen; /* the highest number */
};

static enum err read_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct reading *x = ctx;
	struct item_vector *v;
	size_t n;
	if (cancelled(x->cancel))
		return ERR_CANCELLED;
	struct arena *a = arena_new(0);
	if (!a)
		return no_memory(et);
	enum err e = item_decode(r->vectors, x->k->spaces, x->k->n_spaces, a, &v, &n, et);
	if (!e)
		e = shelf_put(x->k, r->num, r->id, v, n, et);
	x->seen = MAX(x->seen, r->seq);
	arena_free(a);
	return e;
}

static enum err read_grave(void *ctx, int64_t num, struct errtext *et)
{
	struct reading *x = ctx;
	return shelf_remove(x->k, num, et);
}

enum err shelf_load(struct collection *k, const struct cancel *cancel, struct errtext *et)
{
	struct reading x = {k, cancel, 0};
	struct collection_row row;
	struct tx *tx;
	enum err e = OK;
	for (size_t s = 0; s < k->n_spaces && !e; s++)
		if (!k->index[s] && dense_new(k->spaces[s].dim, &k->index[s]))
			e = no_memory(et);
	e = e ? e : db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	struct arena *a = arena_new(0);
	e = a ? store_collection_by_number(tx, k->number, a, &row, et) : no_memory(et);
	if (!e)
		e = store_items_all(tx, k->number, read_item, &x, et);
	db_rollback(tx);
	if (!e)
		k->seq = row.seq;
	arena_free(a);
	return e;
}

static void forget_all(struct collection *k)
{
	for (size_t s = 0; s < k->n_spaces; s++) {
		dense_free(k->index[s]);
		k->index[s] = NULL;
	}
	free(k->id_at);
	buf_free(&k->id_bytes);
	k->id_at = NULL;
	k->n_nums = k->live = 0;
}

void shelf_clear(struct collection *k)
{
	forget_all(k);
}

/* Everything anew would disturb those who search; one item after the other does not. */
static enum err drop_the_unknown(struct collection *k, struct tx *tx, struct errtext *et);

enum err shelf_follow(struct collection *k, struct errtext *et)
{
	struct reading x = {k, NULL, k->seq};
	struct collection_row row;
	struct tx *tx;
	struct arena *a = arena_new(0);
	if (!a)
		return no_memory(et);
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e) {
		arena_free(a);
		return e;
	}
	e = store_collection_by_number(tx, k->number, a, &row, et);
	if (!e && k->seq < row.graves_seq)
		e = drop_the_unknown(k, tx, et);
	else if (!e)
		e = store_graves_since(tx, k->number, k->seq, read_grave, &x, et);
	if (!e)
		e = store_items_since(tx, k->number, k->seq, read_item, &x, et);
	db_rollback(tx);
	if (!e)
		k->seq = row.seq;
	arena_free(a);
	return e;
}

/* ---- when graves are gone that were not seen ---- */

struct known {
	uint8_t *there; /* by num */
	size_t n;
};

static enum err mark(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct known *x = ctx;
	if ((size_t)r->num < x->n)
		x->there[r->num] = 1;
	return OK;
}

static enum err drop_the_unknown(struct collection *k, struct tx *tx, struct errtext *et)
{
	struct known x = {calloc(k->n_nums + 1, 1), k->n_nums};
	if (!x.there)
		return no_memory(et);
	enum err e = store_items_all(tx, k->number, mark, &x, et);
	for (size_t num = 0; num < x.n && !e; num++)
		if (!x.there[num] && alive(k, (int64_t)num))
			e = shelf_remove(k, (int64_t)num, et);
	free(x.there);
	return e;
}
