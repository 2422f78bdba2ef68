/* Of a set: how many texts, which, how long; and a set from a table of bytes. */
#include "text/dfa_int.h"

#include <stdlib.h>

/* ---- order ---- */

/* The states in an order in which arcs lead forward. *order is NULL when there is none: a trimmed
 * automaton with a circle has infinitely many texts. Free it. */
static bool arcs_forward(const struct fa *f, uint32_t **order)
{
	uint32_t *n_in = calloc((size_t)f->n + 1, sizeof *n_in);
	uint32_t *list = malloc(((size_t)f->n + 1) * sizeof *list);
	uint32_t n = 0;
	if (!n_in || !list) {
		free(n_in);
		free(list);
		return false;
	}
	for (uint32_t i = 0; i < f->n_arcs; i++)
		n_in[f->arcs[i].to]++;
	if (f->n && !n_in[0])
		list[n++] = 0;
	for (uint32_t done = 0; done < n; done++)
		for (uint32_t i = f->first[list[done]]; i < f->first[list[done] + 1]; i++)
			if (!--n_in[f->arcs[i].to])
				list[n++] = f->arcs[i].to;
	free(n_in);
	if (n < f->n) {
		free(list);
		list = NULL;
	}
	*order = list;
	return true;
}

bool fa_longest(const struct fa *f, uint32_t *most)
{
	uint32_t *order, *depth, max = 0;
	if (!arcs_forward(f, &order))
		return false;
	if (!order) {
		*most = UINT32_MAX;
		return true;
	}
	depth = calloc((size_t)f->n + 1, sizeof *depth);
	for (uint32_t k = 0; depth && k < f->n; k++) {
		uint32_t s = order[k];
		max = MAX(max, depth[s]);
		for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++)
			depth[f->arcs[i].to] = MAX(depth[f->arcs[i].to], depth[s] + 1);
	}
	free(order);
	if (!depth)
		return false;
	free(depth);
	*most = max;
	return true;
}

/* false: out of memory. */
static bool count_texts(const struct fa *f, size_t max, size_t *count)
{
	uint32_t *order;
	if (!arcs_forward(f, &order))
		return false;
	*count = max;
	if (!order)
		return true;
	size_t *of = calloc((size_t)f->n + 1, sizeof *of);
	for (uint32_t k = f->n; of && k-- > 0;) {
		uint32_t s = order[k];
		size_t n = f->tags[s] != 0, more;
		for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++) {
			const struct arc *arc = &f->arcs[i];
			size_t letters = arc->hi - arc->lo + 1;
			if (__builtin_mul_overflow(letters, of[arc->to], &more) ||
				__builtin_add_overflow(n, more, &n))
				n = SIZE_MAX;
		}
		of[s] = n;
	}
	free(order);
	if (of)
		*count = MIN(of[0], max);
	free(of);
	return of != NULL;
}

size_t dfa_count(const struct dfa *d, size_t max)
{
	size_t n;
	if (!d)
		return 0;
	return count_texts(&d->fa, max, &n) ? n : max;
}

/* ---- listing ---- */

struct list {
	const struct fa *f;
	struct arena *a;
	struct str *texts;
	size_t n;
	struct buf text;
	struct arc *path; /* per letter of `text`: the arc, with lo the present letter */
	size_t path_cap, n_path;
	enum err err;
};

static void list_state(struct list *l, uint32_t s)
{
	if (!l->f->tags[s])
		return;
	struct str t = arena_str(l->a, buf_str(&l->text));
	if (!t.p)
		l->err = ERR_NOMEM;
	else
		l->texts[l->n++] = t;
}

/* Goes to the first arc of state s, or to the next letter, or back. */
static void list_down(struct list *l, uint32_t i)
{
	if (!dfa_grow(&l->path, &l->path_cap, l->n_path + 1, sizeof *l->path)) {
		l->err = ERR_NOMEM;
		return;
	}
	/* hi is the arc's number, for the letter after the last */
	l->path[l->n_path++] = (struct arc){l->f->arcs[i].lo, i, l->f->arcs[i].to};
	buf_add_utf8(&l->text, letter_cp(l->f->arcs[i].lo));
	list_state(l, l->f->arcs[i].to);
}

static uint32_t last_state(const struct list *l)
{
	return l->n_path ? l->path[l->n_path - 1].to : 0;
}

static void drop_letter(struct list *l)
{
	do
		l->text.n--;
	while (((unsigned char)l->text.p[l->text.n] & 0xC0) == 0x80);
	l->text.p[l->text.n] = 0;
	l->n_path--;
}

/* Depth first; the depth is a text's length, which is bounded by the number of states. */
static void list_all(struct list *l)
{
	const struct fa *f = l->f;
	list_state(l, 0);
	if (f->first[1] > f->first[0])
		list_down(l, f->first[0]);
	while (l->n_path && !l->err && !l->text.err) {
		uint32_t s = last_state(l);
		if (f->first[s + 1] > f->first[s]) {
			list_down(l, f->first[s]);
			continue;
		}
		while (l->n_path) {
			struct arc at = l->path[l->n_path - 1];
			drop_letter(l);
			if (at.lo < f->arcs[at.hi].hi) {
				struct arc next = {at.lo + 1, at.hi, at.to};
				l->path[l->n_path++] = next;
				buf_add_utf8(&l->text, letter_cp(next.lo));
				list_state(l, next.to);
				break;
			}
			if (at.hi + 1 < f->first[last_state(l) + 1]) {
				list_down(l, at.hi + 1);
				break;
			}
		}
	}
}

