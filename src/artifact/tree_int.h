/* What the files of trees share.
 *
 *	tree.c          paths, JSON, load, find, read, walk
 *	tree_diff.c     two trees compared
 *	tree_cut.c      where a chunk ends
 *	tree_build.c    files into chunks, in parallel, into a sink
 *	tree_folder.c   what a folder holds: the list of files that a tree is made from
 *	tree_writer.c   files from memory or streams
 *	tree_extract.c  a tree into a folder, or read to verify it
 *	tree_store.c    SQL: which project has which trees and chunks
 *	tree_own.c      uploads, commits, grants
 *	tree_gc.c       what nobody needs any more
 *	tree_routes.c   /api/v1/trees
 *	rows_routes.c   files of two trees compared row by row (rows.c)
 *	tree_client.c   chunks to and from a server
 *	tree_cmd.c      croft artifact push, pull, gc
 */
#ifndef ARTIFACT_TREE_INT_H
#define ARTIFACT_TREE_INT_H
#include "artifact/tree.h"
#include "module/module.h"

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
/* The files named, each under its path; they are read by tree_build only. */
struct tree_local;
enum err tree_inputs_of(const struct tree_local *files, size_t n, struct tree_inputs *out,
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

/* ---- rows ---- */

enum { N_TREE_MIGRATIONS = 2 };
extern const struct migration tree_migrations[N_TREE_MIGRATIONS];

struct tree_row {
	struct str digest, creator;
	int64_t files, bytes, created_ms;
};
enum err tree_row_put(
	struct tx *tx, struct str project, const struct tree_row *t, struct errtext *et) MUST_CHECK;
enum err tree_row_find(struct tx *tx, struct str project, struct str digest, bool *found,
	struct errtext *et) MUST_CHECK;
/* Who stored it first; .p NULL: it is not the project's. */
enum err tree_row_creator(struct tx *tx, struct str project, struct str digest, struct arena *a,
	struct str *out, struct errtext *et) MUST_CHECK;
/* Who may read only some artifacts of a project cannot name chunks that others have uploaded: such
 * uploads are noted one by one. lack[i]: `who` has not uploaded chunk i. */
enum err tree_uploads_put(struct tx *tx, struct str project, struct str who,
	const struct tree_chunk *c, size_t n, struct errtext *et) MUST_CHECK;
enum err tree_uploads_lack(struct tx *tx, struct str project, struct str who,
	const struct tree_chunk *c, size_t n, bool *lack, struct errtext *et) MUST_CHECK;
/* lack[i]: the project has not uploaded chunk i. */
enum err tree_chunks_lack(struct tx *tx, struct str project, const struct tree_chunk *c, size_t n,
	bool *lack, struct errtext *et) MUST_CHECK;
/* Notes them as the project's, as new as now. */
enum err tree_chunks_put(struct tx *tx, struct str project, const struct tree_chunk *c, size_t n,
	int64_t now_ms, struct errtext *et) MUST_CHECK;
/* Those that are there and older than before_ms become as new as now; the first that is not there:
 * *missing its index, else n. */
enum err tree_chunks_renew(struct tx *tx, struct str project, const struct tree_chunk *c, size_t n,
	int64_t before_ms, int64_t now_ms, size_t *missing, struct errtext *et) MUST_CHECK;

/* Collections in batches, numbered: `begun` is the last that began, `ended` the last that ended. */
struct tree_gc_state {
	int64_t begun, ended,
		running_ms; /* running_ms: a collection's last sign of life; 0: none */
};
enum err tree_gc_state(struct tx *tx, struct tree_gc_state *out, struct errtext *et) MUST_CHECK;
enum err tree_gc_state_put(
	struct tx *tx, const struct tree_gc_state *s, struct errtext *et) MUST_CHECK;
/* The newest batch that removes, or removed, any of these blobs; 0: none. */
enum err tree_dying(struct tx *tx, const struct tree_chunk *c, size_t n, int64_t *batch,
	struct errtext *et) MUST_CHECK;
enum err tree_dying_put(struct tx *tx, const uint8_t id[SHA256_BYTES], int64_t batch,
	int64_t now_ms, struct errtext *et) MUST_CHECK;
enum err tree_dying_clear(struct tx *tx, int64_t before_ms, struct errtext *et) MUST_CHECK;
typedef enum err (*tree_row_fn)(void *ctx, struct str project, struct str digest);
enum err tree_rows_each(struct tx *tx, tree_row_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* Trees that no live version names, and that are older than before_ms. */
enum err tree_rows_unused(
	struct tx *tx, int64_t before_ms, tree_row_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* Removes it when that is still so. */
enum err tree_row_expire(struct tx *tx, struct str project, struct str digest, int64_t before_ms,
	bool *gone, struct errtext *et) MUST_CHECK;
typedef enum err (*tree_chunk_fn)(void *ctx, struct str project, struct str id, int64_t added_ms);
enum err tree_chunks_each(
	struct tx *tx, tree_chunk_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
enum err tree_chunk_delete(struct tx *tx, struct str project, struct str id, int64_t before_ms,
	struct errtext *et) MUST_CHECK;
/* Whether any project has the blob, as a chunk or a tree. */
enum err tree_blob_needed(
	struct tx *tx, const uint8_t id[SHA256_BYTES], bool *needed, struct errtext *et) MUST_CHECK;

/* ---- uploads ---- */

/* On the wire a chunk is its id, its size as four bytes (least first), its bytes. */
enum { TREE_FRAME_HEAD = SHA256_BYTES + 4, TREE_REQUEST_MAX = 32 << 20, TREE_IDS_MAX = 4096 };
void tree_frame_head(const struct tree_chunk *c, uint8_t out[TREE_FRAME_HEAD]);
/* Takes the next frame off; ERR_INVALID. The content is not compared with the id. */
enum err tree_frame_next(
	struct str *rest, struct tree_chunk *c, struct str *bytes, struct errtext *et) MUST_CHECK;

struct tree_upload {
	struct tree_chunk *chunks;
	struct str *bytes;
	size_t n;
};
/* Verified, stored, durable, and the project's of `who`: only then does it return OK. */
enum err tree_upload(struct croft *c, const struct principal *who, const struct tree_upload *u,
	struct errtext *et) MUST_CHECK;
/* ERR_CONFLICT names a chunk that the project lacks. */
enum err tree_commit(struct croft *c, const struct principal *who, struct str json,
	struct tree_sum *out, struct errtext *et) MUST_CHECK;

/* ---- collection ---- */

struct tree_collected {
	int64_t trees, blobs, bytes, kept;
};
enum err tree_gc(struct croft *c, int64_t grace_ms, bool dry_run, const struct cancel *cancel,
	struct tree_collected *out, struct errtext *et) MUST_CHECK;

enum { N_TREE_ROUTES = 11, N_TREE_SHAPES = 6 };
extern const struct route tree_routes[N_TREE_ROUTES];
extern const struct shape tree_shapes[N_TREE_SHAPES];
/* {digest}, or {other}, of the path, when the project has it and no rule keeps it from who asks. */
enum err tree_named(struct croft *c, struct http_request *rq, const char *param,
	char hex[SHA256_HEX + 1], struct errtext *et) MUST_CHECK;
void get_tree_rows(struct croft *c, struct http_request *rq, struct http_response *rs);
extern const struct command tree_commands[3];

#endif
