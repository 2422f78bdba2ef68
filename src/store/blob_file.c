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

enum { LOCKS = 64, SWEEP_AGE_MS = 3600 * 1000 };

struct blob_sys blob_sys = {write, fsync, rename};

struct files {
	char *root;
	pthread_mutex_t mu[LOCKS];
};

static pthread_mutex_t *lock_of(struct files *f, const char *hex)
{
	uint8_t first;
	hex_decode(str_mk(hex, 2), &first, 1);
	return &f->mu[first % LOCKS];
}

static void path_of(const struct files *f, const char *hex, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%.2s/%s", f->root, hex, hex + 2);
}

static void shard_of(const struct files *f, const char *hex, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%.2s", f->root, hex);
}

static enum err file_open(const char *at, void **ctx, struct errtext *et)
{
	if (!*at || strlen(at) > PATH_MAX - 128)
		return err_set(
			et, ERR_INVALID, "file: needs a path, as in file:/var/lib/croft/blobs");
	struct files *f = calloc(1, sizeof *f);
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
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&f->mu[i], NULL);
	*ctx = f;
	return OK;
}

static void file_close(void *ctx)
{
	struct files *f = ctx;
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&f->mu[i]);
	free(f->root);
	free(f);
}

/* ---- put ---- */

static enum err sync_dir(const char *path, struct errtext *et)
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

static enum err write_all(int fd, struct str data, const char *path, struct errtext *et)
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
	enum err e = write_all(fd, data, tmp, et);
	if (!e && blob_sys.fsync(fd))
		e = err_errno(et, "%s: fsync", tmp);
	if (close(fd) && !e)
		e = err_errno(et, "%s: close", tmp);
	return e;
}

/* The folder of a blob, made and synced into its parent when it is the first there. */
static enum err make_shard(const struct files *f, const char *shard, struct errtext *et)
{
	if (mkdir(shard, 0700) == 0) {
		enum err e = sync_dir(f->root, et);
		if (e)
			rmdir(shard); /* so that the next put syncs again */
		return e;
	}
	return errno == EEXIST ? OK : err_errno(et, "%s", shard);
}

static enum err put_locked(struct files *f, const char *hex, struct str data, struct errtext *et)
{
	char path[PATH_MAX], shard[PATH_MAX], tmp[PATH_MAX], unique[ID_HEX + 1];
	path_of(f, hex, path);
	shard_of(f, hex, shard);
	if (same_content(path, data)) {
		if (utimensat(AT_FDCWD, path, NULL, 0))
			return err_errno(et, "%s", path);
		return sync_dir(shard, et);
	}
	id_hex(id_new(), unique);
	snprintf(tmp, sizeof tmp, "%s/tmp/%s", f->root, unique);
	enum err e = make_shard(f, shard, et);
	if (!e)
		e = write_tmp(tmp, data, et);
	if (!e && blob_sys.rename(tmp, path))
		e = err_errno(et, "%s", path);
	if (e) {
		unlink(tmp);
		return e;
	}
	e = sync_dir(shard, et);
	if (e)
		unlink(path);
	return e;
}

static enum err file_put(void *ctx, const char *hex, struct str data, struct errtext *et)
{
	struct files *f = ctx;
	pthread_mutex_t *mu = lock_of(f, hex);
	pthread_mutex_lock(mu);
	enum err e = put_locked(f, hex, data, et);
	pthread_mutex_unlock(mu);
	return e;
}

/* ---- get, delete ---- */

static enum err file_get(void *ctx, const char *hex, struct os_map *out, struct errtext *et)
{
	char path[PATH_MAX];
	path_of(ctx, hex, path);
	if (!os_exists(path))
		return err_set(et, ERR_NOT_FOUND, "blob %.16s is not stored here", hex);
	return map_blob(path, out, et);
}

static bool file_exists(void *ctx, const char *hex)
{
	char path[PATH_MAX];
	path_of(ctx, hex, path);
	return os_exists(path);
}

static enum err file_remove(void *ctx, const char *hex, struct errtext *et)
{
	struct files *f = ctx;
	char path[PATH_MAX];
	path_of(f, hex, path);
	pthread_mutex_t *mu = lock_of(f, hex);
	pthread_mutex_lock(mu);
	enum err e = OK;
	if (unlink(path))
		e = errno == ENOENT
			    ? err_set(et, ERR_NOT_FOUND, "blob %.16s is not stored here", hex)
			    : err_errno(et, "%s", path);
	pthread_mutex_unlock(mu);
	return e;
}

/* ---- sweep ---- */

static bool old_file(const char *path, uint64_t *bytes)
{
	struct stat st;
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return false;
	*bytes = (uint64_t)st.st_size;
	int64_t ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return clock_unix_ms() - ms > SWEEP_AGE_MS;
}

struct sweep {
	struct files *f;
	bool (*keep)(void *kctx, const char *hex);
	void *kctx;
	uint64_t freed;
};

static void sweep_one(struct sweep *s, const char *path, const char *hex)
{
	uint64_t bytes = 0;
	if (!old_file(path, &bytes) || (hex && s->keep(s->kctx, hex)))
		return;
	pthread_mutex_t *mu = hex ? lock_of(s->f, hex) : NULL;
	if (mu)
		pthread_mutex_lock(mu);
	if (old_file(path, &bytes) && unlink(path) == 0)
		s->freed += bytes;
	if (mu)
		pthread_mutex_unlock(mu);
}

/* shard: two hex digits, or "tmp", whose files have no blob name. */
static enum err sweep_dir(struct sweep *s, const char *shard, struct errtext *et)
{
	char dir[PATH_MAX], path[PATH_MAX], hex[SHA256_HEX + 1];
	bool tmp = strcmp(shard, "tmp") == 0;
	snprintf(dir, sizeof dir, "%s/%s", s->f->root, shard);
	DIR *d = opendir(dir);
	if (!d)
		return errno == ENOENT ? OK : err_errno(et, "%s", dir);
	for (struct dirent *de; (de = readdir(d));) {
		if (de->d_name[0] == '.')
			continue;
		if (!tmp && (strlen(de->d_name) != SHA256_HEX - 2 ||
				    strspn(de->d_name, "0123456789abcdef") != SHA256_HEX - 2))
			continue;
		if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, de->d_name) >= sizeof path)
			continue;
		snprintf(hex, sizeof hex, "%.2s%.62s", shard, de->d_name);
		sweep_one(s, path, tmp ? NULL : hex);
	}
	closedir(d);
	return OK;
}

static enum err file_sweep(void *ctx, bool (*keep)(void *kctx, const char *hex), void *kctx,
	uint64_t *freed, struct errtext *et)
{
	struct sweep s = {.f = ctx, .keep = keep, .kctx = kctx};
	enum err e = sweep_dir(&s, "tmp", et);
	for (int i = 0; !e && i < 256; i++) {
		char shard[8];
		snprintf(shard, sizeof shard, "%02x", i);
		e = sweep_dir(&s, shard, et);
	}
	*freed = s.freed;
	return e;
}

const struct blob_backend blob_file = {
	.scheme = "file",
	.open = file_open,
	.close = file_close,
	.put = file_put,
	.get = file_get,
	.exists = file_exists,
	.remove = file_remove,
	.sweep = file_sweep,
};
