/* One login with OpenID Connect: code flow with PKCE, state and nonce; the account of (issuer,
 * subject) and the roles that its groups give. */
#include "access/oidc_int.h"
#include "access/secret_int.h"
#include "base/clock.h"
#include "base/log.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>

enum { ATTEMPT_MS = 10 * 60 * 1000, META_MS = 10 * 60 * 1000, META_RETRY_MS = 5000 };
enum { LEEWAY_S = 60, NEXT_MAX = 512, NAMES_MAX = 20 };

#define COOKIE "croft_login"

/* ---- the cookie that holds an attempt: sealed, so that the server keeps nothing ---- */

static void cookie_key(struct croft *c, uint8_t key[KEY_BYTES])
{
	uint8_t text[16 + 32] = "croft oidc login";
	memcpy(text + 16, access_of(c)->session_key, 32);
	sha256_of(str_mk(text, sizeof text), key);
	OPENSSL_cleanse(text, sizeof text);
}

static void set_cookie(
	const struct http_request *rq, struct http_response *rs, struct str value, int max_age_s)
{
	struct buf b = {0};
	/* Lax: the provider's redirect comes from another site */
	buf_addf(&b, COOKIE "=%.*s; Path=/api/v1/oidc; HttpOnly; SameSite=Lax; Max-Age=%d%s",
		STR_FMT(value), max_age_s, rq->tls ? "; Secure" : "");
	http_set_header(rs, "set-cookie", buf_str(&b));
	buf_free(&b);
}

static struct str cookie_of(const struct http_request *rq)
{
	struct str rest = http_header(rq, "cookie"), part;
	while (str_next(&rest, ';', &part)) {
		part = str_trim(part);
		if (str_starts(part, S(COOKIE "=")))
			return str_sub(part, sizeof COOKIE, part.n);
	}
	return (struct str){0};
}

static enum err keep_attempt(struct croft *c, const struct http_request *rq,
	struct http_response *rs, const struct oidc_provider *p, const struct oidc_attempt *t,
	struct errtext *et)
{
	uint8_t key[KEY_BYTES];
	struct buf text = {0}, sealed = {0}, value = {0};
	struct jw w = {.out = &text};
	jw_obj(&w);
	jw_kstr(&w, "p", p->name);
	jw_kc(&w, "s", t->state);
	jw_kc(&w, "n", t->nonce);
	jw_kc(&w, "v", t->verifier);
	jw_kstr(&w, "t", t->next);
	jw_ki64(&w, "e", clock_unix_ms() + ATTEMPT_MS);
	jw_end(&w);
	cookie_key(c, key);
	enum err e = seal(key, S("croft login"), buf_str(&text), &sealed, et);
	OPENSSL_cleanse(key, sizeof key);
	base64url_encode(&value, buf_str(&sealed));
	if (!e)
		set_cookie(rq, rs, buf_str(&value), ATTEMPT_MS / 1000);
	secret_wipe(&text);
	buf_free(&sealed);
	buf_free(&value);
	return e;
}

static bool copy(char out[44], struct str s)
{
	if (s.n != 43)
		return false;
	memcpy(out, s.p, 43);
	out[43] = 0;
	return true;
}

static bool read_attempt(struct croft *c, const struct http_request *rq,
	const struct oidc_provider *p, struct oidc_attempt *out)
{
	uint8_t key[KEY_BYTES];
	struct buf sealed = {0}, text = {0};
	yyjson_doc *doc = NULL;
	struct str value = cookie_of(rq);
	cookie_key(c, key);
	bool good = value.n && value.n < 4096 && base64url_decode(&sealed, value) &&
		    !unseal(key, S("croft login"), buf_str(&sealed), &text, NULL) &&
		    !json_parse(buf_str(&text), &doc, NULL);
	OPENSSL_cleanse(key, sizeof key);
	yyjson_val *o = yyjson_doc_get_root(doc);
	good = good && str_eq(json_str(o, "p"), p->name) && json_i64(o, "e", 0) > clock_unix_ms() &&
	       copy(out->state, json_str(o, "s")) && copy(out->nonce, json_str(o, "n")) &&
	       copy(out->verifier, json_str(o, "v"));
	if (good)
		out->next = arena_str(rq->arena, oidc_safe_next(json_str(o, "t")));
	yyjson_doc_free(doc);
	secret_wipe(&text);
	buf_free(&sealed);
	return good;
}

/* ---- the way out ---- */

static void random_text(char out[44])
{
	uint8_t bytes[32];
	struct buf b = {0};
	random_bytes(bytes, sizeof bytes);
	base64url_encode(&b, str_mk(bytes, sizeof bytes));
	snprintf(out, 44, "%s", buf_c(&b));
	secret_wipe(&b);
}

