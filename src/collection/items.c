/* Changes of items: one transaction, then publication to the indexes.
 *
 * A change takes the collection's row, which says what number comes next, so two servers cannot
 * give the same one. Was the row ahead of what is in memory, another server wrote in between; then
 * publication reads what is new from the database instead of taking the caller's. */
#include "access/access.h"
#include "collection/held.h"
#include "collection/migrate_int.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

/* What a call wants done, and what becomes of it. */
struct change {
	struct collection *k;
	struct collection_row row;
	int64_t before; /* row.seq as it was found */
	struct arena *a;
	const struct layout *l;
	bool embedded;  /* the items have the vectors that l asks for: it may be no other */
	bool outdated;  /* it is */
	uint32_t makes; /* places that lack a vector which the worker will make */
	const struct collection_item *items;
	const struct str *texts; /* SHA-256 of the items' texts */
	const struct item_id *ids;
	size_t n;
	int64_t *nums;                            /* of each; 0: it is not there, or not touched */
	const struct payload_patch *patch, *each; /* each: one for every id */
	const struct change_record *record;
	bool lenient;             /* what is not there is passed over */
	const struct str *spaces; /* to remove */
	size_t n_spaces;
	size_t touched;
};

typedef enum err (*change_fn)(struct change *x, struct tx *tx, struct errtext *et);
typedef enum err (*publish_fn)(struct change *x, struct errtext *et);

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a change of items");
}

/* ---- the frame ---- */

static enum err in_transaction(struct change *x, change_fn fn, struct tx *tx, struct errtext *et)
{
	char hex[24];
	struct collection_row other;
	enum err e = store_collection_by_number(tx, x->k->number, x->a, &x->row, et);
	if (e == ERR_NOT_FOUND &&
		!store_collection_by_name(tx, x->k->project, x->k->name, x->a, &other, NULL))
		return err_set(et, ERR_NOT_READY, "%.*s has just become a version's: try again",
			STR_FMT(x->k->name));
	if (e)
		return e;
	x->outdated = !str_eq(x->row.config, x->l->config);
	if (x->outdated)
		return err_set(et, ERR_CONFLICT,
			"the spaces of %.*s are being changed by a migration: try again",
			STR_FMT(x->k->name));
	x->before = x->row.seq++;
	e = fn(x, tx, et);
	if (e || !x->touched)
		return e;
	x->row.updated_ms = clock_unix_ms();
	e = store_graves_trim(tx, &x->row, GRAVES_KEPT, et);
	if (!e)
		e = store_collection_at(tx, &x->row, et);
	if (!e && x->record)
		e = audit_add(
			tx, x->record->who, x->record->action, x->k->name, x->record->detail, et);
	if (!e && x->record && x->record->also)
		e = x->record->also(x->record->ctx, x->touched, tx, et);
	snprintf(hex, sizeof hex, "%lld", (long long)x->k->number);
	return e ? e : db_notify(tx, COLLECTION_CHANNEL, str_c(hex), et);
}

/* Publication may fail for want of memory only; then the next change, or a search, reads what is
 * missing. */
static enum err publish(struct change *x, publish_fn fn, struct errtext *et)
{
	struct collection *k = x->k;
	shelf_counts(k, x->row.items);
	if (k->seq != x->before)
		return shelf_follow(k, et);
	enum err e = fn(x, et);
	if (!e)
		shelf_at(k, x->row.seq);
	return e;
}

/* Another server has named the spaces anew, or begun to move one: then that is taken over first. */
static enum err in_layout(struct change *x, change_fn fn, struct errtext *et)
{
	enum { TRIES = 8 };
	struct tx *tx;
	enum err e = ERR_CONFLICT;
	x->outdated = true;
	for (int i = 0; i < TRIES && x->outdated; i++) {
		x->l = x->embedded ? x->l : layout_now(x->k);
		x->touched = 0;
		e = db_begin(croft_db(x->k->c), TX_WRITE, &tx, et);
		x->outdated = false;
		if (!e)
			e = db_finish(tx, in_transaction(x, fn, tx, et), et);
		if (e && x->outdated && shelf_follow(x->k, et))
			break;
		if (x->embedded)
			break;
	}
	return e;
}

