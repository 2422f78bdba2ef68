/* safetensors files: a JSON header that names tensors, then their bytes without holes.
 *
 * Checked wholly when opened: the header's length and nesting, shapes, types, bounds, overlaps,
 * holes, trailing bytes, duplicates. Tensor data is borrowed until safetensors_free. Immutable
 * after opening. A pickle, or a zip that holds one, is refused with that reason. */
#ifndef ENGINE_SAFETENSORS_H
#define ENGINE_SAFETENSORS_H
#include "base/str.h"

struct safetensors;

enum { SAFETENSORS_DIMS_MAX = 8 };

struct safetensor {
	struct str name;
	struct str dtype; /* "F32", "F16", "BF16", "I64", ... as in the file */
	unsigned n_dims;
	uint64_t dim[SAFETENSORS_DIMS_MAX]; /* outermost first; the last is a row's length */
	const void *data;                   /* no alignment is promised */
	size_t bytes;
};

struct file_check;
enum err safetensors_open(const char *path, const struct file_check *check,
	struct safetensors **out, struct errtext *et) MUST_CHECK;
/* The same from memory, which must outlive the result. `name` stands in errors. */
enum err safetensors_parse(const void *p, size_t n, const char *name, struct safetensors **out,
	struct errtext *et) MUST_CHECK;
void safetensors_free(struct safetensors *s); /* accepts NULL */

size_t safetensors_n(const struct safetensors *s);
const struct safetensor *safetensors_at(const struct safetensors *s, size_t i);
const struct safetensor *safetensors_find(const struct safetensors *s, struct str name);
struct str safetensors_bytes(const struct safetensors *s); /* the mapped file */

/* ERR_UNSUPPORTED with the reason when the bytes are a pickle, or a zip archive (in which PyTorch
 * keeps one), whatever the file is called. Weights in such files can run code when they are read.
 */
enum err refuse_pickle(const void *p, size_t n, const char *name, struct errtext *et) MUST_CHECK;

#endif
