/* Moving a space of a collection to another embedding model while it is in use.
 *
 *	migrate_store.c   SQL
 *	migrate.c         begin, cut over, go back, drop
 *	migrate_job.c     the worker that embeds what is there, and sweeps what was dropped
 *	migrate_shadow.c  a sample of the queries, answered in both spaces
 *	migrate_routes.c, migrate_cmd.c
 *
 *	(migrate_begin) -> preparing -> ready -(STEP_CUT)-> cut_over -(STEP_DROP)-> dropped
 *	                         |          |                        |   ^
 *	                         |          |         (STEP_BACK)   (STEP_CUT)
 *	                         |          |                        v   |
 *	                         |          |                      rolled_back -(STEP_DROP)->
 *dropped
 *	                         +----------+----(STEP_CANCEL)---+--> cancelled
 *
 * Invariants
 * 1. Which of the two spaces has the name stands in the collection's config and nowhere else; a
 *    change of state and the config that goes with it are one transaction.
 * 2. From begin to drop every change of an item is made in both spaces, in one transaction. What
 *    has no vector in the space that follows has a row in collection_lacking: with a reason why it
 *    cannot have one, or with none: the worker will make it. Only items that were there before the
 *    beginning (num <= last) and that the worker has not reached (num > reached) have neither.
 * 3. The worker writes a vector only if the item's row is the one that it read (its seq). */
#ifndef COLLECTION_MIGRATE_INT_H
#define COLLECTION_MIGRATE_INT_H
#include "collection/collection_int.h"
#include "collection/migrate.h"

#define MIGRATE_QUEUE "collection.migrate"
#define NO_TEXT "it has no text"

struct migration_row {
	struct str id, project;
	int64_t collection;
	struct str space, from_model, to_model, field;
	int64_t from_place, to_place, from_dim, to_dim;
	enum migration_state state;
	int64_t total, last, reached; /* items at the beginning; numbers of items */
	int64_t done, made, known; /* items that are through; texts embedded, and found embedded */
	int64_t skip;              /* items without a text may be left out */
	double shadow;             /* of the queries, 0 to 1 */
	double rate;               /* items per second, lately */
	struct str stalled;        /* why it does not go on; "" */
	struct str judged;         /* JSON; "": nobody did */
	int64_t begun_ms, ready_ms, cut_ms, ended_ms, batch_ms;
};

enum err store_migration_add(
	struct tx *tx, const struct migration_row *r, struct errtext *et) MUST_CHECK;
/* state, progress, times, stalled. */
enum err store_migration_set(
	struct tx *tx, const struct migration_row *r, struct errtext *et) MUST_CHECK;