struct str oidc_safe_next(struct str next)
{
	bool good = next.n && next.n <= NEXT_MAX && next.p[0] == '/' &&
		    (next.n == 1 || (next.p[1] != '/' && next.p[1] != '\\'));
	for (size_t i = 0; i < next.n && good; i++)
		good = next.p[i] > ' ' && next.p[i] < 0x7f && next.p[i] != '\\';
	return good ? next : S("/");
}

struct str oidc_own_url(const struct oidc *o, const struct http_request *rq)
{
	if (o->config.public_url.n)
		return o->config.public_url;
	/* the host is one that is served here: the server has compared it */
	return arena_fmt(
		rq->arena, "http%s://%.*s", rq->tls ? "s" : "", STR_FMT(http_header(rq, "host")));
}

static struct str redirect_uri(
	struct croft *c, const struct http_request *rq, const struct oidc_provider *p)
{
	struct str own = oidc_own_url(oidc_of(c), rq);
	return arena_fmt(
		rq->arena, "%.*s/api/v1/oidc/%.*s/callback", STR_FMT(own), STR_FMT(p->name));
}

static void challenge(const char *verifier, struct buf *out)
{
	uint8_t hash[SHA256_BYTES];
	sha256_of(str_c(verifier), hash);
	base64url_encode(out, str_mk(hash, sizeof hash));
}

enum err oidc_begin(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct oidc_provider *p, struct str next, struct str *to, struct errtext *et)
{
	struct oidc_meta *m;
	struct oidc_attempt t = {.next = oidc_safe_next(next)};
	enum err e = oidc_meta_get(p, META_MS, rq->cancel, &m, et);
	if (e)
		return e;
	random_text(t.state);
	random_text(t.nonce);
	random_text(t.verifier);
	struct buf query = {0}, hash = {0};
	challenge(t.verifier, &hash);
	form_add(&query, "response_type", S("code"));
	form_add(&query, "client_id", p->client_id);
	form_add(&query, "redirect_uri", redirect_uri(c, rq, p));
	form_add(&query, "scope", p->scopes);
	form_add(&query, "state", str_c(t.state));
	form_add(&query, "nonce", str_c(t.nonce));
	form_add(&query, "code_challenge", buf_str(&hash));
	form_add(&query, "code_challenge_method", S("S256"));
	bool has_query = str_chr(m->authorization, '?') != STR_NONE;
	*to = arena_fmt(rq->arena, "%.*s%s%.*s", STR_FMT(m->authorization), has_query ? "&" : "?",
		STR_FMT(buf_str(&query)));
	e = to->p && !query.err ? keep_attempt(c, rq, rs, p, &t, et)
				: err_set(et, ERR_NOMEM, "no memory for a login");
	OPENSSL_cleanse(&t, sizeof t);
	oidc_meta_unref(m);
	buf_free(&query);
	buf_free(&hash);
	return e;
}

/* ---- the way back: who is it ---- */

static bool same(struct str a, const char *b)
{
	return a.n == strlen(b) && CRYPTO_memcmp(a.p, b, a.n) == 0;
}

static enum err check_return(const struct http_request *rq, const struct oidc_provider *p,
	const struct oidc_meta *m, const struct oidc_attempt *t, struct errtext *et)
{
	struct str error = http_query(rq, "error"), iss = http_query(rq, "iss");
	if (!same(http_query(rq, "state"), t->state))
		return err_set(et, ERR_FORBIDDEN,
			"this answer does not belong to a login that this browser began: begin "
			"anew");
	if (error.n) {
		struct str about = http_query(rq, "error_description");
		return err_set(et, ERR_FORBIDDEN, "%.*s says: %.*s %.*s", STR_FMT(p->title),
			STR_FMT(str_sub(error, 0, 60)), STR_FMT(str_sub(about, 0, 200)));
	}
	/* RFC 9207: an answer of another issuer is not taken for this one's */
	if ((iss.n || m->says_iss) && !str_eq(iss, p->issuer))
		return err_set(et, ERR_FORBIDDEN, "this answer is of another issuer");
	if (!http_query(rq, "code").n)
		return err_set(et, ERR_INVALID, "the answer has no code");
	return OK;
}

