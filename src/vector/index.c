/* The vector index: items in, hits out. Rows, graph and table do the work. */
#include "vector/index_int.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { BUILD_EF = 128, SEARCH_EF = 64, EXACT_BELOW = 4096 };

/* ---- options, bytes ---- */

static enum err check_options(const struct vindex_options *o, struct errtext *et)
{
	if (!o->dim || o->dim > VINDEX_DIM_MAX)
		return err_set(et, ERR_INVALID, "vectors of %u dimensions: 1 to %u are possible",
			o->dim, VINDEX_DIM_MAX);
	if (o->metric > VINDEX_L1 || o->type > VINDEX_BIT ||
		(o->metric == VINDEX_L1 && o->type == VINDEX_BIT))
		return err_set(et, ERR_INVALID, "an unknown metric or type of vector");
	if (o->degree && (o->degree < 8 || o->degree > DEGREE_MAX))
		return err_set(et, ERR_INVALID, "a degree of %u: 8 to %u are possible", o->degree,
			DEGREE_MAX);
	if (o->build_ef > ROWS_MAX)
		return err_set(
			et, ERR_INVALID, "build_ef is %u, the most is %u", o->build_ef, ROWS_MAX);
	if (o->max_items > SLOTS_MAX)
		return err_set(et, ERR_INVALID, "max_items is more than 2^31");
	return OK;
}

/* Per slot: what lies in each region. */
struct widths {
	size_t hi, low, scale, norm, key;
};

static struct widths widths_of(const struct rows *r)
{
	return (struct widths){r->hi_bytes, r->low_bytes, sizeof(float),
		r->metric == VINDEX_COSINE ? 0 : sizeof(float), sizeof(uint64_t)};
}

/* Upper layers are for the way, not for what is found. */
static uint32_t degree_of(const struct vindex_options *o, unsigned layer)
{
	return layer ? MAX(o->degree / 2, 8) : o->degree;
}

static struct vindex_options filled_in(const struct vindex_options *from, struct rows *r)
{
	struct vindex_options o = *from;
	o.degree = o.degree ? (o.degree + 3) & ~3u : VINDEX_DEGREE;
	o.build_ef = o.build_ef ? MAX(o.build_ef, 16) : BUILD_EF;
	o.exact_below = o.exact_below ? o.exact_below : EXACT_BELOW;
	rows_layout(r, &o);
	if (!o.max_items)
		o.max_items = MIN(
			(uint64_t)1 << 24, ((uint64_t)1 << 36) / (r->hi_bytes + r->low_bytes + 1));
	return o;
}

static void bytes_of(const struct rows *r, const struct vindex_options *o, uint64_t slots,
	uint64_t table, struct vindex_bytes *b)
{
	struct widths w = widths_of(r);
	size_t dim = ((size_t)o->dim + 63) & ~(size_t)63;
	b->vectors = slots * (w.hi + w.low);
	b->graph = 0;
	b->other = slots * (w.scale + w.norm + w.key) + (slots + 63) / 64 * 16 +
		   table * sizeof(uint32_t) + sizeof(struct vindex);
	for (unsigned i = 0; slots >= o->exact_below && i < LAYERS; i++) {
		uint64_t places = layer_places(i, slots);
		b->graph += places * degree_of(o, i) * sizeof(uint32_t) + (places + 63) / 64 * 8;
	}
	b->total = b->vectors + b->graph + b->other;
	b->per_search = (slots + 63) / 64 * 8 + 4096 * sizeof(uint32_t) +
			(o->build_ef + 1) * sizeof(struct cand) + dim * (2 + sizeof(float));
}

enum err vindex_plan(
	const struct vindex_options *o, uint64_t n, struct vindex_bytes *out, struct errtext *et)
{
	enum err e = check_options(o, et);
	if (e)
		return e;
	struct rows r;
	struct vindex_options full = filled_in(o, &r);
	bytes_of(&r, &full, n, table_cap(n), out);
	return OK;
}

void vindex_size(struct vindex *x, struct vindex_bytes *out)
{
	struct walk *w = walk_begin(x);
	struct table *t = atomic_load_explicit(&x->table, memory_order_acquire);
	bytes_of(&x->rows, &x->o, atomic_load(&x->used), t ? t->cap : 0, out);
	walk_end(w);
}

void vindex_grown(struct vindex *x, uint64_t n, struct vindex_bytes *out)
{
	pthread_mutex_lock(&x->write);
	const struct table *t = atomic_load(&x->table);
	uint64_t used = atomic_load(&x->used), spare = MIN((uint64_t)x->unused.n, n);
	size_t need = table_cap(atomic_load(&x->live) + n), cap = t ? t->cap : 0;
	if (need > cap) /* as table_reserve does it */
		cap = MAX(need, cap ? cap + cap / 4 : 64);
	bytes_of(&x->rows, &x->o, used + n - spare, cap, out);
	pthread_mutex_unlock(&x->write);
}

