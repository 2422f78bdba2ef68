/* Room for one more in a list that grows: a pointer that begins as NULL, a count and a capacity
 *that begin as 0, in variables or members of one's own. false: no memory, and nothing has changed.
 *
 *	if (!arena_room(a, list, n, cap))
 *		return err_set(et, ERR_NOMEM, "no memory for a list");
 *	list[n++] = x; */
#ifndef BASE_ROOM_H
#define BASE_ROOM_H
#include "base/arena.h"

/* In an arena, or with realloc: then it is freed with free. `cap` is a size_t. */
#define arena_room(a, list, n, cap) \
	((n) < (cap) || room_in_arena((a), &(list), (n), &(cap), sizeof *(list)))
#define heap_room(list, n, cap) ((n) < (cap) || room_in_heap(&(list), &(cap), sizeof *(list)))

bool room_in_arena(struct arena *a, void *list, size_t n, size_t *cap, size_t size);
bool room_in_heap(void *list, size_t *cap, size_t size);

#endif
