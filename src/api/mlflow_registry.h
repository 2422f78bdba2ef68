/* What the files of MLflow's model registry share. A registered model IS the artifact of kind model
 * of that name, a prompt the artifact of kind prompt; their versions, tags, aliases and stages are
 * its versions and facts. Two things are MLflow's alone and stand in a version's metadata below
 * "mlflow": run_link and model_id.
 *
 *	mlflow_registry.c         registered models, tags, aliases
 *	mlflow_registry_version.c versions, stages, where a version's files are
 *	mlflow_registry_search.c  both searches
 *	mlflow_registry_json.c    the call, its JSON
 *	mlflow_logged.c           logged models: what a run logged, registered or not
 */
#ifndef API_MLFLOW_REGISTRY_H
#define API_MLFLOW_REGISTRY_H
#include "api/mlflow.h"
#include "artifact/logged.h"
#include "artifact/registry.h"

#define PROMPT_TAG "mlflow.prompt.is_prompt"

struct mlreg {
	struct croft *c;
	struct http_request *rq;
	struct http_response *rs;
	struct tx *tx;
	struct str project;
	struct arena *a;
	yyjson_val *args;
	struct buf out;
	struct jw w;
	struct errtext et;
	bool announced; /* webhooks have something to send once this is committed */
};

enum err mlreg_begin(struct mlreg *m, struct croft *c, struct http_request *rq,
	struct http_response *rs, enum tx_kind kind, const struct mlflow_field *fields,
	size_t n) MUST_CHECK;
/* Commits unless e; answers with what was written to w, {} when that is nothing. */
void mlreg_end(struct mlreg *m, enum err e);

/* The live model or prompt that the argument `key` names. */
enum err mlreg_model(struct mlreg *m, const char *key, struct artifact *out) MUST_CHECK;
enum err mlreg_version(
	struct mlreg *m, const struct artifact *of, struct artifact_version *out) MUST_CHECK;
enum err mlreg_name_check(struct mlreg *m, const char *key) MUST_CHECK;
bool mlreg_has_prompt_tag(yyjson_val *args);
/* Sets the tags that `tags` of the arguments lists. */
enum err mlreg_put_tags(struct mlreg *m, struct id artifact, int64_t version) MUST_CHECK;

enum err mlreg_write_model(struct mlreg *m, const struct artifact *v) MUST_CHECK;
enum err mlreg_write_version(struct mlreg *m, const struct artifact_version *v) MUST_CHECK;
/* {"key": ...} around one of them. */
enum err mlreg_reply_model(struct mlreg *m, struct id artifact) MUST_CHECK;
enum err mlreg_reply_version(struct mlreg *m, struct id artifact, int64_t version) MUST_CHECK;

struct str mlflow_stage(struct tx *tx, const struct artifact_version *v, struct arena *a);
bool mlflow_stage_parse(struct str text, struct str *out);
/* The newest live version in each stage: at most one of each. */
enum { MLFLOW_STAGES = 4 };
enum err mlreg_latest(struct mlreg *m, const struct artifact *of,
	struct artifact_version out[MLFLOW_STAGES], size_t *n) MUST_CHECK;
/* A member of "mlflow" in a version's metadata; {NULL,0}: absent. In the arena. */
struct str mlflow_member(const struct artifact_version *v, const char *key, struct arena *a);

/* Offsets of pages: opaque to clients, as MLflow writes them. */
void page_token(struct buf *out, int64_t offset);
enum err page_offset(struct str token, int64_t *offset, struct errtext *et) MUST_CHECK;

#define MLREG(name) void name(struct croft *c, struct http_request *rq, struct http_response *rs)
MLREG(mlflow_model_create);
MLREG(mlflow_model_rename);
MLREG(mlflow_model_update);
MLREG(mlflow_model_delete);
MLREG(mlflow_model_get);
MLREG(mlflow_model_latest);
MLREG(mlflow_model_set_tag);
MLREG(mlflow_model_delete_tag);
MLREG(mlflow_alias_set);
MLREG(mlflow_alias_delete);
MLREG(mlflow_alias_get);
MLREG(mlflow_model_search);
MLREG(mlflow_version_create);
MLREG(mlflow_version_update);
MLREG(mlflow_version_stage);
MLREG(mlflow_version_delete);
MLREG(mlflow_version_get);
MLREG(mlflow_version_uri);
MLREG(mlflow_version_set_tag);
MLREG(mlflow_version_delete_tag);
MLREG(mlflow_version_search);

extern const struct module mlflow_registry_module;
extern const struct module mlflow_logged_module;

#endif
