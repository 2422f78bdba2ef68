#include "tap.h"
#include "base/os.h"
#include "kernels/kernels.h"
#include "vector/index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Items in clusters, as embeddings are: a centre and a spread that differ by cluster. */

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
	for (int i = 0; i < 4; i++)
		sum += (float)(int32_t)(rnd(s) >> 32) * 0x1p-31f;
	return sum * 0.866f;
}

static float *clusters_of(size_t centres, float wide, uint64_t seed, size_t n, size_t dim)
{
	uint64_t s = 99991, t = seed * 7919 + 3;
	float *c = malloc(centres * dim * sizeof *c), *v = malloc(n * dim * sizeof *v);
	for (size_t i = 0; i < centres * dim; i++)
		c[i] = normal(&s);
	for (size_t i = 0; i < n; i++) {
		size_t of = rnd(&t) % centres;
		float spread = wide * (0.3f + (float)of / (float)centres);
		for (size_t j = 0; j < dim; j++)
			v[i * dim + j] = c[of * dim + j] + spread * normal(&t);
	}
	free(c);
	return v;
}

static float *clusters(uint64_t seed, size_t n, size_t dim)
{
	return clusters_of(50, 1, seed, n, dim);
}

static uint64_t *numbers(size_t n, uint64_t first)
{
	uint64_t *k = malloc(n * sizeof *k);
	for (size_t i = 0; i < n; i++)
		k[i] = first + i;
	return k;
}

static void free_all(void *a, void *b, void *c)
{
	free(a);
	free(b);
	free(c);
}

static struct vindex *make(const struct vindex_options *o)
{
	struct errtext et = {0};
	struct vindex *x = NULL;
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(vindex_new(o, &x, &et), &et);
	return x;
}

static void put(struct vindex *x, uint64_t first, const float *v, size_t n)
{
	struct errtext et = {0};
	uint64_t *k = numbers(n, first);
	CHECK_OK(vindex_put(x, k, v, n, NULL, &et), &et);
	free(k);
}

static struct vindex_answer search(
	struct vindex *x, const float *v, size_t k, uint32_t ef, bool exact, struct hit *out)
{
	struct errtext et = {0};
	struct vindex_answer a;
	struct vindex_query q = {.vector = v, .k = k, .ef = ef, .exact = exact};
	CHECK_OK(vindex_search(x, &q, out, &a, &et), &et);
	return a;
}

static double score_of(enum vindex_metric m, const float *a, const float *b, size_t dim)
{
	double ab = 0, aa = 0, bb = 0, dd = 0, sum = 0;
	for (size_t i = 0; i < dim; i++) {
		ab += (double)a[i] * b[i];
		aa += (double)a[i] * a[i];
		bb += (double)b[i] * b[i];
		dd += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		sum += fabs((double)a[i] - b[i]);
	}
	if (m == VINDEX_L1)
		return -sum;
	if (m == VINDEX_COSINE)
		return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
	return m == VINDEX_DOT ? ab : -dd;
}

/* Share of the exact searches' hits that searches along the graph have. */
static double recall(struct vindex *x, const float *q, size_t n_q, size_t k, uint32_t ef)
{
	size_t dim = vindex_opened(x)->dim, good = 0, all = 0;
	struct hit exact[100], got[100];
	for (size_t i = 0; i < n_q; i++) {
		struct vindex_answer e = search(x, q + i * dim, k, 0, true, exact);
		struct vindex_answer a = search(x, q + i * dim, k, ef, false, got);
		CHECK(a.how == VINDEX_GRAPH);
		CHECK(a.ef == ef);
		CHECK_INT(a.n, e.n);
		for (size_t j = 0; j < a.n; j++)
			good += got[j].score >= exact[e.n - 1].score;
		all += e.n;
	}
	return (double)good / (double)all;
}

static const char *const type_name[] = {"f32", "f16", "i8", "bit"};
static const char *const metric_name[] = {"cosine", "dot", "l2", "l1"};

