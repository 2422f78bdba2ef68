/* Filters of traces: any text is refused with a reason or becomes clauses that can be matched. */
#include "run/trace_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(64 << 20);
	struct trace_filter f;
	struct errtext et = {0};
	if (!a)
		return 0;
	enum err e = trace_filter_parse(str_mk(data, size), a, &f, &et);
	if (e && !et.msg[0])
		__builtin_trap();
	for (size_t i = 0; !e && i < f.n; i++) {
		trace_match_any(&f.clauses[i], S("some value"));
		trace_match_any(&f.clauses[i], (struct str){0});
		trace_match_number(&f.clauses[i], 1.5);
	}
	arena_free(a);
	return 0;
}
