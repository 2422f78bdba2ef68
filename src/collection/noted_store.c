/* Indexes of payload fields that clients asked for, in the database. */
#include "collection/collection_int.h"
#include "collection/noted.h"

struct noting {
	struct str project, collection;
	const struct noted_index *x; /* NULL: dropped */
	struct str field;
	struct arena *a;
	int64_t seq;
};

static enum err check_room(struct tx *tx, int64_t number, struct str field, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT COUNT(*) FROM collection_noted WHERE collection = ? AND field <> ?",
		P_I64(number), P_TEXT(field));
	if (e)
		return e;
	bool full = row_next(r, &e, et) && row_i64(r, 0) >= NOTED_MAX;
	row_free(r);
	return e || !full ? e
			  : err_set(et, ERR_LIMIT,
				    "at most %d fields of a collection can be asked "
				    "to be indexed",
				    NOTED_MAX);
}

static enum err note_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct noting *k = ctx;
	struct collection_row r;
	enum err e = store_collection_by_name(tx, k->project, k->collection, k->a, &r, et);
	if (e)
		return e;
	k->seq = r.seq;
	if (!k->x)
		return db_exec(tx, et,
			"DELETE FROM collection_noted WHERE collection = ? AND field = ?",
			P_I64(r.number), P_TEXT(k->field));
	e = check_room(tx, r.number, k->field, et);
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO collection_noted (collection, field, about) VALUES (?, ?, "
			   "?) ON CONFLICT (collection, field) DO UPDATE SET about = "
			   "excluded.about",
			   P_I64(r.number), P_TEXT(k->field), P_TEXT(k->x->schema));
}

static enum err note(struct croft *c, struct noting *k, int64_t *seq, struct errtext *et)
{
	k->a = arena_new(0);
	enum err e = k->a ? db_write(croft_db(c), note_in, k, et)
			  : err_set(et, ERR_NOMEM, "no memory for an index");
	arena_free(k->a);
	if (!e)
		*seq = k->seq;
	return e;
}

enum err noted_index_put(struct croft *c, struct str project, struct str collection,
	const struct noted_index *x, int64_t *seq, struct errtext *et)
{
	return note(c,
		&(struct noting){
			.project = project, .collection = collection, .x = x, .field = x->field},
		seq, et);
}

enum err noted_index_drop(struct croft *c, struct str project, struct str collection,
	struct str field, int64_t *seq, struct errtext *et)
{
	return note(c,
		&(struct noting){.project = project, .collection = collection, .field = field}, seq,
		et);
}

static enum err read_noted(struct tx *tx, int64_t number, struct arena *a, struct noted_index **out,
	size_t *n, struct errtext *et)
{
	struct row *r;
	size_t found = 0;
	struct noted_index *list = arena_array_of(a, NOTED_MAX, struct noted_index);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for indexes");
	enum err e = db_query(tx, &r, et,
		"SELECT field, about FROM collection_noted WHERE collection = ? ORDER BY field "
		"LIMIT ?",
		P_I64(number), P_I64(NOTED_MAX));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct noted_index *x = &list[found++];
		*x = (struct noted_index){
			arena_str(a, row_text(r, 0)), arena_str(a, row_text(r, 1))};
		if (!x->field.p || !x->schema.p)
			e = err_set(et, ERR_NOMEM, "no memory for indexes");
	}
	row_free(r);
	*out = list;
	*n = found;
	return e;
}

enum err noted_indexes(struct croft *c, struct str project, struct str collection, struct arena *a,
	struct noted_index **out, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct collection_row r;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project, collection, a, &r, et);
	e = e ? e : read_noted(tx, r.number, a, out, n, et);
	db_rollback(tx);
	return e;
}
