/* Uploads in the database: a row each, and one for each part that came. Completing writes the parts
 * one behind the other into the file's blob; then one transaction makes the file and forgets the
 * parts. */
#include "api/uploads.h"
#include "base/clock.h"

#include <stdlib.h>

enum { REMEMBER_MS = 24 * 3600 * 1000 }; /* how an upload ended */

const struct migration uploads_migrations[1] = {
	{1, "uploads",
		"CREATE TABLE api_upload ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  name TEXT NOT NULL,"
		"  purpose TEXT NOT NULL,"
		"  status TEXT NOT NULL," /* pending, completed, cancelled */
		"  file BLOB NOT NULL,"
		"  bytes BIGINT NOT NULL,"
		"  lives_ms BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  expires_ms BIGINT NOT NULL);"
		"CREATE INDEX api_upload_expiry ON api_upload (expires_ms);"
		"CREATE TABLE api_upload_part ("
		"  id BLOB PRIMARY KEY,"
		"  upload BLOB NOT NULL,"
		"  blob TEXT NOT NULL,"
		"  size BIGINT NOT NULL);"
		"CREATE INDEX api_upload_part_upload ON api_upload_part (upload);"},
};

void upload_id(struct id id, char out[UPLOAD_ID + 1])
{
	memcpy(out, "upload_", 7);
	id_hex(id, out + 7);
}

bool upload_id_parse(struct str text, struct id *out)
{
	return text.n == UPLOAD_ID && str_starts(text, S("upload_")) &&
	       id_parse(str_sub(text, 7, text.n), out);
}

/* ---- one ---- */

static const char *status_of(struct str stored, int64_t expires_ms)
{
	if (str_eq_c(stored, "completed"))
		return "completed";
	if (str_eq_c(stored, "cancelled"))
		return "cancelled";
	return expires_ms > clock_unix_ms() ? "pending" : "expired";
}

/* a NULL: without the texts. */
static enum err find(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct upload_row *u, struct errtext *et)
{
	struct row *r;
	char text[UPLOAD_ID + 1];
	enum err e = db_query(tx, &r, et,
		"SELECT name, purpose, status, file, bytes, lives_ms, created_ms, expires_ms "
		"FROM api_upload WHERE id = ? AND project = ?",
		P_ID(id), P_TEXT(project));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found) {
		*u = (struct upload_row){.id = id,
			.name = a ? arena_str(a, row_text(r, 0)) : S(""),
			.purpose = a ? arena_str(a, row_text(r, 1)) : S(""),
			.file = row_id(r, 3),
			.bytes = row_i64(r, 4),
			.lives_ms = row_i64(r, 5),
			.created_ms = row_i64(r, 6),
			.expires_ms = row_i64(r, 7)};
		u->status = status_of(row_text(r, 2), u->expires_ms);
		if (!u->name.p || !u->purpose.p)
			e = err_set(et, ERR_NOMEM, "no memory for an upload");
	}
	row_free(r);
	upload_id(id, text);
	return e || found
		       ? e
		       : err_set(et, ERR_NOT_FOUND, "there is no upload %s in this project", text);
}

static enum err must_pend(const struct upload_row *u, struct errtext *et)
{
	char text[UPLOAD_ID + 1];
	upload_id(u->id, text);
	return str_eq_c(str_c(u->status), "pending")
		       ? OK
		       : err_set(et, ERR_INVALID, "the upload %s is %s: begin another one", text,
				 u->status);
}

static enum err find_now(struct croft *c, struct str project, struct id id, struct arena *a,
	struct upload_row *u, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = find(tx, project, id, a, u, et);
	db_rollback(tx);
	return e;
}

/* ---- begin ---- */

struct beginning {
	struct str project;
	const struct upload_row *row;
};

/* The parts of what has expired go when the next one begins. */
static enum err forget_old(struct tx *tx, int64_t now, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"DELETE FROM api_upload_part WHERE upload IN "
		"(SELECT id FROM api_upload WHERE expires_ms < ?)",
		P_I64(now));
	return e ? e
		 : db_exec(tx, et, "DELETE FROM api_upload WHERE expires_ms < ?",
			   P_I64(now - REMEMBER_MS));
}

