/* MLflow's runs: create, change, search, histories of metrics. */
#include "api/mlflow_int.h"
#include "api/mlflow_lineage.h"
#include "api/mlflow_metric.h"
#include "base/clock.h"
#include "base/map.h"
#include "run/search.h"

#include <stdio.h>
#include <stdlib.h>

#define ARGS(...)                                                  \
	static const struct mlflow_field fields[] = {__VA_ARGS__}; \
	struct errtext et = {0};                                   \
	yyjson_val *args = NULL;                                   \
	enum err e = mlflow_args(rq, fields, ARRAY_LEN(fields), &args, &et)

#define RUN_ID                                 \
	{"run_id", MLFLOW_TEXT, false},        \
	{                                      \
		"run_uuid", MLFLOW_TEXT, false \
	}

static enum err run_of(yyjson_val *args, struct id *id, struct errtext *et)
{
	if (!mlflow_text(args, "run_id").n && !mlflow_text(args, "run_uuid").n)
		return err_set(et, ERR_INVALID,
			"Missing value for required parameter 'run_id'. See the API docs for more "
			"information about request parameters.");
	return mlflow_run_id(args, "run_id", id, et);
}

static enum err location_of(struct croft *c, struct http_request *rq, const struct tracked *t,
	struct str *out, struct errtext *et)
{
	struct experiment x;
	enum err e = experiment_get(c, project_of(rq), t->experiment, rq->arena, &x, et);
	if (!e)
		*out = x.location;
	return e;
}

/* {"run": ...} or {"run_info": ...} */
static void reply_run(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct id id, bool info_only, enum err e, struct errtext *et)
{
	struct tracked *t = NULL;
	struct str location = {0};
	if (!e)
		e = track_get(c, project_of(rq), id, &t, et);
	if (!e)
		e = location_of(c, rq, t, &location, et);
	if (e) {
		tracked_free(t);
		mlflow_reply_error(rs, e, et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, info_only ? "run_info" : "run");
	(info_only ? mlflow_write_info : mlflow_write_run)(&w, t, location);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
	tracked_free(t);
}

/* ---- making and changing ---- */

/* The run's name, from run_name, the tag, or made up; in the tags too. */
static enum err name_run(
	struct http_request *rq, struct track_new *n, struct track_pair *tags, struct errtext *et)
{
	struct str tagged = {0};
	for (size_t i = 0; i < n->n_tags; i++)
		if (str_eq_c(tags[i].key, "mlflow.runName"))
			tagged = tags[i].value;
	if (n->name.n && tagged.n && !str_eq(n->name, tagged))
		return err_set(et, ERR_INVALID,
			"Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
			"different values (run_name='%.*s', mlflow.runName='%.*s').",
			STR_FMT(str_sub(n->name, 0, 100)), STR_FMT(str_sub(tagged, 0, 100)));
	if (!n->name.n)
		n->name = tagged.n ? tagged : mlflow_random_name(rq->arena);
	if (!tagged.n) {
		struct track_pair *more =
			arena_array_of(rq->arena, n->n_tags + 1, struct track_pair);
		if (!more || !n->name.p)
			return err_set(et, ERR_NOMEM, "no memory for a run");
		memcpy(more, tags, n->n_tags * sizeof *more);
		more[n->n_tags++] = (struct track_pair){S("mlflow.runName"), n->name};
		n->tags = more;
	}
	return mlflow_check_length(n->name, 5000, "run_name", et);
}

void mlflow_run_create(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_id", MLFLOW_TEXT, false}, {"start_time", MLFLOW_INT, false},
		{"run_name", MLFLOW_TEXT, false}, {"user_id", MLFLOW_TEXT, false},
		{"tags", MLFLOW_ARRAY, false});
	struct track_pair *tags = NULL;
	struct track_new n = {0};
	struct id id = {0};
	if (!e)
		e = mlflow_pairs(args, "tags", MLFLOW_VALUE_MAX, rq->arena, &tags, &n.n_tags, &et);
	if (!e) {
		struct str experiment = mlflow_text(args, "experiment_id");
		struct str user = mlflow_text(args, "user_id"),
			   name = mlflow_text(args, "run_name");
		n.tags = tags;
		n.user = user.p ? user : S("");
		n.name = name;
		n.start_ms = mlflow_int(args, "start_time", clock_unix_ms());
		e = mlflow_experiment_id(experiment.n ? experiment : S("0"), &n.experiment, &et);
	}
	if (!e)
		e = name_run(rq, &n, tags, &et);
	if (!e)
		e = track_create(c, rq->who, project_of(rq), &n, &id, &et);
	reply_run(c, rq, rs, id, false, e, &et);
}

