/* HTML from anywhere. */
#include "doc_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_doc(str_mk(data, size), "a.html");
	return 0;
}
