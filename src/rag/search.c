/* A query to hits: both indexes under one filter, fused, then read from the database. */
#include "rag/rag_int.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>

enum { K_MAX = 1000 };

struct keep_ctx {
	const struct rag *r;
	const struct rag_query *q;
	const struct shelf *shelf;
	const struct str *collections;
	size_t n_collections;
	const char *glob;
	uint8_t *verdict; /* of each document */
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
	return d && k->verdict[d - k->r->docs];
}

/* The verdicts on all documents, and how many chunks those have that are kept: how the vectors are
 * searched depends on it. */
static uint64_t judge_all(struct keep_ctx *k)
{
	uint64_t n = 0;
	for (size_t i = 0; i < k->r->n_docs; i++) {
		const struct index_doc *d = &k->r->docs[i];
		k->verdict[i] = d->live && keep_doc(k, d);
		n += k->verdict[i] ? d->n_chunks : 0;
	}
	return n;
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

/* ---- one search ---- */

enum { RERANK_DEPTH = 50, RERANK_DEPTH_MAX = 1000, RERANK_TOKENS = 4096 };

struct lookup {
	struct croft *c;
	const struct rag_query *q;
	struct rag *r;
	struct arena *a;
	const struct cancel *cancel;
	struct errtext *et;
	struct str project, collection;
	size_t k, depth; /* passages wanted; of those that are reranked */
	struct endpoint *reranker;
	struct fused *fused;
	size_t n;
};

static enum err no_memory(struct lookup *l)
{
	return err_set(l->et, ERR_NOMEM, "no memory to search");
}

/* What is asked, before anything is computed. */
static enum err check(struct lookup *l)
{
	const struct rag_query *q = l->q;
	l->project = q->project.n ? q->project : S("default");
	l->collection = q->collection.n ? q->collection : S("default");
	l->k = q->k ? q->k : (size_t)setting_int(l->c, "rag.top_k");
	l->depth = !q->rerank ? 0 : q->rerank_depth ? q->rerank_depth : RERANK_DEPTH;
	if (!str_trim(q->text).n)
		return err_set(l->et, ERR_INVALID, "the query is empty");
	if (l->k > K_MAX || l->depth > RERANK_DEPTH_MAX)
		return err_set(l->et, ERR_INVALID,
			"k is %zu, at most %d hits can be asked for and reranked",
			MAX(l->k, l->depth), K_MAX);
	if (!l->depth)
		return OK;
	enum err e = endpoint_rerank(l->c, q->rerank_model, &l->reranker, l->et);
	return e ? e : endpoint_need_model(l->reranker, "rerank", l->et);
}

static enum err embed_query(struct lookup *l, struct retrieved *got)
{
	if (l->q->vector) {
		memcpy(got->vector, l->q->vector, l->r->dim * sizeof(float));
		return OK;
	}
	return embed_texts(endpoint_model(l->r->embed), &l->q->text, 1, true, got->vector,
		&got->truncated, &got->tokens, l->cancel, l->et);
}

/* Both indexes at one moment. */
static enum err look(struct lookup *l, struct retrieved *got)
{
	const struct rag_query *q = l->q;
	struct rag *r = l->r;
	size_t k = MAX(l->k, l->depth);
	struct keep_ctx ctx = {.r = r,
		.q = q,
		.collections = q->n_collections ? q->collections : &l->collection,
		.n_collections = q->n_collections ? q->n_collections : 1,
		.glob = q->filter.path_glob.n ? arena_c(l->a, q->filter.path_glob) : NULL};
	struct fusion_query fq = {.method = q->method,
		.balance = q->balance > 0 ? q->balance
					  : (float)setting_int(l->c, "rag.dense_weight") / 100,
		.keep = keep,
		.ctx = &ctx};
	l->fused = arena_array_of(l->a, k + 1, struct fused);
	if (!l->fused || (q->filter.path_glob.n && !ctx.glob))
		return no_memory(l);
	if (q->method != RAG_BM25) {
		got->vector = arena_array_of(l->a, r->dim, float);
		enum err e = got->vector ? embed_query(l, got) : no_memory(l);
		if (e)
			return e;
		fq.vector = got->vector;
		fq.fit = rag_fit(model_tokenizer(endpoint_model(r->embed)), q->text);
	}
	pthread_rwlock_rdlock(&r->lock);
	struct shelf *shelf = index_shelf(r, l->project);
	ctx.shelf = shelf;
	enum err e = rag_query_terms(
		r, shelf, q->text, l->a, &got->terms, &got->word_at, &got->n_terms, l->et);
	fq.terms = got->terms;
	fq.word_at = got->word_at;
	fq.n_terms = got->n_terms;
	ctx.verdict = e ? NULL : arena_array_of(l->a, r->n_docs + 1, uint8_t);
	if (!e && !ctx.verdict)
		e = no_memory(l);
	if (!e)
		fq.n_keep = judge_all(&ctx);
	if (!e && shelf && fq.n_keep)
		e = rag_rank(shelf->dense, shelf->bm25, &fq, k, l->fused, &l->n, &got->info,
			l->cancel, l->et);
	pthread_rwlock_unlock(&r->lock);
	return e;
}

static int by_rerank(const void *a, const void *b)
{
	const struct rag_hit *x = a, *y = b;
	if (x->rerank != y->rerank)
		return x->rerank < y->rerank ? 1 : -1;
	return (x->before > y->before) - (x->before < y->before);
}

/* The first `depth` hits by what a cross-encoder says of them; the others keep their places behind
 * those. It reads what the indexes have of a passage: title, headings, text. */
static enum err rerank(struct lookup *l, struct rag_hit *hits, size_t n)
{
	n = MIN(n, l->depth);
	if (!n)
		return OK;
	struct str *texts = arena_array_of(l->a, n, struct str);
	float *scores = arena_array_of(l->a, n, float);
	bool *cut = arena_array_of(l->a, n, bool);
	struct buf b = {0};
	size_t tokens = 0;
	enum err e = texts && scores && cut ? OK : no_memory(l);
	for (size_t i = 0; i < n && !e; i++) {
		buf_clear(&b);
		chunk_index_text(
			hits[i].title, hits[i].heading_path, hits[i].text, RAG_CONTEXT_MAX, &b);
		texts[i] = arena_str(l->a, buf_str(&b));
		e = texts[i].p ? OK : no_memory(l);
	}
	buf_free(&b);
	if (!e)
		e = rank_texts(endpoint_model(l->reranker), l->q->text, texts, n, RERANK_TOKENS,
			scores, cut, &tokens, l->cancel, l->et);
	for (size_t i = 0; i < n && !e; i++) {
		hits[i].rerank = 1 / (1 + expf(-scores[i]));
		hits[i].before = (uint32_t)i + 1;
	}
	if (!e)
		qsort(hits, n, sizeof *hits, by_rerank);
	return e;
}

enum err rag_retrieve(struct croft *c, const struct rag_query *q, struct arena *a,
	struct retrieved *out, const struct cancel *cancel, struct errtext *et)
{
	struct retrieved got = {0};
	struct lookup l = {.c = c, .q = q, .a = a, .cancel = cancel, .et = et};
	enum err e = rag_load(c, &l.r, cancel, et);
	e = e ? e : check(&l);
	if (!e && !q->n_collections)
		e = docset_before(c, l.r, l.project, l.collection, a, &got.set, et);
	e = e ? e : look(&l, &got);
	if (!e) {
		got.hits = arena_array_of(a, l.n + 1, struct rag_hit);
		e = got.hits ? OK : no_memory(&l);
	}
	e = e ? e : read_hits(c, q, l.project, l.fused, l.n, &got.info, a, got.hits, &got.n, et);
	e = e ? e : rerank(&l, got.hits, got.n);
	got.n = MIN(got.n, l.k);
	if (!e && !q->n_collections)
		e = docset_after(c, l.project, l.collection, a, &got.set, et);
	endpoint_put(l.reranker);
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

/* ---- documents by their best passages ---- */

static int by_score_then_path(const void *a, const void *b)
{
	const struct rag_ranked *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return str_cmp(y->path, x->path);
}

/* Those that were reranked come first, with scores above all others'. */
static enum err rerank_fused(struct lookup *l, const struct fusion_info *info)
{
	size_t n = MIN(l->n, l->depth), n_hits = 0;
	struct rag_hit *hits = arena_array_of(l->a, n + 1, struct rag_hit);
	enum err e = hits ? OK : no_memory(l);
	e = e ? e
	      : read_hits(l->c, l->q, l->project, l->fused, n, info, l->a, hits, &n_hits, l->et);
	e = e ? e : rerank(l, hits, n_hits);
	if (e)
		return e;
	float top = l->n ? l->fused[0].score : 0;
	memmove(l->fused + n_hits, l->fused + n, (l->n - n) * sizeof *l->fused);
	l->n -= n - n_hits;
	for (size_t i = 0; i < n_hits; i++)
		l->fused[i] = (struct fused){
			.key = (uint64_t)hits[i].chunk, .score = top + 1 + hits[i].rerank};
	return OK;
}

/* The first of each document; l->fused is best first. */
static enum err first_of_each(struct lookup *l, struct rag_ranked *out, size_t *n)
{
	struct rag *r = l->r;
	enum err e = OK;
	pthread_rwlock_rdlock(&r->lock);
	uint8_t *seen = arena_array_of(l->a, r->n_docs + 1, uint8_t);
	if (!seen)
		e = no_memory(l);
	for (size_t i = 0; i < l->n && !e; i++) {
		const struct index_doc *d = index_doc_of(r, l->fused[i].key);
		if (!d || seen[d - r->docs])
			continue;
		seen[d - r->docs] = 1;
		struct rag_ranked *x = &out[(*n)++];
		*x = (struct rag_ranked){.path = arena_str(l->a, str_c(d->path)),
			.score = l->fused[i].score,
			.chunk = (int64_t)l->fused[i].key};
		if (!x->path.p)
			e = no_memory(l);
	}
	pthread_rwlock_unlock(&r->lock);
	return e;
}

enum err rag_rank_documents(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_ranked **out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	struct retrieved got = {0};
	struct lookup l = {.c = c, .q = q, .a = a, .cancel = cancel, .et = et};
	struct rag_ranked *list = NULL;
	size_t found = 0;
	enum err e = rag_load(c, &l.r, cancel, et);
	e = e ? e : check(&l);
	e = e ? e : look(&l, &got);
	if (!e && l.depth)
		e = rerank_fused(&l, &got.info);
	l.n = MIN(l.n, l.k);
	if (!e) {
		list = arena_array_of(a, l.n + 1, struct rag_ranked);
		e = list ? first_of_each(&l, list, &found) : no_memory(&l);
	}
	endpoint_put(l.reranker);
	if (e)
		return e;
	qsort(list, found, sizeof *list, by_score_then_path);
	*out = list;
	*n = found;
	return OK;
}

enum err rag_vector(struct croft *c, struct str text, struct arena *a, const float **out,
	const struct cancel *cancel, struct errtext *et)
{
	struct rag *r;
	size_t truncated, tokens;
	enum err e = rag_load(c, &r, cancel, et);
	if (e)
		return e;
	float *v = arena_array_of(a, r->dim, float);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a query's vector");
	e = embed_texts(
		endpoint_model(r->embed), &text, 1, true, v, &truncated, &tokens, cancel, et);
	if (!e)
		*out = v;
	return e;
}

enum err rag_space(
	struct croft *c, struct arena *a, struct str *model, struct str *space, struct errtext *et)
{
	struct rag *r;
	enum err e = rag_load(c, &r, NULL, et);
	if (!e) {
		*model = arena_str(a, endpoint_name(r->embed));
		*space = arena_str(a, str_c(r->space));
	}
	return e;
}

enum err rag_document_set(struct croft *c, struct str project, struct str collection,
	struct arena *a, struct str *ref, struct errtext *et)
{
	struct rag *r;
	struct docset set = {0};
	enum err e = rag_load(c, &r, NULL, et);
	if (!e)
		e = docset_settle(c, r, project, collection, S(""), a, &set, et);
	if (!e)
		*ref = set.ref.p ? set.ref : S("");
	return e;
}
