/* Stored bytes of runs: events of a document, blocks and pages of series. Whatever the bytes are,
 * reading them is an error or a result; a checksum is put before them, so that more than the
 * checksum is tested. */
#include "base/hash.h"
#include "run/track_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err take(void *ctx, struct str key, const struct point *p, size_t n)
{
	*(size_t *)ctx += n;
	return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct point points[BLOCK_POINTS];
	static struct node nodes[PAGE_NODES];
	struct buf b = {0};
	struct run_doc *d = run_doc_new();
	struct tracked *t, head = {.name = S("n"), .user = S("u")};
	size_t n = 0;
	uint32_t crc = crc32c(0, data, size);
	buf_add(&b, &crc, 4);
	buf_add(&b, data, size);
	if (!run_doc_add(d, buf_str(&b), NULL) && !run_doc_finish(d, &head, &t, NULL)) {
		struct buf again = {0};
		events_begin(&again);
		events_document(&again, t);
		events_end(&again);
		struct run_doc *d2 = run_doc_new();
		if (run_doc_add(d2, buf_str(&again), NULL))
			__builtin_trap();
		run_doc_free(d2);
		buf_free(&again);
		tracked_free(t);
	}
	run_doc_free(d);
	(void)!events_points(buf_str(&b), (struct str){0}, take, &n, NULL);
	(void)!block_decode(buf_str(&b), points, &n, NULL);
	(void)!page_decode(buf_str(&b), nodes, &n, NULL);
	buf_free(&b);
	return 0;
}
