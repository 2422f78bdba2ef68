#include "tap.h"
#include "engine/sampler.h"
#include "engine/stopper.h"

#include <math.h>
#include <stdlib.h>

enum { V = 1000 };

static struct sampler *make(struct sampling s)
{
	struct sampler *x;
	struct errtext et = {0};
	CHECK_OK(sampler_new(&s, V, &x, &et), &et);
	return x;
}

static void logits_of(float *l, unsigned seed)
{
	for (int i = 0; i < V; i++)
		l[i] = (float)(8 * sampler_uniform(seed, (uint64_t)i) - 4);
}

static int descending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x < y) - (x > y);
}

/* Chi-square of many draws against the distribution computed plainly from the definition. */
static void draws_follow(struct sampling s, unsigned seed)
{
	static float l[V];
	static double p[V], sorted[V];
	logits_of(l, seed);
	double sum = 0, max = -1e9;
	for (int i = 0; i < V; i++)
		max = fmax(max, (double)l[i]);
	for (int i = 0; i < V; i++)
		sorted[i] = (double)l[i];
	qsort(sorted, V, sizeof *sorted, descending);
	double least = -1e9;
	size_t k = s.top_k ? (size_t)s.top_k : V;
	least = sorted[k - 1];
	double total = 0, run = 0;
	for (size_t i = 0; i < k; i++)
		total += exp(sorted[i] - max);
	for (size_t i = 0; i < k; i++) {
		run += exp(sorted[i] - max);
		if (run >= (double)s.top_p * total) {
			least = fmax(least, sorted[i]);
			break;
		}
	}
	if (s.min_p > 0)
		least = fmax(least, max + log((double)s.min_p));
	for (int i = 0; i < V; i++) {
		p[i] = (double)l[i] >= least ? exp(((double)l[i] - max) / (double)s.temperature)
					     : 0;
		sum += p[i];
	}
	static unsigned count[V];
	memset(count, 0, sizeof count);
	struct sampler *x = make(s);
	const int draws = 60000;
	for (int i = 0; i < draws; i++) {
		int32_t id = sampler_pick(x, l, NULL, 0, NULL);
		CHECK(id >= 0 && id < V);
		if (p[id] == 0)
			FAIL("token %d was cut, but drawn", id);
		count[id]++;
		sampler_accept(x, id);
	}
	sampler_free(x);
	double chi = 0;
	int cells = 0;
	for (int i = 0; i < V; i++) {
		double want = p[i] / sum * draws;
		if (want < 5)
			continue;
		chi += (count[i] - want) * (count[i] - want) / want;
		cells++;
	}
	if (chi > cells + 5 * sqrt(2.0 * cells))
		FAIL("chi-square %.1f with %d cells", chi, cells);
}

static void test_engine_sampler__draws_follow_the_distribution(void)
{
	draws_follow(
		(struct sampling){.temperature = 1, .top_p = 1, .repeat_penalty = 1, .seed = 1}, 1);
	draws_follow((struct sampling){.temperature = 0.5f,
			     .top_p = 1,
			     .repeat_penalty = 1,
			     .top_k = 20,
			     .seed = 2},
		2);
	draws_follow(
		(struct sampling){
			.temperature = 1.5f, .top_p = 0.8f, .repeat_penalty = 1, .seed = 3},
		3);
	draws_follow((struct sampling){.temperature = 1,
			     .top_p = 0.9f,
			     .top_k = 50,
			     .min_p = 0.1f,
			     .repeat_penalty = 1,
			     .seed = 4},
		4);
	draws_follow(
		(struct sampling){
			.temperature = 1, .top_p = 1, .top_k = 7, .repeat_penalty = 1, .seed = 5},
		5);
	draws_follow((struct sampling){.temperature = 1,
			     .top_p = 1,
			     .min_p = 0.02f,
			     .repeat_penalty = 1,
			     .seed = 6},
		6);
}

