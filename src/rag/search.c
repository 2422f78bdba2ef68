/* A query to hits: both indexes under one filter, fused, then read from the database. */
#include "rag/rag_int.h"

#include <fnmatch.h>
#include <stdlib.h>

enum { K_MAX = 1000 };

struct keep_ctx {
	const struct rag *r;
	const struct rag_query *q;
	const struct shelf *shelf;
	const struct str *collections;
	size_t n_collections;
	const char *glob;
	uint8_t *verdict; /* of each document: 0 not known yet, 1 no, 2 yes */
};

/* A comma list, white space around the items allowed. */
static bool has_tag(const char *tags, struct str wanted)
{
	struct str rest = str_c(tags), tag;
	while (str_next(&rest, ',', &tag))
		if (str_eq_nocase(str_trim(tag), wanted))
			return true;
	return false;
}

static bool in_collections(const struct keep_ctx *k, struct str name)
{
	for (size_t i = 0; i < k->n_collections; i++)
		if (str_eq(k->collections[i], name))
			return true;
	return false;
}

static bool keep_doc(const struct keep_ctx *k, const struct index_doc *d)
{
	const struct rag_filter *f = &k->q->filter;
	if (d->shelf != k->shelf || !in_collections(k, str_c(d->collection)))
		return false;
	if (k->q->owner.n && !str_eq_c(k->q->owner, d->owner))
		return false;
	if (f->type.n && !str_eq_c(f->type, d->type))
		return false;
	if (f->tag.n && !has_tag(d->tags, f->tag))
		return false;
	if (f->from_ms && d->date_ms < f->from_ms)
		return false;
	if (f->to_ms && d->date_ms > f->to_ms)
		return false;
	/* "report*" means any folder: a pattern without a slash is matched with the last part too
	 */
	if (k->glob && fnmatch(k->glob, d->path, 0)) {
		const char *slash = strrchr(d->path, '/');
		if (!slash || strchr(k->glob, '/') || fnmatch(k->glob, slash + 1, 0))
			return false;
	}
	return !f->attributes || f->attributes(f->ctx, str_c(d->attributes));
}

static bool keep(void *ctx, uint64_t key)
{
	const struct keep_ctx *k = ctx;
	const struct index_doc *d = index_doc_of(k->r, key);
	if (!d)
		return false;
	uint8_t *v = &k->verdict[d - k->r->docs];
	if (!*v)
		*v = keep_doc(k, d) ? 2 : 1;
	return *v == 2;
}

/* Of the fused score, where both sides have the most to say. */
static float relevance(
	const struct rag_query *q, const struct fused *f, const struct fusion_info *i)
{
	float most = q->method == RAG_DENSE  ? 1
		     : q->method == RAG_BM25 ? MAX(i->evidence, 1e-6f)
					     : 1 + i->weight;
	return MAX(0, MIN(1, f->score / most));
}

/* Hits whose document was deleted since, or is not what was asked for any more, are left out. */
static enum err read_hits(struct croft *c, const struct rag_query *q, struct str project,
	const struct fused *f, size_t n, const struct fusion_info *info, struct arena *a,
	struct rag_hit *hits, size_t *n_hits, struct errtext *et)
{
	const struct rag_filter *filter = &q->filter;
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	*n_hits = 0;
	for (size_t i = 0; i < n && !e; i++) {
		struct chunk_row ch;
		struct doc_row d;
		e = store_chunk(tx, (int64_t)f[i].key, a, &ch, et);
		if (!e)
			e = store_doc_by_id(tx, project, ch.document, a, &d, et);
		if (e == ERR_NOT_FOUND) {
			e = OK;
			continue;
		}
		if (!e && filter->attributes && !filter->attributes(filter->ctx, d.attributes))
			continue;
		if (!e)
			hits[(*n_hits)++] = (struct rag_hit){.chunk = ch.id,
				.document = d.id,
				.collection = d.collection,
				.attributes = d.attributes,
				.relevance = relevance(q, &f[i], info),
				.path = d.path,
				.title = d.title,
				.heading_path = ch.heading_path,
				.text = ch.text,
				.type = d.type,
				.page = ch.page,
				.from = ch.from,
				.to = ch.to,
				.score = f[i].score,
				.dense = f[i].dense,
				.bm25 = f[i].bm25,
				.dense_rank = f[i].dense_rank,
				.bm25_rank = f[i].bm25_rank};
	}
	db_rollback(tx);
	return e;
}

