/* Conditions by index: each becomes a bit for each document of a segment, and trees are and, or and
 * not of words; in the end the bits of living documents become keys. cond.c has the meaning. */
#include "vector/fields_int.h"

#include <stdlib.h>

struct eval {
	const struct text_paths *text;
	bool failed, exact;
};

static uint64_t *bits_new(struct eval *v, const struct fseg *s)
{
	uint64_t *bits = calloc(segment_words(s->base.n_docs), sizeof *bits);
	v->failed |= !bits;
	return bits;
}

static void bits_all(const struct fseg *s, uint64_t *bits)
{
	memset(bits, 0xFF, segment_words(s->base.n_docs) * sizeof *bits);
	bits[s->base.n_docs / 64] = (UINT64_C(1) << s->base.n_docs % 64) - 1;
}

static void bits_not(const struct fseg *s, uint64_t *bits)
{
	for (size_t w = 0; w < segment_words(s->base.n_docs); w++)
		bits[w] = ~bits[w];
	bits[s->base.n_docs / 64] &= (UINT64_C(1) << s->base.n_docs % 64) - 1;
}

/* ---- leaves ---- */

static void mark_kind(const struct fseg *s, uint32_t path, enum entry_kind kind, uint64_t *bits)
{
	const uint32_t *first = &s->first_entry[path * ENTRY_KINDS + kind];
	for (uint32_t i = first[0]; i < first[1]; i++)
		fields_entry_mark(s, &s->entries[i], bits);
}

/* The numbers of a path and kind that lie in a range: [*lo, *hi). */
static struct cond_number number_at(const struct fseg *s, enum number_kind kind, uint32_t i)
{
	return kind == NUMBER_DOUBLE ? (struct cond_number){false, 0, s->numbers[i].d}
				     : (struct cond_number){true, s->numbers[i].i, 0};
}

static void numbers_in(const struct fseg *s, uint32_t path, enum number_kind kind,
	const struct cond_range *r, uint32_t *lo, uint32_t *hi)
{
	const uint32_t *first = &s->first_number[path * NUMBER_KINDS + kind];
	uint32_t a = first[0], b = first[1];
	while (r->above && a < b) {
		uint32_t mid = a + (b - a) / 2;
		if (cond_number_cmp(number_at(s, kind, mid), r->from) < (int)r->open_above)
			a = mid + 1;
		else
			b = mid;
	}
	*lo = a;
	b = first[1];
	while (r->below && a < b) {
		uint32_t mid = a + (b - a) / 2;
		if (cond_number_cmp(number_at(s, kind, mid), r->to) <= -(int)r->open_below)
			a = mid + 1;
		else
			b = mid;
	}
	*hi = r->below ? a : first[1];
}

static void mark_numbers(const struct fseg *s, uint32_t path, enum number_kind kind,
	const struct cond_range *r, uint64_t *bits)
{
	uint32_t lo, hi;
	numbers_in(s, path, kind, r, &lo, &hi);
	for (uint32_t i = lo; i < hi; i++)
		bits[s->number_docs[i] / 64] |= UINT64_C(1) << s->number_docs[i] % 64;
}

static struct cond_range just(struct cond_number n)
{
	return (struct cond_range){.above = true, .below = true, .from = n, .to = n};
}

static const struct entry *entry_for(
	const struct fseg *s, uint32_t path, const struct cond_value *v)
{
	uint8_t room[32];
	enum entry_kind kind = v->b ? ENTRY_TRUE : ENTRY_FALSE;
	struct str name = v->type == COND_STRING ? fields_string_name(v->s, room, &kind) : S("");
	const struct entry *e;
	return fseg_entry(s, path, kind, name, &e) ? e : NULL;
}

static void eval_in(const struct fseg *s, uint32_t path, const struct cond *c, uint64_t *bits)
{
	for (size_t i = 0; i < c->n_values; i++) {
		const struct cond_value *v = &c->values[i];
		if (v->type == COND_NUMBER) {
			struct cond_range r = just(v->n);
			mark_numbers(s, path, NUMBER_INT, &r, bits);
			continue;
		}
		const struct entry *e = entry_for(s, path, v);
		if (e)
			fields_entry_mark(s, e, bits);
	}
}

