/* The default models, whole: what they are, what they write, what their vectors are. Skipped when
 * the models are absent. */
#include "tap.h"
#include "base/clock.h"
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>

#define SMOLLM2 "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
#define CHAT(user) "<|im_start|>user\n" user "<|im_end|>\n<|im_start|>assistant\n"

static struct errtext et;

static struct model *open_model(const char *rel)
{
	struct model *m;
	CHECK_OK(model_open(tap_model(rel), &(struct model_options){.threads = 2}, &m, &et), &et);
	return m;
}

static struct tokens encode(struct model *m, struct str text)
{
	struct tokens t = {0};
	CHECK_OK(tokenizer_encode(model_tokenizer(m), text, TOKENIZE_ADD_SPECIAL | TOKENIZE_SPECIAL,
			 &t, &et),
		&et);
	return t;
}

static void test_engine_model__decoder_is_described(void)
{
	struct model *m = open_model(SMOLLM2);
	const struct model_info *i = model_info(m);
	CHECK_INT(i->task, MODEL_DECODER);
	CHECK_STR(str_c(i->architecture), "llama");
	CHECK_STR(str_c(i->weights), "Q4_1");
	CHECK_STR(str_c(i->format), "gguf");
	CHECK_INT(i->layers, 30);
	CHECK_INT(i->width, 576);
	CHECK_INT(i->kv_heads, 3);
	CHECK_INT(i->vocab, 49152);
	CHECK_INT(i->embedding_dim, 0);
	CHECK(i->parameters > 130000000 && i->parameters < 140000000);
	CHECK(i->resident_bytes > 50 << 20 && i->resident_bytes < 120 << 20);
	struct buf plan = {0};
	model_plan(m, &plan);
	CHECK(str_find(buf_str(&plan), S("weights, packed")) != STR_NONE);
	buf_free(&plan);
	float v[8];
	CHECK_ERR(embed_texts(m, &S("x"), 1, false, v, NULL, NULL, NULL, &et), ERR_INVALID);
	model_unref(m);
}

static void test_engine_model__encoder_is_described(void)
{
	struct model *m = open_model("minilm");
	const struct model_info *i = model_info(m);
	CHECK_INT(i->task, MODEL_ENCODER);
	CHECK_STR(str_c(i->architecture), "bert");
	CHECK_STR(str_c(i->format), "safetensors");
	CHECK_INT(i->embedding_dim, 384);
	CHECK_INT(i->context_max, 256);
	CHECK_INT(i->pooling, POOL_MEAN);
	CHECK(i->normalised);
	const char *id = model_identity(m);
	CHECK_INT(strlen(id), 64);
	CHECK(model_identity(m) == id);
	struct generator *g;
	CHECK_ERR(generator_new(m, NULL, &g, &et), ERR_INVALID);
	struct model *decoder = open_model(SMOLLM2);
	CHECK_ERR(
		generator_new(decoder,
			&(struct generator_options){.context_tokens = 64, .drafting = m}, &g, &et),
		ERR_INVALID);
	CHECK(strstr(et.msg, "vocabular") != NULL);
	model_unref(decoder);
	float v;
	CHECK_ERR(model_logits(m, NULL, &(int32_t){1}, 1, &v, NULL, &et), ERR_INVALID);
	model_unref(m);
}

static void test_engine_model__absent_and_foreign_files_are_refused(void)
{
	struct model *m;
	CHECK_ERR(model_open("/nonexistent/model.gguf", NULL, &m, &et), ERR_NOT_FOUND);
	CHECK_ERR(model_open(tap_source("LICENSE"), NULL, &m, &et), ERR_UNSUPPORTED);
	CHECK_ERR(model_open(tap_source("docs"), NULL, &m, &et), ERR_NOT_FOUND);
	CHECK_ERR(model_open(tap_model(SMOLLM2), &(struct model_options){.memory_max = 1 << 20}, &m,
			  &et),
		ERR_LIMIT);
}

/* ---- generation ---- */

struct ask {
	struct generator *g;
	const char *text;
	struct sampling sampling;
	uint32_t max_tokens;
	struct str stop[4];
	size_t n_stop;
	struct gen_result res;
	struct buf streamed;
	uint32_t events, stop_after;
	struct cancel *cancel;
	struct tokens toks;
	enum err err;
};

static bool on_token(void *ctx, const struct gen_event *ev)
{
	struct ask *a = ctx;
	if (!utf8_valid(ev->text))
		FAIL("an event's text is cut inside a character");
	buf_adds(&a->streamed, ev->text);
	a->events += ev->token >= 0;
	return !a->stop_after || a->events < a->stop_after;
}