static enum err run(
	struct change *x, change_fn fn, publish_fn shown, int64_t *seq, struct errtext *et)
{
	if (x->k->asof)
		return err_set(et, ERR_CONFLICT,
			"a version of %.*s never changes: restore it, or branch from it (croft "
			"collections branch %.*s NEW --from VERSION)",
			STR_FMT(x->k->name), STR_FMT(x->k->name));
	x->a = arena_new(0);
	if (!x->a || !(x->nums = arena_array_of(x->a, x->n + 1, int64_t))) {
		arena_free(x->a);
		return no_memory(et);
	}
	pthread_mutex_lock(&x->k->write);
	shelf_turn(x->k);
	enum err e = in_layout(x, fn, et);
	if (!e && x->touched)
		e = publish(x, shown, et);
	else
		shelf_still(x->k);
	pthread_mutex_unlock(&x->k->write);
	if (!e && seq)
		*seq = x->touched ? x->row.seq : x->before;
	arena_free(x->a);
	return e;
}

/* ---- checking ---- */

static enum err check_vector(
	const struct collection *k, const struct item_vector *v, size_t i, struct errtext *et)
{
	const struct space *s = collection_space(k, v->space);
	if (!s)
		return err_set(et, ERR_INVALID,
			"item %zu: the collection %.*s has no vectors named \"%.*s\"", i,
			STR_FMT(k->name), STR_FMT(str_sub(v->space, 0, 100)));
	enum err e = collection_vector_fits(k, s, v, et);
	return e ? err_wrap(et, e, "item %zu", i) : OK;
}

static enum err check_items(const struct collection *k, const struct collection_item *items,
	size_t n, struct errtext *et)
{
	enum err e = OK;
	if (n > COLLECTION_BATCH_MAX)
		return err_set(et, ERR_TOO_LARGE, "%zu items; at most %d go into one call", n,
			COLLECTION_BATCH_MAX);
	for (size_t i = 0; i < n && !e; i++) {
		if (items[i].payload.n > COLLECTION_PAYLOAD_MAX)
			return err_set(et, ERR_TOO_LARGE,
				"item %zu: a payload of %zu bytes; the limit is %d", i,
				items[i].payload.n, COLLECTION_PAYLOAD_MAX);
		for (size_t j = 0; j < items[i].n_vectors && !e; j++)
			e = check_vector(k, &items[i].vectors[j], i, et);
	}
	return e;
}

/* ---- putting ---- */

