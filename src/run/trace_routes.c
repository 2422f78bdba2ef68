/* /api/v1/traces and the feedback of runs. */
#include "run/search.h"
#include "run/trace_query.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- runs ---- */

static void maybe(struct jw *w, const char *key, struct str s)
{
	jw_key(w, key);
	s.p ? jw_str(w, s) : jw_null(w);
}

static void ms_member(struct jw *w, const char *key, int64_t from_ns, int64_t to_ns)
{
	jw_kf64(w, key, (double)((to_ns - from_ns) / 1000) / 1000);
}

static void duration_member(struct jw *w, int64_t start_ns, int64_t end_ns)
{
	if (end_ns)
		ms_member(w, "duration_ms", start_ns, MAX(start_ns, end_ns));
	else
		jw_key(w, "duration_ms"), jw_null(w);
}

static void write_trace(struct jw *w, const struct run_row *r)
{
	char hex[ID_HEX + 1];
	yyjson_doc *doc = NULL;
	int64_t in = r->tokens_in, out = r->tokens_out;
	if (!in && !out && !str_eq_c(r->kind, "trace") && !json_parse(r->attributes, &doc, NULL)) {
		struct trace_facts f; /* Croft's own runs say it in their attributes */
		trace_facts_own(r->kind, yyjson_doc_get_root(doc), &f);
		in = f.tokens_in;
		out = f.tokens_out;
	}
	yyjson_doc_free(doc);
	id_hex(r->id, hex);
	jw_obj(w);
	jw_kc(w, "id", hex);
	jw_kstr(w, "kind", r->kind);
	jw_kstr(w, "name", r->name);
	jw_kstr(w, "status", r->status);
	run_time_member(w, "started", r->start_ns);
	run_time_member(w, "ended", r->end_ns);
	duration_member(w, r->start_ns, r->end_ns);
	maybe(w, "error", r->error);
	jw_ki64(w, "spans", r->spans);
	jw_ki64(w, "errors", r->errors);
	jw_ki64(w, "tokens_in", in);
	jw_ki64(w, "tokens_out", out);
	jw_kf64(w, "cost", r->cost);
	jw_key(w, "attributes");
	jw_raw(w, r->attributes.n ? r->attributes : S("{}"));
	jw_end(w);
}

/* ---- spans ---- */

static const char *const span_kinds[] = {
	"unspecified", "internal", "server", "client", "producer", "consumer"};

/* What a row says; otel.raw.n 0: one of Croft's own. Attributes of own ones stay parsed in *doc. */
struct seen_span {
	struct otel_span otel;
	struct trace_facts facts;
	yyjson_doc *doc;
};

static void look(const struct span_row *s, struct seen_span *out)
{
	*out = (struct seen_span){.otel.raw = {"", 0}};
	if (s->raw.p && otel_span_read(s->raw, &out->otel)) {
		trace_facts_read(&out->otel, &out->facts);
		return;
	}
	out->otel.raw = (struct str){"", 0};
	if (json_parse(s->attributes.n ? s->attributes : S("{}"), &out->doc, NULL))
		out->doc = NULL;
	trace_facts_own(s->kind, yyjson_doc_get_root(out->doc), &out->facts);
}

static void span_members(
	struct jw *w, const struct span_row *s, const struct seen_span *seen, int64_t start_ns)
{
	jw_key(w, "id");
	jw_fmt(w, "%016llx", (unsigned long long)s->id);
	jw_key(w, "parent");
	s->parent ? jw_fmt(w, "%016llx", (unsigned long long)s->parent) : jw_null(w);
	jw_kstr(w, "name", s->name);
	jw_kstr(w, "kind", s->kind);
	jw_kstr(w, "status", s->status);
	maybe(w, "error", s->error);
	ms_member(w, "start_ms", start_ns, s->start_ns);
	duration_member(w, s->start_ns, s->end_ns);
	maybe(w, "model", seen->facts.model.n ? seen->facts.model : (struct str){0});
	jw_ki64(w, "tokens_in", seen->facts.tokens_in);
	jw_ki64(w, "tokens_out", seen->facts.tokens_out);
	jw_kf64(w, "cost", seen->facts.cost);
	jw_ki64(w, "events", seen->otel.n_events);
}

