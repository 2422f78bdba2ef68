/* A large object in parts, and several puts at once.
 *
 * Parts are uploaded by a few threads and named as one object by the last request: before it
 * nothing is visible. An upload that fails is cut off; one that a crash left behind is cut off by
 * the next sweep (s3_abort_stale). */
#include "store/s3_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARTS_MAX = 10000, PART_THREADS = 4 };

/* ---- parts ---- */

struct upload {
	struct s3 *s;
	const char *hex;
	struct str data;
	size_t part, n; /* bytes of a part, number of parts */
	struct buf id;  /* encoded for a query */
	char (*etags)[200];
	atomic_size_t next;
	pthread_mutex_t mu;
	enum err err;
	struct errtext et;
};

static enum err take_upload_id(void *ctx, const char *name, struct str text)
{
	struct buf *id = ctx;
	if (!strcmp(name, "UploadId") && !id->n)
		url_encode(id, text);
	return id->err;
}

static enum err begin_upload(struct upload *u, struct errtext *et)
{
	struct s3_call c = {.method = HTTP_POST, .hex = u->hex, .query = S("uploads=")};
	struct s3_reply r;
	enum err e = s3_run(u->s, &c, &r, et);
	if (e)
		return e;
	e = s3_xml(buf_str(&r.body), take_upload_id, &u->id, et);
	s3_reply_release(&r);
	if (!e && !u->id.n)
		e = err_set(et, ERR_NETWORK, "the S3 server gave no id for an upload in parts");
	return e;
}

static enum err put_part(struct upload *u, size_t i, struct errtext *et)
{
	struct buf query = {0};
	buf_addf(&query, "partNumber=%zu&uploadId=%s", i + 1, buf_c(&u->id));
	struct s3_call c = {.method = HTTP_PUT,
		.hex = u->hex,
		.query = buf_str(&query),
		.body = str_sub(u->data, i * u->part, (i + 1) * u->part)};
	struct s3_reply r;
	enum err e = query.err ? ERR_NOMEM : s3_run(u->s, &c, &r, et);
	if (!e) {
		memcpy(u->etags[i], r.etag, sizeof r.etag);
		if (!r.etag[0])
			e = err_set(et, ERR_NETWORK, "the S3 server gave no ETag for a part");
		s3_reply_release(&r);
	}
	buf_free(&query);
	return e;
}

static void *part_member(void *arg)
{
	struct upload *u = arg;
	for (;;) {
		size_t i = atomic_fetch_add(&u->next, 1);
		struct errtext et = {0};
		enum err e = i < u->n ? put_part(u, i, &et) : OK;
		if (e) {
			pthread_mutex_lock(&u->mu);
			if (!u->err) {
				u->err = e;
				u->et = et;
			}
			pthread_mutex_unlock(&u->mu);
			atomic_store(&u->next, u->n);
		}
		if (e || i >= u->n)
			return NULL;
	}
}

