/* Rows into the columns of a Parquet file: plain values in zstd pages, levels in runs. */
#include "text/parquet_int.h"

#include <math.h>
#include <stdlib.h>
#include <zstd.h>

enum { PAGE_BYTES = 1 << 20, GROUP_BYTES = 64 << 20, GROUP_ROWS = 1 << 20, LEVEL = 3 };

struct out_column {
	struct parquet_column column;
	/* the page */
	struct buf rep, def, values;
	unsigned bits; /* of booleans in values */
	size_t n;
	/* the row group */
	struct buf pages;
	int64_t n_values, full;
};

struct parquet_writer {
	parquet_put_fn put;
	void *ctx;
	struct out_column *columns;
	size_t n;
	ZSTD_CCtx *zstd;
	struct buf packed, groups; /* groups: their part of the footer */
	size_t n_groups;
	int64_t at, rows, group_rows;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a Parquet file");
}

static bool writable(const struct parquet_column *c)
{
	if (c->list)
		return c->kind == PARQUET_REAL;
	return c->kind == PARQUET_BOOL || c->kind == PARQUET_INT || c->kind == PARQUET_REAL ||
	       c->kind == PARQUET_TEXT || c->kind == PARQUET_JSON;
}

static enum err put(struct parquet_writer *w, struct str s, struct errtext *et)
{
	w->at += (int64_t)s.n;
	return w->put(w->ctx, s, et);
}

enum err parquet_writer_new(const struct parquet_column *columns, size_t n, parquet_put_fn fn,
	void *ctx, struct parquet_writer **out, struct errtext *et)
{
	struct parquet_writer *w = calloc(1, sizeof *w);
	if (!w || n > PARQUET_COLUMNS_MAX || !(w->columns = calloc(n + 1, sizeof *w->columns)) ||
		!(w->zstd = ZSTD_createCCtx())) {
		parquet_writer_drop(w);
		return no_memory(et);
	}
	enum err e = OK;
	w->put = fn;
	w->ctx = ctx;
	w->n = n;
	for (size_t i = 0; i < n && !e; i++) {
		struct out_column *c = &w->columns[i];
		c->column = columns[i];
		c->column.name = str_c(str_dup(columns[i].name));
		if (!c->column.name.p)
			e = no_memory(et);
		else if (!writable(&columns[i]))
			e = err_set(et, ERR_INVALID,
				"the column %.*s is of a kind that is not written",
				STR_FMT(columns[i].name));
	}
	e = e ? e : put(w, S("PAR1"), et);
	if (e)
		parquet_writer_drop(w);
	else
		*out = w;
	return e;
}

void parquet_writer_drop(struct parquet_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++) {
		struct out_column *c = &w->columns[i];
		free((void *)(uintptr_t)c->column.name.p);
		buf_free(&c->rep);
		buf_free(&c->def);
		buf_free(&c->values);
		buf_free(&c->pages);
	}
	free(w->columns);
	ZSTD_freeCCtx(w->zstd);
	buf_free(&w->packed);
	buf_free(&w->groups);
	free(w);
}

/* ---- pages ---- */

/* Levels, one byte each, as runs: a length, then count << 1 and the value. */
static void put_levels(struct buf *out, struct str levels)
{
	struct buf runs = {0};
	for (size_t i = 0, m; i < levels.n; i += m) {
		for (m = 1; i + m < levels.n && levels.p[i + m] == levels.p[i]; m++)
			;
		thrift_put_varint(&runs, (uint64_t)m << 1);
		buf_putc(&runs, levels.p[i]);
	}
	uint32_t n = (uint32_t)runs.n;
	buf_add(out, &n, sizeof n);
	buf_adds(out, buf_str(&runs));
	out->err = out->err ? out->err : runs.err;
	buf_free(&runs);
}

static void put_page_head(struct buf *out, size_t full, size_t packed, size_t n)
{
	int last = 0, inner = 0;
	thrift_put_i32(out, &last, 1, DATA_PAGE);
	thrift_put_i32(out, &last, 2, (int64_t)full);
	thrift_put_i32(out, &last, 3, (int64_t)packed);
	thrift_put_field(out, &last, 5, T_STRUCT);
	thrift_put_i32(out, &inner, 1, (int64_t)n);
	thrift_put_i32(out, &inner, 2, PLAIN);
	thrift_put_i32(out, &inner, 3, RLE);
	thrift_put_i32(out, &inner, 4, RLE);
	buf_putc(out, T_STOP);
	buf_putc(out, T_STOP);
}

