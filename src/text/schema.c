/* JSON Schema: the document, its references, its nodes; compiling. */
#include "text/schema.h"

#include <stdarg.h>
#include <stdlib.h>
#include "base/clock.h"
#include "text/schema_int.h"

enum { ARENA_MAX = 256 << 20, NODES_MAX = 20000, TEXT_MAX = 4 << 20, TIME_MS = 5000 };

#define TRY(call)                     \
	do {                          \
		enum err e_ = (call); \
		if (e_)               \
			return e_;    \
	} while (0)

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "the schema needs too much memory");
}

enum err schema_in_time(struct compiler *c)
{
	return clock_thread_ns() < c->until_ns
		       ? OK
		       : err_set(c->et, ERR_TOO_LARGE,
				 "the schema takes too long to compile: use fewer or simpler "
				 "patterns, bounds and combinations");
}

struct lit schema_lit(yyjson_val *v, bool denied)
{
	return (struct lit){v, false, denied};
}

/* ---- places, for messages ---- */

static void add_step(struct buf *b, const char *p, size_t n)
{
	buf_putc(b, '/');
	for (size_t i = 0; i < n; i++)
		if (p[i] == '~' || p[i] == '/')
			buf_addc(b, p[i] == '~' ? "~0" : "~1");
		else
			buf_putc(b, p[i]);
}

/* The JSON pointer of `find` below v into b; false: not there, b as before. */
static bool place_of(yyjson_val *v, yyjson_val *find, struct buf *b)
{
	size_t i, n, before = b->n;
	yyjson_val *x, *key;
	if (v == find)
		return true;
	if (yyjson_is_obj(v)) {
		yyjson_obj_foreach(v, i, n, key, x)
		{
			add_step(b, yyjson_get_str(key), yyjson_get_len(key));
			if (key == find || place_of(x, find, b))
				return true;
			b->n = before;
		}
	} else if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, n, x)
		{
			buf_addf(b, "/%zu", i);
			if (place_of(x, find, b))
				return true;
			b->n = before;
		}
	}
	return false;
}

enum err schema_complain(struct compiler *c, enum err e, yyjson_val *at, const char *fmt, ...)
{
	struct buf b = {0}, place = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	place_of(yyjson_doc_get_root(c->doc), at, &place);
	e = err_set(c->et, e, "in the schema at #%s: %s", buf_c(&place), buf_c(&b));
	buf_free(&b);
	buf_free(&place);
	return e;
}

/* ---- references ---- */

struct base { /* of a schema: its resource */
	yyjson_val *root;
	struct str uri; /* without a fragment */
};

static struct str pointer_key(yyjson_val *const *v)
{
	return str_mk((const char *)v, sizeof *v);
}

static struct str without_fragment(struct str uri)
{
	size_t hash = str_chr(uri, '#');
	return hash == STR_NONE ? uri : str_sub(uri, 0, hash);
}

/* A relative reference against a base, as far as identifiers of schemas need it: absolute ones,
 * those from the root of the authority, and those beside the last part of the path. */
static struct str resolve(struct compiler *c, struct str base, struct str ref)
{
	size_t scheme = str_find(ref, S(":")), slash = str_chr(ref, '/');
	if (!ref.n)
		return base;
	if (ref.p[0] == '#')
		return arena_fmt(c->a, "%.*s%.*s", STR_FMT(base), STR_FMT(ref));
	if (scheme != STR_NONE && (slash == STR_NONE || scheme < slash))
		return ref;
	size_t authority = str_find(base, S("://"));
	if (ref.p[0] == '/') {
		size_t path = authority == STR_NONE
				      ? STR_NONE
				      : str_chr(str_sub(base, authority + 3, base.n), '/');
		struct str head = path == STR_NONE
					  ? (authority == STR_NONE ? (struct str){0} : base)
					  : str_sub(base, 0, authority + 3 + path);
		return arena_fmt(c->a, "%.*s%.*s", STR_FMT(head), STR_FMT(ref));
	}
	size_t last = str_rchr(base, '/');
	struct str head = last == STR_NONE || (authority != STR_NONE && last < authority + 3)
				  ? (struct str){0}
				  : str_sub(base, 0, last + 1);
	return arena_fmt(c->a, "%.*s%.*s", STR_FMT(head), STR_FMT(ref));
}

