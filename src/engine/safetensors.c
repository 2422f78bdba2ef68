#include "engine/safetensors.h"

#include <stdlib.h>
#include "base/json.h"
#include "base/map.h"
#include "base/os.h"
#include "engine/file.h"

struct safetensors {
	struct os_map file;
	const unsigned char *p;
	size_t n;
	yyjson_doc *header; /* the names live here */
	struct safetensor *tensors;
	size_t n_tensors;
	struct map by_name; /* index + 1 */
};

enum { HEADER_MAX = 100 << 20 };

static const struct {
	const char *name;
	unsigned bytes;
} dtypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
	{"I8", 1}, {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1}, {"BOOL", 1}, {"F8_E4M3", 1},
	{"F8_E5M2", 1}};

static unsigned dtype_bytes(struct str s)
{
	for (size_t i = 0; i < ARRAY_LEN(dtypes); i++)
		if (str_eq_c(s, dtypes[i].name))
			return dtypes[i].bytes;
	return 0;
}

/* A pickle of protocol 2 and above starts with PROTO (0x80) and its number; of the older protocols
 * with a printable opcode, and every pickle ends with STOP ('.'). A PyTorch checkpoint from before
 * the zip format starts with a pickled magic number, which is protocol 2. */
enum err refuse_pickle(const void *mem, size_t n, const char *name, struct errtext *et)
{
	const unsigned char *p = mem;
	if (n >= 4 && !memcmp(p, "PK\3\4", 4))
		return err_set(et, ERR_UNSUPPORTED,
			"%s: a zip archive, as PyTorch writes checkpoints: it holds a pickle, "
			"which "
			"can run code when it is read. Use the model's safetensors or GGUF file",
			name);
	bool framed = n >= 2 && p[0] == 0x80 && p[1] <= 5;
	bool old = n >= 2 && memchr("(]}cdl", p[0], 6) && p[n - 1] == '.';
	if (framed || old)
		return err_set(et, ERR_UNSUPPORTED,
			"%s: a Python pickle, which can run code when it is read. Use the model's "
			"safetensors or GGUF file",
			name);
	return OK;
}

/* ---- the header ------------------------------------------------------------------------------ */

static enum err read_shape(
	yyjson_val *shape, struct safetensor *t, const char *name, struct errtext *et)
{
	size_t n = yyjson_arr_size(shape);
	if (!yyjson_is_arr(shape) || n > SAFETENSORS_DIMS_MAX)
		return err_set(et, ERR_CORRUPT,
			"%s: tensor %.*s: shape is no list of at most %d numbers", name,
			STR_FMT(t->name), SAFETENSORS_DIMS_MAX);
	t->n_dims = (unsigned)n;
	uint64_t bytes = dtype_bytes(t->dtype);
	for (size_t i = 0; i < n; i++) {
		yyjson_val *d = yyjson_arr_get(shape, i);
		if (!yyjson_is_uint(d))
			return err_set(et, ERR_CORRUPT, "%s: tensor %.*s: a dimension is no count",
				name, STR_FMT(t->name));
		t->dim[i] = yyjson_get_uint(d);
		if (__builtin_mul_overflow(bytes, t->dim[i], &bytes))
			return err_set(et, ERR_CORRUPT,
				"%s: tensor %.*s: the product of its dimensions overflows", name,
				STR_FMT(t->name));
	}
	t->bytes = (size_t)bytes;
	return OK;
}

static enum err read_tensor(struct safetensors *s, size_t data0, yyjson_val *key, yyjson_val *v,
	const char *name, struct errtext *et)
{
	struct safetensor *t = &s->tensors[s->n_tensors];
	t->name = json_val_str(key);
	t->dtype = json_str(v, "dtype");
	yyjson_val *off = yyjson_obj_get(v, "data_offsets");
	if (!yyjson_is_obj(v) || !t->name.n)
		return err_set(
			et, ERR_CORRUPT, "%s: an entry of the header is no named tensor", name);
	if (!dtype_bytes(t->dtype))
		return err_set(et, ERR_CORRUPT, "%s: tensor %.*s: unknown type '%.*s'", name,
			STR_FMT(t->name), STR_FMT(t->dtype));
	enum err e = read_shape(yyjson_obj_get(v, "shape"), t, name, et);
	if (e)
		return e;
	yyjson_val *from = yyjson_arr_get(off, 0), *to = yyjson_arr_get(off, 1);
	if (yyjson_arr_size(off) != 2 || !yyjson_is_uint(from) || !yyjson_is_uint(to))
		return err_set(et, ERR_CORRUPT, "%s: tensor %.*s: data_offsets are no two counts",
			name, STR_FMT(t->name));
	uint64_t a = yyjson_get_uint(from), b = yyjson_get_uint(to);
	if (a > b || b > s->n - data0)
		return err_set(et, ERR_CORRUPT,
			"%s: tensor %.*s: bytes %llu to %llu do not lie in the file's %zu", name,
			STR_FMT(t->name), (unsigned long long)a, (unsigned long long)b,
			s->n - data0);
	if (b - a != t->bytes)
		return err_set(et, ERR_CORRUPT,
			"%s: tensor %.*s: its shape needs %zu bytes, its offsets give %llu", name,
			STR_FMT(t->name), t->bytes, (unsigned long long)(b - a));
	t->data = s->p + data0 + a;
	if (map_get(&s->by_name, t->name))
		return err_set(
			et, ERR_CORRUPT, "%s: tensor %.*s appears twice", name, STR_FMT(t->name));
	if (!map_put(&s->by_name, t->name, (void *)(uintptr_t)(s->n_tensors + 1)))
		return err_set(et, ERR_NOMEM, "%s: no memory for its tensors", name);
	s->n_tensors++;
	return OK;
}

