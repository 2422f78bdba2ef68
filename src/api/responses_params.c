/* Bodies of POST /v1/responses to structs. What could change an answer is read or refused by name;
 * null is the same as absent. */
#include "api/responses.h"

#include <stdio.h>

static enum err bad(struct api_error *x, const char *key, const char *want)
{
	return api_fail(x, ERR_INVALID, "invalid_type", key, "%s must be %s", key, want);
}

/* ---- ids ---- */

static bool parse_id(struct str text, struct str prefix, struct id *out)
{
	return text.n == prefix.n + ID_HEX && str_starts(text, prefix) &&
	       id_parse(str_sub(text, prefix.n, text.n), out);
}

bool response_id_parse(struct str text, struct id *out)
{
	return parse_id(text, S("resp_"), out);
}

bool conversation_id_parse(struct str text, struct id *out)
{
	return parse_id(text, S("conv_"), out);
}

void response_id(struct id id, char out[RESPONSE_ID + 1])
{
	memcpy(out, "resp_", 5);
	id_hex(id, out + 5);
}

void conversation_id(struct id id, char out[RESPONSE_ID + 1])
{
	memcpy(out, "conv_", 5);
	id_hex(id, out + 5);
}

/* ---- parts of a body ---- */

static enum err parse_previous(yyjson_val *o, struct response_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "previous_response_id"), *c = api_get(o, "conversation");
	struct str id = yyjson_is_str(c) ? json_val_str(c) : json_str(c, "id");
	if (v && c)
		return api_fail(x, ERR_INVALID, "mutually_exclusive_parameters",
			"previous_response_id",
			"previous_response_id and conversation both say what came before; one can "
			"be given");
	if (v && !response_id_parse(json_val_str(v), &p->previous))
		return api_fail(x, ERR_INVALID, "previous_response_not_found",
			"previous_response_id", "Previous response with id '%.*s' not found.",
			STR_FMT(str_sub(json_val_str(v), 0, 64)));
	if (c && !conversation_id_parse(id, &p->conversation))
		return api_fail(x, ERR_NOT_FOUND, NULL, "conversation",
			"Conversation with id '%.*s' not found.", STR_FMT(str_sub(id, 0, 64)));
	return OK;
}

/* Words of things that no answer here can have are taken: there is nothing to include. */
static enum err parse_include(yyjson_val *o, bool *logprobs, bool *results, struct api_error *x)
{
	static const char *const words[] = {"file_search_call.results", "web_search_call.results",
		"web_search_call.action.sources", "message.input_image.image_url",
		"computer_call_output.output.image_url", "code_interpreter_call.outputs",
		"reasoning.encrypted_content", "message.output_text.logprobs"};
	yyjson_val *all = api_get(o, "include"), *v;
	size_t i, n, k;
	if (all && !yyjson_is_arr(all))
		return bad(x, "include", "a list");
	yyjson_arr_foreach(all, i, n, v)
	{
		for (k = 0; k < ARRAY_LEN(words); k++)
			if (str_eq_c(json_val_str(v), words[k]))
				break;
		if (k == ARRAY_LEN(words))
			return api_fail(x, ERR_INVALID, "invalid_value", "include",
				"include[%zu] is nothing that can be included", i);
		*logprobs |= k == ARRAY_LEN(words) - 1;
		*results |= !k;
	}
	return OK;
}

static enum err parse_text(
	yyjson_val *o, struct arena *a, struct response_params *p, struct api_error *x)
{
	yyjson_val *text = api_get(o, "text"), *format = api_get(text, "format");
	yyjson_val *words = api_get(text, "verbosity");
	if (api_get(o, "response_format"))
		return api_fail(x, ERR_INVALID, "unsupported_parameter", "response_format",
			"response_format is text.format in the Responses API");
	if (text && !yyjson_is_obj(text))
		return bad(x, "text", "an object");
	if (words && !str_eq_c(json_val_str(words), "medium"))
		return api_fail(x, ERR_INVALID, "unsupported_value", "text.verbosity",
			"text.verbosity: only \"medium\" is supported: ask for short or long "
			"answers in the instructions");
	return format ? api_parse_text_format(format, a, &p->chat.gen.format, x) : OK;
}

