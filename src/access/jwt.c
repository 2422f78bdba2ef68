/* JSON Web Tokens over OpenSSL. */
#include "access/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

enum alg { ALG_NONE, ALG_RS256, ALG_ES256, ALG_EDDSA };
enum { RSA_BITS_MIN = 2048, RSA_BYTES_MAX = 1024, P256 = 32, KID_MAX = 256 };

static const struct {
	const char *name, *kty;
} algs[] = {[ALG_RS256] = {"RS256", "RSA"},
	[ALG_ES256] = {"ES256", "EC"},
	[ALG_EDDSA] = {"EdDSA", "OKP"}};

struct jwk {
	enum alg alg;
	char *kid; /* NULL: has none */
	EVP_PKEY *key;
};

struct jwk_set {
	size_t n;
	struct jwk keys[JWKS_KEYS_MAX];
};

/* ---- base64url ---- */

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct buf *out, struct str s)
{
	uint32_t bits = 0;
	unsigned n = 0;
	if (s.n % 4 == 1)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int d = digit(s.p[i]);
		if (d < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		n += 6;
		if (n >= 8) {
			n -= 8;
			buf_putc(out, (char)(bits >> n));
			bits &= (1u << n) - 1;
		}
	}
	return !bits && !out->err; /* one text for one value: what is left over must be zero */
}

void base64url_encode(struct buf *out, struct str s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned n = 0;
	for (size_t i = 0; i < s.n; i++) {
		bits = bits << 8 | (uint8_t)s.p[i];
		for (n += 8; n >= 6; n -= 6)
			buf_putc(out, digits[bits >> (n - 6) & 63]);
		bits &= (1u << n) - 1;
	}
	if (n)
		buf_putc(out, digits[bits << (6 - n) & 63]);
}

/* ---- keys ---- */

static bool member(yyjson_val *jwk, const char *name, size_t max, struct buf *out)
{
	struct str s = json_str(jwk, name);
	return s.n && s.n <= 2 * max && base64url_decode(out, s) && out->n && out->n <= max;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *rsa_key(yyjson_val *jwk)
{
	struct buf n = {0}, e = {0};
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn = NULL, *be = NULL;
	if (bld && member(jwk, "n", RSA_BYTES_MAX, &n) && member(jwk, "e", 8, &e)) {
		bn = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
		be = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
	}
	if (bn && be && BN_num_bits(bn) >= RSA_BITS_MIN && BN_is_odd(bn) && BN_is_odd(be) &&
		!BN_is_one(be) && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) &&
		OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be))
		key = from_params("RSA", bld);
	BN_free(bn);
	BN_free(be);
	OSSL_PARAM_BLD_free(bld);
	buf_free(&n);
	buf_free(&e);
	return key;
}

