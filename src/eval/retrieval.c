/* POST /api/v1/eval/retrieval: several settings on the same queries, compared with the first one;
 * or, with `tune`, a search among settings on half of the queries, reported on the other half. */
#include "eval/tune.h"

#include "base/clock.h"

#include <stdlib.h>

enum { SETTINGS_MAX = 32, PASSAGES = 300, WORSE_SHOWN = 20, TELL_MS = 500, PAIRS_MAX = 1 << 20 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the evaluation");
}

/* ---- one setting on some queries ---- */

size_t setting_passages(const struct setting_result *r)
{
	return r->query.k ? r->query.k : PASSAGES;
}

double setting_weight(const struct croft *c, const struct setting_result *r)
{
	return r->query.balance > 0 ? (double)r->query.balance
				    : (double)setting_int(c, "rag.dense_weight") / 100;
}

const char *setting_method(const struct setting_result *r)
{
	static const char *const words[] = {"hybrid", "dense", "bm25"};
	return words[r->query.method];
}

enum err setting_room(struct evaluation *v, struct setting_result *r, struct errtext *et)
{
	r->scores = arena_array_of(v->rq->arena, v->set.n, struct eval_scores);
	r->top = arena_array(v->rq->arena, v->set.n, sizeof *r->top);
	return r->scores && r->top ? OK : no_memory(et);
}

enum err evaluation_pairs(struct evaluation *v, struct errtext *et)
{
	return v->pairs ? OK : rag_pairs_new(PAIRS_MAX, &v->pairs, et);
}

static void write_pairs(struct jw *w, const struct evaluation *v)
{
	struct rag_pairs_count n = rag_pairs_count(v->pairs);
	jw_key(w, "pairs");
	jw_obj(w);
	jw_ki64(w, "read", (int64_t)n.read);
	jw_ki64(w, "kept", (int64_t)n.kept);
	jw_end(w);
}

/* How far it is, at most twice a second. */
static enum err tell(struct evaluation *v)
{
	uint64_t now = clock_mono_ns() / 1000000;
	struct buf b = {0};
	struct jw w = {.out = &b};
	v->done++;
	if (!v->rs || now - v->told_ms < TELL_MS)
		return OK;
	v->told_ms = now;
	jw_obj(&w);
	jw_ki64(&w, "done", (int64_t)v->done);
	jw_ki64(&w, "total", (int64_t)v->total);
	jw_kstr(&w, "setting", v->doing);
	if (v->trials) {
		jw_ki64(&w, "trial", (int64_t)v->trial);
		jw_ki64(&w, "trials", (int64_t)v->trials);
		jw_kstr(&w, "best", v->best);
	}
	write_pairs(&w, v);
	jw_end(&w);
	enum err e = http_sse_event(v->rs, "progress", buf_str(&b));
	buf_free(&b);
	return e;
}

static enum err evaluate_one(struct evaluation *v, struct setting_result *r, uint32_t i,
	struct arena *scratch, struct errtext *et)
{
	struct eval_query *q = &v->set.queries[i];
	struct rag_query ask = r->query;
	struct rag_ranked *list;
	size_t n = 0;
	enum err e = OK;
	if (ask.method != RAG_BM25 && !q->vector)
		e = rag_vector(v->c, q->text, v->rq->arena, &q->vector, v->rq->cancel, et);
	ask.text = q->text;
	ask.vector = q->vector;
	ask.k = setting_passages(r);
	ask.project = project_of(v->rq);
	ask.who = v->rq->who;
	ask.pairs = v->pairs;
	e = e ? e : rag_rank_documents(v->c, &ask, scratch, &list, &n, v->rq->cancel, et);
	if (e)
		return err_wrap(et, e, "query %.*s", STR_FMT(str_sub(q->id, 0, 80)));
	uint64_t *ranked = arena_array_of(scratch, n + 1, uint64_t);
	if (!ranked)
		return no_memory(et);
	for (size_t k = 0; k < n; k++)
		ranked[k] = judged_document(&v->set, list[k].path, UINT64_MAX - k);
	for (size_t k = 0; k < EVAL_TOP; k++) {
		r->top[i][k] = k < n ? arena_str(v->rq->arena, list[k].path) : (struct str){0};
		if (k < n && !r->top[i][k].p)
			return no_memory(et);
	}
	r->scores[i] = eval_measure(ranked, n, q->judged, q->n_judged);
	return OK;
}

