#include "tap.h"
#include "rag/cite.h"

#include <math.h>

/* Two passages; offsets as if each stood at byte 100 and 900 of its document. */
static const char first[] =
	"The barn\n\nThe old barn was built in 1874 by Anna Miller. It holds 320 sacks of grain. "
	"The "
	"roof is made of oak, which\nlasts longer than pine. Nobody lives there.";
static const char second[] =
	"The river Elbe flows past the village. In spring it floods the lower meadows, and the "
	"ferry does not run.";

static struct rag_hit hits[2];

/* A hash of words stands in for a model: alike texts are close. */
static enum err embed(void *ctx, const struct str *texts, size_t n, float *out, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		float *v = out + i * 64, sum = 0;
		memset(v, 0, 64 * sizeof *v);
		struct str rest = texts[i], w;
		while (str_next(&rest, ' ', &w)) {
			unsigned h = 5381;
			for (size_t j = 0; j < w.n; j++)
				if ((w.p[j] | 32) >= 'a' && (w.p[j] | 32) <= 'z')
					h = h * 33 + (unsigned char)(w.p[j] | 32);
			v[h % 64] += 1;
		}
		for (int j = 0; j < 64; j++)
			sum += v[j] * v[j];
		for (int j = 0; j < 64 && sum > 0; j++)
			v[j] /= sqrtf(sum);
	}
	return OK;
}

static struct cite *make(struct arena *a)
{
	struct errtext et = {0};
	struct cite *c;
	hits[0] = (struct rag_hit){.text = str_c(first),
		.title = S("Barn"),
		.heading_path = S("The barn"),
		.from = 100,
		.score = 20};
	hits[1] = (struct rag_hit){.text = str_c(second),
		.title = S("River"),
		.heading_path = S(""),
		.from = 900,
		.score = 18};
	hits[1].document.b[0] = 1;
	CHECK_OK(cite_new(&(struct cite_input){hits, 2, embed, NULL, 64}, a, &c, &et), &et);
	return c;
}

static struct checked check(struct cite *c, const char *answer)
{
	struct errtext et = {0};
	struct checked k = {0};
	CHECK_OK(cite_check(c, S("Who built the barn?"), str_c(answer), &k, &et), &et);
	return k;
}

static struct str quote_at(uint32_t from, uint32_t to)
{
	return from < 900 ? str_sub(str_c(first), from - 100, to - 100)
			  : str_sub(str_c(second), from - 900, to - 900);
}

static void test_rag_cite__verbatim_gets_its_marker(void)
{
	struct arena *a = arena_new(0);
	struct cite *c = make(a);
	struct checked k = check(c, "The old barn was built in 1874 by Anna Miller.");
	CHECK_STR(buf_str(&k.answer), "The old barn was built in 1874 by Anna Miller. [1]");
	CHECK_INT(k.n, 1);
	CHECK_INT(k.citations[0].n, 1);
	CHECK_INT(k.citations[0].status, CITE_VERBATIM);
	CHECK(k.citations[0].by_check);
	CHECK_INT(k.citations[0].answer_from, 0);
	CHECK_INT(k.citations[0].answer_to, k.answer.n);
	CHECK_STR(k.citations[0].quote, "The old barn was built in 1874 by Anna Miller.");
	CHECK_STR(quote_at(k.citations[0].from, k.citations[0].to),
		"The old barn was built in 1874 by Anna Miller.");
	CHECK_INT(k.sentences, 1);
	CHECK_INT(k.supported, 1);
	buf_free(&k.answer);
	/* A line that goes on is one sentence, also for the quote. */
	k = check(c, "The roof is made of oak, which lasts longer than pine.");
	CHECK_INT(k.citations[0].status, CITE_VERBATIM);
	CHECK_STR(quote_at(k.citations[0].from, k.citations[0].to),
		"The roof is made of oak, which\nlasts longer than pine.");
	buf_free(&k.answer);
	arena_free(a);
}

static void test_rag_cite__markers_of_the_model_are_verified(void)
{
	struct arena *a = arena_new(0);
	struct cite *c = make(a);
	/* Right, wrong passage (the right one is added), no such passage. */
	struct checked k = check(c, "It holds 320 sacks of grain [1]. The river Elbe flows past "
				    "the village. [1] Nobody "
				    "lives there [7].");
	CHECK_STR(buf_str(&k.answer),
		"It holds 320 sacks of grain [1]. The river Elbe flows past the village. [1] [2] "
		"Nobody lives there [7]. [1]");
	CHECK_INT(k.n, 5);
	CHECK_INT(k.citations[0].status, CITE_VERBATIM);
	CHECK(!k.citations[0].by_check);
	CHECK_INT(k.citations[1].n, 1);
	CHECK_INT(k.citations[1].status, CITE_UNSUPPORTED);
	CHECK(k.citations[1].reason != NULL);
	CHECK_INT(k.citations[2].n, 2);
	CHECK_INT(k.citations[2].status, CITE_VERBATIM);
	CHECK(k.citations[2].by_check);
	CHECK_STR(str_sub(buf_str(&k.answer), k.citations[2].answer_from, k.citations[2].answer_to),
		"The river Elbe flows past the village. [1] [2]");
	CHECK_INT(k.citations[3].n, 7);
	CHECK_INT(k.citations[3].status, CITE_UNSUPPORTED);
	CHECK_STR(str_c(k.citations[3].reason), "there is no passage of this number");
	CHECK(k.citations[3].nearest >= 1 && k.citations[3].nearest <= 2);
	CHECK_INT(k.citations[4].n, 1);
	CHECK_INT(k.supported, 3);
	buf_free(&k.answer);
	arena_free(a);
}

