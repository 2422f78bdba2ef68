/* Languages that are written down as grammars: GBNF, as llama.cpp reads it, regular expressions,
 *and lists of texts. A grammar is compiled once; its language (text/machine.h) is immutable and
 *shared by threads.
 *
 *	struct grammar *g;
 *	enum err e = grammar_gbnf(S("root ::= \"a\" root \"b\" | \"\""), &g, et);
 *	struct matcher *m;
 *	e = matcher_new(grammar_language(g), &m, et);
 *	...
 *	matcher_free(m);
 *	grammar_free(g);        // after its matchers
 *
 * GBNF: `name ::= alternatives`, with literals "..." (\n \r \t \\ \" \[ \] \xXX \uXXXX \UXXXXXXXX),
 * classes [a-z] and [^a-z], `.` for any character, groups, `|`, `*`, `+`, `?`, `{m}`, `{m,}`,
 * `{m,n}`, and `#` comments. A rule ends with its line, unless a parenthesis is open or the line
 *ends with `|` or `::=`. The language is what `root` derives, in UTF-8. Any recursion is carried
 *out, to the left as well. What can never be completed is left out; if that is all of root, or a
 *rule is nowhere defined, the grammar is refused, by name and line. */
#ifndef TEXT_GRAMMAR_H
#define TEXT_GRAMMAR_H
#include "text/machine.h"

struct grammar;

enum {
	GRAMMAR_TEXT_MAX = 1 << 20,
	GRAMMAR_RULES_MAX = 10000,
	GRAMMAR_DEPTH_MAX = 100, /* of parentheses */
};

/* ERR_INVALID says line and column; ERR_TOO_LARGE which rule. */
enum err grammar_gbnf(struct str text, struct grammar **out, struct errtext *et) MUST_CHECK;
/* The whole text matches an expression of ECMA-262 (text/dfa.h says which part of it). */
enum err grammar_regex(struct str pattern, struct grammar **out, struct errtext *et) MUST_CHECK;
/* The text is one of these. */
enum err grammar_texts(
	const struct str *texts, size_t n, struct grammar **out, struct errtext *et) MUST_CHECK;
void grammar_free(struct grammar *g); /* accepts NULL */
const struct language *grammar_language(const struct grammar *g);
size_t grammar_bytes(const struct grammar *g); /* memory in use */

#endif
