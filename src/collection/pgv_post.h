/* Postings in PostgreSQL: which items have a key (a word, an index of a sparse vector), and what
 * they have of it. What an inverted index in memory is made of, in tables, changed in the
 * transaction that changes the items.
 *
 * A key's postings stand in a row for each POST_ITEMS numbers of items, with the least and the most
 * that one of them can add to a score, so that a search reads the rows that may have the best hits
 * first and stops when no other can. Counts (of items that have a key, of words in all items) are
 * kept by the same transactions, and what an item has is kept too: that is how it is taken out.
 *
 *	BASE_p  term, chunk -> hi, lo, post: the postings of the items chunk * POST_ITEMS + 0, 1,
 *... each as its place, the length of what it has, and that BASE_t  term -> n, a count; letters:
 *how many characters the term has BASE_f  num -> keys: what the item added to the two others
 *
 * Bounds only grow while a row has postings that were there before; a bound that is too high costs
 * time. */
#ifndef COLLECTION_PGV_POST_H
#define COLLECTION_PGV_POST_H
#include "collection/pgv_int.h"

enum { POST_BITS = 10, POST_ITEMS = 1 << POST_BITS };

struct post_base {
	char name[56];
};

/* What one item has under one key. */
struct post_entry {
	struct str key;
	uint32_t count;  /* added to the key's count */
	struct str post; /* .p NULL: it has no posting, it is only counted */
	float hi, lo;    /* what it can add at most, at least, with a weight of 1 */
};

enum err post_make(struct tx *tx, const struct post_base *b, struct errtext *et) MUST_CHECK;

/* Changes of many items, written together. An item stands in one call only. */
struct post_batch;
enum err post_batch_new(
	const struct post_base *b, struct post_batch **out, struct errtext *et) MUST_CHECK;
void post_batch_free(struct post_batch *x); /* accepts NULL */
/* In place of what it had; copies. n 0: it is gone. */
enum err post_put(struct post_batch *x, uint64_t num, const struct post_entry *entries, size_t n,
	struct errtext *et) MUST_CHECK;
bool post_full(const struct post_batch *x); /* better written by now */
enum err post_flush(struct post_batch *x, struct tx *tx, struct errtext *et) MUST_CHECK;
/* The items that are in it, and are not in the collection any more, are taken out. */
enum err post_lost(struct tx *tx, const struct post_base *b, int64_t collection,
	struct errtext *et) MUST_CHECK;

/* ---- reading ---- */

/* 0 for a key that nothing has. */
enum err post_counts(struct tx *tx, const struct post_base *b, struct arena *a,
	const struct str *keys, size_t n, uint64_t *counts, struct errtext *et) MUST_CHECK;

/* The postings of some numbers: posts[i] are those of keys[i], "" when there are none; `most` is
 * what an item of them can have at most. *enough: no other is of interest. */
typedef enum err (*post_chunk_fn)(void *ctx, uint64_t chunk, double most, const struct str *posts,
	bool *enough, struct errtext *et);
struct post_scan {
	const struct str *keys;
	const double *weights; /* 0: its postings are wanted where others are */
	size_t n;
	bool all;               /* only where each key with a weight has postings */
	bool any;               /* also where only keys without a weight have */
	const uint64_t *chunks; /* only these; NULL: all */
	size_t n_chunks;
	const struct cancel *cancel;
	post_chunk_fn fn;
	void *ctx;
};
/* The highest `most` first. */
enum err post_scan(struct tx *tx, const struct post_base *b, struct arena *a,
	const struct post_scan *s, struct errtext *et) MUST_CHECK;

/* One posting after the other. */
struct post_reader {
	struct str rest;
	uint32_t place; /* of the item among the chunk's */
	struct str post;
};
bool post_next(struct post_reader *r); /* false: the end, or what stands there is damaged */

/* Of a space of sparse vectors, and what an item has there; v NULL: nothing any more. */
void post_sparse_base(struct post_base *b, int64_t number, size_t place);
enum err post_put_sparse(struct post_batch *x, uint64_t num, const struct item_vector *v,
	struct errtext *et) MUST_CHECK;

void post_varint(struct buf *out, uint32_t v);
bool post_varint_get(struct str *rest, uint32_t *v);

/* Terms that stand for one that is not whole (bm25.h), at most `max`, the nearest and then the most
 * frequent. */
struct post_term {
	struct str term;
	uint64_t df;
	unsigned edits;
};
enum err post_beginning(struct tx *tx, const struct post_base *b, struct str prefix, size_t max,
	struct arena *a, struct post_term **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err post_misspelt(struct tx *tx, const struct post_base *b, struct str term, unsigned edits,
	size_t max, bool *cut, struct arena *a, struct post_term **out, size_t *n,
	struct errtext *et) MUST_CHECK;

#endif
