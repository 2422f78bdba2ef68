#include "tap.h"
#include "vector/bm25.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The oracle keeps items as lists of words and decides every clause by looking at all of them. */
enum { ITEMS = 400, FIELDS = 2, LEN = 14, WORDS = 60, CLAUSES = 5 };

static const struct bm25_field fields[FIELDS] = {{2, 0.3f}, {1, 0.75f}};
static const double K1 = 1.2;

static struct item {
	bool alive;
	size_t n[FIELDS];
	unsigned word[FIELDS][LEN];
} items[ITEMS];

static char names[WORDS][12];

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Words that are prefixes and near misses of one another, some not ASCII. */
static void make_names(void)
{
	static const char *const letters[] = {"a", "b", "ä", "c"};
	for (unsigned w = 0; w < WORDS; w++) {
		names[w][0] = 0;
		for (unsigned v = w + 1; v; v /= 4)
			strcat(names[w], letters[v % 4]);
	}
}

static unsigned some_word(uint64_t *s)
{
	return (unsigned)(rnd(s) % (1 + rnd(s) % WORDS));
}

static unsigned edits(struct str a, struct str b)
{
	unsigned row[40];
	uint32_t x, y;
	unsigned nb = 0;
	uint32_t bs[32];
	while (b.n) {
		b = str_sub(b, utf8_decode(b, &y), b.n);
		bs[nb++] = y;
	}
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; a.n; i++) {
		unsigned diagonal = row[0];
		a = str_sub(a, utf8_decode(a, &x), a.n);
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			unsigned d = diagonal + (x != bs[j - 1]);
			diagonal = row[j];
			d = d < row[j] + 1 ? d : row[j] + 1;
			row[j] = d < row[j - 1] + 1 ? d : row[j - 1] + 1;
		}
	}
	return row[nb];
}

/* How often a phrase begins at each place of a field, by trying every way. */
static bool fits(
	const unsigned *text, size_t n, const unsigned *phrase, size_t k, size_t at, size_t slop)
{
	if (!k)
		return true;
	for (size_t skip = 0; skip <= slop && at + skip < n; skip++)
		if (text[at + skip] == phrase[0] &&
			fits(text, n, phrase + 1, k - 1, at + skip + 1, slop - skip))
			return true;
	return false;
}

struct want {
	enum bm25_match match;
	enum bm25_need need;
	unsigned word, phrase[3];
	size_t n_phrase, slop;
	unsigned edits;
	float weight;
};

/* A word stands for a term of the clause; *factor: what it counts. */
static bool stands(const struct want *c, unsigned w, double *factor)
{
	struct str a = str_c(names[w]), b = str_c(names[c->word]);
	*factor = 1;
	if (c->match == BM25_TERM)
		return w == c->word;
	if (c->match == BM25_PREFIX)
		return str_starts(a, b);
	unsigned d = edits(a, b);
	*factor = 1.0 / (1 + d);
	return d <= c->edits;
}

static double lens[FIELDS], alive;

static double share(const struct item *it, const double *tf)
{
	double x = 0;
	for (size_t f = 0; f < FIELDS; f++)
		if (tf[f] > 0)
			x += (double)fields[f].weight * tf[f] /
			     (1 - (double)fields[f].b +
				     (double)fields[f].b * (double)it->n[f] / (lens[f] / alive));
	return x / (K1 + x);
}

static void tf_of_word(const struct item *it, unsigned w, double *tf)
{
	for (size_t f = 0; f < FIELDS; f++) {
		tf[f] = 0;
		for (size_t i = 0; i < it->n[f]; i++)
			tf[f] += it->word[f][i] == w;
	}
}

static void tf_of_phrase(const struct item *it, const struct want *c, double *tf)
{
	for (size_t f = 0; f < FIELDS; f++) {
		tf[f] = 0;
		for (size_t i = 0; i < it->n[f]; i++)
			tf[f] += it->word[f][i] == c->phrase[0] &&
				 fits(it->word[f], it->n[f], c->phrase + 1, c->n_phrase - 1, i + 1,
					 c->slop);
	}
}

/* Adds a term's, or a phrase's (word WORDS), scores to all items; marks who has it. */
static void add_scores(const struct want *c, unsigned w, double factor, double *scores, bool *has)
{
	double df = 0, tf[FIELDS];
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < ITEMS; i++) {
			if (w < WORDS)
				tf_of_word(&items[i], w, tf);
			else
				tf_of_phrase(&items[i], c, tf);
			if (!items[i].alive || tf[0] + tf[1] == 0)
				continue;
			has[i] = true;
			if (!pass)
				df++;
			else if (c->need != BM25_MUST_NOT)
				scores[i] += factor * (double)c->weight *
					     log(1 + (alive - df + 0.5) / (df + 0.5)) *
					     share(&items[i], tf);
		}
}

