/* Parquet files: tables of columns, read row by row and written by row groups.
 *
 *	struct parquet *p;
 *	e = parquet_open(bytes, &p, et);                   // a mapped file; borrowed until the end
 *	const struct parquet_column *c;
 *	size_t n = parquet_columns(p, &c);
 *	struct parquet_value row[n];
 *	while (!(e = parquet_next(p, row, &end, et)) && !end)
 *		use(row[0].text);                          // values last until the next call
 *	parquet_free(p);
 *
 * A column is a leaf of the schema: a value, or a list of values, in each row; members of groups
 * are named "a.b". Read are the encodings plain and dictionary in pages of both versions, without
 * compression or with snappy, gzip or zstd; a column of lists in lists, of another encoding or
 * another codec is ERR_UNSUPPORTED by its name, unless it is left out. Memory: one page of each
 *column and its dictionary.
 *
 * Everything in a file comes from outside: ERR_CORRUPT says what does not fit. */
#ifndef TEXT_PARQUET_H
#define TEXT_PARQUET_H
#include "base/str.h"

enum {
	PARQUET_COLUMNS_MAX = 10000,
	PARQUET_PAGE_MAX = 256 << 20,
	PARQUET_PAGE_VALUES = 1 << 24,
	PARQUET_LIST_MAX = 1 << 20
};

enum parquet_kind {
	PARQUET_NULL,
	PARQUET_BOOL,
	PARQUET_INT,  /* i */
	PARQUET_UINT, /* i, as a uint64_t */
	PARQUET_REAL, /* d */
	PARQUET_TEXT, /* text; dates and times are written out, as RFC 3339 has them */
	PARQUET_JSON, /* text */
	PARQUET_BYTES /* text */
};

struct parquet_column {
	struct str name;
	enum parquet_kind kind;
	bool list;
};

struct parquet_value {
	enum parquet_kind kind; /* of a list: of its elements; PARQUET_NULL: none is there */
	bool list;
	int64_t i;
	double d;
	struct str text;
	const struct parquet_value *items;
	size_t n;
};

struct parquet;
enum err parquet_open(struct str bytes, struct parquet **out, struct errtext *et) MUST_CHECK;
void parquet_free(struct parquet *p); /* accepts NULL */
size_t parquet_columns(const struct parquet *p, const struct parquet_column **out);
uint64_t parquet_rows(const struct parquet *p);
/* Its values are not looked at, and absent. */
void parquet_leave_out(struct parquet *p, size_t column);
enum err parquet_next(
	struct parquet *p, struct parquet_value *row, bool *end, struct errtext *et) MUST_CHECK;

/* ---- writing ---- */

struct parquet_writer;
typedef enum err (*parquet_put_fn)(void *ctx, struct str bytes, struct errtext *et);
/* Columns that are PARQUET_INT, REAL, BOOL, TEXT or JSON, and lists of REAL, which are written as
 * f32; any value may be absent. zstd, pages and row groups of bounded size. */
enum err parquet_writer_new(const struct parquet_column *columns, size_t n, parquet_put_fn put,
	void *ctx, struct parquet_writer **out, struct errtext *et) MUST_CHECK;
/* A value of another kind than its column is ERR_INVALID. */
enum err parquet_write(
	struct parquet_writer *w, const struct parquet_value *row, struct errtext *et) MUST_CHECK;
/* Frees w, whatever comes. */
enum err parquet_writer_finish(struct parquet_writer *w, struct errtext *et) MUST_CHECK;
void parquet_writer_drop(struct parquet_writer *w); /* accepts NULL */

#endif
