/* One S3 request: signed, sent, and repeated when that may help.
 *
 *  - Repeated: no connection, a cut or slow answer, 408, 429, 500, 502, 503, 504, content that does
 *    not have its hash. Every request of this backend may be repeated: a put of the same bytes
 *    under the same name changes nothing.
 *  - The pause is random between 0 and a bound that doubles each time (full jitter), so that many
 *    servers do not come back at the same moment; a Retry-After is the least.
 *  - A refused clock (RequestTimeTooSkewed) is set right by the answer's Date, once.
 *  - Nothing that is told names the secret: errors have host, bucket and what the server said. */
#include "store/s3_int.h"
#include "base/clock.h"
#include "base/id.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { CONNECT_MS = 5000, IDLE_MS = 20000, RETRY_AFTER_MAX_MS = 30000 };
static const size_t body_max = (size_t)16 << 20;

struct attempt {
	const struct s3_call *c;
	struct s3_reply reply;
	struct sha256 sha;
	size_t got;
	uint8_t *to;
	int64_t retry_after_ms, date_ms;
	enum err err;
	struct errtext *et;
};

void s3_reply_release(struct s3_reply *r)
{
	buf_free(&r->body);
	os_unmap(&r->map);
}

void s3_key(const struct s3 *s, const char *hex, struct buf *out)
{
	struct str rest = str_c(s->url.prefix), part;
	bool more = rest.n > 0;
	while (more && str_next(&rest, '/', &part)) {
		url_encode(out, part);
		if (part.n || rest.n)
			buf_putc(out, '/');
	}
	buf_addf(out, "%.2s/%s", hex, hex + 2);
}

bool s3_key_parse(const struct s3 *s, struct str key, char hex[SHA256_HEX + 1])
{
	struct str prefix = str_c(s->url.prefix);
	if (!str_starts(key, prefix))
		return false;
	key = str_sub(key, prefix.n, key.n);
	if (key.n != SHA256_HEX + 1 || key.p[2] != '/')
		return false;
	memcpy(hex, key.p, 2);
	memcpy(hex + 2, key.p + 3, SHA256_HEX - 2);
	hex[SHA256_HEX] = 0;
	return strspn(hex, "0123456789abcdef") == SHA256_HEX;
}

/* ---- the answer ---- */

static int64_t http_date_ms(struct str s)
{
	char text[64];
	struct tm tm = {0};
	snprintf(text, sizeof text, "%.*s", STR_FMT(str_sub(s, 0, 60)));
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S", &tm);
	return end ? (int64_t)timegm(&tm) * 1000 : -1;
}

static void read_header(struct attempt *a, const struct http_pair *h)
{
	uint64_t v;
	if (str_eq_nocase(h->name, S("content-length")) && str_u64(h->value, &v))
		a->reply.length = (int64_t)MIN(v, (uint64_t)INT64_MAX);
	else if (str_eq_nocase(h->name, S("last-modified")))
		a->reply.modified_ms = http_date_ms(h->value);
	else if (str_eq_nocase(h->name, S("date")))
		a->date_ms = http_date_ms(h->value);
	else if (str_eq_nocase(h->name, S("retry-after")) && str_u64(h->value, &v))
		a->retry_after_ms = (int64_t)MIN(v * 1000, (uint64_t)RETRY_AFTER_MAX_MS);
	else if (str_eq_nocase(h->name, S("etag")) && h->value.n < sizeof a->reply.etag)
		memcpy(a->reply.etag, h->value.p, h->value.n), a->reply.etag[h->value.n] = 0;
}

/* Where the content goes: the caller's memory, a mapping as large as announced, or the buffer. */
static enum err make_room(struct attempt *a)
{
	int64_t n = a->reply.length;
	if (a->c->to) {
		a->to = a->c->to;
		return OK;
	}
	if (!a->c->map)
		return OK;
	if (n < 0)
		return err_set(
			a->et, ERR_NETWORK, "the S3 server does not say how long an object is");
	if (!n)
		return OK;
	void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return err_set(
			a->et, ERR_NOMEM, "no memory for an object of %lld bytes", (long long)n);
	a->reply.map = (struct os_map){p, (size_t)n};
	a->to = p;
	return OK;
}

static bool wants_content(const struct attempt *a)
{
	return (a->c->map || a->c->to) && a->reply.status / 100 == 2;
}

