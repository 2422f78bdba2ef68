/* One collection in memory: the ids of its items and an index for each space. Loaded from the
 * database, then published to: what others changed is read from the rows with a higher number. */
#include "collection/held.h"
#include "collection/ids_file.h"
#include "base/clock.h"

#include <math.h>
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

/* ---- their file: snapshot.c ---- */

enum err shelf_ids_write(struct collection *k, int64_t mark, struct buf *out, struct errtext *et)
{
	pthread_rwlock_rdlock(&k->lock);
	struct ids_file f = {(uint64_t)mark, k->id_at, k->n_nums, k->live, k->id_bytes, {{0}}};
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		f.lists[s] = kinds_lists(k, s);
	ids_file_write(&f, out);
	pthread_rwlock_unlock(&k->lock);
	return out->err ? no_memory(et) : OK;
}

void shelf_ids_take(struct collection *k, struct ids_file *f)
{
	pthread_rwlock_wrlock(&k->lock);
	free(k->id_at);
	buf_free(&k->id_bytes);
	k->id_at = f->id_at;
	k->n_nums = f->n_nums;
	k->live = f->live;
	k->id_bytes = f->bytes;
	pthread_rwlock_unlock(&k->lock);
	f->id_at = NULL;
	f->bytes = (struct buf){0};
}

/* ---- items ---- */

static const struct item_vector *vector_in(const struct shelf_item *it, size_t place)
{
	for (size_t i = 0; i < it->n_vectors; i++)
		if (it->vectors[i].place == place)
			return &it->vectors[i];
	return NULL;
}

static enum err put_kind(struct collection *k, size_t s, const struct shelf_item *items, size_t n,
	struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		if (!items[i].kept)
			e = kinds_put(k, s, (uint64_t)items[i].num, vector_in(&items[i], s), et);
	return e;
}

/* Whether there is nothing to do for it in this index. */
static enum err is_there(struct vindex *x, const struct shelf_item *it, const struct item_vector *v,
	bool *there, struct errtext *et)
{
	uint64_t key = (uint64_t)it->num;
	float score = 0;
	enum err e = it->kept && v ? vindex_scores(x, v->v, &key, 1, &score, et) : OK;
	*there = it->kept && !isnan(score);
	return e;
}

/* The vectors of one space beside each other, as an index takes them. */
static enum err put_in_space(struct collection *k, size_t s, const struct shelf_item *items,
	size_t n, struct kern_team *team, struct errtext *et)
{
	const struct layout *l = layout_now(k);
	size_t dim = l->spaces[s].dim, there = 0, absent = 0;
	if (k->kinds[s])
		return put_kind(k, s, items, n, et);
	if (!l->index[s])
		return OK;
	float *rows = malloc(n * dim * sizeof *rows);
	uint64_t *keys = malloc(n * sizeof *keys), *without = malloc(n * sizeof *without);
	enum err e = rows && keys && without ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		const struct item_vector *v = vector_in(&items[i], s);
		bool nothing;
		e = is_there(l->index[s], &items[i], v, &nothing, et);
		if (e || nothing)
			continue;
		if (v) {
			memcpy(rows + there * dim, v->v, dim * sizeof *rows);
			keys[there++] = (uint64_t)items[i].num;
		} else {
			without[absent++] = (uint64_t)items[i].num;
		}
	}
	if (!e && absent)
		e = vindex_delete(l->index[s], without, absent, NULL, et);
	if (!e && there)
		e = vindex_put(l->index[s], keys, rows, there, team, et);
	free(rows);
	free(keys);
	free(without);
	return e;
}

/* The house's threads help with more than a few, unless they help another collection already. */
static struct kern_team *borrow_team(struct collection *k, size_t n)
{
	enum { FEW = 64 };
	struct collections *all = collections_of(k->c);
	return n > FEW && all->team && !pthread_mutex_trylock(&all->team_mu) ? all->team : NULL;
}

static void return_team(struct collection *k, const struct kern_team *team)
{
	if (team)
		pthread_mutex_unlock(&collections_of(k->c)->team_mu);
}

