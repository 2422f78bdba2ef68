/* Paths of files of runs in the database: a row for each file and each folder, found by the folder
 * that it is in, so that a listing is one range of an index whatever the order of texts is. */
#include "run/file_int.h"
#include "base/clock.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_MAX_BYTES = 2048, DEPTH_MAX = 64 };

/* ---- paths ---- */

static bool bad_segment(struct str s)
{
	return !s.n || str_eq_c(s, ".") || str_eq_c(s, "..") || s.n > 255;
}

/* Decodes until nothing changes: "%252e%252e" is as bad as "..". */
static enum err decoded(struct str path, struct buf *out, struct errtext *et)
{
	struct buf next = {0};
	buf_adds(out, path);
	for (int i = 0; i < 8; i++) {
		buf_clear(&next);
		url_decode(&next, buf_str(out), false);
		bool same = str_eq(buf_str(&next), buf_str(out));
		buf_clear(out);
		buf_adds(out, buf_str(&next));
		if (same)
			break;
	}
	enum err e = next.err ? next.err : out->err;
	buf_free(&next);
	return e ? err_set(et, e, "no memory for a path") : OK;
}

static bool path_ok(struct str path)
{
	struct str rest = path, part;
	unsigned depth = 0;
	if (path.n > PATH_MAX_BYTES || !utf8_valid(path) || str_ends(path, S("/")))
		return false;
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7F || path.p[i] == '\\' ||
			path.p[i] == '#')
			return false;
	if (path.n > 1 && path.p[1] == ':')
		return false; /* a drive */
	while (str_next(&rest, '/', &part))
		if (bad_segment(part) || ++depth > DEPTH_MAX)
			return false;
	return depth > 0;
}

enum err run_file_path(struct str path, bool root, struct errtext *et)
{
	struct buf b = {0};
	if (root && !path.n)
		return OK;
	enum err e = decoded(path, &b, et);
	if (!e && (!path_ok(path) || !path_ok(buf_str(&b))))
		e = err_set(et, ERR_INVALID, "Invalid path");
	buf_free(&b);
	return e;
}

static void split(struct str path, struct str *dir, struct str *name)
{
	size_t slash = str_rchr(path, '/');
	*dir = slash == STR_NONE ? S("") : str_sub(path, 0, slash);
	*name = slash == STR_NONE ? path : str_sub(path, slash + 1, path.n);
}

/* ---- rows ---- */

static const char columns[] = "SELECT name, blob, size, created_ms FROM run_file WHERE project = ? "
			      "AND dir = ?";

static void read_row(struct row *r, struct run_file *f)
{
	struct str blob = row_text(r, 1);
	*f = (struct run_file){.size = row_i64(r, 2), .created_ms = row_i64(r, 3)};
	if (blob.n < sizeof f->blob)
		memcpy(f->blob, blob.p, blob.n);
}

static enum err find(struct tx *tx, struct str project, struct str path, struct run_file *out,
	struct errtext *et)
{
	struct row *r;
	struct str dir, name;
	split(path, &dir, &name);
	enum err e = db_query(tx, &r, et,
		"SELECT name, blob, size, created_ms FROM run_file WHERE project = ? AND dir = ? "
		"AND name = ?",
		P_TEXT(project), P_TEXT(dir), P_TEXT(name));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		read_row(r, out);
		out->name = name;
	} else if (!e) {
		e = err_set(et, ERR_NOT_FOUND, "No such artifact: '%.*s'",
			STR_FMT(str_sub(path, 0, 300)));
	}
	row_free(r);
	return e;
}

struct putting {
	struct str project, path;
	char blob[65];
	int64_t size, now_ms;
};

static enum err put_row(struct tx *tx, const struct putting *p, struct str path, const char *blob,
	int64_t size, struct errtext *et)
{
	struct str dir, name;
	split(path, &dir, &name);
	return db_exec(tx, et,
		"INSERT INTO run_file (project, dir, name, blob, size, created_ms) "
		"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, dir, name) DO UPDATE SET "
		"blob = excluded.blob, size = excluded.size, created_ms = excluded.created_ms",
		P_TEXT(p->project), P_TEXT(dir), P_TEXT(name), P_TEXT(str_c(blob)), P_I64(size),
		P_I64(p->now_ms));
}

/* The folders above, from the nearest: where one is there, those above it are too. */
static enum err put_folders(struct tx *tx, const struct putting *p, struct errtext *et)
{
	struct str dir, name;
	struct run_file had;
	split(p->path, &dir, &name);
	while (dir.n) {
		enum err e = find(tx, p->project, dir, &had, NULL);
		if (!e && had.blob[0])
			return err_set(et, ERR_CONFLICT, "'%.*s' is a file, not a folder",
				STR_FMT(str_sub(dir, 0, 300)));
		if (!e)
			return OK;
		if (e == ERR_NOT_FOUND)
			e = put_row(tx, p, dir, "", 0, et);
		if (e)
			return e;
		split(dir, &dir, &name);
	}
	return OK;
}

