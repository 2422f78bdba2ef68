#include "module/module_int.h"

#include "base/clock.h"

#include <openssl/crypto.h>
#include <stdio.h>

/* Matches one pattern; fills params. "{x}" is one segment, "{x...}" the rest (at least a byte). */
static bool match(const char *pattern, struct str path, struct http_request *rq)
{
	const char *p = pattern;
	size_t i = 0;
	rq->n_params = 0;
	while (*p) {
		if (*p != '{') {
			if (i >= path.n || path.p[i] != *p)
				return false;
			p++, i++;
			continue;
		}
		const char *end = strchr(p, '}');
		struct str name = str_mk(p + 1, (size_t)(end - p - 1));
		bool rest = str_ends(name, S("..."));
		if (rest)
			name.n -= 3;
		size_t from = i;
		while (i < path.n && (rest || path.p[i] != '/'))
			i++;
		if (i == from && !rest)
			return false;
		if (rq->n_params < ARRAY_LEN(rq->params))
			rq->params[rq->n_params++] =
				(struct http_pair){name, str_sub(path, from, i)};
		p = end + 1;
	}
	return i == path.n;
}

/* Rows in module order; a fixed path is preferred to one with parameters. */
const struct route *route_find(const struct croft *c, struct http_request *rq, unsigned *allowed)
{
	const struct route *found = NULL;
	unsigned method = rq->method == HTTP_HEAD ? HTTP_GET : rq->method;
	*allowed = 0;
	for (size_t m = 0; m < c->n_modules; m++)
		for (size_t i = 0; i < c->modules[m]->n_routes; i++) {
			const struct route *r = &c->modules[m]->routes[i];
			if (!match(r->path, rq->path, rq))
				continue;
			bool fixed = !strchr(r->path, '{'), rest = strstr(r->path, "...}") != NULL;
			if (!rest)
				*allowed |= r->method;
			if (r->method != method)
				continue;
			if (fixed)
				return r;
			bool found_rest = found && strstr(found->path, "...}");
			if (!found || (found_rest && !rest) ||
				(found_rest && rest && strlen(r->path) > strlen(found->path)))
				found = r;
		}
	/* A catch-all page must not answer for a path that an API row owns with other methods. */
	if (found && strstr(found->path, "...}") && *allowed && !(*allowed & method))
		return NULL;
	if (found)
		match(found->path, rq->path, rq);
	return found;
}

/* ---- who asks, and may they ---- */

static const struct {
	const char *word, *about;
} perms[PERM_COUNT] = {[PERM_PUBLIC] = {"public", "nothing"},
	[PERM_SIGNED_IN] = {"signed_in", "valid credentials"},
#define X(name, word, about) [name] = {word, about},
	PERM_TABLE(X)
#undef X
};

_Static_assert(PERM_COUNT <= 64, "permissions are bits of a 64-bit mask");

const char *perm_word(enum perm p)
{
	return perms[p].word;
}

const char *perm_about(enum perm p)
{
	return perms[p].about;
}

bool perm_parse(struct str word, enum perm *out)
{
	for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++)
		if (str_eq_c(word, perms[p].word)) {
			*out = (enum perm)p;
			return true;
		}
	return false;
}

bool may(const struct http_request *rq, enum perm p)
{
	if (p == PERM_PUBLIC)
		return true;
	if (!rq->who)
		return false;
	return p == PERM_SIGNED_IN || (rq->who->perms >> p & 1);
}

bool may_house(const struct http_request *rq, enum perm p)
{
	return rq->who && (rq->who->house >> p & 1);
}

enum err need(const struct http_request *rq, enum perm p, struct errtext *et)
{
	if (may(rq, p))
		return OK;
	return err_set(et, ERR_FORBIDDEN,
		"this needs the permission %s (%s) in project %.*s: ask someone who manages access",
		perms[p].word, perms[p].about, STR_FMT(project_of(rq)));
}

struct str project_of(const struct http_request *rq)
{
	return rq->who && rq->who->project.n ? rq->who->project : S("default");
}

