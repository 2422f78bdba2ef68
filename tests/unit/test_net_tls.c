/* TLS of the server: its files, their renewal, handshakes of every kind of client. */
#include "base/clock.h"
#include "base/os.h"
#include "base/thread.h"
#include "net/client.h"
#include "net/server.h"
#include "net/tls.h"
#include "tap.h"
#include "tls_peer.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <sys/resource.h>

static void handler(void *app, struct http_request *rq, struct http_response *rs)
{
	if (str_eq_c(rq->path, "/echo"))
		http_reply(rs, 200, "application/octet-stream", rq->body);
	else
		http_reply(rs, 200, "text/plain", rq->tls ? S("tls") : S("plain"));
}

struct fixture {
	struct server *s;
	struct tls *tls;
	struct server_options o;
	struct tls_options t;
};

static void start(struct fixture *f)
{
	struct errtext et;
	struct server_options o = f->o;
	if (!f->t.cert) {
		tls_make_cert("server", "ec");
		f->t.cert = tls_file("server.pem");
		f->t.key = tls_file("server.key");
	}
	CHECK_OK(tls_open(&f->t, &f->tls, &et), &et);
	o.listen = "127.0.0.1:0";
	o.tls = f->tls;
	o.workers = 4;
	o.queue_max = 256;
	o.connections_max = o.connections_max ? o.connections_max : 600;
	o.header_max = 16384;
	o.body_max = 32 << 20;
	o.body_memory_max = 65536;
	o.spool_dir = tap_tmpdir();
	o.handler = handler;
	CHECK_OK(server_start(&o, &f->s, &et), &et);
}

static void stop(struct fixture *f)
{
	server_stop(f->s, 500);
	tls_close(f->tls);
}

static int dial_to(const char *address)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 10};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		FAIL("connect: %s", strerror(errno));
	return fd;
}

static int dial(const struct fixture *f)
{
	return dial_to(server_address(f->s));
}

/* A blocking client of its own kind. */
static SSL *shake(const struct fixture *f, SSL_CTX *ctx, SSL_SESSION *session)
{
	int fd = dial(f);
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (session)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);
	SSL_shutdown(ssl); /* else its session may not be resumed */
	SSL_free(ssl);
	close(fd);
}

#define GET "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* One request on an open connection; the last three bytes of its answer. */
static bool asks(SSL *ssl)
{
	char got[4096];
	size_t n = 0;
	int put = SSL_write(ssl, GET, sizeof GET - 1);
	while (put > 0 && n < sizeof got) {
		int k = SSL_read(ssl, got + n, (int)(sizeof got - n));
		if (k <= 0)
			break;
		n += (size_t)k;
		if (str_ends(str_mk(got, n), S("\r\n\r\ntls")))
			return true;
	}
	return false;
}

static void check_alive(const struct fixture *f)
{
	SSL *ssl = shake(f, tls_client_ctx(), NULL);
	CHECK(ssl && asks(ssl) && asks(ssl));
	hang_up(ssl);
}

static struct str read_all(int fd, struct buf *b)
{
	for (;;) {
		char *room = buf_reserve(b, 65536);
		ssize_t n = recv(fd, room, 65536, 0);
		if (n <= 0)
			return buf_str(b);
		b->n += (size_t)n;
	}
}

static void write_file(const char *name, struct str text)
{
	struct errtext et;
	CHECK_OK(os_write_atomic(tls_file(name), text, &et), &et);
}

