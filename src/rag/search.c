/* A query to hits: both indexes under one filter, fused, then read from the database, with the
 * stages that were asked for:
 *
 *	question -> rewrite -> filters -> search of each text -> merge -> recency -> rerank ->
 *	diversity -> context -> k passages */
#include "rag/stages.h"

#include "kernels/kernels.h"

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
	const struct rag_derived *derived; /* NULL: none */
	uint8_t *verdict;                  /* of each document */
};

/* A comma list, white space around the items allowed. */
bool doc_has_tag(const char *tags, struct str wanted)
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

/* Of those that a search is about, whatever its filters. */
static bool is_in_reach(void *ctx, const struct index_doc *d)
{
	const struct keep_ctx *k = ctx;
	return d->shelf == k->shelf && in_collections(k, str_c(d->collection)) &&
	       (!k->q->owner.n || str_eq_c(k->q->owner, d->owner));
}

static bool keep_doc(struct keep_ctx *k, const struct index_doc *d)
{
	const struct rag_filter *f = &k->q->filter;
	if (!is_in_reach(k, d))
		return false;
	if (k->derived && !derived_keeps(k->derived, d))
		return false;
	if (f->type.n && !str_eq_c(f->type, d->type))
		return false;
	if (f->tag.n && !doc_has_tag(d->tags, f->tag))
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
	const struct rag_query *q, const struct fused *f, const struct fusion_info *i, bool merged)
{
	if (merged)
		return f->score;
	float most = q->method == RAG_DENSE  ? 1
		     : q->method == RAG_BM25 ? MAX(i->evidence, 1e-6f)
					     : 1 + i->weight;
	return MAX(0, MIN(1, f->score / most));
}

/* ---- one search ---- */

enum { RERANK_DEPTH = 50, RERANK_DEPTH_MAX = 1000, RERANK_TOKENS = 4096, POOL_MIN = 50 };

struct lookup {
	struct croft *c;
	const struct rag_query *q;
	struct rag *r;
	struct arena *a;
	const struct cancel *cancel;
	struct errtext *et;
	struct str project, collection;
	/* passages wanted; of those that are reranked; of those that the stages choose from */
	size_t k, depth, pool;
	struct endpoint *reranker;
	struct fused *fused;
	size_t n;
	bool merged; /* of several lists */
	struct rag_trail *trail;
	struct keep_ctx keep;
};

static enum err no_memory(struct lookup *l)
{
	return err_set(l->et, ERR_NOMEM, "no memory to search");
}

static struct stage stage_of(struct lookup *l)
{
	return (struct stage){l->c, l->r, l->q, l->trail, l->a, l->cancel, l->et};
}

/* Hits whose document was deleted since, or is not what was asked for any more, are left out. */
static enum err read_hit(struct lookup *l, struct tx *tx, const struct fused *f,
	const struct fusion_info *info, struct rag_hit *out, bool *there)
{
	const struct rag_filter *filter = &l->q->filter;
	struct chunk_row ch;
	struct doc_row d;
	enum err e = store_chunk(tx, (int64_t)f->key, l->a, &ch, l->et);
	if (!e)
		e = store_doc_by_id(tx, l->project, ch.document, l->a, &d, l->et);
	*there = !e && (!filter->attributes || filter->attributes(filter->ctx, d.attributes));
	if (e == ERR_NOT_FOUND)
		return OK;
	if (e || !*there)
		return e;
	*out = (struct rag_hit){.chunk = ch.id,
		.document = d.id,
		.collection = d.collection,
		.attributes = d.attributes,
		.relevance = relevance(l->q, f, info, l->merged),
		.path = d.path,
		.title = d.title,
		.heading_path = ch.heading_path,
		.text = ch.text,
		.type = d.type,
		.page = ch.page,
		.from = ch.from,
		.to = ch.to,
		.score = f->score,
		.dense = f->dense,
		.bm25 = f->bm25,
		.dense_rank = f->dense_rank,
		.bm25_rank = f->bm25_rank,
		.date_ms = d.created_ms ? d.created_ms : d.added_ms,
		.added_ms = d.added_ms,
		.updated_ms = d.updated_ms,
		.ordinal = ch.ordinal,
		.tokens = ch.tokens};
	memcpy(out->sha256, ch.sha256, sizeof out->sha256);
	return OK;
}

