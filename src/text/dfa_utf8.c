/* From code points to bytes: the table that dfa_step looks into.
 *
 * A state's arcs are cut at the lengths of UTF-8 (and at the surrogates, which no arc contains),
 * and become a lead byte, nodes for what is inside of a code point, and a state again. Equal nodes
 * are one: with the states minimal, the whole is minimal too, because two nodes with the same texts
 * after them have the same pieces. A node is its pieces: (first byte, last byte, where to). */
#include "text/dfa_int.h"

#include <stdlib.h>

struct piece {
	uint32_t lo, hi, to; /* to >= n_states: a node */
};

struct walk { /* over the arcs of one state, as code points */
	const struct arc *arcs;
	uint32_t i, n;
	uint32_t at; /* code points below are done */
};

struct utf8 {
	uint32_t n_states;
	struct seqs nodes;
	struct arc *cps; /* of the present state */
	size_t cps_cap;
	struct piece *rows; /* of all states, one after the other */
	size_t rows_cap, n_rows;
	size_t *row_first; /* n_states + 1 */
	enum err err;
};

static void add_piece(struct piece *p, uint32_t *n, uint32_t lo, uint32_t hi, uint32_t to)
{
	if (*n && p[*n - 1].to == to && p[*n - 1].hi + 1 == lo)
		p[*n - 1].hi = hi;
	else
		p[(*n)++] = (struct piece){lo, hi, to};
}

static uint32_t put_node(struct utf8 *u, const struct piece *p, uint32_t n)
{
	uint32_t id = seqs_put(&u->nodes, (const uint32_t *)p, (size_t)n * 3, &u->err);
	if (id != UINT32_MAX && id >= DFA_STATES_MAX - u->n_states) {
		u->err = ERR_TOO_LARGE;
		id = UINT32_MAX;
	}
	return id == UINT32_MAX ? 0 : u->n_states + id;
}

/* After which any `depth` continuation bytes lead to `to`. */
static uint32_t full_node(struct utf8 *u, int depth, uint32_t to)
{
	for (; depth && !u->err; depth--)
		to = put_node(u, &(struct piece){0x80, 0xBF, to}, 1);
	return to;
}

/* The pieces of `blocks` bytes from `byte` on; each stands for 64^depth code points from `base` on.
 * Takes from the walk what lies below their end. Depth is at most 3. */
static uint32_t add_level(struct utf8 *u, struct walk *w, int depth, uint32_t base, uint32_t byte,
	uint32_t blocks, struct piece *p, uint32_t n)
{
	uint32_t span = 1u << 6 * depth, end = base + span * blocks;
	while (w->i < w->n && !u->err) {
		const struct arc *arc = &w->arcs[w->i];
		uint32_t lo = MAX(arc->lo, w->at);
		if (lo >= end)
			break;
		uint32_t b = (lo - base) / span, to;
		uint32_t whole =
			(MIN(arc->hi, end - 1) + 1 - base) / span; /* blocks done by arc->hi */
		if (lo == base + b * span && whole > b) {
			to = full_node(u, depth, arc->to);
			add_piece(p, &n, byte + b, byte + whole - 1, to);
			w->at = base + whole * span;
		} else {
			struct piece inner[64];
			uint32_t from = base + b * span;
			uint32_t k = add_level(u, w, depth - 1, from, 0x80, 64, inner, 0);
			add_piece(p, &n, byte + b, byte + b, put_node(u, inner, k));
		}
		while (w->i < w->n && w->arcs[w->i].hi < w->at)
			w->i++;
	}
	return n;
}

/* The state's arcs as code points from lo to hi, into u->cps. */
static struct walk clip(struct utf8 *u, const struct fa *f, uint32_t s, uint32_t lo, uint32_t hi)
{
	struct walk w = {.at = lo};
	for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++) {
		struct arc arc = {
			letter_cp(f->arcs[i].lo), letter_cp(f->arcs[i].hi), f->arcs[i].to};
		if (arc.hi < lo)
			continue;
		if (arc.lo > hi)
			break;
		u->cps[w.n++] = (struct arc){MAX(arc.lo, lo), MIN(arc.hi, hi), arc.to};
	}
	w.arcs = u->cps;
	return w;
}