static enum err on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	struct attempt *a = ctx;
	a->reply.status = status;
	for (size_t i = 0; i < n; i++)
		read_header(a, &headers[i]);
	return wants_content(a) ? make_room(a) : OK;
}

static enum err on_data(void *ctx, struct str data)
{
	struct attempt *a = ctx;
	if (!wants_content(a)) {
		a->reply.body.max = body_max;
		buf_adds(&a->reply.body, data);
		return a->reply.body.err;
	}
	size_t room = a->c->to ? a->c->want : a->reply.map.n;
	if (data.n > room - a->got)
		return err_set(a->et, ERR_NETWORK, "the S3 server sent more than it was to");
	memcpy(a->to + a->got, data.p, data.n);
	if (a->sha.ctx)
		sha256_add(&a->sha, data.p, data.n);
	a->got += data.n;
	return OK;
}

static enum err check_content(struct attempt *a)
{
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	if (!wants_content(a))
		return OK;
	if (a->got != (a->c->to ? a->c->want : a->reply.map.n))
		return err_set(a->et, ERR_NETWORK, "the S3 server's answer was cut off");
	if (!a->c->verify)
		return OK;
	sha256_end(&a->sha, digest);
	hex_encode(digest, sizeof digest, hex);
	return strcmp(hex, a->c->verify) == 0 ? OK
					      : err_set(a->et, ERR_CORRUPT,
							"blob %.16s is damaged in the store: its "
							"content no longer has its "
							"hash",
							a->c->verify);
}

/* ---- one attempt ---- */

static void amz_date(const struct s3 *s, char out[24])
{
	time_t t = (time_t)((clock_unix_ms() + atomic_load(&s->skew_ms)) / 1000);
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(out, 24, "%Y%m%dT%H%M%SZ", &tm);
}

static size_t make_headers(const struct s3 *s, const struct s3_call *c, const char *payload,
	const char *date, struct http_pair h[10])
{
	size_t n = 0;
	h[n++] = (struct http_pair){S("host"), str_c(s->url.host)};
	if (c->range)
		h[n++] = (struct http_pair){S("range"), str_c(c->range)};
	h[n++] = (struct http_pair){S("x-amz-content-sha256"), str_c(payload)};
	if (c->copy_source)
		h[n++] = (struct http_pair){S("x-amz-copy-source"), str_c(c->copy_source)};
	h[n++] = (struct http_pair){S("x-amz-date"), str_c(date)};
	if (c->copy_source)
		h[n++] = (struct http_pair){S("x-amz-metadata-directive"), S("REPLACE")};
	if (s->url.token)
		h[n++] = (struct http_pair){S("x-amz-security-token"), str_c(s->url.token)};
	return n;
}

static enum err send_request(
	struct s3 *s, struct attempt *a, const char *payload, struct errtext *et)
{
	struct buf path = {0}, url = {0}, authorization = {0};
	struct http_pair h[10];
	char date[24];
	const struct s3_call *c = a->c;
	amz_date(s, date);
	buf_addf(&path, "/%s", s->url.bucket);
	if (c->hex) {
		buf_putc(&path, '/');
		s3_key(s, c->hex, &path);
	}
	size_t n = make_headers(s, c, payload, date, h);
	struct s3_signing sign = {&s->url, http_method_name(c->method), buf_str(&path), c->query, h,
		n, payload, date};
	s3_sign(&sign, &authorization);
	h[n++] = (struct http_pair){S("authorization"), buf_str(&authorization)};
	h[n++] = (struct http_pair){S("expect"), S("")};
	buf_addf(&url, "%s://%s%s%s%.*s", s->url.tls ? "https" : "http", s->url.host, buf_c(&path),
		c->query.n ? "?" : "", STR_FMT(c->query));
	struct client_request rq = {.method = c->method,
		.url = buf_c(&url),
		.headers = h,
		.n_headers = n,
		.body = c->body,
		.connect_ms = CONNECT_MS,
		.idle_ms = IDLE_MS,
		.reply_max = SIZE_MAX / 2,
		.keep = true,
		.on_head = on_head,
		.on_data = on_data,
		.ctx = a};
	struct client_reply reply = {0};
	enum err e = url.err || path.err || authorization.err
			     ? err_set(et, ERR_NOMEM, "no memory for a request")
			     : client_run(&rq, &reply, et);
	client_reply_free(&reply);
	buf_free(&path);
	buf_free(&url);
	buf_free(&authorization);
	return e;
}

