/* JSON as a schema allows it, byte by byte: the language's cells.
 *
 * A cell is a value that is being read. A value that waits for its first byte branches into every
 * kind that the node allows. Numbers have no end mark, so after each digit that completes one the
 * matcher goes on both ways. Objects keep which of their keys were seen, arrays how many items
 * there are; both only as far as it matters for what may follow. */
#include "text/schema_int.h"

enum kind {
	K_END,        /* the lowest: a: the value has been read */
	K_VALUE,      /* node: a node; a: white space so far */
	K_WORD,       /* a: which; b: letters read; c: 1: with a hash to give */
	K_NUM,        /* node: dfa; a: its state */
	K_NUM_HASHED, /* b: hash */
	K_STR,        /* node: str_atom; a: state; b: code points; c: escape */
	K_STR_HASHED, /* node: str_atom; a: state; b: hash; c: escape */
	K_PICK,       /* node: arr_atom; a: state; more: tags used */
	K_ARR_OPEN,   /* node: arr_atom; a: items; b: white space; c: counts of contains; more: used
		       */
	K_ARR_NEXT,   /* after an item */
	K_ARR_COMMA,
	K_OBJ_OPEN, /* node: obj_atom; a: white space; more: struct names */
	K_OBJ_NEXT,
	K_OBJ_COMMA,
	K_OBJ_KEY,   /* a: state of exact; b: of open; c: escape */
	K_OBJ_COLON, /* a: white space; b: tag of exact, or n_keys + that of open */
};

enum { SPACE_STEP = 16, READ_SPACE_MAX = 66, WRITE_SPACE_MAX = 34 };

