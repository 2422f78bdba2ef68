/* Searching sparse vectors, 4,096 items at a time. In each window:
 *
 * 1. Each of the query's indices has a bound there: the most that one of its blocks can add (0 for
 *    one that can only take away). In the order of their bounds, the weakest first, indices are
 *    `below` as long as their bounds together stay well below the k-th best score so far.
 * 2. The others' postings are multiplied and added up in an array of sums.
 * 3. Items whose sum and the bounds below cannot reach the k-th best are left out; for the rest the
 *    indices below are looked up, the strongest first.
 *
 * An item that only indices below have cannot be a hit. Bounds and sums are compared with a margin
 * far greater than the error of adding in another order. */
#include "vector/sparse_int.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW = 4096 };
/* Of the bar: with more of them below, more items have to be looked up (0.2 to 0.4 is best of made
 * sets, 1 three times slower). */
#define BELOW_SHARE 0.3

struct cursor {
	const struct sterm *t;
	double weight, bound; /* of the window at hand */
	uint32_t block;       /* that is decoded, if n; else the next one to be */
	uint32_t n, i;
	uint32_t docs[PACK_N];
	float values[PACK_N];
};

struct scan {
	const struct sparse_query *q;
	const struct segment_part *p;
	struct cursor **c; /* of this part; sorted by bound in each window */
	size_t n;
	struct topk top;
	double sums[WINDOW];
	uint8_t seen[WINDOW]; /* by one of the indices that were added up */
	uint8_t hot[WINDOW];  /* may reach the bar */
};

static double block_bound(const struct sblock *b, double weight)
{
	double x = MAX(weight * b->lo, weight * b->hi);
	return MAX(x, 0.0);
}

/* ---- cursors ---- */

static const struct sblock *blocks_at(const struct scan *s, const struct cursor *c)
{
	return sseg_of(s->p)->blocks + c->t->first;
}

/* To the first posting of `doc` or later; false: there is none. */
static bool seek(const struct scan *s, struct cursor *c, uint32_t doc)
{
	const struct sblock *b = blocks_at(s, c);
	uint32_t n_blocks = sblocks_of(c->t), block = c->block;
	while (block < n_blocks && b[block].last < doc)
		block++;
	if (block == n_blocks) {
		c->block = block;
		c->n = c->i = 0;
		return false;
	}
	if (block != c->block || !c->n) {
		c->n = sseg_read(sseg_of(s->p), c->t, block, c->docs, c->values);
		c->block = block;
		c->i = 0;
	}
	while (c->docs[c->i] < doc)
		c->i++;
	return true;
}

/* The most that it adds to an item of the window. Blocks before the window are passed over. */
static double window_bound(const struct scan *s, struct cursor *c, uint32_t from, uint32_t to)
{
	const struct sblock *b = blocks_at(s, c);
	uint32_t n_blocks = sblocks_of(c->t);
	double bound = 0;
	while (c->block < n_blocks && b[c->block].last < from) {
		c->block++;
		c->n = c->i = 0;
	}
	for (uint32_t k = c->block; k < n_blocks; k++) {
		if (k > c->block && b[k - 1].last + 1 >= to)
			break;
		bound = MAX(bound, block_bound(&b[k], c->weight));
	}
	return bound;
}

static int by_bound(const void *a, const void *b)
{
	const struct cursor *x = *(struct cursor *const *)a, *y = *(struct cursor *const *)b;
	if (x->bound != y->bound)
		return x->bound < y->bound ? -1 : 1;
	return (x->t->index > y->t->index) - (x->t->index < y->t->index);
}

/* ---- one window ---- */

static void add_up(struct scan *s, struct cursor *c, uint32_t from, uint32_t to)
{
	uint32_t doc = from;
	while (doc < to && seek(s, c, doc)) {
		uint32_t i = c->i;
		uint32_t end = c->n;
		while (end > i && c->docs[end - 1] >= to)
			end--;
		double *sums = s->sums;
		uint8_t *seen = s->seen;
		const double weight = c->weight;
		for (; i < end; i++) {
			uint32_t at = c->docs[i] - from;
			sums[at] += weight * (double)c->values[i];
			seen[at] = 1;
		}
		c->i = i;
		if (i < c->n)
			return;
		doc = c->docs[c->n - 1] + 1;
	}
}

