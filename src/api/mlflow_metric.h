/* Metrics that belong to a logged model beside their run. */
#ifndef API_MLFLOW_METRIC_H
#define API_MLFLOW_METRIC_H
#include "api/mlflow.h"

/* One metric as MLflow sends it, or an array of them; those without a model_id are passed over.
 * ERR_NOT_FOUND: there is no such model. */
enum err mlflow_metrics_of_models(struct croft *c, const struct http_request *rq, yyjson_val *list,
	struct id run, struct errtext *et) MUST_CHECK;

#endif
