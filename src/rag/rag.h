/* Documents, retrieval and answers.
 *
 * A document is an immutable version (the SHA-256 of its bytes) under a path; its chunks, vectors
 * and keyword terms are written in the same transaction as the document row, and the in-memory
 * indexes change right after the commit: a document that was acknowledged is searchable, one that
 * was deleted is not, and both stay so after kill -9. */
#ifndef RAG_RAG_H
#define RAG_RAG_H
#include "base/hash.h"
#include "module/module.h"

extern const struct module rag_module;

struct run;
struct span;

struct rag_filter {
	struct str path_glob, type, tag;
	int64_t from_ms, to_ms; /* of the document's date; 0: open */
	/* A document's attributes, a JSON object or "", are wanted. Asked once for each document
	 * while others wait: it is quick. NULL: any. */
	bool (*attributes)(void *ctx, struct str json);
	void *ctx;
};

enum rag_method { RAG_HYBRID, RAG_DENSE, RAG_BM25 };

/* What is done beside one search and a reranking (docs/retrieval.md). Zero: nothing. */
struct rag_stages {
	bool rewrite, decompose, hyde; /* by a chat model, in one call */
	struct str model;              /* which endpoint; "": the default */
	int64_t timeout_ms;            /* of that call; 0: 20,000 */
	bool derive_filters;           /* from the question, of fields that are there */
	enum rag_derive_by {
		DERIVE_AUTO, /* by the model where one is named, else by rules */
		DERIVE_RULES,
		DERIVE_MODEL,
	} derive_by;
	float diversity;         /* maximal marginal relevance: 0 none .. 1 nothing else */
	double half_life_days;   /* what is so much older counts half; 0: age counts nothing */
	float recency_weight;    /* how much of a score age can take, 0..1; 0: 0.5 */
	struct str date_field;   /* "": the document's own date, else when it was added; "added";
				  * "updated"; or an attribute */
	bool parent;             /* the section that a passage stands in */
	uint32_t neighbours;     /* so many passages before and after it */
	uint32_t context_tokens; /* of what is given instead of a passage, at most; 0: 600 */
};
enum { RAG_NEIGHBOURS_MAX = 20, RAG_QUESTIONS_MAX = 4 };

struct rag_trail;

struct rag_query {
	struct str text;
	struct str project;            /* only its documents are searched; "": "default" */
	struct str collection;         /* "" : "default" */
	const struct str *collections; /* instead of one, these; NULL: the one */
	size_t n_collections;
	struct str owner; /* only its documents; "": whosever */
	size_t k;         /* 0: the setting rag.top_k */
	enum rag_method method;
	float balance; /* of hybrid: how much more the dense side weighs; 0: rag.dense_weight */
	const float *vector;     /* of the text, from rag_vector(); NULL: it is made now */
	bool exact;              /* every vector is compared, however many there are */
	bool rerank;             /* the best are ordered anew by a cross-encoder */
	struct str rerank_model; /* "": the default one */
	size_t rerank_depth;     /* how many; 0: 50 */
	float rerank_weight;     /* of what it says beside the search's relevance; 0: 1, it alone */
	struct rag_pairs *pairs; /* what was read in searches before; NULL: all is read */
	struct rag_filter filter;
	struct rag_stages stages;
	const struct principal *who; /* whose share of a chat model the stages take; NULL: ours */
	struct run *run;             /* gets a span for each stage, below `span`; NULL: none */
	struct span *span;
	struct rag_trail *trail; /* NULL, or what was done is written there, in the arena */
};

/* ---- what a search did ---- */

struct rag_at {
	int64_t chunk;
	float score; /* at that stage */
};

struct rag_step {
	const char *name; /* "rewrite", "filters", "search", "merge", "recency", "rerank",
			   * "diversity", "context" */
	struct str note;  /* "" */
	double ms;
	const struct rag_at *at; /* the passages after it, best first */
	size_t n;
};

struct rag_asked {
	const char *as; /* "question", "rewritten", "part" */
	struct str text;
};

/* A filter that was derived; empty members ask for nothing. Beside each the words of the question
 * that ask for it. */