/* What a score has to reach to be a hit. */
static double bar_of(const struct scan *s)
{
	double bar = s->q->within ? (double)s->q->min_score : -INFINITY;
	return s->top.n == s->top.k ? MAX(bar, (double)s->top.hits[0].score) : bar;
}

/* Bounds that are so far below the bar cannot reach it, however they are added up. */
static bool out_of_reach(double most, double bar)
{
	return most + 1e-6 * fabs(most) < bar - 1e-6 * fabs(bar);
}

/* rest: the bounds of those below, together. */
static void complete(struct scan *s, uint32_t doc, double sum, size_t below, double rest)
{
	uint64_t key = s->p->seg->keys[doc];
	if (segment_dead(s->p->live, doc) || (s->q->keep && !s->q->keep(s->q->ctx, key)))
		return;
	double bar = bar_of(s);
	for (size_t i = below; i--;) {
		if (out_of_reach(sum + rest, bar))
			return;
		struct cursor *c = s->c[i];
		rest -= c->bound;
		if (seek(s, c, doc) && c->docs[c->i] == doc)
			sum += c->weight * (double)c->values[c->i];
	}
	struct hit h = {key, (float)sum};
	if (!s->q->within || h.score >= s->q->min_score)
		topk_add(&s->top, h);
}

/* A sum that is lower than that is out of reach for sure. */
static double lowest_hot(double bar, double below_sum)
{
	return isinf(bar) ? -INFINITY : bar - 1e-5 * fabs(bar) - below_sum - 1e-5 * below_sum;
}

static void mark_hot(struct scan *s, double least)
{
	for (size_t i = 0; i < WINDOW; i++)
		s->hot[i] = s->seen[i] & (s->sums[i] >= least);
}

static void scan_window(struct scan *s, uint32_t from, uint32_t to)
{
	double bar = bar_of(s), below_sum = 0;
	size_t below = 0;
	for (size_t i = 0; i < s->n; i++)
		s->c[i]->bound = window_bound(s, s->c[i], from, to);
	qsort(s->c, s->n, sizeof *s->c, by_bound);
	while (below < s->n && out_of_reach(below_sum + s->c[below]->bound, bar * BELOW_SHARE))
		below_sum += s->c[below++]->bound;
	if (below == s->n)
		return;
	memset(s->sums, 0, sizeof s->sums);
	memset(s->seen, 0, sizeof s->seen);
	for (size_t i = below; i < s->n; i++)
		add_up(s, s->c[i], from, to);
	mark_hot(s, lowest_hot(bar, below_sum));
	for (uint32_t w = 0; w < WINDOW; w += sizeof(uint64_t)) {
		uint64_t some;
		memcpy(&some, s->hot + w, sizeof some);
		for (uint32_t at = w; some && at < w + sizeof some; at++)
			if (s->hot[at] && !out_of_reach(s->sums[at] + below_sum, bar_of(s)))
				complete(s, from + at, s->sums[at], below, below_sum);
	}
}

/* ---- weights ---- */

/* How many of the living have a number there. */
static uint64_t count_living(const struct segment_part *p, const struct sterm *t)
{
	uint32_t docs[PACK_N];
	float values[PACK_N];
	uint64_t n = 0;
	if (!p->live->dead)
		return t->n;
	for (uint32_t b = 0; b < sblocks_of(t); b++)
		for (uint32_t i = 0, k = sseg_read(sseg_of(p), t, b, docs, values); i < k; i++)
			n += !segment_dead(p->live, docs[i]);
	return n;
}

static double idf_of(const struct segment_snap *snap, uint32_t index)
{
	uint64_t df = 0;
	for (size_t i = 0; i < snap->n_parts; i++) {
		const struct sterm *t = sseg_find(sseg_of(&snap->parts[i]), index);
		df += t ? count_living(&snap->parts[i], t) : 0;
	}
	return log(((double)snap->n_docs - (double)df + 0.5) / ((double)df + 0.5) + 1);
}

static double *weigh(const struct segment_snap *snap, const struct sparse_query *q)
{
	double *w = malloc((q->v.n + 1) * sizeof *w);
	for (size_t i = 0; w && i < q->v.n; i++) {
		w[i] = q->v.v[i];
		if (q->idf)
			w[i] *= idf_of(snap, q->v.at[i]);
	}
	return w;
}

/* ---- the search ---- */

