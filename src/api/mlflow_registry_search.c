/* Searching models, prompts and versions in MLflow's filter language. Rows are matched as they
 * stream from the store; what matches is kept small (an id, a number, what it is sorted by),
 * sorted, and only the page that was asked for is read in full. */
#include "api/mlflow_filter.h"
#include "api/mlflow_registry.h"
#include "run/track.h"

#include <stdlib.h>

enum { MODEL_PAGE_MAX = 1000, VERSION_PAGE_MAX = 200000, ORDERS_MAX = 8 };

/* ---- what is asked ---- */

struct query {
	struct mlreg *m;
	struct filter_clause *clauses;
	size_t n_clauses;
	struct filter_order orders[ORDERS_MAX];
	size_t n_orders;
	struct str kind; /* model or prompt */
	bool wants_tags;
	int64_t offset, max;
};

/* tags.`mlflow.prompt.is_prompt` says which kind is meant; without it: models. */
static enum err take_prompt_clause(struct query *q)
{
	size_t kept = 0;
	q->kind = S("model");
	for (size_t i = 0; i < q->n_clauses; i++) {
		struct filter_clause *c = &q->clauses[i];
		if (str_eq_c(c->type, "tag") && str_eq_c(c->key, PROMPT_TAG)) {
			bool is_true = str_eq_nocase(c->text, S("true"));
			if (c->op != FILTER_EQ && c->op != FILTER_NE)
				return err_set(&q->m->et, ERR_INVALID,
					"tags.`" PROMPT_TAG "` goes with = and !=");
			if ((c->op == FILTER_EQ) == is_true)
				q->kind = S("prompt");
			continue;
		}
		q->clauses[kept++] = *c;
	}
	q->n_clauses = kept;
	return OK;
}

static enum err check_clauses(struct query *q, const char *const *texts, const char *const *numbers)
{
	for (size_t i = 0; i < q->n_clauses; i++) {
		struct filter_clause *c = &q->clauses[i];
		bool text = false, number = false;
		if (str_eq_c(c->type, "tag")) {
			q->wants_tags = true;
			text = true;
		} else if (!str_eq_c(c->type, "attribute")) {
			return err_set(&q->m->et, ERR_INVALID,
				"Invalid entity type '%.*s'. Valid entity types are ('attribute', "
				"'tag', 'tags')",
				STR_FMT(c->type));
		}
		for (size_t k = 0; !text && texts[k]; k++)
			text = str_eq_c(c->key, texts[k]);
		for (size_t k = 0; numbers[k]; k++)
			number |= str_eq_c(c->type, "attribute") && str_eq_c(c->key, numbers[k]);
		if (!text && !number)
			return err_set(&q->m->et, ERR_INVALID,
				"Invalid attribute key '%.*s' specified.",
				STR_FMT(str_sub(c->key, 0, 100)));
		bool order = c->op >= FILTER_LT && c->op <= FILTER_GE;
		if (text && (order || (!c->quoted && !c->list)))
			return err_set(&q->m->et, ERR_INVALID,
				"Expected a quoted string value for %.*s (e.g. 'my-value') and one "
				"of the comparators =, !=, LIKE, ILIKE. Got value %.*s",
				STR_FMT(c->type), STR_FMT(str_sub(c->text, 0, 60)));
		if (str_eq_c(c->type, "tag") && c->list)
			return err_set(&q->m->et, ERR_INVALID, "Invalid comparator for tag: IN");
		if (number && (c->quoted || c->list || c->op >= FILTER_LIKE))
			return err_set(&q->m->et, ERR_INVALID,
				"Expected a number to compare %.*s with",
				STR_FMT(str_sub(c->key, 0, 60)));
	}
	return OK;
}

static enum err parse_orders(struct query *q, const char *const *keys)
{
	yyjson_val *list = yyjson_obj_get(q->m->args, "order_by"), *one;
	size_t i, n;
	yyjson_arr_foreach(list, i, n, one)
	{
		if (i == ORDERS_MAX)
			return err_set(
				&q->m->et, ERR_INVALID, "order_by: at most %d clauses", ORDERS_MAX);
		struct filter_order *o = &q->orders[q->n_orders];
		enum err e = filter_order_parse(json_val_str(one), q->m->a, o, &q->m->et);
		if (e)
			return e;
		bool known = false;
		for (size_t k = 0; keys[k]; k++)
			known |= str_eq_c(o->key, keys[k]);
		if (!known)
			return err_set(&q->m->et, ERR_INVALID,
				"Invalid order by key '%.*s' specified.",
				STR_FMT(str_sub(o->key, 0, 100)));
		for (size_t k = 0; k < q->n_orders; k++)
			if (str_eq(q->orders[k].key, o->key))
				return err_set(&q->m->et, ERR_INVALID,
					"`order_by` contains duplicate fields");
		q->n_orders++;
	}
	return OK;
}

