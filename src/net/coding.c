/* gzip and deflate with zlib; the limit holds for what comes out, so a bomb costs `max` bytes. */
#include "net/coding.h"

#include <zlib.h>

enum { STEP = 256 << 10, WINDOW = 15, GZIP = 16, LEVEL = 6 };

/* Inflates one stream after another (gzip files may be several); in is used up. */
static enum err inflate_all(
	z_stream *z, struct str in, size_t max, struct buf *out, bool several, struct errtext *et)
{
	int rc = Z_OK;
	z->next_in = (Bytef *)in.p;
	z->avail_in = (uInt)in.n;
	while (rc != Z_STREAM_END || (several && z->avail_in)) {
		if (rc == Z_STREAM_END && inflateReset(z) != Z_OK)
			return err_set(et, ERR_INTERNAL, "the decoder could not be reset");
		size_t room = MIN((size_t)STEP, max + 1 - out->n);
		char *to = buf_reserve(out, room);
		if (!to)
			return err_set(et, ERR_NOMEM, "no memory to decode the body");
		z->next_out = (Bytef *)to;
		z->avail_out = (uInt)room;
		rc = inflate(z, Z_NO_FLUSH);
		out->n += room - z->avail_out;
		out->p[out->n] = 0;
		if (out->n > max)
			return err_set(et, ERR_TOO_LARGE,
				"the decoded body is larger than the limit of %zu bytes", max);
		if (rc == Z_MEM_ERROR)
			return err_set(et, ERR_NOMEM, "no memory to decode the body");
		if (rc != Z_OK && rc != Z_STREAM_END)
			return err_set(et, ERR_CORRUPT, "the compressed body is damaged or cut");
		if (rc == Z_OK && !z->avail_in && z->avail_out)
			return err_set(et, ERR_CORRUPT, "the compressed body is cut");
	}
	return OK;
}

static enum err decode(struct str in, int window, size_t max, struct buf *out, struct errtext *et)
{
	z_stream z = {0};
	if (in.n > UINT32_MAX)
		return err_set(et, ERR_TOO_LARGE, "the compressed body is too large");
	if (inflateInit2(&z, window) != Z_OK)
		return err_set(et, ERR_NOMEM, "no memory to decode the body");
	enum err e = inflate_all(&z, in, max, out, window > GZIP, et);
	inflateEnd(&z);
	return e;
}

/* RFC 9110 means zlib's format by "deflate"; some clients send it without the two bytes of head. */
static bool has_zlib_head(struct str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	return s.n >= 2 && (p[0] & 15) == 8 && (p[0] * 256 + p[1]) % 31 == 0;
}

enum err http_decoded_body(const struct http_request *rq, size_t max, struct buf *store,
	struct str *out, struct errtext *et)
{
	struct str coding = str_trim(http_header(rq, "content-encoding"));
	int window;
	if (!coding.n || str_eq_nocase(coding, S("identity"))) {
		if (rq->body.n > max)
			return err_set(et, ERR_TOO_LARGE,
				"the body is larger than the limit of %zu bytes", max);
		*out = rq->body;
		return OK;
	}
	if (str_eq_nocase(coding, S("gzip")) || str_eq_nocase(coding, S("x-gzip")))
		window = WINDOW + GZIP;
	else if (str_eq_nocase(coding, S("deflate")))
		window = has_zlib_head(rq->body) ? WINDOW : -WINDOW;
	else
		return err_set(et, ERR_UNSUPPORTED,
			"content-encoding: %.*s is not known; send gzip, deflate or identity",
			(int)MIN(coding.n, (size_t)40), coding.p);
	enum err e = decode(rq->body, window, max, store, et);
	if (!e)
		*out = buf_str(store);
	return e;
}

enum err gzip_encode(struct str data, struct buf *out, struct errtext *et)
{
	z_stream z = {0};
	if (data.n > UINT32_MAX)
		return err_set(et, ERR_TOO_LARGE, "too large to be compressed");
	if (deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_set(et, ERR_NOMEM, "no memory to compress");
	size_t room = deflateBound(&z, data.n);
	char *to = buf_reserve(out, room);
	enum err e = to ? OK : err_set(et, ERR_NOMEM, "no memory to compress");
	if (!e) {
		z.next_in = (Bytef *)data.p;
		z.avail_in = (uInt)data.n;
		z.next_out = (Bytef *)to;
		z.avail_out = (uInt)room;
		if (deflate(&z, Z_FINISH) != Z_STREAM_END)
			e = err_set(et, ERR_INTERNAL, "zlib did not finish");
		out->n += room - z.avail_out;
		out->p[out->n] = 0;
	}
	deflateEnd(&z);
	return e;
}
