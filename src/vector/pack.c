/* Packing and unpacking of 128 numbers: value 4 * i + c is the i-th of column c, and each column is
 * a stream of bits in words of 32. */
#include "vector/pack.h"

#include <string.h>

typedef uint32_t v4 __attribute__((vector_size(16)));

static inline v4 load(const void *p)
{
	v4 v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline void store(void *p, v4 v)
{
	memcpy(p, &v, sizeof v);
}

unsigned pack_bits(const uint32_t in[PACK_N])
{
	uint32_t any = 0;
	for (size_t i = 0; i < PACK_N; i++)
		any |= in[i];
	return any ? 32 - (unsigned)__builtin_clz(any) : 0;
}

void pack128(const uint32_t in[PACK_N], unsigned bits, uint8_t *out)
{
	v4 word = {0};
	unsigned fill = 0;
	for (size_t i = 0; bits && i < PACK_N; i += 4) {
		v4 v = load(in + i);
		word |= v << fill;
		fill += bits;
		if (fill < 32)
			continue;
		store(out, word);
		out += sizeof word;
		fill -= 32;
		word = fill ? v >> (bits - fill) : (v4){0};
	}
}

/* With `bits` and `i` known when compiled, this is one or two shifts and a mask. */
static inline __attribute__((always_inline)) v4 extract(
	const uint8_t *in, unsigned bits, unsigned i)
{
	if (!bits)
		return (v4){0};
	unsigned at = i * bits / 32, shift = i * bits % 32;
	v4 v = load(in + at * sizeof(v4)) >> shift;
	if (shift + bits > 32)
		v |= load(in + (at + 1) * sizeof(v4)) << (32 - shift);
	uint32_t mask = bits == 32 ? UINT32_MAX : (UINT32_C(1) << bits) - 1;
	return v & (v4){mask, mask, mask, mask};
}

static inline __attribute__((always_inline)) void unpack_of(
	const uint8_t *in, unsigned bits, uint32_t *out)
{
#pragma GCC unroll 32
	for (unsigned i = 0; i < PACK_N / 4; i++)
		store(out + 4 * i, extract(in, bits, i));
}

static inline __attribute__((always_inline)) void ascending_of(
	const uint8_t *in, unsigned bits, uint32_t before, uint32_t *out)
{
	const v4 zero = {0};
	v4 last = {before, before, before, before};
#pragma GCC unroll 32
	for (unsigned i = 0; i < PACK_N / 4; i++) {
		v4 v = extract(in, bits, i) + 1;
		v += __builtin_shufflevector(zero, v, 0, 4, 5, 6);
		v += __builtin_shufflevector(zero, v, 0, 1, 4, 5);
		v += last;
		store(out + 4 * i, v);
		last = __builtin_shufflevector(v, v, 3, 3, 3, 3);
	}
}

/* The function above for each count of bits, known when compiled. */
#define ONE(call, n)     \
	case (n):        \
		call(n); \
		break;
#define FOUR(call, n) ONE(call, n) ONE(call, (n) + 1) ONE(call, (n) + 2) ONE(call, (n) + 3)
#define SIXTEEN(call, n) FOUR(call, n) FOUR(call, (n) + 4) FOUR(call, (n) + 8) FOUR(call, (n) + 12)

void unpack128(const uint8_t *in, unsigned bits, uint32_t out[PACK_N])
{
#define UNPACK(n) unpack_of(in, n, out)
	switch (bits) {
		SIXTEEN(UNPACK, 0)
		SIXTEEN(UNPACK, 16)
		ONE(UNPACK, 32)
	}
#undef UNPACK
}

void unpack_ascending(const uint8_t *in, unsigned bits, uint32_t before, uint32_t out[PACK_N])
{
#define UNPACK(n) ascending_of(in, n, before, out)
	switch (bits) {
		SIXTEEN(UNPACK, 0)
		SIXTEEN(UNPACK, 16)
		ONE(UNPACK, 32)
	}
#undef UNPACK
}
