/* Qdrant's REST API: the rows, the envelope and errors. */
#include "api/qdrant.h"
#include "api/api_int.h"

/* ---- the envelope ---- */

enum err qd_begin(struct qd *q, struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	*q = (struct qd){.c = c, .rq = rq, .rs = rs, .began_ns = clock_mono_ns()};
	if (!rq->body.n)
		return OK;
	enum err e = api_parse_body(rq->body, rq->arena, &q->body, &x);
	if (e)
		q->et = x.et;
	return e;
}

void qd_result(struct qd *q, struct jw *w, struct buf *b)
{
	*w = (struct jw){.out = b};
	jw_obj(w);
	jw_key(w, "result");
}

void qd_end(struct qd *q, struct jw *w)
{
	jw_kc(w, "status", "ok");
	jw_kf64(w, "time", q->untimed ? 0 : (double)(clock_mono_ns() - q->began_ns) / 1e9);
	jw_end(w);
	http_reply_json(q->rs, 200, w);
	buf_free(w->out);
}

void qd_true(struct qd *q)
{
	struct buf b = {0};
	struct jw w;
	qd_result(q, &w, &b);
	jw_bool(&w, true);
	qd_end(q, &w);
}

/* Without the time that it took, which would tell what is there and not yours. */
static void reply_error(struct http_response *rs, enum err e, const struct errtext *et)
{
	int status = e == ERR_UNSUPPORTED ? 400 : err_http(e);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "status");
	jw_obj(&w);
	jw_kc(&w, "error", err_text(e, et));
	jw_end(&w);
	jw_ki64(&w, "time", 0);
	jw_end(&w);
	if (status == 429 || status == 503)
		http_set_header(rs, "retry-after", S("1"));
	http_reply_json(rs, status, &w);
	buf_free(&b);
}

void qd_fail(struct qd *q, enum err e)
{
	reply_error(q->rs, e, &q->et);
}

void qd_changed(struct qd *q, enum err e, int64_t seq)
{
	struct buf b = {0};
	struct jw w;
	if (e) {
		qd_fail(q, e);
		return;
	}
	qd_result(q, &w, &b);
	jw_obj(&w);
	jw_ki64(&w, "operation_id", seq);
	jw_kc(&w, "status", "completed");
	jw_end(&w);
	qd_end(q, &w);
}

/* Qdrant's clients ask who answers, and compare the version with their own. */
void qdrant_about(struct http_response *rs)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "title", "croft");
	jw_kc(&w, "version", QDRANT_VERSION);
	jw_kc(&w, "about", "version: of Qdrant's API, as far as it is spoken at /collections");
	jw_kc(&w, "croft", CROFT_VERSION);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

enum err qd_open(struct qd *q, struct collection **out)
{
	return collection_open_any(q->c, project_of(q->rq), http_param(q->rq, "collection"), out,
		q->rq->cancel, &q->et);
}

void qd_answer(struct croft *c, struct http_request *rq, struct http_response *rs,
	enum err (*fn)(struct qd *q, struct collection *k, struct jw *result))
{
	struct qd q;
	struct collection *k = NULL;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : qd_open(&q, &k);
	qd_result(&q, &w, &b);
	e = e ? e : fn(&q, k, &w);
	collection_close(k);
	if (e) {
		buf_free(&b);
		qd_fail(&q, e);
	} else {
		qd_end(&q, &w);
	}
}

/* ---- rows ---- */

#define C "/collections/{collection}"
#define READ PERM_DOCUMENT_READ
#define WRITE PERM_DOCUMENT_WRITE
enum { POINTS_MAX = 256 << 20 }; /* bytes of a body with points */
enum { SNAPSHOT_MAX = 1 << 30 }; /* of a file */