static enum err parse_query(struct query *q, const char *const *texts, const char *const *numbers,
	const char *const *orders, int64_t standard, int64_t max)
{
	struct mlreg *m = q->m;
	struct str filter = mlflow_text(m->args, "filter");
	q->max = mlflow_int(m->args, "max_results", standard);
	if (q->max > max)
		return err_set(&m->et, ERR_INVALID,
			"Invalid value for request parameter max_results. It must be at most %lld, "
			"but got value %lld",
			(long long)max, (long long)q->max);
	if (q->max < 1)
		q->max = standard;
	enum err e = page_offset(mlflow_text(m->args, "page_token"), &q->offset, &m->et);
	if (!e)
		e = filter_parse(
			filter.p ? filter : S(""), m->a, &q->clauses, &q->n_clauses, &m->et);
	if (!e)
		e = take_prompt_clause(q);
	if (!e)
		e = check_clauses(q, texts, numbers);
	return e ? e : parse_orders(q, orders);
}

static struct str tag_value(const struct fact *tags, size_t n, struct str key)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(tags[i].name, key))
			return tags[i].value;
	return (struct str){0};
}

/* ---- what was found ---- */

struct hit {
	struct id artifact;
	int64_t version, created_ms, updated_ms;
	struct str name;
};

struct hits {
	struct query *q;
	struct hit *v;
	size_t n, cap;
	struct str last; /* names repeat: kept once */
};

static enum err keep(struct hits *h, struct hit hit, struct errtext *et)
{
	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 128;
		struct hit *v = realloc(h->v, cap * sizeof *v);
		if (!v)
			return err_set(et, ERR_NOMEM, "no memory for a search");
		h->v = v;
		h->cap = cap;
	}
	if (!h->last.p || !str_eq(h->last, hit.name)) {
		h->last = arena_str(h->q->m->a, hit.name);
		if (!h->last.p)
			return err_set(et, ERR_NOMEM, "no memory for a search");
	}
	hit.name = h->last;
	h->v[h->n++] = hit;
	return OK;
}

static int cmp_i64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_by(const struct hit *a, const struct hit *b, struct str key)
{
	if (str_eq_c(key, "name"))
		return str_cmp(a->name, b->name);
	if (str_eq_c(key, "version_number"))
		return cmp_i64(a->version, b->version);
	if (str_eq_c(key, "creation_timestamp"))
		return cmp_i64(a->created_ms, b->created_ms);
	return cmp_i64(a->updated_ms, b->updated_ms);
}

static int cmp_hits(const void *x, const void *y, void *ctx)
{
	const struct query *q = ctx;
	const struct hit *a = x, *b = y;
	for (size_t i = 0; i < q->n_orders; i++) {
		int c = cmp_by(a, b, q->orders[i].key);
		if (c)
			return q->orders[i].descending ? -c : c;
	}
	int c = str_cmp(a->name, b->name);
	return c ? c : cmp_i64(b->version, a->version);
}

static void write_page(struct query *q, const struct hits *h, size_t *from, size_t *to)
{
	if (h->n)
		qsort_r(h->v, h->n, sizeof *h->v, cmp_hits, q);
	*from = (size_t)MIN(q->offset, (int64_t)h->n);
	*to = (size_t)MIN(q->offset + q->max, (int64_t)h->n);
}

static void write_token(struct query *q, const struct hits *h, size_t to)
{
	struct buf token = {0};
	if (to < h->n) {
		page_token(&token, (int64_t)to);
		jw_kstr(&q->m->w, "next_page_token", buf_str(&token));
	}
	buf_free(&token);
}

static void hits_free(struct hits *h)
{
	free(h->v);
}

/* What a rule keeps from who asks is found by no search. */
static enum err keep_readable(struct hits *h, struct hit hit, struct str kind, struct errtext *et)
{
	struct mlreg *m = h->q->m;
	enum err e = artifact_readable(m->tx, m->rq, hit.artifact, kind, hit.name, hit.version, et);
	return e == ERR_FORBIDDEN ? OK : e ? e : keep(h, hit, et);
}

