/* What server.c (loop, time, life), conn.c (one connection), exchange.c (one request) and hosts.c
 * share; not for others.
 *
 * An exchange is one request and its answer. Its worker and its connection each hold a count; the
 * connection may die first. What the worker sends is framed into `out` under the exchange's lock;
 * the I/O thread takes it from there. */
#ifndef NET_SERVER_INT_H
#define NET_SERVER_INT_H
#include "net/http_int.h"
#include "net/server.h"
#include "net/tls.h"

struct conn;

/* ---- which hosts and origins (hosts.c) ---- */

enum { HOSTS_MAX = 64 };

struct hosts {
	char *text;
	struct str name[HOSTS_MAX];
	size_t n;
	bool any, any_literal;
};

/* `listen` is borrowed. `more`: a comma list, "*" is any; NULL: none. */
enum err hosts_init(struct hosts *h, const char *listen, const char *address, const char *more,
	struct errtext *et);
void hosts_free(struct hosts *h);
bool hosts_allow(const struct hosts *h, struct str host);
/* Browsers say from which page a request that changes something comes. */
bool origin_allowed(const struct http_request *rq);

/* ---- one request ---- */

struct exchange {
	struct http_request rq;
	struct http_response rs;
	struct arena *arena;
	struct cancel cancel;
	struct server *server;
	struct conn *conn; /* the I/O thread's; NULL once the connection has died */
	atomic_uint refs;
	bool http10, keep_alive, head_only; /* settled before the answer begins */

	pthread_mutex_t mu; /* guards what follows */
	pthread_cond_t room;
	struct buf out;   /* framed bytes that wait for the I/O thread */
	struct str fixed; /* bytes that outlive the process, sent after `out` */
	bool streaming, chunked, events, close_after;
	bool ended; /* nothing will be added */
	bool gone;  /* nobody will read */
	bool cut;   /* a stream that lacks something: it must not look complete */
	uint64_t last_out_ns;

	struct buf body; /* the request's, in memory ... */
	int spool_fd;    /* ... or in a nameless file */
	uint64_t body_n;
	void *map;

	bool in_ready; /* guarded by the server's ready_mu */
	struct exchange *next_ready;
};

struct exchange *exchange_new(struct server *s); /* one count; NULL: no memory */
void exchange_ref(struct exchange *x);
void exchange_unref(struct exchange *x);

/* The request's body, on the I/O thread. */
enum err exchange_body_add(struct exchange *x, struct str data, struct errtext *et);
enum err exchange_body_end(struct exchange *x, struct errtext *et);

/* The handler has returned. */
void exchange_end(struct exchange *x);

/* For the I/O thread: moves what waits to `send` (which is empty). False: nothing there; then
 * *ended says whether anything may come. */
bool exchange_take(struct exchange *x, struct buf *send, struct str *fixed, bool *ended);
bool exchange_is_gone(struct exchange *x);
void exchange_hang_up(struct exchange *x); /* the client reads no more */
void exchange_cancel(struct exchange *x);  /* the client wants no more */
void exchange_ping(struct exchange *x, uint64_t now_ns, uint64_t every_ns);

/* ---- one connection (conn.c); the I/O thread only ---- */

enum conn_state { CONN_TLS, CONN_HEAD, CONN_BODY, CONN_RUN, CONN_LINGER, CONN_DEAD };

struct conn {
	int fd;
	enum conn_state state;
	struct server *server;
	struct conn *next, *prev;
	struct conn *next_again;
	bool in_again;    /* a member of server->again */
	bool redirects;   /* came to the plain address that only says where TLS is */
	bool readable;    /* there may be bytes to read: an edge came and they were not all read */
	bool blocked;     /* the socket takes no more: an edge will come */
	bool peer_closed; /* its sending side */
	uint64_t served;
	uint64_t since_ns;    /* handshake, idle, head, body or lingering began */
	uint64_t last_ns;     /* last byte read or written */
	struct tls_conn *tls; /* NULL: plain */
	struct buf in;        /* received, not yet used */
	struct head_scan scan;
	struct exchange *x;
	bool body_chunked;
	struct chunked chunked;
	uint64_t body_left;
	struct buf send;
	size_t sent;
	struct str fixed;
	char peer[56];
};

void conn_event(struct conn *c, uint32_t events);
void conn_drive(struct conn *c); /* as far as it goes without waiting */
void conn_watch(struct conn *c); /* time limits */
void conn_close(struct conn *c);
/* Nothing under way, or so slow that it may make room for another. */
bool conn_expendable(const struct conn *c);

/* ---- the server (server.c) ---- */

enum { ADDRESS_MAX = 80 };

struct server {
	struct server_options o;
	char *spool_dir, *listen_text, *redirect_text;
	struct hosts hosts;
	int epoll, wake, listener, redirector;
	bool listening; /* the listeners are in the epoll set */
	char address[ADDRESS_MAX], redirect_address[ADDRESS_MAX];
	pthread_t io;
	struct pool *pool;
	struct conn *conns, *dead, *again;
	uint32_t n_conns;
	bool submitted; /* jobs for which no worker has been called yet */
	char *scratch;
	uint64_t now_ns, ticked_ns;

	pthread_mutex_t ready_mu;
	struct exchange *ready; /* guarded by ready_mu */
	atomic_bool asleep;     /* the I/O thread waits, or is about to */

	pthread_mutex_t done_mu; /* server_stop waits for the I/O thread */
	pthread_cond_t done_cond;
	bool done;
	atomic_bool stopping, cancel_all, kill_all;

	atomic_uint_fast64_t requests, bytes_in, bytes_out, refused;
	atomic_uint_fast64_t tls_handshakes, tls_resumed, tls_failed;
	atomic_uint connections, busy;
};

enum { SCRATCH = 128 << 10 }; /* server->scratch: what one read may bring */

/* There is news for the I/O thread. Any thread. */
void server_ready(struct server *s, struct exchange *x);
/* The I/O thread looks at this connection again after what waits now. */
void server_again(struct server *s, struct conn *c);
const struct server_options *server_opts(const struct server *s);
bool server_stopping(const struct server *s);

#endif
