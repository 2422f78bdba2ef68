/* The filter language: tokens, and how what is wrong is said. */
#include "text/filter_int.h"

enum err filter_no_memory(struct parser *p)
{
	return err_set(p->et, ERR_NOMEM, "no memory for a filter");
}

/* ---- what is wrong ---- */

struct str filter_shown(struct str s)
{
	s = str_sub(s, 0, 120);
	return str_sub(s, 0, utf8_complete_prefix(s));
}

/* `what` is expected where the current token stands. */
enum err filter_expected(struct parser *p, const char *what)
{
	struct str at = p->now.kind == T_END ? str_sub(p->all, p->all.n, p->all.n) : p->now.raw;
	size_t column = p->now.kind == T_END ? p->all.n - p->rest.n : (size_t)(at.p - p->all.p);
	p->wrong = column;
	if (p->l->rules)
		return err_set(p->et, ERR_INVALID, "%s is expected", what);
	if (p->now.kind == T_END)
		return err_set(p->et, ERR_INVALID, "the filter: %s is expected at its end", what);
	at = filter_shown(str_sub(p->all, column, p->all.n));
	return err_set(p->et, ERR_INVALID, "the filter: %s is expected at \"%.*s\" (column %zu)",
		what, STR_FMT(str_sub(at, 0, 30)), column + 1);
}

/* ---- tokens ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static size_t number_length(struct str s)
{
	size_t i = 0, digits = 0;
	if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	for (; i < s.n && (is_digit(s.p[i]) || s.p[i] == '.'); i++)
		digits += is_digit(s.p[i]);
	if (!digits)
		return 0;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		size_t k = i + 1;
		if (k < s.n && (s.p[k] == '-' || s.p[k] == '+'))
			k++;
		if (k < s.n && is_digit(s.p[k])) {
			while (k < s.n && is_digit(s.p[k]))
				k++;
			i = k;
		}
	}
	return i;
}

/* The text within quotes of which two are one; as it stands when there are none, or in MLflow's
 * language, which keeps both. */
static struct str unquoted(struct parser *p, struct str s, char quote)
{
	if (p->l->strict || str_chr(s, quote) == STR_NONE)
		return s;
	char *out = arena_alloc(p->a, s.n + 1);
	size_t n = 0;
	for (size_t i = 0; out && i < s.n; i++) {
		out[n++] = s.p[i];
		i += s.p[i] == quote;
	}
	return out ? str_mk(out, n) : (struct str){0};
}

static enum err quoted(struct parser *p, char quote)
{
	struct str s = p->rest;
	size_t end = str_chr(str_sub(s, 1, s.n), quote);
	while (end != STR_NONE && end + 2 < s.n && s.p[end + 2] == quote) {
		size_t more = str_chr(str_sub(s, end + 3, s.n), quote);
		end = more == STR_NONE ? STR_NONE : end + 2 + more;
	}
	p->now = (struct token){T_OTHER, {0}, s};
	if (end == STR_NONE)
		return p->l->strict ? filter_invalid_clause(p)
				    : filter_expected(
					      p, "the end of a text in quotes (it is not closed)");
	p->now = (struct token){quote == '`' ? T_BACKTICK : T_QUOTED,
		unquoted(p, str_sub(s, 1, end + 1), quote), str_sub(s, 0, end + 2)};
	p->rest = str_sub(s, end + 2, s.n);
	return p->now.text.p ? OK : filter_no_memory(p);
}

static enum err take(struct parser *p, enum token_kind kind, size_t n)
{
	p->now = (struct token){kind, str_sub(p->rest, 0, n), str_sub(p->rest, 0, n)};
	p->rest = str_sub(p->rest, n, p->rest.n);
	return OK;
}

/* key: one follows, in which more characters are allowed than in a word. */
enum err filter_next(struct parser *p, bool key)
{
	while (p->rest.n && is_space(p->rest.p[0]) && !(p->l->rules && p->rest.p[0] == '\n'))
		p->rest = str_sub(p->rest, 1, p->rest.n);
	struct str s = p->rest;
	if (!s.n || (p->l->rules && strchr("\n;#", s.p[0])))
		return take(p, T_END, 0);
	char c = s.p[0], d = s.n > 1 ? s.p[1] : 0;
	if (c == '\'' || c == '"' || c == '`')
		return quoted(p, c);
	if (c == '(' || c == ')' || c == ',')
		return take(p, c == '(' ? T_OPEN : c == ')' ? T_CLOSE : T_COMMA, 1);
	if ((c == '<' || c == '>' || c == '!') && d == '=')
		return take(p, T_OP, 2);
	if (c == '<' && d == '>')
		return take(p, T_OP, 2);
	if (c == '<' || c == '>' || c == '=')
		return take(p, T_OP, 1);
	size_t n = 0;
	const char *more = p->l->rules ? "./:-*" : "./:-";
	while (key && n < s.n && (is_word(s.p[n]) || (s.p[n] && strchr(more, s.p[n]))))
		n++;
	if (n)
		return take(p, T_WORD, n);
	n = number_length(s);
	if (n)
		return take(p, T_NUMBER, n);
	while (n < s.n && is_word(s.p[n]))
		n++;
	return n ? take(p, T_WORD, n) : take(p, T_OTHER, 1);
}

bool filter_keyword(const struct parser *p, const char *word)
{
	return p->now.kind == T_WORD && str_eq_nocase(p->now.text, str_c(word));
}
