/* Blobs: immutable bytes by their SHA-256, chosen by URL ("file:/path", "s3://..."). What a put,
 * a finished writer or a committed batch acknowledged is on stable storage; half of a blob is never
 * visible. Any thread, but one writer belongs to one thread.
 *
 *	char hex[SHA256_HEX + 1];
 *	e = blob_put(b, bytes, hex, et);              // small: one call
 *
 *	struct blob_writer *w;                        // large: as the bytes come
 *	e = blob_writer_open(b, &w, et);
 *	e = blob_writer_add(w, part, et);
 *	e = blob_writer_finish(w, NULL, hex, &size, et);
 *
 *	struct blob_batch *g;                         // many: synced together
 *	e = blob_batch_begin(b, &g, et);
 *	e = blob_batch_put(g, hex, bytes, et);        // from any thread
 *	e = blob_batch_commit(g, et);                 // now all of them are acknowledged
 *	blob_batch_end(g); */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H
#include "base/hash.h"
#include "base/os.h"

struct blobs;
struct blob_writer;
struct blob_batch;

struct blob_info {
	uint64_t size;
	int64_t modified_ms; /* when it was put, put again or renewed */
};

enum err blobs_open(const char *url, struct blobs **out, struct errtext *et) MUST_CHECK;
void blobs_close(struct blobs *b);
/* Storing what is there already costs the hash only. */
enum err blob_put(
	struct blobs *b, struct str data, char hex[SHA256_HEX + 1], struct errtext *et) MUST_CHECK;
/* The bytes, mapped; ERR_NOT_FOUND; `verify` reads them all and ERR_CORRUPT says so. */
enum err blob_get(struct blobs *b, const char *hex, bool verify, struct os_map *out,
	struct errtext *et) MUST_CHECK;
/* Exactly n bytes from `offset`; past the end is ERR_INVALID. */
enum err blob_read(struct blobs *b, const char *hex, uint64_t offset, void *to, size_t n,
	struct errtext *et) MUST_CHECK;
enum err blob_stat(struct blobs *b, const char *hex, struct blob_info *out,
	struct errtext *et) MUST_CHECK;             /* ERR_NOT_FOUND */
bool blob_exists(struct blobs *b, const char *hex); /* false too when the store cannot say */
/* As if it were put again now: a sweep that began before keeps it. ERR_NOT_FOUND. */
enum err blob_renew(struct blobs *b, const char *hex, struct errtext *et) MUST_CHECK;
enum err blob_delete(struct blobs *b, const char *hex, struct errtext *et);

/* ---- a large one, as the bytes come ---- */

enum err blob_writer_open(struct blobs *b, struct blob_writer **out, struct errtext *et) MUST_CHECK;
enum err blob_writer_add(struct blob_writer *w, struct str data, struct errtext *et) MUST_CHECK;
/* Frees w, whatever comes. `want` is NULL or the hash it must have: ERR_CORRUPT, nothing stored. */
enum err blob_writer_finish(struct blob_writer *w, const char *want, char hex[SHA256_HEX + 1],
	uint64_t *size, struct errtext *et) MUST_CHECK;
void blob_writer_drop(struct blob_writer *w); /* accepts NULL */

/* ---- many, synced together ---- */

enum err blob_batch_begin(struct blobs *b, struct blob_batch **out, struct errtext *et) MUST_CHECK;
/* hex must be the SHA-256 of data: the caller has just computed it. What is there with the same
 * size is taken as it is. Large batches are committed on the way. */
enum err blob_batch_put(
	struct blob_batch *g, const char *hex, struct str data, struct errtext *et) MUST_CHECK;
enum err blob_batch_commit(struct blob_batch *g, struct errtext *et) MUST_CHECK;
void blob_batch_end(struct blob_batch *g); /* drops what was not committed; accepts NULL */

/* ---- all of them ---- */

/* Each blob once, in no order; fn returns an error to stop. Those put meanwhile may be missed. */
typedef enum err (*blob_each_fn)(void *ctx, const char *hex, const struct blob_info *info);
enum err blobs_each(struct blobs *b, blob_each_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* Removes blobs for which keep() is false and that are older than `grace_ms`, and what writers
 * that are gone left behind. */
struct blob_swept {
	uint64_t blobs, bytes, kept;
};
enum err blobs_sweep_older(struct blobs *b, int64_t grace_ms,
	bool (*keep)(void *ctx, const char *hex), void *ctx, struct blob_swept *out,
	struct errtext *et) MUST_CHECK;
/* One, unless it was put or renewed since; *freed is its size, or 0. */
enum err blob_delete_older(struct blobs *b, const char *hex, int64_t before_ms, uint64_t *freed,
	struct errtext *et) MUST_CHECK;
/* What writers and uploads that are gone left behind. */
enum err blobs_sweep_stale(
	struct blobs *b, int64_t before_ms, uint64_t *freed, struct errtext *et) MUST_CHECK;
/* The same as blobs_sweep_older with an hour; counts bytes. */
enum err blobs_sweep(struct blobs *b, bool (*keep)(void *ctx, const char *hex), void *ctx,
	uint64_t *freed, struct errtext *et);

#endif