static enum err refusal_kind(int status, const char *code)
{
	static const char *const forbidden[] = {
		"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"};
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (!strcmp(code, forbidden[i])) /* with whatever status */
			return ERR_FORBIDDEN;
	if (status == 507 || !strcmp(code, "QuotaExceeded"))
		return ERR_NO_SPACE;
	switch (status) {
	case 401:
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 416:
		return ERR_INVALID;
	case 429:
	case 503:
		return ERR_BUSY;
	default:
		return status >= 500 || status == 408 ? ERR_NETWORK : ERR_INVALID;
	}
}

static enum err refusal(const struct s3 *s, const struct attempt *a, struct errtext *et)
{
	int status = a->reply.status;
	struct s3_error x;
	s3_error_parse(buf_str(&a->reply.body), &x);
	enum err e = refusal_kind(status, x.code);
	if (e == ERR_NOT_FOUND && a->c->hex && strcmp(x.code, "NoSuchBucket") != 0 &&
		strcmp(x.code, "NoSuchUpload") != 0)
		return err_set(et, e, "blob %.16s is not stored here", a->c->hex);
	if (e == ERR_NOT_FOUND && !a->c->hex)
		return err_set(et, e, "the bucket %s does not exist at %s: create it first",
			s->url.bucket, s->url.host);
	return err_set(et, e, "S3 at %s, bucket %s, answered %d%s%s%s%s", s->url.host,
		s->url.bucket, status, x.code[0] ? " " : "", x.code, x.message[0] ? ": " : "",
		x.message);
}

static bool fix_clock(struct s3 *s, const struct attempt *a)
{
	struct s3_error x;
	if (a->reply.status != 403 || a->date_ms < 0)
		return false;
	s3_error_parse(buf_str(&a->reply.body), &x);
	if (strcmp(x.code, "RequestTimeTooSkewed") != 0)
		return false;
	atomic_store(&s->skew_ms, a->date_ms - clock_unix_ms());
	return true;
}

static enum err one_attempt(
	struct s3 *s, struct attempt *a, const char *payload, bool *again, struct errtext *et)
{
	if (a->c->verify && sha256_init(&a->sha))
		return err_set(et, ERR_NOMEM, "no memory for a hash");
	enum err e = send_request(s, a, payload, et);
	*again = e == ERR_NETWORK || e == ERR_TIMEOUT;
	if (!e && a->reply.status / 100 != 2) {
		int status = a->reply.status;
		*again = status == 408 || status == 429 || status == 500 || status == 502 ||
			 status == 503 || status == 504 || fix_clock(s, a);
		e = refusal(s, a, et);
	} else if (!e) {
		e = check_content(a);
		*again = e != OK;
	}
	if (a->sha.ctx)
		sha256_drop(&a->sha);
	return e;
}

static void pause_before(const struct s3 *s, unsigned try, int64_t least_ms)
{
	uint64_t bound = s->delay_ms, random;
	for (unsigned i = 1; i < try && bound < s->delay_max_ms; i++)
		bound *= 2;
	bound = MIN(bound, (uint64_t)s->delay_max_ms);
	random_bytes(&random, sizeof random);
	uint64_t ms = bound ? random % (bound + 1) : 0;
	clock_sleep_ms(MAX(ms, (uint64_t)least_ms));
}

enum err s3_run(struct s3 *s, const struct s3_call *c, struct s3_reply *out, struct errtext *et)
{
	char payload[SHA256_HEX + 1];
	if (c->payload)
		snprintf(payload, sizeof payload, "%s", c->payload);
	else
		sha256_hex_of(c->body, payload);
	for (unsigned try = 1;; try++) {
		struct errtext why = {0};
		struct attempt a = {.c = c,
			.reply = {.length = -1, .modified_ms = -1},
			.date_ms = -1,
			.et = &why};
		bool again = false;
		enum err e = one_attempt(s, &a, payload, &again, &why);
		if (!e) {
			*out = a.reply;
			return OK;
		}
		int64_t least_ms = a.retry_after_ms;
		s3_reply_release(&a.reply);
		if (!again || try >= s->tries) {
			if (et)
				*et = why;
			return again && try > 1 ? err_wrap(et, e, "after %u tries", try) : e;
		}
		pause_before(s, try, least_ms);
	}
}
