/* Croft's own runs to another collector, as OTLP/HTTP protobuf.
 *
 *  1. Who ends a span puts its bytes into the queue and never waits: at QUEUE_BYTES_MAX the span is
 *     dropped and counted.
 *  2. The thread waits DELAY_MS for more, then sends a batch. 429, 502, 503, 504 and a server that
 *     cannot be reached are tried again, after Retry-After or longer and longer, up to TRIES times;
 *     meanwhile the queue fills and (1) holds. Any other answer drops the batch, counted and
 * logged.
 *  3. The address is the operator's, from the settings; still: http or https only, no user in it,
 * no redirects (a POST is never redirected), no link-local host (cloud metadata). */
#include "run/trace_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/client.h"
#include "net/coding.h"
#include "net/trace_context.h"

#include <stdlib.h>

enum {
	QUEUE_BYTES_MAX = 16 << 20,
	BATCH_BYTES = 1 << 20,
	BATCH = 512,
	DELAY_MS = 1000,
	TRIES = 6,
	WAIT_MAX_MS = 30000,
	HEADERS_MAX = 16,
	STOP_MS = 3000
};

struct item {
	struct item *next;
	size_t n;
	char bytes[];
};

struct trace_export {
	char *url, *headers_text;
	struct http_pair headers[HEADERS_MAX + 2];
	size_t n_headers;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	struct item *first, **last;
	size_t n, bytes;
	uint64_t sent, dropped;
	bool stop;
	struct cancel cancel;
};

/* ---- a record as a span ---- */

static void text_or_json(struct buf *out, const char *key, yyjson_val *v)
{
	char *json = NULL;
	struct str s = json_val_str(v);
	if (!s.p) {
		json = yyjson_val_write(v, 0, NULL);
		s = str_c(json ? json : "null");
	}
	otel_put_str(out, OTEL_SPAN_ATTRS, key, s);
	free(json);
}

static void one_attribute(struct buf *out, const char *key, yyjson_val *v)
{
	static const struct {
		const char *ours, *theirs;
	} names[] = {{"model", "gen_ai.request.model"},
		{"prompt_tokens", "gen_ai.usage.input_tokens"},
		{"tokens.prompt", "gen_ai.usage.input_tokens"},
		{"completion_tokens", "gen_ai.usage.output_tokens"},
		{"tokens.completion", "gen_ai.usage.output_tokens"},
		{"cached_tokens", "gen_ai.usage.cache_read.input_tokens"}, {"input", "input.value"},
		{"output", "output.value"}};
	struct buf name = {0};
	for (size_t i = 0; i < ARRAY_LEN(names) && !name.n; i++)
		if (strcmp(key, names[i].ours) == 0)
			buf_addc(&name, names[i].theirs);
	if (!name.n)
		buf_addf(&name, "croft.%s", key);
	if (yyjson_is_bool(v))
		otel_put_bool(out, OTEL_SPAN_ATTRS, buf_c(&name), yyjson_get_bool(v));
	else if (yyjson_is_int(v))
		otel_put_i64(out, OTEL_SPAN_ATTRS, buf_c(&name), yyjson_get_sint(v));
	else if (yyjson_is_real(v))
		otel_put_f64(out, OTEL_SPAN_ATTRS, buf_c(&name), yyjson_get_real(v));
	else
		text_or_json(out, buf_c(&name), v);
	buf_free(&name);
}

static void put_kind(struct buf *out, const struct record *rec)
{
	static const struct {
		const char *kind, *operation;
	} operations[] = {{"llm", "chat"}, {"embedding", "embeddings"}, {"retriever", "retrieval"}};
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (strcmp(rec->kind, operations[i].kind) == 0) {
			otel_put_str(out, OTEL_SPAN_ATTRS, "gen_ai.operation.name",
				str_c(operations[i].operation));
			otel_put_str(out, OTEL_SPAN_ATTRS, "gen_ai.provider.name", S("croft"));
		}
	otel_put_str(out, OTEL_SPAN_ATTRS, "croft.kind", str_c(rec->kind));
	otel_put_str(out, OTEL_SPAN_ATTRS, "croft.project", str_c(rec->project));
}

/* Fields of opentelemetry/proto/trace/v1/trace.proto. A run that is nobody's span is the root. */
void trace_export_span(struct buf *out, const struct record *rec, int64_t own)
{
	yyjson_doc *doc = NULL;
	yyjson_val *key, *v;
	size_t i, n;
	int64_t id = rec->is_span ? rec->span : own;
	int64_t parent = rec->parent ? rec->parent : rec->is_span && !rec->guest_root ? own : 0;
	pb_put_str(out, 1, str_mk(rec->run.b, sizeof rec->run.b));
	otel_put_span_id(out, 2, id);
	if (parent)
		otel_put_span_id(out, 4, parent);
	pb_put_str(out, 5, str_c(rec->name));
	pb_put_varint(out, 6, id == own ? 2 : 1); /* server, internal */
	pb_put_fixed64(out, 7, (uint64_t)rec->start_ns);
	pb_put_fixed64(out, 8, (uint64_t)rec->end_ns);
	put_kind(out, rec);
	if (rec->attributes && !json_parse(str_c(rec->attributes), &doc, NULL))
		yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, v)
			one_attribute(out, yyjson_get_str(key), v);
	yyjson_doc_free(doc);
	if (rec->status == STATUS_ERROR) {
		size_t at = pb_open(out, 15);
		pb_put_str(out, 2, str_c(rec->error ? rec->error : ""));
		pb_put_varint(out, 3, OTEL_STATUS_ERROR);
		pb_close(out, at);
	}
}

