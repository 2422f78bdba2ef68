/* Curation: groups of near-duplicates against all pairs, in many dimensions and few; who stays. */
#include "tap.h"
#include "kernels/kernels.h"
#include "vector/curate.h"

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

/* n rows of length 1 around n_centres centres; every third is a copy of the one before, moved by
 * `by` */
static float *rows_with_copies(size_t n, size_t dim, size_t n_centres, float by)
{
	uint64_t s = 88172645463325252u;
	float *c = malloc(n_centres * dim * sizeof *c), *v = malloc(n * dim * sizeof *v);
	for (size_t i = 0; i < n_centres * dim; i++)
		c[i] = 2 * normal(&s);
	for (size_t i = 0; i < n; i++) {
		float *row = v + i * dim;
		for (size_t j = 0; j < dim; j++)
			row[j] = i % 3 == 2 ? row[j - dim] + by / sqrtf((float)dim) * normal(&s)
					    : c[i % n_centres * dim + j] + normal(&s);
		kern->normalize(row, row, dim);
	}
	free(c);
	return v;
}

static uint32_t root(const uint32_t *up, uint32_t i)
{
	while (up[i] != i)
		i = up[i];
	return i;
}

/* The lowest row of each row's group, from all pairs. */
static uint32_t *all_pairs(const float *v, size_t n, size_t dim, float within)
{
	uint32_t *up = malloc(n * sizeof *up);
	for (size_t i = 0; i < n; i++)
		up[i] = (uint32_t)i;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			float d;
			kern->l2s(v + i * dim, v + j * dim, dim, 1, dim, &d);
			uint32_t a = root(up, (uint32_t)i), b = root(up, (uint32_t)j);
			if (sqrtf(d) <= within)
				up[MAX(a, b)] = MIN(a, b);
		}
	for (size_t i = 0; i < n; i++)
		up[i] = root(up, (uint32_t)i);
	return up;
}

static void same_groups(const uint32_t *group, const uint32_t *want, size_t n, size_t n_groups)
{
	uint32_t *lowest = malloc((n_groups + 1) * sizeof *lowest);
	size_t *size = calloc(n, sizeof *size), wrong = 0;
	for (size_t g = 0; g < n_groups; g++)
		lowest[g] = CURATE_NONE;
	for (size_t i = 0; i < n; i++)
		size[want[i]]++;
	for (size_t i = 0; i < n; i++) {
		if (group[i] == CURATE_NONE) {
			wrong += size[want[i]] != 1;
			continue;
		}
		if (lowest[group[i]] == CURATE_NONE)
			lowest[group[i]] = (uint32_t)i;
		wrong += lowest[group[i]] != want[i] || size[want[i]] == 1;
	}
	CHECK_INT(wrong, 0);
	free(lowest);
	free(size);
}

static void compare(size_t n, size_t dim, size_t n_centres, float by, float within)
{
	CHECK_OK(kern_init(&et), &et);
	float *v = rows_with_copies(n, dim, n_centres, by);
	uint32_t *want = all_pairs(v, n, dim, within);
	uint32_t *group = malloc(n * sizeof *group), *again = malloc(n * sizeof *again);
	struct curate_twins found;
	struct kern_team *team;
	struct layout_rows x = {v, n, dim};
	CHECK_OK(curate_twins(&x, within, LAYOUT_AUTO, &alone, group, &found, &et), &et);
	CHECK(found.exact);
	CHECK(found.n_groups > 10);
	same_groups(group, want, n, found.n_groups);
	CHECK_OK(kern_team_new(2, &team, &et), &et);
	struct layout_work two = {.team = team};
	CHECK_OK(curate_twins(&x, within, LAYOUT_AUTO, &two, again, &found, &et), &et);
	CHECK(!memcmp(group, again, n * sizeof *group));
	CHECK_OK(curate_twins(&x, within, LAYOUT_GRAPH, &two, again, &found, &et), &et);
	CHECK(!found.exact);
	same_groups(again, want, n, found.n_groups);
	kern_team_free(team);
	free(v);
	free(want);
	free(group);
	free(again);
}

static void test_vector_curate_twins__all_pairs(void)
{
	compare(1000, 16, 20, 0.1f, 0.2f);
}

static void test_vector_curate_twins__in_few_directions(void)
{
	compare(2500, 200, 30, 0.1f, 0.3f);
}

static void test_vector_curate_twins__rows_without_directions(void)
{
	compare(1200, 300, 1, 0.2f, 0.3f);
}

static void test_vector_curate_twins__many_that_are_equal(void)
{
	enum { N = 3000, DIM = 128 };
	CHECK_OK(kern_init(&et), &et);
	float *v = calloc((size_t)N * DIM, sizeof *v);
	uint32_t *group = malloc(N * sizeof *group), *keeper = malloc(N * sizeof *keeper);
	float *distance = malloc(N * sizeof *distance);
	struct curate_twins found;
	struct layout_rows x = {v, N, DIM};
	for (size_t i = 0; i < N; i++)
		v[i * DIM + i % 3] = 1;
	CHECK_OK(curate_twins(&x, 0.001f, LAYOUT_EXACT, &alone, group, &found, &et), &et);
	CHECK_INT(found.n_groups, 3);
	CHECK_INT(found.n_rows, N);
	CHECK(found.measured < 4 * N);
	CHECK_OK(curate_keepers(&x, group, 3, 0.001f, NULL, &alone, keeper, distance, &et), &et);
	for (size_t i = 0; i < N; i++)
		CHECK(keeper[i] == i % 3 && distance[i] == 0);
	free(v);
	free(group);
	free(keeper);
	free(distance);
}

/* A chain 0, 1, 2, ... 9 whose links are near: the most worthy stand for their neighbours only. */
static void test_vector_curate_keepers__a_chain(void)
{
	enum { N = 10 };
	float v[N], distance[N];
	double worth[N];
	uint32_t group[N], keeper[N];
	struct curate_twins found;
	struct layout_rows x = {v, N, 1};
	CHECK_OK(kern_init(&et), &et);
	for (int i = 0; i < N; i++) {
		v[i] = (float)i;
		worth[i] = i == 4 ? 2 : i == 9 ? 1 : 0;
	}
	CHECK_OK(curate_twins(&x, 1, LAYOUT_AUTO, &alone, group, &found, &et), &et);
	CHECK_INT(found.n_groups, 1);
	CHECK_OK(curate_keepers(&x, group, 1, 1, worth, &alone, keeper, distance, &et), &et);
	static const uint32_t want[N] = {0, 0, 2, 4, 4, 4, 6, 6, 9, 9};
	for (int i = 0; i < N; i++)
		CHECK_INT(keeper[i], want[i]);
	CHECK(distance[3] == 1 && distance[4] == 0);
	CHECK_ERR(curate_twins(&x, -1, LAYOUT_AUTO, &alone, group, &found, &et), ERR_INVALID);
	CHECK_ERR(curate_twins(&x, NAN, LAYOUT_AUTO, &alone, group, &found, &et), ERR_INVALID);
}

TESTS(T(test_vector_curate_twins__all_pairs), T(test_vector_curate_twins__in_few_directions),
	T(test_vector_curate_twins__rows_without_directions),
	T(test_vector_curate_twins__many_that_are_equal), T(test_vector_curate_keepers__a_chain))