static bool space(uint8_t byte)
{
	return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

/* Where white space may stand. */
enum place { BEFORE_VALUE, INSIDE, BEFORE_END, BEFORE_COLON };

static bool lenient(const struct machine *m)
{
	return ((const struct schema *)machine_language(m))->lenient;
}

/* White space is bounded: a model must not go on with it for ever. It gets one space, or a new line
 * with its indentation, where printers put them. Counts: 0 none, 1 a space, from 2 on a line and
 * what follows; lenient: any. */
static void more_space(
	struct machine *m, const struct cell *c, enum place place, uint8_t byte, bool in_b)
{
	struct cell x = *c;
	uint32_t had = in_b ? c->b : c->a, *now = in_b ? &x.b : &x.a;
	*now = had + 1;
	if (lenient(m)) {
		if (had == READ_SPACE_MAX)
			return;
	} else if (had == 0) {
		if (place == BEFORE_COLON ||
			(byte != ' ' && (byte != '\n' || place == BEFORE_VALUE)))
			return;
		*now = byte == ' ' ? 1 : 2;
	} else if (had == 1 || had == WRITE_SPACE_MAX || (byte != ' ' && byte != '\t')) {
		return;
	}
	machine_emit(m, &x);
}

/* ---- strings: bytes of the text, with escapes resolved, drive an automaton ---- */

/* Escape state in 32 bits: what is awaited, digits read, their value, and the upper half of a pair.
 */
enum awaits { PLAIN, AFTER_BACKSLASH, HEX, PAIR_BACKSLASH, PAIR_U, PAIR_HEX };

struct escape {
	unsigned awaits, digits, value, upper;
};

static struct escape unpack(uint32_t c)
{
	return (struct escape){c & 7, c >> 3 & 7, c >> 6 & 0xffff, c >> 22};
}

static uint32_t pack(struct escape e)
{
	return e.awaits | e.digits << 3 | e.value << 6 | e.upper << 22;
}

/* Two automata and a count driven by the same characters. */
struct reader {
	const struct dfa *x, *y; /* y may be NULL */
	uint32_t sx, sy;
	uint32_t left; /* code points that may still come */
	uint32_t hash;
	bool hashing;
	bool lenient; /* \u for every character, not just where it helps */
	/* NULL, or: can these states still become something that may come? of: what it asks of */
	bool (*viable)(const struct reader *r);
	const void *of;
};

static bool viable(const struct reader *r)
{
	return !r->viable || r->viable(r);
}

static bool feed(struct reader *r, uint8_t byte)
{
	if ((byte & 0xc0) != 0x80) {
		if (!r->left)
			return false;
		r->left -= r->left != UNBOUNDED;
	}
	if (r->x)
		r->sx = dfa_step(r->x, r->sx, byte);
	if (r->y)
		r->sy = dfa_step(r->y, r->sy, byte);
	if (r->hashing)
		r->hash = (r->hash ^ byte) * 0x01000193u;
	return (r->x && r->sx != DFA_DEAD) || (r->y && r->sy != DFA_DEAD);
}

static bool feed_code(struct reader *r, uint32_t code)
{
	char bytes[4];
	size_t n = utf8_encode(code, bytes);
	for (size_t i = 0; i < n; i++)
		if (!feed(r, (uint8_t)bytes[i]))
			return false;
	return true;
}

/* Is some code point of [from, to], none of them a surrogate, possible? */
static bool some_code(const struct reader *r, uint32_t from, uint32_t to)
{
	if (!r->left)
		return false;
	if ((r->x && r->sx != DFA_DEAD && dfa_is_free(r->x, r->sx)) ||
		(r->y && r->sy != DFA_DEAD && dfa_is_free(r->y, r->sy)))
		return true; /* a class of names is read only while one may come */
	for (uint32_t code = from; code <= to; code++) {
		struct reader x = *r;
		char bytes[4];
		size_t n = utf8_encode(code, bytes), i = 0;
		while (i < n && feed(&x, (uint8_t)bytes[i]))
			i++;
		if (i == n && viable(&x))
			return true;
		if (i < n) /* nor any other that begins with these bytes */
			code |= (1u << 6 * (n - 1 - i)) - 1;
	}
	return false;
}

static bool feeds(const struct reader *r, uint8_t byte)
{
	struct reader x = *r;
	return feed(&x, byte) && viable(&x);
}

/* May some character come that begins with one of these bytes? */
static bool some_byte(const struct reader *r, unsigned from, unsigned to)
{
	for (unsigned byte = from; byte <= to; byte++)
		if (feeds(r, (uint8_t)byte))
			return true;
	return false;
}

/* Can \u say anything here? Not in the middle of a character, nor at the end of the set. */
static bool some_unit(const struct reader *r)
{
	return some_byte(r, 0, r->lenient ? 0x7f : 0x1f) || some_byte(r, 0xc2, 0xf4);
}

static const char escaped[] = "\"\\/bfnrt", escapes[] = "\"\\/\b\f\n\r\t";

static bool some_escape(const struct reader *r)
{
	for (const char *p = escapes; *p; p++)
		if (feeds(r, (uint8_t)*p))
			return true;
	return some_unit(r);
}

static uint32_t pair_code(unsigned upper, unsigned lower)
{
	return 0x10000 + ((uint32_t)upper << 10) + lower;
}

/* Can the digits so far become a code that is possible? */
static bool some_hex(const struct reader *r, struct escape e)
{
	unsigned shift = 4 * (4 - e.digits), from = e.value << shift,
		 to = from | ((1u << shift) - 1);
	if (e.awaits == PAIR_HEX) {
		from = MAX(from, 0xdc00);
		to = MIN(to, 0xdfff);
		return from <= to && some_code(r, pair_code(e.upper, from - 0xdc00),
					     pair_code(e.upper, to - 0xdc00));
	}
	static const uint32_t units[][2] = {
		{0, 0x1f}, {0x80, 0xd7ff}, {0xe000, 0xffff}, {0x20, 0x7f}};
	for (size_t i = 0; i < (r->lenient ? 4 : 3); i++) {
		uint32_t low = MAX(from, units[i][0]), high = MIN(to, units[i][1]);
		if (low <= high && some_code(r, low, high))
			return true;
	}
	from = MAX(from, 0xd800);
	to = MIN(to, 0xdbff);
	return from <= to && some_byte(r, 0xf0, 0xf4) &&
	       some_code(r, pair_code(from - 0xd800, 0), pair_code(to - 0xd800, 0x3ff));
}

static int hex_digit(uint8_t b)
{
	return b >= '0' && b <= '9'                 ? b - '0'
	       : (b | 32) >= 'a' && (b | 32) <= 'f' ? (b | 32) - 'a' + 10
						    : -1;
}

static bool read_hex(struct reader *r, struct escape *e, uint8_t byte)
{
	int digit = hex_digit(byte);
	if (digit < 0)
		return false;
	e->value = e->value << 4 | (unsigned)digit;
	if (++e->digits < 4)
		return some_hex(r, *e);
	unsigned v = e->value;
	if (e->awaits == PAIR_HEX) {
		uint32_t code = pair_code(e->upper, v - 0xdc00);
		bool ok = v >= 0xdc00 && v <= 0xdfff;
		*e = (struct escape){0};
		return ok && feed_code(r, code);
	}
	if (v >= 0xd800 && v <= 0xdbff) {
		*e = (struct escape){.awaits = PAIR_BACKSLASH, .upper = v - 0xd800};
		return some_code(r, pair_code(e->upper, 0), pair_code(e->upper, 0x3ff));
	}
	*e = (struct escape){0};
	bool plain = v >= 0x20 && v < 0x80;
	return (r->lenient || !plain) && (v < 0xdc00 || v > 0xdfff) && feed_code(r, v);
}

/* A byte of a string but its closing quote. */
static bool read_char(struct reader *r, struct escape *e, uint8_t byte)
{
	const char *at;
	switch (e->awaits) {
	case PLAIN:
		if (byte == '\\') {
			e->awaits = AFTER_BACKSLASH;
			return some_escape(r);
		}
		return byte >= 0x20 && feed(r, byte);
	case AFTER_BACKSLASH:
		if (byte == 'u') {
			*e = (struct escape){.awaits = HEX};
			return some_unit(r);
		}
		at = byte ? strchr(escaped, byte) : NULL;
		e->awaits = PLAIN;
		return at && feed(r, (uint8_t)escapes[at - escaped]);
	case PAIR_BACKSLASH:
		e->awaits = PAIR_U;
		return byte == '\\';
	case PAIR_U:
		*e = (struct escape){.awaits = PAIR_HEX, .upper = e->upper};
		return byte == 'u';
	default: /* HEX, PAIR_HEX */
		return read_hex(r, e, byte);
	}
}

static uint32_t hash_of(const void *p, size_t n, uint32_t h)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)p)[i]) * 0x01000193u;
	return h;
}

