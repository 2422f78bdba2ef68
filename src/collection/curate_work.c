/* What curation finds, kind by kind: the methods of vector/curate.h on the rows of a collection. */
#include "collection/curate_int.h"
#include "kernels/kernels.h"
#include "vector/curate.h"

#include <math.h>
#include <stdlib.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the curation of a collection");
}

/* Beside the rows, and what was reckoned for each of them when they were read. */
static enum err room_for(const struct curate_rows *x, double more, struct errtext *et)
{
	double each = (double)x->space->dim * sizeof(float) + (double)x->row_bytes;
	if ((double)x->n * each + more <= (double)x->max_bytes)
		return OK;
	return err_set(et, ERR_LIMIT,
		"%zu items of %zu classes need more memory than collection.curate_bytes (%zu) "
		"allows",
		x->n, x->n_names, x->max_bytes);
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

/* Wilson's interval of a share, 95 %. */
static void interval(size_t right, size_t n, double *low, double *high)
{
	double z = 1.959964, m = (double)n, p = (double)right / m;
	double middle = (p + z * z / (2 * m)) / (1 + z * z / m);
	double half = z / (1 + z * z / m) * sqrt(p * (1 - p) / m + z * z / (4 * m * m));
	*low = middle - half;
	*high = middle + half;
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
	if (t->sampled) {
		double low, high;
		interval(t->whole, t->sampled, &low, &high);
		buf_addf(&out->summary,
			",\"recall\":%.4f,\"recall_low\":%.4f,\"recall_high\":%.4f,"
			"\"recall_rows\":%zu",
			(double)t->whole / (double)t->sampled, low, high, t->sampled);
	}
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
	e = e ? e
	      : curate_twins(&rows, within, x->o->exact ? LAYOUT_EXACT : LAYOUT_AUTO, w, group,
			&found, et);
	e = e ? e
	      : curate_keepers(&rows, group, found.n_groups, within, x->worth ? x->worthy : NULL, w,
			keeper, distance, et);
	e = e ? e : list_twins(x, group, keeper, distance, &found, out, et);
	free(group);
	free(keeper);
	free(distance);
	return e;
}

/* ---- outliers ---- */

static int by_score(const void *a, const void *b)
{
	const struct curate_case *x = a, *y = b;
	return x->score > y->score   ? -1
	       : x->score < y->score ? 1
	       : x->num < y->num     ? -1
				     : x->num > y->num;
}

/* Scores of the rows that `of` names, among themselves, as cases. */
static enum err score_rows(struct curate_rows *x, const struct layout_rows *rows,
	const uint32_t *of, const struct layout_work *w, struct curate_found *out,
	struct errtext *et)
{
	struct layout_nearest g;
	size_t k = MIN((size_t)x->o->k, rows->n - 1);
	float *score = malloc(rows->n * sizeof *score);
	if (!score)
		return no_memory(et);
	enum err e = layout_nearest(rows, NULL, 0, k, LAYOUT_AUTO, w, &g, et);
	if (e) {
		free(score);
		return e;
	}
	if (x->o->method == METHOD_LOF)
		e = curate_lof(&g, score, et);
	else
		curate_far(&g, score);
	for (size_t i = 0; i < rows->n && !e; i++) {
		struct curate_case *c = &out->cases[out->n++];
		size_t row = of ? of[i] : i;
		uint32_t next = g.at[i * k];
		*c = case_of(x, row);
		c->score = score[i];
		if (next != LAYOUT_NOBODY) {
			c->other = x->num[of ? of[next] : next];
			c->more = shown(x, g.distance[i * k]);
		}
	}
	layout_nearest_free(&g);
	free(score);
	return e;
}

/* Each class by itself: an item may lie well among the others and far from its own. */
static enum err score_classes(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, size_t *small, struct errtext *et)
{
	size_t dim = x->space->dim;
	uint32_t *of = malloc((x->n + 1) * sizeof *of);
	enum err e = room_for(x, (double)x->n * (double)dim * sizeof(float), et);
	float *v = e ? NULL : malloc((x->n * dim + 1) * sizeof *v);
	e = e || (of && v) ? e : no_memory(et);
	for (size_t c = 0; c < x->n_names && !e; c++) {
		struct layout_rows rows = {v, 0, dim};
		for (size_t i = 0; i < x->n; i++)
			if (x->label[i] == (int32_t)c) {
				memcpy(v + rows.n * dim, x->v + i * dim, dim * sizeof *v);
				of[rows.n++] = (uint32_t)i;
			}
		if (rows.n < 3)
			*small += rows.n;
		else
			e = score_rows(x, &rows, of, w, out, et);
	}
	free(of);
	free(v);
	return e;
}

static enum err outliers(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	const struct layout_rows rows = rows_of(x);
	size_t small = 0, scored, n = 0;
	out->cases = calloc(x->n + 1, sizeof *out->cases);
	enum err e = out->cases ? OK : no_memory(et);
	e = e           ? e
	    : x->labels ? score_classes(x, w, out, &small, et)
			: score_rows(x, &rows, NULL, w, out, et);
	if (e)
		return e;
	scored = out->n;
	qsort(out->cases, out->n, sizeof *out->cases, by_score);
	if (isnan(x->o->threshold))
		n = (size_t)ceil(x->o->share * (double)scored - 1e-9);
	else
		while (n < scored && (double)out->cases[n].score >= x->o->threshold)
			n++;
	buf_addf(&out->summary, "\"scored\":%zu,\"outliers\":%zu,\"median\":%.6g,\"largest\":%.6g",
		scored, n, scored ? (double)out->cases[scored / 2].score : 0.0,
		scored ? (double)out->cases[0].score : 0.0);
	if (x->labels)
		buf_addf(&out->summary, ",\"classes\":%zu,\"in_small_classes\":%zu", x->n_names,
			small);
	out->n = n;
	return OK;
}

/* ---- rows with a label first ---- */

#define SWAP(type, a, b)       \
	do {                   \
		type t_ = (a); \
		(a) = (b);     \
		(b) = t_;      \
	} while (0)

static void swap_rows(struct curate_rows *x, size_t a, size_t b)
{
	float *v = x->v + a * x->space->dim, *u = x->v + b * x->space->dim;
	for (size_t i = 0; i < x->space->dim; i++)
		SWAP(float, v[i], u[i]);
	SWAP(int64_t, x->num[a], x->num[b]);
	SWAP(int32_t, x->label[a], x->label[b]);
	SWAP(double, x->worthy[a], x->worthy[b]);
	SWAP(float, x->doubt[a], x->doubt[b]);
	SWAP(bool, x->checked[a], x->checked[b]);
}

/* Returns how many have one. */
static size_t labelled_first(struct curate_rows *x)
{
	size_t n = 0;
	for (size_t i = 0; i < x->n; i++)
		if (x->label[i] >= 0) {
			if (i != n)
				swap_rows(x, i, n);
			n++;
		}
	return n;
}

static enum err need_labels(const struct curate_rows *x, size_t n, struct errtext *et)
{
	if (n >= 2 && x->n_names >= 2)
		return OK;
	return err_set(et, ERR_CONFLICT,
		"the field %.*s gives %zu items a class, of %zu different ones: at least two of "
		"both are needed",
		STR_FMT(x->o->label), n, x->n_names);
}

/* A figure for each row and class. */
static enum err figures(
	const struct curate_rows *x, size_t n, size_t copies, float **out, struct errtext *et)
{
	double bytes = (double)n * (double)x->n_names * sizeof(float) * (double)copies;
	enum err e = room_for(x, bytes, et);
	if (e)
		return e;
	*out = malloc((n * x->n_names + 1) * sizeof **out);
	return *out ? OK : no_memory(et);
}

/* ---- samples ---- */

/* Rows by how much is doubted of them. */
struct asked {
	float doubt;
	uint32_t row;
};

static int by_doubt(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;
	return x->doubt > y->doubt   ? -1
	       : x->doubt < y->doubt ? 1
	       : x->row < y->row     ? -1
				     : x->row > y->row;
}

static float doubt_of_votes(const float *p, size_t n)
{
	float first = 0, second = 0;
	for (size_t c = 0; c < n; c++) {
		second = MAX(second, MIN(first, p[c]));
		first = MAX(first, p[c]);
	}
	return first > 0 ? 1 - (first - second) : 1;
}

/* What the labelled neighbours of those without a label say. */
static enum err doubt_by_neighbours(
	struct curate_rows *x, size_t n_in, const struct layout_work *w, struct errtext *et)
{
	const struct layout_rows rows = rows_of(x);
	struct layout_nearest g = {0};
	size_t n = x->n - n_in;
	float *p = NULL;
	uint32_t *of = malloc((n + 1) * sizeof *of);
	enum err e = of ? need_labels(x, n_in, et) : no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		of[i] = (uint32_t)(n_in + i);
	e = e ? e : figures(x, n, 1, &p, et);
	if (!e && n) {
		e = layout_nearest_in(
			&rows, of, n, n_in, MIN((size_t)x->o->k, n_in), LAYOUT_AUTO, w, &g, et);
		if (!e)
			curate_votes(&g, x->label, x->n_names, p);
		for (size_t i = 0; i < n && !e; i++)
			x->doubt[n_in + i] = doubt_of_votes(p + i * x->n_names, x->n_names);
		layout_nearest_free(&g);
	}
	for (size_t i = 0; i < n_in; i++)
		x->doubt[i] = NAN;
	free(p);
	free(of);
	return e;
}

/* Of the most doubtful those that are far from each other, in the order in which they are chosen.
 */
static enum err spread_out(struct curate_rows *x, const struct layout_work *w, struct asked *list,
	size_t *n, size_t count, struct errtext *et)
{
	enum { TIMES = 10 };
	size_t m = MIN(*n, count * TIMES), dim = x->space->dim;
	float *v = malloc((m * dim + 1) * sizeof *v), *reach = malloc((m + 1) * sizeof *reach);
	uint32_t *chosen = malloc((m + 1) * sizeof *chosen);
	struct asked *kept = malloc((m + 1) * sizeof *kept);
	struct curate_cover cover = {0};
	enum err e = v && reach && chosen && kept ? OK : no_memory(et);
	for (size_t i = 0; i < m && !e; i++)
		memcpy(v + i * dim, x->v + list[i].row * dim, dim * sizeof *v);
	struct layout_rows rows = {v, m, dim};
	e = e || !m ? e
		    : curate_centres(
			      &rows, NULL, MIN(count, m), x->o->seed, w, chosen, reach, &cover, et);
	for (size_t i = 0; i < cover.n && !e; i++)
		kept[i] = list[chosen[i]];
	if (!e) {
		memcpy(list, kept, cover.n * sizeof *list);
		*n = cover.n;
	}
	free(v);
	free(reach);
	free(chosen);
	free(kept);
	return e;
}

static enum err uncertain(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	size_t n_in = x->labels ? labelled_first(x) : 0, n = 0, candidates;
	struct asked *list = malloc((x->n + 1) * sizeof *list);
	enum err e = list ? OK : no_memory(et);
	double sum = 0;
	if (!e && !x->scores)
		e = doubt_by_neighbours(x, n_in, w, et);
	for (size_t i = 0; i < x->n && !e; i++)
		if (x->label[i] < 0 && !isnan(x->doubt[i])) {
			list[n++] = (struct asked){x->doubt[i], (uint32_t)i};
			sum += (double)x->doubt[i];
		}
	candidates = n;
	if (!e)
		qsort(list, n, sizeof *list, by_doubt);
	if (!e && x->o->diverse)
		e = spread_out(x, w, list, &n, x->o->count, et);
	n = MIN(n, x->o->count);
	out->cases = e ? NULL : calloc(n + 1, sizeof *out->cases);
	e = e || out->cases ? e : no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		out->cases[i] = case_of(x, list[i].row);
		out->cases[i].score = list[i].doubt;
	}
	out->n = e ? 0 : n;
	buf_addf(&out->summary,
		"\"chosen\":%zu,\"candidates\":%zu,\"labelled\":%zu,\"mean_uncertainty\":%.6g", n,
		candidates, n_in, candidates ? sum / (double)candidates : 0.0);
	free(list);
	return e;
}