/* Signs say nothing of L1. */
static int last_type(int metric)
{
	return metric == VINDEX_L1 ? VINDEX_I8 : VINDEX_BIT;
}

/* Against sums in double over what was put: the scan finds the best, and gives their scores. */
static void test_vector_graph__scan_is_exact(void)
{
	static const uint32_t dims[] = {1, 2, 7, 63, 64, 65, 130, 384, 1000, 4096};
	enum { N = 700, K = 10 };
	for (size_t di = 0; di < ARRAY_LEN(dims); di++)
		for (int m = 0; m <= VINDEX_L1; m++)
			for (int t = 0; t <= VINDEX_F16; t++) {
				size_t dim = dims[di];
				float *v = clusters(di, N, dim), *q = clusters(di + 100, 5, dim);
				struct vindex *x = make(&(struct vindex_options){
					.dim = (uint32_t)dim, .metric = m, .type = t});
				put(x, 0, v, N);
				for (size_t i = 0; i < 5; i++) {
					struct hit h[K];
					struct vindex_answer a =
						search(x, q + i * dim, K, 0, true, h);
					CHECK(a.how == VINDEX_SCAN);
					CHECK_INT(a.n, K);
					double size = m == VINDEX_COSINE ? 1 : 20.0 * (double)dim;
					/* generic adds one by one: sqrt(dim) roundings of 2^-24,
					 * and some */
					double near =
						size *
						(t == VINDEX_F32 ? 1e-6 + 6e-8 * sqrt((double)dim)
								 : 4e-5);
					size_t better = 0;
					for (size_t j = 0; j < N; j++)
						better +=
							score_of(m, q + i * dim, v + j * dim, dim) >
							(double)h[K - 1].score + near;
					CHECK(better < K);
					for (size_t j = 0; j < K; j++)
						CHECK_NEAR(h[j].score,
							score_of(m, q + i * dim, v + h[j].key * dim,
								dim),
							near);
				}
				vindex_free(x);
				free(v);
				free(q);
			}
}

/* A scan by codes and bounds finds what comparing every single item finds. */
static void test_vector_graph__bounds_hold(void)
{
	enum { N = 3000, D = 48, K = 20 };
	float *v = clusters(1, N, D), *q = clusters(2, 40, D);
	uint64_t *keys = numbers(N, 0);
	float *all = malloc(N * sizeof *all);
	struct errtext et = {0};
	for (size_t i = 0; i < (size_t)N * D; i++) /* of very different lengths */
		v[i] *= (float)pow(10, (double)(i / D % 7) - 3);
	for (int m = 0; m <= VINDEX_L1; m++)
		for (int t = 0; t <= last_type(m); t++) {
			struct vindex *x =
				make(&(struct vindex_options){.dim = D, .metric = m, .type = t});
			put(x, 0, v, N);
			struct hit many[40][K];
			size_t n[40];
			CHECK_OK(vindex_scan_many(x, q, 40, K, many[0], n, NULL, &et), &et);
			for (size_t i = 0; i < 40; i++) {
				struct hit h[K];
				search(x, q + i * D, K, 0, true, h);
				CHECK_INT(n[i], K);
				CHECK(!memcmp(h, many[i], sizeof h));
				CHECK_OK(vindex_scores(x, q + i * D, keys, N, all, &et), &et);
				size_t better = 0;
				for (size_t j = 0; j < N; j++)
					better += all[j] > h[K - 1].score;
				if (better >= K)
					FAIL("%s %s: %zu are better", metric_name[m], type_name[t],
						better);
				for (size_t j = 0; j < K; j++)
					CHECK(all[h[j].key] == h[j].score);
			}
			vindex_free(x);
		}
	free(v);
	free(q);
	free(keys);
	free(all);
}

