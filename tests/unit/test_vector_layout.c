/* Layouts: principal components against a case that is known, neighbours against all pairs, how
 * well the plane keeps neighbours, clusters that were put there, and the same bits each time. */
#include "tap.h"
#include "kernels/kernels.h"
#include "vector/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;
static const struct layout_work alone;

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static float normal(uint64_t *s)
{
	float sum = 0;
	for (int i = 0; i < 12; i++)
		sum += (float)(rnd(s) >> 40) * 0x1p-24f;
	return sum - 6;
}

/* n rows around n_centres centres, which take turns. */
static float *blobs(size_t n, size_t dim, size_t n_centres, float apart)
{
	uint64_t s = 88172645463325252u;
	float *c = malloc(n_centres * dim * sizeof *c), *v = malloc(n * dim * sizeof *v);
	for (size_t i = 0; i < n_centres * dim; i++)
		c[i] = apart * normal(&s);
	for (size_t i = 0; i < n * dim; i++)
		v[i] = c[i / dim % n_centres * dim + i % dim] + normal(&s);
	free(c);
	return v;
}

static float *nowhere(size_t n)
{
	float *xy = malloc(2 * n * sizeof *xy);
	for (size_t i = 0; i < 2 * n; i++)
		xy[i] = NAN;
	return xy;
}

static void embed(const float *v, size_t n, size_t dim, struct layout_options o, float *xy)
{
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(layout_embed(&(struct layout_rows){v, n, dim}, &o, &alone, xy, &et), &et);
	for (size_t i = 0; i < 2 * n; i++)
		CHECK(isfinite(xy[i]));
}

/* ---- principal components ---- */

static void test_vector_layout_pca__axes_that_are_known(void)
{
	enum { N = 4000, DIM = 40 };
	float *v = malloc(N * DIM * sizeof *v), *p = malloc(N * 3 * sizeof *p), share[3];
	/* sines of different frequencies are exactly orthogonal: variance a^2 / 2 along each axis
	 */
	static const float size[] = {9, 5, 3};
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < DIM; j++) {
			double t = 2 * M_PI * (double)i / N;
			float along = j < 3 ? size[j] : 0.5f;
			v[i * DIM + j] = 7 + along * (float)sin((double)(j + 1) * t);
		}
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(layout_pca(&(struct layout_rows){v, N, DIM}, 3, 5, &alone, p, share, &et), &et);
	double total = 81 + 25 + 9 + 37 * 0.25;
	for (size_t k = 0; k < 3; k++) {
		double want = (double)(size[k] * size[k]) / total;
		CHECK(fabs((double)share[k] - want) < 1e-5);
		for (size_t i = 0; i < N; i++)
			CHECK(fabsf(p[i * 3 + k] - (v[i * DIM + k] - 7)) < 2e-3f);
	}
	free(v);
	free(p);
}

static void test_vector_layout_pca__few_rows_and_flat_ones(void)
{
	static const float v[] = {1, 1, 1, 2, 2, 2, 3, 3, 3};
	static const float same[] = {4, 4, 4, 4};
	float p[9], share[3];
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(layout_pca(&(struct layout_rows){v, 3, 3}, 3, 1, &alone, p, share, &et), &et);
	CHECK(fabsf(p[0] + sqrtf(3)) < 1e-5f && fabsf(p[3]) < 1e-5f && fabsf(p[1]) < 1e-5f);
	CHECK(fabsf(share[0] - 1) < 1e-5f && share[1] < 1e-6f);
	CHECK_OK(layout_pca(&(struct layout_rows){same, 2, 2}, 2, 1, &alone, p, share, &et), &et);
	CHECK(p[0] == 0 && share[0] == 0);
	CHECK_ERR(layout_pca(&(struct layout_rows){v, 3, 3}, 4, 1, &alone, p, share, &et),
		ERR_INVALID);
	CHECK_ERR(layout_pca(&(struct layout_rows){v, 0, 3}, 1, 1, &alone, p, share, &et),
		ERR_INVALID);
}

/* ---- neighbours ---- */

static double square(const float *a, const float *b, size_t dim)
{
	double s = 0;
	for (size_t i = 0; i < dim; i++)
		s += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return s;
}

