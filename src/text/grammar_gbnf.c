/* GBNF: text to rules. One pass, by descent; groups nest at most GRAMMAR_DEPTH_MAX deep. */
#include <stdlib.h>
#include "text/grammar_int.h"

struct parser {
	struct rules *r;
	struct str all, s; /* s: what is left */
	const char *counted;
	uint32_t line; /* of counted */
	unsigned depth;
	struct errtext *et;
};

/* Expressions while they are collected. */
struct list {
	const struct expr **v;
	size_t n, cap;
};

/* ---- errors and places ---- */

static uint32_t line_of(struct parser *p)
{
	for (; p->counted < p->s.p; p->counted++)
		p->line += *p->counted == '\n';
	return p->line;
}

static enum err bad(struct parser *p, const char *what)
{
	const char *line = p->s.p;
	while (line > p->all.p && line[-1] != '\n')
		line--;
	return err_set(p->et, ERR_INVALID, "line %u, column %zu: %s", line_of(p),
		(size_t)(p->s.p - line) + 1, what);
}

static enum err no_memory(const struct parser *p)
{
	return err_set(p->et, ERR_NOMEM, "no memory for the grammar");
}

static bool at(const struct parser *p, char c)
{
	return p->s.n && *p->s.p == c;
}

static void skip(struct parser *p, size_t n)
{
	p->s.p += n;
	p->s.n -= n;
}

static bool accept(struct parser *p, char c)
{
	if (!at(p, c))
		return false;
	skip(p, 1);
	return true;
}

/* Blanks and comments; ends of lines too, where they do not end a rule. */
static void blank(struct parser *p, bool lines)
{
	for (; p->s.n; skip(p, 1)) {
		char c = *p->s.p;
		if (c == '#')
			while (p->s.n && !at(p, '\n') && !at(p, '\r'))
				skip(p, 1);
		if (!p->s.n)
			return;
		c = *p->s.p;
		if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
			return;
	}
}

/* ---- making expressions ---- */

const struct expr *expr_new(struct arena *a, struct expr like)
{
	struct expr *x = arena_new_of(a, struct expr);
	if (x)
		*x = like;
	return x;
}

const struct expr *expr_seq(struct arena *a, const struct expr *x, const struct expr *y)
{
	const struct expr **kids = arena_array_of(a, 2, const struct expr *);
	if (!x || !y || !kids)
		return NULL;
	kids[0] = x;
	kids[1] = y;
	return expr_new(a, (struct expr){.kind = EXPR_SEQ, .n = 2, .kids = kids});
}

static enum err add(const struct parser *p, struct list *l, const struct expr *x)
{
	if (!x)
		return no_memory(p);
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		const struct expr **v = realloc(l->v, cap * sizeof *v);
		if (!v)
			return no_memory(p);
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = x;
	return OK;
}

/* One expression of what the list holds, which is freed. */
static enum err close(
	const struct parser *p, enum expr_kind kind, struct list *l, const struct expr **out)
{
	const struct expr *x = l->n == 1 ? l->v[0] : NULL;
	if (!x) {
		const struct expr **kids =
			arena_array_of(p->r->a, MAX(l->n, 1), const struct expr *);
		if (kids && l->n)
			memcpy(kids, l->v, l->n * sizeof *kids);
		if (kids)
			x = expr_new(p->r->a,
				(struct expr){.kind = kind, .n = (uint32_t)l->n, .kids = kids});
	}
	free(l->v);
	if (!x)
		return no_memory(p);
	*out = x;
	return OK;
}

/* ---- rules by name ---- */

uint32_t rules_find(struct rules *r, struct str name, uint32_t line)
{
	void *known = map_get(&r->names, name);
	if (known)
		return (uint32_t)(uintptr_t)known - 1;
	if (r->n == GRAMMAR_RULES_MAX)
		return NO_RULE;
	if (r->n == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 32;
		struct rule *v = realloc(r->v, cap * sizeof *v);
		if (!v)
			return NO_RULE;
		r->v = v;
		r->cap = cap;
	}
	if (!map_put(&r->names, name, (void *)(uintptr_t)(r->n + 1)))
		return NO_RULE;
	r->v[r->n] = (struct rule){.name = name, .line = line};
	return r->n++;
}

