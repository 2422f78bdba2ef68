/* The parts of the blob store that do not depend on where the bytes lie. */
#include "store/blob_int.h"
#include "base/clock.h"

#include <stdlib.h>
#include <unistd.h>

static const struct blob_backend *const backends[] = {&blob_file, &blob_s3};

enum { SWEEP_AGE_MS = 3600 * 1000 };

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
		"no blob store of the kind \"%.*s\": this build knows file: and s3:",
		colon ? (int)MIN(colon - url, 16) : 0, url);
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
				"blob %.16s is damaged in the store: its content no longer has its "
				"hash",
				hex);
		}
	}
	*out = m;
	return OK;
}

enum err blob_read(
	struct blobs *b, const char *hex, uint64_t offset, void *to, size_t n, struct errtext *et)
{
	enum err e = check_name(hex, et);
	return e ? e : b->be->read(b->ctx, hex, offset, to, n, et);
}

enum err blob_stat(struct blobs *b, const char *hex, struct blob_info *out, struct errtext *et)
{
	enum err e = check_name(hex, et);
	return e ? e : b->be->stat(b->ctx, hex, out, et);
}

bool blob_exists(struct blobs *b, const char *hex)
{
	struct blob_info info;
	return is_name(hex) && !b->be->stat(b->ctx, hex, &info, NULL);
}

enum err blob_renew(struct blobs *b, const char *hex, struct errtext *et)
{
	enum err e = check_name(hex, et);
	return e ? e : b->be->renew(b->ctx, hex, et);
}

enum err blob_delete(struct blobs *b, const char *hex, struct errtext *et)
{
	enum err e = check_name(hex, et);
	return e ? e : b->be->remove(b->ctx, hex, et);
}

/* ---- writers ---- */

struct blob_writer {
	struct blobs *b;
	struct sha256 hash;
	uint64_t size;
	int fd;
	char path[PATH_MAX];
};

enum err blob_writer_open(struct blobs *b, struct blob_writer **out, struct errtext *et)
{
	struct blob_writer *w = calloc(1, sizeof *w);
	if (!w || sha256_init(&w->hash)) {
		free(w);
		return err_set(et, ERR_NOMEM, "no memory for a blob");
	}
	w->b = b;
	enum err e = b->be->spool(b->ctx, &w->fd, w->path, et);
	if (e) {
		sha256_drop(&w->hash);
		free(w);
		return e;
	}
	*out = w;
	return OK;
}

enum err blob_writer_add(struct blob_writer *w, struct str data, struct errtext *et)
{
	enum err e = blob_write_all(w->fd, data, w->path, et);
	if (!e) {
		sha256_add(&w->hash, data.p, data.n);
		w->size += data.n;
	}
	return e;
}

static void writer_free(struct blob_writer *w)
{
	if (w->hash.ctx)
		sha256_drop(&w->hash);
	close(w->fd);
	if (w->path[0])
		unlink(w->path);
	free(w);
}

enum err blob_writer_finish(struct blob_writer *w, const char *want, char hex[SHA256_HEX + 1],
	uint64_t *size, struct errtext *et)
{
	uint8_t digest[SHA256_BYTES];
	char name[SHA256_HEX + 1];
	sha256_end(&w->hash, digest);
	hex_encode(digest, sizeof digest, name);
	enum err e =
		want && strcmp(want, name) != 0
			? err_set(et, ERR_CORRUPT,
				  "the content has the SHA-256 %.16s..., not %.16s...", name, want)
			: OK;
	if (!e)
		e = w->b->be->put_spooled(w->b->ctx, name, w->fd, w->path, w->size, et);
	if (!e) {
		memcpy(hex, name, sizeof name);
		if (size)
			*size = w->size;
	}
	writer_free(w);
	return e;
}

void blob_writer_drop(struct blob_writer *w)
{
	if (w)
		writer_free(w);
}

/* ---- batches ---- */

struct blob_batch {
	struct blobs *b;
	void *ctx; /* the backend's; NULL when it has no batches */
};

enum err blob_batch_begin(struct blobs *b, struct blob_batch **out, struct errtext *et)
{
	struct blob_batch *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for storing blobs");
	g->b = b;
	enum err e = b->be->batch_begin ? b->be->batch_begin(b->ctx, &g->ctx, et) : OK;
	if (e) {
		free(g);
		return e;
	}
	*out = g;
	return OK;
}

enum err blob_batch_put(struct blob_batch *g, const char *hex, struct str data, struct errtext *et)
{
	enum err e = check_name(hex, et);
	if (e)
		return e;
	return g->ctx ? g->b->be->batch_put(g->ctx, hex, data, et)
		      : g->b->be->put(g->b->ctx, hex, data, et);
}

enum err blob_batch_commit(struct blob_batch *g, struct errtext *et)
{
	return g->ctx ? g->b->be->batch_commit(g->ctx, et) : OK;
}

void blob_batch_end(struct blob_batch *g)
{
	if (!g)
		return;
	if (g->ctx)
		g->b->be->batch_end(g->ctx);
	free(g);
}

/* ---- all of them ---- */

enum err blobs_each(struct blobs *b, blob_each_fn fn, void *ctx, struct errtext *et)
{
	return b->be->each(b->ctx, fn, ctx, et);
}

enum err blob_delete_older(
	struct blobs *b, const char *hex, int64_t before_ms, uint64_t *freed, struct errtext *et)
{
	*freed = 0;
	enum err e = check_name(hex, et);
	return e ? e : b->be->remove_old(b->ctx, hex, before_ms, freed, et);
}

enum err blobs_sweep_stale(struct blobs *b, int64_t before_ms, uint64_t *freed, struct errtext *et)
{
	*freed = 0;
	return b->be->remove_stale(b->ctx, before_ms, freed, et);
}

struct sweep {
	struct blobs *b;
	int64_t before_ms;
	bool (*keep)(void *kctx, const char *hex);
	void *kctx;
	struct blob_swept sum;
	struct errtext *et;
};

static enum err sweep_one(void *ctx, const char *hex, const struct blob_info *info)
{
	struct sweep *s = ctx;
	uint64_t freed = 0;
	if (info->modified_ms >= s->before_ms || s->keep(s->kctx, hex)) {
		s->sum.kept++;
		return OK;
	}
	enum err e = s->b->be->remove_old(s->b->ctx, hex, s->before_ms, &freed, s->et);
	if (e == ERR_NOT_FOUND)
		return OK; /* somebody else was quicker */
	if (!e) {
		s->sum.blobs++;
		s->sum.bytes += freed;
	}
	return e;
}

enum err blobs_sweep_older(struct blobs *b, int64_t grace_ms,
	bool (*keep)(void *ctx, const char *hex), void *ctx, struct blob_swept *out,
	struct errtext *et)
{
	uint64_t stale = 0;
	struct sweep s = {.b = b,
		.before_ms = clock_unix_ms() - grace_ms,
		.keep = keep,
		.kctx = ctx,
		.et = et};
	enum err e = b->be->remove_stale(b->ctx, s.before_ms, &stale, et);
	if (!e)
		e = b->be->each(b->ctx, sweep_one, &s, et);
	s.sum.bytes += stale;
	if (out)
		*out = s.sum;
	return e;
}

enum err blobs_sweep(struct blobs *b, bool (*keep)(void *ctx, const char *hex), void *ctx,
	uint64_t *freed, struct errtext *et)
{
	struct blob_swept sum = {0};
	enum err e = blobs_sweep_older(b, SWEEP_AGE_MS, keep, ctx, &sum, et);
	if (freed)
		*freed = sum.bytes;
	return e;
}
