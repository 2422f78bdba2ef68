/* What a provider says of itself (discovery, keys), kept for a while; and its token and userinfo
 * endpoints. */
#include "access/oidc_int.h"
#include "access/secret.h"
#include "base/clock.h"
#include "net/client.h"

#include <stdlib.h>

enum { CONNECT_MS = 5000, TOTAL_MS = 10000, REPLY_MAX = 256 << 10 };

static enum err ask(const struct oidc_provider *p, struct client_request *rq, struct buf *body,
	const char *what, struct errtext *et)
{
	struct client_reply reply = {0};
	rq->connect_ms = CONNECT_MS;
	rq->total_ms = TOTAL_MS;
	rq->reply_max = REPLY_MAX;
	rq->no_redirects = true;
	rq->ca = p->ca.p;
	enum err e = client_run(rq, &reply, et);
	if (e)
		return err_wrap(et, e == ERR_CANCELLED ? e : ERR_NETWORK, "%.*s: %s",
			STR_FMT(p->name), what);
	if (reply.status != 200)
		e = err_set(et, ERR_NETWORK, "%.*s: %s answered %d", STR_FMT(p->name), what,
			reply.status);
	else
		buf_adds(body, buf_str(&reply.body));
	if (reply.body.p)
		secret_wipe(&reply.body);
	client_reply_free(&reply);
	return e ? e : body->err;
}

/* ---- discovery ---- */

/* https, or as little protected as a test's issuer itself. */
static bool endpoint_ok(const struct oidc_provider *p, struct str url)
{
	bool plain = str_starts(p->issuer, S("http://"));
	return url.n < 2000 &&
	       (str_starts(url, S("https://")) || (plain && str_starts(url, S("http://"))));
}

static enum err endpoint(const struct oidc_provider *p, yyjson_val *o, const char *key, bool needed,
	struct arena *a, struct str *out, struct errtext *et)
{
	struct str url = json_str(o, key);
	if (!url.n && !needed) {
		*out = S("");
		return OK;
	}
	if (!endpoint_ok(p, url) || memchr(url.p, 0, url.n))
		return err_set(et, ERR_NETWORK, "%.*s: its discovery document has no usable %s",
			STR_FMT(p->name), key);
	*out = arena_str(a, url);
	return out->p ? OK : err_set(et, ERR_NOMEM, "no memory");
}

static bool lists(yyjson_val *o, const char *key, const char *value, bool otherwise)
{
	yyjson_val *list = yyjson_obj_get(o, key), *v;
	size_t i, n;
	if (!yyjson_is_arr(list))
		return otherwise;
	yyjson_arr_foreach(list, i, n, v) if (str_eq_c(json_val_str(v), value)) return true;
	return false;
}

enum err oidc_meta_parse(const struct oidc_provider *p, struct str json, struct oidc_meta *m,
	struct str *jwks_uri, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return err_wrap(et, ERR_NETWORK, "%.*s: discovery document", STR_FMT(p->name));
	yyjson_val *o = yyjson_doc_get_root(doc);
	struct str issuer = json_str(o, "issuer");
	if (!str_eq(issuer, p->issuer))
		e = err_set(et, ERR_NETWORK,
			"%.*s: its discovery document is of the issuer \"%.*s\", configured is "
			"\"%.*s\"",
			STR_FMT(p->name), STR_FMT(str_sub(issuer, 0, 100)),
			STR_FMT(str_sub(p->issuer, 0, 100)));
	if (!e)
		e = endpoint(p, o, "authorization_endpoint", true, m->arena, &m->authorization, et);
	if (!e)
		e = endpoint(p, o, "token_endpoint", true, m->arena, &m->token, et);
	if (!e)
		e = endpoint(p, o, "userinfo_endpoint", p->userinfo, m->arena, &m->userinfo, et);
	if (!e)
		e = endpoint(p, o, "end_session_endpoint", false, m->arena, &m->end_session, et);
	if (!e)
		e = endpoint(p, o, "jwks_uri", true, m->arena, jwks_uri, et);
	m->basic = lists(o, "token_endpoint_auth_methods_supported", "client_secret_basic", true);
	m->says_iss = json_bool(o, "authorization_response_iss_parameter_supported", false);
	yyjson_doc_free(doc);
	return e;
}

