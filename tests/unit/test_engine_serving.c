/* Many requests at once on the default model: the same bits whatever else is served, however little
 * memory there is, with what is known already and without; who goes first, who gives way. Skipped
 * when the model is absent. */
#include "tap.h"
#include "base/clock.h"
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>

#define SMOLLM2 "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

static struct errtext et;

static struct model *open_model(unsigned threads)
{
	struct model *m;
	CHECK_OK(model_open(
			 tap_model(SMOLLM2), &(struct model_options){.threads = threads}, &m, &et),
		&et);
	return m;
}

static struct generator *new_generator(struct model *m, struct generator_options o)
{
	struct generator *g;
	CHECK_OK(generator_new(m, &o, &g, &et), &et);
	return g;
}

/* A request and, afterwards, its answer: tokens and log probabilities, bit by bit. */
struct ask {
	struct generator *g;
	struct tokens toks;
	struct gen_request r;
	struct gen_result res;
	struct buf bits;
	double logprobs;
	atomic_uint events;
	unsigned stop_after; /* 0: never */
	struct cancel cancel;
	uint64_t done_ns;
	pthread_t thread;
};

static bool on_token(void *ctx, const struct gen_event *ev)
{
	struct ask *a = ctx;
	if (ev->token >= 0) {
		buf_add(&a->bits, (const char *)&ev->token, sizeof ev->token);
		buf_add(&a->bits, (const char *)&ev->logprob, sizeof ev->logprob);
		for (uint32_t i = 0; i < ev->n_top; i++)
			buf_add(&a->bits, (const char *)&ev->top[i].logprob, sizeof(float));
		a->logprobs += (double)ev->logprob;
		a->events++;
	}
	return !a->stop_after || a->events < a->stop_after;
}

static void *run(void *arg)
{
	struct ask *a = arg;
	struct errtext why = {0};
	if (generator_run(a->g, &a->r, &a->res, &why))
		FAIL("%s", why.msg);
	a->done_ns = clock_mono_ns();
	return NULL;
}

/* Request i of the mix: prompts of 5 to 300 tokens, of which many begin alike; greedy and sampled;
 * with penalties. */
static void prepare(struct ask *a, struct model *m, struct generator *g, unsigned i)
{
	struct buf text = {0};
	if (i % 3)
		buf_addf(&text, "<|im_start|>system\nYou answer briefly, in plain words, and you "
				"never invent what you do not know. You are kind to everybody who "
				"asks, and you say so when a question has no answer.<|im_end|>\n");
	if (i % 4 == 1)
		for (unsigned k = 0; k < 20 + i; k++)
			buf_addf(&text, "The %uth ship left the harbour. ", k);
	buf_addf(&text,
		"<|im_start|>user\nTell me about number %u.<|im_end|>\n<|im_start|>"
		"assistant\n",
		i);
	*a = (struct ask){.g = g};
	CHECK_OK(tokenizer_encode(
			 model_tokenizer(m), buf_str(&text), TOKENIZE_SPECIAL, &a->toks, &et),
		&et);
	buf_free(&text);
	struct sampling s = SAMPLING_DEFAULT;
	s.temperature = i % 2 ? 0.8f : 0;
	s.seed = i;
	if (i % 5 == 2)
		s.presence_penalty = 0.5f, s.repeat_penalty = 1.1f, s.repeat_last = -1;
	a->r = (struct gen_request){.prompt = a->toks.id,
		.n_prompt = a->toks.n,
		.max_tokens = 8 + i * 7 % 32,
		.sampling = s,
		.top_logprobs = 1,
		.client = i % 3,
		.on_token = on_token};
}

static void begin(struct ask *a)
{
	a->r.ctx = a;
	CHECK_OK(thread_start(&a->thread, run, a, "ask", &et), &et);
}

static void end(struct ask *a)
{
	pthread_join(a->thread, NULL);
}

static void ask_free(struct ask *a)
{
	buf_free(&a->bits);
	buf_free(&a->res.text);
	tokens_free(&a->toks);
}

enum { N = 9 };

/* Each of the mix alone, on a generator that has seen nothing else. */
static void answer_alone(struct model *m, struct generator_options o, struct ask out[N])
{
	for (unsigned i = 0; i < N; i++) {
		struct generator *g = new_generator(m, o);
		prepare(&out[i], m, g, i);
		begin(&out[i]);
		end(&out[i]);
		CHECK_INT(out[i].res.cached_tokens, 0);
		generator_free(g);
	}
}

