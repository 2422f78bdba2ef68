/* multipart/form-data (RFC 7578): parts are views into the body, names are in the arena. */
#include "net/http_int.h"

enum { PARTS_MAX = 10000, PART_HEADER_MAX = 16384, BOUNDARY_MAX = 70 };

/* Takes `name=value` or `name="quoted"` off *rest, after a ';'. */
static bool next_parameter(struct arena *a, struct str *rest, struct str *name, struct str *value)
{
	*rest = str_trim(*rest);
	if (!rest->n || rest->p[0] != ';')
		return false;
	*rest = str_trim(str_sub(*rest, 1, rest->n));
	size_t eq = str_chr(*rest, '=');
	if (eq == STR_NONE)
		return false;
	*name = str_trim(str_sub(*rest, 0, eq));
	*rest = str_trim(str_sub(*rest, eq + 1, rest->n));
	if (!rest->n || rest->p[0] != '"') {
		size_t end = str_chr(*rest, ';');
		*value = str_trim(str_sub(*rest, 0, end));
		*rest = end == STR_NONE ? str_mk("", 0) : str_sub(*rest, end, rest->n);
		return true;
	}
	char *p = arena_alloc(a, rest->n);
	if (!p)
		return false;
	size_t n = 0, i = 1;
	for (; i < rest->n && rest->p[i] != '"'; i++) {
		/* only \" and \\ are escapes: old browsers send C:\path */
		if (rest->p[i] == '\\' && i + 1 < rest->n &&
			(rest->p[i + 1] == '"' || rest->p[i + 1] == '\\'))
			i++;
		p[n++] = rest->p[i];
	}
	if (i >= rest->n)
		return false; /* the quote is never closed */
	*value = str_mk(p, n);
	*rest = str_sub(*rest, i + 1, rest->n);
	return true;
}

/* WHATWG: browsers write a quote, CR and LF in a name as %22, %0D, %0A and nothing else so. */
static struct str unescape_browser(struct arena *a, struct str s)
{
	struct str out = arena_str(a, s);
	if (!out.p)
		return (struct str){"", 0};
	char *p = (char *)out.p;
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (str_eq(str_sub(s, i, i + 3), S("%22"))) {
			p[n++] = '"';
			i += 2;
		} else if (str_eq(str_sub(s, i, i + 3), S("%0D")) ||
			   str_eq(str_sub(s, i, i + 3), S("%0A"))) {
			p[n++] = ' ';
			i += 2;
		} else {
			p[n++] = s.p[i];
		}
	}
	return str_mk(p, n);
}

static struct str last_component(struct str path)
{
	size_t from = 0;
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] == '/' || path.p[i] == '\\')
			from = i + 1;
	struct str name = str_sub(path, from, path.n);
	return str_eq(name, S(".")) || str_eq(name, S("..")) ? str_mk("", 0) : name;
}

/* RFC 8187: UTF-8''percent-encoded */
static struct str extended_value(struct arena *a, struct str v)
{
	if (v.n < 7 || !str_eq_nocase(str_sub(v, 0, 6), S("utf-8'")))
		return (struct str){0};
	size_t quote = str_chr(str_sub(v, 6, v.n), '\'');
	if (quote == STR_NONE)
		return (struct str){0};
	struct buf b = {0};
	url_decode(&b, str_sub(v, 6 + quote + 1, v.n), false);
	struct str out = arena_str(a, buf_str(&b));
	buf_free(&b);
	return out;
}

static enum err disposition(
	struct arena *a, struct str value, struct http_part *part, struct errtext *et)
{
	size_t semi = str_chr(value, ';');
	if (!str_eq_nocase(str_trim(str_sub(value, 0, semi)), S("form-data")))
		return err_set(et, ERR_INVALID, "a part of the form is not form-data");
	struct str rest = semi == STR_NONE ? str_mk("", 0) : str_sub(value, semi, value.n);
	struct str name, v, file = {0}, extended = {0};
	while (next_parameter(a, &rest, &name, &v)) {
		if (str_eq_nocase(name, S("name")))
			part->name = unescape_browser(a, v);
		else if (str_eq_nocase(name, S("filename")))
			file = unescape_browser(a, v);
		else if (str_eq_nocase(name, S("filename*")))
			extended = extended_value(a, v);
	}
	if (rest.n)
		return err_set(
			et, ERR_INVALID, "a part of the form has a malformed Content-Disposition");
	part->filename = last_component(extended.p ? extended : file);
	for (size_t i = 0; i < part->filename.n; i++)
		if ((unsigned char)part->filename.p[i] < ' ' || part->filename.p[i] == 0x7f)
			return err_set(et, ERR_INVALID, "a file name has a control character");
	if (!utf8_valid(part->filename) || !utf8_valid(part->name))
		return err_set(et, ERR_INVALID, "a name in the form is not UTF-8");
	return OK;
}

