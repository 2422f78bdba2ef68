/* Notices: what one transaction changed, told to every server that shares the database, after the
 * commit and in the order of commits.
 *
 * A notice is a row, so none is lost: a watcher remembers the number it has seen, and reads what
 * came after it whenever it is woken (at once in the same process; by PostgreSQL's NOTIFY from
 * another server; every few seconds anyway). A lost connection only makes it later. The newest
 * NOTICES_KEPT of a channel are kept; a watcher that is further behind is told that it missed some
 * and has to look at everything.
 *
 *	e = db_notify(tx, "documents", hex, et);                  // in the transaction of the
 *change
 *
 *	e = notify_seq(tx, "documents", &seq, et);                // in the one that reads the state
 *	e = notify_watch(db, "documents", seq, follow, ctx, &w, et);
 *	...
 *	notify_unwatch(w);                                        // follow() is not running after
 *it
 *
 * fn runs in one thread for the whole database, so it does not take long, and it does not call
 * notify_watch or notify_unwatch. A fn that fails is called again for the same notice, later. */
#ifndef STORE_NOTIFY_H
#define STORE_NOTIFY_H
#include "store/db.h"

enum { NOTICES_KEPT = 10000 };

struct notice {
	int64_t seq;
	struct str text; /* .p is NULL: some were missed */
	bool own;        /* from this struct db */
};

struct watch;

/* Text: at most 4,000 bytes. */
enum err db_notify(
	struct tx *tx, const char *channel, struct str text, struct errtext *et) MUST_CHECK;
/* The newest number of the channel, 0 when there is none. */
enum err notify_seq(
	struct tx *tx, const char *channel, int64_t *seq, struct errtext *et) MUST_CHECK;
enum err notify_watch(struct db *db, const char *channel, int64_t after,
	enum err (*fn)(void *ctx, const struct notice *n, struct errtext *et), void *ctx,
	struct watch **out, struct errtext *et) MUST_CHECK;
void notify_unwatch(struct watch *w); /* accepts NULL */

#endif
