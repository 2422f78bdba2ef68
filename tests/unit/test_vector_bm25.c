#include "tap.h"
#include "vector/bm25.h"
#include "vector/pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The oracle: items as lists of small numbers, scores by the formula, everything sorted. */
enum { ITEMS = 600, WORDS = 40, LEN_MAX = 30 };

struct item {
	bool alive;
	size_t n;
	unsigned char tf[WORDS];
};

static char names[WORDS][8];

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static struct str word(unsigned w)
{
	snprintf(names[w], sizeof names[w], "w%u", w);
	return str_c(names[w]);
}

static float naive(const struct item *items, const struct item *it, const unsigned *q, size_t nq)
{
	double n = 0, len = 0;
	for (size_t i = 0; i < ITEMS; i++)
		if (items[i].alive) {
			n++;
			len += (double)items[i].n;
		}
	double score = 0;
	for (size_t i = 0; i < nq; i++) {
		double df = 0, tf = it->tf[q[i]];
		for (size_t j = 0; j < ITEMS; j++)
			df += items[j].alive && items[j].tf[q[i]] > 0;
		score += log(1 + (n - df + 0.5) / (df + 0.5)) * tf /
			 (tf + 0.9 * (1 - 0.4 + 0.4 * (double)it->n / (len / n)));
	}
	return (float)score;
}

static bool odd_only(void *ctx, uint64_t key)
{
	return key % 2;
}

/* A few words are everywhere, most nearly nowhere. */
static unsigned zipf(uint64_t *s)
{
	double u = (double)(rnd(s) % 1000000 + 1) / 1000001;
	return (unsigned)(exp(u * log(5000)) - 1);
}

static int by_rank(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->key < y->key ? -1 : 1;
}

static void compare(struct bm25 *x, const struct item *items, uint64_t *seed)
{
	struct errtext et = {0};
	unsigned q[5];
	struct str terms[5];
	size_t nq = 1 + rnd(seed) % 5, k = 1 + rnd(seed) % 20;
	for (size_t i = 0; i < nq; i++) {
		q[i] = (unsigned)(rnd(seed) % WORDS);
		terms[i] = word(q[i]);
	}
	bool filtered = rnd(seed) % 2;
	struct hit got[20];
	size_t n = 0;
	CHECK_OK(bm25_search(x, terms, nq, k, filtered ? odd_only : NULL, NULL, got, &n, NULL, &et),
		&et);
	size_t matching = 0, better = 0;
	for (size_t i = 0; i < ITEMS; i++) {
		float s = naive(items, &items[i], q, nq);
		if (!items[i].alive || s <= 0 || (filtered && i % 2 == 0))
			continue;
		matching++;
		better += n && s > got[n - 1].score * 1.0001f;
	}
	CHECK_INT(n, matching < k ? matching : k);
	CHECK(better < k || k == 0);
	for (size_t i = 0; i < n; i++) {
		CHECK(items[got[i].key].alive);
		CHECK_NEAR(got[i].score, naive(items, &items[got[i].key], q, nq), 2e-5);
		CHECK(!i || got[i - 1].score > got[i].score ||
			(got[i - 1].score == got[i].score && got[i - 1].key < got[i].key));
		float again;
		bm25_scores(x, terms, nq, &got[i].key, 1, &again);
		CHECK(again == got[i].score);
	}
}

static void test_vector_bm25__agrees_with_the_formula(void)
{
	static struct item items[ITEMS];
	struct errtext et = {0};
	struct bm25 *x;
	CHECK_OK(bm25_new(NULL, &x), &et);
	uint64_t seed = 88172645463325252u;
	size_t alive = 0;
	for (int round = 0; round < 60; round++) {
		for (size_t c = rnd(&seed) % 40; c; c--) {
			uint64_t key = rnd(&seed) % ITEMS;
			struct item *it = &items[key];
			if (rnd(&seed) % 4 == 0) {
				CHECK_OK(bm25_delete(x, &key, 1, &et), &et);
				it->alive = false;
				continue;
			}
			struct str terms[LEN_MAX];
			*it = (struct item){.alive = true};
			it->n = rnd(&seed) % LEN_MAX;
			for (size_t i = 0; i < it->n; i++) {
				/* Few words are frequent, as in a language. */
				unsigned w = (unsigned)(rnd(&seed) % (1 + rnd(&seed) % WORDS));
				it->tf[w]++;
				terms[i] = word(w);
			}
			CHECK_OK(bm25_put(x, key, terms, it->n, &et), &et);
		}
		CHECK_OK(bm25_publish(x, &et), &et);
		alive = 0;
		for (size_t i = 0; i < ITEMS; i++)
			alive += items[i].alive;
		CHECK_INT(bm25_count(x), alive);
		for (int i = 0; i < 10 && alive; i++)
			compare(x, items, &seed);
	}
	for (uint64_t key = 0; key < ITEMS; key++)
		CHECK_OK(bm25_delete(x, &key, 1, &et), &et);
	CHECK_OK(bm25_publish(x, &et), &et);
	CHECK_INT(bm25_count(x), 0);
	bm25_free(x);
}

