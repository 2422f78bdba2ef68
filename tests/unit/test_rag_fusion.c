#include "tap.h"
#include "rag/fusion.h"

#include "kernels/kernels.h"
#include "rag/rag_int.h"

#include <math.h>

/* Four items on a plane and a few words each. */
static struct vindex *d;
static struct bm25 *x;

static void put(uint64_t key, float a, float b, const char *words)
{
	struct errtext et = {0};
	struct str terms[16], rest = str_c(words);
	size_t n = 0;
	while (str_next(&rest, ' ', &terms[n]))
		n++;
	float v[] = {a, b};
	CHECK_OK(vindex_put(d, &key, v, 1, NULL, &et), &et);
	CHECK_OK(bm25_put(x, key, terms, n, &et), &et);
}

static void make(void)
{
	struct errtext et = {0};
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(vindex_new(&(struct vindex_options){.dim = 2}, &d, &et), &et);
	CHECK_OK(bm25_new(NULL, &x), &et);
	put(1, 1, 0, "red fox");
	put(2, 0.9f, 0.1f, "brown bear");
	put(3, 0, 1, "red house");
	put(4, -1, 0, "old stone house");
	CHECK_OK(bm25_publish(x, &et), &et);
}

static bool not_one(void *ctx, uint64_t key)
{
	return key != 1;
}

static void test_rag_fusion__evidence_adds_up(void)
{
	struct errtext et = {0};
	make();
	struct str terms[] = {S("red"), S("house")};
	float q[] = {1, 0};
	struct fusion_query fq = {.terms = terms, .n_terms = 2, .vector = q, .fit = 1};
	struct fused out[4];
	struct fusion_info info;
	size_t n = 0;
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, &info, NULL, &et), &et);
	CHECK_INT(n, 4);
	for (size_t i = 0; i < n; i++) {
		float bm25, cosine;
		bm25_scores(x, terms, 2, &out[i].key, 1, &bm25);
		CHECK_OK(vindex_scores(d, q, &out[i].key, 1, &cosine, &et), &et);
		CHECK(out[i].bm25 == bm25 && out[i].dense == cosine);
		CHECK_NEAR(out[i].score, info.keyword * bm25 + info.weight * cosine, 1e-5);
		CHECK(!i || out[i - 1].score >= out[i].score);
	}
	CHECK_INT(out[0].key, 1);
	CHECK_INT(out[0].dense_rank, 1);
	/* Words that the embedding model does not know: the keywords decide. */
	fq.fit = 0;
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, &info, NULL, &et), &et);
	CHECK(info.weight == 0);
	CHECK_INT(out[0].key, 3);
	CHECK_INT(out[0].bm25_rank, 1);
	CHECK_INT(out[3].bm25_rank, 0); /* has none of the words, but a cosine */
	/* A filter holds for both sides. */
	fq.keep = not_one;
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, &info, NULL, &et), &et);
	CHECK_INT(n, 3);
	for (size_t i = 0; i < n; i++)
		CHECK(out[i].key != 1);
	vindex_free(d);
	bm25_free(x);
}

static void test_rag_fusion__one_side_alone(void)
{
	struct errtext et = {0};
	make();
	struct str terms[] = {S("house")};
	float q[] = {0, 1};
	struct fused out[4];
	size_t n = 0;
	struct fusion_query fq = {.method = RAG_BM25, .terms = terms, .n_terms = 1};
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, NULL, NULL, &et), &et);
	CHECK_INT(n, 2);
	CHECK(isnan(out[0].dense) && out[0].score == out[0].bm25);
	fq = (struct fusion_query){
		.method = RAG_DENSE, .terms = terms, .n_terms = 1, .vector = q, .fit = 1};
	CHECK_OK(rag_rank(d, x, &fq, 2, out, &n, NULL, NULL, &et), &et);
	CHECK_INT(n, 2);
	CHECK_INT(out[0].key, 3);
	CHECK(out[0].score == out[0].dense && out[0].bm25 > 0);
	vindex_free(d);
	bm25_free(x);
}

