/* Retention of experiments: what the policy is and what it does.
 *
 * A policy has four numbers: after how many days ended runs are deleted, deleted ones purged, ended
 * ones rolled up, and to which level of the pyramid. Each comes from the experiment's row, else the
 * project's, else the settings; 0 days: never. Whatever the policy says, a run on hold, or that a
 * version of an artifact or a lineage edge names, stays as it is.
 *
 *	retain_store.c   SQL: policies, holds, candidates, the lease
 *	retain.c         a pass over everything; the keeper; the module
 *	retain_routes.c  wire JSON
 *	retain_cmd.c     `croft retention`, `croft runs hold`
 *	track_purge.c    removing runs for good
 */
#ifndef RUN_RETAIN_INT_H
#define RUN_RETAIN_INT_H
#include "run/track_int.h"

/* ---- policies ---- */

enum { RETAIN_DELETE, RETAIN_PURGE, RETAIN_ROLL_UP, RETAIN_LEVEL, RETAIN_FIELDS };
extern const char *const retain_fields[RETAIN_FIELDS]; /* "delete_days", ... */

enum retain_origin { RETAIN_OF_SETTINGS, RETAIN_OF_PROJECT, RETAIN_OF_EXPERIMENT };

struct retain_policy {
	int64_t v[RETAIN_FIELDS]; /* -1: inherited, in a row of its own */
	enum retain_origin from[RETAIN_FIELDS];
};

void retain_settings(const struct croft *c, struct retain_policy *out);
/* The row of a project (experiment -1) or experiment: all -1 when there is none. */
enum err retain_store_row(struct tx *tx, struct str project, int64_t experiment,
	struct retain_policy *out, struct errtext *et) MUST_CHECK;
/* *p is what holds above it; fields that the row sets replace it. */
enum err retain_store_apply(struct tx *tx, struct str project, int64_t experiment,
	struct retain_policy *p, struct errtext *et) MUST_CHECK;
/* Removes the row when nothing is set. */
enum err retain_store_set(struct tx *tx, struct str project, int64_t experiment,
	const struct retain_policy *p, struct str who, int64_t at_ms,
	struct errtext *et) MUST_CHECK;

enum { RETAIN_ROWS_MAX = 1000 };
/* Experiments of a project that have a row; *n of at most RETAIN_ROWS_MAX. */
enum err retain_store_rows(struct tx *tx, struct str project, struct arena *a, int64_t **list,
	size_t *n, struct errtext *et) MUST_CHECK;

/* ---- holds ---- */

struct run_hold {
	struct id run;
	struct str name, reason, who;
	int64_t at_ms;
};

/* Why a run must stay: "hold", "a version of an artifact", "lineage"; NULL: nothing. */
enum err retain_kept(struct tx *tx, struct str project, struct id run, const char **why,
	struct errtext *et) MUST_CHECK;
/* ERR_CONFLICT when it is on hold: nobody deletes it. */
enum err retain_not_held(struct tx *tx, struct id run, struct errtext *et) MUST_CHECK;
/* The same of every run of an experiment. */
enum err retain_none_held(
	struct tx *tx, struct str project, int64_t experiment, struct errtext *et) MUST_CHECK;