static enum err remember(struct compiler *c, struct str uri, yyjson_val *v)
{
	if (!uri.p || (!map_get(&c->resources, uri) && !map_put(&c->resources, uri, v)))
		return no_memory(c->et);
	return OK;
}

/* Notes which resource each schema is in, and what $id and $anchor call it. */
static enum err collect(struct compiler *c, yyjson_val *v, const struct base *base)
{
	size_t i, n;
	yyjson_val *x, *key;
	if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, n, x) TRY(collect(c, x, base));
		return OK;
	}
	if (!yyjson_is_obj(v))
		return OK;
	struct str id = json_str(v, "$id"), anchor = json_str(v, "$anchor");
	if (!id.p)
		id = json_str(v, "id");
	bool sibling = c->old_refs && json_str(v, "$ref").p;
	if (id.n && !sibling) {
		struct str full = resolve(c, base->uri, id);
		struct base *own = arena_new_of(c->a, struct base);
		if (!own || !full.p)
			return no_memory(c->et);
		if (id.p[0] != '#') {
			*own = (struct base){v, without_fragment(full)};
			base = own;
		}
		TRY(remember(c, id.p[0] == '#' ? full : own->uri, v));
	}
	if (anchor.n)
		TRY(remember(
			c, arena_fmt(c->a, "%.*s#%.*s", STR_FMT(base->uri), STR_FMT(anchor)), v));
	if (!map_put(&c->bases, pointer_key(&v), (void *)base)) /* NOLINT */
		return no_memory(c->et);
	yyjson_obj_foreach(v, i, n, key, x)
	{
		struct str k = json_val_str(key);
		if (!str_eq_c(k, "enum") && !str_eq_c(k, "const") && !str_eq_c(k, "default") &&
			!str_eq_c(k, "examples"))
			TRY(collect(c, x, base));
	}
	return OK;
}

static int hex(char ch)
{
	return ch >= '0' && ch <= '9'                 ? ch - '0'
	       : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10
						      : -1;
}

static void percent_decode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			buf_putc(out, (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])));
			i += 2;
		} else {
			buf_putc(out, s.p[i]);
		}
}

enum err schema_target(struct compiler *c, yyjson_val *from, struct str ref, yyjson_val **out)
{
	const struct base *base = map_get(&c->bases, pointer_key(&from));
	struct str uri = base ? base->uri : S("");
	yyjson_val *at = yyjson_obj_get(from, "$ref"), *target;
	if (!base)
		return schema_complain(
			c, ERR_UNSUPPORTED, at, "a $ref inside a constant is not followed");
	struct buf full = {0};
	percent_decode(resolve(c, uri, ref), &full);
	struct str text = buf_str(&full), head = without_fragment(text);
	struct str fragment = head.n < text.n ? str_sub(text, head.n + 1, text.n) : (struct str){0};
	yyjson_val *root = str_eq(head, uri) ? base->root : map_get(&c->resources, head);
	if (!fragment.n)
		target = root;
	else if (fragment.p[0] == '/')
		target = root ? yyjson_ptr_getn(root, fragment.p, fragment.n) : NULL;
	else
		target = map_get(&c->resources, text);
	buf_free(&full);
	if (!target && !root)
		return schema_complain(c, ERR_UNSUPPORTED, at,
			"$ref \"%.*s\" is elsewhere; schemas are not fetched", STR_FMT(ref));
	if (!target)
		return schema_complain(
			c, ERR_INVALID, at, "$ref \"%.*s\" points at nothing", STR_FMT(ref));
	*out = target;
	return OK;
}

/* ---- nodes ---- */

static int lit_order(const void *x, const void *y)
{
	const struct lit *a = x, *b = y;
	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return (a->constant - b->constant) * 2 + (a->denied - b->denied);
}

