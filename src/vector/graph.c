/* The graph: for each slot some others that are near it, in different directions.
 *
 * An insert searches for the new item's surroundings, keeps those of them that no kept one stands
 * before (choose), and puts itself into their lists. */
#include "vector/index_int.h"

#include <math.h>
#include <stdlib.h>

/* How much nearer than p a kept item must be to a candidate to stand before it. Above 1 more
 * neighbours are kept, and walks take fewer steps. */
#define SLACK 1.1f
#define SLACK_L1 1.05f
static inline float slack_of(const struct vindex *x)
{
	/* Distances of the dot product are negative; those of L1 are not squared. */
	return x->o.metric == VINDEX_DOT ? 1 : x->o.metric == VINDEX_L1 ? SLACK_L1 : SLACK;
}

enum { ENTRY_STEP = 8 }; /* an entry for so many items, until there are ENTRIES */

/* ---- choosing neighbours ---- */

/* Equal items are all as near as can be, and would fill the lists of each other until nothing leads
 * away from them. So a list has at most `most` of the nearest when they are equally near, which are
 * drawn by lot so that each of the equal ones stands in some lists. */
static size_t thin_ties(struct cand *c, size_t n, uint32_t p, size_t most)
{
	size_t ties = 0;
	while (ties < n && c[ties].d == c[0].d)
		ties++;
	if (ties <= most)
		return n;
	for (size_t i = 0; i < most; i++)
		for (size_t j = i + 1; j < ties; j++)
			if (lot(c[j].slot, p) < lot(c[i].slot, p)) {
				struct cand swap = c[i];
				c[i] = c[j];
				c[j] = swap;
			}
	memmove(c + most, c + ties, (n - ties) * sizeof *c);
	return n - ties + most;
}

/* Candidates in a row that one of the chosen stands before are left out: c is when
 * SLACK * distance(chosen, c) < distance(p, c). */
struct row {
	uint32_t ids[ROWS_MAX];
	float from_p[ROWS_MAX];
	size_t n;
};

static void pass_over(const struct vindex *x, struct walk *w, uint32_t chosen, struct row *r)
{
	float d[ROWS_MAX], slack = slack_of(x);
	size_t left = 0;
	probe_row(&x->rows, &w->other, chosen);
	rows_near(&x->rows, &w->other, r->ids, 0, r->n, d);
	for (size_t i = 0; i < r->n; i++) {
		r->ids[left] = r->ids[i];
		r->from_p[left] = r->from_p[i];
		left += !(slack * d[i] < r->from_p[i]);
	}
	r->n = left;
}

/* Of n candidates, nearest first, those that no chosen one stands before. They are looked at some
 * at a time, since where few are passed over the first ones are enough. */
static size_t choose(const struct vindex *x, struct walk *w, uint32_t p, struct cand *c, size_t n,
	uint32_t *out, size_t max)
{
	struct row r;
	size_t chosen = 0;
	n = thin_ties(c, MIN(n, ROWS_MAX), p, max / 4);
	for (size_t at = 0; at < n && chosen < max; at += max) {
		r.n = MIN(n - at, max);
		for (size_t i = 0; i < r.n; i++) {
			r.ids[i] = c[at + i].slot;
			r.from_p[i] = c[at + i].d;
		}
		for (size_t i = 0; i < chosen && r.n; i++)
			pass_over(x, w, out[i], &r);
		while (r.n && chosen < max) {
			out[chosen] = r.ids[0];
			memmove(r.ids, r.ids + 1, --r.n * sizeof *r.ids);
			memmove(r.from_p, r.from_p + 1, r.n * sizeof *r.from_p);
			if (++chosen < max && r.n)
				pass_over(x, w, out[chosen - 1], &r);
		}
	}
	return chosen;
}

static pthread_mutex_t *lock_of(struct vindex *x, uint32_t slot)
{
	return &x->locks[slot % LOCKS];
}

