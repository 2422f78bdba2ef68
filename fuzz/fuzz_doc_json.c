/* JSON and JSONL from anywhere. */
#include "doc_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_doc(str_mk(data, size), "a.json");
	fuzz_doc(str_mk(data, size), "a.jsonl");
	return 0;
}