static enum err get(const struct oidc_provider *p, const char *url, const struct cancel *cancel,
	struct buf *body, const char *what, struct errtext *et)
{
	struct client_request rq = {.method = HTTP_GET, .url = url, .cancel = cancel};
	return ask(p, &rq, body, what, et);
}

static enum err fill(const struct oidc_provider *p, struct oidc_meta *m,
	const struct cancel *cancel, struct errtext *et)
{
	struct buf url = {0}, body = {0};
	struct str jwks_uri, issuer = p->issuer;
	while (str_ends(issuer, S("/")))
		issuer.n--;
	buf_addf(&url, "%.*s/.well-known/openid-configuration", STR_FMT(issuer));
	enum err e = get(p, buf_c(&url), cancel, &body, "the discovery document", et);
	if (!e)
		e = oidc_meta_parse(p, buf_str(&body), m, &jwks_uri, et);
	buf_clear(&body);
	if (!e)
		e = get(p, jwks_uri.p, cancel, &body, "the key set", et);
	if (!e) {
		e = jwks_parse(buf_str(&body), &m->keys, et);
		if (e)
			err_wrap(et, e = ERR_NETWORK, "%.*s", STR_FMT(p->name));
	}
	buf_free(&url);
	buf_free(&body);
	return e;
}

