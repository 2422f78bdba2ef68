/* The server: its I/O thread, new connections, time, start and stop. What happens on one connection
 * is conn.c. */
#include "net/server_int.h"

#include "base/clock.h"

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
	EVENTS = 256,
	CALL_EVERY = 32, /* events, before workers are called */
	TICK_MS = 250,
	PING_MS = 15000,
};

const struct server_options *server_opts(const struct server *s)
{
	return &s->o;
}

bool server_stopping(const struct server *s)
{
	return atomic_load(&s->stopping);
}

/* ---- news for the I/O thread ---- */

/* The eventfd is registered for edges: each write is one, and nobody reads it. */
static void wake(struct server *s)
{
	uint64_t one = 1;
	while (write(s->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void server_ready(struct server *s, struct exchange *x)
{
	pthread_mutex_lock(&s->ready_mu);
	if (!x->in_ready) {
		x->in_ready = true;
		exchange_ref(x);
		x->next_ready = s->ready;
		s->ready = x;
	}
	pthread_mutex_unlock(&s->ready_mu);
	/* while it is awake it looks at the list before it sleeps again */
	if (atomic_exchange(&s->asleep, false))
		wake(s);
}

static struct exchange *next_ready(struct server *s)
{
	pthread_mutex_lock(&s->ready_mu);
	struct exchange *x = s->ready;
	if (x) {
		s->ready = x->next_ready;
		x->in_ready = false;
	}
	pthread_mutex_unlock(&s->ready_mu);
	return x;
}

static void on_ready(struct server *s)
{
	for (struct exchange *x; (x = next_ready(s)) != NULL;) {
		if (x->conn)
			conn_drive(x->conn);
		exchange_unref(x);
	}
}

void server_again(struct server *s, struct conn *c)
{
	if (c->in_again)
		return;
	c->in_again = true;
	c->next_again = s->again;
	s->again = c;
}

static void on_again(struct server *s)
{
	struct conn *c = s->again, *next;
	s->again = NULL;
	for (; c; c = next) {
		next = c->next_again;
		c->in_again = false;
		conn_drive(c);
	}
}

/* ---- new connections ---- */

/* Room for a new connection: the oldest that has nothing to say, else the oldest slow talker. */
static bool evict(struct server *s)
{
	struct conn *oldest = NULL;
	for (struct conn *c = s->conns; c; c = c->next)
		if (conn_expendable(c) && (!oldest || c->since_ns < oldest->since_ns))
			oldest = c;
	if (oldest)
		conn_close(oldest);
	return oldest != NULL;
}

static void turn_away(struct server *s, int fd)
{
	static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
				   "content-length: 0\r\nconnection: close\r\n\r\n";
	ssize_t n = s->o.tls ? 0 : send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
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

/* A connection costs nothing that its state does not need. */
static struct conn *conn_new(struct server *s, int fd, bool redirects)
{
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = fd;
	c->server = s;
	c->redirects = redirects;
	c->state = CONN_HEAD;
	c->since_ns = c->last_ns = s->now_ns;
	if (s->o.tls && !redirects) {
		c->tls = tls_conn_new(s->o.tls, fd);
		c->state = CONN_TLS;
	}
	if (c->state == CONN_TLS && !c->tls) {
		free(c);
		return NULL;
	}
	return c;
}

static void adopt(
	struct server *s, int fd, const struct sockaddr_storage *a, socklen_t a_n, bool redirects)
{
	int yes = 1;
	struct conn *c = conn_new(s, fd, redirects);
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (!c || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		turn_away(s, fd);
		if (c)
			tls_conn_free(c->tls);
		free(c);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	format_address(a, a_n, c->peer, sizeof c->peer);
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	atomic_store(&s->connections, ++s->n_conns);
}

static void listen_on(struct server *s, bool on)
{
	int *const fds[] = {&s->listener, &s->redirector};
	if (on == s->listening)
		return;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fds[i]};
		if (*fds[i] >= 0)
			epoll_ctl(s->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, *fds[i], &ev);
	}
	s->listening = on;
}

static void on_accept(struct server *s, int listener)
{
	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage a;
		socklen_t n = sizeof a;
		int fd = accept4(listener, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			bool full = errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				    errno == ENOBUFS;
			if (full && !evict(s))
				listen_on(s, false); /* until the next tick */
			return;
		}
		if (s->n_conns >= s->o.connections_max && !evict(s)) {
			atomic_fetch_add(&s->refused, 1);
			turn_away(s, fd);
			continue;
		}
		adopt(s, fd, &a, n, listener == s->redirector);
	}
}

/* ---- time ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
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
			conn_watch(c);
	}
	if (stopping) {
		listen_on(s, false);
		close_fd(&s->listener);
		close_fd(&s->redirector);
	} else {
		listen_on(s, true);
	}
}

static void bury(struct server *s)
{
	struct conn *kept = NULL;
	while (s->dead) {
		struct conn *c = s->dead;
		s->dead = c->next;
		if (c->in_again) { /* named once more by that list */
			c->next = kept;
			kept = c;
		} else {
			free(c);
		}
	}
	s->dead = kept;
}

/* How long to wait for events. Between saying that it sleeps and sleeping, the thread looks for
 * news: whoever brings some later sees the flag and wakes it. */
static int patience(struct server *s)
{
	atomic_store(&s->asleep, true);
	pthread_mutex_lock(&s->ready_mu);
	bool news = s->ready != NULL;
	pthread_mutex_unlock(&s->ready_mu);
	return news || s->again ? 0 : TICK_MS;
}

