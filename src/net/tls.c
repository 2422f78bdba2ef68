/* TLS over OpenSSL: reading the certificate's files, and records to and from a socket.
 *
 * The socket is read and written through a BIO of our own, for three reasons: no SIGPIPE, one recv
 * for as many records as have come, and knowing whether the socket was emptied. The last matters
 * because the loop's events are edges: what OpenSSL holds back must be asked for. */
#include "net/tls.h"

#include "base/os.h"
#include "base/thread.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { FILES = 3 };

/* What tells that a file has been replaced or written. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct tls {
	char *path[FILES]; /* cert, key, client_ca; NULL: not given */
	pthread_mutex_t mu;
	SSL_CTX *ctx; /* guarded by mu, as what follows */
	struct stamp stamps[FILES];
};

struct tls_conn {
	SSL *ssl;
	int fd;
	bool dry;   /* the last recv took all there was */
	bool ended; /* the socket will bring nothing more */
	bool broken, ready, any;
	unsigned char first; /* byte of the connection */
};

/* ---- the socket ---- */

static int sock_read(BIO *b, char *p, int n)
{
	struct tls_conn *c = BIO_get_data(b);
	ssize_t got = recv(c->fd, p, (size_t)n, MSG_DONTWAIT);
	BIO_clear_retry_flags(b);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->dry = errno == EAGAIN;
		BIO_set_retry_read(b);
		return -1;
	}
	if (got <= 0) {
		c->ended = true;
		return (int)got;
	}
	if (!c->any) {
		c->any = true;
		c->first = (unsigned char)p[0];
	}
	c->dry = got < n;
	return (int)got;
}

static int sock_write(BIO *b, const char *p, int n)
{
	struct tls_conn *c = BIO_get_data(b);
	ssize_t put = send(c->fd, p, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	BIO_clear_retry_flags(b);
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)put;
}

static long sock_ctrl(BIO *b, int cmd, long num, void *arg)
{
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *sock_method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "croft socket");
	if (m && BIO_meth_set_read(m, sock_read) && BIO_meth_set_write(m, sock_write) &&
		BIO_meth_set_ctrl(m, sock_ctrl))
		sock_method = m;
}

/* ---- certificates ---- */

static struct stamp stamp_of(const char *path)
{
	struct stat st;
	struct stamp s = {0};
	if (path && !stat(path, &st))
		s = (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
	return s;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* OpenSSL's newest reason, in its words. */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	return text ? text : "unreadable";
}

static enum err check_readable(const char *name, const char *path, struct errtext *et)
{
	struct buf b = {0};
	enum err e = os_read_file(path, 1 << 20, &b, et);
	if (b.p)
		OPENSSL_cleanse(b.p, b.n);
	buf_free(&b);
	return e ? err_wrap(et, e, "%s", name) : OK;
}

/* Never ask a terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	*(bool *)arg = true;
	return -1;
}

static enum err use_key(const struct tls *t, SSL_CTX *ctx, struct errtext *et)
{
	const char *path = t->path[1] ? t->path[1] : t->path[0];
	bool asked = false;
	enum err e = check_readable("tls.key", path, et);
	if (e)
		return e;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	ERR_clear_error();
	int good = SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	SSL_CTX_set_default_passwd_cb(ctx, NULL);
	if (asked)
		return err_set(et, ERR_INVALID,
			"tls.key: %s is protected by a passphrase; store the key without one "
			"(openssl pkey -in KEY -out PLAIN) and guard the file by its mode",
			path);
	unsigned long why = ERR_peek_last_error();
	if (!good && ERR_GET_LIB(why) == ERR_LIB_X509 &&
		ERR_GET_REASON(why) == X509_R_KEY_VALUES_MISMATCH)
		return err_set(et, ERR_INVALID,
			"tls.key: %s is not the key of the certificate %s; give the pair that was "
			"made together",
			path, t->path[0]);
	if (!good)
		return err_set(et, ERR_INVALID,
			"tls.key: %s holds no private key in PEM form (%s); it must begin with "
			"-----BEGIN PRIVATE KEY-----",
			path, reason());
	if (!SSL_CTX_check_private_key(ctx))
		return err_set(et, ERR_INVALID,
			"tls.key: %s is not the key of the certificate %s; give the pair that was "
			"made together",
			path, t->path[0]);
	return OK;
}

static enum err use_files(const struct tls *t, SSL_CTX *ctx, struct errtext *et)
{
	enum err e = check_readable("tls.cert", t->path[0], et);
	if (e)
		return e;
	ERR_clear_error();
	if (!SSL_CTX_use_certificate_chain_file(ctx, t->path[0]))
		return err_set(et, ERR_INVALID,
			"tls.cert: %s cannot be used (%s); it must hold the server's certificate "
			"in "
			"PEM form, then its intermediates",
			t->path[0], reason());
	e = use_key(t, ctx, et);
	if (e || !t->path[2])
		return e;
	e = check_readable("tls.client_ca", t->path[2], et);
	if (e)
		return e;
	ERR_clear_error();
	STACK_OF(X509_NAME) *subjects = SSL_load_client_CA_file(t->path[2]);
	if (!subjects || !SSL_CTX_load_verify_file(ctx, t->path[2])) {
		sk_X509_NAME_pop_free(subjects, X509_NAME_free);
		return err_set(et, ERR_INVALID,
			"tls.client_ca: %s holds no certificate in PEM form (%s)", t->path[2],
			reason());
	}
	SSL_CTX_set_client_CA_list(ctx, subjects);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return OK;
}

/* A client that lists protocols without ours would misread every answer: refuse it. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
	const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool set_rules(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	/* without AUTO_RETRY a peer that sends nothing but key updates cannot hold the thread */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	       SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") &&
	       SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"croft", 5);
}