static enum err read_hits(struct lookup *l, size_t n, const struct fusion_info *info,
	struct rag_hit *hits, size_t *n_hits)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(l->c), TX_READ, &tx, l->et);
	if (e)
		return e;
	*n_hits = 0;
	for (size_t i = 0; i < n && !e; i++) {
		bool there;
		e = read_hit(l, tx, &l->fused[i], info, &hits[*n_hits], &there);
		*n_hits += !e && there;
	}
	db_rollback(tx);
	return e;
}

/* What is asked, before anything is computed. */
static enum err check(struct lookup *l)
{
	const struct rag_query *q = l->q;
	l->project = q->project.n ? q->project : S("default");
	l->collection = q->collection.n ? q->collection : S("default");
	l->k = q->k ? q->k : (size_t)setting_int(l->c, "rag.top_k");
	l->depth = !q->rerank ? 0 : q->rerank_depth ? q->rerank_depth : RERANK_DEPTH;
	l->pool = MAX(l->k, l->depth);
	if (rag_stages_any(&q->stages))
		l->pool = MAX(l->pool, MIN(MAX(4 * l->k, (size_t)POOL_MIN), (size_t)K_MAX));
	if (!str_trim(q->text).n)
		return err_set(l->et, ERR_INVALID, "the query is empty");
	if (l->k > K_MAX || l->depth > RERANK_DEPTH_MAX)
		return err_set(l->et, ERR_INVALID,
			"k is %zu, at most %d hits can be asked for and reranked",
			MAX(l->k, l->depth), K_MAX);
	l->trail = q->trail ? q->trail : arena_new_of(l->a, struct rag_trail);
	if (!l->trail)
		return no_memory(l);
	*l->trail = (struct rag_trail){0};
	l->keep = (struct keep_ctx){.r = l->r,
		.q = q,
		.collections = q->n_collections ? q->collections : &l->collection,
		.n_collections = q->n_collections ? q->n_collections : 1,
		.glob = q->filter.path_glob.n ? arena_c(l->a, q->filter.path_glob) : NULL};
	if (q->filter.path_glob.n && !l->keep.glob)
		return no_memory(l);
	if (!l->depth)
		return OK;
	enum err e = endpoint_rerank(l->c, q->rerank_model, &l->reranker, l->et);
	return e ? e : endpoint_need_model(l->reranker, "rerank", l->et);
}

/* The vectors of all that is searched for, and behind them that of the hypothetical passage. */
static enum err embed_asked(struct lookup *l, struct retrieved *got, float **vectors)
{
	const struct rag_trail *t = l->trail;
	struct str texts[ARRAY_LEN(t->asked)];
	size_t dim = l->r->dim, n = 0, known = l->q->vector ? 1 : 0;
	for (size_t i = known; i < t->n_asked; i++)
		texts[n++] = t->asked[i].text;
	float *v = arena_array_of(l->a, (n + known + 1) * dim, float);
	if (!v)
		return no_memory(l);
	if (known)
		memcpy(v, l->q->vector, dim * sizeof *v);
	*vectors = got->vector = v;
	size_t truncated = 0, tokens = 0;
	enum err e = OK;
	if (n)
		e = embed_texts_as(endpoint_model(l->r->embed), EMBED_QUERY, texts, n, true,
			v + known * dim, &got->truncated, &got->tokens, l->cancel, l->et);
	if (!e && t->passage.n)
		e = embed_texts_as(endpoint_model(l->r->embed), EMBED_DOCUMENT, &t->passage, 1,
			true, v + (known + n) * dim, &truncated, &tokens, l->cancel, l->et);
	got->truncated += truncated;
	got->tokens += tokens;
	return e;
}

/* What a chat model wrote about something else altogether would only lead astray. */
static void forget_unrelated(struct lookup *l, float *vectors)
{
	static const float UNRELATED = 0.15f; /* cosine */
	struct rag_trail *t = l->trail;
	size_t dim = l->r->dim, kept = 1;
	for (size_t i = 1; i <= t->n_asked; i++) {
		bool passage = i == t->n_asked;
		struct str text = passage ? t->passage : t->asked[i].text;
		float *v = vectors + i * dim;
		if (!text.n)
			continue;
		if (kern->dot(v, vectors, dim) < UNRELATED) {
			text.n = utf8_complete_prefix(str_sub(text, 0, 60));
			trail_note(
				t, arena_fmt(l->a,
					   "what the chat model wrote has nothing to do with the "
					   "question and was left out: %.*s",
					   STR_FMT(text)));
			if (passage)
				t->passage = S("");
			continue;
		}
		if (!passage)
			t->asked[kept] = t->asked[i];
		memmove(vectors + kept++ * dim, v, dim * sizeof *v);
	}
	t->n_asked = kept - (t->passage.n > 0);
}

