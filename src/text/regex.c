/* Regular expressions: a compiler to a program of jumps, and its run in linear time.
 *
 * The program is relocatable: jumps are relative, so that a fragment can be moved to make room for
 * the instruction in front of it, and copied for a repetition. The run keeps the set of
 * instructions that are reached at a place of the text; each is in it once. */
#include "text/regex.h"

enum { PATTERN_MAX = 4096, CODE_MAX = 2000, RANGES_MAX = 1000, DEPTH_MAX = 50, REPEAT_MAX = 1000 };

enum op { CHAR, ANY, CLASS, SPLIT, JUMP, BEGIN, END, WORD_EDGE, WORD_INSIDE, MATCH };

struct ins {
	enum op op;
	int32_t x, y; /* SPLIT, JUMP: where to, from here; CLASS: the first range and how many */
	uint32_t c;   /* CHAR: the character; CLASS: negated */
};

struct range {
	uint32_t lo, hi;
};

struct regex {
	struct ins *code;
	size_t n;
	struct range *ranges;
	size_t n_ranges;
	bool any_case;
	int first; /* every match begins with this byte; -1: not known */
};

struct compiler {
	struct str rest, all;
	struct regex *r;
	unsigned depth;
	struct errtext *et;
};

/* ---- instructions ---- */

static enum err bad(struct compiler *c, const char *what)
{
	return err_set(c->et, ERR_INVALID, "the pattern '%.*s': %s (character %zu)",
		STR_FMT(str_sub(c->all, 0, utf8_complete_prefix(str_sub(c->all, 0, 100)))), what,
		(size_t)(c->rest.p - c->all.p) + 1);
}

static enum err emit(struct compiler *c, struct ins i)
{
	if (c->r->n == CODE_MAX)
		return bad(c, "it is too large");
	c->r->code[c->r->n++] = i;
	return OK;
}

/* Moves what stands from `at` on by one. */
static enum err insert(struct compiler *c, size_t at, struct ins i)
{
	enum err e = emit(c, i);
	if (!e) {
		memmove(c->r->code + at + 1, c->r->code + at, (c->r->n - 1 - at) * sizeof i);
		c->r->code[at] = i;
	}
	return e;
}

static enum err copy(struct compiler *c, const struct ins *from, size_t n)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		e = emit(c, from[i]);
	return e;
}

static enum err add_range(struct compiler *c, uint32_t lo, uint32_t hi)
{
	if (c->r->n_ranges == RANGES_MAX)
		return bad(c, "it has too many classes");
	c->r->ranges[c->r->n_ranges++] = (struct range){lo, hi};
	return OK;
}

/* ---- characters ---- */

static bool take(struct compiler *c, char ch)
{
	if (!c->rest.n || c->rest.p[0] != ch)
		return false;
	c->rest = str_sub(c->rest, 1, c->rest.n);
	return true;
}

static uint32_t next(struct compiler *c)
{
	uint32_t cp;
	c->rest = str_sub(c->rest, utf8_decode(c->rest, &cp), c->rest.n);
	return cp;
}

/* \d and so on: as ranges; what lies between them for the capital letter. */
static enum err add_shorthand(struct compiler *c, uint32_t letter, bool *known)
{
	static const struct {
		char letter;
		size_t n;
		struct range v[4];
	} sets[] = {{'d', 1, {{'0', '9'}}},
		{'w', 4, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
		{'s', 2, {{'\t', '\r'}, {' ', ' '}}}};
	enum err e = OK;
	*known = false;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		bool negated = letter == (uint32_t)sets[i].letter - 32;
		uint32_t from = 0;
		if (letter != (uint32_t)sets[i].letter && !negated)
			continue;
		*known = true;
		for (size_t k = 0; k < sets[i].n && !e; k++) {
			e = negated ? add_range(c, from, sets[i].v[k].lo - 1)
				    : add_range(c, sets[i].v[k].lo, sets[i].v[k].hi);
			from = sets[i].v[k].hi + 1;
		}
		if (negated && !e)
			e = add_range(c, from, 0x10FFFF);
	}
	return e;
}

