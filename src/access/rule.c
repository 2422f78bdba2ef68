/* Rules on single artifacts: a few lines of text beside a role or a membership.
 *
 *	rules := { line ( "\n" | ";" ) }                      "#" begins a comment
 *	line  := ( "allow" | "deny" ) permission [ "where" or ]
 *	or    := and { "or" and }
 *	and   := not { "and" not }
 *	not   := "not" not | "(" or ")" | field ( "=" | "!=" | "like" ) text
 *	       | field [ "not" ] "in" "(" text { "," text } ")"
 *	field := "kind" | "name" | "alias" | "tag." key
 *	text  := 'x' with '' for a quote, or "x" with "" for one
 *
 * permission is a word of the permission table or "artifact.*". "like" takes * and ?. A subject
 * without the field (no alias, no such tag) is equal to no text, so that "!=" holds for it.
 *
 * Rules only take away: a deny line that fits forbids; when a permission has allow lines, one of
 * them must fit. */
#include "access/access_int.h"

#include <stdio.h>

enum { RULES_MAX = 64, DEPTH_MAX = 32, NODES_MAX = 2048 };

enum node_kind { NODE_EQ, NODE_LIKE, NODE_AND, NODE_OR, NODE_NOT };

struct node {
	enum node_kind kind;
	struct str field, text;
	const struct node *a, *b;
};

struct rule {
	bool allow;
	uint64_t perms;
	const struct node *where; /* NULL: always */
	struct str text;
};

struct rules {
	struct rule *rule;
	size_t n;
};

struct parser {
	struct str in;
	size_t at;
	struct arena *a;
	unsigned depth, nodes;
	struct errtext *et;
	enum err err;
};

/* ---- words ---- */

static void fail(struct parser *p, const char *what)
{
	size_t line = 1, begin = 0;
	if (p->err)
		return;
	for (size_t i = 0; i < p->at && i < p->in.n; i++)
		if (p->in.p[i] == '\n')
			line++, begin = i + 1;
	p->err = err_set(p->et, ERR_INVALID, "rules, line %zu, column %zu: %s", line,
		p->at - begin + 1, what);
}

static char peek(const struct parser *p)
{
	return p->at < p->in.n ? p->in.p[p->at] : 0;
}

static void blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\r')
		p->at++;
	if (peek(p) == '#')
		while (p->at < p->in.n && peek(p) != '\n')
			p->at++;
}

static bool word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-' || c == '*' || c == '/' || (unsigned char)c >= 0x80;
}

static struct str word(struct parser *p)
{
	blanks(p);
	size_t from = p->at;
	while (word_byte(peek(p)))
		p->at++;
	return str_sub(p->in, from, p->at);
}

static bool take_word(struct parser *p, const char *wanted)
{
	size_t at = p->at;
	if (str_eq_nocase(word(p), str_c(wanted)))
		return true;
	p->at = at;
	return false;
}

static bool take(struct parser *p, const char *symbol)
{
	blanks(p);
	if (!str_starts(str_sub(p->in, p->at, p->in.n), str_c(symbol)))
		return false;
	p->at += strlen(symbol);
	return true;
}

static struct str quoted(struct parser *p)
{
	struct buf b = {0};
	blanks(p);
	char q = peek(p);
	if (q != '\'' && q != '"') {
		fail(p, "a text in quotes is expected, such as 'prod'");
		return (struct str){0};
	}
	for (p->at++; p->at < p->in.n; p->at++) {
		if (peek(p) == q && (p->at + 1 >= p->in.n || p->in.p[p->at + 1] != q))
			break;
		p->at += peek(p) == q;
		buf_putc(&b, peek(p));
	}
	struct str s = arena_str(p->a, buf_str(&b));
	if (p->at >= p->in.n)
		fail(p, "the quote is not closed");
	else if (b.err || !s.p)
		p->err = err_set(p->et, ERR_NOMEM, "no memory for rules");
	p->at++;
	buf_free(&b);
	return s;
}

/* ---- conditions ---- */

static struct node *make(
	struct parser *p, enum node_kind kind, const struct node *a, const struct node *b)
{
	struct node *n = ++p->nodes > NODES_MAX ? NULL : arena_new_of(p->a, struct node);
	if (!n) {
		fail(p, "too long a condition");
		return NULL;
	}
	*n = (struct node){.kind = kind, .a = a, .b = b};
	return n;
}

