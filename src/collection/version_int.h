/* Versions of collections: what their files share.
 *
 *	version_code.c    items and leaves to bytes and back
 *	version_load.c    a version in memory: its items' places; the last used ones are kept
 *	version_write.c   items to a tree, taking over what a base has
 *	version_commit.c  the live items as a tree; the version made of it
 *	version_name.c    what "3", "before-cleaning" or a time name
 *	version_diff.c    two versions compared
 *	version_apply.c   live items turned into a version's: restore, merge; copies that fill
 *	version_refill.c  the same when much changes: it begins anew, and is filled afterwards
 *	version_fields.c  an item of three versions into one
 *	version_copy.c    copies and branches
 *	version_merge.c   three versions into one
 *	version_view.c    reading and searching a version
 *	version_store.c   SQL
 *	version_routes.c, version_compare_routes.c, version_cmd.c, version_compare_cmd.c
 *
 * A version is a tree (artifact/tree.h), named by an artifact of the kind "vector-collection":
 *
 *	collection.json          {"croft":"collection/1","items":N,"config":{"spaces":...}}
 *	data/XXXXXXXXXXXXXXXX    records of about 1 MiB in all; named by what is in it
 *	index/HEX                a leaf: up to 256 items by id; named by the hash of its first id
 *
 * A leaf says of each item: its id, what its vectors and the rest hash to, and where its record
 * lies. Where a leaf ends is decided by ids alone, so an item that changes changes one leaf; a
 * record that is in some data of the base stays where it is. So a version costs what is new in it,
 * and the leaves around that. Data of which less than half is still needed is written anew.
 *
 * The live rows have a head: the version that they came from, and the number of the change up to
 * which they are that version. A copy begins with a head and no rows (next_num 0): it is read from
 * its version until somebody opens it, then filled.
 *
 * Invariants
 * 1. A version is all of what one change (seq) had made: it is read in one transaction.
 * 2. The version's row, its tag, its parents and the head change in one transaction; for restore
 *    and merge the items do too. A process that dies before leaves blobs that are collected.
 * 3. Nobody changes items between a restore's or merge's look and its transaction: it checks seq.
 */
#ifndef COLLECTION_VERSION_INT_H
#define COLLECTION_VERSION_INT_H
#include "artifact/registry.h"
#include "artifact/tree.h"
#include "collection/collection_int.h"

#define VERSION_KIND "vector-collection"

enum {
	VERSION_SUM = 16,         /* bytes of a hash of vectors, of the rest */
	VERSION_LEAF_ITEMS = 256, /* at most */
	VERSION_PACK_BYTES = 1 << 20,
	VERSION_PACK_MAX = 64 << 20, /* a record can be larger than a pack */
	VERSION_ITEMS_MAX = 1 << 30,
};

/* ---- bytes ---- */

struct vitem {
	struct str id;
	uint8_t vectors[VERSION_SUM], rest[VERSION_SUM];
	uint32_t pack, off, len; /* pack: an index into the version's */
};

/* What the database has of an item. */
struct vrecord {
	struct str vectors, payload;
	struct str text; /* SHA-256 of the text that was embedded; "": none */
	struct str kept; /* that text, when the payload does not say it */
};

void version_sums(const struct vrecord *r, struct vitem *out);
static inline bool version_same(const struct vitem *a, const struct vitem *b)
{
	return !memcmp(a->vectors, b->vectors, VERSION_SUM) &&
	       !memcmp(a->rest, b->rest, VERSION_SUM);
}
void vrecord_write(const struct vrecord *r, struct buf *out);
/* Borrowed from the bytes; ERR_CORRUPT. */
enum err vrecord_read(struct str bytes, struct vrecord *out, struct errtext *et) MUST_CHECK;

