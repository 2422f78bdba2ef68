/* MLflow's filter language: a hand-written parser over one pass of tokens, and matching.
 *
 *	filter := clause ("AND" clause)*
 *	clause := name op value
 *	name   := [word "."] (word | `...` | "...")        without a type: an attribute
 *	value  := number | '...' | "..." | "(" text ("," text)* ")" */
#include "api/mlflow_filter.h"

#include <math.h>

struct scan {
	struct str rest;
	struct arena *a;
	struct errtext *et;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '/' || c == ' ';
}

static void skip_space(struct scan *s)
{
	while (s->rest.n && is_space(s->rest.p[0]))
		s->rest = str_sub(s->rest, 1, s->rest.n);
}

static enum err bad(struct scan *s, struct str where)
{
	return err_set(s->et, ERR_INVALID, "Invalid clause(s) in filter string: '%.*s'",
		STR_FMT(str_sub(where, 0, utf8_complete_prefix(str_sub(where, 0, 120)))));
}

/* A keyword that is a word of its own, in any case. */
static bool keyword(struct scan *s, struct str word)
{
	skip_space(s);
	if (s->rest.n < word.n || !str_eq_nocase(str_sub(s->rest, 0, word.n), word))
		return false;
	if (s->rest.n > word.n) {
		char c = s->rest.p[word.n];
		if (!is_space(c) && c != '(' && c != '\'' && c != '"')
			return false;
	}
	s->rest = str_sub(s->rest, word.n, s->rest.n);
	return true;
}

/* What stands between two equal quotes; a doubled quote is one. */
static enum err quoted(struct scan *s, char quote, struct str *out)
{
	struct str from = s->rest;
	struct buf text = {0};
	size_t i = 1;
	for (; i < from.n; i++) {
		if (from.p[i] == quote) {
			if (quote == '`' || i + 1 >= from.n || from.p[i + 1] != quote)
				break;
			i++;
		}
		buf_putc(&text, from.p[i]);
	}
	enum err e = i < from.n ? OK : bad(s, from);
	if (!e) {
		*out = arena_str(s->a, buf_str(&text));
		if (!out->p || text.err)
			e = err_set(s->et, ERR_NOMEM, "no memory for a filter");
		s->rest = str_sub(from, i + 1, from.n);
	}
	buf_free(&text);
	return e;
}

static struct str word(struct scan *s)
{
	size_t n = 0;
	while (n < s->rest.n && s->rest.p[n] != ' ' && is_word(s->rest.p[n]))
		n++;
	struct str w = str_sub(s->rest, 0, n);
	s->rest = str_sub(s->rest, n, s->rest.n);
	return w;
}

static enum err canonical_type(struct scan *s, struct str given, struct str *out)
{
	static const struct {
		const char *given, *type;
	} types[] = {{"attribute", "attribute"}, {"attributes", "attribute"}, {"attr", "attribute"},
		{"tag", "tag"}, {"tags", "tag"}, {"metric", "metric"}, {"metrics", "metric"},
		{"param", "param"}, {"params", "param"}, {"parameter", "param"},
		{"parameters", "param"}};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq_c(given, types[i].given)) {
			*out = str_c(types[i].type);
			return OK;
		}
	return err_set(s->et, ERR_INVALID,
		"Invalid entity type '%.*s'. Valid entity types are ('attribute', 'tag', 'tags')",
		STR_FMT(str_sub(given, 0, 60)));
}

/* The key after a type may itself have dots when it is written without quotes. */
static enum err key(struct scan *s, struct str *out)
{
	char first = s->rest.n ? s->rest.p[0] : 0;
	if (first == '`' || first == '"')
		return quoted(s, first, out);
	struct str from = s->rest;
	size_t n = 0;
	while (n < from.n && from.p[n] != ' ' && (is_word(from.p[n]) || from.p[n] == '.'))
		n++;
	*out = str_sub(from, 0, n);
	s->rest = str_sub(from, n, from.n);
	return n ? OK : bad(s, from);
}