static enum err find_rule(struct parser *p, struct str name, uint32_t *out)
{
	uint32_t i = rules_find(p->r, name, line_of(p));
	if (i == NO_RULE)
		return p->r->n == GRAMMAR_RULES_MAX
			       ? err_set(p->et, ERR_TOO_LARGE, "the grammar has more than %d rules",
					 GRAMMAR_RULES_MAX)
			       : no_memory(p);
	*out = i;
	return OK;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

static struct str word(struct parser *p)
{
	size_t n = 0;
	while (n < p->s.n && is_word(p->s.p[n]))
		n++;
	struct str w = str_sub(p->s, 0, n);
	skip(p, n);
	return w;
}

/* ---- characters ---- */

static enum err hex(struct parser *p, size_t digits, uint32_t *cp)
{
	uint32_t v = 0;
	for (size_t i = 0; i < digits; i++, skip(p, 1)) {
		char c = p->s.n ? *p->s.p : 0;
		if (c >= '0' && c <= '9')
			v = v * 16 + (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (uint32_t)((c | 32) - 'a') + 10;
		else
			return bad(p, "a hexadecimal digit is missing");
	}
	if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
		return bad(p, "this is no Unicode character");
	*cp = v;
	return OK;
}

/* One character of a literal or a class. */
static enum err character(struct parser *p, uint32_t *cp)
{
	static const char plain[] = "\\\"[]-^'/", *at_plain;
	if (!p->s.n)
		return bad(p, "the grammar ends inside a literal or a class");
	if (!accept(p, '\\')) {
		if (at(p, '\n'))
			return bad(p, "a literal or a class is not closed on its line");
		skip(p, utf8_decode(p->s, cp));
		return OK;
	}
	char c = p->s.n ? *p->s.p : 0;
	at_plain = c ? strchr(plain, c) : NULL;
	if (!c)
		return bad(p, "the grammar ends after a backslash");
	skip(p, 1);
	if (c == 'x' || c == 'u' || c == 'U')
		return hex(p, c == 'x' ? 2 : c == 'u' ? 4 : 8, cp);
	*cp = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : at_plain ? (uint32_t)c : 0;
	if (*cp)
		return OK;
	p->s.p--;
	p->s.n++;
	return bad(p, "an escape that GBNF does not know");
}

static enum err literal(struct parser *p, const struct expr **out)
{
	struct buf b = {0};
	enum err e = OK;
	uint32_t cp;
	skip(p, 1);
	while (!e && !at(p, '"'))
		if (!(e = character(p, &cp)))
			buf_add_utf8(&b, cp);
	if (!e) {
		skip(p, 1);
		struct str text = arena_str(p->r->a, buf_str(&b));
		*out = text.p && !b.err
			       ? expr_new(p->r->a, (struct expr){.kind = EXPR_TEXT, .text = text})
			       : NULL;
		e = *out ? OK : no_memory(p);
	}
	buf_free(&b);
	return e;
}

static int by_from(const void *a, const void *b)
{
	const struct char_range *x = a, *y = b;
	return (x->from > y->from) - (x->from < y->from);
}

/* Sorts and joins; returns how many are left. */
static size_t join(struct char_range *v, size_t n)
{
	size_t k = 0;
	qsort(v, n, sizeof *v, by_from);
	for (size_t i = 0; i < n; i++)
		if (k && v[i].from <= v[k - 1].to + 1)
			v[k - 1].to = MAX(v[k - 1].to, v[i].to);
		else
			v[k++] = v[i];
	return k;
}

/* The gaps between sorted ranges, to out[n + 1]. */
static size_t invert(const struct char_range *v, size_t n, struct char_range *out)
{
	size_t k = 0;
	uint32_t from = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i].from > from)
			out[k++] = (struct char_range){from, v[i].from - 1};
		from = v[i].to + 1;
	}
	if (from <= 0x10FFFF)
		out[k++] = (struct char_range){from, 0x10FFFF};
	return k;
}

/* What UTF-8 cannot say. */
static const struct char_range surrogates = {0xD800, 0xDFFF};