static void answer_together(struct model *m, struct generator *g, const struct ask alone[N],
	const char *how, struct generator_stats *stats)
{
	static struct ask a[N];
	struct generator_stats before;
	generator_stats(g, &before);
	for (unsigned i = 0; i < N; i++) {
		prepare(&a[i], m, g, i);
		begin(&a[i]);
	}
	unsigned preempted = 0, drafted = 0, accepted = 0;
	for (unsigned i = 0; i < N; i++) {
		end(&a[i]);
		preempted += a[i].res.preemptions;
		drafted += a[i].res.drafted_tokens;
		accepted += a[i].res.accepted_tokens;
		if (!str_eq(buf_str(&a[i].res.text), buf_str(&alone[i].res.text)) ||
			!str_eq(buf_str(&a[i].bits), buf_str(&alone[i].bits)))
			FAIL("%s: request %u: '%s', alone '%s'", how, i, buf_c(&a[i].res.text),
				buf_c(&alone[i].res.text));
		CHECK_INT(a[i].res.finish, alone[i].res.finish);
		ask_free(&a[i]);
	}
	generator_stats(g, stats);
	CHECK_INT(stats->preemptions - before.preemptions, preempted);
	CHECK_INT(stats->running + stats->queued + stats->kv_used, 0);
	CHECK(stats->kv_tokens <= stats->kv_room);
	tap_note("%s: %llu read, %llu known, %llu written, %llu times given way, "
		 "%u of %u drafts right",
		how, (unsigned long long)(stats->prompt_tokens - before.prompt_tokens),
		(unsigned long long)(stats->cached_tokens - before.cached_tokens),
		(unsigned long long)(stats->generated_tokens - before.generated_tokens),
		(unsigned long long)(stats->preemptions - before.preemptions), accepted, drafted);
	/* the greedy ones are guessed right, of the others what is likely */
	CHECK(!stats->drafting_bytes || accepted * 2 > drafted);
	CHECK(!stats->drafting_bytes || accepted > 60);
}

static void test_engine_serving__an_answer_is_its_own_whatever_else_is_served(void)
{
	static const struct {
		const char *how;
		unsigned threads;
		struct generator_options o;
		bool drafting;
	} ways[] = {
		{"two threads, all at once", 2, {.sequences_max = N}},
		{"one thread, three at once", 1, {.sequences_max = 3}},
		{"one by one", 2, {.sequences_max = 1}},
		{"room for one", 2, {.sequences_max = N, .kv_tokens = 512}},
		{"room for two, no drafts", 2,
			{.sequences_max = 5, .kv_tokens = 1024, .no_drafts = true}},
		{"drafts of a model", 2, {.sequences_max = N}, true},
		{"drafts of a model, room for one", 2, {.sequences_max = 4, .kv_tokens = 512},
			true},
	};
	static struct ask alone[N];
	struct model *m = open_model(2);
	answer_alone(m, (struct generator_options){.context_tokens = 512}, alone);
	for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
		struct model *other = ways[w].threads == 2 ? model_ref(m) : open_model(1);
		struct generator_options o = ways[w].o;
		o.context_tokens = 512;
		o.drafting = ways[w].drafting ? m : NULL; /* itself: it guesses well */
		struct generator *g = new_generator(other, o);
		struct generator_stats first, again;
		answer_together(other, g, alone, ways[w].how, &first);
		CHECK(first.cached_tokens > 0);
		if (w == 0) {
			answer_together(other, g, alone, "again", &again);
			CHECK(again.cached_tokens - first.cached_tokens > first.cached_tokens);
		}
		if (o.kv_tokens == 512 && o.sequences_max == N)
			CHECK(first.preemptions > 0);
		generator_free(g);
		model_unref(other);
	}
	for (unsigned i = 0; i < N; i++)
		ask_free(&alone[i]);
	model_unref(m);
}

static void test_engine_serving__bytes_for_keys_and_values_change_little_and_not_by_chance(void)
{
	static struct ask halves[N], bytes[N];
	struct model *m = open_model(2);
	struct generator_options o = {.context_tokens = 512, .sequences_max = 4};
	answer_alone(m, o, halves);
	o.kv_q8 = true;
	answer_alone(m, o, bytes);
	double difference = 0;
	unsigned same = 0;
	for (unsigned i = 0; i < N; i++) {
		/* the first token of both follows the same text */
		const float *a = (const float *)(const void *)halves[i].bits.p,
			    *b = (const float *)(const void *)bytes[i].bits.p;
		same += !memcmp(a, b, sizeof(int32_t));
		difference += fabs((double)a[2] - (double)b[2]) / N; /* the likeliest's */
	}
	tap_note("log probability of the likeliest first token: %.4f apart; %u of %u the same",
		difference, same, N);
	/* rounding activations to bytes alone makes as much of any change, however small */
	CHECK(difference > 0 && difference < 0.15);
	CHECK(same >= N - 2);
	struct generator *g = new_generator(m, o);
	struct generator_stats s, f16;
	answer_together(m, g, bytes, "bytes", &s);
	generator_free(g);
	o.kv_q8 = false;
	g = new_generator(m, o);
	generator_stats(g, &f16);
	generator_free(g);
	CHECK_INT(s.kv_room, f16.kv_room);
	CHECK(s.kv_bytes * 100 < f16.kv_bytes * 54);
	for (unsigned i = 0; i < N; i++) {
		ask_free(&halves[i]);
		ask_free(&bytes[i]);
	}
	model_unref(m);
}

