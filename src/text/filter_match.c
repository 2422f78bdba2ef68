/* The filter language: values against tests, the tree with what is known, and sorting. */
#include "text/filter_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- one value ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

struct wild {
	char many, one; /* any text; a character */
	bool nocase;
};

/* Does s begin with a part of a pattern, in which there is no `many`? *n: bytes of s. */
static bool part_at(const struct wild *w, struct str s, struct str part, size_t *n)
{
	size_t i = 0;
	for (size_t k = 0; k < part.n; k++) {
		uint32_t cp;
		if (i == s.n)
			return false;
		if (part.p[k] == w->one)
			i += utf8_decode(str_sub(s, i, s.n), &cp);
		else if (w->nocase ? lower(s.p[i]) == lower(part.p[k]) : s.p[i] == part.p[k])
			i++;
		else
			return false;
	}
	*n = i;
	return true;
}

/* The first place of s from which a part stands (`last`: up to the end). *end: behind it. */
static bool part_in(const struct wild *w, struct str s, struct str part, bool last, size_t *end)
{
	size_t n;
	if (str_chr(part, w->one) == STR_NONE) { /* in linear time */
		size_t at = last        ? s.n - MIN(part.n, s.n)
			    : w->nocase ? str_find_nocase(s, part)
					: str_find(s, part);
		*end = at + part.n;
		return at != STR_NONE && (!last || part_at(w, str_sub(s, at, s.n), part, &n));
	}
	for (size_t at = 0; at < s.n;) {
		uint32_t cp;
		struct str rest = str_sub(s, at, s.n);
		if (part_at(w, rest, part, &n) && (!last || n == rest.n)) {
			*end = at + n;
			return true;
		}
		at += utf8_decode(rest, &cp);
	}
	return false;
}

/* Each part at its first place: what is possible further on is possible from there, too. */
static bool like(const struct wild *w, struct str s, struct str pattern)
{
	bool open = false; /* behind a `many` */
	while (pattern.n) {
		size_t end = str_chr(pattern, w->many), n;
		struct str part = str_sub(pattern, 0, end);
		if (part.n && !(open ? part_in(w, s, part, end == STR_NONE, &n)
				     : part_at(w, s, part, &n)))
			return false;
		if (part.n)
			s = str_sub(s, n, s.n);
		open = end != STR_NONE;
		pattern = str_sub(pattern, open ? end + 1 : pattern.n, pattern.n);
	}
	return open || !s.n;
}

static bool in_texts(const struct filter_test *t, struct str s, bool nocase)
{
	size_t lo = 0, hi = t->n_list;
	if (nocase) {
		while (lo < hi && !str_eq_nocase(t->list[lo], s))
			lo++;
		return lo < hi;
	}
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = str_cmp(t->list[mid], s);
		if (!c)
			return true;
		c < 0 ? (lo = mid + 1) : (hi = mid);
	}
	return false;
}

/* Bytes of well-formed UTF-8 at the beginning. */
static size_t well_formed(struct str s)
{
	size_t i = 0;
	while (i < s.n) {
		uint32_t cp;
		size_t n = utf8_decode(str_sub(s, i, s.n), &cp);
		if (cp == 0xFFFD && !str_starts(str_sub(s, i, s.n), S("\xEF\xBF\xBD")))
			break;
		i += n;
	}
	return i;
}

static bool in_set(const struct dfa *d, struct str s)
{
	uint32_t at = dfa_start(d);
	for (size_t i = 0; i < s.n && at != DFA_DEAD; i++) {
		at = dfa_step(d, at, (uint8_t)s.p[i]);
		if (dfa_accept(d, at) && dfa_is_free(d, at))
			return true;
	}
	return dfa_accept(d, at) != 0;
}

/* What spans hold are messages in which texts stand: other bytes are ends of texts. */
static bool has_pattern(const struct dfa *d, struct str s)
{
	for (;;) {
		size_t n = well_formed(s);
		if (in_set(d, str_sub(s, 0, n)))
			return true;
		if (n == s.n)
			return false;
		s = str_sub(s, n + 1, s.n);
	}
}