static int by_length(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	return x->n != y->n ? (x->n < y->n ? -1 : 1) : str_cmp(*x, *y);
}

enum err dfa_list(struct arena *a, const struct dfa *d, size_t max, struct str **out, size_t *n,
	struct errtext *et)
{
	size_t count = 0;
	if (d && !count_texts(&d->fa, SIZE_MAX, &count))
		return dfa_refuse(et, ERR_NOMEM);
	if (count > max || count == SIZE_MAX) {
		*out = NULL;
		*n = SIZE_MAX;
		return OK;
	}
	struct list l = {.a = a, .f = d ? &d->fa : NULL};
	l.texts = arena_array_of(a, count + 1, struct str);
	if (!l.texts)
		return dfa_refuse(et, ERR_NOMEM);
	if (d)
		list_all(&l);
	enum err e = l.err ? l.err : l.text.err;
	buf_free(&l.text);
	free(l.path);
	if (e)
		return dfa_refuse(et, e);
	qsort(l.texts, l.n, sizeof *l.texts, by_length);
	*out = l.texts;
	*n = l.n;
	return OK;
}

/* ---- tables of bytes ---- */

enum { MIXED = UINT32_MAX - 1, UNKNOWN = UINT32_MAX - 2 };

struct table {
	const uint32_t *next;
	uint32_t *same[3]; /* per state: where any 1, 2, 3 continuation bytes lead, or MIXED */
	uint32_t *number;  /* per state of the table: its number as a state between code points */
	uint32_t *queue, n_queue;
	struct fa *f;
};

/* Where all sequences of `depth` continuation bytes from state s lead: a state, DFA_DEAD, MIXED. */
static uint32_t same_target(struct table *t, uint32_t s, int depth)
{
	if (!depth || s == DFA_DEAD)
		return s;
	uint32_t *known = &t->same[depth - 1][s];
	if (*known != UNKNOWN)
		return *known;
	uint32_t all = same_target(t, t->next[(size_t)s * 256 + 0x80], depth - 1);
	for (uint32_t b = 0x81; b <= 0xBF && all != MIXED; b++)
		if (same_target(t, t->next[(size_t)s * 256 + b], depth - 1) != all)
			all = MIXED;
	return *known = all;
}

static void table_arc(struct table *t, uint32_t lo, uint32_t hi, uint32_t to)
{
	if (to == DFA_DEAD)
		return;
	if (t->number[to] == UINT32_MAX) {
		t->number[to] = t->n_queue;
		t->queue[t->n_queue++] = to;
	}
	fa_arc(t->f, letter_of(lo), letter_of(hi), t->number[to]);
}

/* Code points lo..hi that are left of those that begin at `base` and go on from s. */
static void table_level(
	struct table *t, uint32_t s, int depth, uint32_t base, uint32_t lo, uint32_t hi)
{
	uint32_t span = 1u << 6 * depth, to = same_target(t, s, depth);
	lo = MAX(lo, base);
	hi = MIN(hi, base + span - 1);
	if (lo > hi || t->f->err)
		return;
	if (to != MIXED) {
		table_arc(t, lo, hi, to);
		return;
	}
	for (uint32_t b = 0; b < 64; b++)
		table_level(t, t->next[(size_t)s * 256 + 0x80 + b], depth - 1,
			base + (b << 6 * (depth - 1)), lo, hi);
}

static void table_state(struct table *t, uint32_t s)
{
	static const struct {
		uint32_t lo, hi, byte;
		int depth;
	} lengths[] = {
		{0, 0x7F, 0, 0},
		{0x80, 0x7FF, 0xC0, 1},
		{0x800, 0xD7FF, 0xE0, 2},
		{0xE000, 0xFFFF, 0xE0, 2},
		{0x10000, 0x10FFFF, 0xF0, 3},
	};
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		int bits = 6 * lengths[i].depth;
		for (uint32_t lead = lengths[i].lo >> bits; lead <= lengths[i].hi >> bits; lead++)
			table_level(t, t->next[(size_t)s * 256 + (lengths[i].byte | lead)],
				lengths[i].depth, lead << bits, lengths[i].lo, lengths[i].hi);
	}
}

enum err dfa_table(struct arena *a, const uint32_t *next, const uint32_t *tags, uint32_t n,
	const struct dfa **out, struct errtext *et)
{
	struct fa f = {0};
	if (n > DFA_STATES_MAX)
		return dfa_refuse(et, ERR_TOO_LARGE);
	uint32_t *words = malloc(((size_t)n * 5 + 1) * sizeof *words);
	if (!words)
		return dfa_refuse(et, ERR_NOMEM);
	struct table t = {next, {words, words + n, words + 2 * (size_t)n}, words + 3 * (size_t)n,
		words + 4 * (size_t)n, 0, &f};
	for (size_t i = 0; i < (size_t)n * 3; i++)
		words[i] = UNKNOWN;
	memset(t.number, 0xFF, n * sizeof *t.number);
	if (n) {
		t.number[0] = 0;
		t.queue[t.n_queue++] = 0;
	}
	for (uint32_t done = 0; done < t.n_queue; done++) {
		table_state(&t, t.queue[done]);
		fa_end(&f, tags[t.queue[done]]);
	}
	free(words);
	return dfa_finish(a, &f, false, out, et);
}