static void test_vector_layout_nearest__all_pairs_and_graph(void)
{
	enum { N = 6000, DIM = 20, K = 10 };
	float *v = blobs(N, DIM, 30, 1);
	struct layout_rows x = {v, N, DIM};
	struct layout_nearest a, b;
	size_t found = 0;
	CHECK_OK(kern_init(&et), &et);
	memcpy(v + DIM, v, DIM * sizeof *v); /* twins */
	CHECK_OK(layout_nearest(&x, NULL, 0, K, LAYOUT_EXACT, &alone, &a, &et), &et);
	CHECK_OK(layout_nearest(&x, NULL, 0, K, LAYOUT_GRAPH, &alone, &b, &et), &et);
	CHECK(a.exact && !b.exact);
	CHECK(a.at[0] == 1 && a.distance[0] == 0 && a.at[K] == 0);
	for (size_t i = 0; i < N; i += 97) {
		double last = sqrt(square(v + i * DIM, v + a.at[i * K + K - 1] * DIM, DIM));
		size_t nearer = 0;
		for (size_t j = 0; j < N; j++)
			nearer +=
				j != i && sqrt(square(v + i * DIM, v + j * DIM, DIM)) < last - 1e-4;
		CHECK(nearer < K);
	}
	for (size_t i = 0; i < N; i++)
		for (size_t c = 0; c < K; c++)
			for (size_t d = 0; d < K; d++)
				found += a.at[i * K + c] == b.at[i * K + d];
	tap_note("of the nearest, the graph finds %.4f", (double)found / (N * K));
	CHECK(found > N * K * 97 / 100);
	layout_nearest_free(&a);
	layout_nearest_free(&b);
	free(v);
}

/* ---- how well neighbours are kept ---- */

struct far {
	double d;
	uint32_t at;
};

static int by_far(const void *a, const void *b)
{
	const struct far *x = a, *y = b;
	return x->d < y->d ? -1 : x->d > y->d ? 1 : x->at < y->at ? -1 : x->at > y->at;
}

/* rank[j] of row i among the others, 0: the nearest. */
static void ranks(const float *v, size_t n, size_t dim, size_t i, struct far *f, uint32_t *rank)
{
	for (size_t j = 0; j < n; j++)
		f[j] = (struct far){
			j == i ? -1 : square(v + i * dim, v + j * dim, dim), (uint32_t)j};
	qsort(f, n, sizeof *f, by_far);
	for (size_t r = 0; r < n; r++)
		rank[f[r].at] = (uint32_t)r; /* itself 0, the nearest 1 */
}

/* Venna and Kaski 2001: 1 - 2 / (n k (2n - 3k - 1)) * sum of (rank there - k) over the k nearest
 * here. Trustworthiness: here is the plane. Continuity: here is the space. */
static void kept(const float *v, size_t n, size_t dim, const float *xy, size_t k, double *trust,
	double *continuity)
{
	struct far *f = malloc(n * sizeof *f);
	uint32_t *space = malloc(n * sizeof *space), *plane = malloc(n * sizeof *plane);
	double t = 0, c = 0;
	for (size_t i = 0; i < n; i++) {
		ranks(v, n, dim, i, f, space);
		ranks(xy, n, 2, i, f, plane);
		for (size_t j = 0; j < n; j++) {
			if (j != i && plane[j] <= k && space[j] > k)
				t += space[j] - (double)k;
			if (j != i && space[j] <= k && plane[j] > k)
				c += plane[j] - (double)k;
		}
	}
	double f2 = 2 / ((double)n * (double)k * (2 * (double)n - 3 * (double)k - 1));
	*trust = 1 - f2 * t;
	*continuity = 1 - f2 * c;
	free(f);
	free(space);
	free(plane);
}

