/* Files into chunks, in parallel, into a sink.
 *
 * A team of equal threads works on two queues. A chunk that is cut and waits for its hash comes
 * first; else the next file (the largest first, so that it does not end last). Whoever reads a
 * large file cuts it, adds every byte to the file's own hash, and queues the chunks; while the
 * queue is full he hashes and stores a chunk himself, so nobody waits and memory is bounded. A
 * small file is read, cut, hashed and stored by one thread.
 *
 *   next_work() -> do_chunk()                     hash, store, drop the segment
 *               -> do_file()  -> small_file()     one buffer of the thread
 *                             -> large_file()     segments shared by the chunks cut from them
 *
 * The first error stops everybody; it is the one that is told. */
#include "artifact/tree_int.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 8 << 20, SMALL = TREE_CHUNK_MAX };

struct segment {
	atomic_uint users;
	struct segment *next; /* in the free list */
	uint8_t data[SEGMENT];
};

struct job {
	struct segment *segment;
	const uint8_t *p;
	struct tree_chunk *chunk;
};

struct team {
	const struct tree_sink *sink;
	const struct cancel *cancel;
	struct tree_meter meter;
	struct tree_input **order;
	size_t n_files, next_file;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct job *jobs; /* a ring */
	size_t head, n_jobs, cap;
	unsigned reading; /* threads in do_file: they may still queue chunks */
	struct segment *free_segments;
	enum err err;
	struct errtext et;
	atomic_bool stop;
	struct arena *arena; /* of the chunk lists; under mu */
};

static void fail(struct team *t, enum err e, const struct errtext *et)
{
	pthread_mutex_lock(&t->mu);
	if (!t->err) {
		t->err = e;
		t->et = *et;
	}
	atomic_store(&t->stop, true);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
}

static bool stopped(struct team *t)
{
	return atomic_load_explicit(&t->stop, memory_order_relaxed);
}

/* ---- segments ---- */

static struct segment *segment_get(struct team *t)
{
	pthread_mutex_lock(&t->mu);
	struct segment *s = t->free_segments;
	if (s)
		t->free_segments = s->next;
	pthread_mutex_unlock(&t->mu);
	if (!s)
		s = malloc(sizeof *s);
	if (s)
		atomic_store(&s->users, 1);
	return s;
}

static void segment_put(struct team *t, struct segment *s)
{
	if (!s || atomic_fetch_sub(&s->users, 1) != 1)
		return;
	pthread_mutex_lock(&t->mu);
	s->next = t->free_segments;
	t->free_segments = s;
	pthread_mutex_unlock(&t->mu);
}

/* ---- a chunk ---- */

static enum err store_chunk(
	struct team *t, struct tree_chunk *c, const uint8_t *p, struct errtext *et)
{
	struct str bytes = str_mk(p, c->size);
	sha256_of(bytes, c->id);
	return t->sink->put(t->sink->ctx, c, bytes, et);
}

static void do_chunk(struct team *t, const struct job *j)
{
	struct errtext et = {0};
	enum err e = stopped(t) ? OK : store_chunk(t, j->chunk, j->p, &et);
	segment_put(t, j->segment);
	if (e)
		fail(t, e, &et);
}

static void queue_chunk(struct team *t, struct segment *s, const uint8_t *p, struct tree_chunk *c)
{
	struct job j = {s, p, c};
	atomic_fetch_add(&s->users, 1);
	pthread_mutex_lock(&t->mu);
	bool room = t->n_jobs < t->cap;
	if (room) {
		t->jobs[(t->head + t->n_jobs++) % t->cap] = j;
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->mu);
	if (!room)
		do_chunk(t, &j);
}

/* ---- a file ---- */

struct reading {
	struct team *t;
	struct tree_input *in;
	int fd;
	uint64_t left;     /* bytes of the file that were not read yet */
	struct sha256 sha; /* of the whole file, when it has several chunks */
	size_t cap;        /* of the list of chunks */
};

static struct tree_chunk *new_chunk(struct reading *r, size_t size)
{
	struct tree_file *f = &r->in->file;
	if (f->n_chunks == r->cap)
		return NULL; /* impossible: no chunk but the last is smaller than the minimum */
	struct tree_chunk *c = &f->chunks[f->n_chunks++];
	c->size = (uint32_t)size;
	return c;
}

