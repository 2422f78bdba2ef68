/* Near-duplicates: groups of rows that are joined by pairs which lie close.
 *
 * All pairs are looked at, most of them in a few directions only. Let Q hold 47 orthonormal
 * directions in which the rows are large, and r be the length of what Q leaves of a row. Then
 * (Cauchy and Schwarz) a.b <= Qa.Qb + r(a) r(b), which is the dot product of two rows of 48
 * numbers: a pair for which even that is too small is not close. The few others are measured. Where
 * the rows have no such directions, all numbers are multiplied, as an exact search does.
 *
 * Where that is too much, the neighbours that the graph index gives are measured, and then all
 * pairs of some rows, which says how many were missed.
 *
 * Groups grow in a forest of parents that point to lower numbers. Threads read it without a lock
 * and join under one, so the groups do not depend on who comes first. */
#include "vector/curate.h"
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

enum {
	HEAD = 48,     /* numbers of a short row: directions, and the length of the rest */
	SHORT = 96,    /* rows that are not longer are used as they are */
	SAMPLE = 4096, /* rows that the directions are found from */
	TURNS = 6,     /* of the power iteration */
	QUERIES = 32,
	ROWS = 512,
	STEP = 16, /* products that are looked at together */
	ROUND = 64,
	GRAPH_NEAR = 24
};

/* Multiplications above which all pairs are too many: minutes of two cores. */
static const double work_max = 2e13;

struct twins {
	const struct layout_rows *x;
	const struct layout_work *w;
	size_t m; /* numbers of what is multiplied */
	const float *short_rows;
	float *own;          /* the short rows, when they are not x's */
	float *half;         /* [n] half of a row's square */
	float *scratch;      /* per thread */
	float within, slack; /* slack: what rounding may take from a product */
	_Atomic uint32_t *up;
	pthread_mutex_t join;
	_Atomic uint64_t measured;
	size_t first;          /* chunk of this round */
	const uint32_t *drawn; /* rows whose pairs are all looked at, when not all rows' are */
	size_t n_drawn;
	_Atomic size_t sampled, whole;
};

/* ---- the forest ---- */

static uint32_t root_of(const struct twins *t, uint32_t i)
{
	uint32_t up;
	while ((up = atomic_load_explicit(&t->up[i], memory_order_relaxed)) != i)
		i = up;
	return i;
}

static void join(struct twins *t, uint32_t a, uint32_t b)
{
	pthread_mutex_lock(&t->join);
	uint32_t x = root_of(t, a), y = root_of(t, b), low = MIN(x, y);
	atomic_store_explicit(&t->up[MAX(x, y)], low, memory_order_relaxed);
	/* the paths become short */
	for (uint32_t i = a, next; i != low; i = next) {
		next = atomic_load_explicit(&t->up[i], memory_order_relaxed);
		atomic_store_explicit(&t->up[i], low, memory_order_relaxed);
	}
	for (uint32_t i = b, next; i != low; i = next) {
		next = atomic_load_explicit(&t->up[i], memory_order_relaxed);
		atomic_store_explicit(&t->up[i], low, memory_order_relaxed);
	}
	pthread_mutex_unlock(&t->join);
}

static float distance_of(const struct layout_rows *x, size_t a, size_t b)
{
	float d;
	kern->l2s(x->v + a * x->dim, x->v + b * x->dim, x->dim, 1, x->dim, &d);
	return sqrtf(d);
}

static void look(struct twins *t, uint32_t a, uint32_t b, uint64_t *measured)
{
	if (root_of(t, a) == root_of(t, b))
		return;
	++*measured;
	if (distance_of(t->x, a, b) <= t->within)
		join(t, a, b);
}

/* ---- short rows ---- */

/* Gram and Schmidt, twice; a direction that vanishes becomes zero. q[l][dim] */
static void orthonormal(float *q, size_t l, size_t dim)
{
	for (size_t i = 0; i < l; i++) {
		float *v = q + i * dim;
		for (int twice = 0; twice < 2; twice++) {
			for (size_t j = 0; j < i; j++)
				kern->axpy(v, -kern->dot(v, q + j * dim, dim), q + j * dim, dim);
			float length = kern->normalize(v, v, dim);
			if (!(length > 1e-6f))
				memset(v, 0, dim * sizeof *v);
		}
	}
}

