/* The server against raw sockets: limits, bad requests, slow and vanishing clients; most of it once
 * more over TLS. */
#include "base/clock.h"
#include "base/os.h"
#include "net/server.h"
#include "net/tls.h"
#include "tap.h"
#include "tls_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct app {
	atomic_int cancelled_seen, running;
	atomic_bool release;
};

/* Waits until the client is gone or the test says so. */
static void hold(struct app *app, struct http_request *rq, bool streaming, struct http_response *rs)
{
	atomic_fetch_add(&app->running, 1);
	uint64_t end = clock_mono_ns() + 20ull * 1000000000;
	while (!cancelled(rq->cancel) && !atomic_load(&app->release) && clock_mono_ns() < end)
		clock_sleep_ms(10);
	if (cancelled(rq->cancel))
		atomic_fetch_add(&app->cancelled_seen, 1);
	atomic_fetch_sub(&app->running, 1);
	if (!streaming)
		http_reply(rs, 200, "text/plain", S("held"));
}

static void handler(void *arg, struct http_request *rq, struct http_response *rs)
{
	struct app *app = arg;
	if (str_eq_c(rq->path, "/healthz")) {
		http_reply(rs, 200, "text/plain", S("ok"));
	} else if (str_eq_c(rq->path, "/echo")) {
		http_reply(rs, 200, "application/octet-stream", rq->body);
	} else if (str_eq_c(rq->path, "/hold")) {
		hold(app, rq, false, rs);
	} else if (str_eq_c(rq->path, "/idle")) {
		http_sse_begin(rs);
		hold(app, rq, true, rs);
	} else if (str_eq_c(rq->path, "/flood")) {
		static const char block[4096];
		http_stream_begin(rs, 200, "application/octet-stream");
		for (int i = 0; i < 25600; i++) /* 100 MiB */
			if (http_stream_write(rs, str_mk(block, sizeof block)))
				break;
		if (cancelled(rq->cancel))
			atomic_fetch_add(&app->cancelled_seen, 1);
	} else if (str_eq_c(rq->path, "/events")) {
		http_sse_begin(rs);
		for (int i = 0; i < 3; i++) {
			char text[16];
			snprintf(text, sizeof text, "%d", i);
			http_sse_event(rs, NULL, str_c(text));
		}
	} else if (str_eq_c(rq->path, "/big")) {
		static char big[1 << 20];
		http_reply_static(rs, 200, "application/octet-stream", str_mk(big, sizeof big));
	} else if (str_eq_c(rq->path, "/none")) {
		http_reply(rs, 204, NULL, S(""));
	}
}

static bool check(void *arg, struct http_request *rq, struct http_response *rs)
{
	struct errtext et;
	if (!str_starts(rq->path, S("/secret")))
		return true;
	http_reply_error(rs, err_set(&et, ERR_UNAUTHENTICATED, "no key"), &et);
	return false;
}

struct fixture {
	struct app app;
	struct server *s;
	struct server_options o;
};

static bool over_tls; /* in this test's process */
static struct tls *server_tls;

static void start(struct fixture *f)
{
	struct errtext et;
	struct server_options o = f->o;
	if (over_tls) {
		tls_client_ctx(); /* made before there are threads */
		tls_make_cert("server", "ec");
		struct tls_options to = {
			.cert = tls_file("server.pem"), .key = tls_file("server.key")};
		CHECK_OK(tls_open(&to, &server_tls, &et), &et);
		o.tls = server_tls;
	}
	o.listen = "127.0.0.1:0";
	o.workers = o.workers ? o.workers : 4;
	o.queue_max = o.queue_max ? o.queue_max : 64;
	o.connections_max = o.connections_max ? o.connections_max : 256;
	o.header_max = 16384;
	o.body_max = 4 << 20;
	o.body_memory_max = 65536;
	o.spool_dir = tap_tmpdir();
	o.allowed_hosts = "x, other.example";
	o.handler = handler;
	o.check = check;
	o.app = &f->app;
	CHECK_OK(server_start(&o, &f->s, &et), &et);
}

static int dial(const struct fixture *f)
{
	const char *address = server_address(f->s);
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		FAIL("connect: %s", strerror(errno));
	return over_tls ? tls_pump(fd) : fd;
}

