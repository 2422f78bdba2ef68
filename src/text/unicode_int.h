/* Inside text: languages (stop words, stems), and what the tests look at. */
#ifndef TEXT_UNICODE_INT_H
#define TEXT_UNICODE_INT_H
#include "text/unicode.h"

bool str_is_ascii(struct str s);
enum err unicode_nfc(struct str s, struct buf *out);

/* The next word of ASCII text from *pos on; the same words as ICU's (a test says so). */
bool ascii_next_word(struct str s, size_t *pos, uint32_t *from, uint32_t *to, bool *letters);
enum err unicode_words_icu(struct str s, unicode_span_fn fn, void *ctx);

/* A language that can be stemmed, as this thread sees it; NULL for any other. */
struct lang;
struct lang *lang_get(const char *code);
bool lang_is_stop(const struct lang *l, struct str folded);
/* The stem: valid until the next call for the same language on this thread. */
struct str lang_stem(struct lang *l, struct str folded, struct buf *scratch);

#endif