static enum err parse_reasoning(
	yyjson_val *o, struct arena *a, struct response_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "reasoning");
	const char *key = api_get(v, "summary") ? "summary" : "generate_summary";
	yyjson_val *summary = api_get(v, key);
	enum err e = api_parse_reasoning(o, a, &p->chat, x); /* the names of chat completions */
	if (e || !v)
		return e;
	if (!yyjson_is_obj(v))
		return bad(x, "reasoning", "an object");
	if (summary && !str_eq_c(json_val_str(summary), "auto"))
		return api_fail(x, ERR_INVALID, "unsupported_value", "reasoning.summary",
			"reasoning.%s: only \"auto\" is supported: thoughts come whole, as the "
			"content of a reasoning item",
			key);
	return api_get(v, "effort")
		       ? api_parse_effort(api_get(v, "effort"), "reasoning.effort", &p->chat, x)
		       : OK;
}

static enum err parse_flags(yyjson_val *o, struct response_params *p, struct api_error *x)
{
	yyjson_val *truncation = api_get(o, "truncation");
	p->store = true;
	p->truncate = str_eq_c(json_val_str(truncation), "auto");
	enum err e = api_want_bool(o, "store", &p->store, x);
	e = e ? e : api_want_bool(o, "background", &p->background, x);
	e = e ? e : api_want_bool(o, "stream", &p->chat.gen.stream, x);
	if (e)
		return e;
	if (truncation && !p->truncate && !str_eq_c(json_val_str(truncation), "disabled"))
		return api_fail(x, ERR_INVALID, "invalid_value", "truncation",
			"truncation must be \"auto\" or \"disabled\"");
	if (p->background && !p->store)
		return api_fail(x, ERR_INVALID, "invalid_value", "background",
			"background is only possible when store is true: else nobody could fetch "
			"the answer");
	return OK;
}

static enum err parse_numbers(
	yyjson_val *o, struct arena *a, struct response_params *p, struct api_error *x)
{
	int64_t max = 0, top = 0, calls = 0;
	bool logprobs = false;
	enum err e = api_want_i64(o, "max_output_tokens", 1, INT32_MAX, &max, x);
	e = e ? e : api_want_i64(o, "top_logprobs", 0, 20, &top, x);
	e = e ? e : api_want_i64(o, "max_tool_calls", 1, INT32_MAX, &calls, x);
	e = e ? e : api_parse_sampling(o, a, &p->chat.gen, x);
	e = e ? e : api_parse_stop(o, a, &p->chat.gen, x);
	e = e ? e : api_parse_priority(o, &p->chat.gen, x);
	e = e ? e : parse_include(o, &logprobs, &p->show_results, x);
	p->chat.gen.max_tokens = (uint32_t)max;
	p->chat.gen.top_logprobs = logprobs || top ? (int32_t)top : -1;
	return e;
}

/* ---- file_search ---- */

static enum err parse_stores(
	yyjson_val *v, const char *param, struct arena *a, struct vsearch *out, struct api_error *x)
{
	enum { STORES_MAX = 16 };
	yyjson_val *id;
	size_t i, n = yyjson_arr_size(v);
	if (!n || n > STORES_MAX)
		return bad(x, param, "a list of 1 to 16 vector stores' ids");
	out->stores = arena_array_of(a, n, struct id);
	if (!out->stores)
		return api_no_memory(x);
	out->n_stores = n;
	yyjson_arr_foreach(v, i, n, id)
	{
		if (!vstore_id_parse(json_val_str(id), &out->stores[i]))
			return api_fail(x, ERR_NOT_FOUND, "not_found", param,
				"Vector store with id '%.*s' not found.",
				STR_FMT(str_sub(json_val_str(id), 0, 64)));
	}
	return OK;
}

