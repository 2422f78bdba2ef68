/* A Messages request as a conversation: blocks become text, calls and results; a message of several
 * kinds of blocks becomes several. Null is the same as absent. */
#include "api/anthropic.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGES_MAX = 4096, BLOCKS_MAX = 65536, STOPS_MAX = 16 };

static enum err bad(struct api_error *x, const char *where, const char *want)
{
	return api_fail(x, ERR_INVALID, NULL, where, "%s: it must be %s", where, want);
}

static enum err want_number(
	yyjson_val *o, const char *key, double min, double max, double *out, struct api_error *x)
{
	yyjson_val *v = api_get(o, key);
	double d = yyjson_get_num(v);
	if (!v)
		return OK;
	if (!yyjson_is_num(v) || !(d >= min && d <= max))
		return api_fail(x, ERR_INVALID, NULL, key, "%s: it must be a number from %g to %g",
			key, min, max);
	*out = d;
	return OK;
}

/* ---- content ---- */

static enum err refuse_block(struct str type, const char *where, struct api_error *x)
{
	return api_fail(x, ERR_INVALID, NULL, where,
		"%s: blocks of type '%.*s' are not supported: the models here read text", where,
		STR_FMT(str_sub(type, 0, 40)));
}

/* A string, or text blocks only, one after the other. */
static enum err text_of(
	yyjson_val *v, const char *where, struct arena *a, struct str *out, struct api_error *x)
{
	yyjson_val *b;
	size_t i, n;
	struct buf all = {0};
	*out = S("");
	if (!v)
		return OK;
	if (yyjson_is_str(v)) {
		*out = json_val_str(v);
		return OK;
	}
	if (!yyjson_is_arr(v))
		return bad(x, where, "a string or a list of blocks");
	enum err e = OK;
	yyjson_arr_foreach(v, i, n, b)
	{
		struct str type = json_str(b, "type");
		if (!e && !str_eq_c(type, "text"))
			e = refuse_block(type, where, x);
		else if (!e && !yyjson_is_str(api_get(b, "text")))
			e = bad(x, where, "blocks with a text");
		if (!e)
			buf_adds(&all, json_str(b, "text"));
	}
	if (!e) {
		*out = arena_str(a, buf_str(&all));
		if (all.err || !out->p)
			e = api_no_memory(x);
	}
	buf_free(&all);
	return e;
}

/* What the blocks of one message add up to. */
struct turn {
	struct buf text, calls; /* calls: JSON objects, comma separated */
};

static enum err add_call(struct turn *t, yyjson_val *b, const char *where, struct api_error *x)
{
	yyjson_val *input = api_get(b, "input");
	if (!json_str(b, "id").n || !json_str(b, "name").n || !yyjson_is_obj(input))
		return bad(x, where, "a tool_use with id, name and an object as input");
	size_t n;
	char *json = yyjson_val_write(input, 0, &n);
	if (!json)
		return api_no_memory(x);
	struct buf one = {0};
	struct jw w = {.out = &one};
	jw_obj(&w);
	jw_kstr(&w, "id", json_str(b, "id"));
	jw_kc(&w, "type", "function");
	jw_key(&w, "function");
	jw_obj(&w);
	jw_kstr(&w, "name", json_str(b, "name"));
	jw_kstr(&w, "arguments", str_mk(json, n));
	jw_end(&w);
	jw_end(&w);
	bool whole = jw_done(&w);
	if (t->calls.n)
		buf_putc(&t->calls, ',');
	buf_adds(&t->calls, buf_str(&one));
	buf_free(&one);
	free(json);
	return whole && !t->calls.err ? OK : api_no_memory(x);
}

