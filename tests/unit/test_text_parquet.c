/* Parquet: files of pyarrow's value by value (tests/golden/parquet), what is refused by name, what
 * is damaged, and files of our own there and back. */
#include "tap.h"
#include "base/json.h"
#include "base/os.h"
#include "text/parquet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;

static void read_golden(const char *name, struct buf *out)
{
	char path[300];
	snprintf(path, sizeof path, "tests/golden/parquet/%s", name);
	CHECK_OK(os_read_file(path, 0, out, &et), &et);
}

static bool same(const struct parquet_value *v, yyjson_val *want)
{
	if (yyjson_is_null(want) || !want)
		return v->kind == PARQUET_NULL;
	if (yyjson_is_arr(want)) {
		if (!v->list || v->kind == PARQUET_NULL || v->n != yyjson_arr_size(want))
			return false;
		for (size_t i = 0; i < v->n; i++)
			if (!same(&v->items[i], yyjson_arr_get(want, i)))
				return false;
		return true;
	}
	switch (v->kind) {
	case PARQUET_BOOL:
		return yyjson_is_bool(want) && yyjson_get_bool(want) == (v->i != 0);
	case PARQUET_INT:
	case PARQUET_UINT:
		return yyjson_is_num(want) && yyjson_get_num(want) == (double)v->i;
	case PARQUET_REAL:
		return yyjson_is_num(want) && yyjson_get_num(want) == v->d;
	case PARQUET_TEXT:
	case PARQUET_JSON:
		return str_eq(json_val_str(want), v->text);
	default:
		return false;
	}
}

static void compare(const char *name, yyjson_val *columns, yyjson_val *rows)
{
	char file[100];
	struct buf b = {0};
	struct parquet *p;
	const struct parquet_column *c;
	struct parquet_value row[32];
	bool end = false;
	snprintf(file, sizeof file, "%s.parquet", name);
	read_golden(file, &b);
	CHECK_OK(parquet_open(buf_str(&b), &p, &et), &et);
	size_t n = parquet_columns(p, &c), i = 0;
	CHECK_INT(n, yyjson_arr_size(columns));
	CHECK_INT(parquet_rows(p), yyjson_arr_size(rows));
	for (size_t j = 0; j < n; j++)
		CHECK(str_eq(c[j].name, json_val_str(yyjson_arr_get(columns, j))));
	for (;; i++) {
		enum err e = parquet_next(p, row, &end, &et);
		CHECK_OK(e, &et);
		if (e || end)
			break;
		for (size_t j = 0; j < n; j++)
			if (!same(&row[j], yyjson_arr_get(yyjson_arr_get(rows, i), j))) {
				tap_note("%s: row %zu, column %.*s", name, i, STR_FMT(c[j].name));
				CHECK(false);
			}
	}
	CHECK_INT(i, yyjson_arr_size(rows));
	parquet_free(p);
	/* columns that are left out */
	CHECK_OK(parquet_open(buf_str(&b), &p, &et), &et);
	for (size_t j = 1; j < n; j++)
		parquet_leave_out(p, j);
	CHECK_OK(parquet_next(p, row, &end, &et), &et);
	CHECK(row[0].i == -20 && row[1].kind == PARQUET_NULL);
	parquet_free(p);
	buf_free(&b);
}

static void test_text_parquet__files_of_pyarrow(void)
{
	struct buf b = {0};
	yyjson_doc *doc;
	yyjson_val *name;
	size_t i, n;
	read_golden("rows.json", &b);
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	yyjson_arr_foreach(yyjson_obj_get(o, "files"), i, n, name) compare(
		yyjson_get_str(name), yyjson_obj_get(o, "columns"), yyjson_obj_get(o, "rows"));
	CHECK(n >= 7);
	yyjson_doc_free(doc);
	buf_free(&b);
}

