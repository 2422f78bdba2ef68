/* A collection as one file: a version's settings and items, in lines of JSON.
 *
 *	{"croft_collection": 1, "vectors": {...}, "sparse_vectors": {...}, "identities": {...},
 *"items": 2}
 *	{"id": 1, "payload": {...}, "vector": {...}}          one for each item
 *	{"sha256": "..."}                                     of everything before
 *
 * A file from outside is checked (the sum, each line, each vector) while its items go into a
 * collection that nobody sees; then that takes the name, with the aliases, in one transaction. So
 * it is recovered as a whole or not at all. */
#ifndef COLLECTION_BUNDLE_H
#define COLLECTION_BUNDLE_H
#include "collection/collection.h"

struct bundle { /* of one that is kept here: a version of the collection */
	struct str collection;
	int64_t version, bytes /* that the version takes */, created_ms;
};

/* A version of what is there now; when nothing has changed since the last one, that. */
enum err bundle_make(struct croft *c, const struct http_request *rq, struct str collection,
	struct arena *a, struct bundle *out, struct errtext *et) MUST_CHECK;
/* Newest first, at most 1,000. */
enum err bundle_list(struct croft *c, const struct http_request *rq, struct str collection,
	struct arena *a, struct bundle **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err bundle_delete(struct croft *c, const struct http_request *rq, struct str collection,
	int64_t version, struct arena *a, struct errtext *et) MUST_CHECK;
typedef enum err (*bundle_write_fn)(void *ctx, struct str data, struct errtext *et);
enum err bundle_write(struct croft *c, const struct http_request *rq, struct str collection,
	int64_t version, bundle_write_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* The collection becomes what the file has; it need not be there. ERR_INVALID, ERR_CORRUPT name
 * the line. */
enum err bundle_recover(struct croft *c, const struct http_request *rq, struct str collection,
	struct str file, struct errtext *et) MUST_CHECK;

/* ---- reading, for the fuzzer too ---- */

struct bundle_reader {
	struct str rest;
	struct space *spaces;
	size_t n_spaces;
	int64_t items, read; /* read: so far */
	size_t line;
};
/* Checks the sum and reads the head, into `a`. */
enum err bundle_open(
	struct str file, struct arena *a, struct bundle_reader *out, struct errtext *et) MUST_CHECK;
/* The next items, at most max; *n 0: that was all, and as many as the head says. */
enum err bundle_next(struct bundle_reader *r, size_t max, struct arena *a,
	struct collection_item **out, size_t *n, struct errtext *et) MUST_CHECK;

#endif