static enum err begin_in(struct tx *tx, void *ctx, struct errtext *et)
{
	static const struct id none;
	const struct beginning *w = ctx;
	const struct upload_row *u = w->row;
	enum err e = forget_old(tx, u->created_ms, et);
	return e ? e
		 : db_exec(tx, et,
			   "INSERT INTO api_upload (id, project, name, purpose, status, file, "
			   "bytes, lives_ms, created_ms, expires_ms) "
			   "VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?)",
			   P_ID(u->id), P_TEXT(w->project), P_TEXT(u->name), P_TEXT(u->purpose),
			   P_ID(none), P_I64(u->bytes), P_I64(u->lives_ms), P_I64(u->created_ms),
			   P_I64(u->expires_ms));
}

enum err uploads_begin(struct croft *c, struct str project, const struct upload_new *n,
	struct arena *a, struct upload_row *out, struct errtext *et)
{
	int64_t now = clock_unix_ms();
	struct upload_row u = {.id = id_new(),
		.name = arena_str(a, n->name),
		.purpose = arena_str(a, n->purpose),
		.status = "pending",
		.bytes = n->bytes,
		.lives_ms = n->lives_ms,
		.created_ms = now,
		.expires_ms = now + UPLOAD_LIVES_MS};
	struct beginning w = {project, &u};
	if (!u.name.p || !u.purpose.p)
		return err_set(et, ERR_NOMEM, "no memory for an upload");
	enum err e = db_write(croft_db(c), begin_in, &w, et);
	if (!e)
		*out = u;
	return e;
}

/* ---- parts ---- */

struct adding {
	struct str project;
	struct id upload, part;
	char blob[SHA256_HEX + 1];
	int64_t size;
};

static enum err count(
	struct tx *tx, struct id upload, int64_t *parts, int64_t *bytes, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT size FROM api_upload_part WHERE upload = ?", P_ID(upload));
	*parts = *bytes = 0;
	if (e)
		return e;
	while (row_next(r, &e, et)) {
		++*parts;
		*bytes += row_i64(r, 0);
	}
	row_free(r);
	return e;
}

/* A part may have been sent twice: the limit is that of any upload, not what this one announced. */
static enum err part_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct adding *w = ctx;
	struct upload_row u;
	int64_t parts, bytes;
	enum err e = find(tx, w->project, w->upload, NULL, &u, et);
	if (!e)
		e = must_pend(&u, et);
	if (!e)
		e = count(tx, w->upload, &parts, &bytes, et);
	if (e)
		return e;
	if (parts >= UPLOADS_PARTS_MAX || bytes + w->size > UPLOAD_BYTES_MAX)
		return err_set(et, ERR_INVALID,
			"the upload has %lld parts of %lld bytes; at most %d of %lld are possible",
			(long long)parts, (long long)bytes, UPLOADS_PARTS_MAX, UPLOAD_BYTES_MAX);
	return db_exec(tx, et,
		"INSERT INTO api_upload_part (id, upload, blob, size) VALUES (?, ?, ?, ?)",
		P_ID(w->part), P_ID(w->upload), P_TEXT(str_c(w->blob)), P_I64(w->size));
}

static enum err store(struct croft *c, struct str data, struct adding *w, struct errtext *et)
{
	enum { PIECE = 1 << 20 };
	struct blob_writer *b;
	uint64_t size = 0;
	enum err e = blob_writer_open(croft_blobs(c), &b, et);
	if (e)
		return e;
	for (size_t at = 0; at < data.n && !e; at += PIECE)
		e = blob_writer_add(b, str_sub(data, at, at + PIECE), et);
	if (e) {
		blob_writer_drop(b);
		return e;
	}
	e = blob_writer_finish(b, NULL, w->blob, &size, et);
	w->size = (int64_t)size;
	return e;
}

enum err uploads_part(struct croft *c, struct str project, struct id upload, struct str data,
	struct upload_part_row *out, struct errtext *et)
{
	struct adding w = {.project = project, .upload = upload, .part = id_new()};
	struct upload_row u;
	enum err e = find_now(c, project, upload, NULL, &u, et);
	if (!e)
		e = must_pend(&u, et);
	if (!e)
		e = store(c, data, &w, et);
	if (!e)
		e = db_write(croft_db(c), part_in, &w, et);
	if (!e)
		*out = (struct upload_part_row){w.part, clock_unix_ms()};
	return e;
}

