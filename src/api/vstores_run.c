/* Threads that make documents of the files that were added to vector stores: a file is parsed,
 * split and embedded by rag, then its row gets its status and the job its end. */
#include "api/vstores.h"

#include "store/worker.h"

enum { ATTEMPTS_MAX = 5, RETRY_MS = 2000 };

/* ---- one file ---- */

struct task {
	struct work *k;
	struct croft *c;
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
	return rag_remove(t->c, t->project, VSTORE_OWNER, t->collection, path, t->et);
}

static enum err done(struct task *t)
{
	return queue_done_now(t->k->db, &t->k->job, t->et);
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
	struct croft *c = t->c;
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
	enum err e = rag_put(t->c, &d, t->a, &made, t->k->cancel, t->et);
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
	struct croft *c = t->c;
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
	struct work *k = t->k;
	bool taken = false;
	enum err e = OK;
	t->row.code = t->row.error = S("");
	if (k->job.attempt > ATTEMPTS_MAX)
		fail(&t->row, S("server_error"),
			S("it could not be indexed: several attempts ended with the server"));
	else
		e = make_document(t);
	if (e && e != ERR_CANCELLED && e != ERR_NOT_READY && k->job.attempt == ATTEMPTS_MAX) {
		fail(&t->row, S("server_error"), arena_str(t->a, str_c(err_text(e, t->et))));
		e = t->row.error.p ? OK : e;
	}
	e = e ? e : vfile_end(t->c, &t->row, &k->job, &taken, t->et);
	return e ? e : settle(t);
}

static enum err run(struct work *k, struct errtext *et)
{
	struct task t = {.k = k, .c = k->ctx, .a = k->a, .et = et};
	enum err e = read_task(&t);
	if (e == ERR_CORRUPT)
		return done(&t);
	if (e)
		return e;
	if (id_is_zero(t.file)) {
		e = drop(&t);
		return e ? e : done(&t);
	}
	e = vfile_get(t.c, t.project, t.store, t.file, k->a, &t.row, et);
	if (e == ERR_NOT_FOUND || (!e && str_eq_c(t.row.status, "cancelled"))) {
		e = drop(&t);
		return e ? e : done(&t);
	}
	if (!e && !str_eq_c(t.row.status, "in_progress"))
		return done(&t);
	return e ? e : index_file(&t);
}

/* ---- threads ---- */

/* A file that was removed or cancelled is let go of. */
static bool wanted(void *ctx, const struct job *job)
{
	struct errtext et = {0};
	struct vfile row;
	struct arena *a = arena_new(0);
	struct work k = {.job = *job};
	struct task t = {.k = &k, .a = a, .et = &et};
	enum err e = a ? read_task(&t) : ERR_NOMEM;
	bool is_file = !e && !id_is_zero(t.file);
	if (is_file)
		e = vfile_get(ctx, t.project, t.store, t.file, a, &row, &et);
	bool over = is_file && (e == ERR_NOT_FOUND || (!e && !str_eq_c(row.status, "in_progress")));
	arena_free(a);
	return !over;
}

static enum err sweep(void *ctx, struct errtext *et)
{
	return vstore_sweep(ctx, et);
}

void vstores_wake(struct croft *c)
{
	workers_wake(croft_state(c, &vstores_module));
}

enum err vstores_start(struct croft *c, struct errtext *et)
{
	struct workers *s;
	enum err e = workers_start(croft_db(c),
		&(struct worker_options){.queue = VSTORE_QUEUE,
			.name = "vector store",
			.threads = (unsigned)setting_int(c, "vector_stores.workers"),
			.lease_ms = 10000,
			.retry_ms = RETRY_MS,
			.run = run,
			.wanted = wanted,
			.hourly = sweep,
			.ctx = c},
		&s, et);
	if (!e)
		croft_set_state(c, &vstores_module, s);
	return e;
}

void vstores_stop(struct croft *c)
{
	workers_stop(croft_state(c, &vstores_module));
	croft_set_state(c, &vstores_module, NULL);
}
