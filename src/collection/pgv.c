/* The backend pgvector: made, filled, followed, forgotten. */
#include "collection/pgv_words.h"
#include "base/log.h"

enum { FILL_ITEMS = 500 }; /* of one transaction */

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a collection in pgvector");
}

static enum err check_spaces(const struct space *spaces, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		if (spaces[i].dim > PGV_DIM_MAX)
			return err_set(et, ERR_INVALID,
				"vectors of %u numbers: the HNSW index of pgvector takes %d as "
				"floats and %d as half floats; the backend embedded takes %d",
				spaces[i].dim, PGV_DIM_FLOAT, PGV_DIM_MAX, COLLECTION_DIM_MAX);
	}
	return OK;
}

/* ---- making ---- */

static enum err make(struct croft *c, struct tx *tx, const struct collection_row *r,
	const struct space *spaces, size_t n, struct errtext *et)
{
	struct pgv_server pg;
	struct pgv_state s = {r->seq, PGV_FILLED, false, true};
	enum err e = pgv_possible(c, et);
	e = e ? e : pgv_server(tx, true, &pg, et);
	e = e ? e : check_spaces(spaces, n, et);
	e = e ? e : pgv_table_make(tx, &pg, r->number, spaces, n, r->seq, et);
	return e ? e : pgv_state_put(tx, r->number, &s, et);
}

/* ---- following the items ---- */

struct following {
	struct tx *tx;
	struct arena *a; /* of the spaces */
	const struct collection_row *row;
	struct space *spaces;
	size_t n_spaces;
	struct pgv_server pg;
	struct pgv_state s;
	int64_t last; /* number of the last item */
	size_t n;
	bool filling;
	const struct cancel *cancel;
	struct post_batch *sparse[COLLECTION_SPACES_MAX]; /* of spaces of sparse vectors */
};

static enum err following_begin(
	struct following *x, const struct collection_row *row, struct errtext *et)
{
	struct post_base b;
	x->row = row;
	x->a = arena_new(0);
	enum err e =
		x->a ? config_read(row->config, x->a, &x->spaces, &x->n_spaces, et) : no_memory(et);
	for (size_t s = 0; s < x->n_spaces && !e; s++)
		if (space_lives(&x->spaces[s]) && x->spaces[s].kind == SPACE_SPARSE) {
			post_sparse_base(&b, row->number, s);
			e = post_batch_new(&b, &x->sparse[s], et);
		}
	return e;
}

static void following_end(struct following *x)
{
	for (size_t s = 0; s < COLLECTION_SPACES_MAX; s++)
		post_batch_free(x->sparse[s]);
	arena_free(x->a);
}

static enum err sparse_flush(struct following *x, bool all, struct errtext *et)
{
	enum err e = OK;
	for (size_t s = 0; s < x->n_spaces && !e; s++)
		if (x->sparse[s] && (all || post_full(x->sparse[s])))
			e = post_flush(x->sparse[s], x->tx, et);
	return e;
}

/* r NULL: the item has gone. */
static enum err sparse_put(
	struct following *x, int64_t num, const struct item_row *r, struct errtext *et)
{
	struct item_vector *v = NULL;
	size_t n = 0;
	bool any = false;
	for (size_t s = 0; s < x->n_spaces; s++)
		any |= x->sparse[s] != NULL;
	struct arena *a = any ? arena_new(0) : NULL;
	enum err e = !any ? OK : a ? OK : no_memory(et);
	if (any && r && !e)
		e = item_decode(r->vectors, x->spaces, x->n_spaces, a, &v, &n, et);
	for (size_t s = 0; s < x->n_spaces && any && !e; s++) {
		const struct item_vector *of = NULL;
		for (size_t i = 0; i < n; i++)
			of = v[i].place == s ? &v[i] : of;
		if (x->sparse[s])
			e = post_put_sparse(x->sparse[s], (uint64_t)num, of, et);
	}
	arena_free(a);
	return e ? e : sparse_flush(x, false, et);
}

static enum err take_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct following *x = ctx;
	if (cancelled(x->cancel))
		return err_set(et, ERR_CANCELLED, "filling a collection in pgvector was cancelled");
	bool whole = x->filling || r->vec > x->s.mark;
	x->last = r->num;
	x->n++;
	enum err e = pgv_row_put(
		x->tx, &x->pg, x->row->number, x->spaces, x->n_spaces, r, whole, &x->s.odd, et);
	return e || !whole ? e : sparse_put(x, r->num, r, et);
}