static void test_vector_graph__finds_what_the_scan_finds(void)
{
	enum { N = 6000, D = 64, Q = 100 };
	float *v = clusters(3, N, D), *q = clusters(4, Q, D);
	for (int m = 0; m <= VINDEX_L1; m++)
		for (int t = 0; t <= last_type(m); t++) {
			struct vindex *x =
				make(&(struct vindex_options){.dim = D, .metric = m, .type = t});
			put(x, 0, v, N);
			double r = recall(x, q, Q, 10, 128);
			tap_note("%s %s: recall@10 %.4f", metric_name[m], type_name[t], r);
			CHECK(r > (t == VINDEX_BIT ? 0.75 : 0.95));
			vindex_free(x);
		}
	free(v);
	free(q);
}

static float *read_fbin(const char *rel, uint32_t *n, uint32_t *dim)
{
	struct str s = tap_unxz(tap_shared(rel));
	CHECK(s.n > 8);
	memcpy(n, s.p, 4);
	memcpy(dim, s.p + 4, 4);
	CHECK_INT(s.n, 8 + (size_t)*n * *dim * 4);
	float *v = malloc(s.n);
	memcpy(v, s.p + 8, s.n - 8);
	free((void *)(uintptr_t)s.p);
	return v;
}

/* Word vectors, against the neighbours that somebody else computed. */
static void test_vector_graph__glove(void)
{
	uint32_t n, dim, n_q;
	float *v = read_fbin("vectors/glove100.base.fbin.xz", &n, &dim);
	float *q = read_fbin("vectors/glove100.query.fbin.xz", &n_q, &dim);
	struct str gt = tap_unxz(tap_shared("vectors/glove100.gt100.cos.bin.xz"));
	const uint32_t *ids = (const void *)(gt.p + 8);
	n = 30000; /* the words that are used most: what is nearest of them is known, too */
	struct vindex *x = make(&(struct vindex_options){.dim = dim});
	put(x, 0, v, n);
	size_t asked = 0, good = 0, exact_good = 0;
	for (uint32_t i = 0; i < n_q; i += 5) {
		uint32_t best = 0;
		while (best < 100 && ids[i * 100 + best] >= n)
			best++;
		if (best == 100)
			continue;
		struct hit h[10];
		asked++;
		search(x, q + (size_t)i * dim, 1, 0, true, h);
		exact_good += h[0].key == ids[i * 100 + best];
		search(x, q + (size_t)i * dim, 10, 200, false, h);
		good += h[0].key == ids[i * 100 + best];
	}
	tap_note("%zu queries: the nearest is found by scan %zu times, by graph %zu", asked,
		exact_good, good);
	CHECK(asked > 150);
	CHECK(exact_good >= asked - 1); /* a tie may fall the other way */
	CHECK((double)good > 0.96 * (double)asked);
	vindex_free(x);
	free_all(v, q, (void *)(uintptr_t)gt.p);
}

static void test_vector_graph__same_input_same_graph(void)
{
	enum { N = 6000, D = 24 };
	float *v = clusters(5, N, D);
	char path[2][300];
	struct buf file[2] = {{0}, {0}};
	struct errtext et = {0};
	for (int i = 0; i < 2; i++) {
		struct vindex *x = make(&(struct vindex_options){.dim = D});
		put(x, 0, v, N);
		snprintf(path[i], sizeof path[i], "%s/%d", tap_tmpdir(), i);
		CHECK_OK(vindex_save(x, path[i], 5, &et), &et);
		CHECK_OK(os_read_file(path[i], 0, &file[i], &et), &et);
		vindex_free(x);
	}
	CHECK(file[0].n == file[1].n && !memcmp(file[0].p, file[1].p, file[0].n));
	free(v);
	buf_free(&file[0]);
	buf_free(&file[1]);
}

/* Everything is replaced twice, by items from elsewhere, and a part deleted: no search finds what
 * is gone, recall stays, and the slots are used again. */
