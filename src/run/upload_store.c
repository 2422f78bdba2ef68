/* Uploads in parts, in the database: a row for the upload and one for each part that came. Parts
 * are blobs; completing writes them one behind the other into the file's blob. */
#include "run/upload.h"
#include "base/clock.h"
#include "run/file_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEEP_MS = 24 * 3600 * 1000 };

static const struct migration migrations[] = {
	{1, "uploads in parts",
		"CREATE TABLE run_upload ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  path TEXT NOT NULL,"
		"  parts BIGINT NOT NULL,"
		"  blob TEXT NOT NULL," /* of the whole, once it is complete */
		"  created_ms BIGINT NOT NULL);"
		"CREATE INDEX run_upload_age ON run_upload (created_ms);"
		"CREATE TABLE run_upload_part ("
		"  upload BLOB NOT NULL,"
		"  number BIGINT NOT NULL,"
		"  blob TEXT NOT NULL,"
		"  size BIGINT NOT NULL,"
		"  PRIMARY KEY (upload, number));"},
};

struct upload {
	struct id id;
	struct str project, path;
	int64_t parts;
	int64_t number;            /* the part that is put */
	char blob[SHA256_HEX + 1]; /* of the part, or of the whole */
	int64_t size;
};

/* ---- begin ---- */

static enum err forget_old(struct tx *tx, int64_t before_ms, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM run_upload_part WHERE upload IN "
		"(SELECT id FROM run_upload WHERE created_ms < ?)",
		P_I64(before_ms));
	return e ? e
		 : db_exec(tx, et, "DELETE FROM run_upload WHERE created_ms < ?", P_I64(before_ms));
}

static enum err begin_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct upload *u = ctx;
	int64_t now = clock_unix_ms();
	enum err e = forget_old(tx, now - KEEP_MS, et);
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO run_upload (id, project, path, parts, blob, created_ms) "
			   "VALUES (?, ?, ?, ?, '', ?)",
			   P_ID(u->id), P_TEXT(u->project), P_TEXT(u->path), P_I64(u->parts),
			   P_I64(now));
}

enum err upload_begin(struct croft *c, struct str project, struct str path, int64_t parts,
	struct id *id, struct errtext *et)
{
	struct upload u = {.id = id_new(), .project = project, .path = path, .parts = parts};
	enum err e = run_file_path(path, false, et);
	if (!e && (parts < 1 || parts > UPLOAD_PARTS_MAX))
		e = err_set(et, ERR_INVALID, "num_parts: a number from 1 to %d is expected",
			UPLOAD_PARTS_MAX);
	if (!e)
		e = db_write(croft_db(c), begin_in, &u, et);
	if (!e)
		*id = u.id;
	return e;
}

/* ---- parts ---- */

/* The upload of that id in that project; fills parts, and blob when it is complete. */
static enum err find(struct tx *tx, struct upload *u, bool same_path, struct errtext *et)
{
	struct row *r;
	bool found = false;
	enum err e = db_query(tx, &r, et,
		"SELECT path, parts, blob FROM run_upload WHERE id = ? AND project = ? AND "
		"created_ms >= ?",
		P_ID(u->id), P_TEXT(u->project), P_I64(clock_unix_ms() - KEEP_MS));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		struct str blob = row_text(r, 2);
		found = !same_path || str_eq(row_text(r, 0), u->path);
		u->parts = row_i64(r, 1);
		if (blob.n == SHA256_HEX)
			memcpy(u->blob, blob.p, SHA256_HEX);
	}
	row_free(r);
	char hex[ID_HEX + 1];
	id_hex(u->id, hex);
	return !e && !found ? err_set(et, ERR_NOT_FOUND,
				      "no upload '%s' for that file is under way", hex)
			    : e;
}

static enum err find_now(struct croft *c, struct upload *u, bool same_path, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = find(tx, u, same_path, et);
	db_rollback(tx);
	return e;
}

static enum err part_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct upload *u = ctx;
	struct upload there = *u;
	there.blob[0] = 0;
	enum err e = find(tx, &there, false, et);
	if (!e && there.blob[0])
		e = err_set(et, ERR_INVALID, "the upload is complete: it takes no more parts");
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO run_upload_part (upload, number, blob, size) "
			   "VALUES (?, ?, ?, ?) ON CONFLICT (upload, number) DO UPDATE SET "
			   "blob = excluded.blob, size = excluded.size",
			   P_ID(u->id), P_I64(u->number), P_TEXT(str_c(u->blob)), P_I64(u->size));
}

enum err upload_part(struct croft *c, struct str project, struct id id, int64_t number,
	struct str data, char etag[SHA256_HEX + 1], struct errtext *et)
{
	struct upload u = {.id = id, .project = project, .number = number, .size = (int64_t)data.n};
	enum err e = find_now(c, &u, false, et);
	if (!e && (number < 1 || number > u.parts))
		e = err_set(et, ERR_INVALID, "the upload has parts 1 to %lld, not %lld",
			(long long)u.parts, (long long)number);
	if (!e)
		e = blob_put(croft_blobs(c), data, u.blob, et);
	if (!e)
		e = db_write(croft_db(c), part_in, &u, et);
	if (!e)
		memcpy(etag, u.blob, sizeof u.blob);
	return e;
}

/* ---- complete ---- */

struct stored {
	int64_t number;
	char blob[SHA256_HEX + 1];
};