/* A result is a message of its own, before what the user says beside it. */
static enum err add_result(struct chat_params *p, yyjson_val *b, const char *where, struct arena *a,
	struct api_error *x)
{
	struct chat_message *m = &p->messages[p->n_messages];
	*m = (struct chat_message){.role = S("tool"), .tool_call_id = json_str(b, "tool_use_id")};
	if (!m->tool_call_id.n)
		return bad(x, where, "a tool_result with the tool_use_id that it answers");
	enum err e = text_of(api_get(b, "content"), where, a, &m->content, x);
	if (!e && yyjson_get_bool(api_get(b, "is_error"))) {
		m->content = arena_fmt(a, "error: %.*s", STR_FMT(m->content));
		e = m->content.p ? OK : api_no_memory(x);
	}
	if (!e)
		p->n_messages++;
	return e;
}

static enum err add_block(struct chat_params *p, struct turn *t, yyjson_val *b, bool user,
	const char *where, struct arena *a, struct api_error *x)
{
	struct str type = json_str(b, "type");
	if (str_eq_c(type, "text")) {
		if (!yyjson_is_str(api_get(b, "text")))
			return bad(x, where, "a text block with a text");
		buf_adds(&t->text, json_str(b, "text"));
		return OK;
	}
	if (str_eq_c(type, "tool_use") && !user)
		return add_call(t, b, where, x);
	if (str_eq_c(type, "tool_result") && user)
		return add_result(p, b, where, a, x);
	/* what a model thought before is not told to it again */
	if ((str_eq_c(type, "thinking") || str_eq_c(type, "redacted_thinking")) && !user)
		return OK;
	return refuse_block(type, where, x);
}

static enum err end_turn(
	struct chat_params *p, struct turn *t, bool user, struct arena *a, struct api_error *x)
{
	struct chat_message m = {.role = user ? S("user") : S("assistant")};
	m.content = arena_str(a, buf_str(&t->text));
	if (t->calls.n)
		m.tool_calls_json = arena_fmt(a, "[%.*s]", STR_FMT(buf_str(&t->calls)));
	if (t->text.err || !m.content.p || (t->calls.n && !m.tool_calls_json.p))
		return api_no_memory(x);
	if (m.content.n || t->calls.n)
		p->messages[p->n_messages++] = m;
	return OK;
}

static enum err add_message(
	struct chat_params *p, yyjson_val *m, size_t i, struct arena *a, struct api_error *x)
{
	char where[64];
	yyjson_val *content = api_get(m, "content"), *b;
	bool user = str_eq_c(json_str(m, "role"), "user");
	snprintf(where, sizeof where, "messages.%zu.role", i);
	if (!user && !str_eq_c(json_str(m, "role"), "assistant"))
		return bad(x, where, "user or assistant");
	snprintf(where, sizeof where, "messages.%zu.content", i);
	if (yyjson_is_str(content)) {
		p->messages[p->n_messages++] =
			(struct chat_message){.role = user ? S("user") : S("assistant"),
				.content = json_val_str(content)};
		return OK;
	}
	if (!yyjson_is_arr(content))
		return bad(x, where, "a string or a list of blocks");
	struct turn t = {0};
	size_t k, n;
	enum err e = OK;
	yyjson_arr_foreach(content, k, n, b)
	{
		snprintf(where, sizeof where, "messages.%zu.content.%zu", i, k);
		e = e ? e : add_block(p, &t, b, user, where, a, x);
	}
	e = e ? e : end_turn(p, &t, user, a, x);
	buf_free(&t.text);
	buf_free(&t.calls);
	return e;
}

static enum err parse_messages(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *all = api_get(o, "messages"), *m;
	size_t i, n, most = 2;
	if (!yyjson_is_arr(all) || !yyjson_arr_size(all))
		return bad(x, "messages", "a list with a message");
	if (yyjson_arr_size(all) > MESSAGES_MAX)
		return api_fail(x, ERR_INVALID, NULL, "messages",
			"messages: at most %d are possible", MESSAGES_MAX);
	yyjson_arr_foreach(all, i, n, m) most += 1 + yyjson_arr_size(api_get(m, "content"));
	if (most > BLOCKS_MAX)
		return api_fail(x, ERR_INVALID, NULL, "messages",
			"messages: at most %d blocks are possible", BLOCKS_MAX);
	p->messages = arena_array_of(a, most, struct chat_message);
	if (!p->messages)
		return api_no_memory(x);
	struct str system;
	enum err e = text_of(api_get(o, "system"), "system", a, &system, x);
	if (!e && system.n)
		p->messages[p->n_messages++] =
			(struct chat_message){.role = S("system"), .content = system};
	yyjson_arr_foreach(all, i, n, m) e = e ? e : add_message(p, m, i, a, x);
	for (i = 0; i < p->n_messages && !e; i++)
		if (str_eq_c(p->messages[i].role, "user"))
			p->last_user = p->messages[i].content;
	if (!e && !p->n_messages)
		e = bad(x, "messages", "a list with a message that says something");
	return e;
}