static enum err take_grave(void *ctx, int64_t num, struct errtext *et)
{
	struct following *x = ctx;
	enum err e = pgv_row_drop(x->tx, x->row->number, x->spaces, x->n_spaces, num, et);
	return e ? e : sparse_put(x, num, NULL, et);
}

/* What came after the mark, up to the change that the row says. */
static enum err follow(struct following *x, struct errtext *et)
{
	int64_t number = x->row->number;
	enum err e = pgv_server(x->tx, false, &x->pg, et);
	if (!e && x->s.mark < x->row->graves_seq)
		e = pgv_rows_lost(x->tx, number, x->spaces, x->n_spaces, et);
	e = e ? e : store_graves_since(x->tx, number, x->s.mark, take_grave, x, et);
	e = e ? e : store_items_since(x->tx, number, x->s.mark, take_item, x, et);
	e = e ? e : sparse_flush(x, true, et);
	x->s.mark = x->row->seq;
	return e ? e : pgv_state_put(x->tx, number, &x->s, et);
}

static enum err changed(struct tx *tx, const struct collection_row *row, struct errtext *et)
{
	struct following x = {.tx = tx};
	enum err e = pgv_state(tx, row->number, &x.s, et);
	if (e == ERR_NOT_FOUND || (!e && (!x.s.table || x.s.filled != PGV_FILLED)))
		return OK; /* who fills it comes to this change at the end */
	if (e || x.s.mark == row->seq)
		return e;
	e = following_begin(&x, row, et);
	e = e ? e : follow(&x, et);
	following_end(&x);
	return e ? e : words_follow(tx, row, et);
}

/* ---- filling ---- */

static enum err check_at_rest(const struct following *x, struct errtext *et)
{
	for (size_t i = 0; i < x->n_spaces; i++)
		if (space_follows(&x->spaces[i]))
			return err_set(et, ERR_CONFLICT,
				"the collection %.*s is moving to another model: finish or drop "
				"that first (croft migration status)",
				STR_FMT(x->row->name));
	return OK;
}

/* Goes on where somebody stopped, or begins. *drop: there is a table that is of no use. */
static enum err begin_in(struct following *x, bool *drop, struct errtext *et)
{
	int64_t number = x->row->number;
	struct collection_row row;
	enum err e = pgv_server(x->tx, true, &x->pg, et);
	e = e ? e : check_spaces(x->spaces, x->n_spaces, et);
	e = e ? e : check_at_rest(x, et);
	e = e ? e : store_collection_by_number(x->tx, number, x->a, &row, et);
	if (e)
		return e;
	e = pgv_state(x->tx, number, &x->s, et);
	bool there = !e && x->s.table;
	e = e == ERR_NOT_FOUND ? OK : e;
	*drop = !e && there && x->s.mark < row.graves_seq;
	return e || there
		       ? e
		       : pgv_table_make(x->tx, &x->pg, number, x->spaces, x->n_spaces, row.seq, et);
}

static enum err fill_part(struct following *x, struct errtext *et)
{
	enum err e = pgv_state(x->tx, x->row->number, &x->s, et);
	if (e == ERR_NOT_FOUND || (!e && !x->s.table))
		return err_set(et, ERR_CONFLICT, "the collection was deleted or moved meanwhile");
	x->n = 0;
	if (e || x->s.filled == PGV_FILLED)
		return e;
	e = pgv_items_after(x->tx, x->row->number, x->s.filled, FILL_ITEMS, take_item, x, et);
	e = e ? e : sparse_flush(x, true, et);
	if (!e && x->n) {
		x->s.filled = x->last;
		e = pgv_state_put(x->tx, x->row->number, &x->s, et);
	}
	return e;
}

static enum err fill_parts(struct croft *c, struct following *x, struct errtext *et)
{
	bool drop = false;
	enum err e = db_begin(croft_db(c), TX_WRITE, &x->tx, et);
	e = e ? e : db_finish(x->tx, begin_in(x, &drop, et), et);
	if (!e && drop) {
		e = pgv_table_drop(c, x->row->number, et);
		return e ? e : fill_parts(c, x, et);
	}
	do {
		e = e ? e : db_begin(croft_db(c), TX_WRITE, &x->tx, et);
		e = e ? e : db_finish(x->tx, fill_part(x, et), et);
	} while (!e && x->n);
	return e;
}

/* The settings of its keyword index. */
static enum err words_wanted(
	struct croft *c, int64_t number, struct arena *a, struct str *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_keyword(tx, number, a, out, et);
	db_rollback(tx);
	return e;
}

