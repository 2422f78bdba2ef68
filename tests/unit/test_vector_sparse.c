#include "tap.h"
#include "base/thread.h"
#include "vector/bitmap.h"
#include "vector/sparse.h"

#include <math.h>
#include <stdlib.h>

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

enum { ITEMS = 9000, INDICES = 900, MOST = 40 };

/* An item as it should be; n -1: not there. */
struct item {
	int n;
	uint32_t at[MOST];
	float v[MOST];
};
static struct item items[ITEMS];

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Low indices are frequent, as words are; now and then one of the highest. */
static void random_vector(struct item *it, uint64_t *s, int most, bool signs)
{
	it->n = (int)(rnd(s) % (uint64_t)most);
	for (int i = 0; i < it->n; i++) {
		uint64_t a = rnd(s) % INDICES, b = rnd(s) % INDICES;
		it->at[i] =
			rnd(s) % 50 ? (uint32_t)(a * b / INDICES) : UINT32_MAX - (uint32_t)(a % 7);
	}
	qsort(it->at, (size_t)it->n, sizeof it->at[0], ascending);
	int kept = 0;
	for (int i = 0; i < it->n; i++)
		if (!kept || it->at[i] != it->at[kept - 1])
			it->at[kept++] = it->at[i];
	it->n = kept;
	for (int i = 0; i < kept; i++) {
		it->v[i] = (float)(rnd(s) % 1000) / 250;
		if (signs && rnd(s) % 3 == 0)
			it->v[i] = -it->v[i];
	}
}

static uint64_t key_of(size_t i)
{
	return i * 3 + (i % 5 == 0 ? UINT64_C(1) << 40 : 0);
}

static bool dot(const struct item *q, const double *w, const struct item *it, double *out)
{
	bool any = false;
	*out = 0;
	for (int i = 0, k = 0; i < q->n && k < it->n;) {
		if (q->at[i] == it->at[k]) {
			*out += w[i++] * (double)it->v[k++];
			any = true;
		} else if (q->at[i] < it->at[k]) {
			i++;
		} else {
			k++;
		}
	}
	return any;
}

static void weights(const struct item *q, bool idf, double *w)
{
	size_t n = 0;
	for (size_t i = 0; i < ITEMS; i++)
		n += items[i].n >= 0;
	for (int i = 0; i < q->n; i++) {
		size_t df = 0;
		for (size_t k = 0; k < ITEMS; k++)
			for (int j = 0; j < items[k].n; j++)
				df += items[k].at[j] == q->at[i];
		w[i] = q->v[i];
		if (idf)
			w[i] *= log(((double)n - (double)df + 0.5) / ((double)df + 0.5) + 1);
	}
}

static int best_first(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->key > y->key) - (x->key < y->key);
}

static void one_query(struct sparse *x, uint64_t *s, bool signs)
{
	static struct hit want[ITEMS], got[ITEMS];
	struct errtext et = {0};
	struct item q;
	struct bitmap some = {0};
	double w[MOST];
	bool idf = rnd(s) % 2, filtered = rnd(s) % 3 == 0;
	size_t n = 0, n_got, k = rnd(s) % 4 ? 1 + rnd(s) % 20 : ITEMS;
	random_vector(&q, s, MOST, signs);
	weights(&q, idf, w);
	for (size_t i = 0; filtered && i < ITEMS; i++)
		if (rnd(s) % 10 == 0)
			bitmap_add(&some, key_of(i));
	for (size_t i = 0; i < ITEMS; i++) {
		double score;
		if (items[i].n >= 0 && (!filtered || bitmap_has(&some, key_of(i))) &&
			dot(&q, w, &items[i], &score))
			want[n++] = (struct hit){key_of(i), (float)score};
	}
	qsort(want, n, sizeof *want, best_first);
	struct sparse_query sq = {.v = {q.at, q.v, (size_t)q.n},
		.idf = idf,
		.k = k,
		.keep = filtered ? bitmap_keep : NULL,
		.ctx = &some};
	if (n > 5 && rnd(s) % 4 == 0) {
		sq.within = true;
		sq.min_score = (want[n / 2].score + want[n / 2 + 1].score) / 2;
		size_t kept = 0;
		while (kept < n && want[kept].score >= sq.min_score)
			kept++;
		n = kept;
	}
	CHECK_OK(sparse_search(x, &sq, got, &n_got, &et), &et);
	CHECK_INT(n_got, MIN(n, k));
	for (size_t i = 0; i < n_got; i++) {
		CHECK(fabsf(got[i].score - want[i].score) <= 1e-5f * (1 + fabsf(want[i].score)));
		/* sums in another order may swap equals */
		CHECK(got[i].key == want[i].key ||
			fabsf(got[i].score - want[i].score) <= 1e-5f * (1 + fabsf(want[i].score)));
	}
	bitmap_free(&some);
}

