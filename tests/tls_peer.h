/* The client's side of TLS for tests: certificates, and a pump that lets code written for a plain
 * socket talk to a TLS server. For one test program each; it uses OpenSSL directly. */
#ifndef TESTS_TLS_PEER_H
#define TESTS_TLS_PEER_H
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Makes tap_tmpdir()/NAME.pem and NAME.key, self-signed for localhost. `kind`: "ec" or "rsa". */
static inline void tls_make_cert(const char *name, const char *kind)
{
	char command[2048];
	snprintf(command, sizeof command,
		"cd '%s' && openssl req -x509 -nodes -newkey %s -keyout %s.key -out %s.pem -days "
		"30 "
		"-subj /CN=%s -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null",
		tap_tmpdir(),
		strcmp(kind, "ec") ? "rsa:2048" : "ec -pkeyopt ec_paramgen_curve:prime256v1", name,
		name, name);
	if (system(command) != 0)
		SKIP("the openssl command cannot make a certificate");
}

static inline const char *tls_file(const char *name)
{
	static char paths[8][1100];
	static unsigned next;
	char *p = paths[next++ % 8];
	snprintf(p, sizeof paths[0], "%s/%s", tap_tmpdir(), name);
	return p;
}

static atomic_int tls_pumps; /* that still run */

struct pump {
	SSL *ssl;
	int tcp, app;
};

/* Bytes on their way in one direction. */
struct pipe_buf {
	char bytes[16384];
	size_t from, to;
	bool eof, told;
};

static inline bool pump_up(struct pump *p, struct pipe_buf *b)
{
	if (b->from == b->to && !b->eof) {
		ssize_t n = recv(p->app, b->bytes, sizeof b->bytes, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return false;
		b->eof = n == 0;
		b->from = 0;
		b->to = n > 0 ? (size_t)n : 0;
	}
	size_t put = 0;
	if (b->from < b->to) {
		int rc = SSL_write_ex(p->ssl, b->bytes + b->from, b->to - b->from, &put);
		int why = SSL_get_error(p->ssl, rc);
		if (rc != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return false;
		b->from += put;
	}
	if (b->eof && b->from == b->to && !b->told) {
		b->told = true;
		SSL_shutdown(p->ssl);
		shutdown(p->tcp, SHUT_WR);
	}
	return true;
}

static inline bool pump_down(struct pump *p, struct pipe_buf *b)
{
	if (b->from == b->to && !b->eof) {
		size_t n = 0;
		int rc = SSL_read_ex(p->ssl, b->bytes, sizeof b->bytes, &n);
		int why = SSL_get_error(p->ssl, rc);
		b->from = 0;
		b->to = rc == 1 ? n : 0;
		b->eof = rc != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
	}
	if (b->from < b->to) {
		ssize_t n = send(
			p->app, b->bytes + b->from, b->to - b->from, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return false;
		b->from += n > 0 ? (size_t)n : 0;
	}
	if (b->eof && b->from == b->to && !b->told) {
		b->told = true;
		shutdown(p->app, SHUT_WR);
	}
	return true;
}

static inline void *pump_run(void *arg)
{
	struct pump *p = arg;
	static _Thread_local struct pipe_buf up, down;
	bool on = true;
	while (on) {
		bool up_full = up.from < up.to, down_full = down.from < down.to;
		struct pollfd f[2] = {{p->app,
					      (short)((up_full || up.eof ? 0 : POLLIN) |
						      (down_full ? POLLOUT : 0)),
					      0},
			{down.eof && !up_full ? -1 : p->tcp,
				(short)((down_full ? 0 : POLLIN) | (up_full ? POLLOUT : 0)), 0}};
		poll(f, 2, 1000);
		on = !(f[0].revents & POLLHUP) && pump_down(p, &down) && pump_up(p, &up) &&
		     !(up.told && down.told);
	}
	close(p->tcp);
	close(p->app);
	SSL_free(p->ssl);
	free(p);
	atomic_fetch_sub(&tls_pumps, 1);
	return NULL;
}

static inline SSL_CTX *tls_client_ctx(void)
{
	static SSL_CTX *ctx;
	if (!ctx) {
		ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_mode(
			ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	}
	return ctx;
}

/* Takes a connected socket, returns one that carries the plain text of its TLS connection. */
static inline int tls_pump(int tcp)
{
	int pair[2];
	pthread_t t;
	pthread_attr_t small;
	struct pump *p = calloc(1, sizeof *p);
	if (!p || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		FAIL("socketpair: %s", strerror(errno));
	*p = (struct pump){SSL_new(tls_client_ctx()), tcp, pair[1]};
	SSL_set_fd(p->ssl, tcp);
	SSL_set_connect_state(p->ssl);
	if (SSL_do_handshake(p->ssl) != 1)
		FAIL("the handshake failed");
	if (fcntl(tcp, F_SETFL, fcntl(tcp, F_GETFL) | O_NONBLOCK))
		FAIL("fcntl: %s", strerror(errno));
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 << 10);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&tls_pumps, 1);
	if (pthread_create(&t, &small, pump_run, p))
		FAIL("no thread for a pump");
	pthread_attr_destroy(&small);
	return pair[0];
}

/* At the end of a test: those whose sockets are closed end by themselves. */
static inline void tls_pumps_wait(void)
{
	for (int i = 0; i < 300 && atomic_load(&tls_pumps); i++)
		usleep(10000);
}

#endif
