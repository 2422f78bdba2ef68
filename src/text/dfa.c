/* Sets of texts: where they come from (but for regular expressions), and their algebra. */
#include "text/dfa_int.h"

#include <stdlib.h>

/* ---- reading one ---- */

uint32_t dfa_start(const struct dfa *d)
{
	return d ? 0 : DFA_DEAD;
}

uint32_t dfa_step(const struct dfa *d, uint32_t state, uint8_t byte)
{
	if (state == DFA_DEAD)
		return DFA_DEAD;
	if (state < d->fa.n)
		return d->next[(size_t)state * d->width + d->class_of[byte]];
	return d->inner[(size_t)(state - d->fa.n) * d->inner_width + d->inner_class_of[byte]];
}

uint32_t dfa_accept(const struct dfa *d, uint32_t state)
{
	return d && state < d->fa.n ? d->fa.tags[state] : 0;
}

uint32_t dfa_states(const struct dfa *d)
{
	return d ? d->n : 0;
}

bool dfa_is_free(const struct dfa *d, uint32_t state)
{
	return d && state < d->fa.n && d->is_free[state];
}

/* ---- texts ---- */

struct text {
	struct str s;
	uint32_t tag;
};

struct group { /* texts from..to-1 are equal up to `depth` bytes: a state of the trie */
	uint32_t from, to, depth;
};

static int by_text(const void *a, const void *b)
{
	const struct text *x = a, *y = b;
	int c = str_cmp(x->s, y->s);
	return c ? c : (x->tag > y->tag) - (x->tag < y->tag);
}

/* Makes the state of one group, and adds those that follow it to the queue. In sorted UTF-8 the
 * code points ascend as well. */
static void add_group(
	struct fa *f, const struct text *t, struct group g, struct group *queue, uint32_t *n_queue)
{
	uint32_t tag = 0, i = g.from;
	for (; i < g.to && t[i].s.n == g.depth; i++)
		tag = tag ? tag : t[i].tag;
	while (i < g.to && !f->err) {
		struct str rest = str_sub(t[i].s, g.depth, t[i].s.n);
		uint32_t cp;
		size_t n = utf8_decode(rest, &cp);
		struct group next = {i, i + 1, g.depth + (uint32_t)n};
		while (next.to < g.to && t[next.to].s.n >= next.depth &&
			!memcmp(t[next.to].s.p + g.depth, rest.p, n))
			next.to++;
		if (*n_queue > DFA_STATES_MAX) {
			f->err = ERR_TOO_LARGE;
			return;
		}
		fa_arc(f, letter_of(cp), letter_of(cp), *n_queue);
		queue[(*n_queue)++] = next;
		i = next.to;
	}
	fa_end(f, tag);
}

static void add_texts(struct fa *f, const struct text *t, uint32_t n)
{
	struct group *queue = malloc((DFA_STATES_MAX + 1) * sizeof *queue);
	uint32_t n_queue = 0;
	if (!queue)
		f->err = ERR_NOMEM;
	else
		queue[n_queue++] = (struct group){0, n, 0};
	for (uint32_t done = 0; done < n_queue && !f->err; done++)
		add_group(f, t, queue[done], queue, &n_queue);
	free(queue);
}

enum err dfa_texts(struct arena *a, const struct str *texts, size_t n, const struct dfa **out,
	struct errtext *et)
{
	struct fa f = {0};
	if (n >= UINT32_MAX / 2)
		return dfa_refuse(et, ERR_TOO_LARGE);
	for (size_t i = 0; i < n; i++)
		if (!utf8_valid(texts[i]))
			return err_set(et, ERR_INVALID, "text %zu is not well-formed UTF-8", i);
	struct text *t = calloc(n + 1, sizeof *t);
	if (!t)
		return dfa_refuse(et, ERR_NOMEM);
	for (size_t i = 0; i < n; i++)
		t[i] = (struct text){texts[i], (uint32_t)i + 1};
	qsort(t, n, sizeof *t, by_text);
	add_texts(&f, t, (uint32_t)n);
	free(t);
	return dfa_finish(a, &f, false, out, et);
}

enum err dfa_any(struct arena *a, const struct dfa **out, struct errtext *et)
{
	struct fa f = {0};
	fa_arc(&f, 0, LETTER_MAX, 0);
	fa_end(&f, 1);
	return dfa_finish(a, &f, true, out, et);
}

/* ---- products ---- */

/* Walks the arcs of two states side by side; the pieces ascend. */
struct pair_walk {
	const struct fa *x, *y;
	uint32_t i, i_end, j, j_end, at;
};

static struct pair_walk pair_walk(const struct fa *x, uint32_t s, const struct fa *y, uint32_t t)
{
	return (struct pair_walk){
		x, y, x->first[s], x->first[s + 1], y->first[t], y->first[t + 1], 0};
}

