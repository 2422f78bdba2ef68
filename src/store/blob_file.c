/* Blobs as files: "file:/path". Blob abcdef... is path/ab/cdef...; path/tmp holds what is being
 * written.
 *
 *  1. A file gets its name only when its bytes are complete and synced; put returns after its
 *     folder is synced too.
 *  2. A put of what is there compares it: a damaged or cut file is replaced by the good bytes.
 *  3. Its time is set to now then, so that a sweep that began before does not take it away. Put
 *     and sweep of one blob exclude each other by one of the locks below.
 *  4. After a failed write, fsync or rename nothing has the name; a failed fsync is not repeated
 *     on the same file, because the kernel may have dropped the pages: the next put writes anew. */
#include "store/blob_int.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STALE_MS = 3600 * 1000 };

struct blob_sys blob_sys = {write, fsync, rename, NULL};

int blob_syncfs(int fd)
{
	return blob_sys.syncfs ? blob_sys.syncfs(fd) : syncfs(fd);
}

pthread_mutex_t *blob_file_lock(struct blob_files *f, const char *hex)
{
	uint8_t first;
	hex_decode(str_mk(hex, 2), &first, 1);
	return &f->mu[first % BLOB_LOCKS];
}

void blob_file_path(const struct blob_files *f, const char *hex, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%.2s/%s", f->root, hex, hex + 2);
}

void blob_file_shard(const struct blob_files *f, const char *hex, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%.2s", f->root, hex);
}

void blob_file_tmp(const struct blob_files *f, char out[PATH_MAX])
{
	char unique[ID_HEX + 1];
	id_hex(id_new(), unique);
	snprintf(out, PATH_MAX, "%s/tmp/%s", f->root, unique);
}

static void file_close(void *ctx);
static enum err file_remove_stale(
	void *ctx, int64_t before_ms, uint64_t *freed, struct errtext *et);

static enum err file_open(const char *at, void **ctx, struct errtext *et)
{
	if (!*at || strlen(at) > PATH_MAX - 128)
		return err_set(
			et, ERR_INVALID, "file: needs a path, as in file:/var/lib/croft/blobs");
	struct blob_files *f = calloc(1, sizeof *f);
	if (f)
		f->root = str_dup(str_c(at));
	if (!f || !f->root) {
		free(f);
		return err_set(et, ERR_NOMEM, "no memory for the blob store");
	}
	char tmp[PATH_MAX];
	snprintf(tmp, sizeof tmp, "%s/tmp", at);
	enum err e = os_mkdirs(tmp, et);
	if (!e)
		e = os_fsync_dir(at, et);
	if (e) {
		free(f->root);
		free(f);
		return e;
	}
	for (int i = 0; i < BLOB_LOCKS; i++)
		pthread_mutex_init(&f->mu[i], NULL);
	uint64_t freed = 0;
	e = file_remove_stale(f, clock_unix_ms() - STALE_MS, &freed, et);
	if (e) {
		file_close(f);
		return e;
	}
	*ctx = f;
	return OK;
}

static void file_close(void *ctx)
{
	struct blob_files *f = ctx;
	for (int i = 0; i < BLOB_LOCKS; i++)
		pthread_mutex_destroy(&f->mu[i]);
	free(f->root);
	free(f);
}

/* ---- put ---- */

enum err blob_file_sync_dir(const char *path, struct errtext *et)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	enum err e = blob_sys.fsync(fd) ? err_errno(et, "%s: fsync", path) : OK;
	close(fd);
	return e;
}

static enum err map_blob(const char *path, struct os_map *out, struct errtext *et)
{
	if (os_file_size(path) == 0) {
		*out = (struct os_map){0};
		return OK;
	}
	return os_map_file(path, out, et);
}

static bool same_content(const char *path, struct str data)
{
	struct os_map m;
	if (os_file_size(path) != (int64_t)data.n || map_blob(path, &m, NULL))
		return false;
	bool same = m.n == data.n && (!m.n || memcmp(m.p, data.p, m.n) == 0);
	os_unmap(&m);
	return same;
}

enum err blob_write_all(int fd, struct str data, const char *path, struct errtext *et)
{
	while (data.n) {
		ssize_t k = blob_sys.write(fd, data.p, data.n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			if (k == 0)
				errno = ENOSPC;
			return err_errno(et, "%s", path);
		}
		data.p += k;
		data.n -= (size_t)k;
	}
	return OK;
}

static enum err write_tmp(const char *tmp, struct str data, struct errtext *et)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_errno(et, "%s", tmp);
	enum err e = blob_write_all(fd, data, tmp, et);
	if (!e && blob_sys.fsync(fd))
		e = err_errno(et, "%s: fsync", tmp);
	if (close(fd) && !e)
		e = err_errno(et, "%s: close", tmp);
	return e;
}

