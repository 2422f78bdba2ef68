/* What a request holds its answer to: OpenAI's response_format, vLLM's guided_* and
 * structured_outputs, llama.cpp's grammar. One language at most; each field is carried out or
 * refused. */
#include "api/api_int.h"

#include <stdio.h>

struct field {
	const char *key; /* in the body, or within structured_outputs */
	enum constraint_kind kind;
};

static const struct field body_fields[] = {
	{"guided_json", CONSTRAINT_SCHEMA},
	{"json_schema", CONSTRAINT_SCHEMA},
	{"guided_regex", CONSTRAINT_REGEX},
	{"guided_grammar", CONSTRAINT_GRAMMAR},
	{"guided_choice", CONSTRAINT_CHOICE},
	{"grammar", CONSTRAINT_GRAMMAR},
};

static const struct field structured_fields[] = {
	{"json", CONSTRAINT_SCHEMA},
	{"regex", CONSTRAINT_REGEX},
	{"grammar", CONSTRAINT_GRAMMAR},
	{"choice", CONSTRAINT_CHOICE},
	{"json_object", CONSTRAINT_OBJECT},
};

static enum err bad_type(struct api_error *x, const char *param, const char *want)
{
	return api_fail(x, ERR_INVALID, "invalid_type", param, "%s must be %s", param, want);
}

static enum err hold(struct format *f, enum constraint_kind kind, struct str source,
	const char *param, struct api_error *x)
{
	if (f->kind)
		return api_fail(x, ERR_INVALID, "invalid_value", param,
			"%s and %s both say what the answer must look like; one can be kept",
			f->param, param);
	f->kind = kind;
	f->source = source;
	snprintf(f->param, sizeof f->param, "%s", param);
	return OK;
}

static enum err take(struct format *f, const struct field *k, yyjson_val *v, const char *param,
	struct arena *a, struct api_error *x)
{
	struct str source = S("");
	enum err e = OK;
	switch (k->kind) {
	case CONSTRAINT_OBJECT:
		if (!yyjson_is_bool(v))
			return bad_type(x, param, "true or false");
		if (!yyjson_get_bool(v))
			return OK;
		break;
	case CONSTRAINT_CHOICE:
		if (!yyjson_is_arr(v) || !yyjson_arr_size(v))
			return bad_type(x, param, "a list of strings");
		e = api_json_of(v, a, &source, x);
		break;
	case CONSTRAINT_SCHEMA:
		if (yyjson_is_str(v)) {
			source = json_val_str(v);
			break;
		}
		if (!yyjson_is_obj(v) && !yyjson_is_bool(v))
			return bad_type(x, param, "a JSON Schema");
		e = api_json_of(v, a, &source, x);
		break;
	default:
		if (!yyjson_is_str(v))
			return bad_type(x, param, "a string");
		source = json_val_str(v);
		if (k->kind == CONSTRAINT_GRAMMAR && !str_trim(source).n)
			return OK; /* llama.cpp: no grammar */
	}
	return e ? e : hold(f, k->kind, source, param, x);
}

static enum err take_all(struct format *f, const struct field *fields, size_t n, yyjson_val *o,
	const char *within, struct arena *a, struct api_error *x)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		yyjson_val *v = api_get(o, fields[i].key);
		char param[64];
		snprintf(param, sizeof param, "%s%s", within, fields[i].key);
		if (v)
			e = take(f, &fields[i], v, param, a, x);
	}
	return e;
}

static enum err missing(struct api_error *x, const char *param)
{
	return api_fail(
		x, ERR_INVALID, "missing_required_parameter", param, "%s is missing", param);
}

/* {"name", "strict", "schema"}: it is kept to whether strict or not. */
static enum err json_schema(struct format *f, yyjson_val *v, struct arena *a, struct api_error *x)
{
	static const struct field field = {"schema", CONSTRAINT_SCHEMA};
	yyjson_val *name = api_get(v, "name"), *schema = api_get(v, "schema");
	if (!v)
		return missing(x, "response_format.json_schema");
	if (!yyjson_is_obj(v))
		return bad_type(x, "response_format.json_schema", "an object");
	if (!name)
		return missing(x, "response_format.json_schema.name");
	if (!yyjson_is_str(name))
		return bad_type(x, "response_format.json_schema.name", "a string");
	if (!schema)
		return missing(x, "response_format.json_schema.schema");
	if (!yyjson_is_obj(schema))
		return bad_type(x, "response_format.json_schema.schema", "an object");
	f->name = json_val_str(name);
	return take(f, &field, schema, "response_format", a, x);
}

