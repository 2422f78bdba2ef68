/* DSSE envelopes in Sigstore bundles; the cryptography is OpenSSL's. */
#include "artifact/dsse.h"
#include "base/json.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#define BUNDLE_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"

/* ---- keys ---- */

static enum err read_key(struct str pem, bool private, EVP_PKEY **out, struct errtext *et)
{
	if (pem.n > KEY_PEM_MAX)
		return err_set(et, ERR_INVALID, "the key is longer than %d bytes", KEY_PEM_MAX);
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = NULL;
	char no_password[] = "";
	if (bio)
		key = private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, no_password)
			      : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (!key)
		return err_set(et, ERR_INVALID,
			"a %s key in PEM form, without a password, is expected",
			private ? "private" : "public");
	*out = key;
	return OK;
}

static enum err write_key(EVP_PKEY *key, bool private, struct buf *out, struct errtext *et)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	bool good = bio && (private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
				    : PEM_write_bio_PUBKEY(bio, key)) == 1;
	long n = good ? BIO_get_mem_data(bio, &p) : 0;
	if (good)
		buf_add(out, p, (size_t)n);
	BIO_free(bio);
	return good && !out->err ? OK : err_set(et, ERR_NOMEM, "no memory for a key");
}

/* The hash that goes with the key; *md NULL: the key brings its own (Ed25519). */
static enum err hash_for(EVP_PKEY *key, const EVP_MD **md, struct errtext *et)
{
	int bits = EVP_PKEY_get_bits(key);
	*md = NULL;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		return OK;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
		*md = bits == 256   ? EVP_sha256()
		      : bits == 384 ? EVP_sha384()
		      : bits == 521 ? EVP_sha512()
				    : NULL;
		if (*md)
			return OK;
	}
	return err_set(
		et, ERR_UNSUPPORTED, "keys for signing are EC P-256, P-384, P-521, or Ed25519");
}

enum err dsse_key_make(struct buf *private_pem, struct buf *public_pem, struct errtext *et)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		return err_set(et, ERR_NOMEM, "a key could not be made");
	enum err e = write_key(key, true, private_pem, et);
	if (!e)
		e = write_key(key, false, public_pem, et);
	EVP_PKEY_free(key);
	return e;
}

enum err dsse_key_public(struct str private_pem, struct buf *public_pem, struct errtext *et)
{
	EVP_PKEY *key;
	enum err e = read_key(private_pem, true, &key, et);
	if (e)
		return e;
	e = write_key(key, false, public_pem, et);
	EVP_PKEY_free(key);
	return e;
}

static enum err hint_of(EVP_PKEY *key, char hint[SHA256_HEX + 1], struct errtext *et)
{
	struct buf pem = {0};
	enum err e = write_key(key, false, &pem, et);
	if (!e)
		sha256_hex_of(buf_str(&pem), hint);
	buf_free(&pem);
	return e;
}

enum err dsse_key_hint(struct str public_pem, char hint[SHA256_HEX + 1], struct errtext *et)
{
	EVP_PKEY *key;
	const EVP_MD *md;
	enum err e = read_key(public_pem, false, &key, et);
	if (e)
		return e;
	e = hash_for(key, &md, et);
	if (!e)
		e = hint_of(key, hint, et);
	EVP_PKEY_free(key);
	return e;
}

/* ---- signing ---- */

/* What is signed: the DSSE pre-authentication encoding. */
static void pae(struct buf *out, struct str payload)
{
	buf_addf(out, "DSSEv1 %zu %s %zu ", sizeof DSSE_IN_TOTO - 1, DSSE_IN_TOTO, payload.n);
	buf_adds(out, payload);
}

static enum err sign_bytes(
	EVP_PKEY *key, const EVP_MD *md, struct str text, struct buf *sig, struct errtext *et)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 0;
	const unsigned char *p = (const unsigned char *)text.p;
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
		    EVP_DigestSign(ctx, NULL, &n, p, text.n) == 1;
	unsigned char *to = good ? (unsigned char *)buf_reserve(sig, n) : NULL;
	good = to && EVP_DigestSign(ctx, to, &n, p, text.n) == 1;
	if (good)
		sig->n += n;
	EVP_MD_CTX_free(ctx);
	return good ? OK : err_set(et, ERR_INTERNAL, "signing failed");
}

