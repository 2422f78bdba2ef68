/* ECMA-262's regular expressions: from their text to a tree, from the tree to a program.
 *
 * The grammar is that of the u flag; what only the flag refuses and can be read in one way is read
 * so (Annex B): escaped punctuation, a class escape beside a hyphen, a lone bracket or brace. The
 * tree's children hang on a list from the last to the first, because the program is written from
 * its end: what an instruction goes on with is there before it. */
#include "text/dfa_regex_int.h"

#include <stdlib.h>

enum { REPEAT_MAX = 1 << 24, SPANS_MAX = 4000000, NO_NODE = 0 };
#define UNBOUNDED UINT32_MAX

enum kind { N_EMPTY, N_CAT, N_ALT, N_SET, N_ANY, N_REPEAT, N_ASSERT, N_LOOK };

struct node {
	enum kind kind;
	enum op op;        /* N_ASSERT */
	uint32_t before;   /* the sibling before this one */
	uint32_t child;    /* the last child */
	uint32_t x;        /* a set, a look */
	uint32_t min, max; /* N_REPEAT */
};

struct property {
	struct str name; /* in the pattern, as between the braces */
	struct cset set;
};

struct parser {
	struct str in;
	size_t at;
	bool caseless;
	int depth;
	uint32_t look; /* the one we are in, or UINT32_MAX */
	uint32_t n_groups, back_reference;
	size_t back_reference_at;
	struct node *nodes; /* nodes[0] is unused: 0 is no node */
	size_t nodes_cap;
	uint32_t n_nodes;
	struct seqs sets;          /* spans of each set: equal sets are one */
	struct property *known;    /* what \p was asked for already */
	size_t known_cap, n_spans; /* n_spans: copied so far, a measure of work */
	uint32_t n_known;
	struct program *out;
	enum err err;
	struct errtext *et;
};

/* ---- errors and letters ---- */

static bool fail(struct parser *p, enum err e, size_t at, const char *what)
{
	if (!p->err)
		p->err = err_set(p->et, e, "regular expression, offset %zu: %s", at, what);
	return false;
}

static bool invalid(struct parser *p, const char *what)
{
	return fail(p, ERR_INVALID, p->at, what);
}

static bool no_memory(struct parser *p)
{
	return fail(p, ERR_NOMEM, p->at, "out of memory");
}

static bool at_end(const struct parser *p)
{
	return p->at >= p->in.n;
}

/* The byte that comes next, 0 at the end (a NUL itself is never looked for). */
static char peek(const struct parser *p)
{
	return at_end(p) ? 0 : p->in.p[p->at];
}

static bool ahead(const struct parser *p, const char *text)
{
	return str_starts(str_sub(p->in, p->at, p->in.n), str_c(text));
}

static bool take(struct parser *p, const char *text)
{
	if (!ahead(p, text))
		return false;
	p->at += strlen(text);
	return true;
}

