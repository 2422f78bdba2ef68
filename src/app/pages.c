#include "app/pages.h"
#include "app/assets.h"

/* Scripts, styles and connections only from this server, nothing inline, no eval, no frames; and
 * no string ever becomes markup or script (trusted types). */
static const char policy[] =
	"default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
	"form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
	"trusted-types 'none'";

static void security_headers(struct http_response *rs)
{
	http_set_header(rs, "content-security-policy", str_c(policy));
	http_set_header(rs, "x-content-type-options", S("nosniff"));
	http_set_header(rs, "x-frame-options", S("DENY"));
	http_set_header(rs, "referrer-policy", S("no-referrer"));
	http_set_header(rs, "cross-origin-opener-policy", S("same-origin"));
	http_set_header(rs, "cross-origin-resource-policy", S("same-origin"));
	http_set_header(rs, "permissions-policy", S("camera=(), geolocation=(), microphone=()"));
}

/* "q=0", "q=0.00": not wanted. */
static bool refused(struct str parameters)
{
	struct str p;
	while (str_next(&parameters, ';', &p)) {
		p = str_trim(p);
		if (p.n < 2 || (p.p[0] != 'q' && p.p[0] != 'Q') || p.p[1] != '=')
			continue;
		double q;
		return !str_f64(str_trim(str_sub(p, 2, p.n)), &q) || q <= 0;
	}
	return false;
}

bool pages_takes_gzip(struct str accept)
{
	struct str item, name;
	bool any = false;
	while (str_next(&accept, ',', &item)) {
		if (!str_next(&item, ';', &name))
			continue;
		name = str_trim(name);
		if (str_eq_nocase(name, S("gzip")))
			return !refused(item);
		if (str_eq_c(name, "*"))
			any = !refused(item);
	}
	return any;
}

bool pages_wants_facts(struct str accept)
{
	return accept.n && str_find_nocase(accept, S("text/html")) == STR_NONE;
}

/* If-None-Match: a list of tags, each perhaps weak, or "*". */
static bool client_has(struct str tags, const char *etag)
{
	struct str tag;
	while (str_next(&tags, ',', &tag)) {
		tag = str_trim(tag);
		if (str_starts(tag, S("W/")))
			tag = str_sub(tag, 2, tag.n);
		if (str_eq_c(tag, etag) || str_eq_c(tag, "*"))
			return true;
	}
	return false;
}

static void send_asset(
	struct http_request *rq, struct http_response *rs, int status, const struct asset *a)
{
	security_headers(rs);
	http_set_header(rs, "etag", str_c(a->etag));
	http_set_header(rs, "vary", S("Accept-Encoding"));
	http_set_header(rs, "cache-control",
		a->immutable ? S("public, max-age=31536000, immutable") : S("no-cache"));
	if (status == 200 && client_has(http_header(rq, "if-none-match"), a->etag)) {
		http_reply_static(rs, 304, a->type, S(""));
		return;
	}
	struct str body = a->raw;
	if (a->gzip.n && a->gzip.n < a->raw.n &&
		pages_takes_gzip(http_header(rq, "accept-encoding"))) {
		http_set_header(rs, "content-encoding", S("gzip"));
		body = a->gzip;
	}
	http_reply_static(rs, status, a->type, body);
}

void pages_handle(struct http_request *rq, struct http_response *rs)
{
	const struct asset *a = asset_find(rq->path), *page = asset_find(S("/index.html"));
	if (a) {
		send_asset(rq, rs, 200, a);
	} else if (asset_is_view(rq->path)) {
		send_asset(rq, rs, 200, page);
	} else if (!str_starts(rq->path, S("/api/")) && !str_starts(rq->path, S("/v1/")) &&
		   str_find_nocase(http_header(rq, "accept"), S("text/html")) != STR_NONE) {
		send_asset(
			rq, rs, 404, page); /* a person: the page says that there is nothing here */
	} else {
		struct errtext et;
		http_reply_error(rs,
			err_set(&et, ERR_NOT_FOUND, "there is nothing at %.*s",
				STR_FMT(str_sub(rq->path, 0, 200))),
			&et);
	}
}
