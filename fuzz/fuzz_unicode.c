/* Any bytes as text: spans stay inside, in order, and on the boundaries of the input. */
#include "text/unicode_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint32_t last, n;
	size_t limit;
};

static bool span(void *ctx, uint32_t from, uint32_t to)
{
	struct seen *s = ctx;
	if (from >= to || from < s->last || to > s->limit)
		abort();
	s->last = to;
	s->n++;
	return true;
}

static bool term(void *ctx, struct str t, uint32_t from, uint32_t to)
{
	struct seen *s = ctx;
	if (!t.n || from >= to || to > s->limit || !utf8_valid(t))
		abort();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = str_mk(data, size);
	struct seen words = {.limit = size}, again = {.limit = size}, seen = {.limit = size};
	struct buf b = {0};
	size_t bad;
	if (unicode_words(s, span, &words) || unicode_words_icu(s, span, &again) ||
		words.n != again.n)
		abort();
	if (unicode_sentences(s, span, &seen))
		abort();
	seen.last = 0;
	const char *lang = unicode_guess_language(s);
	if (unicode_terms(s, lang, term, &seen) || unicode_terms(s, "en", term, &seen))
		abort();
	if (unicode_repair(s, &b, &bad) || !utf8_valid(buf_str(&b)) || !bad != utf8_valid(s))
		abort();
	buf_clear(&b);
	if (unicode_nfkc(s, &b) || !utf8_valid(buf_str(&b)))
		abort();
	unicode_columns(s);
	buf_free(&b);
	return 0;
}