/* Is the entry's string among the values? */
static bool is_named(
	const struct fseg *s, uint32_t path, const struct cond *c, const struct entry *e)
{
	for (size_t i = 0; i < c->n_values; i++)
		if (c->values[i].type == COND_STRING && entry_for(s, path, &c->values[i]) == e)
			return true;
	return false;
}

static void eval_except(const struct fseg *s, uint32_t path, const struct cond *c, uint64_t *bits)
{
	const uint32_t *first = &s->first_entry[path * ENTRY_KINDS];
	for (uint32_t i = first[ENTRY_STRING]; i < first[ENTRY_STRING + 1]; i++) {
		struct cond_value v = {
			.type = COND_STRING, .s = fields_entry_name(s, &s->entries[i])};
		if (!cond_has_value(c, &v))
			fields_entry_mark(s, &s->entries[i], bits);
	}
	for (uint32_t i = first[ENTRY_LONG]; i < first[ENTRY_LONG + 1]; i++)
		if (!is_named(s, path, c, &s->entries[i]))
			fields_entry_mark(s, &s->entries[i], bits);
	for (int b = 0; b < 2; b++)
		if (!cond_has_value(c, &(struct cond_value){.type = COND_BOOL, .b = b}))
			mark_kind(s, path, b ? ENTRY_TRUE : ENTRY_FALSE, bits);
	static const struct cond_range any = {0};
	mark_numbers(s, path, NUMBER_DOUBLE, &any, bits);
	mark_kind(s, path, ENTRY_OTHER, bits);
	const uint32_t *at = &s->first_number[path * NUMBER_KINDS + NUMBER_INT];
	struct cond_value v = {.type = COND_NUMBER};
	bool named = false;
	for (uint32_t i = at[0]; i < at[1]; i++) {
		if (i == at[0] || s->numbers[i].i != v.n.i) {
			v.n = number_at(s, NUMBER_INT, i);
			named = cond_has_value(c, &v);
		}
		if (!named)
			bits[s->number_docs[i] / 64] |= UINT64_C(1) << s->number_docs[i] % 64;
	}
}

static void words_all(
	struct eval *v, const struct fseg *s, uint32_t path, const struct cond *c, uint64_t *bits)
{
	uint64_t *one = bits_new(v, s);
	for (size_t i = 0; one && i < c->n_terms; i++) {
		const struct entry *e;
		memset(one, 0, segment_words(s->base.n_docs) * sizeof *one);
		if (fseg_entry(s, path, ENTRY_TERM, c->terms[i], &e))
			fields_entry_mark(s, e, one);
		for (size_t w = 0; w < segment_words(s->base.n_docs); w++)
			bits[w] = i ? bits[w] & one[w] : one[w];
	}
	free(one);
}

/* Of the first string of each document. */
static void eval_words(
	struct eval *v, const struct fseg *s, uint32_t path, const struct cond *c, uint64_t *bits)
{
	if (c->kind == COND_TEXT) {
		words_all(v, s, path, c, bits);
		return;
	}
	for (size_t i = 0; i < c->n_terms; i++) {
		const struct entry *e;
		if (fseg_entry(s, path, ENTRY_TERM, c->terms[i], &e))
			fields_entry_mark(s, e, bits);
	}
}

static const struct felements *elements_at(const struct fseg *s, uint32_t path, bool strings)
{
	for (size_t i = 0; i < s->n_elements; i++)
		if (s->elements[i].path == path && s->elements[i].strings == strings)
			return &s->elements[i];
	return NULL;
}

static void mark_parents(const struct felements *e, const uint64_t *inner, uint64_t *bits)
{
	for (size_t w = 0; w < segment_words(e->seg->base.n_docs); w++)
		for (uint64_t word = inner[w]; word; word &= word - 1) {
			uint32_t p = e->parents[w * 64 + (size_t)__builtin_ctzll(word)];
			bits[p / 64] |= UINT64_C(1) << p % 64;
		}
}

