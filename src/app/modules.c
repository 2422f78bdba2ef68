/* Every module, in floor order: init runs from the first to the last, stop the other way. To add
 * one: its header here and its line below. */
#ifdef WITH_API
#include "api/api.h"
#endif
#include "app/app.h"
#ifdef WITH_ARTIFACT
#include "artifact/artifact.h"
#endif
#include "cli/cli.h"
#ifdef WITH_ENDPOINT
#include "endpoint/endpoint.h"
#endif
#ifdef WITH_RAG
#include "rag/rag.h"
#endif
#ifdef WITH_RUN
#include "run/run.h"
#endif

const struct module *const app_modules[] = {
#ifdef WITH_ARTIFACT
	&artifact_module,
#endif
#ifdef WITH_RUN
	&run_module,
#endif
#ifdef WITH_ENDPOINT
	&endpoint_module,
#endif
#ifdef WITH_RAG
	&rag_module,
#endif
#ifdef WITH_API
	&api_module,
#endif
	&cli_module,
	&app_module,
};
const size_t app_n_modules = ARRAY_LEN(app_modules);
