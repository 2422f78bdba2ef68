/* Routes of a collection's limits, its memory and its recall. */
#include "collection/asof.h"
#include "collection/held.h"
#include "base/clock.h"
#include "base/os.h"
#include "collection/wire.h"

#include <math.h>
#include <unistd.h>

enum { PAST_SHOWN = 200 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a reply");
}

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

static void write_limits(struct jw *w, const struct croft *c, struct collection_limits own)
{
	struct collection_limits l = limits_in_force(c, own);
	jw_kf64(w, "recall_target", l.recall);
	jw_kbool(w, "recall_target_own", !isnan(own.recall));
	jw_ki64(w, "memory_bytes", l.bytes);
	jw_kbool(w, "memory_bytes_own", own.bytes >= 0);
}

/* ---- changing ---- */

static enum err parse_patch(yyjson_val *o, struct limits_patch *p, struct errtext *et)
{
	yyjson_val *recall = yyjson_obj_get(o, "recall_target"),
		   *bytes = yyjson_obj_get(o, "memory_bytes");
	*p = (struct limits_patch){.to = {NAN, -1}};
	p->recall_given = recall != NULL;
	p->bytes_given = bytes != NULL;
	enum err e = OK;
	if (recall && !yyjson_is_null(recall))
		e = json_want_f64(o, "recall_target", 0, 0.9999, &p->to.recall, et);
	if (!e && bytes && !yyjson_is_null(bytes))
		e = json_want_i64(o, "memory_bytes", 0, (int64_t)1 << 46, &p->to.bytes, et);
	return e || p->recall_given || p->bytes_given
		       ? e
		       : err_set(et, ERR_INVALID,
				 "say what is to change: recall_target, memory_bytes (null: as the "
				 "settings say)");
}

void patch_collection(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct limits_patch p;
	struct collection_limits now;
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_doc *doc = NULL;
	enum err e = json_parse(rq->body, &doc, &et);
	e = e ? e : parse_patch(yyjson_doc_get_root(doc), &p, &et);
	e = e ? e : limits_change(c, rq, name_of(rq), &p, &et);
	e = e ? e : limits_read(c, project_of(rq), name_of(rq), rq->arena, &now, &et);
	yyjson_doc_free(doc);
	jw_obj(&w);
	if (!e)
		write_limits(&w, c, now);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- memory ---- */

static void write_bytes(struct jw *w, const struct vindex_bytes *b)
{
	jw_ki64(w, "vectors", (int64_t)b->vectors);
	jw_ki64(w, "graph", (int64_t)b->graph);
	jw_ki64(w, "other", (int64_t)b->other);
	jw_ki64(w, "total", (int64_t)b->total);
	jw_ki64(w, "per_search", (int64_t)b->per_search);
}

static int64_t machine_bytes(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
}

static enum err want_number(const struct http_request *rq, const char *name, int64_t min,
	int64_t max, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, name);
	if (!s.p)
		return OK;
	return str_i64(s, out) && *out >= min && *out <= max
		       ? OK
		       : err_set(et, ERR_INVALID, "%s must be a number from %lld to %lld", name,
				 (long long)min, (long long)max);
}

