/* The default model, held to languages: what it writes at a high temperature, from many seeds at
 * once, is in them. Skipped when the model is absent. */
#include <stdlib.h>
#include "base/json.h"
#include "engine/engine.h"
#include "tap.h"
#include "text/grammar.h"

#define CHAT(user) "<|im_start|>user\n" user "<|im_end|>\n<|im_start|>assistant\n"

static struct errtext et;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ASKS = 24 }; /* ten times slower */
#else
enum { ASKS = 200 };
#endif
enum { TOKENS = 64, AT_ONCE = 8 };

struct held {
	const char *question;
	bool json;
	struct grammar *g;
};

struct asks {
	struct model *m;
	struct generator *gen;
	struct held *held;
	size_t n_held;
	atomic_uint next, stopped, cut;
	struct buf text[ASKS]; /* by seed */
	enum gen_finish how[ASKS];
};

static struct generator *generator(struct model *m, unsigned sequences)
{
	struct generator *g;
	CHECK_OK(generator_new(m,
			 &(struct generator_options){
				 .context_tokens = 512, .sequences_max = sequences},
			 &g, &et),
		&et);
	return g;
}

static void one(struct asks *a, unsigned seed, struct gen_result *res)
{
	const struct held *h = &a->held[seed % a->n_held];
	struct tokens t = {0};
	CHECK_OK(tokenizer_encode(
			 model_tokenizer(a->m), str_c(h->question), TOKENIZE_SPECIAL, &t, &et),
		&et);
	struct gen_request r = {.prompt = t.id,
		.n_prompt = t.n,
		.max_tokens = TOKENS,
		.top_logprobs = -1,
		.language = grammar_language(h->g),
		.sampling = {.temperature = 1.5f, .top_p = 1, .repeat_penalty = 1, .seed = seed}};
	struct errtext why = {0};
	CHECK_OK(generator_run(a->gen, &r, res, &why), &why);
	tokens_free(&t);
}

/* In the language when it stopped, the beginning of one of its texts when it was cut. */
static void check(const struct held *h, const struct gen_result *r)
{
	struct matcher *m;
	struct str text = buf_str(&r->text);
	CHECK(r->finish == GEN_STOP || r->finish == GEN_LENGTH);
	CHECK_OK(matcher_new(grammar_language(h->g), &m, &et), &et);
	/* a character that was cut in two ends as U+FFFD */
	if (r->finish == GEN_LENGTH && str_ends(text, S("\xEF\xBF\xBD")))
		text.n -= 3;
	if (!matcher_take(m, text.p, text.n) || (r->finish == GEN_STOP && !matcher_may_end(m)))
		FAIL("\"%.*s\" (%s) is not in the language", STR_FMT(text),
			r->finish == GEN_STOP ? "stop" : "length");
	matcher_free(m);
	if (h->json && r->finish == GEN_STOP) {
		yyjson_doc *doc;
		CHECK_OK(json_parse(text, &doc, &et), &et);
		CHECK(yyjson_is_obj(yyjson_doc_get_root(doc)));
		yyjson_doc_free(doc);
	}
}

static void *work(void *arg)
{
	struct asks *a = arg;
	for (unsigned seed; (seed = atomic_fetch_add(&a->next, 1)) < ASKS;) {
		struct gen_result r = {0};
		one(a, seed, &r);
		check(&a->held[seed % a->n_held], &r);
		atomic_fetch_add(r.finish == GEN_STOP ? &a->stopped : &a->cut, 1);
		a->text[seed] = r.text;
		a->how[seed] = r.finish;
	}
	return NULL;
}

