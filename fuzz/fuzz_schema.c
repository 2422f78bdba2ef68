/* A JSON Schema, a NUL, a text: compiling ends with a matcher or an error; the matcher, wherever
 * the text leads it, can go on or end there (no dead ends but by hashes of names and items); and
 * what it has taken as a whole is JSON. */
#include <assert.h>
#include <stdlib.h>
#include "base/json.h"
#include "text/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool goes_on(struct matcher *m)
{
	if (matcher_may_end(m))
		return true;
	for (int byte = 0; byte < 256; byte++) {
		if (!matcher_push(m, (uint8_t)byte))
			continue;
		matcher_drop(m, 1);
		return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0, size);
	struct str text = str_mk(data, end ? (size_t)(end - data) : size), rest = {0};
	struct schema_options o = {.lenient = size & 1, .loose_types = size & 2};
	struct schema *s;
	struct matcher *m;
	if (text.n > 4096 || schema_compile(text, &o, &s, NULL))
		return 0;
	if (end)
		rest = str_mk(end + 1, size - text.n - 1);
	if (matcher_new(schema_language(s), &m, NULL)) {
		schema_free(s);
		return 0;
	}
	size_t n = 0;
	while (n < rest.n && matcher_take(m, rest.p + n, 1)) {
		n++;
		/* uniqueItems over strings by a pattern can paint itself into a corner: docs */
		if (matcher_status(m, NULL) == OK && str_find(text, S("nique")) == STR_NONE &&
			str_find(text, S("inProperties")) == STR_NONE)
			assert(goes_on(m));
	}
	if (n == rest.n && n && matcher_may_end(m)) {
		/* numbers as texts: some are beyond what a double holds */
		yyjson_doc *doc = yyjson_read(rest.p, rest.n, YYJSON_READ_NUMBER_AS_RAW);
		assert(doc);
		yyjson_doc_free(doc);
	}
	matcher_free(m);
	schema_free(s);
	return 0;
}