enum { HASH_STR = 0x811c9dc5, HASH_NUM = 0x1234567b, HASH_WORD = 0x7654321f };

static void str_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct str_atom *s = c->node;
	bool hashed = c->kind == K_STR_HASHED;
	struct escape e = unpack(c->c);
	uint32_t count = hashed ? 0 : c->b;
	struct reader r = {.x = s->dfa,
		.sx = c->a,
		.left = s->max == UNBOUNDED ? UNBOUNDED : s->max - count,
		.hash = c->b,
		.hashing = hashed,
		.lenient = lenient(m)};
	if (byte == '"' && e.awaits == PLAIN) {
		if (dfa_accept(s->dfa, c->a) && (hashed || count >= s->min))
			machine_pop(m, c, (struct result){.a = hashed ? c->b : 0});
		return;
	}
	if (!read_char(&r, &e, byte))
		return;
	struct cell x = *c;
	x.a = r.sx;
	x.c = pack(e);
	if (hashed)
		x.b = r.hash;
	else if (s->max != UNBOUNDED)
		x.b = s->max - r.left;
	else if (r.left == UNBOUNDED && s->min) /* count no further than it matters */
		x.b = MIN(s->min, c->b + (e.awaits == PLAIN && (byte & 0xc0) != 0x80));
	machine_emit(m, &x);
}

/* ---- values ---- */

static const char *const words[3] = {"null", "false", "true"};

static uint32_t word_hash(unsigned w)
{
	return hash_of(words[w], strlen(words[w]), HASH_WORD);
}

/* Has an array with compared items had this one? */
static bool used(const void *more, uint32_t hash)
{
	const uint32_t *h = more;
	for (size_t i = 0; more && i < machine_data_size(more) / sizeof *h; i++)
		if (h[i] == hash)
			return true;
	return false;
}

/* The first byte of a value of n, which stands on `up`. hashed: the value gives its hash, and
 * those in `had` are not allowed. */