static void add_range(struct buf *b, struct char_range r)
{
	struct char_range low = {r.from, surrogates.from - 1}, high = {surrogates.to + 1, r.to};
	if (r.from > surrogates.to || r.to < surrogates.from) {
		buf_add(b, &r, sizeof r);
		return;
	}
	if (low.from <= low.to)
		buf_add(b, &low, sizeof low);
	if (high.from <= high.to)
		buf_add(b, &high, sizeof high);
}

static enum err chars(struct parser *p, struct buf *ranges, bool not, const struct expr **out)
{
	size_t n = ranges->n / sizeof(struct char_range);
	struct char_range *v = arena_array_of(p->r->a, n + 2, struct char_range),
			  *gaps = arena_array_of(p->r->a, n + 2, struct char_range);
	if (ranges->err || !v || !gaps)
		return no_memory(p);
	if (n)
		memcpy(v, ranges->p, ranges->n);
	n = join(v, n);
	if (not )
		n = invert(v, n, gaps);
	*out = expr_new(p->r->a,
		(struct expr){.kind = EXPR_CHARS, .n = (uint32_t)n, .ranges = not ? gaps : v});
	return *out ? OK : no_memory(p);
}

static enum err class(struct parser *p, const struct expr **out) {
	struct buf ranges = {0}; enum err e = OK; skip(p, 1); bool not = accept(p, '^');
	while (!e && !at(p, ']')){struct char_range r; e = character(p, &r.from); r.to = r.from;
		if (!e && p->s.n > 1 && at(p, '-') && p->s.p[1] != ']'){skip(p, 1);
									e = character(p, &r.to);}
if (!e && r.to < r.from) e = bad(p, "a range of a class ends before it begins");
if (!e)
	add_range(&ranges, r);
}
if (!e && not )
	buf_add(&ranges, &surrogates, sizeof surrogates);
if (!e) {
	skip(p, 1);
	e = chars(p, &ranges, not, out);
}
buf_free(&ranges);
return e;
}

/* ---- items ---- */

static enum err number(struct parser *p, uint32_t *out)
{
	uint32_t v = 0;
	if (!p->s.n || *p->s.p < '0' || *p->s.p > '9')
		return bad(p, "a number is missing");
	for (; p->s.n && *p->s.p >= '0' && *p->s.p <= '9'; skip(p, 1)) {
		v = v * 10 + (uint32_t)(*p->s.p - '0');
		if (v > 1000000)
			return bad(p, "more than 1,000,000 repetitions");
	}
	*out = v;
	return OK;
}

/* {m}, {m,} or {m,n}; the brace is read. */
static enum err bounds(struct parser *p, bool lines, uint32_t *min, uint32_t *max)
{
	blank(p, lines);
	enum err e = number(p, min);
	if (e)
		return e;
	*max = *min;
	blank(p, lines);
	if (accept(p, ',')) {
		*max = NO_MAX;
		blank(p, lines);
		if (!at(p, '}') && (e = number(p, max)))
			return e;
		blank(p, lines);
	}
	if (!at(p, '}'))
		return bad(p, "expected }");
	if (*max < *min)
		return bad(p, "a repetition whose upper bound is below the lower");
	skip(p, 1);
	return OK;
}

static enum err repeats(struct parser *p, bool lines, const struct expr **x)
{
	enum { MOST = 8 };
	for (unsigned n = 0;; n++) {
		uint32_t min = 0, max = NO_MAX;
		enum err e = OK;
		blank(p, lines);
		if (accept(p, '+'))
			min = 1;
		else if (accept(p, '?'))
			max = 1;
		else if (accept(p, '{'))
			e = bounds(p, lines, &min, &max);
		else if (!accept(p, '*'))
			return OK;
		if (!e && n == MOST)
			e = bad(p, "too many repetitions of repetitions");
		if (e)
			return e;
		const struct expr **kid = arena_new_of(p->r->a, const struct expr *);
		if (!kid)
			return no_memory(p);
		*kid = *x;
		*x = expr_new(p->r->a,
			(struct expr){
				.kind = EXPR_REPEAT, .n = 1, .kids = kid, .min = min, .max = max});
		if (!*x)
			return no_memory(p);
	}
}

static enum err alternatives(struct parser *p, bool nested, const struct expr **out);