static void decide(const struct want *clauses, size_t n, double *scores)
{
	static bool has[ITEMS];
	alive = 0;
	memset(lens, 0, sizeof lens);
	memset(scores, 0, ITEMS * sizeof *scores);
	for (size_t i = 0; i < ITEMS; i++)
		if (items[i].alive) {
			alive++;
			for (size_t f = 0; f < FIELDS; f++)
				lens[f] += (double)items[i].n[f];
		}
	static bool out[ITEMS];
	memset(out, 0, sizeof out);
	for (size_t c = 0; c < n; c++) {
		double factor;
		memset(has, 0, sizeof has);
		if (clauses[c].match == BM25_PHRASE)
			add_scores(&clauses[c], WORDS, 1, scores, has);
		for (unsigned w = 0; clauses[c].match != BM25_PHRASE && w < WORDS; w++)
			if (stands(&clauses[c], w, &factor))
				add_scores(&clauses[c], w, factor, scores, has);
		for (size_t i = 0; i < ITEMS && clauses[c].need != BM25_SHOULD; i++)
			out[i] |= has[i] == (clauses[c].need == BM25_MUST_NOT);
	}
	for (size_t i = 0; i < ITEMS; i++)
		if (out[i])
			scores[i] = 0;
}

static void random_clause(struct want *w, uint64_t *s)
{
	static const enum bm25_need needs[] = {BM25_SHOULD, BM25_SHOULD, BM25_MUST, BM25_MUST_NOT};
	*w = (struct want){.match = (enum bm25_match)(rnd(s) % 4),
		.need = needs[rnd(s) % ARRAY_LEN(needs)],
		.word = some_word(s),
		.n_phrase = 2 + rnd(s) % 2,
		.slop = rnd(s) % 3,
		.edits = 1 + rnd(s) % 2,
		.weight = rnd(s) % 2 ? 1 : 0.5f};
	for (size_t i = 0; i < 3; i++)
		w->phrase[i] = some_word(s) % 9;
}

static void compare(struct bm25 *x, uint64_t *seed)
{
	struct errtext et = {0};
	struct want want[CLAUSES];
	struct bm25_clause clauses[CLAUSES] = {0};
	struct str terms[CLAUSES][3];
	size_t n = 1 + rnd(seed) % CLAUSES, k = rnd(seed) % 4 ? 1 + rnd(seed) % 30 : ITEMS, got = 0;
	bool cut = true;
	for (size_t c = 0; c < n; c++) {
		random_clause(&want[c], seed);
		bool phrase = want[c].match == BM25_PHRASE;
		for (size_t i = 0; i < 3; i++)
			terms[c][i] = str_c(names[phrase ? want[c].phrase[i] : want[c].word]);
		clauses[c] = (struct bm25_clause){want[c].match, want[c].need, terms[c],
			phrase ? want[c].n_phrase : 1, NULL, (uint32_t)want[c].slop, want[c].edits,
			want[c].weight};
	}
	static double scores[ITEMS];
	static struct hit hits[ITEMS];
	decide(want, n, scores);
	CHECK_OK(bm25_query(x, clauses, n, k, NULL, NULL, hits, &got, &cut, NULL, &et), &et);
	size_t matching = 0, better = 0, wrong = 0;
	for (size_t i = 0; i < ITEMS; i++) {
		matching += scores[i] > 0;
		better += got && scores[i] > (double)hits[got - 1].score * 1.0001;
	}
	CHECK_INT(got, matching < k ? matching : k);
	CHECK(better < k);
	for (size_t i = 0; i < got; i++)
		wrong += fabs((double)hits[i].score - scores[hits[i].key]) > 2e-5;
	CHECK_INT(wrong, 0);
	CHECK(!cut);
}

static void put(struct bm25 *x, uint64_t key, uint64_t *seed)
{
	struct errtext et = {0};
	struct str terms[FIELDS][LEN];
	struct bm25_text texts[FIELDS];
	struct item *it = &items[key];
	it->alive = true;
	for (size_t f = 0; f < FIELDS; f++) {
		it->n[f] = rnd(seed) % LEN;
		for (size_t i = 0; i < it->n[f]; i++) {
			it->word[f][i] = rnd(seed) % 3 ? some_word(seed) % 9 : some_word(seed);
			terms[f][i] = str_c(names[it->word[f][i]]);
		}
		texts[f] = (struct bm25_text){terms[f], NULL, it->n[f]};
	}
	CHECK_OK(bm25_put_fields(x, key, texts, &et), &et);
}

static void test_vector_query__clauses_agree_with_looking_at_all(void)
{
	const struct bm25_options o = {
		.k1 = 1.2f, .b = 0.5f, .fields = fields, .n_fields = FIELDS, .positions = true};
	struct errtext et = {0};
	struct bm25 *x;
	uint64_t seed = 314159;
	make_names();
	CHECK_OK(bm25_new(&o, &x), &et);
	for (int round = 0; round < 25; round++) {
		for (int i = 0; i < 60; i++) {
			uint64_t key = rnd(&seed) % ITEMS;
			if (rnd(&seed) % 5) {
				put(x, key, &seed);
				continue;
			}
			CHECK_OK(bm25_delete(x, &key, 1, &et), &et);
			items[key].alive = false;
		}
		CHECK_OK(bm25_publish(x, &et), &et);
		for (int i = 0; i < 40; i++)
			compare(x, &seed);
	}
	bm25_free(x);
}

