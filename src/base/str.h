/* Strings: a borrowed view (struct str) and a growing buffer (struct buf).
 *
 * A view does not own its bytes, may contain NUL and is not NUL-terminated. A buffer owns its
 * bytes, is always NUL-terminated, and remembers a failed allocation (or passing `max`) in `err`
 * instead of returning it from each call: append freely, look at buf.err once at the end.
 *
 *	struct buf b = {0};
 *	buf_addf(&b, "%s: %d", name, n);
 *	if (b.err) ...
 *	buf_free(&b);
 */
#ifndef BASE_STR_H
#define BASE_STR_H
#include <stdint.h>
#include <string.h>
#include "base/err.h"

struct str {
	const char *p;
	size_t n;
};

#define S(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_FMT(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct str str_c(const char *c)
{
	return (struct str){c, c ? strlen(c) : 0};
}

static inline struct str str_mk(const void *p, size_t n)
{
	return (struct str){(const char *)p, n};
}

bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII case */
int str_cmp(struct str a, struct str b);        /* bytes, then length */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_ends_nocase(struct str s, struct str suffix);
#define STR_NONE SIZE_MAX
size_t str_find(struct str s, struct str needle); /* offset of the first, or STR_NONE */
size_t str_find_nocase(struct str s, struct str needle);
size_t str_chr(struct str s, char c);
size_t str_rchr(struct str s, char c);
struct str str_sub(struct str s, size_t from, size_t to); /* clamped to s */
struct str str_trim(struct str s);                        /* ASCII white space on both ends */
/* Cuts off and returns the part before the next `sep` (or all); false at the end. */
bool str_next(struct str *rest, char sep, struct str *part);
bool str_next_line(struct str *rest, struct str *line); /* LF or CRLF, removed */

/* Whole-string numbers: false on anything but a complete, in-range number. */
bool str_i64(struct str s, int64_t *out);
bool str_u64(struct str s, uint64_t *out);
bool str_f64(struct str s, double *out); /* finite only; '.' whatever the locale */
/* "64", "64k", "10 MB", "1GiB": k/M/G/T are powers of 1,024 with or without B/iB. */
bool str_bytes(struct str s, uint64_t *out);
/* "250ms", "10s", "5m", "2h", "7d" to milliseconds. */
bool str_duration_ms(struct str s, uint64_t *out);

/* UTF-8. Decodes one code point at s (s.n > 0) into *cp and returns its length; on a malformed
 * sequence *cp = 0xFFFD and the length of the maximal bad prefix (>= 1) is returned. */
size_t utf8_decode(struct str s, uint32_t *cp);
size_t utf8_encode(uint32_t cp, char out[4]); /* 1..4; an invalid cp is written as U+FFFD */
bool utf8_valid(struct str s);
/* The longest prefix of s that does not end inside a code point (for streaming). */
size_t utf8_complete_prefix(struct str s);

struct buf {
	char *p; /* NULL until the first append; use buf_c for a C string */
	size_t n, cap;
	size_t max; /* 0: no limit; reaching it sets ERR_TOO_LARGE */
	enum err err;
};

void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, struct str s);
void buf_addc(struct buf *b, const char *c);
void buf_putc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
void buf_add_utf8(struct buf *b, uint32_t cp);
/* Makes room for n more bytes and returns where they go, or NULL (err is set). */
char *buf_reserve(struct buf *b, size_t n);
void buf_clear(struct buf *b); /* keeps the memory, forgets content and error */
void buf_free(struct buf *b);  /* back to {0}, but keeps max */
/* The content as an owned, NUL-terminated C string (never NULL unless err); the buffer is empty
 * afterwards. free() it. */
char *buf_take(struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->p ? b->p : "", b->n};
}

static inline const char *buf_c(const struct buf *b)
{
	return b->p ? b->p : "";
}

char *str_dup(struct str s); /* malloc'ed C string, NULL when out of memory */

#endif
