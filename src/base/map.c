#include "base/map.h"
#include "base/hash.h"

#include <stdlib.h>

/* Open addressing, linear probing, deletion by shifting back. */

static size_t slot_of(const struct map *m, struct str key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);
	while (m->slots[i].key) {
		const struct map_slot *s = &m->slots[i];
		if (s->hash == hash && str_eq(str_mk(s->key, s->key_n), key))
			break;
		i = (i + 1) & (m->cap - 1);
	}
	return i;
}

static bool grow(struct map *m)
{
	size_t cap = m->cap ? m->cap * 2 : 16;
	struct map_slot *slots = calloc(cap, sizeof *slots);
	if (!slots)
		return false;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].key) {
			size_t j = m->slots[i].hash & (cap - 1);
			while (slots[j].key)
				j = (j + 1) & (cap - 1);
			slots[j] = m->slots[i];
		}
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return true;
}

bool map_put(struct map *m, struct str key, void *value)
{
	if (m->n * 4 >= m->cap * 3 && !grow(m))
		return false;
	uint64_t hash = hash64(key);
	struct map_slot *s = &m->slots[slot_of(m, key, hash)];
	if (!s->key) {
		char *copy = str_dup(key);
		if (!copy)
			return false;
		*s = (struct map_slot){copy, key.n, hash, NULL};
		m->n++;
	}
	s->value = value;
	return true;
}

void *map_get(const struct map *m, struct str key)
{
	return m->n ? m->slots[slot_of(m, key, hash64(key))].value : NULL;
}

void *map_del(struct map *m, struct str key)
{
	if (!m->n)
		return NULL;
	size_t i = slot_of(m, key, hash64(key));
	if (!m->slots[i].key)
		return NULL;
	void *value = m->slots[i].value;
	free(m->slots[i].key);
	m->n--;
	size_t hole = i, mask = m->cap - 1;
	for (size_t j = (i + 1) & mask; m->slots[j].key; j = (j + 1) & mask) {
		size_t home = m->slots[j].hash & mask;
		if (((j - home) & mask) >= ((j - hole) & mask)) {
			m->slots[hole] = m->slots[j];
			hole = j;
		}
	}
	m->slots[hole] = (struct map_slot){0};
	return value;
}

bool map_next(const struct map *m, size_t *i, struct str *key, void **value)
{
	for (; *i < m->cap; (*i)++)
		if (m->slots[*i].key) {
			*key = str_mk(m->slots[*i].key, m->slots[*i].key_n);
			*value = m->slots[*i].value;
			(*i)++;
			return true;
		}
	return false;
}

void map_free(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	*m = (struct map){0};
}
