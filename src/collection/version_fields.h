/* Merging one item that two versions have changed since a third: version_fields.c. */
#ifndef COLLECTION_VERSION_FIELDS_H
#define COLLECTION_VERSION_FIELDS_H
#include "collection/version_int.h"

struct vfields {
	const struct vrecord *record[3]; /* base (NULL: it has no such item), ours, theirs */
	const struct version *of[3];
	const struct vresolve *resolve; /* of this item; NULL: nothing is said */
	enum vtake prefer;
	/* Each conflict: one that is decided, one that is not. */
	void (*resolved)(void *ctx);
	enum err (*conflict)(void *ctx, const struct vconflict *c, struct errtext *et);
	void *ctx;
};

/* In `a`. *conflict: some were not decided; *out then is of no use. ERR_TOO_LARGE. */
enum err vfields_merge(const struct vfields *in, struct arena *a, struct vrecord *out,
	bool *conflict, struct errtext *et) MUST_CHECK;
/* What is said of a field, or of what it is in; "" is the item as a whole. */
enum vtake vresolve_field(const struct vresolve *r, enum vtake prefer, struct str field);

#endif