enum err rag_retrieve(struct croft *c, const struct rag_query *q, struct arena *a,
	struct retrieved *out, const struct cancel *cancel, struct errtext *et)
{
	struct rag *r;
	struct retrieved got = {0};
	struct str project = q->project.n ? q->project : S("default");
	enum err e = rag_load(c, &r, cancel, et);
	if (e)
		return e;
	if (!str_trim(q->text).n)
		return err_set(et, ERR_INVALID, "the query is empty");
	size_t k = q->k ? q->k : (size_t)setting_int(c, "rag.top_k");
	if (k > K_MAX)
		return err_set(
			et, ERR_INVALID, "k is %zu, at most %d hits can be asked for", k, K_MAX);
	struct str collection = q->collection.n ? q->collection : S("default");
	struct keep_ctx ctx = {.r = r,
		.q = q,
		.collections = q->n_collections ? q->collections : &collection,
		.n_collections = q->n_collections ? q->n_collections : 1,
		.glob = q->filter.path_glob.n ? arena_c(a, q->filter.path_glob) : NULL};
	struct fused *fused = arena_array_of(a, k + 1, struct fused);
	got.vector = arena_array_of(a, r->dim, float);
	got.hits = arena_array_of(a, k + 1, struct rag_hit);
	if (!fused || !got.vector || !got.hits || (q->filter.path_glob.n && !ctx.glob))
		return err_set(et, ERR_NOMEM, "no memory to search");
	struct fusion_query fq = {
		.method = q->method, .balance = q->balance, .keep = keep, .ctx = &ctx};
	if (!q->n_collections)
		e = docset_before(c, r, project, collection, a, &got.set, et);
	if (e)
		return e;
	if (q->method == RAG_BM25) {
		got.vector = NULL;
	} else {
		e = embed_texts(endpoint_model(r->embed), &q->text, 1, true, got.vector,
			&got.truncated, &got.tokens, cancel, et);
		if (e)
			return e;
		fq.vector = got.vector;
		fq.fit = rag_fit(model_tokenizer(endpoint_model(r->embed)), q->text);
	}
	size_t n = 0;
	pthread_rwlock_rdlock(&r->lock);
	struct shelf *shelf = index_shelf(r, project);
	ctx.shelf = shelf;
	e = rag_query_terms(r, shelf, q->text, a, &got.terms, &got.word_at, &got.n_terms, et);
	fq.terms = got.terms;
	fq.word_at = got.word_at;
	fq.n_terms = got.n_terms;
	ctx.verdict = e ? NULL : arena_array_of(a, r->n_docs + 1, uint8_t);
	if (!e && !ctx.verdict)
		e = err_set(et, ERR_NOMEM, "no memory to search");
	if (!e && shelf)
		e = rag_rank(shelf->dense, shelf->bm25, &fq, k, fused, &n, &got.info, cancel, et);
	pthread_rwlock_unlock(&r->lock);
	if (!e)
		e = read_hits(c, q, project, fused, n, &got.info, a, got.hits, &got.n, et);
	if (!e && !q->n_collections)
		e = docset_after(c, project, collection, a, &got.set, et);
	if (!e)
		*out = got;
	return e;
}

enum err rag_search(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_hit **hits, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	struct retrieved got;
	enum err e = rag_retrieve(c, q, a, &got, cancel, et);
	if (!e) {
		*hits = got.hits;
		*n = got.n;
	}
	return e;
}