static void multiply(const struct twins *t, bool ta, bool tb, size_t m, size_t n, size_t k,
	const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
	kern_gemm(t->w->team, &(struct kern_gemm){.ta = ta,
				      .tb = tb,
				      .m = m,
				      .n = n,
				      .k = k,
				      .a = a,
				      .lda = lda,
				      .b = b,
				      .ldb = ldb,
				      .c = c,
				      .ldc = ldc,
				      .alpha = 1});
}

/* Directions in which a sample of the rows is large: power iteration. q[HEAD - 1][dim] */
static enum err find_directions(struct twins *t, float *q, struct errtext *et)
{
	const struct layout_rows *x = t->x;
	size_t n = MIN(x->n, (size_t)SAMPLE), l = HEAD - 1, dim = x->dim;
	float *rows = malloc(n * dim * sizeof *rows), *p = malloc(n * l * sizeof *p);
	uint64_t seed = 1;
	enum err e = rows && p ? OK : layout_no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		memcpy(rows + i * dim, x->v + i * x->n / n * dim, dim * sizeof *rows);
	for (size_t i = 0; i < l * dim; i++)
		q[i] = layout_uniform(&seed);
	for (int turn = 0; turn < TURNS && !e; turn++) {
		orthonormal(q, l, dim);
		multiply(t, false, true, n, l, dim, rows, dim, q, dim, p, l);
		multiply(t, true, false, l, dim, n, p, l, rows, dim, q, dim);
		e = cancelled(t->w->cancel) ? ERR_CANCELLED : OK;
	}
	orthonormal(q, l, dim);
	free(rows);
	free(p);
	return e;
}

/* What is left of a row is rounded up: the bound must hold. */
static void finish_row(const struct twins *t, float *head, float square)
{
	float kept = kern->dot(head, head, HEAD - 1);
	head[HEAD - 1] = sqrtf(MAX(square - kept, 0) + 1e-6f * square);
	(void)t;
}

static enum err shorten(struct twins *t, struct errtext *et)
{
	const struct layout_rows *x = t->x;
	float *q = malloc((HEAD - 1) * x->dim * sizeof *q);
	t->own = malloc(x->n * HEAD * sizeof *t->own);
	enum err e = q && t->own ? find_directions(t, q, et) : layout_no_memory(et);
	for (size_t from = 0; from < x->n && !e; from += 8192) {
		size_t m = MIN(x->n - from, (size_t)8192);
		e = layout_at(t->w, "directions", from, x->n);
		if (e)
			break;
		multiply(t, false, true, m, HEAD - 1, x->dim, x->v + from * x->dim, x->dim, q,
			x->dim, t->own + from * HEAD, HEAD);
		for (size_t i = from; i < from + m; i++)
			finish_row(t, t->own + i * HEAD, 2 * t->half[i]);
	}
	free(q);
	t->m = HEAD;
	t->short_rows = t->own;
	return e;
}

/* Do the short rows tell most pairs apart? Pairs that are spread over all rows. */
static double share_left(const struct twins *t)
{
	enum { PAIRS = 20000 };
	uint64_t seed = 7;
	size_t left = 0;
	for (size_t i = 0; i < PAIRS; i++) {
		size_t a = layout_random(&seed) % t->x->n, b = layout_random(&seed) % t->x->n;
		float p = kern->dot(t->short_rows + a * t->m, t->short_rows + b * t->m, t->m);
		left += p >= t->half[a] + t->half[b] - t->slack;
	}
	return (double)left / PAIRS;
}

/* ---- all pairs ---- */

/* Products of a row with ROWS others; one that may be close is measured. */
static void look_at_products(
	struct twins *t, uint32_t a, uint32_t first, size_t n, const float *p, uint64_t *measured)
{
	float least = t->half[a] - t->slack;
	const float *half = t->half + first;
	for (size_t c = 0; c < n; c += STEP) {
		size_t m = MIN(n - c, (size_t)STEP);
		int any = 0;
		if (m == STEP)
			for (size_t i = 0; i < STEP; i++)
				any |= p[c + i] >= least + half[c + i];
		else
			any = 1;
		for (size_t i = 0; any && i < m; i++) {
			uint32_t b = first + (uint32_t)(c + i);
			if (p[c + i] >= least + half[c + i] && b > a)
				look(t, a, b, measured);
		}
	}
}

