#include "tap.h"
#include "base/json.h"
#include "base/clock.h"
#include "base/os.h"
#include "text/unicode_int.h"

#include <pthread.h>
#include <stdlib.h>

struct list {
	struct str s;
	struct buf out;
};

static bool add_span(void *ctx, uint32_t from, uint32_t to)
{
	struct list *l = ctx;
	buf_adds(&l->out, str_sub(l->s, from, to));
	buf_putc(&l->out, '|');
	return true;
}

static bool add_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	struct list *l = ctx;
	buf_adds(&l->out, term);
	buf_putc(&l->out, '|');
	return true;
}

static void words_are(const char *text, const char *want)
{
	struct list l = {.s = str_c(text)};
	CHECK_INT(unicode_words(l.s, add_span, &l), OK);
	CHECK_STR(buf_str(&l.out), want);
	buf_free(&l.out);
}

static void sentences_are(const char *text, const char *want)
{
	struct list l = {.s = str_c(text)};
	CHECK_INT(unicode_sentences(l.s, add_span, &l), OK);
	CHECK_STR(buf_str(&l.out), want);
	buf_free(&l.out);
}

static void terms_are(const char *text, const char *lang, const char *want)
{
	struct list l = {.s = str_c(text)};
	CHECK_INT(unicode_terms(l.s, lang, add_term, &l), OK);
	CHECK_STR(buf_str(&l.out), want);
	buf_free(&l.out);
}

static void test_text_unicode__words(void)
{
	words_are("Hello, wörld! 3.14 don't a_b e.g. x", "Hello|wörld|3.14|don't|a_b|e.g|x|");
	words_are("plain ascii, 1,000 a,b c;d 1;2 _ __x 'q' end.",
		"plain|ascii|1,000|a|b|c|d|1;2|__x|q|end|");
	words_are("", "");
	words_are("\xff\xfe", "");
}

/* The scanner for ASCII gives ICU's words, whatever the bytes. */
static void test_text_unicode__ascii_is_icu(void)
{
	static const char from[] = "abZ09_.,;:'\"- \n\t/@()";
	uint32_t seed = 7;
	for (int round = 0; round < 20000; round++) {
		char text[24];
		size_t n = 0;
		seed = seed * 1664525 + 1013904223;
		size_t want = 1 + (seed >> 16) % 22;
		while (n < want) {
			seed = seed * 1664525 + 1013904223;
			text[n++] = from[(seed >> 16) % (sizeof from - 1)];
		}
		struct list a = {.s = str_mk(text, n)}, b = {.s = str_mk(text, n)};
		CHECK_INT(unicode_words(a.s, add_span, &a), OK);
		CHECK_INT(unicode_words_icu(b.s, add_span, &b), OK);
		if (!str_eq(buf_str(&a.out), buf_str(&b.out)))
			FAIL("\"%.*s\": %s, ICU: %s", (int)n, text, buf_c(&a.out), buf_c(&b.out));
		buf_free(&a.out);
		buf_free(&b.out);
	}
}

static void test_text_unicode__sentences(void)
{
	sentences_are("One. Two! Three?", "One.|Two!|Three?|");
	sentences_are("Dr. Smith met J. Doe, e.g. Monday. He left.",
		"Dr. Smith met J. Doe, e.g. Monday.|He left.|");
	sentences_are("See fig. 3 for it. The answer is no. Then.",
		"See fig. 3 for it.|The answer is no.|Then.|");
	sentences_are(
		"A line that the\nprogram wrapped. Next.\n\nNew one", /* a small letter goes on */
		"A line that the\nprogram wrapped.|Next.|New one|");
	sentences_are("Title\n\nText here.", "Title|Text here.|");
	sentences_are("这是第一句。这是第二句!", "这是第一句。|这是第二句!|");
	sentences_are("  \n ", "");
}

