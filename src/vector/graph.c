/* The graph: for each slot up to `degree` others that are near it, in different directions.
 *
 * An insert searches for the new item's surroundings, keeps those of them that no kept one stands
 * before (graph_choose), and puts itself into their lists. A search goes from the nearest of a few
 * hundred scattered entries always to the neighbours of the nearest item that it has not looked at
 * yet, until its `ef` nearest have all been looked at. There are no layers: the entries are to do
 * what those are for. */
#include "vector/index_int.h"

#include <math.h>
#include <stdlib.h>

/* How much nearer than p a kept item must be to a candidate to stand before it. Above 1 more
 * neighbours are kept, and walks take fewer steps. */
#define SLACK 1.1f
static inline float slack_of(const struct vindex *x)
{
	return x->o.metric == VINDEX_DOT ? 1 : SLACK; /* distances are negative there */
}

enum { ENTRY_STEP = 64 }; /* an entry for so many items, until there are ENTRIES */

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
		if (!p->q)
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

static size_t read_links(const struct vindex *x, uint32_t slot, uint32_t *out)
{
	const _Atomic uint32_t *links = links_of(x, slot);
	size_t n = 0;
	while (n < x->o.degree &&
		(out[n] = atomic_load_explicit(&links[n], memory_order_acquire)) != NONE)
		n++;
	return n;
}

static bool walk_entries(const struct vindex *x, struct walk *w, const struct probe *p)
{
	uint32_t ids[ENTRIES];
	size_t n = 0, n_entries = atomic_load_explicit(&x->n_entries, memory_order_acquire);
	if (!see_room(w, ENTRIES))
		return false;
	for (size_t i = 0; i < n_entries; i++) {
		ids[n] = atomic_load_explicit(&x->entry[i], memory_order_acquire);
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
static inline size_t unseen(const struct vindex *x, struct walk *w, uint32_t slot, uint32_t *out)
{
	const _Atomic uint32_t *links = links_of(x, slot);
	size_t n = 0;
	for (uint32_t i = 0; i < x->o.degree; i++) {
		uint32_t s = atomic_load_explicit(&links[i], memory_order_acquire);
		if (s == NONE)
			break;
		out[n] = s;
		n += see(w, s);
	}
	return n;
}

/* The next one to look at, marked; NONE: all have been. The one after it will probably be next. */
static inline uint32_t next(const struct vindex *x, struct walk *w)
{
	while (w->at < w->n && w->pool[w->at].slot & LOOKED)
		w->at++;
	if (w->at == w->n)
		return NONE;
	uint32_t slot = w->pool[w->at].slot;
	w->pool[w->at++].slot |= LOOKED;
	for (size_t i = w->at; i < w->n; i++)
		if (!(w->pool[i].slot & LOOKED)) {
			fetch((const uint8_t *)links_of(x, w->pool[i].slot), x->links.item);
			break;
		}
	return slot;
}

/* The matching slots around one: its neighbours, and when they are few, theirs in place of those
 * that do not match. What does not match is not compared. */
static size_t unseen_matching(const struct vindex *x, struct walk *w, const struct vindex_filter *f,
	uint32_t slot, uint32_t *out)
{
	uint32_t ids[DEGREE_MAX], theirs[DEGREE_MAX];
	size_t all = unseen(x, w, slot, ids), n = 0, others = 0, enough = x->o.degree / 2;
	for (size_t i = 0; i < all; i++)
		if (filter_keeps(f, key_of(x, ids[i])))
			out[n++] = ids[i];
		else
			ids[others++] = ids[i];
	for (size_t i = 0; i < MIN(others, 4) && n < enough; i++)
		fetch((const uint8_t *)links_of(x, ids[i]), x->links.item);
	for (size_t i = 0; i < others && n < enough; i++) {
		if (i + 4 < others)
			fetch((const uint8_t *)links_of(x, ids[i + 4]), x->links.item);
		if (!see_room(w, DEGREE_MAX))
			break;
		size_t m = read_links(x, ids[i], theirs);
		for (size_t j = 0; j < m; j++)
			__builtin_prefetch(x->keys.p + theirs[j] * sizeof(uint64_t));
		for (size_t j = 0; j < m && n < DEGREE_MAX; j++)
			if (filter_keeps(f, key_of(x, theirs[j])) && see(w, theirs[j]))
				out[n++] = theirs[j];
	}
	fetch_rows(&x->rows, out, n);
	return n;
}

static size_t look(const struct vindex *x, struct walk *w, const struct vindex_filter *f,
	uint32_t slot, uint32_t *out)
{
	if (f)
		return unseen_matching(x, w, f, slot, out);
	size_t n = unseen(x, w, slot, out);
	fetch_rows(&x->rows, out, n);
	return n;
}

/* Two slots are under way: while the rows around one are compared, those around the other are
 * fetched. So a step does not know yet what the last one found, which costs few steps more, and
 * hides most of the memory's delay. The entries need not match a filter: what is found leaves them
 * out. */
static void walk_all(const struct vindex *x, struct walk *w, const struct probe *p,
	const struct vindex_filter *f, const struct cancel *cancel)
{
	uint32_t ids[2][DEGREE_MAX];
	size_t n[2] = {0, 0};
	unsigned now = 0;
	if (!walk_entries(x, w, p))
		return;
	for (uint32_t step = 0;; step++) {
		uint32_t slot = next(x, w);
		if (slot == NONE && !n[now])
			return;
		if (!see_room(w, DEGREE_MAX) || (step % 64 == 63 && cancelled(cancel)))
			return;
		n[!now] = slot == NONE ? 0 : look(x, w, f, slot, ids[!now]);
		compare(x, w, p, ids[now], n[now]);
		n[now] = 0;
		now = !now;
	}
}

bool graph_search(struct vindex *x, struct walk *w, const struct probe *p, size_t ef,
	const struct vindex_filter *f, const struct cancel *cancel)
{
	if (!walk_room(x, w, ef))
		return false;
	w->n = w->at = 0;
	w->cap = ef;
	walk_all(x, w, p, f, cancel);
	forget(w);
	for (size_t i = 0; i < w->n; i++)
		w->pool[i].slot &= ~LOOKED;
	return true;
}

/* ---- choosing neighbours ---- */

static uint32_t lot(uint32_t slot, uint32_t p)
{
	uint32_t h = (slot ^ p * 0x85ebca6bu) * 0x9e3779b1u;
	return h ^ h >> 15;
}

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

static void write_links(struct vindex *x, uint32_t slot, const uint32_t *ids, size_t n)
{
	_Atomic uint32_t *links = links_of(x, slot);
	for (size_t i = 0; i < x->o.degree; i++)
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

static bool is_chosen(const struct vindex *x, uint32_t slot)
{
	const _Atomic uint64_t *word = (const _Atomic uint64_t *)(const void *)x->chosen.p;
	return atomic_load_explicit(word + slot / 64, memory_order_relaxed) >> slot % 64 & 1;
}

static void set_chosen(struct vindex *x, uint32_t slot, bool yes)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(void *)x->chosen.p + slot / 64;
	uint64_t bit = UINT64_C(1) << slot % 64;
	if (yes)
		atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
}

/* Writes the best of these neighbours of slot, which are too many; d: from it. */
static void relink(
	struct vindex *x, struct walk *w, uint32_t slot, uint32_t *ids, const float *d, size_t n)
{
	struct cand c[DEGREE_MAX + 1];
	for (size_t i = 0; i < n; i++)
		c[i] = (struct cand){d[i], ids[i]};
	sort_cands(c, n);
	n = choose(x, w, slot, c, n, ids, x->o.degree);
	write_links(x, slot, ids, n);
	set_chosen(x, slot, n == x->o.degree);
}

/* The last of n neighbours of `from` is new, the others are a full list that was chosen: what
 * choosing anew would make of them, without comparing those with each other again. d, e: from
 * `from`, from the new one. */
static void squeeze_in(
	struct vindex *x, uint32_t from, uint32_t *ids, const float *d, const float *e, size_t n)
{
	float mine = d[n - 1], slack = slack_of(x);
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
			&links_of(x, from)[farthest], ids[n - 1], memory_order_release);
		return;
	}
	ids[left++] = ids[n - 1];
	write_links(x, from, ids, left);
	set_chosen(x, from, left == x->o.degree);
}

