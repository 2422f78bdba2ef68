/* Text as Python's strings see it: by code points. */
#include "text/template_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

size_t text_length(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}

size_t text_offset(struct str s, size_t cp)
{
	size_t i = 0;
	while (i < s.n) {
		if (((unsigned char)s.p[i] & 0xC0) != 0x80 && cp-- == 0)
			break;
		i++;
	}
	return i;
}

bool text_is_space(uint32_t cp)
{
	if (cp < 0x80)
		return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x1F);
	return u_isUWhiteSpace((UChar32)cp);
}

static bool in_chars(struct str chars, uint32_t cp)
{
	if (!chars.p)
		return text_is_space(cp);
	for (size_t i = 0, len; i < chars.n; i += len) {
		uint32_t c;
		len = utf8_decode(str_sub(chars, i, chars.n), &c);
		if (c == cp)
			return true;
	}
	return false;
}

struct str text_strip(struct str s, struct str chars, int sides)
{
	uint32_t cp;
	while (sides & 1 && s.n) {
		size_t len = utf8_decode(s, &cp);
		if (!in_chars(chars, cp))
			break;
		s = str_sub(s, len, s.n);
	}
	while (sides & 2 && s.n) {
		size_t i = s.n - 1;
		while (i && ((unsigned char)s.p[i] & 0xC0) == 0x80)
			i--;
		utf8_decode(str_sub(s, i, s.n), &cp);
		if (!in_chars(chars, cp))
			break;
		s = str_sub(s, 0, i);
	}
	return s;
}

static bool is_cased(UChar32 c)
{
	return u_isULowercase(c) || u_isUUppercase(c) || u_istitle(c);
}

/* One code point's full mapping (sharp s has two letters in upper case). */
static void add_cased(struct buf *b, uint32_t cp, enum text_case c)
{
	UChar in[2], out[8];
	int32_t n = 0;
	UErrorCode err = U_ZERO_ERROR;
	if (cp < 0x80) {
		bool up = c != TEXT_LOWER;
		buf_putc(b, (char)(up && cp >= 'a' && cp <= 'z'     ? cp - 32
				    : !up && cp >= 'A' && cp <= 'Z' ? cp + 32
								    : cp));
		return;
	}
	U16_APPEND_UNSAFE(in, n, (UChar32)cp);
	if (c == TEXT_TITLE) {
		UChar32 t = u_totitle((UChar32)cp);
		if (t != (UChar32)cp || u_istitle((UChar32)cp)) {
			buf_add_utf8(b, (uint32_t)t);
			return;
		}
	}
	n = c == TEXT_LOWER ? u_strToLower(out, ARRAY_LEN(out), in, n, "", &err)
			    : u_strToUpper(out, ARRAY_LEN(out), in, n, "", &err);
	for (int32_t i = 0; U_SUCCESS(err) && i < n;) {
		UChar32 o;
		bool first = i == 0;
		U16_NEXT(out, i, n, o);
		buf_add_utf8(b, (uint32_t)(c == TEXT_TITLE && !first ? u_tolower(o) : o));
	}
}

struct str text_case(struct run *r, struct str s, enum text_case c)
{
	struct buf b = {.max = MEMORY_MAX};
	bool in_word = false;
	run_step(r, s.n / 16);
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp;
		len = utf8_decode(str_sub(s, i, s.n), &cp);
		enum text_case how = c;
		if (c == TEXT_TITLE)
			how = in_word ? TEXT_LOWER : TEXT_TITLE;
		else if (c == TEXT_CAPITALIZE)
			how = i ? TEXT_LOWER : TEXT_TITLE;
		in_word = is_cased((UChar32)cp);
		add_cased(&b, cp, how);
	}
	return run_buf(r, &b);
}

/* Python's repr: the shortest digits that read back, exponent from 1e16 on and below 1e-4. */
void text_float(double f, struct buf *out)
{
	char t[40];
	if (isnan(f) || isinf(f)) {
		buf_addc(out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
		return;
	}
	int precision = 0;
	do
		snprintf(t, sizeof t, "%.*e", precision, f);
	while (strtod(t, NULL) != f && ++precision < 17);
	int exponent = atoi(strchr(t, 'e') + 1);
	if (exponent >= 16 || exponent < -4) {
		*strchr(t, 'e') = 0;
		buf_addf(out, "%se%c%02d", t, exponent < 0 ? '-' : '+', abs(exponent));
	} else {
		buf_addf(out, "%.*f", MAX(precision - exponent, 1), f);
	}
}
