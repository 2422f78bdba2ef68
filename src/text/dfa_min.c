/* The smallest automaton of a set: refine a partition of the states until it is stable.
 *
 * A state's signature is its arcs with the targets' blocks in place of the targets. Two states of
 * one block belong together as long as their signatures are equal. When a block splits, the largest
 * part keeps the block's number, and only the states with an arc into the other parts are looked at
 * again ("dirty"): a state changes its block at most log2(n) times. Signatures are compared, not
 * only their hashes.
 *
 * Invariant: the states of a block that are not dirty have equal signatures. A block's states are
 * order[begin..end), the dirty ones first. */
#include "text/dfa_int.h"

#include <stdlib.h>

struct block {
	uint32_t begin, end, n_dirty;
};

struct sig {
	uint64_t hash;
	uint32_t state;
	bool clean; /* equal to the signature of the block's states that are not dirty */
};

struct refine {
	const struct fa *f;
	uint32_t *block_of, *order, *place; /* per state */
	uint32_t *in_first, *in;            /* who has an arc to a state */
	struct block *blocks;               /* at most n */
	uint32_t n_blocks;
	uint32_t *todo; /* blocks with dirty states, each once */
	uint32_t n_todo;
	uint32_t *moved;
	struct sig *sigs;
	uint64_t work; /* arcs looked at */
};

/* ---- what can be reached, and reach ---- */

bool fa_arcs_in(const struct fa *f, uint32_t **in_first, uint32_t **in)
{
	uint32_t *at = calloc((size_t)f->n + 2, sizeof *at);
	uint32_t *from = malloc(((size_t)f->n_arcs + 1) * sizeof *from);
	if (!at || !from) {
		free(at);
		free(from);
		return false;
	}
	for (uint32_t i = 0; i < f->n_arcs; i++)
		at[f->arcs[i].to + 2]++;
	for (uint32_t s = 2; s < f->n + 2; s++)
		at[s] += at[s - 1];
	for (uint32_t s = 0; s < f->n; s++)
		for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++)
			from[at[f->arcs[i].to + 1]++] = s;
	*in_first = at;
	*in = from;
	return true;
}

/* keep[s]: something that is accepted can be reached from s. `stack` has room for all states. */
static void mark_live(const struct fa *f, const uint32_t *in_first, const uint32_t *in, bool *keep,
	uint32_t *stack)
{
	uint32_t n = 0;
	for (uint32_t s = 0; s < f->n; s++)
		if (f->tags[s]) {
			keep[s] = true;
			stack[n++] = s;
		}
	while (n) {
		uint32_t s = stack[--n];
		for (uint32_t i = in_first[s]; i < in_first[s + 1]; i++)
			if (!keep[in[i]]) {
				keep[in[i]] = true;
				stack[n++] = in[i];
			}
	}
}

/* Copies f as seen through `name` (state to class; DFA_DEAD: left out): one state per class that
 * can be reached, numbered breadth first. */
static enum err copy_reached(
	const struct fa *f, const uint32_t *name, uint32_t n_names, struct fa *out)
{
	uint32_t *number = malloc((size_t)n_names * sizeof *number + 1);
	uint32_t *queue = malloc((size_t)n_names * sizeof *queue + 1);
	uint32_t n = 0;
	if (!number || !queue) {
		out->err = ERR_NOMEM;
	} else if (f->n && name[0] != DFA_DEAD) {
		memset(number, 0xFF, (size_t)n_names * sizeof *number);
		number[name[0]] = n;
		queue[n++] = 0;
	}
	for (uint32_t done = 0; done < n && !out->err; done++) {
		uint32_t s = queue[done];
		for (uint32_t i = f->first[s]; i < f->first[s + 1]; i++) {
			const struct arc *arc = &f->arcs[i];
			uint32_t to = name[arc->to];
			if (to == DFA_DEAD)
				continue;
			if (number[to] == UINT32_MAX) {
				number[to] = n;
				queue[n++] = arc->to;
			}
			fa_arc(out, arc->lo, arc->hi, number[to]);
		}
		fa_end(out, f->tags[s]);
	}
	free(number);
	free(queue);
	return out->err;
}

static enum err trim(const struct fa *f, struct fa *out)
{
	uint32_t *in_first = NULL, *in = NULL;
	uint32_t *name = malloc((size_t)f->n * sizeof *name + 1);
	bool *keep = calloc((size_t)f->n + 1, sizeof *keep);
	if (!name || !keep || !fa_arcs_in(f, &in_first, &in)) {
		out->err = ERR_NOMEM;
	} else {
		mark_live(f, in_first, in, keep, name);
		for (uint32_t s = 0; s < f->n; s++)
			name[s] = keep[s] ? s : DFA_DEAD;
		copy_reached(f, name, f->n, out);
	}
	free(name);
	free(keep);
	free(in_first);
	free(in);
	return out->err;
}

