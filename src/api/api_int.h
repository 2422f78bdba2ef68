/* What the files of this folder share.
 *
 *	api.c               the module and its rows
 *	openai_error.c      errors in OpenAI's shape
 *	chat_params.c       what the faces of chats share
 *	openai_params.c     request bodies to structs
 *	openai_format.c     what an answer is held to
 *	openai_tools.c      tools, calls in messages, thinking
 *	openai_chat.c       chat completions and completions: run and render
 *	openai_embed.c      embeddings
 *	openai_models.c     models
 *	anthropic.h         Anthropic's messages
 *	tokenize.c          texts to tokens and back; a module of its own
 *
 * What a request asks for is either done or refused with the name of the parameter; what cannot
 * change an answer (user, metadata, store, ...) is ignored, as OpenAI's own clients expect. */
#ifndef API_INT_H
#define API_INT_H
#include "api/api.h"
#include "endpoint/chat.h"

/* ---- errors ---- */

struct api_error {
	enum err e;
	int status;       /* 0: err_http(e) */
	const char *code; /* NULL: by the status */
	char param[64];   /* "": null */
	struct errtext et;
};

enum err api_fail(struct api_error *x, enum err e, const char *code, const char *param,
	const char *fmt, ...) PRINTF_LIKE(5, 6);
/* What another floor said, in x->et: gives it OpenAI's status and code. `param` names what the
 * model read ("messages", "prompt", "input"). */
enum err api_fail_from(struct api_error *x, enum err e, const char *param);
void api_error_members(struct jw *w, const struct api_error *x); /* the object behind "error" */
void api_reply_error(struct http_response *rs, const struct api_error *x);

/* ---- requests ---- */

/* What the answer is held to. */
struct format {
	enum constraint_kind kind;
	struct str source;
	struct str name; /* of a schema; "" */
	char param[64];  /* who said so */
};

struct gen_params {
	struct str model; /* "" the default */
	bool stream, include_usage;
	unsigned n;
	struct sampling sampling;
	uint32_t max_tokens; /* 0: until the context is full */
	struct str *stop;
	size_t n_stop;
	int32_t top_logprobs; /* -1: none */
	bool echo;            /* completions: the prompt is a part of the text */
	int priority;         /* gen_request's, after api_priority */
	bool tier;            /* asked for by service_tier, and answered so */
	struct format format;
};

enum { TOOLS_MAX = 128, PRIORITY_MAX = 1000 };

struct chat_params {
	struct gen_params gen;
	struct chat_message *messages;
	size_t n_messages;
	struct chat_tool *tools;
	size_t n_tools;
	enum tool_choice tool_choice;
	struct str tool_name;
	/* In: tools of type file_search are the caller's. Out: one is to be used. */
	bool search;
	bool one_call;
	bool functions; /* asked in the deprecated way, and answered so */
	enum reasoning reasoning;
	struct str effort;
	struct str template_json;
	bool receipt;         /* it is wanted in the reply */
	struct str last_user; /* for the run's name */
};

/* A prompt is text or token ids. */
struct prompt {
	struct str text;
	int32_t *ids; /* NULL: text */
	size_t n_ids;
};

struct completion_params {
	struct gen_params gen;
	struct prompt *prompts;
	size_t n_prompts;
};

struct embed_params {
	struct str model;
	struct prompt *inputs;
	size_t n_inputs;
	bool base64;
	int64_t dimensions; /* 0: not given */
	enum embed_as as;   /* input_type */
};

struct tokenize_params {
	struct str model, text;
	bool conversation; /* messages: the body is a chat request too */
	bool add_special, pieces;
};

struct detokenize_params {
	struct str model;
	struct prompt tokens;
};

/* A member that is there and not null. */
yyjson_val *api_get(yyjson_val *obj, const char *key);
enum err api_no_memory(struct api_error *x);
/* The text of a value, whose order of keys is kept. */
enum err api_json_of(yyjson_val *v, struct arena *a, struct str *out, struct api_error *x);
/* The turn that the parameters ask for; who listens is the caller's. */
struct chat_request api_chat_request(
	const struct chat_params *p, const struct principal *who, const struct cancel *cancel);
/* {token, logprob, bytes, top_logprobs}: a token and the n_top likeliest in its place. */
void api_token_entry(
	const struct tokenizer *tk, const struct gen_event *ev, uint32_t n_top, struct buf *out);

/* Members with bounds; absent leaves *out as it is. */
enum err api_want_f64(
	yyjson_val *o, const char *key, double min, double max, double *out, struct api_error *x);
enum err api_want_i64(yyjson_val *o, const char *key, int64_t min, int64_t max, int64_t *out,
	struct api_error *x);
