/* What the files of the vector index share.
 *
 * An item lives in a slot, a number below 2^31, from its put until its delete has been forgotten by
 * everybody. All that belongs to slots lies in arrays whose address space is reserved at the
 * beginning: they grow in place, so that searches need no lock to find them.
 *
 * Invariants:
 *	1. A slot's row and key are written before its number is stored anywhere (release), and not
 *	   again while a search may know the number.
 *	2. A neighbour is the number of a slot that has been written, or NONE; after a NONE only
 *	   NONEs come. Any mixture of an old and a new list is a list: searches read without a
 *	   lock.
 *	3. A deleted slot is marked dead first. Then a sweep over all lists takes it out of them.
 *	   Then it is retired with the present epoch, and given away again when no search runs that
 *	   began before. No list names a free slot.
 *	4. The table maps a key to its one slot that is not dead; the writer's, read under a
 *	   sequence count. */
#ifndef VECTOR_INDEX_INT_H
#define VECTOR_INDEX_INT_H
#include "kernels/kernels.h"
#include "vector/index.h"
#include "vector/vector_int.h"

#define NONE UINT32_MAX
enum {
	DEGREE_MAX = 128,
	LAYERS = 3,      /* of the graph */
	LAYER_SHIFT = 6, /* each has 1 of 2^6 slots of the one below */
	ENTRIES = 32,    /* of a layer: where walks begin when there is none above */
	WALKS = 64,      /* searches at a time */
	LOCKS = 256,     /* for neighbour lists, by slot */
	SLOTS_MAX = 1u << 31,
};

/* An array that grows in place. */
struct region {
	uint8_t *p;
	size_t item, reserved, ready; /* bytes: per slot; of address space; usable */
};

enum err region_reserve(struct region *r, size_t item, size_t n, struct errtext *et);
bool region_grow(struct region *r, size_t n); /* room for n slots */
void region_free(struct region *r);

/* ---- rows ---- */

/* A value v of a row is m * ((u + 1/2) / 2^(bits-1) - 1), u < 2^bits, with m the largest |v|. `hi`
 * has the upper bytes of all u (VINDEX_BIT: the only bit of each), rows of hi_bytes; `low` the
 * rest: the lowest two bytes of all (VINDEX_F32), then the middle byte of all. */
struct rows {
	enum vindex_metric metric;
	enum vindex_type type;
	uint32_t dim;
	size_t hi_bytes, low_bytes;
	struct region hi, low, scale,
		norm; /* scale: m / 128 (of bits: m); norm: squared; not for cosine */
};

/* A vector that rows are compared with. Nearer is smaller:
 * distance = base + norm - w * scale * (2 * sum of q * hi - off). */
struct probe {
	int8_t *q; /* dim, zeros up to a multiple of 64 */
	float base, w;
	int32_t off;
	float l1, len, err; /* sum of |values|; lengths: of the vector, of what q lacks */
	const float *exact; /* the vector itself, made of length 1 for the cosine; NULL for a row */
	/* VINDEX_L1 is not a product: there distance = sum |exact - scale * (hi - 127.5)| and the
	 * rest means nothing. Of a row `exact` is `own`, room for dim values. */
	float *own;
};

void rows_layout(struct rows *r, const struct vindex_options *o);
void rows_write(struct rows *r, uint32_t slot, const float *v, float *scratch /* dim */);
void probe_vector(const struct rows *r, struct probe *p, const float *v, float *unit /* dim */);
void probe_row(const struct rows *r, struct probe *p, uint32_t slot);
/* From the codes: of the slots ids (NULL: first + 0..). n <= ROWS_MAX. */
enum { ROWS_MAX = 256 };
void rows_near(const struct rows *r, const struct probe *p, const uint32_t *ids, uint32_t first,
	size_t n, float *out);