enum err fa_renumber(struct fa *f)
{
	struct fa out = {0};
	uint32_t *name = malloc((size_t)f->n * sizeof *name + 1);
	enum err e = name ? f->err : ERR_NOMEM;
	for (uint32_t s = 0; !e && s < f->n; s++)
		name[s] = s;
	if (!e)
		e = copy_reached(f, name, f->n, &out);
	free(name);
	fa_free(f);
	*f = out;
	f->err = e;
	return e;
}

/* ---- signatures ---- */

/* The next piece of a signature: arcs that follow one another into one block. */
static bool sig_piece(const struct refine *r, uint32_t *i, uint32_t end, struct arc *piece)
{
	if (*i >= end)
		return false;
	const struct arc *arcs = r->f->arcs;
	*piece = (struct arc){arcs[*i].lo, arcs[*i].hi, r->block_of[arcs[*i].to]};
	for (++*i;
		*i < end && arcs[*i].lo == piece->hi + 1 && r->block_of[arcs[*i].to] == piece->to;
		++*i)
		piece->hi = arcs[*i].hi;
	return true;
}

static uint64_t sig_hash(struct refine *r, uint32_t s)
{
	uint64_t h = 0;
	struct arc p;
	r->work += 2 + r->f->first[s + 1] - r->f->first[s];
	for (uint32_t i = r->f->first[s]; sig_piece(r, &i, r->f->first[s + 1], &p);)
		h = dfa_mix(dfa_mix(h, (uint64_t)p.lo << 32 | p.hi), p.to);
	return h;
}

static int sig_cmp(const struct refine *r, uint32_t s, uint32_t t)
{
	uint32_t i = r->f->first[s], j = r->f->first[t];
	for (;;) {
		struct arc p, q;
		bool more = sig_piece(r, &i, r->f->first[s + 1], &p);
		if (more != sig_piece(r, &j, r->f->first[t + 1], &q))
			return more ? 1 : -1;
		if (!more)
			return 0;
		int c = memcmp(&p, &q, sizeof p);
		if (c)
			return c;
	}
}

/* Those that equal the clean ones come last, beside them. */
static int by_sig(const void *a, const void *b, void *ctx)
{
	const struct sig *x = a, *y = b;
	if (x->clean != y->clean)
		return x->clean ? 1 : -1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return sig_cmp(ctx, x->state, y->state);
}

static int by_tag(const void *a, const void *b, void *ctx)
{
	const struct sig *x = a, *y = b;
	return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : 0;
}

/* ---- refining ---- */

static void swap_places(struct refine *r, uint32_t i, uint32_t j)
{
	uint32_t s = r->order[i], t = r->order[j];
	r->order[i] = t;
	r->order[j] = s;
	r->place[s] = j;
	r->place[t] = i;
}

static void make_dirty(struct refine *r, uint32_t s)
{
	uint32_t id = r->block_of[s];
	struct block *b = &r->blocks[id];
	if (b->end - b->begin == 1 || r->place[s] < b->begin + b->n_dirty)
		return;
	if (!b->n_dirty)
		r->todo[r->n_todo++] = id;
	swap_places(r, r->place[s], b->begin + b->n_dirty++);
}

/* Sorts the block's dirty states so that equal signatures stand together. */
static void sort_dirty(struct refine *r, const struct block *b, uint32_t n_dirty)
{
	uint32_t clean = b->begin + n_dirty < b->end ? r->order[b->begin + n_dirty] : DFA_DEAD;
	uint64_t clean_hash = clean == DFA_DEAD ? 0 : sig_hash(r, clean);
	for (uint32_t i = 0; i < n_dirty; i++) {
		uint32_t s = r->order[b->begin + i];
		uint64_t hash = sig_hash(r, s);
		r->sigs[i] = (struct sig){
			hash, s, clean != DFA_DEAD && hash == clean_hash && !sig_cmp(r, s, clean)};
	}
	if (n_dirty > 1)
		qsort_r(r->sigs, n_dirty, sizeof *r->sigs, by_sig, r);
	for (uint32_t i = 0; i < n_dirty; i++) {
		r->order[b->begin + i] = r->sigs[i].state;
		r->place[r->sigs[i].state] = b->begin + i;
	}
}

/* The end of the part of equal signatures that begins at i. */
static uint32_t part_end(
	const struct refine *r, const struct block *b, uint32_t n_dirty, uint32_t i)
{
	const struct sig *sigs = r->sigs;
	uint32_t k = i - b->begin, j = k + 1;
	if (k >= n_dirty || sigs[k].clean)
		return b->end;
	while (j < n_dirty && !sigs[j].clean && sigs[j].hash == sigs[k].hash &&
		!sig_cmp(r, sigs[k].state, sigs[j].state))
		j++;
	return b->begin + j;
}

