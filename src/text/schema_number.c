/* Sets of numbers as automata over their decimal texts: bounds and multiples.
 *
 * The texts are JSON's without exponents, -?(0|[1-9][0-9]*)(\.[0-9]+)?, and no negative zero. Both
 * automata are found by walking the states that a reader of digits can be in: comparing keeps how
 * the digits so far compare with the bound's; dividing keeps the remainder of all digits so far. */
#include <stdlib.h>
#include "text/schema_int.h"

enum { DIGITS_MAX = 400, MULTIPLE_MAX = 4096, STATES_MAX = 60000 };

/* ---- decimal numbers ---- */

struct decimal {
	bool negative;
	char whole[DIGITS_MAX + 2], part[DIGITS_MAX + 2]; /* whole: "0" or without leading zeros */
	uint32_t n_whole, n_part;                         /* part: without trailing zeros */
};

/* A number as base/json prints it: digits, perhaps a point, perhaps an exponent. */
static bool parse(struct str text, struct decimal *d)
{
	char digits[DIGITS_MAX + 2];
	int n = 0, point = -1, exponent = 0;
	size_t i = 0;
	*d = (struct decimal){0};
	if (i < text.n && text.p[i] == '-')
		d->negative = true, i++;
	for (; i < text.n && text.p[i] != 'e' && text.p[i] != 'E'; i++) {
		if (text.p[i] == '.')
			point = n;
		else if (n == DIGITS_MAX)
			return false;
		else
			digits[n++] = text.p[i];
	}
	if (i < text.n)
		exponent = atoi(text.p + i + 1);
	point = (point < 0 ? n : point) + exponent;
	if (point > DIGITS_MAX || point < -DIGITS_MAX || n - point > DIGITS_MAX)
		return false;
	for (int k = 0; k < point; k++) {
		char c = k < n ? digits[k] : '0';
		if (d->n_whole || c != '0')
			d->whole[d->n_whole++] = c;
	}
	if (!d->n_whole)
		d->whole[d->n_whole++] = '0';
	for (int k = point; k < n; k++)
		d->part[d->n_part++] = k < 0 ? '0' : digits[k];
	while (d->n_part && d->part[d->n_part - 1] == '0')
		d->n_part--;
	if (d->n_whole == 1 && d->whole[0] == '0' && !d->n_part)
		d->negative = false;
	return true;
}

static enum err decimal_of(struct compiler *c, yyjson_val *v, struct decimal *d)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_val(&w, v);
	bool ok = !b.err && parse(str_mk(b.p, b.n), d);
	buf_free(&b);
	return ok ? OK
		  : schema_complain(c, ERR_UNSUPPORTED, v, "the number has more than %d digits",
			    DIGITS_MAX);
}

enum err schema_number_text(struct compiler *c, yyjson_val *v, struct str *out)
{
	struct decimal d;
	enum err e = decimal_of(c, v, &d);
	if (e)
		return e;
	*out = arena_fmt(c->a, "%s%.*s%s%.*s", d.negative ? "-" : "", (int)d.n_whole, d.whole,
		d.n_part ? "." : "", (int)d.n_part, d.part);
	return out->p ? OK : err_set(c->et, ERR_NOMEM, "the schema needs too much memory");
}

/* ---- automata from a rule ---- */

enum phase { START, SIGN, ZERO, WHOLE, POINT, PART };

struct state {
	uint16_t phase, negative, nonzero;
	uint16_t order;   /* comparing: IS_EQUAL ... of the digits so far */
	uint32_t at, mod; /* digits read of this part; the remainder */
};

struct rule {
	bool (*digit)(const struct rule *r, struct state *s, unsigned digit); /* false: dead */
	void (*point)(
		const struct rule *r, struct state *s); /* the whole part has ended; or NULL */
	bool (*accept)(const struct rule *r, const struct state *s);
	const struct decimal *bound;
	unsigned classes;
	uint32_t multiple, places;
	bool denied;
};

struct table {
	struct state *s;
	uint32_t *next, *tags;
	uint32_t n, cap;
	struct map index; /* state -> itself + 1 */
};