static void agree(bool signs)
{
	struct errtext et = {0};
	struct sparse *x;
	uint64_t seed = 20261127;
	CHECK_OK(sparse_new(&x, &et), &et);
	for (size_t i = 0; i < ITEMS; i++)
		items[i].n = -1;
	for (int round = 0; round < 14; round++) {
		for (size_t n = round ? rnd(&seed) % 900 : ITEMS * 2 / 3; n; n--) {
			size_t i = rnd(&seed) % ITEMS;
			uint64_t key = key_of(i);
			if (round && rnd(&seed) % 3 == 0) {
				CHECK_OK(sparse_delete(x, &key, 1, &et), &et);
				items[i].n = -1;
				continue;
			}
			random_vector(&items[i], &seed, MOST, signs);
			struct sparse_vector v = {items[i].at, items[i].v, (size_t)items[i].n};
			CHECK_OK(sparse_put(x, key, &v, &et), &et);
		}
		CHECK_OK(sparse_publish(x, &et), &et);
		size_t there = 0;
		for (size_t i = 0; i < ITEMS; i++)
			there += items[i].n >= 0;
		CHECK_INT(sparse_count(x), there);
		for (int i = 0; i < 12; i++)
			one_query(x, &seed, signs);
	}
	CHECK(sparse_bytes(x) > 100000);
	sparse_free(x);
}

static void test_vector_sparse__as_comparing_every_item(void)
{
	agree(false);
}

static void test_vector_sparse__with_numbers_below_zero(void)
{
	agree(true);
}

static void test_vector_sparse__refuses_what_is_no_vector(void)
{
	struct errtext et = {0};
	struct sparse *x;
	static const uint32_t twice[] = {3, 3}, back[] = {4, 3}, good[] = {3, 4};
	static const float v[] = {1, 2};
	const float bad[] = {1, NAN};
	struct hit h[2];
	size_t n;
	CHECK_OK(sparse_new(&x, &et), &et);
	CHECK_INT(sparse_put(x, 1, &(struct sparse_vector){twice, v, 2}, &et), ERR_INVALID);
	CHECK_INT(sparse_put(x, 1, &(struct sparse_vector){back, v, 2}, &et), ERR_INVALID);
	CHECK_INT(sparse_put(x, 1, &(struct sparse_vector){good, bad, 2}, &et), ERR_INVALID);
	CHECK_INT(sparse_put(x, 1, &(struct sparse_vector){good, v, SPARSE_MAX + 1}, &et),
		ERR_TOO_LARGE);
	CHECK_OK(sparse_put(x, 1, &(struct sparse_vector){good, v, 2}, &et), &et);
	CHECK_OK(sparse_put(x, 2, &(struct sparse_vector){good, v, 0}, &et), &et);
	CHECK_OK(sparse_publish(x, &et), &et);
	CHECK_INT(sparse_count(x), 2);
	struct sparse_query q = {.v = {back, v, 2}, .k = 2};
	CHECK_INT(sparse_search(x, &q, h, &n, &et), ERR_INVALID);
	q.v.at = good;
	CHECK_OK(sparse_search(x, &q, h, &n, &et), &et);
	CHECK_INT(n, 1);
	CHECK(h[0].key == 1 && h[0].score == 5);
	sparse_free(x);
}

static struct sparse *shared;
static atomic_bool done;

/* Each item has the same number under both indices, so a hit's score is twice one of them. */
static void *reader(void *arg)
{
	static const uint32_t at[] = {5, 9};
	static const float v[] = {1, 1};
	struct errtext et = {0};
	struct hit h[50];
	while (!atomic_load(&done)) {
		size_t n;
		struct sparse_query q = {.v = {at, v, 2}, .k = 50};
		if (sparse_search(shared, &q, h, &n, &et))
			return (char *)"a search failed";
		for (size_t i = 0; i < n; i++)
			if (h[i].score != 2 * floorf(h[i].score / 2) || h[i].score < 2)
				return (char *)"half an item was seen";
	}
	return NULL;
}

static void test_vector_sparse__readers_beside_a_writer(void)
{
	struct errtext et = {0};
	pthread_t t[2];
	uint64_t seed = 5;
	CHECK_OK(sparse_new(&shared, &et), &et);
	for (int i = 0; i < 2; i++)
		CHECK_OK(thread_start(&t[i], reader, NULL, "reader", &et), &et);
	for (int i = 0; i < 400; i++) {
		uint64_t key = rnd(&seed) % 300;
		float value = 1 + (float)(rnd(&seed) % 9);
		static const uint32_t at[] = {5, 9};
		float v[] = {value, value};
		if (rnd(&seed) % 4)
			CHECK_OK(sparse_put(shared, key, &(struct sparse_vector){at, v, 2}, &et),
				&et);
		else
			CHECK_OK(sparse_delete(shared, &key, 1, &et), &et);
		CHECK_OK(sparse_publish(shared, &et), &et);
	}
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++) {
		void *said;
		pthread_join(t[i], &said);
		CHECK(!said);
	}
	sparse_free(shared);
}

TESTS(T(test_vector_sparse__as_comparing_every_item),
	T(test_vector_sparse__with_numbers_below_zero),
	T(test_vector_sparse__refuses_what_is_no_vector),
	T(test_vector_sparse__readers_beside_a_writer))
