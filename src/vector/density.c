/* Clusters in the plane or in space by density: HDBSCAN.
 *
 * 1. Each point's nearest ones, by a tree that halves the points again and again. The distance to
 *    the last of them says how lonely the point is; two points are as far apart as the largest of
 *    their distance and both lonelinesses.
 * 2. Pairs of neighbours join in the order of that distance into a tree of joins. Groups that no
 *    pair of neighbours connects join last, infinitely far.
 * 3. From the top down, a join of two groups of at least min_size is a split into two clusters;
 *    a smaller group falls out. A cluster's stability is the sum over its points of how long, in
 *    1 / distance, they were in it; a cluster is taken when it is more stable than the best of
 *    what it splits into. The whole is no cluster, nor is more than half of it when it splits: a
 *    picture in which nearly all is one cluster tells nothing. */
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

enum { NEAR = 16, LEAF = 8, DEPTH = 64 };

/* ---- neighbours ---- */

struct tree {
	const float *xy; /* [n][dims] */
	size_t dims;
	uint32_t *order; /* points; the middle of each range splits it */
};

static int cmp_at(const struct tree *t, uint32_t a, uint32_t b, size_t d)
{
	float x = t->xy[t->dims * a + d], y = t->xy[t->dims * b + d];
	return x < y ? -1 : x > y ? 1 : a < b ? -1 : a > b;
}

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t t = *a;
	*a = *b;
	*b = t;
}

/* Quickselect: the point that belongs at `mid` of [from, to). */
static void select_mid(const struct tree *t, size_t from, size_t to, size_t mid, size_t d)
{
	while (to - from > 1) {
		uint32_t pivot =
			t->order[from + (to - from - 1) / 2]; /* not the last: it must shrink */
		size_t i = from, j = to - 1;
		for (;;) {
			while (cmp_at(t, t->order[i], pivot, d) < 0)
				i++;
			while (cmp_at(t, t->order[j], pivot, d) > 0)
				j--;
			if (i >= j)
				break;
			swap(&t->order[i++], &t->order[j--]);
		}
		if (mid <= j)
			to = j + 1;
		else
			from = j + 1;
	}
}

static void plant(const struct tree *t, size_t from, size_t to, size_t d)
{
	if (to - from <= LEAF)
		return;
	size_t mid = from + (to - from) / 2;
	select_mid(t, from, to, mid, d);
	plant(t, from, mid, (d + 1) % t->dims);
	plant(t, mid + 1, to, (d + 1) % t->dims);
}

struct near {
	float d2[NEAR];
	uint32_t at[NEAR];
	size_t k;
	float x[3];
	uint32_t self;
};

static void offer(struct near *q, const struct tree *t, uint32_t p)
{
	float d = 0;
	for (size_t i = 0; i < t->dims; i++) {
		float by = t->xy[t->dims * p + i] - q->x[i];
		d += by * by;
	}
	if (p == q->self || !(d < q->d2[q->k - 1]))
		return;
	size_t i = q->k - 1;
	for (; i && d < q->d2[i - 1]; i--) {
		q->d2[i] = q->d2[i - 1];
		q->at[i] = q->at[i - 1];
	}
	q->d2[i] = d;
	q->at[i] = p;
}

static void look(const struct tree *t, struct near *q, size_t from, size_t to, size_t d)
{
	if (to - from <= LEAF) {
		for (size_t i = from; i < to; i++)
			offer(q, t, t->order[i]);
		return;
	}
	size_t mid = from + (to - from) / 2;
	uint32_t p = t->order[mid];
	float off = q->x[d] - t->xy[t->dims * p + d];
	size_t next = (d + 1) % t->dims;
	offer(q, t, p);
	if (off < 0)
		look(t, q, from, mid, next);
	else
		look(t, q, mid + 1, to, next);
	if (!(off * off < q->d2[q->k - 1]))
		return;
	if (off < 0)
		look(t, q, mid + 1, to, next);
	else
		look(t, q, from, mid, next);
}

/* ---- pairs in the order of their distance ---- */

struct pair {
	float d;
	uint32_t a, b;
};

static int by_distance(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	if (x->d != y->d)
		return x->d < y->d ? -1 : 1;
	if (x->a != y->a)
		return x->a < y->a ? -1 : 1;
	return x->b < y->b ? -1 : x->b > y->b;
}

struct density {
	const float *xy;
	size_t n, dims, k, min_size;
	const struct layout_work *w;
	float *lonely;     /* [n] */
	struct pair *pair; /* [n][k] */
	size_t n_pairs;

	/* joins: node n + i joins left[i] and right[i] */
	uint32_t *left, *right, *size, *up; /* up: union and find over nodes */
	float *far;
	size_t n_joins;

	int32_t *of; /* [n]: the group from which a point fell */
	struct group *group;
	size_t n_groups, cap;
};