static enum err part_headers(
	struct arena *a, struct str head, struct http_part *part, struct errtext *et)
{
	bool found = false;
	struct str line;
	part->name = part->filename = part->type = str_mk("", 0);
	while (str_next_line(&head, &line)) {
		size_t colon = str_chr(line, ':');
		if (colon == STR_NONE)
			return err_set(et, ERR_INVALID, "a part of the form has a bad header");
		struct str name = str_trim(str_sub(line, 0, colon));
		struct str value = str_trim(str_sub(line, colon + 1, line.n));
		if (str_eq_nocase(name, S("content-type"))) {
			part->type = value;
		} else if (str_eq_nocase(name, S("content-disposition"))) {
			enum err e = disposition(a, value, part, et);
			if (e)
				return e;
			found = true;
		} else if (str_eq_nocase(name, S("content-transfer-encoding")) &&
			   !str_eq_nocase(value, S("binary")) && !str_eq_nocase(value, S("8bit")) &&
			   !str_eq_nocase(value, S("7bit"))) {
			return err_set(et, ERR_UNSUPPORTED,
				"a part of the form has a Content-Transfer-Encoding");
		}
	}
	if (!found)
		return err_set(et, ERR_INVALID, "a part of the form has no Content-Disposition");
	return OK;
}

/* "\r\n--" + boundary, made once; a body begins as if a line had just ended. */
static enum err find_boundary(struct arena *a, struct str type, struct str *out, struct errtext *et)
{
	size_t semi = str_chr(type, ';');
	struct str rest = semi == STR_NONE ? str_mk("", 0) : str_sub(type, semi, type.n);
	struct str name, value;
	while (next_parameter(a, &rest, &name, &value))
		if (str_eq_nocase(name, S("boundary"))) {
			if (!value.n || value.n > BOUNDARY_MAX)
				break;
			*out = arena_fmt(a, "\r\n--%.*s", STR_FMT(value));
			return out->p ? OK : err_set(et, ERR_NOMEM, "no memory for the form");
		}
	return err_set(et, ERR_INVALID, "the form's Content-Type has no usable boundary");
}

static size_t find_from(struct str s, size_t from, struct str needle)
{
	size_t at = str_find(str_sub(s, from, s.n), needle);
	return at == STR_NONE ? STR_NONE : from + at;
}

static enum err count_parts(struct str body, struct str mark, size_t *n, struct errtext *et)
{
	*n = 1;
	for (size_t at = 0; (at = find_from(body, at, mark)) != STR_NONE; at += mark.n)
		if (++*n > PARTS_MAX)
			return err_set(et, ERR_LIMIT, "the form has more than %d parts", PARTS_MAX);
	return OK;
}

static enum err whole_body(const struct http_request *rq, struct str type, struct http_part **parts,
	size_t *n, struct errtext *et)
{
	struct http_part *p = arena_new_of(rq->arena, struct http_part);
	if (!p)
		return err_set(et, ERR_NOMEM, "no memory for the request");
	*p = (struct http_part){.name = str_mk("", 0),
		.filename = str_mk("", 0),
		.type = type.p ? type : str_mk("", 0),
		.data = rq->body};
	*parts = p;
	*n = 1;
	return OK;
}

enum err http_multipart(
	const struct http_request *rq, struct http_part **parts, size_t *n, struct errtext *et)
{
	struct str type = http_header(rq, "content-type"), mark, body = rq->body;
	if (!str_eq_nocase(
		    str_trim(str_sub(type, 0, str_chr(type, ';'))), S("multipart/form-data")))
		return whole_body(rq, type, parts, n, et);
	enum err e = find_boundary(rq->arena, type, &mark, et);
	size_t max = 0, found = 0;
	if (!e)
		e = count_parts(body, mark, &max, et);
	if (e)
		return e;
	struct http_part *all = arena_array_of(rq->arena, max, struct http_part);
	if (!all)
		return err_set(et, ERR_NOMEM, "no memory for the form");
	/* the first boundary may stand at the very start, without the line end before it */
	struct str open = str_sub(mark, 2, mark.n);
	size_t at = str_starts(body, open) ? open.n : STR_NONE;
	if (at == STR_NONE) {
		at = find_from(body, 0, mark);
		if (at == STR_NONE)
			return err_set(
				et, ERR_INVALID, "the form does not contain its own boundary");
		at += mark.n;
	}
	for (;;) {
		struct str rest = str_sub(body, at, body.n);
		if (str_starts(rest, S("--")))
			break; /* the closing boundary */
		while (at < body.n && (body.p[at] == ' ' || body.p[at] == '\t'))
			at++;
		if (!str_starts(str_sub(body, at, body.n), S("\r\n")))
			return err_set(et, ERR_INVALID, "a boundary of the form is malformed");
		at += 2;
		rest = str_sub(body, at, MIN(body.n, at + PART_HEADER_MAX));
		size_t head = str_starts(rest, S("\r\n")) ? 0 : str_find(rest, S("\r\n\r\n"));
		if (head == STR_NONE)
			return err_set(
				et, ERR_INVALID, "the headers of a part of the form do not end");
		struct http_part *part = &all[found];
		e = part_headers(rq->arena, str_sub(rest, 0, head), part, et);
		if (e)
			return e;
		size_t data = at + head + 4, end = find_from(body, data - 2, mark);
		if (end == STR_NONE)
			return err_set(et, ERR_INVALID,
				"the form ends early: its closing boundary is missing");
		part->data = end >= data ? str_sub(body, data, end) : str_mk("", 0);
		found++;
		at = end + mark.n;
	}
	*parts = all;
	*n = found;
	return OK;
}
