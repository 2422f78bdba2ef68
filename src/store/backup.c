/* Making a backup: blobs, then the tables in one read transaction, then the blobs that are new,
 * then the manifest. The order is explained in backup.h. Everything is streamed; in memory are one
 * part of a table, the names of the blobs (32 bytes each) and the manifest. */
#include "store/backup_int.h"
#include "base/clock.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum { PART_BYTES = 4 << 20, BLOB_STEP = 1 << 20 };

struct names {
	uint8_t (*list)[SHA256_BYTES];
	size_t n, cap, sorted; /* the first `sorted` are in order */
	enum err err;
};

struct backup {
	struct db *db;
	struct blobs *blobs;
	enum err (*write)(void *ctx, struct str bytes);
	void *ctx;
	const struct cancel *cancel;
	struct errtext *et;
	struct backup_info info;
	struct buf manifest; /* the array of parts, growing */
	struct jw parts;
	struct names seen, fresh; /* blobs that are in it; those to be added now */
	struct buf part;          /* of the present table */
	const struct table *table;
	unsigned part_number;
	uint64_t part_rows;
};

/* ---- parts ---- */

static enum err emit(struct backup *b, const void *p, size_t n)
{
	if (cancelled(b->cancel))
		return err_set(b->et, ERR_CANCELLED, "the backup was cancelled");
	enum err e = b->write(b->ctx, str_mk(p, n));
	b->info.bytes += n;
	return e ? err_set(b->et, e, "the backup could not be written") : OK;
}

static enum err emit_padding(struct backup *b, uint64_t size)
{
	static const char zeros[TAR_BLOCK];
	size_t over = (size_t)(size % TAR_BLOCK);
	return over ? emit(b, zeros, TAR_BLOCK - over) : OK;
}

static enum err emit_header(struct backup *b, const char *name, uint64_t size)
{
	char block[TAR_BLOCK];
	tar_header(name, size, b->info.made_ms / 1000, block);
	return emit(b, block, sizeof block);
}

static void note_part(struct backup *b, const char *name, uint64_t size, const char *hex)
{
	jw_obj(&b->parts);
	jw_kc(&b->parts, "name", name);
	jw_ki64(&b->parts, "bytes", (int64_t)size);
	jw_kc(&b->parts, "sha256", hex);
	jw_end(&b->parts);
}

static enum err emit_part(struct backup *b, const char *name, struct str data)
{
	char hex[SHA256_HEX + 1];
	enum err e = emit_header(b, name, data.n);
	if (!e)
		e = emit(b, data.p, data.n);
	if (!e)
		e = emit_padding(b, data.n);
	sha256_hex_of(data, hex);
	note_part(b, name, data.n, hex);
	return e;
}

/* ---- blobs ---- */

static void names_add(struct names *s, const uint8_t hash[SHA256_BYTES])
{
	if (!heap_room(s->list, s->n, s->cap)) {
		s->err = ERR_NOMEM;
		return;
	}
	memcpy(s->list[s->n++], hash, SHA256_BYTES);
}

static int compare_names(const void *a, const void *b)
{
	return memcmp(a, b, SHA256_BYTES);
}

static void names_sort(struct names *s)
{
	if (s->n)
		qsort(s->list, s->n, sizeof *s->list, compare_names);
	s->sorted = s->n;
}

static bool names_have(const struct names *s, const uint8_t hash[SHA256_BYTES])
{
	return s->sorted && bsearch(hash, s->list, s->sorted, sizeof *s->list, compare_names);
}

static enum err note_blob(void *ctx, const char *hex, const struct blob_info *info)
{
	struct backup *b = ctx;
	uint8_t hash[SHA256_BYTES];
	if (hex_decode(str_c(hex), hash, sizeof hash) && !names_have(&b->seen, hash))
		names_add(&b->fresh, hash);
	return b->fresh.err;
}

/* Its header says the size, so it is read before anything of it is sent. */
static enum err emit_blob(struct backup *b, const uint8_t hash[SHA256_BYTES])
{
	struct os_map map;
	char name[TAR_NAME_MAX], hex[SHA256_HEX + 1];
	hex_encode(hash, SHA256_BYTES, hex);
	enum err e = blob_get(b->blobs, hex, true, &map, b->et);
	if (e == ERR_NOT_FOUND)
		return OK; /* swept meanwhile: nothing referred to it */
	if (e)
		return e;
	snprintf(name, sizeof name, "blobs/%s", hex);
	e = emit_header(b, name, map.n);
	for (size_t at = 0; at < map.n && !e; at += BLOB_STEP)
		e = emit(b, (const char *)map.p + at, MIN(map.n - at, (size_t)BLOB_STEP));
	if (!e)
		e = emit_padding(b, map.n);
	note_part(b, name, map.n, hex);
	os_unmap(&map);
	b->info.blobs++;
	names_add(&b->seen, hash);
	return e;
}

static enum err emit_new_blobs(struct backup *b)
{
	b->fresh.n = 0;
	enum err e = blobs_each(b->blobs, note_blob, b, b->et);
	for (size_t i = 0; i < b->fresh.n && !e; i++)
		e = emit_blob(b, b->fresh.list[i]);
	if (!e && b->seen.err)
		e = err_set(b->et, b->seen.err, "no memory for the names of the blobs");
	names_sort(&b->seen);
	return e;
}

/* ---- tables ---- */

static enum err flush_part(struct backup *b)
{
	char name[TAR_NAME_MAX];
	if (!b->part.n)
		return OK;
	if ((size_t)snprintf(name, sizeof name, "tables/%.*s/%06u", STR_FMT(b->table->name),
		    b->part_number++) >= sizeof name)
		return err_set(b->et, ERR_LIMIT, "the name of the table %.*s is too long",
			STR_FMT(b->table->name));
	enum err e = emit_part(b, name, buf_str(&b->part));
	buf_clear(&b->part);
	return e;
}

