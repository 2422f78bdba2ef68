/* Curation: groups of near-duplicates against all pairs, in many dimensions and few; who stays;
 * outliers and spread labels beside scikit-learn, wrong labels beside cleanlab, centres by brute
 * force. */
#include "tap.h"
#include "base/json.h"
#include "base/os.h"
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
	/* nothing was missed, and all rows are few enough to be asked */
	CHECK(found.sampled == found.n_rows && found.whole == found.sampled);
	CHECK_OK(curate_twins(&x, within, LAYOUT_EXACT, &two, again, &found, &et), &et);
	CHECK(found.exact && !found.sampled);
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

/* ---- beside scikit-learn and cleanlab: tests/golden/vector/curate.json ---- */

struct golden {
	yyjson_doc *doc;
	yyjson_val *o;
	size_t n, dim, labels, k;
	float *v;
};

static float *numbers(yyjson_val *rows, size_t dim)
{
	yyjson_val *row, *value;
	size_t i, n, j, m;
	float *v = malloc((yyjson_arr_size(rows) * dim + 1) * sizeof *v);
	yyjson_arr_foreach(rows, i, n, row)
	{
		if (!yyjson_is_arr(row)) {
			v[i] = (float)yyjson_get_num(row);
			continue;
		}
		yyjson_arr_foreach(row, j, m, value) v[i * dim + j] = (float)yyjson_get_num(value);
	}
	return v;
}

static int32_t *labels_of(yyjson_val *list)
{
	yyjson_val *v;
	size_t i, n;
	int32_t *out = malloc((yyjson_arr_size(list) + 1) * sizeof *out);
	yyjson_arr_foreach(list, i, n, v) out[i] = (int32_t)yyjson_get_sint(v);
	return out;
}

static struct golden golden(void)
{
	struct golden g = {0};
	struct buf b = {0};
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(os_read_file("tests/golden/vector/curate.json", 0, &b, &et), &et);
	CHECK_OK(json_parse(buf_str(&b), &g.doc, &et), &et);
	buf_free(&b);
	g.o = yyjson_doc_get_root(g.doc);
	g.dim = (size_t)json_i64(g.o, "dim", 0);
	g.labels = (size_t)json_i64(g.o, "classes", 0);
	g.k = (size_t)json_i64(g.o, "k", 0);
	g.n = yyjson_arr_size(yyjson_obj_get(g.o, "rows"));
	g.v = numbers(yyjson_obj_get(g.o, "rows"), g.dim);
	return g;
}

static void golden_free(struct golden *g)
{
	free(g->v);
	yyjson_doc_free(g->doc);
}

static struct layout_nearest nearest(const struct golden *g, size_t k)
{
	struct layout_nearest near;
	CHECK_OK(layout_nearest(&(struct layout_rows){g->v, g->n, g->dim}, NULL, 0, k, LAYOUT_EXACT,
			 &alone, &near, &et),
		&et);
	return near;
}

static void test_vector_curate_lof__as_scikit_learn(void)
{
	struct golden g = golden();
	struct layout_nearest near = nearest(&g, 20);
	float *want = numbers(yyjson_obj_get(g.o, "lof"), 1), *got = malloc(g.n * sizeof *got);
	CHECK_OK(curate_lof(&near, got, &et), &et);
	for (size_t i = 0; i < g.n; i++)
		CHECK(fabsf(got[i] - want[i]) < 1e-4f * want[i]);
	curate_far(&near, got);
	float sum = 0;
	for (size_t c = 0; c < 20; c++)
		sum += near.distance[3 * 20 + c];
	CHECK(fabsf(got[3] - sum / 20) < 1e-4f);
	layout_nearest_free(&near);
	free(want);
	free(got);
	golden_free(&g);
}

static void test_vector_curate_spread__as_scikit_learn(void)
{
	struct golden g = golden();
	struct layout_nearest near = nearest(&g, g.k);
	int32_t *given = labels_of(yyjson_obj_get(g.o, "given"));
	float *want = numbers(yyjson_obj_get(g.o, "spread"), g.labels);
	float *got = malloc(g.n * g.labels * sizeof *got),
	      *two = malloc(g.n * g.labels * sizeof *two);
	unsigned turns = 0, again = 0;
	struct kern_team *team;
	float alpha = (float)json_f64(g.o, "alpha", 0);
	CHECK_OK(curate_spread(&near, given, g.labels, alpha, &alone, got, &turns, &et), &et);
	CHECK(turns > 20 && turns < 400);
	for (size_t i = 0; i < g.n * g.labels; i++)
		CHECK(fabsf(got[i] - want[i]) < 2e-4f);
	CHECK_OK(kern_team_new(2, &team, &et), &et);
	CHECK_OK(curate_spread(&near, given, g.labels, alpha, &(struct layout_work){.team = team},
			 two, &again, &et),
		&et);
	CHECK(again == turns && !memcmp(got, two, g.n * g.labels * sizeof *got));
	kern_team_free(team);
	layout_nearest_free(&near);
	free(given);
	free(want);
	free(got);
	free(two);
	golden_free(&g);
}

