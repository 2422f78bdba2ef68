/* The nearest rows of each row: all pairs by blocks that stay in the cache, or the graph index. */
#include "vector/index.h"
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

enum { QUERIES = 32, ROWS = 512, PUT = 2000, CHUNKS_AT_ONCE = 64 };

/* Multiplications above which all pairs are too many: some ten seconds of two cores. */
static const double pairs_max = 4e11;

struct near_job {
	const struct layout_rows *x;
	const uint32_t *of;
	const struct layout_work *w;
	struct layout_nearest *g;
	float *square;  /* [n] of the rows' lengths */
	float *scratch; /* per thread */
	struct vindex *index;
	size_t n_in;  /* only the first so many rows are neighbours */
	size_t first; /* chunk of this round */
	uint32_t ef;
	_Atomic int failed; /* enum err */
};

static uint32_t row_of(const struct near_job *j, size_t i)
{
	return j->of ? j->of[i] : (uint32_t)i;
}

/* Into the list of the k nearest so far; `distance` holds squares. */
static inline void offer(float *distance, uint32_t *at, size_t k, float d, uint32_t row)
{
	if (!(d < distance[k - 1]))
		return;
	size_t i = k - 1;
	for (; i && d < distance[i - 1]; i--) {
		distance[i] = distance[i - 1];
		at[i] = at[i - 1];
	}
	distance[i] = d;
	at[i] = row;
}

static void empty(struct layout_nearest *g, size_t i)
{
	for (size_t c = 0; c < g->k; c++) {
		g->at[i * g->k + c] = LAYOUT_NOBODY;
		g->distance[i * g->k + c] = INFINITY;
	}
}

/* Differences of squares lose the distance of twins: the chosen ones are measured again. */
static void measure(
	const struct layout_rows *x, const float *q, const struct layout_nearest *g, size_t i)
{
	float *distance = g->distance + i * g->k;
	uint32_t *at = g->at + i * g->k;
	for (size_t c = 0; c < g->k && at[c] != LAYOUT_NOBODY; c++) {
		uint32_t row = at[c];
		size_t to = c;
		float d;
		kern->l2s(q, x->v + row * x->dim, x->dim, 1, x->dim, &d);
		d = sqrtf(d);
		for (; to && (d < distance[to - 1] || (d == distance[to - 1] && row < at[to - 1]));
			to--) {
			distance[to] = distance[to - 1];
			at[to] = at[to - 1];
		}
		distance[to] = d;
		at[to] = row;
	}
}

/* One block of queries against all rows. */
static void pairs_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct near_job *j = arg;
	const struct layout_rows *x = j->x;
	struct layout_nearest *g = j->g;
	size_t from = (j->first + chunk) * QUERIES, m = MIN(g->n - from, (size_t)QUERIES);
	float *dots = j->scratch + thread * (QUERIES * ROWS + QUERIES * x->dim);
	float *q = dots + QUERIES * ROWS;
	for (size_t i = 0; i < m; i++) {
		memcpy(q + i * x->dim, x->v + row_of(j, from + i) * x->dim, x->dim * sizeof *q);
		empty(g, from + i);
	}
	for (size_t r = 0; r < j->n_in && !cancelled(j->w->cancel); r += ROWS) {
		size_t n = MIN(j->n_in - r, (size_t)ROWS);
		kern->dots_many(q, x->dim, m, x->v + r * x->dim, x->dim, n, x->dim, dots, ROWS);
		for (size_t i = 0; i < m; i++) {
			uint32_t self = row_of(j, from + i);
			float own = j->square[self], *d = g->distance + (from + i) * g->k;
			uint32_t *at = g->at + (from + i) * g->k;
			for (size_t c = 0; c < n; c++) {
				float s = own + j->square[r + c] - 2 * dots[i * ROWS + c];
				if (s < d[g->k - 1] && r + c != self)
					offer(d, at, g->k, MAX(s, 0), (uint32_t)(r + c));
			}
		}
	}
	for (size_t i = 0; i < m; i++)
		measure(x, q + i * x->dim, g, from + i);
}

static void graph_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct near_job *j = arg;
	struct layout_nearest *g = j->g;
	size_t from = (j->first + chunk) * QUERIES, m = MIN(g->n - from, (size_t)QUERIES);
	struct hit hits[LAYOUT_NEIGHBOURS_MAX + 1];
	(void)thread;
	for (size_t i = from; i < from + m && !j->failed; i++) {
		uint32_t self = row_of(j, i);
		struct vindex_answer a;
		struct vindex_query q = {.vector = j->x->v + self * j->x->dim,
			.k = g->k + 1,
			.ef = j->ef,
			.cancel = j->w->cancel};
		enum err e = vindex_search(j->index, &q, hits, &a, NULL);
		if (e) {
			j->failed = (int)e;
			return;
		}
		size_t c = 0;
		empty(g, i);
		for (size_t h = 0; h < a.n && c < g->k; h++) {
			if (hits[h].key == self)
				continue;
			g->at[i * g->k + c] = (uint32_t)hits[h].key;
			g->distance[i * g->k + c++] = sqrtf(MAX(-hits[h].score, 0));
		}
	}
}

