/* SQL: which project has which trees and chunks; the state of collections. */
#include "artifact/artifact.h"
#include "artifact/tree_int.h"

const struct migration tree_migrations[N_TREE_MIGRATIONS] = {
	{1, "trees",
		"CREATE TABLE tree ("
		"  project TEXT NOT NULL,"
		"  digest TEXT NOT NULL,"
		"  creator TEXT NOT NULL,"
		"  files BIGINT NOT NULL,"
		"  bytes BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, digest));"
		"CREATE INDEX tree_digest ON tree (digest);"
		"CREATE TABLE tree_chunk ("
		"  project TEXT NOT NULL,"
		"  id BLOB NOT NULL,"
		"  size BIGINT NOT NULL,"
		"  added_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, id));"
		"CREATE INDEX tree_chunk_id ON tree_chunk (id);"
		"CREATE TABLE tree_gc ("
		"  one BIGINT PRIMARY KEY,"
		"  begun BIGINT NOT NULL,"
		"  ended BIGINT NOT NULL,"
		"  running_ms BIGINT NOT NULL);"
		"CREATE TABLE tree_dying ("
		"  id BLOB PRIMARY KEY,"
		"  batch BIGINT NOT NULL,"
		"  noted_ms BIGINT NOT NULL);"},
	{2, "uploads of those whom rules bind",
		"CREATE TABLE tree_upload ("
		"  project TEXT NOT NULL,"
		"  id BLOB NOT NULL,"
		"  who TEXT NOT NULL,"
		"  PRIMARY KEY (project, id, who));"},
};

/* ---- trees ---- */

enum err tree_row_put(
	struct tx *tx, struct str project, const struct tree_row *t, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO tree (project, digest, creator, files, bytes, created_ms) "
		"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, digest) "
		"DO UPDATE SET created_ms = excluded.created_ms",
		P_TEXT(project), P_TEXT(t->digest), P_TEXT(t->creator), P_I64(t->files),
		P_I64(t->bytes), P_I64(t->created_ms));
}

static enum err exists(struct tx *tx, bool *found, struct errtext *et, const char *sql,
	const struct param *p, size_t n)
{
	struct row *r;
	enum err e = db_query_n(tx, &r, et, sql, p, n);
	if (e)
		return e;
	*found = row_next(r, &e, et);
	row_free(r);
	return e;
}

enum err tree_row_find(
	struct tx *tx, struct str project, struct str digest, bool *found, struct errtext *et)
{
	const struct param p[] = {P_TEXT(project), P_TEXT(digest)};
	return exists(tx, found, et, "SELECT 1 FROM tree WHERE project = ? AND digest = ?", p, 2);
}

enum err tree_row_creator(struct tx *tx, struct str project, struct str digest, struct arena *a,
	struct str *out, struct errtext *et)
{
	struct row *r;
	struct str creator = {0};
	enum err e =
		db_query(tx, &r, et, "SELECT creator FROM tree WHERE project = ? AND digest = ?",
			P_TEXT(project), P_TEXT(digest));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		creator = arena_str(a, row_text(r, 0));
		if (!creator.p)
			e = err_set(et, ERR_NOMEM, "no memory");
	}
	row_free(r);
	if (!e)
		*out = creator;
	return e;
}

/* A deleted version keeps its tree for the same time, so that a mistake can be taken back. Content
 * that a run used or produced without a name is kept as long as its lineage says so. */
#define UNUSED                                                                                  \
	"created_ms < ? AND NOT EXISTS (SELECT 1 FROM artifact_version v JOIN artifact a "      \
	"ON a.id = v.artifact WHERE v.digest = tree.digest AND a.project = tree.project "       \
	"AND ((v.deleted = 0 AND a.deleted = 0) OR v.updated_ms >= ? OR a.updated_ms >= ?)) "   \
	"AND NOT EXISTS (SELECT 1 FROM lineage_edge e WHERE e.project = tree.project AND "      \
	"e.source = '" TREE_URN "' || tree.digest) AND NOT EXISTS (SELECT 1 FROM lineage_edge " \
	"e WHERE e.project = tree.project AND e.node = '" TREE_URN "' || tree.digest)"

