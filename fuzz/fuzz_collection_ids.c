/* The file of ids: any bytes, with the checksum made right, are what is written again, or are
 * refused. */
#include "base/hash.h"
#include "collection/ids_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As ids_file.c lays out its head. */
enum { CRC_AT = 12, FROM = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errtext et = {0};
	struct ids_file f, again;
	struct buf out = {0};
	if (size < FROM)
		return 0;
	char *copy = malloc(size);
	memcpy(copy, data, size);
	uint32_t crc = crc32c(0, copy + FROM, size - FROM);
	memcpy(copy + CRC_AT, &crc, 4);
	if (ids_file_read(str_mk(copy, size), 1 << 20, &f, &et)) {
		if (!et.msg[0])
			abort();
	} else {
		ids_file_write(&f, &out);
		if (out.err || ids_file_read(buf_str(&out), 1 << 20, &again, &et) ||
			again.live != f.live || again.n_nums != f.n_nums)
			abort();
		ids_file_free(&again);
		ids_file_free(&f);
	}
	buf_free(&out);
	free(copy);
	return 0;
}