/* As if nothing were negated: != is =. */
static bool text_test(const struct filter_test *t, struct str s, bool rules)
{
	bool nocase = t->name.flags & FILTER_NOCASE;
	switch (t->op) {
	case FILTER_EQ:
	case FILTER_NE:
		return nocase ? str_eq_nocase(s, t->text) : str_eq(s, t->text);
	case FILTER_LIKE:
	case FILTER_ILIKE:
		return like(&(struct wild){rules ? '*' : '%', rules ? '?' : '_',
				    nocase || t->op == FILTER_ILIKE},
			s, t->text);
	case FILTER_RLIKE:
		return has_pattern(t->pattern, s);
	case FILTER_CONTAINS:
		return !t->text.n || str_find_nocase(s, t->text) != STR_NONE;
	case FILTER_IN:
		return in_texts(t, s, nocase);
	default:
		return false;
	}
}

static bool number_test(const struct filter_test *t, double v)
{
	switch (t->op) {
	case FILTER_EQ:
	case FILTER_NE:
		return v == t->number;
	case FILTER_LT:
		return v < t->number;
	case FILTER_LE:
		return v <= t->number;
	case FILTER_GT:
		return v > t->number;
	case FILTER_GE:
		return v >= t->number;
	case FILTER_IN:
		for (size_t i = 0; i < t->n_list; i++)
			if (v == t->numbers[i])
				return true;
		return false;
	default:
		return false;
	}
}

/* false: a value of this kind cannot be compared with what is asked for. */
static bool compare(
	const struct filter_test *t, const struct filter_value *v, bool rules, bool *yes)
{
	double number = v->number;
	if (!t->numeric) {
		if (!v->text.p)
			return false;
		*yes = text_test(t, v->text, rules);
		return true;
	}
	if (!v->is_number && (!v->text.p || !str_f64(v->text, &number)))
		return false;
	*yes = number_test(t, number);
	return true;
}

static bool test_match(const struct filter *f, const struct filter_test *t,
	const struct filter_subject *s, const void *item)
{
	bool rules = f->rules, negative = t->negated || t->op == FILTER_NE;
	bool all = (t->name.flags & FILTER_ALIASES) || rules, any = false, yes;
	struct filter_value v = {{0}, 0, false};
	if (t->op == FILTER_NULL)
		return s->get(s->ctx, item, &t->name, 0, &v) == t->negated;
	for (size_t at = 0; s->get(s->ctx, item, &t->name, at, &v); at++) {
		bool comparable = compare(t, &v, rules, &yes);
		any |= comparable;
		if (comparable && yes != (negative && !all))
			return !(negative && all);
		v = (struct filter_value){{0}, 0, false};
	}
	return negative && all && (any || rules);
}

/* ---- the tree ---- */

static enum filter_truth known(const struct node *n, uint32_t found, bool all_seen)
{
	return found >> n->part & 1 ? FILTER_TRUE : all_seen ? FILTER_FALSE : FILTER_UNKNOWN;
}

static enum filter_truth decide(const struct filter *f, const struct node *n,
	const struct filter_subject *s, const void *item, uint32_t found, bool all_seen)
{
	enum filter_truth stop = n->kind == NODE_OR ? FILTER_TRUE : FILTER_FALSE, t;
	bool open = false;
	switch (n->kind) {
	case NODE_TEST:
		if (test_match(f, &n->test, s, item))
			return FILTER_TRUE;
		return n->test.name.flags & FILTER_IN_PARTS ? known(n, found, all_seen)
							    : FILTER_FALSE;
	case NODE_PART:
		return known(n, found, all_seen);
	case NODE_NOT:
		t = decide(f, n->first, s, item, found, all_seen);
		return t == FILTER_UNKNOWN ? t : t == FILTER_TRUE ? FILTER_FALSE : FILTER_TRUE;
	default:
		for (const struct node *c = n->first; c; c = c->next) {
			t = decide(f, c, s, item, found, all_seen);
			if (t == stop)
				return stop;
			open |= t == FILTER_UNKNOWN;
		}
		return open ? FILTER_UNKNOWN : stop == FILTER_TRUE ? FILTER_FALSE : FILTER_TRUE;
	}
}

