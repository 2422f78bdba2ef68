/* Routes of curation: begin, see how far it is, page through what was found. */
#include "base/clock.h"
#include "collection/curate_int.h"
#include "collection/item_json.h"
#include "collection/map_int.h"
#include "collection/wire.h"

enum { PAGE = 50 };

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

static enum err kind_of(const struct http_request *rq, enum curate_kind *out, struct errtext *et)
{
	struct str word = http_param(rq, "kind");
	if (curate_parse_kind(word, out))
		return OK;
	return err_set(et, ERR_NOT_FOUND,
		"there is no curation named \"%.*s\": duplicates, outliers, sample, propagate, "
		"mislabelled and balance are",
		STR_FMT(str_sub(word, 0, 40)));
}

/* ---- what was found ---- */

struct page {
	struct tx *tx;
	struct collection_row k;
	struct curate_result r;
	bool there;
	int64_t from, limit;
	struct arena *a;
};

static void write_id(struct jw *w, const char *key, struct str bytes)
{
	struct item_id id = {.n = (uint8_t)MIN(bytes.n, sizeof id.b)};
	jw_key(w, key);
	if (!bytes.n) {
		jw_null(w);
		return;
	}
	memcpy(id.b, bytes.p, id.n);
	item_json_write_id(w, &id);
}

static enum err write_case(
	struct jw *w, struct page *p, const struct curate_case *c, struct errtext *et)
{
	struct item_row r = {0}, other = {0};
	struct item_want payload = {.payload = true};
	enum err e = store_item_by_num(p->tx, p->k.number, c->num, payload, p->a, &r, et);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e; /* it was deleted since */
	if (c->other)
		e = store_item_by_num(p->tx, p->k.number, c->other, payload, p->a, &other, et);
	if (e && e != ERR_NOT_FOUND)
		return e;
	bool twins = p->r.row.kind == CURATE_DUPLICATES;
	jw_obj(w);
	jw_ki64(w, "rank", c - p->r.cases + 1);
	write_id(w, "id", r.id);
	jw_key(w, "payload");
	jw_raw(w, r.payload.n ? r.payload : S("{}"));
	jw_key(w, "score");
	jw_f32(w, c->score);
	jw_key(w, "more");
	jw_f32(w, c->more);
	jw_key(w, "group");
	if (twins)
		jw_i64(w, c->group);
	else
		jw_null(w);
	jw_kbool(w, "kept", twins && c->kept);
	write_id(w, "of", other.id);
	jw_key(w, "other");
	if (!twins && other.id.n) /* of duplicates it is on the page anyhow */
		jw_raw(w, other.payload.n ? other.payload : S("{}"));
	else
		jw_null(w);
	jw_key(w, "given");
	curate_write_label(w, &p->r, c->given);
	jw_key(w, "offered");
	curate_write_label(w, &p->r, c->offered);
	jw_end(w);
	return OK;
}

/* The cases of a page: of duplicates so many groups, else so many items. */
static void range_of(const struct page *p, size_t *from, size_t *to)
{
	const struct curate_result *r = &p->r;
	if (r->row.kind != CURATE_DUPLICATES) {
		*from = MIN((size_t)p->from, r->n);
		*to = MIN(*from + (size_t)p->limit, r->n);
		return;
	}
	for (*from = 0; *from < r->n && r->cases[*from].group < p->from; ++*from)
		;
	for (*to = *from; *to < r->n && r->cases[*to].group < p->from + p->limit; ++*to)
		;
}

static enum err write_result(struct jw *w, struct page *p, struct errtext *et)
{
	char t[CLOCK_TEXT];
	size_t from = 0, to = 0;
	enum err e = OK;
	range_of(p, &from, &to);
	jw_obj(w);
	jw_ki64(w, "seq", p->r.row.seq);
	jw_ki64(w, "behind", p->k.seq - p->r.row.seq);
	clock_rfc3339(p->r.row.made_ms, t);
	jw_kc(w, "made", t);
	jw_ki64(w, "took_ms", json_i64(p->r.about, "took_ms", 0));
	jw_ki64(w, "items", json_i64(p->r.about, "items", 0));
	jw_key(w, "parameters");
	jw_val(w, yyjson_obj_get(p->r.about, "parameters"));
	jw_key(w, "summary");
	jw_val(w, yyjson_obj_get(p->r.about, "summary"));
	jw_key(w, "labels");
	jw_val(w, yyjson_obj_get(p->r.about, "labels"));
	jw_ki64(w, "total", json_i64(p->r.about, "total", 0));
	jw_key(w, "cases");
	jw_arr(w);
	for (size_t i = from; i < to && !e; i++)
		e = write_case(w, p, &p->r.cases[i], et);
	jw_end(w);
	jw_end(w);
	return e;
}