static void test_engine_serving__what_several_begin_with_is_read_once(void)
{
	enum { SAME = 6 };
	static struct ask a[SAME];
	struct model *m = open_model(2);
	struct generator *g = new_generator(
		m, (struct generator_options){.context_tokens = 512, .sequences_max = SAME});
	for (unsigned i = 0; i < SAME; i++) {
		prepare(&a[i], m, g, 5); /* a long one */
		a[i].r.max_tokens = 4;
	}
	size_t n = a[0].toks.n;
	CHECK(n > 200);
	for (unsigned i = 0; i < SAME; i++)
		begin(&a[i]);
	for (unsigned i = 0; i < SAME; i++) {
		end(&a[i]);
		CHECK(str_eq(buf_str(&a[i].bits), buf_str(&a[0].bits)));
	}
	for (unsigned i = 0; i < SAME; i++)
		ask_free(&a[i]);
	struct generator_stats s;
	generator_stats(g, &s);
	tap_note("%zu tokens, %d times: %llu read", n, SAME, (unsigned long long)s.prompt_tokens);
	CHECK_INT(s.prompt_tokens + s.cached_tokens, SAME * n);
	CHECK(s.prompt_tokens < n + SAME * 64);
	/* and nothing of it by another realm */
	prepare(&a[0], m, g, 5);
	a[0].r.realm = 1;
	begin(&a[0]);
	end(&a[0]);
	CHECK_INT(a[0].res.cached_tokens, 0);
	ask_free(&a[0]);
	generator_free(g);
	model_unref(m);
}

/* Request `i` with a long answer: it does not end by itself. */
static void prepare_long(struct ask *a, struct model *m, struct generator *g, unsigned i)
{
	static const struct logit_bias no_end[] = {{2, -1000}, {0, -1000}};
	prepare(a, m, g, i);
	a->r.max_tokens = 150;
	a->r.sampling.bias = no_end;
	a->r.sampling.n_bias = ARRAY_LEN(no_end);
}

static void wait_for_tokens(struct ask *a)
{
	while (!a->events)
		clock_sleep_ms(1);
}

static void test_engine_serving__what_is_urgent_goes_first_and_the_other_loses_nothing(void)
{
	struct model *m = open_model(2);
	struct generator *g = new_generator(
		m, (struct generator_options){.context_tokens = 512, .sequences_max = 1});
	struct ask alone, slow, quick;
	prepare_long(&alone, m, g, 2);
	begin(&alone);
	end(&alone);
	prepare_long(&slow, m, g, 2);
	prepare(&quick, m, g, 4);
	quick.r.priority = -1;
	begin(&slow);
	wait_for_tokens(&slow);
	begin(&quick);
	end(&quick);
	end(&slow);
	CHECK(quick.done_ns < slow.done_ns);
	CHECK_INT(slow.res.preemptions, 1);
	CHECK_INT(quick.res.preemptions, 0);
	CHECK_INT(slow.res.completion_tokens, 150);
	CHECK(str_eq(buf_str(&slow.bits), buf_str(&alone.bits)));
	/* less urgent: waits until there is room */
	struct ask later;
	prepare(&later, m, g, 4);
	later.r.priority = 1;
	ask_free(&slow);
	prepare_long(&slow, m, g, 2);
	begin(&slow);
	wait_for_tokens(&slow);
	begin(&later);
	end(&later);
	end(&slow);
	CHECK(later.res.queued_ns > later.res.first_token_ns / 2);
	CHECK_INT(slow.res.preemptions, 0);
	ask_free(&alone), ask_free(&slow), ask_free(&quick), ask_free(&later);
	generator_free(g);
	model_unref(m);
}

static void test_engine_serving__a_crowd_of_one_client_does_not_keep_another_waiting(void)
{
	enum { CROWD = 9 };
	static struct ask crowd[CROWD];
	struct ask other;
	struct model *m = open_model(2);
	struct generator *g = new_generator(
		m, (struct generator_options){.context_tokens = 512, .sequences_max = 3});
	for (unsigned i = 0; i < CROWD; i++) {
		prepare_long(&crowd[i], m, g, i);
		crowd[i].r.client = 77;
		begin(&crowd[i]);
	}
	struct generator_stats s;
	do { /* whichever came first */
		clock_sleep_ms(1);
		generator_stats(g, &s);
	} while (s.running < 3);
	prepare(&other, m, g, 1);
	other.r.client = 78;
	begin(&other);
	end(&other);
	unsigned before = 0, given_way = 0;
	for (unsigned i = 0; i < CROWD; i++) {
		end(&crowd[i]);
		before += crowd[i].done_ns < other.done_ns;
		given_way += crowd[i].res.preemptions;
		CHECK_INT(crowd[i].res.completion_tokens, 150);
		ask_free(&crowd[i]);
	}
	tap_note("%u of %d were done before; %u gave way", before, CROWD, given_way);
	CHECK(before <= 3);
	CHECK(given_way >= 1);
	ask_free(&other);
	generator_free(g);
	model_unref(m);
}

