/* What stands in a file, whatever its format, without understanding it: to find out whether a
 * parser passed over something. Not for reading: order, spaces and structure are lost.
 *
 *	plain, HTML, XML   the bytes, and once more without tags, with the usual entities decoded
 *	ZIP (docx, odt, epub, ...)   the same of each member
 *	PDF   the strings of its page descriptions; none where fonts have codes of their own */
#ifndef TEXT_RAW_H
#define TEXT_RAW_H
#include "base/str.h"

enum raw_kind { RAW_PLAIN, RAW_ZIP, RAW_PDF };

enum raw_kind raw_kind_of(struct str bytes);
/* Appends at most `max` bytes, which need not be UTF-8; what is damaged is passed over. Only memory
 * can fail. */
enum err raw_text(struct str bytes, size_t max, struct buf *out) MUST_CHECK;

#endif
