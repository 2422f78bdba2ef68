/* Reading a backup. The file is read twice: once to compare every part with the manifest, which is
 * its last part, then to fill the target. Nothing is changed before the first pass has succeeded;
 * the database is filled in one transaction, so that half of it is never there. */
#include "store/backup_int.h"
#include "base/clock.h"
#include "base/room.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEP = 1 << 20, HEAD_MAX = 64 << 20, MANIFEST_MAX = 1 << 30, TABLE_PART_MAX = 1 << 30 };

struct file {
	int fd;
	const char *path;
	const struct cancel *cancel;
};

static enum err read_entry(const struct file *f, const struct tar_entry *t, uint64_t max,
	struct buf *out, struct errtext *et)
{
	if (t->size > max)
		return err_set(et, ERR_CORRUPT, "%s: %s is too large", f->path, t->name);
	char *to = buf_reserve(out, (size_t)t->size + 1);
	if (!to)
		return err_set(et, ERR_NOMEM, "no memory for %s of the backup", t->name);
	enum err e = read_at(f->fd, f->path, t->offset, to, (size_t)t->size, et);
	if (!e)
		out->n += (size_t)t->size;
	return e;
}

static enum err entry_steps(const struct file *f, const struct tar_entry *t,
	enum err (*fn)(void *ctx, struct str piece, struct errtext *et), void *ctx,
	struct errtext *et)
{
	char *piece = malloc(STEP);
	enum err e = piece ? OK : err_set(et, ERR_NOMEM, "no memory");
	for (uint64_t at = 0; at < t->size && !e; at += STEP) {
		size_t n = (size_t)MIN(t->size - at, (uint64_t)STEP);
		e = cancelled(f->cancel) ? err_set(et, ERR_CANCELLED, "cancelled")
					 : read_at(f->fd, f->path, t->offset + at, piece, n, et);
		if (!e)
			e = fn(ctx, str_mk(piece, n), et);
	}
	free(piece);
	return e;
}

/* ---- the first pass ---- */

struct found {
	char name[TAR_NAME_MAX + 1];
	uint64_t size;
	uint8_t sha256[SHA256_BYTES];
};

struct verify {
	struct file file;
	struct found *found;
	size_t n, cap;
	struct buf manifest;
};

static enum err hash_piece(void *ctx, struct str piece, struct errtext *et)
{
	sha256_add(ctx, piece.p, piece.n);
	return OK;
}

static enum err look_at(void *ctx, int fd, const struct tar_entry *t, struct errtext *et)
{
	struct verify *v = ctx;
	if (v->manifest.n)
		return err_set(
			et, ERR_CORRUPT, "%s: something stands after the manifest", v->file.path);
	if (strcmp(t->name, BACKUP_MANIFEST) == 0)
		return read_entry(&v->file, t, MANIFEST_MAX, &v->manifest, et);
	if (!heap_room(v->found, v->n, v->cap))
		return err_set(et, ERR_NOMEM, "no memory for the backup's list");
	struct found *f = &v->found[v->n];
	struct sha256 h;
	enum err e = sha256_init(&h);
	if (e)
		return err_set(et, e, "no memory for a hash");
	memcpy(f->name, t->name, sizeof f->name);
	f->size = t->size;
	e = entry_steps(&v->file, t, hash_piece, &h, et);
	sha256_end(&h, f->sha256);
	if (!e)
		v->n++;
	return e;
}

static enum err compare_part(const struct verify *v, size_t i, yyjson_val *part, struct errtext *et)
{
	uint8_t want[SHA256_BYTES];
	const struct found *f = &v->found[i];
	if (!str_eq_c(json_str(part, "name"), f->name) ||
		json_i64(part, "bytes", -1) != (int64_t)f->size ||
		!hex_decode(json_str(part, "sha256"), want, sizeof want) ||
		memcmp(want, f->sha256, sizeof want) != 0)
		return err_set(
			et, ERR_CORRUPT, "%s: the part %s is damaged", v->file.path, f->name);
	return OK;
}