static const struct route routes[] = {
	{HTTP_GET, "/collections", qd_collections, READ, "Qdrant: list the collections", NULL, NULL,
		"object", 0},
	{HTTP_GET, C, qd_collection, READ, "Qdrant: what a collection is and holds", NULL, NULL,
		"object", 0},
	{HTTP_GET, C "/exists", qd_exists, READ, "Qdrant: whether there is one of that name", NULL,
		NULL, "object", 0},
	{HTTP_PUT, C, qd_create, WRITE, "Qdrant: make a collection", NULL, "object", "object", 0},
	{HTTP_PATCH, C, qd_update, WRITE, "Qdrant: change how a collection is stored (no effect)",
		NULL, "object", "object", 0},
	{HTTP_DELETE, C, qd_delete, WRITE, "Qdrant: delete a collection", NULL, NULL, "object", 0},
	{HTTP_GET, "/aliases", qd_aliases, READ, "Qdrant: all aliases of collections", NULL, NULL,
		"object", 0},
	{HTTP_GET, C "/aliases", qd_aliases_of, READ, "Qdrant: the aliases of a collection", NULL,
		NULL, "object", 0},
	{HTTP_POST, "/collections/aliases", qd_change_aliases, WRITE,
		"Qdrant: change aliases, all at one moment or none", NULL, "object", "object", 0},
	{HTTP_GET, C "/snapshots", qd_snapshots, READ, "Qdrant: the versions of a collection", NULL,
		NULL, "object", 0},
	{HTTP_POST, C "/snapshots", qd_snapshot_make, WRITE, "Qdrant: make a version", NULL, NULL,
		"object", 0},
	{HTTP_GET, C "/snapshots/{snapshot}", qd_snapshot_get, READ,
		"Qdrant: a version as one file", NULL, NULL, NULL, 0},
	{HTTP_DELETE, C "/snapshots/{snapshot}", qd_snapshot_drop, PERM_ARTIFACT_DELETE,
		"Qdrant: delete a version", NULL, NULL, "object", 0},
	{HTTP_PUT, C "/snapshots/recover", qd_snapshot_recover, WRITE,
		"Qdrant: a collection becomes what a snapshot of this server has", NULL, "object",
		"object", 0},
	{HTTP_POST, C "/snapshots/upload", qd_snapshot_upload, WRITE,
		"Qdrant: a collection becomes what a file has, as a whole or not at all", NULL,
		"object", "object", SNAPSHOT_MAX},
	{HTTP_PUT, C "/index", qd_index, WRITE,
		"Qdrant: index a field of the payloads (all of them are, always)", NULL, "object",
		"object", 0},
	{HTTP_DELETE, C "/index/{field}", qd_index_drop, WRITE, "Qdrant: no longer index a field",
		NULL, NULL, "object", 0},
	{HTTP_PUT, C "/points", qd_upsert, WRITE, "Qdrant: insert or replace points", NULL,
		"object", "object", POINTS_MAX},
	{HTTP_POST, C "/points", qd_retrieve, READ, "Qdrant: points by their ids", NULL, "object",
		"object", 0},
	{HTTP_POST, C "/points/delete", qd_remove, WRITE, "Qdrant: delete points", NULL, "object",
		"object", 0},
	{HTTP_PUT, C "/points/vectors", qd_put_vectors, WRITE, "Qdrant: replace vectors of points",
		NULL, "object", "object", POINTS_MAX},
	{HTTP_POST, C "/points/vectors/delete", qd_remove_vectors, WRITE,
		"Qdrant: delete vectors of points", NULL, "object", "object", 0},
	{HTTP_POST, C "/points/payload", qd_set_payload, WRITE, "Qdrant: set members of payloads",
		NULL, "object", "object", POINTS_MAX},
	{HTTP_PUT, C "/points/payload", qd_overwrite_payload, WRITE, "Qdrant: replace payloads",
		NULL, "object", "object", POINTS_MAX},
	{HTTP_POST, C "/points/payload/delete", qd_remove_payload, WRITE,
		"Qdrant: delete members of payloads", NULL, "object", "object", 0},
	{HTTP_POST, C "/points/payload/clear", qd_clear_payload, WRITE, "Qdrant: empty payloads",
		NULL, "object", "object", 0},
	{HTTP_POST, C "/points/batch", qd_batch, WRITE, "Qdrant: several changes, one by one", NULL,
		"object", "object", POINTS_MAX},
	{HTTP_POST, C "/points/scroll", qd_scroll, READ, "Qdrant: points in the order of their ids",
		NULL, "object", "object", 0},
	{HTTP_POST, C "/points/count", qd_count, READ, "Qdrant: how many points", NULL, "object",
		"object", 0},
	{HTTP_POST, C "/points/search", qd_search, READ, "Qdrant: the nearest points", NULL,
		"object", "object", 0},
	{HTTP_POST, C "/points/search/batch", qd_search_batch, READ, "Qdrant: several searches",
		NULL, "object", "object", POINTS_MAX},
	{HTTP_POST, C "/points/query", qd_query, READ, "Qdrant: the nearest points", NULL, "object",
		"object", 0},
	{HTTP_POST, C "/points/query/batch", qd_query_batch, READ, "Qdrant: several queries", NULL,
		"object", "object", POINTS_MAX},
	{HTTP_POST, C "/points/query/groups", qd_query_groups, READ,
		"Qdrant: the nearest points, by the values of a field", NULL, "object", "object",
		0},
	{HTTP_POST, C "/points/search/groups", qd_search_groups, READ,
		"Qdrant: the nearest points, by the values of a field", NULL, "object", "object",
		0},
	{HTTP_POST, C "/points/search/matrix/pairs", qd_matrix_pairs, READ,
		"Qdrant: how near points of a sample are to each other", NULL, "object", "object",
		0},
	{HTTP_POST, C "/points/search/matrix/offsets", qd_matrix_offsets, READ,
		"Qdrant: the same as a sparse matrix", NULL, "object", "object", 0},
	{HTTP_POST, C "/points/recommend", qd_recommend, READ,
		"Qdrant: the points nearest to examples", NULL, "object", "object", 0},
	{HTTP_POST, C "/points/recommend/batch", qd_recommend_batch, READ,
		"Qdrant: several of these", NULL, "object", "object", POINTS_MAX},
	{HTTP_POST, C "/points/recommend/groups", qd_recommend_groups, READ,
		"Qdrant: these by the values of a field", NULL, "object", "object", 0},
	{HTTP_POST, C "/points/discover", qd_discover, READ,
		"Qdrant: points near a target, on the right side of pairs", NULL, "object",
		"object", 0},
	{HTTP_POST, C "/points/discover/batch", qd_discover_batch, READ, "Qdrant: several of these",
		NULL, "object", "object", POINTS_MAX},
	{HTTP_GET, "/cluster", qd_cluster, READ, "Qdrant: that there is no cluster", NULL, NULL,
		"object", 0},
	{HTTP_GET, "/issues", qd_issues, READ, "Qdrant: nothing that is to be mended", NULL, NULL,
		"object", 0},
	{HTTP_GET, C "/cluster", qd_collection_cluster, READ, "Qdrant: the only shard", NULL, NULL,
		"object", 0},
	{HTTP_GET, C "/shards", qd_shard_keys, READ, "Qdrant: no shards under keys", NULL, NULL,
		"object", 0},
	{HTTP_GET, C "/optimizations", qd_optimizations, READ,
		"Qdrant: nothing is in the queue, ever", NULL, NULL, "object", 0},
	{HTTP_POST, C "/facet", qd_facet, READ, "Qdrant: the values of a field and their points",
		NULL, "object", "object", 0},
	{HTTP_GET, C "/points/{id}", qd_point, READ, "Qdrant: one point", NULL, NULL, "object", 0},
};

static const struct face faces[] = {
	{"/collections", NULL, reply_error, NULL},
	{"/aliases", NULL, reply_error, NULL},
	{"/cluster", NULL, reply_error, NULL},
	{"/issues", NULL, reply_error, NULL},
};

const struct module qdrant_module = {
	.name = "qdrant",
	TABLE(routes),
	TABLE(faces),
};
