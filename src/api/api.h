/* The faces that other people's clients speak. Today OpenAI's: models, chat completions,
 * completions, embeddings, usable by the official clients unmodified. */
#ifndef API_API_H
#define API_API_H
#include "module/module.h"

extern const struct module api_module;
extern const struct module tokenize_module;
extern const struct module batch_module;

#endif
