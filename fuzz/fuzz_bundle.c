/* Snapshots of collections as they are uploaded: refused, or items that can be written again. The
 * sum is made right, so that what is behind it is reached. */
#include "base/arena.h"
#include "base/hash.h"
#include "collection/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct str file)
{
	struct bundle_reader r;
	struct arena *a = arena_new(0);
	size_t n = 1;
	enum err e = a ? bundle_open(file, a, &r, NULL) : ERR_NOMEM;
	for (int64_t all = 0; !e && n; all += (int64_t)n) {
		struct collection_item *items;
		e = bundle_next(&r, 7, a, &items, &n, NULL);
		if (!e && !n && all != r.items)
			__builtin_trap();
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char hex[SHA256_HEX + 1];
	struct buf b = {0};
	read_all(str_mk(data, size));
	buf_adds(&b, str_mk(data, size));
	if (!size || data[size - 1] != '\n')
		buf_putc(&b, '\n');
	sha256_hex_of(buf_str(&b), hex);
	buf_addf(&b, "{\"sha256\": \"%s\"}\n", hex);
	if (!b.err)
		read_all(buf_str(&b));
	buf_free(&b);
	return 0;
}
