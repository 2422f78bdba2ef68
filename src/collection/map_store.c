/* Maps of collections in the database: one row each. */
#include "collection/map_int.h"

enum err store_map(struct tx *tx, int64_t collection, bool points, struct arena *a,
	struct map_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		points ? "SELECT seq, made_ms, about, points FROM collection_map WHERE collection "
			 "= ?"
		       : "SELECT seq, made_ms, about FROM collection_map WHERE collection = ?",
		P_I64(collection));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found) {
		*out = (struct map_row){collection, row_i64(r, 0), row_i64(r, 1),
			arena_str(a, row_text(r, 2)),
			points ? arena_str(a, row_blob(r, 3)) : (struct str){0}};
		if (!out->about.p || (points && !out->points.p))
			e = err_set(et, ERR_NOMEM, "no memory for a map");
	}
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

enum err store_map_put(struct tx *tx, const struct map_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_map (collection, seq, made_ms, about, points) "
		"VALUES (?, ?, ?, ?, ?) ON CONFLICT (collection) DO UPDATE SET "
		"seq = excluded.seq, made_ms = excluded.made_ms, about = excluded.about, "
		"points = excluded.points",
		P_I64(r->collection), P_I64(r->seq), P_I64(r->made_ms), P_TEXT(r->about),
		P_BLOB(r->points));
}

enum err store_map_drop(struct tx *tx, int64_t collection, struct errtext *et)
{
	return db_exec(
		tx, et, "DELETE FROM collection_map WHERE collection = ?", P_I64(collection));
}