static enum err end_page(struct parquet_writer *w, struct out_column *c, struct errtext *et)
{
	struct buf page = {0}, head = {0};
	if (!c->n)
		return OK;
	if (c->column.list)
		put_levels(&page, buf_str(&c->rep));
	put_levels(&page, buf_str(&c->def));
	buf_adds(&page, buf_str(&c->values));
	buf_clear(&w->packed);
	size_t room = ZSTD_compressBound(page.n);
	char *to = buf_reserve(&w->packed, room);
	size_t n =
		to && !page.err ? ZSTD_compressCCtx(w->zstd, to, room, page.p, page.n, LEVEL) : 0;
	if (!n || ZSTD_isError(n)) {
		buf_free(&page);
		return no_memory(et);
	}
	put_page_head(&head, page.n, n, c->n);
	c->full += (int64_t)(head.n + page.n);
	buf_adds(&c->pages, buf_str(&head));
	buf_add(&c->pages, to, n);
	enum err e = head.err || c->pages.err ? no_memory(et) : OK;
	c->n_values += (int64_t)c->n;
	c->n = 0;
	c->bits = 0;
	buf_clear(&c->rep);
	buf_clear(&c->def);
	buf_clear(&c->values);
	buf_free(&page);
	buf_free(&head);
	return e;
}

/* ---- row groups ---- */

static enum physical type_of(const struct parquet_column *c)
{
	return c->list                   ? FLOAT
	       : c->kind == PARQUET_BOOL ? BOOLEAN
	       : c->kind == PARQUET_INT  ? INT64
	       : c->kind == PARQUET_REAL ? DOUBLE
					 : BYTE_ARRAY;
}

static void put_column(struct parquet_writer *w, const struct out_column *c, int64_t at)
{
	struct buf *out = &w->groups;
	int last = 0, inner = 0;
	thrift_put_i64(out, &last, 2, at);
	thrift_put_field(out, &last, 3, T_STRUCT);
	thrift_put_i32(out, &inner, 1, type_of(&c->column));
	thrift_put_list(out, &inner, 2, T_I32, 2);
	thrift_put_varint(out, PLAIN << 1);
	thrift_put_varint(out, RLE << 1);
	thrift_put_list(out, &inner, 3, T_BINARY, c->column.list ? 3 : 1);
	thrift_put_varint(out, c->column.name.n);
	buf_adds(out, c->column.name);
	if (c->column.list)
		buf_adds(out, S("\x04list\x07"
				"element"));
	thrift_put_i32(out, &inner, 4, ZSTD);
	thrift_put_i64(out, &inner, 5, c->n_values);
	thrift_put_i64(out, &inner, 6, c->full);
	thrift_put_i64(out, &inner, 7, (int64_t)c->pages.n);
	thrift_put_i64(out, &inner, 9, at);
	buf_putc(out, T_STOP);
	buf_putc(out, T_STOP);
}

static enum err end_group(struct parquet_writer *w, struct errtext *et)
{
	int last = 0;
	int64_t bytes = 0;
	enum err e = OK;
	if (!w->group_rows)
		return OK;
	thrift_put_list(&w->groups, &last, 1, T_STRUCT, w->n);
	for (size_t i = 0; i < w->n && !e; i++) {
		struct out_column *c = &w->columns[i];
		e = end_page(w, c, et);
		if (!e)
			put_column(w, c, w->at);
		e = e ? e : put(w, buf_str(&c->pages), et);
		bytes += c->full;
		c->n_values = c->full = 0;
		buf_clear(&c->pages);
	}
	thrift_put_i64(&w->groups, &last, 2, bytes);
	thrift_put_i64(&w->groups, &last, 3, w->group_rows);
	buf_putc(&w->groups, T_STOP);
	w->n_groups++;
	w->rows += w->group_rows;
	w->group_rows = 0;
	return e ? e : w->groups.err ? no_memory(et) : OK;
}

/* ---- rows ---- */

static void put_bool(struct out_column *c, bool yes)
{
	if (c->bits % 8 == 0)
		buf_putc(&c->values, 0);
	if (yes && !c->values.err)
		c->values.p[c->bits / 8] = (char)(c->values.p[c->bits / 8] | 1 << c->bits % 8);
	c->bits++;
}

static void put_value(struct out_column *c, const struct parquet_value *v)
{
	uint32_t n = (uint32_t)v->text.n;
	switch (c->column.kind) {
	case PARQUET_BOOL:
		put_bool(c, v->i);
		break;
	case PARQUET_INT:
		buf_add(&c->values, &v->i, 8);
		break;
	case PARQUET_REAL:
		buf_add(&c->values, &v->d, 8);
		break;
	default:
		buf_add(&c->values, &n, 4);
		buf_adds(&c->values, v->text);
	}
}

