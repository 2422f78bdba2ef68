/* A template from outside, with variables from outside: the bytes up to the first NUL are the
 * template, the rest is JSON. */
#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size), source = in, vars = S("{}");
	size_t nul = str_chr(in, 0);
	if (nul != STR_NONE) {
		source = str_sub(in, 0, nul);
		vars = str_sub(in, nul + 1, in.n);
	}
	struct errtext et = {0};
	struct template *t;
	enum err e = template_parse(source, &t, &et);
	if (e) {
		if (!et.msg[0] || !utf8_valid(str_c(et.msg)))
			__builtin_trap();
		return 0;
	}
	yyjson_doc *doc = NULL;
	if (json_parse(vars, &doc, NULL) == OK || json_parse(S("{}"), &doc, NULL) == OK) {
		struct buf out = {0};
		struct template_limits limits = {
			.steps_max = 100000, .output_max = 1 << 20, .now_unix_ms = 1};
		e = template_render(t, yyjson_doc_get_root(doc), &limits, &out, &et);
		if (out.n > 1 << 20 || (e && out.n))
			__builtin_trap();
		buf_free(&out);
		yyjson_doc_free(doc);
	}
	template_free(t);
	return 0;
}
