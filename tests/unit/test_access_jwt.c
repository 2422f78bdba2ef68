/* Tokens: the published examples, and every way to make one look valid that is not. */
#include "access/jwt.h"
#include "tap.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

/* RFC 7515, appendix A.2 (RS256) and A.3 (ES256); RFC 8037, appendix A.4 (EdDSA). */
#define RSA_N                                                                                      \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"                    \
	"4qPCJrcS2mJPMEzP1Pt0"                                                                     \
	"Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXn" \
	"dS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5I" \
	"hlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define RSA_JWK "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"
#define EC_JWK                                                                               \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvR" \
	"VEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define OKP_JWK                                                                                 \
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcH" \
	"URo\"}"
static const char *const rs256 = "eyJhbGciOiJSUzI1NiJ9."
				 "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtc"
				 "GxlLmNvbS9pc19yb290Ijp0cnVlfQ"
				 ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__"
				 "dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5j"
				 "ujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
				 "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07"
				 "Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
				 "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUT"
				 "I8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
static const char *const es256 =
	"eyJhbGciOiJFUzI1NiJ9."
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
	"VlfQ"
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

static struct jwk_set *set_of(const char *keys)
{
	struct buf b = {0};
	struct errtext et;
	struct jwk_set *s = NULL;
	buf_addf(&b, "{\"keys\":[%s]}", keys);
	CHECK_OK(jwks_parse(buf_str(&b), &s, &et), &et);
	buf_free(&b);
	return s;
}

static enum err verify(const char *token, const struct jwk_set *s)
{
	yyjson_doc *doc = NULL;
	bool unknown;
	struct errtext et;
	enum err e = jwt_verify(str_c(token), s, &doc, &unknown, &et);
	if (!e)
		yyjson_doc_free(doc);
	return e;
}

static void test_access_jwt__published(void)
{
	struct jwk_set *s = set_of(RSA_JWK "," EC_JWK "," OKP_JWK);
	CHECK_INT(jwks_count(s), 3);
	yyjson_doc *doc;
	bool unknown;
	struct errtext et;
	CHECK_OK(jwt_verify(str_c(rs256), s, &doc, &unknown, &et), &et);
	CHECK_STR(json_str(yyjson_doc_get_root(doc), "iss"), "joe");
	CHECK_INT(json_i64(yyjson_doc_get_root(doc), "exp", 0), 1300819380);
	yyjson_doc_free(doc);
	CHECK_INT(verify(es256, s), OK);
	/* its payload is text, not claims: the signature alone is not enough */
	CHECK_INT(verify("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
			 "hgyY0il_MGCjP0JzlnLWG1PPOt7-"
			 "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvp"
			 "Ar_MuM0KAg",
			  s),
		ERR_UNAUTHENTICATED);
	/* every changed character of either is noticed */
	const char *const both[] = {rs256, es256};
	for (size_t t = 0; t < 2; t++) {
		char *copy = str_dup(str_c(both[t]));
		for (size_t i = 0; copy[i]; i++) {
			char was = copy[i];
			copy[i] = was == 'A' ? 'B' : was == '.' ? '-' : 'A';
			if (verify(copy, s) == OK)
				FAIL("character %zu of token %zu may be changed", i, t);
			copy[i] = was;
		}
		free(copy);
	}
	jwks_free(s);
	/* of another kind, or without the key */
	s = set_of(EC_JWK);
	CHECK_ERR(jwt_verify(str_c(rs256), s, &doc, &unknown, &et), ERR_UNAUTHENTICATED);
	CHECK(unknown);
	CHECK_INT(verify(es256, s), OK);
	jwks_free(s);
}

/* ---- tokens of our own ---- */

static void part(struct buf *out, struct str text)
{
	base64url_encode(out, text);
}

static void sign(struct buf *out, const char *header, const char *claims, EVP_PKEY *key)
{
	unsigned char sig[512];
	size_t n = sizeof sig;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ed = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
	buf_clear(out);
	part(out, str_c(header));
	buf_putc(out, '.');
	part(out, str_c(claims));
	CHECK_INT(EVP_DigestSignInit(ctx, NULL, ed ? NULL : EVP_sha256(), NULL, key), 1);
	CHECK_INT(EVP_DigestSign(ctx, sig, &n, (unsigned char *)out->p, out->n), 1);
	EVP_MD_CTX_free(ctx);
	buf_putc(out, '.');
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) {
		part(out, str_mk(sig, n));
		return;
	}
	const unsigned char *p = sig;
	unsigned char raw[64];
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
	BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + 32, 32);
	ECDSA_SIG_free(s);
	part(out, str_mk(raw, sizeof raw));
}