static void write_span(struct jw *w, const struct span_row *s, int64_t start_ns)
{
	struct seen_span seen;
	look(s, &seen);
	jw_obj(w);
	span_members(w, s, &seen, start_ns);
	jw_end(w);
	yyjson_doc_free(seen.doc);
}

static void write_events(struct jw *w, struct str raw, int64_t start_ns)
{
	struct pb m = pb_of(raw);
	struct otel_event ev;
	jw_arr(w);
	while (otel_next_event(&m, &ev)) {
		jw_obj(w);
		jw_kstr(w, "name", ev.name);
		ms_member(w, "at_ms", start_ns, ev.time_ns);
		jw_key(w, "attributes");
		trace_attributes_json(w, ev.raw, OTEL_EVENT_ATTRS);
		jw_ki64(w, "dropped", (int64_t)ev.dropped);
		jw_end(w);
	}
	jw_end(w);
}

static void hex_member(struct jw *w, const char *key, struct str bytes)
{
	struct buf b = {0};
	for (size_t i = 0; i < bytes.n && i < 32; i++)
		buf_addf(&b, "%02x", (unsigned char)bytes.p[i]);
	jw_kstr(w, key, buf_str(&b));
	buf_free(&b);
}

static void write_links(struct jw *w, struct str raw)
{
	struct pb m = pb_of(raw);
	struct otel_link li;
	jw_arr(w);
	while (otel_next_link(&m, &li)) {
		jw_obj(w);
		hex_member(w, "trace", li.trace_id);
		hex_member(w, "span", li.span_id);
		jw_kstr(w, "state", li.trace_state);
		jw_key(w, "attributes");
		trace_attributes_json(w, li.raw, OTEL_LINK_ATTRS);
		jw_end(w);
	}
	jw_end(w);
}

