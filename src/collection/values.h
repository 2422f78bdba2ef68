/* What values the items of a collection have: counted, in order, and hits grouped by them.
 *
 * A field is a path into payloads, as a filter has it ("a.b", "a[].b"). */
#ifndef COLLECTION_VALUES_H
#define COLLECTION_VALUES_H
#include "collection/collection.h"

/* ---- facets ---- */

struct facet {
	struct cond_value value; /* a string, an integer, a boolean */
	uint64_t n;
};
/* The most frequent first, then booleans, integers and strings, each ascending; texts that are
 * UUIDs are written as such. ERR_INVALID: no path; ERR_UNSUPPORTED: one with a place in an array.
 */
enum err collection_facets(struct collection *k, struct str field, const struct cond *filter,
	size_t max, struct arena *a, struct facet **out, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- items in the order of a field ---- */

struct item_order {
	struct str field;
	bool descending;
	bool has_from;
	struct cond_number from; /* of times: microseconds */
};
/* Those that have a number or a time there, once for each; values[i] is what item i stands for. */
enum err collection_ordered(struct collection *k, const struct item_order *o,
	const struct cond *filter, size_t max, struct item_want want, struct arena *a,
	struct collection_item **out, struct cond_number **values, size_t *n,
	struct errtext *et) MUST_CHECK;
void cond_value_write(struct jw *w, const struct cond_value *v);

/* ---- groups of hits ---- */

struct hit_group {
	struct cond_value value; /* a string or an integer */
	struct item_hit *hits;   /* best first, with what is wanted of them */
	size_t n;
};

/* The best hits of a search, at most k, only those that match `also` too (NULL: all). They need no
 * payloads. Asked again with more: the same ones come first. */
typedef enum err (*hits_fn)(void *ctx, const struct cond *also, size_t k, struct item_hit **hits,
	size_t *n, struct errtext *et);

struct grouping {
	struct str field;
	size_t groups, size;
	struct item_want want;
	/* The search takes no `also`, it stands on what others have found: what it gives at first
	 * is all. */
	bool whole;
};

/* Groups in the order of their best hits. An item with several values is in several groups; one
 * with a value that is neither a string nor an integer is in none. */
enum err collection_groups(struct collection *k, const struct grouping *g, hits_fn ask, void *ctx,
	struct arena *a, struct hit_group **out, size_t *n, struct errtext *et) MUST_CHECK;

#endif
