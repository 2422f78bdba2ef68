/* Hashes: MD5 where a protocol has it, SHA-256 for content addresses and verification (OpenSSL's,
 * with the CPU's SHA unit), a fast seeded 64-bit hash for tables in memory (not for anything
 * stored), CRC-32C for files. */
#ifndef BASE_HASH_H
#define BASE_HASH_H
#include "base/str.h"

enum { SHA256_BYTES = 32, SHA256_HEX = 64 };

struct sha256 {
	void *ctx;
};

enum err sha256_init(struct sha256 *h); /* ERR_NOMEM */
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, uint8_t out[SHA256_BYTES]); /* frees */
void sha256_drop(struct sha256 *h);                           /* frees without a result */
void sha256_of(struct str s, uint8_t out[SHA256_BYTES]);
void sha256_hex_of(struct str s, char out[SHA256_HEX + 1]);

/* Of clients that compare with it; it proves nothing against an attacker. */
enum { MD5_BYTES = 16 };
struct md5 {
	void *ctx;
};
enum err md5_init(struct md5 *h); /* ERR_UNSUPPORTED where the machine's policy forbids it */
void md5_add(struct md5 *h, const void *p, size_t n);
void md5_end(struct md5 *h, uint8_t out[MD5_BYTES]); /* frees; out may be NULL */

void hex_encode(const uint8_t *p, size_t n, char *out); /* 2n + NUL, lower case */
bool hex_decode(struct str hex, uint8_t *out, size_t n);
void base64_encode(struct buf *out, struct str s); /* standard alphabet, padded */
bool base64_decode(struct buf *out, struct str s); /* white space allowed, padding optional */

uint64_t hash64(struct str s);
uint32_t crc32c(uint32_t crc, const void *p, size_t n); /* start with 0 */

#endif