static void *run_ask(void *arg)
{
	struct ask *a = arg;
	struct gen_request r = {.prompt = a->toks.id,
		.n_prompt = a->toks.n,
		.max_tokens = a->max_tokens,
		.sampling = a->sampling,
		.stop = a->stop,
		.n_stop = a->n_stop,
		.top_logprobs = -1,
		.cancel = a->cancel,
		.on_token = on_token,
		.ctx = a};
	struct errtext why = {0};
	a->err = generator_run(a->g, &r, &a->res, &why);
	if (a->err)
		tap_note("%s", why.msg);
	return NULL;
}

static void ask(struct model *m, struct ask *a)
{
	a->toks = encode(m, str_c(a->text));
	run_ask(a);
}

static void ask_free(struct ask *a)
{
	buf_free(&a->res.text);
	buf_free(&a->streamed);
	tokens_free(&a->toks);
}

static struct sampling sampled(uint64_t seed)
{
	struct sampling s = SAMPLING_DEFAULT;
	s.temperature = 0.8f;
	s.top_p = 0.95f;
	s.seed = seed;
	return s;
}

static struct sampling greedy(void)
{
	struct sampling s = SAMPLING_DEFAULT;
	s.temperature = 0;
	return s;
}

static struct generator *new_generator(struct model *m, struct generator_options o)
{
	struct generator *g;
	CHECK_OK(generator_new(m, &o, &g, &et), &et);
	return g;
}

static void test_engine_model__greedy_text_streams_whole(void)
{
	struct model *m = open_model(SMOLLM2);
	struct generator *g = new_generator(m, (struct generator_options){.context_tokens = 512});
	struct ask a = {.g = g,
		.text = CHAT("What is the capital of France?"),
		.sampling = greedy(),
		.max_tokens = 24};
	ask(m, &a);
	CHECK_INT(a.err, OK);
	tap_note("%s", buf_c(&a.res.text));
	CHECK(str_find(buf_str(&a.res.text), S("Paris")) != STR_NONE);
	CHECK(str_eq(buf_str(&a.res.text), buf_str(&a.streamed)));
	CHECK_INT(a.events, a.res.completion_tokens);
	CHECK_INT(a.res.prompt_tokens, a.toks.n);
	CHECK(a.res.first_token_ns > 0 && a.res.prompt_ns > 0);
	struct generator_stats s;
	generator_stats(g, &s);
	CHECK_INT(s.running + s.queued, 0);
	CHECK_INT(s.requests, 1);
	CHECK_INT(s.prompt_tokens + s.cached_tokens, a.toks.n);
	CHECK(s.generated_tokens >= a.res.completion_tokens);
	CHECK(s.kv_tokens <= s.kv_room && s.kv_bytes > 0 && s.work_bytes > 0);
	ask_free(&a);
	generator_free(g);
	model_unref(m);
}

static const char *const prompts[] = {CHAT("Name three fruits."), CHAT("Write about the sea."),
	"The quick brown fox", "def fib(n):\n", CHAT("Why is the sky blue?"), "Once upon a time"};

/* The same seed gives the same text: alone, again (from the cache), and beside others. */
static void test_engine_model__answers_do_not_depend_on_the_batch(void)
{
	struct model *m = open_model(SMOLLM2);
	struct generator *g = new_generator(
		m, (struct generator_options){.context_tokens = 512, .sequences_max = 4});
	enum { N = ARRAY_LEN(prompts) };
	struct ask alone[N], beside[N];
	pthread_t t[N];
	for (size_t i = 0; i < N; i++) {
		alone[i] = (struct ask){
			.g = g, .text = prompts[i], .sampling = sampled(i), .max_tokens = 20};
		beside[i] = alone[i];
		ask(m, &alone[i]);
		CHECK_INT(alone[i].err, OK);
		beside[i].toks = encode(m, str_c(prompts[i]));
	}
	for (size_t i = 0; i < N; i++)
		CHECK_OK(thread_start(&t[i], run_ask, &beside[i], "ask", &et), &et);
	unsigned cached = 0;
	for (size_t i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		CHECK_INT(beside[i].err, OK);
		if (!str_eq(buf_str(&alone[i].res.text), buf_str(&beside[i].res.text)))
			FAIL("alone: '%s'; beside others: '%s'", buf_c(&alone[i].res.text),
				buf_c(&beside[i].res.text));
		cached += beside[i].res.cached_tokens > 0;
	}
	CHECK(cached > 0);
	for (size_t i = 0; i < N; i++) {
		ask_free(&alone[i]);
		ask_free(&beside[i]);
	}
	generator_free(g);
	model_unref(m);
}

