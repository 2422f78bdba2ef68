/* The faces that other people's clients speak, unmodified: OpenAI's, Anthropic's, MLflow's, OTLP.
 */
#ifndef API_API_H
#define API_API_H
#include "module/module.h"

extern const struct module api_module;
extern const struct module tokenize_module;
extern const struct module rerank_module;
extern const struct module adapters_module;
extern const struct module batch_module;
extern const struct module anthropic_module;

#endif
