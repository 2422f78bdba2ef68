/* A question, whatever bytes it is, has dates or none, and the words that say them are a part of
 * it. */
#include "rag/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str q = {(const char *)data, size}, words = {0};
	int64_t from = -1, to = -1;
	if (size > 4096 || !derive_dates(q, INT64_C(1795867200000), &from, &to, &words))
		return 0;
	must(words.n && words.p >= q.p && words.p + words.n <= q.p + q.n);
	must(from != -1 && to != -1);
	return 0;
}
