/* Tokens. White space around tags follows the settings under which chat templates are written:
 * trim_blocks (a line end right after a block tag or comment goes) and lstrip_blocks (blanks
 * between the line's beginning and a block tag or comment go); "-" takes all white space on its
 * side, "+" switches the two off. */
#include "text/template_int.h"

#include <stdlib.h>

void template_place(struct str s, uint32_t at, unsigned *line, unsigned *column)
{
	*line = *column = 1;
	for (uint32_t i = 0; i < at && i < s.n; i++) {
		++*column;
		if (s.p[i] == '\n')
			++*line, *column = 1;
	}
}

struct lexer {
	struct str s;
	size_t i;
	struct arena *arena;
	struct token *t;
	size_t n, cap;
	bool line_starting; /* what was read last ended a line, or nothing was read */
	enum err err;
	struct errtext *et;
};

static void lex_fail(struct lexer *x, size_t at, const char *what)
{
	unsigned line, column;
	if (x->err)
		return;
	template_place(x->s, (uint32_t)at, &line, &column);
	x->err = err_set(x->et, ERR_INVALID, "template: line %u column %u: %s", line, column, what);
}

static struct token *push(struct lexer *x, enum tok type, struct str s, size_t at)
{
	if (x->n == x->cap) {
		size_t cap = MAX(x->cap * 2, 64);
		struct token *t = realloc(x->t, cap * sizeof *t);
		if (!t) {
			x->err = ERR_NOMEM;
			return NULL;
		}
		x->t = t;
		x->cap = cap;
	}
	x->t[x->n] = (struct token){.type = type, .s = s, .at = (uint32_t)at};
	return &x->t[x->n++];
}

static bool looking_at(const struct lexer *x, size_t i, const char *c)
{
	return str_starts(str_sub(x->s, i, x->s.n), str_c(c));
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
}

static size_t skip_space(const struct lexer *x, size_t i)
{
	while (i < x->s.n) {
		uint32_t cp;
		size_t len = utf8_decode(str_sub(x->s, i, x->s.n), &cp);
		if (!text_is_space(cp))
			break;
		i += len;
	}
	return i;
}

/* The data before a tag at `to`, whose sign ('-', '+' or 0) says what goes. */
static void push_data(struct lexer *x, size_t from, size_t to, char sign, bool variable)
{
	struct str s = str_sub(x->s, from, to);
	if (sign == '-') {
		s = text_strip(s, (struct str){0}, 2);
	} else if (sign != '+' && !variable) {
		size_t nl = str_rchr(s, '\n'), line = nl == STR_NONE ? 0 : nl + 1;
		bool blank = line > 0 || x->line_starting;
		for (size_t i = line; i < s.n && blank; i++)
			blank = is_blank(s.p[i]);
		if (blank)
			s = str_sub(s, 0, line);
	}
	if (s.n)
		push(x, T_DATA, s, from);
}

/* After a tag's end at i: what of the white space goes with it. */
static size_t after_tag(struct lexer *x, size_t i, char sign, bool trim)
{
	if (sign == '-')
		i = skip_space(x, i);
	else if (sign != '+' && trim && i < x->s.n && x->s.p[i] == '\n')
		i++;
	x->line_starting = i > 0 && x->s.p[i - 1] == '\n';
	return i;
}

/* ---- inside a tag ---- */

static void add_escape(struct buf *b, struct str s, size_t *i)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	char c = *i + 1 < s.n ? s.p[*i + 1] : 0;
	const char *at = c ? strchr(from, c) : NULL;
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	*i += 2;
	if (at) {
		buf_putc(b, to[at - from]);
	} else if (c == '\n') {
		return;
	} else if (digits && *i + digits <= s.n) {
		char hex[9] = {0}, *end;
		memcpy(hex, s.p + *i, digits);
		unsigned long v = strtoul(hex, &end, 16);
		if (end == hex + digits) {
			buf_add_utf8(b, (uint32_t)v);
			*i += digits;
		} else {
			buf_putc(b, '\\');
			buf_putc(b, c);
		}
	} else if (c >= '0' && c <= '7') {
		uint32_t v = 0;
		size_t k = *i - 1;
		while (k < s.n && k < *i + 2 && s.p[k] >= '0' && s.p[k] <= '7')
			v = v * 8 + (uint32_t)(s.p[k++] - '0');
		*i = k;
		buf_add_utf8(b, v);
	} else {
		buf_putc(b, '\\');
		*i -= 1;
	}
}