static void test_text_unicode__terms(void)
{
	terms_are("The Running of the Dogs isn't easy", "en", "run|dog|easi|");
	terms_are("The Running of the Dogs", "", "the|running|of|the|dogs|");
	terms_are("The Running", "xx", "the|running|");
	terms_are("Die Häuser der Straße", "de", "haus|strass|");
	terms_are("ﬁnal Ⅳ", "", "final|iv|");
	terms_are("the dog’s bone", "en", "dog|bone|");
	terms_are("数据库", "", "数据|库|据库|");
	terms_are("数据 库", "", "数据|库|");
	terms_are("tokens 2024 3.14", "en", "token|2024|3.14|");
}

static void test_text_unicode__normal_forms(void)
{
	struct buf b = {0};
	size_t bad = 9;
	CHECK_INT(unicode_nfkc(S("ﬁ e\xcc\x81 ｶﾞ"), &b), OK);
	CHECK_STR(buf_str(&b), "fi é ガ");
	buf_clear(&b);
	CHECK_INT(unicode_nfkc_casefold(S("Straße ABC"), &b), OK);
	CHECK_STR(buf_str(&b), "strasse abc");
	buf_clear(&b);
	CHECK_INT(unicode_repair(S("a\xff"
				   "b\xc3(\xEF\xBF\xBD"),
			  &b, &bad),
		OK);
	CHECK_STR(buf_str(&b), "a\xEF\xBF\xBD"
			       "b\xEF\xBF\xBD(\xEF\xBF\xBD");
	CHECK_INT(bad, 2);
	buf_clear(&b);
	/* long text goes in pieces, code points that grow 18-fold */
	for (int i = 0; i < 300000; i++)
		buf_addc(&b, i % 5 ? "\xEF\xB7\xBA" : "a e\xcc\x81 ");
	struct buf out = {0};
	CHECK_INT(unicode_nfkc(buf_str(&b), &out), OK);
	CHECK(utf8_valid(buf_str(&out)) && out.n > b.n * 4);
	buf_free(&b);
	buf_free(&out);
	CHECK_INT(unicode_columns(S("aé日本\xcc\x81")), 6);
}

static void test_text_unicode__guesses(void)
{
	static const struct {
		const char *lang, *text;
	} t[] = {
		{"en", "The committee has decided that the meeting will be held on Monday."},
		{"en", "How do I install the server?"},
		{"de", "Der Ausschuss hat beschlossen, dass die Sitzung am Montag stattfindet."},
		{"es", "El comité ha decidido que la reunión se celebrará el lunes en la ciudad."},
		{"fr", "Le comité a décidé que la réunion aura lieu lundi dans les locaux."},
		{"it", "Il comitato ha deciso che la riunione si terrà lunedì nella sede della "
		       "società."},
		{"nl", "De commissie heeft besloten dat de vergadering op maandag wordt gehouden."},
		{"pt", "O comité decidiu que a reunião será realizada na segunda-feira, mas não em "
		       "Lisboa."},
		{"sv", "Kommittén har beslutat att mötet ska hållas på måndag och inte på fredag."},
		{"da", "Udvalget har besluttet, at mødet skal holdes på mandag, og det bliver ikke "
		       "af nogen andre."},
		{"no", "Utvalget har besluttet at møtet skal holdes på mandag, og det blir ikke "
		       "noe av etter dette."},
		{"fi", "Valiokunta on päättänyt, että kokous pidetään maanantaina, mutta se ei ole "
		       "varma."},
		{"ru", "Комитет решил, что заседание состоится в понедельник."},
		{"hu", "A bizottság úgy döntött, hogy az ülést hétfőn tartják, de ez még nem "
		       "biztos."},
		{"ro", "Comitetul a decis că ședința va avea loc luni și nu este sigur dacă toți "
		       "vin."},
		{"tr", "Komite toplantının pazartesi günü yapılacağına karar verdi ve bu çok "
		       "önemli bir gün için."},
		{"zh", "委员会决定星期一举行会议。"},
		{"ja", "委員会は月曜日に会議を開くことを決定しました。"},
		{"ko", "위원회는 월요일에 회의를 열기로 결정했습니다."},
		{"el", "Η επιτροπή αποφάσισε ότι η συνεδρίαση θα γίνει τη Δευτέρα."},
		{"uk", "Комітет вирішив, що засідання відбудеться в понеділок."},
		{"", "12345 67.8"},
		{"", ""},
		{"", "Xyzzy Plugh Foobar"},
	};
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const char *got = unicode_guess_language(str_c(t[i].text));
		if (strcmp(got, t[i].lang))
			FAIL("\"%s\": %s, not %s", t[i].text, got, t[i].lang);
	}
}