static void test_net_tls__bad_files(void)
{
	tls_make_cert("a", "ec");
	tls_make_cert("b", "rsa");
	write_file("empty.pem", S(""));
	write_file(
		"noise.pem", S("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
	char command[4096];
	snprintf(command, sizeof command,
		"cd '%s' && openssl pkey -in a.key -aes256 -passout pass:x -out locked.key && "
		"openssl req -x509 -nodes -newkey rsa:1024 -keyout weak.key -out weak.pem -days 9 "
		"-subj /CN=weak 2>/dev/null",
		tap_tmpdir());
	CHECK_INT(system(command), 0);
	static const struct {
		const char *cert, *key, *ca, *file, *says;
	} rows[] = {{"none.pem", "a.key", NULL, "none.pem", "tls.cert"},
		{"a.pem", "none.key", NULL, "none.key", "tls.key"},
		{"empty.pem", "a.key", NULL, "empty.pem", "PEM form"},
		{"noise.pem", "a.key", NULL, "noise.pem", "PEM form"},
		{"a.key", "a.key", NULL, "a.key", "certificate in PEM form"},
		{"a.pem", "a.pem", NULL, "a.pem", "no private key"},
		{"a.pem", "b.key", NULL, "b.key", "not the key of the certificate"},
		{"a.pem", "locked.key", NULL, "locked.key", "passphrase"},
		{"weak.pem", "weak.key", NULL, "weak.pem", "too small"},
		{"a.pem", "a.key", "empty.pem", "empty.pem", "tls.client_ca"},
		{"a.pem", "", NULL, "a.pem", "no private key"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = {0};
		struct tls *t;
		struct tls_options o = {.cert = tls_file(rows[i].cert),
			.key = *rows[i].key ? tls_file(rows[i].key) : NULL,
			.client_ca = rows[i].ca ? tls_file(rows[i].ca) : NULL};
		enum err e = tls_open(&o, &t, &et);
		if (!e || !strstr(et.msg, rows[i].file) || !strstr(et.msg, rows[i].says))
			FAIL("%s, %s: %d %s", rows[i].cert, rows[i].key, e, et.msg);
	}
	/* certificate and key in one file */
	struct errtext et;
	struct tls *t;
	snprintf(command, sizeof command, "cd '%s' && cat b.pem b.key > both.pem", tap_tmpdir());
	CHECK_INT(system(command), 0);
	CHECK_OK(tls_open(&(struct tls_options){.cert = tls_file("both.pem")}, &t, &et), &et);
	struct buf about = {0}, pin = {0};
	tls_describe(t, &about);
	CHECK(str_starts(buf_str(&about), S("CN=b, valid until 2")));
	CHECK(tls_valid_days(t) == 29 || tls_valid_days(t) == 30);
	tls_pin(t, &pin);
	CHECK_INT(pin.n, 8 + 44);
	tls_close(t);
	buf_free(&about);
	buf_free(&pin);
}

static void peer_name(const struct fixture *f, SSL *ssl, char name[64])
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, 64);
	X509_free(cert);
}

static void test_net_tls__renewed(void)
{
	struct fixture f = {0};
	struct errtext et = {0};
	char name[64], command[4096];
	bool changed = true;
	start(&f);
	SSL *old = shake(&f, tls_client_ctx(), NULL);
	CHECK(old && asks(old));
	CHECK_OK(tls_reload(f.tls, false, &changed, &et), &et);
	CHECK(!changed);
	/* half-way: the new certificate is there, its key is not */
	tls_make_cert("next", "rsa");
	snprintf(command, sizeof command, "cd '%s' && cp next.pem server.pem", tap_tmpdir());
	CHECK_INT(system(command), 0);
	CHECK_ERR(tls_reload(f.tls, false, &changed, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "not the key") != NULL);
	check_alive(&f);
	CHECK_OK(tls_reload(f.tls, false, &changed, &et), &et); /* told once */
	snprintf(command, sizeof command, "cd '%s' && cp next.key server.key", tap_tmpdir());
	CHECK_INT(system(command), 0);
	CHECK_OK(tls_reload(f.tls, false, &changed, &et), &et);
	CHECK(changed);
	SSL *fresh = shake(&f, tls_client_ctx(), NULL);
	CHECK(fresh && asks(fresh));
	peer_name(&f, fresh, name);
	CHECK_STR(str_c(name), "next");
	CHECK(asks(old)); /* nobody was cut off */
	peer_name(&f, old, name);
	CHECK_STR(str_c(name), "server");
	hang_up(old);
	hang_up(fresh);
	stop(&f);
}

static void test_net_tls__versions(void)
{
	struct fixture f = {0};
	start(&f);
	static const struct {
		int version;
		const char *ciphers;
		bool good;
	} rows[] = {{TLS1_3_VERSION, NULL, true},
		{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
		{TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
		{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", false},
		{TLS1_1_VERSION, "ALL:@SECLEVEL=0", false},
		{TLS1_VERSION, "ALL:@SECLEVEL=0", false}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_min_proto_version(ctx, rows[i].version);
		SSL_CTX_set_max_proto_version(ctx, rows[i].version);
		if (rows[i].ciphers)
			CHECK(SSL_CTX_set_cipher_list(ctx, rows[i].ciphers));
		SSL *ssl = shake(&f, ctx, NULL);
		if ((ssl != NULL) != rows[i].good)
			FAIL("row %zu: %s", i, ssl ? "was accepted" : "was refused");
		if (ssl) {
			CHECK(asks(ssl));
			hang_up(ssl);
		}
		SSL_CTX_free(ctx);
	}
	/* ALPN: ours is chosen; a client that cannot speak it is refused; none is fine */
	static const unsigned char both[] = "\x02h2\x08http/1.1", h2[] = "\x02h2";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	const unsigned char *chosen;
	unsigned n;
	SSL_CTX_set_alpn_protos(ctx, both, sizeof both - 1);
	SSL *ssl = shake(&f, ctx, NULL);
	CHECK(ssl != NULL);
	SSL_get0_alpn_selected(ssl, &chosen, &n);
	CHECK_STR(str_mk(chosen, n), "http/1.1");
	hang_up(ssl);
	SSL_CTX_set_alpn_protos(ctx, h2, sizeof h2 - 1);
	CHECK(!shake(&f, ctx, NULL));
	SSL_CTX_free(ctx);
	struct server_stats st;
	server_stats(f.s, &st);
	CHECK(st.tls_handshakes >= 4 && st.tls_failed >= 3);
	stop(&f);
}

static SSL_SESSION *saved_session;

static int save_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(saved_session);
	saved_session = session;
	return 1;
}

static void test_net_tls__resumes(void)
{
	struct fixture f = {0};
	start(&f);
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_max_proto_version(ctx, versions[i]);
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
		SSL_CTX_sess_set_new_cb(ctx, save_session);
		SSL *ssl = shake(&f, ctx, NULL);
		CHECK(ssl && asks(ssl) && !SSL_session_reused(ssl));
		hang_up(ssl);
		CHECK(saved_session != NULL);
		CHECK_INT(SSL_SESSION_get_max_early_data(saved_session), 0);
		ssl = shake(&f, ctx, saved_session);
		CHECK(ssl && SSL_session_reused(ssl) && asks(ssl));
		hang_up(ssl);
		SSL_SESSION_free(saved_session);
		saved_session = NULL;
		SSL_CTX_free(ctx);
	}
	struct server_stats st;
	server_stats(f.s, &st);
	CHECK_INT(st.tls_resumed, 2);
	stop(&f);
}

/* What is no TLS at all, or stops being it. */
static void test_net_tls__hostile(void)
{
	struct fixture f = {.o = {.read_timeout_ms = 700}};
	start(&f);
	static const struct {
		const char *bytes;
		size_t n;
		bool told; /* in plain HTTP */
	} rows[] = {
#define ROW(text, told) {text, sizeof text - 1, told}
		ROW(GET, true),
		ROW("POST /v1/chat HTTP/1.1\r\nHost: x\r\n\r\n", true),
		ROW("DELETE / HTTP/1.1\r\n\r\n", true),
		ROW("\x16\x03\x01\xff\xff junk", false),
		ROW("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", false),
		ROW("\x80\x2e\x01\x03\x01", false),
		ROW("\x15\x03\x01\x00\x02\x02\x28", false),
		ROW("\x17\x03\x03\x00\x02hi", false),
		ROW("\0\0\0\0\0\0\0\0", false),
		ROW("SSH-2.0-x\r\n", true),
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = dial(&f);
		struct buf b = {0};
		CHECK(send(fd, rows[i].bytes, rows[i].n, MSG_NOSIGNAL) == (ssize_t)rows[i].n);
		shutdown(fd, SHUT_WR);
		read_all(fd, &b);
		bool told = str_starts(buf_str(&b), S("HTTP/1.1 400 ")) &&
			    str_find(buf_str(&b), S("use https://")) != STR_NONE;
		if (told != rows[i].told)
			FAIL("row %zu: %.*s", i, STR_FMT(buf_str(&b)));
		close(fd);
		buf_free(&b);
		check_alive(&f);
	}
	/* nothing at all, half a hello, and one byte a moment: the time limit ends them */
	int slow[3] = {dial(&f), dial(&f), dial(&f)};
	send(slow[1], "\x16\x03\x01\x02\x00\x01\x00", 7, MSG_NOSIGNAL);
	uint64_t from = clock_mono_ns();
	for (int i = 0; i < 30; i++) {
		send(slow[2], i ? "\x01" : "\x16", 1, MSG_NOSIGNAL);
		clock_sleep_ms(50);
		if (i == 5)
			check_alive(&f);
	}
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		struct buf b = {0};
		read_all(slow[i], &b);
		close(slow[i]);
		buf_free(&b);
	}
	CHECK(clock_mono_ns() - from < 3000000000u);
	check_alive(&f);
	stop(&f);
}

/* Renegotiation is refused, and the connection either goes on or ends. Key updates without end do
 * not hold the thread. */
static void test_net_tls__renegotiation(void)
{
	struct fixture f = {0};
	start(&f);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL *ssl = shake(&f, ctx, NULL);
	CHECK(ssl && asks(ssl));
	CHECK(SSL_renegotiate(ssl) != 1 || SSL_do_handshake(ssl) != 1);
	hang_up(ssl);
	SSL_CTX_free(ctx);
	check_alive(&f);

	ssl = shake(&f, tls_client_ctx(), NULL);
	CHECK(ssl && asks(ssl));
	CHECK_INT(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	CHECK(asks(ssl));
	uint64_t end = clock_mono_ns() + 500000000u;
	unsigned updates = 0;
	struct timeval limit = {.tv_usec = 1000};
	setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	while (clock_mono_ns() < end) {
		ERR_clear_error();
		if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
			updates += SSL_do_handshake(ssl) == 1;
		if (updates % 5000 == 100)
			check_alive(&f);
	}
	tap_note("%u key updates", updates);
	CHECK(updates > 100);
	hang_up(ssl);
	check_alive(&f);
	stop(&f);
}

static void test_net_tls__client_certificates(void)
{
	struct fixture f = {0};
	struct errtext et = {0};
	tls_make_cert("server", "ec");
	tls_make_cert("ours", "ec");
	tls_make_cert("theirs", "ec");
	f.t = (struct tls_options){.cert = tls_file("server.pem"),
		.key = tls_file("server.key"),
		.client_ca = tls_file("ours.pem")};
	start(&f);
	static const struct {
		const char *name;
		bool good;
	} rows[] = {{NULL, false}, {"theirs", false}, {"ours", true}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf url = {0}, cert = {0}, key = {0};
		struct client_reply reply = {0};
		buf_addf(&url, "https://%s/", server_address(f.s));
		if (rows[i].name) {
			buf_addf(&cert, "%s/%s.pem", tap_tmpdir(), rows[i].name);
			buf_addf(&key, "%s/%s.key", tap_tmpdir(), rows[i].name);
		}
		struct client_request rq = {.method = HTTP_GET,
			.url = buf_c(&url),
			.ca = tls_file("server.pem"),
			.cert = buf_c(&cert),
			.key = buf_c(&key)};
		enum err e = client_run(&rq, &reply, &et);
		if ((e == OK) != rows[i].good)
			FAIL("%s: %d %s", rows[i].name ? rows[i].name : "none", e, et.msg);
		if (!e)
			CHECK_STR(buf_str(&reply.body), "tls");
		client_reply_free(&reply);
		buf_free(&url);
		buf_free(&cert);
		buf_free(&key);
	}
	stop(&f);
}

/* Our client: trust by file, by pin, and not otherwise; large bodies both ways. */
static void test_net_tls__client(void)
{
	struct fixture f = {0};
	struct errtext et = {0};
	struct buf url = {0}, pin = {0}, big = {0};
	start(&f);
	tls_make_cert("other", "ec");
	buf_addf(&url, "https://%s/echo", server_address(f.s));
	tls_pin(f.tls, &pin);
	for (size_t i = 0; i < 20 << 20; i++)
		buf_putc(&big, (char)(i * 31 + i / 4099));
	struct client_request trusted = {.method = HTTP_POST,
		.url = buf_c(&url),
		.body = buf_str(&big),
		.ca = tls_file("server.pem")};
	struct client_reply reply = {0};
	CHECK_OK(client_run(&trusted, &reply, &et), &et);
	CHECK(str_eq(buf_str(&reply.body), buf_str(&big)));
	client_reply_free(&reply);
	struct client_request rq = {.method = HTTP_GET, .url = buf_c(&url)};
	CHECK_ERR(client_run(&rq, &reply, &et), ERR_NETWORK);
	rq.ca = tls_file("other.pem");
	CHECK_ERR(client_run(&rq, &reply, &et), ERR_NETWORK);
	rq.ca = NULL;
	rq.pin = buf_c(&pin);
	CHECK_OK(client_run(&rq, &reply, &et), &et);
	client_reply_free(&reply);
	rq.pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	CHECK_ERR(client_run(&rq, &reply, &et), ERR_NETWORK);
	buf_free(&url);
	buf_free(&pin);
	buf_free(&big);
	stop(&f);
}

struct crowd {
	const struct fixture *f;
	pthread_t thread;
	unsigned good;
};

static void *crowd(void *arg)
{
	struct crowd *c = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	for (unsigned i = 0; i < 10; i++) {
		SSL *ssl = shake(c->f, ctx, NULL);
		c->good += ssl && asks(ssl);
		if (ssl)
			hang_up(ssl);
	}
	SSL_CTX_free(ctx);
	return NULL;
}

/* Two hundred handshakes by twenty clients while two hundred others dawdle in theirs. */
static void test_net_tls__crowd(void)
{
	struct fixture f = {0};
	struct crowd all[20];
	struct errtext et;
	int slow[200];
	start(&f);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		slow[i] = dial(&f);
		if (i % 2)
			send(slow[i], "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL);
	}
	uint64_t from = clock_mono_ns();
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = (struct crowd){.f = &f};
		CHECK_OK(thread_start(&all[i].thread, crowd, &all[i], "crowd", &et), &et);
	}
	unsigned good = 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		pthread_join(all[i].thread, NULL);
		good += all[i].good;
	}
	tap_note("%u handshakes in %.0f ms", good, (double)(clock_mono_ns() - from) / 1e6);
	CHECK_INT(good, 200);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		close(slow[i]);
	stop(&f);
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

/* Idle connections, both kinds: what one costs the server. The clients are in another process. */
static void idle_cost(bool tls, int n, long bytes_max)
{
	struct fixture f = {.o = {.connections_max = (unsigned)n + 50}};
	int ready[2], done[2];
	char c = 0;
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur < (rlim_t)n + 100)
		SKIP("too few file descriptors");
	tls_make_cert("server", "ec");
	start(&f);
	if (!tls) {
		server_stop(f.s, 0);
		f.o = (struct server_options){.listen = "127.0.0.1:0",
			.workers = 4,
			.queue_max = 64,
			.connections_max = (unsigned)n + 50,
			.header_max = 16384,
			.handler = handler};
		struct errtext et;
		CHECK_OK(server_start(&f.o, &f.s, &et), &et);
	} else {
		check_alive(&f);
	}
	CHECK(!pipe(ready) && !pipe(done));
	long before = resident_kb();
	pid_t child = fork();
	if (!child) {
		char got[4096];
		for (int i = 0; i < n; i++) {
			int fd = tls ? -1 : dial(&f);
			SSL *ssl = tls ? shake(&f, tls_client_ctx(), NULL) : NULL;
			bool good = tls ? ssl && asks(ssl)
					: send(fd, GET, sizeof GET - 1, 0) > 0 &&
						    recv(fd, got, sizeof got, 0) > 0;
			if (!good)
				_exit(1);
		}
		c = 1;
		if (write(ready[1], &c, 1) == 1 && read(done[0], &c, 1) == 1)
			_exit(0);
		_exit(1);
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &c, 1), 1);
	struct server_stats st;
	server_stats(f.s, &st);
	CHECK(st.connections >= (uint32_t)n);
	long bytes = (resident_kb() - before) * 1024 / n;
	tap_note("%ld bytes for each of %d idle connections%s", bytes, n, tls ? " with TLS" : "");
	if (!getenv("CROFT_TEST_SANITIZED"))
		CHECK(bytes < bytes_max);
	CHECK_INT(write(done[1], &c, 1), 1);
	stop(&f);
}

