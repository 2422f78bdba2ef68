/* One connection: bytes to requests, requests to workers, answers to bytes.
 *
 *	(TLS --step_tls-->) HEAD --step_head--> BODY --step_body--> RUN --step_run--> HEAD (kept
 *alive)
 *	                      \________________________________________^     \--> LINGER --> closed
 *
 * 1. Only the I/O thread comes here.
 * 2. A connection has at most one exchange; while that runs nothing more is read from it, so that
 *    pipelined requests are answered in order and cost no memory.
 * 3. An exchange's `conn` is NULL once its connection has died; the worker notices by `gone`.
 * 4. Connections die in conn_close only; their memory goes after the batch of events in which they
 *    died, because a later event of the batch may still name them.
 * 5. Events are edges. `readable` and `blocked` remember them; what is left unread for the sake of
 *    others puts the connection on the server's list `again`. */
#include "net/server_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define GO_ON "HTTP/1.1 100 Continue\r\n\r\n"

enum {
	TURN_BYTES = 512 << 10, /* one connection reads before the others have their turn */
	KEEP_ALIVE_MS = 60000,
	LINGER_MS = 5000,
	HANDSHAKE_MS = 10000,
	SLOW_HEAD_MS = 5000, /* after which a slow head may make room for a new connection */
	BODY_BYTES_PER_S = 1024,
};

static bool reads(const struct conn *c)
{
	return c->state == CONN_TLS || c->state == CONN_HEAD || c->state == CONN_BODY ||
	       c->state == CONN_LINGER;
}

void conn_close(struct conn *c)
{
	struct server *s = c->server;
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	tls_conn_free(c->tls);
	c->tls = NULL;
	close(c->fd); /* leaves the epoll set */
	if (c->x) {
		exchange_hang_up(c->x);
		c->x->conn = NULL;
		exchange_unref(c->x);
		c->x = NULL;
	}
	buf_free(&c->in);
	buf_free(&c->send);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->next = s->dead;
	s->dead = c;
	atomic_store(&s->connections, --s->n_conns);
}

static void conn_linger(struct conn *c)
{
	if (c->peer_closed && !c->readable) {
		conn_close(c);
		return;
	}
	/* closing with unread bytes would reset the connection and could destroy the answer */
	if (c->tls)
		tls_bye(c->tls);
	shutdown(c->fd, SHUT_WR);
	c->state = CONN_LINGER;
	c->since_ns = c->server->now_ns;
	c->blocked = false;
	buf_free(&c->in);
}

static struct exchange *conn_exchange(struct conn *c)
{
	if (!c->x) {
		c->x = exchange_new(c->server);
		if (c->x) {
			c->x->conn = c;
			c->x->rq.peer = arena_str(c->x->arena, str_c(c->peer));
			c->x->rq.tls = c->tls != NULL;
			atomic_fetch_add(&c->server->requests, 1);
		}
	}
	return c->x;
}

/* The server's own answers. The connection ends with them when the rest of the request was not
 * read. */