/* A rolled-up sheet in 10 dimensions: the plane can keep it nearly whole. */
static void test_vector_layout__a_sheet_is_unrolled(void)
{
	enum { N = 2000, DIM = 10 };
	float *v = malloc(N * DIM * sizeof *v), *xy = nowhere(N), *p = malloc(2 * N * sizeof *p);
	uint64_t s = 12345;
	double trust, continuity, pca_trust, pca_continuity;
	for (size_t i = 0; i < N; i++) {
		float t = 4.7f + 9.4f * (float)(rnd(&s) >> 40) * 0x1p-24f;
		float h = 20 * (float)(rnd(&s) >> 40) * 0x1p-24f;
		for (size_t j = 0; j < DIM; j++)
			v[i * DIM + j] = 0.05f * normal(&s);
		v[i * DIM] += t * cosf(t);
		v[i * DIM + 1] += h;
		v[i * DIM + 2] += t * sinf(t);
	}
	embed(v, N, DIM, (struct layout_options){.seed = 1}, xy);
	CHECK_OK(layout_pca(&(struct layout_rows){v, N, DIM}, 2, 1, &alone, p, NULL, &et), &et);
	kept(v, N, DIM, xy, 15, &trust, &continuity);
	kept(v, N, DIM, p, 15, &pca_trust, &pca_continuity);
	tap_note("trustworthiness %.4f, continuity %.4f; of principal components %.4f, %.4f", trust,
		continuity, pca_trust, pca_continuity);
	CHECK(trust > 0.98 && continuity > 0.97);
	CHECK(trust > pca_trust);
	free(v);
	free(xy);
	free(p);
}

static void test_vector_layout__curve_of_the_paper(void)
{
	double a, b;
	layout_curve(0.1, 1, &a, &b); /* umap-learn's find_ab_params gives these */
	CHECK(fabs(a - 1.5769) < 1e-3 && fabs(b - 0.8951) < 1e-3);
	layout_curve(0.5, 1, &a, &b);
	CHECK(fabs(a - 0.5830) < 1e-3 && fabs(b - 1.3342) < 1e-3);
	layout_curve(0.001, 1, &a, &b);
	CHECK(fabs(a - 1.9291) < 1e-3 && fabs(b - 0.7915) < 1e-3);
}

/* ---- clusters ---- */

/* How often two points are together in both or in neither: 1 is the same. */
static double pairs_agree(const int32_t *a, size_t n, size_t n_true)
{
	double same = 0, all = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			same += (a[i] == a[j] && a[i] >= 0) == (i % n_true == j % n_true);
			all++;
		}
	return same / all;
}

static void test_vector_layout__clusters_are_found(void)
{
	enum { N = 3000, DIM = 50, TRUE = 12 };
	float *v = blobs(N, DIM, TRUE, 1), *xy = nowhere(N);
	int32_t *of = malloc(N * sizeof *of);
	size_t n, noise = 0, last = SIZE_MAX;
	embed(v, N, DIM, (struct layout_options){.seed = 7}, xy);
	CHECK_OK(layout_clusters(xy, N, 0, &alone, of, &n, &et), &et);
	for (size_t i = 0; i < N; i++)
		noise += of[i] < 0;
	tap_note("%zu clusters, %zu of none, agreement %.4f", n, noise, pairs_agree(of, N, TRUE));
	CHECK_INT(n, TRUE);
	CHECK(noise < N / 50);
	CHECK(pairs_agree(of, N, TRUE) > 0.99);
	for (int32_t c = 0; c < (int32_t)n; c++) {
		size_t size = 0;
		for (size_t i = 0; i < N; i++)
			size += of[i] == c;
		CHECK(size <= last);
		last = size;
	}
	free(v);
	free(xy);
	free(of);
}

static void test_vector_layout__clusters_in_space(void)
{
	enum { N = 1500, DIM = 30, TRUE = 8 };
	float *v = blobs(N, DIM, TRUE, 1), *at = malloc(3 * N * sizeof *at),
	      *again = malloc(3 * N * sizeof *at);
	struct layout_rows rows = {v, N, DIM};
	struct layout_options o = {.seed = 7, .dims = 3};
	int32_t *of = malloc(N * sizeof *of);
	size_t n;
	CHECK_OK(kern_init(&et), &et);
	for (size_t i = 0; i < 3 * N; i++)
		at[i] = NAN;
	CHECK_OK(layout_embed(&rows, &o, &alone, at, &et), &et);
	for (size_t i = 0; i < 3 * N; i++)
		CHECK(isfinite(at[i]));
	CHECK_OK(layout_clusters_in(at, 3, N, 0, &alone, of, &n, &et), &et);
	CHECK_INT(n, TRUE);
	CHECK(pairs_agree(of, N, TRUE) > 0.99);
	/* some are placed anew, the others stay to the bit */
	memcpy(again, at, 3 * N * sizeof *at);
	for (size_t i = 0; i < N; i += 10)
		again[3 * i + 2] = NAN;
	o.stay = true;
	CHECK_OK(layout_embed(&rows, &o, &alone, again, &et), &et);
	for (size_t i = 0; i < N; i++)
		CHECK(i % 10 ? !memcmp(again + 3 * i, at + 3 * i, 3 * sizeof *at)
			     : isfinite(again[3 * i + 2]));
	CHECK_OK(layout_clusters_in(again, 3, N, 0, &alone, of, &n, &et), &et);
	CHECK(n == TRUE && pairs_agree(of, N, TRUE) > 0.99);
	o.dims = 4;
	CHECK_ERR(layout_embed(&rows, &o, &alone, again, &et), ERR_INVALID);
	CHECK_ERR(layout_clusters_in(at, 1, N, 0, &alone, of, &n, &et), ERR_INVALID);
	free(v);
	free(at);
	free(again);
	free(of);
}

