/* Files of vectors: the first byte says which kind it is taken for. What is read is JSON. */
#include "collection/collection_import.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const char *path, bool json)
{
	struct vector_file *x;
	size_t n = 1;
	if (vector_file_open(str_c(path), NULL, &x, NULL))
		return;
	for (int i = 0; i < 100 && n; i++) {
		struct buf out = {0};
		yyjson_doc *doc = NULL;
		buf_putc(&out, '[');
		if (vector_file_items(x, 0, 10, 1 << 16, &out, &n, NULL))
			n = 0;
		buf_putc(&out, ']');
		if (json && n && json_parse(buf_str(&out), &doc, NULL))
			__builtin_trap();
		yyjson_doc_free(doc);
		buf_free(&out);
	}
	vector_file_close(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ends[] = {"npy", "fvecs", "fbin", "jsonl"};
	char path[64];
	if (!size)
		return 0;
	unsigned kind = data[0] % 4;
	snprintf(path, sizeof path, "/tmp/croft-fuzz-%d.%s", (int)getpid(), ends[kind]);
	FILE *f = fopen(path, "wb");
	if (!f)
		return 0;
	fwrite(data + 1, 1, size - 1, f);
	fclose(f);
	read_all(path, kind != 3);
	unlink(path);
	return 0;
}
