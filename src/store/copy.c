/* From one database to another, of whatever backends: every table, in one transaction of the
 * target, read back and compared before it is committed. */
#include "store/backup_int.h"

#include <stdlib.h>

struct copy {
	struct tx *from, *to;
	const struct cancel *cancel;
	struct errtext *et;
	/* of the present table */
	const struct table *table;
	struct buf insert;
	struct sha256 hash;
	uint64_t rows;
	const struct schema_part *parts;
	size_t n_parts;
};

/* ---- the schema ---- */

static enum err is_in_source(
	void *ctx, const char *module, const struct migration *m, bool *apply, struct errtext *et)
{
	struct copy *c = ctx;
	struct row *r;
	char hex[SHA256_HEX + 1];
	sha256_hex_of(str_c(m->sql), hex);
	enum err e = db_query(c->from, &r, et,
		"SELECT sha256 FROM migration WHERE module = ? AND number = ?",
		P_TEXT(str_c(module)), P_I64(m->number));
	if (e)
		return e;
	*apply = row_next(r, &e, et);
	if (*apply && !str_eq_c(row_text(r, 0), hex))
		e = err_set(et, ERR_CONFLICT,
			"migration %s %d of the source is not the one of this Croft", module,
			m->number);
	row_free(r);
	return e;
}

static enum err count(struct tx *tx, const char *sql, int64_t *n, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, sql);
	if (e)
		return e;
	if (row_next(r, &e, et))
		*n = row_i64(r, 0);
	row_free(r);
	return e;
}

static enum err make_schema(struct copy *c, struct arena *a)
{
	struct table *there;
	size_t n = 0;
	int64_t in_source = 0, made = 0;
	static const char how_many[] = "SELECT COUNT(*) FROM migration";
	enum err e = schema_read(c->to, a, &there, &n, c->et);
	if (!e && n)
		e = err_set(c->et, ERR_CONFLICT,
			"the target is not empty (it has the table %.*s): copy into a new database",
			STR_FMT(there[0].name));
	if (!e)
		e = schema_make(c->to, c->parts, c->n_parts, is_in_source, c, c->et);
	if (!e)
		e = count(c->from, how_many, &in_source, c->et);
	if (!e)
		e = count(c->to, how_many, &made, c->et);
	if (!e && made != in_source)
		e = err_set(c->et, ERR_CONFLICT,
			"the source was used by a newer Croft: copy it with that version");
	return e;
}

/* ---- rows ---- */

static void add_line(struct copy *c, struct str line)
{
	sha256_add(&c->hash, line.p, line.n);
	sha256_add(&c->hash, "\n", 1);
	c->rows++;
}

static enum err copy_row(void *ctx, struct str line, struct errtext *et)
{
	struct copy *c = ctx;
	struct arena *a = arena_new(0);
	enum err e = a ? row_insert(c->to, c->table, buf_c(&c->insert), line, a, et)
		       : err_set(et, ERR_NOMEM, "no memory for a row");
	arena_free(a);
	add_line(c, line);
	return e;
}

static enum err hash_row(void *ctx, struct str line, struct errtext *et)
{
	add_line(ctx, line);
	return OK;
}

static enum err pass(struct copy *c, struct tx *tx, bool insert, struct copied *out)
{
	uint8_t sum[SHA256_BYTES];
	c->rows = 0;
	enum err e = sha256_init(&c->hash);
	if (e)
		return err_set(c->et, e, "no memory for a hash");
	e = table_rows(tx, c->table, insert ? copy_row : hash_row, c, c->cancel, c->et);
	sha256_end(&c->hash, sum);
	out->rows = c->rows;
	hex_encode(sum, sizeof sum, out->sha256);
	return e;
}

static enum err copy_table(struct copy *c, const struct table *t, struct copied *out)
{
	struct copied read_back;
	c->table = t;
	buf_clear(&c->insert);
	table_insert_sql(t, &c->insert);
	enum err e = pass(c, c->from, true, out);
	if (!e)
		e = pass(c, c->to, false, &read_back);
	if (!e && (out->rows != read_back.rows || strcmp(out->sha256, read_back.sha256) != 0))
		e = err_set(c->et, ERR_CORRUPT,
			"the table %.*s did not arrive as it was sent (%llu rows, then %llu)",
			STR_FMT(t->name), (unsigned long long)out->rows,
			(unsigned long long)read_back.rows);
	return e;
}

static enum err copy_all(struct copy *c, void (*done)(void *ctx, const struct copied *t), void *ctx)
{
	struct arena *a = arena_new(0);
	struct table *t;
	size_t n = 0;
	enum err e = a ? make_schema(c, a) : err_set(c->et, ERR_NOMEM, "no memory");
	if (!e)
		e = schema_read(c->from, a, &t, &n, c->et);
	for (size_t i = 0; i < n && !e; i++) {
		struct copied one = {.table = arena_c(a, t[i].name)};
		e = copy_table(c, &t[i], &one);
		if (!e && done)
			done(ctx, &one);
	}
	buf_free(&c->insert);
	arena_free(a);
	return e;
}

enum err db_copy(struct db *from, struct db *to, const struct schema_part *parts, size_t n,
	void (*done)(void *ctx, const struct copied *t), void *ctx, const struct cancel *cancel,
	struct errtext *et)
{
	struct errtext own = {0};
	struct copy c = {.cancel = cancel, .et = et ? et : &own, .parts = parts, .n_parts = n};
	enum err e = db_begin(from, TX_WRITE, &c.from, c.et); /* nobody writes meanwhile */
	if (e)
		return err_wrap(c.et, e, "the source");
	e = tx_script(c.from, "", c.et);
	if (!e)
		e = db_begin(to, TX_WRITE, &c.to, c.et);
	if (!e) {
		e = copy_all(&c, done, ctx);
		if (e)
			db_rollback(c.to);
		else
			e = db_commit(c.to, c.et);
	}
	db_rollback(c.from);
	return e;
}
