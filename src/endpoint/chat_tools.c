/* What calls of the offered tools look like, as constraints: the schema of a call is made of the
 * schemas of the tools' arguments.
 *
 * Arguments are an object in any case. Where "properties" is there and nothing says more, no other
 * members are written: the schema would allow them, but no function knows what to do with them. */
#include "endpoint/chat_int.h"

#include <stdlib.h>

bool chat_tool_wanted(const struct chat_request *r, size_t tool)
{
	return r->tool_choice != TOOLS_NAMED || str_eq(r->tools[tool].name, r->tool_name);
}

/* ---- schemas ---- */

static bool says_more(yyjson_val *o)
{
	static const char *const keys[] = {"additionalProperties", "patternProperties",
		"unevaluatedProperties", "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not",
		"if"};
	bool any = false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		any |= yyjson_obj_get(o, keys[i]) != NULL;
	return any;
}

/* A reference within the schema is meant from its root: "$id" keeps that so inside another. */
static void write_schema(struct jw *w, yyjson_val *o, struct str text, size_t tool)
{
	yyjson_val *k, *v;
	size_t i, n;
	jw_obj(w);
	if (str_find(text, S("\"$ref\"")) != STR_NONE && !yyjson_obj_get(o, "$id"))
		jw_key(w, "$id"), jw_fmt(w, "urn:croft:tool:%zu", tool);
	if (!yyjson_obj_get(o, "type"))
		jw_kc(w, "type", "object");
	yyjson_obj_foreach(o, i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	if (yyjson_obj_get(o, "properties") && !says_more(o))
		jw_kbool(w, "additionalProperties", false);
	jw_end(w);
}

static void write_parameters(struct jw *w, const struct chat_request *r, size_t tool, bool free)
{
	yyjson_doc *doc = NULL;
	struct str text = r->tools[tool].parameters;
	if (free || !text.n || json_parse(text, &doc, NULL)) {
		jw_raw(w, S("{\"type\":\"object\"}"));
		return;
	}
	write_schema(w, yyjson_doc_get_root(doc), text, tool);
	yyjson_doc_free(doc);
}

static void write_call(struct jw *w, const struct chat_request *r, const struct toolcall_syntax *s,
	size_t tool, bool free)
{
	jw_obj(w);
	jw_kc(w, "type", "object");
	jw_key(w, "properties");
	jw_obj(w);
	jw_key(w, s->name_key);
	jw_obj(w);
	jw_kstr(w, "const", r->tools[tool].name);
	jw_end(w);
	jw_key(w, s->args_key);
	write_parameters(w, r, tool, free);
	jw_end(w);
	jw_key(w, "required");
	jw_arr(w);
	jw_c(w, s->name_key);
	jw_c(w, s->args_key);
	jw_end(w);
	jw_kbool(w, "additionalProperties", false);
	jw_end(w);
}

static void write_any_call(struct jw *w, const struct chat_request *r,
	const struct toolcall_syntax *s, const bool *free)
{
	jw_obj(w);
	jw_key(w, "anyOf");
	jw_arr(w);
	for (size_t i = 0; i < r->n_tools; i++)
		if (chat_tool_wanted(r, i))
			write_call(w, r, s, i, free[i]);
	jw_end(w);
	jw_end(w);
}

static enum err get(struct croft *c, enum constraint_kind kind, struct buf *b, bool done,
	struct constraint **out, struct errtext *et)
{
	enum err e = done ? endpoint_constraint_get(c, kind, buf_str(b), out, et)
			  : err_set(et, ERR_NOMEM, "no memory for the tools");
	buf_free(b);
	return e;
}

enum err chat_tools_calls(struct croft *c, const struct chat_request *r,
	const struct toolcall_syntax *s, const bool *free, struct constraint **out,
	struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (s->shape != TOOLCALL_LIST) {
		write_any_call(&w, r, s, free);
	} else {
		jw_obj(&w);
		jw_kc(&w, "type", "array");
		jw_key(&w, "items");
		write_any_call(&w, r, s, free);
		jw_ki64(&w, "minItems", 1);
		jw_ki64(&w, "maxItems", r->one_call ? 1 : CHAT_CALLS_MAX);
		jw_end(&w);
	}
	return get(c, CONSTRAINT_SCHEMA, &b, jw_done(&w), out, et);
}

enum err chat_tools_arguments(struct croft *c, const struct chat_request *r, size_t tool, bool free,
	struct constraint **out, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	write_parameters(&w, r, tool, free);
	return get(c, CONSTRAINT_SCHEMA, &b, jw_done(&w), out, et);
}

enum err chat_tools_names(
	struct croft *c, const struct chat_request *r, struct constraint **out, struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_arr(&w);
	for (size_t i = 0; i < r->n_tools; i++)
		if (chat_tool_wanted(r, i))
			jw_str(&w, r->tools[i].name);
	jw_end(&w);
	return get(c, CONSTRAINT_CHOICE, &b, jw_done(&w), out, et);
}

/* ---- checks ---- */

static enum err check_schema(const struct chat_tool *t, size_t i, struct errtext *et)
{
	yyjson_doc *doc;
	if (!t->parameters.n)
		return OK;
	enum err e = json_parse(t->parameters, &doc, et);
	if (e)
		return err_wrap(et, e, "the parameters of tool '%.*s'", STR_FMT(t->name));
	yyjson_val *o = yyjson_doc_get_root(doc), *type = yyjson_obj_get(o, "type");
	if (!yyjson_is_obj(o) || (type && !str_eq_c(json_val_str(type), "object")))
		e = err_set(et, ERR_INVALID,
			"the parameters of tool '%.*s' must be the schema of an object",
			STR_FMT(t->name));
	yyjson_doc_free(doc);
	return e;
}

enum err chat_tools_check(const struct chat_request *r, struct errtext *et)
{
	bool named = false;
	enum err e = OK;
	if (r->n_tools > CHAT_TOOLS_MAX)
		return err_set(et, ERR_TOO_LARGE, "%zu tools; at most %d are possible", r->n_tools,
			CHAT_TOOLS_MAX);
	for (size_t i = 0; i < r->n_tools && !e; i++) {
		struct str name = r->tools[i].name;
		if (!name.n || name.n > 64)
			e = err_set(et, ERR_INVALID,
				"the name of tool %zu must have from 1 to 64 characters", i);
		for (size_t k = 0; k < i && !e; k++)
			if (str_eq(name, r->tools[k].name))
				e = err_set(et, ERR_INVALID, "two tools have the name '%.*s'",
					STR_FMT(name));
		e = e ? e : check_schema(&r->tools[i], i, et);
		named |= str_eq(name, r->tool_name);
	}
	if (e)
		return e;
	if (r->tool_choice == TOOLS_REQUIRED && !r->n_tools)
		return err_set(et, ERR_INVALID, "a tool must be called, and there is none");
	if (r->tool_choice == TOOLS_NAMED && !named)
		return err_set(et, ERR_INVALID, "'%.*s' is to be called, and is no tool",
			STR_FMT(str_sub(r->tool_name, 0, 64)));
	return OK;
}

static enum err compile_one(struct croft *c, const struct chat_request *r,
	const struct toolcall_syntax *s, size_t tool, struct errtext *et)
{
	struct constraint *k = NULL;
	if (s->shape == TOOLCALL_XML)
		return chat_xml_check(c, r, tool, et);
	enum err e = chat_tools_arguments(c, r, tool, false, &k, et);
	endpoint_constraint_put(c, k);
	return e;
}

static enum err compile_each(struct croft *c, const struct chat_request *r,
	const struct toolcall_syntax *s, bool *free, struct errtext *et)
{
	bool forced = r->tool_choice == TOOLS_REQUIRED || r->tool_choice == TOOLS_NAMED;
	for (size_t i = 0; i < r->n_tools; i++) {
		if (!chat_tool_wanted(r, i))
			continue;
		enum err e = compile_one(c, r, s, i, et);
		if (e == ERR_NOMEM || e == ERR_BUSY)
			return e;
		if (e && (forced || r->tools[i].strict)) {
			err_wrap(et, e, "the parameters of tool '%.*s'", STR_FMT(r->tools[i].name));
			return ERR_INVALID;
		}
		free[i] = e != OK;
	}
	return OK;
}

enum err chat_tools_compile(struct croft *c, const struct chat_request *r,
	const struct toolcall_syntax *s, bool *free, struct errtext *et)
{
	struct constraint *k = NULL;
	struct errtext ignored;
	if (s->shape != TOOLCALL_ONE && s->shape != TOOLCALL_LIST)
		return compile_each(c, r, s, free, et);
	enum err e = chat_tools_calls(c, r, s, free, &k, &ignored);
	if (e) {
		e = compile_each(c, r, s, free, et);
		e = e ? e : chat_tools_calls(c, r, s, free, &k, et);
	}
	endpoint_constraint_put(c, k);
	return e;
}