static void jwk_of(struct buf *out, EVP_PKEY *key, const char *more)
{
	unsigned char raw[600];
	size_t n = sizeof raw;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) {
		EVP_PKEY_get_raw_public_key(key, raw, &n);
		buf_addc(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
		part(out, str_mk(raw, n));
	} else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
		EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, raw, sizeof raw, &n);
		CHECK_INT(n, 65);
		buf_addc(out, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
		part(out, str_mk(raw + 1, 32));
		buf_addc(out, "\",\"y\":\"");
		part(out, str_mk(raw + 33, 32));
	} else {
		BIGNUM *bn = NULL;
		EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &bn);
		int k = BN_bn2bin(bn, raw);
		BN_free(bn);
		buf_addc(out, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
		part(out, str_mk(raw, (size_t)k));
	}
	buf_addf(out, "\"%s}", more);
}

static void test_access_jwt__algorithms(void)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *weak = EVP_RSA_gen(1024), *ec = EVP_EC_gen("P-256"),
		 *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *other = EVP_EC_gen("P-256");
	struct buf set = {0}, t = {0};
	const char *claims = "{\"iss\":\"i\"}";
	buf_addc(&set, "{\"keys\":[");
	jwk_of(&set, rsa, ",\"kid\":\"r\",\"use\":\"sig\",\"alg\":\"RS256\"");
	buf_putc(&set, ',');
	jwk_of(&set, ec, ",\"kid\":\"e\"");
	buf_putc(&set, ',');
	jwk_of(&set, ed, ",\"kid\":\"d\"");
	buf_putc(&set, ',');
	jwk_of(&set, weak, ",\"kid\":\"w\"");
	buf_putc(&set, ',');
	jwk_of(&set, other, ",\"kid\":\"x\",\"use\":\"enc\"");
	buf_addc(&set,
		",{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"kid\":\"o\"},{\"kty\":\"EC\",\"crv\":"
		"\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"},17,null,{}]}");
	struct jwk_set *s;
	struct errtext et;
	CHECK_OK(jwks_parse(buf_str(&set), &s, &et), &et);
	CHECK_INT(jwks_count(s), 3); /* the weak, the other use, the symmetric are left out */
	static const char *const good[] = {"{\"alg\":\"RS256\",\"kid\":\"r\"}",
		"{\"alg\":\"ES256\",\"kid\":\"e\"}", "{\"alg\":\"EdDSA\",\"kid\":\"d\"}"};
	EVP_PKEY *const keys[] = {rsa, ec, ed};
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 3; k++) {
			sign(&t, good[i], claims, keys[k]);
			CHECK_INT(verify(buf_c(&t), s), i == k ? OK : ERR_UNAUTHENTICATED);
		}
	static const char *const bad[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{}",
		"{\"alg\":\"\"}", "{\"alg\":null}", "{\"alg\":\"HS256\",\"kid\":\"r\"}",
		"{\"alg\":\"RS512\",\"kid\":\"r\"}", "{\"alg\":\"rs256\",\"kid\":\"r\"}",
		"{\"alg\":\"RS256\",\"kid\":\"e\"}", "{\"alg\":\"RS256\",\"kid\":\"R\"}",
		"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[]}", "[]", "17", "{"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		sign(&t, bad[i], claims, rsa);
		if (verify(buf_c(&t), s) == OK)
			FAIL("%s was accepted", bad[i]);
		/* and without a signature */
		t.n = str_rchr(buf_str(&t), '.') + 1;
		t.p[t.n] = 0;
		CHECK(verify(buf_c(&t), s) != OK);
	}
	/* the classic: HMAC with the public key as the secret */
	buf_clear(&t);
	part(&t, S("{\"alg\":\"HS256\",\"kid\":\"r\"}"));
	buf_putc(&t, '.');
	part(&t, str_c(claims));
	unsigned char mac[64];
	unsigned mac_n;
	HMAC(EVP_sha256(), RSA_N, sizeof RSA_N - 1, (unsigned char *)t.p, t.n, mac, &mac_n);
	buf_putc(&t, '.');
	part(&t, str_mk(mac, mac_n));
	CHECK_INT(verify(buf_c(&t), s), ERR_UNAUTHENTICATED);
	/* a key of its own, inside the token */
	struct buf header = {0};
	buf_addc(&header, "{\"alg\":\"ES256\",\"jwk\":");
	jwk_of(&header, other, "");
	buf_addc(&header, "}");
	sign(&t, buf_c(&header), claims, other);
	CHECK_INT(verify(buf_c(&t), s), ERR_UNAUTHENTICATED);
	/* ES256 with r and s zero, and in DER */
	sign(&t, good[1], claims, ec);
	t.n = str_rchr(buf_str(&t), '.') + 1;
	for (int i = 0; i < 86; i++)
		buf_putc(&t, 'A');
	CHECK_INT(verify(buf_c(&t), s), ERR_UNAUTHENTICATED);
	static const char *const shapes[] = {"", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d",
		"eyJhbGciOiJSUzI1NiJ9..", "eyJhbGciOiJSUzI1NiJ9.e30.", "=.=.=", "e30.e30.e30"};
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		CHECK_INT(verify(shapes[i], s), ERR_UNAUTHENTICATED);
	jwks_free(s);
	buf_free(&set);
	buf_free(&t);
	buf_free(&header);
	EVP_PKEY *const all[] = {rsa, weak, ec, ed, other};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		EVP_PKEY_free(all[i]);
}