static void add_row(struct utf8 *u, const struct fa *f, uint32_t s)
{
	static const struct {
		uint32_t lo, hi, byte, blocks;
		int depth;
	} lengths[] = {
		{0, 0x7F, 0, 128, 0},
		{0x80, 0x7FF, 0xC0, 32, 1},
		{0x800, 0xD7FF, 0xE0, 16, 2}, /* up to the surrogates */
		{0xE000, 0xFFFF, 0xE0, 16, 2},
		{0x10000, 0x10FFFF, 0xF0, 8, 3},
	};
	struct piece p[256];
	uint32_t n = 0, n_arcs = f->first[s + 1] - f->first[s];
	if (!dfa_grow(&u->cps, &u->cps_cap, n_arcs, sizeof *u->cps))
		u->err = ERR_NOMEM;
	for (size_t i = 0; i < ARRAY_LEN(lengths) && !u->err; i++) {
		struct walk w = clip(u, f, s, lengths[i].lo, lengths[i].hi);
		n = add_level(u, &w, lengths[i].depth, 0, lengths[i].byte, lengths[i].blocks, p, n);
	}
	if (!u->err && !dfa_grow(&u->rows, &u->rows_cap, u->n_rows + n + 1, sizeof *u->rows))
		u->err = ERR_NOMEM;
	if (u->err)
		return;
	memcpy(u->rows + u->n_rows, p, n * sizeof *p);
	u->n_rows += n;
	u->row_first[s + 1] = u->n_rows;
}

/* ---- the table ---- */

static void mark_pieces(const struct piece *p, size_t n, bool *begins)
{
	for (size_t i = 0; i < n; i++) {
		begins[p[i].lo] = true;
		begins[p[i].hi + 1] = true;
	}
}

/* Bytes between two marks are one class. */
static uint32_t number_classes(const bool *begins, uint8_t *class_of)
{
	uint32_t n = 0;
	for (uint32_t b = 0; b < 256; b++) {
		n += b && begins[b];
		class_of[b] = (uint8_t)n;
	}
	return n + 1;
}

static void fill_row(uint32_t *row, const uint8_t *class_of, const struct piece *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (uint32_t c = class_of[p[i].lo]; c <= class_of[p[i].hi]; c++)
			row[c] = p[i].to;
}

static const struct piece *node_pieces(const struct utf8 *u, uint32_t id, size_t *n)
{
	const uint32_t *w = seqs_get(&u->nodes, id, n);
	*n /= 3;
	return (const struct piece *)w;
}

static enum err make_table(struct arena *a, const struct utf8 *u, struct dfa *d)
{
	bool begins[257] = {0}, inner_begins[257] = {0};
	size_t n;
	mark_pieces(u->rows, u->n_rows, begins);
	for (uint32_t id = 0; id < u->nodes.n; id++) {
		const struct piece *p = node_pieces(u, id, &n);
		mark_pieces(p, n, inner_begins);
	}
	d->n = u->n_states + u->nodes.n;
	d->width = number_classes(begins, d->class_of);
	d->inner_width = number_classes(inner_begins, d->inner_class_of);
	size_t n_next = (size_t)u->n_states * d->width;
	size_t n_inner = (size_t)u->nodes.n * d->inner_width;
	d->next = arena_array_of(a, n_next, uint32_t);
	d->inner = arena_array_of(a, n_inner, uint32_t);
	if (!d->next || !d->inner)
		return ERR_NOMEM;
	memset(d->next, 0xFF, n_next * sizeof *d->next);
	memset(d->inner, 0xFF, n_inner * sizeof *d->inner);
	for (uint32_t s = 0; s < u->n_states; s++)
		fill_row(d->next + (size_t)s * d->width, d->class_of, u->rows + u->row_first[s],
			u->row_first[s + 1] - u->row_first[s]);
	for (uint32_t id = 0; id < u->nodes.n; id++) {
		const struct piece *p = node_pieces(u, id, &n);
		fill_row(d->inner + (size_t)id * d->inner_width, d->inner_class_of, p, n);
	}
	return OK;
}

