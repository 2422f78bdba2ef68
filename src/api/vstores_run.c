/* Threads that make documents of the files that were added to vector stores.
 *
 * A worker has one file at a time: it is parsed, split and embedded by rag, then its row gets its
 * status and the job its end. One more thread keeps the leases, and ends stores that have expired.
 */
#include "api/vstores.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum {
	WORKERS_MAX = 16,
	ATTEMPTS_MAX = 5,
	LEASE_MS = 10000,
	KEEP_MS = 2500,
	LOOK_MS = 1000,
	SWEEP_MS = 60 * 1000,
};

struct worker {
	struct indexer *of;
	pthread_t thread;
	struct job job;        /* with mu, while active */
	struct id store, file; /* zero: none that could be cancelled */
	struct str project;
	bool active;
	struct cancel lost; /* the lease, or the server stops */
};

struct indexer {
	struct croft *c;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool stop;
	unsigned n, calls;
	struct worker worker[WORKERS_MAX];
	pthread_t keeper;
	bool keeping;
};

static bool nap(struct indexer *s, uint64_t ms)
{
	uint64_t until = clock_mono_ns() + ms * 1000000ull;
	pthread_mutex_lock(&s->mu);
	while (!s->stop && cond_wait_until(&s->wake, &s->mu, until))
		;
	bool go_on = !s->stop;
	pthread_mutex_unlock(&s->mu);
	return go_on;
}

/* ---- one file ---- */

struct task {
	struct worker *k;
	struct arena *a;
	struct id store, file;
	struct str project, name, collection, path;
	struct vfile row;
	struct errtext *et;
};

static enum err read_task(struct task *t)
{
	yyjson_doc *doc;
	char id[VSTORE_ID + 1];
	enum err e = json_parse(t->k->job.body, &doc, t->et);
	if (e)
		return e;
	yyjson_val *o = yyjson_doc_get_root(doc);
	bool good = id_parse(json_str(o, "store"), &t->store) &&
		    id_parse(json_str(o, "file"), &t->file);
	t->project = arena_str(t->a, json_str(o, "project"));
	t->name = arena_str(t->a, json_str(o, "name"));
	yyjson_doc_free(doc);
	vstore_id(t->store, id);
	t->collection = arena_str(t->a, str_c(id));
	t->path = vfile_path(t->file, t->name, t->a);
	if (!good)
		return err_set(t->et, ERR_CORRUPT, "a job of vector stores cannot be read");
	return t->project.p && t->name.p && t->collection.p && t->path.p
		       ? OK
		       : err_set(t->et, ERR_NOMEM, "no memory to index a file");
}

static enum err drop(struct task *t)
{
	struct str path = id_is_zero(t->file) ? S("") : t->path;
	return rag_remove(t->k->of->c, t->project, VSTORE_OWNER, t->collection, path, t->et);
}

static enum err done(struct task *t)
{
	return queue_done_now(croft_db(t->k->of->c), &t->k->job, t->et);
}

/* The words that clients know. */
static struct str code_of(struct str word)
{
	static const char *const files[] = {
		"invalid", "corrupt", "too_large", "limit", "timeout", "forbidden"};
	if (str_eq_c(word, "unsupported"))
		return S("unsupported_file");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (str_eq_c(word, files[i]))
			return S("invalid_file");
	return S("server_error");
}

static void fail(struct vfile *f, struct str code, struct str why)
{
	f->status = S("failed");
	f->code = code;
	f->error = why;
}