static void scan_part(struct scan *s, struct cursor *room, const double *weights)
{
	const struct sseg *seg = sseg_of(s->p);
	s->n = 0;
	for (size_t i = 0; i < s->q->v.n; i++) {
		const struct sterm *t = sseg_find(seg, s->q->v.at[i]);
		if (!t)
			continue;
		struct cursor *c = &room[s->n];
		c->t = t;
		c->weight = weights[i];
		c->block = c->n = c->i = 0;
		s->c[s->n++] = c;
	}
	for (uint32_t from = 0; from < seg->base.n_docs && s->n; from += WINDOW) {
		if (cancelled(s->q->cancel))
			return;
		scan_window(s, from, MIN(from + WINDOW, seg->base.n_docs));
	}
}

static enum err check(const struct sparse_query *q, struct errtext *et)
{
	if (q->v.n > SPARSE_MAX)
		return err_set(et, ERR_TOO_LARGE, "a query of %zu numbers; the limit is %d", q->v.n,
			SPARSE_MAX);
	for (size_t i = 0; i < q->v.n; i++)
		if (!isfinite(q->v.v[i]) || (i && q->v.at[i] <= q->v.at[i - 1]))
			return err_set(et, ERR_INVALID,
				"number %zu of the query is not finite, or its indices do not "
				"ascend",
				i);
	return OK;
}

enum err sparse_search(struct sparse *x, const struct sparse_query *q, struct hit *out, size_t *n,
	struct errtext *et)
{
	enum err e = check(q, et);
	*n = 0;
	if (e || !q->k || !q->v.n)
		return e;
	struct segment_snap *snap = segments_get(sparse_segments(x));
	struct scan *s = malloc(sizeof *s);
	struct cursor *room = malloc(q->v.n * sizeof *room);
	struct cursor **c = malloc(q->v.n * sizeof *c);
	double *weights = weigh(snap, q);
	if (s && room && c && weights) {
		s->q = q;
		s->c = c;
		s->top = (struct topk){out, 0, q->k};
		for (size_t i = 0; i < snap->n_parts; i++) {
			s->p = &snap->parts[i];
			scan_part(s, room, weights);
		}
		topk_sort(&s->top);
		*n = s->top.n;
	} else {
		e = err_set(et, ERR_NOMEM, "no memory for a search of sparse vectors");
	}
	free(s);
	free(room);
	free(c);
	free(weights);
	segments_put_back(sparse_segments(x), snap);
	if (!e && cancelled(q->cancel))
		e = err_set(et, ERR_CANCELLED, "a search was cancelled");
	return e;
}

/* ---- given items ---- */

static void add_postings(
	const struct segment_part *p, const struct sterm *t, double weight, double *sums)
{
	uint32_t docs[PACK_N];
	float values[PACK_N];
	for (uint32_t b = 0; b < sblocks_of(t); b++)
		for (uint32_t i = 0, n = sseg_read(sseg_of(p), t, b, docs, values); i < n; i++)
			sums[docs[i]] += weight * (double)values[i];
}

static bool scores_in(const struct segment_part *p, const struct sparse_query *q,
	const double *weights, const uint64_t *keys, size_t n, float *out)
{
	double *sums = calloc((size_t)p->seg->n_docs + 1, sizeof *sums);
	for (size_t i = 0; sums && i < q->v.n; i++) {
		const struct sterm *t = sseg_find(sseg_of(p), q->v.at[i]);
		if (t)
			add_postings(p, t, weights[i], sums);
	}
	for (size_t i = 0; sums && i < n; i++) {
		uint32_t doc;
		if (segment_find(p->seg, keys[i], &doc) && !segment_dead(p->live, doc))
			out[i] = (float)sums[doc];
	}
	free(sums);
	return sums != NULL;
}

enum err sparse_scores(struct sparse *x, const struct sparse_query *q, const uint64_t *keys,
	size_t n, float *out, struct errtext *et)
{
	enum err e = check(q, et);
	if (e)
		return e;
	struct segment_snap *snap = segments_get(sparse_segments(x));
	double *weights = weigh(snap, q);
	bool ok = weights != NULL;
	for (size_t i = 0; i < n; i++)
		out[i] = NAN;
	for (size_t i = 0; i < snap->n_parts && ok; i++)
		ok = scores_in(&snap->parts[i], q, weights, keys, n, out);
	free(weights);
	segments_put_back(sparse_segments(x), snap);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for scores of sparse vectors");
}
