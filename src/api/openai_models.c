#include "api/api_int.h"

#include "endpoint/remote.h"

#include <sys/stat.h>

static void write_model(struct jw *w, const struct installed_model *m)
{
	struct stat st;
	/* when it was installed: its file's own time */
	int64_t created = m->path.p && stat(m->path.p, &st) == 0 ? (int64_t)st.st_mtime : 0;
	jw_obj(w);
	jw_kstr(w, "id", m->name);
	jw_kc(w, "object", "model");
	jw_ki64(w, "created", created);
	jw_kc(w, "owned_by", "croft");
	jw_kc(w, "purpose", m->purpose == PURPOSE_CHAT ? "chat" : "embed");
	jw_end(w);
}

static bool write_remote(void *ctx, const struct remote *p)
{
	struct jw *w = ctx;
	jw_obj(w);
	jw_kstr(w, "id", remote_name(p));
	jw_kc(w, "object", "model");
	jw_ki64(w, "created", remote_created_ms(p) / 1000);
	jw_kstr(w, "owned_by", remote_kind_word(p));
	jw_kc(w, "purpose", "remote");
	jw_end(w);
	return true;
}

static enum err list(struct croft *c, struct http_request *rq, struct installed_model **all,
	size_t *n, struct api_error *x)
{
	enum err e = installed_list(c, rq->arena, all, n, &x->et);
	return e ? api_fail_from(x, e, "model") : OK;
}

void openai_models(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct installed_model *all = NULL;
	size_t n = 0;
	struct api_error x = {0};
	if (list(c, rq, &all, &n, &x)) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_model(&w, &all[i]);
	remote_each(c, write_remote, &w);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static enum err find(struct croft *c, struct http_request *rq, struct str name,
	struct installed_model *out, struct api_error *x)
{
	struct installed_model *all = NULL;
	size_t n = 0;
	enum err e = OK;
	if (str_eq_c(name, "default")) {
		e = installed_find(c, S(""), PURPOSE_CHAT, rq->arena, out, &x->et);
		return e ? api_fail_from(x, e, "model") : OK;
	}
	e = list(c, rq, &all, &n, x);
	for (size_t i = 0; i < n && !e; i++)
		if (str_eq(all[i].name, name)) {
			*out = all[i];
			return OK;
		}
	return e ? e
		 : api_fail(x, ERR_NOT_FOUND, "model_not_found", "model",
			   "the model '%.*s' is not installed: see `croft models`",
			   STR_FMT(str_sub(name, 0, 200)));
}

void openai_model(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct installed_model m = {0};
	struct api_error x = {0};
	struct remote *p = remote_find(c, http_param(rq, "id"));
	if (p) {
		struct buf out = {0};
		struct jw w = {.out = &out};
		write_remote(&w, p);
		http_reply_json(rs, 200, &w);
		buf_free(&out);
		remote_put(p);
		return;
	}
	if (find(c, rq, http_param(rq, "id"), &m, &x)) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_model(&w, &m);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}