/* Workers are called for a handful of requests at a time: each call may cost a switch to them. */
static void call_workers(struct server *s)
{
	if (s->submitted)
		pool_call(s->pool);
	s->submitted = false;
}

static void on_event(struct server *s, const struct epoll_event *ev)
{
	if (ev->data.ptr == &s->listener)
		on_accept(s, s->listener);
	else if (ev->data.ptr == &s->redirector)
		on_accept(s, s->redirector);
	else if (ev->data.ptr != &s->wake)
		conn_event(ev->data.ptr, ev->events);
}

static void *io_loop(void *arg)
{
	struct server *s = arg;
	struct epoll_event events[EVENTS];
	while (!atomic_load(&s->stopping) || s->conns) {
		int n = epoll_wait(s->epoll, events, EVENTS, patience(s));
		atomic_store(&s->asleep, false);
		s->now_ns = clock_mono_ns();
		for (int i = 0; i < n; i++) {
			on_event(s, &events[i]);
			if (i % CALL_EVERY == CALL_EVERY - 1)
				call_workers(s);
		}
		on_ready(s);
		on_again(s);
		call_workers(s);
		if (s->now_ns - s->ticked_ns >= (uint64_t)TICK_MS * 1000000 ||
			atomic_load(&s->stopping)) {
			s->ticked_ns = s->now_ns;
			tick(s);
		}
		bury(s);
	}
	bury(s);
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

static enum err bind_one(
	int *fd, const char *name, char *address, const struct addrinfo *a, struct errtext *et)
{
	int yes = 1;
	struct sockaddr_storage bound;
	socklen_t n = sizeof bound;
	*fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_errno(et, "listen: %s", name);
	setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(*fd, a->ai_addr, a->ai_addrlen) || listen(*fd, 4096) ||
		getsockname(*fd, (struct sockaddr *)&bound, &n)) {
		if (errno == EADDRINUSE)
			return err_set(et, ERR_CONFLICT,
				"listen: %s is in use by another program; choose another address "
				"with --listen",
				name);
		return err_errno(et, "listen: %s", name);
	}
	format_address(&bound, n, address, ADDRESS_MAX);
	return OK;
}

static enum err open_listener(int *fd, const char *name, char *address, struct errtext *et)
{
	struct buf host = {0}, port = {0};
	struct addrinfo *found = NULL, hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
					       .ai_socktype = SOCK_STREAM};
	enum err e = parse_listen(name, &host, &port, et);
	if (!e) {
		int rc = getaddrinfo(host.n ? buf_c(&host) : NULL, buf_c(&port), &hints, &found);
		if (rc)
			e = err_set(et, ERR_INVALID, "listen: %s: %s", name, gai_strerror(rc));
	}
	if (!e)
		e = bind_one(fd, name, address, found, et);
	if (found)
		freeaddrinfo(found);
	buf_free(&host);
	buf_free(&port);
	return e;
}

static enum err open_epoll(struct server *s, struct errtext *et)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = &s->wake};
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
	close_fd(&s->listener);
	close_fd(&s->redirector);
	close_fd(&s->epoll);
	close_fd(&s->wake);
	pthread_mutex_destroy(&s->ready_mu);
	pthread_mutex_destroy(&s->done_mu);
	pthread_cond_destroy(&s->done_cond);
	free(s->spool_dir);
	hosts_free(&s->hosts);
	free(s->listen_text);
	free(s->redirect_text);
	free(s->scratch);
	free(s);
}

static bool take_options(struct server *s, const struct server_options *o)
{
	s->o = *o;
	s->listen_text = str_dup(str_c(o->listen));
	s->redirect_text = str_dup(str_c(o->redirect_listen ? o->redirect_listen : ""));
	s->o.listen = s->listen_text;
	s->o.redirect_listen = s->redirect_text;
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
	return s->listen_text && s->redirect_text && s->spool_dir && s->scratch;
}

enum err server_start(const struct server_options *o, struct server **out, struct errtext *et)
{
	struct server *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory for the server");
	s->epoll = s->wake = s->listener = s->redirector = -1;
	pthread_mutex_init(&s->ready_mu, NULL);
	pthread_mutex_init(&s->done_mu, NULL);
	cond_init(&s->done_cond);
	s->now_ns = clock_mono_ns();
	enum err e = take_options(s, o) ? OK : err_set(et, ERR_NOMEM, "no memory for the server");
	if (!e)
		e = open_listener(&s->listener, s->o.listen, s->address, et);
	if (!e && s->o.tls && *s->o.redirect_listen)
		e = open_listener(&s->redirector, s->o.redirect_listen, s->redirect_address, et);
	if (!e)
		e = hosts_init(&s->hosts, s->o.listen, s->address, s->o.allowed_hosts, et);
	if (!e)
		e = open_epoll(s, et);
	if (!e)
		e = pool_new(s->o.workers, s->o.queue_max, "http-worker", &s->pool, et);
	if (!e)
		pool_may_wait(s->pool, s->o.waiting_max);
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

const char *server_redirect_address(const struct server *s)
{
	return s->redirect_address;
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
		.tls_handshakes = atomic_load(&s->tls_handshakes),
		.tls_resumed = atomic_load(&s->tls_resumed),
		.tls_failed = atomic_load(&s->tls_failed),
		.connections = atomic_load(&s->connections),
		.busy_workers = atomic_load(&s->busy),
		.queued = pool_queued(s->pool)};
}
