/* Every module, in floor order: init runs from the first to the last, stop the other way. To add
 * one: its header here and its line below. */
#include "access/access.h"
#include "access/oidc.h"
#include "access/secret.h"
#include "api/api.h"
#include "api/files.h"
#include "api/mlflow.h"
#include "api/mlflow_dataset.h"
#include "api/mlflow_registry.h"
#include "api/mlflow_scorer.h"
#include "api/mlflow_webhook.h"
#include "api/qdrant.h"
#include "api/responses.h"
#include "api/uploads.h"
#include "api/vstores.h"
#include "app/app.h"
#include "artifact/artifact.h"
#include "cli/cli.h"
#include "collection/collection.h"
#include "endpoint/endpoint.h"
#include "endpoint/remote.h"
#include "eval/eval.h"
#include "rag/rag.h"
#include "run/experiment.h"
#include "run/run.h"
#include "run/trace.h"
#include "run/upload.h"

const struct module *const app_modules[] = {
	&access_module,
	&secret_module,
	&oidc_module,
	&registry_module,
	&promotion_module,
	&signature_module,
	&lineage_module,
	&card_module,
	&tree_module,
	&artifact_module,
	&run_module,
	&experiment_module,
	&run_data_module,
	&retention_module,
	&trace_module,
	&log_module,
	&exec_module,
	&upload_module,
	&remote_module,
	&endpoint_module,
	&collection_module,
	&collection_version_module,
	&rag_module,
	&eval_module,
	&api_module,
	&tokenize_module,
	&rerank_module,
	&adapters_module,
	&anthropic_module,
	&files_module,
	&uploads_module,
	&vstores_module,
	&batch_module,
	&responses_module,
	&conversations_module,
	&qdrant_module,
	&mlflow_module,
	&mlflow_registry_module,
	&mlflow_logged_module,
	&mlflow_webhook_module,
	&mlflow_scorer_module,
	&mlflow_dataset_module,
	&mlflow_record_module,
	&cli_module,
	&app_module,
};
const size_t app_n_modules = ARRAY_LEN(app_modules);
