/* Portable SQL (db.h) as PostgreSQL wants it. A scan over tokens: white space, comments, literals,
 * quoted names, words, everything else a byte at a time. */
#include "store/pg_int.h"

#include <ctype.h>

enum token { T_SPACE, T_LITERAL, T_WORD, T_MARK, T_OTHER };

static bool word_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* From a quote to its end; a doubled quote is part of it. */
static size_t quoted(struct str s)
{
	size_t i = 1;
	for (; i < s.n; i++) {
		if (s.p[i] != s.p[0])
			continue;
		if (i + 1 < s.n && s.p[i + 1] == s.p[0])
			i++;
		else
			return i + 1;
	}
	return s.n;
}

static size_t block_comment(struct str s)
{
	size_t end = str_find(str_sub(s, 2, s.n), S("*/"));
	return end == STR_NONE ? s.n : end + 4;
}

/* The length of the first token of s (not empty) and what it is. */
static size_t token(struct str s, enum token *kind)
{
	char c = s.p[0], d = s.n > 1 ? s.p[1] : 0;
	size_t i = 1;
	*kind = T_OTHER;
	if (c == '\'' || c == '"') {
		*kind = T_LITERAL;
		return quoted(s);
	}
	if (c == '@' && d == '?') { /* an operator of PostgreSQL's own */
		*kind = T_LITERAL;
		return 2;
	}
	if (c == '-' && d == '-') {
		*kind = T_SPACE;
		while (i < s.n && s.p[i] != '\n')
			i++;
		return i;
	}
	if (c == '/' && d == '*') {
		*kind = T_SPACE;
		return block_comment(s);
	}
	if (isspace((unsigned char)c)) {
		*kind = T_SPACE;
		return 1;
	}
	if (c == '?')
		*kind = T_MARK;
	if (!word_byte(c))
		return 1;
	*kind = T_WORD;
	while (i < s.n && word_byte(s.p[i]))
		i++;
	return i;
}

static bool not_portable(struct str tok, struct str rest)
{
	char c = tok.p[0], d = rest.n ? rest.p[0] : 0;
	if (c == '?')
		return word_byte(d) || d == '?';
	return c == '$' || c == '@' || c == ':';
}

enum err pg_statement(struct str sql, struct buf *out, unsigned *params, struct errtext *et)
{
	enum token kind;
	*params = 0;
	for (size_t n; sql.n; sql = str_sub(sql, n, sql.n)) {
		n = token(sql, &kind);
		struct str tok = str_mk(sql.p, n);
		if (kind > T_WORD && not_portable(tok, str_sub(sql, n, sql.n)))
			return err_set(
				et, ERR_INTERNAL, "SQL: only plain ? parameters are portable");
		if (kind == T_MARK)
			buf_addf(out, "$%u", ++*params);
		else
			buf_adds(out, tok);
	}
	return out->err ? err_set(et, out->err, "no memory for a statement") : OK;
}

/* A word where a type stands: after a column's name in a definition, or after AS. Columns may be
 * named like types, and names also stand after the words below. */
static bool is_type(struct str before, enum token kind, bool defines)
{
	static const struct str then_name[] = {{"TABLE", 5}, {"COLUMN", 6}, {"ADD", 3}, {"ON", 2},
		{"REFERENCES", 10}, {"EXISTS", 6}};
	if (str_eq_nocase(before, S("AS")))
		return true;
	if (!defines || (kind != T_WORD && kind != T_LITERAL))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(then_name); i++)
		if (str_eq_nocase(before, then_name[i]))
			return false;
	return true;
}

enum err pg_script(struct str sql, struct buf *out, struct errtext *et)
{
	enum token kind, kind_before = T_OTHER;
	struct str before = {0}; /* the last token that is no white space */
	bool defines = false, first = true;
	for (size_t n; sql.n; sql = str_sub(sql, n, sql.n)) {
		n = token(sql, &kind);
		struct str tok = str_mk(sql.p, n);
		if (kind == T_OTHER && tok.p[0] == ';')
			first = true;
		if (kind == T_WORD && first) {
			defines = str_eq_nocase(tok, S("CREATE")) || str_eq_nocase(tok, S("ALTER"));
			first = false;
		}
		bool type = kind == T_WORD && is_type(before, kind_before, defines);
		if (type && str_eq_nocase(tok, S("BLOB")))
			buf_addc(out, "BYTEA");
		else if (type && str_eq_nocase(tok, S("TEXT")) && !str_eq_nocase(before, S("AS")))
			buf_addc(out, "TEXT COLLATE \"C\"");
		else
			buf_adds(out, tok);
		if (kind != T_SPACE) {
			before = tok;
			kind_before = kind;
		}
	}
	return out->err ? err_set(et, out->err, "no memory for a script") : OK;
}