static void test_vector_curate_confident__as_cleanlab(void)
{
	struct golden g = golden();
	int32_t *noisy = labels_of(yyjson_obj_get(g.o, "noisy"));
	int32_t *wrong = labels_of(yyjson_obj_get(g.o, "wrong"));
	int32_t *by_rate = labels_of(yyjson_obj_get(g.o, "by_rate"));
	size_t n_wrong = yyjson_arr_size(yyjson_obj_get(g.o, "wrong")), at = 0, both = 0, mine = 0;
	size_t n_rate = yyjson_arr_size(yyjson_obj_get(g.o, "by_rate"));
	float *p = numbers(yyjson_obj_get(g.o, "p"), g.labels);
	uint8_t *flagged = malloc(g.n);
	int32_t *offered = malloc(g.n * sizeof *offered);
	CHECK_OK(curate_confident(p, noisy, g.n, g.labels, false, flagged, offered, &et), &et);
	for (size_t i = 0; i < g.n; i++)
		if (flagged[i]) {
			CHECK(at < n_wrong && wrong[at] == (int32_t)i);
			CHECK(offered[i] != noisy[i]);
			at++;
		}
	CHECK_INT(at, n_wrong);
	CHECK_OK(curate_confident(p, noisy, g.n, g.labels, true, flagged, offered, &et), &et);
	for (size_t i = 0; i < g.n; i++)
		mine += flagged[i];
	for (size_t i = 0; i < n_rate; i++)
		both += flagged[by_rate[i]];
	tap_note("by noise rate: %zu flagged, cleanlab %zu, both %zu", mine, n_rate, both);
	CHECK(both * 10 >= n_rate * 9 && mine <= n_rate + 2);
	free(noisy);
	free(wrong);
	free(by_rate);
	free(p);
	free(flagged);
	free(offered);
	golden_free(&g);
}

static void test_vector_curate_centres__by_brute_force(void)
{
	struct golden g = golden();
	struct layout_rows x = {g.v, g.n, g.dim};
	int32_t *want = labels_of(yyjson_obj_get(g.o, "centres"));
	size_t n = yyjson_arr_size(yyjson_obj_get(g.o, "centres"));
	uint32_t chosen[32];
	float reach[32];
	struct curate_cover cover;
	bool *covered = calloc(g.n, sizeof *covered);
	CHECK_OK(curate_centres(&x, NULL, n, 0, &alone, chosen, reach, &cover, &et), &et);
	CHECK_INT(cover.n, n);
	for (size_t i = 0; i < n; i++)
		CHECK_INT(chosen[i], want[i]);
	for (size_t i = 2; i < n; i++)
		CHECK(reach[i] <= reach[i - 1]);
	CHECK(fabs((double)cover.farthest - json_f64(g.o, "farthest", 0)) < 1e-4);
	for (size_t i = 0; i < 6; i++) /* what is covered is as if it were chosen */
		covered[chosen[i]] = true;
	uint32_t rest[32];
	CHECK_OK(curate_centres(&x, covered, n - 6, 0, &alone, rest, reach, &cover, &et), &et);
	for (size_t i = 0; i < cover.n; i++)
		CHECK_INT(rest[i], chosen[i + 6]);
	for (size_t i = 0; i < g.n * g.dim; i++)
		g.v[i] = 1;
	CHECK_OK(curate_centres(&x, NULL, n, 3, &alone, chosen, reach, &cover, &et), &et);
	CHECK(cover.n == 1 && cover.farthest == 0);
	free(covered);
	free(want);
	golden_free(&g);
}

/* Rows 0 and 1 have labels, the others ask them. */
static void test_vector_curate_votes__of_the_labelled_only(void)
{
	static const float v[] = {0, 10, 1, 9, 5};
	static const uint32_t of[] = {2, 3, 4};
	static const int32_t label[] = {0, 1, -1, -1, -1};
	struct layout_nearest g;
	float p[6];
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(layout_nearest_in(&(struct layout_rows){v, 5, 1}, of, 3, 2, 2, LAYOUT_EXACT,
			 &alone, &g, &et),
		&et);
	curate_votes(&g, label, 2, p);
	CHECK(p[0] > 0.8f && p[3] > 0.8f && fabsf(p[4] - 0.5f) < 1e-6f);
	for (int i = 0; i < 3; i++)
		CHECK(fabsf(p[2 * i] + p[2 * i + 1] - 1) < 1e-6f);
	CHECK_ERR(layout_nearest_in(&(struct layout_rows){v, 5, 1}, of, 3, 6, 2, LAYOUT_EXACT,
			  &alone, &g, &et),
		ERR_INVALID);
	layout_nearest_free(&g);
}

TESTS(T(test_vector_curate_twins__all_pairs), T(test_vector_curate_twins__in_few_directions),
	T(test_vector_curate_twins__rows_without_directions),
	T(test_vector_curate_twins__many_that_are_equal), T(test_vector_curate_keepers__a_chain),
	T(test_vector_curate_lof__as_scikit_learn), T(test_vector_curate_spread__as_scikit_learn),
	T(test_vector_curate_confident__as_cleanlab), T(test_vector_curate_centres__by_brute_force),
	T(test_vector_curate_votes__of_the_labelled_only))
