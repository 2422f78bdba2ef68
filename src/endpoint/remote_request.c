/* A turn as the body of POST /chat/completions. What is at its neutral value is not sent, but for
 * the temperature: providers' own defaults differ, and a request means the same everywhere. */
#include "endpoint/remote_int.h"

/* arguments is a string on the wire, whatever a caller made of it */
static void write_call(struct jw *w, yyjson_val *call)
{
	yyjson_val *fn = yyjson_obj_get(call, "function");
	yyjson_val *args = yyjson_obj_get(fn, "arguments");
	jw_obj(w);
	jw_kstr(w, "id", json_str(call, "id"));
	jw_kc(w, "type", "function");
	jw_key(w, "function");
	jw_obj(w);
	jw_kstr(w, "name", json_str(fn, "name"));
	if (yyjson_is_str(args)) {
		jw_kstr(w, "arguments", json_val_str(args));
	} else {
		struct buf text = {0};
		struct jw inner = {.out = &text};
		jw_val(&inner, args);
		jw_kstr(w, "arguments", args && jw_done(&inner) ? buf_str(&text) : S("{}"));
		buf_free(&text);
	}
	jw_end(w);
	jw_end(w);
}

static enum err write_message(
	struct jw *w, const struct chat_message *m, size_t index, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	if (m->tool_calls_json.n) {
		enum err e = json_parse(m->tool_calls_json, &doc, et);
		if (e)
			return err_wrap(et, e, "messages[%zu].tool_calls", index);
	}
	jw_obj(w);
	jw_kstr(w, "role", m->role);
	if (doc && !m->content.n)
		jw_kc(w, "content", NULL);
	else
		jw_kstr(w, "content", m->content);
	if (m->name.n)
		jw_kstr(w, "name", m->name);
	if (m->tool_call_id.n)
		jw_kstr(w, "tool_call_id", m->tool_call_id);
	if (doc) {
		size_t i, n;
		yyjson_val *call;
		jw_key(w, "tool_calls");
		jw_arr(w);
		yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, call) write_call(w, call);
		jw_end(w);
		yyjson_doc_free(doc);
	}
	jw_end(w);
	return OK;
}

