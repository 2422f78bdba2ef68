/* A tree into a folder, or read to verify it.
 *
 *  1. Everything is written to a staging folder beside the target, .NAME.croft-DIGEST, which one
 *     process at a time holds (a lock file in it).
 *  2. Every chunk is compared with its hash before it is written, every file with its SHA-256.
 *  3. All is synced, then the staging folder is renamed to the target: it is whole or not there.
 *  4. After a failure the staging folder stays: the next try compares what is there chunk by chunk
 *     and fetches the others only.
 *
 * Files are dealt to threads, the largest first; each is written by one thread. */
#include "artifact/tree_int.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char lock_name[] = ".croft-lock";

struct extraction {
	const struct tree_source *source;
	const struct tree *t;
	const char *stage; /* NULL: verify only */
	const struct cancel *cancel;
	struct tree_meter meter;
	const struct tree_file **order;
	pthread_mutex_t mu;
	size_t next;
	enum err err;
	struct errtext et;
};

/* ---- one file ---- */

struct writing {
	struct extraction *x;
	const struct tree_file *f;
	int fd; /* -1: verify only */
	char path[PATH_MAX];
	struct sha256 sha;
	uint8_t *buffer;
	size_t room;
};

static enum err make_parents(const char *stage, struct str rel, struct errtext *et)
{
	char path[PATH_MAX];
	size_t slash = str_rchr(rel, '/');
	if (slash == STR_NONE)
		return OK;
	if ((size_t)snprintf(path, sizeof path, "%s/%.*s", stage, (int)slash, rel.p) >= sizeof path)
		return err_set(et, ERR_INVALID, "%s: a path in the tree is too long here", stage);
	size_t base = strlen(stage);
	for (size_t i = base + 1;; i++) {
		if (path[i] && path[i] != '/')
			continue;
		char c = path[i];
		path[i] = 0;
		if (mkdir(path, 0777) && errno != EEXIST)
			return err_errno(et, "%s", path);
		path[i] = c;
		if (!c)
			return OK;
	}
}

static enum err open_file(struct writing *w, struct errtext *et)
{
	w->fd = -1;
	if (!w->x->stage)
		return OK;
	enum err e = make_parents(w->x->stage, w->f->path, et);
	if (e)
		return e;
	if ((size_t)snprintf(w->path, sizeof w->path, "%s/%s", w->x->stage, w->f->path.p) >=
		sizeof w->path)
		return err_set(
			et, ERR_INVALID, "%s: a path in the tree is too long here", w->x->stage);
	w->fd = open(
		w->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, w->f->executable ? 0777 : 0666);
	return w->fd < 0 ? err_errno(et, "%s", w->path) : OK;
}

static enum err corrupt(const struct writing *w, struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "%.*s: a chunk does not have the content of its hash",
		STR_FMT(str_sub(w->f->path, 0, 300)));
}

static bool is_chunk(const struct tree_chunk *c, const uint8_t *p)
{
	uint8_t now[SHA256_BYTES];
	sha256_of(str_mk(p, c->size), now);
	return memcmp(now, c->id, sizeof now) == 0;
}

/* The chunk is there from an earlier try. */
static bool have_chunk(struct writing *w, const struct tree_chunk *c, uint64_t at)
{
	return w->fd >= 0 && pread(w->fd, w->buffer, c->size, (off_t)at) == (ssize_t)c->size &&
	       is_chunk(c, w->buffer);
}

