/* A vector index of any bytes, with its checksums made right, is opened and works, or is refused.
 */
#include "base/hash.h"
#include "kernels/kernels.h"
#include "vector/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As index_file.c lays out the first page. */
enum { PAGE = 4096, PARTS_AT = 72, PART = 24, PARTS = 7, CRC_AT = 752 };

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void make_right(uint8_t *file, size_t size)
{
	for (int i = 0; i < PARTS; i++) {
		uint8_t *part = file + PARTS_AT + PART * i;
		uint64_t at, n;
		memcpy(&at, part, 8);
		memcpy(&n, part + 8, 8);
		if (at <= size && n <= size - at)
			put32(part + 16, crc32c(0, file + at, n));
	}
	put32(file + CRC_AT, 0);
	put32(file + CRC_AT, crc32c(0, file, PAGE));
}

static void use(struct vindex *x)
{
	uint32_t dim = vindex_opened(x)->dim;
	float *v = calloc(dim, sizeof *v);
	struct errtext et = {0};
	struct vindex_answer a;
	struct hit h[8];
	for (uint64_t i = 0; i < 4; i++) {
		v[i % dim] += 1;
		for (int exact = 0; exact < 2; exact++) {
			struct vindex_query q = {.vector = v, .k = 8, .exact = exact};
			if (vindex_search(x, &q, h, &a, &et) || a.n > 8)
				abort();
		}
		enum err e = vindex_put(x, &i, v, 1, NULL, &et);
		if (e && e != ERR_LIMIT)
			abort();
		if (a.n && vindex_delete(x, &h[0].key, 1, NULL, &et))
			abort();
	}
	free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct errtext et = {0};
	struct vindex *x;
	if (kern_init(&et))
		abort();
	if (size < PAGE || size > 1 << 20)
		return 0;
	uint8_t *file = malloc(size);
	memcpy(file, data, size);
	make_right(file, size);
	int fd = memfd_create("index", MFD_CLOEXEC);
	if (fd < 0 || write(fd, file, size) != (ssize_t)size)
		abort();
	free(file);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct vindex_options limits = {.max_items = 1 << 12};
	if (!vindex_open(path, &limits, size / PAGE % 2, &x, NULL, &et)) {
		use(x);
		vindex_free(x);
	} else if (!et.msg[0]) {
		abort();
	}
	close(fd);
	return 0;
}
