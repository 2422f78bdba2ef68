/* Autopsies of retrieval: for a question whose answer is known, the stage that lost it.
 *
 *	autopsy_find.c    where in the documents the answer stands
 *	autopsy.c         the stages, one after the other, until one of them lost it
 *	autopsy_routes.c  wire JSON
 *	autopsy_cmd.c     the command */
#ifndef EVAL_AUTOPSY_H
#define EVAL_AUTOPSY_H
#include "eval/eval_int.h"
#include "rag/query_cmd.h"

/* name, word, what to do: a sentence that names the setting. In the order of the stages. */
#define AUTOPSY_STAGES(X)                                                                        \
	X(LOST_NOT_INGESTED, "not_ingested",                                                     \
		"Ingest the document (croft ingest PATH); croft docs --failed says what was "    \
		"refused "                                                                       \
		"and why.")                                                                      \
	X(LOST_MISPARSED, "misparsed",                                                           \
		"The file has the text and the parser did not get it: look at the document's "   \
		"extracted text and warnings (croft docs show ID), and ingest it in another "    \
		"format.")                                                                       \
	X(LOST_SPLIT, "split",                                                                   \
		"No chunk holds the whole answer: raise rag.chunk_tokens or rag.chunk_overlap "  \
		"and "                                                                           \
		"ingest again, or give surroundings with rag.neighbours or rag.parent.")         \
	X(LOST_FILTERED, "filtered",                                                             \
		"A filter keeps it out: change the request's filters, or turn off "              \
		"rag.derive_filters, or let another reader do it (rag.derive_by, "               \
		"rag.query_model).")                                                             \
	X(LOST_NOT_RETRIEVED, "not_retrieved",                                                   \
		"It ranks too low: see the ranks, and raise rag.top_k, move rag.dense_weight, "  \
		"rerank, or try rag.rewrite, rag.hyde and rag.decompose.")                       \
	X(LOST_AGED_OUT, "aged_out",                                                             \
		"Its age took it down: raise rag.half_life_days or lower rag.recency_weight.")   \
	X(LOST_RERANKED_OUT, "reranked_out",                                                     \
		"The cross-encoder put it below the last place that is kept: another "           \
		"rerank.model, "                                                                 \
		"a lower rag.rerank_weight, another depth of reranking, or a larger rag.top_k.") \
	X(LOST_DIVERSIFIED_OUT, "diversified_out",                                               \
		"It was too much like a better passage: lower rag.diversity.")                   \
	X(LOST_CUT, "cut",                                                                       \
		"The prompt had no room for its passage: raise rag.prompt_tokens, or lower "     \
		"rag.top_k or rag.context_tokens.")                                              \
	X(LOST_IGNORED, "ignored",                                                               \
		"The prompt held it and the answer does not say it: another chat.model, or "     \
		"fewer passages (rag.top_k).")                                                   \
	X(LOST_UNSUPPORTED, "unsupported",                                                       \
		"The answer asserts what the passages do not say: another chat.model, "          \
		"temperature 0, or a higher rag.lead_below, which puts the passages' best "      \
		"sentence "                                                                      \
		"first.")                                                                        \
	X(LOST_NOTHING, "found", "Nothing was lost.")

enum lost {
#define X(name, word, remedy) name,
	AUTOPSY_STAGES(X)
#undef X
		LOST_COUNT
};
const char *lost_word(enum lost l);
const char *lost_remedy(enum lost l);

/* ---- what is known ---- */

enum { ANSWERS_MAX = 16 };

struct known {
	struct str id, question, document, passage;
	struct str answers[ANSWERS_MAX];
	size_t n_answers;
};

/* ---- where it stands ---- */

enum { PLACES_MAX = 256 };

/* Of an answer: a range of a document's text. */
struct place {
	size_t document; /* index in texts */
	uint32_t from, to;
};

struct text_of {
	struct id id;
	struct str path, status, error, text, sha256, words; /* words: as answers are compared */
	struct rag_span *chunks;
	size_t n_chunks;
	struct str source; /* words of the file's own strings, once they were looked at; .p NULL */
	bool source_plain; /* it is a text, or made of texts */
};

/* The documents of a collection, their texts beside each other in memory. */
struct texts {
	struct croft *c;
	struct arena *a;
	struct text_of *docs;
	size_t n, cap;
	size_t bytes;
	struct errtext *et;
};

enum err texts_load(struct texts *t, struct str project, struct str collection,
	struct str owner) MUST_CHECK; /* ERR_TOO_LARGE */

/* How the answer is known to be in a document. */
enum known_by {
	KNOWN_NOWHERE,
	KNOWN_WORDS,    /* it stands there */
	KNOWN_PASSAGE,  /* the passage that was named stands there, not the answer */
	KNOWN_DOCUMENT, /* the document was named, nothing stands there word for word */
	KNOWN_BROKEN,   /* it stands there, but for spaces and marks within words */
	KNOWN_SOURCE,   /* the file has it, the text has not */
};

struct found_in {
	enum known_by by;
	struct place places[PLACES_MAX];
	size_t n;
	bool named;      /* by path */
	size_t document; /* that was named or whose file has it; SIZE_MAX: none */
};
enum err texts_find(struct texts *t, const struct known *k, struct found_in *out) MUST_CHECK;
/* Does a text say it? Words and digits are compared. */
bool text_says(struct str text, struct str answer);

/* ---- the verdict ---- */

struct autopsy_step {
	const char *stage;
	uint32_t rank; /* after it; 0: gone */
};

struct verdict {
	enum lost lost;
	struct str why;    /* a sentence */
	struct str remedy; /* that this case suggests; .p NULL: its stage's */
	struct found_in found;
	struct str document, quote; /* where the answer stands; "" */
	uint32_t page;
	struct rag_ranks ranks;
	bool ranked; /* ranks are known */
	struct autopsy_step steps[RAG_STEPS_MAX];
	size_t n_steps;
	uint32_t rank; /* among the passages that were given; 0: not */
	size_t passages, used;
	struct str answer;    /* "" when none was asked for */
	struct str generated; /* what the model wrote, where the answer is something else; "" */
	struct str notes[RAG_NOTES_MAX];
	size_t n_notes;
};

struct autopsy {
	struct croft *c;
	struct texts *texts;
	struct rag_query query; /* without its text */
	bool answer;            /* the later stages, too */
	struct str model;
	const struct cancel *cancel;
	struct errtext *et;
};

/* Strings of the verdict are in `a` or the known's. */
enum err autopsy_one(
	struct autopsy *x, const struct known *k, struct arena *a, struct verdict *out) MUST_CHECK;

/* Of an answer that was written with the passage at hand. */
enum lost autopsy_judge(const struct known *k, const struct rag_answer *r);

void post_autopsy(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_eval_autopsy(struct cmd *cmd, struct errtext *et);
extern const struct option autopsy_options[];
enum { N_AUTOPSY_OPTIONS = 15 + N_RAG_STAGE_OPTIONS };

#endif