static enum err verify_token(struct oidc_provider *p, struct oidc_meta **m, struct str token,
	const struct oidc_attempt *t, const struct cancel *cancel, yyjson_doc **out,
	struct errtext *et)
{
	bool unknown = false;
	yyjson_doc *doc = NULL;
	enum err e = jwt_verify(token, (*m)->keys, &doc, &unknown, et);
	if (e && unknown) { /* the issuer may have changed its keys */
		struct oidc_meta *newer;
		enum err got = oidc_meta_get(p, META_RETRY_MS, cancel, &newer, et);
		if (got)
			return got;
		oidc_meta_unref(*m);
		*m = newer;
		e = jwt_verify(token, (*m)->keys, &doc, &unknown, et);
	}
	if (e)
		return e;
	struct jwt_expect x = {.issuer = p->issuer,
		.audience = p->client_id,
		.party = p->client_id,
		.nonce = str_c(t->nonce),
		.now_s = clock_unix_ms() / 1000,
		.leeway_s = LEEWAY_S};
	e = jwt_check(yyjson_doc_get_root(doc), &x, et);
	if (e)
		yyjson_doc_free(doc);
	else
		*out = doc;
	return e;
}

/* ---- groups to roles ---- */

/* "groups", or a path as "realm_access.roles". */
static yyjson_val *claim(yyjson_val *claims, struct str path)
{
	yyjson_val *v = yyjson_obj_getn(claims, path.p, path.n);
	struct str part;
	if (v)
		return v;
	v = claims;
	while (v && str_next(&path, '.', &part))
		v = yyjson_obj_getn(v, part.p, part.n);
	return v;
}

static bool has_group(yyjson_val *groups, struct str want)
{
	size_t i, n;
	yyjson_val *g;
	if (yyjson_is_str(groups))
		return str_eq(json_val_str(groups), want);
	if (!yyjson_is_arr(groups) || yyjson_arr_size(groups) > GROUPS_MAX)
		return false;
	yyjson_arr_foreach(groups, i, n, g) if (str_eq(json_val_str(g), want)) return true;
	return false;
}

static void add_role(struct oidc_role *out, size_t *n, const struct oidc_role *role)
{
	for (size_t i = 0; i < *n; i++)
		if (str_eq(out[i].project, role->project))
			return;
	out[(*n)++] = *role;
}

size_t oidc_roles_of(
	const struct oidc_provider *p, yyjson_val *claims, struct oidc_role out[ROLES_MAX + 1])
{
	yyjson_val *groups = claim(claims, p->groups_claim);
	size_t n = 0, at = str_chr(p->default_role, '@');
	for (size_t i = 0; i < p->n_roles; i++)
		if (has_group(groups, p->roles[i].group))
			add_role(out, &n, &p->roles[i]);
	struct oidc_role otherwise = {.role = str_sub(p->default_role, 0, at),
		.project = at == STR_NONE ? S("*") : str_sub(p->default_role, at + 1, STR_NONE)};
	if (p->default_role.n)
		add_role(out, &n, &otherwise);
	return n;
}

/* ---- the account ---- */

void oidc_name_of(struct str text, char out[NAME_MAX_BYTES + 1])
{
	size_t n = 0;
	for (size_t i = 0; i < text.n && n + 4 < NAME_MAX_BYTES; i++) {
		unsigned char ch = (unsigned char)tolower((unsigned char)text.p[i]);
		bool good = (ch < 0x80 && isalnum(ch)) || (n && strchr("._-@", ch) && ch);
		if (good)
			out[n++] = (char)ch;
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && !isalnum((unsigned char)out[n - 1]))
		n--;
	out[n] = 0;
}

struct arrival {
	struct oidc_provider *p;
	struct str subject, display;
	char name[NAME_MAX_BYTES + 1]; /* wanted */
	struct oidc_role roles[ROLES_MAX + 1];
	size_t n_roles;
	struct id user;
};

