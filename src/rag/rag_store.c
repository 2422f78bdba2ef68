/* SQL of documents, chunks and vectors. */
#include "rag/rag_int.h"

const struct migration rag_migrations[] = {
	{1, "documents, chunks, vectors",
		"CREATE TABLE rag_document ("
		" id BLOB PRIMARY KEY, collection TEXT NOT NULL, path TEXT NOT NULL, title TEXT "
		"NOT NULL,"
		" type TEXT NOT NULL, status TEXT NOT NULL, error_code TEXT, error TEXT,"
		" warnings TEXT NOT NULL, language TEXT NOT NULL, author TEXT NOT NULL, tags TEXT "
		"NOT NULL,"
		" sha256 TEXT NOT NULL, space TEXT NOT NULL, bytes BIGINT NOT NULL, pages BIGINT "
		"NOT NULL,"
		" chunks BIGINT NOT NULL, version BIGINT NOT NULL, created_ms BIGINT NOT NULL,"
		" added_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, mtime_ms BIGINT NOT NULL,"
		" parser BIGINT NOT NULL);"
		"CREATE UNIQUE INDEX rag_document_path ON rag_document(collection, path);"
		"CREATE TABLE rag_text (document BLOB PRIMARY KEY REFERENCES rag_document(id) ON "
		"DELETE CASCADE,"
		" body TEXT NOT NULL, blocks TEXT NOT NULL);"
		"CREATE TABLE rag_chunk ("
		" id BIGINT PRIMARY KEY, document BLOB NOT NULL REFERENCES rag_document(id) ON "
		"DELETE CASCADE,"
		" ordinal BIGINT NOT NULL, from_byte BIGINT NOT NULL, to_byte BIGINT NOT NULL,"
		" page BIGINT NOT NULL, tokens BIGINT NOT NULL, heading_path TEXT NOT NULL,"
		" body TEXT NOT NULL, sha256 BLOB NOT NULL);"
		"CREATE INDEX rag_chunk_document ON rag_chunk(document, ordinal);"
		"CREATE INDEX rag_chunk_sha256 ON rag_chunk(sha256);"
		"CREATE TABLE rag_vector (space TEXT NOT NULL, sha256 BLOB NOT NULL, body BLOB NOT "
		"NULL,"
		" PRIMARY KEY (space, sha256));"
		"CREATE TABLE rag_counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);"},
	{2, "documents belong to projects",
		"ALTER TABLE rag_document ADD COLUMN project TEXT NOT NULL DEFAULT 'default';"
		"DROP INDEX rag_document_path;"
		"CREATE UNIQUE INDEX rag_document_path ON rag_document(project, collection, path);"
		"CREATE INDEX rag_document_project ON rag_document(project, id);"},
	{3, "versions of document sets",
		"CREATE TABLE rag_set ("
		" project TEXT NOT NULL, collection TEXT NOT NULL, changes BIGINT NOT NULL,"
		" versioned BIGINT NOT NULL, version BIGINT NOT NULL, settled_ms BIGINT NOT NULL,"
		" digest TEXT NOT NULL, PRIMARY KEY (project, collection));"
		"INSERT INTO rag_set (project, collection, changes, versioned, version, settled_ms,"
		" digest) SELECT project, collection, 1, 0, 0, 0, '' FROM rag_document"
		" GROUP BY project, collection;"},
	{4, "documents that another part keeps",
		"ALTER TABLE rag_document ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE rag_document ADD COLUMN attributes TEXT NOT NULL DEFAULT '';"
		"ALTER TABLE rag_document ADD COLUMN chunk_tokens BIGINT NOT NULL DEFAULT 0;"
		"ALTER TABLE rag_document ADD COLUMN chunk_overlap BIGINT NOT NULL DEFAULT 0;"},
	{5, "saved indexes",
		"CREATE TABLE rag_saved ("
		" project TEXT NOT NULL, host TEXT NOT NULL, space TEXT NOT NULL,"
		" token TEXT NOT NULL, PRIMARY KEY (project, host));"},
};
const size_t n_rag_migrations = ARRAY_LEN(rag_migrations);

#define DOC_COLUMNS                                                                          \
	"id, collection, path, title, type, status, error_code, error, warnings, language, " \
	"author, tags, "                                                                     \
	"sha256, space, bytes, pages, chunks, version, created_ms, added_ms, updated_ms, "   \
	"mtime_ms, parser, project, owner, attributes, chunk_tokens, chunk_overlap"

/* With an arena the strings are copies; without one they are the row's own. */
static struct str text_of(struct row *r, int column, struct arena *a)
{
	struct str s = row_text(r, column);
	return a ? arena_str(a, s) : s;
}

