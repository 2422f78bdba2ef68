/* What a call's arguments look like where each stands for itself, and its value without quotes
 * (engine/toolcall_xml.c): a list of arguments, and for each what its value is held to.
 *
 * A value that may be a string is a text up to the sign that ends it, held by an expression made of
 * the schema's enum, pattern, format and lengths; any other is JSON, held to its own schema. What
 * may be a string or something else is a string where it is held, which the schema allows in any
 * case, and what it looks like where it is not. */
#include "endpoint/chat_int.h"

#include "text/schema.h"

#include <stdlib.h>

enum { REF_DEPTH_MAX = 8 };

/* Every text but one that has the sign that ends it. */
#define ANY_TEXT "(?:(?!</parameter>)[\\s\\S])*"
#define VALUE_END "\n</parameter>"

/* What a value may be. */
struct meaning {
	bool string, null, other;
	yyjson_val *text; /* the schema of the string, if there is one that says more */
};

/* ---- reading schemas ---- */

/* "#/$defs/x" and its like, without escapes; NULL: not found. */
static yyjson_val *resolve(yyjson_val *root, struct str ref)
{
	char path[256];
	if (!str_starts(ref, S("#/")) || ref.n > sizeof path)
		return NULL;
	memcpy(path, ref.p + 1, ref.n - 1);
	return yyjson_ptr_getn(root, path, ref.n - 1);
}

static void type_means(struct str type, struct meaning *m)
{
	if (str_eq_c(type, "string"))
		m->string = true;
	else if (str_eq_c(type, "null"))
		m->null = true;
	else
		m->other = true;
}

static void values_mean(yyjson_val *list, struct meaning *m)
{
	yyjson_val *v;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, v)
	{
		m->string |= yyjson_is_str(v);
		m->null |= yyjson_is_null(v);
		m->other |= !yyjson_is_str(v) && !yyjson_is_null(v);
	}
}

static void find_meaning(yyjson_val *root, yyjson_val *s, unsigned depth, struct meaning *m)
{
	yyjson_val *type = yyjson_obj_get(s, "type"), *v;
	yyjson_val *any = yyjson_obj_get(s, "anyOf"), *ref = yyjson_obj_get(s, "$ref");
	size_t i, n;
	struct meaning here = {0};
	if (!any)
		any = yyjson_obj_get(s, "oneOf");
	if (depth > REF_DEPTH_MAX) {
		here.string = here.other = true;
	} else if (ref) {
		v = resolve(root, json_val_str(ref));
		find_meaning(root, v, depth + 1, &here);
	} else if (any) {
		yyjson_arr_foreach(any, i, n, v) find_meaning(root, v, depth + 1, &here);
	} else if (yyjson_is_str(type)) {
		type_means(json_val_str(type), &here);
	} else if (type) {
		yyjson_arr_foreach(type, i, n, v) type_means(json_val_str(v), &here);
	} else if (yyjson_obj_get(s, "enum")) {
		values_mean(yyjson_obj_get(s, "enum"), &here);
	} else if (yyjson_obj_get(s, "const")) {
		v = yyjson_obj_get(s, "const");
		here.string = yyjson_is_str(v);
		here.null = yyjson_is_null(v);
		here.other = !here.string && !here.null;
	} else {
		here.string = here.null = here.other = true;
	}
	if (here.string && !here.text && !ref && !any)
		here.text = s;
	if (m->string && here.string) /* two of them: which one is not known */
		m->other = true;
	m->string |= here.string;
	m->null |= here.null;
	m->other |= here.other;
	m->text = here.text ? here.text : m->text;
}

static struct meaning meaning_of(yyjson_val *root, yyjson_val *schema)
{
	struct meaning m = {0};
	find_meaning(root, schema, 0, &m);
	return m;
}

static yyjson_doc *parameters(const struct chat_tool *t)
{
	yyjson_doc *doc = NULL;
	return t->parameters.n && json_parse(t->parameters, &doc, NULL) == OK ? doc : NULL;
}

