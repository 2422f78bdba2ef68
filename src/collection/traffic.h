/* How often items were found: what the map's overlay "traffic" shows. */
#ifndef COLLECTION_TRAFFIC_H
#define COLLECTION_TRAFFIC_H
#include "collection/collection_int.h"

struct traffic;
enum err traffic_new(struct traffic **out, struct errtext *et) MUST_CHECK;
void traffic_free(struct traffic *t); /* accepts NULL */
/* What was counted, now or when it is time. */
void traffic_write(struct croft *c, bool at_once);

struct traffic_row {
	int64_t collection, num, hits;
};
enum err store_traffic_add(
	struct tx *tx, const struct traffic_row *r, int64_t now_ms, struct errtext *et) MUST_CHECK;
typedef enum err (*traffic_fn)(void *ctx, int64_t num, int64_t hits, struct errtext *et);
enum err store_traffic(struct tx *tx, int64_t collection, traffic_fn fn, void *ctx,
	struct errtext *et) MUST_CHECK; /* by number */
/* Of items that have gone. */
enum err store_traffic_trim(struct tx *tx, int64_t collection, struct errtext *et) MUST_CHECK;

#endif
