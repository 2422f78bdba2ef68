/* What the files of this folder share.
 *
 *	access_module.c the rows: routes, commands, settings
 *	access.c        state, changes, the thread that follows other servers
 *	perm.c          sets of permissions, built-in roles
 *	rule.c          rules on single artifacts
 *	key.c           what a key looks like
 *	directory.c     users, keys, roles, members in memory
 *	authenticate.c  a request to a principal
 *	password.c      Argon2id, and the limits of trying
 *	session.c       sessions of the page
 *	access_store.c  SQL of all that; audit_store.c of the audit log
 *	user_routes.c, key_routes.c, session_routes.c, audit_routes.c     wire JSON
 *	access_cmd.c, login_cmd.c, audit_cmd.c                            commands
 *	audit.c         the hash chain: encoding, checking, lines of an export
 *
 * Invariants
 * 1. The directory in memory is what the database held at its version; every change raises the
 *    version in its own transaction, and is loaded before the change is acknowledged.
 * 2. Deciding who a request comes from runs no SQL (but for a session's first use on a server).
 * 3. No secret is stored: keys and sessions as SHA-256, passwords as Argon2id. */
#ifndef ACCESS_ACCESS_INT_H
#define ACCESS_ACCESS_INT_H
#include "access/access.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/os.h"
#include "module/cmd.h"

/* ---- permissions ---- */

#define PERM_BIT(p) (1ull << (p))

struct builtin_role {
	const char *name, *about;
};
enum { N_BUILTIN_ROLES = 4 };
extern const struct builtin_role builtin_roles[N_BUILTIN_ROLES];
bool builtin_role_mask(struct str name, uint64_t *mask);
uint64_t perms_house(void);
enum err perms_parse(struct str words, uint64_t *mask, struct errtext *et) MUST_CHECK;
uint64_t perms_known(struct str words); /* of the database: unknown words are left out */
void perms_text(struct buf *out, uint64_t mask);
void perms_json(struct jw *w, uint64_t mask); /* an array of words */

/* ---- rules ---- */

enum { RULES_TEXT_MAX = 16 << 10 };
struct rules;
/* In `a`; *out is NULL when there is no rule in the text. */
enum err rules_parse(
	struct str text, struct arena *a, struct rules **out, struct errtext *et) MUST_CHECK;
bool rules_touch(const struct rules *r, enum perm p); /* any of them is about p */
/* r NULL accepts all. *denied_by: the text of the rule that forbids. */
bool rules_accept(
	const struct rules *r, enum perm p, const struct rule_subject *s, struct str *denied_by);

/* ---- keys ---- */

enum { KEY_RANDOM = 43, KEY_CHECK = 6, KEY_TEXT = 6 + KEY_RANDOM + KEY_CHECK, KEY_PREFIX = 14 };
void key_make(char out[KEY_TEXT + 1]);
bool key_well_formed(struct str s);

/* ---- rows ---- */

struct directory;
static inline bool same_id(struct id a, struct id b)
{
	return memcmp(a.b, b.b, sizeof a.b) == 0;
}
enum { NAME_MAX_BYTES = 64, TEXT_MAX_BYTES = 1024, KEYS_MAX = 1000, SESSIONS_MAX = 50 };
extern const struct migration access_migrations[];
enum { N_ACCESS_MIGRATIONS = 2 };

struct user_row {
	struct id id;
	struct str name, display, password; /* password "": none */
	bool service, disabled;
	int64_t created_ms;
};

struct key_row {
	struct id id, user;
	struct str name, prefix, project, perms; /* project "": any; perms "": the user's */
	uint8_t hash[SHA256_BYTES];
	int64_t created_ms, expires_ms, revoked_ms, used_ms; /* 0: never */
};

struct session_row {
	uint8_t hash[SHA256_BYTES];
	struct id user;
	int64_t created_ms, seen_ms, expires_ms;
	struct str method, address, agent;
};