enum toolcall_value chat_xml_meant(
	const struct chat_request *r, struct str tool, struct str argument, bool held)
{
	struct meaning m = {.string = true, .other = true};
	for (size_t i = 0; i < r->n_tools; i++) {
		yyjson_doc *doc = str_eq(r->tools[i].name, tool) ? parameters(&r->tools[i]) : NULL;
		yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
		yyjson_val *s =
			yyjson_obj_getn(yyjson_obj_get(root, "properties"), argument.p, argument.n);
		if (s)
			m = meaning_of(root, s);
		yyjson_doc_free(doc);
	}
	if (!m.string || (m.other && !held))
		return TOOLCALL_VALUE_ANY;
	return m.null ? TOOLCALL_VALUE_TEXT_OR_NULL : TOOLCALL_VALUE_TEXT;
}

/* ---- texts ---- */

static void put_literal(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\0' && strchr("^$\\.*+?()[]{}|/-", s.p[i]))
			buf_putc(b, '\\');
		buf_putc(b, s.p[i]);
	}
}

/* Between parentheses, brackets and escapes: does it say "|" outside of all? */
static bool has_alternatives(struct str p)
{
	unsigned depth = 0;
	bool in_class = false;
	for (size_t i = 0; i < p.n; i++) {
		if (p.p[i] == '\\')
			i++;
		else if (in_class)
			in_class = p.p[i] != ']';
		else if (p.p[i] == '[')
			in_class = true;
		else if (p.p[i] == '(')
			depth++;
		else if (p.p[i] == ')' && depth)
			depth--;
		else if (p.p[i] == '|' && !depth)
			return true;
	}
	return false;
}

static bool ends_anchored(struct str p)
{
	size_t slashes = 0;
	while (slashes + 1 < p.n && p.p[p.n - 2 - slashes] == '\\')
		slashes++;
	return p.n && p.p[p.n - 1] == '$' && slashes % 2 == 0;
}

/* JSON Schema's patterns match somewhere; ^ and $ mean the value's ends, of which the second is
 * not the text's. */
static void put_pattern(struct buf *b, struct str p)
{
	bool from = str_starts(p, S("^")) && !has_alternatives(p);
	bool to = ends_anchored(p) && !has_alternatives(p);
	buf_addf(b, "(?=%s(?:%.*s)%s" VALUE_END "$)", from ? "" : ANY_TEXT,
		STR_FMT(str_sub(p, from, p.n - to)), to ? "" : ANY_TEXT);
}

static void put_choices(struct buf *b, yyjson_val *list)
{
	yyjson_val *v;
	size_t i, n;
	bool first = true;
	buf_addc(b, "(?=(?:");
	yyjson_arr_foreach(list, i, n, v) if (yyjson_is_str(v))
	{
		if (!first)
			buf_putc(b, '|');
		put_literal(b, json_val_str(v));
		first = false;
	}
	buf_addc(b, ")" VALUE_END "$)");
}

static bool has_texts(yyjson_val *list)
{
	yyjson_val *v;
	size_t i, n;
	bool any = false;
	yyjson_arr_foreach(list, i, n, v) any |= yyjson_is_str(v);
	return any;
}

static enum err not_enforced(struct str name, const char *what, struct errtext *et)
{
	return err_set(et, ERR_UNSUPPORTED,
		"the argument '%.*s' cannot be enforced in this model's syntax: %s",
		STR_FMT(str_sub(name, 0, 64)), what);
}

