/* What MLflow's runs used and made, as edges of lineage (artifact/registry.h). */
#ifndef API_MLFLOW_LINEAGE_H
#define API_MLFLOW_LINEAGE_H
#include "api/mlflow.h"
#include "run/track.h"

struct str mlflow_model_node(struct arena *a, struct str model); /* of a logged model */

/* In a transaction of their own, after the run has been changed: both may be repeated. */
enum err mlflow_lineage_inputs(struct croft *c, const struct http_request *rq, struct id run,
	const struct track_change *ch, struct errtext *et) MUST_CHECK;
enum err mlflow_lineage_outputs(struct croft *c, const struct http_request *rq, struct id run,
	const struct track_change *ch, struct errtext *et) MUST_CHECK;

/* A run (zero: none) made a logged model. */
enum err mlflow_lineage_logged(struct tx *tx, const struct http_request *rq, struct str model,
	struct id run, struct errtext *et) MUST_CHECK;
/* A logged model was registered as a version. */
enum err mlflow_lineage_registered(struct tx *tx, const struct http_request *rq, struct str model,
	struct id artifact, int64_t version, struct errtext *et) MUST_CHECK;

#endif