/* ---- the queue ---- */

void trace_export_put(struct trace_export *x, const struct record *rec, int64_t own)
{
	struct buf b = {.max = QUEUE_BYTES_MAX};
	trace_export_span(&b, rec, own);
	struct item *it = b.err ? NULL : malloc(sizeof *it + b.n);
	if (it) {
		it->next = NULL;
		it->n = b.n;
		memcpy(it->bytes, b.p, b.n);
	}
	pthread_mutex_lock(&x->mu);
	if (!it || x->bytes + b.n > QUEUE_BYTES_MAX) {
		x->dropped++;
		free(it);
	} else {
		*x->last = it;
		x->last = &it->next;
		x->n++;
		x->bytes += b.n;
		pthread_cond_signal(&x->wake);
	}
	pthread_mutex_unlock(&x->mu);
	buf_free(&b);
}

void trace_export_stats(struct trace_export *x, struct trace_export_stats *out)
{
	pthread_mutex_lock(&x->mu);
	*out = (struct trace_export_stats){x->sent, x->dropped, x->n};
	pthread_mutex_unlock(&x->mu);
}

/* Waits for a batch and makes a request of it; n 0: the end. */
static size_t take(struct trace_export *x, struct buf *request)
{
	struct buf scope = {0}, rs = {0};
	size_t n = 0;
	pthread_mutex_lock(&x->mu);
	while (!x->n && !x->stop)
		cond_wait_until(&x->wake, &x->mu, clock_mono_ns() + 60ull * 1000000000u);
	uint64_t deadline = clock_mono_ns() + DELAY_MS * 1000000ull;
	while (x->n < BATCH && !x->stop && cond_wait_until(&x->wake, &x->mu, deadline))
		;
	size_t at = pb_open(&scope, 1);
	pb_put_str(&scope, 1, S("croft"));
	pb_put_str(&scope, 2, S(CROFT_VERSION));
	pb_close(&scope, at);
	while (x->first && n < BATCH && scope.n < BATCH_BYTES) {
		struct item *it = x->first;
		pb_put_str(&scope, 2, str_mk(it->bytes, it->n));
		x->first = it->next;
		x->bytes -= it->n;
		x->n--;
		n++;
		free(it);
	}
	if (!x->first)
		x->last = &x->first;
	pthread_mutex_unlock(&x->mu);
	at = pb_open(&rs, 1);
	otel_put_str(&rs, OTEL_RESOURCE_ATTRS, "service.name", S("croft"));
	otel_put_str(&rs, OTEL_RESOURCE_ATTRS, "service.version", S(CROFT_VERSION));
	pb_close(&rs, at);
	pb_put_str(&rs, 2, buf_str(&scope));
	pb_put_str(request, 1, buf_str(&rs));
	if (scope.err || rs.err)
		request->err = ERR_NOMEM;
	buf_free(&scope);
	buf_free(&rs);
	return n;
}

/* ---- sending ---- */

struct answer {
	int status;
	int64_t retry_after_ms;
};

static enum err on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	struct answer *a = ctx;
	int64_t s;
	a->status = status;
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(headers[i].name, S("retry-after")) &&
			str_i64(str_trim(headers[i].value), &s) && s >= 0 && s < 3600)
			a->retry_after_ms = s * 1000;
	return OK;
}

static enum err on_data(void *ctx, struct str data)
{
	return OK;
}

static bool retryable(enum err e, int status)
{
	if (e)
		return e == ERR_NETWORK || e == ERR_TIMEOUT;
	return status == 429 || status == 502 || status == 503 || status == 504;
}

static void rest(struct trace_export *x, int64_t ms)
{
	uint64_t until = clock_mono_ns() + (uint64_t)ms * 1000000;
	pthread_mutex_lock(&x->mu);
	while (!x->stop && cond_wait_until(&x->wake, &x->mu, until))
		;
	pthread_mutex_unlock(&x->mu);
}

static bool stopping(struct trace_export *x)
{
	pthread_mutex_lock(&x->mu);
	bool stop = x->stop;
	pthread_mutex_unlock(&x->mu);
	return stop;
}

