/* MLflow's routes of evaluation datasets: make, show, search, tag, put into experiments. */
#include "access/access.h"
#include "api/mlflow_dataset.h"
#include "api/mlflow_int.h"
#include "base/clock.h"
#include "base/room.h"
#include "run/search.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))

enum { TAGS_MAX = 1000, EXPERIMENTS_MAX = 1000 };

/* ---- rendering ---- */

struct str eval_digest(struct arena *a, struct str name, int64_t ms)
{
	char hex[SHA256_HEX + 1];
	struct buf b = {0};
	buf_addf(&b, "%.*s:%lld", STR_FMT(name), (long long)ms);
	sha256_hex_of(buf_str(&b), hex);
	buf_free(&b);
	return arena_str(a, str_mk(hex, 8));
}

static enum err write_dataset(struct mlreg *m, const struct eval_dataset *v)
{
	struct jw *w = &m->w;
	int64_t *experiments = NULL;
	size_t n = 0;
	enum err e =
		eval_dataset_experiments(m->tx, m->project, v->id, m->a, &experiments, &n, &m->et);
	jw_obj(w);
	jw_kstr(w, "dataset_id", v->id);
	jw_kstr(w, "name", v->name);
	jw_kstr(w, "tags", v->tags);
	if (v->schema.n)
		jw_kstr(w, "schema", v->schema);
	if (v->records) {
		jw_key(w, "profile");
		jw_fmt(w, "{\"num_records\": %lld}", (long long)v->records);
	}
	jw_kstr(w, "digest", v->digest);
	jw_ki64(w, "created_time", v->created_ms);
	jw_ki64(w, "last_update_time", v->updated_ms);
	if (v->created_by.n)
		jw_kstr(w, "created_by", v->created_by);
	if (v->updated_by.n)
		jw_kstr(w, "last_updated_by", v->updated_by);
	jw_key(w, "experiment_ids");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_fmt(w, "%lld", (long long)experiments[i]);
	jw_end(w);
	jw_end(w);
	return e;
}

enum err eval_dataset_reply(struct mlreg *m, const struct eval_dataset *v)
{
	jw_obj(&m->w);
	jw_key(&m->w, "dataset");
	enum err e = write_dataset(m, v);
	jw_end(&m->w);
	return e;
}

/* ---- tags: a JSON object that comes as a text ---- */

static void write_value(struct jw *w, yyjson_val *v)
{
	char *json = yyjson_is_str(v) ? NULL : yyjson_val_write(v, 0, NULL);
	if (yyjson_is_str(v))
		jw_str(w, json_val_str(v));
	else
		jw_c(w, json);
	free(json);
}

/* What was, without `drop`, and with what `more` says; null says nothing. */
static enum err merge_tags(
	struct mlreg *m, struct str was, yyjson_val *more, struct str drop, struct str *out)
{
	yyjson_doc *doc = NULL;
	yyjson_val *key, *v;
	size_t i, n;
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (json_parse(was, &doc, NULL))
		doc = NULL;
	yyjson_val *old = yyjson_doc_get_root(doc);
	jw_obj(&w);
	yyjson_obj_foreach(old, i, n, key, v)
	{
		yyjson_val *new = yyjson_obj_getn(more, yyjson_get_str(key), yyjson_get_len(key));
		if ((new && !yyjson_is_null(new)) || (drop.p && str_eq(json_val_str(key), drop)))
			continue;
		jw_key_str(&w, json_val_str(key));
		write_value(&w, v);
	}
	yyjson_obj_foreach(more, i, n, key, v)
	{
		if (yyjson_is_null(v))
			continue;
		jw_key_str(&w, json_val_str(key));
		write_value(&w, v);
	}
	jw_end(&w);
	enum err e = OK;
	if (yyjson_obj_size(old) + yyjson_obj_size(more) > TAGS_MAX)
		e = err_set(&m->et, ERR_LIMIT, "tags: at most %d", TAGS_MAX);
	*out = jw_done(&w) ? arena_str(m->a, buf_str(&b)) : (struct str){0};
	if (!e && !out->p)
		e = err_set(&m->et, ERR_NOMEM, "no memory for a dataset");
	yyjson_doc_free(doc);
	buf_free(&b);
	return e;
}