/* The question's vector moved towards the passage that would answer it. */
static enum err towards_passage(struct lookup *l, const float *vectors, const float **out)
{
	size_t dim = l->r->dim;
	const float *passage = vectors + l->trail->n_asked * dim;
	float *v = arena_array_of(l->a, dim, float);
	if (!v)
		return no_memory(l);
	for (size_t i = 0; i < dim; i++)
		v[i] = vectors[i] + passage[i];
	kern->normalize(v, v, dim);
	*out = v;
	return OK;
}

/* Under lock. */
static enum err judge(struct lookup *l, const struct shelf *shelf, uint64_t *n_keep)
{
	l->keep.shelf = shelf;
	l->keep.verdict = arena_array_of(l->a, l->r->n_docs + 1, uint8_t);
	if (!l->keep.verdict)
		return no_memory(l);
	*n_keep = shelf ? judge_all(&l->keep) : 0;
	return OK;
}

/* By a chat model. It is asked without the lock; when it fails, rules are asked. */
static enum err derive_by_model(struct lookup *l, struct stage *x, struct step *step)
{
	struct inventory *inv;
	struct errtext et = {0}, *out = l->et;
	pthread_rwlock_rdlock(&l->r->lock);
	l->keep.shelf = index_shelf(l->r, l->project);
	enum err e = inventory_read(x, is_in_reach, &l->keep, &inv);
	pthread_rwlock_unlock(&l->r->lock);
	if (e)
		return e;
	x->et = &et;
	e = stage_derive_model(x, step, inv);
	x->et = out;
	if (!e)
		return OK;
	if (cancelled(l->cancel))
		return err_set(out, ERR_CANCELLED, "the search was cancelled");
	l->trail->derived = (struct rag_derived){0};
	trail_note(l->trail,
		arena_fmt(l->a, "no chat model read filters from the question, rules did: %s",
			err_text(e, &et)));
	return OK;
}

/* What was derived is a filter unless nothing matches it. */
static enum err apply_derived(struct lookup *l, struct stage *x)
{
	struct rag_derived *d = &l->trail->derived;
	uint64_t n = 0;
	pthread_rwlock_rdlock(&l->r->lock);
	l->keep.shelf = index_shelf(l->r, l->project);
	enum err e = d->by ? OK : stage_derive(x, is_in_reach, &l->keep);
	if (!e && d->any) {
		l->keep.derived = d;
		e = judge(l, l->keep.shelf, &n);
	}
	pthread_rwlock_unlock(&l->r->lock);
	d->dropped = !e && d->any && !n;
	return e;
}

static enum err derive(struct lookup *l)
{
	struct step step;
	struct stage x = stage_of(l);
	struct rag_derived *d = &l->trail->derived;
	struct buf b = {0};
	if (!l->q->stages.derive_filters)
		return OK;
	step_begin(&step, l->q, l->trail, "filters", "chain");
	enum err e = rag_stages_derive_asks(&l->q->stages) ? derive_by_model(l, &x, &step) : OK;
	e = e ? e : apply_derived(l, &x);
	rag_derived_text(d, &b);
	struct str said = arena_fmt(l->a, "%.*s%s", STR_FMT(buf_str(&b)),
		d->dropped ? "; matches no document and was dropped" : "");
	buf_free(&b);
	if (d->any)
		step_note(&step, said);
	if (d->dropped) {
		l->keep.derived = NULL;
		trail_note(l->trail,
			S("the filter that was derived from the question matches nothing and was "
			  "dropped"));
	}
	step_end(&step, e, l->et);
	return e;
}

