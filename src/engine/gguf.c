/* Reading GGUF. One cursor walks the header; every count is compared with the bytes that are left
 * before anything is allocated for it, so memory stays proportional to the file. */
#include "engine/gguf.h"

#include <stdlib.h>
#include "base/map.h"
#include "base/os.h"
#include "engine/file.h"

struct value {
	struct str key;
	enum gguf_type type;
	const unsigned char *raw; /* scalars */
	struct str str;
	struct gguf_array array;
	struct str *owned; /* array.strs */
};

struct gguf {
	struct os_map file;
	const unsigned char *p;
	size_t n;
	struct value *values;
	struct gguf_tensor *tensors;
	size_t n_values, n_tensors;
	struct map value_of, tensor_of; /* index + 1 */
};

static const unsigned char type_bytes[GGUF_TYPES] = {[GGUF_U8] = 1,
	[GGUF_I8] = 1,
	[GGUF_U16] = 2,
	[GGUF_I16] = 2,
	[GGUF_U32] = 4,
	[GGUF_I32] = 4,
	[GGUF_F32] = 4,
	[GGUF_BOOL] = 1,
	[GGUF_U64] = 8,
	[GGUF_I64] = 8,
	[GGUF_F64] = 8};

/* Tensor types that exist in the format and that we do not read, for the error. */
static const struct {
	unsigned type;
	const char *name;
} other_types[] = {{9, "Q8_1"}, {10, "Q2_K"}, {11, "Q3_K"}, {15, "Q8_K"}, {16, "IQ2_XXS"},
	{17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
	{22, "IQ2_S"}, {23, "IQ4_XS"}, {24, "I8"}, {25, "I16"}, {26, "I32"}, {27, "I64"},
	{28, "F64"}, {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"}, {39, "MXFP4"}};

struct cursor {
	const unsigned char *p;
	size_t at, n;
	const char *name; /* of the file */
	struct errtext *et;
};

static size_t left(const struct cursor *c)
{
	return c->n - c->at;
}

static enum err truncated(struct cursor *c, const char *where)
{
	return err_set(c->et, ERR_CORRUPT, "%s: the file ends inside %s (at byte %zu of %zu)",
		c->name, where, c->at, c->n);
}

static enum err take(struct cursor *c, void *out, size_t n, const char *where)
{
	if (left(c) < n)
		return truncated(c, where);
	memcpy(out, c->p + c->at, n);
	c->at += n;
	return OK;
}

static enum err take_str(struct cursor *c, size_t max, struct str *out, const char *where)
{
	uint64_t n = 0;
	enum err e = take(c, &n, 8, where);
	if (e)
		return e;
	if (n > left(c))
		return err_set(c->et, ERR_CORRUPT,
			"%s: %s is said to have %llu bytes; %zu are left in the file", c->name,
			where, (unsigned long long)n, left(c));
	if (max && n > max)
		return err_set(c->et, ERR_CORRUPT, "%s: %s has %llu bytes; the limit is %zu",
			c->name, where, (unsigned long long)n, max);
	*out = str_mk(c->p + c->at, (size_t)n);
	c->at += (size_t)n;
	return OK;
}

/* Names from the file stand in errors: only printable UTF-8 gets there. */
static bool name_ok(struct str s)
{
	if (!s.n || !utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

/* ---- metadata -------------------------------------------------------------------------------- */

static enum err check_bools(struct cursor *c, const unsigned char *p, size_t n, struct str key)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] > 1)
			return err_set(c->et, ERR_CORRUPT, "%s: %.*s: a boolean with the value %u",
				c->name, STR_FMT(key), p[i]);
	return OK;
}

static enum err take_array(struct cursor *c, struct value *v)
{
	uint32_t type;
	uint64_t n;
	enum err e = take(c, &type, 4, "an array's type");
	if (!e)
		e = take(c, &n, 8, "an array's length");
	if (e)
		return e;
	if (type == GGUF_ARRAY)
		return err_set(c->et, ERR_UNSUPPORTED, "%s: %.*s: an array of arrays", c->name,
			STR_FMT(v->key));
	if (type >= GGUF_TYPES)
		return err_set(c->et, ERR_CORRUPT, "%s: %.*s: unknown value type %u", c->name,
			STR_FMT(v->key), type);
	size_t least = type == GGUF_STRING ? 8 : type_bytes[type];
	if (n > left(c) / least)
		return err_set(c->et, ERR_CORRUPT,
			"%s: %.*s is said to have %llu elements; the file has room for %zu",
			c->name, STR_FMT(v->key), (unsigned long long)n, left(c) / least);
	v->array = (struct gguf_array){.type = (enum gguf_type)type, .n = (size_t)n};
	if (type != GGUF_STRING) {
		v->array.raw = c->p + c->at;
		c->at += (size_t)n * least;
		return type == GGUF_BOOL ? check_bools(c, v->array.raw, v->array.n, v->key) : OK;
	}
	v->owned = malloc((n ? (size_t)n : 1) * sizeof *v->owned);
	if (!v->owned)
		return err_set(c->et, ERR_NOMEM, "%s: no memory for %llu strings", c->name,
			(unsigned long long)n);
	for (size_t i = 0; i < n && !e; i++)
		e = take_str(c, 0, &v->owned[i], "a string of an array");
	v->array.strs = v->owned;
	return e;
}

static enum err take_value(struct cursor *c, struct value *v)
{
	uint32_t type;
	enum err e = take_str(c, 65535, &v->key, "a metadata key");
	if (e)
		return e;
	if (!name_ok(v->key))
		return err_set(c->et, ERR_CORRUPT,
			"%s: a metadata key is empty or no printable text (at byte %zu)", c->name,
			c->at);
	e = take(c, &type, 4, "a metadata type");
	if (e)
		return e;
	if (type >= GGUF_TYPES)
		return err_set(c->et, ERR_CORRUPT, "%s: %.*s: unknown value type %u", c->name,
			STR_FMT(v->key), type);
	v->type = (enum gguf_type)type;
	if (v->type == GGUF_STRING)
		return take_str(c, 0, &v->str, "a metadata string");
	if (v->type == GGUF_ARRAY)
		return take_array(c, v);
	if (left(c) < type_bytes[type])
		return truncated(c, "a metadata value");
	v->raw = c->p + c->at;
	c->at += type_bytes[type];
	return v->type == GGUF_BOOL ? check_bools(c, v->raw, 1, v->key) : OK;
}

static enum err remember(
	struct cursor *c, struct map *m, struct str name, size_t index, const char *what)
{
	if (map_get(m, name))
		return err_set(c->et, ERR_CORRUPT, "%s: the %s %.*s appears twice", c->name, what,
			STR_FMT(name));
	if (!map_put(m, name, (void *)(uintptr_t)(index + 1)))
		return err_set(c->et, ERR_NOMEM, "%s: no memory for its %ss", c->name, what);
	return OK;
}

static enum err take_values(struct cursor *c, struct gguf *g, uint64_t n)
{
	enum { LEAST = 8 + 1 + 4 + 1 }; /* the shortest key and value */
	if (n > left(c) / LEAST)
		return err_set(c->et, ERR_CORRUPT,
			"%s: %llu metadata values are announced; the file has room for %zu",
			c->name, (unsigned long long)n, left(c) / LEAST);
	g->values = calloc(n ? (size_t)n : 1, sizeof *g->values);
	if (!g->values)
		return err_set(c->et, ERR_NOMEM, "%s: no memory for its metadata", c->name);
	for (; g->n_values < n;) {
		struct value *v = &g->values[g->n_values++];
		enum err e = take_value(c, v);
		if (!e)
			e = remember(c, &g->value_of, v->key, g->n_values - 1, "key");
		if (e)
			return e;
	}
	return OK;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static enum err bad_type(struct cursor *c, struct str name, uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(other_types); i++)
		if (other_types[i].type == type)
			return err_set(c->et, ERR_UNSUPPORTED,
				"%s: tensor %.*s is %s, which is not supported; use a file with "
				"Q4_K, Q8_0 or F16 weights",
				c->name, STR_FMT(name), other_types[i].name);
	return err_set(c->et, ERR_UNSUPPORTED, "%s: tensor %.*s has the unknown type %u", c->name,
		STR_FMT(name), type);
}

/* Bytes of the tensor's data, from its shape. */
static enum err measure(struct cursor *c, struct gguf_tensor *t)
{
	uint64_t rows = 1, values;
	for (unsigned i = 1; i < GGUF_DIMS_MAX; i++)
		if (__builtin_mul_overflow(rows, t->dim[i], &rows))
			goto absurd;
	if (__builtin_mul_overflow(rows, t->dim[0], &values) || values > INT64_MAX / 8)
		goto absurd;
	for (unsigned i = 0; i < t->n_dims; i++)
		if (!t->dim[i])
			return err_set(c->et, ERR_CORRUPT, "%s: tensor %.*s has a dimension of 0",
				c->name, STR_FMT(t->name));
	size_t row = kern_row_bytes(t->type, (size_t)t->dim[0]);
	if (!row)
		return err_set(c->et, ERR_CORRUPT,
			"%s: tensor %.*s: rows of %llu values are no whole blocks of %s", c->name,
			STR_FMT(t->name), (unsigned long long)t->dim[0],
			kern_type_info(t->type)->name);
	if (__builtin_mul_overflow(row, rows, &t->bytes))
		goto absurd;
	return OK;
absurd:
	return err_set(c->et, ERR_CORRUPT,
		"%s: tensor %.*s: the product of its dimensions overflows", c->name,
		STR_FMT(t->name));
}

/* The offset goes to bytes of data that begin at data0 only after all infos are read: t->data holds
 * it until then. */
static enum err take_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t *offset)
{
	uint32_t n_dims, type;
	enum err e = take_str(c, GGUF_NAME_MAX, &t->name, "a tensor's name");
	if (e)
		return e;
	if (!name_ok(t->name))
		return err_set(c->et, ERR_CORRUPT,
			"%s: a tensor's name is empty or no printable text (at byte %zu)", c->name,
			c->at);
	e = take(c, &n_dims, 4, "a tensor's shape");
	if (e)
		return e;
	if (n_dims < 1 || n_dims > GGUF_DIMS_MAX)
		return err_set(c->et, ERR_CORRUPT, "%s: tensor %.*s has %u dimensions, not 1 to 4",
			c->name, STR_FMT(t->name), n_dims);
	t->n_dims = n_dims;
	for (unsigned i = 0; i < GGUF_DIMS_MAX; i++)
		t->dim[i] = 1;
	e = take(c, t->dim, 8 * (size_t)n_dims, "a tensor's shape");
	if (!e)
		e = take(c, &type, 4, "a tensor's type");
	if (!e)
		e = take(c, offset, 8, "a tensor's offset");
	if (e)
		return e;
	const struct kern_type_info *info = kern_type_info(type);
	if (!info)
		return bad_type(c, t->name, type);
	t->type = info->type;
	return measure(c, t);
}

static int by_data(const void *a, const void *b)
{
	const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a,
				 *y = *(const struct gguf_tensor *const *)b;
	return (x->data > y->data) - (x->data < y->data);
}

static enum err check_overlaps(struct cursor *c, struct gguf *g)
{
	const struct gguf_tensor **order = malloc((g->n_tensors + 1) * sizeof *order);
	if (!order)
		return err_set(c->et, ERR_NOMEM, "%s: no memory for its tensors", c->name);
	for (size_t i = 0; i < g->n_tensors; i++)
		order[i] = &g->tensors[i];
	qsort(order, g->n_tensors, sizeof *order, by_data);
	enum err e = OK;
	for (size_t i = 1; i < g->n_tensors && !e; i++) {
		const struct gguf_tensor *a = order[i - 1], *b = order[i];
		if ((const unsigned char *)a->data + a->bytes > (const unsigned char *)b->data)
			e = err_set(c->et, ERR_CORRUPT, "%s: tensors %.*s and %.*s overlap",
				c->name, STR_FMT(a->name), STR_FMT(b->name));
	}
	free(order);
	return e;
}

static enum err place(struct cursor *c, struct gguf *g, const uint64_t *offsets, uint64_t align)
{
	size_t data0 = c->at;
	uint64_t pad = (align - data0 % align) % align;
	if (!g->n_tensors)
		return OK;
	if (pad > left(c))
		return truncated(c, "the padding before the tensors");
	data0 += (size_t)pad;
	size_t room = c->n - data0;
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct gguf_tensor *t = &g->tensors[i];
		uint64_t end;
		if (offsets[i] % align)
			return err_set(c->et, ERR_CORRUPT,
				"%s: tensor %.*s starts at %llu, no multiple of the alignment %llu",
				c->name, STR_FMT(t->name), (unsigned long long)offsets[i],
				(unsigned long long)align);
		if (__builtin_add_overflow(offsets[i], t->bytes, &end) || end > room)
			return err_set(c->et, ERR_CORRUPT,
				"%s: tensor %.*s (%zu bytes from %llu on) lies beyond the end of "
				"the file, which has %zu bytes of tensors",
				c->name, STR_FMT(t->name), t->bytes, (unsigned long long)offsets[i],
				room);
		t->data = c->p + data0 + offsets[i];
	}
	return check_overlaps(c, g);
}

