/* The I/O thread and its connections.
 *
 *	HEAD --step_head--> BODY --step_body--> RUN --step_run--> HEAD (kept alive)
 *	  \________________________________________^     \--> LINGER --> closed
 *
 * 1. Only the I/O thread touches connections, the epoll set and conn->x's `conn` field.
 * 2. A connection has at most one exchange; while that runs nothing more is read from it, so that
 *    pipelined requests are answered in order and cost no memory.
 * 3. An exchange's `conn` is NULL once its connection has died; the worker notices by `gone`.
 * 4. Connections die in conn_close only, and their memory goes after the batch of events in which
 *    they died, because a later event of the batch may still name them. */
#include "net/server_int.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SCRATCH = 128 << 10,
	EVENTS = 256,
	TICK_MS = 250,
	KEEP_ALIVE_MS = 60000,
	LINGER_MS = 5000,
	PING_MS = 15000,
	SLOW_HEAD_MS = 5000, /* after which a slow head may make room for a new connection */
	BODY_BYTES_PER_S = 1024,
	HOSTS_MAX = 64,
};

enum conn_state { CONN_HEAD, CONN_BODY, CONN_RUN, CONN_LINGER, CONN_DEAD };

struct conn {
	int fd;
	enum conn_state state;
	struct server *server;
	struct conn *next, *prev;
	uint32_t mask; /* registered with epoll */
	bool peer_closed, blocked;
	uint64_t served;
	uint64_t since_ns; /* idle, head, body or lingering began */
	uint64_t last_ns;  /* last byte read or written */
	struct buf in;     /* received, not yet used */
	struct head_scan scan;
	struct exchange *x;
	bool body_chunked;
	struct chunked chunked;
	uint64_t body_left;
	struct buf send;
	size_t sent;
	struct str fixed;
	char peer[64];
};

struct server {
	struct server_options o;
	char *spool_dir, *hosts_text;
	struct str hosts[HOSTS_MAX];
	size_t n_hosts;
	bool any_host, any_literal;
	int epoll, wake, listener;
	bool listening; /* the listener is in the epoll set */
	char address[80];
	pthread_t io;
	struct pool *pool;
	struct conn *conns, *dead;
	uint32_t n_conns;
	char *scratch;
	uint64_t now_ns, ticked_ns;

	pthread_mutex_t ready_mu;
	struct exchange *ready;

	pthread_mutex_t done_mu; /* server_stop waits for the I/O thread */
	pthread_cond_t done_cond;
	bool done;
	atomic_bool stopping, cancel_all, kill_all;

	atomic_uint_fast64_t requests, bytes_in, bytes_out, refused;
	atomic_uint connections, busy;
};

const struct server_options *server_opts(const struct server *s)
{
	return &s->o;
}

bool server_stopping(const struct server *s)
{
	return atomic_load(&s->stopping);
}