static enum err load_parts(
	struct croft *c, struct id id, struct stored **out, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	struct stored *v = calloc(UPLOAD_PARTS_MAX, sizeof *v);
	size_t k = 0;
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for an upload");
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e) {
		free(v);
		return e;
	}
	e = db_query(tx, &r, et,
		"SELECT number, blob FROM run_upload_part WHERE upload = ? ORDER BY number",
		P_ID(id));
	if (!e) {
		while (k < UPLOAD_PARTS_MAX && row_next(r, &e, et)) {
			struct str blob = row_text(r, 1);
			v[k].number = row_i64(r, 0);
			memcpy(v[k++].blob, blob.p, MIN(blob.n, (size_t)SHA256_HEX));
		}
		row_free(r);
	}
	db_rollback(tx);
	if (e) {
		free(v);
		return e;
	}
	*out = v;
	*n = k;
	return OK;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = ((const struct stored *)a)->number, y = ((const struct stored *)b)->number;
	return (x > y) - (x < y);
}

static enum err append(struct blobs *b, struct blob_writer *w, const char *hex, struct errtext *et)
{
	enum { PIECE = 4 << 20 };
	struct os_map map;
	enum err e = blob_get(b, hex, false, &map, et);
	if (e == ERR_NOT_FOUND)
		return err_set(et, ERR_CORRUPT, "a part's content is missing in the store");
	if (e)
		return e;
	struct str data = str_mk(map.p, map.n);
	for (size_t at = 0; at < data.n && !e; at += PIECE)
		e = blob_writer_add(w, str_sub(data, at, at + PIECE), et);
	os_unmap(&map);
	return e;
}

/* What the caller lists, and only that, in its order: numbers must rise, as in S3. */
static enum err assemble(struct croft *c, struct upload *u, const struct stored *v, size_t n_v,
	const struct upload_part *parts, size_t n, struct errtext *et)
{
	struct blob_writer *w;
	uint64_t size = 0;
	enum err e = blob_writer_open(croft_blobs(c), &w, et);
	if (e)
		return e;
	for (size_t i = 0; i < n && !e; i++) {
		struct stored key = {.number = parts[i].number};
		const struct stored *s = bsearch(&key, v, n_v, sizeof *v, by_number);
		struct str etag = parts[i].etag;
		if (etag.n > 1 && etag.p[0] == '"')
			etag = str_sub(etag, 1, etag.n - 1);
		if (i && parts[i].number <= parts[i - 1].number)
			e = err_set(et, ERR_INVALID, "the parts must be listed in rising order");
		else if (!s)
			e = err_set(et, ERR_INVALID, "part %lld was not uploaded",
				(long long)parts[i].number);
		else if (etag.n && !str_eq_c(etag, s->blob))
			e = err_set(et, ERR_INVALID, "part %lld is not the one that was uploaded",
				(long long)parts[i].number);
		else
			e = append(croft_blobs(c), w, s->blob, et);
	}
	if (e) {
		blob_writer_drop(w);
		return e;
	}
	e = blob_writer_finish(w, NULL, u->blob, &size, et);
	u->size = (int64_t)size;
	return e;
}

static enum err complete_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct upload *u = ctx;
	struct upload there = *u;
	enum err e = find(tx, &there, true, et);
	if (!e)
		e = run_file_put_in(tx, u->project, u->path, u->blob, u->size, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM run_upload_part WHERE upload = ?", P_ID(u->id));
	return e ? e
		 : db_exec(tx, et, "UPDATE run_upload SET blob = ? WHERE id = ?",
			   P_TEXT(str_c(u->blob)), P_ID(u->id));
}

enum err upload_complete(struct croft *c, struct str project, struct id id, struct str path,
	const struct upload_part *parts, size_t n, struct errtext *et)
{
	struct upload u = {.id = id, .project = project, .path = path};
	struct stored *v = NULL;
	size_t n_v = 0;
	enum err e = run_file_path(path, false, et);
	if (!e)
		e = find_now(c, &u, true, et);
	if (e || u.blob[0])
		return e;
	if (!n)
		return err_set(et, ERR_INVALID, "parts: at least one is expected");
	e = load_parts(c, id, &v, &n_v, et);
	if (!e)
		e = assemble(c, &u, v, n_v, parts, n, et);
	free(v);
	return e ? e : db_write(croft_db(c), complete_in, &u, et);
}

/* ---- abort ---- */

static enum err abort_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct upload *u = ctx;
	enum err e = find(tx, u, true, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM run_upload_part WHERE upload = ?", P_ID(u->id));
	return e ? e : db_exec(tx, et, "DELETE FROM run_upload WHERE id = ?", P_ID(u->id));
}

enum err upload_abort(
	struct croft *c, struct str project, struct id id, struct str path, struct errtext *et)
{
	struct upload u = {.id = id, .project = project, .path = path};
	enum err e = run_file_path(path, false, et);
	return e ? e : db_write(croft_db(c), abort_in, &u, et);
}

/* ---- the module ---- */

static enum err upload_blobs(struct croft *c, struct tx *tx,
	enum err (*fn)(void *ctx, struct str hex), void *ctx, struct errtext *et)
{
	char sql[200]; /* what is left of an upload after a day goes with the next collection */
	snprintf(sql, sizeof sql,
		"SELECT DISTINCT p.blob FROM run_upload_part p JOIN run_upload u ON u.id = "
		"p.upload WHERE u.created_ms >= %lld",
		(long long)(clock_unix_ms() - KEEP_MS));
	return db_each_text(tx, sql, fn, ctx, et);
}

const struct module upload_module = {.name = "upload", TABLE(migrations), .blobs = upload_blobs};