static void test_vector_graph__replace_everything_twice(void)
{
	enum { N = 8000, D = 32, Q = 100, STEP = 250 };
	struct vindex *x = make(&(struct vindex_options){.dim = D});
	struct errtext et = {0};
	float *v = clusters(6, N, D), *q = clusters(7, Q, D);
	put(x, 0, v, N);
	double first = recall(x, q, Q, 10, 64);
	struct vindex_bytes before, after;
	vindex_size(x, &before);
	for (int round = 0; round < 2; round++) {
		free(v);
		v = clusters(60 + (uint64_t)round, N, D);
		for (size_t i = 0; i < N; i += STEP)
			put(x, i, v + i * D, STEP);
	}
	CHECK_INT(vindex_count(x), N);
	vindex_size(x, &after);
	double then = recall(x, q, Q, 10, 64);
	tap_note("recall %.4f, after replacing everything twice %.4f; %.2f times the bytes", first,
		then, (double)after.total / (double)before.total);
	CHECK(then > first - 0.01);
	CHECK((double)after.total < 1.35 * (double)before.total);
	/* each item is where its last version is */
	for (size_t i = 0; i < N; i += 97) {
		struct hit h;
		search(x, v + i * D, 1, 0, true, &h);
		CHECK_INT(h.key, i);
		CHECK_NEAR(h.score, 1, 1e-5);
	}
	uint64_t *odd = malloc(N / 2 * sizeof *odd);
	for (size_t i = 0; i < N / 2; i++)
		odd[i] = 2 * i + 1;
	size_t gone;
	CHECK_OK(vindex_delete(x, odd, N / 2, &gone, &et), &et);
	CHECK_INT(gone, N / 2);
	CHECK_OK(vindex_delete(x, odd, N / 2, &gone, &et), &et);
	CHECK_INT(gone, 0);
	CHECK_INT(vindex_count(x), N / 2);
	for (size_t i = 0; i < Q; i++) {
		struct hit h[10];
		struct vindex_answer a = search(x, q + i * D, 10, 64, false, h);
		CHECK_INT(a.n, 10);
		for (size_t j = 0; j < 10; j++)
			CHECK(h[j].key % 2 == 0);
	}
	then = recall(x, q, Q, 10, 64);
	tap_note("half of it deleted: %.4f", then);
	CHECK(then > first - 0.01);
	uint64_t *all = numbers(N, 0);
	CHECK_OK(vindex_delete(x, all, N, &gone, &et), &et);
	CHECK_INT(vindex_count(x), 0);
	struct hit h;
	CHECK_INT(search(x, q, 1, 0, false, &h).n, 0);
	put(x, 5, v, 1);
	CHECK_INT(search(x, v, 1, 0, false, &h).n, 1);
	CHECK_INT(h.key, 5);
	vindex_free(x);
	free_all(v, q, odd);
	free(all);
}

/* From one small cluster nearest neighbours lead to no other: what items that came when there were
 * few linked across is not to go with them. */
static void test_vector_graph__small_clusters_stay_connected(void)
{
	enum { N = 24000, D = 48, Q = 200, STEP = 400, CENTRES = 1200 };
	struct vindex *x = make(&(struct vindex_options){.dim = D, .build_ef = 64});
	float *v = clusters_of(CENTRES, 0.4f, 6, N, D), *q = clusters_of(CENTRES, 0.4f, 7, Q, D);
	put(x, 0, v, N);
	double first = recall(x, q, Q, 10, 12);
	for (int round = 0; round < 3; round++) {
		free(v);
		v = clusters_of(CENTRES, 0.4f, 60 + (uint64_t)round, N, D);
		for (size_t i = 0; i < N; i += STEP)
			put(x, i, v + i * D, STEP);
	}
	double then = recall(x, q, Q, 10, 12);
	tap_note("recall %.4f, after replacing everything three times %.4f", first, then);
	CHECK(first > 0.97);
	CHECK(then > first - 0.02);
	vindex_free(x);
	free_all(v, q, NULL);
}

static bool one_in(void *ctx, uint64_t key)
{
	return key * 2654435761u % 10000 < *(uint64_t *)ctx;
}