static enum err compare_all(const struct verify *v, struct backup_info *out, struct errtext *et)
{
	yyjson_doc *doc;
	if (!v->manifest.n)
		return err_set(
			et, ERR_CORRUPT, "%s has no manifest: it was not finished", v->file.path);
	if (json_parse(buf_str(&v->manifest), &doc, et))
		return err_wrap(et, ERR_CORRUPT, "%s: the manifest", v->file.path);
	yyjson_val *root = yyjson_doc_get_root(doc), *parts = yyjson_obj_get(root, "parts"), *part;
	enum err e = OK;
	if (!str_eq_c(json_str(root, "format"), BACKUP_FORMAT))
		e = err_set(et, ERR_UNSUPPORTED, "%s is not a backup of the form %s", v->file.path,
			BACKUP_FORMAT);
	if (!e && yyjson_arr_size(parts) != v->n)
		e = err_set(et, ERR_CORRUPT, "%s has %zu parts, its manifest names %zu",
			v->file.path, v->n, yyjson_arr_size(parts));
	yyjson_arr_iter it = yyjson_arr_iter_with(parts);
	for (size_t i = 0; !e && (part = yyjson_arr_iter_next(&it)); i++)
		e = compare_part(v, i, part, et);
	*out = (struct backup_info){.made_ms = json_i64(root, "made_ms", 0),
		.tables = (uint64_t)json_i64(root, "tables", 0),
		.rows = (uint64_t)json_i64(root, "rows", 0),
		.blobs = (uint64_t)json_i64(root, "blobs", 0)};
	snprintf(out->version, sizeof out->version, "%.*s", STR_FMT(json_str(root, "version")));
	yyjson_doc_free(doc);
	return e;
}

static enum err open_backup(const char *path, int *fd, struct errtext *et)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? err_errno(et, "%s", path) : OK;
}

static enum err verify_open(struct file file, struct backup_info *out, struct errtext *et)
{
	struct verify v = {.file = file};
	struct backup_info info = {0};
	enum err e = tar_each(file.fd, file.path, look_at, &v, et);
	if (!e)
		e = compare_all(&v, &info, et);
	info.bytes = (uint64_t)lseek(file.fd, 0, SEEK_END);
	free(v.found);
	buf_free(&v.manifest);
	if (!e)
		*out = info;
	return e;
}

enum err backup_verify(
	const char *path, struct backup_info *out, const struct cancel *cancel, struct errtext *et)
{
	struct file f = {.path = path, .cancel = cancel};
	enum err e = open_backup(path, &f.fd, et);
	if (e)
		return e;
	e = verify_open(f, out, et);
	close(f.fd);
	return e;
}

/* ---- the second pass ---- */

struct restore {
	struct file file;
	struct blobs *blobs;
	struct tx *tx;
	yyjson_doc *head;
	const struct schema_part *parts;
	size_t n_parts;
	struct arena *a; /* of the tables */
	struct table *tables;
	size_t n_tables;
	const struct table *table; /* of the present part, and its INSERT */
	struct buf insert;
	uint64_t rows;
};

static yyjson_val *recorded_migrations(const struct restore *r)
{
	return yyjson_obj_get(yyjson_doc_get_root(r->head), "migrations");
}

/* Every migration of the backup must be one of ours, with the same text. */
static enum err is_in_backup(
	void *ctx, const char *module, const struct migration *m, bool *apply, struct errtext *et)
{
	const struct restore *r = ctx;
	char hex[SHA256_HEX + 1];
	size_t i, n;
	yyjson_val *one;
	sha256_hex_of(str_c(m->sql), hex);
	yyjson_arr_foreach(recorded_migrations(r), i, n, one)
	{
		if (!str_eq_c(json_str(one, "module"), module) ||
			json_i64(one, "number", 0) != m->number)
			continue;
		*apply = true;
		if (!str_eq_c(json_str(one, "sha256"), hex))
			return err_set(et, ERR_CONFLICT,
				"migration %s %d is another one in the backup: it was made by a "
				"Croft that this one cannot follow",
				module, m->number);
	}
	return OK;
}

