/* What the files of trees share.
 *
 *	tree.c          paths, JSON, load, find, read, walk
 *	tree_diff.c     two trees compared
 *	tree_cut.c      where a chunk ends
 *	tree_build.c    files into chunks, in parallel, into a sink
 *	tree_folder.c   what a folder holds: the list of files that a tree is made from
 *	tree_writer.c   files from memory or streams
 *	tree_extract.c  a tree into a folder, or read to verify it
 */
#ifndef ARTIFACT_TREE_INT_H
#define ARTIFACT_TREE_INT_H
#include "artifact/tree.h"

enum { TREE_CUT_MIN = 256 << 10, TREE_CUT_AVG = 1 << 20, TREE_DEPTH_MAX = 64 };
#define TREE_JSON_MAX ((size_t)256 << 20)

/* The length of the first chunk of p[0..n): at most TREE_CHUNK_MAX. n is the answer when no chunk
 * ends within; with more bytes to come, call again with them. */
size_t tree_cut(const uint8_t *p, size_t n);

/* Where chunks go: called from several threads; an error ends the work. */
struct tree_sink {
	enum err (*put)(
		void *ctx, const struct tree_chunk *c, struct str bytes, struct errtext *et);
	void *ctx;
};

/* A file to be read: from `path` of the machine. */
struct tree_input {
	struct tree_file file; /* path, size, executable; the rest is filled by tree_build */
	const char *from;
	int64_t mtime_ns;
};

struct tree_inputs {
	struct tree_input *v;
	size_t n, cap;
	uint64_t bytes;
	struct arena *arena;
};

/* What lies at `path`, sorted by path. Links and odd files are errors that name them. */
enum err tree_inputs_find(const char *path, const struct tree_options *o, struct tree_inputs *out,
	struct errtext *et) MUST_CHECK;
void tree_inputs_release(struct tree_inputs *in);
/* Reads all of them, gives each chunk to the sink, fills sha256 and chunks. */
enum err tree_build(struct tree_inputs *in, const struct tree_sink *sink,
	const struct tree_options *o, struct errtext *et) MUST_CHECK;

/* Checks a list of files (sorts it by path first: no path twice, none below a file). */
enum err tree_sort(struct tree_file *files, size_t n, struct errtext *et) MUST_CHECK;
enum err tree_render(
	const struct tree_file *files, size_t n, struct buf *out, struct errtext *et) MUST_CHECK;

/* Where chunks come from. `to` takes the bytes of n chunks, one after the other; they are verified
 * by the caller. */
struct tree_source {
	enum err (*get)(
		void *ctx, const struct tree_chunk *c, size_t n, uint8_t *to, struct errtext *et);
	void *ctx;
	size_t group_bytes; /* ask for chunks together up to so many bytes */
};
struct tree_source tree_source_blobs(struct blobs *b);
/* dir NULL: nothing is written, only verified. */
enum err tree_extract_from(const struct tree_source *s, const struct tree *t, const char *dir,
	const struct tree_options *o, struct errtext *et) MUST_CHECK;

/* Progress of several threads: told at most ten times a second. */
struct tree_meter {
	const struct tree_options *o;
	pthread_mutex_t mu;
	uint64_t done, total, said_ns;
};
void tree_meter_add(struct tree_meter *m, uint64_t bytes, const char *what);
unsigned tree_threads(const struct tree_options *o);

#endif