/* ---- tools ---- */

static enum err parse_tool(
	yyjson_val *t, size_t i, struct arena *a, struct chat_tool *out, struct api_error *x)
{
	char where[64];
	struct str type = json_str(t, "type");
	snprintf(where, sizeof where, "tools.%zu", i);
	if (type.n && !str_eq_c(type, "custom"))
		return api_fail(x, ERR_INVALID, NULL, where,
			"%s: tools of type '%.*s' are not supported, only your own", where,
			STR_FMT(str_sub(type, 0, 40)));
	*out = (struct chat_tool){.name = json_str(t, "name"),
		.description = json_str(t, "description"),
		.strict = yyjson_get_bool(api_get(t, "strict"))};
	if (!out->name.n || out->name.n > 128)
		return bad(x, where, "a tool with a name of at most 128 bytes");
	if (!yyjson_is_obj(api_get(t, "input_schema")))
		return bad(x, where, "a tool with an input_schema");
	return api_json_of(api_get(t, "input_schema"), a, &out->parameters, x);
}

static enum err parse_choice(yyjson_val *o, struct chat_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "tool_choice");
	struct str type = json_str(v, "type");
	p->tool_choice = p->n_tools ? TOOLS_AUTO : TOOLS_NONE;
	if (!v)
		return OK;
	p->one_call = yyjson_get_bool(api_get(v, "disable_parallel_tool_use"));
	if (str_eq_c(type, "none")) {
		p->tool_choice = TOOLS_NONE;
	} else if (str_eq_c(type, "any") || str_eq_c(type, "tool")) {
		p->tool_choice = str_eq_c(type, "any") ? TOOLS_REQUIRED : TOOLS_NAMED;
		p->tool_name = json_str(v, "name");
		bool known = p->n_tools && p->tool_choice == TOOLS_REQUIRED;
		for (size_t i = 0; i < p->n_tools; i++)
			known |= str_eq(p->tools[i].name, p->tool_name);
		if (!known)
			return bad(x, "tool_choice", "of a tool that is in tools");
	} else if (!str_eq_c(type, "auto")) {
		return bad(x, "tool_choice", "of type auto, any, tool or none");
	}
	return OK;
}

static enum err parse_tools(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *all = api_get(o, "tools"), *t;
	size_t i, n = yyjson_arr_size(all);
	enum err e = OK;
	if (all && (!yyjson_is_arr(all) || n > TOOLS_MAX))
		return api_fail(x, ERR_INVALID, NULL, "tools",
			"tools: it must be a list of at most %d", TOOLS_MAX);
	p->tools = arena_array_of(a, n + 1, struct chat_tool);
	if (!p->tools)
		return api_no_memory(x);
	yyjson_arr_foreach(all, i, n, t) e = e ? e : parse_tool(t, i, a, &p->tools[i], x);
	p->n_tools = n;
	return e ? e : parse_choice(o, p, x);
}

/* ---- the rest ---- */

