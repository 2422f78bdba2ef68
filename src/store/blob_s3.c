/* Blobs in an S3 service: "s3://KEY:SECRET@host:port/bucket/prefix?region=...". Blob abcdef... is
 * the object prefix/ab/cdef..., as the file backend has it below its folder.
 *
 *  1. The server gets the SHA-256 of every body in the signed header x-amz-content-sha256 and
 * refuses other bytes; every whole read is compared with the blob's name here.
 *  2. An object is visible when it is complete: S3 says so for a put and for the joining of parts.
 *  3. A put of what is there renews its age when half an hour has passed, by putting it again, so
 *     that a sweep, which spares what is younger than its grace, cannot take it away meanwhile.
 *
 * Whoever sweeps asks for the age right before he removes; another server's put between these two
 * requests is the caller's to exclude (the artifacts' gc does so in the database). */
#include "store/s3_int.h"
#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RENEW_MS = 30 * 60 * 1000, ASK_FIRST_MIN = 64 << 10, WHOLE_READ_MAX = 8 << 20 };

static enum err s3_open(const char *at, void **ctx, struct errtext *et)
{
	struct s3 *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory for the blob store");
	enum err e = s3_url_parse(at, &s->url, et);
	if (e) {
		free(s);
		return e;
	}
	s->tries = 8;
	s->delay_ms = 100;
	s->delay_max_ms = 8000;
	const char *quick = getenv("CROFT_S3_RETRY_MS"); /* for tests with injected faults */
	uint64_t ms;
	if (quick && str_u64(str_c(quick), &ms) && ms < 10000)
		s->delay_ms = (unsigned)ms;
	/* Not HEAD, whose refusal would come without a reason. */
	struct s3_call c = {.method = HTTP_GET, .query = S("list-type=2&max-keys=1")};
	struct s3_reply r;
	e = s3_run(s, &c, &r, et);
	if (e) {
		s3_url_release(&s->url);
		free(s);
		return e;
	}
	s3_reply_release(&r);
	*ctx = s;
	return OK;
}

static void s3_close(void *ctx)
{
	struct s3 *s = ctx;
	s3_url_release(&s->url);
	free(s);
}

static enum err s3_stat(void *ctx, const char *hex, struct blob_info *out, struct errtext *et)
{
	struct s3_call c = {.method = HTTP_HEAD, .hex = hex};
	struct s3_reply r;
	enum err e = s3_run(ctx, &c, &r, et);
	if (e)
		return e;
	s3_reply_release(&r);
	if (r.length < 0 || r.modified_ms < 0)
		return err_set(et, ERR_NETWORK, "the S3 server does not say how old an object is");
	*out = (struct blob_info){(uint64_t)r.length, r.modified_ms};
	return OK;
}

static bool is_young(const struct s3 *s, int64_t modified_ms)
{
	return modified_ms > clock_unix_ms() + atomic_load(&s->skew_ms) - RENEW_MS;
}

/* ---- put ---- */

static enum err s3_put(void *ctx, const char *hex, struct str data, struct errtext *et)
{
	struct s3 *s = ctx;
	if (data.n >= ASK_FIRST_MIN) { /* a small one costs less than the question */
		struct blob_info info;
		enum err e = s3_stat(s, hex, &info, et);
		if (!e && info.size == data.n && is_young(s, info.modified_ms))
			return OK;
		if (e && e != ERR_NOT_FOUND)
			return e;
	}
	if (data.n > S3_SINGLE_MAX)
		return s3_put_parts(s, hex, data, et);
	struct s3_call c = {.method = HTTP_PUT, .hex = hex, .body = data, .payload = hex};
	struct s3_reply r;
	enum err e = s3_run(s, &c, &r, et);
	if (!e)
		s3_reply_release(&r);
	return e;
}

