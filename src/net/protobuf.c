/* The wire format of protocol buffers: reader and writer. */
#include "net/protobuf.h"

enum { GROUP_START = 3, GROUP_END = 4, GROUP_DEPTH_MAX = 16, VARINT_MAX = 10 };

static bool varint(struct pb *m, uint64_t *out)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < VARINT_MAX && m->p < m->end; i++) {
		uint8_t b = *m->p++;
		if (i == VARINT_MAX - 1 && b > 1)
			break; /* beyond 64 bits */
		v |= (uint64_t)(b & 0x7F) << (7 * i);
		if (!(b & 0x80)) {
			*out = v;
			return true;
		}
	}
	m->bad = true;
	return false;
}

static bool fixed(struct pb *m, unsigned n, uint64_t *out)
{
	if ((size_t)(m->end - m->p) < n) {
		m->bad = true;
		return false;
	}
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)m->p[i] << (8 * i);
	m->p += n;
	*out = v;
	return true;
}

static bool bytes(struct pb *m, struct str *out)
{
	uint64_t n;
	if (!varint(m, &n))
		return false;
	if (n > (uint64_t)(m->end - m->p)) {
		m->bad = true;
		return false;
	}
	*out = str_mk(m->p, (size_t)n);
	m->p += n;
	return true;
}

static bool tag(struct pb *m, uint32_t *number, unsigned *wire)
{
	uint64_t t;
	if (m->bad || m->p == m->end || !varint(m, &t))
		return false;
	if (t >> 3 == 0 || t >> 32) {
		m->bad = true;
		return false;
	}
	*number = (uint32_t)(t >> 3);
	*wire = (unsigned)(t & 7);
	return true;
}

static bool content(struct pb *m, unsigned wire, struct pb_field *f)
{
	switch (wire) {
	case PB_VARINT:
		return varint(m, &f->v);
	case PB_FIXED64:
		return fixed(m, 8, &f->v);
	case PB_FIXED32:
		return fixed(m, 4, &f->v);
	case PB_BYTES:
		return bytes(m, &f->s);
	default:
		m->bad = true;
		return false;
	}
}

/* A group of an older schema: to its matching end, with all groups in it. */
static bool skip_group(struct pb *m, uint32_t number)
{
	uint32_t open[GROUP_DEPTH_MAX] = {number}, n;
	unsigned depth = 1, wire;
	struct pb_field f;
	while (depth) {
		if (!tag(m, &n, &wire)) {
			m->bad = true;
			return false;
		}
		if (wire == GROUP_START && depth < GROUP_DEPTH_MAX)
			open[depth++] = n;
		else if (wire == GROUP_END && open[depth - 1] == n)
			depth--;
		else if (!content(m, wire, &f))
			return false;
	}
	return true;
}

bool pb_next(struct pb *m, struct pb_field *f)
{
	uint32_t number;
	unsigned wire;
	while (tag(m, &number, &wire)) {
		if (wire == GROUP_START) {
			if (!skip_group(m, number))
				return false;
			continue;
		}
		f->number = number;
		f->wire = (enum pb_wire)wire;
		f->v = 0;
		f->s = (struct str){"", 0};
		return content(m, wire, f);
	}
	return false;
}

double pb_double(const struct pb_field *f)
{
	double d;
	memcpy(&d, &f->v, sizeof d);
	return d;
}

/* ---- writing ---- */

static size_t varint_to(uint8_t out[VARINT_MAX], uint64_t v)
{
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

static void put(struct buf *out, uint64_t v)
{
	uint8_t b[VARINT_MAX];
	buf_add(out, b, varint_to(b, v));
}

static void put_tag(struct buf *out, uint32_t number, enum pb_wire wire)
{
	put(out, (uint64_t)number << 3 | wire);
}

void pb_put_varint(struct buf *out, uint32_t number, uint64_t v)
{
	put_tag(out, number, PB_VARINT);
	put(out, v);
}

static void put_fixed(struct buf *out, uint64_t v, unsigned n)
{
	uint8_t b[8];
	for (unsigned i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	buf_add(out, b, n);
}

void pb_put_fixed32(struct buf *out, uint32_t number, uint32_t v)
{
	put_tag(out, number, PB_FIXED32);
	put_fixed(out, v, 4);
}

void pb_put_fixed64(struct buf *out, uint32_t number, uint64_t v)
{
	put_tag(out, number, PB_FIXED64);
	put_fixed(out, v, 8);
}

void pb_put_double(struct buf *out, uint32_t number, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	pb_put_fixed64(out, number, bits);
}

void pb_put_str(struct buf *out, uint32_t number, struct str s)
{
	put_tag(out, number, PB_BYTES);
	put(out, s.n);
	buf_adds(out, s);
}

/* One byte is kept for the length; what needs more is moved at the close. */
size_t pb_open(struct buf *out, uint32_t number)
{
	put_tag(out, number, PB_BYTES);
	buf_putc(out, 0);
	return out->n;
}

void pb_close(struct buf *out, size_t at)
{
	if (out->err)
		return;
	uint8_t length[VARINT_MAX];
	size_t n = out->n - at, k = varint_to(length, n);
	if (k > 1) {
		if (!buf_reserve(out, k - 1))
			return;
		memmove(out->p + at + k - 1, out->p + at, n);
		out->n += k - 1;
		out->p[out->n] = 0;
	}
	memcpy(out->p + at - 1, length, k);
}