static void pairs_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct twins *t = arg;
	size_t n = t->x->n, from = (t->first + chunk) * QUERIES;
	size_t m = MIN(n - from, (size_t)QUERIES), k = t->m;
	float *dots = t->scratch + thread * (size_t)(QUERIES * ROWS);
	uint64_t measured = 0;
	for (size_t r = from / ROWS * ROWS; r < n && !cancelled(t->w->cancel); r += ROWS) {
		size_t n_rows = MIN(n - r, (size_t)ROWS);
		kern->dots_many(t->short_rows + from * k, k, m, t->short_rows + r * k, k, n_rows, k,
			dots, ROWS);
		for (size_t i = 0; i < m; i++)
			look_at_products(t, (uint32_t)(from + i), (uint32_t)r, n_rows,
				dots + i * ROWS, &measured);
	}
	atomic_fetch_add(&t->measured, measured);
}

static enum err all_pairs(struct twins *t, struct errtext *et)
{
	size_t n = t->x->n, chunks = (n + QUERIES - 1) / QUERIES;
	t->scratch = malloc(kern_team_size(t->w->team) * QUERIES * ROWS * sizeof *t->scratch);
	enum err e = t->scratch ? OK : layout_no_memory(et);
	for (t->first = 0; t->first < chunks && !e; t->first += ROUND) {
		/* the work that is left shrinks with the square of the rows that are left */
		double left = 1 - (double)t->first / (double)chunks;
		e = layout_at(t->w, "pairs", (uint64_t)((1 - left * left) * (double)n), n);
		if (!e)
			kern_team_run(
				t->w->team, pairs_chunk, t, MIN(chunks - t->first, (size_t)ROUND));
	}
	return e ? e : layout_at(t->w, "pairs", n, n);
}

static enum err by_neighbours(struct twins *t, struct errtext *et)
{
	struct layout_nearest g;
	uint64_t measured = 0;
	enum err e = layout_nearest(
		t->x, NULL, 0, MIN((size_t)GRAPH_NEAR, t->x->n - 1), LAYOUT_GRAPH, t->w, &g, et);
	if (e)
		return e;
	for (size_t i = 0; i < g.n; i++)
		for (size_t c = 0; c < g.k && g.at[i * g.k + c] != LAYOUT_NOBODY; c++)
			if (g.distance[i * g.k + c] <= t->within * 1.01f + 1e-6f)
				look(t, (uint32_t)i, g.at[i * g.k + c], &measured);
	t->measured = measured;
	layout_nearest_free(&g);
	return OK;
}

/* ---- how much the neighbours miss ---- */

static const double sample_work = 4e11; /* multiplications: some seconds */

/* All pairs of some drawn rows, which are not joined: are they in the groups that were found? */
static void drawn_chunk(void *arg, size_t chunk, unsigned thread)
{
	struct twins *t = arg;
	size_t from = chunk * QUERIES, m = MIN(t->n_drawn - from, (size_t)QUERIES), k = t->m;
	float *own = t->scratch + thread * (QUERIES * (ROWS + k)), *dots = own + QUERIES * k;
	bool has[QUERIES] = {false}, lacks[QUERIES] = {false};
	for (size_t i = 0; i < m; i++)
		memcpy(own + i * k, t->short_rows + t->drawn[from + i] * k, k * sizeof *own);
	for (size_t r = 0; r < t->x->n && !cancelled(t->w->cancel); r += ROWS) {
		size_t n_rows = MIN(t->x->n - r, (size_t)ROWS);
		kern->dots_many(own, k, m, t->short_rows + r * k, k, n_rows, k, dots, ROWS);
		for (size_t i = 0; i < m; i++) {
			uint32_t a = t->drawn[from + i];
			for (size_t c = 0; c < n_rows; c++) {
				uint32_t b = (uint32_t)(r + c);
				if (dots[i * ROWS + c] < t->half[a] + t->half[b] - t->slack ||
					a == b || distance_of(t->x, a, b) > t->within)
					continue;
				has[i] = true;
				lacks[i] |= root_of(t, a) != root_of(t, b);
			}
		}
	}
	for (size_t i = 0; i < m; i++) {
		atomic_fetch_add(&t->sampled, has[i]);
		atomic_fetch_add(&t->whole, has[i] && !lacks[i]);
	}
}

