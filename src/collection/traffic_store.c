/* Counts of hits in the database. */
#include "collection/traffic.h"

enum err store_traffic_add(
	struct tx *tx, const struct traffic_row *r, int64_t now_ms, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_traffic (collection, num, hits, last_ms) VALUES (?, ?, ?, "
		"?) ON CONFLICT (collection, num) DO UPDATE SET hits = collection_traffic.hits + "
		"excluded.hits, last_ms = excluded.last_ms",
		P_I64(r->collection), P_I64(r->num), P_I64(r->hits), P_I64(now_ms));
}

enum err store_traffic(
	struct tx *tx, int64_t collection, traffic_fn fn, void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT num, hits FROM collection_traffic WHERE collection = ? ORDER BY num",
		P_I64(collection));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = fn(ctx, row_i64(r, 0), row_i64(r, 1), et);
	row_free(r);
	return e;
}

enum err store_traffic_trim(struct tx *tx, int64_t collection, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM collection_traffic WHERE collection = ? AND NOT EXISTS (SELECT 1 FROM "
		"collection_item i WHERE i.collection = collection_traffic.collection AND i.num = "
		"collection_traffic.num)",
		P_I64(collection));
}
