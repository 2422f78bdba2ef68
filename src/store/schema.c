/* Tables, their order and their rows, whatever the backend. */
#include "store/schema.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

enum { TABLES_MAX = 512, COLUMNS_MAX = 128 };

static const char *const type_words[] = {"BIGINT", "DOUBLE PRECISION", "TEXT", "BLOB"};

const char *column_type_word(enum column_type t)
{
	return type_words[t];
}

bool column_type_parse(struct str word, enum column_type *out)
{
	if (str_eq_nocase(word, S("BYTEA")))
		word = S("BLOB");
	for (unsigned i = 0; i < ARRAY_LEN(type_words); i++)
		if (str_eq_nocase(word, str_c(type_words[i]))) {
			*out = (enum column_type)i;
			return true;
		}
	return false;
}

/* ---- what there is ---- */

/* One column of text, of all rows, into the arena. */
static enum err read_names(struct tx *tx, struct arena *a, const char *sql, struct str of,
	struct str **out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct str *names = arena_array_of(a, TABLES_MAX, struct str);
	struct param p = P_TEXT(of);
	size_t k = 0;
	if (!names)
		return err_set(et, ERR_NOMEM, "no memory for the list of tables");
	enum err e = db_query_n(tx, &r, et, sql, &p, of.p ? 1 : 0);
	if (e)
		return e;
	while (row_next(r, &e, et)) {
		if (k == TABLES_MAX) {
			e = err_set(et, ERR_LIMIT, "more than %d tables", TABLES_MAX);
			break;
		}
		names[k] = arena_str(a, row_text(r, 0));
		if (!names[k++].p)
			e = err_set(et, ERR_NOMEM, "no memory for the list of tables");
	}
	row_free(r);
	*out = names;
	*n = k;
	return e;
}

static enum err read_columns(struct tx *tx, struct arena *a, struct table *t, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, tx_backend(tx)->columns_sql, P_TEXT(t->name));
	if (e)
		return e;
	t->columns = arena_array_of(a, COLUMNS_MAX, struct column);
	while (t->columns && row_next(r, &e, et)) {
		struct column *c = &t->columns[t->n++];
		*c = (struct column){.name = arena_str(a, row_text(r, 0)), .key = row_i64(r, 2)};
		if (!column_type_parse(row_text(r, 1), &c->type))
			e = err_set(et, ERR_UNSUPPORTED, "%.*s.%.*s is of the type %.*s",
				STR_FMT(t->name), STR_FMT(c->name), STR_FMT(row_text(r, 1)));
		if (!e && t->n == COLUMNS_MAX)
			e = err_set(et, ERR_LIMIT, "%.*s has too many columns", STR_FMT(t->name));
	}
	row_free(r);
	return t->columns ? e : err_set(et, ERR_NOMEM, "no memory for the list of columns");
}

static bool is_ready(const struct table *t, const struct table *before, size_t n)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		bool found = str_eq(t->needs[i], t->name);
		for (size_t k = 0; k < n && !found; k++)
			found = str_eq(before[k].name, t->needs[i]);
		if (!found)
			return false;
	}
	return true;
}

/* Quadratic in the number of tables, which is small. */
static enum err order(struct table *t, size_t n, struct errtext *et)
{
	for (size_t done = 0; done < n; done++) {
		size_t i = done;
		while (i < n && !is_ready(&t[i], t, done))
			i++;
		if (i == n)
			return err_set(et, ERR_UNSUPPORTED,
				"tables refer to each other in a circle: %.*s",
				STR_FMT(t[done].name));
		struct table next = t[i];
		memmove(&t[done + 1], &t[done], (i - done) * sizeof *t);
		t[done] = next;
	}
	return OK;
}

enum err schema_read(
	struct tx *tx, struct arena *a, struct table **out, size_t *n, struct errtext *et)
{
	const struct db_backend *be = tx_backend(tx);
	struct str *names;
	size_t count = 0, k = 0;
	enum err e = read_names(tx, a, be->tables_sql, (struct str){0}, &names, &count, et);
	struct table *t = e ? NULL : arena_array_of(a, count + 1, struct table);
	if (!e && !t)
		e = err_set(et, ERR_NOMEM, "no memory for the list of tables");
	for (size_t i = 0; i < count && !e; i++) {
		if (str_eq(names[i], S("migration")))
			continue;
		t[k] = (struct table){.name = names[i]};
		e = read_columns(tx, a, &t[k], et);
		if (!e)
			e = read_names(tx, a, be->references_sql, t[k].name, &t[k].needs,
				&t[k].n_needs, et);
		k++;
	}
	if (!e)
		e = order(t, k, et);
	if (e)
		return e;
	*out = t;
	*n = k;
	return OK;
}

/* ---- making it ---- */

/* A migration may have put rows into its tables: the copy brings them. */
static enum err empty_all(struct tx *tx, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct table *t;
	size_t n = 0;
	enum err e = a ? schema_read(tx, a, &t, &n, et) : err_set(et, ERR_NOMEM, "no memory");
	struct buf sql = {0};
	for (size_t i = n; i-- > 0 && !e;) {
		buf_clear(&sql);
		buf_addf(&sql, "DELETE FROM %.*s", STR_FMT(t[i].name));
		e = db_exec(tx, et, buf_c(&sql));
	}
	buf_free(&sql);
	arena_free(a);
	return e;
}

enum err schema_make(struct tx *tx, const struct schema_part *parts, size_t n,
	enum err (*wanted)(void *ctx, const char *module, const struct migration *m, bool *apply,
		struct errtext *et),
	void *ctx, struct errtext *et)
{
	enum err e = migration_begin(tx, et);
	for (size_t i = 0; i <= n && !e; i++) {
		struct schema_part own = migration_own(), part = i ? parts[i - 1] : own;
		for (size_t k = 0; k < part.n && !e; k++) {
			bool apply = false;
			e = wanted(ctx, part.module, &part.migrations[k], &apply, et);
			if (!e && apply)
				e = migration_apply(tx, part.module, &part.migrations[k], et);
		}
	}
	return e ? e : empty_all(tx, et);
}