static void test_engine_model__stop_strings_end_the_text(void)
{
	struct model *m = open_model(SMOLLM2);
	struct generator *g = new_generator(m, (struct generator_options){.context_tokens = 256});
	struct ask whole = {
		.g = g, .text = "One, two, three, four,", .sampling = greedy(), .max_tokens = 16};
	ask(m, &whole);
	CHECK_INT(whole.err, OK);
	struct str text = buf_str(&whole.res.text);
	CHECK(text.n > 12);
	struct ask cut = {.g = g,
		.text = whole.text,
		.sampling = greedy(),
		.max_tokens = 16,
		.stop = {S("\x01never"), str_sub(text, 5, 11)},
		.n_stop = 2};
	ask(m, &cut);
	CHECK_INT(cut.err, OK);
	CHECK_INT(cut.res.finish, GEN_STOP_STRING);
	CHECK_INT(cut.res.stop_index, 1);
	size_t at = str_find(text, cut.stop[1]);
	CHECK(str_eq(buf_str(&cut.res.text), str_sub(text, 0, at)));
	CHECK(str_eq(buf_str(&cut.streamed), str_sub(text, 0, at)));
	ask_free(&whole);
	ask_free(&cut);
	generator_free(g);
	model_unref(m);
}

static void test_engine_model__limits_are_errors_and_cancelling_is_prompt(void)
{
	struct model *m = open_model(SMOLLM2);
	struct generator *g = new_generator(
		m, (struct generator_options){.context_tokens = 64, .sequences_max = 1});
	CHECK_INT(generator_context(g), 64);
	int32_t many[64] = {1};
	struct gen_result res;
	struct gen_request r = {
		.prompt = many, .n_prompt = 64, .sampling = SAMPLING_DEFAULT, .top_logprobs = -1};
	CHECK_ERR(generator_run(g, &r, &res, &et), ERR_TOO_LARGE);
	CHECK(strstr(et.msg, "64") != NULL);
	r.n_prompt = 0;
	CHECK_ERR(generator_run(g, &r, &res, &et), ERR_INVALID);
	r.n_prompt = 1;
	r.prompt = &(int32_t){49152};
	CHECK_ERR(generator_run(g, &r, &res, &et), ERR_INVALID);
	r.prompt = many;
	r.sampling.top_p = 2;
	CHECK_ERR(generator_run(g, &r, &res, &et), ERR_INVALID);

	/* until the context is full */
	r.sampling = greedy();
	r.sampling.bias = &(struct logit_bias){2, -1000}; /* no <|im_end|> */
	r.sampling.n_bias = 1;
	r.n_prompt = 60;
	CHECK_OK(generator_run(g, &r, &res, &et), &et);
	CHECK_INT(res.finish, GEN_LENGTH);
	CHECK_INT(res.completion_tokens, 4);
	buf_free(&res.text);

	struct ask a = {
		.g = g, .text = "Once upon a time", .sampling = sampled(1), .stop_after = 3};
	ask(m, &a);
	CHECK_INT(a.err, OK);
	CHECK_INT(a.res.finish, GEN_CANCELLED);
	CHECK_INT(a.events, 3);
	ask_free(&a);

	struct cancel c = {0};
	cancel_set(&c);
	struct ask b = {.g = g, .text = "Once", .sampling = sampled(1), .cancel = &c};
	ask(m, &b);
	CHECK_INT(b.err, OK);
	CHECK_INT(b.res.finish, GEN_CANCELLED);
	CHECK_INT(b.events, 0);
	ask_free(&b);
	generator_free(g);
	model_unref(m);
}

static void test_engine_model__a_full_queue_is_busy_and_freeing_cancels(void)
{
	struct model *m = open_model(SMOLLM2);
	struct generator *g = new_generator(
		m, (struct generator_options){
			   .context_tokens = 4096, .sequences_max = 1, .queue_max = 1});
	enum { N = 6 };
	struct ask a[N];
	pthread_t t[N];
	for (size_t i = 0; i < N; i++) {
		a[i] = (struct ask){.g = g, .text = "Once upon a time", .sampling = sampled(i)};
		a[i].toks = encode(m, str_c(a[i].text));
		CHECK_OK(thread_start(&t[i], run_ask, &a[i], "ask", &et), &et);
	}
	clock_sleep_ms(300);
	generator_free(g);
	unsigned busy = 0, cancelled_n = 0;
	for (size_t i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		busy += a[i].err == ERR_BUSY;
		cancelled_n += !a[i].err && a[i].res.finish == GEN_CANCELLED;
		ask_free(&a[i]);
	}
	CHECK(busy >= 1);
	CHECK_INT(busy + cancelled_n, N);
	model_unref(m);
}

