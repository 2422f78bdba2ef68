/* GET /v1/models in Anthropic's shape: those of the models that answer messages. */
#include "api/anthropic.h"

#include "base/clock.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 1000 };

struct page {
	struct str after, before;
	size_t limit;
};

bool anthropic_speaks(const struct http_request *rq)
{
	return http_header(rq, "anthropic-version").p;
}

static bool answers(const struct model_entry *m)
{
	return str_eq_c(str_c(m->purpose), "chat") || str_eq_c(str_c(m->purpose), "remote");
}

static void write_model(struct jw *w, const struct model_entry *m)
{
	char when[CLOCK_TEXT];
	clock_rfc3339(m->created_s * 1000, when);
	jw_obj(w);
	jw_kc(w, "type", "model");
	jw_kstr(w, "id", m->name);
	jw_kstr(w, "display_name", m->name);
	jw_kc(w, "created_at", when);
	jw_kc(w, "lifecycle", "active");
	jw_end(w);
}

/* ---- the list ---- */

static enum err parse_page(const struct http_request *rq, struct page *p, struct api_error *x)
{
	struct str limit = http_query(rq, "limit");
	int64_t n = PAGE_DEFAULT;
	if (limit.n && (!str_i64(limit, &n) || n < 1 || n > PAGE_MAX))
		return api_fail(x, ERR_INVALID, NULL, "limit",
			"limit: it must be a number from 1 to %d", PAGE_MAX);
	*p = (struct page){.after = http_query(rq, "after_id"),
		.before = http_query(rq, "before_id"),
		.limit = (size_t)n};
	return OK;
}

static enum err place_of(const struct model_entry *v, size_t n, struct str id, const char *param,
	size_t *out, struct api_error *x)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(v[i].name, id)) {
			*out = i;
			return OK;
		}
	return api_fail(x, ERR_INVALID, NULL, param, "%s: there is no model '%.*s'", param,
		STR_FMT(str_sub(id, 0, 200)));
}

/* [*from, *to) of the n models. */
static enum err cut(const struct model_entry *v, size_t n, const struct page *p, size_t *from,
	size_t *to, struct api_error *x)
{
	size_t at = 0;
	enum err e = OK;
	if (p->before.n) {
		e = place_of(v, n, p->before, "before_id", &at, x);
		*to = at;
		*from = at > p->limit ? at - p->limit : 0;
		return e;
	}
	if (p->after.n) {
		e = place_of(v, n, p->after, "after_id", &at, x);
		at++;
	}
	*from = MIN(at, n);
	*to = MIN(*from + p->limit, n);
	return e;
}

void anthropic_models(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct model_entry *v = NULL;
	struct page p = {0};
	size_t n = 0, k = 0, from = 0, to = 0;
	enum err e = parse_page(rq, &p, &x);
	e = e ? e : api_models(c, rq->arena, &v, &n, &x);
	for (size_t i = 0; i < n && !e; i++)
		if (answers(&v[i]))
			v[k++] = v[i];
	e = e ? e : cut(v, k, &p, &from, &to, &x);
	if (e) {
		anthropic_reply_error(rs, rq->id, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = from; i < to; i++)
		write_model(&w, &v[i]);
	jw_end(&w);
	jw_kbool(&w, "has_more", p.before.n ? from > 0 : to < k);
	jw_key(&w, "first_id"), to > from ? jw_str(&w, v[from].name) : jw_null(&w);
	jw_key(&w, "last_id"), to > from ? jw_str(&w, v[to - 1].name) : jw_null(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void anthropic_model(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct api_error x = {0};
	struct model_entry m;
	enum err e = api_model(c, rq->arena, http_param(rq, "id"), &m, &x);
	if (!e && !answers(&m))
		e = api_fail(&x, ERR_NOT_FOUND, NULL, "model",
			"the model '%.*s' makes embeddings and answers no messages",
			STR_FMT(m.name));
	if (e) {
		anthropic_reply_error(rs, rq->id, &x);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_model(&w, &m);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}
