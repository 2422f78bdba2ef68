/* W3C trace context (https://www.w3.org/TR/trace-context/): which trace and span the work of this
 * thread belongs to. Incoming requests say it in the header traceparent; the client sends it on. */
#ifndef NET_TRACE_CONTEXT_H
#define NET_TRACE_CONTEXT_H
#include "base/id.h"

enum { TRACEPARENT = 55 };

struct trace_context {
	struct id trace; /* zero: none */
	int64_t span;
	unsigned flags; /* 1: sampled */
};

/* "00-<32 hex>-<16 hex>-<2 hex>"; later versions may say more behind it. False: not one. */
bool traceparent_parse(struct str s, struct trace_context *out);
void traceparent_write(const struct trace_context *c, char out[TRACEPARENT + 1]);

/* Of this thread. */
struct trace_context trace_context_now(void);
void trace_context_set(struct trace_context c);

#endif