/* Long lists, so that phrases and conditions go through many blocks and merges. */
static void test_vector_query__phrases_over_many_blocks(void)
{
	struct errtext et = {0};
	struct bm25 *x;
	uint64_t seed = 8;
	size_t both = 0, apart = 0;
	CHECK_OK(bm25_new(&(struct bm25_options){.positions = true}, &x), &et);
	for (uint64_t key = 0; key < 9000; key++) {
		struct str terms[30];
		bool next = rnd(&seed) % 50 == 0, near = !next && rnd(&seed) % 20 == 0;
		for (size_t i = 0; i < 30; i++)
			terms[i] = rnd(&seed) % 2 ? S("of") : S("the");
		terms[3] = terms[20] = S("new");
		terms[9] = S("york");
		if (next)
			terms[21] = S("york");
		if (near)
			terms[23] = S("york");
		both += next;
		apart += near;
		CHECK_OK(bm25_put(x, key, terms, 30, &et), &et);
		if (key % 2500 == 0)
			CHECK_OK(bm25_publish(x, &et), &et);
	}
	CHECK_OK(bm25_publish(x, &et), &et);
	struct str words[] = {S("new"), S("york")};
	struct bm25_clause c = {BM25_PHRASE, BM25_SHOULD, words, 2, NULL, 0, 0, 0};
	struct hit *hits = malloc(9000 * sizeof *hits);
	size_t n = 0;
	CHECK_OK(bm25_query(x, &c, 1, 9000, NULL, NULL, hits, &n, NULL, NULL, &et), &et);
	CHECK_INT(n, both);
	c.slop = 2;
	CHECK_OK(bm25_query(x, &c, 1, 9000, NULL, NULL, hits, &n, NULL, NULL, &et), &et);
	CHECK_INT(n, both + apart);
	/* "new . . york", as when two stop words were left out. */
	c.slop = 0;
	c.at = (uint32_t[]){5, 8};
	CHECK_OK(bm25_query(x, &c, 1, 9000, NULL, NULL, hits, &n, NULL, NULL, &et), &et);
	CHECK_INT(n, apart);
	free(hits);
	bm25_free(x);
}

static void test_vector_query__limits_are_said(void)
{
	struct errtext et = {0};
	struct bm25 *x;
	struct hit h[4];
	size_t n;
	bool cut = false;
	CHECK_OK(bm25_new(NULL, &x), &et);
	for (uint64_t key = 0; key < 200; key++) {
		char name[16];
		snprintf(name, sizeof name, "term%u", (unsigned)key);
		struct str t = str_c(name);
		CHECK_OK(bm25_put(x, key, &t, 1, &et), &et);
	}
	CHECK_OK(bm25_publish(x, &et), &et);
	struct str two[] = {S("term"), S("x")}, term1 = S("tern1");
	struct bm25_clause c = {BM25_PREFIX, BM25_SHOULD, two, 1, NULL, 0, 0, 0};
	CHECK_OK(bm25_query(x, &c, 1, 4, NULL, NULL, h, &n, &cut, NULL, &et), &et);
	CHECK(n == 4 && cut);
	c = (struct bm25_clause){BM25_FUZZY, BM25_SHOULD, &term1, 1, NULL, 0, 1, 0};
	CHECK_OK(bm25_query(x, &c, 1, 4, NULL, NULL, h, &n, &cut, NULL, &et), &et);
	CHECK(n == 1 && h[0].key == 1 && !cut);
	c.edits = 3;
	CHECK_INT(bm25_query(x, &c, 1, 4, NULL, NULL, h, &n, &cut, NULL, &et), ERR_INVALID);
	c = (struct bm25_clause){BM25_PHRASE, BM25_SHOULD, two, 2, NULL, 0, 0, 0};
	CHECK_INT(bm25_query(x, &c, 1, 4, NULL, NULL, h, &n, &cut, NULL, &et), ERR_UNSUPPORTED);
	c = (struct bm25_clause){BM25_TERM, BM25_SHOULD, two, 2, NULL, 0, 0, 0};
	CHECK_INT(bm25_query(x, &c, 1, 4, NULL, NULL, h, &n, &cut, NULL, &et), ERR_INVALID);
	CHECK_OK(bm25_query(x, NULL, 0, 4, NULL, NULL, h, &n, &cut, NULL, &et), &et);
	CHECK_INT(n, 0);
	bm25_free(x);
}

TESTS(T(test_vector_query__clauses_agree_with_looking_at_all),
	T(test_vector_query__phrases_over_many_blocks), T(test_vector_query__limits_are_said))
