/* The encodings of Parquet that write values by their differences, by a shared beginning, or byte
 *by byte apart (the format's Encodings.md). All become plain values, which pages are read from.
 *
 *	DELTA_BINARY_PACKED       a head: numbers of a block, miniblocks of a block, values in all,
 *	                          the first value; each block: the least difference, the bits of
 *each miniblock, then the miniblocks: differences less the least one DELTA_LENGTH_BYTE_ARRAY
 *lengths so written, then all bytes DELTA_BYTE_ARRAY          lengths of what is the same as in the
 *value before, so written; then what follows, as DELTA_LENGTH_BYTE_ARRAY BYTE_STREAM_SPLIT the
 *first byte of each value, then the second of each, ... */
#include "text/parquet_int.h"

#include <stdlib.h>

enum { MINIBLOCKS_MAX = 512, BLOCK_MAX = 1 << 20 };

/* ---- numbers ---- */

static bool varint64(struct str *in, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (!in->n)
			return false;
		uint8_t b = (uint8_t)in->p[0];
		*in = str_sub(*in, 1, in->n);
		if (shift < 64)
			*out |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

static bool zigzag(struct str *in, uint64_t *out)
{
	uint64_t v;
	if (!varint64(in, &v))
		return false;
	*out = v >> 1 ^ (0 - (v & 1));
	return true;
}

/* `width` bits from a bit on; what is behind the end reads as zero. */
static uint64_t bits_from(struct str s, size_t bit, unsigned width)
{
	uint64_t low = 0, high = 0;
	size_t byte = bit / 8;
	unsigned shift = bit % 8;
	if (byte < s.n)
		memcpy(&low, s.p + byte, MIN((size_t)8, s.n - byte));
	if (byte + 8 < s.n)
		high = (uint8_t)s.p[byte + 8];
	uint64_t v = low >> shift | (shift ? high << (64 - shift) : 0);
	return width == 64 ? v : v & ((1ull << width) - 1);
}

struct deltas {
	uint64_t block, miniblocks, total, value;
};

static bool read_head(struct str *in, size_t n, struct deltas *d)
{
	return varint64(in, &d->block) && varint64(in, &d->miniblocks) && varint64(in, &d->total) &&
	       zigzag(in, &d->value) && d->block && d->block <= BLOCK_MAX && d->miniblocks &&
	       d->miniblocks <= MINIBLOCKS_MAX && d->block % d->miniblocks == 0 &&
	       d->block / d->miniblocks % 8 == 0 && d->total == n;
}

/* n numbers, which wrap round as they do in the writer; *in: what stands behind them. */
static bool numbers(struct str *in, size_t n, uint64_t *out)
{
	struct deltas d;
	size_t at = 0, each;
	if (!read_head(in, n, &d))
		return false;
	each = (size_t)(d.block / d.miniblocks);
	if (n)
		out[at++] = d.value;
	while (at < n) {
		uint64_t least;
		if (!zigzag(in, &least) || in->n < d.miniblocks)
			return false;
		struct str widths = str_sub(*in, 0, (size_t)d.miniblocks);
		*in = str_sub(*in, (size_t)d.miniblocks, in->n);
		for (size_t m = 0; m < d.miniblocks && at < n; m++) {
			unsigned width = (uint8_t)widths.p[m];
			size_t bytes = each / 8 * width, count = MIN(each, n - at);
			/* the last miniblock may end with its values */
			if (width > 64 || in->n < (count * width + 7) / 8)
				return false;
			for (size_t i = 0; i < count; i++, at++)
				out[at] = out[at - 1] + least + bits_from(*in, i * width, width);
			*in = str_sub(*in, MIN(bytes, in->n), in->n);
		}
	}
	return true;
}

/* ---- values ---- */

static bool plain_numbers(
	const struct leaf *l, struct str in, size_t n, uint64_t *v, struct buf *out)
{
	size_t width = l->type == INT32 ? 4 : 8;
	if ((l->type != INT32 && l->type != INT64) || !numbers(&in, n, v))
		return false;
	for (size_t i = 0; i < n; i++) /* little-endian: the low bytes first */
		buf_add(out, &v[i], width);
	return true;
}

static void put_value(const struct leaf *l, struct str v, struct buf *out)
{
	uint32_t n = (uint32_t)v.n;
	if (l->type == BYTE_ARRAY)
		buf_add(out, &n, sizeof n);
	buf_add(out, v.p, v.n);
}

static bool byte_arrays(const struct leaf *l, struct str in, size_t n, uint64_t *v, struct buf *out)
{
	if (l->type != BYTE_ARRAY || !numbers(&in, n, v))
		return false;
	for (size_t i = 0; i < n && !out->err; i++) {
		if (v[i] > in.n)
			return false;
		put_value(l, str_sub(in, 0, (size_t)v[i]), out);
		in = str_sub(in, (size_t)v[i], in.n);
	}
	return true;
}

/* v[2n]: the lengths of what is shared, then of what follows. */
static bool shared_beginnings(
	const struct leaf *l, struct str in, size_t n, uint64_t *v, struct buf *out)
{
	size_t before = 0, before_n = 0; /* the value before: where it is in out */
	struct buf one = {.max = PARQUET_PAGE_MAX};
	bool good = (l->type == BYTE_ARRAY || l->type == FIXED) && numbers(&in, n, v) &&
		    numbers(&in, n, v + n);
	for (size_t i = 0; i < n && good && !out->err; i++) {
		uint64_t shared = v[i], rest = v[n + i];
		good = shared <= before_n && rest <= in.n &&
		       (l->type != FIXED || shared + rest == (uint64_t)l->width);
		if (!good)
			break;
		buf_clear(&one); /* adding moves the bytes that it is made of */
		buf_add(&one, out->p + before, (size_t)shared);
		buf_add(&one, in.p, (size_t)rest);
		if (one.err)
			out->err = one.err;
		in = str_sub(in, (size_t)rest, in.n);
		before_n = one.n;
		before = out->n + (l->type == BYTE_ARRAY ? sizeof(uint32_t) : 0);
		put_value(l, buf_str(&one), out);
	}
	buf_free(&one);
	return good;
}

static bool streams(const struct leaf *l, struct str in, size_t n, struct buf *out)
{
	static const size_t sizes[] = {0, 4, 8, 0, 4, 8};
	size_t width = l->type == FIXED        ? (size_t)l->width
		       : l->type == BYTE_ARRAY ? 0
					       : sizes[l->type];
	if (!width || n > SIZE_MAX / width || in.n != n * width)
		return false;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < width; k++)
			buf_putc(out, in.p[k * n + i]);
	return true;
}

