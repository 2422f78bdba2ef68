/* What the files of tracking share.
 *
 *	track.c            create, change, get, history: transactions around the parts below
 *	track_doc.c        events, and the document that they add up to
 *	track_series.c     blocks of points and their pyramid, as bytes
 *	track_series_store.c  the same in the database: append, read, chart
 *	track_cache.c      runs in memory, for searches
 *	track_store.c      SQL of runs, documents, tails
 *	experiment_store.c SQL of experiments
 */
#ifndef RUN_TRACK_INT_H
#define RUN_TRACK_INT_H
#include "run/track.h"

/* ---- events: what a tail row and a stored document consist of ----
 *
 * Both are a CRC-32C (4 bytes, little endian) and then events; each is a byte that says which,
 * and its fields: texts as a length (varint) and bytes, whole numbers as zigzag varints. */

void events_begin(struct buf *b);
void event_param(struct buf *b, struct str key, struct str value);
void event_tag(struct buf *b, struct str key, struct str value);
void event_untag(struct buf *b, struct str key);
void event_input(struct buf *b, const struct track_input *in);
void event_model(struct buf *b, bool output, struct str model, int64_t step);
void event_latest(struct buf *b, const struct track_metric *m);
void event_points(struct buf *b, struct str key, const struct point *p, size_t n);
/* Groups by key, keeping the order within one. */
enum err events_metrics(struct buf *b, const struct track_metric *m, size_t n) MUST_CHECK;
void events_end(struct buf *b); /* writes the checksum */
/* Everything of a document. */
void events_document(struct buf *b, const struct tracked *t);

/* Collects the events of several byte strings, which must live until run_doc_finish. */
struct run_doc;
struct run_doc *run_doc_new(void);
void run_doc_free(struct run_doc *d); /* accepts NULL */
enum err run_doc_add(struct run_doc *d, struct str events, struct errtext *et) MUST_CHECK;
/* The document with the members of head (id, name, times, ...; its strings are copied). */
enum err run_doc_finish(struct run_doc *d, const struct tracked *head, struct tracked **out,
	struct errtext *et) MUST_CHECK;

/* The points of one series (key.p NULL: of all, through fn) in the events. */
typedef enum err (*points_fn)(void *ctx, struct str key, const struct point *p, size_t n);
enum err events_points(
	struct str events, struct str key, points_fn fn, void *ctx, struct errtext *et) MUST_CHECK;

struct points {
	struct point *v;
	size_t n, cap;
};
enum err points_add(struct points *p, const struct point *v, size_t n);
void points_sort(struct points *p); /* by time, step, value; exact duplicates once */
int point_cmp(const struct point *a, const struct point *b);
static inline bool point_newer(const struct point *a, const struct point *b)
{
	double av = a->value == a->value ? a->value : 0, bv = b->value == b->value ? b->value : 0;
	if (a->step != b->step)
		return a->step > b->step;
	return a->ms != b->ms ? a->ms > b->ms : av > bv;
}

/* ---- series as bytes ---- */

enum { BLOCK_POINTS = 4096, GROUP_POINTS = 256, PAGE_NODES = 256, LEVELS_MAX = 8 };

struct node {
	uint64_t n, n_nan;
	double min, max, sum, last; /* min > max: nothing but NaN */
	int64_t ms0, ms1, step0, step1;
};

void block_encode(struct buf *out, const struct point *p, size_t n);
/* p has room for BLOCK_POINTS. */
enum err block_decode(struct str data, struct point *p, size_t *n, struct errtext *et) MUST_CHECK;
void page_encode(struct buf *out, const struct node *v, size_t n);
/* v has room for PAGE_NODES. */
enum err page_decode(struct str data, struct node *v, size_t *n, struct errtext *et) MUST_CHECK;
void node_of_points(struct node *out, const struct point *p, size_t n);
void node_of_nodes(struct node *out, const struct node *v, size_t n);

/* varints, for both */
void put_varint(struct buf *b, uint64_t v);
void put_zigzag(struct buf *b, int64_t v);
bool get_varint(struct str *s, uint64_t *v);
bool get_zigzag(struct str *s, int64_t *v);

/* ---- series in the database ---- */

