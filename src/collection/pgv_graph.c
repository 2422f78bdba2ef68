/* The HNSW indexes of collections in pgvector, made beside everything else once a collection is
 * large enough that comparing all takes longer. CREATE INDEX CONCURRENTLY lets others read and
 * write meanwhile, and searches compare all until it is valid. Items that come later go into the
 * graph one by one, which takes longer than making it of all: while a collection still grows by a
 * tenth in ten seconds, as at the beginning of an import, it is waited for. A steady import comes
 * below that by itself, and changes of items that are there are no growth. An index that was
 * interrupted is not valid; it is dropped and made again. Servers that share a database do not wait
 * for each other: who comes second finds the name taken. */
#include "collection/pgv_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

enum { AGAIN_MS = 60000, QUIET_MS = 2000, GROWTH_MS = 10000, GROWTH_SHARE = 10, SQL_BYTES = 512 };

struct graph {
	bool there, valid, building;
	int64_t items, done, total; /* blocks of the table, while it is built */
	char schema[132];
};

static const char *operators(const struct space *s)
{
	bool half = s->dim > PGV_DIM_FLOAT;
	if (s->distance == DISTANCE_L2)
		return half ? "halfvec_l2_ops" : "vector_l2_ops";
	if (s->distance == DISTANCE_L1)
		return half ? "halfvec_l1_ops" : "vector_l1_ops";
	return half ? "halfvec_ip_ops" : "vector_ip_ops";
}

static enum err look_in(struct tx *tx, const struct collection *k, size_t space, struct graph *g,
	struct errtext *et)
{
	struct row *r;
	struct pgv_server pg;
	char name[64];
	enum err e = pgv_server(tx, false, &pg, et);
	if (e)
		return e;
	memcpy(g->schema, pg.schema, sizeof g->schema);
	snprintf(name, sizeof name, "derived_pgv_%lld_v%zu", (long long)k->number, space);
	e = db_query(tx, &r, et,
		"SELECT c.items, x.indexrelid IS NOT NULL, COALESCE(x.indisvalid, FALSE), "
		"b.index_relid IS NOT NULL, COALESCE(b.blocks_done, 0), COALESCE(b.blocks_total, "
		"0) FROM collection c LEFT JOIN pg_index x ON x.indexrelid = to_regclass(?) LEFT "
		"JOIN pg_stat_progress_create_index b ON b.index_relid = x.indexrelid WHERE "
		"c.number = ? LIMIT 1",
		P_TEXT(str_c(name)), P_I64(k->number));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		g->items = row_i64(r, 0);
		g->there = row_i64(r, 1);
		g->valid = row_i64(r, 2);
		g->building = row_i64(r, 3);
		g->done = row_i64(r, 4);
		g->total = row_i64(r, 5);
	}
	row_free(r);
	return e;
}

static enum err look(struct collection *k, size_t space, struct graph *g, struct errtext *et)
{
	struct tx *tx;
	*g = (struct graph){0};
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = look_in(tx, k, space, g, et);
	db_rollback(tx);
	return e;
}

static enum err build(struct collection *k, size_t space, const struct graph *g, struct errtext *et)
{
	char memory[80], drop[SQL_BYTES], create[SQL_BYTES], column[200];
	const struct space *s = &layout_of(k)->spaces[space];
	long long number = (long long)k->number;
	snprintf(memory, sizeof memory, "SET maintenance_work_mem = '%lldkB'",
		(long long)setting_int(k->c, "collection.pgvector_build_bytes") / 1024);
	snprintf(drop, sizeof drop, "DROP INDEX CONCURRENTLY IF EXISTS derived_pgv_%lld_v%zu",
		number, space);
	char vector[24] = "v", table[64];
	snprintf(table, sizeof table, "derived_pgv_%lld", number);
	if (s->kind == SPACE_MULTI)
		snprintf(table, sizeof table, "derived_pgv_%lld_m%zu", number, space);
	else
		snprintf(vector, sizeof vector, "v%zu", space);
	if (s->dim > PGV_DIM_FLOAT)
		snprintf(column, sizeof column, "(CAST(%s AS %s.halfvec(%u)))", vector, g->schema,
			s->dim);
	else
		snprintf(column, sizeof column, "%s", vector);
	snprintf(create, sizeof create,
		"CREATE INDEX CONCURRENTLY derived_pgv_%lld_v%zu ON %s USING hnsw (%s %s.%s)",
		number, space, table, column, g->schema, operators(s));
	const char *const steps[] = {memory, drop, create};
	uint64_t began = clock_mono_ns();
	enum err e = db_beside(croft_db(k->c), steps, ARRAY_LEN(steps), croft_stopping(k->c), et);
	if (!e)
		log_info("the collection %.*s has a graph over %lld items in pgvector, made in "
			 "%.1f s",
			STR_FMT(k->name), (long long)g->items,
			(double)(clock_mono_ns() - began) / 1e9);
	return e;
}

