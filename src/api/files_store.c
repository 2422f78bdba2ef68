/* Files in the database: a row each, which names a blob. What has expired is filtered everywhere,
 * and its rows go when the next file comes. */
#include "access/access.h"
#include "api/files.h"
#include "base/clock.h"

const struct migration files_migrations[1] = {
	{1, "files",
		"CREATE TABLE api_file ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  purpose TEXT NOT NULL,"
		"  blob TEXT NOT NULL,"
		"  bytes BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  expires_ms BIGINT NOT NULL);" /* 0: never */
		"CREATE INDEX api_file_project ON api_file (project, id);"
		"CREATE INDEX api_file_expiry ON api_file (expires_ms);"},
};

bool file_purpose(struct str word)
{
	static const char *const words[] = {
		"assistants", "batch", "fine-tune", "vision", "user_data", "evals"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(word, words[i]))
			return true;
	return false;
}

void file_id(struct id id, char out[FILE_ID + 1])
{
	memcpy(out, "file-", 5);
	id_hex(id, out + 5);
}

bool file_id_parse(struct str text, struct id *out)
{
	return text.n == FILE_ID && str_starts(text, S("file-")) &&
	       id_parse(str_sub(text, 5, text.n), out);
}

static enum err not_found(struct id id, struct errtext *et)
{
	char text[FILE_ID + 1];
	file_id(id, text);
	return err_set(et, ERR_NOT_FOUND, "there is no file %s in this project", text);
}

/* ---- add ---- */

enum err files_insert(
	struct tx *tx, struct str project, const struct file_row *f, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO api_file (id, project, name, purpose, blob, bytes, created_ms, "
		"expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		P_ID(f->id), P_TEXT(project), P_TEXT(f->name), P_TEXT(f->purpose),
		P_TEXT(str_c(f->blob)), P_I64(f->bytes), P_I64(f->created_ms),
		P_I64(f->expires_ms));
}

struct adding {
	struct str project;
	const struct file_row *row;
};

static enum err add_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct adding *w = ctx;
	enum err e = db_exec(tx, et, "DELETE FROM api_file WHERE expires_ms > 0 AND expires_ms < ?",
		P_I64(w->row->created_ms));
	return e ? e : files_insert(tx, w->project, w->row, et);
}

/* The bytes may be a mapped file: they pass in pieces. */
static enum err store(struct croft *c, struct str data, struct file_row *f, struct errtext *et)
{
	enum { PIECE = 1 << 20 };
	struct blob_writer *w;
	uint64_t size = 0;
	enum err e = blob_writer_open(croft_blobs(c), &w, et);
	if (e)
		return e;
	for (size_t at = 0; at < data.n && !e; at += PIECE)
		e = blob_writer_add(w, str_sub(data, at, at + PIECE), et);
	if (e) {
		blob_writer_drop(w);
		return e;
	}
	e = blob_writer_finish(w, NULL, f->blob, &size, et);
	f->bytes = (int64_t)size;
	return e;
}

enum err files_add(struct croft *c, struct str project, const struct file_new *in, struct arena *a,
	struct file_row *out, struct errtext *et)
{
	int64_t now = clock_unix_ms();
	struct file_row f = {.id = id_new(),
		.name = arena_str(a, in->name),
		.purpose = arena_str(a, in->purpose),
		.created_ms = now,
		.expires_ms = in->lives_ms ? now + in->lives_ms : 0};
	struct adding w = {project, &f};
	if (!f.name.p || !f.purpose.p)
		return err_set(et, ERR_NOMEM, "no memory for a file");
	enum err e = store(c, in->data, &f, et);
	if (!e)
		e = db_write(croft_db(c), add_in, &w, et);
	if (!e)
		*out = f;
	return e;
}

/* ---- find ---- */

#define COLUMNS "id, name, purpose, blob, bytes, created_ms, expires_ms"

static enum err read_row(struct row *r, struct arena *a, struct file_row *f, struct errtext *et)
{
	struct str blob = row_text(r, 3);
	*f = (struct file_row){.id = row_id(r, 0),
		.name = arena_str(a, row_text(r, 1)),
		.purpose = arena_str(a, row_text(r, 2)),
		.bytes = row_i64(r, 4),
		.created_ms = row_i64(r, 5),
		.expires_ms = row_i64(r, 6)};
	memcpy(f->blob, blob.p, MIN(blob.n, (size_t)SHA256_HEX));
	return f->name.p && f->purpose.p ? OK : err_set(et, ERR_NOMEM, "no memory for files");
}

enum err files_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct file_row *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	bool found = false;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM api_file WHERE id = ? AND project = ? AND "
		"(expires_ms = 0 OR expires_ms > ?)",
		P_ID(id), P_TEXT(project), P_I64(clock_unix_ms()));
	if (!e) {
		found = row_next(r, &e, et);
		if (found)
			e = read_row(r, a, out, et);
		row_free(r);
	}
	db_rollback(tx);
	return !e && !found ? not_found(id, et) : e;
}

/* One more than asked for says that there are more. */
static enum err query_list(struct tx *tx, struct str project, const struct file_query *q,
	struct row **out, struct errtext *et)
{
	static const struct id last = {
		{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};
	const char *sql = q->oldest_first ? "SELECT " COLUMNS
					    " FROM api_file WHERE project = ? AND id > ? AND "
					    "(expires_ms = 0 OR expires_ms > ?) AND "
					    "(? = 0 OR purpose = ?) ORDER BY id LIMIT ?"
					  : "SELECT " COLUMNS
					    " FROM api_file WHERE project = ? AND id < ? AND "
					    "(expires_ms = 0 OR expires_ms > ?) AND "
					    "(? = 0 OR purpose = ?) ORDER BY id DESC LIMIT ?";
	struct id from = id_is_zero(q->after) && !q->oldest_first ? last : q->after;
	return db_query(tx, out, et, sql, P_TEXT(project), P_ID(from), P_I64(clock_unix_ms()),
		P_I64(q->purpose.n > 0), P_TEXT(q->purpose.n ? q->purpose : S("")),
		P_I64(q->limit + 1));
}

enum err files_list(struct croft *c, struct str project, const struct file_query *q,
	struct arena *a, struct file_row **out, size_t *n, bool *more, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	size_t k = 0;
	struct file_row *v = arena_array_of(a, (size_t)q->limit, struct file_row);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for files");
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	bool rest = false;
	e = query_list(tx, project, q, &r, et);
	if (!e) {
		while (!rest && row_next(r, &e, et)) {
			rest = k == (size_t)q->limit;
			e = rest ? OK : read_row(r, a, &v[k++], et);
			if (e)
				break;
		}
		row_free(r);
	}
	db_rollback(tx);
	if (e)
		return e;
	*out = v;
	*n = k;
	*more = rest;
	return OK;
}

/* ---- remove ---- */

enum err files_remove(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	struct tx *tx;
	char text[FILE_ID + 1];
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et,
		"DELETE FROM api_file WHERE id = ? AND project = ? AND "
		"(expires_ms = 0 OR expires_ms > ?)",
		P_ID(id), P_TEXT(project), P_I64(clock_unix_ms()));
	if (!e && !db_changes(tx))
		e = not_found(id, et);
	file_id(id, text);
	if (!e)
		e = audit_add(tx, who, "file.delete", str_c(text), S("{}"), et);
	return db_finish(tx, e, et);
}

enum err files_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et)
{
	return db_each_text(tx, "SELECT DISTINCT blob FROM api_file", fn, ctx, et);
}