static void eval_text(
	struct eval *v, const struct fseg *s, uint32_t path, const struct cond *c, uint64_t *bits)
{
	const struct felements *more = elements_at(s, path, true);
	uint32_t root;
	eval_words(v, s, path, c, bits);
	if (!more || !fseg_path(more->seg, S(""), &root))
		return;
	uint64_t *inner = bits_new(v, more->seg);
	if (!inner)
		return;
	eval_words(v, more->seg, root, c, inner);
	mark_parents(more, inner, bits);
	free(inner);
}

/* Values of 2 and more are in COUNT; of 1 those that have some and not more, and ONE; of 0 ZERO,
 * and who has no value at all. */
static void eval_count(struct eval *v, const struct fseg *s, uint32_t path, bool known,
	const struct cond *c, uint64_t *bits)
{
	static const struct cond_range any = {0};
	bool zero = cond_in_range(&c->range, (struct cond_number){true, 0, 0});
	bool one = cond_in_range(&c->range, (struct cond_number){true, 1, 0});
	uint64_t *some = bits_new(v, s), *more = bits_new(v, s);
	if (some && more && known) {
		mark_kind(s, path, ENTRY_SOME, some);
		mark_numbers(s, path, NUMBER_COUNT, &any, more);
		mark_numbers(s, path, NUMBER_COUNT, &c->range, bits);
		if (one)
			mark_kind(s, path, ENTRY_ONE, bits);
		if (zero)
			mark_kind(s, path, ENTRY_ZERO, bits);
		for (size_t w = 0; one && w < segment_words(s->base.n_docs); w++)
			bits[w] |= some[w] & ~more[w];
		mark_kind(s, path, ENTRY_ZERO, some);
	}
	if (some && more && zero) {
		bits_not(s, some);
		for (size_t w = 0; w < segment_words(s->base.n_docs); w++)
			bits[w] |= some[w];
	}
	free(some);
	free(more);
}