static void test_vector_bm25__same_bits_however_laid_out(void)
{
	struct errtext et = {0};
	struct bm25 *one, *many;
	CHECK_OK(bm25_new(NULL, &one), &et);
	CHECK_OK(bm25_new(NULL, &many), &et);
	uint64_t seed = 77;
	for (uint64_t key = 0; key < 500; key++) {
		struct str terms[12];
		size_t n = 1 + rnd(&seed) % 12;
		for (size_t i = 0; i < n; i++)
			terms[i] = word((unsigned)(rnd(&seed) % WORDS));
		CHECK_OK(bm25_put(one, key, terms, n, &et), &et);
		CHECK_OK(bm25_put(many, key, terms, n, &et), &et);
		CHECK_OK(bm25_publish(many, &et), &et);
	}
	CHECK_OK(bm25_publish(one, &et), &et);
	struct str q[] = {word(1), word(7), word(9), word(30)};
	struct hit a[500], b[500];
	size_t na = 0, nb = 0;
	CHECK_OK(bm25_search(one, q, 4, 500, NULL, NULL, a, &na, NULL, &et), &et);
	CHECK_OK(bm25_search(many, q, 4, 500, NULL, NULL, b, &nb, NULL, &et), &et);
	CHECK_INT(na, nb);
	for (size_t i = 0; i < na; i++)
		CHECK(a[i].key == b[i].key && a[i].score == b[i].score);
	bm25_free(one);
	bm25_free(many);
}