/* Insert or replace, by the primary key. */
enum err store_user_put(struct tx *tx, const struct user_row *u, struct errtext *et) MUST_CHECK;
enum err store_user_delete(struct tx *tx, struct id id, struct errtext *et) MUST_CHECK;
enum err store_user_named(
	struct tx *tx, struct str name, bool *taken, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND; "" when there is none. */
enum err store_user_password(struct tx *tx, struct id id, struct arena *a, struct str *out,
	struct errtext *et) MUST_CHECK;
enum err store_key_put(struct tx *tx, const struct key_row *k, struct errtext *et) MUST_CHECK;
enum err store_key_end(struct tx *tx, struct id id, int64_t expires_ms, int64_t revoked_ms,
	struct errtext *et) MUST_CHECK;
enum err store_key_used(struct tx *tx, struct id id, int64_t ms, struct errtext *et) MUST_CHECK;
enum err store_role_put(struct tx *tx, struct str name, struct str about, struct str perms,
	struct str rules, struct errtext *et) MUST_CHECK;
enum err store_role_delete(struct tx *tx, struct str name, struct errtext *et) MUST_CHECK;
enum err store_project_put(struct tx *tx, struct str name, struct str about, bool archived,
	struct errtext *et) MUST_CHECK;
/* project "*": every one. */
enum err store_member_put(struct tx *tx, struct id user, struct str project, struct str role,
	struct str rules, struct errtext *et) MUST_CHECK;
enum err store_member_delete(
	struct tx *tx, struct id user, struct str project, struct errtext *et) MUST_CHECK;
enum err store_session_put(
	struct tx *tx, const struct session_row *s, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND; strings are in `a`. */
enum err store_session_get(struct tx *tx, const uint8_t hash[SHA256_BYTES], struct arena *a,
	struct session_row *out, struct errtext *et) MUST_CHECK;
enum err store_session_seen(
	struct tx *tx, const uint8_t hash[SHA256_BYTES], int64_t ms, struct errtext *et) MUST_CHECK;
enum err store_session_delete(
	struct tx *tx, const uint8_t hash[SHA256_BYTES], struct errtext *et) MUST_CHECK;
/* All of a user's but one (NULL: all). */
enum err store_sessions_end(
	struct tx *tx, struct id user, const uint8_t *but, struct errtext *et) MUST_CHECK;
/* All of a user's but the newest `keep`. */
enum err store_sessions_limit(
	struct tx *tx, struct id user, int64_t keep, struct errtext *et) MUST_CHECK;
/* Keys that ended before then. */
enum err store_keys_prune(struct tx *tx, int64_t before_ms, struct errtext *et) MUST_CHECK;
enum err store_sessions_prune(
	struct tx *tx, int64_t now_ms, int64_t idle_ms, struct errtext *et) MUST_CHECK;
enum err store_directory(struct tx *tx, struct directory *d, struct errtext *et) MUST_CHECK;
enum err store_version(struct tx *tx, int64_t *out, struct errtext *et) MUST_CHECK;
enum err store_version_raise(struct tx *tx, struct errtext *et) MUST_CHECK;
/* 32 random bytes that are made once and shared by every server of the database. */
enum err store_secret(struct tx *tx, const char *name, uint8_t out[32], bool *found,
	struct errtext *et) MUST_CHECK;
enum err store_secret_put(
	struct tx *tx, const char *name, const uint8_t value[32], struct errtext *et) MUST_CHECK;

/* ---- the directory: all of it in memory, never changed but for key uses ---- */

struct dir_project {
	struct str name, about;
	bool archived;
};

struct dir_role {
	struct str name, about, rules_text;
	uint64_t mask;
	struct rules *rules;
	bool builtin;
};

struct dir_member {
	struct dir_user *user;
	struct str project, role, rules_text; /* project "*": every one */
	uint64_t mask;                        /* of the role; one that is gone gives nothing */
	const struct rules *role_rules, *rules;
	struct dir_member *next; /* of the same user */
};

struct dir_user {
	struct id id;
	struct str name, display;
	bool service, disabled, has_password;
	int64_t created_ms;
	struct dir_member *members;
};

struct dir_key {
	struct id id;
	struct dir_user *user;
	struct str name, prefix, project; /* project "": any of the user's */
	uint64_t mask;                    /* PERMS_ALL: what the user has */
	uint8_t hash[SHA256_BYTES];
	int64_t created_ms, expires_ms, revoked_ms, stored_used_ms;
	atomic_llong used_ms;
};

struct directory {
	atomic_uint refs;
	int64_t version;
	struct arena *arena;
	struct dir_project *projects;
	struct dir_role *roles;
	struct dir_user *users;
	struct dir_key *keys;
	struct dir_member *members;
	size_t n_projects, n_roles, n_users, n_keys, n_members;
	struct map user_by_name, user_by_id, key_by_hash, key_by_id, project_by_name, role_by_name;
};

/* A reference that the caller gives back with directory_unref. */
enum err directory_load(struct tx *tx, struct directory **out, struct errtext *et) MUST_CHECK;
void directory_unref(struct directory *d); /* accepts NULL */
struct dir_user *directory_user(const struct directory *d, struct str name);
struct dir_user *directory_user_by_id(const struct directory *d, struct id id);
struct dir_key *directory_key(const struct directory *d, const uint8_t hash[SHA256_BYTES]);
struct dir_key *directory_key_by_id(const struct directory *d, struct id id);
struct dir_project *directory_project(const struct directory *d, struct str name);
struct dir_role *directory_role(const struct directory *d, struct str name);
struct dir_member *directory_member(const struct dir_user *u, struct str project);

/* ---- the state of an instance ---- */

struct session {
	struct session_row row; /* method, address, agent are empty */
	int64_t stored_seen_ms;
	uint64_t epoch; /* of `struct access` when it was read */
};

struct throttle;

struct access {
	pthread_mutex_t mu; /* guards dir */
	struct directory *dir;
	atomic_ullong followed_ns; /* when dir was last known to be current */
	pthread_t follower;
	bool following;
	bool shared;         /* other servers may have the same database */
	pthread_cond_t wake; /* with mu: the follower is to end */
	bool ending;
	char local_key[SHA256_HEX + 1]; /* of this process; server.json tells it to the owner */
	uint8_t session_key[32];
	pthread_mutex_t session_mu; /* guards what follows */
	struct map sessions;        /* hash -> struct session */
	uint64_t session_epoch;
	struct throttle *throttle;
};

struct access *access_of(struct croft *c);
struct directory *access_directory(struct croft *c); /* a reference */
/* After a commit: what the database holds now is what the next request sees. */
enum err access_reload(struct croft *c, struct errtext *et) MUST_CHECK;

/* What principal.access points at; lives as long as the request. */
struct access_context {
	struct directory *dir;
	const struct dir_user *user;
	const struct dir_key *key;          /* NULL: a session */
	const struct dir_member *grants[2]; /* the project's and every project's */
	size_t n_grants;
	bool session;
	uint8_t session_hash[SHA256_BYTES];
};
static inline const struct access_context *context_of(const struct http_request *rq)
{
	return rq->who ? rq->who->access : NULL;
}
/* The project of who is a member of none, or of several and named none: no project has this name.
 */
#define NO_PROJECT S("-")
enum err access_authenticate(struct croft *c, const struct http_request *rq, struct principal *out,
	struct errtext *et) MUST_CHECK;
/* Nobody has credentials and nobody from outside can come: everybody may do everything. */
bool access_is_open(struct croft *c, const struct directory *d);

/* ---- passwords ---- */

enum { PASSWORD_MIN = 10, PASSWORD_MAX = 1024, PASSWORD_HASH = 128 };
/* At most two are computed at once and few more wait: ERR_BUSY. */
enum err password_hash(struct str password, char out[PASSWORD_HASH], struct errtext *et) MUST_CHECK;
/* stored "": takes as long and is false. */
enum err password_verify(
	struct str password, struct str stored, bool *ok, struct errtext *et) MUST_CHECK;
enum err password_check_policy(struct str password, struct errtext *et) MUST_CHECK;

struct throttle *throttle_new(void);
void throttle_free(struct throttle *t);
/* How long `name` has to wait before it may try again; 0: it may. */
int64_t throttle_wait_ms(struct throttle *t, struct str name, int64_t now_ms);
/* A failed try; true when it was the one that locks. */
bool throttle_fail(struct throttle *t, struct str name, int64_t now_ms, unsigned tries);
void throttle_clear(struct throttle *t, struct str name);

/* ---- sessions ---- */

/* The request's cookie to a live session. false: there is none. */
bool session_find(struct croft *c, const struct http_request *rq, struct session_row *out);
/* Takes the session's cookie off the client. */
void session_forget(struct croft *c, const struct http_request *rq, struct http_response *rs);
/* Ends the session of this request, if it has one, here and at the client. */
enum err session_close(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct errtext *et) MUST_CHECK;
void session_drop(struct croft *c, const uint8_t hash[SHA256_BYTES]); /* of the memory */
/* Writes what is due: when sessions and keys were last used; removes what has expired. */
void access_write_uses(struct croft *c);

/* ---- life ---- */

enum err access_init(struct croft *c, struct errtext *et);
enum err access_start(struct croft *c, struct errtext *et);
void access_stop(struct croft *c);
void access_metrics(struct croft *c, struct buf *out);

/* ---- rows: access_module.c has the tables ---- */

#define HANDLER(name) void name(struct croft *c, struct http_request *rq, struct http_response *rs)
HANDLER(get_audit);
HANDLER(get_audit_export);
HANDLER(get_audit_verify);
HANDLER(get_users);
HANDLER(post_user);
HANDLER(patch_user);
HANDLER(delete_user);
HANDLER(get_permissions);
HANDLER(get_roles);
HANDLER(put_role);
HANDLER(delete_role);
HANDLER(get_projects);
HANDLER(post_project);
HANDLER(patch_project);
HANDLER(get_members);
HANDLER(put_member);
HANDLER(delete_member);
HANDLER(get_keys);
HANDLER(post_key);
HANDLER(rotate_key);
HANDLER(delete_key);
HANDLER(get_me);
HANDLER(put_password);
HANDLER(post_session);
HANDLER(delete_session);

#define COMMAND(name) enum err name(struct cmd *cmd, struct errtext *et)
COMMAND(run_audit_ls);
COMMAND(run_audit_export);
COMMAND(run_audit_verify);
COMMAND(run_user_ls);
COMMAND(run_user_add);
COMMAND(run_user_set);
COMMAND(run_user_rm);
COMMAND(run_key_ls);
COMMAND(run_key_add);
COMMAND(run_key_rotate);
COMMAND(run_key_revoke);
COMMAND(run_role_ls);
COMMAND(run_role_set);
COMMAND(run_role_rm);
COMMAND(run_project_ls);
COMMAND(run_project_add);
COMMAND(run_project_set);
COMMAND(run_member_ls);
COMMAND(run_member_set);
COMMAND(run_member_rm);
COMMAND(run_whoami);

/* What routes share. */
#define NAME_RULE "small letters, digits, . _ - and @ between them, at most 64"
bool name_ok(struct str name); /* of users, roles, projects */
enum err want_name(yyjson_val *o, const char *key, struct str *out, struct errtext *et) MUST_CHECK;
/* The body as an object; freed with the request. */
enum err body_object(
	const struct http_request *rq, yyjson_val **out, struct errtext *et) MUST_CHECK;
void time_or_null(struct jw *w, const char *key, int64_t ms);
void me_json(struct jw *w, struct croft *c, const struct http_request *rq);
/* Whether who may decide about this user: a user's rights must not exceed the deciding one's. */
enum err may_govern(
	const struct http_request *rq, const struct dir_user *u, struct errtext *et) MUST_CHECK;
enum err find_user(const struct directory *d, struct str name, struct dir_user **out,
	struct errtext *et) MUST_CHECK;

/* ---- the audit log ---- */

struct audit_record {
	int64_t seq, time_ms; /* seq from 1, without gaps */
	struct id actor_id;   /* zero: none */
	struct str actor, project, action, subject, detail;
	uint8_t prev[SHA256_BYTES], hash[SHA256_BYTES]; /* prev of the first: zeros */
};

/* SHA-256 of the canonical encoding of everything but `hash`:
 *
 *	"croft audit 1\n", seq, time_ms (8 bytes each, big endian), actor_id (16 bytes),
 *	actor, project, action, subject, detail (each: 8 bytes of length, big endian, then the
 *	bytes), prev (32 bytes)
 */
void audit_hash(const struct audit_record *r, uint8_t out[SHA256_BYTES]);

/* Checks records one after the other. Start with {0}; `seq` and `head` are those of the last good
 * record. When first_seq is not 1, the first record's prev is taken as it is. */
struct audit_chain {
	int64_t first_seq, seq, n;
	uint8_t head[SHA256_BYTES];
};
/* ERR_CORRUPT says which record is bad and why; the chain then stays as it was. */
enum err audit_chain_next(
	struct audit_chain *c, const struct audit_record *r, struct errtext *et) MUST_CHECK;

/* Export: one JSON object per line, detail as a string (its exact bytes); the last line is
 * {"head":{"seq","hash","exported"}}. */
void audit_line(struct buf *out, const struct audit_record *r);
void audit_head_line(struct buf *out, int64_t seq, const uint8_t hash[SHA256_BYTES]);
struct audit_line {
	bool is_head;
	struct audit_record record; /* is_head: only seq and hash */
};
/* Strings are in `a`. ERR_INVALID, ERR_CORRUPT. */
enum err audit_line_parse(
	struct str line, struct arena *a, struct audit_line *out, struct errtext *et) MUST_CHECK;
/* A whole exported file: every record, the chain, the head. The chain tells how far it is good. */
enum err audit_verify_file(const char *path, struct audit_chain *c, struct errtext *et) MUST_CHECK;

/* audit_add for what was done in `project`; "": to the whole instance ("*" in the record), so that
 * the members of the project in which it was asked for do not see it. */
enum err audit_in(struct tx *tx, const struct principal *who, struct str project,
	const char *action, struct str subject, struct str detail_json,
	struct errtext *et) MUST_CHECK;

struct audit_filter {
	struct str actor, action, subject, project; /* .n 0: any; a last '*': what begins so */
	int64_t from_ms, to_ms;                     /* 0: open; to is exclusive */
	int64_t before;                             /* seq; 0: from the newest */
	int64_t limit;
};
/* Newest first; strings are in `a`. */
enum err audit_list(struct tx *tx, const struct audit_filter *f, struct arena *a,
	struct audit_record **out, size_t *n, struct errtext *et) MUST_CHECK;
/* At most `limit` records after `after`, oldest first. */
enum err audit_after(struct tx *tx, int64_t after, int64_t limit, struct arena *a,
	struct audit_record **out, size_t *n, struct errtext *et) MUST_CHECK;

#endif
