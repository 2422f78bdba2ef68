/* What a collection is held to (limits.c), the recall that it reaches (recall.c), and the memory
 * that it takes (memory.c). */
#ifndef COLLECTION_HELD_H
#define COLLECTION_HELD_H
#include "collection/agree.h"
#include "collection/collection_int.h"

/* Of the collection's own row: NaN, -1 are what the settings say. */
struct collection_limits {
	double recall; /* 0: no target */
	int64_t bytes; /* 0: no limit */
};
struct limits_patch {
	struct collection_limits to;
	bool recall_given, bytes_given;
};

enum err store_limits(struct tx *tx, int64_t collection, struct collection_limits *out,
	struct errtext *et) MUST_CHECK;
struct collection_limits limits_in_force(const struct croft *c, struct collection_limits own);
void limits_adopt(struct collection *k, const struct collection_limits *own);
enum err limits_change(struct croft *c, const struct http_request *rq, struct str name,
	const struct limits_patch *p, struct errtext *et) MUST_CHECK;
enum err limits_read(struct croft *c, struct str project, struct str name, struct arena *a,
	struct collection_limits *out, struct errtext *et) MUST_CHECK;

/* ---- recall of live queries: recall.c ---- */

enum { RECALL_STEPS = 13, RECALL_BANDS = 4 };
extern const uint32_t recall_steps[RECALL_STEPS]; /* efforts (ef) that are tried */
/* Queries are of band 0 when they have no filter, else of the first of the others whose share of
 * the items is not above that of the filter. */
extern const double recall_shares[RECALL_BANDS];

struct recall;
struct recall_step {
	uint32_t ef;
	size_t queries; /* of the last ones, measured at this effort */
	struct interval recall;
};
struct recall_state {
	uint64_t seen; /* queries that walked the graph since the collection was opened */
	uint64_t measured;
	uint32_t ef; /* of searches that name none */
	struct recall_step now, steps[RECALL_STEPS];
	size_t n_steps;
};

/* After a query that walked the graph and named no effort: perhaps it is kept, to be compared with
 * an exact search later. filter: with its bits, or NULL. */
void recall_offer(struct collection *k, const struct space *s, const float *vector, size_t n_k,
	const struct vindex_filter *filter);
/* The effort of a query that names none; 0: the index's own. */
uint32_t recall_effort(
	struct collection *k, const struct space *s, const struct vindex_filter *filter);
/* Of the queries of one band in one space; false: nothing was asked there yet. */
bool recall_of(struct collection *k, const struct space *s, size_t band, struct recall_state *out);
void recall_free(struct recall *r); /* accepts NULL */

/* The effort that each space had last: after loading. */
enum err recall_resume(
	struct collection *k, struct tx *tx, struct arena *a, struct errtext *et) MUST_CHECK;

enum err recall_start(struct croft *c, struct errtext *et) MUST_CHECK;
void recall_stop(struct croft *c);
void recall_metrics(struct croft *c, struct buf *out);

struct recall_past {
	int64_t at_ms;
	uint32_t ef, next_ef; /* that was measured; from then on */
	int64_t queries;
	struct interval recall;
	int64_t band;
};
enum err store_recall_add(struct tx *tx, int64_t collection, int64_t place,
	const struct recall_past *p, struct errtext *et) MUST_CHECK;
enum err store_recall_clear(
	struct tx *tx, int64_t collection, int64_t place, struct errtext *et) MUST_CHECK;
/* The newest first. */
enum err store_recall(struct tx *tx, int64_t collection, int64_t place, int64_t band, size_t max,
	struct arena *a, struct recall_past **out, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- memory: memory.c ---- */

struct memory_space {
	const struct space *space;
	size_t items;
	struct vindex_bytes now, then; /* then: with more items */
};
struct memory_state {
	uint64_t limit;       /* 0: none */
	uint64_t now, then;   /* everything that follows */
	uint64_t fields, ids; /* the index of the payloads; ids and where they are */
	uint64_t keyword;     /* the index of words */
	uint64_t kinds;       /* those of sparse vectors, and how long lists are */
	/* Plain vectors; lists too, whose vectors are its items. */
	struct memory_space spaces[COLLECTION_SPACES_MAX];
	size_t n_spaces;
};

/* With `more` items: of plain vectors to the byte; of everything else as those there have on
 * average. */
void memory_of(
	struct collection *k, const struct layout *l, uint64_t more, struct memory_state *out);
/* ERR_LIMIT, with the numbers: these items would pass the collection's limit (lists to the byte
 * too); or n vectors in one place of items that are there. */
enum err memory_room(struct collection *k, const struct layout *l,
	const struct collection_item *items, size_t n, struct errtext *et) MUST_CHECK;
enum err memory_room_in(struct collection *k, const struct layout *l, uint64_t n, int place,
	struct errtext *et) MUST_CHECK;
/* For one who has it from take_open: back to its files, when nobody used it for long. */
void memory_evict(struct collection *k);

/* ---- rows ---- */

void patch_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_recall(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_collections_set(struct cmd *cmd, struct errtext *et);
enum err run_collections_recall(struct cmd *cmd, struct errtext *et);
void get_memory(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_memory_plan(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_collections_plan(struct cmd *cmd, struct errtext *et);
extern const struct option collection_set_options[], collection_plan_options[];
enum { N_SET_OPTIONS = 2, N_PLAN_OPTIONS = 3 };

#endif
