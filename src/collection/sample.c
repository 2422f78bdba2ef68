/* Items by chance, and how near they are to each other. */
#include "collection/sample.h"
#include "base/id.h"
#include "collection/collection_int.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a sample");
}

/* ---- all that match ---- */

static enum err nums_in_memory(struct collection *k, const struct cond *filter, uint64_t **out,
	size_t *n, struct errtext *et)
{
	struct bitmap among = {0};
	enum err e = filter ? filter_select(k, filter, &among, et) : OK;
	pthread_rwlock_rdlock(&k->lock);
	uint64_t *nums = e ? NULL : malloc((k->n_nums + 1) * sizeof *nums);
	size_t kept = 0;
	for (size_t num = 0; nums && num < k->n_nums; num++)
		if (k->id_at[num] && (!filter || bitmap_has(&among, num)))
			nums[kept++] = num;
	pthread_rwlock_unlock(&k->lock);
	bitmap_free(&among);
	*out = nums;
	*n = kept;
	return e || nums ? e : no_memory(et);
}

/* Where the backend has them. */
static enum err nums_elsewhere(struct collection *k, const struct cond *filter, uint64_t **out,
	size_t *n, struct errtext *et)
{
	static const struct cond all = {.kind = COND_ALL};
	struct matched *list;
	struct arena *a = arena_new(0);
	enum err e = a ? k->backend->list(
				 k, filter ? filter : &all, S(""), SIZE_MAX / 2, a, &list, n, et)
		       : no_memory(et);
	uint64_t *nums = e ? NULL : malloc((*n + 1) * sizeof *nums);
	for (size_t i = 0; nums && i < *n; i++)
		nums[i] = list[i].num;
	arena_free(a);
	*out = nums;
	return e || nums ? e : no_memory(et);
}

static enum err nums_of(struct collection *k, const struct cond *filter, uint64_t **out, size_t *n,
	struct errtext *et)
{
	return k->backend->list ? nums_elsewhere(k, filter, out, n, et)
				: nums_in_memory(k, filter, out, n, et);
}

/* ---- by chance ---- */

/* One of n, each as likely as another. */
static size_t draw(size_t n)
{
	uint64_t v, most = UINT64_MAX - UINT64_MAX % n;
	do
		random_bytes(&v, sizeof v);
	while (v >= most);
	return (size_t)(v % n);
}

/* Fisher and Yates, as far as it is needed. */
static void shuffle_one(uint64_t *nums, size_t n, size_t at)
{
	size_t other = at + draw(n - at);
	uint64_t t = nums[at];
	nums[at] = nums[other];
	nums[other] = t;
}

enum err collection_sample(struct collection *k, const struct cond *filter, size_t max,
	const struct cancel *cancel, struct arena *a, struct item_hit **out, size_t *n,
	struct errtext *et)
{
	uint64_t *nums = NULL;
	size_t all = 0, kept = 0;
	struct item_hit *hits = arena_array_of(a, max + 1, struct item_hit);
	enum err e = hits ? nums_of(k, filter, &nums, &all, et) : no_memory(et);
	if (e)
		return e;
	for (size_t at = 0; at < all && kept < max && !e;) {
		size_t from = kept, part;
		for (; at < all && kept < max; at++, kept++) {
			shuffle_one(nums, all, at);
			hits[kept] = (struct item_hit){.key = nums[at], .score = 1};
		}
		part = kept - from;
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "a search was cancelled")
				      : collection_fill(k, hits + from, &part,
						(struct item_want){false}, a, et);
		kept = from + part; /* those that have gone meanwhile are made up for */
	}
	free(nums);
	*out = hits;
	*n = kept;
	return e;
}

/* ---- near to each other ---- */

static const struct item_vector *vector_in(const struct item_hit *h, struct str space)
{
	for (size_t i = 0; i < h->item.n_vectors; i++)
		if (str_eq(h->item.vectors[i].space, space))
			return &h->item.vectors[i];
	return NULL;
}

static int by_id(const void *a, const void *b)
{
	const struct item_hit *x = a, *y = b;
	return str_cmp(item_id_bytes(&x->item.id), item_id_bytes(&y->item.id));
}

/* Items that have a vector in the space. */
static enum err draw_with_vector(struct collection *k, struct str space, const struct cond *filter,
	size_t sample, const struct cancel *cancel, struct arena *a, struct sample_matrix *m,
	struct errtext *et)
{
	enum { AT_ONCE = 64 };
	uint64_t *nums = NULL;
	size_t all = 0;
	enum err e = nums_of(k, filter, &nums, &all, et);
	m->items = e ? NULL : arena_array_of(a, sample + AT_ONCE + 1, struct item_hit);
	if (!e && !m->items)
		e = no_memory(et);
	for (size_t at = 0; !e && at < all && m->n < sample;) {
		struct item_hit *part = m->items + m->n;
		size_t n = 0;
		for (; at < all && n < AT_ONCE; at++, n++) {
			shuffle_one(nums, all, at);
			part[n] = (struct item_hit){.key = nums[at]};
		}
		e = cancelled(cancel) ? err_set(et, ERR_CANCELLED, "a search was cancelled")
				      : collection_fill(k, part, &n,
						(struct item_want){.vectors = true}, a, et);
		for (size_t i = 0; i < n && m->n < sample && !e; i++)
			if (vector_in(&part[i], space))
				m->items[m->n++] = part[i];
	}
	free(nums);
	return e;
}

static enum err nearest_of(struct collection *k, struct str space, size_t near,
	const uint64_t *keys, size_t i, const struct cancel *cancel, struct arena *a,
	struct sample_matrix *m, struct errtext *et)
{
	const struct item_vector *v = vector_in(&m->items[i], space);
	struct item_query q = {.space = space,
		.vector = v->v,
		.dim = v->dim,
		.at = v->at,
		.rows = v->rows,
		.k = near,
		.exact = true,
		.worst = NAN,
		.among = keys,
		.n_among = m->n,
		.without = &m->items[i].item.id,
		.n_without = 1,
		.cancel = cancel,
		.text = S("")};
	return collection_query(k, &q, a, &m->near[i], &m->n_near[i], NULL, et);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

enum err collection_sample_matrix(struct collection *k, struct str space, const struct cond *filter,
	size_t sample, size_t near, const struct cancel *cancel, struct arena *a,
	struct sample_matrix *out, struct errtext *et)
{
	struct sample_matrix m = {0};
	if (!collection_space(k, space))
		return err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(space, 0, 100)));
	enum err e = draw_with_vector(k, space, filter, sample, cancel, a, &m, et);
	if (e)
		return e;
	m.n = m.n < 2 ? 0 : m.n;
	uint64_t *keys = arena_array_of(a, m.n + 1, uint64_t);
	m.near = arena_array_of(a, m.n + 1, struct item_hit *);
	m.n_near = arena_array_of(a, m.n + 1, size_t);
	if (!keys || !m.near || !m.n_near)
		return no_memory(et);
	qsort(m.items, m.n, sizeof *m.items, by_id);
	for (size_t i = 0; i < m.n; i++)
		keys[i] = m.items[i].key;
	qsort(keys, m.n, sizeof *keys, by_number);
	for (size_t i = 0; i < m.n && !e; i++)
		e = nearest_of(k, space, near, keys, i, cancel, a, &m, et);
	if (!e)
		*out = m;
	return e;
}
