/* Rules on single artifacts: a few lines of text beside a role or a membership.
 *
 *	rules := { line ( "\n" | ";" ) }                      "#" begins a comment
 *	line  := ( "allow" | "deny" ) permission [ "where" condition ]
 *
 * A condition is a filter (text/filter.h) over kind, name, alias and tag.KEY with = != like and in,
 * in which "like" takes * and ?, and which ends with its line. A subject without the field (no
 *alias, no such tag) differs from every text: "!=" holds for it.
 *
 * permission is a word of the permission table or "artifact.*".
 *
 * Rules only take away: a deny line that fits forbids; when a permission has allow lines, one of
 * them must fit. */
#include "access/access_int.h"
#include "text/filter.h"

enum { RULES_MAX = 64 };

struct rule {
	bool allow;
	uint64_t perms;
	const struct filter *where; /* NULL: always */
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

/* ---- conditions ---- */

enum { FIELD_KIND, FIELD_NAME, FIELD_ALIAS };

static const struct filter_key fields[] = {[FIELD_KIND] = {.names = {"kind"}},
	[FIELD_NAME] = {.names = {"name"}},
	[FIELD_ALIAS] = {.names = {"alias"}}};

static const struct filter_group groups[] = {
	{.names = {"artifact"}, .keys = fields, .n_keys = ARRAY_LEN(fields)}, {.names = {"tag"}}};

static const struct filter_language language = {
	.groups = groups, .n_groups = ARRAY_LEN(groups), .rules = true};

static const struct filter *condition(struct parser *p)
{
	const struct filter *f = NULL;
	struct errtext why;
	enum err e = filter_parse_at(p->in, &p->at, &language, p->a, &f, &why);
	if (e == ERR_INVALID)
		fail(p, why.msg);
	else if (e)
		p->err = err_set(p->et, e, "%s", why.msg);
	return f;
}

static bool field_of(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct rule_subject *s = item;
	if (at)
		return false;
	if (n->group) {
		for (size_t i = 0; i < s->n_tags; i++)
			if (str_eq(s->tags[i].name, n->key))
				out->text = s->tags[i].value.p ? s->tags[i].value : S("");
		return out->text.p != NULL;
	}
	out->text = n->index == FIELD_KIND ? s->kind : n->index == FIELD_NAME ? s->name : s->alias;
	return out->text.p != NULL;
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
		r->where = condition(p);
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
		bool yes = filter_match(rule->where, &(struct filter_subject){field_of, NULL}, s);
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
