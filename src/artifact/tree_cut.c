/* Where a chunk ends: content-defined by a gear hash (each byte shifts the sum of the 64 bytes
 * before it by one bit), with a normalised target: a cut is four times less likely than 1 in 1 MiB
 * before the average size and four times as likely after it, which keeps sizes close to it (Xia and
 * others, FastCDC, 2016). The bytes before the minimum are not looked at. */
#include "artifact/tree_int.h"

/* Part of the format: with other numbers nothing would be shared with what is stored already. */
static uint64_t gear[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_gear(void)
{
	uint64_t state = 0x63726f6674206765ull;
	for (int i = 0; i < 256; i++) { /* splitmix64 */
		uint64_t z = state += 0x9E3779B97F4A7C15ull;
		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
		z = (z ^ z >> 27) * 0x94D049BB133111EBull;
		gear[i] = z ^ z >> 31;
	}
}

/* The top bits have seen the most bytes. */
static const uint64_t mask_before = ~0ull << (64 - 22), mask_after = ~0ull << (64 - 18);

static size_t scan(const uint8_t *p, size_t from, size_t to, uint64_t *hash, uint64_t mask)
{
	uint64_t h = *hash;
	size_t i = from;
	for (; i + 4 <= to; i += 4) {
		h = (h << 1) + gear[p[i]];
		if (!(h & mask))
			return i + 1;
		h = (h << 1) + gear[p[i + 1]];
		if (!(h & mask))
			return i + 2;
		h = (h << 1) + gear[p[i + 2]];
		if (!(h & mask))
			return i + 3;
		h = (h << 1) + gear[p[i + 3]];
		if (!(h & mask))
			return i + 4;
	}
	for (; i < to; i++) {
		h = (h << 1) + gear[p[i]];
		if (!(h & mask))
			return i + 1;
	}
	*hash = h;
	return 0;
}

size_t tree_cut(const uint8_t *p, size_t n)
{
	pthread_once(&once, make_gear);
	if (n <= TREE_CUT_MIN)
		return n;
	uint64_t hash = 0; /* of the 64 bytes before the first place where a chunk may end */
	for (size_t i = TREE_CUT_MIN - 64; i < TREE_CUT_MIN; i++)
		hash = (hash << 1) + gear[p[i]];
	size_t end = MIN(n, (size_t)TREE_CHUNK_MAX), middle = MIN(end, (size_t)TREE_CUT_AVG);
	size_t cut = scan(p, TREE_CUT_MIN, middle, &hash, mask_before);
	if (!cut && end > middle)
		cut = scan(p, middle, end, &hash, mask_after);
	return cut ? cut : end;
}