static void test_vector_graph__filters_keep_recall(void)
{
	enum { N = 20000, D = 32, Q = 60, K = 10 };
	static const uint64_t per_10000[] = {1, 10, 100, 500, 1000, 5000, 9000, 10000};
	static uint64_t bits[N / 64 + 1];
	struct vindex *x = make(&(struct vindex_options){.dim = D});
	struct errtext et = {0};
	float *v = clusters(8, N, D), *q = clusters(9, Q, D);
	put(x, 0, v, N);
	for (size_t s = 0; s < ARRAY_LEN(per_10000); s++)
		for (int with_bits = 0; with_bits < 2; with_bits++) {
			uint64_t share = per_10000[s], count = 0;
			memset(bits, 0, sizeof bits);
			for (uint64_t i = 0; i < N; i++)
				if (one_in(&share, i)) {
					bits[i / 64] |= UINT64_C(1) << i % 64;
					count++;
				}
			struct vindex_filter f = {.keep = one_in, .ctx = &share, .count = count};
			if (with_bits)
				f = (struct vindex_filter){.bits = bits, .n_bits = N};
			size_t good = 0, all = 0, compared = 0;
			struct vindex_answer a, e;
			for (size_t i = 0; i < Q; i++) {
				struct hit h[K], exact[K];
				struct vindex_query ask = {
					.vector = q + i * D, .k = K, .ef = 64, .filter = &f};
				CHECK_OK(vindex_search(x, &ask, h, &a, &et), &et);
				ask.exact = true;
				CHECK_OK(vindex_search(x, &ask, exact, &e, &et), &et);
				CHECK_INT(e.n, MIN((uint64_t)K, count));
				CHECK_INT(a.n, e.n);
				for (size_t j = 0; j < a.n; j++) {
					CHECK(one_in(&share, h[j].key));
					good += h[j].score >= exact[e.n - 1].score;
				}
				all += e.n;
				compared += a.compared;
			}
			tap_note("%.2f %%: recall %.4f, %zu compared%s", (double)share / 100,
				all ? (double)good / (double)all : 1, compared / Q,
				a.how == VINDEX_GRAPH ? ", graph" : "");
			CHECK((double)good >= 0.95 * (double)all);
		}
	vindex_free(x);
	free_all(v, q, NULL);
}

static void test_vector_graph__equal_and_zero_vectors(void)
{
	enum { N = 5000, D = 20 };
	for (int m = 0; m <= VINDEX_L1; m++) {
		struct vindex *x = make(&(struct vindex_options){.dim = D, .metric = m});
		float *v = calloc((size_t)N * D, sizeof *v), *other = clusters(10, N, D);
		put(x, 0, v, N); /* nothing but zeros */
		struct hit h[10];
		struct vindex_answer a = search(x, v, 10, 0, false, h);
		CHECK_INT(a.n, 10);
		CHECK(h[0].score == 0);
		for (size_t i = 0; i < (size_t)N * D; i++)
			v[i] = 0.5f;
		put(x, N, v, N); /* all equal */
		put(x, 2 * N, other, N);
		size_t found = 0;
		for (size_t i = 0; i < 50; i++) {
			search(x, other + i * D, 1, 200, false, h);
			found += m == VINDEX_DOT ? h[0].score >= score_of(m, other + i * D,
									 other + i * D, D) -
									 1e-3
						 : h[0].key == 2 * N + i;
		}
		tap_note("%s: %zu of 50 found among equal ones", metric_name[m], found);
		CHECK(found >= 44);
		search(x, v, 10, 0, true, h);
		CHECK(m == VINDEX_DOT || h[0].key >= N);
		if (m != VINDEX_DOT) /* ties in the order of keys */
			for (size_t j = 0; j < 10; j++)
				CHECK_INT(h[j].key, N + j);
		vindex_free(x);
		free(v);
		free(other);
	}
}