/* Differences that wrap round, many blocks, runs: each number and text is the one beside it. */
static void test_text_parquet__differences(void)
{
	struct buf b = {0};
	struct parquet *p;
	struct parquet_value row[6];
	char text[32];
	bool end = false;
	size_t n = 0;
	read_golden("wide.parquet", &b);
	CHECK_OK(parquet_open(buf_str(&b), &p, &et), &et);
	for (;; n++) {
		CHECK_OK(parquet_next(p, row, &end, &et), &et);
		if (end)
			break;
		for (size_t c = 0; c < 4; c += 2) {
			snprintf(text, sizeof text, "%lld", (long long)row[c].i);
			CHECK(row[c].kind == PARQUET_INT && str_eq_c(row[c + 1].text, text));
		}
		CHECK(str_eq(row[4].text, row[5].text));
	}
	CHECK_INT(n, 1000);
	parquet_free(p);
	buf_free(&b);
}

/* Times of 96 bits, as older writers have them, are the same times. */
static void test_text_parquet__old_times(void)
{
	struct buf a = {0}, b = {0};
	struct parquet *p;
	struct parquet_value row[4];
	yyjson_doc *doc;
	bool end = false;
	read_golden("rows.json", &a);
	read_golden("int96.parquet", &b);
	CHECK_OK(json_parse(buf_str(&a), &doc, &et), &et);
	yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "rows");
	CHECK_OK(parquet_open(buf_str(&b), &p, &et), &et);
	for (size_t i = 0; i < yyjson_arr_size(rows); i++) {
		yyjson_val *at = yyjson_arr_get(yyjson_arr_get(rows, i), 9);
		CHECK_OK(parquet_next(p, row, &end, &et), &et);
		if (!yyjson_is_str(at)) {
			CHECK(row[1].kind == PARQUET_NULL);
			continue;
		}
		/* to the microsecond there, to the nanosecond here */
		struct str want = json_val_str(at), got = row[1].text;
		CHECK(str_starts(got, str_sub(want, 0, 19)));
		CHECK(want.n == got.n ||
			(want.n == 27 && got.n == 30 && str_starts(got, str_sub(want, 0, 26)) &&
				str_eq_c(str_sub(got, 26, 30), "000Z")));
	}
	parquet_free(p);
	yyjson_doc_free(doc);
	buf_free(&a);
	buf_free(&b);
}

/* What is not read is said, with its name. */
static void test_text_parquet__what_is_refused(void)
{
	struct buf b = {0};
	struct parquet *p;
	struct parquet_value row[4];
	bool end;
	read_golden("lists-of-lists.parquet", &b);
	CHECK_OK(parquet_open(buf_str(&b), &p, &et), &et);
	CHECK_ERR(parquet_next(p, row, &end, &et), ERR_UNSUPPORTED);
	CHECK(strstr(et.msg, "column a holds lists of lists"));
	parquet_leave_out(p, 0); /* then the others can be read */
	CHECK_OK(parquet_next(p, row, &end, &et), &et);
	CHECK(row[0].kind == PARQUET_NULL && row[1].i == 5);
	parquet_free(p);
	CHECK_ERR(parquet_open(S("PAR1PAR1"), &p, &et), ERR_CORRUPT);
	CHECK_ERR(parquet_open(str_sub(buf_str(&b), 0, b.n - 1), &p, &et), ERR_CORRUPT);
	buf_free(&b);
}

/* Each byte of a small file in turn: read or refused, nothing else. */
static void test_text_parquet__damage(void)
{
	struct buf b = {0};
	struct parquet *p;
	struct parquet_value row[32];
	size_t refused = 0;
	read_golden("small-pages-snappy.parquet", &b);
	for (size_t i = 0; i < b.n; i += 3) {
		char old = b.p[i];
		const struct parquet_column *c;
		p = NULL;
		b.p[i] = (char)(old ^ (1 << i % 8));
		enum err e = parquet_open(buf_str(&b), &p, NULL);
		bool end = e || parquet_columns(p, &c) > ARRAY_LEN(row);
		for (int r = 0; r < 100 && !end && !e; r++)
			e = parquet_next(p, row, &end, NULL);
		refused += e != OK;
		CHECK(!e || e == ERR_CORRUPT || e == ERR_UNSUPPORTED || e == ERR_TOO_LARGE ||
			e == ERR_LIMIT);
		parquet_free(p);
		b.p[i] = old;
	}
	CHECK(refused > 50);
	buf_free(&b);
}

/* ---- there and back ---- */

static enum err add(void *ctx, struct str s, struct errtext *e)
{
	struct buf *b = ctx;
	(void)e;
	buf_adds(b, s);
	return b->err;
}

