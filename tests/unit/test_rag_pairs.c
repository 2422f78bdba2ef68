/* Scores of a cross-encoder that are kept: no pair is read twice, none taken for another, and what
 * is kept is bounded. */
#include "rag/rag_int.h"
#include "tap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct errtext et;

struct reader {
	size_t calls, read;
	enum err fails;
};

/* A passage is worth its length, a question ten times its own. */
static enum err read_them(
	void *ctx, const struct str *passages, size_t n, float *scores, struct errtext *out)
{
	struct reader *r = ctx;
	r->calls++;
	r->read += n;
	for (size_t i = 0; i < n; i++)
		scores[i] = (float)passages[i].n;
	return r->fails ? err_set(out, r->fails, "it fails") : OK;
}

static void ask(struct rag_pairs *p, struct reader *r, const char *model, const char *question,
	const struct str *passages, size_t n, float *scores)
{
	struct pairs_ask q = {.model_sha256 = str_c(model),
		.question = str_c(question),
		.passages = passages,
		.n = n,
		.read = read_them,
		.ctx = r};
	CHECK_OK(pairs_score(p, &q, scores, &et), &et);
}

static void test_rag_pairs__read_once(void)
{
	const struct str a[] = {S("one"), S("three"), S("of"), S("seventeen")};
	const struct str b[] = {S("new"), S("of"), S("one"), S("newer")};
	struct rag_pairs *p;
	struct reader r = {0};
	float s[4] = {0};
	CHECK_OK(rag_pairs_new(100, &p, &et), &et);
	ask(p, &r, "m", "q", a, 4, s);
	CHECK(s[0] == 3 && s[1] == 5 && s[2] == 2 && s[3] == 9);
	CHECK_INT(r.read, 4);
	ask(p, &r, "m", "q", b, 4, s);
	CHECK(s[0] == 3 && s[1] == 2 && s[2] == 3 && s[3] == 5);
	CHECK_INT(r.read, 6);
	ask(p, &r, "m", "q", a, 4, s);
	CHECK(s[0] == 3 && s[1] == 5 && s[2] == 2 && s[3] == 9);
	CHECK_INT(r.calls, 2);
	CHECK_INT(rag_pairs_count(p).read, 6);
	CHECK_INT(rag_pairs_count(p).kept, 6);
	/* another model, another question, and a border that moved, are other pairs */
	ask(p, &r, "n", "q", a, 1, s);
	ask(p, &r, "m", "r", a, 1, s);
	ask(p, &r, "mq", "", a, 1, s);
	ask(p, &r, "m", "qo", &(struct str){"ne", 2}, 1, s);
	CHECK_INT(r.read, 10);
	rag_pairs_free(p);
}

static void test_rag_pairs__without(void)
{
	const struct str a[] = {S("one"), S("one")};
	struct reader r = {0};
	float s[2];
	ask(NULL, &r, "m", "q", a, 2, s);
	ask(NULL, &r, "m", "q", a, 2, s);
	CHECK_INT(r.read, 4);
	CHECK_INT(rag_pairs_count(NULL).read, 0);
	rag_pairs_free(NULL);
}

static void test_rag_pairs__a_failure_keeps_nothing(void)
{
	const struct str a[] = {S("one")};
	struct rag_pairs *p;
	struct reader r = {.fails = ERR_CANCELLED};
	struct pairs_ask q = {S("m"), S("q"), a, 1, read_them, &r};
	float s;
	CHECK_OK(rag_pairs_new(100, &p, &et), &et);
	CHECK_ERR(pairs_score(p, &q, &s, &et), ERR_CANCELLED);
	r.fails = OK;
	CHECK_OK(pairs_score(p, &q, &s, &et), &et);
	CHECK_INT(r.calls, 2);
	rag_pairs_free(p);
}

/* 10,000 pairs in a table for 256: the newest are there, and every score is right. */
static void test_rag_pairs__bounded(void)
{
	struct rag_pairs *p;
	struct reader r = {0};
	char text[64];
	float s;
	size_t wrong = 0;
	CHECK_OK(rag_pairs_new(256, &p, &et), &et);
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(text, sizeof text, "%*d", 8 + i % 40, i);
		ask(p, &r, "m", "q", &(struct str){text, (size_t)n}, 1, &s);
		ask(p, &r, "m", "q", &(struct str){text, (size_t)n}, 1, &s);
		wrong += s != (float)n;
	}
	CHECK_INT(wrong, 0);
	CHECK_INT(r.read, 10000);
	r.read = 0;
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(text, sizeof text, "%*d", 8 + i % 40, i);
		ask(p, &r, "m", "q", &(struct str){text, (size_t)n}, 1, &s);
		wrong += s != (float)n;
	}
	CHECK_INT(wrong, 0);
	CHECK(r.read >= 10000 - 256);
	rag_pairs_free(p);
}

static void *many(void *arg)
{
	struct rag_pairs *p = arg;
	struct reader r = {0};
	char text[64];
	size_t *wrong = calloc(1, sizeof *wrong);
	for (int i = 0; i < 2000 && wrong; i++) {
		float s = 0;
		int n = snprintf(text, sizeof text, "%*d", 4 + i % 50, i % 300);
		struct str one = {text, (size_t)n};
		struct pairs_ask q = {S("m"), S("q"), &one, 1, read_them, &r};
		*wrong += pairs_score(p, &q, &s, NULL) || s != (float)n;
	}
	return wrong;
}

static void test_rag_pairs__from_several_threads(void)
{
	struct rag_pairs *p;
	pthread_t t[4];
	CHECK_OK(rag_pairs_new(64, &p, &et), &et);
	for (size_t i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, many, p));
	for (size_t i = 0; i < 4; i++) {
		void *wrong = NULL;
		pthread_join(t[i], &wrong);
		CHECK(wrong && !*(size_t *)wrong);
		free(wrong);
	}
	CHECK_INT(rag_pairs_count(p).read + rag_pairs_count(p).kept, 8000);
	rag_pairs_free(p);
}

TESTS(T(test_rag_pairs__read_once), T(test_rag_pairs__without),
	T(test_rag_pairs__a_failure_keeps_nothing), T(test_rag_pairs__bounded),
	T(test_rag_pairs__from_several_threads))
