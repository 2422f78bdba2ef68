/* The HTTP server (libmicrohttpd): one I/O thread, a bounded pool of workers that run handlers.
 *
 * It enforces the limits before a handler sees anything: connections, header bytes, body bytes
 * (large bodies go to a spool file), idle and total time of reading a request; refuses what is not
 * one clear HTTP/1.1 request; refuses a Host that it does not serve and, on methods that change
 * state, a foreign Origin. `check` runs after the headers and before one body byte is read: it may
 * answer itself (401, 404, 405, 413) by returning false. When all workers and the queue are
 * taken, the answer is 503 with Retry-After. A client that stops reading or goes away sets
 * rq->cancel and costs its own connection only. */
#ifndef NET_SERVER_H
#define NET_SERVER_H
#include "net/http.h"

struct server;

struct server_options {
	const char *listen; /* "127.0.0.1:7117", "[::1]:0"; port 0: any free one */
	unsigned workers, queue_max, connections_max;
	size_t header_max, body_max, body_memory_max;
	const char *spool_dir;
	uint32_t read_timeout_ms, write_timeout_ms;
	const char *allowed_hosts; /* comma list beside the listening address and localhost; "*": any */
	http_handler handler;
	bool (*check)(void *app, struct http_request *rq, struct http_response *rs); /* body absent */
	void *app;
};

enum err server_start(const struct server_options *o, struct server **out, struct errtext *et);
const char *server_address(const struct server *s); /* "127.0.0.1:7117", the real port */
/* No new connections; open requests get grace_ms, are then cancelled; returns when all ended. */
void server_stop(struct server *s, uint32_t grace_ms);

struct server_stats {
	uint64_t requests, bytes_in, bytes_out, refused;
	uint32_t connections, busy_workers, queued;
};
void server_stats(struct server *s, struct server_stats *out);

#endif