static void wake(struct server *s)
{
	uint64_t one = 1;
	while (write(s->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void server_ready(struct server *s, struct exchange *x)
{
	bool first = false;
	pthread_mutex_lock(&s->ready_mu);
	if (!x->in_ready) {
		x->in_ready = true;
		exchange_ref(x);
		first = s->ready == NULL;
		x->next_ready = s->ready;
		s->ready = x;
	}
	pthread_mutex_unlock(&s->ready_mu);
	if (first)
		wake(s);
}

/* ---- which hosts and origins ---- */

static bool is_literal(struct str name)
{
	char text[64];
	struct in_addr v4;
	if (!name.n || name.n >= sizeof text)
		return false;
	memcpy(text, name.p, name.n);
	text[name.n] = 0;
	return name.p[0] == '[' || inet_pton(AF_INET, text, &v4) == 1;
}

/* DNS rebinding: a page of evil.example may resolve to this machine, but its browser then sends
 * that name. Names are served only when they are known to be ours. */
static bool host_allowed(const struct server *s, struct str host)
{
	struct buf name = {.max = 512};
	struct str port;
	bool ok = http_host_name(host, &name, &port) && !name.err;
	bool found = ok && (s->any_host || (s->any_literal && is_literal(buf_str(&name))));
	for (size_t i = 0; ok && !found && i < s->n_hosts; i++)
		found = str_eq_nocase(s->hosts[i], buf_str(&name));
	buf_free(&name);
	return found;
}

static bool same_authority(struct str origin, struct str host, const char *default_port)
{
	struct buf a = {.max = 512}, b = {.max = 512};
	struct str port_a, port_b;
	bool same = http_host_name(origin, &a, &port_a) && http_host_name(host, &b, &port_b) &&
		    !a.err && !b.err && str_eq(buf_str(&a), buf_str(&b)) &&
		    str_eq(port_a.n ? port_a : str_c(default_port),
			    port_b.n ? port_b : str_c(default_port));
	buf_free(&a);
	buf_free(&b);
	return same;
}

/* Browsers say from which page a request that changes something comes. */
static bool origin_allowed(const struct http_request *rq)
{
	struct str origin = http_header(rq, "origin"), site = http_header(rq, "sec-fetch-site"),
		   host = http_header(rq, "host");
	if (rq->method == HTTP_GET || rq->method == HTTP_HEAD || rq->method == HTTP_OPTIONS)
		return true;
	if (!origin.p)
		return !str_eq_nocase(site, S("cross-site")) &&
		       !str_eq_nocase(site, S("same-site"));
	if (str_starts(origin, S("http://")))
		return same_authority(str_sub(origin, 7, origin.n), host, "80");
	if (str_starts(origin, S("https://")))
		return same_authority(str_sub(origin, 8, origin.n), host, "443");
	return false;
}

/* ---- connections ---- */

static void conn_mask(struct conn *c)
{
	bool reads = c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_LINGER;
	uint32_t mask = (reads ? EPOLLIN : 0u) |
			(c->state == CONN_RUN && !c->peer_closed ? EPOLLRDHUP : 0u) |
			(c->blocked ? EPOLLOUT : 0u);
	if (c->state == CONN_DEAD || mask == c->mask)
		return;
	struct epoll_event ev = {.events = mask, .data.ptr = c};
	epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &ev);
	c->mask = mask;
}

static void conn_close(struct conn *c)
{
	struct server *s = c->server;
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
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
	if (c->peer_closed) {
		conn_close(c);
		return;
	}
	/* closing with unread bytes would reset the connection and could destroy the answer */
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
	if (pool_submit(c->server->pool, run_handler, x)) {
		exchange_unref(x);
		refuse(c, 503, "busy", "all workers are taken and the queue is full: try again",
			true);
	}
}

/* ---- reading a request ---- */

static void drop_input(struct conn *c, size_t n)
{
	memmove(c->in.p, c->in.p + n, c->in.n - n);
	c->in.n -= n;
	if (!c->in.n)
		buf_free(&c->in); /* an idle connection costs little */
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
	if ((h->host.p && !host_allowed(s, h->host)) ||
		(authority.p && !host_allowed(s, authority))) {
		refuse(c, 421, "misdirected",
			"this host name is not served here: add it to the setting "
			"http.allowed_hosts",
			!has_body);
		return false;
	}
	if (s->o.check) {
		x->keep_alive = h->keep_alive && !has_body;
		if (!s->o.check(s->o.app, &x->rq, &x->rs)) {
			exchange_end(x);
			atomic_fetch_add(&s->refused, 1);
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
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	if (h.expect_continue && !h.http10 && !c->in.n &&
		send(c->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		conn_close(c);
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

/* Sends what it can of one view. False: no more now (c->blocked) or the connection died. */
static bool send_some(struct conn *c, struct str data, size_t *n)
{
	ssize_t got = send(c->fd, data.p, data.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	*n = 0;
	if (got < 0) {
		if (errno == EAGAIN || errno == EINTR)
			c->blocked = true;
		else
			conn_close(c);
		return false;
	}
	*n = (size_t)got;
	c->last_ns = c->server->now_ns;
	atomic_fetch_add(&c->server->bytes_out, (uint64_t)got);
	return true;
}

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
	c->blocked = false;
	for (;;) {
		if (exchange_is_gone(c->x)) { /* its worker gave up on this client */
			conn_close(c);
			return false;
		}
		if (c->sent < c->send.n) {
			if (!send_some(c, str_sub(buf_str(&c->send), c->sent, c->send.n), &n))
				return false;
			c->sent += n;
		} else if (c->fixed.n) {
			if (!send_some(c, c->fixed, &n))
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
	conn_mask(c);
}

/* ---- events ---- */

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

static void on_readable(struct conn *c)
{
	struct server *s = c->server;
	size_t want = SCRATCH;
	if (c->state == CONN_HEAD)
		want = MIN(want, s->o.header_max - MIN(c->in.n, s->o.header_max - 1));
	ssize_t n = recv(c->fd, s->scratch, want, MSG_DONTWAIT);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(c);
		return;
	}
	if (n == 0) {
		/* what is whole has been answered; what is not will never be */
		conn_close(c);
		return;
	}
	if (c->state != CONN_LINGER)
		received(c, (size_t)n);
}

static void on_conn_event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_DEAD)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_close(c);
		return;
	}
	if ((events & EPOLLRDHUP) && c->state == CONN_RUN) {
		/* gone, or only done with sending: what is being computed is not wanted any more,
		 * but what is there may still be taken */
		c->peer_closed = true;
		exchange_cancel(c->x);
	}
	if ((events & EPOLLIN) && c->state != CONN_RUN)
		on_readable(c);
	if (c->state != CONN_DEAD)
		advance(c);
}

/* Room for a new connection: the oldest that has nothing to say, else the oldest slow talker. */
static bool evict(struct server *s)
{
	struct conn *oldest = NULL;
	for (struct conn *c = s->conns; c; c = c->next) {
		bool idle = c->state == CONN_LINGER || (c->state == CONN_HEAD && !c->in.n);
		bool slow = c->state == CONN_HEAD &&
			    s->now_ns - c->since_ns > (uint64_t)SLOW_HEAD_MS * 1000000;
		if ((idle || slow) && (!oldest || c->since_ns < oldest->since_ns))
			oldest = c;
	}
	if (oldest)
		conn_close(oldest);
	return oldest != NULL;
}

static void turn_away(int fd)
{
	static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
				   "content-length: 0\r\nconnection: close\r\n\r\n";
	ssize_t n = send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)n;
	close(fd);
}

static void format_address(const struct sockaddr_storage *a, socklen_t n, char *out, size_t size)
{
	char host[48] = "?", port[8] = "0";
	getnameinfo((const struct sockaddr *)a, n, host, sizeof host, port, sizeof port,
		NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void adopt(struct server *s, int fd, const struct sockaddr_storage *a, socklen_t a_n)
{
	int yes = 1;
	struct conn *c = calloc(1, sizeof *c);
	if (!c) {
		turn_away(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	c->fd = fd;
	c->server = s;
	c->mask = EPOLLIN;
	c->since_ns = c->last_ns = s->now_ns;
	format_address(a, a_n, c->peer, sizeof c->peer);
	struct epoll_event ev = {.events = c->mask, .data.ptr = c};
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		turn_away(fd);
		free(c);
		return;
	}
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	atomic_store(&s->connections, ++s->n_conns);
}

static void listen_on(struct server *s, bool on)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &s->listener};
	if (on != s->listening && s->listener >= 0 &&
		!epoll_ctl(s->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->listener, &ev))
		s->listening = on;
}

static void on_accept(struct server *s)
{
	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage a;
		socklen_t n = sizeof a;
		int fd = accept4(
			s->listener, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			bool full = errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				    errno == ENOBUFS;
			if (full && !evict(s))
				listen_on(s, false); /* until the next tick */
			return;
		}
		if (s->n_conns >= s->o.connections_max && !evict(s)) {
			atomic_fetch_add(&s->refused, 1);
			turn_away(fd);
			continue;
		}
		adopt(s, fd, &a, n);
	}
}

static void on_ready(struct server *s)
{
	uint64_t count;
	ssize_t n = read(s->wake, &count, sizeof count);
	(void)n;
	for (;;) {
		pthread_mutex_lock(&s->ready_mu);
		struct exchange *x = s->ready;
		if (x) {
			s->ready = x->next_ready;
			x->in_ready = false;
		}
		pthread_mutex_unlock(&s->ready_mu);
		if (!x)
			break;
		if (x->conn)
			advance(x->conn);
		exchange_unref(x);
	}
}

/* ---- time ---- */

static bool older(const struct server *s, uint64_t since_ns, uint64_t ms)
{
	return s->now_ns > since_ns && s->now_ns - since_ns > ms * 1000000;
}

static void watch(struct conn *c)
{
	struct server *s = c->server;
	switch (c->state) {
	case CONN_HEAD:
		if (!c->in.n) {
			if (older(s, c->since_ns, c->served ? KEEP_ALIVE_MS : s->o.read_timeout_ms))
				conn_close(c);
		} else if (older(s, c->since_ns, s->o.read_timeout_ms)) {
			refuse(c, 408, "timeout", "the request did not come in time", false);
			advance(c);
		}
		break;
	case CONN_BODY: {
		uint64_t total = s->o.read_timeout_ms + c->x->body_n * 1000 / BODY_BYTES_PER_S;
		if (older(s, c->last_ns, s->o.read_timeout_ms) || older(s, c->since_ns, total)) {
			refuse(c, 408, "timeout", "the body did not come in time", false);
			advance(c);
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

static void tick(struct server *s)
{
	bool stopping = atomic_load(&s->stopping), kill_all = atomic_load(&s->kill_all),
	     cancel_all = atomic_load(&s->cancel_all);
	for (struct conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		bool running = c->state == CONN_RUN || (c->state == CONN_BODY && !cancel_all);
		if (kill_all || (stopping && !running))
			conn_close(c);
		else if (cancel_all && c->blocked)
			conn_close(c); /* it does not even take what it has */
		else if (cancel_all && c->state == CONN_RUN)
			exchange_cancel(c->x);
		else
			watch(c);
	}
	if (stopping) {
		listen_on(s, false);
		if (s->listener >= 0)
			close(s->listener);
		s->listener = -1;
	} else {
		listen_on(s, true);
	}
}

static void bury(struct server *s)
{
	while (s->dead) {
		struct conn *c = s->dead;
		s->dead = c->next;
		free(c);
	}
}

static void *io_loop(void *arg)
{
	struct server *s = arg;
	struct epoll_event events[EVENTS];
	while (!atomic_load(&s->stopping) || s->conns) {
		int n = epoll_wait(s->epoll, events, EVENTS, TICK_MS);
		s->now_ns = clock_mono_ns();
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &s->listener)
				on_accept(s);
			else if (events[i].data.ptr == &s->wake)
				on_ready(s);
			else
				on_conn_event(events[i].data.ptr, events[i].events);
		}
		if (s->now_ns - s->ticked_ns >= (uint64_t)TICK_MS * 1000000 ||
			atomic_load(&s->stopping)) {
			s->ticked_ns = s->now_ns;
			tick(s);
		}
		bury(s);
	}
	pthread_mutex_lock(&s->done_mu);
	s->done = true;
	pthread_cond_broadcast(&s->done_cond);
	pthread_mutex_unlock(&s->done_mu);
	return NULL;
}

/* ---- start and stop ---- */

static enum err parse_listen(
	const char *listen, struct buf *host, struct buf *port, struct errtext *et)
{
	struct str text = str_c(listen), h;
	size_t colon = str_rchr(text, ':');
	uint64_t n;
	if (colon == STR_NONE || !str_u64(str_sub(text, colon + 1, text.n), &n) || n > 65535)
		return err_set(et, ERR_INVALID,
			"listen: \"%s\" is not ADDRESS:PORT, as in 127.0.0.1:7117", listen);
	h = str_sub(text, 0, colon);
	if (h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
		h = str_sub(h, 1, h.n - 1);
	buf_adds(host, h);
	buf_addf(port, "%llu", (unsigned long long)n);
	return host->err || port->err ? err_set(et, ERR_NOMEM, "no memory") : OK;
}

static enum err bind_one(struct server *s, const struct addrinfo *a, struct errtext *et)
{
	int yes = 1;
	struct sockaddr_storage bound;
	socklen_t n = sizeof bound;
	s->listener = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener < 0)
		return err_errno(et, "listen: %s", s->o.listen);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(s->listener, a->ai_addr, a->ai_addrlen) || listen(s->listener, 1024) ||
		getsockname(s->listener, (struct sockaddr *)&bound, &n)) {
		if (errno == EADDRINUSE)
			return err_set(et, ERR_CONFLICT,
				"listen: %s is in use by another program; choose another address "
				"with --listen",
				s->o.listen);
		return err_errno(et, "listen: %s", s->o.listen);
	}
	format_address(&bound, n, s->address, sizeof s->address);
	return OK;
}

static enum err open_listener(struct server *s, struct errtext *et)
{
	struct buf host = {0}, port = {0};
	struct addrinfo *found = NULL, hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
					       .ai_socktype = SOCK_STREAM};
	enum err e = parse_listen(s->o.listen, &host, &port, et);
	if (!e) {
		int rc = getaddrinfo(host.n ? buf_c(&host) : NULL, buf_c(&port), &hints, &found);
		if (rc)
			e = err_set(
				et, ERR_INVALID, "listen: %s: %s", s->o.listen, gai_strerror(rc));
	}
	if (!e)
		e = bind_one(s, found, et);
	if (found)
		freeaddrinfo(found);
	buf_free(&host);
	buf_free(&port);
	return e;
}

static void add_host(struct server *s, struct str name)
{
	if (name.n && s->n_hosts < HOSTS_MAX)
		s->hosts[s->n_hosts++] = name;
}

static enum err list_hosts(struct server *s, struct errtext *et)
{
	const char *more = s->o.allowed_hosts ? s->o.allowed_hosts : "";
	struct str name, address = str_c(s->address), own = str_c(s->o.listen), rest;
	s->hosts_text = str_dup(str_c(more));
	if (!s->hosts_text)
		return err_set(et, ERR_NOMEM, "no memory");
	own = str_sub(own, 0, str_rchr(own, ':'));
	add_host(s, S("localhost"));
	add_host(s, S("127.0.0.1"));
	add_host(s, S("[::1]"));
	add_host(s, str_sub(address, 0, str_rchr(address, ':')));
	if (!is_literal(own))
		add_host(s, own); /* borrowed from the options: server_start's own copy */
	s->any_literal =
		str_starts(address, S("0.0.0.0:")) || str_starts(address, S("[::]:")) || !own.n;
	rest = str_c(s->hosts_text);
	while (str_next(&rest, ',', &name)) {
		name = str_trim(name);
		if (str_eq(name, S("*")))
			s->any_host = true;
		add_host(s, name);
	}
	return OK;
}

static enum err open_epoll(struct server *s, struct errtext *et)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &s->wake};
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll < 0 || s->wake < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &ev))
		return err_errno(et, "the event loop");
	listen_on(s, true);
	return OK;
}

