/* Runs, metrics and files through MLflow's part of the API. */
#include "run/exec_int.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static enum err post(struct cmd *cmd, const char *path, struct buf *body, struct jw *w,
	yyjson_doc **doc, struct errtext *et)
{
	struct buf reply = {0};
	enum err e = jw_done(w) ? OK : err_set(et, ERR_NOMEM, "no memory for a request");
	if (!e)
		e = cmd_call(cmd, HTTP_POST, path, buf_str(body), &reply, et);
	if (!e && doc)
		e = json_parse(buf_str(&reply), doc, et);
	buf_free(&reply);
	buf_free(body);
	return e;
}

static void pairs(struct jw *w, const char *key, const struct http_pair *p, size_t n)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_kstr(w, "key", p[i].name);
		jw_kstr(w, "value", p[i].value);
		jw_end(w);
	}
	jw_end(w);
}

static enum err find_experiment(
	struct cmd *cmd, struct str name, struct buf *id, struct errtext *et)
{
	struct buf path = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=");
	url_encode(&path, name);
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	if (!e)
		buf_adds(id, json_str(yyjson_obj_get(yyjson_doc_get_root(doc), "experiment"),
				     "experiment_id"));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

static enum err make_experiment(
	struct cmd *cmd, struct str name, struct buf *id, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	yyjson_doc *doc = NULL;
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_end(&w);
	enum err e = post(cmd, "/api/2.0/mlflow/experiments/create", &body, &w, &doc, et);
	if (!e)
		buf_adds(id, json_str(yyjson_doc_get_root(doc), "experiment_id"));
	yyjson_doc_free(doc);
	return e;
}

enum err exec_create(struct cmd *cmd, struct str experiment, struct str name,
	const struct http_pair *tags, size_t n_tags, struct buf *run, struct errtext *et)
{
	struct buf id = {0}, body = {0};
	yyjson_doc *doc = NULL;
	enum err e = find_experiment(cmd, experiment, &id, et);
	if (e == ERR_NOT_FOUND)
		e = make_experiment(cmd, experiment, &id, et);
	if (e) {
		buf_free(&id);
		return e;
	}
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kstr(&w, "experiment_id", buf_str(&id));
	jw_kstr(&w, "run_name", name);
	jw_ki64(&w, "start_time", clock_unix_ms());
	pairs(&w, "tags", tags, n_tags);
	jw_end(&w);
	e = post(cmd, "/api/2.0/mlflow/runs/create", &body, &w, &doc, et);
	if (!e)
		buf_adds(run,
			json_str(yyjson_obj_get(
					 yyjson_obj_get(yyjson_doc_get_root(doc), "run"), "info"),
				"run_id"));
	yyjson_doc_free(doc);
	buf_free(&id);
	return e;
}

enum err exec_log(struct cmd *cmd, struct str run, const struct http_pair *params, size_t n_params,
	const struct http_pair *metrics, size_t n_metrics, const struct http_pair *tags,
	size_t n_tags, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kstr(&w, "run_id", run);
	pairs(&w, "params", params, n_params);
	pairs(&w, "tags", tags, n_tags);
	jw_key(&w, "metrics");
	jw_arr(&w);
	for (size_t i = 0; i < n_metrics; i++) {
		jw_obj(&w);
		jw_kstr(&w, "key", metrics[i].name);
		jw_key(&w, "value");
		jw_raw(&w, metrics[i].value);
		jw_ki64(&w, "timestamp", clock_unix_ms());
		jw_ki64(&w, "step", 0);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	return post(cmd, "/api/2.0/mlflow/runs/log-batch", &body, &w, NULL, et);
}

enum err exec_end(struct cmd *cmd, struct str run, bool ok, struct errtext *et)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_kstr(&w, "run_id", run);
	jw_kc(&w, "status", ok ? "FINISHED" : "FAILED");
	jw_ki64(&w, "end_time", clock_unix_ms());
	jw_end(&w);
	return post(cmd, "/api/2.0/mlflow/runs/update", &body, &w, NULL, et);
}

enum err exec_get(struct cmd *cmd, struct str run, yyjson_doc **doc, struct errtext *et)
{
	struct buf path = {0}, reply = {0};
	buf_addc(&path, "/api/2.0/mlflow/runs/get?run_id=");
	url_encode(&path, run);
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &reply, et);
	if (!e)
		e = json_parse(buf_str(&reply), doc, et);
	buf_free(&path);
	buf_free(&reply);
	return e;
}

/* ---- files ---- */

