/* Searching by several examples: one pass over all items for each, folded into what is known of an
 * item. */
#include "collection/examples.h"
#include "collection/asof.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a search by examples");
}

struct passes {
	struct collection *k;
	const struct example_query *q;
	const struct space *s;
	uint64_t *nums; /* of all that match */
	size_t n;
	float *scores, *other; /* of the examples at hand */
	float *good, *bad;     /* what is known of an item */
	struct errtext *et;
};

static void passes_free(struct passes *p)
{
	free(p->nums);
	free(p->scores);
	free(p->other);
	free(p->good);
	free(p->bad);
}

/* ---- which items ---- */

static bool left_out(const struct example_query *q, struct str id)
{
	for (size_t i = 0; i < q->base.n_without; i++)
		if (str_eq(item_id_bytes(&q->base.without[i]), id))
			return true;
	return false;
}

static enum err list_nums(struct passes *p)
{
	struct bitmap among = {0};
	enum err e = p->q->base.filter ? filter_select(p->k, p->q->base.filter, &among, p->et) : OK;
	pthread_rwlock_rdlock(&p->k->lock);
	size_t most = p->k->n_nums;
	p->nums = e ? NULL : malloc((most + 1) * sizeof *p->nums);
	for (size_t num = 0; p->nums && num < most; num++) {
		if (!p->k->id_at[num] || (p->q->base.filter && !bitmap_has(&among, num)))
			continue;
		const char *id = p->k->id_bytes.p + p->k->id_at[num] - 1;
		if (!left_out(p->q, str_mk(id + 1, (uint8_t)*id)))
			p->nums[p->n++] = num;
	}
	pthread_rwlock_unlock(&p->k->lock);
	bitmap_free(&among);
	return e || p->nums ? e : no_memory(p->et);
}

static enum err begin(struct passes *p, struct errtext *et)
{
	enum err e = list_nums(p);
	size_t bytes = (p->n + 1) * sizeof(float);
	if (e)
		return e;
	p->scores = malloc(bytes);
	p->other = malloc(bytes);
	p->good = malloc(bytes);
	p->bad = malloc(bytes);
	if (!p->scores || !p->other || !p->good || !p->bad)
		return no_memory(et);
	float none = p->q->by == EXAMPLES_BEST ? -INFINITY : 0;
	for (size_t i = 0; i < p->n; i++)
		p->good[i] = p->bad[i] = none;
	return OK;
}

/* ---- passes ---- */

static enum err score(struct passes *p, const struct item_vector *v, float *out)
{
	enum { AT_ONCE = 1 << 16 };
	enum err e = OK;
	if (p->s->kind)
		return kinds_scores(p->k, p->s, v, p->nums, p->n, out, p->q->base.cancel, p->et);
	struct vindex *x = layout_of(p->k)->index[p->s->place];
	for (size_t i = 0; i < p->n && !e; i += AT_ONCE) {
		if (cancelled(p->q->base.cancel))
			return err_set(p->et, ERR_CANCELLED, "a search was cancelled");
		size_t n = MIN(p->n - i, (size_t)AT_ONCE);
		e = p->k->asof ? asof_scores(p->k, p->s, v->v, p->nums + i, n, out + i, p->et)
			       : vindex_scores(x, v->v, p->nums + i, n, out + i, p->et);
	}
	return e;
}

static float sigmoid(float x)
{
	return isfinite(x) ? x / (1 + fabsf(x)) : x;
}

static float scaled(float x)
{
	return 0.5f * (sigmoid(x) + 1);
}

static void fold(struct passes *p, float *known)
{
	bool best = p->q->by == EXAMPLES_BEST;
	for (size_t i = 0; i < p->n; i++) {
		float x = p->scores[i];
		/* NaN, the item has no vector, stays */
		known[i] = !best ? known[i] + x : isnan(x) || x > known[i] ? x : known[i];
	}
}

static enum err fold_all(struct passes *p, const struct item_vector *v, size_t n, float *known)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++) {
		e = score(p, &v[i], p->scores);
		if (!e)
			fold(p, known);
	}
	return e;
}

/* scores has those of the positive one, other those of the negative one. */
static void fold_pair(struct passes *p)
{
	static const float epsilon = 1.1920929e-7f;
	for (size_t i = 0; i < p->n; i++) {
		float good = p->scores[i], bad = p->other[i];
		if (isnan(good))
			p->good[i] = NAN;
		else if (p->q->by == EXAMPLES_DISCOVER)
			p->good[i] += (float)((good > bad) - (good < bad));
		else
			p->good[i] += sigmoid(MIN(good - bad - epsilon, 0.0f));
	}
}

static enum err fold_pairs(struct passes *p)
{
	enum err e = OK;
	for (size_t i = 0; i < p->q->n_positive && !e; i++) {
		e = score(p, &p->q->positive[i], p->scores);
		e = e ? e : score(p, &p->q->negative[i], p->other);
		if (!e)
			fold_pair(p);
	}
	if (!e && p->q->target)
		e = score(p, p->q->target, p->bad);
	return e;
}

static float final_score(const struct passes *p, size_t i)
{
	float good = p->good[i], bad = p->bad[i];
	switch (p->q->by) {
	case EXAMPLES_BEST:
		return isnan(good) || isnan(bad) ? NAN : good > bad ? scaled(good) : -scaled(bad);
	case EXAMPLES_SUM:
		return good - bad;
	case EXAMPLES_DISCOVER:
		return good + scaled(bad);
	default:
		return good;
	}
}

/* ---- the search ---- */

static int best_first(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->key > y->key) - (x->key < y->key);
}

static enum err take_best(struct passes *p, struct arena *a, struct item_hit **out, size_t *n)
{
	struct hit *all = malloc((p->n + 1) * sizeof *all);
	struct item_hit *hits = arena_array_of(a, MIN(p->n, p->q->base.k) + 1, struct item_hit);
	size_t n_all = 0, kept = 0;
	for (size_t i = 0; all && i < p->n; i++) {
		struct hit h = {p->nums[i], final_score(p, i)};
		if (!isnan(h.score) && (isnan(p->q->base.worst) || h.score >= p->q->base.worst))
			all[n_all++] = h;
	}
	if (all && n_all)
		qsort(all, n_all, sizeof *all, best_first);
	for (; hits && kept < MIN(n_all, p->q->base.k); kept++)
		hits[kept] = (struct item_hit){.key = all[kept].key, .score = all[kept].score};
	enum err e = all && hits ? OK : no_memory(p->et);
	free(all);
	*out = hits;
	*n = kept;
	return e;
}

enum err collection_query_examples(struct collection *k, const struct example_query *q,
	struct arena *a, struct item_hit **out, size_t *n, struct errtext *et)
{
	struct passes p = {.k = k, .q = q, .s = collection_space(k, q->base.space), .et = et};
	bool pairs = q->by == EXAMPLES_DISCOVER || q->by == EXAMPLES_CONTEXT;
	enum err e = backend_in_memory(k, "searching by examples one by one", et);
	e = e ? e : asof_need(k, ASOF_KINDS, et);
	if (!e && !p.s)
		e = err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(q->base.space, 0, 100)));
	e = e ? e : begin(&p, et);
	if (!e && pairs)
		e = fold_pairs(&p);
	e = e || pairs ? e : fold_all(&p, q->positive, q->n_positive, p.good);
	e = e || pairs ? e : fold_all(&p, q->negative, q->n_negative, p.bad);
	e = e ? e : take_best(&p, a, out, n);
	passes_free(&p);
	return e ? e : collection_fill(k, *out, n, q->base.want, a, et);
}
