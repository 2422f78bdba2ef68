/* Room for one more in a list that grows: twice as much each time. */
#include "base/room.h"

#include <stdlib.h>

enum { FIRST = 16 };

bool room_in_arena(struct arena *a, void *list, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : FIRST;
	void *bigger = arena_array(a, more, size), *old;
	if (!bigger)
		return false;
	memcpy(&old, list, sizeof old);
	if (n)
		memcpy(bigger, old, n * size);
	memcpy(list, &bigger, sizeof bigger);
	*cap = more;
	return true;
}

bool room_in_heap(void *list, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : FIRST;
	void *old;
	memcpy(&old, list, sizeof old);
	void *bigger = more <= SIZE_MAX / size ? realloc(old, more * size) : NULL;
	if (!bigger)
		return false;
	memcpy(list, &bigger, sizeof bigger);
	*cap = more;
	return true;
}
