#include "tap.h"
#include "eval/autopsy.h"

static void test_eval_autopsy__texts_that_say_it(void)
{
	CHECK(text_says(S("The period is Three\n months, to the end."), S("three months")));
	CHECK(text_says(S("It was (on average) 3.5 %."), S("3.5")));
	CHECK(!text_says(S("It was 13.5 %."), S("3.5")));
	CHECK(!text_says(S("networks of twofold size"), S("two")));
	CHECK(text_says(S("\xE9\xBB\x91\xE8\xB1\xB9\xE9\x98\x9F\xE4\xB8\xA2\xE4\xBA\x86"
			  "308\xE5\x88\x86"),
		S("\xE4\xB8\xA2\xE4\xBA\x86"))); /* within a run of Chinese */
	CHECK(text_says(S("Die STRASSE ist lang"), S("strasse")));
	CHECK(!text_says(S("anything"), S("")));
	CHECK(!text_says(S("anything"), S("?!")));
	CHECK(!text_says(S(""), S("anything")));
}

/* An answer of two sentences, one of which a passage supports. */
static enum lost judged(const char *text, bool first, bool second, bool grounded, const char *wrote)
{
	struct known k = {.answers = {S("1781"), S("the eighties")}, .n_answers = 2};
	struct str t = str_c(text);
	uint32_t end = (uint32_t)str_find(t, S(".")) + 1;
	struct rag_sentence s[] = {{0, end, first}, {end, (uint32_t)t.n, second}};
	struct rag_answer r = {.text = t,
		.reason = S(""),
		.generated = wrote ? str_c(wrote) : (struct str){0},
		.grounded = grounded,
		.sentences = s,
		.n_sentences = 2};
	return autopsy_judge(&k, &r);
}

static void test_eval_autopsy__answers(void)
{
	CHECK_INT(judged("It was in 1781. They had iron.", true, true, true, NULL), LOST_NOTHING);
	CHECK_INT(judged("It was in 1781. They had iron.", true, false, true, NULL), LOST_NOTHING);
	CHECK_INT(judged("It was in 1781. They had iron.", false, true, true, NULL),
		LOST_UNSUPPORTED);
	CHECK_INT(judged("In the Eighties. In 1781.", false, true, true, NULL), LOST_NOTHING);
	CHECK_INT(judged("It was in 1871. They had iron.", false, true, true, NULL),
		LOST_UNSUPPORTED);
	CHECK_INT(
		judged("It was made of iron. It was long.", true, true, true, NULL), LOST_IGNORED);
	/* what the model wrote was not good enough to be shown */
	CHECK_INT(judged("It was made of iron. It was long.", true, true, true, "In 1999."),
		LOST_UNSUPPORTED);
	CHECK_INT(judged("The documents do not say. ", true, true, false, NULL), LOST_IGNORED);
}

static void test_eval_autopsy__every_stage_has_a_remedy(void)
{
	for (int l = 0; l < LOST_COUNT; l++) {
		CHECK(strlen(lost_word((enum lost)l)) > 2);
		CHECK(strlen(lost_remedy((enum lost)l)) > 10);
	}
}

TESTS(T(test_eval_autopsy__texts_that_say_it), T(test_eval_autopsy__answers),
	T(test_eval_autopsy__every_stage_has_a_remedy))