static enum err name(struct scan *s, struct filter_clause *c)
{
	skip_space(s);
	struct str from = s->rest, type;
	c->type = S("attribute");
	if (s->rest.n && (s->rest.p[0] == '`' || s->rest.p[0] == '"'))
		return key(s, &c->key);
	type = word(s);
	if (!type.n)
		return bad(s, from);
	if (!s->rest.n || s->rest.p[0] != '.') {
		c->key = type;
		return OK;
	}
	s->rest = str_sub(s->rest, 1, s->rest.n);
	enum err e = canonical_type(s, type, &c->type);
	return e ? e : key(s, &c->key);
}

static enum err operator(struct scan *s, struct filter_clause *c) {
	static const struct {const char * sign; enum filter_op op;}
signs[] = {{"!=", FILTER_NE}, {"<>", FILTER_NE}, {"<=", FILTER_LE}, {">=", FILTER_GE},
	{"=", FILTER_EQ}, {"<", FILTER_LT}, {">", FILTER_GT}};
skip_space(s);
for (size_t i = 0; i < ARRAY_LEN(signs); i++)
	if (str_starts(s->rest, str_c(signs[i].sign))) {
		c->op = signs[i].op;
		s->rest = str_sub(s->rest, strlen(signs[i].sign), s->rest.n);
		return OK;
	}
if (keyword(s, S("LIKE")))
	c->op = FILTER_LIKE;
else if (keyword(s, S("ILIKE")))
	c->op = FILTER_ILIKE;
else if (keyword(s, S("IN")))
	c->op = FILTER_IN;
else if (keyword(s, S("NOT")) && keyword(s, S("IN")))
	c->op = FILTER_NOT_IN;
else
	return bad(s, s->rest);
return OK;
}

static enum err list(struct scan *s, struct filter_clause *c)
{
	struct str from = s->rest;
	c->list = arena_array_of(s->a, FILTER_LIST_MAX, struct str);
	if (!c->list)
		return err_set(s->et, ERR_NOMEM, "no memory for a filter");
	s->rest = str_sub(s->rest, 1, s->rest.n);
	for (;;) {
		skip_space(s);
		char q = s->rest.n ? s->rest.p[0] : 0;
		if ((q != '\'' && q != '"') || c->n_list == FILTER_LIST_MAX)
			return bad(s, from);
		enum err e = quoted(s, q, &c->list[c->n_list++]);
		if (e)
			return e;
		skip_space(s);
		char next = s->rest.n ? s->rest.p[0] : 0;
		s->rest = str_sub(s->rest, 1, s->rest.n);
		if (next == ')')
			return OK;
		if (next != ',')
			return bad(s, from);
	}
}

static enum err value(struct scan *s, struct filter_clause *c)
{
	skip_space(s);
	struct str from = s->rest;
	char first = from.n ? from.p[0] : 0;
	bool in = c->op == FILTER_IN || c->op == FILTER_NOT_IN;
	if (in != (first == '('))
		return bad(s, from);
	if (in)
		return list(s, c);
	if (first == '\'' || first == '"') {
		c->quoted = true;
		return quoted(s, first, &c->text);
	}
	size_t n = 0;
	while (n < from.n && !is_space(from.p[n]))
		n++;
	c->text = str_sub(from, 0, n);
	s->rest = str_sub(from, n, from.n);
	if (!n || !str_f64(c->text, &c->number))
		return err_set(s->et, ERR_INVALID,
			"Expected a quoted string value for %.*s (e.g. 'my-value'). Got value %.*s",
			STR_FMT(c->type), STR_FMT(str_sub(c->text, 0, 100)));
	return OK;
}

enum err filter_parse(
	struct str text, struct arena *a, struct filter_clause **out, size_t *n, struct errtext *et)
{
	struct scan s = {.rest = str_trim(text), .a = a, .et = et};
	size_t k = 0;
	if (text.n > FILTER_TEXT_MAX)
		return err_set(
			et, ERR_INVALID, "the filter is longer than %d bytes", FILTER_TEXT_MAX);
	struct filter_clause *list_of = arena_array_of(a, FILTER_CLAUSES_MAX, struct filter_clause);
	if (!list_of)
		return err_set(et, ERR_NOMEM, "no memory for a filter");
	while (s.rest.n) {
		struct filter_clause *c = &list_of[k];
		if (k == FILTER_CLAUSES_MAX)
			return bad(&s, s.rest);
		enum err e = name(&s, c);
		if (!e)
			e = operator(&s, c);
		if (!e)
			e = value(&s, c);
		if (e)
			return e;
		k++;
		skip_space(&s);
		if (!s.rest.n)
			break;
		if (!keyword(&s, S("AND")) || !str_trim(s.rest).n)
			return bad(&s, s.rest);
	}
	*out = list_of;
	*n = k;
	return OK;
}

