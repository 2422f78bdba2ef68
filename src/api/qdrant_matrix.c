/* Qdrant: how near points are to each other, of a sample. */
#include "api/api_int.h"
#include "api/qdrant.h"
#include "collection/sample.h"

static enum err compute(struct qd *q, struct collection *k, struct sample_matrix *out)
{
	static const char *const no[] = {"shard_key", NULL};
	const struct cond *filter = NULL;
	int64_t sample = 10, limit = 3;
	struct errtext *et = &q->et;
	enum err e = item_json_refuse(q->body, no, "", et);
	e = e ? e : json_want_i64(q->body, "sample", 2, SAMPLE_MATRIX_MAX, &sample, et);
	e = e ? e : json_want_i64(q->body, "limit", 1, SAMPLE_MATRIX_MAX, &limit, et);
	e = e ? e
	      : collection_filter(k, item_json_get(q->body, "filter"), q->rq->arena, &filter, et);
	return e ? e
		 : collection_sample_matrix(k, json_str(q->body, "using"), filter, (size_t)sample,
			   (size_t)limit, q->rq->cancel, q->rq->arena, out, et);
}

static enum err pairs(struct qd *q, struct collection *k, struct jw *w)
{
	struct sample_matrix m = {0};
	enum err e = compute(q, k, &m);
	jw_obj(w);
	jw_key(w, "pairs");
	jw_arr(w);
	for (size_t i = 0; i < m.n && !e; i++)
		for (size_t j = 0; j < m.n_near[i]; j++) {
			jw_obj(w);
			jw_key(w, "a");
			item_json_write_id(w, &m.items[i].item.id);
			jw_key(w, "b");
			item_json_write_id(w, &m.near[i][j].item.id);
			jw_key(w, "score");
			item_json_write_number(w, m.near[i][j].score);
			jw_end(w);
		}
	jw_end(w);
	jw_end(w);
	return e;
}

/* Where in the sample an item stands; its items are in the order of ids. */
static size_t place_of(const struct sample_matrix *m, const struct item_id *id)
{
	size_t lo = 0, hi = m->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (str_cmp(item_id_bytes(&m->items[mid].item.id), item_id_bytes(id)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static enum err offsets(struct qd *q, struct collection *k, struct jw *w)
{
	static const char *const lists[] = {"offsets_row", "offsets_col", "scores"};
	struct sample_matrix m = {0};
	enum err e = compute(q, k, &m);
	if (e)
		return e;
	jw_obj(w);
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		jw_key(w, lists[l]);
		jw_arr(w);
		for (size_t i = 0; i < m.n; i++)
			for (size_t j = 0; j < m.n_near[i]; j++)
				if (l == 2)
					item_json_write_number(w, m.near[i][j].score);
				else
					jw_i64(w, l ? (int64_t)place_of(&m, &m.near[i][j].item.id)
						    : (int64_t)i);
		jw_end(w);
	}
	jw_key(w, "ids");
	jw_arr(w);
	for (size_t i = 0; i < m.n; i++)
		item_json_write_id(w, &m.items[i].item.id);
	jw_end(w);
	jw_end(w);
	return OK;
}

void qd_matrix_pairs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, pairs);
}

void qd_matrix_offsets(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, offsets);
}
