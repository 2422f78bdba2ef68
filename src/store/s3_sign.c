/* Signature version 4: the canonical request, its hash, and four HMACs (AWS: "Authenticating
 * requests, Authorization header"). */
#include "store/s3_int.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static void hmac(const void *key, size_t n, struct str data, uint8_t out[SHA256_BYTES])
{
	unsigned len = SHA256_BYTES;
	HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)data.p, data.n, out, &len);
}

static void canonical_request(const struct s3_signing *s, struct buf *signed_names, struct buf *out)
{
	buf_addf(out, "%s\n%.*s\n%.*s\n", s->method, STR_FMT(s->path), STR_FMT(s->query));
	for (size_t i = 0; i < s->n_headers; i++) {
		buf_addf(out, "%.*s:%.*s\n", STR_FMT(s->headers[i].name),
			STR_FMT(str_trim(s->headers[i].value)));
		buf_addf(signed_names, "%s%.*s", i ? ";" : "", STR_FMT(s->headers[i].name));
	}
	buf_addf(out, "\n%s\n%s", buf_c(signed_names), s->payload);
}

static void signing_key(const struct s3_signing *s, uint8_t k[SHA256_BYTES])
{
	struct buf first = {0};
	buf_addf(&first, "AWS4%s", s->url->secret);
	hmac(first.p, first.n, str_mk(s->date, 8), k);
	hmac(k, SHA256_BYTES, str_c(s->url->region), k);
	hmac(k, SHA256_BYTES, S("s3"), k);
	hmac(k, SHA256_BYTES, S("aws4_request"), k);
	if (first.p)
		explicit_bzero(first.p, first.n);
	buf_free(&first);
}

void s3_sign(const struct s3_signing *s, struct buf *out)
{
	struct buf names = {0}, request = {0}, text = {0};
	char hex[SHA256_HEX + 1];
	uint8_t key[SHA256_BYTES], signature[SHA256_BYTES];
	canonical_request(s, &names, &request);
	sha256_hex_of(buf_str(&request), hex);
	buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/s3/aws4_request\n%s", s->date, s->date,
		s->url->region, hex);
	signing_key(s, key);
	hmac(key, sizeof key, buf_str(&text), signature);
	hex_encode(signature, sizeof signature, hex);
	buf_addf(out,
		"AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request,SignedHeaders=%s,"
		"Signature=%s",
		s->url->key, s->date, s->url->region, buf_c(&names), hex);
	explicit_bzero(key, sizeof key);
	if (names.err || request.err || text.err)
		out->err = ERR_NOMEM;
	buf_free(&names);
	buf_free(&request);
	buf_free(&text);
}