static void write_links(struct layer *l, uint32_t slot, const uint32_t *ids, size_t n)
{
	_Atomic uint32_t *links = links_of(l, slot);
	for (size_t i = 0; i < l->degree; i++)
		atomic_store_explicit(&links[i], i < n ? ids[i] : NONE, memory_order_release);
}

static int by_distance(const void *a, const void *b)
{
	const struct cand *x = a, *y = b;
	return x->d != y->d ? x->d < y->d ? -1 : 1 : x->slot < y->slot ? -1 : x->slot > y->slot;
}

static void sort_cands(struct cand *c, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct cand v = c[i];
		size_t j = i;
		for (; j && by_distance(&v, &c[j - 1]) < 0; j--)
			c[j] = c[j - 1];
		c[j] = v;
	}
}

/* ---- lists that none of their members stands before another of ---- */

static _Atomic uint64_t *chosen_word(const struct layer *l, uint32_t slot, uint64_t *bit)
{
	uint32_t at = slot >> l->shift;
	*bit = UINT64_C(1) << at % 64;
	return (_Atomic uint64_t *)(void *)l->chosen.p + at / 64;
}

static bool is_chosen(const struct layer *l, uint32_t slot)
{
	uint64_t bit;
	const _Atomic uint64_t *word = chosen_word(l, slot, &bit);
	return atomic_load_explicit(word, memory_order_relaxed) & bit;
}

static void set_chosen(struct layer *l, uint32_t slot, bool yes)
{
	uint64_t bit;
	_Atomic uint64_t *word = chosen_word(l, slot, &bit);
	if (yes)
		atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
}

/* Writes the best of these neighbours of slot, which are too many; d: from it. */
static void relink(struct vindex *x, struct layer *l, struct walk *w, uint32_t slot, uint32_t *ids,
	const float *d, size_t n)
{
	struct cand c[DEGREE_MAX + 1];
	for (size_t i = 0; i < n; i++)
		c[i] = (struct cand){d[i], ids[i]};
	sort_cands(c, n);
	n = choose(x, w, slot, c, n, ids, l->degree);
	write_links(l, slot, ids, n);
	set_chosen(l, slot, n == l->degree);
}

/* The last of n neighbours of `from` is new, the others are a full list that was chosen: what
 * choosing anew would make of them, without comparing those with each other again. d, e: from
 * `from`, from the new one. */
static void squeeze_in(struct layer *l, float slack, uint32_t from, uint32_t *ids, const float *d,
	const float *e, size_t n)
{
	float mine = d[n - 1];
	size_t left = 0, farthest = n - 1;
	for (size_t i = 0; i + 1 < n; i++) {
		if (d[i] <= mine && slack * e[i] < mine)
			return;
		if (d[i] > d[farthest])
			farthest = i;
		ids[left] = ids[i];
		left += !(d[i] > mine && slack * e[i] < d[i]);
	}
	if (left + 1 == n) { /* nobody goes for it */
		if (farthest == n - 1)
			return;
		atomic_store_explicit(
			&links_of(l, from)[farthest], ids[n - 1], memory_order_release);
		return;
	}
	ids[left++] = ids[n - 1];
	write_links(l, from, ids, left);
	set_chosen(l, from, left == l->degree);
}

/* Puts `to`, whose probe is w->probe, into the list of `from`. */
static void link_back(struct vindex *x, struct layer *l, struct walk *w, uint32_t from, uint32_t to)
{
	uint32_t ids[DEGREE_MAX + 1];
	float d[DEGREE_MAX + 1], e[DEGREE_MAX + 1], nearest = INFINITY;
	pthread_mutex_lock(lock_of(x, from));
	size_t n = graph_links(l, from, ids);
	bool there = false;
	for (size_t i = 0; i < n; i++)
		there |= ids[i] == to;
	if (!there && n < l->degree) {
		atomic_store_explicit(&links_of(l, from)[n], to, memory_order_release);
		set_chosen(l, from, false);
	} else if (!there) {
		ids[n++] = to;
		probe_row(&x->rows, &w->other, from);
		rows_near(&x->rows, &w->other, ids, 0, n, d);
		for (size_t i = 0; i + 1 < n; i++)
			nearest = MIN(nearest, d[i]);
		if (is_chosen(l, from) && d[n - 1] != nearest) { /* no ties that want a lot */
			rows_near(&x->rows, &w->probe, ids, 0, n - 1, e);
			squeeze_in(l, slack_of(x), from, ids, d, e, n);
		} else {
			relink(x, l, w, from, ids, d, n);
		}
	}
	pthread_mutex_unlock(lock_of(x, from));
}

