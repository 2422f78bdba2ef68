/* Files with vectors, read in pieces and written as the items of a request:
 *
 *	.jsonl   an item on each line
 *	.npy     NumPy's array of numbers (f2, f4, f8), little-endian, C order, rows are vectors
 *	.fvecs   for each row its dimension (i32), then its numbers (f32)
 *	.fbin    rows and dimension (u32 each), then the numbers (f32)
 *	.parquet see parquet_file.c
 *
 * Everything here comes from outside: sizes are checked before they are believed. */
#include "collection/collection_import.h"
#include "collection/collection.h"

#include <stdio.h>
#include <stdlib.h>

enum kind { JSONL, NPY, FVECS, FBIN, PARQUET };

struct vector_file {
	FILE *f;
	struct parquet_file *parquet;
	enum kind kind;
	char *path;
	uint64_t row, rows; /* rows 0: until the end */
	uint32_t dim;
	unsigned width; /* bytes of a number */
	char *line;
	size_t line_cap;
	float *v;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a file of vectors");
}

static enum err damaged(const struct vector_file *x, const char *why, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%s: %s", x->path, why);
}

static bool take(struct vector_file *x, void *out, size_t n)
{
	return fread(out, 1, n, x->f) == n;
}

/* ---- heads ---- */

/* 'descr': '<f4', 'fortran_order': False, 'shape': (1000, 384), */
static enum err npy_dict(struct vector_file *x, const char *dict, struct errtext *et)
{
	const char *type = strstr(dict, "'descr':"), *shape = strstr(dict, "'shape':");
	unsigned long long rows = 0, dim = 0;
	char letter = 0;
	if (!type || !shape || sscanf(type + 8, " '<%c%u'", &letter, &x->width) != 2 ||
		letter != 'f' || (x->width != 2 && x->width != 4 && x->width != 8))
		return damaged(x, "an array of '<f2', '<f4' or '<f8' is expected", et);
	if (strstr(dict, "'fortran_order': True"))
		return damaged(
			x, "it is in Fortran's order: save it with np.ascontiguousarray", et);
	if (sscanf(shape + 8, " (%llu, %llu)", &rows, &dim) != 2 || !dim ||
		dim > COLLECTION_DIM_MAX || !rows)
		return damaged(x, "an array with rows of 1 to 4,096 numbers is expected", et);
	x->rows = rows;
	x->dim = (uint32_t)dim;
	return OK;
}

static enum err npy_head(struct vector_file *x, struct errtext *et)
{
	enum { DICT_MAX = 4096 };
	unsigned char head[8];
	char dict[DICT_MAX + 1];
	uint32_t n = 0;
	if (!take(x, head, 8) || memcmp(head, "\x93NUMPY", 6))
		return damaged(x, "it is no .npy file", et);
	if (!take(x, &n, head[6] == 1 ? 2 : 4) || n > DICT_MAX || !take(x, dict, n))
		return damaged(x, "its header is cut off or too long", et);
	dict[n] = 0;
	return npy_dict(x, dict, et);
}

static enum err fbin_head(struct vector_file *x, struct errtext *et)
{
	uint32_t head[2];
	if (!take(x, head, sizeof head) || !head[0] || !head[1] || head[1] > COLLECTION_DIM_MAX)
		return damaged(x, "its head (rows, dimension) is not valid", et);
	x->rows = head[0];
	x->dim = head[1];
	x->width = 4;
	return OK;
}

static enum err fvecs_row_head(struct vector_file *x, bool *end, struct errtext *et)
{
	uint32_t dim;
	size_t n = fread(&dim, 1, sizeof dim, x->f);
	*end = !n && feof(x->f);
	if (*end)
		return OK;
	if (n != sizeof dim || !dim || dim > COLLECTION_DIM_MAX)
		return damaged(x, "the dimension of a row is not valid", et);
	x->dim = dim;
	x->width = 4;
	return OK;
}

