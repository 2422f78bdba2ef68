#include "net/http_int.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	enum http_method method;
} methods[] = {{"GET", HTTP_GET}, {"POST", HTTP_POST}, {"PUT", HTTP_PUT}, {"PATCH", HTTP_PATCH},
	{"DELETE", HTTP_DELETE}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS}};

const char *http_method_name(enum http_method m)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].method == m)
			return methods[i].name;
	return "?";
}

bool http_method_parse(struct str s, enum http_method *out)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (str_eq_c(s, methods[i].name)) {
			*out = methods[i].method;
			return true;
		}
	return false;
}

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
		{206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"},
		{303, "See Other"}, {304, "Not Modified"}, {307, "Temporary Redirect"},
		{308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"},
		{403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
		{408, "Request Timeout"}, {409, "Conflict"}, {411, "Length Required"},
		{413, "Content Too Large"}, {414, "URI Too Long"}, {415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
		{421, "Misdirected Request"}, {422, "Unprocessable Content"},
		{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
		{499, "Client Closed Request"}, {500, "Internal Server Error"},
		{501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"}};
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

/* ---- the request ---- */

static struct str find_pair(const struct http_pair *p, size_t n, const char *name, bool any_case)
{
	struct str want = str_c(name);
	for (size_t i = 0; i < n; i++)
		if (any_case ? str_eq_nocase(p[i].name, want) : str_eq(p[i].name, want))
			return p[i].value;
	return (struct str){0};
}

struct str http_param(const struct http_request *rq, const char *name)
{
	return find_pair(rq->params, rq->n_params, name, false);
}

struct str http_query(const struct http_request *rq, const char *name)
{
	return find_pair(rq->query, rq->n_query, name, false);
}

struct str http_header(const struct http_request *rq, const char *name)
{
	return find_pair(rq->headers, rq->n_headers, name, true);
}

/* ---- the response ---- */

void http_response_init(struct http_response *rs, const struct http_carrier *carrier, void *ctx,
	const struct http_request *rq)
{
	*rs = (struct http_response){.carrier = carrier, .ctx = ctx, .rq = rq};
}

/* A header value must not end the header: control bytes become spaces. */
static struct str clean_value(struct arena *a, struct str v)
{
	struct str out = arena_str(a, v);
	for (size_t i = 0; out.p && i < out.n; i++)
		if ((unsigned char)out.p[i] < ' ' || out.p[i] == 0x7f)
			((char *)out.p)[i] = ' ';
	return out;
}

static bool has_header(const struct http_response *rs, const char *name)
{
	return find_pair(rs->headers, rs->n_headers, name, true).p != NULL;
}

void http_set_header(struct http_response *rs, const char *name, struct str value)
{
	struct http_pair pair = {
		arena_str(rs->rq->arena, str_c(name)), clean_value(rs->rq->arena, value)};
	if (!pair.name.p || !pair.value.p || rs->status)
		return;
	for (size_t i = 0; i < rs->n_headers; i++)
		if (str_eq_nocase(rs->headers[i].name, pair.name)) {
			rs->headers[i] = pair;
			return;
		}
	if (rs->n_headers < ARRAY_LEN(rs->headers))
		rs->headers[rs->n_headers++] = pair;
}

static void set_default(struct http_response *rs, const char *name, const char *value)
{
	if (!has_header(rs, name))
		http_set_header(rs, name, str_c(value));
}

/* What every answer says unless its handler said otherwise. Literals: nothing is copied. */
static void set_defaults(struct http_response *rs)
{
	static const struct {
		const char *name;
		struct http_pair pair;
	} rows[] = {
#define ROW(name, value)                                \
	{                                               \
		name,                                   \
		{                                       \
			{name, sizeof name - 1},        \
			{                               \
				value, sizeof value - 1 \
			}                               \
		}                                       \
	}
		ROW("cache-control", "no-store"),
		ROW("x-content-type-options", "nosniff"),
		ROW("referrer-policy", "no-referrer"),
		ROW("x-frame-options", "DENY"),
		ROW("cross-origin-resource-policy", "same-origin"),
#undef ROW
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!has_header(rs, rows[i].name) && rs->n_headers < ARRAY_LEN(rs->headers))
			rs->headers[rs->n_headers++] = rows[i].pair;
}

static void send_head(struct http_response *rs, int status, const char *type, struct str body,
	bool is_static, bool streaming)
{
	char id[ID_HEX + 1];
	if (rs->status) {
		log_error("%s %.*s: a handler answered twice", http_method_name(rs->rq->method),
			STR_FMT(str_sub(rs->rq->path, 0, 200)));
		return;
	}
	if (type)
		http_set_header(rs, "content-type", str_c(type));
	set_defaults(rs);
	id_hex(rs->rq->id, id);
	http_set_header(rs, "x-request-id", str_c(id));
	rs->status = status;
	rs->streaming = streaming;
	rs->carrier->head(rs->ctx, status, rs->headers, rs->n_headers, body, is_static, streaming);
}

void http_reply(struct http_response *rs, int status, const char *type, struct str body)
{
	send_head(rs, status, type, body, false, false);
}

void http_reply_static(struct http_response *rs, int status, const char *type, struct str body)
{
	send_head(rs, status, type, body, true, false);
}

void http_reply_json(struct http_response *rs, int status, const struct jw *w)
{
	if (!jw_done(w)) {
		struct errtext et;
		enum err e = w->out->err ? w->out->err : ERR_INTERNAL;
		http_reply_error(rs, err_set(&et, e, "the answer could not be written"), &et);
		return;
	}
	http_reply(rs, status, "application/json", buf_str(w->out));
}

/* OpenAI's word for the kind of an error. */
static const char *error_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 403:
		return "permission_error";
	case 429:
		return "rate_limit_error";
	default:
		return status >= 500 ? "server_error" : "invalid_request_error";
	}
}

void http_reply_error(struct http_response *rs, enum err e, const struct errtext *et)
{
	int status = err_http(e);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kc(&w, "code", err_word(e));
	jw_kc(&w, "message", err_text(e, et));
	jw_kc(&w, "type", error_type(status));
	jw_kc(&w, "param", NULL);
	jw_end(&w);
	jw_end(&w);
	/* clients of the OpenAI kind repeat these statuses unless they are told not to */
	if (status == 409 || status >= 500)
		set_default(rs, "x-should-retry", err_retryable(e) ? "true" : "false");
	if (status == 429 || status == 503)
		set_default(rs, "retry-after", "1");
	if (status >= 500 && status != 503)
		log_error("%s %.*s: %s", http_method_name(rs->rq->method),
			STR_FMT(str_sub(rs->rq->path, 0, 200)), err_text(e, et));
	if (jw_done(&w))
		http_reply(rs, status, "application/json", buf_str(&b));
	else
		http_reply_static(rs, 503, "application/json",
			S("{\"error\":{\"code\":\"out_of_memory\",\"message\":\"out of memory\","
			  "\"type\":\"server_error\",\"param\":null}}"));
	buf_free(&b);
}

enum err http_stream_begin(struct http_response *rs, int status, const char *type)
{
	send_head(rs, status, type, str_mk("", 0), false, true);
	pool_wait_begin(); /* most of its time, to the end */
	return cancelled(rs->rq->cancel) ? ERR_CANCELLED : OK;
}

enum err http_stream_write(struct http_response *rs, struct str data)
{
	if (!rs->streaming)
		return ERR_INTERNAL;
	return data.n ? rs->carrier->write(rs->ctx, data) : OK;
}

enum err http_sse_begin(struct http_response *rs)
{
	/* proxies must neither buffer nor transform events */
	http_set_header(rs, "cache-control", S("no-cache, no-transform"));
	http_set_header(rs, "x-accel-buffering", S("no"));
	return http_stream_begin(rs, 200, "text/event-stream");
}

enum err http_sse_event(struct http_response *rs, const char *event, struct str data)
{
	struct buf b = {0};
	if (event)
		buf_addf(&b, "event: %s\n", event);
	do { /* every line of the data is a line of the event */
		struct str line = {"", 0};
		str_next_line(&data, &line);
		buf_addc(&b, "data: ");
		buf_adds(&b, line);
		buf_putc(&b, '\n');
	} while (data.n);
	buf_putc(&b, '\n');
	enum err e = b.err ? b.err : http_stream_write(rs, buf_str(&b));
	buf_free(&b);
	return e;
}

int http_reply_status(const struct http_response *rs)
{
	return rs->status;
}

bool http_replied(const struct http_response *rs)
{
	return rs->status != 0;
}

void http_response_finish(struct http_response *rs)
{
	struct errtext et;
	if (!rs->status)
		http_reply_error(
			rs, err_set(&et, ERR_INTERNAL, "the request was not answered"), &et);
}

/* ---- in this process ---- */

struct local {
	const struct http_local *to;
	struct cancel cancel; /* set when the receiver wants no more */
	bool head_only;
	enum err err;
};

static enum err local_write(void *ctx, struct str data)
{
	struct local *l = ctx;
	if (l->err || cancelled(&l->cancel))
		return ERR_CANCELLED;
	l->err = l->to->on_data && !l->head_only ? l->to->on_data(l->to->ctx, data) : OK;
	if (!l->err)
		return OK;
	cancel_set(&l->cancel);
	return ERR_CANCELLED;
}

static void local_head(void *ctx, int status, const struct http_pair *headers, size_t n,
	struct str body, bool body_is_static, bool streaming)
{
	struct local *l = ctx;
	if (l->to->on_head)
		l->to->on_head(l->to->ctx, status, headers, n);
	/* a finished answer is delivered even when the caller's flag is set by now */
	if (body.n && l->to->on_data && !l->head_only)
		l->err = l->to->on_data(l->to->ctx, body);
}

enum err http_local_run(http_handler fn, void *app, enum http_method method, struct str target,
	const struct http_pair *headers, size_t n_headers, struct str body,
	const struct cancel *cancel, const struct http_local *to, struct errtext *et)
{
	static const struct http_carrier carrier = {local_head, local_write};
	struct local l = {.to = to, .cancel = {.parent = cancel}, .head_only = method == HTTP_HEAD};
	struct http_request rq = {.method = method,
		.body = body,
		.peer = S("local"),
		.local = true,
		.id = id_new(),
		.arena = arena_new(0),
		.cancel = &l.cancel};
	struct http_response rs;
	struct str authority;
	if (!rq.arena)
		return err_set(et, ERR_NOMEM, "no memory for the request");
	enum err e = http_parse_target(&rq, target, &authority, et);
	rq.headers = arena_array_of(rq.arena, n_headers + 1, struct http_pair);
	if (!e && !rq.headers)
		e = err_set(et, ERR_NOMEM, "no memory for the request");
	if (!e) {
		if (n_headers)
			memcpy(rq.headers, headers, n_headers * sizeof *headers);
		rq.n_headers = n_headers;
		http_response_init(&rs, &carrier, &l, &rq);
		fn(app, &rq, &rs);
		http_response_finish(&rs);
		/* what the receiver refused is told by it, in the text that it shares with us */
		e = l.err;
	}
	arena_free(rq.arena);
	return e;
}