static uint32_t take_cp(struct parser *p)
{
	uint32_t cp;
	p->at += utf8_decode(str_sub(p->in, p->at, p->in.n), &cp);
	return cp;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(struct parser *p, int digits, uint32_t *value)
{
	uint32_t v = 0;
	if (p->in.n - p->at < (size_t)digits)
		return false;
	for (int i = 0; i < digits; i++) {
		int d = hex_digit(p->in.p[p->at + (size_t)i]);
		if (d < 0)
			return false;
		v = v * 16 + (uint32_t)d;
	}
	p->at += (size_t)digits;
	*value = v;
	return true;
}

static void close_case(struct parser *p, struct cset *set)
{
	p->n_spans += cset_close_case(set);
	if (p->n_spans > SPANS_MAX)
		fail(p, ERR_TOO_LARGE, p->at, "too many classes of characters");
}

/* ---- escapes ---- */

/* \u: four digits (two of them for a surrogate pair), or any number in braces. */
static bool take_unicode(struct parser *p, uint32_t *cp)
{
	if (take(p, "{")) {
		uint32_t v = 0, n = 0;
		for (int d; (d = hex_digit(peek(p))) >= 0; n++, p->at++)
			v = MIN(v * 16 + (uint32_t)d, 0x110000);
		if (!n || v > 0x10FFFF || !take(p, "}"))
			return invalid(
				p, "\\u{...} wants a code point up to 10FFFF in hexadecimal");
		*cp = v;
		return true;
	}
	if (!take_hex(p, 4, cp))
		return invalid(p, "\\u wants four hexadecimal digits, or {...}");
	size_t at = p->at;
	uint32_t low;
	if (*cp >= 0xD800 && *cp <= 0xDBFF && take(p, "\\u") && take_hex(p, 4, &low) &&
		low >= 0xDC00 && low <= 0xDFFF)
		*cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
	else
		p->at = at;
	return true;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint32_t take_number(struct parser *p)
{
	uint32_t v = 0;
	for (; is_digit(peek(p)); p->at++)
		v = MIN(v * 10 + (uint32_t)(peek(p) - '0'), REPEAT_MAX);
	return v;
}

/* What follows a backslash, when it stands for one code point. */
static bool take_char_escape(struct parser *p, uint32_t *cp)
{
	static const char names[] = "fnrtv", values[] = "\f\n\r\t\v";
	char c = peek(p);
	const char *name = c ? strchr(names, c) : NULL;
	if (name) {
		p->at++;
		*cp = (unsigned char)values[name - names];
		return true;
	}
	if (c == '0' && (p->at + 1 >= p->in.n || !is_digit(p->in.p[p->at + 1]))) {
		p->at++;
		*cp = 0;
		return true;
	}
	if (take(p, "c")) {
		if (!is_letter(peek(p)))
			return invalid(p, "\\c wants a letter");
		*cp = (uint32_t)p->in.p[p->at++] % 32;
		return true;
	}
	if (take(p, "x"))
		return take_hex(p, 2, cp) || invalid(p, "\\x wants two hexadecimal digits");
	if (take(p, "u"))
		return take_unicode(p, cp);
	if (at_end(p))
		return invalid(p, "a backslash at the end");
	if (is_letter(c) || is_digit(c) || (c & 0x80)) {
		p->at--;
		return invalid(p, "no such escape");
	}
	*cp = take_cp(p);
	return true;
}

/* ICU takes a millisecond for some: each property is asked for once. */
static const struct cset *property(struct parser *p, struct str in)
{
	struct str name = in, value = {0};
	struct cset set = {0};
	for (uint32_t i = 0; i < p->n_known; i++)
		if (str_eq(p->known[i].name, in))
			return &p->known[i].set;
	size_t equal = str_chr(in, '=');
	if (equal != STR_NONE) {
		value = str_sub(in, equal + 1, in.n);
		name = str_sub(in, 0, equal);
	}
	if (memchr(in.p, 0, in.n) || !cset_add_property(&set, name, value)) {
		invalid(p, "ECMA-262 knows no such property of characters");
	} else if (!dfa_grow(&p->known, &p->known_cap, (size_t)p->n_known + 1, sizeof *p->known)) {
		no_memory(p);
	} else {
		cset_sort(&set);
		p->known[p->n_known++] = (struct property){in, set};
		return &p->known[p->n_known - 1].set;
	}
	cset_free(&set);
	return NULL;
}

/* \p and \P after the letter. */
static bool take_property(struct parser *p, struct cset *set)
{
	struct str in = str_sub(p->in, p->at, p->in.n);
	size_t end = str_chr(in, '}');
	if (!str_starts(in, S("{")) || end == STR_NONE)
		return invalid(p, "\\p wants a property in braces");
	const struct cset *known = property(p, str_sub(in, 1, end));
	if (!known)
		return false;
	p->at += end + 1;
	cset_add_set(set, known);
	p->n_spans += known->n;
	return p->n_spans <= SPANS_MAX || fail(p, ERR_TOO_LARGE, p->at, "too many properties");
}

/* \d \D \s \S \w \W \p \P into `set`; *is_class is false when something else follows. */
static bool take_class_escape(struct parser *p, struct cset *set, bool *is_class)
{
	char c = peek(p);
	struct cset plain = {0};
	bool ok = true;
	*is_class = c && strchr("dDsSwWpP", c);
	if (!*is_class)
		return true;
	p->at++;
	if (c == 'd' || c == 'D')
		cset_add_digits(&plain);
	else if (c == 's' || c == 'S')
		cset_add_space(&plain);
	else if (c == 'w' || c == 'W')
		cset_add_word(&plain, p->caseless);
	else
		ok = take_property(p, &plain);
	cset_sort(&plain);
	if (c & 0x20)
		cset_add_set(set, &plain);
	else
		cset_add_not(set, &plain);
	cset_free(&plain);
	return ok;
}

/* ---- nodes ---- */

static uint32_t node(struct parser *p, struct node n)
{
	if (p->err)
		return NO_NODE;
	if (!dfa_grow(&p->nodes, &p->nodes_cap, (size_t)p->n_nodes + 2, sizeof *p->nodes)) {
		no_memory(p);
		return NO_NODE;
	}
	p->nodes[++p->n_nodes] = n;
	return p->n_nodes;
}

/* A set's number: takes the set over. */
static uint32_t put_set(struct parser *p, struct cset *set)
{
	struct program *out = p->out;
	uint32_t id = UINT32_MAX;
	enum err e = set->failed ? ERR_NOMEM : OK;
	cset_sort(set);
	if (!e)
		id = seqs_put(&p->sets, (const uint32_t *)set->v, (size_t)set->n * 2, &e);
	if (!e && id == out->n_sets) {
		if (dfa_grow(&out->sets, &out->sets_cap, (size_t)id + 1, sizeof *out->sets)) {
			out->sets[out->n_sets++] = *set;
			*set = (struct cset){0};
		} else {
			e = ERR_NOMEM;
		}
	}
	cset_free(set);
	if (e)
		fail(p, e, p->at,
			e == ERR_NOMEM ? "out of memory" : "too many classes of characters");
	return e ? 0 : id;
}

static uint32_t set_node(struct parser *p, struct cset *set)
{
	cset_sort(set);
	if (set->n == 1 && !set->v[0].lo && set->v[0].hi == LETTER_MAX) {
		cset_free(set);
		return node(p, (struct node){.kind = N_ANY});
	}
	return node(p, (struct node){.kind = N_SET, .x = put_set(p, set)});
}

static uint32_t cp_node(struct parser *p, uint32_t cp)
{
	struct cset set = {0};
	cset_add(&set, cp, cp);
	if (p->caseless)
		close_case(p, &set);
	return set_node(p, &set);
}

/* ^, \b and \B look at what was before: a look-ahead that contains them depends on where it is
 * taken; a look-behind begins where the text does. */
static uint32_t assert_node(struct parser *p, enum op op)
{
	if (op != OP_END)
		for (uint32_t l = p->look; l != UINT32_MAX && !p->out->looks[l].behind;
			l = p->out->looks[l].owner)
			p->out->looks[l].uses_context = true;
	if (op == OP_WORD || op == OP_NOWORD)
		p->out->uses_words = true;
	return node(p, (struct node){.kind = N_ASSERT, .op = op});
}

/* ---- classes ---- */

/* One member: a code point, or a class escape whose letters go into `set` (*is_class). */
static bool take_member(struct parser *p, struct cset *set, uint32_t *cp, bool *is_class)
{
	*is_class = false;
	if (at_end(p))
		return invalid(p, "a class without ]");
	if (!take(p, "\\")) {
		*cp = take_cp(p);
		return true;
	}
	if (take(p, "b")) {
		*cp = '\b';
		return true;
	}
	return take_class_escape(p, set, is_class) && (*is_class || take_char_escape(p, cp));
}

static bool take_members(struct parser *p, struct cset *set)
{
	while (!take(p, "]")) {
		uint32_t lo, hi;
		bool lo_class, hi_class;
		size_t at = p->at;
		if (!take_member(p, set, &lo, &lo_class))
			return false;
		if (!ahead(p, "-") || ahead(p, "-]")) {
			if (!lo_class)
				cset_add(set, lo, lo);
			continue;
		}
		p->at++;
		if (!take_member(p, set, &hi, &hi_class))
			return false;
		if (!lo_class && !hi_class && lo > hi)
			return fail(p, ERR_INVALID, at, "a range that ends before it begins");
		if (!lo_class && !hi_class) {
			cset_add(set, lo, hi);
			continue;
		}
		cset_add(set, '-', '-'); /* [\w-x]: a hyphen */
		if (!lo_class)
			cset_add(set, lo, lo);
		if (!hi_class)
			cset_add(set, hi, hi);
	}
	return true;
}

/* After the opening bracket. */
static uint32_t parse_class(struct parser *p)
{
	struct cset set = {0}, inverse = {0};
	bool negative = take(p, "^"), ok = take_members(p, &set);
	if (ok && p->caseless)
		close_case(p, &set);
	cset_sort(&set);
	if (ok && negative) {
		cset_add_not(&inverse, &set);
		cset_free(&set);
		set = inverse;
	}
	if (ok)
		return set_node(p, &set);
	cset_free(&set);
	return NO_NODE;
}

/* ---- groups ---- */

static uint32_t parse_alternatives(struct parser *p);

static bool take_group_name(struct parser *p)
{
	for (bool first = true;; first = false) {
		if (!first && take(p, ">"))
			return true;
		uint32_t cp = at_end(p) ? ' ' : take_cp(p);
		if (cp == '\\' && (!take(p, "u") || !take_unicode(p, &cp)))
			return invalid(p, "a group's name is an identifier");
		if (!(first ? cset_is_id_start(cp) : cset_is_id_part(cp)))
			return invalid(p, "a group's name is an identifier");
	}
}

static uint32_t parse_inside(struct parser *p, size_t at)
{
	if (++p->depth > REGEX_DEPTH_MAX) {
		fail(p, ERR_TOO_LARGE, at, "groups are nested too deeply");
		return NO_NODE;
	}
	uint32_t inside = parse_alternatives(p);
	p->depth--;
	if (!p->err && !take(p, ")"))
		fail(p, ERR_INVALID, at, "a group without )");
	return inside;
}

/* A group that is more than brackets for the parser: what is inside of it can be repeated. */
static uint32_t parse_plain(struct parser *p, size_t at)
{
	uint32_t inside = parse_inside(p, at);
	return node(p, (struct node){.kind = N_CAT, .child = inside});
}

static uint32_t parse_look(struct parser *p, size_t at, bool behind, bool negative)
{
	struct program *out = p->out;
	uint32_t outer = p->look, id = out->n_looks;
	uint32_t scope = UINT32_MAX;
	if (outer != UINT32_MAX)
		scope = out->looks[outer].behind ? outer : out->looks[outer].scope;
	if (scope != UINT32_MAX && !behind) {
		fail(p, ERR_UNSUPPORTED, at, "look-ahead inside look-behind");
		return NO_NODE;
	}
	if (id >= REGEX_LOOKS_MAX) {
		fail(p, ERR_TOO_LARGE, at, "too many look-arounds");
		return NO_NODE;
	}
	if (!dfa_grow(&out->looks, &out->looks_cap, (size_t)id + 1, sizeof *out->looks)) {
		no_memory(p);
		return NO_NODE;
	}
	out->looks[out->n_looks++] =
		(struct look){UINT32_MAX, outer, scope, behind, negative, false, at};
	p->look = id;
	uint32_t inside = parse_inside(p, at);
	p->look = outer;
	return node(p, (struct node){.kind = N_LOOK, .x = id, .child = inside});
}

/* After the opening parenthesis at `at`. */
static uint32_t parse_group(struct parser *p, size_t at)
{
	if (take(p, "?=") || take(p, "?!"))
		return parse_look(p, at, false, p->in.p[p->at - 1] == '!');
	if (take(p, "?<=") || take(p, "?<!"))
		return parse_look(p, at, true, p->in.p[p->at - 1] == '!');
	if (take(p, "?:"))
		return parse_plain(p, at);
	p->n_groups++;
	if (take(p, "?<")) {
		if (!take_group_name(p))
			return NO_NODE;
	} else if (ahead(p, "?")) {
		bool flags = p->at + 1 < p->in.n && strchr("ims-", p->in.p[p->at + 1]);
		if (flags)
			fail(p, ERR_UNSUPPORTED, p->at, "flags of a group");
		else
			invalid(p, "no such kind of group");
		return NO_NODE;
	}
	return parse_plain(p, at);
}

/* ---- terms ---- */

static uint32_t parse_back_reference(struct parser *p, size_t at)
{
	uint32_t number = take_number(p);
	if (number > p->back_reference) {
		p->back_reference = number;
		p->back_reference_at = at;
	}
	return node(p, (struct node){.kind = N_EMPTY});
}

static uint32_t parse_escape(struct parser *p)
{
	size_t at = p->at - 1;
	struct cset set = {0};
	bool is_class;
	uint32_t cp;
	if (take(p, "b"))
		return assert_node(p, OP_WORD);
	if (take(p, "B"))
		return assert_node(p, OP_NOWORD);
	if (peek(p) >= '1' && peek(p) <= '9')
		return parse_back_reference(p, at);
	if (ahead(p, "k<")) {
		fail(p, ERR_UNSUPPORTED, at, "back references are not regular");
		return NO_NODE;
	}
	if (!take_class_escape(p, &set, &is_class)) {
		cset_free(&set);
		return NO_NODE;
	}
	if (!is_class)
		return take_char_escape(p, &cp) ? cp_node(p, cp) : NO_NODE;
	if (p->caseless)
		close_case(p, &set);
	return set_node(p, &set);
}

static uint32_t parse_dot(struct parser *p)
{
	struct cset ends = {0}, set = {0};
	cset_add_line_ends(&ends);
	cset_sort(&ends);
	cset_add_not(&set, &ends);
	cset_free(&ends);
	return set_node(p, &set);
}

/* {n}, {n,}, {n,m}: false and nothing taken when it is not one (a literal brace). */
static bool take_bounds(struct parser *p, uint32_t *min, uint32_t *max)
{
	size_t at = p->at;
	uint32_t v[2] = {0, UNBOUNDED};
	bool comma = false;
	if (at + 1 >= p->in.n || !is_digit(p->in.p[at + 1]))
		return false;
	p->at++;
	v[0] = take_number(p);
	comma = take(p, ",");
	if (comma && is_digit(peek(p)))
		v[1] = take_number(p);
	if (!take(p, "}")) {
		p->at = at;
		return false;
	}
	*min = v[0];
	*max = comma ? v[1] : v[0];
	return true;
}

static uint32_t parse_quantifier(struct parser *p, uint32_t child)
{
	uint32_t min, max = UNBOUNDED;
	size_t at = p->at;
	if (p->err)
		return NO_NODE;
	if (take(p, "*"))
		min = 0;
	else if (take(p, "+"))
		min = 1;
	else if (take(p, "?"))
		min = 0, max = 1;
	else if (!ahead(p, "{") || !take_bounds(p, &min, &max))
		return child;
	take(p, "?"); /* lazy: the same set */
	enum kind kind = p->nodes[child].kind;
	if (kind == N_ASSERT || kind == N_LOOK) {
		fail(p, ERR_INVALID, at, "an assertion cannot be repeated");
		return NO_NODE;
	}
	if (min > max) {
		fail(p, ERR_INVALID, at, "a repetition whose bounds are out of order");
		return NO_NODE;
	}
	return node(p, (struct node){.kind = N_REPEAT, .child = child, .min = min, .max = max});
}

static uint32_t parse_atom(struct parser *p)
{
	size_t at = p->at;
	uint32_t min, max;
	switch (peek(p)) {
	case '^':
		p->at++;
		return assert_node(p, OP_BEGIN);
	case '$':
		p->at++;
		return assert_node(p, OP_END);
	case '(':
		p->at++;
		return parse_group(p, at);
	case '[':
		p->at++;
		return parse_class(p);
	case '.':
		p->at++;
		return parse_dot(p);
	case '\\':
		p->at++;
		return parse_escape(p);
	case '*':
	case '+':
	case '?':
		invalid(p, "nothing to repeat");
		return NO_NODE;
	case '{':
		if (take_bounds(p, &min, &max)) {
			fail(p, ERR_INVALID, at, "nothing to repeat");
			return NO_NODE;
		}
	}
	return cp_node(p, take_cp(p));
}

static uint32_t parse_sequence(struct parser *p)
{
	uint32_t last = NO_NODE, n = 0;
	while (!p->err && !at_end(p) && peek(p) != '|' && peek(p) != ')') {
		uint32_t term = parse_quantifier(p, parse_atom(p));
		if (p->err)
			return NO_NODE;
		p->nodes[term].before = last;
		last = term;
		n++;
	}
	if (n == 1)
		return last;
	return node(p, (struct node){.kind = n ? N_CAT : N_EMPTY, .child = last});
}

static uint32_t parse_alternatives(struct parser *p)
{
	uint32_t last = parse_sequence(p);
	if (p->err || !ahead(p, "|"))
		return last;
	while (take(p, "|")) {
		uint32_t next = parse_sequence(p);
		if (p->err)
			return NO_NODE;
		p->nodes[next].before = last;
		last = next;
	}
	return node(p, (struct node){.kind = N_ALT, .child = last});
}

/* ---- the program ---- */

static uint32_t emit(struct parser *p, uint32_t id, uint32_t next);

static uint32_t inst(struct parser *p, enum op op, uint32_t x, uint32_t next)
{
	struct program *out = p->out;
	if (p->err)
		return 0;
	if (out->n_insts >= REGEX_INSTS_MAX) {
		fail(p, ERR_TOO_LARGE, p->in.n,
			"with its repetitions written out it is too long: use smaller bounds");
		return 0;
	}
	if (!dfa_grow(&out->insts, &out->insts_cap, (size_t)out->n_insts + 1, sizeof *out->insts)) {
		no_memory(p);
		return 0;
	}
	out->insts[out->n_insts] = (struct inst){op, x, next};
	return out->n_insts++;
}

static uint32_t emit_star(struct parser *p, uint32_t child, uint32_t next)
{
	uint32_t loop = inst(p, OP_SPLIT, next, next);
	uint32_t body = emit(p, child, loop);
	if (!p->err)
		p->out->insts[loop].x = body;
	return loop;
}

/* n copies one after the other; with `exit`, each may be left out together with what follows. */
static uint32_t emit_copies(
	struct parser *p, uint32_t child, uint32_t n, bool optional, uint32_t exit, uint32_t next)
{
	for (uint32_t i = 0; i < n && !p->err; i++) {
		uint32_t before = p->out->n_insts;
		uint32_t body = emit(p, child, next);
		if (p->out->n_insts == before) /* an empty body */
			break;
		next = optional ? inst(p, OP_SPLIT, body, exit) : body;
	}
	return next;
}

static uint32_t emit_repeat(struct parser *p, const struct node *n, uint32_t next)
{
	uint32_t child = n->child, min = n->min;
	if (n->max == UNBOUNDED)
		next = emit_star(p, child, next);
	else
		next = emit_copies(p, child, n->max - min, true, next, next);
	return emit_copies(p, child, min, false, 0, next);
}

static uint32_t emit_look(struct parser *p, const struct node *n, uint32_t next)
{
	struct look *l = &p->out->looks[n->x];
	if (l->start == UINT32_MAX) {
		uint32_t end = inst(p, l->behind ? OP_MATCH : OP_ALL, 0, 0);
		uint32_t start = emit(p, n->child, end);
		if (l->behind) {
			uint32_t any = inst(p, OP_ANY, 0, 0);
			uint32_t loop = inst(p, OP_SPLIT, any, start);
			if (!p->err)
				p->out->insts[any].next = loop;
			start = loop;
		}
		l->start = start;
	}
	return inst(p, OP_LOOK, n->x, next);
}

static uint32_t emit(struct parser *p, uint32_t id, uint32_t next)
{
	if (p->err)
		return 0;
	struct node n = p->nodes[id];
	switch (n.kind) {
	case N_EMPTY:
		return next;
	case N_CAT:
		for (uint32_t c = n.child; c; c = p->nodes[c].before)
			next = emit(p, c, next);
		return next;
	case N_ALT: {
		uint32_t all = emit(p, n.child, next);
		for (uint32_t c = p->nodes[n.child].before; c; c = p->nodes[c].before)
			all = inst(p, OP_SPLIT, emit(p, c, next), all);
		return all;
	}
	case N_SET:
		return inst(p, OP_SET, n.x, next);
	case N_ANY:
		return inst(p, OP_ANY, 0, next);
	case N_REPEAT:
		return emit_repeat(p, &n, next);
	case N_ASSERT:
		return inst(p, n.op, 0, next);
	case N_LOOK:
		return emit_look(p, &n, next);
	}
	return next;
}

/* The expression alone, or anywhere in a text. */
static void emit_all(struct parser *p, uint32_t root, bool search)
{
	uint32_t end = inst(p, search ? OP_ALL : OP_MATCH, 0, 0);
	uint32_t start = emit(p, root, end);
	if (search) {
		uint32_t any = inst(p, OP_ANY, 0, 0);
		uint32_t loop = inst(p, OP_SPLIT, any, start);
		if (!p->err)
			p->out->insts[any].next = loop;
		start = loop;
	}
	p->out->start = start;
}

/* The set of word letters is always number 0, for \b. */
static void put_words(struct parser *p)
{
	struct cset words = {0};
	cset_add_word(&words, p->caseless);
	put_set(p, &words);
}

static void parse_all(struct parser *p, bool search)
{
	put_words(p);
	uint32_t root = p->err ? NO_NODE : parse_alternatives(p);
	if (!p->err && !at_end(p))
		invalid(p, "a ) that closes nothing");
	if (!p->err && p->back_reference)
		fail(p, p->back_reference > p->n_groups ? ERR_INVALID : ERR_UNSUPPORTED,
			p->back_reference_at,
			p->back_reference > p->n_groups
				? "a back reference to a group that is not there"
				: "back references are not regular");
	if (!p->err)
		emit_all(p, root, search);
}

enum err regex_parse(struct str pattern, unsigned flags, struct program *out, struct errtext *et)
{
	struct parser p = {.in = pattern,
		.caseless = flags & DFA_CASELESS,
		.look = UINT32_MAX,
		.out = out,
		.et = et};
	if (pattern.n > DFA_PATTERN_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"a regular expression of %zu bytes; the limit is %d", pattern.n,
			DFA_PATTERN_MAX);
	if (!utf8_valid(pattern))
		return err_set(et, ERR_INVALID, "the regular expression is not well-formed UTF-8");
	parse_all(&p, flags & DFA_SEARCH);
	for (uint32_t i = 0; i < p.n_known; i++)
		cset_free(&p.known[i].set);
	free(p.known);
	free(p.nodes);
	seqs_free(&p.sets);
	return p.err;
}

void program_free(struct program *p)
{
	for (uint32_t i = 0; i < p->n_sets; i++)
		cset_free(&p->sets[i]);
	free(p->insts);
	free(p->sets);
	free(p->looks);
	*p = (struct program){0};
}
