/* From a request to a principal: credentials, the user's grants, the project. Runs on the I/O
 * thread before a body is read: no SQL here but for the first use of a session on this server. */
#include "access/access_int.h"
#include "access/oidc.h"
#include "base/clock.h"

#include <openssl/crypto.h>

enum { STALE_MS = 15000 };

/* ---- what was sent ---- */

static bool same_secret(struct str sent, struct str wanted)
{
	/* digests: the time says nothing about the secret, not even its length */
	uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
	sha256_of(sent, a);
	sha256_of(wanted, b);
	return CRYPTO_memcmp(a, b, sizeof a) == 0;
}

/* "user:key" in base 64; clients that have only one field send it as the name. */
static struct str basic_secret(const struct http_request *rq, struct str encoded)
{
	struct buf b = {0};
	struct str secret = {0};
	if (base64_decode(&b, encoded)) {
		struct str all = buf_str(&b);
		size_t colon = str_chr(all, ':');
		struct str name = str_sub(all, 0, colon);
		secret = colon == STR_NONE ? name : str_sub(all, colon + 1, all.n);
		secret = arena_str(rq->arena, secret.n ? secret : name);
	}
	buf_free(&b);
	return secret;
}

/* *given: credentials were sent, be they readable or not. */
static struct str sent_secret(const struct http_request *rq, bool *given)
{
	struct str h = http_header(rq, "authorization");
	*given = true;
	if (h.n > 7 && str_eq_nocase(str_sub(h, 0, 7), S("bearer ")))
		return str_trim(str_sub(h, 7, h.n));
	if (h.n > 6 && str_eq_nocase(str_sub(h, 0, 6), S("basic ")))
		return basic_secret(rq, str_trim(str_sub(h, 6, h.n)));
	if (h.p)
		return (struct str){0};
	h = header_key(rq);
	*given = h.p != NULL;
	return h;
}

/* ---- the project ---- */

static enum err no_project(struct str name, struct errtext *et)
{
	return err_set(et, ERR_NOT_FOUND, "there is no project %.*s, or you are no member of it",
		STR_FMT(str_sub(name, 0, NAME_MAX_BYTES)));
}

static bool usable(const struct directory *d, struct str name)
{
	const struct dir_project *p = directory_project(d, name);
	return p && !p->archived;
}

/* What is meant when nothing was asked for: the key's, else default, else the only one. */
static struct str usual_project(const struct access_context *x)
{
	const struct dir_user *u = x->user;
	if (x->key && x->key->project.n)
		return x->key->project;
	if (directory_member(u, S("*")) || directory_member(u, S("default")))
		return S("default");
	const struct dir_member *m = u->members;
	return m && !m->next ? m->project : NO_PROJECT;
}

static enum err choose_project(const struct http_request *rq, const struct access_context *x,
	struct str *out, struct errtext *et)
{
	struct str asked = rq->project;
	bool all = directory_member(x->user, S("*")) != NULL;
	if (!asked.n) {
		*out = usual_project(x);
		if (!usable(x->dir, *out)) /* also when the key's is archived */
			*out = NO_PROJECT;
		return OK;
	}
	if (x->key && x->key->project.n && !str_eq(x->key->project, asked))
		return no_project(asked, et);
	if (!usable(x->dir, asked) || str_eq_c(asked, "*") ||
		(!all && !directory_member(x->user, asked)))
		return no_project(asked, et);
	*out = asked;
	return OK;
}

/* ---- the principal ---- */

static void grant(struct access_context *x, struct principal *who)
{
	const struct dir_member *all = directory_member(x->user, S("*"));
	const struct dir_member *one = directory_member(x->user, who->project);
	bool nowhere = str_eq(who->project, NO_PROJECT);
	if (one) {
		x->grants[x->n_grants++] = one;
		who->perms |= one->mask;
	}
	if (all) {
		x->grants[x->n_grants++] = all;
		who->perms |= nowhere ? all->mask & perms_house() : all->mask;
		who->house |= all->mask;
	}
	if (!x->key)
		return;
	who->perms &= x->key->mask;
	who->house &= x->key->mask;
	if (x->key->project.n) {
		who->perms &= ~perms_house();
		who->house = 0;
	}
}