static enum err load(const struct tls *t, SSL_CTX **out, struct errtext *et)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	enum err e = ctx && set_rules(ctx) ? use_files(t, ctx, et)
					   : err_set(et, ERR_NOMEM, "TLS cannot be set up");
	ERR_clear_error();
	if (e) {
		SSL_CTX_free(ctx);
		return e;
	}
	*out = ctx;
	return OK;
}

enum err tls_open(const struct tls_options *o, struct tls **out, struct errtext *et)
{
	const char *given[FILES] = {o->cert, o->key, o->client_ca};
	pthread_once(&once, make_method);
	struct tls *t = calloc(1, sizeof *t);
	if (!t || !sock_method) {
		free(t);
		return err_set(et, ERR_NOMEM, "no memory for TLS");
	}
	pthread_mutex_init(&t->mu, NULL);
	enum err e = OK;
	for (unsigned i = 0; i < FILES; i++)
		if (given[i] && *given[i]) {
			t->path[i] = str_dup(str_c(given[i]));
			if (!t->path[i])
				e = err_set(et, ERR_NOMEM, "no memory for TLS");
		}
	if (!e && !t->path[0])
		e = err_set(et, ERR_INVALID, "tls.cert is missing: TLS needs a certificate");
	bool changed;
	if (!e)
		e = tls_reload(t, true, &changed, et);
	if (e) {
		tls_close(t);
		return e;
	}
	*out = t;
	return OK;
}

enum err tls_reload(struct tls *t, bool force, bool *changed, struct errtext *et)
{
	struct stamp now[FILES];
	SSL_CTX *ctx = NULL;
	bool differs = force;
	/* the stamps first: what is written while we read is read again the next time */
	for (unsigned i = 0; i < FILES; i++)
		now[i] = stamp_of(t->path[i]);
	pthread_mutex_lock(&t->mu);
	for (unsigned i = 0; i < FILES; i++) {
		differs |= !same_stamp(&now[i], &t->stamps[i]);
		t->stamps[i] = now[i];
	}
	pthread_mutex_unlock(&t->mu);
	enum err e = differs ? load(t, &ctx, et) : OK;
	if (e)
		return e;
	if (ctx) {
		pthread_mutex_lock(&t->mu);
		SSL_CTX *old = t->ctx;
		t->ctx = ctx;
		pthread_mutex_unlock(&t->mu);
		SSL_CTX_free(old); /* connections hold counts of their own */
	}
	*changed = ctx != NULL;
	return OK;
}

void tls_close(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	for (unsigned i = 0; i < FILES; i++)
		free(t->path[i]);
	pthread_mutex_destroy(&t->mu);
	free(t);
}

/* ---- what the certificate says ---- */

int64_t tls_valid_days(struct tls *t)
{
	int days = 0, seconds = 0;
	pthread_mutex_lock(&t->mu);
	X509 *cert = SSL_CTX_get0_certificate(t->ctx);
	if (cert)
		ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert));
	pthread_mutex_unlock(&t->mu);
	return seconds < 0 && !days ? -1 : days;
}