static void value_start(struct machine *m, const struct node *n, const struct cell *up,
	uint8_t byte, bool hashed, const void *had)
{
	struct cell x = {.up = up};
	for (unsigned w = 0; w < 3; w++)
		if (byte == (uint8_t)words[w][0] && (n->scalars >> w & 1) &&
			!(hashed && used(had, word_hash(w)))) {
			x = (struct cell){.up = up, .kind = K_WORD, .a = w, .b = 1, .c = hashed};
			machine_emit(m, &x);
		}
	for (uint32_t i = 0; byte == '"' && i < n->n_strs; i++) {
		const struct str_atom *s = &n->strs[i];
		x = (struct cell){.up = up,
			.node = s,
			.kind = hashed ? K_STR_HASHED : K_STR,
			.a = dfa_start(s->dfa),
			.b = hashed ? HASH_STR : 0};
		machine_emit(m, &x);
	}
	for (uint32_t i = 0; byte == '[' && i < n->n_arrs; i++) {
		x = (struct cell){.up = up, .node = &n->arrs[i], .kind = K_ARR_OPEN};
		machine_emit(m, &x);
	}
	for (uint32_t i = 0; byte == '{' && i < n->n_objs; i++) {
		x = (struct cell){.up = up, .node = &n->objs[i], .kind = K_OBJ_OPEN};
		machine_emit(m, &x);
	}
	if (!n->num || !(byte == '-' || (byte >= '0' && byte <= '9')))
		return;
	x = (struct cell){.up = up,
		.node = n->num,
		.kind = hashed ? K_NUM_HASHED : K_NUM,
		.a = dfa_start(n->num),
		.b = hashed ? HASH_NUM : 0};
	schema_ops.step(m, &x, byte);
}

static void num_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct dfa *d = c->node;
	struct cell x = *c;
	x.a = dfa_step(d, c->a, byte);
	if (x.a == DFA_DEAD)
		return;
	if (c->kind == K_NUM_HASHED)
		x.b = hash_of(&byte, 1, c->b);
	machine_emit(m, &x);
	if (dfa_accept(d, x.a))
		machine_pop(m, &x, (struct result){.a = c->kind == K_NUM_HASHED ? x.b : 0});
}

static void word_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const char *word = words[c->a];
	if (byte != (uint8_t)word[c->b])
		return;
	struct cell x = *c;
	if (word[++x.b])
		machine_emit(m, &x);
	else
		machine_pop(m, c, (struct result){.a = c->c ? word_hash(c->a) : 0});
}

/* ---- arrays ---- */

static uint32_t counted(const struct cell *c, unsigned k)
{
	return c->c >> 16 * k & 0xffff;
}

/* Items are counted no further than it matters. */
static uint32_t count_up(const struct arr_atom *a, uint32_t n)
{
	uint32_t cap = MAX(a->n_prefix, a->min);
	return a->max == UNBOUNDED ? MIN(n + 1, cap) : n + 1;
}

static uint32_t contains_up(const struct arr_atom *a, uint32_t counts, unsigned variant)
{
	for (uint32_t k = 0; k < a->n_contains; k++) {
		uint32_t cap =
			a->contains_max[k] == UNBOUNDED ? a->contains_min[k] : a->contains_max[k];
		if ((variant >> k & 1) && (counts >> 16 * k & 0xffff) < MIN(cap, 0xffffu))
			counts += 1u << 16 * k;
	}
	return counts;
}

static const struct node *item_of(const struct arr_atom *a, uint32_t i, unsigned variant)
{
	const struct node *n = a->items[(MIN(i, a->n_prefix) << a->n_contains) + variant];
	return n && n->productive ? n : NULL;
}

/* May item i be of this variant, after these counts, and enough of the contains still follow? */
static bool variant_fits(const struct cell *c, uint32_t i, unsigned variant)
{
	const struct arr_atom *a = c->node;
	if (!item_of(a, i, variant))
		return false;
	for (uint32_t k = 0; k < a->n_contains; k++) {
		uint32_t had = counted(c, k), can = 0;
		bool counts = variant >> k & 1;
		if (counts && had >= a->contains_max[k])
			return false;
		had += counts;
		for (uint32_t j = i + 1; j <= MAX(a->n_prefix, i + 1) && j < a->max; j++) {
			unsigned v = 1u << k;
			bool other = item_of(a, j, v) || (a->n_contains > 1 && item_of(a, j, 3));
			uint32_t here = j < a->n_prefix ? 1 : a->max - j;
			if (other)
				can = here > UNBOUNDED - can ? UNBOUNDED : can + here;
		}
		if (had < a->contains_min[k] && a->contains_min[k] - had > can)
			return false;
	}
	return true;
}

static bool picks_left(const struct arr_atom *a, const void *more, uint32_t state)
{
	const uint64_t *had = more;
	uint32_t words_n = (a->n_picks + 63) / 64;
	for (uint32_t w = 0; w < words_n; w++)
		if (a->pick_reach[(size_t)state * words_n + w] & ~(had ? had[w] : 0))
			return true;
	return false;
}