/* The row may have changed meanwhile: what it says now holds. */
static enum err settle(struct task *t)
{
	struct croft *c = t->k->of->c;
	struct vfile now;
	enum err e = vfile_get(c, t->project, t->store, t->file, t->a, &now, t->et);
	if (e == ERR_NOT_FOUND || (!e && str_eq_c(now.status, "cancelled")))
		return drop(t);
	if (!e && str_eq_c(now.status, "completed") && !str_eq(now.attributes, t->row.attributes))
		e = rag_set_attributes(
			c, t->project, t->collection, t->path, now.attributes, t->et);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err put(struct task *t, struct str bytes)
{
	struct rag_made made;
	struct rag_new d = {.project = t->project,
		.collection = t->collection,
		.path = t->path,
		.bytes = bytes,
		.owner = VSTORE_OWNER,
		.attributes = t->row.attributes,
		.chunk_tokens = (uint32_t)t->row.chunk_tokens,
		.chunk_overlap = (uint32_t)t->row.chunk_overlap};
	enum err e = rag_put(t->k->of->c, &d, t->a, &made, &t->k->lost, t->et);
	if (e)
		return e;
	t->row.status = S("completed");
	t->row.bytes = made.text_bytes + made.vector_bytes;
	if (made.failed)
		fail(&t->row, code_of(made.code), made.why);
	return OK;
}

static enum err make_document(struct task *t)
{
	struct croft *c = t->k->of->c;
	struct file_row file;
	struct os_map map;
	enum err e = files_get(c, t->project, t->file, t->a, &file, t->et);
	if (e == ERR_NOT_FOUND) {
		fail(&t->row, S("invalid_file"), S("the file was removed or has expired"));
		return OK;
	}
	e = e ? e : blob_get(croft_blobs(c), file.blob, false, &map, t->et);
	if (e == ERR_NOT_FOUND)
		e = err_set(t->et, ERR_CORRUPT, "the file's content is missing in the store");
	if (e)
		return e;
	e = put(t, str_mk(map.p, map.n));
	os_unmap(&map);
	return e;
}

static enum err index_file(struct task *t)
{
	struct worker *k = t->k;
	bool taken = false;
	enum err e = OK;
	t->row.code = t->row.error = S("");
	pthread_mutex_lock(&k->of->mu);
	k->store = t->store;
	k->file = t->file;
	k->project = t->project;
	pthread_mutex_unlock(&k->of->mu);
	if (k->job.attempt > ATTEMPTS_MAX)
		fail(&t->row, S("server_error"),
			S("it could not be indexed: several attempts ended with the server"));
	else
		e = make_document(t);
	if (e && e != ERR_CANCELLED && e != ERR_NOT_READY && k->job.attempt == ATTEMPTS_MAX) {
		fail(&t->row, S("server_error"), arena_str(t->a, str_c(err_text(e, t->et))));
		e = t->row.error.p ? OK : e;
	}
	e = e ? e : vfile_end(k->of->c, &t->row, &k->job, &taken, t->et);
	return e ? e : settle(t);
}

static enum err work(struct worker *k, struct arena *a, struct errtext *et)
{
	struct task t = {.k = k, .a = a, .et = et};
	enum err e = read_task(&t);
	if (e == ERR_CORRUPT)
		return done(&t);
	if (e)
		return e;
	if (id_is_zero(t.file)) {
		e = drop(&t);
		return e ? e : done(&t);
	}
	e = vfile_get(k->of->c, t.project, t.store, t.file, a, &t.row, et);
	if (e == ERR_NOT_FOUND || (!e && str_eq_c(t.row.status, "cancelled"))) {
		e = drop(&t);
		return e ? e : done(&t);
	}
	if (!e && !str_eq_c(t.row.status, "in_progress"))
		return done(&t);
	return e ? e : index_file(&t);
}

/* ---- threads ---- */

static bool one_job(struct worker *k)
{
	struct indexer *s = k->of;
	struct db *db = croft_db(s->c);
	struct errtext et = {0};
	struct job job;
	struct arena *a = arena_new(0);
	enum err e = a ? queue_lease(db, VSTORE_QUEUE, LEASE_MS, a, &job, &et) : ERR_NOMEM;
	if (e) {
		if (e != ERR_NOT_FOUND)
			log_warn("vector stores: %s", err_text(e, &et));
		arena_free(a);
		return false;
	}
	pthread_mutex_lock(&s->mu);
	k->job = job;
	k->file = (struct id){0};
	k->active = true;
	atomic_store(&k->lost.set, s->stop);
	pthread_mutex_unlock(&s->mu);
	e = work(k, a, &et);
	pthread_mutex_lock(&s->mu);
	k->active = false;
	pthread_mutex_unlock(&s->mu);
	if (e) {
		if (e != ERR_CANCELLED && e != ERR_CONFLICT)
			log_warn("a file of a vector store is indexed later: %s", err_text(e, &et));
		e = queue_fail(
			db, &job, e == ERR_CANCELLED ? 1 : 2000, str_c(err_text(e, &et)), NULL);
	}
	arena_free(a);
	return true;
}

static void *worker_main(void *arg)
{
	struct worker *k = arg;
	struct indexer *s = k->of;
	pthread_mutex_lock(&s->mu);
	while (!s->stop) {
		unsigned calls = s->calls;
		pthread_mutex_unlock(&s->mu);
		bool more = one_job(k);
		uint64_t until = clock_mono_ns() + LOOK_MS * 1000000ull;
		pthread_mutex_lock(&s->mu);
		while (!more && !s->stop && s->calls == calls &&
			cond_wait_until(&s->wake, &s->mu, until))
			;
	}
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

/* Nobody wants the file any more. */
static bool is_over(struct indexer *s, struct str project, struct id store, struct id file)
{
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct vfile row;
	enum err e = a && project.p ? vfile_get(s->c, project, store, file, a, &row, &et) : OK;
	bool over = e == ERR_NOT_FOUND ||
		    (!e && a && project.p && !str_eq_c(row.status, "in_progress"));
	arena_free(a);
	return over;
}

/* The lease is kept, unless the job is another's by now, or the file was removed or cancelled. */
static void keep(struct indexer *s, struct worker *k)
{
	struct errtext et = {0};
	pthread_mutex_lock(&s->mu);
	struct job job = k->job;
	struct id store = k->store, file = k->file;
	bool active = k->active, known = active && !id_is_zero(file);
	char *project = known ? str_dup(k->project) : NULL;
	pthread_mutex_unlock(&s->mu);
	bool lost = active && queue_keep(croft_db(s->c), &job, LEASE_MS, &et) == ERR_CONFLICT;
	if (project && !lost)
		lost = is_over(s, str_c(project), store, file);
	free(project);
	pthread_mutex_lock(&s->mu);
	if (lost && k->active && !memcmp(&k->job.id, &job.id, sizeof job.id))
		cancel_set(&k->lost);
	pthread_mutex_unlock(&s->mu);
}

static void *keeper_main(void *arg)
{
	struct indexer *s = arg;
	uint64_t swept = 0;
	do {
		struct errtext et = {0};
		uint64_t now = clock_mono_ns();
		for (unsigned i = 0; i < s->n; i++)
			keep(s, &s->worker[i]);
		if (swept && now - swept < SWEEP_MS * 1000000ull)
			continue;
		swept = now;
		enum err e = vstore_sweep(s->c, &et);
		if (e)
			log_warn("vector stores that have expired: %s", err_text(e, &et));
	} while (nap(s, KEEP_MS));
	return NULL;
}

void vstores_wake(struct croft *c)
{
	struct indexer *s = croft_state(c, &vstores_module);
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	s->calls++;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->mu);
}

enum err vstores_start(struct croft *c, struct errtext *et)
{
	struct indexer *s = calloc(1, sizeof *s);
	unsigned want = (unsigned)setting_int(c, "vector_stores.workers");
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory for vector stores");
	s->c = c;
	pthread_mutex_init(&s->mu, NULL);
	cond_init(&s->wake);
	croft_set_state(c, &vstores_module, s);
	for (unsigned i = 0; i < want; i++)
		s->worker[i].of = s;
	enum err e = OK;
	for (unsigned i = 0; i < want && !e; i++) {
		e = thread_start(
			&s->worker[i].thread, worker_main, &s->worker[i], "vector-store", et);
		s->n += !e;
	}
	e = e ? e : thread_start(&s->keeper, keeper_main, s, "vstore-keeper", et);
	s->keeping = !e;
	return e;
}

void vstores_stop(struct croft *c)
{
	struct indexer *s = croft_state(c, &vstores_module);
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	s->stop = true;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		cancel_set(&s->worker[i].lost);
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->mu);
	for (unsigned i = 0; i < s->n; i++)
		pthread_join(s->worker[i].thread, NULL);
	if (s->keeping)
		pthread_join(s->keeper, NULL);
	pthread_mutex_destroy(&s->mu);
	pthread_cond_destroy(&s->wake);
	croft_set_state(c, &vstores_module, NULL);
	free(s);
}