static void eval_ids(const struct fseg *s, const struct cond *c, uint64_t *bits)
{
	uint32_t at = 0;
	for (size_t i = 0; s->base.keys && i < c->n_ids; i++) {
		uint32_t lo = at, hi = s->base.n_docs;
		while (lo < hi) {
			uint32_t mid = lo + (hi - lo) / 2;
			if (s->base.keys[mid] < c->ids[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		at = lo;
		if (lo < s->base.n_docs && s->base.keys[lo] == c->ids[i])
			bits[lo / 64] |= UINT64_C(1) << lo % 64;
	}
}

/* ---- trees ---- */

/* Sets into cleared bits. up: when the truth cannot be told, rather too many than too few. */
static void eval(
	struct eval *v, const struct fseg *s, const struct cond *c, bool up, uint64_t *bits);

/* A place in an array is asked for, which the index does not know. */
static void eval_nested(
	struct eval *v, const struct fseg *s, const struct cond *c, bool up, uint64_t *bits)
{
	uint32_t path;
	const struct felements *e =
		fseg_path(s, c->path, &path) ? elements_at(s, path, false) : NULL;
	uint64_t *inner = e ? bits_new(v, e->seg) : NULL;
	if (!inner)
		return;
	eval(v, e->seg, c->of[0], up, inner);
	mark_parents(e, inner, bits);
	free(inner);
}

static void eval_all(
	struct eval *v, const struct fseg *s, const struct cond *c, bool up, uint64_t *bits)
{
	uint64_t *one = bits_new(v, s);
	bits_all(s, bits);
	for (size_t i = 0; one && i < c->n_of; i++) {
		uint64_t any = 0;
		memset(one, 0, segment_words(s->base.n_docs) * sizeof *one);
		eval(v, s, c->of[i], up, one);
		for (size_t w = 0; w < segment_words(s->base.n_docs); w++)
			any |= bits[w] &= one[w];
		if (!any)
			break;
	}
	free(one);
}

static void eval_at_least(
	struct eval *v, const struct fseg *s, const struct cond *c, bool up, uint64_t *bits)
{
	size_t words = segment_words(s->base.n_docs);
	if (!c->at_least) {
		bits_all(s, bits);
		return;
	}
	if (c->at_least > c->n_of)
		return;
	uint64_t *one = bits_new(v, s);
	uint16_t *n = c->at_least > 1 ? calloc((size_t)s->base.n_docs + 1, sizeof *n) : NULL;
	v->failed |= c->at_least > 1 && !n;
	for (size_t i = 0; !v->failed && i < c->n_of; i++) {
		memset(one, 0, words * sizeof *one);
		eval(v, s, c->of[i], up, one);
		for (size_t w = 0; w < words; w++) {
			if (!n)
				bits[w] |= one[w];
			for (uint64_t word = n ? one[w] : 0; word; word &= word - 1) {
				size_t d = w * 64 + (size_t)__builtin_ctzll(word);
				if (++n[d] == c->at_least)
					bits[w] |= word & -word;
			}
		}
	}
	free(one);
	free(n);
}

static void eval_leaf(
	struct eval *v, const struct fseg *s, const struct cond *c, bool up, uint64_t *bits)
{
	uint32_t path = 0;
	bool known = fseg_path(s, c->path, &path);
	bool text = c->kind == COND_TEXT || c->kind == COND_TEXT_ANY;
	if (text && c->n_terms && !fields_has_text(v->text, c->path)) {
		v->exact = false;
		if (up && known)
			mark_kind(s, path, ENTRY_SOME, bits);
	} else if (c->kind == COND_COUNT) {
		eval_count(v, s, path, known, c, bits);
	} else if (c->kind == COND_EMPTY) {
		if (known)
			mark_kind(s, path, ENTRY_SOME, bits);
		bits_not(s, bits);
	} else if (!known) {
		return;
	} else if (text) {
		eval_text(v, s, path, c, bits);
	} else if (c->kind == COND_IN) {
		eval_in(s, path, c, bits);
	} else if (c->kind == COND_EXCEPT) {
		eval_except(s, path, c, bits);
	} else if (c->kind == COND_NULL) {
		mark_kind(s, path, ENTRY_NULL, bits);
	} else if (c->kind == COND_TIMES) {
		mark_numbers(s, path, NUMBER_TIME, &c->range, bits);
	} else if (c->kind == COND_RANGE) {
		mark_numbers(s, path, NUMBER_INT, &c->range, bits);
		mark_numbers(s, path, NUMBER_DOUBLE, &c->range, bits);
	}
}

static void eval(
	struct eval *v, const struct fseg *s, const struct cond *c, bool up, uint64_t *bits)
{
	if (fields_has_place(c->path)) {
		v->exact = false;
		if (up)
			bits_all(s, bits);
		return;
	}
	switch (c->kind) {
	case COND_ALL:
		eval_all(v, s, c, up, bits);
		return;
	case COND_AT_LEAST:
		eval_at_least(v, s, c, up, bits);
		return;
	case COND_NOT:
		eval(v, s, c->of[0], !up, bits);
		bits_not(s, bits);
		return;
	case COND_ID:
		eval_ids(s, c, bits);
		return;
	case COND_NESTED:
		eval_nested(v, s, c, up, bits);
		return;
	default:
		eval_leaf(v, s, c, up, bits);
	}
}

/* ---- sets of keys ---- */

/* Bits of documents to keys, which ascend: those within 64 keys go over as one word. */
static void add_keys(
	const struct fseg *s, const uint64_t *bits, const uint64_t *dead, struct bitmap *out)
{
	uint64_t first = 0, word = 0;
	for (size_t w = 0; w < segment_words(s->base.n_docs); w++) {
		uint64_t some = dead ? bits[w] & ~dead[w] : bits[w];
		for (; some; some &= some - 1) {
			uint64_t key = s->base.keys[w * 64 + (size_t)__builtin_ctzll(some)];
			if (key / 64 * 64 != first) {
				bitmap_add_word(out, first, word);
				first = key / 64 * 64;
				word = 0;
			}
			word |= UINT64_C(1) << key % 64;
		}
	}
	bitmap_add_word(out, first, word);
}

enum err fields_select(
	struct fields *x, const struct cond *c, struct bitmap *out, bool *exact, struct errtext *et)
{
	struct segment_snap *s = segments_get(fields_segments(x));
	struct eval v = {.text = fields_text(x), .exact = true};
	for (size_t i = 0; i < s->n_parts && !v.failed && !out->err; i++) {
		const struct fseg *seg = fseg_of(&s->parts[i]);
		uint64_t *bits = bits_new(&v, seg);
		if (!bits)
			break;
		eval(&v, seg, c, true, bits);
		if (!v.failed)
			add_keys(seg, bits, s->parts[i].live->dead, out);
		free(bits);
	}
	segments_put_back(fields_segments(x), s);
	if (v.failed || out->err)
		return err_set(et, ERR_NOMEM, "no memory for a filter");
	*exact = v.exact;
	return OK;
}

/* ---- estimates ---- */

struct guess {
	double least, most, likely; /* of n_docs */
};

static struct guess guess_of(
	const struct text_paths *text, const struct fseg *s, const struct cond *c);

static struct guess bounded(double least, double most, double likely, double n)
{
	most = MIN(most, n);
	least = MAX(MIN(least, most), 0);
	return (struct guess){least, most, MAX(MIN(likely, most), least)};
}

static double kind_n(const struct fseg *s, uint32_t path, enum entry_kind kind)
{
	const uint32_t *first = &s->first_entry[path * ENTRY_KINDS + kind];
	return first[0] < first[1] ? s->entries[first[0]].n : 0;
}

/* A document has each number once for each of its values: with several it counts several times. */
static struct guess guess_numbers(
	const struct fseg *s, uint32_t path, enum number_kind kind, const struct cond_range *r)
{
	uint32_t lo, hi;
	numbers_in(s, path, kind, r, &lo, &hi);
	return bounded(hi > lo, hi - lo, hi - lo, s->base.n_docs);
}

static struct guess guess_or(struct guess a, struct guess b, double n)
{
	return bounded(MAX(a.least, b.least), a.most + b.most,
		n > 0 ? a.likely + b.likely - a.likely * b.likely / n : 0, n);
}

static struct guess guess_in(const struct fseg *s, uint32_t path, const struct cond *c)
{
	struct guess sum = {0};
	for (size_t i = 0; i < c->n_values; i++) {
		const struct cond_value *v = &c->values[i];
		struct guess one = {0};
		if (v->type == COND_NUMBER) {
			struct cond_range r = just(v->n);
			one = guess_numbers(s, path, NUMBER_INT, &r);
		} else {
			const struct entry *e = entry_for(s, path, v);
			double n = e ? e->n : 0;
			one = (struct guess){n, n, n};
		}
		sum = bounded(MAX(sum.least, one.least), sum.most + one.most,
			sum.likely + one.likely, s->base.n_docs);
	}
	return sum;
}

static struct guess guess_text(const struct fseg *s, uint32_t path, const struct cond *c)
{
	bool all = c->kind == COND_TEXT;
	struct guess g = {
		0, all && c->n_terms ? s->base.n_docs : 0, all && c->n_terms ? s->base.n_docs : 0};
	for (size_t i = 0; i < c->n_terms; i++) {
		const struct entry *e;
		double n = fseg_entry(s, path, ENTRY_TERM, c->terms[i], &e) ? e->n : 0;
		struct guess one = {n, n, n};
		if (!all)
			g = guess_or(g, one, s->base.n_docs);
		else
			g = bounded(0, MIN(g.most, n), MIN(g.likely, n), s->base.n_docs);
	}
	if (all && c->n_terms == 1)
		g.least = g.most;
	const struct felements *more = c->n_terms ? elements_at(s, path, true) : NULL;
	double extra = more ? more->seg->base.n_docs : 0;
	return bounded(g.least, g.most + extra, g.likely + extra / 2, s->base.n_docs);
}

static struct guess guess_leaf(
	const struct text_paths *text, const struct fseg *s, const struct cond *c)
{
	uint32_t path = 0;
	double n = s->base.n_docs;
	bool known = fseg_path(s, c->path, &path);
	double some = known ? kind_n(s, path, ENTRY_SOME) : 0;
	switch (c->kind) {
	case COND_EMPTY:
		return (struct guess){n - some, n - some, n - some};
	case COND_COUNT:
		return bounded(0, n,
			cond_in_range(&c->range, (struct cond_number){true, 1, 0}) ? some : n / 4,
			n);
	case COND_NULL:
		some = known ? kind_n(s, path, ENTRY_NULL) : 0;
		return (struct guess){some, some, some};
	case COND_EXCEPT: {
		struct guess in = known ? guess_in(s, path, c) : (struct guess){0};
		return bounded(0, some, some - in.likely, n);
	}
	default:
		break;
	}
	if (!known)
		return (struct guess){0};
	if (c->kind == COND_IN)
		return guess_in(s, path, c);
	if (c->kind == COND_TIMES)
		return guess_numbers(s, path, NUMBER_TIME, &c->range);
	if (c->kind == COND_RANGE)
		return guess_or(guess_numbers(s, path, NUMBER_INT, &c->range),
			guess_numbers(s, path, NUMBER_DOUBLE, &c->range), n);
	if (!fields_has_text(text, c->path))
		return bounded(0, some, some / 4, n);
	return guess_text(s, path, c);
}

static struct guess guess_list(
	const struct text_paths *text, const struct fseg *s, const struct cond *c, bool all)
{
	double n = s->base.n_docs, none = n; /* none: how many are likely in none, or in all */
	struct guess sum = {all ? n : 0, all ? n : 0, 0};
	for (size_t i = 0; i < c->n_of; i++) {
		struct guess g = guess_of(text, s, c->of[i]);
		none *= n > 0 ? (all ? g.likely : n - g.likely) / n : 0;
		if (all) {
			sum.least += g.least - n;
			sum.most = MIN(sum.most, g.most);
		} else {
			sum.least = MAX(sum.least, g.least);
			sum.most += g.most;
		}
	}
	return bounded(sum.least, sum.most, all ? none : n - none, n);
}

static struct guess guess_of(
	const struct text_paths *text, const struct fseg *s, const struct cond *c)
{
	double n = s->base.n_docs;
	if (fields_has_place(c->path))
		return (struct guess){0, n, n / 4};
	switch (c->kind) {
	case COND_ALL:
		return guess_list(text, s, c, true);
	case COND_AT_LEAST: {
		struct guess g = guess_list(text, s, c, false);
		if (!c->at_least)
			return (struct guess){n, n, n};
		if (c->at_least == 1)
			return g;
		return bounded(0, g.most, g.likely / (double)c->at_least, n);
	}
	case COND_NOT: {
		struct guess g = guess_of(text, s, c->of[0]);
		return (struct guess){n - g.most, n - g.least, n - g.likely};
	}
	case COND_ID:
		return bounded(0, (double)c->n_ids, (double)c->n_ids, n);
	case COND_NESTED: {
		uint32_t path;
		const struct felements *e =
			fseg_path(s, c->path, &path) ? elements_at(s, path, false) : NULL;
		struct guess g = e ? guess_of(text, e->seg, c->of[0]) : (struct guess){0};
		return bounded(g.least > 0, g.most, g.likely, n);
	}
	default:
		return guess_leaf(text, s, c);
	}
}

void fields_estimate(struct fields *x, const struct cond *c, struct fields_estimate *out)
{
	struct segment_snap *s = segments_get(fields_segments(x));
	*out = (struct fields_estimate){.items = s->n_docs};
	for (size_t i = 0; i < s->n_parts; i++) {
		double n = s->parts[i].seg->n_docs, alive = s->parts[i].live->n_docs;
		struct guess g = guess_of(fields_text(x), fseg_of(&s->parts[i]), c);
		out->least += (uint64_t)MAX(g.least - (n - alive), 0);
		out->most += (uint64_t)MIN(g.most, alive);
		out->likely += (uint64_t)(n > 0 ? g.likely * alive / n + 0.5 : 0);
	}
	out->likely = MAX(MIN(out->likely, out->most), out->least);
	segments_put_back(fields_segments(x), s);
}
