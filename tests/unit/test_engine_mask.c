/* Masks of whole vocabularies, against trying every token byte by byte. */
#include "engine/mask.h"

#include <stdatomic.h>
#include <stdlib.h>
#include "base/thread.h"
#include "engine/gguf.h"
#include "tap.h"
#include "text/constraint.h"
#include "text/grammar.h"

static struct errtext et;

#define JSON_RULES                                                                              \
	"value ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"   \
	"object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\" " \
	"ws\n"                                                                                  \
	"array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"                              \
	"string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "     \
	"[0-9a-fA-F]{4}))* \"\\\"\" ws\n"                                                       \
	"number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] "    \
	"[1-9]{0,15})? ws\n"                                                                    \
	"ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"

static const char *const grammars[] = {
	"root ::= object\n" JSON_RULES,
	/* an identifier is finished after each of its letters, by a pop */
	"root ::= root [-+*] \" \"? term | term\n"
	"term ::= [a-z]+ \" \"? | [0-9]+ | \"(\" root \")\" \" \"?\n",
	"root ::= (\"the \" | \" The\" [a-z]* \"\\n\" | [^a-z]{3} | \"é漢\" | .)* \".\"",
	"root ::= \"a\" root \"b\" | \" \" root \"\\n\" | \"x\" | word\nword ::= [a-z] word | "
	"[A-Z]\n",
	/* counts that no token can tell apart, and some that it can */
	"root ::= \"<\" [a-z ]{0,200} \">\" root | [0-9]{3,90} \".\" | [^<]{60,61}",
	/* nothing but the middle of characters decides */
	"root ::= [\\u00e0-\\u00ff\\u4e00-\\u4fff\\U0001f600-\\U0001f64f]+ \"!\"",
};

static _Thread_local uint64_t seed = 1;

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* ---- tokenizers ---- */

