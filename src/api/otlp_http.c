/* POST /v1/traces and /v1/logs: OTLP/HTTP 1.11, protobuf and JSON. Every answer is in the request's
 * encoding; failures that a client is to retry are 429 and 503 with Retry-After, and only those. */
#include "api/otlp.h"
#include "net/coding.h"
#include "net/protobuf.h"
#include "run/trace.h"
#include "run/track.h"

/* A tree of JSON values and the protobuf made from it need several times the text. */
enum { DECODED_MAX = 64 << 20, JSON_FACTOR = 5, CODED_FACTOR = 8, CODED_MIN = 64 << 10 };

static const char protobuf_type[] = "application/x-protobuf", json_type[] = "application/json";

/* google.rpc.Code */
static unsigned rpc_code(enum err e)
{
	switch (e) {
	case ERR_METHOD: /* of this file: a signal that is not taken */
		return 12;
	case ERR_INVALID:
	case ERR_UNSUPPORTED:
	case ERR_CORRUPT:
	case ERR_TOO_LARGE:
		return 3;
	case ERR_FORBIDDEN:
		return 7;
	case ERR_BUSY:
		return 8;
	case ERR_INTERNAL:
		return 13;
	default:
		return err_retryable(e) ? 14 : 2;
	}
}

/* 500 and 507 would make an exporter drop its spans. */
static int http_status(enum err e)
{
	if (e == ERR_BUSY)
		return 429;
	if (e == ERR_CORRUPT)
		return 400;
	if (e == ERR_METHOD)
		return 501;
	return err_retryable(e) ? 503 : err_http(e);
}

static void reply(struct http_response *rs, int status, bool json, struct str body)
{
	http_reply(rs, status, json ? json_type : protobuf_type, body);
}

static void reply_error(struct http_response *rs, bool json, enum err e, const struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (json) {
		jw_obj(&w);
		jw_ki64(&w, "code", rpc_code(e));
		jw_kc(&w, "message", err_text(e, et));
		jw_end(&w);
	} else {
		pb_put_varint(&b, 1, rpc_code(e));
		pb_put_str(&b, 2, str_c(err_text(e, et)));
	}
	if (err_retryable(e))
		http_set_header(rs, "retry-after", e == ERR_NO_SPACE ? S("30") : S("1"));
	reply(rs, http_status(e), json, buf_str(&b));
	buf_free(&b);
}

static void reply_accepted(
	struct http_response *rs, bool json, const char *rejected, const struct trace_accepted *a)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (json) {
		jw_obj(&w);
		if (a->rejected) {
			jw_key(&w, "partialSuccess");
			jw_obj(&w);
			jw_key(&w, rejected);
			jw_fmt(&w, "%zu", a->rejected);
			jw_kc(&w, "errorMessage", a->why.msg);
			jw_end(&w);
		}
		jw_end(&w);
	} else if (a->rejected) {
		size_t at = pb_open(&b, 1);
		pb_put_varint(&b, 1, a->rejected);
		pb_put_str(&b, 2, str_c(a->why.msg));
		pb_close(&b, at);
	}
	reply(rs, 200, json, buf_str(&b));
	buf_free(&b);
}

static enum err from_json(
	struct str body, const struct otlp_message *m, struct buf *out, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(body, &doc, et);
	if (e)
		return e;
	e = otlp_from_json(yyjson_doc_get_root(doc), m, out, et);
	yyjson_doc_free(doc);
	return e;
}

/* "application/json; charset=utf-8" is JSON too. */
static enum err encoding(const struct http_request *rq, bool *json, struct errtext *et)
{
	struct str type = http_header(rq, "content-type");
	type = str_trim(str_sub(type, 0, MIN(str_chr(type, ';'), type.n)));
	*json = str_eq_nocase(type, str_c(json_type));
	if (*json || str_eq_nocase(type, str_c(protobuf_type)))
		return OK;
	*json = true; /* of the answer */
	return err_set(et, ERR_UNSUPPORTED, "content-type: %s or %s is expected", protobuf_type,
		json_type);
}

