/* Collections whose vectors lie in PostgreSQL, found there by the extension pgvector.
 *
 *	pgv.c        the backend: opened, followed, moved to and from
 *	pgv_store.c  its tables
 *	pgv_cond.c   payloads as JSONB, conditions as SQL over them
 *	pgv_query.c  searching and listing
 *	pgv_keep.c   which items match a filter
 *	pgv_graph.c  the HNSW indexes, built beside everything else
 *	pgv_post*.c  postings: see pgv_post.h
 *	pgv_words*.c keyword indexes: see pgv_words.h
 *
 * A collection has a table, derived_pgv_NUMBER, with a row for each item: its number, its payload
 * (pgv_payload), and for each space a column v0, v1, ... of pgvector's type. A space of lists has a
 * table derived_pgv_NUMBER_m0, ... with a row for each vector instead, one of sparse vectors the
 * tables of pgv_post.h, derived_pgv_NUMBER_s0_... All of it is made from the
 * items, which stay where those of every collection are, and follows them as a server's memory
 * does: by the numbers of changes.
 *
 * Invariants
 * 1. A change of items and the rows that it makes here are one transaction (pgv_follow), so a
 *    reader's snapshot never sees one without the other.
 * 2. `mark` is the last change that is in the table; while `filled` is not PGV_FILLED, items up to
 *    that number are in it, as of the change `mark` or later.
 * 3. The table may vanish (a backup does not have it): who opens the collection fills a new one.
 * 4. Vectors of a cosine space are stored with length 1, so that nearness is the inner product;
 *    one of length 0 is near to nothing and far from nothing: 0. */
#ifndef COLLECTION_PGV_INT_H
#define COLLECTION_PGV_INT_H
#include "collection/collection_int.h"
#include "vector/bitmap.h"

enum {
	PGV_DIM_MAX = 4000,   /* numbers that an index over halfvec can have */
	PGV_DIM_FLOAT = 2000, /* beyond, the index is one over halfvec */
	PGV_EF = 100,         /* effort when none is asked for */
	PGV_EF_MAX = 1000,    /* of hnsw.ef_search */
	PGV_ITERATIVE = 800,  /* the version that goes on until enough match */
};

#define PGV_FILLED INT64_MAX

/* ---- conditions ---- */

/* A statement that grows, with its parameters; texts are in `a`. */
struct pgv_sql {
	struct arena *a;
	struct buf text;
	struct param *params;
	size_t n, cap;
	enum err err;
};
void pgv_bind(struct pgv_sql *q, struct param p);       /* of the ? that was just written */
void pgv_bind_text(struct pgv_sql *q, struct str text); /* a copy */
void pgv_bind_nums(struct pgv_sql *q, const uint64_t *nums, size_t n); /* "{1,2,3}" */

/* Appends a condition on the table t that holds for each item for which c does; *exact: for no
 * other one, but for the odd ones of pgv_payload. */
void pgv_cond(struct pgv_sql *q, const struct cond *c, bool *exact);
/* The payload as the conditions want it, as JSON; *odd: JSONB cannot say it (an object names a
 * member twice), so that its conditions have to be decided with the payload itself. */
enum err pgv_payload(struct str payload, struct buf *out, bool *odd, struct errtext *et) MUST_CHECK;

/* ---- the tables ---- */

/* What the database has of pgvector. */
struct pgv_server {
	char schema[132]; /* of the extension, quoted */
	unsigned version; /* 800: 0.8.0 */
};

struct pgv_state {
	int64_t mark, filled;
	bool odd;   /* there may be odd items */
	bool table; /* is it there? */
};

/* ERR_UNSUPPORTED with the remedy: no PostgreSQL; no pgvector that can be used. */
enum err pgv_possible(struct croft *c, struct errtext *et) MUST_CHECK;
enum err pgv_server(
	struct tx *tx, bool make, struct pgv_server *out, struct errtext *et) MUST_CHECK;
enum err pgv_state(struct tx *tx, int64_t number, struct pgv_state *out,
	struct errtext *et) MUST_CHECK; /* ERR_NOT_FOUND, without a text */
enum err pgv_state_put(
	struct tx *tx, int64_t number, const struct pgv_state *s, struct errtext *et) MUST_CHECK;
enum err pgv_state_drop(struct tx *tx, int64_t number, struct errtext *et) MUST_CHECK;
/* A new empty table, and the state that says so. */
enum err pgv_table_make(struct tx *tx, const struct pgv_server *pg, int64_t number,
	const struct space *spaces, size_t n, int64_t mark, struct errtext *et) MUST_CHECK;
/* Outside of a transaction, which it would block; when the table is in use for long: ERR_BUSY. */
enum err pgv_table_drop(struct croft *c, int64_t number, struct errtext *et) MUST_CHECK;
/* A row of the items' table into this one; *odd is set when it is. */
enum err pgv_row_put(struct tx *tx, const struct pgv_server *pg, int64_t number,
	const struct space *spaces, size_t n_spaces, const struct item_row *r, bool whole,
	bool *odd, struct errtext *et) MUST_CHECK;
