/* A vector index: nearest items by cosine, dot product, Euclidean or Manhattan distance.
 *
 * An item is a 64-bit key and a vector. Few items are compared with the query one by one; more of
 * them form a graph, which a search walks from a few scattered entries towards the query. The
 * answer says which way it went. Either way the walk or scan reads one byte (VINDEX_BIT: one bit)
 * per dimension, and what it finds is computed again from all the bytes that the type keeps.
 *
 *	struct vindex *x;
 *	enum err e = vindex_new(&(struct vindex_options){.dim = 384}, &x, et);
 *	e = vindex_put(x, keys, vectors, n, team, et);
 *	struct hit hits[10];
 *	struct vindex_answer a;
 *	e = vindex_search(x, &(struct vindex_query){.vector = v, .k = 10}, hits, &a, et);
 *	vindex_free(x);
 *
 * Any thread may call anything. Writers take turns. Searches wait for nobody: one sees every item
 * whose put returned before it began, perhaps some of those that are being put, and no key twice.
 * A change that fails (ERR_INVALID, ERR_LIMIT, ERR_NOMEM) leaves the index as it was. Puts of one
 * thread (team NULL) in the same order give the same graph, to the bit. */
#ifndef VECTOR_INDEX_H
#define VECTOR_INDEX_H
#include "vector/vector.h"

struct vindex;
struct kern_team;

enum { VINDEX_DIM_MAX = 4096, VINDEX_K_MAX = 65536, VINDEX_DEGREE = 32 };

/* The score of a hit: the cosine, the dot product, minus the squared distance, or minus the sum of
 * differences (L1; not with VINDEX_BIT). */
enum vindex_metric { VINDEX_COSINE, VINDEX_DOT, VINDEX_L2, VINDEX_L1 };
/* What is kept of a value: a number of 32, 16, 8 or 1 bits, of the largest in its vector (1 bit: of
 * the mean size). 32 bits are as good as f32, 16 bits as f16. */
enum vindex_type { VINDEX_F32, VINDEX_F16, VINDEX_I8, VINDEX_BIT };

struct vindex_options {
	uint32_t dim;
	enum vindex_metric metric;
	enum vindex_type type;
	uint32_t degree;      /* neighbours of an item, 8 to 128; 0: VINDEX_DEGREE */
	uint32_t build_ef;    /* candidates that an insert looks at, at most 256; 0: 128 */
	uint32_t exact_below; /* no graph below so many items; 0: 4,096 */
	/* Address space is reserved for so many, memory is not; 0: 2^24, fewer for wide rows. */
	uint64_t max_items;
	uint64_t max_bytes; /* of vindex_bytes; a put that would pass it is ERR_LIMIT; 0: none */
};

/* Bytes for n items; what the operating system holds is this, rounded up to pages. */
struct vindex_bytes {
	uint64_t vectors; /* the values */
	uint64_t graph;
	uint64_t other; /* keys, their table, scales, marks, entries */
	uint64_t total;
	uint64_t per_search; /* of each search that runs at the same time, kept for the next */
};

enum err vindex_new(
	const struct vindex_options *o, struct vindex **out, struct errtext *et) MUST_CHECK;
void vindex_free(struct vindex *x); /* accepts NULL; no search may run */
/* Before anything is built. ERR_INVALID for options that vindex_new refuses. */
enum err vindex_plan(const struct vindex_options *o, uint64_t n, struct vindex_bytes *out,
	struct errtext *et) MUST_CHECK;
void vindex_size(struct vindex *x, struct vindex_bytes *out); /* at present, deleted items too */
/* What it will be when n keys have been put, all of them new and in one call. */
void vindex_grown(struct vindex *x, uint64_t n, struct vindex_bytes *out);
size_t vindex_count(struct vindex *x);
const struct vindex_options *vindex_opened(const struct vindex *x); /* with the defaults put in */

/* Inserts or replaces; n times dim finite floats (else ERR_INVALID). For VINDEX_COSINE they are
 * made of length 1 on the way in. A key that is there twice: the last one counts. The threads of
 * the team share the work. */
enum err vindex_put(struct vindex *x, const uint64_t *keys, const float *vectors, size_t n,
	struct kern_team *team, struct errtext *et) MUST_CHECK;
/* Keys that are not there are passed over. *n_gone (may be NULL): how many were there. */
enum err vindex_delete(struct vindex *x, const uint64_t *keys, size_t n, size_t *n_gone,
	struct errtext *et) MUST_CHECK;

/* Which items may be found: those whose bit is set (bit key % 64 of bits[key / 64]; a key of
 * n_bits or more is not), or, with bits NULL, those that keep accepts. */
struct vindex_filter {
	const uint64_t *bits;
	uint64_t n_bits;
	vector_keep_fn keep;
	void *ctx;
	uint64_t count; /* about how many match; 0: unknown */
};

enum vindex_how {
	VINDEX_SCAN,   /* all items were compared */
	VINDEX_SUBSET, /* all items that match the filter were compared */
	VINDEX_GRAPH,  /* the graph was walked: an approximation */
};

struct vindex_query {
	const float *vector;
	size_t k;    /* at most VINDEX_K_MAX */
	uint32_t ef; /* effort: best candidates that the walk keeps; at least k; 0: the index's */
	bool exact;  /* compare all */
	bool within; /* only hits with a score of at least min_score */
	float min_score;
	const struct vindex_filter *filter; /* NULL: none */
	const struct cancel *cancel;
};

struct vindex_answer {
	size_t n; /* hits */
	enum vindex_how how;
	uint32_t ef;       /* that was used, with VINDEX_GRAPH */
	uint64_t compared; /* items */
};

/* Up to k hits into out, best first. Ties in the order of keys. */
enum err vindex_search(struct vindex *x, const struct vindex_query *q, struct hit *out,
	struct vindex_answer *a, struct errtext *et) MUST_CHECK;
/* n_q exact searches at once, which read the vectors once for several of them: out[n_q][k],
 * n[n_q]. */
enum err vindex_scan_many(struct vindex *x, const float *queries, size_t n_q, size_t k,
	struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* The score of each key; NaN for one that is not there. */
enum err vindex_scores(struct vindex *x, const float *query, const uint64_t *keys, size_t n,
	float *out, struct errtext *et) MUST_CHECK;
/* The ef that searches use which give none (0: 64 to begin with). vindex_tune finds the least that
 * reaches a recall@k by comparing up to n_sample of the index's own items, slightly moved, with
 * exact searches, and sets it. *recall is what it reached. */
void vindex_set_ef(struct vindex *x, uint32_t ef);
uint32_t vindex_ef(struct vindex *x);
enum err vindex_tune(struct vindex *x, double want, size_t k, size_t n_sample, uint32_t *ef,
	double *recall, struct errtext *et) MUST_CHECK;

/* ---- files ----
 *
 * The whole index in one file, written under another name, synced, renamed. `mark` is the owner's:
 * how far in its log of changes this index is. Each part has a checksum; a file that is damaged,
 * cut or of another version is ERR_CORRUPT or ERR_UNSUPPORTED, and the owner builds anew. */
enum err vindex_save(
	struct vindex *x, const char *path, uint64_t mark, struct errtext *et) MUST_CHECK;
/* The options come from the file but for max_items and max_bytes, which come from `o` (NULL:
 * none). mapped: the pages stay the file's until they are changed, and the system may drop them;
 * else what searches read most is copied to memory. */
enum err vindex_open(const char *path, const struct vindex_options *o, bool mapped,
	struct vindex **out, uint64_t *mark, struct errtext *et) MUST_CHECK;

#endif
