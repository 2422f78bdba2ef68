/* Answers against their passages: the sentences that support a question, and a check of every
 * sentence of an answer. docs/internals/answers.md tells the rules and what they were measured on.
 *
 * Everything returned is in the arena given to cite_new; one thread at a time. */
#ifndef RAG_CITE_H
#define RAG_CITE_H
#include "base/arena.h"
#include "rag/fusion.h"

struct cite;

/* Texts to vectors of length 1, out[n][dim]. */
typedef enum err (*cite_embed_fn)(
	void *ctx, const struct str *texts, size_t n, float *out, struct errtext *et);

struct cite_input {
	const struct rag_hit *hits; /* passage n is hits[n - 1] */
	size_t n_hits;
	cite_embed_fn embed; /* NULL: words alone decide */
	void *ctx;
	uint32_t dim;
};

struct cite_question {
	struct str text;
	const struct str *terms;
	const float *weights; /* of each term: its idf */
	size_t n_terms;
	const float *vector; /* NULL: none */
	struct fusion_info info;
};

struct best_sentence {
	uint32_t n;        /* passage, from 1 */
	struct str text;   /* verbatim */
	float score;       /* as fusion.h has it */
	uint32_t from, to; /* of the document's text */
};

enum cite_status { CITE_VERBATIM, CITE_SUPPORTED, CITE_UNSUPPORTED };

struct citation {
	uint32_t n; /* passage, from 1; 0: a sentence that no passage supports and nobody cited */
	enum cite_status status;
	bool by_check;                   /* the marker was added here, the model did not write it */
	const char *reason;              /* of unsupported: why; else NULL */
	uint32_t answer_from, answer_to; /* of the checked answer: the sentence with its markers */
	uint32_t nearest;  /* passage of the quote; n, or when that cannot be, the nearest */
	struct str quote;  /* the sentence of the passage that comes nearest */
	uint32_t from, to; /* of the quote in the document's text */
	float score;       /* 0..1 */
};

struct checked {
	struct buf answer; /* with markers added; buf_free it */
	struct citation *citations;
	size_t n;
	size_t sentences, supported; /* that say something; of those, what a passage supports */
	bool declined;               /* the model says that the passages do not tell */
};

enum err cite_new(const struct cite_input *in, struct arena *a, struct cite **out,
	struct errtext *et) MUST_CHECK;
/* Up to k, best first, none of them said twice. */
enum err cite_best(struct cite *c, const struct cite_question *q, size_t k,
	struct best_sentence **out, size_t *n, struct errtext *et) MUST_CHECK;
enum err cite_check(struct cite *c, struct str question, struct str answer, struct checked *out,
	struct errtext *et) MUST_CHECK;
/* The same over what rag_search() found, with the documents' embedding model. */
enum err rag_cite(struct croft *c, const struct rag_hit *hits, size_t n,
	const struct cancel *cancel, struct arena *a, struct cite **out,
	struct errtext *et) MUST_CHECK;
const char *cite_status_name(enum cite_status s); /* "verbatim" */

#endif