static const char json[] =
	"root ::= \"{\" ws string \":\" ws value (\",\" ws string \":\" ws value){0,2} \"}\"\n"
	"value ::= string | number | \"true\" | \"null\" | \"[\" ws (value (\",\" ws value){0,3})? "
	"\"]\" | \"{\" ws string \":\" ws value \"}\"\n"
	"string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" [\"\\\\nrt]){0,12} \"\\\"\" ws\n"
	"number ::= \"-\"? ([0-9] | [1-9] [0-9]{0,5}) (\".\" [0-9]{1,3})? ws\n"
	"ws ::= \" \"?\n";

static void test_engine_language__two_hundred_seeds_stay_inside(void)
{
	struct asks a = {0};
	const struct str colours[] = {S("red"), S("dark red"), S("green")};
	struct held held[] = {
		{CHAT("Describe a person in JSON."), true, NULL},
		{CHAT("Write a sum of numbers."), false, NULL},
		{CHAT("When was the first day of the century?"), false, NULL},
		{CHAT("What colour is grass?"), false, NULL},
	};
	pthread_t t[AT_ONCE];
	CHECK_OK(model_open(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
			 &(struct model_options){.threads = 2}, &a.m, &et),
		&et);
	CHECK_OK(grammar_gbnf(str_c(json), &held[0].g, &et), &et);
	CHECK_OK(grammar_gbnf(S("root ::= root \" \"? [-+] \" \"? t | t\nt ::= [0-9]{1,4} | \"(\" "
				"root \")\""),
			 &held[1].g, &et),
		&et);
	CHECK_OK(grammar_regex(S("(19|20)\\d\\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])"),
			 &held[2].g, &et),
		&et);
	CHECK_OK(grammar_texts(colours, 3, &held[3].g, &et), &et);
	a.held = held;
	a.n_held = ARRAY_LEN(held);
	a.gen = generator(a.m, AT_ONCE);
	for (unsigned i = 0; i < AT_ONCE; i++)
		CHECK_OK(thread_start(&t[i], work, &a, "ask", &et), &et);
	for (unsigned i = 0; i < AT_ONCE; i++)
		pthread_join(t[i], NULL);
	tap_note("%u of %d stopped by themselves, %u were cut; e.g. %s", a.stopped, ASKS, a.cut,
		buf_c(&a.text[0]));
	CHECK(a.stopped > ASKS / 2);
	generator_free(a.gen);

	/* alone, with a cold cache: the same texts */
	a.gen = generator(a.m, 1);
	for (unsigned seed = 0; seed < ASKS; seed += 17) {
		struct gen_result r = {0};
		one(&a, seed, &r);
		CHECK_STR(buf_str(&r.text), buf_c(&a.text[seed]));
		CHECK_INT(r.finish, a.how[seed]);
		buf_free(&r.text);
	}
	generator_free(a.gen);
	for (unsigned i = 0; i < ASKS; i++)
		buf_free(&a.text[i]);
	for (unsigned i = 0; i < ARRAY_LEN(held); i++)
		grammar_free(held[i].g);
	model_unref(a.m);
}

static bool count(void *ctx, const struct gen_event *ev)
{
	*(unsigned *)ctx += ev->token >= 0;
	return true;
}

static void test_engine_language__what_cannot_go_on_is_an_error(void)
{
	struct model *m;
	struct grammar *g;
	struct tokens t = {0};
	unsigned events = 0;
	CHECK_OK(model_open(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
			 &(struct model_options){.threads = 2}, &m, &et),
		&et);
	CHECK_OK(grammar_gbnf(S("root ::= root root | [a-zA-Z ]+ | \"(\" root \")\""), &g, &et),
		&et);
	CHECK_OK(tokenizer_encode(model_tokenizer(m), S("Once upon a time"), 0, &t, &et), &et);
	struct generator *gen = generator(m, 2);
	struct gen_request r = {.prompt = t.id,
		.n_prompt = t.n,
		.max_tokens = TOKENS,
		.top_logprobs = 2,
		.language = grammar_language(g),
		.on_token = count,
		.ctx = &events,
		.sampling = SAMPLING_DEFAULT};
	struct gen_result res;
	CHECK_ERR(generator_run(gen, &r, &res, &et), ERR_LIMIT);
	CHECK(strstr(et.msg, "too many ways"));
	CHECK(events < TOKENS);
	/* greedy: what is allowed is unlikely, and is said all the same */
	grammar_free(g);
	CHECK_OK(grammar_gbnf(S("root ::= \"ab\" | \"\\n\""), &g, &et), &et);
	r.language = grammar_language(g);
	r.sampling.temperature = 0;
	CHECK_OK(generator_run(gen, &r, &res, &et), &et);
	CHECK_INT(res.finish, GEN_STOP);
	CHECK(str_eq_c(buf_str(&res.text), "ab") || str_eq_c(buf_str(&res.text), "\n"));
	buf_free(&res.text);
	generator_free(gen);
	grammar_free(g);
	tokens_free(&t);
	model_unref(m);
}

TESTS(T_LONG(test_engine_language__two_hundred_seeds_stay_inside, 180),
	T(test_engine_language__what_cannot_go_on_is_an_error))
