/* What lineage's files share. */
#ifndef ARTIFACT_LINEAGE_INT_H
#define ARTIFACT_LINEAGE_INT_H
#include "artifact/registry_int.h"
#include "base/map.h"

/* The walk that a request's query asks for: of, direction, depth, nodes. */
enum err lineage_asked(struct reg_call *k, struct graph *out) MUST_CHECK;

/* The graph as a PROV-JSON document, as a list of OpenLineage events. */
enum err lineage_prov(struct reg_call *k, const struct graph *g) MUST_CHECK;
enum err lineage_openlineage(struct reg_call *k, const struct graph *g) MUST_CHECK;

void openlineage_post(struct croft *c, struct http_request *rq, struct http_response *rs);

#endif
