/* Traces: runs that other programs report as OpenTelemetry spans.
 *
 * A trace is a run of kind "trace" whose id is the trace id. Its spans arrive in any order, over
 * many requests, children often first; the run's name, times, status, counts, tokens and cost are
 * kept up from them in the same transaction. The same span sent again changes nothing; a span that
 * was reported running is replaced by its ended self. What was accepted is on disk. */
#ifndef RUN_TRACE_H
#define RUN_TRACE_H
#include "module/module.h"

extern const struct module trace_module;
extern const struct module log_module; /* routes and commands of log records */

enum { TRACE_SPANS_MAX = 100000 }; /* in one request */

struct trace_accepted {
	size_t spans, rejected; /* or log records */
	struct errtext why;     /* of the first one that was rejected */
};

/* Before a request is decoded: room for what it may need in memory until it is stored. ERR_BUSY:
 * too much waits for the store already, come back in a second. Once admitted, leave. */
enum err trace_admit(struct croft *c, size_t bytes, struct errtext *et) MUST_CHECK;
void trace_leave(struct croft *c, size_t bytes);

/* Stores an ExportTraceServiceRequest (protobuf bytes) in a project and, unless it is -1, an
 * experiment. ERR_INVALID: malformed, nothing is stored. */
enum err trace_import(struct croft *c, struct str project, int64_t experiment, struct str request,
	struct trace_accepted *out, struct errtext *et) MUST_CHECK;

/* The same of an ExportLogsServiceRequest. A record that comes twice is there once. */
enum err trace_import_logs(struct croft *c, struct str project, struct str request,
	struct trace_accepted *out, struct errtext *et) MUST_CHECK;

#endif
