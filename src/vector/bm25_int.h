/* What the files of the keyword index share: bm25.c (items, what waits), bm25_seg.c (a segment and
 * how it is made), bm25_search.c (the search). */
#ifndef VECTOR_BM25_INT_H
#define VECTOR_BM25_INT_H
#include "vector/bm25_score.h"
#include "vector/pack.h"
#include "vector/segments.h"

/* How an item's occurrences of a term become a number below 1, which the idf multiplies. */
struct model {
	float k1;
	bool classic; /* one field, by the formula without weights */
	uint32_t n_fields;
	struct bm25_field fields[BM25_FIELDS_MAX];
};

struct averages {
	float len[BM25_FIELDS_MAX];
};

/* A term's postings in a segment: full blocks of PACK_N, then a tail of fewer.
 *	full block: bits of the documents, bits of each field's tf, then both, packed (of a
 *	            single field, tf - 1)
 *	tail:       of PACKED_TAIL and more, like a full block, but of as many rows as it has;
 *	            else varints, document by document
 * The bound of a block is the greatest share that one of its items has by the averages that the
 * segment was made with, in 65,535ths. */
enum { PACKED_TAIL = 24 };
/* A packed tail is read as if it were a full block, of at most 32 bits a number. */
enum { POSTS_SPARE = PACK_N * 4 };
struct term {
	uint64_t post_at;           /* into posts */
	uint32_t name_at, n;        /* its name ends where the next one's begins */
	uint32_t block_at, tail_at; /* first full block in blocks; tail's distance from post_at */
	uint16_t bound, tail_bound;
};

struct block {
	uint32_t last, at; /* document; distance from the term's post_at */
	uint16_t bound;
};

struct seg {
	struct segment base;
	uint32_t n_terms, n_fields;
	uint32_t *len; /* [field][document]: terms, duplicates counted */
	struct averages ref;
	/* Terms in byte order of their names; [n_terms] ends the last one. */
	struct term *terms;
	char *names;
	uint32_t *slots; /* hash of a name to its term, + 1 */
	size_t n_slots;
	struct block *blocks;
	uint8_t *posts; /* and POSTS_SPARE bytes */
	size_t n_blocks, n_posts, n_pos;
	/* Positions, by posting and field: distances as varints. NULL: none are kept. */
	uint8_t *pos;
	uint64_t *pos_at;    /* of a term */
	uint32_t *block_pos; /* where those of a full block end, from pos_at */
	/* Documents to their terms, as distances: what a deletion takes from the df. */
	uint64_t *fwd_at;
	uint8_t *fwd;
};

/* Of PACK_N places at most; tf is [field][PACK_N]. */
static inline uint32_t full_blocks(const struct term *t)
{
	return t->n / PACK_N;
}
static inline uint32_t all_blocks(const struct term *t)
{
	return (t->n + PACK_N - 1) / PACK_N;
}
/* After all documents. */
enum { NO_DOC = INT32_MAX };
/* Decodes; returns how many. docs[n..PACK_N) become NO_DOC. */
uint32_t bm25_block_read(
	const struct seg *s, const struct term *t, uint32_t block, uint32_t *docs, uint32_t *tf);
/* Where the positions of a block begin. */
const uint8_t *bm25_block_positions(const struct seg *s, uint32_t term, uint32_t block);
static inline const uint8_t *varints_skip(const uint8_t *p, uint32_t n)
{
	while (n)
		n -= *p++ < 128;
	return p;
}

/* A term's postings one after the other. */
struct reader {
	const struct seg *s;
	const struct term *t;
	uint32_t block, n, i;
	const uint8_t *pos; /* of the posting at hand */
	uint32_t docs[PACK_N], tf[BM25_FIELDS_MAX * PACK_N];
};

void bm25_reader_start(struct reader *r, const struct seg *s, uint32_t term);
bool bm25_reader_more(struct reader *r); /* false: there is no posting at hand */

struct str bm25_seg_name(const struct seg *s, uint32_t term);
bool bm25_seg_find(const struct seg *s, struct str name, uint32_t *term);
extern const struct segments_kind bm25_kind;
void bm25_seg_clear(struct segment *base);
bool bm25_seg_hash(struct seg *s); /* finds names from then on; false: no memory */
/* bm25_file.c */
void bm25_seg_write(struct segment_out *o, const struct segment *s);
struct segment *bm25_seg_read(struct segments *x, struct segment_in *in);
void bm25_seg_put(struct seg *s); /* drops a reference; accepts NULL */