/* ---- complete ---- */

struct piece {
	struct id id;
	char blob[SHA256_HEX + 1];
	int64_t size;
	bool taken;
};

struct completing {
	struct str project;
	struct upload_row u;
	struct file_row file;
	struct piece *piece; /* by id */
	size_t n;
	bool ours; /* this call made the file */
};

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct piece *)a)->id.b, ((const struct piece *)b)->id.b,
		sizeof((const struct piece *)a)->id.b);
}

static enum err load_pieces(struct croft *c, struct completing *w, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	size_t cap = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT id, blob, size FROM api_upload_part WHERE upload = ?",
		P_ID(w->u.id));
	bool asked = !e;
	while (!e && row_next(r, &e, et)) {
		if (w->n == cap) {
			cap = cap ? cap * 2 : 64;
			struct piece *v = realloc(w->piece, cap * sizeof *v);
			if (!v) {
				e = err_set(et, ERR_NOMEM, "no memory for the parts");
				break;
			}
			w->piece = v;
		}
		struct str blob = row_text(r, 1);
		struct piece *p = &w->piece[w->n++];
		*p = (struct piece){.id = row_id(r, 0), .size = row_i64(r, 2)};
		memcpy(p->blob, blob.p, MIN(blob.n, (size_t)SHA256_HEX));
	}
	if (asked)
		row_free(r);
	db_rollback(tx);
	if (!e && w->n)
		qsort(w->piece, w->n, sizeof *w->piece, by_id);
	return e;
}

static struct piece *piece_of(const struct completing *w, struct id id)
{
	struct piece key = {.id = id};
	return w->n ? bsearch(&key, w->piece, w->n, sizeof key, by_id) : NULL;
}

/* Before anything is written: each part is there, once, and they have the bytes announced. */
static enum err check_parts(
	struct completing *w, const struct upload_parts *parts, struct errtext *et)
{
	int64_t bytes = 0;
	for (size_t i = 0; i < parts->n; i++) {
		char hex[ID_HEX + 1];
		id_hex(parts->id[i], hex);
		struct piece *p = piece_of(w, parts->id[i]);
		if (!p || p->taken)
			return err_set(et, ERR_INVALID, "part_ids[%zu]: part_%s is %s", i, hex,
				p ? "listed twice" : "no part of this upload");
		p->taken = true;
		bytes += p->size;
	}
	return bytes == w->u.bytes ? OK
				   : err_set(et, ERR_INVALID,
					     "the parts have %lld bytes; the upload announced %lld",
					     (long long)bytes, (long long)w->u.bytes);
}

static enum err append(struct croft *c, struct blob_writer *w, struct md5 *md5, const char *hex,
	const struct cancel *cancel, struct errtext *et)
{
	enum { PIECE = 1 << 20 };
	struct os_map map;
	enum err e = blob_get(croft_blobs(c), hex, false, &map, et);
	if (e)
		return e == ERR_NOT_FOUND ? err_set(et, ERR_CORRUPT,
						    "a part's content is missing in the store")
					  : e;
	for (size_t at = 0; at < map.n && !e; at += PIECE) {
		struct str s = str_sub(str_mk(map.p, map.n), at, at + PIECE);
		if (md5)
			md5_add(md5, s.p, s.n);
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "cancelled")
				      : blob_writer_add(w, s, et);
	}
	os_unmap(&map);
	return e;
}

static enum err compare_md5(struct md5 *md5, struct str want, struct errtext *et)
{
	uint8_t sum[MD5_BYTES], told[MD5_BYTES];
	char hex[2 * MD5_BYTES + 1];
	md5_end(md5, sum);
	hex_encode(sum, sizeof sum, hex);
	if (hex_decode(want, told, sizeof told) && memcmp(sum, told, sizeof sum) == 0)
		return OK;
	return err_set(et, ERR_INVALID, "md5: the parts together have %s, not %.*s", hex,
		STR_FMT(str_sub(want, 0, 64)));
}