static enum err take_tensors(struct cursor *c, struct gguf *g, uint64_t n)
{
	enum { LEAST = 8 + 1 + 4 + 8 + 4 + 8 };
	if (n > left(c) / LEAST)
		return err_set(c->et, ERR_CORRUPT,
			"%s: %llu tensors are announced; the file has room for %zu", c->name,
			(unsigned long long)n, left(c) / LEAST);
	int64_t align = gguf_i64(g, "general.alignment", 32);
	if (map_get(&g->value_of, S("general.alignment")) &&
		gguf_i64(g, "general.alignment", -1) < 0)
		align = 0;
	if (align < 8 || align > 1 << 20 || (align & (align - 1)))
		return err_set(c->et, ERR_CORRUPT,
			"%s: general.alignment is no power of two from 8 to 1,048,576", c->name);
	g->tensors = calloc(n ? (size_t)n : 1, sizeof *g->tensors);
	uint64_t *offsets = calloc(n ? (size_t)n : 1, sizeof *offsets);
	enum err e = g->tensors && offsets
			     ? OK
			     : err_set(c->et, ERR_NOMEM, "%s: no memory for its tensors", c->name);
	for (; !e && g->n_tensors < n; g->n_tensors++) {
		struct gguf_tensor *t = &g->tensors[g->n_tensors];
		e = take_tensor(c, t, &offsets[g->n_tensors]);
		if (!e)
			e = remember(c, &g->tensor_of, t->name, g->n_tensors, "tensor");
	}
	if (!e)
		e = place(c, g, offsets, (uint64_t)align);
	free(offsets);
	return e;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum err read_all(struct cursor *c, struct gguf *g)
{
	char magic[4];
	uint32_t version;
	uint64_t n_tensors, n_values;
	enum err e = take(c, magic, 4, "the header");
	if (e)
		return e;
	if (memcmp(magic, "GGUF", 4))
		return err_set(c->et, ERR_CORRUPT, "%s: not a GGUF file", c->name);
	e = take(c, &version, 4, "the header");
	if (e)
		return e;
	if (version == 0x02000000 || version == 0x03000000)
		return err_set(c->et, ERR_UNSUPPORTED, "%s: a big-endian GGUF file", c->name);
	if (version != 2 && version != 3)
		return err_set(c->et, ERR_UNSUPPORTED,
			"%s: GGUF version %u; versions 2 and 3 are supported", c->name, version);
	e = take(c, &n_tensors, 8, "the header");
	if (!e)
		e = take(c, &n_values, 8, "the header");
	if (!e)
		e = take_values(c, g, n_values);
	return e ? e : take_tensors(c, g, n_tensors);
}

enum err gguf_parse(
	const void *p, size_t n, const char *name, struct gguf **out, struct errtext *et)
{
	struct gguf *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(et, ERR_NOMEM, "%s: no memory to read it", name);
	g->p = p;
	g->n = n;
	struct cursor c = {.p = p, .n = n, .name = name, .et = et};
	enum err e = read_all(&c, g);
	if (e)
		gguf_free(g);
	else
		*out = g;
	return e;
}

enum err gguf_open(
	const char *path, const struct file_check *check, struct gguf **out, struct errtext *et)
{
	struct os_map map;
	enum err e = file_map(path, check, &map, et);
	if (e)
		return e;
	e = gguf_parse(map.p, map.n, path, out, et);
	if (e)
		os_unmap(&map);
	else
		(*out)->file = map;
	return e;
}

void gguf_free(struct gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_values; i++)
		free(g->values[i].owned);
	free(g->values);
	free(g->tensors);
	map_free(&g->value_of);
	map_free(&g->tensor_of);
	os_unmap(&g->file);
	free(g);
}

