/* Keyword search over texts in the payloads of items (BM25 and BM25F, vector/bm25.h), and hybrid
 * search, which puts its hits and those of a vector search into one list.
 *
 * Which fields are searched, with what weights and in what language, is a setting of a collection;
 * it may be made, changed and dropped at any time. The index has what the payloads have: it is
 * built from the database when the collection is opened, and each change is in it before the caller
 * hears of it.
 *
 * A query is words, and beside them "a phrase", "a phrase"~2 (with so many words between), begin*,
 * mispelt~ (one edit, two from six letters on; ~1 and ~2 say it), +must and -not. */
#ifndef COLLECTION_KEYWORD_H
#define COLLECTION_KEYWORD_H
#include "collection/collection.h"
#include "vector/bm25.h"

/* ---- settings ---- */

struct keyword_field {
	struct str name; /* a path into payloads, as a filter has it */
	struct bm25_field weigh;
};

enum fusion_method {
	FUSE_RANKS, /* weight / (k + rank), summed: reciprocal ranks */
	FUSE_SCORES /* weight * (score - worst) / (best - worst) of each list, summed */
};
struct fusion {
	enum fusion_method method;
	float k;               /* of ranks */
	float vector, keyword; /* weights */
	size_t depth;          /* hits that each list gives; 0: four times as many as are wanted,
				* 100 at least */
};

struct keyword_settings {
	struct keyword_field fields[BM25_FIELDS_MAX];
	size_t n_fields;
	struct str language; /* "en": its stop words are left out, its words stemmed; "": neither */
	float k1;
	struct fusion fusion; /* unless a call says otherwise */
};

/* {"fields": {"title": 2, "text": {"weight": 1, "b": 0.75}}, "language": "en", "k1": 1.2,
 * "fusion": {...}}. ERR_INVALID names the place. Strings are in `a`. */
enum err keyword_settings_read(yyjson_val *o, struct arena *a, struct keyword_settings *out,
	struct errtext *et) MUST_CHECK;
/* {"method": "rrf" | "score", "k": 60, "vector": 1, "keyword": 1, "depth": 0}: what it names. */
enum err fusion_read(yyjson_val *o, struct fusion *out, struct errtext *et) MUST_CHECK;
void keyword_settings_write(struct jw *w, const struct keyword_settings *s);

/* s NULL: no keyword index any more. Returns when it is built. */
enum err collection_set_keyword(struct collection *k, const struct keyword_settings *s,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* ERR_INVALID: it has none. */
enum err collection_keyword(struct collection *k, struct arena *a, struct keyword_settings *out,
	struct errtext *et) MUST_CHECK;

/* ---- searching ---- */

struct keyword_search {
	struct str text;
	size_t k; /* 1..COLLECTION_K_MAX */
	const struct cond *filter;
	struct item_want want;
	const struct cancel *cancel;
};
/* *cut (may be NULL): more terms begin so, or are spelt so, than were looked for. */
enum err collection_search_words(struct collection *k, const struct keyword_search *q,
	struct arena *a, struct item_hit **out, size_t *n, bool *cut,
	struct errtext *et) MUST_CHECK;

/* What a list added to a hit. */
struct hit_share {
	uint32_t rank; /* from 1; 0: it was not in this list */
	float score, share;
};
struct hybrid_hit {
	struct item_hit hit; /* score: the shares together */
	struct hit_share vector, keyword;
};
struct hybrid_query {
	struct item_query vector; /* .k: how many are wanted */
	struct str text;
	struct fusion fusion;
};
/* What the text asks for with + and - holds for the hits of the vectors too. */
enum err collection_search_hybrid(struct collection *k, const struct hybrid_query *q,
	struct arena *a, struct hybrid_hit **out, size_t *n, bool *cut, struct item_search *how,
	struct errtext *et) MUST_CHECK;

/* ---- queries ---- */

struct keyword_query {
	struct bm25_clause *clauses;
	size_t n;
	struct str plain; /* the words alone, without those that must not be: to be embedded */
};
/* Never fails for what the text says, but for its length (ERR_TOO_LARGE). In `a`. */
enum err keyword_query_parse(struct str text, const char *language, struct arena *a,
	struct keyword_query *out, struct errtext *et) MUST_CHECK;

#endif
