#include "base/str.h"
#include "base/hash.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
	return str_eq(a, str_c(b));
}

static unsigned char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : (unsigned char)c;
}

static bool eq_nocase_n(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool str_eq_nocase(struct str a, struct str b)
{
	return a.n == b.n && eq_nocase_n(a.p, b.p, a.n);
}

int str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq_nocase(str_sub(s, s.n - suffix.n, s.n), suffix);
}

size_t str_find(struct str s, struct str needle)
{
	if (needle.n == 0)
		return 0;
	if (s.n < needle.n)
		return STR_NONE;
	const char *at = memmem(s.p, s.n, needle.p, needle.n);
	return at ? (size_t)(at - s.p) : STR_NONE;
}

__extension__ typedef unsigned __int128 wide;

static uint64_t times(uint64_t a, uint64_t b, uint64_t plus)
{
	const uint64_t p = ((uint64_t)1 << 61) - 1;
	wide v = (wide)a * b + plus;
	uint64_t r = (uint64_t)(v & p) + (uint64_t)(v >> 61);
	return r >= p ? r - p : r;
}

/* By a rolling hash (Rabin and Karp) whose base nobody outside knows, so that a long needle which
 * almost stands everywhere takes no longer than another. */
static size_t find_long_nocase(struct str s, struct str needle)
{
	const uint64_t p = ((uint64_t)1 << 61) - 1, base = hash64(S("base")) % (p - 1000) + 500;
	uint64_t want = 0, have = 0, top = 1;
	for (size_t i = 0; i < needle.n; i++) {
		want = times(want, base, lower(needle.p[i]));
		have = times(have, base, lower(s.p[i]));
		top = i ? times(top, base, 0) : top;
	}
	for (size_t i = 0;; i++) {
		if (have == want && eq_nocase_n(s.p + i, needle.p, needle.n))
			return i;
		if (i + needle.n == s.n)
			return STR_NONE;
		have = times(p - lower(s.p[i]), top, have);
		have = times(have, base, lower(s.p[i + needle.n]));
	}
}

size_t str_find_nocase(struct str s, struct str needle)
{
	enum { SHORT = 16 };
	if (needle.n > SHORT && needle.n <= s.n)
		return find_long_nocase(s, needle);
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (eq_nocase_n(s.p + i, needle.p, needle.n))
			return i;
	return STR_NONE;
}

size_t str_chr(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? (size_t)(at - s.p) : STR_NONE;
}

size_t str_rchr(struct str s, char c)
{
	const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
	return at ? (size_t)(at - s.p) : STR_NONE;
}

struct str str_sub(struct str s, size_t from, size_t to)
{
	to = MIN(to, s.n);
	from = MIN(from, to);
	return str_mk(s.p ? s.p + from : s.p, to - from);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[0]))
		s.p++, s.n--;
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_next(struct str *rest, char sep, struct str *part)
{
	if (!rest->p)
		return false;
	size_t at = str_chr(*rest, sep);
	if (at == STR_NONE) {
		*part = *rest;
		*rest = (struct str){0};
	} else {
		*part = str_sub(*rest, 0, at);
		*rest = str_sub(*rest, at + 1, rest->n);
	}
	return true;
}

bool str_next_line(struct str *rest, struct str *line)
{
	if (!rest->n)
		return false;
	str_next(rest, '\n', line);
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

/* Numbers are short: copy into a terminated array so that the C parsers can be used. */
static bool number_text(struct str s, char out[64])
{
	if (s.n == 0 || s.n >= 64 || is_space(s.p[0]))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return memchr(s.p, 0, s.n) == NULL;
}

bool str_i64(struct str s, int64_t *out)
{
	char t[64], *end;
	if (!number_text(s, t))
		return false;
	errno = 0;
	long long v = strtoll(t, &end, 10);
	if (errno || *end || end == t)
		return false;
	*out = v;
	return true;
}

bool str_u64(struct str s, uint64_t *out)
{
	char t[64], *end;
	if (!number_text(s, t) || t[0] == '-')
		return false;
	errno = 0;
	unsigned long long v = strtoull(t, &end, 10);
	if (errno || *end || end == t)
		return false;
	*out = v;
	return true;
}

bool str_f64(struct str s, double *out)
{
	char t[64], *end;
	if (!number_text(s, t) || strpbrk(t, "xXnN"))
		return false;
	double v = strtod(t, &end);
	if (*end || end == t || !isfinite(v))
		return false;
	*out = v;
	return true;
}

static bool split_unit(struct str s, double *number, struct str *unit)
{
	s = str_trim(s);
	size_t i = 0;
	while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'))
		i++;
	*unit = str_trim(str_sub(s, i, s.n));
	return str_f64(str_sub(s, 0, i), number);
}

bool str_bytes(struct str s, uint64_t *out)
{
	double v;
	struct str u;
	if (!split_unit(s, &v, &u))
		return false;
	if (str_ends_nocase(u, S("iB")))
		u.n -= 2;
	else if (str_ends_nocase(u, S("B")))
		u.n -= 1;
	if (u.n > 1)
		return false;
	if (u.n == 1) {
		static const char units[] = "kmgt";
		const char *at = strchr(units, lower(u.p[0]));
		if (!at)
			return false;
		v *= (double)(1ull << (10 * (at - units + 1)));
	}
	if (v > 9e18)
		return false;
	*out = (uint64_t)v;
	return true;
}

bool str_duration_ms(struct str s, uint64_t *out)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
	double v;
	struct str u;
	if (!split_unit(s, &v, &u))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq_c(u, units[i].unit) && v * units[i].ms < 9e18) {
			*out = (uint64_t)(v * units[i].ms);
			return true;
		}
	return false;
}

