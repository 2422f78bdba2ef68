/* What a chat request says about tools, and about thinking: tools and the deprecated functions,
 * tool_choice, calls and their results in messages, reasoning_effort. */
#include "api/api_int.h"

#include <stdio.h>

#define NO_PARAMETERS "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}"

static enum err bad(struct api_error *x, const char *param, const char *want)
{
	return api_fail(x, ERR_INVALID, "invalid_type", param, "%s must be %s", param, want);
}

/* ---- tools ---- */

static bool good_name(struct str s)
{
	bool good = s.n > 0 && s.n <= 64;
	for (size_t i = 0; i < s.n; i++)
		good &= (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
			(s.p[i] >= '0' && s.p[i] <= '9') || strchr("_-.", s.p[i]);
	return good;
}

/* {"name", "description", "parameters", "strict"} */
static enum err parse_function(yyjson_val *f, const char *where, struct arena *a,
	struct chat_tool *out, struct api_error *x)
{
	char param[80];
	yyjson_val *v;
	if (!yyjson_is_obj(f))
		return bad(x, where, "an object with the name of a function");
	snprintf(param, sizeof param, "%s.name", where);
	out->name = json_str(f, "name");
	if (!good_name(out->name))
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s must have 1 to 64 letters, digits, _, - or .", param);
	out->description = json_str(f, "description");
	snprintf(param, sizeof param, "%s.strict", where);
	if ((v = api_get(f, "strict")) && !yyjson_is_bool(v))
		return bad(x, param, "true or false");
	out->strict = yyjson_get_bool(v);
	snprintf(param, sizeof param, "%s.parameters", where);
	v = api_get(f, "parameters");
	if (v && !yyjson_is_obj(v))
		return bad(x, param, "a JSON Schema");
	if (v && yyjson_obj_size(v))
		return api_json_of(v, a, &out->parameters, x);
	out->parameters = S(NO_PARAMETERS);
	return OK;
}

static enum err parse_tool(
	yyjson_val *t, size_t i, struct arena *a, struct chat_tool *out, struct api_error *x)
{
	char param[64];
	struct str type = json_str(t, "type");
	snprintf(param, sizeof param, "tools[%zu].type", i);
	if (!yyjson_is_obj(t) || !type.n)
		return api_fail(x, ERR_INVALID, "missing_required_parameter", param,
			"%s is missing", param);
	if (!str_eq_c(type, "function"))
		return api_fail(x, ERR_INVALID, "unsupported_value", param,
			"%s is \"%.*s\"; only \"function\" is supported", param,
			STR_FMT(str_sub(type, 0, 40)));
	/* the Responses API has the function's members beside the type */
	yyjson_val *f = api_get(t, "function");
	bool flat = !f && api_get(t, "name");
	snprintf(param, sizeof param, flat ? "tools[%zu]" : "tools[%zu].function", i);
	return parse_function(flat ? t : f, param, a, out, x);
}

static bool is_search(yyjson_val *t)
{
	return str_eq_c(json_str(t, "type"), "file_search");
}

static enum err parse_list(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *tools = api_get(o, "tools"), *functions = api_get(o, "functions"), *t;
	const char *key = tools ? "tools" : "functions";
	yyjson_val *all = tools ? tools : functions;
	size_t i, n = yyjson_arr_size(all), kept = 0;
	enum err e = OK;
	if (!all)
		return OK;
	if (tools && functions)
		return api_fail(x, ERR_INVALID, "invalid_value", "functions",
			"functions is the older name of tools; one can be given");
	if (!yyjson_is_arr(all))
		return bad(x, key, "a list");
	if (n > TOOLS_MAX)
		return api_fail(x, ERR_INVALID, "invalid_value", key,
			"%s has %zu entries; at most %d are possible", key, n, TOOLS_MAX);
	p->tools = arena_array_of(a, n + 1, struct chat_tool);
	if (!p->tools)
		return api_no_memory(x);
	yyjson_arr_foreach(all, i, n, t)
	{
		char param[64];
		snprintf(param, sizeof param, "functions[%zu]", i);
		if (p->search && is_search(t))
			continue;
		struct chat_tool *to = &p->tools[kept++];
		*to = (struct chat_tool){0};
		e = e ? e : tools ? parse_tool(t, i, a, to, x) : parse_function(t, param, a, to, x);
	}
	p->n_tools = kept;
	p->functions = functions && kept;
	return e;
}

/* ---- who is to be called ---- */

static enum err choose(
	struct chat_params *p, struct str name, const char *param, struct api_error *x)
{
	for (size_t i = 0; i < p->n_tools; i++)
		if (str_eq(p->tools[i].name, name)) {
			p->tool_choice = TOOLS_NAMED;
			p->tool_name = name;
			p->search = false;
			return OK;
		}
	return api_fail(x, ERR_INVALID, "invalid_value", param, "%s names '%.*s', which is no tool",
		param, STR_FMT(str_sub(name, 0, 64)));
}

static enum err choose_word(
	struct chat_params *p, struct str word, const char *param, struct api_error *x)
{
	static const struct {
		const char *word;
		enum tool_choice choice;
	} words[] = {{"auto", TOOLS_AUTO}, {"none", TOOLS_NONE}, {"required", TOOLS_REQUIRED},
		{"any", TOOLS_REQUIRED}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(word, words[i].word)) {
			p->tool_choice = words[i].choice;
			if (p->tool_choice == TOOLS_NONE)
				p->search = false;
			else if (p->search) /* a search is a call, and is made in any case */
				p->tool_choice = p->n_tools ? TOOLS_AUTO : TOOLS_NONE;
			if (p->tool_choice == TOOLS_REQUIRED && !p->n_tools)
				return api_fail(x, ERR_INVALID, "invalid_value", param,
					"%s is only possible with tools", param);
			return OK;
		}
	return api_fail(x, ERR_INVALID, "invalid_value", param,
		"%s must be \"auto\", \"none\", \"required\" or name a function", param);
}

/* {"mode", "tools": [{"type": "function", "function": {"name"}}]}: the others are left out. */
static enum err allow(struct chat_params *p, yyjson_val *o, struct api_error *x)
{
	static const char param[] = "tool_choice.allowed_tools";
	yyjson_val *list = api_get(o, "tools"), *t;
	size_t i, n, kept = 0;
	bool search = false;
	if (!yyjson_is_arr(list) || !yyjson_arr_size(list))
		return bad(x, param, "an object with a list of tools");
	for (size_t k = 0; k < p->n_tools; k++) {
		bool allowed = false;
		yyjson_arr_foreach(list, i, n, t)
		{
			yyjson_val *f = api_get(t, "function");
			allowed |= str_eq(json_str(f ? f : t, "name"), p->tools[k].name);
		}
		if (allowed)
			p->tools[kept++] = p->tools[k];
	}
	yyjson_arr_foreach(list, i, n, t) search |= is_search(t);
	p->search &= search;
	if (!kept && !p->search)
		return api_fail(x, ERR_INVALID, "invalid_value", param, "%s names no tool", param);
	p->n_tools = kept;
	return choose_word(p, api_get(o, "mode") ? json_str(o, "mode") : S("auto"), param, x);
}

static enum err parse_choice(yyjson_val *o, struct chat_params *p, struct api_error *x)
{
	bool old = !api_get(o, "tool_choice") && api_get(o, "function_call");
	const char *param = old ? "function_call" : "tool_choice";
	yyjson_val *v = api_get(o, param);
	p->tool_choice = p->n_tools ? TOOLS_AUTO : TOOLS_NONE;
	if (!v)
		return OK;
	if (yyjson_is_str(v))
		return choose_word(p, json_val_str(v), param, x);
	if (!yyjson_is_obj(v))
		return bad(x, param, "a word or an object");
	if (str_eq_c(json_str(v, "type"), "allowed_tools"))
		return allow(p, api_get(v, "allowed_tools") ? api_get(v, "allowed_tools") : v, x);
	if (!old && p->search && is_search(v)) /* it is made in any case */
		return OK;
	if (!old && !str_eq_c(json_str(v, "type"), "function"))
		return api_fail(x, ERR_INVALID, "invalid_value", "tool_choice.type",
			"tool_choice.type must be \"function\" or \"allowed_tools\"");
	yyjson_val *f = old ? NULL : api_get(v, "function");
	return choose(p, json_str(f ? f : v, "name"), param, x);
}

enum err api_parse_tools(yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *parallel = api_get(o, "parallel_tool_calls");
	enum err e = parse_list(o, a, p, x);
	e = e ? e : parse_choice(o, p, x);
	if (!e && parallel && !yyjson_is_bool(parallel))
		e = bad(x, "parallel_tool_calls", "true or false");
	/* functions: there is room for one call in the answer */
	p->one_call = p->functions || (parallel && !yyjson_get_bool(parallel));
	bool must = p->tool_choice == TOOLS_REQUIRED || p->tool_choice == TOOLS_NAMED;
	if (!e && must && p->gen.format.kind)
		e = api_fail(x, ERR_INVALID, "invalid_value", p->gen.format.param,
			"%s says what text must look like, and a tool is to be called instead",
			p->gen.format.param);
	return e;
}

/* ---- calls in messages ---- */

static enum err check_call(yyjson_val *c, const char *param, struct api_error *x)
{
	yyjson_val *f = api_get(c, "function");
	if (!yyjson_is_obj(c) || !json_str(c, "id").n || !yyjson_is_obj(f) ||
		!json_str(f, "name").n || !yyjson_is_str(api_get(f, "arguments")))
		return bad(x, param,
			"{id, type: \"function\", function: {name, arguments}} with arguments as "
			"text");
	return OK;
}

static enum err old_call(
	yyjson_val *c, const char *param, struct arena *a, struct str *out, struct api_error *x)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (!json_str(c, "name").n || !yyjson_is_str(api_get(c, "arguments")))
		return bad(x, param, "{name, arguments} with arguments as text");
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "id", json_str(c, "name"));
	jw_kc(&w, "type", "function");
	jw_key(&w, "function");
	jw_val(&w, c);
	jw_end(&w);
	jw_end(&w);
	*out = jw_done(&w) ? arena_str(a, buf_str(&b)) : (struct str){0};
	buf_free(&b);
	return out->p ? OK : api_no_memory(x);
}