static void test_vector_bm25__nothing_shows_before_publish(void)
{
	struct errtext et = {0};
	struct bm25 *x;
	CHECK_OK(bm25_new(&(struct bm25_options){1.2f, 0.75f}, &x), &et);
	struct str terms[] = {S("red"), S("fox"), S("fox")};
	struct hit h[4];
	size_t n = 9;
	CHECK_OK(bm25_put(x, 5, terms, 3, &et), &et);
	CHECK_OK(bm25_search(x, terms, 1, 4, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 0);
	CHECK_OK(bm25_publish(x, &et), &et);
	CHECK_OK(bm25_search(x, terms, 1, 4, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 1);
	struct bm25_term_score why[4];
	CHECK_INT(bm25_explain(x, (struct str[]){S("fox"), S("owl"), S("red")}, 3, 5, why, 4), 2);
	CHECK_STR(why[0].term, "fox");
	CHECK_INT(why[0].tf, 2);
	CHECK_INT(why[0].df, 1);
	CHECK(why[0].score > why[1].score);
	float idf[2];
	uint32_t df[2];
	bm25_idf(x, (struct str[]){S("fox"), S("owl")}, 2, idf, df);
	CHECK_INT(df[0], 1);
	CHECK_INT(df[1], 0);
	CHECK(idf[1] > idf[0]);
	/* Deleted and put again between two publishes: there; put and deleted: gone. */
	uint64_t key = 5;
	CHECK_OK(bm25_delete(x, &key, 1, &et), &et);
	CHECK_OK(bm25_put(x, 5, terms, 1, &et), &et);
	CHECK_OK(bm25_publish(x, &et), &et);
	CHECK_INT(bm25_count(x), 1);
	CHECK_INT(bm25_explain(x, terms, 3, 5, why, 4), 1);
	CHECK_OK(bm25_put(x, 5, terms, 2, &et), &et);
	CHECK_OK(bm25_delete(x, &key, 1, &et), &et);
	CHECK_OK(bm25_publish(x, &et), &et);
	CHECK_INT(bm25_count(x), 0);
	CHECK_OK(bm25_search(x, NULL, 0, 4, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 0);
	bm25_free(x);
}

/* Many windows and blocks: the same as scoring every item, to the bit. `x` has n items, 0, 1, ...
 */
static void check_exhaustive(struct bm25 *x, size_t n, uint64_t *seed)
{
	struct errtext et = {0};
	char name[12][12];
	struct str terms[12];
	size_t n_terms = 1 + rnd(seed) % 12, k = 1 + rnd(seed) % 40, got = 0;
	for (size_t i = 0; i < n_terms; i++) {
		snprintf(name[i], sizeof name[i], "z%u", zipf(seed));
		terms[i] = str_c(name[i]);
	}
	bool filtered = rnd(seed) % 3 == 0;
	struct hit hits[40], *all = malloc(n * sizeof *all);
	uint64_t *keys = malloc(n * sizeof *keys);
	float *scores = malloc(n * sizeof *scores);
	for (size_t i = 0; i < n; i++)
		keys[i] = i;
	bm25_scores(x, terms, n_terms, keys, n, scores);
	size_t matching = 0;
	for (size_t i = 0; i < n; i++)
		if (scores[i] > 0 && (!filtered || i % 2))
			all[matching++] = (struct hit){i, scores[i]};
	qsort(all, matching, sizeof *all, by_rank);
	CHECK_OK(bm25_search(x, terms, n_terms, k, filtered ? odd_only : NULL, NULL, hits, &got,
			 NULL, &et),
		&et);
	CHECK_INT(got, matching < k ? matching : k);
	for (size_t i = 0; i < got; i++)
		CHECK(hits[i].key == all[i].key && hits[i].score == all[i].score);
	free(all);
	free(keys);
	free(scores);
}

static void put_zipf(struct bm25 *x, uint64_t key, uint64_t *seed, size_t n_fields)
{
	struct errtext et = {0};
	char name[3][60][12];
	struct str terms[3][60];
	struct bm25_text texts[3];
	for (size_t f = 0; f < n_fields; f++) {
		texts[f] = (struct bm25_text){terms[f], NULL, rnd(seed) % 60};
		for (size_t i = 0; i < texts[f].n; i++) {
			snprintf(name[f][i], sizeof name[f][i], "z%u", zipf(seed));
			terms[f][i] = str_c(name[f][i]);
		}
	}
	CHECK_OK(bm25_put_fields(x, key, texts, &et), &et);
}

static void exhaustive(const struct bm25_options *o, size_t n, size_t n_fields)
{
	struct errtext et = {0};
	struct bm25 *x;
	uint64_t seed = 4711;
	CHECK_OK(bm25_new(o, &x), &et);
	for (uint64_t key = 0; key < n; key++)
		put_zipf(x, key, &seed, n_fields);
	CHECK_OK(bm25_publish(x, &et), &et);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++)
			check_exhaustive(x, n, &seed);
		for (size_t i = 0; i < n / 4; i++) {
			uint64_t key = rnd(&seed) % n;
			if (rnd(&seed) % 2)
				put_zipf(x, key, &seed, n_fields);
			else
				CHECK_OK(bm25_delete(x, &key, 1, &et), &et);
		}
		CHECK_OK(bm25_publish(x, &et), &et);
	}
	CHECK(bm25_bytes(x) > n);
	bm25_free(x);
}

static void test_vector_bm25__same_as_scoring_everything(void)
{
	exhaustive(NULL, 13000, 1);
	exhaustive(&(struct bm25_options){.k1 = 1.2f, .b = 0.75f}, 6000, 1);
}

static void test_vector_bm25__fields_have_weights_and_lengths(void)
{
	static const struct bm25_field fields[] = {{3, 0.3f}, {1, 0.75f}, {0.2f, 0}};
	const struct bm25_options o = {.k1 = 1.2f, .b = 0.5f, .fields = fields, .n_fields = 3};
	struct errtext et = {0};
	struct bm25 *x;
	exhaustive(&o, 6000, 3);
	CHECK_OK(bm25_new(&o, &x), &et);
	struct str red = S("red"), fox[] = {S("fox"), S("fox"), S("owl")}, owl = S("owl");
	struct bm25_text a[] = {{&red, NULL, 1}, {fox, NULL, 3}, {0}},
			 b[] = {{&owl, NULL, 1}, {0}, {&red, NULL, 1}};
	CHECK_OK(bm25_put_fields(x, 1, a, &et), &et);
	CHECK_OK(bm25_put_fields(x, 2, b, &et), &et);
	CHECK_OK(bm25_publish(x, &et), &et);
	/* red: weight 3 in a title of mean length; weight 0.2 in the last field. */
	struct hit h[2];
	size_t n = 0;
	CHECK_OK(bm25_search(x, &red, 1, 2, NULL, NULL, h, &n, NULL, &et), &et);
	CHECK_INT(n, 2);
	CHECK_INT(h[0].key, 1);
	double idf = log(1 + 0.5 / 2.5);
	CHECK_NEAR(h[0].score, idf * 3 / (1.2 + 3), 1e-6);
	CHECK_NEAR(h[1].score, idf * 0.2 / (1.2 + 0.2), 1e-6);
	/* owl: once of three where the mean is 1.5, b 0.75. */
	float s[2];
	bm25_scores(x, &owl, 1, (uint64_t[]){1, 2}, 2, s);
	double tf = 1 / (1 - 0.75 + 0.75 * 3 / 1.5);
	CHECK_NEAR(s[0], idf * tf / (1.2 + tf), 1e-6);
	bm25_free(x);
	CHECK_INT(
		bm25_new(&(struct bm25_options){.fields = fields, .n_fields = 9}, &x), ERR_INVALID);
}

/* Every snapshot holds pairs of items (2i, 2i + 1): a reader never sees one without the other. */
static struct bm25 *shared;
static atomic_bool done;

static void *reader(void *arg)
{
	struct errtext et = {0};
	struct str t = S("both");
	static _Thread_local struct hit h[512];
	while (!atomic_load(&done)) {
		size_t n = 0;
		CHECK_OK(bm25_search(shared, &t, 1, 512, NULL, NULL, h, &n, NULL, &et), &et);
		CHECK(n % 2 == 0);
	}
	return NULL;
}

static void test_vector_bm25__readers_beside_a_writer(void)
{
	struct errtext et = {0};
	CHECK_OK(bm25_new(NULL, &shared), &et);
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		CHECK_OK(thread_start(&t[i], reader, NULL, "reader", &et), &et);
	uint64_t seed = 5;
	struct str terms[] = {S("both"), S("x")};
	for (int i = 0; i < 1500; i++) {
		uint64_t key = rnd(&seed) % 200 * 2, both[] = {key, key + 1};
		if (rnd(&seed) % 3) {
			CHECK_OK(bm25_put(shared, both[0], terms, 1, &et), &et);
			CHECK_OK(bm25_put(shared, both[1], terms, 2, &et), &et);
		} else {
			CHECK_OK(bm25_delete(shared, both, 2, &et), &et);
		}
		CHECK_OK(bm25_publish(shared, &et), &et);
	}
	atomic_store(&done, true);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	bm25_free(shared);
}

static void test_vector_bm25__packing(void)
{
	uint64_t seed = 99;
	for (unsigned bits = 0; bits <= 32; bits++) {
		uint32_t in[PACK_N], out[PACK_N], sum = (uint32_t)rnd(&seed);
		uint8_t room[PACK_N * 4 + 16];
		for (size_t i = 0; i < PACK_N; i++)
			in[i] = bits ? (uint32_t)rnd(&seed) >> (32 - bits) : 0;
		in[7] = bits ? UINT32_MAX >> (32 - bits) : 0;
		CHECK_INT(pack_bits(in), bits);
		memset(room, 0xAA, sizeof room);
		pack128(in, bits, room + 3);
		CHECK(room[2] == 0xAA && room[3 + pack_bytes(bits)] == 0xAA);
		unpack128(room + 3, bits, out);
		CHECK(memcmp(in, out, sizeof in) == 0);
		unpack_ascending(room + 3, bits, sum, out);
		for (size_t i = 0; i < PACK_N; i++)
			CHECK((sum += in[i] + 1) == out[i]);
		for (unsigned n = 1; n <= PACK_N; n++)
			CHECK(pack_bytes_of(bits, n) <= pack_bytes(bits) &&
				pack_bytes_of(bits, n) * 8 >= (size_t)n * bits);
	}
	for (uint64_t v = 0; v <= UINT32_MAX; v = v * 3 + 1) {
		uint8_t code[5];
		uint32_t back;
		const uint8_t *end = varint_put(code, (uint32_t)v);
		CHECK(varint_get(code, &back) == end && back == v);
	}
}

TESTS(T(test_vector_bm25__agrees_with_the_formula), T(test_vector_bm25__same_bits_however_laid_out),
	T(test_vector_bm25__nothing_shows_before_publish),
	T(test_vector_bm25__same_as_scoring_everything),
	T(test_vector_bm25__fields_have_weights_and_lengths), T(test_vector_bm25__packing),
	T(test_vector_bm25__readers_beside_a_writer))