size_t utf8_decode(struct str s, uint32_t *cp)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char c = p[0];
	*cp = 0xFFFD;
	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	size_t need;
	uint32_t v, low;
	if (c >= 0xC2 && c <= 0xDF)
		need = 2, v = c & 0x1F, low = 0x80;
	else if (c >= 0xE0 && c <= 0xEF)
		need = 3, v = c & 0x0F, low = 0x800;
	else if (c >= 0xF0 && c <= 0xF4)
		need = 4, v = c & 0x07, low = 0x10000;
	else
		return 1;
	for (size_t i = 1; i < need; i++) {
		if (i >= s.n || (p[i] & 0xC0) != 0x80)
			return i;
		v = v << 6 | (p[i] & 0x3F);
		/* overlong, surrogate or too large is visible at the second byte */
		if (i == 1 && ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) ||
				      (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)))
			return 1;
	}
	if (v < low)
		return 1;
	*cp = v;
	return need;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
	if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
		cp = 0xFFFD;
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xC0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xE0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
		out[2] = (char)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
	out[3] = (char)(0x80 | (cp & 0x3F));
	return 4;
}

bool utf8_valid(struct str s)
{
	while (s.n) {
		uint32_t cp;
		if ((unsigned char)s.p[0] < 0x80) {
			s.p++, s.n--;
			continue;
		}
		size_t k = utf8_decode(s, &cp);
		if (cp == 0xFFFD && !(k == 3 && memcmp(s.p, "\xEF\xBF\xBD", 3) == 0))
			return false;
		s = str_sub(s, k, s.n);
	}
	return true;
}

size_t utf8_complete_prefix(struct str s)
{
	/* A code point is at most 4 bytes: look for a lead byte among the last 3. */
	for (size_t back = 1; back <= 3 && back <= s.n; back++) {
		unsigned char c = (unsigned char)s.p[s.n - back];
		if (c < 0x80)
			return s.n;
		if (c >= 0xC0) {
			size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
			return need > back ? s.n - back : s.n;
		}
	}
	return s.n;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->err)
		return NULL;
	if (n > SIZE_MAX / 4 - b->n || (b->max && b->n + n > b->max)) {
		b->err = ERR_TOO_LARGE;
		return NULL;
	}
	if (b->n + n + 1 > b->cap) {
		size_t cap = MAX(b->cap * 2, 64);
		cap = MAX(cap, b->n + n + 1);
		char *p = realloc(b->p, cap);
		if (!p) {
			b->err = ERR_NOMEM;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_reserve(b, n);
	if (!to)
		return;
	if (n)
		memcpy(to, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void buf_adds(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_addc(struct buf *b, const char *c)
{
	buf_add(b, c, strlen(c));
}

void buf_putc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	char small[256];
	int n = vsnprintf(small, sizeof small, fmt, ap);
	if (n >= 0 && (size_t)n < sizeof small) {
		buf_add(b, small, (size_t)n);
	} else if (n >= 0 && buf_reserve(b, (size_t)n)) {
		vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_add_utf8(struct buf *b, uint32_t cp)
{
	char t[4];
	buf_add(b, t, utf8_encode(cp, t));
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->err = OK;
	if (b->p)
		b->p[0] = 0;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){.max = b->max};
}

char *buf_take(struct buf *b)
{
	if (!b->p)
		buf_add(b, "", 0);
	char *p = b->err ? NULL : b->p;
	if (p)
		*b = (struct buf){.max = b->max};
	return p;
}

char *str_dup(struct str s)
{
	char *p = malloc(s.n + 1);
	if (p) {
		if (s.n)
			memcpy(p, s.p, s.n);
		p[s.n] = 0;
	}
	return p;
}