/* From everything that is kept; a score. */
float rows_score(const struct rows *r, const struct probe *p, uint32_t slot);
void rows_fetch(const struct rows *r, uint32_t slot); /* the memory that rows_score reads */
/* How far the score may be from what the codes say, three standard deviations or so. */
float rows_doubt(const struct rows *r, const struct probe *p, uint32_t slot);
/* The scores of these slots are not above out. */
void rows_bound(const struct rows *r, const struct probe *p, const uint32_t *ids, uint32_t first,
	size_t n, const float *near, float *out);
/* rows_near for n_q probes whose q lie ldq apart and slots in a row; near[n_q][ROWS_MAX]. */
void rows_near_many(const struct rows *r, const struct probe *p, size_t n_q, size_t ldq,
	uint32_t first, size_t n, int32_t *sums, float *near);
static inline float near_to_score(const struct rows *r, float d)
{
	return r->metric == VINDEX_COSINE ? 1 - d : -d;
}
static inline float scale_of(const struct rows *r, uint32_t slot)
{
	return ((const float *)(const void *)r->scale.p)[slot];
}

/* ---- walks ---- */

struct cand {
	float d;
	uint32_t slot; /* the top bit: its neighbours have been looked at */
};
#define LOOKED 0x80000000u

/* What one search or insert works with; kept for the next. */
struct walk {
	atomic_bool taken;
	_Atomic uint64_t epoch; /* when it began; 0: idle */
	uint64_t *seen;         /* a bit for each slot; all 0 between uses */
	size_t seen_bits;
	uint32_t *touched; /* words of seen that are not 0 */
	size_t n_touched, touched_cap;
	struct cand *pool;           /* nearest first */
	size_t n, cap, pool_cap, at; /* before `at` all have been looked at */
	uint64_t compared;
	struct probe probe, other;
	float *unit;
};

/* The lowest layer has all slots. Of 64 in a row that a layer has, the one above it has one, by
 * lot: they are so few that walks over it come quickly from one end of the data to the other, which
 * neighbours of neighbours alone do not once the items that came first have gone. */
struct layer {
	unsigned shift, degree;
	struct region links;  /* u32[degree]; by slot >> shift */
	struct region chosen; /* bits in u64, the same; see graph.c, not kept in files */
	_Atomic uint32_t entry[ENTRIES];
	atomic_uint n_entries;
	uint64_t n_offered; /* to be an entry */
};

struct vindex {
	struct vindex_options o;
	struct rows rows;
	struct region keys, dead; /* u64; bits in u64 */
	/* u64 for 64 slots: 1 + the key of the first, when those of the others follow it; else 0.
	 * A filter looks at many keys: so most of them are computed and not read. */
	struct region runs;
	struct layer layers[LAYERS];
	pthread_mutex_t write;
	pthread_mutex_t locks[LOCKS];
	_Atomic uint32_t used; /* slots below it have been written */
	_Atomic uint32_t ef;
	atomic_bool graph;        /* the lists are there */
	_Atomic uint64_t changes; /* odd while a key may have two slots that live */
	atomic_size_t live;
	pthread_mutex_t entry_lock;
	/* key to slot + 1, open addressing */
	_Atomic uint64_t table_seq;
	_Atomic(struct table *) table;
	/* The writer's: dead slots that are being swept away, that wait for the next sweep, that
	 * wait for searches to end, that are free. */
	struct slots {
		uint32_t *p;
		size_t n, cap;
	} sweeping, dying, retired, unused;
	uint32_t sweep_at;
	uint64_t retired_at;
	_Atomic uint64_t epoch;
	struct walk walks[WALKS];
};

struct walk *walk_begin(struct vindex *x); /* waits when WALKS are running */
void walk_end(struct walk *w);
/* No search runs that began before this epoch. */
bool walks_after(struct vindex *x, uint64_t epoch);
void vindex_walk_free(struct walk *w);
bool walk_room(struct vindex *x, struct walk *w, size_t ef);
/* The nearest to the probe, as far as the walk found them, in w->pool. The filter (NULL: all) says
 * which may be in it. */
