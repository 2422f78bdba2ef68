/* GGUF files (versions 2 and 3, little-endian): metadata and tensors of a mapped file.
 *
 * Everything is checked when the file is opened (counts, lengths, types, shapes, alignment, bounds,
 * overlaps, duplicates), so that the accessors cannot fail. All strings and tensor data are
 *borrowed from the map and valid until gguf_free. Immutable after opening; any thread may read.
 *
 *	struct gguf *g;
 *	enum err e = gguf_open(path, NULL, &g, et);                 // ERR_CORRUPT, ERR_UNSUPPORTED,
 *... struct str arch = gguf_str(g, "general.architecture"); struct gguf_array toks; if
 *(gguf_array(g, "tokenizer.ggml.tokens", &toks) && toks.type == GGUF_STRING) for (size_t i = 0; i <
 *toks.n; i++) use(toks.strs[i]); gguf_free(g); */
#ifndef ENGINE_GGUF_H
#define ENGINE_GGUF_H
#include "base/str.h"
#include "kernels/kernels.h"

enum { GGUF_DIMS_MAX = 4, GGUF_NAME_MAX = 64 };

/* Types of metadata values, numbered as in the file. */
enum gguf_type {
	GGUF_U8,
	GGUF_I8,
	GGUF_U16,
	GGUF_I16,
	GGUF_U32,
	GGUF_I32,
	GGUF_F32,
	GGUF_BOOL,
	GGUF_STRING,
	GGUF_ARRAY,
	GGUF_U64,
	GGUF_I64,
	GGUF_F64,
	GGUF_TYPES
};

struct gguf;

struct gguf_array {
	enum gguf_type type; /* of the elements; never GGUF_ARRAY */
	size_t n;
	const struct str *strs; /* n strings when type is GGUF_STRING */
	const void *raw;        /* else n packed values, without alignment: use gguf_at_* */
};

struct gguf_tensor {
	struct str name;
	enum kern_type type;
	unsigned n_dims;
	uint64_t dim[GGUF_DIMS_MAX]; /* dim[0] is the row's length; unused ones are 1 */
	const void *data;
	size_t bytes;
};

struct file_check;
enum err gguf_open(const char *path, const struct file_check *check, struct gguf **out,
	struct errtext *et) MUST_CHECK;
/* The same from memory, which must outlive the result. `name` stands in errors. */
enum err gguf_parse(const void *p, size_t n, const char *name, struct gguf **out,
	struct errtext *et) MUST_CHECK;
void gguf_free(struct gguf *g); /* accepts NULL */

/* Metadata. A key that is absent, or whose value is of another kind, gives `otherwise` ({NULL, 0}
 * for strings). Integers of every width serve gguf_i64 (u64 above INT64_MAX does not), and floats
 * and integers serve gguf_f64. */
struct str gguf_str(const struct gguf *g, const char *key);
int64_t gguf_i64(const struct gguf *g, const char *key, int64_t otherwise);
double gguf_f64(const struct gguf *g, const char *key, double otherwise);
bool gguf_bool(const struct gguf *g, const char *key, bool otherwise);
bool gguf_array(const struct gguf *g, const char *key, struct gguf_array *out);
int64_t gguf_at_i64(const struct gguf_array *a, size_t i); /* integers and booleans, else 0 */
double gguf_at_f64(const struct gguf_array *a, size_t i);  /* floats and integers, else 0 */

size_t gguf_n_keys(const struct gguf *g);
struct str gguf_key(const struct gguf *g, size_t i, enum gguf_type *type);

size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name); /* NULL: absent */

/* The mapped bytes, for hashing. */
struct str gguf_bytes(const struct gguf *g);

#endif