static enum err known_user(const struct http_request *rq, struct access_context *x,
	struct principal *out, struct errtext *et)
{
	if (x->user->disabled)
		return err_set(et, ERR_UNAUTHENTICATED, "the account %.*s is disabled",
			STR_FMT(x->user->name));
	struct principal who = {.id = x->user->id, .name = x->user->name, .access = x};
	enum err e = choose_project(rq, x, &who.project, et);
	if (e)
		return e;
	grant(x, &who);
	*out = who;
	return OK;
}

/* The user of the data directory, the holder of api.key, or anybody while nobody has credentials.
 */
static enum err owner(const struct http_request *rq, const struct directory *d,
	struct principal *out, struct errtext *et)
{
	struct str project = rq->project.n ? rq->project : S("default");
	if (!directory_project(d, project))
		return err_set(et, ERR_NOT_FOUND,
			"there is no project %.*s: make it with `croft project add`",
			STR_FMT(str_sub(project, 0, NAME_MAX_BYTES)));
	*out = (struct principal){
		.name = S("local"), .project = project, .perms = PERMS_ALL, .house = PERMS_ALL};
	return OK;
}

static enum err by_key(const struct http_request *rq, struct access_context *x, struct str secret,
	struct principal *out, struct errtext *et)
{
	uint8_t hash[SHA256_BYTES];
	char when[CLOCK_TEXT];
	int64_t now = clock_unix_ms();
	sha256_of(secret, hash);
	struct dir_key *k = key_well_formed(secret) ? directory_key(x->dir, hash) : NULL;
	if (!k || !k->user || CRYPTO_memcmp(k->hash, hash, sizeof hash))
		return err_set(et, ERR_UNAUTHENTICATED,
			str_starts(secret, S("croft_")) && !key_well_formed(secret)
				? "this is no whole key: a character is wrong or missing"
				: "the key is not valid");
	if (k->revoked_ms)
		return err_set(
			et, ERR_UNAUTHENTICATED, "the key %.*s... was revoked", STR_FMT(k->prefix));
	if (k->expires_ms && now >= k->expires_ms) {
		clock_rfc3339(k->expires_ms, when);
		return err_set(et, ERR_UNAUTHENTICATED, "the key %.*s... expired at %s",
			STR_FMT(k->prefix), when);
	}
	if (now - atomic_load_explicit(&k->used_ms, memory_order_relaxed) > 60000)
		atomic_store_explicit(&k->used_ms, now, memory_order_relaxed);
	x->key = k;
	x->user = k->user;
	return known_user(rq, x, out, et);
}

/* A token of a provider (oidc.h) stands for a service account. */
static enum err by_token(struct croft *c, const struct http_request *rq, struct access_context *x,
	struct str secret, struct principal *out, bool *known, struct errtext *et)
{
	struct str name;
	enum err e = oidc_bearer(c, rq, secret, known, &name, et);
	if (e || !*known)
		return e;
	x->user = directory_user(x->dir, name);
	if (!x->user || !x->user->service)
		return err_set(et, ERR_UNAUTHENTICATED,
			"the token stands for %.*s, which is no service account here",
			STR_FMT(name));
	return known_user(rq, x, out, et);
}

/* Browsers say where a request that changes something comes from; the server has compared it. A
 * cookie alone, without that, is not taken. */
static bool says_origin(const struct http_request *rq)
{
	struct str site = http_header(rq, "sec-fetch-site");
	return rq->method == HTTP_GET || rq->method == HTTP_HEAD || rq->method == HTTP_OPTIONS ||
	       http_header(rq, "origin").p || str_eq_nocase(site, S("same-origin"));
}

