/* AES-256-GCM over OpenSSL: bytes sealed with a key and with what they are about. */
#include "access/secret_int.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { NONCE = 12, TAG = 16 };

void secret_wipe(struct buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	buf_free(b);
}

static bool run_seal(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct str about, struct str plain,
	uint8_t *nonce, uint8_t *text, uint8_t *tag)
{
	int n;
	return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
	       EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)about.p, (int)about.n) == 1 &&
	       EVP_EncryptUpdate(ctx, text, &n, (const uint8_t *)plain.p, (int)plain.n) == 1 &&
	       EVP_EncryptFinal_ex(ctx, text + n, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, tag) == 1;
}

enum err seal(const uint8_t key[KEY_BYTES], struct str about, struct str plain, struct buf *out,
	struct errtext *et)
{
	if (plain.n > SECRET_MAX)
		return err_set(et, ERR_TOO_LARGE, "a secret has at most %d bytes", SECRET_MAX);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *to = (uint8_t *)buf_reserve(out, NONCE + plain.n + TAG);
	bool good = ctx && to;
	if (good) {
		random_bytes(to, NONCE);
		good = run_seal(ctx, key, about, plain, to, to + NONCE, to + NONCE + plain.n);
	}
	EVP_CIPHER_CTX_free(ctx);
	if (!good)
		return err_set(et, ERR_NOMEM, "a secret could not be sealed");
	out->n += NONCE + plain.n + TAG;
	return OK;
}

static bool run_open(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct str about, struct str sealed,
	uint8_t *plain)
{
	const uint8_t *in = (const uint8_t *)sealed.p;
	size_t text_n = sealed.n - NONCE - TAG;
	uint8_t tag[TAG];
	int n;
	memcpy(tag, in + sealed.n - TAG, TAG);
	return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)about.p, (int)about.n) == 1 &&
	       EVP_DecryptUpdate(ctx, plain, &n, in + NONCE, (int)text_n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
	       EVP_DecryptFinal_ex(ctx, plain + n, &n) == 1;
}

enum err unseal(const uint8_t key[KEY_BYTES], struct str about, struct str sealed, struct buf *out,
	struct errtext *et)
{
	if (sealed.n < NONCE + TAG || sealed.n > SECRET_MAX + NONCE + TAG)
		return err_set(et, ERR_CORRUPT, "what is stored is no sealed secret");
	size_t n = sealed.n - NONCE - TAG;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *to = (uint8_t *)buf_reserve(out, n + 1);
	bool good = ctx && to && run_open(ctx, key, about, sealed, to);
	EVP_CIPHER_CTX_free(ctx);
	if (!ctx || !to)
		return err_set(et, ERR_NOMEM, "no memory for a secret");
	if (!good) {
		OPENSSL_cleanse(to, n);
		return err_set(et, ERR_CORRUPT,
			"what is stored was changed, or belongs to another key, project or name");
	}
	out->n += n;
	out->p[out->n] = 0;
	return OK;
}
