/* Keyword search: BM25 over terms that the caller has segmented and stemmed, and what such an index
 * is asked beside: several fields with their own weights (BM25F), phrases, prefixes, misspelt
 * terms, terms that an item must or must not have. As vector.h: any thread, readers never wait.
 *
 * An item's score is the sum over the query's terms (a repeated one counts as often) of
 *	idf * tf / (tf + k1 * (1 - b + b * length / average length)),
 *	idf = ln(1 + (N - df + 0.5) / (df + 0.5)),
 * and with fields, of idf * x / (k1 + x), where x is the sum over the fields of
 *	weight * tf / (1 - b + b * length / average length), each with the field's own.
 * Results are those of scoring every item; blocks of postings that cannot give a hit are skipped.
 *
 *	struct bm25 *x;
 *	e = bm25_new(NULL, &x);
 *	e = bm25_put(x, 7, terms, n, et);
 *	e = bm25_publish(x, et);
 *	e = bm25_search(x, query, n_query, 10, NULL, NULL, hits, &n_hits, NULL, et); */
#ifndef VECTOR_BM25_H
#define VECTOR_BM25_H
#include "vector/vector.h"

struct bm25;

/* Fields of an item; terms of one field of one item. */
enum { BM25_FIELDS_MAX = 8, BM25_TERMS_MAX = 1 << 24 };

struct bm25_field {
	float weight, b;
};

struct bm25_options {
	float k1, b;                     /* 0, 0: 0.9 and 0.4 */
	const struct bm25_field *fields; /* NULL: one, by the first formula */
	size_t n_fields;
	bool positions; /* keep them, for phrases */
};

/* One field of an item. `at`: where each term stands, ascending, below BM25_TERMS_MAX; NULL: 0, 1,
 * 2, ... Terms may share a place (a word and its synonym). */
struct bm25_text {
	const struct str *terms;
	const uint32_t *at;
	size_t n;
};

struct bm25_term_score {
	struct str term;
	float score; /* this term's part of the item's score */
	uint32_t tf, df;
};

/* ERR_INVALID: too many fields, or weights that are not above 0, or b outside 0..1. */
enum err bm25_new(const struct bm25_options *o, struct bm25 **out);
void bm25_free(struct bm25 *x); /* accepts NULL */
/* Inserts or replaces one item at the next publish. Duplicated terms count. */
enum err bm25_put(struct bm25 *x, uint64_t key, const struct str *terms, size_t n,
	struct errtext *et) MUST_CHECK;
/* With fields: n_fields texts, in the order of the options'. */
enum err bm25_put_fields(
	struct bm25 *x, uint64_t key, const struct bm25_text *texts, struct errtext *et) MUST_CHECK;
enum err bm25_delete(struct bm25 *x, const uint64_t *keys, size_t n, struct errtext *et) MUST_CHECK;
/* What was put or deleted becomes visible, all at once. On failure it stays pending. */
enum err bm25_publish(struct bm25 *x, struct errtext *et) MUST_CHECK;
size_t bm25_count(struct bm25 *x); /* published items */
size_t bm25_bytes(struct bm25 *x); /* what the published index occupies in memory */
/* A file of what is published, and an index that has nothing yet from one: see segments.h. */
enum err bm25_save(struct bm25 *x, const char *path, uint64_t mark, struct str label,
	struct errtext *et) MUST_CHECK;
enum err bm25_open(struct bm25 *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et) MUST_CHECK;
enum err bm25_search(struct bm25 *x, const struct str *terms, size_t n_terms, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* ---- queries of clauses ---- */

enum { BM25_CLAUSES_MAX = 256, BM25_EXPAND_MAX = 64, BM25_FUZZY_MAX = 64 };

enum bm25_need { BM25_SHOULD, BM25_MUST, BM25_MUST_NOT };

/* What an item may, must or must not have. All but MUST_NOT count for its score, each by the
 * formula with the df of its own: a term, all that a prefix or a misspelt term stands for, a
 * phrase. */
struct bm25_clause {
	enum bm25_match {
		BM25_TERM,
		BM25_PREFIX, /* the terms that begin so */
		BM25_FUZZY, /* the terms that are `edits` edits away, 1 or 2: a character more, less
			     * or another; each counts 1 / (1 + edits) */
		BM25_PHRASE, /* the terms one after the other, in one field */
	} match;
	enum bm25_need need;
	const struct str *terms; /* one, but for a phrase */
	size_t n_terms;
	const uint32_t *at; /* of a phrase: where its terms stand, ascending; NULL: 0, 1, 2, ... */
	uint32_t slop;      /* how many others may come between, altogether */
	unsigned edits;
	float weight; /* that its score is multiplied by; 0: 1 */
};

/* ERR_INVALID, ERR_TOO_LARGE: a clause that makes no sense, or exceeds a limit above;
 * ERR_UNSUPPORTED: a phrase, without positions. */
enum err bm25_clauses_check(
	const struct bm25_clause *clauses, size_t n, bool positions, struct errtext *et) MUST_CHECK;
/* Up to BM25_EXPAND_MAX terms stand for a prefix or a misspelt one, the nearest and then the most
 * frequent; *cut (may be NULL): there were more. Items that have nothing that counts are no hits.
 * Fails as bm25_clauses_check. */
enum err bm25_query(struct bm25 *x, const struct bm25_clause *clauses, size_t n_clauses, size_t k,
	vector_keep_fn keep, void *ctx, struct hit *out, size_t *n, bool *cut,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- of given items ---- */

/* The score of each key (0: has none of the terms, or is not there). */
void bm25_scores(struct bm25 *x, const struct str *terms, size_t n_terms, const uint64_t *keys,
	size_t n, float *out);
/* Why an item scores as it does for these terms: one row per different term that it contains. */
size_t bm25_explain(struct bm25 *x, const struct str *terms, size_t n_terms, uint64_t key,
	struct bm25_term_score *out, size_t max);
/* The weight of each term over all published items: idf above. A term that no item contains has
 * the highest; df (may be NULL) tells. */
void bm25_idf(struct bm25 *x, const struct str *terms, size_t n_terms, float *idf, uint32_t *df);

#endif