static enum err fetch(const struct oidc_provider *p, const struct cancel *cancel,
	struct oidc_meta **out, struct errtext *et)
{
	struct oidc_meta *m = calloc(1, sizeof *m);
	if (m)
		m->arena = arena_new(64 << 10);
	if (!m || !m->arena) {
		free(m);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	atomic_init(&m->refs, 1);
	enum err e = fill(p, m, cancel, et);
	m->fetched_ns = clock_mono_ns();
	if (e)
		oidc_meta_unref(m);
	else
		*out = m;
	return e;
}

void oidc_meta_unref(struct oidc_meta *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	jwks_free(m->keys);
	arena_free(m->arena);
	free(m);
}

struct oidc_meta *oidc_meta_now(struct oidc_provider *p)
{
	pthread_mutex_lock(&p->mu);
	struct oidc_meta *m = p->meta;
	if (m)
		atomic_fetch_add(&m->refs, 1);
	pthread_mutex_unlock(&p->mu);
	return m;
}

static bool fresh(const struct oidc_meta *m, uint64_t max_age_ms)
{
	return m && clock_mono_ns() - m->fetched_ns < max_age_ms * 1000000;
}

enum err oidc_meta_get(struct oidc_provider *p, uint64_t max_age_ms, const struct cancel *cancel,
	struct oidc_meta **out, struct errtext *et)
{
	struct oidc_meta *m = oidc_meta_now(p), *newer = NULL;
	if (fresh(m, max_age_ms)) {
		*out = m;
		return OK;
	}
	oidc_meta_unref(m);
	pthread_mutex_lock(&p->fetching);
	m = oidc_meta_now(p); /* another may have been faster */
	enum err e = fresh(m, max_age_ms) ? OK : fetch(p, cancel, &newer, et);
	if (newer) {
		atomic_fetch_add(&newer->refs, 1);
		pthread_mutex_lock(&p->mu);
		struct oidc_meta *old = p->meta;
		p->meta = newer;
		pthread_mutex_unlock(&p->mu);
		oidc_meta_unref(old);
		oidc_meta_unref(m);
		m = newer;
	}
	pthread_mutex_unlock(&p->fetching);
	if (!m)
		return e;
	*out = m;
	return OK;
}

/* ---- the token endpoint ---- */

void form_add(struct buf *out, const char *name, struct str value)
{
	buf_addf(out, "%s%s=", out->n ? "&" : "", name);
	url_encode(out, value);
}

/* "env:NAME", "secret:NAME" of the project default, or the secret itself. */
static enum err client_secret(
	struct croft *c, const struct oidc_provider *p, struct buf *out, struct errtext *et)
{
	struct str s = p->client_secret;
	if (str_starts(s, S("secret:"))) {
		enum err e = secret_get(c, S("default"), str_sub(s, 7, s.n), out, et);
		return e ? err_wrap(et, e, "%.*s: client_secret", STR_FMT(p->name)) : OK;
	}
	if (!str_starts(s, S("env:"))) {
		buf_adds(out, s);
		return out->err;
	}
	const char *value = getenv(s.p + 4);
	if (!value || !*value)
		return err_set(et, ERR_NOT_READY, "%.*s: client_secret: the environment has no %s",
			STR_FMT(p->name), s.p + 4);
	buf_addc(out, value);
	return out->err;
}

/* RFC 6749, 2.3.1: both are form-encoded before they are joined. */
static void basic_header(struct buf *out, struct str id, struct str secret)
{
	struct buf both = {0};
	url_encode(&both, id);
	buf_putc(&both, ':');
	url_encode(&both, secret);
	buf_addc(out, "Basic ");
	base64_encode(out, buf_str(&both));
	secret_wipe(&both);
}

enum err oidc_exchange(struct croft *c, const struct oidc_provider *p, const struct oidc_meta *m,
	struct str code, struct str verifier, struct str redirect_uri, const struct cancel *cancel,
	yyjson_doc **out, struct errtext *et)
{
	struct buf secret = {0}, form = {0}, auth = {0}, body = {0};
	struct http_pair headers[3] = {{S("content-type"), S("application/x-www-form-urlencoded")},
		{S("accept"), S("application/json")}};
	enum err e = client_secret(c, p, &secret, et);
	form_add(&form, "grant_type", S("authorization_code"));
	form_add(&form, "code", code);
	form_add(&form, "redirect_uri", redirect_uri);
	form_add(&form, "code_verifier", verifier);
	bool basic = secret.n && m->basic;
	if (!basic)
		form_add(&form, "client_id", p->client_id);
	if (secret.n && !basic)
		form_add(&form, "client_secret", buf_str(&secret));
	if (basic)
		basic_header(&auth, p->client_id, buf_str(&secret));
	headers[2] = (struct http_pair){S("authorization"), buf_str(&auth)};
	struct client_request rq = {.method = HTTP_POST,
		.url = m->token.p,
		.headers = headers,
		.n_headers = basic ? 3 : 2,
		.body = buf_str(&form),
		.cancel = cancel};
	if (!e)
		e = ask(p, &rq, &body, "the token endpoint", et);
	if (!e && json_parse(buf_str(&body), out, NULL)) /* its words might quote a token */
		e = err_set(et, ERR_NETWORK, "%.*s: the token endpoint's answer is not JSON",
			STR_FMT(p->name));
	secret_wipe(&secret);
	secret_wipe(&form);
	secret_wipe(&auth);
	secret_wipe(&body);
	return e;
}

enum err oidc_userinfo(const struct oidc_provider *p, const struct oidc_meta *m, struct str token,
	const struct cancel *cancel, yyjson_doc **out, struct errtext *et)
{
	struct buf auth = {0}, body = {0};
	buf_addf(&auth, "Bearer %.*s", STR_FMT(token));
	struct http_pair headers[] = {{S("authorization"), buf_str(&auth)}};
	struct client_request rq = {.method = HTTP_GET,
		.url = m->userinfo.p,
		.headers = headers,
		.n_headers = 1,
		.cancel = cancel};
	enum err e = ask(p, &rq, &body, "the userinfo endpoint", et);
	if (!e && json_parse(buf_str(&body), out, NULL))
		e = err_set(et, ERR_NETWORK, "%.*s: the userinfo endpoint's answer is not JSON",
			STR_FMT(p->name));
	secret_wipe(&auth);
	buf_free(&body);
	return e;
}
