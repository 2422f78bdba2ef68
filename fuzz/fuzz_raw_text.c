/* The strings of any file: never more than was allowed, and the same each time. */
#include "text/raw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = {0}, twice = {0};
	enum { MOST = 1 << 16 };
	buf_addc(&once, "before");
	if (raw_text(str_mk(data, size), MOST, &once) || once.n > MOST + 6)
		__builtin_trap();
	if (raw_text(str_mk(data, size), MOST, &twice) ||
		!str_eq(str_sub(buf_str(&once), 6, once.n), buf_str(&twice)))
		__builtin_trap();
	buf_free(&once);
	buf_free(&twice);
	return 0;
}