static void test_rag_fusion__keywords_are_a_share(void)
{
	struct errtext et = {0};
	make();
	struct str terms[] = {S("red"), S("fox"), S("red"), S("unheard")};
	float q[] = {1, 0}, idf[4], sum = 0;
	struct fusion_query fq = {.terms = terms, .n_terms = 4, .vector = q, .fit = 1};
	struct fused out[4];
	struct fusion_info info;
	size_t n;
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, &info, NULL, &et), &et);
	bm25_idf(x, terms, 4, idf, NULL);
	for (int i = 0; i < 4; i++)
		sum += idf[i];
	CHECK_NEAR(info.evidence, sum, 1e-5);
	CHECK_NEAR(info.keyword * sum, 1, 1e-5);
	for (size_t i = 0; i < n; i++)
		CHECK(out[i].bm25 * info.keyword < 1);
	/* Terms that are other languages' forms of one word weigh once: the known one's weight. */
	uint32_t at[] = {0, 4, 0, 4};
	fq.word_at = at;
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, &info, NULL, &et), &et);
	CHECK_NEAR(info.evidence, idf[0] + idf[1], 1e-5);
	/* A query without terms has no keyword side. */
	fq.n_terms = 0;
	CHECK_OK(rag_rank(d, x, &fq, 4, out, &n, &info, NULL, &et), &et);
	CHECK(info.keyword == 0 && n == 4 && isfinite(out[0].score));
	vindex_free(d);
	bm25_free(x);
}

static void test_rag_fusion__fit_of_a_vocabulary(void)
{
	struct errtext et = {0};
	struct model *m;
	CHECK_OK(kern_init(&et), &et);
	CHECK_OK(model_open(tap_model("minilm"), &(struct model_options){0}, &m, &et), &et);
	const struct tokenizer *tk = model_tokenizer(m);
	float en = rag_fit(tk, S("How many points did the Panthers defense surrender?"));
	float de = rag_fit(tk, S("Wie viele Punkte gab die Verteidigung der Panthers ab?"));
	float zh = rag_fit(tk, S("黑豹队的防守丢了多少分？"));
	CHECK(en > 0.9f && en <= 1);
	CHECK(de < 0.75f && de > 0.3f);
	CHECK(zh < 0.6f);
	CHECK(rag_fit(tk, S("?!")) == 1);
	CHECK(rag_fit(tk, S("")) == 1);
	model_unref(m);
}

static void test_rag_terms__stop_words_stay_out(void)
{
	struct errtext et = {0};
	struct arena *a = arena_new(0);
	struct language_count languages[LANGUAGES_MAX];
	size_t n_languages = 0, n = 0;
	struct str *terms;
	uint32_t *at;
	language_add(languages, &n_languages, "es"); /* one document, guessed wrongly */
	for (int i = 0; i < 20; i++)
		language_add(languages, &n_languages, "en");
	CHECK_INT(n_languages, 2);
	CHECK_INT(languages[1].n, 20);
	CHECK_OK(rag_terms_in(S("What is the number of the houses"), languages, n_languages, a,
			 &terms, &at, &n, &et),
		&et);
	bool house = false;
	for (size_t i = 0; i < n; i++) {
		CHECK(!str_eq_c(terms[i], "what") && !str_eq_c(terms[i], "the"));
		house |= str_eq_c(terms[i], "hous") && at[i] == 26;
	}
	CHECK(house);
	arena_free(a);
}

TESTS(T(test_rag_fusion__evidence_adds_up), T(test_rag_fusion__one_side_alone),
	T(test_rag_fusion__keywords_are_a_share), T(test_rag_fusion__fit_of_a_vocabulary),
	T(test_rag_terms__stop_words_stay_out))
