/* What exchange.c and server.c share; not for others.
 *
 * An exchange is one request and its answer. Its worker and its connection each hold a count; the
 * connection may die first. What the worker sends is framed into `out` under the exchange's lock;
 * the I/O thread takes it from there. */
#ifndef NET_SERVER_INT_H
#define NET_SERVER_INT_H
#include "net/http_int.h"
#include "net/server.h"

struct conn;

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

/* server.c: there is news for the I/O thread. Any thread. */
void server_ready(struct server *s, struct exchange *x);
const struct server_options *server_opts(const struct server *s);
bool server_stopping(const struct server *s);

#endif