static enum err sample(struct curate_rows *x, const struct layout_work *w, struct curate_found *out,
	struct errtext *et)
{
	const struct layout_rows rows = rows_of(x);
	struct curate_cover cover = {0};
	size_t n = MIN(x->o->count, x->n), labelled = 0;
	if (x->o->method == METHOD_UNCERTAIN)
		return uncertain(x, w, out, et);
	uint32_t *chosen = malloc(n * sizeof *chosen);
	float *reach = malloc(n * sizeof *reach);
	bool *covered = calloc(x->n, sizeof *covered);
	out->cases = calloc(n + 1, sizeof *out->cases);
	enum err e = chosen && reach && covered && out->cases ? OK : no_memory(et);
	for (size_t i = 0; i < x->n && !e; i++)
		labelled += covered[i] = x->label[i] >= 0;
	e = e ? e : curate_centres(&rows, covered, n, x->o->seed, w, chosen, reach, &cover, et);
	for (size_t i = 0; i < cover.n && !e; i++) {
		out->cases[i] = case_of(x, chosen[i]);
		out->cases[i].score = reach[i];
	}
	out->n = cover.n;
	buf_addf(&out->summary,
		"\"chosen\":%zu,\"labelled\":%zu,\"farthest\":%.6g,\"mean_distance\":%.6g", cover.n,
		labelled, (double)cover.farthest, (double)cover.mean);
	free(chosen);
	free(reach);
	free(covered);
	return e;
}