enum err shelf_put(
	struct collection *k, const struct shelf_item *items, size_t n, struct errtext *et)
{
	enum err e = OK;
	if (k->backend->open)
		return OK;
	for (size_t i = 0; i < n && !e; i++)
		e = id_add(k, items[i].num, items[i].id, et);
	struct kern_team *team = e || !n ? NULL : borrow_team(k, n);
	for (size_t s = 0; s < layout_now(k)->n && n && !e; s++)
		e = put_in_space(k, s, items, n, team, et);
	return_team(k, team);
	for (size_t i = 0; i < n && !e; i++)
		e = fields_put(k->fields, (uint64_t)items[i].num, items[i].payload, et);
	for (size_t i = 0; i < n && !e; i++)
		e = keyword_put(k, (uint64_t)items[i].num, items[i].payload, et);
	e = e ? e : fields_publish(k->fields, et);
	e = e ? e : keyword_publish(k, et);
	return e ? e : kinds_publish(k, et);
}

enum err shelf_remove(struct collection *k, const uint64_t *nums, size_t n, struct errtext *et)
{
	const struct layout *l = layout_now(k);
	enum err e = OK;
	if (k->backend->open)
		return OK;
	for (size_t s = 0; s < l->n && n && !e; s++)
		e = l->index[s] ? vindex_delete(l->index[s], nums, n, NULL, et) : OK;
	e = e || !n ? e : fields_delete(k->fields, nums, n, et);
	e = e || !n ? e : keyword_delete(k, nums, n, et);
	e = e || !n ? e : fields_publish(k->fields, et);
	e = e || !n ? e : keyword_publish(k, et);
	e = e || !n ? e : kinds_remove(k, nums, n, et);
	e = e || !n ? e : kinds_publish(k, et);
	for (size_t i = 0; i < n && !e; i++)
		id_remove(k, (int64_t)nums[i]);
	return e;
}

void shelf_counts(struct collection *k, int64_t items)
{
	if (!k->backend->open)
		return;
	pthread_rwlock_wrlock(&k->lock);
	k->live = (size_t)items;
	pthread_rwlock_unlock(&k->lock);
}

void shelf_turn(struct collection *k)
{
	atomic_fetch_or(&k->turn, 1);
}

void shelf_still(struct collection *k)
{
	atomic_store(&k->turn, (atomic_load(&k->turn) | 1) + 1);
}

void shelf_at(struct collection *k, int64_t seq)
{
	if (seq != k->seq)
		k->changed_ms = clock_unix_ms();
	k->seq = seq;
	atomic_store(&k->shown, seq);
	shelf_still(k);
}

/* ---- from the database ---- */

enum { READ_AT_ONCE = 2048 };

struct reading {
	struct collection *k;
	const struct layout *l;
	const struct cancel *cancel;
	struct arena *a; /* of the items that wait */
	struct shelf_item *items;
	size_t n;
	uint64_t gone[READ_AT_ONCE]; /* items that wait to be taken out */
	size_t n_gone, n_kinds;
	struct snapshot_lacks lacks;
};

static enum err reading_begin(struct reading *x, struct errtext *et)
{
	x->a = arena_new(0);
	x->n = 0;
	x->items = x->a ? arena_array_of(x->a, READ_AT_ONCE, struct shelf_item) : NULL;
	return x->items ? OK : no_memory(et);
}

static enum err reading_flush(struct reading *x, struct errtext *et)
{
	enum err e = shelf_put(x->k, x->items, x->n, et);
	arena_free(x->a);
	x->a = NULL;
	return e ? e : reading_begin(x, et);
}

static enum err read_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct reading *x = ctx;
	if (cancelled(x->cancel))
		return err_set(et, ERR_CANCELLED, "opening a collection was cancelled");
	struct shelf_item *it = &x->items[x->n++];
	*it = (struct shelf_item){.num = r->num,
		.kept = r->own <= x->k->seq && alive(x->k, r->num),
		.id = arena_str(x->a, r->id),
		.payload = arena_str(x->a, r->payload)};
	enum err e = it->id.p && it->payload.p ? item_decode(r->vectors, x->l->spaces, x->l->n,
							 x->a, &it->vectors, &it->n_vectors, et)
					       : no_memory(et);
	return e || x->n < READ_AT_ONCE ? e : reading_flush(x, et);
}

