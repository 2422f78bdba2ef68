/* Remote providers behind endpoint names: a server that speaks OpenAI's chat completions (vLLM,
 * NIM, llama-server, Ollama, Croft) or Anthropic's messages.
 *
 * A provider is a row of the whole instance: name, URL, the model's name there, the secret with
 * the key, time-out, retries, fallbacks. endpoint_chat() gives an endpoint for it that has no
 * model; chat_run() serves it:
 *
 *  1. What was passed on is never taken back: an attempt is repeated, and a fallback asked, only
 *     while no event of an answer has reached the caller.
 *  2. Repeated are attempts that failed on the way (no connection, time-out, a broken stream), 408,
 *     429 and 5xx; they wait longer each time, with jitter, and at least as long as Retry-After
 *     says. An error that is the request's own (400, 413, 422) comes back at once.
 *  3. A provider that fails several times in a row is left alone for a while (its circuit is open),
 *     then tried with one request at a time.
 *  4. The receipt says who answered, after which attempts, and why.
 */
#ifndef ENDPOINT_REMOTE_H
#define ENDPOINT_REMOTE_H
#include "endpoint/chat.h"

extern const struct module remote_module;

struct remote; /* counted, immutable but for its counters */

/* NULL: no provider has this name. */
struct remote *remote_find(struct croft *c, struct str name);
void remote_put(struct remote *p); /* accepts NULL */
struct str remote_name(const struct remote *p);
struct str remote_kind_word(const struct remote *p); /* "openai", "anthropic" */
int64_t remote_created_ms(const struct remote *p);

/* All of them by name; fn returns false to stop. */
void remote_each(struct croft *c, bool (*fn)(void *ctx, const struct remote *p), void *ctx);

/* What chat_run does for an endpoint of a provider. */
enum err remote_chat(struct croft *c, struct remote *p, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et) MUST_CHECK;

/* A turn as the body of POST /v1/chat/completions, without log probabilities: what `croft replay`
 * sends again. ERR_UNSUPPORTED: it is held to what that API has no words for. */
enum err remote_chat_json(struct str model, const struct chat_request *r, struct buf *out,
	struct errtext *et) MUST_CHECK;

struct remote_vectors {
	float *v; /* n rows of dim */
	size_t n, dim;
	uint64_t tokens;
	struct buf receipt;
};

/* dimensions 0: as the model has them. No fallback is asked: another model's vectors cannot be
 * compared with this one's. */
enum err remote_embed(struct croft *c, struct remote *p, struct run *run, const struct str *texts,
	size_t n, int64_t dimensions, const struct cancel *cancel, struct remote_vectors *out,
	struct errtext *et) MUST_CHECK;
void remote_vectors_free(struct remote_vectors *v);

#endif
