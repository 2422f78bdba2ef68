/* What a move to another embedding model does to the measures: judged queries are answered in both
 * spaces of a migration, in one view of the collection, and compared query by query. */
#include "eval/eval_int.h"
#include "collection/migrate.h"

#include <math.h>
#include <stdlib.h>

enum { DEPTH = 100, RESAMPLES = 1000, SEED = 1 };

struct moved {
	struct croft *c;
	struct http_request *rq;
	struct collection *k;
	struct judged_set set;
	const struct space *spaces[2]; /* the model that it comes from, that it goes to */
	struct eval_scores *scores[2];
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for judged queries");
}

/* The two spaces of the migration: `name` and its twin. */
static enum err find_spaces(struct moved *m, struct str name, struct errtext *et)
{
	const struct space *all, *s = collection_space(m->k, name);
	size_t n = collection_spaces(m->k, &all);
	if (!s)
		return err_set(et, ERR_NOT_FOUND, "there are no vectors named \"%.*s\"",
			STR_FMT(str_sub(name, 0, 100)));
	if (s->twin == s->place || s->twin >= n)
		return err_set(et, ERR_CONFLICT,
			"the collection is not moving to another model: there is nothing to "
			"compare with");
	const struct space *other = &all[s->twin];
	bool moved = other->role == SPACE_FORMER;
	m->spaces[0] = moved ? other : s;
	m->spaces[1] = moved ? s : other;
	return OK;
}

static enum err ask_one(struct moved *m, size_t q, int which, struct arena *a, struct errtext *et)
{
	const struct space *s = m->spaces[which];
	const struct eval_query *judged = &m->set.queries[q];
	float *v = arena_array_of(a, s->dim, float);
	uint64_t *ranked = arena_array_of(a, DEPTH, uint64_t);
	struct item_hit *hits;
	size_t n;
	if (!v || !ranked)
		return no_memory(et);
	enum err e = collection_embed(m->k, s, &judged->text, 1, v, m->rq->cancel, et);
	struct item_query ask = {.space = s->name,
		.vector = v,
		.dim = s->dim,
		.k = DEPTH,
		.worst = NAN,
		.cancel = m->rq->cancel};
	e = e ? e : collection_query(m->k, &ask, a, &hits, &n, NULL, et);
	if (e)
		return err_wrap(et, e, "query %.*s", STR_FMT(str_sub(judged->id, 0, 100)));
	for (size_t i = 0; i < n; i++) {
		struct buf id = {0};
		item_id_text(item_id_bytes(&hits[i].item.id), &id);
		ranked[i] = judged_document(&m->set, buf_str(&id), m->set.n_documents + i);
		buf_free(&id);
	}
	m->scores[which][q] = eval_measure(ranked, n, judged->judged, judged->n_judged);
	return OK;
}

static enum err ask_all(struct moved *m, struct errtext *et)
{
	enum err e = OK;
	for (int which = 0; which < 2; which++)
		m->scores[which] = arena_array_of(m->rq->arena, m->set.n, struct eval_scores);
	if (!m->scores[0] || !m->scores[1])
		return no_memory(et);
	for (size_t q = 0; q < m->set.n && !e; q++) {
		struct arena *a = arena_new(0);
		e = a ? ask_one(m, q, 0, a, et) : no_memory(et);
		e = e ? e : ask_one(m, q, 1, a, et);
		arena_free(a);
	}
	return e;
}

static void write_interval(struct jw *w, const char *key, const struct eval_interval *i)
{
	jw_key(w, key);
	jw_obj(w);
	jw_kf64(w, "mean", i->mean);
	jw_kf64(w, "low", i->low);
	jw_kf64(w, "high", i->high);
	jw_end(w);
}

static enum err write_metric(
	struct moved *m, enum eval_metric metric, struct jw *w, struct errtext *et)
{
	struct eval_interval each[2];
	struct eval_difference d;
	double *v[2];
	enum err e = OK;
	for (int which = 0; which < 2 && !e; which++) {
		v[which] = arena_array_of(m->rq->arena, m->set.n, double);
		if (!v[which])
			return no_memory(et);
		for (size_t q = 0; q < m->set.n; q++)
			v[which][q] = m->scores[which][q].v[metric];
		e = eval_bootstrap(v[which], m->set.n, SEED, RESAMPLES, &each[which], et);
	}
	e = e ? e : eval_compare(v[0], v[1], m->set.n, SEED, RESAMPLES, &d, et);
	if (e)
		return e;
	jw_obj(w);
	jw_kc(w, "metric", eval_metric_names[metric]);
	write_interval(w, "from", &each[0]);
	write_interval(w, "to", &each[1]);
	write_interval(w, "difference", &d.of);
	jw_kf64(w, "p", d.p);
	jw_ki64(w, "better", (int64_t)d.better);
	jw_ki64(w, "worse", (int64_t)d.worse);
	jw_end(w);
	return OK;
}