static EVP_PKEY *ec_key(yyjson_val *jwk)
{
	struct buf x = {0}, y = {0}, point = {0};
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	if (bld && str_eq_c(json_str(jwk, "crv"), "P-256") && member(jwk, "x", P256, &x) &&
		member(jwk, "y", P256, &y) && x.n == P256 && y.n == P256) {
		buf_putc(&point, 4); /* not compressed */
		buf_adds(&point, buf_str(&x));
		buf_adds(&point, buf_str(&y));
		if (!point.err &&
			OSSL_PARAM_BLD_push_utf8_string(
				bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
			OSSL_PARAM_BLD_push_octet_string(
				bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n))
			key = from_params("EC", bld);
	}
	OSSL_PARAM_BLD_free(bld);
	buf_free(&x);
	buf_free(&y);
	buf_free(&point);
	return key;
}

static EVP_PKEY *okp_key(yyjson_val *jwk)
{
	struct buf x = {0};
	EVP_PKEY *key = NULL;
	if (str_eq_c(json_str(jwk, "crv"), "Ed25519") && member(jwk, "x", 32, &x) && x.n == 32)
		key = EVP_PKEY_new_raw_public_key(
			EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n);
	buf_free(&x);
	return key;
}

static void add_key(struct jwk_set *s, yyjson_val *jwk)
{
	struct str kty = json_str(jwk, "kty"), use = json_str(jwk, "use"),
		   alg = json_str(jwk, "alg"), kid = json_str(jwk, "kid");
	enum alg a = str_eq_c(kty, "RSA")   ? ALG_RS256
		     : str_eq_c(kty, "EC")  ? ALG_ES256
		     : str_eq_c(kty, "OKP") ? ALG_EDDSA
					    : ALG_NONE;
	if (!a || s->n == JWKS_KEYS_MAX || kid.n > KID_MAX || (use.p && !str_eq_c(use, "sig")) ||
		(alg.p && !str_eq_c(alg, algs[a].name)))
		return;
	struct jwk k = {.alg = a,
		.key = a == ALG_RS256   ? rsa_key(jwk)
		       : a == ALG_ES256 ? ec_key(jwk)
					: okp_key(jwk),
		.kid = kid.p ? str_dup(kid) : NULL};
	if (k.key && (k.kid || !kid.p)) {
		s->keys[s->n++] = k;
		return;
	}
	EVP_PKEY_free(k.key);
	free(k.kid);
}

enum err jwks_parse(struct str json, struct jwk_set **out, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	if (json.n > JWKS_MAX)
		return err_set(et, ERR_INVALID, "the key set is larger than %d bytes", JWKS_MAX);
	enum err e = json_parse(json, &doc, et);
	if (e)
		return err_wrap(et, ERR_INVALID, "key set");
	yyjson_val *keys = yyjson_obj_get(yyjson_doc_get_root(doc), "keys"), *k;
	struct jwk_set *s = calloc(1, sizeof *s);
	size_t i, n;
	if (!s)
		e = err_set(et, ERR_NOMEM, "no memory for a key set");
	else if (!yyjson_is_arr(keys))
		e = err_set(et, ERR_INVALID, "the key set has no \"keys\"");
	else
		yyjson_arr_foreach(keys, i, n, k) add_key(s, k);
	if (!e && !s->n)
		e = err_set(et, ERR_INVALID,
			"the key set has no key for RS256, ES256 or EdDSA that can be used");
	yyjson_doc_free(doc);
	if (e)
		jwks_free(s);
	else
		*out = s;
	return e;
}

size_t jwks_count(const struct jwk_set *s)
{
	return s->n;
}

void jwks_free(struct jwk_set *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		EVP_PKEY_free(s->keys[i].key);
		free(s->keys[i].kid);
	}
	free(s);
}

/* ---- a token ---- */

static enum err bad(struct errtext *et, const char *why)
{
	return err_set(et, ERR_UNAUTHENTICATED, "the token is not valid: %s", why);
}

struct parts {
	struct str signed_text, header, claims, signature;
};

static bool split(struct str token, struct parts *p)
{
	size_t a = str_chr(token, '.'), b = str_rchr(token, '.');
	if (token.n > JWT_MAX || a == STR_NONE || a == b ||
		str_chr(str_sub(token, a + 1, b), '.') != STR_NONE)
		return false;
	*p = (struct parts){str_sub(token, 0, b), str_sub(token, 0, a), str_sub(token, a + 1, b),
		str_sub(token, b + 1, token.n)};
	return p->header.n && p->claims.n && p->signature.n;
}

/* A part that is a JSON object. */
static yyjson_doc *decode(struct str part)
{
	struct buf text = {0};
	yyjson_doc *doc = NULL;
	if (base64url_decode(&text, part) && !json_parse(buf_str(&text), &doc, NULL) &&
		!yyjson_is_obj(yyjson_doc_get_root(doc))) {
		yyjson_doc_free(doc);
		doc = NULL;
	}
	buf_free(&text);
	return doc;
}

/* ES256 has r and s side by side where OpenSSL wants DER. */
static bool to_der(struct buf *sig)
{
	ECDSA_SIG *s = ECDSA_SIG_new();
	unsigned char *der = NULL;
	BIGNUM *r = NULL, *v = NULL;
	if (sig->n == 2 * P256) {
		r = BN_bin2bn((const unsigned char *)sig->p, P256, NULL);
		v = BN_bin2bn((const unsigned char *)sig->p + P256, P256, NULL);
	}
	bool good = s && r && v && ECDSA_SIG_set0(s, r, v);
	if (!good) {
		BN_free(r);
		BN_free(v);
	}
	int n = good ? i2d_ECDSA_SIG(s, &der) : 0;
	if (n > 0) {
		buf_clear(sig);
		buf_add(sig, der, (size_t)n);
	}
	OPENSSL_free(der);
	ECDSA_SIG_free(s);
	return n > 0 && !sig->err;
}

static bool signature_fits(const struct jwk *k, struct str text, struct str signature)
{
	struct buf sig = {0};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const EVP_MD *md = k->alg == ALG_EDDSA ? NULL : EVP_sha256();
	bool good = ctx && base64url_decode(&sig, signature) &&
		    (k->alg != ALG_ES256 || to_der(&sig)) &&
		    EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->key) == 1 &&
		    EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n,
			    (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	buf_free(&sig);
	return good;
}