static enum err audit_arrival(struct tx *tx, const struct arrival *a, const char *action,
	struct str name, struct errtext *et)
{
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	jw_obj(&w);
	jw_kstr(&w, "issuer", a->p->issuer);
	jw_kstr(&w, "subject", a->subject);
	jw_key(&w, "roles");
	jw_arr(&w);
	for (size_t i = 0; i < a->n_roles; i++)
		jw_fmt(&w, "%.*s@%.*s", STR_FMT(a->roles[i].role), STR_FMT(a->roles[i].project));
	jw_end(&w);
	jw_end(&w);
	enum err e = audit_add(tx, NULL, action, name, buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

/* A name that is taken belongs to somebody else, whatever the provider says. */
static enum err new_account(struct tx *tx, struct arrival *a, struct errtext *et)
{
	char name[NAME_MAX_BYTES + 1];
	enum err e = ERR_CONFLICT;
	for (unsigned i = 1; i <= NAMES_MAX && e == ERR_CONFLICT; i++) {
		if (i == 1)
			snprintf(name, sizeof name, "%s", a->name);
		else
			snprintf(name, sizeof name, "%.60s-%u", a->name, i);
		e = access_user_add(tx, str_c(name), a->display, &a->user, et);
	}
	return e ? e : audit_arrival(tx, a, "user.add", str_c(name), et);
}

static enum err arrive(struct tx *tx, void *ctx, struct errtext *et)
{
	struct arrival *a = ctx;
	bool found, changed = false;
	enum err e = oidc_account_get(tx, a->p->issuer, a->subject, &a->user, &found, et);
	if (!e && !found)
		e = new_account(tx, a, et);
	if (!e)
		e = oidc_account_put(tx, a->p->issuer, a->subject, a->user, clock_unix_ms(), et);
	if (!e)
		e = oidc_grants_set(tx, a->user, a->roles, a->n_roles, &changed, et);
	if (!e && changed && found)
		e = audit_arrival(tx, a, "member.sync", str_c(a->name), et);
	return e;
}

static enum err come_in(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct oidc_provider *p, yyjson_val *claims, yyjson_val *more, struct errtext *et)
{
	struct arrival *a = arena_new_of(rq->arena, struct arrival);
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory for a login");
	yyjson_val *name = claim(claims, p->name_claim), *display = claim(claims, p->display_claim);
	a->p = p;
	a->subject = json_str(claims, "sub");
	oidc_name_of(json_val_str(name ? name : claim(more, p->name_claim)), a->name);
	if (!*a->name)
		snprintf(a->name, sizeof a->name, "%.40s-user", p->name.p);
	a->display =
		str_sub(json_val_str(display ? display : claim(more, p->display_claim)), 0, 200);
	a->display.n = utf8_complete_prefix(a->display);
	if (!a->display.p || memchr(a->display.p, 0, a->display.n))
		a->display = S("");
	bool in_token = claim(claims, p->groups_claim) != NULL;
	a->n_roles = oidc_roles_of(p, in_token || !more ? claims : more, a->roles);
	/* the groups decide who may come in at all */
	if (!a->n_roles)
		return err_set(et, ERR_FORBIDDEN,
			"your groups at %.*s give you no role here: ask someone who manages access",
			STR_FMT(p->title));
	enum err e = access_change(c, arrive, a, et);
	return e ? e : session_open(c, rq, rs, a->user, "oidc", et);
}

/* The claims that the userinfo endpoint adds; they must be of the same subject. */
static enum err more_claims(const struct oidc_provider *p, const struct oidc_meta *m,
	yyjson_val *tokens, yyjson_val *claims, const struct cancel *cancel, yyjson_doc **out,
	struct errtext *et)
{
	if (!p->userinfo)
		return OK;
	enum err e = oidc_userinfo(p, m, json_str(tokens, "access_token"), cancel, out, et);
	if (e)
		return e;
	if (str_eq(json_str(yyjson_doc_get_root(*out), "sub"), json_str(claims, "sub")))
		return OK;
	return err_set(et, ERR_UNAUTHENTICATED, "the userinfo endpoint speaks of somebody else");
}

static enum err finish(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct oidc_provider *p, struct oidc_meta **m, const struct oidc_attempt *t,
	struct errtext *et)
{
	yyjson_doc *tokens = NULL, *claims = NULL, *more = NULL;
	enum err e = check_return(rq, p, *m, t, et);
	if (!e)
		e = oidc_exchange(c, p, *m, http_query(rq, "code"), str_c(t->verifier),
			redirect_uri(c, rq, p), rq->cancel, &tokens, et);
	yyjson_val *answer = yyjson_doc_get_root(tokens);
	if (!e)
		e = verify_token(p, m, json_str(answer, "id_token"), t, rq->cancel, &claims, et);
	if (!e)
		e = more_claims(p, *m, answer, yyjson_doc_get_root(claims), rq->cancel, &more, et);
	if (!e)
		e = come_in(
			c, rq, rs, p, yyjson_doc_get_root(claims), yyjson_doc_get_root(more), et);
	yyjson_doc_free(more);
	if (claims)
		yyjson_doc_free(claims);
	yyjson_doc_free(tokens);
	return e;
}

enum err oidc_finish(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct oidc_provider *p, struct str *next, struct errtext *et)
{
	struct oidc_attempt t;
	struct oidc_meta *m;
	if (!read_attempt(c, rq, p, &t))
		return err_set(et, ERR_FORBIDDEN,
			"this browser began no login with %.*s, or more than ten minutes ago: "
			"begin "
			"anew",
			STR_FMT(p->title));
	enum err e = oidc_meta_get(p, META_MS, rq->cancel, &m, et);
	if (!e) {
		e = finish(c, rq, rs, p, &m, &t, et);
		oidc_meta_unref(m);
	}
	*next = t.next;
	OPENSSL_cleanse(&t, sizeof t);
	return e;
}