static enum err write_vectors(struct change *x, struct tx *tx, int64_t num,
	const struct item_vector *v, size_t n, struct errtext *et)
{
	struct buf b = {0};
	item_code(v, n, &b);
	enum err e =
		b.err ? no_memory(et) : store_vectors_put(tx, x->k->number, num, buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err put_one(struct change *x, struct tx *tx, size_t i, struct errtext *et)
{
	const struct collection_item *it = &x->items[i];
	struct item_row r;
	struct str id = item_id_bytes(&it->id), payload = it->payload.n ? it->payload : S("{}");
	enum err e = store_item(tx, x->k->number, id, (struct item_want){false}, x->a, &r, et);
	if (e && e != ERR_NOT_FOUND)
		return e;
	bool fresh = e == ERR_NOT_FOUND;
	struct str former = fresh ? S("") : r.text;
	r = (struct item_row){.num = fresh ? x->row.next_num++ : r.num,
		.seq = x->row.seq,
		.vec = x->row.seq,
		.own = x->row.seq,
		.id = id,
		.payload = payload,
		.text = x->texts[i]};
	x->nums[i] = r.num;
	x->row.items += fresh;
	x->touched++;
	e = fresh ? store_item_add(tx, x->k->number, &r, et)
		  : store_item_change(tx, x->k->number, &r, et);
	e = e ? e : write_vectors(x, tx, r.num, it->vectors, it->n_vectors, et);
	e = e ? e : text_keep(tx, it->text, r.text, payload, et);
	e = e ? e : lacking_note(tx, x->l, x->k->number, r.num, it, &x->makes, et);
	return e || !former.n || str_eq(former, r.text) ? e : store_embedding_prune(tx, former, et);
}

static enum err put_in(struct change *x, struct tx *tx, struct errtext *et)
{
	x->makes = 0;
	enum err e = memory_room(x->k, x->l, x->items, x->n, et);
	for (size_t i = 0; i < x->n && !e; i++)
		e = put_one(x, tx, i, et);
	return e || !x->makes ? e : lacking_tell(tx, x->k->number, x->makes, et);
}

static enum err put_shown(struct change *x, struct errtext *et)
{
	struct shelf_item *list = arena_array_of(x->a, x->n + 1, struct shelf_item);
	if (!list)
		return no_memory(et);
	for (size_t i = 0; i < x->n; i++)
		list[i] = (struct shelf_item){x->nums[i], false, item_id_bytes(&x->items[i].id),
			x->items[i].payload.n ? x->items[i].payload : S("{}"), x->items[i].vectors,
			x->items[i].n_vectors};
	return shelf_put(x->k, list, x->n, et);
}

enum err collection_put(struct collection *k, const struct collection_item *items, size_t n,
	int64_t *seq, const struct cancel *cancel, struct errtext *et)
{
	enum { TRIES = 8 };
	struct change x = {.k = k, .n = n, .embedded = true, .outdated = true};
	enum err e = check_items(k, items, n, et);
	for (int i = 0; i < TRIES && x.outdated; i++) {
		struct arena *a = arena_new(0);
		struct collection_item *whole = NULL;
		struct str *texts = NULL;
		x.outdated = false;
		x.l = layout_now(k);
		e = e   ? e
		    : a ? embed_items(k, x.l, items, n, a, &whole, &texts, cancel, et)
			: no_memory(et);
		x.items = whole;
		x.texts = texts;
		e = e ? e : run(&x, put_in, put_shown, seq, et);
		arena_free(a);
		if (x.outdated && i + 1 < TRIES)
			e = OK;
	}
	return e;
}

/* ---- removing ---- */

static enum err remove_one(struct change *x, struct tx *tx, size_t i, struct errtext *et)
{
	struct item_row r;
	struct str id = item_id_bytes(&x->ids[i]);
	enum err e = store_item(tx, x->k->number, id, (struct item_want){false}, x->a, &r, et);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	x->nums[i] = r.num;
	x->touched++;
	x->row.items--;
	e = store_item_drop(tx, x->k->number, r.num, x->row.seq, et);
	e = e ? e : lacking_forget(tx, x->l, x->k->number, r.num, et);
	return e || !r.text.n ? e : store_embedding_prune(tx, r.text, et);
}

static enum err remove_in(struct change *x, struct tx *tx, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < x->n && !e; i++)
		e = remove_one(x, tx, i, et);
	return e;
}

static enum err remove_shown(struct change *x, struct errtext *et)
{
	uint64_t *gone = arena_array_of(x->a, x->n + 1, uint64_t);
	size_t n = 0;
	if (!gone)
		return no_memory(et);
	for (size_t i = 0; i < x->n; i++)
		if (x->nums[i])
			gone[n++] = (uint64_t)x->nums[i];
	return shelf_remove(x->k, gone, n, et);
}

enum err collection_remove(struct collection *k, const struct item_id *ids, size_t n, size_t *gone,
	int64_t *seq, struct errtext *et)
{
	struct change x = {.k = k, .ids = ids, .n = n};
	enum err e = run(&x, remove_in, remove_shown, seq, et);
	if (!e && gone)
		*gone = x.touched;
	return e;
}

/* ---- vectors of items that are there ---- */

/* What the caller calls `name` lies there. */
static bool is_place(const struct collection *k, struct str name, size_t place)
{
	const struct space *s = collection_space(k, name);
	return s && s->place == place;
}

/* With a vector goes the one that another model made of the same text. */
static bool removes(const struct change *x, struct str name, size_t place)
{
	const struct space *s = collection_space(x->k, name);
	return s && (s->place == place || (s->twin != s->place && s->twin == place &&
						  x->l->spaces[place].twin == s->place));
}

/* The item's vectors with those of `add` in place of its own, without those of x->spaces. */
static enum err merge(struct change *x, const struct item_row *r, const struct item_vector *add,
	size_t n_add, struct item_vector **out, size_t *n_out, struct errtext *et)
{
	struct item_vector *own, *all;
	size_t n_own, n = 0;
	const struct layout *l = x->l;
	enum err e = item_decode(r->vectors, l->spaces, l->n, x->a, &own, &n_own, et);
	if (e)
		return e;
	all = arena_array_of(x->a, l->n + 1, struct item_vector);
	if (!all)
		return no_memory(et);
	for (size_t s = 0; s < l->n; s++) {
		const struct item_vector *v = NULL;
		for (size_t i = 0; i < n_own; i++)
			v = own[i].place == s ? &own[i] : v;
		for (size_t i = 0; i < n_add; i++)
			v = is_place(x->k, add[i].space, s) ? &add[i] : v;
		for (size_t i = 0; i < x->n_spaces; i++)
			v = removes(x, x->spaces[i], s) ? NULL : v;
		if (v) {
			all[n] = *v;
			all[n++].place = (uint8_t)s;
		}
	}
	*out = all;
	*n_out = n;
	return OK;
}

static enum err change_vectors(struct change *x, struct tx *tx, size_t i, struct str id,
	const struct item_vector *add, size_t n_add, struct errtext *et)
{
	struct item_row r;
	struct item_want read = {.vectors = true};
	struct item_vector *all = NULL;
	size_t n = 0;
	enum err e = store_item(tx, x->k->number, id, read, x->a, &r, et);
	if (e)
		return e;
	e = merge(x, &r, add, n_add, &all, &n, et);
	if (e)
		return e;
	x->nums[i] = r.num;
	x->touched++;
	r.seq = r.vec = r.own = x->row.seq;
	r.payload = (struct str){0};
	e = store_item_change(tx, x->k->number, &r, et);
	return e ? e : write_vectors(x, tx, r.num, all, n, et);
}

static enum err not_there(struct str id, struct errtext *et)
{
	struct buf text = {0};
	item_id_text(id, &text);
	enum err e = err_set(
		et, ERR_NOT_FOUND, "there is no item %s: nothing was changed", buf_c(&text));
	buf_free(&text);
	return e;
}

static enum err put_vectors_in(struct change *x, struct tx *tx, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < x->n && !e; i++) {
		const struct collection_item *it = &x->items[i];
		e = change_vectors(
			x, tx, i, item_id_bytes(&it->id), it->vectors, it->n_vectors, et);
		if (e == ERR_NOT_FOUND)
			e = not_there(item_id_bytes(&it->id), et);
	}
	return e;
}