static void test_engine_sampler__greedy_and_ties(void)
{
	static float l[V];
	struct sampler *x = make((struct sampling){.top_p = 1, .repeat_penalty = 1});
	l[7] = l[9] = 3;
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 7);
	l[500] = NAN;
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 7);
	for (int i = 0; i < V; i++)
		l[i] = NAN;
	int32_t id = sampler_pick(x, l, NULL, 0, NULL);
	CHECK(id >= 0 && id < V);
	sampler_free(x);
	x = make((struct sampling){.temperature = 1, .top_p = 0.5f, .repeat_penalty = 1});
	id = sampler_pick(x, l, NULL, 0, NULL);
	CHECK(id >= 0 && id < V);
	sampler_free(x);
}

static void test_engine_sampler__same_seed_same_answer(void)
{
	static float l[V];
	logits_of(l, 5);
	struct sampling s = {.temperature = 1, .top_p = 0.95f, .repeat_penalty = 1, .seed = 42};
	struct sampler *a = make(s), *b = make(s);
	s.seed = 43;
	struct sampler *c = make(s);
	int different = 0;
	for (int i = 0; i < 200; i++) {
		int32_t ia = sampler_pick(a, l, NULL, 0, NULL);
		CHECK_INT(ia, sampler_pick(b, l, NULL, 0, NULL));
		different += ia != sampler_pick(c, l, NULL, 0, NULL);
		sampler_accept(a, ia);
		sampler_accept(b, ia);
		sampler_accept(c, ia);
	}
	CHECK(different > 100);
	sampler_free(a);
	sampler_free(b);
	sampler_free(c);
}

static void test_engine_sampler__penalties_and_bias(void)
{
	static float l[V];
	l[1] = 5;
	l[2] = 4.5f;
	struct sampler *x =
		make((struct sampling){.top_p = 1, .repeat_penalty = 1, .frequency_penalty = 0.3f});
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 1);
	sampler_accept(x, 1);
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 1); /* 4.7 */
	sampler_accept(x, 1);
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 2); /* 4.4 < 4.5 */
	sampler_free(x);
	x = make((struct sampling){.top_p = 1, .repeat_penalty = 1.2f, .repeat_last = 2});
	int32_t prompt[] = {1, 1};
	sampler_prompt(x, prompt, 2);
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 2); /* 5 / 1.2, once although seen twice */
	sampler_accept(x, 3);
	sampler_accept(x, 4);
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 1); /* out of the window */
	sampler_free(x);
	struct logit_bias bias[] = {{1, -100}, {2, -100}, {77, 1}};
	x = make((struct sampling){.top_p = 1, .repeat_penalty = 1, .bias = bias, .n_bias = 3});
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 77);
	sampler_free(x);
	struct errtext et = {0};
	bias[0].id = V;
	CHECK_ERR(sampler_new(
			  &(struct sampling){
				  .top_p = 1, .repeat_penalty = 1, .bias = bias, .n_bias = 1},
			  V, &x, &et),
		ERR_INVALID);
	CHECK(strstr(et.msg, "1000"));
	CHECK_ERR(sampler_new(&(struct sampling){.top_p = 1.5f, .repeat_penalty = 1}, V, &x, &et),
		ERR_INVALID);
	CHECK_ERR(
		sampler_new(&(struct sampling){.top_p = 1, .temperature = NAN, .repeat_penalty = 1},
			V, &x, &et),
		ERR_INVALID);
}

static void test_engine_sampler__logprobs(void)
{
	static float l[V];
	logits_of(l, 9);
	struct sampler *x = make((struct sampling){.top_p = 1, .repeat_penalty = 1});
	struct token_logprob top[20];
	float lp;
	int32_t id = sampler_pick(x, l, top, 20, &lp);
	double sum = 0;
	for (int i = 0; i < V; i++)
		sum += exp((double)l[i]);
	CHECK_NEAR(lp, (double)l[id] - log(sum), 1e-5);
	CHECK(top[0].id == id && top[0].logprob == lp);
	for (int i = 1; i < 20; i++)
		CHECK(top[i].logprob <= top[i - 1].logprob);
	unsigned larger = 0;
	for (int i = 0; i < V; i++)
		larger += l[i] > l[top[19].id];
	CHECK_INT(larger, 19);
	sampler_free(x);
}

