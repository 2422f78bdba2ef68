/* What recall.c measures and recall_show.c shows. */
#ifndef COLLECTION_RECALL_INT_H
#define COLLECTION_RECALL_INT_H
#include "collection/held.h"

enum {
	RECALL_KEPT = 64,    /* queries since the last round */
	RECALL_WINDOW = 400, /* the last measured ones, of each effort */
	RECALL_K_MAX = 100,  /* hits that are compared */
};

struct measured {
	float v[RECALL_WINDOW];
	size_t n, at; /* a ring */
};

/* The queries of one kind in one space: see recall_shares. */
struct recall_band {
	uint64_t seen, seen_now, measured; /* queries; since the last round */
	size_t n;
	float *vectors; /* RECALL_KEPT of them */
	uint16_t k[RECALL_KEPT];
	struct vindex_filter filters[RECALL_KEPT]; /* own bits */
	struct measured steps[RECALL_STEPS];
	uint64_t stepped_at; /* .measured when the effort changed */
	uint64_t lot;
	int64_t past_ms;
};

struct space_recall {
	int64_t since; /* which space this is, of those that had the place */
	uint32_t dim;
	struct recall_band bands[RECALL_BANDS];
	uint64_t rest_ns; /* not before then */
};

struct recall {
	pthread_mutex_t mu;
	struct space_recall *at[COLLECTION_SPACES_MAX];
	/* Of filtered queries, for all threads; 0: as without a filter. That of the others is the
	 * index's own; where there is none, it is here too. */
	_Atomic uint32_t ef[COLLECTION_SPACES_MAX][RECALL_BANDS];
};

struct interval recall_interval(const struct measured *m);
size_t recall_step_of(uint32_t ef); /* of recall_steps, the last one that is not above */
/* Of the present layout; 0: there is no index. */
uint32_t recall_ef(struct collection *k, const struct layout *l, size_t place, size_t band);

#endif