/* An item in a leaf, with its pack by name. */
void vleaf_add(struct buf *out, const struct vitem *it, uint64_t pack);
/* Takes the next one off; its id is borrowed. ERR_CORRUPT. */
enum err vleaf_next(
	struct str *rest, struct vitem *out, uint64_t *pack, struct errtext *et) MUST_CHECK;
/* Whether a leaf ends behind this id (if it is not full before). */
bool vleaf_ends(struct str id);

/* ---- a version in memory ---- */

struct vpack {
	const struct tree_file *file;
	uint64_t key;
};

struct version {
	char digest[SHA256_HEX + 1];
	struct blobs *blobs;
	struct arena *arena;
	struct tree *tree;
	struct str config; /* of the collection, as it was */
	struct space *spaces;
	size_t n_spaces;
	struct vitem *items; /* by id */
	size_t n;
	struct vpack *packs; /* by key */
	size_t n_packs;
	uint32_t *order; /* the items in the order of their records */
	/* guarded by versions.mu */
	unsigned users;
	uint64_t used;
};

/* The last used ones, as long as all together take no more than the setting allows. */
struct versions {
	pthread_mutex_t mu;
	struct version **list;
	size_t n, cap;
	uint64_t clock;
};
enum err versions_new(struct versions **out, struct errtext *et) MUST_CHECK;
void versions_free(struct versions *v); /* accepts NULL; nobody uses one */