/* Of ten logits, three are allowed: the draw is as if the others were not there. */
static void test_engine_sampler__only_what_is_allowed(void)
{
	static float l[V];
	static const uint64_t allowed[(V + 63) / 64] = {[0] = 1 << 3 | 1 << 5, [2] = 1};
	static const int32_t ids[] = {3, 5, 128};
	struct sampling s = {
		.temperature = 0.7f, .top_k = 2, .top_p = 0.99f, .repeat_penalty = 1, .seed = 5};
	unsigned count[3] = {0};
	logits_of(l, 8);
	l[3] = -2;
	l[5] = -1.5f;
	l[128] = -9;
	struct sampler *x = make(s);
	struct token_logprob top[2];
	float logprob;
	for (unsigned i = 0; i < 20000; i++) {
		sampler_allow(x, allowed);
		int32_t id = sampler_pick(x, l, top, 2, &logprob);
		CHECK(id == 3 || id == 5);
		count[id == 5]++;
		CHECK(top[0].id != 3 && top[0].id != 5 && logprob < top[0].logprob);
		sampler_accept(x, id);
	}
	double p = 1 / (1 + exp(-0.5 / 0.7));
	CHECK_NEAR(count[1] / 20000.0, p, 0.015);
	CHECK(sampler_pick(x, l, NULL, 0, NULL) >= 0); /* only one pick was bound */
	sampler_free(x);

	s.temperature = 0;
	x = make(s);
	sampler_allow(x, allowed);
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 5);
	for (unsigned i = 0; i < 3; i++) /* even when the model thinks all of them impossible */
		l[ids[i]] = i ? -INFINITY : NAN;
	sampler_allow(x, allowed);
	CHECK_INT(sampler_pick(x, l, NULL, 0, NULL), 3);
	sampler_free(x);
}

/* However the text is cut into pieces, what is sent is the text before the first stop string. */
static void test_engine_stopper__any_cut(void)
{
	struct str stops[] = {S("<end>"), S("\n\nUser"), S("€uro")};
	static const struct {
		const char *text, *sent;
		int hit;
	} cases[] = {
		{"hello <end> more", "hello ", 0},
		{"a <en <end", "a <en <end", -1},
		{"x\n\n\n\nUser: hi", "x\n\n", 1},
		{"10 €\xE2\x82\xACuro", "10 €", 2},
		{"<<end>", "<", 0},
		{"", "", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text = str_c(cases[i].text);
		for (size_t step = 1; step <= text.n + 1; step++) {
			struct stopper s;
			CHECK_OK(stopper_init(&s, stops, 3, NULL), NULL);
			struct buf sent = {0};
			int hit = -1;
			for (size_t at = 0; at < text.n && hit < 0; at += step) {
				struct str part = str_sub(text, at, at + step);
				buf_adds(&sent, stopper_add(&s, part, &hit));
				CHECK(hit >= 0 || utf8_complete_prefix(buf_str(&sent)) == sent.n);
			}
			if (hit < 0)
				buf_adds(&sent, stopper_end(&s));
			CHECK_INT(hit, cases[i].hit);
			CHECK_STR(buf_str(&sent), cases[i].sent);
			buf_free(&sent);
			stopper_free(&s);
		}
	}
}

TESTS(T(test_engine_sampler__draws_follow_the_distribution),
	T(test_engine_sampler__greedy_and_ties), T(test_engine_sampler__same_seed_same_answer),
	T(test_engine_sampler__penalties_and_bias), T(test_engine_sampler__logprobs),
	T(test_engine_sampler__only_what_is_allowed), T(test_engine_stopper__any_cut))
