/* What the files of this folder share.
 *
 *	collection_module.c  the rows
 *	collection_store.c   SQL
 *	collection_routes.c, collection_cmd.c: wire JSON and commands
 *	wire.c               what all routes and commands begin and end with
 *	collection_import.c  files with vectors
 *	collection.c         collections by name: create, list, open, delete
 *	alias*.c             other names of collections
 *	layout.c             its spaces, as they are named at a time
 *	shelf.c              one collection in memory: ids and indexes, loaded and published to
 *	embed.c              texts to vectors, none of them twice
 *	item_id.c            ids to bytes and back
 *	item_code.c          vectors to bytes and back
 *	item_json.c          JSON to items and back, for the faces
 *	snapshot.c, ids_file.c: its indexes on disk
 *	items.c              changes: one transaction, then publication
 *	payload.c            patches of payloads
 *	filter.c             conditions on payloads as sets of items
 *	query.c              reading and searching
 *	kinds.c              sparse vectors, lists of vectors
 *	examples.c           searching by several examples
 *	keyword*.c, hybrid.c searching by words: see keyword_int.h
 *	values.c, group.c    values of fields, groups of hits
 *	bundle*.c            a collection as one file
 *	formula.c            scores computed from scores and payloads
 *	sample.c             items by chance
 *	noted_store.c        indexes of fields that clients asked for
 *	rank.c               lists of hits in another order
 *	backend.c            where vectors are searched: in memory, or as pgv_int.h says
 *	move.c               from one of them to another
 *	map*.c               maps: see map_int.h
 *	jobs.c               background work: see jobs.h
 *	curate*.c            curation: see curate_int.h
 *	version*.c           versions: see version_int.h
 *	asof*.c              searching versions: see asof.h
 *
 * Invariants
 * 1. What is in memory was committed before; under k->write a commit is followed by its
 *    publication before anything else changes the collection.
 * 2. An item keeps its number (`num`) as long as it lives; numbers are never used twice.
 * 3. A change's number is on the row of each item that it touched: who has seen changes up to s
 *    catches up by reading the rows with a higher one, and the graves with a higher one. */
#ifndef COLLECTION_INT_H
#define COLLECTION_INT_H
#include "base/map.h"
#include "collection/collection.h"
#include "module/cmd.h"
#include "store/notify.h"
#include "kernels/kernels.h"
#include "vector/fields.h"
#include "vector/index.h"

struct layout;
struct keyword_index;
struct keyword_query;
struct hit;

/* ---- SQL ---- */

extern const struct migration collection_migrations[];
extern const size_t n_collection_migrations;

struct collection_row {
	int64_t number; /* of the collection, by chance and never used twice */
	struct str project, name, config;
	struct str backend; /* .n 0: embedded */
	int64_t seq, next_num, items, graves_seq, created_ms, updated_ms;
};

struct item_row {
	int64_t num, seq, vec; /* vec: the change that wrote its vectors */
	int64_t own;           /* the same, but for a migration's, which only adds some */
	struct str id, payload, vectors;
	struct str text; /* SHA-256 of the text that was embedded, or "" */
};

enum err store_collection_add(
	struct tx *tx, const struct collection_row *r, struct errtext *et) MUST_CHECK;
/* Of this name, or the one that an alias of this name stands for: out->name says which. */
enum err store_collection_by_name(struct tx *tx, struct str project, struct str name,
	struct arena *a, struct collection_row *out, struct errtext *et) MUST_CHECK;