/* Every paragraph of XQuAD in four languages. */
static void test_text_unicode__guesses_xquad(void)
{
	static const char *const langs[] = {"en", "de", "es", "zh"};
	unsigned right = 0, all = 0;
	for (size_t k = 0; k < ARRAY_LEN(langs); k++) {
		char rel[64];
		snprintf(rel, sizeof rel, "rag/xquad-%s/corpus.jsonl", langs[k]);
		struct buf b = {0};
		struct errtext et;
		CHECK_OK(os_read_file(tap_shared(rel), 0, &b, &et), &et);
		struct str rest = buf_str(&b), line;
		while (str_next_line(&rest, &line)) {
			yyjson_doc *d;
			if (!line.n || json_parse(line, &d, NULL))
				continue;
			struct str text = json_str(yyjson_doc_get_root(d), "text");
			right += !strcmp(unicode_guess_language(text), langs[k]);
			all++;
			yyjson_doc_free(d);
		}
		buf_free(&b);
	}
	tap_note("%u of %u paragraphs", right, all);
	CHECK(all >= 900 && right >= all * 99 / 100);
}

static bool nested(void *ctx, uint32_t from, uint32_t to)
{
	struct list *l = ctx;
	words_are("größer als", "größer|als|");
	return add_span(l, from, to);
}

static void test_text_unicode__calls_nest(void)
{
	struct list l = {.s = S("ä b ü")};
	CHECK_INT(unicode_words(l.s, nested, &l), OK);
	CHECK_STR(buf_str(&l.out), "ä|b|ü|");
	buf_free(&l.out);
}

static void *on_thread(void *arg)
{
	for (int i = 0; i < 200; i++) {
		terms_are("Die Häuser der Straße, 数据库", "de", "haus|strass|数据|库|据库|");
		sentences_are("Ä. B!", "Ä.|B!|");
	}
	return NULL;
}

static void test_text_unicode__threads(void)
{
	pthread_t t[8];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK(!pthread_create(&t[i], NULL, on_thread, NULL));
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
}

static bool count_term(void *ctx, struct str term, uint32_t from, uint32_t to)
{
	++*(size_t *)ctx;
	return true;
}

/* A bound that only a mistake breaks: an optimised build does 60 MB/s and more. */
static void test_text_unicode__terms_are_fast(void)
{
	struct buf b = {0};
	while (b.n < 4 << 20)
		buf_addc(&b, "The quick brown foxes were jumping over the lazy dogs of Königsberg, "
			     "again. ");
	size_t n = 0;
	uint64_t t = clock_mono_ns();
	for (size_t i = 0; i < b.n; i += 4096)
		CHECK_INT(
			unicode_terms(str_sub(buf_str(&b), i, i + 4096), "en", count_term, &n), OK);
	double s = (double)(clock_mono_ns() - t) / 1e9;
	tap_note("%.1f MB/s, %zu terms", (double)b.n / s / 1e6, n);
	CHECK(s < 10);
	buf_free(&b);
}

TESTS(T(test_text_unicode__words), T(test_text_unicode__ascii_is_icu),
	T(test_text_unicode__sentences), T(test_text_unicode__terms),
	T(test_text_unicode__normal_forms), T(test_text_unicode__guesses),
	T(test_text_unicode__guesses_xquad), T(test_text_unicode__calls_nest),
	T(test_text_unicode__threads), T(test_text_unicode__terms_are_fast))
