/* The S3 backend's own parts.
 *
 *	s3_url.c     s3://KEY:SECRET@host:port/bucket/prefix?region=...&tls=...
 *	s3_sign.c    signature version 4
 *	s3_xml.c     what a server answers
 *	s3_http.c    one request, repeated when it may help
 *	s3_multi.c   a large object in parts; several puts at once
 *	blob_s3.c    the backend
 */
#ifndef STORE_S3_INT_H
#define STORE_S3_INT_H
#include "base/arena.h"
#include "base/thread.h"
#include "net/client.h"
#include "store/blob_int.h"

struct s3_url {
	char *host; /* "localhost:7070", as in the Host header */
	char *bucket;
	char *prefix; /* "", or with a slash at its end */
	char *region;
	char *key, *secret, *token; /* token NULL: none */
	char *spool;                /* folder for what is being written */
	bool tls;
};

/* `at` is what follows "s3:". Credentials that it lacks come from AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, the region from AWS_REGION. No error names a secret.
 */
enum err s3_url_parse(const char *at, struct s3_url *out, struct errtext *et) MUST_CHECK;
void s3_url_release(struct s3_url *u);

/* ---- signing ---- */

struct s3_signing {
	const struct s3_url *url;
	const char *method;
	struct str path;                 /* encoded */
	struct str query;                /* encoded, sorted by name: "a=1&b=" */
	const struct http_pair *headers; /* all are signed; lower-case names, sorted; with host */
	size_t n_headers;
	const char *payload; /* SHA-256 in hex */
	const char *date;    /* "20130524T000000Z" */
};
/* Appends the value of the Authorization header. */
void s3_sign(const struct s3_signing *s, struct buf *out);

/* ---- answers ---- */

/* Calls fn for each element that holds text or is empty, at its end; `depth` counts from 1. */
typedef enum err (*s3_element_fn)(void *ctx, const char *name, struct str text);
enum err s3_xml(struct str xml, s3_element_fn fn, void *ctx, struct errtext *et) MUST_CHECK;

struct s3_error {
	char code[64], message[200];
};
void s3_error_parse(struct str xml, struct s3_error *out); /* empty when it is none */

/* ---- requests ---- */

struct s3 {
	struct s3_url url;
	atomic_llong skew_ms; /* server's clock minus ours */
	/* What tests shorten. */
	unsigned tries, delay_ms, delay_max_ms;
};

struct s3_call {
	enum http_method method;
	const char *hex;  /* the object; NULL: the bucket */
	struct str query; /* encoded, sorted */
	struct str body;
	const char *payload;     /* SHA-256 of the body in hex; NULL: it is computed */
	const char *range;       /* "bytes=0-9" */
	const char *copy_source; /* encoded "/bucket/key" */
	uint8_t *to;             /* the body goes there, exactly `want` bytes */
	size_t want;
	bool map;           /* the body goes to a fresh mapping: reply.map */
	const char *verify; /* its SHA-256 must be this */
};

struct s3_reply {
	int status;
	struct buf body;
	struct os_map map;
	int64_t length, modified_ms; /* of the headers; -1 when absent */
	char etag[200];
};

/* OK with status 200-299; ERR_NOT_FOUND for 404; other refusals as the error that fits. What may
 * be temporary is tried again with growing random pauses; a reply that came is not to be released
 * on an error. */
enum err s3_run(
	struct s3 *s, const struct s3_call *c, struct s3_reply *out, struct errtext *et) MUST_CHECK;
void s3_reply_release(struct s3_reply *r);
void s3_key(
	const struct s3 *s, const char *hex, struct buf *out); /* "prefix/ab/cdef...", encoded */
bool s3_key_parse(const struct s3 *s, struct str key, char hex[SHA256_HEX + 1]);

/* ---- large ones, several ---- */

enum { S3_PART = 16 << 20, S3_SINGLE_MAX = 64 << 20 };
enum err s3_put_parts(
	struct s3 *s, const char *hex, struct str data, struct errtext *et) MUST_CHECK;
/* Cuts off uploads in parts that nobody has finished since. */
enum err s3_abort_stale(struct s3 *s, int64_t before_ms, struct errtext *et) MUST_CHECK;

typedef enum err (*s3_put_fn)(void *ctx, const char *hex, struct str data, struct errtext *et);
enum err s3_batch_begin(void *ctx, s3_put_fn put, void **batch, struct errtext *et) MUST_CHECK;
enum err s3_batch_put(void *batch, const char *hex, struct str data, struct errtext *et) MUST_CHECK;
enum err s3_batch_commit(void *batch, struct errtext *et) MUST_CHECK;
void s3_batch_end(void *batch);

#endif