enum { DIM = 5 };

static void fill(size_t i, struct parquet_value *row, struct parquet_value *list, char *text)
{
	snprintf(text, 64, "text %zu \xc3\xa4", i * i);
	for (size_t j = 0; j < DIM; j++)
		list[j] = (struct parquet_value){
			.kind = PARQUET_REAL, .d = (double)i / 4 - (double)j};
	row[0] = (struct parquet_value){.kind = PARQUET_INT, .i = (int64_t)i - 100};
	row[1] = (struct parquet_value){
		.kind = i % 7 ? PARQUET_TEXT : PARQUET_NULL, .text = str_c(text)};
	row[2] = (struct parquet_value){.kind = i % 11 ? PARQUET_BOOL : PARQUET_NULL, .i = i % 2};
	row[3] = (struct parquet_value){.kind = PARQUET_REAL, .d = 1.0 / (double)(i + 1)};
	row[4] = (struct parquet_value){.kind = i % 13 ? PARQUET_REAL : PARQUET_NULL,
		.list = true,
		.items = list,
		.n = i % 5 ? DIM : 0};
	row[5] = (struct parquet_value){.kind = PARQUET_JSON, .text = S("{\"a\":[1]}")};
}

static const struct parquet_column columns[] = {{S("id"), PARQUET_INT, false},
	{S("text"), PARQUET_TEXT, false}, {S("flag"), PARQUET_BOOL, false},
	{S("real"), PARQUET_REAL, false}, {S("vector"), PARQUET_REAL, true},
	{S("json"), PARQUET_JSON, false}};

static bool equal(const struct parquet_value *a, const struct parquet_value *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == PARQUET_NULL)
		return true;
	if (a->list != b->list || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->items[i].d != b->items[i].d)
			return false;
	return a->list || (a->i == b->i && a->d == b->d && str_eq(a->text, b->text));
}

static void there_and_back(size_t n)
{
	struct buf b = {0};
	struct parquet_writer *w;
	struct parquet *p;
	struct parquet_value row[6], list[DIM], got[6];
	const struct parquet_column *c;
	char text[64];
	bool end = false;
	CHECK_OK(parquet_writer_new(columns, 6, add, &b, &w, &et), &et);
	for (size_t i = 0; i < n; i++) {
		fill(i, row, list, text);
		CHECK_OK(parquet_write(w, row, &et), &et);
	}
	CHECK_OK(parquet_writer_finish(w, &et), &et);
	CHECK_OK(parquet_open(buf_str(&b), &p, &et), &et);
	CHECK(parquet_columns(p, &c) == 6 && parquet_rows(p) == n);
	for (size_t j = 0; j < 6; j++)
		CHECK(str_eq(c[j].name, columns[j].name) && c[j].kind == columns[j].kind &&
			c[j].list == columns[j].list);
	for (size_t i = 0; i < n; i++) {
		fill(i, row, list, text);
		CHECK_OK(parquet_next(p, got, &end, &et), &et);
		CHECK(!end);
		for (size_t j = 0; j < 6; j++)
			CHECK(equal(&row[j], &got[j]));
	}
	CHECK_OK(parquet_next(p, got, &end, &et), &et);
	CHECK(end);
	parquet_free(p);
	buf_free(&b);
}

static void test_text_parquet__there_and_back(void)
{
	struct buf b = {0};
	struct parquet_writer *w;
	struct parquet_value row[6], list[DIM];
	char text[64];
	there_and_back(0);
	there_and_back(1);
	there_and_back(1000);
	there_and_back(150000); /* many pages */
	CHECK_OK(parquet_writer_new(columns, 6, add, &b, &w, &et), &et);
	fill(1, row, list, text);
	row[0].kind = PARQUET_TEXT;
	CHECK_ERR(parquet_write(w, row, &et), ERR_INVALID);
	parquet_writer_drop(w);
	buf_free(&b);
}

TESTS(T(test_text_parquet__files_of_pyarrow), T(test_text_parquet__differences),
	T(test_text_parquet__old_times), T(test_text_parquet__what_is_refused),
	T(test_text_parquet__damage), T(test_text_parquet__there_and_back))
