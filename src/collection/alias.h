/* Aliases: other names of collections, which move from one to another at one moment. Whoever asks
 * for an alias, for reading or writing, gets the collection that it stands for when he asks;
 * servers that share a database agree on it, for nobody keeps it in memory. A name is a
 * collection's or an alias within its project, never both. What deletes, copies, versions or makes
 * a collection goes by its own name. Each change is in the audit log. */
#ifndef COLLECTION_ALIAS_H
#define COLLECTION_ALIAS_H
#include "collection/collection.h"

enum { ALIASES_MAX = 1000, /* of a project */ ALIAS_CHANGES_MAX = 1000 /* of one call */ };

struct alias {
	struct str name, collection;
	int64_t moved_ms;
};

struct alias_change {
	enum { ALIAS_SET, ALIAS_DROP, ALIAS_RENAME } kind;
	struct str name;
	struct str to;   /* set: a collection; rename: the new name, which it takes from another */
	bool missing_ok; /* drop: there may be none */
};

/* By name; of one collection (its own name or an alias), or of "" all. ERR_NOT_FOUND: there is no
 * such collection. */
enum err collection_aliases(struct croft *c, struct str project, struct str of, struct arena *a,
	struct alias **out, size_t *n, struct errtext *et) MUST_CHECK;
/* One after the other, in one transaction. ERR_NOT_FOUND, ERR_CONFLICT (the name is a
 * collection's), ERR_INVALID and ERR_LIMIT name the change; then nothing has changed. */
enum err collection_aliases_change(struct croft *c, const struct principal *who, struct str project,
	const struct alias_change *changes, size_t n, struct errtext *et) MUST_CHECK;

/* ---- SQL: alias_store.c ---- */

enum err store_aliases_of(struct tx *tx, int64_t collection, struct arena *a, struct str **out,
	size_t *n, struct errtext *et) MUST_CHECK;
enum err store_aliases(struct tx *tx, struct str project, struct arena *a, struct alias **out,
	size_t *n, struct errtext *et) MUST_CHECK; /* by name; at most ALIASES_MAX */
enum err store_alias_put(struct tx *tx, struct str project, struct str name, int64_t collection,
	int64_t now_ms, struct errtext *et) MUST_CHECK;
/* Those of one collection become another's, with the indexes that were asked for and its limits. */
enum err store_aliases_move(struct tx *tx, int64_t from, int64_t to, struct errtext *et) MUST_CHECK;
enum err store_alias_drop(
	struct tx *tx, struct str project, struct str name, struct errtext *et) MUST_CHECK;
enum err store_alias_count(
	struct tx *tx, struct str project, int64_t *n, struct errtext *et) MUST_CHECK;

#endif