/* ---- accessors ------------------------------------------------------------------------------- */

static const struct value *find(const struct gguf *g, const char *key)
{
	uintptr_t i = (uintptr_t)map_get(&g->value_of, str_c(key));
	return i ? &g->values[i - 1] : NULL;
}

/* An integer as int64; false for another type or a value above INT64_MAX. */
static bool as_i64(enum gguf_type type, const void *p, int64_t *out)
{
	union {
		uint8_t u8;
		int8_t i8;
		uint16_t u16;
		int16_t i16;
		uint32_t u32;
		int32_t i32;
		uint64_t u64;
	} v;
	switch (type) {
	case GGUF_U8:
	case GGUF_BOOL:
		*out = *(const uint8_t *)p;
		return true;
	case GGUF_I8:
		*out = *(const int8_t *)p;
		return true;
	case GGUF_U16:
		memcpy(&v, p, 2);
		*out = v.u16;
		return true;
	case GGUF_I16:
		memcpy(&v, p, 2);
		*out = v.i16;
		return true;
	case GGUF_U32:
		memcpy(&v, p, 4);
		*out = v.u32;
		return true;
	case GGUF_I32:
		memcpy(&v, p, 4);
		*out = v.i32;
		return true;
	case GGUF_U64:
		memcpy(&v, p, 8);
		*out = (int64_t)v.u64;
		return v.u64 <= INT64_MAX;
	case GGUF_I64:
		memcpy(out, p, 8);
		return true;
	default:
		return false;
	}
}

