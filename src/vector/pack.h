/* 128 small numbers in a fixed count of bits each. They lie in four columns, so that four are
 * unpacked by one instruction of any machine with vectors of 16 bytes; no others are needed. */
#ifndef VECTOR_PACK_H
#define VECTOR_PACK_H
#include <stddef.h>
#include <stdint.h>

enum { PACK_N = 128 };

unsigned pack_bits(const uint32_t in[PACK_N]); /* that the greatest needs: 0..32 */
static inline size_t pack_bytes(unsigned bits)
{
	return (size_t)bits * PACK_N / 8;
}
/* What the first n numbers occupy. */
static inline size_t pack_bytes_of(unsigned bits, unsigned n)
{
	return (size_t)((n + 3) / 4 * bits + 31) / 32 * 16;
}
/* pack_bytes(bits) bytes, anywhere in memory, are written and read. */
void pack128(const uint32_t in[PACK_N], unsigned bits, uint8_t *out);
void unpack128(const uint8_t *in, unsigned bits, uint32_t out[PACK_N]);
/* Ascending numbers from their distances: out[i] = out[i - 1] + 1 + in[i], out[-1] = before. */
void unpack_ascending(const uint8_t *in, unsigned bits, uint32_t before, uint32_t out[PACK_N]);

/* LEB128: at most 5 bytes. */
static inline uint8_t *varint_put(uint8_t *p, uint32_t v)
{
	for (; v >= 128; v >>= 7)
		*p++ = (uint8_t)(v | 128);
	*p++ = (uint8_t)v;
	return p;
}

static inline const uint8_t *varint_get(const uint8_t *p, uint32_t *v)
{
	uint32_t x = *p++;
	if (x >= 128) {
		x &= 127;
		for (unsigned shift = 7;; shift += 7) {
			uint32_t byte = *p++;
			x |= (byte & 127) << shift;
			if (byte < 128)
				break;
		}
	}
	*v = x;
	return p;
}

/* A varint that ends before `end`: NULL, none does. */
static inline const uint8_t *varint_check(const uint8_t *p, const uint8_t *end)
{
	for (int i = 0; i < 5 && p < end; i++)
		if (*p++ < 128)
			return p;
	return NULL;
}

#endif
