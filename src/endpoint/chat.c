/* One turn of a conversation with a local model. */
#include "endpoint/chat_int.h"

#include "base/hash.h"

#include <stdlib.h>

struct turn {
	struct croft *c;
	struct endpoint *ep;
	const struct chat_request *r;
	struct chat_result res;
	bool refused; /* on_event wants no more */
};

static bool send_event(struct turn *t, const struct chat_event *ev)
{
	if (!t->refused && t->r->on_event && !t->r->on_event(t->r->ctx, ev))
		t->refused = true;
	return !t->refused;
}

static bool on_token(void *ctx, const struct gen_event *g)
{
	struct turn *t = ctx;
	struct chat_event ev = {
		.kind = CHAT_TEXT, .text = g->text, .token = t->r->top_logprobs >= 0 ? g : NULL};
	buf_adds(&t->res.text, g->text);
	return !g->text.n && !ev.token ? true : send_event(t, &ev);
}

/* ---- the receipt ---- */

static void write_sampling(struct jw *w, const struct chat_request *r)
{
	const struct sampling *s = &r->sampling;
	jw_key(w, "sampling");
	jw_obj(w);
	jw_key(w, "temperature"), jw_f32(w, s->temperature);
	jw_ki64(w, "top_k", s->top_k);
	jw_key(w, "top_p"), jw_f32(w, s->top_p);
	jw_key(w, "min_p"), jw_f32(w, s->min_p);
	jw_key(w, "repeat_penalty"), jw_f32(w, s->repeat_penalty);
	jw_ki64(w, "repeat_last", s->repeat_last);
	jw_key(w, "presence_penalty"), jw_f32(w, s->presence_penalty);
	jw_key(w, "frequency_penalty"), jw_f32(w, s->frequency_penalty);
	jw_ki64(w, "max_tokens", r->max_tokens);
	jw_end(w);
	jw_key(w, "seed"), jw_u64(w, s->seed);
}

static void write_receipt(struct turn *t)
{
	char hex[SHA256_HEX + 1];
	struct jw w = {.out = &t->res.receipt};
	struct str template = tokenizer_chat_template(model_tokenizer(endpoint_model(t->ep)));
	sha256_hex_of(template, hex);
	jw_obj(&w);
	jw_kstr(&w, "model", endpoint_name(t->ep));
	jw_kstr(&w, "model_sha256", endpoint_sha256(t->ep));
	jw_kc(&w, "template_sha256", template.n ? hex : NULL); /* null: ChatML */
	write_sampling(&w, t->r);
	jw_ki64(&w, "context_tokens", generator_context(endpoint_generator(t->ep)));
	jw_ki64(&w, "cached_tokens", t->res.cached_tokens);
	jw_kc(&w, "engine", CROFT_VERSION);
	jw_end(&w);
}

/* ---- the answer ---- */

static const char *finish_word(enum chat_finish f)
{
	static const char *const words[] = {
		"stop", "stop", "length", "tool_calls", "content_filter"};
	return words[f];
}

static void note_answer(struct span *s, const struct chat_result *r)
{
	span_text(s, "output", buf_str(&r->text));
	span_i64(s, "prompt_tokens", r->prompt_tokens);
	span_i64(s, "completion_tokens", r->completion_tokens);
	span_i64(s, "cached_tokens", r->cached_tokens);
	span_text(s, "finish_reason", str_c(finish_word(r->finish)));
	span_f64(s, "queued_ms", (double)r->queued_ns / 1e6);
	span_f64(s, "prompt_ms", (double)r->prompt_ns / 1e6);
	span_f64(s, "decode_ms", (double)r->decode_ns / 1e6);
	span_f64(s, "first_token_ms", (double)r->first_token_ns / 1e6);
	span_json(s, "receipt", buf_str(&r->receipt));
}

static void account(struct chat_result *to, const struct gen_result *g)
{
	to->prompt_tokens = g->prompt_tokens;
	to->cached_tokens = g->cached_tokens;
	to->completion_tokens = g->completion_tokens;
	to->queued_ns = g->queued_ns;
	to->prompt_ns = g->prompt_ns;
	to->decode_ns = g->decode_ns;
	to->first_token_ns = g->first_token_ns;
}

