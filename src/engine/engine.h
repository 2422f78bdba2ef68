/* The engine: open weights in, logits, text and embeddings out. It knows nothing of HTTP, stores
 * or runs.
 *
 * A `struct model` is a file or folder opened (GGUF by memory map; safetensors + config.json +
 * tokenizer.json), immutable, counted, shared by threads. Text comes from a `struct generator`:
 * one per decoder model; it owns the compute threads and the KV cache, takes any number of
 * requests at once from any thread and advances them together, fairly. Embeddings come from
 * embed_*(), on the model's own compute threads, one call at a time per model (calls queue).
 *
 *	struct model *m;
 *	enum err e = model_open(path, &(struct model_options){.threads = 2}, &m, et);
 *	struct generator *g;
 *	e = generator_new(m, &(struct generator_options){.context_tokens = 4096}, &g, et);
 *	struct gen_request r = {.prompt = toks.id, .n_prompt = toks.n, .max_tokens = 200,
 *		.sampling = SAMPLING_DEFAULT, .on_token = print, .ctx = &out};
 *	struct gen_result res;
 *	e = generator_run(g, &r, &res, et);       // blocks; on_token is called on this thread
 *	generator_free(g); model_unref(m);
 *
 * Outside input never aborts: a hostile file, an over-long prompt, an impossible setting is an
 * error that names it. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H
#include "base/thread.h"
#include "engine/file.h"
#include "engine/tokenizer.h"
#include "text/machine.h"

struct model;
struct generator;

struct memory_plan;
struct generator_options;

struct model_options {
	unsigned threads;      /* 0: all that the process may use */
	uint64_t memory_max;   /* bytes the model may take beyond the mapped file; 0: no limit */
	uint64_t *memory_need; /* NULL, or gets what is needed at least when that is too much */
	/* NULL, or the generator that will be made of a decoder: it is planned, and must fit, too
	 */
	const struct generator_options *generator;
	/* NULL, or told before the first weight is read and anything large is allocated, and also
	 * when it is too much */
	void (*planned)(void *ctx, const struct memory_plan *plan);
	void *planned_ctx;
	/* Encoders: F32 and F16 matrices are rounded to BF16 and multiplied so, where the CPU has
	 * the instruction (kern_type_bf16): half the time, another embedding space. */
	bool bf16;
	struct file_check check; /* sees each file before it is used, in the bytes that are used */
};

enum model_task { MODEL_DECODER, MODEL_ENCODER };
/* POOL_RANK: a cross-encoder; it gives a pair of texts a score, and no text a vector. */
enum pooling { POOL_NONE, POOL_MEAN, POOL_CLS, POOL_LAST, POOL_RANK };

struct model_info {
	enum model_task task;
	const char *architecture; /* "llama", "qwen2", "qwen3", "bert", ... */
	const char *name;         /* from the metadata, may be "" */
	const char *weights;      /* the prevailing tensor type: "Q4_1", "F32", ... */
	const char *format;       /* "gguf" or "safetensors" */
	uint64_t parameters, file_bytes,
		resident_bytes; /* resident: what we allocated beside the map */
	uint32_t layers, width, heads, kv_heads, vocab, context_max;
	uint32_t embedding_dim; /* encoders that embed, else 0 */
	enum pooling pooling;
	bool normalised; /* embeddings have length 1 */
	/* What stands before a query, and before a text that is searched, as the model was trained;
	 * mostly "". Part of the identity. */
	const char *query_prefix, *document_prefix;
	uint64_t load_ns;
};

/* What a model and its generator take beside the file, from the file's header and the options. */
struct memory_plan {
	enum model_task task;
	const char *architecture, *weights; /* as model_info's; static */
	uint64_t parameters, file_bytes;
	uint64_t mapped_bytes; /* of the file: tables whose rows are looked up where they lie */
	uint64_t weight_bytes; /* packed matrices, norms and biases */
	uint64_t pass_bytes;   /* activations and logits; of these */
	uint64_t thread_bytes; /* so many for each of the */
	unsigned threads;
	uint32_t context_tokens, context_max, sequences; /* context_max: the model's own */
	uint64_t kv_token_bytes; /* keys and values of a token, in all layers */
	uint64_t kv_tokens, kv_bytes;
	uint64_t drafting_bytes; /* all of the drafting model */
	/* weights, a pass, keys and values, drafts; least: with those of one context */
	uint64_t total_bytes, least_bytes;
};

