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

enum err pg_script(struct str sql, struct buf *out, struct errtext *et)
{
	enum token kind;
	bool defines = false, first = true, after_as = false;
	for (size_t n; sql.n; sql = str_sub(sql, n, sql.n)) {
		n = token(sql, &kind);
		struct str tok = str_mk(sql.p, n);
		if (kind == T_OTHER && tok.p[0] == ';')
			first = true;
		bool word = kind == T_WORD;
		if (word && first) {
			defines = str_eq_nocase(tok, S("CREATE")) || str_eq_nocase(tok, S("ALTER"));
			first = false;
		}
		if (word && str_eq_nocase(tok, S("BLOB")))
			buf_addc(out, "BYTEA");
		else if (word && defines && !after_as && str_eq_nocase(tok, S("TEXT")))
			buf_addc(out, "TEXT COLLATE \"C\"");
		else
			buf_adds(out, tok);
		if (kind != T_SPACE)
			after_as = word && str_eq_nocase(tok, S("AS"));
	}
	return out->err ? err_set(et, out->err, "no memory for a script") : OK;
}