/* ---- finishing ---- */

static void *copy(struct arena *a, const void *p, size_t n)
{
	void *to = arena_alloc(a, n);
	return to && n ? memcpy(to, p, n) : to;
}

/* Free: accepts, refuses nothing, and leads to such states only. Whatever is not, spreads to those
 * that lead to it. */
static bool spread_unfree(const struct fa *f, bool *is_free)
{
	uint32_t *in_first, *in, n = 0;
	uint32_t *stack = malloc((size_t)f->n * sizeof *stack);
	if (!stack || !fa_arcs_in(f, &in_first, &in)) {
		free(stack);
		return false;
	}
	for (uint32_t s = 0; s < f->n; s++)
		if (!is_free[s])
			stack[n++] = s;
	while (n) {
		uint32_t s = stack[--n];
		for (uint32_t i = in_first[s]; i < in_first[s + 1]; i++)
			if (is_free[in[i]]) {
				is_free[in[i]] = false;
				stack[n++] = in[i];
			}
	}
	free(stack);
	free(in_first);
	free(in);
	return true;
}

static bool mark_free(struct arena *a, struct dfa *d)
{
	const struct fa *f = &d->fa;
	d->is_free = arena_array_of(a, f->n, bool);
	if (!d->is_free)
		return false;
	for (uint32_t s = 0; s < f->n; s++) {
		uint32_t at = 0;
		for (uint32_t i = f->first[s]; i < f->first[s + 1] && f->arcs[i].lo == at; i++)
			at = f->arcs[i].hi + 1;
		d->is_free[s] = f->tags[s] && at == LETTER_MAX + 1;
	}
	return spread_unfree(f, d->is_free);
}

static struct dfa *freeze(struct arena *a, const struct fa *f, const struct utf8 *u)
{
	struct dfa *d = arena_new_of(a, struct dfa);
	if (!d)
		return NULL;
	d->fa = (struct fa){.n = f->n, .n_arcs = f->n_arcs};
	d->fa.first = copy(a, f->first, ((size_t)f->n + 1) * sizeof *f->first);
	d->fa.tags = copy(a, f->tags, (size_t)f->n * sizeof *f->tags);
	d->fa.arcs = copy(a, f->arcs, (size_t)f->n_arcs * sizeof *f->arcs);
	if (!d->fa.first || !d->fa.tags || !d->fa.arcs || make_table(a, u, d) || !mark_free(a, d))
		return NULL;
	return d;
}

static void utf8_rows(struct utf8 *u, const struct fa *f)
{
	u->n_states = f->n;
	if (f->n > DFA_STATES_MAX)
		u->err = ERR_TOO_LARGE;
	else if (!(u->row_first = calloc((size_t)f->n + 1, sizeof *u->row_first)))
		u->err = ERR_NOMEM;
	for (uint32_t s = 0; s < f->n && !u->err; s++)
		add_row(u, f, s);
}

enum err dfa_refuse(struct errtext *et, enum err e)
{
	if (e == ERR_TOO_LARGE)
		return err_set(et, e,
			"the set of texts is too complicated (more than %d states, or too much "
			"work): "
			"use smaller bounds or fewer alternatives",
			DFA_STATES_MAX);
	return err_set(et, e, "an automaton for a set of texts: %s", err_sentence(e));
}

enum err dfa_finish(
	struct arena *a, struct fa *f, bool is_minimal, const struct dfa **out, struct errtext *et)
{
	struct utf8 u = {0};
	struct dfa *d = NULL;
	enum err e = f->err;
	if (!e && !is_minimal)
		e = fa_minimise(f);
	if (!e && f->n) {
		utf8_rows(&u, f);
		e = u.err;
		if (!e && !(d = freeze(a, f, &u)))
			e = ERR_NOMEM;
	}
	fa_free(f);
	seqs_free(&u.nodes);
	free(u.cps);
	free(u.rows);
	free(u.row_first);
	if (e)
		return dfa_refuse(et, e);
	*out = d;
	return OK;
}