static void server_free(struct server *s)
{
	pool_free(s->pool); /* what is queued runs, and finds its clients gone */
	while (s->ready) {
		struct exchange *x = s->ready;
		s->ready = x->next_ready;
		exchange_unref(x);
	}
	if (s->listener >= 0)
		close(s->listener);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->wake >= 0)
		close(s->wake);
	pthread_mutex_destroy(&s->ready_mu);
	pthread_mutex_destroy(&s->done_mu);
	pthread_cond_destroy(&s->done_cond);
	free(s->spool_dir);
	free(s->hosts_text);
	free((char *)s->o.listen);
	free(s->scratch);
	free(s);
}

static bool take_options(struct server *s, const struct server_options *o)
{
	s->o = *o;
	s->o.listen = str_dup(str_c(o->listen));
	s->spool_dir = str_dup(str_c(o->spool_dir ? o->spool_dir : "/tmp"));
	s->o.spool_dir = s->spool_dir;
	s->scratch = malloc(SCRATCH);
	s->o.workers = MAX(o->workers, 1u);
	s->o.queue_max = MAX(o->queue_max, 1u);
	s->o.connections_max = MAX(o->connections_max, 1u);
	s->o.header_max = MAX(o->header_max, (size_t)1024);
	s->o.read_timeout_ms = o->read_timeout_ms ? o->read_timeout_ms : 30000;
	s->o.write_timeout_ms = o->write_timeout_ms ? o->write_timeout_ms : 60000;
	s->o.ping_ms = o->ping_ms ? o->ping_ms : PING_MS;
	return s->o.listen && s->spool_dir && s->scratch;
}

