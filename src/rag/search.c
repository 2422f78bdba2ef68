/* A query to hits: both indexes under one filter, fused, then read from the database. */
#include "rag/rag_int.h"

#include <fnmatch.h>
#include <stdlib.h>

/* Candidates of each method before fusion. */
enum { CANDIDATES_MIN = 100, CANDIDATES_PER_HIT = 10, K_MAX = 1000 };

struct keep_ctx {
	const struct rag *r;
	const struct rag_query *q;
	const char *collection, *glob;
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

static bool keep(void *ctx, uint64_t key)
{
	const struct keep_ctx *k = ctx;
	const struct rag_filter *f = &k->q->filter;
	const struct index_doc *d = index_doc_of(k->r, key);
	if (!d || strcmp(d->collection, k->collection))
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
	return true;
}

struct candidates {
	struct hit *dense, *bm25;
	size_t n_dense, n_bm25;
};

static enum err collect(const struct rag *r, const struct rag_query *q, const float *vector,
	const struct str *terms, size_t n_terms, size_t want, struct arena *a,
	struct candidates *out, const struct cancel *cancel, struct errtext *et)
{
	struct keep_ctx ctx = {.r = r,
		.q = q,
		.collection = arena_c(a, q->collection.n ? q->collection : S("default")),
		.glob = q->filter.path_glob.n ? arena_c(a, q->filter.path_glob) : NULL};
	out->dense = arena_array_of(a, want, struct hit);
	out->bm25 = arena_array_of(a, want, struct hit);
	if (!out->dense || !out->bm25 || !ctx.collection)
		return err_set(et, ERR_NOMEM, "no memory to search");
	enum err e = OK;
	if (q->method != RAG_BM25)
		e = dense_search(
			r->dense, vector, want, keep, &ctx, out->dense, &out->n_dense, cancel, et);
	if (!e && q->method != RAG_DENSE && n_terms)
		e = bm25_search(r->bm25, terms, n_terms, want, keep, &ctx, out->bm25, &out->n_bm25,
			cancel, et);
	return e;
}

/* Hits whose document was deleted since are left out. */
static enum err read_hits(struct croft *c, const struct fused *f, size_t n, struct arena *a,
	struct rag_hit *hits, size_t *n_hits, struct errtext *et)
{
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
			e = store_doc_by_id(tx, ch.document, a, &d, et);
		if (e == ERR_NOT_FOUND) {
			e = OK;
			continue;
		}
		if (!e)
			hits[(*n_hits)++] = (struct rag_hit){.chunk = ch.id,
				.document = d.id,
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

enum err rag_search(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_hit **hits, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	struct rag *r;
	enum err e = rag_load(c, &r, cancel, et);
	if (e)
		return e;
	if (!str_trim(q->text).n)
		return err_set(et, ERR_INVALID, "the query is empty");
	size_t k = q->k ? q->k : (size_t)setting_int(c, "rag.top_k");
	if (k > K_MAX)
		return err_set(
			et, ERR_INVALID, "k is %zu, at most %d hits can be asked for", k, K_MAX);
	size_t want = MAX(k * CANDIDATES_PER_HIT, (size_t)CANDIDATES_MIN);
	float *vector = arena_array_of(a, r->dim, float);
	struct str *terms = NULL;
	size_t n_terms = 0, truncated = 0, tokens = 0;
	if (!vector)
		return err_set(et, ERR_NOMEM, "no memory to search");
	if (q->method != RAG_BM25)
		e = embed_texts(endpoint_model(r->embed), &q->text, 1, true, vector, &truncated,
			&tokens, cancel, et);
	if (e)
		return e;
	struct candidates cand = {0};
	pthread_rwlock_rdlock(&r->lock);
	e = r->dense ? rag_query_terms(r, q->text, a, &terms, &n_terms, et)
		     : err_set(et, ERR_NOT_READY, "the document index is being rebuilt");
	if (!e)
		e = collect(r, q, vector, terms, n_terms, want, a, &cand, cancel, et);
	pthread_rwlock_unlock(&r->lock);
	struct fused *fused = arena_array_of(a, cand.n_dense + cand.n_bm25 + 1, struct fused);
	struct rag_hit *out = arena_array_of(a, k + 1, struct rag_hit);
	if (!e && (!fused || !out))
		e = err_set(et, ERR_NOMEM, "no memory to search");
	if (e)
		return e;
	struct fusion_input in = {cand.dense, cand.bm25, cand.n_dense, cand.n_bm25};
	size_t n_fused = rag_fuse(&in, q->method, fused);
	e = read_hits(c, fused, MIN(n_fused, k), a, out, n, et);
	if (!e)
		*hits = out;
	return e;
}