static void test_vector_graph__refuses(void)
{
	struct errtext et = {0};
	struct vindex *x = NULL;
	CHECK_ERR(vindex_new(&(struct vindex_options){.dim = 0}, &x, &et), ERR_INVALID);
	CHECK_ERR(vindex_new(&(struct vindex_options){.dim = 4097}, &x, &et), ERR_INVALID);
	CHECK_ERR(vindex_new(&(struct vindex_options){.dim = 4, .type = 9}, &x, &et), ERR_INVALID);
	CHECK_ERR(vindex_new(&(struct vindex_options){.dim = 4, .degree = 500}, &x, &et),
		ERR_INVALID);
	CHECK(!x);
	x = make(&(struct vindex_options){.dim = 3, .max_items = 100});
	float v[6] = {1, 2, 3, 4, NAN, 6};
	uint64_t k[101] = {1, 2};
	CHECK_ERR(vindex_put(x, k, v, 2, NULL, &et), ERR_INVALID);
	CHECK(strstr(et.msg, "vector 1"));
	v[4] = INFINITY;
	CHECK_ERR(vindex_put(x, k, v, 2, NULL, &et), ERR_INVALID);
	CHECK_INT(vindex_count(x), 0);
	struct hit h[2];
	struct vindex_answer a;
	CHECK_ERR(vindex_search(x, &(struct vindex_query){.vector = v + 3, .k = 1}, h, &a, &et),
		ERR_INVALID);
	float *many = clusters(1, 101, 3);
	uint64_t *keys = numbers(101, 0);
	CHECK_ERR(vindex_put(x, keys, many, 101, NULL, &et), ERR_LIMIT);
	CHECK(strstr(et.msg, "100"));
	CHECK_OK(vindex_put(x, keys, many, 100, NULL, &et), &et);
	CHECK_INT(vindex_count(x), 100);
	vindex_free(x);
	/* within 100 items' bytes, not within 101 */
	struct vindex_options o = {.dim = 3};
	struct vindex_bytes b;
	CHECK_OK(vindex_plan(&o, 100, &b, &et), &et);
	o.max_bytes = b.total;
	x = make(&o);
	CHECK_ERR(vindex_put(x, keys, many, 101, NULL, &et), ERR_LIMIT);
	char limit[32];
	snprintf(limit, sizeof limit, "%llu", (unsigned long long)b.total);
	CHECK(strstr(et.msg, limit));
	CHECK_OK(vindex_put(x, keys, many, 100, NULL, &et), &et);
	struct vindex_bytes is;
	vindex_size(x, &is);
	CHECK(is.total <= b.total && is.vectors == b.vectors);
	vindex_free(x);
	free(many);
	free(keys);
}

/* What is saved comes back the same, mapped or read, and goes on working. */
static void test_vector_graph__saved_and_opened(void)
{
	enum { N = 6000, D = 40 };
	char path[300];
	struct errtext et = {0};
	snprintf(path, sizeof path, "%s/x", tap_tmpdir());
	float *v = clusters(11, N, D), *q = clusters(12, 50, D);
	for (int c = 0; c <= VINDEX_BIT + 1; c++)
		for (int mapped = 0; mapped < 2; mapped++) {
			int t = c % (VINDEX_BIT + 1), m = c > VINDEX_BIT ? VINDEX_L1 : t % 3;
			struct vindex *y, *x = make(&(struct vindex_options){
						  .dim = D, .metric = m, .type = t});
			put(x, 0, v, N);
			uint64_t some[] = {3, 77, 5999};
			CHECK_OK(vindex_delete(x, some, 3, NULL, &et), &et);
			CHECK_OK(vindex_save(x, path, 1234567890123, &et), &et);
			uint64_t mark = 0;
			CHECK_OK(vindex_open(path, NULL, mapped, &y, &mark, &et), &et);
			CHECK(mark == 1234567890123);
			CHECK_INT(vindex_count(y), N - 3);
			for (size_t i = 0; i < 50; i++) {
				struct hit a[10], b[10];
				search(x, q + i * D, 10, 50, false, a);
				search(y, q + i * D, 10, 50, false, b);
				CHECK(!memcmp(a, b, sizeof a));
			}
			put(y, 3, v + 3 * D, 1);
			put(y, N, q, 50);
			struct hit h;
			for (size_t i = 0; i < 50; i++) {
				search(y, q + i * D, 1, 0, true, &h);
				CHECK(t == VINDEX_BIT || m == VINDEX_DOT || h.key == N + i);
			}
			uint64_t *all = numbers(N, 0);
			CHECK_OK(vindex_delete(y, all, N, NULL, &et), &et);
			CHECK_INT(vindex_count(y), 50);
			free(all);
			vindex_free(x);
			vindex_free(y);
		}
	free_all(v, q, NULL);
}