enum err store_migration(struct tx *tx, struct str id, struct arena *a, struct migration_row *out,
	struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
/* Of a collection, the newest first; at most `max`. */
enum err store_migrations(struct tx *tx, int64_t collection, size_t max, struct arena *a,
	struct migration_row **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err store_migration_judged(
	struct tx *tx, struct str id, struct str json, struct errtext *et) MUST_CHECK;

struct lacking {
	int64_t pending, without, failed; /* to be made; no text; another reason */
};
enum err store_lacking_put(struct tx *tx, int64_t collection, int64_t place, int64_t num,
	struct str reason, struct errtext *et) MUST_CHECK;
enum err store_lacking_del(struct tx *tx, int64_t collection, int64_t place, int64_t num,
	struct errtext *et) MUST_CHECK;
/* num 0: all of the place. */
enum err store_lacking_clear(struct tx *tx, int64_t collection, int64_t num, int64_t place,
	struct errtext *et) MUST_CHECK;
enum err store_lacking_count(struct tx *tx, int64_t collection, int64_t place, struct lacking *out,
	struct errtext *et) MUST_CHECK;
struct lacking_item {
	struct str id, reason;
};
/* Those with a reason, with the ids that they have. */
enum err store_lacking_list(struct tx *tx, int64_t collection, int64_t place, size_t max,
	struct arena *a, struct lacking_item **out, size_t *n, struct errtext *et) MUST_CHECK;
/* Whole items after `num`: those up to `last`, or those that are to be made. Rows last for the
 * call. */
enum err store_items_after(struct tx *tx, int64_t collection, int64_t num, int64_t last, size_t max,
	item_row_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
enum err store_items_pending(struct tx *tx, int64_t collection, int64_t place, size_t max,
	item_row_fn fn, void *ctx, struct errtext *et) MUST_CHECK;

/* ---- the spaces of a collection in another order ---- */

/* Changes the spaces (room for COLLECTION_SPACES_MAX) inside the transaction of the change. */
typedef enum err (*respace_fn)(void *ctx, struct tx *tx, const struct collection_row *row,
	struct space *spaces, size_t *n, struct errtext *et);
enum err layout_change(
	struct collection *k, respace_fn fn, void *ctx, struct errtext *et) MUST_CHECK;

/* ---- vectors that the worker made ---- */

struct fill {
	int64_t num, seq; /* of the row that was read */
	const float *v;
	enum fill_state { FILL_MADE, FILL_CHANGED, FILL_GONE } state; /* out */
};
/* One transaction: vectors of `place` for the items that are as they were, then `also`.
 * *place_gone: the space is not there any more; then nothing was done. */
enum err items_fill(struct collection *k, uint8_t place, int64_t since, struct fill *fills,
	size_t n, enum err (*also)(void *ctx, struct tx *tx, struct errtext *et), void *ctx,
	bool *place_gone, struct errtext *et) MUST_CHECK;
/* Vectors of texts, out[n][dim], none made that is there. *made: how many were. */
enum err embed_once(struct collection *k, const struct space *s, struct str *texts, size_t n,
	struct arena *a, float **out, size_t *made, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

/* ---- queries in both spaces: migrate_shadow.c ---- */

enum err shadow_start(struct croft *c, struct errtext *et) MUST_CHECK;
void shadow_stop(struct croft *c);
/* After a query was answered: perhaps the space that follows is asked too. Takes filter's bits, if
 * it needs them. */
void shadow_offer(struct collection *k, const struct item_query *q, struct vindex_filter *filter,
	bool filtered, const struct item_hit *hits, size_t n);
uint64_t shadow_passed_over(struct croft *c);
/* The member "agreement". */
enum err shadow_write(struct croft *c, struct tx *tx, struct str migration, struct arena *a,
	struct jw *w, struct errtext *et) MUST_CHECK;
enum err store_shadow_add(struct tx *tx, struct str migration, int64_t k, double overlap,
	double rbo, struct errtext *et) MUST_CHECK;
enum err store_shadow_prune(
	struct tx *tx, struct str migration, int64_t kept, struct errtext *et) MUST_CHECK;
/* The newest first; *k: the mean of theirs. */
enum err store_shadow(struct tx *tx, struct str migration, size_t max, double *overlap, double *rbo,
	double *k, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- rows ---- */

void get_migrations(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_migration(struct croft *c, struct http_request *rq, struct http_response *rs);
void cut_migration(struct croft *c, struct http_request *rq, struct http_response *rs);
void back_migration(struct croft *c, struct http_request *rq, struct http_response *rs);
void drop_migration(struct croft *c, struct http_request *rq, struct http_response *rs);
void cancel_migration(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_collections_migrate(struct cmd *cmd, struct errtext *et);
enum err run_migration_status(struct cmd *cmd, struct errtext *et);
enum err run_migration_cutover(struct cmd *cmd, struct errtext *et);
enum err run_migration_back(struct cmd *cmd, struct errtext *et);
enum err run_migration_drop(struct cmd *cmd, struct errtext *et);
enum err run_migration_cancel(struct cmd *cmd, struct errtext *et);
extern const struct option collection_migrate_options[], collection_migration_options[];
enum { N_MIGRATE_OPTIONS = 6, N_MIGRATION_OPTIONS = 2 };

/* ---- the worker ---- */

enum err migrate_start(struct croft *c, struct errtext *et);
void migrate_stop(struct croft *c);
void migrate_wake(struct croft *c);
enum err migrate_queue(struct tx *tx, int64_t collection, struct str id, int64_t place,
	struct errtext *et) MUST_CHECK; /* id "": sweep the place */

#endif
