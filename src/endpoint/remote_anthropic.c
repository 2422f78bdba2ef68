/* A turn as the body of POST /messages: the system's words apart, calls and their results as
 * blocks, results of one turn together in one user message. */
#include "endpoint/remote_int.h"

enum { MAX_TOKENS_DEFAULT = 4096 }; /* the protocol wants a number */

static void write_text_block(struct jw *w, struct str text)
{
	jw_obj(w);
	jw_kc(w, "type", "text");
	jw_kstr(w, "text", text);
	jw_end(w);
}

static enum err write_use_block(struct jw *w, yyjson_val *call, size_t index, struct errtext *et)
{
	yyjson_val *fn = yyjson_obj_get(call, "function");
	yyjson_val *args = yyjson_obj_get(fn, "arguments");
	yyjson_doc *doc = NULL;
	if (yyjson_is_str(args) && str_trim(json_val_str(args)).n) {
		enum err e = json_parse(json_val_str(args), &doc, et);
		if (e)
			return err_wrap(et, e, "messages[%zu].tool_calls: the arguments", index);
		args = yyjson_doc_get_root(doc);
	}
	jw_obj(w);
	jw_kc(w, "type", "tool_use");
	jw_kstr(w, "id", json_str(call, "id"));
	jw_kstr(w, "name", json_str(fn, "name"));
	jw_key(w, "input");
	if (yyjson_is_obj(args))
		jw_val(w, args);
	else
		jw_raw(w, S("{}"));
	jw_end(w);
	yyjson_doc_free(doc);
	return OK;
}

static enum err write_assistant(
	struct jw *w, const struct chat_message *m, size_t index, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	enum err e = m->tool_calls_json.n ? json_parse(m->tool_calls_json, &doc, et) : OK;
	if (e)
		return err_wrap(et, e, "messages[%zu].tool_calls", index);
	if (m->content.n)
		write_text_block(w, m->content);
	size_t i, n;
	yyjson_val *call;
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, call) if (!e) e =
		write_use_block(w, call, index, et);
	yyjson_doc_free(doc);
	return e;
}

static void write_result_block(struct jw *w, const struct chat_message *m)
{
	jw_obj(w);
	jw_kc(w, "type", "tool_result");
	jw_kstr(w, "tool_use_id", m->tool_call_id);
	jw_kstr(w, "content", m->content);
	jw_end(w);
}

static const char *role_of(const struct chat_message *m)
{
	return str_eq_c(m->role, "assistant") ? "assistant" : "user";
}

static bool is_system(const struct chat_message *m)
{
	return str_eq_c(m->role, "system") || str_eq_c(m->role, "developer");
}

/* Neighbours of one role become one message: the protocol wants them to alternate. */
static enum err write_messages(struct jw *w, const struct chat_request *r, struct errtext *et)
{
	const char *open = NULL;
	enum err e = OK;
	jw_key(w, "messages");
	jw_arr(w);
	for (size_t i = 0; i < r->n_messages && !e; i++) {
		const struct chat_message *m = &r->messages[i];
		if (is_system(m))
			continue;
		if (!open || strcmp(open, role_of(m))) {
			if (open) {
				jw_end(w);
				jw_end(w);
			}
			open = role_of(m);
			jw_obj(w);
			jw_kc(w, "role", open);
			jw_key(w, "content");
			jw_arr(w);
		}
		if (str_eq_c(m->role, "tool"))
			write_result_block(w, m);
		else if (str_eq_c(m->role, "assistant"))
			e = write_assistant(w, m, i, et);
		else
			write_text_block(w, m->content);
	}
	if (e)
		return e;
	if (!open)
		return err_set(et, ERR_INVALID, "messages: there is none beside the system's");
	jw_end(w);
	jw_end(w);
	jw_end(w);
	return OK;
}

static void write_system(struct jw *w, const struct chat_request *r)
{
	struct buf text = {0};
	for (size_t i = 0; i < r->n_messages; i++)
		if (is_system(&r->messages[i])) {
			if (text.n)
				buf_addc(&text, "\n\n");
			buf_adds(&text, r->messages[i].content);
		}
	if (text.n)
		jw_kstr(w, "system", buf_str(&text));
	buf_free(&text);
}

static void write_tools(struct jw *w, const struct chat_request *r)
{
	static const char *const words[] = {"auto", "none", "any", "tool"};
	jw_key(w, "tools");
	jw_arr(w);
	for (size_t i = 0; i < r->n_tools; i++) {
		const struct chat_tool *t = &r->tools[i];
		jw_obj(w);
		jw_kstr(w, "name", t->name);
		if (t->description.n)
			jw_kstr(w, "description", t->description);
		jw_key(w, "input_schema");
		jw_raw(w, t->parameters.n ? t->parameters : S("{\"type\":\"object\"}"));
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "tool_choice");
	jw_obj(w);
	jw_kc(w, "type", words[r->tool_choice]);
	if (r->tool_choice == TOOLS_NAMED)
		jw_kstr(w, "name", r->tool_name);
	if (r->one_call && r->tool_choice != TOOLS_NONE)
		jw_kbool(w, "disable_parallel_tool_use", true);
	jw_end(w);
}

/* What the protocol has no word for is refused, not left out. */
static enum err check(const struct chat_request *r, struct errtext *et)
{
	const struct sampling *s = &r->sampling;
	bool strict = false;
	for (size_t i = 0; i < r->n_tools; i++)
		strict |= r->tools[i].strict;
	const char *what = r->top_logprobs >= 0           ? "logprobs"
			   : r->format                    ? "response_format"
			   : s->n_bias                    ? "logit_bias"
			   : s->presence_penalty != 0     ? "presence_penalty"
			   : s->frequency_penalty != 0    ? "frequency_penalty"
			   : s->repeat_penalty != 1       ? "repeat_penalty"
			   : s->min_p != 0                ? "min_p"
			   : s->temperature > 1           ? "a temperature above 1"
			   : strict                       ? "strict tools"
			   : r->template_json.n           ? "chat_template_kwargs"
			   : r->reasoning == REASONING_ON ? "reasoning"
							  : NULL;
	return what ? err_set(et, ERR_UNSUPPORTED,
			      "%s cannot be asked of a provider of the kind anthropic", what)
		    : OK;
}

enum err remote_anthropic_body(const struct remote_row *p, const struct chat_request *r,
	bool stream, struct buf *out, struct errtext *et)
{
	enum err e = check(r, et);
	if (e)
		return e;
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kstr(&w, "model", p->model);
	jw_ki64(&w, "max_tokens", r->max_tokens ? r->max_tokens : MAX_TOKENS_DEFAULT);
	write_system(&w, r);
	e = write_messages(&w, r, et);
	if (e)
		return e;
	if (r->n_tools)
		write_tools(&w, r);
	jw_key(&w, "temperature");
	jw_f32(&w, r->sampling.temperature);
	if (r->sampling.top_p != 1) {
		jw_key(&w, "top_p");
		jw_f32(&w, r->sampling.top_p);
	}
	if (r->sampling.top_k)
		jw_ki64(&w, "top_k", r->sampling.top_k);
	if (r->n_stop) {
		jw_key(&w, "stop_sequences");
		jw_arr(&w);
		for (size_t i = 0; i < r->n_stop; i++)
			jw_str(&w, r->stop[i]);
		jw_end(&w);
	}
	if (stream)
		jw_kbool(&w, "stream", true);
	jw_end(&w);
	return jw_done(&w) ? OK : err_set(et, ERR_NOMEM, "no memory for the request");
}