static enum err bury(struct reading *x, struct errtext *et)
{
	enum err e = shelf_remove(x->k, x->gone, x->n_gone, et);
	x->n_gone = 0;
	return e;
}

static enum err read_grave(void *ctx, int64_t num, struct errtext *et)
{
	struct reading *x = ctx;
	x->gone[x->n_gone++] = (uint64_t)num;
	return x->n_gone < READ_AT_ONCE ? OK : bury(x, et);
}

enum vindex_metric shelf_metric(const struct space *s)
{
	static const enum vindex_metric metrics[] = {
		VINDEX_COSINE, VINDEX_DOT, VINDEX_L2, VINDEX_L1};
	return metrics[s->distance];
}

static enum err new_fields(struct collection *k, struct errtext *et)
{
	return k->fields ? OK : fields_new(NULL, &k->fields, et);
}

static enum err new_indexes(struct collection *k, struct errtext *et)
{
	enum err e = new_fields(k, et);
	e = e ? e : kinds_new(k, et);
	return e ? e : layout_indexes(atomic_load(&k->layout), et);
}

static enum err read_kinds(struct reading *x, const struct item_row *r, struct errtext *et)
{
	enum { PUBLISH_ITEMS = 8192 };
	struct item_vector *v;
	size_t n;
	struct arena *a = arena_new(0);
	enum err e =
		a ? item_decode(r->vectors, x->l->spaces, x->l->n, a, &v, &n, et) : no_memory(et);
	for (size_t i = 0; !e && i < n; i++)
		if (x->lacks.kinds >> v[i].place & 1)
			e = kinds_put(x->k, v[i].place, (uint64_t)r->num, &v[i], et);
	arena_free(a);
	return e || ++x->n_kinds % PUBLISH_ITEMS ? e : kinds_publish(x->k, et);
}

/* Of an item, what did not come with the snapshot. */
static enum err read_rest(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct reading *x = ctx;
	enum err e = OK;
	if (cancelled(x->cancel))
		return err_set(et, ERR_CANCELLED, "opening a collection was cancelled");
	if (x->lacks.ids)
		e = id_add(x->k, r->num, r->id, et);
	if (x->lacks.payloads)
		e = e ? e : fields_put(x->k->fields, (uint64_t)r->num, r->payload, et);
	if (x->lacks.words)
		e = e ? e : keyword_put(x->k, (uint64_t)r->num, r->payload, et);
	return e || !x->lacks.kinds ? e : read_kinds(x, r, et);
}

static enum err read_lacking(struct reading *x, struct tx *tx, struct errtext *et)
{
	const struct snapshot_lacks *l = &x->lacks;
	struct item_want want = {l->payloads || l->words, l->kinds != 0};
	if (!want.payload && !want.vectors && !l->ids)
		return OK;
	enum err e = store_items_all(tx, x->k->number, want, read_rest, x, et);
	e = e ? e : kinds_publish(x->k, et);
	e = e ? e : fields_publish(x->k->fields, et);
	return e ? e : keyword_publish(x->k, et);
}

static enum err read_later(struct reading *x, struct tx *tx, struct errtext *et)
{
	enum err e = store_graves_since(tx, x->k->number, x->k->seq, read_grave, x, et);
	e = e ? e : bury(x, et);
	e = e ? e : store_items_since(tx, x->k->number, x->k->seq, read_item, x, et);
	return e ? e : reading_flush(x, et);
}

static enum err read_whole(struct reading *x, struct tx *tx, struct errtext *et)
{
	enum err e = new_indexes(x->k, et);
	e = e ? e
	      : store_items_all(tx, x->k->number, (struct item_want){true, true}, read_item, x, et);
	return e ? e : reading_flush(x, et);
}