/* The vectors of a space of lists, but no more than are asked about. */
static enum err count_rows(
	struct collection *k, size_t space, int64_t most, int64_t *out, struct errtext *et)
{
	char sql[160];
	struct row *r;
	struct tx *tx;
	snprintf(sql, sizeof sql,
		"SELECT count(*) FROM (SELECT 1 FROM derived_pgv_%lld_m%zu LIMIT ?) r",
		(long long)k->number, space);
	enum err e = db_begin(croft_db(k->c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, sql, P_I64(most));
	if (!e) {
		if (row_next(r, &e, et))
			*out = row_i64(r, 0);
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

/* Grows so fast that it is better to wait. Looked at each second. */
static bool grows(struct collection *k, int64_t items, int64_t now)
{
	pthread_mutex_lock(&k->write);
	int64_t changed = k->changed_ms;
	pthread_mutex_unlock(&k->write);
	if (now - changed >= QUIET_MS)
		return false;
	if (!k->pgv.since) {
		k->pgv.since = now;
		k->pgv.items = items;
		return true;
	}
	if (now - k->pgv.since < GROWTH_MS)
		return true;
	bool fast = items - k->pgv.items > k->pgv.items / GROWTH_SHARE;
	k->pgv.since = now;
	k->pgv.items = items;
	return fast;
}

static enum err tend_space(struct collection *k, size_t space, bool *wait, struct errtext *et)
{
	struct graph g;
	int64_t least = setting_int(k->c, "collection.pgvector_graph"), n;
	enum err e = look(k, space, &g, et);
	n = g.items;
	if (!e && !g.valid && layout_of(k)->spaces[space].kind == SPACE_MULTI)
		e = count_rows(k, space, least, &n, et);
	if (e || g.valid || g.building || n < least)
		return e;
	*wait = grows(k, g.items, clock_unix_ms());
	return *wait ? OK : build(k, space, &g, et);
}

enum err pgv_graph(struct collection *k, struct tx *tx, size_t space, struct graph_state *out,
	struct errtext *et)
{
	struct graph g = {0};
	enum err e = look_in(tx, k, space, &g, et);
	if (e)
		return e;
	*out = (struct graph_state){.ready = g.valid,
		.building = g.building,
		.done = g.valid   ? 1
			: g.total ? (double)g.done / (double)g.total
				  : 0};
	return OK;
}

void pgv_tend(struct collection *k)
{
	int64_t now = clock_unix_ms(), seq = k->shown + 1;
	struct errtext et = {0};
	const struct layout *l = layout_of(k);
	bool wait = false;
	enum err e = OK;
	if (now < k->pgv.next || k->pgv.tended == seq)
		return;
	for (size_t s = 0; s < l->n && !e && !wait; s++)
		e = space_lives(&l->spaces[s]) && l->spaces[s].kind != SPACE_SPARSE
			    ? tend_space(k, s, &wait, &et)
			    : OK;
	if (e && e != ERR_CANCELLED)
		log_warn("the graph of the collection %.*s in pgvector: %s", STR_FMT(k->name),
			et.msg);
	k->pgv.tended = e || wait ? 0 : seq;
	k->pgv.since = wait ? k->pgv.since : 0;
	k->pgv.next = e ? now + AGAIN_MS : 0;
}
