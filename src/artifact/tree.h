/* Trees: what a version of an artifact holds, by content.
 *
 * A file is cut into chunks at places that its content decides (a gear hash; 256 KiB to 4 MiB, 1
 *MiB on average), so that two files, or two versions of one, share what is equal even when bytes
 *were inserted before it. A chunk is a blob. A tree is the sorted list of files, each with its
 *size, SHA-256 and chunks, as canonical JSON; it is a blob too, and its SHA-256 is the tree's
 *digest: it names every byte below it (a Merkle tree of depth two). Equal folders have equal
 *digests.
 *
 *	{"croft":"tree/1","files":[
 *	  {"path":"config.json","sha256":"...","size":12},          one chunk: the file itself
 *	  {"chunks":[{"id":"...","size":1048576},...],"executable":true,
 *	   "path":"model.bin","sha256":"...","size":8388608}]}
 *
 * A folder becomes a tree by tree_add, in parallel; anything else by a writer, file by file:
 *
 *	struct tree_writer *w;
 *	e = tree_writer_open(blobs, &w, et);
 *	e = tree_writer_bytes(w, S("card.md"), text, et);
 *	e = tree_writer_file(w, S("data.csv"), false, read_fn, ctx, et);
 *	e = tree_writer_finish(w, &sum, et);          // stored and durable; sum.digest names it
 *
 * Reading: tree_load, then tree_find and tree_read (a range, each chunk verified), or tree_extract.
 * A loaded tree is read-only and may be used by many threads. Paths in trees are relative, UTF-8,
 * without empty, "." or ".." segments and control characters; empty folders are not kept. */
#ifndef ARTIFACT_TREE_H
#define ARTIFACT_TREE_H
#include "base/arena.h"
#include "base/thread.h"
#include "store/blob.h"

enum { TREE_PATH_MAX = 1024, TREE_FILES_MAX = 1000000, TREE_CHUNK_MAX = 4 << 20 };

struct tree_chunk {
	uint8_t id[SHA256_BYTES];
	uint32_t size;
};

struct tree_file {
	struct str path; /* NUL-terminated */
	uint64_t size;
	bool executable;
	char sha256[SHA256_HEX + 1];
	struct tree_chunk *chunks; /* none: an empty file */
	size_t n_chunks;
};

struct tree {
	char digest[SHA256_HEX + 1];
	uint64_t bytes; /* of all files */
	struct tree_file *files;
	size_t n_files;
	struct arena *arena;
};

struct tree_sum {
	char digest[SHA256_HEX + 1];
	uint64_t files, bytes;
};

/* The one rule for paths: ERR_INVALID says what is wrong with it. */
enum err tree_path_check(struct str path, struct errtext *et) MUST_CHECK;
bool tree_digest_ok(struct str digest); /* 64 lower-case hex digits */

/* ---- making ---- */

struct tree_options {
	unsigned threads; /* 0: one per CPU */
	/* Links to files that lead out of the folder are followed instead of refused. */
	bool follow_links;
	/* From any of the threads, one at a time; total 0: not known yet. */
	void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *what);
	void *ctx;
	const struct cancel *cancel;
};

/* A file becomes a tree with one file, named like it. o may be NULL. */
enum err tree_add(struct blobs *b, const char *path, const struct tree_options *o,
	struct tree_sum *out, struct errtext *et) MUST_CHECK;

struct tree_writer;
/* Up to `max` bytes into `to`; *n 0 at the end. */
typedef enum err (*tree_read_fn)(void *ctx, void *to, size_t max, size_t *n, struct errtext *et);
enum err tree_writer_open(struct blobs *b, struct tree_writer **out, struct errtext *et) MUST_CHECK;
enum err tree_writer_file(struct tree_writer *w, struct str path, bool executable,
	tree_read_fn read, void *ctx, struct errtext *et) MUST_CHECK;
enum err tree_writer_bytes(
	struct tree_writer *w, struct str path, struct str bytes, struct errtext *et) MUST_CHECK;
/* A file of another tree, whose chunks are stored; under path, "": its own. */
enum err tree_writer_keep(struct tree_writer *w, const struct tree_file *f, struct str path,
	struct errtext *et) MUST_CHECK;
/* Frees w, whatever comes. */
enum err tree_writer_finish(
	struct tree_writer *w, struct tree_sum *out, struct errtext *et) MUST_CHECK;
void tree_writer_drop(struct tree_writer *w); /* accepts NULL */

/* ---- reading ---- */

enum err tree_load(
	struct blobs *b, const char *digest, struct tree **out, struct errtext *et) MUST_CHECK;
/* From its JSON, which must be canonical: ERR_CORRUPT. */
enum err tree_parse(struct str json, struct tree **out, struct errtext *et) MUST_CHECK;
void tree_free(struct tree *t);                                           /* accepts NULL */
const struct tree_file *tree_find(const struct tree *t, struct str path); /* NULL: none */
/* Exactly n bytes of f from `offset`; every chunk touched is verified. */
enum err tree_read(struct blobs *b, const struct tree_file *f, uint64_t offset, void *to, size_t n,
	struct errtext *et) MUST_CHECK;
/* Into the folder `dir`, which must not exist or be empty: everything is written beside it,
 * verified on the way, synced, and then renamed. */
enum err tree_extract(struct blobs *b, const struct tree *t, const char *dir,
	const struct tree_options *o, struct errtext *et) MUST_CHECK;
/* Reads every chunk and compares every hash: ERR_CORRUPT or ERR_NOT_FOUND names the file. */
enum err tree_verify(struct blobs *b, const struct tree *t, const struct tree_options *o,
	struct errtext *et) MUST_CHECK;

/* ---- comparing, walking ---- */

enum tree_change { TREE_ADDED, TREE_REMOVED, TREE_CHANGED };
struct tree_delta {
	enum tree_change change;
	const struct tree_file *before, *after; /* NULL where there is none */
	uint64_t shared; /* bytes of `after` in chunks that `before` has too */
};
struct tree_diff {
	struct tree_delta *deltas; /* by path */
	size_t n, same;            /* files that are equal */
	uint64_t shared, fresh;    /* bytes of b in chunks that a has somewhere; the others */
};
/* What becomes of a when it turns into b; pointers into both, memory of `arena`. */
enum err tree_diff(const struct tree *a, const struct tree *b, struct arena *arena,
	struct tree_diff *out, struct errtext *et) MUST_CHECK;

/* The blobs that a tree needs: itself, then its chunks, one as often as it occurs. fn returns an
 * error to stop. */
typedef enum err (*tree_blob_fn)(void *ctx, const uint8_t id[SHA256_BYTES], uint64_t size);
enum err tree_walk(struct blobs *b, const char *digest, tree_blob_fn fn, void *ctx,
	struct errtext *et) MUST_CHECK;

/* ---- whose it is ----
 *
 * A tree is seen only in the projects that it was granted to; nobody reads, or learns of, content
 * of another project by its hash. What code of this process has just stored (tree_add, a writer) it
 * grants; what a client commits is granted when the project has uploaded every chunk itself. A tree
 * that no version names is collected after a while (setting artifact.gc_grace). */

struct croft;
struct principal;
enum err tree_grant(struct croft *c, const struct principal *who, const char *digest,
	struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND unless the project has it. */
enum err tree_granted(
	struct croft *c, struct str project, const char *digest, struct errtext *et) MUST_CHECK;

#endif