/* ---- matching ---- */

static char fold(char c, bool nocase)
{
	return nocase && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Bytes of the UTF-8 character that begins at s. */
static size_t char_len(struct str s)
{
	uint32_t cp;
	return s.n ? utf8_decode(s, &cp) : 0;
}

/* SQL's LIKE: % any run, _ one character. Linear with one place to go back to. */
static bool like(struct str p, struct str v, bool nocase)
{
	size_t i = 0, j = 0, star = STR_NONE, mark = 0;
	while (j < v.n) {
		if (i < p.n && p.p[i] == '%') {
			star = i++;
			mark = j;
		} else if (i < p.n && p.p[i] == '_') {
			i++;
			j += char_len(str_sub(v, j, v.n));
		} else if (i < p.n && fold(p.p[i], nocase) == fold(v.p[j], nocase)) {
			i++;
			j++;
		} else if (star != STR_NONE) {
			i = star + 1;
			j = ++mark;
		} else {
			return false;
		}
	}
	while (i < p.n && p.p[i] == '%')
		i++;
	return i == p.n;
}

static bool in_list(const struct filter_clause *c, struct str v)
{
	for (size_t i = 0; i < c->n_list; i++)
		if (str_eq(c->list[i], v))
			return true;
	return false;
}

bool filter_match_text(const struct filter_clause *c, struct str v)
{
	if (!v.p)
		return false;
	int cmp = str_cmp(v, c->text);
	switch (c->op) {
	case FILTER_EQ:
		return cmp == 0;
	case FILTER_NE:
		return cmp != 0;
	case FILTER_LT:
		return cmp < 0;
	case FILTER_LE:
		return cmp <= 0;
	case FILTER_GT:
		return cmp > 0;
	case FILTER_GE:
		return cmp >= 0;
	case FILTER_LIKE:
		return like(c->text, v, false);
	case FILTER_ILIKE:
		return like(c->text, v, true);
	case FILTER_IN:
		return in_list(c, v);
	case FILTER_NOT_IN:
		return !in_list(c, v);
	}
	return false;
}

bool filter_match_number(const struct filter_clause *c, double v)
{
	switch (c->op) {
	case FILTER_EQ:
		return v == c->number;
	case FILTER_NE:
		return v != c->number;
	case FILTER_LT:
		return v < c->number;
	case FILTER_LE:
		return v <= c->number;
	case FILTER_GT:
		return v > c->number;
	case FILTER_GE:
		return v >= c->number;
	default:
		return false;
	}
}

/* ---- order ---- */

enum err filter_order_parse(
	struct str text, struct arena *a, struct filter_order *out, struct errtext *et)
{
	struct scan s = {.rest = str_trim(text), .a = a, .et = et};
	struct str head = {0};
	struct filter_order o = {0};
	struct buf full = {0};
	if (s.rest.n && s.rest.p[0] != '`' && s.rest.p[0] != '"')
		head = word(&s);
	if (head.n && s.rest.n && s.rest.p[0] == '.') {
		struct str k;
		s.rest = str_sub(s.rest, 1, s.rest.n);
		enum err e = key(&s, &k);
		if (e)
			return e;
		buf_addf(&full, "%.*s.%.*s", STR_FMT(head), STR_FMT(k));
	} else if (head.n) {
		buf_adds(&full, head);
	} else {
		struct str k;
		enum err e = key(&s, &k);
		if (e)
			return e;
		buf_adds(&full, k);
	}
	o.key = arena_str(a, buf_str(&full));
	buf_free(&full);
	if (keyword(&s, S("DESC")))
		o.descending = true;
	else
		(void)keyword(&s, S("ASC"));
	if (!o.key.p)
		return err_set(et, ERR_NOMEM, "no memory for an order");
	if (str_trim(s.rest).n || !o.key.n)
		return err_set(et, ERR_INVALID, "Invalid order_by clause '%.*s'.",
			STR_FMT(str_sub(text, 0, 120)));
	*out = o;
	return OK;
}