struct rag_derived {
	struct str type, tag;
	int64_t from_ms, to_ms;
	struct str type_words, tag_words, from_words, to_words;
	struct rag_attribute {
		struct str key, value, words;
	} attributes[4];
	size_t n_attributes;
	const char *by; /* "rules", "model"; NULL: nobody was asked */
	bool any;
	bool dropped; /* nothing matches it: the search went on without */
};

/* "by rules: type email (emails), from 2019-01-01 (since 2019)": appends. */
void rag_derived_text(const struct rag_derived *d, struct buf *out);

enum { RAG_STEPS_MAX = 24, RAG_NOTES_MAX = 8 };

struct rag_trail {
	struct rag_step steps[RAG_STEPS_MAX];
	size_t n;
	struct rag_asked asked[2 + RAG_QUESTIONS_MAX]; /* what was searched for */
	size_t n_asked;
	struct str passage; /* that HyDE wrote; "" */
	struct str model;   /* that rewrote; "" */
	struct rag_derived derived;
	struct str notes[RAG_NOTES_MAX]; /* what did not go as it was asked for */
	size_t n_notes;
};

struct rag_hit {
	int64_t chunk;
	struct id document;
	struct str collection, path, title, heading_path, text, type, attributes;
	uint32_t page, from, to;        /* bytes of the document's extracted text */
	float score, dense, bm25;       /* fused; each method's own */
	float relevance;                /* 0..1: score over the greatest there could be */
	uint32_t dense_rank, bm25_rank; /* from 1; 0: not among its candidates */
	float rerank;                   /* of a cross-encoder: 0..1 */
	float mixed;                    /* with its weight, the relevance beside it: 0..1 */
	uint32_t before;                /* rank before it, from 1; 0: it did not read this one */
	int64_t date_ms, added_ms, updated_ms; /* of the document; date: its own, else added */
	float age; /* 0..1, what its score was multiplied by for its age; 0: age did not count */
	uint32_t ordinal;             /* of the chunk in its document, from 0 */
	uint32_t tokens;              /* of the chunk */
	uint8_t sha256[SHA256_BYTES]; /* of what was embedded */
	/* Passages that were found and are in the text, when more was given than the passage; the
	 * first is the chunk itself. */
	const struct rag_piece {
		int64_t chunk;
		uint32_t from, to;
	} * pieces;
	size_t n_pieces;
};

/* Scores of a cross-encoder, kept for searches that find the same passages again (pairs.c): about
 * `most` of them, in 25 bytes each. Any thread. */
struct rag_pairs_count {
	uint64_t read, kept; /* pairs that the model read; that were there */
};
enum err rag_pairs_new(size_t most, struct rag_pairs **out, struct errtext *et) MUST_CHECK;
void rag_pairs_free(struct rag_pairs *p);                    /* accepts NULL */
struct rag_pairs_count rag_pairs_count(struct rag_pairs *p); /* NULL: none */