static void refuse(struct conn *c, int status, const char *code, const char *message, bool keep)
{
	struct exchange *x = conn_exchange(c);
	if (!x) {
		conn_close(c);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kc(&w, "code", code);
	jw_kc(&w, "message", message);
	jw_kc(&w, "type",
		status >= 500   ? "server_error"
		: status == 403 ? "permission_error"
				: "invalid_request_error");
	jw_kc(&w, "param", NULL);
	jw_end(&w);
	jw_end(&w);
	x->keep_alive = keep && x->keep_alive;
	if (status == 503)
		http_set_header(&x->rs, "retry-after", S("1"));
	http_reply_json(&x->rs, status, &w);
	exchange_end(x);
	buf_free(&b);
	atomic_fetch_add(&c->server->refused, 1);
	c->state = CONN_RUN;
}

static void run_handler(void *arg)
{
	struct exchange *x = arg;
	struct server *s = x->server;
	atomic_fetch_add(&s->busy, 1);
	s->o.handler(s->o.app, &x->rq, &x->rs);
	exchange_end(x);
	atomic_fetch_sub(&s->busy, 1);
	server_ready(s, x);
	exchange_unref(x);
}

static void dispatch(struct conn *c)
{
	struct exchange *x = c->x;
	c->state = CONN_RUN;
	if (c->peer_closed)
		cancel_set(&x->cancel);
	exchange_ref(x);
	c->server->submitted = true;
	if (pool_submit_later(c->server->pool, run_handler, x)) {
		exchange_unref(x);
		refuse(c, 503, "busy", "all workers are taken and the queue is full: try again",
			true);
	}
}

/* Sends what it can of one view. False: no more now (c->blocked) or the connection died. */
static bool send_some(struct conn *c, struct str data, bool more_follows, size_t *n)
{
	*n = 0;
	if (c->tls) {
		enum tls_io io = tls_write(c->tls, data, n);
		if (io == TLS_WANT_WRITE)
			c->blocked = true;
		else if (io != TLS_OK)
			conn_close(c);
		if (io != TLS_OK)
			return false;
	} else {
		ssize_t got = send(c->fd, data.p, data.n,
			MSG_NOSIGNAL | MSG_DONTWAIT | (more_follows ? MSG_MORE : 0));
		if (got < 0) {
			if (errno == EAGAIN || errno == EINTR)
				c->blocked = true;
			else
				conn_close(c);
			return false;
		}
		*n = (size_t)got;
	}
	c->last_ns = c->server->now_ns;
	atomic_fetch_add_explicit(&c->server->bytes_out, *n, memory_order_relaxed);
	return true;
}

/* ---- reading a request ---- */

static void drop_input(struct conn *c, size_t n)
{
	memmove(c->in.p, c->in.p + n, c->in.n - n);
	c->in.n -= n;
	if (!c->in.n)
		buf_free(&c->in); /* an idle connection costs little */
}

/* A plain address beside the one with TLS: whoever only looks is sent there. What would change
 * something has been sent in the clear, perhaps with a key: that must not go unnoticed. */
static void redirect(struct conn *c, const struct http_head *h)
{
	struct exchange *x = c->x;
	struct buf to = {.max = 16 << 10}, name = {.max = 512};
	struct str port, own = str_c(c->server->address);
	own = str_sub(own, str_rchr(own, ':'), own.n);
	bool looks = x->rq.method == HTTP_GET || x->rq.method == HTTP_HEAD;
	if (!looks || !h->host.p || !http_host_name(h->host, &name, &port) || name.err ||
		!str_starts(h->target, S("/"))) {
		refuse(c, 403, "forbidden", "this address only redirects: use https://", false);
	} else {
		buf_addf(&to, "https://%.*s%.*s%.*s", STR_FMT(buf_str(&name)),
			str_eq_c(own, ":443") ? 0 : (int)own.n, own.p, STR_FMT(h->target));
		x->keep_alive = false;
		http_set_header(&x->rs, "location", buf_str(&to));
		http_reply(&x->rs, 308, "text/plain; charset=utf-8", S("use https://\n"));
		exchange_end(x);
		c->state = CONN_RUN;
	}
	buf_free(&to);
	buf_free(&name);
}

/* Everything that can be said about a request before its body. True: it may go on. */
static bool admit(struct conn *c, const struct http_head *h)
{
	struct server *s = c->server;
	struct exchange *x = c->x;
	struct errtext et;
	struct str authority;
	bool has_body = h->chunked || h->length > 0;
	x->http10 = h->http10;
	x->keep_alive = h->keep_alive;
	x->rq.headers = h->headers;
	x->rq.n_headers = h->n_headers;
	if (!http_method_parse(h->method, &x->rq.method)) {
		refuse(c, 501, "method_not_allowed", "the method is not known", !has_body);
		return false;
	}
	x->head_only = x->rq.method == HTTP_HEAD;
	if (http_parse_target(&x->rq, h->target, &authority, &et)) {
		refuse(c, 400, "invalid", et.msg, !has_body);
		return false;
	}
	if (!origin_allowed(&x->rq)) {
		refuse(c, 403, "forbidden", "a page of another origin may not do this", !has_body);
		return false;
	}
	if ((h->host.p && !hosts_allow(&s->hosts, h->host)) ||
		(authority.p && !hosts_allow(&s->hosts, authority))) {
		refuse(c, 421, "misdirected",
			"this host name is not served here: add it to the setting "
			"http.allowed_hosts",
			!has_body);
		return false;
	}
	if (c->redirects) {
		redirect(c, h);
		return false;
	}
	if (s->o.check) {
		x->keep_alive = h->keep_alive && !has_body;
		if (!s->o.check(s->o.app, &x->rq, &x->rs)) {
			exchange_end(x);
			atomic_fetch_add(&s->refused, http_reply_status(&x->rs) >= 400);
			c->state = CONN_RUN;
			return false;
		}
		x->keep_alive = h->keep_alive;
	}
	if (h->length > s->o.body_max) {
		refuse(c, 413, "too_large", "the body is larger than the server's limit", false);
		return false;
	}
	return true;
}

/* A head is complete. */
static void begin_request(struct conn *c, size_t head_n)
{
	const char *why = "";
	struct http_head h;
	struct exchange *x = conn_exchange(c);
	if (!x) {
		conn_close(c);
		return;
	}
	/* the request outlives the input buffer */
	struct str head = arena_str(x->arena, str_sub(buf_str(&c->in), 0, head_n));
	drop_input(c, head_n);
	c->scan = (struct head_scan){0};
	c->served++;
	int status = head.p ? http_parse_head(head, x->arena, &h, &why) : 503;
	if (status) {
		refuse(c, status, status == 413 ? "too_large" : "invalid", why, false);
		return;
	}
	if (!admit(c, &h))
		return;
	if (!h.chunked && !h.length) {
		dispatch(c);
		return;
	}
	c->body_chunked = h.chunked;
	c->chunked = (struct chunked){0};
	c->body_left = h.length;
	c->since_ns = c->last_ns = c->server->now_ns;
	c->state = CONN_BODY;
	size_t n;
	if (h.expect_continue && !h.http10 && !c->in.n &&
		(!send_some(c, S(GO_ON), false, &n) || n < sizeof GO_ON - 1))
		conn_close(c); /* twenty-five bytes must fit */
}

static bool step_head(struct conn *c)
{
	size_t end = 0;
	const char *why = "";
	if (!c->in.n)
		return false;
	switch (http_scan_head(&c->scan, buf_str(&c->in), &end, &why)) {
	case HEAD_DONE:
		begin_request(c, end);
		return true;
	case HEAD_MORE:
		if (c->in.n < c->server->o.header_max)
			return false;
		if (c->scan.have_first)
			refuse(c, 431, "too_large", "the headers are larger than the limit", false);
		else
			refuse(c, 414, "too_large", "the request line is larger than the limit",
				false);
		return true;
	case HEAD_TOO_MANY:
		refuse(c, 431, "too_large", why, false);
		return true;
	default:
		refuse(c, 400, "invalid", why, false);
		return true;
	}
}

/* Uses what belongs to the body; what remains in *in is the next request's. */
static void feed_body(struct conn *c, struct str *in)
{
	struct errtext et = {0};
	enum err e = OK;
	bool complete = false;
	while (!e && !complete && in->n) {
		struct str data;
		if (c->body_chunked) {
			enum chunk_state st = http_dechunk(&c->chunked, in, &data);
			if (st == CHUNK_BAD) {
				refuse(c, 400, "invalid", "the chunked body is malformed", false);
				return;
			}
			complete = st == CHUNK_END;
			if (st == CHUNK_DATA)
				e = exchange_body_add(c->x, data, &et);
		} else {
			data = str_sub(*in, 0, (size_t)MIN((uint64_t)in->n, c->body_left));
			*in = str_sub(*in, data.n, in->n);
			c->body_left -= data.n;
			e = exchange_body_add(c->x, data, &et);
			complete = !c->body_left;
		}
	}
	if (complete && !e)
		e = exchange_body_end(c->x, &et);
	if (e)
		refuse(c, err_http(e), err_word(e), et.msg, false);
	else if (complete)
		dispatch(c);
}

static bool step_body(struct conn *c)
{
	struct str in = buf_str(&c->in);
	size_t had = in.n;
	if (!had)
		return false;
	feed_body(c, &in);
	if (c->state != CONN_DEAD && c->in.p)
		drop_input(c, had - in.n);
	return c->state != CONN_BODY;
}

/* ---- writing an answer ---- */

static void end_exchange(struct conn *c)
{
	struct exchange *x = c->x;
	bool close_after = x->close_after || atomic_load(&c->server->stopping);
	x->conn = NULL;
	c->x = NULL;
	exchange_unref(x);
	buf_free(&c->send);
	c->sent = 0;
	if (close_after) {
		conn_linger(c);
		return;
	}
	c->state = CONN_HEAD;
	c->since_ns = c->server->now_ns;
}

static bool step_run(struct conn *c)
{
	bool ended;
	size_t n;
	while (!c->blocked) {
		if (exchange_is_gone(c->x)) { /* its worker gave up on this client */
			conn_close(c);
			return false;
		}
		if (c->sent < c->send.n) {
			if (!send_some(c, str_sub(buf_str(&c->send), c->sent, c->send.n),
				    c->fixed.n > 0, &n))
				return false;
			c->sent += n;
		} else if (c->fixed.n) {
			if (!send_some(c, c->fixed, false, &n))
				return false;
			c->fixed = str_sub(c->fixed, n, c->fixed.n);
		} else {
			buf_clear(&c->send);
			c->sent = 0;
			if (exchange_take(c->x, &c->send, &c->fixed, &ended)) {
				c->last_ns = c->server->now_ns; /* the time limit begins */
			} else if (ended) {
				end_exchange(c);
				return c->state == CONN_HEAD;
			} else {
				return false;
			}
		}
	}
	return false;
}

static void advance(struct conn *c)
{
	bool more = true;
	while (more) {
		switch (c->state) {
		case CONN_HEAD:
			more = step_head(c);
			break;
		case CONN_BODY:
			more = step_body(c);
			break;
		case CONN_RUN:
			more = step_run(c);
			break;
		default:
			more = false;
		}
	}
}

/* ---- reading ---- */

static void received(struct conn *c, size_t n)
{
	struct server *s = c->server;
	struct str data = str_mk(s->scratch, n);
	c->last_ns = s->now_ns;
	atomic_fetch_add(&s->bytes_in, n);
	if (c->state == CONN_HEAD && !c->in.n)
		c->since_ns = s->now_ns;
	if (c->state == CONN_BODY) {
		feed_body(c, &data);
		if (c->state == CONN_DEAD)
			return;
	}
	if (data.n)
		buf_adds(&c->in, data);
	if (c->in.err)
		conn_close(c);
}

/* Reads once, at most `want`. False: nothing now, or the connection died. */
static bool read_plain(struct conn *c, size_t want, size_t *n)
{
	ssize_t got = recv(c->fd, c->server->scratch, want, MSG_DONTWAIT);
	if (got < 0) {
		if (errno == EAGAIN)
			c->readable = false;
		else if (errno != EINTR)
			conn_close(c);
		return false;
	}
	if (got == 0) {
		/* what is whole has been answered; what is not will never be */
		conn_close(c);
		return false;
	}
	/* less than asked: the socket is empty and the next byte is a new edge; the end is not */
	c->readable = (size_t)got == want || c->peer_closed;
	*n = (size_t)got;
	return true;
}

static bool read_tls(struct conn *c, size_t want, size_t *n)
{
	enum tls_io io = tls_read(c->tls, c->server->scratch, want, n);
	switch (io) {
	case TLS_OK:
		c->readable = tls_readable(c->tls) || c->peer_closed;
		return true;
	case TLS_AGAIN:
		return false;
	case TLS_WANT_READ:
		c->readable = false;
		return false;
	case TLS_WANT_WRITE: /* an answer to a key update */
		c->readable = false;
		c->blocked = true;
		return false;
	default:
		conn_close(c);
		return false;
	}
}

static size_t read_once(struct conn *c)
{
	struct server *s = c->server;
	size_t want = SCRATCH, n = 0;
	if (c->state == CONN_HEAD)
		want = MIN(want, s->o.header_max - MIN(c->in.n, s->o.header_max - 1));
	/* what comes after our end is of no interest, whatever it is in */
	bool tls = c->tls && c->state != CONN_LINGER;
	if ((tls ? read_tls : read_plain)(c, want, &n) && c->state != CONN_LINGER)
		received(c, n);
	return n;
}

/* Whoever speaks HTTP to a TLS port is told so, in the language that he understands. */
static void answer_plain(struct conn *c)
{
	static const char body[] = "{\"error\":{\"code\":\"invalid\",\"message\":\"this port "
				   "speaks TLS: use https://\","
				   "\"type\":\"invalid_request_error\",\"param\":null}}";
	char text[512];
	int n = snprintf(text, sizeof text,
		"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
		"content-length: %zu\r\nconnection: close\r\n\r\n%s",
		sizeof body - 1, body);
	ssize_t sent = send(c->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)sent;
}

static void step_tls(struct conn *c)
{
	struct server *s = c->server;
	enum tls_io io = tls_handshake(c->tls);
	switch (io) {
	case TLS_OK:
		c->state = CONN_HEAD;
		c->since_ns = c->last_ns = s->now_ns;
		c->readable = tls_readable(c->tls) || c->peer_closed;
		atomic_fetch_add(&s->tls_handshakes, 1);
		atomic_fetch_add(&s->tls_resumed, tls_resumed(c->tls));
		return;
	case TLS_AGAIN:
		return;
	case TLS_WANT_READ:
		c->readable = false;
		return;
	case TLS_WANT_WRITE:
		c->readable = false;
		c->blocked = true;
		return;
	case TLS_PLAIN:
		answer_plain(c);
		break;
	case TLS_END:
	case TLS_BROKEN:
		break;
	}
	atomic_fetch_add(&s->tls_failed, 1);
	conn_linger(c); /* so that the alert arrives */
}

void conn_drive(struct conn *c)
{
	size_t got = 0;
	advance(c);
	for (unsigned turns = 0; reads(c) && c->readable; turns++) {
		if (got >= TURN_BYTES || turns == 64) {
			server_again(c->server, c);
			return;
		}
		if (c->state == CONN_TLS)
			step_tls(c);
		else
			got += read_once(c);
		advance(c);
	}
}

void conn_event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_DEAD)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_close(c);
		return;
	}
	if (events & EPOLLIN)
		c->readable = true;
	if ((events & EPOLLOUT) && c->blocked) {
		c->blocked = false;
		c->readable = true; /* TLS may have had to write before it could read */
	}
	if ((events & EPOLLRDHUP) && !c->peer_closed) {
		c->peer_closed = c->readable = true;
		/* gone, or only done with sending: what is being computed is not wanted any more,
		 * but what is there may still be taken */
		if (c->state == CONN_RUN)
			exchange_cancel(c->x);
	}
	conn_drive(c);
}