/* May another item come? */
static bool arr_more(const struct cell *c)
{
	const struct arr_atom *a = c->node;
	if (c->a >= a->max)
		return false;
	if (a->picks)
		return picks_left(a, c->more, dfa_start(a->picks));
	for (unsigned v = 0; v < 1u << a->n_contains; v++)
		if (variant_fits(c, c->a, v))
			return true;
	return false;
}

static bool arr_enough(const struct cell *c)
{
	const struct arr_atom *a = c->node;
	for (uint32_t k = 0; k < a->n_contains; k++)
		if (counted(c, k) < a->contains_min[k])
			return false;
	return c->a >= a->min;
}

static void item_start(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct arr_atom *a = c->node;
	for (unsigned v = 0; v < 1u << a->n_contains && arr_more(c); v++) {
		struct cell next = {.up = c->up,
			.node = a,
			.kind = K_ARR_NEXT,
			.a = count_up(a, c->a),
			.c = contains_up(a, c->c, v),
			.more = c->more};
		if (!a->picks && !variant_fits(c, c->a, v))
			continue;
		const struct cell *up = machine_cell(m, &next);
		if (!up)
			return;
		if (a->picks) {
			struct cell pick = {.up = up,
				.node = a,
				.kind = K_PICK,
				.a = dfa_start(a->picks),
				.more = c->more};
			schema_ops.step(m, &pick, byte);
		} else {
			value_start(m, item_of(a, c->a, v), up, byte, a->unique, c->more);
		}
	}
}

static void pick_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct arr_atom *a = c->node;
	const uint64_t *had = c->more;
	struct cell x = *c;
	x.a = dfa_step(a->picks, c->a, byte);
	if (x.a == DFA_DEAD || !picks_left(a, c->more, x.a))
		return;
	machine_emit(m, &x);
	uint32_t tag = dfa_accept(a->picks, x.a);
	if (tag && !(had && had[(tag - 1) / 64] >> (tag - 1) % 64 & 1))
		machine_pop(m, &x, (struct result){.a = tag});
}

static void arr_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	struct cell x = *c;
	bool after = c->kind == K_ARR_NEXT;
	if (space(byte)) { /* a model that starts a new line here is about to close */
		if (!after || lenient(m) || arr_enough(c))
			more_space(m, c, after ? BEFORE_END : INSIDE, byte, true);
		return;
	}
	if (byte == ']' && c->kind != K_ARR_COMMA) {
		if (arr_enough(c))
			machine_pop(m, c, (struct result){0});
		return;
	}
	if (c->kind != K_ARR_NEXT) {
		item_start(m, c, byte);
	} else if (byte == ',' && (!c->b || lenient(m)) && arr_more(c)) {
		x.kind = K_ARR_COMMA;
		x.b = 0;
		machine_emit(m, &x);
	}
}

/* An item has ended: remember it where items must differ. */
static void arr_resume(struct machine *m, const struct cell *c, struct result r)
{
	const struct arr_atom *a = c->node;
	struct cell x = *c;
	if (a->picks) {
		uint64_t set[256 / 64] = {0};
		size_t n = (a->n_picks + 63) / 64;
		if (c->more)
			memcpy(set, c->more, n * sizeof *set);
		set[(r.a - 1) / 64] |= 1ull << (r.a - 1) % 64;
		x.more = machine_data(m, set, n * sizeof *set);
	} else if (a->unique) {
		size_t n = c->more ? machine_data_size(c->more) : 0;
		uint32_t *h = arena_alloc(machine_arena(m), n + sizeof *h);
		if (used(c->more, r.a) || !h)
			return;
		if (n)
			memcpy(h, c->more, n);
		h[n / sizeof *h] = r.a;
		x.more = machine_data(m, h, n + sizeof *h);
	}
	if (!x.more && a->unique)
		return;
	machine_emit(m, &x);
}

/* ---- objects ---- */

/* What an object knows of its names; `seen` and then, when they are told apart, hashes follow. */
struct names {
	uint32_t count;     /* names so far */
	uint32_t last;      /* in the schema's order: keys before this one are over */
	uint32_t missing;   /* required ones not seen */
	uint32_t hash;      /* of the name being read */
	uint32_t n_hashes;  /* after seen[n_words] */
	uint32_t any_class; /* a name of a class was there */
};

struct names_view {
	struct names n;
	const uint64_t *seen;
	const uint32_t *hashes;
};

