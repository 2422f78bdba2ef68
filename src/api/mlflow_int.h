/* What the MLflow files of experiments, runs and files share. */
#ifndef API_MLFLOW_INT_H
#define API_MLFLOW_INT_H
#include "api/mlflow.h"
#include "run/track.h"

/* ---- names and lengths, in MLflow's words (mlflow_names.c) ---- */

enum { MLFLOW_KEY_MAX = 250, MLFLOW_VALUE_MAX = 65536, MLFLOW_EXPERIMENT_TAG_MAX = 20000 };

/* A key of a metric, parameter or tag; `path` is the parameter that the error names. */
enum err mlflow_check_key(
	struct str key, const char *path, const char *what, struct errtext *et) MUST_CHECK;
/* Letters, digits, '_' and '-' only, not too long: such a key passes without further looking. */
bool mlflow_plain_key(struct str key);
enum err mlflow_check_length(
	struct str value, size_t max, const char *what, struct errtext *et) MUST_CHECK;
enum err mlflow_run_id(
	yyjson_val *args, const char *key, struct id *out, struct errtext *et) MUST_CHECK;
enum err mlflow_experiment_id(struct str text, int64_t *out, struct errtext *et) MUST_CHECK;
enum err mlflow_view(
	yyjson_val *args, const char *key, enum track_view *out, struct errtext *et) MUST_CHECK;
/* "brave-otter-417" */
struct str mlflow_random_name(struct arena *a);

/* An array of {key, value} as pairs in the arena; keys and values checked. */
enum err mlflow_pairs(yyjson_val *args, const char *member, size_t value_max, struct arena *a,
	struct track_pair **out, size_t *n, struct errtext *et) MUST_CHECK;

/* ---- rendering (mlflow_json.c) ---- */

void mlflow_write_experiment(struct jw *w, const struct experiment *x);
void mlflow_write_run(struct jw *w, const struct tracked *t, struct str location);
void mlflow_write_info(struct jw *w, const struct tracked *t, struct str location);
void mlflow_write_point(struct jw *w, struct str key, const struct point *p);
extern const char *const mlflow_statuses[TRACK_STATUSES]; /* "FINISHED" */

/* ---- files (mlflow_file.c) ---- */

struct run_file;
/* "files": each path with `prefix` before it; nothing when there are none. */
void mlflow_write_files(struct jw *w, struct str prefix, const struct run_file *v, size_t n);
/* Answers with the file at a path of the artifact proxy. */
void mlflow_send_path(struct croft *c, struct http_request *rq, struct http_response *rs,
	struct str path, struct errtext *et);

/* ---- handlers ---- */

void mlflow_experiment_create(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_get(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_by_name(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_search(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_delete(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_restore(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_update(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_set_tag(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_experiment_delete_tag(
	struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_run_create(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_run_get(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_run_update(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_run_delete(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_run_restore(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_log_metric(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_log_param(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_set_tag(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_delete_tag(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_log_batch(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_log_inputs(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_log_outputs(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_log_model(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_run_search(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_history(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_history_bulk(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_history_interval(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_search_datasets(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_artifacts_list(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_file_put(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_file_get(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_file_delete(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_files_list(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_upload_begin(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_upload_part(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_upload_complete(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_upload_abort(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_file_address(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_presigned_upload(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_presigned_download(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_server_info(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_upload_artifact(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_get_artifact(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_health(struct croft *c, struct http_request *rq, struct http_response *rs);
void mlflow_version(struct croft *c, struct http_request *rq, struct http_response *rs);

#endif