/* Requests that come, go away at any moment and are more or less urgent, with room for one and a
 * half: what stays is answered as ever, and nothing is left behind. */
static void test_engine_serving__who_goes_away_leaves_nothing_behind(void)
{
	enum { ROUNDS = 3, CROWD = 14 };
	static struct ask alone[2], a[CROWD];
	struct model *m = open_model(2);
	struct generator_options o = {.context_tokens = 512, .sequences_max = 5, .kv_tokens = 768};
	struct generator *g = new_generator(m, o);
	struct generator_stats s;
	for (unsigned i = 0; i < 2; i++) {
		prepare(&alone[i], m, g, i + 1);
		begin(&alone[i]);
		end(&alone[i]);
	}
	uint32_t random = 7;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < CROWD; i++) {
			random = random * 1664525 + 1013904223;
			prepare(&a[i], m, g, i < 2 ? i + 1 : random >> 28);
			if (i >= 2) {
				a[i].r.priority = (int)(random >> 20 & 3) - 1;
				a[i].stop_after = random >> 16 & 1 ? 1 + (random >> 8 & 7) : 0;
				a[i].r.cancel = &a[i].cancel;
			}
			begin(&a[i]);
		}
		for (unsigned i = 2; i < CROWD; i++) {
			random = random * 1664525 + 1013904223;
			clock_sleep_ms(random >> 28);
			if (random & 0x10000)
				cancel_set(&a[i].cancel);
		}
		for (unsigned i = 0; i < CROWD; i++) {
			end(&a[i]);
			if (i < 2)
				CHECK(str_eq(buf_str(&a[i].bits), buf_str(&alone[i].bits)));
			ask_free(&a[i]);
		}
		generator_stats(g, &s);
		CHECK_INT(s.running + s.queued + s.kv_used, 0);
		CHECK(s.kv_tokens <= s.kv_room);
	}
	tap_note("%llu requests, %llu times given way", (unsigned long long)s.requests,
		(unsigned long long)s.preemptions);
	CHECK_INT(s.requests, 2 + ROUNDS * CROWD);
	ask_free(&alone[0]);
	ask_free(&alone[1]);
	generator_free(g);
	model_unref(m);
}

static void test_engine_serving__a_limit_of_memory_is_kept_or_refused(void)
{
	struct model *m;
	uint64_t limit = 150 << 20;
	CHECK_OK(model_open(tap_model(SMOLLM2),
			 &(struct model_options){.threads = 1, .memory_max = limit}, &m, &et),
		&et);
	struct generator_options o = {.context_tokens = 1024, .sequences_max = 16};
	struct generator *g = new_generator(m, o);
	struct generator_stats s;
	generator_stats(g, &s);
	CHECK(s.kv_room >= 1024 && s.kv_room < 4096); /* less than was wanted */
	CHECK(model_info(m)->resident_bytes + s.kv_bytes + s.work_bytes <= limit);
	uint64_t room = s.kv_room;
	generator_free(g);
	o.kv_q8 = true;
	g = new_generator(m, o);
	generator_stats(g, &s);
	CHECK(s.kv_room > room * 17 / 10);
	generator_free(g);
	o.context_tokens = 8192;
	o.kv_q8 = false;
	CHECK_ERR(generator_new(m, &o, &g, &et), ERR_LIMIT);
	CHECK(strstr(et.msg, "157286400") != NULL && strstr(et.msg, "8192") != NULL);
	o.kv_tokens = 4096;
	CHECK_ERR(generator_new(m, &o, &g, &et), ERR_INVALID);
	model_unref(m);
}

/* the long ones have time under a sanitizer as well */
TESTS(T_LONG(test_engine_serving__an_answer_is_its_own_whatever_else_is_served, 240),
	T_LONG(test_engine_serving__bytes_for_keys_and_values_change_little_and_not_by_chance, 240),
	T(test_engine_serving__what_several_begin_with_is_read_once),
	T(test_engine_serving__what_is_urgent_goes_first_and_the_other_loses_nothing),
	T_LONG(test_engine_serving__a_crowd_of_one_client_does_not_keep_another_waiting, 240),
	T_LONG(test_engine_serving__who_goes_away_leaves_nothing_behind, 240),
	T(test_engine_serving__a_limit_of_memory_is_kept_or_refused))