static struct str or_empty(struct str s)
{
	return s.p ? s : S("");
}

static void read_doc(struct row *r, struct arena *a, struct doc_row *d)
{
	struct str *texts[] = {&d->collection, &d->path, &d->title, &d->type, &d->status,
		&d->error_code, &d->error, &d->warnings, &d->language, &d->author, &d->tags,
		&d->sha256, &d->space};
	int64_t *numbers[] = {&d->bytes, &d->pages, &d->chunks, &d->version, &d->created_ms,
		&d->added_ms, &d->updated_ms, &d->mtime_ms, &d->parser};
	d->id = row_id(r, 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = text_of(r, 1 + (int)i, a);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		*numbers[i] = row_i64(r, 14 + (int)i);
	d->project = text_of(r, 23, a);
	d->owner = text_of(r, 24, a);
	d->attributes = text_of(r, 25, a);
	d->chunk_tokens = row_i64(r, 26);
	d->chunk_overlap = row_i64(r, 27);
}

static enum err one_doc(struct row *r, struct arena *a, struct doc_row *out, struct errtext *et)
{
	enum err e = OK;
	if (row_next(r, &e, et))
		read_doc(r, a, out);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "there is no such document");
	row_free(r);
	return e;
}

enum err store_doc_by_id(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct doc_row *out, struct errtext *et)
{
	struct row *r;
	struct str in = or_empty(project);
	enum err e = db_query(tx, &r, et,
		"SELECT " DOC_COLUMNS " FROM rag_document WHERE id = ? AND (? = '' OR project = ?)",
		P_ID(id), P_TEXT(in), P_TEXT(in));
	return e ? e : one_doc(r, a, out, et);
}

enum err store_doc_by_path(struct tx *tx, struct str project, struct str collection,
	struct str path, struct arena *a, struct doc_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " DOC_COLUMNS
		" FROM rag_document WHERE project = ? AND collection = ? AND path = ?",
		P_TEXT(project), P_TEXT(collection), P_TEXT(path));
	return e ? e : one_doc(r, a, out, et);
}

/* %text% with LIKE's own characters escaped. */
static struct str like_pattern(struct str s, struct arena *a)
{
	struct buf b = {0};
	buf_putc(&b, '%');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' || s.p[i] == '_' || s.p[i] == '\\')
			buf_putc(&b, '\\');
		buf_putc(&b, s.p[i]);
	}
	buf_putc(&b, '%');
	struct str out = arena_str(a, buf_str(&b));
	buf_free(&b);
	return out;
}

#define DOC_WHERE                                                                                \
	" WHERE project = ? AND (? = '' OR collection = ?) AND (? = '' OR status = ?) AND (? = " \
	"'' OR type = ?)"                                                                        \
	" AND (? = '' OR path LIKE ? ESCAPE '\\' OR title LIKE ? ESCAPE '\\')"                   \
	" AND (? <> '' OR owner = '')"

enum err store_doc_list(struct tx *tx, const struct doc_filter *f, struct arena *a,
	struct doc_row **out, size_t *n, int64_t *total, int64_t *failed, struct errtext *et)
{
	struct str like = like_pattern(f->like, a), coll = or_empty(f->collection),
		   status = or_empty(f->status), type = or_empty(f->type), q = or_empty(f->like);
	struct param where[] = {P_TEXT(f->project), P_TEXT(coll), P_TEXT(coll), P_TEXT(status),
		P_TEXT(status), P_TEXT(type), P_TEXT(type), P_TEXT(q), P_TEXT(like), P_TEXT(like),
		P_TEXT(coll), P_NULL, P_NULL, P_NULL};
	struct row *r;
	enum err e = db_query_n(tx, &r, et,
		"SELECT count(*), coalesce(sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END), 0)"
		" FROM rag_document" DOC_WHERE,
		where, 11);
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		*total = row_i64(r, 0);
		*failed = row_i64(r, 1);
	}
	row_free(r);
	if (e)
		return e;
	struct id last;
	memset(&last, 0xFF, sizeof last);
	if (!id_is_zero(f->after))
		last = f->after;
	where[11] = P_ID(last);
	where[12] = P_I64((int64_t)f->limit);
	struct doc_row *rows = arena_array_of(a, f->limit + 1, struct doc_row);
	if (!rows)
		return err_set(et, ERR_NOMEM, "no memory for the list");
	e = db_query_n(tx, &r, et,
		"SELECT " DOC_COLUMNS " FROM rag_document" DOC_WHERE
		" AND id < ? ORDER BY id DESC LIMIT ?",
		where, 13);
	if (e)
		return e;
	*n = 0;
	while (*n < f->limit && row_next(r, &e, et))
		read_doc(r, a, &rows[(*n)++]);
	row_free(r);
	*out = rows;
	return e;
}