static uint32_t state_id(struct table *t, const struct state *s)
{
	struct str key = str_mk((const char *)s, sizeof *s);
	uintptr_t at = (uintptr_t)map_get(&t->index, key);
	if (at)
		return (uint32_t)(at - 1);
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 64;
		if (cap > STATES_MAX)
			return DFA_DEAD;
		struct state *p = realloc(t->s, cap * sizeof *p);
		t->s = p ? p : t->s;
		uint32_t *next = realloc(t->next, (size_t)cap * 256 * sizeof *next);
		t->next = next ? next : t->next;
		uint32_t *tags = realloc(t->tags, cap * sizeof *tags);
		t->tags = tags ? tags : t->tags;
		if (!p || !next || !tags)
			return DFA_DEAD;
		t->cap = cap;
	}
	if (!map_put(&t->index, key, (void *)(uintptr_t)(t->n + 1))) /* NOLINT */
		return DFA_DEAD;
	t->s[t->n] = *s;
	return t->n++;
}

/* The state after a byte; false: none. */
static bool after(const struct rule *r, struct state *s, unsigned char byte)
{
	bool digit = byte >= '0' && byte <= '9';
	unsigned v = byte - '0';
	if (byte == '-' && s->phase == START) {
		s->phase = SIGN, s->negative = 1;
		return true;
	}
	if (byte == '.' && (s->phase == ZERO || s->phase == WHOLE)) {
		if (r->point)
			r->point(r, s);
		s->phase = POINT, s->at = 0;
		return true;
	}
	if (!digit || s->phase == ZERO)
		return false;
	if (s->phase == START || s->phase == SIGN)
		s->phase = v ? WHOLE : ZERO;
	else if (s->phase == POINT)
		s->phase = PART;
	s->nonzero |= v != 0;
	return r->digit(r, s, v);
}

static enum err build(
	struct compiler *c, const struct rule *r, yyjson_val *at, const struct dfa **out)
{
	struct table t = {0};
	struct state start = {.phase = START, .order = IS_EQUAL};
	bool full = state_id(&t, &start) == DFA_DEAD;
	for (uint32_t i = 0; i < t.n && !full; i++) {
		memset(t.next + (size_t)i * 256, 0xff, 256 * sizeof *t.next);
		t.tags[i] = t.s[i].phase != START && t.s[i].phase != SIGN &&
			    t.s[i].phase != POINT && (t.s[i].nonzero || !t.s[i].negative) &&
			    r->accept(r, &t.s[i]);
		for (const char *p = "-.0123456789"; *p && !full; p++) {
			struct state s = t.s[i];
			if (!after(r, &s, (unsigned char)*p))
				continue;
			uint32_t to = state_id(&t, &s);
			full = to == DFA_DEAD;
			t.next[(size_t)i * 256 + (unsigned char)*p] = to;
		}
	}
	enum err e =
		full ? schema_complain(c, ERR_TOO_LARGE, at, "deciding this takes too many states")
		     : schema_in_time(c);
	if (!e)
		e = dfa_table(c->a, t.next, t.tags, t.n, out, c->et);
	free(t.s);
	free(t.next);
	free(t.tags);
	map_free(&t.index);
	return e;
}

/* ---- bounds: numbers of more digits are further from zero, else the first other digit decides
 * ---- */

static bool compare_digit(const struct rule *r, struct state *s, unsigned v)
{
	const struct decimal *b = r->bound;
	bool part = s->phase == PART;
	uint32_t n = part ? b->n_part : b->n_whole;
	unsigned theirs = s->at < n ? (unsigned)((part ? b->part : b->whole)[s->at] - '0') : 0;
	if (s->order == IS_EQUAL && (part || s->at < n) && v != theirs)
		s->order = v < theirs ? IS_LESS : IS_GREATER;
	if (s->at <= n)
		s->at++;
	return true;
}

/* The length of the whole part is known when it has ended. */
static void compare_point(const struct rule *r, struct state *s)
{
	uint32_t n = r->bound->n_whole;
	s->order = s->at < n ? IS_LESS : s->at > n ? IS_GREATER : s->order;
}