static enum err check_known(const struct restore *r, struct errtext *et)
{
	size_t i, n;
	yyjson_val *one;
	yyjson_arr_foreach(recorded_migrations(r), i, n, one)
	{
		struct str module = json_str(one, "module");
		struct schema_part own = migration_own();
		int64_t number = json_i64(one, "number", 0);
		bool known = str_eq_c(module, own.module) && number <= (int64_t)own.n;
		for (size_t k = 0; k < r->n_parts && !known; k++)
			known = str_eq_c(module, r->parts[k].module) &&
				number <= (int64_t)r->parts[k].n;
		if (!known)
			return err_set(et, ERR_CONFLICT,
				"the backup was made by a newer Croft (%.*s %lld is not known "
				"here): "
				"restore it with that version or a newer one",
				STR_FMT(module), (long long)number);
	}
	return OK;
}

static enum err find_head(void *ctx, int fd, const struct tar_entry *t, struct errtext *et)
{
	struct restore *r = ctx;
	struct buf text = {0};
	if (strcmp(t->name, BACKUP_HEAD) != 0)
		return OK;
	enum err e = read_entry(&r->file, t, HEAD_MAX, &text, et);
	if (!e)
		e = json_parse(buf_str(&text), &r->head, et);
	buf_free(&text);
	return e;
}

static enum err restore_piece(void *ctx, struct str piece, struct errtext *et)
{
	return blob_writer_add(ctx, piece, et);
}

static enum err restore_blob(void *ctx, int fd, const struct tar_entry *t, struct errtext *et)
{
	struct restore *r = ctx;
	struct blob_writer *w;
	char hex[SHA256_HEX + 1];
	uint64_t size;
	if (!str_starts(str_c(t->name), S("blobs/")))
		return OK;
	enum err e = blob_writer_open(r->blobs, &w, et);
	if (e)
		return e;
	e = entry_steps(&r->file, t, restore_piece, w, et);
	if (e) {
		blob_writer_drop(w);
		return e;
	}
	return blob_writer_finish(w, t->name + strlen("blobs/"), hex, &size, et);
}

/* The part's table becomes the present one; its columns must be those of the backup. */
static enum err choose_table(struct restore *r, struct str name, struct errtext *et)
{
	if (r->table && str_eq(r->table->name, name))
		return OK;
	r->table = NULL;
	for (size_t i = 0; i < r->n_tables; i++)
		if (str_eq(r->tables[i].name, name))
			r->table = &r->tables[i];
	if (!r->table)
		return err_set(et, ERR_CORRUPT,
			"the backup has a table %.*s that its migrations "
			"do not make",
			STR_FMT(name));
	buf_clear(&r->insert);
	table_insert_sql(r->table, &r->insert);
	return OK;
}

static enum err restore_lines(struct restore *r, struct str text, struct errtext *et)
{
	struct str line;
	enum err e = OK;
	while (!e && str_next(&text, '\n', &line)) {
		if (!line.n)
			continue;
		struct arena *a = arena_new(0);
		e = !a ? err_set(et, ERR_NOMEM, "no memory for a row")
		    : cancelled(r->file.cancel)
			    ? err_set(et, ERR_CANCELLED, "cancelled: nothing was restored")
			    : row_insert(r->tx, r->table, buf_c(&r->insert), line, a, et);
		arena_free(a);
		r->rows++;
	}
	return e;
}

static enum err restore_table(void *ctx, int fd, const struct tar_entry *t, struct errtext *et)
{
	struct restore *r = ctx;
	struct str rest = str_c(t->name), folder, name;
	struct buf text = {0};
	if (!str_next(&rest, '/', &folder) || !str_eq(folder, S("tables")) ||
		!str_next(&rest, '/', &name))
		return OK;
	enum err e = choose_table(r, name, et);
	if (!e)
		e = read_entry(&r->file, t, TABLE_PART_MAX, &text, et);
	if (!e)
		e = restore_lines(r, buf_str(&text), et);
	buf_free(&text);
	return e;
}

