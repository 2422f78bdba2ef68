#include "net/http_int.h"
#include "tap.h"

/* ---- URLs and targets ---- */

static void test_net_http__url_coding(void)
{
	struct buf b = {0};
	url_encode(&b, S("a b/ü&c~"));
	CHECK_STR(buf_str(&b), "a%20b%2F%C3%BC%26c~");
	buf_clear(&b);
	url_decode(&b, S("a%20b+c%zz%4"), true);
	CHECK_STR(buf_str(&b), "a b c%zz%4");
	buf_free(&b);
}

static enum err target(struct arena *a, const char *text, struct http_request *rq)
{
	struct errtext et;
	struct str authority;
	*rq = (struct http_request){.arena = a};
	return http_parse_target(rq, str_c(text), &authority, &et);
}

static void test_net_http__target(void)
{
	struct arena *a = arena_new(1 << 20);
	struct http_request rq;
	CHECK_ERR(target(a, "/v1/models/org%2Fname:x?limit=5&q=a+b%26c&flag", &rq), OK);
	CHECK_STR(rq.path, "/v1/models/org/name:x");
	CHECK_STR(http_query(&rq, "limit"), "5");
	CHECK_STR(http_query(&rq, "q"), "a b&c");
	CHECK_STR(http_query(&rq, "flag"), "");
	CHECK(!http_query(&rq, "absent").p);
	CHECK_ERR(target(a, "http://127.0.0.1:80/x?y=1", &rq), OK);
	CHECK_STR(rq.path, "/x");
	static const char *const bad[] = {"", "x", "*", "/a/../b", "/a/%2e%2E/b", "/..", "/.",
		"/a%2f..%2fb", "/a\\..\\b", "/a%5c..", "/%", "/%4", "/%zz", "/%00", "/a%0ab",
		"/a?x=%", "/a?x=%00", "/%ff", "/a#b", "/a b", "/\x80"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (target(a, bad[i], &rq) != ERR_INVALID)
			FAIL("\"%s\" was accepted", bad[i]);
	CHECK_ERR(target(a, "/...", &rq), OK);
	CHECK_ERR(target(a, "/a..b/.c", &rq), OK);
	arena_free(a);
}

/* ---- heads ---- */

static int head_status(struct arena *a, struct str in, struct http_head *h)
{
	struct head_scan scan = {0};
	size_t end = 0;
	const char *why = "";
	/* a byte at a time must give what the whole gives */
	enum head_state st = HEAD_MORE;
	for (size_t n = 1; n <= in.n && st == HEAD_MORE; n++)
		st = http_scan_head(&scan, str_sub(in, 0, n), &end, &why);
	struct head_scan again = {0};
	size_t end2 = 0;
	CHECK_INT(http_scan_head(&again, in, &end2, &why), st);
	CHECK_INT(end, end2);
	if (st == HEAD_MORE)
		return -1;
	if (st != HEAD_DONE)
		return st == HEAD_TOO_MANY ? 431 : 400;
	return http_parse_head(str_sub(in, 0, end), a, h, &why);
}

static void test_net_http__heads(void)
{
	struct arena *a = arena_new(1 << 20);
	struct http_head h;
	CHECK_INT(head_status(a,
			  S("\r\nPOST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
			    "Connection: foo, Close\r\n\r\n"),
			  &h),
		0);
	CHECK_STR(h.method, "POST");
	CHECK_STR(h.target, "/x");
	CHECK_INT(h.length, 3);
	CHECK(!h.keep_alive);
	CHECK_INT(head_status(a, S("GET / HTTP/1.0\r\n\r\n"), &h), 0);
	CHECK(h.http10 && !h.keep_alive && !h.host.p);
#define BAD(status, text) CHECK_INT(head_status(a, S(text), &h), status)
	BAD(400, "GET /\r\n");
	BAD(400, "GET / HTTP/1.1\nHost: h\n\n");
	BAD(400, "GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n");
	BAD(400, "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n");
	BAD(400, "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n");
	BAD(400, "GET / HTTP/1.1\r\nHost: h\r\nA b\r\n\r\n");
	BAD(400, "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n");
	BAD(400, "GET / HTTP/1.1\r\n\r\n");
	BAD(400, "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n");
	BAD(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
	BAD(400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n");
	BAD(400, "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n");
	BAD(505, "PRI * HTTP/2.0\r\n\r\n");
	BAD(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n");
	BAD(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n");
	BAD(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n");
	BAD(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n");
	BAD(413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n");
	BAD(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n");
	BAD(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
	BAD(400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	BAD(417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n");
	BAD(-1, "GET / HTTP/1.1\r\nHost: a\r\n");
	arena_free(a);
}

static enum chunk_state dechunk_all(struct str in, size_t piece, struct buf *out)
{
	struct chunked c = {0};
	while (in.n) {
		struct str part = str_sub(in, 0, MIN(piece, in.n)), data;
		in = str_sub(in, part.n, in.n);
		for (;;) {
			enum chunk_state st = http_dechunk(&c, &part, &data);
			if (st == CHUNK_DATA)
				buf_adds(out, data);
			else if (st == CHUNK_MORE)
				break;
			else
				return st;
		}
	}
	return CHUNK_MORE;
}

static void test_net_http__chunked(void)
{
	struct str good = S("4;ext=1\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n");
	for (size_t piece = 1; piece <= good.n; piece++) {
		struct buf b = {0};
		CHECK_INT(dechunk_all(good, piece, &b), CHUNK_END);
		CHECK_STR(buf_str(&b), "Wikipedia");
		buf_free(&b);
	}
	static const char *const bad[] = {"FFFFFFFFFFFFFFFFF\r\n", "-1\r\n", "\r\n", "4\nWiki",
		"4\r\nWikiX", "4\r\nWiki\rX", "x\r\n", "4 \r\nWiki", "0\r\n\rX"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = {0};
		if (dechunk_all(str_c(bad[i]), 1, &b) != CHUNK_BAD)
			FAIL("\"%s\" was accepted", bad[i]);
		buf_free(&b);
	}
}

static void test_net_http__hosts(void)
{
	static const struct {
		const char *in, *name, *port;
	} good[] = {{"LocalHost:7117", "localhost", "7117"}, {"[::1]:80", "[::1]", "80"},
		{"[::1]", "[::1]", ""}, {"a.example", "a.example", ""}};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct buf b = {0};
		struct str port;
		CHECK(http_host_name(str_c(good[i].in), &b, &port));
		CHECK_STR(buf_str(&b), good[i].name);
		CHECK_STR(port, good[i].port);
		buf_free(&b);
	}
	static const char *const bad[] = {
		"", ":80", "a:b", "a b", "[::1", "[::1]x", "a/b", "u@h", "a:123456"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = {0};
		struct str port;
		if (http_host_name(str_c(bad[i]), &b, &port))
			FAIL("\"%s\" was accepted", bad[i]);
		buf_free(&b);
	}
}

/* ---- multipart ---- */

static enum err form(
	struct arena *a, const char *type, struct str body, struct http_part **p, size_t *n)
{
	struct http_pair h = {S("Content-Type"), str_c(type)};
	struct http_request rq = {.arena = a, .headers = &h, .n_headers = 1, .body = body};
	struct errtext et;
	return http_multipart(&rq, p, n, &et);
}

static void test_net_http__multipart(void)
{
	struct arena *a = arena_new(1 << 20);
	struct http_part *p;
	size_t n;
	CHECK_ERR(form(a, "multipart/form-data; boundary=\"x y\"",
			  S("--x y\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\na,b\r\n"
			    "--x y\r\ncontent-disposition: form-data; name=\"f%22\"; "
			    "filename=\"C:\\dir\\re\\\"p.txt\"\r\n"
			    "Content-Type: text/plain\r\n\r\nline\r\n--x\r\n\r\n"
			    "--x y\r\nContent-Disposition: form-data; name=f; filename=\"x\"; "
			    "filename*=UTF-8''..%2F%C3%BC.pdf\r\n\r\n\r\n--x y--\r\nepilogue"),
			  &p, &n),
		OK);
	CHECK_INT(n, 3);
	CHECK_STR(p[0].name, "tags");
	CHECK_STR(p[0].data, "a,b");
	CHECK_STR(p[1].name, "f\"");
	CHECK_STR(p[1].filename, "re\"p.txt");
	CHECK_STR(p[1].type, "text/plain");
	CHECK_STR(p[1].data, "line\r\n--x\r\n");
	CHECK_STR(p[2].filename, "ü.pdf");
	CHECK_INT(p[2].data.n, 0);
	CHECK_ERR(form(a, "text/plain", S("hello"), &p, &n), OK);
	CHECK_INT(n, 1);
	CHECK_STR(p[0].data, "hello");
	CHECK_ERR(form(a, "multipart/form-data; boundary=b", S("--b--\r\n"), &p, &n), OK);
	CHECK_INT(n, 0);
	static const char *const bad[] = {"", "x", "--b", "--b\r\n", "--b\r\n\r\nx\r\n--b--",
		"--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--",
		"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx",
		"--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--",
		"--bX\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--",
		("--b\r\nContent-Disposition: form-data; name=a; "
		 "filename=\"\x01\"\r\n\r\nx\r\n--b--")};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (form(a, "multipart/form-data; boundary=b", str_c(bad[i]), &p, &n) !=
			ERR_INVALID)
			FAIL("form %zu was accepted", i);
	CHECK_ERR(form(a, "multipart/form-data", S("--b--"), &p, &n), ERR_INVALID);
	CHECK_ERR(form(a, "multipart/form-data; boundary=", S("--b--"), &p, &n), ERR_INVALID);
	arena_free(a);
}

/* ---- in this process ---- */

struct got {
	int status;
	struct buf headers, body;
	unsigned pieces, stop_after;
};

static void on_head(void *ctx, int status, const struct http_pair *headers, size_t n)
{
	struct got *g = ctx;
	g->status = status;
	for (size_t i = 0; i < n; i++)
		buf_addf(&g->headers, "%.*s: %.*s\n", STR_FMT(headers[i].name),
			STR_FMT(headers[i].value));
}

static enum err on_data(void *ctx, struct str data)
{
	struct got *g = ctx;
	buf_adds(&g->body, data);
	return ++g->pieces == g->stop_after ? ERR_CORRUPT : OK;
}

static void handler(void *app, struct http_request *rq, struct http_response *rs)
{
	unsigned *written = app;
	struct errtext et;
	if (str_eq_c(rq->path, "/hello")) {
		http_set_header(rs, "x-odd", S("a\r\nset-cookie: b"));
		http_reply(rs, 200, "text/plain", http_query(rq, "name"));
	} else if (str_eq_c(rq->path, "/echo")) {
		http_reply(rs, 200, "text/plain", rq->body);
	} else if (str_eq_c(rq->path, "/events")) {
		http_sse_begin(rs);
		http_sse_event(rs, "one", S("a\nb"));
		http_sse_event(rs, NULL, S(""));
		for (*written = 0; *written < 100; ++*written)
			if (http_sse_event(rs, NULL, S("x")))
				break;
		if (*written < 100 && !cancelled(rq->cancel))
			*written = 1000;
	} else if (str_eq_c(rq->path, "/error")) {
		http_reply_error(rs, err_set(&et, ERR_CONFLICT, "it is \"taken\""), &et);
	}
}

static enum err local(unsigned *app, enum http_method m, const char *path, struct got *g)
{
	struct http_local to = {on_head, on_data, g};
	struct errtext et;
	return http_local_run(handler, app, m, str_c(path), NULL, 0, S("body"), NULL, &to, &et);
}

static bool has(struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_c(text)) != STR_NONE;
}

static void test_net_http__local(void)
{
	unsigned written = 0;
	struct got g = {0};
	CHECK_ERR(local(&written, HTTP_GET, "/hello?name=%C3%BC", &g), OK);
	CHECK_INT(g.status, 200);
	CHECK_STR(buf_str(&g.body), "ü");
	CHECK(has(&g.headers, "x-content-type-options: nosniff\n"));
	CHECK(has(&g.headers, "referrer-policy: no-referrer\n"));
	CHECK(has(&g.headers, "x-request-id: "));
	CHECK(has(&g.headers, "x-odd: a  set-cookie: b\n"));
	buf_clear(&g.body);
	CHECK_ERR(local(&written, HTTP_HEAD, "/hello?name=x", &g), OK);
	CHECK_INT(g.body.n, 0);
	CHECK_ERR(local(&written, HTTP_POST, "/echo", &g), OK);
	CHECK_STR(buf_str(&g.body), "body");
	CHECK_ERR(local(&written, HTTP_POST, "/a/../echo", &g), ERR_INVALID);
	buf_clear(&g.body);
	CHECK_ERR(local(&written, HTTP_GET, "/error", &g), OK);
	CHECK_INT(g.status, 409);
	CHECK_STR(buf_str(&g.body),
		"{\"error\":{\"code\":\"conflict\",\"message\":\"it is "
		"\\\"taken\\\"\",\"type\":\"invalid_request_error\",\"param\":null}}");
	CHECK(has(&g.headers, "x-should-retry: false\n"));
	CHECK_ERR(local(&written, HTTP_GET, "/nothing", &g), OK);
	CHECK_INT(g.status, 500);
	buf_free(&g.body);
	buf_free(&g.headers);
}

static void test_net_http__local_stream(void)
{
	unsigned written = 0;
	struct got g = {0};
	CHECK_ERR(local(&written, HTTP_GET, "/events", &g), OK);
	CHECK(str_starts(
		buf_str(&g.body), S("event: one\ndata: a\ndata: b\n\ndata: \n\ndata: x\n")));
	CHECK_INT(written, 100);
	buf_free(&g.body);
	buf_free(&g.headers);
	/* a receiver that refuses ends the handler, and its reason is the result */
	g = (struct got){.stop_after = 5};
	CHECK_ERR(local(&written, HTTP_GET, "/events", &g), ERR_CORRUPT);
	CHECK(written < 5);
	buf_free(&g.body);
	buf_free(&g.headers);
}

TESTS(T(test_net_http__url_coding), T(test_net_http__target), T(test_net_http__heads),
	T(test_net_http__chunked), T(test_net_http__hosts), T(test_net_http__multipart),
	T(test_net_http__local), T(test_net_http__local_stream))