enum err server_start(const struct server_options *o, struct server **out, struct errtext *et)
{
	struct server *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory for the server");
	s->epoll = s->wake = s->listener = -1;
	pthread_mutex_init(&s->ready_mu, NULL);
	pthread_mutex_init(&s->done_mu, NULL);
	cond_init(&s->done_cond);
	s->now_ns = clock_mono_ns();
	enum err e = take_options(s, o) ? OK : err_set(et, ERR_NOMEM, "no memory for the server");
	if (!e)
		e = open_listener(s, et);
	if (!e)
		e = list_hosts(s, et);
	if (!e)
		e = open_epoll(s, et);
	if (!e)
		e = pool_new(s->o.workers, s->o.queue_max, "http-worker", &s->pool, et);
	if (!e)
		e = thread_start(&s->io, io_loop, s, "http-io", et);
	if (e) {
		server_free(s);
		return e;
	}
	*out = s;
	return OK;
}

const char *server_address(const struct server *s)
{
	return s->address;
}

static bool wait_done(struct server *s, uint64_t ms)
{
	uint64_t end = clock_mono_ns() + ms * 1000000;
	pthread_mutex_lock(&s->done_mu);
	while (!s->done && cond_wait_until(&s->done_cond, &s->done_mu, end))
		;
	bool done = s->done;
	pthread_mutex_unlock(&s->done_mu);
	return done;
}

void server_stop(struct server *s, uint32_t grace_ms)
{
	if (!s)
		return;
	atomic_store(&s->stopping, true);
	wake(s);
	if (!wait_done(s, grace_ms)) {
		atomic_store(&s->cancel_all, true);
		wake(s);
		if (!wait_done(s, 1000)) {
			atomic_store(&s->kill_all, true);
			wake(s);
		}
	}
	pthread_join(s->io, NULL);
	server_free(s);
}

void server_stats(struct server *s, struct server_stats *out)
{
	*out = (struct server_stats){.requests = atomic_load(&s->requests),
		.bytes_in = atomic_load(&s->bytes_in),
		.bytes_out = atomic_load(&s->bytes_out),
		.refused = atomic_load(&s->refused),
		.connections = atomic_load(&s->connections),
		.busy_workers = atomic_load(&s->busy),
		.queued = pool_queued(s->pool)};
}
