/* Maps of collections: each item a point in the plane, clusters with names.
 *
 *	map.c          the work, a background job (jobs.h): read, lay out, name, keep
 *	map_labels.c   names of clusters from their texts
 *	map_store.c    SQL
 *	map_routes.c, map_cmd.c: wire JSON and the command
 *
 * One map of a collection is kept, in one row, with the number of the change up to which it shows
 * the items. Which server makes one is known to that server only; what it made, to all. */
#ifndef COLLECTION_MAP_INT_H
#define COLLECTION_MAP_INT_H
#include "collection/collection_int.h"

enum { MAP_AT_ONCE = 2, MAP_FIELDS_MAX = 50, MAP_CATEGORIES_MAX = 200, MAP_CLUSTERS_MAX = 5000 };

enum map_mode {
	MAP_NEW,
	MAP_ALIGN, /* begins at the places of the map that is there */
	MAP_EXTEND /* leaves its points where they are and adds what is new */
};

struct map_options {
	struct str space, field; /* field: of the payload, whose texts name the clusters */
	struct str filter;       /* JSON; .n 0: all items */
	bool pca;
	uint32_t dims; /* 2 or 3; 0: as the map that is begun from, else 2 */
	enum map_mode mode;
	uint32_t neighbours;
	double min_dist;
	uint64_t seed;
	size_t cluster_min; /* 0: by the number of items */
};

/* Points in the order of their items' numbers. In one piece of memory that begins at num. */
struct map_points {
	size_t n;
	int64_t *num;
	size_t dims; /* 2 or 3 */
	float *xy;   /* [n][dims] */
	int32_t *cluster;
	struct buf ids; /* a length, then the bytes */
};
void map_points_free(struct map_points *p);
enum err map_points_encode(const struct map_points *p, struct buf *out) MUST_CHECK;
enum err map_points_decode(
	struct str bytes, struct map_points *out, struct errtext *et) MUST_CHECK; /* ERR_CORRUPT */

struct map_row {
	int64_t collection, seq, made_ms;
	struct str about, points; /* about: JSON */
};
/* ERR_NOT_FOUND, without a text. points: only when wanted. Strings are in `a`. */
enum err store_map(struct tx *tx, int64_t collection, bool points, struct arena *a,
	struct map_row *out, struct errtext *et) MUST_CHECK;
enum err store_map_put(struct tx *tx, const struct map_row *r, struct errtext *et) MUST_CHECK;
enum err store_map_drop(struct tx *tx, int64_t collection, struct errtext *et) MUST_CHECK;

/* ---- names ---- */

struct map_cluster {
	int32_t number; /* what points say */
	size_t size;
	float low[3], high[3], middle[3];
	struct str label; /* "" when it has no texts */
};
/* Names the clusters by the words that are frequent in their texts and rare in the others'. Reads
 * at most some thousand texts. Labels are in `a`. */
enum err map_label(struct croft *c, int64_t collection, struct str field,
	const struct map_points *p, struct map_cluster *clusters, size_t n, struct arena *a,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- making ---- */

struct jobs;
enum err maps_new(struct jobs **out, struct errtext *et); /* collection/jobs.h; their number is 0 */
/* ERR_CONFLICT: one of it is being made; ERR_BUSY: MAP_AT_ONCE others are. */
enum err map_start(struct croft *c, struct str project, struct str name,
	const struct map_options *o, struct errtext *et) MUST_CHECK;

/* The row of a collection by its name. */
enum err map_find(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_row *out, struct errtext *et) MUST_CHECK;

#endif
