#include "vector/vector_int.h"

#include <stdlib.h>

static uint64_t mix(uint64_t x) /* the finaliser of splitmix64 */
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static size_t find(const struct keymap *m, uint64_t key)
{
	size_t i = mix(key) & (m->cap - 1);
	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

bool keymap_reserve(struct keymap *m, size_t more)
{
	size_t cap = m->cap ? m->cap : 16;
	while (cap / 4 * 3 < m->n + more)
		cap *= 2;
	if (cap == m->cap)
		return true;
	struct keymap grown = {calloc(cap, sizeof *m->slots), m->n, cap};
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			grown.slots[find(&grown, m->slots[i].key)] = m->slots[i];
	free(m->slots);
	*m = grown;
	return true;
}

bool keymap_put(struct keymap *m, uint64_t key, uint64_t value, uint64_t *former)
{
	struct keymap_slot *s = &m->slots[find(m, key)];
	bool had = s->value != 0;
	if (had && former)
		*former = s->value - 1;
	m->n += !had;
	*s = (struct keymap_slot){key, value + 1};
	return had;
}

bool keymap_get(const struct keymap *m, uint64_t key, uint64_t *value)
{
	if (!m->n)
		return false;
	const struct keymap_slot *s = &m->slots[find(m, key)];
	if (s->value && value)
		*value = s->value - 1;
	return s->value != 0;
}

bool keymap_del(struct keymap *m, uint64_t key)
{
	if (!m->n)
		return false;
	size_t i = find(m, key);
	if (!m->slots[i].value)
		return false;
	m->n--;
	/* Shift back what probed past the hole. */
	for (size_t j = i;;) {
		m->slots[i].value = 0;
		for (;;) {
			j = (j + 1) & (m->cap - 1);
			if (!m->slots[j].value)
				return true;
			size_t home = mix(m->slots[j].key) & (m->cap - 1);
			if (i <= j ? home <= i || home > j : home <= i && home > j)
				break;
		}
		m->slots[i] = m->slots[j];
		i = j;
	}
}

void keymap_free(struct keymap *m)
{
	free(m->slots);
	*m = (struct keymap){0};
}

static void sift_down(struct hit *h, size_t n, size_t i)
{
	struct hit x = h[i];
	for (size_t c; (c = 2 * i + 1) < n; i = c) {
		if (c + 1 < n && hit_better(h[c], h[c + 1]))
			c++;
		if (!hit_better(x, h[c]))
			break;
		h[i] = h[c];
	}
	h[i] = x;
}

void topk_add(struct topk *t, struct hit h)
{
	if (t->n < t->k) {
		size_t i = t->n++;
		for (size_t p; i && hit_better(t->hits[p = (i - 1) / 2], h); i = p)
			t->hits[i] = t->hits[p];
		t->hits[i] = h;
	} else if (t->k && hit_better(h, t->hits[0])) {
		t->hits[0] = h;
		sift_down(t->hits, t->n, 0);
	}
}

void topk_sort(struct topk *t)
{
	for (size_t n = t->n; n > 1; n--) {
		struct hit worst = t->hits[0];
		t->hits[0] = t->hits[n - 1];
		t->hits[n - 1] = worst;
		sift_down(t->hits, n - 1, 0);
	}
}
