/* Secrets that clients hold: what they look like.
 *
 *	croft_ + 43 digits of base 62 (256 random bits) + 6 (CRC-32C of what stands before)
 *
 * The first 14 characters are the prefix by which people recognise a key. The checksum tells a
 * mistyped or cut key from an unknown one without any look-up, and lets secret scanners be sure. */
#include "access/access_int.h"

#include <stdlib.h>

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Base 62 of a big-endian number, n digits, the most significant first. */
static void base62(uint8_t *number, size_t bytes, char *out, size_t n)
{
	while (n-- > 0) {
		unsigned rest = 0;
		for (size_t i = 0; i < bytes; i++) {
			unsigned v = rest << 8 | number[i];
			number[i] = (uint8_t)(v / 62);
			rest = v % 62;
		}
		out[n] = digits[rest];
	}
}

static void checksum(struct str s, char out[KEY_CHECK])
{
	uint32_t crc = crc32c(0, s.p, s.n);
	uint8_t b[4] = {
		(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
	base62(b, sizeof b, out, KEY_CHECK);
}

void key_make(char out[KEY_TEXT + 1])
{
	uint8_t random[32];
	random_bytes(random, sizeof random);
	memcpy(out, "croft_", 6);
	base62(random, sizeof random, out + 6, KEY_RANDOM);
	checksum(str_mk(out, 6 + KEY_RANDOM), out + 6 + KEY_RANDOM);
	out[KEY_TEXT] = 0;
}

bool key_well_formed(struct str s)
{
	char check[KEY_CHECK];
	if (s.n != KEY_TEXT || !str_starts(s, S("croft_")))
		return false;
	checksum(str_sub(s, 0, KEY_TEXT - KEY_CHECK), check);
	return memcmp(check, s.p + KEY_TEXT - KEY_CHECK, KEY_CHECK) == 0;
}