static void write_bundle(const char *hint, struct str payload, struct str sig, struct buf *bundle)
{
	struct jw w = {.out = bundle};
	struct buf text = {0};
	jw_obj(&w);
	jw_kc(&w, "mediaType", BUNDLE_TYPE);
	jw_key(&w, "verificationMaterial");
	jw_obj(&w);
	jw_key(&w, "publicKey");
	jw_obj(&w);
	jw_kc(&w, "hint", hint);
	jw_end(&w);
	jw_key(&w, "tlogEntries");
	jw_arr(&w);
	jw_end(&w);
	jw_end(&w);
	jw_key(&w, "dsseEnvelope");
	jw_obj(&w);
	base64_encode(&text, payload);
	jw_kstr(&w, "payload", buf_str(&text));
	jw_kc(&w, "payloadType", DSSE_IN_TOTO);
	jw_key(&w, "signatures");
	jw_arr(&w);
	jw_obj(&w);
	buf_clear(&text);
	base64_encode(&text, sig);
	jw_kstr(&w, "sig", buf_str(&text));
	jw_kc(&w, "keyid", "");
	jw_end(&w);
	jw_end(&w);
	jw_end(&w);
	jw_end(&w);
	buf_free(&text);
}

enum err dsse_sign(
	struct str private_pem, struct str payload, struct buf *bundle, struct errtext *et)
{
	EVP_PKEY *key;
	const EVP_MD *md;
	char hint[SHA256_HEX + 1];
	struct buf text = {0}, sig = {0};
	enum err e = read_key(private_pem, true, &key, et);
	if (e)
		return e;
	pae(&text, payload);
	e = hash_for(key, &md, et);
	if (!e)
		e = hint_of(key, hint, et);
	if (!e)
		e = sign_bytes(key, md, buf_str(&text), &sig, et);
	if (!e)
		write_bundle(hint, payload, buf_str(&sig), bundle);
	if (!e && (text.err || bundle->err))
		e = err_set(et, ERR_NOMEM, "no memory for a signature");
	buf_free(&text);
	buf_free(&sig);
	EVP_PKEY_free(key);
	return e;
}

/* ---- reading ---- */

static enum err read_bundle(struct str bundle, struct buf *payload, struct buf *sig,
	char hint[SHA256_HEX + 1], struct errtext *et)
{
	yyjson_doc *doc;
	if (bundle.n > BUNDLE_MAX)
		return err_set(
			et, ERR_TOO_LARGE, "the signature is longer than %d bytes", BUNDLE_MAX);
	enum err e = json_parse(bundle, &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "the signature");
	yyjson_val *root = yyjson_doc_get_root(doc), *env = yyjson_obj_get(root, "dsseEnvelope"),
		   *sigs = yyjson_obj_get(env, "signatures");
	struct str key = json_str(
		yyjson_obj_get(yyjson_obj_get(root, "verificationMaterial"), "publicKey"), "hint");
	struct str type = json_str(env, "payloadType");
	bool good = str_eq_c(type, DSSE_IN_TOTO) && yyjson_arr_size(sigs) == 1 &&
		    base64_decode(payload, json_str(env, "payload")) &&
		    base64_decode(sig, json_str(yyjson_arr_get_first(sigs), "sig")) && payload->n &&
		    sig->n && sig->n < 1024;
	snprintf(hint, SHA256_HEX + 1, "%.*s", key.n == SHA256_HEX ? SHA256_HEX : 0,
		key.p ? key.p : "");
	yyjson_doc_free(doc);
	if (!good)
		return err_set(et, ERR_CORRUPT,
			"the signature is no Sigstore bundle with one DSSE signature by a key");
	return OK;
}

enum err dsse_peek(
	struct str bundle, struct buf *payload, char hint[SHA256_HEX + 1], struct errtext *et)
{
	struct buf sig = {0};
	enum err e = read_bundle(bundle, payload, &sig, hint, et);
	buf_free(&sig);
	return e;
}

static enum err check_bytes(EVP_PKEY *key, struct str text, struct str sig, struct errtext *et)
{
	const EVP_MD *md;
	enum err e = hash_for(key, &md, et);
	EVP_MD_CTX *ctx = e ? NULL : EVP_MD_CTX_new();
	if (e)
		return e;
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n,
			    (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? OK
		    : err_set(et, ERR_FORBIDDEN, "the signature is not of this key and content");
}

enum err dsse_verify(
	struct str bundle, struct str public_pem, struct buf *payload, struct errtext *et)
{
	EVP_PKEY *key;
	char hint[SHA256_HEX + 1], mine[SHA256_HEX + 1];
	struct buf sig = {0}, text = {0}, got = {0};
	enum err e = read_key(public_pem, false, &key, et);
	if (e)
		return e;
	e = read_bundle(bundle, &got, &sig, hint, et);
	if (!e)
		e = hint_of(key, mine, et);
	if (!e && hint[0] && strcmp(hint, mine) != 0)
		e = err_set(et, ERR_FORBIDDEN, "another key signed: %.16s..., not %.16s...", hint,
			mine);
	pae(&text, buf_str(&got));
	if (!e && text.err)
		e = err_set(et, ERR_NOMEM, "no memory for a signature");
	if (!e)
		e = check_bytes(key, buf_str(&text), buf_str(&sig), et);
	if (!e)
		buf_adds(payload, buf_str(&got));
	buf_free(&sig);
	buf_free(&text);
	buf_free(&got);
	EVP_PKEY_free(key);
	return e;
}