size_t vindex_count(struct vindex *x)
{
	return atomic_load(&x->live);
}

const struct vindex_options *vindex_opened(const struct vindex *x)
{
	return &x->o;
}

/* ---- life ---- */

enum err vindex_new(const struct vindex_options *o, struct vindex **out, struct errtext *et)
{
	enum err e = check_options(o, et);
	if (e)
		return e;
	struct vindex *x = calloc(1, sizeof *x);
	if (!x)
		return err_set(et, ERR_NOMEM, "no memory for an index");
	x->o = filled_in(o, &x->rows);
	struct widths w = widths_of(&x->rows);
	struct {
		struct region *r;
		size_t item;
	} all[] = {{&x->rows.hi, w.hi}, {&x->rows.low, w.low}, {&x->rows.scale, w.scale},
		{&x->rows.norm, w.norm}, {&x->keys, w.key}};
	pthread_mutex_init(&x->write, NULL);
	pthread_mutex_init(&x->entry_lock, NULL);
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&x->locks[i], NULL);
	atomic_store(&x->epoch, 1);
	atomic_store(&x->ef, SEARCH_EF);
	for (size_t i = 0; !e && i < ARRAY_LEN(all); i++)
		e = region_reserve(all[i].r, all[i].item, x->o.max_items, et);
	for (int i = 0; !e && i < 2; i++)
		e = region_reserve(i ? &x->runs : &x->dead, 8, x->o.max_items / 64 + 1, et);
	for (unsigned i = 0; !e && i < LAYERS; i++) {
		struct layer *l = &x->layers[i];
		uint64_t places = layer_places(i, x->o.max_items);
		l->shift = i * LAYER_SHIFT;
		l->degree = degree_of(&x->o, i);
		e = region_reserve(&l->links, l->degree * sizeof(uint32_t), places, et);
		e = e ? e : region_reserve(&l->chosen, 8, places / 64 + 1, et);
	}
	if (e) {
		vindex_free(x);
		return e;
	}
	*out = x;
	return OK;
}

void vindex_free(struct vindex *x)
{
	if (!x)
		return;
	struct region *all[] = {&x->rows.hi, &x->rows.low, &x->rows.scale, &x->rows.norm, &x->keys,
		&x->dead, &x->runs};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		region_free(all[i]);
	for (unsigned i = 0; i < LAYERS; i++) {
		region_free(&x->layers[i].links);
		region_free(&x->layers[i].chosen);
	}
	for (size_t i = 0; i < WALKS; i++)
		vindex_walk_free(&x->walks[i]);
	struct slots *lists[] = {&x->sweeping, &x->dying, &x->retired, &x->unused};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		free(lists[i]->p);
	for (struct table *t = x->table, *former; t; t = former) {
		former = t->former;
		free(t);
	}
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&x->locks[i]);
	pthread_mutex_destroy(&x->entry_lock);
	pthread_mutex_destroy(&x->write);
	free(x);
}

/* ---- lists of slots ---- */

static bool slots_reserve(struct slots *s, size_t more)
{
	if (s->n + more <= s->cap)
		return true;
	size_t cap = MAX(s->n + more, s->cap * 2);
	uint32_t *p = realloc(s->p, cap * sizeof *p);
	if (!p)
		return false;
	s->p = p;
	s->cap = cap;
	return true;
}

static void slots_move(struct slots *to, struct slots *from)
{
	struct slots empty = *to;
	*to = *from;
	empty.n = 0;
	*from = empty;
}

/* ---- changes ---- */

static enum err check_finite(const float *v, size_t n, size_t dim, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		if (!(kern->dot(v + i * dim, v + i * dim, dim) <
			    1e37f)) /* so that sums are finite */
			return err_set(et, ERR_INVALID,
				"vector %zu has a value that is no number, or is too long", i);
	return OK;
}

static void set_dead(struct vindex *x, uint32_t slot, bool dead)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(void *)x->dead.p + slot / 64;
	if (dead)
		atomic_fetch_or(word, UINT64_C(1) << slot % 64);
	else
		atomic_fetch_and(word, ~(UINT64_C(1) << slot % 64));
}

static enum err no_memory(size_t n, struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for %zu vectors", n);
}

bool layers_grow(struct vindex *x, uint64_t slots)
{
	bool ok = true;
	for (unsigned i = 0; ok && i < LAYERS; i++) {
		uint64_t places = layer_places(i, slots);
		ok = region_grow(&x->layers[i].links, places) &&
		     region_grow(&x->layers[i].chosen, places / 64 + 1);
	}
	return ok;
}