enum err evaluate(struct evaluation *v, struct setting_result *r, const uint32_t *which, size_t n,
	struct arena *a, struct errtext *et)
{
	uint64_t start = clock_mono_ns();
	enum err e = OK;
	v->doing = r->label;
	for (size_t i = 0; i < n && !e; i++) {
		struct arena *scratch = arena_new(0);
		e = scratch ? evaluate_one(v, r, which[i], scratch, et) : no_memory(et);
		arena_free(scratch);
		if (!e && tell(v))
			e = err_set(et, ERR_CANCELLED, "nobody waits for the result");
		if (!e && cancelled(v->rq->cancel))
			e = err_set(et, ERR_CANCELLED, "the evaluation was stopped");
	}
	r->took_ms = (double)((clock_mono_ns() - start) / 1000) / 1000;
	return e;
}

void metric_values(const struct setting_result *r, enum eval_metric m, const uint32_t *which,
	size_t n, double *v)
{
	for (size_t i = 0; i < n; i++)
		v[i] = r->scores[which[i]].v[m];
}

enum err summarise(struct evaluation *v, struct setting_result *r,
	const struct setting_result *first, const uint32_t *which, size_t n, struct errtext *et)
{
	double *mine = calloc(n + 1, sizeof *mine), *its = calloc(n + 1, sizeof *its);
	enum err e = mine && its ? OK : no_memory(et);
	for (int m = 0; m < EVAL_METRICS && !e; m++) {
		metric_values(r, (enum eval_metric)m, which, n, mine);
		e = eval_bootstrap(
			mine, n, (uint64_t)v->seed, (unsigned)v->resamples, &r->metrics[m], et);
		if (e || !first)
			continue;
		metric_values(first, (enum eval_metric)m, which, n, its);
		e = eval_compare(its, mine, n, (uint64_t)v->seed, (unsigned)v->resamples,
			&r->against[m], et);
	}
	free(mine);
	free(its);
	return e;
}

/* ---- the request ---- */

/* Which models and documents a setting stands on. */
static enum err ground(struct evaluation *v, struct setting_result *r, struct errtext *et)
{
	struct arena *a = v->rq->arena;
	enum err e = OK;
	if (r->query.collection.n) {
		r->corpus = (struct corpus){.collection = r->query.collection};
		e = rag_document_set(
			v->c, project_of(v->rq), r->query.collection, a, &r->document_set, et);
	} else {
		e = corpus_collection(v->c, project_of(v->rq), v->digest, r->corpus.chunk_tokens, a,
			&r->corpus, et);
		r->query.owner = S(EVAL_OWNER);
		r->query.collection = r->corpus.collection;
		r->document_set = arena_fmt(a, "sha256:%.*s", STR_FMT(v->digest));
	}
	if (!e && r->query.rerank) {
		struct endpoint *ep;
		e = endpoint_rerank(v->c, r->query.rerank_model, &ep, et);
		if (!e) {
			r->query.rerank_model = arena_str(a, endpoint_name(ep));
			r->reranker_sha256 = arena_str(a, endpoint_sha256(ep));
			endpoint_put(ep);
			e = evaluation_pairs(v, et);
		}
	}
	return e;
}

enum err setting_prepare(struct evaluation *v, struct setting_result *r, struct errtext *et)
{
	enum err e = setting_room(v, r, et);
	return e ? e : ground(v, r, et);
}

/* "hybrid, dense x2, rerank 50, chunks 128": what it says and no more. */
struct str setting_label(const struct setting_result *r, struct arena *a)
{
	struct buf b = {0};
	buf_addc(&b, setting_method(r));
	if (r->query.balance > 0 && r->query.method == RAG_HYBRID)
		buf_addf(&b, " w%g", (double)r->query.balance);
	if (r->query.rerank)
		buf_addf(&b, " +rerank %zu", r->query.rerank_depth ? r->query.rerank_depth : 50);
	if (r->query.rerank && r->query.rerank_weight > 0 && r->query.rerank_weight < 1)
		buf_addf(&b, " mix %g", (double)r->query.rerank_weight);
	if (r->query.rerank && r->query.rerank_model.n)
		buf_addf(&b, " %.*s", STR_FMT(r->query.rerank_model));
	rag_stages_label(&r->query.stages, &b);
	if (r->corpus.chunk_tokens)
		buf_addf(&b, " c%lld", (long long)r->corpus.chunk_tokens);
	if (r->query.k)
		buf_addf(&b, " k%zu", r->query.k);
	struct str s = arena_str(a, buf_str(&b));
	buf_free(&b);
	return s;
}

static enum err parse_setting(
	struct evaluation *v, yyjson_val *o, struct setting_result *r, struct errtext *et)
{
	if (!yyjson_is_obj(o))
		return err_set(et, ERR_INVALID, "a setting must be an object");
	enum err e = rag_query_parse(v->c, o, &r->query, et);
	if (!e && rag_stages_wanted(o, &r->query.stages))
		e = need(v->rq, PERM_MODEL_USE, et);
	e = e ? e : json_want_str(o, "label", &r->label, et);
	e = e ? e : json_want_i64(o, "chunk_tokens", 0, 8192, &r->corpus.chunk_tokens, et);
	if (!e && !r->label.n)
		r->label = setting_label(r, v->rq->arena);
	return e ? e : setting_prepare(v, r, et);
}