static const uint64_t no_words[(KEYS_MAX + 63) / 64];

static struct names_view view(const struct cell *c)
{
	const struct obj_atom *o = c->node;
	struct names_view v = {.n = {.missing = o->n_required}, .seen = no_words};
	if (c->more) {
		memcpy(&v.n, c->more, sizeof v.n);
		v.seen = (const uint64_t *)((const char *)c->more + sizeof v.n);
		v.hashes = (const uint32_t *)(v.seen + o->n_words);
	}
	return v;
}

/* May a name come that is no required one? There must be room for those that are missing. */
static bool room_for_other(const struct obj_atom *o, const struct names *n)
{
	return n->count < o->max && o->max - n->count > n->missing;
}

/* Which keys may come next, word by word. */
static uint64_t keys_next(const struct obj_atom *o, const struct names_view *v, uint32_t w)
{
	uint64_t open = ~v->seen[w];
	if (v->n.count >= o->max)
		return 0;
	if (!room_for_other(o, &v->n))
		open &= o->required[w];
	if (o->any_order)
		return open;
	uint32_t from = w * 64;
	if (v->n.last >= from + 64)
		return 0;
	if (v->n.last > from)
		open &= ~0ull << (v->n.last - from);
	for (uint32_t i = v->n.last / 64; i <= w; i++) { /* not past a required one */
		uint64_t req = o->required[i] & ~v->seen[i];
		if (i < w && req)
			return 0;
		if (i == w && req)
			open &= (req & -req) | ((req & -req) - 1);
	}
	return open;
}

static bool class_next(const struct obj_atom *o, const struct names_view *v)
{
	return o->open && room_for_other(o, &v->n) && (o->any_order || !v->n.missing);
}

/* Names that can still come, at most, in the schema's order: enough for `min`? Names of classes,
 * not told apart, count once. */
static bool enough_later(const struct obj_atom *o, const struct names_view *v, uint32_t last)
{
	uint32_t can = 0;
	if (o->n_classes && (o->hashed || !v->n.any_class || o->min <= v->n.count))
		return true;
	for (uint32_t i = o->any_order ? 0 : last; i < o->n_keys; i++)
		can += !(v->seen[i / 64] >> i % 64 & 1);
	return v->n.count + can + !o->any_order >=
	       o->min; /* the key itself is one of those not seen */
}

static bool key_fits(const struct obj_atom *o, const struct names_view *v, uint32_t key)
{
	return (keys_next(o, v, key / 64) >> key % 64 & 1) && enough_later(o, v, key + 1);
}

/* Can the name so far become one that may come? */
static bool name_viable(const struct cell *c)
{
	const struct obj_atom *o = c->node;
	struct names_view v = view(c);
	if (o->open && c->b != DFA_DEAD && class_next(o, &v))
		return true;
	for (uint32_t w = 0; o->exact && c->a != DFA_DEAD && w < o->n_words; w++) {
		uint64_t set = o->reach[(size_t)c->a * o->n_words + w] & keys_next(o, &v, w);
		for (; set; set &= set - 1)
			if (key_fits(o, &v, w * 64 + (uint32_t)__builtin_ctzll(set)))
				return true;
	}
	return false;
}

static bool reader_viable(const struct reader *r)
{
	struct cell x = *(const struct cell *)r->of;
	x.a = r->x ? r->sx : DFA_DEAD;
	x.b = r->y ? r->sy : DFA_DEAD;
	return name_viable(&x);
}

static void key_start(struct machine *m, const struct cell *c)
{
	const struct obj_atom *o = c->node;
	struct names_view v = view(c);
	struct cell x = *c;
	x.kind = K_OBJ_KEY;
	x.a = o->exact ? dfa_start(o->exact) : DFA_DEAD;
	x.b = class_next(o, &v) ? dfa_start(o->open) : DFA_DEAD;
	x.c = 0;
	if (name_viable(&x))
		machine_emit(m, &x);
}

static bool obj_more(const struct cell *c)
{
	const struct obj_atom *o = c->node;
	struct cell x = *c;
	x.a = o->exact ? dfa_start(o->exact) : DFA_DEAD;
	x.b = o->open ? dfa_start(o->open) : DFA_DEAD;
	return name_viable(&x);
}

