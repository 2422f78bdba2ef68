/* How items come into an index of words, of payloads or of sparse vectors, and how they go.
 *
 *	put, delete -> what waits -- publish -> a segment, and marks of the dead
 *	                                     -> segments of like size become one
 *	                                     -> a snapshot, which readers hold while they read
 *
 * 1. A segment never changes. Which of its items live stands beside it in a `live`, which is copied
 *    before it changes.
 * 2. A key is alive in at most one segment of a snapshot.
 * 3. Segments, lives and snapshots are counted, and one that a reader holds stays; it waits for
 *    nobody. Writers take turns.
 * 4. n items lie in about log2(n) segments, and each is rewritten about log2(n) times.
 *
 * An index has segments, lives and snapshots of its own, which begin with those below, begins with
 * a `struct segments` itself, and says by a table of functions what it does at each step. */
#ifndef VECTOR_SEGMENTS_H
#define VECTOR_SEGMENTS_H
#include "vector/vector_int.h"

struct segment {
	atomic_size_t refs;
	uint32_t n_docs;
	uint64_t *keys;  /* of documents 0, 1, ... */
	uint32_t *order; /* documents in ascending order of keys; NULL: they are in it */
	size_t bytes;    /* in memory, all arrays */
};

struct segment_live {
	atomic_size_t refs;
	uint32_t n_docs;
	uint64_t *dead; /* a bit for each document; NULL: all live */
};

struct segment_part {
	struct segment *seg;
	struct segment_live *live;
};

struct segment_snap {
	atomic_size_t refs;
	size_t n_parts;
	uint64_t n_docs;            /* that live */
	struct segment_part *parts; /* behind it */
};

struct segments;

/* NULL slots: nothing to do. "No memory" is false or NULL. */
struct segments_kind {
	const char *what;            /* "the keyword index" */
	size_t live_size, snap_size; /* of the index's own structs */
	/* The arrays of a segment but for keys and order; accepts one that is not whole. */
	void (*clear)(struct segment *s);
	/* What its live has beyond the marks: of a segment that lives whole (from NULL), or arrays
	 * of its own with what `from` has. And when a document dies. */
	bool (*live_fill)(
		struct segment_live *l, const struct segment *s, const struct segment_live *from);
	void (*live_clear)(struct segment_live *l);
	void (*bury)(struct segment_live *l, const struct segment *s, uint32_t doc);
	size_t (*live_bytes)(const struct segment_live *l, const struct segment *s);
	/* A publish: the dead are buried, n_docs counts what waits too. */
	void (*count)(struct segments *x, struct segment_snap *s);
	struct segment *(*make)(struct segments *x, const struct segment_snap *s);
	struct segment *(*merge)(struct segments *x, const struct segment_snap *s,
		const struct segment_part *parts, size_t n);
	/* Of what waits, one was replaced or deleted; and all of it is done with. */
	void (*drop)(struct segments *x, uint64_t place);
	void (*forget)(struct segments *x);
};

struct segments {
	const struct segments_kind *kind;
	pthread_mutex_t write; /* one writer */
	pthread_mutex_t lock;  /* guards `snap` for the moment it takes to count it */
	struct segment_snap *snap;
	struct keymap waiting; /* key to its place among what waits */
	struct keymap deleted;
};

bool segments_init(struct segments *x, const struct segments_kind *kind);
void segments_clear(struct segments *x); /* frees what it has */

/* Under x->write, in this order: room for one more, then it waits at a place of the index's own. */
bool segments_room(struct segments *x);
void segments_wait(struct segments *x, uint64_t key, uint64_t place);
enum err segments_delete(
	struct segments *x, const uint64_t *keys, size_t n, struct errtext *et) MUST_CHECK;
/* On failure everything waits on. */
enum err segments_publish(struct segments *x, struct errtext *et) MUST_CHECK;

struct segment_snap *segments_get(struct segments *x);
void segments_put_back(const struct segments *x, struct segment_snap *s);
size_t segments_count(struct segments *x); /* published items that live */
/* What is published occupies, without the index's own struct. */
size_t segments_bytes(struct segments *x);

/* Of a segment that is being made: the order of its keys, when they are not in it. */
bool segment_sort(struct segment *s);
void segment_put(const struct segments_kind *kind, struct segment *s); /* accepts NULL */
bool segment_find(const struct segment *s, uint64_t key, uint32_t *doc);
static inline size_t segment_words(uint32_t n_docs)
{
	return (size_t)n_docs / 64 + 1;
}
static inline bool segment_dead(const struct segment_live *l, uint32_t doc)
{
	return l->dead && (l->dead[doc / 64] >> doc % 64 & 1);
}

#endif