static bool put(int fd, struct str data)
{
	while (data.n) {
		ssize_t n = send(fd, data.p, data.n, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data = str_sub(data, (size_t)n, data.n);
	}
	return true;
}

/* Reads until the end, `want` bytes of answer, or ms without a byte. */
static struct str get(int fd, struct buf *b, size_t want, int ms)
{
	while (b->n < want) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, ms) <= 0)
			break;
		char *room = buf_reserve(b, 65536);
		ssize_t n = recv(fd, room, 65536, 0);
		if (n <= 0)
			break;
		b->n += (size_t)n;
	}
	return buf_str(b);
}

static int status_of(struct str answer)
{
	int64_t status = 0;
	if (!str_starts(answer, S("HTTP/1.1 ")) || !str_i64(str_sub(answer, 9, 12), &status))
		return 0;
	return (int)status;
}

static int ask(const struct fixture *f, struct str request, struct buf *answer)
{
	int fd = dial(f);
	put(fd, request);
	int status = status_of(get(fd, answer, SIZE_MAX, 10000));
	close(fd);
	return status;
}

#define GET(path) S("GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

static void check_alive(const struct fixture *f)
{
	struct buf b = {0};
	CHECK_INT(ask(f, GET("/healthz"), &b), 200);
	CHECK(str_ends(buf_str(&b), S("\r\n\r\nok")));
	buf_free(&b);
}

static bool has(const struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_c(text)) != STR_NONE;
}

static bool soon(atomic_int *v, int want, unsigned ms)
{
	for (unsigned i = 0; i < ms / 10 && atomic_load(v) != want; i++)
		clock_sleep_ms(10);
	return atomic_load(v) == want;
}