static enum err s3_spool(void *ctx, int *fd, char path[PATH_MAX], struct errtext *et)
{
	struct s3 *s = ctx;
	char name[PATH_MAX];
	int got = open(s->url.spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (got < 0) { /* not every file system has nameless files */
		snprintf(name, sizeof name, "%s/croft-XXXXXX", s->url.spool);
		got = mkostemp(name, O_CLOEXEC);
		if (got < 0)
			return err_errno(et, "%s", s->url.spool);
		unlink(name);
	}
	path[0] = 0; /* it goes away by itself */
	*fd = got;
	return OK;
}

static enum err s3_put_spooled(
	void *ctx, const char *hex, int fd, const char *path, uint64_t size, struct errtext *et)
{
	if (!size)
		return s3_put(ctx, hex, S(""), et);
	void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_errno(et, "mmap");
	enum err e = s3_put(ctx, hex, str_mk(p, (size_t)size), et);
	munmap(p, (size_t)size);
	return e;
}

static enum err put_again(struct s3 *s, const char *hex, struct errtext *et)
{
	struct s3_call c = {.method = HTTP_GET, .hex = hex, .map = true, .verify = hex};
	struct s3_reply r;
	enum err e = s3_run(s, &c, &r, et);
	if (e)
		return e;
	struct str data = str_mk(r.map.p ? r.map.p : "", r.map.n);
	struct s3_call put = {.method = HTTP_PUT, .hex = hex, .body = data, .payload = hex};
	struct s3_reply done;
	e = data.n > S3_SINGLE_MAX ? s3_put_parts(s, hex, data, et) : s3_run(s, &put, &done, et);
	if (!e && data.n <= S3_SINGLE_MAX)
		s3_reply_release(&done);
	s3_reply_release(&r);
	return e;
}

/* A copy onto itself has a new date without the bytes going over the wire; where the server does
 * not do that, they do. */
static enum err s3_renew(void *ctx, const char *hex, struct errtext *et)
{
	struct s3 *s = ctx;
	struct blob_info info;
	enum err e = s3_stat(s, hex, &info, et);
	if (e || is_young(s, info.modified_ms))
		return e;
	struct buf source = {0};
	buf_addf(&source, "/%s/", s->url.bucket);
	s3_key(s, hex, &source);
	struct s3_call c = {.method = HTTP_PUT, .hex = hex, .copy_source = buf_c(&source)};
	struct s3_reply r;
	struct errtext why;
	e = s3_run(s, &c, &r, &why);
	bool copied = !e;
	if (!e) {
		struct s3_error x;
		s3_error_parse(buf_str(&r.body), &x);
		copied = !x.code[0];
		s3_reply_release(&r);
	}
	buf_free(&source);
	if (copied && !s3_stat(s, hex, &info, NULL) && is_young(s, info.modified_ms))
		return OK;
	return put_again(s, hex, et);
}

/* ---- get ---- */

static enum err s3_get(void *ctx, const char *hex, struct os_map *out, struct errtext *et)
{
	struct s3_call c = {.method = HTTP_GET, .hex = hex, .map = true, .verify = hex};
	struct s3_reply r;
	enum err e = s3_run(ctx, &c, &r, et);
	if (e)
		return e;
	*out = r.map;
	r.map = (struct os_map){0};
	s3_reply_release(&r);
	return OK;
}

/* A part of a small blob is read with the whole, so that it is verified; of a large one only the
 * length can be. */
static enum err s3_read(
	void *ctx, const char *hex, uint64_t offset, void *to, size_t n, struct errtext *et)
{
	struct s3 *s = ctx;
	char range[80];
	if (!n)
		return OK;
	if (offset + n <= WHOLE_READ_MAX) {
		struct blob_info info;
		enum err e = offset ? s3_stat(s, hex, &info, et) : OK;
		if (e)
			return e;
		if (!offset || info.size <= WHOLE_READ_MAX) {
			struct os_map m;
			e = s3_get(s, hex, &m, et);
			if (e)
				return e;
			if (offset + n > m.n)
				e = err_set(et, ERR_INVALID,
					"blob %.16s ends before the range asked for", hex);
			else
				memcpy(to, (const char *)m.p + offset, n);
			os_unmap(&m);
			return e;
		}
	}
	snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)offset,
		(unsigned long long)(offset + n - 1));
	struct s3_call c = {.method = HTTP_GET, .hex = hex, .range = range, .to = to, .want = n};
	struct s3_reply r;
	enum err e = s3_run(s, &c, &r, et);
	if (!e)
		s3_reply_release(&r);
	return e;
}

/* ---- delete, list ---- */

static enum err remove_object(struct s3 *s, const char *hex, struct errtext *et)
{
	struct s3_call c = {.method = HTTP_DELETE, .hex = hex};
	struct s3_reply r;
	enum err e = s3_run(s, &c, &r, et);
	if (!e)
		s3_reply_release(&r);
	return e;
}

