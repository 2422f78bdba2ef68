/* E-mail (RFC 5322 and MIME; also mbox, message after message): the headers that people read, then
 * the text. Of alternatives the plain text is taken unless it is empty, else the HTML. Attached
 * messages are read, other attachments are told as warnings. */
#include "text/doc_int.h"

#include <stdio.h>
#include <stdlib.h>

struct part {
	struct str type, charset, encoding, disposition, name,
		boundary; /* lower case where it matters */
	struct str body;
};

struct mail {
	struct out *o;
	struct arena *a;
	unsigned depth, parts;
	bool first;
};

/* --- headers
 * --------------------------------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void quoted_printable(struct str s, bool header, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (header && s.p[i] == '_') {
			buf_putc(out, ' ');
		} else if (s.p[i] != '=') {
			buf_putc(out, s.p[i]);
		} else if (i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			buf_putc(out, (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])));
			i += 2;
		} else if (i + 1 < s.n && s.p[i + 1] == '\n') {
			i++;
		} else if (i + 2 < s.n && s.p[i + 1] == '\r' && s.p[i + 2] == '\n') {
			i += 2;
		} else {
			buf_putc(out, '=');
		}
	}
}

static void base64(struct str s, struct buf *out)
{
	uint32_t v = 0;
	unsigned bits = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		int d = c >= 'A' && c <= 'Z'   ? c - 'A'
			: c >= 'a' && c <= 'z' ? c - 'a' + 26
			: c >= '0' && c <= '9' ? c - '0' + 52
			: c == '+' || c == '-' ? 62
			: c == '/' || c == '_' ? 63
					       : -1;
		if (c == '=')
			break;
		if (d < 0)
			continue;
		v = v << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_putc(out, (char)(v >> bits & 0xFF));
		}
	}
}

/* "=?utf-8?Q?caf=C3=A9?=" (RFC 2047); the space between two such words goes. */
static struct str decode_header(struct mail *m, struct str s)
{
	struct buf out = {0}, raw = {0};
	bool after_word = false;
	while (s.n) {
		size_t at = str_find(s, S("=?"));
		struct str plain = str_sub(s, 0, MIN(at, s.n));
		if (!(after_word && at != STR_NONE && !str_trim(plain).n))
			buf_adds(&out, plain);
		if (at == STR_NONE)
			break;
		struct str rest = str_sub(s, at + 2, s.n), charset, how, text;
		size_t end;
		if (!str_next(&rest, '?', &charset) || !str_next(&rest, '?', &how) || how.n != 1 ||
			charset.n > 60 || (end = str_find(rest, S("?="))) == STR_NONE) {
			buf_addc(&out, "=?");
			s = str_sub(s, at + 2, s.n);
			after_word = false;
			continue;
		}
		text = str_sub(rest, 0, end);
		s = str_sub(rest, end + 2, rest.n);
		buf_clear(&raw);
		if ((how.p[0] | 32) == 'b')
			base64(text, &raw);
		else
			quoted_printable(text, true, &raw);
		char name[64];
		size_t star = str_chr(charset, '*'); /* a language may follow */
		snprintf(name, sizeof name, "%.*s", (int)MIN(star, charset.n), charset.p);
		size_t keep = out.n;
		if (utf8_valid(buf_str(&raw)) || !charset_to_utf8(name, buf_str(&raw), &out)) {
			out.n = keep;
			unicode_repair(buf_str(&raw), &out, NULL);
		}
		after_word = true;
	}
	struct buf valid = {0};
	unicode_repair(buf_str(&out), &valid, NULL);
	struct str kept = arena_str(m->a, str_trim(buf_str(&valid)));
	buf_free(&valid);
	buf_free(&out);
	buf_free(&raw);
	return kept.p ? kept : (struct str){"", 0};
}

/* The next header, unfolded; false at the empty line (or the end). */
static bool next_header(struct mail *m, struct str *rest, struct str *key, struct str *value)
{
	struct str line;
	for (;;) {
		if (!str_next_line(rest, &line) || !line.n)
			return false;
		size_t colon = str_chr(line, ':');
		if (colon == STR_NONE)
			continue; /* noise between headers */
		*key = str_trim(str_sub(line, 0, colon));
		struct buf b = {0};
		buf_adds(&b, str_trim(str_sub(line, colon + 1, line.n)));
		while (rest->n && (rest->p[0] == ' ' || rest->p[0] == '\t') &&
			str_next_line(rest, &line)) {
			buf_putc(&b, ' ');
			if (b.n < 65536)
				buf_adds(&b, str_trim(line));
		}
		*value = arena_str(m->a, buf_str(&b));
		buf_free(&b);
		if (!value->p)
			*value = (struct str){"", 0};
		return true;
	}
}