static void write_source(struct jw *w, const struct trace_source *src)
{
	struct pb m = pb_of(src->scope.p ? src->scope : S(""));
	struct pb_field f;
	struct str name = S(""), version = S("");
	while (pb_next(&m, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.s;
		else if (f.number == 2 && f.wire == PB_BYTES)
			version = f.s;
	}
	jw_key(w, "scope");
	jw_obj(w);
	jw_kstr(w, "name", name);
	jw_kstr(w, "version", version);
	jw_key(w, "attributes");
	trace_attributes_json(w, src->scope.p ? src->scope : S(""), OTEL_SCOPE_ATTRS);
	jw_end(w);
	jw_key(w, "resource");
	trace_attributes_json(w, src->resource.p ? src->resource : S(""), OTEL_RESOURCE_ATTRS);
}

static void write_detail(struct jw *w, const struct span_row *s, const struct trace_source *src,
	int64_t start_ns, const struct trace_log_page *logs, const struct buf *logs_json)
{
	struct seen_span seen;
	look(s, &seen);
	bool otel = seen.otel.raw.n > 0;
	char *view = otel ? trace_view_otel(&seen.otel, &seen.facts, logs->list, logs->n)
			  : trace_view_own(s->attributes, &seen.facts);
	jw_obj(w);
	span_members(w, s, &seen, start_ns);
	jw_kc(w, "span_kind", span_kinds[MIN(seen.otel.kind, ARRAY_LEN(span_kinds) - 1)]);
	jw_key(w, "view");
	jw_raw(w, view ? str_c(view) : S("{}"));
	jw_key(w, "attributes");
	if (otel)
		trace_attributes_json(w, seen.otel.raw, OTEL_SPAN_ATTRS);
	else
		jw_raw(w, s->attributes.n ? s->attributes : S("{}"));
	jw_key(w, "event_list");
	write_events(w, seen.otel.raw, start_ns);
	jw_key(w, "logs");
	jw_raw(w, buf_str(logs_json));
	jw_kbool(w, "more_logs", logs->more);
	jw_key(w, "links");
	write_links(w, seen.otel.raw);
	write_source(w, src);
	jw_kstr(w, "trace_state", seen.otel.trace_state.p ? seen.otel.trace_state : S(""));
	jw_key(w, "dropped");
	jw_obj(w);
	jw_ki64(w, "attributes", (int64_t)seen.otel.dropped_attributes);
	jw_ki64(w, "events", (int64_t)seen.otel.dropped_events);
	jw_ki64(w, "links", (int64_t)seen.otel.dropped_links);
	jw_end(w);
	jw_end(w);
	free(view);
	yyjson_doc_free(seen.doc);
}

/* ---- feedback ---- */

static void write_feedback(struct jw *w, const struct assessment *a)
{
	char text[CLOCK_TEXT];
	jw_obj(w);
	jw_kstr(w, "id", a->id);
	jw_ki64(w, "version", a->version);
	jw_key(w, "span");
	a->span ? jw_fmt(w, "%016llx", (unsigned long long)a->span) : jw_null(w);
	jw_kstr(w, "name", a->name);
	jw_kc(w, "kind", a->expectation ? "expectation" : "feedback");
	jw_key(w, "value");
	a->value.p ? jw_raw(w, a->value) : jw_null(w);
	jw_key(w, "error");
	a->error.p ? jw_raw(w, a->error) : jw_null(w);
	maybe(w, "rationale", a->rationale);
	jw_kstr(w, "source", a->source_type);
	jw_kstr(w, "source_id", a->source_id);
	jw_key(w, "metadata");
	a->metadata.p ? jw_raw(w, a->metadata) : jw_null(w);
	jw_kstr(w, "author", a->author);
	clock_rfc3339(a->created_ms, text);
	jw_kc(w, "created", text);
	clock_rfc3339(a->at_ms, text);
	jw_kc(w, "changed", text);
	jw_kbool(w, "deleted", a->deleted);
	jw_kbool(w, "valid", a->valid);
	jw_end(w);
}

static void write_feedback_list(struct jw *w, const struct assessment *list, size_t n)
{
	jw_key(w, "feedback");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		write_feedback(w, &list[i]);
	jw_end(w);
}

/* ---- requests ---- */

enum { LOGS_COUNTED = 10000 };

static enum err id_param(const struct http_request *rq, struct id *id, struct errtext *et)
{
	return id_parse(http_param(rq, "id"), id)
		       ? OK
		       : err_set(et, ERR_INVALID, "the id of a run has 32 hex digits");
}

static enum err span_id(struct str s, int64_t *out, struct errtext *et)
{
	uint8_t b[8];
	uint64_t v = 0;
	if (s.n != 16 || !hex_decode(s, b, 8))
		return err_set(et, ERR_INVALID, "the id of a span has 16 hex digits");
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | b[i];
	*out = (int64_t)v;
	return OK;
}

/* Each of these words is one more test. */
static enum err read_filter(struct http_request *rq, struct trace_query *q, struct errtext *et)
{
	static const struct {
		const char *query, *name;
		enum filter_op op;
	} more[] = {{"status", "status", FILTER_EQ}, {"kind", "kind", FILTER_EQ},
		{"q", "text", FILTER_CONTAINS}};
	enum err e =
		filter_parse(http_query(rq, "filter"), &trace_language, rq->arena, &q->filter, et);
	for (size_t i = 0; i < ARRAY_LEN(more) && !e; i++)
		if (http_query(rq, more[i].query).n)
			e = filter_add(&q->filter, more[i].name, more[i].op,
				http_query(rq, more[i].query), &trace_language, rq->arena, et);
	return e;
}

static enum err read_query(struct http_request *rq, struct trace_query *q, struct errtext *et)
{
	struct str limit = http_query(rq, "limit"), *texts;
	struct filter_order *orders =
		arena_array_of(rq->arena, FILTER_ORDERS_MAX, struct filter_order);
	int64_t n = 50;
	*q = (struct trace_query){.project = project_of(rq), .orders = orders};
	enum err e =
		orders ? read_filter(rq, q, et) : err_set(et, ERR_NOMEM, "no memory for a search");
	if (!e && limit.n && (!str_i64(limit, &n) || n < 1 || n > TRACE_PAGE_MAX))
		e = err_set(et, ERR_INVALID, "limit: a number from 1 to %d is expected",
			TRACE_PAGE_MAX);
	q->limit = (size_t)n;
	if (!e)
		e = search_query_orders(rq, &texts, &q->n_orders, et);
	if (!e)
		e = filter_parse_orders(texts, q->n_orders, &trace_language, rq->arena, orders, et);
	if (!e)
		e = trace_time_query(rq, "since", &q->since_ns, et);
	if (!e)
		e = trace_time_query(rq, "until", &q->until_ns, et);
	if (!e && !trace_place_read(http_query(rq, "after"), &q->after))
		e = err_set(et, ERR_INVALID, "after: what \"next\" of the page before says");
	return e;
}

static void get_traces(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct trace_query q;
	struct trace_page page = {0};
	enum err e = read_query(rq, &q, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = trace_find(croft_db(c), &q, rq->arena, &page, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "traces");
	jw_arr(&w);
	for (size_t i = 0; i < page.n; i++)
		write_trace(&w, &page.list[i].run);
	jw_end(&w);
	jw_key(&w, "next");
	page.more ? trace_place_json(&w, &page.next) : jw_null(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static void write_notes(
	struct jw *w, const struct trace_found *f, enum trace_note_kind kind, const char *key)
{
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; i < f->n_notes; i++)
		if (f->notes[i].kind == kind && !str_starts(f->notes[i].key, S("croft."))) {
			jw_key_str(w, f->notes[i].key);
			jw_str(w, f->notes[i].value);
		}
	jw_end(w);
}

static void get_trace(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	struct trace_found f;
	struct span_row *spans = NULL;
	struct arena *a = arena_new(0);
	size_t n = 0;
	int64_t logs = 0;
	enum err e = a ? id_param(rq, &id, &et) : err_set(&et, ERR_NOMEM, "no memory");
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = trace_load(croft_db(c), project_of(rq), id, a, &f, &spans, &n, &et);
	if (!e)
		e = trace_log_count(croft_db(c), project_of(rq), id, LOGS_COUNTED, &logs, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		arena_free(a);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "trace");
	write_trace(&w, &f.run);
	jw_key(&w, "spans");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_span(&w, &spans[i], f.run.start_ns);
	jw_end(&w);
	jw_ki64(&w, "logs", logs);
	write_notes(&w, &f, NOTE_TAG, "tags");
	write_notes(&w, &f, NOTE_METADATA, "metadata");
	write_feedback_list(&w, f.assessments, f.n_assessments);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
	arena_free(a);
}

static enum err span_logs(struct croft *c, struct http_request *rq, struct id run, int64_t span,
	struct arena *a, struct trace_log_page *out, struct buf *json, struct errtext *et)
{
	struct jw w = {.out = json};
	struct trace_log_query q = {.project = project_of(rq),
		.run = run,
		.span = span,
		.ascending = true,
		.limit = TRACE_LOGS_OF_SPAN};
	enum err e = a ? trace_log_find(croft_db(c), &q, a, out, et)
		       : err_set(et, ERR_NOMEM, "no memory for log records");
	return e ? e : trace_logs_write(&w, croft_db(c), q.project, out->list, out->n, a, et);
}

static void get_span(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	int64_t span = 0;
	struct trace_found f;
	struct span_row row;
	struct trace_source src;
	enum err e = id_param(rq, &id, &et);
	if (!e)
		e = span_id(http_param(rq, "span"), &span, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = trace_load_span(
			croft_db(c), project_of(rq), id, span, rq->arena, &f, &row, &et);
	if (!e)
		e = trace_load_source(
			croft_db(c), project_of(rq), row.holder, rq->arena, &src, &et);
	struct trace_log_page logs = {0};
	struct arena *a = arena_new(0);
	struct buf out = {0}, logs_json = {0};
	struct jw w = {.out = &out};
	if (!e)
		e = span_logs(c, rq, id, span, a, &logs, &logs_json, &et);
	if (!e)
		write_detail(&w, &row, &src, f.run.start_ns, &logs, &logs_json);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&out);
	buf_free(&logs_json);
	arena_free(a);
}

static void delete_trace(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	enum err e = id_param(rq, &id, &et);
	if (!e)
		e = trace_delete(c, rq->who, project_of(rq), id, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 204, "application/json", (struct str){"", 0});
}

/* ---- live ---- */

static enum err send_live(struct http_response *rs, const struct trace_event *ev)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	char hex[ID_HEX + 1];
	id_hex(ev->trace, hex);
	jw_obj(&w);
	jw_kc(&w, "trace", hex);
	jw_key(&w, "span");
	jw_fmt(&w, "%016llx", (unsigned long long)ev->span);
	jw_key(&w, "parent");
	ev->parent ? jw_fmt(&w, "%016llx", (unsigned long long)ev->parent) : jw_null(&w);
	jw_kc(&w, "name", ev->name);
	jw_kc(&w, "kind", ev->kind);
	jw_kc(&w, "status", ev->status);
	run_time_member(&w, "started", ev->start_ns);
	duration_member(&w, ev->start_ns, ev->end_ns);
	jw_end(&w);
	enum err e = http_sse_event(rs, ev->end_ns ? "closed" : "opened", buf_str(&b));
	buf_free(&b);
	return e;
}

enum { LIVE_BATCH = 64, LIVE_WAIT_MS = 1000 };

static enum err send_lost(struct http_response *rs, uint64_t lost)
{
	char text[48];
	snprintf(text, sizeof text, "{\"lost\":%llu}", (unsigned long long)lost);
	return http_sse_event(rs, "lost", str_c(text));
}

static void get_live(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct traces *t = croft_state(c, &trace_module);
	struct errtext et = {0};
	struct trace_event *got = arena_array_of(rq->arena, LIVE_BATCH, struct trace_event);
	uint64_t at, lost;
	enum err e =
		got ? trace_live_join(t->live, &at, &et) : err_set(&et, ERR_NOMEM, "no memory");
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct str project = project_of(rq);
	e = http_sse_begin(rs);
	if (!e)
		e = http_sse_event(rs, "ready", S("{}"));
	while (!e && !cancelled(rq->cancel) && !cancelled(croft_stopping(c))) {
		size_t n = trace_live_read(t->live, &at, got, LIVE_BATCH, &lost, LIVE_WAIT_MS);
		if (lost)
			e = send_lost(rs, lost);
		for (size_t i = 0; !e && i < n; i++)
			if (str_eq_c(project, got[i].project))
				e = send_live(rs, &got[i]);
	}
	trace_live_leave(t->live);
}

/* ---- feedback: requests ---- */

static void get_feedback(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	struct assessment *list = NULL;
	size_t n = 0;
	bool history = str_eq_c(http_query(rq, "history"), "true");
	enum err e = id_param(rq, &id, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = feedback_list(c, project_of(rq), id, history, rq->arena, &list, &n, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	write_feedback_list(&w, list, n);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static struct str json_of(yyjson_val *v, struct arena *a)
{
	size_t n;
	char *text = v && !yyjson_is_null(v) ? yyjson_val_write(v, 0, &n) : NULL;
	struct str s = text ? arena_str(a, str_mk(text, n)) : (struct str){0};
	free(text);
	return s;
}

/* Members that are absent leave what is in *a: a change names only what changes. */
static enum err read_feedback(
	yyjson_val *body, struct arena *arena, struct assessment *a, struct errtext *et)
{
	struct str span = {0}, kind = {0};
	enum err e = json_want_str(body, "name", &a->name, et);
	if (!e)
		e = json_want_str(body, "span", &span, et);
	if (!e && span.n)
		e = span_id(span, &a->span, et);
	if (!e)
		e = json_want_str(body, "kind", &kind, et);
	if (!e && kind.n && !str_eq_c(kind, "feedback") && !str_eq_c(kind, "expectation"))
		e = err_set(et, ERR_INVALID, "kind: feedback or expectation is expected");
	a->expectation |= str_eq_c(kind, "expectation");
	if (!e)
		e = json_want_str(body, "rationale", &a->rationale, et);
	if (!e)
		e = json_want_str(body, "source", &a->source_type, et);
	if (!e)
		e = json_want_str(body, "source_id", &a->source_id, et);
	if (!e && yyjson_obj_get(body, "value"))
		a->value = json_of(yyjson_obj_get(body, "value"), arena);
	if (!e && yyjson_obj_get(body, "metadata"))
		a->metadata = json_of(yyjson_obj_get(body, "metadata"), arena);
	return e;
}

static void reply_feedback(struct http_response *rs, int status, const struct assessment *a)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	write_feedback(&w, a);
	http_reply_json(rs, status, &w);
	buf_free(&out);
}

static void post_feedback(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	yyjson_doc *doc = NULL;
	struct assessment a = {.source_type = S("HUMAN"), .source_id = rq->who->name};
	enum err e = id_param(rq, &id, &et);
	if (!e)
		e = json_parse(rq->body, &doc, &et);
	if (!e)
		e = read_feedback(yyjson_doc_get_root(doc), rq->arena, &a, &et);
	if (!e)
		e = run_flush(c, &et);
	if (!e)
		e = feedback_add(c, rq->who, project_of(rq), id, &a, rq->arena, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_feedback(rs, 201, &a);
	yyjson_doc_free(doc);
}

static void patch_feedback(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	yyjson_doc *doc = NULL;
	struct assessment a;
	enum err e = id_param(rq, &id, &et);
	if (!e)
		e = json_parse(rq->body, &doc, &et);
	if (!e)
		e = feedback_get(
			c, project_of(rq), id, http_param(rq, "feedback"), rq->arena, &a, &et);
	if (!e)
		e = read_feedback(yyjson_doc_get_root(doc), rq->arena, &a, &et);
	if (!e)
		e = feedback_change(c, rq->who, project_of(rq), id, &a, rq->arena, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_feedback(rs, 200, &a);
	yyjson_doc_free(doc);
}

static void delete_feedback(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	enum err e = id_param(rq, &id, &et);
	if (!e)
		e = feedback_delete(
			c, rq->who, project_of(rq), id, http_param(rq, "feedback"), &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 204, "application/json", (struct str){"", 0});
}

/* ---- the tables ---- */

#define STATUS "\"running\" | \"ok\" | \"error\" | \"interrupted\""
#define SPAN_LINE                                                                        \
	"id: string, parent: string | null, name: string, kind: string, status: " STATUS \
	", error: string | null, start_ms: number, duration_ms: number | null, "         \
	"model: string | null, tokens_in: int, tokens_out: int, cost: number, events: int"

const struct shape trace_shapes[TRACE_SHAPES] = {
	{"Trace", "{ id: id, kind: string, name: string, status: " STATUS
		  ", started: string, ended: string | null, duration_ms: number | null, "
		  "error: string | null, spans: int, errors: int, tokens_in: int, "
		  "tokens_out: int, cost: number, attributes: object }"},
	{"TraceSpan", "{ " SPAN_LINE " }"},
	{"UsageLine",
		"{ day: string, model: string | null, calls: int, errors: int, tokens_in: int, "
		"tokens_out: int, cost: number, p50_ms: number | null, "
		"p95_ms: number | null, p99_ms: number | null }"},
	{"TraceSpanDetail",
		"{ " SPAN_LINE ", span_kind: string, view: TraceView, attributes: object, "
		"event_list: { name: string, at_ms: number, attributes: object, dropped: int }[], "
		"logs: Log[], more_logs: boolean, "
		"links: { trace: string, span: string, state: string, attributes: object }[], "
		"scope: { name: string, version: string, attributes: object }, resource: object, "
		"trace_state: string, dropped: { attributes: int, events: int, links: int } }"},
	{"TraceMessage", "{ role: string, parts: object[], finish?: string }"},
	{"TraceView", "{ messages_in?: TraceMessage[], messages_out?: TraceMessage[], "
		      "documents?: object[], tool?: object, input?: any, output?: any }"},
	{"Feedback", "{ id: string, version: int, span: string | null, name: string, "
		     "kind: \"feedback\" | \"expectation\", value: any, error: object | null, "
		     "rationale: string | null, source: \"HUMAN\" | \"LLM_JUDGE\" | \"CODE\", "
		     "source_id: string, metadata: object | null, author: string, created: string, "
		     "changed: string, deleted: boolean, valid: boolean }"},
};

#define FEEDBACK_BODY                                                                          \
	"{ name?: string, value?: any, span?: string, kind?: \"feedback\" | \"expectation\", " \
	"rationale?: string, source?: \"HUMAN\" | \"LLM_JUDGE\" | \"CODE\", "                  \
	"source_id?: string, metadata?: object }"

const struct route trace_routes[TRACE_ROUTES] = {
	{HTTP_GET, "/api/v1/traces", get_traces, PERM_RUN_READ, "List traces, newest first",
		"{ q?: string, filter?: string, order_by?: string, status?: string, kind?: string, "
		"since?: string, until?: string, limit?: int, after?: string }",
		NULL, "{ traces: Trace[], next: string | null }", 0},
	{HTTP_GET, "/api/v1/traces/usage", trace_usage_get, PERM_RUN_READ,
		"Calls, errors, tokens, cost and times by day and model; model null: whole traces",
		"{ since?: string, until?: string, model?: string }", NULL,
		"{ usage: UsageLine[], more: boolean }", 0},
	{HTTP_GET, "/api/v1/traces/live", get_live, PERM_RUN_READ,
		"Spans as they open and close, as server-sent events", NULL, NULL, NULL, 0},
	{HTTP_GET, "/api/v1/traces/{id}", get_trace, PERM_RUN_READ,
		"A trace: its spans, tags and feedback", NULL, NULL,
		"{ trace: Trace, spans: TraceSpan[], logs: int, tags: object, metadata: object, "
		"feedback: Feedback[] }",
		0},
	{HTTP_DELETE, "/api/v1/traces/{id}", delete_trace, PERM_RUN_DELETE, "Delete a trace", NULL,
		NULL, NULL, 0},
	{HTTP_GET, "/api/v1/traces/{id}/spans/{span}", get_span, PERM_RUN_READ,
		"A span: messages, documents, attributes, events, links", NULL, NULL,
		"TraceSpanDetail", 0},
	{HTTP_GET, "/api/v1/runs/{id}/feedback", get_feedback, PERM_RUN_READ,
		"Feedback on a run; with history every version", "{ history?: boolean }", NULL,
		"{ feedback: Feedback[] }", 0},
	{HTTP_POST, "/api/v1/runs/{id}/feedback", post_feedback, PERM_RUN_ASSESS,
		"Give feedback on a run or one of its spans", NULL, FEEDBACK_BODY, "Feedback", 0},
	{HTTP_PATCH, "/api/v1/runs/{id}/feedback/{feedback}", patch_feedback, PERM_RUN_ASSESS,
		"Change feedback; earlier versions are kept", NULL, FEEDBACK_BODY, "Feedback", 0},
	{HTTP_DELETE, "/api/v1/runs/{id}/feedback/{feedback}", delete_feedback, PERM_RUN_ASSESS,
		"Take feedback back; it stays in the history", NULL, NULL, NULL, 0},
};