/* The states of the blocks from first_new on have changed their block. */
static void touch_parents(struct refine *r, uint32_t first_new)
{
	uint32_t n = 0;
	for (uint32_t id = first_new; id < r->n_blocks; id++)
		for (uint32_t i = r->blocks[id].begin; i < r->blocks[id].end; i++)
			r->moved[n++] = r->order[i]; /* a copy: make_dirty reorders */
	for (uint32_t k = 0; k < n; k++)
		for (uint32_t i = r->in_first[r->moved[k]]; i < r->in_first[r->moved[k] + 1]; i++)
			make_dirty(r, r->in[i]);
}

static void split(struct refine *r, uint32_t id)
{
	struct block b = r->blocks[id];
	uint32_t n_dirty = b.n_dirty, first_new = r->n_blocks;
	r->blocks[id].n_dirty = 0;
	sort_dirty(r, &b, n_dirty);
	struct block largest = {0};
	for (uint32_t i = b.begin, end; i < b.end; i = end) {
		end = part_end(r, &b, n_dirty, i);
		struct block part = {i, end, 0};
		if (end - i > largest.end - largest.begin) {
			struct block smaller = largest;
			largest = part;
			part = smaller;
		}
		if (part.end > part.begin)
			r->blocks[r->n_blocks++] = part;
	}
	r->blocks[id] = largest;
	for (uint32_t n = first_new; n < r->n_blocks; n++)
		for (uint32_t i = r->blocks[n].begin; i < r->blocks[n].end; i++)
			r->block_of[r->order[i]] = n;
	touch_parents(r, first_new);
}

/* One block per tag, all states dirty. */
static void first_blocks(struct refine *r)
{
	const struct fa *f = r->f;
	for (uint32_t s = 0; s < f->n; s++)
		r->sigs[s] = (struct sig){f->tags[s], s, false};
	qsort_r(r->sigs, f->n, sizeof *r->sigs, by_tag, NULL);
	for (uint32_t i = 0; i < f->n; i++) {
		uint32_t s = r->sigs[i].state;
		r->order[i] = s;
		r->place[s] = i;
		if (!i || r->sigs[i - 1].hash != r->sigs[i].hash)
			r->blocks[r->n_blocks++] = (struct block){i, i, 0};
		r->block_of[s] = r->n_blocks - 1;
		r->blocks[r->n_blocks - 1].end = i + 1;
		r->blocks[r->n_blocks - 1].n_dirty++;
	}
	for (uint32_t id = 0; id < r->n_blocks; id++)
		r->todo[r->n_todo++] = id;
}

static bool refine_new(struct refine *r, const struct fa *f)
{
	size_t n = (size_t)f->n + 1;
	r->f = f;
	r->block_of = calloc(n, sizeof *r->block_of);
	r->order = malloc(n * sizeof *r->order);
	r->place = malloc(n * sizeof *r->place);
	r->blocks = malloc(n * sizeof *r->blocks);
	r->todo = malloc(n * sizeof *r->todo);
	r->moved = malloc(n * sizeof *r->moved);
	r->sigs = malloc(n * sizeof *r->sigs);
	return r->block_of && r->order && r->place && r->blocks && r->todo && r->moved && r->sigs &&
	       fa_arcs_in(f, &r->in_first, &r->in);
}

static void refine_free(struct refine *r)
{
	free(r->block_of);
	free(r->order);
	free(r->place);
	free(r->blocks);
	free(r->todo);
	free(r->moved);
	free(r->sigs);
	free(r->in_first);
	free(r->in);
}

/* The quotient of a trimmed automaton. */
static enum err merge_equal(const struct fa *f, struct fa *out)
{
	struct refine r = {0};
	if (!f->n)
		return OK;
	if (!refine_new(&r, f)) {
		out->err = ERR_NOMEM;
	} else {
		first_blocks(&r);
		while (r.n_todo && r.work <= DFA_WORK_MAX)
			split(&r, r.todo[--r.n_todo]);
		if (r.n_todo)
			out->err = ERR_TOO_LARGE;
		else
			copy_reached(f, r.block_of, r.n_blocks, out);
	}
	refine_free(&r);
	return out->err;
}

enum err fa_minimise(struct fa *f)
{
	struct fa trimmed = {0}, merged = {0};
	enum err e = f->err;
	if (!e)
		e = trim(f, &trimmed);
	fa_free(f);
	if (!e)
		e = merge_equal(&trimmed, &merged);
	fa_free(&trimmed);
	*f = merged;
	f->err = e;
	return e;
}
