/* Qdrant: what clients ask about the server: one peer, one shard, nothing to mend. */
#include "api/api_int.h"
#include "api/qdrant.h"

/* The number of the only peer. */
enum { PEER = 1 };

static void answer(struct croft *c, struct http_request *rq, struct http_response *rs,
	void (*write)(struct jw *w))
{
	struct qd q;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	qd_result(&q, &w, &b);
	write(&w);
	qd_end(&q, &w);
}

static void write_cluster(struct jw *w)
{
	jw_obj(w);
	jw_kc(w, "status", "disabled");
	jw_end(w);
}

static void write_issues(struct jw *w)
{
	jw_obj(w);
	jw_key(w, "issues");
	jw_arr(w);
	jw_end(w);
	jw_end(w);
}

void qd_cluster(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	answer(c, rq, rs, write_cluster);
}

void qd_issues(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	answer(c, rq, rs, write_issues);
}

static enum err shards(struct qd *q, struct collection *k, struct jw *w)
{
	static const char *const none[] = {"remote_shards", "shard_transfers"};
	jw_obj(w);
	jw_ki64(w, "peer_id", PEER);
	jw_ki64(w, "shard_count", 1);
	jw_key(w, "local_shards");
	jw_arr(w);
	jw_obj(w);
	jw_ki64(w, "shard_id", 0);
	jw_ki64(w, "points_count", (int64_t)collection_count(k));
	jw_kc(w, "state", "Active");
	jw_end(w);
	jw_end(w);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		jw_key(w, none[i]);
		jw_arr(w);
		jw_end(w);
	}
	jw_end(w);
	return OK;
}

void qd_collection_cluster(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, shards);
}

/* Changes are in the index before they are answered: there is nothing in the queue. */
static enum err optimizations(struct qd *q, struct collection *k, struct jw *w)
{
	static const char *const zeros[] = {
		"queued_optimizations", "queued_segments", "queued_points", "idle_segments"};
	jw_obj(w);
	jw_key(w, "summary");
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
		jw_ki64(w, zeros[i], i < 3 ? 0 : 1);
	jw_end(w);
	jw_key(w, "running");
	jw_arr(w);
	jw_end(w);
	jw_end(w);
	return OK;
}

void qd_optimizations(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, optimizations);
}

/* Collections have no shards under keys of their own. */
static enum err shard_keys(struct qd *q, struct collection *k, struct jw *w)
{
	jw_obj(w);
	jw_key(w, "shard_keys");
	jw_arr(w);
	jw_end(w);
	jw_end(w);
	return OK;
}

void qd_shard_keys(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, shard_keys);
}