struct log_ctx {
	double sum;
	unsigned n;
	bool greedy_is_top;
};

static bool on_logprob(void *ctx, const struct gen_event *ev)
{
	struct log_ctx *l = ctx;
	if (ev->token < 0)
		return true;
	CHECK_INT(ev->n_top, 5);
	for (unsigned i = 1; i < 5; i++)
		CHECK(ev->top[i].logprob <= ev->top[i - 1].logprob);
	l->greedy_is_top &= ev->top[0].id == ev->token;
	CHECK_NEAR(ev->top[0].logprob, ev->logprob, 1e-5);
	l->sum += exp((double)ev->logprob);
	l->n++;
	return true;
}

static void test_engine_model__logprobs_are_those_of_the_logits(void)
{
	struct model *m = open_model(SMOLLM2);
	struct generator *g = new_generator(m, (struct generator_options){.context_tokens = 128});
	struct tokens t = encode(m, S("The capital of France is"));
	struct log_ctx l = {.greedy_is_top = true};
	struct gen_request r = {.prompt = t.id,
		.n_prompt = t.n,
		.max_tokens = 4,
		.sampling = greedy(),
		.top_logprobs = 5,
		.on_token = on_logprob,
		.ctx = &l};
	struct gen_result res;
	CHECK_OK(generator_run(g, &r, &res, &et), &et);
	CHECK(l.greedy_is_top && l.n == 4 && l.sum > 0 && l.sum <= 4.001);
	buf_free(&res.text);
	tokens_free(&t);
	generator_free(g);
	model_unref(m);
}

/* What an answer is, to the last bit. */
struct told {
	struct buf text, bits;
};

static bool on_told(void *ctx, const struct gen_event *ev)
{
	struct told *t = ctx;
	buf_adds(&t->text, ev->text);
	if (ev->token >= 0) {
		buf_add(&t->bits, (const char *)&ev->token, sizeof ev->token);
		buf_add(&t->bits, (const char *)&ev->logprob, sizeof ev->logprob);
		for (uint32_t i = 0; i < ev->n_top; i++)
			buf_add(&t->bits, (const char *)&ev->top[i].logprob, sizeof(float));
	}
	return true;
}

static struct gen_result tell(struct generator *g, struct gen_request r, struct told *out)
{
	struct gen_result res;
	r.on_token = on_told;
	r.ctx = out;
	CHECK_OK(generator_run(g, &r, &res, &et), &et);
	buf_free(&res.text);
	return res;
}

/* A text that repeats itself is guessed well; whatever is guessed, the answer is the same bits. */
static void test_engine_model__drafts_change_nothing(void)
{
	static const char *const texts[] = {
		CHAT("Repeat after me: one two three four five six seven. one two three four five "
		     "six seven. one two three four five six seven."),
		"a b c d e f g a b c d e f g a b c d e f g a b c d", "Once upon a time there was",
		CHAT("Name three fruits.")};
	struct model *m = open_model(SMOLLM2);
	struct generator_options o = {.context_tokens = 300, .sequences_max = 3};
	struct generator *with = new_generator(m, o);
	o.no_drafts = true;
	struct generator *without = new_generator(m, o);
	unsigned drafted = 0, accepted = 0, passes = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (unsigned how = 0; how < 4; how++) {
			struct tokens t = encode(m, str_c(texts[i]));
			struct sampling s = how ? sampled(7 * i + how) : greedy();
			if (how == 2)
				s.repeat_penalty = 1.1f, s.repeat_last = -1,
				s.presence_penalty = 0.3f;
			if (how == 3)
				s.temperature = 0.2f, s.top_k = 20;
			struct gen_request r = {.prompt = t.id,
				.n_prompt = t.n,
				.max_tokens = 40 + 7 * how,
				.sampling = s,
				.top_logprobs = 2};
			struct told a = {0}, b = {0};
			struct gen_result x = tell(with, r, &a), y = tell(without, r, &b);
			CHECK_INT(x.completion_tokens, y.completion_tokens);
			CHECK_INT(x.finish, y.finish);
			CHECK_INT(y.drafted_tokens, 0);
			CHECK(x.accepted_tokens <= x.drafted_tokens);
			if (!str_eq(buf_str(&a.text), buf_str(&b.text)) ||
				!str_eq(buf_str(&a.bits), buf_str(&b.bits)))
				FAIL("text %zu, way %u: '%s' with drafts, '%s' without", i, how,
					buf_c(&a.text), buf_c(&b.text));
			drafted += x.drafted_tokens;
			accepted += x.accepted_tokens;
			passes += x.completion_tokens - x.accepted_tokens;
			buf_free(&a.text), buf_free(&a.bits);
			buf_free(&b.text), buf_free(&b.bits);
			tokens_free(&t);
		}
	tap_note("%u tokens drafted, %u right, %u passes", drafted, accepted, passes);
	CHECK(drafted > 40 && accepted > 20);
	generator_free(with);
	generator_free(without);
	model_unref(m);
}

