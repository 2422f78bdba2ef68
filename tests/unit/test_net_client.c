/* The client against our own server and against servers that misbehave. */
#include "base/clock.h"
#include "net/client.h"
#include "net/server.h"
#include "tap.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

struct app {
	struct server *other; /* where /away redirects to */
	struct buf seen;
	pthread_mutex_t mu;
};

static void handler(void *arg, struct http_request *rq, struct http_response *rs)
{
	struct app *app = arg;
	struct buf b = {0};
	if (str_eq_c(rq->path, "/echo")) {
		buf_addf(&b, "%s %.*s [%.*s] %.*s", http_method_name(rq->method),
			STR_FMT(http_header(rq, "content-type")),
			STR_FMT(http_header(rq, "authorization")), STR_FMT(rq->body));
		http_reply(rs, 200, "text/plain", buf_str(&b));
	} else if (str_eq_c(rq->path, "/loop")) {
		http_set_header(rs, "location", S("/loop"));
		http_reply(rs, 302, "text/plain", S("not wanted"));
	} else if (str_eq_c(rq->path, "/near")) {
		http_set_header(rs, "location", S("echo"));
		http_reply(rs, 302, "text/plain", S("not wanted"));
	} else if (str_eq_c(rq->path, "/away")) {
		buf_addf(&b, "http://%s/echo", server_address(app->other));
		http_set_header(rs, "location", buf_str(&b));
		http_reply(rs, 307, "text/plain", S("not wanted"));
	} else if (str_eq_c(rq->path, "/big")) {
		char block[1000] = {0};
		http_stream_begin(rs, 200, "text/plain");
		for (int i = 0; i < 1000; i++)
			if (http_stream_write(rs, str_mk(block, sizeof block)))
				break;
	} else if (str_eq_c(rq->path, "/silent")) {
		for (int i = 0; i < 500 && !cancelled(rq->cancel); i++)
			clock_sleep_ms(10);
		http_reply(rs, 200, "text/plain", S("late"));
	} else {
		struct errtext et;
		http_reply_error(rs, err_set(&et, ERR_NOT_FOUND, "nothing"), &et);
	}
	buf_free(&b);
}

static struct server *start(struct app *app)
{
	struct errtext et;
	struct server *s = NULL;
	struct server_options o = {.listen = "127.0.0.1:0",
		.workers = 4,
		.queue_max = 16,
		.connections_max = 64,
		.header_max = 16384,
		.body_max = 1 << 20,
		.body_memory_max = 65536,
		.spool_dir = tap_tmpdir(),
		.handler = handler,
		.app = app};
	CHECK_OK(server_start(&o, &s, &et), &et);
	return s;
}

static const char *url(const struct server *s, const char *path)
{
	static char text[200];
	snprintf(text, sizeof text, "http://%s%s", server_address(s), path);
	return text;
}

static void test_net_client__exchanges(void)
{
	struct app app = {0};
	struct server *s = start(&app);
	struct errtext et;
	struct http_pair h = {S("Authorization"), S("Bearer k")};
	struct client_request rq = {.method = HTTP_POST,
		.url = url(s, "/echo"),
		.headers = &h,
		.n_headers = 1,
		.body = S("hello")};
	struct client_reply r;
	CHECK_OK(client_run(&rq, &r, &et), &et);
	CHECK_INT(r.status, 200);
	CHECK_STR(buf_str(&r.body), "POST  [Bearer k] hello");
	client_reply_free(&r);
	rq = (struct client_request){.method = HTTP_DELETE, .url = url(s, "/echo")};
	CHECK_OK(client_run(&rq, &r, &et), &et);
	CHECK_STR(buf_str(&r.body), "DELETE  [] ");
	client_reply_free(&r);
	rq = (struct client_request){.method = HTTP_GET, .url = url(s, "/nothing")};
	CHECK_OK(client_run(&rq, &r, &et), &et);
	CHECK_INT(r.status, 404);
	client_reply_free(&r);
	rq.url = url(s, "/big");
	rq.reply_max = 5000;
	CHECK_ERR(client_run(&rq, &r, &et), ERR_TOO_LARGE);
	server_stop(s, 1000);
}