enum filter_truth filter_decide(const struct filter *f, const struct filter_subject *s,
	const void *item, uint32_t found, bool all_parts_seen)
{
	return f ? decide(f, f->root, s, item, found, all_parts_seen) : FILTER_TRUE;
}

bool filter_match(const struct filter *f, const struct filter_subject *s, const void *item)
{
	return filter_decide(f, s, item, 0, true) == FILTER_TRUE;
}

uint32_t filter_part(
	const struct filter *f, const struct filter_subject *part, const void *item, uint32_t found)
{
	for (unsigned i = 0; f && i < f->n_parts; i++) {
		const struct node *n = f->parts[i];
		if (found >> i & 1)
			continue;
		if (n->kind == NODE_TEST ? test_match(f, &n->test, part, item)
					 : decide(f, n->first, part, item, 0, true) == FILTER_TRUE)
			found |= 1u << i;
	}
	return found;
}

/* ---- sorting ---- */

struct key {
	/* 0: a value, 1: NaN, 2: none. Those come last, whatever the direction. */
	unsigned rank;
	double number;
	struct str text;
};

struct sortable {
	void *item;
	const struct key *keys;
};

struct sorting {
	const struct filter_order *order;
	size_t n;
	int (*otherwise)(const void *a, const void *b);
};

static int by_keys(const void *pa, const void *pb, void *ctx)
{
	const struct sortable *a = pa, *b = pb;
	const struct sorting *s = ctx;
	for (size_t i = 0; i < s->n; i++) {
		const struct key *x = &a->keys[i], *y = &b->keys[i];
		int c;
		if (x->rank != y->rank)
			return x->rank < y->rank ? -1 : 1;
		if (x->rank)
			continue;
		if (s->order[i].name.type != FILTER_TEXT)
			c = x->number < y->number ? -1 : x->number > y->number;
		else
			c = str_cmp(x->text, y->text);
		if (c)
			return s->order[i].descending ? -c : c;
	}
	return s->otherwise(a->item, b->item);
}

static enum err make_key(const struct filter_subject *s, const void *item,
	const struct filter_name *n, struct arena *a, struct key *out)
{
	struct filter_value v = {{0}, 0, false};
	struct key k = {.rank = 2};
	if (s->get(s->ctx, item, n, 0, &v)) {
		k = (struct key){0, v.number, v.text};
		if (n->type != FILTER_TEXT)
			k.rank = !v.is_number ? 2 : isnan(v.number) ? 1 : 0;
		else if (!v.text.p)
			k.rank = 2;
		else if (n->index != NO_KEY) /* may be made for the moment only */
			k.text = arena_str(a, v.text);
	}
	if (!k.rank && n->type == FILTER_TEXT && !k.text.p)
		return ERR_NOMEM;
	*out = k;
	return OK;
}

enum err filter_sort(const struct filter_order *o, size_t n_orders, const struct filter_subject *s,
	void **items, size_t n, int (*otherwise)(const void *a, const void *b), struct arena *a,
	struct errtext *et)
{
	struct sorting how = {o, n_orders, otherwise};
	struct sortable *v = arena_array_of(a, n + 1, struct sortable);
	struct key *keys = arena_array_of(a, n * n_orders + 1, struct key);
	if (!v || !keys)
		return err_set(et, ERR_NOMEM, "no memory for sorting what was found");
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct sortable){items[i], &keys[i * n_orders]};
		for (size_t k = 0; k < n_orders; k++)
			if (make_key(s, items[i], &o[k].name, a, &keys[i * n_orders + k]))
				return err_set(
					et, ERR_NOMEM, "no memory for sorting what was found");
	}
	if (n)
		qsort_r(v, n, sizeof *v, by_keys, &how);
	for (size_t i = 0; i < n; i++)
		items[i] = v[i].item;
	return OK;
}
