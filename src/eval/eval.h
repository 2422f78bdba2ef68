/* Evaluation: how good retrieval is on queries whose right documents are known, and which setting
 * is better. docs/evaluating-retrieval.md. */
#ifndef EVAL_EVAL_H
#define EVAL_EVAL_H
#include "module/module.h"

extern const struct module eval_module;

#endif