void mlflow_run_get(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID);
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	reply_run(c, rq, rs, id, false, e, &et);
}

static enum err parse_status(yyjson_val *args, struct track_change *ch, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(args, "status");
	int64_t number = 0;
	if (!v || yyjson_is_null(v))
		return OK;
	for (unsigned i = 0; i < TRACK_STATUSES; i++)
		if (yyjson_equals_str(v, mlflow_statuses[i]) ||
			(mlflow_as_int(v, &number) && number == i + 1)) {
			ch->set_status = true;
			ch->status = (enum track_status)i;
			return OK;
		}
	return mlflow_invalid(
		et, "status", v, "one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED is expected");
}

void mlflow_run_update(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"end_time", MLFLOW_INT, false}, {"run_name", MLFLOW_TEXT, false});
	struct track_change ch = {0};
	struct track_pair name = {S("mlflow.runName"), {0}};
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e)
		e = parse_status(args, &ch, &et);
	if (!e) {
		name.value = mlflow_text(args, "run_name");
		ch.end_ms = mlflow_int(args, "end_time", 0);
		ch.tags = &name;
		ch.n_tags = name.value.n ? 1 : 0;
		e = mlflow_check_length(name.value, 5000, "run_name", &et);
	}
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	reply_run(c, rq, rs, id, true, e, &et);
}

static void delete_or_restore(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool restore)
{
	ARGS(RUN_ID);
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e)
		e = track_delete(c, rq->who, project_of(rq), id, restore, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_run_delete(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	delete_or_restore(c, rq, rs, false);
}

void mlflow_run_restore(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	delete_or_restore(c, rq, rs, true);
}

/* ---- logging ---- */

static enum err check_metric(
	yyjson_val *v, const char *path, struct track_metric *m, struct errtext *et)
{
	char name[80];
	snprintf(name, sizeof name, "%s%sname", path, *path ? "." : "");
	enum err e = mlflow_check_key(m->key, name, "Metric name", et);
	if (!e && m->point.ms < 0) {
		snprintf(name, sizeof name, "%s%stimestamp", path, *path ? "." : "");
		e = mlflow_invalid(et, name, yyjson_obj_get(v, "timestamp"),
			"metric '%.*s' (value=%g). Timestamp must be a nonnegative long (64-bit "
			"integer) ",
			STR_FMT(str_sub(m->key, 0, 100)), m->point.value);
	}
	return e;
}

static void read_metric(yyjson_val *v, struct track_metric *m)
{
	*m = (struct track_metric){
		mlflow_text(v, "key"), {mlflow_float(v, "value", 0), mlflow_int(v, "timestamp", 0),
					       mlflow_int(v, "step", 0)}};
}

void mlflow_log_metric(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"key", MLFLOW_TEXT, true}, {"value", MLFLOW_FLOAT, true},
		{"timestamp", MLFLOW_INT, true}, {"step", MLFLOW_INT, false},
		{"model_id", MLFLOW_TEXT, false}, {"dataset_name", MLFLOW_TEXT, false},
		{"dataset_digest", MLFLOW_TEXT, false});
	struct track_metric m;
	struct track_change ch = {.metrics = &m, .n_metrics = 1};
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e) {
		read_metric(args, &m);
		e = check_metric(args, "", &m, &et);
	}
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	if (!e)
		e = mlflow_metrics_of_models(c, rq, args, id, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_log_param(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false});
	struct track_pair p = {0};
	struct track_change ch = {.params = &p, .n_params = 1};
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e) {
		p = (struct track_pair){mlflow_text(args, "key"), mlflow_text(args, "value")};
		if (!p.value.p)
			p.value = S("");
		e = mlflow_check_key(p.key, "key", "Param key", &et);
	}
	if (!e)
		e = mlflow_check_length(p.value, MLFLOW_VALUE_MAX, "Param value", &et);
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_set_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"key", MLFLOW_TEXT, true}, {"value", MLFLOW_TEXT, false});
	struct track_pair p = {0};
	struct track_change ch = {.tags = &p, .n_tags = 1};
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e) {
		p = (struct track_pair){mlflow_text(args, "key"), mlflow_text(args, "value")};
		if (!p.value.p)
			p.value = S("");
		e = mlflow_check_key(p.key, "key", "key", &et);
	}
	if (!e)
		e = mlflow_check_length(p.value, MLFLOW_VALUE_MAX, "value", &et);
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_delete_tag(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"key", MLFLOW_TEXT, true});
	struct track_change ch = {0};
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e) {
		ch.untag = mlflow_text(args, "key");
		e = track_change(c, project_of(rq), id, &ch, &et);
	}
	mlflow_reply(rs, e, &et);
}

