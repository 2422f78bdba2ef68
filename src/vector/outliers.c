/* Rows that lie apart, and rows that lie so that no other is far from all of them. */
#include "vector/curate.h"
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 2048, TELL = 32 };

/* ---- outliers ---- */

static size_t neighbours_of(const struct layout_nearest *g, size_t i)
{
	size_t n = 0;
	while (n < g->k && g->at[i * g->k + n] != LAYOUT_NOBODY)
		n++;
	return n;
}

void curate_far(const struct layout_nearest *g, float *out)
{
	for (size_t i = 0; i < g->n; i++) {
		size_t n = neighbours_of(g, i);
		double sum = 0;
		for (size_t c = 0; c < n; c++)
			sum += (double)g->distance[i * g->k + c];
		out[i] = n ? (float)(sum / (double)n) : 0;
	}
}

/* Local reachability density: one over the mean of how far the row is from its neighbours, but of
 * each at least as far as that one's own k-th neighbour is. */
static double density_of(const struct layout_nearest *g, size_t i)
{
	size_t n = neighbours_of(g, i);
	double sum = 0;
	for (size_t c = 0; c < n; c++) {
		size_t o = g->at[i * g->k + c], last = neighbours_of(g, o);
		float reach = last ? g->distance[o * g->k + last - 1] : 0;
		sum += (double)MAX(reach, g->distance[i * g->k + c]);
	}
	return n ? 1 / (sum / (double)n + 1e-10) : 0;
}

enum err curate_lof(const struct layout_nearest *g, float *out, struct errtext *et)
{
	double *density = malloc((g->n + 1) * sizeof *density);
	if (!density)
		return layout_no_memory(et);
	for (size_t i = 0; i < g->n; i++)
		density[i] = density_of(g, i);
	for (size_t i = 0; i < g->n; i++) {
		size_t n = neighbours_of(g, i);
		double sum = 0;
		for (size_t c = 0; c < n; c++)
			sum += density[g->at[i * g->k + c]];
		out[i] = n && density[i] > 0 ? (float)(sum / (double)n / density[i]) : 1;
	}
	free(density);
	return OK;
}

/* ---- centres ---- */

struct centres {
	const struct layout_rows *x;
	const struct layout_work *w;
	float *near;    /* [n]: squared distance to the nearest centre so far */
	const float *q; /* the centre that is new */
	struct {
		float d;
		size_t row;
	} * best; /* per chunk: the farthest row */
};

static void near_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct centres *j = arg;
	const struct layout_rows *x = j->x;
	size_t from = chunk * BLOCK, m = MIN(x->n - from, (size_t)BLOCK);
	float d[BLOCK], far = -1;
	size_t row = from;
	(void)thread;
	if (j->q)
		kern->l2s(j->q, x->v + from * x->dim, x->dim, m, x->dim, d);
	for (size_t i = 0; i < m; i++) {
		float *near = &j->near[from + i];
		*near = j->q ? MIN(*near, d[i]) : *near;
		if (*near > far) {
			far = *near;
			row = from + i;
		}
	}
	j->best[chunk].d = far;
	j->best[chunk].row = row;
}

/* Measures all rows from one more centre; the row that is now farthest from all, the first of
 * those. */
static size_t add_centre(struct centres *j, const float *q)
{
	size_t chunks = (j->x->n + BLOCK - 1) / BLOCK, best = 0;
	j->q = q;
	kern_team_run(j->w->team, near_chunk, j, chunks);
	for (size_t c = 1; c < chunks; c++)
		if (j->best[c].d > j->best[best].d)
			best = c;
	return j->best[best].row;
}

/* With nothing covered: the row nearest to the middle of all, or with a seed one that is drawn. */
static enum err first_centre(struct centres *j, uint64_t seed, size_t *out, struct errtext *et)
{
	const struct layout_rows *x = j->x;
	double *sum = calloc(x->dim, sizeof *sum);
	float *mean = malloc(x->dim * sizeof *mean), least = INFINITY, d;
	enum err e = sum && mean ? OK : layout_no_memory(et);
	*out = 0;
	if (seed && !e)
		*out = layout_random(&seed) % x->n;
	for (size_t i = 0; i < x->n && !e && !seed; i++)
		for (size_t c = 0; c < x->dim; c++)
			sum[c] += (double)x->v[i * x->dim + c];
	for (size_t c = 0; c < x->dim && !e; c++)
		mean[c] = (float)(sum[c] / (double)x->n);
	for (size_t i = 0; i < x->n && !e && !seed; i++) {
		kern->l2s(mean, x->v + i * x->dim, x->dim, 1, x->dim, &d);
		if (d < least) {
			least = d;
			*out = i;
		}
	}
	free(sum);
	free(mean);
	return e;
}

static enum err choose(struct centres *j, const bool *covered, size_t count, uint64_t seed,
	uint32_t *chosen, float *reach, size_t *n_chosen, struct errtext *et)
{
	const struct layout_rows *x = j->x;
	size_t n = 0, any = 0, next = 0;
	enum err e = OK;
	for (size_t i = 0; covered && i < x->n && !e; i++)
		if (covered[i]) {
			next = add_centre(j, x->v + i * x->dim);
			e = any++ % TELL ? OK : layout_at(j->w, "what is covered", i, x->n);
		}
	if (!any && !e)
		e = first_centre(j, seed, &next, et);
	while (!e && n < count && n < x->n && j->near[next] > 0) {
		chosen[n] = (uint32_t)next;
		reach[n] = isinf(j->near[next]) ? 0 : sqrtf(j->near[next]);
		e = n++ % TELL ? OK : layout_at(j->w, "centres", n, count);
		next = add_centre(j, x->v + next * x->dim);
	}
	*n_chosen = n;
	return e;
}

enum err curate_centres(const struct layout_rows *x, const bool *covered, size_t count,
	uint64_t seed, const struct layout_work *w, uint32_t *chosen, float *reach,
	struct curate_cover *out, struct errtext *et)
{
	struct centres j = {.x = x, .w = w};
	struct curate_cover c = {0};
	double sum = 0;
	j.near = malloc((x->n + 1) * sizeof *j.near);
	j.best = calloc(x->n / BLOCK + 1, sizeof *j.best);
	enum err e = j.near && j.best ? OK : layout_no_memory(et);
	for (size_t i = 0; i < x->n && !e; i++)
		j.near[i] = INFINITY;
	e = e || !x->n ? e : choose(&j, covered, count, seed, chosen, reach, &c.n, et);
	for (size_t i = 0; i < x->n && !e; i++) {
		float d = sqrtf(j.near[i]);
		c.farthest = MAX(c.farthest, d);
		sum += (double)d;
	}
	c.mean = x->n ? (float)(sum / (double)x->n) : 0;
	if (!e)
		*out = c;
	free(j.near);
	free(j.best);
	return e;
}