/* ---- embeddings ---- */

static void test_engine_model__vectors_do_not_depend_on_the_batch(void)
{
	struct model *m = open_model("minilm");
	enum { N = 40, D = 384 };
	struct buf b[N] = {0};
	struct str texts[N];
	for (unsigned i = 0; i < N; i++) {
		for (unsigned j = 0; j <= i * 3 % 37; j++)
			buf_addf(&b[i], "word%u sea ", i * j % 11);
		texts[i] = buf_str(&b[i]);
	}
	float *all = malloc(N * D * sizeof *all), one[D];
	CHECK(all != NULL);
	size_t cut = 9, n_tokens = 0;
	CHECK_OK(embed_texts(m, texts, N, false, all, &cut, &n_tokens, NULL, &et), &et);
	CHECK_INT(cut, 0);
	CHECK(n_tokens > 2 * N);
	for (unsigned i = 0; i < N; i++) {
		double length = 0;
		CHECK_OK(embed_texts(m, &texts[i], 1, false, one, NULL, NULL, NULL, &et), &et);
		if (memcmp(one, all + i * D, sizeof one))
			FAIL("text %u: another vector alone than in a batch", i);
		for (unsigned j = 0; j < D; j++)
			length += (double)one[j] * (double)one[j];
		CHECK_NEAR(length, 1, 1e-5);
		buf_free(&b[i]);
	}
	free(all);
	model_unref(m);
}

static void test_engine_model__long_texts_are_errors_unless_cut(void)
{
	struct model *m = open_model("minilm");
	struct buf b = {0};
	for (unsigned i = 0; i < 600; i++)
		buf_addc(&b, "sea ");
	struct str texts[2] = {S("short"), buf_str(&b)};
	float v[2 * 384], w[384];
	CHECK_ERR(embed_texts(m, texts, 2, false, v, NULL, NULL, NULL, &et), ERR_TOO_LARGE);
	CHECK(strstr(et.msg, "text 1") != NULL);
	size_t cut, n;
	CHECK_OK(embed_texts(m, texts, 2, true, v, &cut, &n, NULL, &et), &et);
	CHECK_INT(cut, 1);
	CHECK_INT(n, 256 + 3);
	struct str same = str_sub(texts[1], 0, 254 * 4); /* with [CLS] and [SEP]: 256 */
	CHECK_OK(embed_texts(m, &same, 1, false, w, NULL, NULL, NULL, &et), &et);
	CHECK(!memcmp(w, v + 384, sizeof w));
	struct cancel c = {0};
	cancel_set(&c);
	CHECK_ERR(embed_texts(m, texts, 1, true, v, NULL, NULL, &c, &et), ERR_CANCELLED);
	struct tokens bad = {.id = &(int32_t){99999}, .n = 1};
	CHECK_ERR(embed_tokens(m, &bad, 1, v, NULL, &et), ERR_INVALID);
	buf_free(&b);
	model_unref(m);
}

TESTS(T(test_engine_model__decoder_is_described), T(test_engine_model__encoder_is_described),
	T(test_engine_model__absent_and_foreign_files_are_refused),
	T(test_engine_model__greedy_text_streams_whole),
	T(test_engine_model__answers_do_not_depend_on_the_batch),
	T(test_engine_model__stop_strings_end_the_text),
	T(test_engine_model__limits_are_errors_and_cancelling_is_prompt),
	T(test_engine_model__a_full_queue_is_busy_and_freeing_cancels),
	T(test_engine_model__logprobs_are_those_of_the_logits),
	T(test_engine_model__drafts_change_nothing),
	T(test_engine_model__vectors_do_not_depend_on_the_batch),
	T(test_engine_model__long_texts_are_errors_unless_cut))
