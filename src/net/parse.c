/* HTTP/1.1 as bytes (RFC 9112), strictly: one clear reading of a request or none. What two
 * implementations could read differently (bare LF, folded lines, NUL, a length and a transfer
 * coding at once, two Hosts) is refused, so that nobody can smuggle a request past a proxy. */
#include "net/http_int.h"

static bool is_token_char(char c)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr(others, c));
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

/* "METHOD target HTTP/1.x" */
static enum head_state scan_first_line(struct str line, const char **why)
{
	size_t sp = str_chr(line, ' ');
	struct str rest = str_sub(line, sp == STR_NONE ? line.n : sp + 1, line.n);
	size_t sp2 = str_chr(rest, ' ');
	*why = "the first line is not a request line";
	if (sp == STR_NONE || !is_token(str_sub(line, 0, sp)) || !rest.n || sp2 == 0)
		return HEAD_BAD;
	if (sp2 == STR_NONE) {
		*why = "HTTP/0.9 is not served";
		return HEAD_OLD;
	}
	struct str version = str_sub(rest, sp2 + 1, rest.n);
	if (version.n != 8 || !str_starts(version, S("HTTP/")) || version.p[6] != '.')
		return HEAD_BAD;
	return HEAD_MORE;
}

static enum head_state scan_line(struct head_scan *s, struct str line, const char **why)
{
	if (!s->have_first) {
		s->have_first = true;
		s->first_line = line.n;
		return scan_first_line(line, why);
	}
	if (line.p[0] == ' ' || line.p[0] == '\t') {
		*why = "a header is folded over lines";
		return HEAD_BAD;
	}
	if (++s->headers > HTTP_HEADERS_MAX) {
		*why = "there are too many headers";
		return HEAD_TOO_MANY;
	}
	return HEAD_MORE;
}

enum head_state http_scan_head(struct head_scan *s, struct str in, size_t *end, const char **why)
{
	for (; s->at < in.n; s->at++) {
		unsigned char c = (unsigned char)in.p[s->at];
		if (c == '\r') {
			if (s->at + 1 == in.n)
				return HEAD_MORE; /* looked at again with its LF */
			if (in.p[s->at + 1] != '\n') {
				*why = "a CR stands without its LF";
				return HEAD_BAD;
			}
			struct str line = str_sub(in, s->line, s->at);
			s->at++;
			s->line = s->at + 1;
			if (line.n) {
				enum head_state st = scan_line(s, line, why);
				if (st != HEAD_MORE)
					return st;
			} else if (s->have_first) {
				*end = s->at + 1;
				return HEAD_DONE;
			} else if (s->line >
				   4) { /* a stray line end before the request is forgiven */
				*why = "the request begins with empty lines";
				return HEAD_BAD;
			}
		} else if (c == '\n') {
			*why = "a line ends in a bare LF";
			return HEAD_BAD;
		} else if ((c < ' ' && c != '\t') || c == 0x7f) {
			*why = "the head has a control character";
			return HEAD_BAD;
		}
	}
	return HEAD_MORE;
}

