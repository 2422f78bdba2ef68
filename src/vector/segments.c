/* Segments: what waits becomes one, the dead are marked, those of like size are merged, and the
 * result is shown as one snapshot. */
#include "vector/segments.h"

#include <stdlib.h>

/* ---- counting ---- */

void segment_put(const struct segments_kind *kind, struct segment *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	kind->clear(s);
	segment_free(s, s->keys);
	segment_free(s, s->order);
	segment_map_put(s->map);
	free(s);
}

static void live_put(const struct segments_kind *kind, struct segment_live *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	if (kind->live_clear)
		kind->live_clear(l);
	free(l->dead);
	free(l);
}

static void part_put(const struct segments_kind *kind, const struct segment_part *p)
{
	segment_put(kind, p->seg);
	live_put(kind, p->live);
}

void segments_put_back(const struct segments *x, struct segment_snap *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_parts; i++)
		part_put(x->kind, &s->parts[i]);
	free(s);
}

struct segment_snap *segments_get(struct segments *x)
{
	pthread_mutex_lock(&x->lock);
	struct segment_snap *s = x->snap;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&x->lock);
	return s;
}

struct segment_snap *segments_snap_new(const struct segments_kind *kind, size_t room)
{
	size_t size = (kind->snap_size + 15) & ~(size_t)15;
	struct segment_snap *s = calloc(1, size + room * sizeof *s->parts);
	if (s) {
		atomic_init(&s->refs, 1);
		s->parts = (void *)((char *)s + size);
	}
	return s;
}

/* All items of a segment live, or as `from` has it: then with marks of its own. */
static struct segment_live *live_new(
	const struct segments_kind *kind, const struct segment *s, const struct segment_live *from)
{
	struct segment_live *l = calloc(1, kind->live_size);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	l->n_docs = from ? from->n_docs : s->n_docs;
	if (from)
		l->dead = calloc(segment_words(s->n_docs), sizeof *l->dead);
	if (from && l->dead && from->dead)
		memcpy(l->dead, from->dead, segment_words(s->n_docs) * sizeof *l->dead);
	if ((from && !l->dead) || (kind->live_fill && !kind->live_fill(l, s, from))) {
		live_put(kind, l);
		return NULL;
	}
	return l;
}

/* ---- keys ---- */

static int by_key(const void *a, const void *b, void *ctx)
{
	const uint64_t *keys = ctx, x = keys[*(const uint32_t *)a], y = keys[*(const uint32_t *)b];
	return (x > y) - (x < y);
}

bool segment_sort(struct segment *s)
{
	bool ascending = true;
	for (uint32_t i = 1; i < s->n_docs; i++)
		ascending &= s->keys[i - 1] < s->keys[i];
	if (ascending)
		return true;
	s->order = malloc(s->n_docs * sizeof *s->order);
	if (!s->order)
		return false;
	for (uint32_t i = 0; i < s->n_docs; i++)
		s->order[i] = i;
	qsort_r(s->order, s->n_docs, sizeof *s->order, by_key, s->keys);
	return true;
}

