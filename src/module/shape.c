/* The type notation of route rows, a subset of TypeScript's:
 *
 *	type    = union
 *	union   = both { "|" both }
 *	both    = postfix { "&" postfix }
 *	postfix = primary { "[]" }
 *	primary = "{" [member {"," member}] "}" | "(" type ")" | "\"...\"" | name
 *	member  = name ["?"] [":" type]            (no type: string)
 *
 * Names: string, int, number, boolean, null, object, any, id, file, or a module's shape.
 * The rows are ours, but the parser is strict all the same, so that a slip is a failed test. */
#include "module/module_int.h"

struct parser {
	const char *p, *whole;
	struct arena *a;
	struct errtext *et;
	enum err e;
	unsigned depth;
};

static void fail(struct parser *x, const char *what)
{
	if (!x->e)
		x->e = err_set(x->et, ERR_INVALID, "shape: %s at \"%.40s\" in \"%.80s\"", what,
			x->p, x->whole);
}

static void skip(struct parser *x)
{
	for (;;) {
		while (*x->p == ' ' || *x->p == '\n' || *x->p == '\t')
			x->p++;
		if (x->p[0] != '/' || x->p[1] != '*')
			return;
		const char *end = strstr(x->p, "*/");
		if (!end) {
			fail(x, "unfinished comment");
			return;
		}
		x->p = end + 2;
	}
}

static bool take(struct parser *x, char c)
{
	skip(x);
	if (*x->p != c)
		return false;
	x->p++;
	return true;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static struct str take_name(struct parser *x)
{
	skip(x);
	const char *from = x->p;
	while (name_char(*x->p))
		x->p++;
	if (x->p == from)
		fail(x, "a name is expected");
	return str_mk(from, (size_t)(x->p - from));
}

static struct shape_node *node(struct parser *x, enum shape_kind kind)
{
	struct shape_node *n = arena_new_of(x->a, struct shape_node);
	if (n)
		n->kind = kind;
	else
		x->e = ERR_NOMEM;
	return n;
}

static struct shape_node *parse_type(struct parser *x);

static struct shape_node *parse_object(struct parser *x)
{
	struct shape_node *n = node(x, SHAPE_OBJECT);
	struct shape_member members[64];
	while (!x->e && !take(x, '}')) {
		if (n->n_members == ARRAY_LEN(members)) {
			fail(x, "too many members");
			break;
		}
		struct shape_member *m = &members[n->n_members++];
		m->name = take_name(x);
		m->optional = take(x, '?');
		if (take(x, ':')) {
			m->type = parse_type(x);
		} else {
			m->type = node(x, SHAPE_NAME);
			if (m->type)
				m->type->name = S("string");
		}
		if (!take(x, ',')) {
			if (!take(x, '}'))
				fail(x, "',' or '}' is expected");
			break;
		}
	}
	if (x->e)
		return n;
	n->members = arena_array_of(x->a, n->n_members + 1, struct shape_member);
	if (n->members)
		memcpy(n->members, members, n->n_members * sizeof members[0]);
	else
		x->e = ERR_NOMEM;
	return n;
}

static struct shape_node *parse_primary(struct parser *x)
{
	if (++x->depth > 32)
		fail(x, "nested too deep");
	struct shape_node *n = NULL;
	if (x->e) {
	} else if (take(x, '{')) {
		n = parse_object(x);
	} else if (take(x, '(')) {
		n = parse_type(x);
		if (!take(x, ')'))
			fail(x, "')' is expected");
	} else if (take(x, '"')) {
		const char *from = x->p, *end = strchr(x->p, '"');
		n = node(x, SHAPE_LITERAL);
		if (!end)
			fail(x, "unfinished literal");
		else if (n)
			n->name = str_mk(from, (size_t)(end - from)), x->p = end + 1;
	} else {
		n = node(x, SHAPE_NAME);
		if (n)
			n->name = take_name(x);
	}
	x->depth--;
	return n;
}

static struct shape_node *group(
	struct parser *x, enum shape_kind kind, struct shape_node **parts, size_t n)
{
	if (n == 1)
		return parts[0];
	struct shape_node *g = node(x, kind);
	if (!g)
		return NULL;
	g->parts = arena_array_of(x->a, n, struct shape_node *);
	if (!g->parts) {
		x->e = ERR_NOMEM;
		return g;
	}
	memcpy(g->parts, parts, n * sizeof *parts);
	g->n_parts = n;
	return g;
}

static struct shape_node *parse_postfix(struct parser *x)
{
	struct shape_node *n = parse_primary(x);
	while (!x->e && take(x, '[')) {
		if (!take(x, ']'))
			fail(x, "']' is expected");
		struct shape_node *array = node(x, SHAPE_ARRAY);
		struct shape_node **parts = arena_array_of(x->a, 1, struct shape_node *);
		if (!array || !parts) {
			x->e = ERR_NOMEM;
			break;
		}
		parts[0] = n;
		array->parts = parts;
		array->n_parts = 1;
		n = array;
	}
	return n;
}

static struct shape_node *parse_list(struct parser *x, char separator, enum shape_kind kind,
	struct shape_node *(*item)(struct parser *))
{
	struct shape_node *parts[32];
	size_t n = 0;
	do {
		if (n == ARRAY_LEN(parts)) {
			fail(x, "too many alternatives");
			return NULL;
		}
		parts[n++] = item(x);
	} while (!x->e && take(x, separator));
	return x->e ? NULL : group(x, kind, parts, n);
}

static struct shape_node *parse_both(struct parser *x)
{
	return parse_list(x, '&', SHAPE_BOTH, parse_postfix);
}

static struct shape_node *parse_type(struct parser *x)
{
	return parse_list(x, '|', SHAPE_UNION, parse_both);
}

enum err shape_parse(const char *text, struct arena *a, struct shape_node **out, struct errtext *et)
{
	struct parser x = {.p = text, .whole = text, .a = a, .et = et};
	struct shape_node *n = parse_type(&x);
	skip(&x);
	if (!x.e && *x.p)
		fail(&x, "the end is expected");
	if (!x.e)
		*out = n;
	return x.e;
}

/* ---- JSON Schema 2020-12 ---- */

static const struct {
	const char *name, *type, *format, *typescript;
} builtin[] = {
	{"string", "string", NULL, "string"},
	{"int", "integer", NULL, "number"},
	{"number", "number", NULL, "number"},
	{"boolean", "boolean", NULL, "boolean"},
	{"null", "null", NULL, "null"},
	{"object", "object", NULL, "Record<string, unknown>"},
	{"any", NULL, NULL, "unknown"},
	{"id", "string", "uuid", "string"},
	{"file", "string", "binary", "Blob"},
};

static void schema_name(const struct shape_node *s, struct jw *w)
{
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (str_eq_c(s->name, builtin[i].name)) {
			if (builtin[i].type)
				jw_kc(w, "type", builtin[i].type);
			if (builtin[i].format)
				jw_kc(w, "format", builtin[i].format);
			jw_end(w);
			return;
		}
	jw_key(w, "$ref");
	jw_fmt(w, "#/components/schemas/%.*s", STR_FMT(s->name));
	jw_end(w);
}

static void schema_object(const struct shape_node *s, struct jw *w)
{
	jw_obj(w);
	jw_kc(w, "type", "object");
	jw_key(w, "properties");
	jw_obj(w);
	bool required = false;
	for (size_t i = 0; i < s->n_members; i++) {
		jw_key_str(w, s->members[i].name);
		shape_json_schema(s->members[i].type, w);
		required |= !s->members[i].optional;
	}
	jw_end(w);
	if (required) {
		jw_key(w, "required");
		jw_arr(w);
		for (size_t i = 0; i < s->n_members; i++)
			if (!s->members[i].optional)
				jw_str(w, s->members[i].name);
		jw_end(w);
	}
	jw_end(w);
}

static bool all_literals(const struct shape_node *s)
{
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i]->kind != SHAPE_LITERAL)
			return false;
	return true;
}

