/* Masks by key, the least recently used leave first. Entries are immutable and counted: one that
 * leaves while it is read lives until it is put back. */
#include <pthread.h>
#include <stdlib.h>
#include "base/map.h"
#include "engine/mask_int.h"

struct cache {
	pthread_mutex_t mu;
	struct map entries;
	struct entry ends; /* newer: the oldest; older: the newest */
	size_t bytes, bytes_max;
	uint64_t hits, misses;
};

void entry_free(struct entry *e)
{
	if (!e)
		return;
	for (uint32_t i = 0; i < e->n_rests; i++) {
		buf_free(&e->rests[i].more);
		token_trie_free(&e->rests[i].t);
	}
	free(e->rests);
	free(e->bits);
	free((char *)(uintptr_t)e->key.p);
	free(e);
}

struct cache *cache_new(size_t bytes_max)
{
	struct cache *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	pthread_mutex_init(&c->mu, NULL);
	c->ends.newer = c->ends.older = &c->ends;
	c->bytes_max = bytes_max;
	return c;
}

/* With the lock, all below. */
static void unlink_entry(struct entry *e)
{
	e->newer->older = e->older;
	e->older->newer = e->newer;
}

static void link_newest(struct cache *c, struct entry *e)
{
	e->newer = &c->ends;
	e->older = c->ends.older;
	e->older->newer = e;
	c->ends.older = e;
}

static void put(struct entry *e)
{
	if (--e->refs == 0)
		entry_free(e);
}

static void forget(struct cache *c, struct entry *e)
{
	map_del(&c->entries, e->key);
	unlink_entry(e);
	c->bytes -= e->bytes;
	put(e);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	while (c->ends.newer != &c->ends)
		forget(c, c->ends.newer);
	map_free(&c->entries);
	pthread_mutex_destroy(&c->mu);
	free(c);
}

struct entry *cache_get(struct cache *c, struct str key)
{
	pthread_mutex_lock(&c->mu);
	struct entry *e = map_get(&c->entries, key);
	if (e) {
		e->refs++;
		unlink_entry(e);
		link_newest(c, e);
		c->hits++;
	} else {
		c->misses++;
	}
	pthread_mutex_unlock(&c->mu);
	return e;
}

void cache_put(struct cache *c, struct entry *e)
{
	pthread_mutex_lock(&c->mu);
	put(e);
	pthread_mutex_unlock(&c->mu);
}

struct entry *cache_add(struct cache *c, struct entry *e)
{
	pthread_mutex_lock(&c->mu);
	struct entry *faster = map_get(&c->entries, e->key);
	if (faster) {
		faster->refs++;
		put(e);
		e = faster;
	} else if (e->bytes <= c->bytes_max && map_put(&c->entries, e->key, e)) {
		e->refs++;
		link_newest(c, e);
		c->bytes += e->bytes;
		while (c->bytes > c->bytes_max)
			forget(c, c->ends.newer);
	}
	pthread_mutex_unlock(&c->mu);
	return e;
}

void cache_stats(struct cache *c, struct masker_stats *out)
{
	pthread_mutex_lock(&c->mu);
	out->hits = c->hits;
	out->misses = c->misses;
	out->cache_bytes = c->bytes;
	out->cache_entries = c->entries.n;
	pthread_mutex_unlock(&c->mu);
}