enum err store_doc_each(struct tx *tx, struct str project, struct str collection,
	enum err (*fn)(void *ctx, const struct doc_row *d), void *ctx, struct errtext *et)
{
	struct row *r;
	struct str coll = or_empty(collection), in = or_empty(project);
	enum err e = db_query(tx, &r, et,
		"SELECT " DOC_COLUMNS
		" FROM rag_document WHERE (? = '' OR project = ?) AND (? = '' OR collection = ?)"
		" ORDER BY id",
		P_TEXT(in), P_TEXT(in), P_TEXT(coll), P_TEXT(coll));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct doc_row d;
		read_doc(r, NULL, &d);
		e = fn(ctx, &d);
	}
	row_free(r);
	return e;
}

static enum err put_row(struct tx *tx, const struct doc_row *d, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO rag_document (" DOC_COLUMNS
		") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		" ON CONFLICT (id) DO UPDATE SET title = excluded.title, type = excluded.type,"
		" status = excluded.status, error_code = excluded.error_code, error = "
		"excluded.error,"
		" warnings = excluded.warnings, language = excluded.language, author = "
		"excluded.author,"
		" tags = excluded.tags, sha256 = excluded.sha256, space = excluded.space,"
		" bytes = excluded.bytes, pages = excluded.pages, chunks = excluded.chunks,"
		" version = excluded.version, created_ms = excluded.created_ms,"
		" updated_ms = excluded.updated_ms, mtime_ms = excluded.mtime_ms, parser = "
		"excluded.parser, attributes = excluded.attributes,"
		" chunk_tokens = excluded.chunk_tokens, chunk_overlap = excluded.chunk_overlap",
		P_ID(d->id), P_TEXT(d->collection), P_TEXT(d->path), P_TEXT(or_empty(d->title)),
		P_TEXT(or_empty(d->type)), P_TEXT(d->status), P_TEXT(d->error_code),
		P_TEXT(d->error), P_TEXT(or_empty(d->warnings)), P_TEXT(or_empty(d->language)),
		P_TEXT(or_empty(d->author)), P_TEXT(or_empty(d->tags)), P_TEXT(d->sha256),
		P_TEXT(or_empty(d->space)), P_I64(d->bytes), P_I64(d->pages), P_I64(d->chunks),
		P_I64(d->version), P_I64(d->created_ms), P_I64(d->added_ms), P_I64(d->updated_ms),
		P_I64(d->mtime_ms), P_I64(d->parser), P_TEXT(d->project),
		P_TEXT(or_empty(d->owner)), P_TEXT(or_empty(d->attributes)), P_I64(d->chunk_tokens),
		P_I64(d->chunk_overlap));
}

/* Chunk ids grow for ever, also past deletions: the highest is remembered. */
static enum err remember_chunk(struct tx *tx, int64_t id, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO rag_counter (name, value) VALUES ('chunk', ?)"
		" ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		P_I64(id));
}

enum err store_doc_put(struct tx *tx, const struct doc_row *d, struct str text, struct str blocks,
	const struct chunk_row *chunks, size_t n, struct errtext *et)
{
	enum err e = put_row(tx, d, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM rag_chunk WHERE document = ?", P_ID(d->id));
	if (!e)
		e = db_exec(tx, et, "DELETE FROM rag_text WHERE document = ?", P_ID(d->id));
	if (!e && text.p)
		e = db_exec(tx, et, "INSERT INTO rag_text (document, body, blocks) VALUES (?,?,?)",
			P_ID(d->id), P_TEXT(text), P_TEXT(blocks));
	for (size_t i = 0; i < n && !e; i++) {
		const struct chunk_row *c = &chunks[i];
		e = db_exec(tx, et,
			"INSERT INTO rag_chunk (id, document, ordinal, from_byte, to_byte, page, "
			"tokens,"
			" heading_path, body, sha256) VALUES (?,?,?,?,?,?,?,?,?,?)",
			P_I64(c->id), P_ID(d->id), P_I64(c->ordinal), P_I64(c->from), P_I64(c->to),
			P_I64(c->page), P_I64(c->tokens), P_TEXT(or_empty(c->heading_path)),
			P_TEXT(c->text), P_BLOB(str_mk(c->sha256, SHA256_BYTES)));
	}
	if (!e && n)
		e = remember_chunk(tx, chunks[n - 1].id, et);
	return e;
}

enum err store_doc_touch(struct tx *tx, const struct doc_row *d, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE rag_document SET mtime_ms = ?, tags = ?, attributes = ? WHERE id = ?",
		P_I64(d->mtime_ms), P_TEXT(or_empty(d->tags)), P_TEXT(or_empty(d->attributes)),
		P_ID(d->id));
}