enum err schema_node(struct compiler *c, const struct lit *lits, size_t n, struct node **out)
{
	struct lit *own = arena_array_of(c->a, n + 1, struct lit);
	size_t kept = 0;
	if (!own)
		return no_memory(c->et);
	for (size_t i = 0; i < n; i++) /* "everything" adds nothing */
		if (lits[i].value || lits[i].denied)
			own[kept++] = (struct lit){.value = lits[i].value,
				.constant = lits[i].constant,
				.denied = lits[i].denied};
	if (kept)
		qsort(own, kept, sizeof *own, lit_order);
	size_t m = 0;
	for (size_t i = 0; i < kept; i++)
		if (!m || lit_order(&own[m - 1], &own[i]))
			own[m++] = own[i];
	struct buf key = {0};
	for (size_t i = 0; i < m; i++) {
		buf_add(&key, &own[i].value, sizeof own[i].value);
		buf_putc(&key, (char)(own[i].constant * 2 + own[i].denied));
	}
	struct str k = buf_str(&key);
	struct node *node = map_get(&c->nodes, k);
	if (!node) {
		node = ++c->n_nodes <= NODES_MAX ? arena_new_of(c->a, struct node) : NULL;
		if (node && map_put(&c->nodes, k, node)) {
			node->lits = own;
			node->n_lits = m;
			*c->last = node;
			c->last = &node->next;
		} else {
			node = NULL;
		}
	}
	buf_free(&key);
	if (!node)
		return c->n_nodes > NODES_MAX
			       ? err_set(c->et, ERR_TOO_LARGE,
					 "the schema has more than %d different places", NODES_MAX)
			       : no_memory(c->et);
	*out = node;
	return OK;
}

enum err schema_regex(
	struct compiler *c, yyjson_val *at, struct str pattern, const struct dfa **out)
{
	struct errtext et;
	const struct dfa *d = map_get(&c->regexes, pattern);
	if (!d) {
		TRY(schema_in_time(c));
		enum err e = dfa_regex(c->a, pattern, DFA_SEARCH, &d, &et);
		if (e)
			return schema_complain(c, e, at, "%s", et.msg);
		if (!d)
			return schema_complain(c, ERR_CONFLICT, at, "no text matches the pattern");
		if (!map_put(&c->regexes, pattern, (void *)d)) /* NOLINT */
			return no_memory(c->et);
	}
	*out = d;
	return OK;
}

/* Builds all that can be reached, and finds out which nodes have a value: those that have one when
 * their children that are known to have one are asked, until nothing changes. */
static enum err solve(struct compiler *c)
{
	for (struct node *n = c->first; n; n = n->next) {
		TRY(schema_in_time(c));
		TRY(schema_build(c, n));
	}
	for (bool changed = true; changed;) {
		TRY(schema_in_time(c));
		changed = false;
		for (struct node *n = c->first; n; n = n->next)
			changed |= schema_improve(n);
	}
	return OK;
}

static void begin(struct compiler *c)
{
	c->nodes = (struct map){0};
	c->first = NULL;
	c->last = &c->first;
}

enum err schema_possible(struct compiler *c, const struct lit *lits, size_t n, bool *out)
{
	struct compiler sub = *c;
	struct node *root = NULL;
	sub.loose = true;
	sub.n_nodes = 0;
	begin(&sub);
	enum err e = schema_node(&sub, lits, n, &root);
	if (!e)
		e = solve(&sub);
	if (!e)
		*out = root->productive;
	map_free(&sub.nodes);
	c->regexes = sub.regexes;
	if (e == ERR_TOO_LARGE) { /* then it counts as possible */
		*out = true;
		e = OK;
	}
	return e;
}

/* ---- compiling ---- */

