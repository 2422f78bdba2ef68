/* Vector and keyword indexes, in memory, over items with a 64-bit key. They know nothing of
 * documents or stores: whoever owns the items rebuilds an index from them or loads a snapshot.
 *
 * Any thread may call anything. Writers take turns; a search works on the state that was current
 * when it began, without waiting for a writer, and a published change is seen by every search that
 * begins later. A failed change (ERR_NOMEM, ERR_INVALID) leaves the index as it was.
 * `keep` filters inside the search (NULL: all), so that k hits are found whenever they exist.
 *
 * Vectors are in index.h, keyword search in bm25.h, fields in fields.h.
 *
 * Results do not depend on the order in which items came, nor on how they are laid out inside. */
#ifndef VECTOR_VECTOR_H
#define VECTOR_VECTOR_H
#include "base/str.h"
#include "base/thread.h"

struct hit {
	uint64_t key;
	float score; /* higher is better; ties by the lower key */
};

typedef bool (*vector_keep_fn)(void *ctx, uint64_t key);

#endif