enum err store_collection_by_number(struct tx *tx, int64_t number, struct arena *a,
	struct collection_row *out, struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND */
/* The number of the collection that it stands for; 0: there is no such alias. */
enum err store_alias(struct tx *tx, struct str project, struct str name, int64_t *number,
	struct errtext *et) MUST_CHECK;
enum err store_collections(struct tx *tx, struct str project, struct arena *a,
	struct collection_row **out, size_t *n, struct errtext *et) MUST_CHECK;
/* seq, next_num, items, graves_seq, updated_ms */
enum err store_collection_at(
	struct tx *tx, const struct collection_row *r, struct errtext *et) MUST_CHECK;
enum err store_collection_drop(struct tx *tx, int64_t number, struct errtext *et) MUST_CHECK;
/* What a dropped collection left, at most `max` items of it; *more: there may be others. */
enum err store_collection_sweep(
	struct tx *tx, int64_t number, int max, bool *more, struct errtext *et) MUST_CHECK;
enum err store_collections_dropped(struct tx *tx, struct arena *a, int64_t **numbers, size_t *n,
	struct errtext *et) MUST_CHECK;

enum err store_item_add(
	struct tx *tx, int64_t collection, const struct item_row *r, struct errtext *et) MUST_CHECK;
/* payload .p NULL: as it is */
enum err store_item_change(
	struct tx *tx, int64_t collection, const struct item_row *r, struct errtext *et) MUST_CHECK;
enum err store_item_drop(
	struct tx *tx, int64_t collection, int64_t num, int64_t seq, struct errtext *et) MUST_CHECK;
enum err store_vectors_put(struct tx *tx, int64_t collection, int64_t num, struct str vectors,
	struct errtext *et) MUST_CHECK;
enum { GRAVES_KEPT = 10000 }; /* changes for which a follower need not read everything */
enum err store_graves_trim(
	struct tx *tx, struct collection_row *r, int64_t kept, struct errtext *et) MUST_CHECK;

typedef enum err (*item_row_fn)(void *ctx, const struct item_row *r, struct errtext *et);
/* ERR_NOT_FOUND, without a text. Strings are in `a`. */
enum err store_item(struct tx *tx, int64_t collection, struct str id, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et) MUST_CHECK;
enum err store_item_by_num(struct tx *tx, int64_t collection, int64_t num, struct item_want read,
	struct arena *a, struct item_row *out, struct errtext *et) MUST_CHECK;
/* Rows last for the call. */
enum err store_items_from(struct tx *tx, int64_t collection, struct str from, size_t max,
	struct item_want read, item_row_fn fn, void *ctx,
	struct errtext *et) MUST_CHECK; /* by id */
enum err store_items_since(struct tx *tx, int64_t collection, int64_t seq, item_row_fn fn,
	void *ctx, struct errtext *et) MUST_CHECK; /* whole, changed after seq */
enum err store_items_part(struct tx *tx, int64_t collection, int64_t num, size_t max,
	struct item_want read, item_row_fn fn, void *ctx,
	struct errtext *et) MUST_CHECK; /* by number */
enum err store_items_all(struct tx *tx, int64_t collection, struct item_want read, item_row_fn fn,
	void *ctx, struct errtext *et) MUST_CHECK; /* by number */
/* ERR_NOT_FOUND, without a text. */
enum err store_snapshot(struct tx *tx, int64_t collection, const char *host, char token[ID_HEX + 1],
	int64_t *mark, struct errtext *et) MUST_CHECK;
enum err store_snapshot_put(struct tx *tx, int64_t collection, const char *host, const char *token,
	int64_t mark, struct errtext *et) MUST_CHECK;
/* A collection that is being recovered is in a project of its own, that is none. */
#define STAGED_PREFIX "recover:"
enum err store_collections_staged(struct tx *tx, int64_t before_ms, struct arena *a,
	struct collection_row **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err store_collection_rename(struct tx *tx, int64_t number, struct str project, struct str name,
	struct errtext *et) MUST_CHECK;
/* After its row has been dropped. */
void collection_gone(struct croft *c, int64_t number);
enum err store_collection_config(
	struct tx *tx, int64_t number, struct str config, struct errtext *et) MUST_CHECK;
/* The settings of the keyword index, as JSON; "": there is none. */
enum err store_keyword(struct tx *tx, int64_t collection, struct arena *a, struct str *config,
	struct errtext *et) MUST_CHECK;
enum err store_keyword_put(
	struct tx *tx, int64_t collection, struct str config, struct errtext *et) MUST_CHECK;
enum err store_graves_since(struct tx *tx, int64_t collection, int64_t seq,
	enum err (*fn)(void *ctx, int64_t num, struct errtext *et), void *ctx,
	struct errtext *et) MUST_CHECK;

/* ---- bytes ---- */

/* Appends the vectors, each with its place. */
void item_code(const struct item_vector *v, size_t n, struct buf *out);
/* What stands there, checked: ERR_CORRUPT. At most COLLECTION_SPACES_MAX; memory of `a`. */
enum err item_decode(struct str bytes, const struct space *spaces, size_t n_spaces, struct arena *a,
	struct item_vector **out, size_t *n, struct errtext *et) MUST_CHECK;

/* {"spaces": [{"name", "dim", "distance"}]} */
void config_write(const struct space *spaces, size_t n, struct buf *out);
/* For a copy: without spaces that follow others, of which it keeps nothing. */
enum err config_settled(
	struct str json, struct arena *a, struct str *out, struct errtext *et) MUST_CHECK;
enum err config_read(struct str json, struct arena *a, struct space **out, size_t *n,
	struct errtext *et) MUST_CHECK;

/* Appends the payload with the patch applied. ERR_INVALID, ERR_TOO_LARGE (of out->max). */
enum err payload_apply(struct str payload, const struct payload_patch *p, struct buf *out,
	struct errtext *et) MUST_CHECK;

/* What a payload has at a path (cond_path), elements of an array one by one; no place in an array.
 * false: fn said so. */
typedef bool (*payload_value_fn)(void *ctx, yyjson_val *v);
bool payload_values(yyjson_val *payload, struct str path, payload_value_fn fn, void *ctx);

/* ---- texts ---- */

/* dim and identity of a space with a model. Strings are in `a`. */
enum err space_settle(
	struct croft *c, struct space *s, struct arena *a, struct errtext *et) MUST_CHECK;
/* collection_embed for a space of the collection named `of`, which need not be open. */
enum err space_embed(struct croft *c, struct str of, const struct space *s, const struct str *texts,
	size_t n, float *out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* The items with a vector in each space that has a model, copies in `a`; texts: the SHA-256 of what
 * was embedded, 32 bytes for each item with a text. */
enum err embed_items(struct collection *k, const struct layout *l,
	const struct collection_item *items, size_t n, struct arena *a,
	struct collection_item **out, struct str **texts, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

/* ERR_NOT_FOUND, without a text: it was never embedded there. */
enum err store_embedding(struct tx *tx, struct str identity, struct str sha256, float *out,
	size_t dim, struct errtext *et) MUST_CHECK;
enum err store_embedding_put(struct tx *tx, struct str identity, struct str sha256, const float *v,
	size_t dim, struct errtext *et) MUST_CHECK;
/* Those of a text that no item has any more; sha256 "": of any. */
enum err store_embedding_prune(struct tx *tx, struct str sha256, struct errtext *et) MUST_CHECK;

/* ---- the spaces as they are named at a time: layout.c ---- */

struct layout {
	struct layout *older; /* perhaps still in use */
	unsigned users;       /* threads that have it; with older: guarded by collections.mu */
	struct str config;    /* as the row has it */
	size_t n;
	struct space spaces[COLLECTION_SPACES_MAX];
	struct vindex *index[COLLECTION_SPACES_MAX]; /* NULL: the space is gone */
};

/* As this thread opened the collection, or else as it is now. It lives as long as the collection,
 * its indexes as long as it is open. */
const struct layout *layout_of(const struct collection *k);
const struct layout *layout_now(const struct collection *k);
bool space_lives(const struct space *s); /* it has an index */
/* Under collections.mu. */
enum err layout_pin(struct collection *k, struct errtext *et) MUST_CHECK;
void layout_unpin(struct collection *k);
void layout_tidy(struct collection *k);
/* Why a vector of so many numbers does not fit: what a migration has to do with it. */
enum { SPACE_WHY = 400 };
const char *space_mismatch(
	const struct collection *k, const struct space *s, size_t dim, char out[SPACE_WHY]);
/* Of this name; .p NULL: the first that has a name of its own. NULL: there is none. */
const struct space *space_pick(const struct space *spaces, size_t n, struct str name);
/* Takes out the vectors of spaces that have no name of their own; how many are left. */
size_t space_shown(const struct space *spaces, struct item_vector *v, size_t n);
/* Spaces that follow another one: NEXT and FORMER. */
bool space_follows(const struct space *s);
enum err layout_first(struct collection *k, struct str config, struct errtext *et) MUST_CHECK;
/* The indexes that are not there yet. */
enum err layout_indexes(struct layout *l, struct errtext *et) MUST_CHECK;
/* Under k->write: as the row's config says. */
enum err layout_adopt(struct collection *k, struct str config, struct errtext *et) MUST_CHECK;
void layout_clear(struct collection *k);

/* ---- the texts of items: texts.c ---- */

/* Of a row with its payload, in `a`: what was embedded, or what the payload has under `field` (""
 * : nothing else). "": it has none, or one that is not known any more. */
enum err text_of_item(struct tx *tx, const struct item_row *r, struct str field, struct arena *a,
	struct str *out, struct errtext *et) MUST_CHECK;
/* The text of a row that is kept beside its payload; "": there is none. */
enum err text_besides(struct tx *tx, const struct item_row *r, struct arena *a, struct str *out,
	struct errtext *et) MUST_CHECK;
/* The text of an item that was put is kept, unless its payload says it. */
enum err text_keep(struct tx *tx, struct str text, struct str sha256, struct str payload,
	struct errtext *et) MUST_CHECK;
/* The same when the payload of an item that is there changes. */
enum err text_keep_patched(struct tx *tx, struct str former, struct str payload, struct str sha256,
	struct errtext *et) MUST_CHECK;
/* The string right in the payload with that SHA-256, in `a`; "": none; .p NULL: no memory. */
struct str text_said(struct str payload, struct str sha256, struct arena *a);
/* A string that the payload has under this name; "": none. */
struct str text_in_field(struct str payload, struct str field, struct arena *a);

enum err store_text(struct tx *tx, struct str sha256, struct arena *a, struct str *out,
	struct errtext *et) MUST_CHECK; /* "": it was not kept */
enum err store_text_put(
	struct tx *tx, struct str sha256, struct str text, struct errtext *et) MUST_CHECK;

/* ---- spaces that follow: migrate.c ---- */

/* Which of them an item that is put has no vector for; *makes: the places (a bit each) for which
 * the worker will make it, once it knows. */
enum err lacking_note(struct tx *tx, const struct layout *l, int64_t collection, int64_t num,
	const struct collection_item *it, uint32_t *makes, struct errtext *et) MUST_CHECK;
enum err lacking_tell(
	struct tx *tx, int64_t collection, uint32_t makes, struct errtext *et) MUST_CHECK;
/* The item is gone. */
enum err lacking_forget(struct tx *tx, const struct layout *l, int64_t collection, int64_t num,
	struct errtext *et) MUST_CHECK;
/* ---- where vectors are searched ---- */

struct matched {
	uint64_t num;
	struct str id;
};

struct graph_state {
	bool ready, building;
	double done; /* of the building, 0 to 1 */
};

/* What may be done elsewhere than by indexes in this server's memory; a slot that is NULL is done
 * there. Items are in the same tables whatever the backend, and calls come checked. */
struct backend {
	const char *name;
	uint32_t effort; /* of its searches when none is asked for; 0: it has no graph */
	/* May these spaces be kept so? In the transaction that makes the collection; et names the
	 * remedy. */
	enum err (*make)(struct croft *c, struct tx *tx, const struct collection_row *r,
		const struct space *spaces, size_t n, struct errtext *et);
	/* Makes searching possible, when the collection is first used. */
	enum err (*open)(struct collection *k, const struct cancel *cancel, struct errtext *et);
	/* In the transaction of a change, which the row says (seq is its number). */
	enum err (*changed)(struct tx *tx, const struct collection_row *row, struct errtext *et);
	enum err (*query)(struct collection *k, const struct item_query *q, struct arena *a,
		struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et);
	/* What the numbers of a sparse query count (by their idf where the space has that). */
	enum err (*weights)(struct collection *k, struct tx *tx, const struct space *s,
		const struct item_vector *v, struct arena *a, double *out, struct errtext *et);
	/* Items that match, from an id on, at most max, by id; how many there are. */
	enum err (*list)(struct collection *k, const struct cond *c, struct str from, size_t max,
		struct arena *a, struct matched **out, size_t *n, struct errtext *et);
	enum err (*count)(
		struct collection *k, const struct cond *c, size_t *n, struct errtext *et);
	/* As keyword_find (keyword_int.h), of some items when `among` is not NULL. */
	enum err (*words)(struct collection *k, const struct keyword_index *x,
		const struct keyword_query *q, const struct cond *filter, const uint64_t *among,
		size_t n_among, size_t max, struct hit *out, size_t *n, bool *cut,
		const struct cancel *cancel, struct errtext *et);
	/* An index of words by these settings, made while others are in use; `words_settle` is the
	 * last step, in the transaction that stores them; `words_tidy` forgets former ones. */
	enum err (*words_fill)(struct croft *c, const struct collection_row *row, struct str config,
		const struct cancel *cancel, struct errtext *et);
	enum err (*words_settle)(struct tx *tx, const struct collection_row *row, struct str config,
		struct errtext *et);
	enum err (*words_tidy)(struct croft *c, int64_t number, struct errtext *et);
	/* How the graph of a space stands. */
	enum err (*graph)(struct collection *k, struct tx *tx, size_t place,
		struct graph_state *out, struct errtext *et);
	/* Looked at each second, beside everything else. */
	void (*tend)(struct collection *k);
	/* Takes everything in while the collection is in use elsewhere; `settle` is the last step,
	 * in the transaction that makes it the collection's backend. */
	enum err (*fill)(struct croft *c, const struct collection_row *row,
		const struct cancel *cancel, struct errtext *et);
	enum err (*settle)(struct tx *tx, const struct collection_row *row, struct errtext *et);
	/* What a collection left that has gone, or has moved. */
	enum err (*forget)(struct croft *c, int64_t number, struct errtext *et);
};
extern const struct backend backend_embedded, backend_pgvector;
/* "": embedded. NULL: there is none of that name. */
const struct backend *backend_find(struct str name);
/* Of a new collection: that name, or "" for the setting's. ERR_INVALID names those there are. */
enum err backend_choose(struct croft *c, struct str name, const struct backend **out,
	struct errtext *et) MUST_CHECK;
/* What has to look through the index in memory, which is not there: ERR_UNSUPPORTED, the remedy. */
enum err backend_in_memory(
	const struct collection *k, const char *doing, struct errtext *et) MUST_CHECK;
enum err store_collection_backend(
	struct tx *tx, int64_t number, struct str backend, struct errtext *et) MUST_CHECK;

/* ---- sparse vectors and lists of vectors: kinds.c ---- */

/* For what knows plain vectors only: ERR_UNSUPPORTED for others. */
enum err space_plain(const struct space *s, const char *doing, struct errtext *et) MUST_CHECK;
struct kind_index; /* of a space that is not of plain vectors */
/* Under k->write. Those that are not there yet. */
enum err kinds_new(struct collection *k, struct errtext *et) MUST_CHECK;
bool kinds_any(const struct collection *k);
/* v NULL: the item has none in that space. */
enum err kinds_put(struct collection *k, size_t place, uint64_t num, const struct item_vector *v,
	struct errtext *et) MUST_CHECK;
enum err kinds_remove(
	struct collection *k, const uint64_t *nums, size_t n, struct errtext *et) MUST_CHECK;
enum err kinds_publish(struct collection *k, struct errtext *et) MUST_CHECK;
void kinds_clear(struct collection *k);
/* The score of each item, as an index has it, numbers ascending; NaN: it has no such vector. */
enum err kinds_scores(struct collection *k, const struct space *s, const struct item_vector *v,
	const uint64_t *nums, size_t n, float *out, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
struct vindex *kinds_vectors(struct collection *k, size_t place); /* of lists; NULL: none */
uint64_t kinds_bytes(struct collection *k);                       /* all but kinds_vectors */
size_t kinds_rows(struct collection *k); /* vectors of lists, in all spaces */
/* Their files; lists: of the file of ids, which gives up its counts. ERR_CORRUPT, ...: the index is
 * as it was, or empty. */
struct ids_lists;
enum err kinds_save(struct collection *k, size_t place, const char *path, int64_t mark,
	struct errtext *et) MUST_CHECK;
enum err kinds_open(struct collection *k, size_t place, const char *path, uint64_t max_num,
	struct ids_lists *lists, int64_t mark, struct errtext *et) MUST_CHECK;
struct ids_lists kinds_lists(const struct collection *k, size_t place);
void kinds_caught_up(struct collection *k); /* changes since the files are in it */
/* The best of those that match (filter NULL: all), as an index has scores. */
enum err kinds_query(struct collection *k, const struct space *s, const struct item_query *q,
	const struct bitmap *among, size_t max, struct hit *out, struct vindex_answer *a,
	struct errtext *et) MUST_CHECK;

/* ---- one collection in memory ---- */

struct collection {
	struct croft *c;
	struct asof *asof; /* asof.h, of a version; NULL: its items are live */
	unsigned users;    /* guarded by collections.mu */
	int64_t number;
	struct arena *arena; /* of what never changes: the names and spaces */
	struct str project, name;
	_Atomic(struct layout *) layout; /* changed under write */
	const struct backend *backend;
	struct {
		char schema[132]; /* of the extension, quoted */
		unsigned version; /* 800: 0.8.0 */
		/* the tender's: the change that was looked at, when to look again, since when
		 * changes come too fast to make a graph */
		int64_t tended, next, since, items;
	} pgv;                 /* with the backend pgvector */
	struct fields *fields; /* of the payloads; a key is an item's number */
	struct kind_index *kinds[COLLECTION_SPACES_MAX]; /* by place; NULL: plain vectors */
	struct keyword_index *keyword; /* keyword_int.h; NULL: none; changed under write and lock */
	_Atomic(struct recall *) recall;          /* held.h */
	_Atomic int64_t recall_ppm, memory_bytes; /* what it is held to; 0: nothing */

	pthread_mutex_t write;          /* one change at a time; guards seq */
	int64_t seq;                    /* changes up to this one are in what follows */
	_Atomic int64_t shown;          /* the same, for who does not hold it */
	_Atomic uint64_t turn;          /* odd: a change is on its way in */
	_Atomic int64_t head, head_seq; /* the version it was last, its own, and when; 0: none */
	int64_t changed_ms;             /* when that was */
	int64_t used_ms;                /* opened or closed; guarded by collections.mu */
	int64_t saved_seq, saved_ms;    /* of the snapshot */
	char token[ID_HEX + 1];         /* of its files; "": there are none */

	pthread_rwlock_t lock; /* guards the ids; never held while an index works */
	size_t *id_at;         /* by num: where in id_bytes, + 1; 0: not alive */
	size_t n_nums;
	struct buf id_bytes; /* a length, then the bytes */
	size_t live;

	/* guarded by collections.mu */
	enum { LOADING, LOADED, FAILED } state;
	bool stale;   /* another server changed it while it was loaded */
	bool dropped; /* freed with its last user */
	bool moved;   /* the database says another backend: to be opened anew */
};

enum vindex_metric shelf_metric(const struct space *s);
/* Takes the snapshot if there is one, and reads what is later; else reads it whole. */
enum err shelf_load(
	struct collection *k, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
void shelf_clear(struct collection *k);
struct shelf_item {
	int64_t num;
	bool kept; /* its vectors are those that it had: only what an index lacks is put */
	struct str id, payload;
	struct item_vector *vectors;
	size_t n_vectors;
};
/* Under k->write. Published at once for all that is asked later. */
enum err shelf_put(struct collection *k, const struct shelf_item *items, size_t n,
	struct errtext *et) MUST_CHECK;
/* Under k->write: the head, as this transaction sees it. */
enum err shelf_head_read(
	struct collection *k, struct tx *tx, struct arena *a, struct errtext *et) MUST_CHECK;
/* Under k->write: a change begins, which ends with shelf_at, or with shelf_still if it comes to
 * nothing; whoever reads in between may see some of it. */
void shelf_turn(struct collection *k);
void shelf_still(struct collection *k);
/* Under k->write: changes up to seq are in it. */
void shelf_at(struct collection *k, int64_t seq);
/* How many items there are, when they are not in memory. */
void shelf_counts(struct collection *k, int64_t items);
enum err shelf_remove(
	struct collection *k, const uint64_t *nums, size_t n, struct errtext *et) MUST_CHECK;
/* Under k->write: what others changed since k->seq. */
enum err shelf_follow(struct collection *k, struct errtext *et) MUST_CHECK;
/* The ids, and the counts of lists, in a file; and out of one, which gives up its ids. */
struct ids_file;
enum err shelf_ids_write(
	struct collection *k, int64_t mark, struct buf *out, struct errtext *et) MUST_CHECK;
void shelf_ids_take(struct collection *k, struct ids_file *f);
/* The id of a living item, a copy in `a`; {NULL, 0}: it is gone. */
struct str shelf_id(struct collection *k, uint64_t num, struct arena *a);

/* ---- the keyword index: keyword.c; under k->write ---- */

enum err keyword_put(
	struct collection *k, uint64_t num, struct str payload, struct errtext *et) MUST_CHECK;
enum err keyword_delete(
	struct collection *k, const uint64_t *nums, size_t n, struct errtext *et) MUST_CHECK;
enum err keyword_publish(struct collection *k, struct errtext *et) MUST_CHECK;
/* Its file; *none: the collection has no keyword index. */
enum err keyword_save(struct collection *k, const char *path, int64_t mark, bool *none,
	struct errtext *et) MUST_CHECK;
/* What is there is empty, and stays so when it fails. */
enum err keyword_open(struct collection *k, const char *path, uint64_t max_num, int64_t mark,
	struct errtext *et) MUST_CHECK;
/* As the settings in the database have it. A new one has nothing, or with `filled` what is there.
 */
enum err keyword_follow(struct collection *k, struct tx *tx, bool filled,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
void keyword_clear(struct collection *k);
/* An empty one by these settings. */
enum err keyword_make(struct collection *k, struct str config, struct errtext *et) MUST_CHECK;

/* ---- filters ---- */

/* As collection_filter, of a collection that need not be open. */
enum err filter_read(struct croft *c, int64_t collection, yyjson_val *json, struct arena *a,
	const struct cond **out, struct errtext *et) MUST_CHECK;
/* The numbers of the items that match, into an empty set. */
enum err filter_select(struct collection *k, const struct cond *c, struct bitmap *out,
	struct errtext *et) MUST_CHECK;
/* Those that match (NULL: all) and are among the keys (NULL: all), for an index; free(out->bits).
 */
enum err filter_bits(struct collection *k, const struct cond *c, const uint64_t *among,
	size_t n_among, struct vindex_filter *out, struct errtext *et) MUST_CHECK;
/* In the order of ids; in `a`. */
enum err filter_list(struct collection *k, const struct cond *c, struct arena *a,
	struct matched **out, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- changes with a record in the audit log, in the same transaction ---- */

struct change_record {
	const struct principal *who;
	const char *action;
	struct str detail; /* JSON */
	/* After the change, in its transaction; may be NULL. A failure undoes it. */
	enum err (*also)(void *ctx, size_t touched, struct tx *tx, struct errtext *et);
	void *ctx;
};
/* A patch for each of the items; those that are not there are passed over. */
enum err collection_patch_each(struct collection *k, const struct item_id *ids,
	const struct payload_patch *patches, size_t n, const struct change_record *record,
	size_t *changed, int64_t *seq, struct errtext *et) MUST_CHECK;
enum err collection_remove_recorded(struct collection *k, const struct item_id *ids, size_t n,
	const struct change_record *record, size_t *gone, int64_t *seq,
	struct errtext *et) MUST_CHECK;

/* ---- snapshots of the indexes ---- */

/* What a snapshot does not have: it is to be read from the rows. */
struct snapshot_lacks {
	bool ids, payloads, words;
	uint32_t kinds; /* sparse vectors, lists: a bit for each place */
};
/* k's indexes and seq as they were saved; false: there is none that this database knows, or the
 * plain vectors' are damaged. */
bool snapshot_load(struct collection *k, struct tx *tx, const struct collection_row *row,
	struct snapshot_lacks *lacks);
/* Saves what has changed, at once or when it has been quiet for a while. Changes go on meanwhile.
 */
void snapshot_keep(struct collection *k, bool at_once);
/* Under k->write: files, or the database alone, have all of it at hand. */
bool snapshot_is_kept(struct collection *k);
void snapshot_forget(struct croft *c, int64_t number);

/* ---- the open ones ---- */

struct collections {
	pthread_mutex_t mu;
	pthread_cond_t loaded;
	struct map by_number; /* decimal */
	struct watch *watch;
	struct kern_team *team; /* that builds indexes; NULL: one thread does */
	pthread_mutex_t team_mu;
	pthread_t sweeper, keeper, tender;
	bool sweeping, keeping, tending;
	char host[ID_HEX + 1];     /* this data directory */
	struct jobs *maps;         /* jobs.h: map.c */
	struct traffic *traffic;   /* traffic.h */
	struct jobs *curations;    /* jobs.h: curate.c */
	struct versions *versions; /* version_int.h */
	struct asofs *asofs;       /* asof.h */
	struct refills *refills;   /* version_int.h */
	struct workers *migrating; /* migrate_int.h */
	struct workers *bulk;      /* bulk.h */
	struct shadows *shadows;   /* migrate_int.h */
	struct recalls *recalls;   /* held.h */
};

/* ---- rows ---- */

void get_collections(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void put_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_aliases(struct croft *c, struct http_request *rq, struct http_response *rs);
void put_alias(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_aliases(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_alias(struct croft *c, struct http_request *rq, struct http_response *rs);
void move_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_items(struct croft *c, struct http_request *rq, struct http_response *rs);
void put_items(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_items(struct croft *c, struct http_request *rq, struct http_response *rs);
void search_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void count_items(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_versions(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_version(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_version(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_version(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_restore(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_copy(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_diff(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_merge(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_branch(struct croft *c, struct http_request *rq, struct http_response *rs);
void put_keyword(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_keyword(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_map(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_map(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_map(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_map_traffic(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_map_field(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_curation(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_curation(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_curation(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_curation_apply(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_curation_dataset(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_bulk_set(struct croft *c, struct http_request *rq, struct http_response *rs);
void post_bulk_dataset(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_bulks(struct croft *c, struct http_request *rq, struct http_response *rs);
void get_bulk(struct croft *c, struct http_request *rq, struct http_response *rs);
void delete_bulk(struct croft *c, struct http_request *rq, struct http_response *rs);

enum err run_collections(struct cmd *cmd, struct errtext *et);
enum err run_collections_show(struct cmd *cmd, struct errtext *et);
enum err run_collections_aliases(struct cmd *cmd, struct errtext *et);
enum err run_collections_alias(struct cmd *cmd, struct errtext *et);
enum err run_collections_create(struct cmd *cmd, struct errtext *et);
enum err run_collections_move(struct cmd *cmd, struct errtext *et);
enum err run_collections_rm(struct cmd *cmd, struct errtext *et);
enum err run_collections_import(struct cmd *cmd, struct errtext *et);
enum err run_collections_export(struct cmd *cmd, struct errtext *et);
enum err run_collections_search(struct cmd *cmd, struct errtext *et);
enum err run_collections_keyword(struct cmd *cmd, struct errtext *et);
enum err run_collections_map(struct cmd *cmd, struct errtext *et);
enum err run_collections_curate(struct cmd *cmd, struct errtext *et);
enum err run_collections_set_field(struct cmd *cmd, struct errtext *et);
enum err run_collections_make_dataset(struct cmd *cmd, struct errtext *et);
enum err run_collections_jobs(struct cmd *cmd, struct errtext *et);
extern const struct option collection_set_field_options[], collection_make_dataset_options[],
	collection_jobs_options[];
enum { N_SET_FIELD_OPTIONS = 2, N_MAKE_DATASET_OPTIONS = 3, N_JOBS_OPTIONS = 1 };
extern const struct option collection_curate_options[];
enum { N_CURATE_OPTIONS = 24 };
extern const struct option collection_map_options[];
enum { N_MAP_OPTIONS = 10 };
extern const struct option collection_keyword_options[];
enum { N_KEYWORD_OPTIONS = 6 };
extern const struct option collection_create_options[], collection_import_options[],
	collection_export_options[], collection_search_options[], collection_move_options[],
	collection_alias_options[];
enum {
	N_ALIAS_OPTIONS = 1,
	N_CREATE_OPTIONS = 6,
	N_MOVE_OPTIONS = 1,
	N_IMPORT_OPTIONS = 9,
	N_EXPORT_OPTIONS = 4,
	N_SEARCH_OPTIONS = 11
};

enum err run_collections_versions(struct cmd *cmd, struct errtext *et);
enum err run_collections_commit(struct cmd *cmd, struct errtext *et);
enum err run_collections_restore(struct cmd *cmd, struct errtext *et);
enum err run_collections_copy(struct cmd *cmd, struct errtext *et);
enum err run_collections_branch(struct cmd *cmd, struct errtext *et);
enum err run_collections_diff(struct cmd *cmd, struct errtext *et);
enum err run_collections_merge(struct cmd *cmd, struct errtext *et);
extern const struct option collection_diff_options[], collection_merge_options[];
enum { N_DIFF_OPTIONS = 4, N_MERGE_OPTIONS = 6 };
extern const struct option collection_commit_options[], collection_versions_options[],
	collection_restore_options[], collection_copy_options[];
enum { N_COMMIT_OPTIONS = 3, N_VERSIONS_OPTIONS = 1, N_RESTORE_OPTIONS = 2, N_COPY_OPTIONS = 1 };

#define COLLECTION_CHANNEL "collection" /* notices: the number */

struct collections *collections_of(struct croft *c);
enum err collections_init(struct croft *c, struct errtext *et);
enum err collections_start(struct croft *c, struct errtext *et);
void collections_stop(struct croft *c);
/* The same as collection_open, but of a copy whose items are not there yet *out becomes NULL. */
enum err collection_open_filled(struct croft *c, struct str project, struct str name,
	struct collection **out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;
int64_t collection_number(void); /* of a new one: by chance */
enum err collection_name_check(struct str name, struct errtext *et) MUST_CHECK;
/* The collection if it is open (close it), else NULL; one that is being loaded will look again. */
struct collection *take_open(struct collections *all, struct str number);
void let_go(struct collection *k); /* of what take_open gave */
/* The same as an opening: spaces and indexes stay until let_go_pinned. It is no use that keeps the
 * collection in memory longer. */
struct collection *take_pinned(struct collections *all, struct str number);
void let_go_pinned(struct collection *k);
void list_open(struct collections *all, struct buf *numbers); /* each in a line */
/* Forgets it if it is open; those who use it go on to the end. */
void collections_forget(struct croft *c, int64_t number);
/* fn for each that is open, until the instance is to end. */
void collections_each(struct croft *c, void (*fn)(struct collection *k));
void collections_forget_open(struct collection *k); /* under mu; one's own use goes on */
/* A zeroed one, with spaces and without items; what `end` is for even when it fails. */
enum err collections_begin(struct croft *c, struct collection *k, struct str project,
	struct str name, struct str config, struct errtext *et) MUST_CHECK;
void collections_end(struct collection *k); /* frees it; accepts NULL */
enum err collection_open_number(struct croft *c, int64_t number, struct collection **out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* What a collection that was dropped has left; some at a time. */
enum err collections_sweep(struct croft *c, int64_t number, struct errtext *et) MUST_CHECK;

#endif