static enum err put_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct putting *p = ctx;
	struct run_file had;
	enum err e = find(tx, p->project, p->path, &had, NULL);
	if (!e && !had.blob[0])
		return err_set(
			et, ERR_CONFLICT, "'%.*s' is a folder", STR_FMT(str_sub(p->path, 0, 300)));
	if (e == ERR_NOT_FOUND)
		e = put_folders(tx, p, et);
	return e ? e : put_row(tx, p, p->path, p->blob, p->size, et);
}

enum err run_file_put_in(struct tx *tx, struct str project, struct str path, const char *blob,
	int64_t size, struct errtext *et)
{
	struct putting p = {
		.project = project, .path = path, .size = size, .now_ms = clock_unix_ms()};
	memcpy(p.blob, blob, MIN(strlen(blob), sizeof p.blob - 1));
	return put_in(tx, &p, et);
}

enum err run_file_put(
	struct croft *c, struct str project, struct str path, struct str data, struct errtext *et)
{
	struct putting p = {.project = project,
		.path = path,
		.size = (int64_t)data.n,
		.now_ms = clock_unix_ms()};
	enum err e = run_file_path(path, false, et);
	if (!e)
		e = blob_put(croft_blobs(c), data, p.blob, et);
	return e ? e : db_write(croft_db(c), put_in, &p, et);
}

enum err run_file_get(struct croft *c, struct str project, struct str path, struct run_file *out,
	struct errtext *et)
{
	struct tx *tx;
	enum err e = run_file_path(path, false, et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = find(tx, project, path, out, et);
	db_rollback(tx);
	return e;
}

/* ---- lists ---- */

static int by_name(const void *a, const void *b)
{
	return str_cmp(((const struct run_file *)a)->name, ((const struct run_file *)b)->name);
}

static enum err list_in(struct tx *tx, struct str project, struct str folder, struct arena *a,
	struct run_file **list, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = 0;
	struct run_file *v = NULL;
	enum err e = db_query(tx, &r, et, columns, P_TEXT(project), P_TEXT(folder));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!arena_room(a, v, k, cap)) {
			e = err_set(et, ERR_NOMEM, "no memory for a list of files");
			break;
		}
		read_row(r, &v[k]);
		v[k].name = arena_str(a, row_text(r, 0));
		if (!v[k++].name.p)
			e = err_set(et, ERR_NOMEM, "no memory for a list of files");
	}
	row_free(r);
	if (e)
		return e;
	if (k)
		qsort(v, k, sizeof *v, by_name);
	*list = v;
	*n = k;
	return OK;
}

enum err run_file_list(struct croft *c, struct str project, struct str folder, struct arena *a,
	struct run_file **list, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = run_file_path(folder, true, et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = list_in(tx, project, folder, a, list, n, et);
	db_rollback(tx);
	return e;
}

/* ---- removing ---- */

struct removal {
	struct str project, path;
};

/* Depth is bounded by run_file_path. */
static enum err remove_below(
	struct tx *tx, struct str project, struct str folder, struct arena *a, struct errtext *et)
{
	struct run_file *list = NULL;
	size_t n = 0;
	enum err e = list_in(tx, project, folder, a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++) {
		if (list[i].blob[0])
			continue;
		struct str below =
			arena_fmt(a, "%.*s/%.*s", STR_FMT(folder), STR_FMT(list[i].name));
		e = below.p ? remove_below(tx, project, below, a, et)
			    : err_set(et, ERR_NOMEM, "no memory for a path");
	}
	return e ? e
		 : db_exec(tx, et, "DELETE FROM run_file WHERE project = ? AND dir = ?",
			   P_TEXT(project), P_TEXT(folder));
}

enum err run_file_remove_in(struct tx *tx, struct str project, struct str path, struct errtext *et)
{
	struct str dir, name;
	struct arena *a = arena_new(0);
	enum err e = a ? remove_below(tx, project, path, a, et)
		       : err_set(et, ERR_NOMEM, "no memory for a path");
	arena_free(a);
	split(path, &dir, &name);
	return e ? e
		 : db_exec(tx, et,
			   "DELETE FROM run_file WHERE project = ? AND dir = ? AND name = ?",
			   P_TEXT(project), P_TEXT(dir), P_TEXT(name));
}

static enum err remove_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct removal *rm = ctx;
	return run_file_remove_in(tx, rm->project, rm->path, et);
}

enum err run_file_remove(struct croft *c, struct str project, struct str path, struct errtext *et)
{
	struct removal rm = {project, path};
	enum err e = run_file_path(path, false, et);
	return e ? e : db_write(croft_db(c), remove_in, &rm, et);
}

enum err run_file_blobs(struct croft *c, struct tx *tx, enum err (*fn)(void *ctx, struct str hex),
	void *ctx, struct errtext *et)
{
	return db_each_text(tx, "SELECT DISTINCT blob FROM run_file WHERE blob <> ''", fn, ctx, et);
}