enum err retain_hold(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct str reason, struct errtext *et) MUST_CHECK;
enum err retain_release(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct errtext *et) MUST_CHECK;
/* Newest first, before (at_ms, run). */
enum err retain_holds(struct croft *c, struct str project, int64_t before_ms, size_t max,
	struct arena *a, struct run_hold **list, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- candidates ---- */

enum { RETAIN_BATCH = 50 };

struct retain_run {
	struct id id;
	int64_t at; /* end_ns, or deleted_ms */
	char name[120];
};

struct retain_cursor {
	int64_t at;
	struct id id;
	int rolled; /* of those that ended: which third of the index */
};

/* The next ones whose time has come, behind the cursor, which moves on. *n 0: no more. */
enum err retain_store_next(struct tx *tx, struct str project, int64_t experiment, int action,
	int64_t before_ms, struct retain_cursor *at, struct retain_run out[RETAIN_BATCH], size_t *n,
	struct errtext *et) MUST_CHECK;
/* Whether the time of a run has (still) come. */
enum err retain_store_due(struct tx *tx, struct str project, int64_t experiment, int action,
	int64_t before_ms, struct id run, bool *due, struct errtext *et) MUST_CHECK;
/* Rolled up, and rows that nobody reads any more may be left. */
enum err retain_store_unthinned(struct tx *tx, struct str project, int64_t experiment,
	struct id *run, bool *any, struct errtext *et) MUST_CHECK;
enum err retain_store_rolled(
	struct tx *tx, struct id run, int state, struct errtext *et) MUST_CHECK;

struct retain_place {
	char project[256];
	int64_t experiment;
};
/* The experiment behind *at, of one project or (.n 0) of all. ERR_NOT_FOUND without a message:
 * none. */
enum err retain_store_place(
	struct tx *tx, struct str project, struct retain_place *at, struct errtext *et) MUST_CHECK;

/* ---- one server at a time ---- */

/* *mine: the lease is held by us until now + keep_ms. */
enum err retain_lease(struct db *db, const char *name, struct id holder, int64_t now_ms,
	int64_t keep_ms, bool steal, bool *mine, struct errtext *et) MUST_CHECK;
enum err retain_unlease(
	struct db *db, const char *name, struct id holder, struct errtext *et) MUST_CHECK;

/* ---- a pass ---- */

struct retain_item {
	struct str project;
	int64_t experiment;
	const struct retain_run *run;
	int action;
	const char *kept;        /* NULL: it is done, or would be */
	struct rolled_up rolled; /* of RETAIN_ROLL_UP */
	const char *policy;      /* "purge_days=30 of experiment 3" */
};

struct retain_counts {
	size_t runs[RETAIN_LEVEL]; /* by action */
	size_t kept, experiments;
	uint64_t points, buckets;
};

struct retain_pass {
	struct croft *c;
	const struct principal *who; /* NULL: the keeper */
	struct str project;          /* .n 0: all */
	int64_t now_ms;
	int64_t purge_ms; /* 0: as the policies say; else what was deleted until then, and no more
			   */
	bool dry;
	size_t max; /* dry: look at so many runs at most; *more says that there are others */
	void (*seen)(void *ctx, const struct retain_item *it); /* may be NULL */
	bool (*stop)(void *ctx);                               /* may be NULL */
	void *ctx;
	struct retain_counts counts;
	bool more;
};

enum err retain_run_pass(struct retain_pass *p, struct errtext *et) MUST_CHECK;

/* ---- removing for good (track_purge.c) ---- */

/* Hides the run from everybody, with its record in the audit log, which names the policy (NULL: a
 * person's wish); its rows go with purge_sweep. */
enum err purge_run_in(struct tx *tx, const struct principal *who, struct str project,
	int64_t experiment, struct id run, const char *policy, struct errtext *et) MUST_CHECK;
/* Removes rows of hidden runs, a few in each transaction, until there are none or stop says so. */
enum err purge_sweep(
	struct db *db, bool (*stop)(void *ctx), void *ctx, struct errtext *et) MUST_CHECK;
/* Deleted experiments without runs. */
enum err purge_experiments_of(struct db *db, const struct principal *who, struct str project,
	int64_t before_ms, size_t *n, struct errtext *et) MUST_CHECK;

/* Points of the tail into their series, for a run that has ended (track.c). */
enum err track_settle(
	struct tx *tx, struct str project, struct id run, struct errtext *et) MUST_CHECK;

extern const struct route retain_routes[7];
extern const struct shape retain_shapes[2];
extern const struct command retain_commands[7];

#endif
