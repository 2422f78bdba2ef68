/* Percent-encoding and request targets. */
#include "net/http_int.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte of "%xy" at s.p[i], or -1. */
static int escaped(struct str s, size_t i)
{
	if (s.n - i < 3)
		return -1;
	int hi = hex_digit(s.p[i + 1]), lo = hex_digit(s.p[i + 2]);
	return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

void url_decode(struct buf *out, struct str s, bool plus_is_space)
{
	for (size_t i = 0; i < s.n; i++) {
		int byte = s.p[i] == '%' ? escaped(s, i) : -1;
		if (byte >= 0) {
			buf_putc(out, (char)byte);
			i += 2;
		} else {
			buf_putc(out, plus_is_space && s.p[i] == '+' ? ' ' : s.p[i]);
		}
	}
}

void url_encode(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
		if (plain)
			buf_putc(out, c);
		else
			buf_addf(out, "%%%02X", (unsigned char)c);
	}
}

/* Decodes strictly into the arena. */
static enum err decode(struct arena *a, struct str s, bool plus_is_space, const char *what,
	struct str *out, struct errtext *et)
{
	char *p = arena_alloc(a, s.n + 1);
	if (!p)
		return err_set(et, ERR_NOMEM, "no memory for the request");
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];
		if (c == '%') {
			c = escaped(s, i);
			if (c < 0)
				return err_set(et, ERR_INVALID,
					"the %s has a '%%' that is not followed by two hex digits",
					what);
			i += 2;
		} else if (c <= ' ' || c >= 0x7f) {
			return err_set(
				et, ERR_INVALID, "the %s has a byte that must be encoded", what);
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == 0)
			return err_set(et, ERR_INVALID, "the %s has a NUL", what);
		p[n++] = (char)c;
	}
	p[n] = 0;
	*out = str_mk(p, n);
	if (!utf8_valid(*out))
		return err_set(et, ERR_INVALID, "the %s is not UTF-8", what);
	return OK;
}

/* Backslashes count as separators too: what comes from the path may meet other systems' rules. */
static bool has_dot_segment(struct str path)
{
	size_t from = 0;
	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/' && path.p[i] != '\\')
			continue;
		struct str part = str_sub(path, from, i);
		if (str_eq(part, S(".")) || str_eq(part, S("..")))
			return true;
		from = i + 1;
	}
	return false;
}

static enum err parse_query(struct http_request *rq, struct str query, struct errtext *et)
{
	size_t n = 1;
	for (size_t i = 0; i < query.n; i++)
		n += query.p[i] == '&';
	if (n > HTTP_QUERY_MAX) /* MLflow's clients repeat a parameter for each item of a list */
		return err_set(
			et, ERR_INVALID, "the query has more than %d parameters", HTTP_QUERY_MAX);
	rq->query = arena_array_of(rq->arena, n, struct http_pair);
	if (!rq->query)
		return err_set(et, ERR_NOMEM, "no memory for the request");
	struct str part;
	while (str_next(&query, '&', &part)) {
		if (!part.n)
			continue;
		size_t eq = str_chr(part, '=');
		struct http_pair *pair = &rq->query[rq->n_query];
		enum err e =
			decode(rq->arena, str_sub(part, 0, eq), true, "query", &pair->name, et);
		pair->value = str_mk("", 0);
		if (!e && eq != STR_NONE)
			e = decode(rq->arena, str_sub(part, eq + 1, part.n), true, "query",
				&pair->value, et);
		if (e)
			return e;
		rq->n_query++;
	}
	return OK;
}

enum err http_parse_target(
	struct http_request *rq, struct str target, struct str *authority, struct errtext *et)
{
	*authority = (struct str){0};
	rq->query = NULL;
	rq->n_query = 0;
	size_t scheme = str_starts(target, S("http://"))    ? 7
			: str_starts(target, S("https://")) ? 8
							    : 0;
	if (scheme) {
		struct str rest = str_sub(target, scheme, target.n);
		size_t end = 0;
		while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
			end++;
		*authority = str_sub(rest, 0, end);
		target = end < rest.n && rest.p[end] == '/' ? str_sub(rest, end, rest.n) : S("/");
	}
	if (!target.n || target.p[0] != '/')
		return err_set(et, ERR_INVALID, "the request's path does not begin with '/'");
	if (str_chr(target, '#') != STR_NONE)
		return err_set(et, ERR_INVALID, "the request's path has a '#'");
	size_t mark = str_chr(target, '?');
	enum err e = decode(rq->arena, str_sub(target, 0, mark), false, "path", &rq->path, et);
	if (e)
		return e;
	if (has_dot_segment(rq->path))
		return err_set(et, ERR_INVALID, "the path has a \".\" or \"..\" segment");
	for (size_t i = 0; i < rq->path.n; i++)
		if ((unsigned char)rq->path.p[i] < ' ' || rq->path.p[i] == 0x7f)
			return err_set(et, ERR_INVALID, "the path has a control character");
	return mark == STR_NONE ? OK : parse_query(rq, str_sub(target, mark + 1, target.n), et);
}
