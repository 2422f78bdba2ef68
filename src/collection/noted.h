/* Indexes of payload fields that clients asked for. Every field is indexed anyway; they are noted
 * because clients look whether an index is there before they ask for it. */
#ifndef COLLECTION_NOTED_H
#define COLLECTION_NOTED_H
#include "collection/collection.h"

enum { NOTED_MAX = 100 }; /* of a collection */

struct noted_index {
	struct str field;
	struct str schema; /* JSON: a type, or an object with it */
};

/* The same field again: the new schema counts. *seq: where the collection stands. */
enum err noted_index_put(struct croft *c, struct str project, struct str collection,
	const struct noted_index *x, int64_t *seq, struct errtext *et) MUST_CHECK;
/* Nothing happens when it is not there. */
enum err noted_index_drop(struct croft *c, struct str project, struct str collection,
	struct str field, int64_t *seq, struct errtext *et) MUST_CHECK;
enum err noted_indexes(struct croft *c, struct str project, struct str collection, struct arena *a,
	struct noted_index **out, size_t *n, struct errtext *et) MUST_CHECK; /* by field */

#endif