static void test_rag_cite__what_is_not_said_is_marked(void)
{
	static const struct {
		const char *answer, *why;
	} rows[] = {
		{"The old barn was built in 1875 by Anna Miller.",
			"a number is not in the passage"},
		{"The old barn was built in 1874 by Peter Smith.", "a name is not in the passage"},
		{"The old barn was not built in 1874 by Anna Miller.",
			"one says 'not', the other does not"},
		{"Cows give milk twice a day.", "the passage does not say it"},
	};
	struct arena *a = arena_new(0);
	struct cite *c = make(a);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct checked k = check(c, rows[i].answer);
		CHECK_STR(buf_str(&k.answer), rows[i].answer); /* nothing is added */
		CHECK_INT(k.n, 1);
		CHECK_INT(k.citations[0].n, 0);
		CHECK_INT(k.citations[0].status, CITE_UNSUPPORTED);
		CHECK_STR(str_c(k.citations[0].reason), rows[i].why);
		CHECK_INT(k.sentences, 1);
		CHECK_INT(k.supported, 0);
		buf_free(&k.answer);
	}
	/* The same in other words and order is supported. */
	struct checked k = check(c, "Anna Miller built the old barn in 1874.");
	CHECK_INT(k.citations[0].status, CITE_SUPPORTED);
	buf_free(&k.answer);
	k = check(c, "The documents do not say.");
	CHECK(k.declined);
	CHECK_INT(k.n, 0);
	CHECK_INT(k.sentences, 0);
	buf_free(&k.answer);
	arena_free(a);
}

static void test_rag_cite__odd_answers(void)
{
	static const char *const rows[] = {"", " ", "[1]", "[1][2] [3]", "[", "[]", "[1", "[1,",
		"[,]", "[99999999999]", "...", "[1] The", "\n\n- a\n- b [2]\n", "\xFF\xFE[1]\xC3",
		"Yes.", "[0]", "[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]. [1][1][1][1][1][1][1][1][1][1][1]",
		"1. The river Elbe. [2] 2. [1]"};
	struct arena *a = arena_new(0);
	struct cite *c = make(a);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct checked k = check(c, rows[i]);
		for (size_t j = 0; j < k.n; j++) {
			CHECK(k.citations[j].answer_from <= k.citations[j].answer_to);
			CHECK(k.citations[j].answer_to <= k.answer.n);
			CHECK(k.citations[j].nearest >= 1 && k.citations[j].nearest <= 2);
		}
		buf_free(&k.answer);
	}
	struct errtext et = {0};
	struct checked k = {0};
	CHECK_OK(cite_new(&(struct cite_input){0}, a, &c, &et), &et); /* no passages at all */
	CHECK_OK(cite_check(c, S("q"), S("The barn is old."), &k, &et), &et);
	CHECK_INT(k.n, 0);
	buf_free(&k.answer);
	arena_free(a);
}

static void test_rag_cite__best_sentences(void)
{
	struct errtext et = {0};
	struct arena *a = arena_new(0);
	struct cite *c = make(a);
	struct str terms[] = {S("built"), S("barn")};
	float weights[] = {2, 1}, v[64];
	struct str text = S("who built the barn");
	CHECK_OK(embed(NULL, &text, 1, v, &et), &et);
	struct cite_question q = {.text = text,
		.terms = terms,
		.weights = weights,
		.n_terms = 2,
		.vector = v,
		.info = {.weight = 2, .keyword = 0.3f}};
	struct best_sentence *best;
	size_t n = 0;
	CHECK_OK(cite_best(c, &q, 3, &best, &n, &et), &et);
	CHECK_INT(n, 3);
	CHECK_STR(best[0].text, "The old barn was built in 1874 by Anna Miller.");
	CHECK_INT(best[0].n, 1);
	for (size_t i = 0; i < n; i++) {
		CHECK_STR(best[i].text, arena_c(a, quote_at(best[i].from, best[i].to)));
		CHECK(!i || best[i].score <= best[i - 1].score);
		CHECK(!str_eq(best[i].text, S("The barn"))); /* a heading supports nothing */
	}
	arena_free(a);
}

TESTS(T(test_rag_cite__verbatim_gets_its_marker),
	T(test_rag_cite__markers_of_the_model_are_verified),
	T(test_rag_cite__what_is_not_said_is_marked), T(test_rag_cite__odd_answers),
	T(test_rag_cite__best_sentences))
