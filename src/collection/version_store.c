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
