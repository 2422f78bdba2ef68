/* Corpora that evaluation keeps, in the database. */
#include "eval/eval_int.h"

const struct migration eval_migrations[] = {
	{1, "corpora",
		"CREATE TABLE eval_corpus ("
		"  project TEXT NOT NULL,"
		"  collection TEXT NOT NULL,"
		"  digest TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  chunk_tokens BIGINT NOT NULL,"
		"  documents BIGINT NOT NULL,"
		"  failed BIGINT NOT NULL,"
		"  ready BIGINT NOT NULL,"
		"  updated_ms BIGINT NOT NULL,"
		"  PRIMARY KEY (project, collection));"},
};
const size_t n_eval_migrations = ARRAY_LEN(eval_migrations);

#define COLUMNS "digest, name, collection, chunk_tokens, documents, failed, ready, updated_ms"

static void read_row(struct row *r, struct arena *a, struct corpus *out)
{
	*out = (struct corpus){.digest = arena_str(a, row_text(r, 0)),
		.name = arena_str(a, row_text(r, 1)),
		.collection = arena_str(a, row_text(r, 2)),
		.chunk_tokens = row_i64(r, 3),
		.documents = row_i64(r, 4),
		.failed = row_i64(r, 5),
		.ready = row_i64(r, 6) != 0,
		.updated_ms = row_i64(r, 7)};
}

enum err corpus_get(struct tx *tx, struct str project, struct str digest, int64_t chunk_tokens,
	struct arena *a, struct corpus *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS
		" FROM eval_corpus WHERE project = ? AND digest = ? AND chunk_tokens = ?",
		P_TEXT(project), P_TEXT(digest), P_I64(chunk_tokens));
	if (e)
		return e;
	if (row_next(r, &e, et))
		read_row(r, a, out);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "no such corpus is kept");
	row_free(r);
	return e;
}

enum err corpus_put(struct tx *tx, struct str project, const struct corpus *k, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO eval_corpus (project, " COLUMNS
		") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, collection) DO UPDATE "
		"SET digest = excluded.digest, name = excluded.name, chunk_tokens = "
		"excluded.chunk_tokens, documents = excluded.documents, failed = excluded.failed, "
		"ready = excluded.ready, updated_ms = excluded.updated_ms",
		P_TEXT(project), P_TEXT(k->digest), P_TEXT(k->name), P_TEXT(k->collection),
		P_I64(k->chunk_tokens), P_I64(k->documents), P_I64(k->failed), P_I64(k->ready),
		P_I64(k->updated_ms));
}

enum err corpus_delete(struct tx *tx, struct str project, struct str collection, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM eval_corpus WHERE project = ? AND collection = ?",
		P_TEXT(project), P_TEXT(collection));
}

enum err corpus_list(struct tx *tx, struct str project, struct str digest, struct arena *a,
	struct corpus **out, size_t *n, struct errtext *et)
{
	enum { MOST = 1000 };
	struct row *r;
	struct corpus *list = arena_array_of(a, MOST, struct corpus);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory to list corpora");
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM eval_corpus WHERE project = ? AND (digest = ? OR ? = '') "
		"ORDER BY updated_ms DESC, collection LIMIT 1000",
		P_TEXT(project), P_TEXT(digest.p ? digest : S("")),
		P_TEXT(digest.p ? digest : S("")));
	if (e)
		return e;
	*n = 0;
	while (*n < MOST && row_next(r, &e, et))
		read_row(r, a, &list[(*n)++]);
	row_free(r);
	*out = list;
	return e;
}