static enum err each_row(struct tx *tx, tree_row_fn fn, void *ctx, struct errtext *et,
	const char *sql, const struct param *p, size_t n)
{
	struct row *r;
	enum err e = db_query_n(tx, &r, et, sql, p, n);
	if (e)
		return e;
	while (row_next(r, &e, et)) {
		e = fn(ctx, row_text(r, 0), row_text(r, 1));
		if (e)
			break;
	}
	row_free(r);
	return e;
}

enum err tree_rows_unused(
	struct tx *tx, int64_t before_ms, tree_row_fn fn, void *ctx, struct errtext *et)
{
	const struct param p[] = {P_I64(before_ms), P_I64(before_ms), P_I64(before_ms)};
	return each_row(tx, fn, ctx, et, "SELECT project, digest FROM tree WHERE " UNUSED, p, 3);
}

enum err tree_row_expire(struct tx *tx, struct str project, struct str digest, int64_t before_ms,
	bool *gone, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM tree WHERE project = ? AND digest = ? AND " UNUSED, P_TEXT(project),
		P_TEXT(digest), P_I64(before_ms), P_I64(before_ms), P_I64(before_ms));
	if (!e)
		*gone = db_changes(tx) > 0;
	return e;
}

enum err tree_rows_each(struct tx *tx, tree_row_fn fn, void *ctx, struct errtext *et)
{
	return each_row(tx, fn, ctx, et, "SELECT project, digest FROM tree", NULL, 0);
}

/* ---- chunks ---- */

#define P_CHUNK(c) P_BLOB(str_mk((c)->id, SHA256_BYTES))

enum err tree_chunks_lack(struct tx *tx, struct str project, const struct tree_chunk *c, size_t n,
	bool *lack, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		const struct param p[] = {P_TEXT(project), P_CHUNK(&c[i])};
		bool found = false;
		e = exists(tx, &found, et, "SELECT 1 FROM tree_chunk WHERE project = ? AND id = ?",
			p, 2);
		lack[i] = !found;
	}
	return e;
}

enum err tree_uploads_lack(struct tx *tx, struct str project, struct str who,
	const struct tree_chunk *c, size_t n, bool *lack, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		const struct param p[] = {P_TEXT(project), P_CHUNK(&c[i]), P_TEXT(who)};
		bool found = false;
		e = exists(tx, &found, et,
			"SELECT 1 FROM tree_upload WHERE project = ? AND id = ? AND who = ?", p, 3);
		lack[i] = !found;
	}
	return e;
}

enum err tree_uploads_put(struct tx *tx, struct str project, struct str who,
	const struct tree_chunk *c, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		e = db_exec(tx, et,
			"INSERT INTO tree_upload (project, id, who) VALUES (?, ?, ?) "
			"ON CONFLICT (project, id, who) DO NOTHING",
			P_TEXT(project), P_CHUNK(&c[i]), P_TEXT(who));
	return e;
}

enum err tree_chunks_put(struct tx *tx, struct str project, const struct tree_chunk *c, size_t n,
	int64_t now_ms, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		e = db_exec(tx, et,
			"INSERT INTO tree_chunk (project, id, size, added_ms) VALUES (?, ?, ?, ?) "
			"ON CONFLICT (project, id) DO UPDATE SET added_ms = excluded.added_ms",
			P_TEXT(project), P_CHUNK(&c[i]), P_I64(c[i].size), P_I64(now_ms));
	return e;
}

enum err tree_chunks_renew(struct tx *tx, struct str project, const struct tree_chunk *c, size_t n,
	int64_t before_ms, int64_t now_ms, size_t *missing, struct errtext *et)
{
	enum err e = OK;
	*missing = n;
	for (size_t i = 0; i < n && !e && *missing == n; i++) {
		struct row *r;
		bool there = false, old = false;
		e = db_query(tx, &r, et,
			"SELECT added_ms, size FROM tree_chunk WHERE project = ? AND id = ?",
			P_TEXT(project), P_CHUNK(&c[i]));
		if (e)
			return e;
		if (row_next(r, &e, et)) {
			there = row_i64(r, 1) == c[i].size;
			old = row_i64(r, 0) < before_ms;
		}
		row_free(r);
		if (!e && !there)
			*missing = i;
		else if (!e && old)
			e = db_exec(tx, et,
				"UPDATE tree_chunk SET added_ms = ? WHERE project = ? AND id = ?",
				P_I64(now_ms), P_TEXT(project), P_CHUNK(&c[i]));
	}
	return e;
}