/* Levels of a list: 0 none, 1 empty, 2 an element. */
static void put_list_value(struct out_column *c, const struct parquet_value *v)
{
	bool none = v->kind == PARQUET_NULL;
	if (none || !v->n) {
		buf_putc(&c->rep, 0);
		buf_putc(&c->def, none ? 0 : 1);
		c->n++;
		return;
	}
	for (size_t i = 0; i < v->n; i++) {
		float f = (float)v->items[i].d;
		buf_putc(&c->rep, i > 0);
		buf_putc(&c->def, 2);
		buf_add(&c->values, &f, sizeof f);
	}
	c->n += v->n;
}

enum err parquet_write(
	struct parquet_writer *w, const struct parquet_value *row, struct errtext *et)
{
	enum err e = OK;
	size_t bytes = 0;
	for (size_t i = 0; i < w->n; i++)
		if (row[i].kind != PARQUET_NULL &&
			(row[i].kind != w->columns[i].column.kind ||
				row[i].list != w->columns[i].column.list ||
				row[i].text.n > PARQUET_PAGE_MAX / 2 ||
				row[i].n > PARQUET_LIST_MAX))
			return err_set(et, ERR_INVALID,
				"a value does not fit the column %.*s of a Parquet file",
				STR_FMT(w->columns[i].column.name));
	for (size_t i = 0; i < w->n && !e; i++) {
		struct out_column *c = &w->columns[i];
		if (c->column.list) {
			put_list_value(c, &row[i]);
		} else {
			bool there = row[i].kind != PARQUET_NULL;
			buf_putc(&c->def, there);
			if (there)
				put_value(c, &row[i]);
			c->n++;
		}
		if (c->rep.err || c->def.err || c->values.err)
			return no_memory(et);
		if (c->values.n + c->def.n >= PAGE_BYTES)
			e = end_page(w, c, et);
		bytes += c->pages.n + c->values.n;
	}
	w->group_rows++;
	if (!e && (bytes >= GROUP_BYTES || w->group_rows == GROUP_ROWS))
		e = end_group(w, et);
	return e;
}

/* ---- the footer ---- */

static void put_node(
	struct buf *out, struct str name, int type, int repetition, int children, int converted)
{
	int last = 0;
	if (type >= 0)
		thrift_put_i32(out, &last, 1, type);
	if (repetition >= 0)
		thrift_put_i32(out, &last, 3, repetition);
	thrift_put_binary(out, &last, 4, name);
	if (children)
		thrift_put_i32(out, &last, 5, children);
	if (converted >= 0)
		thrift_put_i32(out, &last, 6, converted);
	buf_putc(out, T_STOP);
}

/* Columns are optional; a list is a group of a repeated group with the element. */
static void put_schema(const struct parquet_writer *w, struct buf *out, int *last)
{
	enum { REQUIRED, OPTIONAL, REPEATED, UTF8 = 0, LIST = 3, JSON = 19 };
	size_t n = 1;
	for (size_t i = 0; i < w->n; i++)
		n += w->columns[i].column.list ? 3 : 1;
	thrift_put_list(out, last, 2, T_STRUCT, n);
	put_node(out, S("schema"), -1, -1, (int)w->n, -1);
	for (size_t i = 0; i < w->n; i++) {
		const struct parquet_column *c = &w->columns[i].column;
		if (c->list) {
			put_node(out, c->name, -1, OPTIONAL, 1, LIST);
			put_node(out, S("list"), -1, REPEATED, 1, -1);
			put_node(out, S("element"), FLOAT, REQUIRED, 0, -1);
		} else {
			put_node(out, c->name, type_of(c), OPTIONAL, 0,
				c->kind == PARQUET_TEXT   ? UTF8
				: c->kind == PARQUET_JSON ? JSON
							  : -1);
		}
	}
}

enum err parquet_writer_finish(struct parquet_writer *w, struct errtext *et)
{
	struct buf out = {0};
	int last = 0;
	enum err e = end_group(w, et);
	thrift_put_i32(&out, &last, 1, 2);
	put_schema(w, &out, &last);
	thrift_put_i64(&out, &last, 3, w->rows);
	thrift_put_list(&out, &last, 4, T_STRUCT, w->n_groups);
	buf_adds(&out, buf_str(&w->groups));
	thrift_put_binary(&out, &last, 6, S("croft " CROFT_VERSION));
	buf_putc(&out, T_STOP);
	uint32_t n = (uint32_t)out.n;
	buf_add(&out, &n, sizeof n);
	buf_addc(&out, "PAR1");
	e = e ? e : out.err ? no_memory(et) : put(w, buf_str(&out), et);
	buf_free(&out);
	parquet_writer_drop(w);
	return e;
}
