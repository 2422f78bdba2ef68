/* Arena: many small allocations with one lifetime, freed together.
 *
 * An arena has a cap; at the cap, or when memory is out, arena_alloc returns NULL and the arena
 * stays usable. Cleanup hooks (files, locks, foreign handles) run in reverse order at the free.
 * One thread at a time. Zeroed memory, aligned to 16.
 *
 *	struct arena *a = arena_new(16 << 20);
 *	struct thing *t = arena_new_of(a, struct thing);
 *	if (!t) ...ERR_NOMEM
 *	arena_free(a);
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include "base/str.h"

struct arena;

struct arena *arena_new(size_t cap_bytes); /* NULL when out of memory; 0: no cap */
void arena_free(struct arena *a);          /* accepts NULL */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));
void *arena_array(struct arena *a, size_t count, size_t size); /* checks the product */
struct str arena_str(
	struct arena *a, struct str s); /* a copy, NUL-terminated; .p NULL on failure */
char *arena_c(struct arena *a, struct str s);
struct str arena_fmt(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool arena_on_free(struct arena *a, void (*fn)(void *), void *arg);
size_t arena_used(const struct arena *a);

#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array_of(a, count, type) ((type *)arena_array((a), (count), sizeof(type)))

#endif
