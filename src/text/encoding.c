/* Text of any encoding to UTF-8: byte-order mark, then UTF-8 if it is valid, then what the source
 * claims, then a guess by uchardet. ICU converts. */
#include "text/doc_int.h"

#include <stdlib.h>
#include <uchardet.h>
#include <unicode/ucnv.h>

bool charset_to_utf8(const char *charset, struct str bytes, struct buf *utf8)
{
	UErrorCode ue = U_ZERO_ERROR;
	UConverter *from = ucnv_open(charset, &ue), *to = ucnv_open("UTF-8", &ue);
	bool ok = U_SUCCESS(ue);
	if (ok) {
		UChar pivot[1024], *ps = pivot, *pt = pivot;
		const char *src = bytes.p, *end = bytes.p + bytes.n;
		bool first = true;
		for (;;) {
			char *at = buf_reserve(utf8, 65536), *start = at;
			if (!at) {
				ok = false;
				break;
			}
			ue = U_ZERO_ERROR;
			ucnv_convertEx(to, from, &at, start + 65536, &src, end, pivot, &ps, &pt,
				pivot + ARRAY_LEN(pivot), first, true, &ue);
			first = false;
			utf8->n += (size_t)(at - start);
			utf8->p[utf8->n] = 0;
			if (ue != U_BUFFER_OVERFLOW_ERROR)
				break;
		}
		ok = ok && U_SUCCESS(ue);
	}
	if (from)
		ucnv_close(from);
	if (to)
		ucnv_close(to);
	return ok;
}

static const char *by_mark(struct str s, size_t *skip)
{
	static const struct {
		const char *mark;
		size_t n;
		const char *charset;
	} marks[] = {{"\xEF\xBB\xBF", 3, "UTF-8"}, {"\xFF\xFE\0\0", 4, "UTF-32LE"},
		{"\0\0\xFE\xFF", 4, "UTF-32BE"}, {"\xFF\xFE", 2, "UTF-16LE"},
		{"\xFE\xFF", 2, "UTF-16BE"}};
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		if (s.n >= marks[i].n && !memcmp(s.p, marks[i].mark, marks[i].n)) {
			*skip = marks[i].n;
			return marks[i].charset;
		}
	}
	return NULL;
}

/* UTF-16 and UTF-32 without a mark: zero bytes at every second (or but every fourth) place. */
const char *charset_by_zeros(struct str s)
{
	size_t n = MIN(s.n, (size_t)4096) & ~(size_t)3, at[4] = {0};
	if (n < 8)
		return NULL;
	for (size_t i = 0; i < n; i++)
		at[i % 4] += !s.p[i];
	size_t q = n / 4;
	if (at[1] > q * 9 / 10 && at[2] > q * 9 / 10 && at[3] > q * 9 / 10)
		return "UTF-32LE";
	if (at[0] > q * 9 / 10 && at[1] > q * 9 / 10 && at[2] > q * 9 / 10)
		return "UTF-32BE";
	if (at[1] + at[3] > q && at[0] + at[2] <= q / 8)
		return "UTF-16LE";
	if (at[0] + at[2] > q && at[1] + at[3] <= q / 8)
		return "UTF-16BE";
	return NULL;
}

/* Mostly UTF-8: a few bad places among many good ones. */
static bool nearly_utf8(struct str s, size_t *bad)
{
	size_t good = 0;
	*bad = 0;
	for (size_t i = 0; i < s.n;) {
		if (!((unsigned char)s.p[i] & 0x80)) {
			i++;
			continue;
		}
		uint32_t cp;
		size_t k = utf8_decode(str_sub(s, i, s.n), &cp);
		if (cp == 0xFFFD && !(k == 3 && !memcmp(s.p + i, "\xEF\xBF\xBD", 3)))
			++*bad;
		else
			good++;
		i += k;
	}
	return good >= *bad * 4 && good > 0;
}

static const char *detect(struct str s, char name[64])
{
	enum { SAMPLE = 256 << 10 };
	uchardet_t ud = uchardet_new();
	name[0] = 0;
	if (!ud)
		return NULL;
	if (!uchardet_handle_data(ud, s.p, MIN(s.n, (size_t)SAMPLE))) {
		uchardet_data_end(ud);
		const char *found = uchardet_get_charset(ud);
		if (found && strlen(found) < 64)
			strcpy(name, found);
	}
	uchardet_delete(ud);
	return name[0] && strcmp(name, "ASCII") != 0 ? name : NULL;
}

static void line_ends(struct buf *b)
{
	char *cr = b->n ? memchr(b->p, '\r', b->n) : NULL;
	if (!cr)
		return;
	size_t to = (size_t)(cr - b->p);
	for (size_t i = to; i < b->n; i++) {
		if (b->p[i] != '\r')
			b->p[to++] = b->p[i];
		else if (i + 1 >= b->n || b->p[i + 1] != '\n')
			b->p[to++] = '\n';
	}
	b->n = to;
	b->p[to] = 0;
}

enum err text_decode(struct out *o, struct str bytes, const char *hint, struct buf *utf8)
{
	size_t skip = 0, bad = 0;
	char found[64];
	const char *charset = by_mark(bytes, &skip);
	bytes = str_sub(bytes, skip, bytes.n);
	bool zero = bytes.n && memchr(bytes.p, 0, bytes.n) != NULL;
	if (!charset && zero)
		charset = charset_by_zeros(bytes);
	/* a claim is believed only where the bytes do not say otherwise */
	if (!charset && utf8_valid(bytes) && !(hint && !strncasecmp(hint, "iso-2022", 8)))
		charset = "UTF-8";
	if (!charset && hint && *hint && strcasecmp(hint, "utf-8") != 0 &&
		strcasecmp(hint, "us-ascii") != 0) {
		if (charset_to_utf8(hint, bytes, utf8))
			goto done;
		buf_clear(utf8);
	}
	if (!charset && nearly_utf8(bytes, &bad))
		charset = "UTF-8";
	if (!charset) {
		charset = detect(bytes, found);
		if (!charset)
			charset = "windows-1252";
		out_warn(o, "the encoding is not stated; taken as %s", charset);
	}
	if (strcasecmp(charset, "UTF-8") == 0) {
		unicode_repair(bytes, utf8, &bad);
		if (bad)
			out_warn(o, "%zu places were not valid UTF-8; shown as U+FFFD", bad);
	} else if (!charset_to_utf8(charset, bytes, utf8)) {
		buf_clear(utf8);
		if (!charset_to_utf8("windows-1252", bytes, utf8))
			return out_fail(
				o, ERR_CORRUPT, "its text encoding is unknown; save it as UTF-8");
		out_warn(o, "its encoding could not be converted from %s; taken as windows-1252",
			charset);
	}
done:
	if (utf8->err)
		return out_fail(o, utf8->err, "out of memory");
	line_ends(utf8);
	return OK;
}
