/* Content codings: what a client compressed, back to what it meant. */
#ifndef NET_CODING_H
#define NET_CODING_H
#include "net/http.h"

/* The body of a request as its Content-Encoding says: gzip, deflate (with or without zlib's head)
 * and identity. *out is the request's own body or what was written to `store`. ERR_TOO_LARGE as
 * soon as it passes `max` bytes, ERR_CORRUPT when it is damaged or cut, ERR_UNSUPPORTED for another
 * coding. */
enum err http_decoded_body(const struct http_request *rq, size_t max, struct buf *store,
	struct str *out, struct errtext *et) MUST_CHECK;

/* Appends data, gzipped. */
enum err gzip_encode(struct str data, struct buf *out, struct errtext *et) MUST_CHECK;

#endif
