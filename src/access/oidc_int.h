/* Signing in with OpenID Connect: what its files share.
 *
 *	oidc.c          the module, its settings and thread; tokens as credentials of service
 *accounts oidc_config.c   the file of providers oidc_provider.c what a provider says of itself:
 *discovery and keys; its token endpoint oidc_login.c    one login: from the redirect to the account
 *and its roles oidc_store.c    SQL oidc_routes.c   routes jwt.c           tokens
 *
 * One login
 *
 *	browser                    croft                                provider
 *	  | GET .../login            | state, nonce, verifier, sealed       |
 *	  |------------------------->| into a cookie (nothing is kept)      |
 *	  |<---- 303 ----------------|                                      |
 *	  |----------------------------------------------- authorization -->|
 *	  |<--------------------------------------------- 302 code, state --|
 *	  | GET .../callback         | cookie opens, state is the same      |
 *	  |------------------------->|-- code, verifier ------------------->|
 *	  |                          |<------------- id token --------------|
 *	  |<-- 303, session ---------| signature, claims, nonce; account    |
 *
 * 1. Addresses come from the configuration and from the issuer's own document; redirects of a
 *    provider are not followed.
 * 2. An account belongs to (issuer, subject), never to a name or an address of mail.
 * 3. The I/O thread uses keys that are there and never fetches any. */
#ifndef ACCESS_OIDC_INT_H
#define ACCESS_OIDC_INT_H
#include "access/access_int.h"
#include "access/jwt.h"
#include "access/oidc.h"

enum { PROVIDERS_MAX = 16, ROLES_MAX = 200, GROUPS_MAX = 1000 };

struct oidc_role {
	struct str group, role, project; /* project "*": in every one */
};

struct oidc_subject {
	struct str subject, user;
};

/* What a provider says of itself. Counted: a login keeps what it began with. */
struct oidc_meta {
	atomic_uint refs;
	struct arena *arena;
	struct str authorization, token, userinfo, end_session; /* .n 0: there is none */
	bool basic;    /* the secret goes into a header, else into the form */
	bool says_iss; /* its answers name the issuer (RFC 9207) */
	struct jwk_set *keys;
	uint64_t fetched_ns;
};

struct oidc_provider {
	/* of the file; strings end with NUL */
	struct str name, title, issuer, client_id, client_secret, scopes, ca, name_claim,
		display_claim, groups_claim, default_role, audience;
	bool userinfo;
	struct oidc_role *roles;
	struct oidc_subject *subjects; /* whose tokens are credentials, and of which account */
	size_t n_roles, n_subjects;

	pthread_mutex_t fetching; /* one fetches */
	pthread_mutex_t mu;       /* guards meta */
	struct oidc_meta *meta;
	atomic_bool wanted; /* a token had a key that is not here */
};

struct oidc_config {
	struct arena *arena;
	struct str public_url;
	struct oidc_provider *providers;
	size_t n;
};

/* ERR_INVALID names file and line. */
enum err oidc_config_parse(
	struct str yaml, const char *path, struct oidc_config *out, struct errtext *et) MUST_CHECK;
void oidc_config_free(struct oidc_config *c);

struct oidc {
	struct oidc_config config;
	pthread_t thread;
	bool threaded;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool ending; /* guarded by mu */
};
struct oidc *oidc_of(struct croft *c); /* NULL: the module is not there */
struct oidc_provider *oidc_find(struct croft *c, struct str name);

/* ---- the provider ---- */

/* A reference. Not older than max_age_ms if it can be had; an older one when the provider does not
 * answer. */
enum err oidc_meta_get(struct oidc_provider *p, uint64_t max_age_ms, const struct cancel *cancel,
	struct oidc_meta **out, struct errtext *et) MUST_CHECK;
struct oidc_meta *oidc_meta_now(struct oidc_provider *p); /* a reference to what is here, or NULL */
void oidc_meta_unref(struct oidc_meta *m);
enum err oidc_meta_parse(const struct oidc_provider *p, struct str json, struct oidc_meta *m,
	struct str *jwks_uri, struct errtext *et) MUST_CHECK;
/* The token endpoint's answer to a code. */
enum err oidc_exchange(struct croft *c, const struct oidc_provider *p, const struct oidc_meta *m,
	struct str code, struct str verifier, struct str redirect_uri, const struct cancel *cancel,
	yyjson_doc **out, struct errtext *et) MUST_CHECK;
enum err oidc_userinfo(const struct oidc_provider *p, const struct oidc_meta *m, struct str token,
	const struct cancel *cancel, yyjson_doc **out, struct errtext *et) MUST_CHECK;
void form_add(struct buf *out, const char *name, struct str value); /* "&name=value" */

/* ---- a login ---- */

struct oidc_attempt {
	char state[44], nonce[44], verifier[44];
	struct str next;
};
enum err oidc_begin(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct oidc_provider *p, struct str next, struct str *to, struct errtext *et) MUST_CHECK;
/* Everything up to the session. *next: where to go. */
enum err oidc_finish(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct oidc_provider *p, struct str *next, struct errtext *et) MUST_CHECK;
/* Only a path of this server. */
struct str oidc_safe_next(struct str next);
/* The claims' groups to what they give: one role in each project, the first that fits. */
size_t oidc_roles_of(
	const struct oidc_provider *p, yyjson_val *claims, struct oidc_role out[ROLES_MAX + 1]);
/* A user name out of a claim: .n 0: nothing usable is in it. */
void oidc_name_of(struct str claim, char out[NAME_MAX_BYTES + 1]);
struct str oidc_own_url(const struct oidc *o, const struct http_request *rq);

/* ---- SQL ---- */

extern const struct migration oidc_migrations[];
enum { N_OIDC_MIGRATIONS = 1 };
/* *found false: nobody yet. */
enum err oidc_account_get(struct tx *tx, struct str issuer, struct str subject, struct id *user,
	bool *found, struct errtext *et) MUST_CHECK;
enum err oidc_account_put(struct tx *tx, struct str issuer, struct str subject, struct id user,
	int64_t now_ms, struct errtext *et) MUST_CHECK;
/* Roles that a provider gave; what a person gave is left alone. *changed: something was. */
enum err oidc_grants_set(struct tx *tx, struct id user, const struct oidc_role *want, size_t n,
	bool *changed, struct errtext *et) MUST_CHECK;

extern const struct route oidc_routes[];
extern const struct shape oidc_shapes[];
enum { N_OIDC_ROUTES = 4, N_OIDC_SHAPES = 1 };

#endif