/* MLflow's clients say which experiment a trace is of. */
static enum err experiment_of(
	struct croft *c, const struct http_request *rq, int64_t *out, struct errtext *et)
{
	struct str s = http_header(rq, "x-mlflow-experiment-id");
	struct experiment x;
	*out = -1;
	if (!s.n)
		return OK;
	if (!str_i64(s, out) || *out < 0)
		return err_set(et, ERR_INVALID, "x-mlflow-experiment-id: a number is expected");
	return experiment_get(c, project_of(rq), *out, rq->arena, &x, et);
}

struct work {
	struct buf decoded, made;
	struct str body; /* protobuf at last */
	size_t held;     /* admitted bytes; 0: none */
};

/* Admitted for as much as it may need, then decoded to at most that. */
static enum err decode(struct croft *c, struct http_request *rq, bool json, size_t max,
	struct work *w, struct errtext *et)
{
	w->held = MAX(max, (size_t)1) * (json ? JSON_FACTOR : 1);
	enum err e = trace_admit(c, w->held, et);
	if (e) {
		w->held = 0;
		return e;
	}
	e = http_decoded_body(rq, max, &w->decoded, &w->body, et);
	if (e == ERR_TOO_LARGE && max < DECODED_MAX) { /* it was compressed better than most */
		trace_leave(c, w->held);
		w->held = 0;
		buf_free(&w->decoded);
		return decode(c, rq, json, DECODED_MAX, w, et);
	}
	return e;
}

static enum err read_body(struct croft *c, struct http_request *rq, bool json,
	const struct otlp_message *m, struct work *w, struct errtext *et)
{
	struct str coding = http_header(rq, "content-encoding");
	size_t max = rq->body.n;
	if (coding.n && !str_eq_nocase(str_trim(coding), S("identity")))
		max = MIN(MAX(max * CODED_FACTOR, (size_t)CODED_MIN), (size_t)DECODED_MAX);
	enum err e = decode(c, rq, json, max, w, et);
	if (e || !json)
		return e;
	w->made.max = 2 * (size_t)DECODED_MAX;
	e = from_json(w->body, m, &w->made, et);
	w->body = buf_str(&w->made);
	buf_free(&w->decoded);
	return e;
}

struct signal {
	const struct otlp_message *request;
	const char *rejected; /* member of a partial success */
	enum err (*store)(struct croft *c, struct http_request *rq, struct str body,
		struct trace_accepted *out, struct errtext *et);
};

static void receive(struct croft *c, struct http_request *rq, struct http_response *rs,
	const struct signal *sig)
{
	struct errtext et = {0};
	struct work w = {0};
	struct trace_accepted accepted = {0};
	bool json;
	enum err e = encoding(rq, &json, &et);
	if (!e)
		e = read_body(c, rq, json, sig->request, &w, &et);
	if (!e)
		e = sig->store(c, rq, w.body, &accepted, &et);
	if (w.held)
		trace_leave(c, w.held);
	if (e)
		reply_error(rs, json, e, &et);
	else
		reply_accepted(rs, json, sig->rejected, &accepted);
	buf_free(&w.decoded);
	buf_free(&w.made);
}

static enum err store_traces(struct croft *c, struct http_request *rq, struct str body,
	struct trace_accepted *out, struct errtext *et)
{
	int64_t experiment = -1;
	enum err e = experiment_of(c, rq, &experiment, et);
	return e ? e : trace_import(c, project_of(rq), experiment, body, out, et);
}

void otlp_traces(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const struct signal traces = {&otlp_trace_request, "rejectedSpans", store_traces};
	receive(c, rq, rs, &traces);
}

static enum err store_logs(struct croft *c, struct http_request *rq, struct str body,
	struct trace_accepted *out, struct errtext *et)
{
	return trace_import_logs(c, project_of(rq), body, out, et);
}

void otlp_logs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	static const struct signal logs = {&otlp_logs_request, "rejectedLogRecords", store_logs};
	receive(c, rq, rs, &logs);
}

/* Not retryable, and said in the client's encoding: an exporter drops its batch and logs why. */
void otlp_metrics(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	bool json;
	enum err e = encoding(rq, &json, &et);
	if (!e)
		e = err_set(&et, ERR_METHOD,
			"metrics are not taken here, only traces and logs: set "
			"OTEL_METRICS_EXPORTER=none or send them to a Prometheus server");
	reply_error(rs, json, e, &et);
}