static bool send_batch(struct trace_export *x, struct str body, struct errtext *et)
{
	int64_t wait_ms = 500;
	for (int i = 0; i < TRIES; i++) {
		struct answer a = {0};
		struct client_reply reply = {0};
		struct client_request rq = {.method = HTTP_POST,
			.url = x->url,
			.headers = x->headers,
			.n_headers = x->n_headers,
			.body = body,
			.total_ms = 10000,
			.reply_max = 4 << 20,
			.cancel = &x->cancel,
			.on_head = on_head,
			.on_data = on_data,
			.ctx = &a};
		enum err e = client_run(&rq, &reply, et);
		client_reply_free(&reply);
		if (!e && a.status >= 200 && a.status < 300)
			return true;
		if (!e)
			err_set(et, ERR_NETWORK, "the collector answered %d", a.status);
		if (!retryable(e, a.status) || (stopping(x) && i))
			return false;
		rest(x, MAX(a.retry_after_ms, MIN(wait_ms, (int64_t)WAIT_MAX_MS)));
		wait_ms *= 2;
	}
	return false;
}

static void *export_main(void *arg)
{
	struct trace_export *x = arg;
	for (;;) {
		struct buf request = {0}, packed = {0};
		struct errtext et = {0};
		size_t n = take(x, &request);
		bool good = n && !request.err && !gzip_encode(buf_str(&request), &packed, &et) &&
			    send_batch(x, buf_str(&packed), &et);
		if (n && !good)
			log_warn("%zu spans could not be sent to otlp.export_url: %s", n,
				err_text(ERR_NETWORK, &et));
		buf_free(&request);
		buf_free(&packed);
		pthread_mutex_lock(&x->mu);
		*(good ? &x->sent : &x->dropped) += n;
		bool end = x->stop && !x->first;
		pthread_mutex_unlock(&x->mu);
		if (end || !n)
			break;
	}
	return NULL;
}

/* ---- settings ---- */

static enum err check_url(struct str url, struct errtext *et)
{
	bool https = str_starts(url, S("https://"));
	if (!https && !str_starts(url, S("http://")))
		return err_set(et, ERR_INVALID,
			"otlp.export_url: an address with http:// or https:// is expected");
	struct str rest = str_sub(url, https ? 8 : 7, url.n), host;
	str_next(&rest, '/', &host);
	if (str_chr(host, '@') != STR_NONE)
		return err_set(et, ERR_INVALID,
			"otlp.export_url holds a user: put credentials into otlp.export_headers");
	if (!host.n || str_starts(host, S("169.254.")) || str_starts(host, S("[fe80:")) ||
		str_starts(host, S("0.")) || str_starts(host, S("[::ffff:")))
		return err_set(et, ERR_INVALID, "otlp.export_url: %.*s is no host to send to",
			STR_FMT(str_sub(host, 0, 100)));
	return OK;
}

static enum err read_headers(struct trace_export *x, struct errtext *et)
{
	struct str rest = str_c(x->headers_text), one;
	x->headers[x->n_headers++] =
		(struct http_pair){S("content-type"), S("application/x-protobuf")};
	x->headers[x->n_headers++] = (struct http_pair){S("content-encoding"), S("gzip")};
	while (str_next(&rest, ',', &one)) {
		size_t eq = str_chr(one, '=');
		if (!str_trim(one).n)
			continue;
		if (eq == STR_NONE || x->n_headers == ARRAY_LEN(x->headers))
			return err_set(et, ERR_INVALID,
				"otlp.export_headers: at most %d of name=value, by commas, are "
				"expected",
				HEADERS_MAX);
		x->headers[x->n_headers++] = (struct http_pair){
			str_trim(str_sub(one, 0, eq)), str_trim(str_sub(one, eq + 1, one.n))};
	}
	return OK;
}

static void export_free(struct trace_export *x)
{
	while (x->first) {
		struct item *next = x->first->next;
		free(x->first);
		x->first = next;
	}
	pthread_mutex_destroy(&x->mu);
	pthread_cond_destroy(&x->wake);
	free(x->url);
	free(x->headers_text);
	free(x);
}

enum err trace_export_start(
	struct str url, struct str headers, struct trace_export **out, struct errtext *et)
{
	enum err e = check_url(url, et);
	struct trace_export *x = e ? NULL : calloc(1, sizeof *x);
	if (!x)
		return e ? e : err_set(et, ERR_NOMEM, "no memory for the export of traces");
	x->last = &x->first;
	pthread_mutex_init(&x->mu, NULL);
	cond_init(&x->wake);
	x->url = str_dup(url);
	x->headers_text = str_dup(headers);
	e = x->url && x->headers_text
		    ? read_headers(x, et)
		    : err_set(et, ERR_NOMEM, "no memory for the export of traces");
	if (!e)
		e = thread_start(&x->thread, export_main, x, "trace-export", et);
	if (e) {
		export_free(x);
		return e;
	}
	*out = x;
	return OK;
}

void trace_export_stop(struct trace_export *x)
{
	if (!x)
		return;
	pthread_mutex_lock(&x->mu);
	x->stop = true;
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->mu);
	for (uint64_t end = clock_mono_ns() + STOP_MS * 1000000ull; clock_mono_ns() < end;) {
		struct trace_export_stats st;
		trace_export_stats(x, &st);
		if (!st.queued)
			break;
		clock_sleep_ms(10);
	}
	pthread_mutex_lock(&x->mu);
	bool left = x->n > 0;
	pthread_mutex_unlock(&x->mu);
	if (left)
		cancel_set(&x->cancel);
	pthread_join(x->thread, NULL);
	export_free(x);
}
