/* Qdrant: groups of hits, facets, orders. */
#include "api/api_int.h"
#include "api/qdrant.h"

/* ---- orders ---- */

/* A number, or a time. */
static enum err start_of(struct qd *q, yyjson_val *v, struct item_order *out)
{
	int64_t us;
	out->has_from = v != NULL;
	if (yyjson_is_num(v))
		out->from = cond_number_of(v);
	else if (yyjson_is_str(v) && cond_time_of(json_val_str(v), &us))
		out->from = (struct cond_number){true, us, 0};
	else if (v)
		return err_set(
			&q->et, ERR_INVALID, "order_by.start_from must be a number or a time");
	return OK;
}

enum err qd_order_by(struct qd *q, yyjson_val *v, struct item_order *out)
{
	bool named = yyjson_is_str(v);
	struct str direction = named ? S("asc") : json_str(v, "direction");
	*out = (struct item_order){.field = named ? json_val_str(v) : json_str(v, "key"),
		.descending = str_eq_c(direction, "desc")};
	if (!out->field.n)
		return err_set(&q->et, ERR_INVALID,
			"order_by must be a field of the payloads, or {key, direction, "
			"start_from}");
	if (direction.n && !out->descending && !str_eq_c(direction, "asc"))
		return err_set(&q->et, ERR_INVALID, "order_by.direction must be asc or desc");
	return start_of(q, named ? NULL : item_json_get(v, "start_from"), out);
}

/* ---- groups ---- */

/* Points of another collection, under the groups' values as ids. */
struct lookup {
	struct collection *k;
	yyjson_val *payload, *vectors;
	struct item_want want;
};

static enum err lookup_of(struct qd *q, yyjson_val *v, struct lookup *out)
{
	static yyjson_val yes = {.tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE};
	struct str name = yyjson_is_str(v) ? json_val_str(v) : json_str(v, "collection");
	if (!v)
		return OK;
	if (!name.n)
		return err_set(&q->et, ERR_INVALID,
			"with_lookup must be a collection, or {collection, with_payload, "
			"with_vectors}");
	out->payload = item_json_get(v, "with_payload");
	out->payload = out->payload ? out->payload : &yes;
	out->vectors = item_json_get(v, "with_vectors");
	enum err e = item_json_want(out->payload, out->vectors, &out->want, &q->et);
	return e ? e
		 : collection_open(q->c, project_of(q->rq), name, &out->k, q->rq->cancel, &q->et);
}

static enum err write_looked_up(
	struct qd *q, const struct lookup *l, const struct cond_value *v, struct jw *w)
{
	struct item_id id;
	struct collection_item *items = NULL;
	size_t n = 0;
	enum err e = OK;
	if (v->type == COND_NUMBER)
		item_id_number((uint64_t)v->n.i, &id);
	else if (item_id_parse(v->s, &id, NULL))
		return OK;
	if (v->type != COND_NUMBER || v->n.i >= 0)
		e = collection_get(l->k, &id, 1, l->want, q->rq->arena, &items, &n, &q->et);
	if (e || !n)
		return e;
	jw_key(w, "lookup");
	jw_obj(w);
	item_json_write(w, &items[0], l->payload, l->vectors);
	jw_end(w);
	return OK;
}

static enum err write_group(
	struct qd *q, const struct qd_grouped *x, size_t at, const struct lookup *l, struct jw *w)
{
	const struct hit_group *g = &x->groups[at];
	jw_obj(w);
	jw_key(w, "id");
	cond_value_write(w, &g->value);
	jw_key(w, "hits");
	jw_arr(w);
	for (size_t i = 0; i < g->n; i++)
		qd_write_hit(w, &g->hits[i], x->payload, x->vectors, NULL);
	jw_end(w);
	enum err e = l->k ? write_looked_up(q, l, &g->value, w) : OK;
	jw_end(w);
	return e;
}

static enum err groups(struct qd *q, struct collection *k, struct jw *w, enum qd_groups of)
{
	struct qd_grouped x = {0};
	struct lookup l = {0};
	enum err e = qd_ask_groups(q, k, of, &x);
	e = e ? e : lookup_of(q, item_json_get(q->body, "with_lookup"), &l);
	jw_obj(w);
	jw_key(w, "groups");
	jw_arr(w);
	for (size_t i = 0; i < x.n && !e; i++)
		e = write_group(q, &x, i, &l, w);
	jw_end(w);
	jw_end(w);
	collection_close(l.k);
	return e;
}

static enum err query_groups(struct qd *q, struct collection *k, struct jw *w)
{
	return groups(q, k, w, QD_GROUPS_QUERY);
}

static enum err search_groups(struct qd *q, struct collection *k, struct jw *w)
{
	return groups(q, k, w, QD_GROUPS_SEARCH);
}

static enum err recommend_groups(struct qd *q, struct collection *k, struct jw *w)
{
	return groups(q, k, w, QD_GROUPS_RECOMMEND);
}

/* ---- facets ---- */

static enum err facet(struct qd *q, struct collection *k, struct jw *w)
{
	static const char *const no[] = {"shard_key", NULL};
	const struct cond *filter = NULL;
	struct facet *list = NULL;
	struct str field = json_str(q->body, "key");
	int64_t limit = 10;
	size_t n = 0;
	enum err e = item_json_refuse(q->body, no, "", &q->et);
	if (!e && !field.n)
		e = err_set(&q->et, ERR_INVALID, "key (a field of the payloads) is missing");
	e = e ? e : json_want_i64(q->body, "limit", 1, COLLECTION_K_MAX, &limit, &q->et);
	e = e ? e
	      : collection_filter(
			k, item_json_get(q->body, "filter"), q->rq->arena, &filter, &q->et);
	e = e ? e
	      : collection_facets(k, field, filter, (size_t)limit, q->rq->arena, &list, &n, &q->et);
	jw_obj(w);
	jw_key(w, "hits");
	jw_arr(w);
	for (size_t i = 0; i < n && !e; i++) {
		jw_obj(w);
		jw_key(w, "value");
		cond_value_write(w, &list[i].value);
		jw_ki64(w, "count", (int64_t)list[i].n);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
	return e;
}

/* ---- rows ---- */

void qd_query_groups(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, query_groups);
}

void qd_search_groups(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, search_groups);
}

void qd_recommend_groups(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, recommend_groups);
}

void qd_facet(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	qd_answer(c, rq, rs, facet);
}