enum { METRICS_MAX = 1000, PAIRS_MAX = 100, BATCH_MAX = 1000, BATCH_BYTES_MAX = 1000000 };

static size_t count_of(yyjson_val *args, const char *member)
{
	yyjson_val *v = yyjson_obj_get(args, member);
	return yyjson_is_arr(v) ? yyjson_arr_size(v) : 0;
}

static enum err check_limit(const char *what, size_t max, size_t n, struct errtext *et)
{
	if (n <= max)
		return OK;
	return err_set(et, ERR_INVALID,
		"A batch logging request can contain at most %zu %s. Got %zu %s. Please split up "
		"%s "
		"across multiple requests and try again.",
		max, what, n, what, what);
}

static enum err check_batch(struct http_request *rq, yyjson_val *args, struct errtext *et)
{
	size_t metrics = count_of(args, "metrics"), params = count_of(args, "params"),
	       tags = count_of(args, "tags");
	if (rq->body.n > BATCH_BYTES_MAX)
		return err_set(et, ERR_INVALID,
			"Batched logging API requests must be at most %d bytes, got a request of "
			"size %zu.",
			BATCH_BYTES_MAX, rq->body.n);
	enum err e = check_limit("metrics", METRICS_MAX, metrics, et);
	if (!e)
		e = check_limit("params", PAIRS_MAX, params, et);
	if (!e)
		e = check_limit("tags", PAIRS_MAX, tags, et);
	return e ? e
		 : check_limit("metrics, params, and tags", BATCH_MAX, metrics + params + tags, et);
}

/* The whole check without a text made for it, since nearly all metrics pass: what fails here goes
 * through the slow one, which says why. */
static bool metric_ok(yyjson_val *v, struct track_metric *m)
{
	yyjson_val *step = yyjson_obj_get(v, "step");
	*m = (struct track_metric){.key = json_str(v, "key")};
	return yyjson_is_obj(v) && m->key.n &&
	       mlflow_as_float(yyjson_obj_get(v, "value"), &m->point.value) &&
	       mlflow_as_int(yyjson_obj_get(v, "timestamp"), &m->point.ms) && m->point.ms >= 0 &&
	       (!step || yyjson_is_null(step) || mlflow_as_int(step, &m->point.step));
}

static enum err read_metrics(
	struct http_request *rq, yyjson_val *args, struct track_change *ch, struct errtext *et)
{
	static const struct mlflow_field fields[] = {{"key", MLFLOW_TEXT, true},
		{"value", MLFLOW_FLOAT, true}, {"timestamp", MLFLOW_INT, true},
		{"step", MLFLOW_INT, false}};
	size_t n = count_of(args, "metrics"), i = 0;
	struct track_metric *v = arena_array_of(rq->arena, MAX(n, (size_t)1), struct track_metric);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a request");
	yyjson_arr_iter it;
	yyjson_val *item;
	yyjson_arr_iter_init(yyjson_obj_get(args, "metrics"), &it);
	for (; n && (item = yyjson_arr_iter_next(&it)); i++) {
		char path[40];
		enum err e = OK;
		bool ok = metric_ok(item, &v[i]);
		if (ok && mlflow_plain_key(v[i].key))
			continue;
		snprintf(path, sizeof path, "metrics[%zu]", i);
		e = mlflow_check(item, path, fields, ARRAY_LEN(fields), et);
		if (!e) {
			read_metric(item, &v[i]);
			e = check_metric(item, path, &v[i], et);
		}
		if (e)
			return e;
	}
	ch->metrics = v;
	ch->n_metrics = n;
	return OK;
}

static enum err unique_params(const struct track_pair *v, size_t n, struct errtext *et)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (str_eq(v[i].key, v[k].key))
				return err_set(et, ERR_INVALID,
					"Duplicate parameter keys have been submitted: ['%.*s']. "
					"Please ensure the request contains only one param value "
					"per "
					"param key.",
					STR_FMT(str_sub(v[i].key, 0, 200)));
	return OK;
}