/* name="value" of a structured header. */
static struct str parameter(struct str value, const char *name)
{
	struct str want = str_c(name), rest = value;
	for (size_t at; (at = str_find_nocase(rest, want)) != STR_NONE;
		rest = str_sub(rest, at + 1, rest.n)) {
		char before = at ? rest.p[at - 1] : (rest.p == value.p ? ' ' : rest.p[-1]);
		struct str s = str_sub(rest, at + want.n, rest.n);
		bool extended = s.n && s.p[0] == '*';
		if (extended) { /* name*=utf-8''caf%C3%A9, or name*0= */
			size_t eq = str_chr(s, '=');
			if (eq == STR_NONE || eq > 4)
				continue;
			s = str_sub(s, eq, s.n);
		}
		if (before != ' ' && before != ';' && before != '\t')
			continue;
		if (!s.n || s.p[0] != '=')
			continue;
		s = str_sub(s, 1, s.n);
		struct str v;
		if (s.n && s.p[0] == '"') {
			s = str_sub(s, 1, s.n);
			v = str_sub(s, 0, MIN(str_chr(s, '"'), s.n));
		} else {
			v = str_trim(str_sub(s, 0, MIN(str_chr(s, ';'), s.n)));
		}
		size_t quotes = extended ? str_find(v, S("''")) : STR_NONE;
		if (quotes != STR_NONE)
			v = str_sub(v, quotes + 2, v.n);
		return v; /* of the header's value, which the arena holds */
	}
	return (struct str){"", 0};
}

static void part_header(struct mail *m, struct part *p, struct str key, struct str value)
{
	struct str word = str_trim(str_sub(value, 0, MIN(str_chr(value, ';'), value.n)));
	if (str_eq_nocase(key, S("content-type"))) {
		p->type = word;
		p->charset = parameter(value, "charset");
		p->boundary = parameter(value, "boundary");
		if (!p->name.n)
			p->name = decode_header(m, parameter(value, "name"));
	} else if (str_eq_nocase(key, S("content-transfer-encoding"))) {
		p->encoding = word;
	} else if (str_eq_nocase(key, S("content-disposition"))) {
		p->disposition = word;
		struct str name = parameter(value, "filename");
		if (name.n)
			p->name = decode_header(m, name);
	}
}

/* --- bodies
 * ---------------------------------------------------------------------------------------- */

static bool type_is(const struct part *p, const char *prefix)
{
	return str_find_nocase(p->type, str_c(prefix)) == 0;
}

static void message(struct mail *m, struct str bytes);

/* The body's bytes, transfer encoding undone. */
static void decode_body(const struct part *p, struct buf *out)
{
	if (str_eq_nocase(p->encoding, S("base64")))
		base64(p->body, out);
	else if (str_eq_nocase(p->encoding, S("quoted-printable")))
		quoted_printable(p->body, false, out);
	else
		buf_adds(out, p->body);
}

static void text_body(struct mail *m, const struct part *p, bool html)
{
	struct buf raw = {0}, utf8 = {0};
	char charset[64];
	snprintf(charset, sizeof charset, "%.*s", (int)MIN(p->charset.n, (size_t)63),
		p->charset.p ? p->charset.p : "");
	decode_body(p, &raw);
	if (!text_decode(m->o, buf_str(&raw), charset[0] ? charset : NULL, &utf8)) {
		if (html)
			html_into(m->o, buf_str(&utf8), false);
		else
			parse_text(m->o, buf_str(&utf8));
	}
	buf_free(&raw);
	buf_free(&utf8);
}

static bool has_text(const struct part *p)
{
	return str_trim(p->body).n > 0;
}

static void part(struct mail *m, const struct part *p);

static bool read_part(struct mail *m, struct str bytes, struct part *p)
{
	struct str key, value;
	*p = (struct part){.type = S("text/plain")};
	if (++m->parts > m->o->lim.entries_max) {
		out_fail(m->o, ERR_LIMIT, "an e-mail of more than %u parts", m->o->lim.entries_max);
		return false;
	}
	while (next_header(m, &bytes, &key, &value))
		part_header(m, p, key, value);
	p->body = bytes;
	return true;
}

