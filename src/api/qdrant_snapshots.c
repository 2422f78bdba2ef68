/* Qdrant: snapshots. They are the collection's versions; as a file they are lines of JSON. */
#include "api/api_int.h"
#include "api/qdrant.h"
#include "base/clock.h"
#include "collection/bundle.h"

static const char suffix[] = ".snapshot";

/* By its own name: versions go by it. */
static enum err own_name(struct qd *q, struct str *out)
{
	struct collection_info k;
	enum err e = collection_find(
		q->c, project_of(q->rq), http_param(q->rq, "collection"), q->rq->arena, &k, &q->et);
	if (!e)
		*out = k.name;
	return e;
}

static void write_snapshot(struct jw *w, const struct bundle *b)
{
	char t[CLOCK_TEXT];
	clock_rfc3339(b->created_ms, t);
	t[19] = 0; /* Qdrant's are without a zone */
	jw_obj(w);
	jw_key(w, "name");
	jw_fmt(w, "%.*s-%lld%s", STR_FMT(b->collection), (long long)b->version, suffix);
	jw_kc(w, "creation_time", t);
	jw_ki64(w, "size", b->bytes);
	jw_end(w);
}

/* "NAME-3.snapshot", of this collection. */
static enum err number_of(struct qd *q, struct str collection, struct str name, int64_t *out)
{
	size_t n = name.n - MIN(name.n, strlen(suffix)), at = collection.n;
	bool good = n > at + 1 && str_starts(name, collection) && name.p[at] == '-' &&
		    str_eq_c(str_sub(name, n, name.n), suffix) &&
		    str_i64(str_sub(name, at + 1, n), out) && *out > 0;
	return good ? OK
		    : err_set(&q->et, ERR_NOT_FOUND, "there is no snapshot %.*s of %.*s",
			      STR_FMT(str_sub(name, 0, 300)), STR_FMT(collection));
}

/* ---- list, make, delete ---- */

void qd_snapshots(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct bundle *list = NULL;
	struct str name;
	size_t n = 0;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : own_name(&q, &name);
	e = e ? e : bundle_list(c, rq, name, rq->arena, &list, &n, &q.et);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	qd_result(&q, &w, &b);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_snapshot(&w, &list[i]);
	jw_end(&w);
	qd_end(&q, &w);
}

void qd_snapshot_make(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct bundle made;
	struct str name;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : own_name(&q, &name);
	e = e ? e : bundle_make(c, rq, name, rq->arena, &made, &q.et);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	qd_result(&q, &w, &b);
	write_snapshot(&w, &made);
	qd_end(&q, &w);
}

void qd_snapshot_drop(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct str name;
	int64_t version = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : own_name(&q, &name);
	e = e ? e : number_of(&q, name, http_param(rq, "snapshot"), &version);
	e = e ? e : bundle_delete(c, rq, name, version, rq->arena, &q.et);
	if (e)
		qd_fail(&q, e);
	else
		qd_true(&q);
}

/* ---- as a file ---- */

struct sending {
	struct http_response *rs;
	bool begun;
};

static enum err send(void *ctx, struct str data, struct errtext *et)
{
	struct sending *s = ctx;
	enum err e = s->begun ? OK : http_stream_begin(s->rs, 200, "application/octet-stream");
	s->begun = true;
	return e ? e : http_stream_write(s->rs, data);
}

/* One that breaks off lacks its last line, and is refused when it comes back. */
void qd_snapshot_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct sending s = {rs, false};
	struct str name;
	int64_t version = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : own_name(&q, &name);
	e = e ? e : number_of(&q, name, http_param(rq, "snapshot"), &version);
	e = e ? e : bundle_write(c, rq, name, version, send, &s, &q.et);
	if (e && !s.begun)
		qd_fail(&q, e);
}

/* ---- recovering ---- */

void qd_snapshot_upload(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q = {.c = c, .rq = rq, .rs = rs, .began_ns = clock_mono_ns()};
	struct http_part *part = NULL;
	size_t n = 0, at = 0;
	enum err e = http_multipart(rq, &part, &n, &q.et);
	while (!e && at < n && !str_eq_c(part[at].name, "snapshot") && n > 1)
		at++;
	if (!e && at >= n)
		e = err_set(&q.et, ERR_INVALID, "the form has no part named snapshot");
	e = e ? e : bundle_recover(c, rq, http_param(rq, "collection"), part[at].data, &q.et);
	if (e)
		qd_fail(&q, e);
	else
		qd_true(&q);
}

/* The last part of a location, and the collection before it: file:///x/NAME, or this server's own
 * address of a snapshot. */
static enum err parse_location(struct qd *q, struct str *collection, struct str *name)
{
	struct str at = json_str(q->body, "location"), rest, host = http_header(q->rq, "host");
	size_t slash = at.n;
	while (slash && at.p[slash - 1] != '/')
		slash--;
	*name = str_sub(at, slash, at.n);
	size_t dash = name->n;
	while (dash && name->p[dash - 1] != '-')
		dash--;
	*collection = str_sub(*name, 0, dash ? dash - 1 : 0);
	if (str_starts(at, S("file:///")))
		return OK;
	size_t scheme = str_starts(at, S("http://")) ? 7 : str_starts(at, S("https://")) ? 8 : 0;
	rest = str_sub(at, scheme, at.n);
	if (scheme && host.n && str_starts(rest, host) &&
		str_starts(str_sub(rest, host.n, rest.n), S("/collections/")))
		return OK;
	return err_set(&q->et, ERR_UNSUPPORTED,
		"location must name a snapshot of this server; upload one of another server to "
		"/collections/NAME/snapshots/upload");
}

static enum err gather(void *ctx, struct str data, struct errtext *et)
{
	struct buf *b = ctx;
	buf_adds(b, data);
	return b->err ? err_set(et, b->err, "the snapshot is too large to be recovered so") : OK;
}

void qd_snapshot_recover(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const char *const no[] = {"api_key", NULL};
	struct qd q;
	struct buf b = {.max = 1u << 30};
	struct str collection, name;
	int64_t version = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e : parse_location(&q, &collection, &name);
	e = e ? e : number_of(&q, collection, name, &version);
	e = e ? e : bundle_write(c, rq, collection, version, gather, &b, &q.et);
	e = e ? e : bundle_recover(c, rq, http_param(rq, "collection"), buf_str(&b), &q.et);
	buf_free(&b);
	if (e)
		qd_fail(&q, e);
	else
		qd_true(&q);
}
