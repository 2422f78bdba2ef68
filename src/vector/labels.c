/* What the labels of neighbours say: votes, labels spread over the graph of neighbours, labels that
 * are likely to be wrong. */
#include "vector/curate.h"
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- votes ---- */

/* The nearer a neighbour, the more it says. */
static double weight_of(float d, float scale)
{
	double x = scale > 0 ? (double)d / (double)scale : 0;
	return exp(-2 * x * x);
}

void curate_votes(const struct layout_nearest *g, const int32_t *label, size_t n_labels, float *p)
{
	for (size_t i = 0; i < g->n; i++) {
		const uint32_t *at = g->at + i * g->k;
		const float *d = g->distance + i * g->k;
		float *row = p + i * n_labels;
		size_t n = 0;
		double sum = 0;
		memset(row, 0, n_labels * sizeof *row);
		while (n < g->k && at[n] != LAYOUT_NOBODY)
			n++;
		for (size_t c = 0; c < n; c++) {
			double w = weight_of(d[c], d[n - 1]);
			if (label[at[c]] < 0)
				continue;
			row[label[at[c]]] += (float)w;
			sum += w;
		}
		for (size_t c = 0; c < n_labels && sum > 0; c++)
			row[c] = (float)((double)row[c] / sum);
	}
}

/* ---- spreading ---- */

/* The graph: row i has the edges from[i] to from[i + 1], each in both directions. */
struct graph {
	size_t n, *from;
	uint32_t *to;
	float *weight;
};

static void graph_free(struct graph *q)
{
	free(q->from);
	free(q->to);
	free(q->weight);
}

static bool has(const struct layout_nearest *g, size_t i, uint32_t other)
{
	for (size_t c = 0; c < g->k; c++)
		if (g->at[i * g->k + c] == other)
			return true;
	return false;
}

/* The edges that row i gives: its neighbour c, unless that one gives the same edge and comes first.
 */
static bool edge_of(const struct layout_nearest *g, size_t i, size_t c, uint32_t *other)
{
	*other = g->at[i * g->k + c];
	return *other != LAYOUT_NOBODY && !(*other < i && has(g, *other, (uint32_t)i));
}

/* How far it is to the last neighbour: near and far are what they are where the row lies (the local
 * scaling of Zelnik-Manor and Perona 2004). */
static float scale_of(const struct layout_nearest *g, size_t i)
{
	size_t n = g->k;
	while (n && g->at[i * g->k + n - 1] == LAYOUT_NOBODY)
		n--;
	return n ? g->distance[i * g->k + n - 1] : 0;
}

static float edge_weight(const struct layout_nearest *g, size_t i, size_t c, uint32_t other)
{
	float d = g->distance[i * g->k + c], scale = scale_of(g, i) * scale_of(g, other);
	return scale > 0 ? expf(-2 * d * d / scale) : 1;
}

/* Where each row's edges begin. fill[i] is from[i + 1]: it counts, then it is the beginning. */
static void count_edges(const struct layout_nearest *g, size_t *fill)
{
	size_t sum = 0;
	uint32_t o;
	for (size_t i = 0; i < g->n; i++)
		for (size_t c = 0; c < g->k; c++)
			if (edge_of(g, i, c, &o)) {
				fill[i]++;
				fill[o]++;
			}
	for (size_t i = 0; i < g->n; i++) {
		size_t n = fill[i];
		fill[i] = sum;
		sum += n;
	}
}

/* Each weight divided by the roots of what both rows' weights sum up to. */
static void normalise(struct graph *q, float *degree)
{
	for (size_t i = 0; i < q->n; i++)
		for (size_t e = q->from[i]; e < q->from[i + 1]; e++)
			degree[i] += q->weight[e];
	for (size_t i = 0; i < q->n; i++)
		for (size_t e = q->from[i]; e < q->from[i + 1]; e++)
			q->weight[e] /= sqrtf(degree[i] * degree[q->to[e]]) + 1e-30f;
}

