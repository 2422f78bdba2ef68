/* Many blobs as files with one barrier: the batch of the "file:" backend.
 *
 *  1. A put writes a file in tmp/ and asks the kernel to begin writing it out; nothing is synced.
 *  2. A commit makes all of that durable (few files: fsync each; many: one syncfs), gives the
 *     files their names, and makes the names durable in the same way. So a name never stands for
 *     bytes that a power cut could take, and nothing is acknowledged before both barriers.
 *  3. When a barrier or a rename fails, what the commit has named is removed again, the batch is
 *     empty, and a later put writes anew: dirty pages of a failed sync may be gone.
 *  4. A blob that is there already is taken as it is and renewed; the commit still ends with a
 *     barrier, because whoever named it may not have reached his own.
 *
 * Puts share the batch (many threads), a commit has it alone. */
#include "store/blob_int.h"
#include "base/id.h"
#include "base/map.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FEW = 6, PENDING_MAX = 16384, WRITE_OUT_MIN = 256 << 10 };
static const uint64_t pending_bytes_max = (uint64_t)1 << 30;

struct pending {
	char hex[SHA256_HEX + 1];
	bool named;
	char *tmp;
};

struct batch {
	struct blob_files *f;
	int root_fd; /* opened before the writes, so that syncfs reports their errors */
	pthread_rwlock_t alone;
	pthread_mutex_t mu; /* the members below */
	struct pending *list;
	size_t n, cap;
	struct map seen; /* hex: being written or pending */
	uint64_t bytes;
	bool reused;
	bool shards[256]; /* folders that are there; by the one that commits */
	char unique[ID_HEX + 1];
	atomic_ulong next; /* the number of the next file in tmp/ */
};

enum err blob_file_batch_begin(void *ctx, void **out, struct errtext *et)
{
	struct blob_files *f = ctx;
	struct batch *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for storing blobs");
	g->f = f;
	id_hex(id_new(), g->unique);
	g->root_fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->root_fd < 0) {
		enum err e = err_errno(et, "%s", f->root);
		free(g);
		return e;
	}
	pthread_rwlock_init(&g->alone, NULL);
	pthread_mutex_init(&g->mu, NULL);
	*out = g;
	return OK;
}

static void forget(struct batch *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->list[i].tmp);
	map_free(&g->seen);
	g->seen = (struct map){0};
	g->n = 0;
	g->bytes = 0;
	g->reused = false;
}

/* ---- put ---- */

/* Whether it is in the store already; then it is renewed, under the lock of the sweep. */
static bool there(struct batch *g, const char *hex, size_t size)
{
	char path[PATH_MAX];
	struct stat st;
	blob_file_path(g->f, hex, path);
	pthread_mutex_t *mu = blob_file_lock(g->f, hex);
	pthread_mutex_lock(mu);
	bool yes = stat(path, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == size &&
		   utimensat(AT_FDCWD, path, NULL, 0) == 0;
	pthread_mutex_unlock(mu);
	return yes;
}

static enum err write_tmp(const char *tmp, struct str data, struct errtext *et)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_errno(et, "%s", tmp);
	enum err e = blob_write_all(fd, data, tmp, et);
	if (!e && data.n >= WRITE_OUT_MIN)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* begins; waits for nothing */
	if (close(fd) && !e)
		e = err_errno(et, "%s: close", tmp);
	if (e)
		unlink(tmp);
	return e;
}

/* False when another thread has taken this blob on, or it was put before. */
static bool claim(struct batch *g, const char *hex, enum err *e, struct errtext *et)
{
	bool mine = false;
	pthread_mutex_lock(&g->mu);
	if (!map_get(&g->seen, str_c(hex))) {
		mine = map_put(&g->seen, str_c(hex), g);
		if (!mine)
			*e = err_set(et, ERR_NOMEM, "no memory for storing blobs");
	}
	pthread_mutex_unlock(&g->mu);
	return mine;
}

static enum err note(struct batch *g, const char *hex, const char *tmp, size_t size, bool *full,
	struct errtext *et)
{
	char *copy = str_dup(str_c(tmp));
	enum err e = copy ? OK : err_set(et, ERR_NOMEM, "no memory for storing blobs");
	pthread_mutex_lock(&g->mu);
	if (!e && g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 64;
		struct pending *more = realloc(g->list, cap * sizeof *more);
		if (more) {
			g->list = more;
			g->cap = cap;
		} else {
			e = err_set(et, ERR_NOMEM, "no memory for storing blobs");
		}
	}
	if (!e) {
		struct pending *p = &g->list[g->n++];
		snprintf(p->hex, sizeof p->hex, "%s", hex);
		p->tmp = copy;
		p->named = false;
		g->bytes += size;
		*full = g->n >= PENDING_MAX || g->bytes >= pending_bytes_max;
	}
	pthread_mutex_unlock(&g->mu);
	if (e)
		free(copy);
	return e;
}

