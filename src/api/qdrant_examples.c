/* Qdrant: what examples say together. */
#include "api/api_int.h"
#include "api/qdrant.h"
#include "kernels/kernels.h"

static enum err no_memory(struct qd *q)
{
	return err_set(&q->et, ERR_NOMEM, "no memory for examples");
}

/* ---- the mean of plain vectors ---- */

/* Adds the mean times `factor`; in a cosine space each counts by its direction. */
static enum err add_mean(struct qd *q, const struct space *s, const struct item_vector *v, size_t n,
	float factor, float *sum)
{
	float *unit = arena_array_of(q->rq->arena, s->dim, float);
	if (!unit)
		return no_memory(q);
	for (size_t i = 0; i < n; i++) {
		if (s->distance == DISTANCE_COSINE)
			kern->normalize(unit, v[i].v, s->dim);
		else
			memcpy(unit, v[i].v, s->dim * sizeof *unit);
		kern->axpy(sum, factor / (float)n, unit, s->dim);
	}
	return OK;
}

static enum err mean_dense(struct qd *q, const struct qd_examples *ex, struct item_vector *out)
{
	float *sum = arena_array_of(q->rq->arena, ex->space->dim, float);
	if (!sum)
		return no_memory(q);
	memset(sum, 0, ex->space->dim * sizeof *sum);
	enum err e =
		add_mean(q, ex->space, ex->positive, ex->n_positive, ex->n_negative ? 2 : 1, sum);
	e = e || !ex->n_negative ? e
				 : add_mean(q, ex->space, ex->negative, ex->n_negative, -1, sum);
	*out = (struct item_vector){.space = ex->space->name, .v = sum, .dim = ex->space->dim};
	return e;
}

/* ---- of sparse vectors ---- */

/* The sum of two; both ascend. */
static enum err add_sparse(struct qd *q, const struct item_vector *a, const struct item_vector *b,
	float factor, struct item_vector *out)
{
	uint32_t *at = arena_array_of(q->rq->arena, a->dim + b->dim + 1, uint32_t);
	float *v = arena_array_of(q->rq->arena, a->dim + b->dim + 1, float);
	size_t n = 0;
	if (!at || !v)
		return no_memory(q);
	for (size_t i = 0, j = 0; i < a->dim || j < b->dim; n++) {
		bool first = j == b->dim || (i < a->dim && a->at[i] <= b->at[j]);
		bool second = i == a->dim || (j < b->dim && b->at[j] <= a->at[i]);
		at[n] = first ? a->at[i] : b->at[j];
		v[n] = (first ? a->v[i] : 0) + (second ? factor * b->v[j] : 0);
		i += first;
		j += second;
	}
	*out = (struct item_vector){.space = a->space, .v = v, .dim = n, .at = at};
	return OK;
}

static enum err mean_sparse(struct qd *q, const struct qd_examples *ex, struct item_vector *out)
{
	static const uint32_t none[1];
	struct item_vector sum = {.space = ex->space->name, .at = none};
	enum err e = OK;
	for (size_t i = 0; i < ex->n_positive && !e; i++)
		e = add_sparse(q, &sum, &ex->positive[i],
			(ex->n_negative ? 2.0f : 1.0f) / (float)ex->n_positive, &sum);
	for (size_t i = 0; i < ex->n_negative && !e; i++)
		e = add_sparse(q, &sum, &ex->negative[i], -1.0f / (float)ex->n_negative, &sum);
	*out = sum;
	return e;
}

/* ---- of lists of vectors: all of them, those of negative ones turned round ---- */

static enum err mean_rows(struct qd *q, const struct qd_examples *ex, struct item_vector *out)
{
	size_t dim = ex->space->dim, rows = 0, at = 0;
	for (size_t i = 0; i < ex->n_positive; i++)
		rows += ex->positive[i].rows;
	for (size_t i = 0; i < ex->n_negative; i++)
		rows += ex->negative[i].rows;
	float *all = rows <= COLLECTION_ROWS_MAX ? arena_array_of(q->rq->arena, rows * dim, float)
						 : NULL;
	if (!all)
		return rows <= COLLECTION_ROWS_MAX
			       ? no_memory(q)
			       : err_set(&q->et, ERR_TOO_LARGE,
					 "the examples have %zu vectors; at most %d are possible",
					 rows, COLLECTION_ROWS_MAX);
	for (size_t i = 0; i < ex->n_positive; i++)
		for (size_t k = 0; k < ex->positive[i].rows * dim; k++)
			all[at++] = ex->positive[i].v[k];
	for (size_t i = 0; i < ex->n_negative; i++)
		for (size_t k = 0; k < ex->negative[i].rows * dim; k++)
			all[at++] = -ex->negative[i].v[k];
	*out = (struct item_vector){.space = ex->space->name, .v = all, .dim = dim, .rows = rows};
	return OK;
}

static enum err check(struct qd *q, const struct collection *k, const struct space *s,
	const struct item_vector *v, size_t n)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		e = collection_vector_fits(k, s, &v[i], &q->et);
	return e ? err_wrap(&q->et, e, "an example") : OK;
}

enum err qd_examples_check(struct qd *q, const struct collection *k, const struct qd_examples *ex)
{
	enum err e = check(q, k, ex->space, ex->positive, ex->n_positive);
	return e ? e : check(q, k, ex->space, ex->negative, ex->n_negative);
}

enum err qd_examples_mean(struct qd *q, const struct collection *k, const struct qd_examples *ex,
	struct item_vector *out)
{
	if (!ex->n_positive)
		return err_set(&q->et, ERR_INVALID, "recommend needs positive examples");
	enum err e = qd_examples_check(q, k, ex);
	if (e)
		return e;
	return ex->space->kind == SPACE_SPARSE  ? mean_sparse(q, ex, out)
	       : ex->space->kind == SPACE_MULTI ? mean_rows(q, ex, out)
						: mean_dense(q, ex, out);
}
