/* A question to an answer: retrieve, decide, assemble, generate, check. docs/internals/answers.md.
 *
 * When the passages do not seem to hold an answer, or no chat model is installed, nothing is
 * generated and the result says why; the best supporting sentences are found all the same. */
#ifndef RAG_ASK_H
#define RAG_ASK_H
#include "rag/cite.h"
#include "rag/rag_int.h"

struct ask_request {
	struct rag_query query;
	struct str model; /* "": the default */
	double temperature;
	int64_t seed, max_tokens; /* max_tokens 0: the setting rag.answer_tokens */
};

struct ask_result {
	struct retrieved got;
	struct best_sentence *best;
	size_t n_best;
	float support; /* 0..1: how likely it is that the passages hold the answer */
	bool grounded;
	struct str reason;    /* empty: none */
	struct str generated; /* what the model wrote, when the answer is not that */
	struct checked checked;
	size_t lead_to;   /* bytes of the answer that are the best sentence, before the model's */
	size_t used;      /* passages that the prompt held; the first ones */
	struct str model; /* "": none was asked */
	uint32_t prompt_tokens, completion_tokens;
	double retrieve_ms, prompt_ms, decode_ms, check_ms, total_ms;
};

/* Each is called at most once but for on_token; an error stops the answer. NULL: not wanted. */
struct ask_events {
	enum err (*on_passages)(void *ctx, const struct ask_result *r);
	enum err (*on_best)(void *ctx, const struct ask_result *r);
	enum err (*on_token)(void *ctx, struct str text);
	void *ctx;
};

/* All in `a`. The run is begun and ended by the caller. */
enum err rag_ask(struct croft *c, const struct ask_request *rq, struct run *run, struct arena *a,
	const struct ask_events *ev, struct ask_result *out, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

void post_ask(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_ask(struct cmd *cmd, struct errtext *et);
extern const struct option ask_options[];
enum { N_ASK_OPTIONS = 12 + N_RAG_STAGE_OPTIONS };

#endif