/* One entry of tools; functions are read as those of chats. */
static enum err parse_search(
	yyjson_val *o, struct arena *a, struct response_params *p, struct api_error *x)
{
	enum { RESULTS_DEFAULT = 20 };
	yyjson_val *t;
	size_t i, n;
	enum err e = OK;
	yyjson_arr_foreach(api_get(o, "tools"), i, n, t)
	{
		char where[48], param[64];
		if (e || !str_eq_c(json_str(t, "type"), "file_search"))
			continue;
		snprintf(where, sizeof where, "tools[%zu].", i);
		snprintf(param, sizeof param, "%svector_store_ids", where);
		if (p->chat.search)
			return api_fail(x, ERR_INVALID, "invalid_value", "tools",
				"tools[%zu] is a second file_search; one can be given, with all "
				"vector stores",
				i);
		p->chat.search = true;
		p->search = (struct vsearch){.most = RESULTS_DEFAULT, .balance = 1};
		e = parse_stores(api_get(t, "vector_store_ids"), param, a, &p->search, x);
		e = e ? e : vsearch_options(t, where, a, &p->search, x);
	}
	return e;
}

static enum err refuse(yyjson_val *o, struct api_error *x)
{
	static const struct {
		const char *key, *why;
	} refused[] = {
		{"prompt", "prompts of the vendor's platform are not here: send the text"},
		{"context_management", "contexts are not compacted; truncation can be \"auto\""},
		{"moderation", "there is no moderation of answers"},
		{"audio", "the models here write text"},
	};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (api_get(o, refused[i].key))
			return api_fail(x, ERR_INVALID, "unsupported_parameter", refused[i].key,
				"%s: %s", refused[i].key, refused[i].why);
	return OK;
}

static enum err parse_input(yyjson_val *o, bool counting, struct arena *a,
	struct response_params *p, struct api_error *x)
{
	yyjson_val *input = api_get(o, "input"), *instructions = api_get(o, "instructions");
	bool before = !id_is_zero(p->previous) || !id_is_zero(p->conversation);
	if (instructions && !yyjson_is_str(instructions))
		return bad(x, "instructions", "a string");
	p->instructions = instructions ? json_val_str(instructions) : S("");
	if (!input && !before && !(counting && instructions))
		return api_fail(
			x, ERR_INVALID, "missing_required_parameter", "input", "input is missing");
	return input ? items_parse(input, "input", ITEMS_MAX, a, &p->items, &p->n_items, x) : OK;
}

enum err response_parse(struct str body, bool counting, struct arena *a, struct response_params *p,
	struct api_error *x)
{
	yyjson_val *o;
	*p = (struct response_params){.chat = {.last_user = S("")}};
	enum err e = api_parse_body(body, a, &o, x);
	if (e)
		return e;
	p->body = o;
	p->chat.gen.n = 1;
	e = api_parse_model(o, &p->chat.gen.model, x);
	e = e ? e : refuse(o, x);
	e = e ? e : parse_flags(o, p, x);
	e = e ? e : parse_numbers(o, a, p, x);
	e = e ? e : parse_text(o, a, p, x);
	e = e ? e : parse_search(o, a, p, x);
	e = e ? e : api_parse_tools(o, a, &p->chat, x);
	e = e ? e : parse_reasoning(o, a, p, x);
	e = e ? e : api_parse_metadata(o, S("{}"), a, &p->metadata, x);
	e = e ? e : parse_previous(o, p, x);
	return e ? e : parse_input(o, counting, a, p, x);
}

/* ---- shown again ---- */

static void key_or_null(struct jw *w, yyjson_val *o, const char *key)
{
	yyjson_val *v = api_get(o, key);
	jw_key(w, key);
	if (v)
		jw_val(w, v);
	else
		jw_null(w);
}

static void write_search(struct jw *w, yyjson_val *t, const struct vsearch *q)
{
	yyjson_val *r = api_get(t, "ranking_options");
	jw_obj(w);
	jw_kc(w, "type", "file_search");
	jw_key(w, "vector_store_ids"), jw_val(w, api_get(t, "vector_store_ids"));
	key_or_null(w, t, "filters");
	jw_ki64(w, "max_num_results", q->most);
	jw_key(w, "ranking_options");
	jw_obj(w);
	if (api_get(r, "hybrid_search"))
		jw_key(w, "hybrid_search"), jw_val(w, api_get(r, "hybrid_search"));
	jw_key(w, "ranker");
	api_get(r, "ranker") ? jw_val(w, api_get(r, "ranker")) : jw_c(w, "auto");
	jw_kf64(w, "score_threshold", q->threshold);
	jw_end(w);
	jw_end(w);
}