/* ---- rows ---- */

static void select_sql(const struct table *t, struct buf *out)
{
	buf_addc(out, "SELECT ");
	for (size_t i = 0; i < t->n; i++)
		buf_addf(out, "%s%.*s", i ? ", " : "", STR_FMT(t->columns[i].name));
	buf_addf(out, " FROM %.*s ORDER BY ", STR_FMT(t->name));
	bool any = false;
	for (int64_t key = 1; key <= (int64_t)t->n; key++)
		for (size_t i = 0; i < t->n; i++)
			if (t->columns[i].key == key) {
				buf_addf(out, "%s%.*s", any ? ", " : "",
					STR_FMT(t->columns[i].name));
				any = true;
			}
	for (size_t i = 0; i < t->n && !any; i++) /* no key: all columns */
		buf_addf(out, "%s%zu", i ? ", " : "", i + 1);
}

static void encode_value(struct buf *b, struct row *r, int column, enum column_type type)
{
	struct jw w = {.out = b};
	if (row_null(r, column)) {
		buf_addc(b, "null");
		return;
	}
	double d;
	switch (type) {
	case COLUMN_I64:
		jw_i64(&w, row_i64(r, column));
		break;
	case COLUMN_F64:
		d = row_f64(r, column);
		if (isinf(d))
			buf_addc(b, d > 0 ? "\"inf\"" : "\"-inf\"");
		else
			jw_f64(&w, d);
		break;
	case COLUMN_TEXT:
		json_escape(b, row_text(r, column));
		break;
	case COLUMN_BLOB:
		buf_putc(b, '"');
		base64_encode(b, row_blob(r, column));
		buf_putc(b, '"');
		break;
	}
}

enum err table_rows(struct tx *tx, const struct table *t,
	enum err (*fn)(void *ctx, struct str line, struct errtext *et), void *ctx,
	const struct cancel *cancel, struct errtext *et)
{
	struct buf b = {0};
	struct row *r = NULL;
	select_sql(t, &b);
	enum err e = db_query(tx, &r, et, buf_c(&b));
	while (!e && row_next(r, &e, et)) {
		buf_clear(&b);
		for (size_t i = 0; i < t->n; i++) {
			buf_putc(&b, i ? ',' : '[');
			encode_value(&b, r, (int)i, t->columns[i].type);
		}
		buf_putc(&b, ']');
		e = b.err ? err_set(et, b.err, "no memory for a row of %.*s", STR_FMT(t->name))
			  : fn(ctx, buf_str(&b), et);
		if (!e && cancelled(cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
	}
	row_free(r);
	buf_free(&b);
	return e;
}

void table_insert_sql(const struct table *t, struct buf *out)
{
	buf_addf(out, "INSERT INTO %.*s (", STR_FMT(t->name));
	for (size_t i = 0; i < t->n; i++)
		buf_addf(out, "%s%.*s", i ? ", " : "", STR_FMT(t->columns[i].name));
	buf_addc(out, ") VALUES (");
	for (size_t i = 0; i < t->n; i++)
		buf_addc(out, i ? ", ?" : "?");
	buf_addc(out, ")");
}

static bool decode_f64(yyjson_val *v, double *out)
{
	if (yyjson_is_num(v))
		*out = yyjson_get_num(v);
	else if (str_eq(json_val_str(v), S("inf")))
		*out = INFINITY;
	else if (str_eq(json_val_str(v), S("-inf")))
		*out = -INFINITY;
	else
		return false;
	return true;
}

static bool decode_value(yyjson_val *v, enum column_type type, struct arena *a, struct param *out)
{
	struct buf bytes = {0};
	double d;
	*out = P_NULL;
	if (yyjson_is_null(v)) {
		out->kind =
			(enum param_kind[]){PARAM_NULL, PARAM_NULL, PARAM_TEXT, PARAM_BLOB}[type];
		return true;
	}
	switch (type) {
	case COLUMN_I64:
		*out = P_I64(yyjson_get_sint(v));
		return yyjson_is_int(v);
	case COLUMN_F64:
		if (!decode_f64(v, &d))
			return false;
		*out = P_F64(d);
		return true;
	case COLUMN_TEXT:
		*out = P_TEXT(json_val_str(v));
		return yyjson_is_str(v);
	case COLUMN_BLOB:
		break;
	}
	bool good = yyjson_is_str(v) && base64_decode(&bytes, json_val_str(v)) && !bytes.err;
	*out = P_BLOB(arena_str(a, buf_str(&bytes)));
	buf_free(&bytes);
	return good && out->s.p;
}

enum err row_insert(struct tx *tx, const struct table *t, const char *sql, struct str line,
	struct arena *a, struct errtext *et)
{
	struct param p[COLUMNS_MAX];
	yyjson_doc *doc;
	enum err e = json_parse(line, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a row of %.*s", STR_FMT(t->name));
	yyjson_val *row = yyjson_doc_get_root(doc);
	bool good = yyjson_arr_size(row) == t->n;
	for (size_t i = 0; i < t->n && good; i++)
		good = decode_value(yyjson_arr_get(row, i), t->columns[i].type, a, &p[i]);
	e = good ? db_exec_n(tx, et, sql, p, t->n)
		 : err_set(et, ERR_CORRUPT, "a row of %.*s is not of its table's form",
			   STR_FMT(t->name));
	yyjson_doc_free(doc);
	return e;
}