/* The folder of a blob, made and synced into its parent when it is the first there. */
static enum err make_shard(const struct blob_files *f, const char *shard, struct errtext *et)
{
	if (mkdir(shard, 0700) == 0) {
		enum err e = blob_file_sync_dir(f->root, et);
		if (e)
			rmdir(shard); /* so that the next put syncs again */
		return e;
	}
	return errno == EEXIST ? OK : err_errno(et, "%s", shard);
}

static enum err put_locked(
	struct blob_files *f, const char *hex, struct str data, struct errtext *et)
{
	char path[PATH_MAX], shard[PATH_MAX], tmp[PATH_MAX];
	blob_file_path(f, hex, path);
	blob_file_shard(f, hex, shard);
	if (same_content(path, data)) {
		if (utimensat(AT_FDCWD, path, NULL, 0))
			return err_errno(et, "%s", path);
		return blob_file_sync_dir(shard, et);
	}
	blob_file_tmp(f, tmp);
	enum err e = make_shard(f, shard, et);
	if (!e)
		e = write_tmp(tmp, data, et);
	if (!e && blob_sys.rename(tmp, path))
		e = err_errno(et, "%s", path);
	if (e) {
		unlink(tmp);
		return e;
	}
	e = blob_file_sync_dir(shard, et);
	if (e)
		unlink(path);
	return e;
}

static enum err file_put(void *ctx, const char *hex, struct str data, struct errtext *et)
{
	struct blob_files *f = ctx;
	pthread_mutex_t *mu = blob_file_lock(f, hex);
	pthread_mutex_lock(mu);
	enum err e = put_locked(f, hex, data, et);
	pthread_mutex_unlock(mu);
	return e;
}

/* ---- get, stat, delete ---- */

static enum err missing(const char *hex, struct errtext *et)
{
	return err_set(et, ERR_NOT_FOUND, "blob %.16s is not stored here", hex);
}

static int64_t modified_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

static enum err file_get(void *ctx, const char *hex, struct os_map *out, struct errtext *et)
{
	char path[PATH_MAX];
	blob_file_path(ctx, hex, path);
	if (!os_exists(path))
		return missing(hex, et);
	return map_blob(path, out, et);
}

static enum err file_stat(void *ctx, const char *hex, struct blob_info *out, struct errtext *et)
{
	char path[PATH_MAX];
	struct stat st;
	blob_file_path(ctx, hex, path);
	if (stat(path, &st))
		return errno == ENOENT ? missing(hex, et) : err_errno(et, "%s", path);
	*out = (struct blob_info){(uint64_t)st.st_size, modified_ms(&st)};
	return OK;
}

