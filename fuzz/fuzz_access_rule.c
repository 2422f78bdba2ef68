/* Rules: whatever is accepted can be evaluated, the same each time, and its denial is a part of the
 * text. */
#include "access/access_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size), by = {0};
	struct arena *a = arena_new(64 << 20);
	struct errtext et;
	struct rules *r = NULL;
	struct http_pair tags[] = {{S("team"), S("nlp")}, {S("k"), str_sub(in, 0, 9)}};
	struct rule_subject s = {S("model"), str_sub(in, 2, 7), S("prod"), tags, 2};
	if (a && rules_parse(in, a, &r, &et) == OK)
		for (unsigned p = PERM_SIGNED_IN + 1; p < PERM_COUNT; p++) {
			bool yes = rules_accept(r, (enum perm)p, &s, &by);
			if (!yes && str_find(in, by) == STR_NONE)
				__builtin_trap();
			if (rules_accept(r, (enum perm)p, &s, &by) != yes)
				__builtin_trap();
		}
	arena_free(a);
	return 0;
}