enum err model_open(const char *path, const struct model_options *o, struct model **out,
	struct errtext *et) MUST_CHECK;
/* The plan alone, in microseconds to milliseconds: the weights are not read. Of the options
 * threads, bf16 and generator count. The errors are those of a file that is no such model. */
enum err memory_plan_of(const char *path, const struct model_options *o, struct memory_plan *out,
	struct errtext *et) MUST_CHECK;
struct model *model_ref(struct model *m);
void model_unref(struct model *m); /* accepts NULL */
const struct model_info *model_info(const struct model *m);
const struct tokenizer *model_tokenizer(const struct model *m);
/* One line per buffer: what it is, bytes. */
void model_plan(const struct model *m, struct buf *out);
/* SHA-256 over what determines an embedding (weights, tokenizer, pooling, prefix, dimension,
 * normalisation), in hex; computed once, then remembered. */
const char *model_identity(struct model *m);

/* ---- adapters ----
 *
 * A LoRA adapter belongs to an open decoder model: for some of its matrices W it holds two small
 * ones, and an answer with it is what W + scale * B A would write, while other requests of the same
 * pass use W alone or another adapter. Immutable, counted, shared by threads; it keeps its model
 * open. From a folder as PEFT writes it (adapter_config.json, adapter_model.safetensors), or a GGUF
 * file of that type (general.type "adapter"), for a base in either format. */

struct adapter;

struct adapter_info {
	const char *format; /* "gguf" or "safetensors" */
	const char *base;   /* the model it was trained on, as its files name it; may be "" */
	uint32_t rank_max, matrices;
	uint64_t parameters, file_bytes, resident_bytes, load_ns;
};

/* Of the options memory_max, memory_need and check count. What Croft does not compute (DoRA, saved
 * modules, ...) is ERR_UNSUPPORTED by its name; a matrix of another shape is ERR_INVALID and names
 * the tensor and both shapes. */
enum err adapter_open(const char *path, struct model *m, const struct model_options *o,
	struct adapter **out, struct errtext *et) MUST_CHECK;
/* Whether the file or folder is one, or says so. */
bool adapter_is(const char *path);
struct adapter *adapter_ref(struct adapter *a);
void adapter_unref(struct adapter *a); /* accepts NULL */
const struct adapter_info *adapter_info(const struct adapter *a);
const struct model *adapter_model(const struct adapter *a);

/* ---- generation ---- */

struct generator_options {
	uint32_t context_tokens; /* per sequence; 0: the model's own, at most 8,192 */
	bool context_at_most;    /* where it is more than the model's own, that is meant */
	uint32_t sequences_max;  /* decoded together; 0: 8. More wait in a queue */
	/* Tokens whose keys and values are held, of what runs and of what ran: at least
	 * context_tokens; 0: four contexts, fewer of fewer sequences. When they are all in use the
	 * last request gives way and goes on later. Less than that when model_options.memory_max
	 * leaves less. */
	uint64_t kv_tokens;
	bool kv_q8; /* a byte for each value, and not two: half the memory, not quite the same text
		     */
	uint32_t queue_max; /* more than this many waiting: ERR_BUSY; 0: 64 */
	bool no_drafts; /* no speculation: see gen_result.drafted_tokens. Answers are the same */
	/* A small model with the same vocabulary that writes drafts where the text has none;
	 * NULL: none. ERR_INVALID when its vocabulary is another. */
	struct model *drafting;
	const struct memory_plan *drafting_plan; /* its plan, as long as it is not open */
};

struct logit_bias {
	int32_t id;
	float bias;
};

/* Order: the language (what it does not allow is impossible), penalties, bias, (temperature 0:
 * argmax, the lowest id on a tie), top_k, top_p, min_p, temperature, draw. Fields at their neutral
 * value do nothing. */