/* "mlflow-artifacts:/3/<run>/artifacts" and a path in it, as a path of the proxy. */
static enum err proxy_path(struct str uri, const char *path, struct buf *out, struct errtext *et)
{
	struct str scheme = S("mlflow-artifacts:/"), part;
	if (!str_starts(uri, scheme))
		return err_set(et, ERR_UNSUPPORTED,
			"the files of this run are kept at %.*s and not in Croft", STR_FMT(uri));
	struct str rest = str_sub(uri, scheme.n, uri.n);
	buf_addc(out, "/api/2.0/mlflow-artifacts/artifacts");
	for (int i = 0; i < 2; i++) {
		while (str_next(&rest, '/', &part))
			if (part.n) {
				buf_putc(out, '/');
				url_encode(out, part);
			}
		rest = str_c(path);
	}
	return OK;
}

enum err exec_put_file(
	struct cmd *cmd, struct str run_uri, const char *path, struct str bytes, struct errtext *et)
{
	struct buf url = {0}, reply = {0};
	struct http_pair type = {S("content-type"), S("application/octet-stream")};
	enum err e = proxy_path(run_uri, path, &url, et);
	if (!e)
		e = cmd_send(cmd, HTTP_PUT, buf_c(&url), &type, 1, bytes, &reply, et);
	if (e)
		err_wrap(et, e, "storing %s", path);
	buf_free(&url);
	buf_free(&reply);
	return e;
}

enum err exec_get_file(
	struct cmd *cmd, struct str run_uri, const char *path, struct buf *out, struct errtext *et)
{
	struct buf url = {0};
	enum err e = proxy_path(run_uri, path, &url, et);
	if (!e)
		e = cmd_call(cmd, HTTP_GET, buf_c(&url), (struct str){0}, out, et);
	buf_free(&url);
	return e;
}

/* ---- series ---- */

static double number(yyjson_val *v)
{
	if (yyjson_is_num(v))
		return yyjson_get_num(v);
	struct str s = json_val_str(v);
	return str_eq_c(s, "Infinity")    ? (double)INFINITY
	       : str_eq_c(s, "-Infinity") ? -(double)INFINITY
					  : (double)NAN;
}

static int64_t whole(yyjson_val *v)
{
	int64_t n = 0;
	struct str s = json_val_str(v);
	if (s.p)
		str_i64(s, &n);
	else
		n = yyjson_get_sint(v);
	return n;
}

static int by_step(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	return x->step < y->step ? -1 : x->step > y->step;
}

/* One page; its points are appended. */
static enum err add_page(yyjson_val *page, struct sample **v, size_t *n, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(page, "metrics"), *m;
	size_t i, max, more = yyjson_arr_size(list);
	struct sample *bigger = realloc(*v, (*n + more + 1) * sizeof **v);
	if (!bigger)
		return err_set(et, ERR_NOMEM, "no memory for a series");
	*v = bigger;
	yyjson_arr_foreach(list, i, max, m)
	{
		(*v)[(*n)++] = (struct sample){
			whole(yyjson_obj_get(m, "step")), number(yyjson_obj_get(m, "value"))};
	}
	return OK;
}

enum err exec_series(struct cmd *cmd, struct str run, struct str key, struct sample **out,
	size_t *n, struct errtext *et)
{
	struct buf path = {0}, reply = {0}, token = {0};
	struct sample *v = NULL;
	size_t k = 0;
	enum err e;
	do {
		yyjson_doc *doc = NULL;
		buf_clear(&path);
		buf_clear(&reply);
		buf_addc(&path, "/api/2.0/mlflow/metrics/get-history?max_results=25000&run_id=");
		url_encode(&path, run);
		buf_addc(&path, "&metric_key=");
		url_encode(&path, key);
		if (token.n) {
			buf_addc(&path, "&page_token=");
			url_encode(&path, buf_str(&token));
		}
		buf_clear(&token);
		e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &reply, et);
		if (!e)
			e = json_parse(buf_str(&reply), &doc, et);
		if (!e)
			e = add_page(yyjson_doc_get_root(doc), &v, &k, et);
		if (!e)
			buf_adds(&token, json_str(yyjson_doc_get_root(doc), "next_page_token"));
		yyjson_doc_free(doc);
	} while (!e && token.n);
	buf_free(&path);
	buf_free(&reply);
	buf_free(&token);
	if (e) {
		free(v);
		return e;
	}
	qsort(v, k, sizeof *v, by_step);
	*out = v;
	*n = k;
	return OK;
}