bool delta_known(int64_t encoding)
{
	return encoding == DELTA_BINARY_PACKED || encoding == DELTA_LENGTH_BYTE_ARRAY ||
	       encoding == DELTA_BYTE_ARRAY || encoding == BYTE_STREAM_SPLIT;
}

enum err delta_unpack(const struct leaf *l, int64_t encoding, struct str in, size_t n,
	struct buf *out, struct errtext *et)
{
	uint64_t *v = malloc((2 * n + 1) * sizeof *v);
	bool good = false;
	buf_clear(out);
	out->max = PARQUET_PAGE_MAX;
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a page of a Parquet file");
	switch (encoding) {
	case DELTA_BINARY_PACKED:
		good = plain_numbers(l, in, n, v, out);
		break;
	case DELTA_LENGTH_BYTE_ARRAY:
		good = byte_arrays(l, in, n, v, out);
		break;
	case DELTA_BYTE_ARRAY:
		good = shared_beginnings(l, in, n, v, out);
		break;
	default:
		good = streams(l, in, n, out);
	}
	free(v);
	if (out->err == ERR_TOO_LARGE)
		return err_set(et, ERR_TOO_LARGE,
			"the column %.*s has a page of more than %d bytes", STR_FMT(l->column.name),
			PARQUET_PAGE_MAX);
	if (out->err)
		return err_set(et, ERR_NOMEM, "no memory for a page of a Parquet file");
	return good ? OK
		    : err_set(et, ERR_CORRUPT,
			      "the Parquet file is damaged: the column %.*s: a page's values "
			      "cannot "
			      "be read",
			      STR_FMT(l->column.name));
}
