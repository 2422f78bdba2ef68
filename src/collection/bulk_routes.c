/* Routes of work on many items: what curation found is applied or made a dataset; so is a selection
 * of items; jobs are looked at and cancelled. */
#include "access/access.h"
#include "artifact/artifact.h"
#include "base/clock.h"
#include "collection/bulk.h"
#include "collection/item_json.h"
#include "collection/map_int.h"
#include "collection/part.h"
#include "collection/wire.h"

static struct str name_of(const struct http_request *rq)
{
	return http_param(rq, "name");
}

/* ---- a job as JSON ---- */

static void write_time(struct jw *w, const char *key, int64_t ms)
{
	char t[CLOCK_TEXT];
	if (ms)
		clock_rfc3339(ms, t);
	jw_kc(w, key, ms ? t : NULL);
}

static void write_job(struct jw *w, const struct bulk_row *r)
{
	jw_obj(w);
	jw_kc(w, "id", r->id.n ? r->id.p : NULL);
	jw_kc(w, "what", bulk_word(r->what));
	jw_kc(w, "kind", r->kind == CURATE_KINDS ? NULL : curate_word(r->kind));
	jw_kc(w, "state", bulk_state_word(r->state));
	jw_kc(w, "error", r->error.n ? r->error.p : NULL);
	jw_key(w, "progress");
	if (r->state > BULK_RUNNING) {
		jw_null(w);
	} else {
		jw_obj(w);
		jw_kc(w, "what", bulk_word(r->what));
		jw_ki64(w, "done", r->reached);
		jw_ki64(w, "total", r->total);
		jw_end(w);
	}
	jw_ki64(w, "items", r->items);
	jw_ki64(w, "gone", r->gone);
	jw_ki64(w, "seq", r->seq);
	jw_key(w, "dataset");
	if (r->outcome.n)
		jw_raw(w, r->outcome);
	else
		jw_null(w);
	jw_kstr(w, "by", r->who);
	write_time(w, "begun", r->begun_ms);
	write_time(w, "ended", r->ended_ms);
	jw_end(w);
}

static void reply_job(
	struct http_response *rs, enum err e, struct errtext *et, const struct bulk_row *r)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (!e)
		write_job(&w, r);
	wire_reply(rs, e, et, &w);
}

/* ---- what curation found ---- */

static enum err find_result(struct croft *c, const struct http_request *rq, struct bulk_row *row,
	struct curate_result *r, struct errtext *et)
{
	struct collection_row k;
	struct str word = http_param(rq, "kind");
	struct tx *tx;
	if (!curate_parse_kind(word, &row->kind))
		return err_set(et, ERR_NOT_FOUND, "there is no curation named \"%.*s\"",
			STR_FMT(str_sub(word, 0, 40)));
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project_of(rq), name_of(rq), rq->arena, &k, et);
	if (!e) {
		e = curate_result_read(tx, k.number, row->kind, true, rq->arena, r, et);
		if (e == ERR_NOT_FOUND)
			e = err_set(et, e, "%s of this collection were not looked for yet",
				curate_word(row->kind));
	}
	db_rollback(tx);
	if (!e) {
		row->collection = k.number;
		row->about = r->row.about;
		row->cases = r->row.cases;
		row->found_at = r->row.seq;
		row->total = (int64_t)r->n;
	}
	return e;
}

static enum err options_of(
	struct http_request *rq, yyjson_val *body, struct str *out, struct errtext *et)
{
	struct buf b = {0};
	jw_val(&(struct jw){.out = &b}, body);
	*out = b.err ? (struct str){0} : arena_str(rq->arena, buf_str(&b));
	buf_free(&b);
	return out->p ? OK : err_set(et, ERR_NOMEM, "no memory for a job on items");
}

