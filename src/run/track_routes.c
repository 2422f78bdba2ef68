/* Croft's own routes of experiments: lists, searches in the wide language, charts from the pyramid,
 * comparison. MLflow's are in api/mlflow_routes.c; both stand on run/track.h and run/search.h. */
#include "run/experiment.h"
#include "run/search.h"
#include "run/track_int.h"
#include "base/clock.h"
#include "base/map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUNS_MAX = 1000, COMPARE_MAX = 200, POINTS_DEFAULT = 1000, POINTS_MAX = 20000 };

/* ---- writing ---- */

static void time_member(struct jw *w, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT];
	jw_key(w, key);
	if (ms)
		clock_rfc3339(ms, text);
	ms ? jw_c(w, text) : jw_null(w);
}

static void pairs(struct jw *w, const char *key, const struct track_pair *v, size_t n)
{
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; i < n; i++) {
		jw_key_str(w, v[i].key);
		jw_str(w, v[i].value);
	}
	jw_end(w);
}

static void write_experiment(struct jw *w, const struct experiment *x)
{
	jw_obj(w);
	jw_key(w, "id");
	jw_fmt(w, "%lld", (long long)x->number);
	jw_kstr(w, "name", x->name);
	jw_kstr(w, "location", x->location);
	time_member(w, "created", x->created_ms);
	time_member(w, "updated", x->updated_ms);
	time_member(w, "deleted", x->deleted_ms);
	pairs(w, "tags", x->tags, x->n_tags);
	jw_end(w);
}

static void head_members(struct jw *w, const struct tracked *t)
{
	char hex[ID_HEX + 1];
	id_hex(t->id, hex);
	jw_kc(w, "id", hex);
	jw_key(w, "experiment");
	jw_fmt(w, "%lld", (long long)t->experiment);
	jw_kstr(w, "name", t->name);
	jw_kc(w, "status", track_status_words[t->status]);
	jw_kstr(w, "user", t->user);
	time_member(w, "started", t->start_ms);
	time_member(w, "ended", t->end_ms);
	time_member(w, "deleted", t->deleted_ms);
	jw_key(w, "duration_ms");
	t->end_ms ? jw_i64(w, t->end_ms - t->start_ms) : jw_null(w);
}

