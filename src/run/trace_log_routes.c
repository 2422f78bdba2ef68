/* /api/v1/logs, /api/v1/runs/{id}/logs and `croft logs`. */
#include "base/clock.h"
#include "module/cmd.h"
#include "run/trace_query.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- JSON ---- */

static const char *const levels[] = {"trace", "debug", "info", "warn", "error", "fatal"};

/* What the records of a list have in common: read once for each. */
struct sources {
	struct db *db;
	struct str project;
	struct arena *a;
	struct {
		struct str key, service, scope;
	} seen[16];
	size_t n, next;
};

static struct str service_of(struct str resource)
{
	struct pb m = pb_of(resource);
	struct str key;
	struct otel_value v;
	while (otel_next_attr(&m, OTEL_RESOURCE_ATTRS, &key, &v))
		if (str_eq(key, S("service.name")) && v.type == OTEL_STR)
			return v.s;
	return S("");
}

static struct str scope_of(struct str scope)
{
	struct pb m = pb_of(scope);
	struct pb_field f;
	while (pb_next(&m, &f))
		if (f.number == 1 && f.wire == PB_BYTES)
			return f.s;
	return S("");
}

static enum err source_of(struct sources *s, struct str key, size_t *at, struct errtext *et)
{
	struct trace_source src;
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->seen[i].key, key)) {
			*at = i;
			return OK;
		}
	enum err e = trace_load_source(s->db, s->project, key, s->a, &src, et);
	if (e)
		return e;
	*at = s->next;
	s->next = (s->next + 1) % ARRAY_LEN(s->seen);
	s->n = MAX(s->n, *at + 1);
	s->seen[*at].key = key;
	s->seen[*at].service = service_of(src.resource.p ? src.resource : S(""));
	s->seen[*at].scope = scope_of(src.scope.p ? src.scope : S(""));
	return OK;
}

static void write_level(struct jw *w, const struct otel_log *l)
{
	jw_ki64(w, "severity", (int64_t)l->severity);
	jw_key(w, "level");
	if (l->severity >= 1 && l->severity <= 24)
		jw_c(w, levels[(l->severity - 1) / 4]);
	else
		jw_str(w, l->severity_text);
}

static void write_log(
	struct jw *w, const struct trace_log_row *r, struct str service, struct str scope)
{
	char time[CLOCK_TEXT], hex[ID_HEX + 1];
	clock_rfc3339(r->at_ns / 1000000, time);
	id_hex(r->run, hex);
	jw_obj(w);
	jw_kc(w, "time", time);
	jw_key(w, "trace");
	id_is_zero(r->run) ? jw_null(w) : jw_c(w, hex);
	jw_key(w, "span");
	r->log.span ? jw_fmt(w, "%016llx", (unsigned long long)r->log.span) : jw_null(w);
	write_level(w, &r->log);
	jw_key(w, "event");
	r->log.event.n ? jw_str(w, r->log.event) : jw_null(w);
	jw_key(w, "body");
	trace_value_json(w, &r->log.body);
	jw_key(w, "attributes");
	trace_attributes_json(w, r->log.raw, OTEL_LOG_ATTRS);
	jw_kstr(w, "service", service);
	jw_kstr(w, "scope", scope);
	jw_end(w);
}

enum err trace_logs_write(struct jw *w, struct db *db, struct str project,
	const struct trace_log_row *rows, size_t n, struct arena *a, struct errtext *et)
{
	struct sources s = {.db = db, .project = project, .a = a};
	enum err e = OK;
	jw_arr(w);
	for (size_t i = 0; !e && i < n; i++) {
		size_t at = 0;
		e = source_of(&s, rows[i].holder, &at, et);
		if (!e)
			write_log(w, &rows[i], s.seen[at].service, s.seen[at].scope);
	}
	jw_end(w);
	return e;
}

/* ---- requests ---- */

static enum err level_query(const struct http_request *rq, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, "level");
	if (!s.n)
		return OK;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (str_eq_c(s, levels[i])) {
			*out = (int64_t)i * 4 + 1;
			return OK;
		}
	return err_set(et, ERR_INVALID, "level: trace, debug, info, warn, error or fatal");
}

/* "NS.ID" of the last one that was looked at. */
static enum err after_query(
	const struct http_request *rq, struct trace_log_query *q, struct errtext *et)
{
	struct str s = http_query(rq, "after");
	size_t dot = s.n ? str_chr(s, '.') : STR_NONE;
	if (!s.n)
		return OK;
	if (dot == STR_NONE || !str_i64(str_sub(s, 0, dot), &q->after_ns) ||
		!str_i64(str_sub(s, dot + 1, s.n), &q->after_id))
		return err_set(et, ERR_INVALID, "after: what \"next\" of the page before says");
	return OK;
}

static enum err span_query(const struct http_request *rq, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, "span");
	uint8_t b[8];
	uint64_t v = 0;
	if (!s.n)
		return OK;
	if (s.n != 16 || !hex_decode(s, b, 8))
		return err_set(et, ERR_INVALID, "the id of a span has 16 hex digits");
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | b[i];
	*out = (int64_t)v;
	return OK;
}

static enum err read_query(
	const struct http_request *rq, struct trace_log_query *q, struct errtext *et)
{
	struct str limit = http_query(rq, "limit");
	int64_t n = 100;
	enum err e = OK;
	*q = (struct trace_log_query){.project = project_of(rq), .search = http_query(rq, "q")};
	if (limit.n && (!str_i64(limit, &n) || n < 1 || n > TRACE_LOGS_MAX))
		e = err_set(et, ERR_INVALID, "limit: a number from 1 to %d is expected",
			TRACE_LOGS_MAX);
	q->limit = (size_t)n;
	if (!e)
		e = level_query(rq, &q->severity, et);
	if (!e)
		e = span_query(rq, &q->span, et);
	if (!e)
		e = trace_time_query(rq, "since", &q->since_ns, et);
	if (!e)
		e = trace_time_query(rq, "until", &q->until_ns, et);
	return e ? e : after_query(rq, q, et);
}

