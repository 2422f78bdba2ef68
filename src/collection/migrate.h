/* Live migration of a collection's space to another embedding model: what migrate_int.h draws.
 *
 * While a space moves there are two of it. Queries by its name are answered in one, the other is
 * "NAME:next" before the cut-over and "NAME:former" after it; every change of an item is made in
 * both. A cut-over, and the way back, is one transaction. */
#ifndef COLLECTION_MIGRATE_H
#define COLLECTION_MIGRATE_H
#include "collection/collection.h"

#define MIGRATION_STATES(X)                     \
	X(MIGRATION_PREPARING, "preparing")     \
	X(MIGRATION_READY, "ready")             \
	X(MIGRATION_CUT_OVER, "cut_over")       \
	X(MIGRATION_ROLLED_BACK, "rolled_back") \
	X(MIGRATION_DROPPED, "dropped")         \
	X(MIGRATION_CANCELLED, "cancelled")

enum migration_state {
#define X(name, word) name,
	MIGRATION_STATES(X)
#undef X
		MIGRATION_STATE_COUNT
};
const char *migration_word(enum migration_state s);

struct migration_options {
	struct str space, model; /* which, and to what */
	struct str field;        /* of payloads: the text of items that were given none; "" */
	bool skip_without_text;  /* items that have no text are left out */
	double shadow;           /* share of the queries that are answered in both spaces */
	bool plan;               /* only say what it would be */
};

struct migration_plan {
	int64_t items, without; /* all; those that have no text */
	struct str examples;    /* ids of some, in a list */
	int64_t known;          /* texts that this model has embedded before */
	uint32_t from_dim, to_dim;
	struct str from_model;
	uint64_t from_bytes, to_bytes; /* of the index in memory: now, and of the other beside it */
	uint64_t stored_bytes;         /* that the vectors will take in the database */
};

/* ERR_CONFLICT: the space is moving already; or items have no text and may not be left out: the
 * detail names some. id: of the migration, in `a`; "" with `plan`. */
enum err migrate_begin(struct croft *c, const struct http_request *rq, struct str name,
	const struct migration_options *o, struct arena *a, struct str *id,
	struct migration_plan *plan, struct errtext *et) MUST_CHECK;
enum migration_step { STEP_CUT, STEP_BACK, STEP_DROP, STEP_CANCEL };
/* The newest of the collection (id ""), or that one. ERR_CONFLICT: it is not in a state for that;
 * the detail says why, and what is missing. skip_failed: items that could not be embedded are
 * not found after the cut-over. */
enum err migrate_advance(struct croft *c, const struct http_request *rq, struct str name,
	struct str id, enum migration_step step, bool skip_failed, struct errtext *et) MUST_CHECK;
/* What judged queries say of both models, as JSON, kept with the migration between two places. */
enum err migrate_judged(struct collection *k, uint8_t from, uint8_t to, struct str json,
	struct errtext *et) MUST_CHECK;
/* As JSON: all of a collection, the newest first. */
enum err migrate_list(struct croft *c, struct str project, struct str name, struct arena *a,
	struct jw *w, struct errtext *et) MUST_CHECK;

#endif
