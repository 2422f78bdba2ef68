/* POST /v1/load_lora_adapter, POST /v1/unload_lora_adapter: adapters come and go as vLLM has it,
 * with text for an answer. The first is croft pull --base and opening it, the second is closing it
 * and croft models rm. */
#include "api/api_int.h"

struct wanted {
	yyjson_doc *doc;
	struct str name, path, base;
};

static enum err parse(struct http_request *rq, bool load, struct wanted *w, struct api_error *x)
{
	bool in_place = false;
	enum err e = json_parse(rq->body, &w->doc, &x->et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(w->doc);
	if (!e)
		e = json_want_str(o, "lora_name", &w->name, &x->et);
	if (!e && load)
		e = json_want_str(o, "lora_path", &w->path, &x->et);
	if (!e)
		e = json_want_str(o, "base_model_name", &w->base, &x->et);
	if (!e)
		e = json_want_bool(o, "load_inplace", &in_place, &x->et);
	if (!e && (!w->name.n || (load && !w->path.n)))
		e = err_set(&x->et, ERR_INVALID, "%s",
			load ? "lora_name or lora_path is missing" : "lora_name is missing");
	if (!e && in_place)
		e = err_set(&x->et, ERR_UNSUPPORTED,
			"load_inplace: unload the adapter first, then load it again");
	return e ? api_fail_from(x, e, "lora_name") : OK;
}

static void reply(struct http_response *rs, struct str name, const char *done)
{
	struct buf b = {0};
	buf_addf(&b, "Success: LoRA adapter '%.*s' %s successfully.", STR_FMT(name), done);
	http_reply(rs, 200, "text/plain; charset=utf-8", buf_str(&b));
	buf_free(&b);
}

static void load(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct wanted w = {0};
	enum err e = parse(rq, true, &w, &x);
	if (!e) {
		e = adapter_pull(c, w.path, w.base, w.name, NULL, NULL, rq->cancel, NULL, &x.et);
		if (!e)
			e = endpoint_load(c, w.name, &x.et);
		if (e)
			api_fail_from(&x, e, "lora_path");
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply(rs, w.name, "added");
	yyjson_doc_free(w.doc);
}

/* An adapter of that name, and no other model. */
static enum err find(struct croft *c, struct arena *a, struct str name, struct api_error *x)
{
	struct installed_model m;
	enum err e = installed_find(c, name, PURPOSE_CHAT, a, &m, &x->et);
	if (!e && !m.base.n)
		e = err_set(&x->et, ERR_INVALID, "%.*s is a model, not an adapter",
			STR_FMT(str_sub(name, 0, 100)));
	return e;
}

static void unload(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct wanted w = {0};
	enum err e = parse(rq, false, &w, &x);
	if (!e) {
		e = find(c, rq->arena, w.name, &x);
		if (!e)
			e = endpoint_unload(c, w.name, &x.et);
		if (!e || e == ERR_NOT_FOUND) /* it is not open: it goes all the same */
			e = installed_remove(c, w.name, &x.et);
		if (e)
			api_fail_from(&x, e, "lora_name");
	}
	if (e)
		api_reply_error(rs, &x);
	else
		reply(rs, w.name, "removed");
	yyjson_doc_free(w.doc);
}

static const struct route routes[] = {
	{HTTP_POST, "/v1/load_lora_adapter", load, PERM_MODEL_MANAGE,
		"Install a LoRA adapter of a model (base_model_name; the default one) and open it; "
		"answers with a text",
		NULL,
		"{ lora_name: string, lora_path: string, base_model_name?: string, load_inplace?: "
		"boolean }",
		NULL, 0},
	{HTTP_POST, "/v1/unload_lora_adapter", unload, PERM_MODEL_MANAGE,
		"Close a LoRA adapter and remove it; answers with a text", NULL,
		"{ lora_name: string, lora_int_id?: int }", NULL, 0},
};

const struct module adapters_module = {
	.name = "adapters",
	TABLE(routes),
};