struct sampling {
	float temperature;    /* 0: greedy */
	int32_t top_k;        /* 0: off */
	float top_p;          /* 1: off */
	float min_p;          /* 0: off */
	float repeat_penalty; /* 1: off; over the last repeat_last tokens */
	int32_t repeat_last;  /* 0: off, -1: whole context */
	float presence_penalty,
		frequency_penalty; /* 0: off; OpenAI's meaning, over generated tokens */
	uint64_t seed;
	const struct logit_bias *bias;
	size_t n_bias;
};
#define SAMPLING_DEFAULT                                          \
	{                                                         \
		.temperature = 1, .top_p = 1, .repeat_penalty = 1 \
	}

struct token_logprob {
	int32_t id;
	float logprob; /* natural log, of the distribution before temperature, cuts and language */
};

struct gen_event {
	struct str text; /* whole code points; may be empty while bytes are held back */
	int32_t token;   /* -1: text that was held back until the end, without a token */
	uint32_t index;  /* of the token within the answer */
	float logprob;   /* set when top_logprobs >= 0 */
	const struct token_logprob *top; /* n_top of them, most likely first */
	uint32_t n_top;
};

struct gen_request {
	const int32_t *prompt;
	size_t n_prompt;
	uint32_t max_tokens; /* 0: until the context is full */
	struct sampling sampling;
	const struct str *stop; /* the text ends before the first of these; they are not sent */
	size_t n_stop;
	int32_t top_logprobs; /* -1: none; 0..20 */
	/* NULL, or what the text is held to: it is one of the language's texts when the answer ends
	 * with GEN_STOP, and the beginning of one otherwise. It must outlive the call. */
	const struct language *language;
	/* NULL, or one of the generator's model. It must outlive the call. */
	const struct adapter *adapter;
	/* Who goes first when not all can: lower goes before higher, and gives way to lower; among
	 * equals those who ask share the machine, whatever the number of their requests. */
	int priority;
	uint64_t client; /* who asks; 0: the house */
	/* The prompt ends with what an earlier request of the same answer wrote: it does not queue
	 * behind others again, nor is it refused because many wait. */
	bool goes_on;
	/* What a request has read is known to later ones of its realm only: how fast an answer
	 * begins tells what others have asked. */
	uint64_t realm;
	const struct cancel *cancel;
	/* Called in order for each token on the thread that called generator_run; return false to
	 * stop (as if cancelled). NULL: only the result's text. */
	bool (*on_token)(void *ctx, const struct gen_event *ev);
	void *ctx;
};

enum gen_finish { GEN_STOP, GEN_STOP_STRING, GEN_LENGTH, GEN_CANCELLED };

struct gen_result {
	struct buf text; /* buf_free it */
	enum gen_finish finish;
	uint32_t stop_index; /* which stop string, when GEN_STOP_STRING */
	/* completion: tokens delivered, without the one that ends the answer; cached: prompt tokens
	 * that were known from an earlier request */
	uint32_t prompt_tokens, completion_tokens, cached_tokens;
	/* Tokens that were guessed, from what came after the same words earlier in the prompt or
	 * the answer or by the drafting model, and those of them that the model would have written
	 * itself: each saved a pass. */
	uint32_t drafted_tokens, accepted_tokens;
	uint32_t preemptions; /* times that it gave way to others and went on later */
	uint64_t queued_ns, prompt_ns, decode_ns, first_token_ns;
};

enum err generator_new(struct model *m, const struct generator_options *o, struct generator **out,
	struct errtext *et) MUST_CHECK;
void generator_free(struct generator *g); /* cancels what runs, then joins */
/* A prompt that leaves no room for one token is ERR_TOO_LARGE and says both numbers. ERR_LIMIT: the
 * text could not be held to the language any longer (it nests too deeply, is too ambiguous, or the
 * vocabulary lacks the bytes); what was sent before is the beginning of one of its texts. */
enum err generator_run(struct generator *g, const struct gen_request *r, struct gen_result *out,
	struct errtext *et) MUST_CHECK;
uint32_t generator_context(const struct generator *g);