bool http_has_token(struct str value, struct str token)
{
	struct str part;
	while (str_next(&value, ',', &part))
		if (str_eq_nocase(str_trim(part), token))
			return true;
	return false;
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

static int refuse(int status, const char *sentence, const char **why)
{
	*why = sentence;
	return status;
}

/* What a header means for the framing and the connection; 0 or a status. */
static int heed(struct http_head *h, struct str name, struct str value, bool *keep, bool *close_,
	const char **why)
{
	if (str_eq_nocase(name, S("host"))) {
		if (h->host.p)
			return refuse(400, "there is more than one Host", why);
		h->host = value;
	} else if (str_eq_nocase(name, S("content-length"))) {
		if (h->has_length)
			return refuse(400, "there is more than one Content-Length", why);
		if (!all_digits(value))
			return refuse(400, "Content-Length is not a number", why);
		if (value.n > 18 || !str_u64(value, &h->length))
			return refuse(413, "Content-Length is out of range", why);
		h->has_length = true;
	} else if (str_eq_nocase(name, S("transfer-encoding"))) {
		if (h->chunked || !str_eq_nocase(value, S("chunked")))
			return refuse(400, "Transfer-Encoding is not \"chunked\"", why);
		h->chunked = true;
	} else if (str_eq_nocase(name, S("connection"))) {
		*keep |= http_has_token(value, S("keep-alive"));
		*close_ |= http_has_token(value, S("close"));
	} else if (str_eq_nocase(name, S("expect"))) {
		if (!str_eq_nocase(value, S("100-continue")))
			return refuse(417, "Expect is not \"100-continue\"", why);
		h->expect_continue = true;
	}
	return 0;
}

static int check_framing(const struct http_head *h, const char **why)
{
	if (h->chunked && h->has_length)
		return refuse(400, "Content-Length and Transfer-Encoding stand together", why);
	if (h->chunked && h->http10)
		return refuse(400, "HTTP/1.0 knows no Transfer-Encoding", why);
	if (!h->host.p && !h->http10)
		return refuse(400, "there is no Host", why);
	return 0;
}

int http_parse_head(struct str head, struct arena *a, struct http_head *out, const char **why)
{
	struct http_head h = {0};
	struct str line = {0};
	bool keep = false, close_ = false;
	h.headers = arena_array_of(a, HTTP_HEADERS_MAX, struct http_pair);
	if (!h.headers)
		return refuse(503, "out of memory", why);
	while (!line.n && str_next_line(&head, &line))
		;
	size_t sp = str_chr(line, ' ');
	if (sp == STR_NONE)
		return refuse(400, "the first line is not a request line", why);
	h.method = str_sub(line, 0, sp);
	struct str rest = str_sub(line, sp + 1, line.n);
	sp = str_chr(rest, ' ');
	struct str version = str_sub(rest, sp == STR_NONE ? rest.n : sp + 1, rest.n);
	h.target = str_sub(rest, 0, sp);
	if (!is_token(h.method) || !h.target.n)
		return refuse(400, "the first line is not a request line", why);
	if (version.n != 8 || !str_starts(version, S("HTTP/1.")) || version.p[7] < '0' ||
		version.p[7] > '9')
		return refuse(505, "only HTTP/1.1 and HTTP/1.0 are served", why);
	h.http10 = version.p[7] == '0';
	while (str_next_line(&head, &line) && line.n) {
		size_t colon = str_chr(line, ':');
		struct str name = str_sub(line, 0, colon);
		if (colon == STR_NONE || !is_token(name))
			return refuse(400, "a header's name is malformed", why);
		struct str value = str_trim(str_sub(line, colon + 1, line.n));
		if (h.n_headers == HTTP_HEADERS_MAX)
			return refuse(431, "there are too many headers", why);
		h.headers[h.n_headers++] = (struct http_pair){name, value};
		int status = heed(&h, name, value, &keep, &close_, why);
		if (status)
			return status;
	}
	int status = check_framing(&h, why);
	if (status)
		return status;
	h.keep_alive = !close_ && (!h.http10 || keep);
	*out = h;
	return 0;
}

/* ---- chunked ---- */

enum {
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	TRAILER_LINE,
	TRAILER_LF,
	LAST_LF
};
enum { CHUNK_DIGITS_MAX = 15, CHUNK_EXTRA_MAX = 4096 };

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte outside of the data: the next state, or -1 when it must not stand here.
 *
 *	SIZE -hex-> SIZE -;-> EXTENSION;  SIZE, EXTENSION -CR-> SIZE_LF -LF-> DATA or (size 0)
 *TRAILER DATA_CR -CR-> DATA_LF -LF-> SIZE TRAILER -CR-> LAST_LF -LF-> the end;  TRAILER -any->
 *TRAILER_LINE -CR-> TRAILER_LF -LF-> TRAILER */
static int chunk_step(struct chunked *c, char b)
{
	switch (c->state) {
	case SIZE: {
		int digit = hex_value(b);
		if (digit >= 0 && c->digits < CHUNK_DIGITS_MAX) {
			c->left = c->left * 16 + (unsigned)digit;
			c->digits++;
			return SIZE;
		}
		if (!c->digits || digit >= 0)
			return -1;
		return b == '\r' ? SIZE_LF : b == ';' ? EXTENSION : -1;
	}
	case EXTENSION:
		if (b == '\r')
			return SIZE_LF;
		return b == '\n' || !b || ++c->extra > CHUNK_EXTRA_MAX ? -1 : EXTENSION;
	case SIZE_LF:
		return b != '\n' ? -1 : c->left ? DATA : TRAILER;
	case DATA_CR:
		return b == '\r' ? DATA_LF : -1;
	case DATA_LF:
		c->digits = 0;
		return b == '\n' ? SIZE : -1;
	case TRAILER:
		if (b == '\r')
			return LAST_LF;
		/* fall through */
	case TRAILER_LINE:
		if (b == '\r')
			return TRAILER_LF;
		return b == '\n' || !b || ++c->extra > CHUNK_EXTRA_MAX ? -1 : TRAILER_LINE;
	case TRAILER_LF:
		return b == '\n' ? TRAILER : -1;
	default:
		return -1;
	}
}

enum chunk_state http_dechunk(struct chunked *c, struct str *in, struct str *data)
{
	while (in->n) {
		if (c->state == DATA) {
			size_t n = (size_t)MIN((uint64_t)in->n, c->left);
			*data = str_sub(*in, 0, n);
			*in = str_sub(*in, n, in->n);
			c->left -= n;
			if (!c->left)
				c->state = DATA_CR;
			return CHUNK_DATA;
		}
		char b = in->p[0];
		*in = str_sub(*in, 1, in->n);
		if (c->state == LAST_LF)
			return b == '\n' ? CHUNK_END : CHUNK_BAD;
		int next = chunk_step(c, b);
		if (next < 0)
			return CHUNK_BAD;
		c->state = (unsigned)next;
	}
	return CHUNK_MORE;
}

/* ---- Host ---- */

bool http_host_name(struct str host, struct buf *name, struct str *port)
{
	size_t end = host.n;
	*port = str_mk("", 0);
	if (host.n && host.p[0] == '[') {
		size_t close_ = str_chr(host, ']');
		if (close_ == STR_NONE)
			return false;
		end = close_ + 1;
	} else {
		end = MIN(str_chr(host, ':'), host.n);
	}
	if (end < host.n) {
		*port = str_sub(host, end + 1, host.n);
		if (host.p[end] != ':' || (port->n && !all_digits(*port)) || port->n > 5)
			return false;
	}
	if (!end)
		return false;
	for (size_t i = 0; i < end; i++) {
		char c = host.p[i];
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
			    c == '-' || c == '_' || (host.p[0] == '[' && strchr("[]:%", c));
		if (!fits)
			return false;
		buf_putc(name, c);
	}
	return true;
}
