/* Templates: the Jinja subset that chat templates and prompts use. No attribute access beyond the
 * values given, no files, no imports; steps, output bytes and nesting are limited, so that a
 * template from outside can do no harm.
 *
 *	struct template *t;
 *	enum err e = template_parse(source, &t, et);   // says line and column
 *	e = template_render(t, yyjson_root, &(struct template_limits){0}, &out, et);
 *	template_free(t);
 *
 * A parsed template is immutable; any thread may render it. */
#ifndef TEXT_TEMPLATE_H
#define TEXT_TEMPLATE_H
#include "base/json.h"

struct template;

struct template_limits {
	uint64_t steps_max;  /* 0: 10,000,000 */
	size_t output_max;   /* 0: 64 MiB */
	int64_t now_unix_ms; /* for strftime_now; 0: the clock */
};

enum err template_parse(struct str source, struct template **out, struct errtext *et) MUST_CHECK;
/* vars: a JSON object. raise_exception() in the template is ERR_INVALID with its text. Undefined
 * variables render as nothing, as Jinja's default does. */
enum err template_render(const struct template *t, yyjson_val *vars,
	const struct template_limits *limits, struct buf *out, struct errtext *et) MUST_CHECK;
void template_free(struct template *t);

#endif