static enum err read_page(
	const struct http_request *rq, enum curate_kind kind, struct page *p, struct errtext *et)
{
	enum err e =
		store_collection_by_name(p->tx, project_of(rq), name_of(rq), rq->arena, &p->k, et);
	if (e)
		return e;
	/* who only asks how far it is needs none of the cases */
	e = curate_result_read(p->tx, p->k.number, kind, p->limit > 0, rq->arena, &p->r, et);
	p->there = !e;
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err range_query(const struct http_request *rq, struct page *p, struct errtext *et)
{
	struct str from = http_query(rq, "from"), limit = http_query(rq, "limit");
	p->limit = PAGE;
	if (from.p && (!str_i64(from, &p->from) || p->from < 0 || p->from > UINT32_MAX))
		return err_set(et, ERR_INVALID, "from must be a number, not below 0");
	if (limit.p && (!str_i64(limit, &p->limit) || p->limit < 0 || p->limit > CURATE_PAGE_MAX))
		return err_set(
			et, ERR_INVALID, "limit must be a number from 0 to %d", CURATE_PAGE_MAX);
	return OK;
}

static void reply_curation(struct croft *c, struct http_request *rq, struct http_response *rs,
	enum curate_kind kind, struct page *p, enum err e, struct errtext *et)
{
	struct jobs_at at;
	struct collection_row k;
	struct buf b = {0};
	struct jw w = {.out = &b};
	p->a = rq->arena;
	/* how far it is first: who hears that it has ended gets what it found */
	e = e ? e : map_find(c, project_of(rq), name_of(rq), rq->arena, &k, et);
	if (!e)
		jobs_look(collections_of(c)->curations, k.number, (int)kind, &at);
	e = e ? e : db_begin(croft_db(c), TX_READ, &p->tx, et);
	if (!e) {
		e = read_page(rq, kind, p, et);
		jw_obj(&w);
		if (!e) {
			wire_job(&w, &at);
			jw_key(&w, "result");
		}
		if (!e && p->there)
			e = write_result(&w, p, et);
		else if (!e)
			jw_null(&w);
		jw_end(&w);
		db_rollback(p->tx);
	}
	wire_reply(rs, e, et, &w);
}

void get_curation(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct page p = {0};
	enum curate_kind kind = CURATE_DUPLICATES;
	enum err e = kind_of(rq, &kind, &et);
	e = e ? e : range_query(rq, &p, &et);
	reply_curation(c, rq, rs, kind, &p, e, &et);
}

void post_curation(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct page p = {.limit = 0};
	struct curate_options o;
	yyjson_val *body = NULL;
	enum curate_kind kind = CURATE_DUPLICATES;
	enum err e = kind_of(rq, &kind, &et);
	e = e ? e : wire_body(rq, &body, &et);
	e = e ? e : curate_options_read(kind, body, rq->arena, &o, &et);
	e = e ? e : curate_start(c, project_of(rq), name_of(rq), kind, &o, &et);
	reply_curation(c, rq, rs, kind, &p, e, &et);
}

struct dropping {
	int64_t collection;
	enum curate_kind kind;
};

static enum err drop_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct dropping *x = ctx;
	return store_curation_drop(tx, x->collection, x->kind, et);
}

/* What is being looked for is stopped, and the last result stays; else that goes. */
void delete_curation(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection_row k;
	struct dropping x = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	bool stopped = false;
	enum err e = kind_of(rq, &x.kind, &et);
	e = e ? e : map_find(c, project_of(rq), name_of(rq), rq->arena, &k, &et);
	if (!e) {
		x.collection = k.number;
		stopped = jobs_stop(collections_of(c)->curations, k.number, (int)x.kind);
		e = stopped ? OK : db_write(croft_db(c), drop_in, &x, &et);
	}
	jw_obj(&w);
	jw_kbool(&w, "stopped", stopped);
	jw_kbool(&w, "deleted", !stopped);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}