/* Keywords that a text is held to; others would be ignored, which must not be. */
static const char *unknown_keyword(yyjson_val *s)
{
	static const char *const bad[] = {"allOf", "not", "if", "contentEncoding", "$dynamicRef"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (yyjson_obj_get(s, bad[i]))
			return bad[i];
	return NULL;
}

static enum err text_language(struct str name, yyjson_val *s, struct buf *b, struct errtext *et)
{
	yyjson_val *pattern = yyjson_obj_get(s, "pattern"), *list = yyjson_obj_get(s, "enum");
	yyjson_val *constant = yyjson_obj_get(s, "const");
	int64_t min = json_i64(s, "minLength", 0), max = json_i64(s, "maxLength", -1);
	struct str format = json_str(s, "format");
	const char *regex = format.n ? schema_format_regex(format) : NULL;
	int64_t end = (int64_t)strlen(VALUE_END);
	if (unknown_keyword(s))
		return not_enforced(name, unknown_keyword(s), et);
	if (format.n && !regex)
		return not_enforced(name, "its format is not known; write a pattern instead", et);
	if (pattern && has_alternatives(json_val_str(pattern)) &&
		(str_chr(json_val_str(pattern), '^') != STR_NONE ||
			str_chr(json_val_str(pattern), '$') != STR_NONE))
		return not_enforced(name, "its pattern has alternatives with anchors", et);
	buf_addc(b, "^(?=" ANY_TEXT "</parameter>$)");
	if (list && !has_texts(list))
		return not_enforced(name, "its enum has no text", et);
	if (list)
		put_choices(b, list);
	if (yyjson_is_str(constant)) {
		buf_addc(b, "(?=");
		put_literal(b, json_val_str(constant));
		buf_addc(b, VALUE_END "$)");
	}
	if (pattern)
		put_pattern(b, json_val_str(pattern));
	if (regex)
		buf_addf(b, "(?=(?:%s)" VALUE_END "$)", regex);
	if (min > 0 || max >= 0) {
		buf_addf(b, "(?=[\\s\\S]{%lld,", (long long)(MAX(min, 0) + end));
		if (max >= 0)
			buf_addf(b, "%lld", (long long)(max + end));
		buf_addc(b, "}$)");
	}
	buf_addc(b, "[\\s\\S]*" VALUE_END "$");
	return OK;
}

/* ---- languages of values ---- */

/* The argument's schema within the tool's, so that references mean what they say. */
static void json_language(yyjson_val *root, struct str name, struct buf *b)
{
	struct jw w = {.out = b};
	yyjson_val *k, *v;
	size_t i, n;
	struct buf ref = {0};
	buf_addc(&ref, "urn:croft:tool#/properties/");
	for (i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c == '~' || c == '/')
			buf_addc(&ref, c == '~' ? "~0" : "~1");
		else if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			 (c >= 'a' && c <= 'z') || c == '_' || c == '-')
			buf_putc(&ref, (char)c);
		else
			buf_addf(&ref, "%%%02X", c);
	}
	jw_obj(&w);
	jw_kstr(&w, "$ref", buf_str(&ref));
	jw_key(&w, "$defs"), jw_obj(&w);
	jw_key(&w, "tool"), jw_obj(&w);
	jw_kc(&w, "$id", "urn:croft:tool");
	yyjson_obj_foreach(root, i, n, k, v) if (!str_eq_c(json_val_str(k), "$id"))
	{
		jw_key_str(&w, json_val_str(k));
		jw_val(&w, v);
	}
	jw_end(&w), jw_end(&w), jw_end(&w);
	buf_free(&ref);
}

static enum err value_language(struct croft *c, yyjson_val *root, yyjson_val *key,
	struct constraint **out, bool *ends, struct errtext *et)
{
	struct buf b = {0};
	struct str name = json_val_str(key);
	struct meaning m = meaning_of(root, yyjson_obj_iter_get_val(key));
	enum err e = OK;
	*ends = m.string;
	if (!m.string)
		json_language(root, name, &b);
	else
		e = text_language(name, m.text, &b, et);
	if (!e && b.err)
		e = err_set(et, ERR_NOMEM, "no memory for the tools");
	e = e ? e
	      : endpoint_constraint_get(
			c, m.string ? CONSTRAINT_REGEX : CONSTRAINT_SCHEMA, buf_str(&b), out, et);
	buf_free(&b);
	return e;
}

/* ---- the list ---- */