/* Room for n more items. Slots beyond `used` that are made usable here and not taken stay so. */
static enum err room_for(struct vindex *x, size_t n, struct errtext *et)
{
	uint64_t used = atomic_load(&x->used);
	uint64_t slots = used + (n > x->unused.n ? n - x->unused.n : 0);
	size_t keys = atomic_load(&x->live) + n;
	struct vindex_bytes b;
	struct table *t = atomic_load(&x->table);
	bytes_of(&x->rows, &x->o, slots, MAX(table_cap(keys), t ? t->cap : 0), &b);
	if (slots > x->o.max_items)
		return err_set(et, ERR_LIMIT,
			"an index of %llu items: %zu more would pass its limit of %llu",
			(unsigned long long)used, n, (unsigned long long)x->o.max_items);
	if (x->o.max_bytes && b.total > x->o.max_bytes)
		return err_set(et, ERR_LIMIT,
			"%zu more vectors would make the index %llu bytes, its limit is %llu", n,
			(unsigned long long)b.total, (unsigned long long)x->o.max_bytes);
	struct region *all[] = {&x->rows.hi, &x->rows.low, &x->rows.scale, &x->rows.norm, &x->keys};
	bool ok = region_grow(&x->dead, slots / 64 + 1) && region_grow(&x->runs, slots / 64 + 1);
	for (size_t i = 0; ok && i < ARRAY_LEN(all); i++)
		ok = region_grow(all[i], slots);
	if (ok && (atomic_load(&x->graph) || keys >= x->o.exact_below))
		ok = layers_grow(x, slots);
	ok = ok && table_reserve(x, keys) && slots_reserve(&x->dying, n) &&
	     slots_reserve(&x->unused, n);
	return ok ? OK : no_memory(n, et);
}

/* The work of a put, shared by a team. */
struct job {
	struct vindex *x;
	const uint32_t *slots; /* NULL: all of the index */
	const uint64_t *keys;
	const float *vectors;
	size_t n;
	struct walk **walks;
	size_t first; /* chunks that are done */
};
enum { CHUNK = 16, FIRST_CHUNKS = 8 };

static void write_rows(void *arg, size_t chunk, unsigned thread)
{
	struct job *j = arg;
	for (size_t i = chunk * CHUNK; i < MIN(j->n, (chunk + 1) * CHUNK); i++) {
		uint32_t slot = j->slots[i];
		rows_write(&j->x->rows, slot, j->vectors + i * j->x->o.dim, j->walks[thread]->unit);
		((uint64_t *)(void *)j->x->keys.p)[slot] = j->keys[i];
		set_dead(j->x, slot, false);
	}
}

void run_check(struct vindex *x, uint32_t slot)
{
	const uint64_t *keys = (const uint64_t *)(const void *)x->keys.p + slot / 64 * 64;
	for (uint64_t i = 1; i < 64; i++)
		if (keys[i] != keys[0] + i)
			return;
	if (keys[0] < UINT64_MAX - 64)
		atomic_store_explicit(run_of(x, slot), keys[0] + 1, memory_order_release);
}

static void insert_rows(void *arg, size_t chunk, unsigned thread)
{
	struct job *j = arg;
	chunk += j->first;
	for (size_t i = chunk * CHUNK; i < MIN(j->n, (chunk + 1) * CHUNK); i++) {
		uint32_t slot = j->slots ? j->slots[i] : (uint32_t)i;
		graph_clear(j->x, slot);
		if (!slot_dead(j->x, slot))
			graph_insert(j->x, j->walks[thread], slot);
	}
}

static void run(struct kern_team *team, kern_chunk_fn fn, struct job *j)
{
	size_t chunks = (j->n + CHUNK - 1) / CHUNK;
	kern_team_run(team, fn, j, chunks - MIN(chunks, j->first));
}

static void link_all(struct kern_team *team, struct job *j)
{
	struct vindex *x = j->x;
	if (atomic_load(&x->graph)) {
		run(team, insert_rows, j);
		return;
	}
	if (atomic_load(&x->live) + j->n < x->o.exact_below)
		return;
	/* Now there are enough: everything. */
	struct job all = {x, NULL, NULL, NULL, atomic_load(&x->used), j->walks, 0};
	for (size_t i = 0; i < FIRST_CHUNKS; i++) /* so that the others find somebody */
		insert_rows(&all, i, 0);
	all.first = FIRST_CHUNKS;
	run(team, insert_rows, &all);
	atomic_store(&x->graph, true);
}

static bool take_walks(struct vindex *x, struct walk **w, unsigned n)
{
	bool ok = true;
	for (unsigned i = 0; i < n; i++) {
		w[i] = walk_begin(x);
		ok = walk_room(x, w[i], x->o.build_ef) && ok;
	}
	return ok;
}