/* Lists are filled up to here with what is near though others stand before it: with what choosing
 * leaves alone, lists become shorter as items come and go than they were when all came anew. */
static size_t enough(const struct layer *l)
{
	return l->degree * 3 / 4;
}

static size_t fill_up(
	const struct layer *l, const struct cand *c, size_t n_c, uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n_c && n < enough(l); i++) {
		bool there = false;
		for (size_t j = 0; j < n; j++)
			there |= ids[j] == c[i].slot;
		if (!there)
			ids[n++] = c[i].slot;
	}
	return n;
}

static bool insert(struct vindex *x, unsigned layer, struct walk *w, uint32_t slot)
{
	struct layer *l = &x->layers[layer];
	uint32_t ids[DEGREE_MAX];
	if (!walk_room(x, w, x->o.build_ef))
		return false;
	probe_row(&x->rows, &w->probe, slot);
	if (!graph_search_layer(x, w, layer, &w->probe, x->o.build_ef, NULL, NULL))
		return false;
	size_t near = 0;
	for (size_t i = 0; i < w->n; i++) /* not the dead */
		if (w->pool[i].slot != slot && !slot_dead(x, w->pool[i].slot))
			w->pool[near++] = w->pool[i];
	size_t n = choose(x, w, slot, w->pool, near, ids, l->degree);
	n = fill_up(l, w->pool, near, ids, n);
	pthread_mutex_lock(lock_of(x, slot));
	write_links(l, slot, ids, n);
	set_chosen(l, slot, n == l->degree);
	pthread_mutex_unlock(lock_of(x, slot));
	for (size_t i = 0; i < n; i++)
		link_back(x, l, w, ids[i], slot);
	return true;
}

void graph_clear(struct vindex *x, uint32_t slot)
{
	for (unsigned i = 0; i < LAYERS && layer_has(i, slot); i++)
		write_links(&x->layers[i], slot, NULL, 0);
}

/* ---- entries ---- */

/* So that the entries are a random sample of all that was offered. */
static void offer_entry(struct vindex *x, struct layer *l, uint32_t slot)
{
	pthread_mutex_lock(&x->entry_lock);
	uint64_t n = l->n_offered++, at = (n + 1) * 0x9e3779b97f4a7c15u;
	unsigned have = atomic_load_explicit(&l->n_entries, memory_order_relaxed);
	at = (uint64_t)((unsigned __int128)(at ^ at >> 29) * (n + 1) >> 64);
	if (have < ENTRIES && have <= n / ENTRY_STEP) {
		atomic_store_explicit(&l->entry[have], slot, memory_order_release);
		atomic_store_explicit(&l->n_entries, have + 1, memory_order_release);
	} else if (at < have) {
		atomic_store_explicit(&l->entry[at], slot, memory_order_release);
	}
	pthread_mutex_unlock(&x->entry_lock);
}

/* From below: who finds a slot in one layer goes on from it in the next. */
bool graph_insert(struct vindex *x, struct walk *w, uint32_t slot)
{
	for (unsigned i = 0; i < LAYERS && layer_has(i, slot); i++) {
		if (!insert(x, i, w, slot))
			return false;
		offer_entry(x, &x->layers[i], slot);
	}
	return true;
}

/* ---- taking the dead out ---- */

