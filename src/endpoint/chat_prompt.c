/* The prompt of a turn: messages through the model's own chat template, then tokens. */
#include "endpoint/chat_int.h"

static void write_messages(const struct chat_request *r, struct buf *out)
{
	struct jw w = {.out = out};
	jw_arr(&w);
	for (size_t i = 0; i < r->n_messages; i++) {
		const struct chat_message *m = &r->messages[i];
		jw_obj(&w);
		jw_kstr(&w, "role", m->role);
		jw_kstr(&w, "content", m->content);
		if (m->tool_calls_json.n)
			jw_key(&w, "tool_calls"), jw_raw(&w, m->tool_calls_json);
		if (m->tool_call_id.n)
			jw_kstr(&w, "tool_call_id", m->tool_call_id);
		jw_end(&w);
	}
	jw_end(&w);
}

enum err chat_prompt_make(struct endpoint *ep, struct run *run, const struct chat_request *r,
	struct tokens *out, struct errtext *et)
{
	struct buf text = {0}, input = {0};
	bool used_default = false;
	const struct model *m = endpoint_model(ep);
	struct span *s = span_begin(run, NULL, "prompt", "template");
	write_messages(r, &input);
	if (!input.err)
		span_json(s, "input", buf_str(&input));
	enum err e = model_chat_prompt(
		m, r->messages, r->n_messages, (struct str){0}, true, &text, &used_default, et);
	if (!e)
		e = tokenizer_encode(model_tokenizer(m), buf_str(&text), TOKENIZE_SPECIAL, out, et);
	span_text(s, "output", buf_str(&text));
	span_i64(s, "tokens", (int64_t)out->n);
	if (used_default)
		span_text(s, "note", S("the model has no chat template: ChatML was used"));
	span_end(s, e, et);
	buf_free(&text);
	buf_free(&input);
	return e;
}