/* One text in both indexes at one moment. */
static enum err search_one(struct lookup *l, size_t which, const float *vector,
	struct retrieved *got, struct fused *out, size_t *n, struct fusion_info *info)
{
	const struct rag_query *q = l->q;
	struct rag *r = l->r;
	struct str text = l->trail->asked[which].text;
	struct retrieved own = {0};
	struct fusion_query fq = {.method = q->method,
		.vector = vector,
		.balance = q->balance > 0 ? q->balance
					  : (float)setting_int(l->c, "rag.dense_weight") / 100,
		.keep = keep,
		.ctx = &l->keep,
		.exact = q->exact};
	if (vector)
		fq.fit = rag_fit(model_tokenizer(endpoint_model(r->embed)), text);
	pthread_rwlock_rdlock(&r->lock);
	struct shelf *shelf = index_shelf(r, l->project);
	enum err e = rag_query_terms(
		r, shelf, text, l->a, &own.terms, &own.word_at, &own.n_terms, l->et);
	fq.terms = own.terms;
	fq.word_at = own.word_at;
	fq.n_terms = own.n_terms;
	e = e ? e : judge(l, shelf, &fq.n_keep);
	*n = 0;
	if (!e && shelf && fq.n_keep)
		e = rag_rank(shelf->dense, shelf->bm25, &fq, l->pool, out, n, &own.info, l->cancel,
			l->et);
	pthread_rwlock_unlock(&r->lock);
	*info = own.info;
	if (!which) {
		got->terms = own.terms;
		got->word_at = own.word_at;
		got->n_terms = own.n_terms;
		got->info = own.info;
	}
	return e;
}

static enum err search_step(struct lookup *l, size_t which, const float *vector,
	struct retrieved *got, struct fused *out, size_t *n)
{
	struct step step;
	step_begin(&step, l->q, l->trail, "search", "retriever");
	span_text(step.span, "input", l->trail->asked[which].text);
	if (which)
		step_note(&step, str_c(l->trail->asked[which].as));
	struct fusion_info info = {0};
	enum err e = search_one(l, which, vector, got, out, n, &info);
	step_fused(&step, l->r, out, e ? 0 : *n, l->a);
	step_end(&step, e, l->et);
	for (size_t i = 0; i < *n && !e && l->trail->n_asked > 1; i++) /* to be merged */
		out[i].score = relevance(l->q, &out[i], &info, false);
	return e;
}

/* What the question itself says of passages that other texts found. */
static enum err score_by_question(struct lookup *l, const struct retrieved *got)
{
	struct fusion_query fq = {.method = l->q->method,
		.vector = got->vector,
		.terms = got->terms,
		.word_at = got->word_at,
		.n_terms = got->n_terms};
	pthread_rwlock_rdlock(&l->r->lock);
	struct shelf *shelf = index_shelf(l->r, l->project);
	enum err e = shelf ? rag_score(shelf->dense, shelf->bm25, &fq, l->fused, l->n, l->et) : OK;
	pthread_rwlock_unlock(&l->r->lock);
	return e;
}

static enum err merge(struct lookup *l, const size_t *n, size_t n_lists)
{
	struct step step;
	step_begin(&step, l->q, l->trail, "merge", "chain");
	l->merged = true;
	l->n = MIN(rag_merge(l->fused, n, n_lists), l->pool);
	step_fused(&step, l->r, l->fused, l->n, l->a);
	step_end(&step, OK, NULL);
	return OK;
}

static enum err look(struct lookup *l, struct retrieved *got)
{
	struct stage x = stage_of(l);
	float *vectors = NULL;
	const float *first = NULL;
	size_t n[ARRAY_LEN(l->trail->asked)] = {0}, all = 0;
	enum err e = stage_rethink(&x);
	e = e ? e : derive(l);
	if (!e && l->q->method != RAG_BM25)
		e = embed_asked(l, got, &vectors);
	if (!e && vectors && rag_stages_ask(&l->q->stages))
		forget_unrelated(l, vectors);
	first = vectors;
	size_t n_asked = l->trail->n_asked;
	if (!e && vectors && l->trail->passage.n)
		e = towards_passage(l, vectors, &first);
	l->fused = arena_array_of(l->a, n_asked * l->pool + 1, struct fused);
	if (!e && !l->fused)
		e = no_memory(l);
	for (size_t i = 0; i < n_asked && !e; i++) {
		const float *v = !vectors ? NULL : i ? vectors + i * l->r->dim : first;
		e = search_step(l, i, v, got, l->fused + all, &n[i]);
		all += n[i];
	}
	l->n = all;
	if (!e && n_asked > 1)
		e = merge(l, n, n_asked);
	if (!e && (n_asked > 1 || l->trail->passage.n))
		e = score_by_question(l, got);
	return e;
}