bool segment_find(const struct segment *s, uint64_t key, uint32_t *doc)
{
	uint32_t lo = 0, hi = s->n_docs;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2, at = s->order ? s->order[mid] : mid;
		if (s->keys[at] == key) {
			*doc = at;
			return true;
		}
		if (s->keys[at] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* ---- an index ---- */

bool segments_init(struct segments *x, const struct segments_kind *kind)
{
	*x = (struct segments){.kind = kind, .snap = segments_snap_new(kind, 0)};
	if (!x->snap)
		return false;
	pthread_mutex_init(&x->write, NULL);
	pthread_mutex_init(&x->lock, NULL);
	return true;
}

static void forget_waiting(struct segments *x)
{
	x->kind->forget(x);
	keymap_free(&x->waiting);
	keymap_free(&x->deleted);
}

void segments_clear(struct segments *x)
{
	forget_waiting(x);
	segments_put_back(x, x->snap);
	pthread_mutex_destroy(&x->write);
	pthread_mutex_destroy(&x->lock);
}

bool segments_room(struct segments *x)
{
	return keymap_reserve(&x->waiting, 1);
}

void segments_wait(struct segments *x, uint64_t key, uint64_t place)
{
	uint64_t former;
	if (keymap_put(&x->waiting, key, place, &former))
		x->kind->drop(x, former);
}

enum err segments_delete(struct segments *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	bool ok = keymap_reserve(&x->deleted, n);
	for (size_t i = 0; ok && i < n; i++) {
		uint64_t place;
		keymap_put(&x->deleted, keys[i], 0, NULL);
		if (keymap_get(&x->waiting, keys[i], &place)) {
			x->kind->drop(x, place);
			keymap_del(&x->waiting, keys[i]);
		}
	}
	pthread_mutex_unlock(&x->write);
	return ok ? OK
		  : err_set(et, ERR_NOMEM, "no memory to delete %zu items from %s", n,
			    x->kind->what);
}

/* ---- publishing ---- */

static void bury(const struct segments_kind *kind, struct segment_part *p, uint32_t doc)
{
	p->live->dead[doc / 64] |= UINT64_C(1) << doc % 64;
	p->live->n_docs--;
	if (kind->bury)
		kind->bury(p->live, p->seg, doc);
}

static bool bury_keys(
	const struct segments_kind *kind, const struct keymap *keys, struct segment_part *p)
{
	bool copied = false;
	for (size_t i = 0; i < keys->cap; i++) {
		uint32_t doc;
		if (!keys->slots[i].value || !segment_find(p->seg, keys->slots[i].key, &doc) ||
			segment_dead(p->live, doc))
			continue;
		struct segment_live *l = copied ? p->live : live_new(kind, p->seg, p->live);
		if (!l)
			return false;
		if (!copied)
			live_put(kind, p->live);
		copied = true;
		p->live = l;
		bury(kind, p, doc);
	}
	return true;
}

static bool copy_parts(struct segments *x, struct segment_snap *s)
{
	bool ok = true;
	for (size_t i = 0; ok && i < x->snap->n_parts; i++) {
		struct segment_part *p = &s->parts[s->n_parts++];
		*p = x->snap->parts[i];
		atomic_fetch_add(&p->seg->refs, 1);
		atomic_fetch_add(&p->live->refs, 1);
		ok = bury_keys(x->kind, &x->deleted, p) && bury_keys(x->kind, &x->waiting, p);
	}
	return ok;
}

static void drop_parts(
	const struct segments_kind *kind, struct segment_snap *s, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		part_put(kind, &s->parts[i]);
	s->n_parts -= n;
	memmove(&s->parts[first], &s->parts[first + n], (s->n_parts - first) * sizeof s->parts[0]);
}

/* Takes over the reference to seg (NULL: no memory), in place of `n` parts from `first`. */
static bool set_part(const struct segments_kind *kind, struct segment_snap *s, size_t first,
	size_t n, struct segment *seg)
{
	struct segment_live *l = seg ? live_new(kind, seg, NULL) : NULL;
	if (!l) {
		segment_put(kind, seg);
		return false;
	}
	if (n) {
		drop_parts(kind, s, first + 1, n - 1);
		part_put(kind, &s->parts[first]);
	} else {
		s->n_parts++;
	}
	s->parts[first] = (struct segment_part){seg, l};
	return true;
}

bool segments_add_part(const struct segments_kind *kind, struct segment_snap *s,
	struct segment *seg, const uint64_t *dead)
{
	if (!set_part(kind, s, s->n_parts, 0, seg))
		return false;
	struct segment_part *p = &s->parts[s->n_parts - 1];
	struct segment_live *l = dead ? live_new(kind, seg, p->live) : NULL;
	if (!l)
		return !dead;
	live_put(kind, p->live);
	p->live = l;
	for (uint32_t doc = 0; doc < seg->n_docs; doc++)
		if (dead[doc / 64] >> doc % 64 & 1)
			bury(kind, p, doc);
	return true;
}

static bool merge_parts(struct segments *x, struct segment_snap *s, size_t first, size_t n)
{
	return set_part(x->kind, s, first, n, x->kind->merge(x, s, &s->parts[first], n));
}

/* Parts from the first whose followers together outweigh it half become one; a part that is half
 * dead is rewritten alone. Failing leaves things unmerged, which is only slower. */
static void merge(struct segments *x, struct segment_snap *s)
{
	for (size_t i = s->n_parts; i--;) {
		const struct segment_part *p = &s->parts[i];
		if (!p->live->n_docs)
			drop_parts(x->kind, s, i, 1);
		else if (p->live->n_docs * 2 < p->seg->n_docs && !merge_parts(x, s, i, 1))
			return;
	}
	size_t first = s->n_parts, after = 0;
	for (size_t i = s->n_parts; i--;) {
		if (i + 1 < s->n_parts && after * 2 >= s->parts[i].live->n_docs)
			first = i;
		after += s->parts[i].live->n_docs;
	}
	if (first + 1 < s->n_parts)
		merge_parts(x, s, first, s->n_parts - first);
}

void segments_show(struct segments *x, struct segment_snap *s)
{
	pthread_mutex_lock(&x->lock);
	x->snap = s;
	pthread_mutex_unlock(&x->lock);
}

/* Under x->write. */
static bool publish(struct segments *x)
{
	struct segment_snap *old = x->snap, *s = segments_snap_new(x->kind, old->n_parts + 1);
	bool ok = s && copy_parts(x, s);
	if (ok) {
		s->n_docs = x->waiting.n;
		for (size_t i = 0; i < s->n_parts; i++)
			s->n_docs += s->parts[i].live->n_docs;
		if (x->kind->count)
			x->kind->count(x, s);
		if (x->waiting.n)
			ok = set_part(x->kind, s, s->n_parts, 0, x->kind->make(x, s));
	}
	if (ok) {
		merge(x, s);
		segments_show(x, s);
		s = old;
	}
	segments_put_back(x, s);
	return ok;
}

enum err segments_publish(struct segments *x, struct errtext *et)
{
	pthread_mutex_lock(&x->write);
	bool ok = (!x->waiting.n && !x->deleted.n) || publish(x);
	if (ok)
		forget_waiting(x);
	pthread_mutex_unlock(&x->write);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory to publish %s", x->kind->what);
}

size_t segments_count(struct segments *x)
{
	struct segment_snap *s = segments_get(x);
	size_t n = (size_t)s->n_docs;
	segments_put_back(x, s);
	return n;
}

size_t segments_bytes(struct segments *x)
{
	struct segment_snap *s = segments_get(x);
	size_t n = x->kind->snap_size + s->n_parts * sizeof s->parts[0];
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct segment_part *p = &s->parts[i];
		n += p->seg->bytes + x->kind->live_size;
		if (p->live->dead)
			n += segment_words(p->seg->n_docs) * sizeof(uint64_t);
		if (x->kind->live_bytes)
			n += x->kind->live_bytes(p->live, p->seg);
	}
	segments_put_back(x, s);
	return n;
}
