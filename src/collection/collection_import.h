/* Files of vectors as items of a request. */
#ifndef COLLECTION_IMPORT_H
#define COLLECTION_IMPORT_H
#include "collection/parquet_file.h"

struct vector_file;

/* By the name's end: .jsonl, .npy, .fvecs, .fbin, .parquet; "-" is JSON lines from standard input.
 * `columns` is for Parquet; NULL: as they are called. */
enum err vector_file_open(struct str path, const struct parquet_choice *columns,
	struct vector_file **out, struct errtext *et) MUST_CHECK;
void vector_file_close(struct vector_file *x);          /* accepts NULL */
uint64_t vector_file_rows(const struct vector_file *x); /* 0: not known before the end */
uint64_t vector_file_at(const struct vector_file *x);   /* rows or lines read */
/* Appends items as JSON, with commas between, until a limit is reached; *n 0 at the end. Vectors
 * without ids get first, first + 1, ... A line is passed on as it stands. */
enum err vector_file_items(struct vector_file *x, uint64_t first, size_t max_items,
	size_t max_bytes, struct buf *out, size_t *n, struct errtext *et) MUST_CHECK;

#endif