/* The argument `tags`; the document lives until it is freed. */
static enum err read_tags(struct mlreg *m, yyjson_doc **doc)
{
	struct str text = mlflow_text(m->args, "tags");
	*doc = NULL;
	if (!text.n)
		return OK;
	if (json_parse(text, doc, NULL) || !yyjson_is_obj(yyjson_doc_get_root(*doc)))
		return err_set(&m->et, ERR_INVALID, "tags: a JSON object, as a text, is expected");
	return OK;
}

/* ---- experiments ---- */

static enum err each_experiment(struct mlreg *m, struct str id, bool leave)
{
	yyjson_val *list = yyjson_obj_get(m->args, "experiment_ids"), *one;
	size_t i, n;
	int64_t number;
	enum err e = OK;
	if (yyjson_arr_size(list) > EXPERIMENTS_MAX)
		return err_set(&m->et, ERR_INVALID, "experiment_ids: at most %d", EXPERIMENTS_MAX);
	yyjson_arr_foreach(list, i, n, one)
	{
		if (!e)
			e = mlflow_experiment_id(json_val_str(one), &number, &m->et);
		if (!e)
			e = eval_dataset_join(m->tx, m->project, id, number, leave, &m->et);
	}
	return e;
}

/* Experiments have their own way to the database: asked before the transaction begins. */
static enum err known_experiments(struct croft *c, struct http_request *rq, struct errtext *et)
{
	FIELDS({"experiment_ids", MLFLOW_TEXTS, false});
	yyjson_val *args, *one;
	struct experiment x;
	size_t i, n;
	int64_t number;
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, et);
	if (e)
		return e;
	yyjson_arr_foreach(yyjson_obj_get(args, "experiment_ids"), i, n, one)
	{
		e = mlflow_experiment_id(json_val_str(one), &number, et);
		if (!e)
			e = experiment_get(c, project_of(rq), number, rq->arena, &x, et);
		if (e)
			return e;
	}
	return OK;
}

/* ---- one dataset ---- */

static MLREG(create)
{
	FIELDS({"name", MLFLOW_TEXT, true}, {"experiment_ids", MLFLOW_TEXTS, false},
		{"tags", MLFLOW_TEXT, false});
	struct mlreg m;
	char hex[ID_HEX + 1];
	yyjson_doc *tags = NULL;
	struct eval_dataset v = {.schema = S(""), .created_ms = clock_unix_ms()};
	id_hex(id_new(), hex);
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = read_tags(&m, &tags);
	if (!e)
		e = merge_tags(&m, S("{}"), yyjson_doc_get_root(tags), (struct str){0}, &v.tags);
	if (!e) {
		struct str who = json_str(yyjson_doc_get_root(tags), "mlflow.user");
		v.id = arena_fmt(m.a, "d-%s", hex);
		v.name = mlflow_text(m.args, "name");
		v.digest = eval_digest(m.a, v.name, v.created_ms);
		v.updated_ms = v.created_ms;
		v.created_by = v.updated_by = who.p ? who : S("");
		if (v.name.n > 255)
			e = err_set(&m.et, ERR_INVALID, "name: at most 255 bytes");
		else if (!v.id.p || !v.digest.p)
			e = err_set(&m.et, ERR_NOMEM, "no memory for a dataset");
	}
	if (!e)
		e = eval_dataset_put(m.tx, m.project, &v, &m.et);
	if (!e)
		e = each_experiment(&m, v.id, false);
	if (!e)
		e = eval_dataset_reply(&m, &v);
	yyjson_doc_free(tags);
	mlreg_end(&m, e);
}

static enum err find(struct mlreg *m, struct eval_dataset *v)
{
	return eval_dataset_get(
		m->tx, m->project, http_param(m->rq, "dataset_id"), m->a, v, &m->et);
}

