/* A version that is searched: a collection in memory whose rows are the version's records, so that
 * everything that searches live items searches it too. An item's number is its place in the
 * version, and 1.
 *
 *	asof.c        the ones that are open, their parts, rows
 *	asof_near.c   plain vectors: the live index where vectors are still the same, an index of
 *its own for the others
 *
 * Nothing is built before it is asked for. The index of payloads, that of words, and those of
 * sparse vectors and lists are made when they are first needed; plain vectors are compared one by
 * one the first time, and have an index when they are searched again. What was used longest ago
 * goes when all of them take more than collection.version_bytes, or a collection more than its
 * limit.
 *
 * Invariants
 * 1. A version never changes, so neither do its parts; readers need no lock for what is ready.
 * 2. What is taken from the live index was so at one change, which is looked at before and after:
 *    rows that changed since are not taken from there. */
#ifndef COLLECTION_ASOF_H
#define COLLECTION_ASOF_H
#include "collection/version_int.h"

struct asof;

enum asof_part { ASOF_FIELDS = 1, ASOF_WORDS = 2, ASOF_KINDS = 4 };

/* The version that `ref` names, read-only (a change of it is ERR_CONFLICT); collection_close it.
 * ref "": what the live items came from, of a copy that has none yet. about (may be NULL): in `a`.
 */
enum err asof_open(struct croft *c, struct str project, struct str name, struct str ref,
	struct arena *a, struct collection **out, struct artifact_version *about,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* Of a collection whose items are live, OK at once. */
enum err asof_need(struct collection *k, unsigned parts, struct errtext *et) MUST_CHECK;
const struct version *asof_version(const struct collection *k);

/* What the database is to live items. ERR_NOT_FOUND, without a text. */
enum err row_by_id(struct collection *k, struct tx *tx, struct str id, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et) MUST_CHECK;
enum err row_by_num(struct collection *k, struct tx *tx, int64_t num, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et) MUST_CHECK;

/* ---- plain vectors ---- */

/* May its vectors be searched by index now? must: made if they may not. */
enum err asof_indexed(struct collection *k, const struct space *s, bool must, bool *yes,
	struct errtext *et) MUST_CHECK;
/* As vindex_search and vindex_scores, for a space that is indexed; *gone: it is not any more. */
enum err asof_search(struct collection *k, const struct space *s, const struct vindex_query *q,
	struct hit *out, struct vindex_answer *a, bool *gone, struct errtext *et) MUST_CHECK;
enum err asof_scores(struct collection *k, const struct space *s, const float *query,
	const uint64_t *nums, size_t n, float *out, struct errtext *et) MUST_CHECK;

/* ---- the ones that are open ---- */

struct asofs;
enum err asofs_new(struct croft *c, struct asofs **out, struct errtext *et) MUST_CHECK;
enum err asofs_start(struct asofs *all, struct errtext *et) MUST_CHECK;
void asofs_stop(struct asofs *all); /* accepts NULL; nothing is built any more */
void asofs_free(struct asofs *all); /* accepts NULL; nobody uses one */
/* Under collections.mu, from the end of a collection. */
void asof_end(struct collection *k);
/* Memory of the versions of a collection. */
uint64_t asof_bytes_of(struct croft *c, struct str project, struct str name);
/* Its index files go, a version of this digest was deleted. */
void asof_forget(struct croft *c, const char *digest);

#endif