static enum err assemble(struct croft *c, struct completing *w, const struct upload_parts *parts,
	const struct cancel *cancel, struct errtext *et)
{
	struct blob_writer *b;
	struct md5 md5;
	uint64_t size = 0;
	bool sums = parts->md5.n;
	enum err e = sums ? md5_init(&md5) : OK;
	if (e)
		return err_set(et, e, "md5: this machine does not compute it");
	e = blob_writer_open(croft_blobs(c), &b, et);
	if (e) {
		if (sums)
			md5_end(&md5, NULL);
		return e;
	}
	for (size_t i = 0; i < parts->n && !e; i++)
		e = append(c, b, sums ? &md5 : NULL, piece_of(w, parts->id[i])->blob, cancel, et);
	if (sums && !e)
		e = compare_md5(&md5, parts->md5, et);
	else if (sums)
		md5_end(&md5, NULL);
	if (e) {
		blob_writer_drop(b);
		return e;
	}
	e = blob_writer_finish(b, NULL, w->file.blob, &size, et);
	w->file.bytes = (int64_t)size;
	return e;
}

/* Whoever comes second finds the first one's file. */
static enum err complete_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct completing *w = ctx;
	struct upload_row now;
	w->ours = false;
	enum err e = find(tx, w->project, w->u.id, NULL, &now, et);
	if (e)
		return e;
	w->u.status = now.status;
	w->u.file = now.file;
	if (str_eq_c(str_c(now.status), "completed"))
		return OK;
	e = must_pend(&now, et);
	if (!e)
		e = files_insert(tx, w->project, &w->file, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_upload_part WHERE upload = ?", P_ID(w->u.id));
	if (!e)
		e = db_exec(tx, et,
			"UPDATE api_upload SET status = 'completed', file = ? WHERE id = ?",
			P_ID(w->file.id), P_ID(w->u.id));
	w->ours = !e;
	return e;
}

static enum err complete(struct croft *c, struct completing *w, const struct upload_parts *parts,
	const struct cancel *cancel, struct errtext *et)
{
	enum err e = must_pend(&w->u, et);
	if (!e)
		e = load_pieces(c, w, et);
	if (!e)
		e = check_parts(w, parts, et);
	if (!e)
		e = assemble(c, w, parts, cancel, et);
	if (e)
		return e;
	int64_t now = clock_unix_ms();
	w->file.id = id_new();
	w->file.name = w->u.name;
	w->file.purpose = w->u.purpose;
	w->file.created_ms = now;
	w->file.expires_ms = w->u.lives_ms ? now + w->u.lives_ms : 0;
	e = db_write(croft_db(c), complete_in, w, et);
	if (!e && w->ours) {
		w->u.status = "completed";
		w->u.file = w->file.id;
	}
	return e;
}

enum err uploads_complete(struct croft *c, struct str project, struct id upload,
	const struct upload_parts *parts, const struct cancel *cancel, struct arena *a,
	struct upload_row *out, struct errtext *et)
{
	struct completing w = {.project = project};
	enum err e = find_now(c, project, upload, a, &w.u, et);
	if (!e && !str_eq_c(str_c(w.u.status), "completed"))
		e = complete(c, &w, parts, cancel, et);
	free(w.piece);
	if (!e)
		*out = w.u;
	return e;
}

/* ---- cancel ---- */

struct cancelling {
	struct str project;
	struct id id;
};

static enum err cancel_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct cancelling *w = ctx;
	struct upload_row u;
	enum err e = find(tx, w->project, w->id, NULL, &u, et);
	if (e || str_eq_c(str_c(u.status), "cancelled"))
		return e;
	e = must_pend(&u, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_upload_part WHERE upload = ?", P_ID(w->id));
	return e ? e
		 : db_exec(tx, et, "UPDATE api_upload SET status = 'cancelled' WHERE id = ?",
			   P_ID(w->id));
}

enum err uploads_cancel(struct croft *c, struct str project, struct id upload, struct arena *a,
	struct upload_row *out, struct errtext *et)
{
	struct cancelling w = {project, upload};
	enum err e = db_write(croft_db(c), cancel_in, &w, et);
	return e ? e : find_now(c, project, upload, a, out, et);
}

enum err uploads_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et)
{
	return db_each_text(tx, "SELECT DISTINCT blob FROM api_upload_part", fn, ctx, et);
}
