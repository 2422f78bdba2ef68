#include "rag/stages.h"

#include "base/clock.h"

enum { WHY_MAX = 16 };

static enum err parse_date(yyjson_val *o, const char *key, int64_t *out, struct errtext *et)
{
	struct str s = {0};
	enum err e = json_want_str(o, key, &s, et);
	if (!e && s.n && !clock_parse_rfc3339(s, out))
		e = err_set(et, ERR_INVALID,
			"'%s' must be a date such as 2026-05-03 or 2026-05-03T10:00:00Z", key);
	return e;
}

/* { model?, depth?, weight? }, or true for the default of all; absent: as the setting has it. */
static enum err parse_rerank(
	struct croft *c, yyjson_val *o, struct rag_query *q, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, "rerank");
	int64_t depth = setting_int(c, "rag.rerank_depth");
	double weight = (double)setting_int(c, "rag.rerank_weight") / 100;
	q->rerank_depth = (size_t)depth;
	q->rerank = depth > 0 && !yyjson_is_false(v);
	q->rerank_weight = (float)weight;
	if (!v || yyjson_is_null(v) || yyjson_is_false(v))
		return OK;
	if (!yyjson_is_true(v) && !yyjson_is_obj(v))
		return err_set(et, ERR_INVALID,
			"'rerank' must be true or an object with model, depth and weight");
	enum err e = json_want_str(v, "model", &q->rerank_model, et);
	if (!e)
		e = json_want_i64(v, "depth", 1, 1000, &depth, et);
	if (!e)
		e = json_want_f64(v, "weight", 0, 1, &weight, et);
	if (!e && weight <= 0)
		e = err_set(et, ERR_INVALID, "'rerank': a weight is above 0, up to 1");
	q->rerank_weight = (float)weight;
	q->rerank = true;
	q->rerank_depth = (size_t)depth;
	return e;
}

/* { dense?, bm25? }: only their proportion counts. */
static enum err parse_weights(yyjson_val *o, struct rag_query *q, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, "weights");
	double dense = 1, bm25 = 1;
	if (!v || yyjson_is_null(v))
		return OK;
	if (!yyjson_is_obj(v))
		return err_set(et, ERR_INVALID, "'weights' must be an object with dense and bm25");
	enum err e = json_want_f64(v, "dense", 0, 1000, &dense, et);
	if (!e)
		e = json_want_f64(v, "bm25", 0, 1000, &bm25, et);
	if (!e && (dense <= 0 || bm25 <= 0))
		e = err_set(et, ERR_INVALID,
			"weights are above 0: method dense or bm25 leaves the other side out");
	q->balance = (float)(dense / bm25);
	return e;
}

enum err rag_query_parse(struct croft *c, yyjson_val *o, struct rag_query *q, struct errtext *et)
{
	static const char *const methods[] = {"hybrid", "dense", "bm25"};
	struct str method = {0};
	int64_t k = 0;
	enum err e = json_want_i64(o, "k", 1, 1000, &k, et);
	q->k = (size_t)k;
	if (!e)
		e = json_want_str(o, "collection", &q->collection, et);
	if (!e)
		e = json_want_str(o, "method", &method, et);
	size_t m = 0;
	while (method.n && m < ARRAY_LEN(methods) && !str_eq_c(method, methods[m]))
		m++;
	if (!e && m == ARRAY_LEN(methods))
		e = err_set(et, ERR_INVALID, "'method' must be hybrid, dense or bm25, not \"%.*s\"",
			STR_FMT(str_sub(method, 0, 40)));
	q->method = (enum rag_method)m;
	if (!e)
		e = parse_rerank(c, o, q, et);
	if (!e)
		e = parse_weights(o, q, et);
	yyjson_val *f = yyjson_obj_get(o, "filters");
	if (!e && f && !yyjson_is_obj(f) && !yyjson_is_null(f))
		e = err_set(et, ERR_INVALID, "'filters' must be an object");
	if (!e)
		e = json_want_str(f, "path", &q->filter.path_glob, et);
	if (!e)
		e = json_want_str(f, "type", &q->filter.type, et);
	if (!e)
		e = json_want_str(f, "tag", &q->filter.tag, et);
	if (!e)
		e = parse_date(f, "from", &q->filter.from_ms, et);
	if (!e)
		e = parse_date(f, "to", &q->filter.to_ms, et);
	if (!e && q->filter.type.n && doc_type_from_name(q->filter.type) == DOC_UNKNOWN)
		e = err_set(et, ERR_INVALID, "there is no document type \"%.*s\"",
			STR_FMT(str_sub(q->filter.type, 0, 40)));
	return e ? e : stages_parse(c, o, &q->stages, et);
}

/* A side that was asked has a score for every hit, also for one that it did not propose. */
static void score(struct jw *w, const char *key, const char *rank_key, float v, uint32_t rank)
{
	jw_key(w, key);
	jw_f32(w, v); /* NaN, not asked: null */
	jw_key(w, rank_key);
	rank ? jw_i64(w, rank) : jw_null(w);
}

