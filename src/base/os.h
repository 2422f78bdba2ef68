/* Files. Every write that is acknowledged goes through os_write_atomic or does the same: write to
 * a temporary name in the same folder, fsync, rename, fsync the folder. Paths that come from
 * outside are opened beneath a root with os_open_beneath, never by concatenation. */
#ifndef BASE_OS_H
#define BASE_OS_H
#include <sys/types.h>
#include "base/str.h"

/* Reads a whole file; more than max bytes (0: 1 GiB) is ERR_TOO_LARGE. Appends to out. */
enum err os_read_file(const char *path, size_t max, struct buf *out, struct errtext *et);
enum err os_write_atomic(const char *path, struct str data, struct errtext *et);
/* The same of what fn writes to fd, for what is too large to be one piece. */
typedef enum err (*os_write_fn)(void *ctx, int fd, struct errtext *et);
enum err os_write_atomic_by(const char *path, os_write_fn fn, void *ctx, struct errtext *et);
enum err os_write_all(int fd, const void *p, size_t n, struct errtext *et);
enum err os_fsync_dir(const char *path, struct errtext *et);
enum err os_mkdirs(const char *path, struct errtext *et); /* 0700, parents too; existing is OK */
enum err os_remove_tree(const char *path, struct errtext *et); /* does not follow links */
bool os_exists(const char *path);
bool os_is_dir(const char *path);
/* Gives freed memory back to the system. The C library keeps it, for each thread apart, in the hope
 * that it is wanted again: worth a call after a use of memory that is rare and large. */
void os_return_memory(void);
int64_t os_file_size(const char *path); /* -1 when it is no regular file */
uint64_t os_disk_free(const char *path);

/* Opens root/rel for reading; refuses absolute paths, "..", and links that lead out of root. */
enum err os_open_beneath(const char *root, struct str rel, int *fd, struct errtext *et);

struct os_map {
	const void *p;
	size_t n;
};
enum err os_map_file(const char *path, struct os_map *out, struct errtext *et); /* read-only */
void os_unmap(struct os_map *m);

/* An exclusive lock on a file that is made if needed; released at os_unlock or when the process
 * ends, however it ends. ERR_BUSY when another process holds it. */
enum err os_lock(const char *path, int *fd, struct errtext *et);
void os_unlock(int fd);

/* Calls fn for each regular file below path (or for path itself), in name order, without following
 * links out of it, not deeper than 64; hidden names are skipped unless `hidden`. fn returns an
 * error to stop. Unreadable folders are passed to fn with err set. */
typedef enum err (*os_walk_fn)(void *ctx, const char *path, enum err err, const char *reason);
enum err os_walk(const char *path, bool hidden, os_walk_fn fn, void *ctx, struct errtext *et);

#endif
