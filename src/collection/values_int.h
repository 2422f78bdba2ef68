/* Facets and order of a collection that is not in memory: what values.c leaves to values_scan.c. */
#ifndef COLLECTION_VALUES_INT_H
#define COLLECTION_VALUES_INT_H
#include "collection/collection_int.h"
#include "collection/values.h"

/* As fields_facets and fields_order, with a filter in place of a set; max fit into rows. */
enum err scan_facets(struct collection *k, struct str path, const struct cond *filter, size_t max,
	struct arena *a, struct fields_facet **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err scan_order(struct collection *k, struct str path, const struct item_order *o,
	const struct cond *filter, size_t max, struct arena *a, struct fields_ordered *rows,
	size_t *n, struct errtext *et) MUST_CHECK;

#endif