static enum err measure_recall(struct twins *t, struct errtext *et)
{
	size_t n = t->x->n, most = (size_t)(sample_work / ((double)n * (double)t->m)), chunks;
	uint64_t seed = 11;
	t->n_drawn = MIN(MIN(MAX(most, (size_t)256), (size_t)8192), n);
	uint32_t *drawn = malloc(t->n_drawn * sizeof *drawn);
	free(t->scratch);
	t->scratch =
		malloc(kern_team_size(t->w->team) * QUERIES * (ROWS + t->m) * sizeof *t->scratch);
	enum err e = drawn && t->scratch ? OK : layout_no_memory(et);
	/* one of each of so many equal parts: none twice */
	for (size_t i = 0; i < t->n_drawn && !e; i++) {
		size_t low = i * n / t->n_drawn, high = (i + 1) * n / t->n_drawn;
		drawn[i] = (uint32_t)(low + layout_random(&seed) % (high - low));
	}
	t->drawn = drawn;
	chunks = (t->n_drawn + QUERIES - 1) / QUERIES;
	e = e ? e : layout_at(t->w, "recall", 0, 0);
	if (!e)
		kern_team_run(t->w->team, drawn_chunk, t, chunks);
	free(drawn);
	return !e && cancelled(t->w->cancel) ? ERR_CANCELLED : e;
}

/* ---- groups ---- */

struct sized {
	uint32_t root, size;
};

static int by_size(const void *a, const void *b)
{
	const struct sized *x = a, *y = b;
	return x->size != y->size  ? (x->size > y->size ? -1 : 1)
	       : x->root < y->root ? -1
				   : x->root > y->root;
}

static enum err number_groups(
	const struct twins *t, uint32_t *group, struct curate_twins *out, struct errtext *et)
{
	size_t n = t->x->n, n_groups = 0, n_rows = 0;
	uint32_t *size = calloc(n, sizeof *size);
	struct sized *list = malloc((n / 2 + 1) * sizeof *list);
	enum err e = size && list ? OK : layout_no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		size[group[i] = root_of(t, (uint32_t)i)]++;
	for (size_t i = 0; i < n && !e; i++)
		if (size[i] > 1) {
			list[n_groups++] = (struct sized){(uint32_t)i, size[i]};
			n_rows += size[i];
		}
	if (!e) {
		qsort(list, n_groups, sizeof *list, by_size);
		for (size_t i = 0; i < n; i++)
			size[i] = CURATE_NONE;
		for (size_t g = 0; g < n_groups; g++)
			size[list[g].root] = (uint32_t)g;
		for (size_t i = 0; i < n; i++)
			group[i] = size[group[i]];
		out->n_groups = n_groups;
		out->n_rows = n_rows;
		out->measured = t->measured;
		out->sampled = t->sampled;
		out->whole = t->whole;
	}
	free(size);
	free(list);
	return e;
}

static enum err begin(struct twins *t, struct errtext *et)
{
	const struct layout_rows *x = t->x;
	float largest = 0;
	t->half = malloc(x->n * sizeof *t->half);
	t->up = malloc(x->n * sizeof *t->up);
	if (!t->half || !t->up)
		return layout_no_memory(et);
	for (size_t i = 0; i < x->n; i++) {
		t->half[i] = kern->dot(x->v + i * x->dim, x->v + i * x->dim, x->dim) / 2;
		largest = MAX(largest, t->half[i]);
		atomic_init(&t->up[i], (uint32_t)i);
	}
	t->slack = t->within * t->within / 2 + 2e-5f * largest;
	return OK;
}

static enum err choose_rows(
	struct twins *t, enum layout_search how, bool *exact, struct errtext *et)
{
	double pairs = (double)t->x->n * (double)t->x->n / 2, dim = (double)t->x->dim;
	double cost = pairs * dim;
	enum err e = OK;
	t->m = t->x->dim;
	t->short_rows = t->x->v;
	if (t->x->dim > SHORT && how != LAYOUT_GRAPH) {
		e = shorten(t, et);
		/* a measured pair costs about what four in a block do */
		cost = e ? 0 : pairs * (HEAD + 4 * dim * share_left(t));
		if (!e && cost > pairs * dim) {
			cost = pairs * dim;
			t->m = t->x->dim;
			t->short_rows = t->x->v;
		}
	}
	*exact = how == LAYOUT_EXACT || (how == LAYOUT_AUTO && cost <= work_max);
	return e;
}

