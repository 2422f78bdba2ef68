/* Where the live items of a collection came from, in the database. */
#include "collection/asof_int.h"

enum err store_head(struct tx *tx, int64_t collection, struct arena *a, struct head_row *out,
	bool *found, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT artifact, version, seq, digest, origin, done FROM collection_head "
		"WHERE collection = ?",
		P_I64(collection));
	if (e)
		return e;
	bool there = row_next(r, &e, et);
	struct head_row h = {.collection = collection};
	if (there) {
		h.artifact = row_id(r, 0);
		h.version = row_i64(r, 1);
		h.seq = row_i64(r, 2);
		h.digest = arena_str(a, row_text(r, 3));
		h.origin = arena_str(a, row_text(r, 4));
		h.done = arena_str(a, row_blob(r, 5));
		if (!h.digest.p || !h.origin.p || !h.done.p)
			e = err_set(et, ERR_NOMEM, "no memory for a version");
	}
	row_free(r);
	if (!e) {
		*out = there ? h
			     : (struct head_row){.collection = collection,
				       .digest = S(""),
				       .origin = S(""),
				       .done = S("")};
		*found = there;
	}
	return e;
}

enum err store_head_put(struct tx *tx, const struct head_row *h, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_head (collection, artifact, version, seq, digest, origin, "
		"done) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (collection) DO UPDATE SET "
		"artifact = excluded.artifact, version = excluded.version, seq = excluded.seq, "
		"digest = excluded.digest, origin = excluded.origin, done = excluded.done",
		P_I64(h->collection), P_ID(h->artifact), P_I64(h->version), P_I64(h->seq),
		P_TEXT(h->digest), P_TEXT(h->origin), P_BLOB(h->done));
}

enum err store_nums_since(
	struct tx *tx, int64_t collection, int64_t seq, num_fn fn, void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT num, vec, id FROM collection_item WHERE collection = ? AND seq > ?",
		P_I64(collection), P_I64(seq));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = fn(ctx, row_i64(r, 0), row_i64(r, 1), row_blob(r, 2), et);
	row_free(r);
	return e;
}

enum err store_collection_renumber(
	struct tx *tx, int64_t from, const struct collection_row *row, struct errtext *et)
{
	static const char *const settings[] = {
		"UPDATE collection_keyword SET collection = ? WHERE collection = ?",
		"UPDATE collection_limit SET collection = ? WHERE collection = ?",
		"UPDATE collection_recall SET collection = ? WHERE collection = ?",
		"UPDATE collection_alias SET collection = ? WHERE collection = ?",
		"UPDATE collection_migration SET collection = ? WHERE collection = ?"};
	enum err e = db_exec(tx, et,
		"UPDATE collection SET number = ?, seq = ?, next_num = ?, items = ?, graves_seq = "
		"?, updated_ms = ? WHERE number = ?",
		P_I64(row->number), P_I64(row->seq), P_I64(row->next_num), P_I64(row->items),
		P_I64(row->graves_seq), P_I64(row->updated_ms), P_I64(from));
	for (size_t i = 0; i < ARRAY_LEN(settings) && !e; i++)
		e = db_exec(tx, et, settings[i], P_I64(row->number), P_I64(from));
	e = e ? e
	      : db_exec(tx, et, "DELETE FROM collection_head WHERE collection = ?", P_I64(from));
	return e ? e
		 : db_exec(tx, et, "INSERT INTO collection_dropped (number) VALUES (?)",
			   P_I64(from));
}

enum err store_half_filled(struct tx *tx,
	enum err (*fn)(void *ctx, struct str project, struct str name, int64_t number,
		int64_t items, struct errtext *et),
	void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT c.project, c.name, c.number, c.items, h.done FROM collection c JOIN "
		"collection_head h ON h.collection = c.number WHERE c.next_num = 0");
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		if (row_blob(r, 4).n)
			e = fn(ctx, row_text(r, 0), row_text(r, 1), row_i64(r, 2), row_i64(r, 3),
				et);
	row_free(r);
	return e;
}

struct needing {
	enum err (*want)(void *ctx, struct str hex);
	void *ctx;
};

static enum err need_one(void *ctx, struct str hex)
{
	const struct needing *n = ctx;
	return hex.n ? n->want(n->ctx, hex) : OK;
}

enum err store_head_blobs(
	struct tx *tx, enum err (*want)(void *ctx, struct str hex), void *ctx, struct errtext *et)
{
	struct needing n = {want, ctx};
	return db_each_text(tx, "SELECT digest FROM collection_head", need_one, &n, et);
}