static void test_vector_graph__damage_is_seen(void)
{
	enum { N = 60, D = 5 };
	char path[300], bad[320];
	struct errtext et = {0};
	snprintf(path, sizeof path, "%s/x", tap_tmpdir());
	snprintf(bad, sizeof bad, "%s.bad", path);
	float *v = clusters(13, N, D);
	struct vindex *x = make(&(struct vindex_options){.dim = D, .exact_below = 20}), *y = NULL;
	put(x, 0, v, N);
	CHECK_OK(vindex_save(x, path, 1, &et), &et);
	struct buf file = {0};
	CHECK_OK(os_read_file(path, 0, &file, &et), &et);
	int fd = -1;
	for (size_t i = 0; i < file.n; i++) {
		file.p[i] ^= (char)(1 << i % 8);
		FILE *f = fopen(bad, fd < 0 ? "w+" : "r+");
		fd = 0;
		CHECK(f && fwrite(file.p, 1, file.n, f) == file.n);
		fclose(f);
		enum err e = vindex_open(bad, NULL, i % 2, &y, NULL, &et);
		if (e != ERR_CORRUPT && e != ERR_UNSUPPORTED)
			FAIL("byte %zu changed: %s", i, err_word(e));
		file.p[i] ^= (char)(1 << i % 8);
	}
	for (size_t n = 0; n < file.n; n += 509) {
		FILE *f = fopen(bad, "w");
		CHECK(f && fwrite(file.p, 1, n, f) == n);
		fclose(f);
		CHECK_ERR(vindex_open(bad, NULL, false, &y, NULL, &et), ERR_CORRUPT);
	}
	CHECK(!y);
	CHECK_ERR(vindex_open("/nonexistent/x", NULL, false, &y, NULL, &et), ERR_NOT_FOUND);
	CHECK_ERR(vindex_open(
			  path, &(struct vindex_options){.max_bytes = 1000}, false, &y, NULL, &et),
		ERR_LIMIT);
	CHECK_ERR(vindex_save(x, "/nonexistent/x", 1, &et), ERR_NOT_FOUND);
	vindex_free(x);
	free(v);
	buf_free(&file);
}

static void test_vector_graph__range(void)
{
	enum { N = 9000, D = 16 };
	struct vindex *x = make(&(struct vindex_options){.dim = D, .metric = VINDEX_L2});
	struct errtext et = {0};
	float *v = clusters(14, N, D), *q = clusters(15, 30, D);
	static struct hit h[N], all[N];
	put(x, 0, v, N);
	size_t found = 0, there = 0;
	for (size_t i = 0; i < 30; i++) {
		struct vindex_answer a;
		search(x, q + i * D, 60, 0, true, all);
		float least = all[i].score;
		CHECK_OK(vindex_search(x,
				 &(struct vindex_query){.vector = q + i * D,
					 .k = 200,
					 .within = true,
					 .min_score = least},
				 h, &a, &et),
			&et);
		for (size_t j = 0; j < a.n; j++)
			CHECK(h[j].score >= least);
		found += a.n;
		there += i + 1;
	}
	CHECK((double)found > 0.97 * (double)there && found <= there);
	vindex_free(x);
	free_all(v, q, NULL);
}

