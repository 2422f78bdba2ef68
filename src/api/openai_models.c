/* GET /v1/models: what is installed here, and the providers behind names. */
#include "api/anthropic.h"
#include "api/api_int.h"

#include "endpoint/remote.h"

#include <sys/stat.h>

/* ---- the list ---- */

struct listing {
	struct arena *a;
	struct model_entry *v;
	size_t n, cap;
	bool failed;
};

static struct model_entry *more(struct listing *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct model_entry *v = arena_array_of(l->a, cap, struct model_entry);
		if (!v) {
			l->failed = true;
			return NULL;
		}
		if (l->n)
			memcpy(v, l->v, l->n * sizeof *v);
		l->v = v;
		l->cap = cap;
	}
	return &l->v[l->n++];
}

static struct model_entry entry_of(const struct installed_model *m)
{
	struct stat st;
	bool there = m->path.p && stat(m->path.p, &st) == 0;
	return (struct model_entry){.name = m->name,
		.owner = S("croft"),
		.base = m->base,
		.purpose = purpose_word(m->purpose),
		/* when it was installed: its file's own time */
		.created_s = there ? (int64_t)st.st_mtime : 0};
}

static struct model_entry remote_entry(struct arena *a, const struct remote *p)
{
	return (struct model_entry){.name = arena_str(a, remote_name(p)),
		.owner = arena_str(a, remote_kind_word(p)),
		.purpose = "remote",
		.created_s = remote_created_ms(p) / 1000};
}

static bool add_remote(void *ctx, const struct remote *p)
{
	struct listing *l = ctx;
	struct model_entry *m = more(l);
	if (m)
		*m = remote_entry(l->a, p);
	return m != NULL;
}

enum err api_models(struct croft *c, struct arena *a, struct model_entry **out, size_t *n_out,
	struct api_error *x)
{
	struct installed_model *all = NULL;
	struct listing l = {.a = a};
	size_t n = 0;
	enum err e = installed_list(c, a, &all, &n, &x->et);
	if (e)
		return api_fail_from(x, e, "model");
	for (size_t i = 0; i < n; i++) {
		struct model_entry *m = more(&l);
		if (m)
			*m = entry_of(&all[i]);
	}
	remote_each(c, add_remote, &l);
	if (l.failed)
		return api_no_memory(x);
	*out = l.v;
	*n_out = l.n;
	return OK;
}

static enum err find_installed(struct croft *c, struct arena *a, struct str name,
	struct installed_model *out, struct api_error *x)
{
	struct installed_model *all = NULL;
	size_t n = 0;
	if (str_eq_c(name, "default")) {
		enum err e = installed_find(c, S(""), PURPOSE_CHAT, a, out, &x->et);
		return e ? api_fail_from(x, e, "model") : OK;
	}
	enum err e = installed_list(c, a, &all, &n, &x->et);
	if (e)
		return api_fail_from(x, e, "model");
	for (size_t i = 0; i < n; i++)
		if (str_eq(all[i].name, name)) {
			*out = all[i];
			return OK;
		}
	return api_fail(x, ERR_NOT_FOUND, "model_not_found", "model",
		"the model '%.*s' is not installed: see `croft models`",
		STR_FMT(str_sub(name, 0, 200)));
}

enum err api_model(struct croft *c, struct arena *a, struct str name, struct model_entry *out,
	struct api_error *x)
{
	struct installed_model m = {0};
	struct remote *p = remote_find(c, name);
	if (p) {
		*out = remote_entry(a, p);
		remote_put(p);
		return out->name.p && out->owner.p ? OK : api_no_memory(x);
	}
	enum err e = find_installed(c, a, name, &m, x);
	if (!e)
		*out = entry_of(&m);
	return e;
}

/* ---- OpenAI's shape ---- */

static void write_model(struct jw *w, const struct model_entry *m)
{
	jw_obj(w);
	jw_kstr(w, "id", m->name);
	jw_kc(w, "object", "model");
	jw_ki64(w, "created", m->created_s);
	jw_kstr(w, "owned_by", m->owner);
	jw_kstr(w, "root", m->name);
	jw_key(w, "parent"); /* as vLLM lists adapters */
	if (m->base.n)
		jw_str(w, m->base);
	else
		jw_null(w);
	jw_kc(w, "purpose", m->purpose);
	jw_end(w);
}

void openai_models(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct model_entry *all = NULL;
	size_t n = 0;
	struct api_error x = {0};
	if (anthropic_speaks(rq)) {
		anthropic_models(c, rq, rs);
		return;
	}
	if (api_models(c, rq->arena, &all, &n, &x)) {
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
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void openai_model(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct model_entry m;
	struct api_error x = {0};
	if (anthropic_speaks(rq)) {
		anthropic_model(c, rq, rs);
		return;
	}
	if (api_model(c, rq->arena, http_param(rq, "id"), &m, &x)) {
		api_reply_error(rs, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_model(&w, &m);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}
