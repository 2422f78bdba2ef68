/* The sparse index: items come in, and wait to become a segment (segments.h). */
#include "vector/sparse_int.h"
#include "base/room.h"

#include <math.h>
#include <stdlib.h>

struct sparse {
	struct segments base;
	struct sdoc *docs; /* that wait */
	size_t n_docs, cap_docs;
};

struct segments *sparse_segments(struct sparse *x)
{
	return &x->base;
}

/* ---- the index ---- */

enum err sparse_new(struct sparse **out, struct errtext *et)
{
	struct sparse *x = calloc(1, sizeof *x);
	if (!x || !segments_init(&x->base, &sparse_kind)) {
		free(x);
		return err_set(et, ERR_NOMEM, "no memory for an index of sparse vectors");
	}
	*out = x;
	return OK;
}

void sparse_free(struct sparse *x)
{
	if (!x)
		return;
	segments_clear(&x->base);
	free(x);
}

static struct sparse *of(struct segments *x)
{
	return (struct sparse *)(void *)x;
}

void sparse_drop(struct segments *base, uint64_t place)
{
	struct sdoc *d = &of(base)->docs[place];
	free(d->at);
	d->at = NULL;
}

void sparse_forget(struct segments *base)
{
	struct sparse *x = of(base);
	for (size_t i = 0; i < x->n_docs; i++)
		free(x->docs[i].at);
	free(x->docs);
	x->docs = NULL;
	x->n_docs = x->cap_docs = 0;
}

/* What waits, as a segment. */
struct sseg *sparse_waiting(struct segments *base)
{
	const struct sparse *x = of(base);
	struct sdoc *docs = malloc((x->n_docs + 1) * sizeof *docs);
	size_t n = 0;
	for (size_t i = 0; docs && i < x->n_docs; i++)
		if (x->docs[i].at)
			docs[n++] = x->docs[i];
	struct sseg *s = docs ? sseg_make(docs, n) : NULL;
	free(docs);
	return s;
}

static enum err check(const struct sparse_vector *v, struct errtext *et)
{
	if (v->n > SPARSE_MAX)
		return err_set(et, ERR_TOO_LARGE, "a sparse vector of %zu numbers; the limit is %d",
			v->n, SPARSE_MAX);
	for (size_t i = 0; i < v->n; i++)
		if (!isfinite(v->v[i]) || (i && v->at[i] <= v->at[i - 1]))
			return err_set(et, ERR_INVALID,
				"number %zu of a sparse vector is not finite, or its indices do "
				"not "
				"ascend",
				i);
	return OK;
}

enum err sparse_put(
	struct sparse *x, uint64_t key, const struct sparse_vector *v, struct errtext *et)
{
	enum err e = check(v, et);
	if (e)
		return e;
	uint32_t *copy = malloc(v->n * 2 * sizeof *copy + 1);
	if (copy && v->n) {
		memcpy(copy, v->at, v->n * sizeof *copy);
		memcpy(copy + v->n, v->v, v->n * sizeof *v->v);
	}
	pthread_mutex_lock(&x->base.write);
	bool ok = copy && segments_room(&x->base) && heap_room(x->docs, x->n_docs, x->cap_docs);
	if (ok) {
		segments_wait(&x->base, key, x->n_docs);
		x->docs[x->n_docs++] = (struct sdoc){key, copy, (uint32_t)v->n};
	}
	pthread_mutex_unlock(&x->base.write);
	if (ok)
		return OK;
	free(copy);
	return err_set(et, ERR_NOMEM, "no memory for a sparse vector");
}

enum err sparse_delete(struct sparse *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	return segments_delete(&x->base, keys, n, et);
}

enum err sparse_publish(struct sparse *x, struct errtext *et)
{
	return segments_publish(&x->base, et);
}

size_t sparse_count(struct sparse *x)
{
	return segments_count(&x->base);
}

size_t sparse_bytes(struct sparse *x)
{
	return sizeof *x + segments_bytes(&x->base);
}

enum err sparse_save(
	struct sparse *x, const char *path, uint64_t mark, struct str label, struct errtext *et)
{
	return segments_save(&x->base, path, mark, label, et);
}

enum err sparse_open(struct sparse *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et)
{
	return segments_open(&x->base, path, label, max_key, mark, et);
}