/* ---- models ---- */

static bool model_matches(
	struct query *q, const struct artifact *v, const struct fact *tags, size_t n_tags)
{
	for (size_t i = 0; i < q->n_clauses; i++) {
		struct filter_clause *c = &q->clauses[i];
		struct str have =
			str_eq_c(c->type, "tag") ? tag_value(tags, n_tags, c->key) : v->name;
		if (!filter_match_text(c, have))
			return false;
	}
	return true;
}

static enum err find_models(struct query *q, struct hits *h)
{
	struct mlreg *m = q->m;
	struct artifact_filter f = {.kind = q->kind, .limit = 500, .text = S(""), .after = S("")};
	for (;;) {
		struct artifact *page;
		size_t n = 0;
		enum err e = artifact_list(m->tx, m->project, &f, m->a, &page, &n, &m->et);
		for (size_t i = 0; i < n && !e; i++) {
			struct fact *tags = NULL;
			size_t n_tags = 0;
			if (q->wants_tags)
				e = facts_now(m->tx, page[i].id, 0, S("tag"), m->a, &tags, &n_tags,
					&m->et);
			if (!e && model_matches(q, &page[i], tags, n_tags))
				e = keep_readable(h,
					(struct hit){page[i].id, 0, page[i].created_ms,
						page[i].updated_ms, page[i].name},
					page[i].kind, &m->et);
		}
		if (e || n < 500)
			return e;
		f.after = page[n - 1].name;
	}
}

static enum err write_models(struct query *q, const struct hits *h)
{
	struct mlreg *m = q->m;
	size_t from, to;
	enum err e = OK;
	write_page(q, h, &from, &to);
	jw_obj(&m->w);
	jw_key(&m->w, "registered_models");
	jw_arr(&m->w);
	for (size_t i = from; i < to && !e; i++) {
		struct artifact v;
		e = artifact_get(m->tx, m->project, h->v[i].artifact, m->a, &v, &m->et);
		if (!e)
			e = mlreg_write_model(m, &v);
	}
	jw_end(&m->w);
	write_token(q, h, to);
	jw_end(&m->w);
	return e;
}

static const struct mlflow_field search_fields[] = {{"filter", MLFLOW_TEXT, false},
	{"max_results", MLFLOW_INT, false}, {"order_by", MLFLOW_TEXTS, false},
	{"page_token", MLFLOW_TEXT, false}};

MLREG(mlflow_model_search)
{
	static const char *const texts[] = {"name", NULL}, *const numbers[] = {NULL};
	static const char *const orders[] = {
		"name", "creation_timestamp", "last_updated_timestamp", "timestamp", NULL};
	struct mlreg m;
	struct query q = {.m = &m};
	struct hits h = {.q = &q};
	enum err e = mlreg_begin(&m, c, rq, rs, TX_READ, search_fields, ARRAY_LEN(search_fields));
	if (!e)
		e = parse_query(&q, texts, numbers, orders, 100, MODEL_PAGE_MAX);
	if (!e)
		e = find_models(&q, &h);
	if (!e)
		e = write_models(&q, &h);
	hits_free(&h);
	mlreg_end(&m, e);
}

/* ---- versions ---- */

static bool version_clause(struct mlreg *m, const struct filter_clause *c,
	const struct artifact_version *v, const struct fact *tags, size_t n_tags)
{
	char hex[ID_HEX + 1] = "";
	if (str_eq_c(c->type, "tag"))
		return filter_match_text(c, tag_value(tags, n_tags, c->key));
	if (str_eq_c(c->key, "version_number"))
		return filter_match_number(c, (double)v->version);
	if (str_eq_c(c->key, "creation_timestamp"))
		return filter_match_number(c, (double)v->created_ms);
	if (str_eq_c(c->key, "last_updated_timestamp"))
		return filter_match_number(c, (double)v->updated_ms);
	if (str_eq_c(c->key, "source_path"))
		return filter_match_text(c, v->source);
	if (str_eq_c(c->key, "name"))
		return filter_match_text(c, v->name);
	if (!id_is_zero(v->run)) {
		id_hex(v->run, hex);
		return filter_match_text(c, str_c(hex));
	}
	return filter_match_text(c, mlflow_member(v, "run_id", m->a));
}