/* The character that \x means when it is no class and no place. */
static enum err escaped(struct compiler *c, uint32_t letter, uint32_t *out)
{
	static const char names[] = "ntrfv0", chars[] = "\n\t\r\f\v";
	const char *at = letter < 128 && letter ? strchr(names, (int)letter) : NULL;
	bool word = (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
		    (letter >= 'a' && letter <= 'z');
	if (!at && word)
		return bad(c, letter >= '1' && letter <= '9' ? "references back are not possible"
							     : "this is not a known escape");
	*out = at ? (uint32_t)(unsigned char)chars[at - names] : letter;
	return OK;
}

static enum err class_member(struct compiler *c, uint32_t *out, bool *shorthand)
{
	enum err e = OK;
	*shorthand = false;
	if (c->rest.n > 1 && c->rest.p[0] == '[' && strchr(":.=", c->rest.p[1]))
		return bad(c, "named classes are not possible: use \\d, \\w, \\s or ranges");
	uint32_t cp = next(c);
	if (cp != '\\') {
		*out = cp;
		return OK;
	}
	if (!c->rest.n)
		return bad(c, "a class is not closed");
	cp = next(c);
	e = add_shorthand(c, cp, shorthand);
	if (!e && cp == 'b')
		*out = '\b';
	else if (!e && !*shorthand)
		e = escaped(c, cp, out);
	return e;
}

static enum err class_of(struct compiler *c)
{
	struct ins i = {CLASS, (int32_t)c->r->n_ranges, 0, take(c, '^')};
	bool first = true;
	for (;; first = false) {
		uint32_t lo = 0, hi;
		bool shorthand;
		if (!c->rest.n)
			return bad(c, "a class is not closed");
		if (!first && take(c, ']'))
			break;
		enum err e = class_member(c, &lo, &shorthand);
		hi = lo;
		if (!e && !shorthand && c->rest.n > 1 && c->rest.p[0] == '-' &&
			c->rest.p[1] != ']') {
			next(c);
			e = class_member(c, &hi, &shorthand);
			if (!e && (shorthand || hi < lo))
				e = bad(c, "a range of a class is the wrong way round");
		}
		if (!e && !shorthand)
			e = add_range(c, lo, hi);
		if (e)
			return e;
	}
	i.y = (int32_t)c->r->n_ranges - i.x;
	return emit(c, i);
}

static enum err escape(struct compiler *c)
{
	struct ins i = {CLASS, (int32_t)c->r->n_ranges, 0, 0};
	bool shorthand;
	if (!c->rest.n)
		return bad(c, "it ends with \\");
	uint32_t letter = next(c);
	if (letter == 'b' || letter == 'B')
		return emit(c, (struct ins){letter == 'b' ? WORD_EDGE : WORD_INSIDE, 0, 0, 0});
	enum err e = add_shorthand(c, letter, &shorthand);
	i.y = (int32_t)c->r->n_ranges - i.x;
	if (!e && !shorthand) {
		i = (struct ins){CHAR, 0, 0, 0};
		e = escaped(c, letter, &i.c);
	}
	return e ? e : emit(c, i);
}

/* ---- structure ---- */

static enum err alternatives(struct compiler *c);

static enum err group(struct compiler *c)
{
	if (c->depth == DEPTH_MAX)
		return bad(c, "it is nested too deep");
	if (take(c, '?') && !take(c, ':'))
		return bad(c, "(?...) is possible as (?:...), and as (?i) at the beginning");
	c->depth++;
	enum err e = alternatives(c);
	c->depth--;
	return e || take(c, ')') ? e : bad(c, "a ( is not closed");
}

static enum err atom(struct compiler *c)
{
	uint32_t cp = next(c);
	switch (cp) {
	case '(':
		return group(c);
	case '[':
		return class_of(c);
	case '\\':
		return escape(c);
	case '.':
		return emit(c, (struct ins){ANY, 0, 0, 0});
	case '^':
		return emit(c, (struct ins){BEGIN, 0, 0, 0});
	case '$':
		return emit(c, (struct ins){END, 0, 0, 0});
	case '*':
	case '+':
	case '?':
		return bad(c, "there is nothing to repeat");
	}
	return emit(c, (struct ins){CHAR, 0, 0, cp});
}

static bool number(struct str *s, unsigned *out)
{
	size_t i = 0;
	unsigned v = 0;
	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9' && v <= REPEAT_MAX; i++)
		v = v * 10 + (unsigned)(s->p[i] - '0');
	*s = str_sub(*s, i, s->n);
	*out = v;
	return i > 0;
}

/* {n}, {n,}, {n,m}; anything else is a { that stands for itself. max 0: no end */
static bool counts(struct compiler *c, unsigned *min, unsigned *max)
{
	struct str s = str_sub(c->rest, 1, c->rest.n);
	if (!c->rest.n || c->rest.p[0] != '{' || !number(&s, min))
		return false;
	*max = *min;
	if (s.n && s.p[0] == ',') {
		s = str_sub(s, 1, s.n);
		if (!number(&s, max))
			*max = UINT32_MAX;
	}
	if (!s.n || s.p[0] != '}')
		return false;
	c->rest = str_sub(s, 1, s.n);
	return true;
}

static enum err star(struct compiler *c, size_t at)
{
	int32_t n = (int32_t)(c->r->n - at);
	enum err e = insert(c, at, (struct ins){SPLIT, 1, n + 2, 0});
	return e ? e : emit(c, (struct ins){JUMP, -(n + 1), 0, 0});
}

static enum err maybe(struct compiler *c, size_t at)
{
	return insert(c, at, (struct ins){SPLIT, 1, (int32_t)(c->r->n - at) + 1, 0});
}

static enum err repeat(struct compiler *c, size_t at, unsigned min, unsigned max)
{
	struct ins piece[CODE_MAX];
	size_t n = c->r->n - at;
	enum err e = OK;
	if (max < min || min > REPEAT_MAX || (max != UINT32_MAX && max > REPEAT_MAX))
		return bad(c, "this number of repetitions is not possible");
	memcpy(piece, c->r->code + at, n * sizeof *piece);
	c->r->n = at;
	for (unsigned i = 0; i < min && !e; i++)
		e = copy(c, piece, n);
	for (unsigned i = min; max != UINT32_MAX && i < max && !e; i++) {
		size_t here = c->r->n;
		e = copy(c, piece, n);
		if (!e)
			e = maybe(c, here);
	}
	if (!e && max == UINT32_MAX) {
		at = c->r->n;
		e = copy(c, piece, n);
		if (!e)
			e = star(c, at);
	}
	return e;
}

static enum err quantified(struct compiler *c)
{
	size_t at = c->r->n;
	unsigned min, max;
	enum err e = atom(c);
	if (e)
		return e;
	if (take(c, '*'))
		e = star(c, at);
	else if (take(c, '+'))
		e = emit(c, (struct ins){SPLIT, -(int32_t)(c->r->n - at), 1, 0});
	else if (take(c, '?'))
		e = maybe(c, at);
	else if (counts(c, &min, &max))
		e = repeat(c, at, min, max);
	else
		return OK;
	(void)take(c, '?');
	if (!e && c->rest.n && strchr("*+?", c->rest.p[0]))
		e = bad(c, "a repetition is repeated");
	return e;
}

/* a|b|c: (a|b)|c, each | wraps what stands before it. */
static enum err alternatives(struct compiler *c)
{
	size_t start = c->r->n, jump = 0;
	enum err e = OK;
	for (;;) {
		while (!e && c->rest.n && c->rest.p[0] != '|' && c->rest.p[0] != ')')
			e = quantified(c);
		if (jump && !e)
			c->r->code[jump].x = (int32_t)(c->r->n - jump);
		if (e || !take(c, '|'))
			return e;
		e = insert(c, start, (struct ins){SPLIT, 1, (int32_t)(c->r->n - start) + 2, 0});
		jump = c->r->n;
		if (!e)
			e = emit(c, (struct ins){JUMP, 1, 0, 0});
	}
}

static int first_byte(const struct regex *r)
{
	bool cased = r->any_case && r->code[0].c < 128;
	char byte[4];
	if (r->code[0].op != CHAR || cased)
		return -1;
	utf8_encode(r->code[0].c, byte);
	return (unsigned char)byte[0];
}

static enum err keep(
	const struct regex *r, struct arena *a, const struct regex **out, struct errtext *et)
{
	struct regex *k = arena_new_of(a, struct regex);
	struct ins *code = arena_array_of(a, r->n, struct ins);
	struct range *ranges = arena_array_of(a, r->n_ranges + 1, struct range);
	if (!k || !code || !ranges)
		return err_set(et, ERR_NOMEM, "no memory for a pattern");
	memcpy(code, r->code, r->n * sizeof *code);
	memcpy(ranges, r->ranges, r->n_ranges * sizeof *ranges);
	*k = *r;
	k->code = code;
	k->ranges = ranges;
	k->first = first_byte(k);
	*out = k;
	return OK;
}

enum err regex_compile(
	struct str pattern, struct arena *a, const struct regex **out, struct errtext *et)
{
	struct ins code[CODE_MAX];
	struct range ranges[RANGES_MAX];
	struct regex r = {.code = code, .ranges = ranges};
	struct compiler c = {.rest = pattern, .all = pattern, .r = &r, .et = et};
	if (pattern.n > PATTERN_MAX)
		return err_set(et, ERR_INVALID, "a pattern has at most %d bytes", PATTERN_MAX);
	if (str_starts(c.rest, S("(?i)"))) {
		c.rest = str_sub(c.rest, 4, c.rest.n);
		r.any_case = true;
	}
	enum err e = alternatives(&c);
	if (!e && c.rest.n)
		e = bad(&c, "a ) closes nothing");
	if (!e)
		e = emit(&c, (struct ins){MATCH, 0, 0, 0});
	return e ? e : keep(&r, a, out, et);
}

/* ---- running ---- */

struct set {
	size_t n;
	uint16_t at[CODE_MAX];
};

struct run {
	const struct regex *r;
	uint32_t before, after; /* the characters around the place; 0: the end */
	bool begin, end;
	uint32_t stamp, seen[CODE_MAX]; /* which place an instruction was last reached at */
};

static bool is_word(uint32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (c >= 'a' && c <= 'z');
}

static bool passes(const struct run *u, enum op op)
{
	bool edge = is_word(u->before) != is_word(u->after);
	return op == BEGIN ? u->begin : op == END ? u->end : (op == WORD_EDGE) == edge;
}

/* Follows everything that needs no character; true: a match is reached. */
static bool reach(struct run *u, struct set *s, size_t from)
{
	uint16_t todo[CODE_MAX * 2];
	size_t n = 0;
	todo[n++] = (uint16_t)from;
	while (n) {
		size_t at = todo[--n];
		const struct ins *i = &u->r->code[at];
		if (u->seen[at] == u->stamp)
			continue;
		u->seen[at] = u->stamp;
		switch (i->op) {
		case MATCH:
			return true;
		case SPLIT:
			todo[n++] = (uint16_t)((int32_t)at + i->y);
			todo[n++] = (uint16_t)((int32_t)at + i->x);
			break;
		case JUMP:
			todo[n++] = (uint16_t)((int32_t)at + i->x);
			break;
		case BEGIN:
		case END:
		case WORD_EDGE:
		case WORD_INSIDE:
			if (passes(u, i->op))
				todo[n++] = (uint16_t)(at + 1);
			break;
		default:
			s->at[s->n++] = (uint16_t)at;
		}
	}
	return false;
}

static uint32_t lower(uint32_t c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool in_class(const struct regex *r, const struct ins *i, uint32_t c)
{
	const struct range *v = r->ranges + i->x;
	for (int32_t k = 0; k < i->y; k++)
		if (c >= v[k].lo && c <= v[k].hi)
			return true;
	return false;
}

static bool accepts(const struct regex *r, const struct ins *i, uint32_t c)
{
	if (i->op == ANY)
		return c != '\n';
	if (i->op == CHAR)
		return i->c == c || (r->any_case && lower(i->c) == lower(c));
	bool in = in_class(r, i, c);
	if (!in && r->any_case && c < 128)
		in = in_class(r, i, lower(c)) || (c >= 'a' && c <= 'z' && in_class(r, i, c - 32));
	return in != (bool)i->c;
}

bool regex_search(const struct regex *r, struct str text)
{
	struct run u = {.r = r};
	struct set a, b, *now = &a, *then = &b;
	size_t at = 0;
	now->n = 0;
	for (;;) {
		if (!now->n && r->first >= 0 && at < text.n) { /* nothing begun: to where it can */
			const char *p = memchr(text.p + at, r->first, text.n - at);
			if (!p)
				return false;
			u.before = p > text.p ? (unsigned char)p[-1] : 0;
			at = (size_t)(p - text.p);
		}
		size_t n = 0;
		u.after = 0;
		if (at < text.n)
			n = utf8_decode(str_sub(text, at, text.n), &u.after);
		u.begin = at == 0;
		u.end = at == text.n;
		/* those that took the character before are in `now` already followed; a match may
		 * also begin here */
		if (!u.stamp)
			u.stamp = 1;
		if (reach(&u, now, 0))
			return true;
		if (u.end)
			return false;
		then->n = 0;
		u.stamp++;
		u.before = u.after;
		uint32_t c = u.after, following = 0;
		if (at + n < text.n)
			utf8_decode(str_sub(text, at + n, text.n), &following);
		u.after = following;
		u.begin = false;
		u.end = at + n == text.n;
		for (size_t i = 0; i < now->n; i++)
			if (accepts(r, &r->code[now->at[i]], c) && reach(&u, then, now->at[i] + 1u))
				return true;
		struct set *swap = now;
		now = then;
		then = swap;
		at += n;
	}
}
