/* What the document targets share: parse under small limits, hold doc.h to its word. */
#ifndef FUZZ_DOC_FUZZ_H
#define FUZZ_DOC_FUZZ_H
#include "text/doc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_doc(struct str bytes, const char *name)
{
	struct doc_limits limits = {.input_max = 1 << 20,
		.unpacked_max = 16 << 20,
		.text_max = 8 << 20,
		.entries_max = 1000,
		.time_ms_max = 8000};
	struct doc *d;
	struct errtext et = {{0}};
	enum err e = doc_parse(bytes, name, &limits, &d, &et);
	if (e) {
		if (e == ERR_INTERNAL || e == ERR_TIMEOUT || !et.msg[0] ||
			!utf8_valid(str_c(et.msg)))
			abort();
		return;
	}
	uint32_t last = 0;
	if (!utf8_valid(d->text) || !utf8_valid(d->title) || !utf8_valid(d->author) ||
		!utf8_valid(d->warnings) || !d->n_blocks)
		abort();
	for (size_t i = 0; i < d->n_blocks; i++) {
		const struct doc_block *b = &d->blocks[i];
		if (b->from >= b->to || b->to > d->text.n || b->from < last || b->heading > i ||
			b->page > d->n_pages || (b->kind == BLOCK_HEADING) != (b->level > 0) ||
			!utf8_valid(str_sub(d->text, b->from, b->to)))
			abort();
		last = b->to;
		struct buf path = {0};
		doc_heading_path(d, i, &path);
		buf_free(&path);
	}
	doc_free(d);
}

#endif