static enum err parse_settings(struct evaluation *v, yyjson_val *o, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(o, "settings"), *s;
	size_t i, n = yyjson_arr_size(list);
	if (!n || n > SETTINGS_MAX)
		return err_set(et, ERR_INVALID, "settings must be a list of 1 to %d", SETTINGS_MAX);
	v->results = arena_array_of(v->rq->arena, n, struct setting_result);
	if (!v->results)
		return no_memory(et);
	yyjson_arr_foreach(list, i, n, s)
	{
		enum err e = parse_setting(v, s, &v->results[i], et);
		if (e)
			return e;
	}
	v->n = n;
	return OK;
}

static enum err parse(struct evaluation *v, yyjson_val *o, struct errtext *et)
{
	v->resamples = 1000;
	v->seed = 1;
	v->name = S("retrieval");
	enum err e = json_want_str(o, "name", &v->name, et);
	e = e ? e : json_want_str(o, "digest", &v->digest, et);
	e = e ? e : json_want_str(o, "experiment", &v->experiment, et);
	e = e ? e : json_want_i64(o, "seed", 0, INT64_MAX, &v->seed, et);
	e = e ? e : json_want_i64(o, "resamples", 1, 100000, &v->resamples, et);
	e = e ? e : judged_parse(o, v->rq->arena, &v->set, et);
	return e ? e : rag_space(v->c, v->rq->arena, &v->model, &v->space, et);
}

/* ---- the reply ---- */

static void write_interval(struct jw *w, const struct eval_interval *i)
{
	jw_kf64(w, "mean", i->mean);
	jw_kf64(w, "low", i->low);
	jw_kf64(w, "high", i->high);
}

static void write_metrics(struct jw *w, const struct setting_result *r)
{
	jw_key(w, "metrics");
	jw_obj(w);
	for (int m = 0; m < EVAL_METRICS; m++) {
		jw_key(w, eval_metric_keys[m]);
		jw_obj(w);
		write_interval(w, &r->metrics[m]);
		jw_end(w);
	}
	jw_end(w);
}

static void write_against(struct jw *w, const struct setting_result *r)
{
	jw_key(w, "against_first");
	jw_obj(w);
	for (int m = 0; m < EVAL_METRICS; m++) {
		const struct eval_difference *d = &r->against[m];
		jw_key(w, eval_metric_keys[m]);
		jw_obj(w);
		write_interval(w, &d->of);
		jw_kf64(w, "p", d->p);
		jw_ki64(w, "better", (int64_t)d->better);
		jw_ki64(w, "worse", (int64_t)d->worse);
		jw_end(w);
	}
	jw_end(w);
}

struct loss {
	uint32_t query;
	double by;
};

static int by_loss(const void *a, const void *b)
{
	const struct loss *x = a, *y = b;
	if (x->by != y->by)
		return x->by < y->by ? 1 : -1;
	return (x->query > y->query) - (x->query < y->query);
}

/* The queries whose nDCG@10 fell most. */
static void write_worse(struct jw *w, const struct evaluation *v,
	const struct setting_result *first, const struct setting_result *r, const uint32_t *which,
	size_t n)
{
	struct loss *l = malloc((n + 1) * sizeof *l);
	size_t k = 0;
	for (size_t i = 0; i < n && l; i++) {
		double by =
			first->scores[which[i]].v[EVAL_NDCG10] - r->scores[which[i]].v[EVAL_NDCG10];
		if (by > 0)
			l[k++] = (struct loss){which[i], by};
	}
	if (l)
		qsort(l, k, sizeof *l, by_loss);
	jw_key(w, "worse");
	jw_arr(w);
	for (size_t i = 0; i < MIN(k, (size_t)WORSE_SHOWN); i++) {
		const struct eval_query *q = &v->set.queries[l[i].query];
		jw_obj(w);
		jw_kstr(w, "query", q->id);
		jw_kstr(w, "text", q->text);
		jw_kf64(w, "before", first->scores[l[i].query].v[EVAL_NDCG10]);
		jw_kf64(w, "after", r->scores[l[i].query].v[EVAL_NDCG10]);
		jw_end(w);
	}
	jw_end(w);
	free(l);
}

static void write_run(struct jw *w, const struct setting_result *r)
{
	char id[ID_HEX + 1];
	id_hex(r->run, id);
	jw_kc(w, "run", id_is_zero(r->run) ? NULL : id);
}