static enum err response_format(
	struct format *f, yyjson_val *v, struct arena *a, struct api_error *x)
{
	static const struct field field = {"schema", CONSTRAINT_SCHEMA};
	struct str type = json_str(v, "type");
	yyjson_val *schema = api_get(v, "schema"); /* as llama.cpp has it */
	if (!yyjson_is_obj(v))
		return bad_type(x, "response_format", "an object with a type");
	if (str_eq_c(type, "text"))
		return OK;
	bool object = str_eq_c(type, "json_object"), any = str_eq_c(type, "json_schema");
	if (schema && (object || any))
		return take(f, &field, schema, "response_format", a, x);
	if (any)
		return json_schema(f, api_get(v, "json_schema"), a, x);
	if (object)
		return hold(f, CONSTRAINT_OBJECT, S(""), "response_format", x);
	return api_fail(x, ERR_INVALID, "invalid_value", "response_format.type",
		"response_format.type must be \"text\", \"json_object\" or \"json_schema\"");
}

enum err api_parse_text_format(
	yyjson_val *v, struct arena *a, struct format *f, struct api_error *x)
{
	static const struct field field = {"schema", CONSTRAINT_SCHEMA};
	struct str type = json_str(v, "type");
	yyjson_val *name = api_get(v, "name"), *schema = api_get(v, "schema");
	*f = (struct format){0};
	if (!yyjson_is_obj(v))
		return bad_type(x, "text.format", "an object with a type");
	if (str_eq_c(type, "text"))
		return OK;
	if (str_eq_c(type, "json_object"))
		return hold(f, CONSTRAINT_OBJECT, S(""), "text.format", x);
	if (!str_eq_c(type, "json_schema"))
		return api_fail(x, ERR_INVALID, "invalid_value", "text.format.type",
			"text.format.type must be \"text\", \"json_object\" or "
			"\"json_schema\"");
	if (!yyjson_is_str(name))
		return name ? bad_type(x, "text.format.name", "a string")
			    : missing(x, "text.format.name");
	if (!yyjson_is_obj(schema))
		return schema ? bad_type(x, "text.format.schema", "an object")
			      : missing(x, "text.format.schema");
	f->name = json_val_str(name);
	return take(f, &field, schema, "text.format.schema", a, x);
}

/* What would change the answer and is not carried out. */
static enum err refuse(
	yyjson_val *o, const char *const *keys, size_t n, const char *within, struct api_error *x)
{
	for (size_t i = 0; i < n; i++) {
		char param[64];
		snprintf(param, sizeof param, "%s%s", within, keys[i]);
		if (api_get(o, keys[i]))
			return api_fail(x, ERR_INVALID, "unsupported_parameter", param,
				"%s is not supported", param);
	}
	return OK;
}

enum err api_parse_format(yyjson_val *o, struct arena *a, struct format *f, struct api_error *x)
{
	static const char *const refused[] = {
		"guided_whitespace_pattern", "grammar_lazy", "grammar_triggers", "structural_tag"};
	static const char *const refused_within[] = {"whitespace_pattern", "structural_tag"};
	yyjson_val *format = api_get(o, "response_format"),
		   *more = api_get(o, "structured_outputs");
	*f = (struct format){0};
	enum err e = format ? response_format(f, format, a, x) : OK;
	if (!e)
		e = take_all(f, body_fields, ARRAY_LEN(body_fields), o, "", a, x);
	if (!e)
		e = refuse(o, refused, ARRAY_LEN(refused), "", x);
	if (e || !more)
		return e;
	if (!yyjson_is_obj(more))
		return bad_type(x, "structured_outputs", "an object");
	e = refuse(more, refused_within, ARRAY_LEN(refused_within), "structured_outputs.", x);
	return e ? e
		 : take_all(f, structured_fields, ARRAY_LEN(structured_fields), more,
			   "structured_outputs.", a, x);
}

/* ---- compiled, and kept ---- */

enum err api_format_get(
	struct croft *c, const struct format *f, struct constraint **out, struct api_error *x)
{
	if (!f->kind) {
		*out = NULL;
		return OK;
	}
	enum err e = endpoint_constraint_get(c, f->kind, f->source, out, &x->et);
	if (!e)
		return OK;
	struct errtext why = x->et;
	if (e == ERR_NOMEM || e == ERR_BUSY)
		return api_fail(x, e, NULL, NULL, "%s", why.msg);
	if (f->name.n)
		api_fail(x, e, "invalid_value", f->param,
			"Invalid schema for response_format '%.*s': %s",
			STR_FMT(str_sub(f->name, 0, 64)), why.msg);
	else
		api_fail(x, e, "invalid_value", f->param, "%s: %s", f->param, why.msg);
	x->status = 400;
	return e;
}

void api_format_put(struct croft *c, struct constraint *held)
{
	endpoint_constraint_put(c, held);
}