static void test_access_jwt__claims(void)
{
	struct jwt_expect x = {.issuer = S("https://i"),
		.audience = S("croft"),
		.party = S("croft"),
		.nonce = S("n1"),
		.now_s = 1000000,
		.leeway_s = 60};
	static const struct {
		const char *claims;
		bool good;
	} rows[] = {
#define BASE "\"iss\":\"https://i\",\"sub\":\"u\",\"nonce\":\"n1\","
		{"{" BASE "\"aud\":\"croft\",\"exp\":1000001}", true},
		{"{" BASE "\"aud\":[\"croft\"],\"exp\":1000001,\"iat\":1000000,\"nbf\":1000000}",
			true},
		{"{" BASE "\"aud\":[\"a\",\"croft\"],\"azp\":\"croft\",\"exp\":1000001}", true},
		{"{" BASE "\"aud\":\"croft\",\"exp\":999941}", true}, /* the leeway */
		{"{" BASE "\"aud\":\"croft\",\"exp\":999940}", false},
		{"{" BASE "\"aud\":\"croft\",\"exp\":1}", false},
		{"{" BASE "\"aud\":\"croft\",\"exp\":\"1000001\"}", false},
		{"{" BASE "\"aud\":\"croft\",\"exp\":-1}", false},
		{"{" BASE "\"aud\":\"croft\",\"exp\":1e300}", false},
		{"{" BASE "\"aud\":\"croft\"}", false},
		{"{" BASE "\"exp\":1000001}", false},
		{"{" BASE "\"aud\":\"other\",\"exp\":1000001}", false},
		{"{" BASE "\"aud\":[\"other\"],\"exp\":1000001}", false},
		{"{" BASE "\"aud\":[],\"exp\":1000001}", false},
		{"{" BASE "\"aud\":[\"a\",\"croft\"],\"exp\":1000001}", false},
		{"{" BASE "\"aud\":[\"a\",\"croft\"],\"azp\":\"a\",\"exp\":1000001}", false},
		{"{" BASE "\"aud\":\"croft\",\"azp\":\"a\",\"exp\":1000001}", false},
		{"{" BASE "\"aud\":\"croft\",\"exp\":1000001,\"nbf\":1000061}", false},
		{"{" BASE "\"aud\":\"croft\",\"exp\":1000001,\"iat\":1000061}", false},
		{"{\"iss\":\"https://i/"
		 "\",\"sub\":\"u\",\"nonce\":\"n1\",\"aud\":\"croft\",\"exp\":1000001}",
			false},
		{"{\"sub\":\"u\",\"nonce\":\"n1\",\"aud\":\"croft\",\"exp\":1000001}", false},
		{"{\"iss\":\"https://i\",\"nonce\":\"n1\",\"aud\":\"croft\",\"exp\":1000001}",
			false},
		{"{\"iss\":\"https://"
		 "i\",\"sub\":\"\",\"nonce\":\"n1\",\"aud\":\"croft\",\"exp\":1000001}",
			false},
		{"{\"iss\":\"https://"
		 "i\",\"sub\":\"u\",\"nonce\":\"n2\",\"aud\":\"croft\",\"exp\":1000001}",
			false},
		{"{\"iss\":\"https://i\",\"sub\":\"u\",\"aud\":\"croft\",\"exp\":1000001}", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		yyjson_doc *doc;
		struct errtext et = {0};
		CHECK_OK(json_parse(str_c(rows[i].claims), &doc, &et), &et);
		enum err e = jwt_check(yyjson_doc_get_root(doc), &x, &et);
		if ((e == OK) != rows[i].good)
			FAIL("%s: %s", rows[i].claims, e ? et.msg : "was accepted");
		yyjson_doc_free(doc);
	}
}

TESTS(T(test_access_jwt__published), T(test_access_jwt__algorithms), T(test_access_jwt__claims))