static enum err file_read(
	void *ctx, const char *hex, uint64_t offset, void *to, size_t n, struct errtext *et)
{
	char path[PATH_MAX], *at = to;
	blob_file_path(ctx, hex, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? missing(hex, et) : err_errno(et, "%s", path);
	enum err e = OK;
	while (n && !e) {
		ssize_t k = pread(fd, at, n, (off_t)offset);
		if (k < 0 && errno != EINTR)
			e = err_errno(et, "%s", path);
		else if (k == 0)
			e = err_set(
				et, ERR_INVALID, "blob %.16s ends before the range asked for", hex);
		if (k <= 0)
			continue;
		at += k;
		offset += (uint64_t)k;
		n -= (size_t)k;
	}
	close(fd);
	return e;
}

static enum err file_renew(void *ctx, const char *hex, struct errtext *et)
{
	struct blob_files *f = ctx;
	char path[PATH_MAX];
	blob_file_path(f, hex, path);
	pthread_mutex_t *mu = blob_file_lock(f, hex);
	pthread_mutex_lock(mu);
	enum err e = OK;
	if (utimensat(AT_FDCWD, path, NULL, 0))
		e = errno == ENOENT ? missing(hex, et) : err_errno(et, "%s", path);
	pthread_mutex_unlock(mu);
	return e;
}

static enum err file_remove(void *ctx, const char *hex, struct errtext *et)
{
	struct blob_files *f = ctx;
	char path[PATH_MAX];
	blob_file_path(f, hex, path);
	pthread_mutex_t *mu = blob_file_lock(f, hex);
	pthread_mutex_lock(mu);
	enum err e = OK;
	if (unlink(path))
		e = errno == ENOENT ? missing(hex, et) : err_errno(et, "%s", path);
	pthread_mutex_unlock(mu);
	return e;
}

/* ---- writers ---- */

static enum err file_spool(void *ctx, int *fd, char path[PATH_MAX], struct errtext *et)
{
	char tmp[PATH_MAX];
	blob_file_tmp(ctx, tmp);
	int got = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (got < 0)
		return err_errno(et, "%s", tmp);
	memcpy(path, tmp, sizeof tmp);
	*fd = got;
	return OK;
}

static enum err put_spooled_locked(
	struct blob_files *f, const char *hex, const char *tmp, uint64_t size, struct errtext *et)
{
	char path[PATH_MAX], shard[PATH_MAX];
	blob_file_path(f, hex, path);
	blob_file_shard(f, hex, shard);
	if (os_file_size(path) == (int64_t)size) {
		struct os_map m;
		enum err e = size ? os_map_file(tmp, &m, et) : OK;
		if (e)
			return e;
		bool same = !size || same_content(path, str_mk(m.p, m.n));
		if (size)
			os_unmap(&m);
		if (same && utimensat(AT_FDCWD, path, NULL, 0))
			return err_errno(et, "%s", path);
		if (same)
			return blob_file_sync_dir(shard, et);
	}
	enum err e = make_shard(f, shard, et);
	if (!e && blob_sys.rename(tmp, path))
		e = err_errno(et, "%s", path);
	if (e)
		return e;
	e = blob_file_sync_dir(shard, et);
	if (e)
		unlink(path);
	return e;
}

static enum err file_put_spooled(
	void *ctx, const char *hex, int fd, const char *path, uint64_t size, struct errtext *et)
{
	struct blob_files *f = ctx;
	if (blob_sys.fsync(fd))
		return err_errno(et, "%s: fsync", path);
	pthread_mutex_t *mu = blob_file_lock(f, hex);
	pthread_mutex_lock(mu);
	enum err e = put_spooled_locked(f, hex, path, size, et);
	pthread_mutex_unlock(mu);
	return e;
}

/* ---- all, and sweep ---- */

static bool is_rest(const char *name)
{
	return strlen(name) == SHA256_HEX - 2 && strspn(name, "0123456789abcdef") == SHA256_HEX - 2;
}

static enum err each_in_shard(
	const struct blob_files *f, unsigned shard, blob_each_fn fn, void *fctx, struct errtext *et)
{
	char dir[PATH_MAX], hex[SHA256_HEX + 1];
	snprintf(dir, sizeof dir, "%s/%02x", f->root, shard);
	DIR *d = opendir(dir);
	if (!d)
		return errno == ENOENT ? OK : err_errno(et, "%s", dir);
	enum err e = OK;
	for (struct dirent *de; !e && (de = readdir(d));) {
		struct stat st;
		if (!is_rest(de->d_name) || fstatat(dirfd(d), de->d_name, &st, 0) ||
			!S_ISREG(st.st_mode))
			continue;
		snprintf(hex, sizeof hex, "%02x%.62s", shard, de->d_name);
		struct blob_info info = {(uint64_t)st.st_size, modified_ms(&st)};
		e = fn(fctx, hex, &info);
	}
	closedir(d);
	return e;
}

static enum err file_each(void *ctx, blob_each_fn fn, void *fctx, struct errtext *et)
{
	enum err e = OK;
	for (unsigned i = 0; !e && i < 256; i++)
		e = each_in_shard(ctx, i, fn, fctx, et);
	return e;
}

static enum err file_remove_old(
	void *ctx, const char *hex, int64_t before_ms, uint64_t *freed, struct errtext *et)
{
	struct blob_files *f = ctx;
	char path[PATH_MAX];
	struct stat st;
	blob_file_path(f, hex, path);
	pthread_mutex_t *mu = blob_file_lock(f, hex);
	pthread_mutex_lock(mu);
	enum err e = OK;
	if (stat(path, &st))
		e = errno == ENOENT ? missing(hex, et) : err_errno(et, "%s", path);
	else if (modified_ms(&st) < before_ms) {
		if (unlink(path))
			e = err_errno(et, "%s", path);
		else
			*freed = (uint64_t)st.st_size;
	}
	pthread_mutex_unlock(mu);
	return e;
}

static enum err file_remove_stale(void *ctx, int64_t before_ms, uint64_t *freed, struct errtext *et)
{
	struct blob_files *f = ctx;
	char dir[PATH_MAX];
	snprintf(dir, sizeof dir, "%s/tmp", f->root);
	DIR *d = opendir(dir);
	if (!d)
		return err_errno(et, "%s", dir);
	for (struct dirent *de; (de = readdir(d));) {
		struct stat st;
		if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode) && modified_ms(&st) < before_ms &&
			unlinkat(dirfd(d), de->d_name, 0) == 0)
			*freed += (uint64_t)st.st_size;
	}
	closedir(d);
	return OK;
}

const struct blob_backend blob_file = {
	.scheme = "file",
	.open = file_open,
	.close = file_close,
	.put = file_put,
	.get = file_get,
	.read = file_read,
	.stat = file_stat,
	.renew = file_renew,
	.remove = file_remove,
	.each = file_each,
	.remove_old = file_remove_old,
	.remove_stale = file_remove_stale,
	.spool = file_spool,
	.put_spooled = file_put_spooled,
	.batch_begin = blob_file_batch_begin,
	.batch_put = blob_file_batch_put,
	.batch_commit = blob_file_batch_commit,
	.batch_end = blob_file_batch_end,
};