static bool compare_accept(const struct rule *r, const struct state *s)
{
	const struct decimal *b = r->bound;
	struct state x = *s;
	if (s->phase == ZERO || s->phase == WHOLE) {
		compare_point(r, &x);
		x.at = 0;
	}
	unsigned order = x.order;
	if (order == IS_EQUAL && x.at < b->n_part)
		order = IS_LESS;
	if (s->negative != b->negative)
		order = s->negative ? IS_LESS : IS_GREATER;
	else if (s->negative)
		order = order == IS_LESS ? IS_GREATER : order == IS_GREATER ? IS_LESS : IS_EQUAL;
	return (order & r->classes) != 0;
}

enum err schema_number_compare(
	struct compiler *c, yyjson_val *bound, unsigned classes, const struct dfa **out)
{
	struct decimal d;
	enum err e = decimal_of(c, bound, &d);
	struct rule r = {.digit = compare_digit,
		.point = compare_point,
		.accept = compare_accept,
		.bound = &d,
		.classes = classes};
	return e ? e : build(c, &r, bound, out);
}

/* ---- multiples: of K / 10^places; the digits so far, without the point, have the remainder mod K
 * ---- */

static bool divide_digit(const struct rule *r, struct state *s, unsigned v)
{
	if (s->phase == PART && s->at == r->places) { /* smaller than the last place */
		if (v && !r->denied)
			return false;
		s->order = v ? IS_GREATER : s->order; /* no multiple any more */
		return true;
	}
	s->mod = (s->mod * 10 + v) % r->multiple;
	s->at = s->phase == PART ? s->at + 1 : 0;
	return true;
}

static bool divide_accept(const struct rule *r, const struct state *s)
{
	uint64_t mod = s->mod;
	for (uint32_t i = s->phase == PART ? s->at : 0; i < r->places; i++)
		mod = mod * 10 % r->multiple;
	return (mod == 0 && s->order == IS_EQUAL) != r->denied;
}

enum err schema_number_multiple(
	struct compiler *c, yyjson_val *of, bool denied, const struct dfa **out)
{
	struct decimal d;
	enum err e = decimal_of(c, of, &d);
	uint64_t k = 0;
	for (uint32_t i = 0; i < d.n_whole + d.n_part && !e && k <= MULTIPLE_MAX; i++)
		k = k * 10 + (uint64_t)((i < d.n_whole ? d.whole[i] : d.part[i - d.n_whole]) - '0');
	if (e)
		return e;
	if (k == 0 || d.negative)
		return schema_complain(c, ERR_INVALID, of, "multipleOf must be greater than 0");
	if (k > MULTIPLE_MAX)
		return schema_complain(c, ERR_UNSUPPORTED, of,
			"multipleOf with more than %d steps between whole places cannot be "
			"enforced",
			MULTIPLE_MAX);
	struct rule r = {.digit = divide_digit,
		.accept = divide_accept,
		.multiple = (uint32_t)k,
		.places = d.n_part,
		.denied = denied};
	return build(c, &r, of, out);
}

/* ---- fixed sets ---- */

enum err schema_number_setup(struct compiler *c)
{
	static const struct {
		const char *regex;
		size_t at;
	} sets[] = {
		{"-?[1-9][0-9]*|0", offsetof(struct compiler, integer)},
		{"-?(0|[1-9][0-9]*)\\.[0-9]*[1-9][0-9]*", offsetof(struct compiler, fraction)},
		{"-?(0|[1-9][0-9]*)\\.[0-9]*[1-9][0-9]*|-?[1-9][0-9]*(\\.0+)?|0(\\.0+)?",
			offsetof(struct compiler, decimal)},
		{"-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]{1,3})?",
			offsetof(struct compiler, number)},
		{"-?[1-9][0-9]*(\\.[0-9]*[1-9])?|-?0\\.[0-9]*[1-9]|0",
			offsetof(struct compiler, canonical)},
		{"-?[0-9]{1,18}(\\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?",
			offsetof(struct compiler, brief)},
	};
	enum err e = dfa_any(c->a, &c->any, c->et);
	for (size_t i = 0; i < sizeof sets / sizeof *sets && !e; i++)
		e = dfa_regex(c->a, str_c(sets[i].regex), DFA_WHOLE,
			(const struct dfa **)((char *)c + sets[i].at), c->et);
	return e;
}