/* The names after one more: key is its number, or n_keys for a class's. */
static const void *names_with(struct machine *m, const struct cell *c, uint32_t key, uint32_t hash)
{
	const struct obj_atom *o = c->node;
	struct names_view v = view(c);
	size_t size = sizeof v.n + o->n_words * 8 + (v.n.n_hashes + 1) * sizeof hash;
	char *p = arena_alloc(machine_arena(m), size);
	if (!p)
		return NULL;
	uint64_t *seen = (uint64_t *)(p + sizeof v.n);
	uint32_t *hashes = (uint32_t *)(seen + o->n_words);
	if (o->n_words)
		memcpy(seen, v.seen, o->n_words * 8);
	if (v.n.n_hashes)
		memcpy(hashes, v.hashes, v.n.n_hashes * sizeof hash);
	bool is_class = key == o->n_keys, counts = !is_class || o->hashed || !v.n.any_class;
	struct names n = v.n;
	n.hash = 0;
	n.any_class |= is_class;
	n.last = is_class ? o->n_keys : key + 1;
	if (o->any_order)
		n.last = 0;
	if (!is_class) {
		seen[key / 64] |= 1ull << key % 64;
		n.missing -= o->keys[key].required;
	} else if (o->hashed) {
		hashes[n.n_hashes++] = hash;
	}
	/* counted no further than it matters; a repeated name must not count towards min, but does
	 * towards max */
	uint32_t cap = o->max == UNBOUNDED ? o->min : o->max;
	if (n.count < cap && (counts || o->max != UNBOUNDED))
		n.count++;
	memcpy(p, &n, sizeof n);
	return machine_data(m, p, sizeof n + o->n_words * 8 + n.n_hashes * sizeof hash);
}

static void key_end(struct machine *m, const struct cell *c)
{
	const struct obj_atom *o = c->node;
	struct names_view v = view(c);
	struct cell x = *c;
	uint32_t tag = c->a != DFA_DEAD ? dfa_accept(o->exact, c->a) : 0;
	uint32_t open = c->b != DFA_DEAD ? dfa_accept(o->open, c->b) : 0;
	x.kind = K_OBJ_COLON;
	x.a = x.c = 0;
	if (tag) {
		if (!key_fits(o, &v, tag - 1))
			return;
		x.b = tag - 1;
		x.more = names_with(m, c, tag - 1, 0);
	} else {
		if (!open || !class_next(o, &v))
			return;
		for (uint32_t i = 0; i < v.n.n_hashes; i++)
			if (v.hashes[i] == v.n.hash)
				return;
		x.b = o->n_keys + open - 1;
		x.more = names_with(m, c, o->n_keys, v.n.hash);
	}
	if (x.more)
		machine_emit(m, &x);
}

static void key_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct obj_atom *o = c->node;
	struct names_view v = view(c);
	struct escape e = unpack(c->c);
	struct reader r = {.x = c->a != DFA_DEAD ? o->exact : NULL,
		.y = c->b != DFA_DEAD ? o->open : NULL,
		.sx = c->a,
		.sy = c->b,
		.left = UNBOUNDED,
		.hash = v.n.hash,
		.hashing = o->hashed,
		.lenient = lenient(m),
		.viable = reader_viable,
		.of = c};
	if (byte == '"' && e.awaits == PLAIN) {
		key_end(m, c);
		return;
	}
	if (!read_char(&r, &e, byte))
		return;
	struct cell x = *c;
	x.a = r.x ? r.sx : DFA_DEAD;
	x.b = r.y ? r.sy : DFA_DEAD;
	x.c = pack(e);
	if (o->hashed) {
		size_t size = c->more ? machine_data_size(c->more) : sizeof v.n + o->n_words * 8;
		char *p = arena_alloc(machine_arena(m), size);
		if (!p)
			return;
		v.n.hash = r.hash;
		if (c->more)
			memcpy(p, c->more, size);
		memcpy(p, &v.n, sizeof v.n);
		x.more = machine_data(m, p, size);
	}
	if (name_viable(&x))
		machine_emit(m, &x);
}

