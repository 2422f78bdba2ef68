/* The parts of the blob store that do not depend on where the bytes lie. */
#include "store/blob_int.h"

#include <stdlib.h>

static const struct blob_backend *const backends[] = {&blob_file};

struct blobs {
	const struct blob_backend *be;
	void *ctx;
};

enum err blobs_open(const char *url, struct blobs **out, struct errtext *et)
{
	const char *colon = strchr(url, ':');
	for (size_t i = 0; colon && i < ARRAY_LEN(backends); i++) {
		const struct blob_backend *be = backends[i];
		if (!str_eq(str_mk(url, (size_t)(colon - url)), str_c(be->scheme)))
			continue;
		struct blobs *b = calloc(1, sizeof *b);
		if (!b)
			return err_set(et, ERR_NOMEM, "no memory for the blob store");
		b->be = be;
		enum err e = be->open(colon + 1, &b->ctx, et);
		if (e) {
			free(b);
			return e;
		}
		*out = b;
		return OK;
	}
	return err_set(et, ERR_INVALID,
		"no blob store of the kind \"%.*s\": this build knows file:",
		colon ? (int)(colon - url) : 0, url);
}

void blobs_close(struct blobs *b)
{
	if (!b)
		return;
	b->be->close(b->ctx);
	free(b);
}

static bool is_name(const char *hex)
{
	size_t n = strspn(hex, "0123456789abcdef");
	return n == SHA256_HEX && hex[n] == 0;
}

static enum err check_name(const char *hex, struct errtext *et)
{
	return is_name(hex) ? OK
			    : err_set(et, ERR_INVALID, "not the name of a blob (a SHA-256 in hex)");
}

enum err blob_put(struct blobs *b, struct str data, char hex[SHA256_HEX + 1], struct errtext *et)
{
	char name[SHA256_HEX + 1];
	sha256_hex_of(data, name);
	enum err e = b->be->put(b->ctx, name, data, et);
	if (!e)
		memcpy(hex, name, sizeof name);
	return e;
}

enum err blob_get(
	struct blobs *b, const char *hex, bool verify, struct os_map *out, struct errtext *et)
{
	struct os_map m;
	enum err e = check_name(hex, et);
	if (!e)
		e = b->be->get(b->ctx, hex, &m, et);
	if (e)
		return e;
	if (verify) {
		char now[SHA256_HEX + 1];
		sha256_hex_of(str_mk(m.p ? m.p : "", m.n), now);
		if (strcmp(now, hex) != 0) {
			os_unmap(&m);
			return err_set(et, ERR_CORRUPT,
				"blob %.16s is damaged on disk: its content no longer has its hash",
				hex);
		}
	}
	*out = m;
	return OK;
}

bool blob_exists(struct blobs *b, const char *hex)
{
	return is_name(hex) && b->be->exists(b->ctx, hex);
}

enum err blob_delete(struct blobs *b, const char *hex, struct errtext *et)
{
	enum err e = check_name(hex, et);
	return e ? e : b->be->remove(b->ctx, hex, et);
}

enum err blobs_sweep(struct blobs *b, bool (*keep)(void *ctx, const char *hex), void *ctx,
	uint64_t *freed, struct errtext *et)
{
	uint64_t bytes = 0;
	enum err e = b->be->sweep(b->ctx, keep, ctx, &bytes, et);
	if (freed)
		*freed = bytes;
	return e;
}