enum err store_doc_delete(struct tx *tx, struct id id, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM rag_chunk WHERE document = ?", P_ID(id));
	if (!e)
		e = db_exec(tx, et, "DELETE FROM rag_text WHERE document = ?", P_ID(id));
	if (!e)
		e = db_exec(tx, et, "DELETE FROM rag_document WHERE id = ?", P_ID(id));
	return e;
}

enum err store_doc_text(struct tx *tx, struct id id, struct arena *a, struct str *text,
	struct str *blocks, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT body, blocks FROM rag_text WHERE document = ?", P_ID(id));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		*text = arena_str(a, row_text(r, 0));
		*blocks = arena_str(a, row_text(r, 1));
		if (!text->p || !blocks->p)
			e = err_set(et, ERR_NOMEM, "no memory for the text");
	} else if (!e) {
		e = err_set(et, ERR_NOT_FOUND, "the document has no text");
	}
	row_free(r);
	return e;
}

#define CHUNK_COLUMNS \
	"id, document, ordinal, from_byte, to_byte, page, tokens, heading_path, body, sha256"

static enum err read_chunk(struct row *r, struct arena *a, struct chunk_row *c, struct errtext *et)
{
	*c = (struct chunk_row){.id = row_i64(r, 0),
		.document = row_id(r, 1),
		.ordinal = (uint32_t)row_i64(r, 2),
		.from = (uint32_t)row_i64(r, 3),
		.to = (uint32_t)row_i64(r, 4),
		.page = (uint32_t)row_i64(r, 5),
		.tokens = (uint32_t)row_i64(r, 6),
		.heading_path = arena_str(a, row_text(r, 7)),
		.text = arena_str(a, row_text(r, 8))};
	struct str sha = row_blob(r, 9);
	if (sha.n == SHA256_BYTES)
		memcpy(c->sha256, sha.p, SHA256_BYTES);
	return c->text.p && c->heading_path.p ? OK
					      : err_set(et, ERR_NOMEM, "no memory for a chunk");
}

enum err store_chunks(struct tx *tx, struct id document, struct arena *a, struct chunk_row **out,
	size_t *n, struct errtext *et)
{
	struct row *r;
	int64_t count = 0;
	enum err e = db_query(
		tx, &r, et, "SELECT count(*) FROM rag_chunk WHERE document = ?", P_ID(document));
	if (e)
		return e;
	if (row_next(r, &e, et))
		count = row_i64(r, 0);
	row_free(r);
	struct chunk_row *rows = arena_array_of(a, (size_t)count + 1, struct chunk_row);
	if (!e && !rows)
		e = err_set(et, ERR_NOMEM, "no memory for the chunks");
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT " CHUNK_COLUMNS
			" FROM rag_chunk WHERE document = ? ORDER BY ordinal",
			P_ID(document));
	if (e)
		return e;
	size_t k = 0;
	while (!e && k < (size_t)count && row_next(r, &e, et))
		e = read_chunk(r, a, &rows[k++], et);
	row_free(r);
	*out = rows;
	*n = k;
	return e;
}

enum err store_chunks_between(struct tx *tx, struct id document, uint32_t low, uint32_t high,
	struct arena *a, struct chunk_row **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t most = (size_t)high - low + 1, k = 0;
	struct chunk_row *rows = arena_array_of(a, most, struct chunk_row);
	if (!rows)
		return err_set(et, ERR_NOMEM, "no memory for the chunks");
	enum err e = db_query(tx, &r, et,
		"SELECT " CHUNK_COLUMNS
		" FROM rag_chunk WHERE document = ? AND ordinal >= ? AND ordinal <= ?"
		" ORDER BY ordinal",
		P_ID(document), P_I64(low), P_I64(high));
	if (e)
		return e;
	while (!e && k < most && row_next(r, &e, et))
		e = read_chunk(r, a, &rows[k++], et);
	row_free(r);
	*out = rows;
	*n = k;
	return e;
}

enum err store_chunk(
	struct tx *tx, int64_t id, struct arena *a, struct chunk_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT " CHUNK_COLUMNS " FROM rag_chunk WHERE id = ?", P_I64(id));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_chunk(r, a, out, et);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "there is no such chunk");
	row_free(r);
	return e;
}

