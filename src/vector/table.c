/* The index's table from keys to slots: four bytes each, the key itself lies with the slot.
 *
 * One writer changes it; a lookup reads without a lock and begins again when the sequence count
 * says that a change came between. An outgrown table is freed when no search can read it. */
#include "vector/index_int.h"

#include <stdlib.h>

static size_t home(const struct table *t, uint64_t key)
{
	key ^= key >> 30; /* the finaliser of splitmix64 */
	key *= 0xbf58476d1ce4e5b9u;
	key ^= key >> 27;
	key *= 0x94d049bb133111ebu;
	key ^= key >> 31;
	return (size_t)((unsigned __int128)key * t->cap >> 64);
}

/* Room for n keys at a load of 3/4. */
size_t table_cap(size_t n)
{
	return n + n / 3 + 16;
}

static uint32_t slot_at(const struct table *t, size_t i)
{
	return atomic_load_explicit(&t->slots[i], memory_order_acquire);
}

/* Where the key stands, or the free place where it would. */
static size_t find(const struct vindex *x, const struct table *t, uint64_t key)
{
	size_t i = home(t, key), tried = 0;
	for (uint32_t s; (s = slot_at(t, i)) && key_of(x, s - 1) != key && tried < t->cap; tried++)
		i = i + 1 < t->cap ? i + 1 : 0;
	return i;
}

static struct table *table_now(const struct vindex *x)
{
	return atomic_load_explicit(&x->table, memory_order_acquire);
}

bool table_reserve(struct vindex *x, size_t n)
{
	struct table *old = table_now(x);
	if (old && table_cap(n) <= old->cap)
		return true;
	size_t cap = MAX(table_cap(n), old ? old->cap + old->cap / 4 : 64);
	struct table *t = calloc(1, sizeof *t + cap * sizeof t->slots[0]);
	if (!t)
		return false;
	t->cap = cap;
	t->former = old;
	for (size_t i = 0; old && i < old->cap; i++) {
		uint32_t s = slot_at(old, i);
		if (!s)
			continue;
		t->slots[find(x, t, key_of(x, s - 1))] = s;
		t->n++;
	}
	atomic_fetch_add(&x->table_seq, 1);
	atomic_store_explicit(&x->table, t, memory_order_release);
	atomic_fetch_add(&x->table_seq, 1);
	if (old)
		old->retired_at = atomic_fetch_add(&x->epoch, 1) + 1;
	return true;
}

void table_free_former(struct vindex *x)
{
	struct table *t = table_now(x), *f = t ? t->former : NULL;
	if (!f || !walks_after(x, f->retired_at))
		return;
	t->former = NULL;
	for (struct table *next; f; f = next) {
		next = f->former;
		free(f);
	}
}

bool table_get(const struct vindex *x, uint64_t key, uint32_t *slot)
{
	for (;;) {
		uint64_t seq = atomic_load(&x->table_seq);
		const struct table *t = table_now(x);
		uint32_t s = t ? slot_at(t, find(x, t, key)) : 0;
		if (seq & 1 || seq != atomic_load(&x->table_seq))
			continue;
		*slot = s - 1;
		return s != 0;
	}
}

uint32_t table_put(struct vindex *x, uint64_t key, uint32_t slot)
{
	struct table *t = table_now(x);
	size_t i = find(x, t, key);
	uint32_t former = slot_at(t, i);
	t->n += !former;
	atomic_store_explicit(&t->slots[i], slot + 1, memory_order_release);
	return former ? former - 1 : NONE;
}

uint32_t table_del(struct vindex *x, uint64_t key)
{
	struct table *t = table_now(x);
	size_t i = t ? find(x, t, key) : 0;
	uint32_t former = t ? slot_at(t, i) : 0;
	if (!former)
		return NONE;
	t->n--;
	atomic_fetch_add(&x->table_seq, 1);
	/* Shift back what probed past the hole. */
	for (size_t j = i;;) {
		atomic_store_explicit(&t->slots[i], 0, memory_order_release);
		uint32_t s;
		for (;;) {
			j = j + 1 < t->cap ? j + 1 : 0;
			if (!(s = slot_at(t, j))) {
				atomic_fetch_add(&x->table_seq, 1);
				return former - 1;
			}
			size_t h = home(t, key_of(x, s - 1));
			if (i <= j ? h <= i || h > j : h <= i && h > j)
				break;
		}
		atomic_store_explicit(&t->slots[i], s, memory_order_release);
		i = j;
	}
}