static void test_vector_layout_clusters__noise_twins_and_few(void)
{
	enum { N = 900 };
	float xy[2 * N];
	int32_t of[N];
	size_t n, noise = 0;
	uint64_t s = 5;
	CHECK_OK(kern_init(&et), &et);
	for (size_t i = 0; i < N; i++) { /* two clusters, and a third of it anywhere */
		float x = i % 3 == 2 ? 40 * normal(&s) : i % 3 ? 30 : -30;
		xy[2 * i] = x + normal(&s);
		xy[2 * i + 1] = (i % 3 == 2 ? 40 : 1) * normal(&s);
	}
	CHECK_OK(layout_clusters(xy, N, 40, &alone, of, &n, &et), &et);
	CHECK_INT(n, 2);
	for (size_t i = 0; i < N; i++)
		noise += i % 3 == 2 && of[i] < 0;
	CHECK(noise > N / 3 * 7 / 10);
	for (size_t i = 3; i < N; i += 3)
		CHECK(of[i] < 0 || of[i] != of[1]);
	for (size_t i = 0; i < 2 * N; i++) /* all on two spots */
		xy[i] = (float)(i / 2 % 2);
	CHECK_OK(layout_clusters(xy, N, 0, &alone, of, &n, &et), &et);
	CHECK_INT(n, 2);
	CHECK(of[0] == 0 && of[1] == 1 && of[N - 2] == 0 && of[N - 1] == 1);
	CHECK_OK(layout_clusters(xy, 1, 0, &alone, of, &n, &et), &et);
	CHECK_INT(n, 0);
	CHECK_INT(of[0], LAYOUT_NOISE);
	CHECK_ERR(layout_clusters(xy, N, 1, &alone, of, &n, &et), ERR_INVALID);
}

/* ---- the same again, and a little more ---- */

static void test_vector_layout__the_same_bits(void)
{
	enum { N = 1200, DIM = 32 };
	float *v = blobs(N, DIM, 5, 1), *a = nowhere(N), *b = nowhere(N), *c = nowhere(N);
	struct kern_team *team = NULL;
	embed(v, N, DIM, (struct layout_options){.seed = 3}, a);
	CHECK_OK(kern_team_new(2, &team, &et), &et);
	CHECK_OK(layout_embed(&(struct layout_rows){v, N, DIM}, &(struct layout_options){.seed = 3},
			 &(struct layout_work){.team = team}, b, &et),
		&et);
	kern_team_free(team);
	embed(v, N, DIM, (struct layout_options){.seed = 4}, c);
	CHECK(!memcmp(a, b, 2 * N * sizeof *a));
	CHECK(memcmp(a, c, 2 * N * sizeof *a));
	free(v);
	free(a);
	free(b);
	free(c);
}

static double extent(const float *xy, size_t n)
{
	double low = INFINITY, high = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		low = fmin(low, (double)xy[2 * i]);
		high = fmax(high, (double)xy[2 * i]);
	}
	return high - low;
}

static double moved(const float *a, const float *b, size_t n)
{
	double s = 0;
	for (size_t i = 0; i < n; i++)
		s += sqrt(square(a + 2 * i, b + 2 * i, 2));
	return s / (double)n;
}