static bool as_f64(enum gguf_type type, const void *p, double *out)
{
	int64_t i;
	float f;
	switch (type) {
	case GGUF_F32:
		memcpy(&f, p, 4);
		*out = (double)f;
		return true;
	case GGUF_F64:
		memcpy(out, p, 8);
		return true;
	default:
		if (type == GGUF_BOOL || !as_i64(type, p, &i))
			return false;
		*out = (double)i;
		return true;
	}
}

struct str gguf_str(const struct gguf *g, const char *key)
{
	const struct value *v = find(g, key);
	return v && v->type == GGUF_STRING ? v->str : (struct str){0};
}

int64_t gguf_i64(const struct gguf *g, const char *key, int64_t otherwise)
{
	const struct value *v = find(g, key);
	int64_t i;
	return v && v->raw && v->type != GGUF_BOOL && as_i64(v->type, v->raw, &i) ? i : otherwise;
}

double gguf_f64(const struct gguf *g, const char *key, double otherwise)
{
	const struct value *v = find(g, key);
	double d;
	return v && v->raw && as_f64(v->type, v->raw, &d) ? d : otherwise;
}

bool gguf_bool(const struct gguf *g, const char *key, bool otherwise)
{
	const struct value *v = find(g, key);
	return v && v->type == GGUF_BOOL ? *v->raw == 1 : otherwise;
}