static enum err remove_vectors_in(struct change *x, struct tx *tx, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < x->n && !e; i++) {
		e = change_vectors(x, tx, i, item_id_bytes(&x->ids[i]), NULL, 0, et);
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	return e;
}

/* What was written is read back: these calls are rare, and the rows say it best. */
static enum err from_rows(struct change *x, struct errtext *et)
{
	return shelf_follow(x->k, et);
}

enum err collection_put_vectors(struct collection *k, const struct collection_item *items, size_t n,
	int64_t *seq, struct errtext *et)
{
	struct change x = {.k = k, .items = items, .n = n};
	enum err e = check_items(k, items, n, et);
	return e ? e : run(&x, put_vectors_in, from_rows, seq, et);
}

enum err collection_remove_vectors(struct collection *k, const struct item_id *ids, size_t n,
	const struct str *spaces, size_t n_spaces, int64_t *seq, struct errtext *et)
{
	struct change x = {.k = k, .ids = ids, .n = n, .spaces = spaces, .n_spaces = n_spaces};
	return run(&x, remove_vectors_in, from_rows, seq, et);
}

/* ---- payloads ---- */

static enum err patch_in(struct change *x, struct tx *tx, struct errtext *et)
{
	enum err e = OK;
	struct item_want read = {.payload = true};
	for (size_t i = 0; i < x->n && !e; i++) {
		struct item_row r;
		struct buf patched = {.max = COLLECTION_PAYLOAD_MAX};
		e = store_item(tx, x->k->number, item_id_bytes(&x->ids[i]), read, x->a, &r, et);
		if (e == ERR_NOT_FOUND && x->lenient) {
			e = OK;
			continue;
		}
		if (e == ERR_NOT_FOUND)
			e = not_there(item_id_bytes(&x->ids[i]), et);
		struct str was = e ? S("") : r.payload;
		if (!e)
			e = payload_apply(
				r.payload, x->each ? &x->each[i] : x->patch, &patched, et);
		r.payload = buf_str(&patched);
		r.seq = x->row.seq;
		x->touched++;
		e = e ? e : text_keep_patched(tx, was, r.payload, r.text, et);
		e = e ? e : store_item_change(tx, x->k->number, &r, et);
		buf_free(&patched);
	}
	return e;
}

enum err collection_patch(struct collection *k, const struct item_id *ids, size_t n,
	const struct payload_patch *patch, int64_t *seq, struct errtext *et)
{
	struct change x = {.k = k, .ids = ids, .n = n, .patch = patch};
	return run(&x, patch_in, from_rows, seq, et);
}

enum err collection_patch_each(struct collection *k, const struct item_id *ids,
	const struct payload_patch *patches, size_t n, const struct change_record *record,
	size_t *changed, int64_t *seq, struct errtext *et)
{
	struct change x = {
		.k = k, .ids = ids, .n = n, .each = patches, .record = record, .lenient = true};
	enum err e = run(&x, patch_in, from_rows, seq, et);
	if (!e)
		*changed = x.touched;
	return e;
}

enum err collection_remove_recorded(struct collection *k, const struct item_id *ids, size_t n,
	const struct change_record *record, size_t *gone, int64_t *seq, struct errtext *et)
{
	struct change x = {.k = k, .ids = ids, .n = n, .record = record};
	enum err e = run(&x, remove_in, remove_shown, seq, et);
	if (!e)
		*gone = x.touched;
	return e;
}