static enum err in_rounds(struct near_job *j, kern_chunk_fn fn, const char *what)
{
	size_t n = (j->g->n + QUERIES - 1) / QUERIES;
	enum err e = OK;
	for (j->first = 0; j->first < n && !e; j->first += CHUNKS_AT_ONCE) {
		e = layout_at(j->w, what, j->first * QUERIES, j->g->n);
		if (!e)
			kern_team_run(j->w->team, fn, j, MIN(n - j->first, (size_t)CHUNKS_AT_ONCE));
		e = e ? e : (enum err)j->failed;
	}
	return e ? e : layout_at(j->w, what, j->g->n, j->g->n);
}

static enum err all_pairs(struct near_job *j, struct errtext *et)
{
	const struct layout_rows *x = j->x;
	unsigned threads = kern_team_size(j->w->team);
	j->square = malloc(x->n * sizeof *j->square);
	j->scratch = malloc(threads * (QUERIES * ROWS + QUERIES * x->dim) * sizeof *j->scratch);
	enum err e = j->square && j->scratch ? OK : layout_no_memory(et);
	for (size_t i = 0; i < x->n && !e; i++)
		j->square[i] = kern->dot(x->v + i * x->dim, x->v + i * x->dim, x->dim);
	e = e ? e : in_rounds(j, pairs_chunk, "neighbours");
	free(j->square);
	free(j->scratch);
	return e;
}

static enum err by_graph(struct near_job *j, struct errtext *et)
{
	const struct layout_rows *x = j->x;
	struct vindex_options o = {.dim = (uint32_t)x->dim,
		.metric = VINDEX_L2,
		.type = VINDEX_F16,
		.max_items = x->n + 1};
	uint64_t *keys = malloc(PUT * sizeof *keys);
	enum err e = keys ? vindex_new(&o, &j->index, et) : layout_no_memory(et);
	for (size_t from = 0; from < j->n_in && !e; from += PUT) {
		size_t m = MIN(j->n_in - from, (size_t)PUT);
		for (size_t i = 0; i < m; i++)
			keys[i] = from + i;
		e = layout_at(j->w, "graph of neighbours", from, j->n_in);
		e = e ? e : vindex_put(j->index, keys, x->v + from * x->dim, m, NULL, et);
	}
	j->ef = (uint32_t)MAX(2 * j->g->k, 48);
	e = e ? e : in_rounds(j, graph_chunk, "neighbours");
	vindex_free(j->index);
	free(keys);
	return e;
}

enum err layout_nearest(const struct layout_rows *x, const uint32_t *of, size_t n_of, size_t k,
	enum layout_search how, const struct layout_work *w, struct layout_nearest *out,
	struct errtext *et)
{
	return layout_nearest_in(x, of, n_of, x->n, k, how, w, out, et);
}

enum err layout_nearest_in(const struct layout_rows *x, const uint32_t *of, size_t n_of,
	size_t n_in, size_t k, enum layout_search how, const struct layout_work *w,
	struct layout_nearest *out, struct errtext *et)
{
	size_t n = of ? n_of : x->n;
	if (!k || k > LAYOUT_NEIGHBOURS_MAX || !n_in || n_in > x->n || x->n > LAYOUT_ROWS_MAX)
		return err_set(et, ERR_INVALID,
			"%zu neighbours of %zu vectors: 1 to %d, of 1 to %d vectors, are possible",
			k, x->n, LAYOUT_NEIGHBOURS_MAX, LAYOUT_ROWS_MAX);
	double pairs = (double)n * (double)n_in * (double)x->dim;
	struct layout_nearest g = {.n = n,
		.k = k,
		.at = malloc((n * k + 1) * sizeof *g.at),
		.distance = malloc((n * k + 1) * sizeof *g.distance),
		.exact = how == LAYOUT_EXACT || (how == LAYOUT_AUTO && pairs <= pairs_max)};
	struct near_job j = {.x = x, .of = of, .n_in = n_in, .w = w, .g = &g};
	enum err e = !g.at || !g.distance ? layout_no_memory(et)
		     : g.exact            ? all_pairs(&j, et)
					  : by_graph(&j, et);
	if (e)
		layout_nearest_free(&g);
	else
		*out = g;
	return e;
}

void layout_nearest_free(struct layout_nearest *g)
{
	free(g->at);
	free(g->distance);
	*g = (struct layout_nearest){0};
}
