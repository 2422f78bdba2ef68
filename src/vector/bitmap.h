/* A set of 64-bit keys, compressed: by 65,536 keys, either their low halves in order or a bit for
 *each, whichever is smaller. What a filter makes of a collection. One thread at a time changes one;
 *any may read what nobody changes.
 *
 *	struct bitmap b = {0};
 *	bitmap_add(&b, 7);
 *	if (b.err) ...          // ERR_NOMEM; the set is then not what it should be
 *	bitmap_free(&b); */
#ifndef VECTOR_BITMAP_H
#define VECTOR_BITMAP_H
#include "base/str.h"

struct bitmap {
	struct bitmap_chunk {
		uint64_t high; /* key >> 16 */
		uint32_t n, cap;
		uint16_t *low;  /* ascending; NULL: bits */
		uint64_t *bits; /* 1,024 words */
	} * chunks;             /* ascending */
	size_t n, cap, last;    /* last: the chunk that was changed last */
	uint64_t count;
	enum err err;
};

void bitmap_free(struct bitmap *b); /* back to {0} */
void bitmap_add(struct bitmap *b, uint64_t key);
/* All of a 64-bit word: key first + i for each bit i. `first` is a multiple of 64. */
void bitmap_add_word(struct bitmap *b, uint64_t first, uint64_t bits);
bool bitmap_has(const struct bitmap *b, uint64_t key);
/* As vector_keep_fn: ctx is the bitmap. */
bool bitmap_keep(void *ctx, uint64_t key);
/* Up to n keys that are not before `from`, ascending; returns how many. */
size_t bitmap_keys(const struct bitmap *b, uint64_t from, uint64_t *keys, size_t n);
/* A bit for each key below *n_bits, malloc'ed (one word at least); NULL: no memory, or a key of
 * max_bits or more is in the set. */
uint64_t *bitmap_words(const struct bitmap *b, uint64_t max_bits, uint64_t *n_bits);
size_t bitmap_bytes(const struct bitmap *b);

#endif
