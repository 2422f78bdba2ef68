/* GET /api/v1/runs, GET /api/v1/runs/{id}. */
#include "run/trace_int.h"
#include "base/clock.h"

#include <stdio.h>

void run_time_member(struct jw *w, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT];
	jw_key(w, key);
	if (!ns) {
		jw_null(w);
		return;
	}
	clock_rfc3339(ns / 1000000, text);
	jw_c(w, text);
}

enum err trace_time_query(
	const struct http_request *rq, const char *name, int64_t *ns, struct errtext *et)
{
	struct str s = http_query(rq, name);
	int64_t ms;
	if (!s.n)
		return OK;
	if (!clock_parse_rfc3339(s, &ms) && !str_i64(s, &ms))
		return err_set(et, ERR_INVALID,
			"%s: a time such as 2026-11-27T09:00:00Z, or milliseconds, is expected",
			name);
	*ns = ms * 1000000;
	return OK;
}

static void duration_member(struct jw *w, int64_t start_ns, int64_t end_ns)
{
	jw_key(w, "duration_ms");
	end_ns ? jw_f64(w, (double)((end_ns - start_ns) / 1000) / 1000) : jw_null(w);
}

static void error_member(struct jw *w, struct str error)
{
	jw_key(w, "error");
	error.p ? jw_str(w, error) : jw_null(w);
}

static void attributes_member(struct jw *w, struct str json)
{
	jw_key(w, "attributes");
	jw_raw(w, json.n ? json : S("{}"));
}

static void run_object(struct jw *w, const struct run_row *r)
{
	char hex[ID_HEX + 1];
	id_hex(r->id, hex);
	jw_obj(w);
	jw_kc(w, "id", hex);
	jw_kstr(w, "kind", r->kind);
	jw_kstr(w, "name", r->name);
	jw_kstr(w, "status", r->status);
	run_time_member(w, "started", r->start_ns);
	run_time_member(w, "ended", r->end_ns);
	duration_member(w, r->start_ns, r->end_ns);
	error_member(w, r->error);
	attributes_member(w, r->attributes);
	jw_end(w);
}

static void span_object(struct jw *w, const struct span_row *s, int64_t run_start_ns)
{
	jw_obj(w);
	jw_key(w, "id");
	jw_fmt(w, "%016llx", (unsigned long long)s->id);
	jw_key(w, "parent");
	s->parent ? jw_fmt(w, "%016llx", (unsigned long long)s->parent) : jw_null(w);
	jw_kstr(w, "name", s->name);
	jw_kstr(w, "kind", s->kind);
	jw_kstr(w, "status", s->status);
	jw_kf64(w, "start_ms", (double)((s->start_ns - run_start_ns) / 1000) / 1000);
	duration_member(w, s->start_ns, s->end_ns);
	error_member(w, s->error);
	if (s->raw.p) {
		jw_key(w, "attributes");
		trace_attributes_json(w, s->raw, OTEL_SPAN_ATTRS);
	} else {
		attributes_member(w, s->attributes);
	}
	jw_end(w);
}

static enum err parse_filter(struct http_request *rq, struct run_filter *f, struct errtext *et)
{
	struct str after = http_query(rq, "after"), limit = http_query(rq, "limit");
	*f = (struct run_filter){.project = project_of(rq),
		.kind = http_query(rq, "kind"),
		.status = http_query(rq, "status"),
		.limit = 50};
	bool known = !f->status.n;
	for (unsigned i = 0; i < STATUS_COUNT; i++)
		known |= str_eq_c(f->status, run_statuses[i]);
	if (!known)
		return err_set(et, ERR_INVALID,
			"status: one of running, ok, error, interrupted is expected");
	if (limit.n && (!str_i64(limit, &f->limit) || f->limit < 1 || f->limit > 1000))
		return err_set(et, ERR_INVALID, "limit: a number from 1 to 1000 is expected");
	if (after.n && !id_parse(after, &f->after))
		return err_set(et, ERR_INVALID, "after: the id of a run is expected");
	return OK;
}

static void get_runs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct run_filter f;
	struct run_row *rows = NULL;
	size_t n = 0;
	enum err e = parse_filter(rq, &f, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = run_store_list(croft_db(c), &f, rq->arena, &rows, &n, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	char last[ID_HEX + 1];
	jw_obj(&w);
	jw_key(&w, "runs");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		run_object(&w, &rows[i]);
	jw_end(&w);
	bool more = n && n == (size_t)f.limit;
	if (more)
		id_hex(rows[n - 1].id, last);
	jw_kc(&w, "next", more ? last : NULL);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static void get_run(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	struct run_row run;
	struct span_row *spans = NULL;
	size_t n = 0;
	enum err e = id_parse(http_param(rq, "id"), &id)
			     ? run_flush(c, &et)
			     : err_set(&et, ERR_INVALID, "the id of a run has 32 hex digits");
	if (!e)
		e = run_store_get(
			croft_db(c), project_of(rq), id, rq->arena, &run, &spans, &n, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "run");
	run_object(&w, &run);
	jw_key(&w, "spans");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		span_object(&w, &spans[i], run.start_ns);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

const struct shape run_shapes[2] = {
	{"Run", "{ id: id, kind: string, name: string, "
		"status: \"running\" | \"ok\" | \"error\" | \"interrupted\", started: string, "
		"ended: string | null, duration_ms: number | null, error: string | null, "
		"attributes: object }"},
	{"Span", "{ id: string, parent: string | null, name: string, kind: string, "
		 "status: \"running\" | \"ok\" | \"error\" | \"interrupted\", start_ms: number, "
		 "duration_ms: number | null, error: string | null, attributes: object }"},
};

const struct route run_routes[2] = {
	{HTTP_GET, "/api/v1/runs", get_runs, PERM_RUN_READ, "List runs, newest first",
		"{ kind?: string, status?: string, limit?: int, after?: id }", NULL,
		"{ runs: Run[], next: id | null }", 0},
	{HTTP_GET, "/api/v1/runs/{id}", get_run, PERM_RUN_READ, "A run with its spans", NULL, NULL,
		"{ run: Run, spans: Span[] }", 0},
};
