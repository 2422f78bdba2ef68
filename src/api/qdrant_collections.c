/* Qdrant: collections. */
#include "api/api_int.h"
#include "api/qdrant.h"

static enum err find(struct qd *q, struct collection_info *out)
{
	return collection_find(q->c, project_of(q->rq), http_param(q->rq, "collection"),
		q->rq->arena, out, &q->et);
}

/* ---- what there is ---- */

void qd_collections(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct collection_info *list = NULL;
	struct buf b = {0};
	struct jw w;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : collection_list(c, project_of(rq), rq->arena, &list, &n, &q.et);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_key(&w, "collections");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", list[i].name);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	qd_end(&q, &w);
}

/* What clients demand to be there: one shard, no replicas, and Qdrant's words for an index. */
static void write_config(struct jw *w, const struct collection_info *k)
{
	jw_obj(w);
	jw_key(w, "params");
	jw_obj(w);
	jw_key(w, "vectors");
	item_json_write_spaces(w, k->spaces, k->n_spaces);
	item_json_write_sparse(w, k->spaces, k->n_spaces);
	jw_ki64(w, "shard_number", 1);
	jw_ki64(w, "replication_factor", 1);
	jw_ki64(w, "write_consistency_factor", 1);
	jw_kbool(w, "on_disk_payload", true);
	jw_end(w);
	jw_key(w, "hnsw_config");
	jw_raw(w, S("{\"m\":16,\"ef_construct\":100,\"full_scan_threshold\":10000}"));
	jw_key(w, "optimizer_config");
	jw_raw(w, S("{\"deleted_threshold\":0.2,\"vacuum_min_vector_number\":1000,"
		    "\"default_segment_number\":1,\"flush_interval_sec\":1}"));
	jw_key(w, "wal_config");
	jw_raw(w, S("{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0}"));
	jw_end(w);
}

void qd_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct collection_info k;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : find(&q, &k);
	if (e) {
		qd_fail(&q, e);
		return;
	}
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_kc(&w, "status", "green");
	jw_kc(&w, "optimizer_status", "ok");
	jw_ki64(&w, "points_count", k.items);
	jw_ki64(&w, "indexed_vectors_count", k.items);
	jw_ki64(&w, "segments_count", 1);
	jw_key(&w, "config");
	write_config(&w, &k);
	e = qd_write_indexes(&q, k.name, &w);
	jw_end(&w);
	if (!e) {
		qd_end(&q, &w);
	} else {
		buf_free(&b);
		qd_fail(&q, e);
	}
}

void qd_exists(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct collection_info k;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : find(&q, &k);
	if (e && e != ERR_NOT_FOUND) {
		qd_fail(&q, e);
		return;
	}
	q.untimed = true;
	qd_result(&q, &w, &b);
	jw_obj(&w);
	jw_kbool(&w, "exists", !e);
	jw_end(&w);
	qd_end(&q, &w);
}

/* ---- making ---- */

void qd_create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const char *const no[] = {
		"quantization_config", "init_from", "strict_mode_config", NULL};
	struct qd q;
	struct space *spaces = NULL;
	size_t n = 0;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e
	      : item_json_spaces(item_json_get(q.body, "vectors"),
			item_json_get(q.body, "sparse_vectors"), rq->arena, &spaces, &n, &q.et);
	e = e ? e
	      : collection_create(
			c, project_of(rq), http_param(rq, "collection"), spaces, n, &q.et);
	if (e)
		qd_fail(&q, e);
	else
		qd_true(&q);
}

/* Whether there is one of that name is all that matters. */
void qd_update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const char *const no[] = {
		"sparse_vectors", "quantization_config", "strict_mode_config", NULL};
	struct qd q;
	struct collection_info k;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : item_json_refuse(q.body, no, "", &q.et);
	e = e ? e : find(&q, &k);
	if (e)
		qd_fail(&q, e);
	else
		qd_true(&q);
}

void qd_delete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct qd q;
	struct buf b = {0};
	struct jw w;
	enum err e = qd_begin(&q, c, rq, rs);
	e = e ? e : collection_delete(c, project_of(rq), http_param(rq, "collection"), &q.et);
	if (e && e != ERR_NOT_FOUND && e != ERR_CONFLICT) { /* conflict: the name of an alias */
		qd_fail(&q, e);
		return;
	}
	q.untimed = true;
	qd_result(&q, &w, &b);
	jw_bool(&w, !e);
	qd_end(&q, &w);
}
