/* Walks: from where they begin always to the neighbours of the nearest item that has not been
 * looked at yet, until the nearest `ef` of them all have been. Down the layers: what is nearest in
 * one is where the walk over the next one begins. */
#include "vector/index_int.h"

#include <math.h>
#include <stdlib.h>

enum { ABOVE_EF = 4 }; /* of the walks over layers above the lowest */

/* ---- what a walk has seen ---- */

bool walk_room(struct vindex *x, struct walk *w, size_t ef)
{
	size_t bits = (x->dead.ready / 8 * 64) & ~(size_t)63;
	if (w->seen_bits < bits) {
		uint64_t *seen = calloc(bits / 64, sizeof *seen);
		if (!seen)
			return false;
		free(w->seen);
		w->seen = seen;
		w->seen_bits = bits;
	}
	if (!w->touched) {
		w->touched_cap = 4096;
		w->touched = malloc(w->touched_cap * sizeof *w->touched);
	}
	if (w->pool_cap < ef + 1) {
		struct cand *pool = realloc(w->pool, (ef + 1) * sizeof *pool);
		if (!pool)
			return false;
		w->pool = pool;
		w->pool_cap = ef + 1;
	}
	size_t dim = ((size_t)x->o.dim + 63) & ~(size_t)63;
	for (int i = 0; i < 2; i++) {
		struct probe *p = i ? &w->other : &w->probe;
		if (!p->q && (p->q = aligned_alloc(64, dim)))
			memset(p->q, 0, dim);
		if (x->o.metric == VINDEX_L1 && !p->own)
			p->own = aligned_alloc(64, dim * sizeof *p->own);
		if (!p->q || (x->o.metric == VINDEX_L1 && !p->own))
			return false;
	}
	if (!w->unit)
		w->unit = aligned_alloc(64, dim * sizeof *w->unit);
	return w->touched && w->unit;
}

void vindex_walk_free(struct walk *w)
{
	free(w->seen);
	free(w->touched);
	free(w->pool);
	free(w->probe.q);
	free(w->other.q);
	free(w->probe.own);
	free(w->other.own);
	free(w->unit);
}

/* Joins the searches: from here no slot that it may come to know is given away. */
struct walk *walk_begin(struct vindex *x)
{
	struct walk *w;
	for (size_t i = (size_t)pthread_self() >> 8;; i++) {
		w = &x->walks[i % WALKS];
		bool no = false;
		if (!atomic_load_explicit(&w->taken, memory_order_relaxed) &&
			atomic_compare_exchange_strong(&w->taken, &no, true))
			break;
	}
	uint64_t e;
	do
		atomic_store(&w->epoch, e = atomic_load(&x->epoch));
	while (e != atomic_load(&x->epoch));
	w->compared = 0;
	return w;
}

static void forget(struct walk *w)
{
	for (size_t i = 0; i < w->n_touched; i++)
		w->seen[w->touched[i]] = 0;
	w->n_touched = 0;
}

void walk_end(struct walk *w)
{
	atomic_store(&w->epoch, 0);
	atomic_store(&w->taken, false);
}

bool walks_after(struct vindex *x, uint64_t epoch)
{
	for (size_t i = 0; i < WALKS; i++) {
		uint64_t e = atomic_load(&x->walks[i].epoch);
		if (e && e < epoch)
			return false;
	}
	return true;
}

/* Room to remember that many more slots. */
static bool see_room(struct walk *w, size_t n)
{
	if (w->n_touched + n <= w->touched_cap)
		return true;
	size_t cap = 2 * w->touched_cap + n;
	uint32_t *more = realloc(w->touched, cap * sizeof *more);
	if (!more)
		return false;
	w->touched = more;
	w->touched_cap = cap;
	return true;
}

/* True when the slot is new to the walk, which then knows it. Needs see_room. */
static inline bool see(struct walk *w, uint32_t slot)
{
	size_t word = slot / 64;
	uint64_t bit = UINT64_C(1) << slot % 64;
	if (slot >= w->seen_bits) /* it came while the walk ran */
		return false;
	uint64_t was = w->seen[word];
	w->touched[w->n_touched] = (uint32_t)word;
	w->n_touched += !was;
	w->seen[word] = was | bit;
	return !(was & bit);
}

/* ---- the pool ---- */

