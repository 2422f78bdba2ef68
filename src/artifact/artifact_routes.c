/* GET /api/v1/models, POST /api/v1/models/pull, DELETE /api/v1/models/{name}. */
#include "artifact/artifact_int.h"
#include "base/clock.h"

#include <stdlib.h>

static bool is_default(struct croft *c, struct str name, enum model_purpose purpose)
{
	return str_eq_nocase(name, setting_text(c, purpose_setting(purpose)));
}

static void members(
	struct croft *c, struct jw *w, struct str name, enum model_purpose purpose, bool installed)
{
	jw_kstr(w, "name", name);
	jw_kc(w, "purpose", purpose_word(purpose));
	jw_kbool(w, "installed", installed);
	jw_kbool(w, "loaded", installed && artifact_loaded(c, name));
	jw_kbool(w, "is_default", is_default(c, name, purpose));
}

/* The engine's findings at the time of the install. */
static void info_members(struct jw *w, struct str info)
{
	yyjson_doc *doc;
	yyjson_val *k, *v;
	size_t i, n;
	if (json_parse(info, &doc, NULL))
		return;
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	yyjson_doc_free(doc);
}

static void installed_object(struct croft *c, struct jw *w, const struct model_row *r)
{
	const struct known_model *k = catalogue_find(r->name);
	jw_obj(w);
	members(c, w, r->name, r->purpose, true);
	jw_kstr(w, "licence", r->licence);
	jw_ki64(w, "bytes", (int64_t)r->bytes);
	jw_kstr(w, "sha256", r->sha256);
	jw_kstr(w, "source", r->source);
	jw_kc(w, "about", k ? k->about : "");
	if (r->base.n)
		jw_kstr(w, "base", r->base);
	info_members(w, r->info);
	jw_end(w);
}

static void known_object(struct croft *c, struct jw *w, const struct known_model *k)
{
	jw_obj(w);
	members(c, w, str_c(k->name), k->purpose, false);
	jw_kc(w, "licence", k->licence);
	jw_ki64(w, "bytes", (int64_t)k->bytes);
	/* of a folder it is known when it is there; the hub says the others' */
	jw_kc(w, "sha256", k->n_files == 1 && k->files[0].sha256 ? k->files[0].sha256 : "");
	jw_kc(w, "source", k->sources[0].url);
	jw_kc(w, "about", k->about);
	jw_end(w);
}

static void get_models(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct model_row *rows = NULL;
	size_t n = 0;
	enum err e = model_rows(croft_db(c), rq->arena, &rows, &n, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		installed_object(c, &w, &rows[i]);
	for (size_t k = 0; k < n_catalogue; k++) {
		bool there = false;
		for (size_t i = 0; i < n; i++)
			there |= str_eq_c(rows[i].name, catalogue[k].name);
		if (!there)
			known_object(c, &w, &catalogue[k]);
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

/* ---- pull ---- */

struct stream {
	struct http_response *rs;
	struct cancel cancel; /* the client's, the server's, or a failed write */
};

static void event(struct stream *s, const char *name, struct buf *data)
{
	if (http_sse_event(s->rs, name, buf_str(data)))
		cancel_set(&s->cancel);
	buf_free(data);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "what", what);
	jw_ki64(&w, "done", (int64_t)done);
	jw_ki64(&w, "total", (int64_t)total);
	jw_end(&w);
	event(ctx, "progress", &b);
}

static void error_event(struct stream *s, enum err e, const struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kc(&w, "code", err_word(e));
	jw_kc(&w, "message", err_text(e, et));
	jw_kc(&w, "type", err_http(e) >= 500 ? "server_error" : "invalid_request_error");
	jw_kc(&w, "param", NULL);
	jw_end(&w);
	jw_end(&w);
	event(s, "error", &b);
}

static void done_event(struct stream *s, struct str name)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_end(&w);
	event(s, "done", &b);
}

static void post_pull(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct str model = {0}, as_name = {0}, base = {0};
	enum err e = json_parse(rq->body, &doc, &et);
	if (!e)
		e = json_want_str(yyjson_doc_get_root(doc), "model", &model, &et);
	if (!e)
		e = json_want_str(yyjson_doc_get_root(doc), "name", &as_name, &et);
	if (!e)
		e = json_want_str(yyjson_doc_get_root(doc), "base", &base, &et);
	if (!e && !model.n)
		e = err_set(&et, ERR_INVALID, "model: the model to pull is missing");
	if (e || http_sse_begin(rs)) {
		if (e)
			http_reply_error(rs, e, &et);
		yyjson_doc_free(doc);
		return;
	}
	struct buf name = {0};
	struct stream s = {.rs = rs, .cancel = {.parent = rq->cancel}};
	e = base.n ? adapter_pull(c, model, base, as_name, on_progress, &s, &s.cancel, &name, &et)
		   : model_pull(c, model, as_name, on_progress, &s, &s.cancel, &name, &et);
	e ? error_event(&s, e, &et) : done_event(&s, buf_str(&name));
	buf_free(&name);
	yyjson_doc_free(doc);
}

static void delete_model(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	enum err e = installed_remove(c, http_param(rq, "name"), &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 200, "application/json", S("{\"deleted\":true}"));
}

const struct shape artifact_shapes[1] = {
	{"Model",
		"{ name: string, purpose: \"chat\" | \"embed\" | \"rerank\", installed: boolean, "
		"loaded: "
		"boolean, "
		"is_default: boolean, licence: string, bytes: int, sha256: string, source: string, "
		"about: string, architecture?: string, weights?: string, parameters?: int, "
		"context?: int, dim?: int, base?: string, rank?: int }"},
};

const struct route artifact_routes[3] = {
	{HTTP_GET, "/api/v1/models", get_models, PERM_MODEL_READ,
		"List the models that are installed and those that are known", NULL, NULL,
		"{ models: Model[] }", 0},
	{HTTP_POST, "/api/v1/models/pull", post_pull, PERM_MODEL_MANAGE,
		"Fetch a model, or with base a LoRA adapter of that model; server-sent events: "
		"progress, then done or error",
		NULL, "{ model: string, name?: string, base?: string }", "{ name: string }", 0},
	{HTTP_DELETE, "/api/v1/models/{name}", delete_model, PERM_MODEL_MANAGE, "Remove a model",
		NULL, NULL, "{ deleted: boolean }", 0},
};