struct str header_key(const struct http_request *rq)
{
	struct str key = http_header(rq, "x-api-key");
	return key.p ? key : http_header(rq, "api-key");
}

bool api_key_ok(const struct croft *c, const struct http_request *rq)
{
	struct str key = setting_text(c, "api.key");
	if (rq->local || !key.n)
		return true;
	struct str sent = http_header(rq, "authorization");
	if (sent.n > 7 && str_eq_nocase(str_sub(sent, 0, 7), S("bearer ")))
		sent = str_trim(str_sub(sent, 7, sent.n));
	else
		sent = header_key(rq);
	/* compare digests: the time says nothing about the key, not even its length */
	uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
	sha256_of(key, a);
	sha256_of(sent, b);
	return CRYPTO_memcmp(a, b, sizeof a) == 0;
}

static enum err authenticate_by_api_key(
	struct croft *c, const struct http_request *rq, struct principal *out, struct errtext *et)
{
	if (!api_key_ok(c, rq))
		return err_set(et, ERR_UNAUTHENTICATED,
			"a valid API key is needed: send 'Authorization: Bearer KEY'");
	*out = (struct principal){.name = S("local"),
		.project = rq->project.n ? rq->project : S("default"),
		.perms = PERMS_ALL,
		.house = PERMS_ALL};
	return OK;
}

void croft_set_authenticate(struct croft *c, authenticate_fn fn)
{
	c->authenticate = fn;
}

/* ---- other protocols ---- */

static const struct face *face_of(const struct croft *c, struct str path)
{
	for (size_t m = 0; m < c->n_modules; m++)
		for (size_t i = 0; i < c->modules[m]->n_faces; i++)
			if (str_starts(path, str_c(c->modules[m]->faces[i].prefix)))
				return &c->modules[m]->faces[i];
	return NULL;
}

static void refuse(struct croft *c, struct http_request *rq, struct http_response *rs, enum err e,
	const struct errtext *et)
{
	const struct face *f = face_of(c, rq->path);
	(f ? f->error : http_reply_error)(rs, e, et);
}

static void refuse_path(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	const struct face *f = face_of(c, rq->path);
	struct errtext et;
	enum err e = err_set(
		&et, ERR_NOT_FOUND, "there is nothing at %.*s", STR_FMT(str_sub(rq->path, 0, 200)));
	(f && f->no_path ? f->no_path : f ? f->error : http_reply_error)(rs, e, &et);
}

/* A path that is read as another one: once, since the other one is no face's second name. */
static void read_as(struct croft *c, struct http_request *rq)
{
	const struct face *f = face_of(c, rq->path);
	if (!f || !f->read_as)
		return;
	struct str rest = str_sub(rq->path, strlen(f->prefix), rq->path.n);
	struct str path = arena_fmt(rq->arena, "%s%.*s", f->read_as, STR_FMT(rest));
	if (path.p)
		rq->path = path;
}

/* Sets rq->who; the answer is sent when that fails. */
static bool authenticated(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct principal *who = arena_new_of(rq->arena, struct principal);
	enum err e =
		who ? (c->authenticate ? c->authenticate : authenticate_by_api_key)(c, rq, who, &et)
		    : err_set(&et, ERR_NOMEM, "no memory for a request");
	if (!e) {
		rq->who = who;
		return true;
	}
	if (e == ERR_UNAUTHENTICATED)
		http_set_header(rs, "www-authenticate", S("Bearer"));
	refuse(c, rq, rs, e, &et);
	return false;
}

static void allow_header(struct http_response *rs, unsigned allowed)
{
	char list[80] = "";
	for (unsigned m = 1; m <= HTTP_OPTIONS; m <<= 1)
		if (allowed & m) {
			if (*list)
				strcat(list, ", ");
			strcat(list, http_method_name((enum http_method)m));
		}
	http_set_header(rs, "allow", str_c(list));
}