static struct tokenizer *smollm2(void)
{
	struct gguf *g;
	struct tokenizer *tk;
	CHECK_OK(gguf_open(tap_model("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), NULL, &g, &et),
		&et);
	CHECK_OK(tokenizer_from_gguf(g, &tk, &et), &et);
	gguf_free(g);
	return tk;
}

static struct tokenizer *from_json(struct str json)
{
	struct tokenizer *tk;
	CHECK_OK(tokenizer_from_json(json, (struct str){0}, &tk, &et), &et);
	return tk;
}

static struct tokenizer *shared(const char *rel)
{
	struct str s = tap_unxz(tap_shared(rel));
	struct tokenizer *tk = from_json(s);
	free((char *)(uintptr_t)s.p);
	return tk;
}

/* ---- the comparison ---- */

/* A schema's language counts white space roughly: what makes a run of it longer may be missing. */
static bool is_space(struct str s)
{
	size_t run = s.n && strchr(" \t\r\n", s.p[0]) ? 16 : 0;
	for (size_t i = 0; i < s.n && run < 16; i++)
		run = strchr(" \t\r\n", s.p[i]) ? run + 1 : 0;
	return run >= 16;
}

/* Every token's bytes are tried, from the text so far. */
static void compare(const struct tokenizer *tk, struct mask *x, const uint64_t *allowed, bool first)
{
	struct matcher *m = mask_matcher(x);
	struct buf piece = {0};
	for (size_t id = 0; id < tokenizer_vocab_size(tk); id++) {
		buf_clear(&piece);
		tokenizer_piece(tk, (int32_t)id, false, &piece);
		struct str s = buf_str(&piece);
		if (first && tokenizer_strips_space(tk) && str_starts(s, S(" ")))
			s = str_sub(s, 1, s.n);
		size_t n = 0;
		while (n < s.n && matcher_push(m, (uint8_t)s.p[n]))
			n++;
		matcher_drop(m, n);
		bool want = tokenizer_is_end(tk, (int32_t)id)
				    ? matcher_may_end(m)
				    : s.n && n == s.n && s.n <= MACHINE_TOKEN_MAX;
		if (want != mask_has(allowed, (int32_t)id) && !(want && is_space(s)))
			FAIL("token %zu \"%.*s\" is %s", id, STR_FMT(buf_str(&piece)),
				want ? "missing" : "allowed");
	}
	buf_free(&piece);
}

static size_t count(const uint64_t *allowed, size_t vocab)
{
	size_t n = 0;
	for (size_t id = 0; id < vocab; id++)
		n += mask_has(allowed, (int32_t)id);
	return n;
}

/* One of the allowed, short ones more often, so that what begins also ends. */
static int32_t choose(const struct tokenizer *tk, const uint64_t *allowed)
{
	size_t vocab = tokenizer_vocab_size(tk), n = count(allowed, vocab);
	struct buf piece = {0};
	int32_t best = -1;
	size_t best_n = SIZE_MAX;
	for (unsigned try = 0; try < 3; try++) {
		size_t k = dice((unsigned)n), id = 0;
		for (;; id++)
			if (mask_has(allowed, (int32_t)id) && k-- == 0)
				break;
		buf_clear(&piece);
		tokenizer_piece(tk, (int32_t)id, false, &piece);
		if (piece.n < best_n) {
			best_n = piece.n;
			best = (int32_t)id;
		}
	}
	buf_free(&piece);
	return best;
}

static void generate(const struct tokenizer *tk, struct masker *k, const struct language *l,
	unsigned tokens, unsigned compared)
{
	struct mask *x;
	const uint64_t *allowed;
	bool over = false;
	CHECK_OK(mask_new(k, l, &x, &et), &et);
	for (unsigned i = 0; i < tokens && !over; i++) {
		CHECK_OK(mask_next(x, &allowed, &et), &et);
		if (i < compared)
			compare(tk, x, allowed, i == 0);
		int32_t id = choose(tk, allowed);
		if (tokenizer_is_end(tk, id))
			break;
		CHECK_OK(mask_take(x, id, &over, &et), &et);
	}
	mask_free(x);
}

static void all_grammars(struct tokenizer *tk, unsigned rounds, unsigned compared)
{
	struct masker *k;
	struct masker_stats stats;
	CHECK_OK(masker_new(tk, tokenizer_vocab_size(tk) + 13, 0, &k, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(grammars); i++) {
		struct grammar *g;
		CHECK_OK(grammar_gbnf(str_c(grammars[i]), &g, &et), &et);
		for (unsigned r = 0; r < rounds; r++)
			generate(tk, k, grammar_language(g), 60, compared);
		grammar_free(g);
	}
	masker_stats(k, &stats);
	tap_note("%zu nodes in %zu bytes; %zu masks in %zu bytes; %llu hits, %llu misses, %llu "
		 "walks",
		stats.trie_nodes, stats.trie_bytes, stats.cache_entries, stats.cache_bytes,
		(unsigned long long)stats.hits, (unsigned long long)stats.misses,
		(unsigned long long)stats.walks);
	CHECK(stats.hits > stats.misses);
	masker_free(k);
	tokenizer_free(tk);
}

static void test_engine_mask__smollm2(void)
{
	all_grammars(smollm2(), 3, 12);
}

static void test_engine_mask__qwen3(void)
{
	all_grammars(shared("tokenizers/qwen3/tokenizer.json.xz"), 2, 5);
}

static void test_engine_mask__yi(void)
{
	all_grammars(shared("tokenizers/yi/tokenizer.json.xz"), 2, 5);
}

/* Limits on lengths, numbers and items that tokens run into, names in any order. */
static const char *const schemas[] = {
	"{\"$defs\":{\"I\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\","
	"\"maxLength\":"
	"20},\"grams\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":900}},\"required\":["
	"\"name\","
	"\"grams\"],\"additionalProperties\":false}},\"type\":\"object\",\"properties\":{\"title\":"
	"{"
	"\"type\":\"string\",\"minLength\":3,\"maxLength\":30},\"course\":{\"enum\":[\"starter\","
	"\"main\"]},"
	"\"list\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
	"I\"},\"minItems\":1,\"maxItems\":3},"
	"\"note\":{\"anyOf\":[{\"type\":\"string\",\"maxLength\":20},{\"type\":\"null\"}]}},"
	"\"required\":["
	"\"title\",\"course\",\"list\",\"note\"],\"additionalProperties\":false}",
	"{\"type\":\"object\"}",
	"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":[\"integer\",\"string\"]}}",
	"{\"type\":\"object\",\"patternProperties\":{\"^a\":{\"type\":\"number\",\"multipleOf\":0."
	"5}},"
	"\"additionalProperties\":{\"type\":\"string\",\"pattern\":\"^[a-f]{2,40}$\"},"
	"\"minProperties\":2}",
	"{\"type\":\"string\",\"minLength\":300,\"maxLength\":1000}",
	"{\"type\":\"string\",\"format\":\"date-time\"}",
};

static void test_engine_mask__schemas(void)
{
	struct tokenizer *tk = smollm2();
	struct masker *k;
	struct constraints *all = constraints_new(ARRAY_LEN(schemas));
	struct constraint *c;
	CHECK_OK(masker_new(tk, 0, 0, &k, &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		CHECK_OK(constraint_get(all, CONSTRAINT_SCHEMA, str_c(schemas[i]), &c, &et), &et);
		for (unsigned r = 0; r < 2; r++)
			generate(tk, k, constraint_language(c), 50, 5);
		constraint_put(all, c);
	}
	constraints_free(all);
	masker_free(k);
	tokenizer_free(tk);
}

/* A vocabulary of single bytes and a few words, whose text loses its first space. */
static struct tokenizer *small(void)
{
	struct buf b = {0};
	buf_addc(&b, "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{");
	for (unsigned i = 0; i < 256; i++)
		buf_addf(&b, "\"<0x%02X>\":%u,", i, i);
	buf_addc(&b,
		"\"<s>\":256,\"</s>\":257,\"\\u2581{\":258,\"\\u2581\":259,\"\\u2581x\":260,"
		"\"{\":261,\"\\u2581\\u2581x\":262},\"merges\":[]},"
		"\"added_tokens\":[{\"id\":256,\"content\":\"<s>\",\"special\":true},"
		"{\"id\":257,\"content\":\"</s>\",\"special\":true}],"
		"\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
		"\"pattern\":{"
		"\"String\":\"\\u2581\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
		"\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}}");
	struct tokenizer *tk;
	CHECK_OK(tokenizer_from_json(buf_str(&b),
			 S("{\"eos_token\":\"</s>\",\"bos_token\":\"<s>\"}"), &tk, &et),
		&et);
	buf_free(&b);
	return tk;
}

static void test_engine_mask__first_space_is_no_text(void)
{
	struct tokenizer *tk = small();
	struct masker *k;
	struct grammar *g;
	struct mask *x;
	const uint64_t *allowed;
	bool over;
	CHECK(tokenizer_strips_space(tk));
	CHECK_OK(masker_new(tk, 0, 0, &k, &et), &et);
	CHECK_OK(grammar_gbnf(S("root ::= \"{\" \" x\"? | \" x\""), &g, &et), &et);
	CHECK_OK(mask_new(k, grammar_language(g), &x, &et), &et);
	CHECK_OK(mask_next(x, &allowed, &et), &et);
	compare(tk, x, allowed, true);
	CHECK(mask_has(allowed, 258) && mask_has(allowed, 261) && mask_has(allowed, '{'));
	CHECK(mask_has(allowed, 262) && !mask_has(allowed, 260) && !mask_has(allowed, 259));
	CHECK_OK(mask_take(x, 258, &over, &et), &et);
	CHECK(!over);
	CHECK_OK(mask_next(x, &allowed, &et), &et);
	compare(tk, x, allowed, false);
	CHECK(mask_has(allowed, 260) && mask_has(allowed, 257) && !mask_has(allowed, 258));
	CHECK_OK(mask_take(x, 260, &over, &et), &et);
	CHECK(over);
	mask_free(x);
	grammar_free(g);
	masker_free(k);
	tokenizer_free(tk);
}

static void test_engine_mask__says_why_nothing_is_left(void)
{
	struct tokenizer *tk = small();
	struct masker *k;
	struct grammar *g;
	struct mask *x;
	const uint64_t *allowed;
	bool over;
	CHECK_OK(masker_new(tk, 0, 0, &k, &et), &et);
	CHECK_OK(grammar_gbnf(S("root ::= \"(\" root \")\""
				"| \"x\""),
			 &g, &et),
		&et);
	CHECK_OK(mask_new(k, grammar_language(g), &x, &et), &et);
	enum err e = OK;
	unsigned n = 0;
	for (; n < 1000 && !e; n++) {
		e = mask_next(x, &allowed, &et);
		if (!e)
			e = mask_take(x, '(', &over, &et);
	}
	CHECK_ERR(e, ERR_TOO_LARGE);
	CHECK_STR(str_c(et.msg), "the text nests too deeply");
	CHECK(n > 200);
	mask_free(x);
	grammar_free(g);
	masker_free(k);
	tokenizer_free(tk);
}

/* Each letter of a token can belong to any of many words: this costs time, but not without end. */
static void test_engine_mask__too_ambiguous_gives_up(void)
{
	struct tokenizer *tk = smollm2();
	struct masker *k;
	struct grammar *g;
	struct mask *x;
	const uint64_t *allowed;
	bool over;
	enum err e = OK;
	CHECK_OK(masker_new(tk, 0, 0, &k, &et), &et);
	CHECK_OK(grammar_gbnf(S("root ::= root root | [a-zA-Z ]+ | \"(\" root \")\""), &g, &et),
		&et);
	CHECK_OK(mask_new(k, grammar_language(g), &x, &et), &et);
	for (unsigned n = 0; n < 100 && !e; n++) {
		e = mask_next(x, &allowed, &et);
		if (!e)
			e = mask_take(x, choose(tk, allowed), &over, &et);
	}
	CHECK_ERR(e, ERR_TOO_LARGE);
	CHECK_STR(str_c(et.msg), "the grammar can be read in too many ways at once");
	mask_free(x);
	grammar_free(g);
	masker_free(k);
	tokenizer_free(tk);
}

static void test_engine_mask__the_cache_is_bounded(void)
{
	struct tokenizer *tk = small();
	struct masker *k;
	struct grammar *g;
	struct masker_stats stats;
	CHECK_OK(masker_new(tk, 0, 20000, &k, &et), &et);
	for (unsigned i = 0; i < 20; i++) {
		CHECK_OK(grammar_gbnf(str_c(grammars[i % 3]), &g, &et), &et);
		generate(tk, k, grammar_language(g), 60, 5);
		grammar_free(g);
		masker_stats(k, &stats);
		CHECK(stats.cache_bytes <= 20000 && stats.cache_entries > 0);
	}
	masker_free(k);
	tokenizer_free(tk);
}

/* ---- threads ---- */

struct shared_work {
	struct tokenizer *tk;
	struct masker *k;
	struct grammar *g;
};

static void *work(void *arg)
{
	static atomic_uint threads;
	const struct shared_work *w = arg;
	seed = atomic_fetch_add(&threads, 1) + 2;
	for (unsigned i = 0; i < 20; i++)
		generate(w->tk, w->k, grammar_language(w->g), 40, 2);
	return NULL;
}

static void test_engine_mask__threads_share_a_masker(void)
{
	struct shared_work w = {.tk = small()};
	pthread_t t[3];
	CHECK_OK(masker_new(w.tk, 0, 20000, &w.k, &et), &et);
	CHECK_OK(grammar_gbnf(str_c(grammars[0]), &w.g, &et), &et);
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(thread_start(&t[i], work, &w, "work", &et), &et);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	grammar_free(w.g);
	masker_free(w.k);
	tokenizer_free(w.tk);
}

TESTS(T_LONG(test_engine_mask__smollm2, 180), T_LONG(test_engine_mask__qwen3, 180),
	T_LONG(test_engine_mask__yi, 180), T_LONG(test_engine_mask__schemas, 180),
	T(test_engine_mask__first_space_is_no_text), T(test_engine_mask__says_why_nothing_is_left),
	T(test_engine_mask__too_ambiguous_gives_up), T(test_engine_mask__the_cache_is_bounded),
	T(test_engine_mask__threads_share_a_masker))