static void take_slots(struct vindex *x, uint32_t *slots, size_t n)
{
	uint32_t used = atomic_load(&x->used);
	for (size_t i = 0; i < n; i++)
		slots[i] = x->unused.n ? x->unused.p[--x->unused.n] : used++;
}

static void bury(struct vindex *x, uint32_t slot)
{
	set_dead(x, slot, true);
	x->dying.p[x->dying.n++] = slot; /* there is room */
	atomic_fetch_sub(&x->live, 1);
}

static void tidy(struct vindex *x, struct walk *w, size_t n);

static enum err put_locked(struct vindex *x, const uint64_t *keys, const float *vectors, size_t n,
	struct kern_team *team, struct errtext *et)
{
	enum err e = room_for(x, n, et);
	if (e)
		return e;
	unsigned n_walks = MIN(kern_team_size(team), WALKS / 2);
	struct walk *walks[WALKS];
	uint32_t *slots = malloc(n * sizeof *slots);
	if (!take_walks(x, walks, n_walks) || !slots) {
		e = no_memory(n, et);
	} else { /* nothing can fail from here */
		take_slots(x, slots, n);
		struct job j = {x, slots, keys, vectors, n, walks, 0};
		atomic_fetch_add(&x->changes, 1); /* a scan sees slots that were free at once */
		for (size_t i = 0; i < n; i++)
			atomic_store_explicit(run_of(x, slots[i]), 0, memory_order_release);
		run(team, write_rows, &j);
		for (size_t i = 0; i < n; i++)
			if (slots[i] % 64 == 63) /* the last of new ones */
				run_check(x, slots[i]);
		uint32_t end = atomic_load(&x->used);
		for (size_t i = 0; i < n; i++)
			end = MAX(end, slots[i] + 1);
		atomic_store(&x->used, end);
		link_all(team, &j);
		for (size_t i = 0; i < n; i++) {
			uint32_t former = table_put(x, keys[i], slots[i]);
			atomic_fetch_add(&x->live, 1);
			if (former != NONE)
				bury(x, former);
		}
		atomic_fetch_add(&x->changes, 1);
		tidy(x, walks[0], n);
	}
	for (unsigned i = 0; i < n_walks; i++)
		walk_end(walks[i]);
	free(slots);
	return e;
}

enum err vindex_put(struct vindex *x, const uint64_t *keys, const float *vectors, size_t n,
	struct kern_team *team, struct errtext *et)
{
	enum err e = check_finite(vectors, n, x->o.dim, et);
	if (e || !n)
		return e;
	pthread_mutex_lock(&x->write);
	e = put_locked(x, keys, vectors, n, team, et);
	table_free_former(x);
	pthread_mutex_unlock(&x->write);
	return e;
}

enum err vindex_delete(
	struct vindex *x, const uint64_t *keys, size_t n, size_t *n_gone, struct errtext *et)
{
	enum err e = OK;
	size_t gone = 0;
	pthread_mutex_lock(&x->write);
	struct walk *w = walk_begin(x);
	if (!walk_room(x, w, x->o.build_ef) || !slots_reserve(&x->dying, n) ||
		!slots_reserve(&x->unused, n))
		e = err_set(et, ERR_NOMEM, "no memory to delete %zu vectors", n);
	for (size_t i = 0; !e && i < n; i++) {
		uint32_t slot = table_del(x, keys[i]);
		if (slot == NONE)
			continue;
		bury(x, slot);
		gone++;
	}
	if (gone)
		tidy(x, w, gone);
	walk_end(w);
	table_free_former(x);
	pthread_mutex_unlock(&x->write);
	if (!e && n_gone)
		*n_gone = gone;
	return e;
}

/* A part of the work that deletes leave behind: more than n changes make. */
static void tidy(struct vindex *x, struct walk *w, size_t n)
{
	if (x->retired.n && walks_after(x, x->retired_at)) {
		if (!slots_reserve(&x->unused, x->retired.n))
			return;
		memcpy(x->unused.p + x->unused.n, x->retired.p, x->retired.n * sizeof(uint32_t));
		x->unused.n += x->retired.n;
		x->retired.n = 0;
	}
	uint32_t used = atomic_load(&x->used);
	if (!x->sweeping.n && !x->retired.n && x->dying.n > 32 + used / 16) {
		slots_move(&x->sweeping, &x->dying);
		x->sweep_at = 0;
	}
	if (!x->sweeping.n)
		return;
	bool through = !atomic_load(&x->graph) ||
		       graph_sweep(x, w, (uint32_t)MIN(used, 32 * (uint64_t)n + 64));
	if (through) {
		slots_move(&x->retired, &x->sweeping);
		x->retired_at = atomic_fetch_add(&x->epoch, 1) + 1;
	}
}
