/* Trees and frames of chunks from clients: what is taken has good paths, adds up, and is written
 * again as the same bytes; where chunks end does not depend on what follows. */
#include "artifact/tree_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tree(const struct tree *t, struct str in)
{
	struct buf again = {0};
	uint64_t sum = 0;
	for (size_t i = 0; i < t->n_files; i++) {
		const struct tree_file *f = &t->files[i];
		uint64_t bytes = 0;
		if (tree_path_check(f->path, NULL) || tree_find(t, f->path) != f)
			__builtin_trap();
		for (size_t k = 0; k < f->n_chunks; k++)
			bytes += f->chunks[k].size;
		if (bytes != f->size)
			__builtin_trap();
		sum += bytes;
	}
	if (sum != t->bytes || tree_render(t->files, t->n_files, &again, NULL) ||
		!str_eq(buf_str(&again), in))
		__builtin_trap();
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size), rest = in, bytes;
	struct tree *t;
	struct tree_chunk c;
	struct errtext et;
	if (!tree_parse(in, &t, &et)) {
		struct arena *a = arena_new(0);
		struct tree_diff d;
		check_tree(t, in);
		if (a && !tree_diff(t, t, a, &d, &et) && (d.n || d.fresh))
			__builtin_trap();
		arena_free(a);
		tree_free(t);
	}
	size_t used = 0;
	while (!tree_frame_next(&rest, &c, &bytes, &et)) {
		used += TREE_FRAME_HEAD + bytes.n;
		if (bytes.n != c.size || used + rest.n != size)
			__builtin_trap();
	}
	if (tree_path_check(in, &et) == OK && (!size || data[0] == '/' || memchr(data, 0, size)))
		__builtin_trap();
	return 0;
}