static void test_net_client__redirects(void)
{
	struct app other = {0}, app = {0};
	app.other = start(&other);
	struct server *s = start(&app);
	struct errtext et;
	struct http_pair h = {S("Authorization"), S("Bearer k")};
	struct client_request rq = {
		.method = HTTP_GET, .url = url(s, "/near"), .headers = &h, .n_headers = 1};
	struct client_reply r;
	CHECK_OK(client_run(&rq, &r, &et), &et);
	CHECK_STR(buf_str(&r.body), "GET  [Bearer k] ");
	CHECK(str_ends(buf_str(&r.final_url), S("/echo")));
	client_reply_free(&r);
	/* another port is another server: it does not get the key */
	rq.url = url(s, "/away");
	CHECK_OK(client_run(&rq, &r, &et), &et);
	CHECK_STR(buf_str(&r.body), "GET  [] ");
	client_reply_free(&r);
	rq.url = url(s, "/loop");
	CHECK_ERR(client_run(&rq, &r, &et), ERR_NETWORK);
	rq.method = HTTP_POST; /* not followed: the answer is passed on */
	CHECK_OK(client_run(&rq, &r, &et), &et);
	CHECK_INT(r.status, 302);
	client_reply_free(&r);
	server_stop(s, 1000);
	server_stop(app.other, 1000);
}

static enum err take(void *ctx, struct str data)
{
	size_t *n = ctx;
	*n += data.n;
	return *n > 3000 ? ERR_CORRUPT : OK;
}

static void *cancel_soon(void *arg)
{
	clock_sleep_ms(200);
	cancel_set(arg);
	return NULL;
}

static void test_net_client__ends(void)
{
	struct app app = {0};
	struct server *s = start(&app);
	struct errtext et;
	struct client_reply r;
	size_t n = 0;
	struct client_request rq = {
		.method = HTTP_GET, .url = url(s, "/big"), .on_data = take, .ctx = &n};
	CHECK_ERR(client_run(&rq, &r, &et), ERR_CORRUPT);
	struct cancel cancel = {0};
	pthread_t t;
	rq = (struct client_request){
		.method = HTTP_GET, .url = url(s, "/silent"), .cancel = &cancel};
	CHECK_OK(thread_start(&t, cancel_soon, &cancel, "cancel", &et), &et);
	uint64_t from = clock_mono_ns();
	CHECK_ERR(client_run(&rq, &r, &et), ERR_CANCELLED);
	CHECK(clock_mono_ns() - from < 2000000000u);
	pthread_join(t, NULL);
	rq.cancel = NULL;
	rq.total_ms = 300;
	CHECK_ERR(client_run(&rq, &r, &et), ERR_TIMEOUT);
	server_stop(s, 3000);
	rq.url = "http://127.0.0.1:1/";
	CHECK_ERR(client_run(&rq, &r, &et), ERR_NETWORK);
	rq.url = "file:///etc/passwd";
	CHECK_ERR(client_run(&rq, &r, &et), ERR_INVALID);
	rq.url = "not a url";
	CHECK_ERR(client_run(&rq, &r, &et), ERR_INVALID);
}

static bool is_public(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return client_address_public((void *)&v4);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return client_address_public((void *)&v6);
	FAIL("%s is no address", text);
	return false;
}

static void test_net_client__public_addresses(void)
{
	static const char *const open[] = {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255",
		"100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.0.1", "198.20.0.1",
		"223.255.255.255", "2606:4700::1111", "2400:cb00::1", "::ffff:1.1.1.1",
		"64:ff9b::101:101", "2002:101:101::1"};
	static const char *const inside[] = {"0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1",
		"127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
		"192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
		"::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001::1", "2001:db8::1",
		"3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "100::1",
		"4000::1", "::7f00:1"};
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (!is_public(open[i]))
			FAIL("%s is public", open[i]);
	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		if (is_public(inside[i]))
			FAIL("%s is not public", inside[i]);
}

/* The server is there and answers: it must not have been asked. */
static void test_net_client__public_only(void)
{
	struct app app = {0};
	struct server *s = start(&app);
	struct errtext et;
	struct client_reply r;
	struct client_request rq = {
		.method = HTTP_GET, .url = url(s, "/echo"), .public_only = true};
	CHECK_ERR(client_run(&rq, &r, &et), ERR_FORBIDDEN);
	CHECK(app.seen.n == 0);
	rq.public_only = false;
	CHECK_OK(client_run(&rq, &r, &et), &et);
	client_reply_free(&r);
	server_stop(s, 3000);
	buf_free(&app.seen);
}

TESTS(T(test_net_client__public_addresses), T(test_net_client__public_only),
	T(test_net_client__exchanges), T(test_net_client__redirects), T(test_net_client__ends))
