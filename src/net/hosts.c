/* Which names and origins a server answers to. */
#include "net/server_int.h"

#include <arpa/inet.h>
#include <stdlib.h>

static bool is_literal(struct str name)
{
	char text[64];
	struct in_addr v4;
	if (!name.n || name.n >= sizeof text)
		return false;
	memcpy(text, name.p, name.n);
	text[name.n] = 0;
	return name.p[0] == '[' || inet_pton(AF_INET, text, &v4) == 1;
}

/* DNS rebinding: a page of evil.example may resolve to this machine, but its browser then sends
 * that name. Names are served only when they are known to be ours. */
bool hosts_allow(const struct hosts *h, struct str host)
{
	struct buf name = {.max = 512};
	struct str port;
	bool ok = http_host_name(host, &name, &port) && !name.err;
	bool found = ok && (h->any || (h->any_literal && is_literal(buf_str(&name))));
	for (size_t i = 0; ok && !found && i < h->n; i++)
		found = str_eq_nocase(h->name[i], buf_str(&name));
	buf_free(&name);
	return found;
}

static bool same_authority(struct str origin, struct str host, const char *default_port)
{
	struct buf a = {.max = 512}, b = {.max = 512};
	struct str port_a, port_b;
	bool same = http_host_name(origin, &a, &port_a) && http_host_name(host, &b, &port_b) &&
		    !a.err && !b.err && str_eq(buf_str(&a), buf_str(&b)) &&
		    str_eq(port_a.n ? port_a : str_c(default_port),
			    port_b.n ? port_b : str_c(default_port));
	buf_free(&a);
	buf_free(&b);
	return same;
}

bool origin_allowed(const struct http_request *rq)
{
	struct str origin = http_header(rq, "origin"), site = http_header(rq, "sec-fetch-site"),
		   host = http_header(rq, "host");
	if (rq->method == HTTP_GET || rq->method == HTTP_HEAD || rq->method == HTTP_OPTIONS)
		return true;
	if (!origin.p)
		return !str_eq_nocase(site, S("cross-site")) &&
		       !str_eq_nocase(site, S("same-site"));
	/* behind a proxy that ends TLS the page's scheme is not ours; with TLS of our own it is */
	if (str_starts(origin, S("http://")) && !rq->tls)
		return same_authority(str_sub(origin, 7, origin.n), host, "80");
	if (str_starts(origin, S("https://")))
		return same_authority(str_sub(origin, 8, origin.n), host, "443");
	return false;
}

static void add(struct hosts *h, struct str name)
{
	if (name.n && h->n < HOSTS_MAX)
		h->name[h->n++] = name;
}

enum err hosts_init(struct hosts *h, const char *listen, const char *address, const char *more,
	struct errtext *et)
{
	struct str name, bound = str_c(address), own = str_c(listen), rest;
	h->text = str_dup(str_c(more ? more : ""));
	if (!h->text)
		return err_set(et, ERR_NOMEM, "no memory");
	own = str_sub(own, 0, str_rchr(own, ':'));
	add(h, S("localhost"));
	add(h, S("127.0.0.1"));
	add(h, S("[::1]"));
	add(h, str_sub(bound, 0, str_rchr(bound, ':')));
	if (!is_literal(own))
		add(h, own);
	h->any_literal =
		str_starts(bound, S("0.0.0.0:")) || str_starts(bound, S("[::]:")) || !own.n;
	rest = str_c(h->text);
	while (str_next(&rest, ',', &name)) {
		name = str_trim(name);
		if (str_eq(name, S("*")))
			h->any = true;
		add(h, name);
	}
	return OK;
}

void hosts_free(struct hosts *h)
{
	free(h->text);
	h->text = NULL;
}
