/* Codecs of Parquet's pages: snappy (its format description is google/snappy's) and blocks of LZ4
 * (lz4_Block_format.md), gzip by zlib, zstd and brotli by their libraries. */
#include "text/parquet_int.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

bool codec_known(int64_t codec)
{
	return codec == UNCOMPRESSED || codec == SNAPPY || codec == GZIP || codec == BROTLI ||
	       codec == ZSTD || codec == LZ4_RAW;
}

/* ---- snappy ---- */

struct unpacking {
	const uint8_t *in, *in_end;
	uint8_t *out;
	size_t n, at;
};

static bool length(struct unpacking *s, size_t bytes, size_t *n)
{
	*n = 0;
	if ((size_t)(s->in_end - s->in) < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++)
		*n |= (size_t)*s->in++ << 8 * i;
	return true;
}

static bool literal(struct unpacking *s, uint8_t tag)
{
	size_t n = tag >> 2;
	if (n >= 60 && !length(s, n - 59, &n))
		return false;
	n++;
	if (n > (size_t)(s->in_end - s->in) || n > s->n - s->at)
		return false;
	memcpy(s->out + s->at, s->in, n);
	s->in += n;
	s->at += n;
	return true;
}

/* The copy may reach into what it writes: byte by byte. */
static bool copy(struct unpacking *s, uint8_t tag)
{
	size_t n, back;
	if ((tag & 3) == 1) {
		n = 4 + (tag >> 2 & 7);
		if (!length(s, 1, &back))
			return false;
		back |= (size_t)(tag >> 5) << 8;
	} else {
		n = 1 + (tag >> 2);
		if (!length(s, (tag & 3) == 2 ? 2 : 4, &back))
			return false;
	}
	if (!back || back > s->at || n > s->n - s->at)
		return false;
	for (size_t i = 0; i < n; i++, s->at++)
		s->out[s->at] = s->out[s->at - back];
	return true;
}

static bool unsnappy(struct str in, char *to, size_t n)
{
	struct unpacking s = {.in = (const uint8_t *)in.p, .out = (uint8_t *)to, .n = n};
	uint64_t want = 0;
	s.in_end = s.in + in.n;
	for (unsigned shift = 0;; shift += 7) {
		if (s.in == s.in_end || shift > 28)
			return false;
		uint8_t b = *s.in++;
		want |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	if (want != n)
		return false;
	while (s.in < s.in_end) {
		uint8_t tag = *s.in++;
		if (!(tag & 3 ? copy(&s, tag) : literal(&s, tag)))
			return false;
	}
	return s.at == n;
}

/* ---- LZ4 ---- */

/* 15 in four bits: bytes of 255 and one that is less follow. */
static bool lz4_length(struct unpacking *s, size_t *n)
{
	uint8_t b;
	if (*n < 15)
		return true;
	do {
		if (s->in == s->in_end)
			return false;
		b = *s->in++;
		*n += b;
	} while (b == 255);
	return true;
}

/* A token, what is written as it is, then a copy of at least four bytes; the last has no copy. */
static bool unlz4(struct str in, char *to, size_t n)
{
	struct unpacking s = {.in = (const uint8_t *)in.p, .out = (uint8_t *)to, .n = n};
	s.in_end = s.in + in.n;
	while (s.in < s.in_end) {
		uint8_t token = *s.in++;
		size_t plain = token >> 4, again = token & 15, back;
		if (!lz4_length(&s, &plain) || plain > (size_t)(s.in_end - s.in) ||
			plain > s.n - s.at)
			return false;
		if (plain)
			memcpy(s.out + s.at, s.in, plain);
		s.in += plain;
		s.at += plain;
		if (s.in == s.in_end)
			break;
		if (!length(&s, 2, &back) || !lz4_length(&s, &again) || !back || back > s.at ||
			again + 4 > s.n - s.at)
			return false;
		for (size_t i = 0; i < again + 4; i++, s.at++)
			s.out[s.at] = s.out[s.at - back];
	}
	return s.at == n;
}

/* ---- the others ---- */

static bool unbrotli(struct str in, char *to, size_t n)
{
	size_t got = n;
	return BrotliDecoderDecompress(in.n, (const uint8_t *)in.p, &got, (uint8_t *)to) ==
		       BROTLI_DECODER_RESULT_SUCCESS &&
	       got == n;
}

static bool ungzip(struct str in, char *to, size_t n)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p,
		.avail_in = (uInt)in.n,
		.next_out = (Bytef *)to,
		.avail_out = (uInt)n};
	if (in.n > UINT32_MAX || n > UINT32_MAX || inflateInit2(&z, 15 + 32) != Z_OK)
		return false;
	bool good = inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_out;
	inflateEnd(&z);
	return good;
}

bool codec_unpack(int64_t codec, struct str in, char *to, size_t n)
{
	switch (codec) {
	case UNCOMPRESSED:
		if (in.n != n)
			return false;
		if (n)
			memcpy(to, in.p, n);
		return true;
	case SNAPPY:
		return unsnappy(in, to, n);
	case GZIP:
		return ungzip(in, to, n);
	case BROTLI:
		return unbrotli(in, to, n);
	case LZ4_RAW:
		return unlz4(in, to, n);
	case ZSTD:
		return ZSTD_decompress(to, n, in.p, in.n) == n;
	default:
		return false;
	}
}