void shape_json_schema(const struct shape_node *s, struct jw *w)
{
	switch (s->kind) {
	case SHAPE_NAME:
		schema_name(s, w);
		return;
	case SHAPE_LITERAL:
		jw_obj(w);
		jw_kstr(w, "const", s->name);
		jw_end(w);
		return;
	case SHAPE_OBJECT:
		schema_object(s, w);
		return;
	case SHAPE_ARRAY:
		jw_obj(w);
		jw_kc(w, "type", "array");
		jw_key(w, "items");
		shape_json_schema(s->parts[0], w);
		jw_end(w);
		return;
	case SHAPE_UNION:
	case SHAPE_BOTH:
		jw_obj(w);
		if (s->kind == SHAPE_UNION && all_literals(s)) {
			jw_kc(w, "type", "string");
			jw_key(w, "enum");
			jw_arr(w);
			for (size_t i = 0; i < s->n_parts; i++)
				jw_str(w, s->parts[i]->name);
		} else {
			jw_key(w, s->kind == SHAPE_UNION ? "anyOf" : "allOf");
			jw_arr(w);
			for (size_t i = 0; i < s->n_parts; i++)
				shape_json_schema(s->parts[i], w);
		}
		jw_end(w);
		jw_end(w);
		return;
	}
}

void shape_typescript(const struct shape_node *s, struct buf *out)
{
	switch (s->kind) {
	case SHAPE_NAME:
		for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
			if (str_eq_c(s->name, builtin[i].name)) {
				buf_addc(out, builtin[i].typescript);
				return;
			}
		buf_adds(out, s->name);
		return;
	case SHAPE_LITERAL:
		buf_addf(out, "\"%.*s\"", STR_FMT(s->name));
		return;
	case SHAPE_OBJECT:
		buf_addc(out, "{ ");
		for (size_t i = 0; i < s->n_members; i++) {
			const struct shape_member *m = &s->members[i];
			buf_addf(out, "%.*s%s: ", STR_FMT(m->name), m->optional ? "?" : "");
			shape_typescript(m->type, out);
			buf_addc(out, i + 1 < s->n_members ? "; " : " ");
		}
		buf_addc(out, "}");
		return;
	case SHAPE_ARRAY:
		buf_putc(out, '(');
		shape_typescript(s->parts[0], out);
		buf_addc(out, ")[]");
		return;
	case SHAPE_UNION:
	case SHAPE_BOTH:
		buf_putc(out, '(');
		for (size_t i = 0; i < s->n_parts; i++) {
			if (i)
				buf_addc(out, s->kind == SHAPE_UNION ? " | " : " & ");
			shape_typescript(s->parts[i], out);
		}
		buf_putc(out, ')');
		return;
	}
}