/* ---- vectors that a worker made ---- */

struct filling {
	struct change x;
	uint8_t place;
	int64_t since;
	struct fill *fills;
	enum err (*also)(void *ctx, struct tx *tx, struct errtext *et);
	void *ctx;
	bool gone;
};

static enum err fill_one(struct filling *f, struct tx *tx, size_t i, struct errtext *et)
{
	struct change *x = &f->x;
	struct fill *to = &f->fills[i];
	const struct space *s = &x->l->spaces[f->place];
	struct item_row r;
	struct item_vector v = {s->name, to->v, s->dim, f->place}, *all;
	size_t n;
	enum err e = store_item_by_num(
		tx, x->k->number, to->num, (struct item_want){.vectors = true}, x->a, &r, et);
	to->state = e == ERR_NOT_FOUND ? FILL_GONE : r.seq != to->seq ? FILL_CHANGED : FILL_MADE;
	if (e || to->state != FILL_MADE)
		return e == ERR_NOT_FOUND ? OK : e;
	e = merge(x, &r, NULL, 0, &all, &n, et);
	for (size_t j = 0; j < n && !e; j++)
		if (all[j].place == f->place)
			all[j--] = all[--n];
	if (e)
		return e;
	all[n++] = v;
	x->nums[i] = to->num;
	x->touched++;
	r.seq = r.vec = x->row.seq;
	r.payload = (struct str){0};
	e = store_item_change(tx, x->k->number, &r, et);
	return e ? e : write_vectors(x, tx, to->num, all, n, et);
}

static enum err fill_in(struct change *x, struct tx *tx, struct errtext *et)
{
	struct filling *f = (struct filling *)x;
	const struct space *s = &x->l->spaces[f->place];
	enum err e = OK;
	f->gone = f->place >= x->l->n || !space_lives(s) || s->since != f->since;
	e = f->gone ? OK : memory_room_in(x->k, x->l, x->n, f->place, et);
	for (size_t i = 0; i < x->n && !e && !f->gone; i++)
		e = fill_one(f, tx, i, et);
	return e || f->gone ? e : f->also(f->ctx, tx, et);
}

static enum err fill_shown(struct change *x, struct errtext *et)
{
	const struct filling *f = (const struct filling *)x;
	const struct space *s = &x->l->spaces[f->place];
	float *rows = arena_array_of(x->a, x->n * s->dim, float);
	uint64_t *keys = arena_array_of(x->a, x->n, uint64_t);
	size_t n = 0;
	if (!rows || !keys)
		return no_memory(et);
	for (size_t i = 0; i < x->n; i++)
		if (x->nums[i]) {
			memcpy(rows + n * s->dim, f->fills[i].v, s->dim * sizeof *rows);
			keys[n++] = (uint64_t)x->nums[i];
		}
	return vindex_put(x->l->index[f->place], keys, rows, n, NULL, et);
}

enum err items_fill(struct collection *k, uint8_t place, int64_t since, struct fill *fills,
	size_t n, enum err (*also)(void *ctx, struct tx *tx, struct errtext *et), void *ctx,
	bool *place_gone, struct errtext *et)
{
	struct filling f = {.x = {.k = k, .n = n},
		.place = place,
		.since = since,
		.fills = fills,
		.also = also,
		.ctx = ctx};
	enum err e = run(&f.x, fill_in, fill_shown, NULL, et);
	*place_gone = !e && f.gone;
	return e;
}

/* ---- the spaces in another order ---- */

struct respacing {
	struct change x;
	respace_fn fn;
	void *ctx;
};

static enum err respace_in(struct change *x, struct tx *tx, struct errtext *et)
{
	struct respacing *r = (struct respacing *)x;
	struct space *spaces = arena_array_of(x->a, COLLECTION_SPACES_MAX, struct space), *read;
	struct buf b = {0};
	size_t n = 0;
	enum err e = spaces ? config_read(x->row.config, x->a, &read, &n, et) : no_memory(et);
	if (e)
		return e;
	memcpy(spaces, read, n * sizeof *spaces);
	e = r->fn(r->ctx, tx, &x->row, spaces, &n, et);
	config_write(spaces, n, &b);
	if (!e)
		e = b.err ? no_memory(et)
			  : store_collection_config(tx, x->k->number, buf_str(&b), et);
	buf_free(&b);
	x->touched++;
	return e;
}

enum err layout_change(struct collection *k, respace_fn fn, void *ctx, struct errtext *et)
{
	struct respacing r = {.x = {.k = k}, .fn = fn, .ctx = ctx};
	return run(&r.x, respace_in, from_rows, NULL, et);
}