/* ---- time ---- */

bool conn_expendable(const struct conn *c)
{
	const struct server *s = c->server;
	if (c->state == CONN_LINGER || (c->state == CONN_HEAD && !c->in.n) ||
		(c->state == CONN_TLS && tls_silent(c->tls)))
		return true;
	return (c->state == CONN_HEAD || c->state == CONN_TLS) &&
	       s->now_ns - c->since_ns > (uint64_t)SLOW_HEAD_MS * 1000000;
}

static bool older(const struct server *s, uint64_t since_ns, uint64_t ms)
{
	return s->now_ns > since_ns && s->now_ns - since_ns > ms * 1000000;
}

void conn_watch(struct conn *c)
{
	struct server *s = c->server;
	switch (c->state) {
	case CONN_TLS:
		if (older(s, c->since_ns, MIN(s->o.read_timeout_ms, (uint32_t)HANDSHAKE_MS))) {
			atomic_fetch_add(&s->tls_failed, 1);
			conn_close(c);
		}
		break;
	case CONN_HEAD:
		if (!c->in.n) {
			if (older(s, c->since_ns, c->served ? KEEP_ALIVE_MS : s->o.read_timeout_ms))
				conn_close(c);
		} else if (older(s, c->since_ns, s->o.read_timeout_ms)) {
			refuse(c, 408, "timeout", "the request did not come in time", false);
			conn_drive(c);
		}
		break;
	case CONN_BODY: {
		uint64_t total = s->o.read_timeout_ms + c->x->body_n * 1000 / BODY_BYTES_PER_S;
		if (older(s, c->last_ns, s->o.read_timeout_ms) || older(s, c->since_ns, total)) {
			refuse(c, 408, "timeout", "the body did not come in time", false);
			conn_drive(c);
		}
		break;
	}
	case CONN_RUN:
		if ((c->sent < c->send.n || c->fixed.n) &&
			older(s, c->last_ns, s->o.write_timeout_ms))
			conn_close(c);
		else
			exchange_ping(c->x, s->now_ns, (uint64_t)s->o.ping_ms * 1000000);
		break;
	case CONN_LINGER:
		if (older(s, c->since_ns, LINGER_MS))
			conn_close(c);
		break;
	case CONN_DEAD:
		break;
	}
}