bool gguf_array(const struct gguf *g, const char *key, struct gguf_array *out)
{
	const struct value *v = find(g, key);
	if (!v || v->type != GGUF_ARRAY)
		return false;
	*out = v->array;
	return true;
}

static const void *element(const struct gguf_array *a, size_t i)
{
	return (const unsigned char *)a->raw + i * type_bytes[a->type];
}

int64_t gguf_at_i64(const struct gguf_array *a, size_t i)
{
	int64_t v;
	return a->raw && i < a->n && as_i64(a->type, element(a, i), &v) ? v : 0;
}

double gguf_at_f64(const struct gguf_array *a, size_t i)
{
	double v;
	return a->raw && i < a->n && as_f64(a->type, element(a, i), &v) ? v : 0;
}

size_t gguf_n_keys(const struct gguf *g)
{
	return g->n_values;
}

struct str gguf_key(const struct gguf *g, size_t i, enum gguf_type *type)
{
	*type = g->values[i].type;
	return g->values[i].key;
}

size_t gguf_n_tensors(const struct gguf *g)
{
	return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, size_t i)
{
	return &g->tensors[i];
}

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
	uintptr_t i = (uintptr_t)map_get(&g->tensor_of, str_c(name));
	return i ? &g->tensors[i - 1] : NULL;
}

struct str gguf_bytes(const struct gguf *g)
{
	return str_mk(g->p, g->n);
}