static enum err write_at(
	struct writing *w, const uint8_t *p, size_t n, uint64_t at, struct errtext *et)
{
	while (n && w->fd >= 0) {
		ssize_t k = pwrite(w->fd, p, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_errno(et, "%s", w->path);
		p += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return OK;
}

/* Chunks from `first` that are fetched together: *n of them, *bytes long. */
static void group(const struct writing *w, size_t first, size_t *n, size_t *bytes)
{
	*n = *bytes = 0;
	for (size_t i = first; i < w->f->n_chunks; i++) {
		size_t size = w->f->chunks[i].size;
		if (*n && *bytes + size > w->room)
			break;
		*bytes += size;
		++*n;
	}
}

static enum err fetch_group(
	struct writing *w, size_t first, size_t n, size_t bytes, uint64_t at, struct errtext *et)
{
	const struct tree_chunk *c = &w->f->chunks[first];
	const struct tree_source *s = w->x->source;
	enum err e = s->get(s->ctx, c, n, w->buffer, et);
	if (e)
		return err_wrap(et, e, "%.*s", STR_FMT(str_sub(w->f->path, 0, 200)));
	if (w->f->n_chunks > 1)
		sha256_add(&w->sha, w->buffer, bytes);
	const uint8_t *p = w->buffer;
	for (size_t i = 0; i < n && !e; i++) {
		e = is_chunk(&c[i], p) ? write_at(w, p, c[i].size, at, et) : corrupt(w, et);
		p += c[i].size;
		at += c[i].size;
	}
	return e;
}

static enum err fill_file(struct writing *w, bool resume, struct errtext *et)
{
	uint64_t at = 0;
	enum err e = OK;
	for (size_t i = 0; i < w->f->n_chunks && !e;) {
		size_t n = 1, bytes = w->f->chunks[i].size;
		if (cancelled(w->x->cancel))
			return err_set(et, ERR_CANCELLED, "cancelled");
		if (resume && have_chunk(w, &w->f->chunks[i], at)) {
			if (w->f->n_chunks > 1)
				sha256_add(&w->sha, w->buffer, bytes);
		} else {
			if (!resume)
				group(w, i, &n, &bytes);
			e = fetch_group(w, i, n, bytes, at, et);
		}
		tree_meter_add(&w->x->meter, bytes, w->f->path.p);
		at += bytes;
		i += n;
	}
	return e;
}

static enum err check_file(struct writing *w, struct errtext *et)
{
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	sha256_end(&w->sha, digest);
	hex_encode(digest, sizeof digest, hex);
	/* A single chunk has the file's own hash, and was compared; an empty file too. */
	if (w->f->n_chunks != 1 && strcmp(hex, w->f->sha256) != 0)
		return err_set(et, ERR_CORRUPT, "%.*s does not have the SHA-256 of its tree",
			STR_FMT(str_sub(w->f->path, 0, 300)));
	if (w->fd >= 0 && ftruncate(w->fd, (off_t)w->f->size))
		return err_errno(et, "%s", w->path);
	return OK;
}

static enum err do_file(struct extraction *x, const struct tree_file *f, uint8_t *buffer,
	size_t room, struct errtext *et)
{
	struct writing w = {.x = x, .f = f, .buffer = buffer, .room = room, .fd = -1};
	if (sha256_init(&w.sha))
		return err_set(et, ERR_NOMEM, "no memory for a hash");
	enum err e = open_file(&w, et);
	struct stat st = {0};
	if (!e && w.fd >= 0 && fstat(w.fd, &st))
		e = err_errno(et, "%s", w.path);
	if (!e)
		e = fill_file(&w, st.st_size > 0, et);
	if (!e)
		e = check_file(&w, et);
	if (w.sha.ctx)
		sha256_drop(&w.sha);
	if (w.fd >= 0 && close(w.fd) && !e)
		e = err_errno(et, "%s: close", w.path);
	return e;
}

/* ---- all files ---- */

static const struct tree_file *next_file(struct extraction *x)
{
	pthread_mutex_lock(&x->mu);
	const struct tree_file *f = !x->err && x->next < x->t->n_files ? x->order[x->next++] : NULL;
	pthread_mutex_unlock(&x->mu);
	return f;
}

static void *member(void *arg)
{
	struct extraction *x = arg;
	size_t room = MAX(x->source->group_bytes, (size_t)TREE_CHUNK_MAX);
	uint8_t *buffer = malloc(room);
	const struct tree_file *f;
	while ((f = next_file(x))) {
		struct errtext et = {0};
		enum err e = buffer ? do_file(x, f, buffer, room, &et)
				    : err_set(&et, ERR_NOMEM, "no memory to read files");
		if (!e)
			continue;
		pthread_mutex_lock(&x->mu);
		if (!x->err) {
			x->err = e;
			x->et = et;
		}
		pthread_mutex_unlock(&x->mu);
	}
	free(buffer);
	return NULL;
}

static int largest_first(const void *a, const void *b)
{
	const struct tree_file *x = *(const struct tree_file *const *)a,
			       *y = *(const struct tree_file *const *)b;
	return x->size < y->size ? 1 : x->size > y->size ? -1 : 0;
}

static enum err all_files(struct extraction *x, const struct tree_options *o, struct errtext *et)
{
	pthread_t id[32];
	unsigned n = 0, threads = tree_threads(o);
	x->order = calloc(x->t->n_files + 1, sizeof *x->order);
	if (!x->order)
		return err_set(et, ERR_NOMEM, "no memory to read files");
	for (size_t i = 0; i < x->t->n_files; i++)
		x->order[i] = &x->t->files[i];
	qsort(x->order, x->t->n_files, sizeof *x->order, largest_first);
	pthread_mutex_init(&x->mu, NULL);
	pthread_mutex_init(&x->meter.mu, NULL);
	while (n + 1 < threads && !thread_start(&id[n], member, x, "tree", NULL))
		n++;
	member(x);
	for (unsigned i = 0; i < n; i++)
		pthread_join(id[i], NULL);
	pthread_mutex_destroy(&x->mu);
	pthread_mutex_destroy(&x->meter.mu);
	free(x->order);
	if (x->err && et)
		*et = x->et;
	return x->err;
}

/* ---- the target ---- */

/* It is not there, or it is an empty folder, which the rename replaces. */
static enum err check_target(const char *dir, struct errtext *et)
{
	DIR *d = opendir(dir);
	if (!d)
		return errno == ENOENT ? OK : err_errno(et, "%s", dir);
	bool empty = true;
	for (struct dirent *de; empty && (de = readdir(d));)
		empty = !strcmp(de->d_name, ".") || !strcmp(de->d_name, "..");
	closedir(d);
	return empty ? OK
		     : err_set(et, ERR_CONFLICT,
			       "%s is there and not empty: give a new folder's name", dir);
}

static enum err stage_names(const struct tree *t, const char *dir, char stage[PATH_MAX],
	char parent[PATH_MAX], struct errtext *et)
{
	struct str d = str_c(dir);
	while (d.n > 1 && d.p[d.n - 1] == '/')
		d.n--;
	size_t slash = str_rchr(d, '/');
	struct str name = slash == STR_NONE ? d : str_sub(d, slash + 1, d.n);
	if (slash == STR_NONE)
		snprintf(parent, PATH_MAX, ".");
	else
		snprintf(parent, PATH_MAX, "%.*s", (int)MAX(slash, 1), d.p);
	if (!name.n || str_eq_c(name, ".") || str_eq_c(name, ".."))
		return err_set(et, ERR_INVALID, "%s: give a new folder's name", dir);
	if ((size_t)snprintf(stage, PATH_MAX, "%s/.%.*s.croft-%.16s", parent, STR_FMT(name),
		    t->digest) >= PATH_MAX)
		return err_set(et, ERR_INVALID, "%s: the path is too long", dir);
	return OK;
}

static enum err sync_stage(const char *stage, struct errtext *et)
{
	int fd = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", stage);
	enum err e = syncfs(fd) ? err_errno(et, "%s: syncfs", stage) : OK;
	close(fd);
	return e;
}

/* Files of another, interrupted tree cannot be there: the name has the digest in it. */
static enum err into_stage(struct extraction *x, const char *stage, const char *dir,
	const char *parent, const struct tree_options *o, struct errtext *et)
{
	char lock[PATH_MAX];
	int fd;
	if (mkdir(stage, 0777) && errno != EEXIST)
		return err_errno(et, "%s", stage);
	if ((size_t)snprintf(lock, sizeof lock, "%s/%s", stage, lock_name) >= sizeof lock)
		return err_set(et, ERR_INVALID, "%s: the path is too long", stage);
	enum err e = os_lock(lock, &fd, et);
	if (e)
		return e;
	x->stage = stage;
	e = all_files(x, o, et);
	if (!e)
		e = sync_stage(stage, et);
	if (!e && unlink(lock))
		e = err_errno(et, "%s", lock);
	if (!e)
		e = check_target(dir, et);
	if (!e && rename(stage, dir))
		e = err_errno(et, "%s", dir);
	os_unlock(fd);
	return e ? e : os_fsync_dir(parent, et);
}

enum err tree_extract_from(const struct tree_source *s, const struct tree *t, const char *dir,
	const struct tree_options *o, struct errtext *et)
{
	struct extraction x = {.source = s,
		.t = t,
		.cancel = o ? o->cancel : NULL,
		.meter = {.o = o, .total = t->bytes}};
	char stage[PATH_MAX], parent[PATH_MAX];
	if (!dir)
		return all_files(&x, o, et);
	if (tree_find(t, S(".croft-lock")))
		return err_set(et, ERR_INVALID,
			"the tree has a file .croft-lock, which extraction needs for itself");
	enum err e = stage_names(t, dir, stage, parent, et);
	if (!e)
		e = check_target(dir, et);
	if (!e)
		e = os_mkdirs(parent, et);
	return e ? e : into_stage(&x, stage, dir, parent, o, et);
}

/* ---- from blobs ---- */

static enum err get_blobs(
	void *ctx, const struct tree_chunk *c, size_t n, uint8_t *to, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	for (size_t i = 0; i < n; to += c[i++].size) {
		hex_encode(c[i].id, SHA256_BYTES, hex);
		enum err e = blob_read(ctx, hex, 0, to, c[i].size, et);
		if (e == ERR_INVALID)
			return err_set(et, ERR_CORRUPT, "chunk %.16s is shorter than it was", hex);
		if (e)
			return e;
	}
	return OK;
}

struct tree_source tree_source_blobs(struct blobs *b)
{
	return (struct tree_source){get_blobs, b, TREE_CHUNK_MAX};
}

enum err tree_extract(struct blobs *b, const struct tree *t, const char *dir,
	const struct tree_options *o, struct errtext *et)
{
	struct tree_source s = tree_source_blobs(b);
	return tree_extract_from(&s, t, dir, o, et);
}

enum err tree_verify(
	struct blobs *b, const struct tree *t, const struct tree_options *o, struct errtext *et)
{
	struct tree_source s = tree_source_blobs(b);
	return tree_extract_from(&s, t, NULL, o, et);
}