static bool kind_of(struct str path, enum kind *out)
{
	static const struct {
		const char *end;
		enum kind kind;
	} ends[] = {{".jsonl", JSONL}, {".ndjson", JSONL}, {".npy", NPY}, {".fvecs", FVECS},
		{".fbin", FBIN}, {".parquet", PARQUET}};
	*out = JSONL;
	if (str_eq_c(path, "-"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends_nocase(path, str_c(ends[i].end))) {
			*out = ends[i].kind;
			return true;
		}
	return false;
}

enum err vector_file_open(struct str path, const struct parquet_choice *columns,
	struct vector_file **out, struct errtext *et)
{
	static const struct parquet_choice as_called;
	struct vector_file *x = calloc(1, sizeof *x);
	enum err e = OK;
	if (!x || !(x->path = str_dup(path)) ||
		!(x->v = malloc(COLLECTION_DIM_MAX * sizeof(double)))) {
		vector_file_close(x);
		return no_memory(et);
	}
	if (!kind_of(path, &x->kind))
		e = err_set(et, ERR_UNSUPPORTED,
			"%s: .jsonl, .npy, .fvecs, .fbin and .parquet can be imported", x->path);
	else if (x->kind == PARQUET)
		e = parquet_file_open(x->path, columns ? columns : &as_called, &x->parquet, et);
	else if (!(x->f = str_eq_c(path, "-") ? stdin : fopen(x->path, "rb")))
		e = err_errno(et, "%s", x->path);
	if (!e && x->kind == NPY)
		e = npy_head(x, et);
	if (!e && x->kind == FBIN)
		e = fbin_head(x, et);
	if (!e && x->kind == PARQUET)
		x->rows = parquet_file_rows(x->parquet);
	if (e)
		vector_file_close(x);
	else
		*out = x;
	return e;
}

void vector_file_close(struct vector_file *x)
{
	if (!x)
		return;
	if (x->f && x->f != stdin)
		fclose(x->f);
	parquet_file_close(x->parquet);
	free(x->path);
	free(x->line);
	free(x->v);
	free(x);
}

uint64_t vector_file_rows(const struct vector_file *x)
{
	return x->rows;
}

/* ---- rows ---- */

static float half(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, part = h & 1023;
	float f;
	uint32_t bits;
	if (exponent == 31) {
		bits = sign | 0x7f800000 | part << 13;
	} else if (exponent) {
		bits = sign | (exponent + 112) << 23 | part << 13;
	} else {
		f = (float)part * 0x1p-24f;
		return sign ? -f : f;
	}
	memcpy(&f, &bits, sizeof f);
	return f;
}

/* In place: the numbers lie at the beginning of x->v in the file's width. */
static void to_floats(struct vector_file *x)
{
	unsigned char *raw = (unsigned char *)x->v;
	double d;
	uint16_t h;
	if (x->width == 2)
		for (size_t i = x->dim; i-- > 0;) {
			memcpy(&h, raw + 2 * i, sizeof h);
			x->v[i] = half(h);
		}
	if (x->width == 8)
		for (size_t i = 0; i < x->dim; i++) {
			memcpy(&d, raw + 8 * i, sizeof d);
			x->v[i] = (float)d;
		}
}

static enum err next_vector(struct vector_file *x, bool *end, struct errtext *et)
{
	*end = x->kind != FVECS && x->row == x->rows;
	enum err e = x->kind == FVECS ? fvecs_row_head(x, end, et) : OK;
	if (e || *end)
		return e;
	if (!take(x, x->v, (size_t)x->dim * x->width))
		return damaged(x, "it ends within a vector", et);
	to_floats(x);
	x->row++;
	return OK;
}

static enum err next_line(struct vector_file *x, struct str *line, bool *end, struct errtext *et)
{
	do {
		ssize_t n = getline(&x->line, &x->line_cap, x->f);
		*end = n < 0;
		if (*end)
			return ferror(x->f) ? err_errno(et, "%s", x->path) : OK;
		*line = str_trim(str_mk(x->line, (size_t)n));
		x->row++;
	} while (!line->n);
	return OK;
}

static void write_vector(struct vector_file *x, uint64_t first, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_key(&w, "id");
	jw_u64(&w, first + x->row - 1);
	jw_key(&w, "vector");
	jw_arr(&w);
	for (size_t i = 0; i < x->dim; i++)
		jw_f32(&w, x->v[i]);
	jw_end(&w);
	jw_end(&w);
}

static enum err next_item(struct vector_file *x, uint64_t first, bool comma, struct buf *out,
	bool *end, struct errtext *et)
{
	size_t began = out->n;
	if (comma)
		buf_putc(out, ',');
	enum err e = parquet_file_item(x->parquet, first + x->row, out, end, et);
	if (!e && *end)
		out->n = began; /* without the comma */
	x->row += !e && !*end;
	return e;
}

enum err vector_file_items(struct vector_file *x, uint64_t first, size_t max_items,
	size_t max_bytes, struct buf *out, size_t *n, struct errtext *et)
{
	size_t count = 0, began = out->n;
	enum err e = OK;
	while (!e && count < max_items && out->n - began < max_bytes) {
		struct str line = {0};
		bool end = false;
		if (x->kind == PARQUET) {
			e = next_item(x, first, count > 0, out, &end, et);
			if (e || end)
				break;
			count++;
			continue;
		}
		e = x->kind == JSONL ? next_line(x, &line, &end, et) : next_vector(x, &end, et);
		if (e || end)
			break;
		if (count++)
			buf_putc(out, ',');
		if (x->kind == JSONL)
			buf_adds(out, line);
		else
			write_vector(x, first, out);
		e = out->err ? no_memory(et) : OK;
	}
	*n = count;
	return e;
}

uint64_t vector_file_at(const struct vector_file *x)
{
	return x->row;
}