enum err pgv_row_drop(struct tx *tx, int64_t number, const struct space *spaces, size_t n_spaces,
	int64_t num, struct errtext *et) MUST_CHECK;
enum err pgv_rows_lost(struct tx *tx, int64_t number, const struct space *spaces, size_t n_spaces,
	struct errtext *et) MUST_CHECK;
enum err pgv_items_after(struct tx *tx, int64_t number, int64_t num, size_t max, item_row_fn fn,
	void *ctx, struct errtext *et) MUST_CHECK;
/* A vector as pgvector reads it, of length 1 in a cosine space. */
void pgv_vector_text(const struct space *s, const float *v, struct buf *out);
/* Several, as an array of them. */
void pgv_vectors_text(const struct space *s, const float *v, size_t rows, struct buf *out);

/* The tables whose name is this, or begins with it and _; as pgv_table_drop. */
enum err pgv_tables_drop(struct croft *c, const char *name, struct errtext *et) MUST_CHECK;

/* What a search has to know. */
struct pgv_facts {
	struct pgv_state state;
	int64_t items;
	bool graph; /* of the space */
};
/* ERR_NOT_FOUND, without a text: it is not in pgvector (any more). */
enum err pgv_facts(struct tx *tx, int64_t number, size_t space, struct pgv_facts *out,
	struct errtext *et) MUST_CHECK;

/* Settings of one transaction. */
enum pgv_plan { PGV_COMPARE_ALL, PGV_WALK, PGV_AS_IT_LIKES };
enum err pgv_plan(struct tx *tx, enum pgv_plan plan, uint32_t ef, unsigned version,
	struct errtext *et) MUST_CHECK;

/* ---- which items match: pgv_keep.c ---- */

/* The share of the items for which SQL says that c holds, from a sample. */
enum err pgv_share(struct collection *k, struct tx *tx, int64_t items, const struct cond *c,
	struct arena *a, double *out, struct errtext *et) MUST_CHECK;
enum err pgv_payload_matches(struct tx *tx, int64_t number, const struct cond *c, uint64_t num,
	bool *yes, struct errtext *et) MUST_CHECK;

struct pgv_keep {
	struct collection *k;
	struct tx *tx;
	struct arena *a;
	const struct cond *filter; /* NULL: all match */
	bool odd;                  /* there may be odd items */
	/* Set by pgv_keep_begin: */
	bool listed; /* all that match are in `some` */
	bool exact;
	struct bitmap some;
};
/* among NULL: of all items. */
enum err pgv_keep_begin(struct pgv_keep *x, int64_t items, const uint64_t *among, size_t n_among,
	struct errtext *et) MUST_CHECK;
enum err pgv_keep_these(struct pgv_keep *x, const uint64_t *nums, size_t n, bool *yes,
	struct errtext *et) MUST_CHECK;
enum err pgv_keep_chunks(const struct pgv_keep *x, unsigned bits, uint64_t **out, size_t *n,
	struct errtext *et) MUST_CHECK;
void pgv_keep_end(struct pgv_keep *x);

/* The best hits so far: best first once sorted, before that the worst first when there are `max`.
 */
struct pgv_best {
	struct hit *hits;
	size_t n, max;
};
/* What a hit has to reach; -INFINITY: there is room. */
float pgv_best_limit(const struct pgv_best *b);
/* Of 64 * n_words items from `first` on those whose bit is set, and that match. */
enum err pgv_best_add(struct pgv_best *b, struct pgv_keep *keep, uint64_t first,
	const uint64_t *bits, size_t n_words, const float *scores, struct errtext *et) MUST_CHECK;
void pgv_best_sort(struct pgv_best *b);

/* ---- what the backend does ---- */

enum err pgv_weights(struct collection *k, struct tx *tx, const struct space *s,
	const struct item_vector *v, struct arena *a, double *out, struct errtext *et) MUST_CHECK;
/* By sparse vectors, in a transaction. */
enum err pgv_sparse(struct collection *k, struct tx *tx, const struct space *s,
	const struct item_query *q, const struct pgv_facts *facts, struct arena *a,
	struct pgv_best *best, struct errtext *et) MUST_CHECK;
enum err pgv_query(struct collection *k, const struct item_query *q, struct arena *a,
	struct item_hit **out, size_t *n, struct item_search *how, struct errtext *et) MUST_CHECK;
enum err pgv_list(struct collection *k, const struct cond *c, struct str from, size_t max,
	struct arena *a, struct matched **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err pgv_count(
	struct collection *k, const struct cond *c, size_t *n, struct errtext *et) MUST_CHECK;
enum err pgv_graph(struct collection *k, struct tx *tx, size_t space, struct graph_state *out,
	struct errtext *et) MUST_CHECK;
void pgv_tend(struct collection *k);

#endif
