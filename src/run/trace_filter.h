/* What traces are searched by (text/filter.h). docs/search.md lists the names.
 *
 *	status = 'error' AND duration_ms > 500 AND span.type = 'tool' AND tag.release LIKE 'v2%' */
#ifndef RUN_TRACE_FILTER_H
#define RUN_TRACE_FILTER_H
#include "text/filter.h"

extern const struct filter_language trace_language;        /* all of it */
extern const struct filter_language trace_mlflow_language; /* what MLflow has */

#endif
