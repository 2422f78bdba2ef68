/* What other parts look at inside: the texts and chunks of documents, how far down a search a
 * passage stands, an answer with its passages. */
#include "rag/ask.h"

#include "base/room.h"

#include <stdlib.h>

struct listing {
	struct str owner;
	struct id *ids;
	size_t n, cap;
};

static enum err note_id(void *ctx, const struct doc_row *d)
{
	struct listing *l = ctx;
	if (!str_eq(d->owner, l->owner))
		return OK;
	if (!heap_room(l->ids, l->n, l->cap))
		return ERR_NOMEM;
	l->ids[l->n++] = d->id;
	return OK;
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to look at documents");
}

/* ERR_NOT_FOUND: it was deleted meanwhile. */
static enum err read_document(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct rag_document *out, struct errtext *et)
{
	struct doc_row d;
	struct chunk_row *rows;
	struct str text = S(""), blocks;
	size_t n = 0;
	enum err e = store_doc_by_id(tx, project, id, a, &d, et);
	bool indexed = !e && str_eq_c(d.status, "indexed");
	if (indexed)
		e = store_doc_text(tx, id, a, &text, &blocks, et);
	if (!e)
		e = store_chunks(tx, id, a, &rows, &n, et);
	if (e)
		return e;
	struct rag_span *spans = arena_array_of(a, n + 1, struct rag_span);
	if (!spans)
		return no_memory(et);
	for (size_t i = 0; i < n; i++)
		spans[i] = (struct rag_span){rows[i].id, rows[i].from, rows[i].to, rows[i].page};
	*out = (struct rag_document){.id = d.id,
		.path = d.path,
		.title = d.title,
		.status = d.status,
		.error = d.error.p ? d.error : S(""),
		.sha256 = d.sha256,
		.text = text,
		.chunks = spans,
		.n_chunks = n};
	return OK;
}

static enum err show(struct croft *c, struct str project, struct id id,
	enum err (*fn)(void *ctx, const struct rag_document *d), void *ctx, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct rag_document d;
	struct tx *tx = NULL;
	enum err e = a ? db_begin(croft_db(c), TX_READ, &tx, et) : no_memory(et);
	e = e ? e : read_document(tx, project, id, a, &d, et);
	db_rollback(tx);
	if (e == ERR_NOT_FOUND)
		e = OK;
	else if (!e)
		e = fn(ctx, &d);
	arena_free(a);
	return e;
}

enum err rag_documents_each(struct croft *c, struct str project, struct str collection,
	struct str owner, enum err (*fn)(void *ctx, const struct rag_document *d), void *ctx,
	struct errtext *et)
{
	struct listing l = {.owner = owner};
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = store_doc_each(tx, project, collection, note_id, &l, et);
	db_rollback(tx);
	if (e == ERR_NOMEM)
		e = no_memory(et);
	for (size_t i = 0; i < l.n && !e; i++)
		e = show(c, project, l.ids[i], fn, ctx, et);
	free(l.ids);
	return e;
}

/* ---- answers ---- */

static enum err take(const struct ask_result *r, struct arena *a, struct rag_answer *out)
{
	const struct checked *k = &r->checked;
	*out = (struct rag_answer){.text = arena_str(a, buf_str(&k->answer)),
		.reason = r->reason,
		.generated = r->generated,
		.hits = r->got.hits,
		.n_hits = r->got.n,
		.used = r->used,
		.grounded = r->grounded,
		.model = r->model.p ? r->model : S(""),
		.sentences = arena_array_of(a, k->n + 1, struct rag_sentence),
		.n_sentences = k->n};
	if (!out->text.p || !out->sentences)
		return ERR_NOMEM;
	for (size_t i = 0; i < k->n; i++)
		out->sentences[i] = (struct rag_sentence){k->citations[i].answer_from,
			k->citations[i].answer_to, k->citations[i].status != CITE_UNSUPPORTED};
	return OK;
}

enum err rag_answer(struct croft *c, const struct rag_query *q, struct str model, struct arena *a,
	struct rag_answer *out, const struct cancel *cancel, struct errtext *et)
{
	struct ask_request rq = {.query = *q, .model = model};
	struct ask_result *r = arena_new_of(a, struct ask_result);
	struct ask_events none = {0};
	if (!r)
		return no_memory(et);
	enum err e = rag_ask(c, &rq, q->run, a, &none, r, cancel, et);
	if (!e && take(r, a, out))
		e = no_memory(et);
	return e;
}