static void test_net_tls__idle_cost_plain(void)
{
	idle_cost(false, 10000, 2048);
}

static void test_net_tls__idle_cost(void)
{
	idle_cost(true, 2000, 32768);
}

static void test_net_tls__redirects(void)
{
	struct fixture f = {.o = {.redirect_listen = "127.0.0.1:0"}};
	start(&f);
	static const struct {
		const char *request, *status, *location;
	} rows[] = {{"GET /a/b?c=%20d HTTP/1.1\r\nHost: localhost:80\r\n\r\n", "308",
			    "location: https://localhost:%s/a/b?c=%%20d\r\n"},
		{"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "308",
			"location: https://127.0.0.1:%s/\r\n"},
		{"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "421", NULL},
		{"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "403", NULL},
		{"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "403", NULL}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = dial_to(server_redirect_address(f.s));
		struct buf b = {0}, want = {0};
		send(fd, rows[i].request, strlen(rows[i].request), MSG_NOSIGNAL);
		read_all(fd, &b);
		CHECK_STR(str_sub(buf_str(&b), 9, 12), rows[i].status);
		if (rows[i].location) {
			const char *port = strrchr(server_address(f.s), ':') + 1, *at;
			at = strstr(rows[i].location, "%s");
			buf_adds(&want, str_mk(rows[i].location, (size_t)(at - rows[i].location)));
			buf_addc(&want, port);
			for (at += 2; *at; at++)
				if (at[0] != '%' || at[1] != '%')
					buf_putc(&want, *at);
			CHECK(str_find(buf_str(&b), buf_str(&want)) != STR_NONE);
		}
		close(fd);
		buf_free(&b);
		buf_free(&want);
	}
	stop(&f);
}

TESTS(T(test_net_tls__bad_files), T(test_net_tls__renewed), T(test_net_tls__versions),
	T(test_net_tls__resumes), T(test_net_tls__hostile), T(test_net_tls__renegotiation),
	T(test_net_tls__client_certificates), T(test_net_tls__client), T(test_net_tls__crowd),
	T(test_net_tls__idle_cost_plain), T(test_net_tls__idle_cost), T(test_net_tls__redirects))
