/* What the files of this folder share; not for others. */
#ifndef VECTOR_INT_H
#define VECTOR_INT_H
#include "vector/vector.h"

/* From a key to a number, open addressing. Zeroed is empty. */
struct keymap {
	struct keymap_slot {
		uint64_t key;
		uint64_t value; /* + 1; 0: free */
	} * slots;
	size_t n, cap;
};

bool keymap_reserve(struct keymap *m, size_t more); /* room for so many new keys */
/* Needs room. Returns true and the former value when the key was there. */
bool keymap_put(struct keymap *m, uint64_t key, uint64_t value, uint64_t *former);
bool keymap_get(const struct keymap *m, uint64_t key, uint64_t *value);
bool keymap_del(struct keymap *m, uint64_t key);
void keymap_free(struct keymap *m);

/* The k best hits: a heap with the worst on top, in the caller's array. */
struct topk {
	struct hit *hits;
	size_t n, k;
};

/* Strict and total: no two different hits are equal. */
static inline bool hit_better(struct hit a, struct hit b)
{
	return a.score != b.score ? a.score > b.score : a.key < b.key;
}

static inline bool topk_wants(const struct topk *t, struct hit h)
{
	return t->n < t->k || hit_better(h, t->hits[0]);
}

void topk_add(struct topk *t, struct hit h); /* if it wants it */
void topk_sort(struct topk *t);              /* best first; the end of its life as a heap */

#endif