/* The next piece of letters that have an arc in both: to in x, and in y. */
static bool pair_next(struct pair_walk *w, struct arc *piece, uint32_t *to_y)
{
	while (w->i < w->i_end && w->j < w->j_end) {
		const struct arc *p = &w->x->arcs[w->i], *q = &w->y->arcs[w->j];
		uint32_t lo = MAX(p->lo, q->lo), hi = MIN(p->hi, q->hi);
		w->i += p->hi == hi;
		w->j += q->hi == hi;
		if (lo <= hi) {
			*piece = (struct arc){lo, hi, p->to};
			*to_y = q->to;
			return true;
		}
	}
	return false;
}

static void intersect(const struct fa *x, const struct fa *y, struct fa *out)
{
	struct seqs pairs = {0};
	uint32_t work = 0;
	seqs_put(&pairs, (uint32_t[]){0, 0}, 2, &out->err);
	for (uint32_t done = 0; done < pairs.n && !out->err; done++) {
		size_t n;
		const uint32_t *pair = seqs_get(&pairs, done, &n);
		uint32_t s = pair[0], t = pair[1], to_y;
		struct pair_walk w = pair_walk(x, s, y, t);
		struct arc piece;
		while (pair_next(&w, &piece, &to_y) && !out->err) {
			uint32_t to = seqs_put(&pairs, (uint32_t[]){piece.to, to_y}, 2, &out->err);
			fa_arc(out, piece.lo, piece.hi, to);
			if (++work > DFA_WORK_MAX)
				out->err = ERR_TOO_LARGE;
		}
		fa_end(out, x->tags[s] && y->tags[t]);
	}
	seqs_free(&pairs);
}

enum err dfa_and(struct arena *a, const struct dfa *x, const struct dfa *y, const struct dfa **out,
	struct errtext *et)
{
	struct fa f = {0};
	if (x && y)
		intersect(&x->fa, &y->fa, &f);
	return dfa_finish(a, &f, false, out, et);
}

enum err dfa_not(struct arena *a, const struct dfa *x, const struct dfa **out, struct errtext *et)
{
	static const struct fa none = {0};
	struct fa f = {0};
	fa_complement(x ? &x->fa : &none, LETTER_MAX, &f);
	return dfa_finish(a, &f, false, out, et);
}

/* Counts code points: to the minimum when there is no maximum. */
static void count_letters(uint32_t min, uint32_t max, struct fa *f)
{
	uint32_t last = max == UINT32_MAX ? min : max;
	if (last > DFA_STATES_MAX)
		f->err = ERR_TOO_LARGE;
	for (uint32_t s = 0; s <= last && !f->err; s++) {
		if (s < last || max == UINT32_MAX)
			fa_arc(f, 0, LETTER_MAX, MIN(s + 1, last));
		fa_end(f, s >= min);
	}
}

enum err dfa_length(struct arena *a, const struct dfa *x, uint32_t min, uint32_t max,
	const struct dfa **out, struct errtext *et)
{
	struct fa f = {0}, counter = {0};
	if (x && min <= max) {
		uint32_t most = UINT32_MAX;
		if (!fa_longest(&x->fa, &most))
			return dfa_refuse(et, ERR_NOMEM);
		if (max >= most)
			max = UINT32_MAX;
		if (min <= most) {
			count_letters(min, max, &counter);
			f.err = counter.err;
			if (!f.err)
				intersect(&x->fa, &counter, &f);
		}
		fa_free(&counter);
	}
	return dfa_finish(a, &f, false, out, et);
}

/* ---- unions ---- */

/* The arcs of several states, and where their union changes. */
struct merge {
	const struct fa *const *parts;
	const uint32_t *offset; /* of a part's states in the numbers of all */
	struct seqs sets;
	struct arc *arcs;
	uint32_t *cuts, *members;
	size_t arcs_cap, cuts_cap, members_cap;
	uint32_t n_arcs, n_cuts, n_parts, work;
};

