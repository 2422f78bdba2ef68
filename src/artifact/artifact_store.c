#include "artifact/artifact_int.h"

const struct migration artifact_migrations[2] = {
	{1, "installed models",
		"CREATE TABLE model ("
		"  name TEXT PRIMARY KEY,"
		"  purpose TEXT NOT NULL,"
		"  source TEXT NOT NULL,"
		"  licence TEXT NOT NULL,"
		"  sha256 TEXT NOT NULL,"
		"  bytes BIGINT NOT NULL,"
		"  file TEXT NOT NULL,"
		"  info TEXT NOT NULL,"
		"  added_ms BIGINT NOT NULL);"},
	/* base: of an adapter the model that it is for */
	{2, "adapters of models", "ALTER TABLE model ADD COLUMN base TEXT NOT NULL DEFAULT '';"},
};

static const struct {
	const char *word, *setting;
} purposes[] = {
	[PURPOSE_CHAT] = {"chat", "chat.model"},
	[PURPOSE_EMBED] = {"embed", "embed.model"},
	[PURPOSE_RERANK] = {"rerank", "rerank.model"},
};

const char *purpose_word(enum model_purpose p)
{
	return purposes[p].word;
}

enum model_purpose purpose_of(struct str word)
{
	for (unsigned i = 0; i < ARRAY_LEN(purposes); i++)
		if (str_eq_c(word, purposes[i].word))
			return (enum model_purpose)i;
	return PURPOSE_CHAT;
}

const char *purpose_setting(enum model_purpose p)
{
	return purposes[p].setting;
}

static enum err write_one(struct db *db, struct tx **tx, enum err e, struct errtext *et)
{
	if (e) {
		db_rollback(*tx);
		return e;
	}
	return db_commit(*tx, et);
}

enum err model_row_put(struct db *db, const struct model_row *m, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et, "DELETE FROM model WHERE name = ?", P_TEXT(m->name));
	if (!e)
		e = db_exec(tx, et,
			"INSERT INTO model (name, purpose, source, licence, sha256, bytes, file, "
			"info, "
			"added_ms, base) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			P_TEXT(m->name), P_TEXT(str_c(purpose_word(m->purpose))), P_TEXT(m->source),
			P_TEXT(m->licence), P_TEXT(m->sha256), P_I64((int64_t)m->bytes),
			P_TEXT(m->file), P_TEXT(m->info), P_I64(m->added_ms), P_TEXT(m->base));
	if (!e)
		e = installed_note(tx, m, et);
	return write_one(db, &tx, e, et);
}

enum err model_row_delete(struct db *db, struct str name, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et, "DELETE FROM model WHERE name = ?", P_TEXT(name));
	if (!e)
		e = installed_forget(tx, name, et);
	return write_one(db, &tx, e, et);
}

static struct str copy(struct arena *a, struct str s, enum err *e)
{
	struct str c = arena_str(a, s);
	if (!c.p)
		*e = ERR_NOMEM;
	return c;
}

static enum err read_row(struct row *r, struct arena *a, struct model_row *out)
{
	enum err e = OK;
	*out = (struct model_row){
		.name = copy(a, row_text(r, 0), &e),
		.purpose = purpose_of(row_text(r, 1)),
		.source = copy(a, row_text(r, 2), &e),
		.licence = copy(a, row_text(r, 3), &e),
		.sha256 = copy(a, row_text(r, 4), &e),
		.bytes = (uint64_t)row_i64(r, 5),
		.file = copy(a, row_text(r, 6), &e),
		.info = copy(a, row_text(r, 7), &e),
		.added_ms = row_i64(r, 8),
		.base = copy(a, row_text(r, 9), &e),
	};
	return e;
}

static enum err count_rows(struct tx *tx, size_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT COUNT(*) FROM model");
	if (e)
		return e;
	if (row_next(r, &e, et))
		*n = (size_t)row_i64(r, 0);
	row_free(r);
	return e;
}

enum err model_rows(
	struct db *db, struct arena *a, struct model_row **rows, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct row *r = NULL;
	size_t max = 0, k = 0;
	struct model_row *list = NULL;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = count_rows(tx, &max, et);
	if (!e) {
		list = arena_array_of(a, max + 1, struct model_row);
		if (!list)
			e = err_set(et, ERR_NOMEM, "no memory for the list of models");
	}
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT name, purpose, source, licence, sha256, bytes, file, info, "
			"added_ms, base "
			"FROM model ORDER BY name");
	while (!e && k < max && row_next(r, &e, et))
		e = read_row(r, a, &list[k++]);
	row_free(r);
	db_rollback(tx);
	if (e)
		return e;
	*rows = list;
	*n = k;
	return OK;
}