static inline void pool_add(struct walk *w, float d, uint32_t slot)
{
	if (w->n == w->cap && !(d < w->pool[w->n - 1].d))
		return;
	const struct cand *at = w->pool;
	size_t n = w->n;
	while (n) { /* after those that are as near; no branch depends on it */
		size_t half = n / 2;
		at += (at[half].d <= d) * (n - half);
		n = half;
	}
	size_t lo = (size_t)(at - w->pool);
	w->n -= w->n == w->cap;
	memmove(&w->pool[lo + 1], &w->pool[lo], (w->n - lo) * sizeof *w->pool);
	w->pool[lo] = (struct cand){d, slot};
	w->n++;
	w->at = MIN(w->at, lo);
}

static void compare(const struct vindex *x, struct walk *w, const struct probe *p,
	const uint32_t *ids, size_t n)
{
	float d[ROWS_MAX];
	uint8_t near[ROWS_MAX];
	rows_near(&x->rows, p, ids, 0, n, d);
	w->compared += n;
	float bar = w->n == w->cap ? w->pool[w->n - 1].d : INFINITY;
	size_t m = 0;
	for (size_t i = 0; i < n; i++) {
		near[m] = (uint8_t)i;
		m += d[i] < bar;
	}
	for (size_t i = 0; i < m; i++)
		pool_add(w, d[near[i]], ids[near[i]]);
}

/* ---- walking ---- */

size_t graph_links(const struct layer *l, uint32_t slot, uint32_t *out)
{
	const _Atomic uint32_t *links = links_of(l, slot);
	size_t n = 0;
	while (n < l->degree &&
		(out[n] = atomic_load_explicit(&links[n], memory_order_acquire)) != NONE)
		n++;
	return n;
}

static bool walk_entries(
	const struct vindex *x, const struct layer *l, struct walk *w, const struct probe *p)
{
	uint32_t ids[ENTRIES];
	size_t n = 0, n_entries = atomic_load_explicit(&l->n_entries, memory_order_acquire);
	if (!see_room(w, ENTRIES))
		return false;
	for (size_t i = 0; i < n_entries; i++) {
		ids[n] = atomic_load_explicit(&l->entry[i], memory_order_acquire);
		n += see(w, ids[n]);
	}
	compare(x, w, p, ids, n);
	return true;
}

static inline void fetch(const uint8_t *p, size_t bytes)
{
	for (size_t b = 0; b < bytes; b += 64)
		__builtin_prefetch(p + b);
}

static inline void fetch_rows(const struct rows *r, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fetch(r->hi.p + ids[i] * r->hi_bytes, r->hi_bytes);
		__builtin_prefetch(r->scale.p + ids[i] * sizeof(float));
	}
}

/* The neighbours of a slot that the walk has not seen. */
static inline size_t unseen(const struct layer *l, struct walk *w, uint32_t slot, uint32_t *out)
{
	const _Atomic uint32_t *links = links_of(l, slot);
	size_t n = 0;
	for (uint32_t i = 0; i < l->degree; i++) {
		uint32_t s = atomic_load_explicit(&links[i], memory_order_acquire);
		if (s == NONE)
			break;
		out[n] = s;
		n += see(w, s);
	}
	return n;
}

/* The next one to look at, marked; NONE: all have been. The one after it will probably be next. */
static inline uint32_t next(const struct layer *l, struct walk *w)
{
	while (w->at < w->n && w->pool[w->at].slot & LOOKED)
		w->at++;
	if (w->at == w->n)
		return NONE;
	uint32_t slot = w->pool[w->at].slot;
	w->pool[w->at++].slot |= LOOKED;
	for (size_t i = w->at; i < w->n; i++)
		if (!(w->pool[i].slot & LOOKED)) {
			fetch((const uint8_t *)links_of(l, w->pool[i].slot), l->links.item);
			break;
		}
	return slot;
}

/* Those of n slots that match come first; how many. In keys at random no branch is foreseen: none
 * depends on them. */
static inline size_t split(const struct vindex *x, const struct vindex_filter *f, uint32_t *ids,
	size_t n, uint32_t *rest)
{
	size_t kept = 0, others = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t slot = ids[i];
		uint64_t key = key_of(x, slot);
		bool keep;
		if (f->bits) {
			uint64_t word = f->bits[key < f->n_bits ? key / 64 : 0];
			keep = (key < f->n_bits) & (word >> key % 64 & 1);
		} else {
			keep = f->keep(f->ctx, key);
		}
		ids[kept] = slot;
		kept += keep;
		rest[others] = slot;
		others += !keep;
	}
	return kept;
}

