/* Routes of migrations. */
#include "collection/migrate_int.h"
#include "collection/wire.h"

static void reply_migrations(struct croft *c, struct http_request *rq, struct http_response *rs,
	enum err e, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	e = e ? e : migrate_list(c, project_of(rq), http_param(rq, "name"), rq->arena, &w, et);
	wire_reply(rs, e, et, &w);
}

void get_migrations(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	reply_migrations(c, rq, rs, OK, &et);
}

static enum err parse_begin(yyjson_val *o, struct migration_options *m, struct errtext *et)
{
	*m = (struct migration_options){
		.space = S(""), .model = S(""), .field = S(""), .shadow = 0.2};
	enum err e = json_want_str(o, "to", &m->model, et);
	e = e ? e : json_want_str(o, "space", &m->space, et);
	e = e ? e : json_want_str(o, "field", &m->field, et);
	e = e ? e : json_want_bool(o, "skip_without_text", &m->skip_without_text, et);
	e = e ? e : json_want_bool(o, "plan", &m->plan, et);
	e = e ? e : json_want_f64(o, "shadow", 0, 1, &m->shadow, et);
	return e || m->model.n ? e
			       : err_set(et, ERR_INVALID, "to (the name of a model) is missing");
}

static void write_plan(struct jw *w, const struct migration_plan *p)
{
	jw_obj(w);
	jw_kc(w, "from", p->from_model.n ? p->from_model.p : NULL);
	jw_ki64(w, "from_size", p->from_dim);
	jw_ki64(w, "to_size", p->to_dim);
	jw_ki64(w, "items", p->items);
	jw_ki64(w, "without_text", p->without);
	jw_kstr(w, "examples", p->examples);
	jw_ki64(w, "known", p->known);
	jw_ki64(w, "index_bytes", (int64_t)p->from_bytes);
	jw_ki64(w, "other_index_bytes", (int64_t)p->to_bytes);
	jw_ki64(w, "stored_bytes", (int64_t)p->stored_bytes);
	jw_end(w);
}

void post_migration(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct migration_options m;
	struct migration_plan p = {0};
	struct str id = S("");
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_val *o = NULL;
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : parse_begin(o, &m, &et);
	e = e ? e : migrate_begin(c, rq, http_param(rq, "name"), &m, rq->arena, &id, &p, &et);
	jw_obj(&w);
	jw_kc(&w, "id", id.n ? id.p : NULL);
	jw_key(&w, "plan");
	write_plan(&w, &p);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}

static void step(struct croft *c, struct http_request *rq, struct http_response *rs,
	enum migration_step which)
{
	struct errtext et = {0};
	struct str id = S("");
	bool skip_failed = false;
	yyjson_val *o = NULL;
	enum err e = wire_body(rq, &o, &et);
	e = e ? e : json_want_str(o, "id", &id, &et);
	e = e ? e : json_want_bool(o, "skip_failed", &skip_failed, &et);
	e = e ? e : migrate_advance(c, rq, http_param(rq, "name"), id, which, skip_failed, &et);
	reply_migrations(c, rq, rs, e, &et);
}

void cut_migration(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	step(c, rq, rs, STEP_CUT);
}

void back_migration(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	step(c, rq, rs, STEP_BACK);
}

void drop_migration(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	step(c, rq, rs, STEP_DROP);
}

void cancel_migration(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	step(c, rq, rs, STEP_CANCEL);
}
