/* Words of collections in pgvector: the keyword index (keyword.h) as postings in the database.
 *
 * An index is a generation: tables of its own (pgv_post.h) and a row of collection_pgv_words that
 * says by which settings it was made, and how far. New settings make a new generation beside the
 * one in use; the transaction that stores the settings completes it. So a search always has an
 * index of the settings that its snapshot sees.
 *
 * Under the key "" each item has the numbers of its words, a varint for each field; its count is
 * the number of items. The count of NUL and the number of a field is the number of words in it. */
#ifndef COLLECTION_PGV_WORDS_H
#define COLLECTION_PGV_WORDS_H
#include "collection/keyword_int.h"
#include "collection/pgv_post.h"

struct words_state {
	struct post_base base;
	int64_t generation, mark, filled;
	bool table; /* is it there? */
};

/* What was made by these settings; ERR_NOT_FOUND, without a text. */
enum err words_state(struct tx *tx, int64_t number, struct str config, struct words_state *out,
	struct errtext *et) MUST_CHECK;
/* What the settings in the database want is there, up to the change `seq`; or none is wanted. */
enum err words_complete(
	struct tx *tx, int64_t number, int64_t seq, bool *yes, struct errtext *et) MUST_CHECK;
/* A generation of these settings, made or gone on with, in small transactions. */
enum err words_fill(struct croft *c, const struct collection_row *row, struct str config,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* The last step, in the transaction from which on it is used; config .n 0: as the database has it.
 * ERR_CONFLICT: words_fill has not made it. */
enum err words_settle(struct tx *tx, const struct collection_row *row, struct str config,
	struct errtext *et) MUST_CHECK;
/* In the transaction of a change, which the row says. */
enum err words_follow(
	struct tx *tx, const struct collection_row *row, struct errtext *et) MUST_CHECK;
/* Drops generations of other settings than those in the database. */
enum err words_tidy(struct croft *c, int64_t number, struct errtext *et) MUST_CHECK;

/* As keyword_find, and which of some items have what one clause says. */
enum err pgv_words(struct collection *k, const struct keyword_index *x,
	const struct keyword_query *q, const struct cond *filter, const uint64_t *among,
	size_t n_among, size_t max, struct hit *out, size_t *n, bool *cut,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

#endif