static enum err s3_remove(void *ctx, const char *hex, struct errtext *et)
{
	struct blob_info info;
	enum err e = s3_stat(ctx, hex, &info, et);
	return e ? e : remove_object(ctx, hex, et);
}

static enum err s3_remove_old(
	void *ctx, const char *hex, int64_t before_ms, uint64_t *freed, struct errtext *et)
{
	struct blob_info info;
	enum err e = s3_stat(ctx, hex, &info, et);
	if (e || info.modified_ms >= before_ms)
		return e;
	e = remove_object(ctx, hex, et);
	if (!e)
		*freed = info.size;
	return e;
}

struct listing {
	struct s3 *s;
	struct { /* of a page */
		char hex[SHA256_HEX + 1];
		struct blob_info info;
	} found[1000];
	size_t n;
	bool have_key, more;
	struct blob_info info;
	char hex[SHA256_HEX + 1];
	struct buf next;
};

static enum err list_element(void *ctx, const char *name, struct str text)
{
	struct listing *x = ctx;
	if (!strcmp(name, "Key")) {
		x->have_key = s3_key_parse(x->s, text, x->hex);
	} else if (!strcmp(name, "Size")) {
		str_u64(str_trim(text), &x->info.size);
	} else if (!strcmp(name, "LastModified")) {
		clock_parse_rfc3339(str_trim(text), &x->info.modified_ms);
	} else if (!strcmp(name, "Contents")) {
		if (x->have_key && x->n < ARRAY_LEN(x->found)) {
			memcpy(x->found[x->n].hex, x->hex, sizeof x->hex);
			x->found[x->n++].info = x->info;
		}
		x->have_key = false;
		x->info = (struct blob_info){0};
	} else if (!strcmp(name, "IsTruncated")) {
		x->more = str_eq_c(str_trim(text), "true");
	} else if (!strcmp(name, "NextContinuationToken")) {
		buf_clear(&x->next);
		url_encode(&x->next, text);
	}
	return x->next.err;
}

static enum err list_page(struct listing *x, struct errtext *et)
{
	struct buf query = {0};
	if (x->next.n)
		buf_addf(&query, "continuation-token=%s&", buf_c(&x->next));
	buf_addc(&query, "list-type=2&max-keys=1000&prefix=");
	url_encode(&query, str_c(x->s->url.prefix));
	struct s3_call c = {.method = HTTP_GET, .query = buf_str(&query)};
	struct s3_reply r;
	enum err e = query.err ? ERR_NOMEM : s3_run(x->s, &c, &r, et);
	buf_free(&query);
	if (e)
		return e;
	x->n = 0;
	x->more = false;
	buf_clear(&x->next);
	e = s3_xml(buf_str(&r.body), list_element, x, et);
	s3_reply_release(&r);
	if (!e && x->more && !x->next.n)
		e = err_set(et, ERR_NETWORK, "the S3 server's list goes on but does not say where");
	return e;
}

static enum err s3_each(void *ctx, blob_each_fn fn, void *fctx, struct errtext *et)
{
	struct listing *x = calloc(1, sizeof *x);
	if (!x)
		return err_set(et, ERR_NOMEM, "no memory for a list of blobs");
	x->s = ctx;
	enum err e;
	do {
		e = list_page(x, et);
		for (size_t i = 0; i < x->n && !e; i++)
			e = fn(fctx, x->found[i].hex, &x->found[i].info);
	} while (!e && x->more);
	buf_free(&x->next);
	free(x);
	return e;
}

static enum err s3_remove_stale(void *ctx, int64_t before_ms, uint64_t *freed, struct errtext *et)
{
	return s3_abort_stale(ctx, before_ms, et);
}

static enum err s3_begin(void *ctx, void **batch, struct errtext *et)
{
	return s3_batch_begin(ctx, s3_put, batch, et);
}

const struct blob_backend blob_s3 = {
	.scheme = "s3",
	.open = s3_open,
	.close = s3_close,
	.put = s3_put,
	.get = s3_get,
	.read = s3_read,
	.stat = s3_stat,
	.renew = s3_renew,
	.remove = s3_remove,
	.each = s3_each,
	.remove_old = s3_remove_old,
	.remove_stale = s3_remove_stale,
	.spool = s3_spool,
	.put_spooled = s3_put_spooled,
	.batch_begin = s3_begin,
	.batch_put = s3_batch_put,
	.batch_commit = s3_batch_commit,
	.batch_end = s3_batch_end,
};