/* Hits are in `a`. */
enum err rag_search(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_hit **hits, size_t *n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

/* k, method, collection, rerank, weights, filters and stages of a JSON object, the stages else as
 * the settings have them; strings are borrowed from it. */
enum err rag_query_parse(
	struct croft *c, yyjson_val *o, struct rag_query *q, struct errtext *et) MUST_CHECK;
bool rag_stages_any(const struct rag_stages *s);
bool rag_stages_ask(const struct rag_stages *s);         /* a chat model */
bool rag_stages_derive_asks(const struct rag_stages *s); /* a chat model, for filters */
/* Whether it is the request that wants a chat model, which takes the permission model.use: what the
 * settings turn on is the house's. */
bool rag_stages_wanted(yyjson_val *o, const struct rag_stages *s);
/* Members that rag_query_parse reads back, those that do something. */
void rag_stages_write(struct jw *w, const struct rag_stages *s);
/* "rewrite, hyde, diversity 0.3": appends. */
void rag_stages_label(const struct rag_stages *s, struct buf *out);

/* Documents by their best passages; no text is read where nothing is reranked and there are no
 * stages. q->k is how many
 * passages are looked at. Ties are ordered by path, the greater first, as trec_eval has them. */
struct rag_ranked {
	struct str path;
	float score; /* falls from one to the next */
	int64_t chunk;
};
enum err rag_rank_documents(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_ranked **out, size_t *n, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* What rag_query.vector wants, in `a`. */
enum err rag_vector(struct croft *c, struct str text, struct arena *a, const float **out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* Which embedding model: name and the identity of its space, in `a`. */
enum err rag_space(struct croft *c, struct arena *a, struct str *model, struct str *space,
	struct errtext *et) MUST_CHECK;
/* The collection's document set as it is now: "document-set/default:7", in `a`; "" for none. */
enum err rag_document_set(struct croft *c, struct str project, struct str collection,
	struct arena *a, struct str *ref, struct errtext *et) MUST_CHECK;

/* ---- looking inside (inspect.c): where is it that a passage gets lost? ---- */

struct rag_span {
	int64_t chunk;
	uint32_t from, to; /* bytes of the text */
	uint32_t page;
};

struct rag_document {
	struct id id;
	struct str path, title, status, error, sha256;
	struct str text; /* "" when it failed */
	const struct rag_span *chunks;
	size_t n_chunks;
};

/* All of a collection; owner "": nobody's. What is shown lasts for the call. */
enum err rag_documents_each(struct croft *c, struct str project, struct str collection,
	struct str owner, enum err (*fn)(void *ctx, const struct rag_document *d), void *ctx,
	struct errtext *et) MUST_CHECK;

/* Ranks from 1 of the best of these chunks among the first `depth` (at most 10,000) of a search
 * without stages, in which every vector is compared. 0: it is not among them. */
struct rag_ranks {
	uint32_t keyword, dense, fused;
};
enum { RAG_RANKS_MAX = 10000 };
enum err rag_ranks_of(struct croft *c, const struct rag_query *q, const int64_t *chunks, size_t n,
	size_t depth, struct arena *a, struct rag_ranks *out, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

/* An answer as POST /api/v1/ask gives it, in `a`. */
struct rag_answer {
	struct str text, reason;
	struct str generated; /* what the model wrote, when the text is not that; .p NULL */
	struct rag_hit *hits;
	size_t n_hits, used; /* used: the first hits, that the prompt held */
	bool grounded;       /* false: nothing was asked of a model */
	struct str model;    /* "": none was asked */
	struct rag_sentence {
		uint32_t from, to; /* of the text */
		bool supported;
	} * sentences; /* those that were cited or flagged */
	size_t n_sentences;
};
enum err rag_answer(struct croft *c, const struct rag_query *q, struct str model, struct arena *a,
	struct rag_answer *out, const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- documents that another part keeps (owned.c) ----
 *
 * They have an owner, and attributes that searches can be filtered by. They are parsed, cut,
 * embedded and found as others are; but lists of documents show them only when their collection is
 * named, nobody else changes them, and no versions of document sets are made of them: who keeps
 * them knows what there is. */

struct rag_new {
	struct str project, collection, path, bytes; /* the path's last part says the format */
	struct str owner, attributes;                /* JSON object, or "" */
	uint32_t chunk_tokens, chunk_overlap;
};

struct rag_made {
	struct id document;
	bool failed;
	struct str code, why; /* of failed: err_word() and a sentence */
	struct str warnings;  /* lines, "" */
	int64_t chunks, text_bytes, vector_bytes;
};

/* When it returns, the document is found, or recorded as failed. An error: nothing was recorded. */
enum err rag_put(struct croft *c, const struct rag_new *d, struct arena *a, struct rag_made *out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* Of one path, or with "" of the whole collection: not found any more when it returns. */
enum err rag_remove(struct croft *c, struct str project, struct str owner, struct str collection,
	struct str path, struct errtext *et) MUST_CHECK;
enum err rag_set_attributes(struct croft *c, struct str project, struct str collection,
	struct str path, struct str json, struct errtext *et) MUST_CHECK;
/* The extracted text. ERR_NOT_FOUND. */
enum err rag_text(struct croft *c, struct str project, struct str collection, struct str path,
	struct arena *a, struct str *out, struct errtext *et) MUST_CHECK;

#endif
