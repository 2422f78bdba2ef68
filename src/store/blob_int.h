/* What a blob backend is: a scheme and a table of functions (listed in blob.c). Names are SHA-256
 * in hex, checked by blob.c; so are content and name of a put. */
#ifndef STORE_BLOB_INT_H
#define STORE_BLOB_INT_H
#include <limits.h>
#include <pthread.h>
#include "store/blob.h"

struct blob_backend {
	const char *scheme;
	/* `at` is what follows the colon. */
	enum err (*open)(const char *at, void **ctx, struct errtext *et);
	void (*close)(void *ctx);
	/* Returns when the bytes are on stable storage; what was there already and is the same
	 * counts as new for `remove_old`. */
	enum err (*put)(void *ctx, const char *hex, struct str data, struct errtext *et);
	enum err (*get)(void *ctx, const char *hex, struct os_map *out, struct errtext *et);
	enum err (*read)(void *ctx, const char *hex, uint64_t offset, void *to, size_t n,
		struct errtext *et);
	enum err (*stat)(void *ctx, const char *hex, struct blob_info *out, struct errtext *et);
	enum err (*renew)(void *ctx, const char *hex, struct errtext *et);
	enum err (*remove)(void *ctx, const char *hex, struct errtext *et);
	enum err (*each)(void *ctx, blob_each_fn fn, void *fctx, struct errtext *et);
	/* Removes it unless it was put or renewed since `before_ms`; *freed is its size or 0. */
	enum err (*remove_old)(
		void *ctx, const char *hex, int64_t before_ms, uint64_t *freed, struct errtext *et);
	/* Removes what unfinished writers left before that time. */
	enum err (*remove_stale)(void *ctx, int64_t before_ms, uint64_t *freed, struct errtext *et);
	/* A file that a writer fills: its descriptor and path. */
	enum err (*spool)(void *ctx, int *fd, char path[PATH_MAX], struct errtext *et);
	/* Stores a filled one under its name. The caller closes fd and unlinks path afterwards. */
	enum err (*put_spooled)(void *ctx, const char *hex, int fd, const char *path, uint64_t size,
		struct errtext *et);
	/* Several puts with one barrier. NULL: each put is its own. */
	enum err (*batch_begin)(void *ctx, void **batch, struct errtext *et);
	enum err (*batch_put)(void *batch, const char *hex, struct str data, struct errtext *et);
	enum err (*batch_commit)(void *batch, struct errtext *et);
	void (*batch_end)(void *batch);
};

extern const struct blob_backend blob_file, blob_s3;

/* The calls of blob_file.c and blob_batch.c that can fail on a bad day; tests put failing ones in
 * their place. */
struct blob_sys {
	ssize_t (*write)(int fd, const void *p, size_t n);
	int (*fsync)(int fd);
	int (*rename)(const char *from, const char *to);
	int (*syncfs)(int fd); /* NULL: the real one */
};
extern struct blob_sys blob_sys;
enum err blob_write_all(int fd, struct str data, const char *path, struct errtext *et);
int blob_syncfs(int fd);

/* ---- shared by blob_file.c and blob_batch.c ---- */

enum { BLOB_LOCKS = 64 };

struct blob_files {
	char *root;
	pthread_mutex_t mu[BLOB_LOCKS]; /* put, batch and sweep of one blob exclude each other */
};

pthread_mutex_t *blob_file_lock(struct blob_files *f, const char *hex);
void blob_file_path(const struct blob_files *f, const char *hex, char out[PATH_MAX]);
void blob_file_shard(const struct blob_files *f, const char *hex, char out[PATH_MAX]);
void blob_file_tmp(const struct blob_files *f, char out[PATH_MAX]); /* a fresh name */
enum err blob_file_sync_dir(const char *path, struct errtext *et);

enum err blob_file_batch_begin(void *ctx, void **batch, struct errtext *et);
enum err blob_file_batch_put(void *batch, const char *hex, struct str data, struct errtext *et);
enum err blob_file_batch_commit(void *batch, struct errtext *et);
void blob_file_batch_end(void *batch);

#endif
