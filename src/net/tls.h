/* TLS for the server: the certificate and its rules (struct tls), and the stream of one connection
 * on a non-blocking socket (struct tls_conn). OpenSSL does the work; nothing of it shows here.
 *
 *	struct tls *t;
 *	enum err e = tls_open(&(struct tls_options){.cert = "cert.pem", .key = "key.pem"}, &t, et);
 *	server_options.tls = t;            // borrowed until server_stop
 *	tls_reload(t, false, &changed, et) // from time to time, on any thread
 *	tls_close(t);
 *
 * A reload that fails keeps what was there. Connections keep the certificate that they began with.
 * TLS 1.2 and 1.3; no renegotiation, compression or early data; ALPN is http/1.1; sessions are
 * resumed by tickets, so that the server remembers nothing of them. */
#ifndef NET_TLS_H
#define NET_TLS_H
#include "base/str.h"

struct tls;

struct tls_options {
	const char *cert;      /* PEM: the server's certificate, then its intermediates */
	const char *key;       /* PEM, without a passphrase; NULL or "": in the file of cert */
	const char *client_ca; /* PEM: clients must show a certificate of these; NULL or "": none */
};

enum err tls_open(const struct tls_options *o, struct tls **out, struct errtext *et) MUST_CHECK;
/* Reads the files again if they are not what they were (or `force`). Nothing changed: OK. */
enum err tls_reload(struct tls *t, bool force, bool *changed, struct errtext *et) MUST_CHECK;
void tls_close(struct tls *t); /* accepts NULL; connections may outlive it */
/* "CN=croft.example, valid until 2027-01-31" */
void tls_describe(struct tls *t, struct buf *out);
int64_t tls_valid_days(struct tls *t); /* that the certificate has left; negative: expired */
/* SHA-256 of the certificate's public key as curl pins it: "sha256//BASE64". */
void tls_pin(struct tls *t, struct buf *out);

/* ---- one connection; one thread at a time ---- */

struct tls_conn;

enum tls_io {
	TLS_OK,
	TLS_WANT_READ,  /* all that came is used: when more comes */
	TLS_WANT_WRITE, /* when the socket takes more */
	TLS_AGAIN,      /* there is more to be looked at: call again */
	TLS_END,        /* the peer has ended its side */
	TLS_PLAIN,      /* tls_handshake: the client did not speak TLS but, it seems, HTTP */
	TLS_BROKEN,     /* an alert was sent if there was one to send */
};

struct tls_conn *tls_conn_new(struct tls *t, int fd); /* NULL: no memory; does not own fd */
void tls_conn_free(struct tls_conn *c);
enum tls_io tls_handshake(struct tls_conn *c);
bool tls_resumed(const struct tls_conn *c);
bool tls_silent(const struct tls_conn *c); /* not one byte has come */
/* At most one record. TLS_OK: *n > 0. */
enum tls_io tls_read(struct tls_conn *c, void *p, size_t want, size_t *n);
/* At most one record; after TLS_WANT_WRITE again with the same bytes, perhaps more of them. */
enum tls_io tls_write(struct tls_conn *c, struct str data, size_t *n);
/* May tls_read find something without a new event of the socket? */
bool tls_readable(const struct tls_conn *c);
void tls_bye(struct tls_conn *c); /* says that nothing more will be written */

#endif