enum err chat_xml_open(
	const struct chat_request *r, size_t tool, struct chat_xml *x, struct errtext *et)
{
	static const char *const known[] = {"type", "properties", "required", "title",
		"description", "additionalProperties", "$defs", "definitions", "$schema", "$id",
		"strict", "examples", "$comment"};
	yyjson_doc *doc = parameters(&r->tools[tool]);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL, *k, *v;
	size_t i, n;
	enum err e = OK;
	yyjson_obj_foreach(root, i, n, k, v)
	{
		bool good = false;
		for (size_t j = 0; j < ARRAY_LEN(known); j++)
			good |= str_eq_c(json_val_str(k), known[j]);
		if (!good && !e)
			e = err_set(et, ERR_UNSUPPORTED,
				"\"%.*s\" of all arguments cannot be enforced in this model's "
				"syntax",
				STR_FMT(str_sub(json_val_str(k), 0, 64)));
	}
	yyjson_val *props = yyjson_obj_get(root, "properties");
	yyjson_arr_foreach(yyjson_obj_get(root, "required"), i, n, v) if (!e)
	{
		struct str s = json_val_str(v);
		if (!yyjson_obj_getn(props, s.p, s.n))
			e = not_enforced(s, "it is required, and is not among \"properties\"", et);
	}
	if (e) {
		yyjson_doc_free(doc);
		return e;
	}
	*x = (struct chat_xml){.doc = doc, .root = root, .n = yyjson_obj_size(props)};
	yyjson_obj_iter_init(props, &x->iter);
	return OK;
}

static bool required(const struct chat_xml *x, struct str name)
{
	yyjson_val *v;
	size_t i, n;
	bool yes = false;
	yyjson_arr_foreach(yyjson_obj_get(x->root, "required"), i, n, v) yes |=
		str_eq(json_val_str(v), name);
	return yes;
}

/* In the schema's order: those that may come next are all up to the first that must come. */
size_t chat_xml_choices(const struct chat_xml *x, struct buf *list, struct buf *only)
{
	struct jw w = {.out = list};
	yyjson_obj_iter it = x->iter;
	yyjson_val *k;
	size_t n = 0;
	bool must = false;
	struct buf s = {0};
	jw_arr(&w);
	while (!must && x->n && (k = yyjson_obj_iter_next(&it)) != NULL) {
		buf_clear(&s);
		buf_addf(&s, "<parameter=%.*s>\n", STR_FMT(json_val_str(k)));
		jw_str(&w, buf_str(&s));
		if (!n++)
			buf_adds(only, buf_str(&s));
		must = required(x, json_val_str(k));
	}
	if (!must) {
		jw_c(&w, "</function>");
		if (!n++)
			buf_addc(only, "</function>");
	}
	jw_end(&w);
	if (s.err || !jw_done(&w))
		list->err = ERR_NOMEM;
	buf_free(&s);
	return n;
}

enum err chat_xml_value(struct croft *c, struct chat_xml *x, struct str chosen,
	struct constraint **out, bool *ends, struct errtext *et)
{
	yyjson_val *k;
	struct str name = str_sub(chosen, strlen("<parameter="), chosen.n - strlen(">\n"));
	*out = NULL;
	while (x->n && (k = yyjson_obj_iter_next(&x->iter)) != NULL)
		if (str_eq(json_val_str(k), name))
			return value_language(c, x->root, k, out, ends, et);
	return err_set(et, ERR_INTERNAL, "no argument '%.*s'", STR_FMT(str_sub(name, 0, 64)));
}

void chat_xml_free(struct chat_xml *x)
{
	yyjson_doc_free(x->doc);
	x->doc = NULL;
}

enum err chat_xml_check(
	struct croft *c, const struct chat_request *r, size_t tool, struct errtext *et)
{
	struct chat_xml x;
	yyjson_val *k;
	enum err e = chat_xml_open(r, tool, &x, et);
	if (e)
		return e;
	while (!e && x.n && (k = yyjson_obj_iter_next(&x.iter)) != NULL) {
		struct constraint *v = NULL;
		struct str name = json_val_str(k);
		bool ends;
		if (!name.n || str_chr(name, '>') != STR_NONE || str_chr(name, '<') != STR_NONE ||
			str_chr(name, '\n') != STR_NONE || name.n > 100)
			e = not_enforced(name, "its name", et);
		e = e ? e : value_language(c, x.root, k, &v, &ends, et);
		endpoint_constraint_put(c, v);
	}
	chat_xml_free(&x);
	return e;
}