void mlflow_log_batch(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"metrics", MLFLOW_ARRAY, false}, {"params", MLFLOW_ARRAY, false},
		{"tags", MLFLOW_ARRAY, false});
	struct track_change ch = {0};
	struct track_pair *params = NULL, *tags = NULL;
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e)
		e = check_batch(rq, args, &et);
	if (!e)
		e = read_metrics(rq, args, &ch, &et);
	if (!e)
		e = mlflow_pairs(
			args, "params", MLFLOW_VALUE_MAX, rq->arena, &params, &ch.n_params, &et);
	if (!e)
		e = unique_params(params, ch.n_params, &et);
	if (!e)
		e = mlflow_pairs(args, "tags", MLFLOW_VALUE_MAX, rq->arena, &tags, &ch.n_tags, &et);
	ch.params = params;
	ch.tags = tags;
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	if (!e)
		e = mlflow_metrics_of_models(c, rq, yyjson_obj_get(args, "metrics"), id, &et);
	mlflow_reply(rs, e, &et);
}

/* ---- inputs and outputs ---- */

/* The known members of one DatasetInput, as MLflow will show them again. */
static enum err read_dataset(struct http_request *rq, yyjson_val *v, size_t at,
	struct track_input *in, struct errtext *et)
{
	static const struct mlflow_field fields[] = {{"name", MLFLOW_TEXT, true},
		{"digest", MLFLOW_TEXT, true}, {"source_type", MLFLOW_TEXT, true},
		{"source", MLFLOW_TEXT, true}, {"schema", MLFLOW_TEXT, false},
		{"profile", MLFLOW_TEXT, false}};
	static const size_t sizes[] = {500, 36, 65535, 65535, 1048575, 16777215};
	struct track_pair *tags = NULL;
	size_t n_tags = 0;
	char path[64];
	yyjson_val *d = yyjson_obj_get(v, "dataset");
	snprintf(path, sizeof path, "datasets[%zu].dataset", at);
	enum err e = mlflow_check(d, path, fields, ARRAY_LEN(fields), et);
	for (size_t i = 0; i < ARRAY_LEN(fields) && !e; i++)
		e = mlflow_check_length(
			mlflow_text(d, fields[i].name), sizes[i], fields[i].name, et);
	if (!e)
		e = mlflow_pairs(v, "tags", 500, rq->arena, &tags, &n_tags, et);
	if (e)
		return e;
	struct buf b = {0};
	struct jw w = {.out = &b};
	*in = (struct track_input){.name = mlflow_text(d, "name"),
		.digest = mlflow_text(d, "digest"),
		.context = S("")};
	jw_obj(&w);
	jw_key(&w, "tags");
	jw_arr(&w);
	for (size_t i = 0; i < n_tags; i++) {
		jw_obj(&w);
		jw_kstr(&w, "key", tags[i].key);
		jw_kstr(&w, "value", tags[i].value);
		jw_end(&w);
		if (str_eq_c(tags[i].key, "mlflow.data.context"))
			in->context = tags[i].value;
	}
	jw_end(&w);
	jw_key(&w, "dataset");
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (mlflow_has(d, fields[i].name))
			jw_kstr(&w, fields[i].name, mlflow_text(d, fields[i].name));
	jw_end(&w);
	jw_end(&w);
	in->json = jw_done(&w) ? arena_str(rq->arena, buf_str(&b)) : (struct str){0};
	buf_free(&b);
	return in->json.p ? OK : err_set(et, ERR_NOMEM, "no memory for a dataset");
}

static enum err read_models(struct http_request *rq, yyjson_val *args, struct track_output **out,
	size_t *n, struct errtext *et)
{
	static const struct mlflow_field fields[] = {
		{"model_id", MLFLOW_TEXT, true}, {"step", MLFLOW_INT, false}};
	size_t count = count_of(args, "models"), i = 0;
	struct track_output *v =
		arena_array_of(rq->arena, MAX(count, (size_t)1), struct track_output);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a request");
	yyjson_arr_iter it;
	yyjson_val *item;
	yyjson_arr_iter_init(yyjson_obj_get(args, "models"), &it);
	for (; count && (item = yyjson_arr_iter_next(&it)); i++) {
		char path[40];
		snprintf(path, sizeof path, "models[%zu]", i);
		enum err e = mlflow_check(item, path, fields, ARRAY_LEN(fields), et);
		if (e)
			return e;
		v[i] = (struct track_output){
			mlflow_text(item, "model_id"), mlflow_int(item, "step", 0)};
	}
	*out = v;
	*n = count;
	return OK;
}