/* Puts `to`, whose probe is w->probe, into the list of `from`. */
static void link_back(struct vindex *x, struct walk *w, uint32_t from, uint32_t to)
{
	uint32_t ids[DEGREE_MAX + 1];
	float d[DEGREE_MAX + 1], e[DEGREE_MAX + 1], nearest = INFINITY;
	pthread_mutex_lock(lock_of(x, from));
	size_t n = read_links(x, from, ids);
	bool there = false;
	for (size_t i = 0; i < n; i++)
		there |= ids[i] == to;
	if (!there && n < x->o.degree) {
		atomic_store_explicit(&links_of(x, from)[n], to, memory_order_release);
		set_chosen(x, from, false);
	} else if (!there) {
		ids[n++] = to;
		probe_row(&x->rows, &w->other, from);
		rows_near(&x->rows, &w->other, ids, 0, n, d);
		for (size_t i = 0; i + 1 < n; i++)
			nearest = MIN(nearest, d[i]);
		if (is_chosen(x, from) && d[n - 1] != nearest) { /* no ties that want a lot */
			rows_near(&x->rows, &w->probe, ids, 0, n - 1, e);
			squeeze_in(x, from, ids, d, e, n);
		} else {
			relink(x, w, from, ids, d, n);
		}
	}
	pthread_mutex_unlock(lock_of(x, from));
}