static enum err parse_stops(
	yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "stop_sequences"), *s;
	size_t i, n = yyjson_arr_size(v);
	if (v && (!yyjson_is_arr(v) || n > STOPS_MAX))
		return api_fail(x, ERR_INVALID, NULL, "stop_sequences",
			"stop_sequences: it must be a list of at most %d", STOPS_MAX);
	p->stop = arena_array_of(a, n + 1, struct str);
	if (!p->stop)
		return api_no_memory(x);
	yyjson_arr_foreach(v, i, n, s)
	{
		if (!json_val_str(s).n)
			return bad(x, "stop_sequences", "a list of texts");
		p->stop[p->n_stop++] = json_val_str(s);
	}
	return OK;
}

static enum err parse_sampling(
	yyjson_val *o, bool counting, struct gen_params *p, struct api_error *x)
{
	double temperature = 1, top_p = 1, top_k = 0, max = 0;
	if (!counting && !api_get(o, "max_tokens"))
		return bad(x, "max_tokens", "given");
	enum err e = want_number(o, "max_tokens", 1, INT32_MAX, &max, x);
	e = e ? e : want_number(o, "temperature", 0, 1, &temperature, x);
	e = e ? e : want_number(o, "top_p", 0, 1, &top_p, x);
	e = e ? e : want_number(o, "top_k", 0, INT32_MAX, &top_k, x);
	if (e)
		return e;
	if (top_p == 0) { /* the smallest cut that leaves something */
		top_p = 1;
		top_k = 1;
	}
	p->max_tokens = (uint32_t)max;
	p->top_logprobs = -1;
	p->sampling = (struct sampling)SAMPLING_DEFAULT;
	p->sampling.temperature = (float)temperature;
	p->sampling.top_p = (float)top_p;
	p->sampling.top_k = (int32_t)top_k;
	random_bytes(&p->sampling.seed, sizeof p->sampling.seed);
	return OK;
}

static enum err parse_thinking(yyjson_val *o, struct chat_params *p, struct api_error *x)
{
	yyjson_val *v = api_get(o, "thinking");
	struct str type = json_str(v, "type");
	if (!v)
		return OK;
	bool on = str_eq_c(type, "enabled") || str_eq_c(type, "adaptive");
	if (!on && !str_eq_c(type, "disabled"))
		return bad(x, "thinking", "of type enabled, adaptive or disabled");
	p->reasoning = on ? REASONING_ON : REASONING_OFF;
	return OK;
}

/* output_config.format, or the older output_format: {type: "json_schema", schema} */
static enum err parse_format(
	yyjson_val *o, struct arena *a, struct gen_params *p, struct api_error *x)
{
	yyjson_val *f = api_get(api_get(o, "output_config"), "format");
	if (!f)
		f = api_get(o, "output_format");
	if (!f)
		return OK;
	if (!str_eq_c(json_str(f, "type"), "json_schema") || !yyjson_is_obj(api_get(f, "schema")))
		return bad(x, "output_config.format", "of type json_schema with a schema");
	p->format.kind = CONSTRAINT_SCHEMA;
	snprintf(p->format.param, sizeof p->format.param, "output_config.format");
	return api_json_of(api_get(f, "schema"), a, &p->format.source, x);
}

enum err anthropic_parse(
	struct str body, bool counting, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *o, *stream, *model;
	*p = (struct chat_params){.last_user = S("")};
	enum err e = api_parse_body(body, a, &o, x);
	if (e)
		return e;
	model = api_get(o, "model");
	if (model && !yyjson_is_str(model))
		return bad(x, "model", "a string");
	p->gen.model = json_val_str(model);
	if (!model || str_eq_c(p->gen.model, "default"))
		p->gen.model = S("");
	stream = api_get(o, "stream");
	if (stream && !yyjson_is_bool(stream))
		return bad(x, "stream", "true or false");
	p->gen.stream = yyjson_get_bool(stream);
	p->gen.n = 1;
	e = parse_sampling(o, counting, &p->gen, x);
	e = e ? e : parse_stops(o, a, &p->gen, x);
	e = e ? e : parse_tools(o, a, p, x);
	e = e ? e : parse_thinking(o, p, x);
	e = e ? e : parse_format(o, a, &p->gen, x);
	return e ? e : parse_messages(o, a, p, x);
}