/* The order of columns is the backup's as well as ours, or the rows would not mean the same. */
static enum err compare_columns(const struct restore *r, struct errtext *et)
{
	size_t i, n;
	yyjson_val *one;
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(r->head), "tables"), i, n, one)
	{
		const struct table *t = NULL;
		for (size_t k = 0; k < r->n_tables; k++)
			if (str_eq(r->tables[k].name, json_str(one, "name")))
				t = &r->tables[k];
		yyjson_val *columns = yyjson_obj_get(one, "columns");
		bool same = t && yyjson_arr_size(columns) == t->n;
		for (size_t k = 0; k < (same ? t->n : 0); k++) {
			yyjson_val *c = yyjson_arr_get(columns, k);
			same = same &&
			       str_eq(json_val_str(yyjson_arr_get(c, 0)), t->columns[k].name) &&
			       str_eq_c(json_val_str(yyjson_arr_get(c, 1)),
				       column_type_word(t->columns[k].type));
		}
		if (!same)
			return err_set(et, ERR_CONFLICT,
				"the table %.*s of the backup is not what its migrations make",
				STR_FMT(json_str(one, "name")));
	}
	return OK;
}

static enum err fill(struct restore *r, uint64_t want_rows, struct errtext *et)
{
	size_t n = 0;
	struct table *there;
	enum err e = schema_read(r->tx, r->a, &there, &n, et);
	if (!e && n)
		e = err_set(et, ERR_CONFLICT,
			"the target's database is not empty (it has the table %.*s): restore into "
			"a "
			"new one",
			STR_FMT(there[0].name));
	if (!e)
		e = tar_each(r->file.fd, r->file.path, restore_blob, r, et);
	if (!e)
		e = schema_make(r->tx, r->parts, r->n_parts, is_in_backup, r, et);
	if (!e)
		e = schema_read(r->tx, r->a, &r->tables, &r->n_tables, et);
	if (!e)
		e = compare_columns(r, et);
	if (!e)
		e = tar_each(r->file.fd, r->file.path, restore_table, r, et);
	if (!e && r->rows != want_rows)
		e = err_set(et, ERR_CORRUPT, "%llu rows were restored, the manifest says %llu",
			(unsigned long long)r->rows, (unsigned long long)want_rows);
	return e;
}

static enum err restore_open(
	struct restore *r, struct db *db, uint64_t want_rows, struct errtext *et)
{
	enum err e = tar_each(r->file.fd, r->file.path, find_head, r, et);
	if (!e && !r->head)
		e = err_set(et, ERR_CORRUPT, "%s has no %s", r->file.path, BACKUP_HEAD);
	if (!e)
		e = check_known(r, et);
	if (!e)
		e = db_begin(db, TX_WRITE, &r->tx, et);
	if (e)
		return e;
	e = fill(r, want_rows, et);
	return db_finish(r->tx, e, et);
}

enum err backup_restore(const char *path, struct db *db, struct blobs *blobs,
	const struct schema_part *parts, size_t n, struct backup_info *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct backup_info info;
	struct restore r = {.file = {.path = path, .cancel = cancel},
		.blobs = blobs,
		.parts = parts,
		.n_parts = n};
	enum err e = open_backup(path, &r.file.fd, et);
	if (e)
		return e;
	e = verify_open(r.file, &info, et);
	r.a = e ? NULL : arena_new(0);
	if (!e)
		e = r.a ? restore_open(&r, db, info.rows, et)
			: err_set(et, ERR_NOMEM, "no memory for the tables");
	close(r.file.fd);
	yyjson_doc_free(r.head);
	buf_free(&r.insert);
	arena_free(r.a);
	if (!e && out)
		*out = info;
	return e;
}