static void write_tools(struct jw *w, const struct response_params *p)
{
	yyjson_val *t;
	size_t i, n;
	jw_key(w, "tools");
	jw_arr(w);
	yyjson_arr_foreach(api_get(p->body, "tools"), i, n, t)
	{
		yyjson_val *f = api_get(t, "function") ? api_get(t, "function") : t;
		if (str_eq_c(json_str(t, "type"), "file_search")) {
			write_search(w, t, &p->search);
			continue;
		}
		jw_obj(w);
		jw_kc(w, "type", "function");
		jw_kstr(w, "name", json_str(f, "name"));
		key_or_null(w, f, "description");
		key_or_null(w, f, "parameters");
		jw_kbool(w, "strict", json_bool(f, "strict", false));
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "tool_choice");
	if (api_get(p->body, "tool_choice"))
		jw_val(w, api_get(p->body, "tool_choice"));
	else
		jw_c(w, "auto");
	jw_kbool(w, "parallel_tool_calls", !p->chat.one_call);
}

static void write_text(struct jw *w, yyjson_val *o)
{
	yyjson_val *f = api_get(api_get(o, "text"), "format"), *k, *v;
	size_t i, n;
	jw_key(w, "text");
	jw_obj(w);
	jw_key(w, "format");
	jw_obj(w);
	if (!f)
		jw_kc(w, "type", "text");
	yyjson_obj_foreach(f, i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	if (str_eq_c(json_str(f, "type"), "json_schema")) {
		if (!yyjson_obj_get(f, "strict"))
			jw_kbool(w, "strict", true); /* every format is kept to */
		if (!yyjson_obj_get(f, "description"))
			jw_kc(w, "description", NULL);
	}
	jw_end(w);
	jw_kc(w, "verbosity", "medium");
	jw_end(w);
}

static void write_reasoning(struct jw *w, yyjson_val *o)
{
	yyjson_val *v = api_get(o, "reasoning");
	jw_key(w, "reasoning");
	jw_obj(w);
	key_or_null(w, v, "effort");
	key_or_null(w, v, "summary");
	jw_end(w);
}

static void write_before(struct jw *w, const struct response_params *p)
{
	char id[RESPONSE_ID + 1];
	response_id(p->previous, id);
	jw_kc(w, "previous_response_id", id_is_zero(p->previous) ? NULL : id);
	jw_key(w, "conversation");
	if (id_is_zero(p->conversation)) {
		jw_null(w);
		return;
	}
	conversation_id(p->conversation, id);
	jw_obj(w);
	jw_kc(w, "id", id);
	jw_end(w);
}

void response_fixed(const struct response_params *p, struct str model, struct buf *out)
{
	static const char *const shown[] = {"instructions", "max_output_tokens", "max_tool_calls",
		"prompt_cache_key", "safety_identifier", "user"};
	const struct sampling *s = &p->chat.gen.sampling;
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kstr(&w, "model", model);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		key_or_null(&w, p->body, shown[i]);
	write_before(&w, p);
	write_tools(&w, p);
	write_text(&w, p->body);
	write_reasoning(&w, p->body);
	jw_key(&w, "temperature"), jw_f32(&w, s->temperature);
	jw_kf64(&w, "top_p", json_f64(p->body, "top_p", 1));
	jw_key(&w, "presence_penalty"), jw_f32(&w, s->presence_penalty);
	jw_key(&w, "frequency_penalty"), jw_f32(&w, s->frequency_penalty);
	jw_ki64(&w, "top_logprobs", MAX(p->chat.gen.top_logprobs, 0));
	jw_kc(&w, "truncation", p->truncate ? "auto" : "disabled");
	jw_kc(&w, "service_tier", api_tier(p->chat.gen.priority));
	jw_kbool(&w, "store", p->store);
	jw_key(&w, "metadata"), jw_raw(&w, p->metadata);
	jw_end(&w);
	if (!jw_done(&w))
		out->err = out->err ? out->err : ERR_NOMEM;
}