/* The matching slots around one: its neighbours, and when they are few, theirs in place of those
 * that do not match. What does not match is not compared. */
static size_t unseen_matching(const struct vindex *x, struct walk *w, const struct vindex_filter *f,
	uint32_t slot, uint32_t *out)
{
	const struct layer *l = &x->layers[0];
	uint32_t ids[DEGREE_MAX], theirs[DEGREE_MAX], rest[DEGREE_MAX];
	size_t all = unseen(l, w, slot, out), enough = x->o.degree / 2;
	size_t n = split(x, f, out, all, ids), others = all - n;
	for (size_t i = 0; i < MIN(others, 4) && n < enough; i++)
		fetch((const uint8_t *)links_of(l, ids[i]), l->links.item);
	for (size_t i = 0; i < others && n < enough; i++) {
		if (i + 4 < others)
			fetch((const uint8_t *)links_of(l, ids[i + 4]), l->links.item);
		if (!see_room(w, DEGREE_MAX))
			break;
		size_t m = graph_links(l, ids[i], theirs);
		m = split(x, f, theirs, m, rest);
		for (size_t j = 0; j < m && n < DEGREE_MAX; j++)
			if (see(w, theirs[j]))
				out[n++] = theirs[j];
	}
	fetch_rows(&x->rows, out, n);
	return n;
}

static size_t look(const struct vindex *x, const struct layer *l, struct walk *w,
	const struct vindex_filter *f, uint32_t slot, uint32_t *out)
{
	if (f)
		return unseen_matching(x, w, f, slot, out);
	size_t n = unseen(l, w, slot, out);
	fetch_rows(&x->rows, out, n);
	return n;
}

/* Two slots are under way: while the rows around one are compared, those around the other are
 * fetched. So a step does not know yet what the last one found, which costs few steps more, and
 * hides most of the memory's delay. */
static void walk_all(const struct vindex *x, const struct layer *l, struct walk *w,
	const struct probe *p, const struct vindex_filter *f, const struct cancel *cancel)
{
	uint32_t ids[2][DEGREE_MAX];
	size_t n[2] = {0, 0};
	unsigned now = 0;
	for (uint32_t step = 0;; step++) {
		uint32_t slot = next(l, w);
		if (slot == NONE && !n[now])
			return;
		if (!see_room(w, DEGREE_MAX) || (step % 64 == 63 && cancelled(cancel)))
			return;
		n[!now] = slot == NONE ? 0 : look(x, l, w, f, slot, ids[!now]);
		compare(x, w, p, ids[now], n[now]);
		n[now] = 0;
		now = !now;
	}
}

/* The pool as if nothing in it had been looked at. */
static void begin_again(struct walk *w)
{
	forget(w);
	for (size_t i = 0; i < w->n; i++) {
		w->pool[i].slot &= ~LOOKED;
		see(w, w->pool[i].slot); /* see_room was asked for more */
	}
	w->at = 0;
}

/* Where a walk begins need not match a filter: what is found leaves it out. */
bool graph_search_layer(struct vindex *x, struct walk *w, unsigned layer, const struct probe *p,
	size_t ef, const struct vindex_filter *f, const struct cancel *cancel)
{
	unsigned i = LAYERS - 1;
	if (!walk_room(x, w, MAX(ef, ABOVE_EF)))
		return false;
	while (i > layer && !atomic_load_explicit(&x->layers[i].n_entries, memory_order_acquire))
		i--;
	w->n = w->at = 0;
	w->cap = i > layer ? ABOVE_EF : ef;
	bool ok = walk_entries(x, &x->layers[i], w, p);
	for (; ok && i > layer; i--) {
		walk_all(x, &x->layers[i], w, p, NULL, cancel);
		begin_again(w);
	}
	w->cap = ef;
	w->n = MIN(w->n, ef);
	if (ok)
		walk_all(x, &x->layers[layer], w, p, f, cancel);
	forget(w);
	for (size_t j = 0; j < w->n; j++)
		w->pool[j].slot &= ~LOOKED;
	return ok;
}

bool graph_search(struct vindex *x, struct walk *w, const struct probe *p, size_t ef,
	const struct vindex_filter *f, const struct cancel *cancel)
{
	return graph_search_layer(x, w, 0, p, ef, f, cancel);
}
