/* Results as runs of an experiment: parameters, metrics with their intervals, what they stand on,
 * and a file with each query's numbers. */
#include "eval/eval_int.h"

#include "base/clock.h"
#include "run/file.h"

enum { PARAMS_MAX = 20, METRICS_MAX = 6 * EVAL_METRICS + 4 };

enum err record_begin(struct evaluation *v, struct errtext *et)
{
	struct experiment x;
	struct str project = project_of(v->rq);
	enum err e = experiment_by_name(v->c, project, v->experiment, v->rq->arena, &x, et);
	if (!e && x.deleted_ms)
		return err_set(et, ERR_CONFLICT, "the experiment \"%.*s\" was deleted",
			STR_FMT(v->experiment));
	if (!e)
		v->experiment_number = x.number;
	if (e != ERR_NOT_FOUND)
		return e;
	struct experiment_new n = {.name = v->experiment};
	e = experiment_create(v->c, project, &n, &v->experiment_number, et);
	if (e != ERR_CONFLICT) /* somebody else was quicker */
		return e;
	e = experiment_by_name(v->c, project, v->experiment, v->rq->arena, &x, et);
	if (!e)
		v->experiment_number = x.number;
	return e;
}

struct parts {
	struct arena *a;
	struct track_pair params[PARAMS_MAX];
	struct track_metric metrics[METRICS_MAX];
	size_t n_params, n_metrics;
	int64_t now;
};

static void param(struct parts *p, const char *key, struct str value)
{
	if (value.n)
		p->params[p->n_params++] = (struct track_pair){str_c(key), value};
}

static void metric(struct parts *p, const char *key, const char *tail, double v)
{
	p->metrics[p->n_metrics++] =
		(struct track_metric){arena_fmt(p->a, "%s%s", key, tail), {v, p->now, 0}};
}

static void params_of(struct parts *p, const struct evaluation *v, const struct setting_result *r)
{
	struct arena *a = p->a;
	int64_t chunk = r->corpus.chunk_tokens;
	param(p, "method", str_c(setting_method(r)));
	param(p, "k", arena_fmt(a, "%zu", setting_passages(r)));
	if (r->query.method == RAG_HYBRID)
		param(p, "dense_weight", arena_fmt(a, "%g", setting_weight(v->c, r)));
	if (r->query.rerank) {
		param(p, "rerank.model", r->query.rerank_model);
		param(p, "rerank.sha256", r->reranker_sha256);
		param(p, "rerank.depth",
			arena_fmt(a, "%zu", r->query.rerank_depth ? r->query.rerank_depth : 50));
		param(p, "rerank.weight",
			arena_fmt(a, "%g",
				r->query.rerank_weight > 0 ? (double)r->query.rerank_weight : 1));
	}
	if (rag_stages_any(&r->query.stages)) {
		struct buf b = {0};
		rag_stages_label(&r->query.stages, &b);
		param(p, "stages", arena_str(a, str_trim(buf_str(&b))));
		param(p, "query_model", r->query.stages.model);
		buf_free(&b);
	}
	if (chunk || r->query.owner.n)
		param(p, "chunk_tokens",
			arena_fmt(a, "%lld",
				(long long)(chunk ? chunk
						  : setting_int(v->c, "rag.chunk_tokens"))));
	param(p, "embedding.model", v->model);
	param(p, "embedding.space", v->space);
	param(p, "collection", r->corpus.collection);
	param(p, "document_set", r->document_set);
	param(p, "seed", arena_fmt(a, "%lld", (long long)v->seed));
	param(p, "resamples", arena_fmt(a, "%lld", (long long)v->resamples));
}

static void metrics_of(
	struct parts *p, const struct evaluation *v, const struct setting_result *r, size_t n)
{
	for (int m = 0; m < EVAL_METRICS; m++) {
		const char *key = eval_metric_keys[m];
		metric(p, key, "", r->metrics[m].mean);
		metric(p, key, "_low", r->metrics[m].low);
		metric(p, key, "_high", r->metrics[m].high);
		if (!r->against[m].p)
			continue;
		metric(p, key, "_change", r->against[m].of.mean);
		metric(p, key, "_change_p", r->against[m].p);
	}
	metric(p, "queries", "", (double)n);
	metric(p, "took_ms", "", r->took_ms);
}

