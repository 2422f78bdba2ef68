/* The strings in a file: inflated where they are packed, with and without tags. */
#include "text/raw.h"

#include <stdlib.h>
#include <zip.h>
#include <zlib.h>

enum { MEMBERS_MAX = 4096 };

struct raw {
	struct buf *out;
	size_t end; /* out->n must not pass it */
};

static size_t room(const struct raw *r)
{
	return r->out->n < r->end ? r->end - r->out->n : 0;
}

static void add(struct raw *r, struct str s)
{
	buf_adds(r->out, str_sub(s, 0, room(r)));
}

static void add_char(struct raw *r, char c)
{
	if (room(r))
		buf_putc(r->out, c);
}

/* ---- tags and entities ---- */

static const struct {
	const char *name, *text;
} entities[] = {{"amp;", "&"}, {"lt;", "<"}, {"gt;", ">"}, {"quot;", "\""}, {"apos;", "'"},
	{"nbsp;", " "}, {"shy;", ""}};

/* Bytes of the entity behind '&'; 0: it is none that is known. */
static size_t entity(struct raw *r, struct str s)
{
	for (size_t i = 0; i < ARRAY_LEN(entities); i++)
		if (str_starts(s, str_c(entities[i].name))) {
			add(r, str_c(entities[i].text));
			return strlen(entities[i].name);
		}
	size_t semicolon = str_chr(str_sub(s, 0, 10), ';');
	if (semicolon == STR_NONE || semicolon < 2 || s.p[0] != '#')
		return 0;
	bool hex = s.p[1] == 'x' || s.p[1] == 'X';
	uint32_t cp = 0;
	for (size_t i = hex ? 2 : 1; i < semicolon; i++) {
		char c = s.p[i];
		uint32_t digit = c >= '0' && c <= '9'          ? (uint32_t)(c - '0')
				 : hex && c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
				 : hex && c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
							       : 99;
		if (digit == 99 || cp > 0x10FFFF)
			return 0;
		cp = cp * (hex ? 16 : 10) + digit;
	}
	char utf8[4];
	if (!cp || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
		return 0;
	add(r, str_mk(utf8, utf8_encode(cp, utf8)));
	return semicolon + 1;
}

/* A tag is nothing, so that words that it cuts are whole again; where it ends a paragraph the text
 * has a line end or another tag's space anyway. */
static void add_without_tags(struct raw *r, struct str s)
{
	for (size_t i = 0; i < s.n && room(r);) {
		if (s.p[i] == '<') {
			size_t close = str_chr(str_sub(s, i, s.n), '>');
			if (close != STR_NONE) {
				i += close + 1;
				continue;
			}
		}
		size_t n = s.p[i] == '&' ? entity(r, str_sub(s, i + 1, s.n)) : 0;
		if (n) {
			i += n + 1;
			continue;
		}
		add_char(r, s.p[i++]);
	}
}

static void add_plain(struct raw *r, struct str s)
{
	add(r, s);
	add_char(r, '\n');
	if (str_chr(s, '<') != STR_NONE || str_chr(s, '&') != STR_NONE)
		add_without_tags(r, s);
	add_char(r, '\n');
}

/* ---- ZIP ---- */

static void add_member(struct raw *r, zip_t *z, zip_uint64_t index)
{
	struct buf b = {0};
	char piece[4096];
	zip_int64_t n;
	zip_file_t *f = zip_fopen_index(z, index, 0);
	while (f && b.n < room(r) && (n = zip_fread(f, piece, sizeof piece)) > 0)
		buf_adds(&b, str_mk(piece, (size_t)n));
	if (f)
		zip_fclose(f);
	if (!b.err && b.n && !memchr(b.p, 0, MIN(b.n, (size_t)1024)))
		add_plain(r, buf_str(&b));
	buf_free(&b);
}

static void add_zip(struct raw *r, struct str bytes)
{
	zip_error_t ze;
	zip_error_init(&ze);
	zip_source_t *src = zip_source_buffer_create(bytes.p, bytes.n, 0, &ze);
	zip_t *z = src ? zip_open_from_source(src, ZIP_RDONLY, &ze) : NULL;
	if (src && !z)
		zip_source_free(src);
	zip_int64_t n = z ? zip_get_num_entries(z, 0) : 0;
	for (zip_int64_t i = 0; i < MIN(n, MEMBERS_MAX) && room(r); i++)
		add_member(r, z, (zip_uint64_t)i);
	if (z)
		zip_discard(z);
	zip_error_fini(&ze);
}

/* ---- PDF ---- */

/* One string, from behind its '('; returns what comes after its ')'. */
static size_t pdf_string(struct raw *r, struct str s, size_t i)
{
	static const char plain[] = "nrtbf", what[] = "\n\r\t\b\f";
	unsigned depth = 1;
	while (i < s.n) {
		char c = s.p[i++];
		if (c == '(')
			depth++;
		if (c == ')' && !--depth)
			return i;
		if (c == '\\' && i < s.n) {
			c = s.p[i++];
			const char *p = c ? strchr(plain, c) : NULL;
			unsigned v = 0, digits = 0;
			if (p)
				c = what[p - plain];
			for (i--; digits < 3 && i < s.n && s.p[i] >= '0' && s.p[i] <= '7'; digits++)
				v = v * 8 + (unsigned)(s.p[i++] - '0');
			if (!digits)
				i++;
			else
				c = (char)v;
		}
		add_char(r, c);
	}
	return i;
}

/* Strings of a list ("[(Wor) -20 (ds)] TJ") stand beside each other, others in lines. */
static void add_strings(struct raw *r, struct str s)
{
	for (size_t i = 0; i < s.n && room(r);) {
		char c = s.p[i++];
		if (c == '(')
			i = pdf_string(r, s, i);
		else if (c == ']' || c == 'T')
			add_char(r, '\n');
	}
}

static void inflate_stream(struct str packed, size_t max, struct buf *out)
{
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)packed.p,
		.avail_in = (unsigned)MIN(packed.n, (size_t)UINT32_MAX)};
	char piece[4096];
	if (inflateInit(&z) != Z_OK)
		return;
	int got = Z_OK;
	while (got == Z_OK && out->n < max) {
		z.next_out = (unsigned char *)piece;
		z.avail_out = sizeof piece;
		got = inflate(&z, Z_NO_FLUSH);
		buf_adds(out, str_mk(piece, sizeof piece - z.avail_out));
		if (got == Z_OK && !z.avail_in && z.avail_out)
			break;
	}
	inflateEnd(&z);
}