static int by_lo(const void *a, const void *b)
{
	const struct arc *x = a, *y = b;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* The part that a member belongs to, starting to look at part `from` (members ascend). */
static uint32_t part_of(const struct merge *m, uint32_t member, uint32_t from)
{
	uint32_t lo = from, hi = m->n_parts - 1;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;
		if (m->offset[mid] <= member)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

/* All arcs of the set's members, with targets in the numbers of all; returns the lowest part that
 * accepts, from 1, and its own tag. */
static uint32_t gather(struct merge *m, uint32_t set, uint32_t *own_tag, enum err *err)
{
	size_t n;
	const uint32_t *members = seqs_get(&m->sets, set, &n);
	uint32_t accepts = 0, part = 0;
	m->n_arcs = 0;
	for (size_t k = 0; k < n && !*err; k++) {
		part = part_of(m, members[k], part);
		const struct fa *f = m->parts[part];
		uint32_t s = members[k] - m->offset[part];
		if (!accepts && f->tags[s]) {
			accepts = part + 1;
			*own_tag = f->tags[s];
		}
		uint32_t n_more = f->first[s + 1] - f->first[s];
		if (!dfa_grow(&m->arcs, &m->arcs_cap, m->n_arcs + n_more, sizeof *m->arcs))
			*err = ERR_NOMEM;
		for (uint32_t i = f->first[s]; i < f->first[s + 1] && !*err; i++) {
			m->arcs[m->n_arcs] = f->arcs[i];
			m->arcs[m->n_arcs++].to += m->offset[part];
		}
	}
	return accepts;
}

/* Where pieces begin: every first letter, and every letter after a last one. */
static void find_cuts(struct merge *m, enum err *err)
{
	uint32_t n = 0;
	if (!dfa_grow(&m->cuts, &m->cuts_cap, (size_t)m->n_arcs * 2 + 1, sizeof *m->cuts)) {
		*err = ERR_NOMEM;
		return;
	}
	for (uint32_t i = 0; i < m->n_arcs; i++) {
		m->cuts[n++] = m->arcs[i].lo;
		m->cuts[n++] = m->arcs[i].hi + 1;
	}
	if (n)
		qsort(m->cuts, n, sizeof *m->cuts, by_number);
	m->n_cuts = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!i || m->cuts[i] != m->cuts[i - 1])
			m->cuts[m->n_cuts++] = m->cuts[i];
}

/* The pieces of one set: those arcs that are open over a piece are its members. */
static void merge_arcs(struct merge *m, struct fa *out)
{
	uint32_t n_open = 0, at = 0;
	if (m->n_arcs > 1)
		qsort(m->arcs, m->n_arcs, sizeof *m->arcs, by_lo);
	find_cuts(m, &out->err);
	if (!out->err && !dfa_grow(&m->members, &m->members_cap, m->n_arcs + 1, sizeof *m->members))
		out->err = ERR_NOMEM;
	for (uint32_t c = 0; c + 1 < m->n_cuts && !out->err; c++) {
		uint32_t lo = m->cuts[c], kept = 0;
		/* the open arcs are moved to the front of those already seen */
		for (uint32_t i = 0; i < n_open; i++)
			if (m->arcs[i].hi >= lo)
				m->arcs[kept++] = m->arcs[i];
		n_open = kept;
		for (; at < m->n_arcs && m->arcs[at].lo == lo; at++)
			m->arcs[n_open++] = m->arcs[at];
		m->work += n_open + 1;
		if (m->work > DFA_WORK_MAX)
			out->err = ERR_TOO_LARGE;
		if (!n_open || out->err)
			continue;
		for (uint32_t i = 0; i < n_open; i++)
			m->members[i] = m->arcs[i].to;
		qsort(m->members, n_open, sizeof *m->members, by_number);
		uint32_t to = seqs_put(&m->sets, m->members, n_open, &out->err);
		fa_arc(out, lo, m->cuts[c + 1] - 1, to);
	}
}

/* Runs all parts at once. The tag is the part's number, or the part's own tag. */
static void unite(const struct fa *const *parts, uint32_t n_parts, bool own_tags, struct fa *out)
{
	struct merge m = {.parts = parts, .n_parts = n_parts};
	uint32_t *offset = malloc(((size_t)n_parts + 1) * sizeof *offset);
	uint32_t total = 0, n = 0;
	if (!offset ||
		!dfa_grow(&m.members, &m.members_cap, (size_t)n_parts + 1, sizeof *m.members))
		out->err = ERR_NOMEM;
	for (uint32_t i = 0; i < n_parts && !out->err; i++) {
		offset[i] = total;
		if (parts[i]->n)
			m.members[n++] = total;
		if (__builtin_add_overflow(total, parts[i]->n, &total) || total > INT32_MAX)
			out->err = ERR_TOO_LARGE;
	}
	m.offset = offset;
	if (!out->err && n)
		seqs_put(&m.sets, m.members, n, &out->err);
	for (uint32_t done = 0; done < m.sets.n && !out->err; done++) {
		uint32_t own_tag = 0, accepts = gather(&m, done, &own_tag, &out->err);
		if (!out->err)
			merge_arcs(&m, out);
		fa_end(out, own_tags ? own_tag : accepts);
	}
	free(offset);
	free(m.arcs);
	free(m.cuts);
	free(m.members);
	seqs_free(&m.sets);
}

static enum err unite_all(struct arena *a, const struct dfa *const *sets, size_t n, bool own_tags,
	const struct dfa **out, struct errtext *et)
{
	static const struct fa none = {0};
	struct fa f = {0};
	if (n > DFA_STATES_MAX)
		return dfa_refuse(et, ERR_TOO_LARGE);
	const struct fa **parts = malloc((n + 1) * sizeof *parts);
	if (!parts)
		return dfa_refuse(et, ERR_NOMEM);
	for (size_t i = 0; i < n; i++)
		parts[i] = sets[i] ? &sets[i]->fa : &none;
	unite(parts, (uint32_t)n, own_tags, &f);
	free(parts);
	return dfa_finish(a, &f, false, out, et);
}

enum err dfa_or(struct arena *a, const struct dfa *x, const struct dfa *y, const struct dfa **out,
	struct errtext *et)
{
	return unite_all(a, (const struct dfa *const[]){x, y}, 2, true, out, et);
}

enum err dfa_tagged(struct arena *a, const struct dfa *const *sets, size_t n,
	const struct dfa **out, struct errtext *et)
{
	return unite_all(a, sets, n, false, out, et);
}