static enum err put_shared(
	struct batch *g, const char *hex, struct str data, bool *full, struct errtext *et)
{
	char tmp[PATH_MAX];
	enum err e = OK;
	if (there(g, hex, data.n)) {
		pthread_mutex_lock(&g->mu);
		g->reused = true;
		pthread_mutex_unlock(&g->mu);
		return OK;
	}
	if (!claim(g, hex, &e, et))
		return e;
	snprintf(tmp, sizeof tmp, "%s/tmp/%s-%lu", g->f->root, g->unique,
		atomic_fetch_add(&g->next, 1));
	e = write_tmp(tmp, data, et);
	if (!e) {
		e = note(g, hex, tmp, data.n, full, et);
		if (e)
			unlink(tmp);
	}
	if (e) { /* so that it can be put again */
		pthread_mutex_lock(&g->mu);
		map_del(&g->seen, str_c(hex));
		pthread_mutex_unlock(&g->mu);
	}
	return e;
}

/* A thread whose blob another thread is writing returns before that one has written it. That is
 * right: only the commit acknowledges, and a failed put of the other fails the whole batch's user.
 */
enum err blob_file_batch_put(void *batch, const char *hex, struct str data, struct errtext *et)
{
	struct batch *g = batch;
	bool full = false;
	pthread_rwlock_rdlock(&g->alone);
	enum err e = put_shared(g, hex, data, &full, et);
	pthread_rwlock_unlock(&g->alone);
	return !e && full ? blob_file_batch_commit(g, et) : e;
}

/* ---- commit ---- */

static enum err sync_file(const char *path, struct errtext *et)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	enum err e = blob_sys.fsync(fd) ? err_errno(et, "%s: fsync", path) : OK;
	close(fd);
	return e;
}

static enum err sync_all(struct batch *g, struct errtext *et)
{
	return blob_syncfs(g->root_fd) ? err_errno(et, "%s: syncfs", g->f->root) : OK;
}

static enum err sync_bytes(struct batch *g, struct errtext *et)
{
	enum err e = OK;
	if (g->n > FEW)
		return sync_all(g, et);
	for (size_t i = 0; i < g->n && !e; i++)
		e = sync_file(g->list[i].tmp, et);
	return e;
}

static enum err name_one(struct batch *g, struct pending *p, struct errtext *et)
{
	char path[PATH_MAX], shard[PATH_MAX];
	blob_file_path(g->f, p->hex, path);
	blob_file_shard(g->f, p->hex, shard);
	uint8_t first;
	hex_decode(str_mk(p->hex, 2), &first, 1);
	if (!g->shards[first] && mkdir(shard, 0700) && errno != EEXIST)
		return err_errno(et, "%s", shard);
	g->shards[first] = true;
	pthread_mutex_t *mu = blob_file_lock(g->f, p->hex);
	pthread_mutex_lock(mu);
	enum err e = OK;
	utimensat(AT_FDCWD, p->tmp, NULL, 0); /* its age begins now, however long the batch was */
	if (os_file_size(path) == os_file_size(p->tmp) && !utimensat(AT_FDCWD, path, NULL, 0)) {
		/* Somebody else has named it meanwhile: a failure of ours must not remove his. */
		unlink(p->tmp);
		g->reused = true;
	} else if (blob_sys.rename(p->tmp, path)) {
		e = err_errno(et, "%s", path);
	} else {
		p->named = true;
	}
	pthread_mutex_unlock(mu);
	return e;
}

static enum err sync_names(struct batch *g, struct errtext *et)
{
	char shard[PATH_MAX];
	if (g->n > FEW || g->reused)
		return sync_all(g, et);
	enum err e = OK;
	for (size_t i = 0; i < g->n && !e; i++) {
		blob_file_shard(g->f, g->list[i].hex, shard);
		e = blob_file_sync_dir(shard, et);
	}
	return !e && g->n ? blob_file_sync_dir(g->f->root, et) : e;
}

static void undo(struct batch *g)
{
	char path[PATH_MAX];
	for (size_t i = 0; i < g->n; i++) {
		blob_file_path(g->f, g->list[i].hex, path);
		unlink(g->list[i].named ? path : g->list[i].tmp);
	}
}

enum err blob_file_batch_commit(void *batch, struct errtext *et)
{
	struct batch *g = batch;
	pthread_rwlock_wrlock(&g->alone);
	enum err e = sync_bytes(g, et);
	for (size_t i = 0; i < g->n && !e; i++)
		e = name_one(g, &g->list[i], et);
	if (!e)
		e = sync_names(g, et);
	if (e)
		undo(g);
	forget(g);
	pthread_rwlock_unlock(&g->alone);
	return e;
}

void blob_file_batch_end(void *batch)
{
	struct batch *g = batch;
	undo(g);
	forget(g);
	free(g->list);
	close(g->root_fd);
	pthread_mutex_destroy(&g->mu);
	pthread_rwlock_destroy(&g->alone);
	free(g);
}