static enum err write_judged(struct moved *m, struct str name, struct jw *w, struct errtext *et)
{
	enum err e = OK;
	jw_obj(w);
	jw_kstr(w, "name", name);
	jw_ki64(w, "queries", (int64_t)m->set.n);
	jw_ki64(w, "queries_without_judgement", (int64_t)m->set.left_out);
	jw_key(w, "metrics");
	jw_arr(w);
	for (int i = 0; i < EVAL_METRICS && !e; i++)
		e = write_metric(m, (enum eval_metric)i, w, et);
	jw_end(w);
	jw_end(w);
	return e || jw_done(w) ? e : no_memory(et);
}

void post_moved(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct moved m = {.c = c, .rq = rq};
	struct str collection = http_param(rq, "name"), space = S(""), name = S("");
	yyjson_doc *doc = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *o = e ? NULL : yyjson_doc_get_root(doc);
	e = e ? e : json_want_str(o, "space", &space, &et);
	e = e ? e : json_want_str(o, "name", &name, &et);
	e = e ? e : judged_parse(o, rq->arena, &m.set, &et);
	e = e ? e : collection_open(c, project_of(rq), collection, &m.k, rq->cancel, &et);
	e = e ? e : find_spaces(&m, space, &et);
	e = e ? e : ask_all(&m, &et);
	e = e ? e : write_judged(&m, name, &w, &et);
	e = e ? e : migrate_judged(m.k, m.spaces[0]->place, m.spaces[1]->place, buf_str(&b), &et);
	collection_close(m.k);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply_json(rs, 200, &w);
	buf_free(&b);
	judged_release(&m.set);
	yyjson_doc_free(doc);
}

/* ---- the command ---- */

static void print_moved(struct cmd *cmd, yyjson_val *o)
{
	static const char *const titles[] = {"METRIC", "FROM", "TO", "DIFFERENCE", "95 %", "P"};
	struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
	yyjson_val *m;
	size_t i, n;
	yyjson_arr_foreach(yyjson_obj_get(o, "metrics"), i, n, m)
	{
		yyjson_val *d = yyjson_obj_get(m, "difference");
		cmd_cell(t, "%.*s", STR_FMT(json_str(m, "metric")));
		cmd_cell(t, "%.4f", json_f64(yyjson_obj_get(m, "from"), "mean", 0));
		cmd_cell(t, "%.4f", json_f64(yyjson_obj_get(m, "to"), "mean", 0));
		cmd_cell(t, "%+.4f", json_f64(d, "mean", 0));
		cmd_cell(t, "%+.4f to %+.4f", json_f64(d, "low", 0), json_f64(d, "high", 0));
		cmd_cell(t, "%.3f", json_f64(m, "p", 1));
	}
	cmd_table_end(t);
	cmd_outf(cmd, "%lld queries\n", (long long)json_i64(o, "queries", 0));
}

static enum err moved_body(
	struct cmd *cmd, const struct folder *f, struct buf *body, struct errtext *et)
{
	struct jw w = {.out = body};
	int64_t most = 0;
	size_t n;
	struct str queries = cmd_opt(cmd, "queries");
	if (queries.n && (!str_i64(queries, &most) || most < 1))
		return err_set(et, ERR_INVALID, "--queries must be a number");
	jw_obj(&w);
	jw_kstr(&w, "name", f->name);
	if (cmd_opt(cmd, "space").n)
		jw_kstr(&w, "space", cmd_opt(cmd, "space"));
	enum err e = folder_queries(f, (size_t)most, &w, &n, et);
	jw_end(&w);
	return e || jw_done(&w) ? e : no_memory(et);
}

enum err run_eval_migration(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, url = {0}, out = {0};
	struct folder f;
	yyjson_doc *doc = NULL;
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID,
			"name the collection and a folder with queries.jsonl and qrels");
	char *path = str_dup(cmd_arg(cmd, 1));
	enum err e = path ? folder_read(path, cmd_opt(cmd, "qrels"), false, &f, cmd_cancel(cmd), et)
			  : no_memory(et);
	if (e) {
		free(path);
		return e;
	}
	buf_addc(&url, "/api/v1/collections/");
	url_encode(&url, cmd_arg(cmd, 0));
	buf_addc(&url, "/migrations/judge");
	e = moved_body(cmd, &f, &body, et);
	e = e ? e : cmd_call(cmd, HTTP_POST, buf_c(&url), buf_str(&body), &out, et);
	e = e ? e : json_parse(buf_str(&out), &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&out));
	else if (!e)
		print_moved(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	folder_release(&f); /* its name is in path */
	free(path);
	buf_free(&body);
	buf_free(&url);
	buf_free(&out);
	return e;
}