/* Which draft: references of the older ones stand alone. */
static enum err read_draft(struct compiler *c, yyjson_val *root)
{
	static const struct {
		const char *part;
		bool old_refs;
	} drafts[] = {{"/draft-03/", true}, {"/draft-04/", true}, {"/draft-05/", true},
		{"/draft-06/", true}, {"/draft-07/", true}, {"/draft/2019-09/", false},
		{"/draft/2020-12/", false}, {"/draft/next/", false}, {"json-schema.org/v1", false},
		{"json-schema.org/schema", false}};
	yyjson_val *v = yyjson_obj_get(root, "$schema");
	if (!v)
		return OK;
	struct str s = json_val_str(v);
	for (size_t i = 0; s.p && i < sizeof drafts / sizeof *drafts; i++)
		if (str_find(s, S("json-schema.org/")) != STR_NONE &&
			str_find(s, str_c(drafts[i].part)) != STR_NONE) {
			c->old_refs = drafts[i].old_refs;
			return OK;
		}
	return schema_complain(
		c, ERR_UNSUPPORTED, v, "the dialect \"%.*s\" is not known", STR_FMT(s));
}

static enum err compile(struct compiler *c, struct node **out)
{
	yyjson_val *root = yyjson_doc_get_root(c->doc);
	struct base base = {root, S("")}, *kept = arena_new_of(c->a, struct base);
	struct lit lit = schema_lit(root, false);
	struct node *node;
	if (!kept)
		return no_memory(c->et);
	*kept = base;
	if (yyjson_is_obj(root))
		TRY(read_draft(c, root));
	TRY(collect(c, root, kept));
	TRY(schema_number_setup(c));
	begin(c);
	TRY(schema_node(c, &lit, 1, &node));
	TRY(solve(c));
	if (!node->productive)
		return err_set(c->et, ERR_CONFLICT, "the schema allows no value at all");
	for (struct node *n = c->first; n; n = n->next) {
		TRY(schema_in_time(c));
		if (n->productive)
			TRY(schema_finish(c, n));
	}
	*out = node;
	return OK;
}

enum err schema_compile(
	struct str json, const struct schema_options *o, struct schema **out, struct errtext *et)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct schema *s = a ? arena_new_of(a, struct schema) : NULL;
	struct compiler c = {.a = a,
		.o = o,
		.et = et,
		.until_ns = clock_thread_ns() + (o->time_ms ? o->time_ms : TIME_MS) * 1000000ull};
	enum err e = s ? OK : no_memory(et);
	if (!e && json.n > TEXT_MAX)
		e = err_set(et, ERR_TOO_LARGE, "the schema has %zu bytes, at most %d are read",
			json.n, TEXT_MAX);
	if (!e)
		e = json_parse(json, &c.doc, et);
	yyjson_doc *scalar = yyjson_read("{}", 2, 0);
	c.scalar = scalar ? yyjson_doc_get_root(scalar) : NULL;
	if (!e && !scalar)
		e = no_memory(et);
	struct node *root = NULL;
	if (!e)
		e = compile(&c, &root);
	yyjson_doc_free(scalar);
	map_free(&c.nodes);
	map_free(&c.regexes);
	map_free(&c.resources);
	map_free(&c.bases);
	if (e == ERR_NOMEM && a && arena_used(a) > ARENA_MAX / 2)
		e = err_set(et, ERR_TOO_LARGE,
			"the schema needs more than %d MiB: use fewer or simpler patterns, bounds "
			"and combinations",
			ARENA_MAX >> 20);
	if (e) {
		yyjson_doc_free(c.doc);
		arena_free(a);
		return e;
	}
	*s = (struct schema){.a = a, .doc = c.doc, .root = root, .lenient = o->lenient};
	s->language = (struct language){&schema_ops, s, language_id()};
	*out = s;
	return OK;
}

void schema_free(struct schema *s)
{
	if (!s)
		return;
	yyjson_doc_free(s->doc);
	arena_free(s->a);
}

const struct language *schema_language(const struct schema *s)
{
	return &s->language;
}

size_t schema_bytes(const struct schema *s)
{
	/* a parsed document takes a few times its text */
	return sizeof *s + arena_used(s->a) + 4 * yyjson_doc_get_read_size(s->doc);
}