static enum err on_version(void *ctx, const struct artifact_version *v, struct errtext *et)
{
	struct hits *h = ctx;
	struct query *q = h->q;
	struct fact *tags = NULL;
	size_t n_tags = 0;
	bool match = true;
	enum err e = OK;
	struct arena *a = q->wants_tags ? arena_new(16 << 20) : NULL;
	if (q->wants_tags && !a)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	if (a)
		e = facts_now(q->m->tx, v->artifact, v->version, S("tag"), a, &tags, &n_tags, et);
	for (size_t i = 0; i < q->n_clauses && match && !e; i++)
		match = version_clause(q->m, &q->clauses[i], v, tags, n_tags);
	arena_free(a);
	if (e || !match)
		return e;
	return keep_readable(h,
		(struct hit){v->artifact, v->version, v->created_ms, v->updated_ms, v->name},
		v->kind, et);
}

/* name = '...' and run_id = '...' need not look through everything. */
static enum err find_versions(struct query *q, struct hits *h)
{
	struct mlreg *m = q->m;
	struct id of = {{0}}, run = {{0}};
	for (size_t i = 0; i < q->n_clauses; i++) {
		struct filter_clause *c = &q->clauses[i];
		struct artifact v;
		if (c->op != FILTER_EQ || !str_eq_c(c->type, "attribute"))
			continue;
		if (str_eq_c(c->key, "run_id"))
			(void)id_parse(c->text, &run);
		if (!str_eq_c(c->key, "name"))
			continue;
		enum err e = artifact_find(m->tx, m->project, q->kind, c->text, m->a, &v, &m->et);
		if (e)
			return e == ERR_NOT_FOUND ? OK : e;
		of = v.id;
	}
	return version_each(m->tx, m->project, q->kind, of, run, on_version, h, &m->et);
}

static enum err write_versions(struct query *q, const struct hits *h)
{
	struct mlreg *m = q->m;
	size_t from, to;
	enum err e = OK;
	write_page(q, h, &from, &to);
	jw_obj(&m->w);
	jw_key(&m->w, "model_versions");
	jw_arr(&m->w);
	for (size_t i = from; i < to && !e; i++) {
		struct artifact_version v;
		e = artifact_get_version(
			m->tx, h->v[i].artifact, h->v[i].version, m->a, &v, &m->et);
		if (!e)
			e = mlreg_write_version(m, &v);
	}
	jw_end(&m->w);
	write_token(q, h, to);
	jw_end(&m->w);
	return e;
}

MLREG(mlflow_version_search)
{
	static const char *const texts[] = {"name", "run_id", "source_path", NULL};
	static const char *const numbers[] = {
		"version_number", "creation_timestamp", "last_updated_timestamp", NULL};
	static const char *const orders[] = {
		"name", "version_number", "creation_timestamp", "last_updated_timestamp", NULL};
	struct mlreg m;
	struct query q = {.m = &m};
	struct hits h = {.q = &q};
	enum err e = mlreg_begin(&m, c, rq, rs, TX_READ, search_fields, ARRAY_LEN(search_fields));
	if (!e)
		e = parse_query(&q, texts, numbers, orders, 10000, VERSION_PAGE_MAX);
	if (!e)
		e = find_versions(&q, &h);
	if (!e)
		e = write_versions(&q, &h);
	hits_free(&h);
	mlreg_end(&m, e);
}

/* ---- the routes of the registry ---- */

#define MODELS "/api/2.0/mlflow/registered-models/"
#define VERSIONS "/api/2.0/mlflow/model-versions/"

