/* A hash table from byte strings to pointers. Keys are copied. One thread at a time.
 *
 *	struct map m = {0};
 *	map_put(&m, key, value);           // false when out of memory
 *	void *v = map_get(&m, key);        // NULL when absent
 *	for (size_t i = 0; map_next(&m, &i, &key, &v);) ...
 *	map_free(&m);
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include "base/str.h"

struct map_slot {
	char *key;
	size_t key_n;
	uint64_t hash;
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t n, cap; /* cap is a power of two; load is kept under 3/4 */
};

bool map_put(struct map *m, struct str key, void *value); /* value must not be NULL */
void *map_get(const struct map *m, struct str key);
void *map_del(struct map *m, struct str key); /* returns what was there */
bool map_next(const struct map *m, size_t *i, struct str *key, void **value);
void map_free(struct map *m); /* the keys; values are the caller's */

#endif