static void lex_string(struct lexer *x)
{
	char quote = x->s.p[x->i];
	size_t from = x->i + 1, to = from;
	while (to < x->s.n && x->s.p[to] != quote)
		to += x->s.p[to] == '\\' ? 2 : 1;
	if (to >= x->s.n) {
		lex_fail(x, x->i, "the string does not end");
		return;
	}
	struct str s = str_sub(x->s, from, to);
	if (str_chr(s, '\\') != STR_NONE) {
		struct buf b = {0};
		for (size_t i = 0; i < s.n;) {
			if (s.p[i] == '\\')
				add_escape(&b, s, &i);
			else
				buf_putc(&b, s.p[i++]);
		}
		s = arena_str(x->arena, buf_str(&b));
		if (b.err || !s.p)
			x->err = ERR_NOMEM;
		buf_free(&b);
	}
	push(x, T_STR, s, x->i);
	x->i = to + 1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void lex_number(struct lexer *x)
{
	char t[64];
	size_t n = 0, i = x->i;
	bool is_float = false;
	for (; i < x->s.n && n < sizeof t - 1; i++) {
		char c = x->s.p[i];
		if (c == '_' && n)
			continue;
		bool sign = (c == '+' || c == '-') && n && (t[n - 1] == 'e' || t[n - 1] == 'E') &&
			    is_float;
		bool dot = c == '.' && !is_float && i + 1 < x->s.n && is_digit(x->s.p[i + 1]);
		bool exp = (c == 'e' || c == 'E') && n && i + 1 < x->s.n &&
			   (is_digit(x->s.p[i + 1]) ||
				   ((x->s.p[i + 1] == '-' || x->s.p[i + 1] == '+') &&
					   i + 2 < x->s.n && is_digit(x->s.p[i + 2])));
		if (!is_digit(c) && !sign && !dot && !exp)
			break;
		is_float = is_float || dot || exp;
		t[n++] = c;
	}
	t[n] = 0;
	struct token *tk = push(x, is_float ? T_FLOAT : T_INT, str_sub(x->s, x->i, i), x->i);
	if (!tk)
		return;
	if (is_float ? !str_f64(str_mk(t, n), &tk->f) : !str_i64(str_mk(t, n), &tk->i))
		lex_fail(x, x->i, "a number out of range");
	x->i = i;
}

static bool is_name(const struct lexer *x, size_t i)
{
	unsigned char c = (unsigned char)x->s.p[i];
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static void lex_op(struct lexer *x)
{
	static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
	for (size_t k = 0; k < ARRAY_LEN(two); k++)
		if (looking_at(x, x->i, two[k])) {
			push(x, T_OP, str_sub(x->s, x->i, x->i + 2), x->i);
			x->i += 2;
			return;
		}
	if (!x->s.p[x->i] || !strchr("+-*/%~[](){}><=.:|,;", x->s.p[x->i])) {
		lex_fail(x, x->i, "unexpected character");
		return;
	}
	push(x, T_OP, str_sub(x->s, x->i, x->i + 1), x->i);
	x->i++;
}

/* From behind "{{" or "{%" to behind its end. */
static void lex_tag(struct lexer *x, bool variable, size_t begin)
{
	const char *end = variable ? "}}" : "%}";
	unsigned open = 0; /* brackets: "}}" may close two dicts */
	while (!x->err) {
		x->i = skip_space(x, x->i);
		if (x->i >= x->s.n) {
			lex_fail(x, begin, "the tag does not end");
			return;
		}
		char c = x->s.p[x->i];
		char sign = c == '-' || (c == '+' && !variable) ? c : 0;
		if (!open && looking_at(x, x->i + (sign != 0), end)) {
			push(x, variable ? T_VAR_END : T_BLOCK_END, (struct str){0}, x->i);
			x->i = after_tag(x, x->i + (sign != 0) + 2, sign, !variable);
			return;
		}
		if (c == '"' || c == '\'') {
			lex_string(x);
		} else if (is_digit(c)) {
			lex_number(x);
		} else if (is_name(x, x->i)) {
			size_t from = x->i;
			while (x->i < x->s.n && (is_name(x, x->i) || is_digit(x->s.p[x->i])))
				x->i++;
			push(x, T_NAME, str_sub(x->s, from, x->i), from);
		} else {
			open += c == '(' || c == '[' || c == '{';
			if (c == ')' || c == ']' || c == '}') {
				if (!open) {
					lex_fail(x, x->i, "a bracket that was not opened");
					return;
				}
				open--;
			}
			lex_op(x);
		}
	}
}

/* "{% raw %}" at i: the place behind it, else 0. */
static size_t raw_tag(struct lexer *x, size_t i, const char *word, char *left, char *right)
{
	if (!looking_at(x, i, "{%"))
		return 0;
	i += 2;
	*left = i < x->s.n && (x->s.p[i] == '-' || x->s.p[i] == '+') ? x->s.p[i] : 0;
	i = skip_space(x, i + (*left != 0));
	if (!looking_at(x, i, word))
		return 0;
	i = skip_space(x, i + strlen(word));
	*right = i < x->s.n && (x->s.p[i] == '-' || x->s.p[i] == '+') ? x->s.p[i] : 0;
	i += *right != 0;
	return looking_at(x, i, "%}") ? i + 2 : 0;
}

static void lex_raw(struct lexer *x, size_t begin, size_t from, char right)
{
	if (right == '-')
		from = skip_space(x, from);
	x->line_starting = false;
	for (size_t i = from; i < x->s.n; i++) {
		char left, r;
		size_t end = raw_tag(x, i, "endraw", &left, &r);
		if (end) {
			push_data(x, from, i, left, false);
			x->i = after_tag(x, end, r, true);
			return;
		}
	}
	lex_fail(x, begin, "raw without endraw");
}

static void lex_all(struct lexer *x)
{
	x->line_starting = true;
	while (x->i < x->s.n && !x->err) {
		size_t from = x->i, at = from;
		while (at + 1 < x->s.n &&
			!(x->s.p[at] == '{' && (x->s.p[at + 1] == '{' || x->s.p[at + 1] == '%' ||
						       x->s.p[at + 1] == '#')))
			at++;
		if (at + 1 >= x->s.n) {
			push(x, T_DATA, str_sub(x->s, from, x->s.n), from);
			return;
		}
		char kind = x->s.p[at + 1], left, right;
		size_t raw = kind == '%' ? raw_tag(x, at, "raw", &left, &right) : 0;
		char sign = at + 2 < x->s.n && (x->s.p[at + 2] == '-' || x->s.p[at + 2] == '+')
				    ? x->s.p[at + 2]
				    : 0;
		if (kind == '{' && sign == '+')
			sign = 0; /* that is a plus */
		push_data(x, from, at, raw ? left : sign, kind == '{');
		x->i = at + 2 + (sign != 0);
		if (raw) {
			lex_raw(x, at, raw, right);
		} else if (kind == '#') {
			size_t end = str_find(str_sub(x->s, at + 2, x->s.n), S("#}"));
			if (end == STR_NONE) {
				lex_fail(x, at, "the comment does not end");
				return;
			}
			end += at + 2;
			char before = end > at + 2 ? x->s.p[end - 1] : 0;
			x->i = after_tag(
				x, end + 2, before == '-' || before == '+' ? before : 0, true);
		} else {
			push(x, kind == '{' ? T_VAR_BEGIN : T_BLOCK_BEGIN, (struct str){0}, at);
			lex_tag(x, kind == '{', at);
		}
	}
}

enum err template_lex(struct arena *a, struct str source, struct lexed *out, struct errtext *et)
{
	struct lexer x = {.s = source, .arena = a, .et = et};
	lex_all(&x);
	push(&x, T_EOF, (struct str){0}, source.n);
	if (!x.err) {
		struct token *t = arena_array_of(a, x.n, struct token);
		if (t) {
			memcpy(t, x.t, x.n * sizeof *t);
			*out = (struct lexed){t, x.n};
		} else {
			x.err = ERR_NOMEM;
		}
	}
	free(x.t);
	return x.err == ERR_NOMEM ? err_set(et, ERR_NOMEM, "template: out of memory") : x.err;
}