bool graph_search(struct vindex *x, struct walk *w, const struct probe *p, size_t ef,
	const struct vindex_filter *f, const struct cancel *cancel);
/* The same among the slots of a layer, for as many as w->cap says. */
bool graph_search_layer(struct vindex *x, struct walk *w, unsigned layer, const struct probe *p,
	size_t ef, const struct vindex_filter *f, const struct cancel *cancel);
size_t graph_links(const struct layer *l, uint32_t slot, uint32_t *out);
bool graph_insert(struct vindex *x, struct walk *w, uint32_t slot);
/* Takes dead neighbours out of the lists of `n` more slots; true: the sweep is through. */
bool graph_sweep(struct vindex *x, struct walk *w, uint32_t n);
void graph_clear(struct vindex *x, uint32_t slot); /* the lists of a slot that nobody knows */

static inline bool slot_dead(const struct vindex *x, uint32_t slot)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(void *)x->dead.p + slot / 64;
	return atomic_load_explicit(word, memory_order_acquire) >> slot % 64 & 1;
}

static inline _Atomic uint64_t *run_of(const struct vindex *x, uint32_t slot)
{
	return (_Atomic uint64_t *)(void *)x->runs.p + slot / 64;
}

static inline uint64_t key_of(const struct vindex *x, uint32_t slot)
{
	uint64_t run = atomic_load_explicit(run_of(x, slot), memory_order_acquire);
	return run ? run - 1 + slot % 64 : ((const uint64_t *)(const void *)x->keys.p)[slot];
}

static inline uint32_t lot(uint32_t n, uint32_t draw)
{
	uint32_t h = (n ^ draw * 0x85ebca6bu) * 0x9e3779b1u;
	return h ^ h >> 15;
}

/* The slot that layer i has of its n-th row of 2^shift slots; it may not be used yet. */
static inline uint32_t layer_slot(unsigned i, uint32_t n)
{
	for (; i; i--)
		n = n << LAYER_SHIFT | (lot(n, i) & ((1u << LAYER_SHIFT) - 1));
	return n;
}

static inline bool layer_has(unsigned i, uint32_t slot)
{
	return !i || layer_slot(i, slot >> i * LAYER_SHIFT) == slot;
}

/* How many places a layer has for this many slots. */
static inline uint64_t layer_places(unsigned i, uint64_t slots)
{
	return (slots + (UINT64_C(1) << i * LAYER_SHIFT) - 1) >> i * LAYER_SHIFT;
}

static inline _Atomic uint32_t *links_of(const struct layer *l, uint32_t slot)
{
	return (_Atomic uint32_t *)(void *)(l->links.p + (slot >> l->shift) * l->links.item);
}

static inline bool filter_keeps(const struct vindex_filter *f, uint64_t key)
{
	if (f->bits)
		return key < f->n_bits && f->bits[key / 64] >> key % 64 & 1;
	return f->keep(f->ctx, key);
}

/* ---- the table of keys ---- */

struct table {
	size_t cap, n;
	struct table *former; /* outgrown, perhaps still read */
	uint64_t retired_at;
	_Atomic uint32_t slots[];
};

bool table_reserve(struct vindex *x, size_t n); /* room for n keys in all */
bool table_get(const struct vindex *x, uint64_t key, uint32_t *slot);
uint32_t table_put(struct vindex *x, uint64_t key, uint32_t slot); /* the former slot or NONE */
uint32_t table_del(struct vindex *x, uint64_t key);                /* the same */
size_t table_cap(size_t n);
void table_free_former(struct vindex *x); /* those that no search can read any more */

/* ---- between index.c and index_file.c ---- */
void run_check(struct vindex *x, uint32_t slot); /* of 64 written slots, one is this */
bool layers_grow(struct vindex *x, uint64_t slots);

#endif
