/* Documents that another part of Croft keeps, such as vector stores: put, changed and removed by
 * its owner, found as others are. */
#include "rag/cite.h"
#include "rag/rag_int.h"

static void describe(const struct doc_row *d, int64_t text_bytes, uint32_t dim, struct arena *a,
	struct rag_made *out)
{
	*out = (struct rag_made){.document = d->id,
		.failed = str_eq_c(d->status, "failed"),
		.code = arena_str(a, d->error_code),
		.why = arena_str(a, d->error),
		.warnings = arena_str(a, d->warnings),
		.chunks = d->chunks,
		.text_bytes = text_bytes,
		.vector_bytes = d->chunks * (int64_t)dim * (int64_t)sizeof(float)};
}

/* Of the chunks, what they repeat too. */
static enum err chunk_bytes(
	struct croft *c, struct id document, struct arena *a, int64_t *out, struct errtext *et)
{
	struct tx *tx;
	struct chunk_row *chunks;
	size_t n = 0;
	int64_t sum = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_chunks(tx, document, a, &chunks, &n, et);
	db_rollback(tx);
	for (size_t i = 0; i < n && !e; i++)
		sum += (int64_t)chunks[i].text.n;
	if (!e)
		*out = sum;
	return e;
}

enum err rag_put(struct croft *c, const struct rag_new *d, struct arena *a, struct rag_made *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct ingest_request rq = {.project = d->project,
		.collection = d->collection,
		.path = d->path,
		.bytes = d->bytes,
		.owner = d->owner,
		.attributes = d->attributes.p ? d->attributes : S(""),
		.chunk_tokens = d->chunk_tokens,
		.chunk_overlap = d->chunk_overlap};
	struct ingest_result r;
	int64_t bytes = 0;
	enum err e = ingest_bytes(c, &rq, a, &r, cancel, et);
	if (!e)
		e = chunk_bytes(c, r.doc.id, a, &bytes, et);
	if (!e)
		describe(&r.doc, bytes, rag_of(c)->dim, a, out);
	return e;
}

struct wanted {
	struct arena *a;
	struct str owner;
	struct id *ids;
	size_t n, most;
};

static enum err take(void *ctx, const struct doc_row *d)
{
	struct wanted *w = ctx;
	if (str_eq(d->owner, w->owner))
		w->ids[w->n++] = d->id;
	return w->n == w->most ? ERR_LIMIT : OK; /* enough for now */
}

static enum err some_of(struct croft *c, struct str project, struct str collection,
	struct wanted *w, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	w->n = 0;
	e = store_doc_each(tx, project, collection, take, w, et);
	db_rollback(tx);
	return e == ERR_LIMIT ? OK : e;
}

static enum err find(struct croft *c, struct str project, struct str collection, struct str path,
	struct arena *a, struct doc_row *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_doc_by_path(tx, project, collection, path, a, out, et);
	db_rollback(tx);
	return e;
}

static enum err remove_one(struct croft *c, struct str project, struct str owner,
	struct str collection, struct str path, struct arena *a, struct errtext *et)
{
	struct doc_row d;
	enum err e = find(c, project, collection, path, a, &d, et);
	if (!e)
		e = ingest_delete(c, project, owner, &d.id, 1, et);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* In pieces, so that the writer is not held for long. */
static enum err remove_all(struct croft *c, struct str project, struct str owner,
	struct str collection, struct arena *a, struct errtext *et)
{
	enum { PIECE = 100 };
	struct id ids[PIECE];
	struct wanted w = {.a = a, .owner = owner, .ids = ids, .most = PIECE};
	enum err e = OK;
	do {
		e = some_of(c, project, collection, &w, et);
		if (!e && w.n)
			e = ingest_delete(c, project, owner, ids, w.n, et);
		if (e == ERR_NOT_FOUND) /* somebody else removes them too */
			e = OK;
	} while (!e && w.n);
	return e;
}

enum err rag_remove(struct croft *c, struct str project, struct str owner, struct str collection,
	struct str path, struct errtext *et)
{
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory to remove documents");
	enum err e = path.n ? remove_one(c, project, owner, collection, path, a, et)
			    : remove_all(c, project, owner, collection, a, et);
	arena_free(a);
	return e;
}

enum err rag_set_attributes(struct croft *c, struct str project, struct str collection,
	struct str path, struct str json, struct errtext *et)
{
	struct rag *r;
	struct doc_row d;
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory for attributes");
	enum err e = rag_load(c, &r, NULL, et);
	if (!e)
		pthread_mutex_lock(&r->write_mu);
	bool locked = !e;
	if (!e)
		e = find(c, project, collection, path, a, &d, et);
	if (!e) {
		d.attributes = json;
		e = ingest_retag(c, r, &d, et);
	}
	if (locked)
		pthread_mutex_unlock(&r->write_mu);
	arena_free(a);
	return e;
}

enum err rag_text(struct croft *c, struct str project, struct str collection, struct str path,
	struct arena *a, struct str *out, struct errtext *et)
{
	struct tx *tx;
	struct doc_row d;
	struct str blocks;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_doc_by_path(tx, project, collection, path, a, &d, et);
	if (!e)
		e = store_doc_text(tx, d.id, a, out, &blocks, et);
	db_rollback(tx);
	return e;
}

/* ---- answers from them ---- */

struct reader {
	struct rag *r;
	const struct cancel *cancel;
};

static enum err embed_sentences(
	void *ctx, const struct str *texts, size_t n, float *out, struct errtext *et)
{
	struct reader *k = ctx;
	size_t truncated, tokens;
	return embed_texts(endpoint_model(k->r->embed), texts, n, true, out, &truncated, &tokens,
		k->cancel, et);
}

enum err rag_cite(struct croft *c, const struct rag_hit *hits, size_t n,
	const struct cancel *cancel, struct arena *a, struct cite **out, struct errtext *et)
{
	struct reader *k = arena_array_of(a, 1, struct reader);
	enum err e = k ? OK : err_set(et, ERR_NOMEM, "no memory to check an answer");
	if (!e)
		e = rag_load(c, &k->r, cancel, et);
	if (e)
		return e;
	k->cancel = cancel;
	struct cite_input in = {
		.hits = hits, .n_hits = n, .embed = embed_sentences, .ctx = k, .dim = k->r->dim};
	return cite_new(&in, a, out, et);
}