static int by_data(const void *a, const void *b)
{
	const struct safetensor *x = *(const struct safetensor *const *)a,
				*y = *(const struct safetensor *const *)b;
	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

/* The tensors follow one another and fill the file. */
static enum err check_cover(
	const struct safetensors *s, size_t data0, const char *name, struct errtext *et)
{
	const struct safetensor **order = malloc((s->n_tensors + 1) * sizeof *order);
	if (!order)
		return err_set(et, ERR_NOMEM, "%s: no memory for its tensors", name);
	for (size_t i = 0; i < s->n_tensors; i++)
		order[i] = &s->tensors[i];
	qsort(order, s->n_tensors, sizeof *order, by_data);
	const unsigned char *at = s->p + data0;
	enum err e = OK;
	for (size_t i = 0; i < s->n_tensors && !e; i++) {
		const unsigned char *p = order[i]->data;
		if (p != at)
			e = err_set(et, ERR_CORRUPT, "%s: tensor %.*s %s", name,
				STR_FMT(order[i]->name),
				p < at ? "overlaps another" : "follows a hole that no tensor owns");
		at = p + order[i]->bytes;
	}
	free(order);
	if (!e && at != s->p + s->n)
		e = err_set(et, ERR_CORRUPT, "%s: %zu bytes follow the last tensor", name,
			(size_t)(s->p + s->n - at));
	return e;
}

static enum err read_all(struct safetensors *s, const char *name, struct errtext *et)
{
	uint64_t header;
	if (s->n < 8)
		return err_set(et, ERR_CORRUPT, "%s: the file ends inside the header", name);
	enum err e = refuse_pickle(s->p, s->n, name, et);
	if (e)
		return e;
	memcpy(&header, s->p, 8);
	if (header > s->n - 8 || header > HEADER_MAX)
		return err_set(et, ERR_CORRUPT,
			"%s: not a safetensors file, or cut off: a header of %llu bytes is "
			"announced; the file has %zu, the limit is %d",
			name, (unsigned long long)header, s->n, HEADER_MAX);
	e = json_parse(str_mk(s->p + 8, (size_t)header), &s->header, et);
	if (e)
		return err_wrap(et, e == ERR_INVALID ? ERR_CORRUPT : e, "%s: header", name);
	yyjson_val *root = yyjson_doc_get_root(s->header), *key, *val;
	if (!yyjson_is_obj(root))
		return err_set(et, ERR_CORRUPT, "%s: the header is no JSON object", name);
	s->tensors = calloc(yyjson_obj_size(root) + 1, sizeof *s->tensors);
	if (!s->tensors)
		return err_set(et, ERR_NOMEM, "%s: no memory for its tensors", name);
	size_t i, n, data0 = 8 + (size_t)header;
	yyjson_obj_foreach(root, i, n, key, val)
	{
		if (str_eq_c(json_val_str(key), "__metadata__"))
			continue;
		e = read_tensor(s, data0, key, val, name, et);
		if (e)
			return e;
	}
	return check_cover(s, data0, name, et);
}

enum err safetensors_parse(
	const void *p, size_t n, const char *name, struct safetensors **out, struct errtext *et)
{
	struct safetensors *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "%s: no memory to read it", name);
	s->p = p;
	s->n = n;
	enum err e = read_all(s, name, et);
	if (e)
		safetensors_free(s);
	else
		*out = s;
	return e;
}

enum err safetensors_open(const char *path, const struct file_check *check,
	struct safetensors **out, struct errtext *et)
{
	struct os_map map;
	enum err e = file_map(path, check, &map, et);
	if (e)
		return e;
	e = safetensors_parse(map.p, map.n, path, out, et);
	if (e)
		os_unmap(&map);
	else
		(*out)->file = map;
	return e;
}

void safetensors_free(struct safetensors *s)
{
	if (!s)
		return;
	yyjson_doc_free(s->header);
	free(s->tensors);
	map_free(&s->by_name);
	os_unmap(&s->file);
	free(s);
}

size_t safetensors_n(const struct safetensors *s)
{
	return s->n_tensors;
}

const struct safetensor *safetensors_at(const struct safetensors *s, size_t i)
{
	return &s->tensors[i];
}

const struct safetensor *safetensors_find(const struct safetensors *s, struct str name)
{
	uintptr_t i = (uintptr_t)map_get(&s->by_name, name);
	return i ? &s->tensors[i - 1] : NULL;
}

struct str safetensors_bytes(const struct safetensors *s)
{
	return str_mk(s->p, s->n);
}
