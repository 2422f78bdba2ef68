/* What the files of this folder share; not for others. */
#ifndef NET_HTTP_INT_H
#define NET_HTTP_INT_H
#include "net/http.h"

enum { HTTP_HEADERS_MAX = 100, HTTP_QUERY_MAX = 2000, HTTP_RESPONSE_HEADERS_MAX = 32 };

/* One answer. A handler's thread owns it; what it sends goes through the carrier at once. */
struct http_response {
	const struct http_carrier *carrier;
	void *ctx;
	const struct http_request *rq;
	struct http_pair headers[HTTP_RESPONSE_HEADERS_MAX];
	size_t n_headers;
	int status; /* 0: nothing sent yet */
	bool streaming;
};

void http_response_init(struct http_response *rs, const struct http_carrier *carrier, void *ctx,
	const struct http_request *rq);
/* After the handler: 500 when it gave no answer. */
void http_response_finish(struct http_response *rs);
/* The words of a status line. */
const char *http_reason(int status);
bool http_method_parse(struct str s, enum http_method *out);

/* ---- the request target (url.c) ---- */

/* "/a%20b?x=1" or "http://host/a" to path and query of rq, in its arena. ERR_INVALID for what is
 * not one clear path: bad percent-encoding, control bytes, "." and ".." segments however encoded,
 * malformed UTF-8. *authority is the host of an absolute target, else {NULL,0}. */
enum err http_parse_target(struct http_request *rq, struct str target, struct str *authority,
	struct errtext *et) MUST_CHECK;

/* ---- the bytes of a request (parse.c) ---- */

/* Looks at the bytes of a head as they come, so that a bad one is refused at once and not at the
 * time limit. */
struct head_scan {
	size_t at;         /* how far it has looked */
	size_t line;       /* where the present line begins */
	size_t first_line; /* length of the request line, when known */
	unsigned headers;
	bool have_first;
};

enum head_state { HEAD_MORE, HEAD_DONE, HEAD_BAD, HEAD_OLD, HEAD_TOO_MANY };

/* HEAD_DONE: *end is the length of the head with its empty line. HEAD_OLD: HTTP/0.9. */
enum head_state http_scan_head(struct head_scan *s, struct str in, size_t *end, const char **why);

struct http_head {
	struct http_pair *headers;
	size_t n_headers;
	struct str method, target;
	bool http10, keep_alive, chunked, expect_continue;
	bool has_length;
	uint64_t length;
	struct str host; /* {NULL,0}: none (only in HTTP/1.0) */
};

/* A whole head, as http_scan_head found it. Strings point into it; the pairs are in `a`. Returns
 * 0 or the status to refuse with and why. */
int http_parse_head(struct str head, struct arena *a, struct http_head *out, const char **why);

/* Chunked transfer coding, incrementally. */
struct chunked {
	uint64_t left; /* of the present chunk */
	unsigned state, digits, extra;
};

enum chunk_state { CHUNK_MORE, CHUNK_DATA, CHUNK_END, CHUNK_BAD };

/* Takes from *in. CHUNK_DATA: *data is a piece of the body (call again); CHUNK_MORE: in is used
 * up; CHUNK_END: the body is complete, what remains in *in is not of it. */
enum chunk_state http_dechunk(struct chunked *c, struct str *in, struct str *data);

/* Header value "a, b": has it the token (any case)? */
bool http_has_token(struct str value, struct str token);
/* "Host: name:80" or an Origin's authority: lower-cased name without port; brackets stay. */
bool http_host_name(struct str host, struct buf *name, struct str *port);

#endif
