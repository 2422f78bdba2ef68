/* Searching by several examples: one pass over all items for each, folded into what is known of an
 * item. Of a collection whose vectors are not in memory the items are read a part at a time, and
 * each example passes over a part. */
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
	struct hit *best;      /* of the parts before */
	size_t n_best;
	struct errtext *et;
	/* of a part: the items' vectors, NULL: it has none; memory of part->a */
	const struct part *part;
};

enum { PART_ITEMS = 2000 };

struct part {
	struct passes *p;
	struct tx *tx;
	struct arena *a;
	const struct item_vector *vectors[PART_ITEMS];
	int64_t last;
	size_t read;
};

static void passes_free(struct passes *p)
{
	free(p->best);
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

static enum err room(struct passes *p, size_t n)
{
	size_t bytes = (n + 1) * sizeof(float);
	p->scores = malloc(bytes);
	p->other = malloc(bytes);
	p->good = malloc(bytes);
	p->bad = malloc(bytes);
	return p->scores && p->other && p->good && p->bad ? OK : no_memory(p->et);
}

static void begin(struct passes *p)
{
	float none = p->q->by == EXAMPLES_BEST ? -INFINITY : 0;
	for (size_t i = 0; i < p->n; i++)
		p->good[i] = p->bad[i] = none;
}

/* ---- a part that was read ---- */

static enum err take_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct part *x = ctx;
	struct passes *p = x->p;
	const struct layout *l = layout_of(p->k);
	struct item_vector *v = NULL;
	size_t n = 0;
	yyjson_doc *doc = NULL;
	bool yes = true;
	x->last = r->num;
	x->read++;
	enum err e = p->q->base.filter ? json_parse(r->payload, &doc, et) : OK;
	if (!e && p->q->base.filter)
		yes = cond_matches(p->q->base.filter, (uint64_t)r->num, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	if (e || !yes || left_out(p->q, r->id))
		return e;
	e = item_decode(r->vectors, l->spaces, l->n, x->a, &v, &n, et);
	x->vectors[p->n] = NULL;
	for (size_t i = 0; i < n && !e; i++)
		if (v[i].place == p->s->place)
			x->vectors[p->n] = &v[i];
	if (!e)
		p->nums[p->n++] = (uint64_t)r->num;
	return e;
}

/* An example, as it is compared with one item after the other. */
struct example {
	const struct space *s;
	const struct item_vector *v;
	float *rows;     /* with length 1 where the space wants that */
	double *weights; /* of a sparse one */
};

static float row_score(const struct space *s, const float *unit, const float *v)
{
	float other[COLLECTION_DIM_MAX];
	if (s->distance == DISTANCE_L2 || s->distance == DISTANCE_L1) {
		void (*far)(const float *, const float *, size_t, size_t, size_t, float *) =
			s->distance == DISTANCE_L2 ? kern->l2s : kern->l1s;
		far(unit, v, s->dim, 1, s->dim, other);
		return -other[0];
	}
	if (s->distance != DISTANCE_COSINE)
		return kern->dot(unit, v, s->dim);
	kern->normalize(other, v, s->dim);
	return kern->dot(unit, other, s->dim);
}

static float sparse_score(const struct example *x, const struct item_vector *v)
{
	double sum = 0;
	for (size_t i = 0, j = 0; i < x->v->dim && j < v->dim;) {
		if (x->v->at[i] == v->at[j])
			sum += x->weights[i++] * (double)v->v[j++];
		else if (x->v->at[i] < v->at[j])
			i++;
		else
			j++;
	}
	return (float)sum;
}

static float example_score(const struct example *x, const struct item_vector *v)
{
	double sum = 0;
	if (x->s->kind == SPACE_SPARSE)
		return sparse_score(x, v);
	if (x->s->kind == SPACE_DENSE)
		return row_score(x->s, x->rows, v->v);
	for (size_t i = 0; i < x->v->rows; i++) {
		float most = -INFINITY;
		for (size_t j = 0; j < v->rows; j++)
			most = MAX(most,
				row_score(x->s, x->rows + i * x->s->dim, v->v + j * x->s->dim));
		sum += (double)most;
	}
	return v->rows ? (float)sum : NAN;
}

static enum err example_make(struct passes *p, const struct item_vector *v, struct example *out)
{
	size_t rows = p->s->kind == SPACE_MULTI ? v->rows : 1, dim = p->s->dim;
	*out = (struct example){p->s, v, NULL, NULL};
	if (p->s->kind == SPACE_SPARSE) {
		out->weights = arena_array_of(p->part->a, v->dim + 1, double);
		return out->weights ? p->k->backend->weights(p->k, p->part->tx, p->s, v, p->part->a,
					      out->weights, p->et)
				    : no_memory(p->et);
	}
	out->rows = arena_array_of(p->part->a, rows * dim + 1, float);
	for (size_t i = 0; out->rows && i < rows; i++)
		if (p->s->distance == DISTANCE_COSINE)
			kern->normalize(out->rows + i * dim, v->v + i * dim, p->s->dim);
		else
			memcpy(out->rows + i * dim, v->v + i * dim, dim * sizeof *v->v);
	return out->rows ? OK : no_memory(p->et);
}

static enum err score_part(struct passes *p, const struct item_vector *v, float *out)
{
	struct example x;
	if (cancelled(p->q->base.cancel))
		return err_set(p->et, ERR_CANCELLED, "a search was cancelled");
	enum err e = example_make(p, v, &x);
	for (size_t i = 0; i < p->n && !e; i++)
		out[i] = p->part->vectors[i] ? example_score(&x, p->part->vectors[i]) : NAN;
	return e;
}

/* ---- passes ---- */

static enum err score(struct passes *p, const struct item_vector *v, float *out)
{
	enum { AT_ONCE = 1 << 16 };
	enum err e = OK;
	if (p->part)
		return score_part(p, v, out);
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

static enum err fold_weighted(struct passes *p)
{
	enum err e = OK;
	for (size_t i = 0; i < p->q->n_positive && !e; i++) {
		e = score(p, &p->q->positive[i], p->scores);
		for (size_t j = 0; j < p->n && !e; j++)
			p->good[j] += p->q->weights[i] * p->scores[j];
	}
	return e;
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

/* Those of the items at hand and those before: at most k stay. */
static enum err take_best(struct passes *p)
{
	struct hit *all = realloc(p->best, (p->n_best + p->n + 1) * sizeof *all);
	if (!all)
		return no_memory(p->et);
	p->best = all;
	for (size_t i = 0; i < p->n; i++) {
		struct hit h = {p->nums[i], final_score(p, i)};
		if (!isnan(h.score) && (isnan(p->q->base.worst) || h.score >= p->q->base.worst))
			all[p->n_best++] = h;
	}
	if (p->n_best)
		qsort(all, p->n_best, sizeof *all, best_first);
	p->n_best = MIN(p->n_best, p->q->base.k);
	return OK;
}

static enum err to_hits(struct passes *p, struct arena *a, struct item_hit **out, size_t *n)
{
	struct item_hit *hits = arena_array_of(a, p->n_best + 1, struct item_hit);
	if (!hits)
		return no_memory(p->et);
	for (size_t i = 0; i < p->n_best; i++)
		hits[i] = (struct item_hit){.key = p->best[i].key, .score = p->best[i].score};
	*out = hits;
	*n = p->n_best;
	return OK;
}

/* Of the items at hand. */
static enum err fold_items(struct passes *p)
{
	const struct example_query *q = p->q;
	begin(p);
	if (q->by == EXAMPLES_DISCOVER || q->by == EXAMPLES_CONTEXT) {
		enum err e = fold_pairs(p);
		return e ? e : take_best(p);
	}
	if (q->by == EXAMPLES_WEIGHTED) {
		enum err e = fold_weighted(p);
		return e ? e : take_best(p);
	}
	enum err e = fold_all(p, q->positive, q->n_positive, p->good);
	e = e ? e : fold_all(p, q->negative, q->n_negative, p->bad);
	return e ? e : take_best(p);
}

static enum err fold_part(struct passes *p, struct part *x)
{
	struct item_want want = {p->q->base.filter != NULL, true};
	x->a = arena_new(0);
	x->read = p->n = 0;
	enum err e = x->a ? store_items_part(x->tx, p->k->number, x->last, PART_ITEMS, want,
				    take_item, x, p->et)
			  : no_memory(p->et);
	e = e ? e : fold_items(p);
	arena_free(x->a);
	return e;
}

static enum err fold_parts(struct passes *p)
{
	struct part *x = calloc(1, sizeof *x);
	p->nums = malloc(PART_ITEMS * sizeof *p->nums);
	enum err e = x && p->nums ? room(p, PART_ITEMS) : no_memory(p->et);
	e = e ? e : db_begin(croft_db(p->k->c), TX_READ, &x->tx, p->et);
	if (!e) {
		x->p = p;
		p->part = x;
		do
			e = fold_part(p, x);
		while (!e && x->read == PART_ITEMS);
		db_rollback(x->tx);
	}
	free(x);
	return e;
}

enum err collection_query_examples(struct collection *k, const struct example_query *q,
	struct arena *a, struct item_hit **out, size_t *n, struct errtext *et)
{
	struct passes p = {.k = k, .q = q, .s = collection_space(k, q->base.space), .et = et};
	enum err e = p.s ? OK
			 : err_set(et, ERR_INVALID, "there are no vectors named \"%.*s\"",
				   STR_FMT(str_sub(q->base.space, 0, 100)));
	e = e ? e : asof_need(k, ASOF_KINDS, et);
	if (!e && k->backend->query) {
		e = fold_parts(&p);
	} else {
		e = e ? e : list_nums(&p);
		e = e ? e : room(&p, p.n);
		e = e ? e : fold_items(&p);
	}
	e = e ? e : to_hits(&p, a, out, n);
	passes_free(&p);
	return e ? e : collection_fill(k, *out, n, q->base.want, a, et);
}