static int by_rerank(const void *a, const void *b)
{
	const struct rag_hit *x = a, *y = b;
	float sx = hit_score(x), sy = hit_score(y);
	if (sx != sy)
		return sx < sy ? 1 : -1;
	return (x->before > y->before) - (x->before < y->before);
}

static enum err read_pairs(
	void *ctx, const struct str *passages, size_t n, float *scores, struct errtext *et)
{
	struct lookup *l = ctx;
	size_t tokens;
	bool *cut = arena_array_of(l->a, n, bool);
	if (!cut)
		return no_memory(l);
	return rank_texts(endpoint_model(l->reranker), l->q->text, passages, n, RERANK_TOKENS,
		scores, cut, &tokens, l->cancel, et);
}

/* The first `depth` hits by what a cross-encoder says of them; the others keep their places behind
 * those. It reads what the indexes have of a passage: title, headings, text. */
static enum err rerank_now(struct lookup *l, struct rag_hit *hits, size_t n)
{
	n = MIN(n, l->depth);
	if (!n)
		return OK;
	struct str *texts = arena_array_of(l->a, n, struct str);
	float *scores = arena_array_of(l->a, n, float);
	float weight = l->q->rerank_weight > 0 ? l->q->rerank_weight : 1;
	struct buf b = {0};
	enum err e = texts && scores ? OK : no_memory(l);
	for (size_t i = 0; i < n && !e; i++) {
		buf_clear(&b);
		chunk_index_text(
			hits[i].title, hits[i].heading_path, hits[i].text, RAG_CONTEXT_MAX, &b);
		texts[i] = arena_str(l->a, buf_str(&b));
		e = texts[i].p ? OK : no_memory(l);
	}
	buf_free(&b);
	struct pairs_ask ask = {.model_sha256 = endpoint_sha256(l->reranker),
		.question = l->q->text,
		.passages = texts,
		.n = n,
		.read = read_pairs,
		.ctx = l};
	/* a model without a digest cannot be told from another */
	struct rag_pairs *kept = ask.model_sha256.n ? l->q->pairs : NULL;
	e = e ? e : pairs_score(kept, &ask, scores, l->et);
	for (size_t i = 0; i < n && !e; i++) {
		hits[i].rerank = 1 / (1 + expf(-scores[i]));
		hits[i].mixed = weight * hits[i].rerank + (1 - weight) * hits[i].relevance;
		hits[i].before = (uint32_t)i + 1;
	}
	if (!e)
		qsort(hits, n, sizeof *hits, by_rerank);
	return e;
}

static enum err rerank(struct lookup *l, struct rag_hit *hits, size_t n)
{
	struct step step;
	if (!l->depth)
		return OK;
	step_begin(&step, l->q, l->trail, "rerank", "reranker");
	span_text(step.span, "model", endpoint_name(l->reranker));
	span_i64(step.span, "depth", (int64_t)MIN(n, l->depth));
	enum err e = rerank_now(l, hits, n);
	step_hits(&step, hits, n, l->a, hit_score);
	step_end(&step, e, l->et);
	return e;
}

