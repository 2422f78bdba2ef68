/* Sets of keys in chunks of 65,536, each a list or bits. */
#include "vector/bitmap.h"

#include <stdlib.h>

enum { CHUNK_WORDS = 1024, LIST_MAX = 4096 }; /* a list of so many is as large as the bits */

void bitmap_free(struct bitmap *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->chunks[i].low);
		free(b->chunks[i].bits);
	}
	free(b->chunks);
	*b = (struct bitmap){0};
}

/* The first chunk whose high half is not below; b->n: none. */
static size_t chunk_at(const struct bitmap *b, uint64_t high)
{
	size_t lo = 0, hi = b->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (b->chunks[mid].high < high)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct bitmap_chunk *chunk_for(struct bitmap *b, uint64_t high)
{
	if (b->last < b->n && b->chunks[b->last].high == high)
		return &b->chunks[b->last];
	size_t at = b->n && b->chunks[b->n - 1].high < high ? b->n : chunk_at(b, high);
	b->last = at;
	if (at < b->n && b->chunks[at].high == high)
		return &b->chunks[at];
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 8;
		struct bitmap_chunk *chunks = realloc(b->chunks, cap * sizeof *chunks);
		if (!chunks) {
			b->err = ERR_NOMEM;
			return NULL;
		}
		b->chunks = chunks;
		b->cap = cap;
	}
	memmove(&b->chunks[at + 1], &b->chunks[at], (b->n++ - at) * sizeof *b->chunks);
	b->chunks[at] = (struct bitmap_chunk){.high = high};
	return &b->chunks[at];
}

static bool to_bits(struct bitmap *b, struct bitmap_chunk *c)
{
	c->bits = calloc(CHUNK_WORDS, sizeof *c->bits);
	if (!c->bits) {
		b->err = ERR_NOMEM;
		return false;
	}
	for (uint32_t i = 0; i < c->n; i++)
		c->bits[c->low[i] / 64] |= UINT64_C(1) << c->low[i] % 64;
	free(c->low);
	c->low = NULL;
	c->cap = 0;
	return true;
}

static uint32_t low_at(const struct bitmap_chunk *c, uint16_t low)
{
	uint32_t lo = 0, hi = c->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (c->low[mid] < low)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void add_low(struct bitmap *b, struct bitmap_chunk *c, uint16_t low)
{
	uint32_t at = c->n && c->low[c->n - 1] < low ? c->n : low_at(c, low);
	if (at < c->n && c->low[at] == low)
		return;
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 8;
		uint16_t *list = realloc(c->low, cap * sizeof *list);
		if (!list) {
			b->err = ERR_NOMEM;
			return;
		}
		c->low = list;
		c->cap = cap;
	}
	memmove(&c->low[at + 1], &c->low[at], (c->n - at) * sizeof *c->low);
	c->low[at] = low;
	c->n++;
	b->count++;
}

void bitmap_add_word(struct bitmap *b, uint64_t first, uint64_t bits)
{
	struct bitmap_chunk *c = bits ? chunk_for(b, first >> 16) : NULL;
	uint16_t low = (uint16_t)first;
	if (!c)
		return;
	if (!c->bits && c->n + (uint32_t)__builtin_popcountll(bits) > LIST_MAX && !to_bits(b, c))
		return;
	if (c->bits) {
		uint64_t *w = &c->bits[low / 64];
		uint32_t more = (uint32_t)__builtin_popcountll(bits & ~*w);
		*w |= bits;
		c->n += more;
		b->count += more;
		return;
	}
	for (; bits; bits &= bits - 1)
		add_low(b, c, (uint16_t)(low + __builtin_ctzll(bits)));
}

void bitmap_add(struct bitmap *b, uint64_t key)
{
	bitmap_add_word(b, key & ~UINT64_C(63), UINT64_C(1) << key % 64);
}

bool bitmap_has(const struct bitmap *b, uint64_t key)
{
	size_t at = chunk_at(b, key >> 16);
	if (at == b->n || b->chunks[at].high != key >> 16)
		return false;
	const struct bitmap_chunk *c = &b->chunks[at];
	uint16_t low = (uint16_t)key;
	if (c->bits)
		return c->bits[low / 64] >> low % 64 & 1;
	uint32_t i = low_at(c, low);
	return i < c->n && c->low[i] == low;
}

bool bitmap_keep(void *ctx, uint64_t key)
{
	return bitmap_has(ctx, key);
}

static size_t keys_of_bits(const struct bitmap_chunk *c, uint16_t from, uint64_t *keys, size_t n)
{
	size_t got = 0;
	for (uint32_t w = from / 64; w < CHUNK_WORDS && got < n; w++) {
		uint64_t bits = c->bits[w];
		if (w == from / 64)
			bits &= UINT64_MAX << from % 64;
		for (; bits && got < n; bits &= bits - 1)
			keys[got++] = c->high << 16 | (w * 64 + (uint32_t)__builtin_ctzll(bits));
	}
	return got;
}

size_t bitmap_keys(const struct bitmap *b, uint64_t from, uint64_t *keys, size_t n)
{
	size_t got = 0;
	for (size_t at = chunk_at(b, from >> 16); at < b->n && got < n; at++) {
		const struct bitmap_chunk *c = &b->chunks[at];
		uint16_t low = c->high == from >> 16 ? (uint16_t)from : 0;
		if (c->bits) {
			got += keys_of_bits(c, low, keys + got, n - got);
			continue;
		}
		for (uint32_t i = low_at(c, low); i < c->n && got < n; i++)
			keys[got++] = c->high << 16 | c->low[i];
	}
	return got;
}

uint64_t *bitmap_words(const struct bitmap *b, uint64_t max_bits, uint64_t *n_bits)
{
	uint64_t chunks = b->n ? b->chunks[b->n - 1].high + 1 : 0;
	if (chunks > max_bits / 65536 + 1)
		return NULL;
	uint64_t *words = calloc(chunks * CHUNK_WORDS + 1, sizeof *words);
	for (size_t i = 0; words && i < b->n; i++) {
		const struct bitmap_chunk *c = &b->chunks[i];
		uint64_t *to = words + c->high * CHUNK_WORDS;
		if (c->bits)
			memcpy(to, c->bits, CHUNK_WORDS * sizeof *to);
		for (uint32_t j = 0; !c->bits && j < c->n; j++)
			to[c->low[j] / 64] |= UINT64_C(1) << c->low[j] % 64;
	}
	if (words)
		*n_bits = chunks * 65536;
	return words;
}

size_t bitmap_bytes(const struct bitmap *b)
{
	size_t n = sizeof *b + b->cap * sizeof *b->chunks;
	for (size_t i = 0; i < b->n; i++)
		n += b->chunks[i].bits ? CHUNK_WORDS * sizeof(uint64_t)
				       : b->chunks[i].cap * sizeof(uint16_t);
	return n;
}