void tls_describe(struct tls *t, struct buf *out)
{
	struct tm until = {0};
	pthread_mutex_lock(&t->mu);
	X509 *cert = SSL_CTX_get0_certificate(t->ctx);
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	if (cert && b &&
		X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
		long n = BIO_get_mem_data(b, &text);
		buf_adds(out, str_mk(text, (size_t)MIN(MAX(n, 0), 200)));
	}
	BIO_free(b);
	if (cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &until))
		buf_addf(out, "%svalid until %04d-%02d-%02d", out->n ? ", " : "",
			until.tm_year + 1900, until.tm_mon + 1, until.tm_mday);
	pthread_mutex_unlock(&t->mu);
}

void tls_pin(struct tls *t, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE], text[64], *der = NULL;
	unsigned n = 0;
	pthread_mutex_lock(&t->mu);
	int der_n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(SSL_CTX_get0_certificate(t->ctx)), &der);
	pthread_mutex_unlock(&t->mu);
	if (der_n > 0 && EVP_Digest(der, (size_t)der_n, digest, &n, EVP_sha256(), NULL) &&
		n == 32) {
		EVP_EncodeBlock(text, digest, 32);
		buf_addf(out, "sha256//%s", (char *)text);
	}
	OPENSSL_free(der);
}

/* ---- one connection ---- */

struct tls_conn *tls_conn_new(struct tls *t, int fd)
{
	struct tls_conn *c = calloc(1, sizeof *c);
	BIO *b = BIO_new(sock_method);
	if (c && b) {
		pthread_mutex_lock(&t->mu);
		c->ssl = SSL_new(t->ctx);
		pthread_mutex_unlock(&t->mu);
	}
	if (!c || !b || !c->ssl) {
		BIO_free(b);
		free(c);
		return NULL;
	}
	c->fd = fd;
	BIO_set_data(b, c);
	BIO_set_init(b, 1);
	SSL_set_bio(c->ssl, b, b);
	SSL_set_accept_state(c->ssl);
	return c;
}

void tls_conn_free(struct tls_conn *c)
{
	if (!c)
		return;
	SSL_free(c->ssl); /* and the BIO */
	free(c);
}

static enum tls_io outcome(struct tls_conn *c, int rc)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return c->ended ? TLS_END : c->dry ? TLS_WANT_READ : TLS_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_END;
	default:
		c->broken = true;
		return TLS_BROKEN;
	}
}

/* The bytes before the first record: a method of HTTP begins with a capital letter. */
static bool looks_plain(const struct tls_conn *c)
{
	return c->any && c->first >= 'A' && c->first <= 'Z';
}

enum tls_io tls_handshake(struct tls_conn *c)
{
	ERR_clear_error();
	c->dry = false;
	int rc = SSL_do_handshake(c->ssl);
	if (rc == 1) {
		c->ready = true;
		return TLS_OK;
	}
	enum tls_io io = outcome(c, rc);
	return io == TLS_BROKEN && looks_plain(c) ? TLS_PLAIN : io;
}

bool tls_silent(const struct tls_conn *c)
{
	return !c->any;
}

bool tls_resumed(const struct tls_conn *c)
{
	return SSL_session_reused(c->ssl);
}

enum tls_io tls_read(struct tls_conn *c, void *p, size_t want, size_t *n)
{
	ERR_clear_error();
	c->dry = false;
	int rc = SSL_read_ex(c->ssl, p, want, n);
	return rc == 1 ? TLS_OK : outcome(c, rc);
}

enum tls_io tls_write(struct tls_conn *c, struct str data, size_t *n)
{
	ERR_clear_error();
	int rc = SSL_write_ex(c->ssl, data.p, data.n, n);
	if (rc == 1)
		return TLS_OK;
	enum tls_io io = outcome(c, rc);
	/* a write that would have to read first is a renegotiation, which there is not */
	return io == TLS_WANT_WRITE ? io : TLS_BROKEN;
}

bool tls_readable(const struct tls_conn *c)
{
	return !c->dry || c->ended || SSL_has_pending(c->ssl);
}

void tls_bye(struct tls_conn *c)
{
	ERR_clear_error();
	if (c->ready && !c->broken)
		SSL_shutdown(c->ssl);
	ERR_clear_error();
}
