/* Filters and orders of runs: any text is refused with a reason or becomes a tree that can be
 * matched, in both languages. */
#include "run/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool text(const void *subject, const struct filter_name *n, size_t at, struct str *out)
{
	*out = at ? S("") : S("some value");
	return at < 2;
}

static bool number(const void *subject, const struct filter_name *n, double *out)
{
	*out = 1.5;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct filter_attribute attributes[] = {{.names = {"run_id"}, .list = true},
		{.names = {"start_time", "created"}, .number = true, .time = true},
		{.names = {"text"}, .extended = true}};
	static const struct filter_subject subject = {text, number};
	for (int strict = 0; strict < 2; strict++) {
		struct filter_words words = {attributes, ARRAY_LEN(attributes), 0x1F, strict};
		struct arena *a = arena_new(64 << 20);
		const struct filter *f = NULL;
		struct filter_name name;
		struct errtext et = {0};
		bool descending;
		if (!a)
			return 0;
		enum err e = run_filter_parse(str_mk(data, size), &words, a, &f, &et);
		if (e && !et.msg[0])
			__builtin_trap();
		if (!e)
			run_filter_match(f, &subject, NULL);
		et.msg[0] = 0;
		e = run_filter_parse_order(str_mk(data, size), &words, a, &name, &descending, &et);
		if (e && !et.msg[0])
			__builtin_trap();
		arena_free(a);
	}
	return 0;
}