enum err curate_twins(const struct layout_rows *x, float within, enum layout_search how,
	const struct layout_work *w, uint32_t *group, struct curate_twins *out, struct errtext *et)
{
	if (x->n < 2 || x->n > LAYOUT_ROWS_MAX || !(within >= 0) || isinf(within))
		return err_set(et, ERR_INVALID,
			"near-duplicates are found among 2 to %d vectors, within a distance of 0 "
			"or more",
			LAYOUT_ROWS_MAX);
	struct twins t = {.x = x, .w = w, .within = within};
	struct curate_twins found = {0};
	pthread_mutex_init(&t.join, NULL);
	enum err e = begin(&t, et);
	e = e ? e : choose_rows(&t, how, &found.exact, et);
	e = e ? e : found.exact ? all_pairs(&t, et) : by_neighbours(&t, et);
	e = e || found.exact ? e : measure_recall(&t, et);
	e = e ? e : number_groups(&t, group, &found, et);
	if (!e)
		*out = found;
	pthread_mutex_destroy(&t.join);
	free(t.own);
	free(t.half);
	free((void *)t.up);
	free(t.scratch);
	return e;
}

/* ---- who stays ---- */

struct member {
	double worth;
	uint32_t row;
};

static int by_worth(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	return x->worth > y->worth   ? -1
	       : x->worth < y->worth ? 1
	       : x->row < y->row     ? -1
				     : x->row > y->row;
}

/* Minus the distance to the middle. mean[dim] */
static void be_central(const struct layout_rows *x, struct member *m, size_t n, float *mean)
{
	memset(mean, 0, x->dim * sizeof *mean);
	for (size_t i = 0; i < n; i++)
		kern->axpy(mean, 1 / (float)n, x->v + (size_t)m[i].row * x->dim, x->dim);
	for (size_t i = 0; i < n; i++) {
		float d;
		kern->l2s(mean, x->v + (size_t)m[i].row * x->dim, x->dim, 1, x->dim, &d);
		m[i].worth = -(double)d;
	}
}

/* The most worthy takes what is within reach; then the next of those that are left. */
static enum err settle(const struct layout_rows *x, struct member *m, size_t n, float within,
	const struct layout_work *w, uint32_t *keeper, float *distance)
{
	qsort(m, n, sizeof *m, by_worth);
	while (n) {
		uint32_t stays = m[0].row;
		size_t left = 0;
		keeper[stays] = stays;
		distance[stays] = 0;
		if (cancelled(w->cancel))
			return ERR_CANCELLED;
		for (size_t i = 1; i < n; i++) {
			float d = distance_of(x, stays, m[i].row);
			if (d <= within) {
				keeper[m[i].row] = stays;
				distance[m[i].row] = d;
			} else {
				m[left++] = m[i];
			}
		}
		n = left;
	}
	return OK;
}

enum err curate_keepers(const struct layout_rows *x, const uint32_t *group, size_t n_groups,
	float within, const double *worth, const struct layout_work *w, uint32_t *keeper,
	float *distance, struct errtext *et)
{
	size_t *from = calloc(n_groups + 2, sizeof *from);
	struct member *m = malloc((x->n + 1) * sizeof *m);
	float *mean = malloc(x->dim * sizeof *mean);
	enum err e = from && m && mean ? OK : layout_no_memory(et);
	for (size_t i = 0; i < x->n && !e; i++) {
		keeper[i] = (uint32_t)i;
		distance[i] = 0;
		if (group[i] != CURATE_NONE)
			from[group[i] + 2]++;
	}
	for (size_t g = 2; g < n_groups + 2 && !e; g++)
		from[g] += from[g - 1];
	for (size_t i = 0; i < x->n && !e; i++)
		if (group[i] != CURATE_NONE)
			m[from[group[i] + 1]++] =
				(struct member){worth ? worth[i] : 0, (uint32_t)i};
	for (size_t g = 0; g < n_groups && !e; g++) {
		size_t n = from[g + 1] - from[g];
		if (g % 256 == 0)
			e = layout_at(w, "which stay", g, n_groups);
		if (!worth && !e)
			be_central(x, m + from[g], n, mean);
		e = e ? e : settle(x, m + from[g], n, within, w, keeper, distance);
	}
	free(from);
	free(m);
	free(mean);
	return e;
}
