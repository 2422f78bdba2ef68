/* POST /api/v1/models/{name}/bench: how fast a local model reads and writes at so many streams at
 * once, measured where it runs.
 *
 * Prompts are random tokens that differ from their first one on, so that nothing of them is known
 * already. Reading: `streams` prompts of one answer token each. Writing: `streams` answers to short
 * prompts, from the first token on; the tokens that end an answer are forbidden. Both as
 * llama-bench defines its pp and tg, so that the numbers compare. */
#include "base/clock.h"
#include "endpoint/endpoint.h"
#include "endpoint/live_int.h"

#include <stdlib.h>

enum { STREAMS_MAX = 256, ENDS_MAX = 64, SHORT_PROMPT = 8, TOKENS_MAX = 4096 };

struct task {
	int64_t streams, prompt_tokens, tokens;
};

struct stream {
	struct generator *g;
	struct gen_request r;
	struct gen_result res;
	enum err e;
	struct errtext et;
};

struct bench {
	struct generator *g;
	const struct adapter *adapter;
	const struct tokenizer *tk;
	const struct cancel *cancel;
	struct logit_bias ends[ENDS_MAX];
	size_t n_ends;
	uint64_t random;
	int32_t *ids; /* [streams][prompt] */
	struct stream *streams;
};

struct rates {
	double read_s, written_s, first_ms;
};

static uint64_t next_random(struct bench *b)
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static int32_t random_token(struct bench *b)
{
	for (;;) {
		int32_t id = (int32_t)(next_random(b) % tokenizer_vocab_size(b->tk));
		if (!tokenizer_is_end(b->tk, id))
			return id;
	}
}

static void find_ends(struct bench *b)
{
	int32_t n = (int32_t)tokenizer_vocab_size(b->tk);
	for (int32_t id = 0; id < n && b->n_ends < ENDS_MAX; id++)
		if (tokenizer_is_end(b->tk, id))
			b->ends[b->n_ends++] = (struct logit_bias){id, -1000};
}

static void *run_stream(void *arg)
{
	struct stream *s = arg;
	s->e = generator_run(s->g, &s->r, &s->res, &s->et);
	if (!s->e && s->res.finish == GEN_CANCELLED)
		s->e = err_set(&s->et, ERR_CANCELLED, "the measurement was stopped");
	return NULL;
}

/* n streams at once, each on a thread; the results stay in b->streams. *wall_ns: of all. */
static enum err run_all(struct bench *b, size_t n, size_t prompt, uint32_t tokens,
	uint64_t *wall_ns, struct errtext *et)
{
	pthread_t threads[STREAMS_MAX];
	size_t started = 0;
	enum err e = OK;
	for (size_t i = 0; i < n * prompt; i++)
		b->ids[i] = random_token(b);
	uint64_t begin = clock_mono_ns();
	for (; started < n && !e; started += !e) {
		struct stream *s = &b->streams[started];
		*s = (struct stream){.g = b->g,
			.r = {.prompt = b->ids + started * prompt,
				.n_prompt = prompt,
				.max_tokens = tokens,
				.sampling = {.top_p = 1,
					.repeat_penalty = 1,
					.bias = b->ends,
					.n_bias = b->n_ends},
				.top_logprobs = -1,
				.adapter = b->adapter,
				.cancel = b->cancel}};
		e = thread_start(&threads[started], run_stream, s, "bench", et);
	}
	for (size_t i = 0; i < started; i++) {
		struct stream *s = &b->streams[i];
		pthread_join(threads[i], NULL);
		buf_free(&s->res.text);
		if (s->e && !e)
			e = err_wrap(et, s->e, "%s", s->et.msg);
	}
	*wall_ns = clock_mono_ns() - begin;
	return e;
}

static enum err measure(
	struct bench *b, const struct task *t, struct rates *out, struct errtext *et)
{
	uint64_t wall, decode = 1, first = 0, written = 0, read = 0;
	size_t n = (size_t)t->streams;
	enum err e = run_all(b, n, (size_t)t->prompt_tokens, 1, &wall, et);
	for (size_t i = 0; i < n && !e; i++) {
		read += b->streams[i].res.prompt_tokens - b->streams[i].res.cached_tokens;
		first = MAX(first, b->streams[i].res.first_token_ns);
	}
	if (e)
		return e;
	out->read_s = (double)read * 1e9 / (double)MAX(first, 1u);
	out->first_ms = (double)first / 1e6;
	e = run_all(b, n, SHORT_PROMPT, (uint32_t)t->tokens, &wall, et);
	for (size_t i = 0; i < n && !e; i++) {
		written += b->streams[i].res.completion_tokens - 1;
		decode = MAX(decode, b->streams[i].res.decode_ns);
	}
	out->written_s = (double)written * 1e9 / (double)decode;
	return e;
}