static MLREG(get)
{
	FIELDS({"dataset_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct eval_dataset v;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = eval_dataset_reply(&m, &v);
	mlreg_end(&m, e);
}

/* What is not there is no error, as in MLflow. */
static MLREG(delete)
{
	FIELDS({"dataset_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct eval_dataset v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = eval_dataset_delete(m.tx, m.project, v.id, &m.et);
	if (!e)
		e = audit_add(m.tx, rq->who, "dataset.delete", v.id, S("{}"), &m.et);
	mlreg_end(&m, e == ERR_NOT_FOUND ? OK : e);
}

static MLREG(set_tags)
{
	FIELDS({"tags", MLFLOW_TEXT, true});
	struct mlreg m;
	struct eval_dataset v;
	yyjson_doc *tags = NULL;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = read_tags(&m, &tags);
	if (!e)
		e = merge_tags(&m, v.tags, yyjson_doc_get_root(tags), (struct str){0}, &v.tags);
	if (!e)
		e = eval_dataset_put(m.tx, m.project, &v, &m.et);
	yyjson_doc_free(tags);
	mlreg_end(&m, e);
}

static MLREG(delete_tag)
{
	FIELDS({"dataset_id", MLFLOW_TEXT, false});
	struct mlreg m;
	struct eval_dataset v;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = merge_tags(&m, v.tags, NULL, http_param(rq, "key"), &v.tags);
	if (!e)
		e = eval_dataset_put(m.tx, m.project, &v, &m.et);
	mlreg_end(&m, e == ERR_NOT_FOUND ? OK : e);
}

static void join_or_leave(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool leave)
{
	FIELDS({"experiment_ids", MLFLOW_TEXTS, false});
	struct mlreg m = {.c = c, .rq = rq, .rs = rs};
	struct eval_dataset v;
	enum err e = leave ? OK : known_experiments(c, rq, &m.et);
	if (!e)
		e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &v);
	if (!e)
		e = each_experiment(&m, v.id, leave);
	if (!e) {
		v.updated_ms = clock_unix_ms();
		e = eval_dataset_put(m.tx, m.project, &v, &m.et);
	}
	if (!e)
		e = eval_dataset_reply(&m, &v);
	mlreg_end(&m, e);
}

static MLREG(join)
{
	join_or_leave(c, rq, rs, false);
}

static MLREG(leave)
{
	join_or_leave(c, rq, rs, true);
}

static MLREG(experiments)
{
	FIELDS({"dataset_id", MLFLOW_TEXT, false});
	struct mlreg m;
	int64_t *list = NULL;
	size_t n = 0;
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = eval_dataset_experiments(
			m.tx, m.project, http_param(rq, "dataset_id"), m.a, &list, &n, &m.et);
	jw_obj(&m.w);
	jw_key(&m.w, "experiment_ids");
	jw_arr(&m.w);
	for (size_t i = 0; i < n; i++)
		jw_fmt(&m.w, "%lld", (long long)list[i]);
	jw_end(&m.w);
	jw_end(&m.w);
	mlreg_end(&m, e);
}

/* ---- search ---- */

enum { G_ATTRIBUTE, G_TAG };
enum { K_NAME, K_CREATED, K_UPDATED, K_CREATED_BY, K_UPDATED_BY };

static const struct filter_key keys[] = {
	[K_NAME] = {.names = {"name"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	[K_CREATED] = {.names = {"created_time"}, .type = FILTER_NUMBER},
	[K_UPDATED] = {.names = {"last_update_time"}, .type = FILTER_NUMBER},
	[K_CREATED_BY] = {.names = {"created_by"}, .flags = FILTER_UNORDERED},
	[K_UPDATED_BY] = {.names = {"last_updated_by"}, .flags = FILTER_UNORDERED},
};

static const struct filter_group groups[] = {
	[G_ATTRIBUTE] = {.names = {"attribute", "attributes"},
		.keys = keys,
		.n_keys = ARRAY_LEN(keys),
		.ops = FILTER_OPS_TEXT},
	[G_TAG] = {.names = {"tag", "tags"}, .flags = FILTER_UNORDERED, .ops = FILTER_OPS_TEXT},
};

static const struct filter_language language = {
	groups, ARRAY_LEN(groups), true, FILTER_OF_EXPERIMENTS, false};

struct search {
	struct mlreg *m;
	const struct filter *filter;
	struct filter_order orders[FILTER_ORDERS_MAX];
	size_t n_orders;
	struct eval_dataset **v;
	size_t n, cap;
};

static bool value_of(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct eval_dataset *v = item;
	yyjson_val *tags = ctx;
	if (at)
		return false;
	if (n->group == G_TAG) {
		out->text = json_val_str(yyjson_obj_getn(tags, n->key.p, n->key.n));
		return out->text.p != NULL;
	}
	out->is_number = n->type != FILTER_TEXT;
	out->number = (double)(n->index == K_CREATED ? v->created_ms : v->updated_ms);
	out->text = n->index == K_NAME         ? v->name
		    : n->index == K_CREATED_BY ? v->created_by
		    : n->index == K_UPDATED_BY ? v->updated_by
					       : (struct str){0};
	return out->is_number || out->text.n;
}

static bool matches(struct search *s, const struct eval_dataset *v)
{
	yyjson_doc *tags = NULL;
	if (json_parse(v->tags, &tags, NULL))
		tags = NULL;
	bool yes = filter_match(
		s->filter, &(struct filter_subject){value_of, yyjson_doc_get_root(tags)}, v);
	yyjson_doc_free(tags);
	return yes;
}

static enum err in_experiments(struct search *s, const struct eval_dataset *v, bool *yes)
{
	yyjson_val *list = yyjson_obj_get(s->m->args, "experiment_ids"), *one;
	int64_t *have = NULL;
	size_t n = 0, i, max;
	*yes = !yyjson_arr_size(list);
	if (*yes)
		return OK;
	enum err e = eval_dataset_experiments(
		s->m->tx, s->m->project, v->id, s->m->a, &have, &n, &s->m->et);
	yyjson_arr_foreach(list, i, max, one) for (size_t k = 0; k < n; k++)
	{
		int64_t number;
		*yes |= str_i64(json_val_str(one), &number) && number == have[k];
	}
	return e;
}

static enum err keep(struct search *s, const struct eval_dataset *v)
{
	struct eval_dataset *to = arena_new_of(s->m->a, struct eval_dataset);
	if (!heap_room(s->v, s->n, s->cap))
		return err_set(&s->m->et, ERR_NOMEM, "no memory for a search");
	if (!to)
		return err_set(&s->m->et, ERR_NOMEM, "no memory for a search");
	s->v[s->n++] = to;
	*to = *v;
	struct str *const f[] = {&to->id, &to->name, &to->digest, &to->schema, &to->tags,
		&to->created_by, &to->updated_by};
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		*f[i] = arena_str(s->m->a, *f[i]);
		if (!f[i]->p)
			return err_set(&s->m->et, ERR_NOMEM, "no memory for a search");
	}
	return OK;
}

static enum err on_dataset(void *ctx, const struct eval_dataset *v, struct errtext *et)
{
	struct search *s = ctx;
	bool yes = false;
	enum err e = in_experiments(s, v, &yes);
	return !e && yes && matches(s, v) ? keep(s, v) : e;
}

static int newest_first(const void *x, const void *y)
{
	const struct eval_dataset *a = x, *b = y;
	if (a->created_ms != b->created_ms)
		return a->created_ms < b->created_ms ? 1 : -1;
	return -str_cmp(a->id, b->id);
}

static enum err read_orders(struct search *s)
{
	struct str *texts;
	enum err e = search_order(
		yyjson_obj_get(s->m->args, "order_by"), s->m->a, &texts, &s->n_orders, &s->m->et);
	return e ? e
		 : filter_parse_orders(
			   texts, s->n_orders, &language, s->m->a, s->orders, &s->m->et);
}

static enum err write_found(struct search *s, int64_t offset, int64_t max)
{
	struct mlreg *m = s->m;
	size_t from = (size_t)MIN(offset, (int64_t)s->n),
	       to = (size_t)MIN(offset + max, (int64_t)s->n);
	struct buf token = {0};
	enum err e = OK;
	jw_obj(&m->w);
	jw_key(&m->w, "datasets");
	jw_arr(&m->w);
	for (size_t i = from; i < to && !e; i++)
		e = write_dataset(m, s->v[i]);
	jw_end(&m->w);
	if (to < s->n) {
		page_token(&token, (int64_t)to);
		jw_kstr(&m->w, "next_page_token", buf_str(&token));
	}
	jw_end(&m->w);
	buf_free(&token);
	return e;
}

static MLREG(search_datasets)
{
	FIELDS({"experiment_ids", MLFLOW_TEXTS, false}, {"filter_string", MLFLOW_TEXT, false},
		{"max_results", MLFLOW_INT, false}, {"order_by", MLFLOW_TEXTS, false},
		{"page_token", MLFLOW_TEXT, false});
	struct mlreg m;
	struct search s = {.m = &m};
	int64_t offset = 0, max = DATASET_PAGE_MAX;
	enum err e = BEGIN(TX_READ);
	if (!e) {
		struct str filter = mlflow_text(m.args, "filter_string");
		max = mlflow_int(m.args, "max_results", max);
		e = filter_parse(filter.p ? filter : S(""), &language, m.a, &s.filter, &m.et);
	}
	if (!e && (max < 1 || max > 50000))
		e = err_set(&m.et, ERR_INVALID,
			"Invalid value %lld for parameter 'max_results' supplied: it must be a "
			"positive integer of at most 50000",
			(long long)max);
	if (!e)
		e = page_offset(mlflow_text(m.args, "page_token"), &offset, &m.et);
	if (!e)
		e = read_orders(&s);
	if (!e)
		e = eval_dataset_each(m.tx, m.project, on_dataset, &s, &m.et);
	if (!e)
		e = filter_sort(s.orders, s.n_orders, &(struct filter_subject){value_of, NULL},
			(void **)s.v, s.n, newest_first, m.a, &m.et);
	if (!e)
		e = write_found(&s, offset, max);
	free(s.v);
	mlreg_end(&m, e);
}

/* ---- the module ---- */

#define DATASETS "/api/3.0/mlflow/datasets/"
#define ONE DATASETS "{dataset_id}"

static const struct route routes[] = {
	{HTTP_POST, DATASETS "create", create, PERM_RUN_WRITE, "MLflow: make an evaluation dataset",
		NULL, "{ name: string, experiment_ids?: string[], tags?: string }", "object", 0},
	{HTTP_GET, DATASETS "search", search_datasets, PERM_RUN_READ,
		"MLflow: search evaluation datasets",
		"{ filter_string?, max_results?: int, page_token? }", NULL, "object", 0},
	{HTTP_POST, DATASETS "search", search_datasets, PERM_RUN_READ,
		"MLflow: search evaluation datasets", NULL, "object", "object", 0},
	{HTTP_GET, ONE, get, PERM_RUN_READ, "MLflow: show an evaluation dataset", NULL, NULL,
		"object", 0},
	{HTTP_DELETE, ONE, delete, PERM_RUN_DELETE, "MLflow: remove an evaluation dataset", NULL,
		NULL, "object", 0},
	{HTTP_PATCH, ONE "/tags", set_tags, PERM_RUN_WRITE, "MLflow: tag an evaluation dataset",
		NULL, "{ tags: string }", "object", 0},
	{HTTP_DELETE, ONE "/tags/{key}", delete_tag, PERM_RUN_WRITE,
		"MLflow: remove a tag of an evaluation dataset", NULL, NULL, "object", 0},
	{HTTP_GET, ONE "/experiment-ids", experiments, PERM_RUN_READ,
		"MLflow: the experiments of an evaluation dataset", NULL, NULL, "object", 0},
	{HTTP_POST, ONE "/add-experiments", join, PERM_RUN_WRITE,
		"MLflow: put an evaluation dataset into experiments", NULL,
		"{ experiment_ids?: string[] }", "object", 0},
	{HTTP_POST, ONE "/remove-experiments", leave, PERM_RUN_WRITE,
		"MLflow: take an evaluation dataset out of experiments", NULL,
		"{ experiment_ids?: string[] }", "object", 0},
};

const struct module mlflow_dataset_module = {
	.name = "mlflow_dataset",
	.migrations = dataset_migrations,
	.n_migrations = ARRAY_LEN(dataset_migrations),
	TABLE(routes),
};

const struct module mlflow_record_module = {
	.name = "mlflow_record",
	.routes = eval_record_routes,
	.n_routes = ARRAY_LEN(eval_record_routes),
};