static struct str input_json(struct arena *a, struct str name, struct str digest)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "tags");
	jw_arr(&w);
	jw_obj(&w);
	jw_kc(&w, "key", "mlflow.data.context");
	jw_kc(&w, "value", "evaluation");
	jw_end(&w);
	jw_end(&w);
	jw_key(&w, "dataset");
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_kstr(&w, "digest", digest);
	jw_kc(&w, "source_type", "croft");
	jw_kstr(&w, "source", digest);
	jw_end(&w);
	jw_end(&w);
	struct str s = arena_str(a, buf_str(&b));
	buf_free(&b);
	return s;
}

/* A line for each query. */
static void per_query(const struct evaluation *v, const struct setting_result *r,
	const uint32_t *which, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct eval_query *q = &v->set.queries[which[i]];
		struct jw w = {.out = out};
		jw_obj(&w);
		jw_kstr(&w, "query", q->id);
		jw_kstr(&w, "text", q->text);
		for (int m = 0; m < EVAL_METRICS; m++)
			jw_kf64(&w, eval_metric_keys[m], r->scores[which[i]].v[m]);
		jw_key(&w, "top");
		jw_arr(&w);
		for (size_t k = 0; k < EVAL_TOP && r->top[which[i]][k].p; k++)
			jw_str(&w, r->top[which[i]][k]);
		jw_end(&w);
		jw_end(&w);
		buf_putc(out, '\n');
	}
}

static enum err keep_queries(const struct evaluation *v, const struct setting_result *r,
	const uint32_t *which, size_t n, struct errtext *et)
{
	char id[ID_HEX + 1];
	struct buf b = {0}, path = {0};
	id_hex(r->run, id);
	buf_addf(&path, "%lld/%s/artifacts/per_query.jsonl", (long long)v->experiment_number, id);
	per_query(v, r, which, n, &b);
	enum err e =
		b.err || path.err
			? err_set(et, ERR_NOMEM, "no memory for the queries' numbers")
			: run_file_put(v->c, project_of(v->rq), buf_str(&path), buf_str(&b), et);
	buf_free(&b);
	buf_free(&path);
	return e;
}

enum err record(struct evaluation *v, struct setting_result *r, const uint32_t *which, size_t n,
	struct errtext *et)
{
	struct arena *a = v->rq->arena;
	struct parts *p = arena_new_of(a, struct parts);
	if (!p)
		return err_set(et, ERR_NOMEM, "no memory to record the result");
	int64_t now = clock_unix_ms();
	*p = (struct parts){.a = a, .now = now};
	params_of(p, v, r);
	metrics_of(p, v, r, n);
	struct track_pair tags[] = {{S("croft.evaluation"), S("retrieval")},
		{S("croft.queries"), r->trial ? S("tuning half") : S("measured")},
		{S("croft.set"), v->name}};
	struct track_new fresh = {.experiment = v->experiment_number,
		.name = r->label,
		.user = v->rq->who && v->rq->who->name.p ? v->rq->who->name : S(""),
		.start_ms = now - (int64_t)r->took_ms,
		.tags = tags,
		.n_tags = ARRAY_LEN(tags)};
	struct str digest = r->document_set.n ? r->document_set : v->digest;
	struct track_input input = {.name = v->name,
		.digest = str_sub(digest, 0, 200),
		.context = S("evaluation"),
		.json = input_json(a, v->name, str_sub(digest, 0, 200))};
	struct track_change ch = {.metrics = p->metrics,
		.n_metrics = p->n_metrics,
		.params = p->params,
		.n_params = p->n_params,
		.inputs = &input,
		.n_inputs = 1,
		.set_status = true,
		.status = TRACK_FINISHED,
		.end_ms = now};
	enum err e = track_create(v->c, v->rq->who, project_of(v->rq), &fresh, &r->run, et);
	e = e ? e : keep_queries(v, r, which, n, et);
	return e ? e : track_change(v->c, project_of(v->rq), r->run, &ch, et);
}
