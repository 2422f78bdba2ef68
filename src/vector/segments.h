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

struct segment_map;

struct segment {
	atomic_size_t refs;
	struct segment_map *map; /* the file that has its arrays; NULL: they are in memory */
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
struct segment_out;
struct segment_in;

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
	/* Files: the arrays of a segment in an order of its own, and a segment from them. Reading
	 * believes nothing: whatever the arrays say, nothing done with the segment later may leave
	 * them. NULL: no memory, or segment_bad says why not. */
	uint32_t tag;
	void (*write)(struct segment_out *o, const struct segment *s);
	struct segment *(*read)(struct segments *x, struct segment_in *in);
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

/* ---- files ----
 *
 * All that is published, in one file: a head, a table that says where each array lies, the arrays
 * as they lie in memory, so that they can be mapped back. Every byte is under a checksum. It is
 * written under another name, synced and renamed. `mark` is the owner's: how far in its log of
 * changes the index is at least. `label` is what the index was made by: a file with another one is
 * not taken. */
enum err segments_save(struct segments *x, const char *path, uint64_t mark, struct str label,
	struct errtext *et) MUST_CHECK;
/* Into an index that has nothing yet. No key may be above max_key. ERR_CORRUPT: the file is
 * damaged, cut, of something else; ERR_UNSUPPORTED: of another version. x is then as it was. */
enum err segments_open(struct segments *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et) MUST_CHECK;

/* Writing a segment: n items at p, which stay there until the file is written; or a copy. */
void segment_give(struct segment_out *o, const void *p, size_t item, size_t n);
void segment_give_copy(struct segment_out *o, const void *p, size_t n);
/* Reading: the next array, which lies in the map; NULL after something bad. Of n items, or of as
 * many as there are. */
const void *segment_take(struct segment_in *in, size_t item, size_t n);
const void *segment_take_all(struct segment_in *in, size_t item, size_t *n);
bool segment_take_copy(struct segment_in *in, void *out, size_t n);
void *segment_bad(struct segment_in *in, const char *why); /* returns NULL */
bool segment_is_bad(const struct segment_in *in);
/* Keys, order and the count of documents, with their checks; a segment that is freed as any. `size`
 * of the index's own struct. */
void segment_give_keys(struct segment_out *o, const struct segment *s);
struct segment *segment_take_keys(struct segment_in *in, size_t size);
struct segment *segment_take_bare(struct segment_in *in, size_t size, uint32_t n_docs);
/* Frees an array of a segment, unless the map has it. */
void segment_free(const struct segment *s, void *array);
void segment_map_put(struct segment_map *m); /* accepts NULL */
bool segment_map_has(const struct segment_map *m, const void *p);

/* ---- between segments.c and segments_file.c ---- */
struct segment_snap *segments_snap_new(const struct segments_kind *kind, size_t room);
/* Takes over the reference to seg. dead NULL: all live. */
bool segments_add_part(const struct segments_kind *kind, struct segment_snap *s,
	struct segment *seg, const uint64_t *dead);
void segments_show(struct segments *x, struct segment_snap *s);

#endif
