/* One attempt at a provider: send, read, and say what its failure means; and attempts in a row. */
#include "endpoint/remote_int.h"

#include "access/secret.h"
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

enum {
	ERROR_BODY_MAX = 64 << 10,
	REPLY_MAX = 256 << 20,
	RETRY_WAIT_MAX_MS = 8000,
	SLICE_MS = 20, /* how often a wait looks whether the client has gone */
};

/* ---- reading ---- */

struct reading {
	struct remote_attempt *a;
	bool events; /* the body is a stream of events */
	struct str type;
	char type_text[80];
	struct errtext *et;
};

/* Seconds, or a date of HTTP. */
static uint64_t retry_after(struct str name, struct str value)
{
	uint64_t n;
	struct tm tm = {0};
	char text[64] = "";
	if (str_u64(value, &n))
		return MIN(n, 86400) * (str_eq_nocase(name, S("retry-after-ms")) ? 1 : 1000);
	memcpy(text, value.p, MIN(value.n, sizeof text - 1));
	if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return 0;
	int64_t ms = (int64_t)timegm(&tm) * 1000 - clock_unix_ms();
	return ms > 0 ? (uint64_t)MIN(ms, 86400000) : 0;
}

static enum err on_head(void *ctx, int status, const struct http_pair *h, size_t n)
{
	struct reading *g = ctx;
	g->a->status = status;
	for (size_t i = 0; i < n; i++) {
		if (str_eq_nocase(h[i].name, S("retry-after")) ||
			str_eq_nocase(h[i].name, S("retry-after-ms")))
			g->a->retry_after_ms =
				MAX(g->a->retry_after_ms, retry_after(h[i].name, h[i].value));
		if (str_eq_nocase(h[i].name, S("content-type"))) {
			size_t k = MIN(h[i].value.n, sizeof g->type_text);
			memcpy(g->type_text, h[i].value.p, k);
			g->type = str_mk(g->type_text, k);
		}
	}
	g->events = g->a->stream && status == 200 &&
		    str_find_nocase(g->type, S("text/event-stream")) == 0;
	if (status != 200)
		g->a->reply.max = ERROR_BODY_MAX;
	return OK;
}

static enum err on_data(void *ctx, struct str data)
{
	struct reading *g = ctx;
	struct buf *b = &g->a->reply;
	if (g->events)
		return remote_stream_feed(g->a->stream, data, g->et);
	if (b->max && b->n + data.n > b->max)
		data = str_sub(data, 0, b->max - b->n); /* enough of an error to tell */
	buf_adds(b, data);
	return b->err ? err_set(g->et, ERR_NOMEM, "no memory for a provider's answer") : OK;
}

/* ---- sending ---- */

static uint64_t left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_mono_ns();
	return now >= deadline_ns ? 1 : (deadline_ns - now) / 1000000 + 1;
}

static enum err send_it(struct remote_attempt *a, struct reading *g, struct errtext *et)
{
	struct buf key = {0};
	struct http_pair h[5] = {{S("content-type"), S("application/json")},
		{S("accept"), a->stream ? S("text/event-stream, application/json")
					: S("application/json")}};
	size_t n = 2;
	/* no "Expect: 100-continue" before a long prompt: servers that do not know it cost a second
	 */
	h[n++] = (struct http_pair){S("expect"), S("")};
	bool streams = a->stream && a->stream->on_event;
	bool anthropic = a->p->row.kind == REMOTE_ANTHROPIC;
	if (!anthropic && a->p->row.key_secret.n)
		buf_addc(&key, "Bearer ");
	enum err e = remote_key(a->c, a->p, &key, et);
	if (key.n)
		h[n++] = (struct http_pair){
			anthropic ? S("x-api-key") : S("authorization"), buf_str(&key)};
	if (anthropic)
		h[n++] = (struct http_pair){S("anthropic-version"), S("2023-06-01")};
	uint32_t left = (uint32_t)MIN(left_ms(a->deadline_ns), UINT32_MAX);
	struct client_request rq = {.method = HTTP_POST,
		.url = a->p->endpoint_url[a->url],
		.headers = h,
		.n_headers = n,
		.no_redirects = true,
		.no_link_local = !setting_bool(a->c, "remote.allow_link_local"),
		.body = a->body,
		.connect_ms =
			(uint32_t)MIN((uint64_t)setting_int(a->c, "remote.connect_timeout"), left),
		/* an answer that comes whole is preceded by silence */
		.idle_ms = streams ? (uint32_t)setting_int(a->c, "remote.idle_timeout") : left,
		.total_ms = left,
		.reply_max = REPLY_MAX,
		.cancel = a->cancel,
		.keep = true,
		.on_head = on_head,
		.on_data = on_data,
		.ctx = g};
	struct client_reply reply;
	if (!e)
		e = client_run(&rq, &reply, et);
	if (!e)
		client_reply_free(&reply);
	secret_wipe(&key);
	return e;
}