static void obj_step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct obj_atom *o = c->node;
	struct names_view v = view(c);
	struct cell x = *c;
	bool after = c->kind == K_OBJ_NEXT, enough = !v.n.missing && v.n.count >= o->min;
	if (space(byte)) {
		if (!after || lenient(m) || enough)
			more_space(m, c,
				after                    ? BEFORE_END
				: c->kind == K_OBJ_COLON ? BEFORE_COLON
							 : INSIDE,
				byte, false);
		return;
	}
	x.a = 0;
	if (byte == '}' && (c->kind == K_OBJ_OPEN || c->kind == K_OBJ_NEXT)) {
		if (enough)
			machine_pop(m, c, (struct result){0});
	} else if (byte == '"' && (c->kind == K_OBJ_OPEN || c->kind == K_OBJ_COMMA)) {
		key_start(m, &x);
	} else if (byte == ',' && after && (!c->a || lenient(m)) && obj_more(c)) {
		x.kind = K_OBJ_COMMA;
		machine_emit(m, &x);
	} else if (byte == ':' && c->kind == K_OBJ_COLON) {
		struct cell next = {.up = c->up, .node = o, .kind = K_OBJ_NEXT, .more = c->more};
		const struct cell *up = machine_cell(m, &next);
		struct cell value = {.up = up,
			.kind = K_VALUE,
			.node = c->b < o->n_keys ? o->keys[c->b].value
						 : o->classes[c->b - o->n_keys].value};
		if (up)
			machine_emit(m, &value);
	}
}

/* ---- the language ---- */

static void start(struct machine *m, const void *self)
{
	const struct schema *s = self;
	struct cell end = {.kind = K_END};
	struct cell value = {.up = machine_cell(m, &end), .node = s->root, .kind = K_VALUE};
	if (value.up)
		machine_emit(m, &value);
}

static void step(struct machine *m, const struct cell *c, uint8_t byte)
{
	switch ((enum kind)c->kind) {
	case K_END:
		return;
	case K_VALUE:
		if (space(byte))
			more_space(m, c, BEFORE_VALUE, byte, false);
		else
			value_start(m, c->node, c->up, byte, false, NULL);
		return;
	case K_WORD:
		word_step(m, c, byte);
		return;
	case K_NUM:
	case K_NUM_HASHED:
		num_step(m, c, byte);
		return;
	case K_STR:
	case K_STR_HASHED:
		str_step(m, c, byte);
		return;
	case K_PICK:
		pick_step(m, c, byte);
		return;
	case K_ARR_OPEN:
	case K_ARR_NEXT:
	case K_ARR_COMMA:
		arr_step(m, c, byte);
		return;
	case K_OBJ_KEY:
		key_step(m, c, byte);
		return;
	case K_OBJ_OPEN:
	case K_OBJ_NEXT:
	case K_OBJ_COMMA:
	case K_OBJ_COLON:
		obj_step(m, c, byte);
		return;
	}
}

static void resume(struct machine *m, const struct cell *c, struct result r)
{
	struct cell x = *c;
	if (c->kind == K_ARR_NEXT) {
		arr_resume(m, c, r);
		return;
	}
	if (c->kind == K_END)
		x.a = 1;
	machine_emit(m, &x);
}

static bool ends(struct machine *m, const struct cell *c)
{
	(void)m;
	return c->kind == K_END && c->a;
}

/* White space is rounded up, so that a run of it has few masks; where a limit on length is further
 * away than a token is long, it does not matter how far. Hashes make every cell its own: not worth
 * keeping. */
static bool key(const struct cell *c, struct cell *out)
{
	const struct str_atom *s = c->node;
	const struct obj_atom *o = c->node;
	uint32_t *spaces = NULL;
	switch ((enum kind)c->kind) {
	case K_STR:
		if (s->max != UNBOUNDED && s->max - c->b <= MACHINE_TOKEN_MAX)
			return true;
		if (c->b >= s->min)
			out->b = s->min;
		else if (s->min - c->b > MACHINE_TOKEN_MAX)
			out->b = 0;
		return true;
	case K_STR_HASHED:
	case K_NUM_HASHED:
		return false;
	case K_OBJ_KEY:
		return !o->hashed;
	case K_ARR_OPEN:
	case K_ARR_NEXT:
	case K_ARR_COMMA:
		spaces = &out->b;
		break;
	case K_VALUE:
	case K_OBJ_OPEN:
	case K_OBJ_NEXT:
	case K_OBJ_COMMA:
	case K_OBJ_COLON:
		spaces = &out->a;
		break;
	default:
		return true;
	}
	if (*spaces > 2)
		*spaces = 2 + (*spaces - 2 + SPACE_STEP - 1) / SPACE_STEP * SPACE_STEP;
	return true;
}

const struct language_ops schema_ops = {
	.start = start,
	.step = step,
	.resume = resume,
	.ends = ends,
	.key = key,
};
