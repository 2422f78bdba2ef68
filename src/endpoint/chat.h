/* One turn of a conversation, in a form that belongs to no wire format. The faces (chat
 *completions, responses, messages, the command line, agents) translate to it; what answers behind
 *an endpoint's name (a local model, a remote provider) serves it.
 *
 *	struct chat_request r = {.messages = m, .n_messages = n, .tools = t, .n_tools = k,
 *		.sampling = SAMPLING_DEFAULT, .top_logprobs = -1, .who = rq->who,
 *		.cancel = rq->cancel, .on_event = send, .ctx = &mine};
 *	struct chat_result res = {0};
 *	enum err e = chat_run(c, ep, run, &r, &res, et);   // blocks; events come on this thread
 *	chat_result_free(&res);
 *
 * The same events come from every provider, in this order: reasoning and text as they are written,
 * and for each tool call one CHAT_CALL, CHAT_ARGUMENTS any number of times, one CHAT_CALL_END. Text
 * is whole code points. What an endpoint cannot do (log probabilities of a remote server, ...) is
 * refused with ERR_UNSUPPORTED that names it, never left out. */
#ifndef ENDPOINT_CHAT_H
#define ENDPOINT_CHAT_H
#include "endpoint/endpoint.h"
#include "run/run.h"
#include "text/constraint.h"

struct chat_tool {
	struct str name, description;
	struct str parameters; /* JSON Schema; "" is an object of anything */
	bool strict; /* held to the schema while it is written, whatever tool_choice says */
};

enum tool_choice {
	TOOLS_AUTO,     /* the model decides */
	TOOLS_NONE,     /* it sees them, and calls none */
	TOOLS_REQUIRED, /* at least one call */
	TOOLS_NAMED,    /* a call of tool_name */
};

enum reasoning { REASONING_DEFAULT, REASONING_ON, REASONING_OFF };

enum chat_event_kind {
	CHAT_TEXT,      /* text; token, logprob, top when they were asked for */
	CHAT_REASONING, /* text */
	CHAT_CALL,      /* call, id, name: a call of a tool begins */
	CHAT_ARGUMENTS, /* call, text: more of its arguments' JSON */
	CHAT_CALL_END,  /* call */
};

struct chat_event {
	enum chat_event_kind kind;
	struct str text;
	unsigned call; /* 0, 1, 2, ... in the answer */
	struct str id, name;
	/* CHAT_TEXT with top_logprobs >= 0: of the token that wrote it; NULL otherwise. A token
	 * that wrote nothing yet comes with empty text. */
	const struct gen_event *token;
};

struct chat_request {
	const struct chat_message *messages;
	size_t n_messages;
	const struct chat_tool *tools;
	size_t n_tools;
	enum tool_choice tool_choice;
	struct str tool_name; /* TOOLS_NAMED */
	bool one_call;        /* parallel_tool_calls: false */
	enum reasoning reasoning;
	struct str effort;        /* how much it is to think, in OpenAI's words: "low"; or "" */
	struct str template_json; /* more variables of the chat template, an object; "" */

	struct sampling sampling;
	uint32_t max_tokens; /* 0: until the context is full */
	const struct str *stop;
	size_t n_stop;
	int32_t top_logprobs; /* -1: none */
	/* What the text (not the reasoning, not calls) is held to; kind CONSTRAINT_NONE: anything.
	 */
	enum constraint_kind format;
	struct str format_source, format_name;

	const struct principal *who; /* whose share of the machine it takes; NULL: the house */
	int priority;                /* lower goes first; 0 */
	unsigned choice;             /* which of several answers to one request; its span tells */
	const struct cancel *cancel;
	/* False stops the answer, as if it were cancelled. NULL: only the result. */
	bool (*on_event)(void *ctx, const struct chat_event *ev);
	/* A remote provider's endpoint: who answers, after how many attempts; once, before the
	 * first event, while an answer's headers can still be set. NULL: nobody asks. */
	void (*on_provider)(void *ctx, struct str provider, unsigned attempts);
	void *ctx;
};

enum chat_finish { CHAT_STOP, CHAT_STOP_STRING, CHAT_LENGTH, CHAT_TOOL_CALLS, CHAT_FILTERED };

struct chat_call {
	struct buf id, name, arguments; /* arguments: JSON, valid unless finish is CHAT_LENGTH */
};

struct chat_result {
	struct buf text, reasoning;
	struct chat_call *calls;
	size_t n_calls;
	enum chat_finish finish;
	struct buf stop_string; /* CHAT_STOP_STRING */
	uint32_t prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens;
	uint32_t drafted_tokens, accepted_tokens; /* as gen_result's */
	uint64_t queued_ns, prompt_ns, decode_ns, first_token_ns;
	/* What makes the answer repeatable, a JSON object: {model, model_sha256, template_sha256,
	 * sampling, seed, context_tokens, cached_tokens, engine} or, of a remote provider,
	 * {provider, model, attempts: [{provider, error, ms}], reason} */
	struct buf receipt;
};

/* `run` (may be NULL) gets the spans of the prompt and of the answer. Errors as generator_run's and
 * model_chat_prompt's; ERR_INVALID for a tool's schema, named; a provider's: ERR_NETWORK,
 * ERR_TIMEOUT, ERR_BUSY. On an error *out holds nothing. */
enum err chat_run(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et) MUST_CHECK;
void chat_result_free(struct chat_result *r);

/* The prompt's tokens as chat_run would make them, without answering; local endpoints only. */
enum err chat_prompt_tokens(struct croft *c, struct endpoint *ep, const struct chat_request *r,
	struct tokens *out, struct errtext *et) MUST_CHECK;

#endif