/* What a generator does now, and what it has done since it was made. */
struct generator_stats {
	uint32_t running, queued; /* answers being read or written; waiting for their turn */
	uint32_t sequences_max;   /* of running */
	uint64_t prompt_tokens;   /* read, without the cached ones */
	uint64_t cached_tokens, generated_tokens;
	uint64_t requests;           /* that ended, however */
	uint64_t preemptions;        /* times that one gave way to another */
	uint64_t kv_tokens, kv_room; /* positions whose keys and values are held; at most */
	uint64_t kv_used;            /* by what runs; a shared position counts for each */
	uint64_t kv_bytes;           /* reserved for kv_room */
	uint64_t work_bytes;         /* of a pass: activations and logits */
	uint64_t drafting_bytes;     /* all of the drafting model */
};
void generator_stats(const struct generator *g, struct generator_stats *out); /* any thread */

struct chat_message {
	struct str role, content;                       /* "system", "user", "assistant", "tool" */
	struct str name, tool_calls_json, tool_call_id; /* may be empty */
	struct str reasoning; /* what an assistant thought before it; may be empty */
};
/* Renders the model's chat template (ChatML when it has none; *used_default says so). */
enum err model_chat_prompt(const struct model *m, const struct chat_message *msgs, size_t n,
	struct str tools_json, bool add_generation_prompt, struct buf *out, bool *used_default,
	struct errtext *et) MUST_CHECK;

struct chat_vars {
	struct str tools_json, more_json; /* a list; an object of further variables; or "" */
	bool add_generation_prompt;
	bool args_text; /* calls' arguments reach the template as text, not as objects */
};
enum err model_chat_render(const struct model *m, const struct chat_message *msgs, size_t n,
	const struct chat_vars *v, struct buf *out, bool *used_default,
	struct errtext *et) MUST_CHECK;

/* ---- scoring (oracles, perplexity): logits of every position, row-major [n][vocab], with an
 * adapter of the model or NULL ---- */
enum err model_logits(struct model *m, const struct adapter *a, const int32_t *ids, size_t n,
	float *logits, const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* What the model thinks of a text: logprob[i] of ids[i] after those before it, and the n_top
 * likeliest in its place, top[i][n_top], likeliest first. Those of the first token are not set:
 * nothing comes before it. */
enum err model_score(struct model *m, const struct adapter *a, const int32_t *ids, size_t n,
	uint32_t n_top, float *logprob, struct token_logprob *top, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;

/* ---- embeddings ---- */

/* n texts to out[n][embedding_dim]. A text longer than the model's context is ERR_TOO_LARGE naming
 * its index, unless `truncate`; then *n_truncated counts them. n_tokens (may be NULL) counts the
 * tokens read. Batching and padding never change a vector. */
enum err embed_texts(struct model *m, const struct str *texts, size_t n, bool truncate, float *out,
	size_t *n_truncated, size_t *n_tokens, const struct cancel *cancel,
	struct errtext *et) MUST_CHECK;
/* With the model's prefix for what the texts are; EMBED_PLAIN is embed_texts. */
enum embed_as { EMBED_PLAIN, EMBED_QUERY, EMBED_DOCUMENT };
enum err embed_texts_as(struct model *m, enum embed_as as, const struct str *texts, size_t n,
	bool truncate, float *out, size_t *n_truncated, size_t *n_tokens,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* The same from token ids, special tokens included by the caller. */
enum err embed_tokens(struct model *m, const struct tokens *seqs, size_t n, float *out,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

/* ---- scores of pairs: cross-encoders ---- */

/* score[i]: how well docs[i] answers the query: what the head gives, from minus to plus infinity,
 * of which the logistic function makes what is mostly shown. Query and document are read as one,
 * [CLS] query [SEP] document [SEP]. Of a document that does not fit the end is left out, never of
 * the query: cut[i] says so. doc_tokens_max (0: what fits) cuts sooner. A query that leaves a
 * document no room is ERR_TOO_LARGE. Scores do not depend on what else is scored. */
enum err rank_texts(struct model *m, struct str query, const struct str *docs, size_t n,
	uint32_t doc_tokens_max, float *score, bool *cut, size_t *n_tokens,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;

#endif