static enum err by_session(struct croft *c, const struct http_request *rq, struct access_context *x,
	struct principal *out, bool *found, struct errtext *et)
{
	struct session_row s;
	*found = session_find(c, rq, &s);
	if (!*found)
		return OK;
	x->user = directory_user_by_id(x->dir, s.user);
	x->session = true;
	memcpy(x->session_hash, s.hash, SHA256_BYTES);
	if (!x->user) {
		*found = false;
		return OK;
	}
	if (!says_origin(rq))
		return err_set(et, ERR_FORBIDDEN,
			"a session changes things only for the page: send an Origin header, or use "
			"a "
			"key");
	return known_user(rq, x, out, et);
}

static void unref(void *dir)
{
	directory_unref(dir);
}

static struct access_context *make_context(struct croft *c, const struct http_request *rq)
{
	struct access_context *x = arena_new_of(rq->arena, struct access_context);
	if (!x)
		return NULL;
	x->dir = access_directory(c);
	if (arena_on_free(rq->arena, unref, x->dir))
		return x;
	directory_unref(x->dir);
	return NULL;
}

/* What was revoked on another server must not be valid here because this one cannot hear of it. */
static bool is_stale(struct access *s)
{
	uint64_t at = atomic_load(&s->followed_ns);
	return s->following && s->shared && clock_mono_ns() > at + (uint64_t)STALE_MS * 1000000;
}

enum err access_authenticate(
	struct croft *c, const struct http_request *rq, struct principal *out, struct errtext *et)
{
	struct access *s = access_of(c);
	struct access_context *x = make_context(c, rq);
	struct str root = setting_text(c, "api.key");
	bool given, found = false;
	if (!x)
		return err_set(et, ERR_NOMEM, "no memory for a request");
	if (rq->local || access_is_open(c, x->dir))
		return owner(rq, x->dir, out, et);
	struct str secret = sent_secret(rq, &given);
	if (secret.n &&
		((root.n && same_secret(secret, root)) || same_secret(secret, str_c(s->local_key))))
		return owner(rq, x->dir, out, et);
	if (is_stale(s))
		return err_set(et, ERR_NOT_READY,
			"the database cannot be reached, so that keys cannot be checked");
	if (secret.n && !key_well_formed(secret)) {
		enum err e = by_token(c, rq, x, secret, out, &found, et);
		if (e || found)
			return e;
	}
	if (secret.n)
		return by_key(rq, x, secret, out, et);
	if (!given) {
		enum err e = by_session(c, rq, x, out, &found, et);
		if (e || found)
			return e;
	}
	return err_set(et, ERR_UNAUTHENTICATED,
		"credentials are needed: send 'Authorization: Bearer KEY', or sign in");
}

/* ---- rules ---- */

enum err access_rule(const struct http_request *rq, enum perm p, const struct rule_subject *s,
	struct errtext *et)
{
	const struct access_context *x = context_of(rq);
	struct str by = S("");
	enum err e = need(rq, p, et);
	if (e || !x)
		return e;
	for (size_t i = 0; i < x->n_grants; i++) {
		const struct dir_member *m = x->grants[i];
		if ((m->mask & PERM_BIT(p)) && rules_accept(m->role_rules, p, s, &by) &&
			rules_accept(m->rules, p, s, &by))
			return OK;
	}
	return err_set(et, ERR_FORBIDDEN,
		"%.*s %.*s%s%.*s: the rule \"%.*s\" of your role in project %.*s forbids %s",
		STR_FMT(s->kind), STR_FMT(s->name), s->alias.n ? "@" : "", STR_FMT(s->alias),
		STR_FMT(by), STR_FMT(project_of(rq)), perm_word(p));
}

bool access_ruled(const struct http_request *rq, enum perm p)
{
	const struct access_context *x = context_of(rq);
	for (size_t i = 0; x && i < x->n_grants; i++) {
		const struct dir_member *m = x->grants[i];
		if ((m->mask & PERM_BIT(p)) && !rules_touch(m->role_rules, p) &&
			!rules_touch(m->rules, p))
			return false; /* this one alone gives it without a condition */
	}
	return x != NULL;
}
