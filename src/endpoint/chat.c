/* One turn of a conversation with a local model. */
#include "endpoint/chat_int.h"

#include "base/hash.h"

#include <stdlib.h>

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
	jw_ki64(w, "seed", (int64_t)s->seed); /* as a request can give it */
}

static void write_receipt(struct chat_turn *t)
{
	char hex[SHA256_HEX + 1];
	struct jw w = {.out = &t->res.receipt};
	struct str template = tokenizer_chat_template(model_tokenizer(endpoint_model(t->ep)));
	sha256_hex_of(template, hex);
	jw_obj(&w);
	jw_kstr(&w, "model", endpoint_name(t->ep));
	jw_kstr(&w, "model_sha256", endpoint_sha256(t->ep));
	if (endpoint_base(t->ep).n) { /* it is an adapter */
		jw_kstr(&w, "base", endpoint_base(t->ep));
		jw_kstr(&w, "base_sha256", endpoint_base_sha256(t->ep));
	}
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

static void note_calls(struct span *s, const struct chat_result *r)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (!r->n_calls)
		return;
	jw_arr(&w);
	for (size_t i = 0; i < r->n_calls; i++) {
		jw_obj(&w);
		jw_kstr(&w, "id", buf_str(&r->calls[i].id));
		jw_kstr(&w, "name", buf_str(&r->calls[i].name));
		jw_kstr(&w, "arguments", buf_str(&r->calls[i].arguments));
		jw_end(&w);
	}
	jw_end(&w);
	if (jw_done(&w))
		span_json(s, "tool_calls", buf_str(&b));
	buf_free(&b);
}

static void note_answer(struct span *s, const struct chat_result *r)
{
	span_text(s, "output", buf_str(&r->text));
	if (r->reasoning.n)
		span_text(s, "reasoning", buf_str(&r->reasoning));
	note_calls(s, r);
	span_i64(s, "prompt_tokens", r->prompt_tokens);
	span_i64(s, "completion_tokens", r->completion_tokens);
	span_i64(s, "cached_tokens", r->cached_tokens);
	if (r->drafted_tokens) {
		span_i64(s, "drafted_tokens", r->drafted_tokens);
		span_i64(s, "accepted_tokens", r->accepted_tokens);
	}
	if (r->reasoning_tokens)
		span_i64(s, "reasoning_tokens", r->reasoning_tokens);
	span_text(s, "finish_reason", str_c(finish_word(r->finish)));
	span_f64(s, "queued_ms", (double)r->queued_ns / 1e6);
	span_f64(s, "prompt_ms", (double)r->prompt_ns / 1e6);
	span_f64(s, "decode_ms", (double)r->decode_ns / 1e6);
	span_f64(s, "first_token_ms", (double)r->first_token_ns / 1e6);
	span_json(s, "receipt", buf_str(&r->receipt));
}

static enum err run_local(struct chat_turn *t, struct run *run, struct errtext *et)
{
	struct buf text = {0};
	t->manner = chat_manner_of(t->ep);
	enum err e = chat_prompt_make(t->ep, run, t->r, &t->ids, &text, et);
	if (!e) {
		struct span *s = span_begin(run, NULL, "generate", "llm");
		span_text(s, "model", endpoint_name(t->ep));
		span_i64(s, "choice", t->r->choice);
		t->prompt = buf_str(&text);
		e = chat_answer(t, et);
		if (!e)
			write_receipt(t);
		if (!e && (t->res.text.err || t->res.reasoning.err || t->res.receipt.err))
			e = err_set(et, ERR_NOMEM, "no memory for the answer");
		if (!e) {
			note_answer(s, &t->res);
			if (t->misread)
				span_text(s, "note",
					S("what began like a call of a tool was none, and is "
					  "text"));
			if (!t->r->choice)
				run_json(run, "receipt", buf_str(&t->res.receipt));
		}
		span_end(s, e, et);
	}
	buf_free(&text);
	tokens_free(&t->ids);
	return e;
}

/* ---- the whole ---- */

static enum err check(const struct chat_request *r, struct errtext *et)
{
	if (!r->n_messages)
		return err_set(et, ERR_INVALID, "there are no messages to answer");
	return chat_tools_check(r, et);
}

enum err chat_run(struct croft *c, struct endpoint *ep, struct run *run,
	const struct chat_request *r, struct chat_result *out, struct errtext *et)
{
	struct chat_turn t = {.c = c, .ep = ep, .r = r};
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
	if (!endpoint_model(ep))
		return err_set(et, ERR_UNSUPPORTED,
			"the endpoint %.*s is a remote provider, whose tokens are not known here",
			STR_FMT(endpoint_name(ep)));
	enum err e = check(r, et);
	return e ? e : chat_prompt_make(ep, NULL, r, out, NULL, et);
}