/* The share of a posting; tf is [field][stride]. */
float bm25_share(const struct model *m, const struct averages *avg, const struct seg *s,
	uint32_t doc, const uint32_t *tf, size_t stride);

/* What waits for a publish. */
struct pending {
	struct pending_doc {
		uint64_t key;
		size_t first; /* of ids */
		bool dropped; /* replaced or deleted before it was published */
	} * docs;
	size_t n, cap, n_living;
	struct buf len;     /* n_fields uint32_t for each document */
	struct buf ids, at; /* uint32_t: terms in order of fields; their positions, if kept */
	/* Its vocabulary. */
	struct buf names, ends; /* ends: size_t */
	uint32_t *slots;
	size_t n_slots, n_names;
};

bool bm25_pending_add(struct pending *p, const struct model *m, bool positions, uint64_t key,
	const struct bm25_text *texts);
void bm25_pending_drop(struct pending *p, uint64_t place);
void bm25_pending_free(struct pending *p);

/* NULL: out of memory. */
struct seg *bm25_seg_from_pending(
	const struct pending *p, const struct model *m, const struct averages *ref, bool positions);

/* Which items of a segment live. */
struct live {
	struct segment_live base;
	uint64_t len[BM25_FIELDS_MAX]; /* of the living, together */
	uint32_t *df;                  /* of the living, for each term; NULL: all live */
};

static inline const struct seg *seg_of(const struct segment_part *p)
{
	return (const struct seg *)(const void *)p->seg;
}
static inline const struct live *live_of(const struct segment_part *p)
{
	return (const struct live *)(const void *)p->live;
}
static inline uint32_t live_df(const struct segment_part *p, uint32_t term)
{
	const struct live *l = live_of(p);
	return l->df ? l->df[term] : seg_of(p)->terms[term].n;
}

/* One term of these postings, ascending, over the documents of another segment; it has nothing
 * else. tf is [posting][field]. NULL: out of memory. */
struct seg *bm25_seg_of_postings(const struct seg *like, const struct model *m,
	const uint32_t *docs, const uint32_t *tf, size_t n);

/* The living of some parts, as one segment; NULL: out of memory. */
struct seg *bm25_seg_merge(const struct segment_part *parts, size_t n, const struct model *m,
	const struct averages *ref);

struct snap {
	struct segment_snap base;
	uint64_t len[BM25_FIELDS_MAX];
	struct averages avg;
};

/* ---- queries ---- */

enum { NO_TERM = UINT32_MAX };

struct query {
	size_t n; /* different terms: in byte order, then phrases */
	struct query_term {
		struct str term;
		float times; /* how often it counts */
		uint32_t df; /* living items that contain it */
		float idf;
		bool phrase;
	} * terms;
	uint32_t *ids; /* [part][term]: its number in the segment; NO_TERM: it has no living one */
	/* Of clauses. NULL: there are none. */
	struct seg **made;  /* [part][term]: a phrase's postings; NULL: none */
	uint64_t **allowed; /* [part]: a bit for each document that may be a hit; NULL: all */
	const struct model *model;
	const struct snap *snap;
};

/* Of one term; ids[part * stride] may be NULL. */
void bm25_query_weigh(const struct snap *s, struct query_term *t, uint32_t *ids, size_t stride);
void bm25_query_idf(const struct snap *s, struct query_term *t); /* from df */
void bm25_query_free(struct query *q);
/* Needs ids and everything. */
enum err bm25_query_run(const struct query *q, size_t k, vector_keep_fn keep, void *ctx,
	struct hit *out, size_t *n, const struct cancel *cancel, struct errtext *et);

/* ---- what stands for several terms ---- */

struct expansion {
	struct str term; /* lives with the snapshot */
	uint32_t df;
	unsigned edits;
};

/* The list is to be freed. *cut: there are more. ERR_NOMEM, ERR_TOO_LARGE: the term is too long. */
enum err bm25_expand(const struct snap *s, struct str term, bool prefix, unsigned edits,
	struct expansion **out, size_t *n, bool *cut);

struct phrase {
	const struct str *terms;
	const uint32_t *at; /* NULL: 0, 1, 2, ... */
	size_t n;
	uint32_t slop;
};

/* A phrase in a segment: *out NULL when no document has it. */
enum err bm25_phrase_find(
	const struct phrase *p, const struct seg *s, const struct model *m, struct seg **out);

bool bm25_positions(const struct bm25 *x);
const struct model *bm25_model(const struct bm25 *x);
struct snap *bm25_snap_get(struct bm25 *x);
void bm25_snap_put(struct bm25 *x, struct snap *s);

#endif
