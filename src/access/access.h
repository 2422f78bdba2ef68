/* Who may do what, and what was done.
 *
 * Users (persons and service accounts) have a role in a project, or in every project; roles are
 * sets of permissions (module.h), with rules on single artifacts beside them. A request says who
 * it is with a key or a session and acts in one project: rq->who has the permissions there. With
 * no user and no api.key, whoever reaches the loopback address may do everything.
 *
 * The audit log is one chain for the whole instance: each record carries the hash of the one
 * before it, so that nothing in it can be changed, inserted or removed unnoticed. A change that
 * matters (an alias moved, something deleted or approved, a membership) adds its record in its own
 * write transaction, so that both are kept or neither:
 *
 *	e = db_begin(db, TX_WRITE, &tx, et);
 *	e = alias_move(tx, ...);
 *	if (!e)
 *		e = audit_add(tx, rq->who, "artifact.alias", S("model/churn@prod"),
 *			S("{\"from\":3,\"to\":4}"), et);
 *	e = e ? (db_rollback(tx), e) : db_commit(tx, et);
 *
 * Write transactions exclude each other, also on other servers: the chain has no forks. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H
#include "module/module.h"

extern const struct module access_module;

/* ---- the audit log ---- */

enum { AUDIT_SUBJECT_MAX = 4096, AUDIT_DETAIL_MAX = 64 << 10 };

/* tx is a TX_WRITE. who NULL: Croft itself. action: "artifact.alias", "user.add", words and dots;
 * subject: what it was done to; detail_json: one JSON value without secrets, {NULL,0}: {}.
 * ERR_INVALID, ERR_TOO_LARGE: the change must then fail too. */
enum err audit_add(struct tx *tx, const struct principal *who, const char *action,
	struct str subject, struct str detail_json, struct errtext *et) MUST_CHECK;

/* ---- rules on single artifacts ---- */

struct rule_subject {
	struct str kind, name, alias; /* "model", "churn", "prod"; .p NULL: has none */
	const struct http_pair *tags;
	size_t n_tags;
	const struct str *aliases; /* beside `alias`: all that point at it */
	size_t n_aliases;
};

/* After the route's permission was checked: whether the rules of the roles that give `p` let it
 * touch this subject. ERR_FORBIDDEN names the rule. Call it before each write, move or deletion,
 * once for each alias that is moved. */
enum err access_rule(const struct http_request *rq, enum perm p, const struct rule_subject *s,
	struct errtext *et) MUST_CHECK;
/* Whether any rule narrows what it may do with `p`: else access_rule need not be asked. */
bool access_ruled(const struct http_request *rq, enum perm p);

/* ---- users and sessions, for those who let people sign in ---- */

/* Runs fn in a write transaction and makes what it changed effective before it returns. All
 * changes of users, roles, memberships and keys go through it. */
typedef enum err (*access_change_fn)(struct tx *tx, void *ctx, struct errtext *et);
enum err access_change(
	struct croft *c, access_change_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* Within it: a new person without a password and without any role (ERR_CONFLICT: the name is
 * taken), and a role in a project ("*": in every one). */
enum err access_user_add(struct tx *tx, struct str name, struct str display, struct id *out,
	struct errtext *et) MUST_CHECK;
enum err access_member_set(struct tx *tx, struct id user, struct str project, struct str role,
	struct errtext *et) MUST_CHECK;
/* false: there is none. */
bool access_user_find(struct croft *c, struct str name, struct id *out, bool *disabled);

/* Signs a user in: makes a session, puts its cookie on the answer (which the caller then sends:
 * usually a redirect) and into the audit log. method: "password", "oidc". ERR_FORBIDDEN when the
 * account is disabled.
 *
 *	if (!access_user_find(c, name, &user, &disabled))
 *		e = access_change(c, add_user, &user, et);
 *	e = session_open(c, rq, rs, user, "oidc", et);
 *	http_set_header(rs, "location", S("/"));
 *	http_reply(rs, 303, "text/plain", S("signed in\n")); */
enum err session_open(struct croft *c, const struct http_request *rq, struct http_response *rs,
	struct id user, const char *method, struct errtext *et) MUST_CHECK;

/* ---- the server ---- */

/* Whether anything is asked of clients: an api.key or a user exists. */
bool access_has_credentials(struct croft *c);
/* 127.0.0.0/8, ::1 and localhost; anything else may be reachable from outside. */
bool access_listens_on_loopback(const struct croft *c);
/* What lets the owner of the data directory in, for server.json; new in each process. */
const char *access_local_key(struct croft *c);

#endif