void get_memory(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct memory_state m = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	int64_t more = 0;
	enum err e = want_number(rq, "more", 0, (int64_t)1 << 31, &more, &et);
	e = e ? e : collection_open(c, project_of(rq), name_of(rq), &k, rq->cancel, &et);
	if (!e)
		memory_of(k, layout_of(k), (uint64_t)more, &m);
	jw_obj(&w);
	jw_ki64(&w, "limit", (int64_t)m.limit);
	jw_ki64(&w, "total", (int64_t)m.now);
	jw_ki64(&w, "total_with_more", (int64_t)m.then);
	jw_ki64(&w, "payloads", (int64_t)m.fields);
	jw_ki64(&w, "ids", (int64_t)m.ids);
	jw_ki64(&w, "words", (int64_t)m.keyword);
	jw_ki64(&w, "other_vectors", (int64_t)m.kinds);
	jw_ki64(&w, "versions", k ? (int64_t)asof_bytes_of(c, k->project, k->name) : 0);
	jw_ki64(&w, "machine", machine_bytes());
	jw_key(&w, "spaces");
	jw_arr(&w);
	for (size_t i = 0; i < m.n_spaces; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", m.spaces[i].space->name);
		jw_ki64(&w, "items", (int64_t)m.spaces[i].items);
		write_bytes(&w, more ? &m.spaces[i].then : &m.spaces[i].now);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	collection_close(k);
	wire_reply(rs, e, &et, &w);
}

/* What an index would take that is not there. */
void get_memory_plan(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct vindex_bytes v = {0};
	struct vindex_options o = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	int64_t items = 0, dim = 0, limit = setting_int(c, "collection.memory_bytes");
	struct str word = http_query(rq, "distance");
	enum distance d = DISTANCE_COSINE;
	enum err e = want_number(rq, "items", 1, ((int64_t)1 << 31) - 1, &items, &et);
	e = e ? e : want_number(rq, "dim", 1, COLLECTION_DIM_MAX, &dim, &et);
	if (!e && (!items || !dim))
		e = err_set(&et, ERR_INVALID, "say items and dim");
	if (!e && word.n && !distance_parse(word, &d))
		e = err_set(
			&et, ERR_INVALID, "the distance must be Cosine, Dot, Euclid or Manhattan");
	o.dim = (uint32_t)dim;
	o.metric = shelf_metric(&(struct space){.distance = d});
	e = e ? e : vindex_plan(&o, (uint64_t)items, &v, &et);
	jw_obj(&w);
	jw_ki64(&w, "items", items);
	jw_ki64(&w, "dim", dim);
	jw_kc(&w, "distance", distance_word(d));
	write_bytes(&w, &v);
	jw_ki64(&w, "stored", items * dim * (int64_t)sizeof(float));
	jw_ki64(&w, "limit", limit);
	jw_ki64(&w, "machine", machine_bytes());
	jw_kbool(&w, "fits",
		(!limit || (int64_t)v.total <= limit) && (int64_t)v.total < machine_bytes());
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

/* ---- recall ---- */

static void write_interval(struct jw *w, const struct interval *i)
{
	jw_obj(w);
	jw_kf64(w, "mean", i->mean);
	jw_kf64(w, "low", i->low);
	jw_kf64(w, "high", i->high);
	jw_end(w);
}

static void write_step(struct jw *w, const struct recall_step *s)
{
	jw_obj(w);
	jw_ki64(w, "ef", s->ef);
	jw_ki64(w, "queries", (int64_t)s->queries);
	jw_key(w, "recall");
	write_interval(w, &s->recall);
	jw_end(w);
}

static enum err write_past(struct jw *w, struct tx *tx, int64_t collection, size_t place,
	size_t band, struct arena *a, struct errtext *et)
{
	struct recall_past *past = NULL;
	size_t n = 0;
	enum err e = store_recall(
		tx, collection, (int64_t)place, (int64_t)band, PAST_SHOWN, a, &past, &n, et);
	jw_key(w, "past");
	jw_arr(w);
	for (size_t i = n; i-- > 0;) {
		char t[CLOCK_TEXT];
		clock_rfc3339(past[i].at_ms, t);
		jw_obj(w);
		jw_kc(w, "at", t);
		jw_ki64(w, "ef", past[i].ef);
		jw_ki64(w, "queries", past[i].queries);
		jw_key(w, "recall");
		write_interval(w, &past[i].recall);
		jw_end(w);
	}
	jw_end(w);
	return e;
}

/* The members of one band. */
static enum err write_band(struct jw *w, struct collection *k, struct tx *tx, const struct space *s,
	size_t band, struct arena *a, struct errtext *et)
{
	struct recall_state x;
	(void)recall_of(k, s, band, &x);
	jw_ki64(w, "ef", x.ef);
	jw_ki64(w, "seen", (int64_t)x.seen);
	jw_ki64(w, "measured", (int64_t)x.measured);
	jw_key(w, "now");
	if (x.now.queries)
		write_step(w, &x.now);
	else
		jw_null(w);
	jw_key(w, "steps");
	jw_arr(w);
	for (size_t i = 0; i < x.n_steps; i++)
		write_step(w, &x.steps[i]);
	jw_end(w);
	return write_past(w, tx, k->number, s->place, band, a, et);
}

static enum err write_space(struct jw *w, struct collection *k, struct tx *tx,
	const struct space *s, struct arena *a, struct errtext *et)
{
	struct vindex *index = layout_of(k)->index[s->place];
	struct graph_state g = {.ready = true, .done = 1};
	enum err e = index ? OK : k->backend->graph(k, tx, s->place, &g, et);
	bool exact = index ? vindex_count(index) < vindex_opened(index)->exact_below : !g.ready;
	jw_obj(w);
	jw_kstr(w, "name", s->name);
	jw_kbool(w, "exact", exact);
	jw_kc(w, "graph", g.ready ? exact ? "none" : "ready" : g.building ? "building" : "none");
	jw_kf64(w, "graph_done", g.done);
	e = e ? e : write_band(w, k, tx, s, 0, a, et);
	jw_key(w, "filtered");
	jw_arr(w);
	for (size_t band = 1; band < RECALL_BANDS && !e; band++) {
		jw_obj(w);
		jw_kf64(w, "share_min", recall_shares[band]);
		jw_kf64(w, "share_max", recall_shares[band - 1]);
		e = write_band(w, k, tx, s, band, a, et);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
	return e;
}

void get_recall(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection *k = NULL;
	struct collection_limits own = {NAN, -1};
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct tx *tx = NULL;
	enum err e = collection_open(c, project_of(rq), name_of(rq), &k, rq->cancel, &et);
	e = e ? e : db_begin(croft_db(c), TX_READ, &tx, &et);
	e = e ? e : store_limits(tx, k->number, &own, &et);
	const struct layout *l = k ? layout_of(k) : NULL;
	jw_obj(&w);
	write_limits(&w, c, own);
	jw_key(&w, "spaces");
	jw_arr(&w);
	for (size_t s = 0; l && s < l->n && !e; s++)
		if (l->index[s] || (k->backend->graph && l->spaces[s].kind == SPACE_DENSE))
			e = write_space(&w, k, tx, &l->spaces[s], rq->arena, &et);
	jw_end(&w);
	jw_end(&w);
	db_rollback(tx);
	collection_close(k);
	if (!e && !jw_done(&w))
		e = no_memory(&et);
	wire_reply(rs, e, &et, &w);
}
