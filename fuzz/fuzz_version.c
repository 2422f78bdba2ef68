/* Leaves and records of versions of collections, as anybody may push them: refused, or such that
 * they are written again as they were. */
#include "collection/version_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void leaf(struct str bytes)
{
	struct str rest = bytes;
	struct buf again = {0};
	enum err e = OK;
	while (!e && rest.n) {
		struct vitem it;
		uint64_t pack;
		e = vleaf_next(&rest, &it, &pack, NULL);
		if (!e)
			vleaf_add(&again, &it, pack);
	}
	must(!again.err && again.n <= bytes.n && !memcmp(buf_c(&again), bytes.p, again.n));
	must(e || again.n == bytes.n);
	buf_free(&again);
}

static void record(struct str bytes)
{
	struct vrecord r;
	struct vitem it;
	struct buf again = {0};
	if (vrecord_read(bytes, &r, NULL))
		return;
	vrecord_write(&r, &again);
	must(str_eq(buf_str(&again), bytes));
	version_sums(&r, &it);
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_mk(data, size);
	leaf(bytes);
	record(bytes);
	return 0;
}
