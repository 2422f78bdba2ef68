/* Parquet files as items of a request, and items as Parquet files. */
#ifndef COLLECTION_PARQUET_FILE_H
#define COLLECTION_PARQUET_FILE_H
#include "base/json.h"

/* Which columns are what; .p NULL: found by their names (id, vector, vector_NAME, text). */
struct parquet_choice {
	struct str id, text;
	const struct str *vectors; /* COLUMN, or SPACE=COLUMN */
	size_t n_vectors;
	const struct str *without; /* columns that are left out */
	size_t n_without;
};

struct parquet_file;
/* ERR_INVALID names a column that was asked for and is not there. */
enum err parquet_file_open(const char *path, const struct parquet_choice *choice,
	struct parquet_file **out, struct errtext *et) MUST_CHECK;
void parquet_file_close(struct parquet_file *x); /* accepts NULL */
uint64_t parquet_file_rows(const struct parquet_file *x);
/* An item as JSON; rows without an id column are numbered. */
enum err parquet_file_item(struct parquet_file *x, uint64_t number, struct buf *out, bool *end,
	struct errtext *et) MUST_CHECK;

#endif