static enum err apply_now(struct croft *c, struct http_request *rq, const struct curate_result *r,
	struct curate_apply *what, struct bulk_row *row, struct errtext *et)
{
	struct curate_applied done = {0};
	struct collection *k = NULL;
	row->begun_ms = clock_unix_ms();
	what->cancel = rq->cancel;
	enum err e = collection_open(c, project_of(rq), name_of(rq), &k, rq->cancel, et);
	e = e ? e : curate_apply_run(c, rq->who, k, r, what, &done, rq->arena, et);
	collection_close(k);
	row->who = rq->who->name;
	row->items = (int64_t)done.items;
	row->gone = (int64_t)done.gone;
	row->seq = done.seq;
	row->state = BULK_DONE;
	row->ended_ms = clock_unix_ms();
	return e;
}

static enum err action_of(yyjson_val *body, enum bulk_what *out, struct errtext *et)
{
	struct str s = {0};
	enum err e = json_want_str(body, "action", &s, et);
	*out = BULK_TAG;
	for (int i = BULK_TAG; i <= BULK_DELETE && !e && s.p; i++)
		if (str_eq_c(s, bulk_word((enum bulk_what)i))) {
			*out = (enum bulk_what)i;
			return OK;
		}
	return e || !s.p ? e
			 : err_set(et, ERR_INVALID,
				   "action cannot be \"%.*s\": tag, label, checked or delete",
				   STR_FMT(str_sub(s, 0, 40)));
}

void post_curation_apply(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct bulk_row row = {0};
	struct curate_result r = {0};
	struct curate_apply what = {0};
	yyjson_val *body = NULL;
	enum err e = wire_body(rq, &body, &et);
	e = e ? e : action_of(body, &row.what, &et);
	e = e ? e : bulk_apply_of(body, row.what, rq->arena, &what, &et);
	e = e ? e : find_result(c, rq, &row, &r, &et);
	e = e ? e : curate_apply_check(row.kind, &what, &et);
	if (!e && what.ids && what.n_ids <= BULK_NOW) {
		e = apply_now(c, rq, &r, &what, &row, &et);
	} else if (!e) {
		e = options_of(rq, body, &row.options, &et);
		e = e ? e : bulk_add(c, rq->who, &row, rq->arena, &et);
	}
	reply_job(rs, e, &et, &row);
}

/* What the worker cannot ask any more, as it has no request: may this one make that dataset? */
static enum err may_make(
	const struct http_request *rq, const struct curate_dataset *d, struct errtext *et)
{
	struct rule_subject subject = {.kind = S("dataset"), .name = d->name};
	enum err e = artifact_name_check(d->name, et);
	return e ? e : access_rule(rq, PERM_ARTIFACT_WRITE, &subject, et);
}

void post_curation_dataset(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct bulk_row row = {.what = BULK_DATASET};
	struct curate_result r = {0};
	struct curate_dataset what;
	yyjson_val *body = NULL;
	enum err e = need(rq, PERM_ARTIFACT_WRITE, &et);
	e = e ? e : wire_body(rq, &body, &et);
	e = e ? e : bulk_dataset_of(body, &what, &et);
	e = e ? e : may_make(rq, &what, &et);
	e = e ? e : find_result(c, rq, &row, &r, &et);
	if (!e && row.kind == CURATE_BALANCE)
		e = err_set(&et, ERR_INVALID, "balance names classes and no items");
	e = e ? e : options_of(rq, body, &row.options, &et);
	e = e ? e : bulk_add(c, rq->who, &row, rq->arena, &et);
	reply_job(rs, e, &et, &row);
}

/* ---- a selection of items ---- */

