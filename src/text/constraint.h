/* What a request holds a text to, compiled, and kept by content: the same schema or grammar comes
 *with every request of an application. Any thread may call; a constraint is immutable and counted.
 *
 *	struct constraint *c;
 *	enum err e = constraint_get(cache, CONSTRAINT_GRAMMAR, text, &c, et);
 *	... constraint_language(c) ...
 *	constraint_put(cache, c);
 */
#ifndef TEXT_CONSTRAINT_H
#define TEXT_CONSTRAINT_H
#include "text/machine.h"

enum constraint_kind {
	CONSTRAINT_NONE,
	CONSTRAINT_GRAMMAR, /* GBNF */
	CONSTRAINT_REGEX,   /* of the whole text */
	CONSTRAINT_CHOICE,  /* source: a JSON list of strings */
	CONSTRAINT_OBJECT,  /* any JSON object; source: "" */
	CONSTRAINT_SCHEMA,  /* JSON Schema, properties in its order */
};

struct constraint;
struct constraints;

/* At most `most` are kept, and of those in use as many as are used. NULL: out of memory. */
struct constraints *constraints_new(size_t most);
void constraints_free(struct constraints *k); /* after all were put back; accepts NULL */

/* The errors are those of grammar_gbnf, grammar_regex, schema_compile, ...; failures are not kept.
 * A few compile at once, others wait: one may take seconds and hundreds of MiB. ERR_BUSY: too many
 * wait, or what is in use takes too much memory. */
enum err constraint_get(struct constraints *k, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et) MUST_CHECK;
void constraint_put(struct constraints *k, struct constraint *c);       /* accepts NULL */
const struct language *constraint_language(const struct constraint *c); /* of NULL: NULL */

#endif