enum err store_chunk_max(struct tx *tx, int64_t *max, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT value FROM rag_counter WHERE name = 'chunk'");
	if (e)
		return e;
	*max = row_next(r, &e, et) ? row_i64(r, 0) : 0;
	row_free(r);
	return e;
}

enum err store_vector_get(struct tx *tx, struct str space, const uint8_t sha256[SHA256_BYTES],
	float *out, size_t dim, struct errtext *et)
{
	struct row *r;
	enum err e =
		db_query(tx, &r, et, "SELECT body FROM rag_vector WHERE space = ? AND sha256 = ?",
			P_TEXT(space), P_BLOB(str_mk(sha256, SHA256_BYTES)));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		struct str b = row_blob(r, 0);
		if (b.n == dim * sizeof *out)
			memcpy(out, b.p, b.n);
		else
			e = err_set(et, ERR_CORRUPT, "a stored vector has %zu bytes, not %zu", b.n,
				dim * sizeof *out);
	} else if (!e) {
		e = ERR_NOT_FOUND;
	}
	row_free(r);
	return e;
}

enum err store_vector_put(struct tx *tx, struct str space, const uint8_t sha256[SHA256_BYTES],
	const float *v, size_t dim, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO rag_vector (space, sha256, body) VALUES (?,?,?) ON CONFLICT DO "
		"NOTHING",
		P_TEXT(space), P_BLOB(str_mk(sha256, SHA256_BYTES)),
		P_BLOB(str_mk(v, dim * sizeof *v)));
}

enum err store_vector_prune(struct tx *tx, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM rag_vector WHERE NOT EXISTS"
		" (SELECT 1 FROM rag_chunk WHERE rag_chunk.sha256 = rag_vector.sha256)");
}

/* The original files; module.blobs. */
enum err rag_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et)
{
	return db_each_text(tx, "SELECT DISTINCT sha256 FROM rag_document", fn, ctx, et);
}

/* ---- what is counted of a collection ---- */

enum err store_set_get(struct tx *tx, struct str project, struct str collection, struct arena *a,
	struct set_row *out, struct errtext *et)
{
	struct row *r;
	struct set_row s = {.digest = S("")};
	enum err e = db_query(tx, &r, et,
		"SELECT changes, versioned, version, settled_ms, digest FROM rag_set"
		" WHERE project = ? AND collection = ?",
		P_TEXT(project), P_TEXT(collection));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		s = (struct set_row){row_i64(r, 0), row_i64(r, 1), row_i64(r, 2), row_i64(r, 3),
			arena_str(a, row_text(r, 4))};
		if (!s.digest.p)
			e = err_set(et, ERR_NOMEM, "no memory for a document set");
	}
	row_free(r);
	if (!e)
		*out = s;
	return e;
}

enum err store_set_note(
	struct tx *tx, struct str project, struct str collection, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO rag_set (project, collection, changes, versioned, version, settled_ms,"
		" digest) VALUES (?, ?, 1, 0, 0, 0, '') ON CONFLICT (project, collection)"
		" DO UPDATE SET changes = rag_set.changes + 1",
		P_TEXT(project), P_TEXT(collection));
}

enum err store_set_settled(struct tx *tx, struct str project, struct str collection,
	const struct set_row *s, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE rag_set SET versioned = ?, version = ?, settled_ms = ?, digest = ?"
		" WHERE project = ? AND collection = ?",
		P_I64(s->versioned), P_I64(s->version), P_I64(s->settled_ms), P_TEXT(s->digest),
		P_TEXT(project), P_TEXT(collection));
}

enum err store_set_due(struct tx *tx,
	enum err (*fn)(void *ctx, struct str project, struct str collection), void *ctx,
	struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT project, collection FROM rag_set WHERE changes <> versioned"
		" ORDER BY settled_ms LIMIT 1000");
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = fn(ctx, row_text(r, 0), row_text(r, 1));
	row_free(r);
	return e;
}

/* ---- saved indexes ---- */

enum err store_saved_put(struct tx *tx, struct str project, struct str host, struct str space,
	struct str token, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO rag_saved (project, host, space, token) VALUES (?, ?, ?, ?)"
		" ON CONFLICT (project, host) DO UPDATE SET space = excluded.space,"
		" token = excluded.token",
		P_TEXT(project), P_TEXT(host), P_TEXT(space), P_TEXT(token));
}

enum err store_saved_each(struct tx *tx, struct str host,
	enum err (*fn)(void *ctx, struct str project, struct str space, struct str token),
	void *ctx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT project, space, token FROM rag_saved WHERE host = ? ORDER BY project",
		P_TEXT(host));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = fn(ctx, row_text(r, 0), row_text(r, 1), row_text(r, 2));
	row_free(r);
	return e;
}