static enum alg alg_of(struct str name)
{
	for (unsigned a = 1; a < ARRAY_LEN(algs); a++)
		if (str_eq_c(name, algs[a].name))
			return (enum alg)a;
	return ALG_NONE;
}

static enum err check_signature(const struct parts *p, yyjson_val *header,
	const struct jwk_set *keys, bool *unknown_key, struct errtext *et)
{
	struct str kid = json_str(header, "kid");
	enum alg alg = alg_of(json_str(header, "alg"));
	bool tried = false;
	if (!alg)
		return bad(et, "its algorithm is none of RS256, ES256, EdDSA");
	if (yyjson_obj_get(header, "crit"))
		return bad(et, "it demands an extension (crit) that is not known");
	for (size_t i = 0; i < keys->n; i++) {
		const struct jwk *k = &keys->keys[i];
		if (k->alg != alg || (kid.p && k->kid && !str_eq_c(kid, k->kid)))
			continue;
		tried = true;
		if (signature_fits(k, p->signed_text, p->signature))
			return OK;
	}
	*unknown_key = !tried;
	return bad(et, tried ? "the signature is wrong" : "the issuer has no such key");
}

enum err jwt_verify(struct str token, const struct jwk_set *keys, yyjson_doc **out,
	bool *unknown_key, struct errtext *et)
{
	struct parts p;
	*unknown_key = false;
	if (!split(token, &p))
		return bad(et, "it has not three parts");
	yyjson_doc *header = decode(p.header), *claims = decode(p.claims);
	enum err e = header && claims ? check_signature(&p, yyjson_doc_get_root(header), keys,
						unknown_key, et)
				      : bad(et, "its header or claims are not a JSON object");
	yyjson_doc_free(header);
	if (e)
		yyjson_doc_free(claims);
	else
		*out = claims;
	return e;
}

bool jwt_issuer(struct str token, struct buf *out)
{
	struct parts p;
	yyjson_doc *claims = split(token, &p) ? decode(p.claims) : NULL;
	struct str iss = json_str(yyjson_doc_get_root(claims), "iss");
	buf_adds(out, iss);
	yyjson_doc_free(claims);
	return iss.n && !out->err;
}

/* ---- claims ---- */

static bool in_audience(yyjson_val *aud, struct str want, size_t *count)
{
	size_t i, n;
	yyjson_val *v;
	bool found = false;
	*count = 1;
	if (!yyjson_is_arr(aud))
		return str_eq(json_val_str(aud), want);
	*count = yyjson_arr_size(aud);
	yyjson_arr_foreach(aud, i, n, v) found |= str_eq(json_val_str(v), want);
	return found;
}

/* Seconds since 1970, perhaps with a fraction. */
static bool time_claim(yyjson_val *claims, const char *name, int64_t *out)
{
	yyjson_val *v = yyjson_obj_get(claims, name);
	double t = yyjson_is_num(v) ? yyjson_get_num(v) : -1;
	if (!(t >= 0 && t < 1e12))
		return false;
	*out = (int64_t)t;
	return true;
}

static enum err check_times(yyjson_val *claims, const struct jwt_expect *x, struct errtext *et)
{
	int64_t exp, t;
	if (!time_claim(claims, "exp", &exp))
		return bad(et, "it does not say when it expires");
	if (exp + x->leeway_s <= x->now_s)
		return bad(et, "it has expired");
	if (yyjson_obj_get(claims, "nbf") &&
		(!time_claim(claims, "nbf", &t) || t > x->now_s + x->leeway_s))
		return bad(et, "it is not valid yet");
	if (yyjson_obj_get(claims, "iat") &&
		(!time_claim(claims, "iat", &t) || t > x->now_s + x->leeway_s))
		return bad(et, "it was issued in the future");
	return OK;
}

enum err jwt_check(yyjson_val *claims, const struct jwt_expect *x, struct errtext *et)
{
	size_t audiences;
	struct str azp = json_str(claims, "azp");
	if (!x->issuer.n || !str_eq(json_str(claims, "iss"), x->issuer))
		return bad(et, "another issuer made it");
	if (!x->audience.n || !in_audience(yyjson_obj_get(claims, "aud"), x->audience, &audiences))
		return bad(et, "it is for another audience");
	if (x->party.n && (azp.p || audiences > 1) && !str_eq(azp, x->party))
		return bad(et, "it was made for another client");
	if (x->nonce.n && !str_eq(json_str(claims, "nonce"), x->nonce))
		return bad(et, "its nonce is not the one of this login");
	struct str sub = json_str(claims, "sub");
	if (!sub.n || sub.n > 255)
		return bad(et, "it names no subject");
	return check_times(claims, x, et);
}