/* Adds points (sorted by points_sort) to a series, wherever they belong in it. */
enum err series_append(struct tx *tx, struct id run, struct str key, const struct points *p,
	struct errtext *et) MUST_CHECK;
/* The same order over the blocks and the points of the tail (sorted); what was rolled up comes
 * first, as the last point of each node. */
enum err series_read(struct tx *tx, struct id run, struct str key, const struct points *tail,
	int64_t offset, int64_t limit, struct points *out, bool *more, struct rolled_up *rolled,
	struct errtext *et) MUST_CHECK;
enum err series_chart(struct tx *tx, struct id run, struct str key, const struct points *tail,
	const struct chart *ch, struct charted *out, struct errtext *et) MUST_CHECK;

/* The name of a run's next series behind `after`, which may be in *name. ERR_NOT_FOUND, without a
 * message: there is none. */
enum err series_next(struct tx *tx, struct id run, struct str after, struct buf *name,
	struct errtext *et) MUST_CHECK;
/* From here on the series is read from the nodes of that level (1 and up), or of a lower one when
 * the series is too short for it; one of fewer than 4,096 points keeps them: out->points 0, as when
 * it was rolled up before. */
enum err series_roll_up(struct tx *tx, struct id run, struct str key, int level, bool dry,
	struct rolled_up *out, struct errtext *et) MUST_CHECK;
/* Removes at most `limit` rows that a roll-up made useless; *left of them were not needed: with
 * *left > 0 nothing useless is there any more. */
enum err series_thin(struct tx *tx, struct id run, struct str key, int64_t limit, int64_t *left,
	struct errtext *et) MUST_CHECK;

/* ---- SQL ---- */

struct head {
	struct tracked t;    /* strings in the arena that was given, or empty */
	struct str location; /* of the experiment: filled by who needs it */
	int64_t tail, tail_bytes, folded;
};

enum err track_store_insert(struct tx *tx, struct str project, const struct track_new *n,
	struct id id, struct str creator, struct str events, struct errtext *et) MUST_CHECK;
/* a may be NULL: then name and user stay empty. */
enum err track_store_head(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct head *out, struct errtext *et) MUST_CHECK;
/* The document of a head, with its name and so on. */
enum err track_store_load(
	struct tx *tx, const struct head *h, struct tracked **out, struct errtext *et) MUST_CHECK;
enum err track_store_append(struct tx *tx, struct str project, const struct head *h, struct id id,
	struct str events, struct errtext *et) MUST_CHECK;
enum err track_store_update(struct tx *tx, struct id id, struct str name, int status,
	int64_t end_ms, struct errtext *et) MUST_CHECK;
/* Stores the document as it is now, so that the tail up to here is only history. */
enum err track_store_fold(
	struct tx *tx, const struct tracked *t, int64_t tail, struct errtext *et) MUST_CHECK;
enum err track_store_tail_points(struct tx *tx, struct id run, struct str key, points_fn fn,
	void *ctx, struct errtext *et) MUST_CHECK;
enum err track_store_drop_tail(struct tx *tx, struct id run, struct errtext *et) MUST_CHECK;
/* Marks runs deleted (ms > 0) or active (0): one, or with id zero all of an experiment. */
enum err track_store_mark(struct tx *tx, struct str project, int64_t experiment, struct id id,
	int64_t ms, struct errtext *et) MUST_CHECK;
/* Every run of an experiment that changed after a version, its document loaded: to fn, which
 * takes the reference over. */
typedef enum err (*tracked_fn)(void *ctx, struct tracked *t);
enum err track_store_changed(struct tx *tx, struct str project, int64_t experiment, int64_t after,
	tracked_fn fn, void *ctx, struct errtext *et) MUST_CHECK;

/* ---- runs in memory (track_cache.c) ---- */

struct track_cache;
struct track_cache *track_cache_new(size_t bytes_max);
void track_cache_free(struct track_cache *tc); /* accepts NULL */
/* Every run of an experiment as it is in the database now; fn borrows it. */
enum err track_cache_each(struct croft *c, struct str project, int64_t experiment, tracked_fn fn,
	void *ctx, struct errtext *et) MUST_CHECK;

enum err experiment_store_get(struct tx *tx, struct str project, int64_t number, struct arena *a,
	struct experiment *out, struct errtext *et) MUST_CHECK;

#endif