static enum err add_row(void *ctx, struct str line, struct errtext *et)
{
	struct backup *b = ctx;
	buf_adds(&b->part, line);
	buf_putc(&b->part, '\n');
	b->info.rows++;
	if (b->part.err)
		return err_set(et, b->part.err, "no memory for a part of the backup");
	return b->part.n >= PART_BYTES ? flush_part(b) : OK;
}

static enum err emit_table(struct backup *b, struct tx *tx, const struct table *t)
{
	b->table = t;
	b->part_number = 0;
	enum err e = table_rows(tx, t, add_row, b, b->cancel, b->et);
	b->info.tables++;
	return e ? e : flush_part(b);
}

static void describe_table(struct jw *w, const struct table *t)
{
	jw_obj(w);
	jw_kstr(w, "name", t->name);
	jw_key(w, "columns");
	jw_arr(w);
	for (size_t i = 0; i < t->n; i++) {
		jw_arr(w);
		jw_str(w, t->columns[i].name);
		jw_c(w, column_type_word(t->columns[i].type));
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static enum err describe_migrations(struct jw *w, struct tx *tx, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, et, "SELECT module, number, sha256 FROM migration ORDER BY module, number");
	if (e)
		return e;
	jw_key(w, "migrations");
	jw_arr(w);
	while (row_next(r, &e, et)) {
		jw_obj(w);
		jw_kstr(w, "module", row_text(r, 0));
		jw_ki64(w, "number", row_i64(r, 1));
		jw_kstr(w, "sha256", row_text(r, 2));
		jw_end(w);
	}
	jw_end(w);
	row_free(r);
	return e;
}

static enum err emit_head(struct backup *b, struct tx *tx, const struct table *t, size_t n)
{
	struct buf text = {0};
	struct jw w = {.out = &text};
	jw_obj(&w);
	jw_kc(&w, "format", BACKUP_FORMAT);
	jw_kc(&w, "version", b->info.version);
	jw_ki64(&w, "made_ms", b->info.made_ms);
	jw_kc(&w, "database", tx_backend(tx)->scheme);
	enum err e = describe_migrations(&w, tx, b->et);
	jw_key(&w, "tables");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		describe_table(&w, &t[i]);
	jw_end(&w);
	jw_end(&w);
	if (!e && !jw_done(&w))
		e = err_set(b->et, ERR_NOMEM, "no memory for the backup's head");
	if (!e)
		e = emit_part(b, BACKUP_HEAD, buf_str(&text));
	buf_free(&text);
	return e;
}

static enum err emit_tables(struct backup *b)
{
	struct arena *a = arena_new(0);
	struct table *t;
	size_t n = 0;
	struct tx *tx;
	enum err e = a ? db_begin(b->db, TX_READ, &tx, b->et)
		       : err_set(b->et, ERR_NOMEM, "no memory for the backup");
	if (!e) {
		e = tx_script(tx, "", b->et); /* no time limit */
		if (!e)
			e = schema_read(tx, a, &t, &n, b->et);
		if (!e)
			e = emit_head(b, tx, t, n);
		for (size_t i = 0; i < n && !e; i++)
			e = emit_table(b, tx, &t[i]);
		db_rollback(tx);
	}
	arena_free(a);
	return e;
}

/* ---- all of it ---- */

static enum err emit_manifest(struct backup *b)
{
	static const char end[2 * TAR_BLOCK];
	struct buf text = {0};
	struct jw w = {.out = &text};
	jw_end(&b->parts);
	jw_obj(&w);
	jw_kc(&w, "format", BACKUP_FORMAT);
	jw_kc(&w, "version", b->info.version);
	jw_ki64(&w, "made_ms", b->info.made_ms);
	jw_ki64(&w, "tables", (int64_t)b->info.tables);
	jw_ki64(&w, "rows", (int64_t)b->info.rows);
	jw_ki64(&w, "blobs", (int64_t)b->info.blobs);
	jw_key(&w, "parts");
	jw_raw(&w, buf_str(&b->manifest));
	jw_end(&w);
	enum err e = jw_done(&b->parts) && jw_done(&w)
			     ? emit_header(b, BACKUP_MANIFEST, text.n)
			     : err_set(b->et, ERR_NOMEM, "no memory for the backup's manifest");
	if (!e)
		e = emit(b, text.p, text.n);
	if (!e)
		e = emit_padding(b, text.n);
	if (!e)
		e = emit(b, end, sizeof end);
	buf_free(&text);
	return e;
}

enum err backup_make(struct db *db, struct blobs *blobs,
	enum err (*write)(void *ctx, struct str bytes), void *ctx, struct backup_info *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct errtext own = {0};
	struct backup b = {.db = db,
		.blobs = blobs,
		.write = write,
		.ctx = ctx,
		.cancel = cancel,
		.et = et ? et : &own};
	b.info.made_ms = clock_unix_ms();
	snprintf(b.info.version, sizeof b.info.version, "%s", CROFT_VERSION);
	b.parts.out = &b.manifest;
	jw_arr(&b.parts);
	enum err e = emit_new_blobs(&b);
	if (!e)
		e = emit_tables(&b);
	if (!e)
		e = emit_new_blobs(&b);
	if (!e)
		e = emit_manifest(&b);
	buf_free(&b.manifest);
	buf_free(&b.part);
	free(b.seen.list);
	free(b.fresh.list);
	if (!e && out)
		*out = b.info;
	return e;
}
