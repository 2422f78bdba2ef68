/* Embeddings of a provider that speaks OpenAI's /embeddings. */
#include "endpoint/remote_int.h"

#include "base/clock.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

void remote_vectors_free(struct remote_vectors *v)
{
	free(v->v);
	buf_free(&v->receipt);
	*v = (struct remote_vectors){0};
}

static enum err write_body(const struct remote_row *p, const struct str *texts, size_t n,
	int64_t dimensions, struct buf *out, struct errtext *et)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kstr(&w, "model", p->model);
	jw_key(&w, "input");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jw_str(&w, texts[i]);
	jw_end(&w);
	jw_kc(&w, "encoding_format", "float");
	if (dimensions)
		jw_ki64(&w, "dimensions", dimensions);
	jw_end(&w);
	return jw_done(&w) ? OK : err_set(et, ERR_NOMEM, "no memory for the request");
}

static enum err read_vector(
	yyjson_val *d, struct remote_vectors *v, size_t position, bool *seen, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(d, "embedding"), *x;
	int64_t index = json_i64(d, "index", (int64_t)position);
	if (index < 0 || (size_t)index >= v->n || seen[index])
		return err_set(et, ERR_NETWORK, "the provider gave a vector with the index %lld",
			(long long)index);
	if (!v->v) {
		v->dim = yyjson_arr_size(list);
		if (v->dim && v->dim <= 1 << 20)
			v->v = calloc(v->n, v->dim * sizeof *v->v);
		if (!v->v)
			return err_set(et, v->dim ? ERR_NOMEM : ERR_NETWORK,
				v->dim ? "no memory for the embeddings"
				       : "the provider gave an empty vector");
	}
	if (yyjson_arr_size(list) != v->dim)
		return err_set(et, ERR_NETWORK, "the provider gave vectors of different lengths");
	float *row = v->v + (size_t)index * v->dim;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, x)
	{
		if (!yyjson_is_num(x))
			return err_set(et, ERR_NETWORK,
				"the provider gave a vector with something else than numbers");
		row[i] = (float)yyjson_get_num(x);
	}
	seen[index] = true;
	return OK;
}

static enum err read_reply(struct str body, struct remote_vectors *v, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(body, &doc, et);
	if (e)
		return e == ERR_NOMEM ? e : err_wrap(et, ERR_NETWORK, "the provider sent no JSON");
	yyjson_val *o = yyjson_doc_get_root(doc), *all = yyjson_obj_get(o, "data"), *d;
	bool *seen = calloc(v->n + 1, 1);
	size_t i, n;
	if (!seen)
		e = err_set(et, ERR_NOMEM, "no memory for the embeddings");
	else if (yyjson_arr_size(all) != v->n)
		e = err_set(et, ERR_NETWORK, "the provider gave %zu vectors for %zu texts",
			yyjson_arr_size(all), v->n);
	yyjson_arr_foreach(all, i, n, d)
	{
		if (e)
			break;
		e = read_vector(d, v, i, seen, et);
	}
	v->tokens = (uint64_t)json_i64(yyjson_obj_get(o, "usage"), "prompt_tokens", 0);
	free(seen);
	yyjson_doc_free(doc);
	return e;
}

enum err remote_embed(struct croft *c, struct remote *p, struct run *run, const struct str *texts,
	size_t n, int64_t dimensions, const struct cancel *cancel, struct remote_vectors *out,
	struct errtext *et)
{
	struct buf body = {0};
	struct remote_vectors v = {.n = n};
	if (p->row.kind == REMOTE_ANTHROPIC)
		return err_set(et, ERR_UNSUPPORTED,
			"the endpoint %.*s is of the kind anthropic, which has no embeddings",
			STR_FMT(p->row.name));
	struct remote_tries *t = malloc(sizeof *t);
	struct remote_attempt a = {.c = c,
		.p = p,
		.url = URL_EMBED,
		.deadline_ns = clock_mono_ns() + (uint64_t)p->row.timeout_ms * 1000000,
		.cancel = cancel};
	enum err e = t ? write_body(&p->row, texts, n, dimensions, &body, et)
		       : err_set(et, ERR_NOMEM, "no memory for a request");
	a.body = buf_str(&body);
	if (!e) {
		t->n = t->sent = 0;
		e = remote_try_all(&a, run, t, et);
	}
	if (!e)
		e = read_reply(buf_str(&a.reply), &v, et);
	if (!e) {
		remote_receipt(&v.receipt, p->row.name, p->row.model,
			t->sent > 1 ? S("retry") : S("first"), t);
		*out = v;
	} else {
		remote_vectors_free(&v);
		if (e != ERR_CANCELLED)
			e = err_wrap(et, e, "the endpoint %.*s", STR_FMT(p->row.name));
	}
	buf_free(&a.reply);
	buf_free(&body);
	free(t);
	return e;
}
