/* What the routes of versions share with each other, and with those of collections. */
#ifndef COLLECTION_VERSION_ROUTES_H
#define COLLECTION_VERSION_ROUTES_H
#include "collection/version_int.h"

/* The name of a version, as a number or a text; absent: *out stays. */
enum err version_ref(yyjson_val *o, const char *key, struct arena *a, struct str *out,
	struct errtext *et) MUST_CHECK;
/* The members of a CollectionVersion. */
enum err version_write(struct jw *w, struct croft *c, struct str project,
	const struct artifact_version *v, struct arena *a, struct errtext *et) MUST_CHECK;

/* The answers of the routes when as_of says a version, or a copy has no items of its own yet. */
void items_of_version(struct croft *c, struct http_request *rq, struct http_response *rs);
/* "seq", "version", "artifact" of an answer from a version; .version 0: of a copy without a
 * history.
 */
void version_members(struct jw *w, const struct artifact_version *v);
/* What an answer from the live items stands on: marked before it is made, then "seq", "version",
 * "artifact" say what it saw; no version when anything changed meanwhile. */
struct live_mark {
	int64_t seq;
	uint64_t turn;
};
struct live_mark live_mark(const struct collection *k); /* NULL: of nothing */
void live_members(struct jw *w, const struct collection *k, struct live_mark before);

#endif
