/* MLflow's traces and assessments: what their files share.
 *
 *	mlflow_trace.c       traces: report, read, search, tags, delete, links
 *	mlflow_assessment.c  assessments
 *
 * A trace is the run of kind "trace" whose id is "tr-" and its 32 hex digits; its spans come to
 * /v1/traces. Spans leave as OpenTelemetry's messages in protobuf's JSON. */
#ifndef API_MLFLOW_TRACE_H
#define API_MLFLOW_TRACE_H
#include "api/mlflow.h"
#include "run/trace_query.h"

/* "tr-0123..." ERR_NOT_FOUND in MLflow's words for what is no such id. */
enum err mlflow_trace_id(struct str s, struct id *out, struct errtext *et) MUST_CHECK;
void mlflow_write_assessment(struct jw *w, struct id trace, const struct assessment *a);
enum err mlflow_read_assessment(
	yyjson_val *x, struct arena *arena, struct assessment *a, struct errtext *et) MUST_CHECK;
/* Adds those of a trace's report that are not there yet. */
enum err mlflow_assessments_of_trace(struct croft *c, struct http_request *rq, struct id trace,
	yyjson_val *list, struct errtext *et) MUST_CHECK;
void mlflow_write_time(struct jw *w, const char *key, int64_t ms);

void mlflow_trace_start(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_get_info(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_get(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_batch(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_batch_infos(
		struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_search(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_set_tag(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_delete_tag(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_delete(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_link_run(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_trace_link_prompts(
		struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_assessment_create(
		struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_assessment_get(struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_assessment_update(
		struct croft *c, struct http_request *rq, struct http_response *rs),
	mlflow_assessment_delete(
		struct croft *c, struct http_request *rq, struct http_response *rs);

/* For the table of routes: those that MLflow's clients call below 2.0, below 3.0, or both. */
#define MLFLOW_TRACE_ROUTE(method, version, path, fn, perm, summary)                             \
	{                                                                                        \
		method, "/api/" version "/mlflow/traces" path, mlflow_##fn, perm, summary, NULL, \
			"object", "object", 0                                                    \
	}
#define MLFLOW_TRACE_ROUTES                                                                        \
	MLFLOW_TRACE_ROUTE(                                                                        \
		HTTP_POST, "3.0", "", trace_start, PERM_RUN_WRITE, "MLflow: report a trace"),      \
		MLFLOW_TRACE_ROUTE(HTTP_GET, "3.0", "/get", trace_get, PERM_RUN_READ,              \
			"MLflow: a trace with its spans"),                                         \
		MLFLOW_TRACE_ROUTE(HTTP_GET, "3.0", "/batchGet", trace_batch, PERM_RUN_READ,       \
			"MLflow: several traces with their spans"),                                \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "3.0", "/batchGetInfos", trace_batch_infos,          \
			PERM_RUN_READ, "MLflow: several traces without their spans"),              \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "3.0", "/search", trace_search, PERM_RUN_READ,       \
			"MLflow: search traces"),                                                  \
		MLFLOW_TRACE_ROUTE(HTTP_GET, "3.0", "/{trace_id}", trace_get_info, PERM_RUN_READ,  \
			"MLflow: a trace without its spans"),                                      \
		MLFLOW_TRACE_ROUTE(HTTP_PATCH, "2.0", "/{trace_id}/tags", trace_set_tag,           \
			PERM_RUN_WRITE, "MLflow: set a tag of a trace"),                           \
		MLFLOW_TRACE_ROUTE(HTTP_PATCH, "3.0", "/{trace_id}/tags", trace_set_tag,           \
			PERM_RUN_WRITE, "MLflow: set a tag of a trace"),                           \
		MLFLOW_TRACE_ROUTE(HTTP_DELETE, "2.0", "/{trace_id}/tags", trace_delete_tag,       \
			PERM_RUN_WRITE, "MLflow: remove a tag of a trace"),                        \
		MLFLOW_TRACE_ROUTE(HTTP_DELETE, "3.0", "/{trace_id}/tags", trace_delete_tag,       \
			PERM_RUN_WRITE, "MLflow: remove a tag of a trace"),                        \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "2.0", "/delete-traces", trace_delete,               \
			PERM_RUN_DELETE, "MLflow: delete traces"),                                 \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "3.0", "/delete-traces", trace_delete,               \
			PERM_RUN_DELETE, "MLflow: delete traces"),                                 \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "2.0", "/link-to-run", trace_link_run,               \
			PERM_RUN_WRITE, "MLflow: link traces to a run"),                           \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "2.0", "/link-prompts", trace_link_prompts,          \
			PERM_RUN_WRITE, "MLflow: link prompts to a trace"),                        \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "3.0", "/link-prompts", trace_link_prompts,          \
			PERM_RUN_WRITE, "MLflow: link prompts to a trace"),                        \
		MLFLOW_TRACE_ROUTE(HTTP_POST, "3.0", "/{trace_id}/assessments", assessment_create, \
			PERM_RUN_ASSESS, "MLflow: assess a trace"),                                \
		MLFLOW_TRACE_ROUTE(HTTP_GET, "3.0", "/{trace_id}/assessments/{assessment_id}",     \
			assessment_get, PERM_RUN_READ, "MLflow: an assessment"),                   \
		MLFLOW_TRACE_ROUTE(HTTP_PATCH, "3.0", "/{trace_id}/assessments/{assessment_id}",   \
			assessment_update, PERM_RUN_ASSESS, "MLflow: change an assessment"),       \
		MLFLOW_TRACE_ROUTE(HTTP_DELETE, "3.0", "/{trace_id}/assessments/{assessment_id}",  \
			assessment_delete, PERM_RUN_ASSESS, "MLflow: take an assessment back")

#endif
