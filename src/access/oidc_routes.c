/* GET /api/v1/oidc, its logins, their return, and the end. What a browser sees when a login fails
 * is a sentence. */
#include "access/oidc_int.h"

static void get_providers(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct oidc *o = oidc_of(c);
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "providers");
	jw_arr(&w);
	for (size_t i = 0; i < o->config.n; i++) {
		const struct oidc_provider *p = &o->config.providers[i];
		jw_obj(&w);
		jw_kstr(&w, "name", p->name);
		jw_kstr(&w, "title", p->title);
		jw_key(&w, "login");
		jw_fmt(&w, "/api/v1/oidc/%.*s/login", STR_FMT(p->name));
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static void tell(struct http_response *rs, enum err e, const struct errtext *et)
{
	struct buf b = {0};
	buf_addf(&b, "Signing in failed: %s\n", err_text(e, et));
	http_reply(rs, err_http(e), "text/plain; charset=utf-8", buf_str(&b));
	buf_free(&b);
}

static void go(struct http_response *rs, struct str to)
{
	http_set_header(rs, "location", to);
	http_reply(rs, 303, "text/plain; charset=utf-8", S("continue there\n"));
}

static struct oidc_provider *provider_of(
	struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et;
	struct oidc_provider *p = oidc_find(c, http_param(rq, "provider"));
	if (!p)
		http_reply_error(
			rs, err_set(&et, ERR_NOT_FOUND, "there is no provider of this name"), &et);
	return p;
}

static void get_login(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str to;
	struct oidc_provider *p = provider_of(c, rq, rs);
	if (!p)
		return;
	enum err e = oidc_begin(c, rq, rs, p, http_query(rq, "next"), &to, &et);
	if (e)
		tell(rs, e, &et);
	else
		go(rs, to);
}

static void get_callback(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str next;
	struct oidc_provider *p = provider_of(c, rq, rs);
	if (!p)
		return;
	enum err e = oidc_finish(c, rq, rs, p, &next, &et);
	if (e)
		tell(rs, e, &et);
	else
		go(rs, next);
}

/* Ends the session here, and says where the provider's ends. */
static void post_logout(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct oidc_provider *p = provider_of(c, rq, rs);
	if (!p)
		return;
	enum err e = session_close(c, rq, rs, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct oidc_meta *m = oidc_meta_now(p);
	struct buf query = {0}, out = {0};
	struct jw w = {.out = &out};
	form_add(&query, "client_id", p->client_id);
	form_add(&query, "post_logout_redirect_uri",
		arena_fmt(rq->arena, "%.*s/", STR_FMT(oidc_own_url(oidc_of(c), rq))));
	jw_obj(&w);
	jw_kbool(&w, "signed_in", false);
	jw_key(&w, "url");
	if (m && m->end_session.n)
		jw_fmt(&w, "%.*s%s%.*s", STR_FMT(m->end_session),
			str_chr(m->end_session, '?') == STR_NONE ? "?" : "&",
			STR_FMT(buf_str(&query)));
	else
		jw_null(&w);
	jw_end(&w);
	oidc_meta_unref(m);
	http_reply_json(rs, 200, &w);
	buf_free(&query);
	buf_free(&out);
}

const struct route oidc_routes[N_OIDC_ROUTES] = {
	{HTTP_GET, "/api/v1/oidc", get_providers, PERM_PUBLIC,
		"The providers that one can sign in with", NULL, NULL,
		"{ providers: LoginProvider[] }", 0},
	{HTTP_GET, "/api/v1/oidc/{provider}/login", get_login, PERM_PUBLIC,
		"Sign in: sends the browser to the provider", "{ next? }", NULL, NULL, 0},
	{HTTP_GET, "/api/v1/oidc/{provider}/callback", get_callback, PERM_PUBLIC,
		"Where the provider sends the browser back to",
		"{ code?, state?, iss?, error?, error_description? }", NULL, NULL, 0},
	{HTTP_POST, "/api/v1/oidc/{provider}/logout", post_logout, PERM_SIGNED_IN,
		"Sign out here; url is where the provider's session ends", NULL, NULL,
		"{ signed_in: boolean, url: string | null }", 8192},
};

const struct shape oidc_shapes[N_OIDC_SHAPES] = {
	{"LoginProvider", "{ name, title, login }"},
};