static enum err select_body(struct croft *c, struct http_request *rq, yyjson_val *body,
	struct bulk_row *row, struct errtext *et)
{
	struct collection_row k = {0};
	struct str filter;
	const struct cond *cond;
	struct buf about = {0};
	yyjson_val *ids = yyjson_obj_get(body, "ids");
	bool named = yyjson_is_arr(ids);
	if (ids && !named)
		return err_set(et, ERR_INVALID, "ids must be a list of ids");
	if (named == (yyjson_obj_get(body, "filter") != NULL))
		return err_set(et, ERR_INVALID,
			"say which items: ids or filter ({}: all of them), and not both");
	enum err e = map_find(c, project_of(rq), name_of(rq), rq->arena, &k, et);
	e = e ? e : part_of_body(body, rq->arena, &filter, et);
	e = e ? e : part_read(c, k.number, filter, rq->arena, &cond, et);
	e = e ? e : options_of(rq, body, &row->options, et);
	if (e)
		return e;
	if (named)
		buf_addf(&about, "{\"parameters\":{\"ids\":%zu},\"summary\":{}}",
			yyjson_arr_size(ids));
	else
		buf_addf(&about, "{\"parameters\":{\"filter\":%.*s},\"summary\":{}}",
			STR_FMT(filter.n ? filter : S("{}")));
	row->about = about.err ? (struct str){0} : arena_str(rq->arena, buf_str(&about));
	buf_free(&about);
	row->kind = CURATE_KINDS;
	row->collection = k.number;
	row->found_at = k.seq;
	row->cases = S("");
	row->total = named ? (int64_t)yyjson_arr_size(ids) : k.items;
	return row->about.p ? OK : err_set(et, ERR_NOMEM, "no memory for a job on items");
}

void post_bulk_set(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct bulk_row row = {.what = BULK_SET};
	struct curate_apply what = {0};
	yyjson_val *body = NULL;
	enum err e = wire_body(rq, &body, &et);
	e = e ? e : bulk_apply_of(body, row.what, rq->arena, &what, &et);
	e = e ? e : curate_apply_check(CURATE_KINDS, &what, &et);
	e = e ? e : select_body(c, rq, body, &row, &et);
	e = e ? e : bulk_add(c, rq->who, &row, rq->arena, &et);
	reply_job(rs, e, &et, &row);
}

/* The items themselves, and no tag: "found" of a selection. */
void post_bulk_dataset(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct bulk_row row = {.what = BULK_DATASET};
	struct curate_dataset what;
	yyjson_val *body = NULL;
	enum err e = need(rq, PERM_ARTIFACT_WRITE, &et);
	e = e ? e : wire_body(rq, &body, &et);
	e = e ? e : bulk_dataset_of(body, &what, &et);
	e = e ? e : may_make(rq, &what, &et);
	e = e ? e : select_body(c, rq, body, &row, &et);
	e = e ? e : bulk_add(c, rq->who, &row, rq->arena, &et);
	reply_job(rs, e, &et, &row);
}

/* ---- jobs ---- */

static enum err find_job(
	struct croft *c, struct http_request *rq, struct bulk_row *out, struct errtext *et)
{
	struct collection_row k;
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_collection_by_name(tx, project_of(rq), name_of(rq), rq->arena, &k, et);
	e = e ? e : store_bulk(tx, http_param(rq, "job"), false, rq->arena, out, et);
	if (!e && out->collection != k.number)
		e = err_set(et, ERR_NOT_FOUND, "there is no such job of this collection");
	db_rollback(tx);
	return e;
}

void get_bulk(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct bulk_row r = {0};
	enum err e = find_job(c, rq, &r, &et);
	reply_job(rs, e, &et, &r);
}

void delete_bulk(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct bulk_row r = {0};
	enum err e = find_job(c, rq, &r, &et);
	e = e ? e : bulk_cancel(c, r.collection, r.id, &et);
	e = e ? e : find_job(c, rq, &r, &et);
	reply_job(rs, e, &et, &r);
}

void get_bulks(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct collection_row k;
	struct bulk_row *list = NULL;
	size_t n = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = store_collection_by_name(tx, project_of(rq), name_of(rq), rq->arena, &k, &et);
		e = e ? e : store_bulks(tx, k.number, 2 * BULK_KEPT, rq->arena, &list, &n, &et);
		db_rollback(tx);
	}
	jw_obj(&w);
	jw_key(&w, "jobs");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_job(&w, &list[i]);
	jw_end(&w);
	jw_end(&w);
	wire_reply(rs, e, &et, &w);
}
