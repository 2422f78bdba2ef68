/* Bodies, answers and calls. */
#include "collection/wire.h"
#include "base/clock.h"

enum err wire_body(struct http_request *rq, yyjson_val **out, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(rq->body.n ? rq->body : S("{}"), &doc, et);
	if (e)
		return e;
	if (!arena_on_free(rq->arena, (void (*)(void *))yyjson_doc_free, doc)) {
		yyjson_doc_free(doc);
		return err_set(et, ERR_NOMEM, "no memory for a request");
	}
	*out = yyjson_doc_get_root(doc);
	return yyjson_is_obj(*out) ? OK
				   : err_set(et, ERR_INVALID, "the body must be a JSON object");
}

void wire_reply(struct http_response *rs, enum err e, struct errtext *et, struct jw *w)
{
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply_json(rs, 200, w);
	buf_free(w->out);
}

enum err wire_call(struct cmd *cmd, enum http_method method, const char *tail, struct str body,
	struct buf *reply, yyjson_doc **doc, struct errtext *et)
{
	struct buf url = {0};
	if (!cmd_n_args(cmd))
		return err_set(
			et, ERR_INVALID, "name the collection; `croft collections` lists them");
	buf_addc(&url, "/api/v1/collections/");
	url_encode(&url, cmd_arg(cmd, 0));
	buf_addc(&url, tail);
	enum err e = cmd_call(cmd, method, buf_c(&url), body, reply, et);
	if (!e && doc)
		e = json_parse(buf_str(reply), doc, et);
	buf_free(&url);
	return e;
}

void wire_note_filling(struct cmd *cmd, yyjson_val *reply)
{
	if (json_bool(reply, "filling", false))
		cmd_note(cmd,
			"Its rows are written now: it is read from the version meanwhile, and "
			"can be changed when that is done");
}

/* ---- jobs ---- */

enum err wire_json(
	struct jw *w, const char *option, const char *key, struct str json, struct errtext *et)
{
	yyjson_doc *doc;
	struct errtext why;
	enum err e = json_parse(json, &doc, &why);
	if (e)
		return err_set(et, ERR_INVALID, "--%s: %s", option, err_text(e, &why));
	jw_key(w, key);
	jw_val(w, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return OK;
}

void wire_job(struct jw *w, const struct jobs_at *at)
{
	static const char *const states[] = {"idle", "running", "failed"};
	jw_kc(w, "state", states[at->state]);
	jw_kc(w, "error", at->state == JOB_FAILED ? err_text(at->failed, &at->et) : NULL);
	jw_key(w, "progress");
	if (at->state != JOB_RUNNING) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_kc(w, "what", at->what);
	jw_ki64(w, "done", (int64_t)at->done);
	jw_ki64(w, "total", (int64_t)at->total);
	jw_end(w);
}

enum { POLL_MS = 100 };

static void stop_job(struct cmd *cmd, const char *url)
{
	struct errtext why;
	struct buf reply = {0};
	if (cmd_call(cmd, HTTP_DELETE, url, (struct str){0}, &reply, &why))
		cmd_note(cmd, "%s", why.msg);
	buf_free(&reply);
}

enum err wire_wait(
	struct cmd *cmd, const char *url, const char *query, struct progress *p, struct errtext *et)
{
	enum err e = OK;
	for (bool running = true; running && !e;) {
		struct buf reply = {0}, ask = {0};
		yyjson_doc *doc = NULL;
		buf_addf(&ask, "%s%s", url, query);
		e = cmd_call(cmd, HTTP_GET, buf_c(&ask), (struct str){0}, &reply, et);
		e = e ? e : json_parse(buf_str(&reply), &doc, et);
		yyjson_val *o = yyjson_doc_get_root(doc), *at = yyjson_obj_get(o, "progress");
		struct str state = json_str(o, "state");
		running = str_eq_c(state, "running") || str_eq_c(state, "waiting");
		if (!e && str_eq_c(state, "cancelled"))
			e = err_set(et, ERR_CANCELLED, "somebody cancelled it");
		if (!e && str_eq_c(state, "failed"))
			e = err_set(et, ERR_CONFLICT, "%.*s", STR_FMT(json_str(o, "error")));
		if (!e && running) {
			progress_at(p, (uint64_t)json_i64(at, "done", 0),
				(uint64_t)json_i64(at, "total", 0), json_str(at, "what").p);
			clock_sleep_ms(POLL_MS);
		}
		yyjson_doc_free(doc);
		buf_free(&reply);
		buf_free(&ask);
		if (!e && running && cancelled(cmd_cancel(cmd))) {
			stop_job(cmd, url);
			e = ERR_CANCELLED;
		}
	}
	return e;
}
