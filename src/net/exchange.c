#include "net/server_int.h"

#include "base/clock.h"
#include "base/os.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ARENA_MAX = 64 << 20, OUT_MAX = 256 << 10, HEAD_ROOM = 512 };

static const struct http_carrier carrier;

struct exchange *exchange_new(struct server *s)
{
	struct exchange *x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	x->arena = arena_new(ARENA_MAX);
	if (!x->arena) {
		free(x);
		return NULL;
	}
	x->server = s;
	x->spool_fd = -1;
	atomic_init(&x->refs, 1);
	pthread_mutex_init(&x->mu, NULL);
	cond_init(&x->room);
	x->rq.arena = x->arena;
	x->rq.cancel = &x->cancel;
	x->rq.id = id_new();
	x->rq.path = x->rq.peer = x->rq.body = str_mk("", 0);
	http_response_init(&x->rs, &carrier, x, &x->rq);
	return x;
}

void exchange_ref(struct exchange *x)
{
	atomic_fetch_add(&x->refs, 1);
}

void exchange_unref(struct exchange *x)
{
	if (atomic_fetch_sub(&x->refs, 1) != 1)
		return;
	if (x->rq.wipe && x->body.p)
		OPENSSL_cleanse(x->body.p, x->body.cap);
	if (x->map)
		munmap(x->map, x->body_n);
	if (x->spool_fd >= 0)
		close(x->spool_fd);
	buf_free(&x->body);
	buf_free(&x->out);
	arena_free(x->arena);
	pthread_mutex_destroy(&x->mu);
	pthread_cond_destroy(&x->room);
	free(x);
}

/* ---- the request's body ---- */

/* A file without a name: it ends with its descriptor, whatever happens. */
static enum err open_spool(struct exchange *x, struct errtext *et)
{
	const char *dir = server_opts(x->server)->spool_dir;
	x->spool_fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (x->spool_fd < 0) { /* a file system without O_TMPFILE */
		struct buf path = {0};
		buf_addf(&path, "%s/body-XXXXXX", dir);
		char *name = buf_take(&path);
		if (name)
			x->spool_fd = mkostemp(name, O_CLOEXEC);
		if (x->spool_fd >= 0)
			unlink(name);
		free(name);
	}
	if (x->spool_fd < 0)
		return err_errno(et, "a file for a large request");
	return os_write_all(x->spool_fd, x->body.p, x->body.n, et);
}

enum err exchange_body_add(struct exchange *x, struct str data, struct errtext *et)
{
	const struct server_options *o = server_opts(x->server);
	enum err e = OK;
	if (data.n > o->body_max - x->body_n)
		return err_set(et, ERR_TOO_LARGE, "the body is larger than the limit of %zu bytes",
			o->body_max);
	if (x->spool_fd < 0 && x->body_n + data.n > o->body_memory_max) {
		e = open_spool(x, et);
		buf_free(&x->body);
	}
	if (!e && x->spool_fd >= 0)
		e = os_write_all(x->spool_fd, data.p, data.n, et);
	else if (!e)
		buf_adds(&x->body, data);
	if (!e && x->body.err)
		e = err_set(et, ERR_NOMEM, "no memory for the request");
	x->body_n += data.n;
	return e;
}

enum err exchange_body_end(struct exchange *x, struct errtext *et)
{
	if (x->spool_fd < 0) {
		x->rq.body = buf_str(&x->body);
		return OK;
	}
	void *p = mmap(NULL, x->body_n, PROT_READ, MAP_PRIVATE, x->spool_fd, 0);
	if (p == MAP_FAILED)
		return err_errno(et, "a large request");
	x->map = p;
	x->rq.body = str_mk(p, x->body_n);
	return OK;
}

/* ---- the answer: the carrier's side, on the worker's thread ---- */

/* The text of this second; each thread keeps its own. */
static void add_date(struct buf *b)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static _Thread_local time_t of;
	static _Thread_local char text[64];
	time_t now = time(NULL);
	struct tm t;
	if (now != of) {
		of = now;
		gmtime_r(&now, &t);
		snprintf(text, sizeof text, "date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
			days[t.tm_wday], t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour,
			t.tm_min, t.tm_sec);
	}
	buf_addc(b, text);
}

static bool status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* Under the lock: out gets status line and headers. */
static void add_head(struct exchange *x, int status, const struct http_pair *headers, size_t n,
	size_t body_n, bool streaming)
{
	struct buf *b = &x->out;
	buf_reserve(b, HEAD_ROOM + (streaming ? 0 : MIN(body_n, (size_t)OUT_MAX)));
	buf_addf(b, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	add_date(b);
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, headers[i].name);
		buf_add(b, ": ", 2);
		buf_adds(b, headers[i].value);
		buf_add(b, "\r\n", 2);
	}
	x->chunked = streaming && !x->http10;
	x->close_after = !x->keep_alive || (streaming && x->http10) || server_stopping(x->server);
	if (x->chunked)
		buf_addc(b, "transfer-encoding: chunked\r\n");
	else if (!streaming && status_has_body(status))
		buf_addf(b, "content-length: %zu\r\n", body_n);
	if (x->close_after)
		buf_addc(b, "connection: close\r\n");
	else if (x->http10)
		buf_addc(b, "connection: keep-alive\r\n");
	buf_addc(b, "\r\n");
	for (size_t i = 0; i < n; i++)
		x->events |= streaming && str_eq_nocase(headers[i].name, S("content-type")) &&
			     str_eq_c(headers[i].value, "text/event-stream");
}