/* digest "": nothing in it and no spaces. Any thread; read-only; put it back. */
enum err version_load(struct croft *c, const char *digest, struct version **out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
void version_put(struct croft *c, struct version *v); /* accepts NULL */
size_t version_bytes(const struct version *v);
/* The item, or NULL. */
const struct vitem *version_find(const struct version *v, struct str id);
size_t version_from(const struct version *v, struct str id); /* the first that is not before it */

/* Records, by whole packs: a few of the last are kept. One thread. */
enum { VREADER_PACKS = 4 };
struct vreader {
	const struct version *v;
	struct {
		const struct tree_file *file;
		char *bytes;
	} kept[VREADER_PACKS];
	unsigned next;
};
/* Lasts until the next call. */
enum err vreader_get(struct vreader *r, const struct vitem *it, struct vrecord *out,
	struct errtext *et) MUST_CHECK;
void vreader_end(struct vreader *r);
/* One record, read alone and checked by its sums; free(*bytes). */
enum err vrecord_alone(const struct version *v, const struct vitem *it, char **bytes,
	struct vrecord *out, struct errtext *et) MUST_CHECK;

/* The records of many items, each pack read once: in the order in which they lie, not in that of
 * the list. */
typedef enum err (*vrecord_fn)(void *ctx, size_t i, const struct vrecord *r, struct errtext *et);
enum err version_records(const struct version *v, const struct vitem *const *items, size_t n,
	vrecord_fn fn, void *ctx, const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- writing ---- */

struct vwriter;
/* base may be NULL; it must stay. */
enum err vwriter_open(struct croft *c, const struct version *base, struct vwriter **out,
	struct errtext *et) MUST_CHECK;
void vwriter_drop(struct vwriter *w); /* accepts NULL */
/* Its packs will hold nothing but its items: no pack of the base with anything else is kept. */
void vwriter_tight(struct vwriter *w);
/* In the order of ids. keep: an item of `from` (the base, or another one that stays as long). */
enum err vwriter_keep(struct vwriter *w, const struct version *from, const struct vitem *it,
	struct errtext *et) MUST_CHECK;
/* With the sums of `it`. */
enum err vwriter_add(struct vwriter *w, const struct vitem *it, const struct vrecord *r,
	struct errtext *et) MUST_CHECK;
/* Stores it all; frees w, whatever comes. The tree is nobody's yet (tree_grant). */
enum err vwriter_finish(
	struct vwriter *w, struct str config, struct tree_sum *out, struct errtext *et) MUST_CHECK;

/* ---- rows ---- */

struct head_row {
	int64_t collection;
	struct id artifact; /* and version: where it came from; version 0: from nothing */
	int64_t version, seq;
	struct str digest; /* "": of an empty beginning */
	struct str origin; /* "faq:3", of a branch or copy; "": none */
	struct str done;   /* of a copy that fills: the last id that is there */
};
/* *found false: it has none. */
enum err store_head(struct tx *tx, int64_t collection, struct arena *a, struct head_row *out,
	bool *found, struct errtext *et) MUST_CHECK;
enum err store_head_put(struct tx *tx, const struct head_row *h, struct errtext *et) MUST_CHECK;
enum err store_head_blobs(struct tx *tx, enum err (*want)(void *ctx, struct str hex), void *ctx,
	struct errtext *et) MUST_CHECK;

/* ---- committing ---- */

/* The live collection and its head, as one transaction sees them. */
struct vlive {
	struct collection_row row;
	struct head_row head;
	bool headed;
};
static inline bool vlive_lazy(const struct vlive *x)
{
	return x->row.next_num == 0;
}
static inline bool vlive_clean(const struct vlive *x)
{
	return x->headed && x->head.seq == x->row.seq;
}
enum err version_live(struct tx *tx, struct str project, struct str name, struct arena *a,
	struct vlive *out, struct errtext *et) MUST_CHECK;
bool vlive_same_head(const struct vlive *x, const struct vlive *y);
enum err version_live_now(struct croft *c, struct str project, struct str name, struct arena *a,
	struct vlive *out, struct errtext *et) MUST_CHECK;

/* Tells the collection, if it is open, where its head is: a version of its own. */
void version_tell(struct croft *c, const struct head_row *head);

struct vcounts {
	int64_t added, removed, changed;
};
/* The live items as a tree; *out as the transaction that read them saw them. tight: see
 * vwriter_tight. */
enum err version_build(struct croft *c, struct str project, struct str name, bool tight,
	struct arena *a, struct vlive *out, struct tree_sum *sum, struct vcounts *counts,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* What a version is made with. */
struct vmake {
	struct str project, name; /* of the collection */
	struct str message, tag;  /* "": none */
	const char *digest;
	int64_t bytes, items, seq;
	struct vcounts counts;
	const struct head_row *parent; /* version 0: none */
	struct {
		struct id artifact;
		int64_t version;
	} other;             /* a second parent; version 0: none */
	const char *made_by; /* "commit", "restore", "merge" */
	struct str detail;   /* of what: "3", "faq-test:2" */
};
/* Inside a write transaction: the version, its tag, what it comes from, and the head. */
enum err version_record(struct tx *tx, const struct principal *who, int64_t collection,
	const struct vmake *m, struct arena *a, struct head_row *out,
	struct errtext *et) MUST_CHECK;

struct vcommit {
	struct str project, name, message, tag;
	bool compact; /* so that nothing is left in it of items that only earlier versions have */
	const struct principal *who;
	const struct cancel *cancel;
};
struct vcommitted {
	struct artifact_version v; /* in the arena */
	bool made;                 /* false: nothing had changed */
};
enum err version_commit(struct croft *c, const struct vcommit *q, struct arena *a,
	struct vcommitted *out, struct errtext *et) MUST_CHECK;

/* The version that a head names. */
enum err version_of_head(struct croft *c, const struct head_row *h, struct arena *a,
	struct artifact_version *out, struct errtext *et) MUST_CHECK;

/* ---- comparing ---- */

enum vchange { VCHANGE_ADDED, VCHANGE_REMOVED, VCHANGE_MOVED, VCHANGE_PAYLOAD, VCHANGES };
const char *vchange_word(enum vchange c); /* "added", "removed", "moved", "changed" */

struct vdelta {
	const struct vitem *before, *after; /* NULL where it is not there */
	enum vchange change;
	bool payload;   /* of a moved one: its payload is another one too */
	float distance; /* cosine, of the space in which it moved farthest; NaN: none */
};

enum { VDIFF_BINS = 11 };
extern const float vdiff_edges[VDIFF_BINS + 1];

/* Pointers into both versions. */
struct vdiff {
	struct vdelta *list; /* by id */
	size_t n, same, counts[VCHANGES], payloads;
	/* when it was measured */
	size_t measured, bins[VDIFF_BINS];
	double mean, median, p95, max;
};
enum err version_diff(const struct version *a, const struct version *b, struct vdiff *out,
	struct errtext *et) MUST_CHECK;
/* The distances of some of the deltas. */
enum err version_measure(const struct version *a, const struct version *b,
	struct vdelta *const *list, size_t n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* All of them, and what they come to. */
enum err version_measure_all(const struct version *a, const struct version *b, struct vdiff *d,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
void vdiff_free(struct vdiff *d);

/* ---- live items become a version's ---- */

struct vswitch {
	struct croft *c;
	const struct principal *who;
	struct str project, name;
	struct vlive seen;               /* what `from` is: a change between is *raced */
	const struct version *from, *to; /* the live items, and what they become */
	struct vmake make;               /* the version that is recorded with it */
	const char *action;              /* for the audit log */
	struct arena *a;
	const struct cancel *cancel;
};
/* Up to collection.restore_at_once items in one transaction with everything; where more change, the
 * collection begins anew with the version: *filling. */
enum err version_switch(const struct vswitch *s, struct head_row *head, bool *raced, bool *filling,
	struct errtext *et) MUST_CHECK;
bool version_same_spaces(const struct version *a, const struct version *b);

struct vrestore {
	struct str project, name, ref, message;
	bool discard; /* what has changed since the head is not kept as a version */
	const struct principal *who;
	const struct cancel *cancel;
};
struct vrestored {
	struct artifact_version v;
	int64_t kept;        /* the version that keeps what had changed; 0: none */
	struct vcounts done; /* what it did to the items */
	bool made;           /* false: the items were that version's already */
	bool filling;        /* its rows are being written */
};
enum err version_restore(struct croft *c, const struct vrestore *q, struct arena *a,
	struct vrestored *out, struct errtext *et) MUST_CHECK;

/* ---- merging ---- */

enum vtake { TAKE_NONE, TAKE_OURS, TAKE_THEIRS };
struct vresolve {
	struct item_id id;
	enum vtake take; /* of all its fields; TAKE_NONE: as the merge prefers */
	struct {
		struct str field; /* and all in it; "": the item */
		enum vtake take;
	} * fields;
	size_t n_fields;
};
struct vmerge {
	struct str project, name;
	struct str from;   /* a collection, as it is now, or a version of one: "faq-test:3" */
	enum vtake prefer; /* for the conflicts that `resolve` does not name */
	const struct vresolve *resolve; /* by id */
	size_t n_resolve;
	size_t skip, limit; /* the conflicts that values are wanted of */
	bool dry_run;
	struct str message;
	const struct principal *who;
	const struct cancel *cancel;
};
struct vconflict {
	struct item_id id;
	struct str field;          /* "/payload/price", as version_fields.c says; "": the item */
	enum vchange ours, theirs; /* what each side did: added, removed, or changed */
	/* JSON of base, ours, theirs; "": none, or no member of the payload, or a large one */
	struct str values[3];
};
struct vmerged {
	bool merged;  /* false: conflicts, or a dry run, or there was nothing to bring */
	bool filling; /* as restored */
	bool nothing; /* that */
	struct artifact_version v, base; /* .version 0: none */
	struct str theirs;               /* "faq-test:3" */
	struct vcounts counts;           /* what it does to the live items */
	int64_t kept;                    /* the version that keeps what had changed here; 0: none */
	struct vconflict *conflicts;     /* by id and field, the unresolved ones; in the arena */
	size_t n_conflicts, resolved;    /* fields */
	size_t combined;                 /* items with fields of both sides */
};
enum err version_merge(struct croft *c, const struct vmerge *q, struct arena *a,
	struct vmerged *out, struct errtext *et) MUST_CHECK;

struct vcopy {
	struct str project, name, to;
	struct str ref; /* "": what is there now, which becomes a version if it is none */
	bool branch;    /* it knows where it comes from, and can be merged */
	const struct principal *who;
	const struct cancel *cancel;
};
enum err version_copy(struct croft *c, const struct vcopy *q, struct arena *a, struct vlive *out,
	struct errtext *et) MUST_CHECK;
/* A copy gets items of its own: those of its version. */
enum err version_fill(struct croft *c, struct str project, struct str name,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
struct vprogress {
	atomic_size_t done, total;
};
/* The same of the collection of that number only; at (may be NULL) is told. */
enum err version_fill_rows(struct croft *c, struct str project, struct str name, int64_t number,
	struct vprogress *at, const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- collections that begin anew: version_refill.c ---- */

struct refills;
enum err refills_new(struct croft *c, struct refills **out, struct errtext *et) MUST_CHECK;
/* Goes on with what another process has begun. */
enum err refills_start(struct refills *all, struct errtext *et) MUST_CHECK;
void refills_stop(struct refills *all);
void refills_free(struct refills *all); /* accepts NULL */
void refill_add(struct croft *c, struct str project, struct str name, int64_t number,
	int64_t former, size_t items);
/* It is being filled here, or its index is being made; percent may be NULL. */
bool refill_busy(struct croft *c, int64_t number, unsigned *percent);
/* A collection becomes one of another number (row->number) with no rows: its settings go along,
 * what is of its items does not, and is swept as a deleted one's. */
enum err store_collection_renumber(struct tx *tx, int64_t from, const struct collection_row *row,
	struct errtext *et) MUST_CHECK;
/* Those that have some of their rows: a process ended while they were filled. */
enum err store_half_filled(struct tx *tx,
	enum err (*fn)(void *ctx, struct str project, struct str name, int64_t number,
		int64_t items, struct errtext *et),
	void *ctx, struct errtext *et) MUST_CHECK;

/* ---- commands ---- */

/* ---- names ---- */

/* The artifact that holds a collection's versions. */
struct str version_artifact(struct str collection, struct arena *a);
/* "3", "v3", "head", a tag, a time: of the collection; "other:3": of another one. ERR_NOT_FOUND.
 * What the request of this thread may not read is ERR_FORBIDDEN. */
enum err version_named(struct croft *c, struct str project, struct str name, struct str ref,
	struct arena *a, struct artifact_version *out, struct errtext *et) MUST_CHECK;
/* The parents that are written in a version's metadata: "ID:N"; at most 2. */
enum err version_parents(const struct artifact_version *v, struct id out[2], int64_t versions[2],
	size_t *n, struct errtext *et) MUST_CHECK;
struct str version_parent_text(struct id artifact, int64_t version, struct arena *a);

/* ---- reading and searching ---- */

/* A filter in Qdrant's words, for this version: *out NULL: none was given. */
enum err version_filter(const struct version *v, yyjson_val *json, struct arena *a,
	const struct cond **out, struct errtext *et) MUST_CHECK;
enum err version_scroll(const struct version *v, const struct cond *filter,
	const struct item_id *from, size_t max, struct item_want want, struct arena *a,
	struct collection_item **out, size_t *n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
enum err version_count_items(const struct version *v, const struct cond *filter, size_t *n,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND: there is no such item in it, or it has no such vector. */
enum err version_vector(const struct version *v, const struct item_id *id, struct str space,
	struct arena *a, const float **out, size_t *dim, struct errtext *et) MUST_CHECK;
/* Every item is compared: exact. */
enum err version_search(const struct version *v, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et) MUST_CHECK;
const struct space *version_space(const struct version *v, struct str name);

#endif