static const struct node *compare(
	struct parser *p, enum node_kind kind, struct str field, bool negated)
{
	struct node *n = make(p, kind, NULL, NULL);
	if (!n)
		return NULL;
	n->field = field;
	n->text = quoted(p);
	return negated ? make(p, NODE_NOT, n, NULL) : n;
}

static const struct node *one_of(struct parser *p, struct str field, bool negated)
{
	const struct node *all = NULL;
	if (!take(p, "("))
		fail(p, "( is expected after in");
	do {
		const struct node *n = compare(p, NODE_EQ, field, false);
		all = all ? make(p, NODE_OR, all, n) : n;
	} while (!p->err && take(p, ","));
	if (!p->err && !take(p, ")"))
		fail(p, ") is expected");
	return negated ? make(p, NODE_NOT, all, NULL) : all;
}

static const struct node *comparison(struct parser *p)
{
	blanks(p);
	size_t at = p->at;
	struct str field = word(p);
	bool known = str_eq_c(field, "kind") || str_eq_c(field, "name") ||
		     str_eq_c(field, "alias") || (str_starts(field, S("tag.")) && field.n > 4);
	if (!known) {
		p->at = at;
		fail(p, "kind, name, alias or tag.KEY is expected");
		return NULL;
	}
	if (take(p, "!="))
		return compare(p, NODE_EQ, field, true);
	if (take(p, "="))
		return compare(p, NODE_EQ, field, false);
	if (take_word(p, "like"))
		return compare(p, NODE_LIKE, field, false);
	if (take_word(p, "in"))
		return one_of(p, field, false);
	if (take_word(p, "not")) {
		if (take_word(p, "in"))
			return one_of(p, field, true);
		if (take_word(p, "like"))
			return compare(p, NODE_LIKE, field, true);
	}
	fail(p, "=, !=, like, in or not in is expected");
	return NULL;
}

static const struct node *or_of(struct parser *p);

static const struct node *not_of(struct parser *p)
{
	const struct node *n = NULL;
	if (++p->depth > DEPTH_MAX)
		fail(p, "nested too deep");
	else if (take_word(p, "not"))
		n = make(p, NODE_NOT, not_of(p), NULL);
	else if (take(p, "(")) {
		n = or_of(p);
		if (!p->err && !take(p, ")"))
			fail(p, ") is expected");
	} else
		n = comparison(p);
	p->depth--;
	return n;
}

static const struct node *and_of(struct parser *p)
{
	const struct node *n = not_of(p);
	while (!p->err && take_word(p, "and"))
		n = make(p, NODE_AND, n, not_of(p));
	return n;
}

static const struct node *or_of(struct parser *p)
{
	const struct node *n = and_of(p);
	while (!p->err && take_word(p, "or"))
		n = make(p, NODE_OR, n, and_of(p));
	return n;
}

/* ---- lines ---- */

static uint64_t permissions(struct parser *p)
{
	blanks(p);
	size_t at = p->at;
	struct str w = word(p);
	uint64_t mask = 0;
	enum perm perm;
	if (w.n > 2 && str_ends(w, S(".*"))) {
		for (unsigned i = PERM_SIGNED_IN + 1; i < PERM_COUNT; i++)
			if (str_starts(str_c(perm_word((enum perm)i)), str_sub(w, 0, w.n - 1)))
				mask |= PERM_BIT(i);
	} else if (perm_parse(w, &perm)) {
		mask = PERM_BIT(perm);
	}
	if (!mask) {
		p->at = at;
		fail(p, "a permission is expected, such as artifact.alias or artifact.*");
	}
	return mask;
}

static void line(struct parser *p, struct rules *out)
{
	size_t from = p->at;
	if (out->n == RULES_MAX) {
		fail(p, "64 rules are the most");
		return;
	}
	struct rule *r = &out->rule[out->n];
	*r = (struct rule){.allow = take_word(p, "allow")};
	if (!r->allow && !take_word(p, "deny")) {
		fail(p, "allow or deny is expected");
		return;
	}
	r->perms = permissions(p);
	if (!p->err && take_word(p, "where"))
		r->where = or_of(p);
	r->text = str_trim(str_sub(p->in, from, MIN(p->at, p->in.n)));
	blanks(p);
	if (!p->err && p->at < p->in.n && peek(p) != '\n' && peek(p) != ';')
		fail(p, "the end of the rule is expected (a new line or ;)");
	out->n++;
}