/* An edge for each pair of which one is among the other's neighbours. */
static enum err make_graph(const struct layout_nearest *g, struct graph *q, struct errtext *et)
{
	uint32_t o;
	q->n = g->n;
	q->from = calloc(g->n + 2, sizeof *q->from);
	q->to = malloc((2 * g->n * g->k + 1) * sizeof *q->to);
	q->weight = malloc((2 * g->n * g->k + 1) * sizeof *q->weight);
	float *degree = calloc(g->n + 1, sizeof *degree);
	if (!q->from || !q->to || !q->weight || !degree) {
		free(degree);
		return layout_no_memory(et);
	}
	size_t *fill = q->from + 1; /* after this loop fill[i] is the end of row i */
	count_edges(g, fill);
	for (size_t i = 0; i < g->n; i++)
		for (size_t c = 0; c < g->k; c++)
			if (edge_of(g, i, c, &o)) {
				float w = edge_weight(g, i, c, o);
				q->to[fill[i]] = o;
				q->weight[fill[i]++] = w;
				q->to[fill[o]] = (uint32_t)i;
				q->weight[fill[o]++] = w;
			}
	normalise(q, degree);
	free(degree);
	return OK;
}

struct spreading {
	const struct graph *q;
	const int32_t *label;
	size_t n_labels;
	float alpha;
	float *now, *next;      /* [n][n_labels] */
	_Atomic unsigned moved; /* whether some value has changed by more than `least` */
};

enum { ROWS = 256, TURNS_MAX = 500 };
static const float least = 1e-6f;

/* next = alpha S now + (1 - alpha) Y */
static void spread_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct spreading *s = arg;
	size_t l = s->n_labels, to = MIN((chunk + 1) * ROWS, s->q->n);
	unsigned moved = 0;
	(void)thread;
	for (size_t i = chunk * ROWS; i < to; i++) {
		float *row = s->next + i * l;
		const float *old = s->now + i * l;
		memset(row, 0, l * sizeof *row);
		for (size_t e = s->q->from[i]; e < s->q->from[i + 1]; e++)
			kern->axpy(row, s->alpha * s->q->weight[e],
				s->now + (size_t)s->q->to[e] * l, l);
		if (s->label[i] >= 0)
			row[s->label[i]] += 1 - s->alpha;
		for (size_t c = 0; c < l && !moved; c++)
			moved = fabsf(row[c] - old[c]) > least;
	}
	if (moved)
		atomic_store_explicit(&s->moved, 1, memory_order_relaxed);
}

static void finish(struct spreading *s, float *p)
{
	size_t l = s->n_labels;
	for (size_t i = 0; i < s->q->n; i++) {
		double sum = 0;
		for (size_t c = 0; c < l; c++)
			sum += (double)s->now[i * l + c];
		for (size_t c = 0; c < l; c++)
			p[i * l + c] = sum > 1e-12 ? (float)((double)s->now[i * l + c] / sum) : 0;
	}
}

enum err curate_spread(const struct layout_nearest *g, const int32_t *label, size_t n_labels,
	float alpha, const struct layout_work *w, float *p, unsigned *turns, struct errtext *et)
{
	struct graph q = {0};
	struct spreading s = {
		.q = &q, .label = label, .n_labels = n_labels, .alpha = alpha, .next = p};
	unsigned turn = 0;
	s.now = calloc(g->n * n_labels + 1, sizeof *s.now);
	enum err e = s.now ? make_graph(g, &q, et) : layout_no_memory(et);
	for (size_t i = 0; i < g->n && !e; i++)
		if (label[i] >= 0)
			s.now[i * n_labels + (size_t)label[i]] = 1;
	for (bool more = true; more && !e && turn < TURNS_MAX; turn++) {
		e = layout_at(w, "spreading labels", turn, TURNS_MAX);
		s.moved = 0;
		if (!e)
			kern_team_run(w->team, spread_chunk, &s, (g->n + ROWS - 1) / ROWS);
		float *was = s.now;
		s.now = s.next;
		s.next = was;
		more = s.moved;
	}
	if (!e) {
		finish(&s, p); /* in place when s.now is p */
		*turns = turn;
	}
	graph_free(&q);
	free(s.now == p ? s.next : s.now);
	return e;
}

/* ---- confident learning ---- */

/* The mean of what the rows of a class are given for it. */
static void thresholds(
	const float *p, const int32_t *label, size_t n, size_t l, double *t, size_t *count)
{
	for (size_t i = 0; i < n; i++)
		if (label[i] >= 0) {
			t[label[i]] += (double)p[i * l + (size_t)label[i]];
			count[label[i]]++;
		}
	for (size_t c = 0; c < l; c++)
		t[c] = count[c] ? t[c] / (double)count[c] : INFINITY;
}

