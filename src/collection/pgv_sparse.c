/* Sparse vectors in pgvector: postings under their indices (pgv_post.h), the index's four bytes,
 * the highest first, as the key, and the number as what an item has. The count of "" is how many
 * items have a sparse vector. pgvector's own sparsevec has an HNSW index for vectors of at most
 * 1,000 numbers, knows no idf, and finds items that have no index of the query's; postings are
 * exact. */
#include "collection/pgv_post.h"

#include <math.h>

/* Sums are made in another order than bounds. */
static const double SLACK = 1.000001;

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for sparse vectors");
}

void post_sparse_base(struct post_base *b, int64_t number, size_t place)
{
	snprintf(b->name, sizeof b->name, "derived_pgv_%lld_s%zu", (long long)number, place);
}

static void key_bytes(uint32_t index, char out[4])
{
	for (size_t i = 0; i < 4; i++)
		out[i] = (char)(index >> (24 - 8 * i));
}

enum err post_put_sparse(
	struct post_batch *x, uint64_t num, const struct item_vector *v, struct errtext *et)
{
	size_t n = v ? v->dim : 0;
	struct arena *a = arena_new(0);
	struct post_entry *list = a ? arena_array_of(a, n + 1, struct post_entry) : NULL;
	char *keys = a ? arena_alloc(a, 4 * n + 1) : NULL;
	enum err e = list && keys ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		key_bytes(v->at[i], keys + 4 * i);
		list[i] = (struct post_entry){str_mk(keys + 4 * i, 4), 1,
			str_mk(&v->v[i], sizeof v->v[i]), v->v[i], v->v[i]};
	}
	if (!e && v)
		list[n] = (struct post_entry){.key = S(""), .count = 1};
	e = e ? e : post_put(x, num, list, v ? n + 1 : 0, et);
	arena_free(a);
	return e;
}

/* ---- searching ---- */

struct find {
	const double *weights;
	size_t n;
	float worst; /* NaN: none is too bad */
	struct pgv_keep keep;
	struct pgv_best *best;
	double sums[POST_ITEMS];
	float scores[POST_ITEMS];
	uint64_t found[POST_ITEMS / 64];
};

static bool add_postings(struct find *f, struct str posts, double weight)
{
	struct post_reader r = {.rest = posts};
	while (post_next(&r)) {
		float v;
		if (r.post.n != sizeof v)
			return false;
		memcpy(&v, r.post.p, sizeof v);
		f->sums[r.place] += weight * (double)v;
		f->found[r.place / 64] |= UINT64_C(1) << r.place % 64;
	}
	return !r.rest.n;
}

static enum err score_chunk(void *ctx, uint64_t chunk, double most, const struct str *posts,
	bool *enough, struct errtext *et)
{
	struct find *f = ctx;
	double limit = (double)pgv_best_limit(f->best);
	bool ok = true;
	*enough = most + fabs(most) * (SLACK - 1) < limit;
	if (*enough)
		return OK;
	memset(f->sums, 0, sizeof f->sums);
	memset(f->found, 0, sizeof f->found);
	for (size_t i = 0; i < f->n && ok; i++)
		ok = add_postings(f, posts[i], f->weights[i]);
	if (!ok)
		return err_set(et, ERR_CORRUPT,
			"sparse vectors of a collection in pgvector are damaged: croft collections "
			"move it to embedded and back makes them anew");
	for (size_t i = 0; i < POST_ITEMS; i++) {
		f->scores[i] = (float)f->sums[i];
		if (!isnan(f->worst) && f->scores[i] < f->worst)
			f->found[i / 64] &= ~(UINT64_C(1) << i % 64);
	}
	return pgv_best_add(f->best, &f->keep, chunk << POST_BITS, f->found, ARRAY_LEN(f->found),
		f->scores, et);
}

/* keys[n] is "". */
static enum err weigh(struct tx *tx, const struct post_base *b, bool idf, const struct str *keys,
	const float *v, size_t n, struct arena *a, double *weights, struct errtext *et)
{
	uint64_t *counts = arena_array_of(a, n + 1, uint64_t);
	enum err e = counts ? OK : no_memory(et);
	if (!e && idf)
		e = post_counts(tx, b, a, keys, n + 1, counts, et);
	for (size_t i = 0; i < n && !e; i++) {
		weights[i] = (double)v[i];
		if (idf)
			weights[i] *= log(1 + ((double)counts[n] - (double)counts[i] + 0.5) /
						      ((double)counts[i] + 0.5));
	}
	return e;
}

/* And "" after them. */
static struct str *keys_of(const uint32_t *at, size_t n, struct arena *a)
{
	struct str *keys = arena_array_of(a, n + 1, struct str);
	char *bytes = arena_alloc(a, 4 * n + 1);
	if (!keys || !bytes)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		key_bytes(at[i], bytes + 4 * i);
		keys[i] = str_mk(bytes + 4 * i, 4);
	}
	keys[n] = S("");
	return keys;
}

enum err pgv_weights(struct collection *k, struct tx *tx, const struct space *s,
	const struct item_vector *v, struct arena *a, double *out, struct errtext *et)
{
	struct post_base b;
	struct str *keys = keys_of(v->at, v->dim, a);
	post_sparse_base(&b, k->number, s->place);
	return keys ? weigh(tx, &b, s->idf, keys, v->v, v->dim, a, out, et) : no_memory(et);
}

static enum err find(struct find *f, struct tx *tx, const struct post_base *b,
	const struct str *keys, const double *weights, struct arena *a, const struct item_query *q,
	struct errtext *et)
{
	uint64_t *chunks = NULL;
	size_t n_chunks = 0;
	enum err e =
		f->keep.listed ? pgv_keep_chunks(&f->keep, POST_BITS, &chunks, &n_chunks, et) : OK;
	struct post_scan scan = {.keys = keys,
		.weights = weights,
		.n = q->dim,
		.any = true,
		.chunks = chunks,
		.n_chunks = n_chunks,
		.cancel = q->cancel,
		.fn = score_chunk,
		.ctx = f};
	e = e ? e : post_scan(tx, b, a, &scan, et);
	pgv_best_sort(f->best);
	return e;
}

enum err pgv_sparse(struct collection *k, struct tx *tx, const struct space *s,
	const struct item_query *q, const struct pgv_facts *facts, struct arena *a,
	struct pgv_best *best, struct errtext *et)
{
	struct post_base b;
	struct find *f = arena_new_of(a, struct find);
	struct str *keys = keys_of(q->at, q->dim, a);
	double *weights = arena_array_of(a, q->dim + 1, double);
	if (!f || !keys || !weights)
		return no_memory(et);
	post_sparse_base(&b, k->number, s->place);
	*f = (struct find){.weights = weights,
		.n = q->dim,
		.worst = q->worst,
		.keep = {.k = k, .tx = tx, .a = a, .filter = q->filter, .odd = facts->state.odd},
		.best = best};
	enum err e = weigh(tx, &b, s->idf, keys, q->vector, q->dim, a, weights, et);
	e = e ? e : pgv_keep_begin(&f->keep, facts->items, q->among, q->n_among, et);
	e = e ? e : find(f, tx, &b, keys, weights, a, q, et);
	pgv_keep_end(&f->keep);
	return e;
}
