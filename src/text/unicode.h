/* Unicode text, by ICU and Snowball: normal forms, words, sentences, stems.
 *
 * Every function takes UTF-8; malformed bytes count as U+FFFD and never fail. Offsets are byte
 * offsets into the text given. Callbacks return false to stop. Any thread. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H
#include "base/str.h"

enum err unicode_nfkc(struct str s, struct buf *out);          /* appends */
enum err unicode_nfkc_casefold(struct str s, struct buf *out); /* for matching */
/* Replaces malformed UTF-8 by U+FFFD; *n_bad counts replacements. */
enum err unicode_repair(struct str s, struct buf *out, size_t *n_bad);

/* Words by UAX #29 (Chinese, Japanese, Thai and others by dictionary); white space and punctuation
 * are left out. */
typedef bool (*unicode_span_fn)(void *ctx, uint32_t from, uint32_t to);
enum err unicode_words(struct str s, unicode_span_fn fn, void *ctx);
enum err unicode_sentences(struct str s, unicode_span_fn fn, void *ctx);
/* Are these lines two rows of one table as documents have them ("header: value; ...")? */
bool unicode_same_row(struct str line, struct str next);
size_t unicode_columns(struct str s); /* terminal width */

/* What keyword search indexes: words, NFKC case-folded, stop words left out, stemmed for the
 * language ("en", "de", "es", ...; "" or an unknown one: no stemming, no stop words). Scripts
 * without spaces give dictionary words plus character bigrams. A term is valid during the call. */
typedef bool (*unicode_term_fn)(void *ctx, struct str term, uint32_t from, uint32_t to);
enum err unicode_terms(struct str s, const char *language, unicode_term_fn fn, void *ctx);
bool unicode_stems(struct str language); /* is it one of those languages? */
/* Plainer terms: runs of letters and digits of any script, in lower case. */
enum err unicode_tokens(struct str s, unicode_term_fn fn, void *ctx);
/* A guess of the language among those that can be stemmed ("en"), "zh", "ja", ..., or "" . */
const char *unicode_guess_language(struct str s);

#endif