static enum err between(yyjson_val *o, const char *key, int64_t max, int64_t otherwise,
	int64_t *out, struct errtext *et)
{
	*out = json_i64(o, key, MIN(otherwise, max));
	if (*out < 1 || *out > max)
		return err_set(et, ERR_INVALID, "%s is %lld; it must be from 1 to %lld", key,
			(long long)*out, (long long)max);
	return OK;
}

static enum err read_task(
	struct str body, uint32_t context, uint32_t at_once, struct task *t, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = body.n ? json_parse(body, &doc, et) : OK;
	yyjson_val *o = doc ? yyjson_doc_get_root(doc) : NULL;
	if (!e && context < 2 * SHORT_PROMPT)
		e = err_set(et, ERR_INVALID, "the context of %u tokens is too short", context);
	if (!e)
		e = between(o, "streams", MIN(at_once, (uint32_t)STREAMS_MAX), 1, &t->streams, et);
	if (e && t->streams > at_once)
		e = err_wrap(et, e, "more streams than chat.sequences_max");
	if (!e)
		e = between(o, "prompt_tokens", context - 1, 512, &t->prompt_tokens, et);
	if (!e)
		e = between(o, "tokens", MIN(context - SHORT_PROMPT, (uint32_t)TOKENS_MAX), 128,
			&t->tokens, et);
	if (!e && t->tokens < 2)
		e = err_set(et, ERR_INVALID, "tokens is 1; two at least make a rate");
	yyjson_doc_free(doc);
	return e;
}

static enum err bench(struct bench *b, const struct task *t, struct rates *out, struct errtext *et)
{
	size_t longest = MAX((size_t)t->prompt_tokens, (size_t)SHORT_PROMPT);
	b->ids = calloc((size_t)t->streams * longest, sizeof *b->ids);
	b->streams = calloc((size_t)t->streams, sizeof *b->streams);
	enum err e = b->ids && b->streams ? measure(b, t, out, et)
					  : err_set(et, ERR_NOMEM, "no memory for the prompts");
	free(b->ids);
	free(b->streams);
	return e;
}

static void reply(struct http_response *rs, const struct endpoint *ep, const struct task *t,
	const struct rates *r, uint32_t at_once)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	const struct model_info *info = model_info(endpoint_model(ep));
	jw_obj(&w);
	jw_kstr(&w, "model", endpoint_name(ep));
	jw_kc(&w, "weights", info->weights);
	jw_ki64(&w, "parameters", (int64_t)info->parameters);
	jw_ki64(&w, "streams", t->streams);
	jw_ki64(&w, "streams_max", at_once);
	jw_ki64(&w, "prompt_tokens", t->prompt_tokens);
	jw_ki64(&w, "tokens", t->tokens);
	jw_kf64(&w, "read_tokens_per_s", r->read_s);
	jw_kf64(&w, "written_tokens_per_s", r->written_s);
	jw_kf64(&w, "first_token_ms", r->first_ms);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

void post_bench(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct endpoint *ep = NULL;
	struct generator_stats now = {0};
	struct task t = {0};
	struct rates r = {0};
	struct bench b = {.cancel = rq->cancel, .random = clock_mono_ns()};
	struct str name = http_param(rq, "name");
	enum err e = endpoint_chat(c, str_eq_c(name, "default") ? S("") : name, &ep, &et);
	if (!e)
		e = endpoint_need_model(ep, "bench", &et);
	if (!e) {
		b.g = endpoint_generator(ep);
		b.adapter = endpoint_adapter(ep);
		b.tk = model_tokenizer(endpoint_model(ep));
		generator_stats(b.g, &now);
		e = read_task(rq->body, generator_context(b.g), now.sequences_max, &t, &et);
	}
	if (!e) {
		find_ends(&b);
		e = bench(&b, &t, &r, &et);
	}
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply(rs, ep, &t, &r, now.sequences_max);
	endpoint_put(ep);
}
