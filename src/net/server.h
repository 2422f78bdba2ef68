/* The HTTP/1.1 server: one I/O thread (epoll), a bounded pool of workers that run handlers.
 *
 * It reads requests itself, because what must be refused (bare LF, folded lines, NUL, obscure
 * lengths) is invisible behind the server libraries, and because a client that goes away must be
 * noticed while its answer is being computed.
 *
 * It enforces the limits before a handler sees anything: connections, header bytes, body bytes
 * (large bodies go to a spool file), idle and total time of reading a request; refuses what is not
 * one clear HTTP/1.1 request; refuses a Host that it does not serve and, on methods that change
 * state, a foreign Origin. `check` runs after the headers and before one body byte is read: it may
 * answer itself (401, 404, 405, 413, what must not wait) by returning false. When all workers and
 *the queue are taken, the answer is 503 with Retry-After. A client that stops reading or goes away
 *sets rq->cancel and costs its own connection only.
 *
 *	struct server_options o = {.listen = "127.0.0.1:0", .workers = 4, .queue_max = 16,
 *		.connections_max = 256, .header_max = 32768, .body_max = 1 << 20,
 *		.body_memory_max = 65536, .spool_dir = "/tmp", .read_timeout_ms = 30000,
 *		.write_timeout_ms = 30000, .handler = hello};
 *	struct server *s;
 *	enum err e = server_start(&o, &s, et);
 *	printf("http://%s\n", server_address(s));
 *	server_stop(s, 1000); */
#ifndef NET_SERVER_H
#define NET_SERVER_H
#include "net/http.h"

struct server;
struct tls;

struct server_options {
	const char *listen;          /* "127.0.0.1:7117", "[::1]:0"; port 0: any free one */
	struct tls *tls;             /* net/tls.h, borrowed until server_stop; NULL: plain HTTP */
	const char *redirect_listen; /* with tls: plain HTTP that only redirects; NULL: none */
	unsigned workers, queue_max, connections_max;
	unsigned waiting_max; /* streams, and what waits (pool_wait_begin), beside the workers */
	size_t header_max, body_max, body_memory_max;
	const char *spool_dir;
	uint32_t read_timeout_ms, write_timeout_ms;
	uint32_t ping_ms; /* silence on an event stream before a comment is sent; 0: 15 s */
	const char *
		allowed_hosts; /* comma list beside the listening address and localhost; "*": any */
	http_handler handler;
	bool (*check)(
		void *app, struct http_request *rq, struct http_response *rs); /* body absent */
	void *app;
};

enum err server_start(const struct server_options *o, struct server **out, struct errtext *et);
const char *server_address(const struct server *s);          /* "127.0.0.1:7117", the real port */
const char *server_redirect_address(const struct server *s); /* "" without one */
/* No new connections; open requests get grace_ms, are then cancelled; returns when all ended. */
void server_stop(struct server *s, uint32_t grace_ms);

struct server_stats {
	uint64_t requests, bytes_in, bytes_out, refused;
	uint64_t tls_handshakes, tls_resumed, tls_failed;
	uint32_t connections, busy_workers, queued;
};
void server_stats(struct server *s, struct server_stats *out);

#endif