enum err tree_chunks_each(struct tx *tx, tree_chunk_fn fn, void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT project, id, added_ms FROM tree_chunk");
	if (e)
		return e;
	while (row_next(r, &e, et)) {
		e = fn(ctx, row_text(r, 0), row_blob(r, 1), row_i64(r, 2));
		if (e)
			break;
	}
	row_free(r);
	return e;
}

enum err tree_chunk_delete(
	struct tx *tx, struct str project, struct str id, int64_t before_ms, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM tree_chunk WHERE project = ? AND id = ? AND added_ms < ?",
		P_TEXT(project), P_BLOB(id), P_I64(before_ms));
	if (e || !db_changes(tx))
		return e;
	return db_exec(tx, et, "DELETE FROM tree_upload WHERE project = ? AND id = ?",
		P_TEXT(project), P_BLOB(id));
}

enum err tree_blob_needed(
	struct tx *tx, const uint8_t id[SHA256_BYTES], bool *needed, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	hex_encode(id, SHA256_BYTES, hex);
	const struct param chunk[] = {P_BLOB(str_mk(id, SHA256_BYTES))};
	const struct param tree[] = {P_TEXT(str_c(hex))};
	enum err e = exists(tx, needed, et, "SELECT 1 FROM tree_chunk WHERE id = ?", chunk, 1);
	if (!e && !*needed)
		e = exists(tx, needed, et, "SELECT 1 FROM tree WHERE digest = ?", tree, 1);
	return e;
}

/* ---- collections ---- */

enum err tree_gc_state(struct tx *tx, struct tree_gc_state *out, struct errtext *et)
{
	struct row *r;
	struct tree_gc_state s = {0};
	enum err e =
		db_query(tx, &r, et, "SELECT begun, ended, running_ms FROM tree_gc WHERE one = 1");
	if (e)
		return e;
	if (row_next(r, &e, et))
		s = (struct tree_gc_state){row_i64(r, 0), row_i64(r, 1), row_i64(r, 2)};
	row_free(r);
	if (!e)
		*out = s;
	return e;
}

enum err tree_gc_state_put(struct tx *tx, const struct tree_gc_state *s, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO tree_gc (one, begun, ended, running_ms) VALUES (1, ?, ?, ?) "
		"ON CONFLICT (one) DO UPDATE SET begun = excluded.begun, ended = excluded.ended, "
		"running_ms = excluded.running_ms",
		P_I64(s->begun), P_I64(s->ended), P_I64(s->running_ms));
}

enum err tree_dying(
	struct tx *tx, const struct tree_chunk *c, size_t n, int64_t *batch, struct errtext *et)
{
	enum err e = OK;
	*batch = 0;
	for (size_t i = 0; i < n && !e; i++) {
		struct row *r;
		e = db_query(
			tx, &r, et, "SELECT batch FROM tree_dying WHERE id = ?", P_CHUNK(&c[i]));
		if (e)
			return e;
		if (row_next(r, &e, et))
			*batch = MAX(*batch, row_i64(r, 0));
		row_free(r);
	}
	return e;
}

enum err tree_dying_put(struct tx *tx, const uint8_t id[SHA256_BYTES], int64_t batch,
	int64_t now_ms, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO tree_dying (id, batch, noted_ms) VALUES (?, ?, ?) ON CONFLICT (id) "
		"DO UPDATE SET batch = excluded.batch, noted_ms = excluded.noted_ms",
		P_BLOB(str_mk(id, SHA256_BYTES)), P_I64(batch), P_I64(now_ms));
}

enum err tree_dying_clear(struct tx *tx, int64_t before_ms, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM tree_dying WHERE noted_ms < ?", P_I64(before_ms));
}
