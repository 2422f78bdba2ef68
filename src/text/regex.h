/* Regular expressions that match in linear time.
 *
 * A pattern becomes a small program that is run over the text in step with all its alternatives, so
 * the time is the length of the text times the length of the pattern at the most, whatever both
 *are: nothing is tried again. What would need to be tried again (back references, looking around)
 *is refused. A search looks for a match anywhere in the text.
 *
 *	.  [a-z] [^a-z]  \d \w \s \D \W \S  \b \B  ^ $  ( ) (?: ) |  * + ? {n} {n,} {n,m}
 *
 * "(?i)" at the beginning takes ASCII letters in any case. Characters are those of UTF-8; ^ and $
 * are the ends of the text. "*?" and its like are taken as "*": whether there is a match is the
 * same. */
#ifndef TEXT_REGEX_H
#define TEXT_REGEX_H
#include "base/arena.h"

struct regex;

/* In `a`, which must outlive it; the pattern need not. ERR_INVALID says what is wrong and where. */
enum err regex_compile(struct str pattern, struct arena *a, const struct regex **out,
	struct errtext *et) MUST_CHECK;
/* Any thread; keeps nothing. */
bool regex_search(const struct regex *r, struct str text);

#endif