static enum err fill(struct croft *c, const struct collection_row *row, const struct cancel *cancel,
	struct errtext *et)
{
	struct following x = {.cancel = cancel, .filling = true};
	struct str words;
	enum err e = pgv_possible(c, et);
	e = e ? e : following_begin(&x, row, et);
	e = e ? e : fill_parts(c, &x, et);
	e = e ? e : words_wanted(c, row->number, x.a, &words, et);
	if (!e && words.n)
		e = words_fill(c, row, words, cancel, et);
	following_end(&x);
	return e;
}

static enum err settle(struct tx *tx, const struct collection_row *row, struct errtext *et)
{
	struct following x = {.tx = tx};
	enum err e = pgv_state(tx, row->number, &x.s, et);
	if (e == ERR_NOT_FOUND || (!e && !x.s.table))
		return err_set(et, ERR_CONFLICT, "the collection was deleted or moved meanwhile");
	x.s.filled = PGV_FILLED;
	e = e ? e : following_begin(&x, row, et);
	e = e ? e : check_at_rest(&x, et);
	e = e ? e : follow(&x, et);
	following_end(&x);
	return e ? e : words_settle(tx, row, S(""), et);
}

/* ---- opening ---- */

struct opening {
	struct collection *k;
	struct arena *a;
	struct collection_row row;
	struct pgv_server pg;
	bool complete;
};

static enum err look_in(struct opening *x, struct tx *tx, struct errtext *et)
{
	struct pgv_state s;
	enum err e = pgv_server(tx, false, &x->pg, et);
	e = e ? e : store_collection_by_number(tx, x->k->number, x->a, &x->row, et);
	if (e)
		return e;
	e = pgv_state(tx, x->k->number, &s, et);
	x->complete = !e && s.table && s.filled == PGV_FILLED && s.mark == x->row.seq;
	e = e == ERR_NOT_FOUND ? OK : e;
	return e || !x->complete ? e
				 : words_complete(tx, x->k->number, x->row.seq, &x->complete, et);
}

static enum err look(struct opening *x, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(x->k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = look_in(x, tx, et);
	db_rollback(tx);
	if (!e) {
		x->k->pgv.version = x->pg.version;
		memcpy(x->k->pgv.schema, x->pg.schema, sizeof x->k->pgv.schema);
		x->k->live = (size_t)x->row.items;
		shelf_at(x->k, x->row.seq);
	}
	return e;
}

static enum err settle_now(struct opening *x, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(x->k->c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = store_collection_by_number(tx, x->k->number, x->a, &x->row, et);
	return db_finish(tx, e ? e : settle(tx, &x->row, et), et);
}

/* Its table is missing after a restore, or half full when a server ended meanwhile. */
static enum err open(struct collection *k, const struct cancel *cancel, struct errtext *et)
{
	struct opening x = {.k = k, .a = arena_new(0)};
	enum err e = x.a ? pgv_possible(k->c, et) : no_memory(et);
	e = e ? e : look(&x, et);
	if (!e && !x.complete) {
		log_info("the collection %.*s is filled into pgvector", STR_FMT(k->name));
		e = fill(k->c, &x.row, cancel, et);
		e = e ? e : settle_now(&x, et);
		e = e ? e : look(&x, et);
	}
	arena_free(x.a);
	return e;
}

/* ---- forgetting ---- */

static enum err drop_in(struct tx *tx, void *ctx, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM collection_pgv_words WHERE collection = ?",
		P_I64(*(int64_t *)ctx));
	return e ? e : pgv_state_drop(tx, *(int64_t *)ctx, et);
}

static enum err forget(struct croft *c, int64_t number, struct errtext *et)
{
	struct pgv_state s;
	struct tx *tx;
	if (!db_is(croft_db(c), "postgres"))
		return db_write(croft_db(c), drop_in, &number, et);
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = pgv_state(tx, number, &s, et);
	db_rollback(tx);
	if (e == ERR_NOT_FOUND)
		return OK;
	e = e ? e : pgv_table_drop(c, number, et);
	return e ? e : db_write(croft_db(c), drop_in, &number, et);
}

const struct backend backend_pgvector = {
	.name = "pgvector",
	.effort = PGV_EF,
	.make = make,
	.open = open,
	.changed = changed,
	.query = pgv_query,
	.weights = pgv_weights,
	.list = pgv_list,
	.count = pgv_count,
	.words = pgv_words,
	.words_fill = words_fill,
	.words_settle = words_settle,
	.words_tidy = words_tidy,
	.graph = pgv_graph,
	.tend = pgv_tend,
	.fill = fill,
	.settle = settle,
	.forget = forget,
};