/* ---- labels for those that have none ---- */

static size_t largest(const float *p, size_t n)
{
	size_t best = 0;
	for (size_t c = 1; c < n; c++)
		if (p[c] > p[best])
			best = c;
	return best;
}

/* Takes the label from a share of those that have one, but not the last of a class. Drawn by the
 * item's number, so that the order of rows does not matter. */
static size_t hide(const struct curate_rows *x, int32_t *label, size_t *left)
{
	size_t hidden = 0;
	for (size_t i = 0; i < x->n; i++) {
		label[i] = x->label[i];
		if (label[i] >= 0)
			left[label[i]]++;
	}
	for (size_t i = 0; i < x->n; i++) {
		uint64_t state = x->o->seed * 0x9e3779b97f4a7c15u + (uint64_t)x->num[i];
		uint64_t z = (state ^ (state >> 31)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		if (label[i] < 0 || left[label[i]] < 2 ||
			(double)(z >> 11) * 0x1p-53 >= x->o->holdout)
			continue;
		left[label[i]]--;
		label[i] = -1;
		hidden++;
	}
	return hidden;
}

/* How many of the labels that are hidden come back. */
static enum err try_hidden(struct curate_rows *x, const struct layout_nearest *g, float *p,
	const struct layout_work *w, struct buf *summary, struct errtext *et)
{
	size_t *left = calloc(x->n_names + 1, sizeof *left), right = 0, n = 0;
	int32_t *label = malloc((x->n + 1) * sizeof *label);
	unsigned turns;
	double low, high;
	enum err e = left && label ? OK : no_memory(et);
	if (!e && x->o->holdout > 0)
		n = hide(x, label, left);
	if (!e && n)
		e = curate_spread(g, label, x->n_names, (float)x->o->alpha, w, p, &turns, et);
	for (size_t i = 0; i < x->n && n && !e; i++) {
		const float *row = p + i * x->n_names;
		size_t best = largest(row, x->n_names);
		right += x->label[i] >= 0 && label[i] < 0 && row[best] > 0 &&
			 best == (size_t)x->label[i];
	}
	if (n && !e) {
		interval(right, n, &low, &high);
		buf_addf(summary,
			",\"hidden\":%zu,\"accuracy\":%.6g,\"accuracy_low\":%.6g,\"accuracy_high\":"
			"%.6g",
			n, (double)right / (double)n, low, high);
	}
	free(left);
	free(label);
	return e;
}

static enum err propagate(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	const struct layout_rows rows = rows_of(x);
	struct layout_nearest g = {0};
	size_t labelled = 0, reached = 0, l = x->n_names;
	unsigned turns = 0;
	float *p = NULL;
	for (size_t i = 0; i < x->n; i++)
		labelled += x->label[i] >= 0;
	enum err e = need_labels(x, labelled, et);
	e = e ? e : figures(x, x->n, 2, &p, et);
	out->cases = e ? NULL : calloc(x->n - labelled + 1, sizeof *out->cases);
	e = e || out->cases ? e : no_memory(et);
	e = e ? e
	      : layout_nearest(
			&rows, NULL, 0, MIN((size_t)x->o->k, x->n - 1), LAYOUT_AUTO, w, &g, et);
	buf_addf(&out->summary, "\"labelled\":%zu,\"unlabelled\":%zu,\"classes\":%zu", labelled,
		x->n - labelled, l);
	e = e ? e : try_hidden(x, &g, p, w, &out->summary, et);
	e = e ? e : curate_spread(&g, x->label, l, (float)x->o->alpha, w, p, &turns, et);
	for (size_t i = 0; i < x->n && !e; i++) {
		size_t best = largest(p + i * l, l);
		float sure = p[i * l + best];
		if (x->label[i] >= 0 || !(sure > 0))
			continue;
		reached++;
		if (!isnan(x->o->threshold) && (double)sure < x->o->threshold)
			continue;
		struct curate_case *c = &out->cases[out->n++];
		*c = case_of(x, i);
		c->offered = (int32_t)best;
		c->score = sure;
		c->more = 1 - doubt_of_votes(p + i * l, l);
	}
	if (!e)
		qsort(out->cases, out->n, sizeof *out->cases, by_score);
	buf_addf(&out->summary, ",\"reached\":%zu,\"offered\":%zu,\"turns\":%u", reached, out->n,
		turns);
	layout_nearest_free(&g);
	free(p);
	return e;
}

/* ---- labels that are likely to be wrong ---- */

/* The least sure of its own label first. */
static int by_quality(const void *a, const void *b)
{
	const struct curate_case *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	if (x->more != y->more)
		return x->more > y->more ? -1 : 1;
	return x->num < y->num ? -1 : x->num > y->num;
}

/* The nearest neighbour that has the label which is offered: what a person compares it with. */
static int64_t example(
	const struct curate_rows *x, const struct layout_nearest *g, size_t i, int32_t label)
{
	for (size_t c = 0; c < g->k; c++) {
		uint32_t at = g->at[i * g->k + c];
		if (at != LAYOUT_NOBODY && x->label[at] == label)
			return x->num[at];
	}
	return 0;
}

static enum err list_wrong(struct curate_rows *x, const struct layout_nearest *g, size_t n,
	const float *p, const uint8_t *flagged, const int32_t *offered, struct curate_found *out,
	struct errtext *et)
{
	size_t l = x->n_names, agree = 0, flags = 0, checked = 0;
	out->cases = calloc(n + 1, sizeof *out->cases);
	if (!out->cases)
		return no_memory(et);
	for (size_t i = 0; i < n; i++) {
		agree += largest(p + i * l, l) == (size_t)x->label[i];
		flags += flagged[i];
		checked += x->checked[i];
		if (!flagged[i] || x->checked[i])
			continue;
		struct curate_case *c = &out->cases[out->n++];
		*c = case_of(x, i);
		c->offered = offered[i];
		c->other = example(x, g, i, offered[i]);
		c->score = p[i * l + (size_t)x->label[i]];
		c->more = p[i * l + (size_t)offered[i]];
	}
	qsort(out->cases, out->n, sizeof *out->cases, by_quality);
	buf_addf(&out->summary,
		"\"labelled\":%zu,\"classes\":%zu,\"mislabelled\":%zu,\"checked\":%zu,"
		"\"estimated_noise\":%.6g,\"agreement\":%.6g",
		n, l, out->n, checked, n ? (double)flags / (double)n : 0.0,
		n ? (double)agree / (double)n : 0.0);
	return OK;
}

static enum err mislabelled(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	size_t n = labelled_first(x);
	const struct layout_rows rows = {x->v, n, x->space->dim};
	struct layout_nearest g = {0};
	float *p = NULL;
	uint8_t *flagged = calloc(n + 1, 1);
	int32_t *offered = calloc(n + 1, sizeof *offered);
	enum err e = flagged && offered ? need_labels(x, n, et) : no_memory(et);
	e = e ? e : figures(x, n, 1, &p, et);
	e = e ? e
	      : layout_nearest(&rows, NULL, 0, MIN((size_t)x->o->k, n - 1), LAYOUT_AUTO, w, &g, et);
	if (!e) {
		curate_votes(&g, x->label, x->n_names, p);
		e = curate_confident(p, x->label, n, x->n_names, x->o->method == METHOD_NOISE_RATE,
			flagged, offered, et);
	}
	e = e ? e : list_wrong(x, &g, n, p, flagged, offered, out, et);
	layout_nearest_free(&g);
	free(p);
	free(flagged);
	free(offered);
	return e;
}

/* ---- balance ---- */

struct class
{
	size_t n;
	int32_t label;
	double own, width;
};

static int by_items(const void *a, const void *b)
{
	const struct class *x = a, *y = b;
	return x->n > y->n ? -1 : x->n < y->n ? 1 : x->label < y->label ? -1 : x->label > y->label;
}

/* How far items are from the middle of their class, on average. */
static enum err measure_width(
	const struct curate_rows *x, size_t n, struct class *classes, struct errtext *et)
{
	size_t dim = x->space->dim;
	float *mean = calloc(x->n_names * dim + 1, sizeof *mean);
	if (!mean)
		return no_memory(et);
	for (size_t i = 0; i < n; i++)
		kern->axpy(mean + (size_t)x->label[i] * dim, 1 / (float)classes[x->label[i]].n,
			x->v + i * dim, dim);
	for (size_t i = 0; i < n; i++) {
		float d;
		kern->l2s(mean + (size_t)x->label[i] * dim, x->v + i * dim, dim, 1, dim, &d);
		classes[x->label[i]].width += (double)sqrtf(d) / (double)classes[x->label[i]].n;
	}
	free(mean);
	return OK;
}

static int by_float(const void *a, const void *b)
{
	const float *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* The share of items without a label that are as near to one with a label as 95 of 100 of those
 * are to each other. */
static enum err covered_share(struct curate_rows *x, size_t n, const struct layout_nearest *g,
	const struct layout_work *w, double *share, struct errtext *et)
{
	const struct layout_rows rows = rows_of(x);
	struct layout_nearest far = {0};
	uint32_t *of = malloc((x->n + 1) * sizeof *of);
	float *near = malloc((n + 1) * sizeof *near);
	size_t inside = 0;
	enum err e = of && near ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		near[i] = g->distance[i * g->k];
	for (size_t i = n; i < x->n && !e; i++)
		of[i - n] = (uint32_t)i;
	if (!e) {
		qsort(near, n, sizeof *near, by_float);
		e = layout_nearest_in(&rows, of, x->n - n, n, 1, LAYOUT_AUTO, w, &far, et);
	}
	for (size_t i = 0; i < x->n - n && !e; i++)
		inside += far.distance[i] <= near[n * 95 / 100];
	*share = (double)inside / (double)(x->n - n);
	layout_nearest_free(&far);
	free(of);
	free(near);
	return e;
}

static void write_classes(
	const struct curate_rows *x, struct class *c, size_t n, struct buf *summary)
{
	double entropy = 0;
	qsort(c, x->n_names, sizeof *c, by_items);
	for (size_t i = 0; i < x->n_names; i++) {
		double share = (double)c[i].n / (double)n;
		entropy -= share * log(share);
	}
	buf_addf(summary,
		",\"classes_found\":%zu,\"largest\":%zu,\"smallest\":%zu,\"evenness\":%.6g,"
		"\"classes\":[",
		x->n_names, c[0].n, c[x->n_names - 1].n, entropy / log((double)x->n_names));
	for (size_t i = 0; i < x->n_names; i++) {
		buf_addf(summary, "%s{\"label\":", i ? "," : "");
		buf_adds(summary, x->names[c[i].label]);
		buf_addf(summary, ",\"items\":%zu,\"share\":%.6g,\"own\":%.6g,\"width\":%.6g}",
			c[i].n, (double)c[i].n / (double)n, c[i].own, c[i].width);
	}
	buf_putc(summary, ']');
}

static enum err balance(struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	size_t n = labelled_first(x), l = x->n_names;
	const struct layout_rows rows = {x->v, n, x->space->dim};
	struct layout_nearest g = {0};
	struct class *classes = calloc(l + 1, sizeof *classes);
	float *p = NULL;
	double covered = 1;
	enum err e = classes ? need_labels(x, n, et) : no_memory(et);
	e = e ? e : figures(x, n, 1, &p, et);
	e = e ? e
	      : layout_nearest(&rows, NULL, 0, MIN((size_t)x->o->k, n - 1), LAYOUT_AUTO, w, &g, et);
	for (size_t c = 0; c < l && !e; c++)
		classes[c].label = (int32_t)c;
	for (size_t i = 0; i < n && !e; i++)
		classes[x->label[i]].n++;
	if (!e)
		curate_votes(&g, x->label, l, p);
	for (size_t i = 0; i < n && !e; i++)
		classes[x->label[i]].own +=
			(double)p[i * l + (size_t)x->label[i]] / (double)classes[x->label[i]].n;
	e = e ? e : measure_width(x, n, classes, et);
	if (!e && n < x->n)
		e = covered_share(x, n, &g, w, &covered, et);
	if (!e) {
		buf_addf(&out->summary, "\"labelled\":%zu,\"unlabelled\":%zu", n, x->n - n);
		if (n < x->n)
			buf_addf(&out->summary, ",\"covered\":%.6g", covered);
		write_classes(x, classes, n, &out->summary);
	}
	layout_nearest_free(&g);
	free(classes);
	free(p);
	return e;
}

/* ---- all kinds ---- */

enum err curate_work(enum curate_kind kind, struct curate_rows *x, const struct layout_work *w,
	struct curate_found *out, struct errtext *et)
{
	static enum err (*const works[CURATE_KINDS])(struct curate_rows *,
		const struct layout_work *, struct curate_found *,
		struct errtext *) = {duplicates, outliers, sample, propagate, mislabelled, balance};
	return works[kind](x, w, out, et);
}
