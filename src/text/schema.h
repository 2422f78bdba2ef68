/* JSON Schema as a language of texts: which bytes may come next so that the whole is valid JSON
 *that the schema allows.
 *
 * Draft 2020-12, and what older drafts (4 to 2019-09) write differently, by "$schema". A schema is
 * rewritten until no choice is left but among values: conjunctions are merged, negations pushed
 * inwards, and every set of values is known to be empty or not, so that a text that has not been
 * refused can always be completed. What cannot be enforced is ERR_UNSUPPORTED and names the
 *keyword, its place and the reason; nothing is ignored but annotations and keywords that the
 *specification tells to ignore. docs/structured-output.md lists what works.
 *
 *	struct schema *s;
 *	enum err e = schema_compile(text, &(struct schema_options){0}, &s, et);
 *	e = matcher_new(schema_language(s), &m, et);
 *	schema_free(s);              // after the matchers
 *
 * A schema is immutable: any number of threads may match with it at once. */
#ifndef TEXT_SCHEMA_H
#define TEXT_SCHEMA_H
#include "text/machine.h"

struct schema;

struct schema_options {
	/* What a validator reads: properties in any order, white space anywhere, any escape.
	 * Otherwise what a model should write: properties in the schema's order (those of
	 * "properties" as written, then others), white space where printers put it, and \u only
	 * for what is not ASCII. */
	bool lenient;
	/* Types as function schemas in the wild write them: dict, float, tuple, any, String ... */
	bool loose_types;
	uint32_t time_ms; /* of computing that it may take; 0: 5,000 */
};

/* ERR_INVALID: no schema, and where. ERR_UNSUPPORTED: see above. ERR_CONFLICT: no value at all is
 * allowed. ERR_TOO_LARGE: beyond a limit on size or on combinations. */
enum err schema_compile(struct str json, const struct schema_options *o, struct schema **out,
	struct errtext *et) MUST_CHECK;
void schema_free(struct schema *s); /* accepts NULL */
const struct language *schema_language(const struct schema *s);
/* The expression for the whole of a string of that "format"; NULL: none that is enforced. */
const char *schema_format_regex(struct str name);
size_t schema_bytes(const struct schema *s); /* about its memory */

#endif