/* The nearest to w->other of the neighbours of a dead slot that live and are not in the list of n;
 * NONE: there is none. */
static uint32_t heir(const struct vindex *x, const struct layer *l, struct walk *w, uint32_t slot,
	uint32_t dead, const uint32_t *ids, size_t n)
{
	uint32_t theirs[DEGREE_MAX], choice = NONE;
	float d[DEGREE_MAX], best = INFINITY;
	size_t m = 0, n_theirs = graph_links(l, dead, theirs);
	for (size_t j = 0; j < n_theirs; j++) {
		bool there = theirs[j] == slot || slot_dead(x, theirs[j]);
		for (size_t i = 0; i < n && !there; i++)
			there = ids[i] == theirs[j];
		if (!there)
			theirs[m++] = theirs[j];
	}
	rows_near(&x->rows, &w->other, theirs, 0, m, d);
	for (size_t j = 0; j < m; j++)
		if (d[j] < best) {
			best = d[j];
			choice = theirs[j];
		}
	return choice;
}

/* A dead neighbour is replaced by the nearest of its own neighbours, as long as the list is
 * short: new items will want to be in it. In the list of a slot that is dead itself,
 * and that walks pass until the next sweep, it is only taken out. Who lost many was probably in the
 * lists of those it lost, and is inserted again. */
static void mend(struct vindex *x, unsigned layer, struct walk *w, uint32_t slot)
{
	struct layer *l = &x->layers[layer];
	uint32_t ids[DEGREE_MAX], dead[DEGREE_MAX];
	size_t n = 0, n_dead = 0;
	bool lives = !slot_dead(x, slot);
	pthread_mutex_lock(lock_of(x, slot));
	size_t all = graph_links(l, slot, ids);
	for (size_t i = 0; i < all; i++)
		if (slot_dead(x, ids[i]))
			dead[n_dead++] = ids[i];
		else
			ids[n++] = ids[i];
	if (n_dead)
		probe_row(&x->rows, &w->other, slot);
	for (size_t i = 0; lives && i < n_dead && n < enough(l); i++) {
		uint32_t s = heir(x, l, w, slot, dead[i], ids, n);
		if (s != NONE)
			ids[n++] = s;
	}
	if (n_dead) {
		write_links(l, slot, ids, n);
		set_chosen(l, slot, false);
	}
	pthread_mutex_unlock(lock_of(x, slot));
	if (lives && 4 * n_dead > all)
		insert(x, layer, w, slot);
}

/* Puts living slots in the places of dead entries. */
static void mend_entries(struct vindex *x, unsigned layer, uint32_t used)
{
	struct layer *l = &x->layers[layer];
	uint32_t places = (uint32_t)layer_places(layer, used);
	unsigned n = 0;
	pthread_mutex_lock(&x->entry_lock);
	for (unsigned i = 0; i < atomic_load(&l->n_entries); i++) {
		uint32_t s = atomic_load(&l->entry[i]), at = (s >> l->shift) * 0x9e3779b1u % places;
		for (uint32_t tried = 0; (s >= used || slot_dead(x, s)) && tried < places; tried++)
			s = layer_slot(layer, (at + tried) % places);
		if (s < used && !slot_dead(x, s))
			atomic_store(&l->entry[n++], s);
	}
	atomic_store(&l->n_entries, n);
	pthread_mutex_unlock(&x->entry_lock);
}

bool graph_sweep(struct vindex *x, struct walk *w, uint32_t n)
{
	uint32_t used = atomic_load(&x->used);
	for (unsigned i = 0; !x->sweep_at && i < LAYERS; i++)
		mend_entries(x, i, used);
	uint32_t end = (uint32_t)MIN((uint64_t)used, (uint64_t)x->sweep_at + n);
	for (; x->sweep_at < end; x->sweep_at++)
		for (unsigned i = 0; i < LAYERS && layer_has(i, x->sweep_at); i++)
			mend(x, i, w, x->sweep_at);
	return x->sweep_at == used;
}
