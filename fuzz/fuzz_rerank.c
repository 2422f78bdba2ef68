/* Bodies of rerank: each is refused with a reason, or every text in it can be read and every number
 * is in its bounds. */
#include "api/rerank_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rerank_params p;
	struct api_error x = {0};
	struct arena *a = arena_new(0);
	if (!a)
		return 0;
	enum err e = rerank_parse(str_mk((const char *)data, size), a, &p, &x);
	must(!e || x.et.msg[0]);
	if (!e) {
		size_t bytes = p.model.n + p.query.n;
		must(p.n && p.n <= RERANK_DOCUMENTS_MAX && p.query.n);
		must(p.top_n >= 0 && p.doc_tokens >= 1);
		for (size_t i = 0; i < p.n; i++) {
			must(utf8_complete_prefix(p.docs[i]) == p.docs[i].n);
			bytes += p.docs[i].n;
		}
		must(bytes <= size); /* no text grows by being read */
	}
	arena_free(a);
	return 0;
}
