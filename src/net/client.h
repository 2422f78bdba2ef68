/* The HTTP client (libcurl). One call is one request; it blocks, obeys the cancel flag and its
 * deadlines, verifies TLS, follows at most 10 redirects for GET, and never sends credentials to
 * another host than the one they were given for. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H
#include "net/http.h"

struct client_request {
	enum http_method method;
	const char *url;
	const char *unix_socket; /* NULL */
	/* TLS. ca: PEM file of the authorities to trust. pin: the server must have this public key
	 * ("sha256//..."); then its certificate need not be trusted nor name the host. cert, key:
	 * PEM files to show. NULL or "": the system's trust, no pin, nothing to show. */
	const char *ca, *pin, *cert, *key;
	const struct http_pair *headers;
	size_t n_headers;
	bool no_redirects; /* 3xx is an answer like any other */
	/* Others chose the URL: connect to public addresses only, whatever its name stands for
	 * when the connection is made, and through no proxy. ERR_FORBIDDEN says so. */
	bool public_only;
	/* Not to link-local addresses nor to those of clouds' metadata services, which hand out
	 * credentials. ERR_FORBIDDEN says so. */
	bool no_link_local;
	struct str body;
	uint32_t connect_ms, idle_ms, total_ms; /* 0: 10 s, 60 s, none */
	size_t reply_max;                       /* bytes kept or passed on; 0: 64 MiB */
	const struct cancel *cancel;
	bool keep; /* the connection stays open for the next such request of this process */
	/* NULL: the whole body is kept in the reply. on_head may return an error to stop. */
	enum err (*on_head)(void *ctx, int status, const struct http_pair *headers, size_t n);
	enum err (*on_data)(void *ctx, struct str data);
	void *ctx;
};

struct client_reply {
	int status;
	struct buf body;
	struct buf final_url;
};

/* OK means that an answer came, whatever its status. ERR_NETWORK, ERR_TIMEOUT, ERR_CANCELLED,
 * ERR_TOO_LARGE, or what a callback returned. */
enum err client_run(
	const struct client_request *rq, struct client_reply *out, struct errtext *et) MUST_CHECK;
void client_reply_free(struct client_reply *r);

/* Neither this machine, a private network, link-local, multicast, nor set aside otherwise. */
struct sockaddr;
bool client_address_public(const struct sockaddr *a);
/* Link-local, or the address at which a cloud's metadata service answers. */
bool client_address_link_local(const struct sockaddr *a);

#endif
