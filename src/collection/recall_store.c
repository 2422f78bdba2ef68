/* How the recall of collections went, in the database. */
#include "collection/held.h"
#include "base/hash.h"

enum { PAST_KEPT = 500 };

enum err store_recall_add(struct tx *tx, int64_t collection, int64_t place,
	const struct recall_past *p, struct errtext *et)
{
	uint64_t lot;
	struct row *r;
	random_bytes(&lot, sizeof lot);
	enum err e = db_exec(tx, et,
		"INSERT INTO collection_recall (collection, place, at_ms, lot, ef, next_ef, "
		"queries, mean, low, high, band) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_I64(collection), P_I64(place), P_I64(p->at_ms), P_I64((int64_t)(lot >> 1)),
		P_I64(p->ef), P_I64(p->next_ef), P_I64(p->queries), P_F64(p->recall.mean),
		P_F64(p->recall.low), P_F64(p->recall.high), P_I64(p->band));
	e = e ? e
	      : db_query(tx, &r, et,
			"SELECT at_ms FROM collection_recall WHERE collection = ? AND place = ? "
			"AND band = ? ORDER BY at_ms DESC LIMIT 1 OFFSET ?",
			P_I64(collection), P_I64(place), P_I64(p->band), P_I64(PAST_KEPT));
	if (e)
		return e;
	bool more = row_next(r, &e, et);
	int64_t before = more ? row_i64(r, 0) : 0;
	row_free(r);
	return e || !more
		       ? e
		       : db_exec(tx, et,
				 "DELETE FROM collection_recall WHERE collection = ? AND place = "
				 "? AND band = ? AND at_ms <= ?",
				 P_I64(collection), P_I64(place), P_I64(p->band), P_I64(before));
}

enum err store_recall_clear(struct tx *tx, int64_t collection, int64_t place, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM collection_recall WHERE collection = ? AND place = ?",
		P_I64(collection), P_I64(place));
}

enum err store_recall(struct tx *tx, int64_t collection, int64_t place, int64_t band, size_t max,
	struct arena *a, struct recall_past **out, size_t *n, struct errtext *et)
{
	struct recall_past *list = arena_array_of(a, max + 1, struct recall_past);
	struct row *r;
	size_t got = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for the recall of a collection");
	enum err e = db_query(tx, &r, et,
		"SELECT at_ms, ef, next_ef, queries, mean, low, high FROM collection_recall WHERE "
		"collection = ? AND place = ? AND band = ? ORDER BY at_ms DESC, lot LIMIT ?",
		P_I64(collection), P_I64(place), P_I64(band), P_I64((int64_t)max));
	if (e)
		return e;
	while (got < max && row_next(r, &e, et))
		list[got++] = (struct recall_past){row_i64(r, 0), (uint32_t)row_i64(r, 1),
			(uint32_t)row_i64(r, 2), row_i64(r, 3),
			{row_f64(r, 4), row_f64(r, 5), row_f64(r, 6)}, band};
	row_free(r);
	if (!e) {
		*out = list;
		*n = got;
	}
	return e;
}
