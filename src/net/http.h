/* HTTP, the server's side of one exchange, whatever carries it.
 *
 * A handler gets a request (whole, its body read) and answers through a response, on a worker
 * thread; it may block. The carrier is a socket (net/server.h) or the same process
 * (http_local(), with which the command line runs without a server): a handler cannot tell.
 *
 *	static void hello(void *app, struct http_request *rq, struct http_response *rs)
 *	{
 *		http_reply(rs, 200, "application/json", S("{\"hello\":true}"));
 *	}
 *
 * Streams: http_stream_begin, any number of http_stream_write (each returns ERR_CANCELLED once the
 * client has gone; rq->cancel is set at the same time), then return. Writes are buffered up to a
 * limit and block beyond it for a limited time. Exactly one answer per request: a handler that
 * returns without one gives 500. */
#ifndef NET_HTTP_H
#define NET_HTTP_H
#include "base/arena.h"
#include "base/id.h"
#include "base/json.h"
#include "base/thread.h"

enum http_method {
	HTTP_GET = 1,
	HTTP_POST = 2,
	HTTP_PUT = 4,
	HTTP_PATCH = 8,
	HTTP_DELETE = 16,
	HTTP_HEAD = 32,
	HTTP_OPTIONS = 64
};

struct http_pair {
	struct str name, value;
};

struct principal; /* the floor above says what it is */

struct http_request {
	enum http_method method;
	struct str path; /* decoded once; no query; no "." or ".." segment can be in it */
	struct http_pair *query, *headers;
	size_t n_query, n_headers;
	struct http_pair params[8]; /* {name} segments of the route, decoded */
	size_t n_params;
	struct str
		body; /* in memory or mapped from a spool file; valid until the handler returns */
	struct str peer;     /* "127.0.0.1:54321", or "local" */
	bool local;          /* in-process: the user of the data directory, no key needed */
	bool tls;            /* came over TLS of our own */
	bool wipe;           /* set by a handler: the body is overwritten when the request ends */
	struct str project;  /* asked for: of /p/{project}/..., else of x-croft-project */
	struct id id;        /* sent back as x-request-id */
	struct arena *arena; /* until the response is finished */
	const struct principal *who; /* set by the router before the handler runs */
	const struct cancel *cancel;
};

const char *http_method_name(enum http_method m);
struct str http_param(const struct http_request *rq, const char *name);
struct str http_query(const struct http_request *rq, const char *name);  /* {NULL,0}: absent */
struct str http_header(const struct http_request *rq, const char *name); /* any case */

/* One part of a multipart/form-data body, or the whole body when it is no form. */
struct http_part {
	struct str name, filename, type, data; /* filename: its last component only */
};
enum err http_multipart(const struct http_request *rq, struct http_part **parts, size_t *n,
	struct errtext *et) MUST_CHECK;

struct http_response;

void http_set_header(struct http_response *rs, const char *name, struct str value);
void http_reply(struct http_response *rs, int status, const char *type, struct str body);
/* The body of a finished writer; 500 and a log line when the writer is not jw_done. */
void http_reply_json(struct http_response *rs, int status, const struct jw *w);
/* {"error":{"code","message","type","param":null}}: the shape that OpenAI clients read, used on
 * every route; code is err_word(e). */
void http_reply_error(struct http_response *rs, enum err e, const struct errtext *et);
/* Bytes that outlive the process (embedded assets): not copied. */
void http_reply_static(struct http_response *rs, int status, const char *type, struct str body);
enum err http_stream_begin(struct http_response *rs, int status, const char *type);
enum err http_stream_write(struct http_response *rs, struct str data);
/* Server-sent events: begin with the right headers; one event ("event:" only when not NULL); while
 * a handler computes without writing, the carrier sends comment pings every 15 s. */
enum err http_sse_begin(struct http_response *rs);
enum err http_sse_event(struct http_response *rs, const char *event, struct str data);
bool http_replied(const struct http_response *rs);
int http_reply_status(const struct http_response *rs); /* 0: nothing was answered */

/* What carries a response. Each slot gets ctx; the carrier's own file says who implements it. */
struct http_carrier {
	/* Sends status, headers and, unless streaming, the whole body. */
	void (*head)(void *ctx, int status, const struct http_pair *headers, size_t n,
		struct str body, bool body_is_static, bool streaming);
	enum err (*write)(void *ctx, struct str data); /* after head with streaming */
};

/* Routing: the first row whose method and path fit. "/a/{x}/b" takes one segment, a last
 * "{rest...}" takes all that remains. */
typedef void (*http_handler)(void *app, struct http_request *rq, struct http_response *rs);

/* Runs a handler in this process. on_head and on_data are called on this thread. */
struct http_local {
	void (*on_head)(void *ctx, int status, const struct http_pair *headers, size_t n);
	enum err (*on_data)(void *ctx, struct str data);
	void *ctx;
};
enum err http_local_run(http_handler fn, void *app, enum http_method method, struct str target,
	const struct http_pair *headers, size_t n_headers, struct str body,
	const struct cancel *cancel, const struct http_local *to, struct errtext *et);

/* URLs */
void url_decode(struct buf *out, struct str s, bool plus_is_space);
void url_encode(struct buf *out, struct str s); /* all but unreserved */

#endif
