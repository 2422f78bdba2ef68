/* Thrift's compact protocol, as far as Parquet's footers and page heads need it. */
#include "text/parquet_int.h"

enum { DEPTH_MAX = 32 };

static uint8_t byte(struct thrift *t)
{
	if (t->bad || t->at >= t->in.n) {
		t->bad = true;
		return 0;
	}
	return (uint8_t)t->in.p[t->at++];
}

static uint64_t varint(struct thrift *t)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = byte(t);
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return t->bad ? 0 : v;
	}
	t->bad = true;
	return 0;
}

int64_t thrift_int(struct thrift *t)
{
	uint64_t v = varint(t);
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

struct str thrift_binary(struct thrift *t)
{
	uint64_t n = varint(t);
	if (t->bad || n > t->in.n - t->at) {
		t->bad = true;
		return S("");
	}
	struct str s = str_mk(t->in.p + t->at, (size_t)n);
	t->at += (size_t)n;
	return s;
}

bool thrift_field(struct thrift *t, int *id, enum thrift_type *type)
{
	uint8_t head = byte(t);
	if (t->bad || !head)
		return false;
	*type = (enum thrift_type)(head & 15);
	int64_t next = head >> 4 ? *id + (head >> 4) : thrift_int(t);
	if (next <= 0 || next > 32767)
		t->bad = true;
	*id = (int)next;
	return !t->bad;
}

/* Of elements; each takes a byte at least, so that no list is longer than what is left. */
static size_t list_head(struct thrift *t, enum thrift_type *of)
{
	uint8_t head = byte(t);
	uint64_t n = head >> 4 == 15 ? varint(t) : head >> 4;
	*of = (enum thrift_type)(head & 15);
	if (t->bad || n > t->in.n - t->at) {
		t->bad = true;
		return 0;
	}
	return (size_t)n;
}

size_t thrift_list(struct thrift *t, enum thrift_type of)
{
	enum thrift_type is;
	size_t n = list_head(t, &is);
	if (n && is != of)
		t->bad = true;
	return t->bad ? 0 : n;
}

static void skip_struct(struct thrift *t)
{
	int id = 0;
	enum thrift_type type;
	while (thrift_field(t, &id, &type))
		thrift_skip(t, type);
}

static void skip_elements(struct thrift *t, enum thrift_type of, size_t n)
{
	for (size_t i = 0; i < n && !t->bad; i++)
		if (of == T_TRUE || of == T_FALSE)
			(void)byte(t);
		else
			thrift_skip(t, of);
}

static void skip_map(struct thrift *t)
{
	uint64_t n = varint(t);
	if (!n)
		return;
	uint8_t types = byte(t);
	if (n > t->in.n - t->at)
		t->bad = true;
	for (uint64_t i = 0; i < n && !t->bad; i++) {
		skip_elements(t, (enum thrift_type)(types >> 4), 1);
		skip_elements(t, (enum thrift_type)(types & 15), 1);
	}
}

void thrift_skip(struct thrift *t, enum thrift_type type)
{
	enum thrift_type of;
	if (t->bad || t->depth >= DEPTH_MAX) {
		t->bad = true;
		return;
	}
	t->depth++;
	switch (type) {
	case T_TRUE:
	case T_FALSE:
		break;
	case T_BYTE:
		(void)byte(t);
		break;
	case T_I16:
	case T_I32:
	case T_I64:
		(void)varint(t);
		break;
	case T_DOUBLE:
		if (t->in.n - t->at < 8)
			t->bad = true;
		else
			t->at += 8;
		break;
	case T_BINARY:
		(void)thrift_binary(t);
		break;
	case T_LIST:
	case T_SET: {
		size_t n = list_head(t, &of);
		skip_elements(t, of, n);
		break;
	}
	case T_MAP:
		skip_map(t);
		break;
	case T_STRUCT:
		skip_struct(t);
		break;
	default:
		t->bad = true;
	}
	t->depth--;
}

/* ---- writing ---- */

void thrift_put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_putc(out, (char)(v | 0x80));
	buf_putc(out, (char)v);
}

static void put_zigzag(struct buf *out, int64_t v)
{
	thrift_put_varint(out, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

void thrift_put_field(struct buf *out, int *last, int id, enum thrift_type type)
{
	if (id > *last && id - *last < 16) {
		buf_putc(out, (char)((id - *last) << 4 | (int)type));
	} else {
		buf_putc(out, (char)type);
		put_zigzag(out, id);
	}
	*last = id;
}

void thrift_put_i32(struct buf *out, int *last, int id, int64_t v)
{
	thrift_put_field(out, last, id, T_I32);
	put_zigzag(out, v);
}

void thrift_put_i64(struct buf *out, int *last, int id, int64_t v)
{
	thrift_put_field(out, last, id, T_I64);
	put_zigzag(out, v);
}

void thrift_put_binary(struct buf *out, int *last, int id, struct str s)
{
	thrift_put_field(out, last, id, T_BINARY);
	thrift_put_varint(out, s.n);
	buf_adds(out, s);
}

void thrift_put_list(struct buf *out, int *last, int id, enum thrift_type of, size_t n)
{
	thrift_put_field(out, last, id, T_LIST);
	if (n < 15) {
		buf_putc(out, (char)(n << 4 | of));
	} else {
		buf_putc(out, (char)(0xf0 | of));
		thrift_put_varint(out, n);
	}
}