static void write_run(struct jw *w, const struct tracked *t)
{
	jw_obj(w);
	head_members(w, t);
	pairs(w, "params", t->params, t->n_params);
	pairs(w, "tags", t->tags, t->n_tags);
	jw_key(w, "metrics");
	jw_obj(w);
	for (size_t i = 0; i < t->n_metrics; i++) {
		jw_key_str(w, t->metrics[i].key);
		jw_obj(w);
		jw_kf64(w, "value", t->metrics[i].point.value);
		jw_ki64(w, "step", t->metrics[i].point.step);
		jw_ki64(w, "time_ms", t->metrics[i].point.ms);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "datasets");
	jw_arr(w);
	for (size_t i = 0; i < t->n_inputs; i++) {
		jw_obj(w);
		jw_kstr(w, "name", t->inputs[i].name);
		jw_kstr(w, "digest", t->inputs[i].digest);
		jw_kstr(w, "context", t->inputs[i].context);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static void finish(struct http_response *rs, enum err e, const struct errtext *et, struct jw *w)
{
	e ? http_reply_error(rs, e, et) : http_reply_json(rs, 200, w);
	buf_free(w->out);
}

/* ---- reading ---- */

static enum err limit_of(
	struct http_request *rq, int64_t otherwise, int64_t max, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, "limit");
	*out = otherwise;
	if (s.n && (!str_i64(s, out) || *out < 1 || *out > max))
		return err_set(et, ERR_INVALID, "limit: a number from 1 to %lld is expected",
			(long long)max);
	return OK;
}

static enum err view_of(struct http_request *rq, enum track_view *out, struct errtext *et)
{
	static const char *const words[] = {"active", "deleted", "all"};
	struct str s = http_query(rq, "view");
	*out = VIEW_ACTIVE;
	for (unsigned i = 0; s.n && i < ARRAY_LEN(words); i++)
		if (str_eq_c(s, words[i])) {
			*out = (enum track_view)i;
			return OK;
		}
	return s.n ? err_set(et, ERR_INVALID, "view: active, deleted or all is expected") : OK;
}

static enum err number_of(struct http_request *rq, int64_t *out, struct errtext *et)
{
	struct str s = http_param(rq, "id");
	if (str_i64(s, out) && *out >= 0)
		return OK;
	return err_set(
		et, ERR_NOT_FOUND, "there is no experiment %.*s", STR_FMT(str_sub(s, 0, 100)));
}

static enum err run_of(struct http_request *rq, struct id *out, struct errtext *et)
{
	return id_parse(http_param(rq, "id"), out)
		       ? OK
		       : err_set(et, ERR_INVALID, "the id of a run has 32 hex digits");
}

/* ---- experiments ---- */

static void get_experiments(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct experiment_query q = {
		.filter = http_query(rq, "filter"), .page_token = http_query(rq, "page")};
	struct experiment_found f = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = limit_of(rq, 100, RUNS_MAX, &q.max_results, &et);
	if (!e)
		e = view_of(rq, &q.view, &et);
	if (!e)
		e = search_query_orders(rq, &q.order, &q.n_order, &et);
	if (!e)
		e = search_experiments(c, project_of(rq), &q, rq->arena, &f, &et);
	jw_obj(&w);
	jw_key(&w, "experiments");
	jw_arr(&w);
	for (size_t i = 0; i < f.n; i++)
		write_experiment(&w, f.v[i]);
	jw_end(&w);
	jw_key(&w, "next");
	f.next.n ? jw_str(&w, f.next) : jw_null(&w);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

static void get_experiment(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct experiment x;
	int64_t number;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = number_of(rq, &number, &et);
	if (!e)
		e = experiment_get(c, project_of(rq), number, rq->arena, &x, &et);
	if (!e)
		write_experiment(&w, &x);
	finish(rs, e, &et, &w);
}

static void delete_experiment(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	int64_t number;
	enum err e = number_of(rq, &number, &et);
	bool restore = str_eq_c(http_query(rq, "restore"), "true");
	if (!e)
		e = experiment_delete(c, rq->who, project_of(rq), number, restore, &et);
	e ? http_reply_error(rs, e, &et) : http_reply(rs, 200, "application/json", S("{}"));
}

static void get_experiment_runs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	int64_t number;
	struct run_query q = {.experiments = &number,
		.n_experiments = 1,
		.filter = http_query(rq, "filter"),
		.page_token = http_query(rq, "page")};
	struct run_found f = {0};
	struct str *order = NULL;
	struct experiment x;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = number_of(rq, &number, &et);
	if (!e)
		e = limit_of(rq, 100, RUNS_MAX, &q.max_results, &et);
	if (!e)
		e = view_of(rq, &q.view, &et);
	if (!e)
		e = search_query_orders(rq, &order, &q.n_order, &et);
	q.order = order;
	if (!e)
		e = experiment_get(c, project_of(rq), number, rq->arena, &x, &et);
	if (!e)
		e = search_runs(c, project_of(rq), &q, rq->arena, &f, &et);
	jw_obj(&w);
	jw_key(&w, "runs");
	jw_arr(&w);
	for (size_t i = 0; i < f.n; i++)
		write_run(&w, f.v[i]);
	jw_end(&w);
	jw_ki64(&w, "total", (int64_t)f.total);
	jw_key(&w, "next");
	f.next.n ? jw_str(&w, f.next) : jw_null(&w);
	jw_end(&w);
	run_found_free(&f);
	finish(rs, e, &et, &w);
}

static void post_purge(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	yyjson_doc *doc = NULL;
	int64_t days = -1;
	size_t runs = 0, experiments = 0, kept = 0;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = json_parse(rq->body, &doc, &et);
	if (!e)
		e = json_want_i64(yyjson_doc_get_root(doc), "days", 0, 36500, &days, &et);
	if (!e && days < 0)
		e = err_set(&et, ERR_INVALID,
			"days: remove what was deleted so many days ago or longer");
	yyjson_doc_free(doc);
	if (!e)
		e = track_purge(c, rq->who, project_of(rq), days * 86400 * 1000, &runs,
			&experiments, &kept, &et);
	jw_obj(&w);
	jw_ki64(&w, "runs", (int64_t)runs);
	jw_ki64(&w, "experiments", (int64_t)experiments);
	jw_ki64(&w, "kept", (int64_t)kept);
	jw_end(&w);
	finish(rs, e, &et, &w);
}

/* ---- keys: which columns there can be ---- */

struct keys {
	struct map metrics, params, tags;
	bool no_memory;
};

static void add_key(struct keys *k, struct map *m, struct str key)
{
	if (m->n < 10000 && !map_get(m, key) && !map_put(m, key, k))
		k->no_memory = true;
}

static enum err collect_keys(void *ctx, struct tracked *t)
{
	struct keys *k = ctx;
	if (t->deleted_ms)
		return OK;
	for (size_t i = 0; i < t->n_metrics; i++)
		add_key(k, &k->metrics, t->metrics[i].key);
	for (size_t i = 0; i < t->n_params; i++)
		add_key(k, &k->params, t->params[i].key);
	for (size_t i = 0; i < t->n_tags; i++)
		add_key(k, &k->tags, t->tags[i].key);
	return k->no_memory ? ERR_NOMEM : OK;
}

static int str_qsort(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void write_keys(struct jw *w, const char *name, struct map *m, struct arena *a)
{
	struct str *v = arena_array_of(a, m->n + 1, struct str);
	size_t n = 0;
	void *value;
	for (size_t i = 0; v && map_next(m, &i, &v[n], &value);)
		n++;
	if (v)
		qsort(v, n, sizeof *v, str_qsort);
	jw_key(w, name);
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, v[i]);
	jw_end(w);
}

static void get_keys(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct keys k = {0};
	int64_t number;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = number_of(rq, &number, &et);
	if (!e)
		e = track_cache_each(c, project_of(rq), number, collect_keys, &k, &et);
	jw_obj(&w);
	write_keys(&w, "metrics", &k.metrics, rq->arena);
	write_keys(&w, "params", &k.params, rq->arena);
	write_keys(&w, "tags", &k.tags, rq->arena);
	jw_end(&w);
	map_free(&k.metrics);
	map_free(&k.params);
	map_free(&k.tags);
	finish(rs, e, &et, &w);
}

/* ---- one run ---- */

static void get_data(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct tracked *t = NULL;
	struct id id;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = run_of(rq, &id, &et);
	if (!e)
		e = track_get(c, project_of(rq), id, &t, &et);
	if (!e)
		write_run(&w, t);
	tracked_free(t);
	finish(rs, e, &et, &w);
}

static void delete_run(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	bool restore = str_eq_c(http_query(rq, "restore"), "true");
	enum err e = run_of(rq, &id, &et);
	if (!e)
		e = track_delete(c, rq->who, project_of(rq), id, restore, &et);
	e ? http_reply_error(rs, e, &et) : http_reply(rs, 200, "application/json", S("{}"));
}

static enum err chart_of(struct http_request *rq, struct chart *ch, struct errtext *et)
{
	struct str x = http_query(rq, "x"), points = http_query(rq, "points");
	struct str from = http_query(rq, "from"), to = http_query(rq, "to");
	int64_t n = POINTS_DEFAULT;
	*ch = (struct chart){.by_time = str_eq_c(x, "time"), .from = INT64_MIN, .to = INT64_MAX};
	if (x.n && !ch->by_time && !str_eq_c(x, "step"))
		return err_set(et, ERR_INVALID, "x: step or time is expected");
	if (points.n && (!str_i64(points, &n) || n < 1 || n > POINTS_MAX))
		return err_set(
			et, ERR_INVALID, "points: a number from 1 to %d is expected", POINTS_MAX);
	if ((from.n && !str_i64(from, &ch->from)) || (to.n && !str_i64(to, &ch->to)) ||
		ch->from > ch->to)
		return err_set(
			et, ERR_INVALID, "from, to: whole numbers, from <= to, are expected");
	if ((from.n != 0) != (to.n != 0))
		return err_set(et, ERR_INVALID, "from and to belong together");
	ch->has_range = from.n != 0;
	ch->points = (unsigned)n;
	return OK;
}

static void write_bucket(struct jw *w, const struct bucket *b)
{
	bool any = b->n > b->n_nan;
	jw_arr(w);
	jw_i64(w, b->x0);
	jw_i64(w, b->x1);
	jw_u64(w, b->n);
	any ? jw_f64(w, b->min) : jw_null(w);
	any ? jw_f64(w, b->max) : jw_null(w);
	any ? jw_f64(w, b->sum / (double)(b->n - b->n_nan)) : jw_null(w);
	jw_f64(w, b->last);
	jw_end(w);
}

static void get_chart(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct id id;
	struct chart ch;
	struct charted made = {0};
	struct str key = http_param(rq, "key");
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = run_of(rq, &id, &et);
	if (!e)
		e = chart_of(rq, &ch, &et);
	if (!e)
		e = track_chart(c, project_of(rq), id, key, &ch, &made, &et);
	if (!e && !made.total)
		e = err_set(&et, ERR_NOT_FOUND, "the run has no metric '%.*s'",
			STR_FMT(str_sub(key, 0, 250)));
	if (!e) {
		jw_obj(&w);
		jw_kstr(&w, "key", key);
		jw_kc(&w, "x", ch.by_time ? "time" : "step");
		jw_ki64(&w, "total", (int64_t)made.total);
		jw_ki64(&w, "rolled_up", (int64_t)made.rolled.points);
		jw_key(&w, "columns");
		jw_raw(&w, S("[\"x0\",\"x1\",\"n\",\"min\",\"max\",\"mean\",\"last\"]"));
		jw_key(&w, "buckets");
		jw_arr(&w);
		for (size_t i = 0; i < made.n; i++)
			write_bucket(&w, &made.v[i]);
		jw_end(&w);
		jw_end(&w);
	}
	free(made.v);
	finish(rs, e, &et, &w);
}

/* ---- comparison ---- */

struct comparing {
	struct tracked **t;
	size_t n;
	bool differing;
};

static enum err load_compared(
	struct croft *c, struct http_request *rq, struct comparing *cmp, struct errtext *et)
{
	struct str rest = http_query(rq, "ids"), part;
	struct id id;
	enum err e = OK;
	cmp->t = arena_array_of(rq->arena, COMPARE_MAX, struct tracked *);
	cmp->differing = str_eq_c(http_query(rq, "differing"), "true");
	if (!cmp->t)
		return err_set(et, ERR_NOMEM, "no memory for a comparison");
	if (!rest.n)
		return err_set(et, ERR_INVALID, "ids: the runs' ids, separated by commas");
	while (!e && str_next(&rest, ',', &part)) {
		if (cmp->n == COMPARE_MAX)
			return err_set(et, ERR_INVALID, "at most %d runs can be compared at once",
				COMPARE_MAX);
		if (!id_parse(str_trim(part), &id))
			return err_set(et, ERR_INVALID, "'%.*s' is no id of a run",
				STR_FMT(str_sub(part, 0, 100)));
		e = track_get(c, project_of(rq), id, &cmp->t[cmp->n], et);
		cmp->n += !e;
	}
	return e;
}

static void write_row(struct jw *w, const struct comparing *cmp, struct str key, int kind)
{
	bool differs = false;
	struct str first = {0};
	const struct track_metric *m0 = NULL;
	for (size_t i = 0; i < cmp->n && kind < 2; i++) {
		struct str v = kind ? tracked_tag(cmp->t[i], key) : tracked_param(cmp->t[i], key);
		if (!i)
			first = v;
		else
			differs |= (v.p == NULL) != (first.p == NULL) || (v.p && !str_eq(v, first));
	}
	for (size_t i = 0; i < cmp->n && kind == 2; i++) {
		const struct track_metric *m = tracked_metric(cmp->t[i], key);
		if (!i)
			m0 = m;
		else
			differs |= !m != !m0 || (m && memcmp(&m->point.value, &m0->point.value, 8));
	}
	if (cmp->differing && !differs)
		return;
	jw_obj(w);
	jw_kstr(w, "key", key);
	jw_kbool(w, "differs", differs);
	jw_key(w, "values");
	jw_arr(w);
	for (size_t i = 0; i < cmp->n; i++) {
		const struct track_metric *m = kind == 2 ? tracked_metric(cmp->t[i], key) : NULL;
		struct str v = kind == 2   ? (struct str){0}
			       : kind == 1 ? tracked_tag(cmp->t[i], key)
					   : tracked_param(cmp->t[i], key);
		if (m)
			jw_f64(w, m->point.value);
		else if (v.p)
			jw_str(w, v);
		else
			jw_null(w);
	}
	jw_end(w);
	jw_end(w);
}

static void write_rows(struct jw *w, const struct comparing *cmp, const char *name, struct map *m,
	int kind, struct arena *a)
{
	struct str *v = arena_array_of(a, m->n + 1, struct str);
	size_t n = 0;
	void *value;
	for (size_t i = 0; v && map_next(m, &i, &v[n], &value);)
		n++;
	if (v)
		qsort(v, n, sizeof *v, str_qsort);
	jw_key(w, name);
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		write_row(w, cmp, v[i], kind);
	jw_end(w);
}

static void get_compare(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct comparing cmp = {0};
	struct keys k = {0};
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = load_compared(c, rq, &cmp, &et);
	for (size_t i = 0; i < cmp.n && !e; i++) {
		cmp.t[i]->deleted_ms = 0; /* ours alone: deleted runs are compared like others */
		e = collect_keys(&k, cmp.t[i]);
	}
	if (e == ERR_NOMEM)
		err_set(&et, e, "no memory for a comparison");
	jw_obj(&w);
	jw_key(&w, "runs");
	jw_arr(&w);
	for (size_t i = 0; i < cmp.n && !e; i++) {
		jw_obj(&w);
		head_members(&w, cmp.t[i]);
		jw_end(&w);
	}
	jw_end(&w);
	write_rows(&w, &cmp, "params", &k.params, 0, rq->arena);
	write_rows(&w, &cmp, "tags", &k.tags, 1, rq->arena);
	write_rows(&w, &cmp, "metrics", &k.metrics, 2, rq->arena);
	jw_end(&w);
	for (size_t i = 0; i < cmp.n; i++)
		tracked_free(cmp.t[i]);
	map_free(&k.metrics);
	map_free(&k.params);
	map_free(&k.tags);
	finish(rs, e, &et, &w);
}

/* ---- rows ---- */

#define SEARCH "view?: \"active\" | \"deleted\" | \"all\", filter?, order_by?, limit?: int, page?"

static const struct shape shapes[] = {
	{"Experiment", "{ id, name, location, created, updated, deleted: string | null, "
		       "tags: object }"},
	{"TrackedRun",
		"{ id: id, experiment, name, "
		"status: \"running\" | \"scheduled\" | \"ok\" | \"error\" | \"killed\", user, "
		"started: string | null, ended: string | null, deleted: string | null, "
		"duration_ms: int | null, params: object, tags: object, metrics: object, "
		"datasets: { name, digest, context }[] }"},
	{"ComparedRow", "{ key, differs: boolean, values: (string | number | null)[] }"},
};

static const struct route routes[] = {
	{HTTP_GET, "/api/v1/experiments", get_experiments, PERM_RUN_READ, "Search experiments",
		"{ " SEARCH " }", NULL, "{ experiments: Experiment[], next: string | null }", 0},
	{HTTP_GET, "/api/v1/experiments/{id}", get_experiment, PERM_RUN_READ, "Show an experiment",
		NULL, NULL, "Experiment", 0},
	{HTTP_DELETE, "/api/v1/experiments/{id}", delete_experiment, PERM_RUN_DELETE,
		"Delete an experiment with its runs, or restore it", "{ restore?: boolean }", NULL,
		"object", 0},
	{HTTP_POST, "/api/v1/experiments/purge", post_purge, PERM_RUN_DELETE,
		"Remove for good the runs and experiments that were deleted, with their files",
		NULL, "{ days: int }", "{ runs: int, experiments: int, kept: int }", 0},
	{HTTP_GET, "/api/v1/experiments/{id}/runs", get_experiment_runs, PERM_RUN_READ,
		"Search the runs of an experiment", "{ " SEARCH " }", NULL,
		"{ runs: TrackedRun[], total: int, next: string | null }", 0},
	{HTTP_GET, "/api/v1/experiments/{id}/keys", get_keys, PERM_RUN_READ,
		"The metrics, parameters and tags that its runs have", NULL, NULL,
		"{ metrics: string[], params: string[], tags: string[] }", 0},
	{HTTP_GET, "/api/v1/runs/compare", get_compare, PERM_RUN_READ, "Compare runs",
		"{ ids, differing?: boolean }", NULL,
		"{ runs: object[], params: ComparedRow[], tags: ComparedRow[], "
		"metrics: ComparedRow[] }",
		0},
	{HTTP_GET, "/api/v1/runs/{id}/data", get_data, PERM_RUN_READ,
		"The parameters, tags and metrics of an experiment's run", NULL, NULL, "TrackedRun",
		0},
	{HTTP_DELETE, "/api/v1/runs/{id}", delete_run, PERM_RUN_DELETE,
		"Delete an experiment's run, or restore it", "{ restore?: boolean }", NULL,
		"object", 0},
	{HTTP_GET, "/api/v1/runs/{id}/metrics/{key...}", get_chart, PERM_RUN_READ,
		"A metric's points in at most so many buckets",
		"{ points?: int, from?: int, to?: int, x?: \"step\" | \"time\" }", NULL,
		"{ key, x: \"step\" | \"time\", total: int, rolled_up: int, columns: string[], "
		"buckets: (number | null)[][] }",
		0},
};

const struct module experiment_module = {
	.name = "experiment",
	TABLE(routes),
	TABLE(shapes),
	.commands = experiment_commands,
	.n_commands = ARRAY_LEN(experiment_commands),
};
