/* What lineage's files share. */
#ifndef ARTIFACT_LINEAGE_INT_H
#define ARTIFACT_LINEAGE_INT_H
#include "artifact/registry_int.h"

/* The walk that a request's query asks for: of, direction, depth, nodes. */
enum err lineage_asked(struct reg_call *k, struct graph *out) MUST_CHECK;

#endif