static void reply(struct croft *c, struct http_request *rq, struct http_response *rs,
	const struct trace_log_query *q, enum err e, struct errtext *et)
{
	struct trace_log_page page = {0};
	struct arena *a = arena_new(0);
	struct buf out = {0};
	struct jw w = {.out = &out};
	if (!e && !a)
		e = err_set(et, ERR_NOMEM, "no memory for a list of logs");
	if (!e)
		e = trace_log_find(croft_db(c), q, a, &page, et);
	jw_obj(&w);
	jw_key(&w, "logs");
	if (!e)
		e = trace_logs_write(&w, croft_db(c), q->project, page.list, page.n, a, et);
	jw_key(&w, "next");
	page.more ? jw_fmt(&w, "%lld.%lld", (long long)page.next_ns, (long long)page.next_id)
		  : jw_null(&w);
	jw_end(&w);
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&out);
	arena_free(a);
}

static void get_logs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct trace_log_query q;
	enum err e = read_query(rq, &q, &et);
	if (!e && q.span)
		e = err_set(&et, ERR_INVALID, "span: only together with a run: /runs/{id}/logs");
	reply(c, rq, rs, &q, e, &et);
}

static void get_run_logs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct trace_log_query q;
	enum err e = read_query(rq, &q, &et);
	if (!e && (!id_parse(http_param(rq, "id"), &q.run) || id_is_zero(q.run)))
		e = err_set(&et, ERR_INVALID, "the id of a run has 32 hex digits");
	q.ascending = true;
	reply(c, rq, rs, &q, e, &et);
}

#define QUERY                                                                           \
	"{ q?: string, level?: string, span?: string, since?: string, until?: string, " \
	"limit?: int, after?: string }"

const struct shape log_shapes[LOG_SHAPES] = {
	{"Log", "{ time: string, trace: string | null, span: string | null, severity: int, "
		"level: string, event: string | null, body: any, attributes: object, "
		"service: string, scope: string }"},
};

const struct route log_routes[LOG_ROUTES] = {
	{HTTP_GET, "/api/v1/logs", get_logs, PERM_RUN_READ, "List log records, newest first", QUERY,
		NULL, "{ logs: Log[], next: string | null }", 0},
	{HTTP_GET, "/api/v1/runs/{id}/logs", get_run_logs, PERM_RUN_READ,
		"The log records of a run, oldest first", QUERY, NULL,
		"{ logs: Log[], next: string | null }", 0},
};

/* ---- the command ---- */

static const char *style_of(struct str level)
{
	return str_eq_c(level, "error") || str_eq_c(level, "fatal") ? "red"
	       : str_eq_c(level, "warn")                            ? "yellow"
								    : "dim";
}

static void print_log(struct cmd *cmd, yyjson_val *r)
{
	struct str level = json_str(r, "level"), event = json_str(r, "event");
	yyjson_val *body = yyjson_obj_get(r, "body");
	char *json = yyjson_is_str(body) || yyjson_is_null(body) ? NULL
								 : yyjson_val_write(body, 0, NULL);
	struct str text = json ? str_c(json) : json_val_str(body);
	cmd_outf(cmd, "%.*s %s%-5.*s%s %.*s%s%.*s\n", STR_FMT(str_sub(json_str(r, "time"), 11, 23)),
		cmd_style(cmd, style_of(level)), STR_FMT(level), cmd_style(cmd, "reset"),
		STR_FMT(event.p ? event : S("")), event.n ? " " : "",
		STR_FMT(text.p ? text : S("")));
	free(json);
}

static enum err logs(struct cmd *cmd, struct errtext *et)
{
	static const char *const passed[] = {"level", "span", "since", "until", "limit"};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/");
	if (cmd_n_args(cmd)) {
		buf_addc(&path, "runs/");
		url_encode(&path, cmd_arg(cmd, 0));
		buf_putc(&path, '/');
	}
	buf_addc(&path, "logs?q=");
	url_encode(&path, cmd_opt(cmd, "search"));
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		if (cmd_opt(cmd, passed[i]).p) {
			buf_addf(&path, "&%s=", passed[i]);
			url_encode(&path, cmd_opt(cmd, passed[i]));
		}
	enum err e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &body, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e && !(e = json_parse(buf_str(&body), &doc, et))) {
		yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "logs"), *r;
		size_t i, n;
		yyjson_arr_foreach(list, i, n, r) print_log(cmd, r);
		if (!yyjson_arr_size(list))
			cmd_note(cmd, "(none)");
		if (json_str(yyjson_doc_get_root(doc), "next").n)
			cmd_note(cmd, "there are more: --limit, --since and --until narrow");
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

static const struct option logs_options[] = {
	{"search", 'q', "TEXT", "Only records that hold this text"},
	{"level", 0, "LEVEL", "At least: trace, debug, info, warn, error, fatal"},
	{"span", 0, "ID", "Of one span of the run"},
	{"since", 0, "TIME", "From this time on"},
	{"until", 0, "TIME", "Before this time"},
	{"limit", 'n', "N", "At most so many (100)"},
};

const struct command log_commands[LOG_COMMANDS] = {
	{"logs", logs, "[RUN]", logs_options, ARRAY_LEN(logs_options),
		"Log records: of a run, or the newest of all", NULL},
};
