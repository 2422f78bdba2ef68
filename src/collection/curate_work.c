/* What curation finds, kind by kind: the methods of vector/curate.h on the rows of a collection. */
#include "collection/curate_int.h"
#include "vector/curate.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the curation of a collection");
}

void curate_found_free(struct curate_found *f)
{
	free(f->cases);
	buf_free(&f->summary);
}

static struct layout_rows rows_of(const struct curate_rows *x)
{
	return (struct layout_rows){x->v, x->n, x->space->dim};
}

static bool euclid(const struct curate_rows *x)
{
	return x->space->distance == DISTANCE_L2;
}

/* Of rows of length 1 the cosine of what is d apart. */
static float shown(const struct curate_rows *x, float d)
{
	return euclid(x) ? d : 1 - d * d / 2;
}

static struct curate_case case_of(const struct curate_rows *x, size_t i)
{
	return (struct curate_case){
		.num = x->num[i], .group = CURATE_NONE, .given = x->label[i], .offered = -1};
}

/* ---- near-duplicates ---- */

static int by_group(const void *a, const void *b)
{
	const struct curate_case *x = a, *y = b;
	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	int64_t k = x->kept ? x->num : x->other, m = y->kept ? y->num : y->other;
	if (k != m) /* each that stays, then those that it stands for */
		return k < m ? -1 : 1;
	if (x->kept != y->kept)
		return x->kept ? -1 : 1;
	return x->num < y->num ? -1 : 1;
}

static enum err list_twins(struct curate_rows *x, const uint32_t *group, const uint32_t *keeper,
	const float *distance, const struct curate_twins *t, struct curate_found *out,
	struct errtext *et)
{
	size_t gone = 0;
	out->cases = calloc(t->n_rows + 1, sizeof *out->cases);
	if (!out->cases)
		return no_memory(et);
	for (size_t i = 0; i < x->n; i++) {
		if (group[i] == CURATE_NONE)
			continue;
		struct curate_case *c = &out->cases[out->n++];
		*c = case_of(x, i);
		c->group = group[i];
		c->kept = keeper[i] == i;
		c->other = c->kept ? 0 : x->num[keeper[i]];
		c->score = shown(x, distance[i]);
		gone += !c->kept;
	}
	qsort(out->cases, out->n, sizeof *out->cases, by_group);
	buf_addf(&out->summary,
		"\"groups\":%zu,\"grouped\":%zu,\"duplicates\":%zu,\"remaining\":%zu,\"exact\":%s",
		t->n_groups, t->n_rows, gone, x->n - gone, t->exact ? "true" : "false");
	return OK;
}

static enum err duplicates(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	const struct layout_rows rows = rows_of(x);
	double t = x->o->threshold;
	float within = (float)(euclid(x) ? t : sqrt(MAX(2 - 2 * t, 0)) + 1e-6);
	struct curate_twins found;
	uint32_t *group = malloc(x->n * sizeof *group), *keeper = malloc(x->n * sizeof *keeper);
	float *distance = malloc(x->n * sizeof *distance);
	enum err e = group && keeper && distance ? OK : no_memory(et);
	if (!e && (t < 0 || (!euclid(x) && t > 1)))
		e = err_set(et, ERR_INVALID,
			"threshold is a cosine from 0 to 1, or a distance of 0 or more");
	e = e ? e : curate_twins(&rows, within, LAYOUT_AUTO, w, group, &found, et);
	e = e ? e
	      : curate_keepers(&rows, group, found.n_groups, within, x->worth ? x->worthy : NULL, w,
			keeper, distance, et);
	e = e ? e : list_twins(x, group, keeper, distance, &found, out, et);
	free(group);
	free(keeper);
	free(distance);
	return e;
}

/* ---- all kinds ---- */

enum err curate_work(enum curate_kind kind, struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	switch (kind) {
	case CURATE_DUPLICATES:
		return duplicates(x, w, out, et);
	default:
		return err_set(et, ERR_UNSUPPORTED, "%s", curate_word(kind));
	}
}