enum err api_want_bool(yyjson_val *o, const char *key, bool *out, struct api_error *x);
/* `metadata` of a body as JSON: at most 16 short texts; `absent` when there is none. */
enum err api_parse_metadata(
	yyjson_val *o, struct str absent, struct arena *a, struct str *out, struct api_error *x);
enum err api_parse_model(yyjson_val *o, struct str *model, struct api_error *x);
/* service_tier and priority; then api_priority decides. */
enum err api_parse_priority(yyjson_val *o, struct gen_params *p, struct api_error *x);
const char *api_tier(int priority); /* service_tier's word */
enum err api_parse_stop(yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x);
enum err api_parse_sampling(
	yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x);

/* The header X-Croft-Priority, an integer, goes before what the body asks for. To go before others
 * takes the permission model.manage; without it a request is one like any other. */
enum err api_priority(const struct http_request *rq, int *priority, struct api_error *x);

/* A JSON object; the arena frees the document. */
enum err api_parse_body(struct str body, struct arena *a, yyjson_val **root, struct api_error *x);
/* Strings point into the document, which the arena frees. */
enum err api_parse_chat(
	struct str body, struct arena *a, struct chat_params *out, struct api_error *x);
enum err api_parse_completion(
	struct str body, struct arena *a, struct completion_params *out, struct api_error *x);
enum err api_parse_embed(
	struct str body, struct arena *a, struct embed_params *out, struct api_error *x);
enum err api_parse_tokenize(
	struct str body, struct arena *a, struct tokenize_params *out, struct api_error *x);
enum err api_parse_detokenize(
	struct str body, struct arena *a, struct detokenize_params *out, struct api_error *x);

/* `o` is the body, m a message; format is parsed before tools. */
enum err api_parse_tools(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x);
enum err api_parse_calls(yyjson_val *m, size_t index, struct arena *a, struct chat_message *out,
	struct api_error *x);
enum err api_parse_reasoning(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x);
/* A word for the effort; `param` is where it stands. */
enum err api_parse_effort(
	yyjson_val *effort, const char *param, struct chat_params *p, struct api_error *x);
enum err api_parse_format(yyjson_val *o, struct arena *a, struct format *out, struct api_error *x);
/* `format` of the Responses API's `text`. */
enum err api_parse_text_format(
	yyjson_val *format, struct arena *a, struct format *out, struct api_error *x);
/* The compiled language, counted; NULL when any text will do. */
enum err api_format_get(
	struct croft *c, const struct format *f, struct constraint **out, struct api_error *x);
void api_format_put(struct croft *c, struct constraint *held); /* accepts NULL */

/* ---- models ---- */

struct model_entry {
	struct str name, owner; /* owner: "croft", or the kind of a provider */
	const char *purpose;    /* "chat", "embed", "rerank", "remote" */
	int64_t created_s;
	struct str base; /* of an adapter the model that it is for; "" otherwise */
};
enum err api_models(
	struct croft *c, struct arena *a, struct model_entry **out, size_t *n, struct api_error *x);
/* "default" is the default one for chats. */
enum err api_model(struct croft *c, struct arena *a, struct str name, struct model_entry *out,
	struct api_error *x);

/* ---- routes ---- */

void openai_models(struct croft *c, struct http_request *rq, struct http_response *rs);
void openai_model(struct croft *c, struct http_request *rq, struct http_response *rs);
void openai_chat(struct croft *c, struct http_request *rq, struct http_response *rs);
void openai_completion(struct croft *c, struct http_request *rq, struct http_response *rs);
void openai_embed(struct croft *c, struct http_request *rq, struct http_response *rs);

struct cmd;
struct language;
/* A file, or standard input for "-". */
enum err read_input(struct str path, struct buf *out, struct errtext *et);
/* The text of a command's second argument, against a language: says so, or where it is refused. */
enum err accept_text(struct cmd *cmd, const struct language *l, struct errtext *et);
enum err run_grammar_accept(struct cmd *cmd, struct errtext *et);
enum err run_regex_accept(struct cmd *cmd, struct errtext *et);
enum err run_schema_accept(struct cmd *cmd, struct errtext *et);
enum err run_schema_sample(struct cmd *cmd, struct errtext *et);
enum err run_tokenize(struct cmd *cmd, struct errtext *et);
enum err run_replay(struct cmd *cmd, struct errtext *et);
enum { N_CHAT_OPTIONS = 5 };
extern const struct option chat_options[N_CHAT_OPTIONS];
enum err run_chat(struct cmd *cmd, struct errtext *et);

#endif