static enum err group(struct parser *p, const struct expr **out)
{
	if (p->depth == GRAMMAR_DEPTH_MAX)
		return bad(p, "parentheses nest too deeply");
	p->depth++;
	skip(p, 1);
	blank(p, true);
	enum err e = alternatives(p, true, out);
	p->depth--;
	if (e)
		return e;
	if (!accept(p, ')'))
		return bad(p, "expected )");
	return OK;
}

/* One item without what repeats it; *found is false where a sequence ends. */
static enum err item(struct parser *p, const struct expr **out, bool *found)
{
	static const struct char_range any[] = {{0, 0xD7FF}, {0xE000, 0x10FFFF}};
	enum err e;
	*found = true;
	if (at(p, '"'))
		return literal(p, out);
	if (at(p, '['))
		return class(p, out);
	if (at(p, '('))
		return group(p, out);
	if (at(p, '<') || at(p, '!'))
		return bad(p, "tokens in a grammar are not supported: write the text they stand "
			      "for");
	if (accept(p, '.')) {
		*out = expr_new(p->r->a, (struct expr){.kind = EXPR_CHARS, .n = 2, .ranges = any});
	} else if (p->s.n && is_word(*p->s.p)) {
		uint32_t rule;
		e = find_rule(p, word(p), &rule);
		if (e)
			return e;
		*out = expr_new(p->r->a, (struct expr){.kind = EXPR_CALL, .rule = rule});
	} else {
		*found = false;
		return OK;
	}
	return *out ? OK : no_memory(p);
}

static enum err sequence(struct parser *p, bool nested, const struct expr **out)
{
	struct list l = {0};
	const struct expr *x;
	bool found = true;
	enum err e = OK;
	while (!e) {
		e = item(p, &x, &found);
		if (e || !found)
			break;
		e = repeats(p, nested, &x);
		if (!e)
			e = add(p, &l, x);
		if (!e)
			blank(p, nested);
	}
	if (!e)
		return close(p, EXPR_SEQ, &l, out);
	free(l.v);
	return e;
}

static enum err alternatives(struct parser *p, bool nested, const struct expr **out)
{
	struct list l = {0};
	const struct expr *x;
	enum err e;
	do {
		blank(p, true);
		e = sequence(p, nested, &x);
		if (!e)
			e = add(p, &l, x);
	} while (!e && accept(p, '|'));
	if (!e)
		return close(p, EXPR_ALT, &l, out);
	free(l.v);
	return e;
}

static enum err rule(struct parser *p)
{
	uint32_t i = 0, line = line_of(p);
	const struct expr *body;
	struct str name = word(p);
	if (!name.n)
		return bad(p, "expected the name of a rule");
	enum err e = find_rule(p, name, &i);
	if (e)
		return e;
	if (p->r->v[i].body)
		return err_set(p->et, ERR_INVALID,
			"line %u: rule '%.*s' is defined twice, first on line %u", line,
			STR_FMT(str_sub(name, 0, 80)), p->r->v[i].line);
	blank(p, false);
	if (!str_starts(p->s, S("::=")))
		return bad(p, "expected ::=");
	skip(p, 3);
	e = alternatives(p, false, &body);
	if (e)
		return e;
	if (p->s.n && !at(p, '\n') && !at(p, '\r'))
		return bad(p, "expected the end of the rule");
	p->r->v[i].body = body;
	p->r->v[i].line = line;
	return OK;
}

enum err rules_parse_gbnf(struct rules *r, struct str text, struct errtext *et)
{
	struct parser p = {.r = r, .all = text, .s = text, .counted = text.p, .line = 1, .et = et};
	uint32_t root;
	if (text.n > GRAMMAR_TEXT_MAX)
		return err_set(et, ERR_TOO_LARGE, "the grammar has %zu bytes, at most %d are read",
			text.n, GRAMMAR_TEXT_MAX);
	if (!utf8_valid(text))
		return err_set(et, ERR_INVALID, "the grammar is not valid UTF-8");
	enum err e = find_rule(&p, S("root"), &root);
	for (blank(&p, true); !e && p.s.n; blank(&p, true))
		e = rule(&p);
	if (!e && !r->v[0].body)
		e = err_set(et, ERR_INVALID, "the grammar has no rule 'root'");
	return e;
}