enum err rules_parse(struct str text, struct arena *a, struct rules **out, struct errtext *et)
{
	struct parser p = {.in = arena_str(a, text), .a = a, .et = et};
	struct rules *r = arena_new_of(a, struct rules);
	if (text.n > RULES_TEXT_MAX)
		return err_set(et, ERR_TOO_LARGE, "rules have at most %d bytes", RULES_TEXT_MAX);
	if (!utf8_valid(text) || memchr(text.p ? text.p : "", 0, text.n))
		return err_set(et, ERR_INVALID, "rules must be UTF-8 text");
	if (r)
		r->rule = arena_array_of(a, RULES_MAX, struct rule);
	if (!r || !r->rule || !p.in.p)
		return err_set(et, ERR_NOMEM, "no memory for rules");
	while (!p.err) {
		blanks(&p);
		if (p.at >= p.in.n)
			break;
		if (peek(&p) == '\n' || peek(&p) == ';')
			p.at++;
		else
			line(&p, r);
	}
	if (p.err)
		return p.err;
	*out = r->n ? r : NULL;
	return OK;
}

/* ---- deciding ---- */

static bool field_of(const struct rule_subject *s, struct str field, struct str *out)
{
	*out = str_eq_c(field, "kind")    ? s->kind
	       : str_eq_c(field, "name")  ? s->name
	       : str_eq_c(field, "alias") ? s->alias
					  : (struct str){0};
	if (str_starts(field, S("tag.")))
		for (size_t i = 0; i < s->n_tags; i++)
			if (str_eq(s->tags[i].name, str_sub(field, 4, field.n)))
				*out = s->tags[i].value.p ? s->tags[i].value : S("");
	return out->p != NULL;
}

/* "*" any bytes, "?" one code point; linear steps back only to the last star. */
static bool like(struct str pattern, struct str s)
{
	size_t p = 0, i = 0, star = STR_NONE, mark = 0;
	uint32_t cp;
	while (i < s.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			mark = i;
		} else if (p < pattern.n && pattern.p[p] == '?') {
			i += utf8_decode(str_sub(s, i, s.n), &cp);
			p++;
		} else if (p < pattern.n && pattern.p[p] == s.p[i]) {
			p++, i++;
		} else if (star != STR_NONE) {
			p = star + 1;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

static bool fits(const struct node *n, struct str value)
{
	return n->kind == NODE_LIKE ? like(n->text, value) : str_eq(value, n->text);
}

/* What has several aliases is equal to each of them. */
static bool equals(const struct node *n, const struct rule_subject *s)
{
	struct str value;
	if (field_of(s, n->field, &value) && fits(n, value))
		return true;
	for (size_t i = 0; i < s->n_aliases && str_eq_c(n->field, "alias"); i++)
		if (fits(n, s->aliases[i]))
			return true;
	return false;
}

static bool holds(const struct node *n, const struct rule_subject *s)
{
	switch (n->kind) {
	case NODE_EQ:
	case NODE_LIKE:
		return equals(n, s);
	case NODE_NOT:
		return !holds(n->a, s);
	case NODE_AND:
		return holds(n->a, s) && holds(n->b, s);
	case NODE_OR:
		return holds(n->a, s) || holds(n->b, s);
	}
	return false;
}

bool rules_touch(const struct rules *r, enum perm p)
{
	for (size_t i = 0; r && i < r->n; i++)
		if (r->rule[i].perms & PERM_BIT(p))
			return true;
	return false;
}

bool rules_accept(
	const struct rules *r, enum perm p, const struct rule_subject *s, struct str *denied_by)
{
	const struct rule *allow = NULL;
	bool one_fits = false;
	for (size_t i = 0; r && i < r->n; i++) {
		const struct rule *rule = &r->rule[i];
		if (!(rule->perms & PERM_BIT(p)))
			continue;
		bool yes = !rule->where || holds(rule->where, s);
		if (!rule->allow && yes) {
			*denied_by = rule->text;
			return false;
		}
		if (rule->allow && !allow)
			allow = rule;
		one_fits |= rule->allow && yes;
	}
	if (allow && !one_fits)
		*denied_by = allow->text;
	return !allow || one_fits;
}