/* ---- judging ---- */

static struct str error_text(struct str body, yyjson_doc **doc)
{
	if (json_parse(body, doc, NULL))
		return str_trim(str_sub(body, 0, 200));
	yyjson_val *o = yyjson_doc_get_root(*doc), *error = yyjson_obj_get(o, "error");
	struct str text = yyjson_is_str(error) ? json_val_str(error) : json_str(error, "message");
	if (!text.n)
		text = json_str(o, "message");
	if (!text.n)
		text = json_str(o, "detail");
	return str_sub(text, 0, 300);
}

/* An answer that is none: whose fault it is, and what may help. */
static enum err refused(struct remote_attempt *a, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	int s = a->status;
	struct str text = error_text(buf_str(&a->reply), &doc);
	enum err e = s == 400 || s == 413 || s == 422 ? ERR_INVALID
		     : s == 429                       ? ERR_BUSY
		     : s == 408 || s == 504           ? ERR_TIMEOUT
						      : ERR_NETWORK;
	a->retry = s == 408 || s == 409 || s == 425 || s == 429 || s >= 500;
	a->theirs = s >= 500 || s == 408;
	a->fallback = e != ERR_INVALID;
	if (s == 401 || s == 403) { /* what it says may quote the key */
		remote_key_forget(a->p);
		e = err_set(et, e, "it refused the key (HTTP %d): see the secret '%.*s'", s,
			STR_FMT(a->p->row.key_secret));
	} else if (s >= 300 && s < 400) {
		e = err_set(et, e,
			"it redirected (HTTP %d), which is not followed: give the "
			"endpoint the address that answers",
			s);
	} else {
		e = err_set(et, e, "HTTP %d%s%.*s", s, text.n ? ": " : "", STR_FMT(text));
	}
	yyjson_doc_free(doc);
	return e;
}

/* 200: the answer as far as it came. */
static enum err answered(struct remote_attempt *a, struct reading *g, struct errtext *et)
{
	if (!a->stream)
		return OK;
	if (g->events)
		return remote_stream_end(a->stream, et);
	if (str_find_nocase(g->type, S("json")) == STR_NONE)
		return err_set(et, ERR_NETWORK,
			"it answered with %.*s: the URL must be that of an API, such as "
			"https://host/v1",
			STR_FMT(g->type.n ? g->type : S("nothing that is named")));
	return remote_stream_whole(a->stream, buf_str(&a->reply), et);
}

enum err remote_attempt(struct remote_attempt *a, struct errtext *et)
{
	struct reading g = {.a = a, .et = et};
	a->status = 0;
	a->retry_after_ms = 0;
	a->retry = a->theirs = a->fallback = false;
	a->reply.max = 0;
	buf_clear(&a->reply);
	enum err e = send_it(a, &g, et);
	/* a server that says that it is done, and then does not hang up, has answered */
	if (e && e != ERR_CANCELLED && a->stream && a->stream->done)
		e = OK;
	if (!e && a->status != 200)
		return refused(a, et);
	if (!e)
		e = answered(a, &g, et);
	if (e && a->stream && a->stream->refused)
		e = ERR_CANCELLED;
	bool way = e == ERR_NETWORK || e == ERR_TIMEOUT || e == ERR_BUSY;
	a->retry = a->theirs = way;
	a->fallback = e && e != ERR_CANCELLED && e != ERR_INVALID && e != ERR_NOMEM;
	return e;
}

enum err remote_wait(const struct remote_attempt *a, unsigned tries, struct errtext *et)
{
	uint64_t ms = (uint64_t)setting_int(a->c, "remote.retry_pause") << MIN(tries - 1, 16u);
	uint32_t dice;
	random_bytes(&dice, sizeof dice);
	ms = MIN(ms, RETRY_WAIT_MAX_MS);
	ms = ms / 2 + ms * (dice % 1024) / 2048; /* half of it is chance */
	ms = MAX(ms, a->retry_after_ms);
	if (ms >= left_ms(a->deadline_ns))
		return err_set(et, ERR_TIMEOUT, "no time is left for another attempt");
	for (uint64_t end = clock_mono_ns() + ms * 1000000; clock_mono_ns() < end;) {
		if (cancelled(a->cancel))
			return err_set(et, ERR_CANCELLED, "cancelled");
		clock_sleep_ms(SLICE_MS);
	}
	return OK;
}

/* ---- attempts ---- */