void write_hit(struct jw *w, struct croft *c, const struct rag_hit *h, const struct str *terms,
	size_t n_terms)
{
	char id[ID_HEX + 1];
	id_hex(h->document, id);
	jw_ki64(w, "chunk", h->chunk);
	jw_kc(w, "document", id);
	jw_kstr(w, "path", h->path);
	jw_kstr(w, "title", h->title);
	jw_kstr(w, "type", h->type);
	jw_ki64(w, "page", h->page);
	jw_kstr(w, "heading_path", h->heading_path);
	jw_ki64(w, "from", h->from);
	jw_ki64(w, "to", h->to);
	jw_kstr(w, "text", h->text);
	jw_key(w, "score");
	jw_f32(w, h->score);
	score(w, "dense", "dense_rank", h->dense, h->dense_rank);
	score(w, "bm25", "bm25_rank", h->bm25, h->bm25_rank);
	if (h->before) {
		jw_key(w, "rerank");
		jw_f32(w, h->rerank);
		jw_ki64(w, "rank_before", h->before);
	}
	if (h->age > 0) {
		jw_key(w, "age");
		jw_f32(w, h->age);
	}
	if (h->n_pieces) {
		jw_key(w, "pieces");
		jw_arr(w);
		for (size_t i = 0; i < h->n_pieces; i++) {
			jw_obj(w);
			jw_ki64(w, "chunk", h->pieces[i].chunk);
			jw_ki64(w, "from", h->pieces[i].from);
			jw_ki64(w, "to", h->pieces[i].to);
			jw_end(w);
		}
		jw_end(w);
	}
	struct bm25_term_score why[WHY_MAX];
	struct rag *r = rag_of(c);
	jw_key(w, "why");
	jw_arr(w);
	if (n_terms) {
		pthread_rwlock_rdlock(&r->lock);
		const struct index_doc *d = index_doc_of(r, (uint64_t)h->chunk);
		size_t n = d ? bm25_explain(d->shelf->bm25, terms, n_terms, (uint64_t)h->chunk, why,
				       WHY_MAX)
			     : 0;
		for (size_t i = 0; i < n; i++) {
			jw_obj(w);
			jw_kstr(w, "term", why[i].term);
			jw_key(w, "score");
			jw_f32(w, why[i].score);
			jw_ki64(w, "tf", why[i].tf);
			jw_ki64(w, "df", why[i].df);
			jw_end(w);
		}
		pthread_rwlock_unlock(&r->lock);
	}
	jw_end(w);
}

void span_retrieved(struct span *s, const struct retrieved *got)
{
	span_i64(s, "hits", (int64_t)got->n);
	span_i64(s, "candidates.dense", (int64_t)got->info.n_dense);
	span_i64(s, "candidates.bm25", (int64_t)got->info.n_bm25);
	if (got->info.compared) {
		span_text(s, "dense.how",
			str_c(got->info.how == VINDEX_GRAPH ? "graph" : "all compared"));
		span_i64(s, "dense.compared", (int64_t)got->info.compared);
	}
	span_f64(s, "weight.cosine", got->info.weight);
	span_f64(s, "weight.keyword", got->info.keyword);
	span_f64(s, "vocabulary_fit", got->info.fit);
	if (got->truncated)
		span_text(s, "warning",
			S("the query is longer than the embedding model reads; its end was left "
			  "out of the dense search"));
}

void post_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	uint64_t start = clock_mono_ns();
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct rag_query q = {.project = project_of(rq), .who = rq->who};
	struct retrieved got = {0};
	struct run *run = NULL;
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	if (!e)
		e = json_want_str(o, "query", &q.text, &et);
	if (!e)
		e = rag_query_parse(c, o, &q, &et);
	if (!e && rag_stages_wanted(o, &q.stages))
		e = need(rq, PERM_MODEL_USE, &et);
	if (!e) {
		run = run_begin(c, project_of(rq), "search", q.text);
		struct span *s = span_begin(run, NULL, "retrieve", "retriever");
		span_text(s, "input", q.text);
		q.run = run;
		q.span = s;
		e = rag_retrieve(c, &q, rq->arena, &got, rq->cancel, &et);
		span_retrieved(s, &got);
		span_end(s, e, &et);
		docset_span(run, &got.set);
	}
	if (e) {
		http_reply_error(rs, e, &et);
	} else {
		char id[ID_HEX + 1];
		struct buf b = {0};
		struct jw w = {.out = &b};
		id_hex(run_id(run), id);
		jw_obj(&w);
		jw_key(&w, "hits");
		jw_arr(&w);
		for (size_t i = 0; i < got.n; i++) {
			jw_obj(&w);
			write_hit(&w, c, &got.hits[i], got.terms, got.n_terms);
			jw_end(&w);
		}
		jw_end(&w);
		trail_members(&w, got.trail);
		docset_members(&w, &got.set);
		jw_kc(&w, "run", id);
		jw_kf64(&w, "took_ms", (double)((clock_mono_ns() - start) / 1000) / 1000);
		jw_end(&w);
		http_reply_json(rs, 200, &w);
		buf_free(&b);
	}
	run_end(run, e, &et);
	yyjson_doc_free(doc);
}
