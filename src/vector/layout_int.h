/* What the files of the layouts share.
 *
 *	pca.c       principal components
 *	nearest.c   the nearest rows of each row
 *	layout.c    the layout in the plane
 *	density.c   clusters in the plane */
#ifndef VECTOR_LAYOUT_INT_H
#define VECTOR_LAYOUT_INT_H
#include "vector/layout.h"
#include "base/str.h"
#include "kernels/kernels.h"

static inline enum err layout_no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a layout");
}

static inline enum err layout_at(
	const struct layout_work *w, const char *what, uint64_t done, uint64_t total)
{
	if (w->at)
		w->at(w->ctx, what, done, total);
	return cancelled(w->cancel) ? ERR_CANCELLED : OK;
}

/* splitmix64 */
static inline uint64_t layout_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* In (-1, 1). */
static inline float layout_uniform(uint64_t *state)
{
	return (float)((int64_t)layout_random(state) >> 40) * 0x1p-23f;
}

#endif