/* The list as it was found becomes the one that is given. */
static enum err order(struct lookup *l, struct retrieved *got)
{
	const struct rag_stages *s = &l->q->stages;
	struct stage x = stage_of(l);
	bool wide = s->parent || s->neighbours;
	enum err e = s->half_life_days > 0 ? stage_age(&x, got->hits, got->n) : OK;
	e = e ? e : rerank(l, got->hits, got->n);
	if (s->diversity > 0 && l->depth) /* what was not read by the cross-encoder has no chance */
		got->n = MIN(got->n, MAX(l->depth, l->k));
	if (!e && s->diversity > 0)
		e = stage_diversify(&x, got->hits, &got->n, wide ? 3 * l->k : l->k);
	if (!e && wide)
		e = stage_widen(&x, got->hits, &got->n, l->k);
	got->n = MIN(got->n, l->k);
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
	e = e ? e : read_hits(&l, l.n, &got.info, got.hits, &got.n);
	e = e ? e : order(&l, &got);
	if (!e && !q->n_collections)
		e = docset_after(c, l.project, l.collection, a, &got.set, et);
	endpoint_put(l.reranker);
	got.trail = l.trail;
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
	e = e ? e : read_hits(l, n, info, hits, &n_hits);
	e = e ? e : rerank(l, hits, n_hits);
	if (e)
		return e;
	float top = l->n ? l->fused[0].score : 0;
	memmove(l->fused + n_hits, l->fused + n, (l->n - n) * sizeof *l->fused);
	l->n -= n - n_hits;
	for (size_t i = 0; i < n_hits; i++)
		l->fused[i] = (struct fused){
			.key = (uint64_t)hits[i].chunk, .score = top + 1 + hits[i].mixed};
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

/* With stages there are hits, and their order. */
static enum err rank_by_hits(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_ranked **out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	struct retrieved got;
	size_t found = 0;
	enum err e = rag_retrieve(c, q, a, &got, cancel, et);
	if (e)
		return e;
	struct rag_ranked *list = arena_array_of(a, got.n + 1, struct rag_ranked);
	struct map seen = {0};
	for (size_t i = 0; i < got.n && list && !e; i++) {
		struct str path = got.hits[i].path;
		if (map_get(&seen, path))
			continue;
		list[found++] = (struct rag_ranked){
			.path = path, .score = (float)(got.n - i), .chunk = got.hits[i].chunk};
		if (!map_put(&seen, path, list))
			e = err_set(et, ERR_NOMEM, "no memory for documents");
	}
	map_free(&seen);
	*out = list;
	*n = found;
	return list ? e : err_set(et, ERR_NOMEM, "no memory for documents");
}

enum err rag_rank_documents(struct croft *c, const struct rag_query *q, struct arena *a,
	struct rag_ranked **out, size_t *n, const struct cancel *cancel, struct errtext *et)
{
	if (rag_stages_any(&q->stages))
		return rank_by_hits(c, q, a, out, n, cancel, et);
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
	e = embed_texts_as(endpoint_model(r->embed), EMBED_QUERY, &text, 1, true, v, &truncated,
		&tokens, cancel, et);
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

/* ---- how far down ---- */

static uint32_t best_rank(
	const struct fused *list, size_t n, const int64_t *chunks, size_t n_chunks)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_chunks; k++)
			if ((int64_t)list[i].key == chunks[k])
				return (uint32_t)i + 1;
	return 0;
}

static enum err rank_in(struct lookup *l, struct rag_query *q, enum rag_method method,
	const float *vector, const int64_t *chunks, size_t n, uint32_t *out)
{
	struct retrieved got = {0};
	struct fusion_info info;
	size_t found = 0;
	q->method = method;
	enum err e =
		search_one(l, 0, method == RAG_BM25 ? NULL : vector, &got, l->fused, &found, &info);
	if (!e)
		*out = best_rank(l->fused, found, chunks, n);
	return e;
}

enum err rag_ranks_of(struct croft *c, const struct rag_query *q, const int64_t *chunks, size_t n,
	size_t depth, struct arena *a, struct rag_ranks *out, const struct cancel *cancel,
	struct errtext *et)
{
	struct rag_query plain = *q;
	struct rag_ranks ranks = {0};
	struct retrieved got = {0};
	float *vectors = NULL;
	plain.stages = (struct rag_stages){0};
	plain.rerank = false;
	plain.exact = true;
	plain.run = NULL;
	plain.trail = NULL;
	struct lookup l = {.c = c, .q = &plain, .a = a, .cancel = cancel, .et = et};
	enum err e = rag_load(c, &l.r, cancel, et);
	e = e ? e : check(&l);
	if (e)
		return e;
	l.pool = MIN(depth, (size_t)RAG_RANKS_MAX);
	l.fused = arena_array_of(a, l.pool + 1, struct fused);
	l.trail->asked[0] = (struct rag_asked){"question", q->text};
	l.trail->n_asked = 1;
	e = l.fused ? embed_asked(&l, &got, &vectors) : no_memory(&l);
	e = e ? e : rank_in(&l, &plain, RAG_BM25, vectors, chunks, n, &ranks.keyword);
	e = e ? e : rank_in(&l, &plain, RAG_DENSE, vectors, chunks, n, &ranks.dense);
	e = e ? e : rank_in(&l, &plain, RAG_HYBRID, vectors, chunks, n, &ranks.fused);
	if (!e)
		*out = ranks;
	return e;
}
