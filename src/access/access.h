/* Who may do what, and what was done.
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

enum { AUDIT_SUBJECT_MAX = 4096, AUDIT_DETAIL_MAX = 64 << 10 };

/* tx is a TX_WRITE. who NULL: Croft itself. action: "artifact.alias", "user.add", words and dots;
 * subject: what it was done to; detail_json: one JSON value without secrets, {NULL,0}: {}.
 * ERR_INVALID, ERR_TOO_LARGE: the change must then fail too. */
enum err audit_add(struct tx *tx, const struct principal *who, const char *action,
	struct str subject, struct str detail_json, struct errtext *et) MUST_CHECK;

#endif