static void put_all_parts(struct upload *u)
{
	pthread_t id[PART_THREADS];
	unsigned n = 0;
	while (n + 1 < MIN((size_t)PART_THREADS, u->n) &&
		!thread_start(&id[n], part_member, u, "s3", NULL))
		n++;
	part_member(u);
	for (unsigned i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

static enum err end_upload(struct upload *u, struct errtext *et)
{
	struct buf body = {0}, query = {0};
	buf_addc(&body, "<CompleteMultipartUpload>");
	for (size_t i = 0; i < u->n; i++) {
		buf_addf(&body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
		for (const char *p = u->etags[i]; *p; p++)
			*p == '&'   ? buf_addc(&body, "&amp;")
			: *p == '<' ? buf_addc(&body, "&lt;")
				    : buf_putc(&body, *p);
		buf_addc(&body, "</ETag></Part>");
	}
	buf_addc(&body, "</CompleteMultipartUpload>");
	buf_addf(&query, "uploadId=%s", buf_c(&u->id));
	struct s3_call c = {.method = HTTP_POST,
		.hex = u->hex,
		.query = buf_str(&query),
		.body = buf_str(&body)};
	struct s3_reply r;
	enum err e = body.err || query.err ? err_set(et, ERR_NOMEM, "no memory for an upload")
					   : s3_run(u->s, &c, &r, et);
	if (!e) { /* 200 is sent before the work is done; the body says how it went */
		struct s3_error x;
		s3_error_parse(buf_str(&r.body), &x);
		if (x.code[0])
			e = err_set(et, ERR_NETWORK, "S3 could not join the parts: %s %s", x.code,
				x.message);
		s3_reply_release(&r);
	}
	buf_free(&body);
	buf_free(&query);
	return e;
}

static void abort_upload(struct s3 *s, const char *hex, struct str id)
{
	struct buf query = {0};
	buf_addf(&query, "uploadId=%.*s", STR_FMT(id));
	struct s3_call c = {.method = HTTP_DELETE, .hex = hex, .query = buf_str(&query)};
	struct s3_reply r;
	if (!s3_run(s, &c, &r, NULL))
		s3_reply_release(&r);
	buf_free(&query);
}

/* The joined object is there with its full length: also when the joining request was repeated and
 * the server then knew no such upload any more. */
static enum err check_joined(struct upload *u, enum err joined, struct errtext *et)
{
	struct s3_call c = {.method = HTTP_HEAD, .hex = u->hex};
	struct s3_reply r;
	struct errtext why = {0};
	enum err e = s3_run(u->s, &c, &r, &why);
	if (!e) {
		bool whole = r.length == (int64_t)u->data.n;
		s3_reply_release(&r);
		if (whole)
			return OK;
		e = err_set(
			&why, ERR_NETWORK, "S3 joined the parts of an object to another length");
	}
	if (joined)
		return joined;
	if (et)
		*et = why;
	return e;
}

enum err s3_put_parts(struct s3 *s, const char *hex, struct str data, struct errtext *et)
{
	struct upload u = {.s = s, .hex = hex, .data = data, .part = S3_PART};
	while ((data.n + u.part - 1) / u.part > PARTS_MAX)
		u.part *= 2;
	u.n = (data.n + u.part - 1) / u.part;
	u.etags = calloc(u.n, sizeof *u.etags);
	if (!u.etags)
		return err_set(et, ERR_NOMEM, "no memory for an upload");
	pthread_mutex_init(&u.mu, NULL);
	enum err e = begin_upload(&u, et);
	if (!e) {
		put_all_parts(&u);
		e = u.err;
		if (e && et)
			*et = u.et;
		if (!e)
			e = check_joined(&u, end_upload(&u, et), et);
		if (e)
			abort_upload(s, hex, buf_str(&u.id));
	}
	pthread_mutex_destroy(&u.mu);
	buf_free(&u.id);
	free(u.etags);
	return e;
}

/* ---- what a crash left ---- */

struct stale {
	struct s3 *s;
	int64_t before_ms;
	struct buf key, id;
	struct {
		char hex[SHA256_HEX + 1];
		char *id;
	} found[1000];
	size_t n;
};

static enum err stale_element(void *ctx, const char *name, struct str text)
{
	struct stale *x = ctx;
	int64_t began_ms;
	if (!strcmp(name, "Key")) {
		buf_clear(&x->key);
		buf_adds(&x->key, text);
	} else if (!strcmp(name, "UploadId")) {
		buf_clear(&x->id);
		url_encode(&x->id, text);
	} else if (!strcmp(name, "Initiated") && x->n < ARRAY_LEN(x->found) &&
		   clock_parse_rfc3339(text, &began_ms) && began_ms < x->before_ms &&
		   s3_key_parse(x->s, buf_str(&x->key), x->found[x->n].hex)) {
		x->found[x->n].id = str_dup(buf_str(&x->id));
		x->n += x->found[x->n].id != NULL;
	}
	return OK;
}

enum err s3_abort_stale(struct s3 *s, int64_t before_ms, struct errtext *et)
{
	struct stale *x = calloc(1, sizeof *x);
	struct buf query = {0};
	if (!x)
		return err_set(et, ERR_NOMEM, "no memory");
	x->s = s;
	x->before_ms = before_ms;
	buf_addc(&query, "prefix=");
	url_encode(&query, str_c(s->url.prefix));
	buf_addc(&query, "&uploads=");
	struct s3_call c = {.method = HTTP_GET, .query = buf_str(&query)};
	struct s3_reply r;
	struct errtext why;
	enum err e = s3_run(s, &c, &r, &why);
	if (!e) {
		e = s3_xml(buf_str(&r.body), stale_element, x, et);
		s3_reply_release(&r);
	} else if (e == ERR_INVALID || e == ERR_NOT_FOUND) {
		e = OK; /* a server that does not list uploads: its own life-cycle rules must do */
	} else if (et) {
		*et = why;
	}
	for (size_t i = 0; i < x->n; i++) {
		if (!e)
			abort_upload(s, x->found[i].hex, str_c(x->found[i].id));
		free(x->found[i].id);
	}
	buf_free(&x->key);
	buf_free(&x->id);
	buf_free(&query);
	free(x);
	return e;
}

/* ---- several puts at once ---- */

enum { PUT_THREADS = 8, PUT_QUEUE = 16 };

struct batch_job {
	struct batch *g;
	char hex[SHA256_HEX + 1];
	size_t n;
	char data[];
};

struct batch {
	void *ctx;
	s3_put_fn put;
	struct pool *pool;
	pthread_mutex_t mu;
	pthread_cond_t fewer;
	unsigned flying;
	enum err err; /* the first; told by the next put or commit */
	struct errtext et;
};

enum err s3_batch_begin(void *ctx, s3_put_fn put, void **out, struct errtext *et)
{
	struct batch *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for storing blobs");
	g->ctx = ctx;
	g->put = put;
	enum err e = pool_new(PUT_THREADS, PUT_QUEUE, "s3 put", &g->pool, et);
	if (e) {
		free(g);
		return e;
	}
	pthread_mutex_init(&g->mu, NULL);
	cond_init(&g->fewer);
	*out = g;
	return OK;
}

static void run_job(void *arg)
{
	struct batch_job *j = arg;
	struct batch *g = j->g;
	struct errtext et = {0};
	pthread_mutex_lock(&g->mu);
	bool failed = g->err != OK;
	pthread_mutex_unlock(&g->mu);
	enum err e = failed ? OK : g->put(g->ctx, j->hex, str_mk(j->data, j->n), &et);
	pthread_mutex_lock(&g->mu);
	if (e && !g->err) {
		g->err = e;
		g->et = et;
	}
	g->flying--;
	pthread_cond_broadcast(&g->fewer);
	pthread_mutex_unlock(&g->mu);
	free(j);
}

static enum err told(struct batch *g, struct errtext *et)
{
	if (g->err && et)
		*et = g->et;
	return g->err;
}

enum err s3_batch_put(void *batch, const char *hex, struct str data, struct errtext *et)
{
	struct batch *g = batch;
	struct batch_job *j = malloc(sizeof *j + data.n);
	if (!j)
		return err_set(et, ERR_NOMEM, "no memory for storing blobs");
	j->g = g;
	snprintf(j->hex, sizeof j->hex, "%s", hex);
	j->n = data.n;
	if (data.n)
		memcpy(j->data, data.p, data.n);
	pthread_mutex_lock(&g->mu);
	while (g->flying >= PUT_QUEUE && !g->err)
		pthread_cond_wait(&g->fewer, &g->mu);
	enum err e = told(g, et);
	if (!e)
		g->flying++;
	pthread_mutex_unlock(&g->mu);
	if (!e) {
		e = pool_submit(g->pool, run_job, j); /* has room for all that fly */
		if (!e)
			return OK;
		pthread_mutex_lock(&g->mu);
		g->flying--;
		pthread_mutex_unlock(&g->mu);
		err_set(et, e, "too many blobs are being stored");
	}
	free(j);
	return e;
}

enum err s3_batch_commit(void *batch, struct errtext *et)
{
	struct batch *g = batch;
	pthread_mutex_lock(&g->mu);
	while (g->flying)
		pthread_cond_wait(&g->fewer, &g->mu);
	enum err e = told(g, et);
	g->err = OK;
	pthread_mutex_unlock(&g->mu);
	return e;
}

void s3_batch_end(void *batch)
{
	struct batch *g = batch;
	pool_free(g->pool);
	pthread_mutex_destroy(&g->mu);
	pthread_cond_destroy(&g->fewer);
	free(g);
}