static void carry_head(void *ctx, int status, const struct http_pair *headers, size_t n,
	struct str body, bool body_is_static, bool streaming)
{
	struct exchange *x = ctx;
	pthread_mutex_lock(&x->mu);
	if (!x->gone) {
		x->streaming = streaming;
		add_head(x, status, headers, n, body.n, streaming);
		if (x->head_only || !status_has_body(status))
			x->head_only = true;
		else if (body_is_static)
			x->fixed = body;
		else
			buf_adds(&x->out, body);
		x->last_out_ns = clock_mono_ns();
		x->gone = x->out.err != OK;
	}
	pthread_mutex_unlock(&x->mu);
	if (streaming)
		server_ready(x->server, x);
}

static void add_framed(struct exchange *x, struct str data)
{
	if (x->chunked)
		buf_addf(&x->out, "%zx\r\n", data.n);
	buf_adds(&x->out, data);
	if (x->chunked)
		buf_addc(&x->out, "\r\n");
	x->last_out_ns = clock_mono_ns();
}

static enum err carry(void *ctx, struct str data)
{
	struct exchange *x = ctx;
	uint64_t deadline =
		clock_mono_ns() + (uint64_t)server_opts(x->server)->write_timeout_ms * 1000000;
	bool was_empty = false;
	pthread_mutex_lock(&x->mu);
	while (!x->gone && x->out.n >= OUT_MAX && !cancelled(&x->cancel))
		if (!cond_wait_until(&x->room, &x->mu, deadline)) {
			x->gone = true; /* it does not read: its connection ends */
			cancel_set(&x->cancel);
			was_empty = true;
		}
	enum err e = x->gone || x->head_only || cancelled(&x->cancel) ? ERR_CANCELLED : OK;
	if (!e) {
		was_empty = x->out.n == 0;
		add_framed(x, data);
		if (x->out.err) {
			x->gone = true;
			cancel_set(&x->cancel);
			e = ERR_CANCELLED;
		}
	}
	x->cut |= e != OK && !x->head_only;
	pthread_mutex_unlock(&x->mu);
	if (was_empty)
		server_ready(x->server, x);
	return e;
}

static const struct http_carrier carrier = {carry_head, carry};

void exchange_end(struct exchange *x)
{
	http_response_finish(&x->rs);
	pthread_mutex_lock(&x->mu);
	if (x->cut)
		x->close_after = true;
	else if (x->streaming && x->chunked && !x->head_only && !x->gone)
		buf_addc(&x->out, "0\r\n\r\n");
	x->ended = true;
	pthread_mutex_unlock(&x->mu);
}

/* ---- the I/O thread's side ---- */

bool exchange_take(struct exchange *x, struct buf *send, struct str *fixed, bool *ended)
{
	pthread_mutex_lock(&x->mu);
	/* an answer that is no stream goes out whole, when its handler has returned */
	bool some = x->out.n > 0 && (x->streaming || x->ended);
	if (some) {
		struct buf empty = *send;
		*send = x->out;
		x->out = empty;
		buf_clear(&x->out);
		*fixed = x->fixed;
		x->fixed = (struct str){0};
		pthread_cond_broadcast(&x->room);
	}
	*ended = x->ended;
	pthread_mutex_unlock(&x->mu);
	return some;
}

bool exchange_is_gone(struct exchange *x)
{
	pthread_mutex_lock(&x->mu);
	bool gone = x->gone;
	pthread_mutex_unlock(&x->mu);
	return gone;
}

void exchange_hang_up(struct exchange *x)
{
	pthread_mutex_lock(&x->mu);
	x->gone = true;
	cancel_set(&x->cancel);
	pthread_cond_broadcast(&x->room);
	pthread_mutex_unlock(&x->mu);
}

void exchange_cancel(struct exchange *x)
{
	pthread_mutex_lock(&x->mu);
	cancel_set(&x->cancel);
	pthread_cond_broadcast(&x->room);
	pthread_mutex_unlock(&x->mu);
}

void exchange_ping(struct exchange *x, uint64_t now_ns, uint64_t every_ns)
{
	bool pinged = false;
	pthread_mutex_lock(&x->mu);
	if (x->events && !x->ended && !x->gone && !x->out.n && now_ns > x->last_out_ns &&
		now_ns - x->last_out_ns >= every_ns) {
		add_framed(x, S(": ping\n\n"));
		pinged = true;
	}
	pthread_mutex_unlock(&x->mu);
	if (pinged)
		server_ready(x->server, x);
}