static const struct route routes[] = {
	{HTTP_POST, MODELS "create", mlflow_model_create, PERM_ARTIFACT_WRITE,
		"MLflow: make a registered model or a prompt", NULL, "object", "object", 0},
	{HTTP_POST, MODELS "rename", mlflow_model_rename, PERM_ARTIFACT_WRITE,
		"MLflow: rename a registered model", NULL, "object", "object", 0},
	{HTTP_PATCH, MODELS "update", mlflow_model_update, PERM_ARTIFACT_WRITE,
		"MLflow: describe a registered model", NULL, "object", "object", 0},
	{HTTP_DELETE, MODELS "delete", mlflow_model_delete, PERM_ARTIFACT_DELETE,
		"MLflow: delete a registered model", NULL, "object", "object", 0},
	{HTTP_GET, MODELS "get", mlflow_model_get, PERM_ARTIFACT_READ,
		"MLflow: show a registered model", "{ name: string }", NULL, "object", 0},
	{HTTP_GET, MODELS "search", mlflow_model_search, PERM_ARTIFACT_READ,
		"MLflow: search registered models, or prompts",
		"{ filter?: string, max_results?: int, order_by?: string, page_token?: string }",
		NULL, "object", 0},
	{HTTP_GET, MODELS "get-latest-versions", mlflow_model_latest, PERM_ARTIFACT_READ,
		"MLflow: the newest version of each stage", "{ name: string, stages?: string }",
		NULL, "object", 0},
	{HTTP_POST, MODELS "get-latest-versions", mlflow_model_latest, PERM_ARTIFACT_READ,
		"MLflow: the newest version of each stage", NULL, "object", "object", 0},
	{HTTP_POST, MODELS "set-tag", mlflow_model_set_tag, PERM_ARTIFACT_WRITE,
		"MLflow: tag a registered model", NULL, "object", "object", 0},
	{HTTP_DELETE, MODELS "delete-tag", mlflow_model_delete_tag, PERM_ARTIFACT_WRITE,
		"MLflow: remove a tag of a registered model", NULL, "object", "object", 0},
	{HTTP_POST, MODELS "alias", mlflow_alias_set, PERM_ARTIFACT_ALIAS,
		"MLflow: point an alias at a version", NULL, "object", "object", 0},
	{HTTP_DELETE, MODELS "alias", mlflow_alias_delete, PERM_ARTIFACT_ALIAS,
		"MLflow: take an alias away", NULL, "object", "object", 0},
	{HTTP_GET, MODELS "alias", mlflow_alias_get, PERM_ARTIFACT_READ,
		"MLflow: the version that an alias points at", "{ name: string, alias: string }",
		NULL, "object", 0},
	{HTTP_POST, VERSIONS "create", mlflow_version_create, PERM_ARTIFACT_WRITE,
		"MLflow: add a version", NULL, "object", "object", 0},
	{HTTP_PATCH, VERSIONS "update", mlflow_version_update, PERM_ARTIFACT_WRITE,
		"MLflow: describe a version", NULL, "object", "object", 0},
	{HTTP_POST, VERSIONS "transition-stage", mlflow_version_stage, PERM_ARTIFACT_ALIAS,
		"MLflow: move a version to a stage", NULL, "object", "object", 0},
	{HTTP_DELETE, VERSIONS "delete", mlflow_version_delete, PERM_ARTIFACT_DELETE,
		"MLflow: delete a version", NULL, "object", "object", 0},
	{HTTP_GET, VERSIONS "get", mlflow_version_get, PERM_ARTIFACT_READ, "MLflow: show a version",
		"{ name: string, version: string }", NULL, "object", 0},
	{HTTP_GET, VERSIONS "search", mlflow_version_search, PERM_ARTIFACT_READ,
		"MLflow: search versions",
		"{ filter?: string, max_results?: int, order_by?: string, page_token?: string }",
		NULL, "object", 0},
	{HTTP_GET, VERSIONS "get-download-uri", mlflow_version_uri, PERM_ARTIFACT_READ,
		"MLflow: where a version's files are", "{ name: string, version: string }", NULL,
		"object", 0},
	{HTTP_POST, VERSIONS "set-tag", mlflow_version_set_tag, PERM_ARTIFACT_WRITE,
		"MLflow: tag a version", NULL, "object", "object", 0},
	{HTTP_DELETE, VERSIONS "delete-tag", mlflow_version_delete_tag, PERM_ARTIFACT_WRITE,
		"MLflow: remove a tag of a version", NULL, "object", "object", 0},
};

/* ---- a card's metrics: the run's newest points ---- */

static enum err run_metrics(struct croft *c, struct str project, struct id run, struct arena *a,
	struct run_metric *out, size_t max, size_t *n, struct errtext *et)
{
	struct tracked *t;
	enum err e = track_get(c, project, run, &t, et);
	if (e)
		return e;
	*n = MIN(t->n_metrics, max);
	for (size_t i = 0; i < *n && !e; i++) {
		out[i] = (struct run_metric){
			arena_str(a, t->metrics[i].key), t->metrics[i].point.value};
		if (!out[i].name.p)
			e = err_set(et, ERR_NOMEM, "no memory for metrics");
	}
	tracked_free(t);
	return e;
}

static enum err init(struct croft *c, struct errtext *et)
{
	artifact_set_run_metrics_fn(c, run_metrics);
	return OK;
}

const struct module mlflow_registry_module = {
	.name = "mlflow_registry", TABLE(routes), .init = init};
