/* Lines of an exported audit log: what is read as a record is written back as the same bytes. */
#include "access/access_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(64 << 20);
	struct audit_line l;
	struct audit_chain chain = {0};
	struct errtext et;
	struct buf b = {0};
	if (a && audit_line_parse(str_mk(data, size), a, &l, &et) == OK && !l.is_head) {
		audit_line(&b, &l.record);
		if (!str_eq(str_sub(buf_str(&b), 0, b.n - 1), str_mk(data, size)))
			__builtin_trap();
		if (audit_chain_next(&chain, &l.record, &et) == OK && chain.n != 1)
			__builtin_trap();
	}
	buf_free(&b);
	arena_free(a);
	return 0;
}
