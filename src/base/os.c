#include "base/os.h"
#include "base/id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <malloc.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum err os_read_file(const char *path, size_t max, struct buf *out, struct errtext *et)
{
	if (!max)
		max = (size_t)1 << 30;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	enum err e = OK;
	size_t total = 0;
	for (;;) {
		char *to = buf_reserve(out, 65536);
		if (!to) {
			e = err_set(et, out->err, "%s: %s", path, err_sentence(out->err));
			break;
		}
		ssize_t k = read(fd, to, 65536);
		if (k < 0) {
			if (errno == EINTR)
				continue;
			e = err_errno(et, "%s", path);
			break;
		}
		if (k == 0)
			break;
		total += (size_t)k;
		if (total > max) {
			e = err_set(et, ERR_TOO_LARGE, "%s: larger than the limit of %zu bytes",
				path, max);
			break;
		}
		out->n += (size_t)k;
		out->p[out->n] = 0;
	}
	close(fd);
	return e;
}

enum err os_write_all(int fd, const void *data, size_t n, struct errtext *et)
{
	const char *p = data;
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0) {
			if (errno == EINTR)
				continue;
			return err_errno(et, "write");
		}
		p += k;
		n -= (size_t)k;
	}
	return OK;
}

static void parent_of(const char *path, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s", path);
	char *slash = strrchr(out, '/');
	if (!slash)
		strcpy(out, ".");
	else if (slash == out)
		out[1] = 0;
	else
		*slash = 0;
}

enum err os_fsync_dir(const char *path, struct errtext *et)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	enum err e = fsync(fd) ? err_errno(et, "%s: fsync", path) : OK;
	close(fd);
	return e;
}

enum err os_write_atomic_by(const char *path, os_write_fn fn, void *ctx, struct errtext *et)
{
	char tmp[PATH_MAX], dir[PATH_MAX], hex[ID_HEX + 1];
	id_hex(id_new(), hex);
	if ((size_t)snprintf(tmp, sizeof tmp, "%s.%s.tmp", path, hex) >= sizeof tmp)
		return err_set(et, ERR_INVALID, "the path is too long: %s", path);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(et, "%s", tmp);
	enum err e = fn(ctx, fd, et);
	if (!e && fsync(fd))
		e = err_errno(et, "%s: fsync", tmp);
	if (close(fd) && !e)
		e = err_errno(et, "%s: close", tmp);
	if (!e && rename(tmp, path))
		e = err_errno(et, "%s", path);
	if (e) {
		unlink(tmp);
		return e;
	}
	parent_of(path, dir);
	return os_fsync_dir(dir, et);
}

static enum err write_str(void *ctx, int fd, struct errtext *et)
{
	const struct str *data = ctx;
	return os_write_all(fd, data->p, data->n, et);
}

enum err os_write_atomic(const char *path, struct str data, struct errtext *et)
{
	return os_write_atomic_by(path, write_str, &data, et);
}

enum err os_mkdirs(const char *path, struct errtext *et)
{
	char t[PATH_MAX];
	if ((size_t)snprintf(t, sizeof t, "%s", path) >= sizeof t)
		return err_set(et, ERR_INVALID, "the path is too long: %s", path);
	for (char *p = t + 1;; p++) {
		if (*p != '/' && *p)
			continue;
		char c = *p;
		*p = 0;
		if (mkdir(t, 0700) && errno != EEXIST)
			return err_errno(et, "%s", t);
		*p = c;
		if (!c)
			break;
	}
	if (!os_is_dir(path))
		return err_set(
			et, ERR_INVALID, "%s: there is a file where a folder is needed", path);
	return OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

enum err os_remove_tree(const char *path, struct errtext *et)
{
	if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
		return err_errno(et, "%s", path);
	return OK;
}

bool os_exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

void os_return_memory(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

bool os_is_dir(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t os_file_size(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

uint64_t os_disk_free(const char *path)
{
	struct statvfs v;
	return statvfs(path, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

enum err os_open_beneath(const char *root, struct str rel, int *out, struct errtext *et)
{
	char path[PATH_MAX];
	if (rel.n == 0 || rel.n >= sizeof path || memchr(rel.p, 0, rel.n))
		return err_set(et, ERR_INVALID, "not a usable path");
	memcpy(path, rel.p, rel.n);
	path[rel.n] = 0;
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(et, "%s", root);
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
	int errnum = errno;
	close(dir);
	if (fd < 0) {
		if (errnum == EXDEV || errnum == ELOOP)
			return err_set(et, ERR_FORBIDDEN, "%s: leads out of its folder", path);
		errno = errnum;
		return err_errno(et, "%s", path);
	}
	*out = fd;
	return OK;
}

enum err os_map_file(const char *path, struct os_map *out, struct errtext *et)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	struct stat st;
	enum err e = OK;
	if (fstat(fd, &st))
		e = err_errno(et, "%s", path);
	else if (!S_ISREG(st.st_mode))
		e = err_set(et, ERR_INVALID, "%s: not a regular file", path);
	else if (st.st_size == 0)
		e = err_set(et, ERR_CORRUPT, "%s: the file is empty", path);
	if (!e) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			e = err_errno(et, "%s: mmap", path);
		else
			*out = (struct os_map){p, (size_t)st.st_size};
	}
	close(fd);
	return e;
}

void os_unmap(struct os_map *m)
{
	if (m->p)
		munmap((void *)m->p, m->n);
	*m = (struct os_map){0};
}

enum err os_lock(const char *path, int *out, struct errtext *et)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(et, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		enum err e = errno == EWOULDBLOCK
				     ? err_set(et, ERR_BUSY, "%s is held by another process", path)
				     : err_errno(et, "%s", path);
		close(fd);
		return e;
	}
	*out = fd;
	return OK;
}

void os_unlock(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct walk {
	bool hidden;
	os_walk_fn fn;
	void *ctx;
};

static int skip_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

static enum err walk_dir(const struct walk *w, const char *path, unsigned depth)
{
	if (depth > 64)
		return w->fn(w->ctx, path, ERR_LIMIT, "folders are nested deeper than 64");
	struct dirent **list;
	int n = scandir(path, &list, skip_dots, alphasort);
	if (n < 0)
		return w->fn(w->ctx, path, err_from_errno(errno), strerror(errno));
	enum err e = OK;
	for (int i = 0; i < n; i++) {
		char sub[PATH_MAX];
		struct stat st;
		bool fits = (size_t)snprintf(sub, sizeof sub, "%s/%s", path, list[i]->d_name) <
			    sizeof sub;
		bool wanted = w->hidden || list[i]->d_name[0] != '.';
		free(list[i]);
		if (e || !wanted)
			continue;
		if (!fits)
			e = w->fn(w->ctx, path, ERR_INVALID, "a path in it is too long");
		else if (lstat(sub, &st))
			e = w->fn(w->ctx, sub, err_from_errno(errno), strerror(errno));
		else if (S_ISDIR(st.st_mode))
			e = walk_dir(w, sub, depth + 1);
		else if (S_ISREG(st.st_mode))
			e = w->fn(w->ctx, sub, OK, NULL);
	}
	free(list);
	return e;
}

enum err os_walk(const char *path, bool hidden, os_walk_fn fn, void *ctx, struct errtext *et)
{
	struct stat st;
	if (stat(path, &st))
		return err_errno(et, "%s", path);
	struct walk w = {hidden, fn, ctx};
	return S_ISDIR(st.st_mode) ? walk_dir(&w, path, 0) : fn(ctx, path, OK, NULL);
}