static void write_tools(struct jw *w, const struct chat_request *r)
{
	static const char *const words[] = {"auto", "none", "required", "required"};
	jw_key(w, "tools");
	jw_arr(w);
	for (size_t i = 0; i < r->n_tools; i++) {
		const struct chat_tool *t = &r->tools[i];
		jw_obj(w);
		jw_kc(w, "type", "function");
		jw_key(w, "function");
		jw_obj(w);
		jw_kstr(w, "name", t->name);
		if (t->description.n)
			jw_kstr(w, "description", t->description);
		jw_key(w, "parameters");
		jw_raw(w, t->parameters.n ? t->parameters : S("{\"type\":\"object\"}"));
		if (t->strict)
			jw_kbool(w, "strict", true);
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
	if (r->tool_choice == TOOLS_NAMED) {
		jw_key(w, "tool_choice");
		jw_obj(w);
		jw_kc(w, "type", "function");
		jw_key(w, "function");
		jw_obj(w);
		jw_kstr(w, "name", r->tool_name);
		jw_end(w);
		jw_end(w);
	} else {
		jw_kc(w, "tool_choice", words[r->tool_choice]);
	}
	if (r->one_call)
		jw_kbool(w, "parallel_tool_calls", false);
}

static void k_f32(struct jw *w, const char *key, float v, float neutral)
{
	if (v != neutral) {
		jw_key(w, key);
		jw_f32(w, v);
	}
}

/* Ids of tokens are the provider's own here: so are those that the client sends. */
static void write_bias(struct jw *w, const struct sampling *s)
{
	if (!s->n_bias)
		return;
	jw_key(w, "logit_bias");
	jw_obj(w);
	for (size_t i = 0; i < s->n_bias; i++) {
		struct buf key = {0};
		buf_addf(&key, "%d", (int)s->bias[i].id);
		jw_key_str(w, buf_str(&key));
		jw_f32(w, s->bias[i].bias);
		buf_free(&key);
	}
	jw_end(w);
}

static void write_sampling(struct jw *w, const struct sampling *s)
{
	jw_key(w, "temperature");
	jw_f32(w, s->temperature);
	k_f32(w, "top_p", s->top_p, 1);
	if (s->top_k)
		jw_ki64(w, "top_k", s->top_k);
	k_f32(w, "min_p", s->min_p, 0);
	/* llama-server's and Croft's name, and vLLM's */
	k_f32(w, "repeat_penalty", s->repeat_penalty, 1);
	k_f32(w, "repetition_penalty", s->repeat_penalty, 1);
	k_f32(w, "presence_penalty", s->presence_penalty, 0);
	k_f32(w, "frequency_penalty", s->frequency_penalty, 0);
	if (s->seed <= INT64_MAX)
		jw_ki64(w, "seed", (int64_t)s->seed);
	else
		jw_ki64(w, "seed", (int64_t)(s->seed & INT64_MAX));
	write_bias(w, s);
}

static enum err write_format(struct jw *w, const struct chat_request *r, struct errtext *et)
{
	if (r->format == CONSTRAINT_NONE)
		return OK;
	if (r->format != CONSTRAINT_OBJECT && r->format != CONSTRAINT_SCHEMA)
		return err_set(et, ERR_UNSUPPORTED,
			"a remote provider can hold an answer to a JSON Schema or to a JSON "
			"object, not to a grammar, a regular expression or a choice: servers "
			"ignore these without a word");
	jw_key(w, "response_format");
	jw_obj(w);
	if (r->format == CONSTRAINT_OBJECT) {
		jw_kc(w, "type", "json_object");
	} else {
		jw_kc(w, "type", "json_schema");
		jw_key(w, "json_schema");
		jw_obj(w);
		jw_kstr(w, "name", r->format_name.n ? r->format_name : S("answer"));
		jw_kbool(w, "strict", true);
		jw_key(w, "schema");
		jw_raw(w, r->format_source);
		jw_end(w);
	}
	jw_end(w);
	return OK;
}

/* More variables of the chat template, and whether to think, as vLLM and llama-server take them. */
static enum err write_template(struct jw *w, const struct chat_request *r, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	if (!r->template_json.n && r->reasoning == REASONING_DEFAULT)
		return OK;
	enum err e = r->template_json.n ? json_parse(r->template_json, &doc, et) : OK;
	if (e)
		return err_wrap(et, e, "the variables of the chat template");
	size_t i, n;
	yyjson_val *k, *v;
	jw_key(w, "chat_template_kwargs");
	jw_obj(w);
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	if (r->reasoning != REASONING_DEFAULT)
		jw_kbool(w, "enable_thinking", r->reasoning == REASONING_ON);
	jw_end(w);
	yyjson_doc_free(doc);
	return OK;
}

/* The newer models of OpenAI's own service refuse the old name; other servers know the old one. */
static const char *max_tokens_name(const struct remote_row *p)
{
	return str_find_nocase(p->url, S("//api.openai.com")) != STR_NONE ||
			       str_find_nocase(p->url, S(".azure.com")) != STR_NONE
		       ? "max_completion_tokens"
		       : "max_tokens";
}

static enum err write_body(struct jw *w, const struct remote_row *p, const struct chat_request *r,
	bool stream, struct errtext *et)
{
	enum err e = OK;
	jw_kstr(w, "model", p->model);
	jw_key(w, "messages");
	jw_arr(w);
	for (size_t i = 0; i < r->n_messages && !e; i++)
		e = write_message(w, &r->messages[i], i, et);
	if (e)
		return e;
	jw_end(w);
	if (r->n_tools)
		write_tools(w, r);
	write_sampling(w, &r->sampling);
	if (r->max_tokens)
		jw_ki64(w, max_tokens_name(p), r->max_tokens);
	if (r->n_stop) {
		jw_key(w, "stop");
		jw_arr(w);
		for (size_t i = 0; i < r->n_stop; i++)
			jw_str(w, r->stop[i]);
		jw_end(w);
	}
	e = write_format(w, r, et);
	if (!e)
		e = write_template(w, r, et);
	if (stream) {
		jw_kbool(w, "stream", true);
		jw_key(w, "stream_options");
		jw_obj(w);
		jw_kbool(w, "include_usage", true);
		jw_end(w);
	}
	return e;
}

static enum err write_whole(const struct remote_row *p, const struct chat_request *r, bool stream,
	struct buf *out, struct errtext *et)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	enum err e = write_body(&w, p, r, stream, et);
	if (e)
		return e;
	jw_end(&w);
	return jw_done(&w) ? OK : err_set(et, ERR_NOMEM, "no memory for the request");
}

enum err remote_openai_body(const struct remote_row *p, const struct chat_request *r, bool stream,
	struct buf *out, struct errtext *et)
{
	if (r->top_logprobs >= 0)
		return err_set(et, ERR_UNSUPPORTED,
			"logprobs: a remote provider's tokens are not known here");
	return write_whole(p, r, stream, out, et);
}

enum err remote_chat_json(
	struct str model, const struct chat_request *r, struct buf *out, struct errtext *et)
{
	const struct remote_row p = {.model = model, .url = S("")};
	return write_whole(&p, r, false, out, et);
}