enum err api_parse_calls(
	yyjson_val *m, size_t index, struct arena *a, struct chat_message *out, struct api_error *x)
{
	yyjson_val *calls = api_get(m, "tool_calls"), *old = api_get(m, "function_call"), *c;
	char param[80];
	size_t i, n;
	snprintf(param, sizeof param, "messages[%zu].function_call", index);
	if (old)
		return old_call(old, param, a, &out->tool_calls_json, x);
	snprintf(param, sizeof param, "messages[%zu].tool_calls", index);
	if (!calls || (yyjson_is_arr(calls) && !yyjson_arr_size(calls)))
		return OK;
	if (!yyjson_is_arr(calls))
		return bad(x, param, "a list");
	yyjson_arr_foreach(calls, i, n, c)
	{
		snprintf(param, sizeof param, "messages[%zu].tool_calls[%zu]", index, i);
		if (check_call(c, param, x))
			return x->e;
	}
	return api_json_of(calls, a, &out->tool_calls_json, x);
}

/* ---- thinking ---- */

/* An effort of "none" (or "minimal") turns thinking off, any other turns it on, where the model's
 * template leaves the choice. */
enum err api_parse_effort(
	yyjson_val *effort, const char *param, struct chat_params *p, struct api_error *x)
{
	static const char *const words[] = {
		"none", "minimal", "low", "medium", "high", "xhigh", "max"};
	size_t i = 0;
	while (i < ARRAY_LEN(words) && !str_eq_c(json_val_str(effort), words[i]))
		i++;
	if (i == ARRAY_LEN(words))
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s must be none, minimal, low, medium, high, xhigh or max", param);
	p->reasoning = i < 2 ? REASONING_OFF : REASONING_ON;
	p->effort = str_c(words[i]);
	return OK;
}

enum err api_parse_reasoning(
	yyjson_val *o, struct arena *a, struct chat_params *p, struct api_error *x)
{
	yyjson_val *effort = api_get(o, "reasoning_effort");
	yyjson_val *more = api_get(o, "chat_template_kwargs");
	enum err e = effort ? api_parse_effort(effort, "reasoning_effort", p, x) : OK;
	if (e)
		return e;
	if (!more)
		return OK;
	if (!yyjson_is_obj(more))
		return bad(x, "chat_template_kwargs", "an object");
	yyjson_val *on = api_get(more, "enable_thinking");
	if (on)
		p->reasoning = yyjson_get_bool(on) ? REASONING_ON : REASONING_OFF;
	return api_json_of(more, a, &p->template_json, x);
}