static enum err changed(const struct reading *r, struct errtext *et)
{
	return err_set(et, ERR_CONFLICT,
		"%s changed while it was read; try again when nobody writes to it", r->in->from);
}

/* Exactly n bytes. */
static enum err read_full(struct reading *r, uint8_t *to, size_t n, struct errtext *et)
{
	while (n) {
		ssize_t k = read(r->fd, to, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_errno(et, "%s", r->in->from);
		if (!k)
			return changed(r, et);
		to += k;
		n -= (size_t)k;
		r->left -= (uint64_t)k;
	}
	return OK;
}

static enum err small_file(struct reading *r, uint8_t *buffer, struct errtext *et)
{
	struct tree_file *f = &r->in->file;
	size_t n = (size_t)f->size;
	enum err e = read_full(r, buffer, n, et);
	for (size_t at = 0; at < n && !e;) {
		size_t k = tree_cut(buffer + at, n - at);
		struct tree_chunk *c = new_chunk(r, k);
		e = c ? store_chunk(r->t, c, buffer + at, et) : ERR_INTERNAL;
		at += k;
	}
	if (e)
		return e;
	if (f->n_chunks == 1)
		hex_encode(f->chunks[0].id, SHA256_BYTES, f->sha256);
	else
		sha256_hex_of(str_mk(buffer, n), f->sha256);
	return OK;
}

/* Queues every chunk that certainly ends within s->data[0..n); returns where the rest begins. */
static size_t cut_segment(struct reading *r, struct segment *s, size_t n)
{
	size_t at = 0;
	while (at < n) {
		size_t k = tree_cut(s->data + at, n - at);
		if (at + k == n && k < TREE_CHUNK_MAX && r->left)
			break; /* it may go on */
		queue_chunk(r->t, s, s->data + at, new_chunk(r, k));
		at += k;
	}
	return at;
}

static enum err large_file(struct reading *r, struct errtext *et)
{
	struct segment *s = NULL;
	uint8_t digest[SHA256_BYTES];
	size_t rest = 0, rest_at = 0;
	enum err e = OK;
	while (r->left && !e) {
		struct segment *next = segment_get(r->t);
		if (!next) {
			e = err_set(et, ERR_NOMEM, "no memory to read %s", r->in->from);
			break;
		}
		if (rest)
			memcpy(next->data, s->data + rest_at, rest);
		segment_put(r->t, s);
		s = next;
		size_t n = (size_t)MIN(r->left, (uint64_t)(SEGMENT - rest));
		e = read_full(r, s->data + rest, n, et);
		if (e)
			break;
		sha256_add(&r->sha, s->data + rest, n);
		rest_at = cut_segment(r, s, rest + n);
		rest = rest + n - rest_at;
		tree_meter_add(&r->t->meter, n, r->in->file.path.p);
		if (stopped(r->t) || cancelled(r->t->cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
	}
	segment_put(r->t, s);
	if (e)
		return e;
	sha256_end(&r->sha, digest);
	hex_encode(digest, sizeof digest, r->in->file.sha256);
	return OK;
}

static enum err file_open(struct reading *r, struct errtext *et)
{
	struct tree_file *f = &r->in->file;
	struct stat st;
	r->fd = open(r->in->from, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0)
		return err_errno(et, "%s", r->in->from);
	if (fstat(r->fd, &st))
		return err_errno(et, "%s", r->in->from);
	if ((uint64_t)st.st_size != f->size || !S_ISREG(st.st_mode))
		return changed(r, et);
	if (f->size > SMALL)
		posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r->left = f->size;
	r->cap = (size_t)(f->size / TREE_CUT_MIN) + 2;
	pthread_mutex_lock(&r->t->mu);
	f->chunks = arena_array_of(r->t->arena, r->cap, struct tree_chunk);
	pthread_mutex_unlock(&r->t->mu);
	return f->chunks ? OK : err_set(et, ERR_NOMEM, "no memory for the chunks of a file");
}

/* What was read is one state of the file: nothing was written to it meanwhile. */
static enum err file_unchanged(const struct reading *r, struct errtext *et)
{
	struct stat st;
	if (fstat(r->fd, &st))
		return err_errno(et, "%s", r->in->from);
	int64_t mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return (uint64_t)st.st_size == r->in->file.size && mtime_ns == r->in->mtime_ns
		       ? OK
		       : changed(r, et);
}

static void do_file(struct team *t, struct tree_input *in, uint8_t *buffer)
{
	struct reading r = {.t = t, .in = in, .fd = -1};
	struct errtext et = {0};
	enum err e = cancelled(t->cancel) ? err_set(&et, ERR_CANCELLED, "cancelled")
					  : file_open(&r, &et);
	if (!e && in->file.size <= SMALL) {
		e = small_file(&r, buffer, &et);
		if (!e)
			tree_meter_add(&t->meter, in->file.size, in->file.path.p);
	} else if (!e) {
		e = sha256_init(&r.sha);
		if (!e)
			e = large_file(&r, &et);
		if (e && r.sha.ctx)
			sha256_drop(&r.sha);
	}
	if (!e)
		e = file_unchanged(&r, &et);
	if (r.fd >= 0)
		close(r.fd);
	if (e)
		fail(t, e, &et);
}

/* ---- the team ---- */

/* False when there will be no more work. */
static bool next_work(struct team *t, struct job *job, struct tree_input **file)
{
	bool more = true;
	*file = NULL;
	pthread_mutex_lock(&t->mu);
	for (;;) {
		if (t->n_jobs) { /* also when stopped: their segments are to be put back */
			*job = t->jobs[t->head];
			t->head = (t->head + 1) % t->cap;
			t->n_jobs--;
			break;
		}
		if (!stopped(t) && t->next_file < t->n_files) {
			*file = t->order[t->next_file++];
			t->reading++;
			break;
		}
		if (!t->reading) {
			more = false;
			break;
		}
		pthread_cond_wait(&t->changed, &t->mu);
	}
	pthread_mutex_unlock(&t->mu);
	return more;
}

static void *member(void *arg)
{
	struct team *t = arg;
	struct job job;
	struct tree_input *file;
	uint8_t *buffer = malloc(SMALL);
	struct errtext et = {0};
	if (!buffer)
		fail(t, err_set(&et, ERR_NOMEM, "no memory to read files"), &et);
	while (next_work(t, &job, &file)) {
		if (!file) {
			do_chunk(t, &job);
			continue;
		}
		if (buffer)
			do_file(t, file, buffer);
		pthread_mutex_lock(&t->mu);
		t->reading--;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->mu);
	}
	free(buffer);
	return NULL;
}

static int largest_first(const void *a, const void *b)
{
	const struct tree_input *x = *(struct tree_input *const *)a,
				*y = *(struct tree_input *const *)b;
	return x->file.size < y->file.size ? 1 : x->file.size > y->file.size ? -1 : 0;
}

static void run(struct team *t, unsigned threads)
{
	pthread_t id[32];
	unsigned n = 0;
	struct errtext et = {0};
	while (n + 1 < threads && !thread_start(&id[n], member, t, "tree", &et))
		n++;
	member(t); /* this thread is one of them: with fewer threads it only takes longer */
	for (unsigned i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

/* A file with one chunk has its hash from it, which a large file's chunk may have got late. */
static void team_release(struct team *t)
{
	while (t->free_segments) {
		struct segment *s = t->free_segments;
		t->free_segments = s->next;
		free(s);
	}
	free(t->jobs);
	free(t->order);
	pthread_mutex_destroy(&t->mu);
	pthread_mutex_destroy(&t->meter.mu);
	pthread_cond_destroy(&t->changed);
}

enum err tree_build(struct tree_inputs *in, const struct tree_sink *sink,
	const struct tree_options *o, struct errtext *et)
{
	unsigned threads = tree_threads(o);
	struct team t = {.sink = sink,
		.cancel = o ? o->cancel : NULL,
		.meter = {.o = o, .total = in->bytes},
		.n_files = in->n,
		.cap = 2 * threads,
		.arena = in->arena};
	t.jobs = calloc(t.cap, sizeof *t.jobs);
	t.order = calloc(in->n + 1, sizeof *t.order);
	pthread_mutex_init(&t.mu, NULL);
	pthread_mutex_init(&t.meter.mu, NULL);
	cond_init(&t.changed);
	enum err e = t.jobs && t.order ? OK : err_set(et, ERR_NOMEM, "no memory to read files");
	if (!e) {
		for (size_t i = 0; i < in->n; i++)
			t.order[i] = &in->v[i];
		qsort(t.order, in->n, sizeof *t.order, largest_first);
		run(&t, threads);
		e = t.err;
		if (e && et)
			*et = t.et;
	}
	team_release(&t);
	return e;
}
