#include "tap.h"
#include "kernels/kernels.h"
#include "vector/vector.h"

#include <math.h>
#include <stdlib.h>

enum { DIM = 19, ITEMS = 5000 };

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void random_vector(uint64_t *seed, float *v)
{
	for (int i = 0; i < DIM; i++)
		v[i] = (float)((double)(rnd(seed) % 20001) / 10000.0 - 1);
}

static double cosine(const float *a, const float *b)
{
	double ab = 0, aa = 0, bb = 0;
	for (int i = 0; i < DIM; i++) {
		ab += (double)a[i] * b[i];
		aa += (double)a[i] * a[i];
		bb += (double)b[i] * b[i];
	}
	return ab / sqrt(aa * bb);
}

static bool thirds(void *ctx, uint64_t key)
{
	return key % 3 == 0;
}

static void test_vector_dense__agrees_with_cosines(void)
{
	static float vec[ITEMS][DIM];
	static bool alive[ITEMS];
	struct errtext et = {0};
	CHECK_OK(kern_init(&et), &et);
	struct dense *d;
	CHECK_OK(dense_new(DIM, &d), &et);
	uint64_t seed = 1234567;
	for (int round = 0; round < 60; round++) {
		static uint64_t keys[400];
		static float v[400][DIM];
		size_t n = rnd(&seed) % 400, count = 0;
		for (size_t i = 0; i < n; i++) {
			keys[i] = rnd(&seed) % ITEMS;
			random_vector(&seed, v[i]);
		}
		if (round % 3 == 2) {
			for (uint64_t key = 0; key < ITEMS; key++)
				if (rnd(&seed) % 2) {
					alive[key] = false;
					CHECK_OK(dense_delete(d, &key, 1, &et), &et);
				}
		}
		CHECK_OK(dense_put(d, keys, v[0], n, &et), &et);
		for (size_t i = 0; i < n; i++) {
			alive[keys[i]] = true;
			memcpy(vec[keys[i]], v[i], sizeof v[i]);
		}
		for (size_t i = 0; i < ITEMS; i++)
			count += alive[i];
		CHECK_INT(dense_count(d), count);
		for (int ask = 0; ask < 5; ask++) {
			float q[DIM];
			struct hit h[30];
			size_t got = 99, k = 1 + rnd(&seed) % 30, kept = 0, better = 0;
			bool filter = ask % 2;
			random_vector(&seed, q);
			CHECK_OK(dense_search(
					 d, q, k, filter ? thirds : NULL, NULL, h, &got, NULL, &et),
				&et);
			for (size_t i = 0; i < ITEMS; i++)
				if (alive[i] && (!filter || i % 3 == 0)) {
					kept++;
					better +=
						got && cosine(q, vec[i]) > h[got - 1].score + 1e-5;
				}
			CHECK_INT(got, kept < k ? kept : k);
			CHECK(better < k);
			for (size_t i = 0; i < got; i++) {
				float again;
				CHECK(alive[h[i].key]);
				CHECK_NEAR(h[i].score, cosine(q, vec[h[i].key]), 1e-5);
				dense_scores(d, q, &h[i].key, 1, &again);
				CHECK(again == h[i].score);
			}
		}
	}
	dense_free(d);
}

static void test_vector_dense__edges(void)
{
	struct errtext et = {0};
	struct dense *d;
	CHECK_OK(kern_init(&et), &et);
	CHECK_ERR(dense_new(0, &d), ERR_INVALID);
	CHECK_OK(dense_new(2, &d), &et);
	float v[] = {1, 0, NAN, 0}, zero[] = {0, 0}, s;
	uint64_t keys[] = {4, 4};
	struct hit h[3];
	size_t n = 9;
	CHECK_ERR(dense_put(d, keys, v, 2, &et), ERR_INVALID);
	CHECK_INT(dense_count(d), 0);
	CHECK_OK(dense_search(d, v, 3, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 0);
	CHECK_ERR(dense_search(d, v + 2, 3, NULL, NULL, h, &n, NULL, &et), ERR_INVALID);
	v[2] = 0;
	v[3] = 3;
	CHECK_OK(dense_put(d, keys, v, 2, &et), &et); /* twice the same key: the last counts */
	CHECK_INT(dense_count(d), 1);
	CHECK_OK(dense_search(d, zero, 3, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 1);
	dense_scores(d, (float[]){0, 2}, (uint64_t[]){4}, 1, &s);
	CHECK_NEAR(s, 1, 1e-6);
	dense_scores(d, zero, (uint64_t[]){5}, 1, &s);
	CHECK(isnan(s));
	CHECK_OK(dense_search(d, zero, 0, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 0);
	struct cancel stop = {0};
	cancel_set(&stop);
	CHECK_ERR(dense_search(d, zero, 1, NULL, NULL, h, &n, &stop, &et), ERR_CANCELLED);
	dense_free(d);
	dense_free(NULL);
}

/* Pairs (2i, 2i + 1) come and go together: a reader never sees half of one. */
static struct dense *shared;
static atomic_bool done;

static void *reader(void *arg)
{
	struct errtext et = {0};
	static _Thread_local struct hit h[4096];
	float q[DIM] = {1};
	while (!atomic_load(&done)) {
		size_t n = 0;
		CHECK_OK(dense_search(shared, q, 4096, NULL, NULL, h, &n, NULL, &et), &et);
		CHECK(n % 2 == 0);
	}
	return NULL;
}

static void test_vector_dense__readers_beside_a_writer(void)
{
	struct errtext et = {0};
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(dense_new(DIM, &shared), &et);
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		CHECK_OK(thread_start(&t[i], reader, NULL, "reader", &et), &et);
	uint64_t seed = 5;
	for (int i = 0; i < 4000; i++) {
		uint64_t key = rnd(&seed) % 1000 * 2, both[] = {key, key + 1};
		float v[2][DIM];
		random_vector(&seed, v[0]);
		random_vector(&seed, v[1]);
		if (rnd(&seed) % 3)
			CHECK_OK(dense_put(shared, both, v[0], 2, &et), &et);
		else
			CHECK_OK(dense_delete(shared, both, 2, &et), &et);
	}
	atomic_store(&done, true);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	dense_free(shared);
}

TESTS(T(test_vector_dense__agrees_with_cosines), T(test_vector_dense__edges),
	T(test_vector_dense__readers_beside_a_writer))