static void add_stream(struct raw *r, struct str packed)
{
	struct buf b = {0};
	inflate_stream(packed, room(r), &b);
	if (!b.err)
		add_strings(r, b.n ? buf_str(&b) : packed);
	buf_free(&b);
}

static void add_pdf(struct raw *r, struct str s)
{
	while (room(r)) {
		size_t begin = str_find(s, S("stream"));
		if (begin == STR_NONE)
			break;
		s = str_sub(s, begin + strlen("stream"), s.n);
		size_t from = s.n && s.p[0] == '\r' ? 1 : 0;
		from += from < s.n && s.p[from] == '\n' ? 1 : 0;
		size_t end = str_find(s, S("endstream"));
		if (end == STR_NONE)
			break;
		add_stream(r, str_sub(s, MIN(from, end), end));
		s = str_sub(s, end + strlen("endstream"), s.n);
	}
}

/* ---- all ---- */

enum raw_kind raw_kind_of(struct str bytes)
{
	if (str_starts(bytes, S("PK\3\4")))
		return RAW_ZIP;
	return str_find(str_sub(bytes, 0, 1024), S("%PDF-")) != STR_NONE ? RAW_PDF : RAW_PLAIN;
}

enum err raw_text(struct str bytes, size_t max, struct buf *out)
{
	struct raw r = {out, out->n + max};
	switch (raw_kind_of(bytes)) {
	case RAW_ZIP:
		add_zip(&r, bytes);
		break;
	case RAW_PDF:
		add_pdf(&r, bytes);
		break;
	case RAW_PLAIN:
		add_plain(&r, bytes);
	}
	return out->err;
}