static void test_vector_layout__new_points_find_their_place(void)
{
	enum { N = 2000, OLD = 1800, DIM = 30, TRUE = 10 };
	float *v = blobs(N, DIM, TRUE, 1), *old = nowhere(N), *all = nowhere(N);
	double middle[TRUE][2] = {{0}};
	embed(v, OLD, DIM, (struct layout_options){.seed = 2}, old);
	memcpy(all, old, 2 * OLD * sizeof *all);
	embed(v, N, DIM, (struct layout_options){.seed = 2, .stay = true}, all);
	CHECK(!memcmp(all, old, 2 * OLD * sizeof *all));
	for (size_t i = 0; i < OLD; i++)
		for (int d = 0; d < 2; d++)
			middle[i % TRUE][d] += (double)old[2 * i + d] / (OLD / TRUE);
	size_t right = 0;
	for (size_t i = OLD; i < N; i++) {
		size_t best = 0;
		double nearest = INFINITY;
		for (size_t c = 0; c < TRUE; c++) {
			double d = hypot((double)all[2 * i] - middle[c][0],
				(double)all[2 * i + 1] - middle[c][1]);
			if (d < nearest) {
				nearest = d;
				best = c;
			}
		}
		right += best == i % TRUE;
	}
	CHECK(right >= (N - OLD) * 98 / 100);
	/* aligned: all move, but nobody far; a layout of its own goes where it wants */
	float *again = nowhere(N), *other = nowhere(N);
	memcpy(again, old, 2 * OLD * sizeof *again);
	embed(v, N, DIM, (struct layout_options){.seed = 9}, again);
	embed(v, N, DIM, (struct layout_options){.seed = 9}, other);
	double near = moved(old, again, OLD) / extent(old, OLD);
	double far = moved(old, other, OLD) / extent(old, OLD);
	tap_note("aligned points move by %.3f of the picture, by their own %.3f", near, far);
	CHECK(near < 0.05);
	free(v);
	free(old);
	free(all);
	free(again);
	free(other);
}

static void test_vector_layout__twins_few_rows_and_bad_options(void)
{
	static const float v[] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
	float *xy = nowhere(6);
	embed(v, 6, 2, (struct layout_options){.seed = 1}, xy);
	free(xy);
	xy = nowhere(2);
	embed(v, 2, 2, (struct layout_options){.seed = 1}, xy);
	struct layout_rows x = {v, 6, 2};
	CHECK_ERR(layout_embed(&(struct layout_rows){v, 1, 2}, &(struct layout_options){0}, &alone,
			  xy, &et),
		ERR_INVALID);
	CHECK_ERR(layout_embed(&x, &(struct layout_options){.neighbours = 201}, &alone, xy, &et),
		ERR_INVALID);
	CHECK_ERR(layout_embed(&x, &(struct layout_options){.min_dist = NAN}, &alone, xy, &et),
		ERR_INVALID);
	free(xy);
}

static void stop_at(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	struct cancel *c = ctx;
	(void)total;
	if (!strcmp(what, "layout") && done == 5)
		cancel_set(c);
}

static void test_vector_layout__it_can_be_stopped(void)
{
	enum { N = 500, DIM = 8 };
	struct cancel c = {0};
	float *v = blobs(N, DIM, 3, 1), *xy = nowhere(N);
	struct layout_work w = {.cancel = &c, .at = stop_at, .ctx = &c};
	CHECK_OK(kern_init(&et), &et);
	CHECK_ERR(layout_embed(&(struct layout_rows){v, N, DIM}, &(struct layout_options){0}, &w,
			  xy, &et),
		ERR_CANCELLED);
	free(v);
	free(xy);
}

TESTS(T(test_vector_layout_pca__axes_that_are_known),
	T(test_vector_layout_pca__few_rows_and_flat_ones),
	T(test_vector_layout_nearest__all_pairs_and_graph),
	T(test_vector_layout__curve_of_the_paper), T(test_vector_layout__a_sheet_is_unrolled),
	T(test_vector_layout__clusters_are_found), T(test_vector_layout__clusters_in_space),
	T(test_vector_layout_clusters__noise_twins_and_few), T(test_vector_layout__the_same_bits),
	T(test_vector_layout__new_points_find_their_place),
	T(test_vector_layout__twins_few_rows_and_bad_options),
	T(test_vector_layout__it_can_be_stopped))