static enum err read_limits(struct collection *k, struct tx *tx, struct errtext *et)
{
	struct collection_limits l;
	enum err e = store_limits(tx, k->number, &l, et);
	if (!e)
		limits_adopt(k, &l);
	return e;
}

enum err shelf_load(struct collection *k, const struct cancel *cancel, struct errtext *et)
{
	struct reading x = {.k = k, .cancel = cancel};
	struct collection_row row;
	struct tx *tx = NULL;
	enum err e = reading_begin(&x, et);
	e = e ? e : db_begin(croft_db(k->c), TX_READ, &tx, et);
	e = e ? e : store_collection_by_number(tx, k->number, x.a, &row, et);
	e = e ? e : layout_adopt(k, row.config, et);
	e = e ? e : read_limits(k, tx, et);
	x.l = layout_now(k);
	e = e ? e : keyword_follow(k, tx, false, cancel, et);
	if (k->backend->open) { /* nothing of the items is here */
	} else if (!e && snapshot_load(k, tx, &row, &x.lacks)) {
		e = read_lacking(&x, tx, et);
		e = e ? e : read_later(&x, tx, et);
		kinds_caught_up(k);
	} else if (!e) {
		e = read_whole(&x, tx, et);
	}
	e = e ? e : shelf_head_read(k, tx, x.a, et);
	e = e ? e : recall_resume(k, tx, x.a, et);
	db_rollback(tx);
	arena_free(x.a);
	k->saved_ms = clock_unix_ms();
	if (!e)
		shelf_at(k, row.seq);
	return e || !k->backend->open ? e : k->backend->open(k, cancel, et);
}

void shelf_clear(struct collection *k)
{
	layout_clear(k);
	fields_free(k->fields);
	k->fields = NULL;
	keyword_clear(k);
	kinds_clear(k);
	free(k->id_at);
	buf_free(&k->id_bytes);
	k->id_at = NULL;
	k->n_nums = k->live = 0;
}

/* Everything anew would disturb those who search; one item after the other does not. */
static enum err drop_the_unknown(struct reading *r, struct tx *tx, struct errtext *et);

enum err shelf_follow(struct collection *k, struct errtext *et)
{
	struct reading x = {.k = k};
	struct collection_row row;
	struct tx *tx = NULL;
	shelf_turn(k);
	enum err e = reading_begin(&x, et);
	e = e ? e : db_begin(croft_db(k->c), TX_READ, &tx, et);
	e = e ? e : store_collection_by_number(tx, k->number, x.a, &row, et);
	e = e ? e : layout_adopt(k, row.config, et);
	e = e ? e : read_limits(k, tx, et);
	x.l = layout_now(k);
	if (!e && (k->backend->open || backend_find(row.backend) != k->backend)) {
		e = e ? e : keyword_follow(k, tx, false, NULL, et);
		shelf_counts(k, row.items);
		k->moved = backend_find(row.backend) != k->backend;
	} else {
		if (!e && k->seq < row.graves_seq)
			e = drop_the_unknown(&x, tx, et);
		e = e ? e : keyword_follow(k, tx, true, NULL, et);
		e = e ? e : read_later(&x, tx, et);
	}
	e = e ? e : shelf_head_read(k, tx, x.a, et);
	db_rollback(tx);
	arena_free(x.a);
	if (!e)
		shelf_at(k, row.seq);
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

static enum err drop_the_unknown(struct reading *r, struct tx *tx, struct errtext *et)
{
	struct collection *k = r->k;
	struct known x = {calloc(k->n_nums + 1, 1), k->n_nums};
	if (!x.there)
		return no_memory(et);
	enum err e = store_items_all(tx, k->number, (struct item_want){false}, mark, &x, et);
	for (size_t num = 0; num < x.n && !e; num++)
		if (!x.there[num] && alive(k, (int64_t)num))
			e = read_grave(r, (int64_t)num, et);
	free(x.there);
	return e ? e : bury(r, et);
}
