/* MLflow's experiments. */
#include "api/mlflow_int.h"
#include "run/search.h"

#include <stdio.h>

#define ARGS(...)                                                  \
	static const struct mlflow_field fields[] = {__VA_ARGS__}; \
	struct errtext et = {0};                                   \
	yyjson_val *args = NULL;                                   \
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et)

static void reply_experiment(
	struct http_response *rs, enum err e, const struct errtext *et, const struct experiment *x)
{
	if (e) {
		mlflow_reply_error(rs, e, et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "experiment");
	mlflow_write_experiment(&w, x);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

static enum err check_name(struct str name, struct errtext *et)
{
	return mlflow_check_length(name, 500, "name", et);
}

static enum err check_location(struct str location, struct errtext *et)
{
	if (str_starts(location, S("runs:")))
		return err_set(et, ERR_INVALID,
			"Artifact location cannot be a runs:/ URI. Given: '%.*s'",
			STR_FMT(str_sub(location, 0, 200)));
	if (str_chr(location, '#') != STR_NONE || str_chr(location, '?') != STR_NONE ||
		str_find(location, S("..")) != STR_NONE)
		return err_set(et, ERR_INVALID,
			"Invalid artifact location: '%.*s'. It must hold no '..', query or "
			"fragment.",
			STR_FMT(str_sub(location, 0, 200)));
	return mlflow_check_length(location, 2048, "artifact_location", et);
}

void mlflow_experiment_create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"name", MLFLOW_TEXT, true}, {"artifact_location", MLFLOW_TEXT, false},
		{"tags", MLFLOW_ARRAY, false});
	struct track_pair *tags = NULL;
	struct experiment_new n = {0};
	int64_t number = 0;
	if (!e)
		e = mlflow_pairs(
			args, "tags", MLFLOW_EXPERIMENT_TAG_MAX, rq->arena, &tags, &n.n_tags, &et);
	if (!e) {
		n.name = mlflow_text(args, "name");
		n.location = mlflow_text(args, "artifact_location");
		n.tags = tags;
		e = check_name(n.name, &et);
	}
	if (!e)
		e = check_location(n.location, &et);
	if (!e)
		e = experiment_create(c, project_of(rq), &n, &number, &et);
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "experiment_id");
	jw_fmt(&w, "%lld", (long long)number);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}

void mlflow_experiment_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_id", MLFLOW_TEXT, true});
	struct experiment x;
	int64_t number = 0;
	if (!e)
		e = mlflow_experiment_id(mlflow_text(args, "experiment_id"), &number, &et);
	if (!e)
		e = experiment_get(c, project_of(rq), number, rq->arena, &x, &et);
	reply_experiment(rs, e, &et, &x);
}

void mlflow_experiment_by_name(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_name", MLFLOW_TEXT, true});
	struct experiment x;
	if (!e)
		e = experiment_by_name(c, project_of(rq), mlflow_text(args, "experiment_name"),
			rq->arena, &x, &et);
	reply_experiment(rs, e, &et, &x);
}

static void delete_or_restore(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool restore)
{
	ARGS({"experiment_id", MLFLOW_TEXT, true});
	int64_t number = 0;
	if (!e)
		e = mlflow_experiment_id(mlflow_text(args, "experiment_id"), &number, &et);
	if (!e)
		e = experiment_delete(c, rq->who, project_of(rq), number, restore, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_experiment_delete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	delete_or_restore(c, rq, rs, false);
}

void mlflow_experiment_restore(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	delete_or_restore(c, rq, rs, true);
}

void mlflow_experiment_update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_id", MLFLOW_TEXT, true}, {"new_name", MLFLOW_TEXT, true});
	int64_t number = 0;
	if (!e)
		e = mlflow_experiment_id(mlflow_text(args, "experiment_id"), &number, &et);
	if (!e)
		e = check_name(mlflow_text(args, "new_name"), &et);
	if (!e)
		e = experiment_rename(
			c, project_of(rq), number, mlflow_text(args, "new_name"), &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_experiment_set_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_id", MLFLOW_TEXT, true}, {"key", MLFLOW_TEXT, true},
		{"value", MLFLOW_TEXT, false});
	int64_t number = 0;
	struct str key = {0}, value = {0};
	if (!e)
		e = mlflow_experiment_id(mlflow_text(args, "experiment_id"), &number, &et);
	if (!e) {
		key = mlflow_text(args, "key");
		value = mlflow_text(args, "value");
		e = mlflow_check_key(key, "key", "key", &et);
	}
	if (!e)
		e = mlflow_check_length(value, MLFLOW_EXPERIMENT_TAG_MAX, "value", &et);
	if (!e)
		e = experiment_tag(c, project_of(rq), number, key, value.p ? value : S(""), &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_experiment_delete_tag(
	struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_id", MLFLOW_TEXT, true}, {"key", MLFLOW_TEXT, true});
	int64_t number = 0;
	if (!e)
		e = mlflow_experiment_id(mlflow_text(args, "experiment_id"), &number, &et);
	if (!e)
		e = experiment_tag(
			c, project_of(rq), number, mlflow_text(args, "key"), (struct str){0}, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_experiment_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"view_type", MLFLOW_ANY, false}, {"max_results", MLFLOW_INT, false},
		{"order_by", MLFLOW_TEXTS, false}, {"filter", MLFLOW_TEXT, false},
		{"page_token", MLFLOW_TEXT, false});
	struct experiment_query q = {.strict = true, .max_results = 1000};
	struct experiment_found f = {0};
	if (!e)
		e = mlflow_view(args, "view_type", &q.view, &et);
	if (!e) {
		q.filter = mlflow_text(args, "filter");
		q.page_token = mlflow_text(args, "page_token");
		q.max_results = mlflow_int(args, "max_results", 1000);
		if (q.max_results < 1 || q.max_results > 50000)
			e = err_set(&et, ERR_INVALID,
				"Invalid value %lld for parameter 'max_results' supplied: It must "
				"be "
				"a positive integer, at most 50000",
				(long long)q.max_results);
	}
	if (!e)
		e = search_order(
			yyjson_obj_get(args, "order_by"), rq->arena, &q.order, &q.n_order, &et);
	if (!e)
		e = search_experiments(c, project_of(rq), &q, rq->arena, &f, &et);
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	if (f.n) {
		jw_key(&w, "experiments");
		jw_arr(&w);
		for (size_t i = 0; i < f.n; i++)
			mlflow_write_experiment(&w, f.v[i]);
		jw_end(&w);
	}
	if (f.next.n)
		jw_kstr(&w, "next_page_token", f.next);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
}