static enum err generate(struct turn *t, const struct tokens *prompt,
	const struct language *language, struct errtext *et)
{
	const struct chat_request *r = t->r;
	struct gen_request q = {.prompt = prompt->id,
		.n_prompt = prompt->n,
		.max_tokens = r->max_tokens,
		.sampling = r->sampling,
		.stop = r->stop,
		.n_stop = r->n_stop,
		.top_logprobs = r->top_logprobs,
		.language = language,
		.cancel = r->cancel,
		.on_token = on_token,
		.ctx = t};
	struct gen_result g = {0};
	enum err e = generator_run(endpoint_generator(t->ep), &q, &g, et);
	if (!e && g.finish == GEN_CANCELLED)
		e = err_set(et, ERR_CANCELLED, "the client went away");
	if (!e) {
		account(&t->res, &g);
		t->res.finish = g.finish == GEN_LENGTH        ? CHAT_LENGTH
				: g.finish == GEN_STOP_STRING ? CHAT_STOP_STRING
							      : CHAT_STOP;
		if (g.finish == GEN_STOP_STRING)
			buf_adds(&t->res.stop_string, r->stop[g.stop_index]);
	}
	buf_free(&g.text);
	return e;
}

static enum err hold(struct turn *t, struct constraint **out, struct errtext *et)
{
	const struct chat_request *r = t->r;
	if (!r->format)
		return OK;
	return endpoint_constraint_get(t->c, r->format, r->format_source, out, et);
}

static enum err run_local(struct turn *t, struct run *run, struct errtext *et)
{
	struct tokens prompt = {0};
	struct constraint *held = NULL;
	enum err e = hold(t, &held, et);
	if (!e)
		e = chat_prompt_make(t->ep, run, t->r, &prompt, et);
	if (!e) {
		struct span *s = span_begin(run, NULL, "generate", "llm");
		span_text(s, "model", endpoint_name(t->ep));
		e = generate(t, &prompt, constraint_language(held), et);
		if (!e)
			write_receipt(t);
		if (!e && (t->res.text.err || t->res.receipt.err || t->res.stop_string.err))
			e = err_set(et, ERR_NOMEM, "no memory for the answer");
		if (!e) {
			note_answer(s, &t->res);
			run_json(run, "receipt", buf_str(&t->res.receipt));
		}
		span_end(s, e, et);
	}
	endpoint_constraint_put(t->c, held);
	tokens_free(&prompt);
	return e;
}

/* ---- the whole ---- */

static enum err check(const struct chat_request *r, struct errtext *et)
{
	if (!r->n_messages)
		return err_set(et, ERR_INVALID, "there are no messages to answer");
	if (r->n_tools)
		return err_set(et, ERR_UNSUPPORTED, "tools: local models are given none yet");
	return OK;
}

enum err chat_run(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et)
{
	struct turn t = {.c = c, .ep = ep, .r = r};
	if (!endpoint_model(ep))
		return endpoint_remote_chat(c, ep, run, r, out, et);
	enum err e = check(r, et);
	if (!e)
		e = run_local(&t, run, et);
	if (e)
		chat_result_free(&t.res);
	else
		*out = t.res;
	return e;
}

void chat_result_free(struct chat_result *r)
{
	if (!r)
		return;
	buf_free(&r->text);
	buf_free(&r->reasoning);
	buf_free(&r->stop_string);
	buf_free(&r->receipt);
	for (size_t i = 0; i < r->n_calls; i++) {
		buf_free(&r->calls[i].id);
		buf_free(&r->calls[i].name);
		buf_free(&r->calls[i].arguments);
	}
	free(r->calls);
	*r = (struct chat_result){0};
}

enum err chat_prompt_tokens(struct croft *c, struct endpoint *ep, const struct chat_request *r,
	struct tokens *out, struct errtext *et)
{
	enum err e = check(r, et);
	return e ? e : chat_prompt_make(ep, NULL, r, out, et);
}
