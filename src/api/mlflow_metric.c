/* Metrics that belong to a logged model beside their run: those that name one ("model_id"), with
 * the dataset that they were measured on. They are written after the run's own points; both may be
 * repeated, so a client that got an error sends the request again. */
#include "api/mlflow_metric.h"
#include "artifact/logged.h"

#include <stdio.h>

static enum err put_one(struct tx *tx, struct str project, yyjson_val *v, struct id run,
	struct str *known, struct arena *a, struct errtext *et)
{
	struct logged_model model;
	struct str id = mlflow_text(v, "model_id");
	struct str dataset = mlflow_text(v, "dataset_name"),
		   digest = mlflow_text(v, "dataset_digest");
	enum err e = OK;
	if (!id.n)
		return OK;
	if (dataset.n > 500 || digest.n > 36)
		return err_set(et, ERR_INVALID,
			"dataset_name: at most 500 bytes, dataset_digest: at most 36");
	if (!str_eq(id, *known))
		e = logged_get(tx, project, id, false, a, &model, et);
	if (e)
		return e;
	*known = id;
	return logged_add_metric(tx, project, id,
		&(struct logged_metric){.name = mlflow_text(v, "key"),
			.dataset = dataset.p ? dataset : S(""),
			.digest = digest.p ? digest : S(""),
			.value = mlflow_float(v, "value", 0),
			.ms = mlflow_int(v, "timestamp", 0),
			.step = mlflow_int(v, "step", 0),
			.run = run},
		et);
}

static bool names_model(yyjson_val *v)
{
	return yyjson_is_arr(v) ? false : mlflow_text(v, "model_id").n > 0;
}

enum err mlflow_metrics_of_models(struct croft *c, const struct http_request *rq, yyjson_val *list,
	struct id run, struct errtext *et)
{
	struct tx *tx;
	struct str known = S("");
	yyjson_val *one;
	size_t i, n;
	bool any = names_model(list);
	yyjson_arr_foreach(list, i, n, one) any |= names_model(one);
	if (!any)
		return OK;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	if (!yyjson_is_arr(list))
		e = put_one(tx, project_of(rq), list, run, &known, rq->arena, et);
	yyjson_arr_foreach(list, i, n, one) if (!e) e =
		put_one(tx, project_of(rq), one, run, &known, rq->arena, et);
	if (!e)
		return db_commit(tx, et);
	db_rollback(tx);
	return e;
}