void mlflow_log_inputs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"datasets", MLFLOW_ARRAY, false}, {"models", MLFLOW_ARRAY, false});
	struct track_change ch = {0};
	struct track_output *models = NULL;
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	size_t n = e ? 0 : count_of(args, "datasets"), i = 0;
	struct track_input *v = arena_array_of(rq->arena, MAX(n, (size_t)1), struct track_input);
	if (!e && (n > 1000 || !v))
		e = v ? check_limit("datasets", 1000, n, &et)
		      : err_set(&et, ERR_NOMEM, "no memory for a request");
	yyjson_arr_iter it;
	yyjson_val *item;
	yyjson_arr_iter_init(args ? yyjson_obj_get(args, "datasets") : NULL, &it);
	for (; !e && n && (item = yyjson_arr_iter_next(&it)); i++)
		e = read_dataset(rq, item, i, &v[i], &et);
	if (!e)
		e = read_models(rq, args, &models, &ch.n_models_in, &et);
	ch.inputs = v;
	ch.n_inputs = n;
	ch.models_in = models;
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	if (!e)
		e = mlflow_lineage_inputs(c, rq, id, &ch, &et);
	mlflow_reply(rs, e, &et);
}

void mlflow_log_outputs(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"models", MLFLOW_ARRAY, true});
	struct track_change ch = {0};
	struct track_output *models = NULL;
	struct id id = {0};
	if (!e)
		e = run_of(args, &id, &et);
	if (!e)
		e = read_models(rq, args, &models, &ch.n_models_out, &et);
	ch.models_out = models;
	if (!e)
		e = track_change(c, project_of(rq), id, &ch, &et);
	if (!e)
		e = mlflow_lineage_outputs(c, rq, id, &ch, &et);
	mlflow_reply(rs, e, &et);
}

/* The older way to say which models a run made: a list in the tag mlflow.log-model.history. */
void mlflow_log_model(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS(RUN_ID, {"model_json", MLFLOW_TEXT, true});
	static const char *const needed[] = {
		"artifact_path", "flavors", "utc_time_created", "run_id"};
	struct tracked *t = NULL;
	struct id id = {0};
	yyjson_doc *doc = NULL;
	struct buf b = {0};
	if (!e)
		e = run_of(args, &id, &et);
	struct str json = e ? (struct str){0} : mlflow_text(args, "model_json");
	if (!e && json_parse(json, &doc, NULL))
		e = err_set(&et, ERR_INVALID,
			"Malformed model info. \n %.*s \n is not a valid JSON.",
			STR_FMT(str_sub(json, 0, 200)));
	for (size_t i = 0; i < ARRAY_LEN(needed) && !e; i++)
		if (!yyjson_obj_get(yyjson_doc_get_root(doc), needed[i]))
			e = err_set(&et, ERR_INVALID,
				"Model json is missing mandatory fields: {'%s'}", needed[i]);
	if (!e)
		e = track_get(c, project_of(rq), id, &t, &et);
	if (!e) {
		struct str had = str_trim(tracked_tag(t, S("mlflow.log-model.history")));
		bool list = had.n > 2 && str_starts(had, S("[")) && str_ends(had, S("]"));
		buf_adds(&b, list ? str_sub(had, 0, had.n - 1) : S("["));
		buf_addc(&b, list ? "," : "");
		buf_adds(&b, json);
		buf_putc(&b, ']');
		struct track_pair tag = {S("mlflow.log-model.history"), buf_str(&b)};
		struct track_change ch = {.tags = &tag, .n_tags = 1};
		e = b.err ? err_set(&et, ERR_NOMEM, "no memory for a model")
			  : track_change(c, project_of(rq), id, &ch, &et);
	}
	buf_free(&b);
	yyjson_doc_free(doc);
	tracked_free(t);
	mlflow_reply(rs, e, &et);
}

/* ---- search ---- */

static enum err experiments_of(
	struct http_request *rq, yyjson_val *args, struct run_query *q, struct errtext *et)
{
	size_t n = count_of(args, "experiment_ids"), i = 0;
	int64_t *v = arena_array_of(rq->arena, MAX(n, (size_t)1), int64_t);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for a search");
	yyjson_arr_iter it;
	yyjson_val *item;
	yyjson_arr_iter_init(yyjson_obj_get(args, "experiment_ids"), &it);
	for (; n && (item = yyjson_arr_iter_next(&it)); i++) {
		bool seen = false;
		enum err e = mlflow_experiment_id(json_val_str(item), &v[i], et);
		if (e)
			return e;
		for (size_t k = 0; k < i; k++)
			seen |= v[k] == v[i];
		if (seen) {
			i--;
			n--;
		}
	}
	q->experiments = v;
	q->n_experiments = n;
	return OK;
}

