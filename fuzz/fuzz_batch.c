/* Input files of batches: every line is taken, or the file is refused with reasons that are JSON.
 */
#include "api/batch_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_mk((const char *)data, size);
	struct arena *a = arena_new(0);
	struct batch_line *lines = NULL;
	struct buf problems = {0};
	yyjson_doc *doc = NULL;
	size_t n = 0;
	if (!a)
		return 0;
	must(!batch_input(text, S("/v1/chat/completions"), a, &lines, &n, &problems, NULL));
	must(!json_parse(buf_str(&problems), &doc, NULL));
	must((n == 0) == (yyjson_arr_size(yyjson_doc_get_root(doc)) > 0));
	yyjson_doc_free(doc);
	for (size_t i = 0; i < n; i++) {
		must(lines[i].custom_id.n && lines[i].at + lines[i].n <= size);
		must(!json_parse(str_mk(text.p + lines[i].at, lines[i].n), &doc, NULL));
		yyjson_doc_free(doc);
	}
	buf_free(&problems);
	arena_free(a);
	return 0;
}