void remote_tries_add(struct remote_tries *t, struct str provider, enum err e, int status,
	uint64_t ns, const struct errtext *et)
{
	if (t->n == ARRAY_LEN(t->at))
		return;
	struct remote_try *y = &t->at[t->n++];
	*y = (struct remote_try){
		.provider = provider, .e = e, .status = status, .ms = (double)ns / 1e6};
	if (e) {
		struct str text = str_c(err_text(e, et));
		size_t n = utf8_complete_prefix(str_sub(text, 0, sizeof y->error - 1));
		memcpy(y->error, text.p, n);
	}
}

static struct span *begin_span(struct remote_attempt *a, struct run *run, unsigned number)
{
	struct span *s =
		span_begin(run, NULL, "attempt", a->url == URL_EMBED ? "embedding" : "llm");
	span_text(s, "provider", a->p->row.name);
	span_text(s, "model", a->p->row.model);
	span_i64(s, "attempt", number);
	return s;
}

static void end_span(
	struct span *s, const struct remote_attempt *a, enum err e, const struct errtext *et)
{
	if (a->status)
		span_i64(s, "http_status", a->status);
	if (!e && a->stream) {
		const struct chat_result *r = &a->stream->res;
		span_text(s, "output", buf_str(&r->text));
		span_i64(s, "prompt_tokens", r->prompt_tokens);
		span_i64(s, "completion_tokens", r->completion_tokens);
		span_text(s, "finish_reason", buf_str(&a->stream->finish));
	}
	span_end(s, e, et);
}

/* What an attempt says of the provider. */
static void judge(struct remote_attempt *a, enum err e)
{
	if (!e || (a->status >= 400 && !a->theirs))
		breaker_passed(&a->p->breaker);
	else if (a->theirs)
		breaker_failed(&a->p->breaker,
			(unsigned)setting_int(a->c, "remote.breaker_failures"), clock_mono_ns(),
			(uint64_t)setting_int(a->c, "remote.breaker_pause") * 1000000);
	else
		breaker_left(&a->p->breaker);
}

static enum err one(
	struct remote_attempt *a, struct run *run, struct remote_tries *t, struct errtext *et)
{
	uint64_t from = clock_mono_ns(), wait;
	unsigned failures;
	if (!breaker_enter(&a->p->breaker, from, &wait)) {
		breaker_look(&a->p->breaker, from, &failures);
		enum err e = err_set(et, ERR_NOT_READY,
			"it is left alone for another %.1f s after %u failures in a row",
			(double)wait / 1e9, failures);
		a->retry = false;
		a->fallback = true;
		a->status = 0;
		remote_tries_add(t, a->p->row.name, e, 0, 0, et);
		return e;
	}
	struct span *s = begin_span(a, run, ++t->sent);
	enum err e = remote_attempt(a, et);
	uint64_t ns = clock_mono_ns() - from;
	judge(a, e);
	atomic_fetch_add(&a->p->n_attempts, 1);
	atomic_fetch_add(e ? &a->p->n_failed : &a->p->n_answers, 1);
	atomic_fetch_add(&a->p->sum_us, ns / 1000);
	remote_tries_add(t, a->p->row.name, e, a->status, ns, et);
	end_span(s, a, e, et);
	return e;
}

static void again(struct remote_stream *s)
{
	struct remote_stream next;
	remote_stream_init(&next, s->kind, s->on_event, s->ctx);
	remote_stream_free(s);
	*s = next;
}

enum err remote_try_all(
	struct remote_attempt *a, struct run *run, struct remote_tries *t, struct errtext *et)
{
	for (unsigned tries = 0;; tries++) {
		enum err e = one(a, run, t, et);
		if (!e || !a->retry || tries >= a->p->row.retries)
			return e;
		if (a->stream && a->stream->passed) {
			a->fallback = false;
			return e;
		}
		struct errtext why;
		enum err w = remote_wait(a, tries + 1, &why);
		if (w == ERR_CANCELLED)
			*et = why;
		if (w)
			return w == ERR_CANCELLED ? w : e;
		if (a->stream)
			again(a->stream);
	}
}

void remote_receipt(struct buf *out, struct str provider, struct str model, struct str reason,
	const struct remote_tries *t)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kstr(&w, "provider", provider);
	jw_kstr(&w, "model", model);
	jw_key(&w, "attempts");
	jw_arr(&w);
	for (unsigned i = 0; i < t->n; i++) {
		const struct remote_try *y = &t->at[i];
		jw_obj(&w);
		jw_kstr(&w, "provider", y->provider);
		if (y->status)
			jw_ki64(&w, "status", y->status);
		jw_kc(&w, "error", y->e ? y->error : NULL);
		jw_kf64(&w, "ms", (double)(int64_t)(y->ms * 1000) / 1000);
		jw_end(&w);
	}
	jw_end(&w);
	jw_kstr(&w, "reason", reason);
	jw_end(&w);
}
