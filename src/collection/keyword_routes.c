/* Searching by words: settings and hits as JSON. */
#include "collection/keyword_int.h"
#include "collection/item_json.h"

/* ---- settings ---- */

static enum err settings_of(
	struct http_request *rq, struct keyword_settings *out, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = json_parse(rq->body.n ? rq->body : S("{}"), &doc, et);
	e = e ? e : keyword_settings_read(yyjson_doc_get_root(doc), rq->arena, out, et);
	yyjson_doc_free(doc);
	return e;
}

/* s NULL: none any more. */
static void set(struct croft *c, struct http_request *rq, struct http_response *rs, enum err e,
	const struct keyword_settings *s, struct errtext *et)
{
	struct collection *k = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	e = e ? e : collection_open(c, project_of(rq), http_param(rq, "name"), &k, rq->cancel, et);
	e = e ? e : collection_set_keyword(k, s, rq->cancel, et);
	collection_close(k);
	if (!e && s)
		keyword_settings_write(&w, s);
	if (!e && !s)
		jw_raw(&w, S("{\"deleted\":true}"));
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void put_keyword(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct keyword_settings s;
	enum err e = settings_of(rq, &s, &et);
	set(c, rq, rs, e, &s, &et);
}

void delete_keyword(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	set(c, rq, rs, OK, NULL, &et);
}

/* ---- hits ---- */

static void write_share(struct jw *w, const char *key, const struct hit_share *s)
{
	jw_key(w, key);
	if (!s->rank) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_ki64(w, "rank", s->rank);
	jw_key(w, "score");
	jw_f32(w, s->score);
	jw_key(w, "share");
	jw_f32(w, s->share);
	jw_end(w);
}

void hybrid_write_shares(struct jw *w, const struct hybrid_hit *h)
{
	jw_key(w, "sources");
	jw_obj(w);
	write_share(w, "vector", &h->vector);
	write_share(w, "keyword", &h->keyword);
	jw_end(w);
}
