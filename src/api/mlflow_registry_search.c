/* Searching models, prompts and versions in MLflow's filter language. Rows are matched as they
 * stream from the store; what matches is kept small (an id, a number, what it is sorted by),
 * sorted, and only the page that was asked for is read in full. */
#include "api/mlflow_registry.h"
#include "base/room.h"
#include "run/search.h"
#include "run/track.h"
#include "text/filter.h"

#include <stdlib.h>

enum { MODEL_PAGE_MAX = 1000, VERSION_PAGE_MAX = 200000 };

/* ---- what may be asked ---- */

enum { G_ATTRIBUTE, G_TAG };
enum { K_NAME, K_CREATED, K_UPDATED, K_VERSION, K_RUN, K_SOURCE };

static const struct filter_key model_keys[] = {
	[K_NAME] = {.names = {"name"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	[K_CREATED] = {.names = {"creation_timestamp"},
		.type = FILTER_NUMBER,
		.flags = FILTER_ORDER_ONLY},
	[K_UPDATED] = {.names = {"last_updated_timestamp", "timestamp"},
		.type = FILTER_NUMBER,
		.flags = FILTER_ORDER_ONLY},
};

static const struct filter_key version_keys[] = {
	[K_NAME] = {.names = {"name"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	[K_CREATED] = {.names = {"creation_timestamp"},
		.type = FILTER_NUMBER,
		.flags = FILTER_ORDER_ONLY},
	[K_UPDATED] = {.names = {"last_updated_timestamp"},
		.type = FILTER_NUMBER,
		.flags = FILTER_ORDER_ONLY},
	[K_VERSION] = {.names = {"version_number"}, .type = FILTER_NUMBER},
	[K_RUN] = {.names = {"run_id"},
		.ops = FILTER_OPS_TEXT | FILTER_OP_IN,
		.flags = FILTER_UNORDERED},
	[K_SOURCE] = {.names = {"source_path"}, .flags = FILTER_UNORDERED},
};

#define GROUPS(keys_)                                                     \
	{                                                                 \
		{.names = {"attribute"},                                  \
			.keys = keys_,                                    \
			.n_keys = ARRAY_LEN(keys_),                       \
			.ops = FILTER_OPS_TEXT},                          \
		{                                                         \
			.names = {"tag", "tags"}, .ops = FILTER_OPS_TEXT, \
			.flags = FILTER_UNORDERED                         \
		}                                                         \
	}
static const struct filter_group model_groups[] = GROUPS(model_keys);
static const struct filter_group version_groups[] = GROUPS(version_keys);
static const struct filter_language model_language = {
	model_groups, ARRAY_LEN(model_groups), true, FILTER_OF_MODELS, false};
static const struct filter_language version_language = {
	version_groups, ARRAY_LEN(version_groups), true, FILTER_OF_VERSIONS, false};

struct query {
	struct mlreg *m;
	const struct filter *filter;
	struct filter_order orders[FILTER_ORDERS_MAX];
	size_t n_orders;
	struct str kind; /* model or prompt */
	int64_t offset, max;
	bool versions; /* looked for; else models */
};

/* tags.`mlflow.prompt.is_prompt` says which kind is meant; without it: models. */
static enum err read_kind(struct query *q)
{
	const struct filter_test *t;
	q->kind = S("model");
	for (size_t i = 0; (t = filter_required(q->filter, i)); i++) {
		if (t->name.group != G_TAG || !str_eq_c(t->name.key, PROMPT_TAG))
			continue;
		if (t->op != FILTER_EQ && t->op != FILTER_NE)
			return err_set(
				&q->m->et, ERR_INVALID, "tags.`" PROMPT_TAG "` goes with = and !=");
		if ((t->op == FILTER_EQ) == str_eq_c(t->text, "true"))
			q->kind = S("prompt");
	}
	return OK;
}

static enum err parse_query(
	struct query *q, const struct filter_language *l, int64_t standard, int64_t max)
{
	struct mlreg *m = q->m;
	struct str filter = mlflow_text(m->args, "filter"), *orders;
	q->max = mlflow_int(m->args, "max_results", standard);
	if (q->max > max)
		return err_set(&m->et, ERR_INVALID,
			"Invalid value for request parameter max_results. It must be at most %lld, "
			"but got value %lld",
			(long long)max, (long long)q->max);
	if (q->max < 1)
		return err_set(&m->et, ERR_INVALID,
			"Invalid value %lld for parameter 'max_results' supplied. It must be a "
			"positive integer",
			(long long)q->max);
	enum err e = page_offset(mlflow_text(m->args, "page_token"), &q->offset, &m->et);
	if (!e)
		e = filter_parse(filter.p ? filter : S(""), l, m->a, &q->filter, &m->et);
	if (!e)
		e = read_kind(q);
	if (!e)
		e = search_order(
			yyjson_obj_get(m->args, "order_by"), m->a, &orders, &q->n_orders, &m->et);
	return e ? e : filter_parse_orders(orders, q->n_orders, l, m->a, q->orders, &m->et);
}

static struct str tag_value(const struct fact *tags, size_t n, struct str key)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(tags[i].name, key))
			return tags[i].value;
	return (struct str){0};
}

/* ---- what was found ---- */

/* One that is looked at: what is kept of it, and what it is looked at by. */
struct hit {
	struct id artifact;
	int64_t version, created_ms, updated_ms;
	struct str name;
};

struct candidate {
	struct hit hit;
	const struct fact *tags;
	size_t n_tags;
	struct str run, source;
};

struct hits {
	struct query *q;
	struct hit **v;
	size_t n, cap;
	struct str last; /* names repeat: kept once */
};

static bool value_of_hit(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct hit *h = item;
	out->is_number = n->type != FILTER_TEXT;
	out->text = h->name;
	out->number = (double)(n->index == K_CREATED   ? h->created_ms
			       : n->index == K_UPDATED ? h->updated_ms
						       : h->version);
	return !at;
}

static bool value_of(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct query *q = ctx;
	const struct candidate *c = item;
	if (at)
		return false;
	if (n->group == G_ATTRIBUTE && n->index != K_RUN && n->index != K_SOURCE)
		return value_of_hit(NULL, &c->hit, n, at, out);
	if (n->group == G_ATTRIBUTE)
		out->text = n->index == K_RUN ? c->run : c->source;
	else if (str_eq_c(n->key, PROMPT_TAG)) /* of all that is looked through */
		out->text = str_eq_c(q->kind, "prompt") ? S("true") : S("false");
	else
		out->text = tag_value(c->tags, c->n_tags, n->key);
	return out->text.p != NULL;
}

static bool matches(struct query *q, const struct candidate *c)
{
	return filter_match(q->filter, &(struct filter_subject){value_of, q}, c);
}

static enum err keep(struct hits *h, struct hit hit, struct errtext *et)
{
	struct hit *kept = arena_new_of(h->q->m->a, struct hit);
	if (!heap_room(h->v, h->n, h->cap))
		return err_set(et, ERR_NOMEM, "no memory for a search");
	if (!h->last.p || !str_eq(h->last, hit.name))
		h->last = arena_str(h->q->m->a, hit.name);
	if (!h->last.p || !kept)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	hit.name = h->last;
	*kept = hit;
	h->v[h->n++] = kept;
	return OK;
}

static int by_name(const void *x, const void *y)
{
	const struct hit *a = x, *b = y;
	int c = str_cmp(a->name, b->name);
	return c ? c : (b->version > a->version) - (b->version < a->version);
}

/* What was changed last comes first, as in MLflow; its clients ask for versions without an order.
 */
static int by_change(const void *x, const void *y)
{
	const struct hit *a = x, *b = y;
	int c = (b->updated_ms > a->updated_ms) - (b->updated_ms < a->updated_ms);
	return c ? c : by_name(x, y);
}

static enum err sort_page(struct query *q, struct hits *h, size_t *from, size_t *to)
{
	*from = (size_t)MIN(q->offset, (int64_t)h->n);
	*to = (size_t)MIN(q->offset + q->max, (int64_t)h->n);
	return filter_sort(q->orders, q->n_orders, &(struct filter_subject){value_of_hit, NULL},
		(void **)h->v, h->n, q->versions && !q->n_orders ? by_change : by_name, q->m->a,
		&q->m->et);
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

static enum err find_models(struct query *q, struct hits *h)
{
	struct mlreg *m = q->m;
	struct artifact_filter f = {.kind = q->kind, .limit = 500, .text = S("")};
	for (;;) {
		struct artifact *page;
		size_t n = 0;
		enum err e = artifact_list(m->tx, m->project, &f, m->a, &page, &n, &m->et);
		for (size_t i = 0; i < n && !e; i++) {
			struct fact *tags = NULL;
			struct candidate one = {.hit = {page[i].id, 0, page[i].created_ms,
							page[i].updated_ms, page[i].name}};
			if (filter_asks(q->filter, G_TAG))
				e = facts_now(m->tx, page[i].id, 0, S("tag"), m->a, &tags,
					&one.n_tags, &m->et);
			one.tags = tags;
			if (!e && matches(q, &one))
				e = keep_readable(h, one.hit, page[i].kind, &m->et);
		}
		if (e || n < 500)
			return e;
		f.after_name = page[n - 1].name;
		f.after_kind = page[n - 1].kind;
	}
}

static enum err write_models(struct query *q, struct hits *h)
{
	struct mlreg *m = q->m;
	size_t from, to;
	enum err e = sort_page(q, h, &from, &to);
	jw_obj(&m->w);
	jw_key(&m->w, "registered_models");
	jw_arr(&m->w);
	for (size_t i = from; i < to && !e; i++) {
		struct artifact v;
		e = artifact_get(m->tx, m->project, h->v[i]->artifact, m->a, &v, &m->et);
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
	struct mlreg m;
	struct query q = {.m = &m};
	struct hits h = {.q = &q};
	enum err e = mlreg_begin(&m, c, rq, rs, TX_READ, search_fields, ARRAY_LEN(search_fields));
	if (!e)
		e = parse_query(&q, &model_language, 100, MODEL_PAGE_MAX);
	if (!e)
		e = find_models(&q, &h);
	if (!e)
		e = write_models(&q, &h);
	hits_free(&h);
	mlreg_end(&m, e);
}

/* ---- versions ---- */

static enum err on_version(void *ctx, const struct artifact_version *v, struct errtext *et)
{
	struct hits *h = ctx;
	struct query *q = h->q;
	struct fact *tags = NULL;
	char hex[ID_HEX + 1] = "";
	struct candidate one = {
		.hit = {v->artifact, v->version, v->created_ms, v->updated_ms, v->name},
		.source = v->source};
	bool match = false;
	enum err e = OK;
	struct arena *a = filter_asks(q->filter, G_TAG) ? arena_new(16 << 20) : NULL;
	if (filter_asks(q->filter, G_TAG) && !a)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	if (a)
		e = facts_now(
			q->m->tx, v->artifact, v->version, S("tag"), a, &tags, &one.n_tags, et);
	if (!e) {
		id_hex(v->run, hex);
		one.tags = tags;
		if (!id_is_zero(v->run))
			one.run = str_c(hex);
		else if (filter_asks_key(q->filter, G_ATTRIBUTE, K_RUN))
			one.run = mlflow_member(v, "run_id", q->m->a);
		if (!one.run.p)
			one.run = S(""); /* MLflow keeps that when there is none */
		match = matches(q, &one);
	}
	arena_free(a);
	return e || !match ? e : keep_readable(h, one.hit, v->kind, et);
}

/* name = '...' and run_id = '...' need not look through everything. */
static enum err find_versions(struct query *q, struct hits *h)
{
	struct mlreg *m = q->m;
	struct id of = {{0}}, run = {{0}};
	const struct filter_test *t;
	for (size_t i = 0; (t = filter_required(q->filter, i)); i++) {
		struct artifact v;
		if (t->op != FILTER_EQ || t->name.group != G_ATTRIBUTE)
			continue;
		if (t->name.index == K_RUN)
			(void)id_parse(t->text, &run);
		if (t->name.index != K_NAME)
			continue;
		enum err e = artifact_find(m->tx, m->project, q->kind, t->text, m->a, &v, &m->et);
		if (e)
			return e == ERR_NOT_FOUND ? OK : e;
		of = v.id;
	}
	return version_each(m->tx, m->project, q->kind, of, run, on_version, h, &m->et);
}

static enum err write_versions(struct query *q, struct hits *h)
{
	struct mlreg *m = q->m;
	size_t from, to;
	enum err e = sort_page(q, h, &from, &to);
	jw_obj(&m->w);
	jw_key(&m->w, "model_versions");
	jw_arr(&m->w);
	for (size_t i = from; i < to && !e; i++) {
		struct artifact_version v;
		e = artifact_get_version(
			m->tx, h->v[i]->artifact, h->v[i]->version, m->a, &v, &m->et);
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
	struct mlreg m;
	struct query q = {.m = &m, .versions = true};
	struct hits h = {.q = &q};
	enum err e = mlreg_begin(&m, c, rq, rs, TX_READ, search_fields, ARRAY_LEN(search_fields));
	if (!e)
		e = parse_query(&q, &version_language, 10000, VERSION_PAGE_MAX);
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