void write_setting(struct jw *w, const struct evaluation *v, const struct setting_result *r)
{
	jw_kstr(w, "label", r->label);
	jw_kc(w, "method", setting_method(r));
	jw_ki64(w, "k", (int64_t)setting_passages(r));
	jw_key(w, "rerank");
	if (r->query.rerank) {
		jw_obj(w);
		jw_kstr(w, "model", r->query.rerank_model);
		jw_ki64(w, "depth", (int64_t)(r->query.rerank_depth ? r->query.rerank_depth : 50));
		jw_key(w, "weight");
		jw_f32(w, r->query.rerank_weight > 0 ? r->query.rerank_weight : 1);
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_kf64(w, "dense_weight", setting_weight(v->c, r));
	rag_stages_write(w, &r->query.stages);
	jw_ki64(w, "chunk_tokens",
		r->corpus.chunk_tokens ? r->corpus.chunk_tokens
				       : setting_int(v->c, "rag.chunk_tokens"));
	jw_kstr(w, "collection", r->corpus.collection);
	jw_kstr(w, "document_set", r->document_set);
}

void write_result(struct jw *w, const struct evaluation *v, const struct setting_result *first,
	const struct setting_result *r, const uint32_t *which, size_t n)
{
	jw_obj(w);
	write_setting(w, v, r);
	write_metrics(w, r);
	if (first && first != r) {
		write_against(w, r);
		write_worse(w, v, first, r, which, n);
	}
	jw_kf64(w, "took_ms", r->took_ms);
	write_run(w, r);
	jw_end(w);
}

void write_head(struct jw *w, const struct evaluation *v, size_t queries)
{
	size_t missing = 0;
	for (size_t i = 0; i < v->set.n_documents; i++)
		missing += !v->set.found[i];
	jw_kstr(w, "name", v->name);
	jw_ki64(w, "queries", (int64_t)queries);
	jw_ki64(w, "queries_without_judgement", (int64_t)v->set.left_out);
	jw_ki64(w, "judged_documents", (int64_t)v->set.n_documents);
	jw_ki64(w, "judged_documents_never_found", (int64_t)missing);
	write_pairs(w, v);
	jw_ki64(w, "seed", v->seed);
	jw_ki64(w, "resamples", v->resamples);
	jw_kstr(w, "model", v->model);
	jw_kstr(w, "space", v->space);
	jw_key(w, "experiment");
	if (v->experiment.n)
		jw_i64(w, v->experiment_number);
	else
		jw_null(w);
}

static enum err compare_all(struct evaluation *v, struct jw *w, struct errtext *et)
{
	struct arena *a = v->rq->arena;
	uint32_t *all = arena_array_of(a, v->set.n, uint32_t);
	if (!all)
		return no_memory(et);
	for (size_t i = 0; i < v->set.n; i++)
		all[i] = (uint32_t)i;
	v->total = v->n * v->set.n;
	for (size_t i = 0; i < v->n; i++) {
		struct setting_result *r = &v->results[i];
		enum err e = evaluate(v, r, all, v->set.n, a, et);
		e = e ? e : summarise(v, r, i ? v->results : NULL, all, v->set.n, et);
		if (!e && v->experiment.n)
			e = record(v, r, all, v->set.n, et);
		if (e)
			return e;
	}
	jw_obj(w);
	write_head(w, v, v->set.n);
	jw_key(w, "settings");
	jw_arr(w);
	for (size_t i = 0; i < v->n; i++)
		write_result(w, v, v->results, &v->results[i], all, v->set.n);
	jw_end(w);
	jw_end(w);
	return jw_done(w) ? OK : no_memory(et);
}

void send_error(struct http_response *rs, enum err e, const struct errtext *et)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kc(&w, "code", err_word(e));
	jw_kc(&w, "message", err_text(e, et));
	jw_end(&w);
	jw_end(&w);
	e = http_sse_event(rs, "error", buf_str(&b));
	buf_free(&b);
}

void post_retrieval(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct evaluation v = {.c = c, .rq = rq};
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	yyjson_val *tuning = yyjson_obj_get(o, "tune");
	e = e ? e : parse(&v, o, &et);
	if (!e && !yyjson_is_obj(tuning))
		e = parse_settings(&v, o, &et);
	if (!e && v.experiment.n)
		e = need(rq, PERM_RUN_WRITE, &et);
	if (!e && v.experiment.n)
		e = record_begin(&v, &et);
	e = e ? e : http_sse_begin(rs);
	v.rs = rs;
	if (!e)
		e = yyjson_is_obj(tuning) ? tune(&v, tuning, &w, &et) : compare_all(&v, &w, &et);
	if (!e)
		e = http_sse_event(rs, "result", buf_str(&b));
	else if (http_replied(rs))
		send_error(rs, e, &et);
	else
		http_reply_error(rs, e, &et);
	buf_free(&b);
	judged_release(&v.set);
	rag_pairs_free(v.pairs);
	yyjson_doc_free(doc);
}