static void test_vector_graph__tunes_itself(void)
{
	enum { N = 10000, D = 32 };
	struct vindex *x = make(&(struct vindex_options){.dim = D, .degree = 16, .build_ef = 32});
	struct errtext et = {0};
	float *v = clusters(16, N, D);
	put(x, 0, v, N);
	uint32_t low, high;
	double a, b;
	CHECK_OK(vindex_tune(x, 0.7, 10, 200, &low, &a, &et), &et);
	CHECK_OK(vindex_tune(x, 0.99, 10, 200, &high, &b, &et), &et);
	tap_note("recall %.4f with ef %u, %.4f with %u", a, low, b, high);
	CHECK(a >= 0.7 && b >= 0.99 && low < high);
	struct hit h[10];
	CHECK_INT(search(x, v, 10, 0, false, h).ef, high);
	CHECK_ERR(vindex_tune(x, 2, 10, 200, &low, &a, &et), ERR_INVALID);
	vindex_free(x);
	free(v);
}

/* ---- threads ---- */

enum { T_N = 6000, T_D = 16 };

struct shared {
	struct vindex *x;
	const float *v, *q;
	atomic_bool stop;
	atomic_size_t searches;
};

static void *searcher(void *arg)
{
	struct shared *s = arg;
	for (size_t i = 0; !atomic_load(&s->stop); i++) {
		struct hit h[10];
		bool exact = i % 64 == 0;
		struct vindex_answer a = search(s->x, s->q + i % 50 * T_D, 10, 40, exact, h);
		CHECK_INT(a.n, 10);
		for (size_t j = 0; j < a.n; j++) {
			/* the score is that of one of the versions of the item */
			bool fits = false;
			for (size_t version = 0; version < 2; version++)
				fits |= fabs((double)h[j].score -
						score_of(VINDEX_COSINE, s->q + i % 50 * T_D,
							s->v + (h[j].key + version * T_N) * T_D,
							T_D)) < 1e-5;
			CHECK(fits);
			for (size_t l = 0; l < j; l++)
				CHECK(h[l].key != h[j].key);
		}
		atomic_fetch_add(&s->searches, 1);
	}
	return NULL;
}

static void test_vector_graph__many_threads(void)
{
	struct errtext et = {0};
	struct kern_team *team;
	float *v = clusters(17, 2 * T_N, T_D), *q = clusters(18, 50, T_D);
	struct shared s = {.v = v, .q = q};
	s.x = make(&(struct vindex_options){.dim = T_D, .build_ef = 40});
	CHECK_OK(kern_team_new(3, &team, &et), &et);
	uint64_t *keys = numbers(T_N, 0);
	CHECK_OK(vindex_put(s.x, keys, v, T_N, team, &et), &et);
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		CHECK_OK(thread_start(&t[i], searcher, &s, "search", &et), &et);
	uint64_t seed = 5;
	for (int round = 0; round < 60; round++) {
		size_t at = rnd(&seed) % (T_N - 200), version = rnd(&seed) % 2;
		CHECK_OK(vindex_put(s.x, keys + at, v + (at + version * T_N) * T_D, 200, team, &et),
			&et);
		at = rnd(&seed) % (T_N - 50);
		CHECK_OK(vindex_delete(s.x, keys + at, 50, NULL, &et), &et);
	}
	atomic_store(&s.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	tap_note("%zu searches beside the changes", atomic_load(&s.searches));
	CHECK(recall(s.x, q, 50, 10, 100) > 0.97);
	vindex_free(s.x);
	kern_team_free(team);
	free_all(v, q, keys);
}

TESTS(T(test_vector_graph__scan_is_exact), T(test_vector_graph__bounds_hold),
	T_LONG(test_vector_graph__finds_what_the_scan_finds, 240),
	T_LONG(test_vector_graph__glove, 240), T(test_vector_graph__same_input_same_graph),
	T_LONG(test_vector_graph__replace_everything_twice, 240),
	T_LONG(test_vector_graph__small_clusters_stay_connected, 240),
	T_LONG(test_vector_graph__filters_keep_recall, 240),
	T_LONG(test_vector_graph__equal_and_zero_vectors, 240), T(test_vector_graph__refuses),
	T_LONG(test_vector_graph__saved_and_opened, 240), T(test_vector_graph__damage_is_seen),
	T(test_vector_graph__range), T_LONG(test_vector_graph__tunes_itself, 240),
	T_LONG(test_vector_graph__many_threads, 240))