static enum err get_pairs(struct density *x, struct errtext *et)
{
	struct tree t = {x->xy, x->dims, malloc(x->n * sizeof *t.order)};
	float *d2 = malloc(x->n * x->k * sizeof *d2);
	x->lonely = malloc(x->n * sizeof *x->lonely);
	x->pair = malloc(x->n * x->k * sizeof *x->pair);
	enum err e = t.order && d2 && x->lonely && x->pair ? OK : layout_no_memory(et);
	for (size_t i = 0; i < x->n && !e; i++)
		t.order[i] = (uint32_t)i;
	if (!e)
		plant(&t, 0, x->n, 0);
	for (size_t i = 0; i < x->n && !e; i++) {
		struct near q = {.k = x->k, .self = (uint32_t)i};
		memcpy(q.x, x->xy + x->dims * i, x->dims * sizeof *q.x);
		for (size_t c = 0; c < x->k; c++)
			q.d2[c] = INFINITY;
		look(&t, &q, 0, x->n, 0);
		x->lonely[i] = sqrtf(q.d2[x->k - 1]);
		for (size_t c = 0; c < x->k; c++)
			x->pair[i * x->k + c] = (struct pair){sqrtf(q.d2[c]), (uint32_t)i, q.at[c]};
		if (i % 8192 == 0)
			e = layout_at(x->w, "density", i, x->n);
	}
	for (size_t i = 0; i < x->n * x->k && !e; i++) {
		struct pair p = x->pair[i];
		p.d = MAX(p.d, MAX(x->lonely[p.a], x->lonely[p.b]));
		if (p.a > p.b)
			swap(&p.a, &p.b);
		x->pair[x->n_pairs++] = p;
	}
	if (!e)
		qsort(x->pair, x->n_pairs, sizeof *x->pair, by_distance);
	free(t.order);
	free(d2);
	return e;
}

/* ---- joins ---- */

static uint32_t top(struct density *x, uint32_t node)
{
	while (x->up[node] != node) {
		x->up[node] = x->up[x->up[node]];
		node = x->up[node];
	}
	return node;
}

static void join(struct density *x, uint32_t a, uint32_t b, float d)
{
	uint32_t node = (uint32_t)(x->n + x->n_joins);
	x->left[x->n_joins] = a;
	x->right[x->n_joins] = b;
	x->far[x->n_joins++] = d;
	x->size[node] = x->size[a] + x->size[b];
	x->up[a] = x->up[b] = x->up[node] = node;
}

static enum err join_all(struct density *x, struct errtext *et)
{
	size_t nodes = 2 * x->n;
	x->left = malloc(x->n * sizeof *x->left);
	x->right = malloc(x->n * sizeof *x->right);
	x->far = malloc(x->n * sizeof *x->far);
	x->size = malloc(nodes * sizeof *x->size);
	x->up = malloc(nodes * sizeof *x->up);
	if (!x->left || !x->right || !x->far || !x->size || !x->up)
		return layout_no_memory(et);
	for (uint32_t i = 0; i < x->n; i++) {
		x->size[i] = 1;
		x->up[i] = i;
	}
	for (size_t i = 0; i < x->n_pairs; i++) {
		uint32_t a = top(x, x->pair[i].a), b = top(x, x->pair[i].b);
		if (a != b)
			join(x, a, b, x->pair[i].d);
		if (i % (1 << 20) == 0 && cancelled(x->w->cancel))
			return ERR_CANCELLED;
	}
	for (uint32_t i = 1; i < x->n; i++) {
		uint32_t a = top(x, 0), b = top(x, i);
		if (a != b)
			join(x, a, b, INFINITY);
	}
	return OK;
}

/* ---- groups that last ---- */

struct group {
	int32_t parent, taken; /* taken: the group that is a cluster and holds this one; -1 */
	double born, stability, below;
	size_t size; /* when it was born */
	bool cluster;
	size_t n;       /* points of the cluster */
	uint32_t first; /* its lowest point */
};

static enum err add_group(struct density *x, int32_t parent, double born, size_t size, int32_t *out,
	struct errtext *et)
{
	if (x->n_groups == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 256;
		struct group *more = realloc(x->group, cap * sizeof *more);
		if (!more)
			return layout_no_memory(et);
		x->group = more;
		x->cap = cap;
	}
	x->group[x->n_groups] = (struct group){.parent = parent, .born = born, .size = size};
	*out = (int32_t)x->n_groups++;
	return OK;
}

struct visit {
	uint32_t node;
	int32_t group;
};

/* All points under the node fall out of the group. */
static void fall(struct density *x, uint32_t node, int32_t group, double when, uint32_t *stack)
{
	size_t n = 0;
	stack[n++] = node;
	while (n) {
		node = stack[--n];
		if (node >= x->n) {
			stack[n++] = x->left[node - x->n];
			stack[n++] = x->right[node - x->n];
			continue;
		}
		x->of[node] = group;
		x->group[group].stability += when - x->group[group].born;
	}
}

