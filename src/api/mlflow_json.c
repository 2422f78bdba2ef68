/* Experiments, runs and points as MLflow's JSON. */
#include "api/mlflow_int.h"

#include <stdio.h>

const char *const mlflow_statuses[TRACK_STATUSES] = {
	"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};

static void write_pairs(struct jw *w, const char *member, const struct track_pair *v, size_t n)
{
	if (!n)
		return;
	jw_key(w, member);
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_kstr(w, "key", v[i].key);
		jw_kstr(w, "value", v[i].value);
		jw_end(w);
	}
	jw_end(w);
}

static void number_text(struct jw *w, const char *key, int64_t v)
{
	char t[24];
	snprintf(t, sizeof t, "%lld", (long long)v);
	jw_kc(w, key, t);
}

void mlflow_write_experiment(struct jw *w, const struct experiment *x)
{
	jw_obj(w);
	number_text(w, "experiment_id", x->number);
	jw_kstr(w, "name", x->name);
	jw_kstr(w, "artifact_location", x->location);
	jw_kc(w, "lifecycle_stage", x->deleted_ms ? "deleted" : "active");
	jw_ki64(w, "last_update_time", x->updated_ms);
	jw_ki64(w, "creation_time", x->created_ms);
	write_pairs(w, "tags", x->tags, x->n_tags);
	jw_end(w);
}

void mlflow_write_info(struct jw *w, const struct tracked *t, struct str location)
{
	char hex[ID_HEX + 1];
	id_hex(t->id, hex);
	jw_obj(w);
	jw_kc(w, "run_id", hex);
	jw_kc(w, "run_uuid", hex);
	jw_kstr(w, "run_name", t->name);
	number_text(w, "experiment_id", t->experiment);
	jw_kstr(w, "user_id", t->user);
	jw_kc(w, "status", mlflow_statuses[t->status]);
	jw_ki64(w, "start_time", t->start_ms);
	if (t->end_ms)
		jw_ki64(w, "end_time", t->end_ms);
	jw_key(w, "artifact_uri");
	jw_fmt(w, "%.*s%s%s/artifacts", STR_FMT(location), str_ends(location, S("/")) ? "" : "/",
		hex);
	jw_kc(w, "lifecycle_stage", t->deleted_ms ? "deleted" : "active");
	jw_end(w);
}

void mlflow_write_point(struct jw *w, struct str key, const struct point *p)
{
	jw_obj(w);
	jw_kstr(w, "key", key);
	jw_key(w, "value");
	mlflow_write_float(w, p->value);
	jw_ki64(w, "timestamp", p->ms);
	jw_ki64(w, "step", p->step);
	jw_end(w);
}

static void write_models(
	struct jw *w, const char *member, const struct track_output *v, size_t n, bool steps)
{
	if (!n)
		return;
	jw_key(w, member);
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_kstr(w, "model_id", v[i].model);
		if (steps)
			jw_ki64(w, "step", v[i].step);
		jw_end(w);
	}
	jw_end(w);
}

void mlflow_write_run(struct jw *w, const struct tracked *t, struct str location)
{
	jw_obj(w);
	jw_key(w, "info");
	mlflow_write_info(w, t, location);
	jw_key(w, "data");
	jw_obj(w);
	if (t->n_metrics) {
		jw_key(w, "metrics");
		jw_arr(w);
		for (size_t i = 0; i < t->n_metrics; i++)
			mlflow_write_point(w, t->metrics[i].key, &t->metrics[i].point);
		jw_end(w);
	}
	write_pairs(w, "params", t->params, t->n_params);
	write_pairs(w, "tags", t->tags, t->n_tags);
	jw_end(w);
	jw_key(w, "inputs");
	jw_obj(w);
	write_models(w, "model_inputs", t->models_in, t->n_models_in, false);
	if (t->n_inputs) {
		jw_key(w, "dataset_inputs");
		jw_arr(w);
		for (size_t i = 0; i < t->n_inputs; i++)
			jw_raw(w, t->inputs[i].json);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "outputs");
	jw_obj(w);
	write_models(w, "model_outputs", t->models_out, t->n_models_out, true);
	jw_end(w);
	jw_end(w);
}