/* The likeliest of the classes that reach their threshold, or -1. */
static int32_t confident(const float *p, const double *t, size_t l)
{
	int32_t best = -1;
	for (size_t c = 0; c < l; c++)
		if ((double)p[c] >= t[c] - 1e-6 && p[c] > 0 && (best < 0 || p[c] > p[best]))
			best = (int32_t)c;
	return best;
}

static int32_t likeliest(const float *p, size_t l)
{
	size_t best = 0;
	for (size_t c = 1; c < l; c++)
		if (p[c] > p[best])
			best = c;
	return p[best] > 0 ? (int32_t)best : -1;
}

struct doubtful {
	float margin;
	uint32_t row;
};

static int by_margin(const void *a, const void *b)
{
	const struct doubtful *x = a, *y = b;
	return x->margin > y->margin   ? -1
	       : x->margin < y->margin ? 1
	       : x->row < y->row       ? -1
				       : x->row > y->row;
}

/* Prune by noise rate: of the rows with the label s, for each other class y, so many as the joint
 * says, those whose p(y) is most above p(s). */
static enum err by_noise_rate(const float *p, const int32_t *label, size_t n, size_t l,
	const size_t *joint, const size_t *count, uint8_t *flagged, struct errtext *et)
{
	struct doubtful *list = malloc((n + 1) * sizeof *list);
	size_t *start = calloc(l + 1, sizeof *start);
	uint32_t *rows = malloc((n + 1) * sizeof *rows);
	enum err e = list && start && rows ? OK : layout_no_memory(et);
	for (size_t c = 0; c < l && !e; c++)
		start[c + 1] = start[c] + count[c];
	size_t *at = e ? NULL : calloc(l + 1, sizeof *at);
	e = e || at ? e : layout_no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		if (label[i] >= 0)
			rows[start[label[i]] + at[label[i]]++] = (uint32_t)i;
	for (size_t s = 0; s < l && !e; s++) {
		double total = 0;
		for (size_t y = 0; y < l; y++)
			total += (double)joint[s * l + y];
		for (size_t y = 0; y < l && total > 0; y++) {
			size_t m = 0, want;
			if (y == s || !joint[s * l + y])
				continue;
			want = (size_t)llround((double)joint[s * l + y] / total * (double)count[s]);
			for (size_t r = start[s]; r < start[s + 1]; r++) {
				const float *row = p + (size_t)rows[r] * l;
				list[m++] = (struct doubtful){row[y] - row[s], rows[r]};
			}
			qsort(list, m, sizeof *list, by_margin);
			for (size_t r = 0; r < MIN(want, m); r++)
				flagged[list[r].row] |= list[r].margin > 0;
		}
	}
	free(at);
	free(list);
	free(start);
	free(rows);
	return e;
}

enum err curate_confident(const float *p, const int32_t *label, size_t n, size_t n_labels,
	bool noise_rate, uint8_t *flagged, int32_t *offered, struct errtext *et)
{
	size_t l = n_labels;
	double *t = calloc(l + 1, sizeof *t);
	size_t *count = calloc(l + 1, sizeof *count), *joint = calloc(l * l + 1, sizeof *joint);
	enum err e = t && count && joint ? OK : layout_no_memory(et);
	if (!e)
		thresholds(p, label, n, l, t, count);
	for (size_t i = 0; i < n && !e; i++) {
		const float *row = p + i * l;
		int32_t y = label[i] >= 0 ? confident(row, t, l) : -1;
		flagged[i] = !noise_rate && y >= 0 && y != label[i];
		offered[i] = flagged[i] ? y : likeliest(row, l);
		if (y >= 0)
			joint[(size_t)label[i] * l + (size_t)y]++;
	}
	if (noise_rate && !e)
		e = by_noise_rate(p, label, n, l, joint, count, flagged, et);
	for (size_t i = 0; i < n && !e; i++) /* never what is the likeliest anyhow */
		flagged[i] = flagged[i] && likeliest(p + i * l, l) != label[i];
	free(t);
	free(count);
	free(joint);
	return e;
}