static enum err divide(struct density *x, double nearest, struct errtext *et)
{
	struct visit *todo = malloc((x->n + 1) * sizeof *todo);
	uint32_t *stack = malloc((x->n + 1) * sizeof *stack);
	int32_t whole = 0;
	size_t n = 0;
	enum err e = todo && stack ? add_group(x, -1, 0, x->n, &whole, et) : layout_no_memory(et);
	if (!e)
		todo[n++] = (struct visit){(uint32_t)(x->n + x->n_joins - 1), whole};
	while (n && !e) {
		struct visit v = todo[--n];
		if (v.node < x->n) { /* min_size is above 1: only when all else fell */
			fall(x, v.node, v.group, 1 / nearest, stack);
			continue;
		}
		size_t j = v.node - x->n;
		uint32_t side[2] = {x->left[j], x->right[j]};
		double when = isinf(x->far[j]) ? 0 : 1 / MAX((double)x->far[j], nearest);
		bool big[2] = {x->size[side[0]] >= x->min_size, x->size[side[1]] >= x->min_size};
		for (int s = 0; s < 2 && !e; s++) {
			int32_t to = v.group;
			if (!big[s]) {
				fall(x, side[s], v.group, when, stack);
				continue;
			}
			if (big[0] && big[1]) {
				x->group[v.group].stability +=
					(when - x->group[v.group].born) * x->size[side[s]];
				e = add_group(x, v.group, when, x->size[side[s]], &to, et);
			}
			todo[n++] = (struct visit){side[s], to};
		}
	}
	free(todo);
	free(stack);
	return e;
}

/* Children have higher numbers than their parents. */
static void choose(struct density *x)
{
	for (size_t i = x->n_groups; i-- > 1;) {
		struct group *g = &x->group[i];
		bool most = g->size > x->n / 2 && g->below > 0;
		g->cluster = g->stability >= g->below && !most;
		x->group[g->parent].below += g->cluster ? g->stability : g->below;
	}
	if (x->n_groups)
		x->group[0].taken = -1;
	for (size_t i = 1; i < x->n_groups; i++) {
		struct group *g = &x->group[i];
		int32_t above = x->group[g->parent].taken;
		g->taken = above >= 0 ? above : g->cluster ? (int32_t)i : -1;
	}
}

struct ranked {
	size_t n;
	uint32_t first;
	int32_t group;
};

static int by_size(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

static enum err number_them(struct density *x, int32_t *cluster, size_t *n_out, struct errtext *et)
{
	struct ranked *r = malloc((x->n_groups + 1) * sizeof *r);
	size_t n = 0;
	if (!r)
		return layout_no_memory(et);
	for (size_t i = 0; i < x->n; i++) {
		int32_t t = x->group[x->of[i]].taken;
		cluster[i] = t;
		if (t >= 0 && !x->group[t].n++)
			x->group[t].first = (uint32_t)i;
	}
	for (size_t i = 0; i < x->n_groups; i++)
		if (x->group[i].n)
			r[n++] = (struct ranked){x->group[i].n, x->group[i].first, (int32_t)i};
	qsort(r, n, sizeof *r, by_size);
	for (size_t i = 0; i < n; i++)
		x->group[r[i].group].parent = (int32_t)i; /* its number, from now on */
	for (size_t i = 0; i < x->n; i++)
		cluster[i] = cluster[i] < 0 ? LAYOUT_NOISE : x->group[cluster[i]].parent;
	free(r);
	*n_out = n;
	return OK;
}

enum err layout_clusters(const float *xy, size_t n, size_t min_size, const struct layout_work *w,
	int32_t *cluster, size_t *n_clusters, struct errtext *et)
{
	return layout_clusters_in(xy, 2, n, min_size, w, cluster, n_clusters, et);
}

enum err layout_clusters_in(const float *xy, size_t dims, size_t n, size_t min_size,
	const struct layout_work *w, int32_t *cluster, size_t *n_clusters, struct errtext *et)
{
	if (!min_size)
		min_size = MAX(5, (size_t)(sqrt((double)n) / 2));
	if (dims != 2 && dims != 3)
		return err_set(et, ERR_INVALID, "points of 2 or 3 numbers are wanted");
	if (min_size < 2 || n > LAYOUT_ROWS_MAX)
		return err_set(et, ERR_INVALID, "a cluster has at least 2 points");
	for (size_t i = 0; i < n; i++)
		cluster[i] = LAYOUT_NOISE;
	*n_clusters = 0;
	if (n < 2 * min_size)
		return OK;
	struct density x = {.xy = xy,
		.n = n,
		.dims = dims,
		.k = MIN((size_t)NEAR, MIN(min_size, n - 1)),
		.min_size = min_size,
		.w = w};
	double nearest = 0;
	enum err e = get_pairs(&x, et);
	e = e ? e : join_all(&x, et);
	x.of = malloc(n * sizeof *x.of);
	e = e || x.of ? e : layout_no_memory(et);
	for (size_t i = 0; i < x.n_joins && !e; i++) /* twins are not infinitely dense */
		nearest = MAX(nearest, isinf(x.far[i]) ? 0 : (double)x.far[i]);
	e = e ? e : divide(&x, MAX(nearest * 1e-6, 1e-30), et);
	if (!e) {
		choose(&x);
		e = number_them(&x, cluster, n_clusters, et);
	}
	free(x.lonely);
	free(x.pair);
	free(x.left);
	free(x.right);
	free(x.far);
	free(x.size);
	free(x.up);
	free(x.of);
	free(x.group);
	return e;
}