static void test_net_server__answers(void)
{
	struct fixture f = {0};
	struct buf b = {0};
	start(&f);
	check_alive(&f);
	CHECK_INT(ask(&f, S("HEAD /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
			  &b),
		200);
	CHECK(has(&b, "content-length: 1048576\r\n") && str_ends(buf_str(&b), S("\r\n\r\n")));
	CHECK(has(&b, "x-content-type-options: nosniff\r\n") && has(&b, "x-request-id: "));
	buf_clear(&b);
	CHECK_INT(ask(&f, GET("/big"), &b), 200);
	CHECK(b.n > (1 << 20));
	buf_clear(&b);
	CHECK_INT(ask(&f, GET("/none"), &b), 204);
	CHECK(!has(&b, "content-length"));
	buf_clear(&b);
	CHECK_INT(ask(&f, GET("/unanswered"), &b), 500);
	buf_clear(&b);
	CHECK_INT(ask(&f, GET("/events"), &b), 200);
	CHECK(has(&b, "content-type: text/event-stream\r\n"));
	CHECK(has(&b, "9\r\ndata: 0\n\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"));
	buf_clear(&b);
	CHECK_INT(ask(&f, S("GET /events HTTP/1.0\r\n\r\n"), &b), 200);
	CHECK(str_ends(buf_str(&b), S("\r\n\r\ndata: 0\n\ndata: 1\n\ndata: 2\n\n")));
	buf_clear(&b);
	CHECK_INT(ask(&f, S("POST /secret HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"), &b),
		401);
	CHECK(has(&b, "connection: close\r\n"));
	buf_clear(&b);
	/* keep-alive and pipelining: answers in order on one connection */
	int fd = dial(&f);
	put(fd, S("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
		  "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"
		  "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n"
		  "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
	get(fd, &b, SIZE_MAX, 5000);
	size_t one = str_find(buf_str(&b), S("\r\n\r\none")),
	       two = str_find(buf_str(&b), S("\r\n\r\ntwo")), no = str_find(buf_str(&b), S("401"));
	CHECK(one < two && two < no && no != STR_NONE && str_ends(buf_str(&b), S("ok")));
	close(fd);
	struct server_stats st;
	server_stats(f.s, &st);
	CHECK(st.requests >= 10 && st.bytes_out > (1 << 20) && st.refused >= 2);
	server_stop(f.s, 1000);
	buf_free(&b);
}

static void test_net_server__bodies(void)
{
	struct fixture f = {0};
	start(&f);
	/* in memory, spooled, and byte for byte the same; then one too many */
	static const size_t sizes[] = {1, 65535, 65536, 65537, 1 << 20, 4 << 20};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct buf rq = {0}, b = {0};
		buf_addf(&rq,
			"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
			"%zu\r\n\r\n",
			sizes[i]);
		size_t head = rq.n;
		for (size_t k = 0; k < sizes[i]; k++)
			buf_putc(&rq, (char)(k * 7 + k / 251));
		CHECK_INT(ask(&f, buf_str(&rq), &b), 200);
		CHECK(str_ends(buf_str(&b), str_sub(buf_str(&rq), head, rq.n)));
		buf_free(&rq);
		buf_free(&b);
	}
	struct buf b = {0}, rq = {0};
	CHECK_INT(ask(&f, S("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4194305\r\n\r\nx"),
			  &b),
		413);
	buf_clear(&b);
	buf_addc(&rq,
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400001\r\n");
	for (size_t k = 0; k < 0x400001; k++)
		buf_putc(&rq, 'x');
	CHECK_INT(ask(&f, buf_str(&rq), &b), 413);
	buf_clear(&b);
	int fd = dial(&f);
	put(fd, S("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
		  "Expect: 100-continue\r\n\r\n"));
	CHECK_STR(get(fd, &b, 25, 2000), "HTTP/1.1 100 Continue\r\n\r\n");
	put(fd, S("hi"));
	buf_clear(&b);
	CHECK_INT(status_of(get(fd, &b, 400, 300)), 200);
	close(fd);
	server_stop(f.s, 1000);
	buf_free(&b);
	buf_free(&rq);
}

static void test_net_server__refuses(void)
{
	struct fixture f = {0};
	struct buf b = {0};
	start(&f);
#define REFUSED(status, text)                            \
	do {                                             \
		buf_clear(&b);                           \
		CHECK_INT(ask(&f, S(text), &b), status); \
	} while (0)
	REFUSED(421, "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: evil.example\r\n\r\n");
	REFUSED(421, "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: 10.0.0.1\r\n\r\n");
	REFUSED(421, "GET http://evil.example/healthz HTTP/1.1\r\nConnection: close\r\nHost: "
		     "localhost\r\n\r\n");
	REFUSED(200,
		"GET /healthz HTTP/1.1\r\nHost: Other.Example:80\r\nConnection: close\r\n\r\n");
	REFUSED(403, "DELETE /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nOrigin: "
		     "http://evil.example\r\n\r\n");
	REFUSED(403,
		"PATCH /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nOrigin: null\r\n\r\n");
	REFUSED(403, "POST /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nOrigin: "
		     "http://x:8080\r\n\r\n");
	REFUSED(403, "POST /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nSec-Fetch-Site: "
		     "cross-site\r\n\r\n");
	REFUSED(over_tls ? 403 : 200, "POST /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\n"
				      "Origin: http://x\r\n\r\n");
	REFUSED(200, "POST /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nOrigin: "
		     "https://x\r\n\r\n");
	REFUSED(200, "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nOrigin: "
		     "http://evil.example\r\n\r\n");
	REFUSED(501, "BREW / HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n");
	REFUSED(400, "GET /a/%2e%2e/b HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n");
	REFUSED(400, "GET /%zz HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n");
	REFUSED(505, "PRI * HTTP/2.0\r\n\r\n");
	REFUSED(400, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
	buf_clear(&b);
	struct buf rq = {0};
	buf_addc(&rq, "GET /");
	for (int i = 0; i < 20000; i++)
		buf_putc(&rq, 'a');
	CHECK_INT(ask(&f, buf_str(&rq), &b), 414);
	buf_clear(&b);
	buf_clear(&rq);
	buf_addc(&rq, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
	for (int i = 0; i < 20000; i++)
		buf_putc(&rq, 'a');
	CHECK_INT(ask(&f, buf_str(&rq), &b), 431);
	check_alive(&f);
	server_stop(f.s, 1000);
	buf_free(&b);
	buf_free(&rq);
}

/* Every raw request of the corpus: a refusal or the end of the connection, then life goes on. */
static void test_net_server__bad_corpus(void)
{
	const char *archive = tap_shared("badinput/badinput.tar.xz");
	char command[1024];
	snprintf(command, sizeof command, "tar -xJf '%s' -C '%s' http", archive, tap_tmpdir());
	if (system(command) != 0)
		SKIP("tar cannot unpack the corpus");
	static const struct {
		const char *name;
		int status, status2;
	} rows[] = {{"cl_te", 400, 400}, {"te_obf", 400, 400}, {"neg_cl", 400, 400},
		{"chunk_overflow", 400, 400}, {"bare_lf", 400, 400}, {"nul_header", 400, 400},
		{"hdr_10k", 431, 431}, {"pipeline_10k", 200, 200}, {"two_hosts", 400, 400},
		{"delete_csrf", 403, 403}, {"http09", 400, 400}};
	struct fixture f = {0};
	start(&f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[1024];
		struct buf rq = {0}, b = {0};
		struct errtext et;
		snprintf(path, sizeof path, "%s/http/%s.txt", tap_tmpdir(), rows[i].name);
		CHECK_OK(os_read_file(path, 0, &rq, &et), &et);
		int fd = dial(&f);
		/* the answers are read while sending: 10,000 of them fill every buffer */
		struct str rest = buf_str(&rq);
		while (rest.n) {
			struct str part = str_sub(rest, 0, 4096);
			rest = str_sub(rest, part.n, rest.n);
			if (!put(fd, part))
				break;
			get(fd, &b, SIZE_MAX, 0);
		}
		if (strcmp(rows[i].name, "pipeline_10k") != 0)
			shutdown(fd, SHUT_WR);
		get(fd, &b, SIZE_MAX, 1000);
		close(fd);
		int status = status_of(buf_str(&b));
		if (status != rows[i].status && !(status == 0 && b.n == 0 && rows[i].status != 200))
			FAIL("%s: status %d, not %d", rows[i].name, status, rows[i].status);
		if (!strcmp(rows[i].name, "pipeline_10k")) {
			size_t n = 0, at = 0;
			while ((at = str_find(buf_str(&b), S("HTTP/1.1 200"))) != STR_NONE) {
				n++;
				memmove(b.p, b.p + at + 12, b.n - at - 12);
				b.n -= at + 12;
			}
			CHECK_INT(n, 10000);
		}
		buf_free(&rq);
		buf_free(&b);
		check_alive(&f);
	}
	server_stop(f.s, 1000);
}

static void test_net_server__client_leaves(void)
{
	struct fixture f = {0};
	struct buf b = {0};
	start(&f);
	/* in the middle of a stream, and while an ordinary answer is computed */
	static const char *const paths[] = {"/idle", "/hold"};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int fd = dial(&f);
		struct buf rq = {0};
		buf_addf(&rq, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
		put(fd, buf_str(&rq));
		CHECK(soon(&f.app.running, 1, 2000));
		if (i == 0)
			CHECK_INT(status_of(get(fd, &b, 100, 2000)), 200);
		uint64_t from = clock_mono_ns();
		close(fd);
		CHECK(soon(&f.app.cancelled_seen, (int)i + 1, 1000));
		tap_note("%s: noticed after %.1f ms", paths[i],
			(double)(clock_mono_ns() - from) / 1e6);
		buf_free(&rq);
	}
	/* one that is only done with sending: a stream that is cut for it does not look complete */
	int fd = dial(&f);
	buf_clear(&b);
	put(fd, S("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n"));
	shutdown(fd, SHUT_WR);
	CHECK(soon(&f.app.cancelled_seen, 3, 2000));
	CHECK(!str_ends(get(fd, &b, SIZE_MAX, 2000), S("\r\n0\r\n\r\n")));
	close(fd);
	server_stop(f.s, 1000);
	buf_free(&b);
}

static void test_net_server__slow_clients(void)
{
	struct fixture f = {.o = {.read_timeout_ms = 600, .write_timeout_ms = 600}};
	struct buf b = {0};
	start(&f);
	/* slow loris: heads that never end, bodies that trickle */
	int lorises[40];
	for (size_t i = 0; i < ARRAY_LEN(lorises); i++) {
		lorises[i] = dial(&f);
		put(lorises[i],
			i % 2 ? S("GET /healthz HTTP/1.1\r\nHo")
			      : S("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"));
	}
	/* readers that do not read */
	int lazy[3];
	for (size_t i = 0; i < ARRAY_LEN(lazy); i++) {
		lazy[i] = dial(&f);
		put(lazy[i], S("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n"));
	}
	uint64_t from = clock_mono_ns();
	check_alive(&f); /* one worker of four is left: others are not harmed */
	double ms = (double)(clock_mono_ns() - from) / 1e6;
	tap_note("another request took %.1f ms meanwhile", ms);
	CHECK(ms < 400);
	CHECK(soon(&f.app.cancelled_seen, 3, 5000)); /* the lazy lose their streams */
	for (size_t i = 0; i < ARRAY_LEN(lorises); i++) {
		buf_clear(&b);
		CHECK_INT(status_of(get(lorises[i], &b, SIZE_MAX, 3000)), 408);
		close(lorises[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(lazy); i++)
		close(lazy[i]);
	check_alive(&f);
	server_stop(f.s, 1000);
	buf_free(&b);
}

static void test_net_server__saturated(void)
{
	struct fixture f = {.o = {.workers = 1, .queue_max = 1, .connections_max = 6}};
	struct buf b = {0};
	start(&f);
	int a = dial(&f), q = dial(&f), full = dial(&f);
	put(a, S("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
	CHECK(soon(&f.app.running, 1, 2000));
	put(q, S("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
	struct server_stats st;
	for (int i = 0; i < 200; i++) {
		server_stats(f.s, &st);
		if (st.queued == 1)
			break;
		clock_sleep_ms(10);
	}
	put(full, S("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
	CHECK_INT(status_of(get(full, &b, 100, 2000)), 503);
	CHECK(has(&b, "retry-after: 1\r\n"));
	/* idle connections make room for new ones, busy ones do not */
	int more[8];
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		more[i] = dial(&f);
	atomic_store(&f.app.release, true);
	buf_clear(&b);
	CHECK_INT(status_of(get(a, &b, 200, 2000)), 200);
	buf_clear(&b);
	CHECK_INT(status_of(get(q, &b, 200, 2000)), 200);
	check_alive(&f);
	server_stats(f.s, &st);
	CHECK(st.connections <= 6);
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		close(more[i]);
	close(a), close(q), close(full);
	server_stop(f.s, 1000);
	buf_free(&b);
}

static long resident_kb(void)
{
	long size = 0, resident = 0;
	FILE *p = fopen("/proc/self/statm", "re");
	if (!p || fscanf(p, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	if (p)
		fclose(p);
	return resident * 4;
}

static void test_net_server__idle_streams(void)
{
	enum { STREAMS = 1000 };
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur < 2 * STREAMS + 100)
		SKIP("too few file descriptors");
	struct fixture f = {.o = {.workers = STREAMS + 4,
				    .queue_max = STREAMS,
				    .connections_max = STREAMS + 16,
				    .ping_ms = 500}};
	static int fd[STREAMS];
	start(&f);
	check_alive(&f);
	long before = resident_kb();
	for (int i = 0; i < STREAMS; i++) {
		fd[i] = dial(&f);
		put(fd[i], S("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n"));
	}
	CHECK(soon(&f.app.running, STREAMS, 10000));
	for (int i = 0; i < STREAMS; i++) {
		struct buf b = {0};
		for (int k = 0; k < 40 && !has(&b, ": ping\n\n"); k++)
			get(fd[i], &b, b.n + 1, 500);
		CHECK(has(&b, ": ping\n\n"));
		buf_free(&b);
	}
	check_alive(&f);
	long each = (resident_kb() - before) / STREAMS;
	tap_note("%ld kB for each of %d streams, thread included", each, STREAMS);
	if (!getenv("CROFT_TEST_SANITIZED"))
		CHECK(each < 100);
	for (int i = 0; i < STREAMS; i++)
		close(fd[i]);
	CHECK(soon(&f.app.cancelled_seen, STREAMS, 5000));
	server_stop(f.s, 1000);
}

static void test_net_server__stops(void)
{
	/* with idle connections, half a request, an idle stream and a flood under way */
	struct fixture f = {0};
	start(&f);
	int a = dial(&f), b = dial(&f), c = dial(&f), d = dial(&f), e = dial(&f);
	struct buf got = {0};
	put(b, S("GET /heal"));
	put(c, S("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n"));
	put(d, S("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n"));
	put(e, S("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"));
	CHECK(soon(&f.app.running, 1, 2000));
	uint64_t from = clock_mono_ns();
	server_stop(f.s, 300);
	double ms = (double)(clock_mono_ns() - from) / 1e6;
	tap_note("stopped after %.0f ms", ms);
	CHECK(ms >= 290 && ms < 1500);
	CHECK_INT(atomic_load(&f.app.running), 0);
	CHECK_INT(status_of(get(c, &got, SIZE_MAX, 1000)), 200);
	CHECK(str_ends(buf_str(&got), S("0\r\n\r\n"))); /* a stream is ended, not torn */
	close(a), close(b), close(c), close(d), close(e);
	buf_free(&got);
}

/* Clients that do anything at any moment: cut requests, resets, pipelines, half-read streams. */
struct brute {
	const struct fixture *f;
	pthread_t thread;
	unsigned seed;
	uint64_t end_ns;
	unsigned done;
};

static void *brute(void *arg)
{
	static const char *const requests[] = {
		"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world",
		("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "5\r\nhello\r\n0\r\n\r\n"),
		"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /idle HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /a\tb HTTP/1.1\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	};
	struct brute *b = arg;
	while (clock_mono_ns() < b->end_ns) {
		int fd = dial(b->f);
		for (unsigned i = (unsigned)rand_r(&b->seed) % 4 + 1; i > 0; i--) {
			struct str rq =
				str_c(requests[(unsigned)rand_r(&b->seed) % ARRAY_LEN(requests)]);
			if (rand_r(&b->seed) % 4 == 0)
				rq.n = (unsigned)rand_r(&b->seed) % rq.n;
			if (!put(fd, rq))
				break;
			struct buf got = {0};
			if (rand_r(&b->seed) % 2)
				get(fd, &got, 1 + (size_t)rand_r(&b->seed) % 100000, 5);
			buf_free(&got);
		}
		struct linger hard = {.l_onoff = 1};
		if (rand_r(&b->seed) % 3 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
		b->done++;
	}
	return NULL;
}

static void test_net_server__anything(void)
{
	struct fixture f = {.o = {.workers = 6, .queue_max = 8, .connections_max = 24}};
	struct brute all[6];
	struct errtext et;
	unsigned total = 0;
	start(&f);
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = (struct brute){
			.f = &f, .seed = i * 7919 + 1, .end_ns = clock_mono_ns() + 2000000000u};
		CHECK_OK(thread_start(&all[i].thread, brute, &all[i], "brute", &et), &et);
	}
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		pthread_join(all[i].thread, NULL);
		total += all[i].done;
	}
	tap_note("%u connections", total);
	struct server_stats st;
	for (int i = 0; i < 300; i++) { /* all that went away is forgotten */
		server_stats(f.s, &st);
		if (!st.connections && !st.busy_workers)
			break;
		clock_sleep_ms(10);
	}
	CHECK_INT(st.connections, 0);
	CHECK_INT(st.busy_workers, 0);
	check_alive(&f);
	server_stop(f.s, 1000);
}

static void test_net_server__listen(void)
{
	struct errtext et;
	struct server *s;
	static const char *const bad[] = {
		"", "x", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "no such host:1"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct server_options o = {.listen = bad[i], .handler = handler};
		CHECK_ERR(server_start(&o, &s, &et), ERR_INVALID);
	}
	struct fixture f = {0};
	start(&f);
	struct server_options o = {.listen = server_address(f.s), .handler = handler};
	CHECK_ERR(server_start(&o, &s, &et), ERR_CONFLICT);
	server_stop(f.s, 0);
}

#define OVER_TLS(name)                 \
	static void name##_tls(void)   \
	{                              \
		over_tls = true;       \
		name();                \
		tls_pumps_wait();      \
		tls_close(server_tls); \
	}
OVER_TLS(test_net_server__answers)
OVER_TLS(test_net_server__bodies)
OVER_TLS(test_net_server__refuses)
OVER_TLS(test_net_server__bad_corpus)
OVER_TLS(test_net_server__client_leaves)
OVER_TLS(test_net_server__slow_clients)
OVER_TLS(test_net_server__saturated)
OVER_TLS(test_net_server__stops)
OVER_TLS(test_net_server__anything)

TESTS(T(test_net_server__answers), T(test_net_server__bodies), T(test_net_server__refuses),
	T(test_net_server__bad_corpus), T(test_net_server__client_leaves),
	T(test_net_server__slow_clients), T(test_net_server__saturated),
	T(test_net_server__idle_streams), T(test_net_server__stops), T(test_net_server__anything),
	T(test_net_server__listen), T(test_net_server__answers_tls), T(test_net_server__bodies_tls),
	T(test_net_server__refuses_tls), T(test_net_server__bad_corpus_tls),
	T(test_net_server__client_leaves_tls), T(test_net_server__slow_clients_tls),
	T(test_net_server__saturated_tls), T(test_net_server__stops_tls),
	T(test_net_server__anything_tls))
