#include "base/hash.h"
#include "base/id.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

enum err sha256_init(struct sha256 *h)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return ERR_NOMEM;
	}
	h->ctx = ctx;
	return OK;
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
	EVP_DigestUpdate(h->ctx, p, n);
}

void sha256_end(struct sha256 *h, uint8_t out[SHA256_BYTES])
{
	EVP_DigestFinal_ex(h->ctx, out, NULL);
	sha256_drop(h);
}

void sha256_drop(struct sha256 *h)
{
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}

void sha256_of(struct str s, uint8_t out[SHA256_BYTES])
{
	EVP_Digest(s.p ? s.p : "", s.n, out, NULL, EVP_sha256(), NULL);
}

void sha256_hex_of(struct str s, char out[SHA256_HEX + 1])
{
	uint8_t d[SHA256_BYTES];
	sha256_of(s, d);
	hex_encode(d, sizeof d, out);
}

enum err md5_init(struct md5 *h)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (!ctx)
		return ERR_NOMEM;
	if (EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return ERR_UNSUPPORTED;
	}
	h->ctx = ctx;
	return OK;
}

void md5_add(struct md5 *h, const void *p, size_t n)
{
	EVP_DigestUpdate(h->ctx, p, n);
}

void md5_end(struct md5 *h, uint8_t out[MD5_BYTES])
{
	if (out)
		EVP_DigestFinal_ex(h->ctx, out, NULL);
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex[p[i] >> 4];
		out[2 * i + 1] = hex[p[i] & 15];
	}
	out[2 * n] = 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(struct str hex, uint8_t *out, size_t n)
{
	if (hex.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int a = nibble(hex.p[2 * i]), b = nibble(hex.p[2 * i + 1]);
		if (a < 0 || b < 0)
			return false;
		out[i] = (uint8_t)(a << 4 | b);
	}
	return true;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t need = s.n / 3 * 4 + 4;
	char *to = buf_reserve(out, need);
	if (!to)
		return;
	char *from = to;
	size_t i = 0;
	for (; i + 3 <= s.n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
		for (int k = 18; k >= 0; k -= 6)
			*to++ = base64_digits[v >> k & 63];
	}
	if (i < s.n) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < s.n ? (uint32_t)p[i + 1] << 8 : 0);
		*to++ = base64_digits[v >> 18 & 63];
		*to++ = base64_digits[v >> 12 & 63];
		*to++ = i + 1 < s.n ? base64_digits[v >> 6 & 63] : '=';
		*to++ = '=';
	}
	out->n += (size_t)(to - from);
	out->p[out->n] = 0;
}

bool base64_decode(struct buf *out, struct str s)
{
	uint32_t v = 0;
	unsigned bits = 0, padding = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
			continue;
		if (c == '=') {
			padding++;
			continue;
		}
		const char *at = c ? strchr(base64_digits, c) : NULL;
		if (!at || padding)
			return false;
		v = v << 6 | (uint32_t)(at - base64_digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_putc(out, (char)(v >> bits));
		}
	}
	return padding <= 2 && bits < 6 && !out->err;
}

/* A multiply-fold hash over 16-byte steps, keyed once per process against crafted collisions. */
static uint64_t key[2];

static void make_key(void)
{
	random_bytes(key, sizeof key);
	key[0] |= 1;
	key[1] |= 1;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t hash64(struct str s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_key);
	uint64_t h = key[0] ^ s.n, a, b;
	while (s.n >= 16) {
		memcpy(&a, s.p, 8);
		memcpy(&b, s.p + 8, 8);
		h = fold(a ^ key[0] ^ h, b ^ key[1]);
		s.p += 16;
		s.n -= 16;
	}
	unsigned char tail[16] = {0};
	if (s.n)
		memcpy(tail, s.p, s.n);
	memcpy(&a, tail, 8);
	memcpy(&b, tail + 8, 8);
	h = fold(a ^ key[1] ^ h, b ^ 0x9E3779B97F4A7C15ull);
	return fold(h ^ 0xD6E8FEB86659FD93ull, key[0]);
}

/* CRC-32C (Castagnoli), reflected polynomial 0x82F63B78, by tables of 8 bytes a step. */
static uint32_t crc_table[8][256];

static void make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			crc_table[t][i] =
				crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_crc_table);
	const unsigned char *p = data;
	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		v ^= crc;
		crc = 0;
		for (int t = 0; t < 8; t++)
			crc ^= crc_table[7 - t][v >> (8 * t) & 255];
	}
	while (n--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 255];
	return ~crc;
}