/* Calls part for each piece between boundaries; of an alternative only for the best. */
static void multipart(struct mail *m, const struct part *p)
{
	struct part best = {0}, one;
	bool alternative = type_is(p, "multipart/alternative"), inside = false;
	struct str rest = p->body, line;
	const char *start = NULL, *end = p->body.n ? p->body.p + p->body.n : NULL;
	if (!end)
		return;
	if (m->depth > 32) {
		out_fail(m->o, ERR_LIMIT, "an e-mail with parts nested deeper than 32 levels");
		return;
	}
	m->depth++;
	while (!m->o->err) {
		const char *at = rest.p;
		bool more = str_next_line(&rest, &line);
		bool mark = more && line.n >= p->boundary.n + 2 && line.p[0] == '-' &&
			    line.p[1] == '-' && !memcmp(line.p + 2, p->boundary.p, p->boundary.n);
		if (more && !mark)
			continue;
		if (inside &&
			read_part(m, str_mk(start, (size_t)((more ? at : end) - start)), &one)) {
			if (!alternative)
				part(m, &one);
			else if (type_is(&one, "text/plain")
					 ? has_text(&one)
					 : !best.type.n || !type_is(&best, "text/plain"))
				best = one;
		}
		if (!more || str_starts(str_sub(line, 2 + p->boundary.n, line.n), S("--")))
			break;
		inside = true;
		start = rest.p ? rest.p : end; /* a view that is used up points nowhere */
	}
	if (alternative && best.type.n && !m->o->err)
		part(m, &best);
	m->depth--;
}

static void part(struct mail *m, const struct part *p)
{
	bool attached = str_eq_nocase(p->disposition, S("attachment"));
	if (out_stop(m->o))
		return;
	if (type_is(p, "multipart/") && p->boundary.n) {
		multipart(m, p);
	} else if (type_is(p, "message/rfc822") && m->depth < 16) {
		struct buf raw = {0};
		decode_body(p, &raw);
		m->depth++;
		message(m, buf_str(&raw));
		m->depth--;
		buf_free(&raw);
	} else if (!attached && type_is(p, "text/html")) {
		text_body(m, p, true);
	} else if (!attached &&
		   (type_is(p, "text/plain") || !p->type.n || str_chr(p->type, '/') == STR_NONE)) {
		text_body(m, p, false);
	} else if (type_is(p, "application/pkcs7-mime") ||
		   type_is(p, "application/pgp-encrypted")) {
		out_fail(m->o, ERR_FORBIDDEN, "the e-mail is encrypted; save it decrypted");
	} else {
		struct str name = p->name.n ? p->name : S("unnamed");
		out_warn(m->o, "attachment left out: %.*s (%.*s)", STR_FMT(name), STR_FMT(p->type));
	}
}

static void message(struct mail *m, struct str bytes)
{
	static const char *const shown[] = {"From", "To", "Cc", "Date"};
	struct part p = {.type = S("text/plain")};
	struct str key, value, subject = {"", 0}, values[ARRAY_LEN(shown)] = {{0}};
	if (str_starts(bytes, S("From ")))
		str_next_line(&bytes, &key);
	while (next_header(m, &bytes, &key, &value)) {
		part_header(m, &p, key, value);
		if (str_eq_nocase(key, S("subject")))
			subject = decode_header(m, value);
		for (size_t i = 0; i < ARRAY_LEN(shown); i++)
			if (str_eq_nocase(key, str_c(shown[i])))
				values[i] = decode_header(m, value);
	}
	p.body = bytes;
	if (m->first) {
		out_title(m->o, subject);
		if (values[0].n)
			out_author(m->o, values[0]);
		if (values[3].n)
			out_created(m->o, values[3]);
		m->first = false;
	}
	if (subject.n)
		out_block(m->o, BLOCK_HEADING, m->depth ? 2 : 1, subject);
	out_begin(m->o, BLOCK_PARAGRAPH, 0);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		if (!values[i].n)
			continue;
		if (m->o->cur.n)
			out_text(m->o, S("; "));
		out_text(m->o, str_c(shown[i]));
		out_text(m->o, S(": "));
		out_text(m->o, values[i]);
	}
	out_end(m->o);
	part(m, &p);
}

void parse_email(struct out *o, struct str bytes)
{
	struct mail m = {.o = o, .a = arena_new(64 << 20), .first = true};
	if (!m.a) {
		out_fail(o, ERR_NOMEM, "out of memory");
		return;
	}
	if (str_starts(bytes, S("\xEF\xBB\xBF")))
		bytes = str_sub(bytes, 3, bytes.n);
	if (!str_starts(bytes, S("From "))) {
		message(&m, bytes);
	} else { /* mbox: a message starts at each "From " after an empty line */
		while (bytes.n && !out_stop(o)) {
			size_t next = str_find(str_sub(bytes, 1, bytes.n), S("\n\nFrom "));
			struct str one = next == STR_NONE ? bytes : str_sub(bytes, 0, next + 2);
			message(&m, one);
			bytes = next == STR_NONE ? (struct str){"", 0}
						 : str_sub(bytes, next + 3, bytes.n);
		}
	}
	arena_free(m.a);
}
