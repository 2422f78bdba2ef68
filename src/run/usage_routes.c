/* GET /api/v1/traces/usage and `croft traces usage`. */
#include "base/clock.h"
#include "module/cmd.h"
#include "run/usage_int.h"

enum { LINES_MAX = 5000, DAYS = 30 };

static enum err day_query(
	const struct http_request *rq, const char *name, int64_t *day, struct errtext *et)
{
	struct str s = http_query(rq, name);
	int64_t ms;
	if (!s.n)
		return OK;
	if (!clock_parse_rfc3339(s, &ms))
		return err_set(et, ERR_INVALID, "%s: a day such as 2026-11-27 is expected", name);
	*day = ms / 86400000;
	return OK;
}

static void percentile(struct jw *w, const char *key, const struct usage_line *l, double part)
{
	double ms = usage_percentile_ms(l, part);
	jw_key(w, key);
	ms < 0 ? jw_null(w) : jw_f64(w, ms);
}

static void write_line(struct jw *w, const struct usage_line *l)
{
	char day[CLOCK_TEXT];
	clock_rfc3339(l->day * 86400000, day);
	jw_obj(w);
	jw_key(w, "day");
	jw_str(w, str_sub(str_c(day), 0, 10));
	jw_key(w, "model");
	*l->model ? jw_c(w, l->model) : jw_null(w);
	jw_ki64(w, "calls", l->calls);
	jw_ki64(w, "errors", l->errors);
	jw_ki64(w, "tokens_in", l->tokens_in);
	jw_ki64(w, "tokens_out", l->tokens_out);
	jw_kf64(w, "cost", l->cost);
	percentile(w, "p50_ms", l, 0.5);
	percentile(w, "p95_ms", l, 0.95);
	percentile(w, "p99_ms", l, 0.99);
	jw_end(w);
}

void trace_usage_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	int64_t today = clock_unix_ms() / 86400000;
	struct usage_query q = {.project = project_of(rq),
		.model = http_query(rq, "model"),
		.since = today - DAYS + 1,
		.until = today + 2,
		.max = LINES_MAX};
	struct usage_line **lines = NULL;
	struct arena *a = arena_new(0);
	size_t n = 0;
	bool more = false;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = a ? day_query(rq, "since", &q.since, &et)
		       : err_set(&et, ERR_NOMEM, "no memory for the sums of days");
	if (!e)
		e = day_query(rq, "until", &q.until, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = usage_find(croft_db(c), &q, a, &lines, &n, &more, &et);
	jw_obj(&w);
	jw_key(&w, "usage");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_line(&w, lines[i]);
	jw_end(&w);
	jw_kbool(&w, "more", more);
	jw_end(&w);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&b);
	arena_free(a);
}

/* ---- the command ---- */

static void ms_cell(struct cmd_table *t, yyjson_val *r, const char *key)
{
	yyjson_val *v = yyjson_obj_get(r, key);
	double ms = yyjson_get_num(v);
	if (!yyjson_is_num(v))
		cmd_cell(t, "-");
	else
		cmd_cell(t,
			ms < 10      ? "%.1f ms"
			: ms < 10000 ? "%.0f ms"
				     : "%.1f s",
			ms < 10000 ? ms : ms / 1000);
}

static void print_usage(struct cmd *cmd, yyjson_val *list)
{
	static const char *const titles[] = {
		"DAY", "MODEL", "CALLS", "ERRORS", "TOKENS", "COST", "P50", "P95"};
	yyjson_val *r;
	size_t i, n;
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_arr_foreach(list, i, n, r)
	{
		struct str model = json_str(r, "model");
		cmd_cell(t, "%.*s", STR_FMT(json_str(r, "day")));
		cmd_cell(t, "%.*s", STR_FMT(model.p ? model : S("(all)")));
		cmd_cell(t, "%lld", (long long)json_i64(r, "calls", 0));
		cmd_cell(t, "%lld", (long long)json_i64(r, "errors", 0));
		cmd_cell(t, "%lld+%lld", (long long)json_i64(r, "tokens_in", 0),
			(long long)json_i64(r, "tokens_out", 0));
		cmd_cell(t, "%.4g", json_f64(r, "cost", 0));
		ms_cell(t, r, "p50_ms");
		ms_cell(t, r, "p95_ms");
	}
	cmd_table_end(t);
}

enum err traces_usage(struct cmd *cmd, struct errtext *et)
{
	static const char *const passed[] = {"since", "until", "model"};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	char before = '?';
	buf_addc(&path, "/api/v1/traces/usage");
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		if (cmd_opt(cmd, passed[i]).p) {
			buf_addf(&path, "%c%s=", before, passed[i]);
			url_encode(&path, cmd_opt(cmd, passed[i]));
			before = '&';
		}
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	else if (!e && !(e = json_parse(buf_str(&body), &doc, et)))
		print_usage(cmd, yyjson_obj_get(yyjson_doc_get_root(doc), "usage"));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}
