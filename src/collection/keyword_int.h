/* What the files of keyword search share: keyword.c (the index and its settings), keyword_query.c
 * (what a person types), hybrid.c (both lists in one), keyword_routes.c (wire JSON). */
#ifndef COLLECTION_KEYWORD_INT_H
#define COLLECTION_KEYWORD_INT_H
#include "collection/collection_int.h"
#include "collection/keyword.h"

/* The terms of texts, one text after the other, with their places. */
struct term_list {
	struct arena *a;
	struct str *terms;
	uint32_t *at;
	size_t n, cap;
	enum err e;
	struct str text; /* at hand */
	uint32_t place, last_to;
	bool begun;
};
enum err keyword_terms(struct term_list *l, struct str text, const char *language) MUST_CHECK;

/* A collection's index, counted: settings that change make a new one. */
struct keyword_index {
	atomic_size_t refs;
	struct arena *a;   /* of the settings */
	struct str config; /* as the database has it */
	struct keyword_settings settings;
	struct str paths[BM25_FIELDS_MAX];
	struct bm25 *bm25;
};

/* By settings as the database has them; nothing is in it. To be given back. */
enum err keyword_settled(
	struct str config, struct keyword_index **out, struct errtext *et) MUST_CHECK;
/* What each field of a payload has, in `a`. */
enum err keyword_texts(const struct keyword_index *x, struct str payload, struct arena *a,
	struct bm25_text *texts, struct errtext *et) MUST_CHECK;
/* NULL: the collection has none. To be given back. */
struct keyword_index *keyword_get(struct collection *k);
void keyword_put_back(struct keyword_index *x);                        /* accepts NULL */
enum err keyword_none(const struct collection *k, struct errtext *et); /* says how to make one */

/* Of hits that were found by their vectors only those stay that have what the text demands. */
enum err keyword_demand(struct collection *k, struct keyword_index *x,
	const struct keyword_query *q, struct item_hit *hits, size_t *n,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* filter NULL: all items. */
enum err keyword_find(struct collection *k, struct keyword_index *x, const struct keyword_query *q,
	const struct cond *filter, size_t max, struct hit *out, size_t *n, bool *cut,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- wire ---- */

void hybrid_write_shares(struct jw *w, const struct hybrid_hit *h);

#endif