static bool insert(struct vindex *x, struct walk *w, uint32_t slot)
{
	uint32_t ids[DEGREE_MAX];
	size_t ef = x->o.build_ef;
	if (!walk_room(x, w, ef))
		return false;
	probe_row(&x->rows, &w->probe, slot);
	if (!graph_search(x, w, &w->probe, ef, NULL, NULL))
		return false;
	size_t n = 0;
	for (size_t i = 0; i < w->n; i++) /* not the dead */
		if (w->pool[i].slot != slot && !slot_dead(x, w->pool[i].slot))
			w->pool[n++] = w->pool[i];
	n = choose(x, w, slot, w->pool, n, ids, x->o.degree);
	pthread_mutex_lock(lock_of(x, slot));
	write_links(x, slot, ids, n);
	set_chosen(x, slot, n == x->o.degree);
	pthread_mutex_unlock(lock_of(x, slot));
	for (size_t i = 0; i < n; i++)
		link_back(x, w, ids[i], slot);
	return true;
}

bool graph_insert(struct vindex *x, struct walk *w, uint32_t slot)
{
	if (!insert(x, w, slot))
		return false;
	graph_entry_offer(x, slot);
	return true;
}

/* ---- entries ---- */

/* So that the entries are a random sample of all that was offered. */
void graph_entry_offer(struct vindex *x, uint32_t slot)
{
	pthread_mutex_lock(&x->entry_lock);
	uint64_t n = x->n_offered++, at = (n + 1) * 0x9e3779b97f4a7c15u;
	unsigned have = atomic_load_explicit(&x->n_entries, memory_order_relaxed);
	at = (uint64_t)((unsigned __int128)(at ^ at >> 29) * (n + 1) >> 64);
	if (have < ENTRIES && have <= n / ENTRY_STEP) {
		atomic_store_explicit(&x->entry[have], slot, memory_order_release);
		atomic_store_explicit(&x->n_entries, have + 1, memory_order_release);
	} else if (at < have) {
		atomic_store_explicit(&x->entry[at], slot, memory_order_release);
	}
	pthread_mutex_unlock(&x->entry_lock);
}

/* ---- taking the dead out ---- */

/* A dead neighbour is replaced by the nearest of its own neighbours; in the list of a slot that is
 * dead itself, and that walks pass until the next sweep, it is only taken out. Who lost many was
 * probably in the lists of those it lost, and is inserted again. */
static void mend(struct vindex *x, struct walk *w, uint32_t slot)
{
	uint32_t ids[DEGREE_MAX + ROWS_MAX], theirs[DEGREE_MAX], dead[DEGREE_MAX];
	size_t n = 0, n_dead = 0, enough = x->o.degree;
	bool lives = !slot_dead(x, slot);
	pthread_mutex_lock(lock_of(x, slot));
	size_t all = read_links(x, slot, ids);
	for (size_t i = 0; i < all; i++)
		if (slot_dead(x, ids[i]))
			dead[n_dead++] = ids[i];
		else
			ids[n++] = ids[i];
	if (n_dead)
		probe_row(&x->rows, &w->other, slot);
	for (size_t i = 0; lives && i < n_dead && n < enough; i++) {
		float d[DEGREE_MAX], best = INFINITY;
		size_t m = 0, n_theirs = read_links(x, dead[i], theirs);
		uint32_t choice = NONE;
		for (size_t j = 0; j < n_theirs; j++) {
			bool there = theirs[j] == slot || slot_dead(x, theirs[j]);
			for (size_t l = 0; l < n && !there; l++)
				there = ids[l] == theirs[j];
			if (!there)
				theirs[m++] = theirs[j];
		}
		rows_near(&x->rows, &w->other, theirs, 0, m, d);
		for (size_t j = 0; j < m; j++)
			if (d[j] < best) {
				best = d[j];
				choice = theirs[j];
			}
		if (choice != NONE)
			ids[n++] = choice;
	}
	if (n_dead) {
		write_links(x, slot, ids, n);
		set_chosen(x, slot, false);
	}
	pthread_mutex_unlock(lock_of(x, slot));
	if (lives && 4 * n_dead > all)
		insert(x, w, slot);
}

/* Puts living slots in the places of dead entries. */
static void mend_entries(struct vindex *x, uint32_t used)
{
	pthread_mutex_lock(&x->entry_lock);
	for (unsigned i = 0; i < atomic_load(&x->n_entries); i++) {
		uint32_t s = atomic_load(&x->entry[i]);
		for (uint32_t tried = 0; slot_dead(x, s) && tried < used; tried++)
			s = tried ? (s + 1) % used : (uint32_t)(s * 0x9e3779b1u) % used;
		atomic_store(&x->entry[i], s);
	}
	pthread_mutex_unlock(&x->entry_lock);
}

bool graph_sweep(struct vindex *x, struct walk *w, uint32_t n)
{
	uint32_t used = atomic_load(&x->used);
	if (!x->sweep_at)
		mend_entries(x, used);
	uint32_t end = (uint32_t)MIN((uint64_t)used, (uint64_t)x->sweep_at + n);
	for (; x->sweep_at < end; x->sweep_at++)
		mend(x, w, x->sweep_at);
	return x->sweep_at == used;
}