/* Which project is asked for. Called twice for a request that came over a socket. */
static enum err take_project(struct http_request *rq, struct errtext *et)
{
	struct str header = http_header(rq, "x-croft-project");
	if (rq->project.p)
		return OK;
	if (str_starts(rq->path, S("/p/"))) {
		struct str rest = str_sub(rq->path, 3, rq->path.n);
		size_t slash = str_chr(rest, '/');
		rq->project = str_sub(rest, 0, slash);
		rq->path = slash == STR_NONE ? S("/") : str_sub(rest, slash, rest.n);
		if (!rq->project.n)
			return err_set(et, ERR_INVALID, "/p/ must be followed by a project's name");
	}
	if (header.n && rq->project.p && !str_eq(header, rq->project))
		return err_set(et, ERR_INVALID,
			"the path and the header x-croft-project name two projects: send one");
	if (header.n)
		rq->project = header;
	return OK;
}

/* The page's catch-all row answers for no path of another protocol. */
static const struct route *find_within_face(
	const struct croft *c, struct http_request *rq, unsigned *allowed)
{
	const struct route *r = route_find(c, rq, allowed);
	const struct face *f = r ? face_of(c, rq->path) : NULL;
	const char *rest = r ? strstr(r->path, "...}") : NULL;
	if (!f || !rest || (size_t)(strchr(r->path, '{') - r->path) >= strlen(f->prefix))
		return r;
	return NULL;
}

static _Thread_local const struct http_request *handling;

const struct http_request *croft_request(void)
{
	return handling;
}

static const struct route *admit(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	unsigned allowed;
	enum err asked = take_project(rq, &et);
	if (asked) {
		refuse(c, rq, rs, asked, &et);
		return NULL;
	}
	read_as(c, rq);
	const struct route *r = find_within_face(c, rq, &allowed);
	if (!r && allowed) {
		allow_header(rs, allowed);
		refuse(c, rq, rs,
			err_set(&et, ERR_METHOD, "%s is not a method of %.*s",
				http_method_name(rq->method), STR_FMT(str_sub(rq->path, 0, 200))),
			&et);
		return NULL;
	}
	if (r && r->perm == PERM_PUBLIC)
		return r;
	/* without credentials nobody learns which paths exist */
	if (!authenticated(c, rq, rs))
		return NULL;
	if (!r) {
		refuse_path(c, rq, rs);
		return NULL;
	}
	enum err e = need(rq, r->perm, &et);
	if (e) {
		refuse(c, rq, rs, e, &et);
		return NULL;
	}
	return r;
}

static void run_route(
	struct croft *c, const struct route *r, struct http_request *rq, struct http_response *rs)
{
	uint64_t from = clock_mono_ns();
	r->fn(c, rq, rs);
	route_metrics_add(c, r, http_reply_status(rs), clock_mono_ns() - from);
}

bool croft_check(void *croft, struct http_request *rq, struct http_response *rs)
{
	struct croft *c = croft;
	const struct route *r = admit(c, rq, rs);
	if (!r)
		return false;
	struct str length = http_header(rq, "content-length");
	uint64_t n = 0, max = r->body_max ? r->body_max : (uint64_t)setting_int(c, "http.body_max");
	if (length.n && str_u64(length, &n) && n > max) {
		struct errtext et;
		refuse(c, rq, rs,
			err_set(&et, ERR_TOO_LARGE,
				"the body has %llu bytes, the limit of this route is %llu",
				(unsigned long long)n, (unsigned long long)max),
			&et);
		return false;
	}
	if (r->at_once)
		run_route(c, r, rq, rs);
	return !r->at_once;
}

void croft_handle(void *croft, struct http_request *rq, struct http_response *rs)
{
	struct croft *c = croft;
	const struct route *r = admit(c, rq, rs);
	if (!r)
		return;
	uint64_t max = r->body_max ? r->body_max : (uint64_t)setting_int(c, "http.body_max");
	if (rq->body.n > max) {
		struct errtext et;
		refuse(c, rq, rs,
			err_set(&et, ERR_TOO_LARGE,
				"the body has %zu bytes, the limit of this route is %llu",
				rq->body.n, (unsigned long long)max),
			&et);
		return;
	}
	const struct http_request *outer = handling;
	handling = rq;
	run_route(c, r, rq, rs);
	handling = outer;
}