void mlflow_run_search(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	ARGS({"experiment_ids", MLFLOW_TEXTS, false}, {"filter", MLFLOW_TEXT, false},
		{"max_results", MLFLOW_INT, false}, {"order_by", MLFLOW_TEXTS, false},
		{"page_token", MLFLOW_TEXT, false});
	struct run_query q = {.strict = true};
	struct run_found f = {0};
	struct str *order = NULL;
	if (!e)
		e = experiments_of(rq, args, &q, &et);
	if (!e)
		e = mlflow_view(args, "run_view_type", &q.view, &et);
	if (!e) {
		q.filter = mlflow_text(args, "filter");
		q.page_token = mlflow_text(args, "page_token");
		q.max_results = mlflow_int(args, "max_results", 1000);
		if (q.max_results < 1 || q.max_results > 50000)
			e = mlflow_invalid(&et, "max_results", yyjson_obj_get(args, "max_results"),
				"It must be a positive integer, at most 50000");
	}
	if (!e)
		e = search_order(
			yyjson_obj_get(args, "order_by"), rq->arena, &order, &q.n_order, &et);
	q.order = order;
	if (!e)
		e = search_runs(c, project_of(rq), &q, rq->arena, &f, &et);
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	int64_t known = -1;
	struct str location = S("");
	jw_obj(&w);
	if (f.n) {
		jw_key(&w, "runs");
		jw_arr(&w);
		for (size_t i = 0; i < f.n && !e; i++) {
			if (f.v[i]->experiment != known)
				e = location_of(c, rq, f.v[i], &location, &et);
			known = f.v[i]->experiment;
			mlflow_write_run(&w, f.v[i], location);
		}
		jw_end(&w);
	}
	if (f.next.n)
		jw_kstr(&w, "next_page_token", f.next);
	jw_end(&w);
	e ? mlflow_reply_error(rs, e, &et) : http_reply_json(rs, 200, &w);
	buf_free(&b);
	run_found_free(&f);
}

void mlflow_search_datasets(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	enum { EXPERIMENTS_MAX = 20 };
	ARGS({"experiment_ids", MLFLOW_TEXTS, false});
	struct run_query q = {.strict = true, .max_results = 50000};
	struct run_found f = {0};
	size_t given = e ? 0 : count_of(args, "experiment_ids");
	if (!e && !given)
		e = err_set(&et, ERR_INVALID,
			"SearchDatasets request must specify at least one experiment_id.");
	else if (!e && given > EXPERIMENTS_MAX)
		e = err_set(&et, ERR_INVALID,
			"SearchDatasets request cannot specify more than %d experiment_ids. "
			"Received %zu experiment_ids.",
			EXPERIMENTS_MAX, given);
	if (!e)
		e = experiments_of(rq, args, &q, &et);
	if (!e)
		e = search_runs(c, project_of(rq), &q, rq->arena, &f, &et);
	if (e) {
		mlflow_reply_error(rs, e, &et);
		return;
	}
	struct buf b = {0};
	struct jw w = {.out = &b};
	struct map seen = {0};
	jw_obj(&w);
	jw_key(&w, "dataset_summaries");
	jw_arr(&w);
	for (size_t i = 0; i < f.n; i++)
		for (size_t k = 0; k < f.v[i]->n_inputs && seen.n < 1000; k++) {
			const struct track_input *in = &f.v[i]->inputs[k];
			struct str key = arena_fmt(rq->arena, "%lld\n%.*s\n%.*s\n%.*s",
				(long long)f.v[i]->experiment, STR_FMT(in->name),
				STR_FMT(in->digest), STR_FMT(in->context));
			if (!key.p || map_get(&seen, key) || !map_put(&seen, key, f.v[i]))
				continue;
			jw_obj(&w);
			jw_key(&w, "experiment_id");
			jw_fmt(&w, "%lld", (long long)f.v[i]->experiment);
			jw_kstr(&w, "name", in->name);
			jw_kstr(&w, "digest", in->digest);
			jw_kstr(&w, "context", in->context);
			jw_end(&w);
		}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	map_free(&seen);
	buf_free(&b);
	run_found_free(&f);
}
